//! One request, one reply.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use services::wire::{
    AuditPart, BootStep, Direction, Emergency, Endpoint as Instance, Failure, HappeningPart, Link, LoadMode, LogPart,
    PlanStep, Power, ReplayPart, ReplaySet, Reply, Request, Unit, Verb,
};
use services::{
    Actor, Catalog, Command, Definition, DependencyKind, Ending, Endpoint, Field, Input, Mistake, Name, ProbeTarget,
    Readiness, Result, Root, ServiceError, ServiceId, StopMode, Unsatisfied,
};
use types::Nanos;

use crate::access::code;
use crate::{Supervisor, World};

impl Supervisor {
    /// Serves a request in the name of `actor`, as the kernel stamped it. What is due by `now` happens first.
    pub fn request(&mut self, world: &dyn World, now: Nanos, actor: Actor, request: Request) -> Reply {
        self.catch_up(now);
        let subject = subject(&request).cloned();
        let verb = if let Request::Control { verb, .. } = &request { Some(*verb) } else { None };
        match self.serve(world, now, actor, request) {
            Ok(reply) => reply,
            Err(error) => Reply::Error(self.failure(actor, error, subject, verb)),
        }
    }

    fn serve(&mut self, world: &dyn World, now: Nanos, actor: Actor, request: Request) -> Result<Reply> {
        let number = code(&request);
        match request {
            Request::List | Request::Top => Ok(Reply::Rows(self.rows(world, now, actor))),
            Request::Status(name) => {
                let id = self.seen(now, actor, name.as_str(), number)?;
                Ok(self.status(world, now, id).map_or(Reply::Ok, |status| Reply::Status(Box::new(status))))
            }
            Request::Control { verb, name, mode } => {
                let id = self.find(name.as_str())?;
                self.command(now, actor, command(verb, id, mode)).map(|()| Reply::Ok)
            }
            Request::Scale { name, count } => {
                let id = self.find(name.as_str())?;
                self.command(now, actor, Command::Scale(id, count)).map(|()| Reply::Ok)
            }
            Request::Why(Some(name)) => {
                let id = self.seen(now, actor, name.as_str(), number)?;
                Ok(Reply::Why(self.explain(now, id)))
            }
            Request::Why(None) => Ok(Reply::Why(self.explain_all(now, actor))),
            Request::WhyStarted(name) => {
                let id = self.seen(now, actor, name.as_str(), number)?;
                let mut chain = self.engine.why_started(id);
                chain.retain(|id| self.may_see(actor, *id));
                Ok(Reply::Chain(self.names(chain)))
            }
            Request::Plan { verb, name } => {
                let id = self.seen(now, actor, name.as_str(), number)?;
                let steps = self.engine.plan(command(verb, id, StopMode::Cascade));
                let steps = steps.into_iter().filter_map(|step| {
                    Some(PlanStep { service: self.name(step.service)?, change: step.change, wave: step.wave })
                });
                Ok(Reply::Plan(steps.collect()))
            }
            Request::Deps { name, direction } => {
                let id = name.map(|name| self.seen(now, actor, name.as_str(), number)).transpose()?;
                Ok(Reply::Links(self.links(actor, id, direction)))
            }
            Request::Load { mode, units } => {
                self.may_change_all(now, actor, &Request::Load { mode, units: Vec::new() })?;
                self.load(now, mode, units.into_iter().map(Arc::new).collect())
            }
            Request::Update(unit) => {
                let asked = Request::Update(unit);
                self.may_change_all(now, actor, &asked)?;
                let Request::Update(unit) = asked else { return Ok(Reply::Ok) };
                let mut units: Vec<Arc<Unit>> = self.sets.present().to_vec();
                units.retain(|known| known.definition.name != unit.definition.name);
                units.push(Arc::new(*unit));
                self.load(now, LoadMode::Replace, units)
            }
            Request::Rollback(to) => {
                self.may_change_all(now, actor, &request)?;
                let units = self.sets.earlier(to).ok_or(ServiceError::NotFound)?;
                self.load(now, LoadMode::Replace, units)
            }
            Request::Log { name, from } => {
                let id = self.seen(now, actor, name.as_str(), number)?;
                let (from, bytes) = self.sets.output(id).map(|output| output.read(from)).unwrap_or_default();
                Ok(Reply::Log(LogPart { from, next: from + bytes.len() as u64, bytes }))
            }
            Request::Events(from) => {
                let seen = self.happenings.since(from).filter(|happening| self.may_see(actor, happening.service));
                let list = seen.filter_map(|happening| self.happening(happening)).collect();
                let lost = self.happenings.lost(from);
                Ok(Reply::Happenings(HappeningPart { next: self.happenings.made(), lost, list }))
            }
            Request::Audit(from) => {
                self.may_see_all(now, actor, &request)?;
                Ok(Reply::Audit(self.audit(from)))
            }
            Request::Boot => Ok(Reply::Boot(self.boot_steps(actor))),
            Request::Shutdown(power) => {
                let ending = match power {
                    Power::Off => Ending::PowerOff,
                    Power::Restart => Ending::Reboot,
                    Power::Halt => Ending::Halt,
                };
                self.command(now, actor, Command::Shutdown(ending)).map(|()| Reply::Ok)
            }
            Request::Isolate(name) => {
                let id = self.find(name.as_str())?;
                self.command(now, actor, Command::Isolate(id)).map(|()| Reply::Ok)
            }
            Request::Emergency(step) => {
                let command = match step {
                    Emergency::Enter => Command::Emergency,
                    Emergency::Leave => Command::Recover,
                    Emergency::KillAll => Command::KillAll(Ending::Reboot),
                };
                self.command(now, actor, command).map(|()| Reply::Ok)
            }
            Request::Show(name) => {
                let id = self.seen(now, actor, name.as_str(), number)?;
                let unit = self.sets.unit(id).ok_or(ServiceError::NotFound)?;
                Ok(Reply::Unit(Box::new(Unit::clone(unit))))
            }
            Request::Replay => {
                self.may_see_all(now, actor, &request)?;
                Ok(Reply::Replay(Box::new(self.replay())))
            }
            Request::Lookup(name) => {
                let id = self.engine.catalog().discover(actor, name.as_str())?;
                let service = self.name(id).ok_or(ServiceError::NotFound)?;
                let found = self.engine.published(id).map(|identity| Instance {
                    service: service.clone(),
                    index: self.engine.instance(identity.instance).map_or(0, |(_, view)| view.index),
                    identity,
                    pid: self.cell(identity.instance).map_or(0, |cell| cell.main().0),
                });
                Ok(Reply::Found(found.collect()))
            }
        }
    }

    /// Takes a set over, or says everything that is wrong with it.
    fn load(&mut self, now: Nanos, mode: LoadMode, units: Vec<Arc<Unit>>) -> Result<Reply> {
        if self.is_shutting_down() {
            return Err(ServiceError::ShuttingDown);
        }
        let definitions: Vec<Definition> = units.iter().map(|unit| unit.definition.clone()).collect();
        let mut aside: Vec<Mistake> = Vec::new();
        let beyond: Vec<Mistake> = units.iter().filter_map(|unit| beyond(&unit.definition)).collect();
        if !beyond.is_empty() && mode != LoadMode::Boot {
            return Ok(Reply::Mistakes(beyond));
        }
        let (units, definitions): (Vec<_>, Vec<_>) = units
            .into_iter()
            .zip(definitions)
            .filter(|(unit, _)| !beyond.iter().any(|mistake| mistake.service == unit.definition.name))
            .unzip();
        aside.extend(beyond);
        match mode {
            LoadMode::Check => {
                let checked = Catalog::resolve(self.engine.catalog(), definitions, self.sets.bounds);
                Ok(checked.map_or_else(Reply::Mistakes, |_| Reply::Ok))
            }
            LoadMode::Replace => {
                let Some(mut actions) = self.take_actions() else { return Err(ServiceError::ShuttingDown) };
                self.remember_starts();
                let loaded = self.engine.load(now, definitions, &mut actions);
                // Before what follows from it is prepared: that needs the new units.
                let number = loaded.is_ok().then(|| self.sets.take(self.engine.catalog(), units));
                if let Some(number) = number {
                    self.log.note(now, Input::Load(number));
                    self.adapt_balance(now);
                }
                self.absorb(now, actions);
                self.finish(now);
                self.teach_starts(now);
                match (loaded, number) {
                    (Ok(()), Some(number)) => Ok(Reply::Loaded { number, aside }),
                    (Err(mistakes), _) => Ok(Reply::Mistakes(mistakes)),
                    (Ok(()), None) => Ok(Reply::Ok),
                }
            }
            LoadMode::Boot => {
                let Some(mut actions) = self.take_actions() else { return Err(ServiceError::ShuttingDown) };
                aside.append(&mut self.engine.boot(now, definitions, &mut actions));
                let number = self.sets.take(self.engine.catalog(), units);
                self.log.note(now, Input::Boot(number));
                self.adapt_balance(now);
                self.absorb(now, actions);
                self.finish(now);
                Ok(Reply::Loaded { number, aside })
            }
        }
    }

    /// The log of what the reconciler was told.
    fn replay(&self) -> ReplayPart {
        let mut part = ReplayPart::new(&self.engine, self.log.lost());
        part.sets = self.sets.all().map(|(number, definitions)| ReplaySet { number, definitions }).collect();
        part.entries = self.log.entries().flat_map(|entry| *entry.as_bytes()).collect();
        part
    }

    /// Every socket that a service of the present set owns.
    pub fn endpoints(&self) -> Vec<(Name, Endpoint)> {
        let units = self.sets.present().iter();
        units
            .flat_map(|unit| {
                unit.definition.listen.iter().map(|listen| (unit.definition.name.clone(), listen.at.clone()))
            })
            .collect()
    }

    /// What goes with an error.
    fn failure(&self, actor: Actor, error: ServiceError, subject: Option<Name>, verb: Option<Verb>) -> Failure {
        let id = subject.as_ref().and_then(|name| self.engine.catalog().find(name.as_str()));
        let (mut names, mut notes) = (Vec::new(), Vec::new());
        match (error, id) {
            (ServiceError::NotFound, _) => {
                let near = subject.as_ref().and_then(|name| self.engine.catalog().nearest(name));
                let seen = near.filter(|id| self.may_see(actor, *id)).and_then(|id| self.name(id));
                names.extend(seen);
            }
            (ServiceError::InvalidState(_), Some(id)) if verb == Some(Verb::Stop) => {
                let up =
                    |id: &ServiceId| self.engine.service(*id).is_some_and(|service| service.goal || service.live > 0);
                let dependents = self.engine.catalog().dependents(id);
                let needed = dependents.filter(|(_, edge)| edge.kind.is_hard()).map(|(_, edge)| edge.from).filter(up);
                names = self.names(needed.collect());
            }
            (ServiceError::DependencyUnsatisfied(why), Some(id)) => {
                let other = match why {
                    Unsatisfied::Failed(other)
                    | Unsatisfied::Conflict(other)
                    | Unsatisfied::Held(other)
                    | Unsatisfied::NeededBy(other) => alloc::vec![other],
                    Unsatisfied::Missing | Unsatisfied::Version => {
                        let roots = self.engine.root_causes(id).into_iter();
                        roots.filter(|(_, root)| *root != Root::NotWanted).map(|(id, _)| id).collect()
                    }
                };
                names = self.names(other);
            }
            (ServiceError::ResourceExhausted(_), _) => {
                notes.push(format!("{} bytes are promised", self.engine.reserved_memory()));
            }
            _ => {}
        }
        Failure { error, subject, names, notes }
    }

    pub(crate) fn links(&self, actor: Actor, id: Option<ServiceId>, direction: Direction) -> Vec<Link> {
        let catalog = self.engine.catalog();
        let edges: Vec<_> = match (id, direction) {
            (Some(id), Direction::Needs) => catalog.dependencies(id).map(|(_, edge)| edge).collect(),
            (Some(id), Direction::NeededBy) => catalog.dependents(id).map(|(_, edge)| edge).collect(),
            (None, _) => catalog.edges().to_vec(),
        };
        let seen = edges.into_iter().filter(|edge| self.may_see(actor, edge.from) && self.may_see(actor, edge.to));
        seen.filter_map(|edge| {
            Some(Link {
                from: self.name(edge.from)?,
                to: self.name(edge.to)?,
                kind: edge.kind,
                state: self.state_of(edge.to),
                place: self.place(edge.from, edge.to, edge.kind),
            })
        })
        .collect()
    }

    /// Where a dependency was written down.
    fn place(&self, from: ServiceId, to: ServiceId, kind: DependencyKind) -> String {
        let (Some(unit), Some(other)) = (self.sets.unit(from), self.engine.catalog().definition(to)) else {
            return String::new();
        };
        let mut written = unit.definition.dependencies.iter().zip(&unit.places);
        let found = written.find(|(dependency, _)| {
            dependency.kind == kind && (dependency.on == other.name || other.provides.contains(&dependency.on))
        });
        found.map(|(_, place)| place.clone()).unwrap_or_default()
    }

    fn audit(&self, from: u64) -> AuditPart {
        let audit = self.engine.audit();
        let mut previous = audit.root();
        let mut records = Vec::new();
        for record in audit.records() {
            if record.sequence < from {
                previous = record.hash;
            } else {
                records.push(*record);
            }
        }
        let mut named: Vec<ServiceId> = records.iter().map(|record| record.target).collect();
        named.sort_unstable();
        named.dedup();
        let names = named.into_iter().filter_map(|id| Some((id, self.name(id)?))).collect();
        AuditPart { next: audit.made(), lost: audit.lost(), broken: audit.verify().err(), previous, records, names }
    }

    /// Services that have become ready, in that order.
    fn boot_steps(&self, actor: Actor) -> Vec<BootStep> {
        let started = |id: ServiceId| self.starts.get(usize::from(id.0)).copied().unwrap_or_default();
        let mut steps: Vec<BootStep> = self
            .engine
            .catalog()
            .services()
            .filter(|(id, _)| self.may_see(actor, *id))
            .filter_map(|(id, definition)| {
                let start = started(id);
                let (wanted, ready) = (start.wanted?, start.ready?);
                let last = self
                    .engine
                    .catalog()
                    .dependencies(id)
                    .filter(|(_, edge)| edge.kind.orders())
                    .filter_map(|(_, edge)| Some((started(edge.to).ready?, edge.to)))
                    .max();
                Some(BootStep {
                    service: definition.name.clone(),
                    wanted,
                    // A target is never spawned.
                    spawned: start.spawned.unwrap_or(ready),
                    ready,
                    after: last.and_then(|(_, id)| self.name(id)),
                })
            })
            .collect();
        steps.sort_by_key(|step| step.ready);
        steps
    }

    pub(crate) fn name(&self, id: ServiceId) -> Option<Name> {
        self.engine.catalog().definition(id).map(|definition| definition.name.clone())
    }

    pub(crate) fn names(&self, ids: Vec<ServiceId>) -> Vec<Name> {
        ids.into_iter().filter_map(|id| self.name(id)).collect()
    }
}

/// What is right, and yet more than this kernel can do.
fn beyond(definition: &Definition) -> Option<Mistake> {
    let probed = definition.health.live.is_some() || definition.ready == Readiness::Probe;
    let reachable = match &definition.probe {
        ProbeTarget::Own => definition.listen.first().is_some_and(|listen| listen.at.kind.is_local()),
        ProbeTarget::Connect(endpoint) => endpoint.kind.is_local(),
        ProbeTarget::Execute(_) => true,
    };
    let field = if definition.listen.iter().any(|listen| !listen.at.kind.is_local()) {
        Field::Listen
    } else if probed && !reachable {
        Field::Probe
    } else {
        return None;
    };
    let error = ServiceError::InvalidDefinition(field);
    Some(Mistake { service: definition.name.clone(), error, dependency: None, nearest: None, path: Vec::new() })
}

fn command(verb: Verb, id: ServiceId, mode: StopMode) -> Command {
    match verb {
        Verb::Start => Command::Start(id),
        Verb::Stop => Command::Stop(id, mode),
        Verb::Restart => Command::Restart(id),
        Verb::Reload => Command::Reload(id),
        Verb::Enable => Command::Enable(id),
        Verb::Disable => Command::Disable(id),
        Verb::Reset => Command::Reset(id),
        Verb::Hold => Command::Hold(id),
        Verb::Unhold => Command::Unhold(id),
        Verb::Roll => Command::Roll(id),
        Verb::Pause => Command::Pause(id),
        Verb::Resume => Command::Resume(id),
    }
}

/// The service that a request is about.
fn subject(request: &Request) -> Option<&Name> {
    match request {
        Request::Status(name)
        | Request::Control { name, .. }
        | Request::Scale { name, .. }
        | Request::Why(Some(name))
        | Request::WhyStarted(name)
        | Request::Plan { name, .. }
        | Request::Deps { name: Some(name), .. }
        | Request::Log { name, .. }
        | Request::Isolate(name)
        | Request::Show(name)
        | Request::Lookup(name) => Some(name),
        _ => None,
    }
}
