//! Floating-point and vector state of user programs.
//!
//! The kernel is built without floating point, so a program's state stays in the registers while the kernel runs. The
//! executor saves it ([`FpuArea::save`]) when another program is to run on the CPU and loads the other's
//! ([`FpuArea::restore`]). Layout: the standard (non-compacted) form of `xsave`, or `fxsave` on CPUs without; that is
//! also what a Linux signal frame holds. `xsaveopt` and `xsaves` are not used: the first may leave parts of an area
//! unwritten that a signal handler's return has replaced.

mod area;
mod format;

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use x86_64::registers::xcontrol::{XCr0, XCr0Flags};

use crate::features::{self, Features};

pub use area::FpuArea;
pub use format::{BadState, FXSAVE_SIZE};

/// Bytes of an area on this machine; 0 before `init_bsp`.
static SIZE: AtomicU32 = AtomicU32::new(0);
/// Components that are saved: XCR0; 0 where there is no `xsave`.
static COMPONENTS: AtomicU64 = AtomicU64::new(0);
/// Bits of MXCSR that may be set.
static MXCSR_MASK: AtomicU32 = AtomicU32::new(0xffbf);

/// Bytes of a state: what a signal frame must have room for.
pub fn size() -> usize {
    SIZE.load(Ordering::Relaxed) as usize
}

/// Notes the size that the first CPU found: it stays, since areas of it are about to be made.
fn set_size(bytes: u32) {
    let _ = SIZE.compare_exchange(0, bytes, Ordering::Relaxed, Ordering::Relaxed);
}

/// Components in a state (XCR0): 1 x87, 2 SSE, 4 AVX, …; 0 where the CPU has only `fxsave` (x87 and SSE).
pub fn components() -> u64 {
    COMPONENTS.load(Ordering::Relaxed)
}

/// Bits of MXCSR that a program may set; a state with others is refused.
pub fn mxcsr_mask() -> u32 {
    MXCSR_MASK.load(Ordering::Relaxed)
}

/// Switches on the extended state on this CPU.
pub(crate) fn init_cpu(found: Features) {
    if !found.contains(Features::XSAVE) {
        set_size(FXSAVE_SIZE as u32);
        init_registers();
        return;
    }
    let mut wanted = XCr0Flags::X87 | XCr0Flags::SSE;
    wanted.set(XCr0Flags::AVX, found.contains(Features::AVX));
    if found.contains(Features::AVX512 | Features::AVX) {
        wanted |= XCr0Flags::OPMASK | XCr0Flags::ZMM_HI256 | XCr0Flags::HI16_ZMM;
    }
    // Only what the hardware (or the hypervisor) lets us: leaf 13 names it.
    let allowed = features::cpuid_checked(13, 0);
    let mut enabled = XCr0Flags::from_bits_truncate(wanted.bits() & u64::from(allowed.eax));
    let avx512 = XCr0Flags::OPMASK | XCr0Flags::ZMM_HI256 | XCr0Flags::HI16_ZMM;
    if !enabled.contains(avx512) {
        enabled.remove(avx512);
    }
    // SAFETY: CR4.OSXSAVE was set by `cpu::init`; the set is one the CPU allows and is closed under its rules.
    unsafe { XCr0::write(enabled) };
    // The size for what is enabled now.
    set_size(features::cpuid(13, 0).ebx);
    COMPONENTS.store(enabled.bits(), Ordering::Relaxed);
    init_registers();
}

fn init_registers() {
    area::reset();
    if let Some(mask) = area::mxcsr_mask() {
        MXCSR_MASK.store(mask, Ordering::Relaxed);
    }
}
