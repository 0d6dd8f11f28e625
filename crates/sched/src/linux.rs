//! Linux's scheduling policies, in terms of classes and levels.
//!
//! | Linux | here |
//! |---|---|
//! | SCHED_FIFO 1–99 | System, levels 5–1 by twenties (1–19 is 5, 80–99 is 1), in a level by rank (the higher priority first), then first in, first out; level 0 is the kernel's own |
//! | SCHED_RR 1–99 | the same levels and ranks, by slices among equals |
//! | SCHED_OTHER | the class of the program's [`Role`], level 2, adaptive; nice is its weight in the level |
//! | SCHED_BATCH | the same, never boosted |
//! | SCHED_IDLE | Background, level 5; nice is its weight |
//! | SCHED_DEADLINE, SCHED_EXT | refused |
//!
//! Users and groups: the kernel chooses a [`Role`] and a level ([`Policy::at`]) from a process's credentials and session; what it
//! chooses applies to SCHED_OTHER and SCHED_BATCH.

use abi::linux::general::{SCHED_BATCH, SCHED_DEADLINE, SCHED_EXT, SCHED_FIFO, SCHED_IDLE, SCHED_NORMAL, SCHED_RR};

use crate::SchedError;
use crate::class::Class;
use crate::priority::{Flavour, Level, Policy};

/// What a program is for: the class of its SCHED_OTHER.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// What the machine cannot do without: init, the supervisor.
    Critical,
    /// In the foreground of a terminal.
    Foreground,
    /// Anything else of a user.
    #[default]
    Ordinary,
    /// A service.
    Service,
    /// A job without a terminal that may take its time.
    Job,
}

impl Role {
    /// Its class.
    pub const fn class(self) -> Class {
        match self {
            Self::Critical => Class::System,
            Self::Foreground => Class::Interactive,
            Self::Ordinary => Class::User,
            Self::Service => Class::Service,
            Self::Job => Class::Background,
        }
    }
}

/// The policy for what `sched_setscheduler` was told, for a program of `role`.
///
/// # Errors
/// `InvalidPolicy`: no such policy, or a static priority that does not fit it. `UnsupportedPolicy`: SCHED_DEADLINE, SCHED_EXT.
pub fn policy_from_linux(policy: u32, priority: u32, nice: i8, role: Role) -> Result<Policy, SchedError> {
    if policy == SCHED_NORMAL && priority == 0 {
        return Ok(Policy::new(role.class()).nice(nice));
    }
    let real_time = matches!(policy, SCHED_FIFO | SCHED_RR);
    if !(if real_time { (1..=99).contains(&priority) } else { priority == 0 }) {
        return Err(SchedError::InvalidPolicy);
    }
    let static_level = Level::new(5 - (priority / 20) as u8);
    let rank = 19 - (priority % 20) as u8;
    let class = role.class();
    Ok(match policy {
        SCHED_FIFO => Policy::new(Class::System).at(static_level).rank(rank).flavour(Flavour::Fifo),
        SCHED_RR => Policy::new(Class::System).at(static_level).rank(rank).flavour(Flavour::Fixed),
        SCHED_NORMAL => Policy::new(class).nice(nice),
        SCHED_BATCH => Policy::new(class).nice(nice).flavour(Flavour::Batch),
        SCHED_IDLE => Policy::new(Class::Background).at(Level::BOTTOM).nice(nice).flavour(Flavour::Fixed),
        SCHED_DEADLINE | SCHED_EXT => return Err(SchedError::UnsupportedPolicy),
        _ => return Err(SchedError::InvalidPolicy),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::Credit;

    #[test]
    fn real_time_priorities_map_to_system_levels_in_order() {
        let level = |priority| policy_from_linux(SCHED_FIFO, priority, 0, Role::Ordinary).unwrap().level.number();
        assert_eq!([1, 19, 20, 50, 80, 99].map(level), [5, 5, 4, 3, 1, 1]);
        assert!((1..99).all(|priority| level(priority) >= level(priority + 1)));
        let urgency = |priority| {
            policy_from_linux(SCHED_RR, priority, 0, Role::Ordinary).unwrap().place(Credit::NEUTRAL).urgency()
        };
        assert!((1..99).all(|priority| urgency(priority + 1) < urgency(priority)), "no two are alike");
    }

    #[test]
    fn roles_choose_the_class_and_nice_the_weight() {
        let policy = policy_from_linux(SCHED_NORMAL, 0, 5, Role::Foreground).unwrap();
        assert_eq!(policy, Policy::new(Class::Interactive).nice(5));
        let idle = policy_from_linux(SCHED_IDLE, 0, 0, Role::Critical).unwrap();
        assert_eq!((idle.class, idle.level), (Class::Background, Level::BOTTOM));
        assert_eq!(policy_from_linux(SCHED_BATCH, 0, 0, Role::Service).unwrap().flavour, Flavour::Batch);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (policy, priority) in [(SCHED_FIFO, 0), (SCHED_RR, 100), (SCHED_NORMAL, 1), (77, 0), (4, 0)] {
            assert_eq!(policy_from_linux(policy, priority, 0, Role::Ordinary), Err(SchedError::InvalidPolicy));
        }
        assert_eq!(policy_from_linux(SCHED_DEADLINE, 0, 0, Role::Ordinary), Err(SchedError::UnsupportedPolicy));
    }
}
