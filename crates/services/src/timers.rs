//! Deadlines in an indexed binary heap: one slot per (instance, kind), O(log n), no allocation after construction.
//!
//! Equal deadlines fire in the order in which they were armed.

use alloc::vec::Vec;
use types::Nanos;

use crate::id::{InstanceId, SlotId};

/// Which deadline of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum TimerKind {
    /// The one that its state is armed with.
    State,
    /// Running long enough to forgive failures.
    Stable,
    /// A lost dependency's grace ends.
    Loss,
    /// A sign of life is due.
    Watchdog,
    /// The next probe, or its answer, is due.
    Probe,
}

impl TimerKind {
    pub(crate) const ALL: [Self; 5] = [Self::State, Self::Stable, Self::Loss, Self::Watchdog, Self::Probe];
}

const NONE: u32 = u32::MAX;

#[derive(Clone, Debug)]
pub(crate) struct Timers {
    /// Keys, smallest deadline first.
    heap: Vec<u32>,
    /// Place of each key in the heap, or `NONE`.
    place: Vec<u32>,
    due: Vec<(Nanos, u64)>,
    sequence: u64,
}

impl Timers {
    pub(crate) fn new(instances: usize) -> Self {
        let keys = instances * TimerKind::ALL.len();
        Self {
            heap: Vec::with_capacity(keys),
            place: alloc::vec![NONE; keys],
            due: alloc::vec![(Nanos::ZERO, 0); keys],
            sequence: 0,
        }
    }

    pub(crate) fn arm(&mut self, id: InstanceId, kind: TimerKind, at: Nanos) {
        self.disarm(id, kind);
        let key = key(id, kind);
        let (Some(due), Some(place)) = (self.due.get_mut(key as usize), self.place.get_mut(key as usize)) else {
            return;
        };
        self.sequence += 1;
        *due = (at, self.sequence);
        *place = self.heap.len() as u32;
        self.heap.push(key);
        self.up(self.heap.len() - 1);
    }

    pub(crate) fn disarm(&mut self, id: InstanceId, kind: TimerKind) {
        let key = key(id, kind);
        let Some(&place) = self.place.get(key as usize) else { return };
        if place == NONE {
            return;
        }
        let place = place as usize;
        let last = self.heap.len() - 1;
        self.swap(place, last);
        self.heap.pop();
        if let Some(slot) = self.place.get_mut(key as usize) {
            *slot = NONE;
        }
        if place < last {
            self.up(place);
            self.down(place);
        }
    }

    pub(crate) fn deadline(&self, id: InstanceId, kind: TimerKind) -> Option<Nanos> {
        let key = key(id, kind) as usize;
        self.place.get(key).filter(|&&place| place != NONE)?;
        self.due.get(key).map(|due| due.0)
    }

    pub(crate) fn earliest(&self) -> Option<Nanos> {
        self.heap.first().map(|&key| self.order(key).0)
    }

    /// Takes the earliest deadline that is due.
    pub(crate) fn pop(&mut self, now: Nanos) -> Option<(InstanceId, TimerKind)> {
        let &key = self.heap.first()?;
        if self.order(key).0 > now {
            return None;
        }
        let id = InstanceId((key / TimerKind::ALL.len() as u32) as u16);
        let kind = *TimerKind::ALL.get(key as usize % TimerKind::ALL.len())?;
        self.disarm(id, kind);
        Some((id, kind))
    }

    fn order(&self, key: u32) -> (Nanos, u64) {
        self.due.get(key as usize).copied().unwrap_or((Nanos::MAX, 0))
    }

    fn at(&self, place: usize) -> (Nanos, u64) {
        self.heap.get(place).map_or((Nanos::MAX, u64::MAX), |&key| self.order(key))
    }

    fn up(&mut self, mut place: usize) {
        while place > 0 && self.at(place) < self.at((place - 1) / 2) {
            self.swap(place, (place - 1) / 2);
            place = (place - 1) / 2;
        }
    }

    fn down(&mut self, mut place: usize) {
        loop {
            let (left, right) = (2 * place + 1, 2 * place + 2);
            let least = if self.at(right) < self.at(left) { right } else { left };
            if least >= self.heap.len() || self.at(place) <= self.at(least) {
                return;
            }
            self.swap(place, least);
            place = least;
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        if a >= self.heap.len() || b >= self.heap.len() {
            return;
        }
        self.heap.swap(a, b);
        for place in [a, b] {
            let Some(&key) = self.heap.get(place) else { continue };
            if let Some(slot) = self.place.get_mut(key as usize) {
                *slot = place as u32;
            }
        }
    }
}

fn key(id: InstanceId, kind: TimerKind) -> u32 {
    (id.slot() * TimerKind::ALL.len()) as u32 + kind as u32
}
