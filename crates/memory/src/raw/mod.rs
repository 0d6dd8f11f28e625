//! Everything that touches memory by address: the direct map, frame metadata, the buddy's free blocks, the kernel heap.
//!
//! The only module of the crate with `unsafe`. What its safe functions rely on: a [`DirectMap`] is made once by code that
//! promises what its `new` asks for, and the rest of the crate passes it frames that it got from [`crate::Frames`] (or
//! that a table it built refers to). Bytes of frames may also be changed by user programs at any time; they are plain bytes,
//! copied once and then judged.

mod buddy;
mod direct_map;
mod heap;
#[cfg(not(target_os = "none"))]
mod host;
mod metadata;

pub(crate) use buddy::ChunkBuddy;
pub use direct_map::DirectMap;
pub(crate) use direct_map::Table;
pub use heap::{HeapStats, KernelHeap};
pub(crate) use metadata::{ChunkMeta, FRAMES_PER_SECTION, FrameMeta, Metadata, Near, SECTION_BYTES};
