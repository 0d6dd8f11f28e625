//! Unmapping, and the bookkeeping of areas that come and go.

use super::area::Area;
use super::flush::LargeBatch;
use super::{AddressSpace, Counts, GapHint, Inner, Let, MOST_AREAS, PAGE, page_range};
use crate::MemoryError;

impl Counts {
    pub(super) fn add_size(&mut self, pages: u64) {
        self.size += pages;
        self.peak_size = self.peak_size.max(self.size);
    }

    pub(super) fn add_area(&mut self, area: &Area) {
        let pages = area.len() / PAGE;
        self.add_size(pages);
        if area.is_data() {
            self.data += pages;
        }
        if area.is_locked() {
            self.locked += pages;
        }
    }

    pub(super) fn remove_area(&mut self, area: &Area) {
        let pages = area.len() / PAGE;
        self.size = self.size.saturating_sub(pages);
        if area.is_data() {
            self.data = self.data.saturating_sub(pages);
        }
        if area.is_locked() {
            self.locked = self.locked.saturating_sub(pages);
        }
    }
}

impl Inner {
    /// Whether `start .. end` can be cut out and `new` areas put in without passing the limit.
    pub(super) fn check_count(&self, start: u64, end: u64, new: usize) -> Result<(), MemoryError> {
        // Seldom near the limit: two splits at most.
        if self.areas.count() + 2 + new <= MOST_AREAS {
            return Ok(());
        }
        let splits = usize::from(self.areas.splits_at(start)) + usize::from(self.areas.splits_at(end));
        if self.areas.count() + splits + new > MOST_AREAS { Err(MemoryError::NoMemory) } else { Ok(()) }
    }

    /// Takes all areas out of `start .. end`.
    pub(super) fn remove_areas(&mut self, start: u64, end: u64, let_go: &mut Let) {
        if end > self.layout.gap.below {
            self.layout.gap = GapHint::NONE;
        }
        self.areas.split(start);
        self.areas.split(end);
        while let Some(area) = self.areas.take_first(start, end) {
            self.counts.remove_area(&area);
            if let Some(source) = area.source {
                let_go.push(source.pager);
            }
        }
    }

    /// Puts an area into a free place.
    pub(super) fn add_area(&mut self, area: Area) {
        self.counts.add_area(&area);
        self.areas.insert(area);
    }

    pub(super) fn is_free(&self, start: u64, end: u64) -> bool {
        self.areas.get(self.areas.seek(start)).is_none_or(|area| area.start >= end)
    }
}

impl AddressSpace {
    /// Unmaps everything in `start .. start + len`.
    ///
    /// # Errors
    ///
    /// `Invalid`; `NoMemory` if an area would have to be split beyond the limit, or no frame is left to split a table.
    pub fn unmap(&self, start: u64, len: u64) -> Result<(), MemoryError> {
        let (start, end) = page_range(start, len).map_err(|_| MemoryError::Invalid)?;
        if start == end {
            return Err(MemoryError::Invalid);
        }
        let mut let_go = Let::new();
        self.remove_range(&mut self.inner.lock(), start, end, &mut let_go)
    }

    /// Unmaps a page-aligned range; nothing has changed if it fails.
    pub(super) fn remove_range(
        &self,
        inner: &mut Inner,
        start: u64,
        end: u64,
        let_go: &mut Let,
    ) -> Result<(), MemoryError> {
        if inner.is_free(start, end) {
            return Ok(());
        }
        inner.check_count(start, end, 0)?;
        let mut batch = LargeBatch::new(self.ground.ops, self.target());
        self.prepare_zap(start, end, &mut batch)?;
        inner.remove_areas(start, end, let_go);
        self.zap(inner, start, end, &mut batch);
        Ok(())
    }
}
