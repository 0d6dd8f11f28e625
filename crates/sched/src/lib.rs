//! The scheduler: which task runs next, on which CPU, for how long. Pure: time and CPU are arguments, decisions are returned.
//!
//! A task is any object that keeps an [`Entity`], held by `Arc`, with a [`Policy`]: one of five classes, one of six levels in it, a nice
//! value. On each CPU the most urgent class goes first, then the most urgent level; within a level tasks run by rank and in order of arrival
//! (System) or by least virtual time, CPU time over the weight of nice (the others). No task waits longer than [`STARVATION_BOUND`] (see
//! `starvation.rs` for the argument). A sleeper rises and a hog falls by up to two levels (`class/`), and a task that others
//! wait for may be lent their priority ([`Scheduler::lend`]).
//!
//! # How an executor uses it
//!
//! One [`Scheduler<T>`] in a static. At start: [`Scheduler::set_topology`], then [`Scheduler::online`] for each CPU. Then, on each CPU with
//! interrupts off, with its [`Local`] view:
//!
//! ```text
//! loop {
//!     let mut next = local.schedule(now());
//!     while let Some(it) = next {
//!         if it.slice_ns != 0 { timer in so many }
//!         poll the future of it.task;      // which took `ran`
//!         next = match {
//!             ready                        => drop the future;  local.end_task(it.task, ran)
//!             pending, it was preempted    =>                   local.preempt(it.task, ran)
//!             pending, it called yield     =>                   local.rotate(it.task, ran), or else local.yield_task(it.task)
//!             pending, it waits            =>                   local.block(it.task, ran), or else local.block_long(…) }
//!         if it was placed elsewhere { interrupt placement.cpu if placement.preempt }
//!     }
//!     if scheduler.enter_idle(cpu) { sleep until an interrupt; scheduler.leave_idle(cpu) }
//! }
//! ```
//!
//! - Spawn: [`Scheduler::add_task`]. Wake: [`Scheduler::unblock`]. For a [`Placement`] with `preempt`, send an interrupt to
//!   that CPU, or see to it that this one gives way if it is its own. No other interrupts are needed.
//! - Timer interrupt, every [`TICK`] while a task runs: [`Scheduler::tick`]. With `kick`, that CPU gets an interrupt.
//! - Before it returns to user mode after an interrupt, a task for which [`Scheduler::wants_switch`] yields as preempted. While nobody
//!   waits ([`Scheduler::waiting`]) a yield needs no switch.
//!
//! # What a switch costs
//!
//! Tasks are linked through themselves (`sync::Lanes`); no table is looked up, no memory allocated, no time asked for. Virtual time, credit
//! and level are settled when a quarter of a millisecond has run, the starvation bound and the slices are looked at by the tick. So a yield or
//! a block is: one lock, one queue left, one entered.
//!
//! # What is behind which lock
//!
//! Each CPU's queue has its own; an operation holds one at a time, and a switch takes that of its CPU only. A thief or a
//! balancer takes the victim's, lets go, and takes its own: in between it owns the task. A task is on one CPU by its
//! state alone (`state.rs`), whatever queues do.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod atomic;
mod class;
mod entity;
mod error;
mod latency;
mod level;
mod linux;
mod placement;
mod priority;
mod run_queue;
mod scheduler;
mod starvation;
mod state;
mod topology;

#[cfg(all(loom, test))]
mod loom_tests;

pub use class::Class;
pub use entity::{Entity, Schedulable};
pub use error::SchedError;
pub use latency::{CpuStats, Histogram, LATENCY_BUCKETS};
pub use linux::{Role, policy_from_linux};
pub use placement::Placement;
pub use priority::{Flavour, Key, LEVELS, Level, Policy, Weight};
pub use scheduler::{Blocked, Local, Next, Scheduler, Tick, Wake};
pub use starvation::{PATIENCE_MAX, PATIENCE_MIN, STARVATION_BOUND, TICK, starvation_bound};
pub use state::Phase;
pub use topology::{LOCAL_DISTANCE, MAX_NODES, Topology};
