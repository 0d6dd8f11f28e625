//! One area: a range of addresses with one set of rights and one source of bytes.

use alloc::sync::Arc;

use crate::{AreaInfo, AreaKind, MapFlags, Pager, Prot, Sharing};

/// Pages of an object.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) pager: Arc<dyn Pager>,
    /// Offset of the area's first byte.
    pub(super) offset: u64,
}

/// A mapped range, page-aligned, never empty.
#[derive(Clone)]
pub(super) struct Area {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) prot: Prot,
    pub(super) max_prot: Prot,
    pub(super) sharing: Sharing,
    pub(super) flags: MapFlags,
    /// `None`: zeroes.
    pub(super) source: Option<Source>,
}

impl Area {
    pub(super) const fn len(&self) -> u64 {
        self.end - self.start
    }

    pub(super) const fn contains(&self, address: u64) -> bool {
        self.start <= address && address < self.end
    }

    pub(super) const fn is_shared(&self) -> bool {
        matches!(self.sharing, Sharing::Shared)
    }

    pub(super) const fn grows_down(&self) -> bool {
        self.flags.contains(MapFlags::GROWS_DOWN)
    }

    pub(super) const fn is_locked(&self) -> bool {
        self.flags.contains(MapFlags::LOCKED)
    }

    /// Whether it counts against `RLIMIT_DATA`.
    pub(super) const fn is_data(&self) -> bool {
        self.is_data_with(self.prot)
    }

    /// Whether it would, with these rights.
    pub(super) const fn is_data_with(&self, prot: Prot) -> bool {
        !self.is_shared() && prot.contains(Prot::WRITE) && !self.grows_down()
    }

    /// Page number within the object.
    pub(super) fn page_index(&self, source: &Source, address: u64) -> u64 {
        (source.offset + (address - self.start)) / 4096
    }

    /// Cuts off the part from `at` (inside) on, and gives it.
    pub(super) fn split_off(&mut self, at: u64) -> Self {
        let mut rest = self.clone();
        if let Some(source) = &mut rest.source {
            source.offset += at - self.start;
        }
        rest.start = at;
        self.end = at;
        rest
    }

    /// Moves the start, either way; an area that has a source must not begin before its offset 0.
    pub(super) fn set_start(&mut self, start: u64) {
        if let Some(source) = &mut self.source {
            source.offset = source.offset.wrapping_add(start.wrapping_sub(self.start));
        }
        self.start = start;
    }

    /// Whether `next`, which begins where this ends, is the same but for its place.
    pub(super) fn joins(&self, next: &Self) -> bool {
        self.end == next.start
            && self.prot == next.prot
            && self.max_prot == next.max_prot
            && self.sharing == next.sharing
            && self.flags == next.flags
            && !self.grows_down()
            && match (&self.source, &next.source) {
                (None, None) => true,
                (Some(a), Some(b)) => Arc::ptr_eq(&a.pager, &b.pager) && a.offset + self.len() == b.offset,
                _ => false,
            }
    }

    pub(super) fn info(&self, heap: core::ops::Range<u64>) -> AreaInfo {
        let kind = if self.source.is_some() {
            AreaKind::File
        } else if self.flags.contains(MapFlags::STACK) {
            AreaKind::Stack
        } else if self.start < heap.end && heap.start < self.end {
            AreaKind::Heap
        } else {
            AreaKind::Anonymous
        };
        AreaInfo {
            start: self.start,
            end: self.end,
            prot: self.prot,
            sharing: self.sharing,
            offset: self.source.as_ref().map_or(0, |source| source.offset),
            kind,
            pager: self.source.as_ref().map(|source| source.pager.clone()),
            locked: self.is_locked(),
        }
    }
}
