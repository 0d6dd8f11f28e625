//! Several CPUs at once: sharers that split the same tables at the same moment.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::vec::Vec;

use types::CpuId;

use super::{RW, World};
use crate::MapRequest;
use crate::space::fault::Access;
use crate::testing::Random;

const BASE: u64 = 0x4000_0000 - 8 * 4096;
const PAGES: u64 = 16;

fn load(world: &World, space: &crate::AddressSpace, page: u64) -> u64 {
    let frame = world.hardware.user(space, CpuId(0), BASE + page * 4096, Access::Read).unwrap();
    let mut bytes = [0; 8];
    world.frames.direct_map().read(frame, 0, &mut bytes);
    u64::from_le_bytes(bytes)
}

fn store(world: &World, space: &crate::AddressSpace, page: u64, value: u64) {
    let frame = world.hardware.user(space, CpuId(0), BASE + page * 4096, Access::Write).unwrap();
    world.frames.direct_map().write(frame, 0, &value.to_le_bytes());
}

/// Parent and two children write the same pages together; nobody sees another's.
fn split_together(shared_level: u32) {
    let world = Arc::new(World::new(8192));
    let before = world.free();
    let parent = world.space(shared_level);
    parent.cpu_entered(CpuId(0));
    parent.map(MapRequest::anonymous(PAGES * 4096, RW).at(BASE)).unwrap();
    for round in 0..150 {
        (0..PAGES).for_each(|page| store(&world, &parent, page, round << 8 | page));
        let spaces = [parent.clone(), parent.fork().unwrap(), parent.fork().unwrap()];
        let start = Arc::new(Barrier::new(spaces.len()));
        let threads: Vec<_> = (1_u64..)
            .zip(spaces)
            .map(|(who, space)| {
                let (world, start) = (world.clone(), start.clone());
                space.cpu_entered(CpuId(0));
                thread::spawn(move || {
                    let mut random = Random::new(round * 8 + who);
                    let mut mine = [0; PAGES as usize];
                    start.wait();
                    for step in 0..40 {
                        let page = random.below(PAGES);
                        let expected = match mine[page as usize] {
                            0 => round << 8 | page,
                            own => own,
                        };
                        assert_eq!(load(&world, &space, page), expected, "{who} in round {round}");
                        if random.below(2) == 0 {
                            let value = who << 48 | round << 16 | step | 1 << 63;
                            store(&world, &space, page, value);
                            mine[page as usize] = value;
                        }
                        if random.below(16) == 0 {
                            // A grandchild comes and goes, sharing what is just being split.
                            let child = space.fork().unwrap();
                            child.cpu_entered(CpuId(0));
                            let written = child.write(BASE + page * 4096, &7_u64.to_le_bytes());
                            assert_eq!((written, load(&world, &child, page)), (8, 7));
                            world.hardware.forget(child.root());
                        }
                    }
                    if who != 1 {
                        world.hardware.forget(space.root());
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
    drop(parent);
    assert_eq!(world.free(), before, "a frame leaked");
}

#[test]
fn sharers_that_split_at_once_keep_all_counts_right() {
    (0..=3).for_each(split_together);
}

/// Two last sharers copy a full table at the same moment, thousands of times: whoever drops it last must free it.
#[test]
fn the_last_two_sharers_leave_nothing_behind() {
    const ROUNDS: usize = 1500;
    let world = Arc::new(World::new(8192));
    let before = world.free();
    let parent = world.space(1);
    parent.map(MapRequest::anonymous(512 * 4096, RW).at(0x4000_0000)).unwrap();
    (0..512).for_each(|page| assert_eq!(parent.read(0x4000_0000 + page * 4096, &mut [0]), 1));
    assert_eq!(parent.write(0x4000_0000, &[7]), 1);
    // How many pairs the other thread has reached, and how many may go: both sides start a pair together.
    let (go, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        // Pairs that share a table of their own: the parent's side is split off first.
        let first = parent.fork().unwrap();
        assert_eq!(first.write(0x4000_1000, &[1]), 1);
        theirs.push(first.fork().unwrap());
        ours.push(first);
        if ours.len() == 4 {
            let round = go.load(Ordering::SeqCst);
            let thread = {
                let (go, done, spaces) = (go.clone(), done.clone(), core::mem::take(&mut theirs));
                thread::spawn(move || {
                    for (at, space) in spaces.into_iter().enumerate() {
                        done.fetch_add(1, Ordering::SeqCst);
                        while go.load(Ordering::SeqCst) <= round + at {
                            core::hint::spin_loop();
                        }
                        assert_eq!(space.write(0x4000_0000, &[9]), 1);
                    }
                })
            };
            for (at, space) in ours.drain(..).enumerate() {
                while done.load(Ordering::SeqCst) <= round + at {
                    thread::yield_now();
                }
                go.fetch_add(1, Ordering::SeqCst);
                assert_eq!(space.write(0x4000_0000, &[8]), 1);
            }
            thread.join().unwrap();
        }
    }
    drop((ours, theirs));
    drop(parent);
    assert_eq!(world.free(), before, "a frame leaked");
}

/// Threads of one space fault, fork and unmap together.
#[test]
fn threads_of_one_space_fault_together() {
    let world = Arc::new(World::new(16_384));
    let before = world.free();
    let space = world.space(1);
    let threads: Vec<_> = (0..3_u64)
        .map(|who| {
            let (world, space) = (world.clone(), space.clone());
            space.cpu_entered(CpuId(who as u32));
            thread::spawn(move || {
                let cpu = CpuId(who as u32);
                for round in 0..120_u64 {
                    // Every other time at a place of its own, which nobody else takes once it is free.
                    let own = round % 2 == 1;
                    let request = MapRequest::anonymous(12 * 4096, RW);
                    let request = if own { request.at(BASE + who * 12 * 4096) } else { request };
                    let start = space.map(request).unwrap();
                    for page in 0..12 {
                        let frame = world.hardware.user(&space, cpu, start + page * 4096, Access::Write).unwrap();
                        world.frames.direct_map().write(frame, 0, &(who << 32 | round).to_le_bytes());
                    }
                    let child = (round % 4 == 0).then(|| space.fork().unwrap());
                    for page in 0..12 {
                        let address = start + page * 4096;
                        let frame = world.hardware.user(&space, cpu, address, Access::Write).unwrap();
                        let mut bytes = [0; 8];
                        world.frames.direct_map().read(frame, 0, &mut bytes);
                        assert_eq!(u64::from_le_bytes(bytes), who << 32 | round);
                        let mut bytes = [0; 8];
                        if let Some(child) = &child {
                            assert_eq!(child.read(address, &mut bytes), 8);
                            assert_eq!(u64::from_le_bytes(bytes), who << 32 | round);
                        }
                    }
                    space.unmap(start, 12 * 4096).unwrap();
                    if own {
                        assert!(world.hardware.access(&space, cpu, start, Access::Read).is_err());
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(space.usage().resident, 0);
    drop(space);
    assert_eq!(world.free(), before, "a frame leaked");
}
