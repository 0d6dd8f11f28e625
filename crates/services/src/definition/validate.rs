//! Checks of one definition alone; every mistake is reported, not just the first.

use alloc::vec::Vec;

use super::{Definition, Isolation, Kind, OnFailure, Probe, ProbeTarget, Readiness, Run, SocketKind};
use crate::error::Field;
use types::Nanos;

/// Dependencies one service may have.
pub const MAX_DEPENDENCIES: usize = 64;
/// Instances of one service; as many as the supervisor's table has by default.
pub const MAX_COUNT: u16 = 1024;
/// Sockets one service may own; with the three standard ones they fit in the smallest table of open files.
pub const MAX_LISTEN: usize = 16;
const HOUR: Nanos = Nanos::from_secs(3600);
/// The whole shutdown takes 35 s; a longer time could never be honoured there but may make sense for a single stop.
const STOP_MAX: Nanos = Nanos::from_secs(600);

impl Definition {
    /// The fields that make no sense, each once; empty if all is well.
    pub fn mistakes(&self) -> Vec<Field> {
        let mut wrong = Vec::new();
        let mut check = |good: bool, field: Field| {
            if !good && !wrong.contains(&field) {
                wrong.push(field);
            }
        };
        let within = |value: Nanos, low: Nanos, high: Nanos| low <= value && value <= high;
        check((self.run == Run::Target) == (self.kind == Kind::Target), Field::Kind);
        check((self.run == Run::Target) == self.exec.is_empty(), Field::Exec);
        check(self.exec.first().is_none_or(|program| program.starts_with('/')), Field::Exec);
        check(self.exec.iter().all(|argument| !argument.contains('\0')), Field::Exec);
        check(
            self.env.iter().all(|(key, value)| !key.is_empty() && !key.contains(['=', '\0']) && !value.contains('\0')),
            Field::Env,
        );
        check(self.dependencies.len() <= MAX_DEPENDENCIES, Field::Dependencies);
        check(self.dependencies.iter().all(|d| d.on != self.name), Field::Dependencies);
        check(
            self.start_timeout == Nanos::ZERO || within(self.start_timeout, Nanos::from_millis(10), HOUR),
            Field::StartTimeout,
        );
        check(self.loss_grace <= Nanos::from_secs(60), Field::LossGrace);
        check(within(self.restart.base, Nanos::from_millis(10), HOUR), Field::RestartBase);
        check(within(self.restart.maximum, self.restart.base, HOUR), Field::RestartMaximum);
        check(within(self.restart.stable, Nanos::from_secs(1), HOUR), Field::RestartStable);
        check(self.stop.timeout <= STOP_MAX, Field::StopTimeout);
        check(self.stop.grace <= STOP_MAX, Field::StopGrace);
        check(self.stop.drain <= STOP_MAX, Field::StopDrain);
        check((1..=64).contains(&self.stop.signal), Field::StopSignal);
        check(self.health.watchdog.is_none_or(|span| within(span, Nanos::from_millis(100), HOUR)), Field::Watchdog);
        check(self.health.live.is_none_or(sound), Field::Probe);
        check(self.ready != Readiness::Probe || self.health.live.is_some(), Field::Probe);
        // A probe that has no time to be answered could never make it ready.
        let probed = self.ready == Readiness::Probe && self.start_timeout > Nanos::ZERO;
        check(!probed || self.health.live.is_none_or(|probe| probe.timeout < self.start_timeout), Field::StartTimeout);
        check(self.health.live.is_none() || self.can_probe(), Field::Probe);
        check(self.limits.memory != Some(0), Field::Memory);
        check(self.limits.memory.is_none_or(|most| self.limits.memory_reserve <= most), Field::MemoryReserve);
        check(self.limits.cpu != Some(0), Field::Cpu);
        check(self.limits.tasks != Some(0), Field::Tasks);
        // Standard input, output and error.
        check(self.limits.files.is_none_or(|most| most >= 3), Field::Files);
        check((1..=MAX_COUNT).contains(&self.scaling.count), Field::Instances);
        check(self.run == Run::Daemon || self.scaling.count == 1, Field::Instances);
        check(self.listen.len() <= MAX_LISTEN && self.listen.iter().all(|listen| listen.at.is_sound()), Field::Listen);
        check(self.listen.is_empty() || self.run == Run::Daemon, Field::Listen);
        check(self.listen.iter().all(|listen| listen.backlog > 0 && listen.mode <= 0o777), Field::Listen);
        check(distinct(self.listen.iter().map(|listen| &listen.name)), Field::Listen);
        check((self.restart.on_failure == OnFailure::Isolate) == self.isolate.is_some(), Field::Isolate);
        check(self.isolate.as_ref() != Some(&self.name), Field::Isolate);
        check(self.install.as_ref() != Some(&self.name), Field::Install);
        check(distinct(self.security.exports.iter().map(|export| &export.name)), Field::Exports);
        check(distinct(self.security.uses.iter()), Field::Uses);
        check(self.security.isolation < Isolation::Container || self.security.no_new_privileges, Field::Isolation);
        wrong
    }

    /// Whether its probe has something to ask.
    fn can_probe(&self) -> bool {
        match &self.probe {
            // Datagrams have no connection that could be refused.
            ProbeTarget::Own => self
                .listen
                .first()
                .is_some_and(|listen| !matches!(listen.at.kind, SocketKind::Datagram | SocketKind::Udp)),
            ProbeTarget::Connect(endpoint) => endpoint.is_sound(),
            ProbeTarget::Execute(command) => command.first().is_some_and(|program| program.starts_with('/')),
        }
    }
}

/// A limiter that can never fire, or a probe that overlaps itself, is a mistake and not a setting.
fn sound(probe: Probe) -> bool {
    probe.failures > 0 && probe.timeout > Nanos::ZERO && probe.timeout < probe.period && probe.period <= HOUR
}

fn distinct<'a>(names: impl Iterator<Item = &'a super::Name>) -> bool {
    let mut all: Vec<_> = names.collect();
    all.sort_unstable();
    all.windows(2).all(|pair| pair.first() != pair.last())
}
