//! System V IPC: sets of semaphores, segments of shared memory, message queues.
//!
//! `process::ipc` has identifiers, rights, semaphores and queues; here are the numbers and layouts of the calls, the waiting,
//! and what ties segments to mappings.

use alloc::string::String;
use core::fmt;

use process::ipc::msg::Queue;
use process::ipc::sem::Set;
use process::ipc::{Permissions, Table, msg, sem};
use types::{Credentials, PAGE_SIZE, Pid};
use vfs::mqueue::MessageQueues;

use crate::{Caller, SysResult, System};

mod messages;
mod segments;
mod semaphores;

pub(crate) use messages::{sys_msgctl, sys_msgget, sys_msgrcv, sys_msgsnd};
pub(crate) use segments::{sys_shmat, sys_shmctl, sys_shmdt, sys_shmget};
pub(crate) use semaphores::{process_left, sys_semctl, sys_semget, sys_semtimedop};

use segments::Segment;

const PAGE: u64 = PAGE_SIZE as u64;
/// Most segments.
const SEGMENTS: u32 = 4096;
/// SHMMAX and SHMALL.
const SHM_LARGEST: u64 = u64::MAX - (1 << 24);

const IPC_RMID: u32 = 0;
const IPC_SET: u32 = 1;
const IPC_STAT: u32 = 2;
const IPC_INFO: u32 = 3;

/// The objects of one namespace: nobody finds those of another, neither by key nor by identifier. They go with the namespace;
/// what is mapped of a segment stays for as long as it is mapped.
pub(crate) struct Ipc {
    id: u32,
    sets: Table<Set>,
    queues: Table<Queue>,
    segments: Table<Segment>,
    /// POSIX message queues, which belong to the same kind of namespace.
    pub(crate) named_queues: MessageQueues,
}

impl Ipc {
    /// None yet. `id` is what /proc/PID/ns/ipc shows.
    pub(crate) fn new(id: u32) -> Self {
        Self {
            id,
            sets: Table::new(sem::SETS),
            queues: Table::new(msg::QUEUES),
            segments: Table::new(SEGMENTS),
            named_queues: MessageQueues::new(),
        }
    }

    /// Its number in /proc/PID/ns.
    pub(crate) const fn id(&self) -> u32 {
        self.id
    }
}

fn now(system: &System) -> i64 {
    system.wall_clock.now_ns().div_euclid(1_000_000_000)
}

/// A structure under construction, zero but for what is put in.
struct Layout<const N: usize>([u8; N]);

impl<const N: usize> Layout<N> {
    const fn new() -> Self {
        Self([0; N])
    }

    fn put<const M: usize>(&mut self, at: usize, value: [u8; M]) {
        if let Some(slot) = self.0.get_mut(at..at + M) {
            slot.copy_from_slice(&value);
        }
    }

    fn int(&mut self, at: usize, value: u32) {
        self.put(at, value.to_le_bytes());
    }

    fn long(&mut self, at: usize, value: u64) {
        self.put(at, value.to_le_bytes());
    }

    /// `struct ipc64_perm` at the start.
    fn permissions(&mut self, of: &Permissions, more_mode: u32) {
        let words = [of.key as u32, of.uid.0, of.gid.0, of.creator_uid.0, of.creator_gid.0, of.mode | more_mode];
        for (at, word) in words.iter().enumerate() {
            self.int(at * 4, *word);
        }
        self.put(24, of.sequence.to_le_bytes());
    }

    fn write(&self, caller: Caller<'_>, to: u64) -> SysResult<()> {
        caller.memory().write_bytes(to, &self.0)
    }
}

/// Owner, group and mode that IPC_SET takes from an `ipc64_perm`.
fn new_permissions(caller: Caller<'_>, from: u64) -> SysResult<(u32, u32, u32)> {
    let word = |at: u64| caller.memory().read::<u32>(from.wrapping_add(at));
    Ok((word(4)?, word(8)?, word(20)?))
}

fn credentials(caller: Caller<'_>) -> Credentials {
    caller.thread.credentials()
}

impl Ipc {
    /// Text of /proc/sysvipc/`kind` (`sem`, `shm`, `msg`) for somebody to whom processes have the numbers `shown`.
    pub(crate) fn report(
        &self,
        system: &System,
        kind: &str,
        shown: impl Fn(Pid) -> u32,
        out: &mut dyn fmt::Write,
    ) -> fmt::Result {
        match kind {
            "sem" => {
                out.write_str(
                    "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n",
                )?;
                for (id, set) in self.sets.all().map(|(all, _)| all).unwrap_or_default() {
                    let info = set.info();
                    let p = &info.permissions;
                    write!(out, "{:>10} {id:>10}  {:>4o} {:>10} {} ", p.key, p.mode, info.count, owners(p))?;
                    writeln!(out, "{:>10} {:>10}", info.operated, info.changed)?;
                }
            }
            "msg" => {
                out.write_str(
                    "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime      rtime      ctime\n",
                )?;
                for (id, queue) in self.queues.all().map(|(all, _)| all).unwrap_or_default() {
                    let info = queue.info();
                    let p = &info.permissions;
                    write!(out, "{:>10} {id:>10}  {:>4o}  {:>10} {:>10} ", p.key, p.mode, info.bytes, info.count)?;
                    write!(out, "{:>5} {:>5} {} ", shown(info.sender), shown(info.receiver), owners(p))?;
                    writeln!(out, "{:>10} {:>10} {:>10}", info.sent, info.received, info.changed)?;
                }
            }
            _ => segments::report(system, self, shown, out)?,
        }
        Ok(())
    }
}

/// Owner and creator, as columns.
fn owners(p: &Permissions) -> String {
    alloc::format!("{:>5} {:>5} {:>5} {:>5}", p.uid.0, p.gid.0, p.creator_uid.0, p.creator_gid.0)
}
