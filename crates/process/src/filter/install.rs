//! Putting threads under call filters: one, or all of a process at once.

use alloc::sync::Arc;

use types::Tid;

use super::{CallFilter, FilterMode, Program};
use crate::{Process, ProcessError, Resources, Result, Thread};

/// Whom a new filter is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterScope {
    /// The calling thread, and what it clones from now on.
    Thread,
    /// All threads of the process (SECCOMP_FILTER_FLAG_TSYNC).
    Process,
}

/// What came of a new filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Installed {
    /// It is in force.
    Yes,
    /// That thread is under other filters than the caller's older ones; nothing has changed.
    Diverged(Tid),
}

impl<R: Resources<Filter = Arc<CallFilter>>> Process<R> {
    /// Puts `thread`, or all threads with it, under `program` besides the filters that `thread` is under.
    ///
    /// # Errors
    /// As for [`CallFilter::stack`].
    pub fn add_filter(&self, thread: &Thread<R>, program: Program, scope: FilterScope) -> Result<Installed> {
        let mut program = Some(program);
        loop {
            let older = thread.filter();
            let Some(taken) = program.take() else { return Err(ProcessError::InvalidState) };
            let filter = CallFilter::stack(taken, older)?;
            match self.try_add(thread, &filter, scope) {
                // Another thread put this one under filters meanwhile: on top of those.
                Ok(Installed::Diverged(tid)) if tid == thread.tid() => program = filter.take_program(),
                Ok(installed) => return Ok(installed),
                Err(error) => return Err(error),
            }
        }
    }

    /// Leaves `thread` nothing but the strict set.
    ///
    /// # Errors
    /// `InvalidArgument` if it is under filters.
    pub fn make_strict(&self, thread: &Thread<R>) -> Result<()> {
        let strict = CallFilter::strict();
        let group = self.thread_group().lock();
        match thread.filter() {
            Some(old) if old.mode() == FilterMode::Programs => return Err(ProcessError::InvalidArgument),
            _ => drop(thread.set_filter(strict)),
        }
        drop(group);
        Ok(())
    }

    fn try_add(&self, thread: &Thread<R>, filter: &Arc<CallFilter>, scope: FilterScope) -> Result<Installed> {
        let group = self.thread_group().lock();
        let fits = |other: &Thread<R>| filter.extends(other.filter().as_ref());
        if !fits(thread) {
            return Ok(Installed::Diverged(thread.tid()));
        }
        if scope == FilterScope::Thread {
            // What is replaced lives on in the chain: nothing is freed here.
            drop(thread.set_filter(filter.clone()));
            return Ok(Installed::Yes);
        }
        if let Some(other) = group.list.iter().find(|other| !fits(other)) {
            return Ok(Installed::Diverged(other.tid()));
        }
        for other in &group.list {
            drop(other.set_filter(filter.clone()));
            if thread.no_new_privs() {
                other.set_no_new_privs();
            }
        }
        Ok(Installed::Yes)
    }
}

impl<R: Resources> Process<R> {
    /// Puts a thread that has just joined the process under the filters that its maker is under by now; the old ones, to
    /// be dropped outside of locks.
    pub(crate) fn follow_filters(&self, thread: &Thread<R>, maker: &Thread<R>) -> Option<R::Filter> {
        if !maker.is_filtered() {
            return None;
        }
        let _group = self.thread_group().lock();
        if maker.no_new_privs() {
            thread.set_no_new_privs();
        }
        thread.set_filter(maker.filter()?)
    }
}
