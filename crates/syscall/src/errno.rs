//! Every room's errors as Linux's numbers: the one place where that is decided, exhaustively.

use abi::Errno;
use memory::MemoryError;
use process::ProcessError;
use process::ipc::IpcError;
use process::signal::Restart;
use process::timers::TimerError;
use vfs::VfsError;

/// Outcome of a system call.
pub type SysResult<T = u64> = Result<T, SysError>;

/// Why a system call did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SysError {
    /// The program is told.
    Errno(Errno),
    /// A signal came first: what the program sees depends on the handler (signal(7), restarting).
    Restart(Restart),
}

impl From<Errno> for SysError {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<VfsError> for SysError {
    fn from(error: VfsError) -> Self {
        Self::Errno(match error {
            VfsError::NotPermitted => Errno::EPERM,
            VfsError::NotFound => Errno::ENOENT,
            VfsError::NoProcess => Errno::ESRCH,
            VfsError::Interrupted => Errno::EINTR,
            VfsError::Io => Errno::EIO,
            VfsError::NoDeviceOrAddress => Errno::ENXIO,
            VfsError::BadDescriptor => Errno::EBADF,
            VfsError::WouldBlock => Errno::EAGAIN,
            VfsError::NoMemory => Errno::ENOMEM,
            VfsError::PermissionDenied => Errno::EACCES,
            VfsError::Busy => Errno::EBUSY,
            VfsError::Exists => Errno::EEXIST,
            VfsError::CrossDevice => Errno::EXDEV,
            VfsError::NoDevice => Errno::ENODEV,
            VfsError::NotADirectory => Errno::ENOTDIR,
            VfsError::IsADirectory => Errno::EISDIR,
            VfsError::InvalidArgument => Errno::EINVAL,
            VfsError::TooManyOpenFiles => Errno::EMFILE,
            VfsError::FileTableOverflow => Errno::ENFILE,
            VfsError::NotATerminal => Errno::ENOTTY,
            VfsError::TextBusy => Errno::ETXTBSY,
            VfsError::FileTooBig => Errno::EFBIG,
            VfsError::NoSpace => Errno::ENOSPC,
            VfsError::NotSeekable => Errno::ESPIPE,
            VfsError::ReadOnly => Errno::EROFS,
            VfsError::TooManyLinks => Errno::EMLINK,
            VfsError::BrokenPipe => Errno::EPIPE,
            VfsError::OutOfRange => Errno::ERANGE,
            VfsError::Deadlock => Errno::EDEADLK,
            VfsError::NameTooLong => Errno::ENAMETOOLONG,
            VfsError::NoLocks => Errno::ENOLCK,
            VfsError::NotEmpty => Errno::ENOTEMPTY,
            VfsError::SymlinkLoop => Errno::ELOOP,
            VfsError::Overflow => Errno::EOVERFLOW,
            VfsError::BadSequence => Errno::EILSEQ,
            VfsError::NotSupported => Errno::EOPNOTSUPP,
            VfsError::BadAddress => Errno::EFAULT,
            VfsError::NoData => Errno::ENODATA,
            VfsError::Stale => Errno::ESTALE,
            VfsError::NotASocket => Errno::ENOTSOCK,
            VfsError::DestinationRequired => Errno::EDESTADDRREQ,
            VfsError::MessageSize => Errno::EMSGSIZE,
            VfsError::WrongProtocol => Errno::EPROTOTYPE,
            VfsError::NoProtocolOption => Errno::ENOPROTOOPT,
            VfsError::ProtocolNotSupported => Errno::EPROTONOSUPPORT,
            VfsError::SocketTypeNotSupported => Errno::ESOCKTNOSUPPORT,
            VfsError::AddressFamilyNotSupported => Errno::EAFNOSUPPORT,
            VfsError::AddressInUse => Errno::EADDRINUSE,
            VfsError::AddressNotAvailable => Errno::EADDRNOTAVAIL,
            VfsError::ConnectionAborted => Errno::ECONNABORTED,
            VfsError::ConnectionReset => Errno::ECONNRESET,
            VfsError::NoBuffers => Errno::ENOBUFS,
            VfsError::IsConnected => Errno::EISCONN,
            VfsError::NotConnected => Errno::ENOTCONN,
            VfsError::Shutdown => Errno::ESHUTDOWN,
            VfsError::TimedOut => Errno::ETIMEDOUT,
            VfsError::ConnectionRefused => Errno::ECONNREFUSED,
            VfsError::AlreadyInProgress => Errno::EALREADY,
            VfsError::InProgress => Errno::EINPROGRESS,
            VfsError::Cancelled => Errno::ECANCELED,
            VfsError::TooManyReferences => Errno::ETOOMANYREFS,
        })
    }
}

impl From<ProcessError> for SysError {
    fn from(error: ProcessError) -> Self {
        Self::Errno(match error {
            ProcessError::Restart => return Self::Restart(Restart::NoIntr),
            ProcessError::ProcessNotFound => Errno::ESRCH,
            ProcessError::InvalidProcessId => Errno::EINVAL,
            ProcessError::ProcessAlreadyExists => Errno::EEXIST,
            ProcessError::PermissionDenied => Errno::EPERM,
            ProcessError::ResourceExhausted => Errno::EAGAIN,
            ProcessError::InvalidState => Errno::EBUSY,
            ProcessError::InvalidPriority => Errno::EINVAL,
            ProcessError::DependencyError => Errno::EIO,
            ProcessError::ServiceNotFound => Errno::ENOENT,
            ProcessError::SignalNotSupported => Errno::EINVAL,
            ProcessError::ResourceLimitExceeded => Errno::EDQUOT,
            ProcessError::Timeout => Errno::ETIMEDOUT,
            ProcessError::SystemError => Errno::EIO,
            ProcessError::ServiceError => Errno::EIO,
            ProcessError::InvalidResourceLimits => Errno::EINVAL,
            ProcessError::CircularDependency => Errno::ELOOP,
            ProcessError::InvalidArgument => Errno::EINVAL,
            ProcessError::NoMemory => Errno::ENOMEM,
            ProcessError::NoChild => Errno::ECHILD,
            ProcessError::BadDescriptor => Errno::EBADF,
            ProcessError::TooManyFiles => Errno::EMFILE,
            ProcessError::AccessDenied => Errno::EACCES,
            ProcessError::ExecInProgress => Errno::EAGAIN,
            ProcessError::NotExecutable => Errno::ENOEXEC,
            ProcessError::ArgumentsTooLong => Errno::E2BIG,
            ProcessError::NotSupported => Errno::ENOSYS,
            ProcessError::Interrupted => Errno::EINTR,
            ProcessError::WouldBlock => Errno::EAGAIN,
            ProcessError::BadAddress => Errno::EFAULT,
        })
    }
}

impl From<IpcError> for SysError {
    fn from(error: IpcError) -> Self {
        Self::Errno(match error {
            IpcError::Invalid => Errno::EINVAL,
            IpcError::NotFound => Errno::ENOENT,
            IpcError::Exists => Errno::EEXIST,
            IpcError::AccessDenied => Errno::EACCES,
            IpcError::NotPermitted => Errno::EPERM,
            IpcError::NoSpace => Errno::ENOSPC,
            IpcError::NoMemory => Errno::ENOMEM,
            IpcError::Removed => Errno::EIDRM,
            IpcError::WouldBlock => Errno::EAGAIN,
            IpcError::NoMessage => Errno::ENOMSG,
            IpcError::TooBig => Errno::E2BIG,
            IpcError::OutOfRange => Errno::ERANGE,
            IpcError::NoSemaphore => Errno::EFBIG,
        })
    }
}

impl From<TimerError> for SysError {
    fn from(error: TimerError) -> Self {
        Self::Errno(match error {
            TimerError::NoTimer => Errno::EINVAL,
            TimerError::TooMany => Errno::EAGAIN,
        })
    }
}

impl From<MemoryError> for SysError {
    fn from(error: MemoryError) -> Self {
        Self::Errno(match error {
            MemoryError::NoMemory => Errno::ENOMEM,
            MemoryError::Invalid => Errno::EINVAL,
            MemoryError::Exists => Errno::EEXIST,
            MemoryError::AccessDenied => Errno::EACCES,
            MemoryError::Fault => Errno::EFAULT,
            MemoryError::NotPermitted => Errno::EPERM,
            MemoryError::Again => Errno::EAGAIN,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_kinds_of_process_error_have_one_errno_each() {
        let kinds = [
            (ProcessError::ProcessNotFound, Errno::ESRCH),
            (ProcessError::InvalidProcessId, Errno::EINVAL),
            (ProcessError::ProcessAlreadyExists, Errno::EEXIST),
            (ProcessError::PermissionDenied, Errno::EPERM),
            (ProcessError::ResourceExhausted, Errno::EAGAIN),
            (ProcessError::InvalidState, Errno::EBUSY),
            (ProcessError::InvalidPriority, Errno::EINVAL),
            (ProcessError::DependencyError, Errno::EIO),
            (ProcessError::ServiceNotFound, Errno::ENOENT),
            (ProcessError::SignalNotSupported, Errno::EINVAL),
            (ProcessError::ResourceLimitExceeded, Errno::EDQUOT),
            (ProcessError::Timeout, Errno::ETIMEDOUT),
            (ProcessError::SystemError, Errno::EIO),
            (ProcessError::ServiceError, Errno::EIO),
            (ProcessError::InvalidResourceLimits, Errno::EINVAL),
            (ProcessError::CircularDependency, Errno::ELOOP),
        ];
        for (kind, errno) in kinds {
            assert_eq!(SysError::from(kind), SysError::Errno(errno), "{kind:?}");
        }
    }
}
