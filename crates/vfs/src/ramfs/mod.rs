//! A file system in memory: the first one, and every tmpfs.
//!
//! Content lives in frames of a [`FrameStore`], page by page and only where something was written, so that the same
//! frames can be mapped. Locks: one per directory, one per node's metadata, one per file's pages; renames and removals
//! of directories are one at a time in a file system, which is what makes any order of two directory locks safe.

mod attributes;
mod content;
mod directory;
mod entries;
mod file;
mod node;
mod rename;

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use abi::Statfs;
use abi::linux::general as linux;
use hal::FrameStore;
use sync::{Rank, SpinLock};
use types::{Gid, PAGE_SIZE, Uid};

use crate::{
    Clock, DeviceNumber, FileSystem, FileSystemInfo, Inode, Location, Namespace, NewContent, NewNode, OpenFile, Result,
    VfsError,
};
use node::RamNode;

/// What a file system in memory is made with.
#[derive(Clone, Copy)]
pub struct RamOptions {
    /// Its name in /proc/mounts.
    pub kind: &'static str,
    /// Its device number in stat.
    pub dev: DeviceNumber,
    /// Most bytes of content, rounded up to pages; `u64::MAX` for as many as there are.
    pub max_bytes: u64,
    /// Most nodes: what keeps empty files from eating the kernel heap.
    pub max_inodes: u64,
    /// Mode of its top directory.
    pub root_mode: u32,
    /// Owner of its top directory.
    pub root_uid: Uid,
    /// Group of its top directory.
    pub root_gid: Gid,
}

impl RamOptions {
    /// An unlimited file system called `kind`.
    pub const fn new(kind: &'static str, dev: DeviceNumber) -> Self {
        Self {
            kind,
            dev,
            max_bytes: u64::MAX,
            max_inodes: u64::MAX,
            root_mode: 0o755,
            root_uid: Uid::ROOT,
            root_gid: Gid::ROOT,
        }
    }

    /// Applies mount options of tmpfs(5): `size=`, `nr_blocks=`, `nr_inodes=`, `mode=`, `uid=`, `gid=`; `memory` bytes
    /// are what a percentage refers to.
    ///
    /// # Errors
    /// [`VfsError::InvalidArgument`] for an unknown option or value.
    pub fn parse(mut self, options: &[u8], memory: u64) -> Result<Self> {
        let text = core::str::from_utf8(options).map_err(|_| VfsError::InvalidArgument)?;
        for option in text.split(',').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            let id = || value.parse().map_err(|_| VfsError::InvalidArgument);
            match name {
                "size" => self.max_bytes = unlimited_if_zero(size(value, memory)?),
                "nr_blocks" => {
                    let blocks = size(value, memory / PAGE_SIZE as u64)?;
                    self.max_bytes = unlimited_if_zero(blocks.saturating_mul(PAGE_SIZE as u64));
                }
                "nr_inodes" => self.max_inodes = unlimited_if_zero(size(value, memory)?),
                "mode" => {
                    let mode = u32::from_str_radix(value, 8).map_err(|_| VfsError::InvalidArgument)?;
                    self.root_mode = mode & 0o7777;
                }
                "uid" => self.root_uid = Uid(id()?),
                "gid" => self.root_gid = Gid(id()?),
                // Nothing to do for these here.
                "huge" | "mpol" | "noswap" | "inode32" | "inode64" => {}
                _ => return Err(VfsError::InvalidArgument),
            }
        }
        Ok(self)
    }
}

const fn unlimited_if_zero(limit: u64) -> u64 {
    if limit == 0 { u64::MAX } else { limit }
}

/// A number with an optional suffix k, m, g, t or %.
fn size(value: &str, memory: u64) -> Result<u64> {
    if let Some(percent) = value.strip_suffix('%') {
        let percent: u64 = percent.parse().map_err(|_| VfsError::InvalidArgument)?;
        return (memory / 100).checked_mul(percent).ok_or(VfsError::InvalidArgument);
    }
    let shift = match value.bytes().last() {
        Some(b'k' | b'K') => 10,
        Some(b'm' | b'M') => 20,
        Some(b'g' | b'G') => 30,
        Some(b't' | b'T') => 40,
        _ => 0,
    };
    let digits = if shift == 0 { value } else { value.get(..value.len() - 1).unwrap_or("") };
    let number: u64 = digits.parse().map_err(|_| VfsError::InvalidArgument)?;
    number.checked_mul(1 << shift).ok_or(VfsError::InvalidArgument)
}

/// A file system in memory.
pub struct RamFs {
    shared: Arc<Shared>,
    root: Arc<RamNode>,
}

/// What all nodes of one file system have in common.
struct Shared {
    store: &'static dyn FrameStore,
    clock: &'static dyn Clock,
    options: RamOptions,
    next_ino: AtomicU64,
    pages: Budget,
    inodes: Budget,
    renames: SpinLock<()>,
}

/// A count with a limit.
struct Budget {
    used: AtomicU64,
    limit: u64,
}

impl Budget {
    const fn new(limit: u64) -> Self {
        Self { used: AtomicU64::new(0), limit }
    }

    // The count guards no other memory.
    fn take(&self) -> Result<()> {
        let more = |used: u64| (used < self.limit).then_some(used + 1);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).map_or(Err(VfsError::NoSpace), |_| Ok(()))
    }

    fn give(&self, count: u64) {
        self.used.fetch_sub(count, Ordering::Relaxed);
    }

    fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Size and free part for statfs; nothing where there is no limit.
    fn report(&self) -> (u64, u64) {
        if self.limit == u64::MAX { (0, 0) } else { (self.limit, self.limit.saturating_sub(self.used())) }
    }
}

impl RamFs {
    /// An empty file system with content in `store`.
    pub fn new(store: &'static dyn FrameStore, clock: &'static dyn Clock, options: RamOptions) -> Arc<Self> {
        let shared = Arc::new(Shared {
            store,
            clock,
            options,
            next_ino: AtomicU64::new(1),
            pages: Budget::new(options.max_bytes.div_ceil(PAGE_SIZE as u64)),
            inodes: Budget::new(options.max_inodes.max(1)),
            renames: SpinLock::new(Rank::RENAME, ()),
        });
        // The limit is at least one, so the root always fits.
        let _ = shared.inodes.take();
        let node = NewNode {
            content: NewContent::Directory,
            mode: options.root_mode,
            uid: options.root_uid,
            gid: options.root_gid,
        };
        let root = RamNode::root(shared.clone(), &node);
        Arc::new(Self { shared, root })
    }

    /// memfd_create(2): a file without a name, with `flags` of MFD_.
    ///
    /// # Errors
    /// [`VfsError::InvalidArgument`] for flags or a name that cannot be, [`VfsError::NoSpace`].
    pub fn create_memory_file(&self, namespace: &Namespace, name: &[u8], flags: u32) -> Result<Arc<OpenFile>> {
        /// Longest name, the prefix taken off (memfd_create(2)).
        const MAX_NAME: usize = 249;
        let known = linux::MFD_CLOEXEC | linux::MFD_ALLOW_SEALING | linux::MFD_NOEXEC_SEAL | linux::MFD_EXEC;
        let contradiction = linux::MFD_NOEXEC_SEAL | linux::MFD_EXEC;
        if flags & !known != 0 || flags & contradiction == contradiction || name.len() > MAX_NAME {
            return Err(VfsError::InvalidArgument);
        }
        let no_exec = flags & linux::MFD_NOEXEC_SEAL != 0;
        let seals = match (no_exec, flags & linux::MFD_ALLOW_SEALING != 0) {
            (true, _) => linux::F_SEAL_EXEC,
            (false, true) => 0,
            (false, false) => linux::F_SEAL_SEAL,
        };
        let mode = if no_exec { 0o666 } else { 0o777 };
        let node = NewNode { content: NewContent::Regular, mode, uid: Uid::ROOT, gid: Gid::ROOT };
        let label = [b"memfd:", name].concat();
        let inode: Arc<dyn Inode> = self.root.unnamed(&node, &label, seals, false)?;
        let location = Location::new(namespace.anonymous().clone(), inode);
        OpenFile::memory(location, linux::O_RDWR | linux::O_LARGEFILE)
    }

    /// Frames of content in use.
    pub fn used_pages(&self) -> u64 {
        self.shared.pages.used()
    }

    /// Nodes in use, the top directory included.
    pub fn used_inodes(&self) -> u64 {
        self.shared.inodes.used()
    }
}

impl FileSystem for RamFs {
    fn root(&self) -> Arc<dyn Inode> {
        self.root.clone()
    }

    fn statfs(&self) -> Statfs {
        let magic = if self.shared.options.kind == "ramfs" { linux::RAMFS_MAGIC } else { linux::TMPFS_MAGIC };
        let (blocks, free) = self.shared.pages.report();
        let (files, free_files) = self.shared.inodes.report();
        Statfs {
            f_blocks: blocks,
            f_bfree: free,
            f_bavail: free,
            f_files: files,
            f_ffree: free_files,
            ..crate::statfs::empty(magic)
        }
    }

    fn info(&self) -> FileSystemInfo {
        let RamOptions { kind, max_bytes, max_inodes, root_mode, .. } = self.shared.options;
        let mut options = String::new();
        if max_bytes != u64::MAX {
            options += &format!(",size={}k", max_bytes.div_ceil(1024));
        }
        if max_inodes != u64::MAX {
            options += &format!(",nr_inodes={max_inodes}");
        }
        if root_mode != 0o755 && root_mode != 0o1777 {
            options += &format!(",mode={root_mode:o}");
        }
        FileSystemInfo { kind, options }
    }
}
