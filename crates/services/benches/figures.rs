//! Measures the supervisor at its capacity, 1,024 services with 10,000 dependencies, beside the bars it has to keep:
//! `cargo bench -p services`. Ends with 1 if one is missed.
//!
//! Times are the best of several runs: what the work takes, not what else the machine does.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a measuring program, not the kernel")]

use allocation_counter::measure;
use services::graph::{Csr, IncrementalOrder, components, levels, shortest_cycle};
use services::{
    Action, Actions, Actor, Balance, Balancer, Bounds, Caller, Catalog, Command, Config, Definition, DependencyKind,
    Ending, Event, Exit, Generation, Identity, InstanceId, Name, Reconciler, ServiceId, Work,
};
use std::collections::{BinaryHeap, VecDeque};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use types::Nanos;

const NODES: u64 = 1024;
const EDGES: usize = 10_000;
const RUNS: usize = 20;

/// One row of the table.
struct Row {
    what: &'static str,
    found: f64,
    bar: Option<f64>,
    unit: &'static str,
}

#[derive(Default)]
struct Report {
    rows: Vec<Row>,
}

impl Report {
    fn add(&mut self, what: &'static str, found: f64, bar: impl Into<Option<f64>>, unit: &'static str) {
        self.rows.push(Row { what, found, bar: bar.into(), unit });
    }

    fn time(&mut self, what: &'static str, bar: impl Into<Option<f64>>, found: Duration) {
        self.add(what, found.as_secs_f64() * 1e6, bar, "µs");
    }

    fn print(&self) -> bool {
        println!("| what | measured | bar | |\n|---|---|---|---|");
        let mut all = true;
        for row in &self.rows {
            let met = row.bar.is_none_or(|bar| row.found <= bar);
            all &= met;
            let bar = row.bar.map_or(String::from("-"), |bar| format!("{bar} {}", row.unit));
            let digits = usize::from(row.found < 100.0) + usize::from(row.found < 10.0);
            let word = if row.bar.is_none() {
                ""
            } else if met {
                "met"
            } else {
                "MISSED"
            };
            println!("| {} | {:.digits$} {} | {bar} | {word} |", row.what, row.found, row.unit);
        }
        all
    }
}

fn draw(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state >> 8
}

/// Best of several runs; what each needs is made before.
fn best<S, T>(mut setup: impl FnMut() -> S, mut run: impl FnMut(&mut S) -> T) -> Duration {
    (0..RUNS)
        .map(|_| {
            let mut state = setup();
            let begun = Instant::now();
            let result = std::hint::black_box(run(&mut state));
            let took = begun.elapsed();
            drop(result);
            took
        })
        .min()
        .unwrap()
}

fn name(at: u64) -> Name {
    Name::new(&format!("s{at}")).unwrap()
}

fn edges() -> Vec<(u16, u16)> {
    let mut seed = 42;
    let mut edges = Vec::new();
    while edges.len() < EDGES {
        let (a, b) = (draw(&mut seed) % NODES, draw(&mut seed) % NODES);
        if a != b {
            edges.push((a.max(b) as u16, a.min(b) as u16));
        }
    }
    edges
}

/// Services that need each other as the edges say, as far as a definition has room.
fn definitions(edges: &[(u16, u16)]) -> Vec<Definition> {
    let mut set: Vec<Definition> =
        (0..NODES).map(|at| Definition { enabled: true, ..Definition::daemon(name(at), "/bin/true") }).collect();
    for (from, to) in edges {
        let known = &mut set[usize::from(*from)];
        if known.dependencies.len() < 64 && known.dependencies.iter().all(|d| d.on != name((*to).into())) {
            *known = known.clone().with(DependencyKind::Requires, name((*to).into()));
        }
    }
    set
}

fn main() -> ExitCode {
    let mut report = Report::default();
    let edges = edges();
    graphs(&mut report, &edges);
    let set = definitions(&edges);
    engine(&mut report, &set);
    chain(&mut report);
    balancing(&mut report);
    if report.print() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn graphs(report: &mut Report, edges: &[(u16, u16)]) {
    let nodes = NODES as usize;
    let found = best(
        || (),
        |()| {
            let graph = Csr::new(nodes, edges);
            (components(&graph), levels(&graph))
        },
    );
    report.time("adjacency, components and levels of the graph", 200.0, found);
    let found = best(
        || IncrementalOrder::new(NODES as u16),
        |order| edges.iter().filter(|(from, to)| order.insert(*from, *to)).count(),
    );
    report.time("10,000 dependencies one by one, in random order", 2000.0, found);
    let mut closed = edges.to_vec();
    closed.push((edges[0].1, edges[0].0));
    let found = best(
        || (),
        |()| {
            let graph = Csr::new(nodes, &closed);
            shortest_cycle(&graph, &components(&graph)).unwrap()
        },
    );
    report.time("adjacency, components and the shortest cycle of one with a cycle", 500.0, found);
}

fn spawned(actions: &Actions) -> impl Iterator<Item = Identity> {
    let spawns = actions.as_slice().iter();
    spawns.filter_map(|action| if let Action::Spawn(_, identity) = action { Some(*identity) } else { None })
}

/// The longest step, each counted as in the run in which it was the quickest: the runs are alike, step by step.
fn longest(runs: impl Iterator<Item = Vec<Duration>>) -> Duration {
    let least = |a: Vec<Duration>, b: Vec<Duration>| {
        assert_eq!(a.len(), b.len());
        a.into_iter().zip(b).map(|(a, b)| a.min(b)).collect()
    };
    runs.reduce(least).unwrap().into_iter().max().unwrap()
}

/// An engine, its actions, its clock, and how long its steps took.
struct Engine {
    engine: Reconciler,
    actions: Actions,
    now: Nanos,
    /// How long each step took.
    steps: Vec<Duration>,
}

impl Engine {
    fn new(set: &[Definition]) -> Self {
        let config = Config { burst: 4096, ..Config::default() };
        let mut made =
            Self { engine: Reconciler::new(config), actions: Actions::new(1024), now: Nanos::ZERO, steps: Vec::new() };
        made.engine.load(Nanos::ZERO, set.to_vec(), &mut made.actions).unwrap();
        made
    }

    fn step(&mut self, event: Event) {
        self.actions.clear();
        let begun = Instant::now();
        self.engine.step(self.now, event, &mut self.actions);
        self.steps.push(begun.elapsed());
    }

    /// Until nothing is left to do.
    fn settle(&mut self) -> Vec<Action> {
        let mut all = self.actions.as_slice().to_vec();
        while self.engine.has_pending() {
            self.step(Event::Tick);
            all.extend_from_slice(self.actions.as_slice());
        }
        all
    }

    /// Everything that is started is ready a moment later.
    fn start_all(&mut self) -> u32 {
        let mut steps = 0;
        let mut waiting: Vec<Identity> = Vec::with_capacity(NODES as usize);
        waiting.extend(spawned(&self.actions));
        while self.engine.has_pending() {
            self.step(Event::Tick);
            waiting.extend(spawned(&self.actions));
        }
        while let Some(identity) = waiting.pop() {
            self.now += Nanos::from_micros(1);
            self.step(Event::Ready(identity));
            steps += 1;
            waiting.extend(spawned(&self.actions));
        }
        steps
    }

    fn identity(&self, text: &str) -> Identity {
        let id = self.engine.catalog().find(text).unwrap();
        self.engine.instances(id).next().unwrap().identity
    }
}

fn engine(report: &mut Report, set: &[Definition]) {
    let found =
        best(|| set.to_vec(), |set| Catalog::resolve(&Catalog::default(), core::mem::take(set), Bounds::default()));
    report.time("the set of 1,024 definitions checked and resolved", None, found);
    let found = best(|| Engine::new(set), |engine| engine.start_all());
    report.time("start of all 1,024, engine alone", 10_000.0, found);

    let mut up = Engine::new(set);
    up.start_all();
    let running = |_| Engine { engine: up.engine.clone(), actions: Actions::new(1024), now: up.now, steps: Vec::new() };
    let mut worst = |what, run: fn(&mut Engine)| {
        let runs = (0..RUNS).map(running).map(|mut engine| {
            run(&mut engine);
            engine.steps
        });
        report.time(what, 500.0, longest(runs));
    };
    let fresh = longest((0..RUNS).map(|_| {
        let mut engine = Engine::new(set);
        engine.start_all();
        engine.steps
    }));
    worst("longest step of a shutdown", |engine| {
        engine.actions.clear();
        let begun = Instant::now();
        engine.engine.command(engine.now, Actor::ROOT, Command::Shutdown(Ending::Halt), &mut engine.actions).unwrap();
        engine.steps.push(begun.elapsed());
        engine.settle();
    });
    worst("longest step after the root is lost for good", |engine| {
        let root = engine.identity("s0");
        engine.step(Event::Empty(root, Some(Exit::Status(125))));
        engine.settle();
    });
    worst("longest step when all crash, one by one", |engine| {
        for at in 0..NODES {
            let identity = engine.identity(&format!("s{at}"));
            engine.step(Event::Empty(identity, Some(Exit::Signal(11))));
        }
        engine.settle();
    });
    report.time("longest step of the start of all", 500.0, fresh);

    let crash = |text: &'static str| {
        best(
            || running(0),
            |engine| {
                let identity = engine.identity(text);
                engine.step(Event::Empty(identity, Some(Exit::Signal(11))));
                assert_eq!(spawned(&engine.actions).count(), 1);
            },
        )
    };
    report.time("crash of a leaf to its next spawn", 20.0, crash("s1023"));
    report.time("crash of the root to its next spawn", None, crash("s0"));
    let mut engine = running(0);
    let root = engine.identity("s0");
    engine.step(Event::Empty(root, Some(Exit::Signal(11))));
    let signals = engine.settle().iter().filter(|action| matches!(action, Action::Signal(..))).count();
    report.add("services stopped when the root crashes and is back within its grace", signals as f64, 0.0, "");
    memory(report, set);
}

/// Bytes in use, by part.
fn memory(report: &mut Report, set: &[Definition]) {
    let kib = |bytes: i64| bytes as f64 / 1024.0;
    let kept = |run: &mut dyn FnMut()| kib(measure(run).bytes_current);
    let lean = Config { history: 0, audit_records: 0, sets: 0, ..Config::default() };
    let (mut tables, mut loaded, mut copied) = (None, Vec::new(), None);
    let own = kept(&mut || tables = Some(Reconciler::new(lean)));
    let definitions = kept(&mut || copied = Some(set.to_vec()));
    let mut actions = Actions::new(1024);
    let taken = copied.take().unwrap();
    let more = kept(&mut || {
        let mut engine = tables.take().unwrap();
        // What was given is not counted, what is kept of it is: the same.
        engine.load(Nanos::ZERO, taken.clone(), &mut actions).unwrap();
        loaded.push(engine);
    });
    drop(loaded);
    report.add("memory of the engine: tables, graph, timers", own + more - definitions, 512.0, "KiB");
    let full = kept(&mut || core::mem::forget(Reconciler::new(Config { sets: 0, ..Config::default() })));
    report.add("    and of its records: 32 transitions per instance, 4,096 of the audit ring", full - own, None, "KiB");
    report.add("    and of the definitions themselves", definitions, None, "KiB");
    report.add(
        "    and of the list of actions of a step",
        kept(&mut || core::mem::forget(Actions::new(1024))),
        None,
        "KiB",
    );
}

fn chain(report: &mut Report) {
    let set: Vec<Definition> = (0..NODES)
        .map(|at| {
            let made = Definition { enabled: true, ..Definition::daemon(name(at), "/bin/true") };
            if at == 0 { made } else { made.with(DependencyKind::Requires, name(at - 1)) }
        })
        .collect();
    let mut engine = Engine::new(&set);
    engine.settle();
    let engine = engine.engine;
    let last = ServiceId(NODES as u16 - 1);
    let found = best(
        || (),
        |()| {
            let why = engine.why(last);
            assert_eq!(why.len(), NODES as usize);
            why
        },
    );
    report.time("why, at the end of a chain of 1,024", 1000.0, found);
}

/// One worker per instance, requests at random moments, each taking a random time of mean 1.
struct Queues {
    seed: u64,
    /// How much slower than the others.
    slowness: [f64; 8],
}

impl Queues {
    fn exponential(&mut self) -> f64 {
        let uniform = (draw(&mut self.seed) % (1 << 53)) as f64 / (1u64 << 53) as f64;
        -(1.0 - uniform).ln()
    }

    /// Of a million requests at this load: 99th percentile of the time from request to answer, the longest queue, and the
    /// greatest share over the mean share.
    fn run(&mut self, load: f64) -> (f64, usize, f64) {
        let identity = |at: usize| Identity { instance: InstanceId(at as u16), generation: Generation(1) };
        let mut balancer = Balancer::new(Balance::Least, Nanos::ZERO, 8, 7);
        for at in 0..8 {
            balancer.publish(Nanos::ZERO, identity(at)).unwrap();
        }
        let capacity: f64 = self.slowness.iter().map(|slowness| 1.0 / slowness).sum();
        let mut queues: Vec<VecDeque<f64>> = vec![VecDeque::new(); 8];
        let mut ends: BinaryHeap<(std::cmp::Reverse<u64>, usize)> = BinaryHeap::new();
        let (mut now, mut longest) = (0.0, 0);
        let (mut took, mut share) = (Vec::with_capacity(1_000_000), [0u32; 8]);
        // Times as integers in the heap; a millionth of a service time is exact enough.
        let key = |time: f64| std::cmp::Reverse((time * 1e6) as u64);
        for _ in 0..1_000_000 {
            now += self.exponential() / (load * capacity);
            while let Some(&(std::cmp::Reverse(end), at)) = ends.peek().filter(|(end, _)| end.0 <= key(now).0) {
                ends.pop();
                let end = end as f64 / 1e6;
                took.push(end - queues[at].pop_front().unwrap());
                balancer.finish(Nanos::ZERO, identity(at), Work::Done);
                if !queues[at].is_empty() {
                    ends.push((key(end + self.exponential() * self.slowness[at]), at));
                }
            }
            let at = usize::from(balancer.pick(Nanos::ZERO, Caller::default()).unwrap().instance.0);
            share[at] += 1;
            queues[at].push_back(now);
            longest = longest.max(queues[at].len());
            if queues[at].len() == 1 {
                ends.push((key(now + self.exponential() * self.slowness[at]), at));
            }
        }
        took.sort_by(f64::total_cmp);
        let most = f64::from(*share.iter().max().unwrap());
        (took[took.len() * 99 / 100], longest, most / 125_000.0)
    }
}

fn balancing(report: &mut Report) {
    let mut equal = Queues { seed: 42, slowness: [1.0; 8] };
    let (p99, _, share) = equal.run(0.7);
    report.add("least in flight, 8 equal instances at load 0.7: greatest share over the mean", share, 1.02, "");
    report.add("    99th percentile", p99, None, "service times");
    let mut one_slow = Queues { seed: 42, slowness: [1.0; 8] };
    one_slow.slowness[3] = 10.0;
    let (p99, longest, _) = one_slow.run(0.7);
    report.add("one of them 10 times slower: 99th percentile", p99, 20.0, "service times");
    report.add("    longest queue", longest as f64, 10.0, "");
}
