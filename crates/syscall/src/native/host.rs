//! What the process manager needs of this kernel.

use alloc::sync::{Arc, Weak};
use alloc::task::Wake;
use core::task::Waker;

use abi::Signal;
use hal::UserContext;
use process::signal::SigInfo;
use process::stack::Arguments;
use process::{Change, Effects, Host, IsolationLevel, Loaded, ProcessError, Result, thread_name};
use types::Nanos;
use vfs::Location;

use crate::actor::Standing;
use crate::calls::exec::{Loader, load};
use crate::calls::{namespaces, resource, timers};
use crate::{Caller, Process, Resources, SysError, System, Thread};

/// The kernel as the process manager's host, in the name of the thread that calls or of none.
pub(crate) struct KernelHost {
    system: &'static System,
    caller: Option<Arc<Thread>>,
}

/// A program as the gate names it: looked up in the caller's place of the tree.
pub(crate) struct Program {
    pub(crate) standing: Standing,
    pub(crate) location: Location,
    pub(crate) path: alloc::vec::Vec<u8>,
}

impl KernelHost {
    /// In the name of `caller`.
    pub(crate) fn of(caller: Caller<'_>) -> Self {
        Self { system: caller.system, caller: Some(caller.thread.clone()) }
    }

    /// In nobody's name.
    pub(crate) fn of_kernel(system: &'static System) -> Self {
        Self { system, caller: None }
    }
}

impl Host<Resources> for KernelHost {
    type Program = Program;
    type Arguments = Arguments;
    type Start = UserContext;
    type Error = SysError;

    fn now(&self) -> Nanos {
        self.system.platform.now()
    }

    fn current(&self) -> Option<Arc<Thread>> {
        self.caller.clone()
    }

    fn new_space(&self, copy_of: Option<&Arc<memory::AddressSpace>>) -> Result<Arc<memory::AddressSpace>> {
        let space = match copy_of {
            Some(space) => space.fork().ok(),
            None => self.system.platform.new_space().map(Arc::new),
        };
        space.ok_or(ProcessError::NoMemory)
    }

    fn load(
        &self,
        thread: &Thread,
        program: &Program,
        mut arguments: Arguments,
    ) -> core::result::Result<Loaded<Resources, UserContext>, SysError> {
        let Program { standing, location, path } = program;
        let loader = Loader::of_process(self.system, thread.process(), thread);
        let image = load(&loader, standing, location.clone(), path, &mut arguments)?;
        let start = image.context();
        Ok(Loaded {
            space: image.space,
            executable: image.location,
            ranges: image.ranges,
            name: thread_name(path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)),
            rights: image.rights,
            start,
        })
    }

    fn admit(&self, thread: &Arc<Thread>) -> Result<()> {
        self.system.created.admit(thread.pid());
        self.system.platform.admit_thread(thread.clone()).map_err(|_| {
            self.system.created.forget(thread.pid());
            ProcessError::NoMemory
        })
    }

    fn hand_over(
        &self,
        thread: &Arc<Thread>,
        loaded: Loaded<Resources, UserContext>,
    ) -> Result<Option<Loaded<Resources, UserContext>>> {
        self.system.created.give(thread.pid(), loaded)?;
        thread.wake();
        Ok(None)
    }

    fn isolate(&self, thread: &Arc<Thread>, had: IsolationLevel, level: IsolationLevel) -> Result<()> {
        let process = thread.process();
        let space = process.space().ok_or(ProcessError::InvalidState)?;
        let caller = Caller { system: self.system, process, thread, space: &space };
        namespaces::isolate(caller, had, level)
    }

    fn carry_out(&self, effects: Effects<Resources>) {
        self.system.run(effects);
    }

    fn changed(&self, change: Change<'_, Resources>) {
        match change {
            Change::Scheduling(thread) => self.system.scheduling_changed(thread),
            Change::Limits(process) => {
                if let Some(space) = process.space() {
                    space.set_limits(resource::space_limits(process));
                }
                timers::watch_cpu_limit(self.system, process);
            }
            Change::Doomed(process, deadline) => {
                let doom = Doom { system: self.system, process: Arc::downgrade(process) };
                self.system.wake_at(deadline, Waker::from(Arc::new(doom)));
            }
        }
    }
}

/// Kills a process whose grace is over.
struct Doom {
    system: &'static System,
    process: Weak<Process>,
}

impl Wake for Doom {
    fn wake(self: Arc<Self>) {
        if let Some(process) = self.process.upgrade().filter(|process| !process.has_ended()) {
            log::info!("process: {} did not end in time and is killed", process.pid());
            self.system.run(self.system.processes.signal_process(&process, SigInfo::kernel(Signal::KILL)));
        }
    }
}
