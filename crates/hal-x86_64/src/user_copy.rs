//! Copies between the kernel and the program whose page tables are active on this CPU.
//!
//! Each routine checks that the user range lies below [`USER_END`], opens user pages for its own accesses only (SMAP),
//! and survives faults: a page fault at one of the instructions below goes to the hook of
//! [`crate::set_kernel_fault`], and if that cannot resolve it, execution continues at the routine's fix-up, which
//! reports how much was not copied, to the byte. Which instructions those are is a table of address ranges in this
//! file, so no linker script is involved. The hook may run while the copy is under way: no lock that it takes may be
//! held around a copy.
//!
//! Bulk is moved by `rep movsq`: `rep movsb` is fast only on CPUs with ERMS and very slow under emulation. Up to 16
//! bytes are moved by plain instructions.

use core::arch::global_asm;

use types::USER_END;

use crate::smap;

/// The user address cannot be accessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault;

/// Why [`copy_in_str`] ended without a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StrError {
    /// The string, or what of it fits, could not be read.
    Fault,
    /// No NUL within the buffer.
    TooLong,
}

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
    fn hal_copy(to: *mut u8, from: *const u8, len: usize) -> usize;
    fn hal_clear(to: *mut u8, len: usize) -> usize;
    fn hal_copy_str(to: *mut u8, from: *const u8, limit: usize) -> usize;
    fn hal_load_u32(from: *const u32, result: &mut u32) -> u32;
    fn hal_load_u64(from: *const u64, result: &mut u64) -> u32;
    fn hal_store_u32(to: *mut u32, value: u32) -> u32;
    fn hal_store_u64(to: *mut u64, value: u64) -> u32;
    fn hal_cmpxchg_u32(address: *mut u32, expected: u32, new: u32, found: &mut u32) -> u32;

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

/// Whether all of `len` bytes at `address` are in the user half.
#[inline]
const fn is_user(address: u64, len: usize) -> bool {
    match address.checked_add(len as u64) {
        Some(end) => end <= USER_END,
        None => false,
    }
}

fn pointer<T>(address: u64) -> *mut T {
    core::ptr::with_exposed_provenance_mut(address as usize)
}

/// Runs `access` with user pages open.
#[inline]
fn with_user<T>(access: impl FnOnce() -> T) -> T {
    smap::open();
    let result = access();
    smap::close();
    result
}

/// Copies `to.len()` bytes from the program's memory at `from`.
///
/// # Errors
/// The number of bytes at the end that could not be copied; all of them if the range is not the user's.
#[inline]
pub fn copy_in(to: &mut [u8], from: u64) -> Result<(), usize> {
    if !is_user(from, to.len()) {
        return Err(to.len());
    }
    // SAFETY: `to` is valid for its length; faults on the user's side are fixed up.
    match with_user(|| unsafe { hal_copy(to.as_mut_ptr(), pointer(from), to.len()) }) {
        0 => Ok(()),
        left => Err(left),
    }
}

/// Copies `from` to the program's memory at `to`.
///
/// # Errors
/// As for [`copy_in`].
#[inline]
pub fn copy_out(to: u64, from: &[u8]) -> Result<(), usize> {
    if !is_user(to, from.len()) {
        return Err(from.len());
    }
    // SAFETY: `from` is valid for its length; the user's memory is none of Rust's, and faults there are fixed up.
    match with_user(|| unsafe { hal_copy(pointer(to), from.as_ptr(), from.len()) }) {
        0 => Ok(()),
        left => Err(left),
    }
}

/// Zeroes `len` bytes of the program's memory at `to`.
///
/// # Errors
/// As for [`copy_in`].
pub fn clear_user(to: u64, len: usize) -> Result<(), usize> {
    if !is_user(to, len) {
        return Err(len);
    }
    // SAFETY: the user's memory is none of Rust's, and faults there are fixed up.
    match with_user(|| unsafe { hal_clear(pointer(to), len) }) {
        0 => Ok(()),
        left => Err(left),
    }
}

/// Copies a NUL-terminated string from the program's memory; returns its length without the NUL.
///
/// # Errors
/// See [`StrError`].
pub fn copy_in_str(to: &mut [u8], from: u64) -> Result<usize, StrError> {
    let Some(room) = USER_END.checked_sub(from).filter(|room| *room != 0) else { return Err(StrError::Fault) };
    let limit = to.len().min(room as usize);
    // SAFETY: `to` is valid for `limit` bytes; faults on the user's side are fixed up.
    match with_user(|| unsafe { hal_copy_str(to.as_mut_ptr(), pointer(from), limit) }) {
        usize::MAX => Err(StrError::Fault),
        len if len < limit => Ok(len),
        // The end of the buffer, or of the user half.
        _ if limit == to.len() => Err(StrError::TooLong),
        _ => Err(StrError::Fault),
    }
}

/// Reads a word of the program's memory in one access.
///
/// # Errors
/// [`Fault`].
#[inline]
pub fn load_u32(from: u64) -> Result<u32, Fault> {
    let mut value = 0;
    // SAFETY: faults on the user's side are fixed up.
    access(from, 4, || unsafe { hal_load_u32(pointer(from), &mut value) })?;
    Ok(value)
}

/// Reads a double word of the program's memory.
///
/// # Errors
/// [`Fault`].
#[inline]
pub fn load_u64(from: u64) -> Result<u64, Fault> {
    let mut value = 0;
    // SAFETY: as above.
    access(from, 8, || unsafe { hal_load_u64(pointer(from), &mut value) })?;
    Ok(value)
}

/// Writes a word of the program's memory in one access.
///
/// # Errors
/// [`Fault`].
#[inline]
pub fn store_u32(to: u64, value: u32) -> Result<(), Fault> {
    // SAFETY: the user's memory is none of Rust's, and faults there are fixed up.
    access(to, 4, || unsafe { hal_store_u32(pointer(to), value) })
}

/// Writes a double word of the program's memory.
///
/// # Errors
/// [`Fault`].
#[inline]
pub fn store_u64(to: u64, value: u64) -> Result<(), Fault> {
    // SAFETY: as above.
    access(to, 8, || unsafe { hal_store_u64(pointer(to), value) })
}

/// Replaces the word at `address` by `new` if it is `expected`, atomically; returns what was there before.
///
/// # Errors
/// [`Fault`]; also where the program may not write.
#[inline]
pub fn cmpxchg_u32(address: u64, expected: u32, new: u32) -> Result<u32, Fault> {
    let mut found = 0;
    // SAFETY: as above.
    access(address, 4, || unsafe { hal_cmpxchg_u32(pointer(address), expected, new, &mut found) })?;
    Ok(found)
}

/// Checks the range and runs a routine that answers 0 or 1.
#[inline]
fn access(address: u64, len: usize, routine: impl FnOnce() -> u32) -> Result<(), Fault> {
    if is_user(address, len) && with_user(routine) == 0 { Ok(()) } else { Err(Fault) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    fn address<T>(value: &T) -> u64 {
        core::ptr::from_ref(value).expose_provenance() as u64
    }

    fn address_mut(bytes: &mut [u8]) -> u64 {
        bytes.as_mut_ptr().expose_provenance() as u64
    }

    #[test]
    fn every_length_is_copied_exactly() {
        let source: std::vec::Vec<u8> = (1..=200).collect();
        for len in 0..=source.len() {
            let mut target = vec![0; 210];
            assert_eq!(copy_in(&mut target[..len], address(&source[0])), Ok(()));
            assert_eq!(target[..len], source[..len]);
            assert!(target[len..].iter().all(|byte| *byte == 0), "nothing behind the end at {len}");
            let mut target = vec![0_u8; 210];
            assert_eq!(copy_out(address_mut(&mut target), &source[..len]), Ok(()));
            assert_eq!(target[..len], source[..len]);
        }
    }

    #[test]
    fn clear_reaches_every_byte_and_no_more() {
        for len in 0..40 {
            let mut target = [7_u8; 48];
            assert_eq!(clear_user(address_mut(&mut target), len), Ok(()));
            assert!(target[..len].iter().all(|byte| *byte == 0));
            assert!(target[len..].iter().all(|byte| *byte == 7));
        }
    }

    #[test]
    fn kernel_addresses_are_refused_before_any_access() {
        let mut buffer = [0; 16];
        for from in [USER_END - 8, USER_END, 0xffff_8000_0000_0000, u64::MAX - 3] {
            assert_eq!(copy_in(&mut buffer, from), Err(16));
            assert_eq!(copy_out(from, &buffer), Err(16));
            assert_eq!(clear_user(from, 16), Err(16));
        }
        assert_eq!(load_u32(USER_END - 3), Err(Fault));
        assert_eq!(store_u64(u64::MAX, 1), Err(Fault));
        assert_eq!(copy_in_str(&mut buffer, USER_END), Err(StrError::Fault));
        assert_eq!(copy_in_str(&mut buffer, u64::MAX), Err(StrError::Fault));
    }

    #[test]
    fn strings_end_at_their_nul() {
        for len in 0..60 {
            let mut source = vec![b'x'; len];
            source.extend_from_slice(b"\0tail tail tail");
            let mut target = vec![1; 64];
            assert_eq!(copy_in_str(&mut target, address(&source[0])), Ok(len));
            assert_eq!(target[..len], source[..len]);
            assert_eq!(target[len], 0);
            assert_eq!(copy_in_str(&mut target[..len], address(&source[0])), Err(StrError::TooLong));
            assert_eq!(copy_in_str(&mut target[..=len], address(&source[0])), Ok(len));
        }
    }

    #[test]
    fn bytes_above_127_are_no_end() {
        let source = b"\x80\xff\x81\x80\x80\x80\x80\x80\x01\x80\0";
        let mut target = [0; 32];
        assert_eq!(copy_in_str(&mut target, address(source)), Ok(10));
    }

    #[test]
    fn words_are_read_written_and_exchanged() {
        let word = std::sync::atomic::AtomicU32::new(5);
        let at = address(&word);
        assert_eq!(load_u32(at), Ok(5));
        assert_eq!(cmpxchg_u32(at, 4, 9), Ok(5));
        assert_eq!(cmpxchg_u32(at, 5, 9), Ok(5));
        assert_eq!(load_u32(at), Ok(9));
        assert_eq!(store_u32(at, 1), Ok(()));
        assert_eq!(load_u32(at), Ok(1));
        let double = std::sync::atomic::AtomicU64::new(0);
        assert_eq!(store_u64(address(&double), u64::MAX), Ok(()));
        assert_eq!(load_u64(address(&double)), Ok(u64::MAX));
    }

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
