//! What there is to see of services and instances.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use process::{CpuShare, Spans};
use services::wire::{self, InstanceStatus, Row, Status, Throttled};
use services::{Actor, Cause, InstanceView, Name, ServiceId, State};
use types::Nanos;

use crate::happenings::Happening;
use crate::{Facts, Supervisor, World};

/// Changes of state shown with a status.
const HISTORY: usize = 32;
/// Bytes of output shown with a status.
const LAST_OUTPUT: usize = 1024;

fn throttled(spans: Option<&Spans>) -> Throttled {
    spans.map_or_else(Throttled::default, |spans| Throttled { times: spans.count(), time: spans.total() })
}

impl Supervisor {
    /// All instances that `actor` may see, by service.
    pub(crate) fn rows(&self, world: &dyn World, now: Nanos, actor: Actor) -> Vec<Row> {
        let mut facts: BTreeMap<u64, Facts> = BTreeMap::new();
        world.census(&mut |cell, one| {
            facts.entry(cell).or_default().add(one);
        });
        let mut services: Vec<_> =
            self.engine.catalog().services().filter(|(id, _)| self.may_see(actor, *id)).collect();
        services.sort_by(|(_, a), (_, b)| a.name.cmp(&b.name));
        let mut rows = Vec::new();
        for (id, _) in services {
            for view in self.instances(id) {
                let cell = self.cell(view.identity.instance);
                let mut fact = cell.and_then(|cell| facts.get(&cell.id())).copied().unwrap_or_default();
                fact.cpu += cell.map_or(Nanos::ZERO, |cell| cell.ended_usage().cpu_time());
                rows.extend(self.row(now, id, &view, fact));
            }
        }
        rows
    }

    /// The instances of a service, by index.
    pub(crate) fn instances(&self, id: ServiceId) -> Vec<InstanceView> {
        let mut views: Vec<_> = self.engine.instances(id).collect();
        views.sort_by_key(|view| view.index);
        views
    }

    fn row(&self, now: Nanos, id: ServiceId, view: &InstanceView, facts: Facts) -> Option<Row> {
        let definition = self.engine.catalog().definition(id)?;
        let service = self.engine.service(id)?;
        let cell = self.cell(view.identity.instance);
        let gate =
            if view.state == State::Waiting { self.engine.closed_gates(view.identity.instance).next() } else { None };
        let (in_flight, passed_over) = self.balancings.look(now, id, view.identity);
        let unwell = view.failures > 0 || passed_over;
        Some(Row {
            service: definition.name.clone(),
            index: view.index,
            count: service.count,
            run: definition.run,
            state: view.state,
            age: now.saturating_sub(view.since),
            wanted: view.goal,
            hold: service.hold,
            degraded: view.state == State::Running && unwell,
            failures: view.failures,
            generation: view.identity.generation.0,
            pid: cell.map_or(0, |cell| cell.main().0),
            tasks: cell.map_or(0, |cell| cell.tasks()),
            memory: facts.memory,
            cpu: facts.cpu,
            in_flight,
            paused: view.paused,
            cpu_throttled: throttled(cell.and_then(|cell| cell.cpu_share()).map(CpuShare::throttled)),
            io_throttled: throttled(cell.and_then(|cell| cell.io_delays())),
            cause: if view.cause == Cause::None { view.last_end } else { view.cause },
            about: self.about(view.cause),
            gate: gate.and_then(|closed| Some((closed.kind, self.name(closed.on)?))),
        })
    }

    /// The service that a cause speaks of.
    fn about(&self, cause: Cause) -> Option<Name> {
        match cause {
            Cause::DependencyLost(id) => self.name(id),
            _ => None,
        }
    }

    pub(crate) fn status(&self, world: &dyn World, now: Nanos, id: ServiceId) -> Option<Status> {
        let definition = self.engine.catalog().definition(id)?;
        let service = self.engine.service(id)?;
        let output = self.sets.output(id).map(|output| output.read(0).1).unwrap_or_default();
        let instances = self.instances(id).into_iter().filter_map(|view| {
            let cell = self.cell(view.identity.instance);
            let facts = cell.map(|cell| world.facts(cell)).unwrap_or_default();
            let slot = self.slots.get(usize::from(view.identity.instance.0))?;
            Some(InstanceStatus {
                row: self.row(now, id, &view, facts)?,
                last_end: view.last_end,
                next: view.deadline.map(|due| due.saturating_sub(now)),
                pids: cell.map(|cell| world.pids(cell)).unwrap_or_default(),
                start_time: (view.start_time != Nanos::ZERO).then_some(view.start_time),
                notice: slot.notice.clone(),
                history: self.history(&view),
            })
        });
        Some(Status {
            name: definition.name.clone(),
            version: definition.version.clone(),
            description: definition.description.clone(),
            file: self.sets.unit(id).map(|unit| unit.file.clone()).unwrap_or_default(),
            class: definition.class,
            explicit: service.explicit,
            enabled: service.enabled,
            started_by: {
                let mut chain = self.engine.why_started(id);
                chain.pop();
                self.names(chain)
            },
            instances: instances.collect(),
            why: self.explain(now, id),
            output: output.get(output.len().saturating_sub(LAST_OUTPUT)..).unwrap_or_default().to_vec(),
        })
    }

    pub(crate) fn history(&self, view: &InstanceView) -> Vec<wire::Happening> {
        let own = self.happenings.since(0).rev().filter(|one| one.identity.instance == view.identity.instance);
        let mut list: Vec<_> = own.take(HISTORY).filter_map(|one| self.happening(one)).collect();
        list.reverse();
        list
    }

    pub(crate) fn happening(&self, one: &Happening) -> Option<wire::Happening> {
        Some(wire::Happening {
            sequence: one.sequence,
            time: one.time,
            service: self.name(one.service)?,
            index: one.index,
            generation: one.identity.generation.0,
            from: one.from,
            to: one.to,
            cause: one.cause,
            about: self.about(one.cause),
        })
    }

    /// The state of the instance that is closest to ready.
    pub(crate) fn state_of(&self, id: ServiceId) -> State {
        let states = self.engine.instances(id).map(|view| view.state);
        states.min_by_key(|state| !state.is_ready()).unwrap_or(State::Down)
    }
}
