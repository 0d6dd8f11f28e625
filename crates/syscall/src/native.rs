//! The native gate, `int 0x80`: numbers of the MultiOS integration guide.

use abi::Errno;
use process::{ExitStatus, ProcessError, WaitOptions, WaitRequest, WaitResult};

use crate::calls::{clone, exec};
use crate::{Caller, Registers, SysResult};

const EXIT: u64 = 1;
const FORK: u64 = 2;
const WAIT: u64 = 7;
const EXEC: u64 = 11;
const GETPID: u64 = 20;
const GETPPID: u64 = 39;

/// Serves a native call: number in `rax`, arguments as in the Linux gate.
pub(crate) async fn dispatch(caller: Caller<'_>, registers: &mut Registers<'_>) -> SysResult {
    let number = registers.context.rax;
    registers.context.orig_rax = number;
    let [a, ..] = registers.context.syscall_args();
    if matches!(number, FORK | EXEC) && !caller.system.frames.has_headroom() {
        return Err(Errno::ENOMEM.into());
    }
    match number {
        EXIT => {
            let status = ExitStatus::from_code(a as i32);
            caller.system.run(caller.system.processes.exit_group(caller.thread, status));
            registers.exit = Some(status);
            Ok(0)
        }
        FORK => clone::finish(caller, clone::sys_fork(caller, registers)).await,
        WAIT => wait(caller, a).await,
        EXEC => exec::sys_execve(caller, registers).await,
        GETPID => Ok(u64::from(caller.process.pid().0)),
        GETPPID => Ok(u64::from(caller.process.parent_pid().0)),
        _ => Err(Errno::ENOSYS.into()),
    }
}

/// Waits for the child `pid`, or any for 0: its number in the upper half, its wait status in the lower.
async fn wait(caller: Caller<'_>, pid: u64) -> SysResult {
    let pid = if pid == 0 { -1 } else { i32::try_from(pid).map_err(|_| ProcessError::InvalidProcessId)? };
    let request = WaitRequest::wait4(caller.process, pid, WaitOptions::empty().bits())?;
    let found = crate::calls::process::wait(caller, &request).await?;
    let WaitResult { pid, event, .. } = found.ok_or(Errno::ECHILD)?;
    Ok(u64::from(pid.0) << 32 | u64::from(event.wait_status() as u32))
}
