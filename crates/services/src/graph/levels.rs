//! Topological levels: what can start at the same time, and how long the way to the end still is.

use alloc::vec::Vec;

use super::Csr;

/// The level of every node (0 = depends on nothing, else one more than its highest dependency), or `None` if there is a
/// cycle. Kahn's algorithm on the reversed edges, O(nodes + edges).
pub fn levels(graph: &Csr) -> Option<Vec<u16>> {
    let n = graph.nodes();
    let reversed: Vec<(u16, u16)> =
        (0..n as u16).flat_map(|from| graph.out(from).iter().map(move |&to| (to, from))).collect();
    let dependents = Csr::new(n, &reversed);
    let mut left: Vec<u32> = (0..n as u16).map(|node| graph.out(node).len() as u32).collect();
    let mut level = alloc::vec![0u16; n];
    let mut ready: Vec<u16> = (0..n as u16).filter(|&node| graph.out(node).is_empty()).collect();
    let mut done = 0;
    while let Some(node) = ready.pop() {
        done += 1;
        let above = level.get(usize::from(node)).copied().unwrap_or(0) + 1;
        for &dependent in dependents.out(node) {
            let at = usize::from(dependent);
            if let Some(slot) = level.get_mut(at) {
                *slot = above.max(*slot);
            }
            if let Some(count) = left.get_mut(at) {
                *count -= 1;
                if *count == 0 {
                    ready.push(dependent);
                }
            }
        }
    }
    (done == n).then_some(level)
}

/// For every node the weight of the heaviest chain of dependents above it, itself included: the critical path. The
/// graph must have no cycle (`level` from [`levels`]).
pub fn remaining_path(graph: &Csr, level: &[u16], weight: &[u64]) -> Vec<u64> {
    let n = graph.nodes();
    let mut order: Vec<u16> = (0..n as u16).collect();
    order.sort_by_key(|&node| core::cmp::Reverse(level.get(usize::from(node)).copied().unwrap_or(0)));
    let own = |node: u16| weight.get(usize::from(node)).copied().unwrap_or(1);
    let mut path: Vec<u64> = (0..n as u16).map(own).collect();
    for node in order {
        let above = path.get(usize::from(node)).copied().unwrap_or(0);
        for &dependency in graph.out(node) {
            if let Some(slot) = path.get_mut(usize::from(dependency)) {
                *slot = (*slot).max(above.saturating_add(own(dependency)));
            }
        }
    }
    path
}
