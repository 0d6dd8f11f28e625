//! Signs of life: readiness and liveness probes, and a watchdog that counts only the time a service could run.

use super::Reconciler;
use crate::action::{Action, Actions};
use crate::definition::{Probe, Readiness};
use crate::error::Health;
use crate::id::InstanceId;
use crate::state::{Cause, ProbeResult, State};
use crate::table::Trigger;
use crate::timers::TimerKind;
use types::Nanos;

/// Shortest pause before a watchdog asks again.
const WATCHDOG_PAUSE: Nanos = Nanos::from_millis(10);
/// A service may ask for more time to start, up to this many times its limit in all.
const EXTENSIONS: u64 = 10;

impl Reconciler {
    /// A readiness probe begins with the start, and is repeated as soon as the last one had its time.
    pub(super) fn watch_start(&mut self, id: InstanceId) {
        if self.readiness(id) == Some(Readiness::Probe) && self.probe(id).is_some() {
            self.timers.arm(id, TimerKind::Probe, self.now);
        }
    }

    pub(super) fn watch_running(&mut self, id: InstanceId) {
        self.instances[id].was_ready = true;
        (self.instances[id].misses, self.instances[id].probing) = (0, false);
        if let Some(span) = self.watchdog(id) {
            self.timers.arm(id, TimerKind::Watchdog, self.now + span);
        }
        match self.probe(id) {
            Some(probe) => self.timers.arm(id, TimerKind::Probe, self.now + probe.period),
            None => self.timers.disarm(id, TimerKind::Probe),
        }
    }

    pub(super) fn extend_start(&mut self, id: InstanceId, by: Nanos) {
        let Some(service) = self.instances[id].service else { return };
        let limit = self.catalog.definition(service).map_or(Nanos::ZERO, |definition| definition.start_timeout);
        if self.instances[id].state != State::Starting || limit == Nanos::ZERO {
            return;
        }
        let latest = self.instances[id].spawned + Nanos(limit.0.saturating_mul(EXTENSIONS));
        self.timers.arm(id, TimerKind::State, (self.now + by).min(latest));
    }

    pub(super) fn alive(&mut self, id: InstanceId) {
        if self.instances[id].state == State::Running
            && !self.instances[id].paused
            && let Some(span) = self.watchdog(id)
        {
            self.timers.arm(id, TimerKind::Watchdog, self.now + span);
        }
    }

    pub(super) fn runnable(&mut self, id: InstanceId, since: Nanos, actions: &mut Actions) {
        let watched = self.instances[id].state == State::Running && !self.instances[id].paused;
        let Some(span) = self.watchdog(id).filter(|_| watched) else { return };
        if since >= span {
            self.apply(id, Trigger::Unhealthy, Cause::Health(Health::Watchdog), actions);
        } else {
            self.timers.arm(id, TimerKind::Watchdog, self.now + (span - since).max(WATCHDOG_PAUSE));
        }
    }

    pub(super) fn probe_due(&mut self, id: InstanceId, actions: &mut Actions) {
        let Some(probe) = self.probe(id) else { return };
        if self.instances[id].probing {
            self.probed(id, ProbeResult::Fail, actions);
        } else {
            self.instances[id].probing = true;
            actions.push(Action::Probe(self.identity(id)));
            self.timers.arm(id, TimerKind::Probe, self.now + probe.timeout);
        }
    }

    pub(super) fn probed(&mut self, id: InstanceId, result: ProbeResult, actions: &mut Actions) {
        let Some(probe) = self.probe(id).filter(|_| self.instances[id].probing) else { return };
        let state = self.instances[id].state;
        if !matches!(state, State::Starting | State::Running) {
            return;
        }
        self.instances[id].probing = false;
        let pause = if state == State::Running { probe.period } else { probe.timeout };
        self.timers.arm(id, TimerKind::Probe, self.now + pause);
        match result {
            ProbeResult::Pass => {
                self.instances[id].misses = 0;
                if self.readiness(id) == Some(Readiness::Probe) {
                    self.apply(id, Trigger::Ready, Cause::None, actions);
                }
            }
            ProbeResult::Fail if state == State::Running => {
                self.instances[id].misses = self.instances[id].misses.saturating_add(1);
                if self.instances[id].misses >= probe.failures {
                    self.apply(id, Trigger::Unhealthy, Cause::Health(Health::Probe), actions);
                }
            }
            ProbeResult::Fail => {}
        }
    }

    pub(super) fn watchdog(&self, id: InstanceId) -> Option<Nanos> {
        self.catalog.definition(self.instances[id].service?)?.health.watchdog
    }

    fn probe(&self, id: InstanceId) -> Option<Probe> {
        self.catalog.definition(self.instances[id].service?)?.health.live
    }

    fn readiness(&self, id: InstanceId) -> Option<Readiness> {
        Some(self.catalog.definition(self.instances[id].service?)?.ready)
    }
}
