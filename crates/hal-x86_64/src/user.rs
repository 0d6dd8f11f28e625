//! User mode as a function: [`enter_user`] runs a program until it comes back, and says why.
//!
//! # Protocol
//!
//! *Going in.* `enter_user` puts the registers that Rust wants preserved on the kernel stack, notes that stack in the
//! CPU's block, points RSP0 of the TSS to the end of the interrupt frame inside the [`UserContext`], loads the user's
//! registers and leaves by `iretq`. Where the context is exactly what `syscall` left behind (`rcx` = `rip`, `r11` =
//! `rflags`, lower half, no trap or resume flag) it leaves by `sysretq`, which is faster; the check looks at the
//! registers themselves, so a context changed by a signal or `sigreturn` always takes `iretq`. `sysretq` with a
//! non-canonical `rcx` would fault in ring 0 (CVE-2012-0217), and so would `iretq`: such a context never goes in but is
//! answered with a general protection fault.
//!
//! *Coming back by interrupt or exception.* The CPU pushes its frame straight into the context, because RSP0 points
//! there. The vector's stub adds vector and error code, the common code stores the general registers, `swapgs`, loads
//! the kernel stack noted in the CPU's block, and returns to `enter_user` as if it had called.
//!
//! *Coming back by `syscall`.* The CPU changes neither stack nor GS. The stub does, stores the registers that a C
//! function may clobber, and calls the hook of [`set_fast_syscall`] on the kernel stack. [`FastOutcome::Done`]: the
//! same registers are loaded again, `rax` from the context, and `sysretq`. [`FastOutcome::Slow`]: the other registers
//! are stored too and `enter_user` returns [`Trap::Syscall`].
//!
//! *Page faults from user mode* likewise go to the hook of [`set_fast_fault`] first.
//!
//! A fast stub that finds work noted for the CPU ([`crate::cpu::set_work`]) does not return to the user; `enter_user`
//! returns `Trap::Interrupt { vector: RESCHEDULE }` as if an interrupt had come right after the call.
//!
//! *What user mode cannot see.* Every general register holds the user's own value or the result; vector registers are
//! never touched by the kernel, which is built without them. RFLAGS.AC, which interrupts do not clear, is cleared
//! before any kernel code that could touch user pages by mistake.
//!
//! FS and GS bases of the user stay in the CPU; see [`save_bases`] and [`load_bases`].

mod bases;
mod entry;
mod fast;

use core::sync::atomic::Ordering;

use hal::{Exception, PageFault, PageFaultFlags, Trap, UserContext};
use types::USER_END;
use x86_64::registers::rflags::RFlags;

use crate::{features, interrupts, per_cpu, smap};
use entry::{WORK_VECTOR, hal_enter_by_iret, hal_enter_by_sysret};

pub use bases::{load_bases, save_bases};
pub use entry::SYSCALL_VECTOR;
pub(crate) use entry::{stub, syscall_stub};
pub use fast::{FastFault, FastOutcome, FastSyscall, set_fast_fault, set_fast_syscall};

/// Flags a program may have set as it likes; the rest is forced on the way in.
const USER_FLAGS: u64 = RFlags::CARRY_FLAG
    .union(RFlags::PARITY_FLAG)
    .union(RFlags::AUXILIARY_CARRY_FLAG)
    .union(RFlags::ZERO_FLAG)
    .union(RFlags::SIGN_FLAG)
    .union(RFlags::TRAP_FLAG)
    .union(RFlags::DIRECTION_FLAG)
    .union(RFlags::OVERFLOW_FLAG)
    .union(RFlags::RESUME_FLAG)
    .union(RFlags::ALIGNMENT_CHECK)
    .union(RFlags::ID)
    .bits();

/// With one of these only `iretq` restores the flags as they were.
const IRET_FLAGS: u64 = RFlags::TRAP_FLAG.union(RFlags::RESUME_FLAG).bits();

/// How to go in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    Sysret,
    Iret,
    /// The instruction pointer is not an address.
    Nowhere,
}

/// Makes the segments and flags of `context` those of a user program, and chooses the instruction to enter with.
#[inline]
fn prepare(context: &mut UserContext) -> Door {
    context.cs = UserContext::USER_CS;
    context.ss = UserContext::USER_SS;
    context.rflags = context.rflags & USER_FLAGS | UserContext::INITIAL_RFLAGS;
    context.orig_rax = u64::MAX;
    let after_syscall = context.rcx == context.rip && context.r11 == context.rflags && context.rflags & IRET_FLAGS == 0;
    if after_syscall && context.rip < USER_END {
        Door::Sysret
    } else if features::is_canonical(context.rip) {
        Door::Iret
    } else {
        Door::Nowhere
    }
}

/// Runs the program in `context` on this CPU until something needs the kernel.
///
/// Interrupts are on in user mode and off again on return. Hardware interrupts have been acknowledged and their
/// handlers run; shoot-downs are served without returning. The caller has activated the program's address space and,
/// if another program ran here since, loaded its FPU state and [`load_bases`].
#[inline]
pub fn enter_user(context: &mut UserContext) -> Trap {
    let block = per_cpu::current();
    loop {
        let door = prepare(context);
        block.stats.count_user_entry();
        let vector = match door {
            // SAFETY: the context is that of a user program at a lower-half address; the CPU block is in place.
            Door::Sysret => unsafe { hal_enter_by_sysret(context) },
            // SAFETY: as above; `iretq` takes any canonical address.
            Door::Iret => unsafe { hal_enter_by_iret(context) },
            Door::Nowhere => return Trap::Exception(Exception { vector: 13, error_code: 0 }),
        };
        if vector == SYSCALL_VECTOR {
            return Trap::Syscall;
        }
        smap::close();
        if vector == WORK_VECTOR {
            return Trap::Interrupt { vector: interrupts::RESCHEDULE };
        }
        let vector = vector as u8;
        match vector {
            14 => {
                block.stats.count_vector(vector);
                let address = block.fault_address.load(Ordering::Relaxed);
                let flags = PageFaultFlags(context.error_code as u32);
                if !flags.user() {
                    // The CPU itself touched a page in the kernel's name: for a far return or a segment load by bad
                    // selectors, or on QEMU's emulation for the stack of `iretq` with SMAP on. No page can settle that.
                    return Trap::Exception(Exception { vector: 13, error_code: 0 });
                }
                return Trap::PageFault(PageFault { address, flags });
            }
            0..32 => {
                block.stats.count_vector(vector);
                return Trap::Exception(Exception { vector, error_code: context.error_code as u32 });
            }
            interrupts::NATIVE_CALL => {
                block.stats.count_vector(vector);
                context.orig_rax = context.rax;
                return Trap::NativeCall;
            }
            _ => {
                interrupts::dispatch(vector);
                if vector != interrupts::SHOOTDOWN || block.work.load(Ordering::Relaxed) != 0 {
                    return Trap::Interrupt { vector };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after_syscall(rip: u64) -> UserContext {
        let mut context = UserContext::new(rip, 0x7000);
        context.rcx = rip;
        context.r11 = context.rflags;
        context
    }

    #[test]
    fn context_left_by_syscall_goes_back_by_sysret() {
        assert_eq!(prepare(&mut after_syscall(0x40_1000)), Door::Sysret);
    }

    #[test]
    fn changed_registers_go_by_iret() {
        let mut context = after_syscall(0x40_1000);
        context.rcx = 1;
        assert_eq!(prepare(&mut context), Door::Iret);
        let mut context = after_syscall(0x40_1000);
        context.r11 = 0;
        assert_eq!(prepare(&mut context), Door::Iret);
        let mut context = after_syscall(0x40_1000);
        context.rflags |= RFlags::TRAP_FLAG.bits();
        context.r11 = context.rflags;
        assert_eq!(prepare(&mut context), Door::Iret);
    }

    #[test]
    fn kernel_addresses_never_go_by_sysret_and_holes_never_at_all() {
        assert_eq!(prepare(&mut after_syscall(0xffff_8000_0000_0000)), Door::Iret);
        assert_eq!(prepare(&mut after_syscall(0x0000_8000_0000_0000)), Door::Nowhere);
        assert_eq!(prepare(&mut after_syscall(0x0000_7fff_ffff_f000)), Door::Iret);
    }

    #[test]
    fn privileged_flags_and_segments_are_forced() {
        let mut context = after_syscall(0x40_1000);
        context.rflags = u64::MAX;
        context.cs = 8;
        context.ss = 16;
        prepare(&mut context);
        assert_eq!(context.rflags & 0x3000, 0, "I/O privilege");
        assert_eq!(context.rflags & (1 << 14 | 1 << 17), 0, "nested task, virtual 8086");
        assert_eq!(context.rflags & 0x202, 0x202, "interrupts on");
        assert_eq!((context.cs, context.ss), (0x33, 0x2b));
    }
}
