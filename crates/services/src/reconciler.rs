//! The reconciler: compares what is wanted with what is, and moves one towards the other until nothing is left to do.
//!
//! Level-triggered: every decision is made from the present state alone, so nothing is missed because an event came too
//! early, twice or not at all. The kernel calls [`Reconciler::step`] with an event and does the actions that come back;
//! administrators' commands go through [`Reconciler::command`]. Neither allocates, recurses, waits or knows a clock.
//!
//! Order within one instant: kernel events, then timers, then commands.

mod admission;
mod command;
mod emergency;
mod evaluate;
mod gates;
mod goals;
mod health;
mod load;
mod restart;
mod runtime;
mod shutdown;
mod transition;
mod view;
mod worklist;

pub use command::{Command, StopMode};
pub use emergency::{Level, RebootGuard};
pub use gates::Closed;
pub use goals::Hold;
pub use restart::delay;
pub use shutdown::{Ending, Stage};
pub use view::{InstanceView, ServiceView};

use admission::Governor;
use alloc::vec::Vec;
use runtime::{Instance, Service};
use types::Nanos;
use worklist::{Bits, Worklist};

use crate::action::{Action, Actions};
use crate::audit::Audit;
use crate::catalog::{Bounds, Catalog};
use crate::definition::{Definition, OnFailure, Run};
use crate::history::History;
use crate::id::{Identity, InstanceId, ServiceId};
use crate::slots::Slots;
use crate::state::{Cause, Event, Exit, State};
use crate::table::{Row, TABLE, Trigger};
use crate::timers::{TimerKind, Timers};

/// How the supervisor as a whole behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Capacities.
    pub bounds: Bounds,
    /// Seed of the jitter: the same seed and events give the same actions.
    pub seed: u64,
    /// Starts that may happen at once.
    pub burst: u32,
    /// Starts per second after that.
    pub starts_per_second: u32,
    /// Records in the audit ring.
    pub audit_records: usize,
    /// How long a shutdown is orderly.
    pub shutdown_timeout: Nanos,
    /// How long every process has after that.
    pub shutdown_grace: Nanos,
    /// Transitions remembered of every instance.
    pub history: u8,
    /// Earlier sets of definitions that are kept for a rollback.
    pub sets: u8,
    /// Rounds of work after which a step leaves the rest to the next one.
    pub rounds: u32,
    /// Emergency reboots before this boot.
    pub reboots: RebootGuard,
    /// The wall clock at the supervisor's time zero.
    pub booted_at: Nanos,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bounds: Bounds::default(),
            seed: 1,
            // A thousand crashes at once are restarted within four seconds, not in one storm.
            burst: 64,
            starts_per_second: 256,
            audit_records: 4096,
            shutdown_timeout: Nanos::from_secs(30),
            shutdown_grace: Nanos::from_secs(5),
            history: 32,
            sets: 2,
            // Some hundred microseconds.
            rounds: 512,
            reboots: RebootGuard::default(),
            booted_at: Nanos::ZERO,
        }
    }
}

/// A wait longer than this past a deadline means that the machine stood still, not the services.
const STALL: Nanos = Nanos::from_secs(1);

/// All services and what is known about them.
#[derive(Clone, Debug)]
pub struct Reconciler {
    config: Config,
    table: &'static [Row],
    catalog: Catalog,
    /// Number of the set in force.
    set: u32,
    previous: Vec<(u32, Vec<Definition>)>,
    services: Slots<Service>,
    instances: Slots<Instance>,
    /// Slots not in use; all are, at first.
    free: Vec<InstanceId>,
    /// Some instance of the set has no slot yet: services that are leaving still have it.
    short: bool,
    /// For each edge, whether it pulls its dependency in.
    pulls: Vec<bool>,
    timers: Timers,
    dirty_services: Worklist,
    dirty_instances: Worklist,
    /// Places, in the start order, of services with an instance that may start.
    startable: Bits,
    /// The same, of those refused for want of memory.
    refused: Bits,
    /// Services marked during a walk over the graph.
    marked: Bits,
    walk: Vec<ServiceId>,
    governor: Governor,
    reserved: u64,
    live_cells: u32,
    shutdown: Option<shutdown::Shutdown>,
    emergency: Option<emergency::Emergency>,
    /// What a service that gave up asks for.
    escalation: Option<(ServiceId, OnFailure)>,
    /// Instances of critical services that failed or are tried again.
    troubled: u16,
    /// Services most of whose instances are passed over.
    panicking: u16,
    level: Level,
    /// What each layer may use of a shutdown.
    layers: Vec<u64>,
    history: History,
    frozen: bool,
    random: u64,
    audit: Audit,
    now: Nanos,
    stale_events: u64,
    /// Rounds of the longest step.
    longest_step: u32,
    /// The last step left work to the next one.
    unfinished: bool,
    /// Rounds since there was last nothing to do.
    spent: u32,
}

impl Reconciler {
    /// Nothing loaded. All memory that steps need is taken here and in `load`.
    pub fn new(config: Config) -> Self {
        Self::with_table(config, TABLE)
    }

    pub(crate) fn with_table(config: Config, table: &'static [Row]) -> Self {
        let instances = usize::from(config.bounds.instances);
        Self {
            config,
            table,
            catalog: Catalog::default(),
            set: 0,
            previous: Vec::new(),
            services: Slots::new(0, Service::default()),
            instances: Slots::new(instances, Instance::default()),
            free: (0..config.bounds.instances).rev().map(InstanceId).collect(),
            short: false,
            pulls: Vec::new(),
            timers: Timers::new(instances),
            dirty_services: Worklist::default(),
            dirty_instances: Worklist::new(instances),
            startable: Bits::default(),
            refused: Bits::default(),
            marked: Bits::default(),
            walk: Vec::new(),
            governor: Governor::new(config.burst, config.starts_per_second),
            reserved: 0,
            live_cells: 0,
            shutdown: None,
            emergency: None,
            escalation: None,
            troubled: 0,
            panicking: 0,
            level: Level::Normal,
            layers: Vec::new(),
            history: History::new(instances, config.history),
            frozen: false,
            random: config.seed | 1,
            audit: Audit::new(config.audit_records),
            now: Nanos::ZERO,
            stale_events: 0,
            longest_step: 0,
            unfinished: false,
            spent: 0,
        }
    }

    /// Takes in one event and everything that is due by `now`, and says what must be done.
    ///
    /// At most a few rows per instance and edge; if `actions` has no room for more, the rest is left for the next step
    /// (see [`Reconciler::next_deadline`]).
    pub fn step(&mut self, now: Nanos, event: Event, actions: &mut Actions) {
        if self.frozen {
            return;
        }
        self.advance(now);
        self.take(event, actions);
        self.settle(actions);
    }

    /// When to call [`Reconciler::step`] with `Event::Tick` at the latest.
    pub fn next_deadline(&self) -> Option<Nanos> {
        if self.frozen {
            return None;
        }
        if self.has_pending() {
            return Some(self.now);
        }
        let waiting = if self.startable.is_empty() { None } else { Some(self.governor.next(self.now)) };
        let shutdown = self.shutdown.and_then(|shutdown| shutdown.deadline());
        let emergency = self.emergency.filter(|_| self.shutdown.is_none()).and_then(|emergency| emergency.deadline());
        [self.timers.earliest(), waiting, shutdown, emergency].into_iter().flatten().min()
    }

    /// Whether a step left work to the next one.
    pub fn has_pending(&self) -> bool {
        self.unfinished
    }

    fn advance(&mut self, now: Nanos) {
        let now = now.max(self.now);
        if let Some(due) = self.timers.earliest()
            && now.saturating_sub(due) > STALL
        {
            self.forgive(now - due);
        }
        self.now = now;
        self.governor.refill(now);
    }

    /// Pushes the deadlines that services must keep: while the machine stood still, they could not.
    fn forgive(&mut self, gap: Nanos) {
        for slot in 0..self.instances.len() as u16 {
            let id = InstanceId(slot);
            let starting = self.instances[id].state == State::Starting;
            for kind in [TimerKind::State, TimerKind::Watchdog, TimerKind::Probe] {
                if (kind != TimerKind::State || starting)
                    && let Some(at) = self.timers.deadline(id, kind)
                {
                    self.timers.arm(id, kind, at + gap);
                }
            }
        }
    }

    /// Works until nothing is left to do, there is no room, or the fuel is gone.
    fn settle(&mut self, actions: &mut Actions) {
        // A prototype needed at most a few rows per instance; beyond this the tables contradict each other.
        let fuel = 64 * (self.instances.len() + self.services.len() + 64) as u32;
        let mut used = 0;
        loop {
            if used >= self.config.rounds || !actions.has_room() {
                self.unfinished = true;
                break;
            }
            used += 1;
            self.spent += 1;
            if self.spent > fuel {
                self.frozen = true;
                break;
            }
            if let Some(service) = self.dirty_services.pop() {
                self.evaluate_service(ServiceId(service), actions);
            } else if let Some(instance) = self.dirty_instances.pop() {
                self.evaluate_instance(InstanceId(instance), actions);
            } else if let Some((id, kind)) = self.timers.pop(self.now) {
                self.fire(id, kind, actions);
            } else if !self.escalate(actions)
                && !self.advance_shutdown(actions)
                && !self.advance_emergency(actions)
                && !self.dispatch(actions)
            {
                (self.spent, self.unfinished) = (0, false);
                break;
            }
        }
        self.longest_step = self.longest_step.max(used);
        let level = self.level();
        if level != core::mem::replace(&mut self.level, level) {
            actions.push(Action::Level(level));
        }
    }

    fn take(&mut self, event: Event, actions: &mut Actions) {
        let identity = match event {
            Event::Tick => return,
            Event::Ejected(service, count) => return self.note_ejected(service, count),
            Event::SpawnFailed(identity, _)
            | Event::Ready(identity)
            | Event::ExtendStart(identity, _)
            | Event::Alive(identity)
            | Event::Runnable(identity, _)
            | Event::Probed(identity, _)
            | Event::Drained(identity)
            | Event::MainExited(identity, _)
            | Event::Empty(identity, _)
            | Event::QuotaHit(identity, _)
            | Event::OutOfMemory(identity) => identity,
        };
        let id = identity.instance;
        let instance = &self.instances[id];
        let Some(service) =
            instance.service.filter(|_| instance.state.has_cell() && instance.generation == identity.generation)
        else {
            self.stale_events += 1;
            return;
        };
        match event {
            Event::Tick | Event::Ejected(..) => {}
            Event::SpawnFailed(_, error) => self.apply(id, Trigger::SpawnFailed, Cause::Spawn(error), actions),
            Event::Ready(_) => {
                // A program that runs once is ready when it has ended.
                if self.catalog.definition(service).is_some_and(|definition| definition.run == Run::Daemon) {
                    self.apply(id, Trigger::Ready, Cause::None, actions);
                }
            }
            Event::ExtendStart(_, by) => self.extend_start(id, by),
            Event::Alive(_) => self.alive(id),
            Event::Runnable(_, span) => self.runnable(id, span, actions),
            Event::Probed(_, result) => self.probed(id, result, actions),
            Event::Drained(_) => self.apply(id, Trigger::Drained, Cause::None, actions),
            Event::MainExited(_, exit) => self.apply(id, Trigger::MainExited, cause_of(Some(exit)), actions),
            Event::Empty(_, exit) => self.apply(id, Trigger::Empty, cause_of(exit), actions),
            Event::QuotaHit(_, resource) => self.apply(id, Trigger::Quota, Cause::Quota(resource), actions),
            Event::OutOfMemory(_) => {
                self.apply(id, Trigger::Quota, Cause::Health(crate::error::Health::OutOfMemory), actions);
            }
        }
    }

    fn fire(&mut self, id: InstanceId, kind: TimerKind, actions: &mut Actions) {
        match kind {
            TimerKind::State => self.apply(id, Trigger::Timer, Cause::None, actions),
            TimerKind::Stable => {
                self.apply(id, Trigger::Stable, Cause::None, actions);
                if let Some(service) = self.instances[id].service {
                    self.services[service].blinks = 0;
                    self.dirty_services.push(service.0);
                }
            }
            TimerKind::Loss => {
                self.instances[id].loss_expired = true;
                self.dirty_instances.push(id.0);
            }
            TimerKind::Watchdog => {
                if let Some(span) = self.watchdog(id) {
                    actions.push(Action::CheckRunnable(self.identity(id)));
                    self.timers.arm(id, TimerKind::Watchdog, self.now + span);
                }
            }
            TimerKind::Probe => self.probe_due(id, actions),
        }
    }

    fn identity(&self, id: InstanceId) -> Identity {
        Identity { instance: id, generation: self.instances[id].generation }
    }

    /// xorshift64*: good enough for jitter, and the same everywhere.
    fn draw(&mut self) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

fn cause_of(exit: Option<Exit>) -> Cause {
    match exit {
        Some(Exit::Status(status)) => Cause::Exited(status),
        Some(Exit::Signal(signal)) => Cause::Signalled(signal),
        None => Cause::None,
    }
}
