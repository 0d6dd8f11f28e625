//! New mappings: where they go and what they are.

use alloc::sync::Arc;

use types::USER_END;

use super::area::{Area, Source};
use super::fault::Access;
use super::{AddressSpace, GUARD, GapHint, Inner, LOWEST, Layout, Let, PAGE, page_range};
use crate::{Backing, FaultOutcome, MapFlags, MapRequest, MemoryError, Placement, Prot, SharedMemory, Sharing};

impl AddressSpace {
    /// Maps; gives the address.
    ///
    /// # Errors
    ///
    /// `Invalid`; `NoMemory` for no room, a limit or no frames; `Exists`; `AccessDenied` for rights beyond `max_prot`;
    /// `NotPermitted` below the lowest address.
    pub fn map(&self, request: MapRequest) -> Result<u64, MemoryError> {
        let (mut area, placement, populate) = self.plan(request)?;
        let mut let_go = Let::new();
        let mut inner = self.inner.lock();
        if inner.dying {
            return Err(MemoryError::NoMemory);
        }
        let len = area.end;
        area.start = inner.place(placement, len)?;
        area.end = area.start + len;
        let (start, end) = (area.start, area.end);
        area.flags |= inner.locking.future;
        inner.check_locked(area.flags, len)?;
        let brought_in = area.brought_in();
        if area.is_locked() {
            self.note_locks(&mut inner);
        }
        inner.check_limits(start, end, area.is_data())?;
        inner.check_count(start, end, 1)?;
        self.remove_range(&mut inner, start, end, &mut let_go)?;
        inner.add_area(area);
        drop(inner);
        drop(let_go);
        if let Some(access) = populate {
            // As on Linux: what cannot be brought in now comes, or fails, when it is touched.
            let _ = self.populate(start, end, access);
        }
        if brought_in {
            let _ = self.bring_in(start, end);
        }
        Ok(start)
    }

    /// The area asked for, not placed yet (from 0 on).
    fn plan(&self, request: MapRequest) -> Result<(Area, Placement, Option<Access>), MemoryError> {
        let MapRequest { placement, len, prot, max_prot, sharing, backing, flags } = request;
        if len == 0 {
            return Err(MemoryError::Invalid);
        }
        let len = len.checked_next_multiple_of(PAGE).filter(|len| *len <= USER_END).ok_or(MemoryError::NoMemory)?;
        if !max_prot.contains(prot) {
            return Err(MemoryError::AccessDenied);
        }
        // The few kernel objects of a mapping must not eat what the kernel keeps for itself.
        if !self.ground.ops.frames.above_reserve() {
            return Err(MemoryError::NoMemory);
        }
        let source = match (backing, sharing) {
            (Backing::Anonymous, Sharing::Private) => None,
            (Backing::Anonymous, Sharing::Shared) => {
                Some(Source { pager: Arc::new(SharedMemory::new(self.ground.ops.frames, len)), offset: 0 })
            }
            (Backing::File { pager, offset }, _) => {
                if !offset.is_multiple_of(PAGE) || offset.checked_add(len).is_none() {
                    return Err(MemoryError::Invalid);
                }
                Some(Source { pager, offset })
            }
        };
        if flags.contains(MapFlags::GROWS_DOWN) && source.is_some() {
            return Err(MemoryError::Invalid);
        }
        let populate = flags.contains(MapFlags::POPULATE).then(|| populate_access(prot)).flatten();
        let flags = flags - MapFlags::POPULATE;
        Ok((Area { start: 0, end: len, prot, max_prot, sharing, flags, source }, placement, populate))
    }

    /// Makes the pages of `start .. end` present.
    pub(super) fn populate(&self, start: u64, end: u64, access: Access) -> Result<(), FaultOutcome> {
        /// Pages brought in under one hold of the lock.
        const STEP: u64 = 16 * PAGE;
        let mut page = start;
        while page < end {
            let mut inner = self.inner.lock();
            let stop = (page + STEP).min(end);
            while page < stop {
                self.page_for(&mut inner, page, access)?;
                page += PAGE;
            }
        }
        Ok(())
    }
}

/// How a page of an area with these rights is touched; `None` where it cannot be.
pub(super) fn populate_access(prot: Prot) -> Option<Access> {
    match prot {
        prot if prot.is_empty() => None,
        prot if prot.contains(Prot::WRITE) => Some(Access::Write),
        _ => Some(Access::Read),
    }
}

impl Inner {
    fn place(&mut self, placement: Placement, len: u64) -> Result<u64, MemoryError> {
        match placement {
            Placement::Hint(hint) => {
                let hint = hint & !(PAGE - 1);
                let end = hint.checked_add(len).filter(|end| hint >= LOWEST && *end <= USER_END);
                match end {
                    Some(end) if self.is_free(hint, end) => Ok(hint),
                    _ => self.find_gap(len).ok_or(MemoryError::NoMemory),
                }
            }
            Placement::Fixed(start) => check_fixed(start, len),
            Placement::FixedNoReplace(start) => {
                let start = check_fixed(start, len)?;
                if self.is_free(start, start + len) { Ok(start) } else { Err(MemoryError::Exists) }
            }
        }
    }

    /// The highest gap of `len` bytes below the mapping base, else above it.
    ///
    /// O(1) for many mappings of one size after another, O(areas) at worst.
    pub(super) fn find_gap(&mut self, len: u64) -> Option<u64> {
        let Layout { mmap_base, gap, .. } = self.layout;
        let from = if len >= gap.smaller_than { gap.below } else { mmap_base };
        let Some(start) = self.gap_below(from, LOWEST, len) else { return self.gap_below(USER_END, mmap_base, len) };
        self.layout.gap = GapHint { below: start, smaller_than: len };
        Some(start)
    }

    fn gap_below(&self, top: u64, bottom: u64, len: u64) -> Option<u64> {
        let mut end = top;
        // An area across `top`, or a stack right above it that may grow.
        if let Some(above) = self.areas.get(self.areas.seek(top)) {
            end = end.min(room_below(above));
        }
        for area in self.areas.iter_below(top) {
            if area.end.checked_add(len)? <= end {
                break;
            }
            end = end.min(room_below(area));
            if end <= bottom {
                return None;
            }
        }
        end.checked_sub(len).filter(|start| *start >= bottom)
    }

    /// Limits for `start .. end` to be mapped, replacing what is there.
    pub(super) fn check_limits(&self, start: u64, end: u64, is_data: bool) -> Result<(), MemoryError> {
        let (mut size, mut data) = (self.counts.size * PAGE, self.counts.data * PAGE);
        size += end - start;
        if is_data {
            data += end - start;
        }
        if size <= self.limits.address_space && data <= self.limits.data {
            return Ok(());
        }
        for area in self.areas.iter_from(start).take_while(|area| area.start < end) {
            let overlap = area.end.min(end) - area.start.max(start);
            size -= overlap;
            if area.is_data() {
                data = data.saturating_sub(overlap);
            }
        }
        let fits = size <= self.limits.address_space && (!is_data || data <= self.limits.data);
        if fits { Ok(()) } else { Err(MemoryError::NoMemory) }
    }
}

/// Where what lies below `area` must end.
fn room_below(area: &Area) -> u64 {
    if area.grows_down() { area.start.saturating_sub(GUARD) } else { area.start }
}

pub(super) fn check_fixed(start: u64, len: u64) -> Result<u64, MemoryError> {
    let (start, _) = page_range(start, len)?;
    if start < LOWEST { Err(MemoryError::NotPermitted) } else { Ok(start) }
}
