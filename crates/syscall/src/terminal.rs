//! Terminals and processes: job control, controlling terminals, and the signals that terminals cause.

use alloc::sync::Arc;

use abi::linux::general as linux;
use abi::linux::ioctl as request;
use abi::{Errno, Signal};
use process::ProcessFlag;
use process::signal::{Restart, SigInfo};
use types::{Capabilities, Pgid, Pid, Uid};
use vfs::terminal::{
    Access, ControlCaller, Effects, JobCaller, JobControl, PtyMaster, SignalHandling, Steal, Terminal, TerminalEvents,
    TerminalFile, ioctl_access,
};

use crate::{Caller, OpenFile, SysError, SysResult, System};

impl Caller<'_> {
    /// Whether the caller may do that to its terminal now.
    ///
    /// # Errors
    /// EIO; a restart after the caller's group was sent SIGTTIN or SIGTTOU.
    #[inline]
    pub(crate) fn job_control(self, file: &TerminalFile, access: Access) -> SysResult<()> {
        let terminal = file.terminal();
        // The usual case needs no look at signals: the caller's group is in the foreground.
        if terminal.foreground() == Some(self.process.pgid()) {
            return Ok(());
        }
        self.background(terminal, access)
    }

    #[cold]
    fn background(self, terminal: &Terminal, access: Access) -> SysResult<()> {
        let signal = if access == Access::Read { Signal::TTIN } else { Signal::TTOU };
        let group = self.process.pgid();
        let blocked = self.thread.signals().mask().contains(signal);
        let ignored = self.process.signals().action(signal).is_ignore();
        let caller = JobCaller {
            session: self.process.terminal_session(),
            group,
            orphaned: self.system.processes.group_is_orphaned(group),
            handling: if blocked || ignored { SignalHandling::BlockedOrIgnored } else { SignalHandling::Delivered },
        };
        match terminal.job_control(access, &caller) {
            JobControl::Allow => Ok(()),
            JobControl::Eio => Err(Errno::EIO.into()),
            JobControl::Signal(signal) => {
                self.system.signal_group(group, signal);
                Err(SysError::Restart(Restart::Sys))
            }
        }
    }

    /// Makes a terminal that a session leader without one opens its controlling terminal.
    pub(crate) fn adopt_terminal(self, file: &OpenFile, flags: u32) {
        if flags & linux::O_NOCTTY != 0 || !self.process.is_session_leader() {
            return;
        }
        let Some(open) = file.downcast::<TerminalFile>() else { return };
        // As on Linux, opening /dev/console never does that.
        if file.metadata().rdev == vfs::dev::number::CONSOLE || self.controlling_terminal().is_some() {
            return;
        }
        // Another's: it stays so.
        let _ = self.acquire(open.terminal(), Steal::No);
    }

    fn controlling_terminal(self) -> Option<Arc<Terminal>> {
        self.system.processes.terminal_of(self.process.terminal_session())
    }

    fn acquire(self, terminal: &Arc<Terminal>, steal: Steal) -> SysResult<()> {
        let session = self.process.sid();
        let current = self.controlling_terminal();
        let caller = ControlCaller {
            session,
            group: self.process.pgid(),
            leader: self.process.is_session_leader(),
            has_terminal: current.is_some_and(|current| !Arc::ptr_eq(&current, terminal)),
        };
        let effects = terminal.acquire(&caller, steal)?;
        self.system.after_terminal(effects);
        drop(self.system.processes.set_terminal(session, Some(terminal.clone())));
        self.system.classify_session(session);
        Ok(())
    }

    /// The ioctls of a terminal that concern processes; `None`: the file itself serves it.
    ///
    /// # Errors
    /// Those of ioctl_tty(2); what job control says.
    pub(crate) fn terminal_ioctl(self, file: &OpenFile, number: u32, arg: u64) -> SysResult<Option<u64>> {
        let open = file.downcast::<TerminalFile>();
        let master = file.downcast::<PtyMaster>();
        let terminal = match (open, master) {
            (Some(open), _) => open.terminal(),
            (None, Some(master)) => master.terminal(),
            (None, None) => return Ok(None),
        };
        if let (Some(open), Some(access)) = (open, ioctl_access(number)) {
            if open.is_hung_up() {
                return Err(if number == request::TIOCSPGRP { Errno::ENOTTY } else { Errno::EIO }.into());
            }
            match self.job_control(open, access) {
                Err(SysError::Errno(Errno::EIO)) if number == request::TIOCSPGRP => return Err(Errno::ENOTTY.into()),
                other => other?,
            }
        }
        match number {
            request::TIOCSCTTY if open.is_some() => self.set_controlling(terminal, arg).map(Some),
            request::TIOCNOTTY if open.is_some() => self.give_up(terminal).map(Some),
            request::TIOCSPGRP => self.set_foreground(terminal, arg).map(Some),
            request::TIOCGPTPEER => match master {
                Some(master) => self.open_peer(master, arg).map(Some),
                None => Err(Errno::ENOTTY.into()),
            },
            _ => Ok(None),
        }
    }

    fn set_controlling(self, terminal: &Arc<Terminal>, arg: u64) -> SysResult {
        let steal = arg == 1 && self.capable(Capabilities::SYS_ADMIN);
        self.acquire(terminal, if steal { Steal::Yes } else { Steal::No })?;
        Ok(0)
    }

    fn give_up(self, terminal: &Arc<Terminal>) -> SysResult {
        let session = self.process.sid();
        let mine = self.controlling_terminal().is_some_and(|current| Arc::ptr_eq(&current, terminal));
        if !mine {
            return Err(Errno::ENOTTY.into());
        }
        // Others than the leader give it up for themselves; the session keeps it.
        if !self.process.is_session_leader() {
            self.process.set_flag(ProcessFlag::NoTerminal);
            self.system.classify(self.process);
        } else {
            let effects = terminal.release_session(session);
            drop(self.system.processes.set_terminal(session, None));
            self.system.after_terminal(effects);
            self.system.classify_session(session);
        }
        Ok(0)
    }

    fn set_foreground(self, terminal: &Arc<Terminal>, arg: u64) -> SysResult {
        let group = self.memory().read::<i32>(arg)?;
        let session = self.process.sid();
        let mine = self.controlling_terminal().is_some_and(|current| Arc::ptr_eq(&current, terminal));
        if !mine {
            return Err(Errno::ENOTTY.into());
        }
        let group = Pgid(self.meant(u32::try_from(group).map_err(|_| Errno::EINVAL)?));
        let group_session = self.system.processes.group_session(group);
        let before = terminal.foreground();
        terminal.set_foreground(session, group, group_session)?;
        before.into_iter().chain([group]).for_each(|group| self.system.classify_group(group));
        Ok(0)
    }

    fn open_peer(self, master: &PtyMaster, arg: u64) -> SysResult {
        let flags = arg as u32;
        let file = OpenFile::anonymous(master.open_peer()?, flags & !linux::O_CLOEXEC);
        self.adopt_terminal(&file, flags);
        self.install(file, flags)
    }
}

impl System {
    /// Sends a signal of the kernel's to every member of a group.
    pub(crate) fn signal_group(&self, group: Pgid, signal: Signal) {
        self.processes.signal_group(group, SigInfo::kernel(signal)).run();
    }

    /// Does to processes what a terminal wants done.
    pub fn after_terminal(&self, effects: Effects) {
        if let Some(group) = effects.foreground {
            each(effects.signals, |signal| self.signal_group(group, signal));
        }
        let Some(session) = effects.disowned else { return };
        drop(self.processes.set_terminal(session, None));
        self.classify_session(session);
        if let Some(leader) = self.processes.process(Pid(session.0)) {
            each(effects.leader_signals, |signal| {
                self.processes.signal_process(&leader, SigInfo::user(signal, Pid(0), Uid::ROOT)).run();
            });
        }
        if let Some(group) = effects.former_foreground {
            for signal in [Signal::HUP, Signal::CONT] {
                self.signal_group(group, signal);
            }
        }
    }
}

fn each(mut signals: abi::SigSet, mut act: impl FnMut(Signal)) {
    while let Some(signal) = signals.first() {
        signals = signals.without(signal);
        act(signal);
    }
}

/// Hands the effects of terminals to the process table.
pub(crate) struct Deliver(pub(crate) &'static System);

impl TerminalEvents for Deliver {
    fn deliver(&self, effects: Effects) {
        self.0.after_terminal(effects);
    }
}
