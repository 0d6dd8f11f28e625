//! What system calls ask of the machine and the executor.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use hal::{Power, PowerAction};
use hal_x86_64::features::Features;
use hal_x86_64::{Machine, cpu, features, fpu, power, random, time, user_copy};
use memory::{AddressSpace, KernelPages};
use process::PriorityClass;
use process::signal::frame::FpLayout;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sync::{Rank, SpinLock};
use syscall::{Hardware, KernelTask, NewThread, OutOfMemory, Platform, Thread};
use types::{CpuId, CpuSet, Nanos};

use crate::{boot, entry, run};

/// The kernel, as system calls see it.
pub(crate) struct Kernel {
    random: SpinLock<Generator>,
    /// Draws since the last fresh seed.
    draws: AtomicU64,
    /// Asking the CPU takes long, most of all in a virtual machine.
    hardware: Hardware,
    kernel_pages: Option<KernelPages>,
}

impl Kernel {
    pub(crate) fn new(kernel_pages: Option<KernelPages>) -> Self {
        let hardware = Hardware {
            hwcap: u64::from(features::identity().leaf1_edx),
            hwcap2: if features::get().contains(Features::FSGSBASE) { 2 } else { 0 },
        };
        let random = SpinLock::new(Rank::INTERRUPTS, Generator::seeded());
        Self { random, draws: AtomicU64::new(0), hardware, kernel_pages }
    }
}

impl Platform for Kernel {
    fn now(&self) -> Nanos {
        time::now_in_order()
    }

    fn time_of(&self, stamp: u64) -> Nanos {
        hal_x86_64::time::at(stamp)
    }

    fn arm_timer(&self, deadline: Nanos) {
        crate::cpu::arm_timer(deadline);
    }

    fn real_time_was_set(&self) {
        crate::cpu::real_time_was_set();
    }

    fn copy_in(&self, _space: &AddressSpace, from: u64, to: &mut [u8]) -> usize {
        let len = to.len();
        user_copy::copy_in(to, from).map_or_else(|left| len - left, |()| len)
    }

    fn copy_out(&self, _space: &AddressSpace, to: u64, from: &[u8]) -> usize {
        user_copy::copy_out(to, from).map_or_else(|left| from.len() - left, |()| from.len())
    }

    #[inline]
    fn load_word(&self, _space: &AddressSpace, from: u64) -> Option<u32> {
        user_copy::load_u32(from).ok()
    }

    fn new_space(&self) -> Option<AddressSpace> {
        AddressSpace::new(boot::memory::frames(), &Machine, boot::memory::tables()).ok()
    }

    fn start_thread(&self, new: NewThread) -> Result<(), OutOfMemory> {
        let system = crate::system().ok_or(OutOfMemory)?;
        run::start(system, crate::executor(), new)
    }

    fn filters_changed(&self) {
        crate::entry::detour_all();
    }

    fn admit_thread(&self, thread: Arc<Thread>) -> Result<(), OutOfMemory> {
        let system = crate::system().ok_or(OutOfMemory)?;
        run::admit(system, crate::executor(), thread);
        Ok(())
    }

    fn run_task(&self, task: KernelTask) -> Result<(), OutOfMemory> {
        run::start_task(crate::executor(), task);
        Ok(())
    }

    fn charge(&self) {
        let _ = crate::entry::charge_current();
    }

    fn random(&self, out: &mut [u8]) {
        /// Draws after which fresh entropy is mixed in.
        const RESEED: u64 = 256;
        let mut random = self.random.lock();
        if self.draws.fetch_add(1, Ordering::Relaxed).is_multiple_of(RESEED) {
            random.mix_in();
        }
        random.fill(out);
    }

    fn power(&self, action: PowerAction, status: i32) {
        ::log::info!("kernel: {action:?}");
        crate::log::marker(format_args!("MULTIOS-EXIT status={}", status & 0xff));
        // Where there is the debug-exit device, that is the quickest way out of QEMU.
        if action == PowerAction::PowerOff {
            // Bit 6 tells this end from a panic and from QEMU's own failures.
            power::debug_exit(0x40 | status as u32 & 0x3f);
        }
        Machine.act(action);
        hal_x86_64::interrupts::stop_this_cpu();
    }

    fn serve_interrupts(&self) {
        if let Some(system) = crate::system() {
            crate::cpu::serve_interrupt(system);
        }
    }

    fn scheduling_changed(&self, thread: &Thread) {
        crate::executor().refresh(crate::attributes::of(thread), || thread.wake());
    }

    fn whereabouts(&self, thread: &Thread) -> (CpuId, Nanos) {
        crate::executor().whereabouts(|| thread.wake())
    }

    fn urgency(&self, thread: &Thread) -> u32 {
        crate::attributes::urgency(thread)
    }

    fn urgency_of(&self, class: PriorityClass) -> u32 {
        crate::attributes::urgency_of(class)
    }

    fn lend(&self, thread: &Thread, urgency: Option<u32>) {
        crate::executor().lend(urgency.map(crate::attributes::key_of), || thread.wake());
    }

    fn waits_for_cpu(&self, thread: &Thread) -> bool {
        crate::executor().is_queued(|| thread.wake())
    }

    fn online(&self) -> CpuSet {
        cpu::online()
    }

    fn current_cpu(&self) -> CpuId {
        cpu::current()
    }

    fn current_node(&self) -> u32 {
        crate::nodes::of_cpu(cpu::current())
    }

    fn current_thread(&self) -> Option<Arc<Thread>> {
        entry::current_thread()
    }

    fn fp_layout(&self) -> FpLayout {
        let components = fpu::components();
        if components == 0 {
            return FpLayout::LEGACY;
        }
        FpLayout { size: fpu::size(), features: components, mxcsr_mask: fpu::mxcsr_mask() }
    }

    fn hardware(&self) -> Hardware {
        self.hardware
    }

    fn kernel_pages(&self) -> Option<&KernelPages> {
        self.kernel_pages.as_ref()
    }
}

/// Random bytes: ChaCha20 with fast key erasure (D. J. Bernstein, 2017). Each refill takes the next key from its own
/// output, and bytes are erased as they are handed out, so that the past cannot be computed from the present.
struct Generator {
    key: [u8; Self::KEY],
    ready: [u8; Self::READY],
    used: usize,
}

impl Generator {
    const KEY: usize = 32;
    /// What is left of four blocks after the key: the generator makes four at a time.
    const READY: usize = 256 - Self::KEY;

    fn seeded() -> Self {
        let mut generator = Self { key: [0; Self::KEY], ready: [0; Self::READY], used: Self::READY };
        generator.mix_in();
        generator
    }

    /// Mixes fresh entropy into the key.
    fn mix_in(&mut self) {
        for part in self.key.chunks_mut(8) {
            let (seed, _) = random::seed();
            for (byte, fresh) in part.iter_mut().zip(seed.to_le_bytes()) {
                *byte ^= fresh;
            }
        }
        self.used = Self::READY;
    }

    fn fill(&mut self, mut out: &mut [u8]) {
        while !out.is_empty() {
            if self.used >= Self::READY {
                self.refill();
            }
            let fresh = self.ready.get_mut(self.used..).unwrap_or_default();
            let count = fresh.len().min(out.len());
            let (Some(fresh), Some((part, rest))) = (fresh.get_mut(..count), out.split_at_mut_checked(count)) else {
                return;
            };
            part.copy_from_slice(fresh);
            fresh.fill(0);
            self.used += count;
            out = rest;
        }
    }

    fn refill(&mut self) {
        let mut blocks = [0; Self::KEY + Self::READY];
        ChaCha20Rng::from_seed(self.key).fill_bytes(&mut blocks);
        let (key, ready) = blocks.split_at(Self::KEY);
        self.key.copy_from_slice(key);
        self.ready.copy_from_slice(ready);
        self.used = 0;
    }
}
