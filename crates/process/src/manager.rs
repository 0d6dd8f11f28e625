//! The guide's interface to processes: one object with plain calls, over the same table and rules as the system calls.
//!
//! The kernel's native gate (`int 0x80`) and its administration call this; on the host it runs without a kernel, since the
//! [`Host`] does what needs one. A process that no task runs yet (state New) ends at once when it is told to; others end
//! when their tasks see it.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Signal;
use types::{Nanos, Pid};

use crate::signal::{SigInfo, SignalStatistics};
use crate::{
    CloneFlags, CloneRequest, ExecCommit, ExecRights, ExitStatus, ImageRanges, Limit, LimitPolicy, NAME_LEN, OwnLimit,
    OwnResource, PriorityClass, PriorityLevel, Process, ProcessError, ProcessState, ProcessTable, Resource, Resources,
    Result, Thread, UsageSnapshot, WaitRequest, credentials_for_exec,
};

/// Sizes and times of the process manager; the defaults are the documents'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessManagerConfig {
    /// Most processes.
    pub max_processes: u32,
    /// Most processes that belong to services.
    pub max_service_processes: u32,
    /// Bytes of stack of a created process.
    pub default_stack_size: u64,
    /// Bytes of memory of a created process.
    pub default_memory_limit: u64,
    /// Descriptors of a created process.
    pub default_max_descriptors: u64,
    /// How long a service may take to start or stop.
    pub service_timeout: Nanos,
    /// Between SIGTERM and SIGKILL.
    pub grace_period: Nanos,
    /// How long an emergency termination of everything may take.
    pub emergency_timeout: Nanos,
    /// Whether use is counted.
    pub accounting: bool,
    /// Whether the monitor looks at processes.
    pub monitoring: bool,
}

impl Default for ProcessManagerConfig {
    fn default() -> Self {
        Self {
            max_processes: 65_536,
            max_service_processes: 1024,
            default_stack_size: 8 << 20,
            default_memory_limit: 256 << 20,
            default_max_descriptors: 1024,
            service_timeout: Nanos::from_secs(30),
            grace_period: Nanos::from_secs(5),
            emergency_timeout: Nanos::from_secs(10),
            accounting: true,
            monitoring: true,
        }
    }
}

/// What the manager needs done that is not a matter of processes.
pub trait Host<R: Resources>: Send + Sync {
    /// The time.
    fn now(&self) -> Nanos;
    /// The thread that calls, if one does.
    fn current(&self) -> Option<Arc<Thread<R>>>;
    /// An address space with nothing in it.
    ///
    /// # Errors
    /// `NoMemory`.
    fn empty_space(&self) -> Result<Arc<R::Space>>;
    /// A copy-on-write copy for fork.
    ///
    /// # Errors
    /// `NoMemory`.
    fn copy_space(&self, space: &Arc<R::Space>) -> Result<Arc<R::Space>>;
    /// Builds the image of an ELF program for a process.
    ///
    /// # Errors
    /// `NotExecutable`, `ArgumentsTooLong`, `NoMemory`.
    fn load(&self, process: &Process<R>, program: &[u8], arguments: &[&str]) -> Result<Loaded<R>>;
    /// The importance of a thread has changed: the scheduler must know at once.
    fn scheduling_changed(&self, thread: &Thread<R>);
}

/// A program ready to be executed.
pub struct Loaded<R: Resources> {
    /// Its memory.
    pub space: Arc<R::Space>,
    /// Its file.
    pub executable: R::Path,
    /// Where its parts lie.
    pub ranges: ImageRanges,
}

/// How to end a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Termination {
    /// SIGTERM; SIGKILL after the grace period.
    Graceful,
    /// SIGKILL.
    Forceful,
}

/// What there is to know of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessInfo {
    /// Number.
    pub pid: Pid,
    /// Parent's number.
    pub parent: Pid,
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
    /// When its first thread first ran.
    pub started_at: Option<Nanos>,
    /// When that last began to run.
    pub last_scheduled: Nanos,
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

/// The process manager.
pub struct ProcessManager<R: Resources, H: Host<R>> {
    table: Arc<ProcessTable<R>>,
    host: H,
    config: ProcessManagerConfig,
}

impl<R: Resources, H: Host<R>> ProcessManager<R, H> {
    /// A manager of the processes in `table`.
    pub const fn new(table: Arc<ProcessTable<R>>, host: H, config: ProcessManagerConfig) -> Self {
        Self { table, host, config }
    }

    /// The table.
    pub const fn table(&self) -> &Arc<ProcessTable<R>> {
        &self.table
    }

    /// Sizes and times.
    pub const fn config(&self) -> &ProcessManagerConfig {
        &self.config
    }

    /// Makes a process without program, child of `parent` (default: the first process), under the default limits.
    ///
    /// # Errors
    /// `ProcessNotFound` for no such parent; those of [`ProcessTable::clone_thread`].
    pub fn create_process(&self, parent: Option<Pid>, name: &str, priority: PriorityLevel) -> Result<Pid> {
        let parent = self.thread_of(parent.unwrap_or(Pid::INIT))?;
        let child = self.clone_from(&parent, self.host.empty_space()?)?;
        child.set_name(name.as_bytes());
        child.set_scheduling(child.scheduling().at_level(priority));
        let config = &self.config;
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
        if let Err(error) = limited {
            self.table.abandon(&child).run();
            return Err(error);
        }
        self.host.scheduling_changed(&child);
        Ok(child.pid())
    }

    /// Copies a process: POSIX fork of its first thread. The child is New.
    ///
    /// # Errors
    /// `ProcessNotFound`, `NoMemory`, those of [`ProcessTable::clone_thread`].
    pub fn fork(&self, pid: Pid) -> Result<Pid> {
        let parent = self.thread_of(pid)?;
        let space = parent.process().space().ok_or(ProcessError::InvalidState)?;
        self.clone_from(&parent, self.host.copy_space(&space)?).map(|child| child.pid())
    }

    /// Gives a process another program. One with several threads can only do that itself.
    ///
    /// # Errors
    /// Those of [`Host::load`], with the process unharmed; `InvalidState` for a process with several threads.
    pub fn exec(&self, pid: Pid, program: &[u8], arguments: &[&str]) -> Result<()> {
        let thread = self.thread_of(pid)?;
        let process = thread.process();
        let loaded = self.host.load(process, program, arguments)?;
        thread.unshare_files()?;
        if process.thread_count() != 1 {
            return Err(ProcessError::InvalidState);
        }
        self.table.begin_exec(&thread)?.run();
        let rights = ExecRights { no_new_privs: thread.no_new_privs(), ..ExecRights::default() };
        let rights = credentials_for_exec(&thread.credentials(), rights);
        let path = arguments.first().copied().unwrap_or_default();
        let commit = ExecCommit {
            space: loaded.space,
            executable: loaded.executable,
            ranges: loaded.ranges,
            name: path.rsplit('/').next().unwrap_or(path).as_bytes(),
            credentials: rights.credentials,
            secure: rights.secure,
            set_ids: rights.set_ids,
        };
        let executed = self.table.commit_exec(&thread, commit).inspect_err(|_| self.table.abort_exec(&thread))?;
        executed.effects.run();
        if let Some(files) = thread.files() {
            let mut from = 0;
            while let Some((fd, file)) = files.close_next_on_exec(from) {
                drop(file);
                from = fd;
            }
        }
        Ok(())
    }

    /// Ends a process as if it had called exit.
    ///
    /// # Errors
    /// `ProcessNotFound`; `InvalidState` if it has ended.
    pub fn exit(&self, pid: Pid, code: i32) -> Result<()> {
        self.end(&self.living(pid)?, ExitStatus::from_code(code));
        Ok(())
    }

    /// Reaps a child of `pid` that has ended: its number and the status word of wait(2).
    ///
    /// # Errors
    /// `NoChild`; `WouldBlock` while none has ended (wait on [`Process::child_events`]).
    pub fn wait(&self, pid: Pid) -> Result<(Pid, i32)> {
        let parent = self.thread_of(pid)?;
        let request = WaitRequest::wait4(parent.process(), -1, 0)?;
        let found = self.table.try_wait(&parent, &request)?.ok_or(ProcessError::WouldBlock)?;
        Ok((found.pid, found.event.wait_status()))
    }

    /// Ends a process. For `Graceful` the time at which the caller is to come back with `Forceful`, if it still lives.
    ///
    /// # Errors
    /// `ProcessNotFound`; `InvalidState` if it has ended; `PermissionDenied` for the first process.
    pub fn terminate_process(&self, pid: Pid, how: Termination) -> Result<Option<Nanos>> {
        let process = self.living(pid)?;
        if process.is_init() {
            return Err(ProcessError::PermissionDenied);
        }
        match how {
            Termination::Graceful => {
                self.table.signal_process(&process, SigInfo::kernel(Signal::TERM)).run();
                Ok(Some(self.host.now() + self.config.grace_period))
            }
            Termination::Forceful => {
                self.end(&process, ExitStatus::KILLED);
                Ok(None)
            }
        }
    }

    /// Stops a process until [`ProcessManager::resume_process`].
    ///
    /// # Errors
    /// `ProcessNotFound`; `InvalidState` if it has ended.
    pub fn suspend_process(&self, pid: Pid) -> Result<()> {
        self.send_signal(pid, Signal::STOP)
    }

    /// Lets a stopped process go on.
    ///
    /// # Errors
    /// `ProcessNotFound`; `InvalidState` if it has ended.
    pub fn resume_process(&self, pid: Pid) -> Result<()> {
        self.send_signal(pid, Signal::CONT)
    }

    /// Sends a signal as the caller, if there is one, with its permissions; else as the kernel.
    ///
    /// # Errors
    /// `ProcessNotFound`, `InvalidState` if it has ended, `PermissionDenied`.
    pub fn send_signal(&self, pid: Pid, signal: Signal) -> Result<()> {
        let process = self.living(pid)?;
        let effects = match self.host.current() {
            Some(caller) => {
                let info = SigInfo::user(signal, caller.pid(), caller.uid());
                self.table.signal_process_as(&caller, &process, Some(info))?
            }
            None => self.table.signal_process(&process, SigInfo::kernel(signal)),
        };
        effects.run();
        Ok(())
    }

    /// Follows an arrow of the state machine for a process with one thread that no task runs: tests, examples.
    ///
    /// # Errors
    /// `ProcessNotFound`; `InvalidState`, and nothing changed, for an arrow that is not there, or an end of life, which
    /// only exit and wait bring about.
    pub fn set_process_state(&self, pid: Pid, state: ProcessState) -> Result<()> {
        if state.is_ending() {
            return Err(ProcessError::InvalidState);
        }
        self.thread_of(pid)?.state_cell().advance(state).map(|_| ())
    }

    /// Changes the importance of a process, all its threads.
    ///
    /// # Errors
    /// `ProcessNotFound`; `InvalidState` if it has ended; `NoMemory`.
    pub fn set_priority(&self, pid: Pid, level: PriorityLevel, class: PriorityClass) -> Result<()> {
        for thread in self.living(pid)?.threads()? {
            let mut scheduling = thread.scheduling().at_level(level);
            scheduling.class = class;
            thread.set_scheduling(scheduling);
            self.host.scheduling_changed(&thread);
        }
        Ok(())
    }

    /// What there is to know of a process, zombies included.
    ///
    /// # Errors
    /// `ProcessNotFound`.
    pub fn get_process_info(&self, pid: Pid) -> Result<ProcessInfo> {
        let process = self.get_process(pid).ok_or(ProcessError::ProcessNotFound)?;
        let first = process.first_thread();
        let scheduling = first.as_ref().map(|thread| thread.scheduling()).unwrap_or_default();
        Ok(ProcessInfo {
            pid,
            parent: process.parent_pid(),
            name: process.name(),
            state: process.state(),
            priority: scheduling.level(),
            class: scheduling.class,
            threads: process.thread_count(),
            created_at: process.created_at(),
            started_at: first.as_ref().and_then(|thread| thread.first_scheduled()),
            last_scheduled: first.as_ref().map_or(Nanos::ZERO, |thread| thread.last_scheduled()),
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
            children: process.children_usage().snapshot(),
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
            let priority = process.first_thread().map(|thread| thread.scheduling().level()).unwrap_or_default();
            list.try_reserve(1).map_err(|_| ProcessError::NoMemory)?;
            list.push(ProcessSummary { pid: process.pid(), name: process.name(), state: process.state(), priority });
        }
        Ok(list)
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

    fn clone_from(&self, parent: &Arc<Thread<R>>, space: Arc<R::Space>) -> Result<Arc<Thread<R>>> {
        let request = CloneRequest {
            flags: CloneFlags::FORK,
            exit_signal: Some(Signal::CHLD),
            space,
            namespaces: None,
            clear_child_tid: 0,
            now: self.host.now(),
        };
        self.table.clone_thread(parent, request)
    }

    fn end(&self, process: &Arc<Process<R>>, status: ExitStatus) {
        self.table.begin_group_exit(process, status).run();
        while let Some(thread) = process.first_thread().filter(|thread| thread.state() == ProcessState::New) {
            let departure = self.table.begin_exit(&thread, status);
            departure.effects.run();
            drop((departure.files, departure.fs, departure.space));
            self.table.finish_exit(&thread).run();
        }
    }

    fn living(&self, pid: Pid) -> Result<Arc<Process<R>>> {
        let process = self.get_process(pid).ok_or(ProcessError::ProcessNotFound)?;
        if process.state().is_ending() { Err(ProcessError::InvalidState) } else { Ok(process) }
    }

    fn thread_of(&self, pid: Pid) -> Result<Arc<Thread<R>>> {
        let process = self.get_process(pid).ok_or(ProcessError::ProcessNotFound)?;
        process.first_thread().ok_or(ProcessError::InvalidState)
    }
}
