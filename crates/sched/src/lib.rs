//! The scheduler: which task runs next, on which CPU, for how long. Pure: time and CPU are arguments, decisions are returned.
//!
//! A task is a [`TaskId`] with a [`Policy`]: one of five classes, one of six levels in it, a nice value. On each CPU the most
//! urgent class goes first, then the most urgent level; within a level tasks run in order of arrival (System) or by
//! least virtual time, CPU time over the weight of nice (the others). No task waits longer than [`STARVATION_BOUND`] (see
//! `starvation.rs` for the argument). A sleeper rises and a hog falls by up to two levels (`class/`), and a task that others
//! wait for borrows their priority ([`Scheduler::donate`]).
//!
//! # How an executor uses it
//!
//! One [`Scheduler<T>`] in a static; `T` is what it keeps with a task (a lock around its future, its waker). At start:
//! [`Scheduler::set_topology`], then [`Scheduler::online`] on each CPU. Then, on each CPU with interrupts off:
//!
//! ```text
//! let mut switch = scheduler.schedule(cpu, now());
//! loop {
//!     if let Some(placement) = switch.moved { interrupt placement.cpu if placement.preempt }
//!     switch = match switch.next {
//!         Idle            => { sleep until an interrupt;                 scheduler.schedule(cpu, now()) }
//!         Run(id, slice)  => { timer in `slice`; poll the future of scheduler.payload(id);
//!             ready                        => drop the future;           scheduler.end_task(cpu, now())
//!             pending, it was preempted    =>                            scheduler.schedule(cpu, now())
//!             pending, it called yield     =>                            scheduler.yield_task(cpu, now())
//!             pending, it waits            =>                            scheduler.block(cpu, now()) }
//!     }
//! }
//! ```
//!
//! - Spawn: [`Scheduler::add_task`], put the future into the payload, [`Scheduler::unblock`].
//! - Wake (a `Waker` holds the [`TaskId`]): [`Scheduler::unblock`]; for [`Wake::Placed`] with `preempt`, send an interrupt to
//!   that CPU, or set a flag if it is this one. No other interrupts are needed.
//! - Interrupt in user mode, timer or another CPU's: [`Scheduler::tick`]. With `resched` the task's future yields as preempted; otherwise
//!   the timer is set to `slice`. With `kick`, that CPU gets an interrupt. While nobody waits ([`Scheduler::waiting`]) a yield
//!   needs no switch.
//! - Before [`Scheduler::block`] or [`Scheduler::end_task`] the executor lets go of the payload's lock: from then on another CPU
//!   may run the task, or another task may own the payload.
//!
//! # What is behind which lock
//!
//! Each CPU's queue has its own; an operation holds one at a time, and a switch takes that of its CPU only. A thief or a
//! balancer takes the victim's, lets go, and takes its own: in between it owns the task (Transit, `state.rs`). A task is on one CPU by its
//! state word alone, whatever queues do; a broken rule is [`SchedError::WrongState`].
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod age_list;
mod atomic;
mod chunks;
mod class;
mod error;
mod free_list;
mod inheritance;
mod latency;
mod level;
mod linux;
mod placement;
mod priority;
mod run_queue;
mod scheduler;
mod slot;
mod starvation;
mod state;
mod task_id;
mod topology;

#[cfg_attr(test, path = "steps_on.rs")]
#[cfg_attr(not(test), path = "steps_off.rs")]
mod steps;

#[cfg(all(loom, test))]
mod loom_tests;

pub use chunks::MAX_TASKS;
pub use class::Class;
pub use error::SchedError;
pub use latency::{CpuStats, Histogram, LATENCY_BUCKETS};
pub use linux::{Role, policy_from_linux};
pub use placement::Placement;
pub use priority::{Flavour, Key, LEVELS, Level, Policy, Weight};
pub use scheduler::{Decision, Scheduler, Switch, Tick, Wake};
pub use starvation::{PATIENCE_MAX, PATIENCE_MIN, STARVATION_BOUND, starvation_bound};
pub use state::Phase;
pub use task_id::TaskId;
pub use topology::{LOCAL_DISTANCE, MAX_NODES, Topology};
