//! The guide's names do what they say.

use std::vec;

use super::bench::{daemon, name};
use crate::{
    Action, Actor, Caller, Command, Config, Definition, DependencyKind, Event, Exit, Export, Identity, ServiceError,
    ServiceManager, ServiceStatus, StopMode, Unsatisfied, Work,
};
use types::{Nanos, Uid};

const NOW: Nanos = Nanos::ZERO;
const ROOT: Actor = Actor::ROOT;

fn spawned(manager: &ServiceManager) -> std::vec::Vec<Identity> {
    let spawns = manager.actions().iter();
    spawns.filter_map(|action| if let Action::Spawn(_, identity) = action { Some(*identity) } else { None }).collect()
}

#[test]
fn a_service_is_registered_started_stopped_and_taken_out() {
    let mut manager = ServiceManager::new(Config::default(), 1000);
    let db = manager.create_service_process(NOW, ROOT, name("db"), "/bin/db").unwrap();
    assert_eq!(manager.get_service_status("db"), Ok(ServiceStatus::Disabled));
    let again = Definition::daemon(name("db"), "/bin/other");
    assert_eq!(manager.register_service(NOW, ROOT, again), Err(ServiceError::AlreadyExists));
    let nobody = Actor::Caller { user: Uid(9), service: None };
    assert!(matches!(manager.register_service(NOW, nobody, daemon("x")), Err(ServiceError::PermissionDenied(_))));
    let web = daemon("web").with(DependencyKind::Requires, name("db"));
    manager.register_service(NOW, ROOT, web).unwrap();
    let identity = spawned(&manager)[0];
    manager.step(NOW, Event::Ready(identity));
    let web = spawned(&manager)[0];
    manager.step(NOW, Event::Ready(web));
    assert_eq!(manager.get_service_status("web"), Ok(ServiceStatus::Running));
    assert!(manager.check_service_health("web").unwrap().is_healthy());
    assert!(manager.stop_service(NOW, ROOT, "db", StopMode::Alone).is_err(), "web needs it");
    assert_eq!(
        manager.unregister_service(NOW, ROOT, "db"),
        Err(ServiceError::DependencyUnsatisfied(Unsatisfied::Missing))
    );
    manager.stop_service_process(NOW, ROOT, manager.engine().catalog().find("web").unwrap()).unwrap();
    manager.step(NOW, Event::Tick);
    assert_eq!(manager.get_service_status("web"), Ok(ServiceStatus::Stopping));
    manager.step(NOW, Event::Empty(web, Some(Exit::Status(0))));
    assert_eq!(manager.get_service_status("web"), Ok(ServiceStatus::Disabled));
    manager.start_service(NOW, ROOT, "web").unwrap();
    manager.restart_service_process(NOW, ROOT, db).unwrap();
    manager.unregister_service(NOW, ROOT, "web").unwrap();
    assert_eq!(manager.get_service_status("web"), Err(ServiceError::NotFound));
    manager.rollback(NOW, manager.engine().previous_sets().last().unwrap()).unwrap();
    assert!(manager.get_service_status("web").is_ok());
    assert!(manager.rollback(NOW, 77).unwrap_err().is_empty());
}

#[test]
fn instances_are_found_by_those_who_may_and_share_the_work() {
    let mut echo = daemon("echo");
    echo.scaling.count = 4;
    echo.scaling.slow_start = Nanos::ZERO;
    echo.security.exports.push(Export { name: name("echo-port"), to: vec![name("client")] });
    let mut client = daemon("client");
    client.security.uses.push(name("echo-port"));
    let mut manager = ServiceManager::new(Config::default(), 1000);
    manager.load(NOW, vec![echo, client, daemon("spy")]).unwrap();
    for identity in spawned(&manager) {
        manager.step(NOW, Event::Ready(identity));
    }
    let service = |text| manager.engine().catalog().find(text);
    let caller = |text| Actor::Caller { user: Uid(5), service: service(text) };
    let (client, spy) = (caller("client"), caller("spy"));
    assert_eq!(manager.discover_services(client).collect::<std::vec::Vec<_>>(), [service("echo").unwrap()]);
    assert_eq!(manager.discover_services(spy).count(), 0);
    let from = Caller::default();
    assert_eq!(manager.get_service_instance(NOW, spy, "echo-port", from), Err(ServiceError::NotFound));
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..4 {
        seen.insert(manager.get_service_instance(NOW, client, "echo-port", from).unwrap().instance);
    }
    assert_eq!(seen.len(), 4, "each got one");
    let bad = manager.get_service_instance(NOW, client, "echo-port", from).unwrap();
    for _ in 0..5 {
        manager.finish(NOW, bad, Work::Failed);
    }
    let health = manager.check_service_health("echo").unwrap();
    assert_eq!((health.ready, health.ejected, health.is_healthy()), (4, 1, false));
    let id = manager.engine().catalog().find("echo").unwrap();
    manager.command(NOW, ROOT, Command::Scale(id, 6)).unwrap();
    for identity in spawned(&manager) {
        manager.step(NOW, Event::Ready(identity));
    }
    manager.command(NOW, ROOT, Command::Pause(id)).unwrap();
    assert_eq!(manager.get_service_status("echo"), Ok(ServiceStatus::Paused));
    assert!(matches!(manager.get_service_instance(NOW, client, "echo-port", from), Err(ServiceError::InvalidState(_))));
}
