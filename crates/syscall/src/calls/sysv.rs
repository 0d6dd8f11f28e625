//! System V IPC: sets of semaphores, segments of shared memory, message queues.
//!
//! `process::ipc` has identifiers, rights, semaphores and queues; this file has the numbers and layouts of the calls, the
//! waiting, and what ties segments to mappings. A removed segment lives as long as it is mapped: the table holds it weakly then.

use alloc::collections::BTreeSet;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::fmt;

use abi::{Errno, Timespec};
use memory::{Backing, MapFlags, MapRequest, MemoryError, ObjectId, PageAccess, Pager, PagerError, Placement, Prot};
use memory::{SharedMemory, Sharing};
use process::ipc::msg::{self, Queue};
use process::ipc::sem::{self, Operation, Set};
use process::ipc::{self, ALTER, IpcError, NO_WAIT, Object, Permissions, READ, Table};
use process::signal::Restart;
use process::{Process, ProcessFlag};
use sync::{Rank, SpinLock};
use types::{Capabilities, Credentials, Gid, PAGE_SIZE, PhysAddr, Pid, USER_END, Uid};

use crate::clock::nanos;
use crate::wait::{interruptible, until};
use crate::{Caller, Resources, SysError, SysResult, System};

const PAGE: u64 = PAGE_SIZE as u64;
/// Most segments.
const SEGMENTS: u32 = 4096;
/// SHMMAX and SHMALL.
const SHM_LARGEST: u64 = u64::MAX - (1 << 24);

const IPC_RMID: u32 = 0;
const IPC_SET: u32 = 1;
const IPC_STAT: u32 = 2;
const IPC_INFO: u32 = 3;

/// All objects.
pub struct Ipc {
    sets: Table<Set>,
    queues: Table<Queue>,
    segments: Table<Segment>,
}

impl Ipc {
    /// None yet.
    #[expect(clippy::new_without_default, reason = "there is one, made at boot")]
    pub const fn new() -> Self {
        Self { sets: Table::new(sem::SETS), queues: Table::new(msg::QUEUES), segments: Table::new(SEGMENTS) }
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

// ---- semaphores

pub(crate) fn sys_semget(caller: Caller<'_>, key: u64, count: u64, flags: u64) -> SysResult {
    let count = u32::try_from(count as i32).ok().filter(|count| *count <= sem::PER_SET).ok_or(Errno::EINVAL)?;
    let fits = |set: &Set| if count > set.count() { Err(IpcError::Invalid) } else { Ok(()) };
    let time = now(caller.system);
    let make = |permissions| Set::new(permissions, count, time);
    let id = caller.system.ipc.sets.get(key as i32, flags as u32, &credentials(caller), fits, make)?;
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
    let set = caller.system.ipc.sets.find(id as i32)?;
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
    let sets = &caller.system.ipc.sets;
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
                GETPID => pid.0.into(),
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

/// Undoes the semaphore operations of a process that has ended.
pub(crate) fn process_ended(system: &System, process: &Process<Resources>) {
    if !process.has_flag(ProcessFlag::SemaphoreUndo) {
        return;
    }
    // Where there is no memory for the list, sets are looked at one by one.
    match system.ipc.sets.all() {
        Ok((sets, _)) => sets.iter().for_each(|(_, set)| set.process_ended(process.pid(), now(system))),
        Err(_) => {
            for index in 0..sem::SETS as i32 {
                if let Ok((_, set)) = system.ipc.sets.at(index) {
                    set.process_ended(process.pid(), now(system));
                }
            }
        }
    }
}

// ---- message queues

pub(crate) fn sys_msgget(caller: Caller<'_>, key: u64, flags: u64) -> SysResult {
    let time = now(caller.system);
    let make = |permissions| Ok(Queue::new(permissions, time));
    let id = caller.system.ipc.queues.get(key as i32, flags as u32, &credentials(caller), |_| Ok(()), make)?;
    Ok(id as u64)
}

pub(crate) async fn sys_msgsnd(caller: Caller<'_>, id: u64, message: u64, len: u64, flags: u64) -> SysResult {
    let kind: i64 = caller.memory().read(message)?;
    let id = id as i32;
    if len > msg::MESSAGE as u64 || id < 0 || kind < 1 {
        return Err(Errno::EINVAL.into());
    }
    let mut text = caller.memory().read_vec(message.wrapping_add(8), len as usize)?;
    let queue = caller.system.ipc.queues.find(id)?;
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
    let queue = caller.system.ipc.queues.find(id)?;
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
    let queues = &caller.system.ipc.queues;
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
            out.int(96, info.sender.0);
            out.int(100, info.receiver.0);
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

// ---- shared memory

/// The memory of a segment; each mapping of it holds one reference.
struct SegmentMemory {
    pages: SharedMemory,
    key: i32,
    id: SpinLock<i32>,
}

impl Pager for SegmentMemory {
    fn page(&self, index: u64, access: PageAccess) -> Result<PhysAddr, PagerError> {
        self.pages.page(index, access)
    }

    fn pages_at_hand(&self, first: u64, frames: &mut [Option<PhysAddr>]) {
        self.pages.pages_at_hand(first, frames);
    }

    fn len_bytes(&self) -> u64 {
        self.pages.len_bytes()
    }

    fn id(&self) -> ObjectId {
        ObjectId { device: 1, inode: *self.id.lock() as u64 }
    }

    fn write_name(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        write!(out, "/SYSV{:08x} (deleted)", self.key)
    }
}

/// A segment of shared memory.
struct Segment {
    size: u64,
    creator: Pid,
    memory: Weak<SegmentMemory>,
    state: SpinLock<SegmentState>,
}

#[derive(Clone)]
struct SegmentState {
    permissions: Permissions,
    /// `None`: removed, and there for as long as it is mapped.
    kept: Option<Arc<SegmentMemory>>,
    locked: bool,
    attached: i64,
    detached: i64,
    changed: i64,
    last: Pid,
}

impl Object for Segment {
    const FADES: bool = true;

    fn permissions(&self) -> Permissions {
        self.state.lock().permissions
    }

    fn is_gone(&self) -> bool {
        self.memory.strong_count() == 0
    }
}

impl Segment {
    fn new(system: &System, permissions: Permissions, size: u64, creator: Pid, time: i64) -> Self {
        let memory = Arc::new(SegmentMemory {
            pages: SharedMemory::new(system.frames, size),
            key: permissions.key,
            id: SpinLock::new(Rank::FILE_PAGES, 0),
        });
        let state = SegmentState {
            permissions,
            kept: Some(memory.clone()),
            locked: false,
            attached: 0,
            detached: 0,
            changed: time,
            last: Pid(0),
        };
        Self { size, creator, memory: Arc::downgrade(&memory), state: SpinLock::new(Rank::IPC_OBJECT, state) }
    }

    /// Mappings of it. Counted where they are: after a fork two address spaces share what tells of their mappings.
    fn attachments(&self, system: &System) -> u64 {
        let mut spaces = BTreeSet::new();
        let mut count = 0;
        for process in system.processes.processes() {
            let Some(space) = process.space().filter(|space| spaces.insert(Arc::as_ptr(space).addr())) else {
                continue;
            };
            let areas = space.areas().unwrap_or_default();
            count += areas.iter().filter_map(|area| area.pager.as_ref()).filter(|pager| self.is_behind(pager)).count();
        }
        count as u64
    }

    /// Whether it was removed and nobody maps it any more. (Its memory may stay a little: a CPU may not have let go of the
    /// address space of a process that has ended.)
    fn is_over(&self, system: &System) -> bool {
        let kept = self.state.lock().kept.is_some();
        !kept && self.attachments(system) == 0
    }

    fn is_behind(&self, pager: &Arc<dyn Pager>) -> bool {
        core::ptr::addr_eq(Arc::as_ptr(pager), self.memory.as_ptr())
    }

    fn update(&self, change: impl FnOnce(&mut SegmentState)) {
        change(&mut self.state.lock());
    }
}

/// The segment with that identifier; one that is over is taken out.
fn find_segment(system: &System, id: i32) -> SysResult<Arc<Segment>> {
    let segment = system.ipc.segments.find(id)?;
    if segment.is_over(system) {
        system.ipc.segments.remove(id);
        return Err(Errno::EINVAL.into());
    }
    Ok(segment)
}

/// Takes out all that are over.
fn sweep_segments(system: &System) {
    for (id, segment) in system.ipc.segments.all().map(|(all, _)| all).unwrap_or_default() {
        if segment.is_over(system) {
            system.ipc.segments.remove(id);
        }
    }
}

pub(crate) fn sys_shmget(caller: Caller<'_>, key: u64, size: u64, flags: u64) -> SysResult {
    /// SHM_HUGETLB.
    const HUGE: u32 = 0o4000;
    let flags = flags as u32;
    let system = caller.system;
    let (creator, time) = (caller.process.pid(), now(system));
    let fits = |segment: &Segment| if size > segment.size { Err(IpcError::Invalid) } else { Ok(()) };
    let make = |permissions| {
        if size == 0 || size > SHM_LARGEST {
            return Err(IpcError::Invalid);
        }
        if flags & HUGE != 0 {
            return Err(IpcError::NoMemory);
        }
        if size.div_ceil(PAGE) > USER_END / PAGE {
            return Err(IpcError::NoSpace);
        }
        Ok(Segment::new(system, permissions, size, creator, time))
    };
    let id = system.ipc.segments.get(key as i32, flags, &credentials(caller), fits, make)?;
    if let Ok(segment) = system.ipc.segments.find(id)
        && let Some(memory) = segment.memory.upgrade()
    {
        *memory.id.lock() = id;
    }
    Ok(id as u64)
}

pub(crate) fn sys_shmat(caller: Caller<'_>, id: u64, address: u64, flags: u64) -> SysResult {
    const READ_ONLY: u32 = 0o10000;
    const ROUND: u32 = 0o20000;
    const REMAP: u32 = 0o40000;
    const EXECUTE: u32 = 0o100_000;
    let (id, flags) = (id as i32, flags as u32);
    if id < 0 {
        return Err(Errno::EINVAL.into());
    }
    let mut address = address;
    if !address.is_multiple_of(PAGE) {
        if flags & ROUND == 0 {
            return Err(Errno::EINVAL.into());
        }
        address &= !(PAGE - 1);
        if address == 0 && flags & REMAP != 0 {
            return Err(Errno::EINVAL.into());
        }
    }
    if address == 0 && flags & REMAP != 0 {
        return Err(Errno::EINVAL.into());
    }
    let placement = match address {
        0 => Placement::Hint(0),
        at if flags & REMAP != 0 => Placement::Fixed(at),
        at => Placement::FixedNoReplace(at),
    };
    let segment = find_segment(caller.system, id)?;
    let mut prot = Prot::READ;
    let mut want = READ;
    if flags & READ_ONLY == 0 {
        prot |= Prot::WRITE;
        want |= ALTER;
    }
    if flags & EXECUTE != 0 {
        prot |= Prot::EXEC;
        want |= 0o111;
    }
    segment.permissions().check(&credentials(caller), want)?;
    let memory = segment.memory.upgrade().ok_or(Errno::EIDRM)?;
    let mut max_prot = Prot::all();
    max_prot.set(Prot::WRITE, prot.contains(Prot::WRITE));
    let request = MapRequest {
        placement,
        len: segment.size,
        prot,
        max_prot,
        sharing: Sharing::Shared,
        backing: Backing::File { pager: memory, offset: 0 },
        flags: MapFlags::empty(),
    };
    if address.checked_add(segment.size).is_none_or(|end| end > USER_END) {
        return Err(Errno::EINVAL.into());
    }
    let mapped = caller.space.map(request).map_err(|error| match error {
        MemoryError::Exists => SysError::Errno(Errno::EINVAL),
        error => error.into(),
    })?;
    let (pid, time) = (caller.process.pid(), now(caller.system));
    segment.update(|state| {
        state.attached = time;
        state.last = pid;
    });
    Ok(mapped)
}

pub(crate) fn sys_shmdt(caller: Caller<'_>, address: u64) -> SysResult {
    if !address.is_multiple_of(PAGE) {
        return Err(Errno::EINVAL.into());
    }
    let areas = caller.space.areas()?;
    let (segments, _) = caller.system.ipc.segments.all()?;
    // The first area that lies where it would if the segment began at that address says which it is.
    let first = areas.iter().filter(|area| area.start >= address && area.start - address == area.offset);
    let found = first.filter_map(|area| area.pager.as_ref()).find_map(|pager| {
        segments.iter().find(|(_, segment)| segment.is_behind(pager)).map(|(_, segment)| segment.clone())
    });
    let segment = found.ok_or(Errno::EINVAL)?;
    for area in &areas {
        let ours = area.start >= address
            && area.start - address == area.offset
            && area.pager.as_ref().is_some_and(|pager| segment.is_behind(pager));
        if ours {
            caller.space.unmap(area.start, area.end - area.start)?;
        }
    }
    drop(areas);
    let (pid, time) = (caller.process.pid(), now(caller.system));
    segment.update(|state| {
        state.detached = time;
        state.last = pid;
    });
    Ok(0)
}

pub(crate) fn sys_shmctl(caller: Caller<'_>, id: u64, command: u64, arg: u64) -> SysResult {
    const SHM_LOCK: u32 = 11;
    const SHM_UNLOCK: u32 = 12;
    const SHM_STAT: u32 = 13;
    const SHM_INFO: u32 = 14;
    const SHM_STAT_ANY: u32 = 15;
    /// In the mode: it goes with its last mapping.
    const DESTROYED: u32 = 0o1000;
    const LOCKED: u32 = 0o2000;
    let (id, command) = (id as i32, command as u32);
    let segments = &caller.system.ipc.segments;
    let who = credentials(caller);
    if id < 0 {
        return Err(Errno::EINVAL.into());
    }
    match command {
        IPC_INFO => {
            sweep_segments(caller.system);
            let (_, highest) = segments.all()?;
            let mut out = Layout::<72>::new();
            for (at, long) in [SHM_LARGEST, 1, SEGMENTS.into(), SEGMENTS.into(), SHM_LARGEST].iter().enumerate() {
                out.long(at * 8, *long);
            }
            out.write(caller, arg)?;
            Ok(highest.into())
        }
        SHM_INFO => {
            sweep_segments(caller.system);
            let (all, highest) = segments.all()?;
            let pages: u64 = all.iter().map(|(_, segment)| segment.size.div_ceil(PAGE)).sum();
            let resident: u64 = all.iter().filter_map(|(_, s)| s.memory.upgrade()).map(|m| m.pages.pages()).sum();
            let mut out = Layout::<48>::new();
            out.int(0, all.len() as u32);
            out.long(8, pages);
            out.long(16, resident);
            out.write(caller, arg)?;
            Ok(highest.into())
        }
        IPC_STAT | SHM_STAT | SHM_STAT_ANY => {
            let (id, segment) =
                if command == IPC_STAT { (0, find_segment(caller.system, id)?) } else { segments.at(id)? };
            if command != SHM_STAT_ANY {
                segment.permissions().check(&who, READ)?;
            }
            let attachments = segment.attachments(caller.system);
            let state = segment.state.lock().clone();
            let mut out = Layout::<112>::new();
            let destroyed = if state.kept.is_none() { DESTROYED } else { 0 };
            out.permissions(&state.permissions, destroyed | if state.locked { LOCKED } else { 0 });
            out.long(48, segment.size);
            out.long(56, state.attached as u64);
            out.long(64, state.detached as u64);
            out.long(72, state.changed as u64);
            out.int(80, segment.creator.0);
            out.int(84, state.last.0);
            out.long(88, attachments);
            out.write(caller, arg)?;
            Ok(id as u64)
        }
        IPC_SET => {
            let (uid, gid, mode) = new_permissions(caller, arg)?;
            let segment = find_segment(caller.system, id)?;
            segment.permissions().check_owner(&who)?;
            let time = now(caller.system);
            segment.update(|state| {
                state.permissions.set(Uid(uid), Gid(gid), mode);
                state.changed = time;
            });
            Ok(0)
        }
        IPC_RMID => {
            let segment = find_segment(caller.system, id)?;
            segment.permissions().check_owner(&who)?;
            // It is there, without a key, until the last mapping goes.
            segments.forget_key(id);
            let kept = {
                let mut state = segment.state.lock();
                state.permissions.key = ipc::PRIVATE;
                state.kept.take()
            };
            drop(kept);
            if segment.is_over(caller.system) {
                drop(segments.remove(id));
            }
            Ok(0)
        }
        SHM_LOCK | SHM_UNLOCK => {
            let segment = find_segment(caller.system, id)?;
            if !who.capable(Capabilities::IPC_LOCK) {
                let permissions = segment.permissions();
                if who.euid != permissions.uid && who.euid != permissions.creator_uid {
                    return Err(Errno::EPERM.into());
                }
                if command == SHM_LOCK && caller.process.limit(process::Resource::LockedMemory) == 0 {
                    return Err(Errno::EPERM.into());
                }
            }
            segment.update(|state| state.locked = command == SHM_LOCK);
            Ok(0)
        }
        _ => Err(Errno::EINVAL.into()),
    }
}

impl Ipc {
    /// Text of /proc/sysvipc/`kind` (`sem`, `shm`, `msg`).
    pub(crate) fn report(&self, system: &System, kind: &str, out: &mut dyn fmt::Write) -> fmt::Result {
        let owners = |p: &Permissions| {
            alloc::format!("{:>5} {:>5} {:>5} {:>5}", p.uid.0, p.gid.0, p.creator_uid.0, p.creator_gid.0)
        };
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
                    write!(out, "{:>5} {:>5} {} ", info.sender.0, info.receiver.0, owners(p))?;
                    writeln!(out, "{:>10} {:>10} {:>10}", info.sent, info.received, info.changed)?;
                }
            }
            _ => {
                out.write_str(
                    "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime                   rss                  swap\n",
                )?;
                sweep_segments(system);
                for (id, segment) in self.segments.all().map(|(all, _)| all).unwrap_or_default() {
                    let attachments = segment.attachments(system);
                    let state = segment.state.lock().clone();
                    let p = &state.permissions;
                    let more = if state.kept.is_none() { 0o1000 } else { 0 } | if state.locked { 0o2000 } else { 0 };
                    let rss = segment.memory.upgrade().map_or(0, |memory| memory.pages.pages() * PAGE);
                    write!(out, "{:>10} {id:>10}  {:>4o} {:>21} ", p.key, p.mode | more, segment.size)?;
                    write!(out, "{:>5} {:>5}  {attachments:>5} {} ", segment.creator.0, state.last.0, owners(p))?;
                    write!(out, "{:>10} {:>10} {:>10} ", state.attached, state.detached, state.changed)?;
                    writeln!(out, "{rss:>21} {:>21}", 0)?;
                }
            }
        }
        Ok(())
    }
}
