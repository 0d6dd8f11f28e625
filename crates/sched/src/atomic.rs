//! The atomics of the state: loom's where loom explores it, the machine's elsewhere.

#[cfg(all(loom, test))]
pub(crate) use loom::sync::atomic::{AtomicU8, fence};

#[cfg(not(all(loom, test)))]
pub(crate) use core::sync::atomic::{AtomicU8, fence};

/// A full barrier after a swap.
#[cfg(all(loom, test))]
pub(crate) use loom::sync::atomic::fence as fence_after_swap;

/// A full barrier after a swap: on x86 the swap is one, so only the compiler has to be told.
#[cfg(not(all(loom, test)))]
pub(crate) use core::sync::atomic::compiler_fence as fence_after_swap;
