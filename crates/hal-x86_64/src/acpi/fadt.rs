//! FADT: fixed hardware (ACPI 6.5, 5.2.9).

use types::PhysAddr;

use super::Acpi;
use super::aml;
use super::fields::{u8_at, u32_at, u64_at};
use super::tables::{self, HEADER, Memory};
use crate::power::AcpiRegister;

const RESET_SUPPORTED: u32 = 1 << 10;
const HARDWARE_REDUCED: u32 = 1 << 20;

pub(super) fn read(table: &[u8], memory: &impl Memory, acpi: &mut Acpi) {
    let flags = u32_at(table, 112).unwrap_or(0);
    if flags & RESET_SUPPORTED != 0 {
        acpi.power.reset = register(table, 116).zip(u8_at(table, 128));
    }
    if flags & HARDWARE_REDUCED != 0 {
        acpi.power.sleep_control = register(table, 244);
    } else {
        acpi.power.pm1a_control = register(table, 172).or_else(|| port(table, 64));
        acpi.power.pm1b_control = register(table, 184).or_else(|| port(table, 68));
        acpi.power.enable = port_number(table, 48).zip(u8_at(table, 52).filter(|value| *value != 0));
        acpi.references.pm_timer = match register(table, 208) {
            Some(AcpiRegister::Port(port)) => Some(port),
            _ => port_number(table, 76),
        };
    }
    let dsdt = u64_at(table, 140).filter(|address| *address != 0).or_else(|| u32_at(table, 40).map(u64::from));
    acpi.power.s5 = dsdt
        .and_then(|address| PhysAddr::try_new(address).ok())
        .and_then(|address| tables::table(memory, address))
        .filter(|(signature, _)| signature == b"DSDT")
        .and_then(|(_, dsdt)| aml::sleep_type_s5(dsdt.get(HEADER..)?));
}

/// A generic address structure, if it names anything.
fn register(table: &[u8], offset: usize) -> Option<AcpiRegister> {
    let address = u64_at(table, offset + 4).filter(|address| *address != 0)?;
    match u8_at(table, offset)? {
        0 => PhysAddr::try_new(address).ok().map(AcpiRegister::Memory),
        1 => u16::try_from(address).ok().map(AcpiRegister::Port),
        _ => None,
    }
}

fn port(table: &[u8], offset: usize) -> Option<AcpiRegister> {
    port_number(table, offset).map(AcpiRegister::Port)
}

fn port_number(table: &[u8], offset: usize) -> Option<u16> {
    u16::try_from(u32_at(table, offset)?).ok().filter(|port| *port != 0)
}
