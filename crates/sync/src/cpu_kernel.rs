//! The executing CPU, in the kernel: a function that the kernel itself defines. Every allocation asks, so it must be inlined,
//! which a function pointer cannot be.
#![expect(unsafe_code, reason = "declares the kernel's function")]

use types::CpuId;

// SAFETY: `kernel::entry` defines it with this signature, for every kernel there is; without it nothing links.
unsafe extern "Rust" {
    safe fn multios_current_cpu() -> CpuId;
}

/// The executing CPU.
#[inline]
pub fn current_cpu() -> CpuId {
    multios_current_cpu()
}
