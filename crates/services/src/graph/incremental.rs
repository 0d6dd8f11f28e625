//! A topological order kept up to date edge by edge (Pearce and Kelly, "A dynamic topological sort algorithm for directed
//! acyclic graphs", JEA 2006). An edge that would close a cycle is refused and changes nothing.

use alloc::vec::Vec;

#[derive(Clone, Copy)]
enum Towards {
    Dependents,
    Dependencies,
}

/// The order and the edges it holds for.
#[derive(Clone, Debug)]
pub struct IncrementalOrder {
    /// Place of each node; dependencies come first.
    place: Vec<u16>,
    out: Vec<Vec<u16>>,
    into: Vec<Vec<u16>>,
    seen: Vec<bool>,
}

impl IncrementalOrder {
    /// `nodes` nodes without edges.
    pub fn new(nodes: u16) -> Self {
        let n = usize::from(nodes);
        Self {
            place: (0..nodes).collect(),
            out: alloc::vec![Vec::new(); n],
            into: alloc::vec![Vec::new(); n],
            seen: alloc::vec![false; n],
        }
    }

    /// Place of `node`; dependencies have smaller places.
    pub fn place(&self, node: u16) -> u16 {
        self.place.get(usize::from(node)).copied().unwrap_or(u16::MAX)
    }

    /// Adds "`from` depends on `to`"; `false`, and nothing changed, if that closes a cycle or a node is unknown.
    #[must_use]
    pub fn insert(&mut self, from: u16, to: u16) -> bool {
        let n = self.place.len();
        if from == to || usize::from(from) >= n || usize::from(to) >= n {
            return false;
        }
        let (low, high) = (self.place(from), self.place(to));
        if high > low {
            // Everything reachable upwards from `from` (its dependents) and downwards from `to`, between their places.
            let above = self.reach(from, high, Towards::Dependents);
            if above.contains(&to) {
                return false;
            }
            let below = self.reach(to, low, Towards::Dependencies);
            self.reorder(below, above);
        }
        if let Some(list) = self.out.get_mut(usize::from(from)) {
            list.push(to);
        }
        if let Some(list) = self.into.get_mut(usize::from(to)) {
            list.push(from);
        }
        true
    }

    fn reach(&mut self, start: u16, bound: u16, towards: Towards) -> Vec<u16> {
        let mut found = alloc::vec![start];
        let mut at = 0;
        while let Some(&node) = found.get(at) {
            at += 1;
            if let Some(seen) = self.seen.get_mut(usize::from(node)) {
                *seen = true;
            }
            let edges = match towards {
                Towards::Dependents => self.into.get(usize::from(node)),
                Towards::Dependencies => self.out.get(usize::from(node)),
            };
            for &next in edges.map_or(&[][..], Vec::as_slice) {
                let place = self.place.get(usize::from(next)).copied().unwrap_or(0);
                let inside = match towards {
                    Towards::Dependents => place <= bound,
                    Towards::Dependencies => place >= bound,
                };
                if let Some(seen) = self.seen.get_mut(usize::from(next)).filter(|seen| inside && !**seen) {
                    *seen = true;
                    found.push(next);
                }
            }
        }
        for &node in &found {
            if let Some(seen) = self.seen.get_mut(usize::from(node)) {
                *seen = false;
            }
        }
        found
    }

    /// Gives the same places to the same nodes, `below` first.
    fn reorder(&mut self, mut below: Vec<u16>, mut above: Vec<u16>) {
        below.sort_unstable_by_key(|&node| self.place(node));
        above.sort_unstable_by_key(|&node| self.place(node));
        below.append(&mut above);
        let mut places: Vec<u16> = below.iter().map(|&node| self.place(node)).collect();
        places.sort_unstable();
        for (&node, &place) in below.iter().zip(&places) {
            if let Some(slot) = self.place.get_mut(usize::from(node)) {
                *slot = place;
            }
        }
    }
}
