//! Who gives up, or ends, leaves nobody asleep.

use super::pi::Word;
use super::*;

fn counted() -> (Arc<Count>, Waker) {
    let count = Arc::new(Count(AtomicUsize::new(0)));
    (count.clone(), Waker::from(count))
}

#[test]
fn who_is_told_that_a_lock_is_free_and_gives_up_tells_the_next() {
    let table = Table::new();
    let word = AtomicU32::new(10);
    let alive = |_: Tid| true;
    let mut first = table.lock_pi(1, Tid(11), 0, Word(&word), alive);
    let mut second = table.lock_pi(1, Tid(12), 5, Word(&word), alive);
    let (told, waker) = counted();
    assert!(poll(&mut first).is_pending());
    assert!(Pin::new(&mut second).poll(&mut Context::from_waker(&waker)).is_pending());
    // As when the lock was freed by one who had not seen them yet: the first is told, and its time is up.
    word.store(0, Ordering::SeqCst);
    assert!(first.cancel());
    assert_eq!(told.0.load(Ordering::SeqCst), 1);
    assert_eq!(poll(&mut second), Poll::Ready(Ok(())));
    assert_eq!(word.load(Ordering::SeqCst), 12);
}

#[test]
fn who_comes_between_an_owners_end_and_its_heir_is_not_told_that_there_is_no_owner() {
    let table = Table::new();
    let word = AtomicU32::new(10);
    let dead = core::cell::Cell::new(false);
    let alive = |tid: Tid| !(dead.get() && tid == Tid(10));
    let mut heir = table.lock_pi(1, Tid(11), 0, Word(&word), alive);
    assert!(poll(&mut heir).is_pending());
    dead.set(true);
    assert_eq!(table.trylock_pi(1, Tid(13), &Word(&word), &alive), Err(PiError::Busy));
    let mut late = table.lock_pi(1, Tid(12), 5, Word(&word), alive);
    assert_eq!(poll(&mut late), Poll::Ready(Ok(())), "it inherits the lock itself");
    assert_eq!(word.load(Ordering::SeqCst), WAITERS | OWNER_DIED | 12);
    assert!(poll(&mut heir).is_pending());
    assert_eq!(table.unlock_pi(1, Tid(12), &Word(&word), &alive), Ok(PiUnlocked { new_owner: Some(Tid(11)) }));
    assert_eq!(poll(&mut heir), Poll::Ready(Ok(())));
    // With nobody there it is so.
    word.store(10, Ordering::SeqCst);
    assert_eq!(table.trylock_pi(1, Tid(13), &Word(&word), &alive), Err(PiError::NoOwner));
    assert_eq!(poll(&mut table.lock_pi(1, Tid(12), 5, Word(&word), alive)), Poll::Ready(Err(PiError::NoOwner)));
    assert_eq!(word.load(Ordering::SeqCst), 10);
}

#[test]
fn of_many_that_are_woken_the_last_is_told() {
    let table = Table::new();
    let keys = (0..4_u64).map(|key| (key, MATCH_ANY)).collect::<Vec<_>>();
    let mut wait = table.wait_many(keys, |_| Ok::<_, ()>(true)).unwrap();
    assert!(poll(&mut wait).is_pending());
    assert_eq!(table.wake(1, 1, MATCH_ANY) + table.wake(2, 1, MATCH_ANY), 2);
    assert_eq!(poll(&mut wait), Poll::Ready(Ok(2)));
}
