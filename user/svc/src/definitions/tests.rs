//! Good files become what they say; whatever the bytes, reading them ends with problems and not with a panic.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Set, Source};
use services::{
    Balance, Class, DependencyKind, OnFailure, OnLoss, OnMemory, ProbeTarget, Readiness, RestartPolicy, Role, Run,
    SocketKind, Subject,
};
use types::{Nanos, Uid};

const FULL: &str = r#"
[service]
description = "Static web server"
version     = "2.4.1"
exec        = ["/bin/httpd", "-f", "-p", "8080"]
type        = "daemon"
kind        = "user"
ready       = "listen"
start-timeout = "1m30s"
user        = 33
group       = 34
class       = "interactive"
directory   = "/srv"
env         = { LANG = "C" }
provides    = ["http"]
critical    = true
emergency   = "keep"
session     = true

[depends]
requires  = ["net", "db >=2.1, <3"]
requires-any = [["cache-a", "cache-b"], ["queue-a"]]
wants     = ["metrics"]
after     = ["log"]
milestone = ["fs-check"]
conflicts = ["legacy-web"]
on-loss   = "restart"
loss-grace = "2s"
preempt   = true

[restart]
policy = "always"
base = "200ms"
max-delay = "1m"
max-failures = 3
stable = "20s"
permanent-exit = [1, 2]
on-failure = "isolate:rescue"

[stop]
signal = "INT"
timeout = "10s"
grace = "2s"
drain = "5s"

[health]
watchdog = "10s"
live  = { tcp = "127.0.0.1:8080", period = "5s", timeout = "500ms", failures = 2 }

[limits]
memory = "64M"
memory-reserve = "16M"
cpu = "50%"
tasks = 64
files = 256
io = "1M"
on-memory = "restart"

[instances]
count = 4
balance = "local-cpu"
listen = ["tcp:8080", { at = "unix:/run/web.sock", name = "local", backlog = 5, mode = "600" }]
slow-start = "3s"

[security]
exports = [{ name = "http", to = ["*"] }, { name = "admin", to = ["deployer"] }, "plain"]
uses    = ["dns"]
allow   = ["operate: service deployer", "observe: any", "configure: uid 7"]
no-new-privs = true
isolation = "container"

[install]
target = "multi-user"
"#;

fn set(files: &[(&str, &str)]) -> (tempfile::TempDir, Set) {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let layers = ["lib", "etc"].map(|layer| directory.path().join(layer));
    let layers = layers.iter().any(|layer| layer.is_dir()).then(|| layers.to_vec());
    let source = Source::Directories(layers.unwrap_or_else(|| vec![directory.path().to_owned()]));
    let set = Set::read(&source).unwrap();
    (directory, set)
}

#[test]
fn every_key_arrives() {
    let stub = "[service]\nversion = \"2.5.0\"\nexec = [\"/bin/x\"]\n";
    let mut files = vec![("web.svc", FULL), ("rescue.svc", "[service]\ntype = \"target\"\n")];
    let others = ["net", "db", "cache-a", "cache-b", "queue-a", "metrics", "log", "fs-check", "legacy-web"];
    let names: Vec<String> = others.iter().map(|name| format!("{name}.svc")).collect();
    files.extend(names.iter().map(|name| (name.as_str(), stub)));
    let (_directory, set) = set(&files);
    assert_eq!(set.problems(), []);
    let web = set.unit("web").unwrap();
    let definition = &web.definition;
    assert_eq!(definition.description, "Static web server");
    assert_eq!((definition.run, definition.ready), (Run::Daemon, Readiness::Listen));
    assert_eq!(definition.exec.len(), 4);
    assert_eq!((definition.user, definition.group.0, definition.directory.as_str()), (Uid(33), 34, "/srv"));
    assert_eq!((definition.start_timeout, definition.class), (Nanos::from_secs(90), Some(Class::Interactive)));
    assert!(definition.critical && definition.keep_in_emergency && definition.preempt && definition.enabled);
    assert!(definition.session);
    let kinds: Vec<_> = definition.dependencies.iter().map(|on| (on.on.as_str(), on.kind)).collect();
    use DependencyKind::{After, Conflicts, Milestone, Requires, RequiresAny, Wants};
    let expected = [
        ("net", Requires),
        ("db", Requires),
        ("fs-check", Milestone),
        ("metrics", Wants),
        ("log", After),
        ("legacy-web", Conflicts),
        ("cache-a", RequiresAny(0)),
        ("cache-b", RequiresAny(0)),
        ("queue-a", RequiresAny(1)),
    ];
    assert_eq!(kinds, expected);
    assert!(web.places[1].ends_with("web.svc:21:21"), "{:?}", web.places);
    assert_eq!((definition.on_loss, definition.loss_grace), (OnLoss::Restart, Nanos::from_secs(2)));
    let restart = &definition.restart;
    assert_eq!((restart.policy, restart.max_failures, restart.base.millis()), (RestartPolicy::Always, 3, 200));
    assert_eq!(
        (restart.permanent, restart.maximum.secs(), restart.stable.secs()),
        ([Some(1), Some(2), None, None], 60, 20)
    );
    assert_eq!((restart.on_failure, definition.isolate.as_ref().unwrap().as_str()), (OnFailure::Isolate, "rescue"));
    let stop = &definition.stop;
    assert_eq!((stop.signal, stop.timeout.secs(), stop.grace.secs(), stop.drain.secs()), (2, 10, 2, 5));
    let live = definition.health.live.unwrap();
    assert_eq!((live.period.secs(), live.timeout.millis(), live.failures), (5, 500, 2));
    assert_eq!(definition.health.watchdog, Some(Nanos::from_secs(10)));
    assert!(
        matches!(&definition.probe, ProbeTarget::Connect(at) if at.kind == SocketKind::Tcp && at.address == "127.0.0.1:8080")
    );
    let limits = &definition.limits;
    assert_eq!((limits.memory, limits.memory_reserve, limits.cpu), (Some(64 << 20), 16 << 20, Some(500)));
    assert_eq!(
        (limits.tasks, limits.files, limits.io, limits.on_memory),
        (Some(64), Some(256), Some(1 << 20), OnMemory::Restart)
    );
    assert_eq!((definition.scaling.count, definition.scaling.balance), (4, Balance::LocalCpu));
    assert_eq!(definition.scaling.slow_start.secs(), 3);
    let [first, second] = definition.listen.as_slice() else { panic!("{:?}", definition.listen) };
    assert_eq!((first.name.as_str(), first.at.address.as_str(), first.backlog), ("web", "8080", 128));
    assert_eq!(
        (second.name.as_str(), second.at.kind, second.backlog, second.mode),
        ("local", SocketKind::Stream, 5, 0o600)
    );
    let security = &definition.security;
    assert_eq!(security.exports.iter().map(|export| export.to.len()).collect::<Vec<_>>(), [0, 1, 0]);
    assert_eq!(security.allow.len(), 3);
    assert_eq!((security.allow[2].role, &security.allow[2].who), (Role::Configure, &Subject::User(Uid(7))));
    // A target that is only named under [install] is made.
    assert_eq!(set.unit("multi-user").unwrap().definition.run, Run::Target);
}

#[test]
fn a_class_is_one_of_five() {
    let class = |word: &str| {
        let text = format!("[service]\nexec = [\"/bin/a\"]\nclass = \"{word}\"\n");
        let (_directory, set) = set(&[("a.svc", &text)]);
        let problems: Vec<String> = set.problems().iter().map(ToString::to_string).collect();
        (problems.join("\n"), set.unit("a").and_then(|unit| unit.definition.class))
    };
    for (word, meant) in Class::WORDS {
        assert_eq!((class(word), meant.word()), ((String::new(), Some(meant)), word));
    }
    let (problem, meant) = class("interactiv");
    assert!(problem.contains("a.svc:3:9") && problem.ends_with("did you mean \"interactive\"?"), "{problem}");
    assert_eq!(meant, None);
}

#[test]
fn a_critical_service_is_never_given_up_unless_it_says_so() {
    let critical = |more: &str| {
        let text = format!("[service]\nexec = [\"/bin/a\"]\ncritical = true\n{more}");
        let (_directory, set) = set(&[("a.svc", &text)]);
        set.unit("a").unwrap().definition.restart
    };
    assert_eq!((critical("").max_failures, critical("").on_failure), (0, OnFailure::Emergency));
    assert_eq!(critical("[restart]\nmax-failures = 5\n").max_failures, 5);
}

#[test]
fn the_administrators_file_replaces_and_drop_ins_add() {
    let (_directory, set) = set(&[
        ("lib/a.svc", "[service]\nexec = [\"/bin/vendor\"]\nuser = 1\n[limits]\ntasks = 1\n"),
        ("etc/a.svc", "[service]\nexec = [\"/bin/admin\"]\n[limits]\nfiles = 10\n"),
        ("lib/a.svc.d/10.svc", "[limits]\ntasks = 2\n[service]\nenv = { A = \"1\", B = \"2\" }\n"),
        ("lib/a.svc.d/20.svc", "[limits]\nmemory = \"1M\"\n"),
        ("etc/a.svc.d/20.svc", "[limits]\nmemory = \"2M\"\n[service]\nenv = { B = \"3\" }\n"),
        ("lib/b.svc", "[service]\nexec = [\"/bin/b\"]\n"),
    ]);
    assert_eq!(set.problems(), []);
    let a = &set.unit("a").unwrap().definition;
    assert_eq!((a.exec[0].as_str(), a.user), ("/bin/admin", Uid::ROOT));
    assert_eq!((a.limits.tasks, a.limits.memory, a.limits.files), (Some(2), Some(2 << 20), Some(10)));
    assert_eq!(a.env, [("A".into(), "1".into()), ("B".into(), "3".into())]);
    assert!(set.unit("b").is_some());
}

#[test]
fn templates_become_the_instances_that_somebody_needs() {
    let (_directory, set) = set(&[
        (
            "worker@.svc",
            "[service]\nexec = [\"/bin/w\", \"--id=%i\", \"%n\", \"100%%\", \"%x\"]\n[depends]\nwants = [\"helper@%i\"]\n",
        ),
        ("helper@.svc", "[service]\nexec = [\"/bin/h\"]\n"),
        ("worker@2.svc.d/big.svc", "[limits]\ntasks = 9\n"),
        ("pool.svc", "[service]\ntype = \"target\"\n[depends]\nrequires = [\"worker@1\", \"worker@2\"]\n"),
    ]);
    assert_eq!(set.problems(), []);
    let names: Vec<_> = set.units().iter().map(|unit| unit.definition.name.as_str()).collect();
    assert_eq!(names, ["helper@1", "helper@2", "pool", "worker@1", "worker@2"]);
    let worker = &set.unit("worker@1").unwrap().definition;
    assert_eq!(worker.exec, ["/bin/w", "--id=1", "worker@1", "100%", "%x"]);
    assert_eq!(set.unit("worker@2").unwrap().definition.limits.tasks, Some(9));
}

#[test]
fn what_is_bad_is_left_out_and_the_rest_can_be_loaded() {
    let (_directory, set) = set(&[
        ("good.svc", "[service]\nexec = [\"/bin/good\"]\n"),
        ("bad.svc", "[service]\nexec = [\"/bin/bad\"]\nuser = \"x\"\n"),
    ]);
    assert_eq!(set.problems().len(), 1);
    assert!(set.unit("bad").is_none());
    let units = set.into_units();
    assert_eq!(units.iter().map(|unit| unit.definition.name.as_str()).collect::<Vec<_>>(), ["good"]);
}

#[test]
fn no_bytes_make_the_reader_panic() {
    let directory = tempfile::tempdir().unwrap();
    let path: PathBuf = directory.path().join("web.svc");
    let mut seed = 7u64;
    let mut draw = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    let mut problems = 0;
    for _ in 0..500 {
        let mut bytes = FULL.as_bytes().to_vec();
        for _ in 0..=draw(4) {
            let at = draw(bytes.len());
            match draw(4) {
                0 => bytes[at] = draw(256) as u8,
                1 => drop(bytes.drain(at..(at + draw(40)).min(bytes.len()))),
                2 => bytes.insert(at, b"\"[]{}=,\n#.\\'%@-9"[draw(16)]),
                _ => {
                    let piece = bytes[at..(at + draw(60)).min(bytes.len())].to_vec();
                    let to = draw(bytes.len());
                    bytes.splice(to..to, piece);
                }
            }
            if bytes.is_empty() {
                break;
            }
        }
        fs::write(&path, &bytes).unwrap();
        let set = Set::read(&Source::Paths(vec![path.clone()])).unwrap();
        problems += set.problems().len();
        for problem in set.problems() {
            assert!(problem.at.line > 0 && problem.at.column > 0 && !problem.message.is_empty(), "{problem}");
        }
    }
    assert!(problems > 1000, "{problems}");
}

#[test]
fn a_directory_that_is_not_there_is_empty() {
    let set = Set::read(&Source::Directories(vec![Path::new("/no/such/directory").into()])).unwrap();
    assert!(set.is_empty() && set.problems().is_empty());
}
