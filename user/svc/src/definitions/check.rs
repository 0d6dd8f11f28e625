//! What is wrong with a definition, and with the set: the supervisor's own judgement, with the places in the files.

use services::wire::Unit;
use services::{Bounds, Catalog, Definition, Mistake, Name, ServiceError, Unsatisfied};

use super::problem::{At, Problem, describe};
use super::section::nearest;
use super::set::Set;
use super::tree::Table;
use super::unit::place;

/// Values out of their range, each at its place.
pub(super) fn alone(definition: &Definition, table: &Table, file: &str) -> Vec<Problem> {
    let fields = definition.mistakes();
    fields
        .into_iter()
        .map(|field| Problem::new(place(field, table, file), describe(ServiceError::InvalidDefinition(field))))
        .collect()
}

/// Dependencies that cannot be had, circles, capacities.
pub(super) fn whole(set: &mut Set) {
    let mut definitions: Vec<Definition> = set.units().iter().map(|unit| unit.definition.clone()).collect();
    let mut seen: Vec<Mistake> = Vec::new();
    // Each round finds all other mistakes and one circle, which is then opened.
    while let Err(mistakes) = Catalog::resolve(&Catalog::default(), definitions.clone(), Bounds::default()) {
        let circle = mistakes.iter().find(|mistake| mistake.error == ServiceError::CircularDependency).cloned();
        for mistake in mistakes {
            if !seen.contains(&mistake) {
                seen.push(mistake);
            }
        }
        let opened = circle.is_some_and(|circle| open(&mut definitions, &circle));
        if !opened {
            break;
        }
    }
    let problems: Vec<Problem> = seen.iter().filter_map(|mistake| problem(set, mistake)).collect();
    problems.into_iter().for_each(|problem| set.push(problem));
}

/// Drops the dependency of the circle's last member on its first.
fn open(definitions: &mut [Definition], circle: &Mistake) -> bool {
    let (Some(last), Some(first)) = (circle.path.last(), circle.path.first()) else { return false };
    let offers: Vec<Name> = definitions
        .iter()
        .find(|definition| definition.name == *first)
        .map(|definition| definition.provides.iter().chain([&definition.name]).cloned().collect())
        .unwrap_or_default();
    let Some(member) = definitions.iter_mut().find(|definition| definition.name == *last) else { return false };
    let before = member.dependencies.len();
    member.dependencies.retain(|dependency| !offers.contains(&dependency.on));
    if member.dependencies.len() < before {
        return true;
    }
    // A target depends on what is installed in it, by that one's word.
    let installed = definitions.iter_mut().find(|definition| definition.name == *first);
    installed.is_some_and(|installed| installed.install.take().is_some())
}

fn problem(set: &Set, mistake: &Mistake) -> Option<Problem> {
    let unit = set.units().iter().find(|unit| unit.definition.name == mistake.service)?;
    let mut problem = match mistake.error {
        // Reported by `alone`, with a better place.
        ServiceError::InvalidDefinition(_) => return None,
        ServiceError::CircularDependency => circle(set, mistake),
        ServiceError::DependencyUnsatisfied(why) => unsatisfied(set, unit, mistake, why)?,
        // How many it would be was not understood.
        ServiceError::CapacityExhausted(_) if set.is_bad(&mistake.service) => return None,
        error => Problem::new(at_file(unit), format!("{}: {}", mistake.service, describe(error))),
    };
    problem.code = mistake.error.exit_code();
    Some(problem)
}

fn unsatisfied(set: &Set, unit: &Unit, mistake: &Mistake, why: Unsatisfied) -> Option<Problem> {
    let wanted = mistake.dependency.as_ref()?;
    let names = || set.units().iter().map(|unit| &unit.definition);
    let found = unit
        .definition
        .dependencies
        .iter()
        .zip(&unit.places)
        .find(|(dependency, _)| dependency.on == *wanted)
        .map(|(dependency, place)| (parse_place(place), dependency.version.to_string()));
    let (at, version) = found.unwrap_or_else(|| (at_file(unit), String::new()));
    if why != Unsatisfied::Version {
        let known = names().flat_map(|definition| definition.provides.iter().chain([&definition.name]));
        let near = nearest(wanted.as_str(), known.map(Name::as_str));
        let hint = near.map_or_else(String::new, |near| format!("; did you mean \"{near}\"?"));
        return Some(Problem::new(at, format!("there is no service \"{wanted}\"{hint}")));
    }
    let candidates: Vec<&Definition> =
        names().filter(|one| one.name == *wanted || one.provides.contains(wanted)).collect();
    // A version that could not be read is that file's problem, not this one's.
    if candidates.iter().any(|candidate| set.is_bad(&candidate.name)) {
        return None;
    }
    let mut problem = Problem::new(at, format!("no version of \"{wanted}\" is {version}"));
    problem.notes = candidates
        .iter()
        .map(|candidate| {
            let file = set.units().iter().find(|unit| unit.definition.name == candidate.name).map(at_file);
            let file = file.map_or_else(String::new, |at| format!(" ({})", at.file));
            format!("{} has version {}{file}", candidate.name, candidate.version)
        })
        .collect();
    Some(problem)
}

/// The path, and where each of its dependencies is written.
fn circle(set: &Set, mistake: &Mistake) -> Problem {
    let names: Vec<&str> = mistake.path.iter().chain(mistake.path.first()).map(Name::as_str).collect();
    let mut places = Vec::new();
    for (from, to) in mistake.path.iter().zip(mistake.path.iter().cycle().skip(1)) {
        let unit_of = |name: &Name| set.units().iter().find(|unit| unit.definition.name == *name);
        let (Some(unit), Some(target)) = (unit_of(from), unit_of(to)) else { continue };
        let edge = unit.definition.dependencies.iter().zip(&unit.places).find(|(dependency, _)| {
            dependency.kind.orders() && (dependency.on == *to || target.definition.provides.contains(&dependency.on))
        });
        if let Some((dependency, place)) = edge {
            places.push((parse_place(place), format!("{from} {} {to}", super::words::verb(dependency.kind))));
        } else if let Some(at) = set.installed_at(to) {
            places.push((at, format!("{to} is installed in {from}")));
        }
    }
    let at = places.first().map_or_else(|| At::start(""), |(at, _)| at.clone());
    let mut problem = Problem::new(at, format!("dependencies form a circle: {}", names.join(" -> ")));
    let width = places.iter().map(|(at, _)| at.to_string().len()).max().unwrap_or(0);
    problem.notes = places.iter().map(|(at, edge)| format!("{:width$}  {edge}", at.to_string())).collect();
    problem
}

fn at_file(unit: &Unit) -> At {
    At::start(if unit.file.is_empty() { "(made for [install])" } else { &unit.file })
}

fn parse_place(place: &str) -> At {
    let mut parts = place.rsplitn(3, ':');
    let mut number = || parts.next().and_then(|text| text.parse().ok()).unwrap_or(1);
    let (column, line) = (number(), number());
    At { file: parts.next().unwrap_or_default().into(), line, column }
}
