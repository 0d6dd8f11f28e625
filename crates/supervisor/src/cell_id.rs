//! How an identity fits into the one number that a cell carries.

use process::Cell;
use services::{Generation, Identity, InstanceId, ServiceId};

/// A service and one life of one of its instances: stamped on every process of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CellId {
    /// Which service.
    pub service: ServiceId,
    /// Which instance, and which life of it.
    pub identity: Identity,
}

impl CellId {
    /// Service, instance, generation, from the top.
    pub const fn to_number(self) -> u64 {
        (self.service.0 as u64) << 48 | (self.identity.instance.0 as u64) << 32 | self.identity.generation.0 as u64
    }

    /// The identity behind that number.
    pub const fn from_number(number: u64) -> Self {
        Self {
            service: ServiceId((number >> 48) as u16),
            identity: Identity { instance: InstanceId((number >> 32) as u16), generation: Generation(number as u32) },
        }
    }

    /// Of that cell.
    pub fn of(cell: &Cell) -> Self {
        Self::from_number(cell.id())
    }
}
