//! Locked memory: mlock, mlock2, munlock, mlockall, munlockall, and how much of it a caller may have.

use abi::Errno;
use abi::linux::general as linux;
use memory::LockMode;
use process::{Resource, UNLIMITED};
use types::{Capabilities, PAGE_SIZE};

use crate::{Caller, SysResult};

const PAGE: u64 = PAGE_SIZE as u64;

pub(crate) fn sys_mlock(caller: Caller<'_>, start: u64, len: u64) -> SysResult {
    lock(caller, start, len, LockMode::Present)
}

pub(crate) fn sys_mlock2(caller: Caller<'_>, start: u64, len: u64, flags: u64) -> SysResult {
    match flags as u32 {
        0 => lock(caller, start, len, LockMode::Present),
        linux::MLOCK_ONFAULT => lock(caller, start, len, LockMode::OnFault),
        _ => Err(Errno::EINVAL.into()),
    }
}

pub(crate) fn sys_munlock(caller: Caller<'_>, start: u64, len: u64) -> SysResult {
    let (start, len) = whole_pages(start, len);
    if len > 0 {
        caller.space.unlock(start, len)?;
    }
    Ok(0)
}

pub(crate) fn sys_mlockall(caller: Caller<'_>, flags: u64) -> SysResult {
    let flags = flags as u32;
    let what = linux::MCL_CURRENT | linux::MCL_FUTURE;
    if flags & what == 0 || flags & !(what | linux::MCL_ONFAULT) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let limit = may_lock(caller)?;
    let mode = if flags & linux::MCL_ONFAULT != 0 { LockMode::OnFault } else { LockMode::Present };
    let asked = |flag: u32| (flags & flag != 0).then_some(mode);
    caller.space.lock_all(asked(linux::MCL_CURRENT), asked(linux::MCL_FUTURE), limit)?;
    Ok(0)
}

pub(crate) fn sys_munlockall(caller: Caller<'_>) -> SysResult {
    caller.space.unlock_all();
    Ok(0)
}

/// How many bytes the caller may lock.
///
/// # Errors
/// EPERM: none.
pub(super) fn may_lock(caller: Caller<'_>) -> SysResult<u64> {
    match limit(caller) {
        0 => Err(Errno::EPERM.into()),
        limit => Ok(limit),
    }
}

/// Tells the space what the caller may lock, before memory is mapped that may have to be.
#[inline]
pub(super) fn note_lock_limit(caller: Caller<'_>) {
    if caller.space.has_locks() {
        caller.space.set_lock_limit(limit(caller));
    }
}

fn limit(caller: Caller<'_>) -> u64 {
    if caller.capable(Capabilities::IPC_LOCK) {
        return UNLIMITED;
    }
    caller.process.limits().soft(Resource::LockedMemory)
}

fn lock(caller: Caller<'_>, start: u64, len: u64, mode: LockMode) -> SysResult {
    let limit = may_lock(caller)?;
    let (start, len) = whole_pages(start, len);
    if len > 0 {
        caller.space.lock(start, len, mode, limit)?;
    }
    Ok(0)
}

/// The pages that `len` bytes from `start` on are in. As on Linux, lengths near 2^64 wrap to nothing.
fn whole_pages(start: u64, len: u64) -> (u64, u64) {
    let first = start & !(PAGE - 1);
    let len = len.wrapping_add(start - first).wrapping_add(PAGE - 1) & !(PAGE - 1);
    (first, len)
}
