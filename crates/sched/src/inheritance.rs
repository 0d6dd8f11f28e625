//! Priority inheritance: what a task that others wait for borrows from them.
//!
//! A task that waits lends its key to one other: the owner of a futex, the reader of a full pipe, the main thread of a service.
//! The borrower runs at the most urgent of all keys lent to it and its own, and lends that on if it waits for somebody itself:
//! chains are followed for [`DEPTH`] tasks. Per borrower there is one counter for each key, so lending and taking back are O(1)
//! for any number of lenders.

use alloc::vec::Vec;

use crate::SchedError;
use crate::priority::{KEYS, Key};
use crate::slot::{NIL, Slot, Slots};
use crate::task_id::TaskId;

/// Longest chain that is followed; a longer one, or a ring, ends in less urgency and never in a loop. Linux follows 1024
/// and reports a deadlock; real programs nest a handful.
pub(crate) const DEPTH: usize = 16;

/// Tasks whose key changed; the caller brings their queues up to date.
#[derive(Default)]
pub(crate) struct Changed {
    tasks: [Option<TaskId>; DEPTH],
    len: usize,
}

impl Changed {
    fn push(&mut self, id: TaskId) {
        if let Some(place) = self.tasks.get_mut(self.len) {
            *place = Some(id);
            self.len += 1;
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = TaskId> {
        self.tasks.iter().copied().flatten()
    }
}

/// A task that lends or borrows.
struct Record {
    owner: TaskId,
    lends: Option<(TaskId, Key)>,
    borrowed: [u32; KEYS],
}

/// All records; behind one lock that only waiting with inheritance takes.
pub(crate) struct Inheritance {
    records: Vec<Option<Record>>,
    free: Vec<u32>,
}

impl Inheritance {
    pub(crate) const fn new() -> Self {
        Self { records: Vec::new(), free: Vec::new() }
    }

    /// `from` lends its key to `to`, instead of to whom it lent it before.
    pub(crate) fn donate(&mut self, slots: &Slots, from: TaskId, to: TaskId) -> Result<Changed, SchedError> {
        let mut changed = Changed::default();
        if from == to {
            return Ok(changed);
        }
        let lender = self.record_of(slots, from)?;
        if let Err(error) = self.record_of(slots, to) {
            self.tidy(slots, lender);
            return Err(error);
        }
        let before = self.undo(slots, lender, &mut changed);
        let key = live(slots, from).map(own_key).ok_or(SchedError::NoSuchTask)?;
        self.lend(slots, lender, to, key, &mut changed);
        self.tidy_all(slots, before);
        Ok(changed)
    }

    /// `from` takes back what it lent.
    pub(crate) fn undonate(&mut self, slots: &Slots, from: TaskId) -> Changed {
        let mut changed = Changed::default();
        if let Some(number) = self.find(slots, from) {
            let borrower = self.undo(slots, number, &mut changed);
            self.tidy_all(slots, borrower);
            self.tidy(slots, number);
        }
        changed
    }

    /// The task's own priority changed: so does what it lends.
    pub(crate) fn update(&mut self, slots: &Slots, task: TaskId) -> Changed {
        let mut changed = Changed::default();
        if let Some(number) = self.find(slots, task) {
            self.pass_on(slots, number, &mut changed);
        }
        changed
    }

    /// The task ends: nothing is lent by or to it any more.
    pub(crate) fn forget(&mut self, slots: &Slots, task: TaskId) -> Changed {
        let mut changed = Changed::default();
        if let Some(number) = self.find(slots, task) {
            let borrower = self.undo(slots, number, &mut changed);
            self.release(slots, number);
            self.tidy_all(slots, borrower);
        }
        changed
    }

    fn lend(&mut self, slots: &Slots, lender: u32, to: TaskId, key: Key, changed: &mut Changed) {
        let Some(borrower) = self.find(slots, to) else { return };
        if let Some(record) = self.get_mut(lender) {
            record.lends = Some((to, key));
        }
        if self.count(slots, borrower, key, 1) {
            changed.push(to);
            self.pass_on(slots, borrower, changed);
        }
    }

    /// Takes back what was lent; returns the record of who had it, which may say nothing now.
    fn undo(&mut self, slots: &Slots, lender: u32, changed: &mut Changed) -> Option<u32> {
        let (to, key) = self.get_mut(lender).and_then(|record| record.lends.take())?;
        let borrower = self.find(slots, to)?;
        if self.count(slots, borrower, key, -1) {
            changed.push(to);
            self.pass_on(slots, borrower, changed);
        }
        Some(borrower)
    }

    /// Follows the chain from a task whose key may have changed.
    fn pass_on(&mut self, slots: &Slots, first: u32, changed: &mut Changed) {
        let mut lender = first;
        for _ in 0..DEPTH {
            let Some(record) = self.get(lender) else { return };
            let (Some((to, lent)), Some(slot)) = (record.lends, live(slots, record.owner)) else { return };
            let key = own_key(slot);
            let Some(borrower) = self.find(slots, to) else { return };
            if key == lent {
                return;
            }
            if let Some(record) = self.get_mut(lender) {
                record.lends = Some((to, key));
            }
            let added = self.count(slots, borrower, key, 1);
            if !(self.count(slots, borrower, lent, -1) | added) {
                return;
            }
            changed.push(to);
            lender = borrower;
        }
    }

    /// Changes a counter; whether the set of borrowed keys changed.
    fn count(&mut self, slots: &Slots, borrower: u32, key: Key, by: i32) -> bool {
        let Some(record) = self.get_mut(borrower) else { return false };
        let Some(counter) = record.borrowed.get_mut(usize::from(key.number())) else { return false };
        let before = *counter;
        *counter = before.saturating_add_signed(by);
        if (before == 0) == (*counter == 0) {
            return false;
        }
        let keys = record.borrowed.iter().rev().fold(0u32, |keys, count| keys << 1 | u32::from(*count != 0));
        if let Some(slot) = live(slots, record.owner) {
            slot.set_inherited(keys);
        }
        true
    }

    fn record_of(&mut self, slots: &Slots, task: TaskId) -> Result<u32, SchedError> {
        let slot = live(slots, task).ok_or(SchedError::NoSuchTask)?;
        if let Some(number) = self.find(slots, task) {
            return Ok(number);
        }
        let number = match self.free.pop() {
            Some(number) => number,
            None => {
                self.records.try_reserve(1).map_err(|_| SchedError::NoMemory)?;
                // Room to free every record.
                self.free.try_reserve(self.records.len() + 1).map_err(|_| SchedError::NoMemory)?;
                self.records.push(None);
                self.records.len() as u32 - 1
            }
        };
        if let Some(place) = self.records.get_mut(number as usize) {
            *place = Some(Record { owner: task, lends: None, borrowed: [0; KEYS] });
        }
        slot.record.set(number);
        Ok(number)
    }

    fn tidy_all(&mut self, slots: &Slots, number: Option<u32>) {
        if let Some(number) = number {
            self.tidy(slots, number);
        }
    }

    /// Frees a record that says nothing.
    fn tidy(&mut self, slots: &Slots, number: u32) {
        let idle = |record: &Record| record.lends.is_none() && record.borrowed.iter().all(|count| *count == 0);
        if self.get(number).is_some_and(idle) {
            self.release(slots, number);
        }
    }

    fn release(&mut self, slots: &Slots, number: u32) {
        let Some(record) = self.records.get_mut(number as usize).and_then(Option::take) else { return };
        if let Some(slot) = slots.get(record.owner.index) {
            slot.record.set(NIL);
            slot.set_inherited(0);
        }
        self.free.push(number);
    }

    fn find(&self, slots: &Slots, task: TaskId) -> Option<u32> {
        let number = slots.get(task.index)?.record.get();
        self.get(number).filter(|record| record.owner == task).map(|_| number)
    }

    fn get(&self, number: u32) -> Option<&Record> {
        self.records.get(number as usize)?.as_ref()
    }

    fn get_mut(&mut self, number: u32) -> Option<&mut Record> {
        self.records.get_mut(number as usize)?.as_mut()
    }

    #[cfg(test)]
    pub(crate) fn in_use(&self) -> usize {
        self.records.iter().flatten().count()
    }
}

/// The slot of a task that has not ended.
fn live(slots: &Slots, task: TaskId) -> Option<&Slot> {
    let slot = slots.get(task.index)?;
    let (generation, phase) = slot.state.load();
    (generation == task.generation && phase != crate::state::Phase::Free).then_some(slot)
}

/// What a task lends: its policy's key, or a more urgent one that it borrows. Boosts are not lent.
fn own_key(slot: &Slot) -> Key {
    let own = slot.policy().key();
    slot.inherited().map_or(own, |lent| lent.min(own))
}
