//! Who waits for whose record lock: so that a wait that would never end is refused (EDEADLK).

use alloc::vec::Vec;

use sync::{Rank, SpinLock};

/// Steps followed before a chain is taken for no ring, as in Linux.
const MAX_STEPS: usize = 10;

/// All waits for record locks of processes. Owners are the numbers that record locks know them by.
pub(crate) struct LockWaits {
    waits: SpinLock<Waits>,
}

struct Waits {
    next: u64,
    list: Vec<Edge>,
}

#[derive(Clone, Copy)]
struct Edge {
    number: u64,
    waiter: u64,
    holder: u64,
}

impl LockWaits {
    /// Nobody waits.
    pub(crate) const fn new() -> Self {
        Self { waits: SpinLock::new(Rank::INODE, Waits { next: 0, list: Vec::new() }) }
    }

    /// A wait of `waiter`, for nobody yet.
    pub(crate) fn begin(&self, waiter: u64) -> LockWait<'_> {
        let mut waits = self.waits.lock();
        waits.next += 1;
        LockWait { waits: self, number: waits.next, waiter }
    }
}

/// One wait; dropping it ends it.
pub(crate) struct LockWait<'w> {
    waits: &'w LockWaits,
    number: u64,
    waiter: u64,
}

impl LockWait<'_> {
    /// It is `holder` now that is in the way: whether waiting for him can end.
    #[must_use]
    pub(crate) fn may_wait_for(&self, holder: u64) -> bool {
        let mut waits = self.waits.waits.lock();
        waits.list.retain(|edge| edge.number != self.number);
        let mut at = holder;
        for _ in 0..MAX_STEPS {
            if at == self.waiter {
                return false;
            }
            match waits.list.iter().find(|edge| edge.waiter == at) {
                Some(edge) => at = edge.holder,
                None => break,
            }
        }
        // Without memory for it the wait is only not seen by others.
        if waits.list.try_reserve(1).is_ok() {
            waits.list.push(Edge { number: self.number, waiter: self.waiter, holder });
        }
        true
    }
}

impl Drop for LockWait<'_> {
    fn drop(&mut self) {
        self.waits.waits.lock().list.retain(|edge| edge.number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_of_waits_is_refused() {
        let waits = LockWaits::new();
        let (one, two, three) = (waits.begin(1), waits.begin(2), waits.begin(3));
        assert!(one.may_wait_for(2) && two.may_wait_for(3));
        assert!(!three.may_wait_for(1));
        drop(two);
        assert!(three.may_wait_for(1));
    }
}
