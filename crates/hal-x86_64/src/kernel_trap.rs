//! Interrupts and exceptions that hit ring 0, and those with a stack of their own.
//!
//! In ring 0 only two things may happen: an interrupt in the idle loop or between two tasks, and a page fault inside one of the routines of
//! [`crate::user_copy`]. Everything else is a bug of the kernel and ends in the hook of [`crate::set_fatal`].
//!
//! NMI, double fault and machine check come at any instruction, also between `swapgs` and the change of stacks. They
//! run on stacks of their own (IST), find their CPU's block above the stack instead of by GS, and put GS right by its
//! register rather than by `swapgs`, so it does not matter what was in it.

use core::arch::global_asm;

use hal::{PageFault, PageFaultFlags};
use spin::Once;
use types::USER_END;
use x86_64::registers::control::Cr2;

use crate::descriptors::{self, Gate};
use crate::{fatal, interrupts, smap, user, user_copy};

/// Vectors of the exceptions named here.
const NMI: u64 = 2;
const PAGE_FAULT: u64 = 14;

/// Registers of the interrupted kernel code. A handler may change `rip`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[allow(missing_docs, reason = "the registers' own names")]
pub struct KernelFrame {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rbp: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rdx: u64,
    pub rcx: u64,
    pub rbx: u64,
    pub rax: u64,
    pub vector: u64,
    pub error_code: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

/// Bytes between the registers pushed by software and the end of the frame: where an IST stack starts.
const FRAME: usize = size_of::<KernelFrame>();

global_asm!(
    r#"
.macro hal_push_all
    push rax
    push rbx
    push rcx
    push rdx
    push rsi
    push rdi
    push rbp
    push r8
    push r9
    push r10
    push r11
    push r12
    push r13
    push r14
    push r15
.endm
.macro hal_pop_all
    pop r15
    pop r14
    pop r13
    pop r12
    pop r11
    pop r10
    pop r9
    pop r8
    pop rbp
    pop rdi
    pop rsi
    pop rdx
    pop rcx
    pop rbx
    pop rax
    add rsp, 16
.endm

.pushsection .text.hal_kernel_trap, "ax", @progbits

# From the vector stubs, when ring 0 was interrupted: error code and vector are on the stack.
.globl hal_kernel_trap
.p2align 4
hal_kernel_trap:
    hal_push_all
    cld
    mov rdi, rsp
    call {on_kernel_trap}
    hal_pop_all
    iretq

# On a stack of its own; r12 keeps the GS base that was found.
hal_ist_trap:
    hal_push_all
    cld
    mov ecx, 0xc0000101
    rdmsr
    shl rdx, 32
    or rax, rdx
    mov r12, rax
    mov rax, [rsp + {frame}]
    mov rdx, rax
    shr rdx, 32
    wrmsr
    mov rdi, rsp
    call {on_ist_trap}
    mov rax, r12
    mov rdx, r12
    shr rdx, 32
    mov ecx, 0xc0000101
    wrmsr
    hal_pop_all
    iretq

.globl hal_nmi_stub, hal_double_fault_stub, hal_machine_check_stub
.p2align 4
hal_nmi_stub:
    push 0
    push 2
    jmp hal_ist_trap
.p2align 4
hal_double_fault_stub:
    push 8
    jmp hal_ist_trap
.p2align 4
hal_machine_check_stub:
    push 0
    push 18
    jmp hal_ist_trap
.popsection
"#,
    frame = const FRAME,
    on_kernel_trap = sym on_kernel_trap,
    on_ist_trap = sym on_ist_trap,
);

unsafe extern "C" {
    fn hal_nmi_stub();
    fn hal_double_fault_stub();
    fn hal_machine_check_stub();
}

/// Resolves a page fault of the kernel on a user page; `true`: try the access again.
type KernelFaultHook = fn(&PageFault) -> bool;

static KERNEL_FAULT: Once<KernelFaultHook> = Once::new();

/// Sets who resolves page faults of [`crate::user_copy`]; until then they fail. May be called once.
pub fn set_kernel_fault(hook: KernelFaultHook) {
    KERNEL_FAULT.call_once(|| hook);
}

/// Fills in the gates of all vectors.
pub(crate) fn fill_idt() {
    for vector in 0..=u8::MAX {
        let gate = match vector {
            // Breakpoint, overflow, and the native gate may be raised by user programs.
            3 | 4 | interrupts::NATIVE_CALL => Gate::User,
            _ => Gate::Kernel,
        };
        descriptors::set_gate(vector, descriptors::gate(user::stub(vector), 0, gate));
    }
    let own_stack: [(u8, unsafe extern "C" fn(), u8); 3] =
        [(2, hal_nmi_stub, 1), (8, hal_double_fault_stub, 2), (18, hal_machine_check_stub, 3)];
    for (vector, stub, stack) in own_stack {
        descriptors::set_gate(vector, descriptors::gate(stub as *const () as usize as u64, stack, Gate::Kernel));
    }
}

extern "C" fn on_kernel_trap(frame: &mut KernelFrame) {
    // The access that faulted may have had user pages open; `iretq` restores the flag.
    smap::close();
    match frame.vector {
        PAGE_FAULT => on_page_fault(frame),
        vector @ 32..=255 => interrupts::dispatch(vector as u8),
        _ => fatal::raise(frame),
    }
}

fn on_page_fault(frame: &mut KernelFrame) {
    let fault = PageFault { address: Cr2::read_raw(), flags: PageFaultFlags(frame.error_code as u32) };
    let Some(fix_up) = user_copy::fix_up(frame.rip) else { fatal::raise(frame) };
    let resolved = fault.address < USER_END
        && !fault.flags.reserved_bit()
        && KERNEL_FAULT.get().is_some_and(|resolve| resolve(&fault));
    if !resolved {
        frame.rip = fix_up;
    }
}

extern "C" fn on_ist_trap(frame: &mut KernelFrame) {
    match frame.vector {
        NMI => interrupts::on_nmi(),
        _ => fatal::raise(frame),
    }
}
