//! A CPU's own free frames. Its lock is uncontended but for the statistics and for CPUs that have run out.

use sync::{Rank, SpinLock};

use super::{FrameKind, KINDS};

/// Frames moved between a cache and a zone at once: half a cache, so that neither a run of allocations nor one of
/// releases that turns round comes back to the zone at once.
pub(super) const BATCH: usize = 32;
const CAPACITY: usize = 64;
/// Zeroed former page tables kept: what a burst of forks and exits of small processes needs.
const ZEROED: usize = 32;

pub(super) struct CpuCache(SpinLock<Cached>);

struct Cached {
    len: usize,
    zeroed_len: usize,
    /// Allocations less releases on this CPU, by kind; only the sum over all CPUs means something.
    counts: [i64; KINDS],
    frames: [u32; CAPACITY],
    zeroed: [u32; ZEROED],
}

impl CpuCache {
    pub(super) const fn new() -> Self {
        let cached = Cached { len: 0, zeroed_len: 0, counts: [0; KINDS], frames: [0; CAPACITY], zeroed: [0; ZEROED] };
        Self(SpinLock::new(Rank::FRAMES, cached))
    }

    /// A frame of any content.
    #[inline]
    pub(super) fn pop(&self, kind: FrameKind) -> Option<u64> {
        let mut cached = self.0.lock();
        let len = cached.len.checked_sub(1)?;
        let frame = *cached.frames.get(len)?;
        cached.len = len;
        cached.count(kind as u8, 1);
        Some(u64::from(frame))
    }

    /// A frame of zeroes.
    #[inline]
    pub(super) fn pop_zeroed(&self, kind: FrameKind) -> Option<u64> {
        let mut cached = self.0.lock();
        let len = cached.zeroed_len.checked_sub(1)?;
        let frame = *cached.zeroed.get(len)?;
        cached.zeroed_len = len;
        cached.count(kind as u8, 1);
        Some(u64::from(frame))
    }

    /// Keeps a frame; when full, `spill` is given the older half first, under the cache's lock.
    #[inline]
    pub(super) fn push(&self, frame: u64, kind: u8, spill: impl FnOnce(&[u32])) {
        let mut cached = self.0.lock();
        cached.count(kind, -1);
        if cached.len == CAPACITY {
            let cached = &mut *cached;
            let (old, young) = cached.frames.split_at_mut(BATCH);
            spill(old);
            old.copy_from_slice(young);
            cached.len = CAPACITY - BATCH;
        }
        cached.append(frame as u32);
    }

    /// Adds a frame from a zone; `false` if there is no room.
    pub(super) fn refill_with(&self, frame: u32) -> bool {
        self.0.lock().append(frame)
    }

    /// Keeps a zeroed former page table; `false` if there is no room.
    #[inline]
    pub(super) fn push_zeroed(&self, frame: u64) -> bool {
        let mut cached = self.0.lock();
        let len = cached.zeroed_len;
        let Some(slot) = cached.zeroed.get_mut(len) else { return false };
        *slot = frame as u32;
        cached.zeroed_len = len + 1;
        cached.count(FrameKind::Table as u8, -1);
        true
    }

    /// Any frame, for a CPU that found nothing elsewhere.
    pub(super) fn steal(&self, kind: FrameKind) -> Option<u64> {
        self.pop(kind).or_else(|| self.pop_zeroed(kind))
    }

    pub(super) fn count(&self, kind: FrameKind, by: i64) {
        self.count_raw(kind as u8, by);
    }

    pub(super) fn count_raw(&self, kind: u8, by: i64) {
        self.0.lock().count(kind, by);
    }

    /// Adds this CPU's counts to `counts`; gives the number of frames kept.
    pub(super) fn add_counts(&self, counts: &mut [i64; KINDS]) -> u64 {
        let cached = self.0.lock();
        for (sum, count) in counts.iter_mut().zip(cached.counts) {
            *sum += count;
        }
        (cached.len + cached.zeroed_len) as u64
    }
}

impl Cached {
    #[inline]
    fn append(&mut self, frame: u32) -> bool {
        let Some(slot) = self.frames.get_mut(self.len) else { return false };
        *slot = frame;
        self.len += 1;
        true
    }

    #[inline]
    fn count(&mut self, kind: u8, by: i64) {
        if let Some(count) = self.counts.get_mut(usize::from(kind)) {
            *count += by;
        }
    }
}
