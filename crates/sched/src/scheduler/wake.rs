//! A wake-up: claim the task, choose a CPU, queue it there.

use alloc::sync::Arc;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};

use types::{CpuId, CpuSet, Nanos};

use super::Scheduler;
use crate::entity::{Entity, Schedulable};
use crate::placement::{Placement, View};
use crate::priority::Urgency;
use crate::run_queue::Arrival;
use crate::state::Claim;

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
    Ended,
}

impl<T: Schedulable> Scheduler<T> {
    /// Makes a new task runnable, behind the others of its level. `here` is the CPU that makes it: its memory will be there;
    /// `now` is the time.
    #[doc(alias = "add_process")]
    pub fn add_task(&self, task: Arc<T>, here: CpuId, now: Nanos) -> Placement {
        let entity = task.entity();
        entity.set_cpu(here);
        entity.set_home_node(self.topology().node_of(here));
        self.note_confinement(entity);
        if entity.is_outdated() {
            entity.apply();
        }
        self.place(task, here, Arrival::New, now)
    }

    /// Wakes a task; called on CPU `here`. From any CPU, under any lock below [`sync::Rank::RUN_QUEUE`], any number of times. The
    /// time is asked for only if the task was blocked.
    #[doc(alias = "unblock_process")]
    #[inline]
    pub fn unblock(&self, task: &Arc<T>, here: CpuId, now: impl FnOnce() -> Nanos) -> Wake {
        match task.entity().state.wake() {
            Claim::Owned => Wake::Placed(self.place_woken(task.clone(), here, now())),
            other => self.no_wake(task, other),
        }
    }

    /// As [`Scheduler::unblock`], for who has a reference to spare.
    #[inline]
    pub fn unblock_owned(&self, task: Arc<T>, here: CpuId, now: impl FnOnce() -> Nanos) -> Wake {
        match task.entity().state.wake() {
            Claim::Owned => Wake::Placed(self.place_woken(task, here, now())),
            other => self.no_wake(&task, other),
        }
    }

    fn no_wake(&self, task: &Arc<T>, claim: Claim) -> Wake {
        match claim {
            Claim::Running => Wake::Running(task.entity().cpu()),
            Claim::Ended => Wake::Ended,
            Claim::Pending | Claim::Owned => Wake::Pending,
        }
    }

    #[inline]
    fn place_woken(&self, task: Arc<T>, here: CpuId, now: Nanos) -> Placement {
        let entity = task.entity();
        let slept = self.clock.load(Relaxed).saturating_sub(entity.since.get());
        if slept != 0 || entity.is_outdated() {
            entity.slept(Nanos(slept));
        }
        self.place(task, here, Arrival::Woken, now)
    }

    /// Queues a task that the caller owns where it fits best; it waits since `at`.
    #[inline]
    pub(super) fn place(&self, task: Arc<T>, here: CpuId, arrival: Arrival, at: Nanos) -> Placement {
        let online = self.online.load(Relaxed);
        if online & online.wrapping_sub(1) != 0 {
            return self.place_among(task, here, arrival, at);
        }
        // The only CPU there is does not sleep: it is executing this.
        let Ok(shared) = self.cpu(here) else { return Placement { cpu: here, preempt: false } };
        let mut queue = shared.queue.lock();
        let short = match arrival {
            Arrival::Woken => queue.push_woken(task, at),
            Arrival::New => {
                queue.begin_as_maker(task.entity());
                queue.push_new(task, at)
            }
            _ => Err(task),
        };
        let Err(task) = short else {
            // As urgent as what runs.
            self.mark(here).publish_waiting(&queue);
            return Placement { cpu: here, preempt: false };
        };
        let urgency = queue.push(task, arrival, at);
        self.mark(here).publish_waiting(&queue);
        Placement { cpu: here, preempt: self.mark(here).ask(urgency) }
    }

    /// [`Scheduler::place`] with a choice of CPUs.
    #[inline(never)]
    fn place_among(&self, task: Arc<T>, here: CpuId, arrival: Arrival, at: Nanos) -> Placement {
        let entity = task.entity();
        if arrival == Arrival::New
            && let Ok(shared) = self.cpu(here)
        {
            shared.queue.lock().begin_as_maker(entity);
        }
        let allowed = self.note_confinement(entity);
        let own = self.mark(here);
        let home = self.topology().node_of(here) == entity.home_node();
        if home && allowed.contains(here) && own.threshold() == Urgency::NONE && own.waiting.load(Relaxed) == 0 {
            // This CPU runs nothing and is about to look for something: nobody need be roused for one task of its node.
            if let Ok(shared) = self.cpu(here) {
                let mut queue = shared.queue.lock();
                queue.push(task, arrival, at);
                own.publish_waiting(&queue);
            }
            return Placement { cpu: here, preempt: false };
        }
        let last = entity.cpu();
        let (cpu, sleeper) = self.choose(entity, allowed, here);
        let Ok(shared) = self.cpu(cpu) else { return Placement { cpu, preempt: false } };
        let asked = {
            let mut queue = shared.queue.lock();
            let urgency = match arrival {
                Arrival::Woken => {
                    queue.stats.woken_from_afar += u64::from(cpu != here);
                    queue.stats.node_moves += u64::from(self.is_far(last, cpu));
                    queue.push_woken(task, at).map_or_else(|task| queue.push(task, arrival, at), |()| Urgency::NONE)
                }
                _ => queue.push(task, arrival, at),
            };
            self.mark(cpu).waiting.store(queue.waiting(), SeqCst);
            // A sleeper is on its way to take it; otherwise what runs may have to make room.
            sleeper.is_none() && self.mark(cpu).ask(urgency)
        };
        if let Some(sleeper) = sleeper {
            return Placement { cpu: sleeper, preempt: true };
        }
        // One that went to sleep since the look: either it sees what was queued, or its bit is seen here.
        let asleep = CpuSet(self.idle.load(SeqCst) & allowed.0);
        let mut late = core::iter::once(cpu).filter(|cpu| asleep.contains(*cpu)).chain(asleep.iter());
        if !asked && let Some(late) = late.find(|late| self.claim_idle(*late)) {
            return Placement { cpu: late, preempt: true };
        }
        Placement { cpu, preempt: asked }
    }

    /// CPUs that a task may use, of those in service; all, if none of them is. Of a task that the caller owns.
    pub(super) fn note_confinement(&self, entity: &Entity<T>) -> CpuSet {
        let online = self.online_cpus();
        if entity.is_confined() {
            entity.set_free();
            let usable = self.usable(entity.affinity());
            if usable == online {
                return online;
            }
            entity.set_confined();
            return usable;
        }
        online
    }

    /// A CPU for the task, and another one that was asleep, is the caller's to wake and will come to take the task.
    ///
    /// A task for which a CPU sleeps is queued with the waker if it may run there: if the waker blocks at once, as in a
    /// conversation, it goes on here where its message is in the cache; otherwise the sleeper takes it. Not so if the waker is on another
    /// node than the sleeper, which would not take a task that waits alone.
    fn choose(&self, entity: &Entity<T>, allowed: CpuSet, here: CpuId) -> (CpuId, Option<CpuId>) {
        let last = entity.cpu();
        let home = entity.home_node();
        let busy = |cpu: CpuId| (self.mark(cpu).threshold(), self.mark(cpu).waiting.load(Relaxed));
        let mut view = View { topology: self.topology(), allowed, idle: CpuSet::EMPTY, busy };
        for _ in 0..IDLE_TRIES {
            view.idle = CpuSet(self.idle.load(SeqCst));
            let Some(cpu) = view.idle_cpu(last, home) else { break };
            if self.claim_idle(cpu) {
                let with_waker = allowed.contains(here) && !self.is_far(here, cpu);
                return (if with_waker { here } else { cpu }, Some(cpu));
            }
        }
        (view.busy_cpu(entity.place().urgency(), last, home), None)
    }
}
