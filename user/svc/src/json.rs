//! Answers as JSON. The schema is stable: keys are added, never renamed or removed; `schema` counts the exceptions.
//!
//! Times are nanoseconds, sizes bytes, states and kinds the words that the text shows.

use std::io::{self, Write};

use serde_json::{Value, json};
use services::wire::{
    AuditPart, BootStep, Explanation, Failure, Happening, HappeningPart, InstanceStatus, Link, LogPart, PlanStep, Row,
    Status, Throttled,
};
use services::{Actor, Cause, Deed, Hold, Mistake, Name, Run, ServiceId};
use types::Nanos;

use crate::commands::Invalid;
use crate::definitions::{Problem, Table, Value as Written, describe, verb};
use crate::render;

/// Prints one line.
pub(crate) fn print(out: &mut dyn Write, mut value: Value) -> io::Result<()> {
    if let Value::Object(map) = &mut value {
        map.insert("schema".into(), json!(1));
    }
    writeln!(out, "{value}")?;
    out.flush()
}

fn names(list: &[Name]) -> Value {
    list.iter().map(|name| json!(name.as_str())).collect()
}

fn cause(cause: Cause, about: Option<&Name>) -> Value {
    let text = render::cause(cause, about);
    if text.is_empty() { Value::Null } else { json!(text) }
}

fn span(span: Option<Nanos>) -> Value {
    span.map_or(Value::Null, |span| json!(span.0))
}

fn throttled(what: Throttled) -> Value {
    json!({ "times": what.times, "time": what.time.0 })
}

fn row(row: &Row) -> Value {
    let hold = match row.hold {
        Hold::None => "none",
        Hold::Soft => "stopped",
        Hold::Hard => "held",
    };
    let run = match row.run {
        Run::Daemon => "daemon",
        Run::Oneshot => "oneshot",
        Run::Target => "target",
    };
    json!({
        "name": row.service.as_str(), "index": row.index, "count": row.count, "type": run, "state": row.state.word(),
        "age": row.age.0, "wanted": row.wanted, "hold": hold, "degraded": row.degraded, "failures": row.failures,
        "generation": row.generation, "pid": row.pid, "tasks": row.tasks, "memory": row.memory, "cpu": row.cpu.0,
        "in_flight": row.in_flight, "paused": row.paused, "cpu_throttled": throttled(row.cpu_throttled),
        "io_throttled": throttled(row.io_throttled), "cause": cause(row.cause, row.about.as_ref()),
        "waits_for": row.gate.as_ref().map(|(kind, on)| json!({ "kind": verb(*kind), "name": on.as_str() })),
    })
}

pub(crate) fn list(list: &[Row], invalid: &[Invalid]) -> Value {
    let mut value = rows("list", list);
    if let Value::Object(map) = &mut value {
        let one = |one: &Invalid| json!({ "name": one.name, "problems": problem_list(&one.problems) });
        map.insert("invalid".into(), invalid.iter().map(one).collect());
    }
    value
}

pub(crate) fn rows(command: &str, list: &[Row]) -> Value {
    json!({ "command": command, "instances": list.iter().map(row).collect::<Value>() })
}

fn happening(event: &Happening) -> Value {
    json!({
        "sequence": event.sequence, "time": event.time.0, "name": event.service.as_str(), "index": event.index,
        "generation": event.generation, "from": event.from.word(), "to": event.to.word(),
        "cause": cause(event.cause, event.about.as_ref()),
    })
}

fn explanation(link: &Explanation) -> Value {
    json!({
        "name": link.service.as_str(), "depth": link.depth, "through": link.through.map(verb), "version": link.version,
        "root": link.root.map(render::root), "state": link.state.word(), "age": link.age.0,
        "cause": cause(link.cause, None), "last_end": cause(link.last_end, None), "lived": span(link.lived),
        "failures": link.failures, "max_failures": link.max_failures, "next": span(link.next),
        "last_line": link.last_line, "blocks": names(&link.blocks),
    })
}

pub(crate) fn explanations(list: &[Explanation]) -> Value {
    json!({ "command": "why", "explanations": list.iter().map(explanation).collect::<Value>() })
}

fn instance(one: &InstanceStatus) -> Value {
    let mut value = row(&one.row);
    if let Value::Object(map) = &mut value {
        map.insert("last_end".into(), cause(one.last_end, one.row.about.as_ref()));
        map.insert("next".into(), span(one.next));
        map.insert("pids".into(), json!(one.pids));
        map.insert("start_time".into(), span(one.start_time));
        map.insert("notice".into(), json!(one.notice));
        map.insert("history".into(), one.history.iter().map(happening).collect());
    }
    value
}

pub(crate) fn status(status: &Status) -> Value {
    json!({
        "command": "status", "name": status.name.as_str(), "version": status.version.to_string(),
        "description": status.description, "file": status.file, "class": status.class.map(services::Class::word), "explicit": status.explicit, "enabled": status.enabled,
        "started_by": names(&status.started_by), "instances": status.instances.iter().map(instance).collect::<Value>(),
        "why": status.why.iter().map(explanation).collect::<Value>(), "output": String::from_utf8_lossy(&status.output),
    })
}

pub(crate) fn chain(chain: &[Name]) -> Value {
    json!({ "command": "why", "started_by": names(chain) })
}

pub(crate) fn plan(steps: &[PlanStep]) -> Value {
    let step = |step: &PlanStep| json!({ "name": step.service.as_str(), "change": format!("{:?}", step.change).to_lowercase(), "wave": step.wave });
    json!({ "command": "plan", "steps": steps.iter().map(step).collect::<Value>() })
}

pub(crate) fn links(links: &[Link]) -> Value {
    let link = |link: &Link| {
        json!({
            "from": link.from.as_str(), "to": link.to.as_str(), "kind": verb(link.kind), "state": link.state.word(),
            "place": link.place,
        })
    };
    json!({ "command": "deps", "dependencies": links.iter().map(link).collect::<Value>() })
}

pub(crate) fn log(name: &Name, part: &LogPart) -> Value {
    json!({
        "command": "log", "name": name.as_str(), "from": part.from, "next": part.next,
        "text": String::from_utf8_lossy(&part.bytes),
    })
}

pub(crate) fn happenings(part: &HappeningPart) -> Value {
    let list: Value = part.list.iter().map(happening).collect();
    json!({ "command": "events", "next": part.next, "lost": part.lost, "events": list })
}

pub(crate) fn audit(part: &AuditPart) -> Value {
    let name = |id: ServiceId| part.names.iter().find(|(known, _)| *known == id).map(|(_, name)| name.as_str());
    let record = |record: &services::Record| {
        let actor = match record.actor {
            Actor::Supervisor => json!({ "supervisor": true }),
            Actor::Caller { user, service } => json!({ "user": user.0, "service": service.and_then(name) }),
        };
        let deed = match record.deed {
            Deed::Transition { index, from, to, cause: why } => {
                json!({ "index": index, "from": from.word(), "to": to.word(), "cause": cause(why, None) })
            }
            Deed::Allowed(code) => json!({ "allowed": render::verb_of(code) }),
            Deed::Denied(code) => json!({ "denied": render::verb_of(code) }),
            Deed::Flood(times) => json!({ "denied": null, "times": times }),
            Deed::Escalated(what) => json!({ "escalated": format!("{what:?}").to_lowercase() }),
        };
        let hash: String = record.hash.iter().map(|byte| format!("{byte:02x}")).collect();
        json!({
            "sequence": record.sequence, "time": record.time.0, "actor": actor, "target": name(record.target),
            "deed": deed, "hash": hash,
        })
    };
    let records: Value = part.records.iter().map(record).collect();
    json!({ "command": "audit", "next": part.next, "lost": part.lost, "broken": part.broken, "records": records })
}

pub(crate) fn boot(steps: &[BootStep]) -> Value {
    let step = |step: &BootStep| {
        json!({
            "name": step.service.as_str(), "wanted": step.wanted.0, "spawned": step.spawned.0, "ready": step.ready.0,
            "after": step.after.as_ref().map(Name::as_str),
        })
    };
    json!({ "command": "boot", "services": steps.iter().map(step).collect::<Value>() })
}

pub(crate) fn definition(name: &Name, table: &Table) -> Value {
    let mut keys = Vec::new();
    for section in &table.entries {
        let Written::Table(inner) = &section.value else { continue };
        for entry in &inner.entries {
            let key = format!("{}.{}", section.key, entry.key);
            keys.push(json!({ "key": key, "value": entry.raw, "place": entry.at.to_string() }));
        }
    }
    json!({ "command": "cat", "name": name.as_str(), "keys": keys })
}

pub(crate) fn problems(list: &[Problem]) -> Value {
    json!({ "command": "check", "problems": problem_list(list) })
}

fn problem_list(list: &[Problem]) -> Value {
    let problem = |problem: &Problem| {
        json!({
            "file": &*problem.at.file, "line": problem.at.line, "column": problem.at.column, "message": problem.message,
            "notes": problem.notes, "code": problem.code,
        })
    };
    list.iter().map(problem).collect()
}

fn mistake_list(list: &[Mistake]) -> Value {
    let mistake = |mistake: &Mistake| {
        json!({
            "name": mistake.service.as_str(), "code": mistake.error.exit_code(), "message": describe(mistake.error),
            "dependency": mistake.dependency.as_ref().map(Name::as_str),
            "nearest": mistake.nearest.as_ref().map(Name::as_str), "path": names(&mistake.path),
        })
    };
    list.iter().map(mistake).collect()
}

pub(crate) fn loaded(number: u32, aside: &[Mistake]) -> Value {
    json!({ "command": "load", "number": number, "aside": mistake_list(aside) })
}

pub(crate) fn mistakes(list: &[Mistake]) -> Value {
    json!({ "command": "load", "refused": mistake_list(list) })
}

pub(crate) fn done(command: &str, name: &Name) -> Value {
    json!({ "command": command, "name": name.as_str() })
}

pub(crate) fn done_system(command: &str) -> Value {
    json!({ "command": command })
}

pub(crate) fn failure(failure: &Failure) -> Value {
    json!({
        "error": {
            "code": failure.error.exit_code(), "message": describe(failure.error),
            "name": failure.subject.as_ref().map(Name::as_str), "names": names(&failure.names), "notes": failure.notes,
        }
    })
}

pub(crate) fn error(code: u8, message: &str) -> Value {
    json!({ "error": { "code": code, "message": message } })
}
