//! The block of data that each CPU finds through GS.
//!
//! Offsets of the first fields are known to the assembly in `user.rs` and `kernel_trap.rs`. Everything in it is atomic
//! or written once before the block is published, so that a shared reference is all anyone needs.

use alloc::boxed::Box;
use core::arch::asm;
use core::cell::UnsafeCell;
use core::mem::offset_of;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use types::{CpuId, CpuSet, MAX_CPUS};
use x86_64::VirtAddr;
use x86_64::registers::model_specific::{GsBase, KernelGsBase};
use x86_64::structures::tss::TaskStateSegment;

use crate::descriptors::{self, GDT_LEN};

/// Stack of an exception that may come at any instruction. Large enough to print a record.
const IST_STACK: usize = 8192;

/// Exceptions with a stack of their own: NMI, double fault, machine check.
const IST_COUNT: usize = 3;

#[repr(C, align(16))]
struct IstStack {
    room: UnsafeCell<[u8; IST_STACK - 16]>,
    /// The entry code takes the CPU's block from here: GS cannot be trusted in these exceptions.
    owner: AtomicPtr<PerCpu>,
    padding: u64,
}

/// Everything one CPU owns.
#[repr(C, align(64))]
pub(crate) struct PerCpu {
    this: AtomicPtr<PerCpu>,
    /// Stack pointer of the `enter_user` in progress.
    kernel_rsp: AtomicU64,
    /// The `UserContext` in user mode on this CPU, or last in it.
    user_context: AtomicU64,
    /// User stack pointer during a system call's fast stub.
    user_rsp: AtomicU64,
    /// CR2 of the last page fault from user mode.
    pub(crate) fault_address: AtomicU64,
    /// Work for the trap loop; not zero keeps fast stubs from returning straight to the user.
    pub(crate) work: AtomicU32,
    id: AtomicU32,
    /// What the kernel above notes as running on this CPU.
    owner: AtomicPtr<()>,
    /// The same for the hook of system calls; null sends them the long way.
    pub(crate) caller: AtomicPtr<()>,
    pub(crate) apic_id: AtomicU32,
    /// Division of the timer's clock, as a power of two.
    pub(crate) timer_shift: AtomicU32,
    pub(crate) stats: crate::stats::Counters,
    tss: UnsafeCell<TaskStateSegment>,
    gdt: UnsafeCell<[u64; GDT_LEN]>,
    ist: [IstStack; IST_COUNT],
}

// SAFETY: the cells are written before the block is published, and by the CPU's own hardware after.
unsafe impl Sync for PerCpu {}

/// Offsets for assembly.
pub(crate) const KERNEL_RSP: usize = offset_of!(PerCpu, kernel_rsp);
pub(crate) const USER_CONTEXT: usize = offset_of!(PerCpu, user_context);
pub(crate) const USER_RSP: usize = offset_of!(PerCpu, user_rsp);
pub(crate) const FAULT_ADDRESS: usize = offset_of!(PerCpu, fault_address);
const OWNER: usize = offset_of!(PerCpu, owner);
const CALLER: usize = offset_of!(PerCpu, caller);
pub(crate) const WORK: usize = offset_of!(PerCpu, work);
/// RSP0 stands four bytes into the TSS.
pub(crate) const RSP0: usize = offset_of!(PerCpu, tss) + 4;

static BOOT_CPU: PerCpu = PerCpu::new();
static TABLE: [AtomicPtr<PerCpu>; MAX_CPUS] = [const { AtomicPtr::new(ptr::null_mut()) }; MAX_CPUS];
static ONLINE: AtomicU64 = AtomicU64::new(0);
/// Blocks in [`TABLE`], for reports.
static KNOWN: AtomicUsize = AtomicUsize::new(0);

impl PerCpu {
    const fn new() -> Self {
        Self {
            this: AtomicPtr::new(ptr::null_mut()),
            kernel_rsp: AtomicU64::new(0),
            user_context: AtomicU64::new(0),
            user_rsp: AtomicU64::new(0),
            fault_address: AtomicU64::new(0),
            work: AtomicU32::new(0),
            id: AtomicU32::new(0),
            owner: AtomicPtr::new(ptr::null_mut()),
            caller: AtomicPtr::new(ptr::null_mut()),
            apic_id: AtomicU32::new(0),
            timer_shift: AtomicU32::new(0),
            stats: crate::stats::Counters::new(),
            tss: UnsafeCell::new(TaskStateSegment::new()),
            gdt: UnsafeCell::new([0; GDT_LEN]),
            ist: [const {
                IstStack {
                    room: UnsafeCell::new([0; IST_STACK - 16]),
                    owner: AtomicPtr::new(ptr::null_mut()),
                    padding: 0,
                }
            }; IST_COUNT],
        }
    }

    pub(crate) fn id(&self) -> CpuId {
        CpuId(self.id.load(Ordering::Relaxed))
    }

    /// Fills in the tables of an unpublished block.
    fn prepare(&'static self, id: CpuId) {
        let this = ptr::from_ref(self).cast_mut();
        self.this.store(this, Ordering::Relaxed);
        self.id.store(id.0, Ordering::Relaxed);
        let mut tss = TaskStateSegment::new();
        let mut stacks = [VirtAddr::zero(); 7];
        for (stack, slot) in self.ist.iter().zip(&mut stacks) {
            stack.owner.store(this, Ordering::Relaxed);
            *slot = VirtAddr::from_ptr(&raw const stack.owner);
        }
        tss.interrupt_stack_table = stacks;
        // SAFETY: nobody else has the block yet.
        unsafe { *self.tss.get() = tss };
        let gdt = descriptors::gdt(self.tss.get() as u64);
        // SAFETY: as above.
        unsafe { *self.gdt.get() = gdt };
        if let Some(slot) = TABLE.get(id.index()) {
            slot.store(this, Ordering::Release);
            KNOWN.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Makes this block that of the executing CPU: GDT, TSS and GS.
    ///
    /// # Safety
    /// Called once for each block, by the CPU that is to own it, at boot.
    pub(crate) unsafe fn adopt(&'static self) {
        // SAFETY: the GDT lives for ever and holds the segments that ring 0 and user mode use.
        unsafe { descriptors::load(self.gdt.get()) };
        GsBase::write(VirtAddr::from_ptr(self));
        KernelGsBase::write(VirtAddr::zero());
    }
}

/// The boot CPU's block, made ready.
pub(crate) fn boot_block() -> &'static PerCpu {
    BOOT_CPU.prepare(CpuId(0));
    &BOOT_CPU
}

/// A block for another CPU, for ever.
pub(crate) fn new_block(id: CpuId) -> &'static PerCpu {
    let block: &'static PerCpu = Box::leak(Box::new(PerCpu::new()));
    block.prepare(id);
    block
}

/// The block of the executing CPU. Only after [`PerCpu::adopt`].
#[inline]
pub(crate) fn current() -> &'static PerCpu {
    let this: *const PerCpu;
    // SAFETY: GS points to the CPU's block from `adopt` on whenever Rust code runs; its first field is its address.
    unsafe { asm!("mov {}, gs:[0]", out(reg) this, options(nostack, preserves_flags, readonly)) };
    // SAFETY: blocks live for ever.
    unsafe { &*this }
}

/// The owner noted in the block of the executing CPU. Only after [`PerCpu::adopt`].
#[inline]
pub(crate) fn owner() -> *mut () {
    let owner: *mut ();
    // SAFETY: GS points to the CPU's block, as in `current`; only this CPU writes the field.
    unsafe {
        asm!("mov {}, gs:[{field}]", out(reg) owner, field = const OWNER, options(nostack, preserves_flags, readonly));
    };
    owner
}

/// The caller noted in the block of the executing CPU.
#[inline]
pub(crate) fn caller() -> *mut () {
    let caller: *mut ();
    // SAFETY: as above; other CPUs may clear the field.
    unsafe { asm!("mov {}, gs:[{field}]", out(reg) caller, field = const CALLER, options(nostack, preserves_flags)) };
    caller
}

/// Notes the owner in the block of the executing CPU.
#[inline]
pub(crate) fn set_owner(owner: *mut ()) {
    // SAFETY: as above.
    unsafe { asm!("mov gs:[{field}], {}", in(reg) owner, field = const OWNER, options(nostack, preserves_flags)) };
}

/// The block of `cpu`, if it was made.
pub(crate) fn of(cpu: CpuId) -> Option<&'static PerCpu> {
    let block = TABLE.get(cpu.index())?.load(Ordering::Acquire);
    // SAFETY: the table holds null or blocks that live for ever.
    unsafe { block.as_ref() }
}

/// Counts `cpu` among those that are up.
pub(crate) fn set_online(cpu: CpuId) {
    ONLINE.fetch_or(CpuSet::single(cpu).0, Ordering::SeqCst);
}

/// CPUs that are up.
pub(crate) fn online() -> CpuSet {
    CpuSet(ONLINE.load(Ordering::SeqCst))
}
