//! Address spaces.
use alloc::vec::Vec;

use hal::{Mmu, PageFault};
use types::{CpuId, CpuSet, PhysAddr};

use crate::{
    Advice, AreaInfo, FaultOutcome, Frames, FutexKey, FutexScope, KernelTables, MapRequest, MemoryError, Prot,
    RemapPlacement, SpaceLimits, Usage,
};

/// The memory of one process (or several, with `CLONE_VM`): areas and page tables. Shared as `Arc<AddressSpace>`.
pub struct AddressSpace {
    root: PhysAddr,
}

impl AddressSpace {
    /// An empty space with the kernel's half.
    ///
    /// # Errors
    ///
    /// [`MemoryError::NoMemory`].
    pub fn new(_frames: &'static Frames, _mmu: &'static dyn Mmu, _kernel: &KernelTables) -> Result<Self, MemoryError> {
        Err(MemoryError::NoMemory)
    }

    /// The top table, for CR3.
    pub fn root(&self) -> PhysAddr {
        self.root
    }

    /// `cpu` is about to load [`AddressSpace::root`]: from now on shoot-downs reach it. Call before writing CR3.
    pub fn cpu_entered(&self, _cpu: CpuId) {}

    /// `cpu` has loaded another root.
    pub fn cpu_left(&self, _cpu: CpuId) {}

    /// CPUs that may hold translations of this space.
    pub fn active_cpus(&self) -> CpuSet {
        CpuSet::EMPTY
    }

    /// Number of flushes so far: a CPU that kept tagged translations (PCID) over [`AddressSpace::cpu_left`] compares it.
    pub fn tlb_generation(&self) -> u64 {
        0
    }

    /// A copy, sharing pages and page tables until one side writes.
    ///
    /// # Errors
    ///
    /// [`MemoryError::NoMemory`].
    pub fn fork(&self) -> Result<Self, MemoryError> {
        Err(MemoryError::NoMemory)
    }

    /// Maps; gives the address.
    ///
    /// # Errors
    ///
    /// `Invalid`, `NoMemory`, `Exists`.
    pub fn map(&self, _request: MapRequest) -> Result<u64, MemoryError> {
        Err(MemoryError::NoMemory)
    }

    /// Unmaps everything in `start .. start + len`.
    ///
    /// # Errors
    ///
    /// `Invalid`; `NoMemory` if an area would have to be split beyond the limit.
    pub fn unmap(&self, _start: u64, _len: u64) -> Result<(), MemoryError> {
        Err(MemoryError::NoMemory)
    }

    /// Changes what may be done with `start .. start + len`.
    ///
    /// # Errors
    ///
    /// `Invalid`; `NoMemory` at a hole (what comes before it is changed); `AccessDenied` beyond `max_prot`.
    pub fn protect(&self, _start: u64, _len: u64, _prot: Prot) -> Result<(), MemoryError> {
        Err(MemoryError::NoMemory)
    }

    /// Grows, shrinks or moves a mapping (`mremap`); gives its address.
    ///
    /// # Errors
    ///
    /// `Invalid`, `NoMemory`, `Fault` for a range that is not one mapping.
    pub fn remap(
        &self,
        _old: u64,
        _old_len: u64,
        _new_len: u64,
        _placement: RemapPlacement,
    ) -> Result<u64, MemoryError> {
        Err(MemoryError::NoMemory)
    }

    /// Sets the highest end of mappings placed by the kernel. Keep it below the stack's limit.
    pub fn set_mmap_base(&self, _base: u64) {}

    /// Sets where the heap begins (and ends, for now): after the program's last segment.
    pub fn set_brk_start(&self, _start: u64) {}

    /// Moves the end of the heap and gives the new end, or the old one if that is not possible (`brk`).
    pub fn brk(&self, _end: u64) -> u64 {
        0
    }

    /// `madvise`.
    ///
    /// # Errors
    ///
    /// `Invalid`; `NoMemory` at a hole.
    pub fn advise(&self, _start: u64, _len: u64, _advice: Advice) -> Result<(), MemoryError> {
        Err(MemoryError::NoMemory)
    }

    /// For each page from `start` on, writes 1 if it is present, else 0 (`mincore`).
    ///
    /// # Errors
    ///
    /// `Invalid`; `NoMemory` at a hole.
    pub fn mincore(&self, _start: u64, _out: &mut [u8]) -> Result<(), MemoryError> {
        Err(MemoryError::NoMemory)
    }

    /// Settles a page fault.
    pub fn fault(&self, _fault: &PageFault) -> FaultOutcome {
        FaultOutcome::NoMapping
    }

    /// Copies from user memory; faults pages in. Gives the bytes copied before the first that cannot be read: fewer than
    /// asked for means a fault there.
    pub fn read(&self, _address: u64, _out: &mut [u8]) -> usize {
        0
    }

    /// Copies to user memory as the user's own stores would (breaks copy-on-write); result as for [`AddressSpace::read`].
    pub fn write(&self, _address: u64, _data: &[u8]) -> usize {
        0
    }

    /// Writes zeroes; result as for [`AddressSpace::read`].
    pub fn zero(&self, _address: u64, _len: u64) -> u64 {
        0
    }

    /// Copies a zero-terminated string without its zero.
    ///
    /// # Errors
    ///
    /// `Fault`; `Invalid` if there is no zero within `max` bytes.
    pub fn read_cstr(&self, _address: u64, _max: usize) -> Result<Vec<u8>, MemoryError> {
        Err(MemoryError::Fault)
    }

    /// Loads an aligned word.
    ///
    /// # Errors
    ///
    /// `Fault`; `Invalid` if not aligned.
    pub fn load_u32(&self, _address: u64) -> Result<u32, MemoryError> {
        Err(MemoryError::Fault)
    }

    /// Replaces an aligned word if it is `expected`; gives what was there.
    ///
    /// # Errors
    ///
    /// As for [`AddressSpace::load_u32`].
    pub fn compare_exchange_u32(&self, _address: u64, _expected: u32, _new: u32) -> Result<u32, MemoryError> {
        Err(MemoryError::Fault)
    }

    /// Replaces an aligned word by what `change` makes of it, atomically; gives the old one. `change` may run several times.
    ///
    /// # Errors
    ///
    /// As for [`AddressSpace::load_u32`].
    pub fn fetch_update_u32(&self, _address: u64, _change: &mut dyn FnMut(u32) -> u32) -> Result<u32, MemoryError> {
        Err(MemoryError::Fault)
    }

    /// Identity of the futex word at `address`.
    ///
    /// # Errors
    ///
    /// `Invalid` if not aligned; `Fault` if not mapped.
    pub fn futex_key(&self, _address: u64, _scope: FutexScope) -> Result<FutexKey, MemoryError> {
        Err(MemoryError::Fault)
    }

    /// All areas, lowest first.
    ///
    /// # Errors
    ///
    /// `NoMemory`.
    pub fn areas(&self) -> Result<Vec<AreaInfo>, MemoryError> {
        Err(MemoryError::NoMemory)
    }

    /// Sizes.
    pub fn usage(&self) -> Usage {
        Usage::default()
    }

    /// Limits; a new space has [`SpaceLimits::default`], fork copies them.
    pub fn set_limits(&self, _limits: SpaceLimits) {}

    /// Starts freeing everything in steps: from now on nothing is mapped and no fault resolves.
    pub fn begin_teardown(&self) {}

    /// Frees up to about `budget` pages and tables; `true` when nothing is left. Dropping the space does the rest at once.
    pub fn teardown_step(&self, _budget: usize) -> bool {
        true
    }
}
