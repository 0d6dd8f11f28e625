//! timer_create and its family: timers of a process that send a signal of its choice.
//!
//! What is due is found by [`super::timers::expire`]; here are the calls and the clocks.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::linux::general as linux;
use abi::{Errno, Itimerspec, Signal, abi_struct};
use process::signal::{SI_TIMER, SigInfo};
use process::timers::{PosixTimers, TimerClock, TimerNotify, TimerSetting, TimerSignal, TimerStart};
use types::{Nanos, Tid};

use crate::clock::{nanos, timespec};
use crate::{Caller, Process, SysResult, System};

use super::timers::arm;

abi_struct! {
    /// `struct sigevent` of timer_create(2).
    pub struct Sigevent {
        /// Value that the signal carries.
        pub value: u64,
        /// Number of the signal.
        pub signo: i32,
        /// One of `SIGEV_*`.
        pub notify: i32,
        /// The thread, with `SIGEV_THREAD_ID`.
        pub thread: i32,
        /// Used by the C library.
        pub pad: [u32; 11],
    }
}

/// The clocks of a process at one moment: read before its timers are locked.
pub(super) struct Clocks {
    monotonic: Nanos,
    real: Nanos,
    process: Nanos,
    threads: Vec<(Tid, Nanos)>,
}

impl Clocks {
    /// Reads them; those of threads only if the process has such timers at all.
    pub(super) fn read(system: &System, process: &Process) -> Self {
        let mut threads = Vec::new();
        let wanted = process.existing_timers().is_some_and(|timers| timers.lock().posix.counts_cpu_time());
        if wanted && threads.try_reserve(process.thread_count()).is_ok() {
            process.for_each_thread(|thread| {
                if threads.len() < threads.capacity() {
                    threads.push((thread.tid(), thread.usage().cpu_time()));
                }
            });
        }
        Self {
            monotonic: system.platform.now(),
            real: Nanos(u64::try_from(system.wall_clock.now_ns()).unwrap_or(0)),
            process: process.usage().cpu_time(),
            threads,
        }
    }

    /// Adds the clock of one thread, for a timer that is about to be set.
    fn with_thread(mut self, caller: Caller<'_>, clock: TimerClock) -> Self {
        if let TimerClock::ThreadCpu(tid) = clock
            && let Some(thread) = caller.process.thread(tid)
            && self.threads.iter().all(|(known, _)| *known != tid)
        {
            self.threads.push((tid, thread.usage().cpu_time()));
        }
        self
    }

    pub(super) fn now(&self, clock: TimerClock) -> Nanos {
        match clock {
            TimerClock::Realtime | TimerClock::Tai => self.real,
            TimerClock::Monotonic => self.monotonic,
            TimerClock::ProcessCpu => self.process,
            // The clock of a thread that has ended stands still.
            TimerClock::ThreadCpu(tid) => {
                self.threads.iter().find(|(known, _)| *known == tid).map_or(Nanos::ZERO, |(_, time)| *time)
            }
        }
    }
}

pub(crate) fn sys_timer_create(caller: Caller<'_>, clock: u64, event: u64, out: u64) -> SysResult {
    let clock = decode_clock(caller, clock as u32)?;
    let event = match event {
        0 => None,
        address => Some(caller.memory().read::<Sigevent>(address)?),
    };
    let user = caller.thread.identity().user.clone();
    let charge = user.signals().charge(caller.process.limit(process::Resource::PendingSignals));
    let notify = event.map(|event| decode_event(caller, &event)).transpose()?;
    let id = {
        let mut timers = caller.process.timers().lock();
        let next = timers.posix.next_id().ok_or(Errno::EAGAIN)?;
        // Without an event: SIGALRM with the timer's number as its value.
        let alarm = TimerNotify::Process { signal: Signal::ALRM, value: u64::from(next as u32) };
        timers.posix.create(clock, notify.unwrap_or(alarm), charge)?
    };
    if let Err(error) = caller.memory().write(out, &id) {
        caller.process.timers().lock().posix.delete(id)?;
        return Err(error);
    }
    Ok(0)
}

pub(crate) fn sys_timer_settime(caller: Caller<'_>, id: u64, flags: u64, new: u64, old: u64) -> SysResult {
    if new == 0 {
        return Err(Errno::EINVAL.into());
    }
    let given: Itimerspec = caller.memory().read(new)?;
    let wanted = TimerSetting {
        value: nanos(given.it_value).ok_or(Errno::EINVAL)?,
        interval: nanos(given.it_interval).ok_or(Errno::EINVAL)?,
    };
    let start = if flags as u32 & linux::TIMER_ABSTIME != 0 { TimerStart::Absolute } else { TimerStart::Relative };
    let clocks = clocks_for(caller, id)?;
    let before = caller.process.timers().lock().posix.set(id as i32, start, wanted, &|clock| clocks.now(clock))?;
    arm(caller.system, caller.process);
    caller.memory().write_opt(old, &encode(before))?;
    Ok(0)
}

pub(crate) fn sys_timer_gettime(caller: Caller<'_>, id: u64, out: u64) -> SysResult {
    let clocks = clocks_for(caller, id)?;
    let setting = caller.process.timers().lock().posix.get(id as i32, &|clock| clocks.now(clock))?;
    caller.memory().write(out, &encode(setting))?;
    Ok(0)
}

pub(crate) fn sys_timer_getoverrun(caller: Caller<'_>, id: u64) -> SysResult {
    Ok(caller.process.timers().lock().posix.overrun(id as i32)? as u64)
}

pub(crate) fn sys_timer_delete(caller: Caller<'_>, id: u64) -> SysResult {
    caller.process.timers().lock().posix.delete(id as i32)?;
    Ok(0)
}

/// A signal has been taken for the program: if a timer sent it, the timer goes on, and its overruns are told.
pub(crate) fn taken(caller: Caller<'_>, info: SigInfo) -> SigInfo {
    taken_from(caller.system, caller.process, info)
}

/// The same for a reader that is not the caller (signalfd).
pub(crate) fn taken_from(system: &System, process: &Process, info: SigInfo) -> SigInfo {
    if info.code != SI_TIMER {
        return info;
    }
    let clocks = Clocks::read(system, process);
    let overrun = process.timers().lock().posix.delivered(info.timer_id(), &|clock| clocks.now(clock));
    info.with_overrun(overrun)
}

/// Sends what is due. A timer whose signal the process ignores goes on as if it had been delivered.
pub(super) fn send_due(system: &'static System, process: &Arc<Process>) {
    if process.existing_timers().is_none_or(|timers| timers.lock().posix.is_empty()) {
        return;
    }
    let clocks = Clocks::read(system, process);
    let mut last = None;
    loop {
        let due = process.timers().lock().posix.expire(last, &|clock| clocks.now(clock));
        let Some(TimerSignal { thread, info }) = due else { return };
        last = Some(info.timer_id());
        let effects = match thread {
            None => Some(system.processes.signal_process(process, info)),
            // A thread that has ended gets nothing.
            Some(tid) => {
                process.thread(tid).and_then(|thread| system.processes.signal_thread(None, &thread, Some(info)).ok())
            }
        };
        if process.signals().with_actions(|actions| actions.ignores(info.signal)) {
            process.timers().lock().posix.dropped(info.timer_id());
        }
        if let Some(effects) = effects {
            system.run(effects);
        }
    }
}

/// When the timers must be looked at next. The ones that count CPU time have no moment of their own: they are looked at
/// as often as a time slice ends.
pub(super) fn next_look(posix: &PosixTimers, clocks: &Clocks) -> Option<Nanos> {
    let on_cpu = posix.counts_cpu_time().then(|| clocks.monotonic + Nanos::from_millis(4));
    let on_wall = posix.next_deadline(&|clock| clocks.now(clock));
    [on_cpu, on_wall].into_iter().flatten().min()
}

fn clocks_for(caller: Caller<'_>, id: u64) -> SysResult<Clocks> {
    let clock = caller.process.timers().lock().posix.clock(id as i32)?;
    Ok(Clocks::read(caller.system, caller.process).with_thread(caller, clock))
}

fn decode_clock(caller: Caller<'_>, id: u32) -> SysResult<TimerClock> {
    Ok(match id {
        linux::CLOCK_REALTIME | linux::CLOCK_REALTIME_ALARM => TimerClock::Realtime,
        linux::CLOCK_MONOTONIC | linux::CLOCK_BOOTTIME | linux::CLOCK_BOOTTIME_ALARM => TimerClock::Monotonic,
        linux::CLOCK_TAI => TimerClock::Tai,
        linux::CLOCK_PROCESS_CPUTIME_ID => TimerClock::ProcessCpu,
        linux::CLOCK_THREAD_CPUTIME_ID => TimerClock::ThreadCpu(caller.thread.tid()),
        linux::CLOCK_MONOTONIC_RAW | linux::CLOCK_REALTIME_COARSE | linux::CLOCK_MONOTONIC_COARSE => {
            return Err(Errno::EOPNOTSUPP.into());
        }
        id => match super::time::Clock::decode(caller, u64::from(id))? {
            super::time::Clock::ThreadCpu(tid) => TimerClock::ThreadCpu(tid),
            super::time::Clock::ProcessCpu(pid) if pid == caller.process.pid() => TimerClock::ProcessCpu,
            // Timers on the CPU time of another process are not offered.
            _ => return Err(Errno::EINVAL.into()),
        },
    })
}

fn decode_event(caller: Caller<'_>, event: &Sigevent) -> SysResult<TimerNotify> {
    let signal = || Signal::new(event.signo as u64).ok_or(Errno::EINVAL);
    let value = event.value;
    Ok(match event.notify as u32 {
        linux::SIGEV_NONE => TimerNotify::None,
        linux::SIGEV_SIGNAL | linux::SIGEV_THREAD => TimerNotify::Process { signal: signal()?, value },
        linux::SIGEV_THREAD_ID => {
            let tid = Tid(caller.meant(event.thread as u32));
            caller.process.thread(tid).ok_or(Errno::EINVAL)?;
            TimerNotify::Thread { tid, signal: signal()?, value }
        }
        _ => return Err(Errno::EINVAL.into()),
    })
}

fn encode(setting: TimerSetting) -> Itimerspec {
    Itimerspec { it_interval: timespec(setting.interval), it_value: timespec(setting.value) }
}
