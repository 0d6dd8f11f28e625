//! One level of one CPU: its waiting tasks, sorted into buckets of virtual time.
//!
//! A calendar of 64 buckets of about a millisecond, first come first served in each. The first occupied one is found in
//! a bitmap, so every operation is O(1), and two tasks of a level are never further apart than their true virtual times say plus
//! one bucket. A task beyond the window is put into the last bucket and moved on when its turn comes early, at most
//! [`REPAIRS`] of them per choice. A level in order of arrival uses a single bucket.

use crate::slot::{NIL, Slot, Slots};

/// Buckets; the bits of the map.
const BUCKETS: u64 = 64;
/// Width of a bucket: 2^20 ns.
const SHIFT: u32 = 20;
/// Tasks that one choice moves on at most; the cost of a choice stays constant. Each was charged a whole window before.
const REPAIRS: u32 = 4;

/// Where in its bucket a task goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Head,
    Tail,
}

pub(crate) struct Level {
    /// Number of the bucket that virtual time has reached.
    floor: u64,
    /// Bit `n % 64` for bucket `n`.
    occupied: u64,
    heads: [u32; BUCKETS as usize],
    tails: [u32; BUCKETS as usize],
    len: u32,
}

impl Level {
    pub(crate) fn new() -> Self {
        Self { floor: 0, occupied: 0, heads: [NIL; 64], tails: [NIL; 64], len: 0 }
    }

    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// Virtual time of the level: nobody in it is earlier.
    pub(crate) fn floor(&self) -> u64 {
        self.floor << SHIFT
    }

    /// Puts a task at its virtual time, no earlier than the floor.
    #[inline]
    pub(crate) fn push(&mut self, slots: &Slots, index: u32, slot: &Slot, vruntime: u64, end: End) {
        let last = self.floor + BUCKETS - 1;
        self.link(slots, index, slot, (vruntime >> SHIFT).clamp(self.floor, last), end);
    }

    /// Puts a task behind every other.
    #[inline]
    pub(crate) fn push_last(&mut self, slots: &Slots, index: u32, slot: &Slot, vruntime: u64) {
        let last = self.floor + BUCKETS - 1;
        let behind = self.last().unwrap_or(self.floor);
        self.link(slots, index, slot, (vruntime >> SHIFT).clamp(behind, last), End::Tail);
    }

    /// The task whose turn it is; moves the floor up to it.
    #[inline]
    pub(crate) fn first<'s>(&mut self, slots: &'s Slots) -> Option<(u32, &'s Slot)> {
        for _ in 0..REPAIRS {
            let (bucket, index) = self.front()?;
            self.floor = bucket;
            let slot = slots.get(index)?;
            let vruntime = slot.vruntime.get();
            // Only a task from beyond the window is late; one that was put back by a yield is early.
            if vruntime >> SHIFT <= bucket {
                return Some((index, slot));
            }
            self.unlink(slots, slot);
            if self.len == 0 {
                self.floor = vruntime >> SHIFT;
            }
            self.push(slots, index, slot, vruntime, End::Tail);
        }
        let (bucket, index) = self.front()?;
        self.floor = bucket;
        Some((index, slots.get(index)?))
    }

    /// The task that came first, in a level in order of arrival.
    pub(crate) fn first_by_arrival<'s>(&self, slots: &'s Slots) -> Option<(u32, &'s Slot)> {
        let index = self.peek()?;
        Some((index, slots.get(index)?))
    }

    /// The only task of the level runs and has come to `vruntime`: so has the level.
    pub(crate) fn follow(&mut self, vruntime: u64) {
        if self.len == 0 {
            self.floor = self.floor.max(vruntime >> SHIFT);
        }
    }

    /// The task that [`Level::first`] would most likely return, without moving anything.
    pub(crate) fn peek(&self) -> Option<u32> {
        self.front().map(|(_, index)| index)
    }

    /// Takes out a task that is in this level.
    #[inline]
    pub(crate) fn unlink(&mut self, slots: &Slots, slot: &Slot) {
        let (bucket, next, prev) = (u64::from(slot.bucket()), slot.next.get(), slot.prev.get());
        match slots.linked(prev) {
            Some(before) => before.next.set(next),
            None => set(&mut self.heads, bucket, next),
        }
        match slots.linked(next) {
            Some(after) => after.prev.set(prev),
            None => set(&mut self.tails, bucket, prev),
        }
        if next == NIL && prev == NIL {
            self.occupied &= !(1 << bucket);
        }
        self.len -= 1;
    }

    #[inline]
    fn link(&mut self, slots: &Slots, index: u32, slot: &Slot, number: u64, end: End) {
        let bucket = number % BUCKETS;
        slot.set_bucket(bucket as u8);
        if self.occupied & 1 << bucket == 0 {
            self.occupied |= 1 << bucket;
            slot.next.set(NIL);
            slot.prev.set(NIL);
            set(&mut self.heads, bucket, index);
            set(&mut self.tails, bucket, index);
        } else if end == End::Tail {
            let tail = get(&self.tails, bucket);
            slot.next.set(NIL);
            slot.prev.set(tail);
            if let Some(before) = slots.get(tail) {
                before.next.set(index);
            }
            set(&mut self.tails, bucket, index);
        } else {
            let head = get(&self.heads, bucket);
            slot.prev.set(NIL);
            slot.next.set(head);
            if let Some(after) = slots.get(head) {
                after.prev.set(index);
            }
            set(&mut self.heads, bucket, index);
        }
        self.len += 1;
    }

    /// First occupied bucket from the floor on, and its first task.
    fn front(&self) -> Option<(u64, u32)> {
        if self.occupied == 0 {
            return None;
        }
        let ahead = self.occupied.rotate_right((self.floor % BUCKETS) as u32).trailing_zeros();
        let bucket = self.floor + u64::from(ahead);
        Some((bucket, get(&self.heads, bucket % BUCKETS)))
    }

    /// Last occupied bucket.
    fn last(&self) -> Option<u64> {
        if self.occupied == 0 {
            return None;
        }
        let empty_after = self.occupied.rotate_right((self.floor % BUCKETS) as u32).leading_zeros();
        Some(self.floor + BUCKETS - 1 - u64::from(empty_after))
    }
}

fn get(links: &[u32; 64], bucket: u64) -> u32 {
    links.get((bucket % BUCKETS) as usize).copied().unwrap_or(NIL)
}

fn set(links: &mut [u32; 64], bucket: u64, index: u32) {
    if let Some(link) = links.get_mut((bucket % BUCKETS) as usize) {
        *link = index;
    }
}
