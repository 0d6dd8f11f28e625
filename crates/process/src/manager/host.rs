//! What the process manager needs of the world around it.

use alloc::sync::Arc;

use types::Nanos;

use crate::{
    Effects, ExecCredentials, ImageRanges, IsolationLevel, NAME_LEN, Process, ProcessError, Resources, Result, Thread,
};

/// What the manager needs done that is not a matter of processes.
pub trait Host<R: Resources>: Send + Sync {
    /// What a program is given as.
    type Program: ?Sized;
    /// Arguments and environment of a program.
    type Arguments;
    /// Where a program begins: its first registers.
    type Start;
    /// What can go wrong with loading a program.
    type Error: From<ProcessError>;

    /// The time.
    fn now(&self) -> Nanos;
    /// The thread that calls, if one does; operations on others are bounded by its rights.
    fn current(&self) -> Option<Arc<Thread<R>>>;
    /// An address space with nothing in it, or a copy-on-write copy of one.
    ///
    /// # Errors
    /// `NoMemory`.
    fn new_space(&self, copy_of: Option<&Arc<R::Space>>) -> Result<Arc<R::Space>>;
    /// Builds the image of a program for a process.
    ///
    /// # Errors
    /// As the host likes; the process is unharmed.
    fn load(
        &self,
        thread: &Thread<R>,
        program: &Self::Program,
        arguments: Self::Arguments,
    ) -> core::result::Result<Loaded<R, Self::Start>, Self::Error>;
    /// A thread without a program was made: whatever runs threads shall look after its signals.
    ///
    /// # Errors
    /// `NoMemory`; the thread is taken back.
    fn admit(&self, thread: &Arc<Thread<R>>) -> Result<()>;
    /// Hands a loaded program to the task of its thread, which executes it; where there is no such task, it is given back and
    /// the manager commits it.
    ///
    /// # Errors
    /// `InvalidState` when the process has a program already, or is ending.
    fn hand_over(
        &self,
        thread: &Arc<Thread<R>>,
        loaded: Loaded<R, Self::Start>,
    ) -> Result<Option<Loaded<R, Self::Start>>>;
    /// Gives a thread, the only one of its process, the views and call filters that `level` has and `had` had not.
    ///
    /// # Errors
    /// `NotSupported` where there are none; `PermissionDenied`, `NoMemory`; nothing has changed.
    fn isolate(&self, thread: &Arc<Thread<R>>, had: IsolationLevel, level: IsolationLevel) -> Result<()> {
        let _ = (thread, had, level);
        Err(ProcessError::NotSupported)
    }
    /// Does what a transition left to be done.
    fn carry_out(&self, effects: Effects<R>);
    /// Something that others act by has changed.
    fn changed(&self, change: Change<'_, R>);
}

/// What has changed about a process.
pub enum Change<'a, R: Resources> {
    /// The importance of a thread: the scheduler must know at once.
    Scheduling(&'a Arc<Thread<R>>),
    /// The limits of a process: whoever enforces a copy must know.
    Limits(&'a Arc<Process<R>>),
    /// A process was asked to end: if it still lives at that time, it is to be killed.
    Doomed(&'a Arc<Process<R>>, Nanos),
}

/// A program ready to be executed.
pub struct Loaded<R: Resources, S> {
    /// Its memory.
    pub space: Arc<R::Space>,
    /// Its file.
    pub executable: R::Path,
    /// Where its parts lie.
    pub ranges: ImageRanges,
    /// What the process is called from now on.
    pub name: [u8; NAME_LEN],
    /// The rights it gets.
    pub rights: ExecCredentials,
    /// Where it begins.
    pub start: S,
}
