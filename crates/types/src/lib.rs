//! Newtypes that every room shares: addresses, CPU numbers, process ids, time, credentials.
//!
//! Plain data without behaviour that could fail; nothing here knows a kernel exists.
#![no_std]
#![forbid(unsafe_code)]

mod capabilities;
mod cpu;
mod credentials;
mod id;
mod time;

pub use capabilities::Capabilities;
pub use cpu::{ApicId, CpuId, CpuSet, MAX_CPUS};
pub use credentials::{Credentials, MAX_GROUPS, SecureBits};
pub use id::{Gid, Pgid, Pid, Sid, Tid, Uid};
pub use time::Nanos;
pub use x86_64::{PhysAddr, VirtAddr};

/// Bytes in a page and in a frame.
pub const PAGE_SIZE: usize = 4096;

/// One past the last byte a user program may map (2^47 less one guard page, as on Linux).
///
/// The last page below the canonical hole is never mapped, so that a `syscall` instruction at the very end of user
/// space cannot return to a non-canonical address (CVE-2012-0217).
pub const USER_END: u64 = 0x0000_7fff_ffff_f000;
