//! What is measured.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::measure::{Batches, measure};
use crate::output::fail;
use crate::sys::{self, Mapping, ticks};
use crate::vdso;

/// One line of the result.
pub struct Row {
    /// Its name.
    pub name: &'static str,
    function: fn(&str, usize),
}

impl Row {
    /// Measures it, in a process of its own, so that one row leaves nothing to the next.
    pub fn run(&self, batches: usize) {
        let child = sys::fork();
        if child == 0 {
            (self.function)(self.name, batches);
            sys::exit(0);
        }
        sys::wait(child);
    }
}

/// All rows.
pub static ROWS: &[Row] = &[
    Row { name: "calibration_1000_nops", function: calibration },
    Row { name: "null_syscall", function: null_call },
    Row { name: "clock_gettime", function: |name, batches| measure(name, batches, 10_000, sys::clock_gettime) },
    Row { name: "clock_gettime_vdso", function: lent_clock },
    Row { name: "sched_yield", function: |name, batches| measure(name, batches, 10_000, sys::sched_yield) },
    Row { name: "sched_yield_2p", function: yield_between_two },
    Row { name: "pipe_self", function: pipe_to_self },
    Row { name: "pipe_pingpong", function: pipe_pingpong },
    Row { name: "pipe_ring8_hop", function: pipe_ring },
    Row { name: "futex_pingpong", function: futex_pingpong },
    Row { name: "fork_exit_wait", function: |name, batches| measure(name, batches, 100, || fork_with(|| {})) },
    Row { name: "fork_touch_exit_wait", function: fork_both_write },
    Row {
        name: "vfork_exit_wait",
        function: |name, batches| measure(name, batches, 100, || sys::wait(sys::vfork_exit())),
    },
    Row { name: "fork_exec_wait", function: |name, batches| measure(name, batches, 50, || fork_with(|| sys::exec())) },
    Row {
        name: "vfork_exec_wait",
        function: |name, batches| measure(name, batches, 50, || sys::wait(sys::vfork_exec())),
    },
    Row { name: "fork_64M_exit_wait", function: fork_large },
    Row {
        name: "sig_install",
        function: |name, batches| measure(name, batches, 10_000, || sys::handle(10, on_signal)),
    },
    Row { name: "sig_self", function: signal_to_self },
    Row { name: "cow_fault_4k", function: cow_faults },
    Row { name: "anon_fault_4k", function: anonymous_faults },
    Row { name: "mmap_munmap_1p", function: |name, batches| measure(name, batches, 2_000, || Mapping::new(1).unmap()) },
    Row { name: "mmap_touch_munmap_1p", function: map_and_touch },
];

/// A thousand instructions and the loop around them: shows what a tick is.
fn calibration(name: &str, batches: usize) {
    measure(name, batches, 500, || {
        // SAFETY: does nothing.
        unsafe { core::arch::asm!(".rept 1000", "nop", ".endr", options(nomem, nostack)) }
    });
}

/// As the C library reads the clock; by a call where the kernel lends no code for it.
fn lent_clock(name: &str, batches: usize) {
    let Some(lent) = vdso::clock_gettime() else { return measure(name, batches, 10_000, sys::clock_gettime) };
    measure(name, batches, 10_000, || {
        let mut time = [0; 2];
        if lent(1, &raw mut time) != 0 {
            fail("clock_gettime", -1);
        }
    });
}

fn null_call(name: &str, batches: usize) {
    measure(name, batches, 20_000, || {
        sys::getpid();
    });
}

fn fork_with(child: impl FnOnce()) {
    let pid = sys::fork();
    if pid == 0 {
        child();
        sys::exit(0);
    }
    sys::wait(pid);
}

/// Another process yields all the time: the cost of one switch.
fn yield_between_two(name: &str, batches: usize) {
    let other = forever(sys::sched_yield);
    measure(name, batches, 3_000, sys::sched_yield);
    sys::kill(other);
}

/// A child that repeats `action` until it is killed.
fn forever(mut action: impl FnMut()) -> i64 {
    let child = sys::fork();
    if child == 0 {
        loop {
            action();
        }
    }
    child
}

fn pipe_to_self(name: &str, batches: usize) {
    let [reader, writer] = sys::pipe();
    measure(name, batches, 3_000, || {
        sys::write_byte(writer);
        sys::read_byte(reader);
    });
}

fn pipe_pingpong(name: &str, batches: usize) {
    let (there, back) = (sys::pipe(), sys::pipe());
    let other = forever(|| {
        sys::read_byte(there[0]);
        sys::write_byte(back[1]);
    });
    measure(name, batches, 1_500, || {
        sys::write_byte(there[1]);
        sys::read_byte(back[0]);
    });
    sys::kill(other);
}

static THERE: AtomicU32 = AtomicU32::new(0);
static BACK: AtomicU32 = AtomicU32::new(0);

/// Two threads wake each other.
fn futex_pingpong(name: &str, batches: usize) {
    extern "C" fn other() -> ! {
        loop {
            sys::futex_wait_private(&THERE, 0);
            THERE.store(0, Ordering::Relaxed);
            sys::futex_wake_private(&BACK, 1);
        }
    }
    // Ends with this process.
    sys::start_thread(Mapping::new(16), other);
    measure(name, batches, 1_500, || {
        sys::futex_wake_private(&THERE, 1);
        sys::futex_wait_private(&BACK, 0);
        BACK.store(0, Ordering::Relaxed);
    });
}

/// A token goes round eight processes; the cost of one hop.
fn pipe_ring(name: &str, batches: usize) {
    const RING: usize = 8;
    const TURNS: u64 = 200;
    let pipes: [[i32; 2]; RING] = core::array::from_fn(|_| sys::pipe());
    let mut others = [0; RING];
    for (index, other) in others.iter_mut().enumerate().skip(1) {
        *other = forever(|| {
            sys::read_byte(pipes[index][0]);
            sys::write_byte(pipes[(index + 1) % RING][1]);
        });
    }
    let mut results = Batches::new(batches);
    for round in results.rounds() {
        let start = ticks();
        for _ in 0..TURNS {
            sys::write_byte(pipes[1][1]);
            sys::read_byte(pipes[0][0]);
        }
        results.note(round, ticks() - start, TURNS * RING as u64);
    }
    results.report(name);
    others.into_iter().skip(1).for_each(sys::kill);
}

static DATA: AtomicU64 = AtomicU64::new(0);

/// Parent and child both write to their stack and to a page of data, as real ones do.
fn fork_both_write(name: &str, batches: usize) {
    measure(name, batches, 100, || {
        let pid = sys::fork();
        DATA.store(pid as u64, Ordering::Relaxed);
        let mut stack = 0_u8;
        // SAFETY: a variable of this function.
        unsafe { (&raw mut stack).write_volatile(1) };
        if pid == 0 {
            sys::exit(0);
        }
        sys::wait(pid);
    });
}

/// The parent has 64 MiB of its own.
fn fork_large(name: &str, batches: usize) {
    let memory = Mapping::new(16_384).small_pages();
    memory.touch(1);
    measure(name, batches, 10, || fork_with(|| {}));
    memory.unmap();
}

static SIGNALS: AtomicU64 = AtomicU64::new(0);

extern "C" fn on_signal(_: i32) {
    SIGNALS.fetch_add(1, Ordering::Relaxed);
}

fn signal_to_self(name: &str, batches: usize) {
    sys::handle(10, on_signal);
    let me = sys::getpid();
    let mut sent = 0;
    measure(name, batches, 3_000, || {
        sys::signal_self(me, 10);
        sent += 1;
    });
    let got = SIGNALS.load(Ordering::Relaxed);
    if got != sent {
        fail("signals lost", (sent - got) as i64);
    }
}

fn cow_faults(name: &str, batches: usize) {
    const PAGES: usize = 512;
    let memory = Mapping::new(PAGES).small_pages();
    memory.touch(1);
    let [reader, writer] = sys::pipe();
    let mut results = Batches::new(batches);
    for round in results.rounds() {
        let child = sys::fork();
        if child == 0 {
            let start = ticks();
            memory.touch(2);
            sys::write(writer, &(ticks() - start).to_ne_bytes());
            sys::exit(0);
        }
        results.note(round, sys::read_number(reader), PAGES as u64);
        sys::wait(child);
    }
    results.report(name);
}

fn anonymous_faults(name: &str, batches: usize) {
    const PAGES: usize = 512;
    let mut results = Batches::new(batches);
    for round in results.rounds() {
        let memory = Mapping::new(PAGES).small_pages();
        let start = ticks();
        memory.touch(1);
        results.note(round, ticks() - start, PAGES as u64);
        memory.unmap();
    }
    results.report(name);
}

fn map_and_touch(name: &str, batches: usize) {
    measure(name, batches, 1_000, || {
        let page = Mapping::new(1);
        page.touch(1);
        page.unmap();
    });
}
