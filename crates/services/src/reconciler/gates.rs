//! Whether a waiting instance may start, and whether a running one has lost what it needs.

use super::Reconciler;
use crate::catalog::Edge;
use crate::definition::{DependencyKind, OnLoss};
use crate::id::{InstanceId, ServiceId};
use crate::state::State;

/// A dependency that keeps a gate closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Closed {
    /// How it binds.
    pub kind: DependencyKind,
    /// Which service.
    pub on: ServiceId,
}

/// What became of the required services of one that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// All are ready.
    None,
    /// This one is away for a moment.
    Blink(ServiceId),
    /// This one is lost.
    Lost(ServiceId),
}

/// After this many losses in a minute a service gets no more grace: it flaps.
const BLINKS: u8 = 5;

impl Reconciler {
    /// Every dependency that keeps the instance from starting.
    pub(super) fn closed(&self, id: InstanceId) -> impl Iterator<Item = Closed> {
        let expired = self.instances[id].wants_expired;
        let service = self.instances[id].service.unwrap_or(ServiceId(u16::MAX));
        self.catalog
            .dependencies(service)
            .filter(move |(_, edge)| !self.is_open(service, *edge, expired))
            .map(|(_, edge)| Closed { kind: edge.kind, on: edge.to })
    }

    fn is_open(&self, service: ServiceId, edge: Edge, expired: bool) -> bool {
        let other = &self.services[edge.to];
        match edge.kind {
            DependencyKind::Requires => other.ready > 0,
            DependencyKind::RequiresAny(_) => self.any_ready(service, edge.kind),
            DependencyKind::Milestone => other.milestone,
            DependencyKind::Wants => expired || self.is_settled(edge.to),
            DependencyKind::After => expired || !other.goal || self.is_settled(edge.to),
            DependencyKind::Conflicts => other.live == 0,
        }
    }

    fn any_ready(&self, service: ServiceId, group: DependencyKind) -> bool {
        self.catalog.dependencies(service).any(|(_, edge)| edge.kind == group && self.services[edge.to].ready > 0)
    }

    /// Ready, or nothing more will come of it by itself.
    fn is_settled(&self, id: ServiceId) -> bool {
        let service = &self.services[id];
        service.ready > 0
            || self.instances_of(id).all(|at| match self.instances[at].state {
                State::Down => !service.goal,
                state => !state.is_transient(),
            })
    }

    /// Whether no instance is ready or on its way to it.
    pub(super) fn has_given_up(&self, id: ServiceId) -> bool {
        self.instances_of(id).all(|at| self.instances[at].state == State::Failed)
    }

    /// What became of the required services.
    pub(super) fn loss(&self, id: InstanceId) -> Loss {
        let Some(service) = self.instances[id].service else { return Loss::None };
        let Some(definition) = self.catalog.definition(service) else { return Loss::None };
        if definition.on_loss == OnLoss::Keep {
            return Loss::None;
        }
        let mut worst = Loss::None;
        for (_, edge) in self.catalog.dependencies(service).filter(|(_, edge)| edge.kind.is_hard()) {
            let other = &self.services[edge.to];
            if other.ready > 0 || edge.kind != DependencyKind::Requires && self.any_ready(service, edge.kind) {
                continue;
            }
            let returns = self.comes_back(service, edge);
            let patient = definition.on_loss == OnLoss::Stop && definition.loss_grace.0 > 0;
            if returns && patient && !self.instances[id].loss_expired && other.blinks <= BLINKS {
                worst = Loss::Blink(edge.to);
            } else {
                return Loss::Lost(edge.to);
            }
        }
        worst
    }

    /// Whether a lost dependency (or another of its group) is wanted and on its way back.
    fn comes_back(&self, service: ServiceId, edge: Edge) -> bool {
        let on_its_way = |id: ServiceId| {
            self.services[id].goal && self.instances_of(id).any(|at| self.instances[at].state.is_transient())
        };
        if edge.kind == DependencyKind::Requires {
            return on_its_way(edge.to);
        }
        self.catalog.dependencies(service).any(|(_, other)| other.kind == edge.kind && on_its_way(other.to))
    }

    /// Whether stopping this instance takes nothing away from a dependent that runs.
    pub(super) fn is_unneeded(&self, id: InstanceId) -> bool {
        let Some(service) = self.instances[id].service else { return true };
        let others = self.services[service].ready
            - u16::from(self.instances[id].state.is_ready()).min(self.services[service].ready);
        if self.services[service].goal && (others > 0 || !self.instances[id].state.is_ready()) {
            return true;
        }
        // Soft dependencies order only the end of everything.
        let counts = |edge: &Edge| edge.kind.is_hard() || self.shutdown.is_some() && edge.kind.orders();
        !self
            .catalog
            .dependents(service)
            .any(|(_, edge)| counts(&edge) && self.services[edge.from].live > 0 && !self.has_alternative(edge))
    }

    /// Whether the dependent has another of the same group that is ready and stays, or at least will not stop for this one:
    /// the other may be waiting for this one to go, so waiting for the dependent could last for ever.
    fn has_alternative(&self, edge: Edge) -> bool {
        if !matches!(edge.kind, DependencyKind::RequiresAny(_)) {
            return false;
        }
        let stays = self.services[edge.from].goal && !self.services[edge.to].goal;
        stays
            || self.catalog.dependencies(edge.from).any(|(_, other)| {
                let service = &self.services[other.to];
                other.kind == edge.kind && other.to != edge.to && service.ready > 0 && service.goal
            })
    }
}
