//! Measures the supervisor at its capacity: `cargo run --release -p services --example figures`.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a measuring program, not the kernel")]

use services::graph::{Csr, IncrementalOrder, components, levels, shortest_cycle};
use services::{
    Action, Actions, Actor, Command, Config, Definition, DependencyKind, Event, Exit, Identity, Name, Reconciler,
};
use std::time::{Duration, Instant};
use types::Nanos;

const NODES: u64 = 1024;
const EDGES: usize = 10_000;

fn draw(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state >> 8
}

fn timed<T>(what: &str, run: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let result = run();
    println!("{what:<58} {:>10.1?}", begun.elapsed());
    result
}

fn name(at: u64) -> Name {
    Name::new(&format!("s{at}")).unwrap()
}

fn main() {
    let mut seed = 42;
    let edges: Vec<(u16, u16)> = (0..EDGES)
        .map(|_| {
            let (a, b) = (draw(&mut seed) % NODES, draw(&mut seed) % NODES);
            (a.max(b) as u16, a.min(b) as u16)
        })
        .filter(|(a, b)| a != b)
        .collect();
    let graph = timed("adjacency of 1,024 nodes and 10,000 edges", || Csr::new(NODES as usize, &edges));
    timed("strongly connected components", || components(&graph));
    timed("topological levels", || levels(&graph));
    let mut closed = edges.clone();
    closed.push((edges[0].1, edges[0].0));
    let cyclic = Csr::new(NODES as usize, &closed);
    timed("components and shortest cycle of a graph with one", || shortest_cycle(&cyclic, &components(&cyclic)));
    timed("10,000 incremental insertions", || {
        let mut order = IncrementalOrder::new(NODES as u16);
        edges.iter().filter(|(from, to)| order.insert(*from, *to)).count()
    });

    let mut set: Vec<Definition> =
        (0..NODES).map(|at| Definition { enabled: true, ..Definition::daemon(name(at), "/bin/true") }).collect();
    for (from, to) in &edges {
        let known = &mut set[usize::from(*from)];
        if known.dependencies.len() < 64 && known.dependencies.iter().all(|d| d.on != name((*to).into())) {
            *known = known.clone().with(DependencyKind::Requires, name((*to).into()));
        }
    }
    let config = Config { burst: 4096, ..Config::default() };
    let mut engine = Reconciler::new(config);
    let mut actions = Actions::new(1024);
    timed("load of the set, with its first starts", || engine.load(Nanos::ZERO, set, &mut actions).is_ok());
    let mut longest = Duration::ZERO;
    let mut steps = 0u32;
    let begun = Instant::now();
    let mut waiting: Vec<Identity> = spawned(&actions);
    let mut now = Nanos::ZERO;
    while let Some(identity) = waiting.pop() {
        now += Nanos::from_micros(1);
        actions.clear();
        let step = Instant::now();
        engine.step(now, Event::Ready(identity), &mut actions);
        longest = longest.max(step.elapsed());
        steps += 1;
        waiting.extend(spawned(&actions));
    }
    println!(
        "start of {} services in {steps} steps: {:.1?}, longest step {longest:.1?}",
        engine.live_cells(),
        begun.elapsed()
    );
    let id = engine.catalog().find("s1023").unwrap_or_default();
    let leaf = engine.instances(id).next().map(|view| view.identity).unwrap_or_default();
    actions.clear();
    timed("crash of a leaf, to its next spawn", || {
        engine.step(now, Event::Empty(leaf, Some(Exit::Signal(11))), &mut actions);
    });
    println!("    actions: {}", actions.as_slice().len());
    let root = engine.instances(services::ServiceId(0)).next().map(|view| view.identity).unwrap_or_default();
    actions.clear();
    timed("crash of the root, with grace for its dependents", || {
        engine.step(now, Event::Empty(root, Some(Exit::Signal(11))), &mut actions);
    });
    println!(
        "    services taken down: {}",
        actions.as_slice().iter().filter(|a| matches!(a, Action::Signal(..))).count()
    );
    timed("why, of the whole set", || {
        (0..NODES as u16).map(|at| engine.why(services::ServiceId(at)).len()).sum::<usize>()
    });
    actions.clear();
    timed("shutdown, its first step", || {
        engine.command(now, Actor::ROOT, Command::Shutdown(services::Ending::Halt), &mut actions).is_ok()
    });
}

fn spawned(actions: &Actions) -> Vec<Identity> {
    actions
        .as_slice()
        .iter()
        .filter_map(|action| if let Action::Spawn(_, identity) = action { Some(*identity) } else { None })
        .collect()
}
