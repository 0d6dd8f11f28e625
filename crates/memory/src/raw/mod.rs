//! stub
mod direct_map;
mod heap;
pub use direct_map::DirectMap;
pub use heap::{HeapStats, KernelHeap};
