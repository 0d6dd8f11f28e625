//! Starting the other CPUs: INIT, start-up message, and a trampoline from real mode to the kernel (Intel SDM vol. 3,
//! 9.4.4).
//!
//! All CPUs are started at once. Each takes a ticket in the trampoline page, gets the stack with that number, and
//! learns who it is from its own APIC id. A CPU that does not come in time is put back to waiting for a start-up
//! message, so it cannot run into the trampoline page when that has been freed.

use alloc::vec::Vec;
use core::arch::global_asm;
use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering};

use hal::Topology as _;
use spin::Once;
use types::{ApicId, CpuId, CpuSet, Nanos, PAGE_SIZE, PhysAddr};

use crate::acpi::Topology;
use crate::{apic, cpu, direct_map, per_cpu, time, tlb};

/// What an application CPU runs, once it is ready: descriptor tables, APIC, FPU set up, interrupts off.
pub type ApMain = fn(CpuId) -> !;

/// What the caller provides.
#[derive(Clone, Copy, Debug)]
pub struct StartPlan {
    /// A page below 1 MiB. Its content is saved and put back.
    pub trampoline: PhysAddr,
    /// Page tables below 4 GiB that map the trampoline page identically and the kernel as now; the CPUs keep using
    /// them until `ap_main` activates others.
    pub page_table: PhysAddr,
    /// At most so many CPUs in all, this one included (`maxcpus=`).
    pub max_cpus: usize,
    /// How long to wait for all of them.
    pub patience: Nanos,
}

/// Why none was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartError {
    /// The trampoline is not a page below 1 MiB.
    BadTrampoline,
    /// The page table is above 4 GiB.
    BadPageTable,
    /// Called a second time.
    Again,
}

/// Who came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Started {
    /// CPUs that are up, this one included.
    pub online: CpuSet,
    /// CPUs that were called and did not come.
    pub missing: CpuSet,
}

global_asm!(
    r#"
.pushsection .rodata.hal_trampoline, "a", @progbits
.globl hal_trampoline
.p2align 4
.code16
hal_trampoline:
    cli
    cld
    movw %cs, %ax
    movw %ax, %ds
    # ebx: the page's address.
    movzwl %ax, %ebx
    shll $4, %ebx
    movl (hal_trampoline_cr3 - hal_trampoline), %eax
    movl %eax, %cr3
    lgdtl (hal_trampoline_gdtr - hal_trampoline)
    movl %cr4, %eax
    orl $0x20, %eax
    movl %eax, %cr4
    movl $0xc0000080, %ecx
    rdmsr
    orl $0x900, %eax
    wrmsr
    movl %cr0, %eax
    orl $0x80010001, %eax
    andl $0x9fffffff, %eax
    movl %eax, %cr0
    ljmpl *(hal_trampoline_target - hal_trampoline)
.code64
hal_trampoline_64:
    movl %ebx, %eax
    movl $16, %ecx
    movl %ecx, %ds
    movl %ecx, %es
    movl %ecx, %ss
    xorl %ecx, %ecx
    movl %ecx, %fs
    movl %ecx, %gs
    movl $1, %edi
    lock xaddl %edi, (hal_trampoline_ticket - hal_trampoline)(%rax)
    cmpl (hal_trampoline_stack_count - hal_trampoline)(%rax), %edi
    jae 1f
    movq (hal_trampoline_stacks - hal_trampoline)(%rax), %rcx
    movq (%rcx, %rdi, 8), %rsp
    xorl %ebp, %ebp
    pushq %rbp
    jmpq *(hal_trampoline_entry - hal_trampoline)(%rax)
1:  hlt
    jmp 1b
.p2align 3
hal_trampoline_gdt:
    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
# From here on filled in by `start_aps`.
hal_trampoline_gdtr:
    .short 23
    .long 0
.p2align 3
hal_trampoline_target:
    .long 0
    .short 8
.p2align 3
hal_trampoline_cr3:
    .quad 0
hal_trampoline_stacks:
    .quad 0
hal_trampoline_entry:
    .quad 0
hal_trampoline_stack_count:
    .long 0
hal_trampoline_ticket:
    .long 0
hal_trampoline_end:
.globl hal_trampoline_layout
hal_trampoline_layout:
    .long hal_trampoline_end - hal_trampoline
    .long hal_trampoline_64 - hal_trampoline
    .long hal_trampoline_gdt - hal_trampoline
    .long hal_trampoline_gdtr - hal_trampoline
    .long hal_trampoline_target - hal_trampoline
    .long hal_trampoline_cr3 - hal_trampoline
    .long hal_trampoline_stacks - hal_trampoline
    .long hal_trampoline_entry - hal_trampoline
    .long hal_trampoline_stack_count - hal_trampoline
.popsection
"#,
    options(att_syntax)
);

/// Offsets inside the trampoline.
#[repr(C)]
#[derive(Clone, Copy)]
struct Layout {
    end: u32,
    code64: u32,
    gdt: u32,
    gdtr: u32,
    target: u32,
    cr3: u32,
    stacks: u32,
    entry: u32,
    stack_count: u32,
}

unsafe extern "C" {
    static hal_trampoline: u8;
    static hal_trampoline_layout: Layout;
}

/// CPUs about which has been decided: the CPU sets its bit when it has come, the boot CPU when it gives up. Whoever is
/// first has decided.
static SETTLED: AtomicU64 = AtomicU64::new(0);
/// How often a CPU that comes compares its time-stamp counter: while the boot CPU and others do, some microseconds.
const COMPARISONS: u32 = 64;
static AP_MAIN: Once<ApMain> = Once::new();
static TOPOLOGY: Once<Vec<ApicId>> = Once::new();

/// Starts the CPUs of `topology` and waits until they are up. `stack_top` gives the top (16-byte aligned, mapped in
/// every page table) of a stack for each; a CPU for which it has none is not started. The CPUs then run `ap_main`.
///
/// # Errors
/// See [`StartError`]; nothing has been started. CPUs that do not come are no error but in the answer.
///
/// # Safety
/// The trampoline page and the page table are as [`StartPlan`] says and used for nothing else meanwhile; the stacks are
/// given to nobody else.
pub unsafe fn start_aps(
    topology: &Topology,
    plan: &StartPlan,
    mut stack_top: impl FnMut(CpuId) -> Option<u64>,
    ap_main: ApMain,
) -> Result<Started, StartError> {
    let page = trampoline_page(plan.trampoline).ok_or(StartError::BadTrampoline)?;
    let page_table = u32::try_from(plan.page_table.as_u64()).map_err(|_| StartError::BadPageTable)?;
    if AP_MAIN.is_completed() {
        return Err(StartError::Again);
    }
    AP_MAIN.call_once(|| ap_main);
    let ids: Vec<ApicId> = (0..topology.cpu_count()).filter_map(|cpu| topology.apic_id(CpuId(cpu as u32))).collect();
    TOPOLOGY.call_once(|| ids);

    let mut stacks = Vec::new();
    let mut wanted = CpuSet::EMPTY;
    for cpu in (1..topology.cpu_count().min(plan.max_cpus)).map(|cpu| CpuId(cpu as u32)) {
        let Some(top) = stack_top(cpu) else { break };
        stacks.push(top);
        per_cpu::new_block(cpu);
        wanted = wanted.with(cpu);
    }
    if !wanted.is_empty() {
        // Late arrivals may still look at it: never freed.
        let stacks = stacks.leak();
        let low: *mut u8 = direct_map::pointer(plan.trampoline);
        let mut saved = [0_u8; PAGE_SIZE];
        // SAFETY: the page is ours by the caller's promise and seen through the direct map.
        unsafe { ptr::copy_nonoverlapping(low, saved.as_mut_ptr(), PAGE_SIZE) };
        let image = build(plan.trampoline.as_u64() as u32, page_table, stacks);
        // SAFETY: as above; the image is not longer than a page.
        unsafe { ptr::copy_nonoverlapping(image.as_ptr(), low, image.len().min(PAGE_SIZE)) };
        call(topology, wanted, page, plan.patience);
        // SAFETY: as above; no CPU runs there any more.
        unsafe { ptr::copy_nonoverlapping(saved.as_ptr(), low, PAGE_SIZE) };
    }
    let online = cpu::online();
    Ok(Started { online, missing: CpuSet(wanted.0 & !online.0) })
}

/// Number of the page for the start-up message.
fn trampoline_page(address: PhysAddr) -> Option<u8> {
    let number = address.as_u64() / PAGE_SIZE as u64;
    address.is_aligned(PAGE_SIZE as u64).then_some(())?;
    u8::try_from(number).ok().filter(|number| *number != 0)
}

/// The trampoline's bytes with its variables filled in.
fn build(address: u32, page_table: u32, stacks: &[u64]) -> Vec<u8> {
    // SAFETY: the symbol is a constant of this type.
    let layout = unsafe { hal_trampoline_layout };
    // SAFETY: the trampoline is a constant of this length.
    let code = unsafe { core::slice::from_raw_parts(&raw const hal_trampoline, layout.end as usize) };
    let mut image = code.to_vec();
    let mut put = |offset: u32, value: &[u8]| {
        if let Some(place) = image.get_mut(offset as usize..offset as usize + value.len()) {
            place.copy_from_slice(value);
        }
    };
    put(layout.gdtr + 2, &(address + layout.gdt).to_le_bytes());
    put(layout.target, &(address + layout.code64).to_le_bytes());
    put(layout.cr3, &u64::from(page_table).to_le_bytes());
    put(layout.stacks, &(stacks.as_ptr().expose_provenance() as u64).to_le_bytes());
    put(layout.entry, &(ap_entry as *const () as usize as u64).to_le_bytes());
    put(layout.stack_count, &(stacks.len() as u32).to_le_bytes());
    image
}

/// Sends the messages and waits.
fn call(topology: &Topology, wanted: CpuSet, page: u8, patience: Nanos) {
    let ids = |cpus: CpuSet| cpus.iter().filter_map(|cpu| topology.apic_id(cpu)).collect::<Vec<_>>();
    let missing = || CpuSet(wanted.0 & !cpu::online().0);
    let all = ids(wanted);
    all.iter().for_each(|id| apic::send_init(*id));
    // The manual's 10 ms are for the first multiprocessors; anything that runs 64-bit code needs far less.
    wait_until(Nanos::from_micros(200), || false);
    all.iter().for_each(|id| apic::send_startup(*id, page));
    if wait_until(Nanos::from_millis(10), || missing().is_empty()) {
        return;
    }
    // A second message, for CPUs that need it; one that runs ignores it.
    ids(missing()).iter().for_each(|id| apic::send_startup(*id, page));
    if wait_until(patience, || missing().is_empty()) {
        return;
    }
    let absent = missing().0;
    let late = CpuSet(absent & !SETTLED.fetch_or(absent, Ordering::SeqCst));
    ids(late).iter().for_each(|id| apic::send_init(*id));
    wait_until(Nanos::from_secs(1), || missing() == late);
}

/// Waits until `condition` holds, at most for `time`; returns whether it holds.
fn wait_until(time: Nanos, condition: impl Fn() -> bool) -> bool {
    let end = time::now() + time;
    loop {
        if condition() {
            return true;
        }
        if time::now() >= end {
            return false;
        }
        tlb::serve_shootdowns();
        time::compare(1);
        core::hint::spin_loop();
    }
}

/// First Rust code of a CPU, on its stack, with the caller's page table.
extern "C" fn ap_entry() -> ! {
    // Before the block is adopted nothing may use GS; the APIC id comes from CPUID.
    let id = initial_apic_id();
    let cpu = TOPOLOGY.get().and_then(|ids| ids.iter().position(|known| *known == id)).map(|cpu| CpuId(cpu as u32));
    let (Some(cpu), Some(main)) = (cpu, AP_MAIN.get()) else { crate::interrupts::stop_this_cpu() };
    let Some(block) = per_cpu::of(cpu) else { crate::interrupts::stop_this_cpu() };
    if CpuSet(SETTLED.fetch_or(CpuSet::single(cpu).0, Ordering::SeqCst)).contains(cpu) {
        // Too late: the boot CPU has given up.
        crate::interrupts::stop_this_cpu();
    }
    // SAFETY: the block was made for this CPU, which comes here once.
    unsafe { cpu::init_ap(block) };
    apic::init_ap();
    time::compare(COMPARISONS);
    per_cpu::set_online(cpu);
    main(cpu)
}

/// The APIC id that CPUID reports: 32 bits from leaf 0xb where there is one, else 8 bits.
fn initial_apic_id() -> ApicId {
    let topology = crate::features::cpuid_checked(0xb, 0);
    if topology.ebx != 0 { ApicId(topology.edx) } else { ApicId(crate::features::cpuid(1, 0).ebx >> 24) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_pages_below_one_mebibyte_will_do() {
        assert_eq!(trampoline_page(PhysAddr::new(0x8000)), Some(8));
        assert_eq!(trampoline_page(PhysAddr::new(0xff000)), Some(0xff));
        for address in [0, 0x8001, 0x10_0000, 0x8000_0000] {
            assert_eq!(trampoline_page(PhysAddr::new(address)), None);
        }
    }

    #[test]
    fn trampoline_is_filled_in_for_its_page() {
        let stacks = [0x1111, 0x2222];
        let image = build(0x9000, 0x0012_3000, &stacks);
        assert!(image.len() < PAGE_SIZE);
        // SAFETY: a constant.
        let layout = unsafe { hal_trampoline_layout };
        let word = |offset: u32| u32::from_le_bytes(image[offset as usize..offset as usize + 4].try_into().unwrap());
        assert_eq!(word(layout.cr3), 0x0012_3000);
        assert_eq!(word(layout.target), 0x9000 + layout.code64);
        assert_eq!(word(layout.gdtr + 2), 0x9000 + layout.gdt);
        assert_eq!(word(layout.stack_count), 2);
    }
}
