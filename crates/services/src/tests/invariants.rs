//! I1 to I20 of the service design, checked against the physical state of the world after every event. Each counts how
//! often it had something to check: an oracle that never looked is a defect of the test.

use std::collections::BTreeMap;

use super::world::World;
use crate::{Cause, DependencyKind, Hold, InstanceId, OnLoss, Root, Run, State};
use types::Nanos;

pub(super) type Fired = BTreeMap<&'static str, u64>;

/// The first invariant that does not hold.
pub(super) fn check(world: &World, fired: &mut Fired) -> Result<(), &'static str> {
    let mut count = |name: &'static str| *fired.entry(name).or_default() += 1;
    if let Some(broken) = world.broken {
        return Err(broken);
    }
    let engine = &world.engine;
    if engine.is_frozen() {
        return Err("I18 ran out of fuel");
    }
    let (mut reserved, mut live) = (0, 0);
    for slot in 0..world.config.bounds.instances {
        let id = InstanceId(slot);
        let Some((service, view)) = engine.instance(id) else { continue };
        let Some(about) = engine.service(service) else { return Err("an instance without service") };
        let Some(definition) = engine.catalog().definition(service) else {
            return Err("an instance without definition");
        };
        let cell = world.cells.get(&id);
        reserved += view.reserved;
        live += u32::from(view.state.has_cell());

        if view.state.has_cell() {
            count("I2");
            if cell.is_none_or(|cell| cell.identity != view.identity || cell.service != service) {
                return Err("I2 a state with a cell, but no such cell");
            }
        } else {
            count("I4");
            if cell.is_some() {
                return Err("I4 a cell in a state without");
            }
        }
        if view.state == State::Running || view.state == State::Starting {
            if definition.on_loss != OnLoss::Keep {
                for (_, edge) in engine.catalog().dependencies(service).filter(|(_, edge)| edge.kind.is_hard()) {
                    let ready = |other| engine.service(other).is_some_and(|other| other.ready > 0);
                    let group = engine.catalog().dependencies(service);
                    let fine = ready(edge.to)
                        || edge.kind != DependencyKind::Requires
                            && group.into_iter().any(|(_, other)| other.kind == edge.kind && ready(other.to));
                    count("I1");
                    if !fine && view.loss_deadline.is_none_or(|at| at < world.now) {
                        return Err("I1 runs on a lost dependency");
                    }
                    if !fine && view.loss_deadline.is_some_and(|at| at > world.now + definition.loss_grace) {
                        return Err("I1 grace longer than allowed");
                    }
                }
            }
            if engine.shutdown_stage().is_none() && about.hold != Hold::None && about.live > 0 {
                count("I3b");
                let needed = engine.catalog().dependents(service).any(|(_, edge)| {
                    edge.kind.is_hard() && engine.service(edge.from).is_some_and(|other| other.live > 0)
                });
                if !needed {
                    return Err("I3 held, not needed, and not stopping");
                }
            }
        }
        count("I5");
        if definition.restart.max_failures > 0 && view.failures > definition.restart.max_failures.saturating_add(1) {
            return Err("I5 too many failures");
        }
        let needs_timer = matches!(view.state, State::Stopping(_) | State::Killing | State::Backoff)
            || view.state == State::Starting && definition.start_timeout > Nanos::ZERO;
        if needs_timer {
            count("I6");
            if view.deadline.is_none() {
                return Err("I6 a transient state without a deadline");
            }
        }
        if view.state == State::Waiting && view.goal && engine.closed_gates(id).next().is_none() {
            count("I6b");
            let soon = engine.next_deadline().is_some_and(|at| at <= world.now + Nanos::from_secs(1));
            if !matches!(view.cause, Cause::NoReserve { .. }) && !soon {
                return Err("I6 could start, and nobody will start it");
            }
        }
        if view.state == State::Waiting && world.now.saturating_sub(view.since) > Nanos::from_secs(11) {
            count("I6c");
            if engine.closed_gates(id).any(|c| matches!(c.kind, DependencyKind::Wants | DependencyKind::After)) {
                return Err("I6 waits for a soft dependency for too long");
            }
        }
        if view.state == State::Down && view.goal {
            return Err("I6 wanted, and down");
        }
        if !view.goal && matches!(view.state, State::Waiting | State::Backoff | State::Failed) {
            return Err("I10 not wanted, and not down");
        }
        if about.hold != Hold::None {
            count("I10");
            if matches!(view.state, State::Backoff | State::Waiting) {
                return Err("I10 held, and about to start");
            }
        }
        if view.stable && view.state == State::Running {
            count("I13");
            if view.failures > 0 {
                return Err("I13 stable, and failures are remembered");
            }
        }
        if view.state == State::Running
            && !view.stable
            && world.now.saturating_sub(view.since) > definition.restart.stable + Nanos::from_secs(1)
        {
            return Err("I13 runs long enough, and is not stable");
        }
        count("I16");
        if world.published.contains(&view.identity) != (view.state == State::Running && !view.paused) {
            return Err("I16 published without running, or the reverse");
        }
        if view.state == State::Done && definition.run == Run::Daemon {
            return Err("a daemon cannot be done");
        }
    }
    count("I12");
    if reserved != engine.reserved_memory() || reserved > world.config.bounds.memory {
        return Err("I12 more memory promised than there is");
    }
    if live != engine.live_cells() || live as usize != world.cells.len() {
        return Err("I11 live cells miscounted");
    }
    services(world, &mut count)?;
    count("I19");
    let window: Nanos = Nanos::from_secs(1);
    let recent = world.spawns.iter().rev().take_while(|at| **at + window > world.now).count();
    if recent > (world.config.burst + world.config.starts_per_second) as usize {
        return Err("I19 more starts in a second than the governor allows");
    }
    Ok(())
}

fn services(world: &World, count: &mut impl FnMut(&'static str)) -> Result<(), &'static str> {
    let engine = &world.engine;
    for (id, _) in engine.catalog().services() {
        let Some(about) = engine.service(id) else { return Err("a service that cannot be seen") };
        let pulled = engine
            .catalog()
            .dependents(id)
            .filter(|(_, edge)| {
                engine.service(edge.from).is_some_and(|from| from.wanted)
                    && match edge.kind {
                        DependencyKind::Requires | DependencyKind::Milestone | DependencyKind::Wants => true,
                        DependencyKind::RequiresAny(_) => engine.alternative(edge.from, edge.kind) == Some(id),
                        _ => false,
                    }
            })
            .count();
        count("I11");
        if pulled != usize::from(about.pulled) {
            return Err("I11 pulled miscounted");
        }
        let ready = engine.instances(id).filter(|view| view.state.is_ready()).count();
        let live = engine.instances(id).filter(|view| view.state.has_cell()).count();
        if (ready, live) != (about.ready.into(), about.live.into()) {
            return Err("I11 ready or live miscounted");
        }
        if about.goal != (about.wanted && !about.blocked) {
            return Err("I11 the goal is not what it is derived from");
        }
        if about.goal && about.ready == 0 && engine.shutdown_stage().is_none() {
            count("I15");
            if engine.root_causes(id).is_empty() {
                return Err("I15 not running, and nobody is to blame");
            }
            let lies = engine.root_causes(id).iter().any(|(blamed, root)| {
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

/// I3, at the moment of the change: told to stop for its goal, with a dependent that has a cell.
pub(super) fn stop_order(world: &World, before: &BTreeMap<InstanceId, State>) -> Result<u64, &'static str> {
    let engine = &world.engine;
    let mut checked = 0;
    for (id, state) in before.iter().filter(|(_, state)| matches!(state, State::Starting | State::Running)) {
        let Some((service, view)) = engine.instance(*id) else { continue };
        let orderly = matches!(view.state, State::Stopping(_)) && view.cause == Cause::Goal && view.since == world.now;
        if !orderly || engine.service(service).is_some_and(|about| about.goal) {
            continue;
        }
        checked += 1;
        let _ = state;
        let needed = engine.catalog().dependents(service).any(|(_, edge)| {
            // One of several alternatives may go as long as another is there.
            edge.kind == DependencyKind::Requires && engine.service(edge.from).is_some_and(|other| other.live > 0)
        });
        if needed {
            return Err("I3 stopped before a dependent");
        }
    }
    Ok(checked)
}
