//! Walking the tables of a range of addresses.
//!
//! Changes come in two passes: the first makes every table that will be changed this space's own and may run out of memory;
//! the second changes entries and cannot fail.

use types::PhysAddr;

use super::flush::{Gather, LargeBatch};
use super::tables::{TOP_LEVEL, TableOps, index, span};
use super::{AddressSpace, Inner, PAGE};
use crate::{MemoryError, Pte};

/// The part of `start .. end` below each entry of a table of `level`: address range per entry.
fn parts(level: u32, start: u64, end: u64) -> impl Iterator<Item = (u64, u64)> {
    let mut next = start;
    core::iter::from_fn(move || {
        let from = next;
        if from >= end {
            return None;
        }
        next = (from / span(level) + 1).saturating_mul(span(level)).min(end);
        Some((from, next))
    })
}

impl TableOps {
    /// Owns every table with pages of `start .. end`.
    fn own_all(
        &self,
        table: PhysAddr,
        level: u32,
        start: u64,
        end: u64,
        gather: &mut impl Gather,
    ) -> Result<(), MemoryError> {
        for (from, to) in parts(level, start, end) {
            if self.table(table).get(index(from, level)).is_used() {
                let child = self.own(table, level, from, gather)?;
                if level > 2 {
                    self.own_all(child, level - 1, from, to, gather)?;
                }
            }
        }
        Ok(())
    }

    /// Owns the tables that are partly in `start .. end`; those wholly inside will be let go as they are.
    fn own_borders(
        &self,
        table: PhysAddr,
        level: u32,
        start: u64,
        end: u64,
        gather: &mut impl Gather,
    ) -> Result<(), MemoryError> {
        let first = start / span(level) * span(level);
        let last = (end - 1) / span(level) * span(level);
        // Most often both are one.
        for base in core::iter::once(first).chain((last != first).then_some(last)) {
            let (from, to) = (start.max(base), end.min(base + span(level)));
            if to - from < span(level) && self.table(table).get(index(base, level)).is_used() {
                let child = self.own(table, level, from, gather)?;
                if level > 2 {
                    self.own_borders(child, level - 1, from, to, gather)?;
                }
            }
        }
        Ok(())
    }

    /// Lets go all pages of `start .. end`; gives their number. After `own_borders`.
    fn empty(&self, table: PhysAddr, level: u32, start: u64, end: u64, gather: &mut LargeBatch<'_>) -> u64 {
        let mut removed = 0;
        for (from, to) in parts(level, start, end) {
            let at = index(from, level);
            let entry = self.table(table).get(at);
            if !entry.is_used() {
                continue;
            }
            let child = entry.frame();
            if level == 1 {
                self.clear(table, at);
                gather.stale(from);
                gather.drop_frame(child);
                removed += 1;
                continue;
            }
            let whole = to - from == span(level);
            if whole {
                removed += self.pages_below(child, level - 1);
            } else {
                removed += self.empty(child, level - 1, from, to, gather);
            }
            if whole || (level == 2 && self.entries(child) == 0) {
                self.table(table).set(at, Pte::EMPTY);
                gather.stale_range(from, to);
                gather.drop_table(child, level - 1);
            }
        }
        removed
    }

    /// Calls `visit` with table, index and address of every used page entry in `start .. end`.
    fn visit(
        &self,
        table: PhysAddr,
        level: u32,
        start: u64,
        end: u64,
        visit: &mut dyn FnMut(PhysAddr, usize, u64, Pte),
    ) {
        for (from, to) in parts(level, start, end) {
            let at = index(from, level);
            let entry = self.table(table).get(at);
            if !entry.is_used() {
            } else if level == 1 {
                visit(table, at, from, entry);
            } else {
                self.visit(entry.frame(), level - 1, from, to, visit);
            }
        }
    }
}

impl AddressSpace {
    /// First pass for changing entries of `start .. end`.
    pub(super) fn own_range(&self, start: u64, end: u64, batch: &mut LargeBatch<'_>) -> Result<(), MemoryError> {
        self.ground.ops.own_all(self.root, TOP_LEVEL, start, end, batch)
    }

    /// First pass for [`AddressSpace::zap`].
    pub(super) fn prepare_zap(&self, start: u64, end: u64, batch: &mut LargeBatch<'_>) -> Result<(), MemoryError> {
        if start < end { self.ground.ops.own_borders(self.root, TOP_LEVEL, start, end, batch) } else { Ok(()) }
    }

    /// Lets go all pages of `start .. end`.
    pub(super) fn zap(&self, inner: &mut Inner, start: u64, end: u64, batch: &mut LargeBatch<'_>) {
        let removed = self.ground.ops.empty(self.root, TOP_LEVEL, start, end, batch);
        inner.counts.resident = inner.counts.resident.saturating_sub(removed);
        inner.give_back();
    }

    /// Calls `visit` with table, index, address and entry of every page held in `start .. end`.
    pub(super) fn visit_pages(&self, start: u64, end: u64, visit: &mut dyn FnMut(PhysAddr, usize, u64, Pte)) {
        debug_assert!(start.is_multiple_of(PAGE));
        self.ground.ops.visit(self.root, TOP_LEVEL, start, end, visit);
    }
}
