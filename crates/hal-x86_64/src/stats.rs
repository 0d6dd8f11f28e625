//! What each CPU has counted since boot.

use core::sync::atomic::{AtomicU64, Ordering};

use types::CpuId;

use crate::per_cpu;

/// Counters inside a CPU's block; written by that CPU only, so plain load and store will do.
pub(crate) struct Counters {
    vectors: [AtomicU64; 256],
    user_entries: AtomicU64,
    idle: AtomicU64,
    shootdowns_sent: AtomicU64,
    shootdowns_served: AtomicU64,
}

impl Counters {
    pub(crate) const fn new() -> Self {
        Self {
            vectors: [const { AtomicU64::new(0) }; 256],
            user_entries: AtomicU64::new(0),
            idle: AtomicU64::new(0),
            shootdowns_sent: AtomicU64::new(0),
            shootdowns_served: AtomicU64::new(0),
        }
    }

    pub(crate) fn count_vector(&self, vector: u8) {
        if let Some(counter) = self.vectors.get(usize::from(vector)) {
            bump(counter);
        }
    }

    pub(crate) fn count_user_entry(&self) {
        bump(&self.user_entries);
    }

    pub(crate) fn count_idle(&self) {
        bump(&self.idle);
    }

    pub(crate) fn count_shootdown_sent(&self) {
        bump(&self.shootdowns_sent);
    }

    pub(crate) fn count_shootdowns_served(&self, count: u32) {
        let served = self.shootdowns_served.load(Ordering::Relaxed);
        self.shootdowns_served.store(served.wrapping_add(count.into()), Ordering::Relaxed);
    }
}

/// One more, without a locked instruction.
fn bump(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}

/// Counts of one CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct CpuStats {
    /// Full entries to user mode; returns by a fast stub are not counted.
    pub user_entries: u64,
    /// Times the CPU went to sleep.
    pub idle: u64,
    /// TLB shoot-downs it asked other CPUs for.
    pub shootdowns_sent: u64,
    /// TLB shoot-downs it served.
    pub shootdowns_served: u64,
}

/// What `cpu` has counted; `None` for a CPU that was never up.
pub fn cpu_stats(cpu: CpuId) -> Option<CpuStats> {
    let counters = &per_cpu::of(cpu)?.stats;
    Some(CpuStats {
        user_entries: counters.user_entries.load(Ordering::Relaxed),
        idle: counters.idle.load(Ordering::Relaxed),
        shootdowns_sent: counters.shootdowns_sent.load(Ordering::Relaxed),
        shootdowns_served: counters.shootdowns_served.load(Ordering::Relaxed),
    })
}

/// How often `cpu` took the interrupt or exception `vector`.
pub fn interrupt_stats(cpu: CpuId, vector: u8) -> u64 {
    per_cpu::of(cpu)
        .and_then(|block| block.stats.vectors.get(usize::from(vector)))
        .map_or(0, |counter| counter.load(Ordering::Relaxed))
}
