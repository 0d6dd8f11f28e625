//! Processes that were created without a program: each has a task, which waits for a program or the end.
//!
//! ```text
//! create_process ─► admit: a task that waits, state New ── signal that ends ─► exit
//!                                │ exec: the loaded program is left here, the task woken
//!                                ▼
//!                         the task itself executes it and runs
//! ```

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::task::Poll;

use hal::UserContext;
use process::signal::Delivery;
use process::{ExitStatus, Loaded, ProcessError, ProcessManager};
use sync::{Rank, SpinLock};
use types::Pid;

use super::host::KernelHost;
use crate::{Resources, System, Thread};

pub(super) type Program = Loaded<Resources, UserContext>;

/// Which processes wait for a program, and the programs they were given and have not taken yet.
pub struct CreatedProcesses {
    waiting: SpinLock<BTreeMap<Pid, Option<Box<Program>>>>,
}

impl Default for CreatedProcesses {
    fn default() -> Self {
        Self::new()
    }
}

impl CreatedProcesses {
    /// None.
    pub const fn new() -> Self {
        Self { waiting: SpinLock::new(Rank::CREATED, BTreeMap::new()) }
    }

    pub(super) fn admit(&self, pid: Pid) {
        let old = self.waiting.lock().insert(pid, None);
        drop(old);
    }

    /// Leaves a program for the task of process `pid`.
    pub(super) fn give(&self, pid: Pid, program: Program) -> process::Result<()> {
        let program = Box::new(program);
        let mut waiting = self.waiting.lock();
        match waiting.get_mut(&pid) {
            Some(slot @ None) => {
                *slot = Some(program);
                Ok(())
            }
            _ => {
                drop(waiting);
                drop(program);
                Err(ProcessError::InvalidState)
            }
        }
    }

    fn take(&self, pid: Pid) -> Option<Box<Program>> {
        let mut waiting = self.waiting.lock();
        let program = waiting.get_mut(&pid)?.take()?;
        waiting.remove(&pid);
        Some(program)
    }

    pub(super) fn forget(&self, pid: Pid) {
        let old = self.waiting.lock().remove(&pid);
        drop(old);
    }
}

impl System {
    /// The task of a created process begins here: the program it was given, executed, and where that starts; or nothing, and
    /// the thread is to end.
    pub async fn first_program(&'static self, thread: &Arc<Thread>) -> Option<UserContext> {
        let pid = thread.pid();
        let given = core::future::poll_fn(|_| {
            if self.attend_created(thread) {
                return Poll::Ready(None);
            }
            // Who continues it kicks the task.
            let stopped = thread.signals().is_stopped();
            let program = if stopped { None } else { self.created.take(pid) };
            program.map_or(Poll::Pending, |program| Poll::Ready(Some(program)))
        })
        .await;
        let Some(program) = given else {
            self.created.forget(pid);
            return None;
        };
        let host = KernelHost::of_kernel(self);
        let started = ProcessManager::new(&self.processes, host, &self.manager).enter(thread, *program);
        if let Err(error) = started {
            log::debug!("process: {pid} could not begin: {error:?}");
            self.run(self.processes.begin_group_exit(thread.process(), ExitStatus::KILLED));
        }
        started.ok()
    }

    /// Acts on the signals of a process without program: all but the deadly ones and stops mean nothing to it. Whether it is
    /// to end.
    fn attend_created(&'static self, thread: &Arc<Thread>) -> bool {
        let process = thread.process();
        let signals = process.signals();
        while let Some(delivery) = signals.next_deliverable(thread.signals()) {
            match delivery {
                Delivery::Terminate { info, core } => {
                    let status = ExitStatus::Signaled { signal: info.signal, core };
                    self.run(self.processes.begin_group_exit(process, status));
                    return true;
                }
                Delivery::Exit => return true,
                Delivery::StopRequested(ticket) => {
                    let _kick = signals.begin_stop(thread.signals(), ticket);
                }
                Delivery::Stop { report } => {
                    if let Some(signal) = report {
                        self.run(self.processes.report_stopped(process, signal));
                    }
                    // Whoever gave it a program need not wait for its begin.
                    process.events().wake_all();
                    if thread.signals().is_stopped() {
                        return false;
                    }
                }
                // It has no handlers.
                Delivery::Handler(_) => {}
            }
        }
        false
    }
}
