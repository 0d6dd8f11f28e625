//! Work moves between CPUs: to one that has none at once, to one that has less now and then.

use alloc::sync::Arc;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};

use types::{CpuId, CpuSet, Nanos};

use super::Scheduler;
use crate::entity::Schedulable;
use crate::run_queue::{Arrival, RunQueue};
use crate::topology::LOCAL_DISTANCE;

/// How long a task waits before a CPU of a node at twice the distance takes it, if it is the only one that waits there: about what
/// refilling a cache from the other node costs, many times over. More the farther the node is.
const REMOTE_PATIENCE: Nanos = Nanos::from_millis(2);
/// How often a busy CPU compares its load: four times per ordinary slice of ten tasks.
const BALANCE_PERIOD: Nanos = Nanos::from_millis(16);
/// How often a task is moved that only changes which CPU has one too many: so that three tasks on two CPUs get two thirds each.
const ROTATE_PERIOD: Nanos = Nanos::from_millis(64);

impl<T: Schedulable> Scheduler<T> {
    /// A task that the caller owns, taken from the nearest CPU where most wait.
    pub(super) fn steal(&self, thief: CpuId, now: Nanos) -> Option<Arc<T>> {
        let topology = self.topology();
        let own = topology.node_of(thief);
        for node in topology.outward(own) {
            let mut victims = CpuSet(topology.node(node).0 & self.online.load(Relaxed)).without(thief);
            while let Some((victim, waiting)) = self.longest(victims) {
                victims = victims.without(victim);
                let at_once = self.takes_at_once(thief, victim, waiting);
                let patience = Nanos(REMOTE_PATIENCE.0 * self.detour(thief, victim) / u64::from(LOCAL_DISTANCE));
                let before = if at_once { Nanos::MAX } else { now.saturating_sub(patience) };
                if let Some(task) = self.take_from(victim, thief, before, |_| true) {
                    return Some(task);
                }
            }
        }
        None
    }

    /// Whether a CPU without work takes one of `waiting` tasks from `victim` without delay: not the only one of another node.
    pub(super) fn takes_at_once(&self, thief: CpuId, victim: CpuId, waiting: u32) -> bool {
        let topology = self.topology();
        waiting > 1 || topology.node_of(thief) == topology.node_of(victim)
    }

    /// How much farther the memory of `there` is from `here` than its own.
    fn detour(&self, here: CpuId, there: CpuId) -> u64 {
        let topology = self.topology();
        let distance = topology.distance(topology.node_of(here), topology.node_of(there));
        u64::from(distance.saturating_sub(LOCAL_DISTANCE))
    }

    /// Pulls a task here from a CPU with more load.
    pub(super) fn balance(&self, cpu: CpuId, now: Nanos) {
        let topology = self.topology();
        let Ok(shared) = self.cpu(cpu) else { return };
        let (mine, may_rotate) = {
            let queue = shared.queue.lock();
            (queue.load(), now >= queue.rotated + ROTATE_PERIOD)
        };
        let own = topology.node_of(cpu);
        for node in topology.outward(own) {
            let others = CpuSet(topology.node(node).0 & self.online.load(Relaxed)).without(cpu);
            let Some((victim, load)) = self.heaviest(others) else { continue };
            // From afar it has to be larger by as much as memory is slower there.
            let distance = u64::from(topology.distance(own, node).max(LOCAL_DISTANCE));
            let (pays, rotate) = if node == own {
                (load > mine, may_rotate)
            } else {
                (load * u64::from(LOCAL_DISTANCE) > mine * distance, false)
            };
            if !pays {
                continue;
            }
            let gap = load - mine;
            let fits = |weight: u32| u64::from(weight) < gap || (rotate && u64::from(weight) == gap);
            let Some(task) = self.take_from(victim, cpu, Nanos::MAX, fits) else { continue };
            let far = self.is_far(task.entity().cpu(), cpu);
            let mut queue = shared.queue.lock();
            queue.stats.node_moves += u64::from(far);
            let urgency = queue.push(task, Arrival::Moved, now);
            queue.rotated = now;
            queue.stats.pulls += 1;
            self.mark(cpu).waiting.store(queue.waiting(), SeqCst);
            self.mark(cpu).ask(urgency);
            return;
        }
    }

    fn take_from(&self, victim: CpuId, thief: CpuId, before: Nanos, fits: impl Fn(u32) -> bool) -> Option<Arc<T>> {
        let shared = self.cpu(victim).ok()?;
        let mut queue = shared.queue.lock();
        let task = queue.give(thief, before, fits)?;
        // Not back again at once.
        queue.rotated = queue.clock();
        self.mark(victim).publish_waiting(&queue);
        Some(task)
    }

    /// The CPU for which most tasks wait, if any wait.
    fn longest(&self, cpus: CpuSet) -> Option<(CpuId, u32)> {
        let waiting = |cpu: CpuId| (cpu, self.waiting(cpu));
        cpus.iter().map(waiting).filter(|(_, waiting)| *waiting > 0).max_by_key(|(_, waiting)| *waiting)
    }

    /// The CPU with the most load among those for which tasks wait.
    fn heaviest(&self, cpus: CpuSet) -> Option<(CpuId, u64)> {
        let load = |cpu: CpuId| (cpu, self.mark(cpu).load.load(Relaxed));
        cpus.iter().filter(|cpu| self.waiting(*cpu) > 0).map(load).max_by_key(|(_, load)| *load)
    }
}

impl<T: Schedulable> RunQueue<T> {
    /// Whether it is time to compare loads; at most once per period.
    pub(super) fn balance_due(&mut self, now: Nanos) -> bool {
        let due = now >= self.balanced + BALANCE_PERIOD;
        if due {
            self.balanced = now;
        }
        due
    }
}
