//! The traits of `hal`, implemented by the PC.

use hal::{PowerAction, TlbRange};
use types::{CpuId, CpuSet, Nanos, PhysAddr};

use crate::{apic, cpu, interrupts, power, serial, time, tlb};

/// The PC the kernel runs on: a value without content, so that it can be handed out freely.
#[derive(Clone, Copy, Debug, Default)]
pub struct Machine;

impl hal::Cpu for Machine {
    fn current(&self) -> CpuId {
        cpu::current()
    }

    fn online(&self) -> CpuSet {
        cpu::online()
    }

    fn wait_for_interrupt(&self) {
        interrupts::wait_for_interrupt();
    }

    fn reschedule(&self, cpu: CpuId) {
        apic::send_reschedule(cpu);
    }
}

impl hal::Timer for Machine {
    fn now(&self) -> Nanos {
        time::now()
    }

    fn set_deadline(&self, deadline: Option<Nanos>) {
        time::set_deadline(deadline);
    }
}

impl hal::Mmu for Machine {
    fn flush(&self, root: PhysAddr, cpus: CpuSet, range: TlbRange) {
        tlb::flush(root, cpus, range);
    }
}

impl hal::Console for Machine {
    fn write(&self, bytes: &[u8]) {
        serial::write(serial::Com::One, bytes);
    }
}

impl hal::Power for Machine {
    fn act(&self, action: PowerAction) {
        power::act(action);
    }
}
