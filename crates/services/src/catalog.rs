//! A set of definitions that fit together: names and versions resolved, no cycle, capacities kept.
//!
//! Loading is a transaction: either every definition is accepted, or all mistakes are returned and nothing changes. At boot
//! the bad ones are set aside instead, always the same ones, and the rest boots.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::definition::{Definition, DependencyKind, MAX_DEPENDENCIES, Name};
use crate::error::{Capacity, Resource, ServiceError, Unsatisfied};
use crate::graph::{Csr, Groups, components, levels, remaining_path, shortest_cycle};
use crate::id::{ServiceId, SlotId};

/// What a set may need at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Services.
    pub services: u16,
    /// Instances of all services.
    pub instances: u16,
    /// Dependencies of all services.
    pub edges: u32,
    /// Bytes of memory that can be promised.
    pub memory: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { services: 1024, instances: 1024, edges: 16_384, memory: u64::MAX }
    }
}

/// One mistake in a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Whose definition.
    pub service: Name,
    /// What is wrong.
    pub error: ServiceError,
    /// The dependency, if it is about one.
    pub dependency: Option<Name>,
    /// A loaded name that looks like it, if it is missing.
    pub nearest: Option<Name>,
    /// A shortest cycle; the last depends on the first.
    pub path: Vec<Name>,
}

impl Mistake {
    fn new(service: &Name, error: ServiceError) -> Self {
        Self { service: service.clone(), error, dependency: None, nearest: None, path: Vec::new() }
    }
}

/// A resolved dependency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Who depends.
    pub from: ServiceId,
    /// On whom.
    pub to: ServiceId,
    /// How.
    pub kind: DependencyKind,
}

/// The resolved set.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    definitions: Vec<Option<Definition>>,
    names: BTreeMap<Name, ServiceId>,
    /// Sorted by who depends; within one in the order of its definition.
    edges: Vec<Edge>,
    forward: Groups,
    backward: Groups,
    /// For each position of `backward`, which edge stands there.
    incoming: Vec<u32>,
    level: Vec<u16>,
    /// Services in the order in which they should be started when several can.
    order: Vec<ServiceId>,
    rank: Vec<u16>,
}

impl Catalog {
    /// Resolves a set. Services that `previous` knows keep their numbers.
    ///
    /// # Errors
    /// Every mistake of the set.
    pub fn resolve(previous: &Self, set: Vec<Definition>, bounds: Bounds) -> Result<Self, Vec<Mistake>> {
        Self::resolve_with(previous, set, Vec::new(), bounds, &|definition| definition.scaling.count)
    }

    /// As `resolve`; the `retired` keep their numbers, but nothing new can depend on them, and they take no room from the new
    /// set: they are on their way out. `count` says how many instances of a service there are to be.
    pub(crate) fn resolve_with(
        previous: &Self,
        mut set: Vec<Definition>,
        mut retired: Vec<Definition>,
        bounds: Bounds,
        count: &dyn Fn(&Definition) -> u16,
    ) -> Result<Self, Vec<Mistake>> {
        let mut mistakes = Vec::new();
        for definition in &set {
            let wrong = definition.mistakes();
            mistakes.extend(
                wrong.into_iter().map(|field| Mistake::new(&definition.name, ServiceError::InvalidDefinition(field))),
            );
            let promised = definition.limits.memory_reserve.saturating_mul(count(definition).into());
            if promised > bounds.memory {
                mistakes.push(Mistake::new(&definition.name, ServiceError::ResourceExhausted(Resource::Memory)));
            }
        }
        let kept = set.len();
        set.append(&mut retired);
        let names = number(previous, &set, kept, bounds, count, &mut mistakes);
        let slots = names.values().map(|id| id.slot() + 1).max().unwrap_or(0);
        let mut edges = connect(&names, set.get(..kept).unwrap_or(&set), bounds, &mut mistakes);
        let ordering: Vec<(u16, u16)> =
            edges.iter().filter(|edge| edge.kind.orders()).map(|edge| (edge.from.0, edge.to.0)).collect();
        let order_graph = Csr::new(slots, &ordering);
        let mut definitions: Vec<Option<Definition>> = alloc::vec![None; slots];
        for definition in set {
            let Some(&id) = names.get(&definition.name) else { continue };
            if let Some(slot) = definitions.get_mut(id.slot()).filter(|slot| slot.is_none()) {
                *slot = Some(definition);
            }
        }
        let Some(level) = levels(&order_graph) else {
            let path: Vec<Name> = shortest_cycle(&order_graph, &components(&order_graph))
                .unwrap_or_default()
                .into_iter()
                .filter_map(|node| {
                    definitions.get(usize::from(node))?.as_ref().map(|definition| definition.name.clone())
                })
                .collect();
            if let Some(victim) = victim(&path, &names, &definitions) {
                mistakes.push(Mistake { path, ..Mistake::new(&victim, ServiceError::CircularDependency) });
            }
            return Err(mistakes);
        };
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        edges.sort_by_key(|edge| edge.from);
        edges.shrink_to_fit();
        let forward = Groups::new(slots, edges.iter().map(|edge| edge.from.0));
        let (backward, incoming) = Groups::sorted(slots, edges.iter().map(|edge| edge.to.0));
        let (order, rank) = (Vec::new(), Vec::new());
        let mut catalog = Self { definitions, names, edges, forward, backward, incoming, level, order, rank };
        catalog.rank_by(&order_graph, &[]);
        Ok(catalog)
    }

    /// Resolves what can be resolved, and says what was set aside and why. In a cycle the least critical, latest, last by
    /// name is set aside; then whoever requires it, since that is missing.
    pub fn salvage(previous: &Self, mut set: Vec<Definition>, bounds: Bounds) -> (Self, Vec<Mistake>) {
        let mut aside: Vec<Mistake> = Vec::new();
        loop {
            match Self::resolve(previous, set.clone(), bounds) {
                Ok(catalog) => return (catalog, aside),
                Err(mistakes) => {
                    let before = set.len();
                    for mistake in &mistakes {
                        // Of a doubled name the first stays.
                        let place = set.iter().rposition(|definition| definition.name == mistake.service);
                        if let Some(place) = place {
                            set.remove(place);
                        }
                    }
                    aside.extend(mistakes);
                    if set.len() == before {
                        return (Self::default(), aside);
                    }
                }
            }
        }
    }

    /// Orders starts by the critical path: critical services and sessions, then those with the most (by `weight`,
    /// nanoseconds of measured start time; empty means all alike) waiting above them.
    pub fn set_weights(&mut self, weight: &[u64]) {
        let ordering: Vec<(u16, u16)> =
            self.edges.iter().filter(|edge| edge.kind.orders()).map(|edge| (edge.from.0, edge.to.0)).collect();
        self.rank_by(&Csr::new(self.slots(), &ordering), weight);
    }

    fn rank_by(&mut self, graph: &Csr, weight: &[u64]) {
        let path = remaining_path(graph, &self.level, weight);
        let mut order: Vec<ServiceId> = (0..self.slots() as u16).map(ServiceId).collect();
        order.sort_by_key(|&id| {
            let first = self.definition(id).is_some_and(|definition| definition.critical || definition.session);
            (!first, core::cmp::Reverse(path.get(id.slot()).copied().unwrap_or(0)), id)
        });
        self.rank = alloc::vec![0; order.len()];
        for (place, id) in order.iter().enumerate() {
            if let Some(slot) = self.rank.get_mut(id.slot()) {
                *slot = place as u16;
            }
        }
        self.order = order;
    }

    /// One more than the highest service number in use.
    pub fn slots(&self) -> usize {
        self.definitions.len()
    }

    /// The service of that name.
    pub fn find(&self, name: &str) -> Option<ServiceId> {
        self.names.get(name).copied()
    }

    /// The service whose name is closest to one that is not there, within two edits.
    pub fn nearest(&self, wanted: &Name) -> Option<ServiceId> {
        nearest(wanted, self.names.keys()).and_then(|name| self.names.get(&name).copied())
    }

    /// Its definition; `None` for a number not in use.
    pub fn definition(&self, id: ServiceId) -> Option<&Definition> {
        self.definitions.get(id.slot())?.as_ref()
    }

    /// All services, by number.
    pub fn services(&self) -> impl Iterator<Item = (ServiceId, &Definition)> {
        self.definitions.iter().enumerate().filter_map(|(at, slot)| Some((ServiceId(at as u16), slot.as_ref()?)))
    }

    /// All dependencies.
    pub fn edges(&self) -> &[Edge] {
        &self.edges
    }

    /// Dependencies of a service, with their place in [`Catalog::edges`].
    pub fn dependencies(&self, id: ServiceId) -> impl Iterator<Item = (usize, Edge)> {
        self.forward.range(id.0).filter_map(|at| Some((at, *self.edges.get(at)?)))
    }

    /// Dependencies on a service, with their place in [`Catalog::edges`].
    pub fn dependents(&self, id: ServiceId) -> impl Iterator<Item = (usize, Edge)> {
        self.backward.range(id.0).filter_map(|position| {
            let at = *self.incoming.get(position)? as usize;
            Some((at, *self.edges.get(at)?))
        })
    }

    /// Positions for [`Catalog::dependent_at`]: for walks that change other things on the way.
    pub(crate) fn dependent_positions(&self, id: ServiceId) -> core::ops::Range<usize> {
        self.backward.range(id.0)
    }

    pub(crate) fn dependent_at(&self, position: usize) -> Option<Edge> {
        self.edges.get(*self.incoming.get(position)? as usize).copied()
    }

    /// How deep a service stands: 0 depends on nothing.
    pub fn level(&self, id: ServiceId) -> u16 {
        self.level.get(id.slot()).copied().unwrap_or(0)
    }

    /// The service at one place of the start order.
    pub(crate) fn ranked(&self, place: usize) -> Option<ServiceId> {
        self.order.get(place).copied()
    }

    /// Place of a service in the start order.
    pub(crate) fn rank(&self, id: ServiceId) -> u16 {
        self.rank.get(id.slot()).copied().unwrap_or(u16::MAX)
    }
}

fn number(
    previous: &Catalog,
    set: &[Definition],
    kept: usize,
    bounds: Bounds,
    count: &dyn Fn(&Definition) -> u16,
    mistakes: &mut Vec<Mistake>,
) -> BTreeMap<Name, ServiceId> {
    let mut names = BTreeMap::new();
    let mut instances = 0u32;
    // A number is not given to another service while the old one may still have processes.
    let mut fresh = previous.definitions.len();
    for (at, definition) in set.iter().enumerate() {
        let leaves = at >= kept;
        instances += if leaves { 0 } else { u32::from(count(definition)) };
        let full = if leaves {
            None
        } else if names.len() >= usize::from(bounds.services) {
            Some(Capacity::Services)
        } else if instances > bounds.instances.into() {
            Some(Capacity::Instances)
        } else {
            None
        };
        if let Some(full) = full {
            mistakes.push(Mistake::new(&definition.name, ServiceError::CapacityExhausted(full)));
            continue;
        }
        let id = match previous.names.get(&definition.name) {
            Some(&id) => id,
            None => {
                let free = (0..previous.definitions.len())
                    .find(|&at| previous.definitions.get(at).is_some_and(Option::is_none) && !taken(&names, at));
                let at = free.unwrap_or(fresh);
                fresh += usize::from(free.is_none());
                ServiceId(at as u16)
            }
        };
        if names.insert(definition.name.clone(), id).is_some() {
            mistakes.push(Mistake::new(&definition.name, ServiceError::AlreadyExists));
        }
    }
    names
}

fn taken(names: &BTreeMap<Name, ServiceId>, at: usize) -> bool {
    names.values().any(|id| id.slot() == at)
}

fn connect(
    names: &BTreeMap<Name, ServiceId>,
    set: &[Definition],
    bounds: Bounds,
    mistakes: &mut Vec<Mistake>,
) -> Vec<Edge> {
    let mut offers: BTreeMap<&Name, Vec<&Definition>> = BTreeMap::new();
    for definition in set {
        for name in core::iter::once(&definition.name).chain(&definition.provides) {
            offers.entry(name).or_default().push(definition);
        }
    }
    let mut edges: Vec<Edge> = Vec::new();
    for definition in set {
        let Some(&from) = names.get(&definition.name) else { continue };
        let own = edges.len();
        for dependency in definition.dependencies.iter().take(MAX_DEPENDENCIES) {
            let all = offers.get(&dependency.on).map_or(&[][..], Vec::as_slice);
            let best = all
                .iter()
                .filter(|candidate| dependency.version.matches(&candidate.version) && candidate.name != definition.name)
                .max_by(|a, b| a.version.cmp(&b.version).then_with(|| b.name.cmp(&a.name)));
            if let Some(&to) = best.and_then(|candidate| names.get(&candidate.name)) {
                let edge = Edge { from, to, kind: dependency.kind };
                if !edges.iter().skip(own).any(|known| *known == edge) {
                    edges.push(edge);
                }
                continue;
            }
            let alternative = |other: &&super::definition::Dependency| {
                other.kind == dependency.kind && other.on != dependency.on && offers.contains_key(&other.on)
            };
            let needed = match dependency.kind {
                DependencyKind::Requires | DependencyKind::Milestone => true,
                DependencyKind::RequiresAny(_) => !definition.dependencies.iter().any(|other| alternative(&other)),
                DependencyKind::Wants | DependencyKind::After | DependencyKind::Conflicts => false,
            };
            if needed {
                let why = if all.is_empty() { Unsatisfied::Missing } else { Unsatisfied::Version };
                mistakes.push(Mistake {
                    dependency: Some(dependency.on.clone()),
                    nearest: if all.is_empty() { nearest(&dependency.on, offers.keys().copied()) } else { None },
                    ..Mistake::new(&definition.name, ServiceError::DependencyUnsatisfied(why))
                });
            }
        }
        if edges.len() > bounds.edges as usize {
            edges.truncate(own);
            mistakes.push(Mistake::new(&definition.name, ServiceError::CapacityExhausted(Capacity::Edges)));
        }
    }
    install(names, set, &offers, &mut edges, mistakes);
    if edges.len() > bounds.edges as usize {
        edges.truncate(bounds.edges as usize);
        if let Some(last) = set.last() {
            mistakes.push(Mistake::new(&last.name, ServiceError::CapacityExhausted(Capacity::Edges)));
        }
    }
    // A conflict binds both sides, whichever wrote it down.
    let mirrored: Vec<Edge> = edges
        .iter()
        .filter(|edge| edge.kind == DependencyKind::Conflicts)
        .map(|edge| Edge { from: edge.to, to: edge.from, kind: edge.kind })
        .filter(|mirror| !edges.contains(mirror))
        .collect();
    edges.extend(mirrored);
    edges
}

/// A target wants what is installed in it and enabled; the others named in a definition must exist as well.
fn install(
    names: &BTreeMap<Name, ServiceId>,
    set: &[Definition],
    offers: &BTreeMap<&Name, Vec<&Definition>>,
    edges: &mut Vec<Edge>,
    mistakes: &mut Vec<Mistake>,
) {
    for definition in set {
        let Some(&to) = names.get(&definition.name) else { continue };
        for target in definition.install.iter().chain(&definition.isolate) {
            if !offers.get(target).is_some_and(|all| all.iter().any(|other| other.name == *target)) {
                mistakes.push(Mistake {
                    dependency: Some(target.clone()),
                    nearest: nearest(target, offers.keys().copied()),
                    ..Mistake::new(&definition.name, ServiceError::DependencyUnsatisfied(Unsatisfied::Missing))
                });
            }
        }
        let into = definition.install.as_ref().filter(|_| definition.enabled).and_then(|target| names.get(target));
        if let Some(&from) = into {
            edges.push(Edge { from, to, kind: DependencyKind::Wants });
        }
    }
}

/// The member of a cycle to be set aside: least critical, latest loaded, greatest name.
fn victim(path: &[Name], names: &BTreeMap<Name, ServiceId>, definitions: &[Option<Definition>]) -> Option<Name> {
    path.iter()
        .max_by_key(|name| {
            let id = names.get(*name).copied().unwrap_or_default();
            let critical = definitions.get(id.slot()).and_then(Option::as_ref).is_some_and(|d| d.critical);
            (!critical, id, *name)
        })
        .cloned()
}

/// The loaded name within two edits of `wanted`, the closest first.
fn nearest<'a>(wanted: &Name, names: impl Iterator<Item = &'a Name>) -> Option<Name> {
    names
        .map(|name| (distance(wanted.as_str(), name.as_str()), name))
        .filter(|(edits, _)| *edits <= 2)
        .min()
        .map(|(_, name)| name.clone())
}

/// Levenshtein's distance, one row at a time.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (slot, y) in row.iter_mut().skip(1).zip(b.bytes()) {
            let best = (diagonal + usize::from(x != y)).min(*slot + 1).min(left + 1);
            diagonal = core::mem::replace(slot, best);
            left = best;
        }
    }
    row.last().copied().unwrap_or(0)
}
