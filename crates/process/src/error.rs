//! What can go wrong with a process operation.

/// Outcome of a process operation.
pub type Result<T> = core::result::Result<T, Error>;

/// Why an operation was refused. Each kind has one errno; the crate `syscall` holds the mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Error {
    /// No process, thread or group of that number (ESRCH).
    NoSuchProcess,
}
