//! Looking into other processes: process_vm_readv, process_vm_writev, kcmp.

use alloc::sync::Arc;
use core::cmp::Ordering;

use abi::linux::general as linux;
use abi::{Errno, IoVec};
use process::{may_inspect, within_walls};
use types::Tid;

use super::buffers::{Buffers, STEP, with_step};
use crate::{Caller, SysResult, Thread};

/// Which way process_vm_* moves bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the other process.
    Read,
    /// Into the other process.
    Write,
}

/// process_vm_readv(2) and process_vm_writev(2). Pages that are not there end the transfer early, as on Linux.
pub(crate) fn sys_process_vm(caller: Caller<'_>, direction: Direction, args: [u64; 6]) -> SysResult {
    let [pid, local, local_count, remote, remote_count, flags] = args;
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let mut own = Buffers::vector(caller, local, local_count)?;
    if own.left() == 0 {
        return Ok(0);
    }
    if remote_count > u64::from(linux::UIO_MAXIOV) {
        return Err(Errno::EINVAL.into());
    }
    let parts = caller.memory().read_array::<IoVec>(remote, remote_count as usize)?;
    if parts.iter().any(|part| part.len > i64::MAX as u64) {
        return Err(Errno::EINVAL.into());
    }
    let target = inspected(caller, pid)?;
    let space = target.process().space().ok_or(Errno::ESRCH)?;
    let memory = caller.memory();
    let mut done = 0;
    for part in parts {
        let mut moved = 0;
        while moved < part.len && own.left() > 0 {
            let Some(address) = part.base.checked_add(moved) else { break };
            let wanted = (part.len - moved).min(own.left()).min(STEP as u64);
            let copied = with_step(wanted, |buffer| match direction {
                Direction::Read => {
                    let found = space.read(address, buffer);
                    own.put(memory, buffer.get(..found).unwrap_or_default())
                }
                Direction::Write => {
                    let found = own.peek(memory, buffer);
                    let written = space.write(address, buffer.get(..found).unwrap_or_default());
                    own.advance(written as u64);
                    written
                }
            }) as u64;
            moved += copied;
            done += copied;
            if copied < wanted {
                return if done == 0 { Err(Errno::EFAULT.into()) } else { Ok(done) };
            }
        }
    }
    Ok(done)
}

/// kcmp(2): whether two threads share something, else an order between the two.
pub(crate) fn sys_kcmp(caller: Caller<'_>, args: [u64; 6]) -> SysResult {
    let [first, second, kind, fd, other_fd, _] = args;
    let one = inspected(caller, first)?;
    let two = inspected(caller, second)?;
    let (a, b) = match kind as u32 {
        KCMP_FILE => (address(&one.file(fd as u32)?), address(&two.file(other_fd as u32)?)),
        KCMP_VM => (option(&one.process().space()), option(&two.process().space())),
        KCMP_FILES => (option(&one.files()), option(&two.files())),
        KCMP_FS => (option(&one.fs()), option(&two.fs())),
        KCMP_SIGHAND => (one.process().signals().actions_identity(), two.process().signals().actions_identity()),
        // Nobody has an I/O context or semaphore adjustments.
        KCMP_IO | KCMP_SYSVSEM => (0, 0),
        _ => return Err(Errno::EINVAL.into()),
    };
    Ok(match a.cmp(&b) {
        Ordering::Equal => 0,
        Ordering::Less => 1,
        Ordering::Greater => 2,
    })
}

const KCMP_FILE: u32 = 0;
const KCMP_VM: u32 = 1;
const KCMP_FILES: u32 = 2;
const KCMP_FS: u32 = 3;
const KCMP_SIGHAND: u32 = 4;
const KCMP_IO: u32 = 5;
const KCMP_SYSVSEM: u32 = 6;

/// The thread of that number, if the caller may look into it.
fn inspected(caller: Caller<'_>, number: u64) -> SysResult<Arc<Thread>> {
    let thread = caller.system.processes.thread(Tid(number as u32)).ok_or(Errno::ESRCH)?;
    let own = Arc::ptr_eq(thread.process(), caller.process);
    let target = thread.process();
    let rights = || may_inspect(&caller.thread.credentials(), &target.identity().credentials, target.dumpable());
    if !(own || within_walls(caller.process, target) && rights()) {
        return Err(Errno::EPERM.into());
    }
    Ok(thread)
}

fn address<T: ?Sized>(shared: &Arc<T>) -> usize {
    Arc::as_ptr(shared).cast::<()>() as usize
}

fn option<T>(shared: &Option<Arc<T>>) -> usize {
    shared.as_ref().map_or(0, address)
}
