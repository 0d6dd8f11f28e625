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

use core::arch::{asm, global_asm};
use core::mem::offset_of;
use core::sync::atomic::{AtomicPtr, Ordering};

use hal::{Exception, PageFault, PageFaultFlags, Trap, UserContext};
use types::USER_END;
use x86_64::registers::rflags::RFlags;

use crate::features::{self, Features};
use crate::io::Register;
use crate::{interrupts, per_cpu, smap};

/// `UserContext::vector` after `syscall`.
pub const SYSCALL_VECTOR: u64 = 256;
/// Returned by the stubs when a fast return was given up for other work.
const WORK_VECTOR: u64 = 257;

/// End of the interrupt frame in a context.
const FRAME_END: usize = offset_of!(UserContext, ss) + 8;

/// The CPU aligns RSP0 down to 16 bytes before it pushes.
const _: () = assert!(FRAME_END.is_multiple_of(16) && align_of::<UserContext>() == 16);
const _: () = assert!(offset_of!(UserContext, rip) == offset_of!(UserContext, error_code) + 8);
const _: () = assert!(offset_of!(UserContext, error_code) == offset_of!(UserContext, vector) + 8);

// One stub of 16 bytes per vector: an error code where the CPU pushes none, and the vector. (In Intel syntax `push` of
// an assembler variable would be a memory access.)
global_asm!(
    r#"
.pushsection .text.hal_user, "ax", @progbits
.globl hal_vector_stubs
.p2align 4
hal_vector_stubs:
.set hal_vector, 0
.rept 256
    .p2align 4
    .if (hal_vector != 8) && ((hal_vector < 10) || (hal_vector > 14)) && (hal_vector != 17) && (hal_vector != 21) && (hal_vector != 29) && (hal_vector != 30)
    pushq $0
    .endif
    pushq $hal_vector
    jmp hal_trap
    .set hal_vector, hal_vector + 1
.endr
.popsection
"#,
    options(att_syntax)
);

global_asm!(
    r#"
.pushsection .text.hal_user, "ax", @progbits

.macro hal_save_volatile base
    mov [\base + {rax}], rax
    mov [\base + {rdx}], rdx
    mov [\base + {rsi}], rsi
    mov [\base + {rdi}], rdi
    mov [\base + {r8}], r8
    mov [\base + {r9}], r9
    mov [\base + {r10}], r10
.endm
.macro hal_load_volatile base
    mov rax, [\base + {rax}]
    mov rdx, [\base + {rdx}]
    mov rsi, [\base + {rsi}]
    mov r8, [\base + {r8}]
    mov r9, [\base + {r9}]
    mov r10, [\base + {r10}]
.endm
.macro hal_save_preserved base
    mov [\base + {rbx}], rbx
    mov [\base + {rbp}], rbp
    mov [\base + {r12}], r12
    mov [\base + {r13}], r13
    mov [\base + {r14}], r14
    mov [\base + {r15}], r15
.endm
.macro hal_enter
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    sub rsp, 8
    mov gs:[{kernel_rsp}], rsp
    mov gs:[{user_context}], rdi
    lea rax, [rdi + {frame_end}]
    mov gs:[{rsp0}], rax
    mov rbx, [rdi + {rbx}]
    mov rbp, [rdi + {rbp}]
    mov r12, [rdi + {r12}]
    mov r13, [rdi + {r13}]
    mov r14, [rdi + {r14}]
    mov r15, [rdi + {r15}]
    hal_load_volatile rdi
.endm

# fn(rdi: context) -> vector
.globl hal_enter_by_sysret
.p2align 4
hal_enter_by_sysret:
    hal_enter
    mov rcx, [rdi + {rip}]
    mov r11, [rdi + {rflags}]
    mov rsp, [rdi + {rsp}]
    mov rdi, [rdi + {rdi}]
    swapgs
    sysretq

# fn(rdi: context) -> vector
.globl hal_enter_by_iret
.p2align 4
hal_enter_by_iret:
    hal_enter
    mov rcx, [rdi + {rcx}]
    mov r11, [rdi + {r11}]
    lea rsp, [rdi + {rip}]
    mov rdi, [rdi + {rdi}]
    swapgs
    iretq

.globl hal_syscall_stub
.p2align 6
hal_syscall_stub:
    swapgs
    mov gs:[{user_rsp}], rsp
    mov rsp, gs:[{user_context}]
    hal_save_volatile rsp
    mov [rsp + {rip}], rcx
    mov [rsp + {rflags}], r11
    mov rdi, rsp
    mov rsp, gs:[{kernel_rsp}]
    call [rip + {fast_syscall}]
    mov rdi, gs:[{user_context}]
    test eax, eax
    jnz 2f
    cmp dword ptr gs:[{work}], 0
    jne 3f
    mov rcx, [rdi + {rip}]
    mov rdx, rcx
    shr rdx, 47
    jnz 3f
    hal_load_volatile rdi
    mov r11, [rdi + {rflags}]
    mov rdi, [rdi + {rdi}]
    mov rsp, gs:[{user_rsp}]
    swapgs
    sysretq
2:  # slow: the number of the call is still in rax's slot
    mov rax, [rdi + {rax}]
    mov [rdi + {orig_rax}], rax
    mov eax, {syscall_vector}
    jmp 4f
3:  # done, but not to return to the user now
    mov eax, {work_vector}
4:  mov [rdi + {vector}], rax
    mov qword ptr [rdi + {error_code}], 0
    hal_save_preserved rdi
    mov rcx, [rdi + {rip}]
    mov [rdi + {rcx}], rcx
    mov rcx, [rdi + {rflags}]
    mov [rdi + {r11}], rcx
    mov rcx, gs:[{user_rsp}]
    mov [rdi + {rsp}], rcx
    jmp hal_leave_user

# All vectors but those with stacks of their own. On the stack: vector, error code, interrupt frame.
.globl hal_trap
.p2align 6
hal_trap:
    test byte ptr [rsp + 24], 3
    jz hal_kernel_trap
    sub rsp, {vector}
    hal_save_volatile rsp
    mov [rsp + {rcx}], rcx
    mov [rsp + {r11}], r11
    swapgs
    cld
    mov eax, [rsp + {vector}]
    cmp eax, 14
    je 5f
4:  hal_save_preserved rsp
hal_leave_user:
    mov rsp, gs:[{kernel_rsp}]
    add rsp, 8
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    ret

5:  mov rdi, cr2
    mov gs:[{fault_address}], rdi
    mov esi, [rsp + {error_code}]
    mov rdx, rsp
    mov rsp, gs:[{kernel_rsp}]
    call {on_user_fault}
    mov rsp, gs:[{user_context}]
    test eax, eax
    mov eax, 14
    jz 4b
    mov eax, {work_vector}
    cmp dword ptr gs:[{work}], 0
    jne 4b
    hal_load_volatile rsp
    mov rcx, [rsp + {rcx}]
    mov r11, [rsp + {r11}]
    mov rdi, [rsp + {rdi}]
    add rsp, {rip}
    swapgs
    iretq
.popsection
"#,
    rax = const offset_of!(UserContext, rax),
    rbx = const offset_of!(UserContext, rbx),
    rcx = const offset_of!(UserContext, rcx),
    rdx = const offset_of!(UserContext, rdx),
    rsi = const offset_of!(UserContext, rsi),
    rdi = const offset_of!(UserContext, rdi),
    rbp = const offset_of!(UserContext, rbp),
    r8 = const offset_of!(UserContext, r8),
    r9 = const offset_of!(UserContext, r9),
    r10 = const offset_of!(UserContext, r10),
    r11 = const offset_of!(UserContext, r11),
    r12 = const offset_of!(UserContext, r12),
    r13 = const offset_of!(UserContext, r13),
    r14 = const offset_of!(UserContext, r14),
    r15 = const offset_of!(UserContext, r15),
    orig_rax = const offset_of!(UserContext, orig_rax),
    vector = const offset_of!(UserContext, vector),
    error_code = const offset_of!(UserContext, error_code),
    rip = const offset_of!(UserContext, rip),
    rflags = const offset_of!(UserContext, rflags),
    rsp = const offset_of!(UserContext, rsp),
    frame_end = const FRAME_END,
    kernel_rsp = const per_cpu::KERNEL_RSP,
    user_context = const per_cpu::USER_CONTEXT,
    user_rsp = const per_cpu::USER_RSP,
    fault_address = const per_cpu::FAULT_ADDRESS,
    work = const per_cpu::WORK,
    rsp0 = const per_cpu::RSP0,
    syscall_vector = const SYSCALL_VECTOR,
    work_vector = const WORK_VECTOR,
    fast_syscall = sym FAST_SYSCALL,
    on_user_fault = sym on_user_fault,
);

unsafe extern "C" {
    fn hal_enter_by_sysret(context: *mut UserContext) -> u64;
    fn hal_enter_by_iret(context: *mut UserContext) -> u64;
    fn hal_syscall_stub();
    fn hal_vector_stubs();
}

/// Address of the entry code of `vector`.
pub(crate) fn stub(vector: u8) -> u64 {
    hal_vector_stubs as *const () as usize as u64 + 16 * u64::from(vector)
}

/// Address of the entry code of the `syscall` instruction.
pub(crate) fn syscall_stub() -> u64 {
    hal_syscall_stub as *const () as usize as u64
}

/// What the hook of [`set_fast_syscall`] has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum FastOutcome {
    /// The call is finished and its result is in `rax` of the context.
    Done = 0,
    /// Nothing has happened; `enter_user` shall return [`Trap::Syscall`].
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
static FAST_SYSCALL: AtomicPtr<()> = AtomicPtr::new(always_slow as FastSyscall as *mut ());
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
extern "C" fn on_user_fault(address: u64, error_code: u32, context: &UserContext) -> u32 {
    smap::close();
    let hook = FAST_FAULT.load(Ordering::Acquire);
    // SAFETY: only `FastFault`s are ever stored there.
    let hook: FastFault = unsafe { core::mem::transmute(hook) };
    u32::from(hook(&PageFault { address, flags: PageFaultFlags(error_code) }, context))
}

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

// SAFETY: the register exists on every 64-bit CPU; only user bases are written to it.
const FS_BASE: Register = unsafe { Register::new(0xc000_0100) };
/// The user's GS base while the kernel's own is in use.
// SAFETY: as above.
const USER_GS_BASE: Register = unsafe { Register::new(0xc000_0102) };

/// Stores the live FS and GS bases of the program that ran last on this CPU; to be called before another one's are
/// loaded, and before they are copied by fork.
pub fn save_bases(context: &mut UserContext) {
    if features::get().contains(Features::FSGSBASE) {
        let base: u64;
        // SAFETY: CR4.FSGSBASE is set; reads a register.
        unsafe { asm!("rdfsbase {}", out(reg) base, options(nomem, nostack, preserves_flags)) };
        context.fs_base = base;
    } else {
        context.fs_base = FS_BASE.read();
    }
    context.gs_base = USER_GS_BASE.read();
}

/// Loads the FS and GS bases of `context`. A base that is no address, which `arch_prctl` would not have let in, counts
/// as zero.
pub fn load_bases(context: &UserContext) {
    let valid = |base: u64| if features::is_canonical(base) { base } else { 0 };
    let fs_base = valid(context.fs_base);
    if features::get().contains(Features::FSGSBASE) {
        // SAFETY: CR4.FSGSBASE is set, the address is canonical, and the kernel does not use FS.
        unsafe { asm!("wrfsbase {}", in(reg) fs_base, options(nomem, nostack, preserves_flags)) };
    } else {
        FS_BASE.write(fs_base);
    }
    USER_GS_BASE.write(valid(context.gs_base));
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
        assert_eq!((context.cs, context.ss), (0x23, 0x1b));
    }
}
