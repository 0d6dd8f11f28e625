//! Where a process stands: getcwd, chdir, chroot, umask; and what is mounted.

use alloc::vec::Vec;

use abi::Errno;
use abi::linux::general as linux;
use types::Capabilities;
use vfs::{FileType, Follow, MountFlags, Recursion, Unmount, Want, permit};

use crate::calls::stat::CWD;
use crate::{Caller, SysResult};

pub(crate) fn sys_getcwd(caller: Caller<'_>, out: u64, size: u64) -> SysResult {
    let standing = caller.standing_at(None)?;
    let mut path = standing.base().working_directory(standing.namespace(), standing.root())?;
    path.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
    path.push(0);
    if path.len() > vfs::PATH_MAX {
        return Err(Errno::ENAMETOOLONG.into());
    }
    if path.len() as u64 > size {
        return Err(Errno::ERANGE.into());
    }
    caller.memory().write_bytes(out, &path)?;
    Ok(path.len() as u64)
}

pub(crate) fn sys_chdir(caller: Caller<'_>, path: u64) -> SysResult {
    let path = caller.memory().read_path(path)?;
    let to = caller.standing(CWD, &path)?.context().resolve_working_directory(&path)?;
    drop(caller.fs()?.set_cwd(to));
    Ok(0)
}

pub(crate) fn sys_fchdir(caller: Caller<'_>, fd: u64) -> SysResult {
    let file = caller.file_or_path(fd)?;
    let to = file.location().ok_or(Errno::ENOTDIR)?;
    let access = to.inode().access();
    if access.kind != FileType::Directory {
        return Err(Errno::ENOTDIR.into());
    }
    permit(&access, &caller.thread.credentials(), Want::EXECUTE)?;
    drop(caller.fs()?.set_cwd(to.clone()));
    Ok(0)
}

pub(crate) fn sys_chroot(caller: Caller<'_>, path: u64) -> SysResult {
    let path = caller.memory().read_path(path)?;
    let to = caller.standing(CWD, &path)?.context().resolve_working_directory(&path)?;
    if !caller.capable(Capabilities::SYS_CHROOT) {
        return Err(Errno::EPERM.into());
    }
    drop(caller.fs()?.set_root(to));
    Ok(0)
}

pub(crate) fn sys_umask(caller: Caller<'_>, mask: u64) -> SysResult {
    Ok(caller.fs()?.set_umask(mask as u32).into())
}

/// mount(2).
pub(crate) fn sys_mount(caller: Caller<'_>, args: [u64; 6]) -> SysResult {
    /// What the upper half of the flags held before Linux 2.4.
    const MAGIC: u32 = 0xc0ed_0000;
    let [source, target, kind, flags, data, _] = args;
    let memory = caller.memory();
    let optional = |address: u64| match address {
        0 => Ok(Vec::new()),
        address => memory.read_path(address),
    };
    let kind = optional(kind)?;
    let source = optional(source)?;
    let data = optional(data).unwrap_or_default();
    let target = memory.read_path(target)?;
    let flags = flags as u32;
    let flags = if flags & linux::MS_MGC_MSK == MAGIC { flags & !linux::MS_MGC_MSK } else { flags };
    let standing = caller.standing(CWD, &target)?;
    let context = standing.context();
    let at = context.resolve(&target, Follow::Yes)?;
    context.may_mount()?;
    let namespace = standing.namespace();
    let mut properties = MountFlags::from_bits_truncate(flags);
    // As on Linux, access times are relative unless the caller says otherwise.
    if flags & (linux::MS_NOATIME | linux::MS_STRICTATIME) == 0 {
        properties |= MountFlags::RELATIVE_ACCESS_TIME;
    }
    if flags & linux::MS_REMOUNT != 0 {
        namespace.remount(&at, properties)?;
    } else if flags & linux::MS_BIND != 0 {
        let from = caller.standing(CWD, &source)?.context().resolve(&source, Follow::Yes)?;
        let recursion = if flags & linux::MS_REC != 0 { Recursion::Yes } else { Recursion::No };
        namespace.bind(&from, &at, recursion)?;
    } else if flags & (linux::MS_SHARED | linux::MS_PRIVATE | linux::MS_SLAVE | linux::MS_UNBINDABLE) != 0 {
        // Mounts are never propagated: private is what they are, the rest is refused.
        let wanted = flags & (linux::MS_SHARED | linux::MS_SLAVE | linux::MS_UNBINDABLE);
        if wanted != 0 || !at.is_mount_root() {
            return Err(Errno::EINVAL.into());
        }
    } else if flags & linux::MS_MOVE != 0 {
        let from = caller.standing(CWD, &source)?.context().resolve(&source, Follow::Yes)?;
        namespace.move_mount(&from, &at)?;
    } else {
        if kind.is_empty() {
            return Err(Errno::EINVAL.into());
        }
        let file_system = caller.system.new_file_system(&kind, &data, caller.process.pids())?;
        let source = if source.is_empty() { b"none".as_slice() } else { &source };
        namespace.mount(&at, file_system, source, properties)?;
    }
    Ok(0)
}

/// umount2(2).
pub(crate) fn sys_umount2(caller: Caller<'_>, target: u64, flags: u64) -> SysResult {
    let flags = flags as u32;
    let known = linux::MNT_FORCE | linux::MNT_DETACH | linux::MNT_EXPIRE | linux::UMOUNT_NOFOLLOW;
    if flags & !known != 0 {
        return Err(Errno::EINVAL.into());
    }
    let target = caller.memory().read_path(target)?;
    let standing = caller.standing(CWD, &target)?;
    let follow = if flags & linux::UMOUNT_NOFOLLOW != 0 { Follow::No } else { Follow::Yes };
    let at = standing.context().resolve(&target, follow)?;
    standing.context().may_mount()?;
    if flags & linux::MNT_EXPIRE != 0 {
        return Err(
            if flags & (linux::MNT_FORCE | linux::MNT_DETACH) != 0 { Errno::EINVAL } else { Errno::EAGAIN }.into()
        );
    }
    let how = if flags & linux::MNT_DETACH != 0 { Unmount::Lazy } else { Unmount::IfUnused };
    standing.namespace().unmount(&at, how)?;
    Ok(0)
}

/// pivot_root(2) is refused as for a root that cannot be moved: it is the first mount.
pub(crate) fn sys_pivot_root(caller: Caller<'_>, new_root: u64, put_old: u64) -> SysResult {
    let new_root = caller.memory().read_path(new_root)?;
    let put_old = caller.memory().read_path(put_old)?;
    let standing = caller.standing(CWD, &new_root)?;
    standing.context().may_mount()?;
    standing.context().resolve_directory(&new_root)?;
    caller.standing(CWD, &put_old)?.context().resolve_directory(&put_old)?;
    Err(Errno::EINVAL.into())
}
