//! Locked memory: counted against a limit, brought in at once, not passed on by fork.
//!
//! Nothing ever leaves memory for a disk, so a lock holds nothing: what programs see of it is what this keeps. The limit is
//! told by whoever asks, since it depends on the rights of the caller; the last one told counts for a stack that grows.

use core::sync::atomic::Ordering;

use super::area::Area;
use super::fault::Access;
use super::{AddressSpace, Inner, PAGE, page_range};
use crate::{FaultOutcome, LockMode, MapFlags, MemoryError, Prot};

const LOCK_FLAGS: MapFlags = MapFlags::LOCKED.union(MapFlags::LOCK_ON_FAULT);

/// What a space knows of locks beyond its areas.
#[derive(Clone, Copy)]
pub(super) struct Locking {
    /// Flags of mappings to come (`MCL_FUTURE`).
    pub(super) future: MapFlags,
    /// Most locked bytes.
    limit: u64,
}

impl Locking {
    pub(super) const NONE: Self = Self { future: MapFlags::empty(), limit: u64::MAX };
}

impl Area {
    /// Whether its pages are to be there without being touched.
    pub(super) const fn brought_in(&self) -> bool {
        self.is_locked() && !self.flags.contains(MapFlags::LOCK_ON_FAULT)
    }
}

impl AddressSpace {
    /// Whether anything is, was or will be locked, so that [`AddressSpace::set_lock_limit`] matters.
    #[inline]
    pub fn has_locks(&self) -> bool {
        self.locks.load(Ordering::Relaxed)
    }

    /// The most bytes that the caller of what follows may lock.
    pub fn set_lock_limit(&self, bytes: u64) {
        self.inner.lock().locking.limit = bytes;
    }

    /// Locks `start .. start + len`, whole pages (`mlock`).
    ///
    /// # Errors
    ///
    /// `Invalid` for a range that wraps; `NoMemory` beyond `limit` bytes, at a hole (what comes before is locked) or at
    /// pages that cannot be had; `Again` without frames.
    pub fn lock(&self, start: u64, len: u64, mode: LockMode, limit: u64) -> Result<(), MemoryError> {
        let end = start.checked_add(len).ok_or(MemoryError::Invalid)?;
        let mut inner = self.inner.lock();
        self.note_locks(&mut inner);
        inner.locking.limit = limit;
        if (inner.counts.locked * PAGE).saturating_add(len) > limit {
            let already: u64 = inner
                .areas
                .iter_from(start)
                .take_while(|area| area.start < end)
                .filter(|area| area.is_locked())
                .map(|area| area.end.min(end) - area.start.max(start))
                .sum();
            if (inner.counts.locked * PAGE).saturating_add(len - already) > limit {
                return Err(MemoryError::NoMemory);
            }
        }
        inner.set_lock_flags(start, end, mode.flags())?;
        drop(inner);
        self.bring_in(start, end).map_err(|outcome| match outcome {
            FaultOutcome::OutOfMemory | FaultOutcome::Limit => MemoryError::Again,
            _ => MemoryError::NoMemory,
        })
    }

    /// Undoes [`AddressSpace::lock`].
    ///
    /// # Errors
    ///
    /// `Invalid` for a range that wraps; `NoMemory` at a hole (what comes before is unlocked).
    pub fn unlock(&self, start: u64, len: u64) -> Result<(), MemoryError> {
        let end = start.checked_add(len).ok_or(MemoryError::Invalid)?;
        self.inner.lock().set_lock_flags(start, end, MapFlags::empty())
    }

    /// Locks what is mapped (`current`) or will be (`future`); what is not asked for of the future is no longer locked then
    /// (`mlockall`).
    ///
    /// # Errors
    ///
    /// `NoMemory`: more is mapped than `limit` bytes.
    pub fn lock_all(&self, current: Option<LockMode>, future: Option<LockMode>, limit: u64) -> Result<(), MemoryError> {
        let mut inner = self.inner.lock();
        if current.is_some() && inner.counts.size * PAGE > limit {
            return Err(MemoryError::NoMemory);
        }
        self.note_locks(&mut inner);
        inner.locking = Locking { future: future.map_or(MapFlags::empty(), LockMode::flags), limit };
        let Some(mode) = current else { return Ok(()) };
        inner.relabel(0, u64::MAX, mode.flags());
        drop(inner);
        // What cannot be brought in comes, or fails, when it is touched.
        self.bring_in_all();
        Ok(())
    }

    /// Unlocks everything, now and in future (`munlockall`).
    pub fn unlock_all(&self) {
        let mut inner = self.inner.lock();
        inner.locking.future = MapFlags::empty();
        if inner.counts.locked > 0 {
            inner.relabel(0, u64::MAX, MapFlags::empty());
        }
    }

    /// Something is about to be locked.
    pub(super) fn note_locks(&self, inner: &mut Inner) {
        self.locks.store(true, Ordering::Relaxed);
        inner.special_fork = true;
    }

    /// Whether any page of `start .. end` is locked.
    pub(super) fn is_locked_in(&self, start: u64, end: u64) -> bool {
        let inner = self.inner.lock();
        inner.counts.locked > 0 && inner.areas.iter_from(start).take_while(|area| area.start < end).any(Area::is_locked)
    }

    /// Whether any page of the whole pages `start .. start + len` is locked: such do not let themselves be made invalid.
    ///
    /// # Errors
    ///
    /// `Invalid`.
    pub fn has_locked(&self, start: u64, len: u64) -> Result<bool, MemoryError> {
        let (start, end) = page_range(start, len).map_err(|_| MemoryError::Invalid)?;
        Ok(self.is_locked_in(start, end))
    }

    /// Makes the pages of `start .. end` present that are locked and not to wait until they are touched.
    pub(super) fn bring_in(&self, start: u64, end: u64) -> Result<(), FaultOutcome> {
        /// Pages brought in under one hold of the lock.
        const STEP: u64 = 16 * PAGE;
        let mut page = start;
        while page < end {
            let mut inner = self.inner.lock();
            let Some(area) = inner.areas.find(page) else { return Err(FaultOutcome::NoMapping) };
            let stop = end.min(area.end);
            if !area.brought_in() {
                page = stop;
                continue;
            }
            let writes = area.prot.contains(Prot::WRITE) && !area.is_shared();
            let access = if writes { Access::Write } else { Access::Read };
            let stop = stop.min(page + STEP);
            while page < stop {
                self.page_for(&mut inner, page, access)?;
                page += PAGE;
            }
        }
        Ok(())
    }

    /// [`AddressSpace::bring_in`] for all areas that allow it.
    fn bring_in_all(&self) {
        let mut next = 0;
        loop {
            let found = {
                let inner = self.inner.lock();
                inner.areas.iter_from(next).next().map(|area| (area.start.max(next), area.end))
            };
            let Some((start, end)) = found else { return };
            let _ = self.bring_in(start, end);
            next = end;
        }
    }
}

impl Inner {
    /// Whether `more` bytes with these flags can be mapped.
    pub(super) fn check_locked(&self, flags: MapFlags, more: u64) -> Result<(), MemoryError> {
        if flags.contains(MapFlags::LOCKED) && self.counts.locked * PAGE + more > self.locking.limit {
            return Err(MemoryError::Again);
        }
        Ok(())
    }

    /// In the child of a fork: nothing is locked.
    pub(super) fn forget_locks(&mut self) {
        self.locking = Locking::NONE;
        if self.counts.locked > 0 {
            self.relabel(0, u64::MAX, MapFlags::empty());
        }
    }

    /// Sets the lock flags of `start .. end` up to the first hole.
    fn set_lock_flags(&mut self, start: u64, end: u64, flags: MapFlags) -> Result<(), MemoryError> {
        let mut stop = start;
        for area in self.areas.iter_from(start) {
            if area.start > stop || stop >= end {
                break;
            }
            stop = area.end.min(end);
        }
        if stop > start {
            self.check_count(start, stop, 0)?;
            self.areas.split(start);
            self.areas.split(stop);
            self.relabel(start, stop, flags);
        }
        if stop < end { Err(MemoryError::NoMemory) } else { Ok(()) }
    }

    /// Sets the lock flags of the areas in `start .. end`, whose borders are split.
    fn relabel(&mut self, start: u64, end: u64, flags: MapFlags) {
        let mut place = self.areas.seek(start);
        while self.areas.get(place).is_some_and(|area| area.start < end) {
            if let Some(area) = self.areas.get_mut(place) {
                let pages = area.len() / PAGE;
                if area.is_locked() {
                    self.counts.locked = self.counts.locked.saturating_sub(pages);
                }
                area.flags.remove(LOCK_FLAGS);
                area.flags.insert(flags);
                if area.is_locked() {
                    self.counts.locked += pages;
                }
            }
            place = self.areas.next(place);
        }
        self.areas.join_range(start, end);
    }
}
