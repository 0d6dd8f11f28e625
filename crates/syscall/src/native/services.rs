//! Services by the native gate. The supervisor is not wired in yet: every call says so.

use abi::Errno;
use abi::native as number;

use crate::{Caller, SysResult};

pub(super) fn dispatch(caller: Caller<'_>, call: u64, _args: [u64; 6]) -> SysResult {
    let name = match call {
        number::CREATE_SERVICE => "create_service",
        number::START_SERVICE => "start_service",
        _ => "stop_service",
    };
    log::debug!("syscall: pid {} asks for {name}, which is not offered yet", caller.process.pid());
    Err(Errno::EOPNOTSUPP.into())
}
