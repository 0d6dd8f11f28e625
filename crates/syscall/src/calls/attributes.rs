//! Changing what files are: chmod, chown, truncate, times, extended attributes.

use abi::linux::general as linux;
use abi::{Errno, Timespec, Timeval};
use types::{Gid, Uid};
use vfs::{FileType, TimeChange, Timestamp};

use crate::calls::stat::{CWD, Target};
use crate::mapped_files::object_of;
use crate::{Caller, SysError, SysResult};

pub(crate) fn sys_fchmodat(caller: Caller<'_>, dirfd: u64, path: u64, mode: u64, flags: u64) -> SysResult {
    let flags = flags as u32;
    if flags & !(linux::AT_SYMLINK_NOFOLLOW | linux::AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let target = caller.target_at(dirfd, path, flags)?;
    set_mode(&target, mode)
}

pub(crate) fn sys_fchmod(caller: Caller<'_>, fd: u64, mode: u64) -> SysResult {
    let file = caller.file(fd)?;
    set_mode(&Target::File(caller.standing_at(None)?, file), mode)
}

fn set_mode(target: &Target, mode: u64) -> SysResult {
    target.standing().context().set_mode(target.location()?, mode as u32 & 0o7777)?;
    Ok(0)
}

pub(crate) fn sys_fchownat(caller: Caller<'_>, args: [u64; 6]) -> SysResult {
    let [dirfd, path, uid, gid, flags, _] = args;
    let flags = flags as u32;
    if flags & !(linux::AT_SYMLINK_NOFOLLOW | linux::AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let target = caller.target_at(dirfd, path, flags)?;
    set_owner(&target, uid, gid)
}

pub(crate) fn sys_chown(caller: Caller<'_>, path: u64, uid: u64, gid: u64, flags: u32) -> SysResult {
    sys_fchownat(caller, [CWD, path, uid, gid, flags.into(), 0])
}

pub(crate) fn sys_fchown(caller: Caller<'_>, fd: u64, uid: u64, gid: u64) -> SysResult {
    let file = caller.file(fd)?;
    set_owner(&Target::File(caller.standing_at(None)?, file), uid, gid)
}

fn set_owner(target: &Target, uid: u64, gid: u64) -> SysResult {
    // -1 leaves it as it is.
    let uid = Some(uid as u32).filter(|uid| *uid != u32::MAX).map(Uid);
    let gid = Some(gid as u32).filter(|gid| *gid != u32::MAX).map(Gid);
    target.standing().context().set_owner(target.location()?, uid, gid)?;
    Ok(0)
}

pub(crate) fn sys_truncate(caller: Caller<'_>, path: u64, len: u64) -> SysResult {
    if len > i64::MAX as u64 {
        return Err(Errno::EINVAL.into());
    }
    let target = caller.target_at(CWD, path, 0)?;
    let limit = caller.write_rules().file_size_limit;
    let context = target.standing().context();
    let location = target.location()?;
    let outcome = context.truncate(location, len, limit).map_err(SysError::from);
    caller.signal_failed_write(&outcome);
    outcome?;
    caller.system.file_was_truncated(object_of(location.inode()), len);
    Ok(0)
}

pub(crate) fn sys_utimensat(caller: Caller<'_>, dirfd: u64, path: u64, times: u64, flags: u64) -> SysResult {
    let flags = flags as u32;
    let (atime, mtime) = match times {
        0 => (TimeChange::Now, TimeChange::Now),
        address => {
            let memory = caller.memory();
            let first: Timespec = memory.read(address)?;
            let second: Timespec = memory.read(address.wrapping_add(16))?;
            (change_of(first)?, change_of(second)?)
        }
    };
    if atime == TimeChange::Keep && mtime == TimeChange::Keep {
        return Ok(0);
    }
    if flags & !(linux::AT_SYMLINK_NOFOLLOW | linux::AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let target = if path == 0 && dirfd as i32 != linux::AT_FDCWD {
        // futimens: the descriptor itself.
        if flags != 0 {
            return Err(Errno::EINVAL.into());
        }
        Target::File(caller.standing_at(None)?, caller.file(dirfd)?)
    } else {
        caller.target_at(dirfd, path, flags)?
    };
    set_times(&target, atime, mtime)
}

fn change_of(time: Timespec) -> SysResult<TimeChange> {
    match u32::try_from(time.tv_nsec).map_err(|_| Errno::EINVAL)? {
        linux::UTIME_NOW => Ok(TimeChange::Now),
        linux::UTIME_OMIT => Ok(TimeChange::Keep),
        nanos @ 0..=999_999_999 => Ok(TimeChange::To(Timestamp { secs: time.tv_sec, nanos })),
        _ => Err(Errno::EINVAL.into()),
    }
}

/// utimes(2) and futimesat(2).
pub(crate) fn sys_futimesat(caller: Caller<'_>, dirfd: u64, path: u64, times: u64) -> SysResult {
    let (atime, mtime) = match times {
        0 => (TimeChange::Now, TimeChange::Now),
        address => {
            let memory = caller.memory();
            let first: Timeval = memory.read(address)?;
            let second: Timeval = memory.read(address.wrapping_add(16))?;
            (change_of_timeval(first)?, change_of_timeval(second)?)
        }
    };
    let target = if path == 0 && dirfd as i32 != linux::AT_FDCWD {
        Target::File(caller.standing_at(None)?, caller.file(dirfd)?)
    } else {
        caller.target_at(dirfd, path, 0)?
    };
    set_times(&target, atime, mtime)
}

fn change_of_timeval(time: Timeval) -> SysResult<TimeChange> {
    if !(0..1_000_000).contains(&time.tv_usec) {
        return Err(Errno::EINVAL.into());
    }
    Ok(TimeChange::To(Timestamp { secs: time.tv_sec, nanos: time.tv_usec as u32 * 1000 }))
}

/// utime(2): whole seconds.
pub(crate) fn sys_utime(caller: Caller<'_>, path: u64, times: u64) -> SysResult {
    let (atime, mtime) = match times {
        0 => (TimeChange::Now, TimeChange::Now),
        address => {
            let atime: i64 = caller.memory().read(address)?;
            let mtime: i64 = caller.memory().read(address.wrapping_add(8))?;
            (TimeChange::To(Timestamp::from_secs(atime)), TimeChange::To(Timestamp::from_secs(mtime)))
        }
    };
    let target = caller.target_at(CWD, path, 0)?;
    set_times(&target, atime, mtime)
}

fn set_times(target: &Target, atime: TimeChange, mtime: TimeChange) -> SysResult {
    target.standing().context().set_times(target.location()?, atime, mtime)?;
    Ok(0)
}

/// Where an extended-attribute call looks.
#[derive(Clone, Copy)]
pub(crate) enum XattrPlace {
    /// A path, links followed.
    Path,
    /// A path, the link itself meant.
    LinkPath,
    /// A descriptor.
    Descriptor,
}

/// What an extended-attribute call does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum XattrCall {
    /// getxattr.
    Get,
    /// setxattr.
    Set,
    /// removexattr.
    Remove,
    /// listxattr.
    List,
}

/// Extended attributes: no file system here keeps any (EOPNOTSUPP, and empty lists), but arguments are checked.
pub(crate) fn sys_xattr(caller: Caller<'_>, place: XattrPlace, call: XattrCall, file: u64, name: u64) -> SysResult {
    if call != XattrCall::List {
        let name = caller.memory().read_string(name, linux::XATTR_NAME_MAX as usize + 1, Errno::ERANGE)?;
        if name.is_empty() {
            return Err(Errno::ERANGE.into());
        }
    }
    let target = match place {
        XattrPlace::Path => caller.target_at(CWD, file, 0)?,
        XattrPlace::LinkPath => caller.target_at(CWD, file, linux::AT_SYMLINK_NOFOLLOW)?,
        XattrPlace::Descriptor => Target::File(caller.standing_at(None)?, caller.file(file)?),
    };
    // A look at the target finds what does not exist.
    let _: FileType = target.metadata().kind;
    match call {
        XattrCall::List => Ok(0),
        XattrCall::Get | XattrCall::Set | XattrCall::Remove => Err(Errno::EOPNOTSUPP.into()),
    }
}
