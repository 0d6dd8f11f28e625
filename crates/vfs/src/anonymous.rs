//! Inode numbers of objects without a file system: pipes, sockets.

use core::sync::atomic::{AtomicU64, Ordering};

// An independent counter: relaxed is enough.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// A number no other anonymous object has.
pub(crate) fn next_ino() -> u64 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}
