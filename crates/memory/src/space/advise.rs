//! What programs say about their memory.

use super::area::Area;
use super::fault::Access;
use super::flush::LargeBatch;
use super::{AddressSpace, Inner, PAGE, page_range};
use crate::{Advice, FaultOutcome, MapFlags, MemoryError, PrivateCopies, Prot, Pte};

impl AddressSpace {
    /// `madvise`.
    ///
    /// # Errors
    ///
    /// `Invalid`; `NoMemory` at a hole (what lies around it is done) or without frames; `Fault` for pages that cannot be
    /// populated.
    pub fn advise(&self, start: u64, len: u64, advice: Advice) -> Result<(), MemoryError> {
        let (start, end) = page_range(start, len).map_err(|_| MemoryError::Invalid)?;
        if start == end {
            return Ok(());
        }
        let inner = self.inner.lock();
        let whole = inner.covers(start, end);
        let private_zeroes =
            inner.areas.iter_from(start).take_while(|area| area.start < end).all(|area| area.source.is_none());
        drop(inner);
        match advice {
            Advice::DontNeed | Advice::Free | Advice::Cold if self.is_locked_in(start, end) => {
                return Err(MemoryError::Invalid);
            }
            Advice::DontNeed | Advice::DontNeedLocked => self.drop_pages(start, end)?,
            Advice::Free | Advice::WipeOnFork if !private_zeroes => return Err(MemoryError::Invalid),
            Advice::Free => self.drop_pages(start, end)?,
            Advice::Remove => self.remove_from_objects(start, end)?,
            Advice::WillNeed | Advice::Cold | Advice::Ignored => {}
            Advice::PopulateRead | Advice::PopulateWrite if !whole => {}
            Advice::PopulateRead => self.populate(start, end, Access::Read).map_err(populate_error)?,
            Advice::PopulateWrite => self.populate(start, end, Access::Write).map_err(populate_error)?,
            Advice::DontFork => self.set_flag(start, end, MapFlags::DONT_FORK, true)?,
            Advice::DoFork => self.set_flag(start, end, MapFlags::DONT_FORK, false)?,
            Advice::WipeOnFork => self.set_flag(start, end, MapFlags::WIPE_ON_FORK, true)?,
            Advice::KeepOnFork => self.set_flag(start, end, MapFlags::WIPE_ON_FORK, false)?,
        }
        if whole { Ok(()) } else { Err(MemoryError::NoMemory) }
    }

    /// Unmaps the pages of an object's bytes `from .. to`, whole pages: the object has them no more. A private mapping loses
    /// its copies of them, too, if `private` says so; else it is left alone.
    ///
    /// # Errors
    ///
    /// `NoMemory`: some may still be mapped.
    pub fn drop_object(&self, object: usize, from: u64, to: u64, private: PrivateCopies) -> Result<(), MemoryError> {
        let mut inner = self.inner.lock();
        let mut next = 0;
        loop {
            let Some(area) = inner.areas.get(inner.areas.seek(next)) else { return Ok(()) };
            next = area.end;
            let Some(source) = area.source.as_ref().filter(|source| source.pager.object() == object) else { continue };
            if !area.is_shared() && private == PrivateCopies::Keep {
                continue;
            }
            let place = |offset: u64| area.start.saturating_add(offset.saturating_sub(source.offset)).min(area.end);
            let (start, end) = (place(from), place(to));
            if start < end {
                let mut batch = LargeBatch::new(self.ground.ops, self.target());
                self.prepare_zap(start, end, &mut batch)?;
                self.zap(&mut inner, start, end, &mut batch);
            }
        }
    }

    /// Makes holes in the objects of shared mappings (`MADV_REMOVE`).
    fn remove_from_objects(&self, start: u64, end: u64) -> Result<(), MemoryError> {
        let mut next = start;
        while next < end {
            let (pager, offset, len) = {
                let inner = self.inner.lock();
                let area = inner.areas.get(inner.areas.seek(next)).filter(|area| area.start < end);
                let Some(area) = area else { return Ok(()) };
                let source = area.source.as_ref().filter(|_| !area.is_locked()).ok_or(MemoryError::Invalid)?;
                if !area.is_shared() || !area.max_prot.contains(Prot::WRITE) {
                    return Err(MemoryError::AccessDenied);
                }
                let from = area.start.max(next);
                next = area.end;
                (source.pager.clone(), source.offset + (from - area.start), area.end.min(end) - from)
            };
            if !pager.make_hole(offset, len) {
                return Err(MemoryError::Invalid);
            }
        }
        Ok(())
    }

    fn drop_pages(&self, start: u64, end: u64) -> Result<(), MemoryError> {
        let mut inner = self.inner.lock();
        let mut batch = LargeBatch::new(self.ground.ops, self.target());
        self.prepare_zap(start, end, &mut batch)?;
        self.zap(&mut inner, start, end, &mut batch);
        Ok(())
    }

    fn set_flag(&self, start: u64, end: u64, flag: MapFlags, value: bool) -> Result<(), MemoryError> {
        let mut inner = self.inner.lock();
        inner.check_count(start, end, 0)?;
        inner.special_fork |= value;
        inner.areas.split(start);
        inner.areas.split(end);
        let mut place = inner.areas.seek(start);
        while inner.areas.get(place).is_some_and(|area| area.start < end) {
            if let Some(area) = inner.areas.get_mut(place) {
                area.flags.set(flag, value);
            }
            place = inner.areas.next(place);
        }
        inner.areas.join_range(start, end);
        Ok(())
    }

    /// For each page from `start` on, writes 1 if it is present, else 0 (`mincore`). A page of an object is if the object has
    /// it: mapping it then costs nothing.
    ///
    /// # Errors
    ///
    /// `Invalid`; `NoMemory` at a hole.
    pub fn mincore(&self, start: u64, out: &mut [u8]) -> Result<(), MemoryError> {
        let (start, end) = page_range(start, out.len() as u64 * PAGE)?;
        let mut inner = self.inner.lock();
        if !inner.covers(start, end) {
            return Err(MemoryError::NoMemory);
        }
        for (page, out) in (start..end).step_by(PAGE as usize).zip(out) {
            let mapped = self.ground.ops.walk(self.root, page).has(Pte::PRESENT | Pte::HIDDEN);
            let at_hand = |area: &Area| {
                area.source.as_ref().is_some_and(|source| source.pager.has_page(area.page_index(source, page)))
            };
            *out = u8::from(mapped || inner.areas.find(page).is_some_and(at_hand));
        }
        Ok(())
    }
}

impl Inner {
    /// Whether there is no hole in `start .. end`.
    fn covers(&self, start: u64, end: u64) -> bool {
        let mut next = start;
        for area in self.areas.iter_from(start) {
            if next >= end || area.start > next {
                break;
            }
            next = area.end;
        }
        next >= end
    }
}

fn populate_error(outcome: FaultOutcome) -> MemoryError {
    match outcome {
        FaultOutcome::OutOfMemory | FaultOutcome::NoMapping | FaultOutcome::Limit => MemoryError::NoMemory,
        FaultOutcome::Access => MemoryError::Invalid,
        FaultOutcome::Bus | FaultOutcome::Resolved(_) => MemoryError::Fault,
    }
}
