//! Futexes with priority inheritance.

use super::*;

pub(super) struct Word<'a>(pub(super) &'a AtomicU32);

impl PiWord for Word<'_> {
    type Error = ();

    fn load(&self) -> Result<u32, ()> {
        Ok(self.0.load(Ordering::SeqCst))
    }

    fn compare_exchange(&self, old: u32, new: u32) -> Result<bool, ()> {
        Ok(self.0.compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst).is_ok())
    }
}

#[test]
fn a_pi_lock_goes_to_the_most_urgent_waiter() {
    let table = Table::new();
    let word = AtomicU32::new(10);
    let alive = |_: Tid| true;
    let mut calm = table.lock_pi(1, Tid(11), 5, Word(&word), alive);
    let mut urgent = table.lock_pi(1, Tid(12), 1, Word(&word), alive);
    assert!(poll(&mut calm).is_pending());
    assert_eq!(word.load(Ordering::SeqCst), WAITERS | 10, "the owner's unlock must come to the kernel");
    assert_eq!(calm.owner(), Some(Tid(10)));
    assert!(poll(&mut urgent).is_pending());
    assert_eq!(table.unlock_pi(1, Tid(99), &Word(&word), &|_: Tid| true), Err(PiError::NotOwner));
    assert_eq!(table.unlock_pi(1, Tid(10), &Word(&word), &|_: Tid| true), Ok(PiUnlocked { new_owner: Some(Tid(12)) }));
    assert_eq!(word.load(Ordering::SeqCst), WAITERS | 12);
    assert!(poll(&mut calm).is_pending());
    assert_eq!(calm.owner(), Some(Tid(12)));
    assert_eq!(poll(&mut urgent), Poll::Ready(Ok(())));
    assert!(calm.cancel());
    assert_eq!(table.unlock_pi(1, Tid(12), &Word(&word), &|_: Tid| true), Ok(PiUnlocked { new_owner: None }));
    assert_eq!(word.load(Ordering::SeqCst), 0);
}

#[test]
fn an_owner_that_releases_the_lock_and_ends_is_not_one_that_died_with_it() {
    let table = Table::new();
    let word = AtomicU32::new(10);
    // Between the look at the word and the question whether its owner is there.
    let ends = |_: Tid| {
        word.store(0, Ordering::SeqCst);
        false
    };
    assert_eq!(poll(&mut table.lock_pi(1, Tid(11), 0, Word(&word), ends)), Poll::Ready(Ok(())));
    assert_eq!(word.load(Ordering::SeqCst), 11);
}

#[test]
fn pi_locks_refuse_the_owner_the_unknown_owner_and_the_busy_try() {
    let table = Table::new();
    let word = AtomicU32::new(10);
    assert_eq!(table.trylock_pi(1, Tid(10), &Word(&word), &|_: Tid| true), Err(PiError::Deadlock));
    assert_eq!(table.trylock_pi(1, Tid(11), &Word(&word), &|_: Tid| true), Err(PiError::Busy));
    assert_eq!(
        poll(&mut table.lock_pi(1, Tid(10), 0, Word(&word), |_: Tid| true)),
        Poll::Ready(Err(PiError::Deadlock))
    );
    assert_eq!(
        poll(&mut table.lock_pi(1, Tid(11), 0, Word(&word), |_: Tid| false)),
        Poll::Ready(Err(PiError::NoOwner))
    );
    word.store(OWNER_DIED, Ordering::SeqCst);
    assert_eq!(table.trylock_pi(1, Tid(11), &Word(&word), &|_: Tid| true), Ok(()));
    assert_eq!(word.load(Ordering::SeqCst), OWNER_DIED | 11, "the new owner learns that the old one died");
}

#[test]
fn a_waiter_takes_over_from_an_owner_that_ended() {
    let table = Table::new();
    let word = AtomicU32::new(10);
    let dead = core::cell::Cell::new(false);
    let mut wait = table.lock_pi(1, Tid(11), 0, Word(&word), |tid: Tid| !(dead.get() && tid == Tid(10)));
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(count.clone());
    assert!(Pin::new(&mut wait).poll(&mut Context::from_waker(&waker)).is_pending());
    table.owner_exited(Tid(9));
    assert_eq!(count.0.load(Ordering::SeqCst), 0);
    dead.set(true);
    table.owner_exited(Tid(10));
    assert_eq!(count.0.load(Ordering::SeqCst), 1);
    assert_eq!(poll(&mut wait), Poll::Ready(Ok(())));
    assert_eq!(word.load(Ordering::SeqCst), OWNER_DIED | 11);
}

type Loans = core::cell::RefCell<std::collections::BTreeMap<Tid, u32>>;

/// Keeps what each thread is lent.
struct Lent<'a>(&'a Loans);

impl PiThreads for Lent<'_> {
    fn find(&self, tid: Tid) -> Option<Tid> {
        Some(tid)
    }

    fn lend(&self, tid: Tid, urgency: Option<u32>) {
        match urgency {
            Some(urgency) => _ = self.0.borrow_mut().insert(tid, urgency),
            None => _ = self.0.borrow_mut().remove(&tid),
        }
    }
}

#[test]
fn waiters_lend_to_the_owner_along_chains_and_to_the_next_owner() {
    let lent = Loans::default();
    let now = || lent.borrow().iter().map(|(tid, urgency)| (tid.0, *urgency)).collect::<Vec<_>>();
    let table = Table::new();
    // 10 has the first lock; 11 has the second and waits for the first.
    let (first, second) = (AtomicU32::new(10), AtomicU32::new(11));
    let mut middle = table.lock_pi(1, Tid(11), 50, Word(&first), Lent(&lent));
    assert!(poll(&mut middle).is_pending());
    assert_eq!(now(), [(10, 50)]);
    let mut high = table.lock_pi(2, Tid(12), 5, Word(&second), Lent(&lent));
    assert!(poll(&mut high).is_pending());
    assert_eq!(now(), [(10, 5), (11, 5)], "through the chain");
    let mut other = table.lock_pi(1, Tid(13), 70, Word(&first), Lent(&lent));
    assert!(poll(&mut other).is_pending());
    assert_eq!(table.unlock_pi(1, Tid(10), &Word(&first), &Lent(&lent)), Ok(PiUnlocked { new_owner: Some(Tid(11)) }));
    assert_eq!(now(), [(11, 5)], "given back, and 13 lends to the next owner");
    assert_eq!(poll(&mut middle), Poll::Ready(Ok(())));
    // A timeout gives back as well.
    assert!(high.cancel());
    assert_eq!(now(), [(11, 70)]);
    drop(other);
    assert_eq!(now(), [], "as does an end");
}

/// Keeps what each thread is lent; the one that waits may change its mind.
struct Fickle<'a>(Lent<'a>, &'a core::cell::Cell<u32>);

impl PiThreads for Fickle<'_> {
    fn find(&self, tid: Tid) -> Option<Tid> {
        Some(tid)
    }

    fn lend(&self, tid: Tid, urgency: Option<u32>) {
        self.0.lend(tid, urgency);
    }

    fn urgency(&self) -> Option<u32> {
        Some(self.1.get())
    }
}

#[test]
fn a_waiter_that_becomes_more_urgent_goes_first_and_lends_more() {
    let lent = Loans::default();
    let table = Table::new();
    let word = AtomicU32::new(10);
    let own = [const { core::cell::Cell::new(50) }; 2];
    let mut first = table.lock_pi(1, Tid(11), 50, Word(&word), Fickle(Lent(&lent), &own[0]));
    let mut second = table.lock_pi(1, Tid(12), 50, Word(&word), Fickle(Lent(&lent), &own[1]));
    assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
    own[1].set(7);
    assert!(poll(&mut second).is_pending());
    assert_eq!(lent.borrow().get(&Tid(10)), Some(&7));
    own[0].set(5);
    assert!(poll(&mut first).is_pending());
    own[0].set(60);
    assert!(poll(&mut first).is_pending());
    assert_eq!(lent.borrow().get(&Tid(10)), Some(&7));
    let unlocked = table.unlock_pi(1, Tid(10), &Word(&word), &Lent(&lent));
    assert_eq!(unlocked, Ok(PiUnlocked { new_owner: Some(Tid(12)) }));
    assert_eq!((lent.borrow().get(&Tid(10)), lent.borrow().get(&Tid(12))), (None, Some(&60)));
    assert_eq!(poll(&mut second), Poll::Ready(Ok(())));
    assert_eq!(table.unlock_pi(1, Tid(12), &Word(&word), &Lent(&lent)), Ok(PiUnlocked { new_owner: Some(Tid(11)) }));
    assert_eq!(poll(&mut first), Poll::Ready(Ok(())));
    assert!(lent.borrow().is_empty());
}

#[test]
fn a_ring_of_pi_locks_is_refused_and_lends_nothing() {
    let lent = Loans::default();
    let table = Table::new();
    let (first, second) = (AtomicU32::new(10), AtomicU32::new(11));
    let mut waits = table.lock_pi(1, Tid(11), 9, Word(&first), Lent(&lent));
    assert!(poll(&mut waits).is_pending());
    let mut closes = table.lock_pi(2, Tid(10), 3, Word(&second), Lent(&lent));
    assert_eq!(poll(&mut closes), Poll::Ready(Err(PiError::Deadlock)));
    assert_eq!(lent.borrow().iter().map(|(tid, urgency)| (tid.0, *urgency)).collect::<Vec<_>>(), [(10, 9)]);
}

#[test]
fn pi_locks_exclude_each_other_between_threads() {
    const THREADS: u32 = 5;
    const ROUNDS: usize = 2_000;
    let table = Table::new();
    let word = AtomicU32::new(0);
    let inside = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 1..=THREADS {
            let (table, word, inside) = (&table, &word, &inside);
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    if word.compare_exchange(0, thread, Ordering::SeqCst, Ordering::SeqCst).is_err() {
                        block_on(table.lock_pi(7, Tid(thread), thread, Word(word), |_: Tid| true)).unwrap();
                    }
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "one at a time");
                    assert_eq!(word.load(Ordering::SeqCst) & TID_MASK, thread);
                    if round % 8 == 0 {
                        std::thread::yield_now();
                    }
                    inside.fetch_sub(1, Ordering::SeqCst);
                    if word.compare_exchange(thread, 0, Ordering::SeqCst, Ordering::SeqCst).is_err() {
                        table.unlock_pi(7, Tid(thread), &Word(word), &|_: Tid| true).unwrap();
                    }
                }
            });
        }
    });
    assert_eq!(word.load(Ordering::SeqCst) & TID_MASK, 0);
}

#[test]
fn threads_of_many_pi_locks_in_one_order_are_never_told_of_a_deadlock() {
    const THREADS: u32 = 6;
    const LOCKS: usize = 3;
    const ROUNDS: usize = 4_000;
    let table = Table::new();
    let words = [const { AtomicU32::new(0) }; LOCKS];
    std::thread::scope(|scope| {
        for thread in 1..=THREADS {
            let (table, words) = (&table, &words);
            scope.spawn(move || {
                let mut random = Random(u64::from(thread));
                let alive = |_: Tid| true;
                for _ in 0..ROUNDS {
                    // Each lock or not, in ascending order: no ring can be.
                    let chosen = random.below(1 << LOCKS);
                    let held: Vec<_> = (0..LOCKS).filter(|lock| chosen >> lock & 1 == 1).collect();
                    for lock in &held {
                        let word = &words[*lock];
                        if word.compare_exchange(0, thread, Ordering::SeqCst, Ordering::SeqCst).is_err() {
                            let key = *lock as u64;
                            block_on(table.lock_pi(key, Tid(thread), 5, Word(word), alive)).unwrap();
                        }
                    }
                    if random.below(8) == 0 {
                        std::thread::yield_now();
                    }
                    for lock in &held {
                        let word = &words[*lock];
                        if word.compare_exchange(thread, 0, Ordering::SeqCst, Ordering::SeqCst).is_err() {
                            table.unlock_pi(*lock as u64, Tid(thread), &Word(word), &alive).unwrap();
                        }
                    }
                }
            });
        }
    });
}

#[derive(Clone, Copy)]
enum Access {
    Load,
    Change,
}

/// A word after whose accesses something happens.
struct Then<'a, F>(&'a AtomicU32, F);

impl<F: Fn(Access)> PiWord for Then<'_, F> {
    type Error = ();

    fn load(&self) -> Result<u32, ()> {
        let value = Word(self.0).load();
        (self.1)(Access::Load);
        value
    }

    fn compare_exchange(&self, old: u32, new: u32) -> Result<bool, ()> {
        let done = Word(self.0).compare_exchange(old, new);
        (self.1)(Access::Change);
        done
    }
}

#[test]
fn who_has_just_taken_a_lock_waits_for_nobody() {
    let table = Table::new();
    let word = AtomicU32::new(10);
    let alive = |_: Tid| true;
    let (loads, tries) = (core::cell::Cell::new(0), core::cell::RefCell::new(None));
    // 10 releases the lock when 11 has seen it owned, and wants it again when 11 has taken it.
    let then = Then(&word, |access| match access {
        Access::Load if loads.replace(loads.get() + 1) == 0 => word.store(0, Ordering::SeqCst),
        Access::Load => {}
        Access::Change => {
            let mut again = table.lock_pi(1, Tid(10), 0, Word(&word), alive);
            assert!(poll(&mut again).is_pending(), "no deadlock");
            *tries.borrow_mut() = Some(again);
        }
    });
    assert_eq!(poll(&mut table.lock_pi(1, Tid(11), 0, then, alive)), Poll::Ready(Ok(())));
    assert_eq!(word.load(Ordering::SeqCst), WAITERS | 11);
    assert_eq!(table.unlock_pi(1, Tid(11), &Word(&word), &alive), Ok(PiUnlocked { new_owner: Some(Tid(10)) }));
}

#[test]
fn who_frees_a_lock_is_waited_for_by_nobody() {
    let table = Table::new();
    let alive = |_: Tid| true;
    // 11 has the second lock, and queues for the first between the last look of 10 for waiters and its change of the word.
    let (first, second) = (AtomicU32::new(WAITERS | 10), AtomicU32::new(11));
    let waits = core::cell::RefCell::new(table.lock_pi(1, Tid(11), 0, Word(&first), alive));
    let hooked = Hooked(&first, || assert!(poll(&mut *waits.borrow_mut()).is_pending()));
    assert_eq!(table.unlock_pi(1, Tid(10), &hooked, &alive), Ok(PiUnlocked { new_owner: None }));
    let mut other = table.lock_pi(2, Tid(10), 0, Word(&second), alive);
    assert!(poll(&mut other).is_pending(), "11 has yet to look again, but 10 has nothing");
    assert_eq!(poll(&mut *waits.borrow_mut()), Poll::Ready(Ok(())));
}

#[test]
fn those_left_lend_to_who_takes_a_freed_lock() {
    for tries in [false, true] {
        let lent = Loans::default();
        let table = Table::new();
        let word = AtomicU32::new(WAITERS | 10);
        let waiter =
            |tid, urgency| core::cell::RefCell::new(table.lock_pi(1, Tid(tid), urgency, Word(&word), Lent(&lent)));
        let (first, second) = (waiter(11, 7), waiter(12, 9));
        let hooked = Hooked(&word, || {
            assert!(poll(&mut *first.borrow_mut()).is_pending());
            assert!(poll(&mut *second.borrow_mut()).is_pending());
        });
        assert_eq!(table.unlock_pi(1, Tid(10), &hooked, &Lent(&lent)), Ok(PiUnlocked { new_owner: None }));
        assert!(lent.borrow().is_empty(), "nobody has it");
        if tries {
            assert_eq!(table.trylock_pi(1, Tid(13), &Word(&word), &Lent(&lent)), Ok(()));
            assert_eq!(*lent.borrow(), Loans::new([(Tid(13), 7)].into()).into_inner());
        } else {
            assert_eq!(poll(&mut *first.borrow_mut()), Poll::Ready(Ok(())));
            assert_eq!(*lent.borrow(), Loans::new([(Tid(11), 9)].into()).into_inner());
        }
    }
}

/// Threads of a PID namespace: the words hold numbers that mean others elsewhere.
struct Shifted(u32);

impl PiThreads for Shifted {
    fn find(&self, tid: Tid) -> Option<Tid> {
        Some(Tid(tid.0 + self.0))
    }
}

#[test]
fn equal_numbers_of_two_namespaces_are_two_threads() {
    let table = Table::new();
    let (here, there) = (AtomicU32::new(10), AtomicU32::new(11));
    let mut waits = table.lock_pi(1, Tid(11), 0, Word(&here), Shifted(100));
    assert!(poll(&mut waits).is_pending());
    let mut elsewhere = table.lock_pi(2, Tid(10), 0, Word(&there), Shifted(200));
    assert!(poll(&mut elsewhere).is_pending(), "no ring");
    let count = Arc::new(Count(AtomicUsize::new(0)));
    assert!(Pin::new(&mut waits).poll(&mut Context::from_waker(&Waker::from(count.clone()))).is_pending());
    table.owner_exited(Tid(10));
    assert_eq!(count.0.load(Ordering::SeqCst), 0, "not the owner");
    table.owner_exited(Tid(110));
    assert_eq!(count.0.load(Ordering::SeqCst), 1);
}

/// A word whose change lets something happen just before it.
struct Hooked<'a, F>(&'a AtomicU32, F);

impl<F: Fn()> PiWord for Hooked<'_, F> {
    type Error = ();

    fn load(&self) -> Result<u32, ()> {
        Word(self.0).load()
    }

    fn compare_exchange(&self, old: u32, new: u32) -> Result<bool, ()> {
        (self.1)();
        Word(self.0).compare_exchange(old, new)
    }
}

#[test]
fn a_waiter_that_queues_while_the_word_becomes_free_looks_again() {
    let table = Table::new();
    let word = AtomicU32::new(WAITERS | 10);
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(count.clone());
    let wait = core::cell::RefCell::new(table.lock_pi(1, Tid(11), 0, Word(&word), |_: Tid| true));
    let hooked = Hooked(&word, || {
        let mut wait = wait.borrow_mut();
        assert!(Pin::new(&mut *wait).poll(&mut Context::from_waker(&waker)).is_pending());
    });
    assert_eq!(table.unlock_pi(1, Tid(10), &hooked, &|_: Tid| true), Ok(PiUnlocked { new_owner: None }));
    assert_eq!(count.0.load(Ordering::SeqCst), 1);
    assert_eq!(poll(&mut *wait.borrow_mut()), Poll::Ready(Ok(())));
    assert_eq!(word.load(Ordering::SeqCst), 11);
}
