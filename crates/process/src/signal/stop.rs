//! Stopping and continuing a whole process.
//!
//! ```text
//!            begin_stop()                 last thread parks
//! Running ───────────────────► Stopping ────────────────────► Stopped
//!    ▲                            │                              │
//!    └────────────────────────────┴──── SIGCONT, SIGKILL, exit ──┘
//! ```
//!
//! Between taking a stop signal and `begin_stop` no lock is held (the caller asks the process tree whether the group is
//! orphaned). A SIGCONT or SIGKILL that comes in between makes the ticket stale, and the stop does not happen.

use abi::Signal;

use super::process::State;
use super::thread::{EXIT, STOP, STOPPED};
use super::{Kick, ProcessSignals, ThreadSignals};

/// Proof that a stop signal has been taken; stale once the process was continued or killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopTicket {
    pub(super) epoch: u32,
    /// The stop signal.
    pub signal: Signal,
}

/// Where the process stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopView {
    /// Not stopped.
    Running,
    /// Some threads have not parked yet.
    Stopping(Signal),
    /// All threads are parked.
    Stopped(Signal),
}

#[derive(Debug)]
pub(super) struct StopState {
    view: StopView,
    epoch: u32,
}

impl StopState {
    pub(super) const fn new() -> Self {
        Self { view: StopView::Running, epoch: 0 }
    }

    pub(super) const fn is_stopping(&self) -> bool {
        !matches!(self.view, StopView::Running)
    }

    pub(super) const fn epoch(&self) -> u32 {
        self.epoch
    }
}

impl State {
    /// Ends a stop that is under way or complete; whether there was one. Its threads are no longer parked.
    pub(super) fn end_stop(&mut self) -> bool {
        self.stop.epoch = self.stop.epoch.wrapping_add(1);
        if !self.stop.is_stopping() {
            return false;
        }
        self.stop.view = StopView::Running;
        for thread in &self.threads {
            let _own = thread.lock();
            thread.clear(STOP | STOPPED);
        }
        true
    }

    /// If all threads are parked now, the process is stopped: by which signal, said once.
    pub(super) fn finish_stop(&mut self) -> Option<Signal> {
        let StopView::Stopping(signal) = self.stop.view else { return None };
        let counting = |thread: &&alloc::sync::Arc<ThreadSignals>| thread.bits() & EXIT == 0;
        let mut threads = self.threads.iter().filter(counting).peekable();
        if threads.peek().is_none() || threads.any(|thread| !thread.is_stopped()) {
            return None;
        }
        self.stop.view = StopView::Stopped(signal);
        Some(signal)
    }

    /// Parks `thread`. The signal, if that completed the stop.
    pub(super) fn park(&mut self, thread: &ThreadSignals) -> Option<Signal> {
        {
            let _own = thread.lock();
            thread.clear(STOP);
            if !self.stop.is_stopping() {
                return None;
            }
            thread.raise(STOPPED);
        }
        self.finish_stop()
    }
}

impl ProcessSignals {
    /// Stops the process after [`super::Delivery::StopRequested`], unless it was continued or killed meanwhile. Kick the
    /// threads named, then ask for the next delivery again: the caller's own parking comes out of it.
    pub fn begin_stop(&self, thread: &ThreadSignals, ticket: StopTicket) -> Kick {
        let mut state = self.lock();
        if state.stop.epoch != ticket.epoch || state.exiting {
            return Kick::None;
        }
        if !state.stop.is_stopping() {
            state.stop.view = StopView::Stopping(ticket.signal);
        }
        let mut kick = Kick::None;
        for other in &state.threads {
            let own = other.lock();
            if !other.is_stopped() {
                other.raise(STOP);
                if other.tid() != thread.tid() {
                    kick = kick.and(other.tid());
                }
            }
            drop(own);
        }
        kick
    }

    /// Where the process stands.
    pub fn stop_view(&self) -> StopView {
        self.lock().stop.view
    }
}
