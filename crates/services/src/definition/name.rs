//! Names of services and capabilities.

use alloc::boxed::Box;
use core::borrow::Borrow;
use core::fmt;

use crate::error::{Field, Result, ServiceError};

/// 1 to 64 of `a-z A-Z 0-9 . _ - @ # :`, the first a letter or digit: safe in paths, logs and on a command line.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<str>);

impl Name {
    /// Longest name, in bytes.
    pub const MAX: usize = 64;

    /// # Errors
    /// `InvalidDefinition(Name)` if it is empty, too long or has another character.
    pub fn new(text: &str) -> Result<Self> {
        let good = |b: u8| b.is_ascii_alphanumeric() || b"._-@#:".contains(&b);
        let first = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        if !first || text.len() > Self::MAX || !text.bytes().all(good) {
            return Err(ServiceError::InvalidDefinition(Field::Name));
        }
        Ok(Self(Box::from(text)))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Orders and hashes as its text.
impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
