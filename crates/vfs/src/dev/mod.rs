//! Simple devices, and the file system that holds device nodes.

mod devfs;
mod memory;
mod random;

pub use devfs::{devfs, number, register_memory_devices};
pub use memory::{FullDevice, KernelLog, LogDevice, NullDevice, ZeroDevice};
pub use random::{RandomDevice, RandomSource};
