//! Processes made by the kernel, not by a fork, so that they inherit from nobody: the first one, and the first of each cell.

use alloc::sync::Arc;

use abi::Signal;
use types::{CpuSet, Credentials, Nanos, Pid, Tid};

use crate::clone::give_task;
use crate::process::{NewProcess, Program};
use crate::signal::{ProcessSignals, ThreadSignals};
use crate::thread::{NewThread, default_timer_slack, thread_name};
use crate::tree::NONE;
use crate::{
    Cell, Dumpable, Effects, FileTable, FsContext, Identity, ImageRanges, IsolationLevel, Places, Process,
    ProcessError, ProcessFlag, ProcessTable, ResourceLimits, Resources, Result, Scheduling, Thread,
};

/// What the kernel puts a process into a cell for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellRole {
    /// The first one, whose end is the service's.
    Main,
    /// One that finds out whether the service is well ([`Cell::take_probe_end`]).
    Probe,
}

/// What a process starts with that inherits from nobody; its rights are root's until it has a program.
pub struct SpawnRequest<'a, R: Resources> {
    /// Its memory.
    pub space: Arc<R::Space>,
    /// Its root and working directory.
    pub places: Places<R::Path>,
    /// Its views.
    pub namespaces: R::Namespaces,
    /// Its limits.
    pub limits: ResourceLimits,
    /// CPUs it may use.
    pub affinity: CpuSet,
    /// Its name.
    pub name: &'a [u8],
    /// The time.
    pub now: Nanos,
}

impl<R: Resources> ProcessTable<R> {
    /// Makes the first process, number 1, with the rights of root and no open files. Its thread is `New`.
    ///
    /// # Errors
    /// `ProcessAlreadyExists` if there is one; `NoMemory`.
    pub fn create_init(&self, request: SpawnRequest<'_, R>) -> Result<Arc<Thread<R>>> {
        if self.process_count() != 0 {
            return Err(ProcessError::ProcessAlreadyExists);
        }
        let thread = self.heir_of_nobody(self.claim_number()?, None, request);
        thread.process().signals().protect();
        self.enter_from_nowhere(&thread, NONE, CellRole::Main)?;
        Ok(thread)
    }

    /// Makes a process in a cell: a child of the first process, with a session of its own. Its one thread is New:
    /// the kernel gives it files, a program and a task, or takes it back by [`ProcessTable::abandon`].
    ///
    /// # Errors
    /// `InvalidState` without a first process; `ResourceExhausted` when processes, threads or the cell's tasks run out;
    /// `NoMemory`; `Restart` for a cell that has been killed.
    pub fn spawn_in_cell(
        &self,
        cell: Arc<Cell>,
        role: CellRole,
        request: SpawnRequest<'_, R>,
    ) -> Result<Arc<Thread<R>>> {
        if self.thread_count() >= self.max_threads() {
            return Err(ProcessError::ResourceExhausted);
        }
        cell.take_task()?;
        let number = self.claim_number().inspect_err(|_| cell.give_task())?;
        let thread = self.heir_of_nobody(number, Some(cell), request);
        self.enter_from_nowhere(&thread, Pid::INIT.0, role)?;
        trace!("spawn: pid={number} in {:?}", thread.process().cell());
        Ok(thread)
    }

    /// The objects of a process with one thread, with the least of all that others inherit; in no table yet.
    fn heir_of_nobody(&self, number: u32, cell: Option<Arc<Cell>>, request: SpawnRequest<'_, R>) -> Arc<Thread<R>> {
        let SpawnRequest { space, places, namespaces, limits, affinity, name, now } = request;
        let credentials = Credentials::ROOT;
        let identity = Arc::new(Identity { user: self.user(credentials.ruid), credentials });
        let fs = FsContext::new(places.root);
        drop(fs.set_cwd(places.cwd));
        let process = Arc::new(Process::new(NewProcess {
            pid: Pid(number),
            generation: self.next_generation(number),
            created_at: now,
            flags: if cell.as_ref().is_some_and(|cell| cell.limits_io()) { ProcessFlag::Limited as u32 } else { 0 },
            cell,
            pids: None,
            exit_signal: Some(Signal::CHLD),
            dumpable: Dumpable::Yes,
            isolation: IsolationLevel::Process,
            oom_score_adj: 0,
            personality: 0,
            limits: Arc::new(limits),
            space,
            program: Arc::new(Program { executable: None, ranges: ImageRanges::default() }),
            identity: identity.clone(),
            signals: ProcessSignals::new(),
            vfork_parent: None,
        }));
        Arc::new(Thread::new(NewThread {
            process,
            signals: ThreadSignals::new(Tid(number)),
            started_at: now,
            files: Arc::new(FileTable::new()),
            fs: Arc::new(fs),
            identity,
            namespaces,
            filter: None,
            name: thread_name(name),
            scheduling: Scheduling::default(),
            affinity,
            timer_slack: default_timer_slack(),
            io_priority: 0,
            no_new_privs: false,
            clear_child_tid: 0,
        }))
    }

    /// Makes a process part of all tables, or gives back what it took before it was made.
    fn enter_from_nowhere(&self, thread: &Arc<Thread<R>>, parent: u32, role: CellRole) -> Result<()> {
        let entered = self.count_process().and_then(|()| {
            self.enlist(thread).and_then(|()| self.place_below(parent, thread, role)).inspect_err(|_| {
                self.uncount_process();
                self.delist(thread, &mut Effects::new());
            })
        });
        match entered {
            Ok(()) => self.count_entered(thread),
            Err(_) => {
                self.unclaim_number(thread.tid().0);
                give_task(thread.process());
            }
        }
        entered
    }

    fn place_below(&self, parent: u32, thread: &Arc<Thread<R>>, role: CellRole) -> Result<()> {
        let process = thread.process();
        let number = process.pid().0;
        let mut tree = self.tree();
        if parent != NONE && (tree.process(parent).is_none() || tree.node(parent).ended.is_some()) {
            return Err(ProcessError::InvalidState);
        }
        if let Some(cell) = process.cell() {
            if !cell.enter() {
                return Err(ProcessError::Restart);
            }
            match role {
                CellRole::Main => cell.set_main(number),
                CellRole::Probe => cell.set_probe(number),
            }
        }
        tree.insert(process.clone(), parent, parent, number, number);
        self.set_slot(number, Some(process.clone()), Some(thread.clone()));
        Ok(())
    }
}
