//! Wakers ordered by deadline.

use alloc::collections::BTreeMap;
use core::task::Waker;

use types::Nanos;

use crate::{Rank, SpinLock};

/// Timers of one clock. Insertion and removal are O(log n); the nearest deadline is O(log n) to find.
#[derive(Debug)]
pub struct TimerQueue {
    timers: SpinLock<Timers>,
}

#[derive(Debug)]
struct Timers {
    next_id: u64,
    by_deadline: BTreeMap<(Nanos, u64), Waker>,
}

/// One armed timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerToken {
    key: (Nanos, u64),
}

impl Default for TimerQueue {
    fn default() -> Self {
        Self::new()
    }
}

impl TimerQueue {
    /// An empty queue.
    pub const fn new() -> Self {
        Self { timers: SpinLock::new(Rank::TIMERS, Timers { next_id: 0, by_deadline: BTreeMap::new() }) }
    }

    /// Arms a timer that wakes `waker` at `deadline`; the second value says whether it is now the nearest one, so that
    /// the hardware must be told.
    pub fn insert(&self, deadline: Nanos, waker: Waker) -> (TimerToken, bool) {
        let mut timers = self.timers.lock();
        let key = (deadline, timers.next_id);
        timers.next_id += 1;
        let nearest = timers.by_deadline.first_key_value().is_none_or(|(first, _)| key < *first);
        timers.by_deadline.insert(key, waker);
        (TimerToken { key }, nearest)
    }

    /// Disarms a timer; whether it had not gone off yet.
    pub fn remove(&self, token: TimerToken) -> bool {
        let removed = self.timers.lock().by_deadline.remove(&token.key);
        removed.is_some()
    }

    /// Wakes every timer that is due at `now`; how many.
    pub fn expire(&self, now: Nanos) -> usize {
        let mut woken = 0;
        loop {
            let due = {
                let mut timers = self.timers.lock();
                match timers.by_deadline.first_key_value() {
                    Some((key, _)) if key.0 <= now => timers.by_deadline.pop_first(),
                    _ => None,
                }
            };
            let Some((_, waker)) = due else { return woken };
            waker.wake();
            woken += 1;
        }
    }

    /// The nearest deadline.
    pub fn next_deadline(&self) -> Option<Nanos> {
        self.timers.lock().by_deadline.first_key_value().map(|(key, _)| key.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_expire_in_order_and_only_when_due() {
        let queue = TimerQueue::new();
        let waker = Waker::noop();
        let (late, nearest) = queue.insert(Nanos(20), waker.clone());
        assert!(nearest);
        assert!(queue.insert(Nanos(10), waker.clone()).1);
        assert!(!queue.insert(Nanos(15), waker.clone()).1);
        assert_eq!(queue.expire(Nanos(9)), 0);
        assert_eq!(queue.expire(Nanos(15)), 2);
        assert_eq!(queue.next_deadline(), Some(Nanos(20)));
        assert!(queue.remove(late));
        assert!(!queue.remove(late));
    }
}
