//! What files are: stat, statx, access, readlink, statfs.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::linux::general as linux;
use abi::{Errno, Stat, Statfs};
use vfs::{FileType, Follow, Location, Metadata, Rights, Want, real_rights};

use crate::actor::Standing;
use crate::{Caller, OpenFile, SysResult};

/// The working directory, as a raw register.
pub(crate) const CWD: u64 = linux::AT_FDCWD as i64 as u64;

/// What an `*at` call names: a place, or an open file that has none.
pub(crate) enum Target {
    /// A place in the tree.
    Place(Standing, Location),
    /// An open file: AT_EMPTY_PATH with a descriptor.
    File(Standing, Arc<OpenFile>),
}

impl Target {
    /// What stat tells.
    pub(crate) fn metadata(&self) -> Metadata {
        match self {
            Self::Place(_, location) => location.metadata(),
            Self::File(_, file) => file.metadata(),
        }
    }

    /// From where the call's path operations start.
    pub(crate) fn standing(&self) -> &Standing {
        match self {
            Self::Place(standing, _) | Self::File(standing, _) => standing,
        }
    }

    /// The place; EPERM for an open file that has none: nothing about it can be changed.
    pub(crate) fn location(&self) -> SysResult<&Location> {
        match self {
            Self::Place(_, location) => Ok(location),
            Self::File(_, file) => Ok(file.location().ok_or(Errno::EPERM)?),
        }
    }
}

impl Caller<'_> {
    /// What `path` at `dirfd` names, by the AT_ flags of the call.
    pub(crate) fn target(self, dirfd: u64, path: &[u8], flags: u32) -> SysResult<Target> {
        if path.is_empty() && flags & linux::AT_EMPTY_PATH != 0 {
            return self.target_of_fd(dirfd);
        }
        let standing = self.standing(dirfd, path)?;
        let follow = if flags & linux::AT_SYMLINK_NOFOLLOW != 0 { Follow::No } else { Follow::Yes };
        let location = standing.context().resolve(path, follow)?;
        Ok(Target::Place(standing, location))
    }

    /// What an open descriptor stands for; the working directory for AT_FDCWD.
    pub(crate) fn target_of_fd(self, fd: u64) -> SysResult<Target> {
        let standing = self.standing_at(None)?;
        if fd as i32 == linux::AT_FDCWD {
            let location = standing.base().clone();
            return Ok(Target::Place(standing, location));
        }
        Ok(Target::File(standing, self.file_or_path(fd)?))
    }

    /// As [`Caller::target`] with the path in the caller's memory.
    pub(crate) fn target_at(self, dirfd: u64, path: u64, flags: u32) -> SysResult<Target> {
        let path = self.memory().read_path(path)?;
        self.target(dirfd, &path, flags)
    }
}

pub(crate) fn sys_stat(caller: Caller<'_>, path: u64, out: u64, flags: u32) -> SysResult {
    sys_newfstatat(caller, CWD, path, out, flags.into())
}

pub(crate) fn sys_fstat(caller: Caller<'_>, fd: u64, out: u64) -> SysResult {
    let file = caller.file_or_path(fd)?;
    write_stat(caller, out, &file.metadata())
}

pub(crate) fn sys_newfstatat(caller: Caller<'_>, dirfd: u64, path: u64, out: u64, flags: u64) -> SysResult {
    let flags = flags as u32;
    let known = linux::AT_SYMLINK_NOFOLLOW | linux::AT_NO_AUTOMOUNT | linux::AT_EMPTY_PATH;
    if flags & !known != 0 {
        return Err(Errno::EINVAL.into());
    }
    let metadata = caller.target_at(dirfd, path, flags)?.metadata();
    write_stat(caller, out, &metadata)
}

fn write_stat(caller: Caller<'_>, out: u64, metadata: &Metadata) -> SysResult {
    let stat: Stat = metadata.to_stat();
    caller.memory().write(out, &stat)?;
    Ok(0)
}

pub(crate) fn sys_statx(caller: Caller<'_>, args: [u64; 6]) -> SysResult {
    let [dirfd, path, flags, mask, out, _] = args;
    let (flags, mask) = (flags as u32, mask as u32);
    /// STATX__RESERVED.
    const RESERVED: u32 = 0x8000_0000;
    let known = linux::AT_SYMLINK_NOFOLLOW | linux::AT_NO_AUTOMOUNT | linux::AT_EMPTY_PATH | linux::AT_STATX_SYNC_TYPE;
    let sync = flags & linux::AT_STATX_SYNC_TYPE;
    if mask & RESERVED != 0 || flags & !known != 0 || sync == linux::AT_STATX_SYNC_TYPE {
        return Err(Errno::EINVAL.into());
    }
    // Newer glibc passes a null path for the descriptor itself, as Linux 6.11 has it.
    let target = if path == 0 && flags & linux::AT_EMPTY_PATH != 0 {
        caller.target_of_fd(dirfd)?
    } else {
        caller.target_at(dirfd, path, flags)?
    };
    let mount = target.location().map_or(0, |location| location.mount().id());
    let mut answer = target.metadata().to_statx(mount);
    let root = target.location().is_ok_and(Location::is_mount_root);
    answer.stx_attributes_mask |= u64::from(linux::STATX_ATTR_MOUNT_ROOT);
    if root {
        answer.stx_attributes |= u64::from(linux::STATX_ATTR_MOUNT_ROOT);
    }
    caller.memory().write(out, &answer)?;
    Ok(0)
}

pub(crate) fn sys_faccessat(caller: Caller<'_>, dirfd: u64, path: u64, mode: u64, flags: u64) -> SysResult {
    let (mode, flags) = (mode as u32, flags as u32);
    let known = linux::AT_EACCESS | linux::AT_SYMLINK_NOFOLLOW | linux::AT_EMPTY_PATH;
    if mode & !7 != 0 || flags & !known != 0 {
        return Err(Errno::EINVAL.into());
    }
    let want = Want::from_bits_truncate(mode);
    let rights = if flags & linux::AT_EACCESS != 0 { Rights::Effective } else { Rights::Real };
    let path = caller.memory().read_path(path)?;
    if path.is_empty() && flags & linux::AT_EMPTY_PATH != 0 {
        let target = caller.target_of_fd(dirfd)?;
        if let Ok(location) = target.location() {
            target.standing().context().check_access(location, want, rights)?;
        }
        return Ok(0);
    }
    let standing = caller.standing(dirfd, &path)?;
    let follow = if flags & linux::AT_SYMLINK_NOFOLLOW != 0 { Follow::No } else { Follow::Yes };
    let context = standing.context();
    let real = real_rights(context.caller.credentials);
    let walker = match rights {
        Rights::Real => context.with_rights(&real),
        Rights::Effective => context,
    };
    let location = walker.resolve(&path, follow)?;
    context.check_access(&location, want, rights)?;
    Ok(0)
}

pub(crate) fn sys_readlinkat(caller: Caller<'_>, dirfd: u64, path: u64, out: u64, size: u64) -> SysResult {
    if size as i32 <= 0 {
        return Err(Errno::EINVAL.into());
    }
    let path = caller.memory().read_path(path)?;
    let target = if path.is_empty() {
        // A descriptor of the link itself (O_PATH | O_NOFOLLOW).
        let target = caller.target_of_fd(dirfd).map_err(|error| match dirfd as i32 {
            linux::AT_FDCWD => Errno::ENOENT.into(),
            _ => error,
        })?;
        if target.metadata().kind != FileType::Symlink {
            return Err(Errno::ENOENT.into());
        }
        target
    } else {
        caller.target(dirfd, &path, linux::AT_SYMLINK_NOFOLLOW)?
    };
    let text: Vec<u8> = match target.location() {
        Ok(location) => target.standing().context().read_link(location)?,
        Err(_) => return Err(Errno::EINVAL.into()),
    };
    let len = text.len().min(size as u32 as usize);
    caller.memory().write_bytes(out, text.get(..len).unwrap_or_default())?;
    Ok(len as u64)
}

pub(crate) fn sys_statfs(caller: Caller<'_>, path: u64, out: u64) -> SysResult {
    let target = caller.target_at(CWD, path, 0)?;
    let answer = target.location()?.statfs();
    write_statfs(caller, out, &answer)
}

pub(crate) fn sys_fstatfs(caller: Caller<'_>, fd: u64, out: u64) -> SysResult {
    let file = caller.file_or_path(fd)?;
    let answer = match file.location() {
        Some(location) => location.statfs(),
        None => vfs::statfs::empty(match file.metadata().kind {
            FileType::Fifo => linux::PIPEFS_MAGIC,
            FileType::Socket => linux::SOCKFS_MAGIC,
            _ => linux::ANON_INODE_FS_MAGIC,
        }),
    };
    write_statfs(caller, out, &answer)
}

fn write_statfs(caller: Caller<'_>, out: u64, answer: &Statfs) -> SysResult {
    caller.memory().write(out, answer)?;
    Ok(0)
}
