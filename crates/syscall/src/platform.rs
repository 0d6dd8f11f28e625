//! What the system calls need of the kernel around them.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::pin::Pin;

use hal::{PowerAction, UserContext};
use memory::{AddressSpace, KernelPages};
use process::PriorityClass;
use process::signal::frame::FpLayout;
use types::{CpuId, CpuSet, Nanos};

use crate::{Process, Thread};

/// The machine and the executor, as system calls see them.
pub trait Platform: Send + Sync {
    /// Time since boot, never earlier than what any program has seen before.
    fn now(&self) -> Nanos;
    /// The time since boot at which the cycle counter was at `stamp`.
    fn time_of(&self, stamp: u64) -> Nanos {
        Nanos(stamp)
    }
    /// Asks that timers be looked at again at `deadline` at the latest.
    fn arm_timer(&self, deadline: Nanos);
    /// Asks every CPU to look again when its timers of real time are due.
    fn real_time_was_set(&self) {}
    /// Copies from the memory of `space`, which is the caller's; returns bytes copied before a fault.
    fn copy_in(&self, space: &AddressSpace, from: u64, to: &mut [u8]) -> usize;
    /// Copies to the memory of `space`, which is the caller's; returns bytes copied before a fault.
    fn copy_out(&self, space: &AddressSpace, to: u64, from: &[u8]) -> usize;
    /// Reads an aligned word of the memory of `space`, which is the caller's, in one access; `None` for a fault.
    fn load_word(&self, space: &AddressSpace, from: u64) -> Option<u32> {
        space.load_u32(from).ok()
    }
    /// An empty address space.
    fn new_space(&self) -> Option<AddressSpace>;
    /// Lets a thread run, from `start` on.
    ///
    /// # Errors
    /// [`OutOfMemory`] when there is none for its task; the thread never runs then.
    fn start_thread(&self, new: NewThread) -> Result<(), OutOfMemory>;
    /// Threads have been put under call filters: from now on their calls come by [`crate::serve`].
    fn filters_changed(&self) {}
    /// Gives a thread without program a task, which begins with [`System::first_program`](crate::System::first_program).
    ///
    /// # Errors
    /// [`OutOfMemory`] when there is none for it.
    fn admit_thread(&self, thread: Arc<Thread>) -> Result<(), OutOfMemory>;
    /// Runs a task of the kernel's own, which no signal or limit reaches.
    ///
    /// # Errors
    /// [`OutOfMemory`] when there is none for it.
    fn run_task(&self, task: KernelTask) -> Result<(), OutOfMemory>;
    /// Charges all time up to now to the calling thread: its figures are about to be read.
    fn charge(&self);
    /// Fills `out` with random bytes fit for keys.
    fn random(&self, out: &mut [u8]);
    /// Switches off, starts again or halts; `status` is what pid 1 or an administrator wants to be reported.
    fn power(&self, action: PowerAction, status: i32);
    /// Does what interrupts that wait for user mode would have done: timers, input.
    fn serve_interrupts(&self);
    /// Importance of `thread`, or the CPUs that it may use, have changed: that counts at once, wherever it is.
    fn scheduling_changed(&self, thread: &Thread);
    /// The CPU that runs `thread`, or did last, and for how long it waited for one that is not charged to it yet.
    fn whereabouts(&self, thread: &Thread) -> (CpuId, Nanos) {
        let _ = thread;
        (CpuId(0), Nanos::ZERO)
    }
    /// How urgent a thread is by itself, whatever it is lent; less is more urgent.
    fn urgency(&self, thread: &Thread) -> u32 {
        u32::from(u8::MAX - thread.scheduling().rt_priority)
    }
    /// How urgent an ordinary thread of that class is by itself.
    fn urgency_of(&self, class: PriorityClass) -> u32 {
        class as u32
    }
    /// `thread` is to run as if it were of that urgency at least, since somebody who is waits for it; `None` ends that.
    fn lend(&self, thread: &Thread, urgency: Option<u32>) {
        let _ = (thread, urgency);
    }
    /// Whether `thread` could run just now, but waits for a CPU. Only looked at, it does not wake.
    fn waits_for_cpu(&self, _thread: &Thread) -> bool {
        false
    }
    /// CPUs that run programs.
    fn online(&self) -> CpuSet;
    /// The CPU the caller runs on.
    fn current_cpu(&self) -> CpuId;
    /// Its memory node.
    fn current_node(&self) -> u32;
    /// The thread this CPU is serving; `None` outside of any.
    fn current_thread(&self) -> Option<Arc<Thread>>;
    /// Layout of vector state in signal frames.
    fn fp_layout(&self) -> FpLayout;
    /// What programs are told of the CPU.
    fn hardware(&self) -> Hardware;
    /// Pages of the kernel's that every program is shown.
    fn kernel_pages(&self) -> Option<&KernelPages> {
        None
    }
}

/// Work of the kernel's own.
pub type KernelTask = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Capability words of the auxiliary vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Hardware {
    /// CPUID leaf 1 EDX (`AT_HWCAP`).
    pub hwcap: u64,
    /// `AT_HWCAP2`: bit 1 says that FSGSBASE works.
    pub hwcap2: u64,
}

/// A thread that is to run for the first time.
pub struct NewThread {
    /// Its process.
    pub process: Arc<Process>,
    /// Itself.
    pub thread: Arc<Thread>,
    /// Its first registers.
    pub start: UserContext,
    /// Its first vector registers.
    pub vector: VectorState,
}

/// Vector registers that a thread begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VectorState {
    /// Those of a fresh program.
    Initial,
    /// Those of the thread that makes it, which is the calling one.
    OfCaller,
}

/// There is no memory for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory;

/// Floating-point and vector registers of the calling thread, wherever they are just now.
pub trait FpuState: Send {
    /// Bytes of an XSAVE image in standard format.
    fn len(&self) -> usize;
    /// Whether there is no such state; never so on x86-64.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Lends the XSAVE image, [`FpuState::len`] bytes, to `work`, which may complete it but not change what it means to the
    /// CPU; what `work` said.
    fn save_to(&mut self, work: &mut dyn FnMut(&mut [u8]) -> bool) -> bool;
    /// Lets `fill` replace the XSAVE image by one that a program wrote. If it says no, or the CPU would refuse the image:
    /// `false`, and the state is the initial one.
    #[must_use]
    fn load_from(&mut self, fill: &mut dyn FnMut(&mut [u8]) -> bool) -> bool;
    /// Back to the initial state, for a new program.
    fn reset(&mut self);
}
