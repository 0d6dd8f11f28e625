//! All physical memory at one fixed distance.

use core::ptr;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use types::{PAGE_SIZE, PhysAddr, VirtAddr};

use crate::Pte;

/// All physical memory, readable and writable at one fixed distance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectMap {
    base: u64,
}

/// A page table. Entries are atomic: the hardware sets accessed and dirty bits at any time.
#[repr(C, align(4096))]
pub(crate) struct Table([AtomicU64; 512]);

impl DirectMap {
    /// The map whose physical address 0 is at `base`.
    ///
    /// # Safety
    ///
    /// Every frame that [`crate::Frames`] is given is mapped there, writable, and stays so; nobody else uses those frames.
    /// `base` is a multiple of 1 GiB, so that blocks aligned to their size are so virtually as well.
    pub const unsafe fn new(base: u64) -> Self {
        Self { base }
    }

    /// Where `phys` is mapped.
    #[inline]
    pub const fn virt(self, phys: PhysAddr) -> VirtAddr {
        VirtAddr::new_truncate(self.base.wrapping_add(phys.as_u64()))
    }

    /// What is mapped at `virt`, an address of this map.
    #[inline]
    pub(crate) const fn phys(self, virt: u64) -> PhysAddr {
        PhysAddr::new_truncate(virt.wrapping_sub(self.base))
    }

    #[inline]
    pub(super) const fn pointer(self, phys: PhysAddr) -> *mut u8 {
        self.base.wrapping_add(phys.as_u64()) as *mut u8
    }

    /// `frame` as a page table.
    #[inline]
    pub(crate) fn table(self, frame: PhysAddr) -> &'static Table {
        debug_assert!(frame.is_aligned(PAGE_SIZE as u64));
        // SAFETY: by the contract of `new` the frame is mapped and page-aligned; atomics may be shared with anybody.
        unsafe { &*self.pointer(frame).cast::<Table>() }
    }

    /// The word at `offset` (a multiple of 4 within the page) of `frame`.
    #[inline]
    pub(crate) fn word(self, frame: PhysAddr, offset: usize) -> &'static AtomicU32 {
        let at = self.pointer(frame).wrapping_add(offset & (PAGE_SIZE - 4));
        // SAFETY: inside a mapped frame, aligned by the mask; atomics may be shared with anybody.
        unsafe { AtomicU32::from_ptr(at.cast()) }
    }

    /// Copies bytes of `frame` from `offset` on; what would lie beyond the page is left alone. Gives the number copied.
    #[inline]
    pub(crate) fn read(self, frame: PhysAddr, offset: usize, out: &mut [u8]) -> usize {
        let len = out.len().min(PAGE_SIZE.saturating_sub(offset));
        let from = self.pointer(frame).wrapping_add(offset);
        // SAFETY: `offset + len` is within the mapped frame and `len` within `out`; a frame is never part of a kernel slice.
        unsafe { ptr::copy_nonoverlapping(from, out.as_mut_ptr(), len) };
        len
    }

    /// Copies `data` into `frame` at `offset`; bounds and result as for `read`.
    #[inline]
    pub(crate) fn write(self, frame: PhysAddr, offset: usize, data: &[u8]) -> usize {
        let len = data.len().min(PAGE_SIZE.saturating_sub(offset));
        let to = self.pointer(frame).wrapping_add(offset);
        // SAFETY: as in `read`.
        unsafe { ptr::copy_nonoverlapping(data.as_ptr(), to, len) };
        len
    }

    /// Zeroes bytes of `frame`; bounds and result as for `read`.
    #[inline]
    pub(crate) fn zero_part(self, frame: PhysAddr, offset: usize, len: usize) -> usize {
        let len = len.min(PAGE_SIZE.saturating_sub(offset));
        let at = self.pointer(frame).wrapping_add(offset);
        // SAFETY: within the mapped frame.
        unsafe { ptr::write_bytes(at, 0, len) };
        len
    }

    /// Fills `to`, another frame, with the first `len` bytes of `from` and zeroes after them.
    #[inline]
    pub(crate) fn copy_start(self, to: PhysAddr, from: PhysAddr, len: usize) {
        let len = len.min(PAGE_SIZE);
        // SAFETY: both are mapped, `len` is within them and, being different frames, they are disjoint.
        unsafe { ptr::copy_nonoverlapping(self.pointer(from), self.pointer(to), len) };
        self.zero_part(to, len, PAGE_SIZE - len);
    }

    /// Zeroes the whole of `frame`.
    #[inline]
    pub(crate) fn zero(self, frame: PhysAddr) {
        let at = self.pointer(frame).cast::<u64>();
        // SAFETY: the frame is mapped and page-aligned.
        unsafe { ptr::write_bytes(at, 0, PAGE_SIZE / 8) };
    }

    /// Copies the whole of `from` to `to`, another frame.
    #[inline]
    pub(crate) fn copy(self, to: PhysAddr, from: PhysAddr) {
        let (to, from) = (self.pointer(to).cast::<u64>(), self.pointer(from).cast::<u64>());
        // SAFETY: both are mapped, page-aligned and, being different frames, disjoint.
        unsafe { ptr::copy_nonoverlapping(from, to, PAGE_SIZE / 8) };
    }
}

impl Table {
    #[inline]
    fn slot(&self, index: usize) -> &AtomicU64 {
        // SAFETY: the mask keeps the index below 512.
        unsafe { self.0.get_unchecked(index & 511) }
    }

    /// The entry at `index` (taken modulo 512).
    #[inline]
    pub(crate) fn get(&self, index: usize) -> Pte {
        Pte(self.slot(index).load(Ordering::Relaxed))
    }

    /// Stores an entry. Release: whoever sees it sees the content of what it leads to.
    #[inline]
    pub(crate) fn set(&self, index: usize, entry: Pte) {
        self.slot(index).store(entry.0, Ordering::Release);
    }

    /// Stores an entry and gives the old one with the accessed and dirty bits as the hardware left them.
    #[inline]
    pub(crate) fn swap(&self, index: usize, entry: Pte) -> Pte {
        Pte(self.slot(index).swap(entry.0, Ordering::AcqRel))
    }

    /// Clears bits; gives the entry before.
    #[inline]
    pub(crate) fn clear_bits(&self, index: usize, bits: u64) -> Pte {
        Pte(self.slot(index).fetch_and(!bits, Ordering::AcqRel))
    }

    /// Sets bits; gives the entry before.
    #[inline]
    pub(crate) fn set_bits(&self, index: usize, bits: u64) -> Pte {
        Pte(self.slot(index).fetch_or(bits, Ordering::AcqRel))
    }
}
