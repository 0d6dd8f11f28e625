//! A pretended world for the process manager: spaces are numbers, files are numbers, and a program does at once what its
//! arguments say.

use std::cell::{Cell, RefCell};
use std::sync::{Arc, Mutex};

use process::{
    Change, Effects, ExecRights, Host, ImageRanges, Loaded, OnExec, Places, PriorityClass, PriorityLevel, ProcessError,
    ProcessManager, ProcessManagerConfig, ProcessState, ProcessTable, ResourceLimits, Resources, SpawnRequest,
    TableConfig, Termination, Thread, credentials_for_exec, thread_name,
};
use types::{CpuSet, Nanos, Pid};

use crate::examples::{Info, Line, PROGRAM, Processes};

/// Resources of plain data.
pub(crate) struct Plain;

impl Resources for Plain {
    type Space = u64;
    type File = Arc<u32>;
    type Path = u32;
    type Terminal = u32;
    type Namespaces = u32;
    type Filter = u32;
}

/// The name of the errno that a program would see (the kernel's table is in the crate `syscall`).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Why(&'static str);

impl std::fmt::Debug for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl From<ProcessError> for Why {
    fn from(error: ProcessError) -> Self {
        Self(match error {
            ProcessError::ProcessNotFound => "ESRCH",
            ProcessError::InvalidState => "EBUSY",
            ProcessError::PermissionDenied => "EPERM",
            ProcessError::NoChild => "ECHILD",
            ProcessError::WouldBlock => "EAGAIN",
            _ => "EINVAL",
        })
    }
}

/// The process manager's host.
struct Machine {
    now: Mutex<u64>,
}

type Arguments = &'static [&'static str];

impl Host<Plain> for Machine {
    type Program = str;
    type Arguments = Arguments;
    type Start = Arguments;
    type Error = Why;

    fn now(&self) -> Nanos {
        let mut now = self.now.lock().unwrap();
        *now += 1000;
        Nanos(*now)
    }

    // The kernel itself: permissions are the unit tests' matter.
    fn current(&self) -> Option<Arc<Thread<Plain>>> {
        None
    }

    fn new_space(&self, copy_of: Option<&Arc<u64>>) -> process::Result<Arc<u64>> {
        Ok(Arc::new(copy_of.map_or(0, |space| **space)))
    }

    fn load(
        &self,
        thread: &Thread<Plain>,
        program: &str,
        arguments: Arguments,
    ) -> Result<Loaded<Plain, Arguments>, Why> {
        if program != PROGRAM {
            return Err(Why("ENOENT"));
        }
        Ok(Loaded {
            space: Arc::new(1),
            executable: 1,
            ranges: ImageRanges::default(),
            name: thread_name(b"pm"),
            rights: credentials_for_exec(&thread.credentials(), ExecRights::default()),
            start: arguments,
        })
    }

    fn admit(&self, _: &Arc<Thread<Plain>>) -> process::Result<()> {
        Ok(())
    }

    fn hand_over(
        &self,
        _: &Arc<Thread<Plain>>,
        loaded: Loaded<Plain, Arguments>,
    ) -> process::Result<Option<Loaded<Plain, Arguments>>> {
        Ok(Some(loaded))
    }

    fn carry_out(&self, effects: Effects<Plain>) {
        effects.run();
    }

    fn changed(&self, _: Change<'_, Plain>) {}
}

/// A table with a first process and one that runs the examples.
pub(crate) struct HostWorld<S: Fn(&str) = fn(&str)> {
    manager: ProcessManager<'static, Plain, Machine>,
    us: Pid,
    next_file: Cell<u32>,
    say: S,
    // Programs that wait to be ended.
    sleeping: RefCell<Vec<Pid>>,
}

impl<S: Fn(&str)> HostWorld<S> {
    /// The world; `say` prints a line.
    pub(crate) fn new(say: S) -> Self {
        let table = Box::leak(Box::new(ProcessTable::new(TableConfig::default()).unwrap()));
        let init = table.create_init(SpawnRequest {
            space: Arc::new(1),
            places: Places { cwd: 0, root: 0 },
            namespaces: 0,
            affinity: CpuSet(1),
            limits: ResourceLimits::new(),
            name: b"init",
            now: Nanos(1),
        });
        drop(init.unwrap());
        let config = Box::leak(Box::new(ProcessManagerConfig::default()));
        let manager = ProcessManager::new(table, Machine { now: Mutex::new(0) }, config);
        let us = manager.create_process(None, "guide", PriorityLevel::Normal).unwrap();
        Self { manager, us, next_file: Cell::new(3), say, sleeping: RefCell::default() }
    }

    /// What the machine does between two calls: programs act on their signals, the first process reaps its orphans.
    fn run_others(&self) {
        for pid in self.sleeping.borrow().iter().copied() {
            let Some(process) = self.manager.get_process(pid) else { continue };
            let Some(thread) = process.first_thread() else { continue };
            let signals = process.signals();
            let resumed = process.state() == ProcessState::Suspended && !thread.signals().is_stopped();
            if resumed {
                self.set(pid, &[ProcessState::Ready, ProcessState::Running, ProcessState::Blocked]);
            }
            while !thread.signals().is_stopped() {
                match signals.next_deliverable(thread.signals()) {
                    Some(process::signal::Delivery::Terminate { info, .. }) => {
                        let status = process::ExitStatus::Signaled { signal: info.signal, core: false };
                        self.end(&process, status);
                        break;
                    }
                    Some(process::signal::Delivery::StopRequested(ticket)) => {
                        let _kick = signals.begin_stop(thread.signals(), ticket);
                    }
                    Some(process::signal::Delivery::Stop { .. }) => self.set(pid, &[ProcessState::Suspended]),
                    Some(_) => {}
                    None => break,
                }
            }
        }
        while self.manager.wait(Pid::INIT).is_ok() {}
    }

    fn end(&self, process: &Arc<process::Process<Plain>>, status: process::ExitStatus) {
        let table = self.manager.table();
        table.begin_group_exit(process, status).run();
        for thread in process.threads().unwrap_or_default() {
            let departure = table.begin_exit(&thread, status);
            departure.effects.run();
            drop((departure.files, departure.fs, departure.space));
            table.finish_exit(&thread).run();
        }
    }

    fn set(&self, pid: Pid, states: &[ProcessState]) {
        for state in states {
            let _ = self.manager.set_process_state(pid, *state);
        }
    }

    fn files(&self) -> Arc<process::FileTable<Arc<u32>>> {
        self.manager.get_process(self.us).and_then(|us| us.first_thread()).and_then(|thread| thread.files()).unwrap()
    }
}

impl<S: Fn(&str)> Processes for HostWorld<S> {
    type Error = Why;

    fn current_pid(&self) -> u32 {
        self.us.0
    }

    fn create_process(&self, parent: u32, name: &str, level: usize) -> Result<u32, Why> {
        let level = PriorityLevel::from_number(level as u64)?;
        Ok(self.manager.create_process(Some(Pid(parent)), name, level)?.0)
    }

    fn fork(&self, pid: u32) -> Result<u32, Why> {
        Ok(self.manager.fork(Pid(pid))?.0)
    }

    fn fork_self(&self, child: fn() -> i32) -> Result<u32, Why> {
        let pid = self.manager.fork(self.us)?;
        self.manager.exit(pid, child())?;
        Ok(pid.0)
    }

    fn exec(&self, pid: u32, program: &str, arguments: &'static [&'static str]) -> Result<(), Why> {
        let pid = Pid(pid);
        self.manager.exec(pid, program, arguments)?;
        match arguments {
            [_, "exit", status] => self.manager.exit(pid, status.parse().unwrap_or(255))?,
            _ => {
                self.set(pid, &[ProcessState::Ready, ProcessState::Running, ProcessState::Blocked]);
                self.sleeping.borrow_mut().push(pid);
            }
        }
        Ok(())
    }

    fn wait(&self) -> Result<(u32, i32), Why> {
        self.run_others();
        let (pid, status) = self.manager.wait(self.us)?;
        self.sleeping.borrow_mut().retain(|sleeping| *sleeping != pid);
        Ok((pid.0, status))
    }

    fn exit(&self, pid: u32, status: i32) -> Result<(), Why> {
        Ok(self.manager.exit(Pid(pid), status)?)
    }

    fn terminate_process(&self, pid: u32, force: bool) -> Result<(), Why> {
        let how = if force { Termination::Forceful } else { Termination::Graceful };
        Ok(self.manager.terminate_process(Pid(pid), how)?)
    }

    fn suspend_process(&self, pid: u32) -> Result<(), Why> {
        Ok(self.manager.suspend_process(Pid(pid))?)
    }

    fn resume_process(&self, pid: u32) -> Result<(), Why> {
        Ok(self.manager.resume_process(Pid(pid))?)
    }

    fn set_process_state(&self, pid: u32, state: usize) -> Result<(), Why> {
        let state = ProcessState::from_number(state as u64)?;
        match state {
            // In the kernel, a task would have to see it.
            ProcessState::Suspended if self.sleeping.borrow().contains(&Pid(pid)) => self.suspend_process(pid),
            _ => Ok(self.manager.set_process_state(Pid(pid), state)?),
        }
    }

    fn set_priority(&self, pid: u32, level: usize) -> Result<(), Why> {
        Ok(self.manager.set_priority(Pid(pid), PriorityLevel::from_number(level as u64)?, PriorityClass::User)?)
    }

    fn get_process_info(&self, pid: u32) -> Result<Info, Why> {
        let info = self.manager.get_process_info(Pid(pid))?;
        let name = String::from_utf8_lossy(&info.name).trim_end_matches('\0').to_owned();
        Ok(Info { name, state: info.state as usize, level: info.priority as usize, parent: info.parent.0 })
    }

    fn open_files(&self, pid: u32) -> Result<usize, Why> {
        Ok(self.manager.get_process_stats(Pid(pid))?.open_files)
    }

    fn open_file(&self) -> u32 {
        let file = self.next_file.replace(self.next_file.get() + 1);
        self.files().insert(Arc::new(file), 0, 1024, OnExec::Keep).unwrap_or(u32::MAX)
    }

    fn close_file(&self, fd: u32) {
        drop(self.files().close(fd));
    }

    fn get_parent_pid(&self, pid: u32) -> Result<u32, Why> {
        Ok(self.manager.get_parent_pid(Pid(pid))?.map_or(0, |parent| parent.0))
    }

    fn list_processes(&self) -> Result<Vec<Line>, Why> {
        let line = |line: &process::ProcessSummary| {
            let name = String::from_utf8_lossy(&line.name).trim_end_matches('\0').to_owned();
            (line.pid.0, name, line.state as usize, line.priority as usize)
        };
        Ok(self.manager.list_processes()?.iter().map(line).collect())
    }

    fn process_count(&self) -> usize {
        self.manager.process_count() as usize
    }

    fn settle(&self, _pid: u32, _state: usize, _is: bool) {
        self.run_others();
    }

    fn relax(&self) {
        self.run_others();
    }

    fn say(&self, line: &str) {
        (self.say)(line);
    }
}
