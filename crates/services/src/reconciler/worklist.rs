//! A queue of numbers, each at most once, and a set of numbers: fixed memory, taken when made.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

#[derive(Clone, Debug, Default)]
pub(super) struct Worklist {
    queue: VecDeque<u16>,
    queued: Vec<bool>,
}

impl Worklist {
    pub(super) fn new(len: usize) -> Self {
        Self { queue: VecDeque::with_capacity(len), queued: alloc::vec![false; len] }
    }

    pub(super) fn push(&mut self, item: u16) {
        if let Some(queued) = self.queued.get_mut(usize::from(item)).filter(|queued| !**queued) {
            *queued = true;
            self.queue.push_back(item);
        }
    }

    pub(super) fn pop(&mut self) -> Option<u16> {
        let item = self.queue.pop_front()?;
        if let Some(queued) = self.queued.get_mut(usize::from(item)) {
            *queued = false;
        }
        Some(item)
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Bits {
    words: Vec<u64>,
}

impl Bits {
    pub(super) fn new(len: usize) -> Self {
        Self { words: alloc::vec![0; len.div_ceil(64)] }
    }

    pub(super) fn set(&mut self, at: u16) {
        if let Some(word) = self.words.get_mut(usize::from(at) / 64) {
            *word |= 1 << (at % 64);
        }
    }

    pub(super) fn unset(&mut self, at: u16) {
        if let Some(word) = self.words.get_mut(usize::from(at) / 64) {
            *word &= !(1 << (at % 64));
        }
    }

    pub(super) fn has(&self, at: u16) -> bool {
        self.words.get(usize::from(at) / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
    }

    /// The first member at or after `from`.
    pub(super) fn next(&self, from: u16) -> Option<u16> {
        let mut at = usize::from(from) / 64;
        let mut word = self.words.get(at)? & (u64::MAX << (from % 64));
        while word == 0 {
            at += 1;
            word = *self.words.get(at)?;
        }
        Some((at * 64) as u16 + word.trailing_zeros() as u16)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    pub(super) fn clear(&mut self) {
        self.words.fill(0);
    }

    /// Takes in all members of `other` and empties it.
    pub(super) fn absorb(&mut self, other: &mut Self) {
        for (word, more) in self.words.iter_mut().zip(&mut other.words) {
            *word |= core::mem::take(more);
        }
    }
}
