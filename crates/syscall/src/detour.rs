//! The long way into a system call: for threads under call filters, whose filters are asked first.

use abi::{Errno, Signal};
use process::ExitStatus;
use process::filter::{ARCH_X86_64, Call, Verdict};
use process::signal::SigInfo;

use crate::{Caller, Registers, SysError, SysResult, dispatch, dispatch_now, trap};

/// Serves a system call that no fast way has looked at, if the caller's filters let it.
pub(crate) async fn call(caller: Caller<'_>, registers: &mut Registers<'_>) -> SysResult {
    let number = registers.context.orig_rax;
    if let Some(result) = refuse(caller, registers, ARCH_X86_64, number) {
        return result;
    }
    match dispatch_now(caller, number, registers.context.syscall_args()) {
        // An interrupted call is tried again, as it is after the fast way.
        None | Some(Err(SysError::Restart(_))) => dispatch(caller, registers).await,
        Some(result) => result,
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
