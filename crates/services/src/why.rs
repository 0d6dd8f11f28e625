//! Why a service is not as wished: a walk over the graph, not over a log.

use alloc::vec::Vec;

use crate::definition::DependencyKind;
use crate::id::{InstanceId, ServiceId};
use crate::reconciler::{Closed, Hold, Reconciler};
use crate::state::{Cause, State};

/// One link of the explanation, from the service asked about downwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Who is not ready.
    pub service: ServiceId,
    /// How far below the one asked about.
    pub depth: u16,
    /// Through which dependency it was reached; `None` for the one asked about.
    pub through: Option<DependencyKind>,
    /// What is the matter with itself; `None` if it only waits for others.
    pub root: Option<Root>,
}

/// What a service is itself to blame for, or nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Root {
    /// Nobody wants it.
    NotWanted,
    /// An operator keeps it down.
    Held,
    /// The system is going down.
    ShuttingDown,
    /// It is being started.
    Starting,
    /// It is being stopped.
    Stopping,
    /// It failed and will be tried again.
    Backoff,
    /// It gave up.
    Failed,
    /// The memory promised to it is not free.
    NoReserve,
    /// Its turn comes: too many starts at once.
    Queued,
    /// It runs, where another that conflicts waits.
    Conflict,
}

impl Reconciler {
    /// The whole chain of reasons why `id` is not ready, breadth first; empty if it is ready.
    pub fn why(&self, id: ServiceId) -> Vec<Reason> {
        let mut reasons: Vec<Reason> = Vec::new();
        let mut seen = alloc::vec![false; self.catalog().slots()];
        let mut next = 0;
        self.explain(Reason { service: id, depth: 0, through: None, root: None }, &mut seen, &mut reasons);
        while let Some(reason) = reasons.get(next).copied() {
            next += 1;
            if reason.root.is_some() {
                continue;
            }
            for closed in self.waits_for(reason.service) {
                let below =
                    Reason { service: closed.on, depth: reason.depth + 1, through: Some(closed.kind), root: None };
                self.explain(below, &mut seen, &mut reasons);
            }
        }
        reasons
    }

    /// The services to blame and for what, sorted: the ends of [`Reconciler::why`].
    pub fn root_causes(&self, id: ServiceId) -> Vec<(ServiceId, Root)> {
        let mut roots: Vec<_> =
            self.why(id).into_iter().filter_map(|reason| Some((reason.service, reason.root?))).collect();
        roots.sort_unstable();
        roots.dedup();
        roots
    }

    fn explain(&self, mut reason: Reason, seen: &mut [bool], reasons: &mut Vec<Reason>) {
        let Some(service) = self.service(reason.service) else { return };
        if reason.depth == 0 && service.ready > 0 {
            return;
        }
        if reason.through == Some(DependencyKind::Conflicts) {
            // That it runs is the matter, not why it would not; another way may still lead to it.
            reason.root = Some(Root::Conflict);
            reasons.push(reason);
            return;
        }
        let Some(seen) = seen.get_mut(usize::from(reason.service.0)).filter(|seen| !**seen) else { return };
        *seen = true;
        reason.root = self.own_fault(reason.service);
        reasons.push(reason);
    }

    /// What is the matter with the service itself, looking at nothing else.
    pub(crate) fn own_fault(&self, id: ServiceId) -> Option<Root> {
        let service = self.service(id)?;
        if self.shutdown_stage().is_some() {
            return Some(Root::ShuttingDown);
        }
        if service.hold != Hold::None {
            return Some(Root::Held);
        }
        if !service.wanted {
            return Some(Root::NotWanted);
        }
        if service.blocked {
            // Held somewhere below.
            return None;
        }
        // The instance that is closest to being ready speaks for the service.
        let state = self.instances(id).map(|instance| instance.state).min_by_key(|state| closeness(*state))?;
        match state {
            State::Down | State::Running | State::Done => None,
            State::Starting => Some(Root::Starting),
            State::Stopping(_) | State::Killing => Some(Root::Stopping),
            State::Backoff => Some(Root::Backoff),
            State::Failed => Some(Root::Failed),
            State::Waiting => {
                let waiting = self.instances(id).find(|instance| instance.state == State::Waiting)?;
                if self.closed_gates(waiting.identity.instance).next().is_some() {
                    return None;
                }
                Some(if matches!(waiting.cause, Cause::NoReserve { .. }) { Root::NoReserve } else { Root::Queued })
            }
        }
    }

    /// The dependencies that a service without fault of its own waits for.
    pub fn waits_for(&self, id: ServiceId) -> Vec<Closed> {
        let Some(service) = self.service(id) else { return Vec::new() };
        if service.blocked {
            return self
                .catalog()
                .dependencies(id)
                .filter(|(_, edge)| edge.kind.is_hard() && self.service(edge.to).is_some_and(|other| other.blocked))
                .map(|(_, edge)| Closed { kind: edge.kind, on: edge.to })
                .collect();
        }
        let waiting = self.instances(id).find(|instance| instance.state == State::Waiting);
        waiting.map_or_else(Vec::new, |instance| self.closed_gates(instance.identity.instance).collect())
    }

    /// The shortest chain from something wanted by itself to `id`: who started it.
    pub fn why_started(&self, id: ServiceId) -> Vec<ServiceId> {
        let mut came_from: Vec<Option<ServiceId>> = alloc::vec![None; self.catalog().slots()];
        let mut queue = alloc::vec![id];
        let mut next = 0;
        while let Some(&at) = queue.get(next) {
            next += 1;
            if self.service(at).is_some_and(|service| service.explicit && service.wanted) {
                return core::iter::successors(Some(at), |at| came_from.get(usize::from(at.0)).copied().flatten())
                    .take(self.catalog().slots())
                    .collect();
            }
            for (_, edge) in self.catalog().dependents(at) {
                let pulls = !matches!(edge.kind, DependencyKind::After | DependencyKind::Conflicts);
                let wanted = self.service(edge.from).is_some_and(|service| service.wanted);
                if let Some(slot) = came_from.get_mut(usize::from(edge.from.0)).filter(|slot| slot.is_none())
                    && pulls
                    && wanted
                    && edge.from != id
                {
                    *slot = Some(at);
                    queue.push(edge.from);
                }
            }
        }
        Vec::new()
    }

    /// Slots of instances that are wanted and not ready.
    pub fn unready(&self) -> impl Iterator<Item = InstanceId> {
        self.catalog()
            .services()
            .flat_map(|(id, _)| self.instances(id))
            .filter(|instance| instance.goal && !instance.state.is_ready())
            .map(|instance| instance.identity.instance)
    }
}

fn closeness(state: State) -> u8 {
    match state {
        State::Running | State::Done => 0,
        State::Starting => 1,
        State::Waiting => 2,
        State::Backoff => 3,
        State::Stopping(_) | State::Killing => 4,
        State::Failed => 5,
        State::Down => 6,
    }
}
