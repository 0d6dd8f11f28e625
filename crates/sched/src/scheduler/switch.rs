//! A CPU gives up its task and gets the next.

use alloc::sync::Arc;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};

use sync::SpinGuard;
use types::{CpuId, CpuSet, Nanos};

use super::{Mark, PerCpu, Scheduler};
use crate::SchedError;
use crate::entity::Schedulable;
use crate::placement::Placement;
use crate::priority::Urgency;
use crate::run_queue::{Arrival, RunQueue};

/// Idle CPUs that a tick looks at for one that may take over a waiting task.
const KICK_TRIES: usize = 4;

/// What a CPU runs next.
pub struct Next<T> {
    /// The task. Its state says that it runs.
    pub task: Arc<T>,
    /// Call [`Scheduler::tick`] after that many nanoseconds at the latest; 0: the next ordinary tick is early enough.
    pub slice_ns: u32,
}

/// Why a block could not go the short way.
pub enum Blocked<T> {
    /// The task is blocked, and the CPU has to look for another.
    Idle,
    /// The task was woken meanwhile.
    Not(Arc<T>),
}

/// The outcome of a tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Tick {
    /// The task's time is over.
    pub resched: bool,
    /// Tick again after that time at the latest.
    pub again: Nanos,
    /// A CPU that sleeps though a task waits that it could run: send it an interrupt.
    pub kick: Option<CpuId>,
}

/// A CPU's own view of the scheduler, for its loop: what it gives up and gets. Its methods are for that CPU alone.
pub struct Local<'a, T: Schedulable> {
    scheduler: &'a Scheduler<T>,
    shared: &'a PerCpu<T>,
    mark: &'a Mark,
    cpu: CpuId,
}

impl<T: Schedulable> Scheduler<T> {
    /// The view of CPU `cpu`.
    ///
    /// # Errors
    /// `NoSuchCpu`.
    pub fn local(&self, cpu: CpuId) -> Result<Local<'_, T>, SchedError> {
        Ok(Local { scheduler: self, shared: self.cpu(cpu)?, mark: self.mark(cpu), cpu })
    }

    /// The clock ticks on a CPU whose current task, if there is one, has run for `ran`. Called every [`TICK`](crate::TICK) while it runs
    /// something, and as often besides as the executor likes.
    pub fn tick(&self, cpu: CpuId, now: Nanos, ran: Nanos) -> Tick {
        let Ok(shared) = self.cpu(cpu) else { return Tick::default() };
        self.note_time(now);
        let mut kick = None;
        let (balance, again) = {
            let mut queue = shared.queue.lock();
            if queue.tick(now, ran) {
                self.mark(cpu).resched.store(true, Relaxed);
            }
            if queue.waiting() > 0 {
                kick = self.sleeper_for(&queue, cpu);
            }
            self.mark(cpu).load.store(queue.load(), Relaxed);
            (queue.balance_due(now), queue.next_tick())
        };
        if balance && self.online_cpus().len() > 1 {
            self.balance(cpu, now);
        }
        Tick { resched: self.wants_switch(cpu), again, kick }
    }

    /// A sleeping CPU that may run something that waits in `queue`; it is taken out of the idle set.
    fn sleeper_for(&self, queue: &RunQueue<T>, cpu: CpuId) -> Option<CpuId> {
        let idle = CpuSet(self.idle_cpus().0 & self.online.load(Relaxed)).without(cpu);
        idle.iter().take(KICK_TRIES).find(|idle| queue.could_give(*idle)).filter(|idle| self.claim_idle(*idle))
    }

    /// Marks a CPU asleep, unless there is work for it after all; whether it may sleep. Interrupts stay off from this answer to the
    /// instruction that sleeps, or one may be missed.
    pub fn enter_idle(&self, cpu: CpuId) -> bool {
        // Whoever queues a task looks at the idle set after that; this CPU looks at the queues after it has joined the set.
        self.idle.fetch_or(CpuSet::single(cpu).0, SeqCst);
        let work = self.online_cpus().iter().any(|other| {
            let waiting = self.mark(other).waiting.load(SeqCst);
            let gives = || self.cpu(other).is_ok_and(|shared| shared.queue.lock().could_give(cpu));
            waiting != 0 && (other == cpu || self.takes_at_once(cpu, other, waiting) && gives())
        });
        if work {
            self.leave_idle(cpu);
        }
        !work
    }

    /// A CPU that was asleep looks for work again.
    pub fn leave_idle(&self, cpu: CpuId) {
        self.claim_idle(cpu);
    }
}

impl<T: Schedulable> Local<'_, T> {
    /// This CPU runs nothing: what is it to run? `now` is the time.
    pub fn schedule(&self, now: Nanos) -> Option<Next<T>> {
        self.scheduler.note_time(now);
        let mut queue = self.shared.queue.lock();
        queue.set_clock(now);
        self.next(queue)
    }

    /// The current task, after a run of `ran`, could go on but is to give way: its slice is over, or somebody is more urgent.
    /// With what runs next, says where it was put if it may not run here any more.
    pub fn preempt(&self, task: Arc<T>, ran: Nanos) -> (Option<Next<T>>, Option<Placement>) {
        let mut queue = self.shared.queue.lock();
        queue.leave(task.entity(), ran);
        let arrival = queue.arrival_of_preempted(task.entity());
        self.requeue(queue, task, arrival)
    }

    /// The current task wants others of its level to run first: the short way, which serves most. It returns what runs next, or else
    /// the task for [`Local::yield_task`].
    ///
    /// # Errors
    /// The task: it has to go the long way.
    #[inline]
    pub fn rotate(&self, task: Arc<T>, ran: Nanos) -> Result<Arc<T>, Arc<T>> {
        let mut queue = self.shared.queue.lock();
        // As many wait as before, and what runs is as urgent.
        if queue.leave(task.entity(), ran) { queue.rotate(task) } else { Err(task) }
    }

    /// The current task, which could not [`Local::rotate`], goes behind the others of its level.
    #[doc(alias = "yield")]
    pub fn yield_task(&self, task: Arc<T>) -> (Option<Next<T>>, Option<Placement>) {
        self.requeue(self.shared.queue.lock(), task, Arrival::Yielded)
    }

    /// The current task waits for a wake-up, unless it was woken since it began to run. It may run elsewhere before this
    /// returns: the caller has let go of all that belongs to it. The short way, which serves most: it returns what runs next.
    ///
    /// # Errors
    /// What has to be done otherwise.
    #[doc(alias = "block_process")]
    #[inline]
    pub fn block(&self, task: Arc<T>, ran: Nanos) -> Result<Arc<T>, Blocked<T>> {
        let mut queue = self.shared.queue.lock();
        let entity = task.entity();
        queue.leave(entity, ran);
        entity.since.set(queue.clock().0);
        // Before others may own it.
        queue.note_gone(entity);
        if !entity.state.block() {
            queue.note_back(entity);
            return Err(Blocked::Not(task));
        }
        let next = queue.pop_front_queue().ok_or(Blocked::Idle);
        self.mark.publish_waiting(&queue);
        drop(queue);
        // Not under the lock: it may be the last reference.
        drop(task);
        next
    }

    /// The long way of [`Local::block`].
    pub fn block_long(&self, blocked: Blocked<T>) -> (Option<Next<T>>, Option<Placement>) {
        let queue = self.shared.queue.lock();
        match blocked {
            Blocked::Idle => (self.next(queue), None),
            Blocked::Not(task) => self.requeue(queue, task, Arrival::Woken),
        }
    }

    /// The current task has ended.
    pub fn end_task(&self, task: Arc<T>, ran: Nanos) -> Option<Next<T>> {
        let mut queue = self.shared.queue.lock();
        queue.leave(task.entity(), ran);
        queue.note_end(task.entity());
        queue.note_gone(task.entity());
        task.entity().state.end();
        let next = match queue.pop_front_queue() {
            Some(task) => {
                self.mark.publish_waiting(&queue);
                drop(queue);
                Some(Next { task, slice_ns: 0 })
            }
            None => self.next(queue),
        };
        drop(task);
        next
    }

    /// Puts the current task back into a queue, the long way.
    #[inline(never)]
    fn requeue(
        &self,
        mut queue: SpinGuard<'_, RunQueue<T>>,
        task: Arc<T>,
        arrival: Arrival,
    ) -> (Option<Next<T>>, Option<Placement>) {
        let entity = task.entity();
        entity.state.requeue();
        if entity.is_confined() && !self.scheduler.note_confinement(entity).contains(self.cpu) {
            queue.note_gone(entity);
            queue.note_idle();
            let now = queue.clock();
            drop(queue);
            let placement = self.scheduler.place(task, self.cpu, arrival, now);
            return (self.next(self.shared.queue.lock()), Some(placement));
        }
        queue.put_back(task, arrival);
        (self.next(queue), None)
    }

    /// Chooses, the long way, or steals.
    #[inline(never)]
    fn next(&self, mut queue: SpinGuard<'_, RunQueue<T>>) -> Option<Next<T>> {
        match queue.pick() {
            Some((task, slice_ns)) => {
                self.publish(&queue);
                Some(Next { task, slice_ns })
            }
            None => {
                queue.note_idle();
                self.mark.publish_waiting(&queue);
                self.mark.set_threshold(Urgency::NONE);
                let now = queue.clock();
                drop(queue);
                self.steal(now)
            }
        }
    }

    #[inline]
    fn publish(&self, queue: &RunQueue<T>) {
        self.mark.publish_waiting(queue);
        self.mark.set_threshold(queue.threshold());
        self.mark.resched.store(false, Relaxed);
    }

    #[cold]
    fn steal(&self, now: Nanos) -> Option<Next<T>> {
        if self.scheduler.online_cpus().len() < 2 {
            return None;
        }
        let stolen = self.scheduler.steal(self.cpu, now)?;
        let far = self.scheduler.is_far(stolen.entity().cpu(), self.cpu);
        let mut queue = self.shared.queue.lock();
        queue.stats.node_moves += u64::from(far);
        // Something may have come here meanwhile: then that is chosen by order, with what was stolen.
        queue.stats.steals += 1;
        queue.push(stolen, Arrival::Moved, now);
        let (task, slice_ns) = queue.pick()?;
        self.publish(&queue);
        Some(Next { task, slice_ns })
    }
}
