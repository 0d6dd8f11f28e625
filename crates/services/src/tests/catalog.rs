//! Loading: all mistakes at once, nothing changed on error, reproducible choices, the same one set aside every time.

use std::format;
use std::vec;
use std::vec::Vec;

use super::random::{Random, name, set};
use crate::{
    Actions, Bounds, Capacity, Catalog, Config, Definition, Dependency, DependencyKind, Field, Name, Reconciler,
    ServiceError, ServiceId, Unsatisfied, Version, VersionReq,
};
use types::Nanos;

fn daemon(text: &str) -> Definition {
    Definition::daemon(Name::new(text).unwrap(), "/bin/true")
}

fn needs(mut definition: Definition, on: &str) -> Definition {
    definition.dependencies.push(Dependency::new(DependencyKind::Requires, Name::new(on).unwrap()));
    definition
}

fn resolve(set: Vec<Definition>) -> Result<Catalog, Vec<crate::Mistake>> {
    Catalog::resolve(&Catalog::default(), set, Bounds::default())
}

#[test]
fn all_mistakes_of_a_set_are_reported_at_once() {
    let mut bad = daemon("bad");
    bad.stop.signal = 0;
    bad.scaling.count = 0;
    let mistakes = resolve(vec![
        bad,
        needs(daemon("web"), "dbx"),
        daemon("db"),
        needs(daemon("a"), "b"),
        needs(daemon("b"), "c"),
        needs(daemon("c"), "a"),
        daemon("db"),
    ])
    .unwrap_err();
    let has = |error| mistakes.iter().find(|mistake| mistake.error == error);
    assert!(has(ServiceError::InvalidDefinition(Field::StopSignal)).is_some());
    assert!(has(ServiceError::InvalidDefinition(Field::Instances)).is_some());
    assert!(has(ServiceError::AlreadyExists).is_some());
    let missing = has(ServiceError::DependencyUnsatisfied(Unsatisfied::Missing)).unwrap();
    assert_eq!(missing.nearest.as_ref().unwrap().as_str(), "db");
    let circle = has(ServiceError::CircularDependency).unwrap();
    assert_eq!(circle.path.len(), 3);
    assert_eq!(circle.service.as_str(), "c", "the latest of equals is set aside");
}

#[test]
fn a_target_wants_what_is_installed_in_it() {
    let target = Definition::target(Name::new("multi-user").unwrap());
    let mut web = Definition { enabled: true, install: Some(target.name.clone()), ..daemon("web") };
    let mut off = Definition { enabled: false, ..web.clone() };
    off.name = Name::new("off").unwrap();
    let mut engine = Reconciler::new(Config::default());
    let mut actions = Actions::new(1024);
    engine.load(Nanos::ZERO, vec![target.clone(), web.clone(), off], &mut actions).unwrap();
    let id = |engine: &Reconciler, name| engine.catalog().find(name).unwrap();
    assert!(!engine.service(id(&engine, "web")).unwrap().goal);
    let start = crate::Command::Start(id(&engine, "multi-user"));
    engine.command(Nanos::ZERO, crate::Actor::ROOT, start, &mut actions).unwrap();
    assert!(engine.service(id(&engine, "web")).unwrap().goal && !engine.service(id(&engine, "off")).unwrap().goal);
    web.install = Some(Name::new("multi-usr").unwrap());
    let mistakes = resolve(vec![target, web]).unwrap_err();
    assert_eq!(mistakes[0].error, ServiceError::DependencyUnsatisfied(Unsatisfied::Missing));
    assert_eq!(mistakes[0].nearest.as_ref().unwrap().as_str(), "multi-user");
}

#[test]
fn sockets_probes_and_targets_are_checked() {
    use crate::{Endpoint, Listen, OnFailure, Probe, ProbeTarget, SocketKind};
    let sound = |kind, address: &str| Endpoint { kind, address: address.into() }.is_sound();
    for address in ["/run/echo", "@echo"] {
        assert!(sound(SocketKind::Packet, address) && !sound(SocketKind::Tcp, address), "{address}");
    }
    for address in ["8080", "127.0.0.1:80"] {
        assert!(sound(SocketKind::Udp, address) && !sound(SocketKind::Stream, address), "{address}");
    }
    for address in ["", "/", "@", "run/echo", "/a\0b", "0", ":80", "1.2.3:80", "65536"] {
        assert!(!sound(SocketKind::Stream, address) && !sound(SocketKind::Tcp, address), "{address:?}");
    }
    assert!(!sound(SocketKind::Stream, &format!("/{}", "x".repeat(107))));
    let mut probed = daemon("probed");
    probed.health.live = Some(Probe::default());
    assert_eq!(probed.mistakes(), [Field::Probe], "nothing to ask");
    probed.listen.push(Listen::new(SocketKind::Stream, "/run/echo".into(), Name::new("echo").unwrap()));
    assert_eq!(probed.mistakes(), []);
    probed.probe = ProbeTarget::Execute(vec!["true".into()]);
    probed.listen.push(probed.listen[0].clone());
    probed.restart.on_failure = OnFailure::Isolate;
    assert_eq!(probed.mistakes(), [Field::Probe, Field::Listen, Field::Isolate]);
}

#[test]
fn the_highest_matching_version_is_chosen_ties_by_name() {
    let mut set = Vec::new();
    for (text, version) in [("pg-a", "2.5.0"), ("pg-b", "2.9.1"), ("pg-c", "3.1.0"), ("pg-0", "2.9.1")] {
        let mut offer = daemon(text);
        offer.version = Version::parse(version).unwrap();
        offer.provides.push(Name::new("db").unwrap());
        set.push(offer);
    }
    let mut web = daemon("web");
    web.dependencies.push(Dependency {
        kind: DependencyKind::Requires,
        on: Name::new("db").unwrap(),
        version: VersionReq::parse(">=2.1, <3").unwrap(),
    });
    set.push(web);
    let catalog = resolve(set.clone()).unwrap();
    let web = catalog.find("web").unwrap();
    let (_, edge) = catalog.dependencies(web).next().unwrap();
    assert_eq!(catalog.definition(edge.to).unwrap().name.as_str(), "pg-0");
    set.last_mut().unwrap().dependencies[0].version = VersionReq::parse("=9").unwrap();
    let mistakes = resolve(set).unwrap_err();
    assert_eq!(mistakes[0].error, ServiceError::DependencyUnsatisfied(Unsatisfied::Version));
}

#[test]
fn the_provider_chosen_is_the_one_that_trying_all_finds() {
    let mut random = Random::new(17);
    let (mut chosen, mut refused) = (0, 0);
    let number = |random: &mut Random| random.below(4);
    for _ in 0..20_000 {
        let mut set: Vec<Definition> = (0..1 + random.below(6))
            .map(|at| {
                let mut offer = daemon(&format!("p{at}"));
                let pre = if random.percent(20) { "-rc.1" } else { "" };
                let (a, b, c) = (number(&mut random), number(&mut random), number(&mut random));
                offer.version = Version::parse(&format!("{a}.{b}.{c}{pre}")).unwrap();
                if random.percent(80) {
                    offer.provides.push(Name::new("db").unwrap());
                }
                offer
            })
            .collect();
        let (a, b) = (number(&mut random), number(&mut random));
        let text = match random.below(7) {
            0 => "*".into(),
            1 => format!("{a}"),
            2 => format!("{a}.{b}"),
            3 => format!(">={a}.{b}"),
            4 => format!("~{a}.{b}"),
            5 => format!("<{a}.{b}.1"),
            _ => format!(">={a}, <{}", b + 1),
        };
        let wish = VersionReq::parse(&text).unwrap();
        // The highest version that matches; of equal ones the first by name.
        let mut best: Option<&Definition> = None;
        for offer in set.iter().filter(|offer| offer.provides.len() == 1 && wish.matches(&offer.version)) {
            let better = best.is_none_or(|best| {
                offer.version > best.version || offer.version == best.version && offer.name < best.name
            });
            if better {
                best = Some(offer);
            }
        }
        let best = best.map(|best| best.name.clone());
        let any = set.iter().any(|offer| !offer.provides.is_empty());
        let mut user = daemon("user");
        let on = Name::new("db").unwrap();
        user.dependencies.push(Dependency { kind: DependencyKind::Requires, on, version: wish });
        set.push(user);
        match (resolve(set), best) {
            (Ok(catalog), Some(best)) => {
                let (_, edge) = catalog.dependencies(catalog.find("user").unwrap()).next().unwrap();
                assert_eq!(catalog.definition(edge.to).unwrap().name, best, "{text}");
                chosen += 1;
            }
            (Err(mistakes), None) => {
                let why = if any { Unsatisfied::Version } else { Unsatisfied::Missing };
                assert_eq!(mistakes[0].error, ServiceError::DependencyUnsatisfied(why), "{text}");
                refused += 1;
            }
            (found, best) => panic!("{text}: {best:?}, {found:?}"),
        }
    }
    assert!(chosen > 5000 && refused > 2000, "{chosen} {refused}");
}

/// Random sets with circles: what `petgraph` says of them, and what is set aside at boot.
#[test]
fn circles_are_found_where_petgraph_finds_them_and_cost_no_critical_service_without_need() {
    let mut random = Random::new(23);
    let (mut circles, mut sound, mut spared) = (0, 0, 0);
    for _ in 0..5000 {
        let n = 2 + random.below(12);
        let set: Vec<Definition> = (0..n)
            .map(|at| {
                let mut made = Definition { critical: random.percent(20), ..daemon(name(at).as_str()) };
                for _ in 0..random.below(3) {
                    let kind = [DependencyKind::Wants, DependencyKind::After, DependencyKind::Conflicts];
                    let kind = kind[random.below(3) as usize];
                    let on = name(random.below(n));
                    if on != made.name && made.dependencies.iter().all(|known| known.on != on) {
                        made.dependencies.push(Dependency::new(kind, on));
                    }
                }
                made
            })
            .collect();
        let graph = |set: &[Definition]| {
            let mut graph = petgraph::graph::DiGraph::<(), ()>::new();
            let nodes: Vec<_> = set.iter().map(|_| graph.add_node(())).collect();
            for (from, definition) in set.iter().enumerate() {
                for dependency in definition.dependencies.iter().filter(|dependency| dependency.kind.orders()) {
                    if let Some(to) = set.iter().position(|other| other.name == dependency.on) {
                        graph.add_edge(nodes[from], nodes[to], ());
                    }
                }
            }
            graph
        };
        let cyclic = petgraph::algo::is_cyclic_directed(&graph(&set));
        match resolve(set.clone()) {
            Ok(catalog) => {
                assert!(!cyclic);
                sound += 1;
                for edge in catalog.edges().iter().filter(|edge| edge.kind.orders()) {
                    assert!(catalog.level(edge.from) > catalog.level(edge.to));
                }
            }
            Err(_) => assert!(cyclic),
        }
        let (kept, aside) = Catalog::salvage(&Catalog::default(), set.clone(), Bounds::default());
        assert_eq!(cyclic, !aside.is_empty());
        assert_eq!(kept.services().count() + aside.len(), set.len(), "nothing else is lost");
        let again = Catalog::salvage(&Catalog::default(), set.clone(), Bounds::default());
        assert_eq!(again.1, aside, "the same every time");
        for mistake in &aside {
            circles += 1;
            let critical = |name: &Name| set.iter().any(|known| known.name == *name && known.critical);
            assert!(mistake.path.contains(&mistake.service));
            if mistake.path.iter().any(|member| !critical(member)) {
                spared += u64::from(mistake.path.iter().any(critical));
                assert!(!critical(&mistake.service), "{mistake:?}");
            }
        }
    }
    assert!(circles > 1000 && sound > 1000 && spared > 200, "{circles} {sound} {spared}");
}

#[test]
fn boot_sets_aside_the_bad_and_keeps_the_rest() {
    let mut critical = needs(daemon("z"), "y");
    critical.critical = true;
    let set = vec![daemon("good"), needs(daemon("y"), "z"), critical, needs(daemon("user"), "y")];
    let (catalog, aside) = Catalog::salvage(&Catalog::default(), set, Bounds::default());
    // The critical one stays in the end only if it needs nothing that is gone: it needs y, so it goes too, as missing.
    assert!(catalog.find("good").is_some() && catalog.find("y").is_none());
    assert_eq!(aside[0].error, ServiceError::CircularDependency);
    assert_eq!(aside[0].service.as_str(), "y");
    assert_eq!(aside.len(), 3);
}

#[test]
fn capacities_are_refused_not_exceeded() {
    let bounds = Bounds { services: 3, instances: 4, edges: 1, memory: 10 };
    let many: Vec<_> = (0..5).map(|at| daemon(&format!("s{at}"))).collect();
    let mistakes = Catalog::resolve(&Catalog::default(), many, bounds).unwrap_err();
    assert_eq!(mistakes.len(), 2);
    assert!(mistakes.iter().all(|mistake| mistake.error == ServiceError::CapacityExhausted(Capacity::Services)));
    let mut wide = daemon("wide");
    wide.scaling.count = 5;
    let mistakes = Catalog::resolve(&Catalog::default(), vec![wide], bounds).unwrap_err();
    assert_eq!(mistakes[0].error, ServiceError::CapacityExhausted(Capacity::Instances));
    let edges = vec![daemon("a"), needs(daemon("b"), "a"), needs(daemon("c"), "a")];
    let mistakes = Catalog::resolve(&Catalog::default(), edges, bounds).unwrap_err();
    assert_eq!(mistakes[0].error, ServiceError::CapacityExhausted(Capacity::Edges));
}

#[test]
fn a_refused_load_changes_nothing_and_numbers_survive_a_reload() {
    let mut engine = Reconciler::new(Config::default());
    let mut actions = Actions::new(1024);
    let mut random = Random::new(5);
    let first = set(&mut random, 10);
    engine.load(Nanos::ZERO, first.clone(), &mut actions).unwrap();
    let before = std::format!("{engine:?}");
    let mut bad = first.clone();
    bad.push(needs(daemon("x"), "nowhere"));
    assert!(engine.load(Nanos::from_secs(1), bad, &mut actions).is_err());
    assert_eq!(std::format!("{engine:?}"), before);
    actions.clear();
    let mut turned = first;
    turned.reverse();
    turned.push(daemon("new"));
    engine.load(Nanos::from_secs(1), turned, &mut actions).unwrap();
    for at in 0..10 {
        assert_eq!(engine.catalog().find(name(at).as_str()), Some(ServiceId(at as u16)));
    }
}

#[test]
fn names_are_checked() {
    for good in ["a", "web#0", "worker@x", "a.b_c-d:e"] {
        assert!(Name::new(good).is_ok(), "{good}");
    }
    for bad in ["", "-a", "a/b", "a b", "ä", &"x".repeat(65)] {
        assert!(Name::new(bad).is_err(), "{bad}");
    }
}
