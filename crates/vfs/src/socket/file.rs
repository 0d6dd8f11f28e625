//! A socket as an open file.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use abi::linux::ioctl;
use sync::WaitQueue;

use super::{Outgoing, ReceiveMode, Socket};
use crate::{Caller, File, FileType, Metadata, PollEvents, Result, VfsError};

impl File for Socket {
    fn read(&self, _offset: u64, out: &mut [u8]) -> Result<usize> {
        // Descriptors that came along are closed: read(2) has no place for them.
        self.receive(out, ReceiveMode::Take).map(|received| received.count)
    }

    fn write(&self, _offset: u64, data: &[u8]) -> Result<usize> {
        self.send(data, Outgoing { to: None, files: Vec::new(), credentials: self.owner() })
    }

    fn ioctl(&self, request: u32, _arg: u64, bytes: &mut [u8], _caller: &Caller<'_>) -> Result<u64> {
        let value = match request {
            ioctl::FIONREAD => self.available()? as u32,
            // Sent is delivered.
            ioctl::TIOCOUTQ => 0,
            _ => return Err(VfsError::NotATerminal),
        };
        let slot = bytes.first_chunk_mut().ok_or(VfsError::InvalidArgument)?;
        *slot = value.to_le_bytes();
        Ok(0)
    }

    fn poll(&self) -> PollEvents {
        self.poll_events()
    }

    fn wait_queues(&self, interest: PollEvents, visit: &mut dyn FnMut(&Arc<WaitQueue>)) {
        if interest.intersects(PollEvents::READABLE | PollEvents::RDHUP | PollEvents::ALWAYS) {
            visit(&self.readable);
        }
        if interest.intersects(PollEvents::WRITABLE | PollEvents::WRBAND) {
            visit(&self.writable);
            if let Some(mailbox) = self.peer_mailbox() {
                visit(&mailbox.writable);
            }
        }
    }

    fn release(&self, _writable: bool) {
        self.release_last();
    }

    fn metadata(&self) -> Metadata {
        Metadata { ino: self.number, ..Metadata::new(FileType::Socket, 0o777) }
    }

    fn describe(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        write!(out, "socket:[{}]", self.number)
    }
}
