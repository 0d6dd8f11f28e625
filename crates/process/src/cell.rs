//! The cell: all processes of one life of one service, however they try to get away.
//!
//! A process is in a cell from its first moment or never: fork, vfork and clone hand it on, and nothing leaves it (no
//! session, group, new parent or program changes it). Processes enter and end under the lock of the tree, and so does
//! the kill of all of them: who is about to be born meanwhile is refused, so that none survives it.
//!
//! ```text
//!             first process            last process ends
//!   empty ─────────────────► living ──────────────────────► empty again, told once
//!                              │ kill: nobody enters any more     ▲
//!                              └──────► dying ───────────────────┘
//! ```

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use sync::{Quota, Rank, SpinLock, WaitQueue};
use types::{Nanos, Pid};

use crate::cell_share::{CpuShare, Spans};
use crate::limits::{LimitDecision, LimitPolicy, OwnLimit, RateMeter};
use crate::{ExitStatus, ProcessError, ResourceUsage, Result, UsageSnapshot};

/// What a cell may use at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CellLimits {
    /// Threads of all its processes, zombies included.
    pub tasks: u32,
    /// Pages of memory of all its processes; `u64::MAX` means any number.
    pub pages: u64,
    /// Thousandths of one CPU for all of them together.
    pub cpu: Option<u32>,
    /// Bytes that all of them together may read and write in a second.
    pub io: Option<u64>,
    /// Somebody wants to know for how long it could not run ([`Cell::kept_waiting`]).
    pub watched: bool,
    /// People work in it ([`Cell::is_session`]).
    pub session: bool,
}

impl Default for CellLimits {
    fn default() -> Self {
        Self { tasks: u32::MAX, pages: u64::MAX, cpu: None, io: None, watched: false, session: false }
    }
}

/// One life of one service.
pub struct Cell {
    /// What the supervisor calls it; means nothing here.
    id: u64,
    limits: CellLimits,
    /// Processes that have not ended. Changes under the tree's lock.
    members: AtomicU32,
    /// Threads, and zombies.
    tasks: AtomicU32,
    /// Times somebody was refused because of `limits.tasks`.
    refused: AtomicU32,
    /// It has been killed: nobody enters. Changes under the tree's lock.
    dying: AtomicBool,
    /// The process whose end is the service's. Changes under the tree's lock.
    main: AtomicU32,
    /// How that ended: 0 for not yet, else the wait status and [`ENDED`].
    end: AtomicU64,
    /// The process whose end says whether the service is well; 0 for none. Changes under the tree's lock.
    probe: AtomicU32,
    /// How the last such one ended, as in `end`; 0 once that was taken.
    probe_end: AtomicU64,
    usage: ResourceUsage,
    /// Pages of memory: counted even where there is no limit.
    memory: Arc<Quota>,
    cpu: Option<CpuShare>,
    io: Option<CellIo>,
    /// When it wanted to run and could not: it waited for a CPU, or its share was used up.
    waits: Spans,
    /// When one of its threads was last seen to run, if it is metered.
    ran_at: AtomicU64,
    /// How urgent those are who wait for it to start; [`NOBODY`] if nobody does.
    awaited_by: AtomicU32,
    /// Its threads do not go back to user mode. Changes under the tree's lock.
    frozen: AtomicBool,
    /// It stands on the board.
    posted: AtomicBool,
    board: Arc<CellBoard>,
}

/// The limit on what its processes read and write, and what that has meant to them.
struct CellIo {
    limit: OwnLimit,
    // Rank::LIMITS
    meter: SpinLock<RateMeter>,
    delayed: Spans,
}

/// [`Cell::awaited_by`] as it is kept.
const NOBODY: u32 = u32::MAX;
/// A bit of [`Cell::end`] that no wait status has.
const ENDED: u64 = 1 << 32;

/// Cells that something has happened to, for the one who looks after them.
pub struct CellBoard {
    // Each cell at most once, so no longer than there are cells.
    posted: SpinLock<VecDeque<Arc<Cell>>>,
    news: WaitQueue,
}

impl Default for CellBoard {
    fn default() -> Self {
        Self::new()
    }
}

impl CellBoard {
    /// Nothing on it.
    pub const fn new() -> Self {
        Self { posted: SpinLock::new(Rank::CELLS, VecDeque::new()), news: WaitQueue::new() }
    }

    /// Room for one more cell.
    ///
    /// # Errors
    /// `NoMemory`.
    fn reserve(&self, cells: usize) -> Result<()> {
        let mut posted = self.posted.lock();
        let missing = cells.saturating_sub(posted.len());
        posted.try_reserve(missing).map_err(|_| ProcessError::NoMemory)
    }

    /// The cell that has waited longest.
    pub fn take(&self) -> Option<Arc<Cell>> {
        let cell = self.posted.lock().pop_front()?;
        // Before its state is looked at: what happens after that posts it again.
        cell.posted.store(false, Ordering::SeqCst);
        Some(cell)
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.posted.lock().is_empty()
    }

    /// Woken when a cell is put on it, and by whoever else has news.
    pub const fn news(&self) -> &WaitQueue {
        &self.news
    }
}

impl Cell {
    /// A cell without processes that the supervisor calls `id`. Of those on one board there are at most `cells`.
    ///
    /// # Errors
    /// `NoMemory`.
    pub fn new(id: u64, limits: CellLimits, board: &Arc<CellBoard>, cells: usize) -> Result<Arc<Self>> {
        board.reserve(cells)?;
        Ok(Arc::new(Self {
            id,
            limits,
            members: AtomicU32::new(0),
            tasks: AtomicU32::new(0),
            refused: AtomicU32::new(0),
            dying: AtomicBool::new(false),
            main: AtomicU32::new(0),
            end: AtomicU64::new(0),
            probe: AtomicU32::new(0),
            probe_end: AtomicU64::new(0),
            usage: ResourceUsage::default(),
            memory: Arc::new(Quota::new(limits.pages)),
            cpu: limits.cpu.map(CpuShare::new),
            io: limits.io.map(|rate| CellIo {
                limit: OwnLimit { value: rate, policy: LimitPolicy::Throttle },
                meter: SpinLock::new(Rank::LIMITS, RateMeter::default()),
                delayed: Spans::default(),
            }),
            waits: Spans::default(),
            ran_at: AtomicU64::new(0),
            awaited_by: AtomicU32::new(NOBODY),
            frozen: AtomicBool::new(false),
            posted: AtomicBool::new(false),
            board: board.clone(),
        }))
    }

    /// What the supervisor calls it.
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// How urgent those are who wait for it to start, as the scheduler counts: its threads are to run at least as urgently.
    #[inline]
    pub fn awaited_by(&self) -> Option<u32> {
        Some(self.awaited_by.load(Ordering::Relaxed)).filter(|urgency| *urgency != NOBODY)
    }

    /// Changes that; the caller tells the scheduler of every thread.
    pub fn set_awaited_by(&self, urgency: Option<u32>) {
        self.awaited_by.store(urgency.unwrap_or(NOBODY), Ordering::Relaxed);
    }

    /// Whether people work in it: its processes act for their users, and are looked at one by one.
    pub const fn is_session(&self) -> bool {
        self.limits.session
    }

    /// Processes that have not ended.
    pub fn members(&self) -> u32 {
        self.members.load(Ordering::SeqCst)
    }

    /// Threads, and processes that wait to be reaped.
    pub fn tasks(&self) -> u32 {
        self.tasks.load(Ordering::Relaxed)
    }

    /// Pages of memory: address spaces of its processes take from it, some in advance.
    pub const fn memory(&self) -> &Arc<Quota> {
        &self.memory
    }

    /// Its share of the CPUs, if that is limited.
    pub const fn cpu_share(&self) -> Option<&CpuShare> {
        self.cpu.as_ref()
    }

    /// Whether time on a CPU, and waits for one, have to be told to it.
    pub const fn is_metered(&self) -> bool {
        self.cpu.is_some() || self.limits.watched
    }

    /// Whether its threads stand still. Whoever sets that tells all threads after it, and a thread that was told looks here
    /// after it has forgotten that: none misses it.
    pub fn is_frozen(&self) -> bool {
        self.frozen.load(Ordering::SeqCst)
    }

    pub(crate) fn set_frozen(&self, frozen: bool) {
        self.frozen.store(frozen, Ordering::SeqCst);
    }

    /// One of its threads has run from `began` to `now`, after it had waited for a CPU for so long.
    pub fn note_run(&self, began: Nanos, waited: Nanos, now: Nanos) {
        let before = Nanos(self.ran_at.fetch_max(now.0, Ordering::Relaxed));
        if waited > Nanos::ZERO {
            // While another thread of it ran, it was not kept from running.
            self.waits.add(began.saturating_sub(waited).max(before), began);
        }
    }

    /// Its threads may not run from `from` to `to`, by its limits.
    pub fn note_wait(&self, from: Nanos, to: Nanos) {
        self.waits.add(from, to);
    }

    /// Time in which it wanted to run and could not.
    pub fn kept_waiting(&self) -> Nanos {
        self.waits.total()
    }

    /// When one of its threads was last seen to run, if it is metered.
    pub fn ran_at(&self) -> Nanos {
        Nanos(self.ran_at.load(Ordering::Relaxed))
    }

    /// Whether bytes that its processes read and write are limited.
    pub const fn limits_io(&self) -> bool {
        self.io.is_some()
    }

    /// What the limit on bytes says at `now` to more of them.
    pub(crate) fn io_debt(&self, now: Nanos) -> LimitDecision {
        self.io.as_ref().map_or(LimitDecision::Allow, |io| io.meter.lock().debt(io.limit, now))
    }

    /// Charges bytes that were moved.
    pub(crate) fn spend_io(&self, bytes: u64, now: Nanos) {
        if let Some(io) = &self.io {
            io.meter.lock().spend(io.limit, bytes, now);
        }
    }

    /// Somebody waits from `from` to `to` because too many bytes were moved.
    pub fn note_io_delay(&self, from: Nanos, to: Nanos) {
        if let Some(io) = &self.io {
            io.delayed.add(from, to);
            self.waits.add(from, to);
        }
    }

    /// When somebody waited for that; nothing without a limit.
    pub fn io_delays(&self) -> Option<&Spans> {
        self.io.as_ref().map(|io| &io.delayed)
    }

    /// How often a thread or process was refused because there were too many.
    pub fn refused(&self) -> u32 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Whether it has been killed.
    pub fn is_dying(&self) -> bool {
        self.dying.load(Ordering::SeqCst)
    }

    /// The process whose end is the service's.
    pub fn main(&self) -> Pid {
        Pid(self.main.load(Ordering::SeqCst))
    }

    /// How that ended, if it has.
    pub fn main_end(&self) -> Option<ExitStatus> {
        status_of(self.end.load(Ordering::SeqCst))
    }

    /// The process whose end says whether the service is well, while it runs.
    pub fn probe(&self) -> Option<Pid> {
        Some(Pid(self.probe.load(Ordering::SeqCst))).filter(|pid| pid.0 != 0)
    }

    /// How that ended, told once.
    pub fn take_probe_end(&self) -> Option<ExitStatus> {
        status_of(self.probe_end.swap(0, Ordering::SeqCst))
    }

    /// What its ended processes have used.
    pub fn ended_usage(&self) -> UsageSnapshot {
        self.usage.snapshot()
    }

    /// A thread is about to be made: takes its place.
    ///
    /// # Errors
    /// `ResourceExhausted` if there are as many as there may be.
    #[inline]
    pub(crate) fn take_task(&self) -> Result<()> {
        let add = |tasks: u32| (tasks < self.limits.tasks).then(|| tasks + 1);
        match self.tasks.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add) {
            Ok(_) => Ok(()),
            Err(_) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                Err(ProcessError::ResourceExhausted)
            }
        }
    }

    pub(crate) fn give_task(&self) {
        self.tasks.fetch_sub(1, Ordering::Relaxed);
    }

    /// A process is born, under the tree's lock; whether it may.
    #[inline]
    pub(crate) fn enter(&self) -> bool {
        if self.is_dying() {
            return false;
        }
        self.members.fetch_add(1, Ordering::SeqCst);
        true
    }

    /// A process that was born never ran, under the tree's lock.
    pub(crate) fn leave(&self) {
        self.members.fetch_sub(1, Ordering::SeqCst);
    }

    /// Process `number` has ended, under the tree's lock; whether the supervisor must hear of it.
    pub(crate) fn ended(&self, number: u32, status: ExitStatus, usage: &UsageSnapshot) -> bool {
        self.usage.add(usage);
        let main = self.main.load(Ordering::SeqCst) == number && self.end.load(Ordering::SeqCst) == 0;
        if main {
            self.end.store(ENDED | u64::from(status.wait_status() as u32), Ordering::SeqCst);
        }
        let probe = self.probe.compare_exchange(number, 0, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        if probe {
            self.probe_end.store(ENDED | u64::from(status.wait_status() as u32), Ordering::SeqCst);
        }
        let last = self.members.fetch_sub(1, Ordering::SeqCst) == 1;
        main || probe || last
    }

    /// From now on that process's end says whether the service is well; nobody else's does any more.
    pub(crate) fn set_probe(&self, number: u32) {
        self.probe.store(number, Ordering::SeqCst);
        self.probe_end.store(0, Ordering::SeqCst);
    }

    pub(crate) fn set_main(&self, number: u32) {
        self.main.store(number, Ordering::SeqCst);
    }

    pub(crate) fn set_dying(&self) {
        self.dying.store(true, Ordering::SeqCst);
    }

    /// Puts it on the board, with no lock held.
    pub fn post(self: Arc<Self>) {
        let board = self.board.clone();
        if !self.posted.swap(true, Ordering::SeqCst) {
            board.posted.lock().push_back(self);
        }
        board.news.wake_all();
    }
}

fn status_of(end: u64) -> Option<ExitStatus> {
    (end & ENDED != 0).then(|| ExitStatus::from_wait_status(end as i32))
}

impl fmt::Debug for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cell {:#x}: {} members", self.id, self.members())
    }
}
