//! The multiboot2 door: GRUB (Multiboot2 Specification 2.0, section 3.6).

use types::PhysAddr;

use super::info::{BootInfo, Door, Framebuffer, MemoryKind};
use super::physical::{c_string, read};

/// Load address of the linker script, which this door obeys.
const KERNEL_LMA: u64 = 0x20_0000;

const TAG_END: u32 = 0;
const TAG_COMMAND_LINE: u32 = 1;
const TAG_MODULE: u32 = 3;
const TAG_MEMORY_MAP: u32 = 6;
const TAG_FRAMEBUFFER: u32 = 8;
const TAG_ACPI_1: u32 = 14;
const TAG_ACPI_2: u32 = 15;

/// Called by the stub, in long mode on the boot page tables.
#[unsafe(no_mangle)]
extern "C" fn multiboot2_main(info: u64, entry_tsc: u64) -> ! {
    // SAFETY: the loader passes its information structure, below 4 GiB and so mapped.
    let boot = unsafe { collect(info, entry_tsc) };
    crate::main(boot)
}

/// # Safety
/// `info` is the physical address of a multiboot2 information structure.
#[expect(clippy::multiple_unsafe_ops_per_block, reason = "one argument covers every read of the loader's tables")]
unsafe fn collect(info: u64, entry_tsc: u64) -> BootInfo {
    let mut boot = BootInfo::new(Door::Multiboot2, PhysAddr::new(KERNEL_LMA), entry_tsc);
    let mut command_line = 0;
    // SAFETY: all addresses lie in the loader's own structure, as the caller vouches.
    unsafe {
        let total = u64::from(read::<u32>(info));
        // The structure and the strings in it are copied before memory is handed out.
        let mut tag = info + 8;
        while tag < info + total {
            let kind: u32 = read(tag);
            let size: u32 = read(tag + 4);
            match kind {
                TAG_END => break,
                TAG_COMMAND_LINE => command_line = tag + 8,
                TAG_MODULE => {
                    let start: u32 = read(tag + 8);
                    let end: u32 = read(tag + 12);
                    boot.add_module(u64::from(start), u64::from(end.saturating_sub(start)));
                }
                TAG_MEMORY_MAP => collect_memory_map(&mut boot, tag, size),
                TAG_FRAMEBUFFER => {
                    boot.framebuffer = Some(Framebuffer {
                        address: PhysAddr::new_truncate(read(tag + 8)),
                        pitch: read(tag + 16),
                        width: read(tag + 20),
                        height: read(tag + 24),
                        bits_per_pixel: read(tag + 28),
                    });
                }
                TAG_ACPI_1 if boot.rsdp.is_none() => boot.rsdp = Some(PhysAddr::new_truncate(tag + 8)),
                TAG_ACPI_2 => boot.rsdp = Some(PhysAddr::new_truncate(tag + 8)),
                _ => {}
            }
            tag += u64::from(size.max(8)).next_multiple_of(8);
        }
        boot.set_command_line(c_string(command_line));
        // The RSDP copy lies inside this structure: keep its pages.
        boot.add_region(info & !0xfff, total + 4096, MemoryKind::Reserved);
    }
    boot
}

/// # Safety
/// `tag` is a memory-map tag of `size` bytes.
#[expect(clippy::multiple_unsafe_ops_per_block, reason = "one argument covers every read of the tag")]
unsafe fn collect_memory_map(boot: &mut BootInfo, tag: u64, size: u32) {
    // SAFETY: the entries lie within the tag.
    unsafe {
        let entry_size = u64::from(read::<u32>(tag + 8)).max(24);
        let mut entry = tag + 16;
        while entry + 24 <= tag + u64::from(size) {
            let usable = read::<u32>(entry + 16) == 1;
            let kind = if usable { MemoryKind::Usable } else { MemoryKind::Reserved };
            boot.add_region(read(entry), read(entry + 8), kind);
            entry += entry_size;
        }
    }
}
