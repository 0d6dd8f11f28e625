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
use core::sync::atomic::{AtomicBool, Ordering};

use sync::{Rank, SpinLock, WaitQueue};
use types::Nanos;

use crate::{File, FileType, Metadata, PollEvents, Result, VfsError, anonymous};

/// The clock a timer runs by, and whoever calls [`TimerFd::expire`] when it is due.
pub trait TimerClock: Send + Sync {
    /// Now, as times of that base count it. What is relative does not change when the clock is set.
    fn now(&self, base: TimerBase) -> Nanos;
    /// Calls [`TimerFd::expire`] at `deadline`, and no more at the one asked for before; `None`: not at all. Called in
    /// no lock. Doing it late or once too often does no harm.
    fn arm(&self, timer: &Weak<TimerFd>, deadline: Option<(Nanos, TimerBase)>);
    /// Calls [`TimerFd::cancel`] from now on whenever the clock is set. Asked for once.
    ///
    /// # Errors
    /// `NoMemory`.
    fn watch(&self, timer: &Weak<TimerFd>) -> Result<()>;
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

/// What becomes of a timer with [`TimerBase::Absolute`] when its clock is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnSet {
    /// Nothing but that it is due earlier or later.
    GoOn,
    /// Who waits for it is told (TFD_TIMER_CANCEL_ON_SET).
    Cancel,
}

/// A timer behind a descriptor.
pub struct TimerFd {
    this: Weak<Self>,
    clock: Arc<dyn TimerClock>,
    number: u64,
    /// The clock tells when it is set.
    watched: AtomicBool,
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
    /// What the deadline counts from.
    base: TimerBase,
    on_set: OnSet,
    /// The clock was set since somebody was told.
    cancelled: bool,
}

impl State {
    /// Whether somebody has to be told that the clock was set, who is told by that.
    fn take_cancelled(&mut self) -> bool {
        self.on_set == OnSet::Cancel && core::mem::take(&mut self.cancelled)
    }

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

    fn armed(&self) -> Option<(Nanos, TimerBase)> {
        self.deadline.filter(|_| !self.expired).map(|deadline| (deadline, self.base))
    }
}

impl TimerFd {
    /// A disarmed timer of that clock.
    pub fn new(clock: Arc<dyn TimerClock>) -> Arc<Self> {
        let state = State {
            deadline: None,
            interval: Nanos::ZERO,
            ticks: 0,
            expired: false,
            base: TimerBase::Relative,
            on_set: OnSet::GoOn,
            cancelled: false,
        };
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            clock,
            number: anonymous::next_ino(),
            watched: AtomicBool::new(false),
            state: SpinLock::new(Rank::PIPE, state),
            readable: Arc::new(WaitQueue::new()),
        })
    }

    /// timerfd_settime(2): arms or disarms it; what it was set to. Expiries not read yet are forgotten.
    ///
    /// # Errors
    /// `NoMemory`, nothing has changed; `Cancelled`, it is set: the clock was set before.
    pub fn set(&self, setting: TimerSetting, base: TimerBase, on_set: OnSet) -> Result<TimerSetting> {
        let on_set = if base == TimerBase::Absolute { on_set } else { OnSet::GoOn };
        if on_set == OnSet::Cancel && !self.watched.swap(true, Ordering::Relaxed) {
            self.clock.watch(&self.this).inspect_err(|_| self.watched.store(false, Ordering::Relaxed))?;
        }
        let now = self.clock.now(base);
        let (old, deadline, cancelled) = {
            let mut state = self.state.lock();
            let old = self.setting(&mut state);
            let deadline = match (setting.value, base) {
                (Nanos::ZERO, _) => None,
                (value, TimerBase::Relative) => Some(now.saturating_add(value)),
                (value, TimerBase::Absolute) => Some(value),
            };
            let cancelled = on_set == OnSet::Cancel && deadline.is_some() && state.cancelled;
            let interval = setting.interval;
            let still = state.cancelled && !cancelled;
            *state = State { deadline, interval, ticks: 0, expired: false, base, on_set, cancelled: still };
            (old, deadline, cancelled)
        };
        self.arm(deadline.map(|deadline| (deadline, base)));
        if deadline.is_some_and(|deadline| deadline <= now) {
            self.expire();
        }
        if cancelled { Err(VfsError::Cancelled) } else { Ok(old) }
    }

    /// The clock was set.
    pub fn cancel(&self) {
        let tell = {
            let mut state = self.state.lock();
            let tell = state.on_set == OnSet::Cancel;
            if tell {
                state.cancelled = true;
                state.ticks = state.ticks.saturating_add(1);
            }
            tell
        };
        if tell {
            self.readable.wake_all();
        }
    }

    /// timerfd_gettime(2).
    pub fn get(&self) -> TimerSetting {
        let (setting, armed) = {
            let mut state = self.state.lock();
            let setting = self.setting(&mut state);
            (setting, state.armed())
        };
        self.arm(armed);
        setting
    }

    /// Asks the clock for that moment, and for another if that has changed meanwhile: of several who ask at once the last one
    /// asks for what holds.
    fn arm(&self, moment: Option<(Nanos, TimerBase)>) {
        let mut moment = moment;
        loop {
            self.clock.arm(&self.this, moment);
            let now = self.state.lock().armed();
            if core::mem::replace(&mut moment, now) == now {
                return;
            }
        }
    }

    fn setting(&self, state: &mut State) -> TimerSetting {
        let now = self.clock.now(state.base);
        state.advance(now);
        state.rearm(now);
        let value = state.deadline.map_or(Nanos::ZERO, |deadline| Nanos(deadline.saturating_sub(now).0.max(1)));
        TimerSetting { value, interval: state.interval }
    }

    /// When [`TimerFd::expire`] must be called next.
    pub fn next_deadline(&self) -> Option<Nanos> {
        self.state.lock().armed().map(|(deadline, _)| deadline)
    }

    /// Looks at the clock and wakes readers if the timer is due.
    pub fn expire(&self) {
        let due = {
            let mut state = self.state.lock();
            let now = self.clock.now(state.base);
            state.advance(now)
        };
        if due {
            self.readable.wake_all();
        }
    }
}

impl File for TimerFd {
    fn read(&self, _offset: u64, out: &mut [u8]) -> Result<usize> {
        let slot = out.first_chunk_mut::<8>().ok_or(VfsError::InvalidArgument)?;
        let (ticks, armed) = {
            let mut state = self.state.lock();
            let now = self.clock.now(state.base);
            state.advance(now);
            if state.ticks == 0 {
                return Err(VfsError::WouldBlock);
            }
            let cancelled = state.take_cancelled();
            state.rearm(now);
            let ticks = core::mem::take(&mut state.ticks);
            (if cancelled { Err(VfsError::Cancelled) } else { Ok(ticks) }, state.armed())
        };
        if armed.is_some() {
            self.arm(armed);
        }
        let ticks = ticks?;
        *slot = ticks.to_le_bytes();
        Ok(8)
    }

    fn write(&self, _offset: u64, _data: &[u8]) -> Result<usize> {
        Err(VfsError::InvalidArgument)
    }

    fn poll(&self) -> PollEvents {
        let mut state = self.state.lock();
        let now = self.clock.now(state.base);
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
    use core::sync::atomic::AtomicU64;

    #[derive(Default)]
    struct FakeClock {
        now: AtomicU64,
        armed: AtomicU64,
        /// By how much what is absolute is ahead.
        offset: AtomicU64,
        watched: AtomicU64,
        /// Somebody else sets the timer to that while it is being armed, once.
        rival: AtomicU64,
    }

    impl TimerClock for FakeClock {
        fn now(&self, base: TimerBase) -> Nanos {
            let offset = if base == TimerBase::Absolute { self.offset.load(Ordering::SeqCst) } else { 0 };
            Nanos(self.now.load(Ordering::SeqCst) + offset)
        }

        fn arm(&self, timer: &Weak<TimerFd>, deadline: Option<(Nanos, TimerBase)>) {
            let rival = self.rival.swap(0, Ordering::SeqCst);
            if let Some(timer) = timer.upgrade().filter(|_| rival != 0) {
                timer.set(setting(rival, 0), TimerBase::Relative, OnSet::GoOn).unwrap();
            }
            self.armed.store(deadline.map_or(0, |(deadline, _)| deadline.0), Ordering::SeqCst);
        }

        fn watch(&self, _timer: &Weak<TimerFd>) -> Result<()> {
            self.watched.fetch_add(1, Ordering::SeqCst);
            Ok(())
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
        timer.set(setting(100, 0), TimerBase::Relative, OnSet::GoOn).unwrap();
        assert_eq!(clock.armed.load(Ordering::SeqCst), 1100);
        assert_eq!(read(&timer), Err(VfsError::WouldBlock));
        clock.now.store(1100, Ordering::SeqCst);
        assert_eq!((read(&timer), timer.get()), (Ok(1), setting(0, 0)));
        timer.set(setting(1150, 10), TimerBase::Absolute, OnSet::GoOn).unwrap();
        assert_eq!(timer.get(), setting(50, 10));
        clock.now.store(1175, Ordering::SeqCst);
        timer.expire();
        assert_eq!(timer.next_deadline(), None, "not before it is read");
        assert_eq!(timer.poll(), PollEvents::IN);
        assert_eq!(read(&timer), Ok(3));
        assert_eq!(clock.armed.load(Ordering::SeqCst), 1180);
        assert_eq!(timer.set(setting(0, 0), TimerBase::Relative, OnSet::GoOn), Ok(setting(5, 10)));
        assert_eq!((clock.armed.load(Ordering::SeqCst), timer.poll()), (0, PollEvents::empty()));
    }

    #[test]
    fn of_several_who_set_a_timer_the_last_one_is_heard() {
        let (clock, timer) = timer();
        clock.rival.store(70, Ordering::SeqCst);
        assert_eq!(timer.get(), setting(0, 0), "a look that began before");
        assert_eq!(clock.armed.load(Ordering::SeqCst), 1070);
        clock.rival.store(50, Ordering::SeqCst);
        timer.set(setting(20, 0), TimerBase::Relative, OnSet::GoOn).unwrap();
        assert_eq!(clock.armed.load(Ordering::SeqCst), 1050);
    }

    #[test]
    fn a_moment_in_the_past_is_due_at_once() {
        let (_, timer) = timer();
        timer.set(setting(1, 0), TimerBase::Absolute, OnSet::GoOn).unwrap();
        assert_eq!((timer.poll(), read(&timer)), (PollEvents::IN, Ok(1)));
    }

    #[test]
    fn a_clock_that_is_set_moves_what_is_absolute_and_cancels_on_demand() {
        let (clock, timer) = timer();
        timer.set(setting(50, 0), TimerBase::Relative, OnSet::Cancel).unwrap();
        clock.offset.store(500, Ordering::SeqCst);
        timer.cancel();
        assert_eq!((timer.poll(), timer.get().value), (PollEvents::empty(), Nanos(50)), "a span stays one");
        timer.set(setting(2000, 0), TimerBase::Absolute, OnSet::GoOn).unwrap();
        assert_eq!(timer.get().value, Nanos(500));
        timer.cancel();
        assert_eq!(timer.poll(), PollEvents::empty());
        for _ in 0..2 {
            timer.set(setting(2000, 0), TimerBase::Absolute, OnSet::Cancel).unwrap();
            timer.cancel();
            assert_eq!((timer.poll(), read(&timer)), (PollEvents::IN, Err(VfsError::Cancelled)));
            assert_eq!(read(&timer), Err(VfsError::WouldBlock), "it is told once");
            clock.now.fetch_add(100, Ordering::SeqCst);
        }
        assert_eq!(clock.watched.load(Ordering::SeqCst), 1);
        timer.cancel();
        let again = timer.set(setting(2000, 0), TimerBase::Absolute, OnSet::Cancel);
        assert_eq!((again, timer.get().value), (Err(VfsError::Cancelled), Nanos(300)));
        clock.offset.store(10_000, Ordering::SeqCst);
        timer.expire();
        assert_eq!(read(&timer), Ok(1));
    }

    #[test]
    fn random_reads_count_every_period() {
        for seed in 0..50 {
            let mut random = Random::new(seed);
            let (clock, timer) = timer();
            let (first, period) = (1 + random.below(50), 1 + random.below(20));
            timer.set(setting(first, period), TimerBase::Relative, OnSet::GoOn).unwrap();
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
