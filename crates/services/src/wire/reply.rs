//! What the supervisor answers. Times are spans (how long ago, how long from now), so that no two clocks need to agree.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::codec::{message, record};
use super::replay::ReplayPart;
use super::unit::Unit;
use crate::audit::{Hash, Record};
use crate::catalog::Mistake;
use crate::definition::{Class, DependencyKind, Name, Run, Version};
use crate::error::ServiceError;
use crate::id::{Identity, ServiceId};
use crate::plan::Change;
use crate::reconciler::Hold;
use crate::state::{Cause, State};
use crate::why::Root;
use types::Nanos;

/// One reply.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// Done.
    Ok,
    /// Refused; nothing changed.
    Error(Failure),
    /// The set was refused; nothing changed.
    Mistakes(Vec<Mistake>),
    /// The set was taken.
    Loaded {
        /// Its number, for `Rollback`.
        number: u32,
        /// What was set aside (`LoadMode::Boot`).
        aside: Vec<Mistake>,
    },
    /// All instances.
    Rows(Vec<Row>),
    /// One service.
    Status(Box<Status>),
    /// Explanations, each from depth 0 on; none if all is well.
    Why(Vec<Explanation>),
    /// Names, the cause first.
    Chain(Vec<Name>),
    /// Steps in their order.
    Plan(Vec<PlanStep>),
    /// Dependencies.
    Links(Vec<Link>),
    /// Output of a service.
    Log(LogPart),
    /// Changes of state.
    Happenings(HappeningPart),
    /// Audit records.
    Audit(AuditPart),
    /// Services in the order in which they became ready.
    Boot(Vec<BootStep>),
    /// A definition.
    Unit(Box<Unit>),
    /// Instances that take work.
    Found(Vec<Endpoint>),
    /// The log.
    Replay(Box<ReplayPart>),
}

/// A refusal.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// Which of the fifteen.
    pub error: ServiceError,
    /// The service it is about, if any.
    pub subject: Option<Name>,
    /// Others that it speaks of: the closest names (NotFound), the circle (CircularDependency), who needs it (InvalidState),
    /// the root causes (DependencyUnsatisfied).
    pub names: Vec<Name>,
    /// More, in words; one line each.
    pub notes: Vec<String>,
}

/// An instance at a glance.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its service.
    pub service: Name,
    /// Which of the service.
    pub index: u16,
    /// How many the service has.
    pub count: u16,
    /// How it runs.
    pub run: Run,
    /// Where it is.
    pub state: State,
    /// How long it has been there.
    pub age: Nanos,
    /// Whether it should run.
    pub wanted: bool,
    /// How an operator holds it.
    pub hold: Hold,
    /// Whether it is passed over in balancing, or not healthy.
    pub degraded: bool,
    /// Failures in a row.
    pub failures: u8,
    /// Starts since boot, the first one included.
    pub generation: u32,
    /// Its main process; 0 if there is none.
    pub pid: u32,
    /// Processes and threads in its cell.
    pub tasks: u32,
    /// Bytes of memory in use.
    pub memory: u64,
    /// Processor time used since it was started.
    pub cpu: Nanos,
    /// Connections in flight.
    pub in_flight: u32,
    /// An operator lets it stand still.
    pub paused: bool,
    /// What its share of the CPUs has meant to it.
    pub cpu_throttled: Throttled,
    /// What its limit on bytes has meant to it.
    pub io_throttled: Throttled,
    /// Why it is where it is.
    pub cause: Cause,
    /// The service that the cause speaks of.
    pub about: Option<Name>,
    /// A dependency that it waits for.
    pub gate: Option<(DependencyKind, Name)>,
}

/// What a limit that makes wait has done since the instance was started; nothing where there is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Throttled {
    /// How often it made wait.
    pub times: u64,
    /// For how long in all.
    pub time: Nanos,
}

/// All there is to know about a service.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// Its name.
    pub name: Name,
    /// Its version.
    pub version: Version,
    /// For people.
    pub description: String,
    /// The file it was read from.
    pub file: String,
    /// How urgent its programs are, if the definition says so.
    pub class: Option<Class>,
    /// Wanted by itself, not only by others.
    pub explicit: bool,
    /// Wanted from boot on.
    pub enabled: bool,
    /// From what was asked for down to this one.
    pub started_by: Vec<Name>,
    /// Its instances.
    pub instances: Vec<InstanceStatus>,
    /// Why it is not ready; empty if it is.
    pub why: Vec<Explanation>,
    /// What it wrote last.
    pub output: Vec<u8>,
}

/// All there is to know about an instance.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceStatus {
    /// At a glance.
    pub row: Row,
    /// How its last life ended.
    pub last_end: Cause,
    /// When something happens by itself.
    pub next: Option<Nanos>,
    /// Processes of its cell, the main one first.
    pub pids: Vec<u32>,
    /// How long its last start took.
    pub start_time: Option<Nanos>,
    /// What it says of itself (STATUS=).
    pub notice: String,
    /// Its last changes of state, the newest last.
    pub history: Vec<Happening>,
}

/// One link of an explanation.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// Who is not ready.
    pub service: Name,
    /// How far below the one asked about.
    pub depth: u16,
    /// Through which dependency it was reached.
    pub through: Option<DependencyKind>,
    /// The version that was asked for, if not any.
    pub version: String,
    /// What is the matter with itself; `None` if it only waits for others.
    pub root: Option<Root>,
    /// Where it is.
    pub state: State,
    /// How long it has been there.
    pub age: Nanos,
    /// Why.
    pub cause: Cause,
    /// How its last life ended.
    pub last_end: Cause,
    /// How long its last life was.
    pub lived: Option<Nanos>,
    /// Failures in a row.
    pub failures: u8,
    /// How many it may have; 0 means any number.
    pub max_failures: u8,
    /// When something happens by itself.
    pub next: Option<Nanos>,
    /// The last line that it wrote.
    pub last_line: String,
    /// Who else waits for it, if it is to blame.
    pub blocks: Vec<Name>,
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanStep {
    /// Which service.
    pub service: Name,
    /// What happens to it.
    pub change: Change,
    /// Steps of the same wave happen at the same time.
    pub wave: u16,
}

/// One dependency.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// Who depends.
    pub from: Name,
    /// On whom.
    pub to: Name,
    /// How.
    pub kind: DependencyKind,
    /// Where the dependency is.
    pub state: State,
    /// Where it was written down.
    pub place: String,
}

/// A piece of a service's output.
#[derive(Clone, Debug, PartialEq)]
pub struct LogPart {
    /// Number of the first byte.
    pub from: u64,
    /// Number of the byte to ask for next; the same as `from` plus the bytes here.
    pub next: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// A change of state.
#[derive(Clone, Debug, PartialEq)]
pub struct Happening {
    /// Counts all changes since boot.
    pub sequence: u64,
    /// Since boot.
    pub time: Nanos,
    /// Whose.
    pub service: Name,
    /// Which of the service.
    pub index: u16,
    /// Which life.
    pub generation: u32,
    /// Where it was.
    pub from: State,
    /// Where it is.
    pub to: State,
    /// Why.
    pub cause: Cause,
    /// The service that the cause speaks of.
    pub about: Option<Name>,
}

/// A piece of the list of changes.
#[derive(Clone, Debug, PartialEq)]
pub struct HappeningPart {
    /// Number to ask for next.
    pub next: u64,
    /// Changes after the one asked for that are no longer kept.
    pub lost: u64,
    /// The oldest first.
    pub list: Vec<Happening>,
}

/// A piece of the audit ring.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditPart {
    /// Number to ask for next.
    pub next: u64,
    /// Records that were overwritten since boot.
    pub lost: u64,
    /// The first record that does not follow from the one before, if there is one.
    pub broken: Option<u64>,
    /// Hash of the record before the first one here.
    pub previous: Hash,
    /// The oldest first.
    pub records: Vec<Record>,
    /// Names of the services that the records speak of.
    pub names: Vec<(ServiceId, Name)>,
}

/// How one service started.
#[derive(Clone, Debug, PartialEq)]
pub struct BootStep {
    /// Which.
    pub service: Name,
    /// When it was wanted, since boot.
    pub wanted: Nanos,
    /// When its gates were open and it was spawned.
    pub spawned: Nanos,
    /// When it was ready.
    pub ready: Nanos,
    /// The dependency that was ready last.
    pub after: Option<Name>,
}

/// An instance that takes work.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// Its service.
    pub service: Name,
    /// Which of the service.
    pub index: u16,
    /// Its identity.
    pub identity: Identity,
    /// Its main process.
    pub pid: u32,
}

record!(Failure { error, subject, names, notes });
record!(Throttled { times, time });
record!(Row {
    service,
    index,
    count,
    run,
    state,
    age,
    wanted,
    hold,
    degraded,
    failures,
    generation,
    pid,
    tasks,
    memory,
    cpu,
    in_flight,
    paused,
    cpu_throttled,
    io_throttled,
    cause,
    about,
    gate,
});
record!(Status { name, version, description, file, class, explicit, enabled, started_by, instances, why, output });
record!(InstanceStatus { row, last_end, next, pids, start_time, notice, history });
record!(Explanation {
    service,
    depth,
    through,
    version,
    root,
    state,
    age,
    cause,
    last_end,
    lived,
    failures,
    max_failures,
    next,
    last_line,
    blocks,
});
record!(PlanStep { service, change, wave });
record!(Link { from, to, kind, state, place });
record!(LogPart { from, next, bytes });
record!(Happening { sequence, time, service, index, generation, from, to, cause, about });
record!(HappeningPart { next, lost, list });
record!(AuditPart { next, lost, broken, previous, records, names });
record!(BootStep { service, wanted, spawned, ready, after });
record!(Endpoint { service, index, identity, pid });
message!(Reply {
    0x00 => Ok,
    0x01 => Error(failure),
    0x02 => Mistakes(list),
    0x03 => Loaded { number, aside },
    0x04 => Rows(rows),
    0x05 => Status(status),
    0x06 => Why(list),
    0x07 => Chain(names),
    0x08 => Plan(steps),
    0x09 => Links(links),
    0x0a => Log(part),
    0x0b => Happenings(part),
    0x0c => Audit(part),
    0x0d => Boot(steps),
    0x0e => Unit(unit),
    0x0f => Found(instances),
    0x10 => Replay(part),
});
