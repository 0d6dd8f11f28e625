//! Timers of a process that send signals: setitimer(2), alarm(2), timer_create(2).
//!
//! Pure state. Times come in as arguments; what expired comes out as signals to send, and the nearest deadline as a time at
//! which to ask again.

use alloc::collections::BTreeMap;
use core::ops::Bound;

use abi::Signal;
use types::{Nanos, Tid};

use crate::signal::{Charge, SigInfo};

/// Which interval timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItimerKind {
    /// Real time, SIGALRM; `alarm` uses it too.
    Real,
    /// CPU time in user mode, SIGVTALRM.
    Virtual,
    /// CPU time in all, SIGPROF.
    Prof,
}

impl ItimerKind {
    /// All three, as numbered by setitimer(2).
    pub const ALL: [Self; 3] = [Self::Real, Self::Virtual, Self::Prof];

    /// The kind of that number.
    pub fn from_number(number: u64) -> Option<Self> {
        Self::ALL.get(usize::try_from(number).ok()?).copied()
    }

    /// The signal it sends.
    pub const fn signal(self) -> Signal {
        match self {
            Self::Real => Signal::ALRM,
            Self::Virtual => Signal::VTALRM,
            Self::Prof => Signal::PROF,
        }
    }
}

/// A timer's time to its next expiry and its period; zero means disarmed and once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct TimerSetting {
    /// Time to the next expiry.
    pub value: Nanos,
    /// Period.
    pub interval: Nanos,
}

/// A deadline that may repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
struct Periodic {
    deadline: Option<Nanos>,
    interval: Nanos,
}

impl Periodic {
    fn setting(&self, now: Nanos) -> TimerSetting {
        // One that is due and has not been looked at yet is not disarmed: it shows the shortest time there is.
        let value = self.deadline.map_or(Nanos::ZERO, |deadline| (deadline - now).max(Nanos(1)));
        TimerSetting { value, interval: self.interval }
    }

    fn set(&mut self, wanted: TimerSetting, now: Nanos) {
        self.deadline = (wanted.value != Nanos::ZERO).then(|| now + wanted.value);
        self.interval = wanted.interval;
    }

    /// How often it expired up to `now`; moves on to the first expiry after `now`.
    fn expire(&mut self, now: Nanos) -> u64 {
        let Some(deadline) = self.deadline.filter(|deadline| *deadline <= now) else { return 0 };
        if self.interval == Nanos::ZERO {
            self.deadline = None;
            return 1;
        }
        let times = (now - deadline).0 / self.interval.0 + 1;
        self.deadline = Some(deadline + Nanos(self.interval.0.saturating_mul(times)));
        times
    }
}

/// The three interval timers. A forked process starts without any; exec keeps them.
#[derive(Clone, Debug, Default)]
pub struct IntervalTimers {
    timers: [Periodic; 3],
}

/// A process's clocks at one moment, each counting up from an arbitrary start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ItimerClocks {
    /// Monotonic time.
    pub real: Nanos,
    /// CPU time of the process in user mode.
    pub user: Nanos,
    /// CPU time of the process in all.
    pub cpu: Nanos,
}

impl ItimerClocks {
    const fn of(&self, kind: ItimerKind) -> Nanos {
        match kind {
            ItimerKind::Real => self.real,
            ItimerKind::Virtual => self.user,
            ItimerKind::Prof => self.cpu,
        }
    }
}

impl IntervalTimers {
    /// All disarmed.
    pub fn new() -> Self {
        Self::default()
    }

    /// `getitimer`.
    pub fn get(&self, kind: ItimerKind, clocks: &ItimerClocks) -> TimerSetting {
        self.timer(kind).setting(clocks.of(kind))
    }

    /// `setitimer`; the old setting.
    pub fn set(&mut self, kind: ItimerKind, wanted: TimerSetting, clocks: &ItimerClocks) -> TimerSetting {
        let old = self.get(kind, clocks);
        let [real, user, prof] = &mut self.timers;
        let timer = match kind {
            ItimerKind::Real => real,
            ItimerKind::Virtual => user,
            ItimerKind::Prof => prof,
        };
        timer.set(wanted, clocks.of(kind));
        old
    }

    /// `alarm`; seconds that were left of the old one, rounded as on Linux but never down to zero.
    pub fn alarm(&mut self, seconds: u32, clocks: &ItimerClocks) -> u64 {
        let wanted = TimerSetting { value: Nanos::from_secs(u64::from(seconds)), interval: Nanos::ZERO };
        let left = self.set(ItimerKind::Real, wanted, clocks).value;
        let rounds_up = left.subsec_nanos() >= 500_000_000 || left.secs() == 0 && left.0 != 0;
        left.secs() + u64::from(rounds_up)
    }

    /// The signals due: each timer at most once, however late.
    pub fn expire(&mut self, clocks: &ItimerClocks) -> impl Iterator<Item = Signal> {
        let mut kinds = ItimerKind::ALL.into_iter().zip(&mut self.timers);
        core::iter::from_fn(move || {
            kinds.find_map(|(kind, timer)| (timer.expire(clocks.of(kind)) > 0).then(|| kind.signal()))
        })
    }

    /// When `kind` is due next, on its own clock.
    pub const fn deadline(&self, kind: ItimerKind) -> Option<Nanos> {
        self.timer(kind).deadline
    }

    /// Whether one that counts CPU time is armed, so that ticks must be looked at.
    pub const fn counts_cpu_time(&self) -> bool {
        self.deadline(ItimerKind::Virtual).is_some() || self.deadline(ItimerKind::Prof).is_some()
    }

    const fn timer(&self, kind: ItimerKind) -> &Periodic {
        let [real, user, prof] = &self.timers;
        match kind {
            ItimerKind::Real => real,
            ItimerKind::Virtual => user,
            ItimerKind::Prof => prof,
        }
    }
}

/// Clock of a POSIX timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerClock {
    /// `CLOCK_REALTIME`, which can be set.
    Realtime,
    /// `CLOCK_MONOTONIC` and `CLOCK_BOOTTIME`.
    Monotonic,
    /// `CLOCK_TAI`.
    Tai,
    /// CPU time of the process.
    ProcessCpu,
    /// CPU time of one thread.
    ThreadCpu(Tid),
}

impl TimerClock {
    /// Whether it runs while the process does not.
    pub const fn is_wall(self) -> bool {
        matches!(self, Self::Realtime | Self::Monotonic | Self::Tai)
    }
}

/// What a POSIX timer does when it expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerNotify {
    /// Nothing (`SIGEV_NONE`).
    None,
    /// A signal to the process (`SIGEV_SIGNAL`; `SIGEV_THREAD` is that for the kernel).
    Process {
        /// Which.
        signal: Signal,
        /// Its value.
        value: u64,
    },
    /// A signal to one thread (`SIGEV_THREAD_ID`).
    Thread {
        /// Which thread.
        tid: Tid,
        /// Which signal.
        signal: Signal,
        /// Its value.
        value: u64,
    },
}

/// How the time of `timer_settime` is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerStart {
    /// From now.
    Relative,
    /// A time of the clock (`TIMER_ABSTIME`).
    Absolute,
}

/// Why a timer call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerError {
    /// No timer of that number (EINVAL).
    NoTimer,
    /// Too many timers (EAGAIN).
    TooMany,
}

/// A signal to send because a timer expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerSignal {
    /// The thread, or the process.
    pub thread: Option<Tid>,
    /// The signal; its overrun count is filled in at delivery.
    pub info: SigInfo,
}

/// The POSIX timers of a process. A forked or executed program has none.
#[derive(Debug, Default)]
pub struct PosixTimers {
    timers: BTreeMap<i32, PosixTimer>,
    last_id: i32,
}

#[derive(Debug)]
struct PosixTimer {
    clock: TimerClock,
    /// What the deadline counts in: a relative time on a clock that can be set does not move with it.
    base: TimerClock,
    notify: TimerNotify,
    periodic: Periodic,
    /// The signal has been sent and not delivered yet: further expiries are overruns.
    pending: bool,
    overruns: u64,
    last_overrun: i32,
    _charge: Option<Charge>,
}

impl PosixTimers {
    /// No timers.
    pub const fn new() -> Self {
        Self { timers: BTreeMap::new(), last_id: -1 }
    }

    /// `timer_create`: a disarmed timer. `charge` is its place in the user's `RLIMIT_SIGPENDING`; without notification none
    /// is needed. A timer without `SIGEV` has its number as value: the caller asks for [`PosixTimers::next_id`] before.
    ///
    /// # Errors
    /// [`TimerError::TooMany`] without a charge.
    pub fn create(
        &mut self,
        clock: TimerClock,
        notify: TimerNotify,
        charge: Option<Charge>,
    ) -> Result<i32, TimerError> {
        if charge.is_none() && notify != TimerNotify::None {
            return Err(TimerError::TooMany);
        }
        let id = self.next_id().ok_or(TimerError::TooMany)?;
        self.last_id = id;
        let timer = PosixTimer {
            clock,
            base: clock,
            notify,
            periodic: Periodic::default(),
            pending: false,
            overruns: 0,
            last_overrun: 0,
            _charge: charge,
        };
        self.timers.insert(id, timer);
        Ok(id)
    }

    /// The number the next timer will get.
    pub fn next_id(&self) -> Option<i32> {
        let after = self.last_id.checked_add(1).unwrap_or(0);
        if !self.timers.contains_key(&after) {
            return Some(after);
        }
        // Numbers have wrapped: the first gap.
        (0..=i32::MAX).zip(self.timers.keys()).find(|(free, used)| free != *used).map(|(free, _)| free)
    }

    /// `timer_delete`.
    ///
    /// # Errors
    /// [`TimerError::NoTimer`].
    pub fn delete(&mut self, id: i32) -> Result<(), TimerError> {
        self.timers.remove(&id).map(drop).ok_or(TimerError::NoTimer)
    }

    /// The clock of a timer.
    ///
    /// # Errors
    /// [`TimerError::NoTimer`].
    pub fn clock(&self, id: i32) -> Result<TimerClock, TimerError> {
        self.timers.get(&id).map(|timer| timer.clock).ok_or(TimerError::NoTimer)
    }

    /// `timer_gettime`. `now` reads a clock.
    ///
    /// # Errors
    /// [`TimerError::NoTimer`].
    pub fn get(&self, id: i32, now: &dyn Fn(TimerClock) -> Nanos) -> Result<TimerSetting, TimerError> {
        let timer = self.timers.get(&id).ok_or(TimerError::NoTimer)?;
        let now = now(timer.base);
        let mut shown = timer.periodic;
        if timer.notify == TimerNotify::None {
            // Nobody else moves it on.
            shown.expire(now);
        }
        Ok(shown.setting(now))
    }

    /// `timer_settime`; the old setting.
    ///
    /// # Errors
    /// [`TimerError::NoTimer`].
    pub fn set(
        &mut self,
        id: i32,
        start: TimerStart,
        wanted: TimerSetting,
        now: &dyn Fn(TimerClock) -> Nanos,
    ) -> Result<TimerSetting, TimerError> {
        let old = self.get(id, now)?;
        let timer = self.timers.get_mut(&id).ok_or(TimerError::NoTimer)?;
        timer.base = match (start, timer.clock) {
            (TimerStart::Relative, TimerClock::Realtime | TimerClock::Tai) => TimerClock::Monotonic,
            (_, clock) => clock,
        };
        let from = match start {
            TimerStart::Relative => now(timer.base),
            TimerStart::Absolute => Nanos::ZERO,
        };
        // One that is disarmed keeps no interval.
        let armed = wanted.value != Nanos::ZERO;
        let interval = if armed { wanted.interval } else { Nanos::ZERO };
        timer.periodic.set(TimerSetting { interval, ..wanted }, from);
        timer.pending = false;
        timer.overruns = 0;
        timer.last_overrun = 0;
        Ok(old)
    }

    /// `timer_getoverrun`: overruns of the last delivered signal.
    ///
    /// # Errors
    /// [`TimerError::NoTimer`].
    pub fn overrun(&self, id: i32) -> Result<i32, TimerError> {
        self.timers.get(&id).map(|timer| timer.last_overrun).ok_or(TimerError::NoTimer)
    }

    /// The next signal due at `now`, to be sent; call until there is none. Start with `after` = `None`, then give the timer
    /// id of the last one, so that each timer comes once.
    pub fn expire(&mut self, after: Option<i32>, now: &dyn Fn(TimerClock) -> Nanos) -> Option<TimerSignal> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.timers.range_mut((from, Bound::Unbounded)).find_map(|(id, timer)| timer.expire(*id, now))
    }

    /// The signal of timer `id` is being delivered or accepted: its overrun count (`si_overrun`).
    pub fn delivered(&mut self, id: i32, now: &dyn Fn(TimerClock) -> Nanos) -> i32 {
        let Some(timer) = self.timers.get_mut(&id) else { return 0 };
        timer.count(now);
        timer.pending = false;
        timer.last_overrun = i32::try_from(core::mem::take(&mut timer.overruns)).unwrap_or(i32::MAX);
        timer.last_overrun
    }

    /// The signal of timer `id` was not sent after all (the process ignores it).
    pub fn dropped(&mut self, id: i32) {
        if let Some(timer) = self.timers.get_mut(&id) {
            timer.pending = false;
            timer.overruns = 0;
        }
    }

    /// When the next timer on a wall clock is due, in monotonic time.
    pub fn next_deadline(&self, now: &dyn Fn(TimerClock) -> Nanos) -> Option<Nanos> {
        let monotonic = now(TimerClock::Monotonic);
        let armed = self.timers.values().filter(|timer| timer.base.is_wall() && timer.notify != TimerNotify::None);
        armed.filter_map(|timer| Some(monotonic + (timer.periodic.deadline? - now(timer.base)))).min()
    }

    /// Whether one that counts CPU time is armed, so that ticks must be looked at.
    pub fn counts_cpu_time(&self) -> bool {
        self.timers.values().any(|timer| !timer.base.is_wall() && timer.periodic.deadline.is_some())
    }

    /// Number of timers.
    pub fn len(&self) -> usize {
        self.timers.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.timers.is_empty()
    }
}

impl PosixTimer {
    /// Counts expiries up to now as overruns; how many there were.
    fn count(&mut self, now: &dyn Fn(TimerClock) -> Nanos) -> u64 {
        let times = self.periodic.expire(now(self.base));
        self.overruns = self.overruns.saturating_add(times);
        times
    }

    fn expire(&mut self, id: i32, now: &dyn Fn(TimerClock) -> Nanos) -> Option<TimerSignal> {
        let (thread, signal, value) = match self.notify {
            TimerNotify::None => return None,
            TimerNotify::Process { signal, value } => (None, signal, value),
            TimerNotify::Thread { tid, signal, value } => (Some(tid), signal, value),
        };
        if self.periodic.deadline.is_none() || self.count(now) == 0 || self.pending {
            return None;
        }
        self.pending = true;
        self.overruns = self.overruns.saturating_sub(1);
        Some(TimerSignal { thread, info: SigInfo::timer(signal, id, 0, value) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::SignalQuota;
    use core::cell::Cell;
    use std::vec::Vec;

    fn clocks(real: u64, user: u64, cpu: u64) -> ItimerClocks {
        ItimerClocks { real: Nanos(real), user: Nanos(user), cpu: Nanos(cpu) }
    }

    fn setting(value: u64, interval: u64) -> TimerSetting {
        TimerSetting { value: Nanos(value), interval: Nanos(interval) }
    }

    #[test]
    fn each_interval_timer_counts_its_own_clock() {
        let mut timers = IntervalTimers::new();
        let start = clocks(1000, 10, 20);
        timers.set(ItimerKind::Real, setting(100, 0), &start);
        timers.set(ItimerKind::Virtual, setting(5, 5), &start);
        timers.set(ItimerKind::Prof, setting(5, 0), &start);
        assert_eq!(timers.expire(&clocks(1099, 14, 24)).count(), 0);
        assert!(timers.expire(&clocks(1100, 27, 24)).eq([Signal::ALRM, Signal::VTALRM]));
        assert_eq!(timers.get(ItimerKind::Virtual, &clocks(0, 27, 0)), setting(3, 5));
        assert_eq!(timers.get(ItimerKind::Real, &clocks(1100, 0, 0)), setting(0, 0));
        assert!(timers.expire(&clocks(2000, 27, 25)).eq([Signal::PROF]));
        assert!(timers.counts_cpu_time());
    }

    #[test]
    fn alarm_tells_the_rounded_rest_and_never_zero() {
        let mut timers = IntervalTimers::new();
        assert_eq!(timers.alarm(10, &clocks(0, 0, 0)), 0);
        assert_eq!(timers.alarm(10, &clocks(8_600_000_000, 0, 0)), 1);
        assert_eq!(timers.alarm(10, &clocks(8_600_000_000 + 9_900_000_000, 0, 0)), 1);
        assert_eq!(timers.alarm(0, &clocks(18_500_000_000 + 400_000_000, 0, 0)), 10);
        assert_eq!(timers.alarm(0, &clocks(20_000_000_000, 0, 0)), 0);
    }

    fn timer(timers: &mut PosixTimers, clock: TimerClock) -> i32 {
        let charge = SignalQuota::new().charge(u64::MAX);
        timers.create(clock, TimerNotify::Process { signal: Signal::USR1, value: 7 }, charge).unwrap()
    }

    fn signals(timers: &mut PosixTimers, now: &dyn Fn(TimerClock) -> Nanos) -> Vec<i32> {
        let mut found = Vec::new();
        while let Some(signal) = timers.expire(found.last().copied(), now) {
            found.push(signal.info.timer_id());
        }
        found
    }

    #[test]
    fn expiries_while_the_signal_waits_are_overruns() {
        let mut timers = PosixTimers::new();
        let id = timer(&mut timers, TimerClock::Monotonic);
        let time = Cell::new(0);
        let now = |_| Nanos(time.get());
        timers.set(id, TimerStart::Relative, setting(10, 10), &now).unwrap();
        time.set(25);
        assert_eq!(signals(&mut timers, &now), [id], "two expiries, one signal");
        time.set(41);
        assert_eq!(signals(&mut timers, &now), []);
        time.set(52);
        assert_eq!(timers.delivered(id, &now), 4, "at 20, 30, 40 and 50");
        assert_eq!(timers.overrun(id), Ok(4));
        assert_eq!(timers.next_deadline(&now), Some(Nanos(60)));
        time.set(60);
        assert_eq!(signals(&mut timers, &now), [id]);
        assert_eq!(timers.delivered(id, &now), 0);
    }

    #[test]
    fn an_absolute_timer_follows_its_clock_and_a_relative_one_does_not() {
        let mut timers = PosixTimers::new();
        let absolute = timer(&mut timers, TimerClock::Realtime);
        let relative = timer(&mut timers, TimerClock::Realtime);
        let offset = Cell::new(1000);
        let now = |clock| Nanos(if clock == TimerClock::Realtime { 50 + offset.get() } else { 50 });
        timers.set(absolute, TimerStart::Absolute, setting(1100, 0), &now).unwrap();
        timers.set(relative, TimerStart::Relative, setting(80, 0), &now).unwrap();
        assert_eq!(timers.next_deadline(&now), Some(Nanos(100)));
        offset.set(1050);
        assert_eq!(signals(&mut timers, &now), [absolute]);
        assert_eq!(timers.next_deadline(&now), Some(Nanos(130)));
    }

    #[test]
    fn cpu_timers_do_not_ask_for_wall_time() {
        let mut timers = PosixTimers::new();
        let id = timer(&mut timers, TimerClock::ThreadCpu(Tid(9)));
        let now = |clock| if clock == TimerClock::ThreadCpu(Tid(9)) { Nanos(30) } else { Nanos(0) };
        timers.set(id, TimerStart::Absolute, setting(40, 0), &now).unwrap();
        assert_eq!(timers.next_deadline(&now), None);
        assert!(timers.counts_cpu_time());
        assert_eq!(signals(&mut timers, &|_| Nanos(40)), [id]);
        assert!(!timers.counts_cpu_time());
    }

    #[test]
    fn a_timer_without_notification_still_shows_its_time() {
        let mut timers = PosixTimers::new();
        let id = timers.create(TimerClock::Monotonic, TimerNotify::None, None).unwrap();
        timers.set(id, TimerStart::Relative, setting(10, 100), &|_| Nanos(0)).unwrap();
        assert_eq!(timers.get(id, &|_| Nanos(4)), Ok(setting(6, 100)));
        assert_eq!(timers.get(id, &|_| Nanos(250)), Ok(setting(60, 100)));
        assert_eq!(signals(&mut timers, &|_| Nanos(250)), []);
        timers.set(id, TimerStart::Relative, setting(10, 0), &|_| Nanos(0)).unwrap();
        assert_eq!(timers.get(id, &|_| Nanos(11)), Ok(setting(0, 0)));
    }

    #[test]
    fn numbers_are_reused_only_after_wrapping_and_the_quota_is_returned() {
        let quota = SignalQuota::new();
        let mut timers = PosixTimers::new();
        let notify = TimerNotify::Process { signal: Signal::USR1, value: 0 };
        assert_eq!(timers.create(TimerClock::Monotonic, notify, quota.charge(2)), Ok(0));
        assert_eq!(timers.create(TimerClock::Monotonic, notify, quota.charge(2)), Ok(1));
        assert_eq!(timers.create(TimerClock::Monotonic, notify, quota.charge(2)), Err(TimerError::TooMany));
        assert_eq!(timers.delete(0), Ok(()));
        assert_eq!(timers.delete(0), Err(TimerError::NoTimer));
        assert_eq!(quota.queued(), 1);
        assert_eq!(timers.create(TimerClock::Monotonic, notify, quota.charge(2)), Ok(2));
        assert_eq!(timers.len(), 2);
    }
}
