//! The MultiOS kernel image: introduces the rooms to each other. No algorithm lives here.
//!
//! [`boot`] brings the machine from any boot door to [`main`]; [`entry`] and [`run`] are the border to user mode and the life
//! of a thread; [`executor`] and [`cpu`] decide what each CPU does next; [`platform`] is what system calls ask of all this.
#![no_std]
#![no_main]

extern crate alloc;

mod attributes;
mod boot;
mod console;
mod cpu;
mod entry;
mod executor;
mod log;
mod machine_info;
mod nodes;
mod observation;
mod panic;
mod platform;
mod run;
mod start;

use boot::BootInfo;
use executor::Executor;
use hal_x86_64::Machine;
use sync::Once;
use syscall::System;

static MACHINE: Machine = Machine;
static EXECUTOR: Executor<run::ThreadTask> = Executor::new(&MACHINE);
static SYSTEM: Once<System> = Once::new();

/// The one executor.
fn executor() -> &'static Executor<run::ThreadTask> {
    &EXECUTOR
}

/// The state behind all system calls, once it is set up.
fn system() -> Option<&'static System> {
    SYSTEM.get()
}

/// Where every boot door ends: on the boot stack, interrupts off, on the loader's or the stub's page tables.
fn main(boot: BootInfo) -> ! {
    start::machine(&boot);
    let system = start::system(&boot);
    start::first_process(system);
    cpu::run(system)
}
