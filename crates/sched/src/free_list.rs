//! Slots without a task.

use alloc::vec::Vec;

use crate::SchedError;
use crate::chunks::{CHUNK, MAX_TASKS};

/// Indices of free slots, the last freed on top; its memory is there before a slot is.
pub(crate) struct FreeList {
    free: Vec<u32>,
    /// Slots that exist.
    total: usize,
}

impl FreeList {
    pub(crate) const fn new() -> Self {
        Self { free: Vec::new(), total: 0 }
    }

    pub(crate) fn pop(&mut self) -> Option<u32> {
        self.free.pop()
    }

    /// There is room: each index is in the list once at most.
    pub(crate) fn push(&mut self, index: u32) {
        debug_assert!(self.free.len() < self.total);
        self.free.push(index);
    }

    /// Number of the chunk that is to be made next.
    pub(crate) fn next_chunk(&self) -> Result<usize, SchedError> {
        if self.total >= MAX_TASKS { Err(SchedError::TooManyTasks) } else { Ok(self.total / CHUNK) }
    }

    /// How much room `grow` needs.
    pub(crate) fn capacity_wanted(&self) -> usize {
        self.total + CHUNK
    }

    /// Adds the slots of chunk `number` if that is still the next; `room` has the capacity for all slots then. Returns
    /// memory to be freed outside of the lock.
    pub(crate) fn grow(&mut self, number: usize, mut room: Vec<u32>) -> Vec<u32> {
        if self.total != number * CHUNK || room.capacity() < self.total + CHUNK {
            return room;
        }
        room.clear();
        room.extend((self.total..self.total + CHUNK).rev().map(|index| index as u32));
        room.extend_from_slice(&self.free);
        self.total += CHUNK;
        core::mem::replace(&mut self.free, room)
    }
}
