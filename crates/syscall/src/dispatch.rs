//! From number and arguments to the function of a call.

use abi::Errno;
use abi::linux::general as linux;

use crate::calls::{info, memory, time};
use crate::{Caller, Registers, SysError, SysResult};

/// Serves a call that need not wait; `None`: it must, or is none of these, and goes to [`dispatch`].
#[inline]
pub fn dispatch_now(caller: Caller<'_>, number: u64, args: [u64; 6]) -> Option<SysResult> {
    let [a, b, c, d, e, f] = args;
    let _ = (d, e, f);
    // Numbers fit 32 bits as on Linux, which ignores the upper half of rax.
    Some(match number as u32 {
        linux::__NR_mmap => memory::sys_mmap(caller, args),
        linux::__NR_mprotect => memory::sys_mprotect(caller, a, b, c),
        linux::__NR_munmap => memory::sys_munmap(caller, a, b),
        linux::__NR_brk => memory::sys_brk(caller, a),
        linux::__NR_mremap => memory::sys_mremap(caller, args),
        linux::__NR_msync => memory::sys_msync(caller, a, b, c),
        linux::__NR_mincore => memory::sys_mincore(caller, a, b, c),
        linux::__NR_madvise => memory::sys_madvise(caller, a, b, c),
        linux::__NR_mlock => memory::sys_mlock(caller, a, b),
        linux::__NR_munlock => memory::sys_mlock(caller, a, b),

        linux::__NR_gettimeofday => time::sys_gettimeofday(caller, a, b),
        linux::__NR_settimeofday => time::sys_settimeofday(caller, a, b),
        linux::__NR_times => time::sys_times(caller, a),
        linux::__NR_time => time::sys_time(caller, a),
        linux::__NR_clock_settime => time::sys_clock_settime(caller, a, b),
        linux::__NR_clock_gettime => time::sys_clock_gettime(caller, a, b),
        linux::__NR_clock_getres => time::sys_clock_getres(caller, a, b),

        linux::__NR_uname => info::sys_uname(caller, a),
        linux::__NR_sysinfo => info::sys_sysinfo(caller, a),
        linux::__NR_sethostname => info::sys_sethostname(caller, a, b),
        linux::__NR_setdomainname => info::sys_setdomainname(caller, a, b),
        linux::__NR_getcpu => info::sys_getcpu(caller, a, b),
        linux::__NR_getrandom => info::sys_getrandom(caller, a, b, c),
        _ => return None,
    })
}

/// Serves any call; waits where it must.
pub async fn dispatch(caller: Caller<'_>, registers: &mut Registers<'_>) -> SysResult {
    let number = registers.context.orig_rax;
    let args = registers.context.syscall_args();
    if let Some(result) = dispatch_now(caller, number, args) {
        return result;
    }
    let [a, b, ..] = args;
    match number as u32 {
        linux::__NR_nanosleep => time::sys_nanosleep(caller, registers.restart, a, b).await,
        linux::__NR_clock_nanosleep => time::sys_clock_nanosleep(caller, registers.restart, args).await,
        linux::__NR_pause => time::sys_pause(caller).await,
        _ => {
            if caller.system.missing.note(number) {
                log::info!("syscall: {} ({number}) is not implemented", abi::syscall_name(number));
            }
            Err(SysError::Errno(Errno::ENOSYS))
        }
    }
}
