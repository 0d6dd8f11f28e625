//! The states of one instance, and why it is in them.

use crate::error::{Health, Resource, Retry, SpawnError, SpawnStep};
use crate::id::{Identity, ServiceId};

/// Where an instance is.
///
/// ```text
///            goal up            gates open, admitted           ready
///   Down ──────────────► Waiting ───────────────► Starting ──────────────► Running
///    ▲ ◄──────────────────┘ ▲ │ target             │ │ │                    │ │ │
///    │     goal down        │ └────────► Done      │ │ └─ main exits ─► ┌───┼─┼─┘ main exits, quota
///    │                      │             ▲        │ └─ time-out, goal  │   │ └── health, goal down, loss, restart
///    │                      │ restart due │ exit 0 │    down, loss ─┐   │   ▼
///    │                   Backoff          │ (once) │                │   │ Stopping(Drain) ─► Stopping(Terminate)
///    │                      ▲             │        ▼                └───┼───────────────────►│  │ time-out
///    │                      │         ┌───┴───────────┐                 ▼  time-out          │  ▼
///    └──────────────────────┴─────────┤ cell is empty │◄──────────── Killing ◄───────────────┼─ Stopping(Grace)
///                 Failed ◄────────────┴───────────────┘◄─────────────────────────────────────┘
/// ```
///
/// A cell is alive in `Starting`, `Running`, `Stopping` and `Killing`, and only its emptiness ends a generation. Races: an
/// event of an earlier generation changes nothing; ready after the stop began changes nothing; goal up again during a stop
/// takes effect when the cell is empty. The rows are data, in [`crate::TABLE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum State {
    /// Not wanted, or held.
    #[default]
    Down,
    /// Wanted, gate closed. Never terminal.
    Waiting,
    /// Spawned, not ready.
    Starting,
    /// Ready.
    Running,
    /// Told to stop.
    Stopping(Phase),
    /// Killed; the cell is not empty yet.
    Killing,
    /// Will be tried again at a set time.
    Backoff,
    /// Gave up.
    Failed,
    /// Ran to its end, and satisfies dependents.
    Done,
}

/// How far a stop is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Finishes what is in flight.
    Drain,
    /// The main process has its signal.
    Terminate,
    /// Every process has its signal.
    Grace,
}

impl State {
    /// All states, in the order of the table.
    pub const ALL: [Self; 11] = [
        Self::Down,
        Self::Waiting,
        Self::Starting,
        Self::Running,
        Self::Stopping(Phase::Drain),
        Self::Stopping(Phase::Terminate),
        Self::Stopping(Phase::Grace),
        Self::Killing,
        Self::Backoff,
        Self::Failed,
        Self::Done,
    ];

    /// Position in [`State::ALL`].
    pub const fn index(self) -> usize {
        match self {
            Self::Down => 0,
            Self::Waiting => 1,
            Self::Starting => 2,
            Self::Running => 3,
            Self::Stopping(Phase::Drain) => 4,
            Self::Stopping(Phase::Terminate) => 5,
            Self::Stopping(Phase::Grace) => 6,
            Self::Killing => 7,
            Self::Backoff => 8,
            Self::Failed => 9,
            Self::Done => 10,
        }
    }

    /// Whether processes may exist.
    pub const fn has_cell(self) -> bool {
        matches!(self, Self::Starting | Self::Running | Self::Stopping(_) | Self::Killing)
    }

    /// Whether dependents may rely on it.
    pub const fn is_ready(self) -> bool {
        matches!(self, Self::Running | Self::Done)
    }

    /// Whether it is on its way to ready without anybody's help.
    pub const fn is_transient(self) -> bool {
        self.has_cell() && !self.is_ready() || matches!(self, Self::Waiting | Self::Backoff)
    }

    /// As `svc` prints it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping(Phase::Drain) => "draining",
            Self::Stopping(_) => "stopping",
            Self::Killing => "killing",
            Self::Backoff => "backoff",
            Self::Failed => "failed",
            Self::Done => "done",
        }
    }
}

/// Why a generation ended or an instance does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Cause {
    /// Nothing happened yet.
    #[default]
    None,
    /// The goal changed.
    Goal,
    /// The main process returned this status.
    Exited(u8),
    /// The main process died of this signal.
    Signalled(u8),
    /// It was not ready in time.
    StartTimeout,
    /// A health check failed.
    Health(Health),
    /// It crossed a quota.
    Quota(Resource),
    /// It could not be spawned.
    Spawn(SpawnError),
    /// A required service was lost.
    DependencyLost(ServiceId),
    /// An operator restarts it.
    Restart,
    /// The system goes down.
    Shutdown,
    /// The promised memory is not free.
    NoReserve {
        /// Bytes it needs.
        need: u64,
        /// Bytes that are free.
        have: u64,
    },
    /// Too many starts in this moment.
    Governor,
}

impl Cause {
    /// Whether `RestartPolicy::OnAbnormal` counts it.
    pub const fn is_abnormal(self) -> bool {
        !matches!(self, Self::Exited(_))
    }

    /// Its code, and all that goes with it if that fits in 16 bits; the rest reads as none.
    pub(crate) const fn pack(self) -> (u8, u16) {
        let detail = match self {
            Self::Exited(status) => status as u16,
            Self::Signalled(signal) => signal as u16,
            Self::Health(health) => health as u16,
            Self::Quota(resource) => resource as u16,
            Self::Spawn(error) => (error.step as u16) << 13 | (error.retry as u16) << 12 | error.errno & 0xfff,
            Self::DependencyLost(service) => service.0,
            _ => 0,
        };
        (self.code(), detail)
    }

    /// The reverse of `pack`.
    pub(crate) fn unpack(code: u8, detail: u16) -> Self {
        let of = usize::from(detail);
        match code {
            1 => Self::Goal,
            2 => Self::Exited(detail as u8),
            3 => Self::Signalled(detail as u8),
            4 => Self::StartTimeout,
            5 => Health::ALL.get(of).map_or(Self::None, |health| Self::Health(*health)),
            6 => Resource::ALL.get(of).map_or(Self::None, |resource| Self::Quota(*resource)),
            7 => {
                let step = SpawnStep::ALL.get(of >> 13).copied().unwrap_or(SpawnStep::Execute);
                let retry = if detail >> 12 & 1 == 0 { Retry::Later } else { Retry::Never };
                Self::Spawn(SpawnError { step, errno: detail & 0xfff, retry })
            }
            8 => Self::DependencyLost(ServiceId(detail)),
            9 => Self::Restart,
            10 => Self::Shutdown,
            11 => Self::NoReserve { need: 0, have: 0 },
            12 => Self::Governor,
            _ => Self::None,
        }
    }

    /// A small number for records.
    pub const fn code(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Goal => 1,
            Self::Exited(_) => 2,
            Self::Signalled(_) => 3,
            Self::StartTimeout => 4,
            Self::Health(_) => 5,
            Self::Quota(_) => 6,
            Self::Spawn(_) => 7,
            Self::DependencyLost(_) => 8,
            Self::Restart => 9,
            Self::Shutdown => 10,
            Self::NoReserve { .. } => 11,
            Self::Governor => 12,
        }
    }

    /// What goes with the code in a record.
    pub const fn detail(self) -> u32 {
        match self {
            Self::Exited(status) => status as u32,
            Self::Signalled(signal) => signal as u32,
            Self::Health(health) => health as u32,
            Self::Quota(resource) => resource as u32,
            Self::Spawn(error) => error.errno as u32,
            Self::DependencyLost(service) => service.0 as u32,
            _ => 0,
        }
    }
}

/// What the supervisor is told; the kernel stamps the identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// Time passed.
    Tick,
    /// The spawn failed; there is no cell.
    SpawnFailed(Identity, SpawnError),
    /// It is ready.
    Ready(Identity),
    /// It asks for more time to start.
    ExtendStart(Identity, types::Nanos),
    /// A sign of life for the watchdog.
    Alive(Identity),
    /// Answer to `Action::CheckRunnable`: how long it could run since the last sign of life.
    Runnable(Identity, types::Nanos),
    /// Answer to `Action::Probe`.
    Probed(Identity, ProbeResult),
    /// Nothing is in flight any more.
    Drained(Identity),
    /// The main process ended; others of the cell may live.
    MainExited(Identity, Exit),
    /// No process of the cell is left. `None` if the main process had been reported.
    Empty(Identity, Option<Exit>),
    /// It crossed a quota that kills, or was chosen when memory ran out.
    QuotaHit(Identity, Resource),
    /// It was chosen as a victim when memory ran out.
    OutOfMemory(Identity),
    /// So many instances of a service are passed over when work is given out.
    Ejected(ServiceId, u16),
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exit {
    /// With a status.
    Status(u8),
    /// Of a signal.
    Signal(u8),
}

/// How a probe ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProbeResult {
    /// As it should.
    Pass,
    /// Otherwise, or not in time.
    Fail,
}
