//! The end of processes, waiting for children, sending signals, groups and sessions.

use abi::linux::general as linux;
use abi::{Errno, Rusage};
use alloc::sync::Arc;
use process::signal::{Restart, SIGINFO_SIZE, SigInfo};
use process::{ExitStatus, KillTarget, UsageSnapshot, WaitOptions, WaitRequest, WaitResult, WaitSelector};
use types::{Nanos, Pgid, Pid, Tid};

use super::signal::{read_info, signal_or_probe};
use crate::clock::timeval;
use crate::wait::interruptible;
use crate::{Caller, Registers, Resources, SysError, SysResult, Thread};

pub(crate) fn sys_exit(registers: &mut Registers<'_>) -> SysResult {
    let [code, ..] = registers.context.syscall_args();
    registers.exit = Some(ExitStatus::from_code(code as i32));
    Ok(0)
}

pub(crate) fn sys_exit_group(caller: Caller<'_>, registers: &mut Registers<'_>) -> SysResult {
    let [code, ..] = registers.context.syscall_args();
    registers.exit = Some(exit_group(caller, code));
    Ok(0)
}

/// exit_group(2): tells all other threads to end. The caller then ends with the status that this gives.
pub fn exit_group(caller: Caller<'_>, code: u64) -> ExitStatus {
    let status = ExitStatus::from_code(code as i32);
    caller.system.run(caller.system.processes.exit_group(caller.thread, status));
    status
}

pub(crate) async fn sys_wait4(caller: Caller<'_>, args: [u64; 6]) -> SysResult {
    let [pid, status, options, usage, ..] = args;
    let request = WaitRequest::wait4(caller.process, pid as i32, options as u32)?;
    let Some(found) = wait(caller, &request).await? else { return Ok(0) };
    report(caller, &found, status, usage)
}

/// [`sys_wait4`], if it need not wait.
pub(crate) fn wait4_now(caller: Caller<'_>, args: [u64; 6]) -> Option<SysResult> {
    let [pid, status, options, usage, ..] = args;
    let request = match WaitRequest::wait4(caller.process, pid as i32, options as u32) {
        Ok(request) => request,
        Err(error) => return Some(Err(error.into())),
    };
    match caller.system.processes.try_wait(caller.thread, &request) {
        Ok(Some(found)) => Some(report(caller, &found, status, usage)),
        Ok(None) if request.options.contains(WaitOptions::NOHANG) => Some(Ok(0)),
        Ok(None) => None,
        Err(error) => Some(Err(error.into())),
    }
}

/// What wait4 tells of a child.
fn report(caller: Caller<'_>, found: &WaitResult, status: u64, usage: u64) -> SysResult {
    let memory = caller.memory();
    let WaitResult { pid, event, usage: used, .. } = found;
    memory.write_opt(status, &event.wait_status())?;
    if usage != 0 {
        memory.write(usage, &rusage(used))?;
    }
    Ok(u64::from(pid.0))
}

pub(crate) async fn sys_waitid(caller: Caller<'_>, args: [u64; 6]) -> SysResult {
    let [kind, id, info, options, usage, _] = args;
    let found = wait_for(caller, kind, id, options as u32).await;
    let memory = caller.memory();
    if usage != 0
        && let Ok(Some(found)) = &found
    {
        memory.write(usage, &rusage(&found.usage))?;
    }
    if info != 0 {
        // Without an event, and even when the call fails, Linux writes zeros. It leaves the bytes between alone.
        let report = match &found {
            Ok(Some(WaitResult { pid, uid, event, .. })) => {
                SigInfo::child(event.code(), *pid, *uid, event.si_status(), 0, 0).to_bytes()
            }
            _ => [0; SIGINFO_SIZE],
        };
        memory.write_bytes(info, report.get(..12).unwrap_or_default())?;
        memory.write_bytes(info.wrapping_add(16), report.get(16..28).unwrap_or_default())?;
    }
    found.map(|_| 0)
}

async fn wait_for(caller: Caller<'_>, kind: u64, id: u64, options: u32) -> SysResult<Option<WaitResult>> {
    let selector = match kind as u32 {
        linux::P_ALL => WaitSelector::Any,
        linux::P_PID if id as i32 > 0 => WaitSelector::Pid(Pid(id as u32)),
        linux::P_PGID if id as i32 == 0 => WaitSelector::Group(caller.process.pgid()),
        linux::P_PGID if id as i32 > 0 => WaitSelector::Group(Pgid(id as u32)),
        linux::P_PIDFD if id as i32 >= 0 => {
            let (process, nonblocking) = super::pidfd::target(caller, id)?;
            if nonblocking && options & linux::WNOHANG == 0 {
                let request = WaitRequest::waitid(WaitSelector::Handle(process), options | linux::WNOHANG)?;
                return wait(caller, &request).await?.map(Some).ok_or(Errno::EAGAIN.into());
            }
            WaitSelector::Handle(process)
        }
        _ => return Err(Errno::EINVAL.into()),
    };
    wait(caller, &WaitRequest::waitid(selector, options)?).await
}

/// Waits for an event, unless the request says not to.
pub(crate) async fn wait(caller: Caller<'_>, request: &WaitRequest<Resources>) -> SysResult<Option<WaitResult>> {
    let try_wait = || caller.system.processes.try_wait(caller.thread, request);
    if request.options.contains(WaitOptions::NOHANG) {
        return Ok(try_wait()?);
    }
    let event = caller.process.events().wait_until(|| try_wait().transpose());
    match interruptible(caller.thread, event).await {
        Ok(found) => Ok(Some(found?)),
        Err(_) => Err(SysError::Restart(Restart::Sys)),
    }
}

/// Figures as getrusage(2) and wait4(2) lay them out.
pub(crate) fn rusage(used: &UsageSnapshot) -> Rusage {
    Rusage {
        ru_utime: timeval(Nanos(used.user_ns)),
        ru_stime: timeval(Nanos(used.system_ns)),
        ru_maxrss: (used.peak_memory / 1024) as i64,
        ru_ixrss: 0,
        ru_idrss: 0,
        ru_isrss: 0,
        ru_minflt: used.minor_faults as i64,
        ru_majflt: used.major_faults as i64,
        ru_nswap: 0,
        ru_inblock: 0,
        ru_oublock: 0,
        ru_msgsnd: 0,
        ru_msgrcv: 0,
        ru_nsignals: 0,
        ru_nvcsw: used.voluntary_switches as i64,
        ru_nivcsw: used.involuntary_switches as i64,
    }
}

pub(crate) fn sys_kill(caller: Caller<'_>, pid: u64, number: u64) -> SysResult {
    let target = KillTarget::decode(pid as i32, caller.process.pgid())?;
    let info = signal_or_probe(number)?.map(|signal| SigInfo::user(signal, caller.process.pid(), caller.thread.uid()));
    caller.system.run(caller.system.processes.kill(caller.thread, target, info)?);
    Ok(0)
}

pub(crate) fn sys_tkill(caller: Caller<'_>, tid: u64, number: u64) -> SysResult {
    if tid as i32 <= 0 {
        return Err(Errno::EINVAL.into());
    }
    match find_thread(caller, tid) {
        Ok(thread) => signal_thread(caller, &thread, number),
        Err(error) => signal_zombie(caller, tid, number).ok_or(error)?,
    }
}

pub(crate) fn sys_tgkill(caller: Caller<'_>, pid: u64, tid: u64, number: u64) -> SysResult {
    if tid as i32 <= 0 || pid as i32 <= 0 {
        return Err(Errno::EINVAL.into());
    }
    match find_thread(caller, tid) {
        Ok(thread) if thread.pid() == Pid(pid as u32) => signal_thread(caller, &thread, number),
        Err(error) if pid as u32 == tid as u32 => signal_zombie(caller, tid, number).ok_or(error)?,
        _ => Err(Errno::ESRCH.into()),
    }
}

/// A process without threads is still there by the number of its first one: nothing comes of the signal, but rights are asked.
fn signal_zombie(caller: Caller<'_>, tid: u64, number: u64) -> Option<SysResult> {
    let process = caller.system.processes.process(Pid(tid as u32))?;
    let signal = || {
        let info =
            signal_or_probe(number)?.map(|signal| SigInfo::tkill(signal, caller.process.pid(), caller.thread.uid()));
        caller.system.run(caller.system.processes.signal_process_as(caller.thread, &process, info)?);
        Ok(0)
    };
    Some(signal())
}

fn signal_thread(caller: Caller<'_>, thread: &Arc<Thread>, number: u64) -> SysResult {
    let info = signal_or_probe(number)?.map(|signal| SigInfo::tkill(signal, caller.process.pid(), caller.thread.uid()));
    caller.system.run(caller.system.processes.signal_thread(Some(caller.thread), thread, info)?);
    Ok(0)
}

pub(crate) fn sys_rt_sigqueueinfo(caller: Caller<'_>, pid: u64, number: u64, info: u64) -> SysResult {
    let target = Pid(pid as u32);
    let info = queued_info(caller, target, number, info)?;
    if pid as i32 <= 0 {
        return Err(Errno::ESRCH.into());
    }
    caller.system.run(caller.system.processes.kill(caller.thread, KillTarget::Process(target), info)?);
    Ok(0)
}

pub(crate) fn sys_rt_tgsigqueueinfo(caller: Caller<'_>, pid: u64, tid: u64, number: u64, info: u64) -> SysResult {
    if tid as i32 <= 0 || pid as i32 <= 0 {
        return Err(Errno::EINVAL.into());
    }
    let info = queued_info(caller, Pid(pid as u32), number, info)?;
    let thread = find_thread(caller, tid)?;
    if thread.pid() != Pid(pid as u32) {
        return Err(Errno::ESRCH.into());
    }
    caller.system.run(caller.system.processes.signal_thread(Some(caller.thread), &thread, info)?);
    Ok(0)
}

/// Details that a program chose itself: it may not pretend that the kernel or `kill` sent them to somebody else.
pub(crate) fn queued_info(caller: Caller<'_>, target: Pid, number: u64, address: u64) -> SysResult<Option<SigInfo>> {
    let Some(signal) = signal_or_probe(number)? else { return Ok(None) };
    let info = read_info(caller, signal, address)?;
    let pretends = info.code >= 0 || info.code == process::signal::SI_TKILL;
    if pretends && target != caller.process.pid() {
        return Err(Errno::EPERM.into());
    }
    Ok(Some(info))
}

fn find_thread(caller: Caller<'_>, tid: u64) -> SysResult<Arc<Thread>> {
    caller.system.processes.thread(Tid(tid as u32)).ok_or(SysError::Errno(Errno::ESRCH))
}

pub(crate) fn sys_setpgid(caller: Caller<'_>, pid: u64, group: u64) -> SysResult {
    if (group as i32) < 0 {
        return Err(Errno::EINVAL.into());
    }
    caller.system.processes.setpgid(caller.thread, Pid(pid as u32), Pgid(group as u32))?;
    let target =
        if pid as u32 == 0 { Some(caller.process.clone()) } else { caller.system.processes.process(Pid(pid as u32)) };
    if let Some(target) = target {
        caller.system.classify(&target);
    }
    Ok(0)
}

pub(crate) fn sys_getpgid(caller: Caller<'_>, pid: u64) -> SysResult {
    Ok(u64::from(caller.system.processes.getpgid(caller.thread, Pid(pid as u32))?.0))
}

pub(crate) fn sys_getsid(caller: Caller<'_>, pid: u64) -> SysResult {
    Ok(u64::from(caller.system.processes.getsid(caller.thread, Pid(pid as u32))?.0))
}

pub(crate) fn sys_setsid(caller: Caller<'_>) -> SysResult {
    let session = caller.system.processes.setsid(caller.thread)?;
    caller.system.classify(caller.process);
    Ok(u64::from(session.0))
}

/// What a status means to whoever reports it: exit code, or 128 and the signal.
pub(crate) fn shell_status(status: ExitStatus) -> i32 {
    match status {
        ExitStatus::Exited(code) => i32::from(code),
        ExitStatus::Signaled { signal, .. } => 128 + i32::from(signal.number()),
    }
}
