//! From the loader's memory map to the frame allocator, the heap and the kernel's own page tables.

use core::sync::atomic::{AtomicU64, Ordering};

use arrayvec::ArrayVec;
use memory::{
    DirectMap, Frames, ImageSegment, KernelHeap, KernelLayout, KernelTables, MemoryRegion, PagingFeatures, Prot,
};
use sync::Once;
use types::{PAGE_SIZE, PhysAddr};

use super::{BootInfo, DIRECT_MAP_BASE, MemoryKind};

/// Memory below this is left to firmware, trampolines and old devices.
const LOW_MEMORY: u64 = 1 << 20;
/// What every boot door's page tables reach.
const BOOT_REACH: u64 = 4 << 30;
/// Part of memory that only the kernel may use, and its bounds in frames: a 64th, 1 MiB to 64 MiB.
const RESERVE_SHARE: u64 = 64;
const RESERVE_MIN: u64 = 256;
const RESERVE_MAX: u64 = 16_384;

#[global_allocator]
static HEAP: KernelHeap = KernelHeap::new();
static FRAMES: Once<Frames> = Once::new();
static TABLES: Once<KernelTables> = Once::new();

/// Free physical memory of a boot, in pieces.
type Regions = ArrayVec<MemoryRegion, 512>;

unsafe extern "C" {
    static __kernel_start: u8;
    static __text_start: u8;
    static __text_end: u8;
    static __rodata_end: u8;
    static __kernel_end: u8;
}

/// The frame allocator. Only after [`init`].
#[expect(clippy::expect_used, reason = "a call before init is a bug of the kernel's own start")]
pub(crate) fn frames() -> &'static Frames {
    FRAMES.get().expect("frames are used before boot::memory::init")
}

/// The kernel half of all page tables. Only after [`init`].
#[expect(clippy::expect_used, reason = "a call before init is a bug of the kernel's own start")]
pub(crate) fn tables() -> &'static KernelTables {
    TABLES.get().expect("page tables are used before boot::memory::init")
}

/// The kernel heap, for its statistics.
pub(crate) fn heap() -> &'static KernelHeap {
    &HEAP
}

/// Sets up frames and heap, switches to the kernel's own page tables, and then takes over the rest of memory.
#[expect(clippy::panic, reason = "without memory there is nothing to boot")]
pub(crate) fn init(boot: &BootInfo, features: PagingFeatures) {
    let usable = free_regions(boot, |kind| kind == MemoryKind::Usable);
    let mut within_reach = Regions::new();
    for region in &usable {
        if region.start < BOOT_REACH {
            let _ = within_reach.try_push(MemoryRegion { end: region.end.min(BOOT_REACH), ..*region });
        }
    }
    // SAFETY: every door maps the first 4 GiB there, the tables built below map all RAM there, and the regions given to
    // the allocator are free by the loader's own word, less what it left in them.
    let map = unsafe { DirectMap::new(DIRECT_MAP_BASE) };
    let total: u64 = usable.iter().map(|region| (region.end - region.start) / PAGE_SIZE as u64).sum();
    let reserve = (total / RESERVE_SHARE).clamp(RESERVE_MIN, RESERVE_MAX);
    let top = boot.regions.iter().filter(|region| region.kind != MemoryKind::Reserved).map(|region| region.end).max();
    let Some(frames) = Frames::with_top(map, &within_reach, reserve, top.unwrap_or(0)) else {
        panic!("memory: no usable region of the loader's map is large enough");
    };
    let frames = FRAMES.call_once(|| frames);
    HEAP.init(frames);

    let mut ram = Regions::new();
    for region in boot.regions.iter().filter(|region| region.kind != MemoryKind::Reserved) {
        let _ = ram.try_push(MemoryRegion { start: region.start, end: region.end, node: 0 });
    }
    let layout = KernelLayout { ram: &ram, image: &image_segments(boot), features };
    let tables = match KernelTables::build(frames, &layout) {
        Ok(tables) => TABLES.call_once(|| tables),
        Err(error) => panic!("memory: no room for the kernel's page tables: {error:?}"),
    };
    // SAFETY: the new tables map the image and the direct map as the old ones do, and live for ever.
    unsafe { hal_x86_64::paging::activate(tables.root()) };

    for region in usable.iter().filter(|region| region.end > BOOT_REACH) {
        frames.add_region(MemoryRegion { start: region.start.max(BOOT_REACH), ..*region });
    }
    for region in free_regions(boot, |kind| kind == MemoryKind::Reclaimable) {
        frames.add_region(region);
    }
}

/// Gives the memory of the boot modules to the allocator: their content has been copied.
pub(crate) fn release_modules(boot: &BootInfo) {
    let page = PAGE_SIZE as u64;
    for module in &boot.modules {
        // Only whole pages that nothing else shares.
        let start = module.start.as_u64().max(LOW_MEMORY).next_multiple_of(page);
        let end = (module.start.as_u64() + module.len) & !(page - 1);
        let usable = boot
            .regions
            .iter()
            .any(|region| region.kind != MemoryKind::Reserved && region.start <= start && end <= region.end);
        if usable && start < end {
            frames().add_region(MemoryRegion { start, end, node: 0 });
        }
    }
}

/// A page below 1 MiB for the start of other CPUs, that nobody else uses; the highest one.
pub(crate) fn trampoline_page(boot: &BootInfo) -> Option<PhysAddr> {
    let page = PAGE_SIZE as u64;
    let is_free = |start: u64| {
        let end = start + page;
        let inside = boot
            .regions
            .iter()
            .any(|region| region.kind != MemoryKind::Reserved && region.start <= start && end <= region.end);
        let reserved = boot
            .regions
            .iter()
            .any(|region| region.kind == MemoryKind::Reserved && region.start < end && start < region.end);
        let module = boot.modules.iter().any(|module| {
            let at = module.start.as_u64();
            at < end && start < at + module.len
        });
        inside && !reserved && !module
    };
    // Page 0 holds the BIOS's vectors, and 0xa0000 is where the hole for video memory begins.
    (1..0xa0).rev().map(|number| number * page).find(|start| is_free(*start)).map(PhysAddr::new)
}

/// Page tables for the start of other CPUs: the first 2 MiB identically, and the kernel's half.
pub(crate) fn trampoline_tables(boot: &BootInfo) -> PhysAddr {
    const ENTRIES: usize = 512;
    const PRESENT_WRITABLE: u64 = 3;
    const LARGE: u64 = 0x80;

    #[repr(C, align(4096))]
    struct Table([AtomicU64; ENTRIES]);
    /// In the image, so that its address fits the 32 bits that a CPU can load before long mode.
    static TABLES: [Table; 3] = [const { Table([const { AtomicU64::new(0) }; ENTRIES]) }; 3];

    let physical = |table: &'static Table| in_image(boot, core::ptr::from_ref(table).cast()).as_u64();
    let [top, second, third] = &TABLES;
    let kernel = tables().root();
    // SAFETY: the kernel's top table is a frame of its own in the direct map, and its upper half never changes.
    let kernel = unsafe { &*((DIRECT_MAP_BASE + kernel.as_u64()) as *const Table) };
    for (slot, entry) in top.0.iter().zip(&kernel.0).skip(ENTRIES / 2) {
        slot.store(entry.load(Ordering::Relaxed), Ordering::Relaxed);
    }
    for (table, value) in [
        (top, physical(second) | PRESENT_WRITABLE),
        (second, physical(third) | PRESENT_WRITABLE),
        (third, PRESENT_WRITABLE | LARGE),
    ] {
        if let Some(first) = table.0.first() {
            first.store(value, Ordering::Relaxed);
        }
    }
    PhysAddr::new(physical(top))
}

/// Where the kernel's image has `at`, one of its constants or statics, in physical memory.
pub(crate) fn in_image(boot: &BootInfo, at: *const ()) -> PhysAddr {
    boot.kernel_start + (at as u64 - address(&raw const __kernel_start))
}

/// Page-aligned pieces of memory of the wanted kinds, without low memory, reserved ranges, the kernel image and modules.
fn free_regions(boot: &BootInfo, wanted: impl Fn(MemoryKind) -> bool) -> Regions {
    let page = PAGE_SIZE as u64;
    let mut pieces = Regions::new();
    for region in boot.regions.iter().filter(|region| wanted(region.kind)) {
        let start = region.start.max(LOW_MEMORY).next_multiple_of(page);
        let end = region.end & !(page - 1);
        if start < end {
            let _ = pieces.try_push(MemoryRegion { start, end, node: 0 });
        }
    }
    let image = boot.kernel_start.as_u64();
    cut(&mut pieces, image, image + image_len());
    for module in &boot.modules {
        cut(&mut pieces, module.start.as_u64(), module.start.as_u64() + module.len);
    }
    for region in boot.regions.iter().filter(|region| region.kind == MemoryKind::Reserved) {
        cut(&mut pieces, region.start, region.end);
    }
    pieces
}

/// Takes `start .. end`, widened to whole pages, out of `pieces`.
fn cut(pieces: &mut Regions, start: u64, end: u64) {
    let page = PAGE_SIZE as u64;
    let (start, end) = (start & !(page - 1), end.next_multiple_of(page));
    let mut rest = Regions::new();
    for piece in pieces.iter() {
        for (from, to) in [(piece.start, piece.end.min(start)), (piece.start.max(end), piece.end)] {
            if from < to {
                let _ = rest.try_push(MemoryRegion { start: from, end: to, ..*piece });
            }
        }
    }
    *pieces = rest;
}

fn address(symbol: *const u8) -> u64 {
    symbol as u64
}

fn image_len() -> u64 {
    address(&raw const __kernel_end) - address(&raw const __kernel_start)
}

/// The parts of the image with their rights, as the linker script laid them out.
fn image_segments(boot: &BootInfo) -> [ImageSegment; 4] {
    let start = address(&raw const __kernel_start);
    let bounds = [
        (start, address(&raw const __text_start), Prot::READ | Prot::EXEC),
        (address(&raw const __text_start), address(&raw const __text_end), Prot::READ | Prot::EXEC),
        (address(&raw const __text_end), address(&raw const __rodata_end), Prot::READ),
        (address(&raw const __rodata_end), address(&raw const __kernel_end), Prot::READ | Prot::WRITE),
    ];
    bounds.map(|(from, to, prot)| ImageSegment {
        virt: from,
        phys: boot.kernel_start.as_u64() + (from - start),
        len: to - from,
        prot,
    })
}
