//! The first process of a cell: made by the kernel, not by a fork, so that it inherits from nobody.

use alloc::sync::Arc;

use abi::Signal;
use types::{CpuSet, Credentials, Nanos, Pid, Tid};

use crate::clone::give_task;
use crate::process::{NewProcess, Program};
use crate::signal::{ProcessSignals, ThreadSignals};
use crate::thread::{NewThread, default_timer_slack, thread_name};
use crate::{
    Cell, Dumpable, Effects, FileTable, FsContext, Identity, ImageRanges, IsolationLevel, Places, Process,
    ProcessError, ProcessTable, ResourceLimits, Resources, Result, Scheduling, Thread,
};

/// What the first process of a cell is to be.
pub struct SpawnRequest<'a, R: Resources> {
    /// Its cell, which has no process yet.
    pub cell: Arc<Cell>,
    /// Its memory.
    pub space: Arc<R::Space>,
    /// Its root and working directory.
    pub places: Places<R::Path>,
    /// Its views.
    pub namespaces: R::Namespaces,
    /// Its rights.
    pub credentials: Credentials,
    /// Its limits.
    pub limits: ResourceLimits,
    /// CPUs it may use.
    pub affinity: CpuSet,
    /// Whether programs give it no rights that it has not.
    pub no_new_privs: bool,
    /// Its name.
    pub name: &'a [u8],
    /// The time.
    pub now: Nanos,
}

impl<R: Resources> ProcessTable<R> {
    /// Makes the first process of a cell: a child of the first process, with a session of its own. Its one thread is New:
    /// the kernel gives it files, a program and a task, or takes it back by [`ProcessTable::abandon`].
    ///
    /// # Errors
    /// `InvalidState` without a first process; `ResourceExhausted` when processes, threads or the cell's tasks run out;
    /// `NoMemory`; `Restart` for a cell that has been killed.
    pub fn spawn_in_cell(&self, request: SpawnRequest<'_, R>) -> Result<Arc<Thread<R>>> {
        if self.thread_count() >= self.max_threads() {
            return Err(ProcessError::ResourceExhausted);
        }
        request.cell.take_task()?;
        let number = self.claim_number().inspect_err(|_| request.cell.give_task())?;
        let thread = self.first_of_cell(number, request);
        let process = thread.process();
        let entered = self.count_process().and_then(|()| {
            self.enter_from_nowhere(&thread).inspect_err(|_| {
                self.uncount_process();
                self.delist(&thread, &mut Effects::new());
            })
        });
        if let Err(error) = entered {
            self.unclaim_number(number);
            give_task(process);
            return Err(error);
        }
        thread.identity().user.add_thread();
        self.count_thread();
        trace!("spawn: pid={number} in {:?}", process.cell());
        Ok(thread)
    }

    fn first_of_cell(&self, number: u32, request: SpawnRequest<'_, R>) -> Arc<Thread<R>> {
        let identity =
            Arc::new(Identity { user: self.user(request.credentials.ruid), credentials: request.credentials });
        let process = Arc::new(Process::new(NewProcess {
            pid: Pid(number),
            generation: self.next_generation(number),
            created_at: request.now,
            cell: Some(request.cell),
            pids: None,
            flags: 0,
            exit_signal: Some(Signal::CHLD),
            dumpable: Dumpable::Yes,
            isolation: IsolationLevel::Process,
            oom_score_adj: 0,
            personality: 0,
            limits: Arc::new(request.limits),
            space: request.space,
            program: Arc::new(Program { executable: None, ranges: ImageRanges::default() }),
            identity: identity.clone(),
            signals: ProcessSignals::new(),
            vfork_parent: None,
        }));
        let places = FsContext::new(request.places.root);
        drop(places.set_cwd(request.places.cwd));
        Arc::new(Thread::new(NewThread {
            process,
            signals: ThreadSignals::new(Tid(number)),
            started_at: request.now,
            files: Arc::new(FileTable::new()),
            fs: Arc::new(places),
            identity,
            namespaces: request.namespaces,
            filter: None,
            name: thread_name(request.name),
            scheduling: Scheduling::default(),
            affinity: request.affinity,
            timer_slack: default_timer_slack(),
            io_priority: 0,
            no_new_privs: request.no_new_privs,
            clear_child_tid: 0,
        }))
    }

    fn enter_from_nowhere(&self, thread: &Arc<Thread<R>>) -> Result<()> {
        self.enlist(thread)?;
        let process = thread.process();
        let number = process.pid().0;
        let mut tree = self.tree();
        let init = Pid::INIT.0;
        if tree.process(init).is_none() || tree.node(init).ended.is_some() {
            return Err(ProcessError::InvalidState);
        }
        if let Some(cell) = process.cell() {
            if !cell.enter() {
                return Err(ProcessError::Restart);
            }
            cell.set_main(number);
        }
        tree.insert(process.clone(), init, init, number, number);
        self.set_slot(number, Some(process.clone()), Some(thread.clone()));
        Ok(())
    }
}
