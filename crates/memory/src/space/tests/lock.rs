//! Locked memory: what counts, what is brought in, what a fork forgets.

use types::USER_END;

use super::{RW, World};
use crate::space::AddressSpace;
use crate::{Advice, LockMode, MapFlags, MapRequest, MemoryError, Prot, RemapPlacement};

const PAGE: u64 = 4096;
const NO_LIMIT: u64 = u64::MAX;

fn locked(space: &AddressSpace) -> u64 {
    space.usage().locked
}

fn present(space: &AddressSpace, at: u64, pages: usize) -> usize {
    let mut out = [0; 64];
    space.mincore(at, &mut out[..pages]).unwrap();
    out[..pages].iter().map(|page| usize::from(*page)).sum()
}

#[test]
fn locking_counts_each_page_once_and_brings_it_in() {
    let space = World::new(2048).space(1);
    let at = space.map(MapRequest::anonymous(16 * PAGE, RW)).unwrap();
    space.lock(at, 4 * PAGE, LockMode::Present, NO_LIMIT).unwrap();
    assert_eq!((locked(&space), present(&space, at, 16)), (4, 4));
    space.lock(at + 2 * PAGE, 4 * PAGE, LockMode::OnFault, NO_LIMIT).unwrap();
    assert_eq!((locked(&space), present(&space, at, 16)), (6, 4));
    space.unlock(at + PAGE, 2 * PAGE).unwrap();
    assert_eq!(locked(&space), 4);
    space.unmap(at, 4 * PAGE).unwrap();
    assert_eq!(locked(&space), 2);
    space.unlock(at + 4 * PAGE, 12 * PAGE).unwrap();
    assert_eq!((locked(&space), space.usage().areas), (0, 1), "what is alike again is one area");
}

#[test]
fn limit_counts_what_is_not_locked_yet() {
    let space = World::new(2048).space(1);
    let at = space.map(MapRequest::anonymous(16 * PAGE, RW)).unwrap();
    let limit = 4 * PAGE;
    space.lock(at, 4 * PAGE, LockMode::Present, limit).unwrap();
    space.lock(at + PAGE, 2 * PAGE, LockMode::Present, limit).unwrap();
    assert_eq!(space.lock(at + PAGE, 4 * PAGE, LockMode::Present, limit), Err(MemoryError::NoMemory));
    assert_eq!(locked(&space), 4);
    let request = MapRequest::anonymous(PAGE, RW).with(MapFlags::LOCKED);
    assert_eq!(space.map(request.clone()), Err(MemoryError::Again));
    assert_eq!(space.remap(at, 4 * PAGE, 5 * PAGE, RemapPlacement::MayMove), Err(MemoryError::Again));
    space.unlock(at, PAGE).unwrap();
    let more = space.map(request).unwrap();
    assert_eq!((locked(&space), present(&space, more, 1)), (4, 1));
    assert_eq!(space.lock(at, u64::MAX - at - PAGE + 1, LockMode::Present, limit), Err(MemoryError::NoMemory));
    assert_eq!(space.lock(at, u64::MAX - PAGE + 1, LockMode::Present, limit), Err(MemoryError::Invalid));
    assert_eq!(space.lock(USER_END - PAGE, PAGE, LockMode::Present, NO_LIMIT), Err(MemoryError::NoMemory));
}

#[test]
fn hole_ends_a_lock_and_what_lies_before_it_is_locked() {
    let space = World::new(2048).space(1);
    let at = space.map(MapRequest::anonymous(4 * PAGE, RW)).unwrap();
    space.unmap(at + 2 * PAGE, PAGE).unwrap();
    assert_eq!(space.lock(at, 4 * PAGE, LockMode::Present, NO_LIMIT), Err(MemoryError::NoMemory));
    assert_eq!(locked(&space), 2);
    assert_eq!(space.unlock(at, 4 * PAGE), Err(MemoryError::NoMemory));
    assert_eq!(locked(&space), 0);
    space.protect(at, PAGE, Prot::empty()).unwrap();
    assert_eq!(
        space.lock(at, PAGE, LockMode::Present, NO_LIMIT),
        Err(MemoryError::NoMemory),
        "nothing can be brought in"
    );
    assert_eq!(locked(&space), 1);
}

#[test]
fn future_mappings_are_locked_and_a_fork_forgets_it() {
    let world = World::new(2048);
    let space = world.space(1);
    let first = space.map(MapRequest::anonymous(2 * PAGE, RW)).unwrap();
    space.set_brk_start(0x20_0000);
    assert_eq!(space.lock_all(Some(LockMode::Present), None, PAGE), Err(MemoryError::NoMemory));
    space.lock_all(Some(LockMode::Present), Some(LockMode::Present), NO_LIMIT).unwrap();
    assert_eq!((locked(&space), present(&space, first, 2)), (2, 2));
    let second = space.map(MapRequest::anonymous(2 * PAGE, RW)).unwrap();
    assert_eq!((locked(&space), present(&space, second, 2)), (4, 2));
    assert_eq!(space.brk(0x20_1800), 0x20_1800);
    assert_eq!((locked(&space), present(&space, 0x20_0000, 2)), (6, 2));
    space.set_lock_limit(6 * PAGE);
    assert_eq!(space.brk(0x20_3000), 0x20_1800, "beyond the limit");
    let child = space.fork().unwrap();
    assert_eq!((locked(&child), locked(&space)), (0, 6));
    child.map(MapRequest::anonymous(PAGE, RW)).unwrap();
    assert_eq!(locked(&child), 0);
    assert_eq!(space.advise(second, PAGE, Advice::DontNeed), Err(MemoryError::Invalid));
    space.advise(second, PAGE, Advice::DontNeedLocked).unwrap();
    assert_eq!(present(&space, second, 2), 1);
    space.unlock_all();
    space.map(MapRequest::anonymous(PAGE, RW)).unwrap();
    assert_eq!(locked(&space), 0);
}
