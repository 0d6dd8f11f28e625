//! A queue of bytes in one block of memory: what pipes, terminals and stream sockets keep their data in.
//!
//! The block grows on demand. Because growing allocates, and nobody allocates much under a spin lock, it happens in
//! three steps: [`ByteRing::wants`] under the lock, [`Block::new`] without it, [`ByteRing::install`] under it again.

use alloc::vec::Vec;

use crate::VfsError;

/// Size of the first block: most pipes carry single lines.
const FIRST_BLOCK: usize = 512;

/// Memory for a ring, zeroed.
pub(crate) struct Block(Vec<u8>);

impl Block {
    /// A block of `size` bytes.
    ///
    /// # Errors
    /// `NoMemory` if there is none.
    pub(crate) fn new(size: usize) -> Result<Self, VfsError> {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(size).map_err(|_| VfsError::NoMemory)?;
        bytes.resize(size, 0);
        Ok(Self(bytes))
    }
}

/// A bounded first-in first-out queue of bytes. Pushes and pops cost O(bytes moved).
pub(crate) struct ByteRing {
    block: Vec<u8>,
    head: usize,
    len: usize,
    limit: usize,
}

impl ByteRing {
    /// An empty queue of at most `limit` bytes; allocates nothing.
    pub(crate) const fn new(limit: usize) -> Self {
        Self { block: Vec::new(), head: 0, len: 0, limit }
    }

    /// Bytes queued.
    #[inline]
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is queued.
    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that may be queued in all.
    #[inline]
    pub(crate) const fn limit(&self) -> usize {
        self.limit
    }

    /// Bytes that may still be queued.
    #[inline]
    pub(crate) const fn room(&self) -> usize {
        self.limit.saturating_sub(self.len)
    }

    /// Bytes that can be queued without more memory.
    #[inline]
    pub(crate) fn ready_room(&self) -> usize {
        self.block.len().min(self.limit).saturating_sub(self.len)
    }

    /// Size of the block to [`install`](Self::install) before `more` bytes, or as many as the limit allows, can be
    /// pushed; `None` if they fit already.
    #[inline]
    pub(crate) fn wants(&self, more: usize) -> Option<usize> {
        let needed = self.len.saturating_add(more).min(self.limit.max(self.len));
        if needed <= self.block.len() {
            return None;
        }
        Some(needed.checked_next_power_of_two().unwrap_or(needed).max(FIRST_BLOCK).min(self.limit.max(self.len)))
    }

    /// Moves the content into `block` and returns the old one, to be dropped without the lock. A block no larger
    /// than the present one is handed back as it came.
    pub(crate) fn install(&mut self, block: Block) -> Block {
        let mut fresh = block.0;
        if fresh.len() <= self.block.len() {
            return Block(fresh);
        }
        let (first, second) = self.parts();
        let split = first.len();
        if let Some(slot) = fresh.get_mut(..split) {
            slot.copy_from_slice(first);
        }
        if let Some(slot) = fresh.get_mut(split..split + second.len()) {
            slot.copy_from_slice(second);
        }
        self.head = 0;
        Block(core::mem::replace(&mut self.block, fresh))
    }

    /// Changes the limit; `false`, and nothing changed, if more than that is queued.
    #[must_use]
    pub(crate) fn set_limit(&mut self, limit: usize) -> bool {
        let fits = self.len <= limit;
        if fits {
            self.limit = limit;
        }
        fits
    }

    /// Queues as much of `data` as fits into the block and the limit; how much.
    #[inline]
    pub(crate) fn push(&mut self, data: &[u8]) -> usize {
        let size = self.block.len();
        let count = data.len().min(self.ready_room());
        let start = wrap(self.head + self.len, size);
        // Mostly in one piece.
        if let (Some(slot), Some(from)) = (self.block.get_mut(start..start + count), data.get(..count)) {
            slot.copy_from_slice(from);
            self.len += count;
            return count;
        }
        let first = count.min(size - start.min(size));
        if let (Some(slot), Some(from)) = (self.block.get_mut(start..start + first), data.get(..first)) {
            slot.copy_from_slice(from);
        }
        if first < count
            && let (Some(slot), Some(from)) = (self.block.get_mut(..count - first), data.get(first..count))
        {
            slot.copy_from_slice(from);
        }
        self.len += count;
        count
    }

    /// Takes up to `out.len()` bytes out; how many.
    #[inline]
    pub(crate) fn pop(&mut self, out: &mut [u8]) -> usize {
        let count = out.len().min(self.len);
        // Mostly in one piece.
        if let (Some(slot), Some(from)) = (out.get_mut(..count), self.block.get(self.head..self.head + count)) {
            slot.copy_from_slice(from);
        } else {
            self.peek(out);
        }
        self.discard(count);
        count
    }

    /// Puts `data`, which was just taken, back to the front, all of it; `false` if there is no room any more.
    #[must_use]
    pub(crate) fn unpop(&mut self, data: &[u8]) -> bool {
        let size = self.block.len();
        if data.len() > size.saturating_sub(self.len) {
            return false;
        }
        for byte in data.iter().rev() {
            self.head = if self.head == 0 { size } else { self.head } - 1;
            if let Some(slot) = self.block.get_mut(self.head) {
                *slot = *byte;
            }
            self.len += 1;
        }
        true
    }

    /// Copies up to `out.len()` bytes without taking them; how many.
    #[inline]
    pub(crate) fn peek(&self, out: &mut [u8]) -> usize {
        let count = out.len().min(self.len);
        let (first, second) = self.parts();
        let split = count.min(first.len());
        if let (Some(slot), Some(from)) = (out.get_mut(..split), first.get(..split)) {
            slot.copy_from_slice(from);
        }
        if split < count
            && let (Some(slot), Some(from)) = (out.get_mut(split..count), second.get(..count - split))
        {
            slot.copy_from_slice(from);
        }
        count
    }

    /// Forgets the first `count` bytes.
    #[inline]
    pub(crate) fn discard(&mut self, count: usize) {
        let count = count.min(self.len);
        self.len -= count;
        // An empty ring starts over, so that small transfers stay in the same cache lines.
        self.head = if self.len == 0 { 0 } else { wrap(self.head + count, self.block.len()) };
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.discard(self.len);
    }

    /// The content, in order, as two slices.
    #[inline]
    fn parts(&self) -> (&[u8], &[u8]) {
        let size = self.block.len();
        let first = self.len.min(size - self.head.min(size));
        (self.block.get(self.head..self.head + first).unwrap_or(&[]), self.block.get(..self.len - first).unwrap_or(&[]))
    }
}

#[inline]
const fn wrap(at: usize, size: usize) -> usize {
    if at >= size { at - size } else { at }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;
    use alloc::collections::VecDeque;
    use alloc::vec;

    #[test]
    fn random_pushes_and_pops_equal_a_queue_of_bytes() {
        for seed in 0..50 {
            let mut random = Random::new(seed);
            let mut ring = ByteRing::new(1000);
            let mut model = VecDeque::new();
            for step in 0..2000 {
                let size = random.below(700) as usize;
                match random.below(5) {
                    0 | 1 => {
                        let data: Vec<u8> = (0..size).map(|_| random.below(256) as u8).collect();
                        if random.below(3) > 0
                            && let Some(block) = ring.wants(size)
                        {
                            ring.install(Block::new(block).unwrap());
                        }
                        let taken = ring.push(&data);
                        assert!(taken <= size && ring.len() <= 1000, "seed {seed} step {step}");
                        assert!(taken == size || ring.wants(1).is_some() || ring.room() == 0);
                        model.extend(&data[..taken]);
                    }
                    2 => {
                        let mut out = vec![0; size];
                        let taken = ring.pop(&mut out);
                        let expected: Vec<u8> = model.drain(..taken).collect();
                        assert_eq!(&out[..taken], expected, "seed {seed} step {step}");
                        assert!(taken == size || model.is_empty());
                    }
                    3 => {
                        let mut out = vec![0; size];
                        let taken = ring.pop(&mut out);
                        let kept = random.below(taken as u64 + 1) as usize;
                        assert!(ring.unpop(&out[kept..taken]), "seed {seed} step {step}");
                        assert!(model.drain(..kept).eq(out[..kept].iter().copied()), "seed {seed} step {step}");
                    }
                    _ => {
                        let mut out = vec![0; size];
                        let seen = ring.peek(&mut out);
                        assert!(out[..seen].iter().eq(model.iter().take(seen)), "seed {seed} step {step}");
                    }
                }
                assert_eq!(ring.len(), model.len());
            }
        }
    }

    #[test]
    fn what_no_longer_fits_is_not_put_back() {
        let mut ring = ByteRing::new(4);
        ring.install(Block::new(4).unwrap());
        ring.push(b"abcd");
        let mut out = [0; 2];
        ring.pop(&mut out);
        ring.push(b"e");
        assert!(!ring.unpop(b"ab"));
        assert!(ring.unpop(b"b"));
        let mut all = [0; 5];
        assert_eq!((ring.pop(&mut all), &all[..4]), (4, b"bcde".as_slice()));
    }

    #[test]
    fn a_ring_without_memory_takes_nothing() {
        let mut ring = ByteRing::new(10);
        assert_eq!(ring.push(b"abc"), 0);
        assert_eq!(ring.wants(3), Some(10));
        assert!(!ring.set_limit(0) || ring.push(b"a") == 0);
    }
}
