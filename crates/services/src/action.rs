//! What the kernel must do: the reconciler's only output.

use alloc::vec::Vec;

use crate::definition::OnFailure;
use crate::id::{Identity, ServiceId};
use crate::reconciler::{Ending, Level};
use crate::state::{Cause, State};

/// One thing to do. Actions are to be done in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Make a cell and start the program of the service in it.
    Spawn(ServiceId, Identity),
    /// Send a signal to the main process.
    Signal(Identity, u8),
    /// Send a signal to every process of the cell, and let stopped ones go on.
    SignalAll(Identity, u8),
    /// Kill every process of the cell, as one operation.
    Kill(Identity),
    /// The cell should have been empty by now: name the thread and what it waits for.
    Alarm(Identity),
    /// New work may go to it.
    Publish(ServiceId, Identity),
    /// No new work may go to it.
    Unpublish(ServiceId, Identity),
    /// Run a probe; answer with `Event::Probed`.
    Probe(Identity),
    /// Say how long it was runnable since its last sign of life; answer with `Event::Runnable`.
    CheckRunnable(Identity),
    /// Tell it to read its configuration again.
    Reload(Identity),
    /// It changed state.
    Changed(ServiceId, Identity, State, Cause),
    /// Let no process of the cell run.
    Pause(Identity),
    /// Let them run again.
    Resume(Identity),
    /// A service gave up, and its definition asks for more than that: the supervisor sees to it; for people.
    Escalate(ServiceId, OnFailure),
    /// It is now this bad; for people.
    Level(Level),
    /// Nothing runs any more after a shutdown.
    Halted(Ending),
}

/// Room for the actions of one step, allocated once.
#[derive(Clone, Debug)]
pub struct Actions {
    list: Vec<Action>,
    capacity: usize,
}

/// Most actions that one row of the table makes.
pub(crate) const PER_ROW: usize = 8;

impl Actions {
    /// Room for the steps of a reconciler with so many instances; a step that would need more stops and has work pending.
    pub fn new(instances: u16) -> Self {
        // Half for what a step settles, half for what one command does to every instance at once.
        let capacity = 2 * PER_ROW * (usize::from(instances) / 2 + 8);
        Self { list: Vec::with_capacity(capacity), capacity }
    }

    /// Forgets what has been done.
    pub fn clear(&mut self) {
        self.list.clear();
    }

    /// What is to be done, in order.
    pub fn as_slice(&self) -> &[Action] {
        &self.list
    }

    pub(crate) fn push(&mut self, action: Action) {
        debug_assert!(self.list.len() < self.capacity, "the reconciler checks the room before each row");
        if self.list.len() < self.capacity {
            self.list.push(action);
        }
    }

    pub(crate) fn has_room(&self) -> bool {
        self.list.len() + PER_ROW <= self.capacity / 2
    }
}
