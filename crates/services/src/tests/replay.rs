//! Every input survives the log, and a log of the same inputs gives the same records; start times steer the next start.

use std::vec;
use std::vec::Vec;

use super::bench::{Bench, daemon, name};
use super::random::Random;
use crate::{
    Action, Actor, Command, Config, Definition, DependencyKind, Entry, Event, EventLog, Exit, Generation, Identity,
    Input, InstanceId, ProbeResult, ReplayError, Resource, Retry, ServiceId, SpawnError, SpawnStep, State, replay,
};
use types::{Nanos, Uid};

fn input(random: &mut Random) -> Input {
    let identity =
        Identity { instance: InstanceId(random.next() as u16), generation: Generation(random.next() as u32) };
    let service = ServiceId(random.next() as u16);
    let byte = random.next() as u8;
    let exit = if random.percent(50) { Exit::Status(byte) } else { Exit::Signal(byte) };
    let user = Uid(random.next() as u32);
    let actor = match random.below(3) {
        0 => Actor::Supervisor,
        1 => Actor::Caller { user, service: None },
        _ => Actor::Caller { user, service: Some(ServiceId(random.next() as u16)) },
    };
    Input::Event(match random.below(22) {
        0 => Event::Tick,
        1 => Event::SpawnFailed(
            identity,
            SpawnError {
                step: SpawnStep::ALL[random.below(5) as usize],
                errno: random.next() as u16,
                retry: if random.percent(50) { Retry::Later } else { Retry::Never },
            },
        ),
        2 => Event::Ready(identity),
        3 => Event::ExtendStart(identity, Nanos(random.next())),
        4 => Event::Alive(identity),
        5 => Event::Runnable(identity, Nanos(random.next())),
        6 => Event::Probed(identity, if random.percent(50) { ProbeResult::Pass } else { ProbeResult::Fail }),
        7 => Event::Drained(identity),
        8 => Event::MainExited(identity, exit),
        9 => Event::Empty(identity, if random.percent(50) { Some(exit) } else { None }),
        10 => Event::QuotaHit(identity, Resource::ALL[random.below(5) as usize]),
        11 => Event::OutOfMemory(identity),
        12 => Event::Ejected(service, random.next() as u16),
        13 => return Input::Boot(random.next() as u32),
        14 => return Input::Load(random.next() as u32),
        15 => return Input::Rollback(random.next() as u32),
        16 => return Input::Learn(service, Nanos(random.next())),
        17 => return Input::Retune,
        18 => return Input::Allowed(actor, service, byte),
        19 => return Input::Denied(actor, service, byte),
        _ => {
            let command = Command::from_code(random.below(23) as u8, service, random.next() as u16).unwrap();
            return Input::Command(actor, command);
        }
    })
}

#[test]
fn every_input_comes_back_from_its_32_bytes() {
    let mut random = Random::new(1);
    for _ in 0..20_000 {
        let (now, told) = (Nanos(random.next()), input(&mut random));
        let entry = Entry::new(now, told);
        assert_eq!(Entry::from_bytes(*entry.as_bytes()).read(), Some((now, told)));
    }
    for code in 0..=u8::MAX {
        let command = Command::from_code(code, ServiceId(1), 2);
        assert!(command.is_none_or(|command| command.code() == code), "{code}");
        assert_eq!(command.is_some(), code <= 22, "{code}");
    }
    for _ in 0..20_000 {
        let bytes: [u8; Entry::SIZE] = core::array::from_fn(|_| random.next() as u8);
        // Whatever is read is a thing to tell.
        let _ = Entry::from_bytes(bytes).read();
    }
}

#[test]
fn a_log_replays_to_the_same_records_and_a_changed_one_does_not() {
    let set = vec![daemon("db"), daemon("web").with(DependencyKind::Requires, name("db"))];
    let mut bench = Bench::new(Vec::new());
    let mut log = EventLog::new(100);
    log.note(Nanos::ZERO, Input::Load(0));
    log.note(Nanos::ZERO, Input::Load(1));
    bench.engine.load(Nanos::ZERO, set.clone(), &mut bench.actions).unwrap();
    for round in 0..20 {
        bench.now += Nanos::from_millis(700);
        for text in ["db", "web"] {
            let identity = bench.identity(text);
            let event =
                if round % 4 == 3 { Event::Empty(identity, Some(Exit::Status(1))) } else { Event::Ready(identity) };
            log.note(bench.now, Input::Event(event));
            bench.step(event);
        }
    }
    let sets = |number: u32| [Vec::new(), set.clone()].get(number as usize).cloned();
    let again = replay(Config::default(), log.entries(), sets).unwrap();
    assert_eq!(again.audit().head(), bench.engine.audit().head());
    assert!(again.audit().made() > 20 && log.lost() == 0);
    let mut entries: Vec<Entry> = log.entries().copied().collect();
    let last =
        entries.iter().rposition(|entry| matches!(entry.read(), Some((_, Input::Event(Event::Empty(..)))))).unwrap();
    entries.remove(last);
    let other = replay(Config::default(), entries.iter(), sets).unwrap();
    assert_ne!(other.audit().head(), bench.engine.audit().head());
    assert_eq!(replay(Config::default(), entries.iter(), |_| None).err(), Some(ReplayError::Set(0)));
    let broken = [Entry::from_bytes([0xff; 32])];
    assert_eq!(replay(Config::default(), broken.iter(), sets).err(), Some(ReplayError::Entry(0)));
    let mut ring = EventLog::new(4);
    for at in 0..10 {
        ring.note(Nanos(at), Input::Retune);
    }
    assert_eq!((ring.entries().count(), ring.lost()), (4, 6));
}

#[test]
fn measured_start_times_decide_who_starts_first() {
    let off = |text| Definition { enabled: false, ..daemon(text) };
    let set = vec![
        off("a"),
        off("b"),
        off("a2").with(DependencyKind::Requires, name("a")),
        off("b2").with(DependencyKind::Requires, name("b")),
        Definition::target(name("all"))
            .with(DependencyKind::Requires, name("a2"))
            .with(DependencyKind::Requires, name("b2")),
    ];
    for (slow, first) in [("a2", "a"), ("b2", "b")] {
        let config = Config { burst: 1, starts_per_second: 1, ..Config::default() };
        let mut bench = Bench::with(config, set.clone());
        bench.engine.learn(bench.id(slow), Nanos::from_secs(20));
        bench.engine.retune();
        bench.command(Command::Start(bench.id("all"))).unwrap();
        let starts = |action: &&Action| matches!(action, Action::Spawn(..));
        let spawns: Vec<Action> = bench.actions.as_slice().iter().filter(starts).copied().collect();
        assert_eq!(spawns, [Action::Spawn(bench.id(first), bench.identity(first))]);
    }
}

#[test]
fn who_waits_for_the_next_starts_is_not_forgotten_by_a_new_order() {
    let config = Config { burst: 1, starts_per_second: 1, ..Config::default() };
    let mut bench = Bench::with(config, vec![daemon("a"), daemon("b")]);
    for name in ["a", "b"] {
        bench.command(Command::Start(bench.id(name))).unwrap();
    }
    let starting = |bench: &Bench| ["a", "b"].iter().filter(|name| bench.state(name) == State::Starting).count();
    assert_eq!(starting(&bench), 1);
    bench.engine.retune();
    assert!(bench.engine.has_pending(), "the next step finds the other again");
    bench.step(Event::Tick);
    assert!(!bench.engine.has_pending() && bench.engine.next_deadline().is_some());
    bench.wait(Nanos::from_secs(1));
    assert_eq!(starting(&bench), 2);
}
