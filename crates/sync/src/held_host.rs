//! Which ranks a thread of the host holds: always checked.

use core::cell::RefCell;
use std::thread_local;
use std::vec::Vec;

use crate::Rank;

thread_local! {
    static HELD: RefCell<Vec<Rank>> = const { RefCell::new(Vec::new()) };
}

/// A lock's own place in the order.
pub(crate) struct Place(Rank);

impl Place {
    pub(crate) const fn new(rank: Rank) -> Self {
        Self(rank)
    }

    pub(crate) fn acquire(&self) -> Held {
        Held::acquire(self.0)
    }

    /// For `try_lock`, which cannot deadlock.
    pub(crate) fn acquire_any(&self) -> Held {
        Held::acquire_any(self.0)
    }
}

/// Proof of a lock held by this thread.
pub(crate) struct Held(Rank);

impl Held {
    pub(crate) fn acquire(rank: Rank) -> Self {
        HELD.with_borrow(|held| {
            if let Some(highest) = held.iter().max() {
                assert!(*highest < rank, "lock order: {rank:?} wanted while {highest:?} is held");
            }
        });
        Self::acquire_any(rank)
    }

    fn acquire_any(rank: Rank) -> Self {
        HELD.with_borrow_mut(|held| held.push(rank));
        Self(rank)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        HELD.with_borrow_mut(|held| {
            if let Some(at) = held.iter().rposition(|rank| *rank == self.0) {
                held.remove(at);
            }
        });
    }
}
