//! Address spaces: areas say what may be there, page tables what is there.
//!
//! One lock per space guards both. Page tables may be shared with other spaces (see `tables`); everything that changes an
//! entry goes through there. One file per operation.

mod advise;
mod area;
mod areas;
mod brk;
mod copy;
mod fault;
mod flush;
mod fork;
mod futex;
mod image;
mod lock;
mod map;
mod protect;
mod range;
mod remap;
mod report;
mod share;
mod tables;
mod teardown;
#[cfg(test)]
mod tests;
mod unmap;

use core::any::Any;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use hal::{Mmu, TlbRange};
use sync::{Rank, SpinLock};
use types::{CpuId, CpuSet, PhysAddr, USER_END};

use crate::{Frames, KernelTables, MemoryError, Pager, SpaceLimits};
use areas::Areas;
use flush::Target;
pub use image::Launch;
use lock::Locking;
use share::Share;
use tables::{SHARED_LEVEL, TableOps};

const PAGE: u64 = 4096;
/// Lowest address that can be mapped, so that small null-pointer offsets fault (Linux's `vm.mmap_min_addr`).
const LOWEST: u64 = 0x1_0000;
/// Most areas of a space (Linux's `vm.max_map_count`).
const MOST_AREAS: usize = 65_530;
/// Room kept free below a growing stack: 256 pages (Linux's `stack_guard_gap`).
const GUARD: u64 = 256 * PAGE;
/// Where the kernel's placement begins until it is told: 1 GiB below the top, room for any ordinary stack.
const DEFAULT_MMAP_BASE: u64 = USER_END + PAGE - (1 << 30);

/// The memory of one process (or several, with `CLONE_VM`): areas and page tables. Shared as `Arc<AddressSpace>`.
///
/// With the counters of the `Arc` it fills an object of the heap: eight bytes more cost each process 64 (`pm sizes` looks).
pub struct AddressSpace {
    root: PhysAddr,
    ground: Arc<Ground>,
    /// CPUs that may hold translations.
    active: AtomicU64,
    /// Flushes so far.
    generation: AtomicU64,
    /// Something is, or will be, locked: see `lock`.
    locks: AtomicBool,
    /// What its processes have asked of membarrier(2), for the caller to interpret.
    barriers: AtomicU8,
    inner: SpinLock<Inner>,
}

/// What a space stands on, shared by all that were forked from one.
struct Ground {
    kernel_root: PhysAddr,
    ops: TableOps,
    mmu: &'static dyn Mmu,
}

/// What the space's lock guards, the page tables apart.
#[derive(Clone)]
struct Inner {
    areas: Areas,
    layout: Layout,
    limits: SpaceLimits,
    counts: Counts,
    locking: Locking,
    /// Some area wants something at fork.
    special_fork: bool,
    /// Being torn down: nothing may be added.
    dying: bool,
    /// What lives as long as this space and those forked from it.
    origin: Option<Arc<dyn Any + Send + Sync>>,
    /// Of a quota that it has with others.
    share: Option<Box<Share>>,
}

#[derive(Clone, Copy)]
struct Layout {
    mmap_base: u64,
    brk_start: u64,
    brk_end: u64,
    gap: GapHint,
}

/// Where to begin the search for a gap: between `below` and the mapping base every gap is smaller than `smaller_than`.
#[derive(Clone, Copy)]
struct GapHint {
    below: u64,
    smaller_than: u64,
}

impl GapHint {
    /// Nothing is known.
    const NONE: Self = Self { below: 0, smaller_than: u64::MAX };
}

/// In pages.
#[derive(Clone, Copy, Default)]
struct Counts {
    size: u64,
    peak_size: u64,
    data: u64,
    resident: u64,
    peak_resident: u64,
    locked: u64,
}

/// Objects let go under the lock, to be dropped after it.
type Let = Vec<Arc<dyn Pager>>;

impl AddressSpace {
    /// An empty space with the kernel's half.
    ///
    /// # Errors
    ///
    /// [`MemoryError::NoMemory`].
    pub fn new(frames: &'static Frames, mmu: &'static dyn Mmu, kernel: &KernelTables) -> Result<Self, MemoryError> {
        Self::with_shared_level(frames, mmu, kernel.root(), SHARED_LEVEL)
    }

    fn with_shared_level(
        frames: &'static Frames,
        mmu: &'static dyn Mmu,
        kernel_root: PhysAddr,
        shared_level: u32,
    ) -> Result<Self, MemoryError> {
        let inner = Inner {
            areas: Areas::default(),
            layout: Layout { mmap_base: DEFAULT_MMAP_BASE, brk_start: 0, brk_end: 0, gap: GapHint::NONE },
            limits: SpaceLimits::default(),
            counts: Counts::default(),
            locking: Locking::NONE,
            special_fork: false,
            dying: false,
            origin: None,
            share: None,
        };
        let ground = Ground { kernel_root, ops: TableOps::new(frames, shared_level), mmu };
        Self::from_parts(Arc::new(ground), inner)
    }

    fn from_parts(ground: Arc<Ground>, inner: Inner) -> Result<Self, MemoryError> {
        let root = ground.ops.new_root(ground.kernel_root)?;
        Ok(Self {
            root,
            ground,
            active: AtomicU64::new(0),
            generation: AtomicU64::new(0),
            locks: AtomicBool::new(false),
            barriers: AtomicU8::new(0),
            inner: SpinLock::new(Rank::ADDRESS_SPACE, inner),
        })
    }

    /// The top table, for CR3.
    #[inline]
    pub fn root(&self) -> PhysAddr {
        self.root
    }

    /// `cpu` is about to load [`AddressSpace::root`]: from now on shoot-downs reach it. Call before writing CR3.
    #[inline]
    pub fn cpu_entered(&self, cpu: CpuId) {
        self.active.fetch_or(CpuSet::single(cpu).0, Ordering::SeqCst);
    }

    /// `cpu` has loaded another root.
    #[inline]
    pub fn cpu_left(&self, cpu: CpuId) {
        self.active.fetch_and(!CpuSet::single(cpu).0, Ordering::SeqCst);
    }

    /// CPUs that may hold translations of this space.
    #[inline]
    pub fn active_cpus(&self) -> CpuSet {
        CpuSet(self.active.load(Ordering::SeqCst))
    }

    /// Makes each CPU that runs in this space pass a full memory barrier before this returns (membarrier(2)): by a shoot-down
    /// of one page, which they acknowledge. One that enters the space meanwhile passes a barrier by loading it.
    pub fn barrier(&self) {
        self.target().flush(TlbRange::Pages { start: LOWEST, pages: 1 });
    }

    /// What was noted by [`AddressSpace::note_barriers`], and in those it was forked from.
    pub fn barriers(&self) -> u8 {
        self.barriers.load(Ordering::Relaxed)
    }

    /// Remembers what is going to be asked of [`AddressSpace::barrier`].
    pub fn note_barriers(&self, what: u8) {
        self.barriers.fetch_or(what, Ordering::Relaxed);
    }

    /// Number of flushes so far: a CPU that kept tagged translations (PCID) over [`AddressSpace::cpu_left`] compares it.
    #[inline]
    pub fn tlb_generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// Sets the highest end of mappings placed by the kernel. Keep it below the stack's limit.
    pub fn set_mmap_base(&self, base: u64) {
        let mut inner = self.inner.lock();
        inner.layout.mmap_base = base.min(USER_END) & !(PAGE - 1);
        inner.layout.gap = GapHint::NONE;
    }

    /// Limits; a new space has [`SpaceLimits::default`], fork copies them.
    pub fn set_limits(&self, limits: SpaceLimits) {
        let mut inner = self.inner.lock();
        inner.limits = limits;
        inner.limit_pages(limits.resident_pages);
    }

    /// Lets the space have `pages` more than it has now, whatever its limit was.
    pub fn lift_resident_limit(&self, pages: u64) {
        let mut inner = self.inner.lock();
        let most = inner.counts.resident.saturating_add(pages);
        inner.limit_pages(most);
    }

    /// Where the heap begins; 0 if it has none.
    pub fn brk_start(&self) -> u64 {
        self.inner.lock().layout.brk_start
    }

    /// The most pages that were present at once. O(1).
    pub fn peak_resident_pages(&self) -> u64 {
        self.inner.lock().counts.peak_resident
    }

    #[inline]
    fn target(&self) -> Target<'_> {
        Target { mmu: self.ground.mmu, root: self.root, active: &self.active, generation: &self.generation }
    }
}

impl Drop for AddressSpace {
    fn drop(&mut self) {
        self.ground.ops.put_root(self.root, self.ground.kernel_root);
    }
}

/// `start .. start + len` in whole pages, within user addresses.
fn page_range(start: u64, len: u64) -> Result<(u64, u64), MemoryError> {
    if !start.is_multiple_of(PAGE) {
        return Err(MemoryError::Invalid);
    }
    let len = len.checked_next_multiple_of(PAGE).ok_or(MemoryError::NoMemory)?;
    let end = start.checked_add(len).filter(|end| *end <= USER_END).ok_or(MemoryError::NoMemory)?;
    Ok((start, end))
}
