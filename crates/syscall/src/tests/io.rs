//! Reading and writing, waiting and being interrupted.

use std::vec::Vec;

use abi::linux::general as linux;
use abi::{Errno, Signal};
use process::signal::SigInfo;

use crate::testing::{Task, WAITS, World};

/// ERESTARTSYS.
const RESTART: i64 = -512;

const fn failed(errno: Errno) -> i64 {
    -(errno.number() as i64)
}

fn send(task: &Task, signal: Signal) {
    task.world.system.processes.signal_process(&task.process, SigInfo::kernel(signal)).run();
}

fn handle(task: &Task, signal: Signal) {
    let action = task.bytes(&[0x1000_u64, 0, 0, 0].map(u64::to_le_bytes).concat());
    assert_eq!(task.call(linux::__NR_rt_sigaction, [signal.number().into(), action, 0, 8]), 0);
}

fn pending(task: &Task) -> bool {
    task.thread.signals().needs_attention()
}

#[test]
fn a_reader_of_an_empty_pipe_waits() {
    let (_, init) = World::new();
    let (reader, writer) = init.pipe();
    let buffer = init.room(100);
    let mut reading = init.start(linux::__NR_read, [reader as u64, buffer, 100]);
    reading.waits();
    assert_eq!(init.write(writer, b"late"), 4);
    assert_eq!(reading.finish(), 4);
    assert_eq!(init.look(buffer, 4), b"late");
    assert_eq!(init.call(linux::__NR_close, [writer as u64]), 0);
    assert_eq!(init.read(reader, 10).unwrap(), b"");
}

#[test]
fn nonblocking_files_do_not_wait() {
    let (_, init) = World::new();
    let out = init.room(8);
    assert_eq!(init.call(linux::__NR_pipe2, [out, linux::O_NONBLOCK.into()]), 0);
    assert_eq!(init.read(3, 1), Err(failed(Errno::EAGAIN)));
    let mut total = 0;
    let page = init.bytes(&[1; 4096]);
    loop {
        match init.call(linux::__NR_write, [4, page, 4096]) {
            4096 => total += 4096,
            error => {
                assert_eq!(error, failed(Errno::EAGAIN));
                break;
            }
        }
    }
    assert_eq!(total, 65536);
    assert_eq!(init.call(linux::__NR_pipe2, [out, 1 << 30]), failed(Errno::EINVAL));
}

#[test]
fn a_large_write_goes_on_as_the_reader_makes_room() {
    let (_, init) = World::new();
    let (reader, writer) = init.pipe();
    let data: Vec<u8> = (0..100_000_u32).map(|n| n as u8).collect();
    let from = init.bytes(&data);
    let mut writing = init.start(linux::__NR_write, [writer as u64, from, 100_000]);
    writing.waits();
    let mut seen = Vec::new();
    while seen.len() < 60_000 {
        seen.extend(init.read(reader, 10_000).unwrap());
    }
    assert_eq!(writing.finish(), 100_000);
    while seen.len() < 100_000 {
        seen.extend(init.read(reader, 10_000).unwrap());
    }
    assert_eq!(seen, data);
}

#[test]
fn what_was_moved_wins_over_a_signal() {
    let (_, init) = World::new();
    let (_, writer) = init.pipe();
    handle(&init, Signal::USR1);
    let from = init.bytes(&[5; 80_000]);
    let mut writing = init.start(linux::__NR_write, [writer as u64, from, 80_000]);
    writing.waits();
    send(&init, Signal::USR1);
    assert_eq!(writing.finish(), 65_536);
}

#[test]
fn a_signal_before_the_first_byte_restarts_the_read() {
    let (_, init) = World::new();
    let (reader, _) = init.pipe();
    handle(&init, Signal::USR1);
    let mut reading = init.start(linux::__NR_read, [reader as u64, init.room(8), 8]);
    reading.waits();
    send(&init, Signal::USR1);
    assert_eq!(reading.finish(), RESTART);
}

#[test]
fn nobody_to_read_is_sigpipe() {
    let (_, init) = World::new();
    let (reader, writer) = init.pipe();
    handle(&init, Signal::PIPE);
    assert_eq!(init.call(linux::__NR_close, [reader as u64]), 0);
    assert!(!pending(&init));
    assert_eq!(init.write(writer, b"x"), failed(Errno::EPIPE));
    assert!(pending(&init));
}

#[test]
fn the_file_size_limit_is_sigxfsz() {
    let (_, init) = World::new();
    handle(&init, Signal::XFSZ);
    let limit = init.bytes(&[10_u64, 10].map(u64::to_le_bytes).concat());
    assert_eq!(init.call(linux::__NR_setrlimit, [linux::RLIMIT_FSIZE.into(), limit]), 0);
    let fd = init.open("/tmp/a", linux::O_CREAT | linux::O_RDWR);
    assert_eq!(init.write(fd, b"0123456789abc"), 10);
    assert!(!pending(&init));
    assert_eq!(init.write(fd, b"x"), failed(Errno::EFBIG));
    assert!(pending(&init));
    assert_eq!(init.call(linux::__NR_ftruncate, [fd as u64, 11]), failed(Errno::EFBIG));
}

#[test]
fn vectors_are_one_transfer() {
    let (_, init) = World::new();
    let (reader, writer) = init.pipe();
    let parts = [(init.bytes(b"one "), 4), (0, 0), (init.bytes(b"two"), 3)];
    let vector = |parts: &[(u64, u64)]| {
        let bytes: Vec<u8> =
            parts.iter().flat_map(|(base, len)| [base.to_le_bytes(), len.to_le_bytes()]).flatten().collect();
        init.bytes(&bytes)
    };
    assert_eq!(init.call(linux::__NR_writev, [writer as u64, vector(&parts), 3]), 7);
    let (a, b) = (init.room(16), init.room(16));
    assert_eq!(init.call(linux::__NR_readv, [reader as u64, vector(&[(a, 2), (b, 16)]), 2]), 7);
    assert_eq!((init.look(a, 2), init.look(b, 5)), (b"on".to_vec(), b"e two".to_vec()));
    assert_eq!(init.call(linux::__NR_writev, [writer as u64, vector(&parts), 1025]), failed(Errno::EINVAL));
    let negative = vector(&[(a, u64::MAX)]);
    assert_eq!(init.call(linux::__NR_writev, [writer as u64, negative, 1]), failed(Errno::EINVAL));
    assert_eq!(init.call(linux::__NR_writev, [writer as u64, vector(&parts), 0]), 0);
}

#[test]
fn positional_calls_leave_the_position_alone() {
    let (_, init) = World::new();
    let fd = init.open("/tmp/a", linux::O_CREAT | linux::O_RDWR) as u64;
    let text = init.bytes(b"abcdef");
    assert_eq!(init.call(linux::__NR_pwrite64, [fd, text, 6, 2]), 6);
    let out = init.room(16);
    assert_eq!(init.call(linux::__NR_pread64, [fd, out, 3, 3]), 3);
    assert_eq!(init.look(out, 3), b"bcd");
    assert_eq!(init.call(linux::__NR_lseek, [fd, 0, linux::SEEK_CUR.into()]), 0);
    assert_eq!(init.call(linux::__NR_pread64, [fd, out, 3, u64::MAX]), failed(Errno::EINVAL));
    let (reader, _) = init.pipe();
    assert_eq!(init.call(linux::__NR_pread64, [reader as u64, out, 3, 0]), failed(Errno::ESPIPE));
    assert_eq!(init.call(linux::__NR_lseek, [reader as u64, 0, 0]), failed(Errno::ESPIPE));
    assert_eq!(init.call(linux::__NR_lseek, [fd, 0, 99]), failed(Errno::EINVAL));
    let vector = init.bytes(&[out, 3].map(u64::to_le_bytes).concat());
    assert_eq!(init.call(linux::__NR_preadv2, [fd, vector, 1, u64::MAX, 0, 0]), 3);
    assert_eq!(init.call(linux::__NR_lseek, [fd, 0, linux::SEEK_CUR.into()]), 3);
    assert_eq!(init.call(linux::__NR_preadv2, [fd, vector, 1, 0, 0, 1 << 20]), failed(Errno::EOPNOTSUPP));
}

#[test]
fn a_bad_buffer_takes_nothing_from_a_file() {
    let (_, init) = World::new();
    let fd = init.open("/tmp/a", linux::O_CREAT | linux::O_RDWR);
    assert_eq!(init.write(fd, &[3; 8192]), 8192);
    init.call(linux::__NR_lseek, [fd as u64, 0, 0]);
    assert_eq!(init.call(linux::__NR_read, [fd as u64, 0x1000, 100]), failed(Errno::EFAULT));
    assert_eq!(init.call(linux::__NR_lseek, [fd as u64, 0, linux::SEEK_CUR.into()]), 0);
    let end = init.scratch + (1 << 20);
    assert_eq!(init.call(linux::__NR_read, [fd as u64, end - 100, 4096]), 100, "as far as there is memory");
    assert_eq!(init.call(linux::__NR_lseek, [fd as u64, 0, linux::SEEK_CUR.into()]), 100);
    let (reader, writer) = init.pipe();
    assert_eq!(init.write(writer, b"kept"), 4);
    assert_eq!(init.call(linux::__NR_read, [reader as u64, 0x1000, 4]), failed(Errno::EFAULT));
    assert_eq!(init.read(reader, 4).unwrap(), b"kept");
    assert_eq!(init.call(linux::__NR_write, [writer as u64, 0x1000, 4]), failed(Errno::EFAULT));
    assert_eq!(init.call(linux::__NR_read, [fd as u64, u64::MAX - 4, 100]), failed(Errno::EFAULT));
}

#[test]
fn appends_of_any_size_stay_in_one_piece() {
    let (_, init) = World::new();
    let fd = init.open("/tmp/log", linux::O_CREAT | linux::O_WRONLY | linux::O_APPEND);
    assert_eq!(init.write(fd, &[b'a'; 9000]), 9000);
    init.call(linux::__NR_lseek, [fd as u64, 0, 0]);
    assert_eq!(init.write(fd, &[b'b'; 10]), 10);
    let content = init.content("/tmp/log");
    assert_eq!((content.len(), &content[9000..]), (9010, [b'b'; 10].as_slice()));
}

#[test]
fn sendfile_copies_to_a_pipe() {
    let (_, init) = World::new();
    let fd = init.open("/tmp/a", linux::O_CREAT | linux::O_RDWR);
    let data: Vec<u8> = (0..10_000_u32).map(|n| n as u8).collect();
    assert_eq!(init.write(fd, &data), 10_000);
    init.call(linux::__NR_lseek, [fd as u64, 0, 0]);
    let (reader, writer) = init.pipe();
    assert_eq!(init.call(linux::__NR_sendfile, [writer as u64, fd as u64, 0, 20_000]), 10_000);
    assert_eq!(init.read(reader, 20_000).unwrap(), data);
    let offset = init.value(&9990_u64);
    assert_eq!(init.call(linux::__NR_sendfile, [writer as u64, fd as u64, offset, 100]), 10);
    assert_eq!(init.get::<u64>(offset), 10_000);
    assert_eq!(init.call(linux::__NR_sendfile, [writer as u64, reader as u64, 0, 100]), failed(Errno::EINVAL));
    assert_eq!(init.call(linux::__NR_sendfile, [reader as u64, fd as u64, 0, 100]), failed(Errno::EBADF));
}

#[test]
fn ranges_are_copied_between_files() {
    let (_, init) = World::new();
    let a = init.open("/tmp/a", linux::O_CREAT | linux::O_RDWR);
    let b = init.open("/tmp/b", linux::O_CREAT | linux::O_RDWR);
    assert_eq!(init.write(a, b"0123456789"), 10);
    let from = init.value(&4_u64);
    assert_eq!(init.call(linux::__NR_copy_file_range, [a as u64, from, b as u64, 0, 100, 0]), 6);
    assert_eq!(init.content("/tmp/b"), b"456789");
    assert_eq!(init.call(linux::__NR_copy_file_range, [a as u64, from, a as u64, from, 5, 0]), 0, "at the end by now");
    let zero = init.value(&0_u64);
    let overlapping = init.value(&3_u64);
    assert_eq!(
        init.call(linux::__NR_copy_file_range, [a as u64, zero, a as u64, overlapping, 5, 0]),
        failed(Errno::EINVAL)
    );
}

#[test]
fn devices_behave() {
    let (_, init) = World::new();
    let null = init.open("/dev/null", linux::O_RDWR);
    assert_eq!(init.write(null, &[0; 10_000]), 10_000);
    assert_eq!(init.read(null, 10).unwrap(), b"");
    let zero = init.open("/dev/zero", linux::O_RDWR);
    assert_eq!(init.read(zero, 10_000).unwrap(), [0; 10_000]);
    let full = init.open("/dev/full", linux::O_RDWR);
    assert_eq!(init.write(full, b"x"), failed(Errno::ENOSPC));
    let random = init.open("/dev/urandom", linux::O_RDONLY);
    assert_eq!(init.read(random, 32).unwrap().len(), 32);
    assert_eq!(init.open("/dev/tty", linux::O_RDWR), failed(Errno::ENXIO));
    assert_eq!(init.call(linux::__NR_fsync, [null as u64]), failed(Errno::EINVAL));
}

#[test]
fn calls_are_counted() {
    let (_, init) = World::new();
    let (reader, writer) = init.pipe();
    init.write(writer, b"12345");
    init.read(reader, 10).unwrap();
    let usage = init.process.usage().snapshot();
    assert_eq!((usage.write_bytes, usage.write_operations), (5, 1));
    assert_eq!((usage.read_bytes, usage.read_operations), (5, 1));
    assert_eq!(init.call(linux::__NR_read, [reader as u64, init.room(8), 8]), WAITS);
}
