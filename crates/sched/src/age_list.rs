//! The waiting tasks of a CPU by age: who waits longest is first.

use types::Nanos;

use crate::slot::{NIL, Slot, Slots};

pub(crate) struct AgeList {
    head: u32,
    tail: u32,
    len: u32,
}

impl AgeList {
    pub(crate) const fn new() -> Self {
        Self { head: NIL, tail: NIL, len: 0 }
    }

    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// The oldest, and since when it waits.
    pub(crate) fn oldest(&self, slots: &Slots) -> Option<(u32, Nanos)> {
        let slot = slots.linked(self.head)?;
        Some((self.head, Nanos(slot.since.get())))
    }

    /// The first few, oldest first.
    pub(crate) fn iter<'a>(&self, slots: &'a Slots) -> impl Iterator<Item = u32> + use<'a> {
        let mut next = self.head;
        core::iter::from_fn(move || {
            let index = next;
            next = slots.get(index).filter(|_| index != NIL)?.age_next.get();
            Some(index)
        })
    }

    /// Adds a task that came from another queue: in front if it waits longer than all others, else behind.
    pub(crate) fn insert(&mut self, slots: &Slots, index: u32, slot: &Slot) {
        match self.oldest(slots) {
            Some((head, since)) if slot.since.get() < since.0 => {
                slot.age_prev.set(NIL);
                slot.age_next.set(head);
                if let Some(after) = slots.get(head) {
                    after.age_prev.set(index);
                }
                self.head = index;
                self.len += 1;
            }
            _ => self.push(slots, index, slot),
        }
    }

    /// Adds a task that waits since now.
    #[inline]
    pub(crate) fn push(&mut self, slots: &Slots, index: u32, slot: &Slot) {
        slot.age_prev.set(self.tail);
        slot.age_next.set(NIL);
        if self.len == 0 {
            self.head = index;
        } else if let Some(before) = slots.get(self.tail) {
            before.age_next.set(index);
        }
        self.tail = index;
        self.len += 1;
    }

    /// Takes out a task that is in the list.
    #[inline]
    pub(crate) fn unlink(&mut self, slots: &Slots, slot: &Slot) {
        let (next, prev) = (slot.age_next.get(), slot.age_prev.get());
        match slots.linked(prev) {
            Some(before) => before.age_next.set(next),
            None => self.head = next,
        }
        match slots.linked(next) {
            Some(after) => after.age_prev.set(prev),
            None => self.tail = prev,
        }
        self.len -= 1;
    }
}
