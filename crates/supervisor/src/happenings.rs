//! The last changes of state, all services together.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use services::{Cause, Identity, ServiceId, State};
use sync::WaitQueue;
use types::Nanos;

/// Changes kept: 32 for each of 128 instances.
const KEPT: usize = 4096;

/// One change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Happening {
    pub(crate) sequence: u64,
    pub(crate) time: Nanos,
    pub(crate) service: ServiceId,
    pub(crate) identity: Identity,
    pub(crate) index: u16,
    pub(crate) from: State,
    pub(crate) to: State,
    pub(crate) cause: Cause,
}

/// For those who wait for more to look at: how many changes there were, without a lock.
#[derive(Debug, Default)]
pub struct Watch {
    queue: Arc<WaitQueue>,
    changes: AtomicU64,
}

impl Watch {
    /// Woken at each change of state, and when a service writes.
    pub const fn queue(&self) -> &Arc<WaitQueue> {
        &self.queue
    }

    /// Changes of state since boot.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }
}

/// The ring.
#[derive(Debug, Default)]
pub(crate) struct Happenings {
    ring: VecDeque<Happening>,
    made: u64,
    watch: Arc<Watch>,
}

impl Happenings {
    pub(crate) fn add(&mut self, happening: Happening) {
        if self.ring.len() >= KEPT {
            self.ring.pop_front();
        }
        self.ring.push_back(Happening { sequence: self.made, ..happening });
        self.made += 1;
        self.watch.changes.store(self.made, Ordering::Release);
        self.watch.queue.wake_all();
    }

    /// What tells of more.
    pub(crate) const fn watch(&self) -> &Arc<Watch> {
        &self.watch
    }

    /// Changes since boot.
    pub(crate) const fn made(&self) -> u64 {
        self.made
    }

    /// Those from number `from` on, oldest first.
    pub(crate) fn since(&self, from: u64) -> impl DoubleEndedIterator<Item = &Happening> {
        let first = self.made - self.ring.len() as u64;
        let skip = usize::try_from(from.saturating_sub(first)).unwrap_or(usize::MAX);
        self.ring.range(skip.min(self.ring.len())..)
    }

    /// Those from number `from` on that are no longer kept.
    pub(crate) fn lost(&self, from: u64) -> u64 {
        (self.made - self.ring.len() as u64).saturating_sub(from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_stay_and_the_rest_is_counted() {
        let mut happenings = Happenings::default();
        let one = Happening {
            sequence: 0,
            time: Nanos(0),
            service: ServiceId(0),
            identity: Identity::default(),
            index: 0,
            from: State::Down,
            to: State::Waiting,
            cause: Cause::None,
        };
        for _ in 0..KEPT + 10 {
            happenings.add(one);
        }
        assert_eq!(happenings.watch().changes(), happenings.made());
        assert_eq!((happenings.made(), happenings.lost(0), happenings.lost(12)), (KEPT as u64 + 10, 10, 0));
        assert_eq!(happenings.since(0).next().unwrap().sequence, 10);
        assert_eq!(happenings.since(KEPT as u64 + 9).count(), 1);
        assert_eq!(happenings.since(u64::MAX).count(), 0);
    }
}
