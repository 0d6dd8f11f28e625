//! epoll, eventfd, timerfd, signalfd.

use abi::linux::general as linux;
use abi::{Errno, Itimerspec, Signal, Timespec};
use process::signal::SigInfo;
use types::Nanos;
use vfs::epoll::EpollEvent;

use crate::testing::{Task, WAITS, World};

const fn failed(errno: Errno) -> i64 {
    -(errno.number() as i64)
}

fn watch(task: &Task, epoll: i64, operation: u32, fd: i64, events: u32, data: u64) -> i64 {
    let event = task.bytes(&EpollEvent { events, data }.to_bytes());
    task.call(linux::__NR_epoll_ctl, [epoll as u64, operation.into(), fd as u64, event])
}

fn event(task: &Task, at: u64) -> (u32, u64) {
    let EpollEvent { events, data } = EpollEvent::from_bytes(task.look(at, 12).try_into().unwrap());
    (events, data)
}

#[test]
fn epoll_reports_what_is_ready() {
    let (world, init) = World::new();
    let epoll = init.call(linux::__NR_epoll_create1, [linux::EPOLL_CLOEXEC.into()]);
    assert!(epoll > 0);
    let (reader, writer) = init.pipe();
    assert_eq!(watch(&init, epoll, linux::EPOLL_CTL_ADD, reader, linux::EPOLLIN, 7), 0);
    assert_eq!(watch(&init, epoll, linux::EPOLL_CTL_ADD, reader, linux::EPOLLIN, 7), failed(Errno::EEXIST));
    let out = init.room(120);
    let wait = |timeout: i32| init.start(linux::__NR_epoll_wait, [epoll as u64, out, 10, timeout as u64]);
    assert_eq!(init.call(linux::__NR_epoll_wait, [epoll as u64, out, 10, 0]), 0);
    let mut waiting = wait(1000);
    waiting.waits();
    init.write(writer, b"x");
    assert_eq!(waiting.finish(), 1);
    assert_eq!(event(&init, out), (linux::EPOLLIN, 7));
    assert_eq!(init.call(linux::__NR_epoll_wait, [epoll as u64, out, 10, 0]), 1, "level-triggered");
    init.read(reader, 1).unwrap();
    let mut waiting = wait(1000);
    waiting.waits();
    world.advance(Nanos::from_secs(1));
    assert_eq!(waiting.finish(), 0);
    assert_eq!(watch(&init, epoll, linux::EPOLL_CTL_DEL, reader, 0, 0), 0);
    assert_eq!(watch(&init, epoll, linux::EPOLL_CTL_DEL, reader, 0, 0), failed(Errno::ENOENT));
}

#[test]
fn epoll_refuses_what_makes_no_sense() {
    let (_, init) = World::new();
    let epoll = init.call(linux::__NR_epoll_create, [1]);
    let file = init.open("/tmp/a", linux::O_CREAT | linux::O_RDWR);
    let (reader, _) = init.pipe();
    let out = init.room(12);
    assert_eq!(init.call(linux::__NR_epoll_create, [0]), failed(Errno::EINVAL));
    assert_eq!(init.call(linux::__NR_epoll_create1, [1]), failed(Errno::EINVAL));
    assert_eq!(watch(&init, epoll, linux::EPOLL_CTL_ADD, file, 1, 0), failed(Errno::EPERM));
    assert_eq!(watch(&init, epoll, linux::EPOLL_CTL_ADD, epoll, 1, 0), failed(Errno::EINVAL));
    assert_eq!(watch(&init, reader, linux::EPOLL_CTL_ADD, epoll, 1, 0), failed(Errno::EINVAL));
    assert_eq!(watch(&init, epoll, 9, reader, 1, 0), failed(Errno::EINVAL));
    assert_eq!(watch(&init, epoll, linux::EPOLL_CTL_ADD, 99, 1, 0), failed(Errno::EBADF));
    assert_eq!(init.call(linux::__NR_epoll_ctl, [epoll as u64, 1, reader as u64, 1]), failed(Errno::EFAULT));
    for max in [0, u64::MAX] {
        assert_eq!(init.call(linux::__NR_epoll_wait, [epoll as u64, out, max, 0]), failed(Errno::EINVAL));
    }
    assert_eq!(init.call(linux::__NR_epoll_wait, [reader as u64, out, 1, 0]), failed(Errno::EINVAL));
    assert_eq!(init.call(linux::__NR_epoll_wait, [99, out, 1, 0]), failed(Errno::EBADF));
}

#[test]
fn a_signal_ends_epoll_wait_for_good() {
    let (world, init) = World::new();
    let epoll = init.call(linux::__NR_epoll_create1, [0]) as u64;
    let action = init.bytes(&[0x1000_u64, 0, 0, 0].map(u64::to_le_bytes).concat());
    assert_eq!(init.call(linux::__NR_rt_sigaction, [10, action, 0, 8]), 0);
    let mut waiting = init.start(linux::__NR_epoll_pwait, [epoll, init.room(12), 1, u64::MAX, 0, 8]);
    waiting.waits();
    world.system.processes.signal_process(&init.process, SigInfo::kernel(Signal::USR1)).run();
    assert_eq!(waiting.finish(), failed(Errno::EINTR));
}

#[test]
fn eventfds_count() {
    let (_, init) = World::new();
    let fd = init.call(linux::__NR_eventfd2, [2, linux::EFD_NONBLOCK.into()]);
    assert_eq!(init.write(fd, &3_u64.to_le_bytes()), 8);
    assert_eq!(init.read(fd, 8).unwrap(), 5_u64.to_le_bytes());
    assert_eq!(init.read(fd, 8), Err(failed(Errno::EAGAIN)));
    assert_eq!(init.read(fd, 7), Err(failed(Errno::EINVAL)));
    assert_eq!(init.write(fd, &u64::MAX.to_le_bytes()), failed(Errno::EINVAL));
    let semaphore = init.call(linux::__NR_eventfd2, [2, linux::EFD_SEMAPHORE.into()]);
    assert_eq!(init.read(semaphore, 8).unwrap(), 1_u64.to_le_bytes());
    assert_eq!(init.read(semaphore, 8).unwrap(), 1_u64.to_le_bytes());
    let mut reading = init.start(linux::__NR_read, [semaphore as u64, init.room(8), 8]);
    reading.waits();
    assert_eq!(init.write(semaphore, &1_u64.to_le_bytes()), 8);
    assert_eq!(reading.finish(), 8);
    assert_eq!(init.call(linux::__NR_eventfd2, [0, 1 << 30]), failed(Errno::EINVAL));
}

#[test]
fn timerfds_expire() {
    let (world, init) = World::new();
    let spec = |value: i64, interval: i64| {
        let time = |secs| Timespec { tv_sec: secs, tv_nsec: 0 };
        init.value(&Itimerspec { it_interval: time(interval), it_value: time(value) })
    };
    let fd = init.call(linux::__NR_timerfd_create, [linux::CLOCK_MONOTONIC.into(), 0]) as u64;
    assert_eq!(init.call(linux::__NR_timerfd_settime, [fd, 0, spec(2, 1), 0]), 0);
    let mut reading = init.start(linux::__NR_read, [fd, init.scratch, 8]);
    reading.waits();
    world.advance(Nanos::from_secs(2));
    assert_eq!(reading.finish(), 8);
    assert_eq!(init.get::<u64>(init.scratch), 1);
    world.advance(Nanos::from_secs(3));
    assert_eq!(init.read(fd as i64, 8).unwrap(), 3_u64.to_le_bytes());
    let old = init.room(32);
    assert_eq!(init.call(linux::__NR_timerfd_settime, [fd, 0, spec(0, 0), old]), 0);
    assert_eq!(init.get::<Itimerspec>(old).it_value.tv_sec, 1);
    assert_eq!(init.call(linux::__NR_read, [fd, init.scratch, 8]), WAITS);
    assert_eq!(init.call(linux::__NR_timerfd_create, [99, 0]), failed(Errno::EINVAL));
    assert_eq!(init.call(linux::__NR_timerfd_settime, [0, 0, spec(1, 0), 0]), failed(Errno::EINVAL));
    assert_eq!(init.call(linux::__NR_timerfd_settime, [fd, 0, spec(-1, 0), 0]), failed(Errno::EINVAL));
}

#[test]
fn signals_can_be_read() {
    let (world, init) = World::new();
    let child = init.fork();
    let mask = child.value(&(1_u64 << (Signal::USR1.number() - 1)));
    assert_eq!(child.call(linux::__NR_rt_sigprocmask, [linux::SIG_BLOCK.into(), mask, 0, 8]), 0);
    let fd = child.call(linux::__NR_signalfd4, [u64::MAX, mask, 8, 0]) as u64;
    let out = child.room(128);
    let mut reading = child.start(linux::__NR_read, [fd, out, 128]);
    reading.waits();
    world
        .system
        .processes
        .signal_process(&child.process, SigInfo::user(Signal::USR1, types::Pid(1), types::Uid(5)))
        .run();
    assert_eq!(reading.finish(), 128);
    assert_eq!((child.get::<u32>(out), child.get::<u32>(out + 12), child.get::<u32>(out + 16)), (10, 1, 5));
    assert_eq!(child.call(linux::__NR_signalfd4, [u64::MAX, mask, 4, 0]), failed(Errno::EINVAL));
    assert_eq!(child.call(linux::__NR_signalfd4, [0, mask, 8, 0]), failed(Errno::EINVAL));
}
