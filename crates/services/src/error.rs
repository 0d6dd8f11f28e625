//! What can go wrong with a service operation: fifteen kinds.

use crate::id::ServiceId;
use crate::state::State;

/// Outcome of a service operation.
pub type Result<T> = core::result::Result<T, ServiceError>;

/// Why an operation was refused, or a service failed; a refusal changes nothing.
///
/// The crate `syscall` holds the one mapping to errno; the errno stands behind each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServiceError {
    /// No such service, or none the caller may see (ENOENT).
    NotFound,
    /// The name is taken (EEXIST).
    AlreadyExists,
    /// A field of a definition makes no sense (EINVAL).
    InvalidDefinition(Field),
    /// The service is in a state that does not allow it (EALREADY).
    InvalidState(State),
    /// The caller lacks this role for the service (EACCES).
    PermissionDenied(Role),
    /// Dependencies form a circle; the path is in the load report (ELOOP).
    CircularDependency,
    /// A dependency cannot be had (ENOLINK).
    DependencyUnsatisfied(Unsatisfied),
    /// A quota or reservation does not allow it (EDQUOT).
    ResourceExhausted(Resource),
    /// A table of the supervisor is full (EAGAIN).
    CapacityExhausted(Capacity),
    /// The program could not be started (ENOEXEC).
    SpawnFailed(SpawnError),
    /// Not ready in time (ETIMEDOUT).
    StartTimeout,
    /// Not gone in time after the last signal (ETIME).
    StopTimeout,
    /// A probe or the watchdog failed, or memory ran out (EIO).
    HealthCheckFailed(Health),
    /// Gave up after too many failures in a row (EBUSY).
    RestartLimitExceeded,
    /// The system is going down (ESHUTDOWN).
    ShuttingDown,
}

impl ServiceError {
    /// Number of kinds.
    pub const KINDS: usize = 15;

    /// Exit status of `svc` for this kind; 0 is success, 1 partial success, 2 usage, 3 waited too long.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::NotFound => 4,
            Self::AlreadyExists => 5,
            Self::InvalidDefinition(_) => 6,
            Self::InvalidState(_) => 7,
            Self::PermissionDenied(_) => 8,
            Self::CircularDependency => 9,
            Self::DependencyUnsatisfied(_) => 10,
            Self::ResourceExhausted(_) => 11,
            Self::CapacityExhausted(_) => 12,
            Self::SpawnFailed(_) => 13,
            Self::StartTimeout => 14,
            Self::StopTimeout => 15,
            Self::HealthCheckFailed(_) => 16,
            Self::RestartLimitExceeded => 17,
            Self::ShuttingDown => 18,
        }
    }
}

/// Which field of a definition is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the field's name says it")]
pub enum Field {
    Name,
    Exec,
    Env,
    Kind,
    Dependencies,
    StartTimeout,
    LossGrace,
    RestartBase,
    RestartMaximum,
    RestartStable,
    StopTimeout,
    StopGrace,
    StopDrain,
    StopSignal,
    Watchdog,
    Probe,
    Memory,
    MemoryReserve,
    Cpu,
    Tasks,
    Files,
    Instances,
    Exports,
    Uses,
    Isolation,
    Listen,
    Isolate,
    Install,
}

/// Why a dependency cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unsatisfied {
    /// Nothing of that name is loaded.
    Missing,
    /// It gave up.
    Failed(ServiceId),
    /// No candidate has a matching version.
    Version,
    /// A conflicting service runs or is wanted.
    Conflict(ServiceId),
    /// An operator holds it down.
    Held(ServiceId),
    /// Others need it: they would have to stop too.
    NeededBy(ServiceId),
}

/// What a quota counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resource {
    /// Memory, in bytes.
    Memory,
    /// Processor time, in thousandths of one CPU.
    Cpu,
    /// Processes and threads.
    Tasks,
    /// Open files.
    Files,
    /// Bytes read and written.
    Io,
}

impl Resource {
    /// All, by number.
    pub const ALL: [Self; 5] = [Self::Memory, Self::Cpu, Self::Tasks, Self::Files, Self::Io];
}

/// Which of the supervisor's tables is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Capacity {
    /// Services in the set.
    Services,
    /// Instances of all services.
    Instances,
    /// Dependencies of one service.
    Dependencies,
    /// Dependencies of all services.
    Edges,
}

/// How far a spawn came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpawnError {
    /// The step that failed.
    pub step: SpawnStep,
    /// Linux's number for why.
    pub errno: u16,
    /// Whether trying again could help.
    pub retry: Retry,
}

/// Whether the same spawn may succeed later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// A shortage (ENOMEM, EAGAIN).
    Later,
    /// The program or its right is missing (ENOENT, ENOEXEC, EACCES).
    Never,
}

/// Steps of a spawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the step's name says it")]
pub enum SpawnStep {
    Open,
    Format,
    Memory,
    Credentials,
    Execute,
}

impl SpawnStep {
    /// All, by number.
    pub const ALL: [Self; 5] = [Self::Open, Self::Format, Self::Memory, Self::Credentials, Self::Execute];
}

/// Which health check failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Health {
    /// Probes failed as often in a row as the definition allows.
    Probe,
    /// No sign of life within the watchdog's span of runnable time.
    Watchdog,
    /// The cell was chosen when memory ran out.
    OutOfMemory,
}

impl Health {
    /// All, by number.
    pub const ALL: [Self; 3] = [Self::Probe, Self::Watchdog, Self::OutOfMemory];
}

/// What a caller may do with a service; each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// See state, causes, usage.
    Observe,
    /// Start, stop, restart, reset.
    Operate,
    /// Load, enable, scale, hold.
    Configure,
    /// Shut down, isolate, emergency.
    Emergency,
}
