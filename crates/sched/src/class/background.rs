//! What has time: long slices, fixed levels, no preemption among themselves.

use types::Nanos;

use super::{Credit, SchedulingClass};
use crate::priority::{Level, Policy};

pub(super) struct Background;

impl SchedulingClass for Background {
    /// As few switches as fairness among them allows.
    const SLICE: Nanos = Nanos::from_millis(16);

    fn level(&self, policy: Policy, _credit: Credit) -> Level {
        policy.level
    }
}
