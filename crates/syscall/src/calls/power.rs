//! reboot(2) and syslog(2).

use abi::Errno;
use hal::PowerAction;
use services::Ending;
use types::Capabilities;

use crate::wait::interruptible;
use crate::{Caller, SysResult};

const MAGIC_1: u32 = 0xfee1_dead;
const MAGIC_2: [u32; 4] = [672_274_793, 85_072_278, 369_367_448, 537_993_216];
const RESTART: u32 = 0x0123_4567;
const HALT: u32 = 0xcdef_0123;
const CAD_ON: u32 = 0x89ab_cdef;
const CAD_OFF: u32 = 0;
const POWER_OFF: u32 = 0x4321_fedc;
const RESTART_2: u32 = 0xa1b2_c3d4;

/// reboot(2); `None`: services have been told to stop, and the machine ends when they have.
pub(crate) fn reboot_now(caller: Caller<'_>, magic: u64, magic2: u64, command: u64) -> Option<SysResult> {
    match reboot(caller, magic, magic2, command) {
        Ok(After::Services) => None,
        Ok(After::Nothing) => Some(Ok(0)),
        Err(error) => Some(Err(error)),
    }
}

/// The rest of a reboot(2) that has to wait: for ever, or for a signal.
pub(crate) async fn sys_reboot(caller: Caller<'_>) -> SysResult {
    let _ = interruptible(caller.thread, core::future::pending::<()>()).await;
    Err(Errno::EINTR.into())
}

/// What a reboot waits for.
enum After {
    Nothing,
    Services,
}

fn reboot(caller: Caller<'_>, magic: u64, magic2: u64, command: u64) -> SysResult<After> {
    caller.require(Capabilities::SYS_BOOT)?;
    if magic as u32 != MAGIC_1 || !MAGIC_2.contains(&(magic2 as u32)) {
        return Err(Errno::EINVAL.into());
    }
    let (action, ending) = match command as u32 {
        CAD_ON | CAD_OFF => return Ok(After::Nothing),
        RESTART | RESTART_2 => (PowerAction::Reboot, Ending::Reboot),
        HALT => (PowerAction::Halt, Ending::Halt),
        POWER_OFF => (PowerAction::PowerOff, Ending::PowerOff),
        _ => return Err(Errno::EINVAL.into()),
    };
    if crate::services::end_machine(caller.system, ending) {
        return Ok(After::Services);
    }
    let status = caller.system.exit_status.load(core::sync::atomic::Ordering::Relaxed);
    caller.system.platform.power(action, status);
    Ok(After::Nothing)
}
