//! What the reconciler remembers about a service and about an instance.

use types::Nanos;

use super::goals::Hold;
use crate::id::{Generation, InstanceId, ServiceId};
use crate::state::{Cause, State};

#[derive(Clone, Debug, Default)]
pub(super) struct Service {
    /// Wanted by an operator or from boot on.
    pub(super) explicit: bool,
    /// Wanted at the next boot.
    pub(super) enabled: bool,
    pub(super) hold: Hold,
    /// No longer in the set; goes away when its last cell is empty.
    pub(super) retired: bool,
    /// Wanted dependents that pull it in.
    pub(super) pulled: u16,
    // Derived by `evaluate_service`.
    pub(super) wanted: bool,
    pub(super) blocked: bool,
    pub(super) goal: bool,
    // Counted by `enter`.
    pub(super) ready: u16,
    pub(super) live: u16,
    /// Was ready once since boot.
    pub(super) milestone: bool,
    /// Instances to run.
    pub(super) count: u16,
    /// As many as an operator has asked for, if one has.
    pub(super) scaled: Option<u16>,
    pub(super) first: Option<InstanceId>,
    /// Times in a row that it was lost although wanted.
    pub(super) blinks: u8,
    pub(super) blink_since: Nanos,
    /// Instances passed over when work is given out.
    pub(super) ejected: u16,
    /// Most of them are.
    pub(super) panicking: bool,
    pub(super) roll: Option<Roll>,
    /// The last rolling restart stopped at a failure.
    pub(super) roll_failed: bool,
}

/// Progress of a rolling restart.
#[derive(Clone, Copy, Debug)]
pub(super) enum Roll {
    /// The instance with this index is next.
    Next(u16),
    /// This instance must leave this generation and become stable.
    Wait(u16, InstanceId, Generation),
}

/// What follows when the cell is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Whatever the goal says.
    #[default]
    Settle,
    /// It ran to its end.
    Success,
    /// It failed.
    Crash,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Instance {
    pub(super) service: Option<ServiceId>,
    /// `web#index`.
    pub(super) index: u16,
    pub(super) next: Option<InstanceId>,
    pub(super) state: State,
    pub(super) since: Nanos,
    pub(super) generation: Generation,
    /// In a row.
    pub(super) failures: u8,
    /// This generation was ready.
    pub(super) was_ready: bool,
    /// This generation was ready for long enough.
    pub(super) stable: bool,
    pub(super) outcome: Outcome,
    /// Why it is in its state.
    pub(super) cause: Cause,
    /// Why the last generation ended.
    pub(super) last_end: Cause,
    pub(super) wants_expired: bool,
    pub(super) loss_expired: bool,
    /// When this generation was spawned.
    pub(super) spawned: Nanos,
    /// Smoothed time from spawn to ready.
    pub(super) start_time: Nanos,
    /// An operator lets it stand still.
    pub(super) paused: bool,
    pub(super) misses: u8,
    pub(super) probing: bool,
    /// Memory promised to this generation.
    pub(super) reserved: u64,
}
