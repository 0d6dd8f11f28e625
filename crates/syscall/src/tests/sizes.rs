//! What a call that waits costs: the size of its future is part of every blocked thread.

use alloc::boxed::Box;
use core::mem::size_of_val;

use crate::RestartBlock;
use crate::calls::{epoll, fd, futex, io, message, open, poll, process, signal, socket, time};
use crate::testing::World;
use abi::linux::general as linux;
use types::Nanos;

/// Bytes that a thread blocked in such a call may take.
const BLOCKED: usize = 2048;
/// Bytes of those that most blocked threads are in.
const USUAL: usize = 512;

#[test]
fn blocked_calls_stay_small() {
    let (_, init) = World::new();
    let caller = init.caller();
    let mut restart: Option<Box<RestartBlock>> = None;
    let args = [0; 6];
    let sizes = [
        ("read", size_of_val(&io::transfer(caller, linux::__NR_read, args))),
        ("sendfile", size_of_val(&io::sys_sendfile(caller, 0, 0, 0, 0))),
        ("open", size_of_val(&open::open_wait(caller, linux::__NR_open, args))),
        ("poll", size_of_val(&poll::sys_poll(caller, &mut restart, 0, 0, 0))),
        ("ppoll", size_of_val(&poll::sys_ppoll(caller, args))),
        ("select", size_of_val(&poll::sys_select(caller, args))),
        ("pselect6", size_of_val(&poll::sys_pselect6(caller, args))),
        ("epoll_wait", size_of_val(&epoll::sys_epoll_wait(caller, args))),
        ("epoll_pwait", size_of_val(&epoll::sys_epoll_pwait(caller, args))),
        ("message", size_of_val(&message::message(caller, linux::__NR_recvmsg, args))),
        ("connect", size_of_val(&socket::sys_connect(caller, 0, 0, 0))),
        ("accept", size_of_val(&socket::sys_accept4(caller, args))),
        ("fcntl", size_of_val(&fd::fcntl_wait(caller, 0, 0, 0))),
        ("flock", size_of_val(&fd::flock_wait(caller, 0, 0))),
    ];
    assert!(sizes.iter().all(|(_, size)| *size <= BLOCKED), "{sizes:?}");
}

#[test]
fn calls_that_most_threads_are_blocked_in_are_smaller() {
    let (_, init) = World::new();
    let caller = init.caller();
    let args = [0; 6];
    let sizes = [
        ("pause", size_of_val(&time::sys_pause(caller))),
        ("nanosleep", size_of_val(&time::resume_sleep(caller, &mut None, Nanos::ZERO, 0))),
        ("wait4", size_of_val(&process::sys_wait4(caller, args))),
        ("rt_sigsuspend", size_of_val(&signal::sys_rt_sigsuspend(caller, 0, 0))),
        ("rt_sigtimedwait", size_of_val(&signal::sys_rt_sigtimedwait(caller, 0, 0, 0, 0))),
        ("futex", size_of_val(&futex::sys_futex(caller, &mut None, args))),
    ];
    for (name, bytes) in sizes {
        std::println!("{name:16} {bytes:5} bytes");
    }
    assert!(sizes.iter().all(|(_, size)| *size <= USUAL), "{sizes:?}");
}
