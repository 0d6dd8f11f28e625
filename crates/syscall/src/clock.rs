//! Real time: the monotonic clock plus an offset that clock_settime(2) moves.

use alloc::sync::Weak;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicI64, Ordering};

use abi::{Timespec, Timeval};
use sync::{Moment, Rank, SpinLock};
use types::Nanos;
use vfs::timerfd::TimerFd;
use vfs::{Timestamp, VfsError};

use crate::Platform;

/// Nanoseconds of a second.
const SECOND: i64 = 1_000_000_000;

/// Wall-clock time.
pub struct WallClock {
    platform: &'static dyn Platform,
    /// Nanoseconds since 1970 at boot.
    offset: &'static AtomicI64,
    watchers: SpinLock<Watchers>,
}

/// Timers that are cancelled when the clock is set. Some may be gone.
#[derive(Default)]
struct Watchers {
    timers: Vec<Weak<TimerFd>>,
    /// So many go through them just now: they keep their places.
    telling: u32,
}

impl WallClock {
    /// A clock that showed `at_boot` seconds since 1970 when the monotonic clock was zero. It keeps in `offset` what is to be
    /// added to that one, in nanoseconds.
    pub fn new(platform: &'static dyn Platform, offset: &'static AtomicI64, at_boot: i64) -> Self {
        offset.store(at_boot.saturating_mul(SECOND), Ordering::Relaxed);
        Self { platform, offset, watchers: SpinLock::new(Rank::INODE, Watchers::default()) }
    }

    /// Nanoseconds since 1970.
    pub fn now_ns(&self) -> i64 {
        self.offset.load(Ordering::Relaxed).saturating_add(self.platform.now().0 as i64)
    }

    /// Sets the clock to `ns` nanoseconds since 1970.
    pub fn set_ns(&self, ns: i64) {
        self.offset.store(ns.saturating_sub(self.platform.now().0 as i64), Ordering::Relaxed);
    }

    /// How far it is ahead of the monotonic clock, in nanoseconds.
    pub fn offset(&self) -> i64 {
        self.offset.load(Ordering::Relaxed)
    }

    /// The monotonic time of a moment, if this clock is not set until then.
    pub fn to_monotonic(&self, moment: Moment) -> Nanos {
        moment.as_monotonic(self.offset())
    }

    /// Will cancel `timer`, which was not here before, whenever the clock is set.
    ///
    /// # Errors
    /// `NoMemory`.
    pub(crate) fn watch(&self, timer: Weak<TimerFd>) -> Result<(), VfsError> {
        let mut watchers = self.watchers.lock();
        let Watchers { timers, telling } = &mut *watchers;
        if timers.len() == timers.capacity() {
            if *telling == 0 {
                timers.retain(|timer| timer.strong_count() != 0);
            }
            // As many again, so that this is seldom.
            let more = timers.len() + 1;
            timers.try_reserve(more).map_err(|_| VfsError::NoMemory)?;
        }
        timers.push(timer);
        Ok(())
    }

    /// Cancels the timers that want it: the clock has been set.
    pub(crate) fn tell_watchers(&self) {
        self.watchers.lock().telling += 1;
        for next in 0.. {
            // One at a time: it wakes others, which is not done under a lock.
            let mut watchers = self.watchers.lock();
            let Some(timer) = watchers.timers.get(next).map(Weak::upgrade) else {
                watchers.telling -= 1;
                return;
            };
            drop(watchers);
            if let Some(timer) = timer {
                timer.cancel();
            }
        }
    }

    /// Seconds since 1970 at boot.
    pub fn boot_secs(&self) -> i64 {
        self.offset.load(Ordering::Relaxed).div_euclid(SECOND)
    }
}

impl vfs::Clock for WallClock {
    fn now(&self) -> Timestamp {
        let ns = self.now_ns();
        Timestamp { secs: ns.div_euclid(SECOND), nanos: ns.rem_euclid(SECOND) as u32 }
    }
}

/// A span or monotonic moment as user space writes it.
pub(crate) fn timespec(time: Nanos) -> Timespec {
    Timespec { tv_sec: time.secs() as i64, tv_nsec: i64::from(time.subsec_nanos()) }
}

/// Nanoseconds since 1970 as user space writes them.
pub(crate) fn timespec_of_ns(ns: i64) -> Timespec {
    Timespec { tv_sec: ns.div_euclid(SECOND), tv_nsec: ns.rem_euclid(SECOND) }
}

/// A span in microseconds as user space writes it.
pub(crate) fn timeval(time: Nanos) -> Timeval {
    Timeval { tv_sec: time.secs() as i64, tv_usec: i64::from(time.subsec_nanos() / 1000) }
}

/// A span that user space wrote; `None` if it is negative or not in normal form.
pub(crate) fn nanos(time: Timespec) -> Option<Nanos> {
    if time.tv_sec < 0 || !(0..SECOND).contains(&time.tv_nsec) {
        return None;
    }
    Some(Nanos::from_secs(time.tv_sec as u64) + Nanos(time.tv_nsec as u64))
}

/// A span that user space wrote in microseconds; `None` if it is negative or not in normal form.
pub(crate) fn nanos_of_timeval(time: Timeval) -> Option<Nanos> {
    if time.tv_sec < 0 || !(0..1_000_000).contains(&time.tv_usec) {
        return None;
    }
    Some(Nanos::from_secs(time.tv_sec as u64) + Nanos::from_micros(time.tv_usec as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_normal_spans_are_accepted() {
        assert_eq!(nanos(Timespec { tv_sec: 1, tv_nsec: 5 }), Some(Nanos(1_000_000_005)));
        assert_eq!(nanos(Timespec { tv_sec: -1, tv_nsec: 0 }), None);
        assert_eq!(nanos(Timespec { tv_sec: 0, tv_nsec: SECOND }), None);
        assert_eq!(nanos(Timespec { tv_sec: i64::MAX, tv_nsec: 0 }), Some(Nanos::MAX));
        assert_eq!(nanos_of_timeval(Timeval { tv_sec: 0, tv_usec: 1_000_000 }), None);
    }

    #[test]
    fn spans_survive_the_way_out_and_back() {
        let span = Nanos(12_345_678_901_234);
        assert_eq!(nanos(timespec(span)), Some(span));
    }
}
