//! What a command would do, without doing it.

use alloc::vec::Vec;

use crate::definition::DependencyKind;
use crate::id::ServiceId;
use crate::reconciler::{Command, Hold, Reconciler};

/// What happens to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    /// It is started.
    Start,
    /// It is stopped.
    Stop,
    /// It is stopped and started.
    Restart,
    /// A hold keeps it down, and with it what asked for it.
    Blocked,
}

/// One step of a plan; steps with the same `wave` happen at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which service.
    pub service: ServiceId,
    /// What happens to it.
    pub change: Change,
    /// Its place in time, from 0.
    pub wave: u16,
}

impl Reconciler {
    /// The steps of a command in their order. Alternatives and conflicts are taken as they stand now.
    pub fn plan(&self, command: Command) -> Vec<Step> {
        match command {
            Command::Start(id) | Command::Enable(id) => self.plan_start(id),
            Command::Stop(id, _) | Command::Hold(id) => self.plan_stop(&[id]),
            Command::Restart(id) | Command::Roll(id) => match self.service(id) {
                Some(service) if service.goal => {
                    alloc::vec![Step { service: id, change: Change::Restart, wave: 0 }]
                }
                _ => self.plan_start(id),
            },
            Command::Shutdown(_) | Command::KillAll(_) => {
                let all: Vec<ServiceId> = self.catalog().services().map(|(id, _)| id).collect();
                self.plan_stop(&all)
            }
            _ => Vec::new(),
        }
    }

    fn plan_start(&self, id: ServiceId) -> Vec<Step> {
        let reached = self.reach(&[id], |at| {
            self.catalog()
                .dependencies(at)
                .filter(|(_, edge)| match edge.kind {
                    DependencyKind::Requires | DependencyKind::Milestone | DependencyKind::Wants => true,
                    DependencyKind::RequiresAny(_) => self.alternative(at, edge.kind) == Some(edge.to),
                    DependencyKind::After | DependencyKind::Conflicts => false,
                })
                .map(|(_, edge)| edge.to)
                .collect()
        });
        let mut steps = Vec::new();
        if self.catalog().definition(id).is_some_and(|definition| definition.preempt) {
            let rivals: Vec<ServiceId> = self
                .catalog()
                .dependencies(id)
                .filter(|(_, edge)| edge.kind == DependencyKind::Conflicts)
                .map(|(_, edge)| edge.to)
                .collect();
            steps = self.plan_stop(&rivals);
        }
        let after = steps.iter().map(|step| step.wave + 1).max().unwrap_or(0);
        let mut starts: Vec<(u16, ServiceId, Change)> = reached
            .into_iter()
            .filter_map(|at| {
                let service = self.service(at)?;
                let change = if service.hold == Hold::Hard { Change::Blocked } else { Change::Start };
                (service.ready == 0).then(|| (self.catalog().level(at), at, change))
            })
            .collect();
        starts.sort_unstable();
        steps.extend(waves(&starts).map(|(wave, service, change)| Step { service, change, wave: after + wave }));
        steps
    }

    fn plan_stop(&self, ids: &[ServiceId]) -> Vec<Step> {
        let reached = self.reach(ids, |at| {
            self.catalog().dependents(at).filter(|(_, edge)| edge.kind.is_hard()).map(|(_, edge)| edge.from).collect()
        });
        let mut stops: Vec<(u16, ServiceId, Change)> = reached
            .into_iter()
            .filter(|&at| self.service(at).is_some_and(|service| service.goal || service.live > 0))
            .map(|at| (u16::MAX - self.catalog().level(at), at, Change::Stop))
            .collect();
        stops.sort_unstable();
        waves(&stops).map(|(wave, service, change)| Step { service, change, wave }).collect()
    }

    fn reach(&self, from: &[ServiceId], next: impl Fn(ServiceId) -> Vec<ServiceId>) -> Vec<ServiceId> {
        let mut seen = alloc::vec![false; self.catalog().slots()];
        let mut found: Vec<ServiceId> = Vec::new();
        let mut add = |id: ServiceId, found: &mut Vec<ServiceId>| {
            if let Some(seen) = seen.get_mut(usize::from(id.0)).filter(|seen| !**seen) {
                *seen = true;
                found.push(id);
            }
        };
        for &id in from {
            add(id, &mut found);
        }
        let mut at = 0;
        while let Some(&id) = found.get(at) {
            at += 1;
            for other in next(id) {
                add(other, &mut found);
            }
        }
        found
    }
}

/// Numbers runs of equal keys from 0.
fn waves(sorted: &[(u16, ServiceId, Change)]) -> impl Iterator<Item = (u16, ServiceId, Change)> {
    let mut last = sorted.first().map_or(0, |first| first.0);
    let mut wave = 0;
    sorted.iter().map(move |&(key, service, change)| {
        if key != last {
            (last, wave) = (key, wave + 1);
        }
        (wave, service, change)
    })
}
