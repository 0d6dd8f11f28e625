//! timerfd_create(2): a timer to wait on.
//!
//! ```text
//!            set                     due                   read
//!  disarmed ─────► armed(deadline) ──────► expired(ticks) ──────► armed(next) or disarmed
//! ```
//! An expired periodic timer is armed again only when somebody reads it, with the periods missed meanwhile counted then:
//! a timer nobody reads costs nothing however short its period.

use alloc::sync::{Arc, Weak};
use core::fmt;

use sync::{Rank, SpinLock, WaitQueue};
use types::Nanos;

use crate::{File, FileType, Metadata, PollEvents, Result, VfsError, anonymous};

/// The clock a timer runs by, and whoever calls [`TimerFd::expire`] when it is due.
pub trait TimerClock: Send + Sync {
    /// Now.
    fn now(&self) -> Nanos;
    /// Calls [`TimerFd::expire`] at `deadline`, and no more at the one asked for before; `None`: not at all. Called in
    /// no lock. Doing it late or once too often does no harm.
    fn arm(&self, timer: &Weak<TimerFd>, deadline: Option<Nanos>);
}

/// A timer's setting: time to the next expiry (zero: disarmed) and period (zero: once).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct TimerSetting {
    /// Time left, or the moment with [`TimerBase::Absolute`].
    pub value: Nanos,
    /// Period.
    pub interval: Nanos,
}

/// What [`TimerSetting::value`] counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerBase {
    /// Now.
    Relative,
    /// The clock's zero (TFD_TIMER_ABSTIME).
    Absolute,
}

/// A timer behind a descriptor.
pub struct TimerFd {
    this: Weak<Self>,
    clock: Arc<dyn TimerClock>,
    number: u64,
    state: SpinLock<State>,
    readable: Arc<WaitQueue>,
}

#[derive(Clone, Copy)]
struct State {
    /// Next expiry; once expired, the one that was reached.
    deadline: Option<Nanos>,
    interval: Nanos,
    /// Expiries not read yet.
    ticks: u64,
    /// The deadline was reached and is counted in `ticks`.
    expired: bool,
}

impl State {
    /// Counts the deadline if it was reached; whether it was just now.
    fn advance(&mut self, now: Nanos) -> bool {
        let due = !self.expired && self.deadline.is_some_and(|deadline| deadline <= now);
        if due {
            self.expired = true;
            self.ticks += 1;
        }
        due
    }

    /// After an expiry: counts the periods missed since and arms the next one.
    fn rearm(&mut self, now: Nanos) {
        if !self.expired {
            return;
        }
        self.expired = false;
        let Some(deadline) = self.deadline.filter(|_| self.interval.0 > 0) else {
            self.deadline = None;
            return;
        };
        let missed = now.saturating_sub(deadline).0 / self.interval.0;
        self.ticks = self.ticks.saturating_add(missed);
        let periods = self.interval.0.saturating_mul(missed.saturating_add(1));
        self.deadline = Some(deadline.saturating_add(Nanos(periods)));
    }

    fn armed(&self) -> Option<Nanos> {
        self.deadline.filter(|_| !self.expired)
    }
}

impl TimerFd {
    /// A disarmed timer of that clock.
    pub fn new(clock: Arc<dyn TimerClock>) -> Arc<Self> {
        let state = State { deadline: None, interval: Nanos::ZERO, ticks: 0, expired: false };
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            clock,
            number: anonymous::next_ino(),
            state: SpinLock::new(Rank::PIPE, state),
            readable: Arc::new(WaitQueue::new()),
        })
    }

    /// timerfd_settime(2): arms or disarms it; what it was set to. Expiries not read yet are forgotten.
    pub fn set(&self, setting: TimerSetting, base: TimerBase) -> TimerSetting {
        let now = self.clock.now();
        let (old, deadline) = {
            let mut state = self.state.lock();
            let old = Self::setting(&mut state, now);
            let deadline = match (setting.value, base) {
                (Nanos::ZERO, _) => None,
                (value, TimerBase::Relative) => Some(now.saturating_add(value)),
                (value, TimerBase::Absolute) => Some(value),
            };
            *state = State { deadline, interval: setting.interval, ticks: 0, expired: false };
            (old, deadline)
        };
        self.clock.arm(&self.this, deadline);
        if deadline.is_some_and(|deadline| deadline <= now) {
            self.expire();
        }
        old
    }

    /// timerfd_gettime(2).
    pub fn get(&self) -> TimerSetting {
        let now = self.clock.now();
        let (setting, armed) = {
            let mut state = self.state.lock();
            let setting = Self::setting(&mut state, now);
            (setting, state.armed())
        };
        self.clock.arm(&self.this, armed);
        setting
    }

    fn setting(state: &mut State, now: Nanos) -> TimerSetting {
        state.advance(now);
        state.rearm(now);
        let value = state.deadline.map_or(Nanos::ZERO, |deadline| Nanos(deadline.saturating_sub(now).0.max(1)));
        TimerSetting { value, interval: state.interval }
    }

    /// When [`TimerFd::expire`] must be called next.
    pub fn next_deadline(&self) -> Option<Nanos> {
        self.state.lock().armed()
    }

    /// Looks at the clock and wakes readers if the timer is due.
    pub fn expire(&self) {
        let now = self.clock.now();
        let due = self.state.lock().advance(now);
        if due {
            self.readable.wake_all();
        }
    }
}

impl File for TimerFd {
    fn read(&self, _offset: u64, out: &mut [u8]) -> Result<usize> {
        let slot = out.first_chunk_mut::<8>().ok_or(VfsError::InvalidArgument)?;
        let now = self.clock.now();
        let (ticks, armed) = {
            let mut state = self.state.lock();
            state.advance(now);
            if state.ticks == 0 {
                return Err(VfsError::WouldBlock);
            }
            state.rearm(now);
            (core::mem::take(&mut state.ticks), state.armed())
        };
        if armed.is_some() {
            self.clock.arm(&self.this, armed);
        }
        *slot = ticks.to_le_bytes();
        Ok(8)
    }

    fn write(&self, _offset: u64, _data: &[u8]) -> Result<usize> {
        Err(VfsError::InvalidArgument)
    }

    fn poll(&self) -> PollEvents {
        let now = self.clock.now();
        let mut state = self.state.lock();
        state.advance(now);
        if state.ticks > 0 { PollEvents::IN } else { PollEvents::empty() }
    }

    fn wait_queues(&self, interest: PollEvents, visit: &mut dyn FnMut(&Arc<WaitQueue>)) {
        if interest.intersects(PollEvents::READABLE) {
            visit(&self.readable);
        }
    }

    fn describe(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str("anon_inode:[timerfd]")
    }

    fn metadata(&self) -> Metadata {
        Metadata { ino: self.number, ..Metadata::new(FileType::Regular, 0o600) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;
    use core::sync::atomic::{AtomicU64, Ordering};

    #[derive(Default)]
    struct FakeClock {
        now: AtomicU64,
        armed: AtomicU64,
    }

    impl TimerClock for FakeClock {
        fn now(&self) -> Nanos {
            Nanos(self.now.load(Ordering::SeqCst))
        }

        fn arm(&self, _timer: &Weak<TimerFd>, deadline: Option<Nanos>) {
            self.armed.store(deadline.map_or(0, |deadline| deadline.0), Ordering::SeqCst);
        }
    }

    fn timer() -> (Arc<FakeClock>, Arc<TimerFd>) {
        let clock = Arc::new(FakeClock::default());
        clock.now.store(1000, Ordering::SeqCst);
        (clock.clone(), TimerFd::new(clock))
    }

    fn read(timer: &TimerFd) -> Result<u64> {
        let mut out = [0; 8];
        timer.read(0, &mut out).map(|_| u64::from_le_bytes(out))
    }

    const fn setting(value: u64, interval: u64) -> TimerSetting {
        TimerSetting { value: Nanos(value), interval: Nanos(interval) }
    }

    #[test]
    fn a_timer_expires_once_or_again_and_again() {
        let (clock, timer) = timer();
        timer.set(setting(100, 0), TimerBase::Relative);
        assert_eq!(clock.armed.load(Ordering::SeqCst), 1100);
        assert_eq!(read(&timer), Err(VfsError::WouldBlock));
        clock.now.store(1100, Ordering::SeqCst);
        assert_eq!((read(&timer), timer.get()), (Ok(1), setting(0, 0)));
        timer.set(setting(1150, 10), TimerBase::Absolute);
        assert_eq!(timer.get(), setting(50, 10));
        clock.now.store(1175, Ordering::SeqCst);
        timer.expire();
        assert_eq!(timer.next_deadline(), None, "not before it is read");
        assert_eq!(timer.poll(), PollEvents::IN);
        assert_eq!(read(&timer), Ok(3));
        assert_eq!(clock.armed.load(Ordering::SeqCst), 1180);
        assert_eq!(timer.set(setting(0, 0), TimerBase::Relative), setting(5, 10));
        assert_eq!((clock.armed.load(Ordering::SeqCst), timer.poll()), (0, PollEvents::empty()));
    }

    #[test]
    fn a_moment_in_the_past_is_due_at_once() {
        let (_, timer) = timer();
        timer.set(setting(1, 0), TimerBase::Absolute);
        assert_eq!((timer.poll(), read(&timer)), (PollEvents::IN, Ok(1)));
    }

    #[test]
    fn random_reads_count_every_period() {
        for seed in 0..50 {
            let mut random = Random::new(seed);
            let (clock, timer) = timer();
            let (first, period) = (1 + random.below(50), 1 + random.below(20));
            timer.set(setting(first, period), TimerBase::Relative);
            let mut counted = 0;
            let mut now = 1000;
            for _ in 0..200 {
                now += random.below(60);
                clock.now.store(now, Ordering::SeqCst);
                match random.below(3) {
                    0 => timer.expire(),
                    1 => drop(timer.get()),
                    _ => counted += read(&timer).unwrap_or(0),
                }
            }
            counted += read(&timer).unwrap_or(0);
            let expected = if now < 1000 + first { 0 } else { (now - 1000 - first) / period + 1 };
            assert_eq!(counted, expected, "seed {seed}");
        }
    }
}
