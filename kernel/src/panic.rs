//! The kernel's own end: a fixed record on the log's port, then a stop. Allocates nothing and takes no lock.

use core::fmt::Write;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

use hal_x86_64::serial::{Com, Text};
use hal_x86_64::{FatalTrap, cpu, interrupts, power};

use crate::log;

/// Value for the debug-exit device; QEMU's status becomes 67.
const EXIT_PANIC: u32 = 0x21;

/// Return addresses to print: some of them stale.
const MOST_CALLERS: usize = 48;

static PANICKING: AtomicBool = AtomicBool::new(false);

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    begin();
    let mut out = Screen;
    let _ = writeln!(out, "\n---- MultiOS panic on CPU {} ----\n{info}", cpu::current().0);
    backtrace(&mut out, crate::entry::stack_pointer());
    end(&mut out)
}

/// An exception in ring 0 that nobody expected.
pub(crate) fn fatal_trap(trap: &FatalTrap<'_>) -> ! {
    begin();
    let mut out = Screen;
    let frame = trap.frame;
    let _ = writeln!(
        out,
        "\n---- MultiOS fatal trap on CPU {} ----\nvector {} error {:#x} rip {:#x} rsp {:#x} cr2 {:#x} cr3 {:#x}",
        cpu::current().0,
        frame.vector,
        frame.error_code,
        frame.rip,
        frame.rsp,
        trap.fault_address,
        trap.page_table
    );
    let _ = writeln!(out, "{frame:x?}");
    backtrace(&mut out, frame.rsp);
    end(&mut out)
}

/// The log's ports, or the first where the log is shown nowhere.
struct Screen;

impl Write for Screen {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        if log::is_hidden() { Text(Com::One).write_str(text) } else { log::Ports.write_str(text) }
    }
}

/// Stops the other CPUs; a second panic, here or elsewhere, just stops.
fn begin() {
    if PANICKING.swap(true, Ordering::SeqCst) {
        interrupts::stop_this_cpu();
    }
    interrupts::stop_other_cpus();
}

fn end(out: &mut Screen) -> ! {
    let _ = writeln!(out, "MULTIOS-PANIC");
    power::debug_exit(EXIT_PANIC);
    interrupts::stop_this_cpu()
}

/// Callers, the innermost first, and among them what earlier calls have left on the stack.
fn backtrace(out: &mut Screen, from: u64) {
    let _ = writeln!(out, "possible callers, from stack {from:#x}:");
    for address in crate::boot::stack::return_addresses(from).take(MOST_CALLERS) {
        let _ = writeln!(out, "  at {address:#x}");
    }
}
