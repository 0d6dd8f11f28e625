//! Changes to a living task: priority, affinity, inheritance.

use types::{CpuId, CpuSet, Nanos};

use super::Scheduler;
use crate::inheritance::Changed;
use crate::placement::Placement;
use crate::priority::Policy;
use crate::run_queue::Arrival;
use crate::state::Phase;
use crate::{SchedError, TaskId};

/// How often a task is followed that moves from queue to queue at the very same time. Whoever moves it after the change
/// was published heeds it, so giving up loses nothing.
const FOLLOW: usize = 8;

impl<T> Scheduler<T> {
    /// Gives a task another class, level, nice value or flavour. Returns where a CPU has to choose anew.
    ///
    /// # Errors
    /// `NoSuchTask`.
    pub fn set_priority(&self, id: TaskId, policy: Policy, now: Nanos) -> Result<Option<Placement>, SchedError> {
        self.slot(id).ok_or(SchedError::NoSuchTask)?.set_policy(policy);
        let changed = self.inheritance.lock().update(&self.slots, id);
        let placement = self.refresh(id, now)?;
        self.refresh_all(&changed, now)?;
        Ok(placement.filter(|placement| placement.preempt))
    }

    /// Confines a task to some CPUs. Returns where a CPU has to choose anew: the one it must leave, or the one it
    /// was moved to.
    ///
    /// # Errors
    /// `NoSuchTask`; `NoAllowedCpu`: none of them is online.
    pub fn set_affinity(&self, id: TaskId, cpus: CpuSet, now: Nanos) -> Result<Option<Placement>, SchedError> {
        if self.usable(cpus).is_empty() {
            return Err(SchedError::NoAllowedCpu);
        }
        self.slot(id).ok_or(SchedError::NoSuchTask)?.set_affinity(cpus);
        Ok(self.refresh(id, now)?.filter(|placement| placement.preempt))
    }

    /// `from`, which waits for `to`, lends it its priority until [`Scheduler::undonate`] or the next donation. A task lends
    /// to one other at a time, and borrows from any number. Returns CPUs that have to choose anew.
    ///
    /// # Errors
    /// `NoSuchTask`; `NoMemory`: nothing was lent then, and waiting works all the same.
    pub fn donate(&self, from: TaskId, to: TaskId, now: Nanos) -> Result<CpuSet, SchedError> {
        let changed = self.inheritance.lock().donate(&self.slots, from, to)?;
        self.refresh_all(&changed, now)
    }

    /// `from` takes back what it lent, if anything.
    ///
    /// # Errors
    /// `WrongState`: a bug of the scheduler.
    pub fn undonate(&self, from: TaskId, now: Nanos) -> Result<CpuSet, SchedError> {
        let changed = self.inheritance.lock().undonate(&self.slots, from);
        self.refresh_all(&changed, now)
    }

    /// Forgets all donations by and to a task that ends. Those it lent to fall back at their next switch.
    pub(super) fn forget_donations(&self, id: TaskId) {
        let Some(slot) = self.slots.get(id.index) else { return };
        // A task without a record lends nothing, and nobody may lend to one that ends: no lock for most.
        if slot.record.get() != crate::slot::NIL {
            let _ = self.inheritance.lock().forget(&self.slots, id);
        }
    }

    fn refresh_all(&self, changed: &Changed, now: Nanos) -> Result<CpuSet, SchedError> {
        let mut kick = CpuSet::EMPTY;
        for id in changed.iter() {
            // One that ended meanwhile needs no priority.
            match self.refresh(id, now) {
                Ok(Some(placement)) if placement.preempt => kick = kick.with(placement.cpu),
                Ok(_) | Err(SchedError::NoSuchTask) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(kick)
    }

    /// Brings a task's place up to date with what is written in its slot.
    fn refresh(&self, id: TaskId, now: Nanos) -> Result<Option<Placement>, SchedError> {
        let slot = self.slots.get(id.index).ok_or(SchedError::NoSuchTask)?;
        for _ in 0..FOLLOW {
            let phase = slot.state.publish(id.generation).ok_or(SchedError::NoSuchTask)?;
            match phase {
                Phase::Queued(cpu) => {
                    if let Some(placement) = self.refresh_queued(id, cpu, now)? {
                        return Ok(Some(placement));
                    }
                }
                Phase::Running(cpu) | Phase::Notified(cpu) => return self.refresh_running(id, cpu, now),
                // Whoever queues it next reads the slot then.
                Phase::Blocked | Phase::Transit | Phase::Free => return Ok(None),
            }
        }
        Ok(None)
    }

    /// `None`: it is not there any more.
    fn refresh_queued(&self, id: TaskId, cpu: CpuId, now: Nanos) -> Result<Option<Placement>, SchedError> {
        let shared = self.cpu(cpu)?;
        let slot = self.slots.get(id.index).ok_or(SchedError::NoSuchTask)?;
        {
            let mut queue = shared.queue.lock();
            if slot.state.load() != (id.generation, Phase::Queued(cpu)) {
                return Ok(None);
            }
            if self.usable(slot.affinity()).contains(cpu) {
                let key = queue.rekey(&self.slots, id.index, now)?;
                let preempt = queue.ask_preemption(key);
                shared.publish(&queue);
                return Ok(Some(Placement { cpu, preempt }));
            }
            queue.take(&self.slots, id.index)?;
            shared.publish(&queue);
        }
        self.place(id.index, Arrival::Moved, now).map(Some)
    }

    fn refresh_running(&self, id: TaskId, cpu: CpuId, now: Nanos) -> Result<Option<Placement>, SchedError> {
        let shared = self.cpu(cpu)?;
        let slot = self.slots.get(id.index).ok_or(SchedError::NoSuchTask)?;
        let mut queue = shared.queue.lock();
        if queue.current.is_none_or(|current| current.id != id) {
            // It left since, and whoever queued it read the slot.
            return Ok(None);
        }
        let beaten = queue.refresh_current(&self.slots, now);
        shared.publish(&queue);
        let preempt = beaten || !self.usable(slot.affinity()).contains(cpu);
        Ok(preempt.then_some(Placement { cpu, preempt }))
    }
}
