//! Clocks and sleeping.

use alloc::boxed::Box;
use core::future::Future;
use core::pin::Pin;
use core::task::{Poll, ready};

use abi::linux::general as linux;
use abi::{Errno, Timespec, Timeval, Tms};
use process::signal::Restart;
use sync::Moment;
use types::{Capabilities, Nanos, Pid, Tid};

use crate::clock::{nanos, timespec, timespec_of_ns};
use crate::wait::{Interrupted, Sleep, interruptible};
use crate::{Caller, RestartBlock, SysError, SysResult};

/// Nanoseconds of a clock tick as times(2) counts them (USER_HZ = 100).
const TICK_NS: u64 = 10_000_000;

/// A clock that can be read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clock {
    /// Since 1970; can be set.
    Real,
    /// Since boot.
    Monotonic,
    /// CPU time of a process.
    ProcessCpu(Pid),
    /// CPU time of a thread.
    ThreadCpu(Tid),
}

impl Clock {
    /// The clock that user space means by `id`, negative numbers being CPU clocks of others (clock_getcpuclockid(3)).
    pub(crate) fn decode(caller: Caller<'_>, id: u64) -> SysResult<Self> {
        let id = id as i32;
        if id < 0 {
            if id & 3 == 3 {
                // Neither of the three times that a CPU clock may count, nor a clock behind a descriptor.
                return Err(Errno::EINVAL.into());
            }
            let number = !(id >> 3) as u32;
            let per_thread = id & 4 != 0;
            return if per_thread {
                let tid = if number == 0 { caller.thread.tid() } else { Tid(caller.meant(number)) };
                if caller.process.thread(tid).is_some() { Ok(Self::ThreadCpu(tid)) } else { Err(Errno::EINVAL.into()) }
            } else {
                let pid = if number == 0 { caller.process.pid() } else { Pid(caller.meant(number)) };
                let known = caller.system.processes.process(pid).is_some();
                if known { Ok(Self::ProcessCpu(pid)) } else { Err(Errno::EINVAL.into()) }
            };
        }
        Ok(match id as u32 {
            linux::CLOCK_REALTIME | linux::CLOCK_REALTIME_COARSE | linux::CLOCK_REALTIME_ALARM | linux::CLOCK_TAI => {
                Self::Real
            }
            linux::CLOCK_MONOTONIC
            | linux::CLOCK_MONOTONIC_RAW
            | linux::CLOCK_MONOTONIC_COARSE
            | linux::CLOCK_BOOTTIME
            | linux::CLOCK_BOOTTIME_ALARM => Self::Monotonic,
            linux::CLOCK_PROCESS_CPUTIME_ID => Self::ProcessCpu(caller.process.pid()),
            linux::CLOCK_THREAD_CPUTIME_ID => Self::ThreadCpu(caller.thread.tid()),
            _ => return Err(Errno::EINVAL.into()),
        })
    }

    fn read(self, caller: Caller<'_>) -> SysResult<Timespec> {
        let system = caller.system;
        Ok(match self {
            Self::Real => timespec_of_ns(system.wall_clock.now_ns()),
            Self::Monotonic => timespec(system.platform.now()),
            Self::ProcessCpu(pid) => {
                system.platform.charge();
                let process = system.processes.process(pid).ok_or(Errno::EINVAL)?;
                timespec(process.usage().cpu_time())
            }
            Self::ThreadCpu(tid) => {
                system.platform.charge();
                let thread = caller.process.thread(tid).ok_or(Errno::EINVAL)?;
                timespec(thread.usage().cpu_time())
            }
        })
    }
}

pub(crate) fn sys_clock_gettime(caller: Caller<'_>, clock: u64, out: u64) -> SysResult {
    let time = Clock::decode(caller, clock)?.read(caller)?;
    caller.memory().write(out, &time)?;
    Ok(0)
}

pub(crate) fn sys_clock_getres(caller: Caller<'_>, clock: u64, out: u64) -> SysResult {
    Clock::decode(caller, clock)?;
    let coarse = matches!(clock as u32, linux::CLOCK_REALTIME_COARSE | linux::CLOCK_MONOTONIC_COARSE);
    let resolution = if coarse { 4_000_000 } else { 1 };
    caller.memory().write_opt(out, &Timespec { tv_sec: 0, tv_nsec: resolution })?;
    Ok(0)
}

pub(crate) fn sys_clock_settime(caller: Caller<'_>, clock: u64, time: u64) -> SysResult {
    let time = nanos(caller.memory().read(time)?).ok_or(Errno::EINVAL)?;
    if clock as i32 as u32 != linux::CLOCK_REALTIME {
        // Those of processes and threads are there, but nobody's to set.
        let is_cpu_clock = (clock as i32) < 0 && Clock::decode(caller, clock).is_ok();
        return Err(if is_cpu_clock { Errno::EPERM.into() } else { Errno::EINVAL.into() });
    }
    set_real_time(caller, time)
}

pub(crate) fn sys_gettimeofday(caller: Caller<'_>, out: u64, zone: u64) -> SysResult {
    let now = caller.system.wall_clock.now_ns();
    let time = Timeval { tv_sec: now.div_euclid(1_000_000_000), tv_usec: now.rem_euclid(1_000_000_000) / 1000 };
    caller.memory().write_opt(out, &time)?;
    // struct timezone: minutes west of Greenwich and daylight saving, both unused.
    caller.memory().write_opt(zone, &0_u64)?;
    Ok(0)
}

pub(crate) fn sys_settimeofday(caller: Caller<'_>, time: u64, _zone: u64) -> SysResult {
    if time == 0 {
        return Ok(0);
    }
    let time = crate::clock::nanos_of_timeval(caller.memory().read(time)?).ok_or(Errno::EINVAL)?;
    set_real_time(caller, time)
}

pub(crate) fn sys_time(caller: Caller<'_>, out: u64) -> SysResult {
    let seconds = caller.system.wall_clock.now_ns().div_euclid(1_000_000_000);
    caller.memory().write_opt(out, &seconds)?;
    Ok(seconds as u64)
}

pub(crate) fn sys_times(caller: Caller<'_>, out: u64) -> SysResult {
    caller.system.platform.charge();
    let own = caller.process.usage().snapshot();
    let children = caller.process.children_usage();
    let ticks = |time: Nanos| (time.0 / TICK_NS) as i64;
    let answer = Tms {
        tms_utime: ticks(Nanos(own.user_ns)),
        tms_stime: ticks(Nanos(own.system_ns)),
        tms_cutime: ticks(Nanos(children.user_ns)),
        tms_cstime: ticks(Nanos(children.system_ns)),
    };
    caller.memory().write_opt(out, &answer)?;
    Ok(caller.system.platform.now().0 / TICK_NS)
}

/// Errors before it sleeps; else its sleep.
pub(crate) fn sys_nanosleep<'a>(
    caller: Caller<'a>,
    restart: &'a mut Option<Box<RestartBlock>>,
    wanted: u64,
    remaining: u64,
) -> Result<impl Future<Output = SysResult> + 'a, SysError> {
    let span = nanos(caller.memory().read(wanted)?).ok_or(Errno::EINVAL)?;
    Ok(sleep(caller, restart, Asleep::For { deadline: caller.system.platform.now() + span, remaining }))
}

/// Errors before it sleeps; else its sleep.
pub(crate) fn sys_clock_nanosleep<'a>(
    caller: Caller<'a>,
    restart: &'a mut Option<Box<RestartBlock>>,
    args: [u64; 6],
) -> Result<impl Future<Output = SysResult> + 'a, SysError> {
    let [clock, flags, wanted, remaining, ..] = args;
    if matches!(
        clock as u32,
        linux::CLOCK_THREAD_CPUTIME_ID
            | linux::CLOCK_MONOTONIC_RAW
            | linux::CLOCK_MONOTONIC_COARSE
            | linux::CLOCK_REALTIME_COARSE
    ) {
        return Err(Errno::EOPNOTSUPP.into());
    }
    let clock = Clock::decode(caller, clock)?;
    if matches!(clock, Clock::ThreadCpu(_)) {
        return Err(Errno::EINVAL.into());
    }
    let time = nanos(caller.memory().read(wanted)?).ok_or(Errno::EINVAL)?;
    let absolute = flags as u32 & linux::TIMER_ABSTIME != 0;
    let asleep = match clock {
        Clock::ProcessCpu(_) | Clock::ThreadCpu(_) => return Err(Errno::EOPNOTSUPP.into()),
        Clock::Real if absolute => Asleep::Until(Moment::real(time)),
        Clock::Monotonic if absolute => Asleep::Until(time.into()),
        Clock::Real | Clock::Monotonic => Asleep::For { deadline: caller.system.platform.now() + time, remaining },
    };
    Ok(sleep(caller, restart, asleep))
}

/// Goes on sleeping after a stop, or any signal without a handler (`restart_syscall`).
pub(crate) fn resume_sleep<'a>(
    caller: Caller<'a>,
    restart: &'a mut Option<Box<RestartBlock>>,
    deadline: Nanos,
    remaining: u64,
) -> impl Future<Output = SysResult> + 'a {
    sleep(caller, restart, Asleep::For { deadline, remaining })
}

pub(crate) async fn sys_pause(caller: Caller<'_>) -> SysResult {
    let _ = interruptible(caller.thread, core::future::pending::<()>()).await;
    Err(SysError::Restart(Restart::NoHand))
}

/// How long somebody sleeps.
#[derive(Clone, Copy)]
enum Asleep {
    /// A span, which ends then; what is left of it is written there.
    For { deadline: Nanos, remaining: u64 },
    /// Until a moment.
    Until(Moment),
}

/// Not an async function, which would keep all arguments twice: many threads are in here.
fn sleep<'a>(
    caller: Caller<'a>,
    restart: &'a mut Option<Box<RestartBlock>>,
    asleep: Asleep,
) -> impl Future<Output = SysResult> + 'a {
    let until = match asleep {
        Asleep::For { deadline, .. } => deadline.into(),
        Asleep::Until(moment) => moment,
    };
    let mut sleeping = interruptible(caller.thread, Sleep::new(caller.system, until));
    core::future::poll_fn(move |cx| {
        let Err(Interrupted) = ready!(Pin::new(&mut sleeping).poll(cx)) else { return Poll::Ready(Ok(0)) };
        Poll::Ready(interrupted(caller, restart, asleep))
    })
}

fn interrupted(caller: Caller<'_>, restart: &mut Option<Box<RestartBlock>>, asleep: Asleep) -> SysResult {
    let Asleep::For { deadline, remaining } = asleep else { return Err(SysError::Restart(Restart::NoHand)) };
    let left = deadline.saturating_sub(caller.system.platform.now());
    if left == Nanos::ZERO {
        return Ok(0);
    }
    caller.memory().write_opt(remaining, &timespec(left))?;
    *restart = Some(Box::new(RestartBlock::Sleep { deadline, remaining }));
    Err(SysError::Restart(Restart::Block))
}

pub(super) fn set_real_time(caller: Caller<'_>, time: Nanos) -> SysResult {
    if !caller.capable(Capabilities::SYS_TIME) {
        return Err(Errno::EPERM.into());
    }
    caller.system.wall_clock.set_ns(i64::try_from(time.0).map_err(|_| Errno::EINVAL)?);
    caller.system.real_time_was_set();
    Ok(0)
}
