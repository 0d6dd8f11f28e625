//! What the kernel and the services would do: cells that start, get ready, hang, crash, ignore signals, and end.

use std::collections::BinaryHeap;
use std::vec;
use std::vec::Vec;

use super::random::Random;
use crate::{
    Action, Actions, Actor, Command, Config, DependencyKind, Ending, Event, EventLog, Exit, Hold, Identity, Input,
    InstanceId, InstanceView, ProbeResult, Readiness, Reconciler, Resource, Retry, Root, Run, ServiceId, SpawnError,
    SpawnStep, State, StopMode, Usage,
};
use core::cmp::Ordering;
use types::{Nanos, Uid};

#[derive(Clone, Copy)]
pub(super) struct Cell {
    pub(super) service: ServiceId,
    pub(super) identity: Identity,
    ignores_term: bool,
    ignores_grace: bool,
    /// The world has decided when it is empty.
    killed: bool,
}

/// How bad the world is, in percent; drawn per seed, so that rare mixtures occur (swarm testing).
#[derive(Clone, Copy)]
pub(super) struct Mix {
    spawn_fails: u64,
    hangs: u64,
    early_exit: u64,
    late_ready: u64,
    pub(super) ignores_term: u64,
    ignores_grace: u64,
    orphans: u64,
    slow_kill: u64,
    probe_fails: u64,
    doubles: u64,
}

impl Mix {
    pub(super) const GOOD: Self = Self {
        spawn_fails: 0,
        hangs: 0,
        early_exit: 0,
        late_ready: 0,
        ignores_term: 0,
        ignores_grace: 0,
        orphans: 10,
        slow_kill: 0,
        probe_fails: 0,
        doubles: 0,
    };

    pub(super) fn draw(random: &mut Random) -> Self {
        let mut chance = |most| if random.percent(50) { random.below(most) } else { 0 };
        Self {
            spawn_fails: chance(30),
            hangs: chance(30),
            early_exit: chance(50),
            late_ready: chance(20),
            ignores_term: chance(50),
            ignores_grace: chance(50),
            orphans: chance(60),
            slow_kill: chance(20),
            probe_fails: chance(60),
            doubles: chance(20),
        }
    }

    /// Kills are as quick as the kernel promises: what a bound on a shutdown rests on.
    pub(super) fn kills_quickly(&mut self) {
        self.slow_kill = 0;
    }
}

/// The kinds of fault, as counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub(super) enum Fault {
    SpawnFailed,
    ExitBeforeReady,
    HangBeforeReady,
    ReadyTwice,
    ReadyTooLate,
    Stale,
    Duplicate,
    ExitWithOrphans,
    TermIgnored,
    GraceIgnored,
    SlowKill,
    ClockJump,
    OutOfMemory,
    Quota,
    Probe,
    Watchdog,
    Crash,
    MassCrash,
    Extension,
    Drained,
    Ejected,
    Command,
    RefusedCommand,
    Reload,
    Shutdown,
    DoubleShutdown,
    FullLog,
    FullAudit,
    SplitStep,
}

pub(super) const FAULTS: usize = Fault::SplitStep as usize + 1;

#[derive(Clone)]
struct Scheduled {
    at: Nanos,
    sequence: u64,
    event: Event,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.sequence == other.sequence
    }
}
impl Eq for Scheduled {}
impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Scheduled {
    /// The heap gives the greatest: the earliest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.sequence).cmp(&(self.at, self.sequence))
    }
}

#[derive(Clone)]
pub(super) struct World {
    pub(super) engine: Reconciler,
    pub(super) actions: Actions,
    pub(super) random: Random,
    pub(super) now: Nanos,
    pub(super) mix: Mix,
    /// By slot.
    pub(super) cells: Vec<Option<Cell>>,
    pub(super) published: Vec<Option<Identity>>,
    queue: BinaryHeap<Scheduled>,
    sequence: u64,
    /// Events of the past, to be repeated when they are stale.
    pub(super) past: Vec<Event>,
    pub(super) events: u64,
    pub(super) faults: [u64; FAULTS],
    pub(super) hash: u64,
    pub(super) log: EventLog,
    pub(super) halted: Option<Ending>,
    /// When starts happened, for the governor: a ring as large as a second allows.
    pub(super) spawns: Vec<Nanos>,
    pub(super) spawned: usize,
    pub(super) config: Config,
    /// What the actions broke; the invariants report it.
    pub(super) broken: Option<&'static str>,
    /// Transitions that were announced.
    pub(super) changes: u64,
    /// When the last cell that is being killed slowly is empty.
    pub(super) slow_until: Nanos,
    /// How long the machine stood still, in all.
    pub(super) stood_still: Nanos,
    /// I20 was looked at so often.
    pub(super) victims: u64,
    /// What the engine has been seen to do wrong by a mutant of the world.
    pub(super) confuses_generations: bool,
    pub(super) aloud: bool,
    /// Nothing happens by itself: somebody else says what.
    pub(super) passive: bool,
}

impl World {
    pub(super) fn new(engine: Reconciler, config: Config, seed: u64, mix: Mix) -> Self {
        let slots = usize::from(config.bounds.instances);
        Self {
            engine,
            actions: Actions::new(config.bounds.instances),
            random: Random::new(seed ^ 0x5eed),
            now: Nanos::ZERO,
            mix,
            cells: vec![None; slots],
            published: vec![None; slots],
            queue: BinaryHeap::new(),
            sequence: 0,
            past: Vec::new(),
            events: 0,
            faults: [0; FAULTS],
            hash: 0xcbf2_9ce4_8422_2325,
            log: EventLog::default(),
            halted: None,
            spawns: vec![Nanos::MAX; (config.burst + config.starts_per_second) as usize],
            spawned: 0,
            config,
            broken: None,
            changes: 0,
            slow_until: Nanos::ZERO,
            stood_still: Nanos::ZERO,
            victims: 0,
            confuses_generations: false,
            aloud: false,
            passive: false,
        }
    }

    pub(super) fn fault(&mut self, kind: Fault) {
        self.faults[kind as usize] += 1;
    }

    pub(super) fn live(&self) -> impl Iterator<Item = &Cell> {
        self.cells.iter().flatten()
    }

    pub(super) fn cell(&self, identity: Identity) -> Option<&Cell> {
        self.cells.get(usize::from(identity.instance.0))?.as_ref().filter(|cell| cell.identity == identity)
    }

    fn cell_mut(&mut self, identity: Identity) -> Option<&mut Cell> {
        self.cells.get_mut(usize::from(identity.instance.0))?.as_mut().filter(|cell| cell.identity == identity)
    }

    pub(super) fn schedule(&mut self, at: Nanos, event: Event) {
        if self.passive {
            return;
        }
        self.sequence += 1;
        self.queue.push(Scheduled { at, sequence: self.sequence, event });
    }

    pub(super) fn next_event(&self) -> Option<Nanos> {
        let world = self.queue.peek().map(|next| next.at);
        [world, self.engine.next_deadline()].into_iter().flatten().min()
    }

    /// Lets the next thing happen.
    pub(super) fn advance(&mut self) {
        let Some(at) = self.next_event() else { return };
        self.now = self.now.max(at);
        let due = self.queue.peek().is_some_and(|next| next.at <= self.now);
        let event = if due { self.queue.pop().map_or(Event::Tick, |next| next.event) } else { Event::Tick };
        self.give(event);
    }

    /// Gives an event to the engine, and does what it says.
    pub(super) fn give(&mut self, event: Event) {
        // The world ends the cell before it tells of it.
        match event {
            Event::SpawnFailed(identity, _) | Event::Empty(identity, _) if self.cell(identity).is_some() => {
                self.cells[usize::from(identity.instance.0)] = None;
            }
            _ => {}
        }
        if event != Event::Tick {
            if self.past.len() < 64 {
                self.past.push(event);
            } else {
                self.past[(self.events % 64) as usize] = event;
            }
        }
        self.hand_over(event);
    }

    pub(super) fn hand_over(&mut self, event: Event) {
        self.events += 1;
        if self.aloud {
            std::eprintln!("{:?} {event:?}", self.now);
        }
        let event = if self.confuses_generations { self.confused(event) } else { event };
        self.log.note(self.now, Input::Event(event));
        self.engine.step(self.now, event, &mut self.actions);
        self.perform();
    }

    /// Does the actions; again while the engine has work left.
    pub(super) fn perform(&mut self) {
        let mut todo: Vec<Action> = Vec::new();
        loop {
            todo.clear();
            todo.extend_from_slice(self.actions.as_slice());
            self.actions.clear();
            for action in &todo {
                self.act(*action);
            }
            if !self.engine.has_pending() || self.engine.is_frozen() {
                return;
            }
            self.fault(Fault::SplitStep);
            self.log.note(self.now, Input::Event(Event::Tick));
            self.engine.step(self.now, Event::Tick, &mut self.actions);
        }
    }

    /// As an engine would see it that does not look at generations.
    fn confused(&self, event: Event) -> Event {
        let now =
            |identity: Identity| self.engine.instance(identity.instance).map_or(identity, |(_, view)| view.identity);
        match event {
            Event::Ready(identity) => Event::Ready(now(identity)),
            Event::Empty(identity, exit) => Event::Empty(now(identity), exit),
            Event::MainExited(identity, exit) => Event::MainExited(now(identity), exit),
            other => other,
        }
    }

    fn note(&mut self, action: &Action) {
        use core::hash::{Hash, Hasher};
        struct Mixer(u64);
        impl Hasher for Mixer {
            fn finish(&self) -> u64 {
                self.0
            }
            fn write(&mut self, bytes: &[u8]) {
                for byte in bytes {
                    self.write_u64(u64::from(*byte));
                }
            }
            fn write_u64(&mut self, value: u64) {
                self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x517c_c1b7_2722_0a95);
            }
            fn write_u8(&mut self, value: u8) {
                self.write_u64(value.into());
            }
            fn write_u16(&mut self, value: u16) {
                self.write_u64(value.into());
            }
            fn write_u32(&mut self, value: u32) {
                self.write_u64(value.into());
            }
            fn write_isize(&mut self, value: isize) {
                self.write_u64(value as u64);
            }
        }
        let mut hash = Mixer(self.hash);
        (self.now, action).hash(&mut hash);
        self.hash = hash.finish();
    }

    fn act(&mut self, action: Action) {
        self.note(&action);
        if self.aloud {
            std::eprintln!("    {action:?}");
        }
        match action {
            Action::Spawn(service, identity) => self.spawn(service, identity),
            Action::Signal(identity, _) => {
                if self.cell(identity).is_some_and(|cell| cell.ignores_term) {
                    self.fault(Fault::TermIgnored);
                } else {
                    self.end(identity, 400);
                }
            }
            Action::SignalAll(identity, _) => {
                if self.cell(identity).is_some_and(|cell| cell.ignores_grace) {
                    self.fault(Fault::GraceIgnored);
                } else {
                    self.end(identity, 100);
                }
            }
            Action::Kill(identity) => self.kill(identity),
            Action::Publish(_, identity) => {
                let slot = &mut self.published[usize::from(identity.instance.0)];
                if slot.replace(identity).is_some() {
                    self.broken = Some("I16 published twice");
                }
            }
            Action::Unpublish(_, identity) => {
                let slot = &mut self.published[usize::from(identity.instance.0)];
                if slot.take() != Some(identity) {
                    self.broken = Some("I16 unpublished what was not published");
                }
            }
            Action::Probe(identity) => {
                if self.random.percent(self.mix.probe_fails / 2) {
                    // No answer at all.
                    return self.fault(Fault::Probe);
                }
                let at = self.now + self.random.millis(500);
                let fails = self.random.percent(self.mix.probe_fails);
                if fails {
                    self.fault(Fault::Probe);
                }
                self.schedule(at, Event::Probed(identity, if fails { ProbeResult::Fail } else { ProbeResult::Pass }));
            }
            Action::CheckRunnable(identity) => {
                let stuck = self.random.percent(self.mix.hangs);
                if stuck {
                    self.fault(Fault::Watchdog);
                }
                let span = if stuck { Nanos::from_secs(60) } else { self.random.millis(1500) };
                self.schedule(self.now, Event::Runnable(identity, span));
            }
            Action::Halted(ending) => self.halted = Some(ending),
            Action::Changed(..) => self.changes += 1,
            Action::Pause(identity) | Action::Resume(identity) => {
                if self.cell(identity).is_none() {
                    self.broken = Some("a pause of what is not there");
                }
            }
            Action::Reload(_) | Action::Alarm(_) | Action::Escalate(..) | Action::Level(_) => {}
        }
    }

    fn kill(&mut self, identity: Identity) {
        let Some(cell) = self.cell_mut(identity) else { return };
        if core::mem::replace(&mut cell.killed, true) {
            return;
        }
        // Within the bound of 10 ms that the shutdown promises, unless the kernel is slow.
        let mut at = self.now + self.random.millis(9);
        if self.random.percent(self.mix.slow_kill) {
            self.fault(Fault::SlowKill);
            at = self.now + self.random.millis(5000);
            self.slow_until = self.slow_until.max(at);
        }
        self.schedule(at, Event::Empty(identity, Some(Exit::Signal(9))));
    }

    /// The main process ends; with it the cell, or orphans are left that only a kill ends.
    fn end(&mut self, identity: Identity, within: u64) {
        if self.cell(identity).is_none_or(|cell| cell.killed) {
            return;
        }
        let at = self.now + self.random.millis(within);
        let orphans = if self.random.percent(self.mix.orphans) { 1 + self.random.below(3) } else { 0 };
        if orphans > 0 {
            self.fault(Fault::ExitWithOrphans);
            self.schedule(at, Event::MainExited(identity, Exit::Status(0)));
        } else {
            self.schedule(at, Event::Empty(identity, Some(Exit::Status(0))));
        }
    }

    fn spawn(&mut self, service: ServiceId, identity: Identity) {
        if self.engine.shutdown_stage().is_some() {
            self.broken = Some("I7 spawn after shutdown");
        }
        if self.engine.service(service).is_none_or(|about| about.hold == Hold::Hard) {
            self.broken = Some("I10 spawn of what is held");
        }
        let place = self.spawned % self.spawns.len();
        if self.spawns[place] != Nanos::MAX && self.spawns[place] + Nanos::from_secs(1) > self.now {
            self.broken = Some("I19 more starts in a second than the governor allows");
        }
        self.spawns[place] = self.now;
        self.spawned += 1;
        let rival = |(_, edge): (usize, crate::Edge)| {
            edge.kind == DependencyKind::Conflicts && self.live().any(|cell| cell.service == edge.to)
        };
        if self.engine.catalog().dependencies(service).any(rival) {
            self.broken = Some("started beside a service that it conflicts with");
        }
        let ignores_term = self.random.percent(self.mix.ignores_term);
        let ignores_grace = ignores_term && self.random.percent(self.mix.ignores_grace);
        let cell = Cell { service, identity, ignores_term, ignores_grace, killed: false };
        if self.cells[usize::from(identity.instance.0)].replace(cell).is_some() {
            self.broken = Some("I2 two cells for one instance");
        }
        let (run, ready, limit) = self
            .engine
            .catalog()
            .definition(service)
            .map_or((Run::Daemon, Readiness::Notify, Nanos::ZERO), |d| (d.run, d.ready, d.start_timeout));
        if self.random.percent(self.mix.spawn_fails) {
            self.fault(Fault::SpawnFailed);
            const LATER: [(u16, SpawnStep); 2] = [(12, SpawnStep::Memory), (11, SpawnStep::Execute)];
            const NEVER: [(u16, SpawnStep); 3] =
                [(2, SpawnStep::Open), (8, SpawnStep::Format), (13, SpawnStep::Credentials)];
            let later = self.random.percent(90);
            let (errno, step) =
                if later { LATER[self.random.below(2) as usize] } else { NEVER[self.random.below(3) as usize] };
            let error = SpawnError { step, errno, retry: if later { Retry::Later } else { Retry::Never } };
            return self.schedule(self.now, Event::SpawnFailed(identity, error));
        }
        let first = self.now + self.random.millis(300);
        if self.random.percent(self.mix.early_exit) {
            self.fault(Fault::ExitBeforeReady);
            let status = [0, 1, 1, 1, 125][self.random.below(5) as usize];
            return self.schedule(first, Event::Empty(identity, Some(Exit::Status(status))));
        }
        if self.random.percent(self.mix.hangs) {
            return self.fault(Fault::HangBeforeReady);
        }
        match run {
            Run::Oneshot => self.schedule(first, Event::Empty(identity, Some(Exit::Status(0)))),
            _ if ready == Readiness::Probe => {}
            _ if self.random.percent(self.mix.late_ready) => {
                self.fault(Fault::ReadyTooLate);
                self.schedule(self.now + limit + Nanos::from_millis(1), Event::Ready(identity));
            }
            _ => {
                self.schedule(first, Event::Ready(identity));
                if self.random.percent(self.mix.doubles) {
                    self.fault(Fault::ReadyTwice);
                    self.schedule(first, Event::Ready(identity));
                }
            }
        }
    }

    /// A fault or a command at random.
    pub(super) fn disturb(&mut self) {
        let live = self.live().count() as u64;
        let pick = self.random.below(live) as usize;
        let Some(identity) = self.live().nth(pick).map(|cell| cell.identity) else { return self.order() };
        match self.random.below(20) {
            0..5 => {
                self.fault(Fault::Crash);
                let exit = if self.random.percent(50) { Exit::Signal(11) } else { Exit::Status(1) };
                self.give(Event::Empty(identity, Some(exit)));
            }
            5 => {
                self.fault(Fault::ExitWithOrphans);
                self.give(Event::MainExited(identity, Exit::Status(3)));
                if self.random.percent(self.mix.doubles) {
                    self.fault(Fault::Duplicate);
                    self.give(Event::MainExited(identity, Exit::Status(3)));
                }
            }
            6 => {
                for _ in 0..=self.random.below(3) {
                    self.fault(Fault::Quota);
                    let resource = Resource::ALL[self.random.below(5) as usize];
                    self.give(Event::QuotaHit(identity, resource));
                }
            }
            7 => self.memory_runs_out(),
            8 => {
                let share = 10 + self.random.below(90);
                for slot in 0..self.cells.len() {
                    let Some(cell) = self.cells[slot] else { continue };
                    if self.random.percent(share) {
                        self.fault(Fault::MassCrash);
                        self.give(Event::Empty(cell.identity, Some(Exit::Signal(9))));
                    }
                }
            }
            9 => {
                // The machine stands still; whatever was due comes late.
                self.fault(Fault::ClockJump);
                let gap = self.random.millis(20_000);
                self.now += gap;
                self.stood_still += gap;
                self.give(Event::Tick);
            }
            10 => {
                self.fault(Fault::Extension);
                let by = self.random.millis(5000);
                self.give(Event::ExtendStart(identity, by));
            }
            11 => {
                self.fault(Fault::Drained);
                self.give(Event::Drained(identity));
            }
            12 => {
                self.fault(Fault::Ejected);
                let service = self.cell(identity).map_or(ServiceId(0), |cell| cell.service);
                let count = self.random.below(4) as u16;
                self.give(Event::Ejected(service, count));
            }
            13 if self.runs(identity) => {
                self.fault(Fault::Duplicate);
                self.give(Event::Alive(identity));
                self.give(Event::Runnable(identity, Nanos::ZERO));
                self.give(Event::Probed(identity, ProbeResult::Pass));
            }
            _ => self.order(),
        }
    }

    fn runs(&self, identity: Identity) -> bool {
        self.engine.instance(identity.instance).is_some_and(|(_, view)| view.state == State::Running)
    }

    /// Victims are chosen and killed until enough is free.
    fn memory_runs_out(&mut self) {
        let random = &mut self.random;
        let mut usage: Vec<Usage> = self
            .cells
            .iter()
            .flatten()
            .map(|cell| Usage { instance: cell.identity.instance, bytes: 1 + random.below(1000) })
            .collect();
        for _ in 0..=self.random.below(3) {
            let need = self.random.below(1000);
            let Some(victim) = self.engine.victim(&usage, need).map(|found| found.identity) else { return };
            if super::victim::takes_a_critical_one(&self.engine, victim.instance)
                && usage.iter().any(|used| !super::victim::takes_a_critical_one(&self.engine, used.instance))
            {
                self.broken = Some("I20 a critical service is the victim though another would do");
            }
            self.victims += 1;
            self.fault(Fault::OutOfMemory);
            usage.retain(|used| used.instance != victim.instance);
            self.give(Event::OutOfMemory(victim));
        }
    }

    fn order(&mut self) {
        let slots = self.engine.catalog().slots() as u64;
        let id = ServiceId(self.random.below(slots) as u16);
        let command = match self.random.below(24) {
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
            17 if self.random.percent(20) => Command::Isolate(id),
            18 if self.random.percent(20) => Command::Emergency,
            19 => Command::Disable(id),
            20 => Command::Pause(id),
            21 => Command::Resume(id),
            22 => Command::Reload(id),
            _ => Command::Recover,
        };
        if self.random.percent(5) {
            self.fault(Fault::RefusedCommand);
            let nobody = Actor::Caller { user: Uid(1 + self.random.below(12) as u32), service: None };
            self.command(nobody, command);
        } else {
            self.fault(Fault::Command);
            self.command(Actor::ROOT, command);
        }
    }

    pub(super) fn command(&mut self, actor: Actor, command: Command) {
        self.events += 1;
        if self.aloud {
            std::eprintln!("{:?} {command:?}", self.now);
        }
        self.log.note(self.now, Input::Command(actor, command));
        let _ = self.engine.command(self.now, actor, command, &mut self.actions);
        self.perform();
    }

    pub(super) fn quiet(&self) -> bool {
        self.live().all(|cell| {
            let engine = self.engine.instance(cell.identity.instance);
            engine.is_some_and(|(_, view)| view.state == State::Running)
        })
    }
}

/// Whether an instance is as it should be, or nothing but what others are to blame for keeps it from that.
pub(super) fn rests(engine: &Reconciler, id: ServiceId, view: &InstanceView) -> bool {
    if if view.goal { view.state.is_ready() } else { view.state == State::Down } {
        return true;
    }
    let excuse = |root: &Root| matches!(root, Root::Conflict | Root::Held | Root::NotWanted | Root::NoReserve);
    view.goal && view.state == State::Waiting && engine.root_causes(id).iter().all(|(_, root)| excuse(root))
}

/// The slot of an instance, as an index.
pub(super) fn slot(id: InstanceId) -> usize {
    usize::from(id.0)
}
