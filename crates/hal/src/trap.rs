//! Why a user program came into the kernel.

/// The reason `enter_user` returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trap {
    /// The `syscall` instruction: the Linux gate. Number in `orig_rax`, arguments in the registers.
    Syscall,
    /// `int 0x80`: the native gate. Number in `rax`.
    NativeCall,
    /// A page fault that the fast path did not settle.
    PageFault(PageFault),
    /// Any other exception.
    Exception(Exception),
    /// A hardware interrupt or IPI came and has been acknowledged; its bottom half is still to run.
    Interrupt {
        /// Its vector, 32 to 255.
        vector: u8,
    },
}

/// A page fault: where, and what was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageFault {
    /// The address accessed (CR2).
    pub address: u64,
    /// What kind of access it was.
    pub flags: PageFaultFlags,
}

/// The error code of a page fault (Intel SDM vol. 3, 4.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageFaultFlags(pub u32);

impl PageFaultFlags {
    /// The page was mapped: a protection violation. Clear: not mapped.
    pub const fn present(self) -> bool {
        self.0 & 1 != 0
    }

    /// A write.
    pub const fn write(self) -> bool {
        self.0 & 2 != 0
    }

    /// From user mode.
    pub const fn user(self) -> bool {
        self.0 & 4 != 0
    }

    /// A reserved bit was set in a table: a kernel bug.
    pub const fn reserved_bit(self) -> bool {
        self.0 & 8 != 0
    }

    /// An instruction fetch.
    pub const fn fetch(self) -> bool {
        self.0 & 16 != 0
    }
}

/// An exception other than a page fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exception {
    /// Vector, 0 to 31.
    pub vector: u8,
    /// Error code, 0 where the exception has none.
    pub error_code: u32,
}
