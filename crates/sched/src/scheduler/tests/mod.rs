//! Tests of the whole: a model, random steps on many CPUs, bounds and shares as properties, cost in steps.

mod basics;
mod cost;
mod harness;
mod model;
mod shares;
mod smp;
mod starvation;

use types::{CpuId, CpuSet, Nanos};

use super::*;
use crate::class::Class;
use crate::priority::Level;

const CPU: CpuId = CpuId(0);

use alloc::sync::Arc;

use harness::{Bench, Decision, Switch, TaskId};

use crate::Placement;
use crate::priority::{Key, Policy};

/// A scheduler with `cpus` CPUs in service.
fn scheduler(cpus: u32) -> Box<Bench> {
    Bench::new(None, cpus)
}

/// A task that waits for CPU 0.
fn spawn(bench: &Bench, policy: Policy, now: Nanos) -> TaskId {
    let id = bench.add_task(policy, CpuSet::single(CPU));
    assert!(matches!(bench.unblock(id, now), Wake::Placed(_)));
    id
}

/// The task of a switch.
fn task(switch: Switch) -> TaskId {
    match switch.next {
        Decision::Run(id, _) => id,
        Decision::Idle => panic!("idle"),
    }
}

/// xorshift64*: numbers from a printed seed.
struct Random(u64);

impl Random {
    /// Seeded from `SCHED_SEED`, or else from the clock; the seed is printed and shown when the test fails.
    fn new(name: &str) -> Self {
        let given = std::env::var("SCHED_SEED").ok().and_then(|seed| seed.parse().ok());
        let clock = || std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
        let seed: u64 = given.unwrap_or_else(clock) | 1;
        std::println!("{name}: SCHED_SEED={seed}");
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn policy(&mut self) -> Policy {
        let class = Class::ALL[self.below(5) as usize];
        let flavour = [Flavour::Adaptive, Flavour::Batch, Flavour::Fixed, Flavour::Fifo][self.below(4) as usize];
        Policy::new(class).at(Level::new(self.below(6) as u8)).nice(self.below(40) as i8 - 20).flavour(flavour)
    }
}

use crate::Flavour;
