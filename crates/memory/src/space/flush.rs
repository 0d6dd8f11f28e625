//! What an operation has made stale: flushed once, before the frames and tables it let go are dropped.

use core::sync::atomic::{AtomicU64, Ordering, fence};

use arrayvec::ArrayVec;
use hal::{Mmu, TlbRange};
use types::{CpuSet, PhysAddr};

use super::tables::TableOps;

/// Above this many pages forgetting everything is cheaper than page by page (Linux's `tlb_single_page_flush_ceiling` is 33).
const MOST_PAGES: u64 = 32;
/// Frames and tables a large operation lets go before it flushes in between.
const LARGE: usize = 64;
/// What a fault lets go at most: a page, and a table of each level.
const SMALL: usize = 4;

/// Collects what must be flushed and what may be dropped afterwards.
pub(super) trait Gather {
    /// The translation of the page at `address` is stale.
    fn stale(&mut self, address: u64);
    /// A reference to a frame may be dropped once the flush is done.
    fn drop_frame(&mut self, frame: PhysAddr);
    /// A reference to a table may be dropped once the flush is done; the ways through it are stale.
    fn drop_table(&mut self, table: PhysAddr, level: u32);
}

/// Who to tell.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) mmu: &'static dyn Mmu,
    pub(super) root: PhysAddr,
    pub(super) active: &'a AtomicU64,
    pub(super) generation: &'a AtomicU64,
}

impl Target<'_> {
    pub(super) fn flush(&self, range: TlbRange) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        // The entries are changed before the set is read; a CPU enters it before it reads entries.
        fence(Ordering::SeqCst);
        let cpus = CpuSet(self.active.load(Ordering::SeqCst));
        if !cpus.is_empty() {
            self.mmu.flush(self.root, cpus, range);
        }
    }
}

/// [`Gather`] with room for `N` frames and tables. Dropping it flushes and lets go.
pub(super) struct Batch<'a, const N: usize> {
    ops: TableOps,
    target: Target<'a>,
    start: u64,
    end: u64,
    all: bool,
    /// Address and level; level 0 is a page's frame.
    held: ArrayVec<(PhysAddr, u32), N>,
}

/// For faults.
pub(super) type SmallBatch<'a> = Batch<'a, SMALL>;
/// For ranges.
pub(super) type LargeBatch<'a> = Batch<'a, LARGE>;

impl<'a, const N: usize> Batch<'a, N> {
    #[inline]
    pub(super) fn new(ops: TableOps, target: Target<'a>) -> Self {
        Self { ops, target, start: u64::MAX, end: 0, all: false, held: ArrayVec::new() }
    }

    /// Everything is stale.
    pub(super) fn stale_all(&mut self) {
        self.all = true;
    }

    /// All pages of `start .. end` are stale.
    pub(super) fn stale_range(&mut self, start: u64, end: u64) {
        self.start = self.start.min(start);
        self.end = self.end.max(end);
    }

    fn hold(&mut self, what: PhysAddr, level: u32) {
        if self.held.is_full() {
            self.finish();
        }
        // There is room now.
        let _ = self.held.try_push((what, level));
    }

    /// Flushes and lets go.
    #[cold]
    fn finish(&mut self) {
        let pages = self.end.saturating_sub(self.start) / 4096;
        if self.all || pages > MOST_PAGES {
            self.target.flush(TlbRange::All);
        } else if pages > 0 {
            self.target.flush(TlbRange::Pages { start: self.start, pages });
        }
        for (what, level) in self.held.drain(..) {
            match level {
                0 => self.ops.frames.release(what),
                level => self.ops.put_table(what, level),
            }
        }
        (self.start, self.end, self.all) = (u64::MAX, 0, false);
    }
}

impl<const N: usize> Gather for Batch<'_, N> {
    #[inline]
    fn stale(&mut self, address: u64) {
        let page = address & !4095;
        self.stale_range(page, page + 4096);
    }

    #[inline]
    fn drop_frame(&mut self, frame: PhysAddr) {
        self.hold(frame, 0);
    }

    #[inline]
    fn drop_table(&mut self, table: PhysAddr, level: u32) {
        self.hold(table, level);
    }
}

impl<const N: usize> Drop for Batch<'_, N> {
    #[inline]
    fn drop(&mut self) {
        if !self.held.is_empty() || self.end != 0 || self.all {
            self.finish();
        }
    }
}
