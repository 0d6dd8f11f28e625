//! The supervisor against a pretended kernel: what is ordered, in which order, and what callers get.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use process::{Cell, CellBoard};
use services::wire::{LoadMode, Reply, Request, Unit, Verb};
use services::{
    Actor, Class, Definition, DependencyKind, Ending, Name, OnMemory, ProbeResult, Readiness, Retry, Role,
    ServiceError, SpawnError, SpawnStep, State, StopMode,
};
use types::{Nanos, Uid};

use crate::{CellId, Facts, File, Launch, Pause, Services, Settings, SignOfLife, World};

/// Notes what it is told.
#[derive(Default)]
struct Told {
    now: AtomicU64,
    deeds: Mutex<Vec<String>>,
    /// Starts of these fail.
    refuse: Mutex<BTreeMap<String, SpawnError>>,
    cells: Mutex<BTreeMap<String, Arc<Cell>>>,
}

impl Told {
    fn note(&self, deed: String) {
        self.deeds.lock().unwrap().push(deed);
    }

    fn name(&self, cell: &Arc<Cell>) -> String {
        let cells = self.cells.lock().unwrap();
        cells.iter().find(|(_, known)| Arc::ptr_eq(known, cell)).map(|(name, _)| name.clone()).unwrap_or_default()
    }
}

impl World for Told {
    fn now(&self) -> Nanos {
        Nanos(self.now.load(Ordering::SeqCst))
    }

    fn spawn(&self, launch: &Launch) -> Result<(), SpawnError> {
        self.note(alloc::format!("spawn {}", launch.name()));
        if let Some(error) = self.refuse.lock().unwrap().get(&launch.name()) {
            return Err(*error);
        }
        self.cells.lock().unwrap().insert(launch.name(), launch.cell.clone());
        launch.output.write(b"begun\n");
        Ok(())
    }

    fn signal_main(&self, cell: &Arc<Cell>, signal: u8) {
        self.note(alloc::format!("signal {} {signal}", self.name(cell)));
    }

    fn signal_all(&self, cell: &Arc<Cell>, signal: u8) {
        self.note(alloc::format!("signal all of {} {signal}", self.name(cell)));
    }

    fn pause(&self, cell: &Arc<Cell>, pause: Pause) {
        self.note(alloc::format!("pause {} {pause:?}", self.name(cell)));
    }

    fn urgency(&self, class: Option<Class>) -> u32 {
        10 * class.unwrap_or(Class::Service) as u32
    }

    fn hasten(&self, cell: &Arc<Cell>) {
        self.note(alloc::format!("hasten {} {:?}", self.name(cell), cell.awaited_by()));
    }

    fn kill(&self, cell: &Arc<Cell>) {
        self.note(alloc::format!("kill {}", self.name(cell)));
    }

    fn runnable(&self, _cell: &Arc<Cell>, since: SignOfLife) -> Nanos {
        self.now().saturating_sub(since.at)
    }

    fn probe(&self, _launch: &Launch) -> Option<ProbeResult> {
        Some(ProbeResult::Pass)
    }

    fn arrange(&self, service: &Name) {
        self.note(alloc::format!("arrange {service}"));
    }

    fn end(&self, ending: Ending) {
        self.note(alloc::format!("end {ending:?}"));
    }

    fn pids(&self, _cell: &Arc<Cell>) -> Vec<u32> {
        Vec::new()
    }

    fn facts(&self, _cell: &Arc<Cell>) -> Facts {
        Facts { memory: 4096, cpu: Nanos(7), ..Facts::default() }
    }

    fn census(&self, visit: &mut dyn FnMut(u64, Facts)) {
        // Two processes in each cell.
        for cell in self.cells.lock().unwrap().values() {
            visit(cell.id(), Facts { memory: 4096, cpu: Nanos(7), ..Facts::default() });
            visit(cell.id(), Facts { memory: 4096, cpu: Nanos(7), ..Facts::default() });
        }
    }

    fn stuck(&self, _cell: &Arc<Cell>) -> String {
        "stuck".into()
    }

    fn wake_task(&self) {}
}

struct Bench {
    services: Services,
    world: Told,
}

impl Bench {
    fn new() -> Self {
        let settings = Settings {
            seed: 1,
            memory: 1 << 30,
            shutdown_timeout: Nanos::from_secs(30),
            shutdown_grace: Nanos::from_secs(5),
        };
        Self { services: Services::new(settings), world: Told::default() }
    }

    fn ask_as(&self, actor: Actor, request: Request) -> Reply {
        let now = self.world.now();
        self.services.with(&self.world, |supervisor| supervisor.request(&self.world, now, actor, request))
    }

    fn ask(&self, request: Request) -> Reply {
        self.ask_as(Actor::ROOT, request)
    }

    fn load(&self, set: Vec<Definition>) -> Reply {
        self.ask(Request::Load { mode: LoadMode::Replace, units: set.into_iter().map(Unit::bare).collect() })
    }

    fn verb(&self, verb: Verb, name: &str) -> Reply {
        self.ask(Request::Control { verb, name: self::name(name), mode: StopMode::Cascade })
    }

    /// Does all there is to do now; what that was.
    fn settle(&self) -> Vec<String> {
        while self.services.work(&self.world) == Some(Nanos::ZERO) {}
        core::mem::take(&mut *self.world.deeds.lock().unwrap())
    }

    fn advance(&self, by: Nanos) -> Vec<String> {
        self.world.now.fetch_add(by.0, Ordering::SeqCst);
        self.settle()
    }

    fn cell(&self, name: &str) -> Arc<Cell> {
        self.world.cells.lock().unwrap().get(name).cloned().unwrap()
    }

    /// All processes of a service are gone.
    fn empty(&self, name: &str) {
        self.world.cells.lock().unwrap().remove(name).unwrap().post();
    }

    fn state(&self, name: &str) -> State {
        match self.ask(Request::Status(self::name(name))) {
            Reply::Status(status) => status.instances.first().unwrap().row.state,
            other => panic!("{other:?}"),
        }
    }

    fn text(&self, name: &str, file: File) -> String {
        let mut out = String::new();
        self.services.look(|supervisor| {
            let id = supervisor.visible(Actor::Supervisor, name).unwrap();
            supervisor.write(&self.world, self.world.now(), id, file, &mut out).unwrap();
        });
        out
    }
}

fn of_class(class: Class, definition: Definition) -> Definition {
    Definition { class: Some(class), ready: Readiness::Notify, ..definition }
}

#[test]
fn who_is_waited_for_is_as_urgent_as_who_waits() {
    use Class::{Background, Interactive, User};
    let bench = Bench::new();
    bench.load(alloc::vec![
        of_class(Interactive, daemon("web").with(DependencyKind::Requires, name("db"))),
        of_class(User, daemon("db").with(DependencyKind::Wants, name("disk"))),
        of_class(Background, daemon("disk")),
        of_class(Background, daemon("rest")),
    ]);
    let ready = |name: &str| {
        let now = bench.world.now();
        bench.services.with(&bench.world, |supervisor| supervisor.notice(now, &bench.cell(name), b"READY=1"));
    };
    bench.verb(Verb::Start, "rest");
    assert_eq!(bench.settle(), ["spawn rest"]);
    bench.verb(Verb::Start, "web");
    assert_eq!(bench.settle(), ["spawn disk", "hasten disk Some(10)"], "through db");
    ready("disk");
    assert_eq!(bench.settle(), ["spawn db", "hasten db Some(10)", "hasten disk None"]);
    ready("db");
    assert_eq!(bench.settle(), ["spawn web", "hasten db None"]);
    // Who calls and waits.
    let waits = |service: &str, urgency| {
        bench.services.with(&bench.world, |supervisor| supervisor.waits_for_start(name(service), urgency)).unwrap()
    };
    let gives_up = |number| bench.services.with(&bench.world, |supervisor| supervisor.gives_up_waiting(number));
    let (first, second) = (waits("rest", 20), waits("rest", 5));
    assert_eq!(bench.settle(), ["hasten rest Some(5)"]);
    gives_up(second);
    assert_eq!(bench.settle(), ["hasten rest Some(20)"]);
    let slow = waits("rest", 90);
    assert_eq!(bench.settle(), Vec::<String>::new(), "less urgent than it is itself");
    gives_up(slow);
    ready("rest");
    assert_eq!(bench.settle(), ["hasten rest None"]);
    gives_up(first);
    waits("web", 0);
    assert_eq!(bench.settle(), ["hasten web Some(0)"]);
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn daemon(text: &str) -> Definition {
    Definition::daemon(name(text), "/bin/daemon")
}

#[test]
fn starts_follow_dependencies_and_stops_go_the_other_way() {
    let bench = Bench::new();
    bench.load(alloc::vec![daemon("web").with(DependencyKind::Requires, name("db")), daemon("db")]);
    assert_eq!(bench.settle(), Vec::<String>::new(), "nobody wants anything");
    assert_eq!(bench.verb(Verb::Start, "web"), Reply::Ok);
    assert_eq!(bench.settle(), ["spawn db", "spawn web"]);
    assert_eq!((bench.state("db"), bench.state("web")), (State::Running, State::Running));
    bench.verb(Verb::Stop, "db");
    assert_eq!(bench.settle(), ["signal web 15"], "who needs it goes first");
    bench.empty("web");
    assert_eq!(bench.settle(), ["signal db 15"]);
    bench.empty("db");
    bench.settle();
    assert_eq!(bench.state("db"), State::Down);
}

#[test]
fn a_stop_ends_with_a_kill_of_the_cell() {
    let bench = Bench::new();
    bench.load(alloc::vec![daemon("deaf")]);
    bench.verb(Verb::Start, "deaf");
    bench.settle();
    bench.verb(Verb::Stop, "deaf");
    assert_eq!(bench.settle(), ["signal deaf 15"]);
    assert_eq!(bench.advance(Nanos::from_secs(30)), ["signal all of deaf 15"]);
    assert_eq!(bench.advance(Nanos::from_secs(5)), ["kill deaf"]);
    bench.empty("deaf");
    bench.settle();
    assert_eq!(bench.state("deaf"), State::Down);
}

#[test]
fn a_failed_start_leaves_no_cell_and_is_repeated_or_not_as_it_makes_sense() {
    let bench = Bench::new();
    bench.load(alloc::vec![daemon("missing"), daemon("short")]);
    let error = |errno, retry| SpawnError { step: SpawnStep::Open, errno, retry };
    bench
        .world
        .refuse
        .lock()
        .unwrap()
        .extend([("missing".into(), error(2, Retry::Never)), ("short".into(), error(12, Retry::Later))]);
    bench.verb(Verb::Start, "missing");
    bench.verb(Verb::Start, "short");
    bench.settle();
    assert_eq!((bench.state("missing"), bench.state("short")), (State::Failed, State::Backoff));
    bench.world.refuse.lock().unwrap().clear();
    assert_eq!(bench.advance(Nanos::from_secs(1)), ["spawn short"]);
    assert_eq!(bench.state("short"), State::Running);
}

#[test]
fn readiness_comes_as_the_definition_says() {
    let bench = Bench::new();
    let with = |text: &str, ready| Definition { ready, ..daemon(text) };
    let kinds = [("notify", Readiness::Notify), ("listen", Readiness::Listen), ("fd", Readiness::Descriptor(4))];
    bench.load(kinds.iter().map(|(text, ready)| with(text, *ready)).collect());
    for (text, ready) in kinds {
        bench.verb(Verb::Start, text);
        bench.settle();
        assert_eq!(bench.state(text), State::Starting);
        let cell = bench.cell(text);
        let other = if ready == Readiness::Listen { Readiness::Descriptor(4) } else { Readiness::Listen };
        bench.services.with(&bench.world, |supervisor| {
            supervisor.seems_ready(Nanos(1), &cell, other);
            supervisor.seems_ready(Nanos(1), &cell, Readiness::Descriptor(5));
        });
        assert_eq!(bench.state(text), State::Starting, "not so");
        bench.services.with(&bench.world, |supervisor| match ready {
            Readiness::Notify => {
                assert_eq!(supervisor.notice(Nanos(1), &cell, b"STATUS=well\nMAINPID=77\nREADY=1"), Some(77));
            }
            ready => supervisor.seems_ready(Nanos(1), &cell, ready),
        });
        assert_eq!(bench.state(text), State::Running);
    }
    match bench.ask(Request::Status(name("notify"))) {
        Reply::Status(status) => assert_eq!(status.instances.first().unwrap().notice, "well"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn news_of_an_earlier_life_changes_nothing() {
    let bench = Bench::new();
    bench.load(alloc::vec![Definition { ready: Readiness::Notify, ..daemon("a") }]);
    bench.verb(Verb::Start, "a");
    bench.settle();
    let old = bench.cell("a");
    bench.empty("a");
    bench.settle();
    bench.advance(Nanos::from_secs(2));
    assert_eq!(bench.state("a"), State::Starting);
    let (first, second) = (CellId::of(&old).identity, CellId::of(&bench.cell("a")).identity);
    assert!(first.instance == second.instance && first.generation < second.generation);
    old.clone().post();
    bench.services.with(&bench.world, |supervisor| _ = supervisor.notice(Nanos(1), &old, b"READY=1"));
    bench.settle();
    assert_eq!(bench.state("a"), State::Starting);
}

#[test]
fn rights_are_asked_for_and_refusals_recorded() {
    let bench = Bench::new();
    bench.load(alloc::vec![daemon("a"), daemon("b")]);
    let stranger = Actor::Caller { user: Uid(1000), service: None };
    let inside = Actor::Caller { user: Uid::ROOT, service: bench.services.look(|s| s.visible(stranger_root(), "a")) };
    let refused = |actor, request| match bench.ask_as(actor, request) {
        Reply::Error(failure) => Some(failure.error),
        _ => None,
    };
    let start = || Request::Control { verb: Verb::Start, name: name("a"), mode: StopMode::Alone };
    assert_eq!(refused(stranger, start()), Some(ServiceError::PermissionDenied(Role::Operate)));
    assert_eq!(refused(inside, start()), Some(ServiceError::PermissionDenied(Role::Operate)));
    for actor in [stranger, inside] {
        let load = Request::Load { mode: LoadMode::Replace, units: Vec::new() };
        assert_eq!(refused(actor, load), Some(ServiceError::PermissionDenied(Role::Configure)));
        assert_eq!(refused(actor, Request::Rollback(None)), Some(ServiceError::PermissionDenied(Role::Configure)));
        assert_eq!(refused(actor, Request::Audit(0)), Some(ServiceError::PermissionDenied(Role::Observe)));
        assert!(matches!(refused(actor, Request::Status(name("b"))), Some(ServiceError::PermissionDenied(_))));
    }
    assert_eq!(refused(inside, Request::Status(name("a"))), None, "a service sees itself");
    assert_eq!(
        (bench.ask_as(stranger, Request::List), rows(bench.ask_as(inside, Request::List))),
        (Reply::Rows(Vec::new()), 1)
    );
    match bench.ask(Request::Audit(0)) {
        Reply::Audit(part) => {
            let denied = part.records.iter().filter(|one| matches!(one.deed, services::Deed::Denied(_))).count();
            assert!(denied >= 8 && part.broken.is_none(), "{denied}");
        }
        other => panic!("{other:?}"),
    }
}

fn stranger_root() -> Actor {
    Actor::ROOT
}

fn rows(reply: Reply) -> usize {
    match reply {
        Reply::Rows(rows) => rows.len(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn loads_are_numbered_checked_and_taken_back() {
    let bench = Bench::new();
    assert_eq!(bench.load(alloc::vec![daemon("a")]), Reply::Loaded { number: 1, aside: Vec::new() });
    assert_eq!(bench.load(alloc::vec![daemon("a"), daemon("b")]), Reply::Loaded { number: 2, aside: Vec::new() });
    let bad = || alloc::vec![Unit::bare(daemon("c").with(DependencyKind::Requires, name("nobody")))];
    for mode in [LoadMode::Check, LoadMode::Replace] {
        let reply = bench.ask(Request::Load { mode, units: bad() });
        assert!(matches!(reply, Reply::Mistakes(list) if list.len() == 1));
    }
    assert_eq!(rows(bench.ask(Request::List)), 2, "nothing changed");
    let mut units = bad();
    units.push(Unit::bare(daemon("d")));
    let boot = bench.ask(Request::Load { mode: LoadMode::Boot, units });
    assert!(matches!(boot, Reply::Loaded { number: 3, aside } if aside.len() == 1));
    assert!(matches!(bench.ask(Request::Rollback(Some(2))), Reply::Loaded { number: 4, .. }));
    bench.settle();
    assert_eq!(rows(bench.ask(Request::List)), 2);
    let update = Request::Update(alloc::boxed::Box::new(Unit::bare(daemon("e"))));
    assert!(matches!(bench.ask(update), Reply::Loaded { number: 5, .. }));
    assert_eq!(rows(bench.ask(Request::List)), 3);
    match bench.ask(Request::Status(name("bb"))) {
        Reply::Error(failure) => {
            assert_eq!((failure.error, failure.names.len()), (ServiceError::NotFound, 1), "a name that is near");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_this_kernel_cannot_do_is_refused() {
    let bench = Bench::new();
    let mut network = daemon("network");
    let listen = services::Listen::new(services::SocketKind::Tcp, "80".into(), name("http"));
    network.listen.push(listen);
    let mut probed = daemon("probed");
    probed.health.live = Some(services::Probe::default());
    probed.probe = services::ProbeTarget::Connect(services::Endpoint {
        kind: services::SocketKind::Tcp,
        address: "127.0.0.1:80".into(),
    });
    for bad in [network, probed] {
        assert!(matches!(bench.load(alloc::vec![daemon("a"), bad.clone()]), Reply::Mistakes(list) if list.len() == 1));
        let units = alloc::vec![Unit::bare(daemon("a")), Unit::bare(bad)];
        let boot = bench.ask(Request::Load { mode: LoadMode::Boot, units });
        assert!(matches!(boot, Reply::Loaded { aside, .. } if aside.len() == 1));
        assert_eq!(rows(bench.ask(Request::List)), 1);
    }
}

#[test]
fn a_quota_on_memory_kills_only_whom_it_shall() {
    let bench = Bench::new();
    let with = |text: &str, on_memory| {
        let mut made = daemon(text);
        (made.limits.memory, made.limits.on_memory) = (Some(1 << 20), on_memory);
        made
    };
    bench.load(alloc::vec![with("bears", OnMemory::Refuse), with("dies", OnMemory::Restart)]);
    for text in ["bears", "dies"] {
        bench.verb(Verb::Start, text);
        bench.settle();
        let cell = bench.cell(text);
        assert_eq!(cell.memory().limit(), 256);
        bench.services.with(&bench.world, |supervisor| supervisor.over_memory(Nanos(1), &cell));
    }
    assert_eq!(bench.settle(), ["kill dies"]);
}

#[test]
fn start_times_are_measured_kept_and_given_back() {
    let bench = Bench::new();
    let mut slow = daemon("slow");
    slow.ready = Readiness::Notify;
    bench.load(alloc::vec![slow.clone(), daemon("other")]);
    bench.verb(Verb::Start, "slow");
    bench.settle();
    bench.advance(Nanos::from_secs(3));
    let now = bench.world.now();
    bench.services.with(&bench.world, |all| all.notice(now, &bench.cell("slow"), b"READY=1"));
    bench.settle();
    let time = |bench: &Bench| {
        bench.services.look(|all| {
            let id = all.visible(Actor::Supervisor, "slow").unwrap();
            all.engine.instances(id).next().unwrap().start_time
        })
    };
    assert_eq!(time(&bench), Nanos::from_secs(3));
    let noted = |bench: &Bench, what: &dyn Fn(&services::Input) -> bool| {
        bench.services.look(|all| all.log.entries().filter_map(|entry| entry.read()).filter(|(_, it)| what(it)).count())
    };
    assert_eq!(noted(&bench, &|input| *input == services::Input::Retune), 1, "the order of starts follows it");
    // Out of the set, gone, and in again.
    bench.load(alloc::vec![daemon("other")]);
    bench.settle();
    bench.empty("slow");
    bench.settle();
    bench.load(alloc::vec![daemon("other")]);
    bench.load(alloc::vec![slow, daemon("other")]);
    bench.settle();
    assert_eq!(time(&bench), Nanos::from_secs(3));
    assert_eq!(noted(&bench, &|input| matches!(input, services::Input::Learn(..))), 1, "a replay knows it as well");
    assert_eq!(noted(&bench, &|input| *input == services::Input::Retune), 2);
}

#[test]
fn a_supervisor_that_contradicts_itself_can_still_be_looked_at_and_ended() {
    let bench = Bench::new();
    bench.load(alloc::vec![Definition { enabled: true, ..daemon("a") }, Definition { enabled: true, ..daemon("b") }]);
    bench.settle();
    bench.services.with(&bench.world, |all| all.engine.give_up());
    assert_eq!(rows(bench.ask(Request::List)), 2);
    assert!(matches!(bench.verb(Verb::Stop, "a"), Reply::Error(_)));
    assert!(bench.settle().is_empty(), "it decides nothing");
    let end = Request::Shutdown(services::wire::Power::Restart);
    let stranger = Actor::Caller { user: Uid(33), service: None };
    assert!(matches!(bench.ask_as(stranger, end.clone()), Reply::Error(_)), "not for everybody");
    assert_eq!(bench.ask(end), Reply::Ok);
    let mut deeds = bench.settle();
    deeds.sort();
    assert_eq!(deeds, ["kill a", "kill b"]);
    bench.empty("a");
    assert!(bench.settle().is_empty());
    bench.empty("b");
    assert_eq!(bench.settle(), ["end Reboot"]);
}

#[test]
fn the_victim_is_a_critical_service_only_if_there_is_no_other() {
    let bench = Bench::new();
    let critical = Definition { critical: true, ..daemon("vital") };
    bench.load(alloc::vec![critical, daemon("large"), daemon("small")]);
    for text in ["vital", "large", "small"] {
        bench.verb(Verb::Start, text);
    }
    bench.settle();
    let victim = |cells: &[(&str, u64)]| {
        let cells: Vec<_> = cells.iter().map(|(text, bytes)| (bench.cell(text).id(), *bytes)).collect();
        bench.services.look(|all| all.victim(&cells))
    };
    let id = |text: &str| bench.cell(text).id();
    assert_eq!(victim(&[("vital", 900), ("large", 800), ("small", 10)]), Some((id("large"), false)));
    assert_eq!(victim(&[("vital", 900), ("small", 10)]), Some((id("small"), false)));
    assert_eq!(victim(&[("vital", 900)]), Some((id("vital"), true)));
    assert_eq!(victim(&[]), None);
}

#[test]
fn a_shutdown_stops_everybody_and_then_the_machine() {
    let bench = Bench::new();
    bench.load(alloc::vec![Definition { enabled: true, ..daemon("a") }, Definition { enabled: true, ..daemon("b") }]);
    bench.settle();
    assert_eq!(bench.ask(Request::Shutdown(services::wire::Power::Restart)), Reply::Ok);
    let mut deeds = bench.settle();
    deeds.sort();
    assert_eq!(deeds, ["signal a 15", "signal b 15"]);
    assert!(
        matches!(bench.verb(Verb::Start, "a"), Reply::Error(failure) if failure.error == ServiceError::ShuttingDown)
    );
    bench.empty("a");
    assert!(bench.settle().is_empty());
    bench.empty("b");
    assert_eq!(bench.settle(), ["end Reboot"]);
}

#[test]
fn text_says_what_is() {
    let bench = Bench::new();
    bench.load(alloc::vec![daemon("web").with(DependencyKind::Requires, name("db")), daemon("db")]);
    let gone = SpawnError { step: SpawnStep::Open, errno: 2, retry: Retry::Never };
    bench.world.refuse.lock().unwrap().insert("db".into(), gone);
    bench.verb(Verb::Start, "web");
    bench.settle();
    let why = bench.text("web", File::Why);
    assert!(why.starts_with("web is waiting: waits\n  db is failed (Requires): Failed"), "{why}");
    assert_eq!(bench.text("db", File::Dependencies), "needed by web (Requires)\n");
    assert!(bench.text("db", File::State).starts_with("0 failed for 0.000 generation 1 failures 0 pid 0"));
    assert!(bench.text("db", File::History).contains("starting -> failed Spawn("));
    bench.world.refuse.lock().unwrap().clear();
    bench.verb(Verb::Start, "db");
    bench.settle();
    assert_eq!(bench.text("web", File::Log), "begun\n");
    assert!(
        bench
            .text("web", File::Usage)
            .starts_with("0 processes 0 tasks 0 refused 0 memory 4096 memory_peak 4096 cpu_us 0")
    );
    match bench.ask(Request::Top) {
        Reply::Rows(rows) => assert!(rows.iter().all(|row| (row.memory, row.cpu) == (8192, Nanos(14)))),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_environment_says_who_it_is_and_cannot_be_forged() {
    let mut definition = daemon("a");
    definition.env.push(("SVC_NAME".into(), "root".into()));
    definition.env.push(("PATH".into(), "/opt".into()));
    definition.health.watchdog = Some(Nanos::from_secs(2));
    let board = Arc::new(CellBoard::new());
    let identity = services::Identity { generation: services::Generation(3), ..Default::default() };
    let id = CellId { service: services::ServiceId(9), identity };
    assert_eq!(CellId::from_number(id.to_number()), id);
    let mut launch = Launch {
        identity,
        index: 2,
        cell: Cell::new(id.to_number(), process::CellLimits::default(), &board, 1).unwrap(),
        unit: Arc::new(Unit::bare(definition)),
        output: Arc::new(crate::Output::new("a".into(), 1, Arc::default())),
        balancing: Arc::new(crate::Balancing::new(Default::default(), 1, Arc::default())),
    };
    let expected = [
        "SVC_NAME=a",
        "SVC_INSTANCE=2",
        "SVC_GENERATION=3",
        "NOTIFY_SOCKET=@multios/notify",
        "WATCHDOG_USEC=2000000",
        "PATH=/opt",
    ];
    assert_eq!(launch.environment(), expected);
    let mut unit = Unit::clone(&launch.unit);
    unit.definition.session = true;
    launch.unit = Arc::new(unit);
    // People may call their variables as they like.
    assert_eq!(
        launch.environment(),
        ["NOTIFY_SOCKET=@multios/notify", "WATCHDOG_USEC=2000000", "SVC_NAME=root", "PATH=/opt"]
    );
}

#[test]
fn a_deadline_that_moves_forward_is_work_for_the_task_that_sleeps() {
    let bench = Bench::new();
    let mut definition = daemon("told");
    definition.ready = Readiness::Notify;
    definition.health.watchdog = Some(Nanos::from_secs(2));
    bench.load(alloc::vec![definition]);
    bench.verb(Verb::Start, "told");
    bench.settle();
    let now = bench.world.now();
    bench.services.with(&bench.world, |all| all.notice(now, &bench.cell("told"), b"READY=1"));
    bench.settle();
    let due = now + Nanos::from_secs(2);
    assert_eq!(bench.services.work(&bench.world), Some(due), "its first sign of life");
    assert!(!bench.services.has_work(Some(due)), "it wakes by itself then");
    assert!(bench.services.has_work(Some(due + Nanos(1))) && bench.services.has_work(None));
}
