//! A merged file becomes a [`Unit`]: every key with its type and its default.

use std::cell::RefCell;

use services::wire::Unit;
use services::{
    Allow, Balance, Class, Definition, Dependency, DependencyKind, Endpoint, Export, Field, HealthPolicy, Isolation,
    Kind, Limits, Listen, Name, OnFailure, OnLoss, OnMemory, Probe, ProbeTarget, Readiness, Restart, RestartPolicy,
    Role, Run, Scaling, Security, SocketKind, Stop, Subject, Version, VersionReq,
};
use types::{Gid, Uid};

use super::problem::{At, Problem};
use super::section::{Section, Sections, choose, nearest};
use super::tree::{Table, Value};

/// All keys, by section; `docs/services.md` lists them.
const SECTIONS: Sections<'_> = &[
    (
        "service",
        &[
            "description",
            "version",
            "kind",
            "type",
            "exec",
            "env",
            "directory",
            "user",
            "group",
            "class",
            "provides",
            "critical",
            "emergency",
            "ready",
            "start-timeout",
        ],
    ),
    (
        "depends",
        &["requires", "requires-any", "milestone", "wants", "after", "conflicts", "on-loss", "loss-grace", "preempt"],
    ),
    ("restart", &["policy", "base", "max-delay", "max-failures", "stable", "permanent-exit", "on-failure"]),
    ("stop", &["signal", "timeout", "grace", "drain"]),
    ("health", &["watchdog", "live"]),
    ("limits", &["memory", "memory-reserve", "cpu", "tasks", "files", "io", "on-memory"]),
    ("instances", &["count", "balance", "listen", "slow-start"]),
    ("security", &["exports", "uses", "allow", "no-new-privs", "isolation"]),
    ("install", &["target", "enabled"]),
];

/// Reads everything; what cannot be read is a problem and has its default.
pub(super) fn parse(name: Name, file: &str, table: &Table, problems: &RefCell<Vec<Problem>>) -> Unit {
    let reader = Reader { table, problems };
    for entry in &table.entries {
        if SECTIONS.iter().any(|(section, _)| *section == entry.key) {
            continue;
        }
        let (mut message, words): (String, Vec<&str>) = if matches!(entry.value, Value::Table(_)) {
            (format!("unknown section [{}]", entry.key), SECTIONS.iter().map(|(section, _)| *section).collect())
        } else {
            let keys = SECTIONS.iter().flat_map(|(_, keys)| keys.iter().copied()).collect();
            (format!("unknown key \"{}\" outside of any section", entry.key), keys)
        };
        if let Some((section, _)) = SECTIONS.iter().find(|(_, keys)| keys.contains(&entry.key.as_str())) {
            message.push_str(&format!("; it belongs in [{section}]"));
        } else if let Some(near) = nearest(&entry.key, words.into_iter()) {
            message.push_str(&format!("; did you mean \"{near}\"?"));
        }
        problems.borrow_mut().push(Problem::new(entry.key_at.clone(), message));
    }
    let mut unit = Unit::bare(Definition::daemon(name, ""));
    unit.file = file.to_owned();
    reader.service(&mut unit);
    reader.depends(&mut unit);
    reader.restart(&mut unit.definition);
    reader.stop(&mut unit.definition);
    reader.health(&mut unit);
    reader.limits(&mut unit.definition);
    reader.instances(&mut unit);
    reader.security(&mut unit.definition);
    reader.install(&mut unit.definition);
    unit
}

/// Where a field of the definition was written, or the section where it is missing.
pub(super) fn place(field: Field, table: &Table, file: &str) -> At {
    let (section, key) = key_of(field);
    let Some(entry) = table.get(section) else { return At::start(file) };
    let Value::Table(inner) = &entry.value else { return entry.key_at.clone() };
    inner.get(key).map_or_else(|| entry.key_at.clone(), |entry| entry.at.clone())
}

const fn key_of(field: Field) -> (&'static str, &'static str) {
    match field {
        Field::Name => ("service", ""),
        Field::Exec => ("service", "exec"),
        Field::Env => ("service", "env"),
        Field::Kind => ("service", "kind"),
        Field::Dependencies => ("depends", ""),
        Field::StartTimeout => ("service", "start-timeout"),
        Field::LossGrace => ("depends", "loss-grace"),
        Field::RestartBase => ("restart", "base"),
        Field::RestartMaximum => ("restart", "max-delay"),
        Field::RestartStable => ("restart", "stable"),
        Field::StopTimeout => ("stop", "timeout"),
        Field::StopGrace => ("stop", "grace"),
        Field::StopDrain => ("stop", "drain"),
        Field::StopSignal => ("stop", "signal"),
        Field::Watchdog => ("health", "watchdog"),
        Field::Probe => ("health", "live"),
        Field::Memory => ("limits", "memory"),
        Field::MemoryReserve => ("limits", "memory-reserve"),
        Field::Cpu => ("limits", "cpu"),
        Field::Tasks => ("limits", "tasks"),
        Field::Files => ("limits", "files"),
        Field::Instances => ("instances", "count"),
        Field::Exports => ("security", "exports"),
        Field::Uses => ("security", "uses"),
        Field::Isolation => ("security", "isolation"),
        Field::Listen => ("instances", "listen"),
        Field::Isolate => ("restart", "on-failure"),
        Field::Install => ("install", "target"),
    }
}

struct Reader<'a> {
    table: &'a Table,
    problems: &'a RefCell<Vec<Problem>>,
}

fn set<T>(slot: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *slot = value;
    }
}

fn name(text: &str) -> Result<Name, String> {
    Name::new(text)
        .map_err(|_| format!("{text:?} is no name: 1 to 64 of a-z A-Z 0-9 . _ - @ # :, the first a letter or digit"))
}

impl<'a> Reader<'a> {
    fn open(&self, name: &'static str) -> Section<'a> {
        Section::open(self.table, name, self.problems)
    }

    fn names(&self, section: &Section<'a>, key: &'static str) -> Option<Vec<Name>> {
        let texts = section.texts(key)?;
        let one = |(at, text): (&At, &str)| match name(text) {
            Ok(name) => Some(name),
            Err(message) => {
                section.wrong(at, format!("{key}: {message}"));
                None
            }
        };
        Some(texts.into_iter().filter_map(one).collect())
    }

    fn service(&self, unit: &mut Unit) {
        let section = self.open("service");
        let definition = &mut unit.definition;
        let runs = [("daemon", Run::Daemon), ("oneshot", Run::Oneshot), ("target", Run::Target)];
        set(&mut definition.run, section.choice("type", &runs));
        if definition.run == Run::Target {
            definition.kind = Kind::Target;
        }
        let kinds = [
            ("system", Kind::System),
            ("user", Kind::User),
            ("target", Kind::Target),
            ("monitoring", Kind::Monitoring),
            ("load-balancer", Kind::LoadBalancer),
            ("discovery", Kind::Discovery),
        ];
        set(&mut definition.kind, section.choice("kind", &kinds));
        set(&mut definition.description, section.text("description").map(str::to_owned));
        let version = |value: &Value| match value {
            Value::Text(text) => {
                Version::parse(text).map_err(|error| format!("{text:?} is no version such as \"1.2.0\": {error}"))
            }
            other => Err(format!("text is expected, not {}", other.kind())),
        };
        set(&mut definition.version, section.read("version", version));
        definition.exec = Vec::new();
        if let Some(entry) = section.entry("exec") {
            if let Value::Text(line) = &entry.value {
                let words: Vec<String> = line.split_whitespace().map(|word| format!("{word:?}")).collect();
                section.wrong(&entry.at, format!("exec: a list of words is expected: exec = [{}]", words.join(", ")));
                // So that its absence is not complained about as well.
                definition.exec = line.split_whitespace().map(str::to_owned).collect();
            } else if let Some(words) = section.texts("exec") {
                definition.exec = words.into_iter().map(|(_, word)| word.to_owned()).collect();
            }
        }
        set(&mut definition.env, self.environment(&section));
        set(&mut definition.directory, section.text("directory").map(str::to_owned));
        set(&mut definition.user, section.integer("user", u32::MAX).map(Uid));
        set(&mut definition.group, section.integer("group", u32::MAX).map(Gid));
        definition.class = section.choice("class", &Class::WORDS);
        set(&mut definition.provides, self.names(&section, "provides"));
        set(&mut definition.critical, section.flag("critical"));
        set(&mut definition.session, section.flag("session"));
        set(&mut definition.keep_in_emergency, section.choice("emergency", &[("stop", false), ("keep", true)]));
        set(&mut definition.ready, section.read("ready", readiness));
        set(&mut definition.start_timeout, section.duration("start-timeout"));
        section.finish(SECTIONS);
    }

    fn environment(&self, section: &Section<'a>) -> Option<Vec<(String, String)>> {
        let entry = section.entry("env")?;
        let Value::Table(table) = &entry.value else {
            section.wrong(
                &entry.at,
                format!("env: a table is expected, as in {{ LANG = \"C\" }}, not {}", entry.value.kind()),
            );
            return None;
        };
        let mut all = Vec::new();
        for variable in &table.entries {
            match &variable.value {
                Value::Text(text) => all.push((variable.key.clone(), text.clone())),
                other => {
                    section
                        .wrong(&variable.at, format!("env.{}: text is expected, not {}", variable.key, other.kind()));
                }
            }
        }
        Some(all)
    }

    fn depends(&self, unit: &mut Unit) {
        let section = self.open("depends");
        let lists = [
            ("requires", DependencyKind::Requires),
            ("milestone", DependencyKind::Milestone),
            ("wants", DependencyKind::Wants),
            ("after", DependencyKind::After),
            ("conflicts", DependencyKind::Conflicts),
        ];
        for (key, kind) in lists {
            for (at, text) in section.texts(key).unwrap_or_default() {
                self.dependency(unit, &section, key, kind, at, text);
            }
        }
        self.alternatives(unit, &section);
        let words = [("stop", OnLoss::Stop), ("restart", OnLoss::Restart), ("keep", OnLoss::Keep)];
        set(&mut unit.definition.on_loss, section.choice("on-loss", &words));
        set(&mut unit.definition.loss_grace, section.duration("loss-grace"));
        set(&mut unit.definition.preempt, section.flag("preempt"));
        section.finish(SECTIONS);
    }

    fn dependency(&self, unit: &mut Unit, section: &Section<'a>, key: &str, kind: DependencyKind, at: &At, text: &str) {
        let (on, version) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let version = match version.trim() {
            "" => Ok(VersionReq::STAR),
            version => VersionReq::parse(version)
                .map_err(|error| format!("{version:?} is no version requirement such as \">=2.1, <3\": {error}")),
        };
        match (name(on), version) {
            (Ok(on), Ok(version)) => {
                unit.definition.dependencies.push(Dependency { kind, on, version });
                unit.places.push(at.to_string());
            }
            (on, version) => {
                let messages = [on.err(), version.err()].into_iter().flatten();
                messages.for_each(|message| section.wrong(at, format!("{key}: {message}")));
            }
        }
    }

    /// One group as a list of names, or several as a list of lists.
    fn alternatives(&self, unit: &mut Unit, section: &Section<'a>) {
        let Some(entry) = section.entry("requires-any") else { return };
        let Value::List(list) = &entry.value else {
            section.wrong(&entry.at, format!("requires-any: a list is expected, not {}", entry.value.kind()));
            return;
        };
        let mut groups = 0u8;
        let mut plain = Vec::new();
        for (at, value) in list {
            match value {
                Value::Text(text) => plain.push((at, text.as_str())),
                Value::List(group) => {
                    for (at, value) in group {
                        if let Value::Text(text) = value {
                            self.dependency(
                                unit,
                                section,
                                "requires-any",
                                DependencyKind::RequiresAny(groups),
                                at,
                                text,
                            );
                        } else {
                            section.wrong(at, format!("requires-any: text is expected, not {}", value.kind()));
                        }
                    }
                    groups = groups.saturating_add(1);
                }
                other => section
                    .wrong(at, format!("requires-any: a name or a list of names is expected, not {}", other.kind())),
            }
        }
        for (at, text) in plain {
            self.dependency(unit, section, "requires-any", DependencyKind::RequiresAny(groups), at, text);
        }
    }

    fn restart(&self, definition: &mut Definition) {
        let section = self.open("restart");
        let mut restart = if definition.critical { Restart::of_critical() } else { Restart::default() };
        let policies = [
            ("never", RestartPolicy::Never),
            ("on-failure", RestartPolicy::OnFailure),
            ("on-abnormal", RestartPolicy::OnAbnormal),
            ("always", RestartPolicy::Always),
        ];
        set(&mut restart.policy, section.choice("policy", &policies));
        set(&mut restart.base, section.duration("base"));
        set(&mut restart.maximum, section.duration("max-delay"));
        set(&mut restart.max_failures, section.integer("max-failures", u8::MAX));
        set(&mut restart.stable, section.duration("stable"));
        set(&mut restart.permanent, section.read("permanent-exit", statuses));
        if let Some((end, target)) = section.read("on-failure", on_failure) {
            restart.on_failure = end;
            definition.isolate = target;
        }
        definition.restart = restart;
        section.finish(SECTIONS);
    }

    fn stop(&self, definition: &mut Definition) {
        let section = self.open("stop");
        let mut stop = Stop::default();
        set(&mut stop.signal, section.signal("signal"));
        set(&mut stop.timeout, section.duration("timeout"));
        set(&mut stop.grace, section.duration("grace"));
        set(&mut stop.drain, section.duration("drain"));
        definition.stop = stop;
        section.finish(SECTIONS);
    }

    fn health(&self, unit: &mut Unit) {
        let section = self.open("health");
        let mut health = HealthPolicy { watchdog: section.duration("watchdog"), live: None };
        if let Some(entry) = section.entry("live") {
            if let Value::Table(table) = &entry.value {
                let live = Section::inner("health.live", table, self.problems);
                let mut probe = Probe::default();
                set(&mut probe.period, live.duration("period"));
                set(&mut probe.timeout, live.duration("timeout"));
                set(&mut probe.failures, live.integer("failures", u8::MAX));
                let connect = |key, prefix: &str| {
                    live.read(key, |value| match value {
                        Value::Text(text) => endpoint(&format!("{prefix}{text}")),
                        other => Err(format!("text is expected, not {}", other.kind())),
                    })
                    .map(ProbeTarget::Connect)
                };
                let program = live
                    .texts("exec")
                    .map(|words| ProbeTarget::Execute(words.into_iter().map(|(_, word)| word.to_owned()).collect()));
                let mut targets = [connect("tcp", "tcp:"), connect("unix", "unix:"), program].into_iter().flatten();
                // Without any it connects to the service's own first socket.
                set(&mut unit.definition.probe, targets.next());
                if targets.next().is_some() {
                    section.wrong(&entry.at, "live: only one of tcp, unix and exec can be asked".into());
                }
                live.finish(SECTIONS);
                health.live = Some(probe);
            } else {
                section.wrong(&entry.at, format!("live: a table is expected, not {}", entry.value.kind()));
            }
        }
        unit.definition.health = health;
        section.finish(SECTIONS);
    }

    fn limits(&self, definition: &mut Definition) {
        let section = self.open("limits");
        let mut limits = Limits { memory: section.size("memory"), ..Limits::default() };
        set(&mut limits.memory_reserve, section.size("memory-reserve"));
        limits.cpu = section.share("cpu");
        limits.tasks = section.integer("tasks", u32::MAX);
        limits.files = section.integer("files", u32::MAX);
        limits.io = section.size("io");
        let words = [("enomem", OnMemory::Refuse), ("restart", OnMemory::Restart)];
        set(&mut limits.on_memory, section.choice("on-memory", &words));
        definition.limits = limits;
        section.finish(SECTIONS);
    }

    fn instances(&self, unit: &mut Unit) {
        let section = self.open("instances");
        let mut scaling = Scaling::default();
        set(&mut scaling.count, section.integer("count", services::MAX_COUNT));
        let policies = [
            ("least", Balance::Least),
            ("p2c", Balance::TwoChoices),
            ("round-robin", Balance::RoundRobin),
            ("hash:source", Balance::Hash),
            ("local-cpu", Balance::LocalCpu),
        ];
        set(&mut scaling.balance, section.choice("balance", &policies));
        set(&mut scaling.slow_start, section.duration("slow-start"));
        unit.definition.scaling = scaling;
        self.listen(&section, &mut unit.definition);
        section.finish(SECTIONS);
    }

    /// `listen = ["unix:/run/x.sock", { at = "tcp:80", name = "http", backlog = 64, mode = "666" }]`.
    fn listen(&self, section: &Section<'a>, definition: &mut Definition) {
        let Some(entry) = section.entry("listen") else { return };
        let Value::List(list) = &entry.value else {
            section.wrong(&entry.at, format!("listen: a list is expected, not {}", entry.value.kind()));
            return;
        };
        for (at, value) in list {
            let own = definition.name.clone();
            let numbered = Name::new(&format!("{own}-{}", definition.listen.len() + 1)).unwrap_or(own.clone());
            let usual = if definition.listen.is_empty() { own } else { numbered };
            let mut listen = Listen::new(SocketKind::Stream, String::new(), usual);
            let place = match value {
                Value::Text(text) => endpoint(text),
                Value::Table(table) => {
                    let inner = Section::inner("instances.listen", table, self.problems);
                    let place = inner.text("at").map(endpoint);
                    set(&mut listen.name, inner.text("name").and_then(|text| name(text).ok()));
                    set(&mut listen.backlog, inner.integer("backlog", u32::MAX));
                    let octal = |value: &Value| match value {
                        Value::Text(text) => u16::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777),
                        _ => None,
                    };
                    let mode = |value: &Value| {
                        octal(value).ok_or_else(|| "three octal digits are expected: \"660\"".to_owned())
                    };
                    set(&mut listen.mode, inner.read("mode", mode));
                    inner.finish(SECTIONS);
                    place.unwrap_or_else(|| Err("an address is missing: { at = \"unix:/run/x.sock\" }".into()))
                }
                other => Err(format!("an address or a table is expected, not {}", other.kind())),
            };
            match place {
                Ok(place) => definition.listen.push(Listen { at: place, ..listen }),
                Err(message) => section.wrong(at, format!("listen: {message}")),
            }
        }
    }

    fn security(&self, definition: &mut Definition) {
        let section = self.open("security");
        let mut security = Security::default();
        let levels =
            [("process", Isolation::Process), ("namespace", Isolation::Namespace), ("container", Isolation::Container)];
        set(&mut security.isolation, section.choice("isolation", &levels));
        set(&mut security.no_new_privileges, section.flag("no-new-privs"));
        set(&mut security.uses, self.names(&section, "uses"));
        security.exports = self.exports(&section);
        for (at, text) in section.texts("allow").unwrap_or_default() {
            match allow(text) {
                Ok(rule) => security.allow.push(rule),
                Err(message) => section.wrong(at, format!("allow: {message}")),
            }
        }
        definition.security = security;
        section.finish(SECTIONS);
    }

    fn exports(&self, section: &Section<'a>) -> Vec<Export> {
        let Some(entry) = section.entry("exports") else { return Vec::new() };
        let Value::List(list) = &entry.value else {
            section.wrong(&entry.at, format!("exports: a list is expected, not {}", entry.value.kind()));
            return Vec::new();
        };
        let mut exports = Vec::new();
        for (at, value) in list {
            match value {
                Value::Text(text) => match name(text) {
                    Ok(name) => exports.push(Export { name, to: Vec::new() }),
                    Err(message) => section.wrong(at, format!("exports: {message}")),
                },
                Value::Table(table) => {
                    let inner = Section::inner("security.exports", table, self.problems);
                    let exported = inner.text("name").map(name);
                    // "*" is everybody who says that it uses it, which is what an empty list means.
                    let everybody = inner.texts("to").is_some_and(|to| to.iter().any(|(_, text)| *text == "*"));
                    let to = if everybody { Vec::new() } else { self.names(&inner, "to").unwrap_or_default() };
                    match exported {
                        Some(Ok(name)) => exports.push(Export { name, to }),
                        Some(Err(message)) => section.wrong(at, format!("exports: {message}")),
                        None => section.wrong(at, "exports: a name is missing: { name = \"http\" }".into()),
                    }
                    inner.finish(SECTIONS);
                }
                other => {
                    section.wrong(at, format!("exports: a name or a table is expected, not {}", other.kind()));
                }
            }
        }
        exports
    }

    fn install(&self, definition: &mut Definition) {
        let section = self.open("install");
        definition.install = section.read("target", |value| match value {
            Value::Text(text) => name(text),
            other => Err(format!("text is expected, not {}", other.kind())),
        });
        definition.enabled = section.flag("enabled").unwrap_or(definition.install.is_some());
        section.finish(SECTIONS);
    }
}

fn readiness(value: &Value) -> Result<Readiness, String> {
    let Value::Text(text) = value else { return Err(format!("text is expected, not {}", value.kind())) };
    if let Some(number) = text.strip_prefix("fd:") {
        let number = number.parse().map_err(|_| format!("{text:?} is no descriptor such as \"fd:3\""))?;
        return Ok(Readiness::Descriptor(number));
    }
    let words = [
        ("exec", Readiness::Execute),
        ("notify", Readiness::Notify),
        ("listen", Readiness::Listen),
        ("probe", Readiness::Probe),
        ("fd:3", Readiness::Descriptor(3)),
    ];
    choose(text, &words)
}

fn on_failure(value: &Value) -> Result<(OnFailure, Option<Name>), String> {
    let Value::Text(text) = value else { return Err(format!("text is expected, not {}", value.kind())) };
    if let Some(target) = text.strip_prefix("isolate:") {
        return Ok((OnFailure::Isolate, Some(name(target)?)));
    }
    let words = [
        ("none", OnFailure::None),
        ("emergency", OnFailure::Emergency),
        ("reboot", OnFailure::Reboot),
        ("poweroff", OnFailure::PowerOff),
        ("isolate:TARGET", OnFailure::None),
    ];
    Ok((choose(text, &words)?, None))
}

fn statuses(value: &Value) -> Result<[Option<u8>; 4], String> {
    let wrong = || "a list of at most 4 exit statuses from 0 to 255 is expected".to_owned();
    let Value::List(list) = value else { return Err(wrong()) };
    let mut statuses = [None; 4];
    if list.len() > statuses.len() {
        return Err(wrong());
    }
    for (slot, (_, value)) in statuses.iter_mut().zip(list) {
        let Value::Integer(Some(status)) = value else { return Err(wrong()) };
        *slot = Some(u8::try_from(*status).map_err(|_| wrong())?);
    }
    Ok(statuses)
}

/// `unix:/run/x`, `unix:@x`, `unix-dgram:`, `unix-seqpacket:`, `tcp:80`, `tcp:127.0.0.1:80`, `udp:53`.
fn endpoint(text: &str) -> Result<Endpoint, String> {
    const SCHEMES: [(&str, SocketKind); 5] = [
        ("unix", SocketKind::Stream),
        ("unix-dgram", SocketKind::Datagram),
        ("unix-seqpacket", SocketKind::Packet),
        ("tcp", SocketKind::Tcp),
        ("udp", SocketKind::Udp),
    ];
    let (scheme, address) = text.split_once(':').unwrap_or((text, ""));
    let kind = SCHEMES.iter().find(|(known, _)| *known == scheme).map(|(_, kind)| *kind);
    let place = kind.map(|kind| Endpoint { kind, address: address.to_owned() });
    place.filter(Endpoint::is_sound).ok_or_else(|| {
        format!("{text:?} is no address such as \"unix:/run/x.sock\", \"unix:@x\" or \"tcp:127.0.0.1:80\"")
    })
}

/// `operate: uid 0`, `observe: any`, `operate: service deployer`.
fn allow(text: &str) -> Result<Allow, String> {
    let wrong = || {
        format!("{text:?} is no rule such as \"operate: uid 33\", \"operate: service deployer\" or \"observe: any\"")
    };
    let (role, who) = text.split_once(':').ok_or_else(wrong)?;
    let roles = [
        ("observe", Role::Observe),
        ("operate", Role::Operate),
        ("configure", Role::Configure),
        ("emergency", Role::Emergency),
    ];
    let role = choose(role.trim(), &roles)?;
    let mut words = who.split_whitespace();
    let who = match (words.next(), words.next(), words.next()) {
        (Some("any"), None, None) => Subject::Any,
        (Some("uid"), Some(number), None) => Subject::User(Uid(number.parse().map_err(|_| wrong())?)),
        (Some("service"), Some(text), None) => Subject::Service(name(text)?),
        _ => return Err(wrong()),
    };
    Ok(Allow { role, who })
}
