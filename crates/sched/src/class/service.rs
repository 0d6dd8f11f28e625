//! Services: levels are for their importance, so there is no boost; a hog goes one down.

use types::Nanos;

use super::{Credit, SchedulingClass};
use crate::priority::{Flavour, Level, Policy};

pub(super) struct Service;

impl SchedulingClass for Service {
    /// Throughput counts more than the delay of one answer.
    const SLICE: Nanos = Nanos::from_millis(8);

    fn level(&self, policy: Policy, credit: Credit) -> Level {
        match policy.flavour {
            Flavour::Adaptive | Flavour::Batch if credit.is_hog() => policy.level.lowered(1),
            _ => policy.level,
        }
    }
}
