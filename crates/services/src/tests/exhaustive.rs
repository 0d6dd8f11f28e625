//! Three services, every graph of every kind of edge, every order of what may happen, up to a crash or two and a command:
//! all states that can be reached are visited, each is checked, and from each the engine must find its way to rest.
//!
//! States that differ in clocks and distances only are visited once (see `Reconciler::fingerprint`).

use std::collections::HashSet;
use std::eprintln;
use std::hash::{DefaultHasher, Hasher};
use std::string::String;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::vec::Vec;

use super::invariants::{Fired, Seen, check};
use super::random::name;
use super::world::{Mix, World, rests};
use crate::table::{Row, TABLE};
use crate::{
    Actor, Bounds, Command, Config, Definition, DependencyKind, Ending, Event, Exit, Reconciler, Retry, Root, Run,
    ServiceId, SpawnError, SpawnStep, State, StopMode,
};
use types::Nanos;

const KINDS: [Option<DependencyKind>; 7] = [
    None,
    Some(DependencyKind::Requires),
    Some(DependencyKind::RequiresAny(0)),
    Some(DependencyKind::Milestone),
    Some(DependencyKind::Wants),
    Some(DependencyKind::After),
    Some(DependencyKind::Conflicts),
];

/// How much may go wrong, and how many commands may come.
#[derive(Clone, Copy)]
struct Budget {
    crashes: u8,
    commands: u8,
}

#[derive(Clone)]
struct Node {
    world: World,
    budget: Budget,
}

/// One thing that may happen next.
#[derive(Clone, Copy, Debug)]
enum Choice {
    Event(Event),
    Crash(Event),
    Command(Command),
    /// The next deadline.
    Time,
    /// The next deadline, before something that was to happen: a fault.
    Hang,
}

impl Node {
    fn key(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.world.engine.fingerprint(&mut hasher);
        hasher.write_u8(self.budget.crashes);
        hasher.write_u8(self.budget.commands);
        hasher.write_u8(self.world.halted.is_some().into());
        hasher.finish()
    }

    /// What may happen without a fault: what is awaited, and time.
    fn good(&self) -> Option<Choice> {
        self.awaited().next().map(Choice::Event).or_else(|| self.world.engine.next_deadline().map(|_| Choice::Time))
    }

    fn awaited(&self) -> impl Iterator<Item = Event> {
        self.world.live().filter_map(|cell| {
            let (service, view) = self.world.engine.instance(cell.identity.instance)?;
            let once = self.world.engine.catalog().definition(service)?.run == Run::Oneshot;
            match view.state {
                State::Starting if once => Some(Event::Empty(cell.identity, Some(Exit::Status(0)))),
                State::Starting => Some(Event::Ready(cell.identity)),
                State::Stopping(_) => Some(Event::Empty(cell.identity, Some(Exit::Status(0)))),
                State::Killing => Some(Event::Empty(cell.identity, Some(Exit::Signal(9)))),
                _ => None,
            }
        })
    }

    fn choices(&self) -> Vec<Choice> {
        let mut choices: Vec<Choice> = self.awaited().map(Choice::Event).collect();
        let awaits = !choices.is_empty();
        if self.world.engine.next_deadline().is_some() && (!awaits || self.budget.crashes > 0) {
            choices.push(if awaits { Choice::Hang } else { Choice::Time });
        }
        if self.budget.crashes > 0 {
            for cell in self.world.live() {
                let Some((_, view)) = self.world.engine.instance(cell.identity.instance) else { continue };
                if matches!(view.state, State::Starting | State::Running) {
                    choices.push(Choice::Crash(Event::Empty(cell.identity, Some(Exit::Signal(11)))));
                    choices.push(Choice::Crash(Event::MainExited(cell.identity, Exit::Status(1))));
                }
                if view.state == State::Starting {
                    let error = SpawnError { step: SpawnStep::Memory, errno: 12, retry: Retry::Later };
                    choices.push(Choice::Crash(Event::SpawnFailed(cell.identity, error)));
                }
            }
        }
        if self.budget.commands > 0 {
            for id in (0..3).map(ServiceId) {
                choices.extend(
                    [
                        Command::Start(id),
                        Command::Stop(id, StopMode::Cascade),
                        Command::Restart(id),
                        Command::Hold(id),
                        Command::Pause(id),
                        Command::Isolate(id),
                    ]
                    .map(Choice::Command),
                );
            }
            choices.extend([Command::Emergency, Command::Shutdown(Ending::Halt)].map(Choice::Command));
        }
        choices
    }

    fn after(&self, choice: Choice) -> Self {
        let mut next = self.clone();
        match choice {
            Choice::Event(event) => next.world.give(event),
            Choice::Crash(event) => {
                next.budget.crashes -= 1;
                next.world.give(event);
            }
            Choice::Command(command) => {
                next.budget.commands -= 1;
                next.world.command(Actor::ROOT, command);
            }
            Choice::Time | Choice::Hang => {
                next.budget.crashes -= u8::from(matches!(choice, Choice::Hang));
                if let Some(at) = next.world.engine.next_deadline() {
                    next.world.now = next.world.now.max(at);
                    next.world.give(Event::Tick);
                }
            }
        }
        next.world.past.clear();
        next
    }

    /// As wished, or only what was given up keeps it from that.
    fn is_at_rest(&self) -> bool {
        let engine = &self.world.engine;
        if engine.shutdown_stage().is_some() {
            return self.world.halted.is_some();
        }
        engine.catalog().services().all(|(id, _)| {
            let roots = || engine.root_causes(id);
            let given_up = || roots().iter().any(|(_, root)| *root == Root::Failed);
            engine.instances(id).all(|view| rests(engine, id, &view) || view.goal && given_up())
        })
    }
}

#[derive(Default)]
struct Count {
    graphs: u64,
    states: u64,
    transitions: u64,
    walks: u64,
    fired: Fired,
}

/// All that can be reached from the load of this set.
fn explore(set: &[Definition], budget: Budget, table: &'static [Row], count: &mut Count) -> Result<(), String> {
    let bounds = Bounds { services: 3, instances: 3, edges: 16, memory: 100 };
    let config = Config { bounds, audit_records: 0, history: 0, sets: 0, ..Config::default() };
    let mut world = World::new(Reconciler::with_table(config, table), config, 1, Mix::GOOD);
    world.passive = true;
    if world.engine.load(Nanos::ZERO, set.to_vec(), &mut world.actions).is_err() {
        return Ok(());
    }
    world.perform();
    count.graphs += 1;
    let first = Node { world, budget };
    let mut seen = HashSet::from([first.key()]);
    let mut resting: HashSet<u64> = HashSet::new();
    let mut todo = std::vec![first];
    while let Some(node) = todo.pop() {
        count.states += 1;
        find_rest(&node, &mut resting, count)?;
        for choice in node.choices() {
            let mut records = Seen::new(&node.world);
            let next = node.after(choice);
            count.transitions += 1;
            check(&next.world, &mut records, &mut count.fired)
                .map_err(|broken| std::format!("{broken}, after {choice:?}"))?;
            if seen.insert(next.key()) {
                todo.push(next);
            }
        }
    }
    Ok(())
}

/// When nothing more goes wrong, rest comes within a bounded number of happenings.
fn find_rest(node: &Node, resting: &mut HashSet<u64>, count: &mut Count) -> Result<(), String> {
    let mut path = Vec::new();
    let mut at = node.clone();
    loop {
        let key = at.key();
        if resting.contains(&key) || at.is_at_rest() {
            path.push(key);
            resting.extend(path);
            return Ok(());
        }
        path.push(key);
        count.walks += 1;
        let Some(choice) = at.good().filter(|_| path.len() < 200) else {
            return Err(std::format!("never comes to rest: {:?}", at.world.engine.unready().collect::<Vec<_>>()));
        };
        at = at.after(choice);
    }
}

fn sets() -> Vec<Vec<Definition>> {
    let mut sets = Vec::new();
    for graph in 0..KINDS.len().pow(3) {
        let kind = |place: u32| KINDS[graph / KINDS.len().pow(place) % KINDS.len()];
        let mut set: Vec<Definition> = (0..3)
            .map(|at| {
                let mut made = Definition { enabled: true, ..Definition::daemon(name(at), "/bin/true") };
                made.restart.max_failures = 2;
                made.stop.drain = Nanos::ZERO;
                made
            })
            .collect();
        for (place, from, to) in [(0, 1, 0), (1, 2, 0), (2, 2, 1)] {
            if let Some(kind) = kind(place) {
                set[from].dependencies.push(crate::Dependency::new(kind, name(to)));
            }
        }
        // By turns one that runs once, a group, and one without grace.
        match graph % 4 {
            1 => set[0].run = Run::Oneshot,
            2 => {
                let dependencies = core::mem::take(&mut set[2].dependencies);
                set[2] = Definition { enabled: true, dependencies, ..Definition::target(name(2)) };
            }
            3 => set[1].loss_grace = Nanos::ZERO,
            _ => {}
        }
        sets.push(set);
    }
    sets
}

/// `SERVICES_DEPTH=2` allows two crashes, or a crash and a command; 3 two crashes and a command.
#[test]
fn every_reachable_state_of_three_services_is_sound_and_leads_to_rest() {
    let budget = |crashes, commands| Budget { crashes, commands };
    let budgets = match std::env::var("SERVICES_DEPTH").as_deref() {
        Ok("3") => std::vec![budget(2, 1)],
        Ok("2") => std::vec![budget(2, 0), budget(1, 1)],
        _ => std::vec![budget(1, 0), budget(0, 1)],
    };
    let (sets, next) = (sets(), AtomicUsize::new(0));
    let work = || {
        let mut count = Count::default();
        while let Some((graph, set)) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((at, sets.get(at)?)))
        {
            for budget in &budgets {
                if let Err(broken) = explore(set, *budget, TABLE, &mut count) {
                    panic!("graph {graph}: {broken}");
                }
            }
        }
        count
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(8);
    let mut sum = Count::default();
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for handle in handles {
            let count = handle.join().unwrap();
            sum.graphs += count.graphs;
            sum.states += count.states;
            sum.transitions += count.transitions;
            sum.walks += count.walks;
            sum.fired.add(&count.fired);
        }
    });
    eprintln!(
        "{} graphs, {} states, {} transitions, {} steps on ways to rest; evaluations: {:?}",
        sum.graphs, sum.states, sum.transitions, sum.walks, sum.fired.0
    );
    assert_eq!(sum.graphs, 343 * budgets.len() as u64);
    assert!(sum.states > 50_000 && sum.fired.0[1] > 0);
}

#[test]
fn most_mutants_of_the_table_are_found_in_small_scope() {
    std::panic::set_hook(std::boxed::Box::new(|_| {}));
    // Those with one edge, and some with three.
    let sets: Vec<_> = sets().into_iter().enumerate().filter(|(graph, _)| graph % 50 == 1 || *graph < 7).collect();
    let mutants = super::mutants::mutants();
    let mut survivors = Vec::new();
    for (name, table) in &mutants {
        let killed = [(1, 0), (0, 1)].into_iter().any(|(crashes, commands)| {
            sets.iter().any(|(_, set)| {
                let explore = || explore(set, Budget { crashes, commands }, table, &mut Count::default());
                std::panic::catch_unwind(core::panic::AssertUnwindSafe(explore)).map_or(true, |found| found.is_err())
            })
        });
        if !killed {
            survivors.push(name);
        }
    }
    let _ = std::panic::take_hook();
    eprintln!("{} of {} found; not: {survivors:?}", mutants.len() - survivors.len(), mutants.len());
    // The rest needs a command and two faults at once, which the simulation has.
    assert!(survivors.len() * 2 < mutants.len());
}
