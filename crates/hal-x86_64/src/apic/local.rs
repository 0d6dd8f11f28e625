//! The local APIC (Intel SDM vol. 3, chapter 11), as memory-mapped registers or as MSRs (x2APIC).

use core::sync::atomic::{AtomicPtr, AtomicU8, Ordering};

use types::{ApicId, CpuId, PhysAddr};

use crate::features::{self, Features};
use crate::io::Register as Msr;
use crate::{direct_map, interrupts, per_cpu};

/// How the registers are reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Not set up yet.
    Off,
    /// Memory-mapped, 8-bit ids.
    XApic,
    /// Model-specific registers, 32-bit ids.
    X2Apic,
}

/// Registers by their offset in the memory-mapped page; as MSRs they are at 0x800 + offset / 16.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Register {
    Id = 0x20,
    TaskPriority = 0x80,
    EndOfInterrupt = 0xb0,
    Spurious = 0xf0,
    ErrorStatus = 0x280,
    Command = 0x300,
    CommandHigh = 0x310,
    LvtTimer = 0x320,
    LvtLint0 = 0x350,
    LvtLint1 = 0x360,
    LvtError = 0x370,
    TimerInitial = 0x380,
    TimerCurrent = 0x390,
    TimerDivide = 0x3e0,
}

const ENABLE: u32 = 1 << 8;
pub(super) const MASKED: u32 = 1 << 16;
const DELIVERY_NMI: u32 = 4 << 8;
const DELIVERY_INIT: u32 = 5 << 8;
const DELIVERY_STARTUP: u32 = 6 << 8;
const PENDING: u32 = 1 << 12;
const ASSERT: u32 = 1 << 14;
const ALL_BUT_SELF: u32 = 3 << 18;

// SAFETY: every CPU that this kernel runs on has a local APIC; only its mode bits are changed.
const APIC_BASE: Msr = unsafe { Msr::new(0x1b) };
const BASE_ENABLE: u64 = 1 << 11;
const BASE_X2APIC: u64 = 1 << 10;
// SAFETY: used in x2APIC mode only, where the register exists; it sends interrupts, which the kernel is ready for.
const X2APIC_COMMAND: Msr = unsafe { Msr::new(0x830) };

static MODE: AtomicU8 = AtomicU8::new(0);
/// The memory-mapped registers, for [`Mode::XApic`].
static BASE: AtomicPtr<u32> = AtomicPtr::new(core::ptr::null_mut());

/// How the local APICs are reached.
#[inline]
pub fn mode() -> Mode {
    match MODE.load(Ordering::Relaxed) {
        0 => Mode::Off,
        1 => Mode::XApic,
        _ => Mode::X2Apic,
    }
}

/// Decides the mode for all CPUs: x2APIC wherever it exists.
pub(super) fn choose_mode(address: PhysAddr) {
    BASE.store(direct_map::pointer(address), Ordering::Relaxed);
    MODE.store(if features::get().contains(Features::X2APIC) { 2 } else { 1 }, Ordering::Relaxed);
}

pub(super) fn write(register: Register, value: u32) {
    match mode() {
        Mode::Off => {}
        Mode::XApic => {
            let base = BASE.load(Ordering::Relaxed);
            // SAFETY: the registers are mapped, by the promise given to `init_bsp`.
            let address = unsafe { base.byte_add(register as usize) };
            // SAFETY: as above; the APIC does not touch memory.
            unsafe { address.write_volatile(value) };
        }
        Mode::X2Apic => x2apic_register(register).write(value.into()),
    }
}

pub(super) fn read(register: Register) -> u32 {
    match mode() {
        Mode::Off => 0,
        Mode::XApic => {
            let base = BASE.load(Ordering::Relaxed);
            // SAFETY: the registers are mapped, by the promise given to `init_bsp`.
            let address = unsafe { base.byte_add(register as usize) };
            // SAFETY: as above; reading has no effect.
            unsafe { address.read_volatile() }
        }
        Mode::X2Apic => x2apic_register(register).read() as u32,
    }
}

const fn x2apic_register(register: Register) -> Msr {
    // SAFETY: used in x2APIC mode only, where these registers exist; the APIC does not touch memory.
    unsafe { Msr::new(0x800 + register as u32 / 16) }
}

/// Switches on the executing CPU's APIC with all local sources masked but NMI and errors.
pub(super) fn init_cpu() {
    let base = APIC_BASE.read();
    match mode() {
        Mode::Off => return,
        Mode::XApic => APIC_BASE.write(base | BASE_ENABLE),
        Mode::X2Apic => {
            // x2APIC is entered from xAPIC only.
            APIC_BASE.write(base | BASE_ENABLE);
            APIC_BASE.write(base | BASE_ENABLE | BASE_X2APIC);
        }
    }
    write(Register::Spurious, ENABLE | u32::from(interrupts::SPURIOUS));
    write(Register::TaskPriority, 0);
    write(Register::LvtTimer, MASKED);
    write(Register::LvtLint0, MASKED);
    write(Register::LvtLint1, DELIVERY_NMI);
    write(Register::LvtError, u32::from(interrupts::APIC_ERROR));
    clear_error();
    end_of_interrupt();
    let id = local_id();
    per_cpu::current().apic_id.store(id.0, Ordering::Relaxed);
}

/// Id of the executing CPU's APIC.
pub fn local_id() -> ApicId {
    match mode() {
        Mode::X2Apic => ApicId(read(Register::Id)),
        _ => ApicId(read(Register::Id) >> 24),
    }
}

/// Acknowledges the interrupt in service.
#[inline]
pub(crate) fn end_of_interrupt() {
    write(Register::EndOfInterrupt, 0);
}

/// Forgets recorded errors.
pub(crate) fn clear_error() {
    write(Register::ErrorStatus, 0);
}

/// Sends the command word `command` to `target`.
fn send(target: ApicId, command: u32) {
    match mode() {
        Mode::Off => {}
        Mode::X2Apic => {
            // Writing an MSR of the APIC does not wait for earlier stores (SDM vol. 3, 11.12.3).
            core::sync::atomic::fence(Ordering::SeqCst);
            X2APIC_COMMAND.write(u64::from(target.0) << 32 | u64::from(command));
        }
        Mode::XApic => {
            wait_until_sent();
            write(Register::CommandHigh, target.0 << 24);
            write(Register::Command, command);
            wait_until_sent();
        }
    }
}

/// The command register takes one at a time. Bounded: a broken APIC shall not hang the kernel.
fn wait_until_sent() {
    for _ in 0..1_000_000 {
        if read(Register::Command) & PENDING == 0 {
            return;
        }
        core::hint::spin_loop();
    }
}

pub(super) fn send_fixed(cpu: CpuId, vector: u8) {
    if let Some(block) = per_cpu::of(cpu) {
        send(ApicId(block.apic_id.load(Ordering::Relaxed)), ASSERT | u32::from(vector));
    }
}

/// Puts a CPU into the state in which it waits for a start-up message.
pub(crate) fn send_init(target: ApicId) {
    send(target, ASSERT | DELIVERY_INIT);
}

/// Starts a CPU in real mode at `page` * 4096.
pub(crate) fn send_startup(target: ApicId, page: u8) {
    send(target, ASSERT | DELIVERY_STARTUP | u32::from(page));
}

pub(crate) fn send_nmi_to_others() {
    send(ApicId(0), ASSERT | ALL_BUT_SELF | DELIVERY_NMI);
}
