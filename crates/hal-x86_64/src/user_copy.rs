//! Copies between the kernel and the program whose page tables are active on this CPU.
//!
//! Each routine checks that the user range lies below [`USER_END`], opens user pages for its own accesses only (SMAP),
//! and survives faults: a page fault at one of the instructions below goes to the hook of
//! [`crate::set_kernel_fault`], and if that cannot resolve it, execution continues at the routine's fix-up, which
//! reports how much was not copied, to the byte. Which instructions those are is a table of address ranges beside
//! the routines, so no linker script is involved. The hook may run while the copy is under way: no lock that it takes may be
//! held around a copy.
//!
//! Bulk is moved by `rep movsq`: `rep movsb` is fast only on CPUs with ERMS and very slow under emulation. Up to 16
//! bytes are moved by plain instructions.

mod routines;

use types::USER_END;

use crate::smap;
use routines::{
    hal_clear, hal_cmpxchg_u32, hal_copy, hal_copy_str, hal_load_u32, hal_load_u64, hal_store_u32, hal_store_u64,
};

pub(crate) use routines::fix_up;

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
}
