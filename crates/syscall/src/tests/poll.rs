//! Waiting for many files.

use std::vec::Vec;

use abi::linux::general as linux;
use abi::{Errno, PollFd, Signal, Timespec, Timeval};
use process::signal::SigInfo;
use types::Nanos;

use crate::testing::{Task, WAITS, World};

const fn failed(errno: Errno) -> i64 {
    -(errno.number() as i64)
}

const IN: i16 = linux::POLLIN as i16;
const OUT: i16 = linux::POLLOUT as i16;

fn entries(task: &Task, wanted: &[(i64, i16)]) -> u64 {
    let bytes: Vec<u8> = wanted
        .iter()
        .flat_map(|(fd, events)| {
            let entry = PollFd { fd: *fd as i32, events: *events, revents: 0x55 };
            abi::Wire::to_bytes(&entry)
        })
        .collect();
    task.bytes(&bytes)
}

fn results(task: &Task, at: u64, count: u64) -> Vec<i16> {
    (0..count).map(|i| task.get::<PollFd>(at + i * 8).revents).collect()
}

#[test]
fn poll_tells_what_is_ready() {
    let (_, init) = World::new();
    let (reader, writer) = init.pipe();
    let fds = entries(&init, &[(reader, IN), (writer, OUT), (-1, IN), (99, IN)]);
    assert_eq!(init.call(linux::__NR_poll, [fds, 4, u64::MAX]), 2);
    assert_eq!(results(&init, fds, 4), [0, OUT, 0, linux::POLLNVAL as i16]);
    init.write(writer, b"x");
    assert_eq!(init.call(linux::__NR_poll, [fds, 1, 0]), 1);
    assert_eq!(init.call(linux::__NR_poll, [fds, 1 << 20, 0]), failed(Errno::EINVAL));
    assert_eq!(init.call(linux::__NR_close, [writer as u64]), 0);
    init.read(reader, 1).unwrap();
    assert_eq!(init.call(linux::__NR_poll, [fds, 1, 0]), 1);
    assert_eq!(results(&init, fds, 1), [linux::POLLHUP as i16]);
}

#[test]
fn poll_waits_for_a_file_or_the_clock() {
    let (world, init) = World::new();
    let (reader, writer) = init.pipe();
    let fds = entries(&init, &[(reader, IN)]);
    let mut polling = init.start(linux::__NR_poll, [fds, 1, 100]);
    polling.waits();
    init.write(writer, b"x");
    assert_eq!(polling.finish(), 1);
    init.read(reader, 1).unwrap();
    let mut polling = init.start(linux::__NR_poll, [fds, 1, 100]);
    polling.waits();
    world.advance(Nanos::from_millis(99));
    polling.waits();
    world.advance(Nanos::from_millis(1));
    assert_eq!(polling.finish(), 0);
    assert_eq!(init.call(linux::__NR_poll, [0, 0, 0]), 0);
    assert_eq!(init.call(linux::__NR_poll, [0, 0, u64::MAX]), WAITS);
}

#[test]
fn a_signal_ends_poll_and_puts_the_mask_back_later() {
    let (world, init) = World::new();
    let (reader, _) = init.pipe();
    let fds = entries(&init, &[(reader, IN)]);
    let action = init.bytes(&[0x1000_u64, 0, 0, 0].map(u64::to_le_bytes).concat());
    assert_eq!(init.call(linux::__NR_rt_sigaction, [10, action, 0, 8]), 0);
    let mut polling = init.start(linux::__NR_poll, [fds, 1, u64::MAX]);
    polling.waits();
    world.system.processes.signal_process(&init.process, SigInfo::kernel(Signal::USR1)).run();
    assert_eq!(polling.finish(), -516, "goes on by restart_syscall unless a handler runs");
    drop(polling);
    // Taken and blocked, then let in by ppoll alone.
    let mask = init.value(&(1_u64 << 9));
    assert_eq!(init.call(linux::__NR_rt_sigprocmask, [linux::SIG_BLOCK.into(), mask, 0, 8]), 0);
    assert_eq!(init.call(linux::__NR_poll, [fds, 1, u64::MAX]), WAITS);
    let none = init.value(&0_u64);
    let mut polling = init.start(linux::__NR_ppoll, [fds, 1, 0, none, 8]);
    assert_eq!(polling.poll(), core::task::Poll::Ready(-514));
    drop(polling);
    assert!(init.thread.signals().mask().is_empty(), "the old mask comes back after the handler");
    assert_eq!(init.call(linux::__NR_ppoll, [fds, 1, 0, none, 4]), failed(Errno::EINVAL));
}

#[test]
fn ppoll_tells_how_much_time_is_left() {
    let (world, init) = World::new();
    let (reader, writer) = init.pipe();
    let fds = entries(&init, &[(reader, IN)]);
    let time = init.value(&Timespec { tv_sec: 2, tv_nsec: 0 });
    let mut polling = init.start(linux::__NR_ppoll, [fds, 1, time, 0, 8]);
    polling.waits();
    world.advance(Nanos::from_millis(500));
    init.write(writer, b"x");
    assert_eq!(polling.finish(), 1);
    let left: Timespec = init.get(time);
    assert_eq!((left.tv_sec, left.tv_nsec), (1, 500_000_000));
    let bad = init.value(&Timespec { tv_sec: 0, tv_nsec: -1 });
    assert_eq!(init.call(linux::__NR_ppoll, [fds, 1, bad, 0, 8]), failed(Errno::EINVAL));
}

#[test]
fn select_works_on_sets_of_bits() {
    let (world, init) = World::new();
    let (reader, writer) = init.pipe();
    let set = |fds: &[i64]| init.value(&fds.iter().fold(0_u64, |bits, fd| bits | 1 << fd));
    let read = set(&[reader]);
    let write = set(&[writer]);
    let count = (writer + 1) as u64;
    let now = init.value(&Timeval { tv_sec: 0, tv_usec: 0 });
    assert_eq!(init.call(linux::__NR_select, [count, read, write, 0, now]), 1);
    assert_eq!((init.get::<u64>(read), init.get::<u64>(write)), (0, 1 << writer));
    let read = set(&[reader]);
    let time = init.value(&Timeval { tv_sec: 1, tv_usec: 0 });
    let mut selecting = init.start(linux::__NR_select, [count, read, 0, 0, time]);
    selecting.waits();
    world.advance(Nanos::from_secs(1));
    assert_eq!(selecting.finish(), 0);
    assert_eq!(init.get::<u64>(read), 0);
    let closed = set(&[9]);
    assert_eq!(init.call(linux::__NR_select, [64, closed, 0, 0, now]), failed(Errno::EBADF));
    assert_eq!(init.call(linux::__NR_select, [u64::MAX, closed, 0, 0, now]), failed(Errno::EINVAL));
    let bad = init.value(&Timeval { tv_sec: -1, tv_usec: 0 });
    assert_eq!(init.call(linux::__NR_select, [0, 0, 0, 0, bad]), failed(Errno::EINVAL));
    let both = set(&[reader]);
    init.write(writer, b"x");
    assert_eq!(init.call(linux::__NR_pselect6, [count, both, 0, 0, 0, 0]), 1);
}
