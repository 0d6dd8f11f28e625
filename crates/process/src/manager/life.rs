//! Making processes, giving them programs, ending them.

use alloc::sync::Arc;

use abi::Signal;
use types::{Capabilities, Pid};

use super::{Change, Host, Loaded, ProcessManager};
use crate::signal::SigInfo;
use crate::{
    CloneFlags, CloneRequest, ExecCommit, ExitStatus, Limit, LimitDecision, LimitPolicy, OwnLimit, OwnResource,
    PriorityLevel, Process, ProcessError, ProcessFlag, ProcessState, Resource, Resources, Result, Thread, WaitRequest,
};

/// How to end a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Termination {
    /// SIGTERM; SIGKILL after the grace period.
    Graceful,
    /// SIGKILL.
    Forceful,
}

impl<R: Resources, H: Host<R>> ProcessManager<'_, R, H> {
    /// Makes a process without program, child of `parent` (default: the first process), under the default limits. It is
    /// New until it is given a program.
    ///
    /// # Errors
    /// `ProcessNotFound` for no such parent; `PermissionDenied` for a parent the caller does not control, or a level above
    /// the parent's without CAP_SYS_NICE; those of [`crate::ProcessTable::clone_thread`].
    pub fn create_process(&self, parent: Option<Pid>, name: &str, priority: PriorityLevel) -> Result<Pid> {
        self.create_named(parent, name.as_bytes(), priority)
    }

    /// [`ProcessManager::create_process`] with a name of any bytes.
    ///
    /// # Errors
    /// The same.
    pub fn create_named(&self, parent: Option<Pid>, name: &[u8], priority: PriorityLevel) -> Result<Pid> {
        let parent = self.thread_of(parent.unwrap_or(Pid::INIT))?;
        self.permit_control(parent.process())?;
        if priority > parent.scheduling().level() {
            self.permit_raise()?;
        }
        // Handlers of the parent's program mean nothing in an empty space.
        let flags = CloneFlags::FORK.union(CloneFlags::CLEAR_SIGHAND);
        let child = self.clone_from(&parent, flags, self.host.new_space(None)?)?;
        child.set_name(name);
        child.set_scheduling(child.scheduling().at_level(priority));
        let config = self.config;
        let limited = child.process().change_limits(|limits| {
            let memory = OwnLimit { value: config.default_memory_limit, policy: LimitPolicy::Fail };
            let tighter = memory.value.min(limits.own(OwnResource::Memory).value);
            limits.set_own(OwnResource::Memory, OwnLimit { value: tighter, ..memory }, false)?;
            for (resource, soft) in
                [(Resource::Stack, config.default_stack_size), (Resource::Files, config.default_max_descriptors)]
            {
                let hard = limits.get(resource).hard;
                limits.set(resource, Limit { soft: soft.min(hard), hard }, false, crate::NR_OPEN)?;
            }
            Ok(())
        });
        self.admit(&child, limited)?;
        self.host.changed(Change::Scheduling(&child));
        trace!("create: pid={} parent={} {priority:?}", child.pid(), parent.pid());
        Ok(child.pid())
    }

    /// Copies a process that has not begun to run: POSIX fork of its first thread. The child is New. A running process
    /// forks itself, by fork(2), since nobody else knows its registers.
    ///
    /// # Errors
    /// `ProcessNotFound`, `InvalidState` for one that runs, `PermissionDenied`, `NoMemory`, those of
    /// [`crate::ProcessTable::clone_thread`].
    pub fn fork(&self, pid: Pid) -> Result<Pid> {
        let parent = self.thread_of(pid)?;
        self.permit_control(parent.process())?;
        if has_begun(&parent) {
            return Err(ProcessError::InvalidState);
        }
        let space = parent.process().space().ok_or(ProcessError::InvalidState)?;
        let child = self.clone_from(&parent, CloneFlags::FORK, self.host.new_space(Some(&space))?)?;
        self.admit(&child, Ok(()))?;
        Ok(child.pid())
    }

    /// Gives a process that has not begun to run a program; with it, a task runs it. A running process executes one itself,
    /// by execve(2).
    ///
    /// # Errors
    /// Those of [`Host::load`], with the process unharmed; `InvalidState` for a process that has a program and a task, or
    /// several threads; `PermissionDenied`.
    pub fn exec(&self, pid: Pid, program: &H::Program, arguments: H::Arguments) -> core::result::Result<(), H::Error> {
        let thread = self.thread_of(pid)?;
        let process = thread.process();
        self.permit_control(process)?;
        if process.thread_count() != 1 || has_begun(&thread) {
            return Err(ProcessError::InvalidState.into());
        }
        let loaded = self.host.load(&thread, program, arguments)?;
        if let Some(loaded) = self.host.hand_over(&thread, loaded)? {
            self.enter(&thread, loaded)?;
        }
        Ok(())
    }

    /// Makes a thread's process what its loaded program wants; by its own task, if it has one. Where it begins.
    ///
    /// # Errors
    /// `NoMemory`, `InvalidState`, `ExecInProgress`; nothing has changed.
    pub fn enter(&self, thread: &Arc<Thread<R>>, loaded: Loaded<R, H::Start>) -> Result<H::Start> {
        let Loaded { space, executable, ranges, name, rights, start } = loaded;
        thread.unshare_files()?;
        self.host.carry_out(self.table.begin_exec(thread)?);
        let commit = ExecCommit {
            space,
            executable,
            ranges,
            name: &name,
            credentials: rights.credentials,
            secure: rights.secure,
            set_ids: rights.set_ids,
        };
        let executed = self.table.commit_exec(thread, commit).inspect_err(|_| self.table.abort_exec(thread))?;
        self.host.carry_out(executed.effects);
        if let Some(files) = thread.files() {
            let mut from = 0;
            while let Some((fd, file)) = files.close_next_on_exec(from) {
                drop(file);
                from = fd;
            }
        }
        Ok(start)
    }

    /// Ends a process as if it had called exit.
    ///
    /// # Errors
    /// `ProcessNotFound`; `InvalidState` if it has ended; `PermissionDenied`, also for the first process.
    pub fn exit(&self, pid: Pid, code: i32) -> Result<()> {
        let process = self.living(pid)?;
        self.permit_control(&process)?;
        self.spare_init(&process)?;
        self.end(&process, ExitStatus::from_code(code));
        Ok(())
    }

    /// Reaps a child of `pid` that has ended: its number and the status word of wait(2).
    ///
    /// # Errors
    /// `NoChild`; `WouldBlock` while none has ended (wait on [`Process::events`]); `PermissionDenied`.
    pub fn wait(&self, pid: Pid) -> Result<(Pid, i32)> {
        let parent = self.thread_of(pid)?;
        self.permit_control(parent.process())?;
        let request = WaitRequest::wait4(parent.process(), -1, 0)?;
        let found = self.table.try_wait(&parent, &request)?.ok_or(ProcessError::WouldBlock)?;
        Ok((found.pid, found.event.wait_status()))
    }

    /// Ends a process. With `Graceful` it gets SIGTERM now, and SIGKILL when it still lives after the grace period.
    ///
    /// # Errors
    /// `ProcessNotFound`; `InvalidState` if it has ended; `PermissionDenied`, also for the first process.
    pub fn terminate_process(&self, pid: Pid, how: Termination) -> Result<()> {
        let process = self.living(pid)?;
        self.spare_init(&process)?;
        trace!("terminate: pid={pid} {how:?}");
        match how {
            Termination::Graceful => {
                self.send(&process, Signal::TERM)?;
                // Asked twice, it still has the time it was first given.
                if !process.has_ended() && !process.set_flag(ProcessFlag::Doomed) {
                    let deadline = self.host.now() + self.config.grace_period;
                    self.host.changed(Change::Doomed(&process, deadline));
                }
            }
            Termination::Forceful => {
                self.permit_signal(&process, Signal::KILL)?;
                self.end(&process, ExitStatus::KILLED);
            }
        }
        Ok(())
    }

    pub(super) fn send(&self, process: &Arc<Process<R>>, signal: Signal) -> Result<()> {
        let effects = match self.host.current() {
            Some(caller) => {
                let info = SigInfo::user(signal, caller.pid(), caller.uid());
                self.table.signal_process_as(&caller, process, Some(info))?
            }
            None => self.table.signal_process(process, SigInfo::kernel(signal)),
        };
        self.host.carry_out(effects);
        Ok(())
    }

    pub(super) fn permit_signal(&self, process: &Process<R>, signal: Signal) -> Result<()> {
        self.permit(process, |caller| {
            let same_session = caller.process().sid() == process.sid();
            crate::may_signal(&caller.credentials(), &process.identity().credentials, Some(signal), same_session)
        })
    }

    /// Whether the caller may raise importance.
    pub(super) fn permit_raise(&self) -> Result<()> {
        match self.host.current() {
            Some(caller) if !caller.credentials().capable(Capabilities::SYS_NICE) => {
                Err(ProcessError::PermissionDenied)
            }
            _ => Ok(()),
        }
    }

    /// The first process does not end because somebody asks.
    pub(super) fn spare_init(&self, process: &Process<R>) -> Result<()> {
        if process.is_init() { Err(ProcessError::PermissionDenied) } else { Ok(()) }
    }

    pub(super) fn end(&self, process: &Arc<Process<R>>, status: ExitStatus) {
        self.host.carry_out(self.table.begin_group_exit(process, status));
        while let Some(thread) = process.first_thread().filter(|thread| !thread.has_task()) {
            let departure = self.table.begin_exit(&thread, status);
            self.host.carry_out(departure.effects);
            drop((departure.files, departure.fs, departure.space));
            self.host.carry_out(self.table.finish_exit(&thread));
        }
    }

    /// Asks the limits on children and makes one.
    fn clone_from(&self, parent: &Arc<Thread<R>>, flags: CloneFlags, space: Arc<R::Space>) -> Result<Arc<Thread<R>>> {
        let now = self.host.now();
        match self.table.ask_creation(parent.process(), now) {
            (LimitDecision::Allow | LimitDecision::Signal(_), _) => {}
            (_, resource) => {
                parent.process().violations().note(resource);
                return Err(ProcessError::ResourceLimitExceeded);
            }
        }
        let request = CloneRequest {
            flags,
            exit_signal: Some(Signal::CHLD),
            space,
            namespaces: None,
            pids: None,
            clear_child_tid: 0,
            now,
        };
        self.table.clone_thread(parent, request)
    }

    /// Lets a new thread in if it was made well, else takes it back.
    fn admit(&self, child: &Arc<Thread<R>>, made: Result<()>) -> Result<()> {
        made.and_then(|()| self.host.admit(child)).inspect_err(|_| self.host.carry_out(self.table.abandon(child)))
    }
}

/// Whether a thread's own task decides what it runs: it has a program, and is past being given one.
fn has_begun<R: Resources>(thread: &Thread<R>) -> bool {
    thread.has_task() && (thread.state() != ProcessState::New || thread.process().has_flag(ProcessFlag::Executed))
}
