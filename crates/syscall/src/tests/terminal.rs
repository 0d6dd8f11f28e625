//! The console, pseudo-terminals, sessions and job control.

use abi::linux::general as linux;
use abi::linux::ioctl as request;
use abi::{Errno, Signal, Termios};
use types::Nanos;

use crate::testing::{Task, WAITS, World};

/// ERESTARTSYS.
const RESTART: i64 = -512;

const fn failed(errno: Errno) -> i64 {
    -(errno.number() as i64)
}

/// A session leader with the console as its terminal, and its descriptor.
fn leader(init: &Task) -> (Task, u64) {
    let shell = init.fork();
    assert_eq!(shell.call(linux::__NR_setsid, []), i64::from(shell.process.pid().0));
    let fd = shell.open("/dev/ttyS0", linux::O_RDWR) as u64;
    (shell, fd)
}

fn foreground(task: &Task, fd: u64) -> i64 {
    let out = task.room(4);
    match task.call(linux::__NR_ioctl, [fd, request::TIOCGPGRP.into(), out]) {
        0 => task.get::<i32>(out).into(),
        error => error,
    }
}

#[test]
fn lines_are_read_when_they_are_complete() {
    let (world, init) = World::new();
    assert_eq!(init.write(1, b"hi\n"), 3);
    assert_eq!(world.screen.take(), b"hi\r\n");
    let buffer = init.room(100);
    let mut reading = init.start(linux::__NR_read, [0, buffer, 100]);
    reading.waits();
    world.type_in(b"on");
    reading.waits();
    world.type_in(b"e\rtwo\r");
    assert_eq!(reading.finish(), 4);
    assert_eq!(init.look(buffer, 4), b"one\n");
    assert_eq!(init.read(0, 100).unwrap(), b"two\n");
}

#[test]
fn raw_reads_obey_minimum_and_time() {
    let (world, init) = World::new();
    let settings = init.room(36);
    let raw = |minimum: u8, time: u8| {
        assert_eq!(init.call(linux::__NR_ioctl, [0, request::TCGETS.into(), settings]), 0);
        let mut termios: Termios = init.get(settings);
        termios.c_lflag &= !(linux::ICANON | linux::ECHO);
        termios.c_cc[linux::VMIN as usize] = minimum;
        termios.c_cc[linux::VTIME as usize] = time;
        let new = init.value(&termios);
        assert_eq!(init.call(linux::__NR_ioctl, [0, request::TCSETS.into(), new]), 0);
    };
    let buffer = init.room(16);
    raw(0, 0);
    assert_eq!(init.call(linux::__NR_read, [0, buffer, 8]), 0);
    raw(0, 5);
    let mut reading = init.start(linux::__NR_read, [0, buffer, 8]);
    reading.waits();
    world.advance(Nanos::from_millis(500));
    assert_eq!(reading.finish(), 0);
    drop(reading);
    raw(3, 2);
    let mut reading = init.start(linux::__NR_read, [0, buffer, 8]);
    reading.waits();
    world.advance(Nanos::from_secs(10));
    reading.waits();
    world.type_in(b"a");
    reading.waits();
    world.advance(Nanos::from_millis(200));
    assert_eq!(reading.finish(), 1, "the time between bytes is over");
    drop(reading);
    raw(1, 0);
    world.type_in(b"b");
    assert_eq!(init.read(0, 8).unwrap(), b"b");
}

#[test]
fn a_session_leader_gets_the_terminal_it_opens() {
    let (_, init) = World::new();
    let (shell, tty) = leader(&init);
    assert_eq!(foreground(&shell, tty), i64::from(shell.process.pgid().0));
    assert!(shell.open("/dev/tty", linux::O_RDWR) > 0);
    let child = shell.fork();
    assert!(child.open("/dev/tty", linux::O_RDWR) > 0);
    assert_eq!(init.open("/dev/tty", linux::O_RDWR), failed(Errno::ENXIO));
    let stranger = init.fork();
    assert!(stranger.call(linux::__NR_setsid, []) > 0);
    let fd = stranger.open("/dev/ttyS0", linux::O_RDWR) as u64;
    assert_eq!(foreground(&stranger, fd), failed(Errno::ENOTTY));
    assert_eq!(stranger.call(linux::__NR_ioctl, [fd, request::TIOCSCTTY.into(), 0]), failed(Errno::EPERM));
    assert_eq!(stranger.call(linux::__NR_ioctl, [fd, request::TIOCSCTTY.into(), 1]), 0, "root may take it");
    assert_eq!(shell.open("/dev/tty", linux::O_RDWR), failed(Errno::ENXIO));
}

#[test]
fn interrupt_keys_reach_the_foreground_group() {
    let (world, init) = World::new();
    let (shell, tty) = leader(&init);
    let job = shell.fork();
    assert_eq!(job.call(linux::__NR_setpgid, [0, 0]), 0);
    let group = shell.value(&(job.process.pid().0 as i32));
    assert_eq!(shell.call(linux::__NR_ioctl, [tty, request::TIOCSPGRP.into(), group]), 0);
    let mut reading = job.start(linux::__NR_read, [tty, job.room(8), 8]);
    reading.waits();
    world.type_in(b"\x03");
    assert_eq!(reading.finish(), RESTART);
    assert!(job.thread.signals().needs_attention());
    assert!(!shell.thread.signals().needs_attention());
    assert_eq!(world.screen.take(), b"^C");
}

#[test]
fn background_readers_are_stopped() {
    let (_, init) = World::new();
    let (shell, tty) = leader(&init);
    let job = shell.fork();
    assert_eq!(job.call(linux::__NR_setpgid, [0, 0]), 0);
    assert_eq!(job.call(linux::__NR_read, [tty, job.room(8), 8]), RESTART);
    assert!(job.thread.signals().needs_attention(), "SIGTTIN");
    let deaf = shell.fork();
    assert_eq!(deaf.call(linux::__NR_setpgid, [0, 0]), 0);
    let ignore = deaf.bytes(&[1_u64, 0, 0, 0].map(u64::to_le_bytes).concat());
    for signal in [Signal::TTIN, Signal::TTOU] {
        assert_eq!(deaf.call(linux::__NR_rt_sigaction, [signal.number().into(), ignore, 0, 8]), 0);
    }
    assert_eq!(deaf.call(linux::__NR_read, [tty, deaf.room(8), 8]), failed(Errno::EIO));
    assert_eq!(deaf.write(tty as i64, b"x"), 1, "writing is allowed without TOSTOP");
    let own = deaf.value(&(deaf.process.pid().0 as i32));
    assert_eq!(deaf.call(linux::__NR_ioctl, [tty, request::TIOCSPGRP.into(), own]), 0);
    assert_eq!(foreground(&shell, tty), i64::from(deaf.process.pid().0));
}

#[test]
fn foreground_groups_must_be_of_the_session() {
    let (_, init) = World::new();
    let (shell, tty) = leader(&init);
    let set = |number: i32| shell.call(linux::__NR_ioctl, [tty, request::TIOCSPGRP.into(), shell.value(&number)]);
    assert_eq!(set(-1), failed(Errno::EINVAL));
    assert_eq!(set(900), failed(Errno::ESRCH));
    assert_eq!(set(1), failed(Errno::EPERM));
    let null = shell.open("/dev/null", linux::O_RDWR) as u64;
    assert_eq!(
        shell.call(linux::__NR_ioctl, [null, request::TIOCSPGRP.into(), shell.value(&1)]),
        failed(Errno::ENOTTY)
    );
    assert_eq!(shell.call(linux::__NR_ioctl, [null, request::TCGETS.into(), shell.room(64)]), failed(Errno::ENOTTY));
}

#[test]
fn pseudo_terminals_come_in_pairs() {
    let (_, init) = World::new();
    let master = init.open("/dev/ptmx", linux::O_RDWR) as u64;
    assert_eq!(init.open("/dev/pts/0", linux::O_RDWR), failed(Errno::EIO), "still locked");
    let unlock = init.value(&0_i32);
    assert_eq!(init.call(linux::__NR_ioctl, [master, request::TIOCSPTLCK.into(), unlock]), 0);
    let number = init.room(4);
    assert_eq!(init.call(linux::__NR_ioctl, [master, request::TIOCGPTN.into(), number]), 0);
    assert_eq!(init.get::<u32>(number), 0);
    let slave = init.open("/dev/pts/0", linux::O_RDWR);
    assert!(slave > 0, "{slave}");
    assert_eq!(init.write(slave, b"out\n"), 4);
    assert_eq!(init.read(master as i64, 100).unwrap(), b"out\r\n");
    let buffer = init.room(16);
    let mut reading = init.start(linux::__NR_read, [slave as u64, buffer, 16]);
    reading.waits();
    assert_eq!(init.write(master as i64, b"in\r"), 3);
    assert_eq!(reading.finish(), 3);
    assert_eq!(init.look(buffer, 3), b"in\n");
    drop(reading);
    assert_eq!(init.call(linux::__NR_read, [slave as u64, buffer, 16]), WAITS);
    assert_eq!(init.call(linux::__NR_close, [master]), 0);
    assert_eq!(init.read(slave, 16).unwrap(), b"", "hung up");
    assert_eq!(init.write(slave, b"x"), failed(Errno::EIO));
}

#[test]
fn generic_requests_work_on_any_file() {
    let (_, init) = World::new();
    let (reader, writer) = init.pipe();
    let fd = reader as u64;
    let on = init.value(&1_i32);
    assert_eq!(init.call(linux::__NR_ioctl, [fd, request::FIONBIO.into(), on]), 0);
    assert_eq!(init.read(reader, 1), Err(failed(Errno::EAGAIN)));
    assert_eq!(init.call(linux::__NR_ioctl, [fd, request::FIOCLEX.into(), 0]), 0);
    assert_eq!(init.call(linux::__NR_fcntl, [fd, linux::F_GETFD.into()]), 1);
    init.write(writer, b"12345");
    let out = init.room(4);
    assert_eq!(init.call(linux::__NR_ioctl, [fd, request::FIONREAD.into(), out]), 0);
    assert_eq!(init.get::<i32>(out), 5);
    assert_eq!(init.call(linux::__NR_ioctl, [99, request::FIONREAD.into(), out]), failed(Errno::EBADF));
}
