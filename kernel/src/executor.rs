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
//! A task that only lets others run goes from Running or Notified straight back to Queued. One queue for all CPUs, first
//! come first served. An idle CPU is told by an inter-processor interrupt.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::task::Wake;
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
use core::task::{Context, Waker};

use hal::Cpu;
use sync::{Rank, SpinLock};
use types::{CpuId, CpuSet};

/// What a task does.
pub(crate) trait Body: Send + 'static {
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

/// A body and where it stands.
pub(crate) struct Task<B: Body> {
    state: AtomicU8,
    /// The CPU that polls it, or did so last.
    cpu: AtomicU32,
    /// With the body its waker, made once: a reference from the task to itself, until it is done.
    body: SpinLock<Option<(B, Waker)>>,
    executor: &'static Executor<B>,
}

/// The queue of runnable tasks and who could run them.
pub(crate) struct Executor<B: Body> {
    queue: SpinLock<VecDeque<Arc<Task<B>>>>,
    /// Length of the queue, for a look without the lock.
    queued: AtomicUsize,
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
        let empty = SpinLock::new(TASK_RANK, None);
        let task = Arc::new(Task { state: AtomicU8::new(QUEUED), cpu: AtomicU32::new(0), body: empty, executor: self });
        let waker = Waker::from(task.clone());
        // Free, since nobody else knows the task; not asked for in order, since the task that makes this one is locked.
        if let Some(mut place) = task.body.try_lock() {
            *place = Some((body, waker.clone()));
        }
        told(waker);
        self.enqueue(task);
        true
    }

    /// Whether some task waits for a CPU.
    pub(crate) fn has_waiting(&self) -> bool {
        self.queued.load(Ordering::Relaxed) != 0
    }

    /// Whether exactly one task waits for a CPU and no CPU is about to take it: it runs next if the caller gives way.
    pub(crate) fn sole_waiter(&self) -> bool {
        self.waiting() == 1 && self.idle.load(Ordering::Relaxed) == 0
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
        self.queued.load(Ordering::Relaxed)
    }

    /// Polls tasks on this CPU, which is `here`, until none waits for one.
    pub(crate) fn run(&self, here: CpuId) {
        let mut next = self.take();
        while let Some(task) = next {
            self.polls.fetch_add(1, Ordering::Relaxed);
            next = match task.poll(here) {
                Queue::Again => Some(self.exchange(task)),
                Queue::Not => {
                    drop(task);
                    self.take()
                }
            };
        }
    }

    /// The task at the head of the queue.
    fn take(&self) -> Option<Arc<Task<B>>> {
        if !self.has_waiting() {
            return None;
        }
        let mut queue = self.queue.lock();
        let next = queue.pop_front();
        self.queued.store(queue.len(), Ordering::Relaxed);
        next
    }

    /// Queues `task` and takes the one at the head. The queue stays as long as it was, so there is nothing to tell
    /// sleeping CPUs.
    fn exchange(&self, task: Arc<Task<B>>) -> Arc<Task<B>> {
        if !self.has_waiting() {
            return task;
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
        if self.queued.load(Ordering::SeqCst) != 0 {
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
        {
            let mut queue = self.queue.lock();
            queue.push_back(task);
            self.queued.store(queue.len(), Ordering::SeqCst);
        }
        let idle = CpuSet(self.idle.load(Ordering::SeqCst));
        if !idle.is_empty()
            && let Some(cpu) = idle.iter().next()
            // Whoever clears the bit sends the interrupt: one per sleeper, not one per task.
            && self.idle.fetch_and(!CpuSet::single(cpu).0, Ordering::SeqCst) & CpuSet::single(cpu).0 != 0
        {
            self.cpu.reschedule(cpu);
        }
    }
}

/// Whether a polled task goes back into the queue.
enum Queue {
    Again,
    Not,
}

impl<B: Body> Task<B> {
    fn poll(&self, here: CpuId) -> Queue {
        self.cpu.store(here.0, Ordering::Relaxed);
        // A full barrier, as in `claim_wake_up`: either the waker sees this state or the poll sees what it was woken for.
        self.state.swap(RUNNING, Ordering::SeqCst);
        let progress = match self.body.lock().as_mut() {
            Some((body, waker)) => body.poll(here, &mut Context::from_waker(waker)),
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
