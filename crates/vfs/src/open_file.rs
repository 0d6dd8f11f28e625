//! An open file description: behaviour, position, access mode and flags, shared by all descriptors made from one open.

use alloc::sync::Arc;
use core::any::Any;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use abi::linux::general as linux;
use sync::{Rank, SpinLock, WaitQueue};

use crate::notify;
use crate::pipe::Pipe;
use crate::{
    Access, AttributeChange, Caller, File, FileLocks, FileType, Inode, Location, LockKind, LockOwner, Metadata,
    MountFlags, PollEvents, Positioning, RecordLock, Result, VfsError,
};

/// Largest offset of a file.
pub const MAX_FILE_SIZE: u64 = i64::MAX as u64;

/// Flags that F_SETFL changes.
const SETTABLE: u32 = linux::O_APPEND | linux::O_NONBLOCK | linux::FASYNC | linux::O_DIRECT | linux::O_NOATIME;

/// Flags that only matter while opening.
const OPENING_ONLY: u32 = linux::O_CREAT | linux::O_EXCL | linux::O_NOCTTY | linux::O_TRUNC | linux::O_CLOEXEC;

/// What a write must respect beyond the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteRules {
    /// RLIMIT_FSIZE of the writer; regular files do not grow beyond.
    pub file_size_limit: u64,
    /// Set-id bits survive (CAP_FSETID).
    pub keep_set_ids: bool,
}

impl WriteRules {
    /// The kernel's own writes.
    pub const UNLIMITED: Self = Self { file_size_limit: u64::MAX, keep_set_ids: true };
}

/// Where lseek(2) counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeekFrom {
    /// The start.
    Start(i64),
    /// The position.
    Current(i64),
    /// The end.
    End(i64),
    /// To the next data.
    Data(i64),
    /// To the next hole.
    Hole(i64),
}

impl SeekFrom {
    /// From lseek's arguments.
    pub const fn from_raw(offset: i64, whence: u32) -> Option<Self> {
        Some(match whence {
            linux::SEEK_SET => Self::Start(offset),
            linux::SEEK_CUR => Self::Current(offset),
            linux::SEEK_END => Self::End(offset),
            linux::SEEK_DATA => Self::Data(offset),
            linux::SEEK_HOLE => Self::Hole(offset),
            _ => return None,
        })
    }
}

/// An open file description. Descriptors share it by `Arc`; the last one to go closes it.
pub struct OpenFile {
    file: Arc<dyn File>,
    // Of a pipe's end: pipes are asked for most.
    pipe: Option<Arc<Pipe>>,
    location: Option<Location>,
    positioning: Positioning,
    regular: bool,
    readable: bool,
    writable: bool,
    flags: AtomicU32,
    // What a critical reader of it notes for itself.
    feeder: AtomicU32,
    // F_SETOWN: positive a process, negative a group, as the two's complement of 32 bits; F_SETSIG above.
    owner: AtomicU64,
    // Changed by whoever holds `moving`. /proc reads it without: it may be asked about the very file it is read through.
    position: AtomicU64,
    moving: SpinLock<()>,
}

impl OpenFile {
    /// Wraps `file`, opened with `flags` of open(2) at `location`; write access must have been counted already with
    /// [`OpenFile::count_writer`].
    pub(crate) fn at(file: Arc<dyn File>, location: Location, flags: u32) -> Self {
        Self::new(file, Some(location), flags)
    }

    /// Wraps a file that has no place in the tree: a pipe, a socket, an eventfd, …
    pub fn anonymous(file: Arc<dyn File>, flags: u32) -> Arc<Self> {
        Arc::new(Self::new(file, None, flags))
    }

    /// Opens a memory file for its maker, without looking at permissions.
    pub(crate) fn memory(location: Location, flags: u32) -> Result<Arc<Self>> {
        let credentials = types::Credentials::ROOT;
        let caller = Caller::kernel(&credentials);
        let request = crate::OpenRequest { read: true, write: true, flags, caller };
        let file = location.inode().clone().open(&request)?;
        Self::count_writer(&location)?;
        Ok(Arc::new(Self::new(file, Some(location), flags)))
    }

    fn new(file: Arc<dyn File>, location: Option<Location>, flags: u32) -> Self {
        let path_only = flags & linux::O_PATH != 0;
        let mode = flags & linux::O_ACCMODE;
        Self {
            positioning: file.positioning(),
            pipe: file.as_pipe().map(|end| end.pipe().clone()),
            file,
            regular: location.as_ref().is_some_and(|location| location.kind() == FileType::Regular),
            location,
            readable: !path_only && (mode == linux::O_RDONLY || mode == linux::O_RDWR),
            writable: !path_only && (mode == linux::O_WRONLY || mode == linux::O_RDWR),
            flags: AtomicU32::new(flags & !OPENING_ONLY),
            feeder: AtomicU32::new(0),
            owner: AtomicU64::new(0),
            position: AtomicU64::new(0),
            moving: SpinLock::new(Rank::FILE_POSITION, ()),
        }
    }

    /// Counts an open file that may write to `location`; undone when that open file goes.
    pub(crate) fn count_writer(location: &Location) -> Result<()> {
        location.mount().add_writer()?;
        match location.inode().write_count() {
            Some(count) => count.add_writer().inspect_err(|_| location.mount().remove_writer()),
            None => Ok(()),
        }
    }

    /// Undoes [`OpenFile::count_writer`].
    pub(crate) fn uncount_writer(location: &Location) {
        if let Some(count) = location.inode().write_count() {
            count.remove_writer();
        }
        location.mount().remove_writer();
    }

    /// A [feeder](OpenFile::feeder) that was looked for in vain.
    pub const NO_FEEDER: u32 = u32::MAX;

    /// The thread that wrote last what was read here, as far as it was [noted](OpenFile::note_feeder); 0 before.
    pub fn feeder(&self) -> u32 {
        self.feeder.load(Ordering::Relaxed)
    }

    /// Keeps who writes what is read here.
    pub fn note_feeder(&self, tid: u32) {
        self.feeder.store(tid, Ordering::Relaxed);
    }

    /// The behaviour.
    pub fn file(&self) -> &Arc<dyn File> {
        &self.file
    }

    /// The pipe, if it is an end of one.
    #[inline]
    pub const fn pipe(&self) -> Option<&Arc<Pipe>> {
        self.pipe.as_ref()
    }

    /// The behaviour, if it is a `T`.
    pub fn downcast<T: File>(&self) -> Option<&T> {
        (self.file.as_ref() as &dyn Any).downcast_ref()
    }

    /// The behaviour with a reference of its own, if it is a `T`.
    pub fn downcast_arc<T: File>(&self) -> Option<Arc<T>> {
        let file: Arc<dyn Any + Send + Sync> = self.file.clone();
        file.downcast().ok()
    }

    /// Where it was opened, unless it has no place.
    pub fn location(&self) -> Option<&Location> {
        self.location.as_ref()
    }

    /// Flags as F_GETFL gives them.
    pub fn flags(&self) -> u32 {
        self.flags.load(Ordering::Relaxed)
    }

    /// F_SETFL: takes over the flags that may change.
    ///
    /// # Errors
    /// [`VfsError::BadDescriptor`] for O_PATH.
    pub fn set_flags(&self, flags: u32) -> Result<()> {
        self.check_real()?;
        self.update_flags(SETTABLE, flags);
        Ok(())
    }

    /// FIONBIO.
    pub fn set_nonblocking(&self, on: bool) {
        self.update_flags(linux::O_NONBLOCK, if on { linux::O_NONBLOCK } else { 0 });
    }

    // Flags are independent of all other memory.
    fn update_flags(&self, which: u32, to: u32) {
        let change = |old: u32| Some((old & !which) | (to & which));
        let _ = self.flags.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
    }

    /// Whether what would block answers EAGAIN at once.
    pub fn is_nonblocking(&self) -> bool {
        self.flags() & linux::O_NONBLOCK != 0
    }

    /// Whether it is open for reading.
    pub fn is_readable(&self) -> bool {
        self.readable
    }

    /// Whether it is open for writing.
    pub fn is_writable(&self) -> bool {
        self.writable
    }

    /// Whether it only names a place (O_PATH).
    pub fn is_path(&self) -> bool {
        self.flags() & linux::O_PATH != 0
    }

    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.location.as_ref().is_some_and(|location| location.kind() == FileType::Directory)
    }

    /// Number that is unique to this open file while it lives.
    pub fn id(&self) -> u64 {
        core::ptr::from_ref(self).addr() as u64
    }

    /// F_SETOWN and F_SETSIG, for whoever sends SIGIO.
    pub fn set_owner(&self, owner: i32, signal: u32) {
        self.owner.store(u64::from(signal) << 32 | u64::from(owner as u32), Ordering::Relaxed);
    }

    /// What [`OpenFile::set_owner`] was given last.
    pub fn owner(&self) -> (i32, u32) {
        let owner = self.owner.load(Ordering::Relaxed);
        (owner as u32 as i32, (owner >> 32) as u32)
    }

    /// What fstat tells.
    pub fn metadata(&self) -> Metadata {
        self.location.as_ref().map_or_else(|| self.file.metadata(), Location::metadata)
    }

    /// read(2).
    ///
    /// # Errors
    /// [`VfsError::BadDescriptor`] if not open for reading, else the file's.
    pub fn read(&self, out: &mut [u8]) -> Result<usize> {
        self.check_readable()?;
        if self.positioning != Positioning::Seekable {
            let count = self.file.read(0, out)?;
            self.tell_if(count > 0, linux::IN_ACCESS);
            return Ok(count);
        }
        let moving = self.moving.lock();
        let position = self.position();
        let count = self.file.read(position, out)?;
        self.move_to(position + count as u64);
        drop(moving);
        self.accessed();
        self.tell_if(count > 0, linux::IN_ACCESS);
        Ok(count)
    }

    /// pread(2).
    ///
    /// # Errors
    /// [`VfsError::NotSeekable`] for streams, else as [`OpenFile::read`].
    pub fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<usize> {
        self.check_readable()?;
        self.check_offset(offset)?;
        let count = self.file.read(offset, out)?;
        self.accessed();
        self.tell_if(count > 0, linux::IN_ACCESS);
        Ok(count)
    }

    /// write(2).
    ///
    /// # Errors
    /// [`VfsError::BadDescriptor`] if not open for writing, [`VfsError::FileTooBig`] at the limit (the writer gets
    /// SIGXFSZ), else the file's.
    pub fn write(&self, data: &[u8], rules: &WriteRules) -> Result<usize> {
        self.check_writable()?;
        if self.positioning != Positioning::Seekable {
            return self.write_stream(data);
        }
        let moving = self.moving.lock();
        let (taken, end) = self.write_seekable(self.position(), data, rules)?;
        self.move_to(end);
        drop(moving);
        self.tell_if(taken > 0, linux::IN_MODIFY);
        Ok(taken)
    }

    /// pwrite(2). As in Linux, O_APPEND appends all the same.
    ///
    /// # Errors
    /// [`VfsError::NotSeekable`] for streams, else as [`OpenFile::write`].
    pub fn write_at(&self, offset: u64, data: &[u8], rules: &WriteRules) -> Result<usize> {
        self.check_writable()?;
        self.check_offset(offset)?;
        if self.positioning != Positioning::Seekable {
            return self.write_stream(data);
        }
        let (taken, _) = self.write_seekable(offset, data, rules)?;
        self.tell_if(taken > 0, linux::IN_MODIFY);
        Ok(taken)
    }

    fn write_stream(&self, data: &[u8]) -> Result<usize> {
        let taken = self.file.write(0, data)?;
        self.tell_if(taken > 0, linux::IN_MODIFY);
        Ok(taken)
    }

    /// Tells who watches the file, or the directory it is in, that `mask` happened.
    #[inline]
    fn tell_if(&self, happened: bool, mask: u32) {
        if notify::is_watched() && happened {
            self.tell(mask);
        }
    }

    #[cold]
    fn tell(&self, mask: u32) {
        if let Some(location) = &self.location {
            notify::tell(location.inode(), mask);
        }
    }

    fn write_seekable(&self, offset: u64, data: &[u8], rules: &WriteRules) -> Result<(usize, u64)> {
        if data.is_empty() {
            return Ok((0, offset));
        }
        let limit = if self.regular { rules.file_size_limit.min(MAX_FILE_SIZE) } else { MAX_FILE_SIZE };
        let done = if self.flags() & linux::O_APPEND != 0 {
            self.file.append(data, limit)?
        } else {
            let room = limit.checked_sub(offset).filter(|room| *room > 0).ok_or(VfsError::FileTooBig)?;
            let fits = usize::try_from(room).unwrap_or(usize::MAX).min(data.len());
            let taken = self.file.write(offset, data.get(..fits).unwrap_or(data))?;
            (taken, offset + taken as u64)
        };
        self.written(rules);
        Ok(done)
    }

    /// lseek(2): the new position.
    ///
    /// # Errors
    /// [`VfsError::NotSeekable`], [`VfsError::InvalidArgument`] for a place before the start,
    /// [`VfsError::NoDeviceOrAddress`] for data or holes beyond the end.
    pub fn seek(&self, to: SeekFrom) -> Result<u64> {
        self.check_real()?;
        match self.positioning {
            Positioning::Stream => return Err(VfsError::NotSeekable),
            Positioning::Ignored => return Ok(0),
            Positioning::Seekable => {}
        }
        let _moving = self.moving.lock();
        let from = |base: u64, offset: i64| base.checked_add_signed(offset).ok_or(VfsError::InvalidArgument);
        let beyond = |offset: i64| u64::try_from(offset).map_err(|_| VfsError::NoDeviceOrAddress);
        let new = match to {
            SeekFrom::Start(offset) => from(0, offset)?,
            SeekFrom::Current(offset) => from(self.position(), offset)?,
            SeekFrom::End(offset) if !self.is_directory() => from(self.file.len(), offset)?,
            SeekFrom::Data(offset) if !self.is_directory() => self.file.seek_data(beyond(offset)?)?,
            SeekFrom::Hole(offset) if !self.is_directory() => self.file.seek_hole(beyond(offset)?)?,
            _ => return Err(VfsError::InvalidArgument),
        };
        if new > MAX_FILE_SIZE {
            return Err(VfsError::InvalidArgument);
        }
        self.move_to(new);
        Ok(new)
    }

    /// ftruncate(2).
    ///
    /// # Errors
    /// [`VfsError::InvalidArgument`] if not open for writing or no regular file, [`VfsError::FileTooBig`].
    pub fn truncate(&self, len: u64, rules: &WriteRules) -> Result<()> {
        self.check_real()?;
        if !self.writable || len > MAX_FILE_SIZE {
            return Err(VfsError::InvalidArgument);
        }
        if len > rules.file_size_limit && len > self.file.len() {
            return Err(VfsError::FileTooBig);
        }
        self.file.truncate(len)?;
        self.written(rules);
        self.tell_if(true, linux::IN_MODIFY);
        Ok(())
    }

    /// fallocate(2).
    ///
    /// # Errors
    /// [`VfsError::BadDescriptor`], [`VfsError::FileTooBig`], [`VfsError::NotSeekable`] for pipes, else the file's.
    pub fn allocate(&self, mode: u32, offset: u64, len: u64, rules: &WriteRules) -> Result<()> {
        self.check_writable()?;
        let end = offset.checked_add(len).filter(|end| *end <= MAX_FILE_SIZE).ok_or(VfsError::FileTooBig)?;
        if len == 0 {
            return Err(VfsError::InvalidArgument);
        }
        if self.positioning == Positioning::Stream && self.metadata().kind == FileType::Fifo {
            return Err(VfsError::NotSeekable);
        }
        if mode & linux::FALLOC_FL_KEEP_SIZE == 0 && end > rules.file_size_limit {
            return Err(VfsError::FileTooBig);
        }
        self.file.allocate(mode, offset, len)?;
        self.written(rules);
        self.tell_if(true, linux::IN_MODIFY);
        Ok(())
    }

    /// getdents64(2): fills `out` with `struct linux_dirent64`; the bytes used, 0 at the end.
    ///
    /// # Errors
    /// [`VfsError::NotADirectory`]; [`VfsError::InvalidArgument`] if not even one entry fits;
    /// [`VfsError::NotFound`] if the directory has been removed.
    pub fn read_dir(&self, out: &mut [u8]) -> Result<usize> {
        self.check_readable()?;
        let location = self.location.as_ref().ok_or(VfsError::NotADirectory)?;
        let moving = self.moving.lock();
        let mut position = self.position();
        let used = crate::dirents::fill(location, &mut position, out)?;
        self.move_to(position);
        drop(moving);
        self.accessed();
        self.tell_if(true, linux::IN_ACCESS);
        Ok(used)
    }

    /// fsync(2) and fdatasync(2).
    ///
    /// # Errors
    /// [`VfsError::InvalidArgument`] where there is nothing to write back.
    pub fn sync(&self) -> Result<()> {
        self.check_real()?;
        if self.is_directory() { Ok(()) } else { self.file.sync() }
    }

    /// ioctl(2); see [`File::ioctl`].
    ///
    /// # Errors
    /// [`VfsError::BadDescriptor`] for O_PATH, else the file's.
    pub fn ioctl(&self, request: u32, arg: u64, bytes: &mut [u8], caller: &Caller<'_>) -> Result<u64> {
        self.check_real()?;
        if request == abi::linux::ioctl::FIONREAD && self.regular {
            let left = self.file.len().saturating_sub(self.position()).min(i32::MAX as u64) as u32;
            if let Some(slot) = bytes.first_chunk_mut() {
                *slot = left.to_le_bytes();
            }
            return Ok(0);
        }
        self.file.ioctl(request, arg, bytes, caller)
    }

    /// Commands of fcntl(2) for the file itself; see [`File::control`].
    ///
    /// # Errors
    /// [`VfsError::BadDescriptor`] for O_PATH, [`VfsError::NotPermitted`] for sealing without write access, else the
    /// file's.
    pub fn control(&self, command: u32, arg: u64) -> Result<u64> {
        self.check_real()?;
        if command == linux::F_ADD_SEALS && !self.writable {
            return Err(VfsError::NotPermitted);
        }
        self.file.control(command, arg)
    }

    /// What it is ready for, of `interest` and what is always told.
    pub fn poll(&self, interest: PollEvents) -> PollEvents {
        if self.is_path() {
            return PollEvents::NVAL;
        }
        self.file.poll() & (interest | PollEvents::ALWAYS)
    }

    /// The queues to wait in for any of `interest`; see [`File::wait_queues`].
    pub fn wait_queues(&self, interest: PollEvents, visit: &mut dyn FnMut(&Arc<WaitQueue>)) {
        self.file.wait_queues(interest, visit);
    }

    /// Record locks and flocks of the node.
    ///
    /// # Errors
    /// [`VfsError::NoLocks`] where there can be none.
    pub fn locks(&self) -> Result<&FileLocks> {
        self.check_real()?;
        self.location.as_ref().and_then(|location| location.inode().locks()).ok_or(VfsError::NoLocks)
    }

    /// F_SETLK and F_OFD_SETLK. Wait in `locks()?.queue()` and try again for the waiting kind.
    ///
    /// # Errors
    /// [`VfsError::WouldBlock`], [`VfsError::BadDescriptor`] if the access mode does not fit the kind.
    pub fn lock_record(&self, lock: RecordLock) -> Result<()> {
        let fits = match lock.kind {
            LockKind::Shared => self.readable,
            LockKind::Exclusive => self.writable,
        };
        if !fits {
            return Err(VfsError::BadDescriptor);
        }
        self.locks()?.lock_record(lock)
    }

    /// flock(2); `None` unlocks.
    ///
    /// # Errors
    /// [`VfsError::WouldBlock`].
    pub fn flock(&self, kind: Option<LockKind>) -> Result<()> {
        let locks = self.locks()?;
        match kind {
            Some(kind) => locks.flock(self.id(), kind),
            None => {
                locks.release_flock(self.id());
                Ok(())
            }
        }
    }

    /// A descriptor of the process `owner` is being closed: its record locks on the file go, whatever else is open.
    pub fn closed_by(&self, owner: u64) {
        match &self.location {
            Some(location) => {
                if let Some(locks) = location.inode().locks() {
                    locks.release_owner(LockOwner::Process(owner));
                }
            }
            None if self.pipe.is_none() => self.file.closed_by(owner),
            None => {}
        }
    }

    /// Position, for F_GETLK's SEEK_CUR and /proc/PID/fdinfo.
    pub fn position(&self) -> u64 {
        self.position.load(Ordering::Relaxed)
    }

    /// Sets the position; for the holder of `moving`, whose lock orders it for the next one.
    fn move_to(&self, position: u64) {
        self.position.store(position, Ordering::Relaxed);
    }

    fn check_real(&self) -> Result<()> {
        if self.is_path() { Err(VfsError::BadDescriptor) } else { Ok(()) }
    }

    fn check_readable(&self) -> Result<()> {
        if self.readable { Ok(()) } else { Err(VfsError::BadDescriptor) }
    }

    fn check_writable(&self) -> Result<()> {
        if self.writable { Ok(()) } else { Err(VfsError::BadDescriptor) }
    }

    fn check_offset(&self, offset: u64) -> Result<()> {
        if self.positioning == Positioning::Stream {
            return Err(VfsError::NotSeekable);
        }
        if offset > MAX_FILE_SIZE { Err(VfsError::InvalidArgument) } else { Ok(()) }
    }

    /// Updates the time of last access, if the file keeps one: it has been read, or counts as read.
    pub fn accessed(&self) {
        let Some(location) = &self.location else { return };
        let flags = location.mount().flags();
        if self.flags() & linux::O_NOATIME == 0 && !flags.intersects(MountFlags::NO_ACCESS_TIME | MountFlags::READ_ONLY)
        {
            location.inode().accessed();
        }
    }

    /// Takes set-id bits away after a change by someone who may not keep them.
    fn written(&self, rules: &WriteRules) {
        if !self.regular || rules.keep_set_ids {
            return;
        }
        if let Some(location) = &self.location {
            drop_set_ids(location.inode().as_ref());
        }
    }
}

/// Clears set-user-id, and set-group-id of a group-executable file.
pub(crate) fn drop_set_ids(inode: &dyn Inode) {
    let Access { mode, .. } = inode.access();
    let kept = without_set_ids(mode);
    if kept != mode {
        let _ = inode.set_attributes(&AttributeChange { mode: Some(kept), ..AttributeChange::default() });
    }
}

/// `mode` less the set-id bits that a change of the file clears.
pub(crate) const fn without_set_ids(mode: u32) -> u32 {
    let mode = mode & !linux::S_ISUID;
    if mode & linux::S_IXGRP != 0 { mode & !linux::S_ISGID } else { mode }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        if !self.is_path() {
            self.file.release(self.writable);
            self.tell_if(true, if self.writable { linux::IN_CLOSE_WRITE } else { linux::IN_CLOSE_NOWRITE });
        }
        let Some(location) = &self.location else { return };
        if let Some(locks) = location.inode().locks() {
            let id = self.id();
            locks.release_flock(id);
            locks.release_owner(LockOwner::OpenFile(id));
        }
        if self.writable && counts_writers(location) {
            Self::uncount_writer(location);
        }
    }
}

/// Whether writing through an open file changes what the mount holds.
pub(crate) fn counts_writers(location: &Location) -> bool {
    location.kind() == FileType::Regular
}
