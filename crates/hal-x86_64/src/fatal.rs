//! An exception in ring 0 that nobody expected.

use spin::Once;

use crate::kernel_trap::KernelFrame;
use crate::{interrupts, serial};

/// The record of such an exception.
#[derive(Clone, Copy, Debug)]
pub struct FatalTrap<'a> {
    /// All registers, vector and error code.
    pub frame: &'a KernelFrame,
    /// CR2: the address of a page fault.
    pub fault_address: u64,
    /// CR3: the page tables in use.
    pub page_table: u64,
}

static HOOK: Once<fn(&FatalTrap<'_>) -> !> = Once::new();

/// Sets what happens then; the default prints the record and stops this CPU. May be called once.
pub fn set_fatal(hook: fn(&FatalTrap<'_>) -> !) {
    HOOK.call_once(|| hook);
}

/// Ends the kernel's life on this CPU.
pub(crate) fn raise(frame: &KernelFrame) -> ! {
    let (table, _) = x86_64::registers::control::Cr3::read_raw();
    let record = FatalTrap {
        frame,
        fault_address: x86_64::registers::control::Cr2::read_raw(),
        page_table: table.start_address().as_u64(),
    };
    match HOOK.get() {
        Some(hook) => hook(&record),
        None => {
            serial::early_print(format_args!("fatal trap in ring 0: {record:#x?}\n"));
            interrupts::stop_this_cpu()
        }
    }
}
