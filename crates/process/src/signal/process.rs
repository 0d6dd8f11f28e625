//! One process's part of the signal state: shared pending signals, actions, its threads, stops.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering, fence};

use abi::{SigSet, Signal};
use smallvec::SmallVec;
use sync::{OnceBox, Rank, SpinGuard, SpinLock, WaitQueue};
use types::Tid;

use super::action::{DefaultAction, default_action};
use super::protection::Protection;
use super::stop::StopState;
use super::thread::{EXIT, RESTORE, STOP, STOPPED};
use super::{Action, Dispositions, Kick, SigInfo, ThreadSignals};

/// How a counter of [`SignalStatistics`] is kept.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) sent: Counter,
    pub(super) delivered: Counter,
    pub(super) blocked: Counter,
    pub(super) ignored: Counter,
}

/// What happened to a process's signals since it was created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SignalStatistics {
    /// Sent to it or to one of its threads.
    pub sent: u64,
    /// Acted upon or accepted (handler, stop, end, `sigtimedwait`, signalfd).
    pub delivered: u64,
    /// Found every thread blocking them when they came.
    pub blocked: u64,
    /// Dropped because the process ignores them.
    pub ignored: u64,
}

/// Whether a new process shares its parent's actions (`CLONE_SIGHAND`) or gets a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandlerSharing {
    /// A copy, as fork makes.
    Copy,
    /// One table for both.
    Share,
}

/// Signal state of one process (thread group).
#[derive(Debug)]
pub struct ProcessSignals {
    pub(super) state: SpinLock<State>,
    // Copy of `state.shared.set()`, for threads that change their mask without the lock. Stored under the lock before
    // any thread's lock is taken, read under a thread's lock: one of the two sides always sees the other.
    pub(super) shared_set: AtomicU64,
    pub(super) statistics: Counters,
    // Made when a signalfd first waits.
    arrivals: OnceBox<Arc<WaitQueue>>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) shared: super::Pending,
    pub(super) actions: Arc<SpinLock<Dispositions>>,
    // In order of creation: the leader first, while it lives.
    pub(super) threads: SmallVec<[Arc<ThreadSignals>; 1]>,
    pub(super) stop: StopState,
    /// The first process: signals with default action do not reach it.
    pub(super) protection: Protection,
    pub(super) exiting: bool,
}

impl ProcessSignals {
    /// A process without threads that handles every signal by default.
    pub fn new() -> Self {
        Self::with(Arc::new(SpinLock::new(Rank::SIGNAL_ACTIONS, Dispositions::new())))
    }

    /// The state of a forked process: actions copied or shared, nothing pending, no threads yet.
    pub fn forked(&self, sharing: HandlerSharing) -> Self {
        let actions = self.state.lock().actions.clone();
        Self::with(match sharing {
            HandlerSharing::Share => actions,
            HandlerSharing::Copy => {
                let copy = actions.lock().clone();
                Arc::new(SpinLock::new(Rank::SIGNAL_ACTIONS, copy))
            }
        })
    }

    fn with(actions: Arc<SpinLock<Dispositions>>) -> Self {
        let state = State {
            shared: super::Pending::new(),
            actions,
            threads: SmallVec::new(),
            stop: StopState::new(),
            protection: Protection::None,
            exiting: false,
        };
        Self {
            state: SpinLock::new(Rank::SIGNALS, state),
            shared_set: AtomicU64::new(0),
            statistics: Counters::default(),
            arrivals: OnceBox::new(),
        }
    }

    /// Makes this the first process: signals with default action no longer reach it, not even SIGKILL.
    pub fn protect(&self) {
        self.state.lock().protection = Protection::Full;
    }

    /// Lets the default action of signals reach it again.
    pub(crate) fn unprotect(&self) {
        self.state.lock().protection = Protection::None;
    }

    /// Lets the next SIGSTOP stop it all the same: it comes from outside of the namespace that it leads.
    pub(crate) fn admit_stop(&self) {
        let mut state = self.state.lock();
        if state.protection == Protection::Full {
            state.protection = Protection::AdmitsStop;
        }
    }

    /// Adds a thread; `false` if memory is short, and nothing changed.
    #[must_use]
    pub fn attach(&self, thread: Arc<ThreadSignals>) -> bool {
        let mut state = self.state.lock();
        if state.threads.try_reserve(1).is_err() {
            return false;
        }
        {
            let own = thread.lock();
            thread.recompute(&own, state.shared.set());
            if state.stop.is_stopping() {
                thread.raise(STOP);
            }
            if state.exiting {
                thread.raise(EXIT);
            }
        }
        state.threads.push(thread);
        true
    }

    /// Removes a thread that ends: what it was to take goes to others. Whom to kick, and whether the process is stopped
    /// now that this thread no longer counts (then tell the parent, with that signal).
    pub fn detach(&self, tid: Tid) -> (Kick, Option<Signal>) {
        let (removed, kick, stopped) = {
            let mut state = self.state.lock();
            let Some(at) = state.threads.iter().position(|thread| thread.tid() == tid) else {
                return (Kick::None, None);
            };
            let removed = if state.threads.len() == 1 { state.threads.pop() } else { Some(state.threads.remove(at)) };
            let (kick, stopped) = if state.exiting {
                (Kick::None, None)
            } else {
                (self.retarget(&state, tid, SigSet::ALL), state.finish_stop())
            };
            (removed, kick, stopped)
        };
        drop(removed);
        (kick, stopped)
    }

    /// Exec by the only thread left: its new number, handlers back to default in a table of its own, no alternate stack,
    /// ignored signals, mask and pending signals kept.
    pub fn exec(&self, thread: &ThreadSignals) {
        thread.reset_for_exec();
        let mut state = self.state.lock();
        if let Some(own) = Arc::get_mut(&mut state.actions) {
            own.get_mut().reset_for_exec();
            return;
        }
        // Shared with another process (CLONE_SIGHAND), which keeps them.
        let mut copy = state.actions.lock().clone();
        copy.reset_for_exec();
        state.actions = Arc::new(SpinLock::new(Rank::SIGNAL_ACTIONS, copy));
    }

    /// Ends the process: no more signals, every thread is told to end. Whether this was the first call; kick all then.
    pub fn begin_exit(&self) -> bool {
        let mut state = self.state.lock();
        let first = !state.exiting;
        state.exiting = true;
        state.end_stop();
        for thread in &state.threads {
            let _own = thread.lock();
            thread.clear(STOP | STOPPED);
            thread.raise(EXIT);
        }
        first
    }

    /// All its threads have to ask their cell before they go back to user mode.
    pub fn hold_all(&self) -> Kick {
        let state = self.state.lock();
        state.threads.iter().for_each(|thread| thread.hold());
        Kick::All
    }

    /// Whether the process is ending.
    pub fn is_exiting(&self) -> bool {
        self.state.lock().exiting
    }

    /// The action for `signal`.
    pub fn action(&self, signal: Signal) -> Action {
        self.state.lock().actions.lock().get(signal)
    }

    /// `rt_sigaction`: sets the action and returns the old one. The caller refuses SIGKILL and SIGSTOP (EINVAL).
    pub fn set_action(&self, signal: Signal, action: Action) -> Action {
        let mut state = self.state.lock();
        let old = state.actions.lock().set(signal, action);
        if !signal.is_unblockable() && action.ignores(signal) {
            // POSIX: setting a signal to be ignored discards it even where it is blocked.
            self.discard_everywhere(&mut state, SigSet::EMPTY.with(signal));
        }
        old
    }

    /// Sets every handler back to default (`CLONE_CLEAR_SIGHAND`).
    pub fn clear_handlers(&self) {
        self.state.lock().actions.lock().clear_handlers();
    }

    /// Tells tables of actions apart: equal for those who share one (CLONE_SIGHAND).
    pub fn actions_identity(&self) -> usize {
        Arc::as_ptr(&self.state.lock().actions) as usize
    }

    /// Reads the table of actions.
    pub fn with_actions<T>(&self, read: impl FnOnce(&Dispositions) -> T) -> T {
        let actions = self.state.lock().actions.clone();
        let actions = actions.lock();
        read(&actions)
    }

    /// Changes a thread's mask; SIGKILL and SIGSTOP drop out. Whom to kick: others that take over what it blocks now.
    pub fn set_mask(&self, thread: &ThreadSignals, mask: SigSet) -> Kick {
        let newly_blocked = {
            let mut own = thread.lock();
            let old = own.blocked;
            own.blocked = mask.difference(SigSet::UNBLOCKABLE);
            let shared = self.shared_now();
            thread.recompute(&own, shared);
            own.blocked.difference(old).intersection(shared)
        };
        if newly_blocked.is_empty() {
            return Kick::None;
        }
        let state = self.state.lock();
        self.retarget(&state, thread.tid(), newly_blocked)
    }

    /// Puts `mask` in force for the length of one call (`sigsuspend`, `ppoll`, `pselect`, `epoll_pwait`).
    pub fn set_temporary_mask(&self, thread: &ThreadSignals, mask: SigSet) -> Kick {
        {
            let mut own = thread.lock();
            let old = own.blocked;
            own.saved.put(old);
            thread.raise(RESTORE);
        }
        self.set_mask(thread, mask)
    }

    /// Undoes [`ProcessSignals::set_temporary_mask`] at once: for a call that was *not* interrupted. After an interrupted
    /// one nothing is to be done: the old mask goes into the handler's frame, or comes back before user mode.
    pub fn restore_mask(&self, thread: &ThreadSignals) -> Kick {
        let saved = {
            let mut own = thread.lock();
            thread.clear(RESTORE);
            own.saved.take()
        };
        saved.map_or(Kick::None, |mask| self.set_mask(thread, mask))
    }

    /// `rt_sigpending`: blocked signals that wait for the thread.
    pub fn pending_for(&self, thread: &ThreadSignals) -> SigSet {
        let own = thread.lock();
        own.pending.set().union(self.shared_now()).intersection(own.blocked)
    }

    /// Signals pending for the whole process (`ShdPnd` in /proc).
    pub fn shared_pending(&self) -> SigSet {
        self.shared_now()
    }

    /// Signals queued with details, for `SigQ` in /proc.
    pub fn queued(&self) -> usize {
        let state = self.state.lock();
        let private: usize = state.threads.iter().map(|thread| thread.read(|own| own.pending.queued())).sum();
        state.shared.queued() + private
    }

    /// Takes a pending signal of `wanted` whether blocked or not: signalfd, and `sigtimedwait` without waiting.
    pub fn take(&self, thread: &ThreadSignals, wanted: SigSet) -> Option<SigInfo> {
        if !self.has_pending(thread, wanted) {
            return None;
        }
        let mut state = self.state.lock();
        self.take_locked(&mut state, thread, wanted)
    }

    /// Whether a signal of `wanted` is pending for `thread`: a signalfd's readiness.
    pub fn has_pending(&self, thread: &ThreadSignals, wanted: SigSet) -> bool {
        let own = thread.lock();
        let wanted = wanted.difference(SigSet::UNBLOCKABLE);
        !own.pending.set().union(self.shared_now()).intersection(wanted).is_empty()
    }

    /// Whether the thread has to end, or will as soon as it looks at its signals: one is pending that it does not block, whose
    /// default is to end the process, and without a core file (as Linux has it). What nothing else interrupts ends then.
    pub fn is_fatally_hit(&self, thread: &ThreadSignals) -> bool {
        if !thread.has_deliverable() {
            return false;
        }
        if thread.must_exit() {
            return true;
        }
        let state = self.state.lock();
        let own = thread.lock();
        let mut pending = own.pending.set().union(state.shared.set()).difference(own.blocked);
        let actions = state.actions.lock();
        while let Some(signal) = pending.first() {
            pending = pending.without(signal);
            let deadly = actions.get(signal).is_default() && default_action(signal) == DefaultAction::Terminate;
            if deadly && state.protection == Protection::None {
                return true;
            }
        }
        false
    }

    /// One step of `sigtimedwait`: takes a signal of `wanted`, or notes that the thread waits for one, so that whoever
    /// sends one kicks it. End with [`ProcessSignals::end_wait`] in every case.
    pub fn take_or_wait(&self, thread: &ThreadSignals, wanted: SigSet) -> Option<SigInfo> {
        let wanted = wanted.difference(SigSet::UNBLOCKABLE);
        let mut state = self.state.lock();
        let taken = self.take_locked(&mut state, thread, wanted);
        thread.lock().waiting_for = if taken.is_some() { SigSet::EMPTY } else { wanted };
        taken
    }

    /// The thread no longer waits in `sigtimedwait`: what came meanwhile goes to others that want it.
    pub fn end_wait(&self, thread: &ThreadSignals) -> Kick {
        let waited = core::mem::take(&mut thread.lock().waiting_for);
        if self.shared_now().intersection(waited).is_empty() {
            return Kick::None;
        }
        let state = self.state.lock();
        self.retarget(&state, thread.tid(), waited)
    }

    fn take_locked(&self, state: &mut State, thread: &ThreadSignals, wanted: SigSet) -> Option<SigInfo> {
        let wanted = wanted.difference(SigSet::UNBLOCKABLE);
        let mut own = thread.lock();
        let taken = own.pending.take_next(wanted).or_else(|| state.shared.take_next(wanted));
        self.publish_shared(state);
        thread.recompute(&own, state.shared.set());
        if taken.is_some() {
            self.statistics.delivered.add();
        }
        taken
    }

    /// Woken whenever a signal is queued: readers of a signalfd wait here. Made at the first call.
    pub fn arrivals(&self) -> &Arc<WaitQueue> {
        self.arrivals.get_or_init(|| Box::new(Arc::new(WaitQueue::new())))
    }

    /// Wakes the readers of signalfds, after a signal was queued.
    pub fn wake_readers(&self) {
        // Who makes the queue after this look looks for signals after that.
        fence(Ordering::SeqCst);
        if let Some(arrivals) = self.arrivals.get() {
            arrivals.wake_all();
        }
    }

    /// Whether there may be such readers, after a signal was queued.
    pub(crate) fn has_readers(&self) -> bool {
        fence(Ordering::SeqCst);
        self.arrivals.get().is_some_and(|arrivals| arrivals.has_waiters())
    }

    /// The statistics.
    pub fn statistics(&self) -> SignalStatistics {
        let counters = &self.statistics;
        SignalStatistics {
            sent: counters.sent.get(),
            delivered: counters.delivered.get(),
            blocked: counters.blocked.get(),
            ignored: counters.ignored.get(),
        }
    }

    /// Threads attached.
    pub fn thread_count(&self) -> usize {
        self.state.lock().threads.len()
    }

    pub(super) fn lock(&self) -> SpinGuard<'_, State> {
        self.state.lock()
    }

    fn shared_now(&self) -> SigSet {
        SigSet(self.shared_set.load(Ordering::Acquire))
    }
}

impl Default for ProcessSignals {
    fn default() -> Self {
        Self::new()
    }
}
