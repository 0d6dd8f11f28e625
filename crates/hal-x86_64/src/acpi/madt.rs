//! MADT: CPUs and interrupt controllers (ACPI 6.5, 5.2.12).

use types::{ApicId, PhysAddr};

use super::Acpi;
use super::fields::{records, u8_at, u16_at, u32_at, u64_at};
use crate::apic::{IoApicInfo, Override, Polarity, TriggerMode};

const LOCAL_APIC: u8 = 0;
const IO_APIC: u8 = 1;
const OVERRIDE: u8 = 2;
const LOCAL_APIC_ADDRESS: u8 = 5;
const LOCAL_X2APIC: u8 = 9;

pub(super) fn read(table: &[u8], acpi: &mut Acpi) {
    if let Some(address) = u32_at(table, 36) {
        acpi.local_apic = PhysAddr::new(address.into());
    }
    for (kind, record) in records(table, 44) {
        // A record cut short says nothing; the others still count.
        let _ = read_record(kind, record, acpi);
    }
}

fn read_record(kind: u8, record: &[u8], acpi: &mut Acpi) -> Option<()> {
    match kind {
        LOCAL_APIC => add_cpu(acpi, u8_at(record, 3)?.into(), u32_at(record, 4)?),
        LOCAL_X2APIC => add_cpu(acpi, u32_at(record, 4)?, u32_at(record, 8)?),
        IO_APIC => acpi
            .io_apics
            .push(IoApicInfo { address: PhysAddr::new(u32_at(record, 4)?.into()), first_line: u32_at(record, 8)? }),
        OVERRIDE => {
            let flags = u16_at(record, 8)?;
            acpi.overrides.push(Override {
                irq: u8_at(record, 3)?,
                line: u32_at(record, 4)?,
                // 0 means "as the bus has it", and the bus is ISA.
                polarity: if flags & 3 == 3 { Polarity::Low } else { Polarity::High },
                trigger: if flags >> 2 & 3 == 3 { TriggerMode::Level } else { TriggerMode::Edge },
            });
        }
        LOCAL_APIC_ADDRESS => acpi.local_apic = PhysAddr::try_new(u64_at(record, 4)?).ok()?,
        _ => {}
    }
    Some(())
}

fn add_cpu(acpi: &mut Acpi, id: u32, flags: u32) {
    const ENABLED: u32 = 1;
    if flags & ENABLED != 0 && !acpi.cpus.contains(&ApicId(id)) {
        acpi.cpus.push(ApicId(id));
    }
}
