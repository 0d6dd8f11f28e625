//! Memory: frames, the kernel heap, page tables, address spaces.
//!
//! Page tables are plain data here, reached through the direct map; what needs the machine (CR3, `invlpg`, IPIs) is behind
//! [`hal::Mmu`]. So the whole crate runs on the host, against a software MMU and a naive model.
//!
//! All `unsafe` is in the module `raw`.
#![no_std]
#![deny(unsafe_code)]

extern crate alloc;
#[cfg(not(target_os = "none"))]
extern crate std;

mod error;
mod fixed_page;
mod frames;
mod kernel_tables;
mod pager;
mod pte;
#[allow(unsafe_code)]
mod raw;
mod request;
mod shared_memory;
mod space;
#[cfg(test)]
mod testing;

pub use error::MemoryError;
pub use fixed_page::{FixedPage, KernelPages};
pub use frames::{FrameKind, FrameStats, Frames, MemoryRegion, Purpose};
pub use kernel_tables::{ImageSegment, KernelLayout, KernelTables, PagingFeatures};
pub use pager::{ObjectId, PageAccess, Pager, PagerError};
pub use pte::Pte;
pub use raw::{DirectMap, HeapStats, KernelHeap};
pub use request::{
    Advice, AreaInfo, AreaKind, Backing, FaultKind, FaultOutcome, FutexKey, FutexScope, LockMode, MapFlags, MapRequest,
    Placement, PrivateCopies, Prot, RemapPlacement, Sharing, SpaceLimits, Usage,
};
pub use shared_memory::SharedMemory;
pub use space::{AddressSpace, Launch};
