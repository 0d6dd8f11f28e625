//! Choice and wake-up cost the same with few and with many tasks: looks at tasks, not time.

use super::harness::TOUCHED;
use super::*;

/// Looks at tasks by the costliest of a hundred wake-ups, ticks and switches with `n` tasks waiting.
fn costs(n: u32) -> [u64; 3] {
    let mut random = Random::new("costs");
    let scheduler = scheduler(1);
    let mut now = Nanos(0);
    let sleeper = spawn(&scheduler, Policy::new(Class::System).at(Level::TOP), now);
    assert_eq!(task(scheduler.schedule(CPU, now)), sleeper);
    for _ in 0..n {
        spawn(&scheduler, random.policy().rank(1), now);
    }
    let _ = scheduler.block(CPU, now);
    let mut costs = [0; 3];
    for _ in 0..100 {
        let mut measure = |kind: usize, step: &mut dyn FnMut()| {
            let before = TOUCHED.get();
            step();
            costs[kind] = costs[kind].max(TOUCHED.get() - before);
        };
        now += Nanos::from_micros(random.below(300));
        measure(0, &mut || _ = scheduler.unblock(sleeper, now));
        measure(1, &mut || _ = scheduler.tick(CPU, now));
        now += Nanos(1);
        let _ = scheduler.schedule(CPU, now);
        assert_eq!(scheduler.current(CPU), Some(sleeper));
        measure(2, &mut || _ = scheduler.yield_task(CPU, now));
        if scheduler.current(CPU) == Some(sleeper) {
            measure(2, &mut || _ = scheduler.block(CPU, now));
        }
    }
    costs
}

#[test]
fn choice_and_wake_cost_the_same_at_10_and_60_000_tasks() {
    let (few, many) = (costs(10), costs(60_000));
    std::println!("looks by wake, tick, switch: {few:?} {many:?}");
    // Constants of the code, not of the load. A tick looks for the longest wait among the first of each queue.
    assert!(many.iter().zip([16, 2048, 32]).all(|(cost, limit)| *cost <= limit), "{many:?}");
    assert!([0, 2].iter().all(|kind| many[*kind] <= few[*kind] + 8), "{few:?} {many:?}");
}
