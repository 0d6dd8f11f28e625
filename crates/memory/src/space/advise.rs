//! What programs say about their memory.

use super::area::Area;
use super::fault::Access;
use super::flush::LargeBatch;
use super::{AddressSpace, Inner, PAGE, page_range};
use crate::{Advice, FaultOutcome, MapFlags, MemoryError, Pte};

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
            Advice::DontNeed => self.drop_pages(start, end)?,
            Advice::Free | Advice::WipeOnFork if !private_zeroes => return Err(MemoryError::Invalid),
            Advice::Free => self.drop_pages(start, end)?,
            Advice::WillNeed | Advice::Ignored => {}
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

    fn drop_pages(&self, start: u64, end: u64) -> Result<(), MemoryError> {
        let mut inner = self.inner.lock();
        let mut batch = LargeBatch::new(self.ops, self.target());
        self.prepare_zap(start, end, &mut batch)?;
        self.zap(&mut inner.counts, start, end, &mut batch);
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

    /// For each page from `start` on, writes 1 if it is present, else 0 (`mincore`). Pages of objects count as present: there
    /// is nowhere else they could be.
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
            let from_object = inner.areas.find(page).is_some_and(|area: &Area| area.source.is_some());
            let present = from_object || self.ops.walk(self.root, page).has(Pte::PRESENT | Pte::HIDDEN);
            *out = u8::from(present);
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
