//! Page tables that several spaces share until one of them changes something.
//!
//! - [`TableOps::share`]: a second space gets a reference to a table; both entries lose their write bit.
//! - [`TableOps::own`]: makes a table this space's own again, by lifting the write bit (last sharer) or by copying it.
//! - [`TableOps::put_table`]: drops a reference; the last one drops what the table refers to.
//!
//! Rules (each was a trap before it was a rule):
//!
//! 1. In an entry that leads to a table, WRITE means "the table is ours alone". Nobody but its owner changes a table, but
//!    for one thing: a sharer who copies it clears WRITE in its entries, atomically, because each page has two users then.
//! 2. Every change of a mapping owns the path to it first, the filling of an empty entry included.
//! 3. A page may be written in place only under an owned table *and* with one reference.
//! 4. A reference to a table is dropped only after all CPUs of the space have forgotten the way through it.
//! 5. Two sharers may copy at the same moment: the references both take come before the ones both drop, so the last to drop
//!    frees the table and all counts are right.

use core::sync::atomic::Ordering;

use types::PhysAddr;

use super::flush::Gather;
use crate::raw::{DirectMap, FrameMeta, Table};
use crate::{Frames, MemoryError, Pte, Purpose};

/// Levels of tables: 1 holds pages, 4 is the top.
pub(super) const TOP_LEVEL: u32 = 4;

/// Tables of this level and below are shared by fork, those above are copied.
///
/// 1: the last level only, as in On-demand-fork (EuroSys 2021); 3: all of them, so that a fork costs the same however
/// large the memory and a child that runs a program at once never has tables of its own. The tests run with every value.
pub(super) const SHARED_LEVEL: u32 = 3;

/// Entries of the user half of a top table.
const USER_SLOTS: usize = 256;

/// What works on tables needs.
#[derive(Clone, Copy)]
pub(super) struct TableOps {
    pub(super) frames: &'static Frames,
    map: DirectMap,
    shared_level: u32,
}

/// Bytes that one entry of a table of `level` covers.
#[inline]
pub(super) const fn span(level: u32) -> u64 {
    1 << (3 + 9 * level)
}

/// Index of `address` in a table of `level`.
#[inline]
pub(super) const fn index(address: u64, level: u32) -> usize {
    (address >> (3 + 9 * level)) as usize & 511
}

impl TableOps {
    pub(super) fn new(frames: &'static Frames, shared_level: u32) -> Self {
        Self { frames, map: frames.direct_map(), shared_level }
    }

    #[inline]
    pub(super) fn table(&self, frame: PhysAddr) -> &'static Table {
        self.map.table(frame)
    }

    /// A table of zeroes.
    #[inline]
    pub(super) fn new_table(&self) -> Result<PhysAddr, MemoryError> {
        self.frames.alloc_zeroed(Purpose::Table).ok_or(MemoryError::NoMemory)
    }

    /// Fills an entry of a table that is ours. Counts it if `level` is 1.
    #[inline(always)]
    pub(super) fn fill(&self, table: PhysAddr, at: usize, level: u32, entry: Pte) {
        if let Some(meta) = self.frames.meta(table) {
            let group = 1 << (at / 8);
            let groups = meta.groups.load(Ordering::Relaxed);
            if groups & group == 0 {
                meta.groups.store(groups | group, Ordering::Relaxed);
            }
            if level == 1 {
                meta.entries.store(meta.entries.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
            }
        }
        self.table(table).set(at, entry);
    }

    /// Empties a used entry of a page-holding table that is ours; gives what was there.
    #[inline]
    pub(super) fn clear(&self, table: PhysAddr, at: usize) -> Pte {
        if let Some(meta) = self.frames.meta(table) {
            meta.entries.store(meta.entries.load(Ordering::Relaxed).saturating_sub(1), Ordering::Relaxed);
        }
        self.table(table).swap(at, Pte::EMPTY)
    }

    /// Entries of a page-holding table that hold a frame.
    #[inline]
    pub(super) fn entries(&self, table: PhysAddr) -> u64 {
        self.frames.meta(table).map_or(0, |meta| u64::from(meta.entries.load(Ordering::Relaxed)))
    }

    /// Pages below a table of `level`.
    pub(super) fn pages_below(&self, table: PhysAddr, level: u32) -> u64 {
        if level == 1 {
            return self.entries(table);
        }
        let mut sum = 0;
        self.for_each(table, |_, entry| sum += self.pages_below(entry.frame(), level - 1));
        sum
    }

    /// Tables below a table of `level`, itself included.
    pub(super) fn tables_below(&self, table: PhysAddr, level: u32) -> u64 {
        let mut sum = 1;
        if level > 1 {
            self.for_each(table, |_, entry| sum += self.tables_below(entry.frame(), level - 1));
        }
        sum
    }

    /// Calls `visit` for each entry in use, user half only in a top table.
    #[inline]
    pub(super) fn for_each(&self, table: PhysAddr, mut visit: impl FnMut(usize, Pte)) {
        let Some(meta) = self.frames.meta(table) else { return };
        let entries = self.table(table);
        let mut groups = meta.groups.load(Ordering::Relaxed);
        while groups != 0 {
            let first = groups.trailing_zeros() as usize * 8;
            groups &= groups - 1;
            for at in first..first + 8 {
                let entry = entries.get(at);
                if entry.is_used() {
                    visit(at, entry);
                }
            }
        }
    }

    /// Gives `to`, an empty table, all entries of `from` (both of `level`): what is below is shared from now on.
    /// `true` if an entry of `from` lost its write bit: its space must flush.
    pub(super) fn share(&self, from: PhysAddr, to: PhysAddr, level: u32) -> bool {
        let (Some(from_meta), Some(to_meta)) = (self.frames.meta(from), self.frames.meta(to)) else { return false };
        let (source, target) = (self.table(from), self.table(to));
        let Some(mut below) = self.frames.many(from) else { return false };
        let mut lost = false;
        self.for_each(from, |at, entry| {
            below.retain(entry.frame());
            let keeps = level == 1 && entry.has(Pte::SHARED_PAGE);
            if entry.is_writable() && !keeps {
                source.clear_bits(at, Pte::WRITE);
                lost = true;
            }
            target.set(at, if keeps { entry } else { entry.without(Pte::WRITE) });
        });
        copy_counts(from_meta, to_meta);
        lost
    }

    /// Copies the table `from` of `level` to the empty `to` for a fork: tables up to the shared level are shared, those above
    /// copied. Adds to `lost` as [`TableOps::share`] tells.
    pub(super) fn fork(&self, from: PhysAddr, to: PhysAddr, level: u32, lost: &mut bool) -> Result<(), MemoryError> {
        if level - 1 <= self.shared_level {
            *lost |= self.share(from, to, level);
            return Ok(());
        }
        let mut result = Ok(());
        self.for_each(from, |at, entry| {
            if result.is_err() {
                return;
            }
            result = self.new_table().and_then(|copy| {
                self.fill(to, at, level, Pte::table(copy));
                self.fork(entry.frame(), copy, level - 1, lost)
            });
        });
        result
    }

    /// The table behind the entry of `address` in `parent` (a table that is ours, of `level`), as our own.
    #[inline(always)]
    pub(super) fn own(
        &self,
        parent: PhysAddr,
        level: u32,
        address: u64,
        gather: &mut impl Gather,
    ) -> Result<PhysAddr, MemoryError> {
        let at = index(address, level);
        let entry = self.table(parent).get(at);
        if entry.is_writable() {
            return Ok(entry.frame());
        }
        if !entry.is_used() {
            let table = self.new_table()?;
            self.fill(parent, at, level, Pte::table(table));
            return Ok(table);
        }
        self.own_shared(parent, level, address, entry.frame(), gather)
    }

    #[cold]
    fn own_shared(
        &self,
        parent: PhysAddr,
        level: u32,
        address: u64,
        table: PhysAddr,
        gather: &mut impl Gather,
    ) -> Result<PhysAddr, MemoryError> {
        let at = index(address, level);
        if self.frames.references(table) == 1 {
            self.table(parent).set_bits(at, Pte::WRITE);
            return Ok(table);
        }
        let copy = self.new_table()?;
        self.share(table, copy, level - 1);
        self.table(parent).set(at, Pte::table(copy));
        // The translations stay right, but the way to them leads through the old table: one flush of any page makes a CPU
        // forget all ways (Intel SDM vol. 3, 4.10.4.1).
        gather.stale(address);
        gather.drop_table(table, level - 1);
        Ok(copy)
    }

    /// The page-holding table of `address`, and all tables on the way, as our own.
    #[inline(always)]
    pub(super) fn own_path(
        &self,
        root: PhysAddr,
        address: u64,
        gather: &mut impl Gather,
    ) -> Result<PhysAddr, MemoryError> {
        let upper = self.own(root, 4, address, gather)?;
        let middle = self.own(upper, 3, address, gather)?;
        self.own(middle, 2, address, gather)
    }

    /// The entry of `address`, without WRITE where a table on the way is shared. Empty if there is none.
    #[inline]
    pub(super) fn walk(&self, root: PhysAddr, address: u64) -> Pte {
        let mut table = root;
        let mut writable = Pte::WRITE;
        for level in [4, 3, 2] {
            let entry = self.table(table).get(index(address, level));
            if !entry.is_used() {
                return Pte::EMPTY;
            }
            writable &= entry.0;
            table = entry.frame();
        }
        let entry = self.table(table).get(index(address, 1));
        if writable == 0 { entry.without(Pte::WRITE) } else { entry }
    }

    /// Drops a reference to a table of `level`; with the last one everything below is dropped too.
    pub(super) fn put_table(&self, table: PhysAddr, level: u32) {
        let Some(meta) = self.frames.meta(table) else { return };
        if !meta.drop_ref() {
            return;
        }
        let entries = self.table(table);
        if level == 1 {
            let Some(mut pages) = self.frames.many(table) else { return };
            self.for_each(table, |at, entry| {
                entries.set(at, Pte::EMPTY);
                pages.release(entry.frame());
            });
        } else {
            self.for_each(table, |at, entry| {
                entries.set(at, Pte::EMPTY);
                self.put_table(entry.frame(), level - 1);
            });
        }
        self.frames.free_zeroed_table(table);
    }

    /// A top table with the kernel's entries.
    pub(super) fn new_root(&self, kernel: PhysAddr) -> Result<PhysAddr, MemoryError> {
        let root = self.new_table()?;
        let (from, to) = (self.table(kernel), self.table(root));
        self.for_each_kernel_slot(kernel, |at| to.set(at, from.get(at)));
        Ok(root)
    }

    /// Drops a top table and all of the user half.
    pub(super) fn put_root(&self, root: PhysAddr, kernel: PhysAddr) {
        let entries = self.table(root);
        self.for_each_kernel_slot(kernel, |at| entries.set(at, Pte::EMPTY));
        self.put_table(root, TOP_LEVEL);
    }
}

impl TableOps {
    /// Calls `visit` for each slot of the kernel's half in whose group the kernel's own top table has an entry.
    #[inline]
    fn for_each_kernel_slot(&self, kernel: PhysAddr, mut visit: impl FnMut(usize)) {
        let Some(meta) = self.frames.meta(kernel) else { return };
        let mut groups = meta.groups.load(Ordering::Relaxed) >> (USER_SLOTS / 8) << (USER_SLOTS / 8);
        while groups != 0 {
            let first = groups.trailing_zeros() as usize * 8;
            groups &= groups - 1;
            (first..first + 8).for_each(&mut visit);
        }
    }
}

fn copy_counts(from: &FrameMeta, to: &FrameMeta) {
    to.groups.store(from.groups.load(Ordering::Relaxed), Ordering::Relaxed);
    to.entries.store(from.entries.load(Ordering::Relaxed), Ordering::Relaxed);
}
