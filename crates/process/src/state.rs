//! The life of a process or thread as a state machine.

use core::sync::atomic::{AtomicU8, Ordering};

use crate::{ProcessError, Result};

/// Where in its life a process or thread is.
///
/// ```text
///            admit            dispatch
///   New ───────────► Ready ───────────► Running
///                    ▲ ▲ ▲ ◄─────────── │ │ │
///              wake  │ │ │   preempt    │ │ │
///   Blocked ─────────┘ │ └──────────────│─│─┘ (yield)
///    │ ▲ └─────────────│────────────────│─│──── sleep
///    │ └───────────────│────────────────┘ │
///    │ stop            │ continue         │ stop (also Ready ─► Suspended)
///    └────────────► Suspended ◄───────────┘
///
///   New, Ready, Running, Blocked, Suspended ── exit or kill ──► Terminated
///   Terminated ── last thread gone, a parent may wait ──► Zombie ── reaped ──► Defunct
///   Terminated ── nobody waits for it (thread, auto-reap) ──────────────────► Defunct
/// ```
///
/// Races: a wake-up of a Running or Ready task is no transition (the executor notes it and polls again); a wake-up of a
/// Suspended one is none either, since only a continue or a kill ends the stop; a kill wins over everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ProcessState {
    /// Made, not yet given to the scheduler.
    New = 0,
    /// Could run.
    Ready = 1,
    /// Runs on a CPU.
    Running = 2,
    /// Waits for something.
    Blocked = 3,
    /// Stopped by a signal, or suspended by the administrator.
    Suspended = 4,
    /// Ends: gives its resources back.
    Terminated = 5,
    /// Has ended; its parent has not asked for the status.
    Zombie = 6,
    /// Gone; only handles still refer to it (the guide's `Dead`).
    Defunct = 7,
}

impl ProcessState {
    /// Every state, in numeric order.
    pub const ALL: [Self; 8] = [
        Self::New,
        Self::Ready,
        Self::Running,
        Self::Blocked,
        Self::Suspended,
        Self::Terminated,
        Self::Zombie,
        Self::Defunct,
    ];

    /// The state of that number.
    ///
    /// # Errors
    /// `InvalidState`.
    pub fn from_number(number: u64) -> Result<Self> {
        Self::ALL.into_iter().find(|state| *state as u64 == number).ok_or(ProcessError::InvalidState)
    }

    /// Whether the machine has an arrow from `self` to `next`.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        self.successors() & (1 << next as u8) != 0
    }

    /// Whether it has begun to end, or has ended.
    #[must_use]
    pub const fn is_ending(self) -> bool {
        self as u8 >= Self::Terminated as u8
    }

    /// The letter that `ps` and `/proc/PID/stat` show.
    #[must_use]
    pub const fn letter(self) -> char {
        match self {
            Self::New | Self::Ready | Self::Running => 'R',
            Self::Blocked => 'S',
            Self::Suspended => 'T',
            Self::Terminated | Self::Defunct => 'X',
            Self::Zombie => 'Z',
        }
    }

    const fn successors(self) -> u8 {
        const fn set(states: &[ProcessState]) -> u8 {
            let mut bits = 0;
            let mut rest = states;
            while let [first, tail @ ..] = rest {
                bits |= 1 << *first as u8;
                rest = tail;
            }
            bits
        }
        match self {
            Self::New => const { set(&[Self::Ready, Self::Terminated]) },
            Self::Ready => const { set(&[Self::Running, Self::Suspended, Self::Terminated]) },
            Self::Running => const { set(&[Self::Ready, Self::Blocked, Self::Suspended, Self::Terminated]) },
            Self::Blocked => const { set(&[Self::Ready, Self::Suspended, Self::Terminated]) },
            Self::Suspended => const { set(&[Self::Ready, Self::Terminated]) },
            Self::Terminated => const { set(&[Self::Zombie, Self::Defunct]) },
            Self::Zombie => const { set(&[Self::Defunct]) },
            Self::Defunct => 0,
        }
    }

    const fn from_bits(bits: u8) -> Self {
        match bits {
            0 => Self::New,
            1 => Self::Ready,
            2 => Self::Running,
            3 => Self::Blocked,
            4 => Self::Suspended,
            5 => Self::Terminated,
            6 => Self::Zombie,
            _ => Self::Defunct,
        }
    }
}

/// A state that several CPUs look at; one byte, no lock.
#[derive(Debug)]
pub struct StateCell(AtomicU8);

impl StateCell {
    /// A cell in state `New`.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU8::new(ProcessState::New as u8))
    }

    /// A cell in state `Ready`: for a process, whose threads say more while it lives.
    pub(crate) const fn alive() -> Self {
        Self(AtomicU8::new(ProcessState::Ready as u8))
    }

    /// The state now.
    #[inline]
    pub fn get(&self) -> ProcessState {
        // Acquire: who sees Zombie also sees the exit status written before it.
        ProcessState::from_bits(self.0.load(Ordering::Acquire))
    }

    /// Follows an arrow of the machine; the state it came from.
    ///
    /// # Errors
    /// `InvalidState`, and nothing changed, if there is no such arrow.
    #[inline]
    pub fn advance(&self, next: ProcessState) -> Result<ProcessState> {
        self.0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |bits| {
                ProcessState::from_bits(bits).may_become(next).then_some(next as u8)
            })
            .map(ProcessState::from_bits)
            .map_err(|_| ProcessError::InvalidState)
    }

    /// A CPU takes the task: to Running over Ready in one step, from any state that may become Ready. Elsewhere (the end
    /// of a life) nothing changes.
    #[inline]
    pub fn dispatch(&self) {
        // Mostly woken (Blocked) or preempted (Ready).
        let mut from = self.0.load(Ordering::Relaxed);
        while ProcessState::from_bits(from) == ProcessState::Ready
            || ProcessState::from_bits(from).may_become(ProcessState::Ready)
        {
            let next = ProcessState::Running as u8;
            match self.0.compare_exchange_weak(from, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => from = now,
            }
        }
    }

    /// Follows the arrow `from` to `next` if the cell is in `from`; whether it was.
    #[inline]
    pub fn advance_from(&self, from: ProcessState, next: ProcessState) -> bool {
        from.may_become(next)
            && self.0.compare_exchange(from as u8, next as u8, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

impl Default for StateCell {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ProcessState::*;

    const ARROWS: [(ProcessState, ProcessState); 17] = [
        (New, Ready),
        (New, Terminated),
        (Ready, Running),
        (Ready, Suspended),
        (Ready, Terminated),
        (Running, Ready),
        (Running, Blocked),
        (Running, Suspended),
        (Running, Terminated),
        (Blocked, Ready),
        (Blocked, Suspended),
        (Blocked, Terminated),
        (Suspended, Ready),
        (Suspended, Terminated),
        (Terminated, Zombie),
        (Terminated, Defunct),
        (Zombie, Defunct),
    ];

    #[test]
    fn only_the_drawn_arrows_exist() {
        for from in ProcessState::ALL {
            for to in ProcessState::ALL {
                assert_eq!(from.may_become(to), ARROWS.contains(&(from, to)), "{from:?} -> {to:?}");
            }
        }
    }

    #[test]
    fn illegal_transition_is_an_error_and_changes_nothing() {
        for from in ProcessState::ALL {
            for to in ProcessState::ALL {
                let cell = StateCell(AtomicU8::new(from as u8));
                match cell.advance(to) {
                    Ok(old) => assert_eq!((old, cell.get()), (from, to)),
                    Err(error) => assert_eq!((error, cell.get()), (ProcessError::InvalidState, from)),
                }
            }
        }
    }

    #[test]
    fn advance_from_needs_the_named_state() {
        let cell = StateCell::new();
        assert!(!cell.advance_from(Ready, Running));
        assert!(cell.advance_from(New, Ready) && cell.advance_from(Ready, Running));
        assert!(!cell.advance_from(Running, Zombie), "not an arrow");
        assert_eq!(cell.get(), Running);
    }

    #[test]
    fn dispatch_runs_whatever_may_become_ready_and_nothing_that_ends() {
        for from in ProcessState::ALL {
            let cell = StateCell(AtomicU8::new(from as u8));
            cell.dispatch();
            let expected = if from.is_ending() { from } else { Running };
            assert_eq!(cell.get(), expected, "from {from:?}");
        }
    }

    #[test]
    fn defunct_is_final_and_every_state_is_reachable() {
        assert!(ProcessState::ALL.iter().all(|next| !Defunct.may_become(*next)));
        for state in ProcessState::ALL.into_iter().skip(1) {
            assert!(ProcessState::ALL.iter().any(|from| from.may_become(state)), "{state:?}");
        }
    }
}
