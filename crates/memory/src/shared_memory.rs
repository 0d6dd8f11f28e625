//! Memory that several address spaces map and no file system knows: shared anonymous mappings.

use alloc::collections::BTreeMap;
use core::fmt;

use sync::{Rank, SpinLock};
use types::{PAGE_SIZE, PhysAddr};

use crate::{Frames, ObjectId, PageAccess, Pager, PagerError, Purpose};

/// A sparse object of zeroes of a fixed size.
pub struct SharedMemory {
    frames: &'static Frames,
    len: u64,
    pages: SpinLock<BTreeMap<u64, PhysAddr>>,
}

impl SharedMemory {
    /// Pages that have memory.
    pub fn pages(&self) -> u64 {
        self.pages.lock().len() as u64
    }

    /// An object of `len` bytes.
    pub fn new(frames: &'static Frames, len: u64) -> Self {
        Self { frames, len, pages: SpinLock::new(Rank::FILE_PAGES, BTreeMap::new()) }
    }
}

impl Pager for SharedMemory {
    fn page(&self, index: u64, _access: PageAccess) -> Result<PhysAddr, PagerError> {
        if index >= self.len.div_ceil(PAGE_SIZE as u64) {
            return Err(PagerError::BeyondEnd);
        }
        let mut pages = self.pages.lock();
        let frame = match pages.get(&index) {
            Some(frame) => *frame,
            None => {
                let frame = self.frames.alloc_zeroed(Purpose::User).ok_or(PagerError::NoMemory)?;
                pages.insert(index, frame);
                frame
            }
        };
        self.frames.retain(frame);
        Ok(frame)
    }

    fn pages_at_hand(&self, first: u64, frames: &mut [Option<PhysAddr>]) {
        let pages = self.pages.lock();
        for (index, slot) in (first..).zip(frames) {
            *slot = pages.get(&index).copied().inspect(|frame| self.frames.retain(*frame));
        }
    }

    fn has_page(&self, index: u64) -> bool {
        self.pages.lock().contains_key(&index)
    }

    fn len_bytes(&self) -> u64 {
        self.len
    }

    fn id(&self) -> ObjectId {
        ObjectId { device: 1, inode: 0 }
    }

    fn write_name(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str("/dev/zero (deleted)")
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        for frame in self.pages.get_mut().values() {
            self.frames.release(*frame);
        }
    }
}
