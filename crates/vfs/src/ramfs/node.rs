//! A node of the file system.

use alloc::boxed::Box;
use alloc::format;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use abi::linux::general as linux;
use sync::{Rank, SpinLock};
use types::{Gid, Uid};

use super::Shared;
use super::content::Content;
use super::entries::Entries;
use crate::{
    Access, Attachment, AttributeChange, Caller, DeviceNumber, DirEntry, File, FileLocks, FileType, Inode, Metadata,
    NewContent, NewNode, OpenRequest, RenameMode, Result, Timestamp, VfsError, WriteCount,
};

/// A file, directory, link, … in memory.
pub(super) struct RamNode {
    pub(super) shared: Arc<Shared>,
    me: Weak<Self>,
    ino: u64,
    kind: FileType,
    rdev: DeviceNumber,
    // Changed under `state`, read alone by each step of a path.
    mode: AtomicU32,
    owner: AtomicU64,
    // Nothing changed since the last access, so another one needs no new time stamp.
    access_is_newest: AtomicBool,
    locks: FileLocks,
    writes: WriteCount,
    pub(super) body: Body,
    state: SpinLock<State>,
}

/// What makes each kind of node.
pub(super) enum Body {
    Regular(Content),
    Directory(SpinLock<Entries>),
    Symlink(Box<[u8]>),
    Attached(Attachment),
    Device,
}

/// What changes about a node.
pub(super) struct State {
    pub(super) nlink: u32,
    pub(super) atime: Timestamp,
    pub(super) mtime: Timestamp,
    pub(super) ctime: Timestamp,
    btime: Timestamp,
    // Without a name, but may get one (O_TMPFILE).
    linkable: bool,
    // Where it was last put; kept when it is removed.
    home: Option<(Weak<RamNode>, Arc<[u8]>)>,
}

impl RamNode {
    pub(super) fn root(shared: Arc<Shared>, node: &NewNode<'_>) -> Arc<Self> {
        Self::build(shared, node, Body::Directory(SpinLock::new(Rank::DIRECTORY, Entries::new())), None)
    }

    /// A node of any kind, for a directory to take up.
    pub(super) fn make(&self, node: &NewNode<'_>, home: Arc<[u8]>) -> Result<Arc<Self>> {
        let body = match node.content {
            NewContent::Regular => Body::Regular(Content::new(self.shared.clone(), linux::F_SEAL_SEAL)),
            NewContent::Directory => Body::Directory(SpinLock::new(Rank::DIRECTORY, Entries::new())),
            NewContent::Symlink(target) => {
                let mut text = Vec::new();
                text.try_reserve_exact(target.len()).map_err(|_| VfsError::NoMemory)?;
                text.extend_from_slice(target);
                Body::Symlink(text.into_boxed_slice())
            }
            NewContent::Fifo | NewContent::Socket => Body::Attached(Attachment::new()),
            NewContent::CharDevice(_) | NewContent::BlockDevice(_) => Body::Device,
        };
        self.shared.inodes.take()?;
        Ok(Self::build(self.shared.clone(), node, body, Some((self.me.clone(), home))))
    }

    /// A regular file without a name.
    pub(super) fn unnamed(&self, node: &NewNode<'_>, label: &[u8], seals: u32, linkable: bool) -> Result<Arc<Self>> {
        self.shared.inodes.take()?;
        let body = Body::Regular(Content::new(self.shared.clone(), seals));
        let made = Self::build(self.shared.clone(), node, body, Some((self.me.clone(), label.into())));
        {
            let mut state = made.state.lock();
            state.nlink = 0;
            state.linkable = linkable;
        }
        Ok(made)
    }

    /// The caller has counted the node already; dropping it gives that back.
    fn build(shared: Arc<Shared>, node: &NewNode<'_>, body: Body, home: Option<(Weak<Self>, Arc<[u8]>)>) -> Arc<Self> {
        let (kind, rdev) = match node.content {
            NewContent::Regular => (FileType::Regular, DeviceNumber::default()),
            NewContent::Directory => (FileType::Directory, DeviceNumber::default()),
            NewContent::Symlink(_) => (FileType::Symlink, DeviceNumber::default()),
            NewContent::Fifo => (FileType::Fifo, DeviceNumber::default()),
            NewContent::Socket => (FileType::Socket, DeviceNumber::default()),
            NewContent::CharDevice(rdev) => (FileType::CharDevice, rdev),
            NewContent::BlockDevice(rdev) => (FileType::BlockDevice, rdev),
        };
        let now = shared.clock.now();
        let nlink = if kind == FileType::Directory { 2 } else { 1 };
        let state = State { nlink, atime: now, mtime: now, ctime: now, btime: now, linkable: false, home };
        Arc::new_cyclic(|me| Self {
            ino: shared.next_ino.fetch_add(1, Ordering::Relaxed),
            me: me.clone(),
            kind,
            rdev,
            mode: AtomicU32::new(node.mode & 0o7777),
            owner: AtomicU64::new(owner(node.uid, node.gid)),
            access_is_newest: AtomicBool::new(false),
            locks: FileLocks::new(),
            writes: WriteCount::new(),
            body,
            state: SpinLock::new(Rank::INODE, state),
            shared,
        })
    }

    /// `inode` as a node of this same file system.
    pub(super) fn own(&self, inode: &Arc<dyn Inode>) -> Result<Arc<Self>> {
        let any: Arc<dyn Any + Send + Sync> = inode.clone();
        let node = any.downcast::<Self>().map_err(|_| VfsError::CrossDevice)?;
        if Arc::ptr_eq(&node.shared, &self.shared) { Ok(node) } else { Err(VfsError::CrossDevice) }
    }

    pub(super) fn entries(&self) -> Result<&SpinLock<Entries>> {
        match &self.body {
            Body::Directory(entries) => Ok(entries),
            _ => Err(VfsError::NotADirectory),
        }
    }

    pub(super) fn content(&self) -> Result<&Content> {
        match &self.body {
            Body::Regular(content) => Ok(content),
            Body::Directory(_) => Err(VfsError::IsADirectory),
            _ => Err(VfsError::InvalidArgument),
        }
    }

    pub(super) fn is_directory(&self) -> bool {
        self.kind == FileType::Directory
    }

    /// Changes the state, and the time of that change.
    pub(super) fn change(&self, now: Timestamp, edit: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        edit(&mut state);
        state.ctime = now;
        self.access_is_newest.store(false, Ordering::Relaxed);
    }

    pub(super) fn with_state<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.lock())
    }

    pub(super) fn set_mode(&self, mode: u32) {
        self.mode.store(mode & 0o7777, Ordering::Relaxed);
    }

    pub(super) fn set_owner(&self, uid: Option<Uid>, gid: Option<Gid>) {
        let Access { uid: old_uid, gid: old_gid, .. } = self.access();
        self.owner.store(owner(uid.unwrap_or(old_uid), gid.unwrap_or(old_gid)), Ordering::Relaxed);
    }

    /// Content has changed.
    pub(super) fn modified(&self) {
        let now = self.shared.clock.now();
        self.change(now, |state| state.mtime = now);
    }

    pub(super) fn weak(&self) -> Weak<Self> {
        self.me.clone()
    }

    /// Directory it is in.
    pub(super) fn home_directory(&self) -> Option<Arc<Self>> {
        self.with_state(|state| state.home.as_ref().and_then(|(parent, _)| parent.upgrade()))
    }
}

impl State {
    pub(super) fn has_name(&self) -> bool {
        self.nlink != 0
    }

    pub(super) fn may_be_linked(&self) -> bool {
        self.has_name() || self.linkable
    }

    /// Notes where the node now is; the earlier name, to be dropped outside the lock.
    pub(super) fn move_to(&mut self, parent: Weak<RamNode>, name: Arc<[u8]>) -> Option<(Weak<RamNode>, Arc<[u8]>)> {
        self.home.replace((parent, name))
    }
}

fn owner(uid: Uid, gid: Gid) -> u64 {
    u64::from(uid.0) << 32 | u64::from(gid.0)
}

impl Inode for RamNode {
    fn metadata(&self) -> Metadata {
        let Access { kind, mode, uid, gid } = self.access();
        let (size, allocated) = match &self.body {
            Body::Regular(content) => content.sizes(),
            // As tmpfs counts: twenty bytes for each entry, `.` and `..` included.
            Body::Directory(entries) => (40 + 20 * entries.lock().len() as u64, 0),
            Body::Symlink(target) => (target.len() as u64, 0),
            Body::Attached(_) | Body::Device => (0, 0),
        };
        let state = self.state.lock();
        Metadata {
            dev: self.shared.options.dev,
            ino: self.ino,
            kind,
            mode,
            nlink: state.nlink,
            uid,
            gid,
            rdev: self.rdev,
            size,
            allocated,
            atime: state.atime,
            mtime: state.mtime,
            ctime: state.ctime,
            btime: state.btime,
        }
    }

    fn ino(&self) -> u64 {
        self.ino
    }

    fn access(&self) -> Access {
        let owner = self.owner.load(Ordering::Relaxed);
        Access {
            kind: self.kind,
            mode: self.mode.load(Ordering::Relaxed),
            uid: Uid((owner >> 32) as u32),
            gid: Gid(owner as u32),
        }
    }

    fn set_attributes(&self, change: &AttributeChange) -> Result<()> {
        self.apply(change)
    }

    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        let found = self.entries()?.lock().get(name).cloned();
        found.map(|node| node as Arc<dyn Inode>).ok_or(VfsError::NotFound)
    }

    fn create(&self, name: &[u8], node: &NewNode<'_>) -> Result<Arc<dyn Inode>> {
        self.add_new(name, node)
    }

    fn create_unnamed(&self, node: &NewNode<'_>, linkable: bool) -> Result<Arc<dyn Inode>> {
        let next = self.shared.next_ino.load(Ordering::Relaxed);
        let made = self.unnamed(node, format!("#{next}").as_bytes(), linux::F_SEAL_SEAL, linkable)?;
        Ok(made)
    }

    fn link(&self, name: &[u8], target: &Arc<dyn Inode>) -> Result<()> {
        self.add_link(name, &self.own(target)?)
    }

    fn unlink(&self, name: &[u8], victim: &Arc<dyn Inode>) -> Result<()> {
        self.remove_link(name, &self.own(victim)?)
    }

    fn rmdir(&self, name: &[u8], victim: &Arc<dyn Inode>) -> Result<()> {
        self.remove_directory(name, &self.own(victim)?)
    }

    fn rename(
        &self,
        name: &[u8],
        node: &Arc<dyn Inode>,
        to: &Arc<dyn Inode>,
        to_name: &[u8],
        target: Option<&Arc<dyn Inode>>,
        mode: RenameMode,
    ) -> Result<()> {
        let target = target.map(|target| self.own(target)).transpose()?;
        self.move_entry(name, &self.own(node)?, &self.own(to)?, to_name, target.as_ref(), mode)
    }

    fn read_dir(&self, from: u64, sink: &mut dyn FnMut(&DirEntry<'_>) -> bool) -> Result<()> {
        self.entries()?.lock().read(from, sink);
        Ok(())
    }

    fn read_link(&self, _caller: &Caller<'_>) -> Result<Vec<u8>> {
        let Body::Symlink(target) = &self.body else { return Err(VfsError::InvalidArgument) };
        let mut text = Vec::new();
        text.try_reserve_exact(target.len()).map_err(|_| VfsError::NoMemory)?;
        text.extend_from_slice(target);
        Ok(text)
    }

    fn open(self: Arc<Self>, _request: &OpenRequest<'_>) -> Result<Arc<dyn File>> {
        match &self.body {
            Body::Regular(_) => Ok(self),
            _ => Err(VfsError::NoDeviceOrAddress),
        }
    }

    fn parent(&self) -> Option<crate::NamedIn> {
        let (parent, name) = {
            let state = self.state.lock();
            let (parent, name) = state.home.as_ref()?;
            (parent.upgrade()?, name.clone())
        };
        Some((parent, name))
    }

    fn is_removed(&self) -> bool {
        !self.state.lock().has_name()
    }

    fn accessed(&self) {
        if self.access_is_newest.load(Ordering::Relaxed) {
            return;
        }
        let now = self.shared.clock.now();
        let mut state = self.state.lock();
        state.atime = now;
        self.access_is_newest.store(now > state.mtime && now > state.ctime, Ordering::Relaxed);
    }

    fn attachment(&self) -> Option<&Attachment> {
        match &self.body {
            Body::Attached(attachment) => Some(attachment),
            _ => None,
        }
    }

    fn locks(&self) -> Option<&FileLocks> {
        Some(&self.locks)
    }

    fn write_count(&self) -> Option<&WriteCount> {
        (self.kind == FileType::Regular).then_some(&self.writes)
    }
}

impl Drop for RamNode {
    fn drop(&mut self) {
        self.shared.inodes.give(1);
        crate::notify::gone(self.me.as_ptr().addr(), self.state.get_mut().nlink == 0);
        let Body::Directory(entries) = &mut self.body else { return };
        // One by one instead of by recursion: trees are as deep as users make them.
        let mut orphans: Vec<Arc<Self>> = entries.get_mut().drain().collect();
        while let Some(orphan) = orphans.pop() {
            let Some(mut node) = Arc::into_inner(orphan) else { continue };
            if let Body::Directory(entries) = &mut node.body {
                orphans.extend(entries.get_mut().drain());
            }
        }
    }
}
