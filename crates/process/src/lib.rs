//! Processes and threads: what a process is, and every rule about them, without a machine.
//!
//! Nothing here runs, copies memory or knows a clock: operations are transitions over plain data that return what must
//! happen next (whom to wake, which signal to send to whom, what to drop once no lock is held). The kernel does it.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

#[macro_use]
#[cfg_attr(feature = "process-debug", path = "trace_on.rs")]
#[cfg_attr(not(feature = "process-debug"), path = "trace_off.rs")]
mod trace;

mod cell;
mod cell_members;
mod cell_share;
mod clone;
mod credentials;
mod effects;
pub mod elf;
mod error;
mod exec;
mod exit;
mod files;
mod filesystem;
pub mod filter;
pub mod futex;
pub mod ipc;
mod job_control;
mod kill;
pub mod lending;
mod limits;
mod manager;
mod notify;
mod permission;
mod pid_namespace;
mod priority;
mod process;
mod resources;
pub mod script;
pub mod signal;
mod spawn;
pub mod stack;
mod state;
mod status;
mod table;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod thread;
pub mod timers;
mod tree;
mod usage;
mod user;
mod violations;
mod wait;

pub use cell::{Cell, CellBoard, CellLimits};
pub use cell_share::{CpuShare, PERIOD as CPU_PERIOD, Spans};
pub use clone::{CloneCall, CloneFlags, CloneRequest};
pub use credentials::{
    CapabilitySets, ExecCredentials, ExecRights, capset, credentials_for_exec, drop_bounding, lower_ambient,
    raise_ambient, set_keep_capabilities, set_securebits, setfsgid, setfsuid, setgid, setgroups, setregid, setresgid,
    setresuid, setreuid, setuid,
};
pub use effects::{Effects, SessionEnd};
pub use error::{ProcessError, Result};
pub use exec::{ExecCommit, Executed};
pub use exit::Departure;
pub use files::{ClosedFiles, FileTable, NR_OPEN, OnExec};
pub use filesystem::{FsContext, Places};
pub use job_control::Role;
pub use kill::KillTarget;
pub use limits::{
    Limit, LimitDecision, LimitPolicy, OWN_RESOURCE_COUNT, OwnLimit, OwnResource, RESOURCE_COUNT, RateMeter, Resource,
    ResourceLimits, UNLIMITED,
};
pub use manager::{
    Change, Host, Loaded, ProcessInfo, ProcessManager, ProcessManagerConfig, ProcessStats, ProcessSummary, Termination,
};
pub use permission::{may_inspect, may_limit, may_schedule, may_signal, within_walls};
pub use pid_namespace::{MAX_PID_LEVEL, PidNamespace};
pub use priority::{
    CRITICAL_RT_PRIORITY, NICE_MAX, NICE_MIN, PriorityClass, PriorityLevel, Scheduling, SchedulingPolicy,
    SchedulingRights, new_nice, new_policy,
};
pub use process::{Dumpable, ImageRanges, IsolationLevel, Process, ProcessFlag, ProcessTimers};
pub use resources::Resources;
pub use spawn::{CellRole, SpawnRequest};
pub use state::{ProcessState, StateCell};
pub use status::{ChildEvent, ExitStatus};
pub use table::{Broken, PID_MAX, ProcessTable, Sound, TableConfig};
pub use thread::{FaultKind, Identity, NAME_LEN, SwitchKind, Thread, thread_name};
pub use usage::{Counter, ResourceUsage, UsageSnapshot};
pub use user::User;
pub use violations::Violations;
pub use wait::{WaitOptions, WaitRequest, WaitResult, WaitSelector};

// Signals, futexes, images, timers.
