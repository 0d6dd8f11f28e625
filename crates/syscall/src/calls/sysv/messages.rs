//! Message queues: msgget, msgsnd, msgrcv, msgctl.

use abi::Errno;
use process::ipc::msg::Queue;
use process::ipc::{ALTER, IpcError, NO_WAIT, Object, READ, msg};
use process::signal::Restart;

use super::{IPC_INFO, IPC_RMID, IPC_SET, IPC_STAT, Layout, credentials, new_permissions, now};
use crate::wait::interruptible;
use crate::{Caller, SysError, SysResult};

pub(crate) fn sys_msgget(caller: Caller<'_>, key: u64, flags: u64) -> SysResult {
    let time = now(caller.system);
    let make = |permissions| Ok(Queue::new(permissions, time));
    let id = caller.ipc().queues.get(key as i32, flags as u32, &credentials(caller), |_| Ok(()), make)?;
    Ok(id as u64)
}

pub(crate) async fn sys_msgsnd(caller: Caller<'_>, id: u64, message: u64, len: u64, flags: u64) -> SysResult {
    let kind: i64 = caller.memory().read(message)?;
    let id = id as i32;
    if len > msg::MESSAGE as u64 || id < 0 || kind < 1 {
        return Err(Errno::EINVAL.into());
    }
    let mut text = caller.memory().read_vec(message.wrapping_add(8), len as usize)?;
    let queue = caller.ipc().queues.find(id)?;
    queue.permissions().check(&credentials(caller), ALTER)?;
    let pid = caller.process.pid();
    let mut attempt = || match queue.send(kind, &mut text, pid, now(caller.system)) {
        Err(IpcError::WouldBlock) => None,
        outcome => Some(outcome),
    };
    if let Some(outcome) = attempt() {
        outcome?;
        return Ok(0);
    }
    if flags as u32 & NO_WAIT != 0 {
        return Err(Errno::EAGAIN.into());
    }
    let granted = queue.queue().wait_until(attempt);
    match interruptible(caller.thread, granted).await {
        Ok(outcome) => outcome?,
        Err(_) => return Err(SysError::Restart(Restart::NoHand)),
    }
    Ok(0)
}

pub(crate) async fn sys_msgrcv(caller: Caller<'_>, args: [u64; 6]) -> SysResult {
    /// MSG_COPY: a message is looked at, not taken. Not offered, as by a Linux without checkpoints.
    const COPY: u32 = 0o40000;
    let [id, out, room, kind, flags, _] = args;
    let (id, kind, flags) = (id as i32, kind as i64, flags as u32);
    if id < 0 || (room as i64) < 0 {
        return Err(Errno::EINVAL.into());
    }
    if flags & COPY != 0 {
        let contradiction = flags & msg::EXCEPT != 0 || flags & NO_WAIT == 0;
        return Err(if contradiction { Errno::EINVAL } else { Errno::ENOSYS }.into());
    }
    let queue = caller.ipc().queues.find(id)?;
    queue.permissions().check(&credentials(caller), READ)?;
    let pid = caller.process.pid();
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    let attempt = || match queue.receive(kind, room, flags, pid, now(caller.system)) {
        Err(IpcError::WouldBlock) if flags & NO_WAIT != 0 => Some(Err(IpcError::NoMessage)),
        Err(IpcError::WouldBlock) => None,
        outcome => Some(outcome),
    };
    let outcome = match attempt() {
        Some(outcome) => outcome,
        None => match interruptible(caller.thread, queue.queue().wait_until(attempt)).await {
            Ok(outcome) => outcome,
            Err(_) => return Err(SysError::Restart(Restart::NoHand)),
        },
    };
    let (kind, text) = outcome?;
    caller.memory().write(out, &kind)?;
    let text = text.get(..room.min(text.len())).unwrap_or_default();
    caller.memory().write_bytes(out.wrapping_add(8), text)?;
    Ok(text.len() as u64)
}

pub(crate) fn sys_msgctl(caller: Caller<'_>, id: u64, command: u64, arg: u64) -> SysResult {
    const MSG_STAT: u32 = 11;
    const MSG_INFO: u32 = 12;
    const MSG_STAT_ANY: u32 = 13;
    let (id, command) = (id as i32, command as u32);
    let ipc = caller.ipc();
    let queues = &ipc.queues;
    let who = credentials(caller);
    if id < 0 {
        return Err(Errno::EINVAL.into());
    }
    match command {
        IPC_INFO | MSG_INFO => {
            let (all, highest) = queues.all()?;
            let size = msg::QUEUE as u32;
            let mut words = [msg::QUEUES * (size / 1024), size, msg::MESSAGE as u32, size, msg::QUEUES, 16, size];
            if command == MSG_INFO {
                let infos = || all.iter().map(|(_, queue)| queue.info());
                let total = |amounts: u64| amounts as u32;
                words = [
                    all.len() as u32,
                    total(infos().map(|info| info.count).sum()),
                    msg::MESSAGE as u32,
                    size,
                    msg::QUEUES,
                    16,
                    total(infos().map(|info| info.bytes).sum()),
                ];
            }
            let mut out = Layout::<32>::new();
            for (at, word) in words.iter().enumerate() {
                out.int(at * 4, *word);
            }
            out.put(28, 0xffff_u16.to_le_bytes());
            out.write(caller, arg)?;
            Ok(highest.into())
        }
        IPC_STAT | MSG_STAT | MSG_STAT_ANY => {
            let (id, queue) = if command == IPC_STAT { (0, queues.find(id)?) } else { queues.at(id)? };
            if command != MSG_STAT_ANY {
                queue.permissions().check(&who, READ)?;
            }
            let info = queue.info();
            let mut out = Layout::<120>::new();
            out.permissions(&info.permissions, 0);
            let longs =
                [info.sent as u64, info.received as u64, info.changed as u64, info.bytes, info.count, info.limit];
            for (at, long) in longs.iter().enumerate() {
                out.long(48 + at * 8, *long);
            }
            out.int(96, caller.process.shown(info.sender.0));
            out.int(100, caller.process.shown(info.receiver.0));
            out.write(caller, arg)?;
            Ok(id as u64)
        }
        IPC_SET => {
            let new = new_permissions(caller, arg)?;
            let limit: u64 = caller.memory().read(arg.wrapping_add(88))?;
            queues.find(id)?.set(&who, new, limit, now(caller.system))?;
            Ok(0)
        }
        IPC_RMID => {
            let queue = queues.find(id)?;
            queue.permissions().check_owner(&who)?;
            queues.remove(id);
            queue.mark_removed();
            Ok(0)
        }
        _ => Err(Errno::EINVAL.into()),
    }
}
