//! What can go wrong.

/// Why the scheduler refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchedError {
    /// No memory for a CPU's queue (ENOMEM).
    NoMemory,
    /// The CPU is not online: a bug of the caller.
    NoSuchCpu,
    /// No CPU of the set is online (EINVAL).
    NoAllowedCpu,
    /// No such policy, or a priority that does not fit it (EINVAL).
    InvalidPolicy,
    /// SCHED_DEADLINE and SCHED_EXT (EINVAL, as on a Linux without them).
    UnsupportedPolicy,
}
