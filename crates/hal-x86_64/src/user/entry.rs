//! The instructions between user mode and `enter_user`; the protocol is in [`super`].

use core::arch::global_asm;
use core::mem::offset_of;

use hal::UserContext;

use super::fast;
use crate::per_cpu;

/// `UserContext::vector` after `syscall`.
pub const SYSCALL_VECTOR: u64 = 256;
/// Returned by the stubs when a fast return was given up for other work.
pub(super) const WORK_VECTOR: u64 = 257;

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
    fast_syscall = sym fast::FAST_SYSCALL,
    on_user_fault = sym fast::on_user_fault,
);

unsafe extern "C" {
    /// Enters user mode with the registers of `context`, which is fit for `sysret`; returns the vector.
    pub(super) fn hal_enter_by_sysret(context: *mut UserContext) -> u64;
    /// The same by `iretq`, for any canonical instruction pointer.
    pub(super) fn hal_enter_by_iret(context: *mut UserContext) -> u64;
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
