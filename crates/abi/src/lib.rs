//! Numbers and layouts shared with user space, on x86-64 Linux's side and on our own.
//!
//! Constants keep the kernel's own names and come from Linux's headers by way of the crate `linux-raw-sys`
//! (re-exported as [`linux`]). Structures that cross the border are declared with [`abi_struct!`]: explicit padding,
//! conversion to and from bytes without `unsafe`.
#![no_std]
#![forbid(unsafe_code)]

mod errno;
pub mod native;
mod signal;
mod structs;
mod syscall;
mod wire;

pub use errno::Errno;
pub use signal::{SigSet, Signal};
pub use structs::*;
pub use syscall::{SYSCALL_COUNT, syscall_name};
pub use wire::{Wire, WireField, Zeroed};

/// Linux's own constants, by Linux's own names (`linux::general::O_CREAT`, `linux::general::__NR_read`, …).
pub use linux_raw_sys as linux;
