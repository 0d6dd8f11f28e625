//! Physical frames.
use hal::FrameStore;
use types::PhysAddr;

use crate::DirectMap;

/// Who wants a frame: decides whether it may use the reserve.
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
    /// A slab or a large block of the kernel heap.
    Heap,
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
    /// Handed out, by [`FrameKind`].
    pub by_kind: [u64; 6],
    /// What users may not have.
    pub reserve: u64,
}

/// All frames of the machine.
pub struct Frames {
    map: DirectMap,
}

impl Frames {
    /// Takes over the memory of `regions`; its metadata comes out of the first region that has room.
    ///
    /// `None`: no region is large enough. `reserve` frames are kept for the kernel.
    pub fn new(map: DirectMap, _regions: &[MemoryRegion], _reserve: u64) -> Option<Self> {
        Some(Self { map })
    }

    /// Adds memory that became free after boot. `false`: cannot be described (beyond what `new` was told of).
    pub fn add_region(&self, _region: MemoryRegion) -> bool {
        false
    }

    /// The direct map.
    pub fn direct_map(&self) -> DirectMap {
        self.map
    }

    /// A frame with one reference and any content.
    pub fn alloc(&self, _purpose: Purpose) -> Option<PhysAddr> {
        None
    }

    /// A frame with one reference, all zeroes.
    pub fn alloc_zeroed(&self, _purpose: Purpose) -> Option<PhysAddr> {
        None
    }

    /// `1 << order` frames in a row, aligned to their size, with one reference together.
    pub fn alloc_contiguous(&self, _purpose: Purpose, _order: u32) -> Option<PhysAddr> {
        None
    }

    /// Gives back what [`Frames::alloc_contiguous`] gave, with the same `order`.
    pub fn release_contiguous(&self, _frame: PhysAddr, _order: u32) {}

    /// One more reference.
    pub fn retain(&self, _frame: PhysAddr) {}

    /// One reference less; the last frees the frame.
    pub fn release(&self, _frame: PhysAddr) {}

    /// References to `frame`; 0 for a free or unknown one.
    pub fn references(&self, _frame: PhysAddr) -> u32 {
        0
    }

    /// Whether users may have more: free frames are above the reserve.
    pub fn above_reserve(&self) -> bool {
        false
    }

    /// Counts.
    pub fn stats(&self) -> FrameStats {
        FrameStats::default()
    }
}

impl FrameStore for Frames {
    fn alloc(&self) -> Option<PhysAddr> {
        self.alloc_zeroed(Purpose::FileData)
    }

    fn retain(&self, frame: PhysAddr) {
        Self::retain(self, frame);
    }

    fn release(&self, frame: PhysAddr) {
        Self::release(self, frame);
    }

    fn read(&self, _frame: PhysAddr, _offset: usize, _out: &mut [u8]) {}

    fn write(&self, _frame: PhysAddr, _offset: usize, _data: &[u8]) {}
}
