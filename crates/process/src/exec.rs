//! Executing a program: the process stays, what it runs is replaced.
//!
//! ```text
//! prepare the image (may fail, process unharmed)
//! begin_exec ─► the other threads are told to end; wait until exec_is_alone ── killed meanwhile ─► abort_exec
//! ───────────────────────── point of no return: a failure from here on kills ─────────────────────────
//! commit_exec ─► new space, signals, rights, name; the caller has the leader's number
//! close descriptors marked so, one by one
//! ```

use alloc::sync::Arc;
use core::num::NonZeroU32;

use abi::Signal;
use types::{Credentials, Tid};

use crate::process::{GroupExit, Program};
use crate::thread::thread_name;
use crate::tree::{List, NONE};
use crate::{
    Dumpable, Effects, ImageRanges, Process, ProcessError, ProcessFlag, ProcessState, ProcessTable, Resource,
    Resources, Result, Thread,
};

/// What the process becomes.
pub struct ExecCommit<'a, R: Resources> {
    /// The new address space, loaded.
    pub space: Arc<R::Space>,
    /// The program's file.
    pub executable: R::Path,
    /// Where its parts lie in that space.
    pub ranges: ImageRanges,
    /// The last part of its path.
    pub name: &'a [u8],
    /// Its rights; see [`crate::credentials_for_exec`].
    pub credentials: Credentials,
    /// Whether it got rights its caller does not have: not dumpable, AT_SECURE.
    pub secure: bool,
    /// The set-user-id and set-group-id bits that were honoured.
    pub set_ids: [bool; 2],
}

/// What a successful exec leaves to do.
#[must_use = "dropping it frees the old memory"]
pub struct Executed<R: Resources> {
    /// The old address space: other users of it, such as a vfork parent, may still see it.
    pub old_space: Option<Arc<R::Space>>,
    // The old program's file, if nobody else executes it.
    _old_program: Arc<Program<R>>,
    /// In the old space, write 0 here and wake a futex; 0 if nowhere or nobody could see it.
    pub clear_child_tid: u64,
    /// In the old space, the head of the robust futex list; 0 if none.
    pub robust_list: u64,
    /// To be run with no lock held, after what is to be done in the old space: a vfork parent may go on.
    pub effects: Effects<R>,
}

impl<R: Resources> ProcessTable<R> {
    /// Tells the other threads of the caller's process to end.
    ///
    /// # Errors
    /// `ExecInProgress` if another thread is at it or the process is ending; `ResourceExhausted` if the user it became has
    /// more threads than RLIMIT_NPROC allows.
    pub fn begin_exec(&self, thread: &Arc<Thread<R>>) -> Result<Effects<R>> {
        if thread.was_over_process_limit() {
            let limit = thread.process().limit(Resource::Processes);
            if thread.identity().user.is_over(limit) {
                return Err(ProcessError::ResourceExhausted);
            }
            thread.note_process_limit(false);
        }
        let mut effects = Effects::new();
        let mut group = thread.process().thread_group().lock();
        if matches!(group.exit, GroupExit::Group(_)) || group.exec.is_some() {
            return Err(ProcessError::ExecInProgress);
        }
        group.exec = NonZeroU32::new(thread.tid().0);
        for other in group.list.iter().filter(|other| !Arc::ptr_eq(other, thread)) {
            other.signals().request_exit();
            effects.kick(other.clone());
        }
        drop(group);
        Ok(effects)
    }

    /// Whether the other threads have ended; [`Process::events`] is woken when one does.
    pub fn exec_is_alone(&self, thread: &Thread<R>) -> bool {
        thread.process().thread_count() == 1
    }

    /// Gives up: the caller has been killed while it waited, or the image failed before the point of no return.
    pub fn abort_exec(&self, thread: &Thread<R>) {
        let mut group = thread.process().thread_group().lock();
        if group.exec == NonZeroU32::new(thread.tid().0) {
            group.exec = None;
        }
    }

    /// Makes the process what the new program wants. The caller must be alone, have a descriptor table of its own
    /// ([`Thread::unshare_files`]), and close what is marked afterwards.
    ///
    /// # Errors
    /// `InvalidState` without [`ProcessTable::begin_exec`] or while other threads live; nothing changed.
    pub fn commit_exec(&self, thread: &Arc<Thread<R>>, commit: ExecCommit<'_, R>) -> Result<Executed<R>> {
        let process = thread.process();
        let mut effects = Effects::new();
        let was_shared = process.has_flag(ProcessFlag::SharesSpace);
        {
            let mut tree = self.tree();
            {
                let mut group = process.thread_group().lock();
                if group.exec != NonZeroU32::new(thread.tid().0) || group.list.len() != 1 {
                    return Err(ProcessError::InvalidState);
                }
                group.exec = None;
            }
            if !thread.is_leader() {
                self.take_leaders_number(&mut tree, thread, process, &mut effects);
            }
            process.set_exit_signal(Some(Signal::CHLD));
            process.set_flag(ProcessFlag::Executed);
        }
        process.signals().exec(thread.signals());
        for (flag, honoured) in [ProcessFlag::SetUid, ProcessFlag::SetGid].into_iter().zip(commit.set_ids) {
            if honoured {
                process.set_flag(flag)
            } else {
                process.clear_flag(flag)
            };
        }
        let name = thread_name(commit.name);
        thread.set_name(&name);
        process.keep_name(name);
        process.set_dumpable(if commit.secure { Dumpable::No } else { Dumpable::Yes });
        self.set_credentials_for_exec(thread, commit.credentials, commit.secure);
        let program = Program { executable: Some(commit.executable), ranges: commit.ranges };
        let old_program = process.replace_program(program);
        let old_timers = process.existing_timers().map(|timers| core::mem::take(&mut timers.lock().posix));
        drop(old_timers);
        let old_space = process.replace_space(Some(commit.space));
        process.clear_flag(ProcessFlag::SharesSpace);
        let clear_child_tid = thread.set_clear_child_tid(0);
        let robust_list = thread.robust_list();
        thread.set_robust_list(0);
        effects.release_vfork(process);
        trace!("exec: pid={} secure={}", process.pid(), commit.secure);
        effects.wake_watchers(process);
        Ok(Executed {
            old_space,
            _old_program: old_program,
            clear_child_tid: if was_shared { clear_child_tid } else { 0 },
            robust_list,
            effects,
        })
    }

    /// POSIX: the process keeps its number, and so does its one thread, whichever of them called.
    fn take_leaders_number(
        &self,
        tree: &mut crate::tree::Tree<R>,
        thread: &Arc<Thread<R>>,
        process: &Process<R>,
        effects: &mut Effects<R>,
    ) {
        let (old, number) = (thread.tid().0, process.pid().0);
        thread.set_tid(Tid(number));
        self.set_slot_thread(old, None).into_iter().for_each(|thread| effects.drop_thread(thread));
        let before = self.set_slot_thread(number, Some(thread.clone()));
        before.into_iter().for_each(|thread| effects.drop_thread(thread));
        tree.node_mut(old).thread = false;
        tree.release_if_unused(old);
        let mut child = tree.first(number, List::Children);
        while child != NONE {
            let node = tree.node_mut(child);
            if node.creator == old {
                node.creator = number;
            }
            child = tree.next(child, List::Children);
        }
        // Two places in the user's account become one: the old leader's stayed with the process.
        thread.identity().user.remove_thread();
        crate::clone::give_task(process);
    }

    /// The state a thread takes that stops running to wait: stopped ones are Suspended, all others Blocked.
    pub fn waiting_state(thread: &Thread<R>) -> ProcessState {
        if thread.signals().is_stopped() { ProcessState::Suspended } else { ProcessState::Blocked }
    }
}
