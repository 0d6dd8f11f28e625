//! A sum that many add to and that never passes its limit.

use core::sync::atomic::{AtomicU64, Ordering};

/// How much may be taken by all together, and how much is.
#[derive(Debug)]
pub struct Quota {
    used: AtomicU64,
    peak: AtomicU64,
    limit: u64,
    refused: AtomicU64,
}

impl Quota {
    /// Of that size.
    pub const fn new(limit: u64) -> Self {
        Self { used: AtomicU64::new(0), peak: AtomicU64::new(0), limit, refused: AtomicU64::new(0) }
    }

    /// Takes `count` if there are so many; all or nothing.
    #[must_use]
    pub fn take(&self, count: u64) -> bool {
        let add = |used: u64| used.checked_add(count).filter(|used| *used <= self.limit);
        match self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add) {
            Ok(before) => {
                self.peak.fetch_max(before.saturating_add(count), Ordering::Relaxed);
                true
            }
            Err(_) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                false
            }
        }
    }

    /// Gives back what was taken.
    pub fn give(&self, count: u64) {
        self.used.fetch_sub(count, Ordering::Relaxed);
    }

    /// What is taken.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// The most that was taken at once.
    pub fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }

    /// What can be taken at most.
    pub const fn limit(&self) -> u64 {
        self.limit
    }

    /// Times somebody got nothing.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_never_passes_the_limit() {
        let quota = Quota::new(1000);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut mine = 0;
                    for step in 0..10_000 {
                        if quota.take(step % 7) {
                            mine += step % 7;
                        }
                        assert!(quota.used() <= 1000);
                        if mine > 200 {
                            quota.give(mine);
                            mine = 0;
                        }
                    }
                    quota.give(mine);
                });
            }
        });
        assert_eq!(quota.used(), 0);
        assert!(quota.take(1000) && !quota.take(1) && quota.take(0));
        assert!(!quota.take(u64::MAX), "no overflow");
        assert!(quota.refused() >= 2);
        quota.give(600);
        assert_eq!((quota.used(), quota.peak()), (400, 1000));
    }
}
