//! Runs tasks: each is polled by whichever CPU the scheduler gives it to, until it is done.
//!
//! The decisions are those of the crate `sched`: which task, where, for how long, and that no task is ever polled on two CPUs and no
//! wake-up is lost. Here they are carried out: polls, wakers, interrupts to other CPUs.

use alloc::sync::Arc;
use alloc::task::Wake;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use core::task::{Context, Waker};

use hal::{Cpu, Timer};
use hal_x86_64::{Machine, cpu};
use sched::{Entity, Key, Local, Next, Phase, Placement, Policy, Schedulable, Scheduler};
use sync::{LentWaker, Linked, Links, Rank, SpinLock};
use types::{CpuId, CpuSet, MAX_CPUS, Nanos};

/// What a task does.
pub(crate) trait Body: Send + Sized + 'static {
    /// Who runs such tasks.
    fn executor() -> &'static Executor<Self>;

    /// What stands in the place of one that is done: it takes no memory, and nobody polls it.
    fn done() -> Self;

    /// It waited that long for a CPU.
    fn note_wait(&self, waited: Nanos);

    /// Goes on, on CPU `here`, as far as it can. How far that was, and how long it took.
    fn poll(&mut self, here: CpuId, cx: &mut Context<'_>) -> (Progress, Nanos);
}

/// How a task is to be scheduled.
#[derive(Clone, Copy)]
pub(crate) struct Attributes {
    /// Class, level and share.
    pub(crate) policy: Policy,
    /// CPUs it may run on; if none of them is online, all.
    pub(crate) cpus: CpuSet,
}

/// What a wake-up may bring in place of waking.
#[derive(Clone, Copy)]
enum News {
    /// How the task is to be scheduled.
    Attributes(Attributes),
    /// What it is lent.
    Loan(Option<Key>),
    /// Where is it?
    Question,
    /// There; it has waited for so long since that was noted last, and is in this phase.
    Answer(CpuId, Nanos, Phase),
}

/// How far a poll came. Odd: the task did not ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Progress {
    /// It waits: its waker says when to go on.
    Waits = 0,
    /// It could go on, but its time is over or somebody is more urgent.
    Preempted = 1,
    /// It could go on, after others like it that wait for a CPU.
    Yields = 2,
    /// It could go on, after a new child, which waits for a CPU.
    YieldsToChild = 3,
    /// There will be nothing more to do.
    Done = 4,
}

impl Progress {
    /// Whether the task neither waits nor wanted to give way.
    #[inline]
    pub(crate) const fn is_involuntary(self) -> bool {
        self as u8 & 1 != 0
    }
}

/// Of what a CPU tells itself: taken for a moment, under whatever a wake-up may be under.
const NEWS_RANK: Rank = Rank(Rank::RUN_QUEUE.0 - 1);
/// Taken before every other lock, for the length of a poll; never contended, since there is one poller.
const TASK_RANK: Rank = Rank(1);

/// A body and where it stands.
pub(crate) struct Task<B: Body> {
    entity: Entity<Self>,
    body: SpinLock<B>,
}

impl<B: Body> Linked for Task<B> {
    #[inline]
    fn links(&self) -> &Links<Self> {
        self.entity.links()
    }
}

impl<B: Body> Schedulable for Task<B> {
    #[inline]
    fn entity(&self) -> &Entity<Self> {
        &self.entity
    }
}

/// All tasks and who runs them.
pub(crate) struct Executor<B: Body> {
    scheduler: Scheduler<Task<B>>,
    /// Tasks not done yet.
    live: AtomicUsize,
    /// CPUs whose next wake-up is not one but brings the task news.
    refreshing: AtomicU64,
    /// Those, by CPU.
    news: [SpinLock<Option<News>>; MAX_CPUS],
    cpu: &'static dyn Cpu,
}

impl<B: Body> Executor<B> {
    pub(crate) const fn new(cpu: &'static dyn Cpu) -> Self {
        Self {
            scheduler: Scheduler::new(),
            live: AtomicUsize::new(0),
            refreshing: AtomicU64::new(0),
            news: [const { SpinLock::new(NEWS_RANK, None) }; MAX_CPUS],
            cpu,
        }
    }

    /// The scheduler, for its figures.
    pub(crate) const fn scheduler(&self) -> &Scheduler<Task<B>> {
        &self.scheduler
    }

    /// Makes a task of `body`, runnable at once; `told` gets its waker before it runs. A task that waits lives as long as somebody
    /// has a waker of it.
    pub(crate) fn spawn(&self, body: B, attributes: Attributes, told: impl FnOnce(Waker)) {
        self.live.fetch_add(1, Ordering::Relaxed);
        let task = Arc::new(Task {
            entity: Entity::new(attributes.policy, attributes.cpus),
            body: SpinLock::new(TASK_RANK, body),
        });
        told(Waker::from(task.clone()));
        let here = cpu::current();
        let placement = self.scheduler.add_task(task, here, Machine.now());
        self.tell(placement, here);
    }

    /// The task that `wake` wakes has new attributes: the scheduler is to know at once, and the task need not wake.
    pub(crate) fn refresh(&self, attributes: Attributes, wake: impl FnOnce()) {
        self.bring(News::Attributes(attributes), wake);
    }

    /// The task that `wake` wakes is to run at that key at least, `None`: no longer; and need not wake.
    pub(crate) fn lend(&self, key: Option<Key>, wake: impl FnOnce()) {
        self.bring(News::Loan(key), wake);
    }

    /// The CPU of the task that `wake` wakes, which need not wake, and its wait that nobody has taken note of yet.
    pub(crate) fn whereabouts(&self, wake: impl FnOnce()) -> (CpuId, Nanos) {
        self.ask(wake).map_or_else(Default::default, |(cpu, waited, _)| (cpu, waited))
    }

    /// Whether the task that `wake` wakes waits for a CPU just now; it need not wake.
    pub(crate) fn is_queued(&self, wake: impl FnOnce()) -> bool {
        self.ask(wake).is_some_and(|(.., phase)| phase == Phase::Queued)
    }

    fn ask(&self, wake: impl FnOnce()) -> Option<(CpuId, Nanos, Phase)> {
        self.bring(News::Question, wake);
        match self.news.get(cpu::current().index())?.lock().take() {
            Some(News::Answer(cpu, waited, phase)) => Some((cpu, waited, phase)),
            _ => None,
        }
    }

    fn bring(&self, it: News, wake: impl FnOnce()) {
        let here = cpu::current();
        let bit = CpuSet::single(here).0;
        if let Some(news) = self.news.get(here.index()) {
            *news.lock() = Some(it);
        }
        self.refreshing.fetch_or(bit, Ordering::Relaxed);
        wake();
        self.refreshing.fetch_and(!bit, Ordering::Relaxed);
    }

    /// Whether some task waits for CPU `here`.
    #[inline]
    pub(crate) fn has_waiting(&self, here: CpuId) -> bool {
        self.scheduler.waiting(here) != 0
    }

    /// Whether exactly one task waits for this CPU, and none is about to take it: it runs next if the caller gives way.
    pub(crate) fn sole_waiter(&self, here: CpuId) -> bool {
        self.scheduler.waiting(here) == 1 && self.scheduler.idle_cpus().is_empty()
    }

    /// Tasks that have not ended.
    pub(crate) fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    /// Polls so far: switches to a task.
    pub(crate) fn polls(&self) -> u64 {
        self.cpu.online().iter().filter_map(|cpu| self.scheduler.cpu_stats(cpu)).map(|stats| stats.switches).sum()
    }

    /// Tasks that run or wait for a CPU.
    pub(crate) fn running(&self) -> usize {
        self.scheduler.runnable() as usize
    }

    /// Polls tasks on this CPU, which is `here`, until none waits for one.
    pub(crate) fn run(&self, here: CpuId, now: Nanos) {
        let Ok(local) = self.scheduler.local(here) else { return };
        let Some(mut task) = self.prepare((local.schedule(now), None), here) else { return };
        loop {
            let (progress, ran) = task.poll(here);
            let long = match progress {
                Progress::Waits => match local.block(task, ran) {
                    Ok(next) => {
                        task = next;
                        continue;
                    }
                    Err(blocked) => local.block_long(blocked),
                },
                Progress::Yields | Progress::YieldsToChild => match local.rotate(task, ran) {
                    Ok(next) => {
                        task = next;
                        continue;
                    }
                    Err(task) => local.yield_task(task),
                },
                Progress::Preempted => local.preempt(task, ran),
                Progress::Done => (self.finish(&local, here, task, ran), None),
            };
            match self.prepare(long, here) {
                Some(next) => task = next,
                None => return,
            }
        }
    }

    /// Makes ready for what the scheduler has decided.
    fn prepare(&self, (next, moved): (Option<Next<Task<B>>>, Option<Placement>), here: CpuId) -> Option<Arc<Task<B>>> {
        if let Some(placement) = moved {
            self.tell(placement, here);
        }
        let Next { task, slice_ns } = next?;
        if slice_ns != 0 {
            crate::cpu::arm_slice(slice_ns);
        }
        Some(task)
    }

    /// The clock ticks on this CPU, where the current task has run for `ran`.
    /// Returns how soon it has to tick again.
    pub(crate) fn tick(&self, here: CpuId, now: Nanos, ran: Nanos) -> Nanos {
        let tick = self.scheduler.tick(here, now, ran);
        if let Some(sleeper) = tick.kick {
            self.cpu.reschedule(sleeper);
        }
        tick.again
    }

    #[cold]
    fn finish(&self, local: &Local<'_, Task<B>>, here: CpuId, task: Arc<Task<B>>, ran: Nanos) -> Option<Next<Task<B>>> {
        // Dropped outside of its lock: it owns a whole process's last references.
        let body = core::mem::replace(&mut *task.body.lock(), B::done());
        drop(body);
        self.live.fetch_sub(1, Ordering::Relaxed);
        // One that waits alone comes to user mode soon.
        if self.scheduler.waiting(here) > 1 {
            crate::cpu::serve_between(ran);
        }
        local.end_task(task, ran)
    }

    /// Makes a CPU choose anew where the scheduler wants that.
    #[inline]
    fn tell(&self, placement: Placement, here: CpuId) {
        if !placement.preempt {
            return;
        }
        if placement.cpu == here { crate::cpu::attend_to_switch() } else { self.cpu.reschedule(placement.cpu) }
    }

    /// Brings what the scheduler knows of a task up to date.
    #[cold]
    fn look_again(&self, task: &Arc<Task<B>>, here: CpuId) {
        let Some(place) = self.news.get(here.index()) else { return };
        let news = place.lock().take();
        let Attributes { policy, cpus } = match news {
            Some(News::Attributes(attributes)) => attributes,
            Some(News::Loan(key)) => {
                if task.entity.lent() != key
                    && let Some(placement) = self.scheduler.lend(task, key, here)
                {
                    self.tell(placement, here);
                }
                return;
            }
            Some(News::Question) => {
                *place.lock() =
                    Some(News::Answer(task.entity.cpu(), task.entity.uncharged_wait(), task.entity.phase()));
                return;
            }
            Some(News::Answer(..)) | None => return,
        };
        if task.entity.affinity() != cpus
            && let Ok(Some(placement)) = self.scheduler.set_affinity(task, cpus, here)
        {
            self.tell(placement, here);
        }
        if task.entity.policy() != policy
            && let Some(placement) = self.scheduler.set_priority(task, policy, here)
        {
            self.tell(placement, here);
        }
    }

    /// Carries out a wake-up.
    #[inline]
    fn carry_out(&self, wake: sched::Wake, here: CpuId) {
        match wake {
            sched::Wake::Placed(placement) => self.tell(placement, here),
            // It may be in user mode there.
            sched::Wake::Running(cpu) if cpu != here => self.cpu.reschedule(cpu),
            _ => {}
        }
    }

    /// Whether a wake-up on this CPU is a request to look at the task's attributes.
    #[inline]
    fn is_refreshing(&self, here: CpuId) -> bool {
        let refreshing = self.refreshing.load(Ordering::Relaxed);
        refreshing != 0 && CpuSet(refreshing).contains(here)
    }
}

impl<B: Body> Task<B> {
    #[cold]
    fn note_wait(&self) {
        self.body.lock().note_wait(self.entity.take_wait());
    }

    #[inline]
    fn poll(self: &Arc<Self>, here: CpuId) -> (Progress, Nanos) {
        let waker = LentWaker::new(self);
        if self.entity.has_notable_wait() {
            self.note_wait();
        }
        self.body.lock().poll(here, &mut Context::from_waker(&waker))
    }
}

impl<B: Body> Wake for Task<B> {
    fn wake(self: Arc<Self>) {
        let executor = B::executor();
        let here = cpu::current();
        if executor.is_refreshing(here) {
            return executor.look_again(&self, here);
        }
        executor.carry_out(executor.scheduler.unblock_owned(self, here, || Machine.now()), here);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let executor = B::executor();
        let here = cpu::current();
        if executor.is_refreshing(here) {
            return executor.look_again(self, here);
        }
        executor.carry_out(executor.scheduler.unblock(self, here, || Machine.now()), here);
    }
}
