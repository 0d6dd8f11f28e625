//! What the firmware says about the machine, in ACPI tables.
//!
//! The tables are foreign data: every field is read with its bounds checked, and a broken table counts as missing. The
//! crate `acpi` is not used: version 6 needs a nightly compiler, and both it and the 7.0 pre-release compute lengths
//! from table fields unchecked. AML is not interpreted; only the `\_S5` package is looked up in it, for power off.

mod aml;
mod fadt;
mod fields;
mod madt;
mod numa;
mod tables;

use alloc::vec::Vec;

use types::{ApicId, PhysAddr};

use crate::apic::{DEFAULT_LOCAL_APIC, IoApicInfo, Override};
use crate::direct_map;
use crate::power::PowerMethods;
use crate::time::References;
use tables::{Memory, Tables};

pub use numa::{MemoryNode, Topology};

/// Everything the kernel wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acpi {
    /// CPUs that may be started, in the order of the tables, the boot CPU among them. Empty without ACPI.
    pub cpus: Vec<ApicId>,
    /// Registers of the local APICs.
    pub local_apic: PhysAddr,
    /// I/O APICs.
    pub io_apics: Vec<IoApicInfo>,
    /// Legacy interrupts that are wired differently.
    pub overrides: Vec<Override>,
    /// Ways to switch off and to start again.
    pub power: PowerMethods,
    /// Clocks to calibrate by.
    pub references: References,
    /// Memory nodes of CPUs, by firmware numbers.
    pub cpu_domains: Vec<(ApicId, u32)>,
    /// Memory ranges and their nodes, by firmware numbers.
    pub memory_domains: Vec<MemoryNode>,
    /// Distances between nodes, row by row; empty if not given.
    pub distances: Vec<u8>,
    /// Tables found, by signature.
    pub signatures: Vec<[u8; 4]>,
}

impl Acpi {
    /// A machine without ACPI.
    fn none() -> Self {
        Self {
            cpus: Vec::new(),
            local_apic: DEFAULT_LOCAL_APIC,
            io_apics: Vec::new(),
            overrides: Vec::new(),
            power: PowerMethods::default(),
            references: References::default(),
            cpu_domains: Vec::new(),
            memory_domains: Vec::new(),
            distances: Vec::new(),
            signatures: Vec::new(),
        }
    }
}

/// Most bytes of a table that are believed.
const MAX_TABLE: usize = 16 << 20;

/// Physical memory through the direct map.
struct DirectMap;

impl Memory for DirectMap {
    fn bytes(&self, address: PhysAddr, len: usize) -> Option<&[u8]> {
        let end = address.as_u64().checked_add(len as u64)?;
        if address.is_null() || len > MAX_TABLE || end >= 1 << 46 || !direct_map::is_set() {
            return None;
        }
        // SAFETY: tables are in memory that `init_bsp`'s caller has promised to show, and nobody writes to them.
        Some(unsafe { core::slice::from_raw_parts(direct_map::pointer(address), len) })
    }
}

/// Reads the tables that the RSDP at `rsdp` leads to. `None`, or tables that make no sense, give a machine of one CPU
/// with what every PC has.
pub fn read(rsdp: Option<PhysAddr>) -> Acpi {
    let mut found = rsdp.map_or_else(Acpi::none, |rsdp| parse(&DirectMap, rsdp));
    if found.io_apics.is_empty() {
        // A PC has one here; where it has not, reads give ones and the lines stay closed.
        found.io_apics.push(IoApicInfo { address: PhysAddr::new(0xfec0_0000), first_line: 0 });
    }
    found
}

fn parse(memory: &impl Memory, rsdp: PhysAddr) -> Acpi {
    let mut acpi = Acpi::none();
    let Some(tables) = Tables::find(memory, rsdp) else { return acpi };
    for (signature, table) in tables.iter() {
        acpi.signatures.push(signature);
        match &signature {
            b"APIC" => madt::read(table, &mut acpi),
            b"FACP" => fadt::read(table, memory, &mut acpi),
            b"HPET" => acpi.references.hpet = fields::u64_at(table, 44).and_then(|a| PhysAddr::try_new(a).ok()),
            b"SRAT" => numa::read_affinity(table, &mut acpi),
            b"SLIT" => acpi.distances = numa::read_distances(table).unwrap_or_default(),
            _ => {}
        }
    }
    acpi
}

#[cfg(test)]
mod tests;
