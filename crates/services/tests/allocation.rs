//! I18: a step takes no memory, whatever happens in it.

use allocation_counter::measure;
use services::{Actions, Actor, Command, Config, Definition, DependencyKind, Event, Exit, Name, Reconciler, ServiceId};
use types::Nanos;

#[test]
fn steps_and_commands_allocate_nothing() {
    let name = |at: u16| Name::new(&format!("s{at}")).unwrap();
    let set: Vec<Definition> = (0..300)
        .map(|at| {
            let mut made = Definition { enabled: true, ..Definition::daemon(name(at), "/bin/true") };
            for step in [1, 7, 50] {
                if at >= step {
                    made = made.with(DependencyKind::Requires, name(at - step));
                }
            }
            made
        })
        .collect();
    let mut engine = Reconciler::new(Config::default());
    let mut actions = Actions::new(1024);
    engine.load(Nanos::ZERO, set, &mut actions).unwrap();
    let mut seed = 7u64;
    let mut checked = 0;
    for round in 0..20_000u64 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let id = ServiceId((seed >> 33) as u16 % 300);
        let identity = engine.instances(id).next().unwrap().identity;
        let now = Nanos::from_millis(round);
        let command = match seed >> 60 {
            0 => Some(Command::Restart(id)),
            1 => Some(Command::Start(id)),
            2 => Some(Command::Stop(id, services::StopMode::Cascade)),
            3 => Some(Command::Scale(id, 1 + (seed >> 50) as u16 % 2)),
            _ => None,
        };
        let event = match seed >> 60 {
            4..=12 => Event::Ready(identity),
            13 => Event::Tick,
            _ => Event::Empty(identity, Some(Exit::Status(1))),
        };
        actions.clear();
        let used = measure(|| match command {
            Some(command) => {
                let _ = engine.command(now, Actor::ROOT, command, &mut actions);
            }
            None => engine.step(now, event, &mut actions),
        });
        assert_eq!(used.count_total, 0, "round {round}: {command:?} {event:?}");
        checked += actions.as_slice().len();
    }
    actions.clear();
    let used = measure(|| {
        let _ =
            engine.command(Nanos::from_secs(100), Actor::ROOT, Command::Shutdown(services::Ending::Halt), &mut actions);
    });
    assert_eq!(used.count_total, 0);
    assert!(checked > 1000);
}
