//! Directed graphs over small numbers: adjacency, components, shortest cycle, levels, incremental order.
//!
//! An edge `(a, b)` says that `a` depends on `b`. Nothing here recurses: chains are as long as the set is large.

mod components;
mod csr;
mod groups;
mod incremental;
mod levels;

pub use components::{components, shortest_cycle};
pub use csr::Csr;
pub use groups::Groups;
pub use incremental::IncrementalOrder;
pub use levels::{levels, remaining_path};
