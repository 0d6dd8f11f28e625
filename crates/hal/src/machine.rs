//! CPUs, time, console, power, topology.

use types::{ApicId, CpuId, CpuSet, Nanos};

/// The CPU that executes the caller.
pub trait Cpu: Send + Sync {
    /// Its logical number.
    fn current(&self) -> CpuId;
    /// CPUs that are up.
    fn online(&self) -> CpuSet;
    /// Sleeps until an interrupt comes; returns at once if one is waiting. Interrupts are on only inside.
    fn wait_for_interrupt(&self);
    /// Makes `cpu` return from [`Cpu::wait_for_interrupt`] or leave user mode.
    fn reschedule(&self, cpu: CpuId);
}

/// Clock and one-shot timer.
pub trait Timer: Send + Sync {
    /// Time since boot, monotonic and the same on every CPU.
    fn now(&self) -> Nanos;
    /// Asks for a timer interrupt on this CPU at `deadline`; replaces the earlier request. `None`: no interrupt.
    fn set_deadline(&self, deadline: Option<Nanos>);
}

/// Bytes to a person or a file.
pub trait Console: Send + Sync {
    /// Writes all of `bytes`.
    fn write(&self, bytes: &[u8]);
}

/// How to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerAction {
    /// Switch off.
    PowerOff,
    /// Start again.
    Reboot,
    /// Stop all CPUs.
    Halt,
}

/// The power switch.
pub trait Power: Send + Sync {
    /// Does it. Never returns on a machine; a fake records it.
    fn act(&self, action: PowerAction);
}

/// Which CPUs and memory nodes there are.
pub trait Topology: Send + Sync {
    /// Number of CPUs found, up or not.
    fn cpu_count(&self) -> usize;
    /// The interrupt controller's name for `cpu`.
    fn apic_id(&self, cpu: CpuId) -> Option<ApicId>;
    /// Memory node of `cpu`.
    fn node_of(&self, cpu: CpuId) -> u32;
    /// Relative distance between nodes; 10 is local (ACPI SLIT).
    fn distance(&self, from: u32, to: u32) -> u32;
}
