//! Segments of shared memory: shmget, shmat, shmdt, shmctl.
//!
//! A removed segment lives as long as it is mapped: the table holds it weakly then.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use core::{fmt, ptr};

use abi::Errno;
use memory::{
    Backing, MapFlags, MapRequest, MemoryError, ObjectId, PageAccess, Pager, PagerError, Placement, Prot, SharedMemory,
    Sharing,
};
use process::ipc::{self, ALTER, IpcError, Object, Permissions, READ};
use sync::{Rank, SpinLock};
use types::{Capabilities, Gid, PhysAddr, Pid, USER_END, Uid};

use super::{
    IPC_INFO, IPC_RMID, IPC_SET, IPC_STAT, Ipc, Layout, PAGE, SEGMENTS, SHM_LARGEST, credentials, new_permissions, now,
    owners,
};
use crate::{Caller, SysError, SysResult, System};

/// The number of the device that segments are on, as is other shared memory without a file.
const DEVICE: u64 = 1;
/// How the names of segments begin.
const NAME: &str = "/SYSV";

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

    fn has_page(&self, index: u64) -> bool {
        self.pages.has_page(index)
    }

    fn len_bytes(&self) -> u64 {
        self.pages.len_bytes()
    }

    fn id(&self) -> ObjectId {
        ObjectId { device: DEVICE, inode: *self.id.lock() as u64 }
    }

    fn write_name(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        write!(out, "{NAME}{:08x} (deleted)", self.key)
    }
}

/// Whether that is the memory of a segment, of whatever namespace.
fn is_segment(pager: &Arc<dyn Pager>) -> bool {
    let mut name = String::new();
    pager.id().device == DEVICE && pager.write_name(&mut name).is_ok() && name.starts_with(NAME)
}

/// A segment of shared memory.
pub(super) struct Segment {
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
        ptr::addr_eq(Arc::as_ptr(pager), self.memory.as_ptr())
    }

    fn update(&self, change: impl FnOnce(&mut SegmentState)) {
        change(&mut self.state.lock());
    }
}

/// The segment with that identifier; one that is over is taken out.
fn find_segment(system: &System, ipc: &Ipc, id: i32) -> SysResult<Arc<Segment>> {
    let segment = ipc.segments.find(id)?;
    if segment.is_over(system) {
        drop(ipc.segments.remove(id));
        return Err(Errno::EINVAL.into());
    }
    Ok(segment)
}

/// Takes out all that are over.
fn sweep_segments(system: &System, ipc: &Ipc) {
    for (id, segment) in ipc.segments.all().map(|(all, _)| all).unwrap_or_default() {
        if segment.is_over(system) {
            drop(ipc.segments.remove(id));
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
    let ipc = caller.ipc();
    let id = ipc.segments.get(key as i32, flags, &credentials(caller), fits, make)?;
    if let Ok(segment) = ipc.segments.find(id)
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
    let segment = find_segment(caller.system, &caller.ipc(), id)?;
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
    // The first area that lies where it would if the segment began at that address says which it is; it may be one of a
    // namespace that the caller has left.
    let begins_here = |area: &memory::AreaInfo| area.start >= address && area.start - address == area.offset;
    let pager = |area: &memory::AreaInfo| area.pager.clone().filter(is_segment);
    let found = areas.iter().filter(|area| begins_here(area)).find_map(pager).ok_or(Errno::EINVAL)?;
    for area in areas.iter().filter(|area| begins_here(area)) {
        if area.pager.as_ref().is_some_and(|pager| ptr::addr_eq(Arc::as_ptr(pager), Arc::as_ptr(&found))) {
            caller.space.unmap(area.start, area.end - area.start)?;
        }
    }
    drop(areas);
    let (segments, _) = caller.ipc().segments.all()?;
    let (pid, time) = (caller.process.pid(), now(caller.system));
    if let Some((_, segment)) = segments.iter().find(|(_, segment)| segment.is_behind(&found)) {
        segment.update(|state| {
            state.detached = time;
            state.last = pid;
        });
    }
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
    let ipc = caller.ipc();
    let segments = &ipc.segments;
    let who = credentials(caller);
    if id < 0 {
        return Err(Errno::EINVAL.into());
    }
    match command {
        IPC_INFO => {
            sweep_segments(caller.system, &ipc);
            let (_, highest) = segments.all()?;
            let mut out = Layout::<72>::new();
            for (at, long) in [SHM_LARGEST, 1, SEGMENTS.into(), SEGMENTS.into(), SHM_LARGEST].iter().enumerate() {
                out.long(at * 8, *long);
            }
            out.write(caller, arg)?;
            Ok(highest.into())
        }
        SHM_INFO => {
            sweep_segments(caller.system, &ipc);
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
                if command == IPC_STAT { (0, find_segment(caller.system, &ipc, id)?) } else { segments.at(id)? };
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
            out.int(80, caller.process.shown(segment.creator.0));
            out.int(84, caller.process.shown(state.last.0));
            out.long(88, attachments);
            out.write(caller, arg)?;
            Ok(id as u64)
        }
        IPC_SET => {
            let (uid, gid, mode) = new_permissions(caller, arg)?;
            let segment = find_segment(caller.system, &ipc, id)?;
            segment.permissions().check_owner(&who)?;
            let time = now(caller.system);
            segment.update(|state| {
                state.permissions.set(Uid(uid), Gid(gid), mode);
                state.changed = time;
            });
            Ok(0)
        }
        IPC_RMID => {
            let segment = find_segment(caller.system, &ipc, id)?;
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
            let segment = find_segment(caller.system, &ipc, id)?;
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

/// Text of /proc/sysvipc/shm.
pub(super) fn report(system: &System, ipc: &Ipc, shown: impl Fn(Pid) -> u32, out: &mut dyn fmt::Write) -> fmt::Result {
    out.write_str(
        "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime                   rss                  swap\n",
    )?;
    sweep_segments(system, ipc);
    for (id, segment) in ipc.segments.all().map(|(all, _)| all).unwrap_or_default() {
        let attachments = segment.attachments(system);
        let state = segment.state.lock().clone();
        let p = &state.permissions;
        let more = if state.kept.is_none() { 0o1000 } else { 0 } | if state.locked { 0o2000 } else { 0 };
        let rss = segment.memory.upgrade().map_or(0, |memory| memory.pages.pages() * PAGE);
        write!(out, "{:>10} {id:>10}  {:>4o} {:>21} ", p.key, p.mode | more, segment.size)?;
        write!(out, "{:>5} {:>5}  {attachments:>5} {} ", shown(segment.creator), shown(state.last), owners(p))?;
        write!(out, "{:>10} {:>10} {:>10} ", state.attached, state.detached, state.changed)?;
        writeln!(out, "{rss:>21} {:>21}", 0)?;
    }
    Ok(())
}
