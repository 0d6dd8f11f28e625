//! Tasks that wait for something to become true.
//!
//! The one primitive of blocking. The order that loses no wake-up: register, look at the condition again, sleep; the
//! other side changes the condition first and wakes after.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::{AtomicUsize, Ordering, fence};
use core::task::{Context, Poll, Waker};

use crate::{Rank, SpinLock};

/// A queue of wakers, first come first served.
#[derive(Debug)]
pub struct WaitQueue {
    // Lets wakers skip the lock when nobody waits; raised before the condition is looked at again.
    waiting: AtomicUsize,
    list: SpinLock<List>,
}

/// Waiters, ascending by ticket. Most queues never have more than one: that one needs no memory of its own.
#[derive(Debug)]
struct List {
    next_ticket: u64,
    // None only if there are no others either.
    first: Option<(u64, Waker)>,
    // Made when two wait for the first time.
    #[expect(clippy::box_collection, reason = "a word in each of the many queues that never have two")]
    others: Option<Box<VecDeque<(u64, Waker)>>>,
}

impl List {
    const fn new() -> Self {
        Self { next_ticket: 0, first: None, others: None }
    }

    fn len(&self) -> usize {
        match &self.others {
            Some(others) => usize::from(self.first.is_some()) + others.len(),
            None => usize::from(self.first.is_some()),
        }
    }

    fn next_other(&mut self) -> Option<(u64, Waker)> {
        self.others.as_mut().and_then(|others| others.pop_front())
    }

    fn pop_front(&mut self) -> Option<Waker> {
        let next = self.next_other();
        core::mem::replace(&mut self.first, next).map(|(_, waker)| waker)
    }

    /// Adds a waiter behind all others; gives it back if there is no memory.
    fn push_back(&mut self, ticket: u64, waker: Waker) -> Option<Waker> {
        if self.first.is_none() {
            self.first = Some((ticket, waker));
            return None;
        }
        let others = self.others.get_or_insert_default();
        if others.try_reserve(1).is_err() {
            return Some(waker);
        }
        others.push_back((ticket, waker));
        None
    }

    fn remove(&mut self, ticket: u64) -> Option<Waker> {
        if self.first.as_ref().is_some_and(|(first, _)| *first == ticket) {
            return self.pop_front();
        }
        let others = self.others.as_mut()?;
        let at = others.binary_search_by_key(&ticket, |(ticket, _)| *ticket).ok()?;
        others.remove(at).map(|(_, waker)| waker)
    }
}

impl Default for WaitQueue {
    fn default() -> Self {
        Self::new()
    }
}

impl WaitQueue {
    /// An empty queue.
    pub const fn new() -> Self {
        Self { waiting: AtomicUsize::new(0), list: SpinLock::new(Rank::WAIT_QUEUE, List::new()) }
    }

    /// Whether somebody waits, for a waker that has changed the condition: who is not seen here sees the change.
    #[inline]
    pub fn has_waiters(&self) -> bool {
        fence(Ordering::SeqCst);
        self.waiting.load(Ordering::Relaxed) != 0
    }

    /// Wakes the longest waiter; whether there was one.
    pub fn wake_one(&self) -> bool {
        fence(Ordering::SeqCst);
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let first = {
            let mut list = self.list.lock();
            let first = list.pop_front();
            self.waiting.store(list.len(), Ordering::Relaxed);
            first
        };
        first.map(Waker::wake).is_some()
    }

    /// Wakes every waiter; how many there were.
    pub fn wake_all(&self) -> usize {
        fence(Ordering::SeqCst);
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        // Only those present now: one that registers again while being woken has seen the new state.
        let (first, end, left) = {
            let mut list = self.list.lock();
            let first = list.pop_front();
            let left = list.len();
            self.waiting.store(left, Ordering::Relaxed);
            (first, list.next_ticket, left)
        };
        let Some(waker) = first else { return 0 };
        waker.wake();
        if left == 0 { 1 } else { 1 + self.wake_until(end) }
    }

    /// Wakes those with tickets below `end`; how many there were.
    #[inline(never)]
    fn wake_until(&self, end: u64) -> usize {
        let mut woken = 0;
        loop {
            let (next, left) = {
                let mut list = self.list.lock();
                let due = list.first.as_ref().is_some_and(|(ticket, _)| *ticket < end);
                let next = if due { list.pop_front() } else { None };
                let left = list.len();
                self.waiting.store(left, Ordering::Relaxed);
                (next, left)
            };
            let Some(waker) = next else { return woken };
            waker.wake();
            woken += 1;
            if left == 0 {
                return woken;
            }
        }
    }

    /// Puts `waker` into the queue; its ticket takes it out again.
    ///
    /// The caller must look at its condition after this and before it sleeps. When memory is short the waker is woken
    /// at once instead, so that its task polls again rather than sleeping for ever.
    pub fn register(&self, waker: &Waker) -> u64 {
        let waker = waker.clone();
        let (ticket, refused) = {
            let mut list = self.list.lock();
            let ticket = list.next_ticket;
            list.next_ticket += 1;
            let refused = list.push_back(ticket, waker);
            self.waiting.store(list.len(), Ordering::Relaxed);
            (ticket, refused)
        };
        fence(Ordering::SeqCst);
        if let Some(waker) = refused {
            waker.wake();
        }
        ticket
    }

    /// Takes the waker of `ticket` out; whether it was still there, that is, not woken yet.
    pub fn remove(&self, ticket: u64) -> bool {
        // The usual case of who has just been woken: the wake-up took it out. Its own registration is not younger than
        // this look, so a queue that is empty now does not hold it.
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let removed = {
            let mut list = self.list.lock();
            let removed = list.remove(ticket);
            self.waiting.store(list.len(), Ordering::Relaxed);
            removed
        };
        removed.is_some()
    }

    /// Waits until `condition` gives a value. It is asked before sleeping and after each wake-up.
    ///
    /// Dropping the future leaves the queue. A wake-up of [`WaitQueue::wake_one`] that a dropped future had already
    /// received is handed on.
    pub fn wait_until<T, F: FnMut() -> Option<T>>(&self, condition: F) -> WaitUntil<'_, F> {
        WaitUntil { queue: self, ticket: None, condition }
    }
}

/// Future of [`WaitQueue::wait_until`].
pub struct WaitUntil<'a, F> {
    queue: &'a WaitQueue,
    ticket: Option<u64>,
    condition: F,
}

impl<F> Unpin for WaitUntil<'_, F> {}

impl<T, F: FnMut() -> Option<T>> Future for WaitUntil<'_, F> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let this = &mut *self;
        if let Some(value) = (this.condition)() {
            this.leave();
            return Poll::Ready(value);
        }
        this.leave();
        this.ticket = Some(this.queue.register(cx.waker()));
        match (this.condition)() {
            Some(value) => {
                this.leave();
                Poll::Ready(value)
            }
            None => Poll::Pending,
        }
    }
}

impl<F> WaitUntil<'_, F> {
    fn leave(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.queue.remove(ticket);
        }
    }
}

impl<F> Drop for WaitUntil<'_, F> {
    fn drop(&mut self) {
        // Still holding a ticket that is no longer queued: a wake-up meant for us would be lost with us.
        if let Some(ticket) = self.ticket.take()
            && !self.queue.remove(ticket)
        {
            self.queue.wake_one();
        }
    }
}

/// A place in a shared queue that is given up on drop: for waiting on several queues at once.
#[derive(Debug)]
pub struct WaitToken {
    queue: alloc::sync::Arc<WaitQueue>,
    ticket: u64,
}

impl WaitToken {
    /// Puts `waker` into `queue`.
    pub fn new(queue: alloc::sync::Arc<WaitQueue>, waker: &Waker) -> Self {
        let ticket = queue.register(waker);
        Self { queue, ticket }
    }
}

impl Drop for WaitToken {
    fn drop(&mut self) {
        self.queue.remove(self.ticket);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::sync::Arc;
    use core::sync::atomic::AtomicBool;
    use std::task::Wake;

    struct Flag(AtomicUsize);

    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn flag() -> (Arc<Flag>, Waker) {
        let flag = Arc::new(Flag(AtomicUsize::new(0)));
        (flag.clone(), Waker::from(flag))
    }

    #[test]
    fn waiters_are_woken_in_order_of_arrival() {
        let queue = WaitQueue::new();
        let (first, first_waker) = flag();
        let (second, second_waker) = flag();
        queue.register(&first_waker);
        queue.register(&second_waker);
        assert!(queue.wake_one());
        assert_eq!((first.0.load(Ordering::SeqCst), second.0.load(Ordering::SeqCst)), (1, 0));
        assert!(queue.wake_one());
        assert!(!queue.wake_one());
        assert_eq!(second.0.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn any_of_many_may_leave_and_the_order_stays() {
        let queue = WaitQueue::new();
        let flags: std::vec::Vec<_> = (0..5).map(|_| flag()).collect();
        let tickets: std::vec::Vec<_> = flags.iter().map(|(_, waker)| queue.register(waker)).collect();
        assert!(queue.remove(tickets[0]) && queue.remove(tickets[3]));
        assert!(!queue.remove(tickets[0]), "it has left already");
        let woken = || flags.iter().map(|(flag, _)| flag.0.load(Ordering::SeqCst)).collect::<std::vec::Vec<_>>();
        assert!(queue.wake_one());
        assert_eq!(woken(), [0, 1, 0, 0, 0]);
        queue.register(&flags[0].1);
        assert_eq!(queue.wake_all(), 3);
        assert_eq!(woken(), [1, 1, 1, 0, 1]);
        assert!(!queue.has_waiters() && !queue.wake_one());
    }

    #[test]
    fn future_ends_when_the_condition_holds() {
        let queue = WaitQueue::new();
        let ready = AtomicBool::new(false);
        let (woken, waker) = flag();
        let mut cx = Context::from_waker(&waker);
        let mut wait = queue.wait_until(|| ready.load(Ordering::SeqCst).then_some(7));
        assert!(Pin::new(&mut wait).poll(&mut cx).is_pending());
        assert!(Pin::new(&mut wait).poll(&mut cx).is_pending(), "a spurious poll keeps one place");
        ready.store(true, Ordering::SeqCst);
        assert_eq!(queue.wake_all(), 1);
        assert_eq!(woken.0.load(Ordering::SeqCst), 1);
        assert_eq!(Pin::new(&mut wait).poll(&mut cx), Poll::Ready(7));
    }

    #[test]
    fn dropped_future_hands_its_wake_up_on() {
        let queue = WaitQueue::new();
        let (_, waker) = flag();
        let (second, second_waker) = flag();
        let mut wait = queue.wait_until(|| None::<()>);
        assert!(Pin::new(&mut wait).poll(&mut Context::from_waker(&waker)).is_pending());
        queue.register(&second_waker);
        queue.wake_one();
        drop(wait);
        assert_eq!(second.0.load(Ordering::SeqCst), 1);
    }
}
