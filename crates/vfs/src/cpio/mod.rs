//! Unpacks an initramfs: cpio archives in the newc format, plain or gzip, one after another with zeros between
//! (Linux: Documentation/driver-api/early-userspace/buffer-format.rst).
//!
//! Memory needed does not depend on the archive's size. Paths are walked inside the directory given as root, so that
//! nothing an archive says reaches beyond it; names with `..` are refused altogether.

mod error;
mod gzip;
mod header;
mod source;
mod unpack;

#[cfg(test)]
mod tests;

pub use error::{CpioError, CpioErrorKind};
pub use unpack::{Unpacked, unpack};
