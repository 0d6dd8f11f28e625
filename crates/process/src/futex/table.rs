//! The table of waiters: queueing, waking, moving to another futex.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::hash::{Hash, Hasher};
use core::sync::atomic::{AtomicU32, Ordering};
use core::task::Waker;

use arrayvec::ArrayVec;
use sync::{Rank, SpinLock};

use super::pi::PiTable;
use super::wait::FutexWait;

/// Buckets of a table: enough that the futexes of a few hundred running threads seldom share one.
const BUCKETS: usize = 256;
/// Waiters handled between two turns at a bucket's lock.
const BATCH: usize = 16;

/// Identity of a futex: three words that are equal exactly for the same word of memory.
///
/// Private to an address space: its number and the address. Shared: the object behind the mapping (file or anonymous
/// page) and the offset in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FutexKey {
    /// What holds the memory.
    pub object: u64,
    /// Page or generation, if the object alone is not enough.
    pub part: u64,
    /// Address or offset.
    pub offset: u64,
}

/// All waiters of a system, by key. Waking n of m waiters on a key costs O(n log m).
#[derive(Debug)]
pub struct FutexTable<K = FutexKey> {
    buckets: [SpinLock<Bucket<K>>; BUCKETS],
    pub(super) pi: PiTable<K>,
}

/// Most buckets never have two waiters at once: the one needs no memory of its own.
#[derive(Debug)]
struct Bucket<K> {
    next_ticket: u64,
    // Anyone of them; its ticket says where it stands among the others.
    single: Option<((K, u64), Waiter<K>)>,
    others: BTreeMap<(K, u64), Waiter<K>>,
}

#[derive(Debug)]
struct Waiter<K> {
    node: Arc<Node<K>>,
    waker: Waker,
    bitset: u32,
}

/// What a waiting thread keeps of its place in the table.
#[derive(Debug)]
pub(super) struct Node<K> {
    // 0 while queued; then the bitset that woke it (never 0). Written under the lock of the bucket that holds it, and by the waiter
    // while none does.
    woken_by: AtomicU32,
    // Written under that lock too; read without it, so that a leaving waiter finds its bucket.
    place: SpinLock<(K, u64)>,
}

impl<K> Node<K> {
    fn new(key: K) -> Arc<Self> {
        Arc::new(Self { woken_by: AtomicU32::new(0), place: SpinLock::new(Rank::FUTEX_WAITER, (key, 0)) })
    }

    /// The bitset that woke it, if it was woken.
    #[inline]
    pub(super) fn woken_by(&self) -> Option<u32> {
        let bitset = self.woken_by.load(Ordering::Acquire);
        (bitset != 0).then_some(bitset)
    }
}

/// A thread's place in the table from [`FutexTable::begin_sleep`] on. Good for its next sleep too.
#[derive(Debug)]
#[must_use]
pub struct Sleeper<K = FutexKey>(Arc<Node<K>>);

impl<K> Sleeper<K> {
    /// Whether a wake-up has come: it is no longer in the table then.
    #[inline]
    pub fn is_woken(&self) -> bool {
        self.0.woken_by().is_some()
    }
}

/// What [`FutexTable::requeue`] did; futex(2) returns the sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Requeued {
    /// Waiters woken.
    pub woken: usize,
    /// Waiters moved to the second futex.
    pub moved: usize,
}

impl<K: Copy + Ord + Hash> Default for FutexTable<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Copy + Ord + Hash> FutexTable<K> {
    /// A table without waiters.
    pub const fn new() -> Self {
        Self { buckets: [const { SpinLock::new(Rank::FUTEX, Bucket::new()) }; BUCKETS], pi: PiTable::new() }
    }

    /// Waits on `key` until woken with a bitset that meets `bitset`.
    ///
    /// `check` looks at the word, once, after the waiter is queued: `Ok(true)` sleeps. Give the future up by dropping it,
    /// or by [`FutexWait::cancel`] after a timeout or a signal, which tells whether a wake-up came first.
    pub const fn wait<C, E>(&self, key: K, bitset: u32, check: C) -> FutexWait<'_, K, C>
    where
        C: FnOnce() -> Result<bool, E>,
    {
        FutexWait::new(self, key, bitset, check)
    }

    /// Queues the thread that `waker` wakes: a wait without a future of its own. It has to look at the word after this and before it
    /// sleeps, and to [`FutexTable::end_sleep`] unless it is woken. `place` is from its last sleep, if it kept that.
    #[inline]
    pub fn begin_sleep(&self, place: Option<Sleeper<K>>, key: K, bitset: u32, waker: &Waker) -> Sleeper<K> {
        let node = match place {
            // Out of the table, so nobody else writes to it.
            Some(Sleeper(node)) => {
                node.woken_by.store(0, Ordering::Relaxed);
                node
            }
            None => Node::new(key),
        };
        let waiter = Waiter { node: node.clone(), waker: waker.clone(), bitset };
        self.bucket(&key).lock().insert(key, waiter);
        Sleeper(node)
    }

    /// A sleeper leaves; `true` if a wake-up came first: then the wait has succeeded after all.
    pub fn end_sleep(&self, sleeper: &Sleeper<K>) -> bool {
        self.dequeue(&sleeper.0).is_some()
    }

    /// A sleeper leaves that has no use for a wake-up: one that it has got goes to the next.
    pub fn abandon_sleep(&self, sleeper: &Sleeper<K>) {
        self.leave(&sleeper.0);
    }

    /// Wakes up to `count` waiters on `key` whose bitset meets `bitset`, longest waiting first; how many.
    #[inline]
    pub fn wake(&self, key: K, count: usize, bitset: u32) -> usize {
        let single = {
            let mut bucket = self.bucket(&key).lock();
            if !bucket.others.is_empty() || count == 0 {
                drop(bucket);
                return self.wake_before(key, count, bitset, None);
            }
            bucket.take_single(key, bitset)
        };
        let Some(Waiter { waker, .. }) = single else { return 0 };
        waker.wake();
        1
    }

    /// Wakes up to `wake` waiters on `from` and moves up to `move_count` others to `to`.
    pub fn requeue(&self, from: K, to: K, wake: usize, move_count: usize) -> Requeued {
        let end = self.arrivals(from);
        self.requeue_before(from, to, wake, move_count, end)
    }

    /// [`FutexTable::requeue`] if `check` finds the word of `from` unchanged: `None` if it has changed (EAGAIN).
    ///
    /// Only those who waited before the check are touched, so that the outcome is as if all had happened at the check.
    ///
    /// # Errors
    /// Those of `check`.
    pub fn cmp_requeue<E>(
        &self,
        from: K,
        to: K,
        wake: usize,
        move_count: usize,
        check: impl FnOnce() -> Result<bool, E>,
    ) -> Result<Option<Requeued>, E> {
        let end = self.arrivals(from);
        if !check()? {
            return Ok(None);
        }
        Ok(Some(self.requeue_before(from, to, wake, move_count, end)))
    }

    /// Threads waiting on `key`; for tests and diagnosis.
    pub fn waiting(&self, key: K) -> usize {
        let bucket = self.bucket(&key).lock();
        let single = bucket.single.as_ref().is_some_and(|((other, _), _)| *other == key);
        bucket.others.range((key, 0)..=(key, u64::MAX)).count() + usize::from(single)
    }

    /// Queues a waiter.
    pub(super) fn enqueue(&self, key: K, bitset: u32, waker: &Waker) -> Arc<Node<K>> {
        let node = Node::new(key);
        let waiter = Waiter { node: node.clone(), waker: waker.clone(), bitset };
        self.bucket(&key).lock().insert(key, waiter);
        node
    }

    /// Takes a waiter out; the bitset of the wake-up that came first, if one did.
    pub(super) fn dequeue(&self, node: &Node<K>) -> Option<u32> {
        let removed = self.with_waiter(node, |bucket, place| bucket.remove(place));
        // The waiter with its waker is dropped here, outside the lock.
        removed.err()
    }

    /// Makes `waker` the one to wake; the bitset of the wake-up that came first, if one did.
    pub(super) fn set_waker(&self, node: &Node<K>, waker: &Waker) -> Option<u32> {
        let mut fresh = Some(waker.clone());
        let replaced = self.with_waiter(node, |bucket, place| {
            let waiter = bucket.get_mut(place)?;
            if !waiter.waker.will_wake(waker)
                && let Some(fresh) = fresh.take()
            {
                return Some(Some(core::mem::replace(&mut waiter.waker, fresh)));
            }
            Some(None)
        });
        replaced.err()
    }

    /// A waiter leaves; the next one gets a wake-up that it had got.
    pub(super) fn leave(&self, node: &Node<K>) {
        if let Some(bitset) = self.dequeue(node) {
            self.hand_on(node, bitset);
        }
    }

    /// A waiter that was woken leaves without having used it: the next one on its key gets the wake-up.
    pub(super) fn hand_on(&self, node: &Node<K>, bitset: u32) {
        let (key, _) = *node.place.lock();
        self.wake(key, 1, bitset);
    }

    /// Runs `act` on the waiter's bucket once it holds it; `Err` with the waking bitset if it was woken.
    fn with_waiter<T>(
        &self,
        node: &Node<K>,
        mut act: impl FnMut(&mut Bucket<K>, &(K, u64)) -> Option<T>,
    ) -> Result<T, u32> {
        loop {
            let place = *node.place.lock();
            {
                let mut bucket = self.bucket(&place.0).lock();
                if let Some(bitset) = node.woken_by() {
                    return Err(bitset);
                }
                if let Some(found) = act(&mut bucket, &place) {
                    return Ok(found);
                }
            }
            // Another CPU is moving it from one bucket to another at this moment.
            sync::relax();
        }
    }

    /// The ticket that the next waiter on `key`'s bucket will get.
    fn arrivals(&self, key: K) -> u64 {
        self.bucket(&key).lock().next_ticket
    }

    fn wake_before(&self, key: K, count: usize, bitset: u32, end: Option<u64>) -> usize {
        let mut woken = 0;
        let mut from = 0;
        let mut end = end;
        while woken < count {
            let mut wakers = ArrayVec::<Waker, BATCH>::new();
            {
                let mut bucket = self.bucket(&key).lock();
                // Those who come while others are being woken are not meant.
                let end = *end.get_or_insert(bucket.next_ticket);
                let wanted = (count - woken).min(BATCH);
                let tickets = bucket.find(key, from, end, bitset, wanted);
                for ticket in tickets {
                    from = ticket + 1;
                    if let Some(waiter) = bucket.remove(&(key, ticket)) {
                        waiter.node.woken_by.store(bitset, Ordering::Release);
                        wakers.push(waiter.waker);
                    }
                }
            }
            if wakers.is_empty() {
                break;
            }
            woken += wakers.len();
            wakers.into_iter().for_each(Waker::wake);
        }
        woken
    }

    fn requeue_before(&self, from: K, to: K, wake: usize, move_count: usize, end: u64) -> Requeued {
        let woken = self.wake_before(from, wake, super::MATCH_ANY, Some(end));
        let mut moved = 0;
        while moved < move_count {
            let mut waiters = ArrayVec::<Waiter<K>, BATCH>::new();
            {
                let mut bucket = self.bucket(&from).lock();
                let wanted = (move_count - moved).min(BATCH);
                for ticket in bucket.find(from, 0, end, super::MATCH_ANY, wanted) {
                    waiters.extend(bucket.remove(&(from, ticket)));
                }
            }
            if waiters.is_empty() {
                break;
            }
            moved += waiters.len();
            // Two buckets are never locked at once. Until it is in the second one a waiter that wants to leave spins.
            let mut bucket = self.bucket(&to).lock();
            for waiter in waiters {
                bucket.insert(to, waiter);
            }
        }
        Requeued { woken, moved }
    }

    fn bucket(&self, key: &K) -> &SpinLock<Bucket<K>> {
        // The hash is masked to the number of buckets: `first` is never what is taken.
        let [first, ..] = &self.buckets;
        self.buckets.get(hash(key) as usize & (BUCKETS - 1)).unwrap_or(first)
    }
}

impl<K> Bucket<K> {
    const fn new() -> Self {
        Self { next_ticket: 0, single: None, others: BTreeMap::new() }
    }
}

impl<K: Copy + Ord> Bucket<K> {
    #[inline]
    fn insert(&mut self, key: K, waiter: Waiter<K>) {
        let place = (key, self.next_ticket);
        self.next_ticket += 1;
        *waiter.node.place.lock() = place;
        if self.single.is_none() {
            self.single = Some((place, waiter));
        } else {
            self.others.insert(place, waiter);
        }
    }

    fn remove(&mut self, place: &(K, u64)) -> Option<Waiter<K>> {
        match self.single.take_if(|(single, _)| single == place) {
            Some((_, waiter)) => Some(waiter),
            None => self.others.remove(place),
        }
    }

    fn get_mut(&mut self, place: &(K, u64)) -> Option<&mut Waiter<K>> {
        match &mut self.single {
            Some((single, waiter)) if single == place => Some(waiter),
            _ => self.others.get_mut(place),
        }
    }

    /// Takes out the one that needs no memory, marked as woken by `bitset`, if that is for it.
    #[inline]
    fn take_single(&mut self, key: K, bitset: u32) -> Option<Waiter<K>> {
        let (_, waiter) = self.single.take_if(|((other, _), waiter)| *other == key && waiter.bitset & bitset != 0)?;
        waiter.node.woken_by.store(bitset, Ordering::Release);
        Some(waiter)
    }

    /// Tickets of up to `count` waiters on `key` within `from..end` whose bitset meets `bitset`, oldest first.
    fn find(&self, key: K, from: u64, end: u64, bitset: u32, count: usize) -> ArrayVec<u64, BATCH> {
        if from >= end {
            return ArrayVec::new();
        }
        let count = count.min(BATCH);
        let range = self.others.range((key, from)..(key, end));
        let others = range.filter(|(_, waiter)| waiter.bitset & bitset != 0).map(|((_, ticket), _)| *ticket);
        let mut tickets: ArrayVec<u64, BATCH> = others.take(count).collect();
        if let Some(((_, ticket), _)) = self.single.as_ref().filter(|((other, ticket), waiter)| {
            *other == key && (from..end).contains(ticket) && waiter.bitset & bitset != 0
        }) {
            let at = tickets.partition_point(|other| other < ticket);
            if tickets.len() == count && at < count {
                tickets.pop();
            }
            if tickets.len() < count {
                let _ = tickets.try_insert(at, *ticket);
            }
        }
        tickets
    }
}

/// A small multiplicative hash: keys are addresses and numbers, and a bad spread costs contention only.
pub(super) fn hash<K: Hash>(key: &K) -> u64 {
    struct Mix(u64);

    impl Hasher for Mix {
        fn finish(&self) -> u64 {
            self.0 ^ self.0 >> 32
        }

        fn write(&mut self, bytes: &[u8]) {
            bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
        }

        fn write_u64(&mut self, word: u64) {
            self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }

        fn write_usize(&mut self, word: usize) {
            self.write_u64(word as u64);
        }

        fn write_u32(&mut self, word: u32) {
            self.write_u64(u64::from(word));
        }
    }

    let mut mix = Mix(0);
    key.hash(&mut mix);
    mix.finish()
}
