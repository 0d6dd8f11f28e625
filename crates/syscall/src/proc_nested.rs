//! /proc as mounted inside a namespace of process numbers: what is outside is not there, and numbers are those inside.

use alloc::sync::Arc;
use alloc::vec::Vec;

use process::PidNamespace;
use types::{Pgid, Pid, Sid, Tid};
use vfs::proc::{
    CpuTimes, FdInfo, LinkKind, Load, MapsLine, MemoryInfo, ProcSource, StatTotals, TaskBytes, TaskId, TaskOwner,
    TaskSetting, TaskSnapshot, TaskWriter,
};
use vfs::{Caller as VfsCaller, LinkTarget, MountLine, Result, VfsError};

use crate::System;
use crate::proc_source::Processes;

/// The processes of a namespace.
pub(crate) struct NestedProcesses {
    all: Processes,
    pids: Arc<PidNamespace>,
}

impl NestedProcesses {
    pub(crate) fn new(system: &'static System, pids: Arc<PidNamespace>) -> Self {
        Self { all: Processes(system), pids }
    }

    fn outer(&self, task: TaskId) -> Option<TaskId> {
        let pid = Pid(self.pids.outer(task.pid.0)?);
        let tid = match task.tid {
            Some(tid) => Some(Tid(self.pids.outer(tid.0)?)),
            None => None,
        };
        Some(TaskId { pid, tid })
    }

    fn known(&self, task: TaskId) -> Result<TaskId> {
        self.outer(task).ok_or(VfsError::NoProcess)
    }

    fn known_pid(&self, pid: Pid) -> Result<Pid> {
        self.pids.outer(pid.0).map(Pid).ok_or(VfsError::NoProcess)
    }

    fn inner(&self, outer: u32) -> u32 {
        self.pids.inner(outer).unwrap_or(0)
    }
}

impl ProcSource for NestedProcesses {
    fn next_pid(&self, from: Pid) -> Option<Pid> {
        let mut at = from.0;
        loop {
            let (inner, outer) = self.pids.next(at)?;
            if self.all.owner(TaskId { pid: Pid(outer), tid: None }).is_some() {
                return Some(Pid(inner));
            }
            at = inner.checked_add(1)?;
        }
    }

    fn own_numbers(&self, caller: &VfsCaller<'_>) -> Option<(Pid, Tid)> {
        Some((Pid(self.pids.inner(caller.pid.0)?), Tid(self.pids.inner(caller.tid.0)?)))
    }

    fn next_tid(&self, pid: Pid, from: Tid) -> Option<Tid> {
        let pid = self.pids.outer(pid.0)?;
        // Inner numbers need not ascend as outer ones do.
        let mut lowest = None;
        let mut at = Tid(0);
        while let Some(tid) = self.all.next_tid(Pid(pid), at) {
            let inner = Tid(self.inner(tid.0));
            if inner >= from && inner.0 != 0 && lowest.is_none_or(|lowest| inner < lowest) {
                lowest = Some(inner);
            }
            at = Tid(tid.0.checked_add(1)?);
        }
        lowest
    }

    fn owner(&self, task: TaskId) -> Option<TaskOwner> {
        self.all.owner(self.outer(task)?)
    }

    fn may_inspect(&self, pid: Pid, caller: &VfsCaller<'_>) -> bool {
        self.known_pid(pid).is_ok_and(|pid| self.all.may_inspect(pid, caller))
    }

    fn task(&self, task: TaskId) -> Option<TaskSnapshot> {
        let mut seen = self.all.task(self.outer(task)?)?;
        seen.pid = Pid(self.inner(seen.pid.0));
        seen.tid = Tid(self.inner(seen.tid.0));
        seen.parent = Pid(self.inner(seen.parent.0));
        seen.group = Pgid(self.inner(seen.group.0));
        seen.session = Sid(self.inner(seen.session.0));
        seen.terminal_foreground = seen.terminal_foreground.map(|group| Pgid(self.inner(group.0)));
        // The outermost are those around and this one.
        let around = self.pids.outwards().count().min(seen.nested.len());
        seen.nested.drain(..around);
        Some(seen)
    }

    fn bytes(&self, pid: Pid, what: TaskBytes) -> Result<Vec<u8>> {
        self.all.bytes(self.known_pid(pid)?, what)
    }

    fn maps(&self, pid: Pid, visit: &mut dyn FnMut(&MapsLine<'_>)) {
        if let Ok(pid) = self.known_pid(pid) {
            self.all.maps(pid, visit);
        }
    }

    fn mounts(&self, task: TaskId) -> Result<Vec<MountLine>> {
        self.all.mounts(self.known(task)?)
    }

    fn next_fd(&self, task: TaskId, from: u32) -> Option<FdInfo> {
        self.all.next_fd(self.outer(task)?, from)
    }

    fn link_text(&self, task: TaskId, link: LinkKind, caller: &VfsCaller<'_>) -> Result<Vec<u8>> {
        self.all.link_text(self.known(task)?, link, caller)
    }

    fn follow(&self, task: TaskId, link: LinkKind, caller: &VfsCaller<'_>) -> Result<LinkTarget> {
        self.all.follow(self.known(task)?, link, caller)
    }

    fn set(&self, task: TaskId, what: TaskSetting, value: &[u8], caller: TaskWriter) -> Result<()> {
        self.all.set(self.known(task)?, what, value, caller)
    }

    fn load(&self) -> Load {
        let load = self.all.load();
        Load { last_pid: Pid(self.inner(load.last_pid.0)), ..load }
    }

    fn stat(&self) -> (Vec<CpuTimes>, StatTotals) {
        self.all.stat()
    }

    fn memory(&self) -> MemoryInfo {
        self.all.memory()
    }
}
