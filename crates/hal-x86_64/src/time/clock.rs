//! The monotonic clock, and alarms on it.

use core::arch::x86_64::{_mm_lfence, _rdtsc};
use core::sync::atomic::Ordering;

use types::Nanos;

use super::calibrate::{self, References, Source};
use crate::vdso::DATA;
use crate::{apic, cpu};

/// Calibrates the TSC and the local APIC's timer and starts the clock at zero. On the boot CPU, after its APIC is on.
/// Takes between a fraction of a millisecond and some milliseconds. Returns what it measured against.
pub fn init(references: &References) -> Source {
    let rates = calibrate::measure(references);
    cpu::TSC_HZ.store(rates.tsc_hz, Ordering::Relaxed);
    apic::set_timer_frequency(rates.apic_hz);
    apic::init_timer();
    DATA.scale.store(scale(rates.tsc_hz), Ordering::Relaxed);
    DATA.base.store(cycles(), Ordering::Relaxed);
    rates.source
}

/// The time-stamp counter: for spans that are summed up before [`span`] turns them into time.
#[inline]
pub fn cycles() -> u64 {
    // SAFETY: reads a counter.
    unsafe { _rdtsc() }
}

/// Time since [`init`]; the same on every CPU, as the counters of a PC start together.
#[inline]
pub fn now() -> Nanos {
    at(cycles())
}

/// The time at which [`cycles`] was `stamp`.
#[inline]
pub fn at(stamp: u64) -> Nanos {
    let since = stamp.wrapping_sub(DATA.base.load(Ordering::Relaxed));
    // A counter a few cycles behind the boot CPU's at time zero.
    let since = if since > u64::MAX / 2 { 0 } else { since };
    Nanos(to_nanos(since, DATA.scale.load(Ordering::Relaxed)))
}

/// [`now`], not read ahead of what came before it: never earlier than what anybody has seen before.
#[inline]
pub fn now_in_order() -> Nanos {
    // SAFETY: waits for earlier instructions to end, no more.
    unsafe { _mm_lfence() };
    now()
}

/// So many cycles of [`cycles`] as time.
#[inline]
pub fn span(cycles: u64) -> Nanos {
    Nanos(to_nanos(cycles, DATA.scale.load(Ordering::Relaxed)))
}

/// Asks for a timer interrupt on this CPU at `deadline`, replacing an earlier request. It may come early.
pub fn set_deadline(deadline: Option<Nanos>) {
    apic::set_one_shot(deadline.map(|deadline| {
        let after = deadline.saturating_sub(now()).0;
        let ahead = to_cycles(after, cpu::tsc_hz());
        (after, cycles().saturating_add(ahead))
    }));
}

/// Nanoseconds per cycle, scaled by 2^32.
fn scale(hz: u64) -> u64 {
    u64::try_from((1_000_000_000_u128 << 32) / u128::from(hz.max(1))).unwrap_or(u64::MAX)
}

#[inline]
fn to_nanos(cycles: u64, scale: u64) -> u64 {
    ((u128::from(cycles) * u128::from(scale)) >> 32) as u64
}

fn to_cycles(nanos: u64, hz: u64) -> u64 {
    u64::try_from(u128::from(nanos) * u128::from(hz) / 1_000_000_000).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_gigahertz_counts_nanoseconds() {
        assert_eq!(scale(1_000_000_000), 1 << 32);
        assert_eq!(to_nanos(123_456_789_012, 1 << 32), 123_456_789_012);
    }

    #[test]
    fn error_stays_below_a_microsecond_per_hour() {
        for hz in [999_999_937_u64, 2_400_000_000, 2_599_999_999, 3_893_123_456] {
            let cycles = hz * 3600;
            let error = to_nanos(cycles, scale(hz)).abs_diff(3600 * 1_000_000_000);
            assert!(error < 3_600_000, "{hz}: {error}");
        }
    }

    #[test]
    fn conversions_do_not_overflow() {
        assert_eq!(to_cycles(u64::MAX, u64::MAX), u64::MAX);
        assert_eq!(scale(0), 1_000_000_000 << 32);
        let century = 100 * 365 * 86_400 * 3_000_000_000_u64;
        assert!(to_nanos(century, scale(3_000_000_000)) > 3_000_000_000_000_000_000);
    }
}
