//! Processes and threads: what a process is, and every rule about them, without a machine.
//!
//! Nothing here runs, copies memory or knows a clock: operations are transitions over plain data that return what must
//! happen next (whom to wake, which signal to send to whom, what to drop once no lock is held). The kernel does it.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod clone;
mod effects;
mod error;
mod files;
pub mod futex;
mod filesystem;
mod limits;
mod priority;
mod process;
mod resources;
pub mod signal;
mod state;
mod status;
mod table;
#[cfg(test)]
mod testing;
mod thread;
mod tree;
mod usage;
mod user;

pub use clone::{CloneCall, CloneFlags, CloneRequest, InitRequest};
pub use effects::{Effects, SessionEnd};
pub use error::{ProcessError, Result};
pub use files::{ClosedFiles, FileTable, NR_OPEN, OnExec};
pub use filesystem::{FsContext, Places};
pub use limits::{
    Limit, LimitDecision, LimitPolicy, OwnLimit, OwnResource, RateMeter, Resource, ResourceLimits, UNLIMITED,
};
pub use priority::{
    NICE_MAX, NICE_MIN, PriorityClass, PriorityLevel, Scheduling, SchedulingPolicy, SchedulingRights, new_nice,
    new_policy,
};
pub use process::{Dumpable, IsolationLevel, Process, ProcessFlag};
pub use resources::Resources;
pub use state::{ProcessState, StateCell};
pub use status::{ChildEvent, ExitStatus};
pub use table::{PID_MAX, ProcessTable, TableConfig};
pub use thread::{FaultKind, Identity, NAME_LEN, SwitchKind, Thread};
pub use usage::{Counter, ResourceUsage, UsageSnapshot};
pub use user::User;

// Signals, futexes, images, timers.
