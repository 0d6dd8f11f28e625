//! Pipes against a model, under threads, and at their edges.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use std::task::Wake;
use std::thread;

use super::*;
use crate::testing::Random;

fn read(end: &PipeEnd, len: usize) -> Result<Vec<u8>> {
    let mut out = vec![0; len];
    let count = end.read(0, &mut out)?;
    out.truncate(count);
    Ok(out)
}

/// Runs a future on this thread, sleeping in between: what the kernel's executor does.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

fn queue(end: &PipeEnd, interest: PollEvents) -> Arc<WaitQueue> {
    let mut found = None;
    end.wait_queues(interest, &mut |queue| found = Some(queue.clone()));
    found.unwrap()
}

/// Blocking read and write as the system-call gate does them.
fn read_waiting(end: &PipeEnd, out: &mut [u8]) -> usize {
    let queue = queue(end, PollEvents::READABLE);
    block_on(queue.wait_until(|| match end.read(0, out) {
        Err(VfsError::WouldBlock) => None,
        other => Some(other.unwrap()),
    }))
}

fn write_waiting(end: &PipeEnd, data: &[u8]) -> usize {
    let queue = queue(end, PollEvents::WRITABLE);
    let mut done = 0;
    while done < data.len() {
        done += block_on(queue.wait_until(|| match end.write(0, &data[done..]) {
            Err(VfsError::WouldBlock) => None,
            other => Some(other.unwrap()),
        }));
    }
    done
}

#[test]
fn random_use_equals_a_bounded_queue() {
    let (mut refused, mut torn) = (0, 0);
    for seed in 0..60 {
        let mut random = Random::new(seed);
        let (reader, writer) = Pipe::pair();
        let mut capacity = DEFAULT_CAPACITY;
        let mut model = VecDeque::new();
        for step in 0..600 {
            let size = match random.below(3) {
                0 => random.below(10),
                1 => random.below(5000),
                _ => random.below(70_000),
            } as usize;
            match random.below(8) {
                0..4 => {
                    let data: Vec<u8> = (0..size).map(|_| random.next() as u8).collect();
                    let room = capacity - model.len();
                    let expected = if size == 0 {
                        Ok(0)
                    } else if room == 0 || size <= PIPE_BUF && room < size {
                        refused += 1;
                        Err(VfsError::WouldBlock)
                    } else {
                        torn += usize::from(room < size);
                        Ok(room.min(size))
                    };
                    assert_eq!(writer.write(0, &data), expected, "seed {seed} step {step}");
                    model.extend(&data[..expected.unwrap_or(0)]);
                }
                4..7 => {
                    let got = read(&reader, size);
                    if size > 0 && model.is_empty() {
                        assert_eq!(got, Err(VfsError::WouldBlock), "seed {seed} step {step}");
                    } else {
                        let expected: Vec<u8> = model.drain(..size.min(model.len())).collect();
                        assert_eq!(got, Ok(expected), "seed {seed} step {step}");
                    }
                }
                _ => {
                    let wanted = random.below(200_000);
                    let rounded = (wanted as usize).max(4096).next_power_of_two();
                    let expected = if rounded < model.len() { Err(VfsError::Busy) } else { Ok(rounded as u64) };
                    assert_eq!(writer.control(linux::F_SETPIPE_SZ, wanted), expected, "seed {seed} step {step}");
                    capacity = if expected.is_ok() { rounded } else { capacity };
                }
            }
            assert_eq!(reader.poll().contains(PollEvents::IN), !model.is_empty());
            assert_eq!(writer.poll().contains(PollEvents::OUT), capacity - model.len() >= PIPE_BUF);
        }
    }
    assert!(refused > 100 && torn > 100, "{refused} refused, {torn} torn");
}

#[test]
fn ends_notice_that_the_other_has_gone() {
    let (reader, writer) = Pipe::pair();
    writer.write(0, b"rest").unwrap();
    assert_eq!(reader.poll(), PollEvents::READABLE);
    drop(writer);
    assert_eq!(reader.poll(), PollEvents::READABLE | PollEvents::HUP);
    assert_eq!(read(&reader, 9).unwrap(), b"rest");
    assert_eq!(read(&reader, 9).unwrap(), b"");
    assert_eq!(reader.poll(), PollEvents::HUP);
    let (reader, writer) = Pipe::pair();
    drop(reader);
    assert_eq!(writer.write(0, b"x"), Err(VfsError::BrokenPipe));
    assert_eq!(writer.poll(), PollEvents::WRITABLE | PollEvents::ERR);
}

#[test]
fn each_end_does_one_thing() {
    let (reader, writer) = Pipe::pair();
    assert_eq!(reader.write(0, b"x"), Err(VfsError::BadDescriptor));
    assert_eq!(read(&writer, 1), Err(VfsError::BadDescriptor));
    writer.write(0, b"abc").unwrap();
    let mut queued = [0; 4];
    let caller = Caller::kernel(&types::Credentials::ROOT);
    reader.ioctl(ioctl::FIONREAD, 0, &mut queued, &caller).unwrap();
    assert_eq!(queued, 3_u32.to_le_bytes());
    assert_eq!(reader.control(linux::F_GETPIPE_SZ, 0), Ok(65_536));
    assert_eq!(reader.control(linux::F_SETPIPE_SZ, 1 << 21), Err(VfsError::NotPermitted));
    assert_eq!(reader.control(linux::F_SETPIPE_SZ, u64::MAX), Err(VfsError::InvalidArgument));
}

#[test]
fn a_fifo_opens_when_both_sides_are_there() {
    let fifo = Pipe::new();
    assert_eq!(fifo.open_fifo(PipeAccess::Write, true).err(), Some(VfsError::NoDeviceOrAddress));
    let reader = fifo.open_fifo(PipeAccess::Read, false).unwrap();
    assert!(reader.ready().is_none());
    let writer = fifo.open_fifo(PipeAccess::Write, false).unwrap().ready().unwrap();
    let end = reader.ready().unwrap();
    writer.write(0, b"hello").unwrap();
    // A writer that came and went lets the open of a reader through, too.
    drop(writer);
    assert!(reader.ready().is_some());
    assert_eq!(read(&end, 9).unwrap(), b"hello");
    assert_eq!(read(&end, 9).unwrap(), b"");
    drop((reader, end));
    // Nonblocking readers do not wait; with nobody ever writing there is no hang-up yet.
    let fifo = Pipe::new();
    let end = fifo.open_fifo(PipeAccess::Read, true).unwrap().ready().unwrap();
    assert_eq!(end.poll(), PollEvents::empty());
    assert_eq!(read(&end, 9).unwrap(), b"");
    // Both at once never waits and never sees an end.
    let both = fifo.open_fifo(PipeAccess::Both, false).unwrap().ready().unwrap();
    drop(end);
    assert_eq!(read(&both, 9), Err(VfsError::WouldBlock));
    both.write(0, b"x").unwrap();
    drop(both);
    let again = fifo.open_fifo(PipeAccess::Both, false).unwrap().ready().unwrap();
    assert_eq!(read(&again, 9), Err(VfsError::WouldBlock), "a fifo nobody has open forgets");
}

#[test]
fn giving_an_open_up_leaves_the_fifo() {
    let fifo = Pipe::new();
    let waiting = fifo.open_fifo(PipeAccess::Read, false).unwrap();
    drop(waiting);
    assert_eq!(fifo.open_fifo(PipeAccess::Write, true).err(), Some(VfsError::NoDeviceOrAddress));
}

#[test]
fn threads_that_wait_lose_no_byte_and_no_wake_up() {
    for seed in 0..4 {
        let (reader, writer) = Pipe::pair();
        writer.control(linux::F_SETPIPE_SZ, 4096).unwrap();
        const TOTAL: usize = 2_000_000;
        let producer = thread::spawn(move || {
            let mut random = Random::new(seed);
            let mut sent = 0;
            while sent < TOTAL {
                let size = (1 + random.below(9000) as usize).min(TOTAL - sent);
                let data: Vec<u8> = (sent..sent + size).map(|at| (at % 251) as u8).collect();
                write_waiting(&writer, &data);
                sent += size;
            }
        });
        let mut random = Random::new(seed + 100);
        let mut seen = 0;
        loop {
            let mut out = vec![0; 1 + random.below(9000) as usize];
            let count = read_waiting(&reader, &mut out);
            if count == 0 {
                break;
            }
            assert!(out[..count].iter().enumerate().all(|(i, byte)| *byte == ((seen + i) % 251) as u8));
            seen += count;
        }
        producer.join().unwrap();
        assert_eq!(seen, TOTAL);
    }
}

#[test]
fn short_writes_of_many_writers_are_not_torn() {
    let (reader, writer) = Pipe::pair();
    writer.control(linux::F_SETPIPE_SZ, 8192).unwrap();
    let writers: Vec<_> = (1..=4_u8)
        .map(|mark| {
            let writer = writer.clone();
            thread::spawn(move || (0..500).for_each(|_| assert_eq!(write_waiting(&writer, &[mark; 1000]), 1000)))
        })
        .collect();
    drop(writer);
    let mut seen = Vec::new();
    let mut out = [0; 3000];
    loop {
        let count = read_waiting(&reader, &mut out);
        if count == 0 {
            break;
        }
        seen.extend_from_slice(&out[..count]);
    }
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    assert_eq!(seen.len(), 4 * 500 * 1000);
    assert!(seen.chunks(1000).all(|chunk| chunk.iter().all(|byte| *byte == chunk[0])));
}

#[test]
fn one_byte_back_and_forth() {
    let (ping_reader, ping_writer) = Pipe::pair();
    let (pong_reader, pong_writer) = Pipe::pair();
    let other = thread::spawn(move || {
        let mut byte = [0];
        while read_waiting(&ping_reader, &mut byte) == 1 {
            write_waiting(&pong_writer, &byte);
        }
    });
    for round in 0..20_000_u32 {
        let mut byte = [round as u8];
        write_waiting(&ping_writer, &byte);
        byte = [0];
        assert_eq!((read_waiting(&pong_reader, &mut byte), byte[0]), (1, round as u8));
    }
    drop(ping_writer);
    other.join().unwrap();
}
