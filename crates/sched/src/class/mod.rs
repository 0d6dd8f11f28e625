//! The five classes: what each decides behind one small trait.

mod background;
mod credit;
mod interactive;
mod service;
mod slice;
mod system;
mod user;

#[cfg(test)]
mod tests;

pub(crate) use credit::Credit;
pub(crate) use slice::MIN_SLICE;

use types::Nanos;

use crate::priority::{Level, Policy, Weight};

/// Who a task works for, most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// The kernel's own tasks, real-time tasks, what the machine cannot do without.
    System = 0,
    /// What a person waits for: shells, terminals.
    Interactive = 1,
    /// Ordinary programs.
    User = 2,
    /// Services that nobody waits for at this moment.
    Service = 3,
    /// What may take as long as it takes.
    Background = 4,
}

impl Class {
    /// Every class, most urgent first.
    pub const ALL: [Self; 5] = [Self::System, Self::Interactive, Self::User, Self::Service, Self::Background];

    /// The class's decisions.
    pub(crate) fn rules(self) -> &'static dyn SchedulingClass {
        match self {
            Self::System => &system::System,
            Self::Interactive => &interactive::Interactive,
            Self::User => &user::User,
            Self::Service => &service::Service,
            Self::Background => &background::Background,
        }
    }
}

/// In which order the tasks of a level run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// First come, first served; a task whose slice ended goes to the tail.
    Arrival,
    /// Least virtual time first: CPU time over weight.
    Fair,
}

/// What differs between classes. Every class runs the shared suite in `tests.rs` beside its own tests.
pub(crate) trait SchedulingClass: Sync {
    /// Order within a level.
    fn order(&self) -> Order;

    /// How long a task of `weight` runs at a stretch while `waiting` others wait in its level.
    fn slice(&self, policy: Policy, waiting: u32) -> Nanos;

    /// Level of a task that slept and ran as `credit` says.
    fn level(&self, policy: Policy, credit: Credit) -> Level;

    /// Whether a task that wakes at `waking` takes the CPU from one of the same class that runs at `running`.
    fn preempts(&self, waking: Level, running: Level) -> bool;

    /// Share of a task within its level.
    fn weight(&self, policy: Policy) -> Weight {
        policy.weight()
    }
}
