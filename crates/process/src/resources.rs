//! What processes keep for other rooms without knowing it.

/// The types a kernel plugs into a process. A test uses plain numbers.
///
/// Cloning a value must be cheap and must not fail (a shared pointer or a small copy); dropping one may do work, and is
/// therefore never done under a lock of this crate.
pub trait Resources: Sized + Send + Sync + 'static {
    /// An address space; processes hold it in an `Arc`.
    type Space: Send + Sync;
    /// An open file; what a descriptor refers to.
    type File: Clone + Send + Sync;
    /// A place in the file tree: working directory, root, executable.
    type Path: Clone + Send + Sync;
    /// A controlling terminal.
    type Terminal: Clone + Send + Sync;
    /// The process's view of pids, mounts, host name and IPC objects.
    type Namespaces: Clone + Send + Sync;
    /// The chain of call filters that the thread is under.
    type Filter: Clone + Send + Sync;
}
