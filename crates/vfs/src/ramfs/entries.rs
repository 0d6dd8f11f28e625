//! The names in one directory: by hash for look-ups, by age for stable reading.

use alloc::sync::Arc;
use alloc::vec::Vec;

use hashbrown::HashMap;

use super::node::RamNode;
use crate::{DirEntry, FIRST_COOKIE, FileType, Inode, Result, VfsError};

/// Names of a directory.
pub(super) struct Entries {
    names: HashMap<Arc<[u8]>, Slot>,
    // Ascending by cookie; an entry taken away leaves its cookie until half of them are empty.
    order: Vec<Ordered>,
    next_cookie: u64,
    /// The directory itself has been removed: nothing comes in any more.
    pub(super) removed: bool,
}

struct Slot {
    node: Arc<RamNode>,
    cookie: u64,
}

struct Ordered {
    cookie: u64,
    name: Option<Arc<[u8]>>,
    ino: u64,
    kind: FileType,
}

impl Entries {
    pub(super) fn new() -> Self {
        Self { names: HashMap::new(), order: Vec::new(), next_cookie: FIRST_COOKIE, removed: false }
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    pub(super) fn get(&self, name: &[u8]) -> Option<&Arc<RamNode>> {
        self.names.get(name).map(|slot| &slot.node)
    }

    /// Makes room for one more, so that the next [`Entries::insert`] cannot fail.
    pub(super) fn reserve(&mut self) -> Result<()> {
        self.names.try_reserve(1).map_err(|_| VfsError::NoMemory)?;
        self.order.try_reserve(1).map_err(|_| VfsError::NoMemory)
    }

    /// Adds a name that is not there. Room was made.
    pub(super) fn insert(&mut self, name: Arc<[u8]>, node: Arc<RamNode>) {
        let cookie = self.next_cookie;
        self.next_cookie += 1;
        let kind = node.access().kind;
        self.order.push(Ordered { cookie, name: Some(name.clone()), ino: node.ino(), kind });
        self.names.insert(name, Slot { node, cookie });
    }

    pub(super) fn remove(&mut self, name: &[u8]) -> Option<Arc<RamNode>> {
        let Slot { node, cookie } = self.names.remove(name)?;
        if let Some(ordered) = self.ordered(cookie) {
            ordered.name = None;
        }
        if self.order.len() > 2 * self.names.len() + 8 {
            self.order.retain(|ordered| ordered.name.is_some());
        }
        Some(node)
    }

    /// Puts `node` in place of what `name` means.
    pub(super) fn replace(&mut self, name: &[u8], node: Arc<RamNode>) -> Option<Arc<RamNode>> {
        let (ino, kind) = (node.ino(), node.access().kind);
        let slot = self.names.get_mut(name)?;
        let cookie = slot.cookie;
        let old = core::mem::replace(&mut slot.node, node);
        if let Some(ordered) = self.ordered(cookie) {
            ordered.ino = ino;
            ordered.kind = kind;
        }
        Some(old)
    }

    pub(super) fn read(&self, from: u64, sink: &mut dyn FnMut(&DirEntry<'_>) -> bool) {
        let start = self.order.partition_point(|ordered| ordered.cookie < from);
        for Ordered { cookie, name, ino, kind } in self.order.iter().skip(start) {
            let Some(name) = name else { continue };
            if !sink(&DirEntry { name, ino: *ino, kind: *kind, next: cookie + 1 }) {
                return;
            }
        }
    }

    /// Everything in it, which it loses.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Arc<RamNode>> {
        self.order.clear();
        core::mem::take(&mut self.names).into_values().map(|slot| slot.node)
    }

    fn ordered(&mut self, cookie: u64) -> Option<&mut Ordered> {
        let at = self.order.binary_search_by_key(&cookie, |ordered| ordered.cookie).ok()?;
        self.order.get_mut(at)
    }
}
