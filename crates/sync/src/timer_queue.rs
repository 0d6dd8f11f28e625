//! Wakers ordered by deadline, on each CPU its own, on two clocks: one that nobody sets, and real time.
//!
//! A timer belongs to the CPU that armed it, which is the one whose timer interrupt serves it: an idle CPU is not woken for
//! what others wait for. One of real time is kept by that clock, so that it needs no attention when the clock is set.

use alloc::collections::BTreeMap;
use core::task::Waker;

use types::{CpuId, MAX_CPUS, Nanos};

use crate::{Rank, SpinLock, current_cpu};

/// A moment of one of the two clocks, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(u64);

impl Moment {
    /// Says that it is real time; the time itself reaches for 292 years.
    const REAL: u64 = 1 << 63;

    /// A moment of the clock that nobody sets.
    pub const fn monotonic(time: Nanos) -> Self {
        Self(if time.0 < Self::REAL { time.0 } else { Self::REAL - 1 })
    }

    /// A moment of real time, since 1970.
    pub const fn real(time: Nanos) -> Self {
        Self(Self::monotonic(time).0 | Self::REAL)
    }

    /// On the clock that nobody sets, if real time is `offset` nanoseconds ahead of it and stays so.
    pub fn as_monotonic(self, offset: i64) -> Nanos {
        let time = self.0 & !Self::REAL;
        Nanos(if self.0 == time { time } else { time.saturating_add_signed(offset.saturating_neg()) })
    }
}

impl From<Nanos> for Moment {
    fn from(time: Nanos) -> Self {
        Self::monotonic(time)
    }
}

/// Timers of all CPUs. Insertion and removal are O(log n) of those of a CPU; the nearest deadline is O(log n) to find.
pub struct TimerQueue {
    cpus: [Shelf; MAX_CPUS],
}

/// Those of one CPU, in a cache line of their own.
#[repr(align(64))]
struct Shelf {
    timers: SpinLock<Timers>,
}

struct Timers {
    next_number: u64,
    /// Monotonic ones, real ones.
    by_deadline: [BTreeMap<Key, Waker>; 2],
}

/// Deadline without its clock, and what tells timers apart: number, CPU, clock.
type Key = (u64, u64);

/// Places in an id below the number: a bit for the clock, below it those for the CPU.
const CPU_BITS: u32 = MAX_CPUS.ilog2();
const CLOCK: u64 = 1 << CPU_BITS;

/// One armed timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerToken {
    key: Key,
}

impl Default for TimerQueue {
    fn default() -> Self {
        Self::new()
    }
}

impl Shelf {
    const fn new() -> Self {
        let by_deadline = [BTreeMap::new(), BTreeMap::new()];
        Self { timers: SpinLock::new(Rank::TIMERS, Timers { next_number: 0, by_deadline }) }
    }
}

impl Timers {
    /// Those of the clock that a key names.
    fn of_clock(&mut self, id: u64) -> &mut BTreeMap<Key, Waker> {
        let [monotonic, real] = &mut self.by_deadline;
        if id & CLOCK == 0 { monotonic } else { real }
    }

    /// When each clock's first one is due.
    fn firsts(&self) -> [Option<Nanos>; 2] {
        self.by_deadline.each_ref().map(|timers| timers.first_key_value().map(|(key, _)| Nanos(key.0)))
    }
}

impl TimerQueue {
    /// An empty queue.
    pub const fn new() -> Self {
        Self { cpus: [const { Shelf::new() }; MAX_CPUS] }
    }

    /// Arms a timer of this CPU that wakes `waker` at `deadline`; the second value says whether it is now the nearest one on its
    /// clock, so that the hardware must be told.
    pub fn insert(&self, deadline: impl Into<Moment>, waker: Waker) -> (TimerToken, bool) {
        let Moment(deadline) = deadline.into();
        let cpu = current_cpu();
        let mut timers = self.shelf(cpu).lock();
        let clock = if deadline & Moment::REAL == 0 { 0 } else { CLOCK };
        let key = (deadline & !Moment::REAL, timers.next_number << (CPU_BITS + 1) | clock | u64::from(cpu.0));
        timers.next_number += 1;
        let queue = timers.of_clock(key.1);
        let nearest = queue.first_key_value().is_none_or(|(first, _)| key < *first);
        queue.insert(key, waker);
        (TimerToken { key }, nearest)
    }

    /// Disarms a timer, whichever CPU's it is; whether it had not gone off yet.
    pub fn remove(&self, token: TimerToken) -> bool {
        let id = token.key.1;
        let removed = self.shelf(CpuId((id & (CLOCK - 1)) as u32)).lock().of_clock(id).remove(&token.key);
        removed.is_some()
    }

    /// Wakes every timer of this CPU that is due at `now`, real time being `offset` nanoseconds ahead of it; how many.
    pub fn expire(&self, now: Nanos, offset: i64) -> usize {
        let times = [now, Nanos(now.0.saturating_add_signed(offset))];
        let shelf = self.shelf(current_cpu());
        let mut woken = 0;
        loop {
            let due = {
                let mut timers = shelf.lock();
                let mut queues = timers.by_deadline.iter_mut().zip(times);
                queues.find_map(|(queue, now)| match queue.first_key_value() {
                    Some((key, _)) if key.0 <= now.0 => queue.pop_first(),
                    _ => None,
                })
            };
            let Some((_, waker)) = due else { return woken };
            waker.wake();
            woken += 1;
        }
    }

    /// The nearest deadline of this CPU on the clock that nobody sets, if real time stays `offset` nanoseconds ahead of it.
    pub fn next_deadline(&self, offset: i64) -> Option<Nanos> {
        let [monotonic, real] = self.shelf(current_cpu()).lock().firsts();
        let real = real.map(|time| Moment::real(time).as_monotonic(offset));
        [monotonic, real].into_iter().flatten().min()
    }

    fn shelf(&self, cpu: CpuId) -> &SpinLock<Timers> {
        let [first, ..] = &self.cpus;
        &self.cpus.get(cpu.index()).unwrap_or(first).timers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_expire_in_order_and_only_when_due() {
        let queue = TimerQueue::new();
        let waker = Waker::noop();
        let (late, nearest) = queue.insert(Nanos(20), waker.clone());
        assert!(nearest);
        assert!(queue.insert(Nanos(10), waker.clone()).1);
        assert!(!queue.insert(Nanos(15), waker.clone()).1);
        assert_eq!(queue.expire(Nanos(9), 0), 0);
        assert_eq!(queue.expire(Nanos(15), 0), 2);
        assert_eq!(queue.next_deadline(0), Some(Nanos(20)));
        assert!(queue.remove(late));
        assert!(!queue.remove(late));
    }

    #[test]
    fn timers_of_real_time_follow_when_it_is_set() {
        let queue = TimerQueue::new();
        let waker = Waker::noop();
        let (real, nearest) = queue.insert(Moment::real(Nanos(1000)), waker.clone());
        assert!(nearest);
        queue.insert(Nanos(300), waker.clone());
        assert_eq!(queue.next_deadline(900), Some(Nanos(100)));
        assert_eq!(queue.next_deadline(100), Some(Nanos(300)));
        assert_eq!(queue.next_deadline(-100), Some(Nanos(300)));
        assert_eq!(queue.next_deadline(5000), Some(Nanos(0)), "long past");
        assert_eq!(queue.expire(Nanos(150), 100), 0);
        assert_eq!(queue.expire(Nanos(150), 849), 0);
        assert_eq!(queue.expire(Nanos(150), 850), 1);
        assert!(!queue.remove(real));
        assert_eq!(queue.expire(Nanos(300), i64::MIN), 1);
        assert_eq!(queue.next_deadline(0), None);
    }

    #[test]
    fn moments_keep_their_clock_and_stay_in_reach() {
        assert_eq!(Moment::monotonic(Nanos(7)).as_monotonic(100), Nanos(7));
        assert_eq!(Moment::real(Nanos(107)).as_monotonic(100), Nanos(7));
        assert_eq!(Moment::real(Nanos(7)).as_monotonic(i64::MIN), Nanos(7 + i64::MAX as u64));
        assert_eq!(Moment::monotonic(Nanos::MAX).as_monotonic(0), Nanos(i64::MAX as u64));
        assert_eq!(Moment::real(Nanos::MAX).as_monotonic(0), Nanos(i64::MAX as u64));
    }
}
