//! Names: mkdir, mknod, symlink, link, unlink, rmdir, rename, and reading directories.

use abi::Errno;
use abi::linux::general as linux;
use vfs::{DeviceNumber, RenameMode};

use crate::calls::stat::CWD;
use crate::{Caller, SysResult};

pub(crate) fn sys_mkdirat(caller: Caller<'_>, dirfd: u64, path: u64, mode: u64) -> SysResult {
    let path = caller.memory().read_path(path)?;
    caller.standing(dirfd, &path)?.context().mkdir(&path, mode as u32)?;
    Ok(0)
}

pub(crate) fn sys_mknodat(caller: Caller<'_>, dirfd: u64, path: u64, mode: u64, device: u64) -> SysResult {
    let path = caller.memory().read_path(path)?;
    let device = DeviceNumber::decode(u64::from(device as u32));
    caller.standing(dirfd, &path)?.context().mknod(&path, mode as u32, device)?;
    Ok(0)
}

pub(crate) fn sys_symlinkat(caller: Caller<'_>, target: u64, dirfd: u64, path: u64) -> SysResult {
    let target = caller.memory().read_path(target)?;
    if target.is_empty() {
        return Err(Errno::ENOENT.into());
    }
    let path = caller.memory().read_path(path)?;
    caller.standing(dirfd, &path)?.context().symlink(&target, &path)?;
    Ok(0)
}

pub(crate) fn sys_linkat(caller: Caller<'_>, args: [u64; 6]) -> SysResult {
    let [from_dirfd, from, to_dirfd, to, flags, _] = args;
    let flags = flags as u32;
    if flags & !(linux::AT_SYMLINK_FOLLOW | linux::AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let follow = if flags & linux::AT_SYMLINK_FOLLOW != 0 { 0 } else { linux::AT_SYMLINK_NOFOLLOW };
    let old = caller.target_at(from_dirfd, from, follow | flags & linux::AT_EMPTY_PATH)?;
    let path = caller.memory().read_path(to)?;
    let standing = caller.standing(to_dirfd, &path)?;
    let location = old.location().map_err(|_| Errno::EXDEV)?;
    standing.context().link(location, &path)?;
    Ok(0)
}

pub(crate) fn sys_unlinkat(caller: Caller<'_>, dirfd: u64, path: u64, flags: u64) -> SysResult {
    let flags = flags as u32;
    if flags & !linux::AT_REMOVEDIR != 0 {
        return Err(Errno::EINVAL.into());
    }
    let path = caller.memory().read_path(path)?;
    let standing = caller.standing(dirfd, &path)?;
    if flags & linux::AT_REMOVEDIR != 0 {
        standing.context().rmdir(&path)?;
    } else {
        standing.context().unlink(&path)?;
    }
    Ok(0)
}

pub(crate) fn sys_renameat2(caller: Caller<'_>, args: [u64; 6]) -> SysResult {
    let [from_dirfd, from, to_dirfd, to, flags, _] = args;
    let mode = match flags as u32 {
        0 => RenameMode::Replace,
        linux::RENAME_NOREPLACE => RenameMode::NoReplace,
        linux::RENAME_EXCHANGE => RenameMode::Exchange,
        _ => return Err(Errno::EINVAL.into()),
    };
    let from = caller.memory().read_path(from)?;
    let to = caller.memory().read_path(to)?;
    let source = caller.standing(from_dirfd, &from)?;
    let target = caller.standing(to_dirfd, &to)?;
    source.context().rename(&from, target.base(), &to, mode)?;
    Ok(0)
}

pub(crate) fn sys_rename(caller: Caller<'_>, from: u64, to: u64) -> SysResult {
    sys_renameat2(caller, [CWD, from, CWD, to, 0, 0])
}

/// getdents64(2).
pub(crate) fn sys_getdents64(caller: Caller<'_>, fd: u64, out: u64, size: u64) -> SysResult {
    let file = caller.file(fd)?;
    let size = size as u32 as usize;
    crate::calls::buffers::with_step(size as u64, |bounce| {
        let before = file.position();
        let used = file.read_dir(bounce)?;
        let written = caller.memory().write_bytes(out, bounce.get(..used).unwrap_or_default());
        if let Err(error) = written {
            // Nothing was delivered: the next call starts where this one did.
            let _ = file.seek(vfs::SeekFrom::Start(before as i64));
            return Err(error);
        }
        Ok(used as u64)
    })
}

/// getdents(2), the old layout: the type is the last byte of a record instead of standing before the name.
pub(crate) fn sys_getdents(caller: Caller<'_>, fd: u64, out: u64, size: u64) -> SysResult {
    /// Bytes before the name in the new layout and in the old one.
    const NEW_HEADER: usize = 19;
    const OLD_HEADER: usize = 18;
    let file = caller.file(fd)?;
    let size = size as u32 as usize;
    crate::calls::buffers::with_step(size as u64, |bounce| {
        let before = file.position();
        let used = file.read_dir(bounce)?;
        let mut at = 0;
        while at < used {
            let Some(length) =
                bounce.get(at + 16..at + 18).map(|b| b.iter().rev().fold(0, |n, b| n << 8 | usize::from(*b)))
            else {
                break;
            };
            let Some(record) = bounce.get_mut(at..at + length.max(NEW_HEADER)) else { break };
            let kind = record.get(OLD_HEADER).copied().unwrap_or(0);
            record.copy_within(NEW_HEADER.., OLD_HEADER);
            if let Some(last) = record.last_mut() {
                *last = kind;
            }
            at += length.max(NEW_HEADER);
        }
        let written = caller.memory().write_bytes(out, bounce.get(..used).unwrap_or_default());
        if let Err(error) = written {
            let _ = file.seek(vfs::SeekFrom::Start(before as i64));
            return Err(error);
        }
        Ok(used as u64)
    })
}
