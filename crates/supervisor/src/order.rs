//! What the kernel must do; carried out in order, without the supervisor's lock.

use alloc::boxed::Box;
use alloc::sync::Arc;

use crate::{Launch, SignOfLife};
use process::Cell;
use services::{Ending, Identity, Name};

/// One thing to do.
#[derive(Clone, Debug)]
pub enum Order {
    /// Start a program in its cell.
    Spawn(Box<Launch>),
    /// Send a signal to the main process.
    SignalMain(Arc<Cell>, u8),
    /// Send a signal to all.
    SignalAll(Arc<Cell>, u8),
    /// Let them stand still, or go on.
    Pause(Arc<Cell>, Pause),
    /// How urgent those are who wait for it has changed.
    Hasten(Arc<Cell>),
    /// Kill all.
    Kill(Arc<Cell>),
    /// Say on the log who does not end, and why.
    Alarm(Arc<Cell>),
    /// Say how long it could run since then.
    CheckRunnable(Arc<Cell>, Identity, SignOfLife),
    /// Ask whether it is well.
    Probe(Box<Launch>),
    /// Who of that service takes work has changed: what waits at its sockets is given out anew.
    Arrange(Name),
    /// The end.
    End(Ending),
}

/// Whether processes stand still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// From now on.
    Begin,
    /// No longer.
    End,
}
