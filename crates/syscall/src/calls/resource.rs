//! Limits, usage, priorities, scheduling, affinity.

use abi::linux::general as linux;
use abi::{Errno, Rlimit, abi_struct};
use alloc::sync::Arc;
use process::{
    Limit, NR_OPEN, OwnResource, ProcessError, Resource, SchedulingPolicy, SchedulingRights, UNLIMITED, UsageSnapshot,
    may_limit, may_schedule, new_nice, new_policy,
};
use types::{Capabilities, CpuSet, Nanos, PAGE_SIZE, Pgid, Pid, Tid, Uid};

use super::process::rusage;
use crate::clock::timespec;
use crate::{Caller, Process, SysError, SysResult, Thread};

pub(crate) fn sys_getrlimit(caller: Caller<'_>, resource: u64, out: u64) -> SysResult {
    let limit = caller.process.limits().get(Resource::from_linux(resource as u32)?);
    caller.memory().write(out, &Rlimit { rlim_cur: limit.soft, rlim_max: limit.hard })?;
    Ok(0)
}

pub(crate) fn sys_setrlimit(caller: Caller<'_>, resource: u64, new: u64) -> SysResult {
    let resource = Resource::from_linux(resource as u32)?;
    let new: Rlimit = caller.memory().read(new)?;
    set_limit(caller, caller.process, resource, new)
}

pub(crate) fn sys_prlimit64(caller: Caller<'_>, pid: u64, resource: u64, new: u64, old: u64) -> SysResult {
    let resource = Resource::from_linux(resource as u32)?;
    let target = process(caller, pid)?;
    if !Arc::ptr_eq(&target, caller.process) && !may_limit(&caller.thread.credentials(), &target.identity().credentials)
    {
        return Err(Errno::EPERM.into());
    }
    let wanted: Option<Rlimit> = if new == 0 { None } else { Some(caller.memory().read(new)?) };
    let before = target.limits().get(resource);
    if let Some(new) = wanted {
        set_limit(caller, &target, resource, new)?;
    }
    caller.memory().write_opt(old, &Rlimit { rlim_cur: before.soft, rlim_max: before.hard })?;
    Ok(0)
}

fn set_limit(caller: Caller<'_>, target: &Arc<Process>, resource: Resource, new: Rlimit) -> SysResult {
    let privileged = caller.capable(Capabilities::SYS_RESOURCE);
    let limit = Limit { soft: new.rlim_cur, hard: new.rlim_max };
    target.change_limits(|limits| limits.set(resource, limit, privileged, NR_OPEN))?;
    if matches!(resource, Resource::AddressSpace | Resource::Data | Resource::Stack)
        && let Some(space) = target.space()
    {
        space.set_limits(space_limits(target));
    }
    if resource == Resource::CpuSeconds {
        super::timers::watch_cpu_limit(caller.system, target);
    }
    Ok(0)
}

/// The limits that memory management enforces.
pub(crate) fn space_limits(process: &Process) -> memory::SpaceLimits {
    let limits = process.limits();
    let own = |resource| limits.own(resource).value;
    let resident = own(OwnResource::Memory).min(own(OwnResource::PeakMemory));
    memory::SpaceLimits {
        address_space: limits.soft(Resource::AddressSpace),
        data: limits.soft(Resource::Data),
        stack: limits.soft(Resource::Stack).min(own(OwnResource::StackUsed)),
        resident_pages: if resident == UNLIMITED { u64::MAX } else { resident / types::PAGE_SIZE as u64 },
    }
}

pub(crate) fn sys_getrusage(caller: Caller<'_>, who: u64, out: u64) -> SysResult {
    caller.system.platform.charge();
    let mut used = match who as i32 {
        RUSAGE_SELF => caller.process.usage().snapshot(),
        RUSAGE_CHILDREN => caller.process.children_usage(),
        RUSAGE_THREAD => caller.thread.usage().snapshot(),
        _ => return Err(Errno::EINVAL.into()),
    };
    if who as i32 != RUSAGE_CHILDREN {
        note_peak(caller, &mut used);
    }
    caller.memory().write(out, &rusage(&used))?;
    Ok(0)
}

/// `RUSAGE_SELF`, `RUSAGE_CHILDREN` and `RUSAGE_THREAD`.
const RUSAGE_SELF: i32 = 0;
const RUSAGE_CHILDREN: i32 = -1;
const RUSAGE_THREAD: i32 = 1;

fn note_peak(caller: Caller<'_>, used: &mut UsageSnapshot) {
    let peak = caller.space.peak_resident_pages() * types::PAGE_SIZE as u64;
    used.peak_memory = used.peak_memory.max(peak);
}

pub(crate) fn sys_getpriority(caller: Caller<'_>, which: u64, who: u64) -> SysResult {
    let mut lowest: Option<i8> = None;
    for_each_meant(caller, which, who, |thread| {
        let nice = thread.scheduling().nice;
        lowest = Some(lowest.map_or(nice, |found| found.min(nice)));
    })?;
    let nice = lowest.ok_or(Errno::ESRCH)?;
    // 1 to 40, so that no answer looks like an error.
    Ok((20 - i64::from(nice)) as u64)
}

pub(crate) fn sys_setpriority(caller: Caller<'_>, which: u64, who: u64, value: u64) -> SysResult {
    let rights = rights(caller);
    let own = caller.thread.credentials();
    let mut outcome: Option<Result<(), Errno>> = None;
    for_each_meant(caller, which, who, |thread| {
        let now = thread.scheduling();
        let done = if !may_schedule(&own, &thread.credentials()) {
            Err(Errno::EPERM)
        } else {
            new_nice(now.nice, value as i32, &rights)
                .map(|nice| {
                    thread.set_scheduling(process::Scheduling { nice, ..now });
                    caller.system.scheduling_changed(thread);
                })
                .map_err(|_| Errno::EACCES)
        };
        // As on Linux, the last failure is told, but a success does not hide one.
        outcome = Some(match (outcome.take(), done) {
            (Some(Err(error)), Ok(())) => Err(error),
            (_, done) => done,
        });
    })?;
    outcome.ok_or(Errno::ESRCH)??;
    Ok(0)
}

/// Class of an I/O priority: no wish.
const IO_NONE: u32 = 0;
/// Real time.
const IO_REAL_TIME: u32 = 1;
/// Best effort.
const IO_BEST_EFFORT: u32 = 2;
/// Idle.
const IO_IDLE: u32 = 3;
/// IOPRIO_WHO_PROCESS.
const IO_OF_PROCESS: u32 = 1;
/// Bits of an I/O priority that are not its class.
const IO_CLASS_SHIFT: u32 = 13;

/// ioprio_set(2): kept and told; there is no disk to apply it to.
pub(crate) fn sys_ioprio_set(caller: Caller<'_>, which: u64, who: u64, value: u64) -> SysResult {
    let value = value as u32;
    let (class, data) = (value >> IO_CLASS_SHIFT, value & ((1 << IO_CLASS_SHIFT) - 1));
    match class {
        IO_REAL_TIME
            if data & 7 == data
                && !caller.capable(Capabilities::SYS_ADMIN)
                && !caller.capable(Capabilities::SYS_NICE) =>
        {
            return Err(Errno::EPERM.into());
        }
        IO_REAL_TIME | IO_BEST_EFFORT if data & 7 == data => {}
        IO_NONE if data == 0 => {}
        IO_IDLE => {}
        _ => return Err(Errno::EINVAL.into()),
    }
    let own = caller.thread.credentials();
    let mut outcome = Err(Errno::ESRCH);
    for_each_meant(caller, io_which(which)?, who, |thread| {
        outcome = if may_schedule(&own, &thread.credentials()) {
            thread.set_io_priority(value);
            Ok(())
        } else {
            Err(Errno::EPERM)
        };
    })?;
    outcome?;
    Ok(0)
}

/// ioprio_get(2): the highest among those who are meant.
pub(crate) fn sys_ioprio_get(caller: Caller<'_>, which: u64, who: u64) -> SysResult {
    let mut best: Option<u32> = None;
    for_each_meant(caller, io_which(which)?, who, |thread| {
        let value = match thread.io_priority() {
            // As the scheduling priority has it, but who asks for one alone is told that it has none of its own.
            0 if which as u32 != IO_OF_PROCESS => {
                let level = (i32::from(thread.scheduling().nice) + 20) / 5;
                IO_BEST_EFFORT << IO_CLASS_SHIFT | level as u32
            }
            value => value,
        };
        best = Some(best.map_or(value, |found| found.min(value)));
    })?;
    Ok(best.ok_or(Errno::ESRCH)?.into())
}

fn io_which(which: u64) -> SysResult<u64> {
    match which as u32 {
        known @ 1..=3 => Ok(u64::from(known - 1)),
        _ => Err(Errno::EINVAL.into()),
    }
}

/// Calls `each` with the threads that `which` and `who` of getpriority(2) name.
fn for_each_meant(caller: Caller<'_>, which: u64, who: u64, mut each: impl FnMut(&Thread)) -> SysResult<()> {
    let who = who as u32;
    match which as u32 {
        linux::PRIO_PROCESS => {
            if let Ok(thread) = thread(caller, u64::from(who)) {
                each(&thread);
            }
        }
        linux::PRIO_PGRP => {
            let group = if who == 0 { caller.process.pgid() } else { Pgid(who) };
            for process in caller.system.processes.processes().filter(|process| process.pgid() == group) {
                process.threads()?.iter().for_each(|thread| each(thread));
            }
        }
        linux::PRIO_USER => {
            let user = if who == 0 { caller.thread.uid() } else { Uid(who) };
            for process in caller.system.processes.processes() {
                process.threads()?.iter().filter(|thread| thread.uid() == user).for_each(|thread| each(thread));
            }
        }
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(())
}

fn rights(caller: Caller<'_>) -> SchedulingRights {
    SchedulingRights {
        privileged: caller.capable(Capabilities::SYS_NICE),
        nice_limit: caller.process.limit(Resource::Nice),
        rt_priority_limit: caller.process.limit(Resource::RealTimePriority),
    }
}

/// `SCHED_RESET_ON_FORK`, or-ed into a policy.
const RESET_ON_FORK: u32 = 0x4000_0000;

pub(crate) fn sys_sched_setscheduler(caller: Caller<'_>, pid: u64, policy: u64, param: u64) -> SysResult {
    if (pid as i32) < 0 || (policy as i32) < 0 || param == 0 {
        return Err(Errno::EINVAL.into());
    }
    let priority: i32 = caller.memory().read(param)?;
    let policy = policy as u32;
    let wanted = SchedulingPolicy::from_linux(policy & !RESET_ON_FORK)?;
    set_scheduling(caller, pid, Some(wanted), priority, Some(policy & RESET_ON_FORK != 0), None)
}

pub(crate) fn sys_sched_setparam(caller: Caller<'_>, pid: u64, param: u64) -> SysResult {
    if (pid as i32) < 0 || param == 0 {
        return Err(Errno::EINVAL.into());
    }
    let priority: i32 = caller.memory().read(param)?;
    set_scheduling(caller, pid, None, priority, None, None)
}

fn set_scheduling(
    caller: Caller<'_>,
    pid: u64,
    policy: Option<SchedulingPolicy>,
    priority: i32,
    reset_on_fork: Option<bool>,
    nice: Option<i32>,
) -> SysResult {
    let thread = thread(caller, pid)?;
    let now = thread.scheduling();
    let rights = rights(caller);
    if !rights.privileged && !may_schedule(&caller.thread.credentials(), &thread.credentials()) {
        return Err(Errno::EPERM.into());
    }
    let priority = u32::try_from(priority).map_err(|_| Errno::EINVAL)?;
    let policy = policy.unwrap_or(now.policy);
    let mut new = new_policy(now, policy, priority, reset_on_fork.unwrap_or(now.reset_on_fork), &rights)?;
    if let Some(nice) = nice {
        new.nice = new_nice(now.nice, nice, &rights).map_err(|_| Errno::EPERM)?;
    }
    thread.set_scheduling(new);
    caller.system.scheduling_changed(&thread);
    Ok(0)
}

pub(crate) fn sys_sched_getscheduler(caller: Caller<'_>, pid: u64) -> SysResult {
    if (pid as i32) < 0 {
        return Err(Errno::EINVAL.into());
    }
    let scheduling = thread(caller, pid)?.scheduling();
    let reset = if scheduling.reset_on_fork { RESET_ON_FORK } else { 0 };
    Ok(u64::from(scheduling.policy.to_linux() | reset))
}

pub(crate) fn sys_sched_getparam(caller: Caller<'_>, pid: u64, param: u64) -> SysResult {
    if (pid as i32) < 0 || param == 0 {
        return Err(Errno::EINVAL.into());
    }
    let priority = i32::from(thread(caller, pid)?.scheduling().rt_priority);
    caller.memory().write(param, &priority)?;
    Ok(0)
}

abi_struct! {
    /// `struct sched_attr`, the first 48 bytes.
    pub struct SchedAttr {
        /// Bytes of the structure.
        pub size: u32,
        /// Policy.
        pub sched_policy: u32,
        /// SCHED_FLAG_ bits.
        pub sched_flags: u64,
        /// Nice value.
        pub sched_nice: i32,
        /// Static priority.
        pub sched_priority: u32,
        /// Budget of SCHED_DEADLINE.
        pub sched_runtime: u64,
        /// Deadline of SCHED_DEADLINE.
        pub sched_deadline: u64,
        /// Period of SCHED_DEADLINE.
        pub sched_period: u64,
    }
}

/// Bytes of [`SchedAttr`].
const SCHED_ATTR_SIZE: u32 = 48;
/// With the two words of utilization clamping, which are zero here as in a Linux without it.
const SCHED_ATTR_FULL: u32 = 56;
/// SCHED_FLAG_ bits: RESET_ON_FORK, KEEP_POLICY, KEEP_PARAMS, both UTIL_CLAMPs, and all that there are.
const FLAG_RESET: u64 = 1;
const FLAG_KEEP_POLICY: u64 = 8;
const FLAG_KEEP_PARAMS: u64 = 0x10;
const FLAG_CLAMP: u64 = 0x60;
const FLAGS_KNOWN: u64 = 0x7f;

pub(crate) fn sys_sched_setattr(caller: Caller<'_>, pid: u64, attr: u64, flags: u64) -> SysResult {
    if (pid as i32) < 0 || attr == 0 || flags as u32 != 0 {
        return Err(Errno::EINVAL.into());
    }
    let wanted = read_sched_attr(caller, attr)?;
    if (wanted.sched_policy as i32) < 0 || wanted.sched_flags & !FLAGS_KNOWN != 0 {
        return Err(Errno::EINVAL.into());
    }
    if wanted.sched_flags & FLAG_CLAMP != 0 {
        return Err(Errno::EOPNOTSUPP.into());
    }
    let now = thread(caller, pid)?.scheduling();
    let has = |flag: u64| wanted.sched_flags & flag != 0;
    // SCHED_DEADLINE is refused as by a kernel without it.
    let policy = if has(FLAG_KEEP_POLICY) { now.policy } else { SchedulingPolicy::from_linux(wanted.sched_policy)? };
    let reset = if has(FLAG_KEEP_POLICY) { now.reset_on_fork } else { has(FLAG_RESET) };
    // On Linux the policy is among the parameters that stay.
    let keeps = has(FLAG_KEEP_PARAMS);
    let policy = if keeps { now.policy } else { policy };
    let priority = if keeps { now.rt_priority.into() } else { wanted.sched_priority };
    let nice = (!keeps && !policy.is_real_time()).then_some(wanted.sched_nice);
    let priority = i32::try_from(priority).map_err(|_| Errno::EINVAL)?;
    set_scheduling(caller, pid, Some(policy), priority, Some(reset), nice)
}

/// Reads a `struct sched_attr` of any size: what is beyond the known part must be zero.
fn read_sched_attr(caller: Caller<'_>, attr: u64) -> SysResult<SchedAttr> {
    let memory = caller.memory();
    let size = match memory.read::<u32>(attr)? {
        0 => SCHED_ATTR_SIZE,
        size => size,
    };
    let fits = (SCHED_ATTR_SIZE..=PAGE_SIZE as u32).contains(&size);
    let beyond = if fits { size.saturating_sub(SCHED_ATTR_FULL) } else { 0 };
    let rest = memory.read_vec(attr.wrapping_add(SCHED_ATTR_FULL.into()), beyond as usize)?;
    if !fits || rest.iter().any(|byte| *byte != 0) {
        memory.write(attr, &SCHED_ATTR_FULL)?;
        return Err(Errno::E2BIG.into());
    }
    memory.read(attr)
}

pub(crate) fn sys_sched_getattr(caller: Caller<'_>, pid: u64, attr: u64, size: u64, flags: u64) -> SysResult {
    let size = size as u32;
    if (pid as i32) < 0 || attr == 0 || flags as u32 != 0 || !(SCHED_ATTR_SIZE..=PAGE_SIZE as u32).contains(&size) {
        return Err(Errno::EINVAL.into());
    }
    let scheduling = thread(caller, pid)?.scheduling();
    let real_time = scheduling.policy.is_real_time();
    let size = size.min(SCHED_ATTR_FULL);
    let answer = SchedAttr {
        size,
        sched_policy: scheduling.policy.to_linux(),
        sched_flags: u64::from(scheduling.reset_on_fork),
        sched_nice: if real_time { 0 } else { scheduling.nice.into() },
        sched_priority: u32::from(scheduling.rt_priority),
        sched_runtime: 0,
        sched_deadline: 0,
        sched_period: 0,
    };
    caller.memory().write(attr, &answer)?;
    let clamps = [0; (SCHED_ATTR_FULL - SCHED_ATTR_SIZE) as usize];
    let clamps = clamps.get(..(size - SCHED_ATTR_SIZE) as usize).unwrap_or_default();
    caller.memory().write_bytes(attr.wrapping_add(SCHED_ATTR_SIZE.into()), clamps)?;
    Ok(0)
}

pub(crate) fn sys_sched_priority_bound(policy: u64, highest: bool) -> SysResult {
    if policy as u32 == linux::SCHED_DEADLINE {
        // It has none, which Linux tells even where nobody may use it.
        return Ok(0);
    }
    let (low, high) = SchedulingPolicy::from_linux(policy as u32)?.priority_range();
    Ok(u64::from(if highest { high } else { low }))
}

pub(crate) fn sys_sched_rr_get_interval(caller: Caller<'_>, pid: u64, out: u64) -> SysResult {
    if (pid as i32) < 0 {
        return Err(Errno::EINVAL.into());
    }
    let thread = thread(caller, pid)?;
    let slice = if thread.scheduling().policy == SchedulingPolicy::Fifo { 0 } else { 4 };
    caller.memory().write(out, &timespec(Nanos::from_millis(slice)))?;
    Ok(0)
}

/// Bytes of the affinity masks that the kernel uses.
const MASK_SIZE: u64 = 8;

pub(crate) fn sys_sched_setaffinity(caller: Caller<'_>, pid: u64, size: u64, mask: u64) -> SysResult {
    let mut bytes = [0; MASK_SIZE as usize];
    let known = size.min(MASK_SIZE) as usize;
    caller.memory().read_bytes(mask, bytes.get_mut(..known).unwrap_or_default())?;
    let thread = thread(caller, pid)?;
    if !caller.capable(Capabilities::SYS_NICE) && !may_schedule(&caller.thread.credentials(), &thread.credentials()) {
        return Err(Errno::EPERM.into());
    }
    thread.set_affinity(CpuSet(u64::from_le_bytes(bytes)), caller.system.platform.online())?;
    caller.system.platform.scheduling_changed(&thread);
    Ok(0)
}

pub(crate) fn sys_sched_getaffinity(caller: Caller<'_>, pid: u64, size: u64, mask: u64) -> SysResult {
    if size < MASK_SIZE || !size.is_multiple_of(8) {
        return Err(Errno::EINVAL.into());
    }
    let allowed = thread(caller, pid)?.affinity().0 & caller.system.platform.online().0;
    caller.memory().write(mask, &allowed)?;
    Ok(MASK_SIZE)
}

/// The thread of that number; 0 is the caller.
fn thread(caller: Caller<'_>, tid: u64) -> SysResult<Arc<Thread>> {
    match tid as u32 {
        0 => Ok(caller.thread.clone()),
        tid => caller.system.processes.thread(Tid(tid)).ok_or(SysError::Errno(Errno::ESRCH)),
    }
}

/// The process of that number; 0 is the caller's.
fn process(caller: Caller<'_>, pid: u64) -> SysResult<Arc<Process>> {
    match pid as u32 {
        0 => Ok(caller.process.clone()),
        pid => caller.system.processes.process(Pid(pid)).ok_or(ProcessError::ProcessNotFound.into()),
    }
}
