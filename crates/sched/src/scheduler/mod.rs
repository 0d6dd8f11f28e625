//! All CPUs together: each queue behind its own lock, and what CPUs tell each other without one.

mod balance;
mod change;
mod switch;
mod wake;

#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};

use sync::{Once, Rank, SpinLock};
use types::{CpuId, CpuSet, MAX_CPUS, Nanos};

pub use switch::{Decision, Switch, Tick};
pub use wake::Wake;

use crate::chunks::{Chunks, new_chunk};
use crate::free_list::FreeList;
use crate::inheritance::Inheritance;
use crate::latency::CpuStats;
use crate::priority::{KEYS, Key, Policy};
use crate::run_queue::RunQueue;
use crate::slot::{Slot, Slots};
use crate::state::{Phase, Violation};
use crate::{SchedError, TaskId, Topology};

/// Published in place of a key by a CPU that runs nothing.
const NOTHING: u8 = KEYS as u8;

/// The scheduler. `T` is what the executor keeps with each task, made once per slot and used by one task after another.
///
/// No lock is shared between CPUs on the way of a switch. Locks: each CPU's queue ([`Rank::RUN_QUEUE`], one at a time), the free
/// slots and the donations ([`Rank::SCHED_TASKS`], neither held while another is taken).
pub struct Scheduler<T = ()> {
    slots: Slots,
    payloads: Chunks<T>,
    free: SpinLock<FreeList>,
    inheritance: SpinLock<Inheritance>,
    cpus: [Once<Box<PerCpu>>; MAX_CPUS],
    topology: Once<Topology>,
    online: AtomicU64,
    /// CPUs that found nothing to do; whoever clears a bit wakes that CPU, so that there is one interrupt per sleeper.
    idle: AtomicU64,
    tasks: AtomicU32,
}

/// One CPU: its queue, and copies of some numbers for others' eyes, written under the lock.
#[repr(align(64))]
struct PerCpu {
    queue: SpinLock<RunQueue>,
    waiting: AtomicU32,
    load: AtomicU64,
    running: AtomicU8,
}

impl PerCpu {
    fn publish(&self, queue: &RunQueue) {
        self.waiting.store(queue.waiting(), Relaxed);
        self.load.store(queue.load(), Relaxed);
        // A rescue shows as the most urgent of all: it is not to be preempted.
        let running = queue.current.map_or(NOTHING, |current| if current.rescue { 0 } else { current.key.number() });
        self.running.store(running, Relaxed);
    }
}

impl<T> Scheduler<T> {
    /// A scheduler without CPUs and tasks.
    pub const fn new() -> Self {
        Self {
            slots: Chunks::new(),
            payloads: Chunks::new(),
            free: SpinLock::new(Rank::SCHED_TASKS, FreeList::new()),
            inheritance: SpinLock::new(Rank::SCHED_TASKS, Inheritance::new()),
            cpus: [const { Once::new() }; MAX_CPUS],
            topology: Once::new(),
            online: AtomicU64::new(0),
            idle: AtomicU64::new(0),
            tasks: AtomicU32::new(0),
        }
    }

    /// Says how the machine is built; once, before the first [`Scheduler::online`]. Else it is flat.
    pub fn set_topology(&self, topology: Topology) {
        self.topology.call_once(|| topology);
    }

    /// Takes a CPU into service.
    ///
    /// # Errors
    /// `NoMemory`: for its queue. `NoSuchCpu`: a number too large.
    pub fn online(&self, cpu: CpuId) -> Result<(), SchedError> {
        let place = self.cpus.get(cpu.index()).ok_or(SchedError::NoSuchCpu)?;
        self.topology.call_once(Topology::flat);
        let queue = SpinLock::new(Rank::RUN_QUEUE, RunQueue::new(cpu)?);
        let (waiting, load, running) = (AtomicU32::new(0), AtomicU64::new(0), AtomicU8::new(NOTHING));
        place.call_once(|| Box::new(PerCpu { queue, waiting, load, running }));
        self.online.fetch_or(CpuSet::single(cpu).0, SeqCst);
        Ok(())
    }

    /// CPUs in service.
    pub fn online_cpus(&self) -> CpuSet {
        CpuSet(self.online.load(Relaxed))
    }

    /// CPUs without work.
    pub fn idle_cpus(&self) -> CpuSet {
        CpuSet(self.idle.load(Relaxed))
    }

    /// Tasks that have not ended.
    pub fn tasks(&self) -> u32 {
        self.tasks.load(Relaxed)
    }

    /// Tasks waiting for that CPU; a look without a lock, to find out whether a yield is worth a switch.
    #[inline]
    pub fn waiting(&self, cpu: CpuId) -> u32 {
        self.cpu(cpu).map_or(0, |shared| shared.waiting.load(Relaxed))
    }

    /// Tasks that run or wait for a CPU, for the load average.
    pub fn runnable(&self) -> u32 {
        self.online_cpus()
            .iter()
            .filter_map(|cpu| self.cpu(cpu).ok())
            .map(|shared| shared.waiting.load(Relaxed) + u32::from(shared.running.load(Relaxed) != NOTHING))
            .sum()
    }

    /// What the executor keeps with a task.
    #[inline]
    pub fn payload(&self, id: TaskId) -> Option<&T> {
        self.slot(id)?;
        self.payloads.get(id.index)
    }

    /// Where a task stands, for a look; `None` once it ended.
    pub fn phase(&self, id: TaskId) -> Option<Phase> {
        self.slot(id).map(|slot| slot.state.load().1)
    }

    /// CPU time of a task up to the last time it was accounted (switch or tick).
    pub fn cpu_time(&self, id: TaskId) -> Option<Nanos> {
        self.slot(id).map(|slot| Nanos(slot.runtime.get()))
    }

    /// What a task asked for.
    pub fn policy(&self, id: TaskId) -> Option<Policy> {
        self.slot(id).map(Slot::policy)
    }

    /// The CPUs a task may use, online or not.
    pub fn affinity(&self, id: TaskId) -> Option<CpuSet> {
        self.slot(id).map(Slot::affinity)
    }

    /// Key with boost, decay and inheritance, as of a moment ago.
    pub fn effective_key(&self, id: TaskId) -> Option<Key> {
        self.slot(id).map(Slot::effective_key)
    }

    /// The task that a CPU runs.
    pub fn current(&self, cpu: CpuId) -> Option<TaskId> {
        self.cpu(cpu).ok()?.queue.lock().current.map(|current| current.id)
    }

    /// A CPU's counters.
    pub fn cpu_stats(&self, cpu: CpuId) -> Option<CpuStats> {
        let shared = self.cpu(cpu).ok()?;
        let queue = shared.queue.lock();
        Some(CpuStats { waiting: queue.waiting(), ..queue.stats })
    }

    #[inline]
    fn cpu(&self, cpu: CpuId) -> Result<&PerCpu, SchedError> {
        self.cpus.get(cpu.index()).and_then(Once::get).map(|shared| &**shared).ok_or(SchedError::NoSuchCpu)
    }

    #[inline]
    fn slot(&self, id: TaskId) -> Option<&Slot> {
        let slot = self.slots.get(id.index)?;
        let (generation, phase) = slot.state.load();
        (generation == id.generation && phase != Phase::Free).then_some(slot)
    }

    fn topology(&self) -> &Topology {
        self.topology.call_once(Topology::flat)
    }

    /// The online CPUs among `cpus`.
    fn usable(&self, cpus: CpuSet) -> CpuSet {
        CpuSet(cpus.0 & self.online.load(Relaxed))
    }

    /// Takes a CPU out of the idle set; whether it was in.
    fn claim_idle(&self, cpu: CpuId) -> bool {
        let bit = CpuSet::single(cpu);
        // The look first: no write to the shared word while nobody sleeps.
        self.idle.load(Relaxed) & bit.0 != 0 && self.idle.fetch_and(!bit.0, SeqCst) & bit.0 != 0
    }

    fn release(&self, index: u32) {
        self.free.lock().push(index);
        self.tasks.fetch_sub(1, Relaxed);
    }
}

impl<T: Default> Scheduler<T> {
    /// Makes a task, blocked: [`Scheduler::unblock`] starts it. `creator` is the CPU that makes it: its memory will be there.
    ///
    /// # Errors
    /// `NoMemory`, `TooManyTasks`; `NoAllowedCpu`: none of `affinity` is online.
    #[doc(alias = "add_process")]
    pub fn add_task(&self, policy: Policy, affinity: CpuSet, creator: CpuId, now: Nanos) -> Result<TaskId, SchedError> {
        let usable = self.usable(affinity);
        let first = usable.iter().next().ok_or(SchedError::NoAllowedCpu)?;
        let index = self.free_slot()?;
        let slot = self.slots.get(index).ok_or(SchedError::WrongState)?;
        let last = if usable.contains(creator) { creator } else { first };
        slot.reset(policy, affinity, last, self.topology().node_of(last), now);
        let generation = slot.state.create()?;
        self.tasks.fetch_add(1, Relaxed);
        Ok(TaskId { index, generation })
    }

    /// Undoes [`Scheduler::add_task`] for a task that was not woken yet.
    ///
    /// # Errors
    /// `WrongState`: it is not blocked.
    pub fn cancel_task(&self, id: TaskId) -> Result<(), SchedError> {
        self.forget_donations(id);
        let slot = self.slots.get(id.index).ok_or(SchedError::NoSuchTask)?;
        slot.state.cancel(id.generation)?;
        self.release(id.index);
        Ok(())
    }

    fn free_slot(&self) -> Result<u32, SchedError> {
        loop {
            let (number, capacity) = {
                let mut free = self.free.lock();
                if let Some(index) = free.pop() {
                    return Ok(index);
                }
                (free.next_chunk()?, free.capacity_wanted())
            };
            // Memory first, without the lock; then all of it becomes visible, or none.
            let mut room = Vec::new();
            room.try_reserve_exact(capacity).map_err(|_| SchedError::NoMemory)?;
            let slots = new_chunk(Slot::new)?;
            let payloads = new_chunk(T::default)?;
            self.slots.install(number, slots);
            self.payloads.install(number, payloads);
            let unused = self.free.lock().grow(number, room);
            drop(unused);
        }
    }
}

impl<T> Default for Scheduler<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl From<Violation> for SchedError {
    fn from(Violation: Violation) -> Self {
        Self::WrongState
    }
}
