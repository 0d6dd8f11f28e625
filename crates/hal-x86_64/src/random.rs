//! Random bits from the CPU.

use core::arch::asm;
use core::arch::x86_64::_rdtsc;

use x86_64::instructions::random::RdRand;

use crate::features::{self, Features};

/// Where a number came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quality {
    /// The time-stamp counter: hard to foresee, no more.
    Jitter,
    /// The CPU's generator, through its own whitening.
    Hardware,
    /// The CPU's noise source itself.
    Seed,
}

/// Tries of `rdseed` and `rdrand` before giving up, as Intel recommends (SDM vol. 1, 7.3.17).
const TRIES: usize = 10;

/// 64 bits from the best source there is, to seed a generator with.
pub fn seed() -> (u64, Quality) {
    let found = features::get();
    if found.contains(Features::RDSEED)
        && let Some(value) = (0..TRIES).find_map(|_| rdseed())
    {
        return (value, Quality::Seed);
    }
    if found.contains(Features::RDRAND)
        && let Some(generator) = RdRand::new()
        && let Some(value) = (0..TRIES).find_map(|_| generator.get_u64())
    {
        return (value, Quality::Hardware);
    }
    (jitter(), Quality::Jitter)
}

fn rdseed() -> Option<u64> {
    let (value, ok): (u64, u8);
    // SAFETY: called only where CPUID reports the instruction.
    unsafe { asm!("rdseed {}", "setc {}", out(reg) value, out(reg_byte) ok, options(nomem, nostack)) };
    (ok != 0).then_some(value)
}

/// Mixes counter values taken around memory and serialising instructions.
fn jitter() -> u64 {
    (0..64).fold(0x9e37_79b9_7f4a_7c15, |state, turn| {
        features::cpuid(turn & 1, 0);
        // SAFETY: reads a counter.
        mix(state ^ unsafe { _rdtsc() })
    })
}

/// The finisher of SplitMix64 (Steele, Lea, Flood 2014).
const fn mix(mut value: u64) -> u64 {
    value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_does_not_repeat() {
        assert_ne!(jitter(), jitter());
    }
}
