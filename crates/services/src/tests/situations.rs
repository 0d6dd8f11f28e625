//! Single situations with exact expectations: the table's completeness, restart delays, order, grace, roles, audit,
//! balancing.

use std::collections::BTreeSet;
use std::vec;
use std::vec::Vec;

use super::bench::{Bench, daemon, name};
use super::random::Random;
use crate::table::{TABLE, Trigger};
use crate::{
    Action, Actor, Allow, Balance, Balancer, Command, DependencyKind, Event, Exit, Export, Generation, Identity,
    InstanceId, Restart, Role, ServiceError, ServiceId, State, StopMode, Subject, Work, delay,
};
use types::{Nanos, Uid};

fn chain() -> Bench {
    let mut bench = Bench::new(vec![
        daemon("db"),
        daemon("api").with(DependencyKind::Requires, name("db")),
        daemon("web").with(DependencyKind::Requires, name("api")),
    ]);
    for text in ["db", "api", "web"] {
        assert_eq!(bench.state(text), State::Starting, "{text} starts when what it needs is ready");
        let identity = bench.identity(text);
        bench.step(Event::Ready(identity));
    }
    bench
}

#[test]
fn every_pair_is_a_row_or_listed_as_ignored() {
    use State as S;
    use Trigger as T;
    let rows: BTreeSet<(usize, usize)> = TABLE
        .iter()
        .map(|row| (row.from.index(), T::ALL.iter().position(|trigger| *trigger == row.on).unwrap()))
        .collect();
    let count = |state: S| rows.iter().filter(|(from, _)| *from == state.index()).count();
    let expected = [1, 3, 10, 9, 7, 7, 6, 3, 5, 3, 2];
    for (state, rows) in S::ALL.into_iter().zip(expected) {
        assert_eq!(count(state), rows, "{state:?}: a new row needs a new count here, a lost one is a fault");
    }
    for (at, state) in S::ALL.iter().enumerate() {
        assert_eq!(state.index(), at);
        assert!(!state.has_cell() || rows.contains(&(at, T::ALL.iter().position(|t| *t == T::Empty).unwrap())));
    }
}

#[test]
fn a_crash_restarts_at_once_and_dependents_do_not_notice() {
    let mut bench = chain();
    let crashed = bench.identity("db");
    bench.now += Nanos::from_secs(20);
    bench.step(Event::Tick);
    let actions = bench.step(Event::Empty(crashed, Some(Exit::Signal(11))));
    let next = Identity { generation: Generation(crashed.generation.0 + 1), ..crashed };
    assert!(actions.contains(&Action::Spawn(bench.id("db"), next)), "{actions:?}");
    bench.wait(Nanos::from_millis(900));
    bench.step(Event::Ready(next));
    assert_eq!((bench.state("api"), bench.state("web")), (State::Running, State::Running));
    assert!(bench.wait(Nanos::from_secs(5)).iter().all(|action| !matches!(action, Action::Signal(..))));
}

#[test]
fn a_longer_loss_stops_dependents_and_they_come_back() {
    let mut bench = chain();
    let crashed = bench.identity("db");
    bench.step(Event::Empty(crashed, Some(Exit::Status(1))));
    bench.wait(Nanos::from_millis(1001));
    assert!(matches!(bench.state("api"), State::Stopping(_)));
    assert_eq!(bench.state("web"), State::Running, "web's own dependency still lives");
    let api = bench.identity("api");
    bench.step(Event::Empty(api, Some(Exit::Status(0))));
    let db = bench.identity("db");
    bench.step(Event::Ready(db));
    assert_eq!(bench.state("api"), State::Starting);
}

#[test]
fn what_flaps_gets_no_grace_until_it_is_stable() {
    let mut set = vec![daemon("db"), daemon("api").with(DependencyKind::Requires, name("db"))];
    set[0].restart.base = Nanos::from_millis(10);
    set[0].restart.maximum = Nanos::from_millis(10);
    let mut bench = Bench::new(set);
    bench.all_ready();
    let mut survived = 0;
    while bench.state("api") == State::Running {
        let db = bench.identity("db");
        bench.step(Event::Empty(db, Some(Exit::Signal(11))));
        bench.wait(Nanos::from_millis(20));
        if bench.state("api") == State::Running {
            bench.all_ready();
            survived += 1;
        }
    }
    assert_eq!(survived, 5, "the sixth within a minute is one too many");
    assert!(bench.engine.service(bench.id("db")).unwrap().flapping);
    bench.all_ready();
    bench.wait(Nanos::from_secs(11));
    assert!(!bench.engine.service(bench.id("db")).unwrap().flapping);
}

#[test]
fn what_is_needed_stops_only_with_those_who_need_it_and_after_them() {
    let mut bench = chain();
    let (db, api, web) = (bench.id("db"), bench.identity("api"), bench.identity("web"));
    assert_eq!(bench.command(Command::Stop(db, StopMode::Alone)), Err(ServiceError::InvalidState(State::Running)));
    bench.command(Command::Stop(db, StopMode::Cascade)).unwrap();
    bench.step(Event::Tick);
    assert_eq!((bench.state("db"), bench.state("api")), (State::Running, State::Running));
    assert!(matches!(bench.state("web"), State::Stopping(_)));
    bench.step(Event::Empty(web, None));
    assert!(matches!(bench.state("api"), State::Stopping(_)));
    assert_eq!(bench.state("db"), State::Running);
    bench.step(Event::Empty(api, None));
    assert!(matches!(bench.state("db"), State::Stopping(_)));
    let web = bench.id("web");
    bench.command(Command::Start(web)).unwrap();
    assert_eq!(bench.engine.root_causes(web), vec![(db, crate::Root::Stopping)]);
}

#[test]
fn a_spawn_that_fails_after_the_stop_leaves_nothing_behind() {
    let mut bench = Bench::new(vec![daemon("a")]);
    let (id, identity) = (bench.id("a"), bench.identity("a"));
    bench.command(Command::Stop(id, StopMode::Alone)).unwrap();
    let error = crate::SpawnError { step: crate::SpawnStep::Open, errno: 2, retry: crate::Retry::Never };
    bench.step(Event::SpawnFailed(identity, error));
    assert_eq!((bench.state("a"), bench.engine.live_cells()), (State::Down, 0));
}

#[test]
fn delays_double_to_the_maximum_and_never_overflow() {
    let restart = Restart::default();
    assert_eq!(delay(&restart, 1, true, 0), Nanos::ZERO);
    let plain: Vec<u64> = (1..=10).map(|failures| delay(&restart, failures, false, 100).millis()).collect();
    assert_eq!(plain, [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000]);
    let huge = Restart { base: Nanos(u64::MAX / 2), maximum: Nanos(u64::MAX / 2), ..restart };
    for failures in 1..=u8::MAX {
        let (low, high) = (delay(&restart, failures, false, 0), delay(&restart, failures, false, 200));
        assert!(low <= high && high <= Nanos::from_secs(33));
        let _ = delay(&huge, failures, false, 200);
    }
}

#[test]
fn a_service_that_keeps_failing_is_given_up() {
    let mut bench = Bench::new(vec![daemon("a")]);
    let begun = bench.now;
    for _ in 0..=10 {
        let identity = bench.identity("a");
        bench.step(Event::Empty(identity, Some(Exit::Status(1))));
        while bench.state("a") == State::Backoff {
            bench.now = bench.engine.next_deadline().unwrap();
            bench.step(Event::Tick);
        }
    }
    assert_eq!(bench.state("a"), State::Failed);
    let took = (bench.now - begun).secs();
    assert!((70..92).contains(&took), "{took} s until it is given up");
    let mut bench = Bench::new(vec![daemon("a")]);
    let identity = bench.identity("a");
    bench.step(Event::Empty(identity, Some(Exit::Status(125))));
    assert_eq!(bench.state("a"), State::Failed, "no restart cures status 125");
}

#[test]
fn a_starved_service_is_not_taken_for_stuck() {
    let mut hungry = daemon("a");
    hungry.health.watchdog = Some(Nanos::from_secs(2));
    let mut bench = Bench::new(vec![hungry]);
    let identity = bench.identity("a");
    bench.step(Event::Ready(identity));
    for _ in 0..50 {
        let actions = bench.wait(Nanos::from_secs(2));
        assert!(actions.contains(&Action::CheckRunnable(identity)), "{actions:?}");
        bench.step(Event::Runnable(identity, Nanos::from_millis(1)));
    }
    assert_eq!(bench.state("a"), State::Running);
    bench.wait(Nanos::from_secs(2));
    let actions = bench.step(Event::Runnable(identity, Nanos::from_secs(2)));
    assert!(actions.contains(&Action::Signal(identity, 6)), "{actions:?}");
}

#[test]
fn a_rolling_restart_keeps_all_but_one_up_and_stops_at_a_failure() {
    let mut web = daemon("web");
    web.scaling.count = 3;
    let mut bench = Bench::new(vec![web]);
    let id = bench.id("web");
    let all = |bench: &Bench| bench.engine.instances(id).map(|view| view.identity).collect::<Vec<_>>();
    for identity in all(&bench) {
        bench.step(Event::Ready(identity));
    }
    bench.command(Command::Roll(id)).unwrap();
    for _ in 0..3 {
        let stopping = bench.engine.instances(id).filter(|view| view.state != State::Running).collect::<Vec<_>>();
        assert_eq!(stopping.len(), 1);
        bench.step(Event::Empty(stopping[0].identity, None));
        let fresh = bench.engine.instances(id).find(|view| view.state == State::Starting).unwrap().identity;
        bench.step(Event::Ready(fresh));
        assert_eq!(bench.engine.service(id).unwrap().ready, 3);
        bench.wait(Nanos::from_secs(10));
    }
    assert!(!bench.engine.service(id).unwrap().rolling);
    assert!(all(&bench).iter().all(|identity| identity.generation == Generation(2)));
    bench.command(Command::Roll(id)).unwrap();
    let stopping = bench.engine.instances(id).find(|view| view.state != State::Running).unwrap().identity;
    bench.step(Event::Empty(stopping, None));
    let fresh = bench.engine.instances(id).find(|view| view.state == State::Starting).unwrap().identity;
    bench.step(Event::Empty(fresh, Some(Exit::Status(1))));
    let view = bench.engine.service(id).unwrap();
    assert!(!view.rolling && view.roll_failed && view.ready == 2);
}

#[test]
fn roles_are_needed_refusals_recorded_and_names_not_probed() {
    let mut db = daemon("db");
    db.security.exports.push(Export { name: name("sql"), to: vec![name("web")] });
    db.security.allow.push(Allow { role: Role::Operate, who: Subject::Service(name("web")) });
    db.security.allow.push(Allow { role: Role::Observe, who: Subject::Any });
    let mut web = daemon("web");
    web.security.uses.push(name("sql"));
    let mut bench = Bench::new(vec![db, web, daemon("spy")]);
    let caller = |service| Actor::Caller { user: Uid(7), service: Some(service) };
    let (db, web, spy) = (bench.id("db"), caller(bench.id("web")), caller(bench.id("spy")));
    let mut give = |actor, command| bench.engine.command(Nanos::ZERO, actor, command, &mut bench.actions);
    assert_eq!(give(web, Command::Restart(db)), Ok(()));
    for _ in 0..1000 {
        assert_eq!(give(spy, Command::Restart(db)), Err(ServiceError::PermissionDenied(Role::Operate)));
    }
    assert_eq!(give(web, Command::Hold(db)), Err(ServiceError::PermissionDenied(Role::Configure)));
    assert_eq!(give(web, Command::Shutdown(crate::Ending::Halt)), Err(ServiceError::PermissionDenied(Role::Emergency)));
    let catalog = bench.engine.catalog();
    assert_eq!(catalog.discover(web, "sql"), Ok(db));
    assert_eq!(catalog.discover(spy, "sql"), Err(ServiceError::NotFound));
    assert_eq!(catalog.discover(spy, "db"), catalog.discover(spy, "nothing"));
    assert!(catalog.grants(spy, Role::Observe, db));
    let audit = bench.engine.audit();
    assert_eq!(audit.verify(), Ok(()));
    let denied = |audit: &crate::Audit| {
        audit.records().filter(|record| record.actor == spy && matches!(record.deed, crate::Deed::Denied(_))).count()
    };
    assert_eq!((denied(audit), audit.unrecorded()), (8, 992), "a flood does not drive the rest out");
    let restart = Command::Restart(db);
    bench.engine.command(Nanos::from_secs(2), web, restart, &mut bench.actions).unwrap();
    let audit = bench.engine.audit();
    assert!(audit.records().any(|record| record.deed == crate::Deed::Flood(992) && record.actor == spy));
    for user in 100..200 {
        let actor = Actor::Caller { user: Uid(user), service: None };
        let _ = bench.engine.command(Nanos::from_secs(9), actor, restart, &mut bench.actions);
    }
    let audit = bench.engine.audit();
    assert_eq!((audit.verify(), audit.unrecorded()), (Ok(()), 92), "nor does a flood from many");
}

#[test]
fn a_tampered_audit_record_breaks_the_chain() {
    let mut random = Random::new(3);
    for full in [20, 200] {
        let mut audit = crate::Audit::new(64);
        for at in 0..full {
            let deed =
                if random.percent(50) { crate::Deed::Allowed(1) } else { crate::Deed::Denied(random.below(2) as u8) };
            audit.add(Nanos::from_secs(at), Actor::ROOT, ServiceId(random.below(3) as u16), deed);
            assert_eq!(audit.verify(), Ok(()));
        }
        for slot in 0..audit.records().count() {
            let mut bad = audit.clone();
            bad.tamper(slot, |record| record.time.0 ^= 1);
            assert!(bad.verify().is_err());
            let mut bad = audit.clone();
            bad.tamper(slot, |record| record.target.0 ^= 1);
            assert!(bad.verify().is_err());
        }
    }
}

#[test]
fn balancing_follows_its_policy() {
    let identity = |at| Identity { instance: InstanceId(at), generation: Generation(1) };
    let from = |hash| crate::Caller { hash, cpu: 0 };
    for policy in [Balance::Least, Balance::TwoChoices, Balance::RoundRobin, Balance::Hash, Balance::LocalCpu] {
        let mut balancer = Balancer::new(policy, Nanos::ZERO, 8, 9);
        assert_eq!(balancer.pick(Nanos::ZERO, from(0)), None);
        for at in 0..8 {
            balancer.publish(Nanos::ZERO, identity(at)).unwrap();
        }
        assert!(balancer.publish(Nanos::ZERO, identity(0)).is_err());
        for caller in 0..8000 {
            assert!(balancer.pick(Nanos::ZERO, from(caller)).is_some());
        }
        let loads: Vec<u32> = balancer.loads().map(|(_, load)| load).collect();
        assert_eq!(loads.iter().sum::<u32>(), 8000);
        let most = *loads.iter().max().unwrap();
        let bound = match policy {
            Balance::Least | Balance::RoundRobin | Balance::LocalCpu => 1000,
            Balance::TwoChoices => 1010,
            Balance::Hash => 1150,
        };
        assert!(most <= bound, "{policy:?}: {loads:?}");
        if policy == Balance::Hash {
            let first = balancer.pick(Nanos::ZERO, from(5));
            assert_eq!(balancer.pick(Nanos::ZERO, from(5)), first);
        }
        // A faulty one is passed over, for a while, and never the last.
        for _ in 0..5 {
            balancer.finish(Nanos::ZERO, identity(3), Work::Failed);
        }
        assert_eq!(balancer.ejected(Nanos::ZERO), 1);
        for caller in 0..500 {
            assert_ne!(balancer.pick(Nanos::ZERO, from(caller)), Some(identity(3)));
        }
        assert_eq!(balancer.ejected(Nanos::from_secs(31)), 0);
        assert!(balancer.unpublish(identity(3)) > 0);
    }
    let mut young = Balancer::new(Balance::Least, Nanos::from_secs(10), 2, 1);
    young.publish(Nanos::ZERO, identity(0)).unwrap();
    young.publish(Nanos::from_secs(100), identity(1)).unwrap();
    for _ in 0..110 {
        young.pick(Nanos::from_secs(100), from(0));
    }
    let loads: Vec<u32> = young.loads().map(|(_, load)| load).collect();
    assert!((8..=12).contains(&loads[1]), "a new instance begins with a tenth: {loads:?}");
}

#[test]
fn one_that_was_slow_does_not_make_up_for_it_when_there_is_little_to_do() {
    let identity = |at| Identity { instance: InstanceId(at), generation: Generation(1) };
    let mut balancer = Balancer::new(Balance::Least, Nanos::ZERO, 8, 9);
    for at in 0..8 {
        balancer.publish(Nanos::ZERO, identity(at)).unwrap();
    }
    let mut slow = None;
    for _ in 0..12 {
        let chosen = balancer.pick(Nanos::ZERO, crate::Caller::default()).unwrap();
        assert_eq!(*slow.get_or_insert(chosen), chosen, "among those with nothing to do, who got least");
        // Each of the others does five while this one does one.
        for _ in 0..35 {
            let other = balancer.pick(Nanos::ZERO, crate::Caller::default()).unwrap();
            assert_ne!(other, chosen, "fewest in flight");
            balancer.finish(Nanos::ZERO, other, crate::Work::Done);
        }
        balancer.finish(Nanos::ZERO, chosen, crate::Work::Done);
    }
    let mut times = 0;
    for _ in 0..80 {
        let chosen = balancer.pick(Nanos::ZERO, crate::Caller::default()).unwrap();
        times += u32::from(Some(chosen) == slow);
        balancer.finish(Nanos::ZERO, chosen, crate::Work::Done);
    }
    assert!((10..=15).contains(&times), "its turn and a little: {times}");
}

#[test]
fn work_stays_on_its_cpu_where_somebody_waits() {
    let identity = |at| Identity { instance: InstanceId(at), generation: Generation(1) };
    let mut balancer = Balancer::new(Balance::LocalCpu, Nanos::ZERO, 4, 9);
    for at in 0..4 {
        balancer.publish(Nanos::ZERO, identity(at)).unwrap();
    }
    balancer.waits_on(identity(2), Some(5));
    for _ in 0..10 {
        assert_eq!(balancer.pick(Nanos::ZERO, crate::Caller { hash: 0, cpu: 5 }), Some(identity(2)));
    }
    balancer.waits_on(identity(2), None);
    for _ in 0..30 {
        assert_ne!(balancer.pick(Nanos::ZERO, crate::Caller { hash: 0, cpu: 5 }), Some(identity(2)));
    }
}

#[test]
fn errors_have_fifteen_kinds_with_an_exit_code_each() {
    use ServiceError as E;
    let all = [
        E::NotFound,
        E::AlreadyExists,
        E::InvalidDefinition(crate::Field::Name),
        E::InvalidState(State::Down),
        E::PermissionDenied(Role::Observe),
        E::CircularDependency,
        E::DependencyUnsatisfied(crate::Unsatisfied::Missing),
        E::ResourceExhausted(crate::Resource::Memory),
        E::CapacityExhausted(crate::Capacity::Edges),
        E::SpawnFailed(crate::SpawnError { step: crate::SpawnStep::Open, errno: 2, retry: crate::Retry::Never }),
        E::StartTimeout,
        E::StopTimeout,
        E::HealthCheckFailed(crate::Health::Probe),
        E::RestartLimitExceeded,
        E::ShuttingDown,
    ];
    assert_eq!(all.len(), ServiceError::KINDS);
    let codes: Vec<u8> = all.iter().map(|error| error.exit_code()).collect();
    assert_eq!(codes, (4..=18).collect::<Vec<u8>>());
}

#[test]
fn a_plan_is_what_then_happens() {
    let bench = chain();
    let (db, web) = (bench.id("db"), bench.id("web"));
    let stops: Vec<_> = bench
        .engine
        .plan(Command::Stop(db, StopMode::Cascade))
        .iter()
        .map(|step| (step.service.0, step.wave))
        .collect();
    assert_eq!(stops, [(2, 0), (1, 1), (0, 2)]);
    assert!(bench.engine.plan(Command::Start(web)).is_empty());
    assert_eq!(bench.engine.why_started(db), vec![db], "it is enabled itself");
}

#[test]
fn a_reload_keeps_what_an_operator_has_scaled_until_the_definition_says_otherwise() {
    let with = |count: u16| {
        let mut web = daemon("web");
        web.scaling.count = count;
        web
    };
    let mut bench = Bench::new(vec![with(2)]);
    let (id, count) = (bench.id("web"), |bench: &Bench| bench.engine.instances(bench.id("web")).count());
    bench.command(Command::Scale(id, 5)).unwrap();
    bench.all_ready();
    let load = |bench: &mut Bench, set| {
        bench.actions.clear();
        bench.engine.load(bench.now, set, &mut bench.actions)
    };
    load(&mut bench, vec![with(2), daemon("other")]).unwrap();
    assert_eq!((count(&bench), bench.engine.service(id).unwrap().count), (5, 5), "another file has changed");
    let mut described = with(2);
    described.description = "new".into();
    load(&mut bench, vec![described]).unwrap();
    assert_eq!(bench.engine.service(id).unwrap().count, 5, "the file has changed, not the number");
    load(&mut bench, vec![with(3)]).unwrap();
    assert_eq!(bench.engine.service(id).unwrap().count, 3, "the number has");
    load(&mut bench, vec![with(3)]).unwrap();
    assert_eq!(bench.engine.service(id).unwrap().count, 3, "what was scaled before that is forgotten");
    // What is kept counts: it may leave no room for others.
    bench.command(Command::Scale(id, 1000)).unwrap();
    let mut many = daemon("many");
    many.scaling.count = 100;
    let full = ServiceError::CapacityExhausted(crate::Capacity::Instances);
    let mistakes = load(&mut bench, vec![with(3), many]).unwrap_err();
    assert_eq!(mistakes.iter().map(|mistake| mistake.error).collect::<Vec<_>>(), [full]);
}

#[test]
fn a_new_set_takes_the_place_of_one_that_is_leaving() {
    let bounds = crate::Bounds { instances: 8, services: 2, ..crate::Bounds::default() };
    let config = crate::Config { bounds, ..crate::Config::default() };
    let with = |text: &str, count: u16| {
        let mut one = daemon(text);
        one.scaling.count = count;
        one
    };
    let mut bench = Bench::with(config, vec![with("old", 6), with("idle", 2)]);
    let idle = bench.id("idle");
    bench.command(Command::Stop(idle, StopMode::Alone)).unwrap();
    let stopping: Vec<Identity> = bench.engine.instances(idle).map(|view| view.identity).collect();
    stopping.into_iter().for_each(|identity| _ = bench.step(Event::Empty(identity, Some(Exit::Status(0)))));
    bench.all_ready();
    let old: Vec<Identity> = bench.engine.instances(bench.id("old")).map(|view| view.identity).collect();
    bench.actions.clear();
    bench.engine.load(bench.now, vec![with("new", 5), with("more", 3)], &mut bench.actions).unwrap();
    let have = |bench: &Bench, text: &str| bench.engine.instances(bench.id(text)).count();
    // What was down has left at once; the others have their places until they are down.
    assert!(bench.engine.instances(idle).next().is_none());
    assert_eq!(have(&bench, "new") + have(&bench, "more"), 2);
    assert_eq!(bench.engine.instances(bench.id("old")).count(), 6);
    for (gone, identity) in old.into_iter().enumerate() {
        bench.step(Event::Empty(identity, Some(Exit::Status(0))));
        assert_eq!(have(&bench, "new") + have(&bench, "more"), 3 + gone, "one leaves, one comes");
    }
    bench.all_ready();
    let running =
        |text: &str| bench.engine.instances(bench.id(text)).filter(|view| view.state == State::Running).count();
    assert_eq!((running("new"), running("more")), (5, 3));
    // A set that is too large is so whoever leaves.
    let mistakes = bench.engine.load(bench.now, vec![with("x", 5), with("y", 4)], &mut bench.actions).unwrap_err();
    assert_eq!(mistakes[0].error, ServiceError::CapacityExhausted(crate::Capacity::Instances));
}
