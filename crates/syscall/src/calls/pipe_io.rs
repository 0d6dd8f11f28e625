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
use types::USER_END;
use vfs::pipe::Pipe;

use crate::{Caller, OpenFile, SysError, SysResult};

/// Most bytes that go this way: small enough for a cheap buffer on the stack.
const SMALL: u64 = 64;

/// What the short way says to a call.
pub enum Short {
    /// It is served.
    Done(SysResult),
    /// It has to wait for bytes.
    WaitToRead(EmptyPipe),
    /// It has to wait for something else.
    Wait,
    /// It is for the ordinary way.
    Other,
}

/// A pipe that a read has found empty.
pub struct EmptyPipe(Arc<OpenFile>);

/// Whether call `number` with that third argument may be for the short way.
#[inline]
pub const fn is_short(number: u64, len: u64) -> bool {
    number <= linux::__NR_write as u64 && len <= SMALL
}

/// Serves a call for which [`is_short`] holds, if that can be done without waiting.
#[inline]
pub fn short_now(caller: Caller<'_>, number: u64, fd: u64, base: u64, len: u64) -> Short {
    if caller.process.is_limited() {
        return Short::Other;
    }
    if number == u64::from(linux::__NR_read) {
        read_now(caller, fd, base, len)
    } else {
        write_now(caller, fd, base, len)
    }
}

impl EmptyPipe {
    /// Goes on with the read that `context` asks for, waiting for bytes or the end.
    #[inline]
    pub fn wait<'a>(self, caller: Caller<'a>, context: &UserContext) -> PipeRead<'a> {
        let [_, base, len, ..] = context.syscall_args();
        PipeRead { caller, file: self.0, base, len, ticket: None }
    }
}

#[inline]
fn read_now(caller: Caller<'_>, fd: u64, base: u64, len: u64) -> Short {
    let Ok(file) = caller.file(fd) else { return Short::Other };
    let Some(pipe) = file.pipe() else { return Short::Other };
    match read(caller, &file, pipe, base, len) {
        // One that lends while it waits needs more than the short way has.
        Err(SysError::Errno(Errno::EAGAIN)) if !file.is_nonblocking() && caller.thread.is_critical() => Short::Wait,
        Err(SysError::Errno(Errno::EAGAIN)) if !file.is_nonblocking() => Short::WaitToRead(EmptyPipe(file)),
        outcome => Short::Done(outcome),
    }
}

#[inline]
fn write_now(caller: Caller<'_>, fd: u64, base: u64, len: u64) -> Short {
    let Ok(file) = caller.file(fd) else { return Short::Other };
    let Some(pipe) = file.pipe() else { return Short::Other };
    let outcome = write(caller, &file, pipe, base, len);
    match outcome {
        Ok(_) => Short::Done(outcome),
        Err(SysError::Errno(Errno::EAGAIN)) if !file.is_nonblocking() => Short::Wait,
        Err(_) => {
            caller.signal_failed_write(&outcome);
            Short::Done(outcome)
        }
    }
}

#[inline]
fn read(caller: Caller<'_>, file: &OpenFile, pipe: &Pipe, base: u64, len: u64) -> SysResult {
    if !file.is_readable() {
        return Err(Errno::EBADF.into());
    }
    if base.checked_add(len).is_none_or(|end| end > USER_END) {
        return Err(Errno::EFAULT.into());
    }
    let mut buffer = [0; SMALL as usize];
    let wanted = buffer.get_mut(..len as usize).unwrap_or_default();
    let count = pipe.read(wanted)?;
    let got = wanted.get(..count).unwrap_or_default();
    // A bad buffer must not cost the bytes.
    caller.memory().write_bytes(base, got).inspect_err(|_| pipe.unread(got))?;
    caller.thread.charge_read(count as u64);
    Ok(count as u64)
}

#[inline]
fn write(caller: Caller<'_>, file: &OpenFile, pipe: &Pipe, base: u64, len: u64) -> SysResult {
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
    let count = pipe.write(data)?;
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

impl Future for PipeRead<'_> {
    type Output = SysResult;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<SysResult> {
        let this = &mut *self;
        let Some(pipe) = this.file.pipe() else { return Poll::Ready(Err(Errno::EBADF.into())) };
        let mut look = false;
        if let Some(ticket) = this.ticket.take() {
            pipe.readable().remove(ticket);
            look = true;
        }
        loop {
            if look {
                match read(this.caller, &this.file, pipe, this.base, this.len) {
                    Err(SysError::Errno(Errno::EAGAIN)) => {}
                    outcome => return Poll::Ready(outcome),
                }
            }
            this.ticket = pipe.wait_readable(cx.waker());
            if this.ticket.is_some() {
                break;
            }
            look = true;
        }
        if this.caller.thread.signals().has_deliverable() {
            return Poll::Ready(Err(SysError::Restart(Restart::Sys)));
        }
        Poll::Pending
    }
}

impl Drop for PipeRead<'_> {
    fn drop(&mut self) {
        if let (Some(ticket), Some(pipe)) = (self.ticket.take(), self.file.pipe()) {
            pipe.readable().remove(ticket);
        }
    }
}
