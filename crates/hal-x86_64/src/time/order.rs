//! Whether the time-stamp counters of all CPUs are one clock: they run at one rate and none is behind another.

use core::arch::x86_64::_mm_lfence;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::calibrate::is_emulator;
use super::cycles;
use crate::features::{self, Features};

/// The latest count that any CPU has told.
static LATEST: AtomicU64 = AtomicU64::new(0);
static BEHIND: AtomicBool = AtomicBool::new(false);

/// What is known of the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steadiness {
    /// One clock.
    Steady,
    /// The rate may change with the CPU's power state.
    Varying,
    /// A CPU's counter was seen behind another's.
    Apart,
}

/// Compares this CPU's counter so many times with what other CPUs tell of theirs meanwhile. Waits for nobody: what runs at the
/// same time is compared.
pub(crate) fn compare(times: u32) {
    for _ in 0..times {
        let seen = LATEST.load(Ordering::SeqCst);
        // SAFETY: waits for the load above, no more.
        unsafe { _mm_lfence() };
        let now = cycles();
        if now < seen {
            BEHIND.store(true, Ordering::Relaxed);
        }
        LATEST.fetch_max(now, Ordering::SeqCst);
    }
}

/// What the CPUs say, and what their comparisons have shown so far.
pub fn steadiness() -> Steadiness {
    if BEHIND.load(Ordering::Relaxed) {
        Steadiness::Apart
    } else if features::get().contains(Features::INVARIANT_TSC) || is_emulator() {
        // QEMU's emulated CPUs read one counter.
        Steadiness::Steady
    } else {
        Steadiness::Varying
    }
}
