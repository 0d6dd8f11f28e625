//! A ring of bytes with one producer at a time (the interrupt handler) and one consumer at a time (the kernel).

use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

/// Bytes it holds: a screenful of pasted text. A power of two, so that positions may wrap.
const SIZE: usize = 4096;

/// The ring. Positions count for ever; their difference is the fill.
pub(super) struct Ring {
    bytes: [AtomicU8; SIZE],
    /// Written by the producer.
    head: AtomicU32,
    /// Written by the consumer.
    tail: AtomicU32,
    lost: AtomicU64,
}

impl Ring {
    pub(super) const fn new() -> Self {
        Self {
            bytes: [const { AtomicU8::new(0) }; SIZE],
            head: AtomicU32::new(0),
            tail: AtomicU32::new(0),
            lost: AtomicU64::new(0),
        }
    }

    fn slot(&self, position: u32) -> Option<&AtomicU8> {
        self.bytes.get(position as usize % SIZE)
    }

    /// Adds a byte, or counts it as lost when there is no room.
    pub(super) fn push(&self, byte: u8) {
        let head = self.head.load(Ordering::Relaxed);
        let fill = head.wrapping_sub(self.tail.load(Ordering::Acquire));
        if fill as usize >= SIZE {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if let Some(slot) = self.slot(head) {
            slot.store(byte, Ordering::Relaxed);
        }
        // The byte is visible before its position.
        self.head.store(head.wrapping_add(1), Ordering::Release);
    }

    /// Takes as many bytes as there are and fit.
    pub(super) fn pop_into(&self, out: &mut [u8]) -> usize {
        let tail = self.tail.load(Ordering::Relaxed);
        let fill = self.head.load(Ordering::Acquire).wrapping_sub(tail) as usize;
        let count = fill.min(out.len());
        for (place, position) in out.iter_mut().take(count).zip(0..) {
            *place = self.slot(tail.wrapping_add(position)).map_or(0, |slot| slot.load(Ordering::Relaxed));
        }
        self.tail.store(tail.wrapping_add(count as u32), Ordering::Release);
        count
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn bytes_come_out_in_order_over_the_wrap() {
        let ring = Ring::new();
        let mut expected = 0_u8;
        let mut next = 0_u8;
        let mut out = [0; 700];
        for _ in 0..100 {
            for _ in 0..650 {
                ring.push(next);
                next = next.wrapping_add(1);
            }
            let count = ring.pop_into(&mut out);
            assert_eq!(count, 650);
            for byte in &out[..count] {
                assert_eq!(*byte, expected);
                expected = expected.wrapping_add(1);
            }
        }
    }

    #[test]
    fn overflow_keeps_the_oldest_and_counts_the_rest() {
        let ring = Ring::new();
        for at in 0..SIZE + 5 {
            ring.push(at as u8);
        }
        assert_eq!(ring.lost(), 5);
        let mut out = std::vec![0; SIZE + 10];
        assert_eq!(ring.pop_into(&mut out), SIZE);
        assert_eq!(out[..3], [0, 1, 2]);
        assert_eq!(ring.pop_into(&mut out), 0);
    }

    #[test]
    fn producer_and_consumer_threads_lose_nothing_that_fits() {
        let ring = std::sync::Arc::new(Ring::new());
        let producer = {
            let ring = ring.clone();
            std::thread::spawn(move || (0..3000).for_each(|at| ring.push(at as u8)))
        };
        let mut seen = Vec::new();
        let mut out = [0; 64];
        while seen.len() < 3000 {
            let count = ring.pop_into(&mut out);
            seen.extend_from_slice(&out[..count]);
        }
        producer.join().unwrap();
        assert!(seen.iter().enumerate().all(|(at, byte)| *byte == at as u8));
    }
}
