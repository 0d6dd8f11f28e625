//! A table that grows and never moves: entries are reached by index without a lock.

use alloc::boxed::Box;
use alloc::vec::Vec;

use sync::Once;

use crate::SchedError;
use crate::steps::Steps;

/// Entries in a chunk: a chunk of slots is 16 KiB.
pub(crate) const CHUNK: usize = 128;
/// Most chunks.
const CHUNKS: usize = 1024;
/// Most tasks alive at one time: twice the processes that the kernel is built for.
pub const MAX_TASKS: usize = CHUNK * CHUNKS;

/// As many as [`MAX_TASKS`] entries, made `CHUNK` at a time.
pub(crate) struct Chunks<E> {
    chunks: [Once<Box<[E; CHUNK]>>; CHUNKS],
    /// Accesses, where tests count them.
    pub(crate) steps: Steps,
}

impl<E> Chunks<E> {
    pub(crate) const fn new() -> Self {
        Self { chunks: [const { Once::new() }; CHUNKS], steps: Steps::new() }
    }

    /// Entry number `index`, if its chunk exists.
    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<&E> {
        self.steps.count();
        let index = index as usize;
        self.chunks.get(index / CHUNK)?.get()?.get(index % CHUNK)
    }

    /// Puts `chunk` at its place, unless there is one already.
    pub(crate) fn install(&self, number: usize, chunk: Box<[E; CHUNK]>) {
        if let Some(place) = self.chunks.get(number) {
            place.call_once(|| chunk);
        }
    }
}

/// A chunk of entries, outside of any table yet.
pub(crate) fn new_chunk<E>(entry: impl Fn() -> E) -> Result<Box<[E; CHUNK]>, SchedError> {
    boxed(entry)
}

/// `N` entries in a box.
pub(crate) fn boxed<E, const N: usize>(entry: impl Fn() -> E) -> Result<Box<[E; N]>, SchedError> {
    let mut entries = Vec::new();
    entries.try_reserve_exact(N).map_err(|_| SchedError::NoMemory)?;
    entries.extend((0..N).map(|_| entry()));
    entries.into_boxed_slice().try_into().map_err(|_| SchedError::NoMemory)
}
