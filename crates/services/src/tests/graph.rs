//! The graph code against `petgraph` and against plain re-computation.

use std::vec::Vec;

use super::random::Random;
use crate::graph::{Csr, IncrementalOrder, components, levels, shortest_cycle};
use petgraph::algo::{is_cyclic_directed, kosaraju_scc};
use petgraph::graph::DiGraph;

fn random(random: &mut Random) -> (usize, Vec<(u16, u16)>) {
    let n = 1 + random.below(30);
    let m = random.below(2 * n);
    (n as usize, (0..m).map(|_| (random.below(n) as u16, random.below(n) as u16)).collect())
}

fn oracle(n: usize, edges: &[(u16, u16)]) -> DiGraph<(), ()> {
    let mut graph = DiGraph::new();
    let nodes: Vec<_> = (0..n).map(|_| graph.add_node(())).collect();
    for (from, to) in edges {
        graph.add_edge(nodes[*from as usize], nodes[*to as usize], ());
    }
    graph
}

#[test]
fn components_and_levels_agree_with_petgraph() {
    let mut source = Random::new(11);
    let (mut cyclic, mut acyclic) = (0, 0);
    for _ in 0..4000 {
        let (n, edges) = random(&mut source);
        let (ours, theirs) = (Csr::new(n, &edges), oracle(n, &edges));
        let component = components(&ours);
        for group in kosaraju_scc(&theirs) {
            let first = component[group[0].index()];
            assert!(group.iter().all(|node| component[node.index()] == first));
            assert_eq!(component.iter().filter(|&&other| other == first).count(), group.len());
        }
        match levels(&ours) {
            Some(level) => {
                acyclic += 1;
                assert!(!is_cyclic_directed(&theirs));
                for node in 0..n as u16 {
                    let above = ours.out(node).iter().map(|&to| level[to as usize] + 1).max().unwrap_or(0);
                    assert_eq!(level[node as usize], above);
                }
            }
            None => {
                cyclic += 1;
                assert!(is_cyclic_directed(&theirs));
            }
        }
    }
    assert!(cyclic > 500 && acyclic > 500);
}

#[test]
fn the_cycle_shown_is_real_and_the_shortest() {
    let mut source = Random::new(12);
    let mut found = 0;
    for _ in 0..3000 {
        let (n, edges) = random(&mut source);
        let graph = Csr::new(n, &edges);
        // Shortest by trying every start with all distances (Floyd and Warshall).
        let mut distance = std::vec![std::vec![999usize; n]; n];
        for (from, to) in &edges {
            distance[*from as usize][*to as usize] = 1;
        }
        for k in 0..n {
            for i in 0..n {
                for j in 0..n {
                    distance[i][j] = distance[i][j].min(distance[i][k] + distance[k][j]);
                }
            }
        }
        let shortest = (0..n).map(|node| distance[node][node]).min().unwrap();
        match shortest_cycle(&graph, &components(&graph)) {
            Some(path) => {
                found += 1;
                assert_eq!(path.len(), shortest);
                for (at, node) in path.iter().enumerate() {
                    assert!(graph.out(*node).contains(&path[(at + 1) % path.len()]));
                }
            }
            None => assert!(shortest >= 999),
        }
    }
    assert!(found > 500);
}

#[test]
fn the_incremental_order_refuses_exactly_the_edges_that_close_a_cycle() {
    let mut source = Random::new(13);
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..400 {
        let n = 2 + source.below(25) as usize;
        let mut order = IncrementalOrder::new(n as u16);
        let mut edges = Vec::new();
        for _ in 0..source.below(80) {
            let edge = (source.below(n as u64) as u16, source.below(n as u64) as u16);
            edges.push(edge);
            let cyclic = levels(&Csr::new(n, &edges)).is_none();
            assert_eq!(order.insert(edge.0, edge.1), !cyclic);
            if cyclic {
                edges.pop();
                refused += 1;
            } else {
                accepted += 1;
            }
            assert!(edges.iter().all(|(from, to)| order.place(*to) < order.place(*from)));
        }
    }
    assert!(accepted > 1000 && refused > 1000);
}

#[test]
fn a_chain_of_the_whole_set_is_walked_without_recursion() {
    let n = 60_000u16;
    let edges: Vec<(u16, u16)> = (1..n).map(|node| (node, node - 1)).collect();
    let graph = Csr::new(n.into(), &edges);
    assert_eq!(levels(&graph).unwrap()[usize::from(n) - 1], n - 1);
    assert_eq!(components(&graph).len(), usize::from(n));
}
