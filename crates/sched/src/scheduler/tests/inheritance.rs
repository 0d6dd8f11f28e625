//! Priority inheritance.

use super::*;

fn keys(scheduler: &Scheduler, ids: &[TaskId]) -> std::vec::Vec<Class> {
    ids.iter().map(|id| scheduler.effective_key(*id).unwrap().class()).collect()
}

#[test]
fn the_holder_runs_with_the_priority_of_who_waits() {
    let scheduler = scheduler(1);
    let low = spawn(&scheduler, Policy::new(Class::Background), Nanos(0));
    let high = spawn(&scheduler, Policy::new(Class::System), Nanos(0));
    let hog = spawn(&scheduler, Policy::new(Class::User), Nanos(0));
    assert_eq!(task(scheduler.schedule(CPU, Nanos(0)).unwrap()), high);
    let _ = scheduler.donate(high, low, Nanos(1)).unwrap();
    assert_eq!(task(scheduler.block(CPU, Nanos(2)).unwrap()), low, "before the hog");
    let kick = scheduler.undonate(high, Nanos(3)).unwrap();
    assert!(kick.contains(CPU), "without the loan it is less urgent than the hog");
    assert_eq!(task(scheduler.schedule(CPU, Nanos(4)).unwrap()), hog);
    assert_eq!(scheduler.inheritance.lock().in_use(), 0);
}

#[test]
fn loans_pass_along_a_chain_and_follow_changes() {
    let scheduler = scheduler(1);
    let ids: std::vec::Vec<TaskId> =
        (0..4).map(|_| spawn(&scheduler, Policy::new(Class::Background), Nanos(0))).collect();
    for pair in ids.windows(2) {
        let _ = scheduler.donate(pair[0], pair[1], Nanos(1)).unwrap();
    }
    let _ = scheduler.set_priority(ids[0], Policy::new(Class::Interactive), Nanos(2)).unwrap();
    assert_eq!(keys(&scheduler, &ids), [Class::Interactive; 4]);
    let _ = scheduler.set_priority(ids[0], Policy::new(Class::Service), Nanos(2)).unwrap();
    assert_eq!(keys(&scheduler, &ids), [Class::Service; 4]);
    let _ = scheduler.undonate(ids[1], Nanos(3)).unwrap();
    assert_eq!(keys(&scheduler, &ids), [Class::Service, Class::Service, Class::Background, Class::Background]);
}

#[test]
fn a_ring_ends() {
    let scheduler = scheduler(1);
    let [a, b] = [Class::User, Class::Background].map(|class| spawn(&scheduler, Policy::new(class), Nanos(0)));
    let _ = scheduler.donate(a, b, Nanos(1)).unwrap();
    let _ = scheduler.donate(b, a, Nanos(1)).unwrap();
    let _ = scheduler.donate(a, a, Nanos(1)).unwrap();
    let _ = scheduler.undonate(a, Nanos(2)).unwrap();
    let _ = scheduler.undonate(b, Nanos(2)).unwrap();
    assert_eq!(keys(&scheduler, &[a, b]), [Class::User, Class::Background]);
    assert_eq!(scheduler.inheritance.lock().in_use(), 0);
}

/// Random donations, changes and ends, against a model that recomputes everything each time.
#[test]
fn random_loans_agree_with_a_naive_model() {
    const TASKS: usize = 12;
    let mut random = Random::new("random_loans_agree_with_a_naive_model");
    let scheduler = scheduler(1);
    let add = |class| scheduler.add_task(Policy::new(class), CpuSet::single(CPU), CPU, Nanos(0)).unwrap();
    let mut classes = [Class::User; TASKS];
    let mut lends = [None::<usize>; TASKS];
    let mut ids = [0; TASKS].map(|_| add(Class::User));
    let mut lent = 0;
    for _ in 0..20_000 {
        let task = random.below(TASKS as u64) as usize;
        match random.below(4) {
            // Only to later ones, so that there are no rings, of which the model knows nothing.
            0 if task + 1 < TASKS => {
                let to = task + 1 + random.below((TASKS - task - 1) as u64) as usize;
                let _ = scheduler.donate(ids[task], ids[to], Nanos(0)).unwrap();
                lends[task] = Some(to);
                lent += 1;
            }
            1 => {
                let _ = scheduler.undonate(ids[task], Nanos(0)).unwrap();
                lends[task] = None;
            }
            2 => {
                classes[task] = Class::ALL[random.below(5) as usize];
                let _ = scheduler.set_priority(ids[task], Policy::new(classes[task]), Nanos(0)).unwrap();
            }
            _ => {
                scheduler.cancel_task(ids[task]).unwrap();
                ids[task] = add(Class::User);
                classes[task] = Class::User;
                lends[task] = None;
                lends.iter_mut().filter(|to| **to == Some(task)).for_each(|to| *to = None);
            }
        }
        let mut model = classes;
        for from in 0..TASKS {
            if let Some(to) = lends[from] {
                model[to] = model[to].min(model[from]);
            }
        }
        assert_eq!(keys(&scheduler, &ids), model);
    }
    assert!(lent > 1000);
}
