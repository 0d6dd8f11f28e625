//! The long way into a system call: for threads under call filters, whose filters are asked first, and for those outside of
//! the first namespace of process numbers, whose numbers are translated on the way in and out.

use abi::linux::general as linux;
use abi::{Errno, Signal};
use hal::UserContext;
use process::ExitStatus;
use process::filter::{ARCH_X86_64, Call, Verdict};
use process::signal::SigInfo;

use crate::dispatch::dispatch;
use crate::{Caller, Registers, SysError, SysResult, dispatch_now, identity, trap};

/// Serves a system call that no fast way has looked at, if the caller's filters let it.
pub(crate) async fn call(caller: Caller<'_>, registers: &mut Registers<'_>) -> SysResult {
    let number = registers.context.orig_rax;
    if caller.thread.is_filtered()
        && let Some(result) = refuse(caller, registers, ARCH_X86_64, number)
    {
        return result;
    }
    if caller.process.pids().is_none() {
        return serve(caller, registers, number).await;
    }
    if let Some(id) = identity(caller.process, caller.thread, number) {
        return Ok(shown(caller, number, id));
    }
    // The program finds its registers as they were, and so does a call that is made again.
    let UserContext { rdi, rsi, .. } = *registers.context;
    let (first, second) = meant(caller, number, rdi, rsi);
    (registers.context.rdi, registers.context.rsi) = (first, second);
    let result = serve(caller, registers, number).await;
    if (first, second) != (rdi, rsi) {
        (registers.context.rdi, registers.context.rsi) = (rdi, rsi);
    }
    Ok(shown(caller, number, result?))
}

async fn serve(caller: Caller<'_>, registers: &mut Registers<'_>, number: u64) -> SysResult {
    match dispatch_now(caller, number, registers.context.syscall_args()) {
        // An interrupted call is tried again, as it is after the fast way.
        None | Some(Err(SysError::Restart(_))) => dispatch(caller, registers).await,
        Some(result) => result,
    }
}

/// The first two arguments of a call with the numbers of processes as the kernel has them.
fn meant(caller: Caller<'_>, number: u64, first: u64, second: u64) -> (u64, u64) {
    // Zero and below have meanings of their own: the caller, all; and groups, for kill and wait.
    /// IOPRIO_WHO_PROCESS and IOPRIO_WHO_PGRP.
    const IOPRIO_PROCESS: u32 = 1;
    const IOPRIO_GROUP: u32 = 2;
    let one = |value: u64| if value as i32 > 0 { u64::from(caller.meant(value as u32)) } else { value };
    let one_or_group = |value: u64| match value as i32 {
        group if group < -1 && group != i32::MIN => i64::from(caller.meant(group.unsigned_abs())).wrapping_neg() as u64,
        _ => one(value),
    };
    match number as u32 {
        linux::__NR_kill | linux::__NR_wait4 => (one_or_group(first), second),
        linux::__NR_tgkill | linux::__NR_rt_tgsigqueueinfo | linux::__NR_setpgid | linux::__NR_kcmp => {
            (one(first), one(second))
        }
        linux::__NR_tkill
        | linux::__NR_rt_sigqueueinfo
        | linux::__NR_pidfd_open
        | linux::__NR_getpgid
        | linux::__NR_getsid
        | linux::__NR_prlimit64
        | linux::__NR_process_vm_readv
        | linux::__NR_process_vm_writev
        | linux::__NR_get_robust_list
        | linux::__NR_sched_setscheduler
        | linux::__NR_sched_getscheduler
        | linux::__NR_sched_setparam
        | linux::__NR_sched_getparam
        | linux::__NR_sched_setattr
        | linux::__NR_sched_getattr
        | linux::__NR_sched_rr_get_interval
        | linux::__NR_sched_setaffinity
        | linux::__NR_sched_getaffinity => (one(first), second),
        linux::__NR_ioprio_set | linux::__NR_ioprio_get if matches!(first as u32, IOPRIO_PROCESS | IOPRIO_GROUP) => {
            (first, one(second))
        }
        linux::__NR_waitid if matches!(first as u32, linux::P_PID | linux::P_PGID) => (first, one(second)),
        linux::__NR_getpriority | linux::__NR_setpriority
            if matches!(first as u32, linux::PRIO_PROCESS | linux::PRIO_PGRP) =>
        {
            (first, one(second))
        }
        _ => (first, second),
    }
}

/// The result of a call as the caller sees it. (Those that fill memory, and clone and wait, see to it themselves.)
fn shown(caller: Caller<'_>, number: u64, result: u64) -> u64 {
    match number as u32 {
        linux::__NR_getpid
        | linux::__NR_gettid
        | linux::__NR_getppid
        | linux::__NR_getpgrp
        | linux::__NR_getpgid
        | linux::__NR_getsid
        | linux::__NR_setsid
        | linux::__NR_set_tid_address => u64::from(caller.process.shown(result as u32)),
        _ => result,
    }
}

/// Asks the caller's filters about a call; its result if it shall not be made.
pub(crate) fn refuse(caller: Caller<'_>, registers: &mut Registers<'_>, arch: u32, number: u64) -> Option<SysResult> {
    let context = &*registers.context;
    let call = Call { number: number as u32, arch, instruction: context.rip, arguments: context.syscall_args() };
    let verdict = caller.thread.filter().map_or(Verdict::Allow, |filter| filter.judge(&call));
    let info = |data: u16| SigInfo::syscall(call.instruction, call.number as i32, arch, i32::from(data));
    match verdict {
        Verdict::Allow => return None,
        Verdict::Log => {
            log::debug!("syscall: filter noted {} of {}", call.number, caller.process.pid());
            return None;
        }
        Verdict::Errno(0) => return Some(Ok(0)),
        Verdict::Errno(errno) => return Some(Ok(u64::from(errno).wrapping_neg())),
        Verdict::NoOneToAsk => return Some(Err(Errno::ENOSYS.into())),
        Verdict::Trap(data) => trap::force(caller, info(data)),
        Verdict::KillStrict => {
            registers.exit = Some(ExitStatus::Signaled { signal: Signal::KILL, core: false });
        }
        Verdict::KillThread if caller.process.thread_count() > 1 => {
            registers.exit = Some(ExitStatus::Signaled { signal: Signal::SYS, core: false });
        }
        Verdict::KillThread | Verdict::KillProcess => {
            log::debug!("syscall: filter kills {} at call {}", caller.process.pid(), call.number);
            let effect = caller.process.signals().force_fatal(caller.thread.signals(), info(0));
            caller.after_send(effect);
        }
    }
    // The handler finds the number where the program put it.
    Some(Ok(number))
}
