//! What system calls ask of the machine and the executor.

use core::sync::atomic::{AtomicU64, Ordering};

use hal::{Power, PowerAction, Timer};
use hal_x86_64::features::Features;
use hal_x86_64::{Machine, cpu, features, fpu, power, random, user_copy};
use memory::AddressSpace;
use process::signal::frame::FpLayout;
use sync::{Rank, SpinLock};
use syscall::{Hardware, NewThread, OutOfMemory, Platform};
use types::{CpuId, CpuSet, Nanos};

use crate::{boot, run};

/// The kernel, as system calls see it.
pub(crate) struct Kernel {
    random: SpinLock<Generator>,
    /// Draws since the last fresh seed.
    draws: AtomicU64,
}

impl Kernel {
    pub(crate) fn new() -> Self {
        Self { random: SpinLock::new(Rank::INTERRUPTS, Generator::seeded()), draws: AtomicU64::new(0) }
    }
}

impl Platform for Kernel {
    fn now(&self) -> Nanos {
        Machine.now()
    }

    fn arm_timer(&self, deadline: Nanos) {
        crate::cpu::arm_timer(deadline);
    }

    fn copy_in(&self, _space: &AddressSpace, from: u64, to: &mut [u8]) -> usize {
        let len = to.len();
        user_copy::copy_in(to, from).map_or_else(|left| len - left, |()| len)
    }

    fn copy_out(&self, _space: &AddressSpace, to: u64, from: &[u8]) -> usize {
        user_copy::copy_out(to, from).map_or_else(|left| from.len() - left, |()| from.len())
    }

    fn new_space(&self) -> Option<AddressSpace> {
        AddressSpace::new(boot::memory::frames(), &Machine, boot::memory::tables()).ok()
    }

    fn start_thread(&self, new: NewThread) -> Result<(), OutOfMemory> {
        let system = crate::system().ok_or(OutOfMemory)?;
        run::start(system, crate::executor(), new)
    }

    fn charge(&self) {
        crate::entry::charge_current();
    }

    fn has_waiting(&self) -> bool {
        crate::executor().has_waiting()
    }

    fn random(&self, out: &mut [u8]) {
        /// Draws after which fresh entropy is mixed in.
        const RESEED: u64 = 256;
        let mut random = self.random.lock();
        if self.draws.fetch_add(1, Ordering::Relaxed) % RESEED == 0 {
            random.mix_in();
        }
        random.fill(out);
    }

    fn power(&self, action: PowerAction, status: i32) {
        ::log::info!("kernel: {action:?}");
        crate::log::marker(format_args!("MULTIOS-EXIT status={}", status & 0xff));
        // Where there is the debug-exit device, that is the quickest way out of QEMU.
        if action == PowerAction::PowerOff {
            power::debug_exit(status as u32 & 0x3f);
        }
        Machine.act(action);
        hal_x86_64::interrupts::stop_this_cpu();
    }

    fn online(&self) -> CpuSet {
        cpu::online()
    }

    fn current_cpu(&self) -> CpuId {
        cpu::current()
    }

    fn fp_layout(&self) -> FpLayout {
        let components = fpu::components();
        if components == 0 {
            return FpLayout::LEGACY;
        }
        FpLayout { size: fpu::size(), features: components, mxcsr_mask: fpu::mxcsr_mask() }
    }

    fn hardware(&self) -> Hardware {
        Hardware {
            hwcap: u64::from(features::identity().leaf1_edx),
            hwcap2: if features::get().contains(Features::FSGSBASE) { 2 } else { 0 },
        }
    }
}

/// Random bytes: ChaCha20 in counter mode with a key that is replaced after each draw, so that the past cannot be
/// computed from the present (RFC 8439 for the block function).
struct Generator {
    key: [u32; 8],
    counter: u64,
}

impl Generator {
    fn seeded() -> Self {
        let mut generator = Self { key: [0; 8], counter: 0 };
        generator.mix_in();
        generator
    }

    fn mix_in(&mut self) {
        for pair in self.key.chunks_mut(2) {
            let (seed, _) = random::seed();
            for (word, half) in pair.iter_mut().zip([seed as u32, (seed >> 32) as u32]) {
                *word ^= half;
            }
        }
    }

    fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(64) {
            let block = self.block();
            for (slot, byte) in chunk.iter_mut().zip(block.iter().flat_map(|word| word.to_le_bytes())) {
                *slot = byte;
            }
        }
        let next = self.block();
        for (word, new) in self.key.iter_mut().zip(next) {
            *word = new;
        }
    }

    fn block(&mut self) -> [u32; 16] {
        let [k0, k1, k2, k3, k4, k5, k6, k7] = self.key;
        let (low, high) = (self.counter as u32, (self.counter >> 32) as u32);
        self.counter = self.counter.wrapping_add(1);
        let start =
            [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574, k0, k1, k2, k3, k4, k5, k6, k7, low, high, 0, 0];
        let [
            mut a0,
            mut a1,
            mut a2,
            mut a3,
            mut b0,
            mut b1,
            mut b2,
            mut b3,
            mut c0,
            mut c1,
            mut c2,
            mut c3,
            mut d0,
            mut d1,
            mut d2,
            mut d3,
        ] = start;
        for _ in 0..10 {
            quarter(&mut a0, &mut b0, &mut c0, &mut d0);
            quarter(&mut a1, &mut b1, &mut c1, &mut d1);
            quarter(&mut a2, &mut b2, &mut c2, &mut d2);
            quarter(&mut a3, &mut b3, &mut c3, &mut d3);
            quarter(&mut a0, &mut b1, &mut c2, &mut d3);
            quarter(&mut a1, &mut b2, &mut c3, &mut d0);
            quarter(&mut a2, &mut b3, &mut c0, &mut d1);
            quarter(&mut a3, &mut b0, &mut c1, &mut d2);
        }
        let mut out = [a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3];
        for (word, first) in out.iter_mut().zip(start) {
            *word = word.wrapping_add(first);
        }
        out
    }
}

fn quarter(a: &mut u32, b: &mut u32, c: &mut u32, d: &mut u32) {
    *a = a.wrapping_add(*b);
    *d = (*d ^ *a).rotate_left(16);
    *c = c.wrapping_add(*d);
    *b = (*b ^ *c).rotate_left(12);
    *a = a.wrapping_add(*b);
    *d = (*d ^ *a).rotate_left(8);
    *c = c.wrapping_add(*d);
    *b = (*b ^ *c).rotate_left(7);
}
