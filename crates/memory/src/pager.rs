//! Objects whose pages can be mapped.

use core::fmt;

use types::PhysAddr;

/// What a page is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageAccess {
    /// To be read, or copied on write.
    Read,
    /// To be stored to in place.
    Write,
}

/// Why an object has no such page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PagerError {
    /// Wholly beyond the end of the object: `SIGBUS`.
    BeyondEnd,
    /// No frame for it.
    NoMemory,
}

/// Who an object is, as `/proc/PID/maps` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ObjectId {
    /// Device number of the file system.
    pub device: u64,
    /// Number of the inode.
    pub inode: u64,
}

/// An object that has pages: a file, shared memory.
///
/// Called under an address space's lock ([`sync::Rank::ADDRESS_SPACE`]), so an implementation takes locks of higher rank
/// only, does not wait and does not touch user memory.
pub trait Pager: Send + Sync {
    /// The frame of page `index`, with one reference for the caller. The same frame every time while anybody holds a
    /// reference to it, so that all mappings and the object itself see one page.
    ///
    /// # Errors
    ///
    /// [`PagerError`]; nothing is referenced then.
    fn page(&self, index: u64, access: PageAccess) -> Result<PhysAddr, PagerError>;

    /// Fills `frames` with those of the pages from `first` on, for reading and each with one reference for the caller, as far
    /// as the object has them already: a read fault maps such neighbours along. None, if touching them may come to differ
    /// from reading them now: the object may shrink.
    fn pages_at_hand(&self, first: u64, frames: &mut [Option<PhysAddr>]) {
        let _ = (first, frames);
    }

    /// Whether page `index` has memory already, so that nothing would have to be made for it.
    fn has_page(&self, index: u64) -> bool {
        let _ = index;
        true
    }

    /// What [`crate::AddressSpace::drop_object`] finds it by, and what makes several pagers of one file one object to futexes;
    /// 0: this pager is all there is.
    fn object(&self) -> usize {
        0
    }

    /// Takes whole pages out of the object and out of every mapping of it; whether it can. Not called under any lock.
    fn make_hole(&self, offset: u64, len: u64) -> bool {
        let _ = (offset, len);
        false
    }

    /// Size of the object in bytes, now.
    fn len_bytes(&self) -> u64;

    /// Who it is.
    fn id(&self) -> ObjectId;

    /// Writes the name that `/proc/PID/maps` shows.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    fn write_name(&self, out: &mut dyn fmt::Write) -> fmt::Result;
}
