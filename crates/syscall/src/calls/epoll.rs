//! epoll_create, epoll_ctl, epoll_wait and their kin.

use alloc::vec::Vec;

use abi::linux::general as linux;
use abi::{Errno, SigSet, Timespec};
use types::{Nanos, USER_END};
use vfs::PollEvents;
use vfs::epoll::{Epoll, EpollChange, EpollEvent};

use crate::calls::poll::{read_mask, with_mask};
use crate::clock::nanos;
use crate::ready::{Waited, wait_for};
use crate::{Caller, OpenFile, SysResult};

/// Events handed out by one call, whatever room the program offers.
const BATCH: usize = 256;

pub(crate) fn sys_epoll_create1(caller: Caller<'_>, flags: u64) -> SysResult {
    let flags = flags as u32;
    if flags & !linux::EPOLL_CLOEXEC != 0 {
        return Err(Errno::EINVAL.into());
    }
    caller.install(OpenFile::anonymous(Epoll::new(), linux::O_RDWR), flags)
}

/// epoll_create(2): its size means nothing any more, but must be positive.
pub(crate) fn sys_epoll_create(caller: Caller<'_>, size: u64) -> SysResult {
    if size as i32 <= 0 {
        return Err(Errno::EINVAL.into());
    }
    sys_epoll_create1(caller, 0)
}

pub(crate) fn sys_epoll_ctl(caller: Caller<'_>, epoll: u64, operation: u64, fd: u64, event: u64) -> SysResult {
    let operation = operation as u32;
    let event = || {
        let mut bytes = [0; EpollEvent::SIZE];
        caller.memory().read_bytes(event, &mut bytes).map(|()| EpollEvent::from_bytes(bytes))
    };
    let change = match operation {
        linux::EPOLL_CTL_DEL => Some(EpollChange::Delete),
        linux::EPOLL_CTL_ADD => Some(EpollChange::Add(event()?)),
        linux::EPOLL_CTL_MOD => Some(EpollChange::Modify(event()?)),
        _ => {
            event()?;
            None
        }
    };
    let instance = caller.file(epoll)?;
    let target = caller.file(fd)?;
    if !target.file().can_be_awaited() {
        return Err(Errno::EPERM.into());
    }
    let instance = instance.downcast::<Epoll>().ok_or(Errno::EINVAL)?;
    let change = change.ok_or(Errno::EINVAL)?;
    instance.control(fd as u32, &target, change)?;
    Ok(0)
}

/// A wait that finds something at once, or does not want to wait; `None`: it has to.
pub(crate) fn epoll_now(caller: Caller<'_>, epoll: u64, events: u64, max: u64, timeout: u64) -> Option<SysResult> {
    match collect(caller, epoll, events, max) {
        Ok(0) if timeout as i32 != 0 => None,
        outcome => Some(outcome),
    }
}

pub(crate) async fn sys_epoll_wait(caller: Caller<'_>, args: [u64; 6]) -> SysResult {
    let [epoll, events, max, timeout, ..] = args;
    let span = u64::try_from(timeout as i32).ok().map(Nanos::from_millis);
    wait(caller, [epoll, events, max], span, None).await
}

pub(crate) async fn sys_epoll_pwait(caller: Caller<'_>, args: [u64; 6]) -> SysResult {
    let [epoll, events, max, timeout, mask, size] = args;
    let mask = read_mask(caller, mask, size)?;
    let span = u64::try_from(timeout as i32).ok().map(Nanos::from_millis);
    wait(caller, [epoll, events, max], span, mask).await
}

pub(crate) async fn sys_epoll_pwait2(caller: Caller<'_>, args: [u64; 6]) -> SysResult {
    let [epoll, events, max, timeout, mask, size] = args;
    let span = match timeout {
        0 => None,
        address => Some(nanos(caller.memory().read::<Timespec>(address)?).ok_or(Errno::EINVAL)?),
    };
    let mask = read_mask(caller, mask, size)?;
    wait(caller, [epoll, events, max], span, mask).await
}

async fn wait(caller: Caller<'_>, args: [u64; 3], span: Option<Nanos>, mask: Option<SigSet>) -> SysResult {
    let [epoll, events, max] = args;
    let deadline = span.map(|span| caller.system.platform.now() + span);
    let ready = collect(caller, epoll, events, max)?;
    if ready > 0 || span == Some(Nanos::ZERO) {
        return Ok(ready);
    }
    let file = caller.file(epoll)?;
    let waiting = async {
        let attempt = || match collect(caller, epoll, events, max) {
            Ok(0) => Err(Errno::EAGAIN.into()),
            outcome => outcome,
        };
        match wait_for(caller, &file, PollEvents::READABLE, deadline, attempt).await {
            Waited::Done(outcome) => Some(outcome),
            Waited::TimedOut => Some(Ok(0)),
            Waited::Interrupted => None,
        }
    };
    // Never restarted (signal(7)).
    with_mask(caller, mask, waiting).await.unwrap_or(Err(Errno::EINTR.into()))
}

fn collect(caller: Caller<'_>, epoll: u64, events: u64, max: u64) -> SysResult {
    let max = max as i32;
    if max <= 0 || max as usize > i32::MAX as usize / EpollEvent::SIZE {
        return Err(Errno::EINVAL.into());
    }
    let end = events.checked_add(max as u64 * EpollEvent::SIZE as u64);
    if end.is_none_or(|end| end > USER_END) {
        return Err(Errno::EFAULT.into());
    }
    let file = caller.file(epoll)?;
    let instance = file.downcast::<Epoll>().ok_or(Errno::EINVAL)?;
    let mut few = [EpollEvent::default(); 8];
    let mut many = Vec::new();
    let wanted = (max as usize).min(BATCH);
    let slots = if wanted <= few.len() || many.try_reserve_exact(wanted).is_err() {
        few.get_mut(..wanted.min(8)).unwrap_or_default()
    } else {
        many.resize(wanted, EpollEvent::default());
        many.as_mut_slice()
    };
    let count = instance.collect(slots);
    for (at, event) in slots.iter().take(count).enumerate() {
        caller.memory().write_bytes(events + (at * EpollEvent::SIZE) as u64, &event.to_bytes())?;
    }
    Ok(count as u64)
}
