//! I1 to I20 of the service design, checked against the physical state of the world after every event. Each counts how
//! often it had something to check: an oracle that never looked is a defect of the test.

use super::world::{World, slot};
use crate::{Audit, Cause, Deed, DependencyKind, Hash, Hold, InstanceId, OnLoss, Reconciler, Root, Run, State};
use std::vec;
use std::vec::Vec;
use types::Nanos;

/// How often each invariant, by its number, had something to check.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Fired(pub(super) [u64; 21]);

impl Fired {
    pub(super) fn count(&mut self, number: usize) {
        self.0[number] += 1;
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }
}

/// What the last check saw: some invariants are about the step between two.
pub(super) struct Seen {
    pub(super) states: Vec<Option<State>>,
    made: u64,
    head: Hash,
    changes: u64,
}

impl Seen {
    pub(super) fn new(world: &World) -> Self {
        let mut seen = Self {
            states: vec![None; usize::from(world.config.bounds.instances)],
            made: world.engine.audit().made(),
            head: world.engine.audit().head(),
            changes: world.changes,
        };
        seen.note(world);
        seen
    }

    fn note(&mut self, world: &World) {
        for (at, state) in self.states.iter_mut().enumerate() {
            *state = world.engine.instance(InstanceId(at as u16)).map(|(_, view)| view.state);
        }
    }
}

/// The first invariant that does not hold.
pub(super) fn check(world: &World, seen: &mut Seen, fired: &mut Fired) -> Result<(), &'static str> {
    if let Some(broken) = world.broken {
        return Err(broken);
    }
    let engine = &world.engine;
    fired.count(18);
    if engine.is_frozen() || engine.longest_step() > world.config.rounds {
        return Err("I18 a step without bound");
    }
    let (mut reserved, mut live) = (0, 0);
    for at in 0..world.config.bounds.instances {
        let id = InstanceId(at);
        let Some((service, view)) = engine.instance(id) else {
            if world.cells[slot(id)].is_some() {
                return Err("I4 a cell without instance");
            }
            continue;
        };
        reserved += view.reserved;
        live += u32::from(view.state.has_cell());
        instance(world, id, service, &view, fired)?;
        let before = seen.states[slot(id)];
        if before.is_some_and(|before| matches!(before, State::Starting | State::Running)) {
            stop_order(world, service, &view, fired)?;
        }
    }
    fired.count(12);
    if reserved != engine.reserved_memory() || reserved > world.config.bounds.memory {
        return Err("I12 more memory promised than there is");
    }
    if live != engine.live_cells() || live as usize != world.live().count() {
        return Err("I11 live cells miscounted");
    }
    services(world, fired)?;
    fired.0[19] += u64::from(world.spawned > 0);
    records(world, seen, fired)?;
    seen.note(world);
    Ok(())
}

fn instance(
    world: &World,
    id: InstanceId,
    service: crate::ServiceId,
    view: &crate::InstanceView,
    fired: &mut Fired,
) -> Result<(), &'static str> {
    let engine = &world.engine;
    let Some(about) = engine.service(service) else { return Err("an instance without service") };
    let Some(definition) = engine.catalog().definition(service) else { return Err("an instance without definition") };
    let cell = world.cells[slot(id)];
    if view.state.has_cell() {
        fired.count(2);
        if cell.is_none_or(|cell| cell.identity != view.identity || cell.service != service) {
            return Err("I2 a state with a cell, but no such cell");
        }
    } else {
        fired.count(4);
        if cell.is_some() {
            return Err("I4 a cell in a state without");
        }
    }
    if matches!(view.state, State::Running | State::Starting) {
        for (_, edge) in engine.catalog().dependencies(service) {
            if edge.kind == DependencyKind::Conflicts {
                fired.count(1);
                let up = |view: crate::InstanceView| matches!(view.state, State::Running | State::Starting);
                if engine.instances(edge.to).any(up) {
                    return Err("I1 two run that conflict");
                }
            }
            if !edge.kind.is_hard() || definition.on_loss == OnLoss::Keep {
                continue;
            }
            let ready = |other| engine.service(other).is_some_and(|other| other.ready > 0);
            let mut group = engine.catalog().dependencies(service);
            let fine = ready(edge.to)
                || edge.kind != DependencyKind::Requires
                    && group.any(|(_, other)| other.kind == edge.kind && ready(other.to));
            fired.count(1);
            if !fine && view.loss_deadline.is_none_or(|at| at < world.now) {
                return Err("I1 runs on a lost dependency");
            }
            if !fine && view.loss_deadline.is_some_and(|at| at > world.now + definition.loss_grace) {
                return Err("I1 grace longer than allowed");
            }
        }
        if engine.shutdown_stage().is_none() && about.hold != Hold::None && about.live > 0 {
            fired.count(3);
            let needed = engine
                .catalog()
                .dependents(service)
                .any(|(_, edge)| edge.kind.is_hard() && engine.service(edge.from).is_some_and(|other| other.live > 0));
            if !needed {
                return Err("I3 held, not needed, and not stopping");
            }
        }
    }
    fired.count(5);
    if definition.restart.max_failures > 0 && view.failures > definition.restart.max_failures.saturating_add(1) {
        return Err("I5 too many failures");
    }
    transient(world, id, view, definition.start_timeout, fired)?;
    if !view.goal && matches!(view.state, State::Waiting | State::Backoff | State::Failed) {
        return Err("I10 not wanted, and not down");
    }
    if about.hold != Hold::None {
        fired.count(10);
        if matches!(view.state, State::Backoff | State::Waiting) {
            return Err("I10 held, and about to start");
        }
    }
    if view.state == State::Running {
        fired.count(13);
        if view.stable && view.failures > 0 {
            return Err("I13 stable, and failures are remembered");
        }
        if !view.stable && world.now.saturating_sub(view.since) > definition.restart.stable + Nanos::from_secs(1) {
            return Err("I13 runs long enough, and is not stable");
        }
    } else if view.paused {
        return Err("paused without running");
    }
    fired.count(16);
    let works = view.state == State::Running && !view.paused;
    if (world.published[slot(id)] == Some(view.identity)) != works {
        return Err("I16 published without running, or the reverse");
    }
    if view.state == State::Done && definition.run == Run::Daemon {
        return Err("a daemon cannot be done");
    }
    Ok(())
}

/// I6: what passes has a deadline, and what may start will be started.
fn transient(
    world: &World,
    id: InstanceId,
    view: &crate::InstanceView,
    start_timeout: Nanos,
    fired: &mut Fired,
) -> Result<(), &'static str> {
    let engine = &world.engine;
    let needs_timer = matches!(view.state, State::Stopping(_) | State::Killing | State::Backoff)
        || view.state == State::Starting && start_timeout > Nanos::ZERO;
    if needs_timer {
        fired.count(6);
        if view.deadline.is_none() {
            return Err("I6 a transient state without a deadline");
        }
    }
    if view.state == State::Waiting && view.goal {
        fired.count(6);
        if engine.closed_gates(id).next().is_none() {
            let soon = engine.next_deadline().is_some_and(|at| at <= world.now + Nanos::from_secs(1));
            if !matches!(view.cause, Cause::NoReserve { .. }) && !soon {
                return Err("I6 could start, and nobody will start it");
            }
        } else if world.now.saturating_sub(view.since) > Nanos::from_secs(11)
            && engine.closed_gates(id).any(|c| matches!(c.kind, DependencyKind::Wants | DependencyKind::After))
        {
            return Err("I6 waits for a soft dependency for too long");
        }
    }
    if view.state == State::Down && view.goal {
        return Err("I6 wanted, and down");
    }
    Ok(())
}

/// I3, at the moment of the change: told to stop for its goal, with a dependent that has a cell.
fn stop_order(
    world: &World,
    service: crate::ServiceId,
    view: &crate::InstanceView,
    fired: &mut Fired,
) -> Result<(), &'static str> {
    let engine = &world.engine;
    let orderly = matches!(view.state, State::Stopping(_)) && view.cause == Cause::Goal && view.since == world.now;
    if !orderly || engine.service(service).is_some_and(|about| about.goal) {
        return Ok(());
    }
    fired.count(3);
    // One of several alternatives may go as long as another is there.
    let needed = engine.catalog().dependents(service).any(|(_, edge)| {
        edge.kind == DependencyKind::Requires && engine.service(edge.from).is_some_and(|other| other.live > 0)
    });
    if needed { Err("I3 stopped before a dependent") } else { Ok(()) }
}

fn services(world: &World, fired: &mut Fired) -> Result<(), &'static str> {
    let engine = &world.engine;
    for (id, _) in engine.catalog().services() {
        let Some(about) = engine.service(id) else { return Err("a service that cannot be seen") };
        let pulled = engine.catalog().dependents(id).filter(|(_, edge)| pulls(engine, *edge)).count();
        fired.count(11);
        if pulled != usize::from(about.pulled) {
            return Err("I11 pulled miscounted");
        }
        let (mut ready, mut live) = (0, 0);
        for view in engine.instances(id) {
            ready += u16::from(view.state.is_ready());
            live += u16::from(view.state.has_cell());
        }
        if (ready, live) != (about.ready, about.live) {
            return Err("I11 ready or live miscounted");
        }
        if about.goal != (about.wanted && !about.blocked) {
            return Err("I11 the goal is not what it is derived from");
        }
        if about.goal && about.ready == 0 && engine.shutdown_stage().is_none() {
            fired.count(15);
            let roots = engine.root_causes(id);
            if roots.is_empty() {
                return Err("I15 not running, and nobody is to blame");
            }
            let lies = roots.iter().any(|(blamed, root)| {
                let other = engine.service(*blamed);
                other.is_none_or(|other| {
                    other.ready > 0 && !matches!(root, Root::Conflict | Root::Held | Root::NotWanted)
                })
            });
            if lies {
                return Err("I15 blames one that is ready");
            }
        }
    }
    Ok(())
}

fn pulls(engine: &Reconciler, edge: crate::Edge) -> bool {
    engine.service(edge.from).is_some_and(|from| from.wanted)
        && match edge.kind {
            DependencyKind::Requires | DependencyKind::Milestone | DependencyKind::Wants => true,
            DependencyKind::RequiresAny(_) => engine.alternative(edge.from, edge.kind) == Some(edge.to),
            DependencyKind::After | DependencyKind::Conflicts => false,
        }
}

/// I14: as many records of transitions as transitions, each chained to the one before and with a cause.
fn records(world: &World, seen: &mut Seen, fired: &mut Fired) -> Result<(), &'static str> {
    let audit: &Audit = world.engine.audit();
    let fresh = audit.made() - seen.made;
    let changes = world.changes - seen.changes;
    if fresh > 0 || changes > 0 {
        fired.count(14);
        if audit.records().count() as u64 != audit.made().min(world.config.audit_records as u64) {
            return Err("I14 the records are not kept");
        }
        if fresh < changes {
            return Err("I14 a transition without a record");
        }
        if fresh as usize <= audit.records().count() {
            let (mut hash, mut transitions) = (audit.head(), 0);
            let mut newest = audit.newest().take(fresh as usize + 1).peekable();
            while let Some(record) = newest.next() {
                if record.hash != hash {
                    return Err("I14 the chain breaks");
                }
                let Some(before) = newest.peek() else { break };
                if !record.follows(&before.hash) {
                    return Err("I14 the chain breaks");
                }
                hash = before.hash;
                if let Deed::Transition { to, cause, .. } = record.deed {
                    transitions += 1;
                    let explained = matches!(to, State::Stopping(_) | State::Killing | State::Backoff | State::Failed);
                    if explained && cause == Cause::None {
                        return Err("I14 a record without a cause");
                    }
                }
            }
            if fresh < audit.records().count() as u64 && (hash != seen.head || transitions != changes) {
                return Err("I14 the records are not those of the transitions");
            }
        }
    }
    (seen.made, seen.head, seen.changes) = (audit.made(), audit.head(), world.changes);
    Ok(())
}
