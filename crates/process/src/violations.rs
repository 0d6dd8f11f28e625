//! How often a process crossed each of MultiOS's own limits, and the latest crossings of all processes.

use alloc::boxed::Box;

use sync::OnceBox;

use crate::{Counter, OWN_RESOURCE_COUNT, OwnResource};

/// Counts of crossings; room for them is made at the first one.
#[derive(Default)]
pub struct Violations {
    counts: OnceBox<[Counter; OWN_RESOURCE_COUNT]>,
}

impl Violations {
    pub(crate) const fn new() -> Self {
        Self { counts: OnceBox::new() }
    }

    /// Counts a crossing of the limit on `resource`; how many there have been.
    pub fn note(&self, resource: OwnResource) -> u64 {
        let counts = self.counts.get_or_init(Box::default);
        counts.get(resource as usize).map_or(0, |count| count.add(1))
    }

    /// Crossings of the limit on `resource`.
    pub fn of(&self, resource: OwnResource) -> u64 {
        self.counts.get().and_then(|counts| counts.get(resource as usize)).map_or(0, Counter::get)
    }

    /// Crossings of all limits.
    pub fn total(&self) -> u64 {
        self.counts.get().map_or(0, |counts| counts.iter().map(Counter::get).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crossings_are_counted_by_resource() {
        let violations = Violations::new();
        assert_eq!((violations.total(), violations.of(OwnResource::Memory)), (0, 0));
        assert_eq!(violations.note(OwnResource::Memory), 1);
        assert_eq!(violations.note(OwnResource::Memory), 2);
        assert_eq!(violations.note(OwnResource::CreationRate), 1);
        assert_eq!((violations.total(), violations.of(OwnResource::Memory)), (3, 2));
        assert_eq!(violations.of(OwnResource::Bandwidth), 0);
    }
}
