//! GDT and IDT: their encoding, and loading them.
//!
//! Order of the GDT: two empty entries, kernel code, kernel data, another empty one, user data, user code, TSS. `syscall` and `sysretq` demand that kernel data follows kernel code, and that user code follows user
//! data (Intel SDM vol. 3, 5.8.8). The numbers are Linux's: programs know 0x33 and 0x2b.

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

use x86_64::PrivilegeLevel;
use x86_64::VirtAddr;
use x86_64::instructions::segmentation::{CS, DS, ES, FS, GS, SS, Segment};
use x86_64::instructions::tables::{lgdt, lidt, load_tss};
use x86_64::structures::DescriptorTablePointer;
use x86_64::structures::gdt::{DescriptorFlags, SegmentSelector};

/// Entries of the GDT; the TSS takes two.
pub(crate) const GDT_LEN: usize = 9;

/// Selector of kernel code.
pub(crate) const KERNEL_CODE: SegmentSelector = SegmentSelector::new(2, PrivilegeLevel::Ring0);
/// Selector of kernel data.
pub(crate) const KERNEL_DATA: SegmentSelector = SegmentSelector::new(3, PrivilegeLevel::Ring0);
const TSS: SegmentSelector = SegmentSelector::new(7, PrivilegeLevel::Ring0);

const TSS_LIMIT: u64 = size_of::<x86_64::structures::tss::TaskStateSegment>() as u64 - 1;

/// The GDT of a CPU whose TSS is at `tss`.
pub(crate) const fn gdt(tss: u64) -> [u64; GDT_LEN] {
    const PRESENT: u64 = 1 << 47;
    const AVAILABLE_TSS: u64 = 9 << 40;
    let low = TSS_LIMIT | (tss & 0xff_ffff) << 16 | AVAILABLE_TSS | PRESENT | (tss >> 24 & 0xff) << 56;
    [
        0,
        0,
        DescriptorFlags::KERNEL_CODE64.bits(),
        DescriptorFlags::KERNEL_DATA.bits(),
        0,
        DescriptorFlags::USER_DATA.bits(),
        DescriptorFlags::USER_CODE64.bits(),
        low,
        tss >> 32,
    ]
}

/// Loads a GDT made by [`gdt`] and all segment registers.
///
/// # Safety
/// `table` lives for ever, and its TSS is used by no other CPU.
pub(crate) unsafe fn load(table: *const [u64; GDT_LEN]) {
    let pointer =
        DescriptorTablePointer { limit: (size_of::<[u64; GDT_LEN]>() - 1) as u16, base: VirtAddr::from_ptr(table) };
    // SAFETY: the table is whole and lives for ever.
    unsafe { lgdt(&pointer) };
    // SAFETY: entry 2 is 64-bit kernel code.
    unsafe { CS::set_reg(KERNEL_CODE) };
    // SAFETY: entry 3 is kernel data.
    unsafe { SS::set_reg(KERNEL_DATA) };
    // SAFETY: null selectors are allowed in these in 64-bit mode.
    unsafe { DS::set_reg(SegmentSelector::NULL) };
    // SAFETY: as above.
    unsafe { ES::set_reg(SegmentSelector::NULL) };
    // SAFETY: as above; nothing uses FS in ring 0.
    unsafe { FS::set_reg(SegmentSelector::NULL) };
    // SAFETY: as above; the caller sets the GS base next.
    unsafe { GS::set_reg(SegmentSelector::NULL) };
    // SAFETY: entry 7 is a TSS that no CPU has loaded yet.
    unsafe { load_tss(TSS) };
    // After a reset the LDT is 64 KiB from address 0, which is the program's: it could make descriptors there, call gates
    // into ring 0 among them.
    // SAFETY: the null selector says that there is none.
    unsafe { asm!("lldt {:x}", in(reg) 0_u16, options(nostack, preserves_flags)) };
}

/// Who may raise a vector by an `int` instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Gate {
    /// Hardware only.
    Kernel,
    /// User programs as well.
    User,
}

/// Encodes an interrupt gate to `handler` on stack `ist` (0: the current stack or RSP0).
pub(crate) const fn gate(handler: u64, ist: u8, gate: Gate) -> [u64; 2] {
    const INTERRUPT_GATE: u64 = 0xe << 40;
    const PRESENT: u64 = 1 << 47;
    let dpl = match gate {
        Gate::Kernel => 0,
        Gate::User => 3 << 45,
    };
    let low = handler & 0xffff
        | (KERNEL_CODE.0 as u64) << 16
        | (ist as u64) << 32
        | INTERRUPT_GATE
        | dpl
        | PRESENT
        | (handler >> 16 & 0xffff) << 48;
    [low, handler >> 32]
}

/// One table for all CPUs.
static IDT: [[AtomicU64; 2]; 256] = [const { [const { AtomicU64::new(0) }; 2] }; 256];

/// Sets one gate of the table; before [`load_idt`].
pub(crate) fn set_gate(vector: u8, value: [u64; 2]) {
    if let Some(slot) = IDT.get(usize::from(vector)) {
        for (word, value) in slot.iter().zip(value) {
            word.store(value, Ordering::Relaxed);
        }
    }
}

/// Loads the table on this CPU.
///
/// # Safety
/// All gates lead to entry code that fits their vector.
pub(crate) unsafe fn load_idt() {
    let pointer =
        DescriptorTablePointer { limit: (size_of_val(&IDT) - 1) as u16, base: VirtAddr::from_ptr(&raw const IDT) };
    // SAFETY: the table lives for ever and is filled in by the caller's promise.
    unsafe { lidt(&pointer) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gdt_has_the_order_that_sysret_needs() {
        let table = gdt(0xffff_8000_1234_5678);
        assert_eq!(table[2], 0x00af_9b00_0000_ffff);
        assert_eq!(table[3], 0x00cf_9300_0000_ffff);
        assert_eq!(table[5], 0x00cf_f300_0000_ffff);
        assert_eq!(table[6], 0x00af_fb00_0000_ffff);
        assert_eq!(u64::from(SegmentSelector::new(5, PrivilegeLevel::Ring3).0), hal::UserContext::USER_SS);
        assert_eq!(u64::from(SegmentSelector::new(6, PrivilegeLevel::Ring3).0), hal::UserContext::USER_CS);
    }

    #[test]
    fn tss_descriptor_carries_address_and_limit() {
        let table = gdt(0xffff_8000_1234_5678);
        assert_eq!(table[7], 0x1200_8934_5678_0067);
        assert_eq!(table[8], 0xffff_8000);
    }

    #[test]
    fn gates_carry_handler_stack_and_privilege() {
        let address = 0xffff_ffff_8020_1230;
        assert_eq!(gate(address, 2, Gate::Kernel), [0x8020_8e02_0010_1230, 0xffff_ffff]);
        assert_eq!(gate(address, 0, Gate::User)[0], 0x8020_ee00_0010_1230);
    }
}
