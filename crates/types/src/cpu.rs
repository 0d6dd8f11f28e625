//! Numbers of CPUs, and sets of them.

/// Most CPUs the kernel brings up; the width of [`CpuSet`].
pub const MAX_CPUS: usize = 64;

/// Dense logical number of a CPU, `0..MAX_CPUS`; 0 is the one that booted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct CpuId(pub u32);

impl CpuId {
    /// The number as an index into per-CPU arrays.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Identity of a local APIC as ACPI and the interrupt hardware know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApicId(pub u32);

/// A set of CPUs, one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct CpuSet(pub u64);

impl CpuSet {
    /// No CPU.
    pub const EMPTY: Self = Self(0);

    /// Just `cpu`.
    pub const fn single(cpu: CpuId) -> Self {
        Self(1 << (cpu.0 & 63))
    }

    /// Whether `cpu` is a member.
    pub const fn contains(self, cpu: CpuId) -> bool {
        self.0 & Self::single(cpu).0 != 0
    }

    /// This set and `cpu`.
    #[must_use]
    pub const fn with(self, cpu: CpuId) -> Self {
        Self(self.0 | Self::single(cpu).0)
    }

    /// This set less `cpu`.
    #[must_use]
    pub const fn without(self, cpu: CpuId) -> Self {
        Self(self.0 & !Self::single(cpu).0)
    }

    /// Whether there is no member.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Number of members.
    pub const fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// The members, lowest first.
    pub fn iter(self) -> impl Iterator<Item = CpuId> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            let cpu = (rest != 0).then(|| CpuId(rest.trailing_zeros()))?;
            rest &= rest - 1;
            Some(cpu)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_iterates_its_members_in_order() {
        let set = CpuSet::EMPTY.with(CpuId(63)).with(CpuId(0)).with(CpuId(5)).without(CpuId(5));
        assert_eq!(set.len(), 2);
        assert!(set.iter().eq([CpuId(0), CpuId(63)]));
    }
}
