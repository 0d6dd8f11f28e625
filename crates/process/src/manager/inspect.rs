//! What there is to know of processes.

use alloc::sync::Arc;
use alloc::vec::Vec;

use types::{Nanos, Pgid, Pid, Sid, Uid};

use super::{Host, ProcessManager};
use crate::signal::SignalStatistics;
use crate::{
    ExitStatus, NAME_LEN, PriorityClass, PriorityLevel, Process, ProcessError, ProcessState, Resources, Result,
    UsageSnapshot,
};

/// What there is to know of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessInfo {
    /// Number.
    pub pid: Pid,
    /// Parent's number.
    pub parent: Pid,
    /// Its group.
    pub group: Pgid,
    /// Its session.
    pub session: Sid,
    /// Its real user.
    pub user: Uid,
    /// Name, NUL-padded.
    pub name: [u8; NAME_LEN],
    /// Where in its life.
    pub state: ProcessState,
    /// Importance.
    pub priority: PriorityLevel,
    /// Kind of work.
    pub class: PriorityClass,
    /// Threads that live.
    pub threads: usize,
    /// When it was made.
    pub created_at: Nanos,
    /// When its first thread was ready to run, once it has run.
    pub started_at: Option<Nanos>,
    /// Where the cycle counter was when that last began to run; 0 if it never did.
    pub last_dispatch: u64,
    /// How it ended, if it has.
    pub exit_status: Option<ExitStatus>,
}

/// What a process has used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessStats {
    /// Itself.
    pub own: UsageSnapshot,
    /// Its reaped descendants.
    pub children: UsageSnapshot,
    /// Its signals.
    pub signals: SignalStatistics,
    /// Descriptors open now.
    pub open_files: usize,
}

/// A line of a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessSummary {
    /// Number.
    pub pid: Pid,
    /// Name, NUL-padded.
    pub name: [u8; NAME_LEN],
    /// Where in its life.
    pub state: ProcessState,
    /// Importance.
    pub priority: PriorityLevel,
}

impl<R: Resources, H: Host<R>> ProcessManager<'_, R, H> {
    /// What there is to know of a process, zombies included.
    ///
    /// # Errors
    /// `ProcessNotFound`.
    pub fn get_process_info(&self, pid: Pid) -> Result<ProcessInfo> {
        let process = self.get_process(pid).ok_or(ProcessError::ProcessNotFound)?;
        let first = process.first_thread();
        let scheduling = first.as_ref().map(|thread| thread.scheduling()).unwrap_or_default();
        let last_dispatch = first.as_ref().map_or(0, |thread| thread.last_dispatch());
        Ok(ProcessInfo {
            pid,
            parent: process.parent_pid(),
            group: process.pgid(),
            session: process.sid(),
            user: process.identity().credentials.ruid,
            name: process.name(),
            state: process.state(),
            priority: scheduling.level(),
            class: scheduling.class,
            threads: process.thread_count(),
            created_at: process.created_at(),
            started_at: first.as_ref().filter(|_| last_dispatch != 0).map(|thread| thread.started_at()),
            last_dispatch,
            exit_status: process.exit_status(),
        })
    }

    /// What a process has used.
    ///
    /// # Errors
    /// `ProcessNotFound`.
    pub fn get_process_stats(&self, pid: Pid) -> Result<ProcessStats> {
        let process = self.get_process(pid).ok_or(ProcessError::ProcessNotFound)?;
        let files = process.first_thread().and_then(|thread| thread.files());
        Ok(ProcessStats {
            own: process.usage().snapshot(),
            children: process.children_usage(),
            signals: process.signals().statistics(),
            open_files: files.map_or(0, |files| files.open_count()),
        })
    }

    /// All processes by ascending number.
    ///
    /// # Errors
    /// `NoMemory`.
    pub fn list_processes(&self) -> Result<Vec<ProcessSummary>> {
        let mut list = Vec::new();
        for process in self.table.processes() {
            list.try_reserve(1).map_err(|_| ProcessError::NoMemory)?;
            list.push(Self::summary(&process));
        }
        Ok(list)
    }

    /// The line of a process in a listing.
    pub fn summary(process: &Process<R>) -> ProcessSummary {
        let priority = process.first_thread().map(|thread| thread.scheduling().level()).unwrap_or_default();
        ProcessSummary { pid: process.pid(), name: process.name(), state: process.state(), priority }
    }

    /// Number of processes, zombies included.
    pub fn process_count(&self) -> u32 {
        self.table.process_count()
    }

    /// The parent of a process; none for the first one.
    ///
    /// # Errors
    /// `ProcessNotFound`.
    pub fn get_parent_pid(&self, pid: Pid) -> Result<Option<Pid>> {
        let process = self.get_process(pid).ok_or(ProcessError::ProcessNotFound)?;
        Ok(Some(process.parent_pid()).filter(|parent| parent.0 != 0))
    }

    /// The process that calls.
    pub fn current_pid(&self) -> Option<Pid> {
        self.host.current().map(|thread| thread.pid())
    }

    /// The process of that number, zombies included.
    pub fn get_process(&self, pid: Pid) -> Option<Arc<Process<R>>> {
        self.table.process(pid)
    }
}
