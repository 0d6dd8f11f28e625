//! The kernel's tasks and real-time tasks: fixed levels, by rank and then first come first served in each.

use types::Nanos;

use super::{Credit, SchedulingClass, slice};
use crate::priority::{Flavour, Level, Policy, Weight};

/// SCHED_FIFO has no slice; so often is it looked at whether somebody starves.
const FIFO_SLICE: Nanos = Nanos::from_millis(100);

pub(super) struct System;

impl SchedulingClass for System {
    /// Long, since such tasks are few and block soon; real-time round robin among equals.
    const SLICE: Nanos = Nanos::from_millis(10);

    fn slice(&self, flavour: Flavour, _weight: Weight, waiting: u32) -> Nanos {
        if flavour == Flavour::Fifo { FIFO_SLICE } else { slice::fair(Self::SLICE, Weight::UNIT, waiting) }
    }

    fn level(&self, policy: Policy, _credit: Credit) -> Level {
        policy.level
    }
}
