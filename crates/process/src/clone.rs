//! Making processes and threads out of others: fork, vfork, clone.

use alloc::sync::Arc;

use abi::{Signal, linux::general as linux};
use bitflags::bitflags;
use types::{Capabilities, Nanos, Pid, Tid};

use crate::process::{GroupExit, NewProcess};
use crate::signal::HandlerSharing;
use crate::thread::{Heritage, NewThread, TakenResources};
use crate::tree::List;
use crate::{
    Effects, Identity, LimitDecision, OwnResource, PidNamespace, Process, ProcessError, ProcessFlag, ProcessState,
    ProcessTable, Resource, Resources, Result, Thread, UsageSnapshot,
};

bitflags! {
    /// What a clone shares and does (clone(2)), by Linux's numbers.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct CloneFlags: u64 {
        /// Share the address space.
        const VM = linux::CLONE_VM as u64;
        /// Share root, working directory, umask.
        const FS = linux::CLONE_FS as u64;
        /// Share the descriptor table.
        const FILES = linux::CLONE_FILES as u64;
        /// Share the signal handlers.
        const SIGHAND = linux::CLONE_SIGHAND as u64;
        /// Give the parent a pidfd of the child.
        const PIDFD = linux::CLONE_PIDFD as u64;
        /// Trace the child if the parent is traced.
        const PTRACE = linux::CLONE_PTRACE as u64;
        /// The parent waits until the child executes or ends.
        const VFORK = linux::CLONE_VFORK as u64;
        /// The child is a child of the caller's parent.
        const PARENT = linux::CLONE_PARENT as u64;
        /// A thread of the same process.
        const THREAD = linux::CLONE_THREAD as u64;
        /// A mount namespace of its own.
        const NEWNS = linux::CLONE_NEWNS as u64;
        /// Share System V semaphore adjustments.
        const SYSVSEM = linux::CLONE_SYSVSEM as u64;
        /// Set the thread-local storage base.
        const SETTLS = linux::CLONE_SETTLS as u64;
        /// Write the child's tid into the parent's memory.
        const PARENT_SETTID = linux::CLONE_PARENT_SETTID as u64;
        /// Clear the child's tid in its memory when it ends.
        const CHILD_CLEARTID = linux::CLONE_CHILD_CLEARTID as u64;
        /// Ignored, but not with a pidfd.
        const DETACHED = linux::CLONE_DETACHED as u64;
        /// The child cannot be traced by force.
        const UNTRACED = linux::CLONE_UNTRACED as u64;
        /// Write the child's tid into its memory.
        const CHILD_SETTID = linux::CLONE_CHILD_SETTID as u64;
        /// A cgroup namespace of its own.
        const NEWCGROUP = linux::CLONE_NEWCGROUP as u64;
        /// A host name of its own.
        const NEWUTS = linux::CLONE_NEWUTS as u64;
        /// IPC objects of its own.
        const NEWIPC = linux::CLONE_NEWIPC as u64;
        /// A user namespace of its own.
        const NEWUSER = linux::CLONE_NEWUSER as u64;
        /// A pid namespace of its own.
        const NEWPID = linux::CLONE_NEWPID as u64;
        /// A network of its own.
        const NEWNET = linux::CLONE_NEWNET as u64;
        /// Share the I/O context.
        const IO = linux::CLONE_IO as u64;
        /// Handlers back to default in the child (clone3).
        const CLEAR_SIGHAND = 1 << 32;
        /// Start in a given cgroup (clone3).
        const INTO_CGROUP = 1 << 33;
    }
}

/// Through which call a clone was asked for: what they accept differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloneCall {
    /// clone(2), fork, vfork: the exit signal is in the low byte, whatever it is.
    Clone,
    /// clone3(2).
    Clone3,
}

impl CloneFlags {
    /// What `fork` means.
    pub const FORK: Self = Self::empty();
    /// What `vfork` means.
    pub const VFORK_CALL: Self = Self::VFORK.union(Self::VM);
    /// Those that make a namespace.
    pub const NAMESPACES: Self = Self::NEWNS
        .union(Self::NEWCGROUP)
        .union(Self::NEWUTS)
        .union(Self::NEWIPC)
        .union(Self::NEWUSER)
        .union(Self::NEWPID)
        .union(Self::NEWNET);

    /// Checks that the flags go together, as Linux does.
    ///
    /// # Errors
    /// `InvalidArgument`.
    pub fn validate(self, call: CloneCall, exit_signal: u64) -> Result<Option<Signal>> {
        let all = |flags: Self| self.contains(flags);
        // What every rule for clone(2) names one of; fork, vfork and a shell's clone have none of them.
        let ruled = Self::NEWNS | Self::NEWUSER | Self::THREAD | Self::SIGHAND | Self::PIDFD;
        if call == CloneCall::Clone && !self.intersects(ruled) {
            return Ok(Signal::new(exit_signal));
        }
        let bad = all(Self::NEWNS | Self::FS)
            || all(Self::NEWUSER | Self::FS)
            || all(Self::THREAD) && !all(Self::SIGHAND)
            || all(Self::SIGHAND) && !all(Self::VM)
            || all(Self::THREAD) && self.intersects(Self::NEWUSER | Self::NEWPID)
            || all(Self::PIDFD | Self::DETACHED)
            || all(Self::PIDFD | Self::THREAD)
            || all(Self::SIGHAND | Self::CLEAR_SIGHAND)
            || call == CloneCall::Clone && all(Self::PIDFD | Self::PARENT_SETTID)
            || call == CloneCall::Clone3 && all(Self::DETACHED)
            || call == CloneCall::Clone3 && self.intersects(Self::THREAD | Self::PARENT) && exit_signal != 0
            || call == CloneCall::Clone3 && exit_signal > u64::from(Signal::MAX);
        if bad {
            return Err(ProcessError::InvalidArgument);
        }
        Ok(Signal::new(exit_signal))
    }
}

/// A clone that has been decoded and checked.
pub struct CloneRequest<R: Resources> {
    /// What to share.
    pub flags: CloneFlags,
    /// Sent to the parent when the child ends; SIGCHLD for fork.
    pub exit_signal: Option<Signal>,
    /// The child's address space: the parent's own with `VM`, else a copy. Not looked at with `THREAD`.
    pub space: Arc<R::Space>,
    /// The child's view, if it is not the parent's.
    pub namespaces: Option<R::Namespaces>,
    /// Where the child gets its number, if not where its parent did; inside that.
    pub pids: Option<Arc<PidNamespace>>,
    /// Where the child clears its tid when it ends (`CHILD_CLEARTID`), else 0.
    pub clear_child_tid: u64,
    /// Now.
    pub now: Nanos,
}

impl<R: Resources> ProcessTable<R> {
    /// Makes a process or, with `THREAD`, another thread of the caller's process, inheriting what POSIX and the flags
    /// say. The new thread is `New`: the kernel gives it a task and registers, then lets it go, or takes it back by
    /// [`ProcessTable::abandon`].
    ///
    /// With `VFORK` the caller then waits for [`Process::vfork_released`]: it is kicked when that changes.
    ///
    /// # Errors
    /// `ResourceExhausted` without a free number, above RLIMIT_NPROC or the most threads; `ResourceLimitExceeded` above a limit of
    /// MultiOS's own; `Restart` if the caller has a signal to see first; `InvalidArgument` for `PARENT` by the first
    /// process; `NoMemory`.
    pub fn clone_thread(&self, parent: &Arc<Thread<R>>, request: CloneRequest<R>) -> Result<Arc<Thread<R>>> {
        let flags = request.flags;
        if flags.contains(CloneFlags::PARENT) && (parent.process().is_init() || parent.process().leads_pid_namespace())
        {
            return Err(ProcessError::InvalidArgument);
        }
        // For a new process this is asked where it enters the tree.
        if flags.contains(CloneFlags::THREAD) && parent.signals().has_deliverable() {
            return Err(ProcessError::Restart);
        }
        let identity = parent.identity();
        self.check_creation(parent, &identity)?;
        let cell = parent.process().cell();
        if let Some(cell) = cell {
            cell.take_task()?;
        }
        let number = self.claim_number().inspect_err(|_| give_task(parent.process()))?;
        let pids = request.pids.as_ref().or(parent.process().pids()).cloned();
        let named = pids.as_ref().map_or(Ok(()), |pids| self.claim_inner(number, pids));
        let made = named.and_then(|()| self.clone_as(number, parent, identity, pids, request));
        match &made {
            Ok(thread) => {
                trace!("clone: parent={} child={} tid={} {flags:?}", parent.pid(), thread.pid(), thread.tid())
            }
            Err(error) => {
                trace!("clone: parent={} failed: {error:?}", parent.pid());
                self.unclaim_number(number);
                give_task(parent.process());
            }
        }
        made
    }

    /// Takes back a thread that was made and never ran: as if the clone had failed.
    pub fn abandon(&self, thread: &Arc<Thread<R>>) -> Effects<R> {
        let mut effects = Effects::new();
        let process = thread.process();
        let tid = thread.tid().0;
        let TakenResources { files, fs } = thread.take_shared();
        let space = if thread.is_leader() { process.replace_space(None) } else { None };
        // Still New: it has no one to tell.
        thread.state_cell().advance(ProcessState::Terminated).ok();
        {
            let mut tree = self.tree();
            self.delist(thread, &mut effects);
            thread.identity().user.remove_thread();
            give_task(process);
            let removed = self.set_slot(tid, None, None);
            removed.thread.into_iter().for_each(|thread| effects.drop_thread(thread));
            removed.process.into_iter().for_each(|process| effects.drop_process(process));
            if thread.is_leader() {
                process.life().advance(ProcessState::Terminated).ok();
                process.life().advance(ProcessState::Defunct).ok();
                process.pids().into_iter().flat_map(PidNamespace::outwards).for_each(|pids| _ = pids.leave());
                if let Some(cell) = process.cell() {
                    cell.leave();
                }
                tree.remove(tid).into_iter().for_each(|process| effects.drop_process(process));
                self.uncount_process();
            } else {
                tree.node_mut(tid).thread = false;
                tree.release_if_unused(tid);
            }
        }
        drop(process.release_vfork());
        effects.wake_watchers(process);
        self.uncount_thread();
        drop((files, fs, space));
        effects
    }

    fn check_creation(&self, parent: &Thread<R>, identity: &Identity) -> Result<()> {
        if self.thread_count() >= self.max_threads() {
            return Err(ProcessError::ResourceExhausted);
        }
        let process = parent.process();
        let limit = process.limit(Resource::Processes);
        let exempt = identity.user.uid() == types::Uid::ROOT
            || identity.credentials.effective.intersects(Capabilities::SYS_RESOURCE | Capabilities::SYS_ADMIN);
        if u64::from(identity.user.threads()) >= limit && !exempt {
            return Err(ProcessError::ResourceExhausted);
        }
        Ok(())
    }

    /// Asks MultiOS's own limits whether `process` may make one more child at `now`; takes its share of the rate. For
    /// a process that [`Process::is_limited`] the caller asks this first, and does what it says.
    pub fn ask_creation(&self, process: &Process<R>, now: Nanos) -> (LimitDecision, OwnResource) {
        if !process.is_limited() {
            return (LimitDecision::Allow, OwnResource::Children);
        }
        let children = u64::from(self.tree().len(process.pid().0, List::Children));
        match process.limits().check_own(OwnResource::Children, children + 1) {
            LimitDecision::Allow => (process.take_creation(now), OwnResource::CreationRate),
            decision => (decision, OwnResource::Children),
        }
    }

    fn clone_as(
        &self,
        number: u32,
        parent: &Arc<Thread<R>>,
        identity: Arc<Identity>,
        pids: Option<Arc<PidNamespace>>,
        request: CloneRequest<R>,
    ) -> Result<Arc<Thread<R>>> {
        let flags = request.flags;
        let now = request.now;
        let Heritage { files, fs, namespaces, filter, name } = parent.heritage().ok_or(ProcessError::InvalidState)?;
        let files = if flags.contains(CloneFlags::FILES) { files } else { files.try_clone_shared()? };
        let fs = if flags.contains(CloneFlags::FS) { fs } else { Arc::new(fs.duplicate()) };
        let namespaces = request.namespaces.unwrap_or(namespaces);
        // A new thread in the same memory cannot use the old one's alternate stack; a vfork child may, its parent sleeps.
        let same_memory = flags.contains(CloneFlags::VM) && !flags.contains(CloneFlags::VFORK);
        let tid = Tid(number);
        let signals = if same_memory { parent.signals().spawned(tid) } else { parent.signals().forked(tid) };
        let is_thread = flags.contains(CloneFlags::THREAD);
        let process = if is_thread {
            parent.count_alone(&parent.process().usage().snapshot());
            parent.process().clone()
        } else {
            self.new_process(number, parent, &identity, pids, flags, request.exit_signal, request.space, now)
        };
        let clear_child_tid = if flags.contains(CloneFlags::CHILD_CLEARTID) { request.clear_child_tid } else { 0 };
        let thread = Arc::new(Thread::new(NewThread {
            process: process.clone(),
            signals,
            started_at: now,
            files,
            fs,
            identity,
            namespaces,
            filter,
            name,
            scheduling: parent.scheduling().for_child(),
            affinity: parent.affinity(),
            timer_slack: parent.timer_slack(),
            io_priority: parent.io_priority(),
            no_new_privs: parent.no_new_privs(),
            clear_child_tid,
        }));
        if is_thread {
            thread.count_alone(&UsageSnapshot::default());
            self.register_thread(&thread, parent)?
        } else {
            self.register_process(&thread, parent, flags)?
        }
        self.count_entered(&thread);
        Ok(thread)
    }

    #[expect(clippy::too_many_arguments, reason = "one use; the parts of a decoded clone")]
    fn new_process(
        &self,
        number: u32,
        parent: &Arc<Thread<R>>,
        identity: &Arc<Identity>,
        pids: Option<Arc<PidNamespace>>,
        flags: CloneFlags,
        exit_signal: Option<Signal>,
        space: Arc<R::Space>,
        now: Nanos,
    ) -> Arc<Process<R>> {
        let old = parent.process();
        let share = flags.contains(CloneFlags::SIGHAND);
        let signals = old.signals().forked(if share { HandlerSharing::Share } else { HandlerSharing::Copy });
        if flags.contains(CloneFlags::CLEAR_SIGHAND) {
            signals.clear_handlers();
        }
        if pids.as_ref().is_some_and(|pids| pids.init() == Some(number)) {
            signals.protect();
        }
        let mut bits = 0;
        if flags.contains(CloneFlags::VFORK) {
            bits |= ProcessFlag::VforkPending as u32;
        }
        if flags.contains(CloneFlags::VM) {
            bits |= ProcessFlag::SharesSpace as u32;
            old.set_flag(ProcessFlag::SharesSpace);
        }
        for inherited in [
            ProcessFlag::SetUid,
            ProcessFlag::SetGid,
            ProcessFlag::NoTerminal,
            ProcessFlag::NoHugePages,
            ProcessFlag::MceEarly,
            ProcessFlag::MceLate,
            ProcessFlag::Limited,
        ] {
            bits |= if old.has_flag(inherited) { inherited as u32 } else { 0 };
        }
        Arc::new(Process::new(NewProcess {
            pid: Pid(number),
            generation: self.next_generation(number),
            created_at: now,
            cell: old.cell().cloned(),
            pids,
            flags: bits,
            exit_signal: if flags.contains(CloneFlags::PARENT) { old.exit_signal() } else { exit_signal },
            dumpable: old.dumpable(),
            isolation: old.isolation(),
            oom_score_adj: old.oom_score_adj(),
            personality: old.personality(),
            limits: old.limits(),
            space,
            program: old.program(),
            identity: identity.clone(),
            signals,
            vfork_parent: flags.contains(CloneFlags::VFORK).then(|| parent.clone()),
        }))
    }

    fn register_process(&self, thread: &Arc<Thread<R>>, parent: &Arc<Thread<R>>, flags: CloneFlags) -> Result<()> {
        self.count_process()?;
        let registered = self.enlist(thread).and_then(|()| {
            let process = thread.process().clone();
            let number = process.pid().0;
            let mut tree = self.tree();
            // Asked under the lock that group-wide signals are sent under: one that came meanwhile reaches parent
            // and child alike, the child by being made after the parent has seen it.
            if parent.signals().has_deliverable() {
                return Err(ProcessError::Restart);
            }
            if let Some(pids) = process.pids() {
                pids.enter()?;
            }
            // Asked under the lock that the kill of a cell is done under: nobody is born after it.
            if let Some(cell) = process.cell()
                && !cell.enter()
            {
                process.pids().into_iter().flat_map(PidNamespace::outwards).for_each(|pids| _ = pids.leave());
                return Err(ProcessError::Restart);
            }
            let caller = parent.pid().0;
            let (group, session) = (tree.node(caller).group, tree.node(caller).session);
            let (parent_number, creator) = if flags.contains(CloneFlags::PARENT) {
                (tree.node(caller).parent, tree.node(caller).creator)
            } else {
                (caller, parent.tid().0)
            };
            tree.insert(process.clone(), parent_number, creator, group, session);
            self.set_slot(number, Some(process), Some(thread.clone()));
            parent.note_child();
            Ok(())
        });
        if registered.is_err() {
            self.uncount_process();
            self.delist(thread, &mut Effects::new());
        }
        registered
    }

    fn register_thread(&self, thread: &Arc<Thread<R>>, parent: &Thread<R>) -> Result<()> {
        self.enlist(thread)?;
        // Another thread may have put all of them under filters since this one's were copied.
        drop(thread.process().follow_filters(thread, parent));
        let number = thread.tid().0;
        let mut tree = self.tree();
        tree.node_mut(number).thread = true;
        self.set_slot(number, None, Some(thread.clone()));
        Ok(())
    }

    /// Counts a thread that is in all tables now.
    pub(crate) fn count_entered(&self, thread: &Thread<R>) {
        thread.identity().user.add_thread();
        self.count_thread();
    }

    /// Adds a thread to its process's lists; all or nothing.
    pub(crate) fn enlist(&self, thread: &Arc<Thread<R>>) -> Result<()> {
        let process = thread.process();
        let mut group = process.thread_group().lock();
        if matches!(group.exit, GroupExit::Group(_)) || group.exec.is_some() {
            // Its caller has been told to end.
            return Err(ProcessError::Restart);
        }
        group.list.try_reserve(1).map_err(|_| ProcessError::NoMemory)?;
        if !process.signals().attach(thread.signals().clone()) {
            return Err(ProcessError::NoMemory);
        }
        group.list.push(thread.clone());
        group.live += 1;
        Ok(())
    }

    /// Takes a thread off its process's lists.
    pub(crate) fn delist(&self, thread: &Arc<Thread<R>>, effects: &mut Effects<R>) {
        let process = thread.process();
        let removed = process.thread_group().lock().remove(thread);
        removed.into_iter().for_each(|thread| effects.drop_thread(thread));
        let (kick, _stopped) = process.signals().detach(thread.tid());
        effects.kick_threads(process, kick);
    }
}

/// A thread or zombie of `process` is gone, as its cell counts them.
pub(crate) fn give_task<R: Resources>(process: &Process<R>) {
    if let Some(cell) = process.cell() {
        cell.give_task();
    }
}
