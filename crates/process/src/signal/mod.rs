//! Signals: what is pending, what is blocked, what happens about it, and the frame a handler runs on.
//!
//! A thread embeds `Arc<ThreadSignals>`, a process `ProcessSignals`; both hold their own locks, taken in the order process,
//! actions, thread, and nothing is woken inside: a send returns whom to kick ([`SendEffect`]).
//!
//! The way of a signal:
//!
//! ```text
//! send ─► ignored? ─► dropped          needs_attention() (one atomic load at every return to user mode)
//!   │                                    │
//!   ├─► private or shared Pending ─► next_deliverable() ─► Handler   build a frame, handler_entered()
//!   └─► kick one thread                                ├─► StopRequested  orphan check, begin_stop(), again
//!                                                      ├─► Stop      report, park until !is_stopped(), again
//!                                                      ├─► Terminate, Exit
//!                                                      └─► None      back to user mode, restart the call
//! ```

mod action;
mod altstack;
mod deliver;
pub mod frame;
mod info;
mod pending;
mod process;
mod protection;
mod quota;
mod restart;
mod send;
mod stop;
mod thread;

#[cfg(test)]
mod tests;

use abi::{SigSet, Signal};

pub use action::{Action, ActionFlags, DefaultAction, Dispositions, default_action};
pub use altstack::{AltStack, AltStackError, MINSIGSTKSZ};
pub use deliver::{Caught, Delivery};
pub use info::{SI_KERNEL, SI_QUEUE, SI_TIMER, SI_TKILL, SI_USER, SIGINFO_SIZE, SigInfo};
pub use pending::{Pending, Pushed};
pub use process::{HandlerSharing, ProcessSignals, SignalStatistics};
pub use quota::{Charge, SignalQuota};
pub use restart::{Restart, finish_interrupted};
pub use send::{Kick, Quota, SendEffect, SendError, Sent};
pub use stop::{StopTicket, StopView};
pub use thread::ThreadSignals;

/// Signals a program causes by its own instructions; served before all others.
pub const SYNCHRONOUS: SigSet = SigSet::EMPTY
    .with(Signal::SEGV)
    .with(Signal::BUS)
    .with(Signal::ILL)
    .with(Signal::TRAP)
    .with(Signal::FPE)
    .with(Signal::SYS);

/// Signals whose default action stops a process.
pub const STOPPING: SigSet = SigSet::EMPTY.with(Signal::STOP).with(Signal::TSTP).with(Signal::TTIN).with(Signal::TTOU);
