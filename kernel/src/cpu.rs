//! What each CPU does when it runs no thread, and what interrupts leave to be done.

use core::sync::atomic::{AtomicU64, Ordering};

use hal::{Cpu as _, Timer};
use hal_x86_64::{Machine, cpu, interrupts};
use syscall::System;
use types::{CpuId, MAX_CPUS, Nanos};
use vfs::proc::CpuTimes;

use crate::{console, entry};

/// Time from one timer interrupt to the next while threads run, on average. Without it timers of a microsecond would leave
/// user mode no instruction between two interrupts; with it they take a fraction of the CPU.
const INTERVAL: Nanos = Nanos::from_micros(50);
/// So many interrupts may come at once after a time with few: deadlines that happen to be close to each other are all met.
const BURST: u64 = 8;

/// When each CPU has asked for its next timer interrupt; `u64::MAX` for never.
static ARMED: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(u64::MAX) }; MAX_CPUS];

/// Before when each CPU takes no timer interrupt while threads run: [`INTERVAL`] after the last one's turn, which lies up to [`BURST`] of
/// them in the past if there were few.
static EARLIEST: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];

/// How long a CPU has slept since boot, in nanoseconds; written by that CPU only.
struct Spent {
    idle: AtomicU64,
    /// When the sleep under way began; 0 for none.
    idle_since: AtomicU64,
}

impl Spent {
    const fn new() -> Self {
        Self { idle: AtomicU64::new(0), idle_since: AtomicU64::new(0) }
    }
}

static SPENT: [Spent; MAX_CPUS] = [const { Spent::new() }; MAX_CPUS];

/// Runs tasks on this CPU for ever.
pub(crate) fn run(system: &'static System) -> ! {
    let here = cpu::current();
    let executor = crate::executor();
    let scheduler = executor.scheduler();
    loop {
        tick_within(here, sched::TICK);
        entry::start_clock(here);
        executor.run(here, Machine.now());
        entry::release_dead_space();
        if scheduler.enter_idle(here) {
            arm(here, next_timer(system));
            // A timer that somebody armed between the two lines has sent this CPU an interrupt or armed its own CPU.
            let spent = spent(here);
            let since = Machine.now();
            spent.idle_since.store(since.0.max(1), Ordering::Relaxed);
            interrupts::wait_for_interrupt();
            spent.idle_since.store(0, Ordering::Relaxed);
            add(&spent.idle, Machine.now() - since);
            scheduler.leave_idle(here);
        }
        serve_interrupt(system);
    }
}

/// What an interrupt has left to be done: timers, input, samples.
pub(crate) fn serve_interrupt(system: &'static System) {
    serve(system, entry::charge_current);
}

/// A task has ended after a run of `ran`, and the next is not chosen yet. Many that are killed never come to user mode, where
/// interrupts are taken.
pub(crate) fn serve_between(ran: Nanos) {
    interrupts::take_waiting();
    if let Some(system) = crate::system() {
        serve(system, || ran);
    }
}

/// Serves the timer, if its time has come, and input; `ran` says for how long the current task has run.
#[inline]
fn serve(system: &'static System, ran: impl FnOnce() -> Nanos) {
    let here = cpu::current();
    let now = Machine.now();
    if now.0 >= armed(here).load(Ordering::Relaxed) {
        armed(here).store(u64::MAX, Ordering::Relaxed);
        note_interrupt(here, now);
        let again = crate::executor().tick(here, now, ran());
        system.timers.expire(now, system.wall_clock.offset());
        system.load.sample(now, crate::executor().running() as u64);
        tick_within(here, again);
    }
    console::serve_input(system);
}

/// The running thread is to give way: its next call leaves the short way, at whose end that is looked at.
#[cold]
pub(crate) fn attend_to_switch() {
    cpu::set_work(entry::SWITCH);
}

/// The task that runs next is to be looked at again after so many nanoseconds.
#[cold]
pub(crate) fn arm_slice(nanos: u32) {
    arm_running(cpu::current(), Machine.now() + Nanos(nanos.into()));
}

/// Somebody has armed a timer for `deadline`: this CPU will look at the timers then.
pub(crate) fn arm_timer(deadline: Nanos) {
    let here = cpu::current();
    if deadline.0 < armed(here).load(Ordering::Relaxed) {
        arm_running(here, deadline);
    }
}

/// When the nearest timer of this CPU is due.
fn next_timer(system: &'static System) -> Option<Nanos> {
    system.timers.next_deadline(system.wall_clock.offset())
}

/// Real time has been set: CPUs that sleep, this one later, look again when their timers of it are due; those that run
/// something look at their next tick.
pub(crate) fn real_time_was_set() {
    let here = cpu::current();
    cpu::online().iter().filter(|cpu| *cpu != here).for_each(|cpu| Machine.reschedule(cpu));
    tick_within(here, Nanos::ZERO);
}

/// While threads run, the timer comes after `time` at the latest.
fn tick_within(here: CpuId, time: Nanos) {
    let end = Machine.now() + time;
    let next = crate::system().and_then(next_timer).map_or(end, |timer| timer.min(end));
    if next.0 < armed(here).load(Ordering::Relaxed) {
        arm_running(here, next);
    }
}

/// Arms the timer while threads run: never later than it already was, so that nobody can push the end of a slice away.
fn arm_running(here: CpuId, deadline: Nanos) {
    let deadline = deadline.max(Nanos(of_cpu(&EARLIEST, here).load(Ordering::Relaxed)));
    if deadline.0 < armed(here).load(Ordering::Relaxed) {
        arm(here, Some(deadline));
    }
}

/// The timer has interrupted: says when it may again.
fn note_interrupt(here: CpuId, now: Nanos) {
    let earliest = of_cpu(&EARLIEST, here);
    let turn = earliest.load(Ordering::Relaxed).max(now.0.saturating_sub(BURST * INTERVAL.0));
    earliest.store(turn + INTERVAL.0, Ordering::Relaxed);
}

/// Times of a CPU since boot.
pub(crate) fn times(cpu: CpuId) -> CpuTimes {
    let spent = spent(cpu);
    let total = |counter: &AtomicU64| Nanos(counter.load(Ordering::Relaxed));
    // A CPU that sleeps now has not counted this sleep yet.
    let asleep = match spent.idle_since.load(Ordering::Relaxed) {
        0 => Nanos::ZERO,
        since => Machine.now() - Nanos(since),
    };
    let (user, system) = entry::spent(cpu);
    CpuTimes { user, system, idle: total(&spent.idle) + asleep, ..CpuTimes::default() }
}

/// Adds to a counter that only its own CPU writes.
fn add(counter: &AtomicU64, time: Nanos) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(time.0), Ordering::Relaxed);
}

fn spent(cpu: CpuId) -> &'static Spent {
    static NOWHERE: Spent = Spent::new();
    SPENT.get(cpu.index()).unwrap_or(&NOWHERE)
}

fn arm(here: CpuId, deadline: Option<Nanos>) {
    armed(here).store(deadline.map_or(u64::MAX, |deadline| deadline.0), Ordering::Relaxed);
    Machine.set_deadline(deadline);
}

fn armed(cpu: CpuId) -> &'static AtomicU64 {
    of_cpu(&ARMED, cpu)
}

fn of_cpu(values: &'static [AtomicU64; MAX_CPUS], cpu: CpuId) -> &'static AtomicU64 {
    static NOWHERE: AtomicU64 = AtomicU64::new(u64::MAX);
    values.get(cpu.index()).unwrap_or(&NOWHERE)
}
