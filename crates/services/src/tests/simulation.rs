//! Many seeds of: load, faults, quiet until converged, shutdown. A failure prints the seed.

use std::collections::BTreeMap;
use std::eprintln;
use std::string::{String, ToString};
use std::time::Instant;

use super::invariants::{Fired, check, stop_order};
use super::random::{Random, set};
use super::world::{Mix, World};
use crate::table::{Row, TABLE};
use crate::{Actor, Bounds, Command, Config, Hold, InstanceId, Root, ServiceId, Stage, State};
use types::Nanos;

#[derive(Default)]
pub(super) struct Tally {
    pub(super) events: u64,
    pub(super) faults: u64,
    pub(super) seeds: u64,
    pub(super) converged: u64,
    pub(super) longest_shutdown: Nanos,
    pub(super) longest_step: u32,
    pub(super) fired: Fired,
    pub(super) log: u64,
}

/// One seed from load to halt.
pub(super) fn run(seed: u64, table: &'static [Row], tally: &mut Tally) -> Result<(), String> {
    let mut random = Random::new(seed);
    let n = 2 + random.below(20);
    let bounds = Bounds { services: 64, instances: 128, edges: 4096, memory: 100 + random.below(2000) };
    let config = Config {
        bounds,
        seed,
        burst: 4 + random.below(60) as u32,
        starts_per_second: 16 + random.below(240) as u32,
        audit_records: 64,
        ..Config::default()
    };
    let mix = Mix::draw(&mut random);
    let mut world = World::new(crate::Reconciler::with_table(config, table), config, seed, mix);
    let definitions = set(&mut random, n);
    if world.engine.load(Nanos::ZERO, definitions.clone(), &mut world.actions).is_err() {
        // A promise that does not fit; the next seed has another set.
        return Ok(());
    }
    world.perform();
    tally.seeds += 1;
    let faults = 20 + random.below(60);
    for fault in 0..faults {
        tally.faults += 1;
        match random.below(20) {
            0 if !world.past.is_empty() => {
                // An event of long ago, once more. If its generation lives on it is a late duplicate: only the safe ones.
                let event = world.past[random.below(world.past.len() as u64) as usize];
                stale(&mut world, event)?;
            }
            1 => {
                let mut set = definitions.clone();
                let at = random.below(n);
                set[at as usize] = super::random::definition(&mut random, at);
                if random.percent(30) {
                    set.pop();
                }
                let before = world.engine.catalog().slots();
                if world.engine.load(world.now, set, &mut world.actions).is_err()
                    && before != world.engine.catalog().slots()
                {
                    return Err("a refused load changed something".to_string());
                }
                world.perform();
            }
            _ => world.disturb(),
        }
        tally_check(&mut world, tally, seed, fault)?;
        for _ in 0..random.below(12) {
            advance(&mut world, tally, seed, fault)?;
        }
        if random.percent(2) {
            break;
        }
    }
    converge(&mut world, tally, seed)?;
    shut_down(&mut world, tally, seed, &mut random)?;
    tally.events += world.events;
    tally.longest_step = tally.longest_step.max(world.engine.longest_step());
    tally.log = tally.log.rotate_left(7) ^ world.log;
    if let Err(sequence) = world.engine.audit().verify() {
        return Err(std::format!("seed {seed}: I14 the chain breaks at {sequence}"));
    }
    *tally.fired.entry("I14").or_default() += 1;
    Ok(())
}

fn states(world: &World) -> BTreeMap<InstanceId, State> {
    (0..world.config.bounds.instances)
        .filter_map(|slot| Some((InstanceId(slot), world.engine.instance(InstanceId(slot))?.1.state)))
        .collect()
}

fn tally_check(world: &mut World, tally: &mut Tally, seed: u64, step: u64) -> Result<(), String> {
    let keep = world.spawns.len().saturating_sub(512);
    world.spawns.drain(..keep);
    check(world, &mut tally.fired)
        .map_err(|broken| std::format!("seed {seed}, fault {step}, at {:?}: {broken}", world.now))
}

fn advance(world: &mut World, tally: &mut Tally, seed: u64, step: u64) -> Result<(), String> {
    let before = states(world);
    let made = world.engine.audit().made();
    world.advance();
    let after = states(world);
    if before != after && world.engine.audit().made() == made {
        return Err(std::format!("seed {seed}: I14 a transition without a record"));
    }
    match stop_order(world, &before) {
        Ok(checked) => *tally.fired.entry("I3").or_default() += checked,
        Err(broken) => return Err(std::format!("seed {seed}, fault {step}: {broken}")),
    }
    tally_check(world, tally, seed, step)
}

/// I8: an event of an earlier generation changes nothing but the count of such events.
fn stale(world: &mut World, event: crate::Event) -> Result<(), String> {
    use crate::Event as E;
    let identity = match event {
        E::Ready(identity) | E::Empty(identity, _) | E::MainExited(identity, _) | E::SpawnFailed(identity, _) => {
            identity
        }
        _ => return Ok(()),
    };
    if world.cells.get(&identity.instance).is_some_and(|cell| cell.identity == identity) {
        return Ok(());
    }
    // What is due by now happens first, so that only the event itself is judged.
    world.give(E::Tick);
    let (before, count) = (states(world), world.engine.stale_events());
    world.hand_over(event);
    if states(world) != before || world.engine.stale_events() != count + 1 {
        return Err("I8 a stale event changed something".to_string());
    }
    Ok(())
}

/// I9: when faults stop, everything becomes as wished.
fn converge(world: &mut World, tally: &mut Tally, seed: u64) -> Result<(), String> {
    world.mix = Mix::GOOD;
    world.command(Actor::ROOT, Command::Recover);
    for slot in 0..world.engine.catalog().slots() as u16 {
        let id = ServiceId(slot);
        if world.engine.service(id).is_some_and(|service| service.hold == Hold::Hard) {
            world.command(Actor::ROOT, Command::Unhold(id));
        }
    }
    // What still hangs from the time of faults may fail once more; an operator resets it now that the world is good.
    let mut rounds = 0u32;
    for _ in 0..4 {
        for slot in 0..world.engine.catalog().slots() as u16 {
            world.command(Actor::ROOT, Command::Reset(ServiceId(slot)));
        }
        let end = world.now + Nanos::from_secs(100);
        while world.next_event().is_some_and(|at| at < end) {
            advance(world, tally, seed, 1000)?;
            rounds += 1;
            if rounds > 100_000 {
                return Err(std::format!("seed {seed}: I9 never comes to rest"));
            }
        }
    }
    for (id, definition) in world.engine.catalog().services() {
        for view in world.engine.instances(id) {
            let rest = if view.goal { view.state.is_ready() } else { view.state == State::Down };
            let excused =
                view.goal
                    && view.state == State::Waiting
                    && world.engine.root_causes(id).iter().all(|(_, root)| {
                        matches!(root, Root::Conflict | Root::Held | Root::NotWanted | Root::NoReserve)
                    });
            if !rest && !excused {
                return Err(std::format!(
                    "seed {seed}: I9 {} is {:?} with goal {} because of {:?}",
                    definition.name,
                    view,
                    view.goal,
                    world.engine.root_causes(id)
                ));
            }
        }
    }
    if !world.quiet() {
        return Err(std::format!("seed {seed}: I9 a cell is not at rest"));
    }
    tally.converged += 1;
    *tally.fired.entry("I9").or_default() += 1;
    Ok(())
}

/// I7: nothing starts after a shutdown, and everything is over in time.
fn shut_down(world: &mut World, tally: &mut Tally, seed: u64, random: &mut Random) -> Result<(), String> {
    let begun = world.now;
    if world.engine.live_cells() == 0 && random.percent(50) {
        return Ok(());
    }
    world.mix.ignores_term = 10;
    world.command(Actor::ROOT, Command::Shutdown(crate::Ending::Halt));
    tally_check(world, tally, seed, 2000)?;
    let limit = begun + Nanos::from_secs(35) + Nanos::from_millis(10);
    while !world.halted && world.next_event().is_some_and(|at| at <= limit) {
        if random.percent(5) {
            world.command(Actor::ROOT, Command::Shutdown(crate::Ending::Halt));
        }
        advance(world, tally, seed, 2000)?;
    }
    if !world.halted || !world.cells.is_empty() {
        return Err(std::format!(
            "seed {seed}: I7 {} cells are left, {:?}",
            world.cells.len(),
            world.engine.shutdown_stage()
        ));
    }
    if world.engine.shutdown_stage() > Some(Stage::Orderly) {
        *tally.fired.entry("I7 beyond the orderly stage").or_default() += 1;
    }
    *tally.fired.entry("I7").or_default() += 1;
    tally.longest_shutdown = tally.longest_shutdown.max(world.now - begun);
    Ok(())
}

/// `SERVICES_FAULTS=10000000 cargo test --release -p services simulation -- --nocapture` is the long run;
/// `SERVICES_SEED` starts elsewhere.
#[test]
fn no_invariant_breaks_and_every_seed_converges() {
    let number = |name: &str, default| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (faults, first): (u64, u64) = (number("SERVICES_FAULTS", 15_000), number("SERVICES_SEED", 1));
    let mut tally = Tally::default();
    let begun = Instant::now();
    let mut seed = first;
    while tally.faults < faults {
        if let Err(broken) = run(seed, TABLE, &mut tally) {
            panic!("{broken}");
        }
        seed += 1;
    }
    eprintln!(
        "seeds {first}..{seed}: {} faults, {} events, {}/{} converged, longest shutdown {:?}, longest step {} rounds, {:?}",
        tally.faults,
        tally.events,
        tally.converged,
        tally.seeds,
        tally.longest_shutdown,
        tally.longest_step,
        begun.elapsed()
    );
    eprintln!("checks: {:?}", tally.fired);
    assert_eq!(tally.converged, tally.seeds);
    for oracle in
        ["I1", "I2", "I3", "I4", "I5", "I6", "I6b", "I7", "I9", "I10", "I11", "I12", "I13", "I14", "I15", "I16", "I19"]
    {
        assert!(tally.fired.get(oracle).is_some_and(|times| *times > 0), "{oracle} was never checked");
    }
}

#[test]
fn the_same_seed_gives_the_same_actions() {
    for seed in 1..40 {
        let (mut a, mut b) = (Tally::default(), Tally::default());
        run(seed, TABLE, &mut a).unwrap();
        run(seed, TABLE, &mut b).unwrap();
        assert_eq!((a.log, a.events), (b.log, b.events), "I17, seed {seed}");
    }
}
