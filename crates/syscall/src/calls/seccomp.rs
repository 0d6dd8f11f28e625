//! seccomp(2) and its older form in prctl(2): a thread gives up calls.

use alloc::vec::Vec;

use abi::Errno;
use abi::linux::general::__NR_seccomp;
use process::filter::{FilterScope, Installed, Instruction, MAX_INSTRUCTIONS, Program, action};
use types::Capabilities;

use crate::{Caller, SysResult, shortage};

const SET_MODE_STRICT: u32 = 0;
const SET_MODE_FILTER: u32 = 1;
const GET_ACTION_AVAIL: u32 = 2;

const MODE_STRICT: u64 = 1;
const MODE_FILTER: u64 = 2;

const FLAG_TSYNC: u64 = 1 << 0;
/// All refusals are logged; there is no switch that could turn that off.
const FLAG_LOG: u64 = 1 << 1;
/// No mitigation is turned on for filtered threads, so there is none to leave off.
const FLAG_SPEC_ALLOW: u64 = 1 << 2;
const FLAG_TSYNC_ESRCH: u64 = 1 << 4;
/// The flags of a supervisor's descriptor (NEW_LISTENER, WAIT_KILLABLE_RECV) are not offered.
const FLAGS: u64 = FLAG_TSYNC | FLAG_LOG | FLAG_SPEC_ALLOW | FLAG_TSYNC_ESRCH;

pub(crate) fn sys_seccomp(caller: Caller<'_>, operation: u64, flags: u64, argument: u64) -> SysResult {
    // Operation and flags are 32 bits wide.
    let flags = flags & u64::from(u32::MAX);
    match operation as u32 {
        SET_MODE_STRICT if flags == 0 && argument == 0 => set_strict(caller),
        SET_MODE_FILTER => set_filter(caller, flags, argument),
        GET_ACTION_AVAIL if flags == 0 => {
            let wanted: u32 = caller.memory().read(argument)?;
            if action::is_offered(wanted) { Ok(0) } else { Err(Errno::EOPNOTSUPP.into()) }
        }
        _ => Err(Errno::EINVAL.into()),
    }
}

/// PR_SET_SECCOMP.
pub(crate) fn set_by_prctl(caller: Caller<'_>, mode: u64, program: u64) -> SysResult {
    if shortage::makes_objects(__NR_seccomp) && !caller.system.frames.has_headroom() {
        return Err(Errno::ENOMEM.into());
    }
    match mode {
        MODE_STRICT => set_strict(caller),
        MODE_FILTER => set_filter(caller, 0, program),
        _ => Err(Errno::EINVAL.into()),
    }
}

fn set_strict(caller: Caller<'_>) -> SysResult {
    caller.process.make_strict(caller.thread)?;
    caller.system.platform.filters_changed();
    Ok(0)
}

fn set_filter(caller: Caller<'_>, flags: u64, address: u64) -> SysResult {
    if flags & !FLAGS != 0 {
        return Err(Errno::EINVAL.into());
    }
    let memory = caller.memory();
    // struct sock_fprog: a 16-bit length, padding, a pointer.
    let mut head = [0; 16];
    memory.read_bytes(address, &mut head)?;
    let [l0, l1, _, _, _, _, _, _, pointer @ ..] = head;
    let len = usize::from(u16::from_le_bytes([l0, l1]));
    let pointer = u64::from_le_bytes(pointer);
    if len == 0 || len > MAX_INSTRUCTIONS {
        return Err(Errno::EINVAL.into());
    }
    if !caller.thread.no_new_privs() && !caller.thread.credentials().capable(Capabilities::SYS_ADMIN) {
        return Err(Errno::EACCES.into());
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len * Instruction::SIZE).map_err(|_| Errno::ENOMEM)?;
    bytes.resize(len * Instruction::SIZE, 0);
    memory.read_bytes(pointer, &mut bytes)?;
    let mut instructions = Vec::new();
    instructions.try_reserve_exact(len).map_err(|_| Errno::ENOMEM)?;
    let (words, _) = bytes.as_chunks();
    instructions.extend(words.iter().map(|word| Instruction::from_bytes(*word)));
    let program = Program::new(&instructions)?;
    let scope = if flags & FLAG_TSYNC != 0 { FilterScope::Process } else { FilterScope::Thread };
    let installed = caller.process.add_filter(caller.thread, program, scope)?;
    caller.system.platform.filters_changed();
    match installed {
        Installed::Yes => Ok(0),
        Installed::Diverged(_) if flags & FLAG_TSYNC_ESRCH != 0 => Err(Errno::ESRCH.into()),
        Installed::Diverged(tid) => Ok(u64::from(tid.0)),
    }
}
