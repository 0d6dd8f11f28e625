//! Descriptors that stand for processes: pidfd_open, pidfd_send_signal, pidfd_getfd, CLONE_PIDFD.

use alloc::sync::Arc;
use core::fmt;

use abi::Errno;
use abi::linux::general as linux;
use process::signal::SigInfo;
use process::{may_inspect, within_walls};
use sync::WaitQueue;
use types::{Pid, Tid};
use vfs::{File, Metadata, PollEvents, VfsError};

use super::process::queued_info;
use super::signal::signal_or_probe;
use crate::{Caller, OpenFile, Process, SysError, SysResult};

/// An open process: readable once it has ended, and never another process with the same number.
pub(crate) struct PidFile {
    process: Arc<Process>,
}

impl File for PidFile {
    fn read(&self, _offset: u64, _out: &mut [u8]) -> vfs::Result<usize> {
        Err(VfsError::InvalidArgument)
    }

    fn write(&self, _offset: u64, _data: &[u8]) -> vfs::Result<usize> {
        Err(VfsError::InvalidArgument)
    }

    fn poll(&self) -> PollEvents {
        if self.process.is_reaped() {
            PollEvents::READABLE | PollEvents::HUP
        } else if self.process.has_ended() {
            PollEvents::READABLE
        } else {
            PollEvents::empty()
        }
    }

    fn wait_queues(&self, _interest: PollEvents, visit: &mut dyn FnMut(&Arc<WaitQueue>)) {
        visit(self.process.watchers());
    }

    fn metadata(&self) -> Metadata {
        Metadata::new(vfs::FileType::Regular, 0o600)
    }

    fn describe(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str("anon_inode:[pidfd]")
    }
}

/// Gives the caller a descriptor for `process`, closed at exec.
pub(crate) fn install(caller: Caller<'_>, process: &Arc<Process>) -> SysResult<i32> {
    let file = OpenFile::anonymous(Arc::new(PidFile { process: process.clone() }), linux::O_RDWR);
    Ok(caller.install(file, linux::O_CLOEXEC)? as i32)
}

/// The process behind a pidfd, and whether the descriptor is non-blocking.
pub(crate) fn target(caller: Caller<'_>, fd: u64) -> SysResult<(Arc<Process>, bool)> {
    let file = caller.file(fd)?;
    let pidfd = file.downcast::<PidFile>().ok_or(Errno::EBADF)?;
    Ok((pidfd.process.clone(), file.is_nonblocking()))
}

pub(crate) fn sys_pidfd_open(caller: Caller<'_>, pid: u64, flags: u64) -> SysResult {
    let flags = flags as u32;
    if flags & !linux::O_NONBLOCK != 0 || pid as i32 <= 0 {
        return Err(Errno::EINVAL.into());
    }
    let number = pid as u32;
    let Some(process) = caller.system.processes.process(Pid(number)) else {
        // The number of a thread that leads no process is no process.
        let is_thread = caller.system.processes.thread(Tid(number)).is_some();
        return Err(if is_thread { Errno::EINVAL.into() } else { Errno::ESRCH.into() });
    };
    let file = OpenFile::anonymous(Arc::new(PidFile { process }), linux::O_RDWR | flags);
    caller.install(file, linux::O_CLOEXEC)
}

pub(crate) fn sys_pidfd_send_signal(caller: Caller<'_>, fd: u64, number: u64, info: u64, flags: u64) -> SysResult {
    if flags as u32 != 0 {
        return Err(Errno::EINVAL.into());
    }
    let (process, _) = target(caller, fd)?;
    let info = if info == 0 {
        signal_or_probe(number)?.map(|signal| SigInfo::user(signal, caller.process.pid(), caller.thread.uid()))
    } else {
        // The record must name the same signal.
        if caller.memory().read::<i32>(info)? != number as i32 {
            return Err(Errno::EINVAL.into());
        }
        queued_info(caller, process.pid(), number, info)?
    };
    caller.system.run(caller.system.processes.signal_process_as(caller.thread, &process, info)?);
    Ok(0)
}

pub(crate) fn sys_pidfd_getfd(caller: Caller<'_>, pidfd: u64, fd: u64, flags: u64) -> SysResult {
    if flags as u32 != 0 {
        return Err(Errno::EINVAL.into());
    }
    let (process, _) = target(caller, pidfd)?;
    let own = caller.thread.credentials();
    let rights = || may_inspect(&own, &process.identity().credentials, process.dumpable());
    if !(within_walls(caller.process, &process) && rights()) {
        return Err(Errno::EPERM.into());
    }
    let threads = process.threads()?;
    let thread = threads.first().ok_or(SysError::Errno(Errno::ESRCH))?;
    let file = thread.file(fd as u32)?;
    caller.install(file, linux::O_CLOEXEC)
}
