//! Supervisor-mode access prevention: ring 0 reaches user pages only between `open` and `close`.

use core::arch::asm;
use core::sync::atomic::{AtomicBool, Ordering};

/// Whether CR4.SMAP is set; the instructions below are undefined on CPUs without it.
static ENABLED: AtomicBool = AtomicBool::new(false);

/// Called when the first CPU has set CR4.SMAP.
pub(crate) fn set_enabled() {
    ENABLED.store(true, Ordering::Relaxed);
}

/// Whether the protection is on.
#[inline]
pub fn enabled() -> bool {
    ENABLED.load(Ordering::Relaxed)
}

/// Lets ring 0 reach user pages.
#[inline]
pub(crate) fn open() {
    if enabled() {
        // SAFETY: the CPU has SMAP; the flag affects data accesses to user pages only.
        unsafe { asm!("stac", options(nostack)) };
    }
}

/// Shuts ring 0 out of user pages again. Also needed on entry from user mode by an interrupt, which keeps AC.
#[inline]
pub(crate) fn close() {
    if enabled() {
        // SAFETY: as above.
        unsafe { asm!("clac", options(nostack)) };
    }
}
