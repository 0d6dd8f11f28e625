//! An open terminal.

use alloc::sync::Arc;
use core::fmt;

use sync::WaitQueue;

use super::device::Terminal;
use super::ioctl;
use crate::{Caller, File, FileType, Metadata, PollEvents, Result, VfsError};

/// An open file of the console or of a pseudo-terminal's slave.
pub struct TerminalFile {
    terminal: Arc<Terminal>,
    /// Hang-ups before it was opened; dead once there are more.
    generation: u32,
}

impl Terminal {
    /// Opens it.
    ///
    /// # Errors
    /// [`VfsError::Busy`] after TIOCEXCL; [`VfsError::Io`] for a pseudo-terminal that is locked or without master.
    pub fn open(self: &Arc<Self>) -> Result<Arc<TerminalFile>> {
        let generation = self.with(|state| {
            if self.is_pty() && (state.locked || !state.master_open) {
                return Err(VfsError::Io);
            }
            if state.exclusive {
                return Err(VfsError::Busy);
            }
            state.files += 1;
            state.abandoned = false;
            Ok(state.generation)
        })?;
        Ok(Arc::new(TerminalFile { terminal: self.clone(), generation }))
    }
}

impl TerminalFile {
    /// The terminal it is open on.
    pub const fn terminal(&self) -> &Arc<Terminal> {
        &self.terminal
    }

    /// Whether the terminal was hung up since.
    pub fn is_hung_up(&self) -> bool {
        self.terminal.with(|state| state.generation != self.generation)
    }
}

impl File for TerminalFile {
    fn read(&self, _offset: u64, out: &mut [u8]) -> Result<usize> {
        self.terminal.read(self.generation, out)
    }

    fn write(&self, _offset: u64, data: &[u8]) -> Result<usize> {
        self.terminal.write(self.generation, data)
    }

    fn ioctl(&self, request: u32, arg: u64, bytes: &mut [u8], caller: &Caller<'_>) -> Result<u64> {
        if self.is_hung_up() {
            return Err(VfsError::Io);
        }
        ioctl::slave(&self.terminal, request, arg, bytes, caller)
    }

    fn poll(&self) -> PollEvents {
        self.terminal.poll(self.generation)
    }

    fn wait_queues(&self, interest: PollEvents, visit: &mut dyn FnMut(&Arc<WaitQueue>)) {
        self.terminal.queues(interest, visit);
    }

    fn metadata(&self) -> Metadata {
        Metadata { rdev: self.terminal.device(), ..Metadata::new(FileType::CharDevice, 0o620) }
    }

    fn describe(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        match self.terminal.index() {
            Some(index) => write!(out, "/dev/pts/{index}"),
            None => out.write_str("/dev/console"),
        }
    }
}

impl Drop for TerminalFile {
    fn drop(&mut self) {
        let last = self.terminal.with(|state| {
            if state.generation != self.generation {
                return false;
            }
            state.files = state.files.saturating_sub(1);
            state.abandoned = state.files == 0;
            if state.abandoned {
                state.exclusive = false;
            }
            state.abandoned
        });
        if last {
            self.terminal.wake_master();
        }
    }
}
