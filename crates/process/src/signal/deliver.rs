//! What a thread does about its signals before it goes back to user mode.

use abi::{SigSet, Signal};

use super::process::State;
use super::thread::{EXIT, RESTORE, SIGNAL, STOP, ThreadState};
use super::{
    Action, ActionFlags, DefaultAction, Kick, ProcessSignals, SigInfo, StopTicket, ThreadSignals, default_action,
};

/// A signal to be handled by the program: what the frame is built from.
#[derive(Clone, Copy, Debug)]
pub struct Caught {
    /// Action, as it was before `SA_RESETHAND` reset it.
    pub action: Action,
    /// The signal and its details. For `SI_TIMER` the caller fills in the overrun from the timer.
    pub info: SigInfo,
    /// The mask that the frame stores: sigreturn goes back to it.
    pub frame_mask: SigSet,
    /// The mask while the handler runs; put in force by [`ProcessSignals::handler_entered`].
    pub handler_mask: SigSet,
}

/// The next thing to do for a thread.
#[derive(Clone, Copy, Debug)]
pub enum Delivery {
    /// Build a frame, then call [`ProcessSignals::handler_entered`], then ask again.
    Handler(Caught),
    /// End the process by that signal, with or without the core-dump bit.
    Terminate {
        /// The signal that ends it.
        info: SigInfo,
        /// Whether its default action is a core dump.
        core: bool,
    },
    /// A stop signal was taken. Unless it is SIGSTOP, a process in an orphaned group ignores it: ask the process tree,
    /// then [`ProcessSignals::begin_stop`] or nothing, then ask again.
    StopRequested(StopTicket),
    /// The thread is parked: wait while [`ThreadSignals::is_stopped`], then ask again. `report`: the whole process has
    /// stopped by that signal just now; tell the parent (`CLD_STOPPED`).
    Stop {
        /// The stop signal, for the one thread that completes the stop.
        report: Option<Signal>,
    },
    /// The process ends, or another thread executes a program: end this thread.
    Exit,
}

impl ProcessSignals {
    /// The next thing to do for `thread` before it returns to user mode, or nothing.
    ///
    /// Order: end of the process, stop under way, SIGKILL, faults, the thread's own signals, the process's; in each the
    /// lowest number first. Ignored signals are dropped on the way. With nothing left to do a temporary mask is undone.
    pub fn next_deliverable(&self, thread: &ThreadSignals) -> Option<Delivery> {
        let mut state = self.lock();
        loop {
            let bits = thread.bits();
            if bits & EXIT != 0 {
                return Some(Delivery::Exit);
            }
            if bits & STOP != 0 {
                let report = state.park(thread);
                if thread.is_stopped() {
                    return Some(Delivery::Stop { report });
                }
                continue;
            }
            let mut own = thread.lock();
            let Some(info) = self.take_deliverable(&mut state, &mut own) else {
                if let Some(saved) = own.saved.take() {
                    thread.clear(RESTORE);
                    own.blocked = saved;
                    continue;
                }
                thread.clear(SIGNAL);
                return None;
            };
            thread.recompute(&own, state.shared.set());
            drop(own);
            if let Some(delivery) = self.decide(&mut state, thread, info) {
                self.statistics.delivered.add();
                return Some(delivery);
            }
            self.statistics.ignored.add();
        }
    }

    /// Puts the handler's mask in force once its frame is written. Whom to kick: others that take over what it blocks.
    pub fn handler_entered(&self, thread: &ThreadSignals, caught: &Caught) -> Kick {
        {
            let mut own = thread.lock();
            own.saved.take();
            thread.clear(RESTORE);
            if own.altstack.is_autodisarm() {
                own.altstack = super::AltStack::NONE;
            }
        }
        self.set_mask(thread, caught.handler_mask)
    }

    fn take_deliverable(&self, state: &mut State, own: &mut ThreadState) -> Option<SigInfo> {
        let kill = SigSet::EMPTY.with(Signal::KILL);
        let wanted = SigSet::ALL.difference(own.blocked);
        let found = own.pending.take_next(kill).or_else(|| state.shared.take_next(kill));
        let found = found.or_else(|| own.pending.take_synchronous(wanted));
        let found = found.or_else(|| own.pending.take_next(wanted));
        let found = found.or_else(|| state.shared.take_next(wanted));
        self.publish_shared(state);
        found
    }

    fn decide(&self, state: &mut State, thread: &ThreadSignals, info: SigInfo) -> Option<Delivery> {
        let signal = info.signal;
        let action = state.actions.lock().get(signal);
        if action.is_ignore() {
            return None;
        }
        if action.is_caught() {
            if action.flags.contains(ActionFlags::RESETHAND) {
                state.actions.lock().set(signal, Action { handler: 0, ..action });
            }
            let own = thread.lock();
            let mut handler_mask = own.blocked.union(action.mask);
            if !action.flags.contains(ActionFlags::NODEFER) {
                handler_mask = handler_mask.with(signal);
            }
            let frame_mask = own.saved.get().unwrap_or(own.blocked);
            return Some(Delivery::Handler(Caught { action, info, frame_mask, handler_mask }));
        }
        let default = default_action(signal);
        let spared = state.protection.spares(signal);
        if signal == Signal::STOP {
            state.protection.forget_stop();
        }
        if spared || matches!(default, DefaultAction::Ignore | DefaultAction::Continue) {
            return None;
        }
        Some(match default {
            DefaultAction::Stop => Delivery::StopRequested(StopTicket { epoch: state.stop.epoch(), signal }),
            _ => Delivery::Terminate { info, core: default == DefaultAction::Core },
        })
    }
}
