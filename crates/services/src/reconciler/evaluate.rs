//! One instance against its goal.

use super::Reconciler;
use super::gates::Loss;
use crate::action::Actions;
use crate::id::InstanceId;
use crate::state::{Cause, State};
use crate::table::Trigger;
use crate::timers::TimerKind;

impl Reconciler {
    pub(super) fn evaluate_instance(&mut self, id: InstanceId, actions: &mut Actions) {
        let Some(service) = self.instances[id].service else { return };
        if matches!(self.instances[id].state, State::Starting | State::Running) {
            self.watch_loss(id);
        }
        if self.instances[id].state == State::Waiting {
            self.trade_places(id);
        }
        self.apply(id, Trigger::Evaluate, Cause::None, actions);
        match self.instances[id].state {
            State::Waiting if self.closed(id).next().is_none() => {
                self.startable.set(self.catalog.rank(service));
            }
            State::Down
                if self.instances[id].index >= self.services[service].count || self.services[service].retired =>
            {
                self.release(id);
            }
            _ => {}
        }
    }

    /// After scaling down, an instance too many may be the only one that is ready, while the rightful one may not start (for
    /// want of the memory that the other holds, say): then the one that runs takes its place.
    fn trade_places(&mut self, id: InstanceId) {
        let Some(service) = self.instances[id].service else { return };
        let (index, count) = (self.instances[id].index, self.services[service].count);
        let spare = self
            .instances_of(service)
            .find(|&at| self.instances[at].index >= count && self.instances[at].state == State::Running);
        if let Some(spare) = spare.filter(|_| index < count) {
            self.instances[id].index = self.instances[spare].index;
            self.instances[spare].index = index;
            self.dirty_instances.push(spare.0);
        }
    }

    /// Arms the grace once per loss, and forgets it when all is well again.
    fn watch_loss(&mut self, id: InstanceId) {
        match self.loss(id) {
            Loss::None => {
                self.timers.disarm(id, TimerKind::Loss);
                self.instances[id].loss_expired = false;
            }
            Loss::Blink(_) if self.timers.deadline(id, TimerKind::Loss).is_none() => {
                let service = self.instances[id].service.unwrap_or_default();
                if let Some(definition) = self.catalog.definition(service) {
                    self.timers.arm(id, TimerKind::Loss, self.now + definition.loss_grace);
                }
            }
            Loss::Blink(_) | Loss::Lost(_) => {}
        }
    }

    /// Gives an instance's slot back.
    pub(super) fn release(&mut self, id: InstanceId) {
        let Some(service) = self.instances[id].service else { return };
        let next = self.instances[id].next;
        if self.services[service].first == Some(id) {
            self.services[service].first = next;
        } else {
            let before = self.instances_of(service).find(|&at| self.instances[at].next == Some(id));
            if let Some(before) = before {
                self.instances[before].next = next;
            }
        }
        for kind in TimerKind::ALL {
            self.timers.disarm(id, kind);
        }
        // The generation goes on counting: an event of the old owner must not fit the new one.
        let generation = self.instances[id].generation;
        self.instances[id] = super::Instance { generation, ..Default::default() };
        self.history.forget(id);
        self.free.push(id);
        self.touch_dependents(service);
        if self.short {
            self.fill();
        }
    }

    /// There is a slot again: for an instance that found none.
    fn fill(&mut self) {
        self.short = false;
        for slot in 0..self.services.len() as u16 {
            let service = crate::id::ServiceId(slot);
            if !self.services[service].retired && self.catalog.definition(service).is_some() {
                self.populate(service, self.services[service].count);
            }
        }
    }

    /// Adds instances until there are `count`, as far as there are slots; the others come when those leave who have them.
    pub(super) fn populate(&mut self, service: crate::id::ServiceId, count: u16) {
        for index in 0..count {
            if self.instance_at(service, index).is_some() {
                continue;
            }
            let Some(id) = self.free.pop() else {
                self.short = true;
                break;
            };
            let generation = self.instances[id].generation;
            let next = self.services[service].first;
            self.instances[id] = super::Instance {
                service: Some(service),
                index,
                generation,
                next,
                since: self.now,
                ..Default::default()
            };
            self.services[service].first = Some(id);
        }
        self.dirty_services.push(service.0);
        // One that had given up has not any more: others may choose it again.
        self.touch_dependents(service);
    }
}
