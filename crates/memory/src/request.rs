//! What callers ask an address space for, and what it tells them: plain data.

use alloc::sync::Arc;

use bitflags::bitflags;

use crate::Pager;

bitflags! {
    /// What may be done with a page. The values are Linux's `PROT_*`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct Prot: u8 {
        /// Load.
        const READ = 1;
        /// Store.
        const WRITE = 2;
        /// Fetch instructions.
        const EXEC = 4;
    }
}

/// Who sees stores to a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// This address space only: pages are copied on write.
    Private,
    /// Everybody who maps the same object, and the object itself.
    Shared,
}

/// Where a new mapping goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// At the hint if there is room, else the highest gap below the mapping base. A hint of 0 is none.
    Hint(u64),
    /// Exactly there; what was mapped there is unmapped.
    Fixed(u64),
    /// Exactly there, or [`crate::MemoryError::Exists`].
    FixedNoReplace(u64),
}

/// Where the bytes of a mapping come from.
#[derive(Clone)]
pub enum Backing {
    /// Zeroes. Shared anonymous memory becomes an object of its own.
    Anonymous,
    /// Pages of an object from `offset` (bytes, page-aligned) on.
    File {
        /// The object.
        pager: Arc<dyn Pager>,
        /// Offset of the first byte of the mapping.
        offset: u64,
    },
}

bitflags! {
    /// Further wishes for a mapping.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct MapFlags: u8 {
        /// A stack: grows towards lower addresses when touched below its start (`MAP_GROWSDOWN`).
        const GROWS_DOWN = 1;
        /// Put pages in at once (`MAP_POPULATE`).
        const POPULATE = 2;
        /// The process's main stack, as `/proc/PID/maps` calls it.
        const STACK = 4;
        /// Not passed on by fork (`MADV_DONTFORK`).
        const DONT_FORK = 8;
        /// Zeroed in the child of a fork (`MADV_WIPEONFORK`).
        const WIPE_ON_FORK = 16;
        /// Counted against the limit of locked memory and brought in at once (`MAP_LOCKED`); not passed on by fork.
        const LOCKED = 32;
        /// With `LOCKED`: brought in when touched, as other memory (`MLOCK_ONFAULT`).
        const LOCK_ON_FAULT = 64;
    }
}

/// A new mapping (`mmap`).
#[derive(Clone)]
pub struct MapRequest {
    /// Where.
    pub placement: Placement,
    /// Bytes; rounded up to whole pages. 0 is invalid.
    pub len: u64,
    /// What may be done with it now.
    pub prot: Prot,
    /// What `protect` may ever allow: without `WRITE` for a shared mapping of a file that was opened for reading only.
    pub max_prot: Prot,
    /// Who sees stores.
    pub sharing: Sharing,
    /// Where the bytes come from.
    pub backing: Backing,
    /// Further wishes.
    pub flags: MapFlags,
}

impl MapRequest {
    /// Private zeroed memory anywhere.
    pub fn anonymous(len: u64, prot: Prot) -> Self {
        Self {
            placement: Placement::Hint(0),
            len,
            prot,
            max_prot: Prot::all(),
            sharing: Sharing::Private,
            backing: Backing::Anonymous,
            flags: MapFlags::empty(),
        }
    }

    /// A private mapping of an object anywhere.
    pub fn file(pager: Arc<dyn Pager>, offset: u64, len: u64, prot: Prot) -> Self {
        Self { backing: Backing::File { pager, offset }, ..Self::anonymous(len, prot) }
    }

    /// The same mapping exactly at `address`, replacing what is there.
    #[must_use]
    pub fn at(mut self, address: u64) -> Self {
        self.placement = Placement::Fixed(address);
        self
    }

    /// The same mapping, shared.
    #[must_use]
    pub fn shared(mut self) -> Self {
        self.sharing = Sharing::Shared;
        self
    }

    /// The same mapping with further flags.
    #[must_use]
    pub fn with(mut self, flags: MapFlags) -> Self {
        self.flags |= flags;
        self
    }
}

/// How `remap` may place the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemapPlacement {
    /// Where it is, or fail.
    InPlace,
    /// Anywhere (`MREMAP_MAYMOVE`).
    MayMove,
    /// Exactly there (`MREMAP_FIXED`).
    Fixed(u64),
}

/// How pages are locked (`mlock`). None leaves memory anyway: what counts is how many they are and that they are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    /// Brought in at once.
    Present,
    /// Brought in when touched.
    OnFault,
}

impl LockMode {
    /// The flags of areas locked so.
    pub(crate) const fn flags(self) -> MapFlags {
        match self {
            Self::Present => MapFlags::LOCKED,
            Self::OnFault => MapFlags::LOCKED.union(MapFlags::LOCK_ON_FAULT),
        }
    }
}

/// What becomes of a private mapping's pages when their object loses its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrivateCopies {
    /// They are dropped: the object was truncated.
    Drop,
    /// They stay: the object got a hole.
    Keep,
}

/// What a program says about its memory (`madvise`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Drop the pages: private anonymous ones read as zeroes afterwards, others come from the object again.
    DontNeed,
    /// The same, of locked pages, too.
    DontNeedLocked,
    /// May be paged out: not locked memory.
    Cold,
    /// Make a hole in the file (`MADV_REMOVE`).
    Remove,
    /// The contents are not needed; may be dropped at once or later.
    Free,
    /// Bring pages in.
    WillNeed,
    /// Make pages present as reading would (`MADV_POPULATE_READ`).
    PopulateRead,
    /// Make pages present and writable (`MADV_POPULATE_WRITE`).
    PopulateWrite,
    /// Do not pass on over fork, or do again.
    DontFork,
    /// Undo `DontFork`.
    DoFork,
    /// Zero in the child of a fork.
    WipeOnFork,
    /// Undo `WipeOnFork`.
    KeepOnFork,
    /// Known to Linux, without effect here (huge pages, sequential access, dumps, …).
    Ignored,
}

/// How a fault was settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// From memory.
    Minor,
    /// The object's pager had to fetch the page.
    Major,
}

/// What a page fault comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultOutcome {
    /// The access can be tried again.
    Resolved(FaultKind),
    /// Nothing is mapped there: `SIGSEGV`, `SEGV_MAPERR`.
    NoMapping,
    /// The mapping does not allow the access: `SIGSEGV`, `SEGV_ACCERR`.
    Access,
    /// Beyond the end of the file: `SIGBUS`, `BUS_ADRERR`.
    Bus,
    /// No frame left for the user.
    OutOfMemory,
    /// The space has as many pages as it may ([`SpaceLimits::resident_pages`]).
    Limit,
}

/// Limits of one address space, in bytes; `u64::MAX` is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpaceLimits {
    /// All mappings together (`RLIMIT_AS`).
    pub address_space: u64,
    /// Heap and private writable mappings (`RLIMIT_DATA`).
    pub data: u64,
    /// A growing stack (`RLIMIT_STACK`).
    pub stack: u64,
    /// Most pages present at once; not in bytes.
    pub resident_pages: u64,
}

impl Default for SpaceLimits {
    fn default() -> Self {
        Self { address_space: u64::MAX, data: u64::MAX, stack: 8 << 20, resident_pages: u64::MAX }
    }
}

/// Sizes of one address space, in pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Usage {
    /// Mapped, present or not (`VmSize`).
    pub size: u64,
    /// The most `size` has been.
    pub peak_size: u64,
    /// Present (`VmRSS`).
    pub resident: u64,
    /// The most `resident` has been.
    pub peak_resident: u64,
    /// Private writable mappings other than stacks (`VmData`).
    pub data: u64,
    /// Stacks (`VmStk`).
    pub stack: u64,
    /// The heap that `brk` moves.
    pub heap: u64,
    /// Executable mappings (`VmExe`).
    pub code: u64,
    /// Mappings of files and shared memory.
    pub shared: u64,
    /// Page tables that only this space uses or that it shares (`VmPTE`).
    pub tables: u64,
    /// Number of areas.
    pub areas: u64,
    /// Locked (`VmLck`).
    pub locked: u64,
}

/// What an area is for, as `/proc/PID/maps` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AreaKind {
    /// Anonymous memory without a name.
    Anonymous,
    /// `[heap]`.
    Heap,
    /// `[stack]`.
    Stack,
    /// Pages of an object.
    File,
}

/// One line of `/proc/PID/maps`.
#[derive(Clone)]
pub struct AreaInfo {
    /// First address.
    pub start: u64,
    /// One past the last.
    pub end: u64,
    /// What may be done with it.
    pub prot: Prot,
    /// Who sees stores.
    pub sharing: Sharing,
    /// Offset into the object; 0 for anonymous memory.
    pub offset: u64,
    /// What it is for.
    pub kind: AreaKind,
    /// The object.
    pub pager: Option<Arc<dyn Pager>>,
    /// It is locked.
    pub locked: bool,
}

/// Identity of a futex word: equal for everybody who waits on the same memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FutexKey {
    /// A word of one address space.
    Private {
        /// The space (its top table's address).
        space: u64,
        /// The word's address.
        address: u64,
    },
    /// A word of an object that may be mapped in several places.
    Shared {
        /// The object (its address in the kernel; unique while it lives).
        object: u64,
        /// Offset of the word in the object.
        offset: u64,
    },
}

/// Whether a futex call promised that nobody else maps the word (`FUTEX_PRIVATE_FLAG`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FutexScope {
    /// It did.
    Private,
    /// It did not: the word may be in shared memory.
    Shared,
}
