//! The table against a naive model, and against many threads at once.

use super::*;
use alloc::sync::Arc;
use core::future::Future;
use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use core::task::{Context, Poll, Waker};
use std::task::Wake;
use std::vec::Vec;
use types::Tid;

mod leaving;
mod pi;

type Table = FutexTable<u64>;

struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut cx = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

fn sleep() -> Result<bool, ()> {
    Ok(true)
}

/// A waiter of either kind.
enum Waiting<'a> {
    Future(FutexWait<'a, u64, fn() -> Result<bool, ()>>),
    Sleeper(&'a Table, Sleeper<u64>),
}

impl<'a> Waiting<'a> {
    fn future(table: &'a Table, key: u64, bitset: u32, waker: &Waker) -> Self {
        let mut wait = table.wait(key, bitset, sleep as fn() -> Result<bool, ()>);
        assert!(Pin::new(&mut wait).poll(&mut Context::from_waker(waker)).is_pending());
        Self::Future(wait)
    }

    fn cancel(self) -> bool {
        match self {
            Self::Future(mut wait) => wait.cancel(),
            Self::Sleeper(table, sleeper) => {
                let known = sleeper.is_woken();
                let woken = table.end_sleep(&sleeper);
                assert_eq!(known, woken, "nobody else is here");
                woken
            }
        }
    }
}

/// Sleeps as a thread does whose loop has a place for that; whether it had to.
fn sleep_in_place(table: &Table, place: &mut Option<Sleeper<u64>>, key: u64, check: impl FnOnce() -> bool) -> bool {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let sleeper = table.begin_sleep(place.take(), key, MATCH_ANY, &waker);
    let sleeps = check();
    if !sleeps {
        table.abandon_sleep(&sleeper);
    }
    while sleeps && !sleeper.is_woken() {
        std::thread::park();
    }
    *place = Some(sleeper);
    sleeps
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

#[test]
fn a_changed_word_does_not_sleep_and_leaves_no_waiter() {
    let table = Table::new();
    let mut wait = table.wait(1, MATCH_ANY, || Ok::<_, ()>(false));
    assert_eq!(poll(&mut wait), Poll::Ready(Err(WaitError::Mismatch)));
    let mut wait = table.wait(1, MATCH_ANY, || Err("fault"));
    assert_eq!(poll(&mut wait), Poll::Ready(Err(WaitError::Memory("fault"))));
    assert_eq!(table.waiting(1), 0);
}

#[test]
fn a_wake_up_that_meets_a_leaving_waiter_goes_to_the_next() {
    let table = Table::new();
    let mut second = table.wait(1, MATCH_ANY, sleep);
    let mut first = table.wait(1, MATCH_ANY, || {
        assert!(poll(&mut second).is_pending());
        assert_eq!(table.wake(1, 1, MATCH_ANY), 1, "the first one is queued already");
        Ok::<_, ()>(false)
    });
    assert_eq!(poll(&mut first), Poll::Ready(Err(WaitError::Mismatch)));
    drop(first);
    assert_eq!(poll(&mut second), Poll::Ready(Ok(())));
}

#[test]
fn a_dropped_waiter_hands_its_wake_up_on_and_a_cancelled_one_keeps_it() {
    let table = Table::new();
    let mut waits: Vec<_> = (0..3).map(|_| table.wait(1, MATCH_ANY, sleep)).collect();
    waits.iter_mut().for_each(|wait| assert!(poll(wait).is_pending()));
    assert_eq!(table.wake(1, 1, MATCH_ANY), 1);
    drop(waits.remove(0));
    assert_eq!(poll(&mut waits[0]), Poll::Ready(Ok(())), "handed on");
    assert!(poll(&mut waits[1]).is_pending());
    assert_eq!(table.wake(1, 1, MATCH_ANY), 1);
    assert!(waits[1].cancel(), "a wake-up that came before the timeout counts");
    assert!(!waits[1].cancel());
}

#[test]
fn a_sleeper_uses_its_place_again_and_hands_on_what_it_abandons() {
    let table = Table::new();
    let mut place = None;
    for round in 0..3 {
        let mut next = table.wait(1, MATCH_ANY, sleep);
        let sleeper = table.begin_sleep(place.take(), 1, MATCH_ANY, Waker::noop());
        assert!(!sleeper.is_woken(), "round {round}: of the last sleep");
        assert!(poll(&mut next).is_pending());
        assert_eq!(table.requeue(1, 2, 0, 2).moved, 2);
        assert_eq!(table.wake(1, 1, MATCH_ANY), 0);
        assert_eq!(table.wake(2, 1, MATCH_ANY), 1);
        assert!(sleeper.is_woken() && table.end_sleep(&sleeper));
        table.abandon_sleep(&sleeper);
        assert_eq!(poll(&mut next), Poll::Ready(Ok(())), "handed on");
        assert_eq!(table.waiting(1) + table.waiting(2), 0);
        place = Some(sleeper);
    }
    let sleeper = table.begin_sleep(place, 1, 2, Waker::noop());
    assert_eq!((table.wake(1, 9, 1), table.waiting(1)), (0, 1), "another bitset");
    assert!(!table.end_sleep(&sleeper));
    assert_eq!(table.waiting(1), 0);
}

#[test]
fn requeued_waiters_belong_to_the_second_futex() {
    let table = Table::new();
    let mut waits: Vec<_> = (0..50).map(|_| table.wait(1, MATCH_ANY, sleep)).collect();
    waits.iter_mut().for_each(|wait| assert!(poll(wait).is_pending()));
    assert_eq!(table.requeue(1, 2, 1, 40), Requeued { woken: 1, moved: 40 });
    assert_eq!((table.waiting(1), table.waiting(2)), (9, 40));
    assert_eq!(table.wake(2, 1, MATCH_ANY), 1);
    assert_eq!(poll(&mut waits[1]), Poll::Ready(Ok(())), "in order of arrival");
    assert!(!waits[2].cancel(), "a moved waiter can leave");
    assert_eq!(table.waiting(2), 38);
    assert_eq!(table.cmp_requeue(2, 1, 0, 100, || Ok::<_, ()>(false)), Ok(None));
    assert_eq!(table.requeue(2, 2, 0, 100), Requeued { woken: 0, moved: 38 }, "onto itself ends");
    assert_eq!(table.cmp_requeue(2, 1, 0, usize::MAX, || Ok::<_, ()>(true)).unwrap().unwrap().moved, 38);
    assert_eq!(table.wake(1, usize::MAX, MATCH_ANY), 47);
}

#[test]
fn waiting_on_many_ends_with_the_index_of_the_woken_one() {
    let table = Table::new();
    let keys = || (0..128_u64).map(|key| (key, MATCH_ANY)).collect::<Vec<_>>();
    let mut wait = table.wait_many(keys(), |_| Ok::<_, ()>(true)).unwrap();
    assert!(poll(&mut wait).is_pending());
    assert_eq!(table.wake(77, 1, MATCH_ANY), 1);
    assert_eq!(poll(&mut wait), Poll::Ready(Ok(77)));
    assert!((0..128).all(|key| table.waiting(key) == 0));
    let mut wait = table.wait_many(keys(), |index| Ok::<_, ()>(index != 5)).unwrap();
    assert_eq!(poll(&mut wait), Poll::Ready(Err(WaitError::Mismatch)));
    assert!((0..128).all(|key| table.waiting(key) == 0));
    let mut wait = table.wait_many(keys(), |_| Ok::<_, ()>(true)).unwrap();
    assert!(poll(&mut wait).is_pending());
    table.wake(3, 1, MATCH_ANY);
    let mut other = table.wait(3, MATCH_ANY, sleep);
    assert!(poll(&mut other).is_pending());
    drop(wait);
    assert_eq!(poll(&mut other), Poll::Ready(Ok(())), "dropped with a wake-up: handed on");
}

/// Random sequences against one list of waiters in order of arrival.
#[test]
fn order_of_wake_ups_agrees_with_a_naive_list_in_random_sequences() {
    let mut compared = 0;
    // Two of them share a bucket.
    let shares = |key: &u64| table::hash(key) & 0xff == table::hash(&0_u64) & 0xff;
    let keys = [0, 1, 2, (3..).find(shares).unwrap()];
    for seed in 0..300 {
        std::println!("seed {seed}");
        let mut random = Random(seed);
        let table = Table::new();
        let mut waits = Vec::new();
        // (index, key, bitset) of everybody who sleeps, in order of arrival at the key.
        let mut model: Vec<(usize, u64, u32)> = Vec::new();
        let mut awake: Vec<bool> = Vec::new();
        for _ in 0..150 {
            let key = keys[random.below(4) as usize];
            let bitset = 1 + random.below(7) as u32;
            let count = random.below(4) as usize;
            match random.below(6) {
                0..=2 => {
                    let count = Arc::new(Count(AtomicUsize::new(0)));
                    let waker = Waker::from(count.clone());
                    let wait = if random.below(2) == 0 {
                        Waiting::future(&table, key, bitset, &waker)
                    } else {
                        Waiting::Sleeper(&table, table.begin_sleep(None, key, bitset, &waker))
                    };
                    model.push((waits.len(), key, bitset));
                    waits.push(Some((wait, count)));
                    awake.push(false);
                }
                3 => {
                    let mut woken = 0;
                    model.retain(|(index, k, b)| {
                        let hit = *k == key && b & bitset != 0 && woken < count;
                        woken += usize::from(hit);
                        awake[*index] |= hit;
                        !hit
                    });
                    assert_eq!(table.wake(key, count, bitset), woken, "seed {seed}");
                }
                4 => {
                    let to = keys[random.below(4) as usize];
                    let wake = random.below(2) as usize;
                    let (mut woken, mut moved) = (0, Vec::new());
                    model.retain(|(index, k, b)| {
                        if *k != key {
                            return true;
                        }
                        if woken < wake {
                            woken += 1;
                            awake[*index] = true;
                            return false;
                        }
                        if moved.len() < count {
                            moved.push((*index, to, *b));
                            return false;
                        }
                        true
                    });
                    assert_eq!(table.requeue(key, to, wake, count), Requeued { woken, moved: moved.len() });
                    model.extend(moved);
                }
                _ => {
                    if let Some((index, _, _)) = model.get(random.below(64) as usize).copied() {
                        model.retain(|(i, _, _)| *i != index);
                        let (wait, _) = waits[index].take().unwrap();
                        assert!(!wait.cancel());
                    }
                }
            }
            for (index, slot) in waits.iter().enumerate() {
                let Some((_, count)) = slot else { continue };
                assert_eq!(count.0.load(Ordering::SeqCst), usize::from(awake[index]), "seed {seed} waiter {index}");
                compared += 1;
            }
            for key in keys {
                assert_eq!(table.waiting(key), model.iter().filter(|(_, k, _)| *k == key).count());
            }
        }
    }
    assert!(compared > 100_000);
}

/// The mutex of Drepper's "Futexes are tricky": 0 free, 1 held, 2 held with waiters.
struct Mutex<'a> {
    table: &'a Table,
    word: AtomicU32,
    key: u64,
}

impl Mutex<'_> {
    fn lock(&self) {
        self.lock_by(|| {
            let check = || Ok::<_, ()>(self.word.load(Ordering::SeqCst) == 2);
            let _ = block_on(self.table.wait(self.key, MATCH_ANY, check));
        });
    }

    fn lock_in_place(&self, place: &mut Option<Sleeper<u64>>) {
        self.lock_by(|| {
            sleep_in_place(self.table, place, self.key, || self.word.load(Ordering::SeqCst) == 2);
        });
    }

    fn lock_by(&self, mut wait: impl FnMut()) {
        if self.word.compare_exchange(0, 1, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            return;
        }
        while self.word.swap(2, Ordering::SeqCst) != 0 {
            wait();
        }
    }

    fn unlock(&self) {
        if self.word.swap(0, Ordering::SeqCst) == 2 {
            self.table.wake(self.key, 1, MATCH_ANY);
        }
    }
}

#[test]
fn no_wake_up_is_lost_between_threads_that_share_mutexes() {
    const THREADS: usize = 6;
    const ROUNDS: usize = 3_000;
    let table = Table::new();
    let mutexes: Vec<_> = (0..2).map(|key| Mutex { table: &table, word: AtomicU32::new(0), key }).collect();
    let inside = [const { AtomicUsize::new(0) }; 2];
    let total = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (mutexes, inside, total) = (&mutexes, &inside, &total);
            scope.spawn(move || {
                let mut place = None;
                for round in 0..ROUNDS {
                    let at = (thread + round) % 2;
                    if thread % 3 == 0 {
                        mutexes[at].lock()
                    } else {
                        mutexes[at].lock_in_place(&mut place)
                    }
                    assert_eq!(inside[at].fetch_add(1, Ordering::SeqCst), 0, "one at a time");
                    if round % 16 == 0 {
                        std::thread::yield_now();
                    }
                    inside[at].fetch_sub(1, Ordering::SeqCst);
                    mutexes[at].unlock();
                    total.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    });
    assert_eq!(total.load(Ordering::SeqCst), THREADS * ROUNDS);
    assert_eq!(table.waiting(0) + table.waiting(1), 0);
}

/// Waiters on a counter that is requeued back and forth, dropped and woken at the same time: everyone ends.
#[test]
fn requeue_cancel_and_wake_race_without_losing_a_waiter() {
    const THREADS: usize = 4;
    const ROUNDS: usize = 1_500;
    let table = Table::new();
    let finished = AtomicUsize::new(0);
    let left = AtomicUsize::new(THREADS);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (table, finished, left) = (&table, &finished, &left);
            scope.spawn(move || {
                let mut random = Random(thread as u64);
                let mut place = None;
                for _ in 0..ROUNDS {
                    if random.below(2) == 0 {
                        let stays = random.below(3) != 0;
                        assert_eq!(sleep_in_place(table, &mut place, random.below(2), || stays), stays);
                        finished.fetch_add(1, Ordering::SeqCst);
                        continue;
                    }
                    let mut wait = table.wait(random.below(2), MATCH_ANY, sleep);
                    if random.below(3) == 0 {
                        assert!(poll(&mut wait).is_pending());
                        for _ in 0..random.below(50) {
                            core::hint::spin_loop();
                        }
                        drop(wait);
                    } else {
                        block_on(wait).unwrap();
                    }
                    finished.fetch_add(1, Ordering::SeqCst);
                }
                left.fetch_sub(1, Ordering::SeqCst);
            });
        }
        let mut round = 0;
        while left.load(Ordering::SeqCst) > 0 {
            round += 1;
            let (from, to) = (round % 2, (round + 1) % 2);
            table.requeue(from, to, 0, 2);
            table.wake(to, 1, MATCH_ANY);
            if round % 64 == 0 {
                std::thread::yield_now();
            }
        }
    });
    assert_eq!(finished.load(Ordering::SeqCst), THREADS * ROUNDS);
    assert_eq!(table.waiting(0) + table.waiting(1), 0);
}

/// A PI word of the test's own memory.
#[test]
fn those_who_come_while_others_are_woken_are_not_meant() {
    struct Requeue(Arc<Table>, std::sync::Mutex<Vec<Box<dyn core::any::Any + Send>>>);

    impl Wake for Requeue {
        fn wake(self: Arc<Self>) {
            let table = self.0.clone();
            let node = table.enqueue(1, MATCH_ANY, Waker::noop());
            self.1.lock().unwrap().push(Box::new(node));
        }
    }

    use alloc::boxed::Box;
    let table = Arc::new(Table::new());
    let waker = Waker::from(Arc::new(Requeue(table.clone(), std::sync::Mutex::default())));
    let mut waits: Vec<_> = (0..20).map(|_| table.wait(1, MATCH_ANY, sleep)).collect();
    for wait in &mut waits {
        assert!(Pin::new(wait).poll(&mut Context::from_waker(&waker)).is_pending());
    }
    assert_eq!(table.wake(1, 100, MATCH_ANY), 20);
    assert_eq!(table.waiting(1), 20);
}
