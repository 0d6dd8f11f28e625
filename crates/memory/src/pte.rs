//! Page-table entries as plain data (Intel SDM vol. 3, 4.5).

use types::PhysAddr;

use crate::Prot;

/// One entry of a page table of any level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(transparent)]
pub struct Pte(pub u64);

impl Pte {
    /// Nothing there.
    pub const EMPTY: Self = Self(0);
    /// Valid.
    pub const PRESENT: u64 = 1;
    /// Stores allowed; in an entry that leads to a table also: the table is this space's own.
    pub const WRITE: u64 = 1 << 1;
    /// User mode may use it.
    pub const USER: u64 = 1 << 2;
    /// Write-through.
    pub const WRITE_THROUGH: u64 = 1 << 3;
    /// Not cached.
    pub const NO_CACHE: u64 = 1 << 4;
    /// Used since the bit was last cleared.
    pub const ACCESSED: u64 = 1 << 5;
    /// Stored to.
    pub const DIRTY: u64 = 1 << 6;
    /// The entry of an upper level maps a large page itself.
    pub const LARGE: u64 = 1 << 7;
    /// Kept over changes of CR3.
    pub const GLOBAL: u64 = 1 << 8;
    /// Ours: the page belongs to a shared mapping, so splitting a shared table leaves it writable.
    pub const SHARED_PAGE: u64 = 1 << 9;
    /// Ours: holds a page though PRESENT is clear, because nothing may be done with it (`PROT_NONE`).
    pub const HIDDEN: u64 = 1 << 10;
    /// No instruction fetches.
    pub const NO_EXECUTE: u64 = 1 << 63;
    /// Bits of the frame's address.
    pub const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

    /// An entry that leads to a table of our own.
    pub const fn table(frame: PhysAddr) -> Self {
        Self(frame.as_u64() | Self::PRESENT | Self::WRITE | Self::USER)
    }

    /// An entry that maps a user page, with the bits `prot` allows.
    pub const fn user_page(frame: PhysAddr, prot: Prot, writable: bool) -> Self {
        let mut bits = frame.as_u64() | Self::PRESENT | Self::USER | Self::ACCESSED;
        if writable && prot.contains(Prot::WRITE) {
            bits |= Self::WRITE | Self::DIRTY;
        }
        if !prot.contains(Prot::EXEC) {
            bits |= Self::NO_EXECUTE;
        }
        Self(bits)
    }

    /// Whether the entry is valid.
    pub const fn is_present(self) -> bool {
        self.0 & Self::PRESENT != 0
    }

    /// Whether the entry leads to a table or a page, visible or hidden.
    pub const fn is_used(self) -> bool {
        self.0 & (Self::PRESENT | Self::HIDDEN) != 0
    }

    /// Whether stores are allowed.
    pub const fn is_writable(self) -> bool {
        self.0 & Self::WRITE != 0
    }

    /// Whether user mode may use it.
    pub const fn is_user(self) -> bool {
        self.0 & Self::USER != 0
    }

    /// Whether instructions may be fetched.
    pub const fn is_executable(self) -> bool {
        self.0 & Self::NO_EXECUTE == 0
    }

    /// Whether any of `bits` is set.
    pub const fn has(self, bits: u64) -> bool {
        self.0 & bits != 0
    }

    /// The frame it leads to.
    pub const fn frame(self) -> PhysAddr {
        PhysAddr::new_truncate(self.0 & Self::ADDRESS)
    }

    /// With `bits` set.
    #[must_use]
    pub const fn with(self, bits: u64) -> Self {
        Self(self.0 | bits)
    }

    /// With `bits` cleared.
    #[must_use]
    pub const fn without(self, bits: u64) -> Self {
        Self(self.0 & !bits)
    }
}
