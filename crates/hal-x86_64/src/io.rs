//! Ports and model-specific registers as values that are safe to use once made.
//!
//! The promise that reading and writing one cannot break memory safety is given where the value is made, once.

use x86_64::instructions::port::{PortRead, PortWrite};
use x86_64::registers::model_specific::Msr;

/// A device port of width `T`.
#[derive(Clone, Copy)]
pub(crate) struct Port<T> {
    number: u16,
    width: core::marker::PhantomData<T>,
}

impl<T: PortRead + PortWrite> Port<T> {
    /// The port `number`.
    ///
    /// # Safety
    /// No value written to or read from the port may lead to a violation of memory safety.
    pub(crate) const unsafe fn new(number: u16) -> Self {
        Self { number, width: core::marker::PhantomData }
    }

    pub(crate) fn read(self) -> T {
        // SAFETY: harmless by the contract of `new`.
        unsafe { T::read_from_port(self.number) }
    }

    pub(crate) fn write(self, value: T) {
        // SAFETY: harmless by the contract of `new`.
        unsafe { T::write_to_port(self.number, value) }
    }
}

/// A model-specific register that this CPU has.
#[derive(Clone, Copy)]
pub(crate) struct Register(u32);

impl Register {
    /// The register `number`.
    ///
    /// # Safety
    /// The CPU has the register, and its users write only values that keep the machine as Rust code expects it.
    pub(crate) const unsafe fn new(number: u32) -> Self {
        Self(number)
    }

    pub(crate) fn read(self) -> u64 {
        // SAFETY: the register exists by the contract of `new`.
        unsafe { Msr::new(self.0).read() }
    }

    pub(crate) fn write(self, value: u64) {
        let mut register = Msr::new(self.0);
        // SAFETY: allowed by the contract of `new`.
        unsafe { register.write(value) }
    }
}
