//! What can go wrong.

/// Why the scheduler refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchedError {
    /// No memory for a task's slot, a CPU's queue or a donation (ENOMEM).
    NoMemory,
    /// The table holds [`MAX_TASKS`](crate::MAX_TASKS) already (EAGAIN).
    TooManyTasks,
    /// The id names no living task (ESRCH).
    NoSuchTask,
    /// The CPU is not online: a bug of the caller.
    NoSuchCpu,
    /// No CPU of the set is online (EINVAL).
    NoAllowedCpu,
    /// No such policy, or a priority that does not fit it (EINVAL).
    InvalidPolicy,
    /// SCHED_DEADLINE and SCHED_EXT (EINVAL, as on a Linux without them).
    UnsupportedPolicy,
    /// The task is not in a state that allows this: a bug of the caller.
    WrongState,
}
