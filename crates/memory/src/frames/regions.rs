//! Taking over memory: at boot and later.

use core::sync::atomic::{AtomicU64, Ordering};

use types::{MAX_CPUS, PAGE_SIZE, PhysAddr};

use super::cache::CpuCache;
use super::zone::{MAX_ZONES, Zone};
use super::{Frames, MemoryRegion, Purpose};
use crate::DirectMap;
use crate::raw::{FRAMES_PER_SECTION, Metadata, SECTION_BYTES};

const PAGE: u64 = PAGE_SIZE as u64;
const BYTES_PER_SECTION: u64 = FRAMES_PER_SECTION * PAGE;

impl MemoryRegion {
    /// The whole pages inside; frame 0 is never used, so that no address of a frame is 0.
    fn pages(self) -> Self {
        let start = self.start.max(1).checked_next_multiple_of(PAGE).unwrap_or(u64::MAX);
        Self { start, end: (self.end / PAGE * PAGE).max(start), node: self.node }
    }

    fn sections(self) -> core::ops::Range<u64> {
        if self.start >= self.end { 0..0 } else { self.start / BYTES_PER_SECTION..self.end.div_ceil(BYTES_PER_SECTION) }
    }
}

impl Frames {
    /// Takes over the memory of `regions`; its metadata comes out of the first region that has room. `reserve` frames are
    /// kept for the kernel. Memory that [`Frames::add_region`] brings later may lie up to 1 GiB above the highest region.
    ///
    /// `None`: no region is large enough.
    pub fn new(map: DirectMap, regions: &[MemoryRegion], reserve: u64) -> Option<Self> {
        let top = regions.iter().map(|region| region.end).max()?;
        Self::with_top(map, regions, reserve, top + (1 << 30))
    }

    /// The same, with room to describe memory up to `top` (bytes), which [`Frames::add_region`] brings later.
    pub fn with_top(map: DirectMap, regions: &[MemoryRegion], reserve: u64, top: u64) -> Option<Self> {
        let top = regions.iter().map(|region| region.end).fold(top, u64::max);
        let sections = top.div_ceil(BYTES_PER_SECTION);
        let table_bytes = (sections * 8).next_multiple_of(PAGE);
        let cache_bytes = ((MAX_CPUS * size_of::<CpuCache>()) as u64).next_multiple_of(PAGE);
        // Regions that touch the same section may count it twice: what is too much is used after all.
        let described: u64 = regions.iter().map(|region| region.pages().sections().count() as u64).sum();
        let needed = table_bytes + cache_bytes + described * SECTION_BYTES;
        let home = regions.iter().map(|region| region.pages()).find(|region| region.end - region.start >= needed)?;

        let meta = Metadata::new(map, PhysAddr::new(home.start), sections as usize);
        let caches = Metadata::place(map, PhysAddr::new(home.start + table_bytes), MAX_CPUS, CpuCache::new);
        let mut next = home.start + table_bytes + cache_bytes;
        for section in regions.iter().flat_map(|region| region.pages().sections()) {
            if !meta.has(section) && meta.install(section, PhysAddr::new(next)) {
                next += SECTION_BYTES;
            }
        }
        let mut frames = Self {
            map,
            meta,
            zones: core::array::from_fn(|_| Zone::new(map)),
            caches,
            zone_of_cpu: [const { AtomicU64::new(0) }; MAX_CPUS],
            total: AtomicU64::new(0),
            metadata: AtomicU64::new((next - home.start) / PAGE),
            reserve: AtomicU64::new(reserve),
            zero: PhysAddr::zero(),
        };
        for region in regions.iter().map(|region| region.pages()) {
            let start = if region.start == home.start { next } else { region.start };
            frames.hand_over(start, region.end, region.node);
        }
        frames.zero = frames.alloc_zeroed(Purpose::Kernel)?;
        Some(frames)
    }

    /// Adds memory that became free after boot. `false`: cannot be described (too far above all memory known at boot, or too
    /// small for its own metadata).
    pub fn add_region(&self, region: MemoryRegion) -> bool {
        let region = region.pages();
        let mut start = region.start;
        for section in region.sections() {
            if !self.meta.covers(section) {
                return false;
            }
            if !self.meta.has(section) {
                if start + SECTION_BYTES > region.end {
                    return false;
                }
                self.meta.install(section, PhysAddr::new(start));
                self.metadata.fetch_add(SECTION_BYTES / PAGE, Ordering::Relaxed);
                start += SECTION_BYTES;
            }
        }
        self.hand_over(start, region.end, region.node);
        true
    }

    fn hand_over(&self, start: u64, end: u64, node: u32) {
        let index = (node as usize).min(MAX_ZONES - 1);
        if start < end
            && let Some(zone) = self.zones.get(index)
        {
            zone.add(&self.meta, start / PAGE, end / PAGE, index as u32);
            self.total.fetch_add((end - start) / PAGE, Ordering::Relaxed);
        }
    }
}
