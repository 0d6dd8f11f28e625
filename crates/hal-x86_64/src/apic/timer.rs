//! The local APIC's timer, one shot: counting down, or comparing with the TSC where the CPU can.

use core::sync::atomic::{AtomicU64, Ordering, fence};

use super::local::{MASKED, Register, read, write};
use crate::features::{self, Features};
use crate::io::Register as Msr;
use crate::{interrupts, per_cpu};

const TSC_DEADLINE_MODE: u32 = 1 << 18;

// SAFETY: used only where CPUID reports the TSC-deadline timer; it raises an interrupt, which the kernel is ready for.
const TSC_DEADLINE: Msr = unsafe { Msr::new(0x6e0) };

/// Counts per second of the down-counter; 0 until calibrated.
static FREQUENCY: AtomicU64 = AtomicU64::new(0);

/// Sets how fast the counter counts, as calibrated.
pub(crate) fn set_frequency(hz: u64) {
    FREQUENCY.store(hz, Ordering::Relaxed);
}

/// Starts the counter from its maximum without an interrupt, to be read by [`count`]; for calibration, after which
/// [`init_cpu`] must follow.
pub(crate) fn start_free_running() {
    write(Register::LvtTimer, MASKED);
    write(Register::TimerDivide, divider(0));
    write(Register::TimerInitial, u32::MAX);
}

/// Ticks since [`start_free_running`].
pub(crate) fn count() -> u32 {
    u32::MAX - read(Register::TimerCurrent)
}

/// Makes the executing CPU's timer ready for [`set_one_shot`].
pub(crate) fn init_cpu() {
    let mode = if features::get().contains(Features::TSC_DEADLINE) { TSC_DEADLINE_MODE } else { 0 };
    write(Register::TimerInitial, 0);
    write(Register::TimerDivide, divider(0));
    per_cpu::current().timer_shift.store(0, Ordering::Relaxed);
    write(Register::LvtTimer, mode | u32::from(interrupts::TIMER));
    // In memory-mapped mode the write above may still be under way when the deadline is set (SDM vol. 3, 11.5.4.1).
    fence(Ordering::SeqCst);
}

/// An interrupt on this CPU after `nanos`, at TSC value `tsc`; `None`: none. A time too far for the counter gives an
/// early interrupt, and the kernel asks again.
pub(crate) fn set_one_shot(after: Option<(u64, u64)>) {
    let by_tsc = features::get().contains(Features::TSC_DEADLINE);
    match after {
        Some((_, tsc)) if by_tsc => TSC_DEADLINE.write(tsc.max(1)),
        Some((nanos, _)) => {
            let (shift, ticks) = ticks(nanos, FREQUENCY.load(Ordering::Relaxed));
            let current = &per_cpu::current().timer_shift;
            if current.load(Ordering::Relaxed) != shift {
                current.store(shift, Ordering::Relaxed);
                write(Register::TimerDivide, divider(shift));
            }
            write(Register::TimerInitial, ticks);
        }
        None if by_tsc => TSC_DEADLINE.write(0),
        None => write(Register::TimerInitial, 0),
    }
}

/// Code of the divide register for a division by `1 << shift`, at most 128 (SDM vol. 3, figure 11-10: bit 2 is unused).
const fn divider(shift: u32) -> u32 {
    let code = (shift + 7) & 7;
    (code & 3) | (code & 4) << 1
}

/// The finest division that can count a span of time, and its counter value: at least one tick, at most all.
fn ticks(nanos: u64, hz: u64) -> (u32, u32) {
    let ticks = u128::from(nanos) * u128::from(hz) / 1_000_000_000;
    let shift = (u128::BITS - ticks.leading_zeros()).saturating_sub(u32::BITS).min(7);
    (shift, u32::try_from(ticks >> shift).unwrap_or(u32::MAX).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_use_the_finest_division_that_fits() {
        assert_eq!(ticks(1_000_000, 1_000_000_000), (0, 1_000_000));
        assert_eq!(ticks(0, 1_000_000_000), (0, 1));
        assert_eq!(ticks(4_294_967_295, 1_000_000_000), (0, u32::MAX));
        assert_eq!(ticks(4_294_967_296, 1_000_000_000), (1, 1 << 31));
        assert_eq!(ticks(100_000_000_000, 1_000_000_000), (5, 3_125_000_000));
        assert_eq!(ticks(u64::MAX, u64::MAX), (7, u32::MAX));
        assert_eq!(ticks(5, 0), (0, 1));
    }

    #[test]
    fn dividers_are_encoded_as_the_manual_says() {
        let expected = [0b1011, 0b0000, 0b0001, 0b0010, 0b0011, 0b1000, 0b1001, 0b1010];
        assert_eq!([0, 1, 2, 3, 4, 5, 6, 7].map(divider), expected);
    }
}
