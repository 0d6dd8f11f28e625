//! Descriptors: dup, close, fcntl, flock.

use alloc::sync::Arc;

use abi::linux::general as linux;
use abi::{Errno, Flock};
use process::OnExec;
use types::{Pid, Uid};
use vfs::{LockKind, LockOwner, RecordLock, VfsError, is_owner};

use crate::actor::{Files, on_exec};
use crate::ready::would_block;
use crate::wait::interruptible;
use crate::{Caller, OpenFile, SysError, SysResult};

/// close_range(2): the caller gets a table of its own first.
const CLOSE_RANGE_UNSHARE: u32 = 1 << 1;
/// close_range(2): the descriptors are closed at exec.
const CLOSE_RANGE_CLOEXEC: u32 = 1 << 2;

pub(crate) fn sys_dup(caller: Caller<'_>, fd: u64) -> SysResult {
    let file = caller.file_or_path(fd)?;
    Ok(caller.files()?.insert(file, 0, caller.file_limit(), OnExec::Keep)?.into())
}

pub(crate) fn sys_dup2(caller: Caller<'_>, old: u64, new: u64) -> SysResult {
    if old as u32 == new as u32 {
        caller.file_or_path(old)?;
        return Ok(u64::from(old as u32));
    }
    replace(caller, old, new, OnExec::Keep)
}

pub(crate) fn sys_dup3(caller: Caller<'_>, old: u64, new: u64, flags: u64) -> SysResult {
    let flags = flags as u32;
    if flags & !linux::O_CLOEXEC != 0 || old as u32 == new as u32 {
        return Err(Errno::EINVAL.into());
    }
    replace(caller, old, new, on_exec(flags))
}

fn replace(caller: Caller<'_>, old: u64, new: u64, on_exec: OnExec) -> SysResult {
    let limit = caller.file_limit();
    let new = new as u32;
    if u64::from(new) >= limit {
        return Err(Errno::EBADF.into());
    }
    let file = caller.file_or_path(old)?;
    let files = caller.files()?;
    if let Some(replaced) = files.replace(new, file, limit, on_exec)? {
        replaced.closed_by(owner_of(&files));
    }
    Ok(new.into())
}

pub(crate) fn sys_close(caller: Caller<'_>, fd: u64) -> SysResult {
    let files = caller.files()?;
    let file = files.close(fd as u32)?;
    file.closed_by(owner_of(&files));
    Ok(0)
}

pub(crate) fn sys_close_range(caller: Caller<'_>, first: u64, last: u64, flags: u64) -> SysResult {
    let (first, last, flags) = (first as u32, last as u32, flags as u32);
    if flags & !(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC) != 0 || first > last {
        return Err(Errno::EINVAL.into());
    }
    let marks_only = flags & CLOSE_RANGE_CLOEXEC != 0;
    if flags & CLOSE_RANGE_UNSHARE != 0 {
        caller.thread.unshare_files()?;
    }
    let files = caller.files()?;
    if marks_only {
        files.set_range_close_on_exec(first, last);
        return Ok(0);
    }
    while let Some((_, file)) = files.close_next(first, last) {
        file.closed_by(owner_of(&files));
    }
    Ok(0)
}

/// Closes what exec closes.
pub(crate) fn close_on_exec(files: &Arc<Files>) {
    let mut from = 0;
    while let Some((fd, file)) = files.close_next_on_exec(from) {
        file.closed_by(owner_of(files));
        from = fd;
    }
}

/// Gives up the record locks that go with a table of descriptors, before its last process ends.
pub(crate) fn release_record_locks(files: &Arc<Files>) {
    let mut from = 0;
    while let Some((fd, file, _)) = files.next_open(from) {
        file.closed_by(owner_of(files));
        let Some(next) = fd.checked_add(1) else { break };
        from = next;
    }
}

/// Number by which record locks know a table of descriptors.
pub(super) fn owner_of(files: &Arc<Files>) -> u64 {
    Arc::as_ptr(files).addr() as u64
}

/// fcntl(2), all but the locks that wait.
pub(crate) fn fcntl_now(caller: Caller<'_>, fd: u64, command: u64, arg: u64) -> Option<SysResult> {
    match command as u32 {
        linux::F_SETLKW | linux::F_OFD_SETLKW => match LockCall::decode(caller, fd, command as u32, arg) {
            Ok(call) => match call.attempt() {
                Err(error) if would_block(error) => None,
                outcome => Some(outcome),
            },
            Err(error) => Some(Err(error)),
        },
        command => Some(fcntl(caller, fd, command, arg)),
    }
}

/// F_SETLKW and F_OFD_SETLKW.
pub(crate) async fn fcntl_wait(caller: Caller<'_>, fd: u64, command: u64, arg: u64) -> SysResult {
    let call = LockCall::decode(caller, fd, command as u32, arg)?;
    let queue = call.file.locks()?.queue().clone();
    let waits = &caller.system.file_systems()?.lock_waits;
    let wait = match call.owner {
        LockOwner::Process(owner) => Some(waits.begin(owner)),
        // Locks of open files are in nobody's way for ever: Linux does not look either.
        LockOwner::OpenFile(_) => None,
    };
    let granted = queue.wait_until(|| match call.attempt() {
        Err(error) if would_block(error) => match (&wait, call.holder()) {
            (Some(wait), Some(holder)) if !wait.may_wait_for(holder) => Some(Err(Errno::EDEADLK.into())),
            _ => None,
        },
        outcome => Some(outcome),
    });
    match interruptible(caller.thread, granted).await {
        Ok(outcome) => outcome,
        Err(_) => Err(SysError::Restart(process::signal::Restart::Sys)),
    }
}

fn fcntl(caller: Caller<'_>, fd: u64, command: u32, arg: u64) -> SysResult {
    let file = caller.file_or_path(fd)?;
    let fd = fd as u32;
    match command {
        linux::F_DUPFD => return duplicate(caller, file, arg, OnExec::Keep),
        linux::F_DUPFD_CLOEXEC => return duplicate(caller, file, arg, OnExec::Close),
        linux::F_GETFD => {
            let closes = caller.files()?.on_exec(fd)? == OnExec::Close;
            return Ok(u64::from(closes) * u64::from(linux::FD_CLOEXEC));
        }
        linux::F_SETFD => {
            let closes = arg as u32 & linux::FD_CLOEXEC != 0;
            caller.files()?.set_on_exec(fd, if closes { OnExec::Close } else { OnExec::Keep })?;
            return Ok(0);
        }
        linux::F_GETFL => return Ok(file.flags().into()),
        _ if file.is_path() => return Err(Errno::EBADF.into()),
        _ => {}
    }
    match command {
        linux::F_SETFL => set_flags(caller, &file, arg as u32),
        linux::F_SETLK | linux::F_OFD_SETLK => LockCall::decode(caller, fd.into(), command, arg)?.attempt(),
        linux::F_GETLK | linux::F_OFD_GETLK => LockCall::decode(caller, fd.into(), command, arg)?.query(caller, arg),
        linux::F_GETOWN => Ok(i64::from(owner_shown(caller, &file)) as u64),
        linux::F_SETOWN => {
            let owner = arg as i32;
            if owner == i32::MIN {
                return Err(Errno::EINVAL.into());
            }
            let owner = owner_meant(caller, owner)?;
            file.set_owner(owner, file.owner().1);
            Ok(0)
        }
        linux::F_GETOWN_EX => {
            let owner = owner_shown(caller, &file);
            let kind = if owner < 0 { linux::F_OWNER_PGRP } else { linux::F_OWNER_PID };
            let bytes = u64::from(kind) | u64::from(owner.unsigned_abs()) << 32;
            caller.memory().write(arg, &bytes)?;
            Ok(0)
        }
        linux::F_SETOWN_EX => {
            let bytes: u64 = caller.memory().read(arg)?;
            let number = i32::try_from(bytes >> 32).map_err(|_| Errno::EINVAL)?;
            let owner = match bytes as u32 {
                linux::F_OWNER_TID | linux::F_OWNER_PID => number,
                linux::F_OWNER_PGRP => -number,
                _ => return Err(Errno::EINVAL.into()),
            };
            let owner = owner_meant(caller, owner)?;
            file.set_owner(owner, file.owner().1);
            Ok(0)
        }
        linux::F_GETSIG => Ok(file.owner().1.into()),
        linux::F_SETSIG => {
            if arg > 64 {
                return Err(Errno::EINVAL.into());
            }
            file.set_owner(file.owner().0, arg as u32);
            Ok(0)
        }
        linux::F_GETPIPE_SZ | linux::F_SETPIPE_SZ => {
            if file.downcast::<vfs::pipe::PipeEnd>().is_none() {
                return Err(Errno::EBADF.into());
            }
            Ok(file.file().control(command, u64::from(arg as u32))?)
        }
        linux::F_ADD_SEALS if !file.is_writable() => Err(Errno::EPERM.into()),
        linux::F_GETLEASE => Ok(u64::from(linux::F_UNLCK)),
        _ => Ok(file.file().control(command, arg)?),
    }
}

fn duplicate(caller: Caller<'_>, file: Arc<OpenFile>, min: u64, on_exec: OnExec) -> SysResult {
    let limit = caller.file_limit();
    let min = min as u32;
    if u64::from(min) >= limit {
        return Err(Errno::EINVAL.into());
    }
    Ok(caller.files()?.insert(file, min, limit, on_exec)?.into())
}

fn set_flags(caller: Caller<'_>, file: &OpenFile, flags: u32) -> SysResult {
    if flags & linux::O_NOATIME != 0 && file.flags() & linux::O_NOATIME == 0 {
        let owner: Uid = file.metadata().uid;
        if !is_owner(owner, &caller.thread.credentials()) {
            return Err(Errno::EPERM.into());
        }
    }
    file.set_flags(flags)?;
    Ok(0)
}

/// The process, or negative the group, that a program wants to be told of input, as the kernel has it.
fn owner_meant(caller: Caller<'_>, owner: i32) -> SysResult<i32> {
    let number = if owner == 0 { 0 } else { caller.meant(owner.unsigned_abs()) };
    if owner > 0 && caller.system.processes.process(Pid(number)).is_none() {
        return Err(Errno::ESRCH.into());
    }
    Ok(owner.signum() * number as i32)
}

/// The process, or negative the group, that is told of input, as the caller sees it.
fn owner_shown(caller: Caller<'_>, file: &OpenFile) -> i32 {
    let (owner, _) = file.owner();
    owner.signum() * caller.process.shown(owner.unsigned_abs()) as i32
}

/// A record lock as the program asked for it.
struct LockCall {
    file: Arc<OpenFile>,
    owner: LockOwner,
    /// `None` unlocks.
    kind: Option<LockKind>,
    start: u64,
    end: u64,
    pid: Pid,
    raw: Flock,
}

impl LockCall {
    fn decode(caller: Caller<'_>, fd: u64, command: u32, address: u64) -> SysResult<Self> {
        let file = caller.file(fd)?;
        let raw: Flock = caller.memory().read(address)?;
        let by_file = matches!(command, linux::F_OFD_GETLK | linux::F_OFD_SETLK | linux::F_OFD_SETLKW);
        if by_file && raw.l_pid != 0 {
            return Err(Errno::EINVAL.into());
        }
        let base = match raw.l_whence as u32 {
            linux::SEEK_SET => 0,
            linux::SEEK_CUR => file.position(),
            linux::SEEK_END => file.file().len(),
            _ => return Err(Errno::EINVAL.into()),
        };
        let start = base.checked_add_signed(raw.l_start).filter(|start| *start <= i64::MAX as u64);
        let start = start.ok_or(if raw.l_start < 0 { Errno::EINVAL } else { Errno::EOVERFLOW })?;
        let (start, end) = match raw.l_len {
            0 => (start, u64::MAX),
            len if len > 0 => {
                let end = start.checked_add(len as u64 - 1).filter(|end| *end <= i64::MAX as u64);
                (start, end.ok_or(Errno::EOVERFLOW)?)
            }
            len => {
                let before = start.checked_sub(len.unsigned_abs()).ok_or(Errno::EINVAL)?;
                (before, start - 1)
            }
        };
        let kind = match raw.l_type as u32 {
            linux::F_RDLCK => Some(LockKind::Shared),
            linux::F_WRLCK => Some(LockKind::Exclusive),
            linux::F_UNLCK => None,
            _ => return Err(Errno::EINVAL.into()),
        };
        let owner = if by_file {
            LockOwner::OpenFile(file.id())
        } else {
            let files = caller.files()?;
            files.note_record_locks();
            LockOwner::Process(owner_of(&files))
        };
        Ok(Self { file, owner, kind, start, end, pid: caller.process.pid(), raw })
    }

    fn lock(&self, kind: LockKind) -> RecordLock {
        RecordLock { start: self.start, end: self.end, kind, owner: self.owner, pid: self.pid }
    }

    fn attempt(&self) -> SysResult {
        match self.kind {
            Some(kind) => self.file.lock_record(self.lock(kind))?,
            None => self.file.locks()?.unlock_record(self.owner, self.start, self.end)?,
        }
        Ok(0)
    }

    /// The process whose lock is in the way.
    fn holder(&self) -> Option<u64> {
        match self.file.locks().ok()?.conflict(&self.lock(self.kind?))?.owner {
            LockOwner::Process(owner) => Some(owner),
            LockOwner::OpenFile(_) => None,
        }
    }

    fn query(&self, caller: Caller<'_>, address: u64) -> SysResult {
        let kind = self.kind.ok_or(Errno::EINVAL)?;
        let answer = match self.file.locks()?.conflict(&self.lock(kind)) {
            None => Flock { l_type: linux::F_UNLCK as i16, ..self.raw },
            Some(held) => Flock {
                l_type: match held.kind {
                    LockKind::Shared => linux::F_RDLCK,
                    LockKind::Exclusive => linux::F_WRLCK,
                } as i16,
                l_whence: linux::SEEK_SET as i16,
                l_start: held.start as i64,
                l_len: if held.end == u64::MAX { 0 } else { (held.end - held.start + 1) as i64 },
                l_pid: match held.owner {
                    LockOwner::Process(_) => caller.process.shown(held.pid.0) as i32,
                    LockOwner::OpenFile(_) => -1,
                },
                ..self.raw
            },
        };
        caller.memory().write(address, &answer)?;
        Ok(0)
    }
}

/// flock(2) without waiting; `None`: it has to wait.
pub(crate) fn flock_now(caller: Caller<'_>, fd: u64, operation: u64) -> Option<SysResult> {
    let (file, kind) = match decode_flock(caller, fd, operation) {
        Ok(decoded) => decoded,
        Err(error) => return Some(Err(error)),
    };
    let outcome = file.flock(kind).map(|()| 0).map_err(SysError::from);
    match outcome {
        Err(error) if would_block(error) && operation as u32 & linux::LOCK_NB == 0 => None,
        outcome => Some(outcome),
    }
}

/// flock(2).
pub(crate) async fn flock_wait(caller: Caller<'_>, fd: u64, operation: u64) -> SysResult {
    let (file, kind) = decode_flock(caller, fd, operation)?;
    let queue = file.locks()?.queue().clone();
    let granted = queue.wait_until(|| match file.flock(kind) {
        Err(VfsError::WouldBlock) => None,
        outcome => Some(outcome),
    });
    match interruptible(caller.thread, granted).await {
        Ok(outcome) => Ok(outcome.map(|()| 0)?),
        Err(_) => Err(SysError::Restart(process::signal::Restart::Sys)),
    }
}

fn decode_flock(caller: Caller<'_>, fd: u64, operation: u64) -> SysResult<(Arc<OpenFile>, Option<LockKind>)> {
    let file = caller.file(fd)?;
    let kind = match operation as u32 & !linux::LOCK_NB {
        linux::LOCK_SH => Some(LockKind::Shared),
        linux::LOCK_EX => Some(LockKind::Exclusive),
        linux::LOCK_UN => None,
        _ => return Err(Errno::EINVAL.into()),
    };
    Ok((file, kind))
}

/// pipe(2) and pipe2(2).
pub(crate) fn sys_pipe2(caller: Caller<'_>, out: u64, flags: u64) -> SysResult {
    let flags = flags as u32;
    // Packet mode is not offered: EINVAL is what a Linux without it answers.
    if flags & !(linux::O_CLOEXEC | linux::O_NONBLOCK) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let status = flags & linux::O_NONBLOCK;
    let (reader, writer) = vfs::pipe::Pipe::pair();
    let pair =
        [OpenFile::anonymous(reader, linux::O_RDONLY | status), OpenFile::anonymous(writer, linux::O_WRONLY | status)];
    let files = caller.files()?;
    install_pair(caller, &files, pair, flags, out)
}

/// Puts two open files into the table and their numbers at `out`: both or none.
pub(crate) fn install_pair(
    caller: Caller<'_>,
    files: &Arc<Files>,
    pair: [Arc<OpenFile>; 2],
    flags: u32,
    out: u64,
) -> SysResult {
    let [first, second] = files.insert_pair(pair, caller.file_limit(), on_exec(flags))?;
    let numbers = u64::from(first) | u64::from(second) << 32;
    if let Err(error) = caller.memory().write(out, &numbers) {
        for fd in [first, second] {
            drop(files.close(fd));
        }
        return Err(error);
    }
    Ok(0)
}
