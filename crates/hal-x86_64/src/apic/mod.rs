//! Interrupt controllers: one local APIC per CPU, I/O APICs for devices.

mod io_apic;
mod local;
mod timer;

use types::{CpuId, PhysAddr};

pub(crate) use io_apic::route_irq;
pub use io_apic::{IoApicInfo, Override, Polarity, TriggerMode, init_io_apics};
pub use local::{Mode, local_id, mode};
pub(crate) use local::{clear_error, end_of_interrupt, send_init, send_nmi_to_others, send_startup};
pub(crate) use timer::{
    count as timer_count, init_cpu as init_timer, set_frequency as set_timer_frequency, set_one_shot,
    start_free_running,
};

use crate::interrupts;

/// Where a PC has its local APIC unless ACPI says otherwise.
pub const DEFAULT_LOCAL_APIC: PhysAddr = PhysAddr::new(0xfee0_0000);

/// Switches on the boot CPU's local APIC; `address` is from the MADT, or [`DEFAULT_LOCAL_APIC`].
pub fn init_bsp(address: PhysAddr) -> Mode {
    local::choose_mode(address);
    local::init_cpu();
    mode()
}

/// The same for another CPU.
pub(crate) fn init_ap() {
    local::init_cpu();
    timer::init_cpu();
}

/// Makes `cpu` leave user mode or wake up.
pub fn send_reschedule(cpu: CpuId) {
    local::send_fixed(cpu, interrupts::RESCHEDULE);
}

/// Asks `cpu` to serve its shoot-downs.
pub(crate) fn send_shootdown(cpu: CpuId) {
    local::send_fixed(cpu, interrupts::SHOOTDOWN);
}
