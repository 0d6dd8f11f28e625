//! How CPUs lie to each other: cores, nodes, distances. Filled by the kernel from CPUID and ACPI (SRAT, SLIT).

use types::{CpuId, CpuSet, MAX_CPUS};

/// Most NUMA nodes.
pub const MAX_NODES: usize = 8;
/// Distance of a node to itself, as the SLIT defines it.
pub const LOCAL_DISTANCE: u8 = 10;
/// Distance between two nodes where the SLIT says nothing.
const REMOTE_DISTANCE: u8 = 20;

/// Cores and nodes of a machine.
#[derive(Clone, Debug)]
pub struct Topology {
    siblings: [CpuSet; MAX_CPUS],
    node_of: [u8; MAX_CPUS],
    nodes: [CpuSet; MAX_NODES],
    distances: [[u8; MAX_NODES]; MAX_NODES],
}

impl Topology {
    /// One node, each CPU a core.
    pub fn flat() -> Self {
        let mut distances = [[REMOTE_DISTANCE; MAX_NODES]; MAX_NODES];
        for (node, row) in distances.iter_mut().enumerate() {
            if let Some(own) = row.get_mut(node) {
                *own = LOCAL_DISTANCE;
            }
        }
        let mut topology = Self {
            siblings: [CpuSet::EMPTY; MAX_CPUS],
            node_of: [0; MAX_CPUS],
            nodes: [CpuSet::EMPTY; MAX_NODES],
            distances,
        };
        for cpu in (0..MAX_CPUS as u32).map(CpuId) {
            topology.set_node(cpu, 0);
            topology.set_siblings(CpuSet::single(cpu));
        }
        topology
    }

    /// Puts a CPU into a node; numbers too large are node 0.
    pub fn set_node(&mut self, cpu: CpuId, node: u8) {
        let node = if usize::from(node) < MAX_NODES { node } else { 0 };
        for cpus in &mut self.nodes {
            *cpus = cpus.without(cpu);
        }
        if let (Some(place), Some(cpus)) = (self.node_of.get_mut(cpu.index()), self.nodes.get_mut(usize::from(node))) {
            *place = node;
            *cpus = cpus.with(cpu);
        }
    }

    /// Says that these CPUs are threads of one core.
    pub fn set_siblings(&mut self, cpus: CpuSet) {
        for cpu in cpus.iter() {
            if let Some(siblings) = self.siblings.get_mut(cpu.index()) {
                *siblings = cpus;
            }
        }
    }

    /// Says how far node `to` is from node `from`; [`LOCAL_DISTANCE`] is itself.
    pub fn set_distance(&mut self, from: u8, to: u8, distance: u8) {
        if let Some(place) = self.distances.get_mut(usize::from(from)).and_then(|row| row.get_mut(usize::from(to))) {
            *place = distance;
        }
    }

    /// A CPU's node.
    pub fn node_of(&self, cpu: CpuId) -> u8 {
        self.node_of.get(cpu.index()).copied().unwrap_or(0)
    }

    /// The CPUs of a node.
    pub fn node(&self, node: u8) -> CpuSet {
        self.nodes.get(usize::from(node)).copied().unwrap_or_default()
    }

    /// Threads of the same core, `cpu` among them.
    pub fn siblings(&self, cpu: CpuId) -> CpuSet {
        self.siblings.get(cpu.index()).copied().unwrap_or_default()
    }

    /// Distance between nodes.
    pub fn distance(&self, from: u8, to: u8) -> u8 {
        let row = self.distances.get(usize::from(from));
        row.and_then(|row| row.get(usize::from(to))).copied().unwrap_or(REMOTE_DISTANCE)
    }

    /// The nodes from `from` outward, itself first.
    pub fn outward(&self, from: u8) -> impl Iterator<Item = u8> + '_ {
        let mut left = (1u32 << MAX_NODES) - 1;
        core::iter::from_fn(move || {
            let rest = (0..MAX_NODES as u8).filter(|node| left & 1 << node != 0);
            // The node itself first, even in a table that claims others are nearer.
            let next = rest.min_by_key(|node| (*node != from, self.distance(from, *node)))?;
            left &= !(1 << next);
            Some(next)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_visited_from_near_to_far() {
        let mut topology = Topology::flat();
        topology.set_distance(1, 3, 12);
        topology.set_distance(1, 0, 30);
        let order: alloc::vec::Vec<u8> = topology.outward(1).collect();
        assert_eq!(order, [1, 3, 2, 4, 5, 6, 7, 0]);
    }

    #[test]
    fn a_cpu_is_in_one_node() {
        let mut topology = Topology::flat();
        topology.set_node(CpuId(3), 2);
        assert!(!topology.node(0).contains(CpuId(3)) && topology.node(2).contains(CpuId(3)));
        assert_eq!(topology.node_of(CpuId(3)), 2);
    }
}
