//! How fast the TSC and the local APIC's timer run.
//!
//! Best first: what CPUID says; what a hypervisor says; measured against the APIC timer where its rate is known
//! (QEMU's emulator: 1 GHz), HPET, the ACPI timer, or the PIT. A measurement ends when the uncertainty of its end
//! points, judged from the time that each reading took, is small enough relative to its length.

use types::PhysAddr;

use super::clock::cycles;
use crate::features::cpuid_checked;
use crate::io::Port;
use crate::{apic, direct_map};

/// Clocks that ACPI has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct References {
    /// Registers of the HPET.
    pub hpet: Option<PhysAddr>,
    /// Port of the ACPI power-management timer.
    pub pm_timer: Option<u16>,
}

/// What the rates come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// CPUID leaf 0x15.
    Cpuid,
    /// The hypervisor's timing leaf.
    Hypervisor,
    /// The APIC timer of QEMU's emulator.
    Emulator,
    /// The high-precision event timer.
    Hpet,
    /// The ACPI timer.
    PmTimer,
    /// The old interval timer.
    Pit,
}

/// What [`measure`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rates {
    pub(super) tsc_hz: u64,
    pub(super) apic_hz: u64,
    pub(super) source: Source,
}

/// QEMU's emulated APIC timer counts nanoseconds.
const EMULATED_APIC_HZ: u64 = 1_000_000_000;
/// Relative error that ends a measurement: one in this many.
const PRECISION: u64 = 4000;
/// Longest measurement, in cycles: a tenth of a second at 3 GHz.
const LONGEST: u64 = 300_000_000;

pub(super) fn measure(references: &References) -> Rates {
    let emulator = is_emulator();
    let apic_hz = emulator.then_some(EMULATED_APIC_HZ).or_else(hypervisor_apic_hz);
    if let Some(tsc_hz) = cpuid_tsc_hz() {
        return complete(tsc_hz, apic_hz, Source::Cpuid);
    }
    if let Some(tsc_hz) = hypervisor_tsc_hz() {
        return complete(tsc_hz, apic_hz, Source::Hypervisor);
    }
    if emulator {
        apic::start_free_running();
        let clock = Clock { hz: EMULATED_APIC_HZ, mask: u32::MAX.into(), read: &|| apic::timer_count().into() };
        if let Some(tsc_hz) = clock.tsc_hz() {
            return complete(snap(tsc_hz), apic_hz, Source::Emulator);
        }
    }
    if let Some((tsc_hz, source)) = by_timers(references) {
        return complete(tsc_hz, apic_hz, source);
    }
    // No clock at all: take the TSC for one gigahertz rather than stop.
    complete(1_000_000_000, apic_hz, Source::Pit)
}

fn by_timers(references: &References) -> Option<(u64, Source)> {
    if let Some(hpet) = references.hpet.and_then(Hpet::start) {
        let clock = Clock { hz: hpet.hz, mask: u32::MAX.into(), read: &|| hpet.count() };
        if let Some(tsc_hz) = clock.tsc_hz() {
            return Some((tsc_hz, Source::Hpet));
        }
    }
    if let Some(number) = references.pm_timer {
        // SAFETY: ACPI names the port for this purpose; it is only read.
        let port: Port<u32> = unsafe { Port::new(number) };
        let clock = Clock { hz: 3_579_545, mask: 0xff_ffff, read: &|| u64::from(port.read()) };
        if let Some(tsc_hz) = clock.tsc_hz() {
            return Some((tsc_hz, Source::PmTimer));
        }
    }
    start_pit();
    let clock = Clock { hz: 1_193_182, mask: 0xffff, read: &|| u64::from(u16::MAX - read_pit()) };
    clock.tsc_hz().map(|tsc_hz| (tsc_hz, Source::Pit))
}

/// Adds the APIC timer's rate, measured against the TSC if it is not known.
fn complete(tsc_hz: u64, apic_hz: Option<u64>, source: Source) -> Rates {
    let apic_hz = apic_hz.unwrap_or_else(|| {
        apic::start_free_running();
        let start = cycles();
        let from = apic::timer_count();
        while cycles().wrapping_sub(start) < tsc_hz / 500 {
            core::hint::spin_loop();
        }
        let ticks = apic::timer_count().wrapping_sub(from);
        ratio(ticks.into(), tsc_hz, cycles().wrapping_sub(start)).max(1_000_000)
    });
    Rates { tsc_hz, apic_hz, source }
}

/// A clock of known rate.
struct Clock<'a> {
    hz: u64,
    /// Its counter wraps after this value.
    mask: u64,
    read: &'a dyn Fn() -> u64,
}

/// One reading: the clock, the TSC in the middle of it, and how long it took.
#[derive(Clone, Copy)]
struct Reading {
    count: u64,
    tsc: u64,
    took: u64,
}

impl Clock<'_> {
    /// The quickest of some readings, which the host or an interrupt disturbed least.
    fn reading(&self) -> Reading {
        let once = || {
            let before = cycles();
            let count = (self.read)();
            let took = cycles().wrapping_sub(before);
            Reading { count, tsc: before.wrapping_add(took / 2), took }
        };
        (0..4).fold(once(), |best, _| {
            let next = once();
            if next.took < best.took { next } else { best }
        })
    }

    /// The TSC's rate by this clock; `None` if the clock stands still.
    fn tsc_hz(&self) -> Option<u64> {
        let first = self.reading();
        loop {
            let last = self.reading();
            let ticks = last.count.wrapping_sub(first.count) & self.mask;
            let cycles = last.tsc.wrapping_sub(first.tsc);
            if cycles > LONGEST {
                return (ticks > 1).then(|| ratio(cycles, self.hz, ticks));
            }
            if ticks > PRECISION && (first.took + last.took) / 2 < cycles / PRECISION {
                return Some(ratio(cycles, self.hz, ticks));
            }
            // A counter may not wrap unseen: the PIT's does after 55 ms.
            if ticks > self.mask / 2 {
                return Some(ratio(cycles, self.hz, ticks));
            }
        }
    }
}

/// `count * hz / ticks`.
fn ratio(count: u64, hz: u64, ticks: u64) -> u64 {
    u64::try_from(u128::from(count) * u128::from(hz) / u128::from(ticks.max(1))).unwrap_or(u64::MAX)
}

/// With instruction counting the emulated TSC is one gigahertz exactly.
fn snap(hz: u64) -> u64 {
    if hz.abs_diff(1_000_000_000) < 1_000_000 { 1_000_000_000 } else { hz }
}

/// Base of the hypervisor's CPUID leaves.
const HYPERVISOR: u32 = 0x4000_0000;

/// Whether QEMU emulates the CPU.
pub(super) fn is_emulator() -> bool {
    let leaf = cpuid_checked(1, 0);
    leaf.ecx >> 31 != 0 && {
        let name = crate::features::cpuid(HYPERVISOR, 0);
        [name.ebx, name.ecx, name.edx].map(u32::to_le_bytes) == [*b"TCGT", *b"CGTC", *b"GTCG"]
    }
}

fn hypervisor_timing() -> Option<(u64, u64)> {
    let present = cpuid_checked(1, 0).ecx >> 31 != 0;
    let enough =
        present && (HYPERVISOR + 0x10..HYPERVISOR + 0x100).contains(&crate::features::cpuid(HYPERVISOR, 0).eax);
    enough.then(|| {
        let leaf = crate::features::cpuid(HYPERVISOR + 0x10, 0);
        (u64::from(leaf.eax) * 1000, u64::from(leaf.ebx) * 1000)
    })
}

fn hypervisor_tsc_hz() -> Option<u64> {
    hypervisor_timing().map(|(tsc, _)| tsc).filter(|hz| *hz != 0)
}

fn hypervisor_apic_hz() -> Option<u64> {
    hypervisor_timing().map(|(_, apic)| apic).filter(|hz| *hz != 0)
}

/// Leaf 0x15: crystal and ratio, where both are given.
fn cpuid_tsc_hz() -> Option<u64> {
    let leaf = cpuid_checked(0x15, 0);
    (leaf.eax != 0 && leaf.ebx != 0 && leaf.ecx != 0).then(|| ratio(leaf.ecx.into(), leaf.ebx.into(), leaf.eax.into()))
}

/// The high-precision event timer's main counter.
struct Hpet {
    registers: *mut u64,
    hz: u64,
}

impl Hpet {
    fn start(address: PhysAddr) -> Option<Self> {
        let registers: *mut u64 = direct_map::pointer(address);
        // SAFETY: ACPI names the registers; they are seen through the direct map.
        let capabilities = unsafe { registers.read_volatile() };
        let period_femtos = capabilities >> 32;
        // The specification allows at most 100 ns.
        if !(1..=100_000_000).contains(&period_femtos) {
            return None;
        }
        // SAFETY: as above; the configuration register is 16 bytes on.
        let configuration = unsafe { registers.add(2) };
        // SAFETY: as above.
        let value = unsafe { configuration.read_volatile() };
        // SAFETY: as above; lets the counter run, changes nothing else.
        unsafe { configuration.write_volatile(value | 1) };
        Some(Self { registers, hz: 1_000_000_000_000_000 / period_femtos })
    }

    /// The low half: enough here, and read in one access on all chips.
    fn count(&self) -> u64 {
        // SAFETY: as in `start`; the counter is 240 bytes on.
        let counter = unsafe { self.registers.add(30) };
        // SAFETY: as above.
        u64::from(unsafe { counter.cast::<u32>().read_volatile() })
    }
}

// SAFETY: the interval timer's channel 0, whose interrupt is masked.
const PIT_DATA: Port<u8> = unsafe { Port::new(0x40) };
// SAFETY: its command port.
const PIT_COMMAND: Port<u8> = unsafe { Port::new(0x43) };

/// Lets channel 0 count down from 65,536 again and again.
fn start_pit() {
    PIT_COMMAND.write(0x34);
    PIT_DATA.write(0);
    PIT_DATA.write(0);
}

fn read_pit() -> u16 {
    PIT_COMMAND.write(0);
    let low = PIT_DATA.read();
    u16::from_le_bytes([low, PIT_DATA.read()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn ratio_is_exact_and_never_divides_by_zero() {
        assert_eq!(ratio(2_600_000, 1_193_182, 1193), 2_600_396_647);
        assert_eq!(ratio(u64::MAX, u64::MAX, 0), u64::MAX);
    }

    #[test]
    fn rates_near_one_gigahertz_are_taken_for_it() {
        assert_eq!(snap(1_000_300_000), 1_000_000_000);
        assert_eq!(snap(2_600_000_000), 2_600_000_000);
    }

    #[test]
    fn a_clock_that_stands_still_is_given_up() {
        assert_eq!(Clock { hz: 1000, mask: 0xffff, read: &|| 7 }.tsc_hz(), None);
    }

    #[test]
    fn a_wrapping_clock_measures_the_tsc() {
        // A clock of a sixteenth of the TSC's rate, 16 bits wide, starting just before its wrap.
        let start = cycles();
        let reads = Cell::new(0);
        let read = || {
            reads.set(reads.get() + 1);
            (0xfff0 + (cycles() - start) / 16) & 0xffff
        };
        let hz = Clock { hz: 100_000_000, mask: 0xffff, read: &read }.tsc_hz().unwrap();
        assert!(hz.abs_diff(1_600_000_000) < 80_000_000, "{hz} after {} readings", reads.get());
    }
}
