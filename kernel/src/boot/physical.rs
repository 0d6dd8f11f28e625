//! Reading what loaders leave in physical memory, before the kernel has page tables of its own.

use core::ffi::CStr;

use super::info::Module;

/// Where every door maps physical address 0: the first 4 GiB at least.
pub(crate) const DIRECT_MAP_BASE: u64 = 0xffff_8000_0000_0000;

/// Reads a `T` at a physical address, aligned or not.
///
/// # Safety
/// The bytes are mapped at [`DIRECT_MAP_BASE`] and any bit pattern is a valid `T`.
pub(super) unsafe fn read<T: Copy>(address: u64) -> T {
    // SAFETY: the caller vouches for the bytes.
    unsafe { ((DIRECT_MAP_BASE + address) as *const T).read_unaligned() }
}

/// The bytes of a boot module. Not to be used after [`super::memory::release_modules`].
pub(crate) fn module_bytes(module: &Module) -> &'static [u8] {
    let start = (DIRECT_MAP_BASE + module.start.as_u64()) as *const u8;
    // SAFETY: the loader put the module there; its pages are kept from the allocator until they are released.
    unsafe { core::slice::from_raw_parts(start, module.len as usize) }
}

/// A NUL-terminated string in physical memory; empty for address 0.
///
/// # Safety
/// The string up to and including its NUL is mapped at [`DIRECT_MAP_BASE`] and nobody writes to it.
pub(super) unsafe fn c_string(address: u64) -> &'static [u8] {
    if address == 0 {
        return &[];
    }
    // SAFETY: the caller vouches for a terminated string.
    unsafe { CStr::from_ptr((DIRECT_MAP_BASE + address) as *const core::ffi::c_char) }.to_bytes()
}
