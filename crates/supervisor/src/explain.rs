//! Why a service is not as wished, with everything that helps to understand it.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use services::wire::Explanation;
use services::{Actor, Name, Reason, ServiceId, State, VersionReq};
use types::Nanos;

use crate::Supervisor;

/// Names listed as waiting for the one to blame.
const MOST_BLOCKED: usize = 16;

impl Supervisor {
    /// The chain of reasons for one service; empty if it is ready.
    pub(crate) fn explain(&self, now: Nanos, id: ServiceId) -> Vec<Explanation> {
        let reasons = self.engine.why(id);
        let mut asking = id;
        reasons
            .into_iter()
            .filter_map(|reason| {
                let explanation = self.explanation(now, asking, &reason);
                if reason.root.is_none() {
                    asking = reason.service;
                }
                explanation
            })
            .collect()
    }

    /// The chains of all services that are wanted and not ready.
    pub(crate) fn explain_all(&self, now: Nanos, actor: Actor) -> Vec<Explanation> {
        let mut ids: Vec<ServiceId> =
            self.engine.unready().filter_map(|instance| Some(self.engine.instance(instance)?.0)).collect();
        ids.sort_unstable();
        ids.dedup();
        ids.retain(|id| self.may_see(actor, *id));
        ids.into_iter().flat_map(|id| self.explain(now, id)).collect()
    }

    fn explanation(&self, now: Nanos, asking: ServiceId, reason: &Reason) -> Option<Explanation> {
        let definition = self.engine.catalog().definition(reason.service)?;
        let view = self.instances(reason.service).into_iter().min_by_key(|view| (view.state.is_ready(), view.index));
        let lived = view.and_then(|view| self.slots.get(usize::from(view.identity.instance.0))?.lived);
        Some(Explanation {
            service: definition.name.clone(),
            depth: reason.depth,
            through: reason.through,
            version: self.version_asked(asking, &definition.name),
            root: reason.root,
            state: view.map_or(State::Down, |view| view.state),
            age: view.map_or(Nanos::ZERO, |view| now.saturating_sub(view.since)),
            cause: view.map(|view| view.cause).unwrap_or_default(),
            last_end: view.map(|view| view.last_end).unwrap_or_default(),
            lived,
            failures: view.map_or(0, |view| view.failures),
            max_failures: definition.restart.max_failures,
            next: view.and_then(|view| view.deadline).map(|due| due.saturating_sub(now)),
            last_line: self.sets.output(reason.service).map(|output| output.last_line()).unwrap_or_default(),
            blocks: if reason.root.is_some() { self.blocked_by(reason.service) } else { Vec::new() },
        })
    }

    fn version_asked(&self, asking: ServiceId, on: &Name) -> String {
        let dependencies = self.engine.catalog().definition(asking).map_or(&[][..], |asking| &asking.dependencies);
        let asked = dependencies.iter().find(|dependency| dependency.on == *on).map(|dependency| &dependency.version);
        asked.filter(|version| **version != VersionReq::STAR).map(ToString::to_string).unwrap_or_default()
    }

    /// Who is wanted, needs `id`, and is not ready.
    fn blocked_by(&self, id: ServiceId) -> Vec<Name> {
        let catalog = self.engine.catalog();
        let mut seen = alloc::vec![false; catalog.slots()];
        let mut queue = alloc::vec![id];
        let mut at = 0;
        while let Some(&next) = queue.get(at) {
            at += 1;
            for (_, edge) in catalog.dependents(next).filter(|(_, edge)| edge.kind.is_hard()) {
                let waits = self.engine.service(edge.from).is_some_and(|service| service.wanted && service.ready == 0);
                if let Some(seen) = seen.get_mut(usize::from(edge.from.0)).filter(|seen| !**seen && waits) {
                    *seen = true;
                    queue.push(edge.from);
                }
            }
        }
        queue.into_iter().skip(1).take(MOST_BLOCKED).filter_map(|id| self.name(id)).collect()
    }
}
