//! Lengths of slices.

use types::Nanos;

use crate::priority::Weight;

/// Shortest slice outside of a rescue. A switch costs about 2 µs with its cache misses: 0.3 % of this. With the smallest
/// weight it moves a task by 51 ms of virtual time, which still fits a level's window of 64.
pub(crate) const MIN_SLICE: Nanos = Nanos::from_micros(750);

/// Time in which each task of a level is to run once: half the longest patience of the starvation rule, so that a level
/// which is merely crowded does not look starved (up to 341 tasks; beyond, both rules serve in turn).
const ROUND: u64 = 256_000_000;

/// `full` for one of few; less for one of many, and for a small weight.
pub(super) fn fair(full: Nanos, weight: Weight, waiting: u32) -> Nanos {
    let crowd = if u64::from(waiting) * full.0 > ROUND { ROUND / (u64::from(waiting) + 1) } else { full.0 };
    let weighted = if weight < Weight::UNIT { crowd * u64::from(weight.get()) / 1024 } else { crowd };
    Nanos(weighted.max(MIN_SLICE.0))
}
