//! Epoll over eventfds and pipes, in order and under threads.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::task::{Context, Poll};
use std::task::Wake as StdWake;
use std::thread;

use super::*;
use crate::eventfd::{EventFd, EventFdMode};
use crate::pipe::Pipe;
use crate::testing::Random;

const IN: u32 = linux::EPOLLIN;
const OUT: u32 = linux::EPOLLOUT;
const ET: u32 = linux::EPOLLET;

fn open(file: Arc<dyn File>) -> Arc<OpenFile> {
    OpenFile::anonymous(file, linux::O_RDWR)
}

fn counter(initial: u32) -> Arc<OpenFile> {
    open(EventFd::new(initial, EventFdMode::Counter))
}

fn set(file: &OpenFile, value: u64) {
    file.file().write(0, &value.to_le_bytes()).unwrap();
}

fn clear(file: &OpenFile) {
    file.file().read(0, &mut [0; 8]).unwrap();
}

const fn event(events: u32, data: u64) -> EpollEvent {
    EpollEvent { events, data }
}

fn add(epoll: &Epoll, fd: u32, file: &Arc<OpenFile>, events: u32) -> Result<()> {
    epoll.control(fd, file, EpollChange::Add(event(events, u64::from(fd))))
}

fn collect(epoll: &Epoll) -> Vec<(u64, u32)> {
    let mut out = vec![EpollEvent::default(); 64];
    let count = epoll.collect(&mut out);
    out[..count].iter().map(|event| (event.data, event.events)).collect()
}

#[test]
fn level_triggered_tells_as_long_as_it_is_so() {
    let (epoll, file) = (Epoll::new(), counter(0));
    add(&epoll, 3, &file, IN).unwrap();
    assert_eq!(collect(&epoll), []);
    set(&file, 1);
    assert_eq!(epoll.poll(), PollEvents::READABLE);
    assert_eq!((collect(&epoll), collect(&epoll)), (vec![(3, IN)], vec![(3, IN)]));
    clear(&file);
    assert_eq!(epoll.poll(), PollEvents::empty());
    assert_eq!(collect(&epoll), []);
    set(&file, 1);
    assert_eq!(collect(&epoll), [(3, IN)]);
}

#[test]
fn edge_triggered_tells_each_change() {
    let (epoll, file) = (Epoll::new(), counter(1));
    add(&epoll, 3, &file, IN | ET).unwrap();
    assert_eq!((collect(&epoll), collect(&epoll)), (vec![(3, IN)], vec![]));
    set(&file, 1);
    assert_eq!((collect(&epoll), collect(&epoll)), (vec![(3, IN)], vec![]));
    clear(&file);
    assert_eq!(collect(&epoll), []);
}

#[test]
fn one_shot_is_silent_until_changed() {
    let (epoll, file) = (Epoll::new(), counter(1));
    add(&epoll, 3, &file, IN | linux::EPOLLONESHOT).unwrap();
    assert_eq!((collect(&epoll), collect(&epoll)), (vec![(3, IN)], vec![]));
    set(&file, 1);
    assert_eq!(collect(&epoll), []);
    epoll.control(3, &file, EpollChange::Modify(event(IN, 9))).unwrap();
    assert_eq!(collect(&epoll), [(9, IN)]);
}

#[test]
fn changes_and_removals() {
    let (epoll, file) = (Epoll::new(), counter(1));
    let change = |change| epoll.control(3, &file, change);
    assert_eq!(change(EpollChange::Modify(event(IN, 0))), Err(VfsError::NotFound));
    assert_eq!(change(EpollChange::Delete), Err(VfsError::NotFound));
    add(&epoll, 3, &file, 0).unwrap();
    assert_eq!(add(&epoll, 3, &file, IN), Err(VfsError::Exists));
    assert_eq!(collect(&epoll), []);
    change(EpollChange::Modify(event(IN | OUT, 1))).unwrap();
    assert_eq!(collect(&epoll), [(1, IN | OUT)]);
    add(&epoll, 4, &file, IN).unwrap();
    assert_eq!(collect(&epoll).len(), 2, "the same file by another number");
    change(EpollChange::Delete).unwrap();
    assert_eq!(collect(&epoll), [(4, IN)]);
    let exclusive = event(IN | linux::EPOLLEXCLUSIVE, 0);
    assert_eq!(change(EpollChange::Add(exclusive)), Ok(()));
    assert_eq!(change(EpollChange::Modify(event(IN, 0))), Err(VfsError::InvalidArgument));
}

#[test]
fn closing_a_file_ends_the_watch() {
    let epoll = Epoll::new();
    let (reader, writer) = Pipe::pair();
    let (reader, writer) = (open(reader), open(writer));
    add(&epoll, 3, &reader, IN).unwrap();
    add(&epoll, 4, &writer, 0).unwrap();
    drop(writer);
    assert_eq!(collect(&epoll), [(3, linux::EPOLLHUP)]);
    drop(reader);
    assert_eq!(collect(&epoll), []);
    for _ in 0..1000 {
        let file = counter(0);
        add(&epoll, 5, &file, IN).unwrap();
    }
    assert!(epoll.state.lock().items.len() < 200, "the dead are swept");
}

#[test]
fn always_ready_files_and_epolls_in_rings_are_refused() {
    let epoll = Epoll::new();
    let own = open(epoll.clone());
    assert_eq!(add(&epoll, 3, &own, IN), Err(VfsError::InvalidArgument));
    let chain: Vec<_> = (0..7).map(|_| Epoll::new()).collect();
    let files: Vec<_> = chain.iter().map(|epoll| open(epoll.clone())).collect();
    for level in 0..4 {
        assert_eq!(add(&chain[level], 3, &files[level + 1], IN), Ok(()));
    }
    assert_eq!(add(&chain[4], 3, &files[0], IN), Err(VfsError::SymlinkLoop), "a ring");
    assert_eq!(add(&chain[4], 3, &files[5], IN), Err(VfsError::SymlinkLoop), "too deep below");
    assert_eq!(add(&chain[6], 3, &files[0], IN), Err(VfsError::SymlinkLoop), "too deep above");
    chain[0].control(3, &files[1], EpollChange::Delete).unwrap();
    assert_eq!(add(&chain[4], 3, &files[5], IN), Ok(()));
    // Readiness climbs the whole chain.
    let file = counter(0);
    add(&chain[4], 9, &file, IN).unwrap();
    assert_eq!(collect(&chain[1]), []);
    set(&file, 1);
    assert_eq!(collect(&chain[1]), [(3, IN)]);
    clear(&file);
    assert_eq!(collect(&chain[1]), []);
    set(&file, 1);
    assert_eq!(collect(&chain[1]), [(3, IN)]);
}

#[test]
fn few_slots_are_shared_fairly() {
    let epoll = Epoll::new();
    let files: Vec<_> = (0..5).map(|_| counter(1)).collect();
    for (fd, file) in files.iter().enumerate() {
        add(&epoll, fd as u32, file, IN).unwrap();
    }
    let mut seen = Vec::new();
    for _ in 0..5 {
        let mut out = [EpollEvent::default(); 2];
        assert_eq!(epoll.collect(&mut out), 2);
        seen.extend(out.map(|event| event.data));
    }
    seen.sort_unstable();
    assert_eq!(seen, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]);
}

#[test]
fn random_use_equals_a_model() {
    for seed in 0..100 {
        let mut random = Random::new(seed);
        let epoll = Epoll::new();
        let files: Vec<_> = (0..6).map(|_| counter(0)).collect();
        // Per file: value, watched level-triggered.
        let mut model = [(0_u64, false); 6];
        for _ in 0..300 {
            let at = random.below(6) as usize;
            let (file, (value, watched)) = (&files[at], &mut model[at]);
            match random.below(5) {
                0 => {
                    let expected = if *watched { Err(VfsError::Exists) } else { Ok(()) };
                    assert_eq!(add(&epoll, at as u32, file, IN), expected);
                    *watched = true;
                }
                1 => {
                    let expected = if *watched { Ok(()) } else { Err(VfsError::NotFound) };
                    assert_eq!(epoll.control(at as u32, file, EpollChange::Delete), expected);
                    *watched = false;
                }
                2 => {
                    set(file, 1);
                    *value += 1;
                }
                3 if *value > 0 => {
                    clear(file);
                    *value = 0;
                }
                _ => {
                    let mut found: Vec<u64> = collect(&epoll).iter().map(|(data, _)| *data).collect();
                    found.sort_unstable();
                    let expected: Vec<u64> =
                        (0..6).filter(|at| model[*at as usize].1 && model[*at as usize].0 > 0).collect();
                    assert_eq!(found, expected, "seed {seed}");
                    assert_eq!(epoll.poll().is_empty(), expected.is_empty());
                }
            }
        }
    }
}

struct Unpark(thread::Thread);

impl StdWake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// epoll_wait as the system-call gate does it.
fn wait(epoll: &Epoll, out: &mut [EpollEvent]) -> usize {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = core::pin::pin!(epoll.queue.wait_until(|| match epoll.collect(out) {
        0 => None,
        count => Some(count),
    }));
    loop {
        match core::future::Future::poll(future.as_mut(), &mut Context::from_waker(&waker)) {
            Poll::Ready(count) => return count,
            Poll::Pending => thread::park(),
        }
    }
}

#[test]
fn threads_lose_no_event() {
    for mode in [0, ET] {
        let epoll = Epoll::new();
        let pipes: Vec<_> = (0..4).map(|_| Pipe::pair()).collect();
        let mut readers = Vec::new();
        let mut threads = Vec::new();
        for (fd, (reader, writer)) in pipes.into_iter().enumerate() {
            let reader = open(reader);
            add(&epoll, fd as u32, &reader, IN | mode).unwrap();
            readers.push(reader);
            threads.push(thread::spawn(move || {
                for round in 0..5000 {
                    writer.write(0, &[round as u8]).unwrap();
                    if round % 7 == 0 {
                        thread::yield_now();
                    }
                }
            }));
        }
        let (mut total, mut ended) = (0, 0);
        let mut out = [EpollEvent::default(); 3];
        while ended < 4 {
            let count = wait(&epoll, &mut out);
            for event in &out[..count] {
                let reader = &readers[event.data as usize];
                let mut bytes = [0; 100];
                loop {
                    match reader.file().read(0, &mut bytes) {
                        Ok(0) => {
                            epoll.control(event.data as u32, reader, EpollChange::Delete).unwrap();
                            ended += 1;
                            break;
                        }
                        Ok(count) => total += count,
                        Err(_) => break,
                    }
                }
            }
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(total, 4 * 5000);
    }
}

#[test]
fn what_is_removed_while_ready_takes_no_memory_for_long() {
    let (epoll, file, other) = (Epoll::new(), counter(1), counter(1));
    add(&epoll, 9, &other, IN).unwrap();
    for _ in 0..10_000 {
        add(&epoll, 3, &file, IN).unwrap();
        epoll.control(3, &file, EpollChange::Delete).unwrap();
    }
    assert!(epoll.state.lock().ready.len() < 100);
    assert_eq!(collect(&epoll), [(9, IN)], "and the others stay");
}
