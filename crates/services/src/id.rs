//! Identities: a service, one of its instances, one life of an instance.

use core::fmt;

/// A service in the loaded set; keeps its number over reloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ServiceId(pub u16);

/// A slot for one instance of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct InstanceId(pub u16);

/// Counts the lives of an instance; rises with every spawn, so that an event of an earlier life is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Generation(pub u32);

/// One life of one instance: what the kernel stamps on a cell. Never a process number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Identity {
    /// The slot.
    pub instance: InstanceId,
    /// Which life.
    pub generation: Generation,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.instance.0, self.generation.0)
    }
}

/// Something that numbers a slot.
pub(crate) trait SlotId: Copy {
    fn slot(self) -> usize;
}

impl SlotId for ServiceId {
    fn slot(self) -> usize {
        usize::from(self.0)
    }
}

impl SlotId for InstanceId {
    fn slot(self) -> usize {
        usize::from(self.0)
    }
}
