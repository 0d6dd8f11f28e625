//! Sets of semaphores: semget, semop, semtimedop, semctl.

use alloc::vec::Vec;

use abi::{Errno, Timespec};
use process::ipc::sem::{Operation, Set};
use process::ipc::{ALTER, IpcError, Object, READ, sem};
use process::{Process, ProcessFlag};

use super::{IPC_INFO, IPC_RMID, IPC_SET, IPC_STAT, Ipc, Layout, credentials, new_permissions, now};
use crate::clock::nanos;
use crate::wait::{interruptible, until};
use crate::{Caller, Resources, SysResult, System};

pub(crate) fn sys_semget(caller: Caller<'_>, key: u64, count: u64, flags: u64) -> SysResult {
    let count = u32::try_from(count as i32).ok().filter(|count| *count <= sem::PER_SET).ok_or(Errno::EINVAL)?;
    let fits = |set: &Set| if count > set.count() { Err(IpcError::Invalid) } else { Ok(()) };
    let time = now(caller.system);
    let make = |permissions| Set::new(permissions, count, time);
    let id = caller.ipc().sets.get(key as i32, flags as u32, &credentials(caller), fits, make)?;
    Ok(id as u64)
}

/// semop(2) and semtimedop(2).
pub(crate) async fn sys_semtimedop(
    caller: Caller<'_>,
    id: u64,
    operations: u64,
    count: u64,
    timeout: u64,
) -> SysResult {
    let count = count as u32;
    if count == 0 || (id as i32) < 0 {
        return Err(Errno::EINVAL.into());
    }
    if count > sem::OPERATIONS {
        return Err(Errno::E2BIG.into());
    }
    let raw: Vec<[u16; 3]> = {
        let bytes = caller.memory().read_vec(operations, count as usize * 6)?;
        let word = |pair: &[u8]| u16::from_le_bytes(pair.try_into().unwrap_or_default());
        bytes.chunks_exact(6).map(|item| [0, 2, 4].map(|at| item.get(at..at + 2).map_or(0, word))).collect()
    };
    let operations: Vec<Operation> = raw
        .iter()
        .map(|[number, change, flags]| Operation { number: *number, change: *change as i16, flags: u32::from(*flags) })
        .collect();
    let deadline = match timeout {
        0 => None,
        address => {
            let time = nanos(caller.memory().read::<Timespec>(address)?).ok_or(Errno::EINVAL)?;
            Some(caller.system.platform.now() + time)
        }
    };
    let set = caller.ipc().sets.find(id as i32)?;
    if operations.iter().any(|operation| u32::from(operation.number) >= set.count()) {
        return Err(Errno::EFBIG.into());
    }
    let alters = operations.iter().any(|operation| operation.change != 0);
    set.permissions().check(&credentials(caller), if alters { ALTER } else { READ })?;
    if operations.iter().any(|operation| operation.flags & sem::UNDO != 0) {
        caller.process.set_flag(ProcessFlag::SemaphoreUndo);
    }
    let pid = caller.process.pid();
    let attempt = || match set.operate(&operations, pid, now(caller.system)) {
        Err(IpcError::WouldBlock) if !set.must_not_wait(&operations, pid) => None,
        outcome => Some(outcome),
    };
    if let Some(outcome) = attempt() {
        outcome?;
        return Ok(0);
    }
    let waiting = set.wait_for(&operations, pid);
    let granted = set.queue().wait_until(attempt);
    let outcome = until(caller.system, deadline, interruptible(caller.thread, granted)).await;
    drop(waiting);
    match outcome {
        Some(Ok(outcome)) => outcome?,
        // Never tried again, whatever the handler says (signal(7)).
        Some(Err(_)) => return Err(Errno::EINTR.into()),
        None => return Err(Errno::EAGAIN.into()),
    }
    Ok(0)
}

pub(crate) fn sys_semctl(caller: Caller<'_>, id: u64, number: u64, command: u64, arg: u64) -> SysResult {
    const GETPID: u32 = 11;
    const GETVAL: u32 = 12;
    const GETALL: u32 = 13;
    const GETNCNT: u32 = 14;
    const GETZCNT: u32 = 15;
    const SETVAL: u32 = 16;
    const SETALL: u32 = 17;
    const SEM_STAT: u32 = 18;
    const SEM_INFO: u32 = 19;
    const SEM_STAT_ANY: u32 = 20;
    let (id, number, command) = (id as i32, number as i32, command as u32);
    let ipc = caller.ipc();
    let sets = &ipc.sets;
    let who = credentials(caller);
    let (pid, time) = (caller.process.pid(), now(caller.system));
    if id < 0 {
        return Err(Errno::EINVAL.into());
    }
    match command {
        IPC_INFO | SEM_INFO => {
            let (all, highest) = sets.all()?;
            let mut out = Layout::<40>::new();
            let (mut used, mut last) = (20, sem::LARGEST as u32);
            if command == SEM_INFO {
                used = all.len() as u32;
                last = all.iter().map(|(_, set)| set.count()).sum();
            }
            let (sets, each) = (sem::SETS, sem::PER_SET);
            let words = [
                sem::IN_ALL,
                sets,
                sem::IN_ALL,
                sem::IN_ALL,
                each,
                sem::OPERATIONS,
                sem::OPERATIONS,
                used,
                sem::LARGEST as u32,
                last,
            ];
            for (at, word) in words.iter().enumerate() {
                out.int(at * 4, *word);
            }
            out.write(caller, arg)?;
            Ok(highest.into())
        }
        IPC_STAT | SEM_STAT | SEM_STAT_ANY => {
            let (id, set) = if command == IPC_STAT { (0, sets.find(id)?) } else { sets.at(id)? };
            if command != SEM_STAT_ANY {
                set.permissions().check(&who, READ)?;
            }
            let info = set.info();
            let mut out = Layout::<104>::new();
            out.permissions(&info.permissions, 0);
            out.long(48, info.operated as u64);
            out.long(64, info.changed as u64);
            out.long(80, info.count.into());
            out.write(caller, arg)?;
            Ok(id as u64)
        }
        IPC_SET => {
            let new = new_permissions(caller, arg)?;
            sets.find(id)?.set_permissions(&who, new, time)?;
            Ok(0)
        }
        IPC_RMID => {
            let set = sets.find(id)?;
            set.permissions().check_owner(&who)?;
            sets.remove(id);
            set.mark_removed();
            Ok(0)
        }
        GETPID | GETVAL | GETNCNT | GETZCNT => {
            let set = sets.find(id)?;
            set.permissions().check(&who, READ)?;
            let (value, pid, more, zero) = set.semaphore(number)?;
            Ok(match command {
                GETPID => caller.process.shown(pid.0).into(),
                GETVAL => value as u64,
                GETNCNT => more.into(),
                _ => zero.into(),
            })
        }
        GETALL => {
            let set = sets.find(id)?;
            set.permissions().check(&who, READ)?;
            let mut bytes = Vec::new();
            let values = set.values()?;
            bytes.try_reserve_exact(values.len() * 2).map_err(|_| Errno::ENOMEM)?;
            bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            caller.memory().write_bytes(arg, &bytes)?;
            Ok(0)
        }
        SETVAL => {
            let set = sets.find(id)?;
            if u32::try_from(number).is_ok_and(|number| number < set.count()) {
                set.permissions().check(&who, ALTER)?;
            }
            set.set_value(number, arg as i32, pid, time)?;
            Ok(0)
        }
        SETALL => {
            let set = sets.find(id)?;
            set.permissions().check(&who, ALTER)?;
            let values = caller.memory().read_array::<u16>(arg, set.count() as usize)?;
            set.set_values(&values, pid, time)?;
            Ok(0)
        }
        _ => Err(Errno::EINVAL.into()),
    }
}

/// Undoes the semaphore operations of a process that has ended or goes over to other objects.
pub(crate) fn process_left(system: &System, ipc: &Ipc, process: &Process<Resources>) {
    if !process.has_flag(ProcessFlag::SemaphoreUndo) {
        return;
    }
    // Where there is no memory for the list, sets are looked at one by one.
    match ipc.sets.all() {
        Ok((sets, _)) => sets.iter().for_each(|(_, set)| set.process_ended(process.pid(), now(system))),
        Err(_) => {
            for index in 0..sem::SETS as i32 {
                if let Ok((_, set)) = ipc.sets.at(index) {
                    set.process_ended(process.pid(), now(system));
                }
            }
        }
    }
}
