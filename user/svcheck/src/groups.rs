//! The checks, by group.

use std::os::unix::process::CommandExt;
use std::process::Command;

use services::wire::{Emergency, LoadMode, Power, Reply, Request, Row, Verb};
use services::{Cause, DependencyKind, Readiness, RestartPolicy, Role, Run, ServiceError, State, StopMode};
use types::{Gid, Nanos, Uid};

use crate::control::{Control, control, many_instances, name, requires, service, survivors, wait};
use crate::{expect, expect_eq};

/// Runs a group; whether there is one of that name. Some take a number after a colon: how often.
pub(crate) fn run(group: &str) -> bool {
    if let Some((group, Ok(times))) = group.split_once(':').map(|(group, times)| (group, times.parse::<u32>())) {
        match group {
            "escape-variants" => crate::escapes::check(times),
            "ready" => ready(times),
            "faults" => crate::faults::check(times, false),
            "faults-hex" => crate::faults::check(times, true),
            "shutdown-real" => crate::figures::shutdown(times as u16),
            _ => return false,
        }
        return true;
    }
    match group {
        "order" => order(),
        "restart" => restart(),
        "escape" => escape(10),
        "escape-variants" => crate::escapes::check(200),
        "ready" => ready(100),
        "kill-cell" => crate::figures::kill_cell(),
        "many-figures" => crate::figures::many(),
        "shutdown-real" => crate::figures::shutdown(100),
        "lives" => crate::figures::lives("/bin/lives"),
        "faults" => crate::faults::check(300, false),
        "deaths" => deaths(),
        "many" => many(),
        "bad" => bad_requests(),
        "rights" => rights(),
        "quota" => quota(),
        "sockets" => sockets(),
        "discovery" => crate::discovery::discovery(),
        "look-up" => {
            let names = ["sql", "admin", "store"].map(String::from);
            println!("{}", crate::discovery::look_up(&names));
        }
        "native-as-user" => println!("{}", crate::discovery::native_as_user()),
        "messages" => crate::messages::messages(),
        "apart" => crate::apart::apart(),
        "balance" => crate::balance::policies(),
        "balance-faults" => crate::balance::faults(),
        "balance-shutdown" => crate::balance::shutdown(),
        "proc" => proc_files(),
        "replay" => replay(),
        "replay-hex" => replay_hex(),
        "shutdown" => shutdown(),
        "leave" => leave(),
        "as-user" => {
            println!("{}", ask_as_service());
        }
        _ => return false,
    }
    true
}

/// What the kernel's supervisor was told gives, told to another one here, the same transitions.
fn replay() {
    let mut control = Control::open().expect("/dev/svc");
    let Reply::Replay(part) = control.ask(&Request::Replay) else { return expect("the log is given", false) };
    expect("the log is whole", part.lost == 0 && part.lines().count() > 20);
    expect("it is about transitions", part.made > 20);
    expect_eq("it gives the same transitions, bit for bit", part.check(), Ok(true));
    let mut other = part;
    other.entries.truncate(other.entries.len() / 2);
    expect("half of it does not", other.check() != Ok(true));
}

/// The log for another machine: `cargo run -p services --example replay` reads it.
fn replay_hex() {
    let mut control = Control::open().expect("/dev/svc");
    let mut request = Vec::new();
    Request::Replay.encode(&mut request).expect("a request that fits");
    let reply = control.raw(&request).expect("/dev/svc answers");
    for line in reply.chunks(32) {
        println!("replay {}", line.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    }
    expect("the log is given", !reply.is_empty());
}

/// Services start when what they need is ready, and stop the other way round.
fn order() {
    let mut control = Control::open().expect("/dev/svc");
    let set = vec![
        requires(service("top", &["good"]), &["middle"]),
        requires(service("middle", &["good"]), &["bottom"]),
        service("bottom", &["ready"]),
        service("other", &["good"]),
    ];
    let set = set.into_iter().map(|mut one| {
        if one.name.as_str() == "bottom" {
            one.ready = Readiness::Notify;
        }
        one
    });
    let (from, _) = control.happenings(u64::MAX);
    expect("a set is taken", matches!(control.load(set.collect()), Reply::Loaded { .. }));
    expect_eq("start", control.verb(Verb::Start, "top"), Reply::Ok);
    expect("all that is needed runs", control.reaches("top", State::Running));
    expect_eq("what is not needed does not", control.state("other"), Some(State::Down));
    let running = |control: &mut Control, state: State| -> Vec<String> {
        let (_, list) = control.happenings(from);
        list.iter().filter(|one| one.to == state).map(|one| one.service.as_str().to_owned()).collect()
    };
    expect_eq(
        "in order",
        running(&mut control, State::Running),
        ["bottom", "middle", "top"].map(String::from).to_vec(),
    );
    let refused = control.refused(&control_alone("bottom"));
    expect("a stop of what is needed is refused", matches!(refused, Some(ServiceError::InvalidState(_))));
    expect_eq("stop with all that need it", control.verb(Verb::Stop, "bottom"), Reply::Ok);
    expect("everything is down", control.all_reach(10, State::Down));
    let downs: Vec<_> = running(&mut control, State::Down);
    // Those with a goal wait for what they need: they are not down, but their cells went in order.
    expect("the bottom goes last", downs.last().is_some_and(|last| last == "bottom") || downs.is_empty());
    expect_eq("nobody is left", survivors(), 0);
    control.clear();
}

fn control_alone(name: &str) -> Request {
    control(Verb::Stop, name, StopMode::Alone)
}

/// Who crashes comes back, later each time, and is given up in the end; kill -9 is a crash like any other.
fn restart() {
    let mut control = Control::open().expect("/dev/svc");
    let mut crash = service("crash", &["exit", "3"]);
    crash.restart.base = Nanos::from_millis(20);
    crash.restart.max_failures = 4;
    let (from, _) = control.happenings(u64::MAX);
    control.load(vec![crash, service("good", &["good"])]);
    control.verb(Verb::Start, "crash");
    expect("who always crashes is given up", control.reaches("crash", State::Failed));
    let row = control.row("crash");
    let (_, list) = control.happenings(from);
    let starts = list.iter().filter(|one| one.service.as_str() == "crash" && one.to == State::Starting).count();
    expect_eq("after so many starts", starts, 5);
    expect_eq("with its cause", row.map(|row| row.cause), Some(Cause::Exited(3)));
    control.verb(Verb::Start, "good");
    expect("a good one runs", control.reaches("good", State::Running));
    let (before, life) = control.row("good").map_or((0, 0), |row| (row.pid, row.generation));
    // SAFETY: a signal to a process of the check's own.
    unsafe { libc::kill(before as i32, libc::SIGKILL) };
    let back = wait(10, || control.row("good").is_some_and(|row| row.pid != before && row.state == State::Running));
    expect("it comes back after kill -9", back);
    expect_eq("as the next life", control.row("good").map(|row| row.generation), Some(life + 1));
    expect_eq("restart", control.verb(Verb::Restart, "good"), Reply::Ok);
    let third =
        wait(10, || control.row("good").is_some_and(|row| row.generation == life + 2 && row.state == State::Running));
    expect("a restart is a new life", third);
    control.clear();
    expect_eq("nobody is left", survivors(), 0);
}

/// Nobody gets out of a cell.
fn escape(rounds: u32) {
    const WAYS: [&str; 10] = [
        "setsid",
        "double-fork",
        "vfork-exec",
        "exec-chain",
        "session-group",
        "stopped",
        "threads",
        "orphans",
        "subreaper",
        "bomb",
    ];
    let mut control = Control::open().expect("/dev/svc");
    let mut set: Vec<_> = WAYS.iter().map(|way| service(way, &["escape", way])).collect();
    for one in &mut set {
        one.limits.tasks = Some(64);
        (one.stop.timeout, one.stop.grace) = (Nanos::from_millis(10), Nanos::from_millis(10));
    }
    control.load(set);
    let mut worst = 0;
    for way in WAYS {
        let mut good = true;
        let mut most = 0;
        for round in 0..rounds {
            control.verb(Verb::Start, way);
            good &= control.reaches(way, State::Running);
            // Caught at another moment each time.
            std::thread::sleep(std::time::Duration::from_micros(u64::from(round) * 700 % 9000));
            most = most.max(control.row(way).map_or(0, |row| row.tasks));
            control.verb(Verb::Stop, way);
            good &= control.reaches(way, State::Down);
            let left = survivors();
            good &= left == 0;
            worst = worst.max(left);
        }
        expect(&format!("nobody survives {way}"), good);
        expect(&format!("it had tried: {way}"), most > 1);
    }
    expect_eq("survivors", worst, 0);
    control.clear();
}

/// Who says READY=1 and ends at once was ready: no message is lost.
fn ready(times: u32) {
    // As many as the supervisor starts in one go.
    const AT_ONCE: u16 = 50;
    let mut control = Control::open().expect("/dev/svc");
    let mut quick = service("quick", &["ready", "exit"]);
    quick.ready = Readiness::Notify;
    quick.restart.policy = RestartPolicy::Never;
    quick.scaling.count = AT_ONCE;
    let mut mute = service("mute", &["mute"]);
    mute.ready = Readiness::Notify;
    mute.start_timeout = Nanos::from_millis(100);
    mute.restart.max_failures = 1;
    mute.restart.base = Nanos::from_millis(10);
    control.load(vec![quick, mute]);
    let (mut ready, mut late) = (0, 0);
    for round in 0..times.div_ceil(AT_ONCE.into()) {
        let (from, _) = control.happenings(u64::MAX);
        control.verb(Verb::Start, "quick");
        let over = |row: &Row| matches!(row.state, State::Down | State::Failed | State::Done);
        if !crate::control::wait_slowly(60, || control.rows().iter().all(over)) {
            late += 1;
            println!("  round {round} is not over after a minute");
        }
        let (_, list) = control.happenings(from);
        let ran = list.iter().filter(|one| one.to == State::Running).count();
        if ran != usize::from(AT_ONCE) {
            println!("  round {round}: {ran} were ready");
        }
        ready += ran as u32;
        control.verb(Verb::Stop, "quick");
        control.verb(Verb::Reset, "quick");
    }
    expect_eq("rounds that did not end in time", late, 0);
    expect_eq("ready as often as started", ready, times.next_multiple_of(AT_ONCE.into()));
    control.verb(Verb::Start, "mute");
    expect("who never says so is not", control.reaches("mute", State::Failed));
    expect_eq("and why is known", control.row("mute").map(|row| row.cause), Some(Cause::StartTimeout));
    control.clear();
}

/// Every way to die is called by its name.
fn deaths() {
    let mut control = Control::open().expect("/dev/svc");
    let ways: [(&str, Cause); 12] = [
        ("exit0", Cause::Exited(0)),
        ("exit1", Cause::Exited(1)),
        ("exit255", Cause::Exited(255)),
        ("abort", Cause::Signalled(6)),
        ("segv", Cause::Signalled(11)),
        ("illegal", Cause::Signalled(4)),
        ("fpe", Cause::Signalled(8)),
        ("bus", Cause::Signalled(7)),
        ("pipe", Cause::Signalled(13)),
        ("hup", Cause::Signalled(1)),
        ("term", Cause::Signalled(15)),
        ("kill", Cause::Signalled(9)),
    ];
    let set = ways.iter().map(|(way, _)| {
        let mut one = service(way, &["die", way]);
        one.restart.policy = RestartPolicy::Always;
        one.restart.max_failures = 1;
        one.restart.base = Nanos::from_millis(20);
        one
    });
    control.load(set.collect());
    for (way, cause) in ways {
        control.verb(Verb::Start, way);
        expect(&format!("{way} is given up"), control.reaches(way, State::Failed));
        expect_eq(&format!("{way} is named"), control.row(way).map(|row| row.cause), Some(cause));
    }
    control.clear();
}

/// 1,024 instances start, run and stop.
fn many() {
    let mut control = Control::open().expect("/dev/svc");
    // What init has loaded would keep its instances until it is down, and there is no room for it beside so many.
    control.clear();
    let begun = std::time::Instant::now();
    expect("a set of 1,024 is taken", matches!(control.load(many_instances()), Reply::Loaded { .. }));
    expect("all run", control.all_reach(100, State::Running));
    let started = begun.elapsed();
    expect_eq("1,024 of them", control.rows().len(), 1024);
    expect_eq("as processes", survivors(), 1024);
    let mut one_more = service("more", &["good"]);
    one_more.enabled = true;
    let over = control.ask(&Request::Update(Box::new(services::wire::Unit::bare(one_more))));
    let full = |mistake: &services::Mistake| matches!(mistake.error, ServiceError::CapacityExhausted(_));
    expect("one more is refused", matches!(over, Reply::Mistakes(list) if list.iter().any(full)));
    let begun = std::time::Instant::now();
    control.clear();
    expect_eq("all are gone", control.rows().len(), 0);
    expect_eq("every process of them", survivors(), 0);
    eprintln!("1,024 instances: started in {started:?}, gone in {:?}", begun.elapsed());
}

/// Nonsense on /dev/svc is refused and changes nothing.
fn bad_requests() {
    let mut control = Control::open().expect("/dev/svc");
    control.load(vec![service("good", &["good"])]);
    control.verb(Verb::Start, "good");
    expect("a good one runs", control.reaches("good", State::Running));
    let before = control.row("good").map(|row| (row.pid, row.generation));
    let errno = |result: std::io::Result<Vec<u8>>| result.err().and_then(|error| error.raw_os_error());
    expect_eq("a length that is too short", errno(control.raw(&[3, 0, 0, 0, 1, 0, 1])), Some(libc::EINVAL));
    expect_eq("a length that is too long", errno(control.raw(&[255; 8])), Some(libc::EMSGSIZE));
    expect_eq("another version", errno(control.raw(&[4, 0, 0, 0, 9, 0, 1, 0])), Some(libc::EOPNOTSUPP));
    expect_eq("no such kind", errno(control.raw(&[4, 0, 0, 0, 1, 0, 0xff, 0xff])), Some(libc::EINVAL));
    expect_eq("two requests in one", errno(control.raw(&[4, 0, 0, 0, 1, 0, 1, 0, 4, 0, 0, 0])), Some(libc::EINVAL));
    let mut seed = 42_u64;
    let mut draw = |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    let mut refused = 0;
    let mut requests: Vec<Vec<u8>> = Vec::new();
    for request in [
        Request::Status(name("good")),
        Request::Why(None),
        Request::Load { mode: LoadMode::Check, units: vec![services::wire::Unit::bare(service("x", &["good"]))] },
        Request::Log { name: name("good"), from: 0 },
    ] {
        let mut bytes = Vec::new();
        request.encode(&mut bytes).expect("fits");
        requests.push(bytes);
    }
    for round in 0..4000_usize {
        let mut bytes = requests.get(round % requests.len()).cloned().unwrap_or_default();
        for _ in 0..=draw(3) {
            let at = draw(bytes.len() as u64) as usize;
            // The kind stays, so that nothing is asked for that was not meant.
            if let Some(byte) = bytes.get_mut(at).filter(|_| !(6..8).contains(&at)) {
                *byte = draw(256) as u8;
            }
        }
        let mut fresh = Control::open().expect("/dev/svc");
        refused += usize::from(fresh.raw(&bytes).is_err());
    }
    expect("many damaged requests are refused", refused > 500);
    expect_eq("nothing has changed", control.row("good").map(|row| (row.pid, row.generation)), before);
    expect_eq("no such service", control.refused(&Request::Status(name("god"))), Some(ServiceError::NotFound));
    match control.ask(&Request::Status(name("god"))) {
        Reply::Error(failure) => expect_eq("its nearest name", failure.names, vec![name("good")]),
        _ => expect("its nearest name", false),
    }
    let circle = vec![requires(service("a", &["good"]), &["b"]), requires(service("b", &["good"]), &["a"])];
    let circular = |list: &[services::Mistake]| list.iter().any(|one| one.error == ServiceError::CircularDependency);
    expect("a circle is refused", matches!(control.load(circle), Reply::Mistakes(list) if circular(&list)));
    let missing = control.load(vec![requires(service("a", &["good"]), &["nobody"])]);
    expect("what is missing is named", matches!(missing, Reply::Mistakes(list) if list.len() == 1));
    expect_eq("still nothing has changed", control.row("good").map(|row| (row.pid, row.generation)), before);
    control.clear();
}

/// Who may do what.
fn rights() {
    let mut control = Control::open().expect("/dev/svc");
    let mut open = service("open", &["good"]);
    open.security.allow.push(services::Allow { role: Role::Operate, who: services::Subject::User(Uid(1000)) });
    let mut asker = service("asker", &["ask"]);
    asker.user = Uid::ROOT;
    let mut user = service("user", &["user"]);
    (user.user, user.group, user.directory) = (Uid(33), Gid(34), "/tmp".into());
    control.load(vec![open, asker, user, service("closed", &["good"])]);
    let output = Command::new("/bin/svcheck").arg("as-user").uid(1000).gid(1000).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let wished = "start open: done, start closed: PermissionDenied(Operate), load: PermissionDenied(Configure), \
                  shutdown: PermissionDenied(Emergency), kill: PermissionDenied(Emergency), sees 1";
    expect_eq("a user", text.lines().next().unwrap_or_default(), wished);
    expect("what it was allowed to start runs", control.reaches("open", State::Running));
    control.verb(Verb::Start, "asker");
    expect("a service may ask", control.reaches("asker", State::Running));
    let says = |control: &mut Control, name: &str| match control
        .ask(&Request::Log { name: crate::control::name(name), from: 0 })
    {
        Reply::Log(part) => String::from_utf8_lossy(&part.bytes).into_owned(),
        _ => String::new(),
    };
    wait(5, || !says(&mut control, "asker").is_empty());
    let wished = "start open: PermissionDenied(Operate), start closed: PermissionDenied(Operate), \
                  load: PermissionDenied(Configure), shutdown: PermissionDenied(Emergency), \
                  kill: PermissionDenied(Emergency), sees 1";
    expect_eq("root inside of a service is that service", says(&mut control, "asker").trim(), wished);
    control.verb(Verb::Start, "user");
    wait(5, || !says(&mut control, "user").is_empty());
    expect_eq("a service is its user", says(&mut control, "user").trim(), "uid 33 33 gid 34 cwd /tmp");
    match control.ask(&Request::Audit(0)) {
        Reply::Audit(part) => {
            expect_eq("the chain of the audit holds", part.broken, None);
            let denied = part.records.iter().filter(|one| matches!(one.deed, services::Deed::Denied(..))).count();
            expect("refusals are recorded", denied >= 5);
        }
        _ => expect("the audit can be read", false),
    }
    control.clear();
}

/// What a caller without rights gets.
pub(crate) fn ask_as_service() -> String {
    let Ok(mut control) = Control::open() else { return "no /dev/svc".into() };
    let word = |reply: Reply| match reply {
        Reply::Error(failure) => format!("{:?}", failure.error),
        _ => "done".into(),
    };
    let open = word(control.verb(Verb::Start, "open"));
    let closed = word(control.verb(Verb::Start, "closed"));
    let load = word(control.load(Vec::new()));
    let shutdown = word(control.ask(&Request::Shutdown(Power::Off)));
    let kill = word(control.ask(&Request::Emergency(Emergency::KillAll)));
    let seen = control.rows().len();
    format!("start open: {open}, start closed: {closed}, load: {load}, shutdown: {shutdown}, kill: {kill}, sees {seen}")
}

/// A socket of the service's own outlives its instances; nobody is refused.
fn sockets() {
    use std::io::{Read, Write};
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixStream};
    let mut control = Control::open().expect("/dev/svc");
    let mut serve = service("serve", &["serve"]);
    serve.scaling.count = 8;
    serve.restart.base = Nanos::from_millis(20);
    let listen = |address: &str| services::Listen::new(services::SocketKind::Stream, address.into(), name("main"));
    serve.listen.push(listen("@svcheck-echo"));
    let mut path = service("path", &["serve"]);
    path.listen.push(listen("/tmp/svcheck.socket"));
    let mut own = service("own", &["listen"]);
    own.ready = Readiness::Listen;
    let mut probed = service("probed", &["good"]);
    probed.ready = Readiness::Probe;
    let span = Nanos::from_millis;
    probed.health.live = Some(services::Probe { period: span(50), timeout: span(20), failures: 2 });
    let at = services::Endpoint { kind: services::SocketKind::Stream, address: "@svcheck-own".into() };
    probed.probe = services::ProbeTarget::Connect(at);
    let mut line = service("line", &["line"]);
    line.ready = Readiness::Descriptor(5);
    control.load(vec![serve, path, own, line, probed]);
    for name in ["serve", "path", "own", "line"] {
        control.verb(Verb::Start, name);
        expect(&format!("{name} is ready"), control.reaches(name, State::Running));
    }
    control.verb(Verb::Start, "probed");
    expect("a probe finds who is there", control.reaches("probed", State::Running));
    control.verb(Verb::Stop, "own");
    let unwell = Cause::Health(services::Health::Probe);
    let missed = wait(10, || control.happenings(0).1.iter().any(|one| one.cause == unwell));
    expect("and misses who is not", missed);
    control.verb(Verb::Stop, "probed");
    control.verb(Verb::Start, "own");
    expect("own is back", control.reaches("own", State::Running));
    let all_run = |control: &mut Control| {
        control.rows().iter().filter(|row| row.service.as_str() != "probed").all(|row| row.state == State::Running)
    };
    expect("all eight run", wait(10, || all_run(&mut control)));
    let connect = |name: &str| {
        let address = SocketAddr::from_abstract_name(name).expect("a name");
        UnixStream::connect_addr(&address)
    };
    expect("the own socket is there", connect("svcheck-own").is_ok());
    let label = |name: &str| connect(name).map(|connection| peer_label(&connection)).unwrap_or_default();
    expect("who made a socket is told as service, instance and life", label("svcheck-own").starts_with("svc:own#0."));
    expect_eq("whom a passed socket belongs to as well", label("svcheck-echo"), "svc:serve".into());
    let pair = UnixStream::pair().map(|(one, _)| peer_label(&one)).unwrap_or_default();
    expect_eq("and nothing of who is no service", pair, format!("{}", libc::ENOPROTOOPT));
    let ask = |mut connection: UnixStream| {
        let mut pid = [0; 4];
        connection.write_all(b"?").and_then(|()| connection.read_exact(&mut pid)).map(|()| u32::from_le_bytes(pid))
    };
    expect("a path leads there", UnixStream::connect("/tmp/svcheck.socket").and_then(ask).is_ok());
    let victims: Vec<u32> =
        control.rows().iter().filter(|row| row.service.as_str() == "serve").map(|row| row.pid).collect();
    let clients: Vec<_> = (0..4)
        .map(|_| {
            std::thread::spawn(move || {
                let (mut refused, mut lost, mut answers) = (0, 0, std::collections::BTreeMap::new());
                for _ in 0..500 {
                    let address = SocketAddr::from_abstract_name("svcheck-echo").expect("a name");
                    match UnixStream::connect_addr(&address) {
                        Err(_) => refused += 1,
                        Ok(mut connection) => {
                            let mut pid = [0; 4];
                            let said = connection.write_all(b"?").and_then(|()| connection.read_exact(&mut pid));
                            match said {
                                Ok(()) => *answers.entry(u32::from_le_bytes(pid)).or_insert(0) += 1,
                                Err(_) => lost += 1,
                            }
                        }
                    }
                }
                (refused, lost, answers)
            })
        })
        .collect();
    std::thread::sleep(std::time::Duration::from_millis(30));
    for pid in victims.iter().take(3) {
        // SAFETY: a signal to a process of the check's own.
        unsafe { libc::kill(*pid as i32, libc::SIGKILL) };
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let (mut refused, mut lost, mut served) = (0, 0, 0);
    for client in clients {
        let (no, gone, answers) = client.join().unwrap_or_default();
        (refused, lost, served) = (refused + no, lost + gone, served + answers.values().sum::<i32>());
    }
    expect_eq("refused connections while instances are killed", refused, 0);
    expect("only what was in flight is lost", lost <= 3 && served == 2000 - lost);
    // Nobody runs, and yet nobody is refused: what waits is served later.
    control.verb(Verb::Stop, "serve");
    expect("all eight stop", control.reaches("serve", State::Down));
    let waiting = connect("svcheck-echo");
    expect("a stopped service's socket takes connections", waiting.is_ok());
    control.verb(Verb::Start, "serve");
    expect("and serves them when it is back", waiting.and_then(ask).is_ok());
    control.clear();
    expect("an unloaded one does not", connect("svcheck-echo").is_err());
    expect_eq("nobody is left", survivors(), 0);
}

/// SO_PEERSEC, or the error.
fn peer_label(connection: &std::os::unix::net::UnixStream) -> String {
    use std::os::fd::AsRawFd;
    let mut text = [0_u8; 200];
    let mut len = text.len() as libc::socklen_t;
    // SAFETY: a buffer of that length, and where its use is told.
    let result = unsafe {
        libc::getsockopt(
            connection.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERSEC,
            text.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    if result != 0 {
        return std::io::Error::last_os_error().raw_os_error().unwrap_or(0).to_string();
    }
    String::from_utf8_lossy(text.get(..len as usize).unwrap_or_default()).into_owned()
}

/// Quotas hold for the cell as a whole.
fn quota() {
    let mut control = Control::open().expect("/dev/svc");
    let mut tasks = service("tasks", &["tasks"]);
    tasks.limits.tasks = Some(10);
    control.load(vec![tasks]);
    control.verb(Verb::Start, "tasks");
    let says = |control: &mut Control, name: &str| match control
        .ask(&Request::Log { name: crate::control::name(name), from: 0 })
    {
        Reply::Log(part) => String::from_utf8_lossy(&part.bytes).trim().to_owned(),
        _ => String::new(),
    };
    wait(10, || !says(&mut control, "tasks").is_empty());
    expect_eq("tasks beyond the quota are refused", says(&mut control, "tasks"), "made 9".into());
    expect_eq("and counted", control.row("tasks").map(|row| row.tasks), Some(10));
    const QUOTA: u64 = 16 << 20;
    let hungry = |called: &str, most: &str, on_memory| {
        let mut one = service(called, &["memory", most]);
        one.limits.memory = Some(QUOTA);
        one.limits.on_memory = on_memory;
        one.restart.policy = RestartPolicy::Always;
        one.restart.max_failures = 1;
        one.restart.base = Nanos::from_millis(20);
        one
    };
    control.load(vec![
        hungry("modest", "8", services::OnMemory::Refuse),
        hungry("greedy", "64", services::OnMemory::Refuse),
        hungry("killed", "64", services::OnMemory::Restart),
        hungry("shared", "share", services::OnMemory::Refuse),
    ]);
    for name in ["modest", "greedy", "killed"] {
        control.verb(Verb::Start, name);
    }
    wait(10, || !says(&mut control, "modest").is_empty());
    expect_eq("memory below the quota is there", says(&mut control, "modest"), "got 8".into());
    let used = control.row("modest").map_or(0, |row| row.memory);
    expect("and counted too", used > 8 << 20 && used <= QUOTA);
    expect("who takes more dies of it", control.reaches("greedy", State::Failed));
    // Where not even a handler's frame has room, it is the other one.
    let cause = control.row("greedy").map(|row| row.cause);
    expect("by a signal", matches!(cause, Some(Cause::Signalled(7 | 11))));
    expect("or is killed with its cell", control.reaches("killed", State::Failed));
    let quota = Some(Cause::Quota(services::Resource::Memory));
    expect_eq("which is called by its name", control.row("killed").map(|row| row.cause), quota);
    // Eight processes that want 4 MiB each.
    control.verb(Verb::Start, "shared");
    wait(10, || says(&mut control, "shared").starts_with("ended "));
    let usage = std::fs::read_to_string("/proc/svc/shared/usage").unwrap_or_default();
    let mut words = usage.split_whitespace().skip_while(|word| *word != "memory_peak").skip(1);
    let most: u64 = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
    expect("all processes of a cell share the quota", says(&mut control, "shared") != "ended 0" && most <= QUOTA);
    expect("most of which they had", most > QUOTA / 2);
    control.clear();
}

/// What cat shows.
fn proc_files() {
    let mut control = Control::open().expect("/dev/svc");
    let mut once = service("once", &["exit", "0"]);
    once.run = Run::Oneshot;
    let mut needy = requires(service("needy", &["good"]), &["broken"]);
    needy.dependencies.push(services::Dependency::new(DependencyKind::Wants, name("once")));
    let mut broken = service("broken", &["exit", "9"]);
    broken.ready = Readiness::Notify;
    broken.restart.max_failures = 1;
    broken.restart.base = Nanos::from_millis(20);
    let mut printer = service("printer", &["print"]);
    printer.enabled = true;
    control.load(vec![once, needy, broken, printer]);
    control.verb(Verb::Start, "needy");
    expect("what cannot come up is given up", control.reaches("broken", State::Failed));
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_else(|error| format!("{error}"));
    let names = std::fs::read_dir("/proc/svc").map(|list| list.flatten().count()).unwrap_or(0);
    expect_eq("a directory for each", names, 4);
    let files = std::fs::read_dir("/proc/svc/needy").map(|list| list.flatten().count()).unwrap_or(0);
    expect_eq("with six files", files, 6);
    expect("one that is not there", std::fs::metadata("/proc/svc/nobody").is_err());
    expect("state", read("/proc/svc/broken/state").starts_with("0 failed for "));
    let why = read("/proc/svc/needy/why");
    expect("why leads to the root", why.contains("needy is waiting") && why.contains("broken is failed"));
    expect_eq("deps", read("/proc/svc/broken/deps"), "needed by needy (Requires)\n".into());
    expect("history", read("/proc/svc/broken/history").contains("starting -> backoff Exited(9)"));
    wait(5, || read("/proc/svc/printer/log").lines().count() == 2);
    expect_eq("log", read("/proc/svc/printer/log"), "hello from printer\ninstance 0\n".into());
    expect("usage", read("/proc/svc/printer/usage").starts_with("0 processes 1 tasks 1 refused 0 memory "));
    control.clear();
}

/// Leaves services that run.
fn leave() {
    let mut control = Control::open().expect("/dev/svc");
    let set = ["one", "two"].map(|name| {
        let mut one = requires(service(name, &["good"]), if name == "two" { &["one"] } else { &[] });
        one.enabled = true;
        one
    });
    control.load(set.into());
    expect("all run", control.all_reach(20, State::Running));
}

/// Everything stops within the time, whatever the services do; the machine ends.
fn shutdown() {
    let mut control = Control::open().expect("/dev/svc");
    let mut set: Vec<_> = (0..18).map(|at| service(&format!("good{at}"), &["good"])).collect();
    set.push(service("deaf", &["ignore"]));
    set.push(service("bomb", &["escape", "bomb"]));
    for one in &mut set {
        one.enabled = true;
        one.limits.tasks = Some(64);
    }
    control.load(set);
    expect("all run", control.all_reach(20, State::Running));
    expect_eq("shutdown", control.ask(&Request::Shutdown(Power::Off)), Reply::Ok);
    let refused = control.refused(&control_alone("good1"));
    expect_eq("nothing is taken any more", refused, Some(ServiceError::ShuttingDown));
    std::thread::sleep(std::time::Duration::from_secs(60));
    expect("the machine has ended", false);
}
