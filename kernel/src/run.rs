//! The life of a thread: user mode, a reason to leave it, what must be done about that, user mode again.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::{Context, Poll};

use hal::{Trap, UserContext};
use hal_x86_64::fpu::FpuArea;
use hal_x86_64::user;
use process::ExitStatus;
use syscall::{
    FutexSleep, KernelTask, NewThread, Next, OutOfMemory, Registers, RestartBlock, Served, Serving, System, Thread,
    VectorState,
};
use types::{CpuId, Nanos};

use crate::entry::{self, ATTEND, EXIT_GROUP, SCHED_YIELD, SIGRETURN, SlotFpu, ThreadSlot};
use crate::executor::{Body, Executor, Progress};
use crate::{attributes, cpu, executor};

/// Bytes of the future of a thread, once there has been one.
static LIFE_SIZE: AtomicUsize = AtomicUsize::new(0);

/// Bytes of the larger kernel objects that a process with one thread has, by name.
pub(crate) fn sizes() -> [(&'static str, usize); 6] {
    [
        ("process", size_of::<syscall::Process>()),
        ("thread", size_of::<syscall::Thread>()),
        ("slot", size_of::<ThreadSlot>()),
        ("life", LIFE_SIZE.load(Ordering::Relaxed)),
        // As the heap rounds them up, being aligned to 64.
        ("vectors", hal_x86_64::fpu::size().next_power_of_two()),
        ("number", process::ProcessTable::<syscall::Resources>::BYTES_PER_NUMBER),
    ]
}

/// Makes a task of a new thread and lets it run.
///
/// # Errors
/// [`OutOfMemory`]; the thread never runs.
pub(crate) fn start(
    system: &'static System,
    executor: &'static Executor<ThreadTask>,
    new: NewThread,
) -> Result<(), OutOfMemory> {
    let NewThread { process, thread, start, vector } = new;
    let space = process.space().ok_or(OutOfMemory)?;
    let area = match vector {
        VectorState::Initial => FpuArea::new(),
        VectorState::OfCaller => entry::copy_of_registers(),
    };
    let area = area.ok_or(OutOfMemory)?;
    entry::note_new_thread(&space);
    let slot = Arc::new(ThreadSlot::new(thread.clone(), space, area));
    let life = Box::pin(live(system, slot.clone(), start));
    LIFE_SIZE.store(size_of_val(&*life), Ordering::Relaxed);
    let task = ThreadTask::Running(Running { slot, life });
    executor.spawn(task, attributes::of(&thread), |waker| thread.set_waker(waker));
    Ok(())
}

/// Makes a task of a thread that has no program yet: it waits for one.
pub(crate) fn admit(system: &'static System, executor: &'static Executor<ThreadTask>, thread: Arc<Thread>) {
    let task = ThreadTask::Created(Box::pin(created(system, thread.clone())));
    executor.spawn(task, attributes::of(&thread), |waker| thread.set_waker(waker));
}

/// Runs a task of the kernel's own.
pub(crate) fn start_task(executor: &'static Executor<ThreadTask>, task: KernelTask) {
    let body = Box::pin(async move {
        task.await;
        None
    });
    executor.spawn(ThreadTask::Created(body), attributes::KERNEL, |_| ());
}

/// The life of a created thread until it has a program; `None` when it has ended without.
async fn created(system: &'static System, thread: Arc<Thread>) -> Option<Running> {
    let Some(start) = system.first_program(&thread).await else {
        system.thread_exit(&thread, None);
        return None;
    };
    let process = thread.process().clone();
    let (Some(space), Some(area)) = (process.space(), FpuArea::new()) else {
        system.thread_exit(&thread, Some(ExitStatus::KILLED));
        return None;
    };
    let slot = Arc::new(ThreadSlot::new(thread, space, area));
    let life = Box::pin(live(system, slot.clone(), start));
    Some(Running { slot, life })
}

/// A thread's task.
pub(crate) enum ThreadTask {
    /// It has a program.
    Running(Running),
    /// It waits for one, or is the kernel's own and never gets one.
    Created(Pin<Box<dyn Future<Output = Option<Running>> + Send>>),
}

/// A thread's life, polled with its memory active and itself as the CPU's current thread.
pub(crate) struct Running {
    slot: Arc<ThreadSlot>,
    life: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Body for ThreadTask {
    #[inline]
    fn executor() -> &'static Executor<Self> {
        executor()
    }

    fn done() -> Self {
        Self::Created(Box::pin(core::future::pending()))
    }

    #[cold]
    fn note_wait(&self, waited: Nanos) {
        if let Self::Running(Running { slot, .. }) = self {
            slot.note_wait(waited);
        }
    }

    // The one call of it is in the loop that every switch goes through.
    #[inline(always)]
    fn poll(&mut self, here: CpuId, cx: &mut Context<'_>) -> (Progress, Nanos) {
        match self {
            Self::Running(Running { slot, life }) => entry::with_slot(slot, here, || life.as_mut().poll(cx)),
            Self::Created(_) => (self.poll_created(cx), Nanos::ZERO),
        }
    }
}

impl ThreadTask {
    /// Waits for a program.
    #[cold]
    fn poll_created(&mut self, cx: &mut Context<'_>) -> Progress {
        let Self::Created(waiting) = self else { return Progress::Yields };
        match waiting.as_mut().poll(cx) {
            Poll::Pending => Progress::Waits,
            Poll::Ready(None) => Progress::Done,
            Poll::Ready(Some(running)) => {
                *self = Self::Running(running);
                Progress::Yields
            }
        }
    }
}

#[expect(clippy::manual_async_fn, reason = "an async function keeps room for its arguments twice")]
fn live(
    system: &'static System,
    slot: Arc<ThreadSlot>,
    mut context: UserContext,
) -> impl Future<Output = ()> + Send + 'static {
    async move {
        let mut restart = None;
        // Whether there is a signal, or an interrupted call to decide about.
        let mut attend = slot.thread.signals().needs_attention();
        loop {
            if attend {
                match self::attend(system, &slot, &mut context, &mut restart) {
                    Next::User => {}
                    Next::Exit => break,
                    Next::Stopped => {
                        syscall::parked(&slot.thread).await;
                        continue;
                    }
                    Next::Held => {
                        let held: Pin<Box<dyn Future<Output = ()> + Send>> =
                            Box::pin(syscall::held(slot.caller(system)));
                        held.await;
                        continue;
                    }
                }
            }
            slot.load_registers(&context);
            slot.enter_user();
            let trap = user::enter_user(&mut context);
            slot.leave_user();
            user::save_bases(&mut context);
            // Whatever else was noted is looked at below.
            let work = hal_x86_64::cpu::take_work();
            if let Trap::Interrupt { .. } = trap {
                if work == ATTEND {
                    // No interrupt: a call served in the stub has left a signal. Interrupts that wait come in user mode.
                    attend = true;
                    continue;
                }
                // A program that never blocks is charged once per tick.
                slot.charge();
                cpu::serve_interrupt(system);
                slot.reconsider_way();
            }
            let is_call = matches!(trap, Trap::Syscall);
            // Calls that are filtered or translated go no short way.
            if is_call && context.orig_rax == SCHED_YIELD && !slot.thread.is_detoured() {
                context.rax = 0;
                slot.give_way(Progress::Yields).await;
                attend = slot.thread.signals().needs_attention();
                continue;
            }
            if is_call && context.orig_rax == SIGRETURN && !slot.thread.is_detoured() {
                sigreturn(system, &slot, &mut context, &mut restart);
                attend = slot.thread.signals().needs_attention();
                continue;
            }
            // The most frequent reasons to wait, without the ceremony of the others.
            if let Some(pipe) = slot.take_empty_pipe() {
                let result = pipe.wait(slot.caller(system), &context).await;
                context.rax = syscall::return_value(result);
                attend = result.is_err() || slot.thread.signals().needs_attention();
                continue;
            }
            if slot.take_sleeps() {
                let result = FutexSleep::new(slot.caller(system), &*slot).await;
                context.rax = syscall::return_value(result);
                attend = result.is_err() || slot.thread.signals().needs_attention();
                continue;
            }
            // Never comes back: nothing of what follows is needed.
            if is_call && context.orig_rax == EXIT_GROUP && !slot.thread.is_filtered() {
                let status = syscall::exit_group(slot.caller(system), context.rdi);
                system.thread_exit(&slot.thread, Some(status));
                return;
            }
            let served = {
                let bases = (context.fs_base, context.gs_base);
                let mut fpu = SlotFpu(&slot);
                let mut registers = Registers {
                    context: &mut context,
                    fpu: &mut fpu,
                    restart: &mut restart,
                    exit: None,
                    new_space: None,
                };
                let (result, unchanged) = 'served: {
                    let (waiting, is_call) = match syscall::serve(slot.caller(system), &mut registers, trap) {
                        Serving::Answered(result) => break 'served (Some(result), Some(bases)),
                        Serving::Settled => break 'served (None, Some(bases)),
                        Serving::Call(waiting) => (waiting, true),
                        Serving::Fault(waiting) => (waiting, false),
                    };
                    let result = waiting.await;
                    // What was before is not worth remembering: the registers are loaded anew after most waits.
                    (is_call.then_some(result), None)
                };
                if unchanged != Some((registers.context.fs_base, registers.context.gs_base)) {
                    slot.bases_changed(registers.context);
                }
                let served = syscall::served(slot.caller(system), &mut registers, result);
                if let Some(space) = registers.new_space.take() {
                    slot.replace_space(space);
                }
                served
            };
            attend = match served {
                Served::Done => false,
                Served::Attend => true,
                Served::Exit(status) => {
                    system.thread_exit(&slot.thread, Some(status));
                    return;
                }
            };
            // After a fork the child runs first where only it waits for a CPU: most end or execute a program soon, and every
            // page and table that the parent writes to before that has to be copied.
            let here = hal_x86_64::cpu::current();
            let child_first = slot.take_forked() && executor().sole_waiter(here);
            // Its time is over, somebody is more urgent, or it may not run here any more.
            if child_first || executor().scheduler().wants_switch(here) {
                slot.give_way(if child_first { Progress::YieldsToChild } else { Progress::Preempted }).await;
                // Nobody interrupts a thread that waits for a CPU.
                attend |= slot.thread.signals().needs_attention();
            }
        }
        system.thread_exit(&slot.thread, None);
    }
}

/// Goes back to where a handler has interrupted the program.
#[inline(never)]
fn sigreturn(
    system: &'static System,
    slot: &ThreadSlot,
    context: &mut UserContext,
    restart: &mut Option<Box<RestartBlock>>,
) {
    let mut fpu = SlotFpu(slot);
    let mut registers = Registers { context, fpu: &mut fpu, restart, exit: None, new_space: None };
    syscall::sigreturn(slot.caller(system), &mut registers);
}

/// Delivers signals, begins stops and ends. Apart, so that the loop above keeps its registers.
#[inline(never)]
fn attend(
    system: &'static System,
    slot: &ThreadSlot,
    context: &mut UserContext,
    restart: &mut Option<Box<RestartBlock>>,
) -> Next {
    if !slot.thread.signals().needs_attention() && !syscall::was_interrupted(context) {
        return Next::User;
    }
    let mut fpu = SlotFpu(slot);
    let caller = slot.caller(system);
    let next = syscall::attend(caller, &mut Registers { context, fpu: &mut fpu, restart, exit: None, new_space: None });
    if next == Next::User {
        slot.watch_share();
    }
    next
}
