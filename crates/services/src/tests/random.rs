//! A small generator with a printed seed, and random sets of definitions.

use std::format;
use std::vec::Vec;

use crate::{
    Definition, DependencyKind, Name, OnFailure, OnLoss, Probe, ProbeTarget, Readiness, RestartPolicy, Version,
    VersionReq,
};
use types::Nanos;

#[derive(Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    pub(super) fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    pub(super) fn millis(&mut self, most: u64) -> Nanos {
        Nanos(self.below(most * 1_000_000))
    }
}

pub(super) fn name(at: u64) -> Name {
    Name::new(&format!("s{at}")).unwrap()
}

fn shared_name(at: u64) -> Name {
    Name::new(&format!("pair{}", at / 2)).unwrap()
}

/// A set without cycles: a service depends only on those with smaller numbers, and only the last may be a target in which
/// the others are installed.
pub(super) fn set(random: &mut Random, n: u64) -> Vec<Definition> {
    let mut set: Vec<Definition> = (0..n).map(|at| definition(random, at)).collect();
    if random.percent(20)
        && let Some(last) = set.last_mut()
    {
        *last = Definition { enabled: random.percent(80), ..Definition::target(last.name.clone()) };
        let target = last.name.clone();
        for made in set.iter_mut().rev().skip(1) {
            made.install = Some(target.clone()).filter(|_| random.percent(40));
        }
    }
    set
}

pub(super) fn definition(random: &mut Random, at: u64) -> Definition {
    let mut made = match random.below(10) {
        0 => Definition::target(name(at)),
        1 => Definition::oneshot(name(at), "/bin/once"),
        _ => Definition::daemon(name(at), "/bin/daemon"),
    };
    let daemon = made.run == crate::Run::Daemon;
    made.enabled = random.percent(50);
    made.critical = random.percent(10);
    made.keep_in_emergency = random.percent(10);
    made.session = random.percent(10);
    made.preempt = random.percent(30);
    if at > 0 {
        for _ in 0..random.below(4) {
            let kind = match random.below(12) {
                0..6 => DependencyKind::Requires,
                6 | 7 => DependencyKind::RequiresAny(0),
                8 => DependencyKind::Milestone,
                9 => DependencyKind::Wants,
                10 => DependencyKind::After,
                _ if random.percent(20) => DependencyKind::Conflicts,
                _ => DependencyKind::Requires,
            };
            let below = random.below(at);
            // Two services each have a name in common, with versions of their own.
            let shared = below / 2 * 2 + 1 < at && random.percent(10);
            let on = if shared { shared_name(below) } else { name(below) };
            if !made.dependencies.iter().any(|known| known.on == on) {
                let mut dependency = crate::Dependency::new(kind, on);
                if random.percent(5) {
                    dependency.version = VersionReq::parse(">=1").unwrap();
                }
                made.dependencies.push(dependency);
            }
        }
    }
    made.version = Version::new(random.below(4), random.below(3), 0);
    made.provides.push(shared_name(at));
    made.on_loss = [OnLoss::Stop, OnLoss::Stop, OnLoss::Stop, OnLoss::Restart, OnLoss::Keep][random.below(5) as usize];
    made.loss_grace = Nanos::from_millis([0, 1000, 1000, 5000][random.below(4) as usize]);
    made.start_timeout = Nanos::from_millis([1000, 5000, 30_000][random.below(3) as usize]);
    made.restart.max_failures = [0, 3, 10][random.below(3) as usize];
    made.restart.policy = [
        RestartPolicy::OnFailure,
        RestartPolicy::Always,
        RestartPolicy::Always,
        RestartPolicy::OnAbnormal,
        RestartPolicy::Never,
    ][random.below(5) as usize];
    made.restart.on_failure = match random.below(40) {
        0 => OnFailure::Emergency,
        1 => OnFailure::Isolate,
        2 if random.percent(10) => OnFailure::Reboot,
        3 if random.percent(10) => OnFailure::PowerOff,
        _ => OnFailure::None,
    };
    if made.restart.on_failure == OnFailure::Isolate {
        if at > 0 {
            made.isolate = Some(name(random.below(at)));
        } else {
            made.restart.on_failure = OnFailure::None;
        }
    }
    made.stop.timeout = Nanos::from_millis([100, 2000, 30_000][random.below(3) as usize]);
    made.stop.drain = Nanos::from_millis([0, 0, 500, 5000][random.below(4) as usize]);
    made.limits.memory_reserve = [0, 0, 10, 100][random.below(4) as usize];
    if daemon {
        made.scaling.count = [1, 1, 1, 2, 4][random.below(5) as usize];
        made.ready = Readiness::Notify;
        if random.percent(20) {
            made.health.watchdog = Some(Nanos::from_secs(2));
        }
        if random.percent(20) {
            made.probe = ProbeTarget::Execute(std::vec![std::string::String::from("/bin/probe")]);
            made.health.live = Some(Probe { period: Nanos::from_secs(2), ..Probe::default() });
            if random.percent(30) {
                made.ready = Readiness::Probe;
                made.start_timeout = made.start_timeout.max(Nanos::from_secs(5));
            }
        }
    }
    made
}
