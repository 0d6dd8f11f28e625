//! Fields of tables: little-endian, unaligned, perhaps beyond the end.

pub(super) fn u8_at(table: &[u8], offset: usize) -> Option<u8> {
    table.get(offset).copied()
}

pub(super) fn u16_at(table: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_le_bytes(array_at(table, offset)?))
}

pub(super) fn u32_at(table: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_le_bytes(array_at(table, offset)?))
}

pub(super) fn u64_at(table: &[u8], offset: usize) -> Option<u64> {
    Some(u64::from_le_bytes(array_at(table, offset)?))
}

pub(super) fn array_at<const N: usize>(table: &[u8], offset: usize) -> Option<[u8; N]> {
    table.get(offset..offset.checked_add(N)?)?.try_into().ok()
}

/// Records of a type byte and a length byte, as in MADT and SRAT; ends at the first one that makes no sense.
pub(super) fn records(table: &[u8], start: usize) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = table.get(start..).unwrap_or(&[]);
    core::iter::from_fn(move || {
        let (kind, len) = (u8_at(rest, 0)?, usize::from(u8_at(rest, 1)?));
        let record = rest.get(..len).filter(|_| len >= 2)?;
        rest = rest.get(len..)?;
        Some((kind, record))
    })
}
