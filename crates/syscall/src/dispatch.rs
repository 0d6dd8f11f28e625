//! From number and arguments to the function of a call.

use core::task::Poll;

use abi::Errno;
use abi::linux::general as linux;

use crate::calls::{
    adjtimex, clone, exec, files, futex, ids, info, inspect, memory, memory_lock, namespaces, pidfd, poll,
    posix_timers, power, prctl, process, resource, seccomp, signal, sysv, time, timers,
};
use crate::{Call, Caller, Registers, RestartBlock, SysError, SysResult, own_limits, shortage};

/// Serves a call that need not wait; `None`: it must, or is none of these, and goes to `dispatch`.
#[inline]
pub fn dispatch_now(caller: Caller<'_>, number: u64, args: [u64; 6]) -> Option<SysResult> {
    let [a, b, c, d, ..] = args;
    // Numbers fit 32 bits as on Linux, which ignores the upper half of rax.
    let number = number as u32;
    if shortage::makes_objects(number) && !caller.system.frames.has_headroom() {
        return Some(Err(Errno::ENOMEM.into()));
    }
    Some(match number {
        // These always need what only the slow way has: the whole context, or a future to wait in.
        linux::__NR_fork
        | linux::__NR_vfork
        | linux::__NR_clone
        | linux::__NR_clone3
        | linux::__NR_execve
        | linux::__NR_execveat
        | linux::__NR_exit
        | linux::__NR_exit_group
        | linux::__NR_waitid
        | linux::__NR_nanosleep
        | linux::__NR_clock_nanosleep
        | linux::__NR_pause
        | linux::__NR_arch_prctl
        | linux::__NR_sigaltstack
        | linux::__NR_rt_sigreturn
        | linux::__NR_rt_sigsuspend
        | linux::__NR_rt_sigtimedwait
        | linux::__NR_restart_syscall => return None,
        linux::__NR_wait4 => return process::wait4_now(caller, args),
        linux::__NR_rt_sigaction => signal::sys_rt_sigaction(caller, a, b, c, d),
        linux::__NR_rt_sigprocmask => signal::sys_rt_sigprocmask(caller, a, b, c, d),
        linux::__NR_rt_sigpending => signal::sys_rt_sigpending(caller, a, b),
        linux::__NR_kill => process::sys_kill(caller, a, b),
        linux::__NR_tkill => process::sys_tkill(caller, a, b),
        linux::__NR_tgkill => process::sys_tgkill(caller, a, b, c),
        linux::__NR_rt_sigqueueinfo => process::sys_rt_sigqueueinfo(caller, a, b, c),
        linux::__NR_rt_tgsigqueueinfo => process::sys_rt_tgsigqueueinfo(caller, a, b, c, d),
        linux::__NR_alarm => timers::sys_alarm(caller, a),
        linux::__NR_getitimer => timers::sys_getitimer(caller, a, b),
        linux::__NR_setitimer => timers::sys_setitimer(caller, a, b, c),
        linux::__NR_timer_create => posix_timers::sys_timer_create(caller, a, b, c),
        linux::__NR_timer_settime => posix_timers::sys_timer_settime(caller, a, b, c, d),
        linux::__NR_timer_gettime => posix_timers::sys_timer_gettime(caller, a, b),
        linux::__NR_timer_getoverrun => posix_timers::sys_timer_getoverrun(caller, a),
        linux::__NR_timer_delete => posix_timers::sys_timer_delete(caller, a),

        linux::__NR_setns => namespaces::sys_setns(caller, a, b),
        linux::__NR_unshare => clone::sys_unshare(caller, a),
        linux::__NR_setpgid => process::sys_setpgid(caller, a, b),
        linux::__NR_getpgid => process::sys_getpgid(caller, a),
        linux::__NR_getsid => process::sys_getsid(caller, a),
        linux::__NR_setsid => process::sys_setsid(caller),
        linux::__NR_process_vm_readv => inspect::sys_process_vm(caller, inspect::Direction::Read, args),
        linux::__NR_process_vm_writev => inspect::sys_process_vm(caller, inspect::Direction::Write, args),
        linux::__NR_kcmp => inspect::sys_kcmp(caller, args),
        linux::__NR_pidfd_open => pidfd::sys_pidfd_open(caller, a, b),
        linux::__NR_pidfd_send_signal => pidfd::sys_pidfd_send_signal(caller, a, b, c, d),
        linux::__NR_pidfd_getfd => pidfd::sys_pidfd_getfd(caller, a, b, c),

        linux::__NR_setuid => ids::sys_setuid(caller, a),
        linux::__NR_setgid => ids::sys_setgid(caller, a),
        linux::__NR_setreuid => ids::sys_setreuid(caller, a, b),
        linux::__NR_setregid => ids::sys_setregid(caller, a, b),
        linux::__NR_setresuid => ids::sys_setresuid(caller, a, b, c),
        linux::__NR_getresuid => ids::sys_getresuid(caller, a, b, c),
        linux::__NR_setresgid => ids::sys_setresgid(caller, a, b, c),
        linux::__NR_getresgid => ids::sys_getresgid(caller, a, b, c),
        linux::__NR_setfsuid => ids::sys_setfsuid(caller, a),
        linux::__NR_setfsgid => ids::sys_setfsgid(caller, a),
        linux::__NR_getgroups => ids::sys_getgroups(caller, a, b),
        linux::__NR_setgroups => ids::sys_setgroups(caller, a, b),
        linux::__NR_capget => ids::sys_capget(caller, a, b),
        linux::__NR_capset => ids::sys_capset(caller, a, b),

        linux::__NR_prctl => prctl::sys_prctl(caller, args),
        linux::__NR_seccomp => seccomp::sys_seccomp(caller, a, b, c),
        linux::__NR_personality => prctl::sys_personality(caller, a),
        linux::__NR_set_tid_address => prctl::sys_set_tid_address(caller, a),
        linux::__NR_membarrier => prctl::sys_membarrier(caller, a, b),
        linux::__NR_set_robust_list => futex::sys_set_robust_list(caller, a, b),
        linux::__NR_get_robust_list => futex::sys_get_robust_list(caller, a, b, c),
        linux::__NR_futex => return futex::sys_futex_now(caller, args),

        linux::__NR_getrlimit => resource::sys_getrlimit(caller, a, b),
        linux::__NR_setrlimit => resource::sys_setrlimit(caller, a, b),
        linux::__NR_prlimit64 => resource::sys_prlimit64(caller, a, b, c, d),
        linux::__NR_getrusage => resource::sys_getrusage(caller, a, b),
        linux::__NR_getpriority => resource::sys_getpriority(caller, a, b),
        linux::__NR_setpriority => resource::sys_setpriority(caller, a, b, c),
        linux::__NR_ioprio_set => resource::sys_ioprio_set(caller, a, b, c),
        linux::__NR_ioprio_get => resource::sys_ioprio_get(caller, a, b),
        linux::__NR_sched_setscheduler => resource::sys_sched_setscheduler(caller, a, b, c),
        linux::__NR_sched_getscheduler => resource::sys_sched_getscheduler(caller, a),
        linux::__NR_sched_setparam => resource::sys_sched_setparam(caller, a, b),
        linux::__NR_sched_getparam => resource::sys_sched_getparam(caller, a, b),
        linux::__NR_sched_setattr => resource::sys_sched_setattr(caller, a, b, c),
        linux::__NR_sched_getattr => resource::sys_sched_getattr(caller, a, b, c, d),
        linux::__NR_sched_get_priority_max => resource::sys_sched_priority_bound(a, true),
        linux::__NR_sched_get_priority_min => resource::sys_sched_priority_bound(a, false),
        linux::__NR_sched_rr_get_interval => resource::sys_sched_rr_get_interval(caller, a, b),
        linux::__NR_sched_setaffinity => resource::sys_sched_setaffinity(caller, a, b, c),
        linux::__NR_sched_getaffinity => resource::sys_sched_getaffinity(caller, a, b, c),
        linux::__NR_reboot => return power::reboot_now(caller, a, b, c),

        linux::__NR_mmap => memory::sys_mmap(caller, args),
        linux::__NR_mprotect => memory::sys_mprotect(caller, a, b, c),
        linux::__NR_munmap => memory::sys_munmap(caller, a, b),
        linux::__NR_brk => memory::sys_brk(caller, a),
        linux::__NR_mremap => memory::sys_mremap(caller, args),
        linux::__NR_msync => memory::sys_msync(caller, a, b, c),
        linux::__NR_mincore => memory::sys_mincore(caller, a, b, c),
        linux::__NR_madvise => memory::sys_madvise(caller, a, b, c),
        linux::__NR_mlock => memory_lock::sys_mlock(caller, a, b),
        linux::__NR_mlock2 => memory_lock::sys_mlock2(caller, a, b, c),
        linux::__NR_munlock => memory_lock::sys_munlock(caller, a, b),
        linux::__NR_mlockall => memory_lock::sys_mlockall(caller, a),
        linux::__NR_munlockall => memory_lock::sys_munlockall(caller),

        linux::__NR_gettimeofday => time::sys_gettimeofday(caller, a, b),
        linux::__NR_settimeofday => time::sys_settimeofday(caller, a, b),
        linux::__NR_times => time::sys_times(caller, a),
        linux::__NR_time => time::sys_time(caller, a),
        linux::__NR_clock_settime => time::sys_clock_settime(caller, a, b),
        linux::__NR_adjtimex => adjtimex::sys_adjtimex(caller, a),
        linux::__NR_clock_adjtime => adjtimex::sys_clock_adjtime(caller, a, b),
        linux::__NR_clock_gettime => time::sys_clock_gettime(caller, a, b),
        linux::__NR_clock_getres => time::sys_clock_getres(caller, a, b),

        linux::__NR_syslog => info::sys_syslog(caller, a, b, c),
        linux::__NR_uname => info::sys_uname(caller, a),
        linux::__NR_sysinfo => info::sys_sysinfo(caller, a),
        linux::__NR_sethostname => info::sys_sethostname(caller, a, b),
        linux::__NR_setdomainname => info::sys_setdomainname(caller, a, b),
        linux::__NR_getcpu => info::sys_getcpu(caller, a, b),
        linux::__NR_getrandom => info::sys_getrandom(caller, a, b, c),
        linux::__NR_semget => sysv::sys_semget(caller, a, b, c),
        linux::__NR_semctl => sysv::sys_semctl(caller, a, b, c, d),
        linux::__NR_shmget => sysv::sys_shmget(caller, a, b, c),
        linux::__NR_shmctl => sysv::sys_shmctl(caller, a, b, c),
        linux::__NR_shmat => sysv::sys_shmat(caller, a, b, c),
        linux::__NR_shmdt => sysv::sys_shmdt(caller, a),
        linux::__NR_msgget => sysv::sys_msgget(caller, a, b),
        linux::__NR_msgctl => sysv::sys_msgctl(caller, a, b, c),
        _ => return files::now(caller, number, args),
    })
}

/// Serves a call that [`dispatch_now`] has declined, to its end.
pub(crate) async fn dispatch(caller: Caller<'_>, registers: &mut Registers<'_>) -> SysResult {
    begin(caller, registers).answer().await
}

/// Begins a call that [`dispatch_now`] has declined (a call from user mode always goes there first).
pub(crate) fn begin<'a>(caller: Caller<'a>, registers: &'a mut Registers<'_>) -> Call<'a> {
    let number = registers.context.orig_rax;
    let args = registers.context.syscall_args();
    if caller.process.is_limited() && own_limits::makes_process(number as u32) {
        return Call::waits(async move {
            own_limits::await_creation(caller, number as u32, args).await?;
            begin_permitted(caller, registers, number, args).answer().await
        });
    }
    begin_permitted(caller, registers, number, args)
}

/// [`begin`] for a process that may make another one, if it is about that.
fn begin_permitted<'a>(caller: Caller<'a>, registers: &'a mut Registers<'_>, number: u64, args: [u64; 6]) -> Call<'a> {
    let [a, b, c, d, ..] = args;
    match number as u32 {
        linux::__NR_fork => clone::finish(caller, clone::sys_fork(caller, registers)),
        linux::__NR_vfork => clone::finish(caller, clone::sys_vfork(caller, registers)),
        linux::__NR_clone => clone::finish(caller, clone::sys_clone(caller, registers)),
        linux::__NR_clone3 => clone::finish(caller, clone::sys_clone3(caller, registers)),
        linux::__NR_execve => {
            let begun = exec::sys_execve(caller, registers);
            exec::finish(caller, registers, begun)
        }
        linux::__NR_execveat => {
            let begun = exec::sys_execveat(caller, registers);
            exec::finish(caller, registers, begun)
        }
        linux::__NR_exit => Call::Done(process::sys_exit(registers)),
        linux::__NR_exit_group => Call::Done(process::sys_exit_group(caller, registers)),
        linux::__NR_wait4 => Call::waits(process::sys_wait4(caller, args)),
        linux::__NR_waitid => Call::waits(process::sys_waitid(caller, args)),
        linux::__NR_arch_prctl => Call::Done(prctl::sys_arch_prctl(caller, registers)),
        linux::__NR_rt_sigreturn => Call::Done(signal::sys_rt_sigreturn(caller, registers)),
        linux::__NR_rt_sigsuspend => Call::waits(signal::sys_rt_sigsuspend(caller, a, b)),
        linux::__NR_rt_sigtimedwait => Call::waits(signal::sys_rt_sigtimedwait(caller, a, b, c, d)),
        linux::__NR_sigaltstack => Call::Done(signal::sys_sigaltstack(caller, registers.context.rsp, a, b)),
        linux::__NR_futex => Call::waits(futex::sys_futex(caller, registers.restart, args)),
        linux::__NR_futex_waitv => Call::waits(futex::sys_futex_waitv(caller, args)),
        linux::__NR_sched_yield => Call::waits(sched_yield()),
        linux::__NR_restart_syscall => Call::waits(restart(caller, registers)),
        linux::__NR_nanosleep => Call::begun(time::sys_nanosleep(caller, registers.restart, a, b)),
        linux::__NR_clock_nanosleep => Call::begun(time::sys_clock_nanosleep(caller, registers.restart, args)),
        linux::__NR_pause => Call::waits(time::sys_pause(caller)),
        linux::__NR_reboot => Call::waits(power::sys_reboot(caller)),
        linux::__NR_semop => Call::waits(sysv::sys_semtimedop(caller, a, b, c, 0)),
        linux::__NR_semtimedop => Call::waits(sysv::sys_semtimedop(caller, a, b, c, d)),
        linux::__NR_msgsnd => Call::waits(sysv::sys_msgsnd(caller, a, b, c, d)),
        linux::__NR_msgrcv => Call::waits(sysv::sys_msgrcv(caller, args)),
        file_call => match files::begin(caller, registers.restart, file_call, args) {
            Some(call) => call,
            None => Call::Done(dispatch_other(caller, number, args)),
        },
    }
}

/// Calls that the fast entry serves otherwise, and those that there are not.
fn dispatch_other(caller: Caller<'_>, number: u64, args: [u64; 6]) -> SysResult {
    // While call filters are being set, the fast entry declines even these.
    if let Some(id) = ids::identity(caller.process, caller.thread, number) {
        return Ok(id);
    }
    // The fast entry also declines a call that a signal interrupted before it could wait: it is tried again.
    if let Some(result) = dispatch_now(caller, number, args) {
        return result;
    }
    if caller.system.missing.note(number) {
        log::info!("syscall: {} ({number}) is not implemented", abi::syscall_name(number));
    }
    Err(SysError::Errno(Errno::ENOSYS))
}

/// Lets the threads that wait for a CPU run first.
async fn sched_yield() -> SysResult {
    let mut yielded = false;
    core::future::poll_fn(|cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
    Ok(0)
}

/// Goes on with a call that a signal without handler interrupted.
async fn restart(caller: Caller<'_>, registers: &mut Registers<'_>) -> SysResult {
    match registers.restart.take().map(|block| *block) {
        Some(RestartBlock::Sleep { deadline, remaining }) => {
            time::resume_sleep(caller, registers.restart, deadline, remaining).await
        }
        Some(RestartBlock::Futex { address, operation, value, deadline, bitset }) => {
            let arguments = futex::WaitArguments { address, operation, value, deadline: Some(deadline), bitset };
            futex::resume_wait(caller, registers.restart, arguments).await
        }
        Some(RestartBlock::Poll { fds, count, deadline }) => {
            poll::resume_poll(caller, registers.restart, fds, count, deadline).await
        }
        None => Err(Errno::EINTR.into()),
    }
}
