//! Identity of a task.

/// A task: a place in the table, and how many tasks had that place before. An id of a task that ended never names the
/// next one in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl TaskId {
    /// Place in the table, below [`MAX_TASKS`](crate::MAX_TASKS).
    pub const fn index(self) -> usize {
        self.index as usize
    }

    /// Both parts in one word.
    pub const fn to_bits(self) -> u64 {
        (self.generation as u64) << 32 | self.index as u64
    }

    /// The id that [`TaskId::to_bits`] was taken of.
    pub const fn from_bits(bits: u64) -> Self {
        Self { index: bits as u32, generation: (bits >> 32) as u32 }
    }
}
