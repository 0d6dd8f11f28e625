//! Applying the table: guards, effects, and everything that follows from a change of state.

use super::Reconciler;
use super::gates::Loss;
use super::runtime::Outcome;
use crate::action::{Action, Actions};
use crate::audit::{Actor, Deed};
use crate::definition::{DependencyKind, Run, Stop};
use crate::error::Retry;
use crate::history::Transition;
use crate::id::{InstanceId, ServiceId};
use crate::state::{Cause, State};
use crate::table::{Effect, Guard, Next, Trigger};
use crate::timers::TimerKind;
use types::Nanos;

/// A cell that is killed is empty within this, or the kernel has a bug worth naming.
const KILL_ALARM: Nanos = Nanos::from_secs(1);
/// Longest time a service that failed its health check has to write what it can: it may be stuck.
const ABORT_TIMEOUT: Nanos = Nanos::from_secs(5);
/// How long a soft dependency is waited for.
const WANTS_TIMEOUT: Nanos = Nanos::from_secs(10);
/// A back-off ends at most this long after a dependency became ready.
const WAKE_DELAY: Nanos = Nanos::from_millis(100);
/// Losses are counted within this span.
const BLINK_WINDOW: Nanos = Nanos::from_secs(60);
const SIGABRT: u8 = 6;
const SIGTERM: u8 = 15;

impl Reconciler {
    /// Applies the first row for the state and trigger whose guard holds; nothing if there is none.
    pub(super) fn apply(&mut self, id: InstanceId, on: Trigger, cause: Cause, actions: &mut Actions) {
        let from = self.instances[id].state;
        let table = self.table;
        let Some(row) = table.iter().find(|row| row.from == from && row.on == on && self.holds(id, row.guard, cause))
        else {
            return;
        };
        if row.next != Next::To(from) {
            self.timers.disarm(id, TimerKind::State);
        }
        for effect in row.effects {
            self.effect(id, *effect, cause, actions);
        }
        let to = match row.next {
            Next::To(to) => to,
            Next::Decide => self.decide(id),
        };
        self.enter(id, to, actions);
    }

    fn holds(&self, id: InstanceId, guard: Guard, cause: Cause) -> bool {
        match guard {
            Guard::Always => true,
            Guard::GoalUp => self.instance_goal(id),
            Guard::GoalDown => !self.instance_goal(id),
            Guard::GoalDownUnneeded => !self.instance_goal(id) && self.is_unneeded(id),
            Guard::Lost => matches!(self.loss(id), Loss::Lost(_)),
            Guard::Processless => self.run(id) == Run::Target,
            Guard::TargetBroken => self.run(id) == Run::Target && self.closed(id).any(|closed| closed.kind.is_hard()),
            Guard::Drains => self.stop_of(id).drain > Nanos::ZERO,
            Guard::Session => self.is_session(self.instances[id].service.unwrap_or_default()),
            Guard::Permanent => matches!(cause, Cause::Spawn(error) if error.retry == Retry::Never),
        }
    }

    fn effect(&mut self, id: InstanceId, effect: Effect, cause: Cause, actions: &mut Actions) {
        let stop = self.stop_of(id);
        let identity = self.identity(id);
        let service = self.instances[id].service.unwrap_or_default();
        match effect {
            Effect::ClearFailures => {
                self.instances[id].failures = 0;
                self.instances[id].stable = self.instances[id].state == State::Running;
            }
            Effect::NewGeneration => self.new_generation(id),
            Effect::Spawn => actions.push(Action::Spawn(service, identity)),
            Effect::ArmWants => {
                self.instances[id].wants_expired = false;
                self.arm(id, WANTS_TIMEOUT);
            }
            Effect::ExpireWants => {
                self.instances[id].wants_expired = true;
                self.dirty_instances.push(id.0);
            }
            Effect::ArmStart => {
                let limit = self.catalog.definition(service).map_or(Nanos::ZERO, |definition| definition.start_timeout);
                if limit > Nanos::ZERO {
                    self.arm(id, limit);
                }
                self.watch_start(id);
            }
            Effect::ArmStable => {
                let span = self.catalog.definition(service).map_or(Nanos::ZERO, |definition| definition.restart.stable);
                self.timers.arm(id, TimerKind::Stable, self.now + span);
            }
            Effect::StartHealth => self.watch_running(id),
            Effect::ArmDrain => self.arm(id, stop.drain.min(self.share(service))),
            Effect::ArmTerminate => self.arm(id, stop.timeout.min(self.share(service))),
            Effect::ArmAbort => self.arm(id, stop.timeout.min(ABORT_TIMEOUT).min(self.share(service))),
            Effect::ArmGrace => {
                let latest = self.shutdown.map_or(Nanos::MAX, |shutdown| self.end_of_grace(shutdown.started));
                self.arm(id, stop.grace.min(latest.saturating_sub(self.now)));
            }
            Effect::ArmKill => self.arm(id, KILL_ALARM),
            Effect::BlameExit => {
                let success = self.run(id) == Run::Oneshot && cause == Cause::Exited(0);
                self.blame(id, if success { Outcome::Success } else { Outcome::Crash }, cause);
            }
            Effect::BlameStart => self.blame(id, Outcome::Crash, Cause::StartTimeout),
            Effect::BlameSpawn | Effect::BlameHealth | Effect::BlameQuota => self.blame(id, Outcome::Crash, cause),
            Effect::BlameLoss => {
                if let Loss::Lost(lost) = self.loss(id) {
                    self.blame(id, Outcome::Settle, Cause::DependencyLost(lost));
                }
            }
            Effect::BlameGoal => self.blame(id, Outcome::Settle, Cause::Goal),
            Effect::BlameRestart => self.blame(id, Outcome::Settle, Cause::Restart),
            Effect::BlameShutdown => self.blame(id, Outcome::Settle, Cause::Shutdown),
            Effect::Stop => actions.push(Action::Signal(identity, stop.signal)),
            Effect::Abort => actions.push(Action::Signal(identity, SIGABRT)),
            Effect::StopAll => {
                // What hangs up a shell is not what asks the programs that were started from it to end.
                let signal = if self.is_session(service) { SIGTERM } else { stop.signal };
                actions.push(Action::SignalAll(identity, signal));
            }
            Effect::Kill => actions.push(Action::Kill(identity)),
            Effect::Alarm => actions.push(Action::Alarm(identity)),
            Effect::Shorten => {
                let soon = self.now + WAKE_DELAY;
                if self.timers.deadline(id, TimerKind::State).is_none_or(|at| at > soon) {
                    self.arm(id, WAKE_DELAY);
                }
            }
        }
    }

    fn new_generation(&mut self, id: InstanceId) {
        let now = self.now;
        let reserve = self.reserve_of(id);
        let instance = &mut self.instances[id];
        instance.generation.0 = instance.generation.0.wrapping_add(1);
        (instance.was_ready, instance.stable, instance.loss_expired) = (false, false, false);
        (instance.misses, instance.probing) = (0, false);
        instance.outcome = Outcome::Settle;
        instance.cause = Cause::None;
        instance.spawned = now;
        instance.reserved = reserve;
        self.reserved += reserve;
    }

    fn blame(&mut self, id: InstanceId, outcome: Outcome, cause: Cause) {
        let instance = &mut self.instances[id];
        instance.outcome = outcome;
        instance.cause = cause;
        instance.last_end = cause;
    }

    /// The one place where a state changes.
    pub(super) fn enter(&mut self, id: InstanceId, to: State, actions: &mut Actions) {
        let from = self.instances[id].state;
        let Some(service) = self.instances[id].service else { return };
        if from == to {
            return;
        }
        let index = self.instances[id].index;
        self.instances[id].state = to;
        self.instances[id].since = self.now;
        let identity = self.identity(id);
        if !matches!(to, State::Starting | State::Running) {
            for kind in [TimerKind::Stable, TimerKind::Loss, TimerKind::Watchdog, TimerKind::Probe] {
                self.timers.disarm(id, kind);
            }
            self.instances[id].loss_expired = false;
        }
        if from == State::Running {
            if !core::mem::take(&mut self.instances[id].paused) {
                actions.push(Action::Unpublish(service, identity));
            } else if to.has_cell() {
                actions.push(Action::Resume(identity));
            }
        }
        if to == State::Running {
            self.note_start(id);
            actions.push(Action::Publish(service, identity));
        }
        self.count_cells(id, from, to, actions);
        self.count_ready(id, from, to, actions);
        if matches!(to, State::Down | State::Failed) {
            // Soft gates open, alternatives are chosen, grace ends.
            self.touch_dependents(service);
        }
        let cause = match to {
            State::Failed | State::Backoff => self.instances[id].last_end,
            State::Waiting | State::Down | State::Done | State::Running | State::Starting => {
                self.instances[id].cause = Cause::None;
                self.instances[id].last_end
            }
            State::Stopping(_) | State::Killing => self.instances[id].cause,
        };
        actions.push(Action::Changed(service, identity, to, cause));
        self.audit.add(self.now, Actor::Supervisor, service, Deed::Transition { index, from, to, cause });
        self.history.add(id, Transition { time: self.now, from, to, cause });
        self.count_trouble(service, from, to);
        if to == State::Failed {
            self.note_failure(service, actions);
        }
        self.dirty_instances.push(id.0);
        if self.services[service].roll.is_some() {
            self.dirty_services.push(service.0);
        }
    }

    /// Critical services that failed, or are tried again.
    fn count_trouble(&mut self, service: ServiceId, from: State, to: State) {
        let bad = |state| matches!(state, State::Failed | State::Backoff);
        if bad(from) != bad(to) && self.catalog.definition(service).is_some_and(|definition| definition.critical) {
            self.troubled = if bad(to) { self.troubled + 1 } else { self.troubled.saturating_sub(1) };
        }
    }

    fn count_cells(&mut self, id: InstanceId, from: State, to: State, actions: &mut Actions) {
        let Some(service) = self.instances[id].service else { return };
        match (from.has_cell(), to.has_cell()) {
            (false, true) => {
                self.services[service].live += 1;
                self.live_cells += 1;
            }
            (true, false) => {
                self.services[service].live = self.services[service].live.saturating_sub(1);
                self.live_cells = self.live_cells.saturating_sub(1);
                let freed = core::mem::take(&mut self.instances[id].reserved);
                self.reserved = self.reserved.saturating_sub(freed);
                self.startable.absorb(&mut self.refused);
                if self.services[service].live == 0 {
                    self.touch_dependencies(service);
                }
                if let Some(shutdown) = self.shutdown.filter(|_| self.live_cells == 0) {
                    actions.push(Action::Halted(shutdown.ending));
                }
            }
            _ => {}
        }
    }

    fn count_ready(&mut self, id: InstanceId, from: State, to: State, actions: &mut Actions) {
        let Some(service) = self.instances[id].service else { return };
        let now = self.now;
        let slot = &mut self.services[service];
        match (from.is_ready(), to.is_ready()) {
            (false, true) => {
                slot.ready += 1;
                slot.milestone = true;
                if slot.ready == 1 {
                    self.touch_dependents(service);
                    self.wake_dependents(service, actions);
                }
            }
            (true, false) => {
                slot.ready = slot.ready.saturating_sub(1);
                if slot.ready == 0 {
                    if slot.goal {
                        if now.saturating_sub(slot.blink_since) > BLINK_WINDOW {
                            (slot.blinks, slot.blink_since) = (0, now);
                        }
                        slot.blinks = slot.blinks.saturating_add(1);
                    }
                    self.touch_dependents(service);
                }
            }
            _ => return,
        }
        if self.services[service].ejected > 0 {
            self.weigh_ejected(service);
        }
    }

    /// Those who failed because this was away need not sit out their back-off.
    fn wake_dependents(&mut self, service: ServiceId, actions: &mut Actions) {
        for position in self.catalog.dependent_positions(service) {
            let Some(edge) = self.catalog.dependent_at(position) else { return };
            if !(edge.kind.is_hard() || edge.kind == DependencyKind::Wants) {
                continue;
            }
            let mut at = self.services[edge.from].first;
            while let Some(instance) = at {
                at = self.instances[instance].next;
                self.apply(instance, Trigger::DependencyReady, Cause::None, actions);
            }
        }
    }

    pub(super) fn arm(&mut self, id: InstanceId, span: Nanos) {
        self.timers.arm(id, TimerKind::State, self.now + span);
    }

    pub(super) fn run(&self, id: InstanceId) -> Run {
        let service = self.instances[id].service;
        service.and_then(|service| self.catalog.definition(service)).map_or(Run::Daemon, |definition| definition.run)
    }

    pub(super) fn is_session(&self, service: ServiceId) -> bool {
        self.catalog.definition(service).is_some_and(|definition| definition.session)
    }

    fn stop_of(&self, id: InstanceId) -> Stop {
        let service = self.instances[id].service;
        service
            .and_then(|service| self.catalog.definition(service))
            .map_or_else(Stop::default, |definition| definition.stop)
    }
}
