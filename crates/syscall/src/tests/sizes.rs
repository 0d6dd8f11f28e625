//! What a call that waits costs: the size of its future is part of every blocked thread.

use core::mem::size_of_val;

use abi::linux::general as linux;
use hal::UserContext;

use crate::calls::{epoll, fd, files, io, message, open, poll, socket};
use crate::testing::{NoFpu, World};
use crate::{Registers, RestartBlock};

/// Bytes that calls on files may add to the future of every thread.
const EVERYBODY: usize = 128;
/// Bytes that a thread blocked in such a call may take besides.
const BLOCKED: usize = 2048;

#[test]
fn blocked_calls_stay_small() {
    let (_, init) = World::new();
    let caller = init.caller();
    let mut context = UserContext::new(0, 0);
    let mut restart: Option<RestartBlock> = None;
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
    let mut registers =
        Registers { context: &mut context, fpu: &mut NoFpu, restart: &mut restart, exit: None, new_space: None };
    let all = size_of_val(&files::wait(caller, &mut registers, 0, args));
    assert!(all <= EVERYBODY, "{all}");
    assert!(sizes.iter().all(|(_, size)| *size <= BLOCKED), "{sizes:?}");
}
