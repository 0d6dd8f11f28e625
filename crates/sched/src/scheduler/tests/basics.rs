//! Single steps.

use super::*;
use crate::Phase;

#[test]
fn blocked_child_is_not_picked() {
    let scheduler = scheduler(1);
    let id = scheduler.add_task(Policy::new(Class::User), CpuSet::single(CPU), CPU, Nanos(0)).unwrap();
    assert_eq!(scheduler.schedule(CPU, Nanos(0)).unwrap().next, Decision::Idle);
    assert_eq!(scheduler.unblock(id, Nanos(1)).unwrap(), Wake::Placed(Placement { cpu: CPU, preempt: true }));
    assert_eq!(scheduler.unblock(id, Nanos(1)).unwrap(), Wake::Pending);
    assert_eq!(task(scheduler.schedule(CPU, Nanos(2)).unwrap()), id);
    assert_eq!(scheduler.block(CPU, Nanos(3)).unwrap().next, Decision::Idle);
}

#[test]
fn class_goes_before_level_and_level_before_arrival() {
    let scheduler = scheduler(1);
    let policies = [
        Policy::new(Class::Background).at(Level::TOP),
        Policy::new(Class::User),
        Policy::new(Class::User),
        Policy::new(Class::User).at(Level::TOP),
        Policy::new(Class::System).at(Level::BOTTOM),
        Policy::new(Class::Service),
        Policy::new(Class::Interactive).at(Level::BOTTOM),
    ];
    let ids = policies.map(|policy| spawn(&scheduler, policy, Nanos(0)));
    let mut order = std::vec![task(scheduler.schedule(CPU, Nanos(0)).unwrap())];
    order.extend((1..7).map(|n| task(scheduler.block(CPU, Nanos(n)).unwrap())));
    assert_eq!(order, [4, 6, 3, 1, 2, 5, 0].map(|n: usize| ids[n]));
}

#[test]
fn wake_up_during_a_run_is_not_lost() {
    let scheduler = scheduler(1);
    let id = spawn(&scheduler, Policy::new(Class::User), Nanos(0));
    assert_eq!(task(scheduler.schedule(CPU, Nanos(0)).unwrap()), id);
    assert_eq!(scheduler.unblock(id, Nanos(1)).unwrap(), Wake::Running(CPU));
    assert_eq!(task(scheduler.block(CPU, Nanos(2)).unwrap()), id);
    assert_eq!(scheduler.block(CPU, Nanos(3)).unwrap().next, Decision::Idle);
}

#[test]
fn stale_ids_name_nobody() {
    let scheduler = scheduler(1);
    let old = spawn(&scheduler, Policy::new(Class::User), Nanos(0));
    let _ = scheduler.schedule(CPU, Nanos(0)).unwrap();
    let _ = scheduler.end_task(CPU, Nanos(1)).unwrap();
    let new = spawn(&scheduler, Policy::new(Class::User), Nanos(2));
    assert_eq!(old.index(), new.index());
    assert_ne!(old, new);
    assert_eq!(scheduler.unblock(old, Nanos(3)).unwrap(), Wake::Stale);
    assert_eq!(scheduler.set_priority(old, Policy::new(Class::System), Nanos(3)), Err(SchedError::NoSuchTask));
    assert_eq!(scheduler.phase(old), None);
    assert!(scheduler.payload(new).is_some() && scheduler.payload(old).is_none());
    assert_eq!(TaskId::from_bits(new.to_bits()), new);
}

#[test]
fn urgent_wake_up_preempts_once_and_equal_one_does_not() {
    let scheduler = scheduler(1);
    spawn(&scheduler, Policy::new(Class::User), Nanos(0));
    let _ = scheduler.schedule(CPU, Nanos(0)).unwrap();
    let wake = |policy| {
        let id = scheduler.add_task(policy, CpuSet::single(CPU), CPU, Nanos(1)).unwrap();
        match scheduler.unblock(id, Nanos(1)).unwrap() {
            Wake::Placed(placement) => placement.preempt,
            other => panic!("{other:?}"),
        }
    };
    assert!(!wake(Policy::new(Class::User)));
    assert!(!wake(Policy::new(Class::Background).at(Level::TOP)));
    assert!(wake(Policy::new(Class::User).at(Level::new(1))));
    assert!(!wake(Policy::new(Class::Interactive)), "that CPU is on its way already");
    assert!(scheduler.tick(CPU, Nanos(2)).unwrap().resched);
}

#[test]
fn yielding_lets_all_of_the_level_run_first() {
    let scheduler = scheduler(1);
    let ids = [0; 3].map(|_| spawn(&scheduler, Policy::new(Class::User), Nanos(0)));
    let mut now = Nanos(0);
    let mut order = std::vec![task(scheduler.schedule(CPU, now).unwrap())];
    for _ in 0..8 {
        now += Nanos(1000);
        order.push(task(scheduler.yield_task(CPU, now).unwrap()));
    }
    assert_eq!(order, [0, 1, 2, 0, 1, 2, 0, 1, 2].map(|n: usize| ids[n]));
}

#[test]
fn fifo_keeps_the_cpu_and_round_robin_shares_it() {
    for (flavour, shared) in [(Flavour::Fifo, false), (Flavour::Fixed, true)] {
        let scheduler = scheduler(1);
        let first = spawn(&scheduler, Policy::new(Class::System).flavour(flavour), Nanos(0));
        let second = spawn(&scheduler, Policy::new(Class::System).flavour(flavour), Nanos(0));
        assert_eq!(task(scheduler.schedule(CPU, Nanos(0)).unwrap()), first);
        let next = task(scheduler.schedule(CPU, Nanos::from_millis(10)).unwrap());
        assert_eq!(next, if shared { second } else { first });
    }
}

#[test]
fn hogs_fall_and_sleepers_rise() {
    let scheduler = scheduler(1);
    let hog = spawn(&scheduler, Policy::new(Class::Interactive), Nanos(0));
    let _ = scheduler.schedule(CPU, Nanos(0)).unwrap();
    let _ = scheduler.tick(CPU, Nanos::from_millis(40)).unwrap();
    assert_eq!(scheduler.effective_key(hog).unwrap().level(), Level::new(4));
    let _ = scheduler.block(CPU, Nanos::from_millis(40)).unwrap();
    let _ = scheduler.unblock(hog, Nanos::from_millis(140)).unwrap();
    assert_eq!(scheduler.effective_key(hog).unwrap().level(), Level::TOP);
}

#[test]
fn priority_of_a_waiting_task_counts_at_once() {
    let scheduler = scheduler(1);
    let [runs, waits] = [0; 2].map(|_| spawn(&scheduler, Policy::new(Class::User), Nanos(0)));
    assert_eq!(task(scheduler.schedule(CPU, Nanos(0)).unwrap()), runs);
    let kick = scheduler.set_priority(waits, Policy::new(Class::Interactive), Nanos(1)).unwrap();
    assert_eq!(kick, Some(Placement { cpu: CPU, preempt: true }));
    assert_eq!(task(scheduler.schedule(CPU, Nanos(2)).unwrap()), waits);
    let kick = scheduler.set_priority(waits, Policy::new(Class::Background), Nanos(3)).unwrap();
    assert_eq!(kick, Some(Placement { cpu: CPU, preempt: true }), "the current one is lowered below one that waits");
    assert_eq!(task(scheduler.schedule(CPU, Nanos(4)).unwrap()), runs);
}

#[test]
fn affinity_moves_waiting_and_running_tasks() {
    let scheduler = scheduler(2);
    let [runs, waits] = [0; 2].map(|_| spawn(&scheduler, Policy::new(Class::User), Nanos(0)));
    assert_eq!(task(scheduler.schedule(CPU, Nanos(0)).unwrap()), runs);
    assert_eq!(scheduler.schedule(CpuId(1), Nanos(0)).unwrap().next, Decision::Idle, "pinned tasks are not stolen");
    let other = CpuSet::single(CpuId(1));
    let kick = scheduler.set_affinity(waits, other, Nanos(1)).unwrap();
    assert_eq!(kick, Some(Placement { cpu: CpuId(1), preempt: true }));
    assert_eq!(task(scheduler.schedule(CpuId(1), Nanos(1)).unwrap()), waits);
    let kick = scheduler.set_affinity(runs, other, Nanos(2)).unwrap();
    assert_eq!(kick, Some(Placement { cpu: CPU, preempt: true }));
    let switch = scheduler.schedule(CPU, Nanos(3)).unwrap();
    assert_eq!(switch.next, Decision::Idle);
    assert_eq!(switch.moved, Some(Placement { cpu: CpuId(1), preempt: false }));
    assert_eq!(scheduler.phase(runs), Some(Phase::Queued(CpuId(1))));
    assert_eq!(scheduler.set_affinity(runs, CpuSet::single(CpuId(9)), Nanos(4)), Err(SchedError::NoAllowedCpu));
}

#[test]
fn calls_out_of_turn_are_refused() {
    let scheduler = scheduler(1);
    assert_eq!(scheduler.block(CPU, Nanos(0)), Err(SchedError::WrongState));
    assert_eq!(scheduler.schedule(CpuId(7), Nanos(0)), Err(SchedError::NoSuchCpu));
    let id = scheduler.add_task(Policy::new(Class::User), CpuSet::single(CPU), CPU, Nanos(0)).unwrap();
    scheduler.cancel_task(id).unwrap();
    assert_eq!(scheduler.cancel_task(id), Err(SchedError::WrongState));
    assert_eq!(scheduler.tasks(), 0);
    let none = CpuSet::single(CpuId(5));
    assert_eq!(scheduler.add_task(Policy::new(Class::User), none, CPU, Nanos(0)), Err(SchedError::NoAllowedCpu));
}

#[test]
fn the_table_grows_to_its_limit_and_no_further() {
    let scheduler = scheduler(1);
    let add = || scheduler.add_task(Policy::new(Class::User), CpuSet::single(CPU), CPU, Nanos(0));
    let ids: std::vec::Vec<TaskId> = (0..crate::MAX_TASKS).map(|_| add().unwrap()).collect();
    assert_eq!(add(), Err(SchedError::TooManyTasks));
    assert!(ids.is_sorted());
    scheduler.cancel_task(ids[5]).unwrap();
    assert_eq!(add().unwrap().index(), 5);
}

#[test]
fn latencies_are_counted_by_class() {
    let scheduler = scheduler(1);
    spawn(&scheduler, Policy::new(Class::Service), Nanos(1000));
    let _ = scheduler.schedule(CPU, Nanos(6000)).unwrap();
    let _ = scheduler.block(CPU, Nanos(9000)).unwrap();
    let stats = scheduler.cpu_stats(CPU).unwrap();
    assert_eq!(stats.latency_of(Class::Service).percentile(500), Some(Nanos(8191)));
    assert_eq!(stats.latency_of(Class::User).count(), 0);
    assert_eq!((stats.time_of(Class::Service), stats.waited), (Nanos(3000), Nanos(5000)));
}
