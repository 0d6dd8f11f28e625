//! The PC under the kernel: everything that executes a privileged instruction or touches a device register.
//!
//! The kernel calls [`cpu::init_bsp`] first, then [`serial`], [`acpi`], [`time`], [`apic`] and [`smp`] in that order;
//! [`Machine`] implements the traits of `hal` on top. The rules that hold everywhere:
//!
//! * ring 0 runs with interrupts off, except inside [`interrupts::wait_for_interrupt`];
//! * GS points to the block of the executing CPU while in ring 0;
//! * what can be decided from plain data (tables, descriptors, clock arithmetic) is a pure function with host tests.
//!
//! The crate also builds for the host, where only those pure parts are run.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod descriptors;
mod direct_map;
mod fatal;
mod io;
mod kernel_trap;
mod machine;
mod per_cpu;

pub mod acpi;
pub mod apic;
pub mod cpu;
pub mod features;
pub mod fpu;
pub mod interrupts;
pub mod paging;
pub mod power;
pub mod random;
pub mod serial;
pub mod smap;
pub mod smp;
pub mod stats;
pub mod time;
pub mod tlb;
pub mod user;
pub mod user_copy;
pub mod vdso;

pub use fatal::{FatalTrap, set_fatal};
pub use kernel_trap::{KernelFrame, set_kernel_fault};
pub use machine::Machine;
