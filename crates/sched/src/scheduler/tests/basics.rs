//! Single steps.

use super::*;
use crate::entity::Schedulable;
use crate::{Class, Phase};

fn switch(id: TaskId) -> Decision {
    Decision::Run(id, crate::TICK)
}

#[test]
fn blocked_child_is_not_picked() {
    let bench = scheduler(1);
    assert_eq!(bench.schedule(CPU, Nanos(0)).next, Decision::Idle);
    let id = spawn(&bench, Policy::new(Class::User), Nanos(1));
    assert_eq!(bench.unblock(id, Nanos(1)), Wake::Pending);
    assert_eq!(bench.schedule(CPU, Nanos(2)).next, switch(id));
    assert_eq!(bench.block(CPU, Nanos(3)).next, Decision::Idle);
    assert_eq!(bench.phase(id), Phase::Blocked);
    assert_eq!(bench.schedule(CPU, Nanos(4)).next, Decision::Idle);
}

#[test]
fn class_goes_before_level_and_level_before_arrival() {
    let bench = scheduler(1);
    let policies = [
        Policy::new(Class::Background).at(Level::TOP),
        Policy::new(Class::User),
        Policy::new(Class::User),
        Policy::new(Class::User).at(Level::TOP),
        Policy::new(Class::System).at(Level::BOTTOM).rank(1),
        Policy::new(Class::Service),
        Policy::new(Class::Interactive).at(Level::BOTTOM),
        Policy::new(Class::System).at(Level::BOTTOM),
    ];
    let ids = policies.map(|policy| spawn(&bench, policy, Nanos(0)));
    let mut order = std::vec![task(bench.schedule(CPU, Nanos(0)))];
    order.extend((1..8).map(|n| task(bench.block(CPU, Nanos(n)))));
    assert_eq!(order, [7, 4, 6, 3, 1, 2, 5, 0].map(|n: usize| ids[n]));
}

#[test]
fn wake_up_during_a_run_is_not_lost() {
    let bench = scheduler(1);
    let id = spawn(&bench, Policy::new(Class::User), Nanos(0));
    assert_eq!(task(bench.schedule(CPU, Nanos(0))), id);
    assert_eq!(bench.unblock(id, Nanos(1)), Wake::Running(CPU));
    assert_eq!(task(bench.block(CPU, Nanos(2))), id);
    assert_eq!(bench.block(CPU, Nanos(3)).next, Decision::Idle);
}

#[test]
fn a_wake_up_after_the_end_reaches_nobody() {
    let bench = scheduler(1);
    let id = spawn(&bench, Policy::new(Class::User), Nanos(0));
    let _ = bench.schedule(CPU, Nanos(0));
    assert_eq!(bench.end_task(CPU, Nanos(1)).next, Decision::Idle);
    assert_eq!(bench.unblock(id, Nanos(3)), Wake::Ended);
    assert_eq!(bench.scheduler.set_priority(&bench.unit(id), Policy::new(Class::System), CPU), None);
    assert_eq!((bench.phase(id), Arc::strong_count(&bench.unit(id))), (Phase::Ended, 2));
    assert_eq!(bench.scheduler.runnable(), 0);
}

#[test]
fn urgent_wake_up_preempts_once_and_equal_one_does_not() {
    let bench = scheduler(1);
    spawn(&bench, Policy::new(Class::User), Nanos(0));
    let _ = bench.schedule(CPU, Nanos(0));
    let wake = |policy| {
        let id = bench.add_task(policy, CpuSet::single(CPU));
        match bench.unblock(id, Nanos(1)) {
            Wake::Placed(placement) => placement.preempt,
            other => panic!("{other:?}"),
        }
    };
    assert!(!wake(Policy::new(Class::User)));
    assert!(!wake(Policy::new(Class::Background).at(Level::TOP)));
    assert!(!bench.scheduler.wants_switch(CPU));
    assert!(wake(Policy::new(Class::User).at(Level::new(1))));
    assert!(!wake(Policy::new(Class::Interactive)), "that CPU is on its way already");
    assert!(bench.scheduler.wants_switch(CPU) && bench.tick(CPU, Nanos(2)).resched);
    assert_eq!(task(bench.schedule(CPU, Nanos(3))), 4);
    assert!(!bench.scheduler.wants_switch(CPU));
}

#[test]
fn yielding_lets_all_of_the_level_run_first() {
    let bench = scheduler(1);
    let ids = [0; 3].map(|_| spawn(&bench, Policy::new(Class::User).flavour(Flavour::Fixed), Nanos(0)));
    let mut now = Nanos(0);
    let mut order = std::vec![task(bench.schedule(CPU, now))];
    for _ in 0..8 {
        now += Nanos(1000);
        order.push(task(bench.yield_task(CPU, now)));
    }
    assert_eq!(order, [0, 1, 2, 0, 1, 2, 0, 1, 2].map(|n: usize| ids[n]));
    // However far apart their virtual times are by now: one has run for long.
    now += Nanos::from_millis(30);
    let order: std::vec::Vec<TaskId> = (0..30)
        .map(|_| {
            now += Nanos(400_000);
            task(bench.yield_task(CPU, now))
        })
        .collect();
    assert!(ids.iter().all(|id| order.iter().filter(|other| *other == id).count() >= 7), "{order:?}");
}

#[test]
fn fifo_keeps_the_cpu_and_round_robin_shares_it() {
    for (flavour, shared) in [(Flavour::Fifo, false), (Flavour::Fixed, true)] {
        let bench = scheduler(1);
        let [first, second] = [0; 2].map(|_| spawn(&bench, Policy::new(Class::System).flavour(flavour), Nanos(0)));
        assert_eq!(task(bench.schedule(CPU, Nanos(0))), first);
        let next = task(bench.schedule(CPU, Nanos::from_millis(12)));
        assert_eq!(next, if shared { second } else { first });
    }
}

#[test]
fn slices_end_by_class() {
    for (class, end) in [(Class::Interactive, 4), (Class::User, 4), (Class::Service, 8), (Class::Background, 16)] {
        let bench = scheduler(1);
        let [first, _] = [0; 2].map(|_| spawn(&bench, Policy::new(class).flavour(Flavour::Fixed), Nanos(0)));
        assert_eq!(task(bench.schedule(CPU, Nanos(0))), first);
        let over = (1..10).map(|n| n * 4).find(|ms| bench.tick(CPU, Nanos::from_millis(*ms)).resched);
        assert_eq!(over, Some(end), "{class:?}");
    }
}

#[test]
fn what_a_hog_makes_begins_as_a_hog() {
    let usual = Policy::new(Class::User);
    for cpus in [1, 2] {
        let bench = scheduler(cpus);
        let hog = spawn(&bench, usual, Nanos(0));
        let _ = bench.schedule(CPU, Nanos(0));
        let make = |policy: Policy, now| {
            let made = bench.add_task(policy, CpuSet(u64::MAX));
            let _ = bench.unblock(made, now);
            (bench.effective_key(made) != policy.key()).then(|| bench.effective_key(made))
        };
        let now = Nanos::from_millis(40);
        let _ = bench.preempt(CPU, now);
        assert_eq!(bench.current(CPU), Some(hog), "alone");
        let fallen = bench.effective_key(hog);
        assert!(fallen > usual.key());
        assert_eq!(make(usual, now), Some(fallen));
        assert_eq!(make(usual.flavour(Flavour::Fixed), now), None, "it never falls");
        let service = Policy::new(Class::Service);
        assert!(make(service, now).is_none_or(|key| key > service.key() && key.class() == Class::Service));
        let _ = bench.block(CPU, now);
        assert_ne!(bench.current(CPU), Some(hog));
        assert_eq!(make(usual.flavour(Flavour::Fixed), now), None);
    }
}

#[test]
fn hogs_fall_and_sleepers_rise() {
    let bench = scheduler(1);
    let hog = spawn(&bench, Policy::new(Class::Interactive), Nanos(0));
    let _ = bench.schedule(CPU, Nanos(0));
    let _ = bench.preempt(CPU, Nanos::from_millis(40));
    assert_eq!(bench.effective_key(hog).level(), Level::new(4));
    let _ = bench.block(CPU, Nanos::from_millis(40));
    let _ = bench.unblock(hog, Nanos::from_millis(140));
    assert_eq!(bench.effective_key(hog).level(), Level::TOP);
}

#[test]
fn priority_of_a_waiting_task_counts_at_once() {
    let bench = scheduler(1);
    let [runs, waits] = [0; 2].map(|_| spawn(&bench, Policy::new(Class::User), Nanos(0)));
    assert_eq!(task(bench.schedule(CPU, Nanos(0))), runs);
    let set = |policy| bench.scheduler.set_priority(&bench.unit(waits), policy, CPU);
    assert_eq!(set(Policy::new(Class::Interactive)), Some(Placement { cpu: CPU, preempt: true }));
    assert_eq!(task(bench.schedule(CPU, Nanos(2))), waits);
    let kick = set(Policy::new(Class::Background));
    assert_eq!(kick, Some(Placement { cpu: CPU, preempt: true }), "the current one is lowered below one that waits");
    assert_eq!(task(bench.schedule(CPU, Nanos(4))), runs);
    let _ = bench.block(CPU, Nanos(5));
    let _ = bench.block(CPU, Nanos(5));
    assert_eq!(set(Policy::new(Class::System)), None);
    let _ = bench.unblock(waits, Nanos(6));
    assert_eq!(bench.effective_key(waits).class(), Class::System, "changed while it slept");
}

#[test]
fn a_lent_key_counts_while_it_is_the_better_one() {
    let bench = scheduler(1);
    let [holder, other] = [Class::Background, Class::User].map(|class| spawn(&bench, Policy::new(class), Nanos(0)));
    assert_eq!(task(bench.schedule(CPU, Nanos(0))), other);
    let lend = |key| bench.scheduler.lend(&bench.unit(holder), key, CPU);
    let key = Key::new(Class::System, Level::DEFAULT);
    assert_eq!(lend(Some(key)), Some(Placement { cpu: CPU, preempt: true }));
    assert_eq!((task(bench.schedule(CPU, Nanos(1))), bench.effective_key(holder)), (holder, key));
    // A change of its own policy leaves the loan.
    let _ = bench.scheduler.set_priority(&bench.unit(holder), Policy::new(Class::Service), CPU);
    assert_eq!(bench.effective_key(holder), key);
    assert_eq!(lend(None), Some(Placement { cpu: CPU, preempt: true }));
    assert_eq!(bench.effective_key(holder), Key::new(Class::Service, Level::DEFAULT));
    assert_eq!(lend(Some(Key::new(Class::Background, Level::TOP))), None);
    assert_eq!(bench.effective_key(holder), Key::new(Class::Service, Level::DEFAULT), "its own is better");
    assert_eq!(task(bench.schedule(CPU, Nanos(2))), other);
}

#[test]
fn affinity_moves_waiting_and_running_tasks() {
    let bench = scheduler(2);
    let [runs, waits] = [0; 2].map(|_| spawn(&bench, Policy::new(Class::User), Nanos(0)));
    assert_eq!(task(bench.schedule(CPU, Nanos(0))), runs);
    assert_eq!(bench.schedule(CpuId(1), Nanos(0)).next, Decision::Idle, "pinned tasks are not stolen");
    assert!(bench.scheduler.enter_idle(CpuId(1)), "and keep no CPU awake that must not run them");
    let set = |id, cpus| bench.scheduler.set_affinity(&bench.unit(id), cpus, CPU);
    let other = CpuSet::single(CpuId(1));
    assert_eq!(set(waits, other), Ok(Some(Placement { cpu: CpuId(1), preempt: true })));
    assert_eq!(task(bench.schedule(CpuId(1), Nanos(1))), waits);
    assert_eq!(set(runs, other), Ok(Some(Placement { cpu: CPU, preempt: true })));
    let switch = bench.schedule(CPU, Nanos(3));
    assert_eq!(switch.next, Decision::Idle);
    assert_eq!(switch.moved, Some(Placement { cpu: CpuId(1), preempt: false }));
    assert_eq!((bench.phase(runs), bench.scheduler.waiting(CpuId(1))), (Phase::Queued, 1));
    assert_eq!(set(runs, CpuSet::single(CpuId(9))), Err(SchedError::NoAllowedCpu));
}

#[test]
fn a_sleeping_cpu_is_roused_once_and_takes_what_waits() {
    let bench = scheduler(2);
    assert!(bench.scheduler.enter_idle(CpuId(1)));
    let first = bench.add_task(Policy::new(Class::User), CpuSet(u64::MAX));
    // CPU 0 runs nothing and is about to look: nobody need be roused for one task.
    assert_eq!(bench.unblock(first, Nanos(0)), Wake::Placed(Placement { cpu: CPU, preempt: false }));
    assert_eq!(task(bench.schedule(CPU, Nanos(0))), first);
    let [second, third] = [0; 2].map(|_| bench.add_task(Policy::new(Class::User), CpuSet(u64::MAX)));
    assert_eq!(bench.unblock(second, Nanos(1)), Wake::Placed(Placement { cpu: CpuId(1), preempt: true }));
    assert_eq!(bench.unblock(third, Nanos(1)), Wake::Placed(Placement { cpu: CPU, preempt: false }));
    assert_eq!(bench.scheduler.waiting(CPU), 2, "with the waker, for whoever is first");
    assert_eq!(task(bench.schedule(CpuId(1), Nanos(2))), second);
    assert_eq!(task(bench.block(CPU, Nanos(2))), third);
    assert!(!bench.scheduler.enter_idle(CPU) || bench.scheduler.waiting(CPU) == 0);
}

#[test]
fn cpus_out_of_range_are_refused() {
    let bench = scheduler(1);
    assert!(bench.scheduler.local(CpuId(7)).is_err() && bench.scheduler.local(CpuId(700)).is_err());
    assert_eq!(bench.scheduler.online(CpuId(64)), Err(SchedError::NoSuchCpu));
    assert_eq!((bench.scheduler.waiting(CpuId(99)), bench.scheduler.wants_switch(CpuId(99))), (0, false));
}

#[test]
fn waits_and_times_are_counted_by_class() {
    let bench = scheduler(1);
    let id = spawn(&bench, Policy::new(Class::Service), Nanos(1000));
    let _ = bench.schedule(CPU, Nanos(61_000));
    let _ = bench.block(CPU, Nanos(64_000));
    let stats = bench.scheduler.cpu_stats(CPU).unwrap();
    assert_eq!(stats.latency_of(Class::Service).count(), 0, "a birth is no wake-up");
    assert_eq!((stats.waited, stats.idles, stats.woken), (Nanos(60_000), 1, [0; 5]));
    assert!(bench.unit(id).entity().has_notable_wait());
    assert_eq!(bench.unit(id).entity().take_wait(), Nanos(60_000));
    // Long after the CPU has fallen asleep: what it slept is no wait.
    let _ = bench.unblock(id, Nanos(900_000));
    let _ = bench.schedule(CPU, Nanos(940_000));
    let _ = bench.block(CPU, Nanos(950_000));
    let _ = bench.unblock(id, Nanos(960_000));
    let _ = bench.schedule(CPU, Nanos(964_000));
    let _ = bench.end_task(CPU, Nanos(965_000));
    let stats = bench.scheduler.cpu_stats(CPU).unwrap();
    assert_eq!(stats.latency_of(Class::Service).percentile(500), Some(Nanos(65535)));
    assert_eq!((stats.latency_of(Class::Service).count(), stats.woken_of(Class::Service)), (1, 2), "one was short");
    assert_eq!(stats.latency_of(Class::User).count(), 0);
    // A wake-up's time is odd.
    assert_eq!((stats.time_of(Class::Service), stats.waited), (Nanos(14_000), Nanos(100_000 - 1)));
    assert_eq!((stats.switches, stats.yields, stats.idles), (3, 0, 3));
    assert_eq!(bench.unit(id).entity().take_wait(), Nanos(44_000 - 2), "the short one as well");
    assert!(!bench.unit(id).entity().has_notable_wait());
}

/// What wakes in the middle of another's run waits since then, not since that run began.
#[test]
fn a_wait_begins_with_the_wake_up() {
    let bench = scheduler(1);
    let [hog, sleeper] = [0; 2].map(|_| spawn(&bench, Policy::new(Class::User).flavour(Flavour::Fixed), Nanos(0)));
    assert_eq!(task(bench.schedule(CPU, Nanos(0))), hog);
    assert_eq!(task(bench.preempt(CPU, Nanos(0))), hog);
    assert_eq!(task(bench.yield_task(CPU, Nanos(100_000))), sleeper);
    assert_eq!(task(bench.block(CPU, Nanos(200_000))), hog);
    let before = bench.scheduler.cpu_stats(CPU).unwrap().waited;
    let _ = bench.unblock(sleeper, Nanos(3_180_000));
    assert_eq!(task(bench.yield_task(CPU, Nanos(3_200_000))), sleeper);
    let stats = bench.scheduler.cpu_stats(CPU).unwrap();
    assert_eq!(stats.waited, before + Nanos(20_000 - 1));
    assert_eq!((stats.latency_of(Class::User).count(), stats.woken_of(Class::User), stats.yields), (1, 1, 2));
}
