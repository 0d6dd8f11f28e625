//! The buddy allocator for blocks of whole chunks: the crate `buddy_system_allocator`, its lists inside the free memory.
//!
//! Its `FrameAllocator` would need the kernel heap, which stands on the frames; its `Heap` needs nothing.

use core::alloc::Layout;
use core::ptr::NonNull;

use buddy_system_allocator::Heap;
use types::{PAGE_SIZE, PhysAddr};

use super::DirectMap;

/// Largest block: 2^31 bytes.
const ORDERS: usize = 32;

/// Free blocks of `2^n` frames, `n >= 6`. Freeing searches the list of the block's size: short, since blocks are large.
pub(crate) struct ChunkBuddy {
    map: DirectMap,
    heap: Heap<ORDERS>,
}

// SAFETY: the pointers inside lead to memory that this allocator alone owns.
unsafe impl Send for ChunkBuddy {}

impl ChunkBuddy {
    pub(crate) const fn new(map: DirectMap) -> Self {
        Self { map, heap: Heap::new() }
    }

    fn layout(order: u32) -> Option<Layout> {
        let size = PAGE_SIZE.checked_shl(order).filter(|size| *size < 1 << ORDERS)?;
        Layout::from_size_align(size, size).ok()
    }

    /// Takes over `start .. end`, whole chunks, mapped and used by nobody.
    pub(crate) fn add(&mut self, start: PhysAddr, end: PhysAddr) {
        let (start, end) = (self.map.pointer(start) as usize, self.map.pointer(end) as usize);
        // SAFETY: the caller (the zone) hands over each chunk once; it stays mapped.
        unsafe { self.heap.add_to_heap(start, end) };
    }

    /// `1 << order` frames, aligned to their size.
    pub(crate) fn alloc(&mut self, order: u32) -> Option<PhysAddr> {
        let block = self.heap.alloc(Self::layout(order)?).ok()?;
        Some(self.map.phys(block.as_ptr() as u64))
    }

    /// Takes back what `alloc` gave (or part of it, aligned to its size).
    pub(crate) fn free(&mut self, block: PhysAddr, order: u32) {
        let (Some(layout), Some(block)) = (Self::layout(order), NonNull::new(self.map.pointer(block))) else { return };
        // SAFETY: the zone frees only what it allocated, once. A block split meanwhile is an aligned part of one.
        unsafe { self.heap.dealloc(block, layout) };
    }
}
