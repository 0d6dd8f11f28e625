//! What has time: long slices, fixed levels, no preemption among themselves.

use types::Nanos;

use super::{Credit, Order, SchedulingClass, slice};
use crate::priority::{Level, Policy};

/// As few switches as fairness among them allows.
const SLICE: Nanos = Nanos::from_millis(16);

pub(super) struct Background;

impl SchedulingClass for Background {
    fn order(&self) -> Order {
        Order::Fair
    }

    fn slice(&self, policy: Policy, waiting: u32) -> Nanos {
        slice::fair(SLICE, self.weight(policy), waiting)
    }

    fn level(&self, policy: Policy, _credit: Credit) -> Level {
        policy.level
    }

    fn preempts(&self, _waking: Level, _running: Level) -> bool {
        false
    }
}
