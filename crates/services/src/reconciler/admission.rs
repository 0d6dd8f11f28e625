//! Who may start now: promised memory must be free, and starts are spread in time.

use super::Reconciler;
use crate::action::Actions;
use crate::definition::Run;
use crate::id::{InstanceId, ServiceId};
use crate::state::{Cause, State};
use crate::table::Trigger;
use types::Nanos;

const SECOND: u64 = 1_000_000_000;

/// A token bucket over all starts.
#[derive(Clone, Debug)]
pub(super) struct Governor {
    /// Tokens, in thousand-millionths.
    level: u64,
    most: u64,
    rate: u64,
    filled: Nanos,
}

impl Governor {
    pub(super) fn new(burst: u32, per_second: u32) -> Self {
        let most = u64::from(burst.max(1)) * SECOND;
        Self { level: most, most, rate: u64::from(per_second.max(1)), filled: Nanos::ZERO }
    }

    pub(super) fn refill(&mut self, now: Nanos) {
        let gain = now.saturating_sub(self.filled).0.saturating_mul(self.rate);
        self.level = self.level.saturating_add(gain).min(self.most);
        self.filled = self.filled.max(now);
    }

    fn take(&mut self) -> bool {
        let enough = self.level >= SECOND;
        if enough {
            self.level -= SECOND;
        }
        enough
    }

    /// When there is a token.
    pub(super) fn next(&self, now: Nanos) -> Nanos {
        now + Nanos(SECOND.saturating_sub(self.level).div_ceil(self.rate))
    }
}

impl Reconciler {
    /// Starts what may start, in start order; whether anything changed.
    pub(super) fn dispatch(&mut self, actions: &mut Actions) -> bool {
        let mut place = 0;
        while let Some(rank) = self.startable.next(place) {
            place = rank;
            let Some(service) = self.catalog.ranked(usize::from(rank)) else {
                self.startable.unset(rank);
                continue;
            };
            let ready = self.instances_of(service).find(|&id| {
                self.instances[id].state == State::Waiting && self.instance_goal(id) && self.closed(id).next().is_none()
            });
            let Some(id) = ready else {
                self.startable.unset(rank);
                continue;
            };
            if self.run(id) != Run::Target {
                let (need, have) = (self.reserve_of(id), self.config.bounds.memory.saturating_sub(self.reserved));
                if need > have {
                    self.refuse(service, Cause::NoReserve { need, have });
                    self.startable.unset(rank);
                    self.refused.set(rank);
                    continue;
                }
                if !self.governor.take() {
                    self.refuse(service, Cause::Governor);
                    return false;
                }
            }
            self.apply(id, Trigger::Dispatch, Cause::None, actions);
            return true;
        }
        false
    }

    /// What holds one instance holds its siblings that wait as well.
    fn refuse(&mut self, service: ServiceId, cause: Cause) {
        let mut at = self.services[service].first;
        while let Some(id) = at {
            at = self.instances[id].next;
            if self.instances[id].state == State::Waiting {
                self.instances[id].cause = cause;
            }
        }
    }

    pub(super) fn reserve_of(&self, id: InstanceId) -> u64 {
        let service = self.instances[id].service;
        service
            .and_then(|service| self.catalog.definition(service))
            .map_or(0, |definition| definition.limits.memory_reserve)
    }
}
