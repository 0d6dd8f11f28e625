//! Every operation with its n-th allocation failing: an error, nothing leaked, everything as before.

use std::vec::Vec;

use super::hardware::check_entries;
use super::{RW, World};
use crate::frames::fail_frames_after;
use crate::space::AddressSpace;
use crate::{Advice, MapFlags, MapRequest, MemoryError, Prot, RemapPlacement};

const BASE: u64 = 0x4000_0000 - 4 * 4096;

fn contents(space: &AddressSpace) -> Vec<u8> {
    let mut bytes = std::vec![0; 16 * 4096];
    assert_eq!(space.read(BASE, &mut bytes), bytes.len());
    bytes
}

/// Runs `act` on a forked space with 0, 1, 2, … allocations succeeding until it succeeds; gives the number of failures.
fn every_failure(shared_level: u32, act: impl Fn(&AddressSpace) -> Result<(), MemoryError>) -> u32 {
    for allowed in 0.. {
        let world = World::new(4096);
        let before = world.free();
        let parent = world.space(shared_level);
        parent.map(MapRequest::anonymous(16 * 4096, RW).at(BASE)).unwrap();
        (0..16).for_each(|page| assert_eq!(parent.write(BASE + page * 4096, &[page as u8 + 1; 64]), 64));
        let space = parent.fork().unwrap();
        let expected = contents(&space);
        fail_frames_after(Some(allowed));
        let result = act(&space);
        fail_frames_after(None);
        check_entries(&space);
        check_entries(&parent);
        assert_eq!(contents(&parent), expected);
        if result.is_err() {
            assert_eq!(result, Err(MemoryError::NoMemory));
            assert_eq!(contents(&space), expected, "after {allowed} allocations");
            assert_eq!(act(&space), Ok(()), "the second try has memory");
        }
        drop(space);
        drop(parent);
        assert_eq!(world.free(), before, "a frame leaked after {allowed} allocations");
        if result.is_ok() {
            return allowed as u32;
        }
    }
    0
}

#[test]
fn failures_leave_everything_as_it_was() {
    let full = |done: usize, wanted: usize| if done == wanted { Ok(()) } else { Err(MemoryError::NoMemory) };
    for level in 0..=3 {
        let shared = level > 0;
        let count = every_failure(level, |space| space.fork().map(drop));
        assert!(count >= 4 - level, "fork needs tables: {count}");
        let count = every_failure(level, |space| full(space.write(BASE + 5 * 4096, &[1; 8]), 8));
        assert!(count >= 1, "a copy needs a frame");
        let count = every_failure(level, |space| space.unmap(BASE + 4096, 6 * 4096));
        assert_eq!(count > 0, shared, "splitting a shared table needs one");
        let count = every_failure(level, |space| space.protect(BASE + 4096, 9 * 4096, Prot::READ));
        assert_eq!(count > 0, shared);
        let count = every_failure(level, |space| {
            space.remap(BASE, 16 * 4096, 20 * 4096, RemapPlacement::Fixed(0x5000_0000_0000)).map(drop)
        });
        assert!(count >= 1, "the target needs tables");
        let count = every_failure(level, |space| space.map(MapRequest::anonymous(4096, RW).at(BASE + 4096)).map(drop));
        assert_eq!(count > 0, shared);
        let count = every_failure(level, |space| space.advise(BASE, 4096, Advice::DontNeed));
        assert_eq!(count > 0, shared);
        every_failure(level, |space| {
            let request = MapRequest::anonymous(3 * 4096, RW).shared().with(MapFlags::POPULATE);
            let start = space.map(request)?;
            full(space.write(start, &[1; 3 * 4096]), 3 * 4096)
        });
        every_failure(level, |space| {
            if space.brk(0) == 0 {
                space.set_brk_start(0x1000_0000);
            }
            assert_eq!(space.brk(0x1000_2000), 0x1000_2000);
            full(space.write(0x1000_0ff0, &[1; 32]), 32)
        });
    }
}
