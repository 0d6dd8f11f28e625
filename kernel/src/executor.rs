//! Runs tasks: each is polled by whichever CPU takes it from the queue, until it is done.
//!
//! A task's state makes sure that it is never polled on two CPUs and that no wake-up is lost:
//!
//! ```text
//!            wake                  taken by a CPU
//!   Idle ───────────► Queued ─────────────────────► Running ──► Done
//!     ▲                 ▲                            │   │
//!     │                 │ poll ended, woken meanwhile│   │ wake
//!     │                 └──────────── Notified ◄─────┼───┘
//!     └──────────────────────────────────────────────┘ poll ended
//! ```
//!
//! A task that only lets others run goes from Running or Notified straight back to Queued.
//!
//! One queue for all CPUs, first come first served; and for each CPU one of the tasks that may not run everywhere, which
//! it takes from in turn with the common one. A task that a CPU takes and may not run (its CPUs have changed since it
//! was queued) goes to where it belongs. An idle CPU is told by an inter-processor interrupt.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::task::Wake;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
use core::task::{Context, Waker};

use hal::Cpu;
use sync::{Rank, SpinLock};
use types::{CpuId, CpuSet, MAX_CPUS};

/// What a task does.
pub(crate) trait Body: Send + 'static {
    /// CPUs it may run on at present; if none of them is online, all. [`Executor::note_change`] says that it has changed.
    fn cpus(&self) -> CpuSet;

    /// Goes on, on CPU `here`, as far as it can.
    fn poll(&mut self, here: CpuId, cx: &mut Context<'_>) -> Progress;
}

/// How far a poll came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// There will be nothing more to do.
    Done,
    /// It waits: its waker says when to go on.
    Waits,
    /// It could go on, after all others that wait for a CPU.
    Yields,
}

const IDLE: u8 = 0;
const QUEUED: u8 = 1;
const RUNNING: u8 = 2;
const NOTIFIED: u8 = 3;
const DONE: u8 = 4;

/// Taken before every other lock, for the length of a poll; never contended, since the state admits one poller.
const TASK_RANK: Rank = Rank(1);
/// Of a link, under the lock of its queue.
const LINK_RANK: Rank = Rank(Rank::RUN_QUEUE.0 + 1);

/// A body and where it stands.
pub(crate) struct Task<B: Body> {
    state: AtomicU8,
    /// The CPU that polls it, or did so last.
    cpu: AtomicU32,
    /// CPUs it may run on, as of its last poll.
    cpus: AtomicU64,
    /// Not on every CPU.
    pinned: AtomicBool,
    /// [`Executor::changes`] when that was looked at.
    seen: AtomicU32,
    /// The task behind it in the queue of one CPU.
    behind: SpinLock<Option<Arc<Task<B>>>>,
    /// With the body its waker, made once: a reference from the task to itself, until it is done.
    body: SpinLock<Option<(B, Waker)>>,
    executor: &'static Executor<B>,
}

/// Tasks that wait for one CPU, linked through themselves: queueing needs no memory.
struct Pinned<B: Body> {
    ends: SpinLock<Option<Ends<B>>>,
    /// How many, for a look without the lock.
    queued: AtomicUsize,
    /// Whose turn it is: this queue's or the common one's. Only this CPU looks.
    turn: AtomicBool,
}

struct Ends<B: Body> {
    first: Arc<Task<B>>,
    last: Arc<Task<B>>,
}

/// The queues of runnable tasks and who could run them.
pub(crate) struct Executor<B: Body> {
    queue: SpinLock<VecDeque<Arc<Task<B>>>>,
    /// Length of the common queue, for a look without the lock.
    queued: AtomicUsize,
    /// Tasks in the queues of single CPUs, all together: while there are none, nobody looks at those.
    confined: AtomicUsize,
    /// How often somebody's CPUs have been changed.
    changes: AtomicU32,
    pinned: [Pinned<B>; MAX_CPUS],
    /// Tasks not done yet; the queue has room for all of them.
    live: AtomicUsize,
    /// CPUs asleep or about to be.
    idle: AtomicU64,
    /// Polls so far.
    polls: AtomicU64,
    cpu: &'static dyn Cpu,
}

impl<B: Body> Executor<B> {
    pub(crate) const fn new(cpu: &'static dyn Cpu) -> Self {
        Self {
            queue: SpinLock::new(Rank::RUN_QUEUE, VecDeque::new()),
            queued: AtomicUsize::new(0),
            confined: AtomicUsize::new(0),
            changes: AtomicU32::new(0),
            pinned: [const { Pinned::new() }; MAX_CPUS],
            live: AtomicUsize::new(0),
            idle: AtomicU64::new(0),
            polls: AtomicU64::new(0),
            cpu,
        }
    }

    /// Makes a task of `body`, runnable at once; `told` gets its waker before it runs. `false` when there is no memory
    /// for its place in the queue.
    #[must_use]
    pub(crate) fn spawn(&'static self, body: B, told: impl FnOnce(Waker)) -> bool {
        let live = self.live.fetch_add(1, Ordering::Relaxed) + 1;
        {
            let mut queue = self.queue.lock();
            let missing = live.saturating_sub(queue.len());
            if queue.try_reserve(missing).is_err() {
                self.live.fetch_sub(1, Ordering::Relaxed);
                return false;
            }
        }
        // Before the look at what may change.
        let seen = self.changes.load(Ordering::Acquire);
        let cpus = body.cpus();
        let task = Arc::new(Task {
            state: AtomicU8::new(QUEUED),
            cpu: AtomicU32::new(0),
            cpus: AtomicU64::new(cpus.0),
            pinned: AtomicBool::new(self.confines(cpus)),
            seen: AtomicU32::new(seen),
            behind: SpinLock::new(LINK_RANK, None),
            body: SpinLock::new(TASK_RANK, None),
            executor: self,
        });
        let waker = Waker::from(task.clone());
        // Free, since nobody else knows the task; not asked for in order, since the task that makes this one is locked.
        if let Some(mut place) = task.body.try_lock() {
            *place = Some((body, waker.clone()));
        }
        told(waker);
        self.enqueue(task);
        true
    }

    /// A body's answer to [`Body::cpus`] has changed.
    pub(crate) fn note_change(&self) {
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// Whether some task waits that CPU `here` may take.
    #[inline]
    pub(crate) fn has_waiting(&self, here: CpuId) -> bool {
        self.queued.load(Ordering::Relaxed) != 0 || self.pinned_to(here) != 0
    }

    /// Whether exactly one task waits for a CPU, no matter which, and none is about to take it: it runs next if the caller
    /// gives way.
    pub(crate) fn sole_waiter(&self, here: CpuId) -> bool {
        self.queued.load(Ordering::Relaxed) == 1 && self.pinned_to(here) == 0 && self.idle.load(Ordering::Relaxed) == 0
    }

    /// Tasks that have not ended.
    pub(crate) fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    /// Polls so far: switches to a task.
    pub(crate) fn polls(&self) -> u64 {
        self.polls.load(Ordering::Relaxed)
    }

    /// Tasks that run or wait for a CPU.
    pub(crate) fn running(&self) -> usize {
        let busy = CpuSet(self.cpu.online().0 & !self.idle.load(Ordering::Relaxed));
        busy.len() as usize + self.waiting()
    }

    /// Tasks waiting for a CPU.
    pub(crate) fn waiting(&self) -> usize {
        let pinned: usize = self.cpu.online().iter().map(|cpu| self.pinned_to(cpu)).sum();
        self.queued.load(Ordering::Relaxed) + pinned
    }

    /// Tasks waiting for CPU `cpu` and no other.
    #[inline]
    fn pinned_to(&self, cpu: CpuId) -> usize {
        if self.confined.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        self.pinned.get(cpu.index()).map_or(0, |pinned| pinned.queued.load(Ordering::Relaxed))
    }

    /// Whether `cpus` leaves out a CPU that there is, and not all of them.
    fn confines(&self, cpus: CpuSet) -> bool {
        let online = self.cpu.online().0;
        online & !cpus.0 != 0 && online & cpus.0 != 0
    }

    /// Polls tasks on this CPU, which is `here`, until none waits for one.
    pub(crate) fn run(&self, here: CpuId) {
        let mut next = self.take(here);
        while let Some(task) = next {
            self.polls.fetch_add(1, Ordering::Relaxed);
            next = match task.poll(here) {
                Queue::Again if task.pinned.load(Ordering::Relaxed) => {
                    self.enqueue(task);
                    self.take(here)
                }
                Queue::Again => Some(self.exchange(task, here)),
                Queue::Not => {
                    drop(task);
                    self.take(here)
                }
            };
        }
    }

    /// The task whose turn it is on CPU `here`.
    fn take(&self, here: CpuId) -> Option<Arc<Task<B>>> {
        if self.pinned_to(here) != 0
            && let Some(own) = self.pinned.get(here.index())
            && (own.take_turn() || self.queued.load(Ordering::Relaxed) == 0)
        {
            return self.pop(own);
        }
        if self.queued.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut queue = self.queue.lock();
        let next = queue.pop_front();
        self.queued.store(queue.len(), Ordering::Relaxed);
        next
    }

    /// Queues `task`, which may run everywhere, and takes the one whose turn it is. If that is the one at the head, the
    /// queue stays as long as it was, so there is nothing to tell sleeping CPUs.
    fn exchange(&self, task: Arc<Task<B>>, here: CpuId) -> Arc<Task<B>> {
        if !self.has_waiting(here) {
            return task;
        }
        if self.pinned_to(here) != 0
            && let Some(next) = self.pinned.get(here.index()).and_then(|own| self.pop(own))
        {
            self.enqueue(task);
            return next;
        }
        let mut queue = self.queue.lock();
        match queue.pop_front() {
            Some(next) => {
                queue.push_back(task);
                next
            }
            None => task,
        }
    }

    /// Marks this CPU asleep, unless there is work after all; returns whether it may sleep.
    pub(crate) fn enter_idle(&self, cpu: CpuId) -> bool {
        self.idle.fetch_or(CpuSet::single(cpu).0, Ordering::SeqCst);
        let own = self.pinned.get(cpu.index()).map_or(0, |pinned| pinned.queued.load(Ordering::SeqCst));
        if self.queued.load(Ordering::SeqCst) != 0 || own != 0 {
            self.leave_idle(cpu);
            return false;
        }
        true
    }

    /// This CPU looks at the queue again.
    pub(crate) fn leave_idle(&self, cpu: CpuId) {
        self.idle.fetch_and(!CpuSet::single(cpu).0, Ordering::SeqCst);
    }

    fn enqueue(&self, task: Arc<Task<B>>) {
        if task.pinned.load(Ordering::Relaxed) {
            return self.enqueue_pinned(task);
        }
        {
            let mut queue = self.queue.lock();
            queue.push_back(task);
            self.queued.store(queue.len(), Ordering::SeqCst);
        }
        let idle = CpuSet(self.idle.load(Ordering::SeqCst));
        if !idle.is_empty()
            && let Some(cpu) = idle.iter().next()
        {
            self.rouse(cpu);
        }
    }

    /// Queues a task for one of its CPUs: a sleeping one, or its last one, or the one for which the fewest wait.
    fn enqueue_pinned(&self, task: Arc<Task<B>>) {
        let wanted = CpuSet(task.cpus.load(Ordering::Relaxed) & self.cpu.online().0);
        let last = CpuId(task.cpu.load(Ordering::Relaxed));
        let asleep = CpuSet(wanted.0 & self.idle.load(Ordering::SeqCst)).iter().next();
        let shortest = || wanted.iter().min_by_key(|cpu| (self.pinned_to(*cpu), *cpu != last));
        let cpu = asleep.or_else(shortest).unwrap_or(last);
        if let Some(queue) = self.pinned.get(cpu.index()) {
            self.confined.fetch_add(1, Ordering::SeqCst);
            queue.push(task);
            self.rouse(cpu);
        }
    }

    fn pop(&self, own: &Pinned<B>) -> Option<Arc<Task<B>>> {
        let task = own.pop()?;
        self.confined.fetch_sub(1, Ordering::SeqCst);
        Some(task)
    }

    /// Wakes a CPU if it sleeps. Whoever clears the bit sends the interrupt: one per sleeper, not one per task.
    fn rouse(&self, cpu: CpuId) {
        let bit = CpuSet::single(cpu).0;
        if self.idle.load(Ordering::SeqCst) & bit != 0 && self.idle.fetch_and(!bit, Ordering::SeqCst) & bit != 0 {
            self.cpu.reschedule(cpu);
        }
    }
}

impl<B: Body> Pinned<B> {
    const fn new() -> Self {
        Self { ends: SpinLock::new(Rank::RUN_QUEUE, None), queued: AtomicUsize::new(0), turn: AtomicBool::new(false) }
    }

    /// Every other time.
    fn take_turn(&self) -> bool {
        let turn = self.turn.load(Ordering::Relaxed);
        self.turn.store(!turn, Ordering::Relaxed);
        turn
    }

    fn push(&self, task: Arc<Task<B>>) {
        let mut ends = self.ends.lock();
        match ends.as_mut() {
            Some(ends) => {
                *ends.last.behind.lock() = Some(task.clone());
                ends.last = task;
            }
            None => *ends = Some(Ends { first: task.clone(), last: task }),
        }
        self.queued.fetch_add(1, Ordering::SeqCst);
    }

    fn pop(&self) -> Option<Arc<Task<B>>> {
        let mut ends = self.ends.lock();
        let Ends { first, last } = ends.take()?;
        let behind = first.behind.lock().take();
        // One of the two references to a last task goes here; the other is what is returned.
        *ends = behind.map(|first| Ends { first, last });
        self.queued.fetch_sub(1, Ordering::SeqCst);
        Some(first)
    }
}

/// Whether a polled task goes back into the queue.
enum Queue {
    Again,
    Not,
}

impl<B: Body> Task<B> {
    fn poll(&self, here: CpuId) -> Queue {
        let progress = match self.body.lock().as_mut() {
            // Still Queued: the caller brings it to where it belongs.
            Some((body, _)) if !self.may_run(body, here) => return Queue::Again,
            Some((body, waker)) => {
                self.cpu.store(here.0, Ordering::Relaxed);
                // A full barrier, as in `claim_wake_up`: either the waker sees this state or the poll sees what it was woken for.
                self.state.swap(RUNNING, Ordering::SeqCst);
                body.poll(here, &mut Context::from_waker(waker))
            }
            // Not reached: what is done is not queued.
            None => Progress::Done,
        };
        match progress {
            Progress::Waits => {
                if self.state.compare_exchange(RUNNING, IDLE, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                    return Queue::Not;
                }
                // Woken meanwhile.
                self.state.store(QUEUED, Ordering::Release);
                Queue::Again
            }
            // It goes on anyway, whether woken meanwhile or not.
            Progress::Yields => {
                self.state.store(QUEUED, Ordering::Release);
                Queue::Again
            }
            Progress::Done => {
                self.state.store(DONE, Ordering::Release);
                // The body is dropped outside its lock: it owns a whole process's last references.
                let finished = self.body.lock().take();
                drop(finished);
                self.executor.live.fetch_sub(1, Ordering::Relaxed);
                Queue::Not
            }
        }
    }
}

impl<B: Body> Wake for Task<B> {
    fn wake(self: Arc<Self>) {
        if self.claim_wake_up() {
            let executor = self.executor;
            executor.enqueue(self);
        }
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.claim_wake_up() {
            self.executor.enqueue(self.clone());
        }
    }
}

impl<B: Body> Task<B> {
    /// Whether CPU `here` is one that the task may run on.
    #[inline]
    fn may_run(&self, body: &B, here: CpuId) -> bool {
        let changes = self.executor.changes.load(Ordering::Acquire);
        if changes != self.seen.load(Ordering::Relaxed) {
            self.note_cpus(body, changes);
        }
        !self.pinned.load(Ordering::Relaxed) || CpuSet(self.cpus.load(Ordering::Relaxed)).contains(here)
    }

    /// Notes on which CPUs the task may run, for whoever queues it.
    #[cold]
    fn note_cpus(&self, body: &B, changes: u32) {
        let cpus = body.cpus();
        self.seen.store(changes, Ordering::Relaxed);
        self.cpus.store(cpus.0, Ordering::Relaxed);
        self.pinned.store(self.executor.confines(cpus), Ordering::Relaxed);
    }

    /// Brings the CPU that polls it back from user mode, if that is another one.
    fn interrupt(&self) {
        let cpu = CpuId(self.cpu.load(Ordering::Relaxed));
        if cpu != self.executor.cpu.current() {
            self.executor.cpu.reschedule(cpu);
        }
    }

    /// Records a wake-up; whether the caller is to put the task into the queue.
    fn claim_wake_up(&self) -> bool {
        fence(Ordering::SeqCst);
        let mut state = self.state.load(Ordering::Acquire);
        loop {
            let next = match state {
                IDLE => QUEUED,
                RUNNING => NOTIFIED,
                // It may have looked at what it was woken for before, and have gone back to user mode since.
                NOTIFIED => {
                    self.interrupt();
                    return false;
                }
                _ => return false,
            };
            match self.state.compare_exchange_weak(state, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => {
                    if state == RUNNING {
                        self.interrupt();
                    }
                    return state == IDLE;
                }
                Err(now) => state = now,
            }
        }
    }
}
