//! The five classes: what each decides behind one small trait. What every switch needs of these decisions is kept in the
//! task's [`Place`](crate::priority::Place).

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
pub(crate) use slice::in_crowd as slice_in_crowd;

use types::Nanos;

use crate::priority::{Flavour, Level, Policy, Weight};

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
    #[inline]
    pub(crate) const fn rules(self) -> Rules {
        Rules(self)
    }
}

/// A class's decisions, called without a table of functions: the compiler sees through them on the way of a switch.
#[derive(Clone, Copy)]
pub(crate) struct Rules(Class);

/// Calls the same method of whichever class it is.
macro_rules! of_class {
    ($class:expr, $method:ident($($argument:expr),*)) => {
        match $class {
            Class::System => system::System.$method($($argument),*),
            Class::Interactive => interactive::Interactive.$method($($argument),*),
            Class::User => user::User.$method($($argument),*),
            Class::Service => service::Service.$method($($argument),*),
            Class::Background => background::Background.$method($($argument),*),
        }
    };
}

impl Rules {
    #[inline]
    pub(crate) fn slice(self, flavour: Flavour, weight: Weight, waiting: u32) -> Nanos {
        of_class!(self.0, slice(flavour, weight, waiting))
    }

    #[inline]
    pub(crate) fn level(self, policy: Policy, credit: Credit) -> Level {
        of_class!(self.0, level(policy, credit))
    }
}

/// What differs between classes. Every class runs the shared suite in `tests.rs` beside its own tests.
trait SchedulingClass {
    /// Longest run at a stretch of a task of nice 0 among few.
    const SLICE: Nanos;

    /// How long a task runs at a stretch while `waiting` others wait.
    fn slice(&self, _flavour: Flavour, weight: Weight, waiting: u32) -> Nanos {
        slice::fair(Self::SLICE, weight, waiting)
    }

    /// Level of a task that slept and ran as `credit` says.
    fn level(&self, policy: Policy, credit: Credit) -> Level;
}
