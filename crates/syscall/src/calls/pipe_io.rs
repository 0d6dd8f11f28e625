//! The short way of read(2) and write(2) for few bytes through a pipe: what shells and servers do most, kept free of
//! everything that only other files and larger buffers need. Same answers as `io.rs`.

use alloc::sync::Arc;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use abi::Errno;
use abi::linux::general as linux;
use hal::UserContext;
use process::signal::Restart;
use types::{PAGE_SIZE, USER_END};
use vfs::pipe::PipeEnd;

use crate::{Caller, OpenFile, SysError, SysResult};

/// Most bytes that go this way: small enough for a cheap buffer on the stack.
const SMALL: u64 = 64;

/// What the short way says to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Short {
    /// It is served.
    Done(SysResult),
    /// It has to wait.
    Wait,
    /// It is for the ordinary way.
    Other,
}

/// Whether call `number` with that third argument may be for the short way.
#[inline]
pub const fn is_short(number: u64, len: u64) -> bool {
    number <= linux::__NR_write as u64 && len <= SMALL
}

/// Serves a call for which [`is_short`] holds, if that can be done without waiting.
#[inline]
pub fn short_now(caller: Caller<'_>, number: u64, fd: u64, base: u64, len: u64) -> Short {
    if number == u64::from(linux::__NR_read) {
        read_now(caller, fd, base, len)
    } else {
        write_now(caller, fd, base, len)
    }
}

/// The read that `context` asks for, waiting for bytes or the end. `None` if it is for the ordinary way.
#[inline]
pub fn short_wait<'a>(caller: Caller<'a>, context: &UserContext) -> Option<PipeRead<'a>> {
    let [fd, base, len, ..] = context.syscall_args();
    if context.orig_rax != u64::from(linux::__NR_read) || len > SMALL {
        return None;
    }
    let file = caller.file(fd).ok()?;
    file.file().as_pipe()?;
    if file.is_nonblocking() {
        return None;
    }
    Some(PipeRead { caller, file, base, len, ticket: None })
}

fn read_now(caller: Caller<'_>, fd: u64, base: u64, len: u64) -> Short {
    let Ok(file) = caller.file(fd) else { return Short::Other };
    let Some(pipe) = file.file().as_pipe() else { return Short::Other };
    match read(caller, &file, pipe, base, len) {
        Err(SysError::Errno(Errno::EAGAIN)) if !file.is_nonblocking() => Short::Wait,
        outcome => Short::Done(outcome),
    }
}

fn write_now(caller: Caller<'_>, fd: u64, base: u64, len: u64) -> Short {
    let Ok(file) = caller.file(fd) else { return Short::Other };
    let Some(pipe) = file.file().as_pipe() else { return Short::Other };
    let outcome = write(caller, &file, pipe, base, len);
    match outcome {
        Err(SysError::Errno(Errno::EAGAIN)) if !file.is_nonblocking() => Short::Wait,
        Err(_) => {
            caller.signal_failed_write(&outcome);
            Short::Done(outcome)
        }
        Ok(_) => Short::Done(outcome),
    }
}

fn read(caller: Caller<'_>, file: &OpenFile, pipe: &PipeEnd, base: u64, len: u64) -> SysResult {
    if !file.is_readable() {
        return Err(Errno::EBADF.into());
    }
    if base.checked_add(len).is_none_or(|end| end > USER_END) {
        return Err(Errno::EFAULT.into());
    }
    if !pipe.has_news() && len > 0 {
        return Err(Errno::EAGAIN.into());
    }
    let memory = caller.memory();
    if len > 0 {
        // A bad buffer must not cost the bytes. (One page or two: a small buffer has no middle.)
        let mut byte = [0];
        let last = base + len - 1;
        memory.read_bytes(base, &mut byte)?;
        if (base ^ last) & !(PAGE_SIZE as u64 - 1) != 0 {
            memory.read_bytes(last, &mut byte)?;
        }
    }
    let mut buffer = [0; SMALL as usize];
    let wanted = buffer.get_mut(..len as usize).unwrap_or_default();
    let count = pipe.pipe().read(wanted)?;
    memory.write_bytes(base, wanted.get(..count).unwrap_or_default())?;
    caller.thread.charge_read(count as u64);
    Ok(count as u64)
}

fn write(caller: Caller<'_>, file: &OpenFile, pipe: &PipeEnd, base: u64, len: u64) -> SysResult {
    if !file.is_writable() {
        return Err(Errno::EBADF.into());
    }
    if base.checked_add(len).is_none_or(|end| end > USER_END) {
        return Err(Errno::EFAULT.into());
    }
    let mut buffer = [0; SMALL as usize];
    let data = buffer.get_mut(..len as usize).unwrap_or_default();
    caller.memory().read_bytes(base, data)?;
    // Up to PIPE_BUF bytes go in one piece or not at all.
    let count = pipe.pipe().write(data)?;
    caller.thread.charge_write(count as u64);
    Ok(count as u64)
}

/// A read that waits; ends early for a signal.
pub struct PipeRead<'a> {
    caller: Caller<'a>,
    file: Arc<OpenFile>,
    base: u64,
    len: u64,
    ticket: Option<u64>,
}

impl PipeRead<'_> {
    fn attempt(&self) -> Option<SysResult> {
        let pipe = self.file.file().as_pipe()?;
        match read(self.caller, &self.file, pipe, self.base, self.len) {
            Err(SysError::Errno(Errno::EAGAIN)) => None,
            outcome => Some(outcome),
        }
    }

    fn leave(&mut self) {
        if let (Some(ticket), Some(pipe)) = (self.ticket.take(), self.file.file().as_pipe()) {
            pipe.pipe().readable().remove(ticket);
        }
    }
}

impl Future for PipeRead<'_> {
    type Output = SysResult;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<SysResult> {
        let this = &mut *self;
        loop {
            if this.ticket.is_some()
                && let Some(outcome) = this.attempt()
            {
                this.leave();
                return Poll::Ready(outcome);
            }
            this.leave();
            let Some(pipe) = this.file.file().as_pipe() else { return Poll::Ready(Err(Errno::EBADF.into())) };
            this.ticket = pipe.pipe().wait_readable(cx.waker());
            if this.ticket.is_some() {
                break;
            }
            if let Some(outcome) = this.attempt() {
                return Poll::Ready(outcome);
            }
        }
        if this.caller.thread.signals().has_deliverable() {
            return Poll::Ready(Err(SysError::Restart(Restart::Sys)));
        }
        Poll::Pending
    }
}

impl Drop for PipeRead<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}
