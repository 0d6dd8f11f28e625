//! Taking over a new set of definitions, as one transaction, while services run.

use super::runtime::Service;
use super::worklist::{Bits, Worklist};
use super::{Hold, Reconciler};
use crate::action::Actions;
use crate::catalog::{Catalog, Mistake};
use crate::definition::{Definition, DependencyKind};
use crate::id::{InstanceId, ServiceId, SlotId};
use crate::slots::Slots;
use crate::state::{Cause, State};
use crate::table::Trigger;
use crate::timers::TimerKind;
use alloc::vec::Vec;
use types::Nanos;

impl Reconciler {
    /// Replaces the whole set. Services that stay go on under their new definition; those that are gone are stopped; new
    /// ones begin enabled or not, as they say. The only operation that allocates.
    ///
    /// # Errors
    /// Every mistake of the set; nothing changed.
    pub fn load(&mut self, now: Nanos, set: Vec<Definition>, actions: &mut Actions) -> Result<(), Vec<Mistake>> {
        let gone: Vec<Definition> = self
            .catalog
            .services()
            .filter(|(id, old)| !self.is_gone(*id) && !set.iter().any(|new| new.name == old.name))
            .map(|(_, old)| old.clone())
            .collect();
        let names: Vec<_> = gone.iter().map(|definition| definition.name.clone()).collect();
        let count = |definition: &Definition| self.count_of(definition);
        let catalog = Catalog::resolve_with(&self.catalog, set, gone, self.config.bounds, &count)?;
        self.advance(now);
        self.keep_previous();
        let old = core::mem::take(&mut self.catalog);
        self.adopt(catalog, &old, &names);
        self.apply_changes(&old, actions);
        self.part_rivals(actions);
        self.settle(actions);
        Ok(())
    }

    /// How many instances a service of the new set has: as many as an operator has asked for (`Command::Scale`), while its
    /// definition says what it said then.
    fn count_of(&self, definition: &Definition) -> u16 {
        let wish = definition.scaling.count;
        let Some(id) = self.catalog.find(definition.name.as_str()) else { return wish };
        let before = self.catalog.definition(id).map(|before| before.scaling.count);
        match self.services[id].scaled {
            Some(scaled) if !self.services[id].retired && before == Some(wish) => scaled,
            _ => wish,
        }
    }

    /// The first load: takes what fits together, and says what was set aside.
    pub fn boot(&mut self, now: Nanos, set: Vec<Definition>, actions: &mut Actions) -> Vec<Mistake> {
        let (catalog, aside) = Catalog::salvage(&self.catalog, set, self.config.bounds);
        self.advance(now);
        self.keep_previous();
        let old = core::mem::take(&mut self.catalog);
        self.adopt(catalog, &old, &[]);
        self.settle(actions);
        aside
    }

    /// Number of the set in force; 0 before the first.
    pub const fn set_number(&self) -> u32 {
        self.set
    }

    /// The sets that [`Reconciler::rollback`] can go back to, the oldest first.
    pub fn previous_sets(&self) -> impl Iterator<Item = u32> {
        self.previous.iter().map(|(number, _)| *number)
    }

    /// Loads an earlier set again; it gets a new number.
    ///
    /// # Errors
    /// As for a load, and an empty list if that set is not kept any more. Nothing changed.
    pub fn rollback(&mut self, now: Nanos, number: u32, actions: &mut Actions) -> Result<(), Vec<Mistake>> {
        let Some((_, set)) = self.previous.iter().find(|(kept, _)| *kept == number) else {
            return Err(Vec::new());
        };
        self.load(now, set.clone(), actions)
    }

    /// A set becomes a previous one when the next is in force.
    fn keep_previous(&mut self) {
        if self.set > 0 && self.config.sets > 0 {
            let kept = self.catalog.services().filter(|(id, _)| !self.services[*id].retired);
            let set: Vec<Definition> = kept.map(|(_, definition)| definition.clone()).collect();
            if self.previous.len() >= usize::from(self.config.sets) {
                self.previous.remove(0);
            }
            self.previous.push((self.set, set));
        }
        self.set += 1;
    }

    /// A start time known from before this boot.
    pub fn learn(&mut self, id: ServiceId, time: Nanos) {
        let mut at = self.services[id].first;
        while let Some(instance) = at {
            at = self.instances[instance].next;
            self.instances[instance].start_time = time;
        }
    }

    /// Orders starts by the critical path anew, from the start times measured since. Allocates; between steps, when there is
    /// nothing else to do.
    pub fn retune(&mut self) {
        let time = |id: ServiceId| self.instances_of(id).map(|at| self.instances[at].start_time.0).max().unwrap_or(0);
        let weight: Vec<u64> = (0..self.catalog.slots() as u16).map(|slot| time(ServiceId(slot)).max(1)).collect();
        self.catalog.set_weights(&weight);
        // The places of those that may start have changed.
        self.startable.clear();
        self.refused.clear();
        for slot in 0..self.services.len() as u16 {
            self.touch_instances(ServiceId(slot));
        }
        // Who may start is found again by the next step.
        self.unfinished = true;
    }

    /// A new definition gives a failed service another chance; one that runs in another way has to be restarted.
    fn apply_changes(&mut self, old: &Catalog, actions: &mut Actions) {
        for slot in 0..self.catalog.slots() as u16 {
            let id = ServiceId(slot);
            let (Some(before), Some(after)) = (old.definition(id), self.catalog.definition(id)) else { continue };
            if before.name != after.name || before == after {
                continue;
            }
            let trigger = if before.run == after.run { Trigger::Reset } else { Trigger::Restart };
            let failed_only = before.run == after.run;
            let mut at = self.services[id].first;
            while let Some(instance) = at {
                at = self.instances[instance].next;
                self.instances[instance].failures = 0;
                // Armed anew, with the new grace, if something is lost.
                self.timers.disarm(instance, TimerKind::Loss);
                if !failed_only || self.instances[instance].state == State::Failed {
                    self.apply(instance, trigger, Cause::Restart, actions);
                }
            }
        }
    }

    /// Of two that run and now conflict, the later one makes room, and starts again when the other is gone.
    fn part_rivals(&mut self, actions: &mut Actions) {
        for at in 0..self.catalog.edges().len() {
            let Some(&edge) = self.catalog.edges().get(at) else { return };
            if edge.kind == DependencyKind::Conflicts
                && edge.from > edge.to
                && self.services[edge.from].live > 0
                && self.services[edge.to].live > 0
            {
                let mut next = self.services[edge.from].first;
                while let Some(instance) = next {
                    next = self.instances[instance].next;
                    self.apply(instance, Trigger::Restart, Cause::Restart, actions);
                }
            }
        }
    }

    /// What is counted over all services may count otherwise under new definitions.
    fn recount(&mut self) {
        (self.troubled, self.panicking) = (0, 0);
        for (id, definition) in self.catalog.services() {
            self.panicking += u16::from(self.services[id].panicking);
            let bad = |at: &InstanceId| matches!(self.instances[*at].state, State::Failed | State::Backoff);
            if definition.critical {
                self.troubled += self.instances_of(id).filter(bad).count() as u16;
            }
        }
    }

    /// Whether nothing is left of a service that is no longer in the set.
    fn is_gone(&self, id: ServiceId) -> bool {
        self.services[id].retired && self.services[id].first.is_none()
    }

    fn adopt(&mut self, catalog: Catalog, old: &Catalog, retired: &[crate::definition::Name]) {
        let slots = catalog.slots();
        let mut services = Slots::new(slots, Service::default());
        self.short = false;
        for (id, definition) in catalog.services() {
            let before = old.definition(id).filter(|old| old.name == definition.name);
            let known = before.is_some();
            let mut service = if known { self.services[id].clone() } else { Service::default() };
            if !known || service.retired {
                // What is installed in a target is pulled in by it.
                service.explicit = definition.enabled && definition.install.is_none();
                service.enabled = definition.enabled;
                service.hold = Hold::None;
            }
            service.retired = retired.contains(&definition.name);
            service.pulled = 0;
            service.roll = None;
            let wish = definition.scaling.count;
            let same = before.is_some_and(|before| before.scaling.count == wish);
            service.scaled = service.scaled.filter(|_| same && !service.retired);
            service.count = if service.retired { 0 } else { service.scaled.unwrap_or(wish) };
            services[id] = service;
        }
        self.services = services;
        self.pulls = alloc::vec![false; catalog.edges().len()];
        self.startable = Bits::new(slots);
        self.refused = Bits::new(slots);
        self.marked = Bits::new(slots);
        self.walk = Vec::with_capacity(slots);
        self.dirty_services = Worklist::new(slots);
        self.catalog = catalog;
        self.layers = alloc::vec![0; slots];
        self.recount();
        for slot in 0..slots {
            let id = ServiceId(slot as u16);
            let count = self.services[id].count;
            self.populate(id, count);
            self.dirty_services.push(id.0);
            debug_assert_eq!(id.slot(), slot);
        }
    }
}
