//! The kernel half of every address space.

use sync::{Rank, SpinLock};
use types::{PhysAddr, VirtAddr};

use crate::raw::DirectMap;
use crate::{Frames, MemoryError, MemoryRegion, Prot, Pte, Purpose};
use core::sync::atomic::Ordering;

const PAGE: u64 = 4096;
/// Below this everything that is not RAM is taken for device registers.
const LOW_MMIO_END: u64 = 4 << 30;
/// Most pieces of RAM that are told apart; further ones are not mapped (real machines have some dozens).
const MOST_RANGES: usize = 128;
/// Most mappings of [`KernelTables::map_mmio`] that are remembered.
const MOST_MMIO: usize = 64;

/// A part of the kernel image: mapped with 4 KiB pages and exactly these rights (never writable and executable).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageSegment {
    /// Where it is linked.
    pub virt: u64,
    /// Where it was loaded.
    pub phys: u64,
    /// Bytes.
    pub len: u64,
    /// Rights.
    pub prot: Prot,
}

/// What the CPU's paging can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct PagingFeatures {
    /// 1 GiB pages.
    pub gib_pages: bool,
    /// The no-execute bit.
    pub no_execute: bool,
    /// Global pages.
    pub global_pages: bool,
}

/// What the kernel half contains.
#[derive(Clone, Copy, Debug)]
pub struct KernelLayout<'a> {
    /// All RAM, used or not: mapped writable (but for read-only parts of the image), not executable, in the direct map.
    pub ram: &'a [MemoryRegion],
    /// The kernel image.
    pub image: &'a [ImageSegment],
    /// What paging can do.
    pub features: PagingFeatures,
}

/// The kernel's page tables. Every address space has the same entries in the upper half of its top table; they are all there
/// from the start, so later mappings show everywhere.
pub struct KernelTables {
    root: PhysAddr,
    builder: Builder,
    mmio: SpinLock<Mmio>,
}

struct Mmio {
    next: u64,
    known: [(u64, u64, u64); MOST_MMIO],
}

impl KernelTables {
    /// Start of the window in which [`KernelTables::map_mmio`] maps what the direct map does not have, and
    /// [`KernelTables::map_stack`] what must have an unmapped page below it.
    pub const MMIO_BASE: u64 = 0xffff_ff00_0000_0000;
    /// Its end: all of one entry of the top table.
    const MMIO_END: u64 = Self::MMIO_BASE + (512 << 30);

    /// Builds the kernel half: RAM and, below 4 GiB, everything else uncached, with the largest pages there are; the image.
    /// Uses no heap.
    ///
    /// # Errors
    ///
    /// [`MemoryError::NoMemory`]; `Invalid` for a segment that is writable and executable.
    pub fn build(frames: &'static Frames, layout: &KernelLayout<'_>) -> Result<Self, MemoryError> {
        let builder = Builder { frames, map: frames.direct_map(), features: layout.features };
        let root = builder.new_table()?;
        let ranges = Ranges::of(layout.ram);
        let mut done = 0;
        for (start, end) in ranges.iter() {
            builder.map_direct(root, done, start.min(LOW_MMIO_END), Caching::Device)?;
            builder.map_ram(root, start, end, layout.image)?;
            done = end;
        }
        builder.map_direct(root, done, LOW_MMIO_END, Caching::Device)?;
        for segment in layout.image {
            if segment.prot.contains(Prot::WRITE | Prot::EXEC) {
                return Err(MemoryError::Invalid);
            }
            let (virt, phys) = (segment.virt & !(PAGE - 1), segment.phys & !(PAGE - 1));
            let end = (segment.virt + segment.len).next_multiple_of(PAGE);
            builder.map_small(root, virt, phys, end - virt, segment.prot)?;
        }
        builder.child(root, Self::MMIO_BASE, 4)?;
        let mmio = Mmio { next: Self::MMIO_BASE, known: [(0, 0, 0); MOST_MMIO] };
        Ok(Self { root, builder, mmio: SpinLock::new(Rank::ADDRESS_SPACE, mmio) })
    }

    /// The top table, for CR3 while no process runs.
    pub fn root(&self) -> PhysAddr {
        self.root
    }

    /// Maps device registers uncached; the same range may be asked for again.
    ///
    /// # Errors
    ///
    /// `NoMemory`: no frame for a table, or the window is full. `Invalid`: the range wraps.
    pub fn map_mmio(&self, phys: PhysAddr, len: u64) -> Result<VirtAddr, MemoryError> {
        let phys = phys.as_u64();
        let end = phys.checked_add(len).ok_or(MemoryError::Invalid)?;
        if end <= LOW_MMIO_END {
            return Ok(self.builder.map.virt(PhysAddr::new_truncate(phys)));
        }
        let (first, offset) = (phys & !(PAGE - 1), phys % PAGE);
        let size = end.checked_next_multiple_of(PAGE).ok_or(MemoryError::Invalid)? - first;
        let mut mmio = self.mmio.lock();
        let known = mmio.known.iter().find(|(at, len, _)| *len != 0 && *at <= first && first + size <= at + len);
        if let Some((at, _, virt)) = known {
            return Ok(VirtAddr::new_truncate(virt + (first - at) + offset));
        }
        let virt = self.map_in_window(&mut mmio, first, size, PAGE, Caching::Device)?;
        if let Some(slot) = mmio.known.iter_mut().find(|(_, len, _)| *len == 0) {
            *slot = (first, size, virt);
        }
        Ok(VirtAddr::new_truncate(virt + offset))
    }

    /// Maps memory a second time, for a kernel stack: the pages below and above stay unmapped, so that a stack that runs over
    /// faults instead of writing over what lies beside it in the direct map. The address is a multiple of the length.
    ///
    /// # Errors
    ///
    /// `NoMemory`: no frame for a table, or the window is full. `Invalid` for what is not page-aligned, or a length that is
    /// no power of two.
    pub fn map_stack(&self, phys: PhysAddr, len: u64) -> Result<VirtAddr, MemoryError> {
        if !phys.is_aligned(PAGE) || !len.is_multiple_of(PAGE) || !len.is_power_of_two() {
            return Err(MemoryError::Invalid);
        }
        let virt = self.map_in_window(&mut self.mmio.lock(), phys.as_u64(), len, len, Caching::Memory)?;
        Ok(VirtAddr::new_truncate(virt))
    }

    /// Maps whole pages at the next free place of the window, with an unmapped page on either side.
    fn map_in_window(
        &self,
        window: &mut Mmio,
        phys: u64,
        size: u64,
        align: u64,
        caching: Caching,
    ) -> Result<u64, MemoryError> {
        let virt = (window.next + PAGE).next_multiple_of(align);
        if virt >= Self::MMIO_END || size > Self::MMIO_END - virt {
            return Err(MemoryError::NoMemory);
        }
        self.builder.map_range(self.root, virt, phys, size, self.builder.data_bits(caching), 1)?;
        window.next = virt + size;
        Ok(virt)
    }

    /// Maps pages exactly there in the kernel's own root. In the lower half only this root has them (for the start of other
    /// CPUs); in the upper half `virt` lies in an entry of the top table that exists already.
    ///
    /// # Errors
    ///
    /// `NoMemory`; `Invalid` for what is not page-aligned or is writable and executable.
    pub fn map_fixed(&self, virt: u64, phys: PhysAddr, len: u64, prot: Prot) -> Result<(), MemoryError> {
        let aligned = virt.is_multiple_of(PAGE) && phys.is_aligned(PAGE) && len.is_multiple_of(PAGE);
        if !aligned || prot.contains(Prot::WRITE | Prot::EXEC) {
            return Err(MemoryError::Invalid);
        }
        let _one_at_a_time = self.mmio.lock();
        self.builder.map_small(self.root, virt, phys.as_u64(), len, prot)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Caching {
    Memory,
    ReadOnlyMemory,
    Device,
}

struct Builder {
    frames: &'static Frames,
    map: DirectMap,
    features: PagingFeatures,
}

impl Builder {
    fn new_table(&self) -> Result<PhysAddr, MemoryError> {
        self.frames.alloc_zeroed(Purpose::Kernel).ok_or(MemoryError::NoMemory)
    }

    fn page_bits(&self, prot: Prot) -> u64 {
        let mut bits = Pte::PRESENT | Pte::ACCESSED | Pte::DIRTY;
        if prot.contains(Prot::WRITE) {
            bits |= Pte::WRITE;
        }
        if !prot.contains(Prot::EXEC) && self.features.no_execute {
            bits |= Pte::NO_EXECUTE;
        }
        if self.features.global_pages {
            bits |= Pte::GLOBAL;
        }
        bits
    }

    fn data_bits(&self, caching: Caching) -> u64 {
        match caching {
            Caching::Memory => self.page_bits(Prot::READ | Prot::WRITE),
            Caching::ReadOnlyMemory => self.page_bits(Prot::READ),
            Caching::Device => self.page_bits(Prot::READ | Prot::WRITE) | Pte::NO_CACHE | Pte::WRITE_THROUGH,
        }
    }

    /// RAM in the direct map; what the image has read-only is so here too, or a stray store would reach code this way.
    fn map_ram(&self, root: PhysAddr, start: u64, end: u64, image: &[ImageSegment]) -> Result<(), MemoryError> {
        let read_only = |segment: &&ImageSegment| !segment.prot.contains(Prot::WRITE) && segment.len != 0;
        let range =
            |segment: &ImageSegment| (segment.phys & !(PAGE - 1), (segment.phys + segment.len).next_multiple_of(PAGE));
        let mut at = start;
        while at < end {
            let inside = image.iter().filter(read_only).map(range).find(|(from, to)| *from <= at && at < *to);
            let (stop, caching) = match inside {
                Some((_, to)) => (to, Caching::ReadOnlyMemory),
                None => {
                    let next = image.iter().filter(read_only).map(|segment| range(segment).0).filter(|from| *from > at);
                    (next.min().unwrap_or(end), Caching::Memory)
                }
            };
            self.map_direct(root, at, stop.min(end), caching)?;
            at = stop;
        }
        Ok(())
    }

    fn map_direct(&self, root: PhysAddr, start: u64, end: u64, caching: Caching) -> Result<(), MemoryError> {
        if start >= end {
            return Ok(());
        }
        let virt = self.map.virt(PhysAddr::new_truncate(start)).as_u64();
        let largest = if self.features.gib_pages { 3 } else { 2 };
        self.map_range(root, virt, start, end - start, self.data_bits(caching), largest)
    }

    fn map_small(&self, root: PhysAddr, virt: u64, phys: u64, len: u64, prot: Prot) -> Result<(), MemoryError> {
        self.map_range(root, virt, phys, len, self.page_bits(prot), 1)
    }

    /// Maps with pages of up to level `largest`, as alignment allows.
    fn map_range(
        &self,
        root: PhysAddr,
        virt: u64,
        phys: u64,
        len: u64,
        bits: u64,
        largest: u32,
    ) -> Result<(), MemoryError> {
        let mut done = 0;
        while done < len {
            let (at, from) = (virt + done, phys + done);
            let fits = |level: &u32| (at | from).is_multiple_of(span(*level)) && span(*level) <= len - done;
            let level = (1..=largest).rev().find(fits).unwrap_or(1);
            let mut table = root;
            for upper in (level + 1..=4).rev() {
                table = self.child(table, at, upper)?;
            }
            let large = if level > 1 { Pte::LARGE } else { 0 };
            self.fill(table, index(at, level), Pte(from | bits | large));
            done += span(level);
        }
        Ok(())
    }

    /// The table behind the entry of `virt` in `table`, a table of `level`; made if it is not there.
    fn child(&self, table: PhysAddr, virt: u64, level: u32) -> Result<PhysAddr, MemoryError> {
        let at = index(virt, level);
        let entry = self.map.table(table).get(at);
        if entry.is_present() {
            return Ok(entry.frame());
        }
        let child = self.new_table()?;
        self.fill(table, at, Pte::table(child).without(Pte::USER));
        Ok(child)
    }

    fn fill(&self, table: PhysAddr, at: usize, entry: Pte) {
        if let Some(meta) = self.frames.meta(table) {
            meta.groups.fetch_or(1 << (at / 8), Ordering::Relaxed);
        }
        self.map.table(table).set(at, entry);
    }
}

const fn span(level: u32) -> u64 {
    1 << (3 + 9 * level)
}

const fn index(address: u64, level: u32) -> usize {
    (address >> (3 + 9 * level)) as usize & 511
}

/// RAM in whole pages, sorted, what touches joined.
struct Ranges {
    ranges: [(u64, u64); MOST_RANGES],
    len: usize,
}

impl Ranges {
    fn of(regions: &[MemoryRegion]) -> Self {
        let mut sorted = Self { ranges: [(0, 0); MOST_RANGES], len: 0 };
        for region in regions {
            let (mut start, mut end) = (region.start & !(PAGE - 1), region.end.next_multiple_of(PAGE));
            // Take out all that touch, put the union in.
            let mut kept = 0;
            for at in 0..sorted.len {
                let Some((from, to)) = sorted.ranges.get(at).copied() else { break };
                if from <= end && start <= to {
                    (start, end) = (start.min(from), end.max(to));
                } else if let Some(slot) = sorted.ranges.get_mut(kept) {
                    *slot = (from, to);
                    kept += 1;
                }
            }
            if let Some(slot) = sorted.ranges.get_mut(kept) {
                *slot = (start, end);
                kept += 1;
            }
            sorted.len = kept;
        }
        if let Some(used) = sorted.ranges.get_mut(..sorted.len) {
            used.sort_unstable();
        }
        sorted
    }

    fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        self.ranges.iter().take(self.len).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::machine;

    /// Physical address, bits and level at `virt`, as the hardware finds them.
    fn look(tables: &KernelTables, virt: u64) -> Option<(u64, Pte, u32)> {
        let mut table = tables.root();
        for level in (1..=4).rev() {
            let entry = tables.builder.map.table(table).get(index(virt, level));
            if !entry.is_present() {
                return None;
            }
            if level == 1 || entry.has(Pte::LARGE) {
                let base = entry.frame().as_u64() & !(span(level) - 1);
                return Some((base + virt % span(level), entry, level));
            }
            table = entry.frame();
        }
        None
    }

    fn build(features: PagingFeatures) -> KernelTables {
        let frames = machine(4096, 0);
        let region = |start, end| MemoryRegion { start, end, node: 0 };
        let ram = [
            region(0x10_0000, 0x2000_0000),
            region(0, 0x9_fc00),
            region(1 << 32, 0x1_8000_0000),
            region(0x3000, 0x8_0000),
        ];
        let segment = |virt, phys, len, prot| ImageSegment { virt, phys, len, prot };
        let image = [
            segment(0xffff_ffff_8020_0000, 0x20_0000, 0x3_0123, Prot::READ | Prot::EXEC),
            segment(0xffff_ffff_8023_1000, 0x23_1000, 0x5000, Prot::READ),
            segment(0xffff_ffff_8023_6000, 0x23_6000, 0x8000, Prot::READ | Prot::WRITE),
        ];
        KernelTables::build(frames, &KernelLayout { ram: &ram, image: &image, features }).unwrap()
    }

    #[test]
    fn direct_map_has_ram_cached_and_devices_not() {
        for gib_pages in [false, true] {
            let tables = build(PagingFeatures { gib_pages, no_execute: true, global_pages: true });
            let virt = |phys: u64| tables.builder.map.virt(PhysAddr::new(phys)).as_u64();
            for (phys, device, writable) in [
                (0x5008, false, true),
                (0x9_f000, false, true),
                (0xb_8000, true, true),
                (0x20_0000, false, false),
                (0x23_0ff8, false, false),
                (0x23_7000, false, true),
                (0x1fff_fff8, false, true),
                (0x2000_0000, true, true),
                (0xfee0_0000, true, true),
                (0x1_0000_0008, false, true),
                (0x1_7fff_f000, false, true),
            ] {
                let (to, entry, _) = look(&tables, virt(phys)).unwrap();
                assert_eq!(to, phys);
                assert_eq!(entry.has(Pte::NO_CACHE), device, "{phys:x}");
                assert_eq!(entry.is_writable(), writable, "{phys:x}");
                assert!(!entry.is_executable() && !entry.is_user());
            }
            assert!(look(&tables, virt(0x1_8000_0000)).is_none());
            assert_eq!(look(&tables, virt(0x1_4000_0000)).unwrap().2, if gib_pages { 3 } else { 2 });
        }
    }

    #[test]
    fn nothing_is_writable_and_executable() {
        let tables = build(PagingFeatures { no_execute: true, ..PagingFeatures::default() });
        let (phys, entry, level) = look(&tables, 0xffff_ffff_8023_0100).unwrap();
        assert!(phys == 0x23_0100 && entry.is_executable() && !entry.is_writable() && level == 1);
        let (_, entry, _) = look(&tables, 0xffff_ffff_8023_6000).unwrap();
        assert!(!entry.is_executable() && entry.is_writable());
        assert!(look(&tables, 0xffff_ffff_8023_e000).is_none());
        let bad = tables.map_fixed(0x8000, PhysAddr::new(0x8000), 4096, Prot::WRITE | Prot::EXEC);
        assert_eq!(bad, Err(MemoryError::Invalid));
    }

    #[test]
    fn a_stack_has_unmapped_pages_on_both_sides() {
        let tables = build(PagingFeatures { no_execute: true, ..PagingFeatures::default() });
        tables.map_mmio(PhysAddr::new(0x38_0000_0000), 4096).unwrap();
        for block in [0x40_0000, 0x50_0000] {
            let stack = tables.map_stack(PhysAddr::new(block), 0x1_0000).unwrap().as_u64();
            for offset in [0, 0xfff8, 0x8008] {
                let (phys, entry, _) = look(&tables, stack + offset).unwrap();
                assert_eq!(phys, block + offset);
                assert!(entry.is_writable() && !entry.is_executable() && !entry.is_user() && !entry.has(Pte::NO_CACHE));
            }
            assert!(look(&tables, stack - 8).is_none());
            assert!(look(&tables, stack + 0x1_0000).is_none());
            assert!(stack.is_multiple_of(0x1_0000));
        }
        assert_eq!(tables.map_stack(PhysAddr::new(0x40_0008), 4096), Err(MemoryError::Invalid));
    }

    #[test]
    fn devices_are_mapped_once_without_new_top_entries() {
        let tables = build(PagingFeatures::default());
        let top: std::vec::Vec<_> = (256..512).map(|at| tables.builder.map.table(tables.root()).get(at)).collect();
        let low = tables.map_mmio(PhysAddr::new(0xfec0_0000), 4096).unwrap();
        assert_eq!(low, tables.builder.map.virt(PhysAddr::new(0xfec0_0000)));
        let high = tables.map_mmio(PhysAddr::new(0x38_0000_0234), 0x2000).unwrap();
        assert_eq!(
            tables.map_mmio(PhysAddr::new(0x38_0000_1000), 16).unwrap().as_u64(),
            high.as_u64() - 0x234 + 0x1000
        );
        let (phys, entry, _) = look(&tables, high.as_u64()).unwrap();
        assert!(phys == 0x38_0000_0234 && entry.has(Pte::NO_CACHE));
        assert!(tables.map_mmio(PhysAddr::new(0x40_0000_0000), 1 << 40).is_err());
        tables.map_fixed(0x8000, PhysAddr::new(0x8000), 4096, Prot::READ | Prot::EXEC).unwrap();
        assert_eq!(look(&tables, 0x8010).unwrap().0, 0x8010);
        assert!(
            top.iter().enumerate().all(|(at, entry)| tables.builder.map.table(tables.root()).get(at + 256) == *entry)
        );
    }
}
