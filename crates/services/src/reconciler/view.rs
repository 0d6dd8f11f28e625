//! What can be seen from outside.

use super::gates::Closed;
use super::{Config, Hold, Reconciler, Stage};
use crate::audit::{Actor, Audit, Deed};
use crate::catalog::Catalog;
use crate::definition::DependencyKind;
use crate::history::Transition;
use crate::id::{Identity, InstanceId, ServiceId};
use crate::state::{Cause, State};
use crate::timers::TimerKind;
#[cfg(test)]
use alloc::vec::Vec;
use types::Nanos;

/// One instance at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstanceView {
    /// Slot and life.
    pub identity: Identity,
    /// Which of the service.
    pub index: u16,
    /// Where it is.
    pub state: State,
    /// Since when.
    pub since: Nanos,
    /// Whether it should run.
    pub goal: bool,
    /// Failures in a row.
    pub failures: u8,
    /// Has been ready long enough.
    pub stable: bool,
    /// Why its last generation ended.
    pub last_end: Cause,
    /// Why it is where it is.
    pub cause: Cause,
    /// When its state ends by itself.
    pub deadline: Option<Nanos>,
    /// When the grace for a lost dependency ends.
    pub loss_deadline: Option<Nanos>,
    /// An operator lets it stand still.
    pub paused: bool,
    /// Memory promised to it.
    pub reserved: u64,
    /// Smoothed time from spawn to ready.
    pub start_time: Nanos,
}

/// One service at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceView {
    /// Wanted by itself.
    pub explicit: bool,
    /// Wanted at the next boot.
    pub enabled: bool,
    /// Kept down.
    pub hold: Hold,
    /// Wanted dependents that pull it in.
    pub pulled: u16,
    /// Explicit or pulled in, and not held.
    pub wanted: bool,
    /// It, or something it requires, is held.
    pub blocked: bool,
    /// Should run.
    pub goal: bool,
    /// Instances that are ready.
    pub ready: u16,
    /// Instances with a cell.
    pub live: u16,
    /// Was ready once.
    pub milestone: bool,
    /// Instances to run.
    pub count: u16,
    /// A rolling restart is under way.
    pub rolling: bool,
    /// The last rolling restart stopped at a failure.
    pub roll_failed: bool,
    /// Instances that are passed over when work is given out.
    pub ejected: u16,
    /// Flaps: its dependents give it no more grace.
    pub flapping: bool,
    /// No longer in the set.
    pub retired: bool,
}

impl Reconciler {
    /// How it was made.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The resolved set.
    pub const fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The audit ring.
    pub const fn audit(&self) -> &Audit {
        &self.audit
    }

    /// Adds a record to the audit ring of something that is no command: loads, refused looks.
    pub fn record(&mut self, now: Nanos, actor: Actor, target: ServiceId, deed: Deed) {
        self.audit.add(now, actor, target, deed);
    }

    /// What is known about a service.
    pub fn service(&self, id: ServiceId) -> Option<ServiceView> {
        self.catalog.definition(id)?;
        let service = &self.services[id];
        Some(ServiceView {
            explicit: service.explicit,
            enabled: service.enabled,
            hold: service.hold,
            pulled: service.pulled,
            wanted: service.wanted,
            blocked: service.blocked,
            goal: service.goal,
            ready: service.ready,
            live: service.live,
            milestone: service.milestone,
            count: service.count,
            rolling: service.roll.is_some(),
            roll_failed: service.roll_failed,
            ejected: service.ejected,
            flapping: service.blinks > 5,
            retired: service.retired,
        })
    }

    /// The instances of a service, in no particular order.
    pub fn instances(&self, id: ServiceId) -> impl Iterator<Item = InstanceView> {
        self.instances_of(id).map(|at| self.view(at))
    }

    /// The instance in a slot and its service, if the slot is in use.
    pub fn instance(&self, id: InstanceId) -> Option<(ServiceId, InstanceView)> {
        Some((self.instances[id].service?, self.view(id)))
    }

    /// Instances that may get new work: what `discover` gives to a caller that may see the service.
    pub fn published(&self, id: ServiceId) -> impl Iterator<Item = Identity> {
        self.instances_of(id)
            .filter(|&at| self.instances[at].state == State::Running && !self.instances[at].paused)
            .map(|at| self.identity(at))
    }

    /// The last transitions of an instance, oldest first.
    pub fn history(&self, id: InstanceId) -> impl Iterator<Item = Transition> {
        self.history.of(id)
    }

    /// Every dependency that keeps an instance from starting.
    pub fn closed_gates(&self, id: InstanceId) -> impl Iterator<Item = Closed> {
        self.closed(id)
    }

    /// The alternative of a group that a service uses, or would use.
    pub fn alternative(&self, id: ServiceId, group: DependencyKind) -> Option<ServiceId> {
        self.chosen(id, group)
    }

    /// How far a shutdown is.
    pub fn shutdown_stage(&self) -> Option<Stage> {
        self.shutdown.map(|shutdown| shutdown.stage)
    }

    /// Whether an emergency was declared.
    pub const fn in_emergency(&self) -> bool {
        self.emergency.is_some()
    }

    /// Whether the reconciler found itself in contradiction and stopped; everything that runs goes on.
    pub const fn is_frozen(&self) -> bool {
        // Set by a step that found no end, or by [`Reconciler::give_up`].
        self.frozen
    }

    /// Events that came from an earlier life, and changed nothing.
    pub const fn stale_events(&self) -> u64 {
        self.stale_events
    }

    /// Cells alive.
    pub const fn live_cells(&self) -> u32 {
        self.live_cells
    }

    /// Memory promised to them.
    pub const fn reserved_memory(&self) -> u64 {
        self.reserved
    }

    /// Rounds of work in the longest step so far.
    pub const fn longest_step(&self) -> u32 {
        self.longest_step
    }

    /// What the future depends on, as far as it is not a matter of how long: two reconcilers with the same fingerprint differ
    /// in numbers of generations, clocks and the distances of deadlines, not in the order of those that races are about.
    #[cfg(test)]
    pub(crate) fn fingerprint(&self, hasher: &mut impl core::hash::Hasher) {
        use core::hash::Hash;
        let mut due = Vec::new();
        for slot in 0..self.instances.len() as u16 {
            let (id, instance) = (InstanceId(slot), &self.instances[InstanceId(slot)]);
            (instance.service, instance.index, instance.state, instance.failures.min(3)).hash(hasher);
            (instance.was_ready, instance.stable, instance.outcome as u8, instance.cause.code()).hash(hasher);
            (instance.wants_expired, instance.loss_expired, instance.paused, instance.probing).hash(hasher);
            let racing = [TimerKind::State, TimerKind::Loss];
            due.extend(racing.iter().filter_map(|&kind| Some((self.timers.deadline(id, kind)?, slot, kind))));
            for kind in [TimerKind::Stable, TimerKind::Watchdog, TimerKind::Probe] {
                self.timers.deadline(id, kind).is_some().hash(hasher);
            }
        }
        for slot in 0..self.services.len() as u16 {
            let service = &self.services[ServiceId(slot)];
            (service.explicit, service.hold as u8, service.milestone, service.blinks.min(6)).hash(hasher);
            (service.goal, service.pulled, service.count, service.roll.is_some()).hash(hasher);
        }
        (self.shutdown_stage(), self.emergency.is_some(), self.frozen, self.unfinished).hash(hasher);
        due.sort_by_key(|(at, ..)| *at);
        for (_, slot, kind) in due {
            (slot, kind).hash(hasher);
        }
    }

    fn view(&self, at: InstanceId) -> InstanceView {
        let instance = &self.instances[at];
        InstanceView {
            identity: self.identity(at),
            index: instance.index,
            state: instance.state,
            since: instance.since,
            goal: self.instance_goal(at),
            failures: instance.failures,
            stable: instance.stable,
            last_end: instance.last_end,
            cause: instance.cause,
            deadline: self.timers.deadline(at, TimerKind::State),
            loss_deadline: self.timers.deadline(at, TimerKind::Loss),
            paused: instance.paused,
            reserved: instance.reserved,
            start_time: instance.start_time,
        }
    }
}
