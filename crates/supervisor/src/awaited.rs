//! Who is waited for runs at least as urgently as who waits: services that must be ready before others start, and those
//! whose start a caller has asked for and waits for.
//!
//! ```text
//! svc start web (Interactive) ──► web waits for db ──► db, of class background, starts: as Interactive until it is ready
//! ```
//!
//! An urgency is any number, less being more urgent; what a class means is for the [`World`] to say.

use alloc::vec::Vec;

use services::{DependencyKind, Name, ServiceId};

use crate::{Order, Supervisor, World};

/// Callers whose waits count; those of more do not.
const MOST_CALLERS: usize = 64;

/// What is known of who waits.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    callers: Vec<Caller>,
    /// Number of the last caller.
    last: u64,
    /// Some service of the set has a class of its own.
    pub(crate) classes: bool,
    /// Some cell is told that it is waited for.
    told: bool,
    /// Something may have changed.
    changed: bool,
}

/// One who has asked for a start.
#[derive(Debug)]
struct Caller {
    number: u64,
    service: Name,
    urgency: u32,
}

impl Waits {
    /// A service has changed its state.
    pub(crate) fn note(&mut self) {
        self.changed |= self.classes || self.told || !self.callers.is_empty();
    }

    /// Whether [`Supervisor::hasten`] has something to look at.
    pub(crate) const fn are_new(&self) -> bool {
        self.changed
    }
}

impl Supervisor {
    /// A caller of that urgency waits for a service to be ready; a number for [`Supervisor::gives_up_waiting`].
    pub fn waits_for_start(&mut self, service: Name, urgency: u32) -> Option<u64> {
        let waits = &mut self.waits;
        if waits.callers.len() >= MOST_CALLERS {
            return None;
        }
        waits.callers.try_reserve(1).ok()?;
        waits.last += 1;
        waits.callers.push(Caller { number: waits.last, service, urgency });
        waits.changed = true;
        Some(waits.last)
    }

    /// That caller waits no longer.
    pub fn gives_up_waiting(&mut self, number: u64) {
        self.waits.note();
        self.waits.callers.retain(|caller| caller.number != number);
    }

    /// Tells cells how urgent those are who wait for them, where that has changed.
    pub(crate) fn hasten(&mut self, world: &dyn World) {
        if !core::mem::take(&mut self.waits.changed) {
            return;
        }
        let awaited = self.awaited(world);
        let mut told = false;
        for at in 0..self.slots.len() {
            let Some(cell) = self.slots.get(at).and_then(|slot| slot.cell.clone()) else { continue };
            let service = crate::CellId::of(&cell).service;
            let urgency = awaited.get(usize::from(service.0)).copied().flatten();
            told |= urgency.is_some();
            if cell.awaited_by() != urgency {
                cell.set_awaited_by(urgency);
                self.orders.push_back(Order::Hasten(cell));
            }
        }
        self.waits.told = told;
    }

    /// For each service that somebody waits for who is more urgent than it: how urgent.
    fn awaited(&self, world: &dyn World) -> Vec<Option<u32>> {
        let catalog = self.engine.catalog();
        let own = |id: ServiceId| world.urgency(catalog.definition(id).and_then(|definition| definition.class));
        let starts = |id: ServiceId| self.engine.service(id).is_some_and(|it| it.wanted && it.ready == 0);
        let mut awaited: Vec<Option<u32>> = alloc::vec![None; catalog.slots()];
        // Who is waited for, and how urgently; those who wait for nobody lead nowhere.
        let mut queue: Vec<(ServiceId, u32)> = Vec::new();
        let callers = self.waits.callers.iter();
        queue.extend(callers.filter_map(|caller| Some((catalog.find(caller.service.as_str())?, caller.urgency))));
        for (id, _) in catalog.services().filter(|(id, _)| starts(*id)) {
            queue.extend(self.waits_for(id).map(|on| (on, own(id))));
        }
        while let Some((id, urgency)) = queue.pop() {
            let Some(known) = awaited.get_mut(usize::from(id.0)).filter(|_| starts(id)) else { continue };
            if urgency < known.unwrap_or_else(|| own(id)) {
                *known = Some(urgency);
                queue.extend(self.waits_for(id).map(|on| (on, urgency)));
            }
        }
        awaited
    }

    /// Whom a service that is to start waits for.
    fn waits_for(&self, id: ServiceId) -> impl Iterator<Item = ServiceId> {
        let gates = self.engine.waits_for(id).into_iter();
        gates.filter(|gate| gate.kind != DependencyKind::Conflicts).map(|gate| gate.on)
    }
}
