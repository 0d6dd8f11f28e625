//! splice(2) and tee(2): bytes from or into a pipe without a way through user memory. (vmsplice(2) is in `io.rs`.)
//!
//! Bytes are copied through a buffer of the kernel's. What comes out of a pipe leaves it only when it has arrived; of two
//! that read one pipe while one splices from it, both may see the same bytes.

use alloc::sync::Arc;

use abi::Errno;
use abi::linux::general as linux;
use process::signal::Restart;
use vfs::pipe::Pipe;
use vfs::socket::Socket;
use vfs::terminal::{Access, TerminalFile};
use vfs::{PollEvents, Positioning, SeekFrom};

use crate::calls::buffers::{STEP, with_step};
use crate::calls::io::{SPLICE_FLAGS, check_offset};
use crate::own_limits::Way;
use crate::ready::{Waited, wait_for, would_block};
use crate::{Caller, OpenFile, SysError, SysResult};

/// One end of a splice.
struct Side {
    file: Arc<OpenFile>,
    pipe: Option<Arc<Pipe>>,
    /// Offset of a file, if it was given; where it goes on.
    offset: Option<u64>,
    waits: bool,
}

impl Side {
    fn new(caller: Caller<'_>, fd: u64, offset: u64, waits: bool) -> SysResult<Self> {
        let file = caller.file(fd)?;
        let pipe = file.file().as_pipe().map(|end| end.pipe().clone());
        if pipe.is_some() && offset != 0 {
            return Err(Errno::ESPIPE.into());
        }
        let offset = match offset {
            0 => None,
            _ if file.file().positioning() == Positioning::Stream => return Err(Errno::ESPIPE.into()),
            address => Some(check_offset(caller.memory().read::<u64>(address)?)?),
        };
        let waits = waits && !file.is_nonblocking();
        Ok(Self { file, pipe, offset, waits })
    }

    /// Waits for `events` while `attempt` would block.
    async fn wait(&self, caller: Caller<'_>, events: PollEvents, mut attempt: impl FnMut() -> SysResult) -> SysResult {
        match attempt() {
            Err(error) if would_block(error) && self.waits => {}
            outcome => return outcome,
        }
        match wait_for(caller, &self.file, events, None, attempt).await {
            Waited::Done(outcome) => outcome,
            Waited::Interrupted | Waited::TimedOut => Err(SysError::Restart(Restart::Sys)),
        }
    }
}

pub(crate) async fn sys_splice(caller: Caller<'_>, args: [u64; 6]) -> SysResult {
    let [input, in_offset, output, out_offset, len, flags] = args;
    let flags = flags as u32;
    if len == 0 {
        return Ok(0);
    }
    if flags & !SPLICE_FLAGS != 0 {
        return Err(Errno::EINVAL.into());
    }
    let patient = flags & linux::SPLICE_F_NONBLOCK == 0;
    let (source, target) = (caller.file(input)?, caller.file(output)?);
    if !source.is_readable() || !target.is_writable() {
        return Err(Errno::EBADF.into());
    }
    // The flag is about the pipes alone; a file of its own kind is asked as it was opened.
    let is_pipe = |file: &OpenFile| file.file().as_pipe().is_some();
    let mut from = Side::new(caller, input, in_offset, patient || !is_pipe(&source))?;
    let mut to = Side::new(caller, output, out_offset, patient || !is_pipe(&target))?;
    let len = caller.room(Way::Read, caller.room(Way::Write, len.min(1 << 30))?)?;
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    let outcome = match (from.pipe.clone(), to.pipe.clone()) {
        (None, None) => return Err(Errno::EINVAL.into()),
        (Some(a), Some(b)) if Arc::ptr_eq(&a, &b) => return Err(Errno::EINVAL.into()),
        (Some(pipe), _) => {
            if to.file.flags() & linux::O_APPEND != 0 {
                return Err(Errno::EINVAL.into());
            }
            out_of_pipe(caller, &from, &pipe, &mut to, len).await
        }
        (None, Some(pipe)) => into_pipe(caller, &mut from, &to, &pipe, len).await,
    };
    caller.signal_failed_write(&outcome);
    let done = outcome?;
    caller.charge_io(Way::Read, done);
    caller.charge_io(Way::Write, done);
    for (side, address) in [(&from, in_offset), (&to, out_offset)] {
        if let Some(offset) = side.offset {
            caller.memory().write(address, &offset)?;
        }
    }
    Ok(done)
}

/// Waits for the first bytes of a pipe, then moves what there is without waiting for more.
async fn out_of_pipe(caller: Caller<'_>, from: &Side, pipe: &Pipe, to: &mut Side, len: usize) -> SysResult {
    let mut done: u64 = 0;
    while done < len as u64 {
        let want = (len as u64 - done).min(STEP as u64);
        // Only whether there is something; the bytes are copied below, in one go with their arrival.
        let news = || Ok(pipe.peek(&mut [0])? as u64);
        let there = if done == 0 { from.wait(caller, PollEvents::READABLE, news).await } else { news() };
        match there {
            Ok(0) => break,
            Ok(_) => {}
            Err(_) if done > 0 => break,
            Err(error) => return Err(error),
        }
        let (target, at) = (&to.file, to.offset);
        let attempt = || {
            if let Some(terminal) = target.downcast::<TerminalFile>() {
                caller.job_control(terminal, Access::Write)?;
            }
            with_step(want, |bounce| {
                let count = pipe.peek(bounce)?;
                let data = bounce.get(..count).unwrap_or_default();
                if data.is_empty() {
                    return Ok(0);
                }
                let rules = caller.write_rules();
                let taken = match at {
                    Some(at) => target.write_at(at, data, &rules)?,
                    None => target.write(data, &rules)?,
                };
                pipe.discard(taken);
                Ok(taken as u64)
            })
        };
        let moved = if done == 0 || to.pipe.is_none() {
            to.wait(caller, PollEvents::WRITABLE, attempt).await
        } else {
            attempt()
        };
        match moved {
            Ok(0) => break,
            Ok(moved) => {
                done += moved;
                to.offset = to.offset.map(|offset| offset + moved);
            }
            Err(_) if done > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Waits for room in the pipe, then fills it with what the file has.
async fn into_pipe(caller: Caller<'_>, from: &mut Side, to: &Side, pipe: &Pipe, len: usize) -> SysResult {
    let stream = from.file.file().positioning() == Positioning::Stream;
    if stream && from.file.downcast::<Socket>().is_none() && from.file.downcast::<TerminalFile>().is_none() {
        // An eventfd and its like have nothing to splice.
        return Err(Errno::EINVAL.into());
    }
    let mut done: u64 = 0;
    while done < len as u64 {
        let has_room = || Ok(pipe.room()? as u64);
        let room = if done == 0 { to.wait(caller, PollEvents::WRITABLE, has_room).await } else { has_room() };
        let room = match room {
            Ok(room) => room,
            Err(_) if done > 0 => break,
            Err(error) => return Err(error),
        };
        let want = (len as u64 - done).min(STEP as u64).min(room);
        let (source, at) = (&from.file, from.offset);
        let attempt = || {
            if let Some(terminal) = source.downcast::<TerminalFile>() {
                caller.job_control(terminal, Access::Read)?;
            }
            with_step(want, |bounce| {
                let position = source.position();
                let count = match at {
                    Some(at) => source.read_at(at, bounce)?,
                    None => source.read(bounce)?,
                };
                let mut data = bounce.get(..count).unwrap_or_default();
                let mut put = 0;
                while !data.is_empty() {
                    match pipe.write(data) {
                        Ok(taken) => {
                            put += taken;
                            data = data.get(taken..).unwrap_or_default();
                        }
                        // Somebody else filled it: what a file gave goes back.
                        Err(error) => {
                            if at.is_none() && !stream {
                                let _ = source.seek(SeekFrom::Start((position + put as u64) as i64));
                            }
                            return if put > 0 { Ok(put as u64) } else { Err(error.into()) };
                        }
                    }
                }
                Ok(put as u64)
            })
        };
        let moved = if done == 0 { from.wait(caller, PollEvents::READABLE, attempt).await } else { attempt() };
        match moved {
            Ok(0) => break,
            Ok(moved) => {
                done += moved;
                from.offset = from.offset.map(|offset| offset + moved);
            }
            Err(_) if done > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// tee(2): what is in one pipe, into another as well.
pub(crate) async fn sys_tee(caller: Caller<'_>, input: u64, output: u64, len: u64, flags: u64) -> SysResult {
    let flags = flags as u32;
    if flags & !SPLICE_FLAGS != 0 {
        return Err(Errno::EINVAL.into());
    }
    if len == 0 {
        return Ok(0);
    }
    let patient = flags & linux::SPLICE_F_NONBLOCK == 0;
    let from = Side::new(caller, input, 0, patient)?;
    let to = Side::new(caller, output, 0, patient)?;
    if !from.file.is_readable() || !to.file.is_writable() {
        return Err(Errno::EBADF.into());
    }
    let (Some(source), Some(target)) = (&from.pipe, &to.pipe) else { return Err(Errno::EINVAL.into()) };
    if Arc::ptr_eq(source, target) {
        return Err(Errno::EINVAL.into());
    }
    let len = caller.room(Way::Write, len)?;
    if from.wait(caller, PollEvents::READABLE, || Ok(source.peek(&mut [0])? as u64)).await? == 0 {
        return Ok(0);
    }
    let outcome = to
        .wait(caller, PollEvents::WRITABLE, || {
            // All that is there, in one piece: a second look would begin at the front again.
            let room = target.room()? as u64;
            with_all(len.min(room), |bounce| {
                let count = source.peek(bounce)?;
                let mut put = 0;
                while put < count {
                    match target.write(bounce.get(put..count).unwrap_or_default()) {
                        Ok(taken) => put += taken,
                        Err(error) if put == 0 => return Err(error.into()),
                        Err(_) => break,
                    }
                }
                Ok(put as u64)
            })
        })
        .await;
    caller.signal_failed_write(&outcome);
    // The same bytes, in another pipe: nothing was read away.
    caller.charge_io(Way::Write, *outcome.as_ref().unwrap_or(&0));
    outcome
}

/// Runs `work` with a buffer of up to `len` bytes: what a pipe holds at most, less where memory is short.
fn with_all<T>(len: u64, work: impl FnOnce(&mut [u8]) -> T) -> T {
    const MOST: u64 = 1 << 20;
    let size = len.min(MOST) as usize;
    let mut buffer = alloc::vec::Vec::new();
    if size > STEP && buffer.try_reserve_exact(size).is_ok() {
        buffer.resize(size, 0);
        return work(&mut buffer);
    }
    with_step(len, work)
}
