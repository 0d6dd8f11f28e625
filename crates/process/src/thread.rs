//! A thread: what is scheduled, and what it keeps for itself.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use core::task::Waker;

use abi::Signal;
use sync::{Once, OnceBox, Rank, SpinLock};
use types::{CpuSet, Credentials, Gid, Nanos, Pid, Tid, Uid};

use crate::signal::ThreadSignals;
use crate::{
    FileTable, FsContext, PriorityClass, Process, ProcessError, ProcessState, ResourceUsage, Resources, Result,
    Scheduling, StateCell, UsageSnapshot, User,
};

/// Bytes of a thread's name with its final NUL (TASK_COMM_LEN).
pub const NAME_LEN: usize = 16;
/// Timer slack of the first process (prctl PR_SET_TIMERSLACK): Linux's default of 50 µs.
const DEFAULT_TIMER_SLACK: Nanos = Nanos::from_micros(50);

/// PR_SET_NO_NEW_PRIVS.
const NO_NEW_PRIVS: u32 = 1;
/// It became a user with more threads than RLIMIT_NPROC allows: exec is refused while that is so.
const OVER_PROCESS_LIMIT: u32 = 4;
/// It has children of its own making (whose creator field names it).
const HAS_CHILDREN: u32 = 2;
/// It is under call filters. Never cleared.
const FILTERED: u32 = 8;
/// Its numbers are those of a namespace other than the first.
const NESTED: u32 = 16;
/// Its children get their numbers in another namespace than its own.
const CHILDREN_ELSEWHERE: u32 = 32;

/// One thread of a process.
///
/// Kept in an `Arc`: by the process's list while it lives, by the kernel's task that runs it, and by whoever looked it up.
pub struct Thread<R: Resources> {
    // ---- fixed at birth
    process: Arc<Process<R>>,
    signals: Arc<ThreadSignals>,
    started_at: Nanos,

    // ---- one value each, no lock
    tid: AtomicU32,
    state: StateCell,
    parent_death_signal: AtomicU8,
    flags: AtomicU32,
    scheduling: AtomicU32,
    affinity: AtomicU64,
    waited: AtomicU64,
    last_scheduled: AtomicU64,
    // Above, what it was born with; below, what counts: in nanoseconds.
    timer_slack: AtomicU64,
    io_priority: AtomicU32,
    clear_child_tid: AtomicU64,
    robust_list: AtomicU64,
    // Copies of what `shared.identity` says, for getuid and its kin.
    uids: [AtomicU32; 2],
    gids: [AtomicU32; 2],
    // While its process has had no other thread, what that has used is what this has used: then there is none.
    usage: OnceBox<ResourceUsage>,
    waker: Once<Waker>,

    // ---- Rank::THREAD
    shared: SpinLock<Shared<R>>,
}

/// What threads may share with others, each by its own pointer.
struct Shared<R: Resources> {
    // Gone once the thread ends.
    files: Option<Arc<FileTable<R::File>>>,
    fs: Option<Arc<FsContext<R::Path>>>,
    identity: Arc<Identity>,
    namespaces: R::Namespaces,
    filter: Option<R::Filter>,
    name: [u8; NAME_LEN],
}

/// What a new thread has from its maker.
pub(crate) struct Heritage<R: Resources> {
    pub(crate) files: Arc<FileTable<R::File>>,
    pub(crate) fs: Arc<FsContext<R::Path>>,
    pub(crate) namespaces: R::Namespaces,
    pub(crate) filter: Option<R::Filter>,
    pub(crate) name: [u8; NAME_LEN],
}

/// What an ending thread gives back; dropped when no lock is held.
pub(crate) struct TakenResources<R: Resources> {
    pub(crate) files: Option<Arc<FileTable<R::File>>>,
    pub(crate) fs: Option<Arc<FsContext<R::Path>>>,
}

/// Whose rights a thread has, and whose account it is on.
#[derive(Debug)]
pub struct Identity {
    /// Ids and capabilities.
    pub credentials: Credentials,
    /// The real user's account.
    pub user: Arc<User>,
}

/// Everything a thread is born with.
pub(crate) struct NewThread<R: Resources> {
    pub(crate) process: Arc<Process<R>>,
    pub(crate) signals: Arc<ThreadSignals>,
    pub(crate) started_at: Nanos,
    pub(crate) files: Arc<FileTable<R::File>>,
    pub(crate) fs: Arc<FsContext<R::Path>>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) namespaces: R::Namespaces,
    pub(crate) filter: Option<R::Filter>,
    pub(crate) name: [u8; NAME_LEN],
    pub(crate) scheduling: Scheduling,
    pub(crate) affinity: CpuSet,
    pub(crate) timer_slack: Nanos,
    pub(crate) io_priority: u32,
    pub(crate) no_new_privs: bool,
    pub(crate) clear_child_tid: u64,
}

impl<R: Resources> Thread<R> {
    pub(crate) fn new(new: NewThread<R>) -> Self {
        let NewThread {
            process,
            signals,
            started_at,
            files,
            fs,
            identity,
            namespaces,
            filter,
            name,
            scheduling,
            affinity,
            timer_slack,
            io_priority,
            no_new_privs,
            clear_child_tid,
        } = new;
        let credentials = &identity.credentials;
        let uids = [AtomicU32::new(credentials.ruid.0), AtomicU32::new(credentials.euid.0)];
        let gids = [AtomicU32::new(credentials.rgid.0), AtomicU32::new(credentials.egid.0)];
        let mut flags = if no_new_privs { NO_NEW_PRIVS } else { 0 };
        if filter.is_some() {
            flags |= FILTERED;
        }
        if process.pids().is_some() {
            flags |= NESTED;
        }
        let shared = Shared { files: Some(files), fs: Some(fs), identity, namespaces, filter, name };
        Self {
            tid: AtomicU32::new(signals.tid().0),
            process,
            signals,
            started_at,
            state: StateCell::new(),
            parent_death_signal: AtomicU8::new(0),
            flags: AtomicU32::new(flags),
            scheduling: AtomicU32::new(scheduling.to_bits()),
            affinity: AtomicU64::new(affinity.0),
            waited: AtomicU64::new(0),
            last_scheduled: AtomicU64::new(0),
            timer_slack: AtomicU64::new(timer_slack.0 << 32 | timer_slack.0),
            io_priority: AtomicU32::new(io_priority),
            clear_child_tid: AtomicU64::new(clear_child_tid),
            robust_list: AtomicU64::new(0),
            uids,
            gids,
            usage: OnceBox::new(),
            waker: Once::new(),
            shared: SpinLock::new(Rank::THREAD, shared),
        }
    }

    // ---- who it is

    /// Its process.
    #[inline]
    pub fn process(&self) -> &Arc<Process<R>> {
        &self.process
    }

    /// Its number (gettid). Changes once at most: exec gives a thread its leader's number.
    #[inline]
    pub fn tid(&self) -> Tid {
        Tid(self.tid.load(Ordering::Relaxed))
    }

    pub(crate) fn set_tid(&self, tid: Tid) {
        self.tid.store(tid.0, Ordering::Relaxed);
        self.signals.set_tid(tid);
    }

    /// The process's number (getpid).
    #[inline]
    pub fn pid(&self) -> Pid {
        self.process.pid()
    }

    /// Whether its number is the process's.
    #[inline]
    pub fn is_leader(&self) -> bool {
        self.tid().0 == self.pid().0
    }

    /// When it was made.
    pub const fn started_at(&self) -> Nanos {
        self.started_at
    }

    /// Its name: up to 15 bytes and NULs.
    pub fn name(&self) -> [u8; NAME_LEN] {
        self.shared.lock().name
    }

    /// Names it after the first 15 bytes of `name` up to a NUL (PR_SET_NAME, exec).
    pub fn set_name(&self, name: &[u8]) {
        self.shared.lock().name = thread_name(name);
    }

    // ---- running

    /// Where in its life it is.
    #[inline]
    pub fn state(&self) -> ProcessState {
        self.state.get()
    }

    /// The state itself: the executor's own transitions.
    #[inline]
    pub const fn state_cell(&self) -> &StateCell {
        &self.state
    }

    /// Gives the thread the handle that wakes its task; once, before it is first run.
    pub fn set_waker(&self, waker: Waker) {
        self.waker.call_once(|| waker);
    }

    /// Whether a task runs it, or will: what it does next is that task's to decide.
    pub fn has_task(&self) -> bool {
        self.waker.get().is_some()
    }

    /// The handle that wakes its task; none before there is a task.
    #[inline]
    pub fn waker(&self) -> Option<&Waker> {
        self.waker.get()
    }

    /// Makes its task look again: it may have a signal, an end of its stop, or must exit. Not under a lock.
    pub fn wake(&self) {
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    /// How it is scheduled.
    #[inline]
    pub fn scheduling(&self) -> Scheduling {
        Scheduling::from_bits(self.scheduling.load(Ordering::Relaxed))
    }

    /// [`Scheduling::is_critical`], at the price of a look.
    #[inline]
    pub fn is_critical(&self) -> bool {
        self.scheduling.load(Ordering::Relaxed) & Scheduling::CRITICAL != 0
    }

    /// Changes how it is scheduled; the caller has checked the right and tells the scheduler.
    pub fn set_scheduling(&self, scheduling: Scheduling) {
        trace!("scheduling: tid={} {scheduling:?}", self.tid());
        self.scheduling.store(scheduling.to_bits(), Ordering::Relaxed);
    }

    /// Gives it a class, unless somebody has chosen one. Whether that changed anything: the caller tells the scheduler.
    pub fn give_class(&self, class: PriorityClass) -> bool {
        let given = |bits| {
            let now = Scheduling::from_bits(bits);
            (!now.chosen && now.class != class).then(|| Scheduling { class, ..now }.to_bits())
        };
        self.scheduling.fetch_update(Ordering::Relaxed, Ordering::Relaxed, given).is_ok()
    }

    /// CPUs it may run on.
    #[inline]
    pub fn affinity(&self) -> CpuSet {
        CpuSet(self.affinity.load(Ordering::Relaxed))
    }

    /// Sets the CPUs it may run on to those of `wanted` that are in `online`.
    ///
    /// # Errors
    /// `InvalidArgument` if that is none.
    pub fn set_affinity(&self, wanted: CpuSet, online: CpuSet) -> Result<()> {
        let allowed = wanted.0 & online.0;
        if allowed == 0 {
            return Err(ProcessError::InvalidArgument);
        }
        self.affinity.store(allowed, Ordering::Relaxed);
        Ok(())
    }

    /// Notes that it starts to run when the cycle counter is at `stamp`.
    #[inline]
    pub fn note_dispatch(&self, stamp: u64) {
        self.last_scheduled.store(stamp, Ordering::Relaxed);
    }

    /// Where the cycle counter was when it last began to run; 0 if it never did.
    pub fn last_dispatch(&self) -> u64 {
        self.last_scheduled.load(Ordering::Relaxed)
    }

    /// Time that it has waited for a CPU, as far as somebody has taken note: the last few microseconds may be missing.
    pub fn waited(&self) -> Nanos {
        Nanos(self.waited.load(Ordering::Relaxed))
    }

    /// Adds to the time that it has waited for a CPU. By the CPU that runs it.
    pub fn charge_wait(&self, waited: Nanos) {
        let sum = self.waited.load(Ordering::Relaxed).wrapping_add(waited.0);
        self.waited.store(sum, Ordering::Relaxed);
    }

    /// How late a timer of it may fire.
    pub fn timer_slack(&self) -> Nanos {
        Nanos(self.timer_slack.load(Ordering::Relaxed) & u64::from(u32::MAX))
    }

    /// Sets the timer slack, 4 s at most; zero means what it was born with.
    pub fn set_timer_slack(&self, slack: Nanos) {
        let born_with = self.timer_slack.load(Ordering::Relaxed) >> 32;
        let slack = if slack == Nanos::ZERO { born_with } else { slack.0.min(u32::MAX.into()) };
        self.timer_slack.store(born_with << 32 | slack, Ordering::Relaxed);
    }

    /// What ioprio_set(2) was given last; 0 for nothing.
    pub fn io_priority(&self) -> u32 {
        self.io_priority.load(Ordering::Relaxed)
    }

    /// Keeps what ioprio_set(2) was given.
    pub fn set_io_priority(&self, value: u32) {
        self.io_priority.store(value, Ordering::Relaxed);
    }

    // ---- accounting: charged to the thread and to its process at once

    /// What this thread has used.
    pub fn usage(&self) -> &ResourceUsage {
        self.usage.get().unwrap_or(self.process.usage())
    }

    /// Counts by itself from now on what the thread uses. To be called before its process gets a second thread, and for
    /// each that follows: what the only thread has used so far is what the process has.
    pub(crate) fn count_alone(&self, used: &UsageSnapshot) {
        self.usage.get_or_init(|| {
            let usage = Box::<ResourceUsage>::default();
            usage.add(used);
            usage
        });
    }

    /// The counters that a use of this thread goes to.
    #[inline]
    fn charge(&self, add: impl Fn(&ResourceUsage)) {
        add(self.process.usage());
        if let Some(own) = self.usage.get() {
            add(own);
        }
    }

    /// Charges time in user mode and in the kernel, and counts what ended it if that is known.
    #[inline]
    pub fn charge_time(&self, user: Nanos, system: Nanos, ended_by: Option<SwitchKind>) {
        self.charge(|usage| {
            if user != Nanos::ZERO {
                usage.user_ns.add(user.0);
            }
            usage.system_ns.add(system.0);
            match ended_by {
                Some(SwitchKind::Voluntary) => _ = usage.voluntary_switches.add(1),
                Some(SwitchKind::Involuntary) => _ = usage.involuntary_switches.add(1),
                None => {}
            }
        });
    }

    /// Counts a page fault.
    #[inline]
    pub fn charge_fault(&self, kind: FaultKind) {
        self.charge(|usage| match kind {
            FaultKind::Minor => _ = usage.minor_faults.add(1),
            FaultKind::Major => _ = usage.major_faults.add(1),
        });
    }

    /// Counts a read call of so many bytes; all bytes read by the process so far.
    #[inline]
    pub fn charge_read(&self, bytes: u64) -> u64 {
        if let Some(own) = self.usage.get() {
            own.read_operations.add(1);
            own.read_bytes.add(bytes);
        }
        self.process.usage().read_operations.add(1);
        self.process.usage().read_bytes.add(bytes)
    }

    /// Counts a write call of so many bytes; all bytes written by the process so far.
    #[inline]
    pub fn charge_write(&self, bytes: u64) -> u64 {
        if let Some(own) = self.usage.get() {
            own.write_operations.add(1);
            own.write_bytes.add(bytes);
        }
        self.process.usage().write_operations.add(1);
        self.process.usage().write_bytes.add(bytes)
    }

    /// Counts a delivered signal.
    pub fn charge_signal(&self) {
        self.charge(|usage| _ = usage.signals.add(1));
    }

    // ---- signals

    /// Mask, private signals, alternate stack, and the bits that say there is something to do.
    #[inline]
    pub const fn signals(&self) -> &Arc<ThreadSignals> {
        &self.signals
    }

    /// The signal it gets when the thread that made its process ends (PR_SET_PDEATHSIG).
    pub fn parent_death_signal(&self) -> Option<Signal> {
        Signal::new(u64::from(self.parent_death_signal.load(Ordering::Relaxed)))
    }

    /// Sets that signal.
    pub fn set_parent_death_signal(&self, signal: Option<Signal>) {
        self.parent_death_signal.store(signal.map_or(0, Signal::number), Ordering::Relaxed);
    }

    // ---- addresses in user space

    /// Where to write 0 and wake a futex when it ends (set_tid_address); 0 is nowhere.
    pub fn clear_child_tid(&self) -> u64 {
        self.clear_child_tid.load(Ordering::Relaxed)
    }

    /// Sets that address; the old one.
    pub fn set_clear_child_tid(&self, address: u64) -> u64 {
        self.clear_child_tid.swap(address, Ordering::Relaxed)
    }

    /// Head of its list of robust futexes.
    pub fn robust_list(&self) -> u64 {
        self.robust_list.load(Ordering::Relaxed)
    }

    /// Sets the head (set_robust_list).
    pub fn set_robust_list(&self, head: u64) {
        self.robust_list.store(head, Ordering::Relaxed);
    }

    // ---- files and places

    /// The open file at `fd`.
    ///
    /// # Errors
    /// `BadDescriptor`; also for a thread that has ended.
    #[inline]
    pub fn file(&self, fd: u32) -> Result<R::File> {
        let shared = self.shared.lock();
        shared.files.as_ref().ok_or(ProcessError::BadDescriptor)?.get(fd)
    }

    /// Its descriptor table; nothing once it has ended.
    pub fn files(&self) -> Option<Arc<FileTable<R::File>>> {
        self.shared.lock().files.clone()
    }

    /// What a new thread has from this one, to be shared or copied; nothing once it has ended.
    pub(crate) fn heritage(&self) -> Option<Heritage<R>> {
        let shared = self.shared.lock();
        Some(Heritage {
            files: shared.files.clone()?,
            fs: shared.fs.clone()?,
            namespaces: shared.namespaces.clone(),
            filter: shared.filter.clone(),
            name: shared.name,
        })
    }

    /// Its working directory, root and umask; nothing once it has ended.
    pub fn fs(&self) -> Option<Arc<FsContext<R::Path>>> {
        self.shared.lock().fs.clone()
    }

    /// Gives it a table of its own (unshare, exec); nothing if it already is. Returns once others' closes cannot hurt.
    ///
    /// # Errors
    /// `NoMemory`.
    pub fn unshare_files(&self) -> Result<()> {
        let Some(files) = self.files() else { return Ok(()) };
        // The thread's own pointer and the one just taken.
        if Arc::strong_count(&files) > 2 {
            drop(self.set_files(files.try_clone_shared()?));
        }
        Ok(())
    }

    /// Replaces its descriptor table; the old one, to be dropped outside of locks.
    pub fn set_files(&self, files: Arc<FileTable<R::File>>) -> Option<Arc<FileTable<R::File>>> {
        self.shared.lock().files.replace(files)
    }

    /// Gives it places of its own (unshare with CLONE_FS).
    pub fn unshare_fs(&self) {
        let Some(fs) = self.fs() else { return };
        if Arc::strong_count(&fs) > 2 {
            let own = Arc::new(fs.duplicate());
            let old = self.shared.lock().fs.replace(own);
            drop(old);
        }
    }

    /// Takes files and places away, for a thread that ends.
    pub(crate) fn take_shared(&self) -> TakenResources<R> {
        let mut shared = self.shared.lock();
        TakenResources { files: shared.files.take(), fs: shared.fs.take() }
    }

    // ---- rights

    /// Real user, without a lock (getuid).
    #[inline]
    pub fn uid(&self) -> Uid {
        let [real, _] = &self.uids;
        Uid(real.load(Ordering::Relaxed))
    }

    /// Effective user, without a lock (geteuid).
    #[inline]
    pub fn euid(&self) -> Uid {
        let [_, effective] = &self.uids;
        Uid(effective.load(Ordering::Relaxed))
    }

    /// Real group, without a lock (getgid).
    #[inline]
    pub fn gid(&self) -> Gid {
        let [real, _] = &self.gids;
        Gid(real.load(Ordering::Relaxed))
    }

    /// Effective group, without a lock (getegid).
    #[inline]
    pub fn egid(&self) -> Gid {
        let [_, effective] = &self.gids;
        Gid(effective.load(Ordering::Relaxed))
    }

    /// Ids, capabilities and account.
    pub fn identity(&self) -> Arc<Identity> {
        self.shared.lock().identity.clone()
    }

    /// A copy of its ids and capabilities.
    pub fn credentials(&self) -> Credentials {
        self.shared.lock().identity.credentials
    }

    pub(crate) fn set_identity(&self, identity: Arc<Identity>) -> Arc<Identity> {
        let Credentials { ruid, euid, rgid, egid, .. } = identity.credentials;
        let old = core::mem::replace(&mut self.shared.lock().identity, identity);
        for (slot, id) in self.uids.iter().zip([ruid, euid]) {
            slot.store(id.0, Ordering::Relaxed);
        }
        for (slot, id) in self.gids.iter().zip([rgid, egid]) {
            slot.store(id.0, Ordering::Relaxed);
        }
        old
    }

    /// Whether exec can no longer add rights (PR_SET_NO_NEW_PRIVS).
    pub fn no_new_privs(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & NO_NEW_PRIVS != 0
    }

    /// Sets that for good.
    pub fn set_no_new_privs(&self) {
        self.flags.fetch_or(NO_NEW_PRIVS, Ordering::Relaxed);
    }

    pub(crate) fn note_process_limit(&self, over: bool) {
        if over {
            self.flags.fetch_or(OVER_PROCESS_LIMIT, Ordering::Relaxed);
        } else {
            self.flags.fetch_and(!OVER_PROCESS_LIMIT, Ordering::Relaxed);
        }
    }

    pub(crate) fn was_over_process_limit(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & OVER_PROCESS_LIMIT != 0
    }

    pub(crate) fn has_children(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & HAS_CHILDREN != 0
    }

    pub(crate) fn note_child(&self) {
        self.flags.fetch_or(HAS_CHILDREN, Ordering::Relaxed);
    }

    /// The call filters it is under.
    pub fn filter(&self) -> Option<R::Filter> {
        self.shared.lock().filter.clone()
    }

    /// Whether it is under call filters: then the system-call gate asks them first.
    #[inline]
    pub fn is_filtered(&self) -> bool {
        self.flags.load(Ordering::SeqCst) & FILTERED != 0
    }

    /// Whether its system calls need more than the fast way offers: filters, or translated numbers.
    #[inline]
    pub fn is_detoured(&self) -> bool {
        self.flags.load(Ordering::SeqCst) & (FILTERED | NESTED) != 0
    }

    /// Whether its children get their numbers in another namespace than its own.
    #[inline]
    pub fn has_children_elsewhere(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & CHILDREN_ELSEWHERE != 0
    }

    /// Sets whether its children get their numbers in another namespace.
    pub fn note_children_elsewhere(&self, elsewhere: bool) {
        if elsewhere {
            self.flags.fetch_or(CHILDREN_ELSEWHERE, Ordering::Relaxed);
        } else {
            self.flags.fetch_and(!CHILDREN_ELSEWHERE, Ordering::Relaxed);
        }
    }

    /// Puts it under call filters, which contain those it is under; the old ones, to be dropped outside of locks.
    pub(crate) fn set_filter(&self, filter: R::Filter) -> Option<R::Filter> {
        let old = self.shared.lock().filter.replace(filter);
        self.flags.fetch_or(FILTERED, Ordering::SeqCst);
        old
    }

    /// Its view of pids, mounts, host name and IPC.
    pub fn namespaces(&self) -> R::Namespaces {
        self.shared.lock().namespaces.clone()
    }

    /// Replaces that view (unshare, setns); the old one, to be dropped outside of locks.
    pub fn set_namespaces(&self, namespaces: R::Namespaces) -> R::Namespaces {
        trace!("namespaces: tid={}", self.tid());
        core::mem::replace(&mut self.shared.lock().namespaces, namespaces)
    }
}

impl<R: Resources> fmt::Debug for Thread<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Thread({} of {}, {:?})", self.tid(), self.pid(), self.state())
    }
}

/// Kind of a page fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Served from memory.
    Minor,
    /// Served from a file that had to be read.
    Major,
}

/// Why a thread left its CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwitchKind {
    /// To wait.
    Voluntary,
    /// Its turn was over.
    Involuntary,
}

/// `name` cut to 15 bytes, NUL-padded.
#[must_use]
pub fn thread_name(name: &[u8]) -> [u8; NAME_LEN] {
    let mut bytes = [0; NAME_LEN];
    for (slot, byte) in bytes.iter_mut().take(NAME_LEN - 1).zip(name) {
        if *byte == 0 {
            break;
        }
        *slot = *byte;
    }
    bytes
}

/// Timer slack of the first process.
pub(crate) const fn default_timer_slack() -> Nanos {
    DEFAULT_TIMER_SLACK
}
