//! What can go wrong with files; one errno each.

/// Outcome of an operation on files.
pub type Result<T> = core::result::Result<T, VfsError>;

/// Why an operation on files failed. Each variant is exactly one Linux errno.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VfsError {
    /// EPERM: needs to be the owner or a capability.
    NotPermitted,
    /// ENOENT: no such name.
    NotFound,
    /// ESRCH: the process a /proc file tells of is gone.
    NoProcess,
    /// EINTR: a signal came first.
    Interrupted,
    /// EIO.
    Io,
    /// ENXIO: no such device or address; no reader on a fifo.
    NoDeviceOrAddress,
    /// EBADF: the descriptor is not open for this.
    BadDescriptor,
    /// EAGAIN: would have to wait.
    WouldBlock,
    /// ENOMEM.
    NoMemory,
    /// EACCES: permission bits say no.
    PermissionDenied,
    /// EBUSY: mounted on, or a root.
    Busy,
    /// EEXIST.
    Exists,
    /// EXDEV: another mount.
    CrossDevice,
    /// ENODEV: the file cannot do this at all (mmap of a pipe), or an unknown file system.
    NoDevice,
    /// ENOTDIR.
    NotADirectory,
    /// EISDIR.
    IsADirectory,
    /// EINVAL.
    InvalidArgument,
    /// EMFILE.
    TooManyOpenFiles,
    /// ENFILE.
    FileTableOverflow,
    /// ENOTTY: no such ioctl here.
    NotATerminal,
    /// ETXTBSY: being executed, or open for writing.
    TextBusy,
    /// EFBIG: beyond the largest file, or the caller's limit (the caller also gets SIGXFSZ then).
    FileTooBig,
    /// ENOSPC.
    NoSpace,
    /// ESPIPE: a stream has no position.
    NotSeekable,
    /// EROFS.
    ReadOnly,
    /// EMLINK: link count at its maximum.
    TooManyLinks,
    /// EPIPE: nobody reads (the caller also gets SIGPIPE then).
    BrokenPipe,
    /// ERANGE: the caller's buffer is too small for the answer.
    OutOfRange,
    /// EDEADLK: waiting for that lock would never end.
    Deadlock,
    /// ENAMETOOLONG.
    NameTooLong,
    /// ENOLCK: no room for another record lock.
    NoLocks,
    /// ENOTEMPTY.
    NotEmpty,
    /// ELOOP: too many symbolic links.
    SymlinkLoop,
    /// EOVERFLOW: the value does not fit.
    Overflow,
    /// EILSEQ.
    BadSequence,
    /// EOPNOTSUPP.
    NotSupported,
    /// EFAULT: a mapped page beyond the end of its file (a fault there is SIGBUS), or a bad address.
    BadAddress,
    /// ENODATA: no such extended attribute.
    NoData,
    /// ESTALE: the node is not there any more. Never leaves this crate's path operations, which look again.
    Stale,
    /// ENOTSOCK.
    NotASocket,
    /// EDESTADDRREQ.
    DestinationRequired,
    /// EMSGSIZE.
    MessageSize,
    /// EPROTOTYPE.
    WrongProtocol,
    /// ENOPROTOOPT.
    NoProtocolOption,
    /// EPROTONOSUPPORT.
    ProtocolNotSupported,
    /// ESOCKTNOSUPPORT.
    SocketTypeNotSupported,
    /// EAFNOSUPPORT.
    AddressFamilyNotSupported,
    /// EADDRINUSE.
    AddressInUse,
    /// EADDRNOTAVAIL.
    AddressNotAvailable,
    /// ECONNABORTED.
    ConnectionAborted,
    /// ECONNRESET.
    ConnectionReset,
    /// ENOBUFS.
    NoBuffers,
    /// EISCONN.
    IsConnected,
    /// ENOTCONN.
    NotConnected,
    /// ESHUTDOWN.
    Shutdown,
    /// ETIMEDOUT.
    TimedOut,
    /// ECONNREFUSED.
    ConnectionRefused,
    /// EALREADY.
    AlreadyInProgress,
    /// EINPROGRESS.
    InProgress,
    /// ECANCELED.
    Cancelled,
    /// ETOOMANYREFS: descriptors in flight in sockets.
    TooManyReferences,
}
