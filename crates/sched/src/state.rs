//! Where a task stands: one word, changed by compare-and-swap only. It makes sure, whatever queues and classes do, that a
//! task is never on two CPUs and that no wake-up is lost.
//!
//! ```text
//!            create            wake              insert               start
//!   Free ───────────► Blocked ──────► Transit ──────────► Queued(c) ─────────► Running(c)
//!    ▲                   ▲             ▲  ▲               │  ▲                  │  │  │ │
//!    │                   │             │  └───────────────┘  └──────────────────┘  │  │ │ wake
//!    │                   │             │    take: steal,     requeue: preempted    │  │ ▼
//!    │                   │             │    balance,         or yielded, from      │  │ Notified(c)
//!    │                   │             │    affinity         Running or Notified   │  │  │
//!    │                   │             └───────── block: it was woken meanwhile ───┼──┼──┤
//!    │                   └──────────────────────── block ──────────────────────────┘  │  │
//!    └──────────────────────────────────────────── finish ────────────────────────────┴──┘
//! ```
//!
//! Who may change what:
//! - Blocked: anyone, by `wake`. One of many wakers wins, and with that owns the task in Transit.
//! - Transit: its owner alone, by `insert`. It must not forget to.
//! - Queued(c): who holds the lock of c's queue.
//! - Running(c), Notified(c): CPU c alone, but for `wake`, which anyone may do, and for the accounts, which whoever holds the lock
//!   of c's queue may bring up to date.
//!
//! Races:
//! - *Wake against block.* The task looks at its condition, finds it false, blocks; meanwhile the condition becomes true
//!   and the waker comes. Either its `wake` is first: it leaves Notified, `block` fails and the task is queued again. Or
//!   `block` is first: `wake` finds Blocked.
//! - *Wake against start.* A wake-up that finds Queued does nothing, since the task will look at its condition when it
//!   runs. It must then see the new condition: so `wake` writes the word back even where it changes nothing. In the order
//!   of that word's changes it is before `start`, which acquires it; or after, and finds Running.
//! - *Steal against start.* Both need Queued(c), and the lock of c.
//! - *A late wake-up.* The word holds the task's generation, which `finish` changes: a stale id changes nothing.

use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use types::CpuId;

use crate::atomic::AtomicU64;

/// Phase, CPU and generation of a task: bits 0..8, 8..16, 32..64.
pub(crate) struct StateWord(AtomicU64);

/// What a task is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// No task.
    Free,
    /// Waits for a wake-up.
    Blocked,
    /// Between two places; somebody is about to queue it.
    Transit,
    /// Waits for that CPU.
    Queued(CpuId),
    /// Runs on that CPU.
    Running(CpuId),
    /// Runs on that CPU, and was woken since it began to.
    Notified(CpuId),
}

/// What a wake-up found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// The caller owns the task and has to queue it.
    Owned,
    /// It runs there, and will not block before it looked again.
    Running(CpuId),
    /// It is about to run anyway.
    Pending,
    /// That task has ended.
    Stale,
}

/// What became of a task that wanted to block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blocking {
    /// It is blocked; others may own it already.
    Blocked,
    /// It was woken while it ran: the caller owns it and has to queue it.
    Woken,
}

/// A transition from a state that does not allow it: a bug in the scheduler or its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Violation;

const fn pack(generation: u32, phase: Phase) -> u64 {
    let (phase, cpu) = match phase {
        Phase::Free => (0, 0),
        Phase::Blocked => (1, 0),
        Phase::Transit => (2, 0),
        Phase::Queued(cpu) => (3, cpu.0 & 0xff),
        Phase::Running(cpu) => (4, cpu.0 & 0xff),
        Phase::Notified(cpu) => (5, cpu.0 & 0xff),
    };
    (generation as u64) << 32 | (cpu as u64) << 8 | phase
}

/// Phase and CPU as the lower half of the word.
const fn low(phase: Phase) -> u32 {
    pack(0, phase) as u32
}

const fn unpack(word: u64) -> (u32, Phase) {
    let cpu = CpuId((word >> 8) as u32 & 0xff);
    let phase = match word & 0xff {
        1 => Phase::Blocked,
        2 => Phase::Transit,
        3 => Phase::Queued(cpu),
        4 => Phase::Running(cpu),
        5 => Phase::Notified(cpu),
        _ => Phase::Free,
    };
    ((word >> 32) as u32, phase)
}

impl StateWord {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(pack(0, Phase::Free)))
    }

    /// Generation and phase, for a look.
    pub(crate) fn load(&self) -> (u32, Phase) {
        unpack(self.0.load(Acquire))
    }

    /// The phase of the task of that generation. What the caller wrote before, whoever moves the task on from here will
    /// see: the word is written, as in the race of wake against start.
    pub(crate) fn publish(&self, generation: u32) -> Option<Phase> {
        self.change(|now, phase| (now == generation && phase != Phase::Free).then_some((now, phase)))
            .ok()
            .map(|(_, phase)| phase)
    }

    /// Free → Blocked, by who took the slot from the free list. Returns the generation.
    pub(crate) fn create(&self) -> Result<u32, Violation> {
        self.change(|generation, phase| (phase == Phase::Free).then_some((generation, Phase::Blocked))).map(|(g, _)| g)
    }

    /// A wake-up for the task of that generation.
    pub(crate) fn wake(&self, generation: u32) -> Claim {
        let found = self.change(|now, phase| {
            let next = match phase {
                Phase::Free => return None,
                Phase::Blocked => Phase::Transit,
                Phase::Running(cpu) => Phase::Notified(cpu),
                same @ (Phase::Transit | Phase::Queued(_) | Phase::Notified(_)) => same,
            };
            (now == generation).then_some((now, next))
        });
        match found {
            Err(Violation) => Claim::Stale,
            Ok((_, Phase::Blocked)) => Claim::Owned,
            Ok((_, Phase::Running(cpu) | Phase::Notified(cpu))) => Claim::Running(cpu),
            Ok(_) => Claim::Pending,
        }
    }

    /// Transit → Queued, by the owner, with the lock of `cpu`'s queue.
    #[inline]
    pub(crate) fn insert(&self, cpu: CpuId) -> Result<(), Violation> {
        self.exchange(low(Phase::Transit), low(Phase::Queued(cpu))).map(|_| ())
    }

    /// Queued → Running, by `cpu` with the lock of its queue. Returns the generation.
    #[inline]
    pub(crate) fn start(&self, cpu: CpuId) -> Result<u32, Violation> {
        self.exchange(low(Phase::Queued(cpu)), low(Phase::Running(cpu)))
    }

    /// Running or Notified → Queued, by `cpu` with the lock of its queue.
    #[inline]
    pub(crate) fn requeue(&self, cpu: CpuId) -> Result<(), Violation> {
        let queued = low(Phase::Queued(cpu));
        self.exchange(low(Phase::Running(cpu)), queued)
            .or_else(|_| self.exchange(low(Phase::Notified(cpu)), queued))
            .map(|_| ())
    }

    /// Queued → Transit, with the lock of `cpu`'s queue. The caller owns the task then.
    pub(crate) fn take(&self, cpu: CpuId) -> Result<(), Violation> {
        self.step(|phase| (phase == Phase::Queued(cpu)).then_some(Phase::Transit))
    }

    /// Running → Blocked, or Notified → Transit; by `cpu`, which has written down all that it knows about the task.
    pub(crate) fn block(&self, cpu: CpuId) -> Result<Blocking, Violation> {
        let (_, found) = self.change(|generation, phase| {
            let next = match phase {
                Phase::Running(on) if on == cpu => Phase::Blocked,
                Phase::Notified(on) if on == cpu => Phase::Transit,
                _ => return None,
            };
            Some((generation, next))
        })?;
        Ok(if found == Phase::Running(cpu) { Blocking::Blocked } else { Blocking::Woken })
    }

    /// Running or Notified → Free, by `cpu`. Ids of this generation are stale from here on.
    pub(crate) fn finish(&self, cpu: CpuId) -> Result<(), Violation> {
        self.change(|generation, phase| runs_on(phase, cpu).then_some((generation.wrapping_add(1), Phase::Free)))
            .map(|_| ())
    }

    /// Blocked → Free, for a task that never ran or will never be woken.
    pub(crate) fn cancel(&self, generation: u32) -> Result<(), Violation> {
        self.change(|now, phase| {
            (now == generation && phase == Phase::Blocked).then_some((now.wrapping_add(1), Phase::Free))
        })
        .map(|_| ())
    }

    /// Changes the phase from exactly `from` to `to`; returns the generation, which stays. `Violation` if it is another.
    #[inline]
    fn exchange(&self, from: u32, to: u32) -> Result<u32, Violation> {
        let mut word = self.0.load(Relaxed);
        while word as u32 == from {
            let next = word & !u64::from(u32::MAX) | u64::from(to);
            match self.0.compare_exchange_weak(word, next, AcqRel, Relaxed) {
                Ok(_) => return Ok((word >> 32) as u32),
                Err(now) => word = now,
            }
        }
        Err(Violation)
    }

    fn step(&self, next: impl Fn(Phase) -> Option<Phase>) -> Result<(), Violation> {
        self.change(|generation, phase| Some((generation, next(phase)?))).map(|_| ())
    }

    /// Applies `next`; returns what was there. `None` refuses.
    fn change(&self, next: impl Fn(u32, Phase) -> Option<(u32, Phase)>) -> Result<(u32, Phase), Violation> {
        let mut word = self.0.load(Relaxed);
        loop {
            let (generation, phase) = unpack(word);
            let (new_generation, new_phase) = next(generation, phase).ok_or(Violation)?;
            match self.0.compare_exchange_weak(word, pack(new_generation, new_phase), AcqRel, Relaxed) {
                Ok(_) => return Ok((generation, phase)),
                Err(now) => word = now,
            }
        }
    }
}

fn runs_on(phase: Phase, cpu: CpuId) -> bool {
    phase == Phase::Running(cpu) || phase == Phase::Notified(cpu)
}
