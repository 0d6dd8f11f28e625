//! POSIX message queues: mq_open(3) and its kin.

use alloc::vec::Vec;

use abi::linux::general as linux;
use abi::{Errno, Signal, abi_struct};
use process::Resource;
use process::signal::{Restart, SigInfo};
use sync::Moment;
use vfs::PollEvents;
use vfs::mqueue::{MessageQueue, Notice, PRIORITIES, QueueRequest, QueueSize};

use super::fd::owner_of;
use super::futex::absolute;
use super::open::Reserved;
use super::posix_timers::Sigevent;
use crate::ready::{Waited, unless_blocked, wait_until};
use crate::{Caller, OpenFile, SysError, SysResult};

abi_struct! {
    /// `struct mq_attr`.
    pub struct QueueAttributes {
        /// O_NONBLOCK or nothing.
        pub flags: i64,
        /// Most messages.
        pub max_messages: i64,
        /// Most bytes of a message.
        pub message_size: i64,
        /// Messages that wait.
        pub waiting: i64,
        /// Nothing.
        pub reserved: [i64; 4],
    }
}

/// SI_MESGQ: the signal tells of a message.
const BY_MESSAGE: i32 = -3;

pub(crate) fn sys_mq_open(caller: Caller<'_>, name: u64, flags: u64, mode: u64, attributes: u64) -> SysResult {
    const KNOWN: u32 = linux::O_ACCMODE | linux::O_CREAT | linux::O_EXCL | linux::O_NONBLOCK | linux::O_CLOEXEC;
    let flags = flags as u32 & KNOWN;
    let size = if flags & linux::O_CREAT != 0 && attributes != 0 {
        let wish: QueueAttributes = caller.memory().read(attributes)?;
        Some(QueueSize { messages: wish.max_messages, bytes: wish.message_size })
    } else {
        None
    };
    let name = caller.memory().read_path(name)?;
    let identity = caller.thread.identity();
    let request = QueueRequest {
        flags,
        mode: mode as u32 & 0o7777 & !caller.fs()?.umask(),
        size,
        credentials: &identity.credentials,
        limit: caller.process.limits().soft(Resource::MessageQueues),
    };
    // Descriptors of queues are closed by exec, whatever was asked for.
    let fd = Reserved::new(caller, linux::O_CLOEXEC)?;
    let queue = caller.ipc().named_queues.open(&name, &request)?;
    Ok(fd.fill(caller, OpenFile::anonymous(queue, flags & !linux::O_CLOEXEC), linux::O_CLOEXEC))
}

pub(crate) fn sys_mq_unlink(caller: Caller<'_>, name: u64) -> SysResult {
    let name = caller.memory().read_path(name)?;
    caller.ipc().named_queues.unlink(&name, &caller.thread.identity().credentials)?;
    Ok(0)
}

pub(crate) fn sys_mq_notify(caller: Caller<'_>, fd: u64, event: u64) -> SysResult {
    let wish = match event {
        0 => None,
        event => {
            let event: Sigevent = caller.memory().read(event)?;
            let signal = match event.notify as u32 {
                linux::SIGEV_NONE => 0,
                linux::SIGEV_SIGNAL => {
                    let valid = (0..=64).contains(&event.signo);
                    u32::try_from(event.signo).ok().filter(|_| valid).ok_or(Errno::EINVAL)?
                }
                // By way of a netlink socket, of which there are none.
                linux::SIGEV_THREAD => return Err(Errno::EBADF.into()),
                _ => return Err(Errno::EINVAL.into()),
            };
            let files = caller.files()?;
            // The request ends with the process, as record locks do.
            files.note_record_locks();
            let owner = owner_of(&files);
            Some((Notice { pid: caller.process.pid(), signal, value: event.value }, owner))
        }
    };
    let file = caller.file(fd)?;
    queue_of(&file)?.notify(caller.process.pid(), wish)?;
    Ok(0)
}

pub(crate) fn sys_mq_getsetattr(caller: Caller<'_>, fd: u64, new: u64, old: u64) -> SysResult {
    let nonblocking = i64::from(linux::O_NONBLOCK);
    let wish = match new {
        0 => None,
        new => Some(caller.memory().read::<QueueAttributes>(new)?),
    };
    if wish.is_some_and(|wish| wish.flags & !nonblocking != 0) {
        return Err(Errno::EINVAL.into());
    }
    let file = caller.file(fd)?;
    let queue = queue_of(&file)?;
    let QueueSize { messages, bytes } = queue.size();
    let before = QueueAttributes {
        flags: if file.is_nonblocking() { nonblocking } else { 0 },
        max_messages: messages,
        message_size: bytes,
        waiting: queue.waiting() as i64,
        reserved: [0; 4],
    };
    if let Some(wish) = wish {
        file.set_nonblocking(wish.flags & nonblocking != 0);
    }
    caller.memory().write_opt(old, &before)?;
    Ok(0)
}

pub(crate) async fn sys_mq_timedsend(caller: Caller<'_>, args: [u64; 6]) -> SysResult {
    let [fd, text, len, priority, timeout, _] = args;
    let deadline = absolute(caller, timeout, true)?;
    let priority = priority as u32;
    if priority >= PRIORITIES {
        return Err(Errno::EINVAL.into());
    }
    let file = caller.file(fd)?;
    let queue = queue_of(&file)?;
    if !file.is_writable() {
        return Err(Errno::EBADF.into());
    }
    if len > queue.size().bytes as u64 {
        return Err(Errno::EMSGSIZE.into());
    }
    let mut message: Vec<u8> = caller.memory().read_vec(text, len as usize)?;
    let attempt = || Ok(queue.send(&mut message, priority)?);
    let notice = patiently(caller, &file, PollEvents::OUT, deadline, attempt).await?;
    if let Some(Notice { pid, signal, value }) = notice
        && let Some(signal) = Signal::new(signal.into())
        && let Some(process) = caller.system.processes.process(pid)
    {
        let sender = caller.process.pid();
        let mut info = SigInfo::queue(signal, sender, caller.thread.uid(), value);
        info.code = BY_MESSAGE;
        caller.system.run(caller.system.processes.signal_process(&process, info));
    }
    Ok(0)
}

pub(crate) async fn sys_mq_timedreceive(caller: Caller<'_>, args: [u64; 6]) -> SysResult {
    let [fd, out, len, priority_out, timeout, _] = args;
    let deadline = absolute(caller, timeout, true)?;
    let file = caller.file(fd)?;
    let queue = queue_of(&file)?;
    if !file.is_readable() {
        return Err(Errno::EBADF.into());
    }
    if len < queue.size().bytes as u64 {
        return Err(Errno::EMSGSIZE.into());
    }
    let (message, priority) = match queue.receive() {
        Err(vfs::VfsError::WouldBlock) if !file.is_nonblocking() => {
            let _waits = queue.receiver();
            patiently(caller, &file, PollEvents::IN, deadline, || Ok(queue.receive()?)).await?
        }
        outcome => outcome?,
    };
    caller.memory().write_opt(priority_out, &priority)?;
    caller.memory().write_bytes(out, &message)?;
    Ok(message.len() as u64)
}

fn queue_of(file: &OpenFile) -> SysResult<&MessageQueue> {
    file.downcast::<MessageQueue>().ok_or(SysError::Errno(Errno::EBADF))
}

/// Repeats `attempt` until it can be done, unless the file does not wait.
async fn patiently<T>(
    caller: Caller<'_>,
    file: &OpenFile,
    events: PollEvents,
    deadline: Option<Moment>,
    mut attempt: impl FnMut() -> SysResult<T>,
) -> SysResult<T> {
    if let Some(outcome) = unless_blocked(file, attempt()) {
        return outcome;
    }
    match wait_until(caller, file, events, deadline, attempt).await {
        Waited::Done(outcome) => outcome,
        Waited::Interrupted => Err(SysError::Restart(Restart::Sys)),
        Waited::TimedOut => Err(Errno::ETIMEDOUT.into()),
    }
}
