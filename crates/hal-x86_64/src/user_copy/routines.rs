//! The instructions that touch user memory, and where to go on when one of them faults.

use core::arch::global_asm;

global_asm!(
    r#"
.pushsection .text.hal_user_copy, "ax", @progbits

# fn(rdi: to, rsi: from, rdx: length) -> bytes not copied
.p2align 4
.globl hal_copy
hal_copy:
    cmp rdx, 16
    jbe 1f
    mov rcx, rdx
    shr rcx, 3
hal_copy_quads:
    rep movsq
hal_copy_quads_fix:
    # After the end and after a fault alike: rcx quadwords and the odd bytes are left.
    and edx, 7
    lea rcx, [rdx + rcx * 8]
hal_copy_bytes:
    rep movsb
hal_copy_bytes_fix:
    mov rax, rcx
    ret
1:  cmp edx, 8
    jb 2f
hal_copy_8:
    mov rax, [rsi]
    mov rcx, [rsi + rdx - 8]
    mov [rdi], rax
    mov [rdi + rdx - 8], rcx
hal_copy_8_end:
    xor eax, eax
    ret
2:  cmp edx, 4
    jb hal_copy_small_fix
hal_copy_4:
    mov eax, [rsi]
    mov ecx, [rsi + rdx - 4]
    mov [rdi], eax
    mov [rdi + rdx - 4], ecx
hal_copy_4_end:
    xor eax, eax
    ret
hal_copy_small_fix:
    # Again, byte by byte, to count exactly.
    mov ecx, edx
    jmp hal_copy_bytes

# fn(rdi: to, rsi: length) -> bytes not cleared
.p2align 4
.globl hal_clear
hal_clear:
    xor eax, eax
    mov rcx, rsi
    shr rcx, 3
hal_clear_quads:
    rep stosq
hal_clear_quads_fix:
    and esi, 7
    lea rcx, [rsi + rcx * 8]
hal_clear_bytes:
    rep stosb
hal_clear_bytes_fix:
    mov rax, rcx
    ret

# fn(rdi: to, rsi: from, rdx: limit) -> length without the NUL; limit if there is none; -1 on a fault
.p2align 4
.globl hal_copy_str
hal_copy_str:
    xor eax, eax
    movabs r10, 0x0101010101010101
    movabs r11, 0x8080808080808080
    # Eight bytes at a time while no byte is zero: (x - 01..01) & ~x & 80..80 finds one.
1:  lea r8, [rax + 8]
    cmp r8, rdx
    ja 2f
hal_copy_str_quad:
    mov rcx, [rsi + rax]
hal_copy_str_quad_end:
    mov r9, rcx
    sub r9, r10
    not rcx
    and r9, rcx
    not rcx
    test r9, r11
    jnz 2f
    mov [rdi + rax], rcx
    mov rax, r8
    jmp 1b
    # The last bytes singly; also after a fault of the quadword, which may reach past the string.
hal_copy_str_quad_fix:
2:  cmp rax, rdx
    je 3f
hal_copy_str_byte:
    movzx ecx, byte ptr [rsi + rax]
hal_copy_str_byte_end:
    mov [rdi + rax], cl
    test ecx, ecx
    jz 3f
    inc rax
    jmp 2b
3:  ret
hal_copy_str_fix:
    mov rax, -1
    ret

# fn(rdi: address, rsi: where the value goes) -> 0, or 1 on a fault
.p2align 4
.globl hal_load_u32
hal_load_u32:
    mov eax, [rdi]
    mov [rsi], eax
    xor eax, eax
    ret
.globl hal_load_u64
hal_load_u64:
    mov rax, [rdi]
    mov [rsi], rax
    xor eax, eax
    ret
# fn(rdi: address, rsi: value) -> 0, or 1 on a fault
.globl hal_store_u32
hal_store_u32:
    mov [rdi], esi
    xor eax, eax
    ret
.globl hal_store_u64
hal_store_u64:
    mov [rdi], rsi
    xor eax, eax
    ret
# fn(rdi: address, esi: expected, edx: new, rcx: where the value found goes) -> 0, or 1 on a fault
.globl hal_cmpxchg_u32
hal_cmpxchg_u32:
    mov eax, esi
    lock cmpxchg [rdi], edx
    mov [rcx], eax
    xor eax, eax
    ret
hal_word_fix:
    mov eax, 1
    ret

# Where a fault may happen, and where to go on: start, end, fix-up.
.p2align 3
.globl hal_user_copy_table
hal_user_copy_table:
    .long hal_copy_quads - hal_copy, hal_copy_quads_fix - hal_copy, hal_copy_quads_fix - hal_copy
    .long hal_copy_bytes - hal_copy, hal_copy_bytes_fix - hal_copy, hal_copy_bytes_fix - hal_copy
    .long hal_copy_8 - hal_copy, hal_copy_8_end - hal_copy, hal_copy_small_fix - hal_copy
    .long hal_copy_4 - hal_copy, hal_copy_4_end - hal_copy, hal_copy_small_fix - hal_copy
    .long hal_clear_quads - hal_copy, hal_clear_quads_fix - hal_copy, hal_clear_quads_fix - hal_copy
    .long hal_clear_bytes - hal_copy, hal_clear_bytes_fix - hal_copy, hal_clear_bytes_fix - hal_copy
    .long hal_copy_str_quad - hal_copy, hal_copy_str_quad_end - hal_copy, hal_copy_str_quad_fix - hal_copy
    .long hal_copy_str_byte - hal_copy, hal_copy_str_byte_end - hal_copy, hal_copy_str_fix - hal_copy
    .long hal_load_u32 - hal_copy, hal_word_fix - hal_copy, hal_word_fix - hal_copy
.popsection
"#
);

/// Rows of the table.
const RANGES: usize = 9;

unsafe extern "C" {
    pub(super) fn hal_copy(to: *mut u8, from: *const u8, len: usize) -> usize;
    pub(super) fn hal_clear(to: *mut u8, len: usize) -> usize;
    pub(super) fn hal_copy_str(to: *mut u8, from: *const u8, limit: usize) -> usize;
    pub(super) fn hal_load_u32(from: *const u32, result: &mut u32) -> u32;
    pub(super) fn hal_load_u64(from: *const u64, result: &mut u64) -> u32;
    pub(super) fn hal_store_u32(to: *mut u32, value: u32) -> u32;
    pub(super) fn hal_store_u64(to: *mut u64, value: u64) -> u32;
    pub(super) fn hal_cmpxchg_u32(address: *mut u32, expected: u32, new: u32, found: &mut u32) -> u32;

    /// Start, end and fix-up of each range, relative to `hal_copy`.
    static hal_user_copy_table: [[u32; 3]; RANGES];
}

/// Where to go on after a fault at `rip` that could not be resolved; `None`: the fault is none of ours.
pub(crate) fn fix_up(rip: u64) -> Option<u64> {
    let base = hal_copy as *const () as usize as u64;
    let offset = u32::try_from(rip.checked_sub(base)?).ok()?;
    // SAFETY: the table is constant and has this many rows.
    let table = unsafe { &hal_user_copy_table };
    let [_, _, fix_up] = table.iter().find(|[start, end, _]| (*start..*end).contains(&offset))?;
    Some(base + u64::from(*fix_up))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_routines_own_instructions_are_fixed_up() {
        let base = hal_copy as *const () as usize as u64;
        assert_eq!(fix_up(base), None, "the compare before the first move");
        assert_eq!(fix_up(0), None);
        assert_eq!(fix_up(base - 1), None);
        assert_eq!(fix_up(on_nothing as *const () as usize as u64), None);
        // SAFETY: as in `fix_up`.
        for [start, end, to] in unsafe { hal_user_copy_table } {
            assert!(start < end);
            assert_eq!(fix_up(base + u64::from(start)), Some(base + u64::from(to)));
            assert_eq!(fix_up(base + u64::from(end) - 1), Some(base + u64::from(to)));
        }
    }

    fn on_nothing() {}
}
