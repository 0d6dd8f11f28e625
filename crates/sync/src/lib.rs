//! Locks with ranks, wait queues and timer queues: how kernel code waits.
//!
//! The kernel runs with interrupts off in ring 0 (they are taken in user mode and in the idle loop only), so there is one
//! kind of spin lock, safe everywhere. A CPU that spins calls the relax hook, which serves TLB shoot-downs: that is why
//! a shoot-down may be waited for under a lock.
#![no_std]
#![deny(unsafe_code)]

extern crate alloc;
#[cfg(not(target_os = "none"))]
extern crate std;

mod hooks;
#[expect(unsafe_code, reason = "intrusive links: see the module")]
mod lanes;
#[expect(unsafe_code, reason = "a second owner of one reference: see the module")]
mod lent_waker;
mod quota;
mod rank;
mod spin_lock;
mod timer_queue;
mod wait_queue;

#[cfg_attr(target_os = "none", path = "held_kernel.rs")]
#[cfg_attr(not(target_os = "none"), path = "held_host.rs")]
mod held;

#[cfg_attr(target_os = "none", path = "cpu_kernel.rs")]
#[cfg_attr(not(target_os = "none"), path = "cpu_host.rs")]
mod cpu;

pub use cpu::current_cpu;
pub use hooks::{Hooks, install, relax};
pub use lanes::{End, Lanes, Linked, Links};
pub use lent_waker::LentWaker;
/// A value made at its first use, in memory of its own: a pointer where it is not wanted.
pub use once_cell::race::OnceBox;
pub use quota::Quota;
pub use rank::Rank;
pub use spin::{LazyLock, Once};
pub use spin_lock::{SpinGuard, SpinLock};
pub use timer_queue::{Moment, TimerQueue, TimerToken};
pub use wait_queue::{WaitQueue, WaitToken, WaitUntil};
