//! A machine of plain data for host tests: it records what it is told and answers what the test sets.

use core::sync::atomic::{AtomicU64, Ordering};
use types::{CpuId, CpuSet, Nanos, PhysAddr};

use crate::{Cpu, Mmu, Timer, TlbRange};

/// A clock that a test moves by hand.
#[derive(Debug, Default)]
pub struct FakeTimer {
    now: AtomicU64,
    deadline: AtomicU64,
}

impl FakeTimer {
    /// A clock at zero without a deadline.
    pub const fn new() -> Self {
        Self { now: AtomicU64::new(0), deadline: AtomicU64::new(u64::MAX) }
    }

    /// Moves time forward.
    pub fn advance(&self, by: Nanos) {
        self.now.fetch_add(by.0, Ordering::SeqCst);
    }

    /// The deadline last asked for.
    pub fn deadline(&self) -> Option<Nanos> {
        let deadline = self.deadline.load(Ordering::SeqCst);
        (deadline != u64::MAX).then_some(Nanos(deadline))
    }
}

impl Timer for FakeTimer {
    fn now(&self) -> Nanos {
        Nanos(self.now.load(Ordering::SeqCst))
    }

    fn set_deadline(&self, deadline: Option<Nanos>) {
        self.deadline.store(deadline.map_or(u64::MAX, |d| d.0), Ordering::SeqCst);
    }
}

/// One CPU, number 0, that counts the reschedules it is sent.
#[derive(Debug, Default)]
pub struct FakeCpu {
    reschedules: AtomicU64,
}

impl FakeCpu {
    /// Reschedules sent so far.
    pub fn reschedules(&self) -> u64 {
        self.reschedules.load(Ordering::SeqCst)
    }
}

impl Cpu for FakeCpu {
    fn current(&self) -> CpuId {
        CpuId(0)
    }

    fn online(&self) -> CpuSet {
        CpuSet::single(CpuId(0))
    }

    fn wait_for_interrupt(&self) {}

    fn reschedule(&self, _cpu: CpuId) {
        self.reschedules.fetch_add(1, Ordering::SeqCst);
    }
}

/// Counts flushes; a test that models a TLB can ask how many came since.
#[derive(Debug, Default)]
pub struct FakeMmu {
    flushes: AtomicU64,
    pages: AtomicU64,
}

impl FakeMmu {
    /// Flush requests so far.
    pub fn flushes(&self) -> u64 {
        self.flushes.load(Ordering::SeqCst)
    }

    /// Pages named in ranged requests so far.
    pub fn pages(&self) -> u64 {
        self.pages.load(Ordering::SeqCst)
    }
}

impl Mmu for FakeMmu {
    fn flush(&self, _root: PhysAddr, _cpus: CpuSet, range: TlbRange) {
        self.flushes.fetch_add(1, Ordering::SeqCst);
        if let TlbRange::Pages { pages, .. } = range {
            self.pages.fetch_add(pages, Ordering::SeqCst);
        }
    }
}
