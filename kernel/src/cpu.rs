//! What each CPU does when it runs no thread, and what interrupts leave to be done.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use hal::Timer;
use hal_x86_64::{Machine, cpu, interrupts};
use syscall::System;
use types::{CpuId, MAX_CPUS, Nanos};
use vfs::proc::CpuTimes;

use crate::{console, entry};

/// Longest time a thread keeps a CPU that another one waits for. Linux's slices are of the same order; at 4 ms a switch
/// costs less than a thousandth.
const SLICE: Nanos = Nanos::from_millis(4);

/// Shortest time from arming the timer to its interrupt while threads run. Without it timers of a microsecond would leave
/// user mode no instruction between two interrupts; with it they take a fraction of the CPU.
const SHORTEST: Nanos = Nanos::from_micros(50);

/// When each CPU has asked for its next timer interrupt; `u64::MAX` for never.
static ARMED: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(u64::MAX) }; MAX_CPUS];
/// A slice has ended on each CPU since it was last asked.
static SLICE_OVER: [AtomicBool; MAX_CPUS] = [const { AtomicBool::new(false) }; MAX_CPUS];

/// What a CPU has done since boot, in nanoseconds; written by that CPU only.
struct Spent {
    user: AtomicU64,
    system: AtomicU64,
    idle: AtomicU64,
    /// When the sleep under way began; 0 for none.
    idle_since: AtomicU64,
}

impl Spent {
    const fn new() -> Self {
        Self {
            user: AtomicU64::new(0),
            system: AtomicU64::new(0),
            idle: AtomicU64::new(0),
            idle_since: AtomicU64::new(0),
        }
    }
}

static SPENT: [Spent; MAX_CPUS] = [const { Spent::new() }; MAX_CPUS];

/// Runs tasks on this CPU for ever.
pub(crate) fn run(system: &'static System) -> ! {
    let here = cpu::current();
    let executor = crate::executor();
    loop {
        tick_within_a_slice(here);
        entry::start_clock(here);
        executor.run(here);
        entry::release_dead_space();
        if executor.enter_idle(here) {
            arm(here, system.timers.next_deadline());
            // A timer that somebody armed between the two lines has sent this CPU an interrupt or armed its own CPU.
            let spent = spent(here);
            let since = Machine.now();
            spent.idle_since.store(since.0.max(1), Ordering::Relaxed);
            interrupts::wait_for_interrupt();
            spent.idle_since.store(0, Ordering::Relaxed);
            add(&spent.idle, Machine.now() - since);
            executor.leave_idle(here);
        }
        serve_interrupt(system);
    }
}

/// What an interrupt has left to be done: timers, input, samples.
pub(crate) fn serve_interrupt(system: &'static System) {
    let here = cpu::current();
    let now = Machine.now();
    if now.0 >= armed(here).load(Ordering::Relaxed) {
        armed(here).store(u64::MAX, Ordering::Relaxed);
        if let Some(over) = SLICE_OVER.get(here.index()) {
            over.store(true, Ordering::Relaxed);
        }
        system.timers.expire(now);
        system.load.sample(now, crate::executor().running() as u64);
        tick_within_a_slice(here);
    }
    console::serve_input(system);
}

/// Whether the running thread should let others run; says so once per slice.
pub(crate) fn slice_is_over(here: CpuId) -> bool {
    let Some(over) = SLICE_OVER.get(here.index()) else { return false };
    over.load(Ordering::Relaxed) && {
        over.store(false, Ordering::Relaxed);
        crate::executor().has_waiting(here)
    }
}

/// Somebody has armed a timer for `deadline`: this CPU will look at the timers then.
pub(crate) fn arm_timer(deadline: Nanos) {
    let here = cpu::current();
    if deadline.0 < armed(here).load(Ordering::Relaxed) {
        arm_running(here, deadline);
    }
}

/// While threads run, the timer comes at the end of a slice at the latest.
fn tick_within_a_slice(here: CpuId) {
    let end = Machine.now() + SLICE;
    let next = crate::system().and_then(|system| system.timers.next_deadline()).map_or(end, |timer| timer.min(end));
    if next.0 < armed(here).load(Ordering::Relaxed) {
        arm_running(here, next);
    }
}

/// Arms the timer while threads run: never later than it already was, so that nobody can push the end of a slice away.
fn arm_running(here: CpuId, deadline: Nanos) {
    let deadline = deadline.max(Machine.now() + SHORTEST);
    if deadline.0 < armed(here).load(Ordering::Relaxed) {
        arm(here, Some(deadline));
    }
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
    CpuTimes {
        user: total(&spent.user),
        system: total(&spent.system),
        idle: total(&spent.idle) + asleep,
        ..CpuTimes::default()
    }
}

/// Counts time that a thread has spent on this CPU.
pub(crate) fn account(user: Nanos, system: Nanos) {
    let spent = spent(cpu::current());
    add(&spent.user, user);
    add(&spent.system, system);
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
    static NOWHERE: AtomicU64 = AtomicU64::new(u64::MAX);
    ARMED.get(cpu.index()).unwrap_or(&NOWHERE)
}
