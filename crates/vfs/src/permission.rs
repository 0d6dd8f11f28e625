//! Who may do what: permission bits and the capabilities that override them (path_resolution(7), capabilities(7)).

use bitflags::bitflags;
use types::{Capabilities, Credentials, Uid};

use crate::{Access, FileType, Result, VfsError};

bitflags! {
    /// Ways of access; bits as in the mode argument of access(2).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct Want: u32 {
        /// Execute, or search a directory.
        const EXECUTE = 1;
        /// Write.
        const WRITE = 2;
        /// Read.
        const READ = 4;
    }
}

/// Whether `credentials` have all of `want` on a node with `access`.
///
/// # Errors
/// [`VfsError::PermissionDenied`].
pub fn permit(access: &Access, credentials: &Credentials, want: Want) -> Result<()> {
    let class = if access.uid == credentials.fsuid {
        access.mode >> 6
    } else if credentials.in_group(access.gid) {
        access.mode >> 3
    } else {
        access.mode
    };
    if Want::from_bits_truncate(class).contains(want) {
        return Ok(());
    }
    let directory = access.kind == FileType::Directory;
    let overridden = if directory || !want.contains(Want::EXECUTE) || access.mode & 0o111 != 0 {
        credentials.capable(Capabilities::DAC_OVERRIDE)
    } else {
        false
    };
    let searchable = if directory { Want::READ.union(Want::EXECUTE) } else { Want::READ };
    if overridden || (searchable.contains(want) && credentials.capable(Capabilities::DAC_READ_SEARCH)) {
        Ok(())
    } else {
        Err(VfsError::PermissionDenied)
    }
}

/// Whether `credentials` act as the owner `uid`.
pub fn is_owner(uid: Uid, credentials: &Credentials) -> bool {
    uid == credentials.fsuid || credentials.capable(Capabilities::FOWNER)
}

/// The rights that access(2) asks about: those of the real user and group.
pub fn real_rights(credentials: &Credentials) -> Credentials {
    let effective = if credentials.ruid == Uid::ROOT { credentials.permitted } else { Capabilities::empty() };
    let mut real = *credentials;
    real.fsuid = credentials.ruid;
    real.fsgid = credentials.rgid;
    real.effective = effective;
    real
}
