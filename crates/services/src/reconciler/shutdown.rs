//! The end of everything, within a fixed time: in reverse order until the time-out, then everybody together, then killed.
//!
//! Until the time-out the layers share what is left of it by what they ask for, so that one slow layer does not eat the time
//! of those that stop after it.

use super::{Config, Reconciler};
use crate::action::{Action, Actions};
use crate::id::{InstanceId, ServiceId};
use crate::state::Cause;
use crate::table::Trigger;
use types::Nanos;

/// How far a shutdown is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// In reverse order of the starts.
    Orderly,
    /// All that is left has its last signal.
    Grace,
    /// All that is left is killed.
    Killed,
}

/// What follows when nothing runs any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ending {
    /// The machine stands still.
    #[default]
    Halt,
    /// The machine restarts.
    Reboot,
    /// The machine is switched off.
    PowerOff,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Shutdown {
    pub(super) started: Nanos,
    pub(super) stage: Stage,
    pub(super) ending: Ending,
    /// When the next stage begins.
    due: Option<Nanos>,
}

impl Shutdown {
    pub(super) const fn deadline(&self) -> Option<Nanos> {
        self.due
    }
}

impl Reconciler {
    /// A second request changes nothing.
    pub(super) fn begin_shutdown(&mut self, ending: Ending, actions: &mut Actions) {
        if self.shutdown.is_some() {
            return;
        }
        let due = Some(self.now + self.config.shutdown_timeout);
        self.shutdown = Some(Shutdown { started: self.now, stage: Stage::Orderly, ending, due });
        self.escalation = None;
        self.startable.clear();
        self.refused.clear();
        self.weigh_layers();
        for id in 0..self.services.len() as u16 {
            self.dirty_services.push(id);
        }
        if self.live_cells == 0 {
            actions.push(Action::Halted(ending));
        }
    }

    /// As `begin_shutdown`, or within one: everything is killed at once.
    pub(super) fn begin_kill(&mut self, ending: Ending, actions: &mut Actions) {
        self.begin_shutdown(ending, actions);
        if let Some(shutdown) = self.shutdown.as_mut().filter(|shutdown| shutdown.stage < Stage::Killed) {
            (shutdown.stage, shutdown.due) = (Stage::Grace, Some(self.now));
        }
    }

    /// Enters the next stage when its time has come; whether it did. The instances follow one by one, so that a step without
    /// room can go on later.
    pub(super) fn advance_shutdown(&mut self, actions: &mut Actions) -> bool {
        let Some(shutdown) = self.shutdown else { return false };
        if shutdown.due.is_none_or(|due| due > self.now) {
            return false;
        }
        let (stage, trigger, due) = match shutdown.stage {
            Stage::Orderly => (Stage::Grace, Trigger::ShutdownGrace, Some(self.end_of_grace(shutdown.started))),
            Stage::Grace | Stage::Killed => (Stage::Killed, Trigger::ShutdownKill, None),
        };
        for slot in 0..self.instances.len() as u16 {
            if !actions.has_room() {
                // Those already moved are not moved again: the table has no row for them.
                return false;
            }
            self.apply(InstanceId(slot), trigger, Cause::Shutdown, actions);
        }
        self.shutdown = Some(Shutdown { stage, due, ..shutdown });
        true
    }

    pub(super) fn end_of_grace(&self, started: Nanos) -> Nanos {
        let Config { shutdown_timeout, shutdown_grace, .. } = self.config;
        started + shutdown_timeout + shutdown_grace
    }

    /// For each layer, the sum of what it and those below it ask for: the longest stop of each layer that has cells.
    fn weigh_layers(&mut self) {
        self.layers.fill(0);
        for slot in 0..self.services.len() as u16 {
            let id = ServiceId(slot);
            let Some(definition) = self.catalog.definition(id).filter(|_| self.services[id].live > 0) else { continue };
            let asks = definition.stop.timeout.0.saturating_add(definition.stop.drain.0).max(1);
            if let Some(layer) = self.layers.get_mut(usize::from(self.catalog.level(id))) {
                *layer = asks.max(*layer);
            }
        }
        let mut sum = 0u64;
        for layer in &mut self.layers {
            sum = sum.saturating_add(*layer);
            *layer = sum;
        }
    }

    /// The part of the time that is left that a service of this layer may use.
    pub(super) fn share(&self, id: ServiceId) -> Nanos {
        let Some(shutdown) = self.shutdown else { return Nanos::MAX };
        let left = (shutdown.started + self.config.shutdown_timeout).saturating_sub(self.now);
        let level = usize::from(self.catalog.level(id));
        let upto = self.layers.get(level).copied().unwrap_or(0);
        let below = level.checked_sub(1).and_then(|level| self.layers.get(level)).copied().unwrap_or(0);
        if upto <= below {
            return left;
        }
        Nanos((u128::from(left.0) * u128::from(upto - below) / u128::from(upto)) as u64)
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
