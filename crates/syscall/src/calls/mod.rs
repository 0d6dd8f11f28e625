//! The calls, one file per family.

pub(crate) mod attributes;
pub(crate) mod buffers;
pub(crate) mod clone;
pub(crate) mod exec;
pub(crate) mod fd;
pub(crate) mod files;
pub(crate) mod futex;
pub(crate) mod ids;
pub(crate) mod info;
pub(crate) mod io;
pub(crate) mod ioctl;
pub(crate) mod memory;
pub(crate) mod names;
pub(crate) mod open;
pub(crate) mod pidfd;
pub(crate) mod places;
pub(crate) mod poll;
pub(crate) mod power;
pub(crate) mod prctl;
pub(crate) mod process;
pub(crate) mod resource;
pub(crate) mod signal;
pub(crate) mod stat;
pub(crate) mod time;
pub(crate) mod timers;
