//! Opening files: open, openat, openat2, creat, memfd_create.

use alloc::sync::Arc;

use abi::Errno;
use abi::linux::general as linux;
use process::signal::Restart;
use vfs::{Confine, Opened};

use crate::actor::{Standing, on_exec};
use crate::mapped_files::object_of;
use crate::wait::interruptible;
use crate::{Caller, OpenFile, SysError, SysResult};

/// Flags that open(2) knows; it ignores others, openat2(2) does not.
const KNOWN: u32 = linux::O_ACCMODE
    | linux::O_CREAT
    | linux::O_EXCL
    | linux::O_NOCTTY
    | linux::O_TRUNC
    | linux::O_APPEND
    | linux::O_NONBLOCK
    | linux::O_SYNC
    | linux::O_DSYNC
    | linux::FASYNC
    | linux::O_DIRECT
    | linux::O_LARGEFILE
    | linux::O_DIRECTORY
    | linux::O_NOFOLLOW
    | linux::O_NOATIME
    | linux::O_CLOEXEC
    | linux::O_PATH
    | linux::O_TMPFILE;

/// Flags that mean something together with O_PATH.
const WITH_PATH: u32 = linux::O_PATH | linux::O_DIRECTORY | linux::O_NOFOLLOW | linux::O_CLOEXEC;

/// What an open call asks for.
struct Request {
    standing: Standing,
    path: alloc::vec::Vec<u8>,
    flags: u32,
    mode: u32,
}

/// Whether call `number` is one of these.
pub(crate) const fn is_open(number: u32) -> bool {
    matches!(number, linux::__NR_open | linux::__NR_openat | linux::__NR_openat2 | linux::__NR_creat)
}

/// Opens what need not be waited for.
pub(crate) fn open_now(caller: Caller<'_>, number: u32, args: [u64; 6]) -> Option<SysResult> {
    let outcome = Request::decode(caller, number, args).and_then(|request| {
        let fd = Reserved::new(caller, request.flags)?;
        let opened = request.open()?;
        // A fifo without its other end: to be opened again by who may wait.
        Ok(opened.fifo.is_none().then(|| fd.fill(caller, opened.file, request.flags)))
    });
    match outcome {
        Ok(Some(fd)) => Some(Ok(fd)),
        Ok(None) => None,
        Err(error) => Some(Err(error)),
    }
}

/// Opens; waits for the other end of a fifo.
pub(crate) async fn open_wait(caller: Caller<'_>, number: u32, args: [u64; 6]) -> SysResult {
    let request = Request::decode(caller, number, args)?;
    let fd = Reserved::new(caller, request.flags)?;
    let Opened { file, fifo } = request.open()?;
    if let Some(fifo) = fifo {
        let other_end = fifo.queue().wait_until(|| fifo.ready());
        if interruptible(caller.thread, other_end).await.is_err() {
            return Err(SysError::Restart(Restart::Sys));
        }
    }
    Ok(fd.fill(caller, file, request.flags))
}

impl Request {
    fn decode(caller: Caller<'_>, number: u32, args: [u64; 6]) -> SysResult<Self> {
        let cwd = linux::AT_FDCWD as u64;
        let mut confine = Confine::empty();
        let (dirfd, path, flags, mode) = match (number, args) {
            (linux::__NR_open, [path, flags, mode, ..]) => (cwd, path, flags as u32 & KNOWN, mode as u32),
            (linux::__NR_creat, [path, mode, ..]) => {
                (cwd, path, linux::O_CREAT | linux::O_WRONLY | linux::O_TRUNC, mode as u32)
            }
            (linux::__NR_openat2, [dirfd, path, how, size, ..]) => {
                let how = read_how(caller, how, size)?;
                confine = how.2;
                (dirfd, path, how.0, how.1)
            }
            (_, [dirfd, path, flags, mode, ..]) => (dirfd, path, flags as u32 & KNOWN, mode as u32),
        };
        let flags = if flags & linux::O_PATH != 0 { flags & WITH_PATH } else { flags };
        let path = caller.memory().read_path(path)?;
        let standing = if confine.contains(Confine::IN_ROOT) {
            // An absolute path starts at the directory, too.
            caller.standing(dirfd, path.first().map_or(&[][..], |_| b"."))?
        } else {
            caller.standing(dirfd, &path)?
        };
        let standing = standing.confined(confine);
        Ok(Self { standing, path, flags, mode: mode & 0o7777 })
    }

    fn open(&self) -> SysResult<Opened> {
        Ok(self.standing.context().open(&self.path, self.flags, self.mode)?)
    }
}

/// `struct open_how` of openat2(2): flags, mode, and where the path may lead.
fn read_how(caller: Caller<'_>, address: u64, size: u64) -> SysResult<(u32, u32, Confine)> {
    /// Bytes of the first version of the structure.
    const SIZE: u64 = 24;
    if size < SIZE {
        return Err(Errno::EINVAL.into());
    }
    if size > 4096 {
        return Err(Errno::E2BIG.into());
    }
    let memory = caller.memory();
    let [flags, mode, resolve] = [0, 8, 16].map(|at| memory.read::<u64>(address.wrapping_add(at)));
    let (flags, mode, resolve) = (flags?, mode?, resolve?);
    let more = memory.read_vec(address.wrapping_add(SIZE), (size - SIZE) as usize)?;
    if more.iter().any(|byte| *byte != 0) {
        return Err(Errno::E2BIG.into());
    }
    let creates = flags & u64::from(linux::O_CREAT | (linux::O_TMPFILE & !linux::O_DIRECTORY)) != 0;
    let known = flags & !u64::from(KNOWN) == 0;
    if !known || (!creates && mode != 0) || mode & !0o7777 != 0 {
        return Err(Errno::EINVAL.into());
    }
    if flags & u64::from(linux::O_PATH) != 0 && flags & !u64::from(WITH_PATH) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let all = u64::from(
        linux::RESOLVE_BENEATH
            | linux::RESOLVE_CACHED
            | linux::RESOLVE_IN_ROOT
            | linux::RESOLVE_NO_MAGICLINKS
            | linux::RESOLVE_NO_SYMLINKS
            | linux::RESOLVE_NO_XDEV,
    );
    if resolve & !all != 0 {
        return Err(Errno::EINVAL.into());
    }
    if resolve & u64::from(linux::RESOLVE_CACHED) != 0 {
        return Err(Errno::EAGAIN.into());
    }
    let confine = Confine::from_bits_truncate(resolve as u8);
    if confine.contains(Confine::BENEATH | Confine::IN_ROOT) {
        return Err(Errno::EINVAL.into());
    }
    Ok((flags as u32, mode as u32, confine))
}

/// A descriptor set aside before the file is opened: an open that has no number must not do anything.
pub(super) struct Reserved {
    files: Arc<crate::actor::Files>,
    fd: Option<u32>,
}

impl Reserved {
    pub(super) fn new(caller: Caller<'_>, flags: u32) -> SysResult<Self> {
        let files = caller.files()?;
        let fd = files.reserve(0, caller.file_limit(), on_exec(flags))?;
        Ok(Self { files, fd: Some(fd) })
    }

    pub(super) fn fill(mut self, caller: Caller<'_>, file: Arc<OpenFile>, flags: u32) -> u64 {
        caller.adopt_terminal(&file, flags);
        if flags & linux::O_TRUNC != 0 {
            caller.system.file_was_truncated(object_of(file.file()), 0);
        }
        match self.fd.take() {
            Some(fd) => {
                self.files.install(fd, file);
                fd.into()
            }
            None => 0,
        }
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if let Some(fd) = self.fd {
            self.files.cancel(fd);
        }
    }
}

/// memfd_create(2): an unnamed file in memory.
pub(crate) fn sys_memfd_create(caller: Caller<'_>, name: u64, flags: u64) -> SysResult {
    /// Longest name with its NUL: NAME_MAX less `memfd:`.
    const LIMIT: usize = 250;
    let flags = flags as u32;
    let known = linux::MFD_CLOEXEC | linux::MFD_NOEXEC_SEAL | linux::MFD_EXEC | linux::MFD_ALLOW_SEALING;
    if flags & !known != 0 {
        return Err(Errno::EINVAL.into());
    }
    let name = caller.memory().read_string(name, LIMIT, Errno::EINVAL)?;
    let file = caller.system.memory_file(&caller.thread.namespaces().mounts.table, &name, flags)?;
    caller.install(file, if flags & linux::MFD_CLOEXEC != 0 { linux::O_CLOEXEC } else { 0 })
}
