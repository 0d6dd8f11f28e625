//! What /proc asks about processes and the system.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::linux::general as linux;
use abi::{Rlimit, SigSet};
use memory::{AddressSpace, AreaKind, FrameKind};
use process::{Dumpable, FsContext, Limit, OnExec, ProcessState, Resource};
use types::{Capabilities, Gid, Nanos, PAGE_SIZE, Pgid, Pid, Sid, Tid, Uid};
use vfs::proc::{
    CpuTimes, FdInfo, IoCounts, LinkKind, Load, MapsLine, MemoryInfo, Namespace as NamespaceKind, NestedNumbers,
    ProcSource, StatTotals, TaskBytes, TaskId, TaskMemory, TaskOwner, TaskSetting, TaskSnapshot, TaskState, TaskWriter,
};
use vfs::{Caller as VfsCaller, DeviceNumber, File, LinkTarget, Location, MountLine, Result, VfsError};

use crate::actor::Files;
use crate::calls::namespaces::NamespaceFile;
use crate::{OpenFile, Process, System, Thread};

const PAGE: u64 = PAGE_SIZE as u64;
/// Most bytes of arguments or environment that are shown.
const MAX_STRINGS: u64 = 256 << 10;

/// The process table as /proc shows it.
pub(crate) struct Processes(pub(crate) &'static System);

impl Processes {
    fn process(&self, pid: Pid) -> Option<Arc<Process>> {
        self.0.processes.process(pid)
    }

    /// The thread meant: the one named, else the first of the process.
    fn thread(&self, task: TaskId) -> Option<Arc<Thread>> {
        let process = self.process(task.pid)?;
        match task.tid {
            Some(tid) => process.thread(tid),
            None => process.first_thread(),
        }
    }

    fn files(&self, task: TaskId) -> Option<Arc<Files>> {
        self.thread(task)?.files()
    }

    fn fs(&self, task: TaskId) -> Result<Arc<FsContext<Location>>> {
        self.thread(task).ok_or(VfsError::NotFound)?.fs().ok_or(VfsError::NotFound)
    }

    fn file(&self, task: TaskId, fd: u32) -> Result<Arc<OpenFile>> {
        let files = self.files(task).ok_or(VfsError::NotFound)?;
        files.get(fd).map_err(|_| VfsError::NotFound)
    }

    /// Path of `place` as the process `caller` sees it.
    fn show(&self, place: &Location, caller: &VfsCaller<'_>) -> Result<Vec<u8>> {
        let viewer = self.process(caller.pid).and_then(|process| process.first_thread());
        match viewer.and_then(|viewer| Some((viewer.namespaces(), viewer.fs()?.root()))) {
            Some((namespace, root)) => place.display_path(&namespace.mounts.table, &root),
            None => {
                let files = self.0.files.get().ok_or(VfsError::NotFound)?;
                place.display_path(files.namespace(), &files.namespace().root())
            }
        }
    }
}

impl ProcSource for Processes {
    fn next_pid(&self, from: Pid) -> Option<Pid> {
        self.0.processes.next_process(from).map(|process| process.pid())
    }

    fn next_tid(&self, pid: Pid, from: Tid) -> Option<Tid> {
        let process = self.process(pid)?;
        let mut lowest = None;
        process.for_each_thread(|thread| {
            let tid = thread.tid();
            if tid >= from && lowest.is_none_or(|lowest| tid < lowest) {
                lowest = Some(tid);
            }
        });
        // A zombie still shows its first thread.
        let zombie = || (process.thread_count() == 0 && Tid::from(pid) >= from).then(|| Tid::from(pid));
        lowest.or_else(zombie)
    }

    fn owner(&self, task: TaskId) -> Option<TaskOwner> {
        let process = self.process(task.pid)?;
        if let Some(tid) = task.tid
            && process.thread(tid).is_none()
            && tid != Tid::from(task.pid)
        {
            return None;
        }
        if process.dumpable() != Dumpable::Yes {
            return Some(TaskOwner { uid: Uid::ROOT, gid: Gid::ROOT });
        }
        let credentials = process.identity().credentials;
        Some(TaskOwner { uid: credentials.euid, gid: credentials.egid })
    }

    fn may_inspect(&self, pid: Pid, caller: &VfsCaller<'_>) -> bool {
        if caller.pid == pid {
            return true;
        }
        let Some(process) = self.process(pid) else { return false };
        if self.process(caller.pid).is_some_and(|viewer| !process::within_walls(&viewer, &process)) {
            return false;
        }
        if caller.credentials.capable(Capabilities::SYS_PTRACE) {
            return true;
        }
        let target = process.identity().credentials;
        let (uid, gid) = (caller.credentials.fsuid, caller.credentials.fsgid);
        [target.ruid, target.euid, target.suid] == [uid; 3]
            && [target.rgid, target.egid, target.sgid] == [gid; 3]
            && process.dumpable() == Dumpable::Yes
    }

    fn task(&self, task: TaskId) -> Option<TaskSnapshot> {
        let process = self.process(task.pid)?;
        let thread = match task.tid {
            // The first thread of a zombie is gone but still shown.
            Some(tid) if tid != Tid::from(task.pid) || process.thread_count() > 0 => Some(process.thread(tid)?),
            _ => process.thread(Tid::from(task.pid)).or_else(|| process.first_thread()),
        };
        Some(self.snapshot(task, &process, thread.as_deref()))
    }

    fn bytes(&self, pid: Pid, what: TaskBytes) -> Result<Vec<u8>> {
        let process = self.process(pid).ok_or(VfsError::NoProcess)?;
        let ranges = process.image_ranges();
        let (start, end) = match what {
            TaskBytes::CommandLine => ranges.arguments,
            TaskBytes::Environment => ranges.environment,
            TaskBytes::AuxiliaryVector => ranges.auxv,
        };
        let mut text = Vec::new();
        let Some(space) = process.space() else { return Ok(text) };
        let len = end.saturating_sub(start).min(MAX_STRINGS) as usize;
        text.try_reserve_exact(len).map_err(|_| VfsError::NoMemory)?;
        text.resize(len, 0);
        let read = space.read(start, &mut text);
        text.truncate(read);
        Ok(text)
    }

    fn maps(&self, pid: Pid, visit: &mut dyn FnMut(&MapsLine<'_>)) {
        let Some(space) = self.process(pid).and_then(|process| process.space()) else { return };
        let Ok(areas) = space.areas() else { return };
        for area in areas {
            let mut name = String::new();
            let mut id = memory::ObjectId::default();
            match (area.kind, &area.pager) {
                (AreaKind::Heap, _) => name.push_str("[heap]"),
                (AreaKind::Stack, _) => name.push_str("[stack]"),
                (AreaKind::File, Some(pager)) => {
                    id = pager.id();
                    // An unfinished name is shown as far as it goes.
                    let _ = pager.write_name(&mut name);
                }
                (AreaKind::File | AreaKind::Anonymous, _) => {}
            }
            visit(&MapsLine {
                start: area.start,
                end: area.end,
                read: area.prot.contains(memory::Prot::READ),
                write: area.prot.contains(memory::Prot::WRITE),
                execute: area.prot.contains(memory::Prot::EXEC),
                shared: area.sharing == memory::Sharing::Shared,
                offset: area.offset,
                device: DeviceNumber::decode(id.device),
                ino: id.inode,
                name: name.as_bytes(),
                resident: resident(&space, area.start, area.end),
                anonymous: 0,
                locked: area.locked,
            });
        }
    }

    fn mounts(&self, task: TaskId) -> Result<Vec<MountLine>> {
        let thread = self.thread(task).ok_or(VfsError::NoProcess)?;
        let root = thread.fs().ok_or(VfsError::NoProcess)?.root();
        thread.namespaces().mounts.table.list(&root)
    }

    fn next_fd(&self, task: TaskId, from: u32) -> Option<FdInfo> {
        let (fd, file, on_exec) = self.files(task)?.next_open(from)?;
        let metadata = file.metadata();
        let cloexec = if on_exec == OnExec::Close { linux::O_CLOEXEC } else { 0 };
        Some(FdInfo {
            fd,
            readable: file.is_readable(),
            writable: file.is_writable(),
            position: file.position(),
            flags: file.flags() | cloexec,
            mount: file.location().map_or(0, |location| location.mount().id()),
            ino: metadata.ino,
        })
    }

    fn link_text(&self, task: TaskId, link: LinkKind, caller: &VfsCaller<'_>) -> Result<Vec<u8>> {
        match link {
            LinkKind::Exe => self.show(&self.executable(task)?, caller),
            LinkKind::Cwd => self.show(&self.fs(task)?.cwd(), caller),
            LinkKind::Root => self.show(&self.fs(task)?.root(), caller),
            LinkKind::Fd(fd) => {
                let file = self.file(task, fd)?;
                match file.location() {
                    Some(location) => self.show(location, caller),
                    None => {
                        let mut text = String::new();
                        file.file().describe(&mut text).map_err(|_| VfsError::NoMemory)?;
                        Ok(text.into_bytes())
                    }
                }
            }
            LinkKind::Namespace(kind) => {
                let mut text = String::new();
                self.namespace(task, kind)?.describe(&mut text).map_err(|_| VfsError::NoMemory)?;
                Ok(text.into_bytes())
            }
        }
    }

    fn follow(&self, task: TaskId, link: LinkKind, _caller: &VfsCaller<'_>) -> Result<LinkTarget> {
        Ok(match link {
            LinkKind::Exe => LinkTarget::Location(self.executable(task)?),
            LinkKind::Cwd => LinkTarget::Location(self.fs(task)?.cwd()),
            LinkKind::Root => LinkTarget::Location(self.fs(task)?.root()),
            LinkKind::Fd(fd) => {
                let file = self.file(task, fd)?;
                match file.location() {
                    Some(location) => LinkTarget::Location(location.clone()),
                    None => LinkTarget::OpenFile(file),
                }
            }
            LinkKind::Namespace(kind) => {
                LinkTarget::OpenFile(OpenFile::anonymous(Arc::new(self.namespace(task, kind)?), linux::O_RDONLY))
            }
        })
    }

    fn set(&self, task: TaskId, what: TaskSetting, value: &[u8], caller: TaskWriter) -> Result<()> {
        let thread = self.thread(task).ok_or(VfsError::NoProcess)?;
        match what {
            TaskSetting::Name => {
                if caller.pid != task.pid {
                    return Err(VfsError::InvalidArgument);
                }
                // As on Linux with whatever is in it, a newline included.
                let line = value;
                thread.set_name(line);
                Ok(())
            }
            TaskSetting::OomScoreAdj => {
                let text = core::str::from_utf8(value).map_err(|_| VfsError::InvalidArgument)?;
                let adjustment: i32 = text.trim().parse().map_err(|_| VfsError::InvalidArgument)?;
                let privileged = caller.credentials.capable(Capabilities::SYS_RESOURCE);
                thread.process().set_oom_score_adj(adjustment, privileged).map_err(|error| match error {
                    process::ProcessError::AccessDenied => VfsError::PermissionDenied,
                    _ => VfsError::InvalidArgument,
                })
            }
        }
    }

    fn load(&self) -> Load {
        let system = self.0;
        let idle = self.cpu_times().iter().fold(Nanos::ZERO, |sum, cpu| sum + cpu.idle);
        Load {
            uptime: system.platform.now(),
            idle,
            averages: system.load.averages().map(|average| average << (16 - crate::load::FRACTION_BITS)),
            running: system.files.get().map_or(1, |files| files.info.running()).max(1),
            threads: system.processes.thread_count(),
            last_pid: system.processes.processes().map(|process| process.pid()).max().unwrap_or_default(),
        }
    }

    fn stat(&self) -> (Vec<CpuTimes>, StatTotals) {
        let system = self.0;
        let info = system.files.get().map(|files| &files.info);
        let totals = StatTotals {
            interrupts: info.map_or(0, |info| info.interrupts()),
            switches: info.map_or(0, |info| info.switches()),
            boot_time: system.wall_clock.boot_secs(),
            forks: u64::from(system.processes.created_count()),
            running: info.map_or(1, |info| info.running()).max(1),
            blocked: 0,
        };
        (self.cpu_times(), totals)
    }

    fn memory(&self) -> MemoryInfo {
        let stats = self.0.frames.stats();
        let kind = |kind: FrameKind| stats.by_kind.get(kind as usize).copied().unwrap_or(0) * PAGE;
        let file_data = kind(FrameKind::FileData);
        let total = stats.total * PAGE;
        let free = stats.free * PAGE;
        MemoryInfo {
            total,
            free,
            available: free.saturating_sub(stats.reserve * PAGE),
            cached: file_data,
            shared: file_data,
            anonymous: kind(FrameKind::User),
            mapped: 0,
            slab: kind(FrameKind::Heap),
            kernel_stacks: 0,
            page_tables: kind(FrameKind::Table),
            locked: 0,
            per_cpu: 0,
            commit_limit: total / 2,
            committed: kind(FrameKind::User),
        }
    }
}

impl Processes {
    fn namespace(&self, task: TaskId, kind: NamespaceKind) -> Result<NamespaceFile> {
        let process = self.process(task.pid).ok_or(VfsError::NoProcess)?;
        NamespaceFile::of(&process, kind).ok_or(VfsError::NotFound)
    }

    fn executable(&self, task: TaskId) -> Result<Location> {
        let process = self.process(task.pid).ok_or(VfsError::NoProcess)?;
        // A zombie has memory of no program any more.
        process.space().and_then(|_| process.executable()).ok_or(VfsError::NotFound)
    }

    fn cpu_times(&self) -> Vec<CpuTimes> {
        self.0.files.get().map(|files| files.info.cpu_times()).unwrap_or_default()
    }

    fn snapshot(&self, task: TaskId, process: &Arc<Process>, thread: Option<&Thread>) -> TaskSnapshot {
        let terminal = self.0.processes.terminal_of(process.terminal_session());
        let own = match (task.tid, thread) {
            (Some(_), Some(thread)) => thread.usage().snapshot(),
            _ => process.usage().snapshot(),
        };
        let children = process.children_usage();
        let scheduling = thread.map(Thread::scheduling).unwrap_or_default();
        let signals = process.signals();
        let (ignored, caught) = signals.with_actions(|actions| (actions.ignored(), actions.caught()));
        let identity = thread.map_or_else(|| process.identity(), Thread::identity);
        let limits = process.limits();
        let files = thread.and_then(Thread::files);
        let filter = thread.and_then(Thread::filter);
        let realtime = scheduling.policy.is_real_time();
        let nice = i32::from(scheduling.nice);
        let (cpu, uncharged) = thread.map_or_else(Default::default, |thread| self.0.platform.whereabouts(thread));
        TaskSnapshot {
            pid: task.pid,
            tid: task.tid.or_else(|| thread.map(Thread::tid)).unwrap_or(Tid::from(task.pid)),
            name: thread
                .map_or_else(|| process.name(), Thread::name)
                .into_iter()
                .take_while(|byte| *byte != 0)
                .collect(),
            state: state_of(process, task, thread),
            parent: process.parent_pid(),
            group: process.pgid(),
            session: process.sid(),
            tracer: Pid(0),
            terminal: terminal.as_ref().map(|terminal| terminal.device()),
            terminal_foreground: terminal.as_ref().and_then(|terminal| terminal.foreground()),
            flags: 0,
            minor_faults: (own.minor_faults, children.minor_faults),
            major_faults: (own.major_faults, children.major_faults),
            user_time: Nanos(own.user_ns),
            system_time: Nanos(own.system_ns),
            children_user_time: Nanos(children.user_ns),
            children_system_time: Nanos(children.system_ns),
            priority: if realtime { -1 - i32::from(scheduling.rt_priority) } else { 20 + nice },
            nice,
            realtime_priority: u32::from(scheduling.rt_priority),
            policy: scheduling.policy.to_linux(),
            class: (scheduling.class.name(), scheduling.chosen),
            threads: process.thread_count().max(1) as u32,
            start: thread.map_or_else(|| process.created_at(), Thread::started_at),
            memory: memory_of(process),
            registers: (0, 0),
            pending: thread.map_or(SigSet::EMPTY, |thread| thread.signals().private_pending()),
            shared_pending: signals.shared_pending(),
            blocked: thread.map_or(SigSet::EMPTY, |thread| thread.signals().mask()),
            ignored,
            caught,
            signal_queue: (identity.user.signals().queued() as u64, limits.soft(Resource::PendingSignals)),
            exit_signal: process.exit_signal(),
            exit_code: process.exit_status().map_or(0, |status| status.wait_status() as u32),
            cpu: cpu.0,
            cpus_allowed: thread.map_or_else(|| self.0.platform.online(), Thread::affinity),
            credentials: identity.credentials,
            umask: thread.and_then(Thread::fs).map_or(0, |fs| fs.umask()),
            fd_slots: files.as_ref().map_or(0, |files| files.capacity().max(64) as u32),
            fd_count: files.as_ref().map_or(0, |files| files.open_count() as u32),
            voluntary_switches: own.voluntary_switches,
            involuntary_switches: own.involuntary_switches,
            no_new_privileges: thread.is_some_and(Thread::no_new_privs),
            seccomp: filter.as_ref().map_or(0, |filter| filter.mode() as u32),
            nested: numbers_inside(task, process, thread),
            seccomp_filters: filter.as_ref().map_or(0, |filter| filter.count()),
            personality: process.personality(),
            wait_channel: None,
            cgroup: String::from("/"),
            oom_score: (666 + process.oom_score_adj() * 2 / 3).clamp(0, 2000) as u32,
            oom_score_adj: process.oom_score_adj(),
            limits: Resource::ALL.map(|resource| {
                let Limit { soft, hard } = limits.get(resource);
                Rlimit { rlim_cur: soft, rlim_max: hard }
            }),
            io: IoCounts {
                read_chars: own.read_bytes,
                written_chars: own.write_bytes,
                read_calls: own.read_operations,
                write_calls: own.write_operations,
                ..IoCounts::default()
            },
            run_delay: thread.map_or(Nanos::ZERO, Thread::waited) + uncharged,
        }
    }
}

/// What a task is called in the namespaces it is in, but for the first.
fn numbers_inside(task: TaskId, process: &Process, thread: Option<&Thread>) -> Vec<NestedNumbers> {
    let Some(pids) = process.pids() else { return Vec::new() };
    let tid = task.tid.or_else(|| thread.map(Thread::tid)).unwrap_or(Tid::from(task.pid));
    let mut numbers: Vec<NestedNumbers> = pids
        .outwards()
        .map(|pids| {
            let inner = |number: u32| pids.inner(number).unwrap_or(0);
            NestedNumbers {
                pid: Pid(inner(task.pid.0)),
                tid: Tid(inner(tid.0)),
                group: Pgid(inner(process.pgid().0)),
                session: Sid(inner(process.sid().0)),
            }
        })
        .collect();
    numbers.reverse();
    numbers
}

fn state_of(process: &Process, task: TaskId, thread: Option<&Thread>) -> TaskState {
    let state = match (task.tid, thread) {
        (Some(_), Some(thread)) => thread.state(),
        // A process is shown as its first thread is, also when that has left and others have not.
        (None, Some(thread)) if !process.has_ended() => {
            if thread.tid() == Tid::from(process.pid()) {
                thread.state()
            } else {
                ProcessState::Zombie
            }
        }
        _ => process.state(),
    };
    match state {
        ProcessState::New | ProcessState::Ready | ProcessState::Running => TaskState::Running,
        ProcessState::Blocked => TaskState::Sleeping,
        ProcessState::Suspended => TaskState::Stopped,
        ProcessState::Terminated => TaskState::Running,
        ProcessState::Zombie => TaskState::Zombie,
        ProcessState::Defunct => TaskState::Dead,
    }
}

fn memory_of(process: &Process) -> TaskMemory {
    let Some(space) = process.space() else { return TaskMemory::default() };
    let usage = space.usage();
    let ranges = process.image_ranges();
    TaskMemory {
        peak_size: usage.peak_size * PAGE,
        size: usage.size * PAGE,
        locked: usage.locked * PAGE,
        peak_resident: usage.peak_resident * PAGE,
        resident_anonymous: usage.resident * PAGE,
        resident_file: 0,
        resident_shared: 0,
        data: usage.data * PAGE,
        stack: usage.stack * PAGE,
        text: usage.code * PAGE,
        library: 0,
        page_tables: usage.tables * PAGE,
        code_range: ranges.code,
        data_range: ranges.data,
        heap_start: ranges.brk_start,
        stack_start: ranges.stack_start,
        argument_range: ranges.arguments,
        environment_range: ranges.environment,
    }
}

/// Present bytes of a range.
fn resident(space: &AddressSpace, start: u64, end: u64) -> u64 {
    let mut present = 0;
    let mut at = start;
    while at < end {
        let mut chunk = [0; 64];
        let pages = ((end - at) / PAGE).min(chunk.len() as u64);
        let chunk = chunk.get_mut(..pages as usize).unwrap_or_default();
        if chunk.is_empty() || space.mincore(at, chunk).is_err() {
            break;
        }
        present += chunk.iter().filter(|byte| **byte & 1 != 0).count() as u64;
        at += pages * PAGE;
    }
    present * PAGE
}
