//! Many queues of shared objects, linked through the objects themselves: queueing needs no memory and cannot fail for want
//! of it, and an object is found and taken out of the middle in constant time.
//!
//! [`Lanes`] is `N` such queues. The scheduler keeps one per CPU, behind that CPU's lock.
//!
//! # Why this is sound
//!
//! An object belongs to one [`Lanes`] at most: `owner` in its [`Links`] names it, by a number that no two `Lanes` share. It is
//! set by compare-and-swap from `UNLINKED` and cleared last of all, both under `&mut` of the owner. The cells beside it are touched only by
//! whoever has `&mut` of the owner, so never by two at once; the swap acquires what the clearing released. A pointer stored in a
//! `Lanes` or in the links of one of its objects is the strong reference that this `Lanes` holds to an object, so it is valid until
//! the object is detached, which takes it out of its neighbours first.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::Cell;
use core::marker::PhantomData;
use core::ptr;
use core::sync::atomic::{AtomicU32, Ordering};

/// No queue's number.
const UNLINKED: u32 = 0;

/// An object that can be in a queue.
pub trait Linked: Sized {
    /// Its links, a field of it.
    fn links(&self) -> &Links<Self>;
}

/// Where an object is queued.
pub struct Links<T> {
    owner: AtomicU32,
    // The owner's, as the module says.
    lane: Cell<u32>,
    next: Cell<*const T>,
    prev: Cell<*const T>,
}

// SAFETY: the cells are touched by who has `&mut` of the owner only (see the module's head).
unsafe impl<T: Send + Sync> Sync for Links<T> {}
// SAFETY: the pointers are to objects that are themselves shared between threads, held by the owner.
unsafe impl<T: Send + Sync> Send for Links<T> {}

impl<T> Links<T> {
    /// Of an object in no queue.
    pub const fn new() -> Self {
        Self {
            owner: AtomicU32::new(UNLINKED),
            lane: Cell::new(0),
            next: Cell::new(ptr::null()),
            prev: Cell::new(ptr::null()),
        }
    }
}

impl<T> Default for Links<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// Where in its queue an object goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Before all others.
    Head,
    /// Behind all others.
    Tail,
}

struct Ends<T> {
    head: *const T,
    tail: *const T,
}

/// `N` queues, a power of two.
pub struct Lanes<T: Linked, const N: usize> {
    id: u32,
    lanes: Box<[Ends<T>; N]>,
    holds: PhantomData<Arc<T>>,
}

// SAFETY: it is a container of `Arc<T>`; the pointers are its own.
unsafe impl<T: Linked + Send + Sync, const N: usize> Send for Lanes<T, N> {}
// SAFETY: as above; through a shared reference links are only read.
unsafe impl<T: Linked + Send + Sync, const N: usize> Sync for Lanes<T, N> {}

/// What a pointer of a queue leads to.
///
/// # Safety
/// It is null, or stored by a `Lanes` (or in the links of one of its objects) whose borrow lasts as long as `'a`.
#[inline]
unsafe fn at<'a, T: Linked>(task: *const T) -> Option<&'a Links<T>> {
    // SAFETY: by the caller's promise the object is held.
    unsafe { task.as_ref() }.map(T::links)
}

impl<T: Linked, const N: usize> Lanes<T, N> {
    /// Empty queues; `None` if there is no memory.
    pub fn new() -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(UNLINKED + 1);
        const { assert!(N.is_power_of_two() && N <= 1 << 31) };
        let id = NEXT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |id| id.checked_add(1)).ok()?;
        let mut lanes = Vec::new();
        lanes.try_reserve_exact(N).ok()?;
        lanes.extend((0..N).map(|_| Ends { head: ptr::null(), tail: ptr::null() }));
        let lanes = lanes.into_boxed_slice().try_into().ok()?;
        Some(Self { id, lanes, holds: PhantomData })
    }

    /// Whether nothing is in queue `lane`.
    #[inline]
    pub fn is_empty_lane(&self, lane: usize) -> bool {
        self.lanes.get(lane % N).is_none_or(|ends| ends.head.is_null())
    }

    /// Whether exactly one is in queue `lane`.
    pub fn is_single(&self, lane: usize) -> bool {
        self.lanes.get(lane % N).is_some_and(|ends| !ends.head.is_null() && ptr::eq(ends.head, ends.tail))
    }

    /// Queues `task` in `lane`, taken modulo `N`. One that is in a queue already, here or elsewhere, is left where it is: `false`.
    #[inline]
    pub fn push(&mut self, task: Arc<T>, lane: usize, end: End) -> bool {
        match self.claim(task) {
            Some(task) => {
                self.link(task, lane, end);
                true
            }
            None => false,
        }
    }

    /// Queues `task` in `lane`, behind all others, and takes out the first. If there is no other, `task` is what is returned, and
    /// the queue stays empty. One that is in a queue already is left where it is.
    #[inline]
    pub fn rotate(&mut self, task: Arc<T>, lane: usize) -> Arc<T> {
        let Some(ends) = self.lanes.get(lane % N) else { return task };
        let head = ends.head;
        // SAFETY: a pointer of this queue.
        let Some(first) = (unsafe { at(head) }) else { return task };
        let claimed = self.claim(task);
        let ends = self.lanes.get_mut(lane % N);
        let (Some(task), Some(ends)) = (claimed, ends) else {
            self.unlink(first);
            // SAFETY: it was the first of this queue, and is in none now.
            return unsafe { Self::release(head) };
        };
        // SAFETY: it was claimed above.
        if let Some(links) = unsafe { at(task) } {
            links.lane.set((lane % N) as u32);
            links.next.set(ptr::null());
            links.prev.set(ends.tail);
        }
        // SAFETY: a pointer of this queue, which is not empty.
        if let Some(before) = unsafe { at(ends.tail) } {
            before.next.set(task);
        }
        ends.tail = task;
        let next = first.next.get();
        ends.head = next;
        // SAFETY: a pointer of this queue.
        if let Some(next) = unsafe { at(next) } {
            next.prev.set(ptr::null());
        }
        // SAFETY: it was the first of this queue, and is in none now.
        unsafe { Self::release(head) }
    }

    /// Makes this the owner of `task`, unless it has one. What is returned is the reference.
    #[inline]
    fn claim(&self, task: Arc<T>) -> Option<*const T> {
        let owner = &task.links().owner;
        if owner.compare_exchange(UNLINKED, self.id, Ordering::Acquire, Ordering::Relaxed).is_err() {
            return None;
        }
        Some(Arc::into_raw(task))
    }

    /// Gives up an object that is linked no more.
    ///
    /// # Safety
    /// It was claimed and not released since, and no pointer of a queue leads to it.
    #[inline]
    unsafe fn release(task: *const T) -> Arc<T> {
        // SAFETY: made by `into_raw` when it was claimed, and no longer stored.
        let task = unsafe { Arc::from_raw(task) };
        task.links().owner.store(UNLINKED, Ordering::Release);
        task
    }

    /// Takes the first out of `lane`.
    #[inline]
    pub fn pop(&mut self, lane: usize) -> Option<Arc<T>> {
        let ends = self.lanes.get_mut(lane % N)?;
        let task = ends.head;
        // SAFETY: a pointer of this queue.
        let next = unsafe { at(task) }?.next.get();
        ends.head = next;
        // SAFETY: a pointer of this queue.
        match unsafe { at(next) } {
            Some(next) => next.prev.set(ptr::null()),
            None => ends.tail = ptr::null(),
        }
        // SAFETY: it was the first of this queue, and is in none now.
        Some(unsafe { Self::release(task) })
    }

    /// Takes `task` out, if it is in one of these queues.
    pub fn remove(&mut self, task: &T) -> Option<Arc<T>> {
        // Only who has `&mut self` writes this number there, or takes it away.
        if !self.contains(task) {
            return None;
        }
        let task = self.unlink(task.links());
        // SAFETY: the pointer of its neighbour or of its queue's end, where it is no more.
        (!task.is_null()).then(|| unsafe { Self::release(task) })
    }

    /// Whether `task` is in one of these queues.
    pub fn contains(&self, task: &T) -> bool {
        task.links().owner.load(Ordering::Relaxed) == self.id
    }

    /// The queue that `task` is in.
    pub fn lane_of(&self, task: &T) -> Option<usize> {
        self.contains(task).then(|| task.links().lane.get() as usize)
    }

    /// The first of `lane`.
    pub fn first(&self, lane: usize) -> Option<&T> {
        let head = self.lanes.get(lane % N)?.head;
        // SAFETY: a pointer of this queue, which is borrowed.
        unsafe { head.as_ref() }
    }

    /// All in `lane`, from the first on.
    pub fn iter(&self, lane: usize) -> impl Iterator<Item = &T> {
        let mut next = self.lanes.get(lane % N).map_or(ptr::null(), |ends| ends.head);
        core::iter::from_fn(move || {
            // SAFETY: a pointer of this queue, which is borrowed.
            let task = unsafe { next.as_ref() }?;
            next = task.links().next.get();
            Some(task)
        })
    }

    /// Moves the first of queue `from` to the tail of queue `to`.
    pub fn pass_on(&mut self, from: usize, to: usize) {
        let head = self.lanes.get(from % N).map_or(ptr::null(), |ends| ends.head);
        // SAFETY: a pointer of this queue.
        if let Some(links) = unsafe { at(head) } {
            self.unlink(links);
            self.link(head, to, End::Tail);
        }
    }

    /// Moves `task`, if it is in one of these queues, to the tail of queue `to`.
    pub fn relocate(&mut self, task: &T, to: usize) {
        if self.contains(task) {
            let task = self.unlink(task.links());
            self.link(task, to, End::Tail);
        }
    }

    /// Takes out the first of `lane` that `suits`, if it is among the `depth` first.
    pub fn take_if(&mut self, lane: usize, depth: usize, suits: impl Fn(&T) -> bool) -> Option<Arc<T>> {
        let mut task = self.lanes.get(lane % N)?.head;
        for _ in 0..depth {
            // SAFETY: a pointer of this queue.
            let it = unsafe { task.as_ref() }?;
            if suits(it) {
                self.unlink(it.links());
                // SAFETY: a pointer of this queue, where it is no more.
                return Some(unsafe { Self::release(task) });
            }
            task = it.links().next.get();
        }
        None
    }

    /// Puts an object that this owns into queue `lane`.
    #[inline]
    fn link(&mut self, task: *const T, lane: usize, end: End) {
        // SAFETY: this owns it.
        let Some(links) = (unsafe { at(task) }) else { return };
        links.lane.set((lane % N) as u32);
        let Some(ends) = self.lanes.get_mut(lane % N) else { return };
        match end {
            End::Tail => {
                links.next.set(ptr::null());
                links.prev.set(ends.tail);
                // SAFETY: a pointer of this queue.
                match unsafe { at(ends.tail) } {
                    Some(before) => before.next.set(task),
                    None => ends.head = task,
                }
                ends.tail = task;
            }
            End::Head => {
                links.prev.set(ptr::null());
                links.next.set(ends.head);
                // SAFETY: a pointer of this queue.
                match unsafe { at(ends.head) } {
                    Some(after) => after.prev.set(task),
                    None => ends.tail = task,
                }
                ends.head = task;
            }
        }
    }

    /// Takes an object that this owns out of its queue; returns the pointer that led to it.
    #[inline]
    fn unlink(&mut self, links: &Links<T>) -> *const T {
        let (next, prev) = (links.next.get(), links.prev.get());
        let Some(ends) = self.lanes.get_mut(links.lane.get() as usize % N) else { return ptr::null() };
        // SAFETY: a pointer of this queue.
        let task = match unsafe { at(prev) } {
            Some(before) => before.next.replace(next),
            None => core::mem::replace(&mut ends.head, next),
        };
        // SAFETY: a pointer of this queue.
        match unsafe { at(next) } {
            Some(after) => after.prev.set(prev),
            None => ends.tail = prev,
        }
        task
    }
}

impl<T: Linked, const N: usize> Drop for Lanes<T, N> {
    fn drop(&mut self) {
        (0..N).for_each(|lane| while self.pop(lane).is_some() {});
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::vec::Vec;

    use super::*;

    struct Item {
        number: usize,
        links: Links<Item>,
    }

    impl Linked for Item {
        fn links(&self) -> &Links<Self> {
            &self.links
        }
    }

    fn item(number: usize) -> Arc<Item> {
        Arc::new(Item { number, links: Links::new() })
    }

    #[test]
    fn an_object_is_in_one_queue_at_a_time() {
        let (mut one, mut other) = (Lanes::<Item, 4>::new().unwrap(), Lanes::<Item, 4>::new().unwrap());
        let item = item(1);
        assert!(one.push(item.clone(), 2, End::Tail));
        assert!(!one.push(item.clone(), 3, End::Tail));
        assert!(!other.push(item.clone(), 2, End::Tail));
        assert_eq!((Arc::strong_count(&item), one.lane_of(&item)), (2, Some(2)));
        assert!(other.remove(&item).is_none() && one.remove(&item).is_some());
        assert!(other.push(item.clone(), 0, End::Tail));
        assert_eq!(other.rotate(item.clone(), 0).number, 1);
        assert!(other.push(item.clone(), 0, End::Tail));
        drop(other);
        assert_eq!(Arc::strong_count(&item), 1);
    }

    #[test]
    fn random_steps_agree_with_plain_queues() {
        const LANES: usize = 4;
        let items: Vec<Arc<Item>> = (0..20).map(item).collect();
        let mut lanes = Lanes::<Item, LANES>::new().unwrap();
        let mut plain: [VecDeque<usize>; LANES] = Default::default();
        let mut seed = 0x9e37_79b9_u64;
        let mut random = |below: u64| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            (seed % below) as usize
        };
        let steps = if cfg!(miri) { 2_000 } else { 200_000 };
        for _ in 0..steps {
            let (n, lane) = (random(20), random(LANES as u64));
            let queued = plain.iter().any(|lane| lane.contains(&n));
            match random(8) {
                0..3 => {
                    let end = if random(2) == 0 { End::Head } else { End::Tail };
                    let pushed = lanes.push(items[n].clone(), lane, end);
                    assert_eq!(pushed, !queued);
                    if pushed {
                        if end == End::Head { plain[lane].push_front(n) } else { plain[lane].push_back(n) }
                    }
                }
                3 => assert_eq!(lanes.pop(lane).map(|item| item.number), plain[lane].pop_front()),
                4 => {
                    lanes.pass_on(lane, n % LANES);
                    if let Some(first) = plain[lane].pop_front() {
                        plain[n % LANES].push_back(first);
                    }
                }
                5 => {
                    lanes.relocate(&items[n], lane);
                    if queued {
                        plain.iter_mut().for_each(|lane| lane.retain(|other| *other != n));
                        plain[lane].push_back(n);
                    }
                }
                6 if !queued => {
                    let got = Some(lanes.rotate(items[n].clone(), lane).number);
                    plain[lane].push_back(n);
                    assert_eq!(got, plain[lane].pop_front());
                }
                6 => {
                    let taken = lanes.take_if(lane, 3, |item| item.number % 2 == 0).map(|item| item.number);
                    let expected = plain[lane].iter().take(3).find(|n| *n % 2 == 0).copied();
                    assert_eq!(taken, expected);
                    plain[lane].retain(|other| Some(*other) != expected);
                }
                _ => {
                    let removed = lanes.remove(&items[n]).map(|item| item.number);
                    assert_eq!(removed, queued.then_some(n));
                    plain.iter_mut().for_each(|lane| lane.retain(|other| *other != n));
                }
            }
            for (number, lane) in plain.iter().enumerate() {
                assert!(lanes.iter(number).map(|item| item.number).eq(lane.iter().copied()));
                assert_eq!(lanes.first(number).map(|item| item.number), lane.front().copied());
                assert_eq!(lanes.is_empty_lane(number), lane.is_empty());
                assert_eq!(lanes.is_single(number), lane.len() == 1);
            }
        }
        let queued: usize = plain.iter().map(VecDeque::len).sum();
        drop(lanes);
        let held: usize = items.iter().map(|item| Arc::strong_count(item) - 1).sum();
        assert!(held == 0 && queued > 0);
    }

    #[test]
    fn threads_pass_objects_from_queue_to_queue() {
        use crate::{Rank, SpinLock};
        let queues: Vec<SpinLock<Lanes<Item, 2>>> =
            (0..3).map(|_| SpinLock::new(Rank::RUN_QUEUE, Lanes::new().unwrap())).collect();
        for n in 0..8 {
            assert!(queues[n % 3].lock().push(item(n), n, End::Tail));
        }
        let rounds = if cfg!(miri) { 50 } else { 20_000 };
        std::thread::scope(|scope| {
            for thread in 0..3 {
                let queues = &queues;
                scope.spawn(move || {
                    for round in 0..rounds {
                        let taken = queues[(thread + round) % 3].lock().pop(round);
                        if let Some(item) = taken {
                            assert!(queues[(thread + round / 2) % 3].lock().push(item, round, End::Tail));
                        }
                    }
                });
            }
        });
        let left = |queue: &SpinLock<Lanes<Item, 2>>| (0..2).map(|lane| queue.lock().iter(lane).count()).sum::<usize>();
        assert_eq!(queues.iter().map(left).sum::<usize>(), 8);
    }
}
