//! Compressed sparse rows: all edges in one array, sorted by source.

use alloc::vec::Vec;
use core::ops::Range;

/// The out-edges of every node, in insertion order within a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Csr {
    offsets: Vec<u32>,
    targets: Vec<u16>,
    /// For each position, which of the given edges stands there.
    origins: Vec<u32>,
}

impl Csr {
    /// O(nodes + edges). Edges with an end outside `0..nodes` are left out.
    pub fn new(nodes: usize, edges: &[(u16, u16)]) -> Self {
        let inside = |&&(from, to): &&(u16, u16)| usize::from(from) < nodes && usize::from(to) < nodes;
        let mut offsets = alloc::vec![0u32; nodes + 1];
        for (from, _) in edges.iter().filter(inside) {
            if let Some(count) = offsets.get_mut(usize::from(*from) + 1) {
                *count += 1;
            }
        }
        let mut sum = 0;
        for offset in &mut offsets {
            sum += *offset;
            *offset = sum;
        }
        let mut next = offsets.clone();
        let mut targets = alloc::vec![0; sum as usize];
        let mut origins = alloc::vec![0; sum as usize];
        for (origin, (from, to)) in edges.iter().enumerate().filter(|(_, edge)| inside(edge)) {
            let Some(at) = next.get_mut(usize::from(*from)) else { continue };
            if let (Some(target), Some(slot)) = (targets.get_mut(*at as usize), origins.get_mut(*at as usize)) {
                (*target, *slot) = (*to, origin as u32);
            }
            *at += 1;
        }
        Self { offsets, targets, origins }
    }

    /// Number of nodes.
    pub fn nodes(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Positions of the out-edges of `node`.
    pub fn range(&self, node: u16) -> Range<usize> {
        let at = |index: usize| self.offsets.get(index).copied().unwrap_or(0) as usize;
        let node = usize::from(node);
        if node < self.nodes() { at(node)..at(node + 1) } else { 0..0 }
    }

    /// Where the out-edges of `node` lead.
    pub fn out(&self, node: u16) -> &[u16] {
        self.targets.get(self.range(node)).unwrap_or(&[])
    }

    /// The target at one position.
    pub fn target(&self, position: usize) -> Option<u16> {
        self.targets.get(position).copied()
    }

    /// Index, in the list given to [`Csr::new`], of the edge at one position.
    pub fn origin(&self, position: usize) -> Option<u32> {
        self.origins.get(position).copied()
    }
}
