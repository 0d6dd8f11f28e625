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
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};

use sync::{Once, Rank, SpinLock};
use types::{CpuId, CpuSet, MAX_CPUS, Nanos};

pub use switch::{Blocked, Local, Next, Tick};
pub use wake::Wake;

use crate::entity::Schedulable;
use crate::latency::CpuStats;
use crate::priority::Urgency;
use crate::run_queue::RunQueue;
use crate::{SchedError, Topology};

/// The scheduler of tasks `T`.
///
/// No lock is shared between CPUs on the way of a switch: each CPU's queue has its own ([`Rank::RUN_QUEUE`]), and one is held at
/// a time.
pub struct Scheduler<T: Schedulable> {
    cpus: [Once<Box<PerCpu<T>>>; MAX_CPUS],
    marks: [Mark; MAX_CPUS],
    topology: Once<Topology>,
    online: AtomicU64,
    /// CPUs asleep or about to be; whoever clears a bit wakes that CPU, so that there is one interrupt per sleeper.
    idle: AtomicU64,
    /// The time of somebody's last tick: what a sleep is measured by.
    clock: AtomicU64,
}

/// One CPU's queue.
#[repr(align(64))]
struct PerCpu<T: Schedulable> {
    queue: SpinLock<RunQueue<T>>,
}

/// What a CPU shows of its queue to whoever looks without the lock; written under it.
#[repr(align(64))]
struct Mark {
    waiting: AtomicU32,
    /// How urgent a task must be to take the CPU; below all if it runs nothing, above all once somebody was told to.
    threshold: AtomicU32,
    /// The current task is to give up the CPU.
    resched: AtomicBool,
    load: AtomicU64,
}

impl Mark {
    const fn new() -> Self {
        Self {
            waiting: AtomicU32::new(0),
            threshold: AtomicU32::new(Urgency::NONE.0),
            resched: AtomicBool::new(false),
            load: AtomicU64::new(0),
        }
    }

    #[inline]
    fn publish_waiting<T: Schedulable>(&self, queue: &RunQueue<T>) {
        self.waiting.store(queue.waiting(), Relaxed);
    }

    fn set_threshold(&self, urgency: Urgency) {
        self.threshold.store(urgency.0, Relaxed);
    }

    fn threshold(&self) -> Urgency {
        Urgency(self.threshold.load(Relaxed))
    }

    /// Asks for the CPU on behalf of a task this urgent: whether that CPU is to be told. Once per run, under the queue's lock.
    #[inline]
    fn ask(&self, urgency: Urgency) -> bool {
        let threshold = self.threshold();
        // A CPU that runs nothing looks for itself.
        let ask = urgency < threshold && threshold != Urgency::NONE;
        if ask {
            self.set_threshold(Urgency::MOST);
            self.resched.store(true, Relaxed);
        }
        ask
    }
}

impl<T: Schedulable> Scheduler<T> {
    /// A scheduler without CPUs and tasks.
    pub const fn new() -> Self {
        Self {
            cpus: [const { Once::new() }; MAX_CPUS],
            marks: [const { Mark::new() }; MAX_CPUS],
            topology: Once::new(),
            online: AtomicU64::new(0),
            idle: AtomicU64::new(0),
            clock: AtomicU64::new(0),
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
        let mut room = Vec::new();
        room.try_reserve_exact(1).map_err(|_| SchedError::NoMemory)?;
        room.push(PerCpu { queue: SpinLock::new(Rank::RUN_QUEUE, RunQueue::new(cpu)?) });
        let one: Box<[PerCpu<T>; 1]> = room.into_boxed_slice().try_into().map_err(|_| SchedError::NoMemory)?;
        let [one] = *one;
        place.call_once(|| Box::new(one));
        self.online.fetch_or(CpuSet::single(cpu).0, SeqCst);
        Ok(())
    }

    /// CPUs in service.
    pub fn online_cpus(&self) -> CpuSet {
        CpuSet(self.online.load(Relaxed))
    }

    /// CPUs without work.
    #[inline]
    pub fn idle_cpus(&self) -> CpuSet {
        CpuSet(self.idle.load(Relaxed))
    }

    /// Tasks waiting for that CPU; a look without a lock, to find out whether a yield is worth a switch.
    #[inline]
    pub fn waiting(&self, cpu: CpuId) -> u32 {
        self.mark(cpu).waiting.load(Relaxed)
    }

    /// Whether what that CPU runs has to give it up.
    #[inline]
    pub fn wants_switch(&self, cpu: CpuId) -> bool {
        self.mark(cpu).resched.load(Relaxed)
    }

    /// Tasks that run or wait for a CPU, for the load average.
    pub fn runnable(&self) -> u32 {
        self.online_cpus()
            .iter()
            .map(|cpu| self.mark(cpu))
            .map(|mark| mark.waiting.load(Relaxed) + u32::from(mark.threshold() != Urgency::NONE))
            .sum()
    }

    /// A CPU's counters.
    pub fn cpu_stats(&self, cpu: CpuId) -> Option<CpuStats> {
        let shared = self.cpu(cpu).ok()?;
        Some(shared.queue.lock().stats())
    }

    /// Weights of the tasks that run or wait there.
    #[cfg(test)]
    fn load(&self, cpu: CpuId) -> u64 {
        self.cpu(cpu).map_or(0, |shared| shared.queue.lock().load())
    }

    #[inline]
    fn cpu(&self, cpu: CpuId) -> Result<&PerCpu<T>, SchedError> {
        self.cpus.get(cpu.index()).and_then(Once::get).map(|shared| &**shared).ok_or(SchedError::NoSuchCpu)
    }

    #[inline]
    fn mark(&self, cpu: CpuId) -> &Mark {
        static NOWHERE: Mark = Mark::new();
        self.marks.get(cpu.index()).unwrap_or(&NOWHERE)
    }

    fn topology(&self) -> &Topology {
        self.topology.call_once(Topology::flat)
    }

    /// Whether two CPUs are on different nodes.
    fn is_far(&self, one: CpuId, other: CpuId) -> bool {
        self.topology().node_of(one) != self.topology().node_of(other)
    }

    /// The online CPUs among `cpus`; all, if none of them is.
    #[inline]
    fn usable(&self, cpus: CpuSet) -> CpuSet {
        let online = self.online.load(Relaxed);
        CpuSet(if cpus.0 & online != 0 { cpus.0 & online } else { online })
    }

    /// Takes a CPU out of the idle set; whether it was in.
    fn claim_idle(&self, cpu: CpuId) -> bool {
        let bit = CpuSet::single(cpu);
        // The look first: no write to the shared word while nobody sleeps.
        self.idle.load(Relaxed) & bit.0 != 0 && self.idle.fetch_and(!bit.0, SeqCst) & bit.0 != 0
    }

    fn note_time(&self, now: Nanos) {
        if self.clock.load(Relaxed) < now.0 {
            self.clock.store(now.0, Relaxed);
        }
    }
}

impl<T: Schedulable> Default for Scheduler<T> {
    fn default() -> Self {
        Self::new()
    }
}
