//! Advisory locks, against a byte-by-byte model.

use types::Pid;

use crate::testing::Random;
use crate::{FileLocks, LockKind, LockOwner, RecordLock, VfsError};

fn record(owner: u64, start: u64, end: u64, kind: LockKind) -> RecordLock {
    RecordLock { start, end, kind, owner: LockOwner::Process(owner), pid: Pid(owner as u32) }
}

#[test]
fn record_locks_match_a_model_of_bytes() {
    const BYTES: usize = 24;
    const OWNERS: usize = 3;
    for seed in 0..50 {
        let locks = FileLocks::new();
        let mut model = [[None::<LockKind>; BYTES]; OWNERS];
        let mut random = Random::new(seed);
        for step in 0..300 {
            let owner = random.below(OWNERS as u64) as usize;
            let start = random.below(BYTES as u64) as usize;
            let end = start + random.below((BYTES - start) as u64) as usize;
            let range = start..=end;
            let (from, to) = (start as u64, end as u64);
            if random.below(3) == 0 {
                locks.unlock_record(LockOwner::Process(owner as u64), from, to).unwrap();
                model[owner][range].fill(None);
                continue;
            }
            let kind = if random.below(2) == 0 { LockKind::Shared } else { LockKind::Exclusive };
            let conflict = (0..OWNERS).filter(|other| *other != owner).any(|other| {
                model[other][range.clone()]
                    .iter()
                    .flatten()
                    .any(|held| kind == LockKind::Exclusive || *held == LockKind::Exclusive)
            });
            let lock = record(owner as u64, from, to, kind);
            assert_eq!(locks.conflict(&lock).is_some(), conflict, "seed {seed} step {step}");
            let expected = if conflict { Err(VfsError::WouldBlock) } else { Ok(()) };
            assert_eq!(locks.lock_record(lock), expected, "seed {seed} step {step}");
            if !conflict {
                model[owner][range].fill(Some(kind));
            }
        }
        for owner in 0..OWNERS as u64 {
            locks.release_owner(LockOwner::Process(owner));
        }
        assert_eq!(locks.lock_record(record(9, 0, u64::MAX, LockKind::Exclusive)), Ok(()));
    }
}

#[test]
fn flocks_exclude_each_other_and_convert() {
    let locks = FileLocks::new();
    assert_eq!(locks.flock(1, LockKind::Shared), Ok(()));
    assert_eq!(locks.flock(2, LockKind::Shared), Ok(()));
    assert_eq!(locks.flock(1, LockKind::Exclusive), Err(VfsError::WouldBlock));
    // The failed conversion has given up the shared lock.
    assert_eq!(locks.flock(2, LockKind::Exclusive), Ok(()));
    assert_eq!(locks.flock(1, LockKind::Shared), Err(VfsError::WouldBlock));
    locks.release_flock(2);
    assert_eq!(locks.flock(1, LockKind::Exclusive), Ok(()));
}

#[test]
fn locks_go_with_their_holders() {
    use super::World;
    let world = World::new();
    world.write("/f", b"").unwrap();
    let first = world.open("/f", abi::linux::general::O_RDWR).unwrap();
    let second = world.open("/f", abi::linux::general::O_RDWR).unwrap();
    first.flock(Some(LockKind::Exclusive)).unwrap();
    assert_eq!(second.flock(Some(LockKind::Shared)), Err(VfsError::WouldBlock));
    drop(first);
    assert_eq!(second.flock(Some(LockKind::Exclusive)), Ok(()));
    second.lock_record(record(1, 0, 9, LockKind::Exclusive)).unwrap();
    second.closed_by(1);
    assert_eq!(second.lock_record(record(2, 0, 9, LockKind::Exclusive)), Ok(()));
    let reader = world.open("/f", 0).unwrap();
    assert_eq!(reader.lock_record(record(3, 50, 60, LockKind::Exclusive)), Err(VfsError::BadDescriptor));
}

#[test]
fn as_many_locks_as_there_may_be_can_be_given_up_again() {
    let locks = FileLocks::new();
    let taken = (0..).take_while(|at| locks.lock_record(record(1, at * 4, at * 4 + 2, LockKind::Shared)).is_ok());
    let taken = taken.count() as u64;
    assert_eq!(locks.unlock_record(LockOwner::Process(1), 1, 1), Err(VfsError::NoLocks), "two parts of one");
    assert_eq!(locks.unlock_record(LockOwner::Process(1), 0, 1), Ok(()));
    for at in 0..taken {
        assert_eq!(locks.unlock_record(LockOwner::Process(1), at * 4, at * 4 + 2), Ok(()));
    }
    assert_eq!(locks.lock_record(record(2, 0, u64::MAX, LockKind::Exclusive)), Ok(()));
}
