//! What the supervisor needs of the kernel.

use alloc::sync::Arc;
use alloc::vec::Vec;

use process::Cell;
use services::{Class, Ending, Name, ProbeResult, SpawnError};
use types::Nanos;

use crate::order::Pause;
use crate::{Launch, SignOfLife};

/// What there is to see of a cell from outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Bytes of memory in use.
    pub memory: u64,
    /// Processor time, of those that ended as well.
    pub cpu: Nanos,
    /// Bytes read, by those that ended as well.
    pub read: u64,
    /// Bytes written, the same.
    pub written: u64,
}

impl Facts {
    /// Takes those of another process in.
    pub fn add(&mut self, other: Self) {
        self.memory += other.memory;
        self.cpu += other.cpu;
        self.read += other.read;
        self.written += other.written;
    }
}

/// The kernel, as the supervisor sees it. Those that act are called without the supervisor's lock, those that look with it.
pub trait World: Send + Sync {
    /// The time.
    fn now(&self) -> Nanos;

    /// Starts the program of a service in its cell, which has no process yet.
    ///
    /// # Errors
    /// How far it came; then the cell still has none.
    fn spawn(&self, launch: &Launch) -> Result<(), SpawnError>;

    /// Sends a signal to the main process of a cell.
    fn signal_main(&self, cell: &Arc<Cell>, signal: u8);

    /// Sends a signal to all processes of a cell, and lets stopped ones go on.
    fn signal_all(&self, cell: &Arc<Cell>, signal: u8);

    /// Lets no process of a cell run, those born meanwhile among them, or all again.
    fn pause(&self, cell: &Arc<Cell>, pause: Pause);

    /// How urgent a service of that class is by itself; less is more urgent.
    fn urgency(&self, class: Option<Class>) -> u32;

    /// The processes of a cell are to run at least as urgently as [`Cell::awaited_by`] says now.
    fn hasten(&self, cell: &Arc<Cell>);

    /// Kills all processes of a cell, so that none is born any more.
    fn kill(&self, cell: &Arc<Cell>);

    /// How long the cell could have run, or ran, since that moment: time that others took from it does not count.
    fn runnable(&self, cell: &Arc<Cell>, since: SignOfLife) -> Nanos;

    /// Asks whether an instance is well; nothing if the end of a process in its cell will say that
    /// ([`Cell::take_probe_end`]), within the time that its definition gives.
    fn probe(&self, launch: &Launch) -> Option<ProbeResult>;

    /// Gives out anew what waits at the sockets of a service.
    fn arrange(&self, service: &Name);

    /// Everything has stopped.
    fn end(&self, ending: Ending);

    /// Processes of a cell.
    fn pids(&self, cell: &Arc<Cell>) -> Vec<u32>;

    /// What that cell uses.
    fn facts(&self, cell: &Arc<Cell>) -> Facts;

    /// Shows what every living process of a cell uses, with the cell's number, in one walk.
    fn census(&self, visit: &mut dyn FnMut(u64, Facts));

    /// What a process of a cell that will not end waits for, in words.
    fn stuck(&self, cell: &Arc<Cell>) -> alloc::string::String;

    /// Somebody has left orders, or there is an earlier deadline: the task looks again.
    fn wake_task(&self);
}
