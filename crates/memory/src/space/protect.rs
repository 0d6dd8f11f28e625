//! Changing what may be done with mapped pages.

use super::flush::{Gather, LargeBatch};
use super::{AddressSpace, Inner, PAGE, page_range};
use crate::{MemoryError, Prot, Pte};

/// A page's entry under new rights. WRITE is only ever taken away from a private page: giving it is for the fault that knows
/// whether the page is ours.
fn with_rights(entry: Pte, prot: Prot) -> Pte {
    let mut entry = if prot.is_empty() {
        entry.without(Pte::PRESENT).with(Pte::HIDDEN)
    } else {
        entry.without(Pte::HIDDEN).with(Pte::PRESENT)
    };
    if !prot.contains(Prot::WRITE) {
        entry = entry.without(Pte::WRITE);
    }
    if prot.contains(Prot::EXEC) { entry.without(Pte::NO_EXECUTE) } else { entry.with(Pte::NO_EXECUTE) }
}

/// Whether somebody may remember more rights than the new entry gives.
fn loses_rights(old: Pte, new: Pte) -> bool {
    old.is_present() && (!new.is_present() || old.0 & !new.0 & Pte::WRITE != 0 || new.0 & !old.0 & Pte::NO_EXECUTE != 0)
}

impl AddressSpace {
    /// Changes what may be done with `start .. start + len`.
    ///
    /// # Errors
    ///
    /// `Invalid`; `NoMemory` at a hole, `AccessDenied` beyond `max_prot` (what comes before is changed, as on Linux);
    /// `NoMemory` for a limit or no frames (nothing is changed).
    pub fn protect(&self, start: u64, len: u64, prot: Prot) -> Result<(), MemoryError> {
        let (start, end) = page_range(start, len)?;
        if start == end {
            return Ok(());
        }
        let mut inner = self.inner.lock();
        let (stop, result) = inner.protectable(start, end, prot);
        if start == stop {
            return result;
        }
        inner.check_count(start, stop, 0)?;
        let mut batch = LargeBatch::new(self.ground.ops, self.target());
        self.own_range(start, stop, &mut batch)?;
        inner.set_rights(start, stop, prot);
        self.visit_pages(start, stop, &mut |table, at, address, old| {
            let new = with_rights(old, prot);
            if new != old {
                self.ground.ops.table(table).set(at, new);
                if loses_rights(old, new) {
                    batch.stale(address);
                }
            }
        });
        result
    }
}

impl Inner {
    /// How far from `start` towards `end` the rights can be given, and why not further.
    fn protectable(&self, start: u64, end: u64, prot: Prot) -> (u64, Result<(), MemoryError>) {
        let mut stop = start;
        let mut data = self.counts.data * PAGE;
        for area in self.areas.iter_from(start) {
            if area.start > stop {
                return (stop, Err(MemoryError::NoMemory));
            }
            if !area.max_prot.contains(prot) {
                return (stop, Err(MemoryError::AccessDenied));
            }
            // What becomes a private page to write to counts as data from now on.
            if !area.is_data() && area.is_data_with(prot) {
                data += area.end.min(end) - area.start.max(start);
                if data > self.limits.data {
                    return (stop, Err(MemoryError::NoMemory));
                }
            }
            stop = area.end.min(end);
            if stop == end {
                return (stop, Ok(()));
            }
        }
        (stop, Err(MemoryError::NoMemory))
    }

    fn set_rights(&mut self, start: u64, end: u64, prot: Prot) {
        self.areas.split(start);
        self.areas.split(end);
        let mut place = self.areas.seek(start);
        while self.areas.get(place).is_some_and(|area| area.start < end) {
            if let Some(area) = self.areas.get_mut(place) {
                let peak = self.counts.peak_size;
                self.counts.remove_area(area);
                area.prot = prot;
                self.counts.add_area(area);
                self.counts.peak_size = peak;
            }
            place = self.areas.next(place);
        }
        self.areas.join_range(start, end);
    }
}
