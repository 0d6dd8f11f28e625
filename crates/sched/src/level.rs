//! Virtual time of one level of one CPU, and in which of its queues somebody waits.
//!
//! A calendar of 64 buckets of about a millisecond, first come first served in each. The first occupied one is found in
//! a bitmap, so every operation is O(1), and two tasks of a level are never further apart than their true virtual times say plus
//! one bucket. A task beyond the window is put into the last bucket and moved on when its turn comes early, at most
//! [`REPAIRS`] of them per choice. In System the buckets are ranks, and time stands still.

/// Buckets; the bits of the map.
pub(crate) const BUCKETS: u64 = 64;
/// Width of a bucket: 2^20 ns.
pub(crate) const SHIFT: u32 = 20;
/// Tasks that one choice moves on at most; the cost of a choice stays constant. Each was charged a whole window before.
pub(crate) const REPAIRS: u32 = 4;

#[derive(Clone, Copy, Default)]
pub(crate) struct Level {
    /// Number of the bucket that virtual time has reached.
    pub(crate) floor: u64,
    /// Bit `n % 64` for bucket `n`.
    pub(crate) occupied: u64,
    /// The same for buckets that may hold a task that belongs into a later one.
    pub(crate) late: u64,
}

impl Level {
    /// Virtual time of the level: nobody in it is earlier.
    #[inline]
    pub(crate) const fn time(&self) -> u64 {
        self.floor << SHIFT
    }

    /// The bucket for a task at its virtual time.
    #[inline]
    pub(crate) fn bucket(&self, vruntime: u64) -> u64 {
        (vruntime >> SHIFT).max(self.floor).min(self.floor + BUCKETS - 1)
    }

    /// First occupied bucket from the floor on; of a level that is not empty.
    #[inline]
    pub(crate) const fn first(&self) -> u64 {
        self.floor + self.occupied.rotate_right((self.floor % BUCKETS) as u32).trailing_zeros() as u64
    }

    /// Last occupied bucket; the floor of an empty level.
    pub(crate) fn last(&self) -> u64 {
        let empty_after = self.occupied.rotate_right((self.floor % BUCKETS) as u32).leading_zeros();
        self.floor + (BUCKETS - 1).saturating_sub(u64::from(empty_after))
    }

    /// Notes that somebody is in bucket `bucket` who belongs into `wanted`.
    pub(crate) fn note(&mut self, bucket: u64, wanted: u64) {
        let bit = 1 << (bucket % BUCKETS);
        self.occupied |= bit;
        if wanted > bucket {
            self.late |= bit;
        }
    }

    /// Notes that nobody is in a bucket any more.
    pub(crate) fn vacate(&mut self, bucket: u64) {
        let rest = !(1 << (bucket % BUCKETS));
        self.occupied &= rest;
        self.late &= rest;
    }
}
