//! Work moves between CPUs: to one that has none at once, to one that has less now and then.

use core::sync::atomic::Ordering::Relaxed;

use types::{CpuId, CpuSet, Nanos};

use super::Scheduler;
use crate::SchedError;
use crate::run_queue::{Arrival, RunQueue};

/// How long a task waits before a CPU of another node takes it, if it is the only one that waits there: about what
/// refilling a cache from the other node costs, many times over.
const REMOTE_PATIENCE: Nanos = Nanos::from_millis(2);
/// How often a busy CPU compares its load: four times per ordinary slice of ten tasks.
const BALANCE_PERIOD: Nanos = Nanos::from_millis(16);
/// How often a task is moved that only changes which CPU has one too many: so that three tasks on two CPUs get two thirds each.
const ROTATE_PERIOD: Nanos = Nanos::from_millis(64);
/// A load on another node has to be larger by that many quarters of ours, so that moving pays.
const REMOTE_QUARTERS: u64 = 6;

impl<T> Scheduler<T> {
    /// A task in Transit, taken from the nearest CPU where most wait.
    pub(super) fn steal(&self, thief: CpuId, now: Nanos) -> Result<Option<u32>, SchedError> {
        let topology = self.topology();
        let own = topology.node_of(thief);
        for node in topology.outward(own) {
            let mut victims = self.usable(topology.node(node)).without(thief);
            while let Some((victim, waiting)) = self.longest(victims) {
                victims = victims.without(victim);
                let alone = waiting == 1 && node != own;
                let before = if alone { now.saturating_sub(REMOTE_PATIENCE) } else { now };
                if let Some(index) = self.take_from(victim, thief, before, |_| true)? {
                    return Ok(Some(index));
                }
            }
        }
        Ok(None)
    }

    /// Pulls a task here from a CPU with more load. Returns whether it is to run at once.
    pub(super) fn balance(&self, cpu: CpuId, now: Nanos) -> Result<bool, SchedError> {
        let topology = self.topology();
        let shared = self.cpu(cpu)?;
        let (mine, may_rotate) = {
            let queue = shared.queue.lock();
            (queue.load(), now >= queue.rotated + ROTATE_PERIOD)
        };
        let own = topology.node_of(cpu);
        for node in topology.outward(own) {
            let Some((victim, load)) = self.heaviest(self.usable(topology.node(node)).without(cpu)) else { continue };
            let (pays, rotate) =
                if node == own { (load > mine, may_rotate) } else { (load > mine * REMOTE_QUARTERS / 4, false) };
            if !pays {
                continue;
            }
            let gap = load - mine;
            let fits = |weight: u32| u64::from(weight) < gap || (rotate && u64::from(weight) == gap);
            let Some(index) = self.take_from(victim, cpu, now, fits)? else { continue };
            let mut queue = shared.queue.lock();
            let key = queue.insert(&self.slots, index, Arrival::Moved, now)?;
            queue.rotated = now;
            queue.stats.pulls += 1;
            let preempt = queue.ask_preemption(key);
            shared.publish(&queue);
            return Ok(preempt);
        }
        Ok(false)
    }

    fn take_from(
        &self,
        victim: CpuId,
        thief: CpuId,
        before: Nanos,
        fits: impl Fn(u32) -> bool,
    ) -> Result<Option<u32>, SchedError> {
        let shared = self.cpu(victim)?;
        let mut queue = shared.queue.lock();
        let found = queue.candidate(&self.slots, thief, before, |slot| fits(slot.queued_weight.get()));
        if let Some(index) = found {
            queue.take(&self.slots, index)?;
            // Not back again at once.
            queue.rotated = before;
            shared.publish(&queue);
        }
        Ok(found)
    }

    /// The CPU for which most tasks wait, if any wait.
    fn longest(&self, cpus: CpuSet) -> Option<(CpuId, u32)> {
        let waiting = |cpu: CpuId| (cpu, self.waiting(cpu));
        cpus.iter().map(waiting).filter(|(_, waiting)| *waiting > 0).max_by_key(|(_, waiting)| *waiting)
    }

    /// The CPU with the most load among those for which tasks wait.
    fn heaviest(&self, cpus: CpuSet) -> Option<(CpuId, u64)> {
        let load = |cpu: CpuId| Some((cpu, self.cpu(cpu).ok()?.load.load(Relaxed)));
        cpus.iter().filter(|cpu| self.waiting(*cpu) > 0).filter_map(load).max_by_key(|(_, load)| *load)
    }
}

impl RunQueue {
    /// Whether it is time to compare loads; at most once per period.
    pub(super) fn balance_due(&mut self, now: Nanos) -> bool {
        let due = now >= self.balanced + BALANCE_PERIOD;
        if due {
            self.balanced = now;
        }
        due
    }
}
