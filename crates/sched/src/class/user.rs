//! Ordinary programs: one level up for sleepers, two down for hogs.

use types::Nanos;

use super::{Credit, SchedulingClass};
use crate::priority::{Flavour, Level, Policy};

pub(super) struct User;

impl SchedulingClass for User {
    /// Long enough to fill a cache, short enough that four rounds of ten tasks fit the patience of a person.
    const SLICE: Nanos = Nanos::from_millis(6);

    fn level(&self, policy: Policy, credit: Credit) -> Level {
        match policy.flavour {
            Flavour::Adaptive | Flavour::Batch if credit.is_empty() => policy.level.lowered(2),
            Flavour::Adaptive | Flavour::Batch if credit.is_hog() => policy.level.lowered(1),
            Flavour::Adaptive if credit.is_sleeper() => policy.level.raised(1),
            _ => policy.level,
        }
    }
}
