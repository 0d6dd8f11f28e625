//! How a thread is to be scheduled, in the scheduler's terms.
//!
//! | kept with the thread (`process::Scheduling`) | `sched::Policy` |
//! |---|---|
//! | SCHED_FIFO, SCHED_RR (levels RealTime, Critical) | class System, level and rank by static priority; `crates/sched/src/linux.rs` |
//! | SCHED_OTHER, SCHED_BATCH (levels Low, Normal, High) | the class of the thread, its middle level; nice is the weight in it |
//! | SCHED_IDLE (level Idle) | class Background, its last level |
//! | none: a task of the kernel's own | class System, its first level |

use process::PriorityClass;
use sched::{Class, Level, Policy, Role};
use syscall::Thread;
use types::CpuSet;

use crate::executor::Attributes;

/// Those of a task of the kernel's own: above all that programs can have.
pub(crate) const KERNEL: Attributes =
    Attributes { policy: Policy::new(Class::System).at(Level::TOP), cpus: CpuSet(u64::MAX) };

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
    Attributes { policy, cpus: thread.affinity() }
}
