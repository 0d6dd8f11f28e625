//! The last transitions of every instance: eight bytes each, in fixed memory.

use alloc::vec::Vec;
use types::Nanos;

use crate::id::{InstanceId, SlotId};
use crate::state::{Cause, State};

/// One transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// When, to ten milliseconds.
    pub time: Nanos,
    /// Where it was.
    pub from: State,
    /// Where it went.
    pub to: State,
    /// Why.
    pub cause: Cause,
}

/// Counts 497 days in 32 bits.
const TICK: Nanos = Nanos::from_millis(10);

#[derive(Clone, Copy, Debug, Default)]
struct Packed {
    ticks: u32,
    states: u8,
    code: u8,
    detail: u16,
}

impl Packed {
    fn new(transition: Transition) -> Self {
        let (code, detail) = transition.cause.pack();
        Self {
            ticks: u32::try_from(transition.time.0 / TICK.0).unwrap_or(u32::MAX),
            states: (transition.from.index() << 4 | transition.to.index()) as u8,
            code,
            detail,
        }
    }

    fn unpack(self) -> Option<Transition> {
        let state = |index: u8| State::ALL.get(usize::from(index)).copied();
        Some(Transition {
            time: Nanos(u64::from(self.ticks) * TICK.0),
            from: state(self.states >> 4)?,
            to: state(self.states & 15)?,
            cause: Cause::unpack(self.code, self.detail),
        })
    }
}

/// The rings of all instances.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    depth: usize,
    records: Vec<Packed>,
    /// Transitions of each instance since it has its service.
    made: Vec<u32>,
}

impl History {
    pub(crate) fn new(instances: usize, depth: u8) -> Self {
        let depth = usize::from(depth);
        Self { depth, records: alloc::vec![Packed::default(); instances * depth], made: alloc::vec![0; instances] }
    }

    pub(crate) fn add(&mut self, id: InstanceId, transition: Transition) {
        let Some(made) = self.made.get_mut(id.slot()) else { return };
        let Some(place) = (*made as usize).checked_rem(self.depth) else { return };
        *made = made.wrapping_add(1);
        if let Some(slot) = self.records.get_mut(id.slot() * self.depth + place) {
            *slot = Packed::new(transition);
        }
    }

    pub(crate) fn forget(&mut self, id: InstanceId) {
        if let Some(made) = self.made.get_mut(id.slot()) {
            *made = 0;
        }
    }

    /// Oldest first.
    pub(crate) fn of(&self, id: InstanceId) -> impl Iterator<Item = Transition> {
        let made = self.made.get(id.slot()).copied().unwrap_or(0) as usize;
        let first = made.saturating_sub(self.depth);
        (first..made)
            .filter_map(move |at| self.records.get(id.slot() * self.depth + at.checked_rem(self.depth)?)?.unpack())
    }
}
