//! inotify(7).

use abi::Errno;
use abi::linux::general as linux;
use vfs::inotify::Inotify;
use vfs::{FileType, Rights, Want};

use crate::calls::stat::CWD;
use crate::{Caller, OpenFile, SysResult};

pub(crate) fn sys_inotify_init1(caller: Caller<'_>, flags: u64) -> SysResult {
    let flags = flags as u32;
    if flags & !(linux::IN_CLOEXEC | linux::IN_NONBLOCK) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let instance = Inotify::new(caller.thread.uid())?;
    let file = OpenFile::anonymous(instance, linux::O_RDONLY | flags & linux::IN_NONBLOCK);
    caller.install(file, flags & linux::IN_CLOEXEC)
}

pub(crate) fn sys_inotify_add_watch(caller: Caller<'_>, fd: u64, path: u64, mask: u64) -> SysResult {
    const OPTIONS: u32 = linux::IN_ONLYDIR
        | linux::IN_DONT_FOLLOW
        | linux::IN_EXCL_UNLINK
        | linux::IN_MASK_CREATE
        | linux::IN_MASK_ADD
        | linux::IN_ISDIR
        | linux::IN_ONESHOT;
    const TOLD: u32 = linux::IN_UNMOUNT | linux::IN_Q_OVERFLOW | linux::IN_IGNORED;
    let mask = mask as u32;
    if mask & (linux::IN_ALL_EVENTS | OPTIONS | TOLD) == 0 {
        return Err(Errno::EINVAL.into());
    }
    let file = caller.file(fd)?;
    if mask & linux::IN_MASK_ADD != 0 && mask & linux::IN_MASK_CREATE != 0 {
        return Err(Errno::EINVAL.into());
    }
    let instance = file.downcast_arc::<Inotify>().ok_or(Errno::EINVAL)?;
    let flags = if mask & linux::IN_DONT_FOLLOW != 0 { linux::AT_SYMLINK_NOFOLLOW } else { 0 };
    let target = caller.target_at(CWD, path, flags)?;
    let location = target.location()?;
    if mask & linux::IN_ONLYDIR != 0 && location.kind() != FileType::Directory {
        return Err(Errno::ENOTDIR.into());
    }
    target.standing().context().check_access(location, Want::READ, Rights::Effective)?;
    Ok(instance.add_watch(location.inode(), mask)? as u64)
}

pub(crate) fn sys_inotify_rm_watch(caller: Caller<'_>, fd: u64, watch: u64) -> SysResult {
    let instance = caller.file(fd)?.downcast_arc::<Inotify>().ok_or(Errno::EINVAL)?;
    instance.remove_watch(watch as i32)?;
    Ok(0)
}
