//! I/O APICs: which device line raises which vector on which CPU.

use core::sync::atomic::Ordering;

use alloc::vec::Vec;
use sync::{Rank, SpinLock};
use types::{CpuId, PhysAddr};

use crate::{direct_map, per_cpu};

/// An I/O APIC of the MADT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoApicInfo {
    /// Its registers.
    pub address: PhysAddr,
    /// Number of its first line in the global numbering.
    pub first_line: u32,
}

/// Which level means "active".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polarity {
    /// High: ISA.
    High,
    /// Low: PCI.
    Low,
}

/// What raises an interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TriggerMode {
    /// The change: ISA.
    Edge,
    /// The state: PCI.
    Level,
}

/// A legacy interrupt that is wired to another line, or otherwise than ISA interrupts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Override {
    /// The ISA interrupt.
    pub irq: u8,
    /// The line in the global numbering.
    pub line: u32,
    /// Its polarity.
    pub polarity: Polarity,
    /// Its trigger mode.
    pub trigger: TriggerMode,
}

struct IoApic {
    /// Index register; data is four words further on.
    index: *mut u32,
    first_line: u32,
    lines: u32,
}

// SAFETY: the registers belong to whoever holds the lock around the list.
unsafe impl Send for IoApic {}

struct Routing {
    apics: Vec<IoApic>,
    overrides: Vec<Override>,
}

static ROUTING: SpinLock<Routing> =
    SpinLock::new(Rank::INTERRUPTS, Routing { apics: Vec::new(), overrides: Vec::new() });

const VERSION: u32 = 1;
const REDIRECTION: u32 = 0x10;
const MASKED: u32 = 1 << 16;

impl IoApic {
    fn read(&mut self, register: u32) -> u32 {
        // SAFETY: the registers are mapped, by the promise given to `init_bsp`.
        unsafe { self.index.write_volatile(register) };
        // SAFETY: as above.
        let data = unsafe { self.index.add(4) };
        // SAFETY: as above.
        unsafe { data.read_volatile() }
    }

    fn write(&mut self, register: u32, value: u32) {
        // SAFETY: as in `read`.
        unsafe { self.index.write_volatile(register) };
        // SAFETY: as above.
        let data = unsafe { self.index.add(4) };
        // SAFETY: as above.
        unsafe { data.write_volatile(value) };
    }
}

/// Takes over the I/O APICs with all lines masked. Once, at boot.
pub fn init_io_apics(apics: &[IoApicInfo], overrides: &[Override]) {
    let mut found = Vec::with_capacity(apics.len());
    for info in apics {
        let mut apic = IoApic { index: direct_map::pointer(info.address), first_line: info.first_line, lines: 0 };
        apic.lines = (apic.read(VERSION) >> 16 & 0xff) + 1;
        for line in 0..apic.lines {
            apic.write(REDIRECTION + 2 * line, MASKED);
        }
        found.push(apic);
    }
    // Made before the lock is taken: its rank is above the heap's.
    let routing = Routing { apics: found, overrides: overrides.to_vec() };
    let old = core::mem::replace(&mut *ROUTING.lock(), routing);
    drop(old);
}

/// Opens ISA interrupt `irq` as `vector` on the boot CPU.
pub(crate) fn route_irq(irq: u8, vector: u8) {
    let destination = per_cpu::of(CpuId(0)).map_or(0, |block| block.apic_id.load(Ordering::Relaxed));
    let mut routing = ROUTING.lock();
    let wiring = wiring(irq, &routing.overrides);
    let (low, high) = redirection(wiring, vector, destination);
    for apic in &mut routing.apics {
        let Some(line) = wiring.line.checked_sub(apic.first_line).filter(|line| *line < apic.lines) else { continue };
        apic.write(REDIRECTION + 2 * line + 1, high);
        apic.write(REDIRECTION + 2 * line, low);
    }
}

/// How an ISA interrupt is wired: as the overrides say, else straight through.
fn wiring(irq: u8, overrides: &[Override]) -> Override {
    overrides.iter().find(|entry| entry.irq == irq).copied().unwrap_or(Override {
        irq,
        line: irq.into(),
        polarity: Polarity::High,
        trigger: TriggerMode::Edge,
    })
}

/// The two halves of a redirection entry: fixed delivery to one CPU, open.
fn redirection(wiring: Override, vector: u8, destination: u32) -> (u32, u32) {
    let polarity = if wiring.polarity == Polarity::Low { 1 << 13 } else { 0 };
    let trigger = if wiring.trigger == TriggerMode::Level { 1 << 15 } else { 0 };
    (u32::from(vector) | polarity | trigger, destination << 24)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overrides_replace_the_straight_wiring() {
        let timer = Override { irq: 0, line: 2, polarity: Polarity::High, trigger: TriggerMode::Edge };
        assert_eq!(wiring(0, &[timer]).line, 2);
        assert_eq!(wiring(4, &[timer]).line, 4);
    }

    #[test]
    fn redirection_entries_carry_polarity_and_trigger() {
        let entry = Override { irq: 9, line: 9, polarity: Polarity::Low, trigger: TriggerMode::Level };
        assert_eq!(redirection(entry, 0x29, 3), (0xa029, 0x0300_0000));
        assert_eq!(redirection(wiring(4, &[]), 0x24, 0), (0x24, 0));
    }
}
