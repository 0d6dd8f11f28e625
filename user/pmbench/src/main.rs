//! Costs of process management, measured from ring 3; the same binary runs on MultiOS and on Linux.
//!
//! Freestanding: no libc, no thread-local storage, only plain `syscall` instructions but for the row of the vDSO, so that a small process is
//! measured and nothing of a library. Each line of output is `name value`, the value being time-stamp ticks per operation, the
//! median over batches; under QEMU's `-icount shift=0` a tick is one instruction.
//!
//! `pmbench [-b BATCHES] [NAME…]` runs the rows whose names contain one of NAME. `pmbench x` exits at once (what the exec rows
//! run). `pmbench latency WAKES [interactive] [LOAD…]` and `pmbench throughput ROUNDS WORKERS [WORK…]` measure
//! times instead, in nanoseconds and thousandths; `pmbench counted TIMES WORKERS [WORK…]` is for a machine that counts instructions. As process 1 it prints how far the machine has come, then powers off.
#![no_std]
#![no_main]

mod latency;
mod measure;
mod output;
mod rows;
mod sys;
mod throughput;
mod vdso;

use core::ffi::{CStr, c_char};

use crate::output::line;
use crate::rows::ROWS;

/// The first C string of `argv` and those after it.
#[derive(Clone)]
struct Arguments {
    next: *const *const c_char,
}

impl Iterator for Arguments {
    type Item = &'static CStr;

    fn next(&mut self) -> Option<Self::Item> {
        // SAFETY: the kernel ends argv with a null pointer, which is never passed.
        let pointer = unsafe { *self.next };
        if pointer.is_null() {
            return None;
        }
        // SAFETY: not yet at the null pointer, so the next element exists.
        self.next = unsafe { self.next.add(1) };
        // SAFETY: the kernel passes strings that end with NUL and stay for the life of the process.
        Some(unsafe { CStr::from_ptr(pointer) })
    }
}

/// Called by the entry point with the initial stack: argc, then argv.
#[unsafe(no_mangle)]
extern "C" fn start(stack: *const *const c_char) -> ! {
    let started = sys::ticks();
    // SAFETY: argv follows argc on the initial stack (System V ABI, x86-64, 3.4.1).
    let mut arguments = Arguments { next: unsafe { stack.add(2) } };
    if sys::getpid() == 1 {
        line("boot_to_user", started);
        line("idle_free_memory_bytes", sys::free_memory());
        sys::power_off();
    }
    // Before anything is written: a fault for that would count in the exec rows.
    if arguments.clone().next().is_some_and(|argument| argument.to_bytes() == b"x") {
        sys::exit(0);
    }
    // SAFETY: argc strings and a null pointer, then the environment.
    vdso::note(unsafe { stack.add(1 + *stack.cast::<usize>() + 1) });
    let mut batches = measure::BATCHES;
    let mut any = false;
    while let Some(argument) = arguments.next() {
        match argument.to_bytes() {
            b"latency" => latencies(arguments),
            b"throughput" => throughputs(arguments, throughput::run),
            b"counted" => throughputs(arguments, throughput::count),
            b"-b" => batches = arguments.next().map_or(batches, |text| measure::parse(text.to_bytes())),
            name => {
                any = true;
                ROWS.iter().filter(|row| output::contains(row.name.as_bytes(), name)).for_each(|row| row.run(batches));
            }
        }
    }
    if !any {
        ROWS.iter().for_each(|row| row.run(batches));
    }
    sys::exit(0)
}

/// The rest of the arguments after `latency`.
fn latencies(mut arguments: Arguments) -> ! {
    let wakes = number(&mut arguments);
    let (mut interactive, mut any) = (false, false);
    let run = |name, load, interactive| apart(|| latency::run(name, load, interactive, wakes));
    for argument in arguments {
        if argument.to_bytes() == b"interactive" {
            interactive = true;
            continue;
        }
        any = true;
        let load = latency::Load::ALL.iter().filter(|(name, _)| name.as_bytes() == argument.to_bytes());
        load.for_each(|(name, load)| run(name, *load, interactive));
    }
    if !any {
        latency::Load::ALL.iter().for_each(|(name, load)| run(name, *load, interactive));
    }
    sys::exit(0)
}

/// The rest of the arguments after `throughput` or `counted`.
fn throughputs(mut arguments: Arguments, measure: fn(&str, fn(), usize, usize)) -> ! {
    let (rounds, workers) = (number(&mut arguments), number(&mut arguments));
    let mut any = false;
    let run = |name, work| apart(|| measure(name, work, workers, rounds));
    for argument in arguments {
        any = true;
        let work = throughput::WORK.iter().filter(|(name, _)| name.as_bytes() == argument.to_bytes());
        work.for_each(|(name, work)| run(name, *work));
    }
    if !any {
        throughput::WORK.iter().for_each(|(name, work)| run(name, *work));
    }
    sys::exit(0)
}

fn number(arguments: &mut Arguments) -> usize {
    arguments.next().map_or(1, |text| measure::parse(text.to_bytes()))
}

/// Runs `part` in a process of its own.
fn apart(part: impl FnOnce()) {
    let child = sys::fork();
    if child == 0 {
        part();
        sys::exit(0);
    }
    sys::wait(child);
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    output::text("# pmbench panicked\n");
    sys::exit(99)
}
