//! Where the supervisor and the balancing of its services meet.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use services::{Definition, Event, Identity, Name, Phase, ServiceId, SocketKind, State};
use types::Nanos;

use crate::order::Order;
use crate::{Balancing, CellId, Supervisor};

/// One for each service that was ever started.
#[derive(Default)]
pub(crate) struct Balancings {
    // By service; a name tells whether the number is another one's by now.
    all: Vec<Option<(Name, Arc<Balancing>)>>,
    news: Arc<AtomicBool>,
    /// When one that is passed over comes back.
    next_return: Option<Nanos>,
}

impl Balancings {
    fn get(&self, service: ServiceId) -> Option<&(Name, Arc<Balancing>)> {
        self.all.get(usize::from(service.0))?.as_ref()
    }

    pub(crate) fn forget(&self, id: CellId) {
        if let Some((_, balancing)) = self.get(id.service) {
            balancing.forget(id.identity);
        }
    }

    /// Connections that an instance has, and whether it is passed over.
    pub(crate) fn look(&self, now: Nanos, service: ServiceId, identity: Identity) -> (u32, bool) {
        self.get(service).map_or((0, false), |(_, balancing)| balancing.look(now, identity))
    }

    /// Whether there is something to look at.
    pub(crate) fn is_due(&self, now: Nanos) -> bool {
        self.news.load(Ordering::Acquire) || self.next_return.is_some_and(|due| due <= now)
    }

    pub(crate) fn next_deadline(&self) -> Option<Nanos> {
        if self.news.load(Ordering::Acquire) { Some(Nanos::ZERO) } else { self.next_return }
    }
}

impl Supervisor {
    /// How connections to a service are given out; made when first asked for.
    pub(crate) fn balancing(&mut self, service: ServiceId) -> Option<Arc<Balancing>> {
        let definition = self.engine.catalog().definition(service)?;
        let at = usize::from(service.0);
        if let Some((name, known)) = self.balancings.get(service)
            && *name == definition.name
        {
            return Some(known.clone());
        }
        let seed = u64::from(self.engine.set_number()) << 16 | u64::from(service.0);
        let made = Arc::new(Balancing::new(definition.scaling, seed, self.balancings.news.clone()));
        let name = definition.name.clone();
        if self.balancings.all.len() <= at {
            self.balancings.all.resize_with(at + 1, || None);
        }
        *self.balancings.all.get_mut(at)? = Some((name, made.clone()));
        Some(made)
    }

    pub(crate) fn publish(&mut self, now: Nanos, service: ServiceId, identity: Identity) {
        if let Some(balancing) = self.balancing(service) {
            balancing.publish(now, identity);
        }
        self.arrange(service);
    }

    pub(crate) fn unpublish(&mut self, service: ServiceId, identity: Identity) {
        if let Some((_, balancing)) = self.balancings.get(service) {
            balancing.unpublish(identity);
        }
        self.arrange(service);
    }

    /// Has connections that wait given out anew, where there are any to wait.
    fn arrange(&mut self, service: ServiceId) {
        if let Some(definition) = self.engine.catalog().definition(service).filter(|known| is_connected_to(known)) {
            self.orders.push_back(Order::Arrange(definition.name.clone()));
        }
    }

    /// Policies as the present set has them.
    pub(crate) fn adapt_balance(&mut self, now: Nanos) {
        let seed = u64::from(self.engine.set_number()) << 16;
        for (at, known) in (0..).zip(&self.balancings.all) {
            let Some((name, balancing)) = known else { continue };
            let definition = self.engine.catalog().definition(ServiceId(at));
            if let Some(definition) = definition.filter(|definition| definition.name == *name) {
                balancing.adapt(now, definition.scaling, seed | u64::from(at));
            }
        }
    }

    /// Takes in what connections have brought about.
    pub(crate) fn look_at_balance(&mut self, now: Nanos) {
        self.balancings.news.store(false, Ordering::Release);
        self.balancings.next_return = None;
        for at in 0..self.balancings.all.len() {
            let service = ServiceId(u16::try_from(at).unwrap_or(u16::MAX));
            let Some((_, balancing)) = self.balancings.get(service) else { continue };
            let (news, back) = (balancing.take_news(now), balancing.next_return(now));
            self.balancings.next_return = [self.balancings.next_return, back].into_iter().flatten().min();
            let connected = self.engine.catalog().definition(service).is_some_and(is_connected_to);
            // Who has sockets of its own alone knows whether they are in use.
            for identity in news.drained.into_iter().filter(|_| connected) {
                let state = self.slot_of(identity).map(|slot| slot.state);
                if state == Some(State::Stopping(Phase::Drain)) {
                    self.step_once(now, Event::Drained(identity));
                }
            }
            if let Some(count) = news.ejected {
                self.step_once(now, Event::Ejected(service, count));
            }
        }
    }
}

/// Whether clients connect to sockets that the service owns.
fn is_connected_to(definition: &Definition) -> bool {
    definition.listen.iter().any(|listen| matches!(listen.at.kind, SocketKind::Stream | SocketKind::Packet))
}
