//! Sending signals to processes by number, group, or all: kill(2), tgkill(2), rt_sigqueueinfo(2), pidfd_send_signal(2).

use alloc::sync::Arc;

use abi::Signal;
use types::{Pgid, Pid};

use crate::signal::{Quota, SI_TKILL, SI_USER, SendError, SigInfo};
use crate::tree::{List, NONE, Number, Tree};
use crate::{ChildEvent, Effects, Process, ProcessError, ProcessTable, Resource, Resources, Result, Thread, notify};

/// Who is meant by the first argument of kill(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KillTarget {
    /// One process.
    Process(Pid),
    /// Every member of a group.
    Group(Pgid),
    /// Everyone but the caller and the first process.
    All,
}

impl KillTarget {
    /// Decodes the argument; `own` is the caller's group.
    ///
    /// # Errors
    /// `ProcessNotFound` for the most negative number.
    pub fn decode(pid: i32, own: Pgid) -> Result<Self> {
        Ok(match pid {
            i32::MIN => return Err(ProcessError::ProcessNotFound),
            -1 => Self::All,
            0 => Self::Group(own),
            pid if pid < 0 => Self::Group(Pgid(pid.unsigned_abs())),
            pid => Self::Process(Pid(pid.unsigned_abs())),
        })
    }
}

impl<R: Resources> ProcessTable<R> {
    /// kill(2): sends `info` to the target, or only asks whether it could (`None`, signal 0). A zombie counts as a process.
    ///
    /// # Errors
    /// `ProcessNotFound` if nobody is meant; `PermissionDenied` if no one could be signalled (but never with `All`);
    /// `WouldBlock` if a queue is full.
    pub fn kill(&self, caller: &Thread<R>, target: KillTarget, info: Option<SigInfo>) -> Result<Effects<R>> {
        let mut effects = Effects::new();
        let mut tree = self.tree();
        match target {
            KillTarget::Process(pid) => {
                // A thread's number means its process.
                let by_thread = || self.thread(types::Tid(pid.0)).map(|thread| thread.process().clone());
                let process = tree.process(pid.0).cloned().or_else(by_thread).ok_or(ProcessError::ProcessNotFound)?;
                check_and_post(&mut tree, caller, &process, info, &mut effects)?;
            }
            KillTarget::Group(group) => {
                let mut result = Err(ProcessError::ProcessNotFound);
                let mut at = tree.first(group.0, List::Group);
                while at != NONE {
                    let next = tree.next(at, List::Group);
                    if let Some(process) = tree.process(at).cloned() {
                        let sent = check_and_post(&mut tree, caller, &process, info, &mut effects);
                        result = if result == Ok(()) { result } else { sent };
                    }
                    at = next;
                }
                result?;
            }
            KillTarget::All => self.kill_all(&mut tree, caller, info, &mut effects)?,
        }
        drop(tree);
        Ok(effects)
    }

    /// Sends to one process as the kernel. A real-time signal that finds the queue full is lost.
    pub fn signal_process(&self, process: &Arc<Process<R>>, info: SigInfo) -> Effects<R> {
        let mut effects = Effects::new();
        notify::post(&mut self.tree(), process, info, &mut effects).ok();
        effects
    }

    /// Sends to one process (pidfd_send_signal, rt_sigqueueinfo), or only asks whether it could.
    ///
    /// # Errors
    /// `ProcessNotFound` if it has been reaped, `PermissionDenied`, `WouldBlock`.
    pub fn signal_process_as(
        &self,
        sender: &Thread<R>,
        process: &Arc<Process<R>>,
        info: Option<SigInfo>,
    ) -> Result<Effects<R>> {
        let mut effects = Effects::new();
        let mut tree = self.tree();
        if process.is_reaped() {
            return Err(ProcessError::ProcessNotFound);
        }
        check_and_post(&mut tree, sender, process, info, &mut effects)?;
        drop(tree);
        Ok(effects)
    }

    /// Sends to one thread (tgkill, tkill, rt_tgsigqueueinfo).
    ///
    /// # Errors
    /// `PermissionDenied`, `WouldBlock`.
    pub fn signal_thread(
        &self,
        sender: Option<&Thread<R>>,
        thread: &Arc<Thread<R>>,
        info: Option<SigInfo>,
    ) -> Result<Effects<R>> {
        let mut effects = Effects::new();
        let process = thread.process();
        let mut tree = self.tree();
        if let Some(sender) = sender {
            check(sender, process, info.map(|info| info.signal))?;
        }
        if let Some(mut info) = info {
            if let Some(sender) = sender {
                info = for_namespace(sender, process, info);
            }
            let identity = process.identity();
            let quota = Quota { user: identity.user.signals(), limit: process.limit(Resource::PendingSignals) };
            let sent = process.signals().send_to(thread.signals(), info, quota);
            let sent = sent.map_err(|SendError::QueueFull| ProcessError::WouldBlock)?;
            effects.after_send(process, sent);
            if sent.continued {
                notify::report(&mut tree, process, ChildEvent::Continued, &mut effects);
            }
        }
        drop(tree);
        Ok(effects)
    }

    /// Sends to a group as the kernel: keys of the terminal, hang-up.
    pub fn signal_group(&self, group: Pgid, info: SigInfo) -> Effects<R> {
        let mut effects = Effects::new();
        notify::post_group(&mut self.tree(), group.0, info, &mut effects);
        effects
    }

    fn kill_all(
        &self,
        tree: &mut Tree<R>,
        caller: &Thread<R>,
        info: Option<SigInfo>,
        effects: &mut Effects<R>,
    ) -> Result<()> {
        let mut result = Err(ProcessError::ProcessNotFound);
        let mut at: Number = 2;
        while let Some(number) = tree.next_used(at) {
            at = number + 1;
            let Some(process) = tree.process(number).cloned() else { continue };
            if number == caller.pid().0 {
                continue;
            }
            // Inside a namespace all are those in it, but its init.
            if let Some(pids) = caller.process().pids()
                && (pids.init() == Some(number) || !pids.contains(process.pids()))
            {
                continue;
            }
            // As Linux: those the caller may not signal are passed over without an error.
            match check_and_post(tree, caller, &process, info, effects) {
                Ok(()) | Err(ProcessError::PermissionDenied) => {
                    result = if result == Err(ProcessError::ProcessNotFound) { Ok(()) } else { result };
                }
                Err(error) => result = Err(error),
            }
        }
        result
    }
}

fn check_and_post<R: Resources>(
    tree: &mut Tree<R>,
    sender: &Thread<R>,
    process: &Arc<Process<R>>,
    info: Option<SigInfo>,
    effects: &mut Effects<R>,
) -> Result<()> {
    check(sender, process, info.map(|info| info.signal))?;
    match info {
        Some(info) => notify::post(tree, process, for_namespace(sender, process, info), effects),
        None => Ok(()),
    }
}

/// Tells the target what it calls the sender. Init of a namespace does not escape SIGKILL and SIGSTOP from
/// outside of it.
fn for_namespace<R: Resources>(sender: &Thread<R>, target: &Process<R>, info: SigInfo) -> SigInfo {
    if sender.process().pids().is_none() && target.pids().is_none() {
        return info;
    }
    let number = target.shown(sender.pid().0);
    if number == 0 && target.leads_pid_namespace() {
        match info.signal {
            Signal::KILL => target.signals().unprotect(),
            Signal::STOP => target.signals().admit_stop(),
            _ => {}
        }
    }
    // Chosen details name the sender as it sees itself; from outside nobody can be named.
    if number == 0 || info.code == SI_USER || info.code == SI_TKILL {
        info.with_sender(Pid(number), info.uid())
    } else {
        info
    }
}

fn check<R: Resources>(sender: &Thread<R>, target: &Process<R>, signal: Option<Signal>) -> Result<()> {
    let same_process = sender.pid() == target.pid();
    let same_session = sender.process().sid() == target.sid();
    let rights = target.identity();
    if same_process || crate::may_signal(&sender.credentials(), &rights.credentials, signal, same_session) {
        Ok(())
    } else {
        Err(ProcessError::PermissionDenied)
    }
}
