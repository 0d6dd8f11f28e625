//! The kernel half of every address space.
use types::{PhysAddr, VirtAddr};

use crate::{Frames, MemoryError, MemoryRegion, Prot};

/// A part of the kernel image: mapped with 4 KiB pages and exactly these rights (never writable and executable).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageSegment {
    /// Where it is linked.
    pub virt: u64,
    /// Where it was loaded.
    pub phys: u64,
    /// Bytes.
    pub len: u64,
    /// Rights.
    pub prot: Prot,
}

/// What the CPU's paging can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct PagingFeatures {
    /// 1 GiB pages.
    pub gib_pages: bool,
    /// The no-execute bit.
    pub no_execute: bool,
    /// Global pages.
    pub global_pages: bool,
}

/// What the kernel half contains.
#[derive(Clone, Copy, Debug)]
pub struct KernelLayout<'a> {
    /// All RAM, used or not: mapped writable, not executable, at the direct map's base.
    pub ram: &'a [MemoryRegion],
    /// The kernel image.
    pub image: &'a [ImageSegment],
    /// What paging can do.
    pub features: PagingFeatures,
}

/// The kernel's page tables. Every address space has the same entries in the upper half of its top table; they are all there
/// from the start, so later mappings show everywhere.
pub struct KernelTables {
    root: PhysAddr,
}

impl KernelTables {
    /// Start of the window in which [`KernelTables::map_mmio`] maps what the direct map does not have.
    pub const MMIO_BASE: u64 = 0xffff_ff00_0000_0000;

    /// Builds the kernel half: RAM and, below 4 GiB, everything else uncached, with the largest pages there are; the image.
    ///
    /// # Errors
    ///
    /// [`MemoryError::NoMemory`].
    pub fn build(_frames: &'static Frames, _layout: &KernelLayout<'_>) -> Result<Self, MemoryError> {
        Err(MemoryError::NoMemory)
    }

    /// The top table, for CR3 while no process runs.
    pub fn root(&self) -> PhysAddr {
        self.root
    }

    /// Maps device registers uncached; the same range may be asked for again.
    ///
    /// # Errors
    ///
    /// [`MemoryError::NoMemory`]: no frame for a table, or the window is full.
    pub fn map_mmio(&self, _phys: PhysAddr, _len: u64) -> Result<VirtAddr, MemoryError> {
        Err(MemoryError::NoMemory)
    }
}
