//! Who must go when memory is short, against trying everybody.

use std::collections::BTreeSet;
use std::vec::Vec;

use super::random::{Random, set};
use super::world::{Mix, World};
use crate::{Bounds, Config, InstanceId, Reconciler, ServiceId, Usage};
use types::Nanos;

/// Everything lost with one instance, by passing the loss along edges until nothing changes.
fn lost_with(engine: &Reconciler, instance: InstanceId) -> BTreeSet<ServiceId> {
    let (service, view) = engine.instance(instance).unwrap();
    let mut lost = BTreeSet::from([service]);
    if engine.service(service).unwrap().ready > u16::from(view.state.is_ready()) {
        return lost;
    }
    loop {
        let before = lost.len();
        for edge in engine.catalog().edges().iter().filter(|edge| edge.kind.is_hard()) {
            if lost.contains(&edge.to) && engine.service(edge.from).unwrap().live > 0 {
                lost.insert(edge.from);
            }
        }
        if lost.len() == before {
            return lost;
        }
    }
}

fn critical_in(engine: &Reconciler, lost: &BTreeSet<ServiceId>) -> usize {
    lost.iter().filter(|id| engine.catalog().definition(**id).unwrap().critical).count()
}

pub(super) fn takes_a_critical_one(engine: &Reconciler, instance: InstanceId) -> bool {
    engine.instance(instance).is_some() && critical_in(engine, &lost_with(engine, instance)) > 0
}

#[test]
fn the_victim_is_the_one_that_trying_everybody_finds() {
    let (mut graphs, mut asked, mut choices) = (0u64, 0u64, 0u64);
    let mut seed = 0;
    while graphs < 10_000 {
        seed += 1;
        let mut random = Random::new(seed * 31);
        let bounds = Bounds { services: 16, instances: 64, edges: 256, memory: u64::MAX };
        let config = Config { bounds, seed, audit_records: 0, history: 0, burst: 64, ..Config::default() };
        let mut world = World::new(Reconciler::new(config), config, seed, Mix::GOOD);
        let n = 3 + random.below(9);
        if world.engine.load(Nanos::ZERO, set(&mut random, n), &mut world.actions).is_err() {
            continue;
        }
        world.perform();
        for _ in 0..random.below(30) {
            world.advance();
        }
        let usage: Vec<Usage> =
            world.live().map(|cell| Usage { instance: cell.identity.instance, bytes: 1 + random.below(8) }).collect();
        if usage.is_empty() {
            continue;
        }
        graphs += 1;
        for need in [1, 4, 100] {
            let engine = &world.engine;
            // Worse is greater, compared one after the other.
            let cost = |used: &Usage| {
                let lost = lost_with(engine, used.instance);
                let critical = critical_in(engine, &lost);
                let reserved = engine.instance(used.instance).unwrap().1.reserved;
                (critical > 0, used.bytes < need, critical, used.bytes <= reserved, lost.len(), u64::MAX - used.bytes)
            };
            let best = usage.iter().map(cost).min().unwrap();
            let found = engine.victim(&usage, need).unwrap();
            let chosen = usage.iter().find(|used| used.instance == found.identity.instance).unwrap();
            assert_eq!(cost(chosen), best, "seed {seed}, need {need}");
            assert_eq!((found.critical, found.bytes), (best.0, chosen.bytes));
            asked += 1;
            choices += u64::from(usage.iter().any(|used| cost(used) != best));
        }
    }
    std::eprintln!("{graphs} graphs, {asked} questions, {choices} with a choice");
    assert!(asked >= 30_000 && choices > 10_000);
}
