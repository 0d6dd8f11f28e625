//! What /proc asks of the kernel: plain snapshots of tasks and of the system.

use alloc::string::String;
use alloc::vec::Vec;

use abi::{Rlimit, SigSet, Signal};
use types::{CpuSet, Credentials, Gid, Nanos, Pgid, Pid, Sid, Tid, Uid};

use crate::{Caller, DeviceNumber, LinkTarget, MountLine, Result, VfsError};

/// Whom a file under /proc/PID tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskId {
    /// The process.
    pub pid: Pid,
    /// One of its threads, for files under /proc/PID/task/TID.
    pub tid: Option<Tid>,
}

/// Who owns the nodes under /proc/PID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskOwner {
    /// Effective user; root if the process is not dumpable.
    pub uid: Uid,
    /// Effective group; likewise.
    pub gid: Gid,
}

/// State letter of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// R: running or ready to.
    Running,
    /// S: waits, signals wake it.
    Sleeping,
    /// D: waits, signals do not wake it.
    DiskSleep,
    /// T: stopped by a signal.
    Stopped,
    /// t: stopped by a tracer.
    Tracing,
    /// Z: ended, not waited for.
    Zombie,
    /// X: about to vanish.
    Dead,
    /// I: an idle kernel task.
    Idle,
}

impl TaskState {
    /// Letter and words as in /proc/PID/status.
    pub(super) const fn names(self) -> (char, &'static str) {
        match self {
            Self::Running => ('R', "running"),
            Self::Sleeping => ('S', "sleeping"),
            Self::DiskSleep => ('D', "disk sleep"),
            Self::Stopped => ('T', "stopped"),
            Self::Tracing => ('t', "tracing stop"),
            Self::Zombie => ('Z', "zombie"),
            Self::Dead => ('X', "dead"),
            Self::Idle => ('I', "idle"),
        }
    }
}

/// Memory of a process, bytes. All zero for a zombie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct TaskMemory {
    /// Largest size of the address space so far.
    pub peak_size: u64,
    /// Size of the address space.
    pub size: u64,
    /// Locked.
    pub locked: u64,
    /// Most resident so far.
    pub peak_resident: u64,
    /// Resident private memory.
    pub resident_anonymous: u64,
    /// Resident pages of files.
    pub resident_file: u64,
    /// Resident shared memory.
    pub resident_shared: u64,
    /// Private writable, the stack apart.
    pub data: u64,
    /// The stack.
    pub stack: u64,
    /// The program's code.
    pub text: u64,
    /// Code of libraries.
    pub library: u64,
    /// Page tables.
    pub page_tables: u64,
    /// Start and end of the program's code.
    pub code_range: (u64, u64),
    /// Start and end of its data.
    pub data_range: (u64, u64),
    /// Start of the heap.
    pub heap_start: u64,
    /// Stack pointer at start.
    pub stack_start: u64,
    /// Where the argument strings lie.
    pub argument_range: (u64, u64),
    /// Where the environment strings lie.
    pub environment_range: (u64, u64),
}

impl TaskMemory {
    /// All resident memory.
    pub const fn resident(&self) -> u64 {
        self.resident_anonymous + self.resident_file + self.resident_shared
    }
}

/// /proc/PID/io.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct IoCounts {
    /// Bytes read by read(2) and its kin.
    pub read_chars: u64,
    /// Bytes written.
    pub written_chars: u64,
    /// Calls that read.
    pub read_calls: u64,
    /// Calls that wrote.
    pub write_calls: u64,
    /// Bytes fetched from a device.
    pub read_bytes: u64,
    /// Bytes sent to a device.
    pub written_bytes: u64,
    /// Bytes whose writing was saved by truncation.
    pub cancelled_bytes: u64,
}

/// Everything that stat, status, statm, limits, io, sched, … tell of one task.
///
/// Fields of the whole process (memory, limits, children's times) are the same in each of its threads; times, faults
/// and switches are the process's sum when [`TaskId::tid`] was `None`.
#[derive(Clone, Debug)]
pub struct TaskSnapshot {
    /// Thread group.
    pub pid: Pid,
    /// Thread.
    pub tid: Tid,
    /// Name, at most 15 bytes.
    pub name: Vec<u8>,
    /// State.
    pub state: TaskState,
    /// Parent; 0 for the first process.
    pub parent: Pid,
    /// Process group.
    pub group: Pgid,
    /// Session.
    pub session: Sid,
    /// Tracer; 0 for none.
    pub tracer: Pid,
    /// Controlling terminal.
    pub terminal: Option<DeviceNumber>,
    /// Foreground group of that terminal.
    pub terminal_foreground: Option<Pgid>,
    /// PF_ flags.
    pub flags: u32,
    /// Faults served without I/O: own, waited-for children's.
    pub minor_faults: (u64, u64),
    /// Faults that needed I/O: own, waited-for children's.
    pub major_faults: (u64, u64),
    /// CPU time in user mode.
    pub user_time: Nanos,
    /// CPU time in the kernel.
    pub system_time: Nanos,
    /// User time of waited-for children.
    pub children_user_time: Nanos,
    /// System time of waited-for children.
    pub children_system_time: Nanos,
    /// Priority as stat shows it: 20 + nice, or -1 - real-time priority.
    pub priority: i32,
    /// Nice value, -20 to 19.
    pub nice: i32,
    /// Real-time priority, 0 for none.
    pub realtime_priority: u32,
    /// Scheduling policy (SCHED_ number).
    pub policy: u32,
    /// Class of scheduling, and whether somebody has chosen it.
    pub class: (&'static str, bool),
    /// Threads of the process.
    pub threads: u32,
    /// Start, since boot.
    pub start: Nanos,
    /// Memory of the process.
    pub memory: TaskMemory,
    /// Instruction pointer and stack pointer of a stopped or exiting task, else 0.
    pub registers: (u64, u64),
    /// Pending for this thread.
    pub pending: SigSet,
    /// Pending for the process.
    pub shared_pending: SigSet,
    /// Blocked.
    pub blocked: SigSet,
    /// Ignored.
    pub ignored: SigSet,
    /// Caught.
    pub caught: SigSet,
    /// Queued signals of its user, and their limit.
    pub signal_queue: (u64, u64),
    /// Signal to the parent at exit; `None`: none.
    pub exit_signal: Option<Signal>,
    /// Exit status as wait4 gives it.
    pub exit_code: u32,
    /// CPU it last ran on.
    pub cpu: u32,
    /// CPUs it may run on.
    pub cpus_allowed: CpuSet,
    /// Rights.
    pub credentials: Credentials,
    /// umask(2).
    pub umask: u32,
    /// Slots of the descriptor table.
    pub fd_slots: u32,
    /// Descriptors open.
    pub fd_count: u32,
    /// Voluntary switches.
    pub voluntary_switches: u64,
    /// Involuntary switches.
    pub involuntary_switches: u64,
    /// PR_SET_NO_NEW_PRIVS.
    pub no_new_privileges: bool,
    /// Seccomp mode: 0 off, 1 strict, 2 filter.
    pub seccomp: u32,
    /// Number of filters.
    pub seccomp_filters: u32,
    /// Its numbers in namespaces inside the one that this /proc shows, outermost first.
    pub nested: Vec<NestedNumbers>,
    /// personality(2).
    pub personality: u32,
    /// Kernel function it waits in, if it waits.
    pub wait_channel: Option<&'static str>,
    /// Its path in the hierarchy of services.
    pub cgroup: String,
    /// Badness, 0 to 2000.
    pub oom_score: u32,
    /// Its adjustment, -1000 to 1000.
    pub oom_score_adj: i32,
    /// Limits by RLIMIT_ number.
    pub limits: [Rlimit; 16],
    /// Counters of I/O.
    pub io: IoCounts,
    /// Time ready but not running.
    pub run_delay: Nanos,
}

/// Numbers of a task in one namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct NestedNumbers {
    /// Thread group.
    pub pid: Pid,
    /// Thread.
    pub tid: Tid,
    /// Process group.
    pub group: Pgid,
    /// Session.
    pub session: Sid,
}

/// Raw memory of a process as a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskBytes {
    /// Arguments, each ended by NUL.
    CommandLine,
    /// Environment, each string ended by NUL.
    Environment,
    /// Auxiliary vector.
    AuxiliaryVector,
}

/// Something of a task that can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskSetting {
    /// Its name.
    Name,
    /// Its oom_score_adj, as text.
    OomScoreAdj,
}

/// Kinds of namespace in /proc/PID/ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Namespace {
    /// cgroup
    Cgroup,
    /// ipc
    Ipc,
    /// mnt
    Mount,
    /// net
    Network,
    /// pid
    Pid,
    /// user
    User,
    /// uts
    Uts,
}

/// A link that is more than text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// The program.
    Exe,
    /// Working directory.
    Cwd,
    /// Root directory.
    Root,
    /// An open descriptor.
    Fd(u32),
    /// A namespace.
    Namespace(Namespace),
}

/// An open descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FdInfo {
    /// Its number.
    pub fd: u32,
    /// Open for reading.
    pub readable: bool,
    /// Open for writing.
    pub writable: bool,
    /// Position.
    pub position: u64,
    /// O_ flags, O_CLOEXEC included.
    pub flags: u32,
    /// Mount it was opened by.
    pub mount: u64,
    /// Inode number.
    pub ino: u64,
}

/// A line of /proc/PID/maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapsLine<'a> {
    /// First address.
    pub start: u64,
    /// One past the last.
    pub end: u64,
    /// Readable.
    pub read: bool,
    /// Writable.
    pub write: bool,
    /// Executable.
    pub execute: bool,
    /// Shared.
    pub shared: bool,
    /// Offset in the file.
    pub offset: u64,
    /// Device of the file.
    pub device: DeviceNumber,
    /// Inode of the file, 0 for none.
    pub ino: u64,
    /// Path, `[heap]`, `[stack]`, or nothing.
    pub name: &'a [u8],
    /// Resident bytes.
    pub resident: u64,
    /// Resident private bytes.
    pub anonymous: u64,
    /// Locked.
    pub locked: bool,
}

/// How busy the system is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Load {
    /// Since boot.
    pub uptime: Nanos,
    /// Idle time, summed over CPUs.
    pub idle: Nanos,
    /// Load averages over 1, 5 and 15 minutes, 16-bit fixed point.
    pub averages: [u64; 3],
    /// Threads that run or are ready.
    pub running: u32,
    /// Threads in all.
    pub threads: u32,
    /// Last pid given out.
    pub last_pid: Pid,
}

/// Times of one CPU since boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct CpuTimes {
    /// In user mode.
    pub user: Nanos,
    /// In user mode with positive nice value.
    pub nice: Nanos,
    /// In the kernel.
    pub system: Nanos,
    /// Idle.
    pub idle: Nanos,
    /// Idle with I/O under way.
    pub io_wait: Nanos,
    /// In interrupts.
    pub interrupts: Nanos,
    /// In deferred interrupt work.
    pub soft_interrupts: Nanos,
    /// Taken by the hypervisor.
    pub steal: Nanos,
}

/// /proc/stat, the CPUs apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct StatTotals {
    /// Interrupts served.
    pub interrupts: u64,
    /// Context switches.
    pub switches: u64,
    /// Boot, seconds since 1970.
    pub boot_time: i64,
    /// Processes and threads made since boot.
    pub forks: u64,
    /// Threads that run or are ready.
    pub running: u32,
    /// Threads in uninterruptible waits.
    pub blocked: u32,
}

/// /proc/meminfo, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct MemoryInfo {
    /// All usable memory.
    pub total: u64,
    /// Free.
    pub free: u64,
    /// Could be had for new programs.
    pub available: u64,
    /// Cached pages of files that could be dropped, and ramfs content.
    pub cached: u64,
    /// Of [`MemoryInfo::cached`], what is ramfs or shared memory.
    pub shared: u64,
    /// Private memory of processes.
    pub anonymous: u64,
    /// File pages mapped.
    pub mapped: u64,
    /// Kernel heap.
    pub slab: u64,
    /// Kernel stacks.
    pub kernel_stacks: u64,
    /// Page tables.
    pub page_tables: u64,
    /// Locked pages.
    pub locked: u64,
    /// Per-CPU data.
    pub per_cpu: u64,
    /// Most that may be promised.
    pub commit_limit: u64,
    /// Promised to processes.
    pub committed: u64,
}

/// One CPU in /proc/cpuinfo.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct CpuInfo {
    /// Vendor string.
    pub vendor: String,
    /// Family.
    pub family: u32,
    /// Model.
    pub model: u32,
    /// Brand string.
    pub model_name: String,
    /// Stepping.
    pub stepping: u32,
    /// Clock, kHz.
    pub khz: u64,
    /// Last-level cache, bytes.
    pub cache: u64,
    /// Package.
    pub physical_id: u32,
    /// CPUs in the package.
    pub siblings: u32,
    /// Core in the package.
    pub core_id: u32,
    /// Cores in the package.
    pub cores: u32,
    /// Interrupt controller's number.
    pub apic_id: u32,
    /// Highest basic CPUID leaf.
    pub cpuid_level: u32,
    /// Feature names, separated by spaces.
    pub flags: String,
    /// Bytes of a cache line.
    pub cache_line: u32,
    /// Bits of physical and virtual addresses.
    pub address_bits: (u32, u32),
}

/// The kernel, as /proc sees it. Numbers are those of the pid namespace that this /proc shows. No method waits.
pub trait ProcSource: Send + Sync {
    /// The lowest process number at or above `from`, zombies included.
    fn next_pid(&self, from: Pid) -> Option<Pid>;
    /// What `caller` and its thread are here; `None` if they cannot be seen here.
    fn own_numbers(&self, caller: &Caller<'_>) -> Option<(Pid, Tid)> {
        (caller.pid != Pid(0)).then_some((caller.pid, caller.tid))
    }
    /// The lowest thread number of `pid` at or above `from`.
    fn next_tid(&self, pid: Pid, from: Tid) -> Option<Tid>;
    /// Owner of the nodes of `task`; `None` if there is no such task.
    fn owner(&self, task: TaskId) -> Option<TaskOwner>;
    /// Whether `caller` may look into the memory and files of `pid` (ptrace(2), PTRACE_MODE_READ).
    fn may_inspect(&self, pid: Pid, caller: &Caller<'_>) -> bool;
    /// Snapshot of a task.
    fn task(&self, task: TaskId) -> Option<TaskSnapshot>;
    /// Memory of a process; empty for a zombie.
    ///
    /// # Errors
    /// [`VfsError::NoProcess`], [`VfsError::NoMemory`].
    fn bytes(&self, pid: Pid, what: TaskBytes) -> Result<Vec<u8>>;
    /// Shows the mappings of a process in ascending order.
    fn maps(&self, pid: Pid, visit: &mut dyn FnMut(&MapsLine<'_>));
    /// Mounts as that task sees them ([`crate::Namespace::list`] with its root).
    ///
    /// # Errors
    /// [`VfsError::NoProcess`], [`VfsError::NoMemory`].
    fn mounts(&self, task: TaskId) -> Result<Vec<MountLine>>;
    /// The lowest open descriptor at or above `from`.
    fn next_fd(&self, task: TaskId, from: u32) -> Option<FdInfo>;
    /// Text of a link.
    ///
    /// # Errors
    /// [`VfsError::NotFound`] if there is nothing to link to.
    fn link_text(&self, task: TaskId, link: LinkKind, caller: &Caller<'_>) -> Result<Vec<u8>>;
    /// Where a link leads.
    ///
    /// # Errors
    /// As for [`ProcSource::link_text`].
    fn follow(&self, task: TaskId, link: LinkKind, caller: &Caller<'_>) -> Result<LinkTarget>;
    /// Changes something of a task.
    ///
    /// # Errors
    /// [`VfsError::InvalidArgument`], [`VfsError::PermissionDenied`], [`VfsError::NoProcess`].
    fn set(&self, task: TaskId, what: TaskSetting, value: &[u8], caller: TaskWriter) -> Result<()> {
        let _ = (task, what, value, caller);
        Err(VfsError::PermissionDenied)
    }
    /// Uptime and load.
    fn load(&self) -> Load;
    /// Times of each CPU and totals.
    fn stat(&self) -> (Vec<CpuTimes>, StatTotals);
    /// Memory of the system.
    fn memory(&self) -> MemoryInfo;
}

/// Who opened a file for writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskWriter {
    /// Its rights then.
    pub credentials: Credentials,
    /// Its process.
    pub pid: Pid,
}
