//! What is wanted: derived from the operators' wishes and the graph, never stored as truth.
//!
//! `wanted = not shutting down, not held, explicit or pulled in by a wanted dependent`;
//! `goal up = wanted, and no required service is held, however far below`.

use super::Reconciler;
use super::runtime::Roll;
use crate::action::Actions;
use crate::definition::DependencyKind;
use crate::id::{InstanceId, ServiceId};
use crate::state::{Cause, State};
use crate::table::Trigger;

/// Whether an operator keeps a service down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hold {
    /// No.
    #[default]
    None,
    /// Until it, or something that needs it, is started (`svc stop`).
    Soft,
    /// Until it is released (`svc hold`).
    Hard,
}

impl Reconciler {
    /// Derives the goal anew and tells everybody who depends on it.
    pub(super) fn evaluate_service(&mut self, id: ServiceId, actions: &mut Actions) {
        let blocked = self.is_blocked(id);
        let wanted = self.is_wanted(id);
        let goal = wanted && !blocked;
        let service = &mut self.services[id];
        let changed = (service.blocked, service.goal) != (blocked, goal);
        (service.blocked, service.wanted, service.goal) = (blocked, wanted, goal);
        self.pull(id);
        if changed {
            self.touch_dependents(id);
        }
        self.roll_on(id, actions);
        self.touch_instances(id);
    }

    fn is_wanted(&self, id: ServiceId) -> bool {
        let service = &self.services[id];
        let asked = if self.emergency.is_some() {
            self.catalog.definition(id).is_some_and(|definition| definition.keep_in_emergency) && service.explicit
                || service.pulled > 0
        } else {
            service.explicit || service.pulled > 0
        };
        asked && self.shutdown.is_none() && service.hold == Hold::None && !service.retired
    }

    fn is_blocked(&self, id: ServiceId) -> bool {
        let service = &self.services[id];
        if service.hold != Hold::None || service.retired {
            return true;
        }
        self.catalog.dependencies(id).any(|(_, edge)| match edge.kind {
            DependencyKind::Requires => self.services[edge.to].blocked,
            DependencyKind::RequiresAny(_) => self
                .catalog
                .dependencies(id)
                .filter(|(_, other)| other.kind == edge.kind)
                .all(|(_, other)| self.services[other.to].blocked),
            _ => false,
        })
    }

    /// Pulls in what a wanted service needs, and lets go of what it no longer needs.
    fn pull(&mut self, id: ServiceId) {
        let wanted = self.services[id].wanted;
        let edges = self.catalog.dependencies(id);
        for (at, edge) in edges {
            let needed = wanted
                && match edge.kind {
                    DependencyKind::Requires | DependencyKind::Milestone | DependencyKind::Wants => true,
                    DependencyKind::RequiresAny(_) => self.chosen(id, edge.kind) == Some(edge.to),
                    DependencyKind::After | DependencyKind::Conflicts => false,
                };
            let Some(pulls) = self.pulls.get_mut(at).filter(|pulls| **pulls != needed) else { continue };
            *pulls = needed;
            let dependency = &mut self.services[edge.to];
            dependency.pulled = if needed { dependency.pulled + 1 } else { dependency.pulled.saturating_sub(1) };
            self.dirty_services.push(edge.to.0);
        }
    }

    /// Of alternatives: one that is ready, else the first that is neither held nor given up, else the first.
    pub(super) fn chosen(&self, id: ServiceId, group: DependencyKind) -> Option<ServiceId> {
        let members = || self.catalog.dependencies(id).filter(|(_, edge)| edge.kind == group).map(|(_, edge)| edge.to);
        members()
            .find(|&member| self.services[member].ready > 0 && !self.services[member].blocked)
            .or_else(|| members().find(|&member| !self.services[member].blocked && !self.has_given_up(member)))
            .or_else(|| members().next())
    }

    /// One instance at a time, the next only when the last is stable; stops at the first failure.
    fn roll_on(&mut self, id: ServiceId, actions: &mut Actions) {
        let Some(roll) = self.services[id].roll else { return };
        if !self.services[id].goal {
            self.services[id].roll = None;
            return;
        }
        match roll {
            Roll::Next(index) => {
                let Some(instance) = self.instance_at(id, index).filter(|_| index < self.services[id].count) else {
                    self.services[id].roll = None;
                    return;
                };
                let alone = self.services[id].count == 1;
                if self.instances[instance].state != State::Running {
                    self.services[id].roll = Some(Roll::Next(index + 1));
                    self.dirty_services.push(id.0);
                } else if alone || self.services[id].ready > 1 {
                    let generation = self.instances[instance].generation;
                    self.services[id].roll = Some(Roll::Wait(index, instance, generation));
                    self.apply(instance, Trigger::Restart, Cause::Restart, actions);
                }
            }
            Roll::Wait(index, instance, generation) => {
                let slot = &self.instances[instance];
                if slot.generation != generation && slot.state == State::Running && slot.stable {
                    self.services[id].roll = Some(Roll::Next(index + 1));
                    self.dirty_services.push(id.0);
                } else if matches!(slot.state, State::Backoff | State::Failed) {
                    self.services[id].roll = None;
                    self.services[id].roll_failed = true;
                }
            }
        }
    }

    pub(super) fn instances_of(&self, id: ServiceId) -> impl Iterator<Item = InstanceId> {
        core::iter::successors(self.services[id].first, |&at| self.instances[at].next)
    }

    pub(super) fn instance_at(&self, id: ServiceId, index: u16) -> Option<InstanceId> {
        self.instances_of(id).find(|&at| self.instances[at].index == index)
    }

    pub(super) fn touch_instances(&mut self, id: ServiceId) {
        let mut at = self.services[id].first;
        while let Some(instance) = at {
            self.dirty_instances.push(instance.0);
            at = self.instances[instance].next;
        }
    }

    pub(super) fn touch_dependents(&mut self, id: ServiceId) {
        for (_, edge) in self.catalog.dependents(id) {
            self.dirty_services.push(edge.from.0);
        }
    }

    pub(super) fn touch_dependencies(&mut self, id: ServiceId) {
        for (_, edge) in self.catalog.dependencies(id) {
            self.dirty_services.push(edge.to.0);
        }
    }

    /// Whether this instance should run.
    pub(super) fn instance_goal(&self, id: InstanceId) -> bool {
        let instance = &self.instances[id];
        instance.service.is_some_and(|service| {
            let service = &self.services[service];
            service.goal && instance.index < service.count
        })
    }
}
