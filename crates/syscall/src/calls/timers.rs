//! alarm, setitimer, getitimer.

use alloc::sync::{Arc, Weak};
use alloc::task::Wake;
use core::task::Waker;

use abi::{Errno, Itimerval};
use process::signal::SigInfo;
use process::timers::{ItimerClocks, ItimerKind, TimerSetting};
use types::Nanos;

use crate::clock::{nanos_of_timeval, timeval};
use crate::{Caller, Process, SysResult, System};

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
    while let Some(signal) = due.first() {
        due = due.without(signal);
        system.run(system.processes.signal_process(process, SigInfo::kernel(signal)));
    }
    arm(system, process);
}

/// Asks to be woken when the nearest timer is due. CPU-time timers are looked at often enough by what is left on them: CPU
/// time passes no faster than real time on each CPU. A process has one entry in the queue: one that is too early finds
/// nothing due and asks again, one that is too late is replaced.
fn arm(system: &'static System, process: &Arc<Process>) {
    let clocks = clocks(system, process);
    let cpus = u64::from(system.platform.online().len().max(1));
    let waker = Waker::from(Arc::new(Alarm { system, process: Arc::downgrade(process) }));
    let mut timers = process.timers().lock();
    let on_cpu = |kind, now: Nanos| {
        timers.interval.deadline(kind).map(|deadline: Nanos| {
            clocks.real + Nanos((deadline.saturating_sub(now).0 / cpus).max(1_000_000))
        })
    };
    let real = timers.interval.deadline(ItimerKind::Real);
    let user = on_cpu(ItimerKind::Virtual, clocks.user);
    let cpu = on_cpu(ItimerKind::Prof, clocks.cpu);
    let Some(deadline) = [real, user, cpu].into_iter().flatten().min() else { return };
    if timers.armed.is_some_and(|(armed, _)| armed <= deadline) {
        return;
    }
    let (token, first) = system.timers.insert(deadline, waker);
    let old = timers.armed.replace((deadline, token));
    drop(timers);
    if let Some((_, token)) = old {
        system.timers.remove(token);
    }
    if first {
        system.platform.arm_timer(deadline);
    }
}

impl System {
    /// A process has ended: its timers look no more.
    pub(crate) fn disarm_timers(&self, process: &Process) {
        let armed = {
            let mut timers = process.timers().lock();
            timers.interval = process::timers::IntervalTimers::new();
            timers.armed.take()
        };
        if let Some((_, token)) = armed {
            self.timers.remove(token);
        }
    }
}
