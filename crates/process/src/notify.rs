//! Signals that the process tree itself sends, all under its lock: so SIGCHLD is pending before wait can return the child,
//! and a signal to a group reaches exactly its members.

use alloc::sync::Arc;

use abi::Signal;
use types::{Nanos, Pid, Uid};

use crate::signal::{Quota, SendError, SigInfo};
use crate::tree::{List, NONE, Number, Tree};
use crate::{ChildEvent, Effects, Process, ProcessError, ProcessTable, Resource, Resources, Result};

/// Nanoseconds of a clock tick as user space counts CPU time (USER_HZ = 100).
const TICK_NS: u64 = 10_000_000;

/// Sends to a process and does what follows: wake-ups, and the report to the parent if it was continued.
pub(crate) fn post<R: Resources>(
    tree: &mut Tree<R>,
    process: &Arc<Process<R>>,
    info: SigInfo,
    effects: &mut Effects<R>,
) -> Result<()> {
    let identity = process.identity();
    let quota = Quota { user: identity.user.signals(), limit: process.limit(Resource::PendingSignals) };
    trace!("signal: pid={} {:?} code={}", process.pid(), info.signal, info.code);
    let sent = process.signals().send(info, quota).map_err(|SendError::QueueFull| ProcessError::WouldBlock)?;
    effects.after_send(process, sent);
    if sent.continued {
        report(tree, process, ChildEvent::Continued, effects);
    }
    Ok(())
}

/// Notes a stop or continue for wait(2), and tells the parent.
pub(crate) fn report<R: Resources>(
    tree: &mut Tree<R>,
    process: &Arc<Process<R>>,
    event: ChildEvent,
    effects: &mut Effects<R>,
) {
    let number = process.pid().0;
    let node = tree.node_mut(number);
    if node.process.is_none() || node.ended.is_some() {
        return;
    }
    match event {
        ChildEvent::Stopped(signal) => (node.stopped, node.continued) = (Some(signal), false),
        ChildEvent::Continued => (node.stopped, node.continued) = (None, true),
        ChildEvent::Ended(_) => return,
    }
    trace!("change: pid={number} {event:?}");
    let Some(parent) = tree.process(tree.node(number).parent).cloned() else { return };
    if parent.signals().with_actions(|actions| actions.reports_stops()) {
        // A classic signal of the kernel is never refused.
        post(tree, &parent, child_info(Signal::CHLD, &parent, process, event), effects).ok();
    }
    effects.wake_parent(&parent);
}

/// What a parent does with a child's end.
pub(crate) enum Verdict {
    /// It will wait for it.
    Keep,
    /// It never will: SIGCHLD is ignored, or SA_NOCLDWAIT.
    Reap,
}

/// Tells the parent that the child `number` has ended.
pub(crate) fn notify_end<R: Resources>(
    tree: &mut Tree<R>,
    process: &Arc<Process<R>>,
    event: ChildEvent,
    effects: &mut Effects<R>,
) -> Verdict {
    let Some(parent) = tree.process(tree.node(process.pid().0).parent).cloned() else { return Verdict::Keep };
    let mut verdict = Verdict::Keep;
    if parent.pids().is_some_and(|pids| pids.is_dead() && pids.init() == Some(parent.pid().0)) {
        // It only waits for the others of its namespace to end.
        return Verdict::Reap;
    }
    if process.cell().is_some_and(|cell| !parent.cell().is_some_and(|own| Arc::ptr_eq(own, cell))) {
        // Whoever it was given to as an orphan never asked for it: the supervisor hears of the cell.
        return Verdict::Reap;
    }
    if let Some(signal) = process.exit_signal() {
        let mut ignored = false;
        if signal == Signal::CHLD {
            let view = parent.signals().begin_child_signal();
            ignored = view.ignored;
            if view.reaps {
                verdict = Verdict::Reap;
            }
        }
        if !ignored {
            // A real-time exit signal may find the queue full: then it is lost, as on Linux.
            post(tree, &parent, child_info(signal, &parent, process, event), effects).ok();
        }
    }
    effects.wake_parent(&parent);
    verdict
}

/// Sends to every member of a group.
pub(crate) fn post_group<R: Resources>(tree: &mut Tree<R>, group: Number, info: SigInfo, effects: &mut Effects<R>) {
    let mut at = tree.first(group, List::Group);
    while at != NONE {
        // Posting does not change the list.
        let next = tree.next(at, List::Group);
        if let Some(process) = tree.process(at).cloned() {
            post(tree, &process, info, effects).ok();
        }
        at = next;
    }
}

/// If `group` has no one left to continue it and has a stopped member: SIGHUP and SIGCONT to it (POSIX, `_exit`).
/// `except` is a process about to end, which no longer counts.
pub(crate) fn hang_up_if_orphaned<R: Resources>(
    tree: &mut Tree<R>,
    group: Number,
    except: Number,
    effects: &mut Effects<R>,
) {
    if tree.has_stopped(group) && tree.is_orphaned(group, except) {
        post_group(tree, group, SigInfo::kernel(Signal::HUP), effects);
        post_group(tree, group, SigInfo::kernel(Signal::CONT), effects);
    }
}

/// A signal that names nobody as its sender (Linux's SEND_SIG_NOINFO).
pub(crate) fn anonymous(signal: Signal) -> SigInfo {
    SigInfo::user(signal, Pid(0), Uid::ROOT)
}

fn child_info<R: Resources>(signal: Signal, parent: &Process<R>, child: &Process<R>, event: ChildEvent) -> SigInfo {
    let ticks = |ns: u64| i64::try_from(ns / TICK_NS).unwrap_or(i64::MAX);
    let usage = child.usage();
    SigInfo::child_as(
        signal,
        event.code(),
        Pid(parent.shown(child.pid().0)),
        child.identity().credentials.ruid,
        event.si_status(),
        ticks(usage.user_ns.get()),
        ticks(usage.system_ns.get()),
    )
}

impl<R: Resources> ProcessTable<R> {
    /// A stop is complete: every thread of `process` is parked because of `signal`. For the thread that saw it happen.
    pub fn report_stopped(&self, process: &Arc<Process<R>>, signal: Signal) -> Effects<R> {
        let mut effects = Effects::new();
        let mut tree = self.tree();
        // SIGCONT may have come since: then the parent hears of that, in order.
        if matches!(process.signals().stop_view(), crate::signal::StopView::Stopped(_)) {
            report(&mut tree, process, ChildEvent::Stopped(signal), &mut effects);
        }
        drop(tree);
        effects
    }

    /// A send to `process` by other means than this table's continued it (`SendEffect::continued`): tells the parent.
    pub fn report_continued(&self, process: &Arc<Process<R>>) -> Effects<R> {
        let mut effects = Effects::new();
        report(&mut self.tree(), process, ChildEvent::Continued, &mut effects);
        effects
    }

    /// Time as user space counts it, in ticks of 10 ms.
    pub const fn ticks(time: Nanos) -> u64 {
        time.0 / TICK_NS
    }
}
