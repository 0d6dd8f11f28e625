//! The process control block.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::num::NonZeroU32;
use core::sync::atomic::{AtomicI32, AtomicU8, AtomicU32, Ordering};

use abi::Signal;
use smallvec::SmallVec;
use sync::{OnceBox, Rank, SpinLock, TimerToken, WaitQueue};
use types::{Nanos, Pgid, Pid, Sid, Tid};

use crate::signal::ProcessSignals;
use crate::timers::{IntervalTimers, PosixTimers};
use crate::{
    Cell, ExitStatus, Identity, LimitDecision, NAME_LEN, OwnResource, PidNamespace, ProcessError, ProcessState,
    RateMeter, Resource, ResourceLimits, ResourceUsage, Resources, Result, StateCell, Thread, UNLIMITED, UsageSnapshot,
    Violations,
};

/// A process: one or more threads with one address space, one set of signal handlers, one place in the tree.
///
/// Kept in an `Arc`: by the process table until it is reaped, by its threads, and by handles (pidfds), which stay valid
/// and never come to mean another process with the same number.
pub struct Process<R: Resources> {
    // ---- fixed at birth
    pid: Pid,
    generation: u32,
    created_at: Nanos,
    cell: Option<Arc<Cell>>,
    pids: Option<Arc<PidNamespace>>,

    // ---- one value each, no lock. The relations are copies of what the tree says, written under its lock.
    life: StateCell,
    parent: AtomicU32,
    group: AtomicU32,
    session: AtomicU32,
    flags: AtomicU32,
    exit_signal: AtomicU8,
    dumpable: AtomicU8,
    isolation: AtomicU8,
    oom_score_adj: AtomicI32,
    personality: AtomicU32,
    cpu_warned_second: AtomicU32,
    usage: ResourceUsage,
    // Made when it first reaps a child.
    children_usage: OnceBox<ResourceUsage>,
    violations: Violations,

    // ---- Rank::PROCESS_THREADS
    threads: SpinLock<ThreadGroup<R>>,

    // ---- Rank::LIMITS
    limits: SpinLock<LimitState>,

    // ---- Rank::PROCESS
    image: SpinLock<Image<R>>,

    // ---- Rank::PROCESS_TIMERS
    timers: OnceBox<SpinLock<ProcessTimers>>,

    // ---- locks of its own inside
    signals: ProcessSignals,
    events: WaitQueue,
    watchers: OnceBox<Arc<WaitQueue>>,
}

/// The threads of a process and how they end.
pub(crate) struct ThreadGroup<R: Resources> {
    // In order of creation. Most processes have one thread.
    pub(crate) list: SmallVec<[Arc<Thread<R>>; 1]>,
    // Threads that have not begun to end.
    pub(crate) live: u32,
    pub(crate) exit: GroupExit,
    // The thread that executes a program and waits for the others to end.
    pub(crate) exec: Option<NonZeroU32>,
}

/// How the process will have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GroupExit {
    /// Not known.
    No,
    /// By what its last thread did.
    Thread(ExitStatus),
    /// All threads were told to end.
    Group(ExitStatus),
}

/// Timers of a process: none after fork, the interval timers survive exec.
#[derive(Debug, Default)]
pub struct ProcessTimers {
    /// alarm and setitimer.
    pub interval: IntervalTimers,
    /// timer_create.
    pub posix: PosixTimers,
    /// The entry in the timer queue that looks at them, and when it is due: one at most, however often they are set.
    pub armed: Option<(Nanos, TimerToken)>,
    /// The second of CPU time in which RLIMIT_CPU last sent SIGXCPU.
    pub cpu_warned: u64,
}

/// Where the parts of the program lie in its memory, for /proc/PID/{stat,cmdline,environ,auxv}; first byte and one past
/// the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ImageRanges {
    /// Instructions.
    pub code: (u64, u64),
    /// Initialised data.
    pub data: (u64, u64),
    /// The stack pointer at the start.
    pub stack_start: u64,
    /// The argument strings.
    pub arguments: (u64, u64),
    /// The environment strings.
    pub environment: (u64, u64),
    /// The auxiliary vector.
    pub auxv: (u64, u64),
    /// Where the heap starts.
    pub brk_start: u64,
}

struct LimitState {
    limits: Arc<ResourceLimits>,
    // Made when a limit on a rate is first asked.
    meters: Option<Box<Meters>>,
}

#[derive(Default)]
struct Meters {
    creation: RateMeter,
    bandwidth: RateMeter,
}

/// The program that a process executes, shared with those forked from it.
pub(crate) struct Program<R: Resources> {
    pub(crate) executable: Option<R::Path>,
    pub(crate) ranges: ImageRanges,
}

/// What the process runs.
struct Image<R: Resources> {
    space: Option<Arc<R::Space>>,
    program: Arc<Program<R>>,
    // As the leader's identity was last set: for signals to and from a process that has no thread left.
    identity: Arc<Identity>,
    // The first thread's name, once that has ended.
    name: [u8; NAME_LEN],
    // The thread that waits for it to execute or end, while `ProcessFlag::VforkPending` is set.
    vfork_parent: Option<Arc<Thread<R>>>,
}

/// Everything a process is born with.
pub(crate) struct NewProcess<R: Resources> {
    pub(crate) pid: Pid,
    pub(crate) generation: u32,
    pub(crate) created_at: Nanos,
    pub(crate) cell: Option<Arc<Cell>>,
    pub(crate) pids: Option<Arc<PidNamespace>>,
    pub(crate) flags: u32,
    pub(crate) exit_signal: Option<Signal>,
    pub(crate) dumpable: Dumpable,
    pub(crate) isolation: IsolationLevel,
    pub(crate) oom_score_adj: i32,
    pub(crate) personality: u32,
    pub(crate) limits: Arc<ResourceLimits>,
    pub(crate) space: Arc<R::Space>,
    pub(crate) program: Arc<Program<R>>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) signals: ProcessSignals,
    pub(crate) vfork_parent: Option<Arc<Thread<R>>>,
}

/// Flags of a process; independent bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ProcessFlag {
    /// It adopts orphans among its descendants (PR_SET_CHILD_SUBREAPER).
    Subreaper = 1 << 0,
    /// It has executed a program since it was forked.
    Executed = 1 << 2,
    /// A debugger follows it.
    Traced = 1 << 3,
    /// Its program had the set-user-id bit and it was honoured.
    SetUid = 1 << 4,
    /// Its program had the set-group-id bit and it was honoured.
    SetGid = 1 << 5,
    /// Its parent waits for it to execute or end (CLONE_VFORK).
    VforkPending = 1 << 6,
    /// It shares its address space with another process (CLONE_VM).
    SharesSpace = 1 << 7,
    /// It has given up its session's terminal (TIOCNOTTY by one that does not lead the session); inherited.
    NoTerminal = 1 << 8,
    /// It was killed for want of memory.
    OutOfMemory = 1 << 9,
    /// It asked for no huge pages (PR_SET_THP_DISABLE).
    NoHugePages = 1 << 10,
    /// It wants to know of memory errors early (PR_MCE_KILL).
    MceEarly = 1 << 11,
    /// It wants to know of memory errors only when it meets them (PR_MCE_KILL).
    MceLate = 1 << 12,
    /// Some limit of MultiOS's own is in force.
    Limited = 1 << 16,
    /// It was asked to end, and is killed when its time is up.
    Doomed = 1 << 13,
    /// Its end undoes semaphore operations (SEM_UNDO).
    SemaphoreUndo = 1 << 15,
}

/// PR_SET_DUMPABLE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum Dumpable {
    /// Others of the same user may not inspect it (set-id programs).
    No = 0,
    /// They may.
    #[default]
    Yes = 1,
    /// Only root may read its dumps.
    RootOnly = 2,
}

/// How far a process is kept apart from others; can only be raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
#[repr(u8)]
pub enum IsolationLevel {
    /// An address space of its own.
    #[default]
    Process = 0,
    /// And its own view of pids, mounts, host name and IPC.
    Namespace = 1,
    /// And a call filter, quotas, no new privileges.
    Container = 2,
}

impl<R: Resources> ThreadGroup<R> {
    /// Takes `thread` off the list; nothing if it is not there.
    pub(crate) fn remove(&mut self, thread: &Arc<Thread<R>>) -> Option<Arc<Thread<R>>> {
        if let [only] = self.list.as_slice() {
            return if Arc::ptr_eq(only, thread) { self.list.pop() } else { None };
        }
        let at = self.list.iter().position(|other| Arc::ptr_eq(other, thread))?;
        Some(self.list.remove(at))
    }
}

impl IsolationLevel {
    /// The level of that number.
    ///
    /// # Errors
    /// `NotSupported` for 3, a virtual machine of its own, which this kernel cannot give; `InvalidArgument` for others.
    pub const fn from_number(number: u64) -> Result<Self> {
        match number {
            0 => Ok(Self::Process),
            1 => Ok(Self::Namespace),
            2 => Ok(Self::Container),
            3 => Err(ProcessError::NotSupported),
            _ => Err(ProcessError::InvalidArgument),
        }
    }
}

impl<R: Resources> Process<R> {
    pub(crate) fn new(new: NewProcess<R>) -> Self {
        let group = ThreadGroup { list: SmallVec::new(), live: 0, exit: GroupExit::No, exec: None };
        let limits = LimitState { limits: new.limits, meters: None };
        let image = Image {
            space: Some(new.space),
            program: new.program,
            identity: new.identity,
            name: [0; NAME_LEN],
            vfork_parent: new.vfork_parent,
        };
        Self {
            pid: new.pid,
            generation: new.generation,
            created_at: new.created_at,
            cell: new.cell,
            pids: new.pids,
            life: StateCell::alive(),
            parent: AtomicU32::new(0),
            group: AtomicU32::new(0),
            session: AtomicU32::new(0),
            flags: AtomicU32::new(new.flags),
            exit_signal: AtomicU8::new(new.exit_signal.map_or(0, Signal::number)),
            dumpable: AtomicU8::new(new.dumpable as u8),
            isolation: AtomicU8::new(new.isolation as u8),
            oom_score_adj: AtomicI32::new(new.oom_score_adj),
            personality: AtomicU32::new(new.personality),
            cpu_warned_second: AtomicU32::new(0),
            usage: ResourceUsage::default(),
            children_usage: OnceBox::new(),
            violations: Violations::new(),
            threads: SpinLock::new(Rank::PROCESS_THREADS, group),
            limits: SpinLock::new(Rank::LIMITS, limits),
            image: SpinLock::new(Rank::PROCESS, image),
            timers: OnceBox::new(),
            signals: new.signals,
            events: WaitQueue::new(),
            watchers: OnceBox::new(),
        }
    }

    // ---- who it is

    /// Its number (getpid).
    #[inline]
    pub const fn pid(&self) -> Pid {
        self.pid
    }

    /// Which holder of that number it is.
    pub const fn generation(&self) -> u32 {
        self.generation
    }

    /// Whether it is the first process.
    #[inline]
    pub fn is_init(&self) -> bool {
        self.pid == Pid::INIT
    }

    /// When it was made.
    pub const fn created_at(&self) -> Nanos {
        self.created_at
    }

    /// The life of a service that it belongs to; inherited, never changed.
    pub const fn cell(&self) -> Option<&Arc<Cell>> {
        self.cell.as_ref()
    }

    /// Where its numbers are given, unless that is the first namespace.
    #[inline]
    pub const fn pids(&self) -> Option<&Arc<PidNamespace>> {
        self.pids.as_ref()
    }

    /// What it calls the process, thread, group or session `number`; 0 for one that it cannot see.
    pub fn shown(&self, number: u32) -> u32 {
        self.pids.as_ref().map_or(number, |pids| pids.inner(number).unwrap_or(0))
    }

    /// Whether it is number 1 of a namespace other than the first.
    pub fn leads_pid_namespace(&self) -> bool {
        self.pids.as_ref().is_some_and(|pids| pids.init() == Some(self.pid.0))
    }

    // ---- relations, without a lock

    /// Its parent's number (getppid); 0 for the first process.
    #[inline]
    pub fn parent_pid(&self) -> Pid {
        Pid(self.parent.load(Ordering::Relaxed))
    }

    /// Its group (getpgid).
    #[inline]
    pub fn pgid(&self) -> Pgid {
        Pgid(self.group.load(Ordering::Relaxed))
    }

    /// Its session (getsid).
    #[inline]
    pub fn sid(&self) -> Sid {
        Sid(self.session.load(Ordering::Relaxed))
    }

    /// Whether it leads its session.
    pub fn is_session_leader(&self) -> bool {
        self.sid().0 == self.pid.0
    }

    /// The session whose terminal is its own; 0 once it has given that up.
    pub fn terminal_session(&self) -> Sid {
        if self.has_flag(ProcessFlag::NoTerminal) { Sid(0) } else { self.sid() }
    }

    pub(crate) fn cache_relations(&self, parent: u32, group: u32, session: u32) {
        self.parent.store(parent, Ordering::Relaxed);
        self.group.store(group, Ordering::Relaxed);
        self.session.store(session, Ordering::Relaxed);
    }

    // ---- life

    /// Where in its life it is: the process's own state once it ends, else that of its liveliest thread.
    pub fn state(&self) -> ProcessState {
        let life = self.life.get();
        if life != ProcessState::Ready {
            return life;
        }
        let rank = |state| match state {
            ProcessState::Running => 5,
            ProcessState::Ready => 4,
            ProcessState::Blocked => 3,
            ProcessState::Suspended => 2,
            ProcessState::New => 1,
            ProcessState::Terminated | ProcessState::Zombie | ProcessState::Defunct => 0,
        };
        let threads = self.threads.lock();
        threads.list.iter().map(|thread| thread.state()).max_by_key(|state| rank(*state)).unwrap_or(life)
    }

    pub(crate) const fn life(&self) -> &StateCell {
        &self.life
    }

    /// Whether all its threads have ended: a pidfd is readable then.
    #[inline]
    pub fn has_ended(&self) -> bool {
        matches!(self.life.get(), ProcessState::Zombie | ProcessState::Defunct)
    }

    /// Whether it has been reaped: no number refers to it any more.
    pub fn is_reaped(&self) -> bool {
        self.life.get() == ProcessState::Defunct
    }

    /// How it ended or is going to end, once that is certain.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        match self.threads.lock().exit {
            GroupExit::Group(status) => Some(status),
            GroupExit::Thread(status) if self.has_ended() => Some(status),
            GroupExit::Thread(_) | GroupExit::No => None,
        }
    }

    /// Whether it has been told to end as a whole.
    pub fn is_ending(&self) -> bool {
        matches!(self.threads.lock().exit, GroupExit::Group(_)) || self.life.get().is_ending()
    }

    /// Woken when a child ends, stops or continues, for wait(2), and when the process itself ends, executes a program or
    /// loses a thread, for exec.
    pub const fn events(&self) -> &WaitQueue {
        &self.events
    }

    /// Woken when the process itself ends, executes a program or loses a thread: a queue that open files can keep. Made at
    /// the first call.
    pub fn watchers(&self) -> &Arc<WaitQueue> {
        self.watchers.get_or_init(|| Box::new(Arc::new(WaitQueue::new())))
    }

    pub(crate) fn existing_watchers(&self) -> Option<&Arc<WaitQueue>> {
        self.watchers.get()
    }

    /// The signal its parent gets when it ends; none for some clones.
    pub fn exit_signal(&self) -> Option<Signal> {
        Signal::new(u64::from(self.exit_signal.load(Ordering::Relaxed)))
    }

    pub(crate) fn set_exit_signal(&self, signal: Option<Signal>) {
        self.exit_signal.store(signal.map_or(0, Signal::number), Ordering::Relaxed);
    }

    /// Whether the thread that made it by vfork may go on: it has executed a program or ended.
    pub fn vfork_released(&self) -> bool {
        !self.has_flag(ProcessFlag::VforkPending)
    }

    /// Lets the thread that made it by vfork go on; that one, to be woken, the first time.
    pub(crate) fn release_vfork(&self) -> Option<Arc<Thread<R>>> {
        if !self.has_flag(ProcessFlag::VforkPending) {
            return None;
        }
        let parent = self.image.lock().vfork_parent.take();
        self.clear_flag(ProcessFlag::VforkPending);
        parent
    }

    // ---- flags and settings

    /// Whether the flag is set.
    #[inline]
    pub fn has_flag(&self, flag: ProcessFlag) -> bool {
        self.flags.load(Ordering::Acquire) & flag as u32 != 0
    }

    /// Sets a flag; whether it was set before.
    pub fn set_flag(&self, flag: ProcessFlag) -> bool {
        self.flags.fetch_or(flag as u32, Ordering::AcqRel) & flag as u32 != 0
    }

    /// Clears a flag; whether it was set before.
    pub fn clear_flag(&self, flag: ProcessFlag) -> bool {
        self.flags.fetch_and(!(flag as u32), Ordering::AcqRel) & flag as u32 != 0
    }

    /// Whether others may inspect it.
    pub fn dumpable(&self) -> Dumpable {
        match self.dumpable.load(Ordering::Relaxed) {
            0 => Dumpable::No,
            1 => Dumpable::Yes,
            _ => Dumpable::RootOnly,
        }
    }

    /// Sets whether others may inspect it.
    pub fn set_dumpable(&self, dumpable: Dumpable) {
        self.dumpable.store(dumpable as u8, Ordering::Relaxed);
    }

    /// How far it is kept apart.
    pub fn isolation(&self) -> IsolationLevel {
        match self.isolation.load(Ordering::Relaxed) {
            0 => IsolationLevel::Process,
            1 => IsolationLevel::Namespace,
            _ => IsolationLevel::Container,
        }
    }

    /// Raises the isolation level; a lower one changes nothing.
    pub fn raise_isolation(&self, level: IsolationLevel) {
        self.isolation.fetch_max(level as u8, Ordering::Relaxed);
    }

    /// Its eagerness to be killed for want of memory, -1000 to 1000.
    pub fn oom_score_adj(&self) -> i32 {
        self.oom_score_adj.load(Ordering::Relaxed)
    }

    /// Sets that.
    ///
    /// # Errors
    /// `InvalidArgument` outside -1000 to 1000; `AccessDenied` if it would fall without CAP_SYS_RESOURCE.
    pub fn set_oom_score_adj(&self, value: i32, privileged: bool) -> Result<()> {
        if !(-1000..=1000).contains(&value) {
            return Err(ProcessError::InvalidArgument);
        }
        if value < self.oom_score_adj() && !privileged {
            return Err(ProcessError::AccessDenied);
        }
        self.oom_score_adj.store(value, Ordering::Relaxed);
        Ok(())
    }

    /// Linux's personality bits.
    pub fn personality(&self) -> u32 {
        self.personality.load(Ordering::Relaxed)
    }

    /// Sets the personality bits; the old ones.
    pub fn set_personality(&self, bits: u32) -> u32 {
        self.personality.swap(bits, Ordering::Relaxed)
    }

    // ---- usage and limits

    /// What its threads have used, those that ended included.
    #[inline]
    pub const fn usage(&self) -> &ResourceUsage {
        &self.usage
    }

    /// What its reaped children and their reaped descendants have used (RUSAGE_CHILDREN).
    pub fn children_usage(&self) -> UsageSnapshot {
        self.children_usage.get().map_or_else(UsageSnapshot::default, ResourceUsage::snapshot)
    }

    pub(crate) fn existing_children_usage(&self) -> Option<&ResourceUsage> {
        self.children_usage.get()
    }

    /// Adds what a reaped child and its reaped descendants have used.
    pub(crate) fn add_children_usage(&self, usage: &UsageSnapshot) {
        self.children_usage.get_or_init(Box::default).add(usage);
    }

    /// How often it crossed MultiOS's own limits.
    pub const fn violations(&self) -> &Violations {
        &self.violations
    }

    /// Its limits now.
    pub fn limits(&self) -> Arc<ResourceLimits> {
        self.limits.lock().limits.clone()
    }

    /// The soft value of one limit.
    #[inline]
    pub fn limit(&self, resource: Resource) -> u64 {
        self.limits.lock().limits.soft(resource)
    }

    /// Changes its limits by `change`, which sees and edits a copy; nothing changes if it fails.
    ///
    /// # Errors
    /// Those of `change`.
    pub fn change_limits<T>(&self, change: impl FnOnce(&mut ResourceLimits) -> Result<T>) -> Result<T> {
        let mut copy = ResourceLimits::clone(&self.limits());
        // Two changes at once: the later one wins, each is consistent in itself, as with setrlimit on Linux.
        let result = change(&mut copy)?;
        self.replace_limits(copy);
        Ok(result)
    }

    /// Puts limits in force that were made from its own.
    pub(crate) fn replace_limits(&self, copy: ResourceLimits) {
        if copy.binds() || self.cell.as_ref().is_some_and(|cell| cell.limits_io()) {
            self.set_flag(ProcessFlag::Limited)
        } else {
            self.clear_flag(ProcessFlag::Limited)
        };
        let old = core::mem::replace(&mut self.limits.lock().limits, Arc::new(copy));
        drop(old);
        trace!("limits: pid={} changed", self.pid());
    }

    /// Whether some limit of MultiOS's own is in force.
    #[inline]
    pub fn is_limited(&self) -> bool {
        self.has_flag(ProcessFlag::Limited)
    }

    /// What the bandwidth limit says at `now` to more bytes: nothing, until those moved already are paid for.
    pub fn bandwidth_debt(&self, now: Nanos) -> LimitDecision {
        let own = {
            let state = self.limits.lock();
            let limit = state.limits.own(OwnResource::Bandwidth);
            state.meters.as_ref().map_or(LimitDecision::Allow, |meters| meters.bandwidth.debt(limit, now))
        };
        match (own, &self.cell) {
            (LimitDecision::Allow, Some(cell)) => cell.io_debt(now),
            _ => own,
        }
    }

    /// Charges the bandwidth limit, and that of its cell, with bytes that were moved.
    pub fn spend_bandwidth(&self, bytes: u64, now: Nanos) {
        if let Some(cell) = &self.cell {
            cell.spend_io(bytes, now);
        }
        let mut state = self.limits.lock();
        let limit = state.limits.own(OwnResource::Bandwidth);
        if limit.value != UNLIMITED {
            state.meters.get_or_insert_default().bandwidth.spend(limit, bytes, now);
        }
    }

    /// Asks for one more child at `now` under the creation-rate limit.
    pub(crate) fn take_creation(&self, now: Nanos) -> LimitDecision {
        let mut state = self.limits.lock();
        let limit = state.limits.own(OwnResource::CreationRate);
        if limit.value == UNLIMITED {
            return LimitDecision::Allow;
        }
        state.meters.get_or_insert_default().creation.take(limit, 1, now)
    }

    /// Asks about the CPU time used so far (RLIMIT_CPU and the limit in nanoseconds); to be called when time is charged.
    pub fn check_cpu_time(&self) -> LimitDecision {
        let limits = self.limits.lock();
        let warned = self.cpu_warned_second.load(Ordering::Relaxed);
        let (decision, second) = limits.limits.check_cpu_time(self.usage.cpu_time(), u64::from(warned));
        self.cpu_warned_second.store(u32::try_from(second).unwrap_or(u32::MAX), Ordering::Relaxed);
        decision
    }

    // ---- memory and program

    /// Its address space; nothing once its last thread ends.
    pub fn space(&self) -> Option<Arc<R::Space>> {
        self.image.lock().space.clone()
    }

    pub(crate) fn replace_space(&self, space: Option<Arc<R::Space>>) -> Option<Arc<R::Space>> {
        core::mem::replace(&mut self.image.lock().space, space)
    }

    /// Whether another thread or process may see this one's memory.
    pub fn space_is_shared(&self) -> bool {
        self.has_flag(ProcessFlag::SharesSpace) || self.threads.lock().list.len() > 1
    }

    /// The program it executes.
    pub fn executable(&self) -> Option<R::Path> {
        self.program().executable.clone()
    }

    /// Where the parts of that program lie.
    pub fn image_ranges(&self) -> ImageRanges {
        self.image.lock().program.ranges
    }

    pub(crate) fn program(&self) -> Arc<Program<R>> {
        self.image.lock().program.clone()
    }

    pub(crate) fn replace_program(&self, program: Program<R>) -> Arc<Program<R>> {
        let program = Arc::new(program);
        core::mem::replace(&mut self.image.lock().program, program)
    }

    /// Its interval and POSIX timers; made at the first call.
    pub fn timers(&self) -> &SpinLock<ProcessTimers> {
        self.timers.get_or_init(|| Box::new(SpinLock::new(Rank::PROCESS_TIMERS, ProcessTimers::default())))
    }

    /// Its timers, if it ever had any.
    pub fn existing_timers(&self) -> Option<&SpinLock<ProcessTimers>> {
        self.timers.get()
    }

    /// Whose rights it has, as its first thread has them; also valid for a zombie.
    pub fn identity(&self) -> Arc<Identity> {
        self.image.lock().identity.clone()
    }

    pub(crate) fn set_identity(&self, identity: Arc<Identity>) -> Arc<Identity> {
        core::mem::replace(&mut self.image.lock().identity, identity)
    }

    // ---- signals

    /// Handlers, pending signals, stop state.
    #[inline]
    pub const fn signals(&self) -> &ProcessSignals {
        &self.signals
    }

    // ---- threads

    /// Its thread of that number.
    pub fn thread(&self, tid: Tid) -> Option<Arc<Thread<R>>> {
        self.threads.lock().list.iter().find(|thread| thread.tid() == tid).cloned()
    }

    /// Its oldest thread; none once all have ended.
    pub fn first_thread(&self) -> Option<Arc<Thread<R>>> {
        self.threads.lock().list.first().cloned()
    }

    /// Threads that have not ended.
    pub fn thread_count(&self) -> usize {
        self.threads.lock().list.len()
    }

    /// Calls `visit` for each thread under the list's lock: it may clone, not wake or block.
    pub fn for_each_thread(&self, mut visit: impl FnMut(&Arc<Thread<R>>)) {
        self.threads.lock().list.iter().for_each(&mut visit);
    }

    /// Its threads now.
    ///
    /// # Errors
    /// `NoMemory`.
    pub fn threads(&self) -> Result<Vec<Arc<Thread<R>>>> {
        let mut threads = Vec::new();
        loop {
            threads.try_reserve(self.thread_count()).map_err(|_| ProcessError::NoMemory)?;
            let group = self.threads.lock();
            if group.list.len() <= threads.capacity() {
                threads.extend(group.list.iter().cloned());
                return Ok(threads);
            }
        }
    }

    pub(crate) const fn thread_group(&self) -> &SpinLock<ThreadGroup<R>> {
        &self.threads
    }

    /// Its name: its leader's, also once that has ended.
    pub fn name(&self) -> [u8; NAME_LEN] {
        match self.thread(self.pid.into()) {
            Some(leader) => leader.name(),
            None => self.image.lock().name,
        }
    }

    pub(crate) fn keep_name(&self, name: [u8; NAME_LEN]) {
        self.image.lock().name = name;
    }
}

impl<R: Resources> fmt::Debug for Process<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Process({}, {:?})", self.pid, self.life.get())
    }
}
