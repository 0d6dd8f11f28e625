//! Taking over memory: at boot and later.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use types::{MAX_CPUS, PAGE_SIZE, PhysAddr};

use super::cache::CpuCache;
use super::zone::{CHUNK, CHUNK_ORDER, MAX_ZONES, Zone};
use super::{Frames, MemoryRegion, Purpose};
use crate::DirectMap;
use crate::raw::{FRAMES_PER_SECTION, Metadata, SECTION_BYTES};

const PAGE: u64 = PAGE_SIZE as u64;
/// The largest blocks of a zone: 2^31 bytes.
const MAX_ORDER: u32 = 19;
/// Most blocks of one size that [`Frames::assign_nodes`] looks at: there are few, since the buddy merges them.
const MAX_STAYING: usize = 512;
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

    /// Moves free memory that lies in `ranges` to the zones of their nodes; memory in use stays where it is, and so does
    /// what is said to be on node 0 or on none. For the end of the boot, when all memory has been added as node 0's:
    /// the firmware's tables about nodes can only be read once there is memory to read them into.
    pub fn assign_nodes(&self, ranges: &[MemoryRegion]) {
        let Some(first) = self.zones.first() else { return };
        let nodes = NodeMap::new(ranges);
        let mut stay = Vec::new();
        // Large blocks first: what is split on the way comes up again in its own size.
        for order in (CHUNK_ORDER..=MAX_ORDER).rev() {
            if stay.try_reserve(MAX_STAYING).is_err() {
                break;
            }
            let mut room = MAX_STAYING;
            while let Some(block) = (room > 0).then(|| first.alloc_block(&self.meta, order)).flatten() {
                if self.scatter(block, block + (1 << order), &nodes) {
                    continue;
                }
                stay.push((block, order));
                room -= 1;
            }
        }
        for (block, order) in stay {
            first.free_block(&self.meta, block, order);
        }
    }

    /// Gives frames `start .. end` to the zones of their nodes; `false` if all of them are node 0's, which gets nothing.
    fn scatter(&self, start: u64, end: u64, nodes: &NodeMap) -> bool {
        let (node, until) = nodes.at(start);
        if node == 0 && until >= end {
            return false;
        }
        let mut from = start;
        while from < end {
            let (node, until) = nodes.at(from);
            let until = until.min(end);
            if let Some(zone) = self.zones.get(node) {
                zone.add(&self.meta, from, until, node as u32);
            }
            from = until;
        }
        true
    }

    /// Free frames of each node, without those in the caches of CPUs.
    pub fn free_by_node(&self) -> impl Iterator<Item = u64> {
        self.zones.iter().map(Zone::free)
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

/// Which frame is on which node, in whole chunks: no chunk is divided between two zones.
struct NodeMap {
    /// First frame, one past the last, zone; in order.
    ranges: Vec<(u64, u64, usize)>,
}

impl NodeMap {
    /// Of the ranges that make sense; memory is too short at no boot for the list, but then all is on node 0.
    fn new(regions: &[MemoryRegion]) -> Self {
        let mut ranges = Vec::new();
        if ranges.try_reserve_exact(regions.len()).is_ok() {
            let whole = |address: u64| address / PAGE / CHUNK * CHUNK;
            let in_chunks = |region: &MemoryRegion| {
                (whole(region.start), whole(region.end), (region.node as usize).min(MAX_ZONES - 1))
            };
            ranges.extend(regions.iter().map(in_chunks).filter(|(start, end, _)| start < end));
            ranges.sort_unstable();
        }
        Self { ranges }
    }

    /// The zone of a frame, and the frame up to which nothing changes.
    fn at(&self, frame: u64) -> (usize, u64) {
        let next = self.ranges.iter().find(|(_, end, _)| frame < *end);
        match next {
            Some((start, end, zone)) if *start <= frame => (*zone, *end),
            Some((start, ..)) => (0, *start),
            None => (0, u64::MAX),
        }
    }
}
