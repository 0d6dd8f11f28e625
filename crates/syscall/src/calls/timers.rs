//! alarm, setitimer, getitimer.

use alloc::sync::{Arc, Weak};
use alloc::task::Wake;
use core::task::Waker;

use abi::{Errno, Itimerval, Signal};
use process::signal::SigInfo;
use process::timers::{ItimerClocks, ItimerKind, TimerSetting};
use process::{LimitDecision, OwnResource, Resource, UNLIMITED};
use types::Nanos;

use crate::clock::{nanos_of_timeval, timeval};
use crate::{Caller, Process, SysResult, System};

use super::posix_timers;

pub(crate) fn sys_alarm(caller: Caller<'_>, seconds: u64) -> SysResult {
    let clocks = clocks(caller.system, caller.process);
    let left = caller.process.timers().lock().interval.alarm(seconds as u32, &clocks);
    arm(caller.system, caller.process);
    Ok(left)
}

pub(crate) fn sys_getitimer(caller: Caller<'_>, which: u64, out: u64) -> SysResult {
    let kind = ItimerKind::from_number(u64::from(which as u32)).ok_or(Errno::EINVAL)?;
    let clocks = clocks(caller.system, caller.process);
    let setting = caller.process.timers().lock().interval.get(kind, &clocks);
    caller.memory().write(out, &encode(setting))?;
    Ok(0)
}

pub(crate) fn sys_setitimer(caller: Caller<'_>, which: u64, new: u64, old: u64) -> SysResult {
    let kind = ItimerKind::from_number(u64::from(which as u32)).ok_or(Errno::EINVAL)?;
    // A null pointer disarms, as on Linux.
    let wanted = match new {
        0 => TimerSetting::default(),
        address => {
            let given: Itimerval = caller.memory().read(address)?;
            TimerSetting {
                value: nanos_of_timeval(given.it_value).ok_or(Errno::EINVAL)?,
                interval: nanos_of_timeval(given.it_interval).ok_or(Errno::EINVAL)?,
            }
        }
    };
    let clocks = clocks(caller.system, caller.process);
    let before = caller.process.timers().lock().interval.set(kind, wanted, &clocks);
    arm(caller.system, caller.process);
    caller.memory().write_opt(old, &encode(before))?;
    Ok(0)
}

fn encode(setting: TimerSetting) -> Itimerval {
    Itimerval { it_interval: timeval(setting.interval), it_value: timeval(setting.value) }
}

fn clocks(system: &System, process: &Process) -> ItimerClocks {
    let usage = process.usage();
    ItimerClocks { real: system.platform.now(), user: Nanos(usage.user_ns.get()), cpu: usage.cpu_time() }
}

/// Looks at a process's timers when the nearest one may be due.
struct Alarm {
    system: &'static System,
    process: Weak<Process>,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        if let Some(process) = self.process.upgrade() {
            expire(self.system, &process);
        }
    }
}

/// Sends the signals that are due, and arms the next look.
pub(crate) fn expire(system: &'static System, process: &Arc<Process>) {
    if process.has_ended() {
        return;
    }
    let clocks = clocks(system, process);
    let mut due = abi::SigSet::EMPTY;
    {
        let mut timers = process.timers().lock();
        if let Some((_, token)) = timers.armed.take_if(|(deadline, _)| *deadline <= clocks.real) {
            system.timers.remove(token);
        }
        for signal in timers.interval.expire(&clocks) {
            due = due.with(signal);
        }
    }
    if let Some(signal) = cpu_limit_signal(system, process, clocks.cpu) {
        due = due.with(signal);
    }
    while let Some(signal) = due.first() {
        due = due.without(signal);
        system.run(system.processes.signal_process(process, SigInfo::kernel(signal)));
    }
    posix_timers::send_due(system, process);
    arm(system, process);
}

/// Asks to be woken when the nearest timer is due. CPU-time timers are looked at often enough by what is left on them: CPU
/// time passes no faster than real time on each CPU. A process has one entry in the queue: one that is too early finds
/// nothing due and asks again, one that is too late is replaced.
pub(super) fn arm(system: &'static System, process: &Arc<Process>) {
    let clocks = clocks(system, process);
    let posix_clocks = posix_timers::Clocks::read(system, process);
    let limit = next_cpu_limit(process, clocks.cpu);
    let cpus = u64::from(system.platform.online().len().max(1));
    let waker = Waker::from(Arc::new(Alarm { system, process: Arc::downgrade(process) }));
    let mut timers = process.timers().lock();
    let on_cpu = |deadline: Nanos, now: Nanos| clocks.real + Nanos(((deadline - now).0 / cpus).max(1_000_000));
    let real = timers.interval.deadline(ItimerKind::Real);
    let user = timers.interval.deadline(ItimerKind::Virtual).map(|deadline| on_cpu(deadline, clocks.user));
    let cpu = timers.interval.deadline(ItimerKind::Prof).map(|deadline| on_cpu(deadline, clocks.cpu));
    let limit = limit.map(|deadline| on_cpu(deadline, clocks.cpu));
    let posix = posix_timers::next_look(&timers.posix, &posix_clocks);
    let Some(deadline) = [real, user, cpu, limit, posix].into_iter().flatten().min() else { return };
    if timers.armed.is_some_and(|(armed, _)| armed <= deadline) {
        return;
    }
    let old = timers.armed.replace((deadline, system.wake_at(deadline, waker)));
    drop(timers);
    if let Some((_, token)) = old {
        system.timers.remove(token);
    }
}

/// Looks after RLIMIT_CPU of a process that has just been given one, or was born with one.
#[inline]
pub(crate) fn watch_cpu_limit(system: &'static System, process: &Arc<Process>) {
    // No soft limit, no hard one.
    if process.limit(Resource::CpuSeconds) == UNLIMITED && !process.is_limited() {
        return;
    }
    if next_cpu_limit(process, Nanos::ZERO).is_some() {
        arm(system, process);
    }
}

/// The signal that RLIMIT_CPU calls for when a process has used so much CPU time.
fn cpu_limit_signal(system: &'static System, process: &Arc<Process>, used: Nanos) -> Option<Signal> {
    let limits = process.limits();
    let decision = {
        let mut timers = process.timers().lock();
        let (decision, warned) = limits.check_cpu_time(used, timers.cpu_warned);
        timers.cpu_warned = warned;
        decision
    };
    if used.0 > limits.own(OwnResource::CpuTime).value && decision != LimitDecision::Allow {
        // No call is there to fail: who asks for an error gets the signal that says so.
        let decision = if decision == LimitDecision::Fail { LimitDecision::Signal(Signal::XCPU) } else { decision };
        let _ = system.crossed(process, OwnResource::CpuTime, used.0, decision);
        return None;
    }
    match decision {
        LimitDecision::Kill => Some(Signal::KILL),
        LimitDecision::Signal(signal) => Some(signal),
        _ => None,
    }
}

/// The CPU time at which the next such signal may be due: the soft limit, then each second, and the hard limit.
fn next_cpu_limit(process: &Process, used: Nanos) -> Option<Nanos> {
    let limits = process.limits();
    let limit = limits.get(Resource::CpuSeconds);
    let own = limits.own(OwnResource::CpuTime).value;
    // The moment it is crossed, then each second.
    let next = if used.0 <= own { Nanos(own.saturating_add(1)) } else { Nanos::from_secs(used.secs() + 1) };
    let own = (own != UNLIMITED).then_some(next);
    let soft = (limit.soft != UNLIMITED).then(|| limit.soft.max(used.secs() + 1));
    let hard = (limit.hard != UNLIMITED).then_some(limit.hard);
    let seconds = [soft, hard].into_iter().flatten().min().map(Nanos::from_secs);
    [seconds, own].into_iter().flatten().min()
}

impl System {
    /// A process has ended: its timers look no more.
    pub(crate) fn disarm_timers(&self, process: &Process) {
        let Some(timers) = process.existing_timers() else { return };
        let (armed, posix) = {
            let mut timers = timers.lock();
            timers.interval = process::timers::IntervalTimers::new();
            (timers.armed.take(), core::mem::take(&mut timers.posix))
        };
        drop(posix);
        if let Some((_, token)) = armed {
            self.timers.remove(token);
        }
    }
}
