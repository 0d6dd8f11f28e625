//! A quota on memory that several spaces have together.

use std::sync::Arc;
use std::vec::Vec;

use hal::{PageFault, PageFaultFlags};
use sync::Quota;

use super::{RW, World};
use crate::space::AddressSpace;
use crate::{FaultOutcome, MapRequest, MemoryError, SpaceLimits};

const PAGES: u64 = 200;

fn touch(space: &AddressSpace, address: u64) -> bool {
    match space.fault(&PageFault { address, flags: PageFaultFlags(6) }) {
        FaultOutcome::Resolved(_) => true,
        FaultOutcome::Limit => false,
        other => panic!("{other:?}"),
    }
}

/// Touches pages until it is refused; how many.
fn fill(space: &AddressSpace) -> u64 {
    let at = space.map(MapRequest::anonymous(PAGES * 2 * 4096, RW)).unwrap();
    (0..PAGES * 2).take_while(|page| touch(space, at + page * 4096)).count() as u64
}

#[test]
fn all_spaces_together_never_hold_more_than_the_quota() {
    let world = World::new(4096);
    let quota = Arc::new(Quota::new(PAGES));
    let spaces: Vec<_> = (0..3).map(|_| world.space(1)).collect();
    spaces.iter().for_each(|space| space.join(&quota).unwrap());
    let held = |spaces: &[Arc<AddressSpace>]| spaces.iter().map(|space| space.resident_pages()).sum::<u64>();
    assert!(fill(&spaces[0]) > PAGES - 64);
    fill(&spaces[1]);
    fill(&spaces[2]);
    assert_eq!((held(&spaces), quota.used()), (PAGES, PAGES), "to the last page");
    assert!(quota.refused() > 0);
    drop(spaces);
    assert_eq!(quota.used(), 0);
}

#[test]
fn what_is_unmapped_is_there_for_others() {
    let world = World::new(4096);
    let quota = Arc::new(Quota::new(PAGES));
    let (one, other) = (world.space(1), world.space(1));
    one.join(&quota).unwrap();
    other.join(&quota).unwrap();
    let at = one.map(MapRequest::anonymous(PAGES * 4096, RW)).unwrap();
    assert!((0..PAGES).all(|page| touch(&one, at + page * 4096)));
    assert_eq!(fill(&other), 0);
    one.unmap(at, PAGES * 4096).unwrap();
    assert!(fill(&other) >= PAGES - 64);
}

#[test]
fn a_copy_counts_for_itself_and_is_refused_without_room() {
    let world = World::new(4096);
    let quota = Arc::new(Quota::new(PAGES));
    let parent = world.space(1);
    parent.join(&quota).unwrap();
    let at = parent.map(MapRequest::anonymous(PAGES * 4096, RW)).unwrap();
    assert!((0..80).all(|page| touch(&parent, at + page * 4096)));
    let child = parent.fork().unwrap();
    assert!(quota.used() >= 160 && quota.used() <= PAGES);
    assert!(matches!(parent.fork(), Err(MemoryError::NoMemory)));
    let before = quota.used();
    drop(child);
    assert!(quota.used() < before);
    assert!(parent.fork().is_ok());
}

#[test]
fn the_own_limit_of_a_space_counts_as_well() {
    let world = World::new(4096);
    let quota = Arc::new(Quota::new(PAGES));
    let space = world.space(1);
    space.join(&quota).unwrap();
    space.set_limits(SpaceLimits { resident_pages: 10, ..SpaceLimits::default() });
    assert_eq!(fill(&space), 10);
    space.lift_resident_limit(5);
    assert_eq!(fill(&space), 5);
    space.set_limits(SpaceLimits::default());
    assert_eq!(fill(&space) + 15, PAGES);
    let late = world.space(1);
    fill(&late);
    assert_eq!(late.join(&quota), Err(MemoryError::NoMemory));
}
