//! Many seeds of: load, faults, quiet until converged, shutdown. A failure prints the seed.

use std::eprintln;
use std::string::String;
use std::time::Instant;
use std::vec::Vec;

use super::invariants::{Fired, Seen, check};
use super::random::{Random, definition, set};
use super::world::{FAULTS, Fault, Mix, World, rests};
use crate::table::{Row, TABLE};
use crate::{
    Actor, Bounds, Command, Config, Definition, Ending, Event, EventLog, Hold, Input, InstanceId, Level, Reconciler,
    ServiceId, State, replay,
};
use types::Nanos;

/// What is wrong with the engine under test besides its table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Flaw {
    None,
    /// Does not look at generations.
    ConfusesGenerations,
    /// Starts more at once than it was told.
    Ungoverned,
    /// Promises more memory than there is.
    Overcommits,
    /// Keeps no records.
    Unrecorded,
}

#[derive(Default, Clone)]
pub(super) struct Tally {
    pub(super) events: u64,
    pub(super) faults: [u64; FAULTS],
    pub(super) seeds: u64,
    /// Came to rest after the faults, as wished.
    pub(super) converged: u64,
    /// Shut down in the middle of the faults instead.
    pub(super) cut_short: u64,
    pub(super) longest_shutdown: Nanos,
    pub(super) longest_step: u32,
    pub(super) replayed: u64,
    pub(super) fired: Fired,
    pub(super) hash: u64,
    /// Prints what is told and done.
    aloud: bool,
}

impl Tally {
    pub(super) fn fault_count(&self) -> u64 {
        self.faults.iter().sum()
    }

    fn add(&mut self, other: &Self) {
        self.events += other.events;
        for (mine, theirs) in self.faults.iter_mut().zip(other.faults) {
            *mine += theirs;
        }
        self.seeds += other.seeds;
        self.converged += other.converged;
        self.cut_short += other.cut_short;
        self.longest_shutdown = self.longest_shutdown.max(other.longest_shutdown);
        self.longest_step = self.longest_step.max(other.longest_step);
        self.replayed += other.replayed;
        self.fired.add(&other.fired);
    }
}

struct Run<'a> {
    world: World,
    seen: Seen,
    random: Random,
    definitions: Vec<Definition>,
    sets: Vec<Vec<Definition>>,
    tally: &'a mut Tally,
}

/// One seed from load to halt.
pub(super) fn run(seed: u64, table: &'static [Row], flaw: Flaw, tally: &mut Tally) -> Result<(), String> {
    let mut random = Random::new(seed);
    let n = if random.percent(90) { 2 + random.below(7) } else { 8 + random.below(30) };
    let bounds =
        Bounds { services: 64, instances: (n * 3 + 4) as u16, edges: 4096, memory: 100 + random.below(60 * n) };
    let told = Config {
        bounds,
        seed,
        burst: 4 + random.below(40) as u32,
        starts_per_second: 8 + random.below(100) as u32,
        audit_records: 16 + random.below(48) as usize,
        history: 4,
        sets: 1,
        // Some engines must go on in the next step again and again.
        rounds: if random.percent(20) { 4 + random.below(12) as u32 } else { 512 },
        ..Config::default()
    };
    let mut config = told;
    match flaw {
        Flaw::None | Flaw::ConfusesGenerations => {}
        Flaw::Ungoverned => config.burst *= 100,
        Flaw::Overcommits => config.bounds.memory = u64::MAX,
        Flaw::Unrecorded => config.audit_records = 0,
    }
    let mix = Mix::draw(&mut random);
    let mut world = World::new(Reconciler::with_table(config, table), told, seed, mix);
    world.confuses_generations = flaw == Flaw::ConfusesGenerations;
    world.aloud = tally.aloud;
    let replays = seed.is_multiple_of(16);
    // Else the log is a small ring, and overwritten.
    world.log = EventLog::new(if replays { 1 << 20 } else { 32 });
    let definitions = set(&mut random, n);
    world.log.note(Nanos::ZERO, Input::Load(0));
    if world.engine.load(Nanos::ZERO, definitions.clone(), &mut world.actions).is_err() {
        // A promise that does not fit, or too many instances; the next seed has another set.
        return Ok(());
    }
    world.perform();
    let seen = Seen::new(&world);
    let mut run = Run { world, seen, random, sets: std::vec![definitions.clone()], definitions, tally };
    let outcome = run.all();
    let (world, sets, tally) = (run.world, run.sets, run.tally);
    outcome.map_err(|broken| std::format!("seed {seed}, at {:?}: {broken}", world.now))?;
    tally.seeds += 1;
    tally.events += world.events;
    for (sum, faults) in tally.faults.iter_mut().zip(world.faults) {
        *sum += faults;
    }
    tally.longest_step = tally.longest_step.max(world.engine.longest_step());
    tally.hash = tally.hash.rotate_left(7) ^ world.hash;
    world.engine.audit().verify().map_err(|at| std::format!("seed {seed}: I14 the chain breaks at {at}"))?;
    if replays && table == TABLE && flaw == Flaw::None {
        let again = replay(config, world.log.entries(), |set| sets.get(set as usize).cloned());
        let same = again.is_ok_and(|again| {
            (again.audit().head(), again.audit().made()) == (world.engine.audit().head(), world.engine.audit().made())
        });
        if world.log.lost() > 0 || !same {
            return Err(std::format!("seed {seed}: I17 the log replays to something else"));
        }
        tally.replayed += 1;
        tally.fired.count(17);
    }
    Ok(())
}

impl Run<'_> {
    fn all(&mut self) -> Result<(), String> {
        let faults = 100 + self.random.below(300);
        let cut = if self.random.percent(10) { self.random.below(faults) } else { faults };
        for step in 0..cut {
            match self.random.below(24) {
                0 | 1 if !self.world.past.is_empty() => self.stale()?,
                2 if self.random.percent(40) => self.reload(),
                _ => self.world.disturb(),
            }
            self.check()?;
            for _ in 0..self.random.below(4) {
                self.advance()?;
            }
            if step % 64 == 0 && self.world.engine.audit().lost() > 0 {
                self.world.fault(Fault::FullAudit);
            }
            if step % 64 == 0 && self.world.log.lost() > 0 {
                self.world.fault(Fault::FullLog);
            }
            if self.world.engine.shutdown_stage().is_some() {
                // A service that gave up asked for it.
                break;
            }
        }
        if cut < faults || self.world.engine.shutdown_stage().is_some() {
            self.tally.cut_short += 1;
        } else {
            self.converge()?;
        }
        self.shut_down()
    }

    fn check(&mut self) -> Result<(), String> {
        check(&self.world, &mut self.seen, &mut self.tally.fired).map_err(String::from)
    }

    fn advance(&mut self) -> Result<(), String> {
        self.world.advance();
        self.check()
    }

    fn states(&self) -> Vec<Option<State>> {
        (0..self.world.config.bounds.instances)
            .map(|at| self.world.engine.instance(InstanceId(at)).map(|(_, view)| view.state))
            .collect()
    }

    /// Some definition changes, one may go.
    fn reload(&mut self) {
        self.world.fault(Fault::Reload);
        let mut set = self.definitions.clone();
        let at = self.random.below(set.len() as u64);
        set[at as usize] = definition(&mut self.random, at);
        if self.random.percent(30) {
            set.pop();
        }
        self.world.log.note(self.world.now, Input::Load(self.sets.len() as u32));
        self.sets.push(set.clone());
        let world = &mut self.world;
        let before = (world.engine.catalog().slots(), world.engine.set_number());
        let loaded = world.engine.load(world.now, set, &mut world.actions);
        if loaded.is_err() && before != (world.engine.catalog().slots(), world.engine.set_number()) {
            world.broken = Some("a refused load changed something");
        }
        world.perform();
    }

    /// I8: an event of an earlier generation changes nothing but the count of such events.
    fn stale(&mut self) -> Result<(), String> {
        let event = self.world.past[self.random.below(self.world.past.len() as u64) as usize];
        let (Event::Ready(identity)
        | Event::Empty(identity, _)
        | Event::MainExited(identity, _)
        | Event::SpawnFailed(identity, _)) = event
        else {
            return Ok(());
        };
        if self.world.cell(identity).is_some() {
            return Ok(());
        }
        self.world.fault(Fault::Stale);
        // What is due by now happens first, so that only the event itself is judged.
        self.world.give(Event::Tick);
        while self.world.engine.next_deadline().is_some_and(|at| at <= self.world.now) {
            self.world.give(Event::Tick);
        }
        self.check()?;
        let (before, count) = (self.states(), self.world.engine.stale_events());
        self.world.hand_over(event);
        self.tally.fired.count(8);
        if self.states() != before || self.world.engine.stale_events() != count + 1 {
            return Err(String::from("I8 a stale event changed something"));
        }
        Ok(())
    }

    fn reset(&mut self) {
        self.world.command(Actor::ROOT, Command::Recover);
        for at in 0..self.world.engine.catalog().slots() as u16 {
            let id = ServiceId(at);
            if self.world.engine.service(id).is_some_and(|service| service.hold == Hold::Hard) {
                self.world.command(Actor::ROOT, Command::Unhold(id));
            }
            self.world.command(Actor::ROOT, Command::Resume(id));
            self.world.command(Actor::ROOT, Command::Reset(id));
        }
    }

    /// I9: when faults stop, everything becomes as wished, within 400 seconds.
    fn converge(&mut self) -> Result<(), String> {
        self.world.mix = Mix::GOOD;
        let mut rounds = 0u32;
        // What still hangs from the time of faults may fail once more; an operator resets it now that the world is good.
        for _ in 0..4 {
            self.reset();
            let end = self.world.now + Nanos::from_secs(100);
            while self.world.next_event().is_some_and(|at| at < end) {
                self.advance()?;
                rounds += 1;
                if rounds > 100_000 {
                    return Err(String::from("I9 never comes to rest"));
                }
                if rounds.is_multiple_of(16) && self.is_at_rest() {
                    break;
                }
            }
            if self.world.engine.shutdown_stage().is_some() {
                // What failed once more may have been one that asks for a reboot.
                self.tally.cut_short += 1;
                return Ok(());
            }
        }
        self.tally.fired.count(9);
        if !self.is_at_rest() {
            let engine = &self.world.engine;
            let bad = engine.catalog().services().find_map(|(id, _)| {
                engine.instances(id).find(|view| !rests(engine, id, view)).map(|view| (view, engine.root_causes(id)))
            });
            return Err(std::format!("I9 not as wished: {bad:?}"));
        }
        self.tally.converged += 1;
        Ok(())
    }

    fn is_at_rest(&self) -> bool {
        let engine = &self.world.engine;
        self.world.quiet()
            && engine.level() <= Level::Degraded
            && engine.catalog().services().all(|(id, _)| engine.instances(id).all(|view| rests(engine, id, &view)))
    }

    /// I7: nothing starts after a shutdown, and everything is over in time.
    fn shut_down(&mut self) -> Result<(), String> {
        let world = &mut self.world;
        world.mix.kills_quickly();
        world.mix.ignores_term = world.mix.ignores_term.max(10);
        let begun = world.now;
        let kill = self.random.percent(10);
        world.fault(Fault::Shutdown);
        world.command(
            Actor::ROOT,
            if kill { Command::KillAll(Ending::Reboot) } else { Command::Shutdown(Ending::Halt) },
        );
        self.check()?;
        // What was killed slowly before has its own time.
        let promised = if kill { Nanos::ZERO } else { Nanos::from_secs(35) };
        let limit = (begun + promised + Nanos::from_millis(10)).max(self.world.slow_until);
        let before = self.world.stood_still;
        while self.world.halted.is_none()
            && self.world.next_event().is_some_and(|at| at <= limit + (self.world.stood_still - before))
        {
            match self.random.below(40) {
                0 => {
                    self.world.fault(Fault::DoubleShutdown);
                    self.world.command(Actor::ROOT, Command::Shutdown(Ending::PowerOff));
                }
                1 => self.world.disturb(),
                _ => {}
            }
            self.advance()?;
        }
        self.tally.fired.count(7);
        if self.world.halted.is_none() || self.world.live().next().is_some() {
            let left = self.world.live().count();
            let stage = self.world.engine.shutdown_stage();
            return Err(std::format!("I7 {left} cells are left, {stage:?}"));
        }
        if self.world.slow_until < begun && self.world.stood_still == before {
            self.tally.longest_shutdown = self.tally.longest_shutdown.max(self.world.now - begun);
        }
        self.tally.fired.0[20] += core::mem::take(&mut self.world.victims);
        Ok(())
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Seeds from `first` on, on every CPU, until so many faults were injected.
fn simulate(first: u64, faults: u64) -> Tally {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(8) as u64;
    let work = |thread: u64| {
        let mut tally = Tally::default();
        let mut seed = first + thread;
        while tally.fault_count() < faults / threads {
            if let Err(broken) = run(seed, TABLE, Flaw::None, &mut tally) {
                panic!("{broken}");
            }
            seed += threads;
        }
        tally
    };
    let mut sum = Tally::default();
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|thread| scope.spawn(move || work(thread))).collect();
        for handle in handles {
            match handle.join() {
                Ok(tally) => sum.add(&tally),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    sum
}

/// `cargo xtask test simulation` is the long run; `SERVICES_FAULTS` and `SERVICES_SEED` change how much and where it starts.
#[test]
fn no_invariant_breaks_and_every_seed_converges() {
    let (faults, first) = (number("SERVICES_FAULTS", 200_000), number("SERVICES_SEED", 1));
    let begun = Instant::now();
    let tally = simulate(first, faults);
    eprintln!(
        "{} faults in {} seeds from {first}, {} events: {} converged, {} shut down amid faults, {} logs replayed; \
         longest shutdown {:?}, longest step {} rounds; {:?}",
        tally.fault_count(),
        tally.seeds,
        tally.events,
        tally.converged,
        tally.cut_short,
        tally.replayed,
        tally.longest_shutdown,
        tally.longest_step,
        begun.elapsed()
    );
    for (number, times) in tally.fired.0.iter().enumerate().skip(1) {
        eprintln!("  I{number}: evaluated {times} times");
    }
    let kinds = tally.faults;
    eprintln!("  faults by kind: {kinds:?}");
    assert_eq!(tally.converged + tally.cut_short, tally.seeds);
    assert!(tally.converged * 2 > tally.seeds, "most seeds must get to the check for convergence");
    for (number, times) in tally.fired.0.iter().enumerate().skip(1) {
        assert!(*times > 0, "I{number} was never checked");
    }
    for (kind, times) in kinds.iter().enumerate() {
        assert!(*times > 0, "fault kind {kind} was never injected");
    }
}

#[test]
fn the_same_seed_gives_the_same_actions() {
    for seed in 1..40 {
        let (mut a, mut b) = (Tally::default(), Tally::default());
        run(seed, TABLE, Flaw::None, &mut a).unwrap();
        run(seed, TABLE, Flaw::None, &mut b).unwrap();
        assert_eq!((a.hash, a.events), (b.hash, b.events), "I17, seed {seed}");
    }
}

/// `SERVICES_SEED=431 cargo test -p services one_seed -- --ignored --nocapture` tells what happens in a seed.
#[test]
#[ignore = "for looking at one seed"]
fn one_seed_aloud() {
    let mut tally = Tally { aloud: true, ..Tally::default() };
    run(number("SERVICES_SEED", 1), TABLE, Flaw::None, &mut tally).unwrap();
}
