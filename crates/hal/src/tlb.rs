//! Translation look-aside buffers: what must be forgotten after a page table changed.

use types::{CpuSet, PhysAddr};

/// The pages whose translations are stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlbRange {
    /// Pages `start .. start + pages * 4096`.
    Pages {
        /// First address, page-aligned.
        start: u64,
        /// Number of pages.
        pages: u64,
    },
    /// Every user page of the address space.
    All,
}

/// The part of paging that needs the machine.
pub trait Mmu: Send + Sync {
    /// Makes `range` of the address space with table `root` be forgotten on this CPU, if it is active here, and on
    /// every other CPU of `cpus`; returns when all have done so.
    ///
    /// May be called under locks: a CPU that spins on a lock serves these requests meanwhile.
    fn flush(&self, root: PhysAddr, cpus: CpuSet, range: TlbRange);
}
