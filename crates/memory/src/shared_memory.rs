//! Memory that several address spaces map and no file system knows: shared anonymous mappings, `memfd`, `shm`.
use core::fmt;

use types::PhysAddr;

use crate::{Frames, ObjectId, PageAccess, Pager, PagerError};

/// A sparse object of zeroes.
pub struct SharedMemory {
    #[allow(dead_code)]
    frames: &'static Frames,
    len: u64,
}

impl SharedMemory {
    /// An object of `len` bytes.
    pub fn new(frames: &'static Frames, len: u64) -> Self {
        Self { frames, len }
    }
}

impl Pager for SharedMemory {
    fn page(&self, _index: u64, _access: PageAccess) -> Result<PhysAddr, PagerError> {
        Err(PagerError::NoMemory)
    }

    fn len_bytes(&self) -> u64 {
        self.len
    }

    fn id(&self) -> ObjectId {
        ObjectId::default()
    }

    fn write_name(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str("/dev/zero (deleted)")
    }
}
