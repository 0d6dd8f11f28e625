//! Who watches nodes, and telling them what happens there.
//!
//! Operations of this crate report here what they have done, after their locks. While nobody watches anything that is one
//! load. A watch does not keep its node: when the node goes, the watch is told and goes with it.
//!
//! Nodes are known by their address, which stays theirs as long as a watch refers to them; file systems that make their
//! nodes anew for each look-up (/proc) can be watched in vain.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use abi::linux::general as linux;
use sync::{Rank, SpinLock};
use types::Uid;

use crate::inotify::{Event, Inotify};
use crate::{FileType, Inode, Result, VfsError};

/// Watches there are: an independent count, looked at before anything else.
static WATCHES: AtomicUsize = AtomicUsize::new(0);
static REGISTRY: SpinLock<Registry> =
    SpinLock::new(Rank::WATCHES, Registry { nodes: BTreeMap::new(), users: BTreeMap::new() });
static NEXT_COOKIE: AtomicU32 = AtomicU32::new(1);

/// What users may have, as /proc/sys/fs/inotify shows it.
pub struct WatchLimits {
    /// Instances of a user.
    pub instances: AtomicU32,
    /// Watches of a user.
    pub watches: AtomicU32,
    /// Events that wait in an instance.
    pub events: AtomicU32,
}

/// The limits in force, Linux's to begin with.
pub static WATCH_LIMITS: WatchLimits =
    WatchLimits { instances: AtomicU32::new(128), watches: AtomicU32::new(65_536), events: AtomicU32::new(16_384) };

struct Registry {
    nodes: BTreeMap<usize, Vec<Arc<Watch>>>,
    users: BTreeMap<Uid, Use>,
}

/// What a user has.
#[derive(Clone, Copy, Default)]
struct Use {
    instances: u32,
    watches: u32,
}

/// An instance's interest in a node.
pub(crate) struct Watch {
    instance: Weak<Inotify>,
    pub(crate) number: i32,
    mask: AtomicU32,
    owner: Uid,
    /// Keeps the address from being another node's.
    node: Weak<dyn Inode>,
}

/// What a node is known by.
fn key(node: &Arc<dyn Inode>) -> usize {
    Arc::as_ptr(node).cast::<()>() as usize
}

impl Watch {
    fn key(&self) -> usize {
        self.node.as_ptr().cast::<()>() as usize
    }

    fn mask(&self) -> u32 {
        self.mask.load(Ordering::Relaxed)
    }
}

/// Whether anybody watches anything.
#[inline]
pub(crate) fn is_watched() -> bool {
    WATCHES.load(Ordering::Relaxed) != 0
}

/// A number for the two halves of a rename.
pub(crate) fn next_cookie() -> u32 {
    NEXT_COOKIE.fetch_add(1, Ordering::Relaxed)
}

/// `mask` happened to `node`: told to who watches it, and before to who watches the directory it is in.
pub(crate) fn tell(node: &Arc<dyn Inode>, mask: u32) {
    if !is_watched() {
        return;
    }
    let mask = mask | directory_flag(node);
    if let Some((directory, name)) = node.parent() {
        let removed = node.is_removed();
        deliver(key(&directory), &Happening { mask, name: &name, cookie: 0, removed });
    }
    deliver(key(node), &Happening { mask, name: &[], cookie: 0, removed: false });
}

/// `mask` happened to `node`: told to who watches it only.
pub(crate) fn tell_self(node: &Arc<dyn Inode>, mask: u32) {
    if is_watched() {
        let mask = mask | directory_flag(node);
        deliver(key(node), &Happening { mask, name: &[], cookie: 0, removed: false });
    }
}

/// `mask` happened to the name `name` in `directory`.
pub(crate) fn tell_name(directory: &Arc<dyn Inode>, name: &[u8], kind: FileType, mask: u32, cookie: u32) {
    if is_watched() {
        let mask = mask | if kind == FileType::Directory { linux::IN_ISDIR } else { 0 };
        deliver(key(directory), &Happening { mask, name, cookie, removed: false });
    }
}

/// The node at `address` is no more: because its last name went (`removed`), or with its file system.
pub(crate) fn gone(address: usize, removed: bool) {
    if !is_watched() {
        return;
    }
    let watches = REGISTRY.lock().nodes.remove(&address).unwrap_or_default();
    for watch in watches {
        let event = if removed { linux::IN_DELETE_SELF } else { linux::IN_UNMOUNT };
        if let Some(instance) = watch.instance.upgrade() {
            if !removed || watch.mask() & event != 0 {
                instance.push(Event::new(watch.number, event));
            }
            instance.forget(watch.number);
        }
        release(&watch);
    }
}

struct Happening<'a> {
    mask: u32,
    name: &'a [u8],
    cookie: u32,
    removed: bool,
}

fn directory_flag(node: &Arc<dyn Inode>) -> u32 {
    if node.access().kind == FileType::Directory { linux::IN_ISDIR } else { 0 }
}

/// Tells the watches of one node. Without memory somebody misses an event; its instance says so.
fn deliver(key: usize, what: &Happening<'_>) {
    let mut told = Vec::new();
    {
        let registry = REGISTRY.lock();
        let Some(watches) = registry.nodes.get(&key) else { return };
        let interested = |watch: &&Arc<Watch>| {
            let mask = watch.mask();
            mask & what.mask & linux::IN_ALL_EVENTS != 0 && !(what.removed && mask & linux::IN_EXCL_UNLINK != 0)
        };
        if told.try_reserve_exact(watches.iter().filter(interested).count()).is_err() {
            return;
        }
        told.extend(watches.iter().filter(interested).cloned());
    }
    if told.is_empty() {
        return;
    }
    let hidden = if what.mask & (linux::IN_DELETE_SELF | linux::IN_MOVE_SELF) != 0 { linux::IN_ISDIR } else { 0 };
    let name: Option<Arc<[u8]>> = (!what.name.is_empty()).then(|| what.name.into());
    for watch in told {
        let Some(instance) = watch.instance.upgrade() else { continue };
        let mask = what.mask & !hidden;
        instance.push(Event { watch: watch.number, mask, cookie: what.cookie, name: name.clone() });
        if watch.mask() & linux::IN_ONESHOT != 0 {
            let _ = remove(&instance, watch.number);
        }
    }
}

/// Counts an instance of `owner`.
///
/// # Errors
/// [`VfsError::TooManyOpenFiles`] at the limit.
pub(crate) fn add_instance(owner: Uid) -> Result<()> {
    let mut registry = REGISTRY.lock();
    let used = registry.users.entry(owner).or_default();
    if used.instances >= WATCH_LIMITS.instances.load(Ordering::Relaxed) {
        return Err(VfsError::TooManyOpenFiles);
    }
    used.instances += 1;
    Ok(())
}

/// An instance is being closed, with what is left of its watches.
pub(crate) fn remove_instance(owner: Uid, watches: impl Iterator<Item = Arc<Watch>>) {
    for watch in watches {
        if take_out(&watch) {
            release(&watch);
        }
    }
    let mut registry = REGISTRY.lock();
    if let Some(used) = registry.users.get_mut(&owner) {
        used.instances = used.instances.saturating_sub(1);
    }
    registry.tidy(owner);
}

/// inotify_add_watch(2): the number of the watch of `node`.
///
/// # Errors
/// [`VfsError::Exists`] for a second watch where that was refused, [`VfsError::NoSpace`] at the limit.
pub(crate) fn add(instance: &Arc<Inotify>, owner: Uid, node: &Arc<dyn Inode>, mask: u32) -> Result<i32> {
    let kept = mask & (linux::IN_ALL_EVENTS | linux::IN_ONESHOT | linux::IN_EXCL_UNLINK);
    let mut registry = REGISTRY.lock();
    let Registry { nodes, users } = &mut *registry;
    let watches = nodes.entry(key(node)).or_default();
    if let Some(watch) = watches.iter().find(|watch| core::ptr::eq(watch.instance.as_ptr(), Arc::as_ptr(instance))) {
        if mask & linux::IN_MASK_CREATE != 0 {
            return Err(VfsError::Exists);
        }
        let added = if mask & linux::IN_MASK_ADD != 0 { watch.mask() } else { 0 };
        watch.mask.store(kept | added, Ordering::Relaxed);
        return Ok(watch.number);
    }
    let used = users.entry(owner).or_default();
    let room = used.watches < WATCH_LIMITS.watches.load(Ordering::Relaxed);
    let made = if room && watches.try_reserve(1).is_ok() {
        instance.watch(|number| {
            Arc::new(Watch {
                instance: Arc::downgrade(instance),
                number,
                mask: AtomicU32::new(kept),
                owner,
                node: Arc::downgrade(node),
            })
        })
    } else {
        None
    };
    let Some(watch) = made else {
        if watches.is_empty() {
            nodes.remove(&key(node));
        }
        return Err(VfsError::NoSpace);
    };
    let number = watch.number;
    watches.push(watch);
    used.watches += 1;
    WATCHES.fetch_add(1, Ordering::Relaxed);
    Ok(number)
}

/// inotify_rm_watch(2).
///
/// # Errors
/// [`VfsError::InvalidArgument`] if there is no such watch.
pub(crate) fn remove(instance: &Arc<Inotify>, number: i32) -> Result<()> {
    let watch = instance.forget(number).ok_or(VfsError::InvalidArgument)?;
    if take_out(&watch) {
        release(&watch);
    }
    Ok(())
}

/// Takes a watch off its node; whether it was still there.
fn take_out(watch: &Arc<Watch>) -> bool {
    let mut registry = REGISTRY.lock();
    let Some(watches) = registry.nodes.get_mut(&watch.key()) else { return false };
    let Some(at) = watches.iter().position(|found| Arc::ptr_eq(found, watch)) else { return false };
    let taken = watches.swap_remove(at);
    let empty = watches.is_empty().then(|| registry.nodes.remove(&watch.key()));
    drop(registry);
    drop((taken, empty));
    true
}

/// A watch has been taken out.
fn release(watch: &Watch) {
    WATCHES.fetch_sub(1, Ordering::Relaxed);
    let mut registry = REGISTRY.lock();
    if let Some(used) = registry.users.get_mut(&watch.owner) {
        used.watches = used.watches.saturating_sub(1);
    }
    registry.tidy(watch.owner);
}

impl Registry {
    fn tidy(&mut self, owner: Uid) {
        if self.users.get(&owner).is_some_and(|used| used.instances == 0 && used.watches == 0) {
            self.users.remove(&owner);
        }
    }
}
