//! What remains to be done after a transition, once no lock is held.

use alloc::boxed::Box;
use alloc::collections::LinkedList;
use alloc::sync::Arc;
use alloc::vec::Vec;

use types::Sid;

use crate::signal::{Kick, SendEffect, Sent};
use crate::{Cell, Process, ProcessFlag, Resources, Thread};

/// Entries that need no allocation: enough for an ordinary exit.
const INLINE: usize = 4;
/// Entries per allocation beyond those: a fixed size, whatever a user does.
const CHUNK: usize = 32;

/// Wake-ups and drops that a transition calls for. Call [`Effects::run`] when no lock is held.
#[must_use = "wake-ups are lost if it is not run"]
pub struct Effects<R: Resources> {
    inline: [Option<Effect<R>>; INLINE],
    more: Option<Box<More<R>>>,
    /// A session lost its leader: hang its terminal up (SIGHUP and SIGCONT to the foreground group).
    pub session_ended: Option<SessionEnd<R>>,
    /// The first process has ended: the machine must stop.
    pub init_ended: bool,
}

/// What does not fit inline: rare, so it must cost nothing to have none.
struct More<R: Resources> {
    chunks: LinkedList<Vec<Effect<R>>>,
}

/// A session without leader, and the terminal it had.
pub struct SessionEnd<R: Resources> {
    /// The session.
    pub session: Sid,
    /// Its controlling terminal.
    pub terminal: R::Terminal,
}

enum Effect<R: Resources> {
    Kick(Arc<Thread<R>>),
    ReleaseVfork(Arc<Process<R>>),
    WakeParent(Arc<Process<R>>),
    WakeWatchers(Arc<Process<R>>),
    WakeSignalReaders(Arc<Process<R>>),
    DropProcess(Arc<Process<R>>),
    DropThread(Arc<Thread<R>>),
    Post(Arc<Cell>),
}

impl<R: Resources> Effects<R> {
    /// Kicks the threads of `process` that a change of signal state named.
    pub fn of_kick(process: &Process<R>, kick: Kick) -> Self {
        let mut effects = Self::new();
        effects.kick_threads(process, kick);
        effects
    }

    /// Nothing to do.
    pub(crate) const fn new() -> Self {
        Self { inline: [const { None }; INLINE], more: None, session_ended: None, init_ended: false }
    }

    /// Whether there is nothing to do.
    #[inline]
    fn is_empty(&self) -> bool {
        // Filled in order.
        let [first, ..] = &self.inline;
        first.is_none() && self.session_ended.is_none()
    }

    /// Does it: wakes tasks and queues, drops what left the table.
    #[inline]
    pub fn run(self) {
        if self.is_empty() {
            // Nothing is in it that would have to be dropped.
            core::mem::forget(self);
        } else {
            self.run_all();
        }
    }

    fn run_all(mut self) {
        for slot in &mut self.inline {
            // Filled in order.
            let Some(effect) = slot.take() else { return };
            effect.run();
        }
        for chunk in self.more.into_iter().flat_map(|more| more.chunks) {
            chunk.into_iter().for_each(Effect::run);
        }
    }

    /// Wake this thread's task.
    pub(crate) fn kick(&mut self, thread: Arc<Thread<R>>) {
        self.push(Effect::Kick(thread));
    }

    /// Let the vfork parent of `process` go on, if one waits: once the child has done its last in the memory of both.
    pub(crate) fn release_vfork(&mut self, process: &Arc<Process<R>>) {
        if process.has_flag(ProcessFlag::VforkPending) {
            self.push(Effect::ReleaseVfork(process.clone()));
        }
    }

    /// Wake whoever waits for children of `process`. To be called after the change that they wait for: who begins to wait
    /// now sees it.
    pub(crate) fn wake_parent(&mut self, process: &Arc<Process<R>>) {
        if process.events().has_waiters() {
            self.push(Effect::WakeParent(process.clone()));
        }
    }

    /// Wake whoever watches `process` itself: pidfds, its vfork parent, an exec waiting for its threads. To be called after
    /// the change that they wait for.
    pub(crate) fn wake_watchers(&mut self, process: &Arc<Process<R>>) {
        // The look for waiters is a full barrier; who makes the queue of watchers later looks at the process after that.
        if process.events().has_waiters() || process.existing_watchers().is_some() {
            self.push(Effect::WakeWatchers(process.clone()));
        }
    }

    /// Drop the last reference of the table.
    pub(crate) fn drop_process(&mut self, process: Arc<Process<R>>) {
        self.push(Effect::DropProcess(process));
    }

    /// Drop the last reference of the table.
    pub(crate) fn drop_thread(&mut self, thread: Arc<Thread<R>>) {
        self.push(Effect::DropThread(thread));
    }

    /// Tell the supervisor of what happened to a cell.
    pub(crate) fn post(&mut self, cell: Arc<Cell>) {
        self.push(Effect::Post(cell));
    }

    /// Carries out what sending a signal to `process` asked for.
    pub(crate) fn after_send(&mut self, process: &Arc<Process<R>>, sent: SendEffect) {
        if sent.sent == Sent::Queued && process.signals().has_readers() {
            self.push(Effect::WakeSignalReaders(process.clone()));
        }
        self.kick_threads(process, sent.kick);
    }

    /// Kicks the threads of `process` that signal code named.
    pub(crate) fn kick_threads(&mut self, process: &Process<R>, kick: Kick) {
        match kick {
            Kick::None => {}
            Kick::One(tid) => {
                if let Some(thread) = process.thread(tid) {
                    self.kick(thread);
                }
            }
            Kick::All => process.for_each_thread(|thread| self.kick(thread.clone())),
        }
    }

    fn push(&mut self, effect: Effect<R>) {
        if let Some(slot) = self.inline.iter_mut().find(|slot| slot.is_none()) {
            *slot = Some(effect);
            return;
        }
        let more = self.more.get_or_insert_with(|| Box::new(More { chunks: LinkedList::new() }));
        match more.chunks.back_mut() {
            Some(chunk) if chunk.len() < CHUNK => chunk.push(effect),
            _ => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(effect);
                more.chunks.push_back(chunk);
            }
        }
    }
}

impl<R: Resources> Effect<R> {
    fn run(self) {
        match self {
            Self::Kick(thread) => thread.wake(),
            Self::ReleaseVfork(process) => {
                if let Some(parent) = process.release_vfork() {
                    parent.wake();
                }
            }
            Self::WakeParent(process) => {
                process.events().wake_all();
            }
            Self::WakeWatchers(process) => {
                process.events().wake_all();
                if let Some(watchers) = process.existing_watchers() {
                    watchers.wake_all();
                }
            }
            Self::Post(cell) => cell.post(),
            Self::WakeSignalReaders(process) => {
                process.signals().wake_readers();
            }
            Self::DropProcess(process) => drop(process),
            Self::DropThread(thread) => drop(thread),
        }
    }
}
