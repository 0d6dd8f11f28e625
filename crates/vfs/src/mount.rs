//! File systems put together into one tree.
//!
//! The table is immutable: a path walk takes one reference to it and then needs no lock; mounting makes a new table.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use abi::linux::general as linux;
use bitflags::bitflags;
use sync::{Rank, SpinLock};

use crate::anonymous_node::AnonymousFs;
use crate::{DeviceRegistry, FileSystem, Inode, Location, Result, VfsError};

/// Most mounts in a namespace: what a user-mode loop of bind mounts can take from the kernel heap.
const MAX_MOUNTS: usize = 1024;

bitflags! {
    /// Properties of a mount; bits as in mount(2).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct MountFlags: u32 {
        /// No changes.
        const READ_ONLY = linux::MS_RDONLY;
        /// Set-id bits do nothing.
        const NO_SET_ID = linux::MS_NOSUID;
        /// Device nodes cannot be opened.
        const NO_DEVICES = linux::MS_NODEV;
        /// Nothing can be executed.
        const NO_EXECUTE = linux::MS_NOEXEC;
        /// All writes at once; they are anyway.
        const SYNCHRONOUS = linux::MS_SYNCHRONOUS;
        /// Symbolic links are not followed.
        const NO_FOLLOW = linux::MS_NOSYMFOLLOW;
        /// No times of access.
        const NO_ACCESS_TIME = linux::MS_NOATIME;
        /// No times of access of directories.
        const NO_DIRECTORY_ACCESS_TIME = linux::MS_NODIRATIME;
        /// Times of access only where older than the last change; always so.
        const RELATIVE_ACCESS_TIME = linux::MS_RELATIME;
    }
}

/// One file system, or a subtree of one, attached somewhere.
pub struct Mount {
    id: u64,
    file_system: Arc<dyn FileSystem>,
    root: Arc<dyn Inode>,
    root_ino: u64,
    source: Box<[u8]>,
    flags: AtomicU32,
    // Open files that may write, so that it cannot become read-only under them.
    writers: AtomicUsize,
    // Tables that hold it; the rest of its references are users.
    tables: AtomicUsize,
}

impl Mount {
    fn new(
        id: u64,
        file_system: Arc<dyn FileSystem>,
        root: Arc<dyn Inode>,
        source: &[u8],
        flags: MountFlags,
    ) -> Arc<Self> {
        Arc::new(Self {
            id,
            root_ino: root.ino(),
            file_system,
            root,
            source: source.into(),
            flags: AtomicU32::new(flags.bits()),
            writers: AtomicUsize::new(0),
            tables: AtomicUsize::new(0),
        })
    }

    /// Its number (statx, /proc/self/mountinfo).
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Its file system.
    pub fn file_system(&self) -> &Arc<dyn FileSystem> {
        &self.file_system
    }

    /// The node that is on top.
    pub fn root(&self) -> &Arc<dyn Inode> {
        &self.root
    }

    /// What mount(2) was given as the device.
    pub fn source(&self) -> &[u8] {
        &self.source
    }

    /// Its properties.
    pub fn flags(&self) -> MountFlags {
        MountFlags::from_bits_truncate(self.flags.load(Ordering::Relaxed))
    }

    /// # Errors
    /// [`VfsError::ReadOnly`].
    pub fn check_writable(&self) -> Result<()> {
        if self.flags().contains(MountFlags::READ_ONLY) { Err(VfsError::ReadOnly) } else { Ok(()) }
    }

    pub(crate) fn is_root(&self, inode: &dyn Inode) -> bool {
        inode.ino() == self.root_ino
    }

    pub(crate) fn add_writer(&self) -> Result<()> {
        self.writers.fetch_add(1, Ordering::SeqCst);
        self.check_writable().inspect_err(|_| self.remove_writer())
    }

    pub(crate) fn remove_writer(&self) {
        self.writers.fetch_sub(1, Ordering::SeqCst);
    }

    fn set_flags(&self, flags: MountFlags) -> Result<()> {
        let old = self.flags.swap(flags.bits(), Ordering::SeqCst);
        // After the swap no new writer comes: either it saw the flag or we see it.
        if flags.contains(MountFlags::READ_ONLY) && self.writers.load(Ordering::SeqCst) != 0 {
            self.flags.store(old, Ordering::SeqCst);
            return Err(VfsError::Busy);
        }
        Ok(())
    }
}

/// A mount in its place.
struct Attached {
    mount: Arc<Mount>,
    // What it covers; `None` for the first mount.
    point: Option<Location>,
    point_ino: u64,
}

impl Attached {
    fn new(mount: Arc<Mount>, point: Option<Location>) -> Self {
        mount.tables.fetch_add(1, Ordering::SeqCst);
        let point_ino = point.as_ref().map_or(0, |point| point.inode().ino());
        Self { mount, point, point_ino }
    }

    fn covers(&self, mount: &Mount, ino: u64) -> bool {
        self.point_ino == ino && self.point.as_ref().is_some_and(|point| point.mount().id == mount.id)
    }

    fn is_on(&self, mount: &Mount) -> bool {
        self.point.as_ref().is_some_and(|point| point.mount().id == mount.id)
    }
}

impl Clone for Attached {
    fn clone(&self) -> Self {
        Self::new(self.mount.clone(), self.point.clone())
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.mount.tables.fetch_sub(1, Ordering::SeqCst);
    }
}

/// All mounts of a namespace at one moment.
pub(crate) struct MountTable {
    mounts: Vec<Attached>,
}

impl MountTable {
    /// The mount that covers `ino` of `mount`.
    pub(crate) fn covering(&self, mount: &Mount, ino: u64) -> Option<&Arc<Mount>> {
        self.mounts.iter().rev().find(|attached| attached.covers(mount, ino)).map(|attached| &attached.mount)
    }

    /// What `mount` covers.
    pub(crate) fn point_of(&self, mount: &Mount) -> Option<&Location> {
        self.mounts.iter().find(|attached| attached.mount.id == mount.id)?.point.as_ref()
    }

    /// Whether `location` is in this table's tree.
    pub(crate) fn contains(&self, mount: &Mount) -> bool {
        self.mounts.iter().any(|attached| attached.mount.id == mount.id)
    }

    fn copy(&self) -> Result<Vec<Attached>> {
        let mut mounts = Vec::new();
        mounts.try_reserve(self.mounts.len() + 1).map_err(|_| VfsError::NoMemory)?;
        mounts.extend(self.mounts.iter().cloned());
        Ok(mounts)
    }
}

/// Whether unmounting waits for users to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmount {
    /// Refused while there are users.
    IfUnused,
    /// Detached at once, users keep what they have (MNT_DETACH).
    Lazy,
}

/// One line of /proc/mounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountLine {
    /// Number of the mount.
    pub id: u64,
    /// Number of the mount it is on; its own for the first.
    pub parent: u64,
    /// Device of the file system.
    pub dev: crate::DeviceNumber,
    /// Which directory of its file system is on top.
    pub root: Vec<u8>,
    /// Where it is.
    pub point: Vec<u8>,
    /// What it was mounted from.
    pub source: Vec<u8>,
    /// Type of the file system.
    pub kind: &'static str,
    /// Properties of the mount.
    pub flags: MountFlags,
    /// Options of the file system, a comma before each.
    pub options: alloc::string::String,
}

/// The mounts that a group of processes sees, and the devices behind device nodes.
pub struct Namespace {
    table: SpinLock<Arc<MountTable>>,
    devices: Arc<DeviceRegistry>,
    ids: Arc<AtomicU64>,
    anonymous: Arc<Mount>,
}

impl Namespace {
    /// A namespace with `root` mounted at the top.
    pub fn new(root: Arc<dyn FileSystem>, source: &[u8], devices: Arc<DeviceRegistry>) -> Self {
        let anonymous: Arc<dyn FileSystem> = Arc::new(AnonymousFs::new());
        let anonymous = Mount::new(1, anonymous.clone(), anonymous.root(), b"anon", MountFlags::empty());
        let top = Mount::new(2, root.clone(), root.root(), source, MountFlags::empty());
        let table = Arc::new(MountTable { mounts: Vec::from([Attached::new(top, None)]) });
        Self { table: SpinLock::new(Rank::MOUNTS, table), devices, ids: Arc::new(AtomicU64::new(3)), anonymous }
    }

    /// A namespace that starts with the same mounts and then goes its own way (CLONE_NEWNS).
    ///
    /// They are mounts of its own: what is remounted here stays as it was there. The second value leads from the old places
    /// to the new ones.
    ///
    /// # Errors
    /// [`VfsError::NoMemory`].
    pub fn fork(&self) -> Result<(Self, MountCopies)> {
        let table = self.snapshot();
        let mut copies = MountCopies(Vec::new());
        copies.0.try_reserve_exact(table.mounts.len()).map_err(|_| VfsError::NoMemory)?;
        for Attached { mount, .. } in &table.mounts {
            let id = self.ids.fetch_add(1, Ordering::Relaxed);
            let copy = Mount::new(id, mount.file_system.clone(), mount.root.clone(), &mount.source, mount.flags());
            copies.0.push((mount.id, copy));
        }
        let mut mounts = Vec::new();
        mounts.try_reserve_exact(table.mounts.len()).map_err(|_| VfsError::NoMemory)?;
        for (Attached { point, .. }, (_, copy)) in table.mounts.iter().zip(&copies.0) {
            mounts.push(Attached::new(copy.clone(), point.as_ref().map(|point| copies.of(point))));
        }
        let namespace = Self {
            table: SpinLock::new(Rank::MOUNTS, Arc::new(MountTable { mounts })),
            devices: self.devices.clone(),
            ids: self.ids.clone(),
            anonymous: self.anonymous.clone(),
        };
        Ok((namespace, copies))
    }

    /// The devices behind device nodes.
    pub fn devices(&self) -> &Arc<DeviceRegistry> {
        &self.devices
    }

    /// Top of the tree, the newest mount there.
    pub fn root(&self) -> Location {
        let table = self.snapshot();
        let mut mount = match table.mounts.first() {
            Some(first) => first.mount.clone(),
            None => self.anonymous.clone(),
        };
        while let Some(upper) = table.covering(&mount, mount.root_ino) {
            mount = upper.clone();
        }
        Location::new(mount.clone(), mount.root.clone())
    }

    /// Puts a file system on top of `at`.
    ///
    /// # Errors
    /// [`VfsError::NotADirectory`] unless both ends are directories; [`VfsError::NoSpace`] beyond the most mounts.
    pub fn mount(
        &self,
        at: &Location,
        file_system: Arc<dyn FileSystem>,
        source: &[u8],
        flags: MountFlags,
    ) -> Result<Arc<Mount>> {
        let root = file_system.root();
        self.attach(at, file_system, root, source, flags)
    }

    /// Shows what is at `from` also at `at` (MS_BIND), with the mounts below it if `recursive` (MS_REC).
    ///
    /// # Errors
    /// As for [`Namespace::mount`].
    pub fn bind(&self, from: &Location, at: &Location, recursion: Recursion) -> Result<()> {
        let origin = from.mount();
        let bound =
            self.attach(at, origin.file_system.clone(), from.inode().clone(), &origin.source, origin.flags())?;
        if recursion == Recursion::No {
            return Ok(());
        }
        let table = self.snapshot();
        let mut copies: Vec<(u64, Arc<Mount>)> = Vec::from([(origin.id, bound.clone())]);
        for attached in &table.mounts {
            let Some(point) = &attached.point else { continue };
            if attached.mount.id == bound.id {
                continue;
            }
            let below_origin = point.mount().id != origin.id || is_below(point.inode(), from.inode());
            let Some((_, parent)) = copies.iter().find(|(old, _)| *old == point.mount().id) else { continue };
            if !below_origin {
                continue;
            }
            let at = Location::new(parent.clone(), point.inode().clone());
            let mount = &attached.mount;
            let copy = self.attach(&at, mount.file_system.clone(), mount.root.clone(), &mount.source, mount.flags())?;
            copies.try_reserve(1).map_err(|_| VfsError::NoMemory)?;
            copies.push((mount.id, copy));
        }
        Ok(())
    }

    /// Moves the mount whose root is `from` to `at` (MS_MOVE).
    ///
    /// # Errors
    /// [`VfsError::InvalidArgument`] if `from` is not the root of a mount, or the first one;
    /// [`VfsError::SymlinkLoop`] if `at` is below it.
    pub fn move_mount(&self, from: &Location, at: &Location) -> Result<()> {
        if !from.is_mount_root() {
            return Err(VfsError::InvalidArgument);
        }
        same_kind(from.inode().as_ref(), at.inode().as_ref())?;
        self.change(|table, mounts| {
            let mut above = at.mount();
            loop {
                if above.id == from.mount().id {
                    return Err(VfsError::SymlinkLoop);
                }
                let Some(point) = table.point_of(above) else { break };
                above = point.mount();
            }
            let index = mounts.iter().position(|attached| attached.mount.id == from.mount().id);
            let moved = index.and_then(|index| mounts.get_mut(index)).ok_or(VfsError::InvalidArgument)?;
            if moved.point.is_none() {
                return Err(VfsError::InvalidArgument);
            }
            *moved = Attached::new(from.mount().clone(), Some(at.clone()));
            // The newest mount on a place wins, so a moved one becomes the newest; the order of parents is kept by
            // moving only it.
            if let Some(index) = index {
                let moved = mounts.remove(index);
                mounts.push(moved);
            }
            Ok(())
        })
    }

    /// Changes the properties of the mount whose root is `at` (MS_REMOUNT).
    ///
    /// # Errors
    /// [`VfsError::InvalidArgument`] if it is no mount's root; [`VfsError::Busy`] if it is to be read-only and files
    /// are open for writing.
    pub fn remount(&self, at: &Location, flags: MountFlags) -> Result<()> {
        if at.is_mount_root() { at.mount().set_flags(flags) } else { Err(VfsError::InvalidArgument) }
    }

    /// Takes the mount whose root is `at` away. Keep no other clone of `at`, which would count as a user.
    ///
    /// # Errors
    /// [`VfsError::InvalidArgument`] if it is no mount's root; [`VfsError::Busy`] if it is the first mount, carries
    /// others or has users.
    pub fn unmount(&self, at: &Location, how: Unmount) -> Result<()> {
        if !at.is_mount_root() {
            return Err(VfsError::InvalidArgument);
        }
        let mount = at.mount();
        self.change(|table, mounts| {
            if !table.contains(mount) {
                return Err(VfsError::InvalidArgument);
            }
            if table.point_of(mount).is_none() {
                return Err(VfsError::Busy);
            }
            if how == Unmount::IfUnused {
                let carries = mounts.iter().any(|attached| attached.is_on(mount));
                // One reference per table, and the caller's.
                let users = Arc::strong_count(mount).saturating_sub(mount.tables.load(Ordering::SeqCst));
                if carries || users > 1 {
                    return Err(VfsError::Busy);
                }
            }
            // With it goes everything mounted below it.
            let mut gone = Vec::from([mount.id]);
            loop {
                let before = gone.len();
                for attached in mounts.iter() {
                    let on_gone = attached.point.as_ref().is_some_and(|point| gone.contains(&point.mount().id));
                    if on_gone && !gone.contains(&attached.mount.id) {
                        gone.push(attached.mount.id);
                    }
                }
                if gone.len() == before {
                    break;
                }
            }
            mounts.retain(|attached| !gone.contains(&attached.mount.id));
            Ok(())
        })
    }

    /// Whether something is mounted on `location`, or it is the root of a mount.
    pub fn is_busy(&self, location: &Location) -> bool {
        location.is_mount_root() || self.snapshot().covering(location.mount(), location.inode().ino()).is_some()
    }

    /// The mounts that can be seen from `root`, in order.
    ///
    /// # Errors
    /// [`VfsError::NoMemory`].
    pub fn list(&self, root: &Location) -> Result<Vec<MountLine>> {
        let table = self.snapshot();
        let mut lines = Vec::new();
        lines.try_reserve(table.mounts.len()).map_err(|_| VfsError::NoMemory)?;
        for Attached { mount, point, .. } in &table.mounts {
            let place = Location::new(mount.clone(), mount.root.clone());
            let path = crate::location::path_in(&table, &place, root)?;
            if path.unreachable {
                continue;
            }
            let info = mount.file_system.info();
            lines.push(MountLine {
                id: mount.id,
                parent: point.as_ref().map_or(mount.id, |point| point.mount().id),
                dev: mount.root.metadata().dev,
                root: crate::location::path_in_file_system(mount.root.clone())?,
                point: path.text,
                source: mount.source.to_vec(),
                kind: info.kind,
                flags: mount.flags(),
                options: info.options,
            });
        }
        Ok(lines)
    }

    /// Where nodes live that have no place in the tree.
    pub(crate) fn anonymous(&self) -> &Arc<Mount> {
        &self.anonymous
    }

    pub(crate) fn snapshot(&self) -> Arc<MountTable> {
        self.table.lock().clone()
    }

    fn attach(
        &self,
        at: &Location,
        file_system: Arc<dyn FileSystem>,
        root: Arc<dyn Inode>,
        source: &[u8],
        flags: MountFlags,
    ) -> Result<Arc<Mount>> {
        same_kind(root.as_ref(), at.inode().as_ref())?;
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let mount = Mount::new(id, file_system, root, source, flags);
        self.change(|table, mounts| {
            if !table.contains(at.mount()) {
                return Err(VfsError::InvalidArgument);
            }
            if at.inode().is_removed() {
                return Err(VfsError::NotFound);
            }
            if mounts.len() >= MAX_MOUNTS {
                return Err(VfsError::NoSpace);
            }
            mounts.push(Attached::new(mount.clone(), Some(at.clone())));
            Ok(())
        })?;
        Ok(mount)
    }

    /// Replaces the table by a changed copy; tries again if another change came first.
    fn change(&self, mut edit: impl FnMut(&MountTable, &mut Vec<Attached>) -> Result<()>) -> Result<()> {
        loop {
            let old = self.snapshot();
            let mut mounts = old.copy()?;
            edit(&old, &mut mounts)?;
            let new = Arc::new(MountTable { mounts });
            let replaced = {
                let mut table = self.table.lock();
                if Arc::ptr_eq(&table, &old) { Ok(core::mem::replace(&mut *table, new)) } else { Err(new) }
            };
            if replaced.is_ok() {
                return Ok(());
            }
        }
    }
}

/// Which mount of a new namespace stands for which of the one it was copied from.
pub struct MountCopies(Vec<(u64, Arc<Mount>)>);

impl MountCopies {
    /// The same place in the new namespace; the place itself if it was in no mount of the old one.
    pub fn of(&self, place: &Location) -> Location {
        let copy = self.0.iter().find(|(id, _)| *id == place.mount().id);
        copy.map_or_else(|| place.clone(), |(_, copy)| Location::new(copy.clone(), place.inode().clone()))
    }
}

/// Whether a bind mount takes along the mounts below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recursion {
    /// Only the one.
    No,
    /// All (MS_REC).
    Yes,
}

/// Directories go on directories, files on files.
fn same_kind(root: &dyn Inode, at: &dyn Inode) -> Result<()> {
    let directory = |inode: &dyn Inode| inode.access().kind == crate::FileType::Directory;
    if directory(root) == directory(at) { Ok(()) } else { Err(VfsError::NotADirectory) }
}

fn is_below(inode: &Arc<dyn Inode>, top: &Arc<dyn Inode>) -> bool {
    let mut at = inode.clone();
    loop {
        if at.ino() == top.ino() {
            return true;
        }
        let Some((parent, _)) = at.parent() else { return false };
        at = parent;
    }
}
