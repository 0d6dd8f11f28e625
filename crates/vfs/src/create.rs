//! Making names: mkdir, mknod, symlink, link.

use alloc::sync::Arc;

use abi::linux::general as linux;
use types::Capabilities;

use crate::notify;
use crate::walk::{Last, ParentOf};
use crate::{DeviceNumber, FileType, FsContext, Inode, Location, NewContent, NewNode, Result, VfsError, Want, permit};

impl FsContext<'_> {
    /// mkdir(2).
    ///
    /// # Errors
    /// Exactly those of mkdir(2).
    pub fn mkdir(&self, path: &[u8], mode: u32) -> Result<()> {
        let at = self.resolve_parent(path)?;
        self.create_at(&at, NewContent::Directory, mode & 0o1777).map(|_| ())
    }

    /// mknod(2), the type in `mode`.
    ///
    /// # Errors
    /// Exactly those of mknod(2).
    pub fn mknod(&self, path: &[u8], mode: u32, device: DeviceNumber) -> Result<()> {
        let content = match FileType::from_mode(mode) {
            Some(FileType::Regular) => NewContent::Regular,
            Some(FileType::Fifo) => NewContent::Fifo,
            Some(FileType::Socket) => NewContent::Socket,
            Some(FileType::CharDevice) => NewContent::CharDevice(device),
            Some(FileType::BlockDevice) => NewContent::BlockDevice(device),
            Some(FileType::Directory) => return Err(VfsError::NotPermitted),
            None if mode & linux::S_IFMT == 0 => NewContent::Regular,
            Some(FileType::Symlink) | None => return Err(VfsError::InvalidArgument),
        };
        let at = self.resolve_parent(path)?;
        let is_device = matches!(content, NewContent::CharDevice(_) | NewContent::BlockDevice(_));
        if is_device && !self.credentials().capable(Capabilities::MKNOD) {
            if self.exists(&at) {
                return Err(VfsError::Exists);
            }
            self.may_create(&at.parent)?;
            return Err(VfsError::NotPermitted);
        }
        self.create_at(&at, content, mode & 0o7777).map(|_| ())
    }

    /// Makes the node of a socket that is being bound to `path`, and gives its place.
    ///
    /// # Errors
    /// Those of mknod(2), but [`VfsError::AddressInUse`] if the name is taken.
    pub fn bind_socket(&self, path: &[u8], mode: u32) -> Result<Location> {
        let at = self.resolve_parent(path)?;
        let inode = self.create_at(&at, NewContent::Socket, mode & 0o7777).map_err(|error| match error {
            VfsError::Exists => VfsError::AddressInUse,
            other => other,
        })?;
        Ok(Location::new(at.parent.mount().clone(), inode))
    }

    /// symlink(2).
    ///
    /// # Errors
    /// Exactly those of symlink(2).
    pub fn symlink(&self, target: &[u8], path: &[u8]) -> Result<()> {
        if target.is_empty() {
            return Err(VfsError::NotFound);
        }
        if target.len() >= crate::PATH_MAX {
            return Err(VfsError::NameTooLong);
        }
        let at = self.resolve_parent(path)?;
        self.create_at(&at, NewContent::Symlink(target), 0o777).map(|_| ())
    }

    /// link(2): a further name for what is at `target`.
    ///
    /// # Errors
    /// Exactly those of link(2).
    pub fn link(&self, target: &Location, path: &[u8]) -> Result<()> {
        let at = self.resolve_parent(path)?;
        let name = self.free_name(&at, FileType::Regular)?;
        if at.parent.mount().id() != target.mount().id() {
            return Err(VfsError::CrossDevice);
        }
        self.may_create(&at.parent)?;
        if target.kind() == FileType::Directory {
            return Err(VfsError::NotPermitted);
        }
        at.parent.inode().link(name, target.inode())?;
        notify::tell_self(target.inode(), linux::IN_ATTRIB);
        notify::tell_name(at.parent.inode(), name, target.kind(), linux::IN_CREATE, 0);
        Ok(())
    }

    fn create_at(&self, at: &ParentOf, content: NewContent<'_>, mode: u32) -> Result<Arc<dyn Inode>> {
        let kind = match content {
            NewContent::Directory => FileType::Directory,
            _ => FileType::Regular,
        };
        let name = self.free_name(at, kind)?;
        self.create_in(&at.parent, name, content, mode)
    }

    /// Makes a node in `parent` if the caller may.
    pub(crate) fn create_in(
        &self,
        parent: &Location,
        name: &[u8],
        content: NewContent<'_>,
        mode: u32,
    ) -> Result<Arc<dyn Inode>> {
        parent.mount().check_writable()?;
        self.may_create(parent)?;
        let made = parent.inode().create(name, &self.new_node(parent, content, mode))?;
        notify::tell_name(parent.inode(), name, made.access().kind, linux::IN_CREATE, 0);
        Ok(made)
    }

    fn may_create(&self, parent: &Location) -> Result<()> {
        if parent.inode().is_removed() {
            return Err(VfsError::NotFound);
        }
        permit(&parent.inode().access(), self.credentials(), Want::WRITE | Want::EXECUTE)
    }

    fn exists(&self, at: &ParentOf) -> bool {
        match &at.last {
            Last::Name(name) => self.child(&at.parent, name).is_ok(),
            _ => true,
        }
    }

    /// The name to be made, once it is known to be free; what Linux checks before permissions.
    fn free_name<'p>(&self, at: &'p ParentOf, kind: FileType) -> Result<&'p [u8]> {
        let Last::Name(name) = &at.last else { return Err(VfsError::Exists) };
        match self.child(&at.parent, name) {
            Ok(_) => return Err(VfsError::Exists),
            Err(VfsError::NotFound) => {}
            Err(error) => return Err(error),
        }
        if at.trailing_slash && kind != FileType::Directory {
            return Err(VfsError::NotFound);
        }
        at.parent.mount().check_writable()?;
        Ok(name)
    }

    /// Owner, group and mode of a new node in `parent`.
    pub(crate) fn new_node<'n>(&self, parent: &Location, content: NewContent<'n>, mode: u32) -> NewNode<'n> {
        let directory = parent.inode().access();
        let credentials = self.credentials();
        let inherits = directory.mode & linux::S_ISGID != 0;
        let gid = if inherits { directory.gid } else { credentials.fsgid };
        let mut mode = match content {
            NewContent::Symlink(_) => mode,
            _ => mode & !self.caller.umask,
        };
        let group_executable = mode & (linux::S_ISGID | linux::S_IXGRP) == linux::S_ISGID | linux::S_IXGRP;
        if matches!(content, NewContent::Directory) {
            mode |= if inherits { linux::S_ISGID } else { 0 };
        } else if inherits
            && group_executable
            && !credentials.in_group(gid)
            && !credentials.capable(Capabilities::FSETID)
        {
            mode &= !linux::S_ISGID;
        }
        NewNode { content, mode, uid: credentials.fsuid, gid }
    }

    /// Whether mount(2) and umount(2) are the caller's to use.
    ///
    /// # Errors
    /// [`VfsError::NotPermitted`].
    pub fn may_mount(&self) -> Result<()> {
        if self.credentials().capable(Capabilities::SYS_ADMIN) { Ok(()) } else { Err(VfsError::NotPermitted) }
    }
}
