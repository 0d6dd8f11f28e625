//! No task waits longer than the bound.

use std::collections::HashMap;

use super::harness::run_hogs;
use super::*;
use crate::starvation::{STARVATION_BOUND, starvation_bound};

/// Hogs of these policies, for three bounds; the longest that one waited.
fn longest_wait(policies: &[Policy]) -> Nanos {
    let scheduler = scheduler(1);
    let mut since: HashMap<TaskId, Nanos> =
        policies.iter().map(|policy| (spawn(&scheduler, *policy, Nanos(0)), Nanos(0))).collect();
    let end = Nanos(3 * starvation_bound(policies.len() as u32).0);
    let mut longest = Nanos(0);
    run_hogs(&scheduler, Nanos(0), end, |id, now, slice| {
        let waited = now.saturating_sub(since[&id]);
        longest = longest.max(waited);
        since.insert(id, now + slice);
    });
    let unserved = since.values().map(|since| end.saturating_sub(*since)).max().unwrap();
    longest.max(unserved)
}

#[test]
fn the_lowest_task_runs_beside_hogs_of_the_highest_class() {
    let mut policies = std::vec![Policy::new(Class::System).at(Level::TOP).flavour(Flavour::Fifo); 20];
    policies.push(Policy::new(Class::Background).at(Level::BOTTOM).nice(19));
    let waited = longest_wait(&policies);
    assert!(waited <= STARVATION_BOUND, "{waited:?}");
}

#[test]
fn nobody_waits_longer_than_the_bound_in_any_mix() {
    let mut random = Random::new("nobody_waits_longer_than_the_bound_in_any_mix");
    for n in [1, 2, 5, 30, 300, 3000, 20_000] {
        let policies: std::vec::Vec<Policy> = (0..n).map(|_| random.policy()).collect();
        let waited = longest_wait(&policies);
        assert!(waited <= starvation_bound(n), "{n}: {waited:?}");
    }
}

/// Urgent tasks that come and go all the time, so that the CPU is never free.
#[test]
fn a_storm_of_urgent_wake_ups_does_not_starve_the_rest() {
    let mut random = Random::new("a_storm_of_urgent_wake_ups_does_not_starve_the_rest");
    let scheduler = scheduler(1);
    let mut now = Nanos(0);
    let low: std::vec::Vec<TaskId> = (0..50).map(|_| spawn(&scheduler, Policy::new(Class::Background), now)).collect();
    let storm: std::vec::Vec<TaskId> =
        (0..50).map(|_| spawn(&scheduler, Policy::new(Class::System).at(Level::TOP), now)).collect();
    let mut since: HashMap<TaskId, Nanos> = low.iter().map(|id| (*id, now)).collect();
    let (mut longest, mut rescued, mut ticked) = (Nanos(0), 0, now);
    let mut switch = scheduler.schedule(CPU, now);
    while now < Nanos::from_secs(20) {
        let Decision::Run(id, slice) = switch.next else { panic!("idle") };
        if now >= ticked + crate::TICK {
            ticked = now;
            if scheduler.tick(CPU, now).resched {
                switch = scheduler.preempt(CPU, now);
                continue;
            }
        }
        if let Some(since) = since.get(&id) {
            longest = longest.max(now - *since);
            rescued += 1;
            now += slice;
            let _ = scheduler.tick(CPU, now);
            switch = scheduler.preempt(CPU, now);
        } else {
            // It blocks long before its slice ends, and wakes two of its like.
            now += Nanos(random.below(100_000).min(slice.0) + 1);
            for _ in 0..2 {
                let _ = scheduler.unblock(storm[random.below(50) as usize], now);
            }
            switch = scheduler.block(CPU, now);
        }
        if let Some(since) = since.get_mut(&id) {
            *since = now;
        }
    }
    assert!(rescued > 50 && longest <= STARVATION_BOUND, "{rescued} {longest:?}");
    assert!(scheduler.scheduler.cpu_stats(CPU).unwrap().rescues > 0);
}
