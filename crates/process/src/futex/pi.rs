//! Futexes with priority inheritance: the word holds the owner's thread number (futex(2), `FUTEX_LOCK_PI`).
//!
//! The most urgent waiter gets the lock, handed over by the one who releases it:
//!
//! ```text
//! waiter:   queue ─► word free: take it, leave      word owned: set WAITERS in it, sleep, report the owner
//! releaser: no waiter: word := 0, look again        waiter: Queued ─► Granted ─► word := its tid ─► Owner, wake
//! ```
//!
//! Between `Granted` and `Owner` the waiter is nowhere queued and does not return: the lock is its own, whatever else
//! happens to it, but the word does not say so yet.
//!
//! Who waits lends its urgency to the owner (`lending.rs`), and to the next one when the lock is handed over to somebody else. Who
//! takes a lock stops waiting for its last owner first, and who frees one clears who waits for it: a wait that is *settled* is true
//! at any time, so a ring of settled waits is a deadlock and no other is.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::future::Future;
use core::hash::Hash;
use core::pin::Pin;
use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering, fence};
use core::task::{Context, Poll, Waker};

use sync::{Rank, SpinLock};
use types::Tid;

use super::table::hash;
use super::{FutexTable, OWNER_DIED, TID_MASK, WAITERS};
use crate::lending::{Changed, Lending, Ring};

/// PI futexes are rare; their waiters are kept apart from the others.
const BUCKETS: usize = 32;

/// Atomic access to the word of a PI futex.
pub trait PiWord {
    /// Why user memory could not be accessed.
    type Error;
    /// Reads the word.
    ///
    /// # Errors
    /// If the memory cannot be read.
    fn load(&self) -> Result<u32, Self::Error>;
    /// Stores `new` if the word is `old`; whether it was.
    ///
    /// # Errors
    /// If the memory cannot be written.
    fn compare_exchange(&self, old: u32, new: u32) -> Result<bool, Self::Error>;
}

/// What a PI operation asks about threads, and tells them.
pub trait PiThreads {
    /// What the system calls the thread that a word names, if there is such a thread: a word of a PID namespace holds a number of
    /// that namespace.
    fn find(&self, tid: Tid) -> Option<Tid>;
    /// A thread, by the system's number, is to run as if it were of that urgency at least; `None`: as itself. Called without
    /// locks.
    fn lend(&self, tid: Tid, urgency: Option<u32>) {
        let _ = (tid, urgency);
    }
    /// How urgent the thread that waits is by itself now, if that can have changed.
    fn urgency(&self) -> Option<u32> {
        None
    }
}

impl<F: Fn(Tid) -> bool> PiThreads for F {
    fn find(&self, tid: Tid) -> Option<Tid> {
        self(tid).then_some(tid)
    }
}

/// Why a PI operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PiError<E> {
    /// The caller holds it already (EDEADLK).
    Deadlock,
    /// The word names a thread that does not exist (ESRCH).
    NoOwner,
    /// The caller does not hold it (EPERM).
    NotOwner,
    /// Somebody else holds it (EAGAIN of `FUTEX_TRYLOCK_PI`).
    Busy,
    /// The word could not be accessed.
    Memory(E),
}

impl<E> From<E> for PiError<E> {
    fn from(error: E) -> Self {
        Self::Memory(error)
    }
}

/// What unlocking did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PiUnlocked {
    /// Who holds it now.
    pub new_owner: Option<Tid>,
}

const QUEUED: u8 = 0;
const GRANTED: u8 = 1;
const OWNER: u8 = 2;
const ABANDONED: u8 = 3;

#[derive(Debug)]
pub(super) struct PiTable<K> {
    // How many wait, so that an ending thread need not look at the buckets.
    waiting: AtomicUsize,
    buckets: [SpinLock<PiBucket<K>>; BUCKETS],
    // Whom each waiter waits for.
    lending: Lending,
}

#[derive(Debug)]
struct PiBucket<K> {
    next_ticket: u64,
    // By key, urgency, arrival.
    waiters: BTreeMap<(K, u32, u64), Entry>,
}

#[derive(Debug)]
struct Entry {
    node: Arc<PiNode>,
    /// The system's number of who holds the lock, once it is known.
    owner: Option<Tid>,
}

#[derive(Debug)]
struct PiNode {
    /// As the word calls it.
    tid: Tid,
    /// As the system calls it.
    thread: Tid,
    state: AtomicU8,
    waker: SpinLock<Option<Waker>>,
}

impl PiNode {
    fn state(&self) -> u8 {
        self.state.load(Ordering::Acquire)
    }

    fn wake(&self) {
        let waker = self.waker.lock().clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn set_waker(&self, waker: &Waker) {
        let fresh = Some(waker.clone());
        let old = core::mem::replace(&mut *self.waker.lock(), fresh);
        drop(old);
    }
}

impl<K> PiTable<K> {
    pub(super) const fn new() -> Self {
        Self {
            waiting: AtomicUsize::new(0),
            buckets: [const { SpinLock::new(Rank::FUTEX, PiBucket { next_ticket: 0, waiters: BTreeMap::new() }) };
                BUCKETS],
            lending: Lending::new(),
        }
    }

    /// Tells threads what they are lent.
    fn carry_out(&self, changed: Changed, threads: &impl PiThreads) {
        self.lending.carry_out(changed, |tid, urgency| threads.lend(tid, urgency));
    }
}

impl<K: Copy + Ord + Hash> PiTable<K> {
    fn bucket(&self, key: &K) -> &SpinLock<PiBucket<K>> {
        let [first, ..] = &self.buckets;
        self.buckets.get(hash(key) as usize & (BUCKETS - 1)).unwrap_or(first)
    }

    fn has_waiters(&self, key: K) -> bool {
        self.bucket(&key).lock().first(key).is_some()
    }

    fn has_others(&self, key: K, node: &Arc<PiNode>) -> bool {
        let bucket = self.bucket(&key).lock();
        let mut waiters = bucket.waiters.range((key, 0, 0)..=(key, u32::MAX, u64::MAX));
        waiters.any(|(_, entry)| !Arc::ptr_eq(&entry.node, node))
    }

    /// Takes the most urgent waiter out and marks it as the next owner.
    fn grant(&self, key: K, threads: &impl PiThreads) -> Option<((K, u32, u64), Entry)> {
        let (place, entry, changed) = {
            let mut bucket = self.bucket(&key).lock();
            let place = bucket.first(key)?;
            let entry = bucket.waiters.remove(&place)?;
            entry.node.state.store(GRANTED, Ordering::Release);
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            let changed = self.lending.leave(entry.node.thread);
            (place, entry, changed)
        };
        self.carry_out(changed, threads);
        Some((place, entry))
    }

    /// The lock has a new owner, or none, and nobody has gone on yet: those who wait lend to it.
    fn redirect(&self, key: K, owner: Option<Tid>, threads: &impl PiThreads) {
        // One at a time, so that the lock is held for a moment however many wait.
        let mut from = (key, 0, 0);
        loop {
            let changed = {
                let mut bucket = self.bucket(&key).lock();
                let Some((place, entry)) = bucket.waiters.range_mut(from..=(key, u32::MAX, u64::MAX)).next() else {
                    return;
                };
                from = (key, place.1, place.2.saturating_add(1));
                let waiter = entry.node.thread;
                if owner == Some(waiter) {
                    continue;
                }
                entry.owner = owner;
                match owner {
                    Some(owner) => {
                        let (changed, _) = self.lending.wait(waiter, place.1, owner);
                        self.lending.settle(waiter);
                        changed
                    }
                    None => self.lending.leave(waiter),
                }
            };
            self.carry_out(changed, threads);
        }
    }

    fn insert(&self, place: (K, u32, u64), entry: Entry) {
        let mut bucket = self.bucket(&place.0).lock();
        bucket.waiters.insert(place, entry);
        self.waiting.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes a waiter out; whether it was still queued.
    fn remove(&self, place: &(K, u32, u64), threads: &impl PiThreads) -> bool {
        let changed = {
            let mut bucket = self.bucket(&place.0).lock();
            let Some(entry) = bucket.waiters.remove(place) else { return false };
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            self.lending.leave(entry.node.thread)
        };
        self.carry_out(changed, threads);
        true
    }

    fn wake_first(&self, key: K) {
        let first = {
            let bucket = self.bucket(&key).lock();
            bucket.first(key).and_then(|place| bucket.waiters.get(&place)).map(|entry| entry.node.clone())
        };
        if let Some(node) = first {
            node.wake();
        }
    }
}

impl<K: Copy + Ord> PiBucket<K> {
    fn first(&self, key: K) -> Option<(K, u32, u64)> {
        self.waiters.range((key, 0, 0)..=(key, u32::MAX, u64::MAX)).next().map(|(place, _)| *place)
    }
}

impl<K: Copy + Ord + Hash> FutexTable<K> {
    /// Who waits for whom: for locks here, and for whatever else is told there.
    pub const fn lending(&self) -> &Lending {
        &self.pi.lending
    }

    /// `FUTEX_LOCK_PI`: waits until thread `tid` (as words call it) holds the lock at `key`. Smaller `urgency` comes first.
    ///
    /// While it waits, the owner is lent that urgency.
    pub fn lock_pi<W: PiWord, A: PiThreads>(
        &self,
        key: K,
        tid: Tid,
        urgency: u32,
        word: W,
        threads: A,
    ) -> LockPi<'_, K, W, A> {
        LockPi { table: &self.pi, key, tid, urgency, word, threads, queued: None, owner: None }
    }

    /// `FUTEX_TRYLOCK_PI`.
    ///
    /// # Errors
    /// [`PiError::Busy`], [`PiError::Deadlock`], [`PiError::NoOwner`], [`PiError::Memory`].
    pub fn trylock_pi<W: PiWord>(
        &self,
        key: K,
        tid: Tid,
        word: &W,
        threads: &impl PiThreads,
    ) -> Result<(), PiError<W::Error>> {
        loop {
            let old = word.load()?;
            match old & TID_MASK {
                0 => {}
                owner if owner == tid.0 => return Err(PiError::Deadlock),
                owner if threads.find(Tid(owner)).is_some() || self.pi.has_waiters(key) => return Err(PiError::Busy),
                // Ended, unless it has released the lock before.
                _ if word.load()? == old => return Err(PiError::NoOwner),
                _ => continue,
            }
            let waiters = if self.pi.has_waiters(key) { WAITERS } else { 0 };
            if word.compare_exchange(old, tid.0 | old & OWNER_DIED | waiters)? {
                if waiters != 0 {
                    self.pi.redirect(key, threads.find(tid), threads);
                }
                return Ok(());
            }
        }
    }

    /// `FUTEX_UNLOCK_PI`: hands the lock to the most urgent waiter, or frees it.
    ///
    /// # Errors
    /// [`PiError::NotOwner`], [`PiError::Memory`].
    pub fn unlock_pi<W: PiWord>(
        &self,
        key: K,
        tid: Tid,
        word: &W,
        threads: &impl PiThreads,
    ) -> Result<PiUnlocked, PiError<W::Error>> {
        let mut holder = tid;
        loop {
            let old = word.load()?;
            if old & TID_MASK != holder.0 {
                return Err(PiError::NotOwner);
            }
            let Some((place, entry)) = self.pi.grant(key, threads) else {
                if !word.compare_exchange(old, 0)? {
                    continue;
                }
                // One that queued before the word became free, and saw it owned, must look again; all who did wait for nobody
                // for the moment.
                self.pi.redirect(key, None, threads);
                self.pi.wake_first(key);
                return Ok(PiUnlocked { new_owner: None });
            };
            let node = entry.node.clone();
            match hand_over(word, holder, node.tid) {
                Ok(true) => {}
                Ok(false) => {
                    self.take_back(place, entry, threads);
                    return Err(PiError::NotOwner);
                }
                Err(error) => {
                    self.take_back(place, entry, threads);
                    return Err(PiError::Memory(error));
                }
            }
            // Before it can release the lock in turn.
            self.pi.redirect(key, Some(node.thread), threads);
            let seated = node.state.compare_exchange(GRANTED, OWNER, Ordering::AcqRel, Ordering::Acquire);
            if seated.is_ok() {
                node.wake();
                return Ok(PiUnlocked { new_owner: Some(node.tid) });
            }
            // It ended while the lock was on its way to it: the next one gets it.
            holder = node.tid;
        }
    }

    /// Thread `tid`, by the system's number, has ended (and [`PiThreads::find`] says so already): those who wait for a lock it
    /// held look again, and one of them takes it over with `FUTEX_OWNER_DIED`.
    pub fn owner_exited(&self, tid: Tid) {
        // Who waits has said so before it looks whether the owner lives.
        fence(Ordering::SeqCst);
        if self.pi.waiting.load(Ordering::Acquire) == 0 {
            return;
        }
        for bucket in &self.pi.buckets {
            let mut after = None;
            loop {
                let next = {
                    let bucket = bucket.lock();
                    bucket
                        .waiters
                        .iter()
                        .find(|(place, entry)| entry.owner == Some(tid) && after.is_none_or(|after| **place > after))
                        .map(|(place, entry)| (*place, entry.node.clone()))
                };
                let Some((place, node)) = next else { break };
                after = Some(place);
                node.wake();
            }
        }
    }

    /// A grant that could not be completed: the waiter goes back to its place, unless it has given up.
    fn take_back(&self, place: (K, u32, u64), entry: Entry, threads: &impl PiThreads) {
        let node = entry.node.clone();
        self.pi.insert(place, entry);
        if node.state.compare_exchange(GRANTED, QUEUED, Ordering::AcqRel, Ordering::Acquire).is_err() {
            self.pi.remove(&place, threads);
        }
        node.wake();
    }
}

/// Writes the new owner into the word; `false` if the word no longer names `from`.
fn hand_over<W: PiWord>(word: &W, from: Tid, to: Tid) -> Result<bool, W::Error> {
    loop {
        let old = word.load()?;
        if old & TID_MASK != from.0 {
            return Ok(false);
        }
        // WAITERS stays on in any case, as on Linux: the new owner's unlock comes to the kernel and finds out.
        if word.compare_exchange(old, to.0 | WAITERS)? {
            return Ok(true);
        }
    }
}

/// Future of [`FutexTable::lock_pi`].
#[derive(Debug)]
#[must_use]
pub struct LockPi<'a, K: Copy + Ord + Hash, W, A: PiThreads> {
    table: &'a PiTable<K>,
    key: K,
    tid: Tid,
    urgency: u32,
    word: W,
    threads: A,
    queued: Option<((K, u32, u64), Arc<PiNode>)>,
    owner: Option<Tid>,
}

// Nothing in it refers to itself.
impl<K: Copy + Ord + Hash, W, A: PiThreads> Unpin for LockPi<'_, K, W, A> {}

impl<K: Copy + Ord + Hash, W: PiWord, A: PiThreads> LockPi<'_, K, W, A> {
    /// Who holds the lock, as of the last poll.
    pub const fn owner(&self) -> Option<Tid> {
        self.owner
    }

    /// Gives up after a timeout or a signal. `false`: the lock has been handed over meanwhile; poll again, it ends soon.
    pub fn cancel(&mut self) -> bool {
        if self.queued.is_none() {
            return true;
        }
        let left = self.leave();
        if left {
            // The word may have become free for somebody else who was not told because this one was first.
            self.table.wake_first(self.key);
        }
        left
    }

    /// Leaves the queue; `false` if the lock is on its way here.
    fn leave(&mut self) -> bool {
        let Some((place, _)) = &self.queued else { return true };
        let left = self.table.remove(place, &self.threads);
        if left {
            self.queued = None;
        }
        left
    }

    /// Its urgency may have changed while it waited: then it waits behind its new equals, and lends that.
    fn find_place_anew(&mut self) {
        let (Some(urgency), Some((place, node))) = (self.threads.urgency(), &mut self.queued) else { return };
        if urgency == self.urgency {
            return;
        }
        {
            let mut bucket = self.table.bucket(&self.key).lock();
            // Not if the lock is on its way here.
            let Some(entry) = bucket.waiters.remove(place) else { return };
            *place = (self.key, urgency, bucket.next_ticket);
            bucket.next_ticket += 1;
            bucket.waiters.insert(*place, entry);
        }
        self.urgency = urgency;
        if let Some(changed) = self.table.lending.revalue(node.thread, urgency) {
            self.table.carry_out(changed, &self.threads);
        }
    }

    /// Looks at the word and takes the lock, or makes sure that its owner's unlock comes to the kernel.
    fn attempt(&mut self, node: &Arc<PiNode>, first: bool) -> Result<bool, PiError<W::Error>> {
        loop {
            let old = self.word.load()?;
            let owner = Tid(old & TID_MASK);
            if owner == self.tid {
                return Err(PiError::Deadlock);
            }
            if owner == Tid(0) {
                if self.take(node, old, old & OWNER_DIED)? {
                    return Ok(true);
                }
                continue;
            }
            self.owner = Some(owner);
            let noted = self.threads.find(owner).and_then(|thread| {
                let noted = self.note_owner(node, thread);
                // It may have ended before it was noted, and would wake nobody.
                self.threads.find(owner).map(|_| noted)
            });
            // Handed over before that was noted, or released before its owner ended.
            if self.word.load()? & TID_MASK != owner.0 {
                continue;
            }
            match noted {
                // Unless somebody waits for that owner, who has not taken over yet.
                None if first && old & OWNER_DIED == 0 && !self.table.has_others(self.key, node) => {
                    return Err(PiError::NoOwner);
                }
                None => {
                    if self.take(node, old, OWNER_DIED)? {
                        return Ok(true);
                    }
                }
                Some(Err(Ring::Settled)) => return Err(PiError::Deadlock),
                Some(Err(Ring::Unsettled)) => core::hint::spin_loop(),
                Some(Ok(())) => {
                    let announced = old & WAITERS != 0 || self.word.compare_exchange(old, old | WAITERS)?;
                    // Nothing to settle: handed over to this one, or released in between.
                    if announced && (self.table.lending.settle(node.thread) || node.state() != QUEUED) {
                        return Ok(false);
                    }
                }
            }
        }
    }

    /// Takes a lock that nobody holds, if the word is still `old`.
    fn take(&self, node: &Arc<PiNode>, old: u32, died: u32) -> Result<bool, PiError<W::Error>> {
        // Before the word says so: whoever waits for this one from then on must not find it waiting.
        self.table.carry_out(self.table.lending.leave(node.thread), &self.threads);
        let waiters = if self.table.has_others(self.key, node) { WAITERS } else { 0 };
        let taken = self.word.compare_exchange(old, self.tid.0 | died | waiters)?;
        if taken && waiters != 0 {
            self.table.redirect(self.key, Some(node.thread), &self.threads);
        }
        Ok(taken)
    }

    /// Notes who is waited for, under the bucket's lock: an owner that ends either finds it or is found dead after.
    fn note_owner(&self, node: &Arc<PiNode>, owner: Tid) -> Result<(), Ring> {
        let Some((place, _)) = &self.queued else { return Ok(()) };
        let (changed, result) = {
            let mut bucket = self.table.bucket(&self.key).lock();
            // Not if the lock is on its way here.
            let Some(entry) = bucket.waiters.get_mut(place) else { return Ok(()) };
            entry.owner = Some(owner);
            self.table.lending.wait(node.thread, self.urgency, owner)
        };
        self.table.carry_out(changed, &self.threads);
        result
    }

    fn enqueue(&mut self, waker: &Waker) -> Arc<PiNode> {
        let node = Arc::new(PiNode {
            tid: self.tid,
            thread: self.threads.find(self.tid).unwrap_or(self.tid),
            state: AtomicU8::new(QUEUED),
            waker: SpinLock::new(Rank::FUTEX_WAITER, Some(waker.clone())),
        });
        let place = {
            let mut bucket = self.table.bucket(&self.key).lock();
            let place = (self.key, self.urgency, bucket.next_ticket);
            bucket.next_ticket += 1;
            bucket.waiters.insert(place, Entry { node: node.clone(), owner: None });
            place
        };
        self.table.waiting.fetch_add(1, Ordering::AcqRel);
        fence(Ordering::SeqCst);
        self.queued = Some((place, node.clone()));
        node
    }
}

impl<K: Copy + Ord + Hash, W: PiWord, A: PiThreads> Future for LockPi<'_, K, W, A> {
    type Output = Result<(), PiError<W::Error>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.find_place_anew();
        let (node, first) = match &this.queued {
            Some((_, node)) => {
                node.set_waker(cx.waker());
                (node.clone(), false)
            }
            None => (this.enqueue(cx.waker()), true),
        };
        let outcome = match node.state() {
            OWNER => {
                this.queued = None;
                return Poll::Ready(Ok(()));
            }
            GRANTED => return Poll::Pending,
            _ => this.attempt(&node, first),
        };
        if matches!(outcome, Ok(false)) {
            return Poll::Pending;
        }
        let left = if outcome.is_ok() { this.leave() } else { this.cancel() };
        // Or handed over in between: it ends as soon as the word says so.
        if left { Poll::Ready(outcome.map(|_| ())) } else { Poll::Pending }
    }
}

impl<K: Copy + Ord + Hash, W, A: PiThreads> Drop for LockPi<'_, K, W, A> {
    fn drop(&mut self) {
        let Some((place, node)) = self.queued.take() else { return };
        if self.table.remove(&place, &self.threads) {
            self.table.wake_first(self.key);
        } else {
            let _ = node.state.compare_exchange(GRANTED, ABANDONED, Ordering::AcqRel, Ordering::Acquire);
        }
    }
}
