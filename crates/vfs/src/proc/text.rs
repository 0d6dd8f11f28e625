//! A growing buffer of text that reports, not aborts, when memory is short.

use alloc::vec::Vec;
use core::fmt;

use crate::{Result, VfsError};

/// Text of a /proc file in the making.
#[derive(Debug, Default)]
pub struct Text {
    bytes: Vec<u8>,
    failed: bool,
}

impl Text {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), failed: false }
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is nothing yet.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Adds raw bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.failed || self.bytes.try_reserve(bytes.len()).is_err() {
            self.failed = true;
        } else {
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// Adds a path or name with space, tab, newline, backslash and the bytes of `more` as octal escapes.
    pub(super) fn push_escaped(&mut self, bytes: &[u8], more: &[u8]) {
        for &byte in bytes {
            if matches!(byte, b' ' | b'\t' | b'\n' | b'\\') || more.contains(&byte) {
                let digit = |shift: u8| b'0' + (byte >> shift & 7);
                self.push(&[b'\\', digit(6), digit(3), digit(0)]);
            } else {
                self.push(&[byte]);
            }
        }
    }

    /// Adds a task's name: newline and backslash as in C.
    pub(super) fn push_name(&mut self, name: &[u8]) {
        for &byte in name {
            match byte {
                b'\n' => self.push(b"\\n"),
                b'\\' => self.push(b"\\\\"),
                byte => self.push(&[byte]),
            }
        }
    }

    /// Spaces up to column `column` of the line that began at `line_start`.
    pub(super) fn pad(&mut self, line_start: usize, column: usize) {
        while !self.failed && self.bytes.len() < line_start + column {
            self.push(b" ");
        }
    }

    /// The text.
    ///
    /// # Errors
    /// [`VfsError::NoMemory`] if some of it could not be kept.
    pub(super) fn finish(self) -> Result<Vec<u8>> {
        if self.failed { Err(VfsError::NoMemory) } else { Ok(self.bytes) }
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        if self.failed { Err(fmt::Error) } else { Ok(()) }
    }
}
