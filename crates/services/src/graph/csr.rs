//! Compressed sparse rows: all edges in one array, sorted by source.

use alloc::vec::Vec;

use super::Groups;

/// The out-edges of every node, in insertion order within a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Csr {
    nodes: Groups,
    targets: Vec<u16>,
}

impl Csr {
    /// O(nodes + edges). Edges with an end outside `0..nodes` are left out.
    pub fn new(nodes: usize, edges: &[(u16, u16)]) -> Self {
        let inside = |(_, to): &&(u16, u16)| usize::from(*to) < nodes;
        let groups = Groups::new(nodes, edges.iter().filter(inside).map(|(from, _)| *from));
        let mut next: Vec<u32> = (0..nodes as u32).map(|node| groups.range(node as u16).start as u32).collect();
        let mut targets = alloc::vec![0; groups.total()];
        for (from, to) in edges.iter().filter(inside) {
            let Some(at) = next.get_mut(usize::from(*from)) else { continue };
            if let Some(target) = targets.get_mut(*at as usize) {
                *target = *to;
            }
            *at += 1;
        }
        Self { nodes: groups, targets }
    }

    /// Number of nodes.
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// Where the out-edges of `node` lead.
    pub fn out(&self, node: u16) -> &[u16] {
        self.targets.get(self.nodes.range(node)).unwrap_or(&[])
    }
}
