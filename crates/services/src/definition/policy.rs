//! Restart, stop, health, quotas and instances of a service, with their defaults.

use types::Nanos;

/// How a service tells that it is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Readiness {
    /// Its program was executed.
    Execute,
    /// It says so (`NOTIFY_SOCKET`).
    Notify,
    /// It listens on its declared endpoint.
    Listen,
    /// It writes a line to this descriptor.
    Descriptor(u16),
    /// A readiness probe succeeds.
    Probe,
}

/// What a running service does when a required one is lost for longer than `loss-grace`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OnLoss {
    /// Stops, and starts again when it is back.
    Stop,
    /// The same, at once and without grace.
    Restart,
    /// Goes on.
    Keep,
}

/// Which ends of a service are followed by a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RestartPolicy {
    /// None.
    Never,
    /// Any but exit status 0.
    OnFailure,
    /// A signal, a time-out, a failed health check, a quota; not a mere exit status.
    OnAbnormal,
    /// All.
    Always,
}

/// What else follows when a service has given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OnFailure {
    /// Nothing.
    None,
    /// Emergency mode.
    Emergency,
    /// The machine restarts.
    Reboot,
    /// The machine is switched off.
    PowerOff,
    /// Everything stops that the definition's `isolate` target does not need.
    Isolate,
}

/// The one restart limiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restart {
    /// Which ends count.
    pub policy: RestartPolicy,
    /// First delay; doubles with each failure in a row.
    pub base: Nanos,
    /// Longest delay.
    pub maximum: Nanos,
    /// Gives up when more failures than this follow each other; 0 means never.
    pub max_failures: u8,
    /// Running this long forgives all failures.
    pub stable: Nanos,
    /// Exit statuses that no restart can cure.
    pub permanent: [Option<u8>; 4],
    /// What follows giving up.
    pub on_failure: OnFailure,
}

impl Restart {
    /// What a critical service has if nothing else is said: it is never given up.
    pub fn of_critical() -> Self {
        Self { max_failures: 0, on_failure: OnFailure::Emergency, ..Self::default() }
    }
}

impl Default for Restart {
    fn default() -> Self {
        Self {
            policy: RestartPolicy::OnFailure,
            base: Nanos::from_millis(100),
            maximum: Nanos::from_secs(30),
            max_failures: 10,
            stable: Nanos::from_secs(10),
            // 125 is s6's "permanent failure", 78 is EX_CONFIG of sysexits.h.
            permanent: [Some(125), Some(78), None, None],
            on_failure: OnFailure::None,
        }
    }
}

/// How a service is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// First signal, to the main process.
    pub signal: u8,
    /// How long the main process has.
    pub timeout: Nanos,
    /// How long the whole cell has after that; then it is killed.
    pub grace: Nanos,
    /// How long work in flight may end before the first signal.
    pub drain: Nanos,
}

impl Default for Stop {
    fn default() -> Self {
        Self { signal: 15, timeout: Nanos::from_secs(30), grace: Nanos::from_secs(5), drain: Nanos::ZERO }
    }
}

/// A periodic check by the supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Time between two.
    pub period: Nanos,
    /// Time to answer; shorter than `period`.
    pub timeout: Nanos,
    /// Failures in a row that count.
    pub failures: u8,
}

impl Default for Probe {
    fn default() -> Self {
        Self { period: Nanos::from_secs(10), timeout: Nanos::from_secs(1), failures: 3 }
    }
}

/// Signs of life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Longest *runnable* time without a sign of life.
    pub watchdog: Option<Nanos>,
    /// Asked while running.
    pub live: Option<Probe>,
}

/// What happens at the memory quota.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnMemory {
    /// The allocation fails.
    #[default]
    Refuse,
    /// The cell is killed and the service restarted.
    Restart,
}

/// Quotas of one instance; `None` is without limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes, enforced at the allocation.
    pub memory: Option<u64>,
    /// Bytes promised: a start waits until they are free.
    pub memory_reserve: u64,
    /// Thousandths of one CPU.
    pub cpu: Option<u32>,
    /// Processes and threads.
    pub tasks: Option<u32>,
    /// Open files.
    pub files: Option<u32>,
    /// Bytes read and written per second.
    pub io: Option<u64>,
    /// What happens at the memory quota.
    pub on_memory: OnMemory,
}

/// How work is spread over instances.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Balance {
    /// To the one with the least in flight.
    #[default]
    Least,
    /// To the lesser of two at random.
    TwoChoices,
    /// In turn.
    RoundRobin,
    /// By the hash of the caller.
    Hash,
    /// To one that waits on the caller's CPU; if there is none, the least.
    LocalCpu,
}

/// How many instances, and how work is spread over them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scaling {
    /// Instances to run.
    pub count: u16,
    /// How work is spread.
    pub balance: Balance,
    /// A new instance's share rises from a tenth to all in this time.
    pub slow_start: Nanos,
}

impl Default for Scaling {
    fn default() -> Self {
        Self { count: 1, balance: Balance::Least, slow_start: Nanos::from_secs(10) }
    }
}
