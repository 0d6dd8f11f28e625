//! Bringing a CPU from the state the boot code left it in to one that runs the kernel.

use core::sync::atomic::{AtomicU64, Ordering};

use types::{ApicId, CpuId, CpuSet, MAX_CPUS};
use x86_64::registers::control::{Cr0, Cr0Flags, Cr4, Cr4Flags};
use x86_64::registers::model_specific::{Efer, EferFlags};

use crate::features::{self, Features};
use crate::io::Register;
use crate::per_cpu::PerCpu;
use crate::{descriptors, direct_map, fpu, interrupts, kernel_trap, per_cpu, smap, user};

// SAFETY: every 64-bit CPU has the registers of `syscall`; they get the kernel's segments and entry below.
const STAR: Register = unsafe { Register::new(0xc000_0081) };
// SAFETY: as above.
const LSTAR: Register = unsafe { Register::new(0xc000_0082) };
// SAFETY: as above.
const CSTAR: Register = unsafe { Register::new(0xc000_0083) };
// SAFETY: as above.
const SFMASK: Register = unsafe { Register::new(0xc000_0084) };

/// Flags that `syscall` clears: all that could change what the kernel's code means (trap 35 of the entry paths: TF,
/// IF, DF, IOPL, NT, RF, AC, ID).
const SYSCALL_FLAG_MASK: u64 = 0x0025_7700;

/// Kernel code at 0x08 on `syscall`; user data at 0x10 + 8 and user code at 0x10 + 16 on `sysret`.
const STAR_SELECTORS: u64 = 0x20 << 48 | 0x10 << 32;

/// Makes the boot CPU ready: block, descriptor tables, control registers, entry points, FPU. PICs are masked.
///
/// # Safety
/// Called once, first of this crate, in ring 0 with interrupts off, on page tables that show all of physical memory
/// at `direct_map` (device registers below 4 GiB and ACPI tables included) and keep doing so.
pub unsafe fn init_bsp(direct_map: u64) -> Features {
    direct_map::set(direct_map);
    let found = features::detect();
    kernel_trap::fill_idt();
    // SAFETY: the block is new and this is its CPU.
    unsafe { init(per_cpu::boot_block(), found) };
    interrupts::mask_pics();
    per_cpu::set_online(CpuId(0));
    found
}

/// The same for another CPU, on its block.
///
/// # Safety
/// Called once for each block by the CPU that is to own it, after `init_bsp`.
pub(crate) unsafe fn init_ap(block: &'static PerCpu) {
    // SAFETY: passed on.
    unsafe { init(block, features::get()) };
}

/// # Safety
/// As for [`init_ap`].
unsafe fn init(block: &'static PerCpu, found: Features) {
    // SAFETY: by the caller's promise the block is this CPU's.
    unsafe { block.adopt() };
    // SAFETY: all gates were filled in before the first CPU came here.
    unsafe { descriptors::load_idt() };
    set_control_registers(found);
    fpu::init_cpu(found);
    STAR.write(STAR_SELECTORS);
    LSTAR.write(user::syscall_stub());
    CSTAR.write(user::syscall_stub());
    SFMASK.write(SYSCALL_FLAG_MASK);
}

fn set_control_registers(found: Features) {
    let mut efer = EferFlags::SYSTEM_CALL_EXTENSIONS;
    efer.set(EferFlags::NO_EXECUTE_ENABLE, found.contains(Features::NX));
    // SAFETY: adds `syscall` and the no-execute bit to long mode.
    unsafe { Efer::update(|flags| flags.insert(efer)) };

    // SAFETY: ring 0 obeys read-only pages; the FPU reports errors by exception and is never switched off.
    unsafe {
        Cr0::update(|flags| {
            flags.insert(Cr0Flags::WRITE_PROTECT | Cr0Flags::NUMERIC_ERROR | Cr0Flags::MONITOR_COPROCESSOR);
            flags.remove(
                Cr0Flags::EMULATE_COPROCESSOR
                    | Cr0Flags::TASK_SWITCHED
                    | Cr0Flags::CACHE_DISABLE
                    | Cr0Flags::NOT_WRITE_THROUGH,
            );
            // User programs may ask for alignment checks, as on Linux.
            flags.insert(Cr0Flags::ALIGNMENT_MASK);
        });
    };

    let wanted = [
        (Features::PGE, Cr4Flags::PAGE_GLOBAL),
        (Features::SMEP, Cr4Flags::SUPERVISOR_MODE_EXECUTION_PROTECTION),
        (Features::SMAP, Cr4Flags::SUPERVISOR_MODE_ACCESS_PREVENTION),
        (Features::UMIP, Cr4Flags::USER_MODE_INSTRUCTION_PREVENTION),
        (Features::FSGSBASE, Cr4Flags::FSGSBASE),
        (Features::XSAVE, Cr4Flags::OSXSAVE),
        (Features::MCE, Cr4Flags::MACHINE_CHECK_EXCEPTION),
    ];
    let always = Cr4Flags::OSFXSR | Cr4Flags::OSXMMEXCPT_ENABLE;
    let on = wanted
        .into_iter()
        .filter(|(feature, _)| found.contains(*feature))
        .fold(always, |flags, (_, flag)| flags | flag);
    // SAFETY: the CPU has what is switched on, and none of it changes the meaning of the kernel's own mappings.
    unsafe { Cr4::update(|flags| flags.insert(on)) };
    if found.contains(Features::SMAP) {
        smap::set_enabled();
        smap::close();
    }
}

/// The executing CPU. Only after `init_bsp`.
#[inline]
pub fn current() -> CpuId {
    per_cpu::current().id()
}

/// What was noted by [`set_owner`] on this CPU; null at first. Only after `init_bsp`.
#[inline]
pub fn owner() -> *mut () {
    per_cpu::owner()
}

/// Notes a pointer that means something to the caller: what runs on this CPU.
#[inline]
pub fn set_owner(owner: *mut ()) {
    per_cpu::set_owner(owner);
}

/// What was noted by [`set_caller`] on this CPU, unless [`clear_callers`] came after; null at first. Only after `init_bsp`.
#[inline]
pub fn caller() -> *mut () {
    per_cpu::caller()
}

/// Notes a pointer that means something to the hook of system calls: who makes those of this CPU.
#[inline]
pub fn set_caller(caller: *mut ()) {
    per_cpu::current().caller.store(caller, Ordering::SeqCst);
}

/// Makes [`caller`] null on every CPU.
pub fn clear_callers() {
    for block in (0..MAX_CPUS as u32).filter_map(|cpu| per_cpu::of(CpuId(cpu))) {
        block.caller.store(core::ptr::null_mut(), Ordering::SeqCst);
    }
}

/// CPUs that are up.
pub fn online() -> CpuSet {
    per_cpu::online()
}

/// The APIC id of `cpu`, if its block was made.
pub fn apic_id(cpu: CpuId) -> Option<ApicId> {
    per_cpu::of(cpu).map(|block| ApicId(block.apic_id.load(Ordering::Relaxed)))
}

/// Notes work for the trap loop of this CPU: the next fast return to user mode becomes a full one, with
/// `Trap::Interrupt { vector: RESCHEDULE }`.
#[inline]
pub fn set_work(bits: u32) {
    per_cpu::current().work.fetch_or(bits, Ordering::Relaxed);
}

/// Notes work for another CPU; it sees it at its next entry into the kernel. Follow with a reschedule to hurry it.
pub fn set_work_of(cpu: CpuId, bits: u32) {
    if let Some(block) = per_cpu::of(cpu) {
        block.work.fetch_or(bits, Ordering::Release);
    }
}

/// The work noted for this CPU, which forgets it.
#[inline]
pub fn take_work() -> u32 {
    let work = &per_cpu::current().work;
    if work.load(Ordering::Relaxed) == 0 { 0 } else { work.swap(0, Ordering::Acquire) }
}

/// Cycles per second of the time-stamp counter as last calibrated, for reports; 0 before.
pub(crate) static TSC_HZ: AtomicU64 = AtomicU64::new(0);

/// Frequency of the time-stamp counter in Hz, 0 before [`crate::time::init`].
pub fn tsc_hz() -> u64 {
    TSC_HZ.load(Ordering::Relaxed)
}
