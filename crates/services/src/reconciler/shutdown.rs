//! The end of everything, within a fixed time: in reverse order until the time-out, then everybody together, then killed.

use super::{Config, Reconciler};
use crate::action::{Action, Actions};
use crate::id::{InstanceId, ServiceId};
use crate::state::Cause;
use crate::table::Trigger;
use types::Nanos;

/// How far a shutdown is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// In reverse order of the starts.
    Orderly,
    /// All that is left has its last signal.
    Grace,
    /// All that is left is killed.
    Killed,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Shutdown {
    pub(super) started: Nanos,
    pub(super) stage: Stage,
}

impl Shutdown {
    pub(super) fn deadline(&self, config: &Config) -> Option<Nanos> {
        match self.stage {
            Stage::Orderly => Some(self.started + config.shutdown_timeout),
            Stage::Grace => Some(self.started + config.shutdown_timeout + config.shutdown_grace),
            Stage::Killed => None,
        }
    }
}

impl Reconciler {
    pub(super) fn begin_shutdown(&mut self, actions: &mut Actions) {
        if self.shutdown.is_some() {
            return;
        }
        self.shutdown = Some(Shutdown { started: self.now, stage: Stage::Orderly });
        self.startable.clear();
        self.refused.clear();
        for id in 0..self.services.len() as u16 {
            self.dirty_services.push(id);
        }
        if self.live_cells == 0 {
            actions.push(Action::Halted);
        }
    }

    /// Enters the next stage when its time has come; whether it did. The instances follow one by one, so that a step without
    /// room can go on later.
    pub(super) fn advance_shutdown(&mut self, actions: &mut Actions) -> bool {
        let Some(shutdown) = self.shutdown else { return false };
        if shutdown.deadline(&self.config).is_none_or(|due| due > self.now) {
            return false;
        }
        let (stage, trigger) = match shutdown.stage {
            Stage::Orderly => (Stage::Grace, Trigger::ShutdownGrace),
            Stage::Grace | Stage::Killed => (Stage::Killed, Trigger::ShutdownKill),
        };
        for slot in 0..self.instances.len() as u16 {
            if !actions.has_room() {
                // Those already moved are not moved again: the table has no row for them.
                return false;
            }
            self.apply(InstanceId(slot), trigger, Cause::Shutdown, actions);
        }
        self.shutdown = Some(Shutdown { stage, ..shutdown });
        true
    }

    pub(super) fn set_explicit(&mut self, id: ServiceId, wanted: Wanted) {
        self.services[id].explicit = wanted == Wanted::Yes;
        self.dirty_services.push(id.0);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Yes,
    No,
}
