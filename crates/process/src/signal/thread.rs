//! One thread's part of the signal state: mask, private pending signals, alternate stack.

use alloc::sync::Arc;
use core::num::NonZeroU64;
use core::sync::atomic::{AtomicU32, Ordering};

use abi::{SigSet, SigaltStack};
use sync::{Rank, SpinLock};
use types::Tid;

use super::{AltStack, AltStackError, Pending};

/// A signal can be delivered.
pub(super) const SIGNAL: u32 = 1;
/// The process is stopping and this thread has not stopped yet.
pub(super) const STOP: u32 = 2;
/// The thread has to end: the process ends or another thread executes a program.
pub(super) const EXIT: u32 = 4;
/// A temporary mask is to be undone before user mode.
pub(super) const RESTORE: u32 = 8;
/// The thread is stopped. Not a reason to look, but cleared by what continues it.
pub(super) const STOPPED: u32 = 16;
/// The thread's cell may not let it go back to user mode: to be asked before. Ends no wait.
const HELD: u32 = 32;

/// Reasons to end a wait early.
const INTERRUPTING: u32 = SIGNAL | STOP | EXIT;
/// Reasons to look at signals before user mode.
const ATTENTION: u32 = INTERRUPTING | RESTORE | HELD;

/// Signal state of one thread; shared by the thread and by the [`super::ProcessSignals`] it is attached to.
#[derive(Debug)]
pub struct ThreadSignals {
    // Changes once at most: exec gives a thread its leader's number.
    tid: AtomicU32,
    // Written under the lock of `state`; read anywhere without it. A reader that misses a fresh bit is kicked after.
    bits: AtomicU32,
    state: SpinLock<ThreadState>,
}

#[derive(Debug)]
pub(super) struct ThreadState {
    pub(super) blocked: SigSet,
    /// The mask to return to, while `sigsuspend`, `ppoll` and the like have put another in force.
    pub(super) saved: SavedMask,
    /// What a running `sigtimedwait` waits for.
    pub(super) waiting_for: SigSet,
    pub(super) altstack: AltStack,
    pub(super) pending: Pending,
}

/// A mask that was put aside, or none. No mask contains SIGKILL: its complement is never zero, so that none takes no room.
#[derive(Debug)]
pub(super) struct SavedMask(Option<NonZeroU64>);

impl SavedMask {
    pub(super) const NONE: Self = Self(None);

    pub(super) fn get(&self) -> Option<SigSet> {
        self.0.map(|complement| SigSet(!complement.get()))
    }

    pub(super) fn take(&mut self) -> Option<SigSet> {
        core::mem::replace(self, Self::NONE).get()
    }

    /// Puts `mask` aside unless there is one already.
    pub(super) fn put(&mut self, mask: SigSet) {
        if self.0.is_none() {
            self.0 = NonZeroU64::new(!mask.0);
        }
    }
}

impl ThreadState {
    /// Whether the thread would take `signal` if it came.
    pub(super) fn wants(&self, signal: abi::Signal) -> bool {
        signal.is_unblockable() || !self.blocked.contains(signal) || self.waiting_for.contains(signal)
    }
}

impl ThreadSignals {
    /// A thread that blocks nothing, without alternate stack: the first of all.
    pub fn new(tid: Tid) -> Arc<Self> {
        Self::with(tid, SigSet::EMPTY, AltStack::NONE)
    }

    /// The first thread of a forked process: mask and alternate stack are inherited, pending signals are not.
    pub fn forked(&self, tid: Tid) -> Arc<Self> {
        let (mask, altstack) = self.read(|state| (state.saved.get().unwrap_or(state.blocked), state.altstack));
        Self::with(tid, mask, altstack)
    }

    /// A new thread sharing memory with this one: the mask is inherited, the alternate stack is not.
    pub fn spawned(&self, tid: Tid) -> Arc<Self> {
        let mask = self.read(|state| state.saved.get().unwrap_or(state.blocked));
        Self::with(tid, mask, AltStack::NONE)
    }

    fn with(tid: Tid, blocked: SigSet, altstack: AltStack) -> Arc<Self> {
        let state = ThreadState {
            blocked,
            saved: SavedMask::NONE,
            waiting_for: SigSet::EMPTY,
            altstack,
            pending: Pending::new(),
        };
        Arc::new(Self {
            tid: AtomicU32::new(tid.0),
            bits: AtomicU32::new(0),
            state: SpinLock::new(Rank::THREAD_SIGNALS, state),
        })
    }

    /// The thread's number.
    pub fn tid(&self) -> Tid {
        Tid(self.tid.load(Ordering::Relaxed))
    }

    /// Exec by a thread that is not the leader: it takes over the leader's number.
    pub(crate) fn set_tid(&self, tid: Tid) {
        self.tid.store(tid.0, Ordering::Relaxed);
    }

    /// Whether signals must be looked at before user mode: one load.
    #[inline]
    pub fn needs_attention(&self) -> bool {
        self.bits.load(Ordering::Acquire) & ATTENTION != 0
    }

    /// Whether a wait must end early: a signal can be delivered, the process stops, or the thread has to end.
    #[inline]
    pub fn has_deliverable(&self) -> bool {
        self.bits.load(Ordering::Acquire) & INTERRUPTING != 0
    }

    /// Whether the thread has been told to end.
    #[inline]
    pub fn must_exit(&self) -> bool {
        self.bits.load(Ordering::Acquire) & EXIT != 0
    }

    /// Whether the thread is parked by a stop signal. It looks again whenever it is kicked.
    #[inline]
    pub fn is_stopped(&self) -> bool {
        self.bits.load(Ordering::Acquire) & STOPPED != 0
    }

    /// Its cell is to be asked before it goes back to user mode.
    pub fn hold(&self) {
        let _state = self.state.lock();
        self.raise(HELD);
    }

    /// The cell is about to be asked: what it says from now on is told anew.
    pub fn release(&self) {
        let _state = self.state.lock();
        self.clear(HELD);
    }

    /// Whether its cell is to be asked before it goes back to user mode.
    #[inline]
    pub fn is_held(&self) -> bool {
        self.bits.load(Ordering::Acquire) & HELD != 0
    }

    /// The signals it blocks.
    pub fn mask(&self) -> SigSet {
        self.read(|state| state.blocked)
    }

    /// Signals sent to this thread alone (`SigPnd` in /proc).
    pub fn private_pending(&self) -> SigSet {
        self.read(|state| state.pending.set())
    }

    /// The alternate stack.
    pub fn altstack(&self) -> AltStack {
        self.read(|state| state.altstack)
    }

    /// `sigaltstack`: replaces the alternate stack, with the stack pointer at `rsp`.
    ///
    /// # Errors
    /// See [`AltStackError`].
    pub fn set_altstack(&self, wanted: &SigaltStack, rsp: u64, minimum: u64) -> Result<(), AltStackError> {
        let mut state = self.state.lock();
        state.altstack = state.altstack.replace(wanted, rsp, minimum)?;
        Ok(())
    }

    /// What exec does to a thread: no alternate stack. Mask and pending signals stay.
    pub fn reset_for_exec(&self) {
        self.state.lock().altstack = AltStack::NONE;
    }

    /// Tells the thread to end; the caller kicks it. Used by exec for the other threads.
    pub fn request_exit(&self) {
        let _state = self.state.lock();
        self.clear(STOP | STOPPED);
        self.raise(EXIT);
    }

    pub(super) fn read<T>(&self, get: impl FnOnce(&ThreadState) -> T) -> T {
        get(&self.state.lock())
    }

    pub(super) fn lock(&self) -> sync::SpinGuard<'_, ThreadState> {
        self.state.lock()
    }

    pub(super) fn bits(&self) -> u32 {
        self.bits.load(Ordering::Acquire)
    }

    /// Sets bits; under the lock.
    pub(super) fn raise(&self, bits: u32) {
        self.bits.fetch_or(bits, Ordering::AcqRel);
    }

    /// Clears bits; under the lock.
    pub(super) fn clear(&self, bits: u32) {
        self.bits.fetch_and(!bits, Ordering::AcqRel);
    }

    /// Sets the signal bit to whether one of `state` or of the process's `shared` set can be delivered.
    pub(super) fn recompute(&self, state: &ThreadState, shared: SigSet) {
        let ready = state.pending.set().union(shared).difference(state.blocked);
        if ready.is_empty() { self.clear(SIGNAL) } else { self.raise(SIGNAL) }
    }
}
