//! What the supervisor was told, 32 bytes each, and the same told again: a log of the field gives the same transitions on
//! another machine, bit for bit.
//!
//! Whoever calls [`Reconciler::step`], [`Reconciler::command`] and [`Reconciler::load`] notes it here first. Sets of
//! definitions are too large for the log; it notes their numbers.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use types::{Nanos, Uid};

use crate::action::Actions;
use crate::audit::{Actor, Deed};
use crate::definition::Definition;
use crate::error::{Resource, Retry, SpawnError, SpawnStep};
use crate::id::{Generation, Identity, InstanceId, ServiceId};
use crate::reconciler::{Command, Config, Reconciler};
use crate::state::{Event, Exit, ProbeResult};

/// Something the supervisor was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// [`Reconciler::step`]
    Event(Event),
    /// [`Reconciler::command`]
    Command(Actor, Command),
    /// [`Reconciler::boot`] with the set of this number.
    Boot(u32),
    /// [`Reconciler::load`] with the set of this number.
    Load(u32),
    /// [`Reconciler::rollback`] to the set of this number.
    Rollback(u32),
    /// [`Reconciler::learn`]
    Learn(ServiceId, Nanos),
    /// [`Reconciler::retune`]
    Retune,
    /// [`Reconciler::record`] of a request that was allowed.
    Allowed(Actor, ServiceId, u8),
    /// [`Reconciler::record`] of a request that was refused.
    Denied(Actor, ServiceId, u8),
}

/// One line of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry([u8; Entry::SIZE]);

impl Entry {
    /// Bytes of a line.
    pub const SIZE: usize = 32;

    /// An input at a time.
    pub fn new(now: Nanos, input: Input) -> Self {
        let none = Fields { now: now.0, ..Fields::default() };
        let event = |kind, identity: Identity, detail: u64| Fields {
            kind,
            slot: identity.instance.0,
            number: identity.generation.0,
            detail,
            ..none
        };
        Self::pack(match input {
            Input::Event(event_is) => match event_is {
                Event::Tick => Fields { kind: 1, ..none },
                Event::SpawnFailed(identity, error) => {
                    let detail = u64::from(error.errno) | (error.step as u64) << 16 | (error.retry as u64) << 24;
                    event(2, identity, detail)
                }
                Event::Ready(identity) => event(3, identity, 0),
                Event::ExtendStart(identity, by) => event(4, identity, by.0),
                Event::Alive(identity) => event(5, identity, 0),
                Event::Runnable(identity, span) => event(6, identity, span.0),
                Event::Probed(identity, result) => event(7, identity, (result == ProbeResult::Pass).into()),
                Event::Drained(identity) => event(8, identity, 0),
                Event::MainExited(identity, exit) => event(9, identity, exit_bits(Some(exit))),
                Event::Empty(identity, exit) => event(10, identity, exit_bits(exit)),
                Event::QuotaHit(identity, resource) => event(11, identity, resource as u64),
                Event::OutOfMemory(identity) => event(12, identity, 0),
                Event::Ejected(service, count) => Fields { kind: 13, slot: service.0, number: count.into(), ..none },
            },
            Input::Command(actor, command) => {
                let count = if let Command::Scale(_, count) = command { count } else { 0 };
                Fields {
                    kind: COMMAND,
                    code: command.code(),
                    slot: command.target().map_or(0, |target| target.0),
                    number: count.into(),
                    detail: actor_bits(actor),
                    ..none
                }
            }
            Input::Allowed(actor, target, code) => {
                Fields { kind: 70, code, slot: target.0, detail: actor_bits(actor), ..none }
            }
            Input::Denied(actor, target, code) => {
                Fields { kind: 71, code, slot: target.0, detail: actor_bits(actor), ..none }
            }
            Input::Boot(set) => Fields { kind: 65, number: set, ..none },
            Input::Load(set) => Fields { kind: 66, number: set, ..none },
            Input::Rollback(set) => Fields { kind: 67, number: set, ..none },
            Input::Learn(service, time) => Fields { kind: 68, slot: service.0, detail: time.0, ..none },
            Input::Retune => Fields { kind: 69, ..none },
        })
    }

    /// From a log that was carried elsewhere.
    pub const fn from_bytes(bytes: [u8; Self::SIZE]) -> Self {
        Self(bytes)
    }

    /// To be carried elsewhere.
    pub const fn as_bytes(&self) -> &[u8; Self::SIZE] {
        &self.0
    }

    /// When, and what; `None` if it is no line of a log.
    pub fn read(&self) -> Option<(Nanos, Input)> {
        let fields = self.fields();
        let identity = Identity { instance: InstanceId(fields.slot), generation: Generation(fields.number) };
        let event = match fields.kind {
            1 => Event::Tick,
            2 => {
                let step = *SpawnStep::ALL.get((fields.detail >> 16 & 0xff) as usize)?;
                let retry = if fields.detail >> 24 == 0 { Retry::Later } else { Retry::Never };
                Event::SpawnFailed(identity, SpawnError { step, errno: fields.detail as u16, retry })
            }
            3 => Event::Ready(identity),
            4 => Event::ExtendStart(identity, Nanos(fields.detail)),
            5 => Event::Alive(identity),
            6 => Event::Runnable(identity, Nanos(fields.detail)),
            7 => Event::Probed(identity, if fields.detail == 1 { ProbeResult::Pass } else { ProbeResult::Fail }),
            8 => Event::Drained(identity),
            9 => Event::MainExited(identity, exit_of(fields.detail)?),
            10 => Event::Empty(identity, exit_of(fields.detail)),
            11 => Event::QuotaHit(identity, *Resource::ALL.get(fields.detail as usize)?),
            12 => Event::OutOfMemory(identity),
            13 => Event::Ejected(ServiceId(fields.slot), fields.number as u16),
            COMMAND => {
                let command = Command::from_code(fields.code, ServiceId(fields.slot), fields.number as u16)?;
                return Some((Nanos(fields.now), Input::Command(actor_of(fields.detail), command)));
            }
            65 => return Some((Nanos(fields.now), Input::Boot(fields.number))),
            66 => return Some((Nanos(fields.now), Input::Load(fields.number))),
            67 => return Some((Nanos(fields.now), Input::Rollback(fields.number))),
            68 => return Some((Nanos(fields.now), Input::Learn(ServiceId(fields.slot), Nanos(fields.detail)))),
            69 => return Some((Nanos(fields.now), Input::Retune)),
            70 | 71 => {
                let (actor, target) = (actor_of(fields.detail), ServiceId(fields.slot));
                let input = if fields.kind == 70 { Input::Allowed } else { Input::Denied };
                return Some((Nanos(fields.now), input(actor, target, fields.code)));
            }
            _ => return None,
        };
        Some((Nanos(fields.now), Input::Event(event)))
    }

    fn pack(fields: Fields) -> Self {
        let mut bytes = [0; Self::SIZE];
        let [kind, code] = [[fields.kind], [fields.code]];
        let parts: [&[u8]; 6] = [
            &fields.now.to_le_bytes(),
            &fields.detail.to_le_bytes(),
            &fields.number.to_le_bytes(),
            &fields.slot.to_le_bytes(),
            &kind,
            &code,
        ];
        for (slot, byte) in bytes.iter_mut().zip(parts.into_iter().flatten()) {
            *slot = *byte;
        }
        Self(bytes)
    }

    fn fields(&self) -> Fields {
        let number = |from: usize, len: usize| {
            let bytes = self.0.iter().skip(from).take(len).rev();
            bytes.fold(0u64, |value, byte| value << 8 | u64::from(*byte))
        };
        Fields {
            now: number(0, 8),
            detail: number(8, 8),
            number: number(16, 4) as u32,
            slot: number(20, 2) as u16,
            kind: number(22, 1) as u8,
            code: number(23, 1) as u8,
        }
    }
}

const COMMAND: u8 = 64;

#[derive(Clone, Copy, Default)]
struct Fields {
    now: u64,
    detail: u64,
    number: u32,
    slot: u16,
    kind: u8,
    code: u8,
}

fn actor_bits(actor: Actor) -> u64 {
    match actor {
        Actor::Supervisor => 0,
        Actor::Caller { user, service: None } => u64::from(user.0) | 1 << 48,
        Actor::Caller { user, service: Some(service) } => u64::from(user.0) | u64::from(service.0) << 32 | 2 << 48,
    }
}

fn actor_of(bits: u64) -> Actor {
    let (user, service) = (Uid(bits as u32), ServiceId((bits >> 32) as u16));
    match bits >> 48 {
        0 => Actor::Supervisor,
        1 => Actor::Caller { user, service: None },
        _ => Actor::Caller { user, service: Some(service) },
    }
}

fn exit_bits(exit: Option<Exit>) -> u64 {
    match exit {
        None => 0,
        Some(Exit::Status(status)) => 1 << 8 | u64::from(status),
        Some(Exit::Signal(signal)) => 2 << 8 | u64::from(signal),
    }
}

fn exit_of(bits: u64) -> Option<Exit> {
    match bits >> 8 {
        1 => Some(Exit::Status(bits as u8)),
        2 => Some(Exit::Signal(bits as u8)),
        _ => None,
    }
}

/// The last so many inputs. Only a log that lost nothing can be replayed from the beginning.
#[derive(Clone, Debug, Default)]
pub struct EventLog {
    entries: VecDeque<Entry>,
    capacity: usize,
    lost: u64,
}

impl EventLog {
    /// Room for so many; the only allocation.
    pub fn new(capacity: usize) -> Self {
        Self { entries: VecDeque::with_capacity(capacity), capacity, lost: 0 }
    }

    /// Notes an input, before it is given.
    pub fn note(&mut self, now: Nanos, input: Input) {
        if self.entries.len() >= self.capacity {
            self.lost += 1;
            if self.entries.pop_front().is_none() {
                return;
            }
        }
        self.entries.push_back(Entry::new(now, input));
    }

    /// Oldest first.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Inputs that were overwritten.
    pub const fn lost(&self) -> u64 {
        self.lost
    }
}

/// Why a log cannot be replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayError {
    /// This line makes no sense.
    Entry(usize),
    /// No set has this number.
    Set(u32),
}

/// Tells a new supervisor what the log says. The same transitions give the same [`crate::Audit::head`].
///
/// # Errors
/// A line or a set that is missing.
pub fn replay<'a>(
    config: Config,
    log: impl Iterator<Item = &'a Entry>,
    mut sets: impl FnMut(u32) -> Option<Vec<Definition>>,
) -> Result<Reconciler, ReplayError> {
    let mut engine = Reconciler::new(config);
    let mut actions = Actions::new(config.bounds.instances);
    for (line, entry) in log.enumerate() {
        let (now, input) = entry.read().ok_or(ReplayError::Entry(line))?;
        actions.clear();
        // A refusal is part of the history.
        match input {
            Input::Event(event) => engine.step(now, event, &mut actions),
            Input::Command(actor, command) => drop(engine.command(now, actor, command, &mut actions)),
            Input::Boot(set) => drop(engine.boot(now, sets(set).ok_or(ReplayError::Set(set))?, &mut actions)),
            Input::Load(set) => drop(engine.load(now, sets(set).ok_or(ReplayError::Set(set))?, &mut actions)),
            Input::Rollback(set) => drop(engine.rollback(now, set, &mut actions)),
            Input::Learn(service, time) => engine.learn(service, time),
            Input::Retune => engine.retune(),
            Input::Allowed(actor, target, code) => engine.record(now, actor, target, Deed::Allowed(code)),
            Input::Denied(actor, target, code) => engine.record(now, actor, target, Deed::Denied(code)),
        }
    }
    Ok(engine)
}
