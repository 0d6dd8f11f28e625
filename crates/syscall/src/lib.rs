//! The system-call gates: decode, validate, call the room that does the work, turn the answer into Linux's form.
//!
//! A call that cannot wait is a plain function and runs from the fast entry stub ([`dispatch_now`]); one that may wait is
//! tried there first and becomes an `async fn` of the thread only if it must (`dispatch`). What a program passes is
//! copied once, then checked; no lock is held over a copy or an `.await`.
//!
//! `calls/` has one file per family. The kernel around is reached through [`Platform`].
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod actor;
mod call;
mod caller;
mod calls;
mod classes;
mod clock;
mod detour;
mod devices;
mod dispatch;
mod errno;
mod filesystem;
mod lifecycle;
mod load;
mod loans;
mod lock_waits;
mod mapped_files;
mod missing;
mod namespaces;
mod native;
mod out_of_memory;
mod own_limits;
mod platform;
mod proc_nested;
mod proc_source;
mod ready;
mod resources;
mod restart;
mod services;
mod shortage;
mod system;
mod terminal;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod trap;
mod user;
mod wait;

pub use call::{Call, Waiting};
pub use caller::{Caller, Registers};
pub use calls::futex_short::{FutexPlace, FutexSleep, ShortFutex, short_futex};
pub use calls::ids::identity;
pub use calls::info::{RELEASE, VERSION};
pub use calls::pipe_io::{EmptyPipe, PipeRead, Short, is_short, short_now};
pub use calls::process::exit_group;
pub use clock::WallClock;
pub use dispatch::dispatch_now;
pub use errno::{SysError, SysResult};
pub use filesystem::{FileSystems, Machine, MachineInfo, REPORTS, RootError};
pub use lifecycle::InitProgram;
pub use load::LoadAverage;
pub use mapped_files::MappedFiles;
pub use missing::MissingCalls;
pub use namespaces::{NamespaceSet, UtsNamespace};
pub use native::CreatedProcesses;
pub use own_limits::{ViolationLog, held, memory_limit_in_copy};
pub use platform::{FpuState, Hardware, KernelTask, NewThread, OutOfMemory, Platform, VectorState};
pub use resources::{OpenFile, Process, Resources, Thread};
pub use restart::RestartBlock;
pub use services::ServiceRoom;
pub use system::System;
pub use trap::{
    Next, Served, Serving, attend, charge_fault, parked, return_value, serve, served, sigreturn, was_interrupted,
};
pub use user::UserMemory;
pub use wait::{Interrupted, Sleep, interruptible, until};
