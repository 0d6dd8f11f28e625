//! The guide's interface to processes: one object with plain calls, over the same table and rules as the system calls.
//!
//! The kernel's native gate (`int 0x80`) and its administration call this; on the host it runs without a kernel, since the
//! [`Host`] does what needs one. A process that no task runs ends at once when it is told to; others end when their tasks
//! see it. What the caller may do to others is what kill(2), setpriority(2), prlimit(2) and ptrace(2) would let it do.

mod change;
mod config;
mod host;
mod inspect;
mod isolation;
mod life;

use alloc::sync::Arc;

use types::Pid;

use crate::{Dumpable, Process, ProcessError, ProcessFlag, ProcessTable, Resources, Result, Thread};

pub use config::ProcessManagerConfig;
pub use host::{Change, Host, Loaded};
pub use inspect::{ProcessInfo, ProcessStats, ProcessSummary};
pub use life::Termination;

/// The process manager. Cheap: a view of a table through a host.
pub struct ProcessManager<'a, R: Resources, H: Host<R>> {
    table: &'a ProcessTable<R>,
    host: H,
    config: &'a ProcessManagerConfig,
}

impl<'a, R: Resources, H: Host<R>> ProcessManager<'a, R, H> {
    /// A manager of the processes in `table`.
    pub const fn new(table: &'a ProcessTable<R>, host: H, config: &'a ProcessManagerConfig) -> Self {
        Self { table, host, config }
    }

    /// The table.
    pub const fn table(&self) -> &'a ProcessTable<R> {
        self.table
    }

    /// What is done outside.
    pub const fn host(&self) -> &H {
        &self.host
    }

    /// Sizes and times.
    pub const fn config(&self) -> &'a ProcessManagerConfig {
        self.config
    }

    fn living(&self, pid: Pid) -> Result<Arc<Process<R>>> {
        let process = self.get_process(pid).ok_or(ProcessError::ProcessNotFound)?;
        if process.state().is_ending() { Err(ProcessError::InvalidState) } else { Ok(process) }
    }

    fn thread_of(&self, pid: Pid) -> Result<Arc<Thread<R>>> {
        let process = self.get_process(pid).ok_or(ProcessError::ProcessNotFound)?;
        process.first_thread().ok_or(ProcessError::InvalidState)
    }

    /// Whether the caller may do to `target` what `rule` guards. The kernel may, and everyone may to himself.
    fn permit(&self, target: &Process<R>, rule: impl FnOnce(&Thread<R>) -> bool) -> Result<()> {
        match self.host.current() {
            Some(caller) if caller.pid() != target.pid() && !rule(&caller) => Err(ProcessError::PermissionDenied),
            _ => Ok(()),
        }
    }

    /// Whether the caller may make `target` do what it likes: what ptrace(2) asks for. A child that has no program yet has
    /// nothing to hide from its parent.
    fn permit_control(&self, target: &Process<R>) -> Result<()> {
        self.permit(target, |caller| {
            let blank = target.parent_pid() == caller.pid() && !target.has_flag(ProcessFlag::Executed);
            let dumpable = if blank { Dumpable::Yes } else { target.dumpable() };
            crate::within_walls(caller.process(), target)
                && crate::may_inspect(&caller.credentials(), &target.identity().credentials, dumpable)
        })
    }
}
