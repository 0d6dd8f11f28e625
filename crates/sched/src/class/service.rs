//! Services: levels are for their importance, so there is no boost; a hog goes one down.

use types::Nanos;

use super::{Credit, Order, SchedulingClass, slice};
use crate::priority::{Flavour, Level, Policy};

/// Throughput counts more than the delay of one answer.
const SLICE: Nanos = Nanos::from_millis(8);

pub(super) struct Service;

impl SchedulingClass for Service {
    fn order(&self) -> Order {
        Order::Fair
    }

    fn slice(&self, policy: Policy, waiting: u32) -> Nanos {
        slice::fair(SLICE, self.weight(policy), waiting)
    }

    fn level(&self, policy: Policy, credit: Credit) -> Level {
        match policy.flavour {
            Flavour::Adaptive | Flavour::Batch if credit.is_hog() => policy.level.lowered(1),
            _ => policy.level,
        }
    }

    fn preempts(&self, waking: Level, running: Level) -> bool {
        waking < running
    }
}
