//! /proc: what programs learn about processes and the system, in the text formats of Linux (proc(5)).
//!
//! The tree knows names, numbers, permissions and formats; every figure comes from a [`ProcSource`], which the kernel
//! implements, and from [`NamedFile`]s (version, cpuinfo, sys/…, multios/…). A file's content is made when it is first
//! read, and made anew by each read at offset 0.

mod file;
mod items;
mod named;
mod source;
mod system;
mod task;
mod text;
mod tree;

#[cfg(test)]
mod tests;

pub use items::ProcItems;
pub use named::{NamedFile, ProcText, SystemNames, cpu_info, standard_files, uuid};
pub use source::{
    CpuInfo, CpuTimes, FdInfo, IoCounts, LinkKind, Load, MapsLine, MemoryInfo, Namespace, NestedNumbers, ProcSource,
    StatTotals, TaskBytes, TaskId, TaskMemory, TaskOwner, TaskSetting, TaskSnapshot, TaskState, TaskWriter,
};
pub use text::Text;
pub use tree::ProcFs;
