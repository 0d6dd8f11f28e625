//! A place in the tree: a node, and the mount it was reached by.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Statfs;
use types::Credentials;

use crate::mount::MountTable;
use crate::{ExecutionGuard, FileType, Inode, Metadata, Mount, MountFlags, Namespace, Result, VfsError};

/// A node and the mount through which it was reached. Holding one keeps both.
#[derive(Clone)]
pub struct Location {
    mount: Arc<Mount>,
    inode: Arc<dyn Inode>,
}

impl core::fmt::Debug for Location {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Location({}:{})", self.mount.id(), self.inode.ino())
    }
}

impl PartialEq for Location {
    fn eq(&self, other: &Self) -> bool {
        self.mount.id() == other.mount.id() && self.inode.ino() == other.inode.ino()
    }
}

impl Eq for Location {}

impl Location {
    /// The place of `inode` in `mount`.
    pub fn new(mount: Arc<Mount>, inode: Arc<dyn Inode>) -> Self {
        Self { mount, inode }
    }

    /// The mount.
    pub fn mount(&self) -> &Arc<Mount> {
        &self.mount
    }

    /// The node.
    pub fn inode(&self) -> &Arc<dyn Inode> {
        &self.inode
    }

    /// What stat tells.
    pub fn metadata(&self) -> Metadata {
        self.inode.metadata()
    }

    /// Kind of node.
    pub fn kind(&self) -> FileType {
        self.inode.access().kind
    }

    /// Whether this is what its mount has on top.
    pub fn is_mount_root(&self) -> bool {
        self.mount.is_root(self.inode.as_ref())
    }

    /// What statfs(2) tells, with the flags of the mount.
    pub fn statfs(&self) -> Statfs {
        /// ST_VALID: the flags mean something.
        const VALID: i64 = 0x20;
        /// ST_RELATIME.
        const RELATIVE: i64 = 0x1000;
        let flags = self.mount.flags();
        let mut bits = VALID | RELATIVE;
        // Up to MS_NOEXEC the two interfaces use the same bits.
        bits |= i64::from((flags & MountFlags::from_bits_truncate(0xf)).bits());
        if flags.contains(MountFlags::NO_ACCESS_TIME) {
            bits = (bits & !RELATIVE) | 0x400;
        }
        Statfs { f_flags: bits, ..self.mount.file_system().statfs() }
    }

    /// Checks that `credentials` may execute it, and keeps it from being written until the guard is dropped.
    ///
    /// # Errors
    /// [`VfsError::PermissionDenied`] if it is no regular file, has no right bit or lies on a mount without execution;
    /// [`VfsError::TextBusy`] if it is open for writing.
    pub fn execute(&self, credentials: &Credentials) -> Result<ExecutionGuard> {
        self.may_execute(credentials)?;
        ExecutionGuard::new(self.inode.clone())
    }

    /// Checks that `credentials` may execute it.
    ///
    /// # Errors
    /// As [`Location::execute`], but for [`VfsError::TextBusy`].
    pub fn may_execute(&self, credentials: &Credentials) -> Result<()> {
        let access = self.inode.access();
        if access.kind != FileType::Regular || self.mount.flags().contains(MountFlags::NO_EXECUTE) {
            return Err(VfsError::PermissionDenied);
        }
        crate::permit(&access, credentials, crate::Want::EXECUTE)
    }

    /// Whether set-id bits of this file count.
    pub fn allows_set_id(&self) -> bool {
        !self.mount.flags().contains(MountFlags::NO_SET_ID)
    }

    /// Path from `root` as /proc shows it: "(deleted)" after what has no name any more.
    ///
    /// # Errors
    /// [`VfsError::NoMemory`].
    pub fn display_path(&self, namespace: &Namespace, root: &Self) -> Result<Vec<u8>> {
        let mut path = path_in(&namespace.snapshot(), self, root)?.text;
        if self.inode.is_removed() {
            append(&mut path, b" (deleted)")?;
        }
        Ok(path)
    }

    /// Path from `root` as getcwd(2) gives it: "(unreachable)" before what is not below `root`.
    ///
    /// # Errors
    /// [`VfsError::NotFound`] if the directory has been removed, [`VfsError::NoMemory`].
    pub fn working_directory(&self, namespace: &Namespace, root: &Self) -> Result<Vec<u8>> {
        if self.inode.is_removed() {
            return Err(VfsError::NotFound);
        }
        let path = path_in(&namespace.snapshot(), self, root)?;
        if !path.unreachable {
            return Ok(path.text);
        }
        let mut text = Vec::new();
        append(&mut text, b"(unreachable)")?;
        append(&mut text, &path.text)?;
        Ok(text)
    }
}

/// A path and whether it starts at the root asked for.
pub(crate) struct Path {
    pub(crate) text: Vec<u8>,
    pub(crate) unreachable: bool,
}

/// Path of `place` as seen from `root`.
pub(crate) fn path_in(table: &MountTable, place: &Location, root: &Location) -> Result<Path> {
    let mut names = Names::default();
    let mut at = place.clone();
    let unreachable = loop {
        if at == *root {
            break false;
        }
        if at.is_mount_root() {
            match table.point_of(&at.mount) {
                Some(point) => at = point.clone(),
                None => break true,
            }
            continue;
        }
        let Some((parent, name)) = at.inode.parent() else { break true };
        names.push(name)?;
        at = Location::new(at.mount, parent);
    };
    Ok(Path { text: names.join()?, unreachable })
}

/// Path of `inode` from the root of its file system.
pub(crate) fn path_in_file_system(inode: Arc<dyn Inode>) -> Result<Vec<u8>> {
    let mut names = Names::default();
    let mut at = inode;
    while let Some((parent, name)) = at.parent() {
        names.push(name)?;
        at = parent;
    }
    names.join()
}

/// Components from the last to the first.
#[derive(Default)]
struct Names(Vec<Arc<[u8]>>);

impl Names {
    fn push(&mut self, name: Arc<[u8]>) -> Result<()> {
        self.0.try_reserve(1).map_err(|_| VfsError::NoMemory)?;
        self.0.push(name);
        Ok(())
    }

    fn join(self) -> Result<Vec<u8>> {
        let mut path = Vec::new();
        for name in self.0.iter().rev() {
            append(&mut path, b"/")?;
            append(&mut path, name)?;
        }
        if path.is_empty() {
            append(&mut path, b"/")?;
        }
        Ok(path)
    }
}

fn append(path: &mut Vec<u8>, text: &[u8]) -> Result<()> {
    path.try_reserve(text.len()).map_err(|_| VfsError::NoMemory)?;
    path.extend_from_slice(text);
    Ok(())
}
