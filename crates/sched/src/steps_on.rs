//! Counts accesses to slots, so that tests can tell the cost of an operation without a clock.

use core::sync::atomic::{AtomicU64, Ordering};

/// How often a table was accessed.
pub(crate) struct Steps(AtomicU64);

impl Steps {
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    pub(crate) fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Accesses so far.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
