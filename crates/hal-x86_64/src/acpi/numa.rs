//! SRAT and SLIT: which CPU and which memory is near which (ACPI 6.5, 5.2.16 and 5.2.17).

use alloc::vec::Vec;

use types::{ApicId, CpuId, MAX_CPUS, PhysAddr};

use super::Acpi;
use super::fields::{array_at, records, u8_at, u32_at, u64_at};

/// A range of memory and its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryNode {
    /// First byte.
    pub start: PhysAddr,
    /// Bytes.
    pub len: u64,
    /// In [`Acpi`] the firmware's number, in [`Topology`] a dense one.
    pub node: u32,
}

const ENABLED: u32 = 1;

pub(super) fn read_affinity(table: &[u8], acpi: &mut Acpi) {
    for (kind, record) in records(table, 48) {
        // A record cut short says nothing; the others still count.
        let _ = read_record(kind, record, acpi);
    }
}

fn read_record(kind: u8, record: &[u8], acpi: &mut Acpi) -> Option<()> {
    match kind {
        0 if u32_at(record, 4)? & ENABLED != 0 => {
            let [low, middle, high] = array_at(record, 9)?;
            let domain = u32::from_le_bytes([u8_at(record, 2)?, low, middle, high]);
            acpi.cpu_domains.push((ApicId(u8_at(record, 3)?.into()), domain));
        }
        1 if u32_at(record, 28)? & ENABLED != 0 => acpi.memory_domains.push(MemoryNode {
            start: PhysAddr::try_new(u64_at(record, 8)?).ok()?,
            len: u64_at(record, 16)?,
            node: u32_at(record, 2)?,
        }),
        2 if u32_at(record, 12)? & ENABLED != 0 => {
            acpi.cpu_domains.push((ApicId(u32_at(record, 8)?), u32_at(record, 4)?));
        }
        _ => {}
    }
    Some(())
}

/// The matrix, if the table is long enough for it.
pub(super) fn read_distances(table: &[u8]) -> Option<Vec<u8>> {
    let nodes = usize::try_from(u64_at(table, 36)?).ok()?;
    let matrix = table.get(44..44_usize.checked_add(nodes.checked_mul(nodes)?)?)?;
    Some(matrix.to_vec())
}

/// The machine as the kernel numbers it: the boot CPU is 0, the others follow in the firmware's order; nodes are dense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    cpus: Vec<(ApicId, u32)>,
    memory: Vec<MemoryNode>,
    nodes: u32,
    /// Row by row, `nodes * nodes`; empty if the firmware says nothing.
    distances: Vec<u8>,
    /// CPUs beyond [`MAX_CPUS`], which are left alone.
    surplus: usize,
}

impl Topology {
    /// Numbers the CPUs; `boot` is the executing one's APIC.
    pub fn new(acpi: &Acpi, boot: ApicId) -> Self {
        let mut domains: Vec<u32> = acpi.memory_domains.iter().map(|range| range.node).collect();
        domains.extend(acpi.cpu_domains.iter().map(|(_, domain)| *domain));
        domains.sort_unstable();
        domains.dedup();
        let dense = |domain: u32| domains.binary_search(&domain).map_or(0, |node| node as u32);
        let others = acpi.cpus.iter().copied().filter(|id| *id != boot);
        let numbered = core::iter::once(boot).chain(others);
        let cpus: Vec<_> = numbered
            .map(|id| (id, acpi.cpu_domains.iter().find(|(cpu, _)| *cpu == id).map_or(0, |(_, d)| dense(*d))))
            .collect();
        let memory = acpi.memory_domains.iter().map(|range| MemoryNode { node: dense(range.node), ..*range }).collect();
        let side = acpi.distances.len().isqrt();
        let row = |from: &u32| {
            let line = acpi.distances.get(*from as usize * side..).unwrap_or(&[]);
            domains.iter().map(|to| line.get(*to as usize).copied()).collect::<Option<Vec<u8>>>()
        };
        let rows: Option<Vec<Vec<u8>>> = domains.iter().map(row).collect();
        Self {
            surplus: cpus.len().saturating_sub(MAX_CPUS),
            cpus: cpus.into_iter().take(MAX_CPUS).collect(),
            memory,
            nodes: (domains.len() as u32).max(1),
            distances: rows.unwrap_or_default().concat(),
        }
    }

    /// Memory ranges and their nodes; empty if the firmware says nothing: then all memory is on node 0.
    pub fn memory(&self) -> &[MemoryNode] {
        &self.memory
    }

    /// Number of memory nodes, at least 1.
    pub fn node_count(&self) -> u32 {
        self.nodes
    }

    /// CPUs that the machine has beyond what the kernel can number.
    pub fn surplus(&self) -> usize {
        self.surplus
    }
}

impl hal::Topology for Topology {
    fn cpu_count(&self) -> usize {
        self.cpus.len()
    }

    fn apic_id(&self, cpu: CpuId) -> Option<ApicId> {
        self.cpus.get(cpu.index()).map(|(id, _)| *id)
    }

    fn node_of(&self, cpu: CpuId) -> u32 {
        self.cpus.get(cpu.index()).map_or(0, |(_, node)| *node)
    }

    fn distance(&self, from: u32, to: u32) -> u32 {
        const LOCAL: u32 = 10;
        const REMOTE: u32 = 20;
        let unknown = if from == to { LOCAL } else { REMOTE };
        if from >= self.nodes || to >= self.nodes {
            return unknown;
        }
        self.distances.get((from * self.nodes + to) as usize).map_or(unknown, |distance| u32::from(*distance))
    }
}
