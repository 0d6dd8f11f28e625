//! The direct map.
use types::{PhysAddr, VirtAddr};

/// All physical memory, readable and writable at one fixed distance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectMap {
    base: u64,
}

impl DirectMap {
    /// The map whose physical address 0 is at `base`.
    ///
    /// # Safety
    ///
    /// Every frame that [`crate::Frames`] is given is mapped there, writable, and stays so; nobody else uses those frames.
    /// `base` is a multiple of 1 GiB (so that natural alignment holds for virtual addresses as well).
    pub const unsafe fn new(base: u64) -> Self {
        Self { base }
    }

    /// Where `phys` is mapped.
    pub const fn virt(self, phys: PhysAddr) -> VirtAddr {
        VirtAddr::new_truncate(self.base.wrapping_add(phys.as_u64()))
    }
}
