//! Where a task that wakes up is to run.

use types::{CpuId, CpuSet};

use crate::priority::Urgency;
use crate::topology::Topology;

/// Where a task was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The CPU in whose queue it waits.
    pub cpu: CpuId,
    /// That CPU has to choose anew, now: it is idle, or runs something less urgent. Send it an interrupt, unless it is the
    /// caller's own.
    pub preempt: bool,
}

/// So many wait for its last CPU before a task looks for another: looking costs time, and so does refilling a cache.
const CROWD: u32 = 2;

/// What placement looks at. The loads are those of a moment ago; a wrong one costs time, never correctness.
pub(crate) struct View<'a, F> {
    pub(crate) topology: &'a Topology,
    /// Online CPUs that the task may use; not empty.
    pub(crate) allowed: CpuSet,
    pub(crate) idle: CpuSet,
    /// How urgent a task must be to take that CPU, and how many wait for it.
    pub(crate) busy: F,
}

impl<F: Fn(CpuId) -> (Urgency, u32)> View<'_, F> {
    /// An idle CPU, as near as possible to where the task's data are: its last CPU, a thread of that core, its home node, then other
    /// nodes by distance. A whole idle core is preferred to a thread of a busy one.
    pub(crate) fn idle_cpu(&self, last: CpuId, home: u8) -> Option<CpuId> {
        let idle = CpuSet(self.idle.0 & self.allowed.0);
        if idle.is_empty() {
            return None;
        }
        if idle.contains(last) {
            return Some(last);
        }
        let core = CpuSet(idle.0 & self.topology.siblings(last).0);
        if let Some(cpu) = core.iter().next() {
            return Some(cpu);
        }
        self.topology.outward(home).find_map(|node| {
            let here = CpuSet(idle.0 & self.topology.node(node).0);
            let whole = |cpu: &CpuId| self.topology.siblings(*cpu).0 & !self.idle.0 == 0;
            here.iter().find(whole).or_else(|| here.iter().next())
        })
    }

    /// A busy CPU: the last one if the task is the more urgent there or hardly anybody waits; else the one in its node that runs the
    /// least urgent task, if that is less urgent than this; else the one where the fewest wait, the last one among equals.
    pub(crate) fn busy_cpu(&self, urgency: Urgency, last: CpuId, home: u8) -> CpuId {
        let beats = |cpu: CpuId| urgency < (self.busy)(cpu).0;
        if self.allowed.contains(last) && (beats(last) || (self.busy)(last).1 < CROWD) {
            return last;
        }
        let near = CpuSet(self.allowed.0 & self.topology.node(home).0);
        let candidates = if near.is_empty() { self.allowed } else { near };
        let least_urgent = candidates.iter().max_by_key(|cpu| (self.busy)(*cpu).0);
        if let Some(cpu) = least_urgent
            && beats(cpu)
        {
            return cpu;
        }
        let fewest = candidates.iter().min_by_key(|cpu| ((self.busy)(*cpu).1, *cpu != last));
        fewest.or_else(|| self.allowed.iter().next()).unwrap_or(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::{Class, Credit};
    use crate::priority::{Flavour, Policy};

    fn two_nodes() -> Topology {
        let mut topology = Topology::flat();
        (4..8).for_each(|cpu| topology.set_node(CpuId(cpu), 1));
        for core in 0..4 {
            topology.set_siblings(CpuSet(0b11 << (2 * core)));
        }
        topology
    }

    fn urgency(class: Class) -> Urgency {
        Policy::new(class).flavour(Flavour::Fixed).place(Credit::NEUTRAL).urgency()
    }

    fn choose(idle: u64, allowed: u64, last: u32, home: u8) -> Option<u32> {
        let topology = two_nodes();
        let busy = |_| (urgency(Class::User), 2);
        let view = View { topology: &topology, allowed: CpuSet(allowed), idle: CpuSet(idle), busy };
        view.idle_cpu(CpuId(last), home).map(|cpu| cpu.0)
    }

    #[test]
    fn idle_cpus_are_taken_from_near_to_far() {
        assert_eq!(choose(0xff, 0xff, 5, 0), Some(5), "the last CPU");
        assert_eq!(choose(0b1101_1101, 0xff, 5, 0), Some(4), "its sibling");
        assert_eq!(choose(0b1100_0110, 0xff, 4, 0), Some(1), "the home node");
        assert_eq!(choose(0b0000_1101, 0xff, 4, 0), Some(2), "a whole core of it");
        assert_eq!(choose(0b1000_0000, 0xff, 0, 0), Some(7), "another node");
        assert_eq!(choose(0b1000_0000, 0x7f, 0, 0), None, "not where it must not run");
    }

    #[test]
    fn without_idle_cpus_the_least_urgent_is_preempted() {
        let topology = two_nodes();
        let busy = |cpu: CpuId| (urgency(if cpu.0 == 2 { Class::Background } else { Class::User }), cpu.0);
        let view = View { topology: &topology, allowed: CpuSet(0xff), idle: CpuSet::EMPTY, busy };
        assert_eq!(view.busy_cpu(urgency(Class::Interactive), CpuId(3), 0), CpuId(3), "cache before all");
        assert_eq!(view.busy_cpu(urgency(Class::User), CpuId(3), 0), CpuId(2));
        assert_eq!(view.busy_cpu(urgency(Class::Background), CpuId(3), 0), CpuId(0), "the shortest queue");
        assert_eq!(view.busy_cpu(urgency(Class::Background), CpuId(3), 1), CpuId(4), "of its node");
        let waiting = |there: u32| move |cpu: CpuId| (urgency(Class::User), if cpu.0 == 3 { there } else { 0 });
        let stays =
            |there| View { topology: &topology, allowed: CpuSet(0xff), idle: CpuSet::EMPTY, busy: waiting(there) };
        assert_eq!(stays(1).busy_cpu(urgency(Class::User), CpuId(3), 0), CpuId(3), "one is no crowd");
        assert_eq!(stays(2).busy_cpu(urgency(Class::User), CpuId(3), 0), CpuId(0), "two are");
        let pinned = View { allowed: CpuSet(0b1000_0000), ..view };
        assert_eq!(pinned.busy_cpu(urgency(Class::Background), CpuId(3), 0), CpuId(7));
    }
}
