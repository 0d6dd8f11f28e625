//! What a person waits for: short slices, two levels up for sleepers, two down for hogs.

use types::Nanos;

use super::{Credit, SchedulingClass};
use crate::priority::{Flavour, Level, Policy};

pub(super) struct Interactive;

impl SchedulingClass for Interactive {
    /// Four hogs among them are still through within a frame of 60 Hz.
    const SLICE: Nanos = Nanos::from_millis(4);

    fn level(&self, policy: Policy, credit: Credit) -> Level {
        match policy.flavour {
            Flavour::Adaptive | Flavour::Batch if credit.is_empty() => policy.level.lowered(2),
            Flavour::Adaptive | Flavour::Batch if credit.is_hog() => policy.level.lowered(1),
            Flavour::Adaptive if credit == Credit::FULL => policy.level.raised(2),
            Flavour::Adaptive if credit.is_sleeper() => policy.level.raised(1),
            _ => policy.level,
        }
    }
}
