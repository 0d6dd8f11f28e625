//! Runs tasks: each is one future, polled by whichever CPU takes it from the queue.
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
//! One queue for all CPUs, first come first served. An idle CPU is told by an inter-processor interrupt.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::task::Wake;
use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
use core::task::{Context, Poll, Waker};

use hal::Cpu;
use sync::{Rank, SpinLock};
use types::{CpuId, CpuSet};

/// A task's future.
pub(crate) type TaskFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

const IDLE: u8 = 0;
const QUEUED: u8 = 1;
const RUNNING: u8 = 2;
const NOTIFIED: u8 = 3;
const DONE: u8 = 4;

/// Taken before every other lock, for the length of a poll; never contended, since the state admits one poller.
const TASK_RANK: Rank = Rank(1);

/// A future and where it stands.
pub(crate) struct Task {
    state: AtomicU8,
    /// The CPU that polls it, or did so last.
    cpu: AtomicU32,
    future: SpinLock<Option<TaskFuture>>,
    executor: &'static Executor,
}

/// The queue of runnable tasks and who could run them.
pub(crate) struct Executor {
    queue: SpinLock<VecDeque<Arc<Task>>>,
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

impl Executor {
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

    /// Makes a task of `future`, runnable at once; `told` gets its waker before it runs. `false` when there is no memory
    /// for its place in the queue.
    #[must_use]
    pub(crate) fn spawn(&'static self, future: TaskFuture, told: impl FnOnce(Waker)) -> bool {
        let live = self.live.fetch_add(1, Ordering::Relaxed) + 1;
        {
            let mut queue = self.queue.lock();
            let missing = live.saturating_sub(queue.len());
            if queue.try_reserve(missing).is_err() {
                self.live.fetch_sub(1, Ordering::Relaxed);
                return false;
            }
        }
        let future = SpinLock::new(TASK_RANK, Some(future));
        let task = Arc::new(Task { state: AtomicU8::new(QUEUED), cpu: AtomicU32::new(0), future, executor: self });
        told(Waker::from(task.clone()));
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

    /// Polls the task at the head of the queue; `false` when there is none.
    pub(crate) fn run_one(&self) -> bool {
        if !self.has_waiting() {
            return false;
        }
        let next = {
            let mut queue = self.queue.lock();
            let next = queue.pop_front();
            self.queued.store(queue.len(), Ordering::Relaxed);
            next
        };
        let Some(task) = next else { return false };
        self.polls.fetch_add(1, Ordering::Relaxed);
        task.poll();
        true
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

    fn enqueue(&self, task: Arc<Task>) {
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

impl Task {
    fn poll(self: Arc<Self>) {
        self.cpu.store(self.executor.cpu.current().0, Ordering::Relaxed);
        // A full barrier, as in `claim_wake_up`: either the waker sees this state or the poll sees what it was woken for.
        self.state.swap(RUNNING, Ordering::SeqCst);
        let waker = Waker::from(self.clone());
        let outcome = {
            let mut slot = self.future.lock();
            match slot.as_mut() {
                Some(future) => future.as_mut().poll(&mut Context::from_waker(&waker)),
                None => Poll::Ready(()),
            }
        };
        if outcome.is_ready() {
            self.state.store(DONE, Ordering::Release);
            // The future is dropped outside its lock: it owns a whole process's last references.
            let finished = self.future.lock().take();
            drop(finished);
            self.executor.live.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        if self.state.compare_exchange(RUNNING, IDLE, Ordering::AcqRel, Ordering::Acquire).is_err() {
            self.state.store(QUEUED, Ordering::Release);
            let executor = self.executor;
            executor.enqueue(self);
        }
    }
}

impl Wake for Task {
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

impl Task {
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
