//! How far a process is kept apart (MISSION P15): raised, never lowered; inherited over fork and exec.

use types::{Capabilities, Pid};

use super::{Host, ProcessManager};
use crate::{
    IsolationLevel, LimitPolicy, OwnLimit, OwnResource, Process, ProcessError, ProcessFlag, ResourceLimits, Resources,
    Result,
};

impl<R: Resources, H: Host<R>> ProcessManager<'_, R, H> {
    /// The level of a process.
    ///
    /// # Errors
    /// `ProcessNotFound`.
    pub fn get_isolation(&self, pid: Pid) -> Result<IsolationLevel> {
        Ok(self.get_process(pid).ok_or(ProcessError::ProcessNotFound)?.isolation())
    }

    /// Raises the level of the caller, or of a process that has no program yet. `Namespace` gives it mounts, a host name and
    /// IPC of its own, and its children numbers of their own; `Container` besides that a call filter, a memory limit where it
    /// has none, and no new privileges.
    ///
    /// # Errors
    /// `ProcessNotFound`; `PermissionDenied` to lower it, or without CAP_SYS_ADMIN; `InvalidState` for another process that
    /// runs a program, or one with several threads; `NoMemory`. Nothing has changed then.
    pub fn set_isolation(&self, pid: Pid, level: IsolationLevel) -> Result<()> {
        let process = self.living(pid)?;
        let thread = process.first_thread().ok_or(ProcessError::InvalidState)?;
        self.permit_control(&process)?;
        let had = process.isolation();
        if level <= had {
            return if level == had { Ok(()) } else { Err(ProcessError::PermissionDenied) };
        }
        if let Some(caller) = self.host.current() {
            if !caller.credentials().capable(Capabilities::SYS_ADMIN) {
                return Err(ProcessError::PermissionDenied);
            }
            if caller.pid() != pid && process.has_flag(ProcessFlag::Executed) {
                return Err(ProcessError::InvalidState);
            }
        }
        if process.thread_count() != 1 {
            return Err(ProcessError::InvalidState);
        }
        // All that can fail comes first: a process is isolated as a whole or not at all.
        let limits = (level == IsolationLevel::Container).then(|| self.container_limits(&process)).transpose()?;
        self.host.isolate(&thread, had, level)?;
        if let Some(limits) = limits {
            thread.set_no_new_privs();
            process.replace_limits(limits);
            self.limits_changed(&process);
        }
        process.raise_isolation(level);
        trace!("isolation: pid={pid} {level:?}");
        Ok(())
    }

    /// The limits of a process with a memory limit, where it has none or a wider one.
    fn container_limits(&self, process: &Process<R>) -> Result<ResourceLimits> {
        let mut limits = ResourceLimits::clone(&process.limits());
        let value = limits.own(OwnResource::Memory).value.min(self.config.default_memory_limit);
        limits.set_own(OwnResource::Memory, OwnLimit { value, policy: LimitPolicy::Fail }, true)?;
        Ok(limits)
    }
}
