//! What happened: changes of state, audit records, the start of the system.

use services::wire::{AuditPart, BootStep, Happening, HappeningPart};
use services::{Actor, Deed, Name, ServiceId};
use types::Nanos;

use super::table::columns;
use super::words::cause;
use crate::definitions::show_duration;

/// Seconds since boot with three digits, as the kernel's log has them.
fn moment(time: Nanos) -> String {
    format!("{:6}.{:03}", time.secs(), time.millis() % 1000)
}

pub(super) fn happening_line(event: &Happening) -> String {
    let why = cause(event.cause, event.about.as_ref());
    let why = if why.is_empty() { why } else { format!(": {why}") };
    let (from, to) = (event.from.word(), event.to.word());
    format!("{} {}#{}.{} {from} -> {to}{why}", moment(event.time), event.service, event.index, event.generation)
}

/// Changes of state, one line each.
pub(crate) fn happenings(part: &HappeningPart) -> String {
    let mut text =
        if part.lost > 0 { format!("... {} earlier ones are no longer kept\n", part.lost) } else { String::new() };
    part.list.iter().for_each(|event| text.push_str(&format!("{}\n", happening_line(event))));
    text
}

/// The word of a command's number in a record.
pub(crate) fn verb_of(code: u8) -> String {
    let word = match code {
        0 => "start",
        1 => "stop",
        2 => "stop --cascade",
        3 => "restart",
        4 => "reload",
        5 => "enable",
        6 => "disable",
        7 => "reset",
        8 => "hold",
        9 => "unhold",
        10 => "scale",
        11 => "roll",
        12 => "isolate",
        13 => "emergency",
        14 => "emergency leave",
        15 => "shutdown --halt",
        16 => "reboot",
        17 => "shutdown",
        18..=20 => "emergency kill-all",
        21 => "pause",
        22 => "resume",
        // Requests that are no commands of the engine, numbered by the crate `supervisor`.
        32 => "load",
        33 => "set",
        34 => "rollback",
        35 => "audit",
        36 => "events",
        37 => "boot",
        38 => "show",
        39 => "log",
        40 => "emergency",
        _ => return format!("command {code}"),
    };
    word.to_owned()
}

/// Audit records, one line each.
pub(crate) fn audit(part: &AuditPart) -> String {
    let name = |id: ServiceId| {
        let known = part.names.iter().find(|(known, _)| *known == id);
        known.map_or_else(|| "-".to_owned(), |(_, name)| Name::as_str(name).to_owned())
    };
    let mut rows = Vec::new();
    for record in &part.records {
        let actor = match record.actor {
            Actor::Supervisor => "supervisor".to_owned(),
            Actor::Caller { user, service: None } => format!("uid {}", user.0),
            Actor::Caller { user, service: Some(service) } => format!("{} uid {}", name(service), user.0),
        };
        let deed = match record.deed {
            Deed::Transition { index, from, to, cause: why } => {
                let why = cause(why, None);
                let why = if why.is_empty() { why } else { format!(": {why}") };
                format!("#{index} {} -> {}{why}", from.word(), to.word())
            }
            Deed::Allowed(code) => format!("allowed {}", verb_of(code)),
            Deed::Denied(code) => format!("denied {}", verb_of(code)),
            Deed::Flood(times) => format!("denied more x {times}"),
            Deed::Escalated(what) => format!("given up, so {}", format!("{what:?}").to_lowercase()),
        };
        let hash: String = record.hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        let sequence = record.sequence.to_string();
        rows.push(vec![sequence, moment(record.time), hash, actor, name(record.target), deed]);
    }
    columns(&rows)
}

/// The start: the critical path, then everything by time.
pub(crate) fn boot(steps: &[BootStep]) -> String {
    if steps.is_empty() {
        return "nothing was started at boot\n".into();
    }
    let mut text = String::from("critical path\n");
    let mut path = Vec::new();
    let mut at = steps.iter().max_by_key(|step| step.ready);
    while let Some(step) = at {
        path.push(step);
        at = step.after.as_ref().and_then(|after| steps.iter().find(|other| other.service == *after));
        if path.len() > steps.len() {
            break;
        }
    }
    for step in path.iter().rev() {
        let waited = step.spawned.saturating_sub(step.wanted);
        let started = step.ready.saturating_sub(step.spawned);
        text.push_str(&format!(
            "  {} {} waited {}, started in {}\n",
            moment(step.ready),
            step.service,
            show_duration(waited),
            show_duration(started)
        ));
    }
    text.push_str("all\n");
    let mut rows = Vec::new();
    for step in steps {
        let after = step.after.as_ref().map_or_else(String::new, |after| format!("after {after}"));
        let started = show_duration(step.ready.saturating_sub(step.spawned));
        rows.push(vec![format!("  {}", moment(step.ready)), step.service.to_string(), started, after]);
    }
    text.push_str(&columns(&rows));
    text
}
