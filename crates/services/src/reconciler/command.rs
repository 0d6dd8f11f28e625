//! What operators ask for. Authorised by the caller's role, recorded in the audit ring whether allowed or refused.

use super::runtime::Roll;
use super::shutdown::{Ending, Wanted};
use super::{Hold, Reconciler};
use crate::action::{Action, Actions};
use crate::audit::{Actor, Deed};
use crate::definition::DependencyKind;
use crate::error::{Capacity, Result, Role, ServiceError, Unsatisfied};
use crate::id::ServiceId;
use crate::state::{Cause, State};
use crate::table::Trigger;
use crate::timers::TimerKind;
use types::Nanos;

/// What happens to those who need a service that is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StopMode {
    /// Refuse, if there are any.
    Alone,
    /// They stop first, and come back with it.
    Cascade,
}

/// A request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// Want it, and lift a stop of it and of what it needs.
    Start(ServiceId),
    /// Stop it until somebody starts it or what needs it.
    Stop(ServiceId, StopMode),
    /// Stop and start every instance, as one operation; starts it if it is down.
    Restart(ServiceId),
    /// Tell it to read its configuration again.
    Reload(ServiceId),
    /// Want it from boot on, and now.
    Enable(ServiceId),
    /// Do not want it at the next boot.
    Disable(ServiceId),
    /// Forget its failures.
    Reset(ServiceId),
    /// Keep it down, whoever needs it.
    Hold(ServiceId),
    /// Lift a hold.
    Unhold(ServiceId),
    /// Run so many instances.
    Scale(ServiceId, u16),
    /// Restart its instances one after the other.
    Roll(ServiceId),
    /// Let its processes stand still.
    Pause(ServiceId),
    /// Let them go on.
    Resume(ServiceId),
    /// Stop everything that this one does not need.
    Isolate(ServiceId),
    /// Stop everything not marked as kept in an emergency.
    Emergency,
    /// Leave the emergency.
    Recover,
    /// Stop everything, and the machine.
    Shutdown(Ending),
    /// Kill everything, and stop the machine.
    KillAll(Ending),
}

impl Command {
    /// The service it is about; commands about the whole system have none.
    pub const fn target(self) -> Option<ServiceId> {
        match self {
            Self::Start(id)
            | Self::Stop(id, _)
            | Self::Restart(id)
            | Self::Reload(id)
            | Self::Enable(id)
            | Self::Disable(id)
            | Self::Reset(id)
            | Self::Hold(id)
            | Self::Unhold(id)
            | Self::Scale(id, _)
            | Self::Roll(id)
            | Self::Pause(id)
            | Self::Resume(id)
            | Self::Isolate(id) => Some(id),
            Self::Emergency | Self::Recover | Self::Shutdown(_) | Self::KillAll(_) => None,
        }
    }

    /// The role it needs.
    pub const fn role(self) -> Role {
        match self {
            Self::Start(_)
            | Self::Stop(..)
            | Self::Restart(_)
            | Self::Reload(_)
            | Self::Reset(_)
            | Self::Roll(_)
            | Self::Pause(_)
            | Self::Resume(_) => Role::Operate,
            Self::Enable(_) | Self::Disable(_) | Self::Hold(_) | Self::Unhold(_) | Self::Scale(..) => Role::Configure,
            Self::Isolate(_) | Self::Emergency | Self::Recover | Self::Shutdown(_) | Self::KillAll(_) => {
                Role::Emergency
            }
        }
    }

    /// The command with this code; `count` is for `Scale`.
    pub fn from_code(code: u8, target: ServiceId, count: u16) -> Option<Self> {
        Some(match code {
            0 => Self::Start(target),
            1 => Self::Stop(target, StopMode::Alone),
            2 => Self::Stop(target, StopMode::Cascade),
            3 => Self::Restart(target),
            4 => Self::Reload(target),
            5 => Self::Enable(target),
            6 => Self::Disable(target),
            7 => Self::Reset(target),
            8 => Self::Hold(target),
            9 => Self::Unhold(target),
            10 => Self::Scale(target, count),
            11 => Self::Roll(target),
            12 => Self::Isolate(target),
            13 => Self::Emergency,
            14 => Self::Recover,
            15 => Self::Shutdown(Ending::Halt),
            16 => Self::Shutdown(Ending::Reboot),
            17 => Self::Shutdown(Ending::PowerOff),
            18 => Self::KillAll(Ending::Halt),
            19 => Self::KillAll(Ending::Reboot),
            20 => Self::KillAll(Ending::PowerOff),
            21 => Self::Pause(target),
            22 => Self::Resume(target),
            _ => return None,
        })
    }

    /// A small number for records.
    pub const fn code(self) -> u8 {
        match self {
            Self::Start(_) => 0,
            Self::Stop(_, StopMode::Alone) => 1,
            Self::Stop(_, StopMode::Cascade) => 2,
            Self::Restart(_) => 3,
            Self::Reload(_) => 4,
            Self::Enable(_) => 5,
            Self::Disable(_) => 6,
            Self::Reset(_) => 7,
            Self::Hold(_) => 8,
            Self::Unhold(_) => 9,
            Self::Scale(..) => 10,
            Self::Roll(_) => 11,
            Self::Isolate(_) => 12,
            Self::Emergency => 13,
            Self::Recover => 14,
            Self::Shutdown(Ending::Halt) => 15,
            Self::Shutdown(Ending::Reboot) => 16,
            Self::Shutdown(Ending::PowerOff) => 17,
            Self::KillAll(Ending::Halt) => 18,
            Self::KillAll(Ending::Reboot) => 19,
            Self::KillAll(Ending::PowerOff) => 20,
            Self::Pause(_) => 21,
            Self::Resume(_) => 22,
        }
    }
}

impl Reconciler {
    /// Carries out a request, or refuses it and changes nothing. What is due by `now` happens first.
    ///
    /// # Errors
    /// `PermissionDenied`, `NotFound`, `InvalidState`, `DependencyUnsatisfied`, `CapacityExhausted` or `ShuttingDown`.
    pub fn command(&mut self, now: Nanos, actor: Actor, command: Command, actions: &mut Actions) -> Result<()> {
        self.advance(now);
        self.settle(actions);
        // What is decided on must be what was derived last: a command does not wait for the next step.
        while self.unfinished && actions.has_room() && !self.frozen {
            self.settle(actions);
        }
        let outcome = self.authorize(actor, command).and_then(|()| self.carry_out(command, actions));
        let target = command.target().unwrap_or(ServiceId(u16::MAX));
        let deed = if outcome.is_ok() { Deed::Allowed(command.code()) } else { Deed::Denied(command.code()) };
        self.audit.add(self.now, actor, target, deed);
        self.settle(actions);
        outcome
    }

    fn authorize(&self, actor: Actor, command: Command) -> Result<()> {
        let allowed = match command.target() {
            Some(target) if self.known(target).is_err() => return Err(ServiceError::NotFound),
            Some(target) => self.catalog.grants(actor, command.role(), target),
            None => self.catalog.grants_system(actor),
        };
        if allowed { Ok(()) } else { Err(ServiceError::PermissionDenied(command.role())) }
    }

    fn known(&self, id: ServiceId) -> Result<()> {
        let there = self.catalog.definition(id).is_some() && !self.services[id].retired;
        if there { Ok(()) } else { Err(ServiceError::NotFound) }
    }

    fn carry_out(&mut self, command: Command, actions: &mut Actions) -> Result<()> {
        if self.shutdown.is_some() && !matches!(command, Command::Shutdown(_) | Command::KillAll(_)) {
            return Err(ServiceError::ShuttingDown);
        }
        match command {
            Command::Start(id) => self.start(id, actions),
            Command::Stop(id, mode) => self.stop(id, mode),
            Command::Restart(id) => self.restart(id, actions),
            Command::Reload(id) => {
                let mut at = self.services[id].first;
                while let Some(instance) = at {
                    if self.instances[instance].state == State::Running {
                        actions.push(Action::Reload(self.identity(instance)));
                    }
                    at = self.instances[instance].next;
                }
                if self.services[id].ready > 0 { Ok(()) } else { Err(self.wrong_state(id)) }
            }
            Command::Enable(id) => {
                self.start(id, actions)?;
                self.services[id].enabled = true;
                Ok(())
            }
            Command::Disable(id) => {
                self.services[id].enabled = false;
                Ok(())
            }
            Command::Reset(id) => {
                self.trigger_all(id, Trigger::Reset, actions);
                Ok(())
            }
            Command::Hold(id) => self.hold(id, Hold::Hard),
            Command::Unhold(id) => {
                if self.services[id].hold != Hold::Hard {
                    return Err(self.wrong_state(id));
                }
                self.hold(id, Hold::None)
            }
            Command::Scale(id, count) => self.scale(id, count),
            Command::Roll(id) => {
                if self.services[id].roll.is_some() || self.services[id].ready == 0 {
                    return Err(self.wrong_state(id));
                }
                (self.services[id].roll, self.services[id].roll_failed) = (Some(Roll::Next(0)), false);
                self.dirty_services.push(id.0);
                Ok(())
            }
            Command::Isolate(id) => {
                self.start(id, actions)?;
                self.isolate(id);
                Ok(())
            }
            Command::Pause(id) => self.pause(id, actions),
            Command::Resume(id) => self.resume(id, actions),
            Command::Emergency => {
                self.begin_emergency();
                Ok(())
            }
            Command::Recover => {
                self.end_emergency();
                Ok(())
            }
            Command::Shutdown(ending) => {
                self.begin_shutdown(ending, actions);
                Ok(())
            }
            Command::KillAll(ending) => {
                self.begin_kill(ending, actions);
                Ok(())
            }
        }
    }

    fn start(&mut self, id: ServiceId, actions: &mut Actions) -> Result<()> {
        if self.services[id].hold == Hold::Hard {
            return Err(ServiceError::DependencyUnsatisfied(Unsatisfied::Held(id)));
        }
        let preempt = self.catalog.definition(id).is_some_and(|definition| definition.preempt);
        let rival = self
            .catalog
            .dependencies(id)
            .find(|(_, edge)| edge.kind == DependencyKind::Conflicts && self.is_up(edge.to))
            .map(|(_, edge)| edge.to);
        if let Some(rival) = rival.filter(|_| !preempt) {
            return Err(ServiceError::DependencyUnsatisfied(Unsatisfied::Conflict(rival)));
        }
        if preempt {
            for (_, edge) in self.catalog.dependencies(id).filter(|(_, edge)| edge.kind == DependencyKind::Conflicts) {
                let rival = &mut self.services[edge.to];
                if rival.hold == Hold::None {
                    rival.hold = Hold::Soft;
                }
                self.dirty_services.push(edge.to.0);
            }
        }
        self.lift_stops(id);
        self.set_explicit(id, Wanted::Yes);
        let mut at = self.services[id].first;
        while let Some(instance) = at {
            at = self.instances[instance].next;
            if self.instances[instance].state == State::Failed {
                self.apply(instance, Trigger::Reset, Cause::None, actions);
            }
        }
        Ok(())
    }

    fn is_up(&self, id: ServiceId) -> bool {
        self.services[id].goal || self.services[id].live > 0
    }

    /// Lifts soft holds of a service and of everything it pulls in.
    pub(super) fn lift_stops(&mut self, id: ServiceId) {
        self.marked.clear();
        self.walk.clear();
        self.walk.push(id);
        self.marked.set(id.0);
        while let Some(at) = self.walk.pop() {
            if self.services[at].hold == Hold::Soft {
                self.services[at].hold = Hold::None;
                self.dirty_services.push(at.0);
            }
            for (_, edge) in self.catalog.dependencies(at) {
                let pulls = !matches!(edge.kind, DependencyKind::After | DependencyKind::Conflicts);
                if pulls && !self.marked.has(edge.to.0) {
                    self.marked.set(edge.to.0);
                    self.walk.push(edge.to);
                }
            }
        }
    }

    fn stop(&mut self, id: ServiceId, mode: StopMode) -> Result<()> {
        let needed = self.catalog.dependents(id).any(|(_, edge)| edge.kind.is_hard() && self.is_up(edge.from));
        if needed && mode == StopMode::Alone {
            return Err(self.wrong_state(id));
        }
        if self.services[id].hold == Hold::None {
            self.services[id].hold = Hold::Soft;
        }
        self.set_explicit(id, Wanted::No);
        Ok(())
    }

    fn hold(&mut self, id: ServiceId, hold: Hold) -> Result<()> {
        self.services[id].hold = hold;
        self.dirty_services.push(id.0);
        Ok(())
    }

    fn restart(&mut self, id: ServiceId, actions: &mut Actions) -> Result<()> {
        if !self.services[id].goal {
            return self.start(id, actions);
        }
        self.trigger_all(id, Trigger::Restart, actions);
        Ok(())
    }

    fn trigger_all(&mut self, id: ServiceId, trigger: Trigger, actions: &mut Actions) {
        let mut at = self.services[id].first;
        while let Some(instance) = at {
            at = self.instances[instance].next;
            self.apply(instance, trigger, Cause::Restart, actions);
        }
    }

    fn scale(&mut self, id: ServiceId, count: u16) -> Result<()> {
        let have = self.instances_of(id).count();
        let room = self.free.len() + have;
        if count == 0 || usize::from(count) > room {
            return Err(ServiceError::CapacityExhausted(Capacity::Instances));
        }
        if count > 1
            && self.catalog.definition(id).is_some_and(|definition| definition.run != crate::definition::Run::Daemon)
        {
            return Err(self.wrong_state(id));
        }
        self.services[id].count = count;
        self.services[id].scaled = Some(count);
        self.populate(id, count);
        Ok(())
    }

    /// Stops the clock of its health as well. What is paused gets no work, and goes on when it is stopped.
    fn pause(&mut self, id: ServiceId, actions: &mut Actions) -> Result<()> {
        let (mut at, mut any) = (self.services[id].first, false);
        while let Some(instance) = at {
            at = self.instances[instance].next;
            if self.instances[instance].state == State::Running && !self.instances[instance].paused {
                any = true;
                self.instances[instance].paused = true;
                self.instances[instance].probing = false;
                self.timers.disarm(instance, TimerKind::Watchdog);
                self.timers.disarm(instance, TimerKind::Probe);
                actions.push(Action::Unpublish(id, self.identity(instance)));
                actions.push(Action::Pause(self.identity(instance)));
            }
        }
        if any { Ok(()) } else { Err(self.wrong_state(id)) }
    }

    fn resume(&mut self, id: ServiceId, actions: &mut Actions) -> Result<()> {
        let (mut at, mut any) = (self.services[id].first, false);
        while let Some(instance) = at {
            at = self.instances[instance].next;
            if self.instances[instance].paused {
                any = true;
                self.instances[instance].paused = false;
                self.watch_running(instance);
                actions.push(Action::Resume(self.identity(instance)));
                actions.push(Action::Publish(id, self.identity(instance)));
            }
        }
        if any { Ok(()) } else { Err(self.wrong_state(id)) }
    }

    fn wrong_state(&self, id: ServiceId) -> ServiceError {
        ServiceError::InvalidState(self.services[id].first.map_or(State::Down, |first| self.instances[first].state))
    }
}
