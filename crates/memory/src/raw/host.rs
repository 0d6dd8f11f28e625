//! Physical memory of a pretended machine: a piece of the host's.

use core::alloc::Layout;

use crate::DirectMap;

impl DirectMap {
    /// `bytes` of zeroed physical memory, addresses `0 .. bytes`, for tests. Never freed.
    ///
    /// # Panics
    ///
    /// If the host has not that much.
    #[must_use]
    pub fn host(bytes: usize) -> Self {
        let size = bytes.next_power_of_two().max(1 << 21);
        let layout = Layout::from_size_align(size, 1 << 30).unwrap_or(Layout::new::<u64>());
        // SAFETY: the layout is not empty.
        let base = unsafe { std::alloc::alloc_zeroed(layout) };
        assert!(!base.is_null(), "the host is out of memory");
        // SAFETY: the block is never freed and known to nobody else; it is aligned to 1 GiB.
        unsafe { Self::new(base as u64) }
    }
}
