//! Reading and writing: read, write and their vector and positional kin.
//!
//! A call is tried once without waiting, from the fast entry where it can be ([`transfer_now`]); what has to wait goes on
//! in [`transfer`]. Bytes go through a bounce buffer on the stack, so no file ever sees user memory. What was moved before
//! an error or a signal wins over it.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::linux::general as linux;
use abi::{Errno, Signal};
use process::signal::Restart;
use process::{Resource, UNLIMITED};
use types::{Capabilities, Nanos};

use vfs::eventfd::EventFd;
use vfs::pipe::{PIPE_BUF, PipeEnd};
use vfs::socket::{Socket, SocketKind};
use vfs::terminal::{Access, PtyMaster, TerminalFile};
use vfs::{PollEvents, Positioning, SeekFrom, VfsError, WriteRules};

use crate::calls::buffers::{Buffers, STEP, with_step};
use crate::calls::message::with_message;
use crate::mapped_files::object_of;
use crate::own_limits::Way;
use crate::ready::{Waited, unless_blocked, wait_for, would_block};
use crate::wait::give_way;
use crate::{Caller, OpenFile, SysError, SysResult};

/// Most bytes that are read at a stretch; then others run, and signals end the reading of a device without end.
const STRETCH: u64 = 1 << 20;
/// Most bytes of an appending write that are kept together.
const APPEND_BYTES: u64 = 128 << 10;

/// Which way bytes go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Read,
    Write,
}

/// A read or write as the program asked for it.
struct Transfer {
    direction: Direction,
    file: Arc<OpenFile>,
    buffers: Buffers,
    /// Offset in the file; `None` for the open file's own position.
    at: Option<u64>,
    /// RWF_NOWAIT.
    nowait: bool,
    /// A write ends when it has begun and would have to wait (vmsplice).
    short: bool,
}

/// Whether call `number` is one of these.
pub(crate) const fn is_transfer(number: u32) -> bool {
    matches!(
        number,
        linux::__NR_read
            | linux::__NR_write
            | linux::__NR_readv
            | linux::__NR_writev
            | linux::__NR_pread64
            | linux::__NR_pwrite64
            | linux::__NR_preadv
            | linux::__NR_pwritev
            | linux::__NR_preadv2
            | linux::__NR_pwritev2
            | linux::__NR_vmsplice
    )
}

/// Serves a read or write that need not wait.
pub(crate) fn transfer_now(caller: Caller<'_>, number: u32, args: [u64; 6]) -> Option<SysResult> {
    let mut transfer = match Transfer::decode(caller, number, args) {
        Ok(transfer) => transfer,
        Err(error) => return Some(Err(error)),
    };
    if transfer.direction == Direction::Read {
        if transfer.is_long_read() && !transfer.nowait {
            return None;
        }
        let outcome = transfer.read_once(caller);
        if transfer.nowait {
            return Some(transfer.finish_read(caller, outcome));
        }
        return unless_blocked(&transfer.file, outcome).map(|outcome| transfer.finish_read(caller, outcome));
    }
    let patient = !transfer.file.is_nonblocking() && !transfer.nowait;
    if patient && !transfer.is_all_or_nothing() {
        return None;
    }
    let mut done = 0;
    let outcome = transfer.write_all(caller, &mut done);
    match outcome {
        Err(error) if patient && done == 0 && would_block(error) => None,
        outcome => Some(transfer.finish_write(caller, outcome, done)),
    }
}

/// Serves a read or write; waits where it must.
pub(crate) async fn transfer(caller: Caller<'_>, number: u32, args: [u64; 6]) -> SysResult {
    let mut transfer = Transfer::decode(caller, number, args)?;
    let file = transfer.file.clone();
    if transfer.is_long_read() && !transfer.nowait {
        let outcome = transfer.read_in_stretches(caller).await;
        return transfer.finish_read(caller, outcome);
    }
    if transfer.nowait || file.is_nonblocking() {
        return transfer_now(caller, number, args).unwrap_or(Err(Errno::EAGAIN.into()));
    }
    if transfer.direction == Direction::Read {
        let outcome = match file.downcast::<Socket>().map(|socket| socket.timeouts().0) {
            Some(timeout) if timeout != Nanos::ZERO => {
                let deadline = caller.system.platform.now() + timeout;
                timed(
                    wait_for(caller, &file, PollEvents::READABLE, Some(deadline), || transfer.read_once(caller)).await,
                )
            }
            _ => wait_to_read(caller, &file, || transfer.read_once(caller)).await,
        };
        return transfer.finish_read(caller, outcome);
    }
    let mut done = 0;
    let timeout = file.downcast::<Socket>().map_or(Nanos::ZERO, |socket| socket.timeouts().1);
    let deadline = (timeout != Nanos::ZERO).then(|| caller.system.platform.now() + timeout);
    let attempt = || match transfer.write_all(caller, &mut done) {
        Err(error) if transfer.short && done > 0 && would_block(error) => Ok(done),
        outcome => outcome,
    };
    let outcome = match wait_for(caller, &file, PollEvents::WRITABLE, deadline, attempt).await {
        Waited::Interrupted if deadline.is_none() => Err(SysError::Restart(Restart::Sys)),
        waited => timed(waited),
    };
    transfer.finish_write(caller, outcome, done)
}

/// What waiting with a timeout (SO_RCVTIMEO, SO_SNDTIMEO) came to: EAGAIN when it is over, never a restart.
fn timed(waited: Waited<u64>) -> SysResult {
    match waited {
        Waited::Done(outcome) => outcome,
        Waited::Interrupted => Err(Errno::EINTR.into()),
        Waited::TimedOut => Err(Errno::EAGAIN.into()),
    }
}

/// Repeats `attempt` until there is something to read; on a terminal no longer than its settings say (VTIME).
async fn wait_to_read(caller: Caller<'_>, file: &OpenFile, mut attempt: impl FnMut() -> SysResult) -> SysResult {
    let Some(terminal) = file.downcast::<TerminalFile>().map(|file| file.terminal().clone()) else {
        return match wait_for(caller, file, PollEvents::READABLE, None, attempt).await {
            Waited::Done(outcome) => outcome,
            Waited::Interrupted | Waited::TimedOut => Err(SysError::Restart(Restart::Sys)),
        };
    };
    loop {
        let Some(limit) = terminal.wait_limit() else {
            // For ever; or until the first byte starts the clock.
            let mut timed = false;
            let outcome = wait_for(caller, file, PollEvents::READABLE, None, || match attempt() {
                Err(error) if would_block(error) && terminal.wait_limit().is_some() => {
                    timed = true;
                    Ok(0)
                }
                outcome => outcome,
            })
            .await;
            match outcome {
                Waited::Done(_) if timed => continue,
                Waited::Done(outcome) => return outcome,
                Waited::Interrupted | Waited::TimedOut => return Err(SysError::Restart(Restart::Sys)),
            }
        };
        // The clock starts anew with each byte that arrives.
        let deadline = caller.system.platform.now() + limit;
        let mut first = true;
        let mut woken = false;
        let outcome = wait_for(caller, file, PollEvents::READABLE, Some(deadline), || match attempt() {
            Err(error) if would_block(error) && !core::mem::replace(&mut first, false) => {
                if caller.system.platform.now() >= deadline {
                    return Err(Errno::ETIMEDOUT.into());
                }
                woken = true;
                Ok(0)
            }
            outcome => outcome,
        })
        .await;
        match outcome {
            Waited::Done(_) if woken => {}
            Waited::Done(outcome) => return outcome,
            Waited::Interrupted => return Err(SysError::Restart(Restart::Sys)),
            Waited::TimedOut => return Err(SysError::Errno(Errno::ETIMEDOUT)),
        }
    }
}

impl Transfer {
    /// Checks the arguments in Linux's order: offset, descriptor, access mode, buffers.
    fn decode(caller: Caller<'_>, number: u32, args: [u64; 6]) -> SysResult<Self> {
        let [fd, base, len, offset, _, flags] = args;
        if number == linux::__NR_vmsplice {
            return Self::decode_vmsplice(caller, fd, base, len, offset as u32);
        }
        let direction = match number {
            linux::__NR_read | linux::__NR_readv | linux::__NR_pread64 | linux::__NR_preadv | linux::__NR_preadv2 => {
                Direction::Read
            }
            _ => Direction::Write,
        };
        let vector =
            !matches!(number, linux::__NR_read | linux::__NR_write | linux::__NR_pread64 | linux::__NR_pwrite64);
        let (at, nowait) = match number {
            linux::__NR_pread64 | linux::__NR_pwrite64 | linux::__NR_preadv | linux::__NR_pwritev => {
                (Some(check_offset(offset)?), false)
            }
            linux::__NR_preadv2 | linux::__NR_pwritev2 => {
                let at = if offset == u64::MAX { None } else { Some(check_offset(offset)?) };
                (at, check_flags(flags as u32)?)
            }
            _ => (None, false),
        };
        let file = caller.file(fd)?;
        let open = match direction {
            Direction::Read => file.is_readable(),
            Direction::Write => file.is_writable(),
        };
        if at.is_some() && file.file().positioning() == Positioning::Stream {
            return Err(Errno::ESPIPE.into());
        }
        if !open {
            return Err(Errno::EBADF.into());
        }
        let mut buffers = if vector { Buffers::vector(caller, base, len)? } else { Buffers::one(base, len)? };
        let way = if direction == Direction::Read { Way::Read } else { Way::Write };
        buffers.truncate(caller.room(way, buffers.left())?);
        Ok(Self { direction, file, buffers, at, nowait, short: false })
    }

    /// vmsplice(2): as readv or writev of a pipe, since bytes are always copied here.
    fn decode_vmsplice(caller: Caller<'_>, fd: u64, vector: u64, count: u64, flags: u32) -> SysResult<Self> {
        if flags & !SPLICE_FLAGS != 0 {
            return Err(Errno::EINVAL.into());
        }
        let file = caller.file(fd)?;
        if file.file().as_pipe().is_none() {
            return Err(Errno::EBADF.into());
        }
        let direction = if file.is_writable() { Direction::Write } else { Direction::Read };
        let buffers = Buffers::vector(caller, vector, count)?;
        let nowait = flags & linux::SPLICE_F_NONBLOCK != 0;
        Ok(Self { direction, file, buffers, at: None, nowait, short: true })
    }

    /// Whether it may take so long that others must run meanwhile. What a stream has is little.
    fn is_long_read(&self) -> bool {
        self.direction == Direction::Read
            && self.buffers.left() > STRETCH
            && self.file.file().positioning() != Positioning::Stream
    }

    /// Reads as [`Transfer::read_once`], and lets others run now and then.
    async fn read_in_stretches(&mut self, caller: Caller<'_>) -> SysResult {
        let endless = self.file.file().positioning() == Positioning::Ignored;
        let mut total = 0;
        loop {
            let count = match self.read_stretch(caller, STRETCH) {
                Ok(count) => count,
                Err(_) if total > 0 => return Ok(total),
                Err(error) => return Err(error),
            };
            total += count;
            if let Some(at) = &mut self.at {
                *at = at.saturating_add(count);
            }
            if count < STRETCH || self.buffers.left() == 0 || (endless && caller.thread.signals().has_deliverable()) {
                return Ok(total);
            }
            give_way(caller.system).await;
        }
    }

    /// Reads what there is now, in steps; EAGAIN if nothing.
    fn read_once(&mut self, caller: Caller<'_>) -> SysResult {
        self.read_stretch(caller, u64::MAX)
    }

    /// Reads what there is now, but no more than `most` bytes.
    fn read_stretch(&mut self, caller: Caller<'_>, most: u64) -> SysResult {
        let Self { file, buffers, at, .. } = self;
        let memory = caller.memory();
        let stream = file.file().positioning() == Positioning::Stream;
        let mut single = false;
        if stream {
            if let Some(terminal) = file.downcast::<TerminalFile>() {
                caller.job_control(terminal, Access::Read)?;
                // A line per call.
                single = true;
            } else {
                single = file.downcast::<PtyMaster>().is_some();
            }
        }
        if stream && let Some(socket) = file.downcast::<Socket>().filter(|socket| socket.kind() != SocketKind::Stream) {
            // One call, one message.
            let len = buffers.left().min(socket.buffer_size() as u64);
            return with_message(len, |bounce| {
                buffers.probe(memory, bounce.len())?;
                let count = file.read(bounce)?;
                let copied = buffers.put(memory, bounce.get(..count).unwrap_or_default());
                if copied < count { Err(Errno::EFAULT.into()) } else { Ok(count as u64) }
            });
        }
        with_step(buffers.left(), |bounce| {
            let mut done: u64 = 0;
            loop {
                let left = buffers.left().min(most - done);
                let want = usize::try_from(left).unwrap_or(usize::MAX).min(bounce.len());
                let chunk = bounce.get_mut(..want).unwrap_or_default();
                if stream && let Err(error) = buffers.probe(memory, want) {
                    return if done == 0 { Err(error) } else { Ok(done) };
                }
                let outcome = match *at {
                    None => file.read(chunk),
                    Some(at) => file.read_at(at.saturating_add(done), chunk),
                };
                let count = match outcome {
                    Ok(count) => count,
                    Err(_) if done > 0 => return Ok(done),
                    Err(error) => return Err(error.into()),
                };
                let copied = buffers.put(memory, chunk.get(..count).unwrap_or_default());
                done += copied as u64;
                if copied < count {
                    if at.is_none() && !stream {
                        let _ = file.seek(SeekFrom::Current(copied as i64 - count as i64));
                    }
                    return if done == 0 { Err(Errno::EFAULT.into()) } else { Ok(done) };
                }
                if count < want || single || buffers.left() == 0 || done >= most {
                    return Ok(done);
                }
            }
        })
    }

    fn finish_read(&mut self, caller: Caller<'_>, outcome: SysResult) -> SysResult {
        let outcome = match outcome {
            // The time of a raw-mode read is up: whatever there is.
            Err(SysError::Errno(Errno::ETIMEDOUT)) => self.read_rest(caller),
            outcome => outcome,
        };
        caller.charge_io(Way::Read, *outcome.as_ref().unwrap_or(&0));
        outcome
    }

    fn read_rest(&mut self, caller: Caller<'_>) -> SysResult {
        let Some(file) = self.file.downcast::<TerminalFile>() else { return Ok(0) };
        with_step(self.buffers.left(), |bounce| {
            let count = file.terminal().read_now(bounce);
            let copied = self.buffers.put(caller.memory(), bounce.get(..count).unwrap_or_default());
            if copied < count { Err(Errno::EFAULT.into()) } else { Ok(copied as u64) }
        })
    }

    /// Whether one attempt writes everything or blocks before it wrote anything: then the fast entry may try.
    fn is_all_or_nothing(&self) -> bool {
        self.file.file().positioning() != Positioning::Stream
            || (self.buffers.left() <= PIPE_BUF as u64 && self.file.downcast::<PipeEnd>().is_some())
            || self.file.downcast::<EventFd>().is_some()
            || self.file.downcast::<Socket>().is_some_and(|socket| socket.kind() != SocketKind::Stream)
    }

    /// Writes on, in steps, until everything is written (`Ok`) or something is in the way.
    fn write_all(&mut self, caller: Caller<'_>, done: &mut u64) -> SysResult {
        let stream = self.file.file().positioning() == Positioning::Stream;
        if stream && let Some(terminal) = self.file.downcast::<TerminalFile>() {
            caller.job_control(terminal, Access::Write)?;
        }
        let rules = if stream { WriteRules::UNLIMITED } else { caller.write_rules() };
        let left = self.buffers.left();
        if stream
            && let Some(socket) = self.file.downcast::<Socket>().filter(|socket| socket.kind() != SocketKind::Stream)
        {
            if left > socket.buffer_size() as u64 {
                return Err(Errno::EMSGSIZE.into());
            }
            return with_message(left, |bounce| {
                if self.buffers.peek(caller.memory(), bounce) < bounce.len() {
                    return Err(Errno::EFAULT.into());
                }
                *done = self.file.write(bounce, &rules)? as u64;
                Ok(*done)
            });
        }
        if left > STEP as u64
            && self.file.flags() & linux::O_APPEND != 0
            && let Some(mut bounce) = large_buffer(left)
        {
            return self.write_steps(caller, &rules, &mut bounce, done);
        }
        with_step(left, |bounce| self.write_steps(caller, &rules, bounce, done))
    }

    fn write_steps(&mut self, caller: Caller<'_>, rules: &WriteRules, bounce: &mut [u8], done: &mut u64) -> SysResult {
        let Self { file, buffers, at, .. } = self;
        loop {
            let want = usize::try_from(buffers.left()).unwrap_or(usize::MAX).min(bounce.len());
            let chunk = bounce.get_mut(..want).unwrap_or_default();
            let got = buffers.peek(caller.memory(), chunk);
            if got == 0 && want > 0 {
                return Err(Errno::EFAULT.into());
            }
            let chunk = chunk.get(..got).unwrap_or_default();
            let taken = match *at {
                None => file.write(chunk, rules),
                Some(at) => file.write_at(at.saturating_add(*done), chunk, rules),
            }?;
            buffers.advance(taken as u64);
            *done += taken as u64;
            if buffers.left() == 0 || (taken == 0 && got == 0) {
                return Ok(*done);
            }
            if taken == 0 {
                // A file that takes nothing and does not say why is full.
                return Err(Errno::EAGAIN.into());
            }
        }
    }

    fn finish_write(&self, caller: Caller<'_>, outcome: SysResult, done: u64) -> SysResult {
        caller.charge_io(Way::Write, done);
        // A write cut short by the limit is no error yet.
        if done == 0 || outcome != Err(SysError::Errno(Errno::EFBIG)) {
            caller.signal_failed_write(&outcome);
        }
        if done > 0 { Ok(done) } else { outcome }
    }
}

impl Caller<'_> {
    /// What its writes must respect.
    pub(crate) fn write_rules(self) -> WriteRules {
        WriteRules {
            file_size_limit: self.process.limit(Resource::FileSize),
            keep_set_ids: self.capable(Capabilities::FSETID),
        }
    }

    /// Sends the signal that goes with a failed write: SIGPIPE, SIGXFSZ.
    pub(crate) fn signal_failed_write<T>(self, outcome: &SysResult<T>) {
        match outcome {
            Err(SysError::Errno(Errno::EPIPE)) => self.raise(Signal::PIPE),
            Err(SysError::Errno(Errno::EFBIG)) if self.process.limit(Resource::FileSize) != UNLIMITED => {
                self.raise(Signal::XFSZ);
            }
            _ => {}
        }
    }
}

/// A bounce buffer for an append that should stay in one piece; `None` where there is no memory for it.
fn large_buffer(len: u64) -> Option<Vec<u8>> {
    let len = len.min(APPEND_BYTES) as usize;
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(len).ok()?;
    buffer.resize(len, 0);
    Some(buffer)
}

/// Flags of splice(2) and its kin.
pub(crate) const SPLICE_FLAGS: u32 =
    linux::SPLICE_F_MOVE | linux::SPLICE_F_NONBLOCK | linux::SPLICE_F_MORE | linux::SPLICE_F_GIFT;

pub(crate) fn check_offset(offset: u64) -> SysResult<u64> {
    if offset > i64::MAX as u64 { Err(Errno::EINVAL.into()) } else { Ok(offset) }
}

/// The flags of preadv2 and pwritev2: whether RWF_NOWAIT is among them.
fn check_flags(flags: u32) -> SysResult<bool> {
    // Data is never behind anything that RWF_DSYNC, RWF_SYNC or RWF_HIPRI would speed up.
    let known = linux::RWF_HIPRI | linux::RWF_DSYNC | linux::RWF_SYNC | linux::RWF_NOWAIT;
    if flags & !known != 0 { Err(Errno::EOPNOTSUPP.into()) } else { Ok(flags & linux::RWF_NOWAIT != 0) }
}

pub(crate) fn sys_lseek(caller: Caller<'_>, fd: u64, offset: u64, whence: u64) -> SysResult {
    let file = caller.file(fd)?;
    let to = SeekFrom::from_raw(offset as i64, whence as u32).ok_or(Errno::EINVAL)?;
    Ok(file.seek(to)?)
}

pub(crate) fn sys_ftruncate(caller: Caller<'_>, fd: u64, len: u64) -> SysResult {
    if len > i64::MAX as u64 {
        return Err(Errno::EINVAL.into());
    }
    let file = caller.file(fd)?;
    let outcome = file.truncate(len, &caller.write_rules()).map_err(SysError::from);
    caller.signal_failed_write(&outcome);
    outcome?;
    caller.system.file_was_truncated(object_of(file.file()), len);
    Ok(0)
}

pub(crate) fn sys_fallocate(caller: Caller<'_>, fd: u64, mode: u64, offset: u64, len: u64) -> SysResult {
    let file = caller.file(fd)?;
    let mode = mode as u32;
    if offset > i64::MAX as u64 || len > i64::MAX as u64 || len == 0 {
        return Err(Errno::EINVAL.into());
    }
    let known = linux::FALLOC_FL_KEEP_SIZE | linux::FALLOC_FL_PUNCH_HOLE | linux::FALLOC_FL_ZERO_RANGE;
    let punches_without_keeping = mode & linux::FALLOC_FL_PUNCH_HOLE != 0 && mode & linux::FALLOC_FL_KEEP_SIZE == 0;
    if mode & !known != 0 || punches_without_keeping {
        return Err(Errno::EOPNOTSUPP.into());
    }
    let outcome = file.allocate(mode, offset, len, &caller.write_rules()).map_err(SysError::from);
    caller.signal_failed_write(&outcome);
    outcome?;
    if mode & (linux::FALLOC_FL_PUNCH_HOLE | linux::FALLOC_FL_ZERO_RANGE) != 0 {
        caller.system.file_got_hole(object_of(file.file()), offset, len);
    }
    Ok(0)
}

pub(crate) fn sys_fsync(caller: Caller<'_>, fd: u64) -> SysResult {
    caller.file(fd)?.sync()?;
    Ok(0)
}

pub(crate) fn sys_sync_file_range(caller: Caller<'_>, fd: u64, offset: u64, len: u64, flags: u64) -> SysResult {
    let file = caller.file(fd)?;
    let end = offset.checked_add(len).filter(|end| *end <= i64::MAX as u64);
    if end.is_none() || flags as u32 & !7 != 0 {
        return Err(Errno::EINVAL.into());
    }
    match file.metadata().kind {
        vfs::FileType::Fifo | vfs::FileType::Socket | vfs::FileType::CharDevice => Err(Errno::ESPIPE.into()),
        _ => Ok(0),
    }
}

/// Everything is in memory, and stays there.
pub(crate) fn sys_syncfs(caller: Caller<'_>, fd: u64) -> SysResult {
    caller.file(fd)?;
    Ok(0)
}

/// Advice is checked and needs nothing done.
pub(crate) fn sys_fadvise64(caller: Caller<'_>, fd: u64, len: u64, advice: u64) -> SysResult {
    let file = caller.file(fd)?;
    if file.metadata().kind == vfs::FileType::Fifo {
        return Err(Errno::ESPIPE.into());
    }
    if len > i64::MAX as u64 || advice as u32 > linux::POSIX_FADV_NOREUSE {
        return Err(Errno::EINVAL.into());
    }
    Ok(0)
}

pub(crate) fn sys_readahead(caller: Caller<'_>, fd: u64) -> SysResult {
    let file = caller.file(fd)?;
    if !file.is_readable() {
        return Err(Errno::EBADF.into());
    }
    if file.metadata().kind != vfs::FileType::Regular {
        return Err(Errno::EINVAL.into());
    }
    Ok(0)
}

/// sendfile(2): from a file with positions to anything that can be written.
pub(crate) async fn sys_sendfile(caller: Caller<'_>, out: u64, input: u64, offset: u64, count: u64) -> SysResult {
    let at = match offset {
        0 => None,
        address => Some(check_offset(caller.memory().read::<u64>(address)?)?),
    };
    let source = caller.file(input)?;
    let target = caller.file(out)?;
    if !source.is_readable() || !target.is_writable() {
        return Err(Errno::EBADF.into());
    }
    if source.file().positioning() != Positioning::Seekable {
        return Err(if at.is_some() { Errno::ESPIPE } else { Errno::EINVAL }.into());
    }
    if target.flags() & linux::O_APPEND != 0 || count > i64::MAX as u64 {
        return Err(Errno::EINVAL.into());
    }
    let count = caller.room(Way::Read, caller.room(Way::Write, count)?)?;
    let start = at.unwrap_or_else(|| source.position());
    let mut done = 0;
    let mut outcome = Ok(0);
    while done < count && outcome.is_ok() {
        let attempt = || copy_step(caller, &source, start + done, &target, None, count - done);
        let moved = match unless_blocked(&target, attempt()) {
            Some(moved) => moved,
            None => match wait_for(caller, &target, PollEvents::WRITABLE, None, attempt).await {
                Waited::Done(moved) => moved,
                Waited::Interrupted | Waited::TimedOut => Err(SysError::Restart(Restart::Sys)),
            },
        };
        match moved {
            Ok(0) => break,
            Ok(moved) => done += moved,
            Err(error) => outcome = Err(error),
        }
    }
    caller.signal_failed_write(&outcome);
    caller.charge_io(Way::Read, done);
    caller.charge_io(Way::Write, done);
    if done == 0 {
        if at.is_some() {
            // Told even if nothing has moved, so that a bad address is always found out.
            caller.memory().write(offset, &start)?;
        }
        return outcome;
    }
    match at {
        Some(_) => caller.memory().write(offset, &(start + done))?,
        None => {
            source.seek(SeekFrom::Start((start + done) as i64))?;
        }
    }
    Ok(done)
}

/// copy_file_range(2), at most [`COPY_BYTES`] per call.
pub(crate) fn sys_copy_file_range(caller: Caller<'_>, args: [u64; 6]) -> SysResult {
    /// One call does not keep the CPU longer than it takes to copy this.
    const COPY_BYTES: u64 = 1 << 20;
    let [input, in_offset, out, out_offset, len, flags] = args;
    let source = caller.file(input)?;
    let target = caller.file(out)?;
    let offset = |address: u64, file: &OpenFile| match address {
        0 => Ok((file.position(), false)),
        address => Ok::<_, SysError>((check_offset(caller.memory().read::<u64>(address)?)?, true)),
    };
    let (from, from_given) = offset(in_offset, &source)?;
    let (to, to_given) = offset(out_offset, &target)?;
    if flags as u32 != 0 {
        return Err(Errno::EINVAL.into());
    }
    if source.is_directory() || target.is_directory() {
        return Err(Errno::EISDIR.into());
    }
    let (source_node, target_node) = (source.metadata(), target.metadata());
    if source_node.kind != vfs::FileType::Regular || target_node.kind != vfs::FileType::Regular {
        return Err(Errno::EINVAL.into());
    }
    if !source.is_readable() || !target.is_writable() || target.flags() & linux::O_APPEND != 0 {
        return Err(Errno::EBADF.into());
    }
    let len = len.min(COPY_BYTES).min(source_node.size.saturating_sub(from));
    let same = (source_node.dev, source_node.ino) == (target_node.dev, target_node.ino);
    if same && from < to.saturating_add(len) && to < from.saturating_add(len) {
        return Err(Errno::EINVAL.into());
    }
    let len = caller.room(Way::Read, caller.room(Way::Write, len)?)?;
    let mut done = 0;
    let mut outcome = Ok(0);
    while done < len {
        match copy_step(caller, &source, from + done, &target, Some(to + done), len - done) {
            Ok(0) => break,
            Ok(moved) => done += moved,
            Err(error) => {
                outcome = Err(error);
                break;
            }
        }
    }
    caller.signal_failed_write(&outcome);
    if done == 0 {
        return outcome;
    }
    caller.charge_io(Way::Read, done);
    caller.charge_io(Way::Write, done);
    let moved_to = [(in_offset, from_given, &source, from + done), (out_offset, to_given, &target, to + done)];
    for (address, given, file, position) in moved_to {
        if given {
            caller.memory().write(address, &position)?;
        } else {
            file.seek(SeekFrom::Start(position as i64))?;
        }
    }
    Ok(done)
}

/// Copies up to a step from one file to another; 0 at the end of the first.
fn copy_step(
    caller: Caller<'_>,
    source: &OpenFile,
    from: u64,
    target: &OpenFile,
    to: Option<u64>,
    len: u64,
) -> SysResult {
    if let Some(terminal) = target.downcast::<TerminalFile>() {
        caller.job_control(terminal, Access::Write)?;
    }
    with_step(len, |bounce| {
        let count = source.read_at(from, bounce)?;
        let data = bounce.get(..count).unwrap_or_default();
        if data.is_empty() {
            return Ok(0);
        }
        let rules = caller.write_rules();
        let taken = match to {
            Some(at) => target.write_at(at, data, &rules),
            None => target.write(data, &rules),
        };
        match taken {
            Ok(0) => Err(VfsError::WouldBlock.into()),
            Ok(taken) => Ok(taken as u64),
            Err(error) => Err(error.into()),
        }
    })
}
