//! Switching off and starting again.

use hal::PowerAction;
use spin::Once;
use types::PhysAddr;
use x86_64::instructions::tables;

use crate::io::Port;
use crate::{direct_map, interrupts};

/// A register of the ACPI fixed hardware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcpiRegister {
    /// A port.
    Port(u16),
    /// A byte or word in memory.
    Memory(PhysAddr),
}

/// What ACPI says about switching off and reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct PowerMethods {
    /// PM1a control: 16 bits.
    pub pm1a_control: Option<AcpiRegister>,
    /// PM1b control: 16 bits.
    pub pm1b_control: Option<AcpiRegister>,
    /// Port and value that hand the fixed hardware from the firmware to the kernel.
    pub enable: Option<(u16, u8)>,
    /// Sleep control of hardware-reduced machines: 8 bits.
    pub sleep_control: Option<AcpiRegister>,
    /// Sleep types of state S5 for PM1a and PM1b.
    pub s5: Option<(u8, u8)>,
    /// The reset register and what to write there: 8 bits.
    pub reset: Option<(AcpiRegister, u8)>,
}

static METHODS: Once<PowerMethods> = Once::new();

/// Tells what ACPI found. Once, at boot.
pub fn set_methods(methods: PowerMethods) {
    METHODS.call_once(|| methods);
}

/// Leaves QEMU by its device isa-debug-exit: the process ends with status `(value << 1 | 1) & 0xff`. Where the device
/// is missing nothing happens.
pub fn debug_exit(value: u32) {
    DEBUG_EXIT_PORT.write(value);
}

// SAFETY: the port of isa-debug-exit, unused on PCs.
const DEBUG_EXIT_PORT: Port<u32> = unsafe { Port::new(0xf4) };
// SAFETY: the reset control register of PC chip sets.
const RESET_CONTROL: Port<u8> = unsafe { Port::new(0xcf9) };
// SAFETY: the keyboard controller's command port.
const KEYBOARD_COMMAND: Port<u8> = unsafe { Port::new(0x64) };

/// Does it. Other CPUs are stopped first. Returns only where the machine has no way: then the caller halts.
pub fn act(action: PowerAction) {
    x86_64::instructions::interrupts::disable();
    interrupts::stop_other_cpus();
    match action {
        PowerAction::PowerOff => power_off(),
        PowerAction::Reboot => reboot(),
        PowerAction::Halt => interrupts::stop_this_cpu(),
    }
}

fn power_off() {
    let Some(methods) = METHODS.get() else { return };
    let Some((type_a, type_b)) = methods.s5 else { return };
    if let Some(register) = methods.sleep_control {
        write8(register, type_a << 2 | 1 << 5);
    }
    enable_acpi(methods);
    for (register, sleep_type) in [(methods.pm1a_control, type_a), (methods.pm1b_control, type_b)] {
        if let Some(register) = register {
            write16(register, u16::from(sleep_type) << 10 | 1 << 13);
        }
    }
    // The hardware may take a moment.
    for _ in 0..10_000_000 {
        core::hint::spin_loop();
    }
}

/// Asks the firmware for the fixed hardware, if it still has it; QEMU does not care, PCs do.
fn enable_acpi(methods: &PowerMethods) {
    const SCI_ENABLED: u16 = 1;
    let (Some((command, value)), Some(AcpiRegister::Port(control))) = (methods.enable, methods.pm1a_control) else {
        return;
    };
    // SAFETY: ACPI names the port for this purpose.
    let control: Port<u16> = unsafe { Port::new(control) };
    if control.read() & SCI_ENABLED == 0 {
        write8(AcpiRegister::Port(command), value);
        for _ in 0..1_000_000 {
            if control.read() & SCI_ENABLED != 0 {
                return;
            }
        }
    }
}

fn reboot() {
    if let Some((register, value)) = METHODS.get().and_then(|methods| methods.reset) {
        write8(register, value);
        pause();
    }
    RESET_CONTROL.write(0x02);
    RESET_CONTROL.write(0x06);
    pause();
    KEYBOARD_COMMAND.write(0xfe);
    pause();
    triple_fault()
}

fn pause() {
    for _ in 0..1_000_000 {
        core::hint::spin_loop();
    }
}

/// An exception without a table to handle it: every PC starts again.
fn triple_fault() {
    let empty = x86_64::structures::DescriptorTablePointer { limit: 0, base: types::VirtAddr::zero() };
    // SAFETY: nothing runs on this CPU after the next instruction.
    unsafe { tables::lidt(&empty) };
    x86_64::instructions::interrupts::int3();
}

fn write8(register: AcpiRegister, value: u8) {
    match register {
        // SAFETY: ACPI names the port for this purpose.
        AcpiRegister::Port(port) => unsafe { Port::<u8>::new(port) }.write(value),
        AcpiRegister::Memory(address) => {
            // SAFETY: ACPI names the register for this purpose; it is seen through the direct map.
            unsafe { direct_map::pointer::<u8>(address).write_volatile(value) };
        }
    }
}

fn write16(register: AcpiRegister, value: u16) {
    match register {
        // SAFETY: ACPI names the port for this purpose.
        AcpiRegister::Port(port) => unsafe { Port::<u16>::new(port) }.write(value),
        AcpiRegister::Memory(address) => {
            // SAFETY: as in `write8`.
            unsafe { direct_map::pointer::<u16>(address).write_unaligned(value) };
        }
    }
}
