//! Physical frames: who has which, and where the next comes from.
//!
//! ```text
//!   alloc/release ─► a CPU's cache ─ batches ─► its node's zone: chunks of 64 frames with a bitmap ─► buddy of whole chunks
//! ```
//!
//! Single frames come from bitmaps, so a page costs the same however full memory is; blocks of 64 frames and more come from
//! the crate `buddy_system_allocator`. Each frame has a reference count; the last reference frees it.
//!
//! Users and file data stop at a reserve that only the kernel may use, so the kernel's own small allocations succeed while
//! a user's are refused.

mod cache;
#[cfg_attr(test, path = "inject_test.rs")]
#[cfg_attr(not(test), path = "inject_none.rs")]
mod inject;
mod regions;
mod store;
#[cfg(test)]
mod tests;
mod zone;

use core::sync::atomic::{AtomicU64, Ordering};

use sync::current_cpu;
use types::{CpuId, MAX_CPUS, PAGE_SIZE, PhysAddr};

use crate::DirectMap;
use crate::raw::{FrameMeta, Metadata, Near};
use cache::CpuCache;
#[cfg(test)]
pub(crate) use inject::fail_frames_after;
use zone::{MAX_ZONES, Zone};

/// Who wants a frame: decides what it is counted as and whether it may come from the reserve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The kernel itself: may use the last frame.
    Kernel,
    /// A page table of a user's address space: stops at the reserve.
    Table,
    /// Memory of a user program: stops at the reserve.
    User,
    /// Content of a file: stops at the reserve.
    FileData,
    /// A slab of the kernel heap: may use the last frame.
    Heap,
    /// A large block of the kernel heap, whose size most often follows from what a program asked for: stops at a quarter of
    /// the reserve.
    LargeBlock,
}

/// What a frame is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameKind {
    /// Not handed out.
    Free = 0,
    /// Kernel data.
    Kernel = 1,
    /// A page table.
    Table = 2,
    /// Memory of a user program.
    User = 3,
    /// Content of a file.
    FileData = 4,
    /// The kernel heap.
    Heap = 5,
}

/// Number of [`FrameKind`]s.
const KINDS: usize = 6;

impl Purpose {
    const fn kind(self) -> FrameKind {
        match self {
            Self::Kernel => FrameKind::Kernel,
            Self::Table => FrameKind::Table,
            Self::User => FrameKind::User,
            Self::FileData => FrameKind::FileData,
            Self::Heap | Self::LargeBlock => FrameKind::Heap,
        }
    }

    /// Frames that it must leave free, of a reserve of so many.
    const fn floor(self, reserve: u64) -> u64 {
        match self {
            Self::Kernel | Self::Heap => 0,
            Self::LargeBlock => reserve / 4,
            Self::Table | Self::User | Self::FileData => reserve,
        }
    }
}

/// Physical memory `start .. end` that may be used, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryRegion {
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
    /// NUMA node.
    pub node: u32,
}

/// Counts of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct FrameStats {
    /// All that were ever given to the allocator, without its own metadata.
    pub total: u64,
    /// Not handed out, in zones and caches.
    pub free: u64,
    /// Handed out, indexed by [`FrameKind`].
    pub by_kind: [u64; KINDS],
    /// What users may not have.
    pub reserve: u64,
    /// What the allocator itself took for its metadata.
    pub metadata: u64,
}

/// All frames of the machine.
pub struct Frames {
    map: DirectMap,
    meta: Metadata,
    zones: [Zone; MAX_ZONES],
    /// In the metadata's memory: too large to be moved about on an early stack.
    caches: &'static [CpuCache],
    zone_of_cpu: [AtomicU64; MAX_CPUS],
    total: AtomicU64,
    metadata: AtomicU64,
    reserve: AtomicU64,
    zero: PhysAddr,
}

impl Frames {
    /// The direct map.
    #[inline]
    pub fn direct_map(&self) -> DirectMap {
        self.map
    }

    /// A frame with one reference and any content.
    #[inline]
    pub fn alloc(&self, purpose: Purpose) -> Option<PhysAddr> {
        if inject::fails() {
            return None;
        }
        let frame = match self.cache()?.pop(purpose.kind()) {
            Some(frame) => frame,
            None => self.refill(purpose)?,
        };
        Some(self.hand_out(frame, purpose))
    }

    /// A frame with one reference, all zeroes. Tables come from former tables, which are zero already.
    #[inline]
    pub fn alloc_zeroed(&self, purpose: Purpose) -> Option<PhysAddr> {
        if inject::fails() {
            return None;
        }
        let cache = self.cache()?;
        if !matches!(purpose, Purpose::User | Purpose::FileData)
            && let Some(frame) = cache.pop_zeroed(purpose.kind())
        {
            return Some(self.hand_out(frame, purpose));
        }
        let frame = match cache.pop(purpose.kind()) {
            Some(frame) => frame,
            None => self.refill(purpose)?,
        };
        self.map.zero(address(frame));
        Some(self.hand_out(frame, purpose))
    }

    /// `1 << order` frames in a row, aligned to their size, with one reference together and any content.
    pub fn alloc_contiguous(&self, purpose: Purpose, order: u32) -> Option<PhysAddr> {
        if order == 0 {
            return self.alloc(purpose);
        }
        if inject::fails() {
            return None;
        }
        let pages = 1_u64.checked_shl(order)?;
        if self.spare(purpose) < pages {
            return None;
        }
        let block = self.zones_from_here().find_map(|zone| zone.alloc_block(&self.meta, order))?;
        self.cache()?.count(purpose.kind(), pages as i64);
        Some(self.hand_out(block, purpose))
    }

    /// Gives back what [`Frames::alloc_contiguous`] gave, with the same `order`.
    pub fn release_contiguous(&self, block: PhysAddr, order: u32) {
        if order == 0 {
            return self.release(block);
        }
        let (Some(meta), Some(cache)) = (self.meta(block), self.cache()) else { return };
        if meta.drop_ref() {
            let kind = meta.kind.load(Ordering::Relaxed);
            cache.count_raw(kind, -(1 << order));
            if let Some(zone) = self.zone_of(number(block)) {
                zone.free_block(&self.meta, number(block), order);
            }
        }
    }

    /// One more reference.
    #[inline]
    pub fn retain(&self, frame: PhysAddr) {
        if let Some(meta) = self.meta(frame) {
            meta.refs.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// One reference less; the last frees the frame.
    #[inline]
    pub fn release(&self, frame: PhysAddr) {
        let Some(meta) = self.meta(frame) else { return };
        if meta.drop_ref() {
            self.put(number(frame), meta.kind.load(Ordering::Relaxed));
        }
    }

    /// To take and drop references to many frames, most of them not far from `frame`.
    #[inline]
    pub(crate) fn many(&self, frame: PhysAddr) -> Option<Many<'_>> {
        Some(Many { frames: self, near: self.meta.near(number(frame))? })
    }

    /// References to `frame`; 0 for a free or unknown one.
    #[inline]
    pub fn references(&self, frame: PhysAddr) -> u32 {
        self.meta(frame).map_or(0, |meta| meta.refs.load(Ordering::Acquire))
    }

    /// Whether users may have more: free frames are above the reserve.
    pub fn above_reserve(&self) -> bool {
        self.has_free(Purpose::User.floor(self.reserve.load(Ordering::Relaxed)))
    }

    /// Whether the kernel may make new objects for users: half of the reserve is still there. The other half is for what is
    /// under way, and for getting out of the shortage.
    pub fn has_headroom(&self) -> bool {
        self.has_free(self.reserve.load(Ordering::Relaxed) / 2)
    }

    /// Whether more than `floor` frames are free; looks no further than it must.
    fn has_free(&self, floor: u64) -> bool {
        let mut free = 0;
        self.zones.iter().any(|zone| {
            free += zone.free();
            free > floor
        })
    }

    /// Frames that `purpose` may still have, without those in caches.
    fn spare(&self, purpose: Purpose) -> u64 {
        self.free().saturating_sub(purpose.floor(self.reserve.load(Ordering::Relaxed)))
    }

    /// Free frames, without those in caches.
    fn free(&self) -> u64 {
        self.zones.iter().map(Zone::free).sum()
    }

    /// Sets how many frames only the kernel may use.
    pub fn set_reserve(&self, frames: u64) {
        self.reserve.store(frames, Ordering::Relaxed);
    }

    /// Tells which memory node is nearest to `cpu`; 0 until told.
    pub fn set_cpu_node(&self, cpu: CpuId, node: u32) {
        if let Some(slot) = self.zone_of_cpu.get(cpu.index()) {
            slot.store(u64::from(node).min(MAX_ZONES as u64 - 1), Ordering::Relaxed);
        }
    }

    /// Counts. Exact while nobody allocates.
    pub fn stats(&self) -> FrameStats {
        let mut stats = FrameStats {
            total: self.total.load(Ordering::Relaxed),
            free: self.zones.iter().map(Zone::free).sum(),
            reserve: self.reserve.load(Ordering::Relaxed),
            metadata: self.metadata.load(Ordering::Relaxed),
            ..FrameStats::default()
        };
        let mut kinds = [0_i64; KINDS];
        for cache in self.caches {
            stats.free += cache.add_counts(&mut kinds);
        }
        for (out, count) in stats.by_kind.iter_mut().zip(kinds) {
            *out = u64::try_from(count).unwrap_or(0);
        }
        stats
    }

    /// The frame of zeroes that read faults map. The caller takes a reference as to any other.
    #[inline]
    pub(crate) fn zero_frame(&self) -> PhysAddr {
        self.zero
    }

    /// Drops one reference to a page table that is all zeroes by now if nobody else has one: kept for the next table.
    #[inline]
    pub(crate) fn free_zeroed_table(&self, frame: PhysAddr) {
        if let Some(cache) = self.cache()
            && cache.push_zeroed(number(frame))
        {
            return;
        }
        self.put(number(frame), FrameKind::Table as u8);
    }

    #[inline]
    pub(crate) fn meta(&self, frame: PhysAddr) -> Option<&'static FrameMeta> {
        self.meta.frame(number(frame))
    }

    #[inline]
    fn cache(&self) -> Option<&CpuCache> {
        self.caches.get(current_cpu().index())
    }

    #[inline]
    fn hand_out(&self, frame: u64, purpose: Purpose) -> PhysAddr {
        if let Some(meta) = self.meta.frame(frame) {
            debug_assert_eq!(meta.refs.load(Ordering::Relaxed), 0, "a free frame has references");
            meta.refs.store(1, Ordering::Relaxed);
            meta.kind.store(purpose.kind() as u8, Ordering::Relaxed);
            meta.entries.store(0, Ordering::Relaxed);
            meta.groups.store(0, Ordering::Relaxed);
        }
        address(frame)
    }

    /// Puts a frame without references into this CPU's cache.
    #[inline]
    fn put(&self, frame: u64, kind: u8) {
        let Some(cache) = self.cache() else { return };
        cache.push(frame, kind, |surplus| self.give_back(surplus));
    }

    /// Puts single frames back into their zones.
    #[cold]
    fn give_back(&self, mut frames: &[u32]) {
        while let Some(first) = frames.first() {
            let done = self.zone_of(u64::from(*first)).map_or(1, |zone| zone.free_many(&self.meta, frames));
            frames = frames.get(done..).unwrap_or_default();
        }
    }

    fn zone_of(&self, frame: u64) -> Option<&Zone> {
        self.zones.get(self.meta.chunk(frame / zone::CHUNK)?.zone.load(Ordering::Relaxed) as usize)
    }

    /// Zones, the executing CPU's own first.
    fn zones_from_here(&self) -> impl Iterator<Item = &Zone> {
        let own = self.zone_of_cpu.get(current_cpu().index()).map_or(0, |zone| zone.load(Ordering::Relaxed)) as usize;
        self.zones.iter().skip(own).chain(self.zones.iter().take(own))
    }

    /// Fills this CPU's cache from the zones and gives one of the frames, uncounted frames of other CPUs at last resort.
    #[cold]
    fn refill(&self, purpose: Purpose) -> Option<u64> {
        // Below the reserve nothing goes into the cache, where a user could take it.
        let wanted = match self.spare(Purpose::User) {
            0 => usize::from(self.spare(purpose) > 0),
            spare => spare.min(cache::BATCH as u64) as usize,
        };
        let mut batch = [0_u32; cache::BATCH];
        let mut got = 0;
        for zone in self.zones_from_here() {
            let Some(room) = batch.get_mut(got..wanted) else { break };
            got += zone.take(&self.meta, room);
        }
        let cache = self.cache()?;
        if let Some((first, rest)) = batch.get(..got).and_then(<[u32]>::split_first) {
            cache.count(purpose.kind(), 1);
            for (at, frame) in rest.iter().enumerate() {
                if !cache.refill_with(*frame) {
                    self.give_back(rest.get(at..).unwrap_or_default());
                    break;
                }
            }
            return Some(u64::from(*first));
        }
        self.caches.iter().find_map(|cache| cache.steal(purpose.kind()))
    }
}

/// Takes and drops references to many frames.
pub(crate) struct Many<'a> {
    frames: &'a Frames,
    near: Near<'a>,
}

impl Many<'_> {
    /// As [`Frames::retain`].
    #[inline]
    pub(crate) fn retain(&mut self, frame: PhysAddr) {
        if let Some(meta) = self.near.frame(number(frame)) {
            meta.refs.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// As [`Frames::release`].
    #[inline]
    pub(crate) fn release(&mut self, frame: PhysAddr) {
        if let Some(meta) = self.near.frame(number(frame))
            && meta.drop_ref()
        {
            self.put(frame, meta);
        }
    }

    #[inline(never)]
    fn put(&self, frame: PhysAddr, meta: &FrameMeta) {
        self.frames.put(number(frame), meta.kind.load(Ordering::Relaxed));
    }
}

#[inline]
const fn number(frame: PhysAddr) -> u64 {
    frame.as_u64() / PAGE_SIZE as u64
}

#[inline]
const fn address(number: u64) -> PhysAddr {
    PhysAddr::new_truncate(number * PAGE_SIZE as u64)
}

impl FrameMeta {
    /// Drops a reference; whether it was the last.
    #[inline]
    pub(crate) fn drop_ref(&self) -> bool {
        // The only reference is ours: nobody can make another meanwhile, so no locked instruction is needed.
        if self.refs.load(Ordering::Acquire) == 1 {
            self.refs.store(0, Ordering::Relaxed);
            return true;
        }
        debug_assert_ne!(self.refs.load(Ordering::Relaxed), 0, "a reference too many dropped");
        self.refs.fetch_sub(1, Ordering::AcqRel) == 1
    }
}
