//! What `restart_syscall` needs to go on with a call that a signal without handler interrupted.

use sync::Moment;
use types::Nanos;

/// An interrupted call that goes on with the time that is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartBlock {
    /// nanosleep and relative clock_nanosleep.
    Sleep {
        /// Monotonic end.
        deadline: Nanos,
        /// Where the rest is stored if it is interrupted again; 0 for nowhere.
        remaining: u64,
    },
    /// poll with a timeout.
    Poll {
        /// Array of `struct pollfd`.
        fds: u64,
        /// Its length.
        count: u64,
        /// Monotonic end.
        deadline: Option<Nanos>,
    },
    /// FUTEX_WAIT with a relative timeout.
    Futex {
        /// Address of the word.
        address: u64,
        /// The operation with its flags.
        operation: u32,
        /// Expected value.
        value: u32,
        /// Its end.
        deadline: Moment,
        /// Wake-up mask.
        bitset: u32,
    },
}
