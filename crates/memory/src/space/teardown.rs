//! Freeing a large space in steps, so that nobody waits long.

use types::PhysAddr;

use super::flush::{Gather, LargeBatch};
use super::tables::TOP_LEVEL;
use super::{AddressSpace, Counts};
use crate::Pte;

impl AddressSpace {
    /// Starts freeing everything in steps: from now on nothing is mapped and no fault resolves.
    pub fn begin_teardown(&self) {
        let mut inner = self.inner.lock();
        inner.dying = true;
        let areas = core::mem::take(&mut inner.areas);
        let origin = inner.origin.take();
        let resident = inner.counts.resident;
        inner.counts = Counts { resident, ..Counts::default() };
        drop(inner);
        drop(areas);
        drop(origin);
    }

    /// Frees up to about `budget` pages and tables; `true` when nothing is left. After [`AddressSpace::begin_teardown`].
    /// Dropping the space does the rest at once.
    pub fn teardown_step(&self, budget: usize) -> bool {
        let mut inner = self.inner.lock();
        let mut left = budget.max(1);
        let mut batch = LargeBatch::new(self.ground.ops, self.target());
        let done = self.take_apart(self.root, TOP_LEVEL, &mut left, &mut inner.counts, &mut batch);
        drop(inner);
        done
    }

    /// Empties a table that is ours; `false` if the budget ended first.
    fn take_apart(
        &self,
        table: PhysAddr,
        level: u32,
        left: &mut usize,
        counts: &mut Counts,
        batch: &mut LargeBatch<'_>,
    ) -> bool {
        let mut done = true;
        self.ground.ops.for_each(table, |at, entry| {
            if !done || *left == 0 {
                done = false;
                return;
            }
            let child = entry.frame();
            // Shared with others: no more than a reference. A table of pages: one piece of work.
            if level > 2 && entry.is_writable() && !self.take_apart(child, level - 1, left, counts, batch) {
                done = false;
                return;
            }
            let pages = self.ground.ops.pages_below(child, level - 1);
            counts.resident = counts.resident.saturating_sub(pages);
            *left = left.saturating_sub(pages as usize + 1);
            self.ground.ops.table(table).set(at, Pte::EMPTY);
            batch.stale_all();
            batch.drop_table(child, level - 1);
        });
        done
    }
}
