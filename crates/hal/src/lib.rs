//! What the kernel asks of a machine: small traits, plain-data register and trap types, and fakes that work.
//!
//! Nothing here executes a machine instruction; `hal-x86_64` does, and [`fake`] plays the part on the host.
#![no_std]
#![forbid(unsafe_code)]

mod context;
mod frames;
mod machine;
mod tlb;
mod trap;

pub mod fake;

pub use context::UserContext;
pub use frames::FrameStore;
pub use machine::{Console, Cpu, Power, PowerAction, Timer, Topology};
pub use tlb::{Mmu, TlbRange};
pub use trap::{Exception, PageFault, PageFaultFlags, Trap};
