//! The supervisor against a simulated world: a virtual clock, injected faults, invariants after every event.

mod catalog;
mod graph;
mod invariants;
mod mutants;
mod random;
mod simulation;
mod situations;
mod victim;
mod why;
mod world;
