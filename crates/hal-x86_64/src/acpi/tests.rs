//! Tables built by hand, whole and broken.

use std::vec;
use std::vec::Vec;

use hal::Topology as _;
use types::CpuId;

use super::*;
use crate::apic::{Polarity, TriggerMode};
use crate::power::AcpiRegister;

/// Physical memory from `BASE` on.
struct Image(Vec<u8>);

const BASE: u64 = 0xe0000;

impl Memory for Image {
    fn bytes(&self, address: PhysAddr, len: usize) -> Option<&[u8]> {
        let start = usize::try_from(address.as_u64().checked_sub(BASE)?).ok()?;
        self.0.get(start..start.checked_add(len)?)
    }
}

impl Image {
    fn add(&mut self, mut bytes: Vec<u8>, checksum_at: usize) -> u64 {
        let sum = bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        bytes[checksum_at] = bytes[checksum_at].wrapping_sub(sum);
        let address = BASE + self.0.len() as u64;
        self.0.extend_from_slice(&bytes);
        address
    }

    fn table(&mut self, signature: &[u8; 4], body: &[u8]) -> u64 {
        let mut bytes = vec![0; 36];
        bytes[..4].copy_from_slice(signature);
        bytes[4..8].copy_from_slice(&(36 + body.len() as u32).to_le_bytes());
        bytes.extend_from_slice(body);
        self.add(bytes, 9)
    }
}

fn madt() -> Vec<u8> {
    let mut body = vec![0x00, 0x00, 0xe0, 0xfe, 1, 0, 0, 0];
    body.extend([0, 8, 0, 0, 1, 0, 0, 0]);
    body.extend([0, 8, 1, 2, 1, 0, 0, 0]);
    body.extend([0, 8, 2, 4, 0, 0, 0, 0]);
    body.extend([9, 16, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0]);
    body.extend([1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0]);
    body.extend([2, 10, 0, 0, 2, 0, 0, 0, 0, 0]);
    body.extend([2, 10, 0, 9, 9, 0, 0, 0, 0x0f, 0]);
    body
}

fn fadt(dsdt: u64) -> Vec<u8> {
    let mut body = vec![0; 276 - 36];
    let mut put = |offset: usize, bytes: &[u8]| body[offset - 36..offset - 36 + bytes.len()].copy_from_slice(bytes);
    put(40, &(dsdt as u32).to_le_bytes());
    put(48, &0xb2_u32.to_le_bytes());
    put(52, &[2]);
    put(64, &0x604_u32.to_le_bytes());
    put(76, &0x608_u32.to_le_bytes());
    put(112, &(1_u32 << 10).to_le_bytes());
    put(116, &[1, 8, 0, 1, 0xf9, 0x0c, 0, 0, 0, 0, 0, 0]);
    put(128, &[0x0f]);
    body
}

fn srat() -> Vec<u8> {
    let mut body = vec![0; 12];
    body.extend([0, 16, 7, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    body.extend([0, 16, 9, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let mut memory = [0; 40];
    memory[0] = 1;
    memory[1] = 40;
    memory[2] = 9;
    memory[15] = 0;
    memory[11] = 1;
    memory[19] = 2;
    memory[28] = 1;
    body.extend(memory);
    body
}

fn slit() -> Vec<u8> {
    let mut body = vec![0; 8];
    body[0] = 10;
    body.extend((0..100).map(|at| if at / 10 == at % 10 { 10 } else { 30 + at as u8 % 10 }));
    body
}

/// A whole machine; the offset of the RSDP is returned.
fn machine(extended: bool) -> (Image, PhysAddr) {
    let mut image = Image(vec![0xaa; 64]);
    let dsdt = image.table(b"DSDT", b"\x08_S5_\x12\x06\x04\x0a\x05\x0a\x05");
    let mut hpet = vec![0; 20];
    hpet[8..12].copy_from_slice(&0xfed0_0000_u32.to_le_bytes());
    let tables = [
        image.table(b"APIC", &madt()),
        image.table(b"FACP", &fadt(dsdt)),
        image.table(b"HPET", &hpet),
        image.table(b"SRAT", &srat()),
        image.table(b"SLIT", &slit()),
    ];
    let short: Vec<u8> = tables.iter().flat_map(|address| (*address as u32).to_le_bytes()).collect();
    let long: Vec<u8> = tables.iter().flat_map(|address| address.to_le_bytes()).collect();
    let rsdt = image.table(b"RSDT", &short);
    let xsdt = image.table(b"XSDT", &long);
    let mut rsdp = b"RSD PTR \0OEMID \0".to_vec();
    rsdp.extend((rsdt as u32).to_le_bytes());
    if extended {
        rsdp[15] = 2;
        let sum = rsdp.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        rsdp[8] = 0_u8.wrapping_sub(sum);
        rsdp.extend(36_u32.to_le_bytes());
        rsdp.extend(xsdt.to_le_bytes());
        rsdp.extend([0; 4]);
        let at = image.add(rsdp, 32);
        (image, PhysAddr::new(at))
    } else {
        let at = image.add(rsdp, 8);
        (image, PhysAddr::new(at))
    }
}

#[test]
fn both_kinds_of_root_lead_to_the_same_machine() {
    let (old, old_rsdp) = machine(false);
    let (new, new_rsdp) = machine(true);
    let acpi = parse(&old, old_rsdp);
    assert_eq!(acpi, parse(&new, new_rsdp));
    assert_eq!(acpi.cpus, [ApicId(0), ApicId(2), ApicId(0x100)], "enabled ones, x2APIC ids included");
    assert_eq!(acpi.local_apic, PhysAddr::new(0xfee0_0000));
    assert_eq!(acpi.io_apics, [IoApicInfo { address: PhysAddr::new(0xfec0_0000), first_line: 0 }]);
    assert_eq!(acpi.overrides.len(), 2);
    assert_eq!((acpi.overrides[0].irq, acpi.overrides[0].line), (0, 2));
    assert_eq!((acpi.overrides[1].polarity, acpi.overrides[1].trigger), (Polarity::Low, TriggerMode::Level));
    assert_eq!(acpi.references, References { hpet: Some(PhysAddr::new(0xfed0_0000)), pm_timer: Some(0x608) });
    assert_eq!(acpi.power.s5, Some((5, 5)));
    assert_eq!(acpi.power.pm1a_control, Some(AcpiRegister::Port(0x604)));
    assert_eq!(acpi.power.reset, Some((AcpiRegister::Port(0xcf9), 0x0f)));
    assert_eq!(acpi.power.enable, Some((0xb2, 2)));
}

#[test]
fn topology_numbers_the_boot_cpu_first_and_nodes_densely() {
    let (image, rsdp) = machine(true);
    let topology = Topology::new(&parse(&image, rsdp), ApicId(2));
    assert_eq!(topology.cpu_count(), 3);
    assert_eq!(topology.apic_id(CpuId(0)), Some(ApicId(2)));
    assert_eq!(topology.apic_id(CpuId(1)), Some(ApicId(0)));
    assert_eq!((topology.node_of(CpuId(0)), topology.node_of(CpuId(1))), (1, 0));
    assert_eq!(topology.memory()[0].node, 1);
    assert_eq!(topology.node_count(), 2);
    assert_eq!(topology.distance(0, 1), 39);
    assert_eq!(topology.distance(1, 0), 37);
    assert_eq!(topology.distance(1, 1), 10);
    assert_eq!(topology.distance(5, 5), 10);
}

#[test]
fn machine_without_tables_has_one_cpu() {
    let topology = Topology::new(&Acpi::none(), ApicId(0));
    assert_eq!((topology.cpu_count(), topology.node_count()), (1, 1));
    assert_eq!(topology.distance(0, 0), 10);
}

#[test]
fn damaged_bytes_and_truncation_never_panic() {
    for extended in [false, true] {
        let (image, rsdp) = machine(extended);
        for at in 0..image.0.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut broken = Image(image.0.clone());
                broken.0[at] = value;
                Topology::new(&parse(&broken, rsdp), ApicId(0));
            }
            Topology::new(&parse(&Image(image.0[..at].to_vec()), rsdp), ApicId(0));
        }
    }
}

#[test]
fn damaged_bodies_with_right_checksums_never_panic() {
    for at in 0..300 {
        for value in [0, 1, 2, 0x80, 0xff] {
            let mut acpi = Acpi::none();
            let image = Image(Vec::new());
            let damage = |mut table: Vec<u8>| {
                let mut whole = vec![0; 36];
                whole.append(&mut table);
                if let Some(byte) = whole.get_mut(at) {
                    *byte = value;
                }
                whole
            };
            madt::read(&damage(madt()), &mut acpi);
            fadt::read(&damage(fadt(0)), &image, &mut acpi);
            numa::read_affinity(&damage(srat()), &mut acpi);
            acpi.distances = numa::read_distances(&damage(slit())).unwrap_or_default();
            Topology::new(&acpi, ApicId(1));
        }
    }
}

#[test]
fn wrong_checksums_count_as_missing() {
    let (mut image, rsdp) = machine(false);
    let at = (rsdp.as_u64() - BASE) as usize;
    image.0[at + 17] ^= 1;
    assert_eq!(parse(&image, rsdp), Acpi::none());
}
