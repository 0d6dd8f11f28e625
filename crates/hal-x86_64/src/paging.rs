//! The page-table register and single translations.

use types::{PhysAddr, VirtAddr};
use x86_64::instructions::tlb;
use x86_64::registers::control::{Cr3, Cr3Flags};
use x86_64::structures::paging::PhysFrame;

/// Makes the tables at `root` those of this CPU. Does nothing if they already are.
///
/// # Safety
/// `root` is a page table of the top level that maps the kernel as the present one does, and stays until another has
/// been activated.
pub unsafe fn activate(root: PhysAddr) {
    if current() != root {
        // SAFETY: by the caller's promise.
        unsafe { Cr3::write(PhysFrame::containing_address(root), Cr3Flags::empty()) };
    }
}

/// The tables in use on this CPU.
pub fn current() -> PhysAddr {
    Cr3::read_raw().0.start_address()
}

/// Forgets this CPU's translation of one page.
pub fn flush_page(address: VirtAddr) {
    tlb::flush(address);
}

/// Forgets this CPU's translations, but those of global pages.
pub fn flush_all() {
    tlb::flush_all();
}
