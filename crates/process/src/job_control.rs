//! Process groups, sessions, their terminal (POSIX job control; setpgid(2), setsid(2), credentials(7)).

use alloc::sync::Arc;

use types::{Pgid, Pid, Sid};

use crate::tree::List;
use crate::{Process, ProcessError, ProcessFlag, ProcessTable, Resources, Result, Thread};

/// How a process stands to its terminal and session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// In the terminal's foreground group.
    Foreground,
    /// In another group of a session with a terminal.
    Background,
    /// Without terminal, in a session of its own kind, adopted by the first process or a sub-reaper.
    Daemon,
    /// Without terminal otherwise.
    Detached,
}

impl<R: Resources> ProcessTable<R> {
    /// Moves `pid` (0: the caller) into `group` (0: one of its own). Only the caller itself and its children that have
    /// not executed a program can be moved, within one session.
    ///
    /// # Errors
    /// `ProcessNotFound` for no such process or none of the caller's; `InvalidArgument` for a thread's number;
    /// `AccessDenied` after the child's exec; `PermissionDenied` for another session, a session leader, or a group that
    /// is not there.
    pub fn setpgid(&self, caller: &Thread<R>, pid: Pid, group: Pgid) -> Result<()> {
        let own = caller.pid().0;
        let target = if pid.0 == 0 { own } else { pid.0 };
        let group = if group.0 == 0 { target } else { group.0 };
        let mut tree = self.tree();
        let node = tree.node(target);
        let Some(process) = &node.process else {
            return Err(if node.thread { ProcessError::InvalidArgument } else { ProcessError::ProcessNotFound });
        };
        let session = tree.node(own).session;
        if node.parent == own {
            if node.session != session {
                return Err(ProcessError::PermissionDenied);
            }
            if process.has_flag(ProcessFlag::Executed) {
                return Err(ProcessError::AccessDenied);
            }
        } else if target != own {
            return Err(ProcessError::ProcessNotFound);
        }
        if node.session == target {
            return Err(ProcessError::PermissionDenied);
        }
        if group != target {
            let exists = tree.len(group, List::Group) != 0;
            if !exists || tree.node(group).group_session != session {
                return Err(ProcessError::PermissionDenied);
            }
        }
        if node.group != group {
            tree.change_group(target, group);
            trace!("setpgid: pid={target} group={group}");
        }
        Ok(())
    }

    /// The group of `pid` (0: the caller).
    ///
    /// # Errors
    /// `ProcessNotFound`.
    pub fn getpgid(&self, caller: &Thread<R>, pid: Pid) -> Result<Pgid> {
        self.named(caller, pid).map(|process| process.pgid())
    }

    /// The session of `pid` (0: the caller).
    ///
    /// # Errors
    /// `ProcessNotFound`.
    pub fn getsid(&self, caller: &Thread<R>, pid: Pid) -> Result<Sid> {
        self.named(caller, pid).map(|process| process.sid())
    }

    /// Makes the caller the leader of a new session without terminal and of a new group.
    ///
    /// # Errors
    /// `PermissionDenied` if its number already names a group, its own or one that others are in.
    pub fn setsid(&self, caller: &Thread<R>) -> Result<Sid> {
        let number = caller.pid().0;
        let mut tree = self.tree();
        if tree.len(number, List::Group) != 0 || tree.node(number).session == number {
            return Err(ProcessError::PermissionDenied);
        }
        tree.start_session(number);
        caller.process().clear_flag(ProcessFlag::NoTerminal);
        trace!("setsid: pid={number}");
        Ok(Sid(number))
    }

    /// Whether nobody is left outside `group` who could continue it: its stopped members would never run again. A read
    /// from the terminal fails then instead of stopping, and stop signals from the keyboard are ignored.
    pub fn group_is_orphaned(&self, group: Pgid) -> bool {
        self.tree().is_orphaned(group.0, crate::tree::NONE)
    }

    /// The controlling terminal of a session.
    pub fn terminal_of(&self, session: Sid) -> Option<R::Terminal> {
        self.tree().terminals.get(&session.0).cloned()
    }

    /// Gives a session a controlling terminal, or takes it away; the old one, to be dropped by the caller. A session that
    /// does not exist gets none: the terminal comes back.
    pub fn set_terminal(&self, session: Sid, terminal: Option<R::Terminal>) -> Option<R::Terminal> {
        let mut tree = self.tree();
        match terminal {
            Some(terminal) if tree.len(session.0, List::Session) != 0 => tree.terminals.insert(session.0, terminal),
            Some(terminal) => Some(terminal),
            None => tree.terminals.remove(&session.0),
        }
    }

    /// How a process stands to its terminal, whose foreground group is `foreground`.
    pub fn role(&self, process: &Process<R>, foreground: Option<Pgid>) -> Role {
        let tree = self.tree();
        let node = tree.node(process.pid().0);
        if tree.terminals.contains_key(&node.session) {
            return if foreground == Some(process.pgid()) { Role::Foreground } else { Role::Background };
        }
        let parent = tree.node(node.parent);
        let adopter =
            node.parent == 1 || parent.process.as_ref().is_some_and(|parent| parent.has_flag(ProcessFlag::Subreaper));
        if adopter && parent.session != node.session { Role::Daemon } else { Role::Detached }
    }

    fn named(&self, caller: &Thread<R>, pid: Pid) -> Result<Arc<Process<R>>> {
        if pid.0 == 0 {
            return Ok(caller.process().clone());
        }
        let by_thread = || self.thread(types::Tid(pid.0)).map(|thread| thread.process().clone());
        self.process(pid).or_else(by_thread).ok_or(ProcessError::ProcessNotFound)
    }
}
