//! The boot doors. Each fills one [`BootInfo`] from what its loader says and calls the same kernel main.

mod command_line;
mod info;
mod limine;
pub(crate) mod memory;
mod multiboot2;
mod physical;
mod pvh;
pub(crate) mod stack;

pub(crate) use command_line::CommandLine;
pub(crate) use info::{BootInfo, Framebuffer, MemoryKind};
pub(crate) use physical::{DIRECT_MAP_BASE, module_bytes};

core::arch::global_asm!(include_str!("stub.s"), options(att_syntax));
