//! Descriptors, locks.

use abi::linux::general as linux;
use abi::{Errno, Flock};

use crate::testing::{Task, World};

const fn failed(errno: Errno) -> i64 {
    -(errno.number() as i64)
}

#[test]
fn duplicates_share_the_position() {
    let (_, init) = World::new();
    let fd = init.open("/tmp/a", linux::O_CREAT | linux::O_RDWR);
    assert_eq!(init.write(fd, b"abcdef"), 6);
    assert_eq!(init.call(linux::__NR_dup, [3]), 4);
    assert_eq!(init.call(linux::__NR_lseek, [4, 2, 0]), 2);
    assert_eq!(init.read(3, 2).unwrap(), b"cd");
    assert_eq!(init.call(linux::__NR_dup2, [3, 10]), 10);
    assert_eq!(init.read(10, 2).unwrap(), b"ef");
    assert_eq!(init.call(linux::__NR_dup2, [3, 3]), 3);
    assert_eq!(init.call(linux::__NR_dup2, [77, 77]), failed(Errno::EBADF));
    assert_eq!(init.call(linux::__NR_dup2, [3, 5000]), failed(Errno::EBADF));
    assert_eq!(init.call(linux::__NR_dup3, [3, 3, 0]), failed(Errno::EINVAL));
    assert_eq!(init.call(linux::__NR_dup3, [3, 11, linux::O_CLOEXEC.into()]), 11);
    assert_eq!(init.call(linux::__NR_fcntl, [11, linux::F_GETFD.into()]), 1);
    assert_eq!(init.call(linux::__NR_fcntl, [10, linux::F_GETFD.into()]), 0);
    assert_eq!(init.call(linux::__NR_fcntl, [3, linux::F_DUPFD_CLOEXEC.into(), 20]), 20);
    assert_eq!(init.call(linux::__NR_fcntl, [3, linux::F_DUPFD.into(), 20]), 21);
    assert_eq!(init.call(linux::__NR_fcntl, [3, linux::F_DUPFD.into(), 1 << 20]), failed(Errno::EINVAL));
}

#[test]
fn only_the_low_half_of_a_descriptor_register_counts() {
    let (_, init) = World::new();
    assert_eq!(init.call(linux::__NR_dup, [0xdead_beef_0000_0001]), 3);
    assert_eq!(init.call(linux::__NR_dup, [u64::MAX]), failed(Errno::EBADF));
}

#[test]
fn ranges_are_closed_or_marked() {
    let (_, init) = World::new();
    for _ in 0..5 {
        init.open("/dev/null", linux::O_RDONLY);
    }
    assert_eq!(init.call(linux::__NR_close_range, [4, 5, 0]), 0);
    assert_eq!(init.call(linux::__NR_fcntl, [4, linux::F_GETFD.into()]), failed(Errno::EBADF));
    assert_eq!(init.call(linux::__NR_close_range, [6, u64::from(u32::MAX), 4]), 0);
    assert_eq!(init.call(linux::__NR_fcntl, [7, linux::F_GETFD.into()]), 1);
    assert_eq!(init.call(linux::__NR_close_range, [3, 2, 0]), failed(Errno::EINVAL));
    assert_eq!(init.call(linux::__NR_close_range, [3, 4, 8]), failed(Errno::EINVAL));
}

#[test]
fn flags_are_read_and_set() {
    let (_, init) = World::new();
    let fd = init.open("/tmp/a", linux::O_CREAT | linux::O_WRONLY | linux::O_APPEND) as u64;
    let get = || init.call(linux::__NR_fcntl, [fd, linux::F_GETFL.into()]) as u32;
    assert_eq!(get() & !linux::O_LARGEFILE, linux::O_WRONLY | linux::O_APPEND);
    let set = u64::from(linux::O_NONBLOCK | linux::O_RDWR | linux::O_CREAT);
    assert_eq!(init.call(linux::__NR_fcntl, [fd, linux::F_SETFL.into(), set]), 0);
    assert_eq!(get() & !linux::O_LARGEFILE, linux::O_WRONLY | linux::O_NONBLOCK);
    let path = init.open("/tmp/a", linux::O_PATH) as u64;
    assert_eq!(init.call(linux::__NR_fcntl, [path, linux::F_SETFL.into(), 0]), failed(Errno::EBADF));
    assert_eq!(init.call(linux::__NR_fcntl, [path, linux::F_GETFD.into()]), 0);
    assert_eq!(init.read(path as i64, 1), Err(failed(Errno::EBADF)));
    assert_eq!(init.call(linux::__NR_fcntl, [fd, 9999]), failed(Errno::EINVAL));
    let (reader, _) = init.pipe();
    let pipe = reader as u64;
    assert_eq!(init.call(linux::__NR_fcntl, [pipe, linux::F_GETPIPE_SZ.into()]), 65536);
    assert_eq!(init.call(linux::__NR_fcntl, [pipe, linux::F_SETPIPE_SZ.into(), 5000]), 8192);
    assert_eq!(init.call(linux::__NR_fcntl, [fd, linux::F_GETPIPE_SZ.into()]), failed(Errno::EBADF));
}

fn lock(task: &Task, kind: u32, start: i64, len: i64) -> u64 {
    task.value(&Flock { l_type: kind as i16, l_whence: 0, pad: 0, l_start: start, l_len: len, l_pid: 0, pad1: 0 })
}

#[test]
fn record_locks_exclude_other_processes() {
    let (_, init) = World::new();
    init.open("/tmp/a", linux::O_CREAT | linux::O_RDWR);
    let child = init.fork();
    let set = u64::from(linux::F_SETLK);
    assert_eq!(init.call(linux::__NR_fcntl, [3, set, lock(&init, linux::F_WRLCK, 0, 10)]), 0);
    assert_eq!(child.call(linux::__NR_fcntl, [3, set, lock(&child, linux::F_RDLCK, 5, 1)]), failed(Errno::EAGAIN));
    assert_eq!(child.call(linux::__NR_fcntl, [3, set, lock(&child, linux::F_RDLCK, 10, 1)]), 0);
    let query = lock(&child, linux::F_RDLCK, 0, 100);
    assert_eq!(child.call(linux::__NR_fcntl, [3, linux::F_GETLK.into(), query]), 0);
    let held: Flock = child.get(query);
    assert_eq!((held.l_type as u32, held.l_len, held.l_pid), (linux::F_WRLCK, 10, init.process.pid().0 as i32));
    let wait = lock(&child, linux::F_WRLCK, 0, 1);
    let mut waiting = child.start(linux::__NR_fcntl, [3, linux::F_SETLKW.into(), wait]);
    waiting.waits();
    // Any close of the file gives the process's locks up, even by another descriptor.
    let other = init.open("/tmp/a", linux::O_RDONLY) as u64;
    assert_eq!(init.call(linux::__NR_close, [other]), 0);
    assert_eq!(waiting.finish(), 0);
    let bad = lock(&init, 9, 0, 1);
    assert_eq!(init.call(linux::__NR_fcntl, [3, set, bad]), failed(Errno::EINVAL));
    let before = lock(&init, linux::F_RDLCK, 0, -1);
    assert_eq!(init.call(linux::__NR_fcntl, [3, set, before]), failed(Errno::EINVAL));
}

#[test]
fn two_processes_do_not_wait_for_each_other() {
    let (_, init) = World::new();
    init.open("/tmp/a", linux::O_CREAT | linux::O_RDWR);
    let child = init.fork();
    let (set, wait) = (u64::from(linux::F_SETLK), u64::from(linux::F_SETLKW));
    assert_eq!(init.call(linux::__NR_fcntl, [3, set, lock(&init, linux::F_WRLCK, 0, 1)]), 0);
    assert_eq!(child.call(linux::__NR_fcntl, [3, set, lock(&child, linux::F_WRLCK, 1, 1)]), 0);
    let wanted = lock(&init, linux::F_WRLCK, 1, 1);
    let mut waiting = init.start(linux::__NR_fcntl, [3, wait, wanted]);
    waiting.waits();
    let ring = child.call(linux::__NR_fcntl, [3, wait, lock(&child, linux::F_WRLCK, 0, 1)]);
    assert_eq!(ring, failed(Errno::EDEADLK));
    assert_eq!(child.call(linux::__NR_close, [3]), 0);
    assert_eq!(waiting.finish(), 0);
}

#[test]
fn flocks_belong_to_open_files() {
    let (_, init) = World::new();
    init.open("/tmp/a", linux::O_CREAT | linux::O_RDWR);
    init.open("/tmp/a", linux::O_RDWR);
    let exclusive = u64::from(linux::LOCK_EX);
    let try_exclusive = u64::from(linux::LOCK_EX | linux::LOCK_NB);
    assert_eq!(init.call(linux::__NR_flock, [3, exclusive]), 0);
    assert_eq!(init.call(linux::__NR_flock, [4, try_exclusive]), failed(Errno::EAGAIN));
    let mut waiting = init.start(linux::__NR_flock, [4, exclusive]);
    waiting.waits();
    assert_eq!(init.call(linux::__NR_flock, [3, linux::LOCK_UN.into()]), 0);
    assert_eq!(waiting.finish(), 0);
    assert_eq!(init.call(linux::__NR_flock, [3, 77]), failed(Errno::EINVAL));
}
