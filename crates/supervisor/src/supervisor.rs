//! The state behind all services, and what happens to it: every event goes through here, one at a time.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use process::{Cell, CellBoard, CellLimits, ExitStatus};
use services::{
    Action, Actions, Actor, Bounds, Cause, Command, Config, Ending, Event, EventLog, Exit, Identity, Input, InstanceId,
    Name, OnMemory, ProbeResult, Readiness, Reconciler, Resource, ServiceError, ServiceId, SpawnError, State, Usage,
};
use types::{Nanos, PAGE_SIZE};

use crate::awaited::Waits;
use crate::balance_news::Balancings;
use crate::happenings::{Happening, Happenings};
use crate::sets::Sets;
use crate::{CellId, Launch, Notice, Order, Output, Pause, Watch, parse_notice};

/// Inputs of the reconciler that are kept, 32 bytes each: boot and the first hours of a quiet system.
const LOG: usize = 8192;

/// Services whose start times are kept after they have left the set.
const MOST_LEARNED: usize = 1024;

/// What depends on the machine.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Seed of the jitter.
    pub seed: u64,
    /// Bytes of memory that can be promised to services.
    pub memory: u64,
    /// How long a shutdown is orderly.
    pub shutdown_timeout: Nanos,
    /// How long everything that is left has after that.
    pub shutdown_grace: Nanos,
}

/// All services of the system.
pub struct Supervisor {
    pub(crate) engine: Reconciler,
    // There but while a step uses it.
    actions: Option<Actions>,
    pub(crate) orders: VecDeque<Order>,
    /// Starts that could not even be ordered.
    failed: VecDeque<(Identity, SpawnError)>,
    board: Arc<CellBoard>,
    pub(crate) sets: Sets,
    pub(crate) slots: Vec<Slot>,
    pub(crate) happenings: Happenings,
    pub(crate) starts: Vec<Start>,
    /// How long services of earlier sets took to start, by name.
    learned: BTreeMap<Name, Nanos>,
    /// A start was measured that the order of starts does not know of yet.
    untuned: bool,
    /// The reconciler contradicts itself, and this follows when every cell is gone.
    last_end: Option<Ending>,
    /// What the reconciler was told.
    pub(crate) log: EventLog,
    pub(crate) balancings: Balancings,
    pub(crate) waits: Waits,
}

/// What is known of an instance beside what the reconciler knows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slot {
    /// Where its processes are.
    pub(crate) cell: Option<Arc<Cell>>,
    pub(crate) state: State,
    /// The end of its main process has been reported.
    main_reported: bool,
    /// When it was spawned.
    pub(crate) born: Nanos,
    /// How long its last life was.
    pub(crate) lived: Option<Nanos>,
    /// Its last sign of life.
    alive: SignOfLife,
    /// What it says of itself.
    pub(crate) notice: String,
}

/// When an instance was well, and for how long it had been kept from running until then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SignOfLife {
    /// When that was.
    pub at: Nanos,
    /// [`Cell::kept_waiting`] then.
    pub waited: Nanos,
}

/// How a service first started.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Start {
    pub(crate) wanted: Option<Nanos>,
    pub(crate) spawned: Option<Nanos>,
    pub(crate) ready: Option<Nanos>,
}

impl Slot {
    fn note_life(&mut self, now: Nanos) {
        self.alive = SignOfLife { at: now, waited: self.cell.as_ref().map_or(Nanos::ZERO, |cell| cell.kept_waiting()) };
    }
}

impl Supervisor {
    /// Without services.
    pub fn new(settings: Settings, board: Arc<CellBoard>) -> Self {
        let bounds = Bounds { memory: settings.memory, ..Bounds::default() };
        let config = Config {
            bounds,
            seed: settings.seed,
            shutdown_timeout: settings.shutdown_timeout,
            shutdown_grace: settings.shutdown_grace,
            // Kept by `Sets`, with what the reconciler does not need.
            sets: 0,
            ..Config::default()
        };
        let happenings = Happenings::default();
        Self {
            engine: Reconciler::new(config),
            actions: Some(Actions::new(bounds.instances)),
            orders: VecDeque::new(),
            failed: VecDeque::new(),
            board,
            sets: Sets::new(bounds, happenings.watch().clone()),
            slots: alloc::vec![Slot::default(); bounds.instances.into()],
            happenings,
            starts: Vec::new(),
            learned: BTreeMap::new(),
            untuned: false,
            last_end: None,
            log: EventLog::new(LOG),
            balancings: Balancings::default(),
            waits: Waits::default(),
        }
    }

    // ---- what happened

    /// Takes in what has happened by itself: ended processes first, then time.
    pub fn catch_up(&mut self, now: Nanos) {
        while let Some(cell) = self.board.take() {
            self.cell_changed(now, &cell);
        }
        if self.engine.next_deadline().is_some_and(|due| due <= now) {
            self.step(now, Event::Tick);
        }
        if self.balancings.is_due(now) {
            self.finish(now);
        }
        if self.untuned && self.orders.is_empty() && !self.engine.has_pending() {
            self.retune(now);
        }
    }

    /// Between steps, when there is nothing else to do: the next starts follow the critical path as it was measured.
    fn retune(&mut self, now: Nanos) {
        let starting = self.slots.iter().any(|slot| slot.state == State::Starting);
        if starting || self.engine.is_frozen() {
            return;
        }
        self.untuned = false;
        self.log.note(now, Input::Retune);
        self.engine.retune();
    }

    /// Before a new set: keeps how long the services of this one took to start.
    pub(crate) fn remember_starts(&mut self) {
        for (id, definition) in self.engine.catalog().services() {
            let time = self.engine.instances(id).map(|view| view.start_time).max().unwrap_or_default();
            if time > Nanos::ZERO && (self.learned.len() < MOST_LEARNED || self.learned.contains_key(&definition.name))
            {
                self.learned.insert(definition.name.clone(), time);
            }
        }
    }

    /// After a new set: tells the reconciler what it has not measured itself.
    pub(crate) fn teach_starts(&mut self, now: Nanos) {
        self.waits.classes = self.engine.catalog().services().any(|(_, definition)| definition.class.is_some());
        let unknown = |id: ServiceId| self.engine.instances(id).all(|view| view.start_time == Nanos::ZERO);
        let known = self.engine.catalog().services().filter_map(|(id, definition)| {
            let time = self.learned.get(&definition.name).filter(|_| unknown(id))?;
            Some((id, *time))
        });
        let known: Vec<_> = known.collect();
        self.untuned |= !known.is_empty();
        for (id, time) in known {
            self.log.note(now, Input::Learn(id, time));
            self.engine.learn(id, time);
        }
    }

    /// When to catch up at the latest.
    pub fn next_deadline(&self) -> Option<Nanos> {
        if !self.orders.is_empty() || self.waits.are_new() {
            return Some(Nanos::ZERO);
        }
        [self.engine.next_deadline(), self.balancings.next_deadline()].into_iter().flatten().min()
    }

    /// The next thing to do.
    pub fn next_order(&mut self) -> Option<Order> {
        self.orders.pop_front()
    }

    /// Whether there is something to do.
    pub fn has_orders(&self) -> bool {
        !self.orders.is_empty()
    }

    /// Answer to [`Order::Spawn`].
    pub fn spawned(&mut self, now: Nanos, launch: &Launch, result: Result<(), SpawnError>) {
        self.catch_up(now);
        match result {
            Ok(()) if launch.unit.definition.ready == Readiness::Execute => {
                self.step(now, Event::Ready(launch.identity));
            }
            Ok(()) => {}
            Err(error) => {
                if let Some(slot) = self.slot_of(launch.identity) {
                    slot.cell = None;
                }
                self.step(now, Event::SpawnFailed(launch.identity, error));
            }
        }
    }

    /// Answer to [`Order::CheckRunnable`].
    pub fn runnable(&mut self, now: Nanos, identity: Identity, span: Nanos) {
        self.step(now, Event::Runnable(identity, span));
    }

    /// Answer to [`Order::Probe`].
    pub fn probed(&mut self, now: Nanos, identity: Identity, result: ProbeResult) {
        self.step(now, Event::Probed(identity, result));
    }

    /// A process of `cell` sent that to NOTIFY_SOCKET; gives its main process another number if it asks for that.
    pub fn notice(&mut self, now: Nanos, cell: &Arc<Cell>, text: &[u8]) -> Option<u32> {
        self.catch_up(now);
        let identity = CellId::of(cell).identity;
        let mut main = None;
        for notice in parse_notice(text) {
            match notice {
                Notice::Ready => self.step(now, Event::Ready(identity)),
                Notice::Alive => {
                    if let Some(slot) = self.slot_of(identity) {
                        slot.alive = SignOfLife { at: now, waited: cell.kept_waiting() };
                    }
                    self.step(now, Event::Alive(identity));
                }
                Notice::Unwell => self.step(now, Event::Runnable(identity, Nanos::MAX)),
                Notice::Extend(span) => self.step(now, Event::ExtendStart(identity, span)),
                Notice::Status(text) => {
                    if let Some(slot) = self.slot_of(identity) {
                        slot.notice = String::from(text);
                    }
                }
                Notice::MainPid(pid) => main = Some(pid),
                Notice::Stopping | Notice::Reloading => {}
            }
        }
        main
    }

    /// A process of `cell` listens, or has written a line to the descriptor for that.
    pub fn seems_ready(&mut self, now: Nanos, cell: &Arc<Cell>, how: Readiness) {
        let CellId { service, identity } = CellId::of(cell);
        if self.engine.catalog().definition(service).is_some_and(|definition| definition.ready == how) {
            self.catch_up(now);
            self.step(now, Event::Ready(identity));
        }
    }

    /// A process of `cell` needs memory that the quota does not have: the cell is killed for it, if its definition says so.
    pub fn over_memory(&mut self, now: Nanos, cell: &Arc<Cell>) {
        let CellId { service, identity } = CellId::of(cell);
        let policy = self.engine.catalog().definition(service).map(|definition| definition.limits.on_memory);
        if policy != Some(OnMemory::Restart) {
            return;
        }
        self.catch_up(now);
        self.step(now, Event::QuotaHit(identity, Resource::Memory));
    }

    /// A process of `cell` was chosen when memory ran out: the cell is killed, and that is called by its name.
    pub fn out_of_memory(&mut self, now: Nanos, cell: &Arc<Cell>) {
        self.catch_up(now);
        self.step(now, Event::OutOfMemory(CellId::of(cell).identity));
    }

    /// Of cells by number, with the bytes that each has, the one that must go when memory is short, and whether a critical
    /// service goes with it.
    pub fn victim(&self, cells: &[(u64, u64)]) -> Option<(u64, bool)> {
        let mut usage = Vec::new();
        usage.try_reserve_exact(cells.len()).ok()?;
        let instance = |cell: u64| CellId::from_number(cell).identity.instance;
        usage.extend(cells.iter().map(|(cell, bytes)| Usage { instance: instance(*cell), bytes: *bytes }));
        // Not a small one that has to go again and again while another grows.
        let need = cells.iter().map(|(_, bytes)| *bytes).max()? / 2;
        let found = self.engine.victim(&usage, need)?;
        let (cell, _) = cells.iter().find(|(cell, _)| instance(*cell) == found.identity.instance)?;
        Some((*cell, found.critical))
    }

    /// A command; what is due by `now` happens first.
    ///
    /// # Errors
    /// Why it was refused; nothing changed.
    pub fn command(&mut self, now: Nanos, actor: Actor, command: Command) -> services::Result<()> {
        self.catch_up(now);
        let result = self.command_once(now, actor, command);
        self.finish(now);
        result
    }

    fn command_once(&mut self, now: Nanos, actor: Actor, command: Command) -> services::Result<()> {
        if self.engine.is_frozen() {
            return self.last_resort(actor, command);
        }
        let Some(mut actions) = self.take_actions() else { return Ok(()) };
        self.log.note(now, Input::Command(actor, command));
        let result = self.engine.command(now, actor, command, &mut actions);
        self.absorb(now, actions);
        result
    }

    /// What tells those who only look that there is more to see.
    pub const fn watch(&self) -> &Arc<Watch> {
        self.happenings.watch()
    }

    /// The output of the service of that name.
    pub fn output(&self, name: &str) -> Option<&Arc<Output>> {
        self.sets.output(self.engine.catalog().find(name)?)
    }

    /// The reconciler contradicts itself and decides nothing any more. What runs goes on; what can still be done is to look,
    /// and to end: everything is killed, and when it is gone so is the machine.
    fn last_resort(&mut self, actor: Actor, command: Command) -> services::Result<()> {
        let (Command::Shutdown(ending) | Command::KillAll(ending)) = command else {
            return Err(ServiceError::ShuttingDown);
        };
        if !self.engine.catalog().grants_system(actor) {
            return Err(ServiceError::PermissionDenied(command.role()));
        }
        log::error!("svc: the supervisor contradicts itself; everything is killed, then: {ending:?}");
        self.last_end = Some(ending);
        self.orders.extend(self.slots.iter().filter_map(|slot| slot.cell.clone()).map(Order::Kill));
        self.end_if_empty();
        Ok(())
    }

    /// In the last resort: the machine ends when no cell is left.
    fn end_if_empty(&mut self) {
        if self.live_cells() == 0
            && let Some(ending) = self.last_end.take()
        {
            self.orders.push_back(Order::End(ending));
        }
    }

    /// Whether the end has begun.
    pub fn is_shutting_down(&self) -> bool {
        self.engine.shutdown_stage().is_some() || self.last_end.is_some()
    }

    /// Cells alive.
    pub fn live_cells(&self) -> u32 {
        if self.engine.is_frozen() {
            return self.slots.iter().filter(|slot| slot.cell.is_some()).count() as u32;
        }
        self.engine.live_cells()
    }

    // ---- what follows

    fn cell_changed(&mut self, now: Nanos, cell: &Arc<Cell>) {
        let identity = CellId::of(cell).identity;
        if self.slot_of(identity).is_none() {
            return;
        }
        if let Some(end) = cell.take_probe_end() {
            let well = end == ExitStatus::Exited(0);
            self.step(now, Event::Probed(identity, if well { ProbeResult::Pass } else { ProbeResult::Fail }));
        }
        let Some(slot) = self.slot_of(identity) else { return };
        let end = cell.main_end();
        if cell.members() == 0 {
            let exit = if slot.main_reported { None } else { end.map(exit_of) };
            (slot.cell, slot.main_reported) = (None, false);
            slot.lived = Some(now.saturating_sub(slot.born));
            self.step(now, Event::Empty(identity, exit));
            self.balancings.forget(CellId::of(cell));
            self.end_if_empty();
        } else if let Some(end) = end
            && !slot.main_reported
        {
            slot.main_reported = true;
            self.step(now, Event::MainExited(identity, exit_of(end)));
        }
    }

    /// The slot of a life, if that is the present one.
    pub(crate) fn slot_of(&mut self, identity: Identity) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(usize::from(identity.instance.0))?;
        let cell = slot.cell.as_ref()?;
        (CellId::of(cell).identity == identity).then_some(slot)
    }

    fn step(&mut self, now: Nanos, event: Event) {
        self.step_once(now, event);
        self.finish(now);
    }

    pub(crate) fn step_once(&mut self, now: Nanos, event: Event) {
        let Some(mut actions) = self.take_actions() else { return };
        self.log.note(now, Input::Event(event));
        self.engine.step(now, event, &mut actions);
        self.absorb(now, actions);
    }

    /// Goes on with what there was no room for, and with what follows from what could not be done.
    pub(crate) fn finish(&mut self, now: Nanos) {
        // Each round works off a part; a reconciler that contradicts itself freezes before this ends.
        for _ in 0..10_000 {
            match self.failed.pop_front() {
                Some((identity, error)) => self.step_once(now, Event::SpawnFailed(identity, error)),
                None if self.engine.has_pending() && !self.engine.is_frozen() => self.step_once(now, Event::Tick),
                None if self.balancings.is_due(now) => self.look_at_balance(now),
                None => return,
            }
        }
        log::error!("svc: the supervisor finds no end and decides nothing any more; what runs goes on");
        self.engine.give_up();
    }

    pub(crate) fn take_actions(&mut self) -> Option<Actions> {
        let mut actions = self.actions.take()?;
        actions.clear();
        Some(actions)
    }

    /// Turns actions into orders and notes.
    pub(crate) fn absorb(&mut self, now: Nanos, actions: Actions) {
        for action in actions.as_slice() {
            match *action {
                Action::Spawn(service, identity) => {
                    if let Err(error) = self.prepare(now, service, identity) {
                        self.failed.push_back((identity, error));
                    }
                }
                Action::Signal(identity, signal) => self.order(identity, |cell| Order::SignalMain(cell, signal)),
                Action::SignalAll(identity, signal) => self.order(identity, |cell| Order::SignalAll(cell, signal)),
                Action::Kill(identity) => self.order(identity, Order::Kill),
                Action::Alarm(identity) => self.order(identity, Order::Alarm),
                Action::Reload(identity) => self.order(identity, |cell| Order::SignalMain(cell, SIGHUP)),
                Action::CheckRunnable(identity) => {
                    let since = self.slot_of(identity).map(|slot| slot.alive).unwrap_or_default();
                    self.order(identity, |cell| Order::CheckRunnable(cell, identity, since));
                }
                Action::Probe(identity) => {
                    if let Some(launch) = self.launch(identity) {
                        self.orders.push_back(Order::Probe(Box::new(launch)));
                    }
                }
                Action::Changed(service, identity, state, cause) => self.note(now, service, identity, state, cause),
                Action::Pause(identity) => self.order(identity, |cell| Order::Pause(cell, Pause::Begin)),
                Action::Resume(identity) => {
                    // Standing still was no time in which it could have given a sign of life.
                    if let Some(slot) = self.slot_of(identity) {
                        slot.note_life(now);
                    }
                    self.order(identity, |cell| Order::Pause(cell, Pause::End));
                }
                Action::Escalate(service, what) => {
                    let name = self.name_of(service).unwrap_or("?");
                    log::error!("svc: {name} was given up, which means: {what:?}");
                }
                Action::Level(level) => log::warn!("svc: the system is now in state {level:?}"),
                Action::Halted(ending) => self.orders.push_back(Order::End(ending)),
                Action::Publish(service, identity) => self.publish(now, service, identity),
                Action::Unpublish(service, identity) => self.unpublish(service, identity),
            }
        }
        self.actions = Some(actions);
    }

    fn order(&mut self, identity: Identity, make: impl FnOnce(Arc<Cell>) -> Order) {
        if let Some(cell) = self.slot_of(identity).and_then(|slot| slot.cell.clone()) {
            self.orders.push_back(make(cell));
        }
    }

    /// Makes the cell of a new life and orders its start.
    fn prepare(&mut self, now: Nanos, service: ServiceId, identity: Identity) -> Result<(), SpawnError> {
        let definition = self.engine.catalog().definition(service);
        let limits = definition.map(|definition| definition.limits).unwrap_or_default();
        let limits = CellLimits {
            tasks: limits.tasks.unwrap_or(u32::MAX),
            pages: limits.memory.map_or(u64::MAX, |bytes| bytes / PAGE_SIZE as u64),
            cpu: limits.cpu,
            io: limits.io,
            watched: definition.is_some_and(|definition| definition.health.watchdog.is_some()),
            session: definition.is_some_and(|definition| definition.session),
        };
        let id = CellId { service, identity }.to_number();
        let cell = Cell::new(id, limits, &self.board, self.slots.len()).map_err(|_| NO_MEMORY)?;
        if let Some(slot) = self.slots.get_mut(usize::from(identity.instance.0)) {
            let lived = slot.lived;
            *slot = Slot {
                cell: Some(cell),
                state: slot.state,
                born: now,
                alive: SignOfLife { at: now, waited: Nanos::ZERO },
                lived,
                ..Slot::default()
            };
        }
        let launch = self.launch(identity).ok_or(NO_MEMORY)?;
        self.orders.push_back(Order::Spawn(Box::new(launch)));
        Ok(())
    }

    fn launch(&mut self, identity: Identity) -> Option<Launch> {
        let (service, view) = self.engine.instance(identity.instance)?;
        let cell = self.slot_of(identity)?.cell.clone()?;
        let (unit, output) = self.sets.loaded(service)?;
        let index = view.index;
        let balancing = self.balancing(service)?;
        Some(Launch { identity, index, cell, unit, output, balancing })
    }

    fn note(&mut self, now: Nanos, service: ServiceId, identity: Identity, to: State, cause: Cause) {
        let index = self.engine.instance(identity.instance).map_or(0, |(_, view)| view.index);
        let Some(slot) = self.slots.get_mut(usize::from(identity.instance.0)) else { return };
        let from = core::mem::replace(&mut slot.state, to);
        if to == State::Running {
            slot.note_life(now);
            self.untuned = true;
        }
        self.waits.note();
        self.happenings.add(Happening { sequence: 0, time: now, service, identity, index, from, to, cause });
        self.note_start(now, service, to);
        let name = self.engine.catalog().definition(service).map_or("?", |definition| definition.name.as_str());
        log::info!("svc: {name}#{index} {} -> {} ({cause:?})", from.word(), to.word());
    }

    fn note_start(&mut self, now: Nanos, service: ServiceId, to: State) {
        let at = usize::from(service.0);
        if self.starts.len() <= at {
            self.starts.resize(at + 1, Start::default());
        }
        let Some(start) = self.starts.get_mut(at) else { return };
        let mark = match to {
            State::Waiting => &mut start.wanted,
            State::Starting => &mut start.spawned,
            State::Running | State::Done => &mut start.ready,
            _ => return,
        };
        mark.get_or_insert(now);
    }

    /// The cell of an instance.
    pub(crate) fn cell(&self, id: InstanceId) -> Option<&Arc<Cell>> {
        self.slots.get(usize::from(id.0))?.cell.as_ref()
    }
}

const SIGHUP: u8 = 1;
const NO_MEMORY: SpawnError =
    SpawnError { step: services::SpawnStep::Memory, errno: 12, retry: services::Retry::Later };

fn exit_of(status: ExitStatus) -> Exit {
    match status {
        ExitStatus::Exited(code) => Exit::Status(code),
        ExitStatus::Signaled { signal, .. } => Exit::Signal(signal.number()),
    }
}
