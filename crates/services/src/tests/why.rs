//! `why` against brute force on random states.

use std::collections::BTreeSet;
use std::eprintln;
use std::vec::Vec;

use super::random::{Random, set};
use super::world::{Mix, World};
use crate::{Bounds, Config, Dependency, DependencyKind, Hold, Reconciler, Root, ServiceId, State};
use types::Nanos;

/// Root causes from the definition: the least set closed under "waits for", computed by passing whole sets along edges
/// until nothing changes, from states and definitions alone.
fn brute_force(engine: &Reconciler) -> Vec<BTreeSet<(ServiceId, Root)>> {
    let n = engine.catalog().slots();
    let mut roots: Vec<BTreeSet<(ServiceId, Root)>> = std::vec![BTreeSet::new(); n];
    let view = |id| engine.service(id).unwrap();
    let definition = |id| engine.catalog().definition(id).unwrap();
    let ids: Vec<ServiceId> = engine.catalog().services().map(|(id, _)| id).collect();
    let offers = |id: &ServiceId, dependency: &Dependency| {
        let offer = definition(*id);
        (offer.name == dependency.on || offer.provides.contains(&dependency.on))
            && dependency.version.matches(&offer.version)
    };
    let on = |me: ServiceId, dependency: &Dependency| {
        let candidates = ids.iter().copied().filter(|id| *id != me && offers(id, dependency));
        candidates.max_by_key(|id| (definition(*id).version.clone(), core::cmp::Reverse(definition(*id).name.clone())))
    };
    let mut waits: Vec<Vec<ServiceId>> = std::vec![Vec::new(); n];
    for &id in &ids {
        let at = usize::from(id.0);
        let me = view(id);
        let states: Vec<State> = engine.instances(id).map(|instance| instance.state).collect();
        let has = |state: fn(&State) -> bool| states.iter().any(state);
        let waiting = engine.instances(id).find(|instance| instance.state == State::Waiting);
        let others = || {
            let wanted = definition(id).dependencies.iter();
            let mine = wanted.filter_map(|dependency| Some((dependency.kind, on(id, dependency)?)));
            // A target wants what is enabled in it.
            let inside = |other: &&ServiceId| {
                definition(**other).enabled && definition(**other).install.as_ref() == Some(&definition(id).name)
            };
            let installed = ids.iter().filter(inside).map(|other| (DependencyKind::Wants, *other));
            let theirs = ids.iter().flat_map(|&other| {
                let conflicts = definition(other).dependencies.iter().filter(|d| d.kind == DependencyKind::Conflicts);
                conflicts.filter(move |d| on(other, d) == Some(id)).map(move |d| (d.kind, other))
            });
            mine.chain(installed).chain(theirs).collect::<Vec<_>>()
        };
        let own = if me.hold != Hold::None {
            Some(Root::Held)
        } else if !me.wanted {
            Some(Root::NotWanted)
        } else if me.blocked {
            waits[at] = others()
                .into_iter()
                .filter(|(kind, to)| kind.is_hard() && view(*to).blocked)
                .map(|(_, to)| to)
                .collect();
            None
        } else if me.ready > 0 {
            None
        } else if has(|state| *state == State::Starting) {
            Some(Root::Starting)
        } else if let Some(waiting) = waiting {
            let settled = |to: ServiceId| {
                view(to).ready > 0
                    || engine.instances(to).all(|instance| {
                        instance.state == State::Failed || instance.state == State::Down && !view(to).goal
                    })
            };
            let expired = waiting.deadline.is_none();
            let closed: Vec<_> = others()
                .into_iter()
                .filter(|(kind, to)| match kind {
                    DependencyKind::Requires => view(*to).ready == 0,
                    DependencyKind::RequiresAny(_) => {
                        others().iter().all(|(other, to)| other != kind || view(*to).ready == 0)
                    }
                    DependencyKind::Milestone => !view(*to).milestone,
                    DependencyKind::Wants => !expired && !settled(*to),
                    DependencyKind::After => !expired && view(*to).goal && !settled(*to),
                    DependencyKind::Conflicts => view(*to).live > 0,
                })
                .collect();
            for (kind, to) in &closed {
                if *kind == DependencyKind::Conflicts {
                    roots[at].insert((*to, Root::Conflict));
                } else {
                    waits[at].push(*to);
                }
            }
            let alone = closed.is_empty();
            let refused = matches!(waiting.cause, crate::Cause::NoReserve { .. });
            alone.then_some(if refused { Root::NoReserve } else { Root::Queued })
        } else if has(|state| *state == State::Backoff) {
            Some(Root::Backoff)
        } else if has(|state| state.has_cell()) {
            Some(Root::Stopping)
        } else {
            has(|state| *state == State::Failed).then_some(Root::Failed)
        };
        if let Some(own) = own {
            roots[at].insert((id, own));
        }
    }
    loop {
        let before = roots.clone();
        for (at, list) in waits.iter().enumerate() {
            for to in list {
                let more = roots[usize::from(to.0)].clone();
                roots[at].extend(more);
            }
        }
        if roots == before {
            return roots;
        }
    }
}

#[test]
fn why_names_exactly_the_root_causes() {
    let (mut states, mut answers, mut deep) = (0u64, 0u64, 0u64);
    for seed in 1..400 {
        let mut random = Random::new(seed * 77);
        let n = 2 + random.below(14);
        let bounds = Bounds { services: 64, instances: 64, edges: 1024, memory: 300 };
        let config = Config { bounds, seed, burst: 4, starts_per_second: 20, audit_records: 8, ..Config::default() };
        let mut world = World::new(Reconciler::new(config), config, seed, Mix::draw(&mut random));
        if world.engine.load(Nanos::ZERO, set(&mut random, n), &mut world.actions).is_err() {
            continue;
        }
        world.perform();
        for _ in 0..80 {
            if random.percent(40) {
                world.disturb();
            } else {
                world.advance();
            }
            if world.engine.shutdown_stage().is_some() {
                // One that gave up asked for it; then that is the only cause there is.
                break;
            }
            let expected = brute_force(&world.engine);
            for slot in 0..world.engine.catalog().slots() as u16 {
                let id = ServiceId(slot);
                let found: BTreeSet<_> = world.engine.root_causes(id).into_iter().collect();
                let chain = world.engine.why(id);
                let ready = world.engine.service(id).is_none_or(|service| service.ready > 0);
                let expected = if ready { BTreeSet::new() } else { expected[usize::from(slot)].clone() };
                assert_eq!(found, expected, "seed {seed}, service {slot}: {chain:?}");
                states += 1;
                answers += u64::from(!found.is_empty());
                deep += u64::from(chain.iter().any(|reason| reason.depth >= 2));
            }
        }
    }
    eprintln!("{states} service states, {answers} explained, {deep} over two links or more");
    assert!(states > 100_000 && answers > 10_000 && deep > 1000);
}
