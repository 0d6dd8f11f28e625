//! How a thread is to be scheduled, in the scheduler's terms.
//!
//! | kept with the thread (`process::Scheduling`) | `sched::Policy` |
//! |---|---|
//! | SCHED_FIFO, SCHED_RR (levels RealTime, Critical) | class System, level and rank by static priority; `crates/sched/src/linux.rs` |
//! | SCHED_OTHER, SCHED_BATCH (levels Low, Normal, High) | the class of the thread, as given or chosen, its middle level; nice is the weight in it |
//! | SCHED_IDLE (level Idle) | class Background, its last level |
//! | none: a task of the kernel's own | class System, its first level |
//!
//! All of it in one table: `docs/scheduling.md`.

use process::{PriorityClass, SchedulingPolicy};
use sched::{Class, Key, Level, Policy, Role};
use syscall::Thread;
use types::CpuSet;

use crate::executor::Attributes;

/// Those of a task of the kernel's own: above all that programs can have.
pub(crate) const KERNEL: Attributes =
    Attributes { policy: Policy::new(Class::System).at(Level::TOP), cpus: CpuSet(u64::MAX) };

/// How urgent a thread is by itself, less being more urgent: its key, and in the lowest byte its static priority, by which only those
/// who wait for the same lock are told apart.
pub(crate) fn urgency(thread: &Thread) -> u32 {
    let key = of(thread).policy.key();
    u32::from(key.number()) << 8 | u32::from(u8::MAX - thread.scheduling().rt_priority)
}

/// The same of an ordinary thread of a class.
pub(crate) const fn urgency_of(class: PriorityClass) -> u32 {
    let class = match class {
        PriorityClass::System => Class::System,
        PriorityClass::Interactive => Class::Interactive,
        PriorityClass::User => Class::User,
        PriorityClass::Service => Class::Service,
        PriorityClass::Background => Class::Background,
    };
    (Policy::new(class).key().number() as u32) << 8 | u8::MAX as u32
}

/// The key in an [`urgency`].
pub(crate) const fn key_of(urgency: u32) -> Key {
    Key::from_number((urgency >> 8) as u8)
}

/// Those of a thread's task.
pub(crate) fn of(thread: &Thread) -> Attributes {
    let kept = thread.scheduling();
    let role = match kept.class {
        PriorityClass::System => Role::Critical,
        PriorityClass::Interactive => Role::Foreground,
        PriorityClass::User => Role::Ordinary,
        PriorityClass::Service => Role::Service,
        PriorityClass::Background => Role::Job,
    };
    // What is kept was checked when it was set.
    let policy = sched::policy_from_linux(kept.policy.to_linux(), kept.rt_priority.into(), kept.nice, role)
        .unwrap_or(Policy::new(Class::User));
    let given = !kept.chosen && matches!(kept.policy, SchedulingPolicy::Other | SchedulingPolicy::Batch);
    let policy = if given { policy.given() } else { policy };
    let policy = match thread.process().cell().and_then(|cell| cell.awaited_by()) {
        Some(urgency) => policy.hastened(key_of(urgency)),
        None => policy,
    };
    Attributes { policy, cpus: thread.affinity() }
}
