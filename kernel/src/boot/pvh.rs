//! The PVH door: `qemu -kernel`, microvm, Firecracker, Cloud Hypervisor (Xen's `hvm_start_info`).

use types::PhysAddr;

use super::info::{BootInfo, Door, MemoryKind};
use super::physical::{c_string, read};

/// `hvm_start_info.magic`.
const MAGIC: u32 = 0x336e_c578;
/// Load address of the linker script, which this door obeys.
const KERNEL_LMA: u64 = 0x20_0000;

/// Called by the stub, in long mode on the boot page tables.
#[unsafe(no_mangle)]
extern "C" fn pvh_main(info: u64, entry_tsc: u64) -> ! {
    // SAFETY: the loader passes its start info, below 4 GiB and so mapped.
    let boot = unsafe { collect(info, entry_tsc) };
    crate::main(boot)
}

/// # Safety
/// `info` is the physical address of a `hvm_start_info` whose pointers the loader filled in below 4 GiB.
#[expect(clippy::multiple_unsafe_ops_per_block, reason = "one argument covers every read of the loader's tables")]
unsafe fn collect(info: u64, entry_tsc: u64) -> BootInfo {
    let mut boot = BootInfo::new(Door::Pvh, PhysAddr::new(KERNEL_LMA), entry_tsc);
    // SAFETY: all addresses come from the loader's own structure, as the caller vouches.
    unsafe {
        assert!(read::<u32>(info) == MAGIC, "pvh: no start info at {info:#x}");
        let version: u32 = read(info + 4);
        let module_count: u32 = read(info + 12);
        let modules: u64 = read(info + 16);
        boot.set_command_line(c_string(read(info + 24)));
        boot.rsdp = Some(read::<u64>(info + 32)).filter(|rsdp| *rsdp != 0).map(PhysAddr::new_truncate);
        for i in 0..u64::from(module_count) {
            let entry = modules + i * 32;
            boot.add_module(read(entry), read(entry + 8));
        }
        if version >= 1 {
            let map: u64 = read(info + 40);
            let entries: u32 = read(info + 48);
            for i in 0..u64::from(entries) {
                let entry = map + i * 24;
                let usable = read::<u32>(entry + 16) == 1;
                let kind = if usable { MemoryKind::Usable } else { MemoryKind::Reserved };
                boot.add_region(read(entry), read(entry + 8), kind);
            }
        }
    }
    boot
}
