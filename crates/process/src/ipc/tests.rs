use alloc::vec;

use super::msg::{EXCEPT, Queue, TRUNCATE};
use super::sem::{Operation, Set, UNDO};
use super::*;
use types::Pid;

fn user(uid: u32) -> Credentials {
    Credentials::user(Uid(uid), Gid(uid))
}

fn set(key: i32, flags: u32, table: &Table<Set>, who: &Credentials) -> Result<i32, IpcError> {
    table.get(key, flags, who, |_| Ok(()), |permissions| Set::new(permissions, 2, 0))
}

#[test]
fn identifiers_and_keys_follow_linux() {
    let table = Table::new(4);
    let root = Credentials::ROOT;
    assert_eq!(set(5, 0o600, &table, &root), Err(IpcError::NotFound));
    assert_eq!(set(5, CREATE | 0o600, &table, &root), Ok(0));
    assert_eq!(set(5, 0o600, &table, &root), Ok(0));
    assert_eq!(set(5, CREATE | EXCLUSIVE, &table, &root), Err(IpcError::Exists));
    assert_eq!(set(PRIVATE, 0o600, &table, &root), Ok(1));
    assert_eq!(set(5, 0o600, &table, &user(7)), Err(IpcError::AccessDenied));
    assert_eq!(set(5, 0, &table, &user(7)), Ok(0));
    assert!(table.remove(0).is_some());
    assert!(table.find(0).is_err());
    assert_eq!(set(5, 0o600, &table, &root), Err(IpcError::NotFound));
    // The places go on, then begin again with the next sequence number.
    assert_eq!(set(PRIVATE, 0, &table, &root), Ok(2));
    assert_eq!(set(PRIVATE, 0, &table, &root), Ok(3));
    assert_eq!(set(PRIVATE, 0, &table, &root), Ok(1 << 15));
    assert_eq!(set(PRIVATE, 0, &table, &root), Err(IpcError::NoSpace));
    assert!(table.find(0).is_err());
    assert!(table.find(1 << 15).is_ok());
}

#[test]
fn rights_go_by_owner_group_and_the_rest() {
    let mut permissions = Permissions::new(1, 0o640, &user(10));
    assert_eq!(permissions.check(&user(10), READ | ALTER), Ok(()));
    assert_eq!(permissions.check(&user(11), READ), Err(IpcError::AccessDenied));
    let mut member = user(11);
    assert!(member.set_groups(&[Gid(10)]));
    assert_eq!(permissions.check(&member, READ), Ok(()));
    assert_eq!(permissions.check(&member, ALTER), Err(IpcError::AccessDenied));
    assert_eq!(permissions.check(&Credentials::ROOT, ALTER), Ok(()));
    assert_eq!(permissions.check_owner(&member), Err(IpcError::NotPermitted));
    permissions.set(Uid(11), Gid(11), 0o7600);
    assert_eq!((permissions.mode, permissions.check_owner(&user(11))), (0o600, Ok(())));
    assert_eq!(permissions.check(&user(10), READ), Ok(()));
}

fn operation(number: u16, change: i16, flags: u32) -> Operation {
    Operation { number, change, flags }
}

#[test]
fn operations_happen_all_or_not_at_all() {
    let set = Set::new(Permissions::new(0, 0o600, &Credentials::ROOT), 2, 0).unwrap();
    let pid = Pid(3);
    assert_eq!(set.operate(&[operation(0, 2, 0), operation(1, -1, 0)], pid, 1), Err(IpcError::WouldBlock));
    assert_eq!(set.values(), Ok(vec![0, 0]));
    assert_eq!(set.operate(&[operation(0, 2, 0), operation(0, -1, 0)], pid, 1), Ok(()));
    assert_eq!(set.semaphore(0), Ok((1, pid, 0, 0)));
    assert_eq!(set.operate(&[operation(2, 1, 0)], pid, 1), Err(IpcError::NoSemaphore));
    assert_eq!(set.operate(&[operation(0, 32767, 0)], pid, 1), Err(IpcError::OutOfRange));
    let wait = set.wait_for(&[operation(0, 0, 0)], pid);
    assert_eq!(set.semaphore(0), Ok((1, pid, 0, 1)));
    drop(wait);
    assert_eq!(set.semaphore(0), Ok((1, pid, 0, 0)));
    assert!(set.wait_for(&[operation(0, -1, 0)], pid).is_none());
    assert!(set.must_not_wait(&[operation(1, -1, NO_WAIT)], pid));
    set.mark_removed();
    assert_eq!(set.operate(&[operation(0, 1, 0)], pid, 1), Err(IpcError::Removed));
}

#[test]
fn the_end_of_a_process_undoes_what_it_asked_for() {
    let set = Set::new(Permissions::new(0, 0o600, &Credentials::ROOT), 2, 0).unwrap();
    assert_eq!(set.set_values(&[5, 0], Pid(1), 1), Ok(()));
    assert_eq!(set.operate(&[operation(0, -2, UNDO), operation(1, 3, UNDO)], Pid(4), 1), Ok(()));
    assert_eq!(set.operate(&[operation(0, -1, UNDO), operation(1, -4, UNDO)], Pid(4), 1), Err(IpcError::WouldBlock));
    assert_eq!(set.values(), Ok(vec![3, 3]));
    set.process_ended(Pid(5), 2);
    assert_eq!(set.values(), Ok(vec![3, 3]));
    set.process_ended(Pid(4), 2);
    assert_eq!(set.values(), Ok(vec![5, 0]));
    assert_eq!(set.operate(&[operation(0, -2, UNDO)], Pid(4), 1), Ok(()));
    assert_eq!(set.set_value(0, 1, Pid(1), 3), Ok(()));
    set.process_ended(Pid(4), 4);
    assert_eq!(set.values(), Ok(vec![1, 0]));
}

#[test]
fn messages_are_taken_by_kind() {
    let queue = Queue::new(Permissions::new(0, 0o600, &Credentials::ROOT), 0);
    let pid = Pid(2);
    for (kind, text) in [(3, "three"), (1, "one"), (2, "two"), (1, "uno")] {
        assert_eq!(queue.send(kind, &mut text.as_bytes().to_vec(), pid, 1), Ok(()));
    }
    let take = |kind, room, flags| queue.receive(kind, room, flags, pid, 1).map(|(kind, text)| (kind, text.len()));
    assert_eq!(take(-2, 100, 0), Ok((1, 3)));
    assert_eq!(take(9, 100, 0), Err(IpcError::WouldBlock));
    assert_eq!(take(3, 2, 0), Err(IpcError::TooBig));
    assert_eq!(take(3, 100, EXCEPT), Ok((2, 3)));
    assert_eq!(take(0, 2, TRUNCATE), Ok((3, 5)));
    assert_eq!((queue.info().bytes, queue.info().count), (3, 1));
    let mut large = vec![0; 8192];
    assert_eq!(queue.send(1, &mut large, pid, 1), Ok(()));
    assert_eq!(queue.send(1, &mut vec![0; 8192], pid, 1), Err(IpcError::WouldBlock));
    queue.mark_removed();
    assert_eq!(queue.receive(0, 10, 0, pid, 1), Err(IpcError::Removed));
}
