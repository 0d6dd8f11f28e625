//! Who makes a call.

use alloc::boxed::Box;
use alloc::sync::Arc;

use hal::UserContext;
use memory::AddressSpace;
use process::ExitStatus;
use types::{Pid, Tid};

use crate::calls::sysv::Ipc;
use crate::{FpuState, Process, RestartBlock, System, Thread, UserMemory};

/// The thread that makes a call, and what it works on. Cheap to copy.
#[derive(Clone, Copy)]
pub struct Caller<'a> {
    /// Everything there is one of.
    pub system: &'static System,
    /// Its process.
    pub process: &'a Arc<Process>,
    /// Itself.
    pub thread: &'a Arc<Thread>,
    /// Its memory, active on this CPU.
    pub space: &'a Arc<AddressSpace>,
}

impl<'a> Caller<'a> {
    /// Its process's number as it sees that itself (getpid).
    pub fn own_pid(self) -> Pid {
        Pid(self.process.shown(self.process.pid().0))
    }

    /// Its number as it sees that itself (gettid).
    pub fn own_tid(self) -> Tid {
        Tid(self.process.shown(self.thread.tid().0))
    }

    /// What the kernel calls the process, thread, group or session that is `number` to the caller; nobody's number if there
    /// is no such.
    pub fn meant(self, number: u32) -> u32 {
        /// Above every number there is, and no negative one.
        const NOBODY: u32 = i32::MAX as u32;
        self.process.pids().map_or(number, |pids| pids.outer(number).unwrap_or(NOBODY))
    }

    /// The System V IPC objects that the caller sees.
    pub(crate) fn ipc(self) -> Arc<Ipc> {
        self.thread.namespaces().ipc.clone()
    }

    /// The caller's memory, typed.
    pub fn memory(self) -> UserMemory<'a> {
        UserMemory::new(self.system.platform, self.space)
    }
}

/// What only a call that was entered with all registers saved may touch.
pub struct Registers<'a> {
    /// General registers.
    pub context: &'a mut UserContext,
    /// Vector registers.
    pub fpu: &'a mut dyn FpuState,
    /// What `restart_syscall` goes on with.
    pub restart: &'a mut Option<Box<RestartBlock>>,
    /// Set by exit(2): how the thread ends.
    pub exit: Option<ExitStatus>,
    /// Set by exec: the memory the thread goes on with.
    pub new_space: Option<Arc<AddressSpace>>,
}
