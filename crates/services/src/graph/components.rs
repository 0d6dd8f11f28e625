//! Strongly connected components (Tarjan 1972, with an explicit stack) and the shortest cycle within one.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::Csr;

const NEW: u32 = u32::MAX;

/// The component number of every node; a component's number is greater than those it leads to. O(nodes + edges).
pub fn components(graph: &Csr) -> Vec<u32> {
    let n = graph.nodes();
    let mut found = alloc::vec![NEW; n];
    let mut low = alloc::vec![0u32; n];
    let mut component = alloc::vec![NEW; n];
    let (mut open, mut path) = (Vec::<u16>::new(), Vec::<(u16, usize)>::new());
    let (mut clock, mut count) = (0u32, 0u32);
    let get = |list: &[u32], node: u16| list.get(usize::from(node)).copied().unwrap_or(0);
    let set = |list: &mut [u32], node: u16, value: u32| {
        if let Some(slot) = list.get_mut(usize::from(node)) {
            *slot = value;
        }
    };
    for root in 0..n as u16 {
        if get(&found, root) != NEW {
            continue;
        }
        path.push((root, 0));
        while let Some((node, edge)) = path.last_mut() {
            let node = *node;
            if *edge == 0 {
                set(&mut found, node, clock);
                set(&mut low, node, clock);
                clock += 1;
                open.push(node);
            }
            if let Some(&to) = graph.out(node).get(*edge) {
                *edge += 1;
                if get(&found, to) == NEW {
                    path.push((to, 0));
                } else if get(&component, to) == NEW {
                    let least = get(&low, node).min(get(&found, to));
                    set(&mut low, node, least);
                }
                continue;
            }
            path.pop();
            if get(&low, node) == get(&found, node) {
                while let Some(member) = open.pop() {
                    set(&mut component, member, count);
                    if member == node {
                        break;
                    }
                }
                count += 1;
            }
            if let Some(&(parent, _)) = path.last() {
                let least = get(&low, parent).min(get(&low, node));
                set(&mut low, parent, least);
            }
        }
    }
    component
}

/// A shortest cycle as a path whose last node leads to its first, or `None` if there is none.
///
/// One breadth-first search from each node of a component that has more than one node or a loop.
pub fn shortest_cycle(graph: &Csr, component: &[u32]) -> Option<Vec<u16>> {
    let of = |node: u16| component.get(usize::from(node)).copied();
    let mut best: Option<Vec<u16>> = None;
    let mut parent = alloc::vec![u16::MAX; graph.nodes()];
    let mut queue = VecDeque::new();
    for start in 0..graph.nodes() as u16 {
        let limit = best.as_ref().map_or(usize::MAX, Vec::len);
        if limit <= 1 || !graph.out(start).iter().any(|&to| of(to) == of(start)) {
            continue;
        }
        parent.fill(u16::MAX);
        queue.clear();
        queue.push_back((start, 1usize));
        'search: while let Some((node, length)) = queue.pop_front() {
            if length >= limit {
                break;
            }
            for &to in graph.out(node).iter().filter(|&&to| of(to) == of(start)) {
                if to == start {
                    let mut path = alloc::vec![node];
                    let mut at = node;
                    while at != start {
                        at = parent.get(usize::from(at)).copied().unwrap_or(start);
                        path.push(at);
                    }
                    path.reverse();
                    best = Some(path);
                    break 'search;
                }
                if let Some(slot) = parent.get_mut(usize::from(to)).filter(|slot| **slot == u16::MAX) {
                    *slot = node;
                    queue.push_back((to, length + 1));
                }
            }
        }
    }
    best
}
