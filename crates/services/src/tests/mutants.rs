//! Faults of the engine, put in by hand: each must break an invariant. Most are single changes of the transition table.

use std::boxed::Box;
use std::collections::BTreeMap;
use std::eprintln;
use std::string::String;
use std::vec::Vec;

use super::simulation::{Flaw, Tally, run};
use crate::table::{Effect, Guard, Next, Row, TABLE, Trigger};
use crate::{Phase, State};

const DRAIN: State = State::Stopping(Phase::Drain);
const TERM: State = State::Stopping(Phase::Terminate);
const GRACE: State = State::Stopping(Phase::Grace);

fn patched(change: impl Fn(&mut Vec<Row>)) -> &'static [Row] {
    let mut rows = TABLE.to_vec();
    change(&mut rows);
    assert_ne!(rows, TABLE, "the patch found nothing to change");
    Box::leak(rows.into_boxed_slice())
}

fn drop_row(from: State, on: Trigger, guard: Guard) -> &'static [Row] {
    patched(|rows| rows.retain(|row| (row.from, row.on, row.guard) != (from, on, guard)))
}

fn drop_effect(from: State, on: Trigger, effect: Effect) -> &'static [Row] {
    patched(|rows| {
        for row in rows.iter_mut().filter(|row| row.from == from && row.on == on) {
            let left: Vec<Effect> = row.effects.iter().copied().filter(|other| *other != effect).collect();
            row.effects = Box::leak(left.into_boxed_slice());
        }
    })
}

fn drop_effect_everywhere(effect: Effect) -> &'static [Row] {
    patched(|rows| {
        for row in rows.iter_mut() {
            let left: Vec<Effect> = row.effects.iter().copied().filter(|other| *other != effect).collect();
            row.effects = Box::leak(left.into_boxed_slice());
        }
    })
}

fn guard(from: State, on: Trigger, before: Guard, after: Guard) -> &'static [Row] {
    patched(|rows| {
        for row in rows.iter_mut().filter(|row| (row.from, row.on, row.guard) == (from, on, before)) {
            row.guard = after;
        }
    })
}

fn next(from: State, on: Trigger, after: Next) -> &'static [Row] {
    patched(|rows| {
        for row in rows.iter_mut().filter(|row| row.from == from && row.on == on) {
            row.next = after;
        }
    })
}

/// Changes of the table, each a fault.
pub(super) fn mutants() -> BTreeMap<&'static str, &'static [Row]> {
    use Effect as E;
    use Guard as G;
    use State::{Backoff, Done, Down, Failed, Killing, Running, Starting, Waiting};
    use Trigger as T;
    BTreeMap::from([
        ("never leaves Down", drop_row(Down, T::Evaluate, G::GoalUp)),
        ("waits though not wanted", drop_row(Waiting, T::Evaluate, G::GoalDown)),
        ("targets get a process", drop_row(Waiting, T::Dispatch, G::Processless)),
        ("daemons get none", guard(Waiting, T::Dispatch, G::Processless, G::Always)),
        ("keeps the old generation", drop_effect(Waiting, T::Dispatch, E::NewGeneration)),
        ("forgets to spawn", drop_effect(Waiting, T::Dispatch, E::Spawn)),
        ("no limit for starts", drop_effect(Waiting, T::Dispatch, E::ArmStart)),
        ("soft dependencies are waited for without end", drop_effect(Waiting, T::Timer, E::ExpireWants)),
        ("ignores ready", drop_row(Starting, T::Ready, G::Always)),
        ("ignores start time-outs", drop_row(Starting, T::Timer, G::Always)),
        ("ignores failed spawns", patched(|rows| rows.retain(|row| row.from != Starting || row.on != T::SpawnFailed))),
        ("starts on a lost dependency", drop_row(Starting, T::Evaluate, G::Lost)),
        ("runs on a lost dependency", drop_row(Running, T::Evaluate, G::Lost)),
        ("ignores the order of stops", guard(Running, T::Evaluate, G::GoalDownUnneeded, G::GoalDown)),
        ("never stops", drop_row(Running, T::Evaluate, G::GoalDownUnneeded)),
        ("starts on though not wanted", drop_row(Starting, T::Evaluate, G::GoalDownUnneeded)),
        ("never stable", drop_row(Running, T::Stable, G::Always)),
        ("remembers failures for ever", drop_effect(Running, T::Stable, E::ClearFailures)),
        ("no stable timer", drop_effect(Starting, T::Ready, E::ArmStable)),
        ("leaves the rest of the cell", next(Running, T::MainExited, Next::Decide)),
        (
            "does not notice the empty cell",
            patched(|rows| rows.retain(|row| row.from != Running || row.on != T::Empty)),
        ),
        ("drains without end", drop_effect(Running, T::Evaluate, E::ArmDrain)),
        ("does not say stop", drop_effect(DRAIN, T::Timer, E::ArmTerminate)),
        ("no limit for stops", drop_effect_everywhere(E::ArmTerminate)),
        ("no grace", drop_effect_everywhere(E::ArmGrace)),
        ("ignores the stop time-out", drop_row(TERM, T::Timer, G::Always)),
        ("ignores the end of grace", drop_row(GRACE, T::Timer, G::Always)),
        ("forgets to kill", drop_effect(GRACE, T::Timer, E::Kill)),
        ("takes killed for gone", next(GRACE, T::Timer, Next::To(Down))),
        ("reuses the cell before it is empty", next(Running, T::Quota, Next::To(Waiting))),
        ("no alarm timer", drop_effect(GRACE, T::Timer, E::ArmKill)),
        ("never leaves Killing", patched(|rows| rows.retain(|row| row.from != Killing || row.on != T::Empty))),
        ("backs off for ever", drop_row(Backoff, T::Timer, G::Always)),
        ("backs off though not wanted", drop_row(Backoff, T::Evaluate, G::GoalDown)),
        ("failed though not wanted", drop_row(Failed, T::Evaluate, G::GoalDown)),
        ("cannot be reset", drop_row(Failed, T::Reset, G::Always)),
        ("done though not wanted", drop_row(Done, T::Evaluate, G::GoalDownUnneeded)),
        ("stays failed in Down", next(Failed, T::Reset, Next::To(Done))),
        (
            "shutdown without grace and kill",
            patched(|rows| {
                rows.retain(|row| !matches!(row.on, T::ShutdownGrace | T::ShutdownKill));
                for row in rows.iter_mut().filter(|row| row.from == GRACE && row.on == T::Timer) {
                    row.next = Next::To(GRACE);
                    row.effects = &[E::ArmGrace];
                }
            }),
        ),
    ])
}

/// At most this many faults to notice a mutant.
const PATIENCE: u64 = 200_000;

#[test]
fn every_mutant_of_the_table_is_killed() {
    std::panic::set_hook(Box::new(|_| {}));
    let mut mutants: Vec<(String, &'static [Row], Flaw)> =
        mutants().into_iter().map(|(name, table)| (String::from(name), table, Flaw::None)).collect();
    for flaw in [Flaw::ConfusesGenerations, Flaw::Ungoverned, Flaw::Overcommits, Flaw::Unrecorded] {
        mutants.push((std::format!("{flaw:?}"), TABLE, flaw));
    }
    let mut survivors: Vec<&str> = Vec::new();
    for (name, table, flaw) in &mutants {
        let mut tally = Tally::default();
        let mut seed = 0;
        let mut killed: Option<String> = None;
        while killed.is_none() && tally.fault_count() < PATIENCE {
            seed += 1;
            let outcome =
                std::panic::catch_unwind(core::panic::AssertUnwindSafe(|| run(seed, table, *flaw, &mut tally)));
            killed = match outcome {
                Ok(outcome) => outcome.err(),
                Err(_) => Some(String::from("a debug assertion")),
            };
        }
        match killed {
            Some(how) => eprintln!("{name}: {how:.90}"),
            None => survivors.push(name),
        }
    }
    let _ = std::panic::take_hook();
    assert!(mutants.len() >= 20);
    assert!(survivors.is_empty(), "survived: {survivors:?}");
}
