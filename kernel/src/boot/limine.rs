//! The Limine door: the ISO on PCs and in QEMU, BIOS and UEFI (Limine boot protocol, base revision 2).

use limine::BaseRevision;
use limine::memory_map::EntryType;
use limine::request::{
    ExecutableAddressRequest, ExecutableFileRequest, FramebufferRequest, HhdmRequest, MemoryMapRequest, ModuleRequest,
    RequestsEndMarker, RequestsStartMarker, RsdpRequest,
};
use types::PhysAddr;

use super::info::{BootInfo, Door, Framebuffer, MemoryKind};
use super::physical::DIRECT_MAP_BASE;

#[used]
#[unsafe(link_section = ".requests_start_marker")]
static START: RequestsStartMarker = RequestsStartMarker::new();
#[used]
#[unsafe(link_section = ".requests_end_marker")]
static END: RequestsEndMarker = RequestsEndMarker::new();
/// Revision 2 is the newest that Limine 8.2 knows.
#[used]
#[unsafe(link_section = ".requests")]
static BASE_REVISION: BaseRevision = BaseRevision::with_revision(2);
#[used]
#[unsafe(link_section = ".requests")]
static HIGHER_HALF: HhdmRequest = HhdmRequest::new();
#[used]
#[unsafe(link_section = ".requests")]
static MEMORY_MAP: MemoryMapRequest = MemoryMapRequest::new();
#[used]
#[unsafe(link_section = ".requests")]
static KERNEL_ADDRESS: ExecutableAddressRequest = ExecutableAddressRequest::new();
/// The command line comes with the file: Limine 8.2 does not answer the newer request for it.
#[used]
#[unsafe(link_section = ".requests")]
static KERNEL_FILE: ExecutableFileRequest = ExecutableFileRequest::new();
#[used]
#[unsafe(link_section = ".requests")]
static MODULES: ModuleRequest = ModuleRequest::new();
#[used]
#[unsafe(link_section = ".requests")]
static RSDP: RsdpRequest = RsdpRequest::new();
#[used]
#[unsafe(link_section = ".requests")]
static FRAMEBUFFER: FramebufferRequest = FramebufferRequest::new();

/// Called by `limine_start` on the kernel's own boot stack.
#[unsafe(no_mangle)]
extern "C" fn limine_main(entry_tsc: u64) -> ! {
    crate::main(collect(entry_tsc))
}

/// An address of Limine's direct map, or already a physical one, as a physical address.
fn physical(address: u64) -> u64 {
    address.checked_sub(DIRECT_MAP_BASE).unwrap_or(address)
}

fn collect(entry_tsc: u64) -> BootInfo {
    assert!(BASE_REVISION.is_supported(), "limine: base revision 2 is not supported by this loader");
    let offset = HIGHER_HALF.get_response().map(|response| response.offset());
    assert!(offset == Some(DIRECT_MAP_BASE), "limine: direct map at {offset:x?}, not where the kernel expects it");
    let kernel_start = KERNEL_ADDRESS.get_response().map_or(0, |response| response.physical_base());
    // The image is linked 2 MiB into its window, and Limine loads it from its first segment on.
    let mut boot = BootInfo::new(Door::Limine, PhysAddr::new_truncate(kernel_start), entry_tsc);
    if let Some(response) = MEMORY_MAP.get_response() {
        for entry in response.entries() {
            let kind = match entry.entry_type {
                EntryType::USABLE => MemoryKind::Usable,
                EntryType::BOOTLOADER_RECLAIMABLE => MemoryKind::Reclaimable,
                EntryType::EXECUTABLE_AND_MODULES => MemoryKind::Loaded,
                _ => MemoryKind::Reserved,
            };
            boot.add_region(entry.base, entry.length, kind);
        }
    }
    if let Some(response) = KERNEL_FILE.get_response() {
        boot.set_command_line(response.file().string().to_bytes());
    }
    if let Some(response) = MODULES.get_response() {
        for file in response.modules() {
            boot.add_module(physical(file.addr() as u64), file.size());
        }
    }
    boot.rsdp = RSDP.get_response().map(|response| PhysAddr::new_truncate(physical(response.address() as u64)));
    if let Some(framebuffer) = FRAMEBUFFER.get_response().and_then(|response| response.framebuffers().next()) {
        boot.framebuffer = Some(Framebuffer {
            address: PhysAddr::new_truncate(physical(framebuffer.addr() as u64)),
            width: framebuffer.width() as u32,
            height: framebuffer.height() as u32,
            pitch: framebuffer.pitch() as u32,
            bits_per_pixel: framebuffer.bpp() as u8,
        });
    }
    boot
}
