//! The supervisor against a simulated world: a virtual clock, injected faults, invariants after every event.

mod bench;
mod catalog;
mod emergency;
mod exhaustive;
mod graph;
mod invariants;
mod manager;
mod mutants;
mod random;
mod replay;
mod simulation;
mod situations;
mod victim;
mod why;
mod world;
