//! A wake-up: claim the task, choose a CPU, queue it there.

use core::sync::atomic::Ordering::{Relaxed, SeqCst};

use types::{CpuId, CpuSet, Nanos};

use super::Scheduler;
use crate::placement::{Placement, View};
use crate::priority::Key;
use crate::run_queue::Arrival;
use crate::slot::Slot;
use crate::state::Claim;
use crate::{SchedError, TaskId};

/// How often a waker that lost an idle CPU to another looks for the next.
const IDLE_TRIES: usize = 4;

/// What a wake-up did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Wake {
    /// It waits for a CPU now.
    Placed(Placement),
    /// It runs there and will look again before it blocks. If it may be in user mode meanwhile, and the wake-up was a
    /// signal, that CPU needs an interrupt.
    Running(CpuId),
    /// It was about to run anyway.
    Pending,
    /// It has ended.
    Stale,
}

impl<T> Scheduler<T> {
    /// Wakes a task. From any CPU, under any lock below [`sync::Rank::SCHED_TASKS`], any number of times.
    ///
    /// # Errors
    /// `WrongState`: a bug of the scheduler.
    #[doc(alias = "unblock_process")]
    pub fn unblock(&self, id: TaskId, now: Nanos) -> Result<Wake, SchedError> {
        let Some(slot) = self.slots.get(id.index) else { return Ok(Wake::Stale) };
        Ok(match slot.state.wake(id.generation) {
            Claim::Owned => Wake::Placed(self.place(id.index, Arrival::Woken, now)?),
            Claim::Running(cpu) => Wake::Running(cpu),
            Claim::Pending => Wake::Pending,
            Claim::Stale => Wake::Stale,
        })
    }

    /// Queues a task in Transit where it fits best.
    pub(super) fn place(&self, index: u32, arrival: Arrival, now: Nanos) -> Result<Placement, SchedError> {
        let slot = self.slots.get(index).ok_or(SchedError::WrongState)?;
        let (cpu, was_idle) = self.choose(slot);
        let shared = self.cpu(cpu)?;
        let (asked, runs_nothing) = {
            let mut queue = shared.queue.lock();
            let key = queue.insert(&self.slots, index, arrival, now)?;
            let outcome = (queue.ask_preemption(key), queue.current.is_none());
            shared.publish(&queue);
            outcome
        };
        // A CPU that runs nothing and is not in the idle set is on its way to look into its queue.
        let preempt = was_idle || asked || (runs_nothing && self.claim_idle(cpu));
        Ok(Placement { cpu, preempt })
    }

    /// A CPU for the task, and whether it was asleep and is the caller's to wake.
    fn choose(&self, slot: &Slot) -> (CpuId, bool) {
        let usable = self.usable(slot.affinity());
        // CPUs never go offline, and an affinity without an online CPU is refused; yet rather anywhere than nowhere.
        let allowed = if usable.is_empty() { self.online_cpus() } else { usable };
        let (last, home) = (slot.last_cpu(), slot.home_node());
        let busy = |cpu: CpuId| {
            let Ok(shared) = self.cpu(cpu) else { return (None, u32::MAX) };
            let running = shared.running.load(Relaxed);
            ((running != super::NOTHING).then(|| Key::from_number(running)), shared.waiting.load(Relaxed))
        };
        let mut view = View { topology: self.topology(), allowed, idle: CpuSet::EMPTY, busy };
        for _ in 0..IDLE_TRIES {
            view.idle = CpuSet(self.idle.load(SeqCst));
            let Some(cpu) = view.idle_cpu(last, home) else { break };
            if self.claim_idle(cpu) {
                return (cpu, true);
            }
        }
        (view.busy_cpu(slot.effective_key(), last, home), false)
    }
}
