//! The local APIC's timer, one shot: counting down, or comparing with the TSC where the CPU can.

use core::sync::atomic::{AtomicU64, Ordering};

use super::local::{MASKED, Register, read, write};
use crate::features::{self, Features};
use crate::interrupts;
use crate::io::Register as Msr;

/// Divide by one.
const DIVIDE_BY_1: u32 = 0b1011;
const TSC_DEADLINE_MODE: u32 = 1 << 18;

// SAFETY: used only where CPUID reports the TSC-deadline timer; it raises an interrupt, which the kernel is ready for.
const TSC_DEADLINE: Msr = unsafe { Msr::new(0x6e0) };

/// Counts per second of the down-counter; 0 until calibrated.
static FREQUENCY: AtomicU64 = AtomicU64::new(0);

/// Sets how fast the counter counts, as calibrated.
pub(crate) fn set_frequency(hz: u64) {
    FREQUENCY.store(hz, Ordering::Relaxed);
}

/// Starts the counter from its maximum without an interrupt, to be read by [`count`]; for calibration.
pub(crate) fn start_free_running() {
    write(Register::LvtTimer, MASKED);
    write(Register::TimerDivide, DIVIDE_BY_1);
    write(Register::TimerInitial, u32::MAX);
}

/// Ticks since [`start_free_running`].
pub(crate) fn count() -> u32 {
    u32::MAX - read(Register::TimerCurrent)
}

/// An interrupt on this CPU after `nanos`, at TSC value `tsc`; `None`: none. A time too far for the counter gives an
/// early interrupt, and the kernel asks again.
pub(crate) fn set_one_shot(after: Option<(u64, u64)>) {
    let by_tsc = features::get().contains(Features::TSC_DEADLINE);
    let vector = u32::from(interrupts::TIMER);
    match after {
        Some((_, tsc)) if by_tsc => {
            write(Register::LvtTimer, TSC_DEADLINE_MODE | vector);
            // The write above may still be under way in memory-mapped mode (SDM vol. 3, 11.5.4.1).
            core::sync::atomic::fence(Ordering::SeqCst);
            TSC_DEADLINE.write(tsc.max(1));
        }
        Some((nanos, _)) => {
            write(Register::LvtTimer, vector);
            write(Register::TimerDivide, DIVIDE_BY_1);
            write(Register::TimerInitial, ticks(nanos, FREQUENCY.load(Ordering::Relaxed)));
        }
        None if by_tsc => TSC_DEADLINE.write(0),
        None => write(Register::TimerInitial, 0),
    }
}

/// Counter value for a span of time, at least one tick.
fn ticks(nanos: u64, hz: u64) -> u32 {
    let ticks = u128::from(nanos) * u128::from(hz) / 1_000_000_000;
    u32::try_from(ticks).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_clamped_to_the_counter() {
        assert_eq!(ticks(1_000_000, 1_000_000_000), 1_000_000);
        assert_eq!(ticks(0, 1_000_000_000), 1);
        assert_eq!(ticks(u64::MAX, u64::MAX), u32::MAX);
        assert_eq!(ticks(10_000_000_000, 1_000_000_000), u32::MAX);
    }
}
