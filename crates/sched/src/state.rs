//! Where a task stands: one byte. It makes sure, whatever queues and classes do, that a task is never on two CPUs and that no
//! wake-up is lost.
//!
//! ```text
//!            wake                   start
//!  Blocked ───────────► Queued ─────────────────────► Running ──► Ended
//!     ▲                 ▲   ▲                          │   │
//!     │                 │   │ requeue                  │   │ wake
//!     │                 │   └──────────────────────────┤   ▼
//!     │                 └─ block, requeue ─────────────┼─ Notified
//!     └────────────────────────────────────────────────┘ block
//! ```
//!
//! Who may change what:
//! - Blocked: anyone, by `wake`. One of many wakers wins, and with that owns the task: it has to queue it.
//! - Queued: who took it out of a queue, under that queue's lock; in between (stealing, placing) it is its alone.
//! - Running, Notified: the CPU that polls it alone, but for `wake`, which anyone may do.
//!
//! Races:
//! - *Wake against block.* The task looks at its condition, finds it false, blocks; meanwhile the condition becomes true
//!   and the waker comes. Either its `wake` is first: it leaves Notified, `block` fails and the task is queued again. Or
//!   `block` is first: `wake` finds Blocked.
//! - *Wake against start.* A wake-up that finds Queued does nothing, since the task will look at its condition when it runs. It
//!   must then see the new condition: there is a full barrier on both sides, between the condition and the look at the state
//!   and between the state and the look at the condition.
//! - *A late wake-up* finds Ended, which is left by nobody.

use core::sync::atomic::Ordering::{AcqRel, Acquire, Release, SeqCst};

use crate::atomic::{AtomicU8, fence, fence_after_swap};

/// What a task is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Waits for a wake-up.
    Blocked = 0,
    /// Waits for a CPU, or is on its way to a queue.
    Queued = 1,
    /// Runs.
    Running = 2,
    /// Runs, and was woken since it began to.
    Notified = 3,
    /// There is nothing more to do.
    Ended = 4,
}

/// What a wake-up found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// The caller owns the task and has to queue it.
    Owned,
    /// It runs, and will not block before it looked again.
    Running,
    /// It is about to run anyway.
    Pending,
    /// It has ended.
    Ended,
}

pub(crate) struct State(AtomicU8);

impl State {
    /// A task that somebody owns who is about to queue it.
    pub(crate) fn queued() -> Self {
        Self(AtomicU8::new(Phase::Queued as u8))
    }

    /// For a look.
    pub(crate) fn phase(&self) -> Phase {
        match self.0.load(Acquire) {
            0 => Phase::Blocked,
            1 => Phase::Queued,
            2 => Phase::Running,
            3 => Phase::Notified,
            _ => Phase::Ended,
        }
    }

    /// A wake-up.
    #[inline]
    pub(crate) fn wake(&self) -> Claim {
        const BLOCKED: u8 = Phase::Blocked as u8;
        const QUEUED: u8 = Phase::Queued as u8;
        const RUNNING: u8 = Phase::Running as u8;
        const NOTIFIED: u8 = Phase::Notified as u8;
        fence(SeqCst);
        let mut state = self.0.load(Acquire);
        loop {
            let (next, claim) = match state {
                BLOCKED => (QUEUED, Claim::Owned),
                RUNNING => (NOTIFIED, Claim::Running),
                // It may have looked at what it was woken for before, and have gone back to user mode since.
                NOTIFIED => return Claim::Running,
                QUEUED => return Claim::Pending,
                _ => return Claim::Ended,
            };
            match self.0.compare_exchange_weak(state, next, AcqRel, Acquire) {
                Ok(_) => return claim,
                Err(now) => state = now,
            }
        }
    }

    /// Queued → Running, by the CPU that took it out of a queue.
    #[inline]
    pub(crate) fn start(&self) {
        // A full barrier, as in `wake`: either the waker sees this state or the task what it was woken for.
        self.0.swap(Phase::Running as u8, SeqCst);
        fence_after_swap(SeqCst);
    }

    /// Running → Blocked, or Notified → Queued: whether it is blocked. If not, the caller owns it and has to queue it; if so,
    /// others may own it already.
    #[inline]
    pub(crate) fn block(&self) -> bool {
        let (running, blocked) = (Phase::Running as u8, Phase::Blocked as u8);
        let blocks = self.0.compare_exchange(running, blocked, AcqRel, Acquire).is_ok();
        if !blocks {
            self.requeue();
        }
        blocks
    }

    /// Running or Notified → Queued, by the CPU that runs it. It goes on anyway, whether woken meanwhile or not.
    #[inline]
    pub(crate) fn requeue(&self) {
        self.0.store(Phase::Queued as u8, Release);
    }

    /// Running or Notified → Ended, by the CPU that runs it.
    pub(crate) fn end(&self) {
        self.0.swap(Phase::Ended as u8, AcqRel);
    }
}
