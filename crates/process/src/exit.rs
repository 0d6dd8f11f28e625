//! The end of threads and processes.
//!
//! ```text
//! exit_group, fatal signal ─► begin_group_exit: status fixed, all threads told to end
//! each thread              ─► begin_exit:  gives back what it holds; the last one the address space too
//!   (robust futexes, clear_child_tid, closing of files: the caller, with the Departure)
//!                          ─► finish_exit: off the lists; the last one makes the process a zombie
//! the parent               ─► wait: reaped, number free
//! ```
//!
//! Becoming a zombie, telling the parent and handing children on is one step under the tree's lock: no waiter looks
//! between them, none sleeps after them.

use alloc::sync::Arc;

use types::Sid;

use crate::clone::give_task;
use crate::notify::{self, Verdict};
use crate::process::GroupExit;
use crate::thread::TakenResources;
use crate::tree::{List, NONE, Number, Tree};
use crate::{
    ChildEvent, Effects, ExitStatus, FileTable, FsContext, PidNamespace, Process, ProcessFlag, ProcessState,
    ProcessTable, Resources, SessionEnd, Thread,
};

/// What an ending thread gives back. The caller first does what needs the address space (robust futexes,
/// `clear_child_tid`), then drops this with no lock held: that closes files and frees memory.
#[must_use = "dropping it closes files and frees memory"]
pub struct Departure<R: Resources> {
    /// Descriptors; closed if nobody else shares them.
    pub files: Option<Arc<FileTable<R::File>>>,
    /// Working directory and root.
    pub fs: Option<Arc<FsContext<R::Path>>>,
    /// The address space, from the last thread.
    pub space: Option<Arc<R::Space>>,
    /// Where to write 0 and wake a futex; 0 if nowhere, or if no one else could see it.
    pub clear_child_tid: u64,
    /// Head of the robust futex list, 0 if none.
    pub robust_list: u64,
    /// Whether this is the last thread of the process.
    pub last: bool,
    /// To be run at once, but after the words in user memory are released: a vfork parent may go on.
    pub effects: Effects<R>,
}

impl<R: Resources> ProcessTable<R> {
    /// Tells a whole process to end with `status` (a fatal signal). The first call decides the status.
    pub fn begin_group_exit(&self, process: &Arc<Process<R>>, status: ExitStatus) -> Effects<R> {
        self.end_group(process, status, None)
    }

    /// The same by one of the threads (exit_group), which then ends by itself: it need not be woken.
    pub fn exit_group(&self, thread: &Thread<R>, status: ExitStatus) -> Effects<R> {
        self.end_group(thread.process(), status, Some(thread))
    }

    fn end_group(&self, process: &Arc<Process<R>>, status: ExitStatus, caller: Option<&Thread<R>>) -> Effects<R> {
        let mut effects = Effects::new();
        end_group(process, status, caller, &mut effects);
        effects
    }

    /// Begins to end `thread`, which is the caller. `status` counts if it is the process's last thread and the process
    /// has not been told to end as a whole.
    pub fn begin_exit(&self, thread: &Arc<Thread<R>>, status: ExitStatus) -> Departure<R> {
        let process = thread.process();
        let mut effects = Effects::new();
        // From every state a thread may be killed in there is an arrow to Terminated.
        thread.state_cell().advance(ProcessState::Terminated).ok();
        if thread.is_leader() {
            process.keep_name(thread.name());
        }
        let shared = process.space_is_shared();
        let last = {
            let mut group = process.thread_group().lock();
            group.live = group.live.saturating_sub(1);
            if group.live == 0 && !matches!(group.exit, GroupExit::Group(_)) {
                group.exit = GroupExit::Thread(status);
            }
            group.live == 0
        };
        let TakenResources { files, fs } = thread.take_shared();
        let mut space = None;
        if last {
            process.life().advance(ProcessState::Terminated).ok();
            // No signal finds anyone any more.
            process.signals().begin_exit();
            space = process.replace_space(None);
            // Once the caller has done its last there, the vfork parent has the memory for itself.
            effects.release_vfork(process);
        }
        let clear_child_tid = thread.set_clear_child_tid(0);
        let robust_list = thread.robust_list();
        Departure {
            files,
            fs,
            space,
            clear_child_tid: if shared { clear_child_tid } else { 0 },
            robust_list,
            last,
            effects,
        }
    }

    /// Ends `thread` for good, after [`ProcessTable::begin_exit`] and the drop of what that gave.
    pub fn finish_exit(&self, thread: &Arc<Thread<R>>) -> Effects<R> {
        let mut effects = Effects::new();
        let process = thread.process();
        let number = process.pid().0;
        let tid = thread.tid().0;
        let mut tree = self.tree();
        let (removed, heir, exec_waits) = {
            let mut group = process.thread_group().lock();
            let removed = group.remove(thread);
            (removed, group.list.first().cloned(), group.exec.is_some())
        };
        if removed.is_none() {
            return effects;
        }
        // The caller's reference outlives the two of list and table: no drop of a thread under the lock.
        drop(removed);
        drop(self.set_slot_thread(tid, None));
        self.uncount_thread();
        let (kick, stopped) = process.signals().detach(thread.tid());
        effects.kick_threads(process, kick);
        if let Some(signal) = stopped {
            notify::report(&mut tree, process, ChildEvent::Stopped(signal), &mut effects);
        }
        if tid == number {
            // Its number and its place in the user's account stay with the process until that is reaped.
        } else {
            thread.state_cell().advance(ProcessState::Defunct).ok();
            tree.node_mut(tid).thread = false;
            tree.release_if_unused(tid);
            thread.identity().user.remove_thread();
            give_task(process);
        }
        match heir {
            Some(heir) => {
                if thread.has_children() {
                    hand_on_creations(&mut tree, number, tid, &heir, &mut effects);
                }
                if exec_waits {
                    effects.wake_watchers(process);
                }
            }
            None => self.end_process(&mut tree, process, &mut effects),
        }
        drop(tree);
        effects
    }

    /// The last thread is gone: orphans, zombie, news to the parent, all at once.
    fn end_process(&self, tree: &mut Tree<R>, process: &Arc<Process<R>>, effects: &mut Effects<R>) {
        let number = process.pid().0;
        let status = match process.thread_group().lock().exit {
            GroupExit::Group(status) | GroupExit::Thread(status) => status,
            GroupExit::No => ExitStatus::Exited(0),
        };
        if let Some(pids) = process.pids()
            && pids.init() == Some(number)
            && self.close_namespace(tree, number, pids, effects) == Closed::InPart
        {
            return;
        }
        if process.is_init() {
            effects.init_ended = true;
        } else {
            self.hand_on_children(tree, process, effects);
        }
        let node = tree.node(number);
        let (group, session, parent) = (node.group, node.session, node.parent);
        // It may have been the one link between its group and the rest of the session.
        if tree.node(parent).group != group && tree.node(parent).session == session {
            notify::hang_up_if_orphaned(tree, group, number, effects);
        }
        if session == number
            && let Some(terminal) = tree.terminals.remove(&session)
        {
            effects.session_ended = Some(SessionEnd { session: Sid(session), terminal });
        }
        trace!("exit: pid={number} {status:?}");
        let event = ChildEvent::Ended(status);
        {
            let node = tree.node_mut(number);
            (node.ended, node.stopped, node.continued) = (Some(status), None, false);
        }
        let verdict = notify::notify_end(tree, process, event, effects);
        process.life().advance(ProcessState::Zombie).ok();
        effects.wake_watchers(process);
        if let Some(cell) = process.cell()
            && cell.ended(number, status, &process.usage().snapshot())
        {
            effects.post(cell.clone());
        }
        if let Verdict::Reap = verdict {
            self.reap(tree, number, effects);
        }
        if let Some(pids) = process.pids() {
            self.leave_namespaces(tree, number, pids, effects);
        }
    }

    /// Init of a namespace has ended: nobody comes in any more, and all others are killed.
    fn close_namespace(
        &self,
        tree: &mut Tree<R>,
        init: Number,
        pids: &Arc<PidNamespace>,
        effects: &mut Effects<R>,
    ) -> Closed {
        if pids.die() <= 1 {
            return Closed::Wholly;
        }
        let mut at = 2;
        while let Some((inner, member)) = pids.next(at) {
            at = inner + 1;
            let Some(process) = tree.process(member).cloned() else { continue };
            if tree.node(member).ended.is_none() {
                end_group(&process, ExitStatus::KILLED, None, effects);
            } else if tree.node(member).parent == init {
                self.reap(tree, member, effects);
            }
        }
        Closed::InPart
    }

    /// A process has ended. Was it the last that init of a dead namespace waited for, so ends that.
    fn leave_namespaces(&self, tree: &mut Tree<R>, number: Number, pids: &Arc<PidNamespace>, effects: &mut Effects<R>) {
        for namespace in pids.outwards() {
            let init = namespace.init();
            // As deep as namespaces are inside one another at most.
            if namespace.leave() == 1
                && namespace.is_dead()
                && init != Some(number)
                && let Some(init) = init.and_then(|init| tree.process(init).cloned())
            {
                self.end_process(tree, &init, effects);
            }
        }
    }

    /// Gives the children of an ending process to its reaper: the nearest ancestor that adopts, else the first process.
    fn hand_on_children(&self, tree: &mut Tree<R>, process: &Process<R>, effects: &mut Effects<R>) {
        let father = process.pid().0;
        if tree.first(father, List::Children) == NONE {
            return;
        }
        let reaper = find_reaper(tree, process);
        loop {
            let child = tree.first(father, List::Children);
            let Some(orphan) = tree.process(child).cloned() else { return };
            send_parent_death(tree, &orphan, effects);
            trace!("adopt: pid={child} from={father} by={reaper}");
            tree.reparent(child, reaper, reaper);
            // Nobody shall kill the reaper with an exit signal it never chose.
            orphan.set_exit_signal(Some(abi::Signal::CHLD));
            if let Some(status) = tree.node(child).ended {
                let verdict = notify::notify_end(tree, &orphan, ChildEvent::Ended(status), effects);
                if let Verdict::Reap = verdict {
                    self.reap(tree, child, effects);
                    continue;
                }
            } else if (tree.node(child).stopped.is_some() || tree.node(child).continued)
                && let Some(parent) = tree.process(reaper)
            {
                effects.wake_parent(parent);
            }
            let (group, session) = (tree.node(child).group, tree.node(child).session);
            if tree.node(father).group != group && tree.node(father).session == session {
                notify::hang_up_if_orphaned(tree, group, NONE, effects);
            }
        }
    }

    /// Takes a zombie out of the table: its number is free unless a group or session carries it.
    pub(crate) fn reap(&self, tree: &mut Tree<R>, number: Number, effects: &mut Effects<R>) {
        let Some(process) = tree.remove(number) else { return };
        trace!("reap: pid={number}");
        process.life().advance(ProcessState::Defunct).ok();
        process.identity().user.remove_thread();
        give_task(&process);
        self.uncount_process();
        let removed = self.set_slot(number, None, None);
        // The tree's own reference outlives the table's.
        drop(removed.process);
        effects.drop_process(process);
        removed.thread.into_iter().for_each(|thread| effects.drop_thread(thread));
    }
}

/// Who adopts the children of `father`.
fn find_reaper<R: Resources>(tree: &Tree<R>, father: &Process<R>) -> Number {
    let own = father.pids();
    let mut at = tree.node(father.pid().0).parent;
    while at != NONE {
        let node = tree.node(at);
        // Nobody outside of the namespace adopts.
        let inside = node.process.as_ref().is_some_and(|process| match (process.pids(), own) {
            (Some(pids), Some(own)) => Arc::ptr_eq(pids, own),
            (None, None) => true,
            _ => false,
        });
        if !inside {
            break;
        }
        let adopts = node.process.as_ref().is_some_and(|process| process.has_flag(ProcessFlag::Subreaper));
        if adopts && node.ended.is_none() {
            return at;
        }
        at = node.parent;
    }
    own.and_then(|own| own.init()).filter(|init| *init != father.pid().0).unwrap_or(1)
}

/// How far a namespace has been closed.
#[derive(PartialEq, Eq)]
enum Closed {
    /// Nobody was left in it.
    Wholly,
    /// Others have to end first; the last of them ends init.
    InPart,
}

pub(crate) fn end_group<R: Resources>(
    process: &Arc<Process<R>>,
    status: ExitStatus,
    caller: Option<&Thread<R>>,
    effects: &mut Effects<R>,
) {
    {
        let mut group = process.thread_group().lock();
        if matches!(group.exit, GroupExit::Group(_)) {
            return;
        }
        group.exit = GroupExit::Group(status);
    }
    trace!("group exit: pid={} {status:?}", process.pid());
    process.signals().begin_exit();
    let is_caller = |thread: &Arc<Thread<R>>| caller.is_some_and(|caller| core::ptr::eq(caller, &**thread));
    process.for_each_thread(|thread| {
        if !is_caller(thread) {
            effects.kick(thread.clone());
        }
    });
}

/// The thread `gone` of `process` made children; the signal they asked for is due, and another thread stands in for it.
fn hand_on_creations<R: Resources>(
    tree: &mut Tree<R>,
    process: Number,
    gone: Number,
    heir: &Arc<Thread<R>>,
    effects: &mut Effects<R>,
) {
    let mut at = tree.first(process, List::Children);
    while at != NONE {
        let next = tree.next(at, List::Children);
        if tree.node(at).creator == gone {
            tree.node_mut(at).creator = heir.tid().0;
            if let Some(child) = tree.process(at).cloned() {
                send_parent_death(tree, &child, effects);
            }
        }
        at = next;
    }
    heir.note_child();
}

/// PR_SET_PDEATHSIG: the thread that made `orphan` has ended.
fn send_parent_death<R: Resources>(tree: &mut Tree<R>, orphan: &Arc<Process<R>>, effects: &mut Effects<R>) {
    let mut wanted = abi::SigSet::EMPTY;
    orphan.for_each_thread(|thread| {
        if let Some(signal) = thread.parent_death_signal() {
            wanted = wanted.with(signal);
        }
    });
    while let Some(signal) = wanted.first() {
        wanted = wanted.without(signal);
        notify::post(tree, orphan, notify::anonymous(signal), effects).ok();
    }
}
