//! The free frames of one NUMA node.
//!
//! A chunk is 64 frames. Wholly free chunks are with the buddy; the others have a bitmap, and those with a free frame are in
//! a doubly linked list. Frames at the edge of a region that do not fill a chunk just never complete theirs.

use core::sync::atomic::{AtomicU64, Ordering};

use sync::{Rank, SpinLock};

use super::{address, number};
use crate::DirectMap;
use crate::raw::{ChunkBuddy, ChunkMeta, Metadata};

/// Most NUMA nodes that are told apart; memory of others counts as the last one's.
pub(super) const MAX_ZONES: usize = 8;
/// Frames of a chunk.
pub(super) const CHUNK: u64 = 64;
/// The order of a chunk.
pub(super) const CHUNK_ORDER: u32 = 6;
const NONE: u32 = u32::MAX;
/// Chunks looked at for a run of several frames before a fresh chunk is broken up.
const SEARCH: usize = 16;

pub(super) struct Zone {
    free: AtomicU64,
    lists: SpinLock<Lists>,
}

struct Lists {
    buddy: ChunkBuddy,
    /// First chunk with some frames free.
    partial: u32,
}

impl Zone {
    pub(super) const fn new(map: DirectMap) -> Self {
        let lists = Lists { buddy: ChunkBuddy::new(map), partial: NONE };
        Self { free: AtomicU64::new(0), lists: SpinLock::new(Rank::FRAME_ZONE, lists) }
    }

    /// Frames free here.
    pub(super) fn free(&self) -> u64 {
        self.free.load(Ordering::Relaxed)
    }

    /// Takes over frames `start .. end`, whose metadata exists; `index` is this zone's.
    pub(super) fn add(&self, meta: &Metadata, start: u64, end: u64, index: u32) {
        let mut lists = self.lists.lock();
        let (whole_start, whole_end) = (start.next_multiple_of(CHUNK), end / CHUNK * CHUNK);
        for chunk in start / CHUNK..end.div_ceil(CHUNK) {
            let Some(chunk) = meta.chunk(chunk) else { continue };
            chunk.zone.store(index, Ordering::Relaxed);
        }
        if whole_start < whole_end {
            lists.buddy.add(address(whole_start), address(whole_end));
            (start..whole_start).chain(whole_end..end).for_each(|frame| lists.free_bits(meta, frame, 1));
        } else {
            (start..end).for_each(|frame| lists.free_bits(meta, frame, 1));
        }
        self.free.fetch_add(end - start, Ordering::Relaxed);
    }

    /// Fills `out` with single frames as far as there are any; gives their number.
    pub(super) fn take(&self, meta: &Metadata, out: &mut [u32]) -> usize {
        let mut lists = self.lists.lock();
        let mut got = 0;
        while got < out.len() {
            let Some((index, chunk)) = lists.first_partial(meta) else { break };
            let mut bits = chunk.free.load(Ordering::Relaxed);
            while bits != 0
                && let Some(slot) = out.get_mut(got)
            {
                *slot = index * CHUNK as u32 + bits.trailing_zeros();
                bits &= bits - 1;
                got += 1;
            }
            chunk.free.store(bits, Ordering::Relaxed);
            if bits == 0 {
                lists.unlink(meta, chunk);
            }
        }
        self.free.fetch_sub(got as u64, Ordering::Relaxed);
        got
    }

    /// `1 << order` frames in a row, aligned.
    pub(super) fn alloc_block(&self, meta: &Metadata, order: u32) -> Option<u64> {
        let mut lists = self.lists.lock();
        let block =
            if order >= CHUNK_ORDER { number(lists.buddy.alloc(order)?) } else { lists.alloc_run(meta, order)? };
        self.free.fetch_sub(1 << order, Ordering::Relaxed);
        Some(block)
    }

    /// Takes back what [`Zone::alloc_block`] gave.
    pub(super) fn free_block(&self, meta: &Metadata, block: u64, order: u32) {
        let mut lists = self.lists.lock();
        if order >= CHUNK_ORDER {
            lists.buddy.free(address(block), order);
        } else {
            lists.free_bits(meta, block, run_bits(order));
        }
        self.free.fetch_add(1 << order, Ordering::Relaxed);
    }

    /// Takes back single frames up to the first that is not of the zone of the first, which is this one; how many.
    pub(super) fn free_many(&self, meta: &Metadata, frames: &[u32]) -> usize {
        let zone_of = |frame: u64| meta.chunk(frame / CHUNK).map(|chunk| chunk.zone.load(Ordering::Relaxed));
        let mut own = None;
        let mut done = 0;
        let mut lists = self.lists.lock();
        for frame in frames.iter().map(|frame| u64::from(*frame)) {
            let zone = zone_of(frame);
            if done != 0 && zone != own {
                break;
            }
            own = zone;
            lists.free_bits(meta, frame, 1);
            done += 1;
        }
        self.free.fetch_add(done as u64, Ordering::Relaxed);
        done
    }
}

/// The lowest `1 << order` bits.
const fn run_bits(order: u32) -> u64 {
    (1 << (1 << order)) - 1
}

/// First aligned run of `1 << order` set bits, `order < 6`.
const fn find_run(mut bits: u64, order: u32) -> Option<u32> {
    // Bit n of `bits` becomes the AND of bits n .. n + 2^order.
    let mut done = 0;
    while done < order {
        bits &= bits >> (1 << done);
        done += 1;
    }
    // One bit at each multiple of 2^order.
    bits &= u64::MAX / run_bits(order);
    if bits == 0 { None } else { Some(bits.trailing_zeros()) }
}

impl Lists {
    /// The first chunk with a free frame; breaks up a whole one if there is none.
    fn first_partial(&mut self, meta: &Metadata) -> Option<(u32, &'static ChunkMeta)> {
        if self.partial == NONE {
            self.break_up(meta)?;
        }
        Some((self.partial, meta.chunk(u64::from(self.partial))?))
    }

    /// Moves a chunk from the buddy to the list.
    fn break_up(&mut self, meta: &Metadata) -> Option<()> {
        let index = number(self.buddy.alloc(CHUNK_ORDER)?) / CHUNK;
        let chunk = meta.chunk(index)?;
        chunk.free.store(u64::MAX, Ordering::Relaxed);
        self.link(meta, index as u32, chunk);
        Some(())
    }

    fn alloc_run(&mut self, meta: &Metadata, order: u32) -> Option<u64> {
        for fresh in [false, true] {
            if fresh {
                self.break_up(meta)?;
            }
            let mut index = self.partial;
            for _ in 0..SEARCH {
                let Some(chunk) = meta.chunk(u64::from(index)) else { break };
                let bits = chunk.free.load(Ordering::Relaxed);
                if let Some(at) = find_run(bits, order) {
                    let rest = bits & !(run_bits(order) << at);
                    chunk.free.store(rest, Ordering::Relaxed);
                    if rest == 0 {
                        self.unlink(meta, chunk);
                    }
                    return Some(u64::from(index) * CHUNK + u64::from(at));
                }
                index = chunk.next.load(Ordering::Relaxed);
            }
        }
        None
    }

    /// Marks frames of one chunk free: `bits`, counted from `frame` on.
    fn free_bits(&mut self, meta: &Metadata, frame: u64, bits: u64) {
        let index = frame / CHUNK;
        let Some(chunk) = meta.chunk(index) else { return };
        let bits = bits << (frame % CHUNK);
        let before = chunk.free.load(Ordering::Relaxed);
        debug_assert_eq!(before & bits, 0, "frame {frame} freed twice");
        let after = before | bits;
        if after == u64::MAX {
            if before != 0 {
                self.unlink(meta, chunk);
            }
            chunk.free.store(0, Ordering::Relaxed);
            self.buddy.free(address(index * CHUNK), CHUNK_ORDER);
            return;
        }
        chunk.free.store(after, Ordering::Relaxed);
        if before == 0 {
            self.link(meta, index as u32, chunk);
        }
    }

    fn link(&mut self, meta: &Metadata, index: u32, chunk: &ChunkMeta) {
        chunk.next.store(self.partial, Ordering::Relaxed);
        chunk.prev.store(NONE, Ordering::Relaxed);
        if let Some(next) = meta.chunk(u64::from(self.partial)) {
            next.prev.store(index, Ordering::Relaxed);
        }
        self.partial = index;
    }

    fn unlink(&mut self, meta: &Metadata, chunk: &ChunkMeta) {
        let (next, prev) = (chunk.next.load(Ordering::Relaxed), chunk.prev.load(Ordering::Relaxed));
        if let Some(next) = meta.chunk(u64::from(next)) {
            next.prev.store(prev, Ordering::Relaxed);
        }
        match meta.chunk(u64::from(prev)) {
            Some(prev) => prev.next.store(next, Ordering::Relaxed),
            None => self.partial = next,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_found_aligned() {
        assert_eq!(find_run(0b1111_0110, 1), Some(4));
        assert_eq!(find_run(0b1111_0110, 2), Some(4));
        assert_eq!(find_run(0b0111_1110, 2), None);
        assert_eq!(find_run(u64::MAX << 32, 5), Some(32));
        assert_eq!(find_run(1 << 63, 0), Some(63));
    }
}
