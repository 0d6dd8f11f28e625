//! When something worse than one service is wrong: levels, emergency mode, and what follows when a service is given up.

use super::shutdown::{Ending, Wanted};
use super::{Hold, Reconciler};
use crate::action::{Action, Actions};
use crate::audit::{Actor, Deed};
use crate::definition::OnFailure;
use crate::id::{InstanceId, ServiceId};
use crate::state::Cause;
use crate::table::Trigger;
use types::Nanos;

/// How bad it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// E0: nothing to report.
    #[default]
    Normal,
    /// E1: a critical service has failed or is being tried again, or most instances of a balanced one are ejected.
    Degraded,
    /// E2: only what is kept in an emergency runs.
    Emergency,
    /// E3: everything is being killed.
    KillAll,
    /// E4: the supervisor found itself in contradiction; it starts and kills nothing any more, and what runs goes on.
    Stopped,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Emergency {
    /// When those who have not stopped in order are killed; `None` once they were.
    overrun: Option<Nanos>,
}

impl Emergency {
    pub(super) const fn deadline(&self) -> Option<Nanos> {
        self.overrun
    }
}

/// Emergency reboots so close to each other that the next one would be another turn of the same circle.
const LOOP_REBOOTS: usize = 3;
const LOOP_WINDOW: Nanos = Nanos::from_secs(600);

/// Remembers emergency reboots by the wall clock, over reboots: the kernel keeps it and gives it back in
/// [`super::Config::reboots`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RebootGuard {
    /// When the last ones were; zero for none.
    pub times: [Nanos; LOOP_REBOOTS],
}

impl RebootGuard {
    /// Whether one more at `wall` would still help; it is noted if so.
    pub fn allows(&mut self, wall: Nanos) -> bool {
        let recent = |at: &Nanos| at.0 > 0 && wall.saturating_sub(*at) < LOOP_WINDOW;
        if self.times.iter().all(recent) {
            return false;
        }
        if let Some(oldest) = self.times.iter_mut().min() {
            *oldest = wall.max(Nanos(1));
        }
        true
    }
}

impl Reconciler {
    /// How bad it is.
    pub fn level(&self) -> Level {
        if self.frozen {
            Level::Stopped
        } else if self.shutdown.is_some_and(|shutdown| shutdown.stage == super::Stage::Killed) {
            Level::KillAll
        } else if self.emergency.is_some() {
            Level::Emergency
        } else if self.troubled > 0 || self.panicking > 0 {
            Level::Degraded
        } else {
            Level::Normal
        }
    }

    /// Decides nothing any more: whoever carries it out found a contradiction.
    pub const fn give_up(&mut self) {
        self.frozen = true;
    }

    /// The emergency reboots so far, to be kept over the next one.
    pub const fn reboot_guard(&self) -> RebootGuard {
        self.config.reboots
    }

    /// A service was given up: what its definition asks for happens when the step has room for it. Of several, the worst.
    pub(super) fn note_failure(&mut self, id: ServiceId, actions: &mut Actions) {
        let Some(definition) = self.catalog.definition(id) else { return };
        let mut wish = definition.restart.on_failure;
        if wish != OnFailure::None {
            actions.push(Action::Escalate(id, wish));
        }
        if definition.critical && wish == OnFailure::None && self.none_can_come_up() {
            wish = OnFailure::Emergency;
        }
        let worst = self.escalation.map_or(OnFailure::None, |(_, worst)| worst);
        if severity(wish) > severity(worst) {
            self.escalation = Some((id, wish));
        }
    }

    /// Whether no critical service that is wanted is up or may still come up.
    fn none_can_come_up(&self) -> bool {
        self.catalog
            .services()
            .filter(|(id, definition)| definition.critical && self.services[*id].goal)
            .all(|(id, _)| self.has_given_up(id))
    }

    /// Does what was noted.
    pub(super) fn escalate(&mut self, actions: &mut Actions) -> bool {
        let Some((id, wish)) = self.escalation.take() else { return false };
        if self.shutdown.is_some() {
            return true;
        }
        let mut done = wish;
        match wish {
            OnFailure::None => {}
            OnFailure::Emergency => self.begin_emergency(),
            OnFailure::PowerOff => self.begin_shutdown(Ending::PowerOff, actions),
            OnFailure::Reboot => {
                let wall = self.config.booted_at + self.now;
                if self.config.reboots.allows(wall) {
                    self.begin_shutdown(Ending::Reboot, actions);
                } else {
                    done = OnFailure::Emergency;
                    self.begin_emergency();
                }
            }
            OnFailure::Isolate => {
                let target = self.catalog.definition(id).and_then(|definition| definition.isolate.as_ref());
                let target = target.and_then(|name| self.catalog.find(name.as_str()));
                if let Some(target) = target.filter(|&target| self.services[target].hold != Hold::Hard) {
                    self.isolate(target);
                }
            }
        }
        self.audit.add(self.now, Actor::Supervisor, id, Deed::Escalated(done));
        true
    }

    /// Wants the target and what it needs, and nothing else; sessions stay as they are.
    pub(super) fn isolate(&mut self, target: ServiceId) {
        self.lift_stops(target);
        for other in (0..self.services.len() as u16).map(ServiceId) {
            if other == target {
                self.set_explicit(other, Wanted::Yes);
            } else if !self.is_session(other) {
                self.set_explicit(other, Wanted::No);
            }
        }
    }

    pub(super) fn begin_emergency(&mut self) {
        if self.emergency.is_none() {
            self.emergency = Some(Emergency { overrun: Some(self.end_of_grace(self.now)) });
            self.touch_all();
        }
    }

    pub(super) fn end_emergency(&mut self) {
        self.emergency = None;
        self.escalation = None;
        self.touch_all();
    }

    fn touch_all(&mut self) {
        for id in 0..self.services.len() as u16 {
            self.dirty_services.push(id);
        }
    }

    /// Kills what should have stopped for the emergency and has not; whether it did.
    pub(super) fn advance_emergency(&mut self, actions: &mut Actions) -> bool {
        let Some(overrun) = self.emergency.and_then(|emergency| emergency.overrun) else { return false };
        if overrun > self.now || self.shutdown.is_some() {
            return false;
        }
        for slot in 0..self.instances.len() as u16 {
            let id = InstanceId(slot);
            if !actions.has_room() {
                return false;
            }
            if !self.instance_goal(id) {
                self.apply(id, Trigger::ShutdownKill, Cause::Shutdown, actions);
            }
        }
        self.emergency = Some(Emergency { overrun: None });
        true
    }

    /// The kernel's balancer passes over so many instances.
    pub(super) fn note_ejected(&mut self, id: ServiceId, ejected: u16) {
        if self.catalog.definition(id).is_some() {
            self.services[id].ejected = ejected;
            self.weigh_ejected(id);
        }
    }

    pub(super) fn weigh_ejected(&mut self, id: ServiceId) {
        let service = &mut self.services[id];
        let panicking = service.ejected > 0 && u32::from(service.ejected) * 2 > u32::from(service.ready);
        if panicking != core::mem::replace(&mut service.panicking, panicking) {
            self.panicking = if panicking { self.panicking + 1 } else { self.panicking.saturating_sub(1) };
        }
    }
}

const fn severity(wish: OnFailure) -> u8 {
    match wish {
        OnFailure::None => 0,
        OnFailure::Isolate => 1,
        OnFailure::Emergency => 2,
        OnFailure::Reboot => 3,
        OnFailure::PowerOff => 4,
    }
}
