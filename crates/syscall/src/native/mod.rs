//! The native gate, `int 0x80`: numbers of the MultiOS integration guide (`abi::native`), served by the process manager.

mod created;
mod host;
mod processes;

use abi::Errno;
use abi::linux::general as linux;
use abi::native as number;
use process::{ExitStatus, ProcessError, WaitOptions, WaitRequest, WaitResult};

use crate::calls::{clone, exec};
use crate::{Caller, Registers, SysResult, own_limits};

pub use created::CreatedProcesses;
pub(crate) use host::KernelHost;

/// Serves a native call: number in `rax`, arguments as in the Linux gate.
pub(crate) async fn dispatch(caller: Caller<'_>, registers: &mut Registers<'_>) -> SysResult {
    let call = registers.context.rax;
    registers.context.orig_rax = call;
    let args = registers.context.syscall_args();
    let [a, ..] = args;
    let makes_objects = matches!(
        call,
        number::FORK | number::EXEC | number::CREATE_PROCESS | number::FORK_PROCESS | number::EXEC_PROCESS
    );
    if makes_objects && !caller.system.frames.has_headroom() {
        return Err(Errno::ENOMEM.into());
    }
    let forks = call == number::FORK || call == number::FORK_PROCESS;
    if forks && caller.process.is_limited() {
        own_limits::await_creation(caller, linux::__NR_fork, args).await?;
    }
    match call {
        number::EXIT => {
            let status = ExitStatus::from_code(a as i32);
            caller.system.run(caller.system.processes.exit_group(caller.thread, status));
            registers.exit = Some(status);
            Ok(0)
        }
        number::FORK => clone::finish(caller, clone::sys_fork(caller, registers)).answer().await,
        number::WAIT => wait(caller, a).await,
        number::EXEC => {
            let begun = exec::sys_execve(caller, registers);
            exec::finish(caller, registers, begun).answer().await
        }
        number::GETPID => Ok(u64::from(caller.own_pid().0)),
        number::GETPPID => Ok(u64::from(caller.process.shown(caller.process.parent_pid().0))),
        number::FORK_PROCESS if a == 0 || a == u64::from(caller.own_pid().0) => {
            clone::finish(caller, clone::sys_fork(caller, registers)).answer().await
        }
        number::EXEC_PROCESS => processes::exec(caller, args).await,
        number::CREATE_PROCESS..number::CREATE_SERVICE => processes::dispatch(caller, call, args),
        number::CREATE_SERVICE..=number::STOP_SERVICE => crate::services::native(caller, call, args),
        _ => Err(Errno::ENOSYS.into()),
    }
}

/// Waits for the child `pid`, or any for 0: its number in the upper half, its wait status in the lower.
async fn wait(caller: Caller<'_>, pid: u64) -> SysResult {
    let pid = if pid == 0 { -1 } else { i32::try_from(pid).map_err(|_| ProcessError::InvalidProcessId)? };
    let pid = if pid > 0 { caller.meant(pid as u32) as i32 } else { pid };
    let request = WaitRequest::wait4(caller.process, pid, WaitOptions::empty().bits())?;
    let found = crate::calls::process::wait(caller, &request).await?;
    let WaitResult { pid, event, .. } = found.ok_or(Errno::ECHILD)?;
    Ok(u64::from(pid.0) << 32 | u64::from(event.wait_status() as u32))
}
