//! Levels, emergency mode, what follows when a service is given up, shutdowns, pauses, history.

use std::vec;
use std::vec::Vec;

use super::bench::{Bench, daemon, name};
use crate::{
    Action, Cause, Command, Config, Definition, DependencyKind, Ending, Event, Exit, Level, OnFailure, Phase,
    RebootGuard, RestartPolicy, ServiceError, Stage, State,
};
use types::Nanos;

fn gives_up(text: &str, wish: OnFailure) -> Definition {
    let mut made = daemon(text);
    made.restart.policy = RestartPolicy::Never;
    made.restart.on_failure = wish;
    made
}

fn fail(bench: &mut Bench, text: &str) -> Vec<Action> {
    let identity = bench.identity(text);
    bench.step(Event::Empty(identity, Some(Exit::Status(1))))
}

#[test]
fn giving_up_does_what_the_definition_asks_for() {
    let kept = Definition { keep_in_emergency: true, ..daemon("shell") };
    let mut bench = Bench::new(vec![kept, daemon("web"), gives_up("db", OnFailure::Emergency)]);
    bench.all_ready();
    let actions = fail(&mut bench, "db");
    assert!(actions.contains(&Action::Escalate(bench.id("db"), OnFailure::Emergency)), "{actions:?}");
    assert!(actions.contains(&Action::Level(Level::Emergency)), "{actions:?}");
    assert_eq!(bench.state("shell"), State::Running);
    assert!(matches!(bench.state("web"), State::Stopping(_)));
    bench.command(Command::Recover).unwrap();
    let web = bench.identity("web");
    bench.step(Event::Empty(web, None));
    assert_eq!((bench.state("web"), bench.engine.level()), (State::Starting, Level::Normal));

    let mut isolating = gives_up("db", OnFailure::Isolate);
    isolating.isolate = Some(name("rescue"));
    let rescue = Definition { enabled: false, ..daemon("rescue") };
    let mut bench = Bench::new(vec![daemon("web"), isolating, rescue]);
    bench.all_ready();
    fail(&mut bench, "db");
    assert_eq!(bench.state("rescue"), State::Starting);
    assert!(matches!(bench.state("web"), State::Stopping(_)));

    let mut bench = Bench::new(vec![daemon("web"), gives_up("db", OnFailure::PowerOff)]);
    bench.all_ready();
    fail(&mut bench, "db");
    let web = bench.identity("web");
    let actions = bench.step(Event::Empty(web, None));
    assert!(actions.contains(&Action::Halted(Ending::PowerOff)), "{actions:?}");
}

#[test]
fn a_session_outlives_an_isolation_and_ends_gently() {
    let mut shell = Definition { session: true, ..gives_up("shell", OnFailure::None) };
    shell.stop.signal = 1;
    let mut bench = Bench::new(vec![shell, daemon("web"), Definition { enabled: false, ..daemon("rescue") }]);
    bench.all_ready();
    bench.command(Command::Isolate(bench.id("rescue"))).unwrap();
    assert_eq!(bench.state("shell"), State::Running);
    assert!(matches!(bench.state("web"), State::Stopping(_)));
    // Who is left of it is asked to end, not killed; of others it is killed.
    let (shell, web) = (bench.identity("shell"), bench.identity("web"));
    let actions = bench.step(Event::MainExited(shell, Exit::Status(3)));
    assert!(actions.contains(&Action::SignalAll(shell, 15)) && !actions.contains(&Action::Kill(shell)), "{actions:?}");
    assert_eq!(bench.state("shell"), State::Stopping(Phase::Grace));
    let actions = bench.step(Event::MainExited(web, Exit::Status(3)));
    assert!(actions.contains(&Action::Kill(web)), "{actions:?}");
    let actions = bench.wait(Nanos::from_secs(5));
    assert!(actions.contains(&Action::Kill(shell)), "{actions:?}");
    bench.step(Event::Empty(shell, None));
    assert_eq!(
        (bench.state("shell"), bench.engine.instance(shell.instance).unwrap().1.last_end),
        (State::Failed, Cause::Exited(3))
    );
}

#[test]
fn the_worst_of_several_wishes_counts() {
    let mut bench = Bench::new(vec![gives_up("a", OnFailure::PowerOff), gives_up("b", OnFailure::Emergency)]);
    bench.all_ready();
    let (a, b) = (bench.identity("a"), bench.identity("b"));
    bench.step(Event::Empty(a, Some(Exit::Status(1))));
    assert_eq!(bench.engine.shutdown_stage(), Some(Stage::Orderly));
    bench.step(Event::Empty(b, Some(Exit::Status(1))));
    assert!(!bench.engine.in_emergency());
}

#[test]
fn emergency_reboots_do_not_go_round_in_circles() {
    let mut guard = RebootGuard::default();
    let minute = |minutes: u64| Nanos::from_secs(60 * minutes);
    for at in [100, 103, 106] {
        assert!(guard.allows(minute(at)));
    }
    assert!(!guard.allows(minute(109)), "the fourth within ten minutes");
    assert!(guard.allows(minute(110)), "the first is ten minutes ago");
    for (booted_at, expected) in [(112, None), (120, Some(Stage::Orderly))] {
        let config = Config { reboots: guard, booted_at: minute(booted_at), ..Config::default() };
        let mut bench = Bench::with(config, vec![daemon("web"), gives_up("db", OnFailure::Reboot)]);
        bench.all_ready();
        fail(&mut bench, "db");
        assert_eq!((bench.engine.shutdown_stage(), bench.engine.in_emergency()), (expected, expected.is_none()));
        assert_eq!(bench.engine.reboot_guard() != guard, expected.is_some(), "the next boot must know of this one");
    }
}

#[test]
fn no_critical_service_left_is_an_emergency() {
    let critical = |text| Definition { critical: true, ..gives_up(text, OnFailure::None) };
    let mut bench = Bench::new(vec![critical("a"), critical("b"), daemon("web")]);
    bench.all_ready();
    fail(&mut bench, "a");
    assert_eq!(bench.engine.level(), Level::Degraded);
    fail(&mut bench, "b");
    assert_eq!(bench.engine.level(), Level::Emergency);
}

#[test]
fn what_outlasts_an_emergency_is_killed() {
    let mut stubborn = daemon("web");
    stubborn.stop.timeout = Nanos::from_secs(600);
    let mut bench = Bench::new(vec![stubborn]);
    bench.all_ready();
    bench.command(Command::Emergency).unwrap();
    assert!(bench.wait(Nanos::from_millis(34_900)).iter().all(|action| !matches!(action, Action::Kill(_))));
    let web = bench.identity("web");
    assert!(bench.wait(Nanos::from_millis(100)).contains(&Action::Kill(web)));
    let actions = bench.step(Event::Empty(web, Some(Exit::Signal(9))));
    assert!(!actions.contains(&Action::Halted(Ending::Halt)), "the machine goes on");
}

#[test]
fn most_instances_ejected_is_a_degradation() {
    let mut web = daemon("web");
    web.scaling.count = 3;
    let mut bench = Bench::new(vec![web]);
    bench.all_ready();
    let id = bench.id("web");
    bench.step(Event::Ejected(id, 1));
    assert_eq!(bench.engine.level(), Level::Normal);
    assert!(bench.step(Event::Ejected(id, 2)).contains(&Action::Level(Level::Degraded)));
    assert!(bench.step(Event::Ejected(id, 0)).contains(&Action::Level(Level::Normal)));
}

#[test]
fn killing_all_takes_no_time() {
    let mut bench = Bench::new(vec![daemon("a"), daemon("b").with(DependencyKind::Requires, name("a"))]);
    bench.all_ready();
    let (a, b) = (bench.identity("a"), bench.identity("b"));
    bench.command(Command::KillAll(Ending::Reboot)).unwrap();
    let actions = bench.actions.as_slice();
    assert!(actions.contains(&Action::Kill(a)) && actions.contains(&Action::Kill(b)), "{actions:?}");
    assert!(actions.contains(&Action::Level(Level::KillAll)), "{actions:?}");
    assert_eq!(bench.command(Command::Recover), Err(ServiceError::ShuttingDown));
}

#[test]
fn the_layers_of_a_shutdown_share_its_time() {
    let mut bench = Bench::new(vec![
        daemon("a"),
        daemon("b").with(DependencyKind::Requires, name("a")),
        daemon("c").with(DependencyKind::Requires, name("b")),
    ]);
    bench.all_ready();
    bench.command(Command::Shutdown(Ending::Halt)).unwrap();
    bench.step(Event::Tick);
    // All three ask for 30 s: the first gets a third, the second half of the rest, and so on, besides 5 s of grace each.
    for (text, seconds) in [("c", 10), ("b", 7), ("a", 2)] {
        let identity = bench.identity(text);
        assert!(matches!(bench.state(text), State::Stopping(_)), "{text}");
        let view = bench.engine.instances(bench.id(text)).next().unwrap();
        assert_eq!(view.deadline.map(|at| (at - bench.now).secs()), Some(seconds), "{text}");
        while bench.state(text) != State::Killing {
            bench.now = bench.engine.next_deadline().unwrap();
            bench.step(Event::Tick);
        }
        bench.step(Event::Empty(identity, Some(Exit::Signal(9))));
    }
    assert!(bench.now <= Nanos::from_secs(35), "{:?}", bench.now);
}

#[test]
fn a_pause_stops_work_and_the_watchdog_but_not_a_stop() {
    let mut web = daemon("web");
    web.health.watchdog = Some(Nanos::from_secs(2));
    let mut bench = Bench::new(vec![web]);
    let (id, identity) = (bench.id("web"), bench.identity("web"));
    assert!(bench.command(Command::Pause(id)).is_err(), "not running yet");
    bench.all_ready();
    bench.command(Command::Pause(id)).unwrap();
    assert_eq!(bench.actions.as_slice(), [Action::Unpublish(id, identity), Action::Pause(identity)]);
    assert_eq!(bench.engine.published(id).count(), 0);
    assert!(bench.wait(Nanos::from_secs(60)).iter().all(|action| !matches!(action, Action::CheckRunnable(_))));
    bench.command(Command::Resume(id)).unwrap();
    assert_eq!(bench.actions.as_slice(), [Action::Resume(identity), Action::Publish(id, identity)]);
    assert!(bench.wait(Nanos::from_secs(2)).contains(&Action::CheckRunnable(identity)));
    bench.command(Command::Pause(id)).unwrap();
    bench.command(Command::Stop(id, crate::StopMode::Alone)).unwrap();
    bench.step(Event::Tick);
    assert!(bench.command(Command::Resume(id)).is_err(), "the stop let it go on");
    assert!(matches!(bench.state("web"), State::Stopping(_)));
}

#[test]
fn the_last_transitions_of_an_instance_are_remembered_with_their_causes() {
    let mut bench = Bench::new(vec![daemon("web")]);
    let instance = bench.identity("web").instance;
    for _ in 0..20 {
        bench.all_ready();
        bench.now += Nanos::from_secs(20);
        bench.step(Event::Tick);
        let identity = bench.identity("web");
        bench.step(Event::Empty(identity, Some(Exit::Signal(11))));
    }
    let history: Vec<_> = bench.engine.history(instance).collect();
    assert_eq!(history.len(), 32);
    assert!(history.windows(2).all(|pair| pair[0].to == pair[1].from && pair[0].time <= pair[1].time));
    assert_eq!(history.iter().filter(|line| line.to == State::Backoff).count(), 8);
    let crashes = history.iter().filter(|line| line.to == State::Backoff);
    assert!(crashes.into_iter().all(|line| line.cause == Cause::Signalled(11)));
    for code in 0..=12 {
        for detail in [0, 1, 2, 200, 0x3007] {
            let cause = Cause::unpack(code, detail);
            let (again, kept) = cause.pack();
            assert_eq!(Cause::unpack(again, kept), cause, "{code} {detail}");
        }
    }
}

#[test]
fn a_reload_that_makes_two_rivals_leaves_one_of_them() {
    let (a, b) = (daemon("a"), daemon("b"));
    let mut bench = Bench::new(vec![a.clone(), b.clone()]);
    bench.all_ready();
    bench.actions.clear();
    let set = vec![a.with(DependencyKind::Conflicts, name("b")), b];
    bench.engine.load(bench.now, set, &mut bench.actions).unwrap();
    assert_eq!(bench.state("a"), State::Running);
    let b = bench.identity("b");
    bench.step(Event::Empty(b, None));
    assert_eq!(bench.state("b"), State::Waiting);
    assert_eq!(bench.engine.root_causes(bench.id("b")), vec![(bench.id("a"), crate::Root::Conflict)]);
}
