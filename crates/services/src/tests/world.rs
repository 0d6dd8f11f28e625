//! What the kernel and the services would do: cells that start, get ready, hang, crash, ignore signals, and end.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::vec::Vec;

use super::random::Random;
use crate::{
    Action, Actions, Config, DependencyKind, Event, Exit, Identity, InstanceId, ProbeResult, Readiness, Reconciler,
    Resource, Retry, Run, ServiceId, SpawnError, SpawnStep, State,
};
use core::cmp::Reverse;
use types::Nanos;

pub(super) struct Cell {
    pub(super) service: ServiceId,
    pub(super) identity: Identity,
    ignores_term: bool,
    dying: bool,
}

/// How bad the world is, in percent; drawn per seed, so that rare mixtures occur (swarm testing).
#[derive(Clone, Copy)]
pub(super) struct Mix {
    pub(super) spawn_fails: u64,
    pub(super) hangs: u64,
    pub(super) early_exit: u64,
    pub(super) ignores_term: u64,
    pub(super) probe_fails: u64,
}

impl Mix {
    pub(super) const GOOD: Self = Self { spawn_fails: 0, hangs: 0, early_exit: 0, ignores_term: 0, probe_fails: 0 };

    pub(super) fn draw(random: &mut Random) -> Self {
        let mut chance = |most| if random.percent(50) { random.below(most) } else { 0 };
        Self {
            spawn_fails: chance(30),
            hangs: chance(30),
            early_exit: chance(50),
            ignores_term: chance(50),
            probe_fails: chance(60),
        }
    }
}

pub(super) struct World {
    pub(super) engine: Reconciler,
    pub(super) actions: Actions,
    pub(super) random: Random,
    pub(super) now: Nanos,
    pub(super) mix: Mix,
    pub(super) cells: BTreeMap<InstanceId, Cell>,
    pub(super) published: BTreeSet<Identity>,
    queue: BinaryHeap<Reverse<(Nanos, u64)>>,
    scheduled: BTreeMap<u64, Event>,
    sequence: u64,
    /// Events of the past, to be repeated when they are stale.
    pub(super) past: Vec<Event>,
    pub(super) events: u64,
    pub(super) log: u64,
    pub(super) halted: bool,
    /// Starts in the last second, for the governor.
    pub(super) spawns: Vec<Nanos>,
    pub(super) config: Config,
    /// What the actions broke; the invariants report it.
    pub(super) broken: Option<&'static str>,
    /// Cells whose service had dependents with cells when it was told to stop in order.
    pub(super) alarms: u64,
}

impl World {
    pub(super) fn new(engine: Reconciler, config: Config, seed: u64, mix: Mix) -> Self {
        Self {
            engine,
            actions: Actions::new(config.bounds.instances),
            random: Random::new(seed ^ 0x5eed),
            now: Nanos::ZERO,
            mix,
            cells: BTreeMap::new(),
            published: BTreeSet::new(),
            queue: BinaryHeap::new(),
            scheduled: BTreeMap::new(),
            sequence: 0,
            past: Vec::new(),
            events: 0,
            log: 0xcbf2_9ce4_8422_2325,
            halted: false,
            spawns: Vec::new(),
            config,
            broken: None,
            alarms: 0,
        }
    }

    pub(super) fn schedule(&mut self, at: Nanos, event: Event) {
        self.sequence += 1;
        self.queue.push(Reverse((at, self.sequence)));
        self.scheduled.insert(self.sequence, event);
    }

    pub(super) fn next_event(&self) -> Option<Nanos> {
        let world = self.queue.peek().map(|Reverse((at, _))| *at);
        [world, self.engine.next_deadline()].into_iter().flatten().min()
    }

    /// Lets the next thing happen.
    pub(super) fn advance(&mut self) {
        let Some(at) = self.next_event() else { return };
        self.now = self.now.max(at);
        let due = self.queue.peek().is_some_and(|Reverse((at, _))| *at <= self.now);
        let event = if due {
            let Reverse((_, sequence)) = self.queue.pop().unwrap();
            self.scheduled.remove(&sequence).unwrap()
        } else {
            Event::Tick
        };
        self.give(event);
    }

    /// Gives an event to the engine, and does what it says.
    pub(super) fn give(&mut self, event: Event) {
        // The world ends the cell before it tells of it.
        match event {
            Event::SpawnFailed(identity, _) | Event::Empty(identity, _) => {
                if self.cells.get(&identity.instance).is_none_or(|cell| cell.identity != identity) {
                    return self.hand_over(event);
                }
                self.cells.remove(&identity.instance);
            }
            Event::MainExited(identity, _) => {
                if let Some(cell) = self.cells.get_mut(&identity.instance).filter(|cell| cell.identity == identity) {
                    cell.dying = true;
                }
            }
            _ => {}
        }
        if self.past.len() < 64 && event != Event::Tick {
            self.past.push(event);
        }
        self.hand_over(event);
    }

    pub(super) fn hand_over(&mut self, event: Event) {
        self.events += 1;
        self.engine.step(self.now, event, &mut self.actions);
        self.perform();
    }

    /// Does the actions; again while the engine has work left.
    pub(super) fn perform(&mut self) {
        loop {
            let todo: Vec<Action> = self.actions.as_slice().to_vec();
            self.actions.clear();
            for action in todo {
                self.act(action);
            }
            if !self.engine.has_pending() || self.engine.is_frozen() {
                return;
            }
            self.engine.step(self.now, Event::Tick, &mut self.actions);
        }
    }

    fn note(&mut self, action: &Action) {
        use core::hash::{Hash, Hasher};
        struct Fnv(u64);
        impl Hasher for Fnv {
            fn finish(&self) -> u64 {
                self.0
            }
            fn write(&mut self, bytes: &[u8]) {
                for byte in bytes {
                    self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
                }
            }
        }
        let mut hash = Fnv(self.log);
        (self.now, action).hash(&mut hash);
        self.log = hash.finish();
    }

    fn act(&mut self, action: Action) {
        self.note(&action);
        match action {
            Action::Spawn(service, identity) => self.spawn(service, identity),
            Action::Signal(identity, _) => self.end(identity, 400, 60),
            Action::SignalAll(identity, _) => self.end(identity, 100, 0),
            Action::Kill(identity) => {
                let Some(cell) = self.cells.get_mut(&identity.instance).filter(|cell| cell.identity == identity) else {
                    return;
                };
                cell.dying = true;
                // Within the bound of 10 ms that the shutdown promises.
                let at = self.now + self.random.millis(9);
                self.schedule(at, Event::Empty(identity, Some(Exit::Signal(9))));
            }
            Action::Alarm(_) => self.alarms += 1,
            Action::Publish(_, identity) => {
                if !self.published.insert(identity) {
                    self.broken = Some("I16 published twice");
                }
            }
            Action::Unpublish(_, identity) => {
                if !self.published.remove(&identity) {
                    self.broken = Some("I16 unpublished what was not published");
                }
            }
            Action::Probe(identity) => {
                let at = self.now + self.random.millis(500);
                if !self.random.percent(self.mix.probe_fails / 2) {
                    let fails = self.random.percent(self.mix.probe_fails);
                    self.schedule(
                        at,
                        Event::Probed(identity, if fails { ProbeResult::Fail } else { ProbeResult::Pass }),
                    );
                }
            }
            Action::CheckRunnable(identity) => {
                let stuck = self.random.percent(self.mix.hangs);
                let span = if stuck { Nanos::from_secs(60) } else { self.random.millis(1500) };
                self.schedule(self.now, Event::Runnable(identity, span));
            }
            Action::Halted(_) => self.halted = true,
            Action::Changed(..)
            | Action::Reload(_)
            | Action::Escalate(..)
            | Action::Level(_)
            | Action::Pause(_)
            | Action::Resume(_) => {}
        }
    }

    fn end(&mut self, identity: Identity, within: u64, lingers: u64) {
        let Some(cell) =
            self.cells.get(&identity.instance).filter(|cell| cell.identity == identity && !cell.ignores_term)
        else {
            return;
        };
        let _ = cell.dying;
        let at = self.now + self.random.millis(within);
        if self.random.percent(lingers) {
            self.schedule(at, Event::MainExited(identity, Exit::Status(0)));
        } else {
            self.schedule(at, Event::Empty(identity, Some(Exit::Status(0))));
        }
    }

    fn spawn(&mut self, service: ServiceId, identity: Identity) {
        if self.engine.shutdown_stage().is_some() {
            self.broken = Some("I7 spawn after shutdown");
        }
        self.spawns.push(self.now);
        let rivals =
            self.engine.catalog().dependencies(service).filter(|(_, edge)| edge.kind == DependencyKind::Conflicts);
        if rivals.into_iter().any(|(_, edge)| self.cells.values().any(|cell| cell.service == edge.to)) {
            self.broken = Some("started beside a service that it conflicts with");
        }
        let ignores_term = self.random.percent(self.mix.ignores_term);
        let cell = Cell { service, identity, ignores_term, dying: false };
        if self.cells.insert(identity.instance, cell).is_some() {
            self.broken = Some("I2 two cells for one instance");
        }
        let (run, ready) =
            self.engine.catalog().definition(service).map_or((Run::Daemon, Readiness::Notify), |d| (d.run, d.ready));
        if self.random.percent(self.mix.spawn_fails) {
            let retry = if self.random.percent(90) { Retry::Later } else { Retry::Never };
            let error = SpawnError { step: SpawnStep::Memory, errno: 12, retry };
            return self.schedule(self.now, Event::SpawnFailed(identity, error));
        }
        let first = self.now + self.random.millis(300);
        if self.random.percent(self.mix.early_exit) {
            let status = [0, 1, 1, 1, 125][self.random.below(5) as usize];
            return self.schedule(first, Event::Empty(identity, Some(Exit::Status(status))));
        }
        if self.random.percent(self.mix.hangs) {
            return;
        }
        match run {
            Run::Oneshot => self.schedule(first, Event::Empty(identity, Some(Exit::Status(0)))),
            _ if ready == Readiness::Probe => {}
            _ => {
                self.schedule(first, Event::Ready(identity));
                if self.random.percent(10) {
                    self.schedule(first, Event::Ready(identity));
                }
            }
        }
    }

    /// A fault or a command at random.
    pub(super) fn disturb(&mut self) {
        let cells: Vec<Identity> = self.cells.values().map(|cell| cell.identity).collect();
        let pick = cells.get(self.random.below(cells.len() as u64) as usize).copied();
        let Some(identity) = pick else { return self.order() };
        match self.random.below(16) {
            0..4 => {
                let exit = if self.random.percent(50) { Exit::Signal(11) } else { Exit::Status(1) };
                self.give(Event::Empty(identity, Some(exit)));
            }
            4 => self.give(Event::MainExited(identity, Exit::Status(3))),
            5 => self.give(Event::QuotaHit(identity, Resource::Memory)),
            6 => self.give(Event::OutOfMemory(identity)),
            7 => {
                for identity in cells {
                    if self.random.percent(30) {
                        self.give(Event::Empty(identity, Some(Exit::Signal(9))));
                    }
                }
            }
            8 => {
                // The machine stands still; whatever was due comes late.
                let gap = self.random.millis(20_000);
                self.now += gap;
                self.give(Event::Tick);
            }
            9 => {
                let by = self.random.millis(5000);
                self.give(Event::ExtendStart(identity, by));
            }
            10 => self.give(Event::Drained(identity)),
            11 => self.give(Event::Alive(identity)),
            _ => self.order(),
        }
    }

    fn order(&mut self) {
        use crate::{Actor, Command, StopMode};
        let slots = self.engine.catalog().slots() as u64;
        let id = ServiceId(self.random.below(slots) as u16);
        let command = match self.random.below(20) {
            0..5 => Command::Start(id),
            5 => Command::Stop(id, StopMode::Alone),
            6..8 => Command::Stop(id, StopMode::Cascade),
            8..10 => Command::Restart(id),
            10 => Command::Reset(id),
            11 => Command::Hold(id),
            12 | 13 => Command::Unhold(id),
            14 => Command::Scale(id, 1 + self.random.below(4) as u16),
            15 => Command::Roll(id),
            16 => Command::Enable(id),
            17 if self.random.percent(10) => Command::Isolate(id),
            18 if self.random.percent(10) => Command::Emergency,
            _ => Command::Recover,
        };
        self.command(Actor::ROOT, command);
    }

    pub(super) fn command(&mut self, actor: crate::Actor, command: crate::Command) {
        self.events += 1;
        let _ = self.engine.command(self.now, actor, command, &mut self.actions);
        self.perform();
    }

    pub(super) fn quiet(&self) -> bool {
        self.cells.values().all(|cell| {
            let engine = self.engine.instance(cell.identity.instance);
            engine.is_some_and(|(_, view)| view.state == State::Running)
        })
    }
}
