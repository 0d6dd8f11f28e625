//! What is known about each frame: an array per 16 MiB section, found through a table of sections.
//!
//! Sections without RAM have none, so holes in the physical address space cost one pointer each.

use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

use types::PhysAddr;

use super::DirectMap;

/// Frames described by one section.
pub(crate) const FRAMES_PER_SECTION: u64 = 4096;
/// Frames of a chunk: as many as a bitmap word has bits.
const FRAMES_PER_CHUNK: u64 = 64;
/// Bytes of a section's description, whole pages.
pub(crate) const SECTION_BYTES: u64 = (size_of::<Section>() as u64).next_multiple_of(4096);

/// One frame. All zero: not handed out.
#[repr(C)]
pub(crate) struct FrameMeta {
    /// References; 0 while free.
    pub(crate) refs: AtomicU32,
    /// [`crate::FrameKind`].
    pub(crate) kind: AtomicU8,
    /// Of a page table: entries that hold a frame.
    pub(crate) entries: AtomicU16,
    /// Of a page table: bit n is set if one of the entries 8n .. 8n + 8 was ever set.
    pub(crate) groups: AtomicU64,
}

/// 64 frames in a row, the unit of the buddy. Guarded by its zone's lock.
#[repr(C)]
pub(crate) struct ChunkMeta {
    /// Bit n is set: frame n is free (while the whole chunk is with the buddy: 0).
    pub(crate) free: AtomicU64,
    /// Next chunk with some frames free, as chunk number.
    pub(crate) next: AtomicU32,
    /// The one before it.
    pub(crate) prev: AtomicU32,
    /// Zone.
    pub(crate) zone: AtomicU32,
}

#[repr(C)]
struct Section {
    frames: [FrameMeta; FRAMES_PER_SECTION as usize],
    chunks: [ChunkMeta; (FRAMES_PER_SECTION / FRAMES_PER_CHUNK) as usize],
}

/// The table of sections.
pub(crate) struct Metadata {
    map: DirectMap,
    sections: &'static [AtomicPtr<Section>],
}

impl Metadata {
    /// A table of `count` sections, none described yet, in the memory at `at`.
    ///
    /// The caller gives `count * 8` bytes of mapped memory that nobody else uses.
    pub(crate) fn new(map: DirectMap, at: PhysAddr, count: usize) -> Self {
        let table = map.pointer(at).cast::<AtomicPtr<Section>>();
        // SAFETY: the memory is given to us and large enough.
        unsafe { ptr::write_bytes(table, 0, count) };
        // SAFETY: just written; null pointers are valid; never freed.
        let sections = unsafe { core::slice::from_raw_parts(table, count) };
        Self { map, sections }
    }

    /// Fills the memory at `at` with `count` values for ever.
    ///
    /// The caller gives `count * size_of::<T>()` bytes of mapped, page-aligned memory that nobody else uses.
    pub(crate) fn place<T>(map: DirectMap, at: PhysAddr, count: usize, make: impl Fn() -> T) -> &'static [T] {
        const { assert!(align_of::<T>() <= 4096) };
        let array = map.pointer(at).cast::<T>();
        for index in 0..count {
            // SAFETY: the memory is given to us, aligned and large enough.
            unsafe { array.wrapping_add(index).write(make()) };
        }
        // SAFETY: all values are written; never freed.
        unsafe { core::slice::from_raw_parts(array, count) }
    }

    /// Describes section `index` in the [`SECTION_BYTES`] at `at`; `false` if it is beyond the table.
    pub(crate) fn install(&self, index: u64, at: PhysAddr) -> bool {
        let Some(slot) = self.sections.get(index as usize) else { return false };
        let section = self.map.pointer(at).cast::<Section>();
        // SAFETY: the memory is given to us and large enough; all zero is a valid section.
        unsafe { ptr::write_bytes(section, 0, 1) };
        slot.store(section, Ordering::Release);
        true
    }

    /// Whether section `index` could be described: it is within the table.
    pub(crate) fn covers(&self, index: u64) -> bool {
        index < self.sections.len() as u64
    }

    /// Whether section `index` is described.
    pub(crate) fn has(&self, index: u64) -> bool {
        self.section(index).is_some()
    }

    #[inline]
    fn section(&self, index: u64) -> Option<&'static Section> {
        let section = self.sections.get(index as usize)?.load(Ordering::Acquire);
        // SAFETY: null or a section installed for ever.
        unsafe { section.as_ref() }
    }

    /// What is known about the frame with that number.
    #[inline]
    pub(crate) fn frame(&self, number: u64) -> Option<&'static FrameMeta> {
        self.section(number / FRAMES_PER_SECTION)?.frames.get((number % FRAMES_PER_SECTION) as usize)
    }

    /// A look at frames most of which lie near the frame with that number.
    #[inline]
    pub(crate) fn near(&self, number: u64) -> Option<Near<'_>> {
        let index = number / FRAMES_PER_SECTION;
        Some(Near { metadata: self, index, section: self.section(index)? })
    }

    /// What is known about the chunk with that number.
    #[inline]
    pub(crate) fn chunk(&self, number: u64) -> Option<&'static ChunkMeta> {
        let per_section = FRAMES_PER_SECTION / FRAMES_PER_CHUNK;
        self.section(number / per_section)?.chunks.get((number % per_section) as usize)
    }
}

/// Remembers the section of the frame asked for last.
pub(crate) struct Near<'a> {
    metadata: &'a Metadata,
    index: u64,
    section: &'static Section,
}

impl Near<'_> {
    /// As [`Metadata::frame`].
    #[inline]
    pub(crate) fn frame(&mut self, number: u64) -> Option<&'static FrameMeta> {
        let index = number / FRAMES_PER_SECTION;
        if index != self.index {
            self.go_to(index)?;
        }
        self.section.frames.get((number % FRAMES_PER_SECTION) as usize)
    }

    #[cold]
    fn go_to(&mut self, index: u64) -> Option<()> {
        self.section = self.metadata.section(index)?;
        self.index = index;
        Some(())
    }
}
