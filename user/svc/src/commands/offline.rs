//! Plans and dependencies of files, by the supervisor's own engine, with nothing running.

use services::wire::{Direction, Link, PlanStep, Verb};
use services::{Actions, Bounds, Catalog, Command, Config, Edge, Name, Reconciler, ServiceError, State};
use types::Nanos;

use super::{IN_PART, Stop};
use crate::definitions::{Set, report};

/// What the command would do on a system where only what is enabled runs, and all of it does.
pub(super) fn plan(set: &Set, verb: Verb, name: &Name) -> Result<Vec<PlanStep>, Stop> {
    let mut reconciler = Reconciler::new(Config { audit_records: 0, ..Config::default() });
    let mut actions = Actions::new(Bounds::default().instances);
    let definitions = set.units().iter().map(|unit| unit.definition.clone()).collect();
    good(set)?;
    reconciler.boot(Nanos::ZERO, definitions, &mut actions);
    let id = reconciler.catalog().find(name.as_str()).ok_or_else(|| unknown(name))?;
    if verb != Verb::Start {
        // Stopping is only interesting if it runs, with what needs it.
        let wanted: Vec<_> = reconciler.catalog().services().map(|(id, _)| id).collect();
        for id in wanted {
            actions.clear();
            let _ = reconciler.command(Nanos::ZERO, services::Actor::ROOT, Command::Start(id), &mut actions);
        }
    }
    let command = match verb {
        Verb::Stop => Command::Stop(id, services::StopMode::Cascade),
        Verb::Restart => Command::Restart(id),
        _ => Command::Start(id),
    };
    let name_of = |id| reconciler.catalog().definition(id).map(|definition| definition.name.clone());
    let steps = reconciler.plan(command).into_iter();
    Ok(steps
        .filter_map(|step| Some(PlanStep { service: name_of(step.service)?, change: step.change, wave: step.wave }))
        .collect())
}

/// All dependencies, or those that can be reached from one service.
pub(super) fn links(set: &Set, name: Option<&Name>, direction: Direction) -> Result<Vec<Link>, Stop> {
    good(set)?;
    let definitions = set.units().iter().map(|unit| unit.definition.clone()).collect();
    let catalog = Catalog::resolve(&Catalog::default(), definitions, Bounds::default())
        .map_err(|_| Stop::Failed(IN_PART, "the set does not fit together; see `svc check`".into()))?;
    let mut ids = match name {
        Some(name) => vec![catalog.find(name.as_str()).ok_or_else(|| unknown(name))?],
        None => catalog.services().map(|(id, _)| id).collect(),
    };
    let mut links = Vec::new();
    let mut next = 0;
    while let Some(&id) = ids.get(next) {
        next += 1;
        let edges: Vec<Edge> = match direction {
            Direction::Needs => catalog.dependencies(id).map(|(_, edge)| edge).collect(),
            Direction::NeededBy => catalog.dependents(id).map(|(_, edge)| edge).collect(),
        };
        for edge in edges {
            let other = if direction == Direction::Needs { edge.to } else { edge.from };
            links.extend(link(set, &catalog, edge));
            if !ids.contains(&other) {
                ids.push(other);
            }
        }
    }
    Ok(links)
}

fn link(set: &Set, catalog: &Catalog, edge: Edge) -> Option<Link> {
    let (from, to) = (catalog.definition(edge.from)?, catalog.definition(edge.to)?);
    let unit = set.units().iter().find(|unit| unit.definition.name == from.name);
    let written = unit.into_iter().flat_map(|unit| unit.definition.dependencies.iter().zip(&unit.places));
    let place = written
        .filter(|(dependency, _)| dependency.kind == edge.kind)
        .find(|(dependency, _)| dependency.on == to.name || to.provides.contains(&dependency.on))
        .map_or_else(String::new, |(_, place)| place.clone());
    Some(Link { from: from.name.clone(), to: to.name.clone(), kind: edge.kind, state: State::Down, place })
}

fn good(set: &Set) -> Result<(), Stop> {
    match set.problems().first() {
        None => Ok(()),
        Some(first) => Err(Stop::Failed(first.code, report(set.problems()).trim_end().to_owned())),
    }
}

fn unknown(name: &Name) -> Stop {
    Stop::Failed(ServiceError::NotFound.exit_code(), format!("there is no definition of {name}"))
}
