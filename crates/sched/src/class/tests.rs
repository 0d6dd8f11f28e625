//! The suite that every class runs, and each class's own tests.

use super::slice::MIN_SLICE;
use super::*;
use crate::priority::{Flavour, LEVELS, Weight};

/// Whether one that wakes takes the CPU from another of its class.
fn preempts(class: Class, waking: Level, running: Level) -> bool {
    let urgency = |level| Policy::new(class).at(level).flavour(Flavour::Fixed).place(Credit::NEUTRAL).urgency();
    urgency(waking) < urgency(running).threshold()
}

const CREDITS: [Credit; 3] = [Credit::NONE, Credit::NEUTRAL, Credit::FULL];

#[test]
fn every_class_has_sane_slices() {
    for class in Class::ALL {
        for nice in [-20, 0, 19] {
            let policy = Policy::new(class).nice(nice);
            let mut last = Nanos::MAX;
            for waiting in [0, 1, 10, 1000, 100_000] {
                let slice = class.rules().slice(policy.flavour, policy.weight(), waiting);
                assert!(slice >= MIN_SLICE && slice <= Nanos::from_millis(100), "{class:?} {nice} {waiting} {slice:?}");
                assert!(slice <= last, "a crowd does not lengthen slices");
                last = slice;
            }
        }
    }
}

#[test]
fn every_class_moves_a_task_by_two_levels_at_most_and_never_by_credit_against_its_flavour() {
    for class in Class::ALL {
        for level in 0..LEVELS {
            let policy = Policy::new(class).at(Level::new(level));
            for credit in CREDITS {
                let dynamic = class.rules().level(policy, credit).number();
                assert!(dynamic.abs_diff(level) <= 2);
                for fixed in [Flavour::Fixed, Flavour::Fifo] {
                    assert_eq!(class.rules().level(policy.flavour(fixed), credit).number(), level);
                }
                assert!(class.rules().level(policy.flavour(Flavour::Batch), credit).number() >= level);
            }
            let levels = CREDITS.map(|credit| class.rules().level(policy, credit));
            assert!(levels.is_sorted_by(|hog, sleeper| hog >= sleeper), "more sleep is never a lower level");
        }
    }
}

#[test]
fn no_class_preempts_for_an_equal_or_lower_level() {
    for class in Class::ALL {
        for running in 0..LEVELS {
            for waking in running..LEVELS {
                assert!(!preempts(class, Level::new(waking), Level::new(running)));
            }
        }
    }
}

#[test]
fn system_is_in_order_of_arrival_and_keeps_its_level() {
    let rules = Class::System.rules();
    assert!(
        Class::ALL.iter().all(|class| Policy::new(*class).place(Credit::NONE).is_fair() == (*class != Class::System))
    );
    assert_eq!(rules.level(Policy::new(Class::System), Credit::NONE), Level::DEFAULT);
    assert!(preempts(Class::System, Level::TOP, Level::DEFAULT));
    assert!(rules.slice(Flavour::Fifo, Weight::UNIT, 9) > rules.slice(Flavour::Fixed, Weight::UNIT, 9));
    let ranked = |rank| Policy::new(Class::System).rank(rank).place(Credit::NONE).urgency();
    assert!(
        ranked(1) < ranked(2).threshold()
            && ranked(63) < Policy::new(Class::System).at(Level::new(3)).place(Credit::FULL).urgency()
    );
}

#[test]
fn interactive_sleepers_rise_two_levels_and_hogs_fall_two() {
    let (rules, policy) = (Class::Interactive.rules(), Policy::new(Class::Interactive));
    assert_eq!(rules.level(policy, Credit::FULL), Level::TOP);
    assert_eq!(rules.level(policy, Credit::NONE), Level::new(4));
    assert_eq!(rules.level(policy, Credit::NEUTRAL), Level::DEFAULT);
    assert!(preempts(Class::Interactive, Level::TOP, Level::new(1)));
}

#[test]
fn user_sleepers_rise_one_level_and_hogs_fall_two() {
    let (rules, policy) = (Class::User.rules(), Policy::new(Class::User));
    assert_eq!(rules.level(policy, Credit::FULL), Level::new(1));
    assert_eq!(rules.level(policy, Credit::NONE), Level::new(4));
}

#[test]
fn services_are_not_boosted() {
    let (rules, policy) = (Class::Service.rules(), Policy::new(Class::Service));
    assert_eq!(rules.level(policy, Credit::FULL), Level::DEFAULT);
    assert_eq!(rules.level(policy, Credit::NONE), Level::new(3));
}

#[test]
fn background_never_preempts_its_like() {
    let rules = Class::Background.rules();
    assert!(!preempts(Class::Background, Level::TOP, Level::BOTTOM));
    assert_eq!(rules.level(Policy::new(Class::Background), Credit::NONE), Level::DEFAULT);
}

#[test]
fn a_class_that_was_given_is_for_who_does_not_compute() {
    let place = |class, credit| {
        let key = Policy::new(class).given().place(credit).key();
        (key.class(), key.level().number())
    };
    assert_eq!(place(Class::Interactive, Credit::FULL), (Class::Interactive, 0));
    assert_eq!(place(Class::Interactive, Credit::NEUTRAL), (Class::Interactive, 2));
    assert_eq!(place(Class::Interactive, Credit::NONE), (Class::User, 4));
    assert_eq!(place(Class::System, Credit::NEUTRAL), (Class::System, 5), "behind real time");
    assert_eq!(place(Class::System, Credit::NONE), (Class::User, 4));
    assert_eq!(place(Class::Service, Credit::FULL), (Class::User, 1));
    assert_eq!(place(Class::Service, Credit::NONE), (Class::Service, 3));
    assert_eq!(place(Class::Background, Credit::FULL), (Class::Background, 2));
    for class in Class::ALL {
        for credit in CREDITS {
            assert_eq!(Policy::new(class).place(credit).key().class(), class, "what was chosen stays");
        }
    }
    let first_in_first_out = Policy::new(Class::System).at(Level::BOTTOM).rank(18).place(Credit::NEUTRAL);
    let init = Policy::new(Class::System).given().place(Credit::FULL);
    assert!(first_in_first_out.urgency() < init.urgency(), "SCHED_FIFO of priority 1 before the first process");
}

#[test]
fn slices_grow_as_urgency_falls_among_fair_classes() {
    let slices = [Class::Interactive, Class::User, Class::Service, Class::Background]
        .map(|class| class.rules().slice(Flavour::Fixed, Weight::UNIT, 0));
    assert!(slices.is_sorted());
}

#[test]
fn credit_needs_two_thirds_of_sleep() {
    let cycle = |sleep: u64, run: u64| {
        (0..1000).fold(Credit::NEUTRAL, |c, _| c.slept(Nanos::from_micros(sleep)).ran(Nanos::from_micros(run)))
    };
    assert!(cycle(700, 300).is_sleeper());
    assert!(cycle(600, 400).is_hog());
}

#[test]
fn a_new_task_is_ordinary_for_two_milliseconds_and_a_sleeper_has_three_quarters() {
    let ran = |micros| Credit::NEUTRAL.ran(Nanos::from_micros(micros));
    assert!(!Credit::NEUTRAL.is_sleeper() && !ran(1_900).is_hog() && ran(2_100).is_hog());
    let left = |of_hundred: u64| Credit::FULL.ran(Nanos::from_micros((100 - of_hundred) * 500));
    assert!(!left(74).is_sleeper() && left(76).is_sleeper() && !left(26).is_hog() && left(24).is_hog());
}

#[test]
fn slices_shrink_in_crowds_and_for_small_weights() {
    let full = Nanos::from_millis(6);
    let crowd = [0, 41, 255, 5_119, 100_000].map(|waiting| slice_in_crowd(full, waiting).0 / 1_000);
    assert_eq!(crowd, [6_000, 6_000, 1_000, 50, 50]);
    let light = [0, 5, 10, 19].map(|nice| super::slice::fair(full, Weight::of_nice(nice), 0).0 / 1_000);
    assert_eq!(light, [6_000, 1_962, 750, 750]);
    assert_eq!(super::slice::fair(full, Weight::of_nice(19), 1_000).0 / 1_000, 255, "never longer than in the crowd");
}
