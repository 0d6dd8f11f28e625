//! What follows when a cell is empty: the one restart limiter.

use super::Reconciler;
use super::runtime::Outcome;
use crate::definition::{Restart, RestartPolicy};
use crate::id::InstanceId;
use crate::state::{Cause, State};
use types::Nanos;

/// How long the `failures`-th failure in a row is waited out: nothing after the first crash of what had been ready, then
/// doubling from `base` to `maximum`. `jitter` in 0..=200 takes it to 90 % to 110 %, so that what failed together does not
/// come back together.
pub fn delay(restart: &Restart, failures: u8, was_ready: bool, jitter: u64) -> Nanos {
    if failures <= 1 && was_ready {
        return Nanos::ZERO;
    }
    let doublings = u32::from(failures.saturating_sub(1)).min(40);
    let plain = restart.base.0.saturating_mul(1 << doublings).min(restart.maximum.0);
    Nanos(plain / 1000 * (900 + jitter.min(200)))
}

impl Reconciler {
    pub(super) fn decide(&mut self, id: InstanceId) -> State {
        let Some(service) = self.instances[id].service else { return State::Down };
        if !self.instance_goal(id) {
            return State::Down;
        }
        let cause = self.instances[id].last_end;
        match self.instances[id].outcome {
            Outcome::Success => State::Done,
            Outcome::Settle => self.wait(id),
            Outcome::Crash => {
                let Some(restart) = self.catalog.definition(service).map(|definition| definition.restart) else {
                    return State::Failed;
                };
                if !is_restarted(&restart, cause) {
                    return State::Failed;
                }
                let failures = self.instances[id].failures.saturating_add(1);
                if restart.max_failures > 0 && failures > restart.max_failures {
                    self.instances[id].failures = failures;
                    return State::Failed;
                }
                let was_ready = self.instances[id].was_ready;
                let jitter = self.draw() % 201;
                self.instances[id].failures = failures;
                self.arm(id, delay(&restart, failures, was_ready, jitter));
                State::Backoff
            }
        }
    }

    fn wait(&mut self, id: InstanceId) -> State {
        self.instances[id].wants_expired = false;
        self.arm(id, Nanos::from_secs(10));
        State::Waiting
    }

    /// Smooths the time from spawn to ready, an eighth of the newest at a time: the weight of the critical path.
    pub(super) fn note_start(&mut self, id: InstanceId) {
        let took = self.now.saturating_sub(self.instances[id].spawned).0;
        let known = self.instances[id].start_time.0;
        self.instances[id].start_time = Nanos(if known == 0 { took } else { known - known / 8 + took / 8 });
    }
}

fn is_restarted(restart: &Restart, cause: Cause) -> bool {
    if let Cause::Exited(status) = cause
        && restart.permanent.contains(&Some(status))
    {
        return false;
    }
    match restart.policy {
        RestartPolicy::Never => false,
        RestartPolicy::OnFailure => cause != Cause::Exited(0),
        RestartPolicy::OnAbnormal => cause.is_abnormal(),
        RestartPolicy::Always => true,
    }
}
