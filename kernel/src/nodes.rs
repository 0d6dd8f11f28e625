//! Memory nodes (NUMA): which CPU and which memory is near which, by the firmware's word.
//!
//! All memory begins as node 0's. Once the boot has used what it needs, free memory is given to the nodes where it lies, and
//! from then on each CPU takes frames from its own node first.

use alloc::vec::Vec;
use core::fmt::{self, Write};

use ::log::info;
use hal::Topology as _;
use hal_x86_64::acpi::Topology;
use hal_x86_64::{cpu, features};
use memory::MemoryRegion;
use sync::Once;
use types::{CpuId, CpuSet};

use crate::boot::memory::frames;

static TOPOLOGY: Once<Topology> = Once::new();

/// Keeps what the firmware said.
pub(crate) fn note(topology: Topology) -> &'static Topology {
    TOPOLOGY.call_once(|| topology)
}

/// Gives free memory to its nodes and tells each CPU its own. With one node there is nothing to do.
pub(crate) fn assign_memory() {
    let Some(topology) = TOPOLOGY.get().filter(|topology| topology.node_count() > 1) else { return };
    let region = |range: &hal_x86_64::acpi::MemoryNode| MemoryRegion {
        start: range.start.as_u64(),
        end: range.start.as_u64().saturating_add(range.len),
        node: range.node,
    };
    let regions: Vec<MemoryRegion> = topology.memory().iter().map(region).collect();
    frames().assign_nodes(&regions);
    for number in 0..topology.cpu_count() as u32 {
        frames().set_cpu_node(CpuId(number), topology.node_of(CpuId(number)));
    }
    info!("memory: {} nodes, by the firmware's tables", topology.node_count());
}

/// CPUs, cores, nodes and distances as the scheduler wants to know them.
pub(crate) fn for_scheduler(topology: &Topology) -> sched::Topology {
    let mut known = sched::Topology::flat();
    let nodes = topology.node_count().min(sched::MAX_NODES as u32);
    for cpu in cpu::online().iter() {
        // Beyond what the scheduler can tell apart all are one.
        known.set_node(cpu, topology.node_of(cpu).min(nodes - 1) as u8);
        known.set_siblings(siblings(cpu));
    }
    for from in 0..nodes {
        for to in 0..nodes {
            known.set_distance(from as u8, to as u8, topology.distance(from, to).min(u8::MAX.into()) as u8);
        }
    }
    known
}

/// The CPUs that are threads of one core with `cpu`, itself among them: those whose numbers differ in the lowest bits only, of which
/// the processor says how many.
fn siblings(cpu: CpuId) -> CpuSet {
    /// Leaf of the topology by levels; its first level is that of threads.
    const LEVELS: u32 = 0xb;
    let known = features::cpuid(0, 0).eax >= LEVELS && features::cpuid(LEVELS, 0).ebx != 0;
    let shift = if known { features::cpuid(LEVELS, 0).eax & 31 } else { 0 };
    let core = |cpu: CpuId| cpu::apic_id(cpu).map(|id| id.0 >> shift);
    cpu::online().iter().filter(|other| core(*other) == core(cpu)).fold(CpuSet::single(cpu), CpuSet::with)
}

/// The first of the CPUs that are threads of one core with `cpu`.
pub(crate) fn core_of(cpu: CpuId) -> CpuId {
    siblings(cpu).iter().next().unwrap_or(cpu)
}

/// The node of a CPU; 0 if the firmware says nothing.
pub(crate) fn of_cpu(cpu: CpuId) -> u32 {
    TOPOLOGY.get().map_or(0, |topology| topology.node_of(cpu))
}

/// Text of /proc/multios/nodes: for each node its CPUs, free frames and the distances to all.
pub(crate) fn report(out: &mut dyn Write) -> fmt::Result {
    let Some(topology) = TOPOLOGY.get() else { return Ok(()) };
    let nodes = topology.node_count();
    for (node, free) in (0..nodes).zip(frames().free_by_node()) {
        let cpus: Vec<u32> =
            cpu::online().iter().filter(|cpu| topology.node_of(*cpu) == node).map(|cpu| cpu.0).collect();
        let distances: Vec<u32> = (0..nodes).map(|to| topology.distance(node, to)).collect();
        writeln!(out, "node {node} cpus {cpus:?} free {free} distances {distances:?}")?;
    }
    Ok(())
}
