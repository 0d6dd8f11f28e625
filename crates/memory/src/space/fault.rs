//! Page faults: the pages that areas promise are made here.

use hal::PageFault;
use types::{PhysAddr, USER_END};

use super::area::Area;
use super::flush::{Gather, SmallBatch};
use super::tables::index;
use super::{AddressSpace, Counts, GUARD, Inner, PAGE};
use crate::{FaultKind, FaultOutcome, PageAccess, PagerError, Prot, Pte, Purpose};

/// What is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
    Fetch,
}

/// Bytes that a read fault maps at most, aligned; divides what one table covers. Linux's `fault_around_bytes` is 64 KiB; here a
/// page that is mapped in vain costs more, since forks copy its entry, and 16 KiB was the cheapest in shells that run programs.
pub(super) const AROUND: u64 = 4 * PAGE;

const RESOLVED: FaultOutcome = FaultOutcome::Resolved(FaultKind::Minor);

impl Access {
    /// As on Linux, any right lets a page be read: the hardware knows no other way.
    #[inline]
    pub(super) const fn allowed(self, prot: Prot) -> bool {
        match self {
            Self::Read => !prot.is_empty(),
            Self::Write => prot.contains(Prot::WRITE),
            Self::Fetch => prot.contains(Prot::EXEC),
        }
    }
}

impl Counts {
    #[inline]
    pub(super) fn add_resident(&mut self, pages: u64) {
        self.resident += pages;
        if self.resident > self.peak_resident {
            self.peak_resident = self.resident;
        }
    }
}

impl AddressSpace {
    /// Settles a page fault.
    pub fn fault(&self, fault: &PageFault) -> FaultOutcome {
        let access = if fault.flags.write() {
            Access::Write
        } else if fault.flags.fetch() {
            Access::Fetch
        } else {
            Access::Read
        };
        self.resolve(&mut self.inner.lock(), fault.address, access)
    }

    /// Makes `address` accessible, if it may be.
    #[inline]
    pub(super) fn resolve(&self, inner: &mut Inner, address: u64, access: Access) -> FaultOutcome {
        let place = match inner.areas.locate(address) {
            None if grow_stack(inner, address) => inner.areas.locate(address),
            place => place,
        };
        let Inner { areas, counts, limits, .. } = inner;
        let Some(area) = place.and_then(|place| areas.get(place)) else { return FaultOutcome::NoMapping };
        if !access.allowed(area.prot) {
            return FaultOutcome::Access;
        }
        let page = address & !(PAGE - 1);
        let mut batch = SmallBatch::new(self.ground.ops, self.target());
        let Ok(table) = self.ground.ops.own_path(self.root, page, &mut batch) else { return FaultOutcome::OutOfMemory };
        let entry = self.ground.ops.table(table).get(index(page, 1));
        if !entry.is_used() {
            if counts.resident >= limits.resident_pages {
                return self.resolve_beyond(inner, address, access);
            }
            match self.make_page(area, page, access) {
                Ok(entry) => {
                    self.ground.ops.fill(table, index(page, 1), 1, entry);
                    counts.add_resident(1);
                    if access != Access::Write && area.source.is_some() && !area.is_shared() {
                        self.map_around(area, table, page, counts, limits.resident_pages);
                    }
                }
                Err(outcome) => return outcome,
            }
        } else if access == Access::Write && !entry.is_writable() {
            return self.break_copy(area, table, page, entry, &mut batch);
        }
        RESOLVED
    }

    /// The same where no page may be added, unless a quota shared with others has more.
    #[cold]
    fn resolve_beyond(&self, inner: &mut Inner, address: u64, access: Access) -> FaultOutcome {
        if inner.take_more() { self.resolve(inner, address, access) } else { FaultOutcome::Limit }
    }

    /// The entry for a page that is not there yet.
    #[inline]
    fn make_page(&self, area: &Area, page: u64, access: Access) -> Result<Pte, FaultOutcome> {
        let frames = self.ground.ops.frames;
        if area.source.is_some() {
            return self.make_source_page(area, page, access);
        }
        if access == Access::Write {
            let frame = frames.alloc_zeroed(Purpose::User).ok_or(FaultOutcome::OutOfMemory)?;
            return Ok(Pte::user_page(frame, area.prot, true));
        }
        frames.retain(frames.zero_frame());
        Ok(Pte::user_page(frames.zero_frame(), area.prot, false))
    }

    /// Makes a private page of an object that is not there yet from the object's first `keep` bytes and zeroes: as if it had
    /// been copied whole and zeroed after them. `false`: it is no such page, or none could be made; nothing has changed.
    #[cold]
    #[inline(never)]
    pub(super) fn copy_head(&self, inner: &mut Inner, page: u64, keep: usize) -> bool {
        let Inner { areas, counts, limits, .. } = inner;
        if counts.resident >= limits.resident_pages {
            return false;
        }
        let Some(area) = areas.find(page) else { return false };
        let Some(source) = area.source.as_ref().filter(|_| !area.is_shared()) else { return false };
        if !Access::Write.allowed(area.prot) {
            return false;
        }
        let mut batch = SmallBatch::new(self.ground.ops, self.target());
        let Ok(table) = self.ground.ops.own_path(self.root, page, &mut batch) else { return false };
        if self.ground.ops.table(table).get(index(page, 1)).is_used() {
            return false;
        }
        let frames = self.ground.ops.frames;
        let Ok(original) = source.pager.page(area.page_index(source, page), PageAccess::Read) else { return false };
        let copy = frames.alloc(Purpose::User);
        if let Some(copy) = copy {
            frames.direct_map().copy_start(copy, original, keep);
            self.ground.ops.fill(table, index(page, 1), 1, Pte::user_page(copy, area.prot, true));
            counts.add_resident(1);
        }
        frames.release(original);
        copy.is_some()
    }

    fn make_source_page(&self, area: &Area, page: u64, access: Access) -> Result<Pte, FaultOutcome> {
        let Some(source) = &area.source else { return Err(FaultOutcome::NoMapping) };
        let frames = self.ground.ops.frames;
        let in_place = area.is_shared() && area.prot.contains(Prot::WRITE);
        let wanted = if in_place { PageAccess::Write } else { PageAccess::Read };
        let frame = source.pager.page(area.page_index(source, page), wanted).map_err(|error| match error {
            PagerError::BeyondEnd => FaultOutcome::Bus,
            PagerError::NoMemory => FaultOutcome::OutOfMemory,
        })?;
        if area.is_shared() {
            return Ok(Pte::user_page(frame, area.prot, in_place).with(Pte::SHARED_PAGE));
        }
        if access != Access::Write {
            return Ok(Pte::user_page(frame, area.prot, false));
        }
        let copy = self.copy_of(frame);
        frames.release(frame);
        Ok(Pte::user_page(copy?, area.prot, true))
    }

    /// Maps the neighbours of `page` that the object has at hand: programs read on, and a fault costs more than an entry.
    pub(super) fn map_around(&self, area: &Area, table: PhysAddr, page: u64, counts: &mut Counts, most: u64) {
        let Some(source) = &area.source else { return };
        if counts.resident.saturating_add(AROUND / PAGE) > most {
            return;
        }
        let window = page / AROUND * AROUND;
        let end_of_object = area.start.saturating_add(source.pager.len_bytes().saturating_sub(source.offset));
        let start = window.max(area.start);
        let end = area.end.min(end_of_object).next_multiple_of(PAGE).min(window + AROUND);
        let mut frames = [None; (AROUND / PAGE) as usize];
        let Some(wanted) = frames.get_mut(..(end.saturating_sub(start) / PAGE) as usize) else { return };
        source.pager.pages_at_hand(area.page_index(source, start), wanted);
        let mut mapped = 0;
        for (at, frame) in (index(start, 1)..).zip(wanted) {
            let Some(frame) = frame.take() else { continue };
            if self.ground.ops.table(table).get(at).is_used() {
                self.ground.ops.frames.release(frame);
            } else {
                self.ground.ops.fill(table, at, 1, Pte::user_page(frame, area.prot, false));
                mapped += 1;
            }
        }
        counts.add_resident(mapped);
    }

    #[inline]
    fn copy_of(&self, frame: PhysAddr) -> Result<PhysAddr, FaultOutcome> {
        let frames = self.ground.ops.frames;
        let copy = if frame == frames.zero_frame() {
            frames.alloc_zeroed(Purpose::User)
        } else {
            let copy = frames.alloc(Purpose::User);
            if let Some(copy) = copy {
                frames.direct_map().copy(copy, frame);
            }
            copy
        };
        copy.ok_or(FaultOutcome::OutOfMemory)
    }

    /// A store to a page that is mapped read-only though the area lets it be written. `table` is ours.
    #[inline]
    fn break_copy(
        &self,
        area: &Area,
        table: PhysAddr,
        page: u64,
        entry: Pte,
        batch: &mut SmallBatch<'_>,
    ) -> FaultOutcome {
        let old = entry.frame();
        if entry.has(Pte::SHARED_PAGE) || self.ground.ops.frames.references(old) == 1 {
            // No flush: at worst another CPU faults once more on what it remembers as read-only.
            self.ground.ops.table(table).set_bits(index(page, 1), Pte::WRITE | Pte::DIRTY | Pte::ACCESSED);
            return RESOLVED;
        }
        let new = match self.copy_of(old) {
            Ok(new) => new,
            Err(outcome) => return outcome,
        };
        self.ground.ops.table(table).set(index(page, 1), Pte::user_page(new, area.prot, true));
        batch.stale(page);
        batch.drop_frame(old);
        RESOLVED
    }
}

/// Extends the stack above `address` down to it, within its limit and with the gap below kept free.
#[cold]
fn grow_stack(inner: &mut Inner, address: u64) -> bool {
    if address >= USER_END || inner.dying {
        return false;
    }
    let place = inner.areas.seek(address);
    let Some(stack) = inner.areas.get(place) else { return false };
    let start = address & !(PAGE - 1);
    let more = stack.start.saturating_sub(start) / PAGE;
    let below = inner.areas.prev(place).and_then(|place| inner.areas.get(place));
    let room = below.map_or(super::LOWEST, |area| if area.grows_down() { area.end } else { area.end + GUARD });
    let limits = &inner.limits;
    if !stack.grows_down()
        || start < room
        || stack.end - start > limits.stack
        || (inner.counts.size + more).saturating_mul(PAGE) > limits.address_space
        || inner.check_locked(stack.flags, more * PAGE).is_err()
    {
        return false;
    }
    if let Some(stack) = inner.areas.get_mut(place) {
        stack.set_start(start);
        if stack.is_locked() {
            inner.counts.locked += more;
        }
    }
    inner.counts.add_size(more);
    true
}
