//! The user's FS and GS bases, which stay in the CPU while the kernel runs.

use core::arch::asm;

use hal::UserContext;

use crate::features::{self, Features};
use crate::io::Register;

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
