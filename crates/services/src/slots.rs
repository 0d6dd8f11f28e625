//! A table indexed by typed ids, total by construction: a number outside it reads a spare element, never panics.

use alloc::vec::Vec;
use core::ops::{Index, IndexMut};

use crate::id::SlotId;

#[derive(Clone, Debug)]
pub(crate) struct Slots<T> {
    items: Vec<T>,
    /// What a foreign id reads and writes.
    spare: T,
}

impl<T: Clone> Slots<T> {
    pub(crate) fn new(len: usize, blank: T) -> Self {
        Self { items: alloc::vec![blank.clone(); len], spare: blank }
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }
}

impl<T, I: SlotId> Index<I> for Slots<T> {
    type Output = T;

    fn index(&self, id: I) -> &T {
        self.items.get(id.slot()).unwrap_or(&self.spare)
    }
}

impl<T, I: SlotId> IndexMut<I> for Slots<T> {
    fn index_mut(&mut self, id: I) -> &mut T {
        self.items.get_mut(id.slot()).unwrap_or(&mut self.spare)
    }
}
