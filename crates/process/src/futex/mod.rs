//! Futexes: threads that wait for a word in user memory to change (futex(2)).
//!
//! The table knows keys, not memory. A word is never touched under a bucket's lock, since reading it may fault; instead a
//! waiter queues first, looks at the word after, and leaves again if it does not hold the expected value:
//!
//! ```text
//! waiter:  queue (bucket lock) ─► look at the word ─► equal: sleep    else: leave; a wake-up got meanwhile is handed on
//! waker:   change the word (user mode) ─► wake (bucket lock)
//! ```
//!
//! Either the waker's turn at the bucket comes after the waiter's, then it finds it queued, or before it, then the waiter
//! sees the new value: no wake-up is lost, and one that met a leaving waiter goes to the next.

mod pi;
mod robust_list;
mod table;
mod wait;
mod wait_many;
mod wake_op;

#[cfg(test)]
mod tests;

pub use pi::{LockPi, PiError, PiThreads, PiUnlocked, PiWord};
pub use robust_list::{DeathAction, ROBUST_LIST_LIMIT, RobustEntry, RobustList, UserWords, death_action};
pub use table::{FutexKey, FutexTable, Requeued, Sleeper};
pub use wait::{FutexWait, WaitError};
pub use wait_many::WaitMany;
pub use wake_op::{BadWakeOp, WakeOp};

use abi::linux::general as linux;

/// Set in a PI futex or robust mutex that has waiters in the kernel.
pub const WAITERS: u32 = linux::FUTEX_WAITERS;
/// Set when the thread that held it ended.
pub const OWNER_DIED: u32 = linux::FUTEX_OWNER_DIED;
/// The owner's thread number.
pub const TID_MASK: u32 = linux::FUTEX_TID_MASK;
/// The bitset of calls that have none.
pub const MATCH_ANY: u32 = linux::FUTEX_BITSET_MATCH_ANY;
/// Most futexes of one `futex_waitv`.
pub const WAITV_MAX: usize = linux::FUTEX_WAITV_MAX as usize;
