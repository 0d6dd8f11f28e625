//! Behaviour behind an open file: what pipes, terminals, regular files and devices have in common.
//!
//! Callers are open files (which keep position, access mode and flags) and the system-call gate. No method waits: what
//! would have to, answers [`VfsError::WouldBlock`], and whoever wants to wait registers in [`File::wait_queues`], tries
//! again, and only then sleeps.

use alloc::sync::Arc;
use core::any::Any;
use core::fmt;

use sync::WaitQueue;
use types::PhysAddr;

use crate::pipe::PipeEnd;
use crate::{Caller, FileType, Metadata, OpenRequest, PollEvents, Result, VfsError};

/// What the position of an open file means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Positioning {
    /// Bytes come and go; lseek and pread give ESPIPE.
    Stream,
    /// Reads and writes happen at a position.
    Seekable,
    /// lseek and pread are allowed and change nothing (/dev/null).
    Ignored,
}

/// Behaviour behind an open file description. Concrete types are reached by `(file as &dyn Any).downcast_ref()`.
///
/// Only [`File::read`] and [`File::write`] must be thought about; the rest has the answer of a file that cannot.
/// Open files check the access mode before they call.
pub trait File: Any + Send + Sync {
    /// Reads up to `out.len()` bytes at `offset` (streams ignore it); 0 is end of file.
    ///
    /// # Errors
    /// [`VfsError::WouldBlock`] if there is nothing yet.
    fn read(&self, offset: u64, out: &mut [u8]) -> Result<usize>;

    /// Writes up to `data.len()` bytes at `offset` (streams ignore it); how many were taken.
    ///
    /// # Errors
    /// [`VfsError::WouldBlock`] if nothing can be taken now.
    fn write(&self, offset: u64, data: &[u8]) -> Result<usize>;

    /// Writes at the end, nobody else's write in between, and not beyond `limit`; bytes taken and the new end.
    ///
    /// # Errors
    /// [`VfsError::FileTooBig`] if the end is at `limit` already; else as [`File::write`].
    fn append(&self, data: &[u8], limit: u64) -> Result<(usize, u64)> {
        let _ = limit;
        let taken = self.write(0, data)?;
        Ok((taken, 0))
    }

    /// The end of a pipe, if it is one. Asked once, by [`OpenFile`](crate::OpenFile).
    fn as_pipe(&self) -> Option<&PipeEnd> {
        None
    }

    /// What the position means.
    fn positioning(&self) -> Positioning {
        Positioning::Stream
    }

    /// Whether epoll takes it: files that are always ready are refused.
    fn can_be_awaited(&self) -> bool {
        self.positioning() == Positioning::Stream
    }

    /// Length for SEEK_END.
    fn len(&self) -> u64 {
        0
    }

    /// Whether [`File::len`] is zero.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// First byte at or after `offset` that is not in a hole (SEEK_DATA).
    ///
    /// # Errors
    /// [`VfsError::NoDeviceOrAddress`] beyond the last one.
    fn seek_data(&self, offset: u64) -> Result<u64> {
        if offset < self.len() { Ok(offset) } else { Err(VfsError::NoDeviceOrAddress) }
    }

    /// First hole at or after `offset` (SEEK_HOLE); the end of the file counts as one.
    ///
    /// # Errors
    /// [`VfsError::NoDeviceOrAddress`] if `offset` is at or beyond the end.
    fn seek_hole(&self, offset: u64) -> Result<u64> {
        if offset < self.len() { Ok(self.len()) } else { Err(VfsError::NoDeviceOrAddress) }
    }

    /// Sets the length (ftruncate).
    ///
    /// # Errors
    /// [`VfsError::InvalidArgument`] where there is no length to set.
    fn truncate(&self, len: u64) -> Result<()> {
        let _ = len;
        Err(VfsError::InvalidArgument)
    }

    /// fallocate(2): `mode` as FALLOC_FL_ bits.
    ///
    /// # Errors
    /// [`VfsError::NoDevice`] where there is nothing to allocate.
    fn allocate(&self, mode: u32, offset: u64, len: u64) -> Result<()> {
        let _ = (mode, offset, len);
        Err(VfsError::NoDevice)
    }

    /// fsync(2).
    ///
    /// # Errors
    /// [`VfsError::InvalidArgument`] where there is nothing to write back.
    fn sync(&self) -> Result<()> {
        Err(VfsError::InvalidArgument)
    }

    /// ioctl(2). `arg` is the raw argument; `bytes` holds what it points to, as long as the larger side of
    /// [`crate::IoctlShape::of`], filled with the input before, copied out after success.
    ///
    /// # Errors
    /// [`VfsError::NotATerminal`] for a request that this file does not know.
    fn ioctl(&self, request: u32, arg: u64, bytes: &mut [u8], caller: &Caller<'_>) -> Result<u64> {
        let _ = (request, arg, bytes, caller);
        Err(VfsError::NotATerminal)
    }

    /// The commands of fcntl(2) that concern the file itself (F_SETPIPE_SZ, F_ADD_SEALS, …).
    ///
    /// # Errors
    /// [`VfsError::InvalidArgument`] for a command that this file does not know.
    fn control(&self, command: u32, arg: u64) -> Result<u64> {
        let _ = (command, arg);
        Err(VfsError::InvalidArgument)
    }

    /// What it is ready for now.
    fn poll(&self) -> PollEvents {
        PollEvents::NEVER_BLOCKS
    }

    /// Shows `visit` each queue that is woken when readiness for any of `interest` may have changed.
    ///
    /// None for a file that never blocks. The same queues are named each time as long as the file is open.
    fn wait_queues(&self, interest: PollEvents, visit: &mut dyn FnMut(&Arc<WaitQueue>)) {
        let _ = (interest, visit);
    }

    /// Opens it anew through /proc/PID/fd/N, where it has no inode.
    ///
    /// # Errors
    /// [`VfsError::NoDeviceOrAddress`] where that cannot be (sockets).
    fn reopen(self: Arc<Self>, request: &OpenRequest<'_>) -> Result<Arc<dyn File>> {
        let _ = request;
        Err(VfsError::NoDeviceOrAddress)
    }

    /// Gets ready to be mapped into an address space.
    ///
    /// # Errors
    /// [`VfsError::NoDevice`] where that makes no sense.
    fn map(self: Arc<Self>, request: MapRequest) -> Result<Mapping> {
        let _ = request;
        Err(VfsError::NoDevice)
    }

    /// What fstat tells where there is no inode (pipes, eventfds, …).
    fn metadata(&self) -> Metadata {
        Metadata::new(FileType::Regular, 0o600)
    }

    /// What /proc/PID/fd shows where there is no path: `pipe:[7]`, `anon_inode:[eventpoll]`.
    ///
    /// # Errors
    /// Those of `out`.
    fn describe(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str("anon_inode:[file]")
    }

    /// One of `owner`'s descriptors of it has been closed. Not asked for files in the tree and pipes.
    fn closed_by(&self, owner: u64) {
        let _ = owner;
    }

    /// The last descriptor of one open file is gone. Called once per open file, in no lock.
    fn release(&self, writable: bool) {
        let _ = writable;
    }
}

/// How a file is to be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapRequest {
    /// Changes go to the file (MAP_SHARED).
    pub shared: bool,
    /// May become writable.
    pub writable: bool,
}

/// What a mapping shows.
#[derive(Clone)]
pub enum Mapping {
    /// Pages of the file.
    Pages(Arc<dyn Pager>),
    /// Fresh zeroed memory (/dev/zero).
    Anonymous,
}

/// Pages of a file, for mapping.
pub trait Pager: Send + Sync {
    /// The frame of page `index` with one more reference, which the caller gives back to its frame store.
    ///
    /// # Errors
    /// [`VfsError::BadAddress`] beyond the end of the file (SIGBUS), [`VfsError::NoMemory`], [`VfsError::NoSpace`].
    fn page(&self, index: u64, write: bool) -> Result<PhysAddr>;

    /// Whether page `index` has memory already.
    fn has_page(&self, index: u64) -> bool {
        let _ = index;
        true
    }

    /// Fills `frames` with those of the pages from `first` on, each with one more reference, as far as there are any.
    fn pages_at_hand(&self, first: u64, frames: &mut [Option<PhysAddr>]) {
        let _ = (first, frames);
    }
}
