//! Growing, shrinking and moving mappings.

use types::USER_END;

use super::area::Area;
use super::flush::{Gather, LargeBatch};
use super::map::check_fixed;
use super::tables::index;
use super::{AddressSpace, Inner, Let, PAGE, page_range};
use crate::{MapFlags, MemoryError, RemapPlacement};

impl AddressSpace {
    /// Grows, shrinks or moves a mapping (`mremap`); gives its address.
    ///
    /// # Errors
    ///
    /// `Invalid`; `NoMemory`; `Fault` for a range that is not within one mapping.
    pub fn remap(&self, old: u64, old_len: u64, new_len: u64, placement: RemapPlacement) -> Result<u64, MemoryError> {
        let (old, old_end) = page_range(old, old_len).map_err(|_| MemoryError::Invalid)?;
        if old == old_end {
            return self.map_again(old, new_len, placement);
        }
        let new_len = new_len.checked_next_multiple_of(PAGE).filter(|len| *len <= USER_END);
        let new_len = new_len.ok_or(MemoryError::NoMemory)?;
        if new_len == 0 {
            return Err(MemoryError::Invalid);
        }
        let mut let_go = Let::new();
        let mut inner = self.inner.lock();
        if inner.dying {
            return Err(MemoryError::NoMemory);
        }
        if let RemapPlacement::Fixed(new) = placement {
            check_fixed(new, new_len)?;
            if new < old_end && old < new + new_len {
                return Err(MemoryError::Invalid);
            }
            inner.one_area(old, old_end)?;
            self.remove_range(&mut inner, new, new + new_len, &mut let_go)?;
        }
        let kept = new_len.min(old_end - old);
        if old + kept < old_end {
            self.remove_range(&mut inner, old + kept, old_end, &mut let_go)?;
        }
        let area = inner.one_area(old, old + kept)?;
        let grows = new_len > kept && area.brought_in();
        let placed = match placement {
            RemapPlacement::Fixed(new) => self.move_area(&mut inner, &area, old..old + kept, new, new_len, &mut let_go),
            _ if kept == new_len => Ok(old),
            _ if inner.grow_in_place(&area, old_end, old + new_len)? => Ok(old),
            RemapPlacement::InPlace => Err(MemoryError::NoMemory),
            RemapPlacement::MayMove => {
                let new = inner.find_gap(new_len).ok_or(MemoryError::NoMemory)?;
                self.move_area(&mut inner, &area, old..old + kept, new, new_len, &mut let_go)
            }
        };
        drop(inner);
        if let (true, Ok(new)) = (grows, &placed) {
            let _ = self.bring_in(new + kept, new + new_len);
        }
        placed
    }

    /// Maps the object of the shared mapping at `old` a second time, from there on: what an old length of 0 asks for.
    fn map_again(&self, old: u64, len: u64, placement: RemapPlacement) -> Result<u64, MemoryError> {
        let len = len.checked_next_multiple_of(PAGE).filter(|len| *len <= USER_END).ok_or(MemoryError::NoMemory)?;
        if len == 0 {
            return Err(MemoryError::Invalid);
        }
        let mut let_go = Let::new();
        let mut inner = self.inner.lock();
        let mut area = inner.one_area(old, old)?;
        if !area.is_shared() {
            return Err(MemoryError::Invalid);
        }
        let new = match placement {
            RemapPlacement::InPlace => return Err(MemoryError::NoMemory),
            RemapPlacement::MayMove => inner.find_gap(len).ok_or(MemoryError::NoMemory)?,
            RemapPlacement::Fixed(new) => {
                check_fixed(new, len)?;
                self.remove_range(&mut inner, new, new + len, &mut let_go)?;
                new
            }
        };
        if inner.dying {
            return Err(MemoryError::NoMemory);
        }
        inner.check_growth(&area, len)?;
        inner.check_count(new, new + len, 1)?;
        if let Some(source) = &mut area.source {
            source.offset += old - area.start;
        }
        (area.start, area.end) = (new, new + len);
        inner.add_area(area);
        Ok(new)
    }

    /// Moves the pages of a mapping elsewhere and leaves the mapping, without them, where it is (`MREMAP_DONTUNMAP`).
    ///
    /// # Errors
    ///
    /// `Invalid`; `NoMemory`; `Fault` for a range that is not within one mapping.
    pub fn remap_and_keep(&self, old: u64, len: u64, placement: RemapPlacement) -> Result<u64, MemoryError> {
        let (old, old_end) = page_range(old, len).map_err(|_| MemoryError::Invalid)?;
        if old == old_end {
            return Err(MemoryError::Invalid);
        }
        let len = old_end - old;
        let mut let_go = Let::new();
        let mut inner = self.inner.lock();
        if inner.dying {
            return Err(MemoryError::NoMemory);
        }
        let new = match placement {
            RemapPlacement::Fixed(new) => {
                check_fixed(new, len)?;
                if new < old_end && old < new + len {
                    return Err(MemoryError::Invalid);
                }
                inner.one_area(old, old_end)?;
                self.remove_range(&mut inner, new, new + len, &mut let_go)?;
                new
            }
            _ => inner.find_gap(len).ok_or(MemoryError::NoMemory)?,
        };
        let mut kept = inner.one_area(old, old_end)?;
        // Twice the range stays mapped.
        inner.check_growth(&kept, len)?;
        inner.check_count(old, old_end, 2)?;
        self.move_area(&mut inner, &kept.clone(), old..old_end, new, len, &mut let_go)?;
        if kept.end > old_end {
            drop(kept.split_off(old_end));
        }
        kept.set_start(old);
        kept.flags.remove(MapFlags::LOCKED | MapFlags::LOCK_ON_FAULT);
        inner.add_area(kept);
        Ok(new)
    }

    /// Moves the pages of `old` to `new`, a free range, with `new_len` mapped there.
    fn move_area(
        &self,
        inner: &mut Inner,
        area: &Area,
        old: core::ops::Range<u64>,
        new: u64,
        new_len: u64,
        let_go: &mut Let,
    ) -> Result<u64, MemoryError> {
        // The old range goes, so only what is more counts.
        inner.check_growth(area, new_len.saturating_sub(old.end - old.start))?;
        inner.check_count(old.start, old.end, 1)?;
        let mut batch = LargeBatch::new(self.ground.ops, self.target());
        self.own_range(old.start, old.end, &mut batch)?;
        let mut ready = Ok(());
        self.visit_pages(old.start, old.end, &mut |_, _, address, _| {
            if ready.is_ok() {
                ready = self.ground.ops.own_path(self.root, address - old.start + new, &mut batch).map(|_| ());
            }
        });
        ready?;
        // From here on nothing fails: all tables are there and ours.
        let mut moved = area.clone();
        if let Some(source) = &mut moved.source {
            source.offset += old.start - area.start;
        }
        moved.start = new;
        moved.end = new + new_len;
        self.visit_pages(old.start, old.end, &mut |table, at, address, _| {
            let target = address - old.start + new;
            if let Ok(to) = self.ground.ops.own_path(self.root, target, &mut batch) {
                let entry = self.ground.ops.clear(table, at);
                self.ground.ops.fill(to, index(target, 1), 1, entry);
                batch.stale(address);
            }
        });
        drop(batch);
        inner.remove_areas(old.start, old.end, let_go);
        inner.add_area(moved);
        Ok(new)
    }
}

impl Inner {
    /// The area that has all of `start .. end`, a copy.
    fn one_area(&mut self, start: u64, end: u64) -> Result<Area, MemoryError> {
        self.areas.find(start).filter(|area| end <= area.end).cloned().ok_or(MemoryError::Fault)
    }

    fn check_growth(&self, area: &Area, more: u64) -> Result<(), MemoryError> {
        let size = self.counts.size * PAGE + more;
        let data = self.counts.data * PAGE + more;
        self.check_locked(area.flags, more)?;
        if size > self.limits.address_space || (area.is_data() && data > self.limits.data) {
            return Err(MemoryError::NoMemory);
        }
        Ok(())
    }

    /// Extends the area that ends at `old_end` to `new_end` if nothing is in the way.
    fn grow_in_place(&mut self, area: &Area, old_end: u64, new_end: u64) -> Result<bool, MemoryError> {
        if area.end != old_end || new_end > USER_END || !self.is_free(old_end, new_end) {
            return Ok(false);
        }
        self.check_growth(area, new_end - old_end)?;
        let mut more = area.clone();
        if let Some(source) = &mut more.source {
            source.offset += old_end - area.start;
        }
        more.start = old_end;
        more.end = new_end;
        self.check_count(old_end, new_end, 1)?;
        self.add_area(more);
        Ok(true)
    }
}
