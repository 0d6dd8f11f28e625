//! What programs are shown of the kernel: a page of data and, right after it, a page of code that reads the clock and the
//! number of the CPU without a system call (vdso(7)).
//!
//! The data are words that each change by themselves, so nobody has to see several of them change together: no count of
//! changes is kept, and no reader ever tries again. The kernel's own clock uses the same words: there is nothing to keep equal.

#[cfg(test)]
mod tests;

use core::arch::global_asm;
use core::mem::offset_of;
use core::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};

use types::PAGE_SIZE;

use crate::features::{self, Features};
use crate::io::Register;

global_asm!(
    include_str!("image.s"),
    has = const offset_of!(Data, has),
    base = const offset_of!(Data, base),
    scale = const offset_of!(Data, scale),
    real = const offset_of!(Data, real),
    clocks = const CLOCKS,
    cpu_number = const CPU_NUMBER,
    options(att_syntax)
);

unsafe extern "C" {
    static hal_vdso: Page;
}

/// The clocks can be read from the time-stamp counter.
const CLOCKS: u32 = 1;
/// The CPUs know their numbers.
const CPU_NUMBER: u32 = 2;

/// A page of the kernel's image.
#[repr(C, align(4096))]
pub struct Page([u8; PAGE_SIZE]);

/// The page of data, as programs see it.
#[repr(C, align(4096))]
pub struct Data {
    /// What the code may answer by itself: [`CLOCKS`], [`CPU_NUMBER`].
    has: AtomicU32,
    /// Counter value at time zero.
    pub(crate) base: AtomicU64,
    /// Nanoseconds per cycle in units of 2^-32.
    pub(crate) scale: AtomicU64,
    /// Nanoseconds from 1970 to time zero.
    pub real: AtomicI64,
}

/// The page of data.
pub static DATA: Data =
    Data { has: AtomicU32::new(0), base: AtomicU64::new(0), scale: AtomicU64::new(1 << 32), real: AtomicI64::new(0) };

// SAFETY: used only where the CPU has it; no code of the kernel reads it.
const TSC_AUX: Register = unsafe { Register::new(0xc000_0103) };

/// The page of code: an ELF shared object.
pub fn code() -> &'static Page {
    // SAFETY: the symbol is a whole page of constants.
    unsafe { &hal_vdso }
}

/// Programs may read the clock themselves.
pub fn allow_clocks() {
    DATA.has.fetch_or(CLOCKS, Ordering::Relaxed);
}

/// Lets programs on this CPU know its number and memory node, as Linux does by RDTSCP; if the CPU cannot tell, they ask.
pub fn tell_number(cpu: u32, node: u32) {
    if features::get().contains(Features::RDTSCP) {
        TSC_AUX.write(u64::from(node << 12 | cpu & 0xfff));
        // All CPUs of a machine are of one kind, and none runs programs before it has come here.
        DATA.has.fetch_or(CPU_NUMBER, Ordering::Relaxed);
    }
}
