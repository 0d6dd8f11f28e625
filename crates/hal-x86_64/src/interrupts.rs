//! Vectors, their handlers, and waiting for one.

use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use x86_64::instructions;

use crate::io::Port;
use crate::{apic, per_cpu, tlb};

/// Vector of legacy interrupt line 0; line `n` is at `IRQ_BASE + n`.
pub const IRQ_BASE: u8 = 0x20;
/// Legacy interrupt lines that can have a handler.
pub const IRQ_COUNT: u8 = 24;
/// `int 0x80`, the native gate.
pub const NATIVE_CALL: u8 = 0x80;
/// The local APIC's timer.
pub const TIMER: u8 = 0xef;
/// Another CPU has work for this one.
pub const RESCHEDULE: u8 = 0xf0;
/// Another CPU wants translations forgotten.
pub const SHOOTDOWN: u8 = 0xf1;
/// The local APIC has seen an error.
pub const APIC_ERROR: u8 = 0xfe;
/// An interrupt that went away before it was taken.
pub const SPURIOUS: u8 = 0xff;

type Handler = fn();

/// A handler that may be set once per vector; null means none.
struct Slot(AtomicPtr<()>);

impl Slot {
    fn set(&self, handler: Handler) {
        self.0.store(handler as *mut (), Ordering::Release);
    }

    fn call(&self) {
        let handler = self.0.load(Ordering::Acquire);
        if !handler.is_null() {
            // SAFETY: `set` stores `Handler`s only.
            let handler: Handler = unsafe { core::mem::transmute(handler) };
            handler();
        }
    }
}

static HANDLERS: [Slot; IRQ_COUNT as usize] =
    [const { Slot(AtomicPtr::new(core::ptr::null_mut())) }; IRQ_COUNT as usize];
static TIMER_HANDLER: Slot = Slot(AtomicPtr::new(core::ptr::null_mut()));
/// Set when the machine is being stopped: an NMI then means "halt".
static STOPPING: AtomicBool = AtomicBool::new(false);

/// Sets the handler of a legacy interrupt line and opens the line, to the boot CPU. The handler runs with interrupts
/// off on the CPU's stack, allocates nothing and takes no lock that code outside handlers holds with this line open.
pub fn set_irq_handler(irq: u8, handler: fn()) {
    if let Some(slot) = HANDLERS.get(usize::from(irq)) {
        slot.set(handler);
        apic::route_irq(irq, IRQ_BASE + irq);
    }
}

/// Sets what runs at each timer interrupt, besides `enter_user` returning.
pub fn set_timer_handler(handler: fn()) {
    TIMER_HANDLER.set(handler);
}

/// Runs the handler of a vector from 32 up and acknowledges the interrupt.
pub(crate) fn dispatch(vector: u8) {
    per_cpu::current().stats.count_vector(vector);
    match vector {
        // Not delivered by the APIC's in-service register: no acknowledgement.
        SPURIOUS | NATIVE_CALL => return,
        TIMER => TIMER_HANDLER.call(),
        SHOOTDOWN => tlb::serve_shootdowns(),
        APIC_ERROR => apic::clear_error(),
        _ => {
            if let Some(slot) = vector.checked_sub(IRQ_BASE).and_then(|irq| HANDLERS.get(usize::from(irq))) {
                slot.call();
            }
        }
    }
    apic::end_of_interrupt();
}

/// Sleeps until an interrupt has been handled, or returns at once if one is waiting. Interrupts are off before and
/// after: the CPU takes none between switching them on and sleeping, so no wake-up is lost.
pub fn wait_for_interrupt() {
    per_cpu::current().stats.count_idle();
    instructions::interrupts::enable_and_hlt();
    instructions::interrupts::disable();
}

/// Handles what interrupts wait, shoot-downs among them. Interrupts are off before and after. Where [`wait_for_interrupt`] might be
/// called as well: on a CPU that is between two tasks.
pub fn take_waiting() {
    instructions::interrupts::enable();
    // None is taken before the instruction after the one that allows them.
    instructions::nop();
    instructions::interrupts::disable();
}

/// Stops all other CPUs where they are, by NMI; they never come back. For panics and power off.
pub fn stop_other_cpus() {
    STOPPING.store(true, Ordering::SeqCst);
    apic::send_nmi_to_others();
}

/// Stops the executing CPU for ever.
pub fn stop_this_cpu() -> ! {
    loop {
        instructions::interrupts::disable();
        instructions::hlt();
    }
}

/// A non-maskable interrupt: the order to stop, or hardware trouble that we only count.
pub(crate) fn on_nmi() {
    if STOPPING.load(Ordering::SeqCst) {
        stop_this_cpu();
    }
    per_cpu::current().stats.count_vector(2);
}

/// Moves the legacy PICs' vectors out of the way of exceptions and closes all their lines.
pub(crate) fn mask_pics() {
    for (base, vector, wiring) in [(0x20, IRQ_BASE, 4), (0xa0, IRQ_BASE + 8, 2)] {
        // SAFETY: the PIC's command port; it is being switched off.
        let command: Port<u8> = unsafe { Port::new(base) };
        // SAFETY: its data port, where vectors 32 to 47 are set and every line is masked.
        let data: Port<u8> = unsafe { Port::new(base + 1) };
        command.write(0x11);
        data.write(vector);
        data.write(wiring);
        data.write(1);
        data.write(0xff);
    }
}
