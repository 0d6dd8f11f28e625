//! Processes and threads: what a process is, and every rule about them, without a machine.
//!
//! Nothing here runs, copies memory or knows a clock: operations are transitions over plain data that return what must
//! happen next (whom to wake, which signal to send to whom, what to drop once no lock is held). The kernel does it.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod error;

pub use error::{Error, Result};

// Signals, futexes, images, timers.
