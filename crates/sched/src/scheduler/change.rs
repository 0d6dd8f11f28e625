//! Changes to a living task: priority, affinity, what others lend it.

use alloc::sync::Arc;
use core::sync::atomic::Ordering::Relaxed;

use types::{CpuId, CpuSet};

use super::Scheduler;
use crate::SchedError;
use crate::entity::Schedulable;
use crate::placement::Placement;
use crate::priority::{Key, Policy, Urgency};
use crate::run_queue::Arrival;
use crate::state::Phase;

/// How often a task is followed that moves from queue to queue at the very same time. Whoever moves it after the change
/// was written heeds it, so giving up loses nothing.
const FOLLOW: usize = 8;

impl<T: Schedulable> Scheduler<T> {
    /// Gives a task another class, level, nice value or flavour, at once. Returns where a CPU has to choose anew.
    pub fn set_priority(&self, task: &Arc<T>, policy: Policy, here: CpuId) -> Option<Placement> {
        task.entity().set_policy(policy);
        self.refresh(task, here)
    }

    /// Lets a task run at `key` at least, since one of that urgency waits for it; `None` ends that. Returns where a CPU has to
    /// choose anew.
    pub fn lend(&self, task: &Arc<T>, key: Option<Key>, here: CpuId) -> Option<Placement> {
        task.entity().set_lent(key);
        self.refresh(task, here)
    }

    /// Confines a task to some CPUs. Returns where a CPU has to choose anew: the one it must leave, or the one it
    /// was moved to.
    ///
    /// # Errors
    /// `NoAllowedCpu`: none of them is online.
    pub fn set_affinity(&self, task: &Arc<T>, cpus: CpuSet, here: CpuId) -> Result<Option<Placement>, SchedError> {
        if cpus.0 & self.online_cpus().0 == 0 {
            return Err(SchedError::NoAllowedCpu);
        }
        task.entity().set_affinity(cpus);
        Ok(self.refresh(task, here))
    }

    /// Brings a task's place up to date with what is written in it.
    fn refresh(&self, task: &Arc<T>, here: CpuId) -> Option<Placement> {
        let entity = task.entity();
        for _ in 0..FOLLOW {
            match entity.phase() {
                // Whoever queues it next reads what is written.
                Phase::Blocked | Phase::Ended => return None,
                Phase::Queued | Phase::Running | Phase::Notified => {}
            }
            let cpu = entity.cpu();
            let (shared, mark) = (self.cpu(cpu).ok()?, self.mark(cpu));
            let mut queue = shared.queue.lock();
            let stays = self.usable(entity.affinity()).contains(cpu);
            if queue.contains(task) {
                if stays {
                    let urgency = queue.rekey(task)?;
                    return mark.ask(urgency).then_some(Placement { cpu, preempt: true });
                }
                let task = queue.take(task)?;
                let now = queue.clock();
                mark.publish_waiting(&queue);
                drop(queue);
                task.entity().apply();
                return Some(self.place(task, here, Arrival::Moved, now)).filter(|placement| placement.preempt);
            }
            if queue.runs(task) {
                let beaten = queue.refresh_current(task);
                // Told already, or not to be told during a rescue.
                let told = mark.threshold() == Urgency::MOST;
                let preempt = (beaten && !told) || !stays;
                if preempt {
                    mark.set_threshold(Urgency::MOST);
                    mark.resched.store(true, Relaxed);
                } else if !told {
                    mark.set_threshold(queue.threshold());
                }
                return preempt.then_some(Placement { cpu, preempt });
            }
        }
        None
    }
}
