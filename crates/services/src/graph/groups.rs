//! Things grouped by a small number: where each group begins, in one array.

use alloc::vec::Vec;
use core::ops::Range;

/// The positions of each group in a list sorted by group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Groups {
    offsets: Vec<u32>,
}

impl Groups {
    /// `keys` are the groups of the things, in any order; those outside `0..groups` are left out. O(groups + things).
    pub fn new(groups: usize, keys: impl Iterator<Item = u16>) -> Self {
        let mut offsets = alloc::vec![0u32; groups + 1];
        for key in keys {
            if let Some(count) = offsets.get_mut(usize::from(key) + 1) {
                *count += 1;
            }
        }
        let mut sum = 0;
        for offset in &mut offsets {
            sum += *offset;
            *offset = sum;
        }
        Self { offsets }
    }

    /// As `new`, with the order in which the things must be put: for each position, which one stands there.
    pub fn sorted(groups: usize, keys: impl Iterator<Item = u16> + Clone) -> (Self, Vec<u32>) {
        let made = Self::new(groups, keys.clone());
        let mut next = made.offsets.clone();
        let mut order = alloc::vec![0; made.total()];
        for (thing, key) in keys.enumerate() {
            let Some(at) = next.get_mut(usize::from(key)).filter(|_| usize::from(key) < groups) else { continue };
            if let Some(slot) = order.get_mut(*at as usize) {
                *slot = thing as u32;
            }
            *at += 1;
        }
        (made, order)
    }

    /// Number of things in all groups.
    pub fn total(&self) -> usize {
        self.offsets.last().copied().unwrap_or(0) as usize
    }

    /// Number of groups.
    pub fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Whether there is no group.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Positions of one group.
    pub fn range(&self, group: u16) -> Range<usize> {
        let at = |index: usize| self.offsets.get(index).copied().unwrap_or(0) as usize;
        let group = usize::from(group);
        if group < self.len() { at(group)..at(group + 1) } else { 0..0 }
    }
}
