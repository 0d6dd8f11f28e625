//! A space's share of a quota on memory that several spaces have together.
//!
//! A space takes pages from the quota in advance, some at a time, and may hold as many as it took: the sum of what all of
//! them hold never passes the quota, and a fault asks it only when what was taken is used up. Every page that is mapped
//! counts, in each space that maps it.

use alloc::boxed::Box;
use alloc::sync::Arc;

use sync::Quota;

use super::{AddressSpace, Inner};
use crate::MemoryError;

/// Pages taken at a time, and kept when others are given back.
const STEP: u64 = 32;

/// What a space has taken.
#[derive(Debug)]
pub(super) struct Share {
    quota: Arc<Quota>,
    taken: u64,
    /// The space's own limit, in pages.
    own: u64,
}

impl Clone for Share {
    /// Of the same quota, with nothing taken.
    fn clone(&self) -> Self {
        Self { quota: self.quota.clone(), taken: 0, own: self.own }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.quota.give(self.taken);
    }
}

impl AddressSpace {
    /// From now on the space's pages, those it has among them, count against `quota`, as do those of spaces forked from it.
    ///
    /// # Errors
    ///
    /// [`MemoryError::NoMemory`] if it has more than are left; nothing has changed.
    pub fn join(&self, quota: &Arc<Quota>) -> Result<(), MemoryError> {
        let mut inner = self.inner.lock();
        let mut share = Box::new(Share { quota: quota.clone(), taken: 0, own: inner.limits.resident_pages });
        share.take_exactly(inner.counts.resident)?;
        let old = inner.share.replace(share);
        inner.bound();
        drop(inner);
        drop(old);
        Ok(())
    }
}

impl Share {
    fn take_exactly(&mut self, pages: u64) -> Result<(), MemoryError> {
        if !self.quota.take(pages) {
            return Err(MemoryError::NoMemory);
        }
        self.taken += pages;
        Ok(())
    }
}

impl Inner {
    /// In a copy: takes what the copy has from the beginning.
    ///
    /// # Errors
    ///
    /// [`MemoryError::NoMemory`].
    pub(super) fn share_copied(&mut self) -> Result<(), MemoryError> {
        if let Some(share) = &mut self.share {
            share.take_exactly(self.counts.resident)?;
            self.bound();
        }
        Ok(())
    }

    /// The limit on pages is used up: takes more from the quota, if it was that. Whether there is room now.
    #[cold]
    pub(super) fn take_more(&mut self) -> bool {
        let Some(share) = &mut self.share else { return false };
        if self.counts.resident >= share.own {
            return false;
        }
        let more = if share.quota.take(STEP) {
            STEP
        } else if share.quota.take(1) {
            1
        } else {
            return false;
        };
        share.taken += more;
        self.bound();
        true
    }

    /// Gives back what is no longer used.
    pub(super) fn give_back(&mut self) {
        let Some(share) = &mut self.share else { return };
        let spare = share.taken.saturating_sub(self.counts.resident);
        if spare > 2 * STEP {
            share.taken -= spare - STEP;
            share.quota.give(spare - STEP);
            self.bound();
        }
    }

    /// Sets the space's own limit.
    pub(super) fn limit_pages(&mut self, own: u64) {
        self.limits.resident_pages = own;
        if let Some(share) = &mut self.share {
            share.own = own;
            self.bound();
        }
    }

    fn bound(&mut self) {
        if let Some(share) = &self.share {
            self.limits.resident_pages = share.own.min(share.taken);
        }
    }
}
