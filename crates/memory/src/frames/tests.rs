//! The frame allocator against sets of frames.

use std::collections::{BTreeMap, BTreeSet};
use std::vec::Vec;

use super::*;
use crate::testing::{Random, machine};

#[test]
fn every_frame_is_handed_out_once_and_comes_back() {
    let frames = machine(2048, 0);
    let before = frames.stats();
    let mut seen = BTreeSet::new();
    while let Some(frame) = frames.alloc(Purpose::User) {
        assert!(frame.is_aligned(4096_u64) && seen.insert(frame));
    }
    assert_eq!(seen.len() as u64, before.free);
    assert_eq!(frames.stats().free, 0);
    assert_eq!(frames.stats().by_kind[FrameKind::User as usize], before.free);
    seen.into_iter().for_each(|frame| frames.release(frame));
    assert_eq!(frames.stats(), before);
    assert!(frames.alloc_contiguous(Purpose::User, 9).is_some(), "chunks merge again");
}

#[test]
fn users_stop_at_the_reserve_and_the_kernel_does_not() {
    let frames = machine(2048, 300);
    let users: Vec<_> = core::iter::from_fn(|| frames.alloc(Purpose::User)).collect();
    assert_eq!(frames.stats().free, 300);
    assert!(frames.alloc_zeroed(Purpose::FileData).is_none() && frames.alloc_contiguous(Purpose::Table, 1).is_none());
    assert!(!frames.above_reserve());
    let kernel: Vec<_> = core::iter::from_fn(|| frames.alloc(Purpose::Kernel)).collect();
    assert_eq!(kernel.len(), 300);
    users.into_iter().chain(kernel).for_each(|frame| frames.release(frame));
    assert!(frames.above_reserve());
}

#[test]
fn random_blocks_do_not_overlap() {
    let frames = machine(4096, 0);
    let before = frames.stats();
    let mut random = Random::new(3);
    let mut live: BTreeMap<u64, u32> = BTreeMap::new();
    for _ in 0..30_000 {
        if random.below(2) == 0 {
            let order = if random.below(3) == 0 { random.below(9) as u32 } else { 0 };
            if let Some(block) = frames.alloc_contiguous(Purpose::Kernel, order) {
                let start = block.as_u64() / 4096;
                assert_eq!(start % (1 << order), 0);
                if let Some((below, order)) = live.range(..start).next_back() {
                    assert!(below + (1 << order) <= start);
                }
                assert!(live.range(start..start + (1 << order)).next().is_none());
                live.insert(start, order);
            }
        } else if let Some((start, order)) = live.range(random.below(4096)..).next().map(|(s, o)| (*s, *o)) {
            live.remove(&start);
            frames.release_contiguous(PhysAddr::new(start * 4096), order);
        }
    }
    live.into_iter().for_each(|(start, order)| frames.release_contiguous(PhysAddr::new(start * 4096), order));
    assert_eq!(frames.stats(), before);
}

#[test]
fn zeroed_frames_are_zero_and_references_count() {
    let frames = machine(2048, 0);
    let dirty: Vec<_> = (0..200).map(|_| frames.alloc(Purpose::User).unwrap()).collect();
    for frame in &dirty {
        frames.direct_map().write(*frame, 0, &[0xa5; 4096]);
        frames.retain(*frame);
        frames.release(*frame);
        assert_eq!(frames.references(*frame), 1);
    }
    dirty.into_iter().for_each(|frame| frames.release(frame));
    for _ in 0..500 {
        let mut bytes = [1; 4096];
        frames.direct_map().read(frames.alloc_zeroed(Purpose::User).unwrap(), 0, &mut bytes);
        assert_eq!(bytes, [0; 4096]);
    }
}

#[test]
fn the_last_of_two_droppers_frees() {
    let frames = machine(8192, 0);
    let before = frames.stats();
    for _ in 0..20 {
        let all: Vec<_> = (0..4000).map(|_| frames.alloc(Purpose::User).unwrap()).collect();
        all.iter().for_each(|frame| frames.retain(*frame));
        let other = all.clone();
        let thread = std::thread::spawn(move || other.into_iter().for_each(|frame| frames.release(frame)));
        all.into_iter().for_each(|frame| frames.release(frame));
        thread.join().unwrap();
    }
    assert_eq!(frames.stats().free, before.free);
}

#[test]
fn regions_may_have_holes_ragged_edges_and_come_later() {
    let map = DirectMap::host(256 << 20);
    let region = |start, end, node| MemoryRegion { start, end, node };
    let frames = Frames::new(
        map,
        &[region(0x500, 0x9_f800, 0), region(0x10_0000, 0x200_3000, 0), region(0xa00_5000, 0xb00_0000, 1)],
        0,
    )
    .unwrap();
    let total = frames.stats().total;
    assert_eq!(total + frames.stats().metadata, 0x9e + 0x1f03 + 0xffb);
    assert!(frames.add_region(region(0xb00_0000, 0xc00_0000, 1)));
    assert!(frames.add_region(region(0x9_f800, 0xa_0000, 0)), "less than a page is nothing");
    assert!(!frames.add_region(region(1 << 40, 2 << 40, 0)));
    let count = core::iter::from_fn(|| frames.alloc(Purpose::Kernel)).count() as u64;
    assert_eq!(count + 1, frames.stats().total, "all but the frame of zeroes");
}

#[test]
fn cpus_prefer_their_own_node() {
    let map = DirectMap::host(128 << 20);
    let region = |start, end, node| MemoryRegion { start, end, node };
    let frames = Frames::new(map, &[region(0x10_0000, 64 << 20, 0), region(64 << 20, 128 << 20, 1)], 0).unwrap();
    frames.set_cpu_node(CpuId(0), 1);
    while frames.alloc(Purpose::User).unwrap().as_u64() < 64 << 20 {}
    assert!((0..100).all(|_| frames.alloc(Purpose::User).unwrap().as_u64() >= 64 << 20));
}

#[test]
fn memory_is_assigned_to_nodes_after_boot() {
    const MIB: u64 = 1 << 20;
    let map = DirectMap::host(160 * MIB as usize);
    let region = |start, end, node| MemoryRegion { start, end, node };
    let frames = Frames::new(map, &[region(MIB, 160 * MIB, 0)], 0).unwrap();
    let used: Vec<_> = (0..100).map(|_| frames.alloc_contiguous(Purpose::Kernel, 3).unwrap()).collect();
    let before = frames.stats();
    // A hole that no range names, a boundary within a chunk, a range beyond memory, one turned round.
    frames.assign_nodes(&[
        region(100 * MIB + 4096, 140 * MIB, 1),
        region(0, 64 * MIB, 0),
        region(64 * MIB, 100 * MIB, 2),
        region(1 << 40, 2 << 40, 3),
        region(90 * MIB, 80 * MIB, 4),
    ]);
    assert_eq!(frames.stats(), before, "nothing is lost or gained");
    let free: Vec<u64> = frames.free_by_node().collect();
    assert_eq!(free.iter().skip(1).copied().collect::<Vec<_>>(), [40 * 256, 36 * 256, 0, 0, 0, 0, 0]);
    frames.set_cpu_node(CpuId(0), 1);
    while !(100 * MIB..140 * MIB).contains(&frames.alloc(Purpose::User).unwrap().as_u64()) {}
    assert!((0..1000).all(|_| (100 * MIB..140 * MIB).contains(&frames.alloc(Purpose::User).unwrap().as_u64())));
    used.into_iter().for_each(|block| frames.release_contiguous(block, 3));
    let rest = core::iter::from_fn(|| frames.alloc(Purpose::Kernel)).count() as u64;
    assert!(rest > 35_000 && frames.stats().free == 0, "{rest} frames of all nodes once the own one is empty");
}
