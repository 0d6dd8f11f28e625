//! The supervisor under the names of the guide: by service name and caller, with a balancer per service and the log of what
//! it was told.
//!
//! Thin: every decision is the [`Reconciler`]'s. After each call the kernel does what [`ServiceManager::actions`] say.

use alloc::vec::Vec;
use types::Nanos;

use crate::action::{Action, Actions};
use crate::audit::Actor;
use crate::balance::{Balancer, Caller, Work};
use crate::catalog::Mistake;
use crate::definition::{Definition, Name};
use crate::error::{Capacity, Result, Role, ServiceError};
use crate::id::{Identity, ServiceId, SlotId};
use crate::reconciler::{Command, Config, Hold, Reconciler, StopMode};
use crate::replay::{EventLog, Input};
use crate::state::{Event, State};

/// A service as the guide speaks of it: a view of the state machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServiceStatus {
    /// Nothing runs, and nobody wants it to.
    Stopped,
    /// On its way to running, or waiting for what it needs.
    Starting,
    /// Ready.
    Running,
    /// Told to stop.
    Stopping,
    /// Gave up.
    Failed,
    /// Kept down by an operator, or not enabled.
    Disabled,
    /// Ready, and standing still.
    Paused,
}

/// How well a service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceHealth {
    /// Instances to run.
    pub wanted: u16,
    /// Instances that are ready.
    pub ready: u16,
    /// Instances that work is kept from.
    pub ejected: u16,
    /// Failures in a row, of the worst instance.
    pub failures: u8,
    /// It went away so often within a minute that its dependents get no grace any more.
    pub flapping: bool,
}

impl ServiceHealth {
    /// Every instance is ready and takes work.
    pub const fn is_healthy(&self) -> bool {
        self.ready >= self.wanted && self.ejected == 0 && !self.flapping
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct ServiceManager {
    engine: Reconciler,
    log: EventLog,
    actions: Actions,
    /// By service.
    balancers: Vec<Balancer>,
}

impl ServiceManager {
    /// Nothing loaded; the log has room for `log` inputs.
    pub fn new(config: Config, log: usize) -> Self {
        Self {
            engine: Reconciler::new(config),
            log: EventLog::new(log),
            actions: Actions::new(config.bounds.instances),
            balancers: Vec::new(),
        }
    }

    /// What knows everything.
    pub const fn engine(&self) -> &Reconciler {
        &self.engine
    }

    /// What is to be done after the last call, in order.
    pub fn actions(&self) -> &[Action] {
        self.actions.as_slice()
    }

    /// What it was told.
    pub const fn log(&self) -> &EventLog {
        &self.log
    }

    /// See [`Reconciler::step`].
    pub fn step(&mut self, now: Nanos, event: Event) -> &[Action] {
        self.note(now, Input::Event(event));
        self.engine.step(now, event, &mut self.actions);
        self.publish(now);
        self.actions()
    }

    /// See [`Reconciler::command`].
    ///
    /// # Errors
    /// As there.
    pub fn command(&mut self, now: Nanos, actor: Actor, command: Command) -> Result<()> {
        self.note(now, Input::Command(actor, command));
        let outcome = self.engine.command(now, actor, command, &mut self.actions);
        if let Command::Scale(id, count) = command
            && outcome.is_ok()
            && let Some(balancer) = self.balancers.get_mut(id.slot())
        {
            balancer.make_room(count);
        }
        self.publish(now);
        outcome
    }

    /// Replaces the whole set; the log knows it by the number [`Reconciler::set_number`] has before.
    ///
    /// # Errors
    /// Every mistake of the set; nothing changed.
    pub fn load(&mut self, now: Nanos, set: Vec<Definition>) -> core::result::Result<(), Vec<Mistake>> {
        self.note(now, Input::Load(self.engine.set_number()));
        self.engine.load(now, set, &mut self.actions)?;
        self.loaded(now);
        Ok(())
    }

    /// The first set: what fits together; the rest is set aside and said.
    pub fn boot(&mut self, now: Nanos, set: Vec<Definition>) -> Vec<Mistake> {
        self.note(now, Input::Boot(self.engine.set_number()));
        let aside = self.engine.boot(now, set, &mut self.actions);
        self.loaded(now);
        aside
    }

    /// Goes back to an earlier set.
    ///
    /// # Errors
    /// See [`Reconciler::rollback`].
    pub fn rollback(&mut self, now: Nanos, set: u32) -> core::result::Result<(), Vec<Mistake>> {
        self.note(now, Input::Rollback(set));
        self.engine.rollback(now, set, &mut self.actions)?;
        self.loaded(now);
        Ok(())
    }

    /// Adds a service to the set; it is started if it is enabled.
    ///
    /// # Errors
    /// `PermissionDenied`, `AlreadyExists`, or the first mistake it brings into the set; nothing changed.
    pub fn register_service(&mut self, now: Nanos, actor: Actor, definition: Definition) -> Result<ServiceId> {
        if !self.engine.catalog().grants_system(actor) {
            return Err(ServiceError::PermissionDenied(Role::Configure));
        }
        let name = definition.name.clone();
        let mut set = self.set();
        if set.iter().any(|known| known.name == name) {
            return Err(ServiceError::AlreadyExists);
        }
        set.try_reserve(1).map_err(|_| ServiceError::CapacityExhausted(Capacity::Services))?;
        set.push(definition);
        self.load(now, set).map_err(first)?;
        self.find(name.as_str())
    }

    /// Stops a service and takes it out of the set.
    ///
    /// # Errors
    /// `PermissionDenied`, `NotFound`, or `DependencyUnsatisfied` if another needs it; nothing changed.
    pub fn unregister_service(&mut self, now: Nanos, actor: Actor, name: &str) -> Result<()> {
        if !self.engine.catalog().grants_system(actor) {
            return Err(ServiceError::PermissionDenied(Role::Configure));
        }
        self.find(name)?;
        let mut set = self.set();
        set.retain(|definition| definition.name.as_str() != name);
        self.load(now, set).map_err(first)
    }

    /// Wants a service, and with it all that it needs.
    ///
    /// # Errors
    /// As for any [`Command`].
    pub fn start_service(&mut self, now: Nanos, actor: Actor, name: &str) -> Result<()> {
        let id = self.find(name)?;
        self.command(now, actor, Command::Start(id))
    }

    /// Stops a service.
    ///
    /// # Errors
    /// As for any [`Command`]; `InvalidState` if it is needed and `mode` does not take those along.
    pub fn stop_service(&mut self, now: Nanos, actor: Actor, name: &str, mode: StopMode) -> Result<()> {
        let id = self.find(name)?;
        self.command(now, actor, Command::Stop(id, mode))
    }

    /// Stops and starts a service, as one operation.
    ///
    /// # Errors
    /// As for any [`Command`].
    pub fn restart_service(&mut self, now: Nanos, actor: Actor, name: &str) -> Result<()> {
        let id = self.find(name)?;
        self.command(now, actor, Command::Restart(id))
    }

    /// Wants a service from boot on, and now.
    ///
    /// # Errors
    /// As for any [`Command`].
    pub fn enable_service(&mut self, now: Nanos, actor: Actor, name: &str) -> Result<()> {
        let id = self.find(name)?;
        self.command(now, actor, Command::Enable(id))
    }

    /// Does not want a service at the next boot.
    ///
    /// # Errors
    /// As for any [`Command`].
    pub fn disable_service(&mut self, now: Nanos, actor: Actor, name: &str) -> Result<()> {
        let id = self.find(name)?;
        self.command(now, actor, Command::Disable(id))
    }

    /// The guide's name for registering a service that has a program.
    ///
    /// # Errors
    /// See [`ServiceManager::register_service`].
    pub fn create_service_process(&mut self, now: Nanos, actor: Actor, name: Name, program: &str) -> Result<ServiceId> {
        self.register_service(now, actor, Definition::daemon(name, program))
    }

    /// The guide's name for [`ServiceManager::start_service`].
    ///
    /// # Errors
    /// As there.
    pub fn start_service_process(&mut self, now: Nanos, actor: Actor, id: ServiceId) -> Result<()> {
        self.command(now, actor, Command::Start(id))
    }

    /// The guide's name for stopping a service alone.
    ///
    /// # Errors
    /// See [`ServiceManager::stop_service`].
    pub fn stop_service_process(&mut self, now: Nanos, actor: Actor, id: ServiceId) -> Result<()> {
        self.command(now, actor, Command::Stop(id, StopMode::Alone))
    }

    /// The guide's name for [`ServiceManager::restart_service`].
    ///
    /// # Errors
    /// As there.
    pub fn restart_service_process(&mut self, now: Nanos, actor: Actor, id: ServiceId) -> Result<()> {
        self.command(now, actor, Command::Restart(id))
    }

    /// How a service is, in the guide's words; of several instances the best speaks for it.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn get_service_status(&self, name: &str) -> Result<ServiceStatus> {
        let id = self.find(name)?;
        let about = self.engine.service(id).ok_or(ServiceError::NotFound)?;
        let word = |view: crate::InstanceView| match view.state {
            State::Running if view.paused => ServiceStatus::Paused,
            State::Running | State::Done => ServiceStatus::Running,
            State::Starting | State::Waiting | State::Backoff => ServiceStatus::Starting,
            State::Stopping(_) | State::Killing => ServiceStatus::Stopping,
            State::Failed => ServiceStatus::Failed,
            State::Down if about.hold != Hold::None || !about.enabled => ServiceStatus::Disabled,
            State::Down => ServiceStatus::Stopped,
        };
        let rank = |status: &ServiceStatus| match status {
            ServiceStatus::Running => 0,
            ServiceStatus::Paused => 1,
            ServiceStatus::Starting => 2,
            ServiceStatus::Stopping => 3,
            ServiceStatus::Failed => 4,
            ServiceStatus::Stopped => 5,
            ServiceStatus::Disabled => 6,
        };
        Ok(self.engine.instances(id).map(word).min_by_key(rank).unwrap_or(ServiceStatus::Stopped))
    }

    /// The services of which the caller may look up the name or one of the endpoints, in the order of their numbers.
    pub fn discover_services(&self, actor: Actor) -> impl Iterator<Item = ServiceId> {
        let catalog = self.engine.catalog();
        catalog
            .services()
            .filter(move |(id, definition)| {
                let exports = definition.security.exports.iter().map(|export| &export.name);
                let names = core::iter::once(&definition.name).chain(&definition.provides).chain(exports);
                names.into_iter().any(|name| catalog.discover(actor, name.as_str()) == Ok(*id))
            })
            .map(|(id, _)| id)
    }

    /// The instance of a service or endpoint that gets the caller's next piece of work, which counts as in flight until
    /// [`ServiceManager::finish`].
    ///
    /// # Errors
    /// `NotFound` for what the caller may not see, `InvalidState` if no instance takes work.
    pub fn get_service_instance(&mut self, now: Nanos, actor: Actor, name: &str, from: Caller) -> Result<Identity> {
        let id = self.engine.catalog().discover(actor, name)?;
        let balancer = self.balancers.get_mut(id.slot()).ok_or(ServiceError::NotFound)?;
        let state = || self.engine.instances(id).next().map_or(State::Down, |view| view.state);
        balancer.pick(now, from).ok_or_else(|| ServiceError::InvalidState(state()))
    }

    /// A piece of work has ended.
    pub fn finish(&mut self, now: Nanos, identity: Identity, work: Work) {
        let Some((id, _)) = self.engine.instance(identity.instance) else { return };
        let Some(balancer) = self.balancers.get_mut(id.slot()) else { return };
        balancer.finish(now, identity, work);
        let ejected = u16::try_from(balancer.ejected(now)).unwrap_or(u16::MAX);
        if self.engine.service(id).is_some_and(|about| about.ejected != ejected) {
            self.step(now, Event::Ejected(id, ejected));
        }
    }

    /// How well a service is.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn check_service_health(&self, name: &str) -> Result<ServiceHealth> {
        let id = self.find(name)?;
        let about = self.engine.service(id).ok_or(ServiceError::NotFound)?;
        let failures = self.engine.instances(id).map(|view| view.failures).max().unwrap_or(0);
        let wanted = if about.goal { about.count } else { 0 };
        Ok(ServiceHealth { wanted, ready: about.ready, ejected: about.ejected, failures, flapping: about.flapping })
    }

    fn find(&self, name: &str) -> Result<ServiceId> {
        let id = self.engine.catalog().find(name).ok_or(ServiceError::NotFound)?;
        let retired = self.engine.service(id).is_none_or(|about| about.retired);
        if retired { Err(ServiceError::NotFound) } else { Ok(id) }
    }

    /// The set in force.
    fn set(&self) -> Vec<Definition> {
        let kept = |id: &ServiceId| self.engine.service(*id).is_some_and(|about| !about.retired);
        self.engine.catalog().services().filter(|(id, _)| kept(id)).map(|(_, definition)| definition.clone()).collect()
    }

    fn note(&mut self, now: Nanos, input: Input) {
        self.actions.clear();
        self.log.note(now, input);
    }

    /// A balancer for each service, with those that take work already.
    fn loaded(&mut self, now: Nanos) {
        let seed = u64::from(self.engine.set_number());
        let mut balancers = Vec::with_capacity(self.engine.catalog().slots());
        for slot in 0..self.engine.catalog().slots() as u16 {
            let id = ServiceId(slot);
            let scaling = self.engine.catalog().definition(id).map_or_else(Default::default, |known| known.scaling);
            let room = usize::from(scaling.count).max(self.engine.instances(id).count());
            let old = self.balancers.get_mut(id.slot()).filter(|old| old.policy() == scaling.balance);
            let mut balancer = match old.map(core::mem::take) {
                Some(mut old) => {
                    old.make_room(room as u16);
                    old
                }
                None => Balancer::new(scaling.balance, scaling.slow_start, room, seed ^ u64::from(slot)),
            };
            for identity in self.engine.published(id) {
                // Those known already are refused.
                let _ = balancer.publish(now, identity);
            }
            balancers.push(balancer);
        }
        self.balancers = balancers;
        self.publish(now);
    }

    fn publish(&mut self, now: Nanos) {
        for action in self.actions.as_slice() {
            match *action {
                Action::Publish(id, identity) => {
                    if let Some(balancer) = self.balancers.get_mut(id.slot()) {
                        // Refused only if it is there already.
                        let _ = balancer.publish(now, identity);
                    }
                }
                Action::Unpublish(id, identity) => {
                    if let Some(balancer) = self.balancers.get_mut(id.slot()) {
                        balancer.unpublish(identity);
                    }
                }
                _ => {}
            }
        }
    }
}

/// The mistake to tell of when there is room for one.
fn first(mistakes: Vec<Mistake>) -> ServiceError {
    mistakes.into_iter().next().map_or(ServiceError::NotFound, |mistake| mistake.error)
}
