//! From the RSDP to the list of tables (ACPI 6.5, 5.2.5 to 5.2.8).

use alloc::vec::Vec;

use types::PhysAddr;

use super::fields::{array_at, u8_at, u32_at, u64_at};

/// Where tables are read from.
pub(super) trait Memory {
    /// The bytes at `address`, if there can be such.
    fn bytes(&self, address: PhysAddr, len: usize) -> Option<&[u8]>;
}

/// Bytes of the header that every table has.
pub(super) const HEADER: usize = 36;

/// Tables with right checksums, in the firmware's order.
pub(super) struct Tables<'a> {
    list: Vec<([u8; 4], &'a [u8])>,
}

impl<'a> Tables<'a> {
    pub(super) fn find(memory: &'a impl Memory, rsdp: PhysAddr) -> Option<Self> {
        let (root, entry_size) = root(memory, rsdp)?;
        let (signature, root) = table(memory, root)?;
        if signature != *if entry_size == 8 { b"XSDT" } else { b"RSDT" } {
            return None;
        }
        let entries = root.get(HEADER..)?.chunks_exact(entry_size);
        let addresses = entries.filter_map(|entry| match entry_size {
            8 => u64_at(entry, 0),
            _ => u32_at(entry, 0).map(u64::from),
        });
        let list = addresses.filter_map(|address| table(memory, PhysAddr::try_new(address).ok()?)).collect();
        Some(Self { list })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = ([u8; 4], &'a [u8])> {
        self.list.iter().copied()
    }
}

/// Address of the RSDT or XSDT, and bytes of its entries.
fn root(memory: &impl Memory, rsdp: PhysAddr) -> Option<(PhysAddr, usize)> {
    const V1: usize = 20;
    let first = memory.bytes(rsdp, V1)?;
    if array_at(first, 0)? != *b"RSD PTR " || !sums_to_zero(first) {
        return None;
    }
    if u8_at(first, 15)? >= 2 {
        let whole = memory.bytes(rsdp, V1 + 16)?;
        let xsdt = u64_at(whole, 24)?;
        if sums_to_zero(whole) && xsdt != 0 {
            return Some((PhysAddr::try_new(xsdt).ok()?, 8));
        }
    }
    Some((PhysAddr::new(u64::from(u32_at(first, 16)?)), 4))
}

/// Signature and bytes of the table at `address`, if its length and checksum are right.
pub(super) fn table(memory: &impl Memory, address: PhysAddr) -> Option<([u8; 4], &[u8])> {
    let header = memory.bytes(address, HEADER)?;
    let len = u32_at(header, 4)? as usize;
    let table = memory.bytes(address, len).filter(|_| len >= HEADER)?;
    sums_to_zero(table).then_some((array_at(header, 0)?, table))
}

fn sums_to_zero(bytes: &[u8]) -> bool {
    bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)) == 0
}
