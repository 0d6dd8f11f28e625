//! The transition table: which row applies is data; what guards and effects mean is the reconciler's.
//!
//! For a state and a trigger the first row whose guard holds applies; no row means that nothing happens. The test
//! `every_pair_is_a_row_or_listed_as_ignored` keeps the ignored pairs as a list.

use crate::state::{Phase, State};

/// What makes the table be looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "named after the events")]
pub enum Trigger {
    Evaluate,
    Dispatch,
    Ready,
    SpawnFailed,
    MainExited,
    Empty,
    Timer,
    Stable,
    Unhealthy,
    Quota,
    Drained,
    DependencyReady,
    Reset,
    Restart,
    ShutdownGrace,
    ShutdownKill,
}

impl Trigger {
    /// All triggers.
    pub const ALL: [Self; 16] = [
        Self::Evaluate,
        Self::Dispatch,
        Self::Ready,
        Self::SpawnFailed,
        Self::MainExited,
        Self::Empty,
        Self::Timer,
        Self::Stable,
        Self::Unhealthy,
        Self::Quota,
        Self::Drained,
        Self::DependencyReady,
        Self::Reset,
        Self::Restart,
        Self::ShutdownGrace,
        Self::ShutdownKill,
    ];
}

/// What must hold for a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Guard {
    /// Nothing.
    Always,
    /// The goal is up.
    GoalUp,
    /// The goal is down.
    GoalDown,
    /// The goal is down and no dependent has a cell.
    GoalDownUnneeded,
    /// A required service is lost beyond grace.
    Lost,
    /// It has no process, and its dependencies are ready.
    Processless,
    /// It has no process, and a dependency is no longer ready.
    TargetBroken,
    /// Draining is configured.
    Drains,
    /// The spawn can never succeed.
    Permanent,
    /// People work in it.
    Session,
}

/// Where a row leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Next {
    /// To this state; if it is the present one, only the effects happen.
    To(State),
    /// Wherever goal, cause and restart policy say, now that the cell is empty.
    Decide,
}

/// What else a row does, in order, before the state changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "named after what they do")]
pub enum Effect {
    ClearFailures,
    NewGeneration,
    Spawn,
    ArmWants,
    ExpireWants,
    ArmStart,
    ArmStable,
    StartHealth,
    ArmDrain,
    ArmTerminate,
    ArmAbort,
    ArmGrace,
    ArmKill,
    BlameExit,
    BlameStart,
    BlameSpawn,
    BlameHealth,
    BlameQuota,
    BlameLoss,
    BlameGoal,
    BlameRestart,
    BlameShutdown,
    Stop,
    Abort,
    StopAll,
    Kill,
    Alarm,
    Shorten,
}

/// One row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// In this state,
    pub from: State,
    /// on this,
    pub on: Trigger,
    /// if this holds,
    pub guard: Guard,
    /// do these
    pub effects: &'static [Effect],
    /// and go there.
    pub next: Next,
}

const fn row(from: State, on: Trigger, guard: Guard, effects: &'static [Effect], to: State) -> Row {
    Row { from, on, guard, effects, next: Next::To(to) }
}

const fn decide(from: State, on: Trigger, effects: &'static [Effect]) -> Row {
    Row { from, on, guard: Guard::Always, effects, next: Next::Decide }
}

use Effect as E;
use Guard as G;
use State::{Backoff, Done, Down, Failed, Killing, Running, Starting, Waiting};
use Trigger as T;
const DRAIN: State = State::Stopping(Phase::Drain);
const TERM: State = State::Stopping(Phase::Terminate);
const GRACE: State = State::Stopping(Phase::Grace);

/// Every transition there is, grouped by state in the order of [`State::ALL`].
#[rustfmt::skip]
pub const TABLE: &[Row] = &[
    row(Down,     T::Evaluate,        G::GoalUp,           &[E::ClearFailures, E::ArmWants], Waiting),

    row(Waiting,  T::Evaluate,        G::GoalDown,         &[], Down),
    row(Waiting,  T::Timer,           G::Always,           &[E::ExpireWants], Waiting),
    row(Waiting,  T::Dispatch,        G::Processless,      &[], Done),
    row(Waiting,  T::Dispatch,        G::GoalUp,           &[E::NewGeneration, E::Spawn, E::ArmStart], Starting),

    row(Starting, T::Ready,           G::Always,           &[E::ArmStable, E::StartHealth], Running),
    row(Starting, T::Timer,           G::Always,           &[E::BlameStart, E::Stop, E::ArmTerminate], TERM),
    row(Starting, T::SpawnFailed,     G::Permanent,        &[E::BlameSpawn], Failed),
    decide(Starting, T::SpawnFailed,  &[E::BlameSpawn]),
    row(Starting, T::MainExited,      G::Always,           &[E::BlameExit, E::Kill, E::ArmKill], Killing),
    decide(Starting, T::Empty,        &[E::BlameExit]),
    row(Starting, T::Evaluate,        G::Lost,             &[E::BlameLoss, E::Stop, E::ArmTerminate], TERM),
    row(Starting, T::Evaluate,        G::GoalDownUnneeded, &[E::BlameGoal, E::Stop, E::ArmTerminate], TERM),
    row(Starting, T::Quota,           G::Always,           &[E::BlameQuota, E::Kill, E::ArmKill], Killing),
    row(Starting, T::Restart,         G::Always,           &[E::BlameRestart, E::Stop, E::ArmTerminate], TERM),
    row(Starting, T::ShutdownGrace,   G::Always,           &[E::BlameShutdown, E::StopAll, E::ArmGrace], GRACE),
    row(Starting, T::ShutdownKill,    G::Always,           &[E::BlameShutdown, E::Kill, E::ArmKill], Killing),

    row(Running,  T::Stable,          G::Always,           &[E::ClearFailures], Running),
    row(Running,  T::MainExited,      G::Session,          &[E::BlameExit, E::StopAll, E::ArmGrace], GRACE),
    row(Running,  T::MainExited,      G::Always,           &[E::BlameExit, E::Kill, E::ArmKill], Killing),
    decide(Running, T::Empty,         &[E::BlameExit]),
    row(Running,  T::Evaluate,        G::Lost,             &[E::BlameLoss, E::Stop, E::ArmTerminate], TERM),
    row(Running,  T::Evaluate,        G::GoalDownUnneeded, &[E::BlameGoal, E::ArmDrain], DRAIN),
    row(Running,  T::Unhealthy,       G::Always,           &[E::BlameHealth, E::Abort, E::ArmAbort], TERM),
    row(Running,  T::Quota,           G::Always,           &[E::BlameQuota, E::Kill, E::ArmKill], Killing),
    row(Running,  T::Restart,         G::Drains,           &[E::BlameRestart, E::ArmDrain], DRAIN),
    row(Running,  T::Restart,         G::Always,           &[E::BlameRestart, E::Stop, E::ArmTerminate], TERM),
    row(Running,  T::ShutdownGrace,   G::Always,           &[E::BlameShutdown, E::StopAll, E::ArmGrace], GRACE),
    row(Running,  T::ShutdownKill,    G::Always,           &[E::BlameShutdown, E::Kill, E::ArmKill], Killing),

    row(DRAIN,    T::Timer,           G::Always,           &[E::Stop, E::ArmTerminate], TERM),
    row(DRAIN,    T::Drained,         G::Always,           &[E::Stop, E::ArmTerminate], TERM),
    row(DRAIN,    T::MainExited,      G::Session,          &[E::StopAll, E::ArmGrace], GRACE),
    row(DRAIN,    T::MainExited,      G::Always,           &[E::Kill, E::ArmKill], Killing),
    decide(DRAIN, T::Empty,           &[]),
    row(DRAIN,    T::Quota,           G::Always,           &[E::Kill, E::ArmKill], Killing),
    row(DRAIN,    T::ShutdownGrace,   G::Always,           &[E::StopAll, E::ArmGrace], GRACE),
    row(DRAIN,    T::ShutdownKill,    G::Always,           &[E::Kill, E::ArmKill], Killing),

    row(TERM,     T::Timer,           G::Always,           &[E::StopAll, E::ArmGrace], GRACE),
    row(TERM,     T::MainExited,      G::Session,          &[E::StopAll, E::ArmGrace], GRACE),
    row(TERM,     T::MainExited,      G::Always,           &[E::Kill, E::ArmKill], Killing),
    decide(TERM, T::SpawnFailed, &[]),
    decide(TERM,  T::Empty,           &[]),
    row(TERM,     T::Quota,           G::Always,           &[E::Kill, E::ArmKill], Killing),
    row(TERM,     T::ShutdownGrace,   G::Always,           &[E::StopAll, E::ArmGrace], GRACE),
    row(TERM,     T::ShutdownKill,    G::Always,           &[E::Kill, E::ArmKill], Killing),

    row(GRACE,    T::Timer,           G::Always,           &[E::Kill, E::ArmKill], Killing),
    row(GRACE,    T::MainExited,      G::Always,           &[E::Kill, E::ArmKill], Killing),
    decide(GRACE, T::SpawnFailed, &[]),
    decide(GRACE, T::Empty,           &[]),
    row(GRACE,    T::Quota,           G::Always,           &[E::Kill, E::ArmKill], Killing),
    row(GRACE,    T::ShutdownKill,    G::Always,           &[E::Kill, E::ArmKill], Killing),

    row(Killing,  T::Timer,           G::Always,           &[E::Alarm, E::ArmKill], Killing),
    decide(Killing, T::SpawnFailed, &[]),
    decide(Killing, T::Empty,         &[]),

    row(Backoff,  T::Timer,           G::Always,           &[E::ArmWants], Waiting),
    row(Backoff,  T::DependencyReady, G::Always,           &[E::Shorten], Backoff),
    row(Backoff,  T::Evaluate,        G::GoalDown,         &[], Down),
    row(Backoff,  T::Reset,           G::Always,           &[E::ClearFailures, E::ArmWants], Waiting),
    row(Backoff,  T::Restart,         G::Always,           &[E::ClearFailures, E::ArmWants], Waiting),

    row(Failed,   T::Evaluate,        G::GoalDown,         &[], Down),
    row(Failed,   T::Reset,           G::Always,           &[E::ClearFailures], Down),
    row(Failed,   T::Restart,         G::Always,           &[E::ClearFailures], Down),

    row(Done,     T::Evaluate,        G::GoalDownUnneeded, &[], Down),
    row(Done,     T::Evaluate,        G::TargetBroken,     &[E::ArmWants], Waiting),
    row(Done,     T::Restart,         G::Always,           &[E::ClearFailures, E::ArmWants], Waiting),
];
