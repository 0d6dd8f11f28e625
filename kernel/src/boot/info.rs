//! What every boot door tells the kernel.

use arrayvec::{ArrayString, ArrayVec};
use types::PhysAddr;

/// Most entries of a memory map that are kept; firmware seldom gives more than 40.
const MAX_REGIONS: usize = 256;
/// Most boot modules (initramfs archives).
const MAX_MODULES: usize = 8;
/// Longest kernel command line, as Linux's x86 limit.
const MAX_COMMAND_LINE: usize = 2048;

/// Which loader started us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    Pvh,
    Multiboot2,
    Limine,
}

/// What a range of physical memory may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MemoryKind {
    /// Free from the start.
    Usable,
    /// Holds the loader's tables and stack: free once the kernel has its own.
    Reclaimable,
    /// Holds the kernel image or a module.
    Loaded,
    /// RAM that must stay as it is (ACPI tables, firmware), or no RAM at all.
    Reserved,
}

/// A range of physical memory, bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MemoryRegion {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) kind: MemoryKind,
}

/// A file that the loader put into memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Module {
    pub(crate) start: PhysAddr,
    pub(crate) len: u64,
}

/// A linear framebuffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Framebuffer {
    pub(crate) address: PhysAddr,
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// Bytes from one line to the next.
    pub(crate) pitch: u32,
    pub(crate) bits_per_pixel: u8,
}

/// Everything the kernel knows at its first line.
pub(crate) struct BootInfo {
    pub(crate) door: Door,
    pub(crate) regions: ArrayVec<MemoryRegion, MAX_REGIONS>,
    pub(crate) modules: ArrayVec<Module, MAX_MODULES>,
    pub(crate) command_line: ArrayString<MAX_COMMAND_LINE>,
    /// Root of the ACPI tables.
    pub(crate) rsdp: Option<PhysAddr>,
    pub(crate) framebuffer: Option<Framebuffer>,
    /// Where the image lies; its virtual address is fixed by the linker script.
    pub(crate) kernel_start: PhysAddr,
    /// Time-stamp counter at the first instruction.
    pub(crate) entry_tsc: u64,
}

impl BootInfo {
    pub(super) fn new(door: Door, kernel_start: PhysAddr, entry_tsc: u64) -> Self {
        Self {
            door,
            regions: ArrayVec::new(),
            modules: ArrayVec::new(),
            command_line: ArrayString::new(),
            rsdp: None,
            framebuffer: None,
            kernel_start,
            entry_tsc,
        }
    }

    /// Adds a range of the loader's memory map; empty ones and those beyond the table are dropped.
    pub(super) fn add_region(&mut self, start: u64, len: u64, kind: MemoryKind) {
        let end = start.saturating_add(len);
        if end > start {
            let _ = self.regions.try_push(MemoryRegion { start, end, kind });
        }
    }

    /// Adds a boot module; those beyond the table are dropped.
    pub(super) fn add_module(&mut self, start: u64, len: u64) {
        if len > 0 {
            let _ = self.modules.try_push(Module { start: PhysAddr::new_truncate(start), len });
        }
    }

    /// Takes over the command line, as much of it as fits, up to the first byte that is not UTF-8.
    pub(super) fn set_command_line(&mut self, line: &[u8]) {
        for chunk in line.utf8_chunks() {
            for c in chunk.valid().chars() {
                if self.command_line.try_push(c).is_err() {
                    return;
                }
            }
            if !chunk.invalid().is_empty() {
                return;
            }
        }
    }
}
