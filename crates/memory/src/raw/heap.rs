//! The kernel heap: size classes with free objects per CPU, slabs of frames beneath.
//!
//! ```text
//!   CPU's list of free objects  ◄─ batch ─►  slabs of the class  ◄─ frames ─►  Frames
//! ```
//!
//! A slab is a block of frames aligned to its size with a header at its start, so an object's slab is found by masking its
//! address. An object's class follows from its layout, on both ways.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering};

use sync::{Once, Rank, SpinLock, current_cpu};
use types::{MAX_CPUS, PAGE_SIZE};

use crate::{Frames, Purpose};

/// Sizes of objects. At most a third of an object is lost to rounding up (a half below 32 bytes), a quarter between 64 and
/// 768 bytes, where those of a process lie.
const SIZES: [usize; CLASSES] =
    [16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 1024, 1536, 2048];
const CLASSES: usize = 21;
/// Larger blocks are whole frames.
const LARGEST: usize = 2048;
/// Class of each multiple of 16 bytes, from 0 on.
#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const CLASS_OF: [u8; LARGEST / 16 + 1] = {
    let mut table = [0; LARGEST / 16 + 1];
    let mut units = 0;
    while units <= LARGEST / 16 {
        let mut class = 0;
        while SIZES[class] < units * 16 {
            class += 1;
        }
        table[units] = class as u8;
        units += 1;
    }
    table
};

/// A free object: the rest of it is garbage.
struct Object {
    next: *mut Object,
}

/// Head of a slab.
#[repr(C)]
struct Slab {
    next: *mut Slab,
    prev: *mut Slab,
    /// Objects given back.
    free: *mut Object,
    /// Offset of the first object never given out.
    fresh: u32,
    in_use: u32,
}

#[derive(Clone, Copy)]
struct FreeList {
    head: *mut Object,
    count: u32,
    /// With more than this many a batch goes back to the slabs.
    limit: u32,
    /// Objects handed out here, less those given back here: the sum over all CPUs is right, whatever overflows.
    used: u32,
}

/// One CPU's free objects.
struct CpuObjects {
    lists: [FreeList; CLASSES],
}

/// The slabs of one class that have objects to give.
struct Slabs {
    partial: *mut Slab,
}

// SAFETY: the pointers lead to heap memory that the owner of the value alone uses.
unsafe impl Send for CpuObjects {}
// SAFETY: as above.
unsafe impl Send for Slabs {}

/// What the heap holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct HeapStats {
    /// Bytes handed out, rounded up to size classes or frames.
    pub used_bytes: u64,
    /// Bytes of frames the heap has.
    pub held_bytes: u64,
}

/// The kernel's global allocator.
pub struct KernelHeap {
    frames: Once<&'static Frames>,
    cpus: [SpinLock<CpuObjects>; MAX_CPUS],
    slabs: [SpinLock<Slabs>; CLASSES],
    held: AtomicU64,
    large: AtomicU64,
}

/// Objects moved between a CPU's list and the slabs at once: about a page of them, 4 to 32.
const fn batch(class: usize) -> u32 {
    match PAGE_SIZE / size_of_class(class) {
        0..4 => 4,
        objects @ 4..32 => objects as u32,
        _ => 32,
    }
}

/// The lists of a CPU that has no objects.
#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const EMPTY_LISTS: [FreeList; CLASSES] = {
    let mut lists = [FreeList { head: ptr::null_mut(), count: 0, limit: 0, used: 0 }; CLASSES];
    let mut class = 0;
    while class < CLASSES {
        lists[class].limit = 2 * batch(class);
        class += 1;
    }
    lists
};

/// Frames of a slab as an order: at least fifteen objects, so that the header costs little.
fn slab_order(class: usize) -> u32 {
    match size_of_class(class) {
        0..=256 => 0,
        257..=512 => 1,
        513..=1024 => 2,
        _ => 3,
    }
}

/// Offset of a slab's first object: after the header, aligned as the objects are.
fn first_object(class: usize) -> usize {
    let align = 1 << size_of_class(class).trailing_zeros();
    if align > size_of::<Slab>() { align } else { size_of::<Slab>().next_multiple_of(align) }
}

/// The class that serves `layout`; `None`: whole frames.
#[inline]
fn class_of(layout: Layout) -> Option<usize> {
    let mut size = layout.size();
    if layout.align() > 16 {
        // Objects of a power of two are aligned to their size.
        size = size.max(layout.align()).next_power_of_two();
    }
    CLASS_OF.get(size.div_ceil(16)).map(|class| usize::from(*class))
}

#[inline]
#[expect(clippy::indexing_slicing, reason = "checked before; `get` is not const")]
const fn size_of_class(class: usize) -> usize {
    if class < CLASSES { SIZES[class] } else { LARGEST }
}

fn order_of(layout: Layout) -> u32 {
    layout.size().max(layout.align()).div_ceil(PAGE_SIZE).next_power_of_two().trailing_zeros()
}

impl KernelHeap {
    /// A heap without memory: every allocation fails until [`KernelHeap::init`].
    #[expect(clippy::new_without_default, reason = "made once, in a static")]
    pub const fn new() -> Self {
        Self {
            frames: Once::new(),
            cpus: [const { SpinLock::new(Rank::HEAP, CpuObjects { lists: EMPTY_LISTS }) }; MAX_CPUS],
            slabs: [const { SpinLock::new(Rank::HEAP_SLABS, Slabs { partial: ptr::null_mut() }) }; CLASSES],
            held: AtomicU64::new(0),
            large: AtomicU64::new(0),
        }
    }

    /// Gives the heap its frames; once.
    pub fn init(&self, frames: &'static Frames) {
        self.frames.call_once(|| frames);
    }

    /// Figures.
    pub fn stats(&self) -> HeapStats {
        let small: u64 = self.objects().map(|(size, count)| size as u64 * u64::from(count)).sum();
        let large = self.large.load(Ordering::Relaxed);
        HeapStats { used_bytes: large + small, held_bytes: large + self.held.load(Ordering::Relaxed) }
    }

    /// Each size of objects and how many of them are handed out.
    pub fn objects(&self) -> impl Iterator<Item = (usize, u32)> {
        SIZES.into_iter().enumerate().map(|(class, size)| {
            let used = self.cpus.iter().map(|cpu| cpu.lock().lists.get(class).map_or(0, |list| list.used));
            (size, used.fold(0, u32::wrapping_add))
        })
    }

    #[inline]
    fn alloc_object(&self, class: usize) -> *mut u8 {
        let Some(cpu) = self.cpus.get(current_cpu().index()) else { return ptr::null_mut() };
        let mut objects = cpu.lock();
        let Some(list) = objects.lists.get_mut(class) else { return ptr::null_mut() };
        if list.head.is_null() && !self.refill(class, list) {
            return ptr::null_mut();
        }
        let object = list.head;
        // SAFETY: a list holds free objects of this class only.
        list.head = unsafe { (*object).next };
        list.count -= 1;
        list.used = list.used.wrapping_add(1);
        object.cast()
    }

    #[inline]
    fn free_object(&self, object: *mut Object, class: usize) {
        let Some(cpu) = self.cpus.get(current_cpu().index()) else { return };
        let mut objects = cpu.lock();
        let Some(list) = objects.lists.get_mut(class) else { return };
        list.used = list.used.wrapping_sub(1);
        // SAFETY: the caller gave the object back; it is ours and large enough.
        unsafe { (*object).next = list.head };
        list.head = object;
        list.count += 1;
        if list.count > list.limit {
            self.spill(class, list);
        }
    }

    #[cold]
    fn refill(&self, class: usize, list: &mut FreeList) -> bool {
        let (Some(frames), Some(slabs)) = (self.frames.get(), self.slabs.get(class)) else { return false };
        let mut slabs = slabs.lock();
        for _ in 0..batch(class) {
            if slabs.partial.is_null() {
                let Some(block) = frames.alloc_contiguous(Purpose::Heap, slab_order(class)) else { break };
                let slab = frames.direct_map().virt(block).as_u64() as *mut Slab;
                let fresh = first_object(class) as u32;
                let head =
                    Slab { next: ptr::null_mut(), prev: ptr::null_mut(), free: ptr::null_mut(), fresh, in_use: 0 };
                // SAFETY: the frames are ours and mapped, aligned to their size.
                unsafe { slab.write(head) };
                self.held.fetch_add((PAGE_SIZE as u64) << slab_order(class), Ordering::Relaxed);
                slabs.link(slab);
            }
            let object = slabs.take(class);
            // SAFETY: a free object that is in no list.
            unsafe { (*object).next = list.head };
            list.head = object;
            list.count += 1;
        }
        !list.head.is_null()
    }

    #[cold]
    fn spill(&self, class: usize, list: &mut FreeList) {
        let (Some(frames), Some(slabs)) = (self.frames.get(), self.slabs.get(class)) else { return };
        let mut slabs = slabs.lock();
        for _ in 0..batch(class) {
            let object = list.head;
            // SAFETY: the list is longer than a batch.
            list.head = unsafe { (*object).next };
            list.count -= 1;
            let bytes = PAGE_SIZE << slab_order(class);
            if let Some(empty) = slabs.put(object, class) {
                frames.release_contiguous(frames.direct_map().phys(empty as u64), slab_order(class));
                self.held.fetch_sub(bytes as u64, Ordering::Relaxed);
            }
        }
    }
}

impl Slabs {
    fn link(&mut self, slab: *mut Slab) {
        // SAFETY: `slab` is a slab in no list.
        let head = unsafe { &mut *slab };
        head.next = self.partial;
        head.prev = ptr::null_mut();
        // SAFETY: null or the first slab in the list, another one.
        if let Some(next) = unsafe { self.partial.as_mut() } {
            next.prev = slab;
        }
        self.partial = slab;
    }

    fn unlink(&mut self, slab: *mut Slab) {
        // SAFETY: `slab` is a slab in this list.
        let Slab { next, prev, .. } = *unsafe { &*slab };
        // SAFETY: null or a neighbour in the list.
        if let Some(next) = unsafe { next.as_mut() } {
            next.prev = prev;
        }
        // SAFETY: as above.
        match unsafe { prev.as_mut() } {
            Some(prev) => prev.next = next,
            None => self.partial = next,
        }
    }

    /// An object of the first slab, which exists and has one.
    fn take(&mut self, class: usize) -> *mut Object {
        let slab = self.partial;
        let bytes = PAGE_SIZE << slab_order(class);
        // SAFETY: the list is not empty.
        let head = unsafe { &mut *slab };
        head.in_use += 1;
        let object = if head.free.is_null() {
            let at = slab.cast::<u8>().wrapping_add(head.fresh as usize).cast::<Object>();
            head.fresh += size_of_class(class) as u32;
            at
        } else {
            let object = head.free;
            // SAFETY: a free object of this slab.
            head.free = unsafe { (*object).next };
            object
        };
        if head.free.is_null() && head.fresh as usize + size_of_class(class) > bytes {
            self.unlink(slab);
        }
        object
    }

    /// Takes an object back; gives its slab if that is now empty and not the only one.
    fn put(&mut self, object: *mut Object, class: usize) -> Option<*mut Slab> {
        let bytes = PAGE_SIZE << slab_order(class);
        let slab = (object as usize & !(bytes - 1)) as *mut Slab;
        // SAFETY: objects of this class lie in slabs of this size, aligned to it.
        let head = unsafe { &mut *slab };
        let was_full = head.free.is_null() && head.fresh as usize + size_of_class(class) > bytes;
        // SAFETY: the object is free and ours.
        unsafe { (*object).next = head.free };
        head.free = object;
        head.in_use -= 1;
        let empty = head.in_use == 0;
        if was_full {
            self.link(slab);
        }
        // One empty slab stays, so that a class at the edge does not go to the frames each time.
        let only = self.partial == slab && {
            // SAFETY: the slab was linked above or before.
            unsafe { (*slab).next.is_null() }
        };
        if empty && !only {
            self.unlink(slab);
            return Some(slab);
        }
        None
    }
}

// SAFETY: every block is handed out once until it is given back: from a list of free objects under its lock, or as whole
// frames from the frame allocator. Objects are as large and as aligned as their class, which `class_of` chooses to fit.
unsafe impl GlobalAlloc for KernelHeap {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match class_of(layout) {
            Some(class) => self.alloc_object(class),
            None => self.alloc_large(layout),
        }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match class_of(layout) {
            Some(class) => self.free_object(block.cast(), class),
            None => self.free_large(block, layout),
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let Ok(wanted) = Layout::from_size_align(new_size, layout.align()) else { return ptr::null_mut() };
        let fits = match (class_of(layout), class_of(wanted)) {
            (Some(old), Some(new)) => old == new,
            (None, None) => order_of(layout) == order_of(wanted),
            _ => false,
        };
        if fits {
            return block;
        }
        // SAFETY: the layout is valid; a size of 0 is not asked for, by the caller's contract.
        let new = unsafe { self.alloc(wanted) };
        if !new.is_null() {
            // SAFETY: both blocks are at least that long, and distinct.
            unsafe { ptr::copy_nonoverlapping(block, new, layout.size().min(new_size)) };
            // SAFETY: the caller gives the old block back.
            unsafe { self.dealloc(block, layout) };
        }
        new
    }
}

impl KernelHeap {
    #[cold]
    fn alloc_large(&self, layout: Layout) -> *mut u8 {
        let order = order_of(layout);
        let Some(frames) = self.frames.get() else { return ptr::null_mut() };
        let Some(block) = frames.alloc_contiguous(Purpose::LargeBlock, order) else { return ptr::null_mut() };
        self.large.fetch_add((PAGE_SIZE as u64) << order, Ordering::Relaxed);
        frames.direct_map().virt(block).as_u64() as *mut u8
    }

    #[cold]
    fn free_large(&self, block: *mut u8, layout: Layout) {
        let order = order_of(layout);
        let Some(frames) = self.frames.get() else { return };
        self.large.fetch_sub((PAGE_SIZE as u64) << order, Ordering::Relaxed);
        frames.release_contiguous(frames.direct_map().phys(block as u64), order);
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::testing::{Random, machine};

    fn heap() -> (&'static KernelHeap, &'static Frames) {
        let frames = machine(4096, 0);
        let heap: &'static KernelHeap = std::boxed::Box::leak(std::boxed::Box::new(KernelHeap::new()));
        heap.init(frames);
        (heap, frames)
    }

    #[test]
    fn classes_fit_and_align_every_layout() {
        for size in 1..=LARGEST {
            for align in [1, 8, 16, 32, 64, 256, 1024, 2048] {
                let layout = Layout::from_size_align(size, align).unwrap();
                let class = class_of(layout).unwrap();
                assert!(SIZES[class] >= size && first_object(class).is_multiple_of(align.min(SIZES[class])));
                assert_eq!(SIZES[class] % align, 0, "size {size} align {align}");
            }
        }
    }

    #[test]
    fn random_blocks_never_overlap_and_all_frames_come_back() {
        let (heap, frames) = heap();
        let free = frames.stats().free;
        let mut random = Random::new(7);
        let mut live: Vec<(*mut u8, Layout, u8)> = Vec::new();
        for round in 0..40_000_u32 {
            if live.len() < 600 && random.below(5) < 3 {
                let size = match random.below(10) {
                    0 => 1 + random.below(20_000),
                    1..4 => 1 + random.below(2048),
                    _ => 1 + random.below(200),
                } as usize;
                let layout = Layout::from_size_align(size, 1 << random.below(7)).unwrap();
                // SAFETY: the layout is not empty.
                let block = unsafe { heap.alloc(layout) };
                assert!(!block.is_null() && (block as usize).is_multiple_of(layout.align()));
                let tag = round as u8;
                // SAFETY: just allocated.
                unsafe { ptr::write_bytes(block, tag, size) };
                live.push((block, layout, tag));
            } else if !live.is_empty() {
                let (block, layout, tag) = live.swap_remove(random.below(live.len() as u64) as usize);
                // SAFETY: live.
                let bytes = unsafe { core::slice::from_raw_parts(block, layout.size()) };
                assert!(bytes.iter().all(|byte| *byte == tag));
                // SAFETY: given back once.
                unsafe { heap.dealloc(block, layout) };
            }
        }
        for (block, layout, _) in live {
            // SAFETY: given back once.
            unsafe { heap.dealloc(block, layout) };
        }
        assert_eq!(heap.stats().used_bytes, 0);
        let kept = heap.stats().held_bytes / 4096;
        assert_eq!(frames.stats().free + kept, free);
        assert!(kept < 120, "empty slabs go back: {kept} frames kept");
    }

    #[test]
    fn memory_that_runs_out_gives_null_and_recovers() {
        let (heap, _) = heap();
        let layout = Layout::from_size_align(1000, 8).unwrap();
        let mut blocks = Vec::new();
        loop {
            // SAFETY: the layout is not empty.
            let block = unsafe { heap.alloc(layout) };
            if block.is_null() {
                break;
            }
            blocks.push(block);
        }
        assert!(blocks.len() > 10_000);
        // SAFETY: each given back once.
        blocks.drain(..).for_each(|block| unsafe { heap.dealloc(block, layout) });
        // SAFETY: the layout is not empty.
        assert!(!unsafe { heap.alloc(layout) }.is_null());
    }
}
