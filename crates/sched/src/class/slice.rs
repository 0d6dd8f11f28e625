//! Lengths of slices.

use types::Nanos;

use crate::priority::Weight;

/// Shortest slice outside of a rescue, in a crowd of thousands. A switch costs about 2 µs with its cache misses: 4 % of this.
pub(crate) const MIN_SLICE: Nanos = Nanos::from_micros(50);

/// Shortest slice for the sake of a small weight. It moves a task of the smallest by 51 ms of virtual time, which still
/// fits a level's window of 64.
const LIGHT_SLICE: Nanos = Nanos::from_micros(750);

/// Time in which each task of a level is to run once: half the longest patience of the starvation rule, so that a level
/// which is merely crowded does not look starved (with full slices of [`MIN_SLICE`] up to 10,000 tasks).
const ROUND: u64 = 256_000_000;

/// `full` for one of few, less for one of many.
pub(crate) fn in_crowd(full: Nanos, waiting: u32) -> Nanos {
    Nanos(full.0.min(ROUND / (u64::from(waiting) + 1)).max(MIN_SLICE.0))
}

/// `full` for one of few; less for one of many, and for a small weight.
pub(super) fn fair(full: Nanos, weight: Weight, waiting: u32) -> Nanos {
    let crowd = in_crowd(full, waiting).0;
    let weighted = if weight < Weight::UNIT { crowd * u64::from(weight.get()) / 1024 } else { crowd };
    Nanos(weighted.max(LIGHT_SLICE.0.min(crowd)))
}
