//! The header of an entry in the newc format (cpio(5)).

use super::CpioErrorKind;

/// Bytes of a header.
pub(super) const HEADER_SIZE: usize = 110;

/// A header's numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) ino: u32,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) nlink: u32,
    pub(super) mtime: u32,
    pub(super) size: u32,
    pub(super) dev: (u32, u32),
    pub(super) rdev: (u32, u32),
    pub(super) name_size: u32,
    /// Sum of the bytes of the content, in the format that has one.
    pub(super) checksum: Option<u32>,
}

impl Header {
    pub(super) fn parse(bytes: &[u8; HEADER_SIZE]) -> Result<Self, CpioErrorKind> {
        let (magic, numbers) = bytes.split_at_checked(6).ok_or(CpioErrorKind::BadMagic)?;
        let has_checksum = match magic {
            b"070701" => false,
            b"070702" => true,
            _ => return Err(CpioErrorKind::BadMagic),
        };
        let mut fields = [0; 13];
        for (field, digits) in fields.iter_mut().zip(numbers.chunks_exact(8)) {
            *field = hexadecimal(digits)?;
        }
        let [ino, mode, uid, gid, nlink, mtime, size, dev0, dev1, rdev0, rdev1, name_size, checksum] = fields;
        Ok(Self {
            ino,
            mode,
            uid,
            gid,
            nlink,
            mtime,
            size,
            dev: (dev0, dev1),
            rdev: (rdev0, rdev1),
            name_size,
            checksum: has_checksum.then_some(checksum),
        })
    }
}

fn hexadecimal(digits: &[u8]) -> Result<u32, CpioErrorKind> {
    digits.iter().try_fold(0, |number: u32, digit| {
        let value = char::from(*digit).to_digit(16).ok_or(CpioErrorKind::BadNumber)?;
        Ok(number << 4 | value)
    })
}
