//! The calls, one file per family.

pub(crate) mod info;
pub(crate) mod memory;
pub(crate) mod time;
