//! Changing what stat tells: chmod, chown, truncate, utimens; access(2) and readlink(2).

use alloc::vec::Vec;

use abi::linux::general as linux;
use types::{Capabilities, Gid, Uid};

use crate::notify;
use crate::{
    AttributeChange, FileType, FsContext, Location, MAX_FILE_SIZE, MountFlags, OpenFile, Result, TimeChange, VfsError,
    Want, is_owner, permit, real_rights,
};

/// Whose rights access(2) asks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// The real user's and group's (access).
    Real,
    /// Those in force (AT_EACCESS).
    Effective,
}

impl FsContext<'_> {
    /// chmod(2).
    ///
    /// # Errors
    /// [`VfsError::NotPermitted`] unless owner, [`VfsError::ReadOnly`], [`VfsError::NotSupported`] for symbolic links.
    pub fn set_mode(&self, location: &Location, mode: u32) -> Result<()> {
        location.mount().check_writable()?;
        let access = location.inode().access();
        if access.kind == FileType::Symlink {
            return Err(VfsError::NotSupported);
        }
        if !is_owner(access.uid, self.credentials()) {
            return Err(VfsError::NotPermitted);
        }
        let mut mode = mode & 0o7777;
        if !self.keeps_set_gid(access.gid) {
            mode &= !linux::S_ISGID;
        }
        location.inode().set_attributes(&AttributeChange { mode: Some(mode), ..AttributeChange::default() })?;
        notify::tell(location.inode(), linux::IN_ATTRIB);
        Ok(())
    }

    /// chown(2); `None` leaves as it is.
    ///
    /// # Errors
    /// [`VfsError::NotPermitted`], [`VfsError::ReadOnly`].
    pub fn set_owner(&self, location: &Location, uid: Option<Uid>, gid: Option<Gid>) -> Result<()> {
        location.mount().check_writable()?;
        let access = location.inode().access();
        let credentials = self.credentials();
        let may_all = credentials.capable(Capabilities::CHOWN);
        let owner = access.uid == credentials.fsuid;
        if uid.is_some_and(|uid| !(may_all || (owner && uid == access.uid))) {
            return Err(VfsError::NotPermitted);
        }
        if gid.is_some_and(|gid| !(may_all || (owner && (credentials.in_group(gid) || gid == access.gid)))) {
            return Err(VfsError::NotPermitted);
        }
        let mut change = AttributeChange { uid, gid, ..AttributeChange::default() };
        if access.kind != FileType::Directory {
            let mut mode = access.mode & !linux::S_ISUID;
            if access.mode & linux::S_IXGRP != 0 || !self.keeps_set_gid(access.gid) {
                mode &= !linux::S_ISGID;
            }
            change.mode = (mode != access.mode).then_some(mode);
        }
        location.inode().set_attributes(&change)?;
        notify::tell(location.inode(), linux::IN_ATTRIB);
        Ok(())
    }

    /// truncate(2).
    ///
    /// # Errors
    /// Exactly those of truncate(2); [`VfsError::FileTooBig`] beyond `limit` (RLIMIT_FSIZE; the caller gets SIGXFSZ).
    pub fn truncate(&self, location: &Location, len: u64, limit: u64) -> Result<()> {
        let access = location.inode().access();
        match access.kind {
            FileType::Directory => return Err(VfsError::IsADirectory),
            FileType::Regular => {}
            _ => return Err(VfsError::InvalidArgument),
        }
        location.mount().check_writable()?;
        permit(&access, self.credentials(), Want::WRITE)?;
        if len > MAX_FILE_SIZE {
            return Err(VfsError::InvalidArgument);
        }
        if len > limit && len > location.metadata().size {
            return Err(VfsError::FileTooBig);
        }
        OpenFile::count_writer(location)?;
        let change =
            AttributeChange { size: Some(len), mode: self.mode_after_write(location), ..AttributeChange::default() };
        let outcome = location.inode().set_attributes(&change);
        OpenFile::uncount_writer(location);
        outcome?;
        notify::tell(location.inode(), linux::IN_MODIFY);
        Ok(())
    }

    /// utimensat(2).
    ///
    /// # Errors
    /// [`VfsError::PermissionDenied`] for "now" without ownership or write permission, [`VfsError::NotPermitted`] for
    /// other times without ownership, [`VfsError::ReadOnly`].
    pub fn set_times(&self, location: &Location, atime: TimeChange, mtime: TimeChange) -> Result<()> {
        if atime == TimeChange::Keep && mtime == TimeChange::Keep {
            return Ok(());
        }
        location.mount().check_writable()?;
        let access = location.inode().access();
        if !is_owner(access.uid, self.credentials()) {
            if atime != TimeChange::Now || mtime != TimeChange::Now {
                return Err(VfsError::NotPermitted);
            }
            permit(&access, self.credentials(), Want::WRITE)?;
        }
        location.inode().set_attributes(&AttributeChange { atime, mtime, ..AttributeChange::default() })?;
        let what = match (atime, mtime) {
            (TimeChange::Keep, _) => linux::IN_MODIFY,
            (_, TimeChange::Keep) => linux::IN_ACCESS,
            _ => linux::IN_ATTRIB,
        };
        notify::tell(location.inode(), what);
        Ok(())
    }

    /// access(2); nothing wanted asks for existence.
    ///
    /// # Errors
    /// [`VfsError::PermissionDenied`], [`VfsError::ReadOnly`].
    pub fn check_access(&self, location: &Location, want: Want, rights: Rights) -> Result<()> {
        if want.is_empty() {
            return Ok(());
        }
        let access = location.inode().access();
        let flags = location.mount().flags();
        let regular = access.kind == FileType::Regular;
        if want.contains(Want::EXECUTE) && regular && flags.contains(MountFlags::NO_EXECUTE) {
            return Err(VfsError::PermissionDenied);
        }
        match rights {
            Rights::Real => permit(&access, &real_rights(self.credentials()), want)?,
            Rights::Effective => permit(&access, self.credentials(), want)?,
        }
        let changes_mount = regular || matches!(access.kind, FileType::Directory | FileType::Symlink);
        if want.contains(Want::WRITE) && changes_mount { location.mount().check_writable() } else { Ok(()) }
    }

    /// As [`FsContext::resolve`] but with the real user's rights on the way (access(2)): the context to do it with.
    pub fn with_rights<'b>(&self, real: &'b types::Credentials) -> FsContext<'b>
    where
        Self: 'b,
    {
        let mut context: FsContext<'b> = FsContext { ..*self };
        context.caller.credentials = real;
        context
    }

    /// readlink(2).
    ///
    /// # Errors
    /// [`VfsError::InvalidArgument`] if it is no symbolic link.
    pub fn read_link(&self, location: &Location) -> Result<Vec<u8>> {
        if location.kind() != FileType::Symlink {
            return Err(VfsError::InvalidArgument);
        }
        location.inode().read_link(&self.caller)
    }

    fn keeps_set_gid(&self, group: Gid) -> bool {
        self.credentials().in_group(group) || self.credentials().capable(Capabilities::FSETID)
    }
}
