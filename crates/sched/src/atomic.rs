//! The atomics of the state word: loom's where loom explores it, the machine's elsewhere.

#[cfg(all(loom, test))]
pub(crate) use loom::sync::atomic::AtomicU64;

#[cfg(not(all(loom, test)))]
pub(crate) use core::sync::atomic::AtomicU64;
