//! What can go wrong with memory.

/// Why an operation on memory was refused. Each variant is one errno.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryError {
    /// No frame, no room in the address space, a limit reached, or a hole where pages were asked for (`ENOMEM`).
    NoMemory,
    /// A bad address, length or combination (`EINVAL`).
    Invalid,
    /// Something is mapped there already (`EEXIST`).
    Exists,
    /// The access is not allowed for this object (`EACCES`).
    AccessDenied,
    /// A user address that is not mapped, or not for this access (`EFAULT`).
    Fault,
    /// Not possible for this user (`EPERM`).
    NotPermitted,
    /// Not possible right now (`EAGAIN`).
    Again,
}
