//! The registers of a user program, as saved at its last entry into the kernel.

/// General registers of a user thread. The layout is known to the entry code of `hal-x86_64`.
///
/// Floating-point and vector state is not here: it stays in the registers until another thread runs on the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(C, align(16))]
pub struct UserContext {
    /// Return value and number of a system call.
    pub rax: u64,
    /// Callee-saved.
    pub rbx: u64,
    /// Fourth argument of a function; clobbered by `syscall`.
    pub rcx: u64,
    /// Third argument.
    pub rdx: u64,
    /// Second argument.
    pub rsi: u64,
    /// First argument.
    pub rdi: u64,
    /// Callee-saved, frame pointer.
    pub rbp: u64,
    /// Fifth argument.
    pub r8: u64,
    /// Sixth argument.
    pub r9: u64,
    /// Fourth argument of a system call.
    pub r10: u64,
    /// Clobbered by `syscall`.
    pub r11: u64,
    /// Callee-saved.
    pub r12: u64,
    /// Callee-saved.
    pub r13: u64,
    /// Callee-saved.
    pub r14: u64,
    /// Callee-saved.
    pub r15: u64,
    /// Number of the system call being served, for restarts; `u64::MAX` outside one (Linux's `orig_rax`).
    pub orig_rax: u64,
    /// Padding: the interrupt frame below must end on a multiple of 16 bytes, since the CPU pushes it there.
    pub reserved: u64,
    /// Vector of the last trap; 256 for `syscall`.
    pub vector: u64,
    /// Error code of the last trap.
    pub error_code: u64,
    /// Instruction pointer. From here on the order is that of an interrupt frame.
    pub rip: u64,
    /// Code segment.
    pub cs: u64,
    /// Flags.
    pub rflags: u64,
    /// Stack pointer.
    pub rsp: u64,
    /// Stack segment.
    pub ss: u64,
    /// Base of FS: thread-local storage.
    pub fs_base: u64,
    /// Base of GS as the user sees it.
    pub gs_base: u64,
}

impl UserContext {
    /// Code segment of 64-bit user code, requested privilege level 3.
    pub const USER_CS: u64 = 0x33;
    /// Stack and data segment of user code.
    pub const USER_SS: u64 = 0x2b;
    /// Interrupts on, and the bit that is always one.
    pub const INITIAL_RFLAGS: u64 = 0x202;

    /// A thread about to run its first instruction at `rip` on the stack `rsp`, all other registers zero.
    pub const fn new(rip: u64, rsp: u64) -> Self {
        Self {
            rax: 0,
            rbx: 0,
            rcx: 0,
            rdx: 0,
            rsi: 0,
            rdi: 0,
            rbp: 0,
            r8: 0,
            r9: 0,
            r10: 0,
            r11: 0,
            r12: 0,
            r13: 0,
            r14: 0,
            r15: 0,
            orig_rax: u64::MAX,
            reserved: 0,
            vector: 0,
            error_code: 0,
            rip,
            cs: Self::USER_CS,
            rflags: Self::INITIAL_RFLAGS,
            rsp,
            ss: Self::USER_SS,
            fs_base: 0,
            gs_base: 0,
        }
    }

    /// Arguments of a Linux system call, in order.
    pub const fn syscall_args(&self) -> [u64; 6] {
        [self.rdi, self.rsi, self.rdx, self.r10, self.r8, self.r9]
    }
}
