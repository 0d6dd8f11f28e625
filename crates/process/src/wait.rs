//! Waiting for children: one scan of wait4 and waitid.
//!
//! The caller sleeps on [`Process::events`]: register, scan, sleep; whoever changes a child changes the tree first
//! and wakes after. A scan and a change exclude each other by the tree's lock, so no event falls between.

use alloc::sync::Arc;

use abi::{Signal, linux::general as linux};
use bitflags::bitflags;
use types::{Pgid, Pid, Uid};

use crate::tree::{List, NONE, Node, Number, Tree};
use crate::{ChildEvent, Effects, Process, ProcessError, ProcessTable, Resources, Result, Thread, UsageSnapshot};

bitflags! {
    /// Options of wait4 and waitid, by Linux's numbers.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct WaitOptions: u32 {
        /// Do not sleep.
        const NOHANG = linux::WNOHANG;
        /// Report stops (WUNTRACED).
        const STOPPED = linux::WSTOPPED;
        /// Report ends.
        const EXITED = linux::WEXITED;
        /// Report continues.
        const CONTINUED = linux::WCONTINUED;
        /// Leave the event to be reported again.
        const NOWAIT = linux::WNOWAIT;
        /// Only children of this thread.
        const NO_THREAD = linux::__WNOTHREAD;
        /// All children, whatever their exit signal.
        const ALL = linux::__WALL;
        /// Only children with another exit signal than SIGCHLD.
        const CLONE = linux::__WCLONE;
    }
}

/// Which children are meant.
pub enum WaitSelector<R: Resources> {
    /// Any.
    Any,
    /// The one of that number.
    Pid(Pid),
    /// Those in that group.
    Group(Pgid),
    /// The one behind a pidfd.
    Handle(Arc<Process<R>>),
}

/// A wait, decoded and checked.
pub struct WaitRequest<R: Resources> {
    /// Which children.
    pub selector: WaitSelector<R>,
    /// Which events, and how.
    pub options: WaitOptions,
}

/// What a wait found.
pub struct WaitResult {
    /// Which child, by the number that the caller knows it by.
    pub pid: Pid,
    /// Its real user.
    pub uid: Uid,
    /// What happened to it.
    pub event: ChildEvent,
    /// What it used, its own reaped children included.
    pub usage: UsageSnapshot,
}

impl<R: Resources> WaitRequest<R> {
    /// Decodes `wait4(pid, ..., options)`; `caller` for "my own group".
    ///
    /// # Errors
    /// `InvalidArgument` for unknown options, `ProcessNotFound` for the most negative number.
    pub fn wait4(caller: &Process<R>, pid: i32, options: u32) -> Result<Self> {
        let allowed = WaitOptions::NOHANG
            | WaitOptions::STOPPED
            | WaitOptions::CONTINUED
            | WaitOptions::NO_THREAD
            | WaitOptions::ALL
            | WaitOptions::CLONE;
        let options = WaitOptions::from_bits(options)
            .filter(|options| allowed.contains(*options))
            .ok_or(ProcessError::InvalidArgument)?;
        let selector = match pid {
            i32::MIN => return Err(ProcessError::ProcessNotFound),
            -1 => WaitSelector::Any,
            0 => WaitSelector::Group(caller.pgid()),
            pid if pid < 0 => WaitSelector::Group(Pgid(pid.unsigned_abs())),
            pid => WaitSelector::Pid(Pid(pid.unsigned_abs())),
        };
        Ok(Self { selector, options: options | WaitOptions::EXITED })
    }

    /// Checks the options of `waitid`; the selector is the caller's to decode.
    ///
    /// # Errors
    /// `InvalidArgument` for unknown options or none that names an event.
    pub fn waitid(selector: WaitSelector<R>, options: u32) -> Result<Self> {
        let events = WaitOptions::EXITED | WaitOptions::STOPPED | WaitOptions::CONTINUED;
        let options = WaitOptions::from_bits(options)
            .filter(|options| options.intersects(events))
            .ok_or(ProcessError::InvalidArgument)?;
        Ok(Self { selector, options })
    }
}

impl<R: Resources> ProcessTable<R> {
    /// Looks for an event of a child of `thread`'s process (of all its threads' children, but with `NO_THREAD`). A child
    /// that ended is reaped, but with `NOWAIT`. `None`: there are such children, none has news; sleep, unless `NOHANG`.
    ///
    /// # Errors
    /// `NoChild` if there is no child that could ever match.
    pub fn try_wait(&self, thread: &Arc<Thread<R>>, request: &WaitRequest<R>) -> Result<Option<WaitResult>> {
        let parent = thread.process();
        let mut tree = self.tree();
        let Scan { found, any } = scan(&tree, parent.pid().0, thread.tid().0, request);
        let Some((child, event)) = found else {
            return if any { Ok(None) } else { Err(ProcessError::NoChild) };
        };
        let Some(process) = tree.process(child).cloned() else { return Err(ProcessError::NoChild) };
        let mut usage = process.usage().snapshot();
        if let Some(children) = process.existing_children_usage() {
            usage.add(&children.snapshot());
        }
        let uid = process.identity().credentials.ruid;
        // Asked while it still has a number.
        let pid = Pid(parent.shown(child));
        let mut effects = Effects::new();
        if !request.options.contains(WaitOptions::NOWAIT) {
            match event {
                ChildEvent::Ended(_) => {
                    parent.add_children_usage(&usage);
                    self.reap(&mut tree, child, &mut effects);
                }
                ChildEvent::Stopped(_) => tree.node_mut(child).stopped = None,
                ChildEvent::Continued => tree.node_mut(child).continued = false,
            }
        }
        drop(tree);
        // Of a reaped child only references are left to drop: nothing that needs the caller.
        drop(process);
        effects.run();
        trace!("wait: parent={} child={child} {event:?}", parent.pid());
        Ok(Some(WaitResult { pid, uid, event, usage }))
    }
}

struct Scan {
    found: Option<(Number, ChildEvent)>,
    // Whether some child could match, now or later.
    any: bool,
}

fn scan<R: Resources>(tree: &Tree<R>, parent: Number, caller: Number, request: &WaitRequest<R>) -> Scan {
    let mut scan = Scan { found: None, any: false };
    let mut look = |child: Number| {
        let node = tree.node(child);
        let Some(process) = &node.process else { return false };
        if !is_eligible(node, process, caller, request.options) {
            return false;
        }
        // One that has ended does nothing more that could be waited for but by who wants its end.
        scan.any |= node.ended.is_none() || request.options.contains(WaitOptions::EXITED);
        scan.found = event_of(node, request.options).map(|event| (child, event));
        scan.found.is_some()
    };
    match &request.selector {
        WaitSelector::Any => {
            let _stopped_at = tree.members(parent, List::Children).find(|child| look(*child));
        }
        WaitSelector::Group(group) => {
            let in_group = |child: &Number| tree.node(*child).group == group.0;
            let _stopped_at = tree.members(parent, List::Children).filter(in_group).find(|child| look(*child));
        }
        WaitSelector::Pid(pid) => {
            if pid.0 != NONE && tree.node(pid.0).parent == parent {
                look(pid.0);
            }
        }
        WaitSelector::Handle(process) => {
            let number = process.pid().0;
            let node = tree.node(number);
            let same = node.process.as_ref().is_some_and(|current| Arc::ptr_eq(current, process));
            if same && node.parent == parent {
                look(number);
            }
        }
    }
    scan
}

fn is_eligible<R: Resources>(node: &Node<R>, process: &Process<R>, caller: Number, options: WaitOptions) -> bool {
    if options.contains(WaitOptions::NO_THREAD) && node.creator != caller {
        return false;
    }
    let is_clone = process.exit_signal() != Some(Signal::CHLD);
    options.contains(WaitOptions::ALL) || is_clone == options.contains(WaitOptions::CLONE)
}

fn event_of<R: Resources>(node: &Node<R>, options: WaitOptions) -> Option<ChildEvent> {
    if let Some(status) = node.ended {
        return options.contains(WaitOptions::EXITED).then_some(ChildEvent::Ended(status));
    }
    if let Some(signal) = node.stopped
        && options.contains(WaitOptions::STOPPED)
    {
        return Some(ChildEvent::Stopped(signal));
    }
    (node.continued && options.contains(WaitOptions::CONTINUED)).then_some(ChildEvent::Continued)
}
