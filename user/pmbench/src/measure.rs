//! Batches of an operation, one to warm up and some to count; the median of those is the result.

use crate::output::line;
use crate::sys::ticks;

/// How many batches count, if not told otherwise.
pub const BATCHES: usize = 7;
const MOST_BATCHES: usize = 64;

/// The batches of one row.
pub struct Batches {
    wanted: usize,
    results: [u64; MOST_BATCHES],
    done: usize,
}

impl Batches {
    /// Nothing measured yet.
    pub fn new(wanted: usize) -> Self {
        Self { wanted: wanted.clamp(1, MOST_BATCHES), results: [0; MOST_BATCHES], done: 0 }
    }

    /// How many batches to run: one more than are wanted.
    pub fn rounds(&self) -> core::ops::Range<usize> {
        0..self.wanted + 1
    }

    /// Notes that a batch took `ticks` for `operations`; the first batch only warms up.
    pub fn note(&mut self, round: usize, ticks: u64, operations: u64) {
        if round > 0 && self.done < MOST_BATCHES {
            self.results[self.done] = ticks / operations;
            self.done += 1;
        }
    }

    /// Prints the median.
    pub fn report(&mut self, name: &str) {
        let results = &mut self.results[..self.done];
        results.sort_unstable();
        line(name, results[results.len() / 2]);
    }
}

/// Measures `operation`, called `count` times in each batch.
pub fn measure(name: &str, batches: usize, count: u64, mut operation: impl FnMut()) {
    let mut results = Batches::new(batches);
    for round in results.rounds() {
        let start = ticks();
        for _ in 0..count {
            operation();
        }
        results.note(round, ticks() - start, count);
    }
    results.report(name);
}

/// A decimal number; anything else is 1.
pub fn parse(text: &[u8]) -> usize {
    text.iter()
        .try_fold(0, |sum: usize, &byte| byte.is_ascii_digit().then(|| sum * 10 + usize::from(byte - b'0')))
        .unwrap_or(1)
}
