//! Physical frames as a store of pages, for code that keeps data in them without knowing about memory management.

use types::{PAGE_SIZE, PhysAddr};

/// Counted 4 KiB frames with access to their bytes. File systems keep file content in these, so that it can be mapped.
pub trait FrameStore: Send + Sync {
    /// A zeroed frame with one reference, or `None` when memory is short.
    fn alloc(&self) -> Option<PhysAddr>;
    /// One more reference to `frame`.
    fn retain(&self, frame: PhysAddr);
    /// One reference less; the last one frees it.
    fn release(&self, frame: PhysAddr);
    /// Copies bytes of `frame` from `offset` to `out`; the caller keeps `offset + out.len()` within the page.
    fn read(&self, frame: PhysAddr, offset: usize, out: &mut [u8]);
    /// Copies `data` into `frame` at `offset`; bounds as for [`FrameStore::read`].
    fn write(&self, frame: PhysAddr, offset: usize, data: &[u8]);
    /// Bytes of a frame.
    fn frame_size(&self) -> usize {
        PAGE_SIZE
    }
}
