//! Fairness within a level: equals get equal time, others by weight.

use std::vec::Vec;

use super::harness::run_hogs;
use super::*;

const CLASSES: [Class; 5] = Class::ALL;

fn jain(times: &[f64]) -> f64 {
    let sum: f64 = times.iter().sum();
    sum * sum / (times.len() as f64 * times.iter().map(|time| time * time).sum::<f64>())
}

fn shares(policies: &[Policy], length: Nanos) -> Vec<f64> {
    let scheduler = scheduler(1);
    let ids: Vec<TaskId> = policies.iter().map(|policy| spawn(&scheduler, *policy, Nanos(0))).collect();
    run_hogs(&scheduler, Nanos(0), length, |_, _, _| ());
    let times: Vec<f64> = ids.iter().map(|id| scheduler.cpu_time(*id).0 as f64).collect();
    let total: f64 = times.iter().sum();
    assert!((total - length.0 as f64).abs() < 2e8, "all time is accounted to somebody");
    times.iter().map(|time| time / total).collect()
}

#[test]
fn equals_share_equally_in_every_class() {
    for class in CLASSES {
        for n in [2, 3, 10, 100, 1000] {
            let shares = shares(&std::vec![Policy::new(class); n], Nanos::from_millis(200 * n as u64));
            assert!(jain(&shares) >= 0.99, "{class:?} {n}: {} {shares:?}", jain(&shares));
        }
    }
}

#[test]
fn weights_divide_a_level() {
    for class in [Class::Interactive, Class::User, Class::Service, Class::Background] {
        for nices in [&[0, 5][..], &[-5, 0, 5], &[0, 10, 19], &[-20, -10, 0], &[1, 2, 3, 4, 5, 6]] {
            let policies: Vec<Policy> = nices.iter().map(|nice| Policy::new(class).nice(*nice)).collect();
            let shares = shares(&policies, Nanos::from_secs(300));
            let sum: f64 = policies.iter().map(|policy| f64::from(policy.weight().get())).sum();
            for (policy, share) in policies.iter().zip(&shares) {
                let due = f64::from(policy.weight().get()) / sum;
                // The rule against starvation guarantees everybody a little more than the smallest weights are due.
                assert!((share - due).abs() <= 0.03 * due + 0.003, "{class:?} {nices:?}: {share} is not {due}");
            }
        }
    }
}

#[test]
fn random_weights_divide_a_level() {
    let mut random = Random::new("random_weights_divide_a_level");
    for _ in 0..10 {
        let policies: Vec<Policy> =
            (0..2 + random.below(8)).map(|_| Policy::new(Class::User).nice(random.below(21) as i8 - 10)).collect();
        let shares = shares(&policies, Nanos::from_secs(100));
        let sum: f64 = policies.iter().map(|policy| f64::from(policy.weight().get())).sum();
        for (policy, share) in policies.iter().zip(&shares) {
            let due = f64::from(policy.weight().get()) / sum;
            assert!((share - due).abs() <= 0.05 * due + 0.005, "{policies:?}: {share} is not {due}");
        }
    }
}

#[test]
fn who_computes_in_the_foreground_shares_with_ordinary_programs() {
    let foreground = Policy::new(Class::Interactive).given();
    let shares = shares(&[foreground, foreground, Policy::new(Class::User)], Nanos::from_secs(30));
    assert!(jain(&shares) >= 0.99, "{shares:?}");
}

/// What a task ran past its slices, be it by ever so much, is taken from its later share.
#[test]
fn overruns_are_paid_back() {
    let scheduler = scheduler(1);
    let [overruns, keeps] = [19, 0].map(|nice| spawn(&scheduler, Policy::new(Class::User).nice(nice), Nanos(0)));
    let mut now = Nanos(0);
    let mut overrun = Nanos(0);
    while now < Nanos::from_secs(600) {
        let Decision::Run(id, slice) = scheduler.schedule(CPU, now).next else { panic!("idle") };
        let long = if id == overruns { slice + Nanos::from_millis(5) } else { slice };
        overrun += long - slice;
        now += long;
    }
    let _ = scheduler.schedule(CPU, now);
    let share = |id| scheduler.cpu_time(id).0 as f64 / now.0 as f64;
    assert!(overrun > Nanos::from_secs(1), "it did overrun");
    // Its due is 0.0144. Rescues, one in 50 ms with its overrun of 5 ms, are beyond what a debt can pay.
    assert!(share(overruns) < 0.12, "{}", share(overruns));
    assert!(share(keeps) > 0.88);
}

#[test]
fn sleep_earns_no_claim_to_catch_up() {
    let scheduler = scheduler(1);
    let fixed = Policy::new(Class::User).flavour(Flavour::Fixed);
    let [sleeper, hog] = [0; 2].map(|_| spawn(&scheduler, fixed, Nanos(0)));
    assert_eq!(task(scheduler.schedule(CPU, Nanos(0))), sleeper);
    assert_eq!(task(scheduler.block(CPU, Nanos(1))), hog);
    run_hogs(&scheduler, Nanos(1), Nanos::from_secs(10), |id, _, _| assert_eq!(id, hog));
    let woken = Nanos::from_secs(10);
    let _ = scheduler.unblock(sleeper, woken);
    let before = scheduler.cpu_time(hog);
    run_hogs(&scheduler, woken, Nanos::from_secs(12), |_, _, _| ());
    let gained = (scheduler.cpu_time(hog) - before).0 as f64 / 2e9;
    assert!((gained - 0.5).abs() < 0.02, "{gained}");
}
