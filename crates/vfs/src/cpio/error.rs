//! What can be wrong with an archive, and where.

use core::fmt;

use crate::VfsError;

/// An error and its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpioError {
    /// What is wrong.
    pub kind: CpioErrorKind,
    /// Byte of the image; for a compressed archive, where that begins.
    pub image_offset: u64,
    /// Byte of the (decompressed) archive.
    pub offset: u64,
}

/// What can be wrong with an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpioErrorKind {
    /// Neither cpio nor gzip.
    UnknownFormat,
    /// No cpio header where one must be.
    BadMagic,
    /// A number that is not eight hexadecimal digits.
    BadNumber,
    /// An empty, unterminated, over-long or escaping name.
    BadName,
    /// A type of file that does not exist, or a link target that is too long.
    BadEntry,
    /// It ends in the middle.
    Truncated,
    /// Compressed data that cannot be.
    BadCompression,
    /// The checksum is another one.
    BadChecksum,
    /// The file system refused.
    FileSystem(VfsError),
}

impl fmt::Display for CpioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, image_offset, offset } = self;
        write!(f, "{kind:?} at byte {offset} of the archive at byte {image_offset}")
    }
}
