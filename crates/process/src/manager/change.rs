//! Signals, states, importance, limits.

use alloc::sync::Arc;

use abi::Signal;
use types::{Capabilities, Pid};

use super::{Change, Host, ProcessManager};
use crate::{
    ExitStatus, IsolationLevel, OwnLimit, OwnResource, PriorityClass, PriorityLevel, Process, ProcessError,
    ProcessState, Resources, Result,
};

impl<R: Resources, H: Host<R>> ProcessManager<'_, R, H> {
    /// Stops a process until [`ProcessManager::resume_process`].
    ///
    /// # Errors
    /// `ProcessNotFound`; `InvalidState` if it has ended; `PermissionDenied`.
    pub fn suspend_process(&self, pid: Pid) -> Result<()> {
        self.send_signal(pid, Signal::STOP)
    }

    /// Lets a stopped process go on.
    ///
    /// # Errors
    /// `ProcessNotFound`; `InvalidState` if it has ended; `PermissionDenied`.
    pub fn resume_process(&self, pid: Pid) -> Result<()> {
        self.send_signal(pid, Signal::CONT)
    }

    /// Sends a signal as the caller, if there is one, with its permissions; else as the kernel.
    ///
    /// # Errors
    /// `ProcessNotFound`, `InvalidState` if it has ended, `PermissionDenied`.
    pub fn send_signal(&self, pid: Pid, signal: Signal) -> Result<()> {
        self.send(&self.living(pid)?, signal)
    }

    /// Follows an arrow of the state machine. Of a process that a task runs, only what a signal can bring about is asked
    /// for (Suspended, Ready from there, Terminated): the rest is the scheduler's.
    ///
    /// # Errors
    /// `ProcessNotFound`, `PermissionDenied`; `InvalidState`, and nothing changed, for an arrow that is not there or not
    /// to be asked for.
    pub fn set_process_state(&self, pid: Pid, state: ProcessState) -> Result<()> {
        let thread = self.thread_of(pid)?;
        let process = thread.process();
        let now = process.state();
        if !now.may_become(state) {
            return Err(ProcessError::InvalidState);
        }
        self.permit_control(process)?;
        match state {
            ProcessState::Terminated => {
                self.spare_init(process)?;
                self.end(process, ExitStatus::KILLED);
                Ok(())
            }
            ProcessState::Zombie | ProcessState::Defunct => Err(ProcessError::InvalidState),
            _ if !thread.has_task() => thread.state_cell().advance(state).map(|_| ()),
            ProcessState::Suspended => self.suspend_process(pid),
            ProcessState::Ready if now == ProcessState::Suspended => self.resume_process(pid),
            _ => Err(ProcessError::InvalidState),
        }
    }

    /// Changes the importance of a process, all its threads, for the scheduler at once.
    ///
    /// # Errors
    /// `ProcessNotFound`; `InvalidState` if it has ended; `PermissionDenied` for another user's, or to raise it without
    /// CAP_SYS_NICE; `NoMemory`.
    pub fn set_priority(&self, pid: Pid, level: PriorityLevel, class: PriorityClass) -> Result<()> {
        let process = self.living(pid)?;
        self.permit(&process, |caller| crate::may_schedule(&caller.credentials(), &process.identity().credentials))?;
        for thread in process.threads()? {
            let old = thread.scheduling();
            if level > old.level() || class < old.class {
                self.permit_raise()?;
            }
            // A nice value that already means that level stays.
            let mut new = if old.level() == level { old } else { old.at_level(level) };
            new.class = class;
            new.chosen = true;
            thread.set_scheduling(new);
            self.host.changed(Change::Scheduling(&thread));
        }
        trace!("priority: pid={pid} {level:?} {class:?}");
        Ok(())
    }

    /// Sets one of MultiOS's own limits of a process.
    ///
    /// # Errors
    /// `ProcessNotFound`; `PermissionDenied` for a process of another user, or to raise it without CAP_SYS_RESOURCE
    /// or in a container;
    /// `InvalidResourceLimits` for a policy that the resource cannot have.
    pub fn set_limit(&self, pid: Pid, resource: OwnResource, limit: OwnLimit) -> Result<()> {
        let process = self.living(pid)?;
        self.permit(&process, |caller| crate::may_limit(&caller.credentials(), &process.identity().credentials))?;
        // A container's quotas hold its administrator as well.
        let privileged = self.host.current().is_none_or(|caller| {
            let contained = caller.process().isolation() == IsolationLevel::Container;
            !contained && caller.credentials().capable(Capabilities::SYS_RESOURCE)
        });
        process.change_limits(|limits| limits.set_own(resource, limit, privileged))?;
        self.limits_changed(&process);
        trace!("limit: pid={pid} {resource:?} {limit:?}");
        Ok(())
    }

    /// One of MultiOS's own limits of a process.
    ///
    /// # Errors
    /// `ProcessNotFound`.
    pub fn get_limit(&self, pid: Pid, resource: OwnResource) -> Result<OwnLimit> {
        let process = self.get_process(pid).ok_or(ProcessError::ProcessNotFound)?;
        Ok(process.limits().own(resource))
    }

    pub(super) fn limits_changed(&self, process: &Arc<Process<R>>) {
        self.host.changed(Change::Limits(process));
    }
}
