//! The kernel heap.
use core::alloc::{GlobalAlloc, Layout};

use crate::Frames;

/// The kernel's global allocator.
pub struct KernelHeap {
    frames: sync::Once<&'static Frames>,
}

/// What the heap holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct HeapStats {
    /// Bytes handed out, rounded up to size classes.
    pub used_bytes: u64,
    /// Bytes of frames the heap has.
    pub held_bytes: u64,
}

impl KernelHeap {
    /// A heap without memory: every allocation fails until [`KernelHeap::init`].
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        Self { frames: sync::Once::new() }
    }

    /// Gives the heap its frames; once.
    pub fn init(&self, frames: &'static Frames) {
        self.frames.call_once(|| frames);
    }

    /// Figures.
    pub fn stats(&self) -> HeapStats {
        HeapStats::default()
    }
}

// SAFETY: never hands anything out.
unsafe impl GlobalAlloc for KernelHeap {
    unsafe fn alloc(&self, _layout: Layout) -> *mut u8 {
        core::ptr::null_mut()
    }

    unsafe fn dealloc(&self, _block: *mut u8, _layout: Layout) {}
}
