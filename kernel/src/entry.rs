//! The border to user mode, as far as it needs `unsafe`: which thread a CPU runs, its memory and vector registers, and
//! the hooks that the entry stubs call.
//!
//! A [`ThreadSlot`] is what one thread owns of the machine. Only the CPU that polls the thread's future touches it, and a
//! future is polled by one CPU at a time ([`crate::executor`]): that is what makes the cells inside sound. While a poll
//! lasts, the CPU's owner pointer ([`cpu::owner`]) is that of the slot.

use alloc::sync::Arc;
use core::arch::asm;
use core::cell::{Cell, UnsafeCell};
use core::mem::ManuallyDrop;
use core::pin::Pin;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use core::task::{Context, Poll};

use hal::{Cpu, PageFault, Timer, UserContext};
use hal_x86_64::acpi::Topology;
use hal_x86_64::fpu::FpuArea;
use hal_x86_64::user::{self, FastOutcome};
use hal_x86_64::{Machine, cpu, paging, set_kernel_fault, smp, time};
use memory::{AddressSpace, FaultOutcome};
use process::{ProcessState, ProcessTable, SwitchKind};
use syscall::{Caller, EmptyPipe, FpuState, FutexPlace, Short, ShortFutex, SysError, SysResult, System, Thread};
use types::{CpuId, MAX_CPUS, Nanos};

use crate::executor::Progress;

/// What a CPU keeps from one poll to the next. Only that CPU touches it.
struct Here {
    /// The address space it translates by, kept alive by this reference (`Arc::into_raw`). Null: the kernel's own tables.
    active: AtomicPtr<AddressSpace>,
    /// Cycle count at the end of the last poll, or when it began to poll after a rest.
    since: AtomicU64,
    /// Nanoseconds charged since the poll under way began.
    ran: AtomicU64,
    /// Nanoseconds that threads have spent here in user mode, since boot.
    user: AtomicU64,
    /// The same for their time in the kernel.
    system: AtomicU64,
}

impl Here {
    const fn new() -> Self {
        Self {
            active: AtomicPtr::new(ptr::null_mut()),
            since: AtomicU64::new(0),
            ran: AtomicU64::new(0),
            user: AtomicU64::new(0),
            system: AtomicU64::new(0),
        }
    }
}

static HERE: [Here; MAX_CPUS] = [const { Here::new() }; MAX_CPUS];

fn here(cpu: CpuId) -> &'static Here {
    static NOWHERE: Here = Here::new();
    HERE.get(cpu.index()).unwrap_or(&NOWHERE)
}

/// What one thread owns of the machine.
pub(crate) struct ThreadSlot {
    pub(crate) thread: Arc<Thread>,
    /// Its cell wants to know of its time on a CPU.
    metered: bool,
    /// How long it waited for the CPU before it got it, if that was long.
    waited: Cell<Nanos>,
    space: UnsafeCell<Arc<AddressSpace>>,
    fpu: UnsafeCell<FpuArea>,
    /// The vector registers of the CPU that polls are this thread's and newer than `fpu`.
    fpu_live: Cell<bool>,
    /// `fpu` and the segment bases must be loaded before user mode.
    stale: Cell<bool>,
    /// Cycle count since when time is not accounted yet, on the CPU that polls, whose counter never goes back: the begin of the poll, or the last change between user mode and
    /// kernel.
    since: Cell<u64>,
    /// Cycles in user mode that are not charged yet.
    user_cycles: Cell<u64>,
    /// Cycles in the kernel that are not charged yet.
    system_cycles: Cell<u64>,
    /// Since `since` the program runs, the entry stubs' short calls included.
    in_user: Cell<bool>,
    /// The poll under way ends because others shall run, not because there is something to wait for.
    gives_way: Cell<Progress>,
    /// The call under way has made a process with a copy of this memory.
    forked: Cell<bool>,
    /// From the entry stub to the thread's own loop: what the call that takes this way has to wait for.
    empty_pipe: Cell<Option<EmptyPipe>>,
    /// The same: it sleeps on a futex, in the place below.
    sleeps: Cell<bool>,
    futex: FutexPlace,
}

// SAFETY: the cells are touched only by the CPU that polls the thread's future, and it is polled by one at a time.
unsafe impl Sync for ThreadSlot {}
// SAFETY: nothing in it is bound to a CPU between two polls.
unsafe impl Send for ThreadSlot {}

impl AsRef<FutexPlace> for ThreadSlot {
    #[inline]
    fn as_ref(&self) -> &FutexPlace {
        &self.futex
    }
}

impl ThreadSlot {
    pub(crate) fn new(thread: Arc<Thread>, space: Arc<AddressSpace>, fpu: FpuArea) -> Self {
        let cell = thread.process().cell();
        if cell.is_some() {
            // Born in a cell that stands still, or has used up its share, it does not run.
            thread.signals().hold();
        }
        Self {
            metered: cell.is_some_and(|cell| cell.is_metered()),
            waited: Cell::new(Nanos::ZERO),
            thread,
            space: UnsafeCell::new(space),
            fpu: UnsafeCell::new(fpu),
            fpu_live: Cell::new(false),
            stale: Cell::new(true),
            since: Cell::new(0),
            user_cycles: Cell::new(0),
            system_cycles: Cell::new(0),
            in_user: Cell::new(false),
            gives_way: Cell::new(Progress::Waits),
            forked: Cell::new(false),
            empty_pipe: Cell::new(None),
            sleeps: Cell::new(false),
            futex: FutexPlace::new(),
        }
    }

    /// The thread's memory. By its own task only.
    pub(crate) fn space(&self) -> &Arc<AddressSpace> {
        // SAFETY: `replace_space` is called by the same task, with no reference from here alive.
        unsafe { &*self.space.get() }
    }

    /// The thread as system calls know it. By its own task only.
    #[inline]
    pub(crate) fn caller(&self, system: &'static System) -> Caller<'_> {
        Caller { system, process: self.thread.process(), thread: &self.thread, space: self.space() }
    }

    /// Goes on with other memory (exec), active at once; no reference from [`ThreadSlot::space`] may be alive.
    pub(crate) fn replace_space(&self, space: Arc<AddressSpace>) {
        activate(&space);
        // SAFETY: the only task that reads it is this one, and the caller holds no reference.
        let old = unsafe { core::mem::replace(&mut *self.space.get(), space) };
        drop(old);
    }

    /// User mode begins: the time since the last change was the kernel's work for the thread.
    #[inline]
    pub(crate) fn enter_user(&self) {
        let now = time::cycles();
        self.system_cycles.set(self.system_cycles.get().wrapping_add(now.wrapping_sub(self.since.replace(now))));
        self.in_user.set(true);
    }

    /// User mode has ended: the time since the last change was the program's own.
    #[inline]
    pub(crate) fn leave_user(&self) {
        let now = time::cycles();
        self.user_cycles.set(self.user_cycles.get().wrapping_add(now.wrapping_sub(self.since.replace(now))));
        self.in_user.set(false);
    }

    /// Charges all time up to now to thread and process.
    pub(crate) fn charge(&self) {
        if self.in_user.get() {
            self.leave_user();
            self.in_user.set(true);
        } else {
            self.enter_user();
            self.in_user.set(false);
        }
        let here = here(cpu::current());
        let ran = self.charge_to(here, None);
        here.ran.store(here.ran.load(Ordering::Relaxed).wrapping_add(ran.0), Ordering::Relaxed);
    }

    /// Charges what was counted to thread, process and CPU, and what has ended the poll. Returns how long that was.
    #[inline]
    fn charge_to(&self, here: &Here, ended_by: Option<SwitchKind>) -> Nanos {
        let user = time::span(self.user_cycles.replace(0));
        let system = time::span(self.system_cycles.replace(0));
        self.thread.charge_time(user, system, ended_by);
        // Only this CPU writes there.
        here.user.store(here.user.load(Ordering::Relaxed).wrapping_add(user.0), Ordering::Relaxed);
        here.system.store(here.system.load(Ordering::Relaxed).wrapping_add(system.0), Ordering::Relaxed);
        let ran = Nanos(user.0.wrapping_add(system.0));
        if self.metered {
            self.meter(ran, ended_by.is_none());
        }
        ran
    }

    /// Tells the thread's cell what it has had of the CPU, and what it had to wait for.
    #[cold]
    fn meter(&self, ran: Nanos, goes_on: bool) {
        let Some(cell) = self.thread.process().cell() else { return };
        let now = Machine.now();
        cell.note_run(now.saturating_sub(ran), self.waited.replace(Nanos::ZERO), now);
        if let Some(share) = cell.cpu_share() {
            let left = share.charge(ran, now);
            if left == Nanos::ZERO || !goes_on {
                // It asks before it goes back to user mode.
                self.thread.signals().hold();
            } else {
                arm_share(left);
            }
        }
    }

    /// It has waited that long for the CPU that it gets now.
    pub(crate) fn note_wait(&self, waited: Nanos) {
        self.thread.charge_wait(waited);
        self.waited.set(waited);
    }

    /// Has the share of a thread that goes to user mode looked at again when it may be used up.
    pub(crate) fn watch_share(&self) {
        if self.metered
            && let Some(share) = self.thread.process().cell().and_then(|cell| cell.cpu_share())
        {
            arm_share(share.charge(Nanos::ZERO, Machine.now()));
        }
    }

    /// The pipe that the read which has just ended user mode found empty.
    #[inline]
    pub(crate) const fn take_empty_pipe(&self) -> Option<EmptyPipe> {
        self.empty_pipe.replace(None)
    }

    /// Whether the call that has just ended user mode sleeps on a futex.
    #[inline]
    pub(crate) const fn take_sleeps(&self) -> bool {
        self.sleeps.replace(false)
    }

    /// Lets the tasks that wait for a CPU run first.
    pub(crate) const fn give_way(&self, how: Progress) -> GiveWay<'_> {
        GiveWay { slot: self, how: Some(how) }
    }

    /// Whether the call just served has made a process with a copy of this memory.
    #[inline]
    pub(crate) fn take_forked(&self) -> bool {
        self.forked.replace(false)
    }

    /// Makes vector registers and segment bases this thread's, if they are not.
    #[inline]
    pub(crate) fn load_registers(&self, context: &UserContext) {
        if self.stale.get() {
            // SAFETY: see `Sync`.
            unsafe { &*self.fpu.get() }.restore();
            user::load_bases(context);
            self.stale.set(false);
            self.fpu_live.set(true);
        }
    }

    /// After the context's segment bases were changed by the kernel.
    pub(crate) fn bases_changed(&self, context: &UserContext) {
        if !self.stale.get() {
            user::load_bases(context);
        }
    }

    /// Lends the vector registers as memory has them, up to date.
    fn with_fpu<T>(&self, work: impl FnOnce(&mut FpuArea) -> T) -> T {
        // SAFETY: see `Sync`; `work` does not come back here, so there is one reference at a time.
        let area = unsafe { &mut *self.fpu.get() };
        if self.fpu_live.get() {
            area.save();
        }
        work(area)
    }

    fn begin_poll(&self, cpu: CpuId, here: &Here) {
        self.since.set(here.since.load(Ordering::Relaxed));
        self.stale.set(true);
        switch_to(cpu, here, self.space());
        // A kill may have been faster: then there is no arrow, and none is needed.
        self.thread.state_cell().dispatch();
        self.thread.note_dispatch(self.since.get());
        cpu::set_owner(self.as_owner());
        self.choose_way();
    }

    const fn as_owner(&self) -> *mut () {
        ptr::from_ref(self).cast_mut().cast()
    }

    /// Lets the calls of this thread, which is about to run on this CPU, go the fast way unless they are filtered
    /// or translated. So all others pay nothing for that.
    #[inline]
    fn choose_way(&self) {
        // Set before asked, as filters are set before `detour_all` clears: one of the two sees the other.
        cpu::set_caller(self.as_owner());
        if self.thread.is_detoured() {
            cpu::set_caller(ptr::null_mut());
        }
    }

    /// Lets the calls of this running thread go the fast way again if only somebody else's filters were the reason.
    pub(crate) fn reconsider_way(&self) {
        self.choose_way();
    }

    /// How far the poll came if it has not ended the thread, and how long it took.
    #[inline]
    fn end_poll(&self, here: &Here) -> (Progress, Nanos) {
        if self.fpu_live.replace(false) {
            // SAFETY: see `Sync`; nothing else borrows the area between two polls.
            unsafe { &mut *self.fpu.get() }.save();
        }
        // A poll ends in the kernel.
        let now = time::cycles();
        self.system_cycles.set(self.system_cycles.get().wrapping_add(now.wrapping_sub(self.since.get())));
        here.since.store(now, Ordering::Relaxed);
        let progress = self.gives_way.replace(Progress::Waits);
        let kind = if progress.is_involuntary() { SwitchKind::Involuntary } else { SwitchKind::Voluntary };
        let ran = Nanos(here.ran.load(Ordering::Relaxed).wrapping_add(self.charge_to(here, Some(kind)).0));
        here.ran.store(0, Ordering::Relaxed);
        // After an end of the thread there is no such arrow, and none is needed.
        if progress == Progress::Waits {
            let state = ProcessTable::waiting_state(&self.thread);
            self.thread.state_cell().advance_from(ProcessState::Running, state);
        } else {
            self.thread.state_cell().advance_from(ProcessState::Running, ProcessState::Ready);
        }
        cpu::set_owner(ptr::null_mut());
        (progress, ran)
    }
}

/// Ends the poll under way so that others run; ready in the next one.
pub(crate) struct GiveWay<'a> {
    slot: &'a ThreadSlot,
    /// `None` once it has given way.
    how: Option<Progress>,
}

impl Future for GiveWay<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        let Some(how) = self.how.take() else { return Poll::Ready(()) };
        // Seen by `with_slot`, which tells the executor: no waker is needed.
        self.slot.gives_way.set(how);
        Poll::Pending
    }
}

/// Polls with `slot` as the current thread of this CPU, which is `cpu`. How far that came, and how long it took.
pub(crate) fn with_slot(slot: &ThreadSlot, cpu: CpuId, poll: impl FnOnce() -> Poll<()>) -> (Progress, Nanos) {
    let here = here(cpu);
    slot.begin_poll(cpu, here);
    let result = poll();
    let (progress, ran) = slot.end_poll(here);
    (if result.is_ready() { Progress::Done } else { progress }, ran)
}

fn arm_share(left: Nanos) {
    crate::cpu::arm_slice(u32::try_from(left.0).unwrap_or(u32::MAX));
}

/// Time that threads have spent on a CPU: in user mode and in the kernel.
pub(crate) fn spent(cpu: CpuId) -> (Nanos, Nanos) {
    let here = here(cpu);
    (Nanos(here.user.load(Ordering::Relaxed)), Nanos(here.system.load(Ordering::Relaxed)))
}

/// Time on this CPU, which is `cpu`, is that of threads from now on: it begins to poll after a rest.
pub(crate) fn start_clock(cpu: CpuId) {
    here(cpu).since.store(time::cycles(), Ordering::Relaxed);
}

/// The thread that this CPU runs.
#[inline]
fn current() -> Option<&'static ThreadSlot> {
    let slot: *const ThreadSlot = cpu::owner().cast();
    // SAFETY: set by `begin_poll` to a slot that outlives the poll, cleared by `end_poll`; only called during the poll, on
    // the same CPU, by code that keeps nothing of it.
    unsafe { slot.as_ref() }
}

/// A task for a new thread with the memory `space` was made on behalf of the thread that this CPU runs.
pub(crate) fn note_new_thread(space: &Arc<AddressSpace>) {
    if let Some(slot) = current() {
        slot.forked.set(!Arc::ptr_eq(slot.space(), space));
    }
}

/// Sends the calls of all running threads the long way, where those without filters find back.
pub(crate) fn detour_all() {
    cpu::clear_callers();
}

/// A copy of the vector registers of the thread that this CPU runs. `None`: no memory.
pub(crate) fn copy_of_registers() -> Option<FpuArea> {
    let slot = current()?;
    if slot.fpu_live.get() { FpuArea::of_registers() } else { slot.with_fpu(|area| area.try_clone()) }
}

/// The thread that this CPU serves.
pub(crate) fn current_thread() -> Option<Arc<Thread>> {
    current().map(|slot| slot.thread.clone())
}

/// Charges all time up to now to the thread that this CPU runs. For how long it runs already.
pub(crate) fn charge_current() -> Nanos {
    let Some(slot) = current() else { return Nanos::ZERO };
    slot.charge();
    Nanos(here(cpu::current()).ran.load(Ordering::Relaxed))
}

/// Makes `space` the one this CPU translates by.
fn activate(space: &Arc<AddressSpace>) {
    let cpu = cpu::current();
    switch_to(cpu, here(cpu), space);
}

#[inline]
fn switch_to(cpu: CpuId, here: &Here, space: &Arc<AddressSpace>) {
    // An active space is alive, so no other one has its address.
    if here.active.load(Ordering::Relaxed).cast_const() != Arc::as_ptr(space) {
        replace_active(cpu, here, Some(space.clone()));
    }
}

/// Lets go of an address space that only CPUs still hold, because none of its threads is left. Called by a CPU that goes
/// idle.
pub(crate) fn release_dead_space() {
    let cpu = cpu::current();
    let here = here(cpu);
    let active = here.active.load(Ordering::Relaxed);
    // SAFETY: null, or what `replace_active` put there, with a reference that it still holds.
    let Some(space) = (unsafe { active.as_ref() }) else { return };
    let held_by_cpus = space.active_cpus().len() as usize;
    // SAFETY: as above; the reference that `Here` holds is neither given up nor doubled.
    let holders = Arc::strong_count(&*ManuallyDrop::new(unsafe { Arc::from_raw(active) }));
    if holders <= held_by_cpus {
        replace_active(cpu, here, None);
    }
}

fn replace_active(cpu: CpuId, here: &Here, next: Option<Arc<AddressSpace>>) {
    let root = match &next {
        Some(space) => {
            space.cpu_entered(cpu);
            space.root()
        }
        None => crate::boot::memory::tables().root(),
    };
    // SAFETY: every space maps the kernel's half as all others do, and `Here` keeps it until the next one is loaded.
    unsafe { paging::activate(root) };
    let next = next.map_or(ptr::null_mut(), |space| Arc::into_raw(space).cast_mut());
    let old = here.active.load(Ordering::Relaxed);
    here.active.store(next, Ordering::Relaxed);
    if old.is_null() {
        return;
    }
    // SAFETY: made by `Arc::into_raw` above, by this CPU, and no longer stored anywhere.
    let old = unsafe { Arc::from_raw(old.cast_const()) };
    old.cpu_left(cpu);
    let others = old.active_cpus();
    if !others.is_empty() && Arc::strong_count(&old) <= others.len() as usize + 1 {
        // Only sleeping CPUs still hold it: they have to let go, or its memory stays lost until they run something.
        others.iter().for_each(|cpu| Machine.reschedule(cpu));
    }
    // May be the last reference: frees a whole space, on tables that are no longer in use here.
    drop(old);
}

/// The vector registers of the calling thread, for system calls.
pub(crate) struct SlotFpu<'a>(pub(crate) &'a ThreadSlot);

// SAFETY: used by the slot's own task only.
unsafe impl Send for SlotFpu<'_> {}

impl FpuState for SlotFpu<'_> {
    fn len(&self) -> usize {
        hal_x86_64::fpu::size()
    }

    fn save_to(&mut self, work: &mut dyn FnMut(&mut [u8]) -> bool) -> bool {
        // The registers stay as good as the area: what it means to the CPU is not changed.
        self.0.with_fpu(|area| area.edit(work)).unwrap_or(false)
    }

    fn load_from(&mut self, fill: &mut dyn FnMut(&mut [u8]) -> bool) -> bool {
        // What the registers hold is of no use any more: it need not be saved first.
        self.discard_registers();
        self.0.with_fpu(|area| {
            let filled = area.edit(fill) == Ok(true);
            if !filled {
                area.reset();
            }
            filled
        })
    }

    fn reset(&mut self) {
        self.discard_registers();
        self.0.with_fpu(FpuArea::reset);
    }
}

impl SlotFpu<'_> {
    /// `fpu` is newer than the registers now.
    fn discard_registers(&self) {
        self.0.fpu_live.set(false);
        self.0.stale.set(true);
    }
}

/// Makes the boot CPU ready for everything else; once, first.
pub(crate) fn init_boot_cpu(direct_map: u64) -> hal_x86_64::features::Features {
    // SAFETY: called once by `start::machine` in ring 0 with interrupts off; every boot door maps the first 4 GiB there and
    // the kernel's own tables keep that.
    unsafe { cpu::init_bsp(direct_map) }
}

/// The executing CPU, for the crate `sync`.
// SAFETY: no other symbol has this name.
#[unsafe(no_mangle)]
fn multios_current_cpu() -> CpuId {
    cpu::current()
}

/// Starts the CPUs of `topology`.
///
/// # Errors
/// See [`smp::StartError`].
pub(crate) fn start_other_cpus(
    topology: &Topology,
    plan: &smp::StartPlan,
    stack_top: fn(CpuId) -> Option<u64>,
    main: smp::ApMain,
) -> Result<smp::Started, smp::StartError> {
    // SAFETY: page and tables come from `boot::memory`, which gives them to nobody else, and each stack is a new block.
    unsafe { smp::start_aps(topology, plan, stack_top, main) }
}

/// Puts a new CPU on the kernel's own page tables.
pub(crate) fn leave_trampoline_tables() {
    // SAFETY: the kernel's tables map everything this CPU uses, and live for ever.
    unsafe { paging::activate(crate::boot::memory::tables().root()) };
}

/// Installs the hooks of the entry stubs.
pub(crate) fn install_hooks() {
    user::set_fast_syscall(fast_syscall);
    user::set_fast_fault(fast_fault);
    set_kernel_fault(kernel_fault);
}

/// Work noted for this CPU: the thread whose call was served in the stub has to look at its signals.
pub(crate) const ATTEND: u32 = 1;
/// Work noted for this CPU: somebody is more urgent than the thread that runs.
pub(crate) const SWITCH: u32 = 2;

/// Number of rt_sigreturn(2).
pub(crate) const SIGRETURN: u64 = abi::linux::general::__NR_rt_sigreturn as u64;

/// Number of sched_yield(2).
pub(crate) const SCHED_YIELD: u64 = abi::linux::general::__NR_sched_yield as u64;

/// Number of futex(2).
const FUTEX: u64 = abi::linux::general::__NR_futex as u64;

/// Number of exit_group(2).
pub(crate) const EXIT_GROUP: u64 = abi::linux::general::__NR_exit_group as u64;

/// A system call, before anything has been saved that a plain function does not clobber.
extern "C" fn fast_syscall(context: &mut UserContext) -> FastOutcome {
    let slot: *const ThreadSlot = cpu::caller().cast();
    // SAFETY: as in `current`: a program runs, so a poll of its task lasts, and that began with setting this.
    let Some(slot) = (unsafe { slot.as_ref() }) else { return FastOutcome::Slow };
    // The cheapest calls of all, before anything is set up for the others. They cause no signal.
    if let Some(id) = syscall::identity(slot.thread.process(), &slot.thread, context.rax) {
        context.rax = id;
        return FastOutcome::Done;
    }
    if context.rax == SCHED_YIELD {
        // Alone, a thread that yields goes on at once; else its own loop gives way.
        if crate::executor().has_waiting(cpu::current()) {
            return FastOutcome::Slow;
        }
        context.rax = 0;
        return FastOutcome::Done;
    }
    if syscall::is_short(context.rax, context.rdx) {
        return try_short(slot, context);
    }
    if context.rax == FUTEX {
        return try_futex(slot, context);
    }
    // Needs all registers.
    if context.rax == SIGRETURN {
        return FastOutcome::Slow;
    }
    try_call(slot, context)
}

/// Serves a short read or write, and any other that turns out not to be one.
#[inline(never)]
fn try_short(slot: &ThreadSlot, context: &mut UserContext) -> FastOutcome {
    let Some(system) = crate::system() else { return FastOutcome::Slow };
    let caller = slot.caller(system);
    match syscall::short_now(caller, context.rax, context.rdi, context.rsi, context.rdx) {
        Short::Done(Err(SysError::Restart(_))) | Short::Wait => FastOutcome::Slow,
        Short::WaitToRead(pipe) => {
            slot.empty_pipe.set(Some(pipe));
            FastOutcome::Slow
        }
        Short::Done(result) => finish(slot, context, result),
        Short::Other => try_call(slot, context),
    }
}

/// Serves a futex call, or begins its wait.
#[inline(never)]
fn try_futex(slot: &ThreadSlot, context: &mut UserContext) -> FastOutcome {
    let Some(system) = crate::system() else { return FastOutcome::Slow };
    match syscall::short_futex(slot.caller(system), context.syscall_args(), &slot.futex) {
        ShortFutex::Done(value) => answer(slot, context, value),
        ShortFutex::Sleeps => {
            slot.sleeps.set(true);
            FastOutcome::Slow
        }
        ShortFutex::Other => try_call(slot, context),
    }
}

#[inline]
fn finish(slot: &ThreadSlot, context: &mut UserContext, result: SysResult) -> FastOutcome {
    answer(slot, context, syscall::return_value(result))
}

#[inline]
fn answer(slot: &ThreadSlot, context: &mut UserContext, value: u64) -> FastOutcome {
    context.rax = value;
    if slot.thread.signals().needs_attention() {
        cpu::set_work(ATTEND);
    }
    FastOutcome::Done
}

/// Serves a call that need not wait.
#[inline(never)]
fn try_call(slot: &ThreadSlot, context: &mut UserContext) -> FastOutcome {
    if context.rax == EXIT_GROUP {
        return FastOutcome::Slow;
    }
    let Some(system) = crate::system() else { return FastOutcome::Slow };
    let caller = slot.caller(system);
    match syscall::dispatch_now(caller, context.rax, context.syscall_args()) {
        // Interrupted calls need the whole context to be restarted.
        None | Some(Err(SysError::Restart(_))) => FastOutcome::Slow,
        Some(result) => finish(slot, context, result),
    }
}

/// A page fault of the running program.
fn fast_fault(fault: &PageFault, _context: &UserContext) -> bool {
    settle(fault)
}

/// A page fault of the kernel on the running program's memory.
fn kernel_fault(fault: &PageFault) -> bool {
    settle(fault) || at_memory_limit(fault)
}

#[cold]
fn at_memory_limit(fault: &PageFault) -> bool {
    let (Some(slot), Some(system)) = (current(), crate::system()) else { return false };
    syscall::memory_limit_in_copy(slot.caller(system), fault)
}

fn settle(fault: &PageFault) -> bool {
    let Some(slot) = current() else { return false };
    let FaultOutcome::Resolved(kind) = slot.space().fault(fault) else { return false };
    slot.thread.charge_fault(match kind {
        memory::FaultKind::Minor => process::FaultKind::Minor,
        memory::FaultKind::Major => process::FaultKind::Major,
    });
    true
}

/// The executing function's stack pointer, for the record of a panic.
pub(crate) fn stack_pointer() -> u64 {
    let pointer: u64;
    // SAFETY: only reads a register.
    unsafe { asm!("mov {}, rsp", out(reg) pointer, options(nomem, nostack, preserves_flags)) };
    pointer
}
