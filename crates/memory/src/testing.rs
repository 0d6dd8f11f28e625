//! What the crate's tests share: a machine with frames, a random sequence that its seed repeats.

use std::boxed::Box;

use crate::{DirectMap, Frames, MemoryRegion};

/// About `pages` frames for ever.
pub(crate) fn machine(pages: u64, reserve: u64) -> &'static Frames {
    let map = DirectMap::host(pages as usize * 4096);
    let region = MemoryRegion { start: 0, end: pages * 4096, node: 0 };
    Box::leak(Box::new(Frames::new(map, &[region], reserve).unwrap()))
}

/// A small random sequence (xorshift64*).
#[derive(Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 16) % end
    }
}
