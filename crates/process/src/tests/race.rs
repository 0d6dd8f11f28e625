//! Real threads: no child is lost, none found twice, between wait and exit.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::vec::Vec;

use abi::Signal;

use crate::testing::{PlainThread, World};
use crate::{CloneFlags, ProcessError};

struct Parked(thread::Thread);

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Parked(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        // A lost wake-up shows as a time-out.
        let before = std::time::Instant::now();
        thread::park_timeout(std::time::Duration::from_secs(20));
        assert!(before.elapsed().as_secs() < 20, "a wake-up was lost");
    }
}

/// Waits for any child as the kernel does: register, scan, sleep.
fn wait_blocking(world: &World, thread: &PlainThread) -> crate::Result<u32> {
    let queue = thread.process().events();
    block_on(queue.wait_until(|| match world.wait(thread) {
        Ok(None) => None,
        Ok(Some((pid, _))) => Some(Ok(pid)),
        Err(error) => Some(Err(error)),
    }))
}

#[test]
fn no_child_is_lost_between_wait_and_exit() {
    const CHILDREN: u32 = 400;
    let world = World::new();
    let children: Vec<_> = (0..CHILDREN).map(|_| world.fork(&world.init)).collect();
    let waiters: Vec<_> = (0..2).map(|_| world.spawn_thread(&world.init)).collect();
    let reaped = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for waiter in &waiters {
            let (world, reaped) = (&world, &reaped);
            scope.spawn(move || {
                loop {
                    match wait_blocking(world, waiter) {
                        Ok(pid) => reaped.lock().unwrap().push(pid),
                        Err(error) => return assert_eq!(error, ProcessError::NoChild),
                    }
                }
            });
        }
        for half in children.chunks(CHILDREN as usize / 2) {
            let world = &world;
            scope.spawn(move || {
                for child in half {
                    world.exit(child, 0);
                    if child.pid().0 % 7 == 0 {
                        thread::yield_now();
                    }
                }
            });
        }
    });
    let mut reaped = reaped.into_inner().unwrap();
    reaped.sort_unstable();
    let expected: Vec<_> = children.iter().map(|child| child.pid().0).collect();
    assert_eq!(reaped, expected);
    world.table.tree().check();
}

#[test]
fn forks_exits_kills_and_look_ups_at_once_leave_a_sound_table() {
    let world = World::new();
    let stop = AtomicBool::new(false);
    let forks = AtomicU32::new(0);
    let shells: Vec<_> = (0..3).map(|_| world.fork(&world.init)).collect();
    thread::scope(|scope| {
        let workers: Vec<_> = shells
            .iter()
            .map(|shell| {
                let (world, forks) = (&world, &forks);
                scope.spawn(move || {
                    for round in 0..300 {
                        let child = world.clone(shell, CloneFlags::FORK, Some(Signal::CHLD));
                        let Ok(child) = child else { continue };
                        forks.fetch_add(1, Ordering::Relaxed);
                        if round % 3 == 0 {
                            world.table.setsid(&child).unwrap();
                        }
                        let grandchild = (round % 2 == 0).then(|| world.fork(&child));
                        world.exit(&child, 0);
                        if let Some(grandchild) = grandchild {
                            world.exit(&grandchild, 0);
                        }
                        assert_eq!(wait_blocking(world, shell), Ok(child.pid().0));
                    }
                })
            })
            .collect();
        let (world, stop) = (&world, &stop);
        scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                while let Ok(Some(_)) = world.wait4(&world.init, -1, 0) {}
                for process in world.table.processes() {
                    assert!(process.pid().0 != 0);
                    world.table.signal_process(&process, crate::signal::SigInfo::kernel(Signal::WINCH)).run();
                }
            }
        });
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        stop.store(true, Ordering::Relaxed);
    });
    while let Ok(Some(_)) = world.wait(&world.init) {}
    assert!(forks.into_inner() > 800);
    assert_eq!(world.table.tree().check(), 4);
    assert_eq!(world.table.process_count(), 4);
    assert_eq!(world.init.identity().user.threads(), 4);
}
