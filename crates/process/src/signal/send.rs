//! Sending: to a process, to a thread, and what a fault forces on its own thread.

use abi::{SigSet, Signal};
use types::Tid;

use super::process::State;
use super::protection::Protection;
use super::thread::{SIGNAL, STOP, STOPPED};
use super::{Action, Charge, ProcessSignals, Pushed, STOPPING, SigInfo, SignalQuota, ThreadSignals};

/// Whom the sender must wake or interrupt after a change of signal state, once it holds no lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Kick {
    /// Nobody.
    #[default]
    None,
    /// That thread.
    One(Tid),
    /// Every thread of the process.
    All,
}

impl Kick {
    /// Adds another thread.
    #[must_use]
    pub(super) fn and(self, tid: Tid) -> Self {
        match self {
            Self::None => Self::One(tid),
            Self::One(one) if one == tid => self,
            _ => Self::All,
        }
    }
}

/// What became of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It is pending.
    Queued,
    /// A classic signal that was pending already.
    Merged,
    /// Ignored by the process, or the process is ending.
    Ignored,
}

/// What the sender must do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct SendEffect {
    /// What became of the signal. Where it is `Queued`, wake [`ProcessSignals::arrivals`] (signalfd).
    pub sent: Sent,
    /// Whom to wake.
    pub kick: Kick,
    /// SIGCONT ended a stop: tell the parent (`CLD_CONTINUED`, SIGCHLD, `WCONTINUED`).
    pub continued: bool,
}

/// Why a signal could not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The user has too many signals queued, or memory is short (EAGAIN).
    QueueFull,
}

/// What SIGCHLD comes to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChildSignal {
    /// Children leave no zombie.
    pub(crate) reaps: bool,
    /// It would be dropped.
    pub(crate) ignored: bool,
}

/// Whose queue a signal counts in: the target's user and its `RLIMIT_SIGPENDING`.
#[derive(Clone, Copy, Debug)]
pub struct Quota<'a> {
    /// The user's counter.
    pub user: &'a SignalQuota,
    /// Most signals queued.
    pub limit: u64,
}

impl Quota<'_> {
    fn charge(self, info: &SigInfo) -> Option<Charge> {
        // The kernel's and `kill`'s classic signals are counted but not limited, as on Linux.
        let unlimited = !info.signal.is_realtime() && !info.is_from_queue();
        self.user.charge(if unlimited { u64::MAX } else { self.limit })
    }
}

impl ProcessSignals {
    /// Sends to the process: any thread that does not block it takes it.
    ///
    /// # Errors
    /// [`SendError::QueueFull`], and nothing changed.
    pub fn send(&self, info: SigInfo, quota: Quota<'_>) -> Result<SendEffect, SendError> {
        let charge = quota.charge(&info);
        let mut state = self.state.lock();
        self.send_locked(&mut state, None, info, charge)
    }

    /// Looks at what SIGCHLD would come to for the end of a child; if it is ignored, that is counted and it need not be sent.
    pub(crate) fn begin_child_signal(&self) -> ChildSignal {
        let state = self.state.lock();
        let reaps = state.actions.lock().reaps_children();
        let ignored = state.exiting || self.is_ignored(&state, None, Signal::CHLD);
        if ignored {
            self.statistics.sent.add();
            self.statistics.ignored.add();
        }
        ChildSignal { reaps, ignored }
    }

    /// Sends to one thread (`tgkill`, faults, `SIGEV_THREAD_ID`).
    ///
    /// # Errors
    /// [`SendError::QueueFull`], and nothing changed.
    pub fn send_to(&self, thread: &ThreadSignals, info: SigInfo, quota: Quota<'_>) -> Result<SendEffect, SendError> {
        let charge = quota.charge(&info);
        let mut state = self.state.lock();
        self.send_locked(&mut state, Some(thread), info, charge)
    }

    /// A signal the thread cannot escape: a fault, or a frame that could not be written. If it blocks or ignores the
    /// signal, the default action applies, even to the first process.
    pub fn force(&self, thread: &ThreadSignals, info: SigInfo) -> SendEffect {
        self.force_with(thread, info, Forced::KeepHandler)
    }

    /// As [`ProcessSignals::force`], but no handler runs either: the process ends.
    pub fn force_fatal(&self, thread: &ThreadSignals, info: SigInfo) -> SendEffect {
        self.force_with(thread, info, Forced::DropHandler)
    }

    /// After the frame for `signal` could not be written: SIGSEGV, fatal if it was SIGSEGV's own frame.
    pub fn force_bad_frame(&self, thread: &ThreadSignals, signal: Signal) -> SendEffect {
        let info = SigInfo::kernel(Signal::SEGV);
        if signal == Signal::SEGV { self.force_fatal(thread, info) } else { self.force(thread, info) }
    }

    fn force_with(&self, thread: &ThreadSignals, info: SigInfo, forced: Forced) -> SendEffect {
        let signal = info.signal;
        let mut state = self.state.lock();
        let was_blocked = {
            let mut own = thread.lock();
            let was_blocked = own.blocked.contains(signal);
            own.blocked = own.blocked.without(signal);
            was_blocked
        };
        let default = {
            let mut actions = state.actions.lock();
            let action = actions.get(signal);
            if was_blocked || action.is_ignore() || forced == Forced::DropHandler {
                actions.set(signal, Action { handler: 0, ..action });
            }
            actions.get(signal).is_default()
        };
        if default {
            state.protection = Protection::None;
        }
        // Without a charge nothing can be refused: it is a classic signal of the kernel.
        let effect = self.send_locked(&mut state, Some(thread), info, None);
        thread.raise(SIGNAL);
        effect.unwrap_or(SendEffect { sent: Sent::Queued, kick: Kick::One(thread.tid()), continued: false })
    }

    fn send_locked(
        &self,
        state: &mut State,
        target: Option<&ThreadSignals>,
        info: SigInfo,
        charge: Option<Charge>,
    ) -> Result<SendEffect, SendError> {
        let signal = info.signal;
        self.statistics.sent.add();
        let nothing = SendEffect { sent: Sent::Ignored, kick: Kick::None, continued: false };
        if state.exiting {
            self.statistics.ignored.add();
            return Ok(nothing);
        }
        let continued = self.before_send(state, signal);
        let woken = if continued { Kick::All } else { Kick::None };
        if self.is_ignored(state, target, signal) {
            self.statistics.ignored.add();
            return Ok(SendEffect { kick: woken, continued, ..nothing });
        }
        let pushed = match target {
            Some(thread) => thread.lock().pending.push(info, charge)?,
            None => {
                let pushed = state.shared.push(info, charge)?;
                self.publish_shared(state);
                pushed
            }
        };
        let kick = match pushed {
            Pushed::Merged if signal != Signal::KILL => woken,
            _ => self.notify(state, target, signal, woken),
        };
        let sent = if pushed == Pushed::Merged { Sent::Merged } else { Sent::Queued };
        Ok(SendEffect { sent, kick, continued })
    }

    /// A stop signal and SIGCONT cancel each other; SIGKILL ends a stop. Whether SIGCONT continued the process.
    fn before_send(&self, state: &mut State, signal: Signal) -> bool {
        let cancelled = match signal {
            Signal::CONT => STOPPING,
            _ if STOPPING.contains(signal) => SigSet::EMPTY.with(Signal::CONT),
            _ => SigSet::EMPTY,
        };
        if !cancelled.is_empty() {
            if signal == Signal::CONT {
                state.protection.forget_stop();
            }
            self.discard_everywhere(state, cancelled);
        }
        match signal {
            Signal::CONT => state.end_stop(),
            Signal::KILL => {
                state.end_stop();
                false
            }
            _ => false,
        }
    }

    /// Drops pending `signals` of the process and of every thread.
    pub(super) fn discard_everywhere(&self, state: &mut State, signals: SigSet) {
        if state.shared.discard(signals) {
            self.publish_shared(state);
        }
        let shared = state.shared.set();
        for thread in &state.threads {
            let mut own = thread.lock();
            own.pending.discard(signals);
            thread.recompute(&own, shared);
        }
    }

    /// A blocked signal is never ignored at the time of sending: its action may change before it is unblocked.
    fn is_ignored(&self, state: &State, target: Option<&ThreadSignals>, signal: Signal) -> bool {
        let receiver = target.or_else(|| state.threads.first().map(|first| &**first));
        let blocked = receiver.is_some_and(|thread| thread.lock().blocked.contains(signal));
        if blocked && !signal.is_unblockable() {
            return false;
        }
        let actions = state.actions.lock();
        actions.ignores(signal) || state.protection.spares(signal) && actions.get(signal).is_default()
    }

    /// Finds the thread that takes `signal` and tells it.
    fn notify(&self, state: &State, target: Option<&ThreadSignals>, signal: Signal, woken: Kick) -> Kick {
        let chosen = match target {
            Some(thread) => thread.lock().wants(signal).then_some(thread),
            None => pick_thread(state, signal),
        };
        let Some(thread) = chosen else {
            self.statistics.blocked.add();
            return woken;
        };
        let own = thread.lock();
        if signal.is_unblockable() || !own.blocked.contains(signal) {
            thread.raise(SIGNAL);
        }
        drop(own);
        match signal {
            Signal::KILL => Kick::All,
            _ => woken.and(thread.tid()),
        }
    }

    /// Makes the shared set visible to threads that change their mask without the process's lock.
    pub(super) fn publish_shared(&self, state: &State) {
        self.shared_set.store(state.shared.set().0, core::sync::atomic::Ordering::Release);
    }

    /// A thread no longer takes `signals` (it blocks them now, or ends): others must look. Whom to wake.
    pub(super) fn retarget(&self, state: &State, leaving: Tid, signals: SigSet) -> Kick {
        let orphaned = state.shared.set().intersection(signals);
        let mut kick = Kick::None;
        if orphaned.is_empty() {
            return kick;
        }
        for thread in state.threads.iter().filter(|thread| thread.tid() != leaving && !thread.must_exit()) {
            let own = thread.lock();
            if orphaned.difference(own.blocked.difference(own.waiting_for)).is_empty() {
                continue;
            }
            if !orphaned.difference(own.blocked).is_empty() {
                thread.raise(SIGNAL);
            }
            kick = kick.and(thread.tid());
        }
        kick
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Forced {
    KeepHandler,
    DropHandler,
}

/// The thread for a process-directed signal: one that wants it, best one without other signals, the first thread first.
fn pick_thread(state: &State, signal: Signal) -> Option<&ThreadSignals> {
    let mut busy = None;
    for thread in &state.threads {
        if thread.must_exit() || !thread.lock().wants(signal) {
            continue;
        }
        if thread.bits() & (SIGNAL | STOP | STOPPED) == 0 {
            return Some(thread);
        }
        busy = busy.or(Some(&**thread));
    }
    busy
}
