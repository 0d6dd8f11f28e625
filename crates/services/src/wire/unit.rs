//! A definition with what only its surroundings need: where it was written down.

use alloc::string::String;
use alloc::vec::Vec;

use super::codec::record;
use crate::definition::Definition;

/// A service as it is loaded.
#[derive(Clone, Debug, PartialEq)]
pub struct Unit {
    /// What the supervisor decides by.
    pub definition: Definition,
    /// The file it was read from.
    pub file: String,
    /// Where each dependency was written down, `file:line:column`; in the order of `definition.dependencies`, and as many.
    pub places: Vec<String>,
}

impl Unit {
    /// A definition that was written down nowhere.
    pub fn bare(definition: Definition) -> Self {
        Self { definition, file: String::new(), places: Vec::new() }
    }
}

record!(Unit { definition, file, places });
