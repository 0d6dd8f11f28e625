//! What remains to be done after a transition, once no lock is held.

use alloc::collections::LinkedList;
use alloc::sync::Arc;
use alloc::vec::Vec;

use types::Sid;

use crate::signal::{Kick, SendEffect, Sent};
use crate::{Process, Resources, Thread};

/// Entries that need no allocation: enough for an ordinary exit.
const INLINE: usize = 4;
/// Entries per allocation beyond those: a fixed size, whatever a user does.
const CHUNK: usize = 32;

/// Wake-ups and drops that a transition calls for. Call [`Effects::run`] when no lock is held.
#[must_use = "wake-ups are lost if it is not run"]
pub struct Effects<R: Resources> {
    inline: [Option<Effect<R>>; INLINE],
    more: LinkedList<Vec<Effect<R>>>,
    /// A session lost its leader: hang its terminal up (SIGHUP and SIGCONT to the foreground group).
    pub session_ended: Option<SessionEnd<R>>,
    /// The first process has ended: the machine must stop.
    pub init_ended: bool,
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
    WakeParent(Arc<Process<R>>),
    WakeWatchers(Arc<Process<R>>),
    WakeSignalReaders(Arc<Process<R>>),
    DropProcess(Arc<Process<R>>),
    DropThread(Arc<Thread<R>>),
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
        Self { inline: [const { None }; INLINE], more: LinkedList::new(), session_ended: None, init_ended: false }
    }

    /// Does it: wakes tasks and queues, drops what left the table.
    pub fn run(self) {
        for effect in self.inline {
            // Filled in order.
            let Some(effect) = effect else { return };
            effect.run();
        }
        for chunk in self.more {
            chunk.into_iter().for_each(Effect::run);
        }
    }

    /// Wake this thread's task.
    pub(crate) fn kick(&mut self, thread: Arc<Thread<R>>) {
        self.push(Effect::Kick(thread));
    }

    /// Wake whoever waits for children of `process`.
    pub(crate) fn wake_parent(&mut self, process: Arc<Process<R>>) {
        self.push(Effect::WakeParent(process));
    }

    /// Wake whoever watches `process` itself: pidfds, its vfork parent, an exec waiting for its threads.
    pub(crate) fn wake_watchers(&mut self, process: Arc<Process<R>>) {
        self.push(Effect::WakeWatchers(process));
    }

    /// Drop the last reference of the table.
    pub(crate) fn drop_process(&mut self, process: Arc<Process<R>>) {
        self.push(Effect::DropProcess(process));
    }

    /// Drop the last reference of the table.
    pub(crate) fn drop_thread(&mut self, thread: Arc<Thread<R>>) {
        self.push(Effect::DropThread(thread));
    }

    /// Carries out what sending a signal to `process` asked for.
    pub(crate) fn after_send(&mut self, process: &Arc<Process<R>>, sent: SendEffect) {
        if sent.sent == Sent::Queued {
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
        match self.more.back_mut() {
            Some(chunk) if chunk.len() < CHUNK => chunk.push(effect),
            _ => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(effect);
                self.more.push_back(chunk);
            }
        }
    }
}

impl<R: Resources> Effect<R> {
    fn run(self) {
        match self {
            Self::Kick(thread) => thread.wake(),
            Self::WakeParent(process) => {
                process.child_events().wake_all();
            }
            Self::WakeWatchers(process) => {
                process.changes().wake_all();
                if let Some(watchers) = process.existing_watchers() {
                    watchers.wake_all();
                }
            }
            Self::WakeSignalReaders(process) => {
                process.signals().arrivals().wake_all();
            }
            Self::DropProcess(process) => drop(process),
            Self::DropThread(thread) => drop(thread),
        }
    }
}
