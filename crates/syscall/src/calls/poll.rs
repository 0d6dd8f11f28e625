//! Waiting for many files at once: poll, ppoll, select, pselect6.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::task::Poll;

use abi::{Errno, PollFd, SigSet, Timespec, Timeval, Wire};
use process::Resource;
use process::signal::Restart;
use smallvec::SmallVec;
use types::Nanos;
use vfs::PollEvents;

use crate::clock::{nanos, nanos_of_timeval, timespec};
use crate::ready::{Places, register};
use crate::wait::{interruptible, until};
use crate::{Caller, OpenFile, RestartBlock, SysError, SysResult};

/// Personality bit: select leaves its timeout as it was.
const STICKY_TIMEOUTS: u32 = 0x0400_0000;

/// The smallest descriptor table that Linux makes (NR_OPEN_DEFAULT): select(2) looks at no bits above the table.
const SMALLEST_TABLE: u32 = 64;

/// A file that is waited for.
struct Watched {
    /// `None` for a descriptor that is not open, or is to be skipped.
    file: Option<Arc<OpenFile>>,
    interest: PollEvents,
    ready: PollEvents,
}

impl Watched {
    fn look(&mut self) -> bool {
        if let Some(file) = &self.file {
            self.ready = file.poll(self.interest);
        }
        !self.ready.is_empty()
    }
}

type Watch = SmallVec<[Watched; 4]>;

/// How long a call waits.
#[derive(Clone, Copy)]
enum Patience {
    /// Not at all.
    None,
    /// Until then.
    Until(Nanos),
    /// For ever.
    Forever,
}

impl Patience {
    fn of(caller: Caller<'_>, span: Option<Nanos>) -> Self {
        match span {
            None => Self::Forever,
            Some(Nanos::ZERO) => Self::None,
            Some(span) => Self::Until(caller.system.platform.now() + span),
        }
    }

    fn deadline(self) -> Option<Nanos> {
        match self {
            Self::None => Some(Nanos::ZERO),
            Self::Until(deadline) => Some(deadline),
            Self::Forever => None,
        }
    }
}

/// How many of `watch` are ready now.
fn count_ready(watch: &mut [Watched]) -> u64 {
    watch.iter_mut().map(|watched| u64::from(watched.look())).sum()
}

/// Waits until one of `watch` is ready: how many are; `None` if a signal came first.
async fn wait(caller: Caller<'_>, watch: &mut [Watched], patience: Patience) -> Option<u64> {
    let ready = count_ready(watch);
    if ready > 0 || matches!(patience, Patience::None) {
        return Some(ready);
    }
    // Queues are left only when the wait is over: a file's queues stay the same while it is open.
    let mut places = Places::new();
    let any = poll_fn(|cx| {
        places.clear();
        for watched in watch.iter() {
            if let Some(file) = &watched.file {
                register(file, watched.interest | PollEvents::ALWAYS, cx.waker(), &mut places);
            }
        }
        match count_ready(watch) {
            0 => Poll::Pending,
            ready => Poll::Ready(ready),
        }
    });
    match until(caller.system, patience.deadline(), interruptible(caller.thread, any)).await {
        Some(Ok(ready)) => Some(ready),
        Some(Err(_)) => None,
        None => Some(count_ready(watch)),
    }
}

/// poll(2) that finds something ready at once, or does not want to wait.
pub(crate) fn poll_now(caller: Caller<'_>, fds: u64, count: u64, timeout: u64) -> Option<SysResult> {
    let mut watch = match read_poll(caller, fds, count) {
        Ok(watch) => watch,
        Err(error) => return Some(Err(error)),
    };
    let ready = count_ready(&mut watch);
    if ready == 0 && timeout as i32 != 0 {
        return None;
    }
    Some(write_poll(caller, fds, &watch).map(|()| ready))
}

/// poll(2).
pub(crate) async fn sys_poll(
    caller: Caller<'_>,
    restart: &mut Option<Box<RestartBlock>>,
    fds: u64,
    count: u64,
    timeout: u64,
) -> SysResult {
    let span = u64::try_from(timeout as i32).ok().map(Nanos::from_millis);
    resume_poll(caller, restart, fds, count, Patience::of(caller, span).deadline()).await
}

/// poll(2) from its deadline, also for `restart_syscall`.
pub(crate) async fn resume_poll(
    caller: Caller<'_>,
    restart: &mut Option<Box<RestartBlock>>,
    fds: u64,
    count: u64,
    deadline: Option<Nanos>,
) -> SysResult {
    let mut watch = read_poll(caller, fds, count)?;
    let patience = match deadline {
        None => Patience::Forever,
        Some(Nanos::ZERO) => Patience::None,
        Some(deadline) => Patience::Until(deadline),
    };
    match wait(caller, &mut watch, patience).await {
        Some(ready) => write_poll(caller, fds, &watch).map(|()| ready),
        None => {
            *restart = Some(Box::new(RestartBlock::Poll { fds, count, deadline }));
            Err(SysError::Restart(Restart::Block))
        }
    }
}

/// ppoll(2).
pub(crate) async fn sys_ppoll(caller: Caller<'_>, args: [u64; 6]) -> SysResult {
    let [fds, count, timeout, mask, size, _] = args;
    let patience = read_timespec(caller, timeout)?;
    let mask = read_mask(caller, mask, size)?;
    let mut watch = read_poll(caller, fds, count)?;
    let outcome = with_mask(caller, mask, wait(caller, &mut watch, patience)).await;
    write_rest(caller, timeout, patience, timespec);
    match outcome {
        Some(ready) => write_poll(caller, fds, &watch).map(|()| ready),
        None => Err(SysError::Restart(Restart::NoHand)),
    }
}

fn read_poll(caller: Caller<'_>, fds: u64, count: u64) -> SysResult<Watch> {
    let count = count as u32;
    if u64::from(count) > caller.process.limit(Resource::Files) {
        return Err(Errno::EINVAL.into());
    }
    let mut watch = Watch::new();
    watch.try_reserve(count as usize).map_err(|_| Errno::ENOMEM)?;
    for at in 0..u64::from(count) {
        let entry: PollFd = caller.memory().read(entry_address(fds, at)?)?;
        let interest = PollEvents::from_bits_truncate(u32::from(entry.events as u16)) | PollEvents::ALWAYS;
        let file = if entry.fd < 0 { None } else { caller.thread.file(entry.fd as u32).ok() };
        let bad = entry.fd >= 0 && file.is_none();
        let ready = if bad { PollEvents::NVAL } else { PollEvents::empty() };
        watch.push(Watched { file, interest, ready });
    }
    Ok(watch)
}

fn write_poll(caller: Caller<'_>, fds: u64, watch: &[Watched]) -> SysResult<()> {
    /// Offset of `revents` in `struct pollfd`.
    const REVENTS: u64 = 6;
    for (at, watched) in watch.iter().enumerate() {
        let revents = watched.ready.bits() as u16;
        caller.memory().write(entry_address(fds, at as u64)? + REVENTS, &revents)?;
    }
    Ok(())
}

fn entry_address(fds: u64, at: u64) -> SysResult<u64> {
    fds.checked_add(at * PollFd::SIZE as u64).filter(|address| *address < types::USER_END).ok_or(Errno::EFAULT.into())
}

/// The three sets of select(2), as many bits as asked for.
struct Sets {
    addresses: [u64; 3],
    wanted: [Vec<u64>; 3],
    count: u32,
}

impl Sets {
    /// What each set asks for: reading, writing, exceptions.
    const INTEREST: [PollEvents; 3] = [
        PollEvents::READABLE.union(PollEvents::RDBAND).union(PollEvents::HUP).union(PollEvents::ERR),
        PollEvents::WRITABLE.union(PollEvents::WRBAND).union(PollEvents::ERR),
        PollEvents::PRI,
    ];

    fn read(caller: Caller<'_>, count: u64, addresses: [u64; 3]) -> SysResult<Self> {
        let count = i32::try_from(count as i32 as i64).unwrap_or(-1);
        let count = u32::try_from(count).map_err(|_| Errno::EINVAL)?;
        // Beyond the table there is nothing to be found: as on Linux, the rest is not even read.
        let table = caller.files()?.capacity().next_multiple_of(64) as u32;
        let count = count.min(table.max(SMALLEST_TABLE));
        let words = count.div_ceil(64) as usize;
        let mut wanted = [Vec::new(), Vec::new(), Vec::new()];
        for (set, address) in wanted.iter_mut().zip(addresses) {
            if address != 0 {
                *set = read_words(caller, address, count, words)?;
            }
        }
        Ok(Self { addresses, wanted, count })
    }

    fn watch(&self, caller: Caller<'_>) -> SysResult<(Watch, Vec<u32>)> {
        let mut watch = Watch::new();
        let mut fds = Vec::new();
        for fd in 0..self.count {
            let mut interest = PollEvents::empty();
            for (set, events) in self.wanted.iter().zip(Self::INTEREST) {
                if has_bit(set, fd) {
                    interest |= events;
                }
            }
            if interest.is_empty() {
                continue;
            }
            let file = caller.thread.file(fd)?;
            if file.is_path() {
                return Err(Errno::EBADF.into());
            }
            watch.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
            fds.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
            watch.push(Watched { file: Some(file), interest, ready: PollEvents::empty() });
            fds.push(fd);
        }
        Ok((watch, fds))
    }

    /// Stores which descriptors are ready for what; how many bits are set.
    fn write(&self, caller: Caller<'_>, watch: &[Watched], fds: &[u32]) -> SysResult {
        let mut total = 0;
        for ((set, address), events) in self.wanted.iter().zip(self.addresses).zip(Self::INTEREST) {
            if address == 0 {
                continue;
            }
            let mut found = Vec::new();
            found.try_reserve_exact(set.len()).map_err(|_| Errno::ENOMEM)?;
            found.resize(set.len(), 0_u64);
            for (watched, fd) in watch.iter().zip(fds) {
                if has_bit(set, *fd) && watched.ready.intersects(events) {
                    if let Some(word) = found.get_mut((*fd / 64) as usize) {
                        *word |= 1 << (fd % 64);
                    }
                    total += 1;
                }
            }
            write_words(caller, address, self.count, &found)?;
        }
        Ok(total)
    }
}

/// Bytes of a set of `count` bits, in whole words as Linux moves them.
fn read_words(caller: Caller<'_>, address: u64, count: u32, words: usize) -> SysResult<Vec<u64>> {
    let mut set = caller.memory().read_array::<u64>(address, words)?;
    if !count.is_multiple_of(64)
        && let Some(last) = set.last_mut()
    {
        *last &= (1 << (count % 64)) - 1;
    }
    Ok(set)
}

fn write_words(caller: Caller<'_>, address: u64, _count: u32, set: &[u64]) -> SysResult<()> {
    for (at, word) in set.iter().enumerate() {
        caller.memory().write(address.wrapping_add(at as u64 * 8), word)?;
    }
    Ok(())
}

fn has_bit(set: &[u64], fd: u32) -> bool {
    set.get((fd / 64) as usize).is_some_and(|word| word >> (fd % 64) & 1 != 0)
}

/// select(2).
pub(crate) async fn sys_select(caller: Caller<'_>, args: [u64; 6]) -> SysResult {
    let [count, read, write, except, timeout, _] = args;
    let span = match timeout {
        0 => None,
        address => {
            let time: Timeval = caller.memory().read(address)?;
            // As Linux, microseconds beyond a second are carried over.
            let time = Timeval {
                tv_sec: time.tv_sec.saturating_add(time.tv_usec.div_euclid(1_000_000)),
                tv_usec: time.tv_usec.rem_euclid(1_000_000),
            };
            Some(nanos_of_timeval(time).ok_or(Errno::EINVAL)?)
        }
    };
    let patience = Patience::of(caller, span);
    let outcome = select(caller, count, [read, write, except], patience, None).await;
    write_rest(caller, timeout, patience, crate::clock::timeval);
    outcome
}

/// pselect6(2).
pub(crate) async fn sys_pselect6(caller: Caller<'_>, args: [u64; 6]) -> SysResult {
    let [count, read, write, except, timeout, packed] = args;
    let patience = read_timespec(caller, timeout)?;
    let mask = match packed {
        0 => None,
        address => {
            let mask: u64 = caller.memory().read(address)?;
            let size: u64 = caller.memory().read(address.wrapping_add(8))?;
            read_mask(caller, mask, size)?
        }
    };
    let outcome = select(caller, count, [read, write, except], patience, mask).await;
    write_rest(caller, timeout, patience, timespec);
    outcome
}

async fn select(
    caller: Caller<'_>,
    count: u64,
    addresses: [u64; 3],
    patience: Patience,
    mask: Option<SigSet>,
) -> SysResult {
    let sets = Sets::read(caller, count, addresses)?;
    let (mut watch, fds) = sets.watch(caller)?;
    match with_mask(caller, mask, wait(caller, &mut watch, patience)).await {
        Some(_) => sets.write(caller, &watch, &fds),
        None => Err(SysError::Restart(Restart::NoHand)),
    }
}

/// Runs a wait with another signal mask. Interrupted (`None`), the old mask comes back after the handler.
pub(crate) async fn with_mask<T>(
    caller: Caller<'_>,
    mask: Option<SigSet>,
    wait: impl Future<Output = Option<T>>,
) -> Option<T> {
    let Some(mask) = mask else { return wait.await };
    caller.set_temporary_mask(mask);
    let outcome = wait.await;
    if outcome.is_some() {
        let kick = caller.process.signals().restore_mask(caller.thread.signals());
        caller.kick_own(kick);
    }
    outcome
}

/// A mask that a call brings; `None` if it does not.
pub(crate) fn read_mask(caller: Caller<'_>, address: u64, size: u64) -> SysResult<Option<SigSet>> {
    if address == 0 {
        return Ok(None);
    }
    if size != 8 {
        return Err(Errno::EINVAL.into());
    }
    Ok(Some(SigSet(caller.memory().read::<u64>(address)?)))
}

fn read_timespec(caller: Caller<'_>, address: u64) -> SysResult<Patience> {
    if address == 0 {
        return Ok(Patience::Forever);
    }
    let time: Timespec = caller.memory().read(address)?;
    Ok(Patience::of(caller, Some(nanos(time).ok_or(Errno::EINVAL)?)))
}

/// Linux tells how much time was left. It is no error if that cannot be stored.
fn write_rest<T: Wire>(caller: Caller<'_>, address: u64, patience: Patience, show: impl Fn(Nanos) -> T) {
    if address == 0 || caller.process.personality() & STICKY_TIMEOUTS != 0 {
        return;
    }
    let left = match patience {
        Patience::Until(deadline) => deadline.saturating_sub(caller.system.platform.now()),
        Patience::None | Patience::Forever => Nanos::ZERO,
    };
    let _ = caller.memory().write(address, &show(left));
}
