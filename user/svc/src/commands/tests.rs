//! Commands against a supervisor that gives prepared answers; what is asked and what is printed are compared.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;

use services::wire::{
    Explanation, Failure, Happening, HappeningPart, InstanceStatus, LoadMode, Reply, Request, Row, Status, Throttled,
    Verb,
};
use services::{
    Cause, DependencyKind, Hold, Name, OnMemory, Root, Run, ServiceError, SpawnError, SpawnStep, State, StopMode,
    Version,
};
use types::Nanos;

use super::*;

#[derive(Clone, Default)]
struct Script {
    asked: Rc<RefCell<Vec<Request>>>,
    answers: Rc<RefCell<VecDeque<Reply>>>,
}

impl Supervisor for Script {
    fn ask(&mut self, request: &Request) -> io::Result<Reply> {
        // Through the wire, as in life.
        let mut frame = Vec::new();
        request.encode(&mut frame).unwrap();
        self.asked.borrow_mut().push(Request::decode(&frame).unwrap());
        let mut answers = self.answers.borrow_mut();
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        let mut frame = Vec::new();
        answer.unwrap().encode(&mut frame).unwrap();
        Ok(Reply::decode(&frame).unwrap())
    }

    fn wait(&mut self, limit: Option<Duration>) -> io::Result<()> {
        // There is always more; but who asks again in vain is not to be quick about it.
        std::thread::sleep(limit.unwrap_or(Duration::MAX).min(Duration::from_millis(5)));
        Ok(())
    }
}

struct Run1 {
    code: u8,
    out: String,
    err: String,
    asked: Vec<Request>,
}

fn run_in(directories: Vec<PathBuf>, line: &str, answers: Vec<Reply>) -> Run1 {
    let script = Script { answers: Rc::new(RefCell::new(answers.into())), ..Script::default() };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let matches = crate::cli::command().try_get_matches_from(line.split(' ')).unwrap();
    let mut connect = || Ok(Box::new(script.clone()) as Box<dyn Supervisor>);
    let code = App::new(&mut out, &mut err, &mut connect).with_definitions(directories).run(&matches);
    let asked = script.asked.borrow().clone();
    Run1 { code, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap(), asked }
}

fn run(line: &str, answers: Vec<Reply>) -> Run1 {
    run_in(Vec::new(), line, answers)
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn row(service: &str, state: State) -> Row {
    Row {
        service: name(service),
        index: 0,
        count: 1,
        run: Run::Daemon,
        state,
        age: Nanos::from_secs(192),
        wanted: true,
        hold: Hold::None,
        degraded: false,
        failures: 0,
        generation: 1,
        pid: if state.has_cell() { 41 } else { 0 },
        tasks: 1,
        memory: 1_300_000,
        cpu: Nanos::from_millis(41),
        in_flight: 0,
        paused: false,
        cpu_throttled: Throttled::default(),
        io_throttled: Throttled::default(),
        cause: Cause::None,
        about: None,
        gate: None,
    }
}

fn status(service: &str, state: State) -> Reply {
    let instance = InstanceStatus {
        row: row(service, state),
        last_end: Cause::None,
        next: None,
        pids: vec![41, 42],
        start_time: Some(Nanos::from_millis(12)),
        notice: String::new(),
        history: Vec::new(),
    };
    Reply::Status(Box::new(Status {
        name: name(service),
        version: Version::new(1, 2, 0),
        description: "Says it again".into(),
        file: format!("/etc/svc/{service}.svc"),
        class: Some(services::Class::Background),
        explicit: false,
        enabled: true,
        started_by: vec![name("multi-user"), name(service)],
        instances: vec![instance],
        why: Vec::new(),
        output: b"hello\nworld\n".to_vec(),
    }))
}

fn link(service: &str, depth: u16, state: State) -> Explanation {
    Explanation {
        service: name(service),
        depth,
        through: None,
        version: String::new(),
        root: None,
        state,
        age: Nanos::from_secs(192),
        cause: Cause::None,
        last_end: Cause::None,
        lived: None,
        failures: 0,
        max_failures: 10,
        next: None,
        last_line: String::new(),
        blocks: Vec::new(),
    }
}

#[test]
fn a_list_has_a_line_for_each_instance() {
    let waiting =
        Row { gate: Some((DependencyKind::Requires, name("db"))), count: 2, index: 1, ..row("web", State::Waiting) };
    let backoff = Row { cause: Cause::Exited(1), generation: 7, failures: 6, ..row("db", State::Backoff) };
    let degraded = Row { degraded: true, failures: 1, cause: Cause::Signalled(11), ..row("log", State::Running) };
    let held = Row { hold: Hold::Hard, ..row("old", State::Down) };
    let rows = vec![row("net", State::Running), backoff, waiting, degraded, held];
    let result = run("svc", vec![Reply::Rows(rows.clone())]);
    let expected = "\
NAME   STATE     FOR    RST  PID  MEM   CPU   CAUSE
net    running   3m12s  0    41   1.2M  41ms
db     backoff   3m12s  6    -    -     -     exit 1
web#1  waiting   3m12s  0    -    -     -     requires db
log    degraded  3m12s  0    41   1.2M  41ms  restarted: SIGSEGV
old    down      3m12s  0    -    -     -     held
";
    assert_eq!((result.code, result.out.as_str(), result.err.as_str()), (0, expected, ""));
    assert_eq!(result.asked, [Request::List]);
    assert_eq!(run("svc list --failed", vec![Reply::Rows(rows.clone())]).out.lines().count(), 2);
    assert_eq!(run("svc list --waiting", vec![Reply::Rows(rows)]).out.lines().count(), 2);
}

#[test]
fn what_was_left_out_for_its_mistakes_is_listed_with_their_places() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    std::fs::write(at("web.svc"), "[service]\nexec = [\"/bin/web\"]\n").unwrap();
    std::fs::write(at("new.svc"), "[service]\nexec = [\"/bin/new\"]\n").unwrap();
    std::fs::write(at("bad.svc"), "[service]\nexec = [\"/bin/bad\"]\nusr = 1\n").unwrap();
    let run = |line: &str, answers: Vec<Reply>| run_in(vec![directory.path().to_owned()], line, answers);
    let place = format!("{}:3:1: unknown key", at("bad.svc").display());
    let rows = || vec![Reply::Rows(vec![row("web", State::Running)])];
    let result = run("svc list", rows());
    assert_eq!(result.out.lines().count(), 3, "{}", result.out);
    assert!(
        result.out.lines().any(|line| line.starts_with("bad   invalid") && line.contains(&place)),
        "{}",
        result.out
    );
    assert_eq!(run("svc list --failed", rows()).out.lines().count(), 2);
    assert_eq!(run("svc list --waiting", rows()).out.lines().count(), 1);
    assert!(run("svc --json list", rows()).out.contains(r#""invalid":[{"name":"bad","problems":[{"#));
    let not_found = |text: &str| {
        let error = ServiceError::NotFound;
        vec![Reply::Error(Failure { error, subject: Some(name(text)), names: Vec::new(), notes: Vec::new() })]
    };
    for line in ["svc status bad", "svc why bad"] {
        let result = run(line, not_found("bad"));
        assert_eq!((result.code, result.out.as_str()), (6, ""));
        assert!(result.err.starts_with("svc: bad is invalid, so it was not loaded\n"), "{}", result.err);
        assert!(result.err.contains(&place), "{}", result.err);
    }
    let result = run("svc status new", not_found("new"));
    assert!(result.code == 4 && result.err.contains("`svc load` takes it"), "{}", result.err);
    assert_eq!(run("svc status none", not_found("none")).err, "svc: none: no such service\n");
}

#[test]
fn a_status_tells_everything() {
    let result = run("svc status web", vec![status("web", State::Running)]);
    let expected = "\
web - Says it again
  state    running
  version  1.2.0
  file     /etc/svc/web.svc
  class    background
  wanted   by multi-user -> web, enabled
web is running for 3m12s
  process  41 (with 42), 1 tasks, memory 1.2M, processor 41ms
  start    took 12ms
output
  hello
  world
";
    assert_eq!((result.code, result.out.as_str()), (0, expected));
}

#[test]
fn a_status_tells_what_stands_still_and_what_limits_have_held_back() {
    let Reply::Status(mut status) = status("web", State::Running) else { unreachable!() };
    let row = &mut status.instances[0].row;
    row.paused = true;
    row.cpu_throttled = Throttled { times: 12, time: Nanos::from_millis(340) };
    row.io_throttled = Throttled { times: 3, time: Nanos::from_secs(2) };
    let result = run("svc status web", vec![Reply::Status(status.clone())]);
    for line in [
        "  state    paused",
        "web is paused for 3m12s",
        "  waited   12 times for its share of the CPUs, 340ms in all",
        "  waited   3 times for its limit on bytes, 2.0s in all",
    ] {
        assert!(result.out.lines().any(|said| said == line), "no {line:?} in\n{}", result.out);
    }
    let result = run("svc --json status web", vec![Reply::Status(status)]);
    for text in [r#""state":"running""#, r#""paused":true"#, r#""cpu_throttled":{"time":340000000,"times":12}"#] {
        assert!(result.out.contains(text), "no {text} in {}", result.out);
    }
}

#[test]
fn why_leads_to_the_root_cause() {
    let db = Explanation {
        through: Some(DependencyKind::Requires),
        version: ">=2.1, <3".into(),
        root: Some(Root::Backoff),
        last_end: Cause::Exited(1),
        lived: Some(Nanos::from_millis(41)),
        failures: 6,
        next: Some(Nanos::from_millis(2900)),
        last_line: "db: /data/wal: No space left on device".into(),
        blocks: vec![name("api"), name("web")],
        ..link("db", 1, State::Backoff)
    };
    let result = run("svc why web", vec![Reply::Why(vec![link("web", 0, State::Waiting), db])]);
    let expected = "\
web is waiting for 3m12s
`- db (requires >=2.1, <3) is backoff for 3m12s, failure 6 of 10, next try in 2.9s: it failed and will be tried again
       last end: exit 1 after 41ms
       last output: \"db: /data/wal: No space left on device\"
root cause: db: it failed and will be tried again (exit 1); try: svc status db
also blocked by db: api, web
";
    assert_eq!(result.out, expected);
    assert_eq!(result.asked, [Request::Why(Some(name("web")))]);
    assert_eq!(run("svc why", vec![Reply::Why(Vec::new())]).out, "everything is as wished\n");
    let chain = Reply::Chain(vec![name("multi-user"), name("web"), name("db")]);
    assert_eq!(run("svc why --started db", vec![chain]).out, "multi-user -> web -> db\n");
}

#[test]
fn a_refusal_is_explained_and_has_its_exit_status() {
    let failure = Failure {
        error: ServiceError::InvalidState(State::Running),
        subject: Some(name("db")),
        names: vec![name("api"), name("web")],
        notes: Vec::new(),
    };
    let result = run("svc stop db", vec![Reply::Error(failure.clone())]);
    assert_eq!(result.code, 7);
    assert_eq!(
        result.err,
        "svc: db: not possible while it is running: api, web needs it; use --cascade to stop that too (it comes back with it)\n"
    );
    let result = run("svc --json stop db", vec![Reply::Error(failure)]);
    assert_eq!((result.code, result.err.as_str()), (7, ""));
    let expected = r#"{"error":{"code":7,"message":"not possible while it is running","name":"db","names":["api","web"],"notes":[]},"schema":1}"#;
    assert_eq!(result.out.trim(), expected);
    let near = Failure {
        error: ServiceError::NotFound,
        subject: Some(name("wbe")),
        names: vec![name("web")],
        notes: Vec::new(),
    };
    let result = run("svc status wbe", vec![Reply::Error(near)]);
    assert_eq!((result.code, result.err.as_str()), (4, "svc: wbe: no such service; did you mean web?\n"));
}

#[test]
fn start_waits_until_it_is_ready() {
    let answers =
        vec![Reply::Ok, status("web", State::Waiting), status("web", State::Starting), status("web", State::Running)];
    let result = run("svc start web", answers);
    assert_eq!((result.code, result.out.as_str()), (0, "web is running\n"));
    let start = Request::Control { verb: Verb::Start, name: name("web"), mode: StopMode::Alone };
    assert_eq!((&result.asked[0], result.asked.len()), (&start, 4));
    assert_eq!(run("svc start web --wait 0", vec![Reply::Ok]).asked, [start]);
    let slow = run("svc start web --wait 20ms", vec![Reply::Ok, status("web", State::Starting)]);
    assert_eq!((slow.code, slow.out.as_str()), (WAITED_TOO_LONG, "web is still starting\n"));
}

#[test]
fn a_start_that_fails_says_how() {
    let Reply::Status(mut failed) = status("web", State::Failed) else { panic!() };
    let error = SpawnError { step: SpawnStep::Open, errno: 2, retry: services::Retry::Never };
    failed.instances[0].last_end = Cause::Spawn(error);
    failed.why =
        vec![Explanation { root: Some(Root::Failed), last_end: Cause::Spawn(error), ..link("web", 0, State::Failed) }];
    let result = run("svc start web", vec![Reply::Ok, Reply::Status(failed)]);
    assert_eq!(result.code, 13);
    let expected = "\
web is failed
web is failed for 3m12s: it was given up
   last end: cannot open the program: No such file or directory (os error 2)
";
    assert_eq!(result.out, expected);
}

#[test]
fn nobody_waits_for_what_does_not_come_by_itself() {
    let Reply::Status(mut stuck) = status("web", State::Waiting) else { panic!() };
    let held =
        Explanation { through: Some(DependencyKind::Requires), root: Some(Root::Held), ..link("db", 1, State::Down) };
    stuck.why = vec![link("web", 0, State::Waiting), held];
    let result = run("svc start web", vec![Reply::Ok, Reply::Status(stuck)]);
    assert_eq!(result.code, 10);
    assert!(
        result
            .out
            .contains("root cause: db: an operator stopped it or holds it down; try: svc start db, or svc unhold db\n"),
        "{}",
        result.out
    );
}

#[test]
fn restart_waits_for_another_life() {
    let Reply::Status(mut renewed) = status("web", State::Running) else { panic!() };
    renewed.instances[0].row.generation = 2;
    let old = || status("web", State::Running);
    let result = run("svc restart web", vec![old(), Reply::Ok, old(), old(), Reply::Status(renewed)]);
    assert_eq!((result.code, result.asked.len()), (0, 5));
}

#[test]
fn a_load_with_mistakes_asks_nobody() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a.svc"), "[service]\nexec = [\"/bin/a\"]\nusr = 1\n").unwrap();
    let result = run_in(vec![directory.path().into()], "svc load", vec![]);
    assert_eq!((result.code, result.asked.len()), (6, 0));
    assert!(
        result.err.contains("a.svc:3:1: unknown key \"usr\" in [service]; did you mean \"user\"?"),
        "{}",
        result.err
    );
    fs::write(directory.path().join("a.svc"), "[service]\nexec = [\"/bin/a\"]\n").unwrap();
    let result = run_in(vec![directory.path().into()], "svc load", vec![Reply::Loaded { number: 2, aside: vec![] }]);
    assert_eq!((result.code, result.out.as_str()), (0, "set 2 is loaded\n"));
    assert!(matches!(&result.asked[..], [Request::Load { mode: LoadMode::Replace, units }] if units.len() == 1));
}

#[test]
fn set_changes_one_key_and_writes_it_down() {
    let directory = tempfile::tempdir().unwrap();
    let at = || vec![directory.path().to_owned()];
    fs::write(directory.path().join("a.svc"), "[service]\nexec = [\"/bin/a\"]\n[limits]\ntasks = 5\n").unwrap();
    let result = run_in(at(), "svc set a limits.memory=128M", vec![Reply::Ok]);
    assert_eq!((result.code, result.err.as_str()), (0, ""));
    let [Request::Update(unit)] = &result.asked[..] else { panic!("{:?}", result.asked) };
    assert_eq!((unit.definition.limits.memory, unit.definition.limits.tasks), (Some(128 << 20), Some(5)));
    let written = fs::read_to_string(directory.path().join("a.svc.d/90-limits.memory.svc")).unwrap();
    assert_eq!(written, "[limits]\nmemory = \"128M\"\n");
    let result = run_in(at(), "svc set --temp a limits.on-memory=restart", vec![Reply::Ok]);
    let [Request::Update(unit)] = &result.asked[..] else { panic!("{:?}", result.asked) };
    assert_eq!((unit.definition.limits.on_memory, unit.definition.limits.memory), (OnMemory::Restart, Some(128 << 20)));
    assert!(!directory.path().join("a.svc.d/90-limits.on-memory.svc").exists());
    let result = run_in(at(), "svc set a limits.memroy=1M", vec![]);
    assert_eq!((result.code, result.asked.len()), (6, 0));
    assert!(result.err.contains("limits.memroy=1M:2:1: unknown key"), "{}", result.err);
    let cat = run_in(at(), "svc cat a", vec![]);
    assert!(cat.out.contains("memory = \"128M\"  #") && cat.out.contains("90-limits.memory.svc:2:10"), "{}", cat.out);
}

#[test]
fn disable_is_written_down() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a.svc"), "[service]\nexec = [\"/bin/a\"]\n[install]\ntarget = \"t\"\n").unwrap();
    let result = run_in(vec![directory.path().into()], "svc disable a --now", vec![Reply::Ok]);
    assert_eq!((result.code, result.asked.len()), (0, 2));
    let set = Set::read(&Source::Directories(vec![directory.path().into()])).unwrap();
    assert!(set.problems().is_empty() && !set.unit("a").unwrap().definition.enabled);
}

#[test]
fn the_instance_of_a_template_is_loaded_when_it_is_started() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("w@.svc"), "[service]\nexec = [\"/bin/w\", \"%i\"]\n").unwrap();
    let missing = Failure { error: ServiceError::NotFound, subject: None, names: vec![], notes: vec![] };
    let answers = vec![Reply::Error(missing), Reply::Ok, Reply::Ok, status("w@7", State::Running)];
    let result = run_in(vec![directory.path().into()], "svc start w@7", answers);
    assert_eq!((result.code, result.err.as_str()), (0, ""));
    let Request::Update(unit) = &result.asked[1] else { panic!("{:?}", result.asked) };
    assert_eq!(unit.definition.exec, ["/bin/w", "7"]);
}

#[test]
fn plans_and_dependencies_of_files_need_no_supervisor() {
    let directory = tempfile::tempdir().unwrap();
    let write = |file: &str, text: &str| fs::write(directory.path().join(file), text).unwrap();
    write("net.svc", "[service]\nexec = [\"/bin/net\"]\n");
    write("db.svc", "[service]\nexec = [\"/bin/db\"]\n[depends]\nrequires = [\"net\"]\n");
    write("web.svc", "[service]\nexec = [\"/bin/web\"]\n[depends]\nrequires = [\"db\"]\nwants = [\"net\"]\n");
    let path = directory.path().display();
    let plan = run(&format!("svc plan start web --files {path}"), vec![]);
    assert_eq!((plan.code, plan.out.as_str()), (0, "1.  start net\n2.  start db\n3.  start web\n"));
    let plan = run(&format!("svc plan stop net --files {path}"), vec![]);
    assert_eq!(plan.out, "1.  stop web\n2.  stop db\n3.  stop net\n");
    let deps = run(&format!("svc deps web --files {path}"), vec![]);
    assert_eq!(deps.out, "web\n`- db (requires)\n   `- net (requires)\n`- net (wants)\n");
    let deps = run(&format!("svc deps -r net --files {path}"), vec![]);
    assert_eq!(deps.out, "net\n`- db (requires)\n   `- web (requires)\n`- web (wants) ...\n".replace(" ...", ""));
    let dot = run(&format!("svc deps --dot db --files {path}"), vec![]);
    assert!(dot.out.contains("\"db\" -> \"net\" [label = \"requires\", style = solid];"), "{}", dot.out);
    let lost = run(&format!("svc plan start nobody --files {path}"), vec![]);
    assert_eq!((lost.code, lost.err.as_str()), (4, "svc: there is no definition of nobody\n"));
}

#[test]
fn without_a_supervisor_there_is_a_clear_error() {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut connect = || Err(io::Error::from_raw_os_error(2));
    let matches = crate::cli::command().try_get_matches_from(["svc", "list"]).unwrap();
    let code = App::new(&mut out, &mut err, &mut connect).run(&matches);
    let err = String::from_utf8(err).unwrap();
    assert_eq!((code, out.len()), (NO_SUPERVISOR, 0));
    assert!(err.starts_with("svc: there is no supervisor to ask (/dev/svc: No such file or directory"), "{err}");
}

fn happening() -> Happening {
    Happening {
        sequence: 5,
        time: Nanos::from_millis(1234),
        service: name("web"),
        index: 0,
        generation: 3,
        from: State::Running,
        to: State::Backoff,
        cause: Cause::Signalled(9),
        about: None,
    }
}

#[test]
fn events_are_lines() {
    let part = |list, lost| Reply::Happenings(HappeningPart { next: 6, lost, list });
    let result = run("svc events", vec![part(vec![happening()], 4), part(vec![], 0)]);
    assert_eq!(result.out, "... 4 earlier ones are no longer kept\n     1.234 web#0.3 running -> backoff: SIGKILL\n");
    assert_eq!(result.asked, [Request::Events(0), Request::Events(6)]);
}

#[test]
fn every_command_has_a_page_and_every_shell_a_completion() {
    let page = run("svc man start", vec![]);
    assert!(
        page.code == 0 && page.out.contains(".TH svc-start 1") && page.out.contains("what it needs"),
        "{}",
        page.out
    );
    let readable = String::from_utf8(super::manual::readable(page.out.as_bytes())).unwrap();
    assert!(readable.starts_with("NAME\n    svc-start - Starts a service"), "{readable}");
    assert!(!readable.contains('\\') && !readable.contains("\n."), "{readable}");
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(run(&format!("svc man --dir {}", directory.path().display()), vec![]).code, 0);
    let pages = fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(pages, crate::cli::command().get_subcommands().count() + 1);
    assert_eq!(run("svc man nothing", vec![]).code, USAGE);
    for shell in ["bash", "zsh", "fish"] {
        let text = run(&format!("svc completion {shell}"), vec![]).out;
        assert!(text.contains("isolate"), "{shell}");
    }
}

/// Every key that is printed stands in the manual's table, in the row of its command.
#[test]
fn the_keys_of_json_are_those_of_the_manual() {
    let manual = include_str!("../../../../docs/services.md");
    let table = manual.split_once("## For programs").unwrap().1;
    let row_of = |command: &str| {
        let start = format!("| `{command}`");
        table.lines().find(|line| line.starts_with(&start)).unwrap_or_else(|| panic!("no row of {command}"))
    };
    let event = HappeningPart { next: 1, lost: 0, list: vec![happening()] };
    let none = HappeningPart { next: 1, lost: 0, list: Vec::new() };
    for (line, rows, answers) in [
        ("svc --json list", &["list"][..], vec![Reply::Rows(vec![row("web", State::Running)])]),
        ("svc --json status web", &["status", "list", "why", "events"], vec![status("web", State::Waiting)]),
        ("svc --json why web", &["why"], vec![Reply::Why(vec![link("web", 0, State::Waiting)])]),
        ("svc --json events", &["events"], vec![Reply::Happenings(event), Reply::Happenings(none)]),
    ] {
        let object: serde_json::Value = serde_json::from_str(run(line, answers).out.lines().next().unwrap()).unwrap();
        let mut keys = Vec::new();
        collect(&object, &mut keys);
        assert!(keys.len() > 5, "{keys:?}");
        for key in keys.iter().filter(|key| !["command", "schema", "kind"].contains(&key.as_str())) {
            let known = |command: &&str| row_of(command).contains(&format!("`{key}`"));
            assert!(rows.iter().any(known), "{line} prints {key}, which the manual does not have");
        }
    }
}

fn collect(value: &serde_json::Value, keys: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(map) => map.iter().for_each(|(key, inner)| {
            keys.push(key.clone());
            collect(inner, keys);
        }),
        serde_json::Value::Array(list) => list.iter().for_each(|inner| collect(inner, keys)),
        _ => {}
    }
}
