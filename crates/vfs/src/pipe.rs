//! Pipes and named fifos (pipe(7), fifo(7)).
//!
//! One lock, one ring, two wait queues. A write wakes readers only if some wait, a read wakes writers only when it makes
//! the pipe writable (room for PIPE_BUF bytes) again: who finds less room than it needs waits for exactly that change.

use alloc::sync::Arc;
use core::fmt;
use core::task::Waker;

use abi::linux::general as linux;
use abi::linux::ioctl;
use sync::{Rank, SpinLock, WaitQueue};
use types::PAGE_SIZE;

use crate::ring::{Block, ByteRing};
use crate::{Caller, File, FileType, Metadata, OpenRequest, PollEvents, Result, VfsError, anonymous};

/// Writes up to this many bytes are not torn.
pub const PIPE_BUF: usize = 4096;
/// Capacity of a new pipe.
const DEFAULT_CAPACITY: usize = 65_536;
/// Largest capacity without privilege (Linux: /proc/sys/fs/pipe-max-size).
const MAX_CAPACITY: usize = 1 << 20;

/// A pipe: the ring both ends share. Its ends are [`PipeEnd`]s.
pub struct Pipe {
    ino: u64,
    state: SpinLock<State>,
    readable: Arc<WaitQueue>,
    writable: Arc<WaitQueue>,
    /// Opens of a fifo that wait for the other side.
    opening: Arc<WaitQueue>,
}

struct State {
    ring: ByteRing,
    readers: usize,
    writers: usize,
    /// Opens for reading and writing so far: an open that waits looks for a change, even one that is undone already.
    reader_opens: u64,
    writer_opens: u64,
}

/// Which ends an open file of a pipe has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PipeAccess {
    /// It reads.
    Read,
    /// It writes.
    Write,
    /// Both (Linux: a fifo opened O_RDWR).
    Both,
}

impl PipeAccess {
    const fn reads(self) -> bool {
        matches!(self, Self::Read | Self::Both)
    }

    const fn writes(self) -> bool {
        matches!(self, Self::Write | Self::Both)
    }
}

impl Pipe {
    /// A pipe without ends, for a fifo. It allocates its ring with the first write.
    pub fn new() -> Arc<Self> {
        let state =
            State { ring: ByteRing::new(DEFAULT_CAPACITY), readers: 0, writers: 0, reader_opens: 0, writer_opens: 0 };
        let queue = || Arc::new(WaitQueue::new());
        Arc::new(Self {
            ino: anonymous::next_ino(),
            state: SpinLock::new(Rank::PIPE, state),
            readable: queue(),
            writable: queue(),
            opening: queue(),
        })
    }

    /// pipe(2): the end to read and the end to write.
    pub fn pair() -> (Arc<PipeEnd>, Arc<PipeEnd>) {
        let pipe = Self::new();
        (pipe.attach(PipeAccess::Read), pipe.attach(PipeAccess::Write))
    }

    /// Opens a fifo as fifo(7) says. The result's [`FifoOpen::ready`] says whether open(2) must wait.
    ///
    /// # Errors
    /// [`VfsError::NoDeviceOrAddress`] for a write-only open with `nonblock` while nobody reads.
    pub fn open_fifo(self: &Arc<Self>, access: PipeAccess, nonblock: bool) -> Result<FifoOpen> {
        let waits_for = {
            let mut state = self.state.lock();
            let missing = match access {
                PipeAccess::Read => state.writers == 0,
                PipeAccess::Write => state.readers == 0,
                PipeAccess::Both => false,
            };
            if missing && nonblock && access == PipeAccess::Write {
                return Err(VfsError::NoDeviceOrAddress);
            }
            state.enter(access);
            let seen = if access == PipeAccess::Read { state.writer_opens } else { state.reader_opens };
            (missing && !nonblock).then_some(seen)
        };
        self.opening.wake_all();
        self.wake_other_side();
        Ok(FifoOpen { end: Arc::new(PipeEnd { pipe: self.clone(), access }), waits_for })
    }

    fn attach(self: &Arc<Self>, access: PipeAccess) -> Arc<PipeEnd> {
        self.state.lock().enter(access);
        Arc::new(PipeEnd { pipe: self.clone(), access })
    }

    /// Lets `waker` be woken when there is something to read, unless there is now: then `None`. The ticket is for
    /// [`Pipe::readable`].
    pub fn wait_readable(&self, waker: &Waker) -> Option<u64> {
        let state = self.state.lock();
        // Under the lock: whoever fills the pipe does so before or after both of these.
        (state.ring.is_empty() && state.writers != 0).then(|| self.readable.register(waker))
    }

    /// Woken when there is something to read.
    pub fn readable(&self) -> &WaitQueue {
        &self.readable
    }

    fn wake_other_side(&self) {
        self.readable.wake_all();
        self.writable.wake_all();
    }

    /// Takes up to `out.len()` bytes; 0 at the end. Whoever calls has an end that reads.
    ///
    /// # Errors
    /// [`VfsError::WouldBlock`].
    pub fn read(&self, out: &mut [u8]) -> Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        let (count, became_writable) = {
            let mut state = self.state.lock();
            if state.ring.is_empty() {
                return if state.writers == 0 { Ok(0) } else { Err(VfsError::WouldBlock) };
            }
            let was_writable = state.ring.room() >= PIPE_BUF;
            let count = state.ring.pop(out);
            (count, !was_writable && state.ring.room() >= PIPE_BUF)
        };
        if became_writable {
            self.writable.wake_all();
        }
        Ok(count)
    }

    /// Puts bytes back that [`Pipe::read`] has just taken and that could not be delivered. They are lost if the pipe has
    /// been filled meanwhile.
    pub fn unread(&self, data: &[u8]) {
        let back = self.state.lock().ring.unpop(data);
        if back {
            self.readable.wake_all();
        }
    }

    /// Puts bytes in, up to [`PIPE_BUF`] of them in one piece. Whoever calls has an end that writes.
    ///
    /// # Errors
    /// [`VfsError::WouldBlock`], [`VfsError::BrokenPipe`], [`VfsError::NoMemory`].
    pub fn write(&self, data: &[u8]) -> Result<usize> {
        {
            let mut state = self.state.lock();
            if state.readers == 0 || data.is_empty() || state.ring.ready_room() < data.len() {
                drop(state);
                return self.write_otherwise(data);
            }
            state.ring.push(data);
        }
        self.readable.wake_all();
        Ok(data.len())
    }

    /// A write for which there is no room, not enough, or not yet.
    #[inline(never)]
    fn write_otherwise(&self, data: &[u8]) -> Result<usize> {
        let mut fresh = None;
        loop {
            let wanted = {
                let mut state = self.state.lock();
                if state.readers == 0 {
                    return Err(VfsError::BrokenPipe);
                }
                let room = state.ring.room();
                if data.is_empty() {
                    return Ok(0);
                }
                if room == 0 || (data.len() <= PIPE_BUF && room < data.len()) {
                    return Err(VfsError::WouldBlock);
                }
                let old = fresh.take().map(|block| state.ring.install(block));
                match state.ring.wants(data.len()) {
                    None => {
                        let count = state.ring.push(data);
                        drop(state);
                        drop(old);
                        self.readable.wake_all();
                        return Ok(count);
                    }
                    Some(wanted) => {
                        drop(state);
                        drop(old);
                        wanted
                    }
                }
            };
            fresh = Some(Block::new(wanted)?);
        }
    }

    /// Copies up to `out.len()` bytes and leaves them in; 0 at the end.
    ///
    /// # Errors
    /// [`VfsError::WouldBlock`].
    pub fn peek(&self, out: &mut [u8]) -> Result<usize> {
        let state = self.state.lock();
        let count = state.ring.peek(out);
        if count == 0 && !out.is_empty() && state.writers != 0 { Err(VfsError::WouldBlock) } else { Ok(count) }
    }

    /// Takes `count` bytes, or as many as there are, out for nobody.
    pub fn discard(&self, count: usize) {
        let became_writable = {
            let mut state = self.state.lock();
            let was_writable = state.ring.room() >= PIPE_BUF;
            let count = count.min(state.ring.len());
            state.ring.discard(count);
            !was_writable && state.ring.room() >= PIPE_BUF
        };
        if became_writable {
            self.writable.wake_all();
        }
    }

    /// Bytes that can be put in now.
    ///
    /// # Errors
    /// [`VfsError::WouldBlock`] for none, [`VfsError::BrokenPipe`] if nobody reads.
    pub fn room(&self) -> Result<usize> {
        let state = self.state.lock();
        match state.ring.room() {
            _ if state.readers == 0 => Err(VfsError::BrokenPipe),
            0 => Err(VfsError::WouldBlock),
            room => Ok(room),
        }
    }

    /// F_SETPIPE_SZ: rounded up to a power of two of pages.
    fn set_capacity(&self, wanted: u64) -> Result<u64> {
        let wanted = usize::try_from(wanted).map_err(|_| VfsError::InvalidArgument)?;
        if wanted > 1 << 31 {
            return Err(VfsError::InvalidArgument);
        }
        let capacity = wanted.max(PAGE_SIZE).next_power_of_two();
        if capacity > MAX_CAPACITY {
            return Err(VfsError::NotPermitted);
        }
        let grown = {
            let mut state = self.state.lock();
            let before = state.ring.limit();
            if !state.ring.set_limit(capacity) {
                return Err(VfsError::Busy);
            }
            before < capacity
        };
        if grown {
            self.writable.wake_all();
        }
        Ok(capacity as u64)
    }

    fn leave(&self, access: PipeAccess) {
        let last = {
            let mut state = self.state.lock();
            state.leave(access);
            state.readers == 0 || state.writers == 0
        };
        if last {
            self.wake_other_side();
        }
    }
}

impl State {
    fn enter(&mut self, access: PipeAccess) {
        if access.reads() {
            self.readers += 1;
            self.reader_opens += 1;
        }
        if access.writes() {
            self.writers += 1;
            self.writer_opens += 1;
        }
    }

    fn leave(&mut self, access: PipeAccess) {
        self.readers -= usize::from(access.reads());
        self.writers -= usize::from(access.writes());
        // A fifo that nobody has open any more starts empty.
        if self.readers == 0 && self.writers == 0 {
            self.ring.clear();
        }
    }
}

/// A fifo being opened.
pub struct FifoOpen {
    end: Arc<PipeEnd>,
    waits_for: Option<u64>,
}

impl FifoOpen {
    /// The end, whether or not open(2) still waits.
    pub const fn end(&self) -> &Arc<PipeEnd> {
        &self.end
    }

    /// The open end, if the other side is there or was there meanwhile; else open(2) waits in [`FifoOpen::queue`].
    /// Giving up drops the end, which leaves the fifo.
    pub fn ready(&self) -> Option<Arc<PipeEnd>> {
        let Some(seen) = self.waits_for else { return Some(self.end.clone()) };
        let now = {
            let state = self.end.pipe.state.lock();
            if self.end.access == PipeAccess::Read { state.writer_opens } else { state.reader_opens }
        };
        (now != seen).then(|| self.end.clone())
    }

    /// Woken when another side comes.
    pub fn queue(&self) -> &Arc<WaitQueue> {
        &self.end.pipe.opening
    }
}

/// An open end of a pipe; dropping it closes the end.
pub struct PipeEnd {
    pipe: Arc<Pipe>,
    access: PipeAccess,
}

impl PipeEnd {
    /// The pipe it belongs to.
    pub const fn pipe(&self) -> &Arc<Pipe> {
        &self.pipe
    }

    /// What it may do.
    pub const fn access(&self) -> PipeAccess {
        self.access
    }
}

impl Drop for PipeEnd {
    fn drop(&mut self) {
        self.pipe.leave(self.access);
    }
}

impl File for PipeEnd {
    fn as_pipe(&self) -> Option<&Self> {
        Some(self)
    }

    fn read(&self, _offset: u64, out: &mut [u8]) -> Result<usize> {
        if self.access.reads() { self.pipe.read(out) } else { Err(VfsError::BadDescriptor) }
    }

    fn write(&self, _offset: u64, data: &[u8]) -> Result<usize> {
        if self.access.writes() { self.pipe.write(data) } else { Err(VfsError::BadDescriptor) }
    }

    fn ioctl(&self, request: u32, _arg: u64, bytes: &mut [u8], _caller: &Caller<'_>) -> Result<u64> {
        match request {
            ioctl::FIONREAD => {
                let queued = self.pipe.state.lock().ring.len() as u32;
                let slot = bytes.get_mut(..4).ok_or(VfsError::InvalidArgument)?;
                slot.copy_from_slice(&queued.to_le_bytes());
                Ok(0)
            }
            _ => Err(VfsError::NotATerminal),
        }
    }

    fn control(&self, command: u32, arg: u64) -> Result<u64> {
        match command {
            linux::F_GETPIPE_SZ => Ok(self.pipe.state.lock().ring.limit() as u64),
            linux::F_SETPIPE_SZ => self.pipe.set_capacity(arg),
            _ => Err(VfsError::InvalidArgument),
        }
    }

    fn poll(&self) -> PollEvents {
        let state = self.pipe.state.lock();
        let mut events = PollEvents::empty();
        if self.access.reads() {
            events.set(PollEvents::READABLE, !state.ring.is_empty());
            // A fifo that never had a writer is no pipe at its end.
            events.set(PollEvents::HUP, state.writers == 0 && state.writer_opens != 0);
        }
        if self.access.writes() {
            events.set(PollEvents::WRITABLE, state.ring.room() >= PIPE_BUF);
            events.set(PollEvents::ERR, state.readers == 0);
        }
        events
    }

    fn wait_queues(&self, interest: PollEvents, visit: &mut dyn FnMut(&Arc<WaitQueue>)) {
        if self.access.reads() && interest.intersects(PollEvents::READABLE | PollEvents::ALWAYS) {
            visit(&self.pipe.readable);
        }
        if self.access.writes() && interest.intersects(PollEvents::WRITABLE | PollEvents::ALWAYS) {
            visit(&self.pipe.writable);
        }
    }

    fn reopen(self: Arc<Self>, request: &OpenRequest<'_>) -> Result<Arc<dyn File>> {
        let access = match (request.read, request.write) {
            (true, false) => PipeAccess::Read,
            (false, true) => PipeAccess::Write,
            _ => PipeAccess::Both,
        };
        // The end it is reached by is open: there is nobody to wait for, but perhaps nobody to read.
        let nonblock = request.flags & linux::O_NONBLOCK != 0;
        if access == PipeAccess::Write && nonblock && self.pipe.state.lock().readers == 0 {
            return Err(VfsError::NoDeviceOrAddress);
        }
        Ok(self.pipe.attach(access))
    }

    fn metadata(&self) -> Metadata {
        Metadata { ino: self.pipe.ino, ..Metadata::new(FileType::Fifo, 0o600) }
    }

    fn describe(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        write!(out, "pipe:[{}]", self.pipe.ino)
    }
}

#[cfg(test)]
mod tests;
