//! Hooks that serve system calls and page faults without leaving `enter_user`.

use core::sync::atomic::{AtomicPtr, Ordering};

use hal::{PageFault, PageFaultFlags, UserContext};

use crate::smap;

/// What the hook of [`set_fast_syscall`] has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum FastOutcome {
    /// The call is finished and its result is in `rax` of the context.
    Done = 0,
    /// Nothing has happened; `enter_user` shall return [`hal::Trap::Syscall`].
    Slow = 1,
}

/// Serves a system call without leaving `enter_user`.
///
/// Of the context only `rax`, `rdx`, `rsi`, `rdi`, `r8`, `r9`, `r10`, `rip` and `rflags` are current, and only `rax` may
/// be changed, and only for [`FastOutcome::Done`].
pub type FastSyscall = extern "C" fn(&mut UserContext) -> FastOutcome;

/// Serves a page fault without leaving `enter_user`; `true`: the program goes on. Of the context the registers that C
/// calls clobber, and the interrupt frame, are current.
pub type FastFault = fn(&PageFault, &UserContext) -> bool;

extern "C" fn always_slow(_: &mut UserContext) -> FastOutcome {
    FastOutcome::Slow
}

fn never_resolved(_: &PageFault, _: &UserContext) -> bool {
    false
}

/// Read by the entry code; always a `FastSyscall`.
pub(super) static FAST_SYSCALL: AtomicPtr<()> = AtomicPtr::new(always_slow as FastSyscall as *mut ());
/// Always a `FastFault`.
static FAST_FAULT: AtomicPtr<()> = AtomicPtr::new(never_resolved as FastFault as *mut ());

/// Sets the hook that sees every system call of the Linux gate first.
pub fn set_fast_syscall(hook: FastSyscall) {
    FAST_SYSCALL.store(hook as *mut (), Ordering::Release);
}

/// Sets the hook that sees every page fault from user mode first.
pub fn set_fast_fault(hook: FastFault) {
    FAST_FAULT.store(hook as *mut (), Ordering::Release);
}

/// From the entry code, on the kernel stack; not zero: the program goes on.
pub(super) extern "C" fn on_user_fault(address: u64, error_code: u32, context: &UserContext) -> u32 {
    smap::close();
    let flags = PageFaultFlags(error_code);
    if !flags.user() {
        return 0;
    }
    let hook = FAST_FAULT.load(Ordering::Acquire);
    // SAFETY: only `FastFault`s are ever stored there.
    let hook: FastFault = unsafe { core::mem::transmute(hook) };
    u32::from(hook(&PageFault { address, flags }, context))
}
