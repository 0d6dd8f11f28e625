//! A CPU gives up its task and gets the next.

use core::sync::atomic::Ordering::SeqCst;

use types::{CpuId, CpuSet, Nanos};

use super::Scheduler;
use crate::placement::Placement;
use crate::run_queue::{Arrival, RunQueue};
use crate::state::Blocking;
use crate::{SchedError, TaskId};

/// Idle CPUs that a tick looks at for one that may take over a waiting task.
const KICK_TRIES: usize = 4;

/// What a CPU is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Run that task, for that long at most: then [`Scheduler::tick`].
    Run(TaskId, Nanos),
    /// Nothing to do: sleep until an interrupt, then [`Scheduler::schedule`] again. Interrupts stay off from this answer to the
    /// instruction that sleeps, or one may be missed.
    Idle,
}

/// The outcome of a switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Switch {
    /// What this CPU is to do.
    pub next: Decision,
    /// The task that ran was put elsewhere, as its affinity demands: [`Placement::preempt`] says whether to tell that CPU.
    pub moved: Option<Placement>,
}

/// The outcome of a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Tick {
    /// The task's time is over: [`Scheduler::schedule`] at once.
    pub resched: bool,
    /// If not: when to tick again.
    pub slice: Nanos,
    /// A CPU that sleeps though a task waits here that it could run: send it an interrupt.
    pub kick: Option<CpuId>,
}

enum Leaving {
    Preempted,
    Yielded,
    Blocked,
    Ended,
}

impl<T> Scheduler<T> {
    /// The current task, if there is one, was interrupted and could go on: chooses among it and those that wait.
    ///
    /// # Errors
    /// As for all four: `NoSuchCpu`, and `WrongState` for a call out of turn.
    pub fn schedule(&self, cpu: CpuId, now: Nanos) -> Result<Switch, SchedError> {
        self.switch(cpu, now, Leaving::Preempted)
    }

    /// The current task wants others of its level to run first.
    ///
    /// # Errors
    /// See [`Scheduler::schedule`].
    pub fn yield_task(&self, cpu: CpuId, now: Nanos) -> Result<Switch, SchedError> {
        self.switch(cpu, now, Leaving::Yielded)
    }

    /// The current task waits for a wake-up, unless it was woken since it began to run. It may run elsewhere before this
    /// returns: the caller has let go of all that belongs to it.
    ///
    /// # Errors
    /// See [`Scheduler::schedule`].
    #[doc(alias = "block_process")]
    pub fn block(&self, cpu: CpuId, now: Nanos) -> Result<Switch, SchedError> {
        self.switch(cpu, now, Leaving::Blocked)
    }

    /// The current task has ended. Its id is stale and its payload may be another's before this returns.
    ///
    /// # Errors
    /// See [`Scheduler::schedule`].
    pub fn end_task(&self, cpu: CpuId, now: Nanos) -> Result<Switch, SchedError> {
        if let Some(id) = self.current(cpu) {
            self.forget_donations(id);
        }
        self.switch(cpu, now, Leaving::Ended)
    }

    /// Accounts the current task, and says whether its time is over. Called at the end of the slice, and as often
    /// besides as the executor likes.
    ///
    /// # Errors
    /// `NoSuchCpu`.
    pub fn tick(&self, cpu: CpuId, now: Nanos) -> Result<Tick, SchedError> {
        let shared = self.cpu(cpu)?;
        let mut kick = None;
        let (resched, slice, balance) = {
            let mut queue = shared.queue.lock();
            queue.charge(&self.slots, now);
            if queue.waiting() > 0 {
                kick = self.sleeper_for(&queue, cpu, now);
            }
            let (resched, slice) = queue.renew(&self.slots, now);
            let balance = queue.balance_due(now);
            shared.publish(&queue);
            (resched, slice, balance)
        };
        let pulled = balance && self.balance(cpu, now)?;
        Ok(Tick { resched: resched || pulled, slice, kick })
    }

    fn switch(&self, cpu: CpuId, now: Nanos, how: Leaving) -> Result<Switch, SchedError> {
        let shared = self.cpu(cpu)?;
        let (mut homeless, mut ended) = (None, None);
        let picked = {
            let mut queue = shared.queue.lock();
            if let Some((leaver, slot)) = queue.leave(&self.slots, now) {
                let index = leaver.index;
                let again = match how {
                    Leaving::Preempted => {
                        slot.state.requeue(cpu)?;
                        Some(if leaver.rescue { Arrival::Rescued } else { Arrival::Preempted })
                    }
                    Leaving::Yielded => {
                        slot.state.requeue(cpu)?;
                        Some(Arrival::Yielded)
                    }
                    Leaving::Blocked => match slot.state.block(cpu)? {
                        Blocking::Blocked => None,
                        Blocking::Woken => {
                            slot.state.insert(cpu)?;
                            Some(Arrival::Woken)
                        }
                    },
                    Leaving::Ended => {
                        slot.state.finish(cpu)?;
                        ended = Some(index);
                        None
                    }
                };
                if let Some(arrival) = again {
                    // A look at what others may have changed comes after the state, as in `RunQueue::insert`.
                    let usable = self.usable(slot.affinity());
                    if usable.contains(cpu) || usable.is_empty() {
                        queue.arrive(&self.slots, index, slot, arrival, now)?;
                    } else {
                        slot.state.take(cpu)?;
                        homeless = Some((index, arrival));
                    }
                }
            } else if matches!(how, Leaving::Blocked | Leaving::Ended) {
                return Err(SchedError::WrongState);
            }
            let picked = queue.pick(&self.slots, now)?;
            shared.publish(&queue);
            picked
        };
        if let Some(index) = ended {
            self.release(index);
        }
        let moved = match homeless {
            Some((index, arrival)) => Some(self.place(index, arrival, now)?),
            None => None,
        };
        let picked = match picked {
            Some(picked) => {
                self.claim_idle(cpu);
                Some(picked)
            }
            None => self.look_for_work(cpu, now)?,
        };
        let next = picked.map_or(Decision::Idle, |(id, slice)| Decision::Run(id, slice));
        Ok(Switch { next, moved })
    }

    /// The own queue was empty: says so to the others, and then looks once more, here and at them.
    ///
    /// A task put here before the bit was visible is seen by the second look (the lock orders the two); one put here later
    /// finds the bit. One that waits elsewhere and was missed is found at that CPU's next tick.
    fn look_for_work(&self, cpu: CpuId, now: Nanos) -> Result<Option<(TaskId, Nanos)>, SchedError> {
        self.idle.fetch_or(CpuSet::single(cpu).0, SeqCst);
        let shared = self.cpu(cpu)?;
        let mut picked = {
            let mut queue = shared.queue.lock();
            let picked = queue.pick(&self.slots, now)?;
            shared.publish(&queue);
            picked
        };
        if picked.is_none()
            && let Some(index) = self.steal(cpu, now)?
        {
            let mut queue = shared.queue.lock();
            queue.insert(&self.slots, index, Arrival::Moved, now)?;
            queue.stats.steals += 1;
            picked = queue.pick(&self.slots, now)?;
            shared.publish(&queue);
        }
        if picked.is_some() {
            self.claim_idle(cpu);
        }
        Ok(picked)
    }

    /// A sleeping CPU that may run something that waits in `queue`; it is taken out of the idle set.
    fn sleeper_for(&self, queue: &RunQueue, cpu: CpuId, now: Nanos) -> Option<CpuId> {
        let idle = self.usable(self.idle_cpus()).without(cpu);
        idle.iter()
            .take(KICK_TRIES)
            .find(|idle| queue.candidate(&self.slots, *idle, now, |_| true).is_some())
            .filter(|idle| self.claim_idle(*idle))
    }
}
