//! What one user has in use, over all processes.

use core::sync::atomic::{AtomicU32, Ordering};

use types::Uid;

use crate::signal::SignalQuota;

/// Counters of one real user: for RLIMIT_NPROC and RLIMIT_SIGPENDING.
#[derive(Debug)]
pub struct User {
    uid: Uid,
    threads: AtomicU32,
    signals: SignalQuota,
}

impl User {
    pub(crate) fn new(uid: Uid) -> Self {
        Self { uid, threads: AtomicU32::new(0), signals: SignalQuota::new() }
    }

    /// Who.
    pub const fn uid(&self) -> Uid {
        self.uid
    }

    /// Threads of that user, zombies included.
    pub fn threads(&self) -> u32 {
        self.threads.load(Ordering::Relaxed)
    }

    /// Whether it has more threads than `limit`.
    pub(crate) fn is_over(&self, limit: u64) -> bool {
        u64::from(self.threads()) > limit
    }

    /// Queued signals of that user.
    pub const fn signals(&self) -> &SignalQuota {
        &self.signals
    }

    pub(crate) fn add_thread(&self) {
        self.threads.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn remove_thread(&self) {
        self.threads.fetch_sub(1, Ordering::Relaxed);
    }
}
