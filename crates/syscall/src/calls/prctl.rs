//! prctl, arch_prctl, personality, and small calls about the caller itself.

use abi::linux::prctl as pr;
use abi::{Errno, Signal};
use process::{self as rules, Dumpable, ProcessFlag};
use types::{Capabilities, Nanos, USER_END};

use crate::{Caller, Registers, SysResult};

/// Highest capability number.
const CAP_LAST: u64 = 40;

pub(crate) fn sys_prctl(caller: Caller<'_>, args: [u64; 6]) -> SysResult {
    let [option, a, b, c, d, _] = args;
    let rest_is_zero = b == 0 && c == 0 && d == 0;
    let memory = caller.memory();
    match option as u32 {
        pr::PR_SET_NAME => {
            // At most 16 bytes are looked at, a NUL among them or not.
            let mut name = [0; process::NAME_LEN];
            for (i, slot) in name.iter_mut().take(process::NAME_LEN - 1).enumerate() {
                *slot = memory.read::<u8>(a + i as u64)?;
                if *slot == 0 {
                    break;
                }
            }
            caller.thread.set_name(&name);
            Ok(0)
        }
        pr::PR_GET_NAME => {
            memory.write_bytes(a, &caller.thread.name())?;
            Ok(0)
        }
        pr::PR_SET_PDEATHSIG => {
            let signal = if a == 0 { None } else { Some(Signal::new(a).ok_or(Errno::EINVAL)?) };
            caller.thread.set_parent_death_signal(signal);
            Ok(0)
        }
        pr::PR_GET_PDEATHSIG => {
            let number = caller.thread.parent_death_signal().map_or(0, Signal::number);
            memory.write(a, &i32::from(number))?;
            Ok(0)
        }
        pr::PR_GET_DUMPABLE => Ok(caller.process.dumpable() as u64),
        pr::PR_SET_DUMPABLE => {
            caller.process.set_dumpable(match a {
                0 => Dumpable::No,
                1 => Dumpable::Yes,
                _ => return Err(Errno::EINVAL.into()),
            });
            Ok(0)
        }
        pr::PR_SET_CHILD_SUBREAPER => {
            if a == 0 {
                caller.process.clear_flag(ProcessFlag::Subreaper);
            } else {
                caller.process.set_flag(ProcessFlag::Subreaper);
            }
            Ok(0)
        }
        pr::PR_GET_CHILD_SUBREAPER => {
            memory.write(a, &i32::from(caller.process.has_flag(ProcessFlag::Subreaper)))?;
            Ok(0)
        }
        pr::PR_SET_NO_NEW_PRIVS => {
            if a != 1 || !rest_is_zero {
                return Err(Errno::EINVAL.into());
            }
            caller.thread.set_no_new_privs();
            Ok(0)
        }
        pr::PR_GET_NO_NEW_PRIVS => {
            if a != 0 || !rest_is_zero {
                return Err(Errno::EINVAL.into());
            }
            Ok(u64::from(caller.thread.no_new_privs()))
        }
        pr::PR_SET_TIMERSLACK => {
            caller.thread.set_timer_slack(Nanos(if (a as i64) <= 0 { 0 } else { a }));
            Ok(0)
        }
        pr::PR_GET_TIMERSLACK => Ok(caller.thread.timer_slack().0),
        pr::PR_GET_KEEPCAPS => {
            let kept = caller.thread.credentials().securebits.contains(types::SecureBits::KEEP_CAPS);
            Ok(u64::from(kept))
        }
        pr::PR_SET_KEEPCAPS => {
            if a > 1 {
                return Err(Errno::EINVAL.into());
            }
            caller.change_credentials(|old| rules::set_keep_capabilities(old, a == 1))
        }
        pr::PR_GET_SECUREBITS => Ok(u64::from(caller.thread.credentials().securebits.bits())),
        pr::PR_SET_SECUREBITS => caller.change_credentials(|old| rules::set_securebits(old, a)),
        pr::PR_CAPBSET_READ => {
            let capability = capability(a)?;
            Ok(u64::from(caller.thread.credentials().bounding.contains(capability)))
        }
        pr::PR_CAPBSET_DROP => {
            let capability = capability(a)?;
            caller.change_credentials(|old| rules::drop_bounding(old, capability))
        }
        pr::PR_CAP_AMBIENT => ambient(caller, a, b, c, d),
        pr::PR_GET_TID_ADDRESS => {
            memory.write(a, &caller.thread.clear_child_tid())?;
            Ok(0)
        }
        // Kept and told, without effect: no machine check is survived here, and no memory is huge.
        pr::PR_MCE_KILL => mce_kill(caller, a, b, c, d),
        pr::PR_MCE_KILL_GET => {
            if a != 0 || !rest_is_zero {
                return Err(Errno::EINVAL.into());
            }
            Ok(match (caller.process.has_flag(ProcessFlag::MceEarly), caller.process.has_flag(ProcessFlag::MceLate)) {
                (true, _) => pr::PR_MCE_KILL_EARLY,
                (false, true) => pr::PR_MCE_KILL_LATE,
                (false, false) => pr::PR_MCE_KILL_DEFAULT,
            }
            .into())
        }
        pr::PR_SET_THP_DISABLE => {
            if !rest_is_zero {
                return Err(Errno::EINVAL.into());
            }
            set_flag(caller, ProcessFlag::NoHugePages, a != 0);
            Ok(0)
        }
        pr::PR_GET_THP_DISABLE => {
            if a != 0 || !rest_is_zero {
                return Err(Errno::EINVAL.into());
            }
            Ok(u64::from(caller.process.has_flag(ProcessFlag::NoHugePages)))
        }
        // There are no performance events to switch.
        pr::PR_TASK_PERF_EVENTS_DISABLE | pr::PR_TASK_PERF_EVENTS_ENABLE => Ok(0),
        pr::PR_GET_SECCOMP => Ok(caller.thread.filter().map_or(0, |filter| filter.mode() as u64)),
        pr::PR_SET_SECCOMP => super::seccomp::set_by_prctl(caller, a, b),
        // Time is measured as one way only, and reading the time-stamp counter is never forbidden.
        pr::PR_GET_TIMING => Ok(u64::from(pr::PR_TIMING_STATISTICAL)),
        pr::PR_SET_TIMING if a == u64::from(pr::PR_TIMING_STATISTICAL) => Ok(0),
        pr::PR_GET_TSC => {
            memory.write(a, &pr::PR_TSC_ENABLE)?;
            Ok(0)
        }
        pr::PR_SET_TSC if a == u64::from(pr::PR_TSC_ENABLE) => Ok(0),
        _ => Err(Errno::EINVAL.into()),
    }
}

fn set_flag(caller: Caller<'_>, flag: ProcessFlag, on: bool) {
    if on {
        caller.process.set_flag(flag);
    } else {
        caller.process.clear_flag(flag);
    }
}

/// PR_MCE_KILL.
fn mce_kill(caller: Caller<'_>, operation: u64, policy: u64, c: u64, d: u64) -> SysResult {
    if c != 0 || d != 0 {
        return Err(Errno::EINVAL.into());
    }
    let (early, late) = match (operation as u32, policy as u32) {
        (pr::PR_MCE_KILL_CLEAR, 0) | (pr::PR_MCE_KILL_SET, pr::PR_MCE_KILL_DEFAULT) => (false, false),
        (pr::PR_MCE_KILL_SET, pr::PR_MCE_KILL_EARLY) => (true, false),
        (pr::PR_MCE_KILL_SET, pr::PR_MCE_KILL_LATE) => (false, true),
        _ => return Err(Errno::EINVAL.into()),
    };
    set_flag(caller, ProcessFlag::MceEarly, early);
    set_flag(caller, ProcessFlag::MceLate, late);
    Ok(0)
}

fn capability(number: u64) -> SysResult<Capabilities> {
    if number > CAP_LAST {
        return Err(Errno::EINVAL.into());
    }
    Ok(Capabilities::from_bits_truncate(1 << number))
}

fn ambient(caller: Caller<'_>, operation: u64, number: u64, c: u64, d: u64) -> SysResult {
    if c != 0 || d != 0 {
        return Err(Errno::EINVAL.into());
    }
    match operation as u32 {
        pr::PR_CAP_AMBIENT_CLEAR_ALL if number == 0 => {
            caller.change_credentials(|old| Ok(rules::lower_ambient(old, Capabilities::all())))
        }
        pr::PR_CAP_AMBIENT_IS_SET => Ok(u64::from(caller.thread.credentials().ambient.contains(capability(number)?))),
        pr::PR_CAP_AMBIENT_RAISE => {
            let capability = capability(number)?;
            caller.change_credentials(|old| rules::raise_ambient(old, capability))
        }
        pr::PR_CAP_AMBIENT_LOWER => {
            let capability = capability(number)?;
            caller.change_credentials(|old| Ok(rules::lower_ambient(old, capability)))
        }
        _ => Err(Errno::EINVAL.into()),
    }
}

/// Operations of arch_prctl(2).
const ARCH_SET_GS: u64 = 0x1001;
const ARCH_SET_FS: u64 = 0x1002;
const ARCH_GET_FS: u64 = 0x1003;
const ARCH_GET_GS: u64 = 0x1004;
const ARCH_GET_CPUID: u64 = 0x1011;
const ARCH_SET_CPUID: u64 = 0x1012;

pub(crate) fn sys_arch_prctl(caller: Caller<'_>, registers: &mut Registers<'_>) -> SysResult {
    let [operation, address, ..] = registers.context.syscall_args();
    let context = &mut *registers.context;
    match operation {
        ARCH_SET_FS | ARCH_SET_GS if address >= USER_END => Err(Errno::EPERM.into()),
        ARCH_SET_FS => {
            context.fs_base = address;
            Ok(0)
        }
        ARCH_SET_GS => {
            context.gs_base = address;
            Ok(0)
        }
        ARCH_GET_FS => {
            caller.memory().write(address, &context.fs_base)?;
            Ok(0)
        }
        ARCH_GET_GS => {
            caller.memory().write(address, &context.gs_base)?;
            Ok(0)
        }
        ARCH_GET_CPUID => Ok(1),
        // As on a CPU that cannot make `cpuid` fault.
        ARCH_SET_CPUID => Err(Errno::ENODEV.into()),
        _ => Err(Errno::EINVAL.into()),
    }
}

pub(crate) fn sys_personality(caller: Caller<'_>, bits: u64) -> SysResult {
    /// Asks without changing.
    const QUERY: u32 = u32::MAX;
    let bits = bits as u32;
    let old = if bits == QUERY { caller.process.personality() } else { caller.process.set_personality(bits) };
    Ok(u64::from(old))
}

pub(crate) fn sys_set_tid_address(caller: Caller<'_>, address: u64) -> SysResult {
    caller.thread.set_clear_child_tid(address);
    Ok(u64::from(caller.thread.tid().0))
}

/// membarrier(2). The commands that restart sequences or synchronise instruction streams are not offered.
pub(crate) fn sys_membarrier(caller: Caller<'_>, command: u64, flags: u64) -> SysResult {
    const QUERY: u32 = 0;
    const GLOBAL: u32 = 1;
    const GLOBAL_EXPEDITED: u32 = 2;
    const REGISTER_GLOBAL_EXPEDITED: u32 = 4;
    const PRIVATE_EXPEDITED: u32 = 8;
    const REGISTER_PRIVATE_EXPEDITED: u32 = 16;
    const GET_REGISTRATIONS: u32 = 512;
    const ALL: u32 = 31 | GET_REGISTRATIONS;
    if flags as u32 != 0 {
        return Err(Errno::EINVAL.into());
    }
    let everywhere = |registered_only: bool| {
        for space in caller.system.processes.processes().filter_map(|process| process.space()) {
            if !registered_only || u32::from(space.barriers()) & REGISTER_GLOBAL_EXPEDITED != 0 {
                space.barrier();
            }
        }
    };
    match command as u32 {
        QUERY => return Ok(ALL.into()),
        GLOBAL => everywhere(false),
        GLOBAL_EXPEDITED => everywhere(true),
        PRIVATE_EXPEDITED if u32::from(caller.space.barriers()) & REGISTER_PRIVATE_EXPEDITED == 0 => {
            return Err(Errno::EPERM.into());
        }
        PRIVATE_EXPEDITED => caller.space.barrier(),
        REGISTER_GLOBAL_EXPEDITED => caller.space.note_barriers(REGISTER_GLOBAL_EXPEDITED as u8),
        REGISTER_PRIVATE_EXPEDITED => caller.space.note_barriers(REGISTER_PRIVATE_EXPEDITED as u8),
        GET_REGISTRATIONS => return Ok(caller.space.barriers().into()),
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(0)
}
