//! Choice and wake-up cost the same with few and with many tasks: slots touched, not time.

use super::*;

/// Slots touched by the costliest of a hundred wake-ups, ticks and switches with `n` tasks waiting.
fn costs(n: u32) -> [u64; 3] {
    let mut random = Random::new("costs");
    let scheduler = scheduler(1);
    let mut now = Nanos(0);
    let sleeper = spawn(&scheduler, Policy::new(Class::System).at(Level::TOP), now);
    assert_eq!(task(scheduler.schedule(CPU, now).unwrap()), sleeper);
    for _ in 0..n {
        spawn(&scheduler, random.policy(), now);
    }
    let _ = scheduler.block(CPU, now).unwrap();
    let mut costs = [0; 3];
    for _ in 0..100 {
        let mut measure = |kind: usize, step: &mut dyn FnMut()| {
            let before = scheduler.slots.steps.get();
            step();
            costs[kind] = costs[kind].max(scheduler.slots.steps.get() - before);
        };
        now += Nanos::from_micros(random.below(3000));
        measure(0, &mut || _ = scheduler.unblock(sleeper, now).unwrap());
        measure(1, &mut || _ = scheduler.tick(CPU, now).unwrap());
        measure(2, &mut || _ = scheduler.schedule(CPU, now).unwrap());
        if scheduler.current(CPU) == Some(sleeper) {
            measure(2, &mut || _ = scheduler.block(CPU, now).unwrap());
        }
    }
    costs
}

#[test]
fn choice_and_wake_cost_the_same_at_10_and_60_000_tasks() {
    let (few, many) = (costs(10), costs(60_000));
    std::println!("slots touched by wake, tick, switch: {few:?} {many:?}");
    // Constants of the code, not of the load: a level's links, the list by age, at most four repairs.
    assert!(many.iter().zip([16, 16, 64]).all(|(cost, limit)| *cost <= limit), "{many:?}");
    assert!(many.iter().zip(few).all(|(many, few)| *many <= few + 16), "{few:?} {many:?}");
}
