//! RLIMIT_SIGPENDING: how many signals a user may have queued.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering};

/// Queued signals of one user, over all processes; shared by everything that belongs to that user.
#[derive(Clone, Debug, Default)]
pub struct SignalQuota {
    // One counter without anything it guards: relaxed throughout.
    queued: Arc<AtomicUsize>,
}

impl SignalQuota {
    /// A user without queued signals.
    pub fn new() -> Self {
        Self::default()
    }

    /// Signals queued at the moment.
    pub fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    /// Counts one more, unless that would exceed `limit`.
    pub fn charge(&self, limit: u64) -> Option<Charge> {
        let before = self.queued.fetch_add(1, Ordering::Relaxed);
        let charge = Charge { queued: self.queued.clone() };
        // Over the limit the charge is dropped, which takes it back.
        ((before as u64) < limit).then_some(charge)
    }
}

/// One counted signal; given back on drop.
#[derive(Debug)]
pub struct Charge {
    queued: Arc<AtomicUsize>,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.queued.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_charge_leaves_no_trace() {
        let quota = SignalQuota::new();
        let first = quota.charge(1);
        assert!(first.is_some());
        assert!(quota.charge(1).is_none());
        assert_eq!(quota.queued(), 1);
        drop(first);
        assert_eq!(quota.queued(), 0);
    }
}
