//! What can go wrong with a process operation.

/// Outcome of a process operation.
pub type Result<T> = core::result::Result<T, ProcessError>;

/// Why an operation was refused; nothing was changed.
///
/// The first sixteen are the kinds a user of the native interface meets; the rest exist so that every refusal of the
/// Linux interface has its own errno. The crate `syscall` holds the one mapping; the errno stands behind each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProcessError {
    /// No process, thread or group of that number (ESRCH).
    ProcessNotFound,
    /// A number that can never name a process (EINVAL).
    InvalidProcessId,
    /// The number is taken (EEXIST).
    ProcessAlreadyExists,
    /// The caller may not do that to this process (EPERM).
    PermissionDenied,
    /// No free process number, or the user has as many processes as allowed (EAGAIN).
    ResourceExhausted,
    /// The process is in a state that does not allow it (EBUSY).
    InvalidState,
    /// No such priority, nice value or policy (EINVAL).
    InvalidPriority,
    /// Something the process depends on failed (EIO).
    DependencyError,
    /// No service of that name (ENOENT).
    ServiceNotFound,
    /// No such signal (EINVAL).
    SignalNotSupported,
    /// A resource limit does not allow it (EDQUOT).
    ResourceLimitExceeded,
    /// It did not happen in time (ETIMEDOUT).
    Timeout,
    /// The kernel failed (EIO).
    SystemError,
    /// A service operation failed (EIO).
    ServiceError,
    /// A soft limit above its hard limit, or no such resource (EINVAL).
    InvalidResourceLimits,
    /// Dependencies form a circle (ELOOP).
    CircularDependency,

    /// An argument makes no sense (EINVAL).
    InvalidArgument,
    /// Memory is short (ENOMEM).
    NoMemory,
    /// The caller has no child to wait for (ECHILD).
    NoChild,
    /// Not an open descriptor (EBADF).
    BadDescriptor,
    /// No descriptor left below the limit (EMFILE).
    TooManyFiles,
    /// Not allowed here: a child that has executed a program changes group, a nice value falls (EACCES).
    AccessDenied,
    /// Another thread of the process is executing a program or ending the process (EAGAIN).
    ExecInProgress,
    /// Not a program this kernel runs (ENOEXEC).
    NotExecutable,
    /// Arguments and environment are too large (E2BIG).
    ArgumentsTooLong,
    /// Not offered by this kernel (ENOSYS).
    NotSupported,
    /// A signal came first (EINTR).
    Interrupted,
    /// Would have to wait (EAGAIN).
    WouldBlock,
    /// A signal must be handled first; then the call is made again as if it had never been (ERESTARTNOINTR).
    Restart,
    /// A bad user address (EFAULT).
    BadAddress,
}
