//! Where physical memory is visible: at a constant distance.

use core::sync::atomic::{AtomicU64, Ordering};

use types::PhysAddr;

static OFFSET: AtomicU64 = AtomicU64::new(0);

/// Sets the distance; called once by `init_bsp`, whose caller promises that it is right.
pub(crate) fn set(offset: u64) {
    OFFSET.store(offset, Ordering::Release);
}

/// Whether [`set`] was called.
pub(crate) fn is_set() -> bool {
    OFFSET.load(Ordering::Acquire) != 0
}

/// The virtual address of `physical`.
pub(crate) fn pointer<T>(physical: PhysAddr) -> *mut T {
    core::ptr::with_exposed_provenance_mut((physical.as_u64().wrapping_add(OFFSET.load(Ordering::Acquire))) as usize)
}
