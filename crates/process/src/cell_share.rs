//! A cell's share of the CPUs: so much time in each period, on however many CPUs at once.
//!
//! Time is charged where it is counted anyhow, at ticks and switches. Whoever finds nothing left is held on the way back to
//! user mode until there is some again ([`crate::signal::ThreadSignals::hold`]), with no lock of the kernel's in hand. What
//! was used beyond the share until then is a debt that the next periods pay: over a while the share is exact.

use core::sync::atomic::{AtomicU64, Ordering};

use types::Nanos;

/// What a share is a share of.
pub const PERIOD: Nanos = Nanos::from_millis(100);
/// Nanoseconds of one unit in which time is kept.
const UNIT: u64 = 64;

/// Time left in the present period, and which one that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Purse {
    period: u32,
    /// Units; less than nothing is a debt.
    left: i32,
}

impl Purse {
    const fn pack(self) -> u64 {
        (self.period as u64) << 32 | self.left as u32 as u64
    }

    const fn unpack(word: u64) -> Self {
        Self { period: (word >> 32) as u32, left: word as u32 as i32 }
    }
}

/// A share of the CPUs.
#[derive(Debug)]
pub struct CpuShare {
    /// Units in each period.
    quota: i32,
    /// Thousandths of one CPU, as it was asked for.
    thousandths: u32,
    purse: AtomicU64,
    throttled: Spans,
}

impl CpuShare {
    /// So many thousandths of one CPU; more than 1000 are several CPUs.
    pub fn new(thousandths: u32) -> Self {
        let units = PERIOD.0 / UNIT * u64::from(thousandths) / 1000;
        let quota = i32::try_from(units.max(1)).unwrap_or(i32::MAX);
        let purse = AtomicU64::new(Purse { period: 0, left: quota }.pack());
        Self { quota, thousandths, purse, throttled: Spans::default() }
    }

    /// Thousandths of one CPU.
    pub const fn thousandths(&self) -> u32 {
        self.thousandths
    }

    /// Charges time that was used up to `now`. What is left in this period: zero if nothing.
    pub fn charge(&self, ran: Nanos, now: Nanos) -> Nanos {
        // What lies before the present period was that one's.
        let before = ran.0.saturating_sub(now.0 % PERIOD.0);
        let left = self.update(now, units(before), units(ran.0 - before)).left;
        Nanos(u64::try_from(left).unwrap_or(0) * UNIT)
    }

    /// Whether there is nothing left at `now`, and until when: the begin of a period.
    pub fn exhausted(&self, now: Nanos) -> Option<Nanos> {
        let Purse { period, left } = self.update(now, 0, 0);
        let debt = u32::try_from(1i64 - i64::from(left)).ok().filter(|debt| *debt > 0)?;
        let periods = debt.div_ceil(self.quota.unsigned_abs());
        Some(Nanos((u64::from(period) + u64::from(periods)) * PERIOD.0))
    }

    /// Somebody is held from `now` on until `until`.
    pub fn note_throttled(&self, now: Nanos, until: Nanos) -> bool {
        self.throttled.add(now, until) > 0
    }

    /// When somebody was held.
    pub const fn throttled(&self) -> &Spans {
        &self.throttled
    }

    /// Takes `before`, gives what has come since the last look, takes `after`; what was there for an instant after that.
    fn update(&self, now: Nanos, before: i32, after: i32) -> Purse {
        let present = u32::try_from(now.0 / PERIOD.0).unwrap_or(u32::MAX);
        let renewed = |word: u64| {
            let Purse { period, left } = Purse::unpack(word);
            // Another CPU's clock may be a little ahead.
            let came = i64::from(present.saturating_sub(period)) * i64::from(self.quota);
            let left = (i64::from(left) - i64::from(before) + came).clamp(i32::MIN.into(), self.quota.into()) as i32;
            Purse { period: period.max(present), left: left.saturating_sub(after) }
        };
        let mut known = self.purse.load(Ordering::Relaxed);
        loop {
            let new = renewed(known);
            match self.purse.compare_exchange_weak(known, new.pack(), Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return new,
                Err(other) => known = other,
            }
        }
    }
}

fn units(time: u64) -> i32 {
    i32::try_from(time.saturating_add(UNIT / 2) / UNIT).unwrap_or(i32::MAX)
}

/// Stretches of time that may overlap: how many, and how long all of them together are.
#[derive(Debug, Default)]
pub struct Spans {
    until: AtomicU64,
    total: AtomicU64,
    count: AtomicU64,
}

impl Spans {
    /// Adds a stretch; how much of it is new. Those that end later must not begin before others did, or only their later part
    /// counts.
    pub fn add(&self, from: Nanos, to: Nanos) -> u64 {
        let before = self.until.fetch_max(to.0, Ordering::Relaxed);
        let new = to.0.saturating_sub(before.max(from.0));
        if new > 0 {
            self.total.fetch_add(new, Ordering::Relaxed);
            self.count.fetch_add(1, Ordering::Relaxed);
        }
        new
    }

    /// How long all of them are together.
    pub fn total(&self) -> Nanos {
        Nanos(self.total.load(Ordering::Relaxed))
    }

    /// How many brought something new.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// The end of the last one.
    pub fn until(&self) -> Nanos {
        Nanos(self.until.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// Runs `cpus` threads that never sleep, looked at every `tick`; the time they had in `periods` periods.
    fn run(share: &CpuShare, cpus: u64, tick: Nanos, periods: u64) -> Nanos {
        let mut used = 0;
        let mut now = Nanos::ZERO;
        while now.0 < periods * PERIOD.0 {
            match share.exhausted(now) {
                Some(until) => {
                    assert!(until > now && until.0 % PERIOD.0 == 0);
                    share.note_throttled(now, until);
                    now = until;
                }
                None => {
                    now += tick;
                    for _ in 0..cpus {
                        share.charge(tick, now);
                        used += tick.0;
                    }
                }
            }
        }
        Nanos(used)
    }

    #[test]
    fn shares_are_exact_over_a_while_on_any_number_of_cpus() {
        for (thousandths, cpus) in [(100, 1), (500, 1), (500, 4), (1500, 2), (1500, 4), (1000, 64), (3333, 8)] {
            let share = CpuShare::new(thousandths);
            let used = run(&share, cpus, Nanos(4 * MS), 1000);
            let due = 1000 * PERIOD.0 / 1000 * u64::from(thousandths);
            let off = used.0.abs_diff(due) as f64 / due as f64;
            assert!(off < 0.03, "{thousandths} on {cpus}: {used:?}");
            assert!(share.throttled().count() > 0 && share.throttled().total().0 < 1000 * PERIOD.0);
        }
    }

    #[test]
    fn a_share_that_suffices_never_throttles() {
        let share = CpuShare::new(2000);
        assert_eq!(run(&share, 2, Nanos(4 * MS), 100).0, 2 * 100 * PERIOD.0);
        assert_eq!(share.throttled().count(), 0);
    }

    #[test]
    fn what_was_not_used_is_not_saved_up() {
        let share = CpuShare::new(500);
        // An hour of sleep gives no more than one period's share.
        let begin = Nanos(3_600_000 * MS);
        let late = Nanos(begin.0 + 60 * MS);
        assert!(share.exhausted(late).is_none());
        assert_eq!(share.charge(Nanos(49 * MS), late), Nanos(MS));
        assert_eq!(share.charge(Nanos(2 * MS), late), Nanos::ZERO);
        assert_eq!(share.exhausted(late), Some(begin + PERIOD), "which pays the debt as well");
        assert!(share.exhausted(late + PERIOD).is_none());
        assert_eq!(share.charge(Nanos(48 * MS), late + PERIOD), Nanos(MS));
    }

    #[test]
    fn a_large_debt_takes_several_periods_and_extremes_do_not_overflow() {
        let share = CpuShare::new(100);
        share.charge(Nanos(35 * MS), Nanos(50 * MS));
        assert_eq!(share.exhausted(Nanos(50 * MS)), Some(Nanos(300 * MS)));
        share.charge(Nanos(u64::MAX), Nanos(52 * MS));
        share.charge(Nanos(u64::MAX), Nanos(52 * MS));
        assert!(share.exhausted(Nanos(52 * MS)).is_some());
        assert!(CpuShare::new(u32::MAX).exhausted(Nanos(u64::MAX)).is_none());
        // The clock of another CPU is behind: nothing is taken back.
        let share = CpuShare::new(1000);
        share.charge(Nanos(MS), Nanos(550 * MS));
        assert_eq!(share.charge(Nanos(MS), Nanos(499 * MS)), Nanos(98 * MS));
    }

    #[test]
    fn many_cpus_charge_at_once_and_nothing_is_lost() {
        let share = CpuShare::new(64_000);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10_000).for_each(|_| _ = share.charge(Nanos(640), Nanos(MS))));
            }
        });
        assert_eq!(share.charge(Nanos::ZERO, Nanos(MS)).0, 6_400 * MS - 4 * 10_000 * 640);
    }

    #[test]
    fn overlaps_count_once() {
        let spans = Spans::default();
        assert_eq!(spans.add(Nanos(10), Nanos(20)), 10);
        assert_eq!(spans.add(Nanos(15), Nanos(30)), 10);
        assert_eq!(spans.add(Nanos(12), Nanos(18)), 0);
        assert_eq!(spans.add(Nanos(40), Nanos(41)), 1);
        assert_eq!((spans.total(), spans.count(), spans.until()), (Nanos(21), 3, Nanos(41)));
    }
}
