//! Lists of instances, and one service in full.

use std::time::Duration;

use services::wire::{InstanceStatus, Row, Status};
use services::{Cause, Hold};
use types::Nanos;

use super::explain::explanations;
use super::history::happening_line;
use super::table::columns;
use super::words::{cause, in_brief, next, state};
use crate::commands::Invalid;
use crate::definitions::{show_duration, show_size};

/// `web`, or `web#2` of several.
fn name(row: &Row) -> String {
    if row.count > 1 { format!("{}#{}", row.service, row.index) } else { row.service.to_string() }
}

fn dash(there: bool, text: impl FnOnce() -> String) -> String {
    if there { text() } else { "-".into() }
}

/// One line for each instance, and for each service that was left out.
pub(crate) fn list(rows: &[Row], invalid: &[Invalid]) -> String {
    let head = ["NAME", "STATE", "FOR", "RST", "PID", "MEM", "CPU", "CAUSE"].map(str::to_owned).to_vec();
    let line = |row: &Row| {
        let alive = row.state.has_cell();
        vec![
            name(row),
            state(row).to_owned(),
            show_duration(row.age),
            row.generation.saturating_sub(1).to_string(),
            dash(row.pid != 0, || row.pid.to_string()),
            dash(alive, || show_size(row.memory)),
            dash(alive, || show_duration(row.cpu)),
            in_brief(row),
        ]
    };
    let left_out = |one: &Invalid| {
        let mut line = vec![one.name.clone(), "invalid".to_owned()];
        line.extend(["-"; 5].map(str::to_owned));
        line.push(one.problems.first().map(ToString::to_string).unwrap_or_default());
        line
    };
    let lines = std::iter::once(head).chain(rows.iter().map(line)).chain(invalid.iter().map(left_out));
    columns(&lines.collect::<Vec<_>>())
}

/// What each instance uses, those that use most first; `before` is the look before this one.
pub(crate) fn top(rows: &[Row], before: &[Row], between: Duration) -> String {
    let share = |row: &Row| {
        let earlier = before
            .iter()
            .find(|old| (&old.service, old.index, old.generation) == (&row.service, row.index, row.generation))?;
        let used = row.cpu.0.saturating_sub(earlier.cpu.0);
        u64::try_from(u128::from(used) * 1000 / between.as_nanos().max(1)).ok()
    };
    let mut live: Vec<(u64, &Row)> =
        rows.iter().filter(|row| row.state.has_cell()).map(|row| (share(row).unwrap_or(0), row)).collect();
    live.sort_by_key(|(share, row)| (std::cmp::Reverse(*share), std::cmp::Reverse(row.memory)));
    let head = ["NAME", "PID", "TASKS", "MEM", "CPU%", "CPU", "IN-FLIGHT"].map(str::to_owned).to_vec();
    let line = |(share, row): &(u64, &Row)| {
        vec![
            name(row),
            dash(row.pid != 0, || row.pid.to_string()),
            row.tasks.to_string(),
            show_size(row.memory),
            format!("{}.{}", share / 10, share % 10),
            show_duration(row.cpu),
            row.in_flight.to_string(),
        ]
    };
    let lines: Vec<_> = std::iter::once(head).chain(live.iter().map(line)).collect();
    columns(&lines)
}

/// `running`, or `3 running, 1 backoff`.
pub(crate) fn states(status: &Status) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for one in &status.instances {
        let word = state(&one.row);
        match counts.iter_mut().find(|(known, _)| *known == word) {
            Some((_, count)) => *count += 1,
            None => counts.push((word, 1)),
        }
    }
    match counts.as_slice() {
        [] => "not there".into(),
        [(word, _)] => (*word).to_owned(),
        _ => counts.iter().map(|(word, count)| format!("{count} {word}")).collect::<Vec<_>>().join(", "),
    }
}

/// All there is to know.
pub(crate) fn status(status: &Status) -> String {
    let mut text = format!("{}", status.name);
    if !status.description.is_empty() {
        text.push_str(&format!(" - {}", status.description));
    }
    text.push('\n');
    let mut facts = vec![("state", states(status))];
    if status.version.to_string() != "0.0.0" {
        facts.push(("version", status.version.to_string()));
    }
    if !status.file.is_empty() {
        facts.push(("file", status.file.clone()));
    }
    if let Some(class) = status.class {
        facts.push(("class", class.word().to_owned()));
    }
    let held = status.instances.iter().any(|one| one.row.hold == Hold::Hard);
    let boot = if status.enabled { "enabled" } else { "not enabled" };
    let started = status.started_by.iter().map(ToString::to_string).collect::<Vec<_>>().join(" -> ");
    let wanted = match (held, status.explicit, started.is_empty()) {
        (true, ..) => format!("held down, {boot}"),
        (_, true, _) => format!("by itself, {boot}"),
        (_, _, false) => format!("by {started}, {boot}"),
        _ => format!("by nobody, {boot}"),
    };
    facts.push(("wanted", wanted));
    for (key, value) in facts {
        text.push_str(&format!("  {key:8} {value}\n"));
    }
    for one in &status.instances {
        text.push_str(&instance(one));
    }
    if !status.why.is_empty() {
        text.push_str(&explanations(&status.why));
    }
    let mut events: Vec<_> = status.instances.iter().flat_map(|one| &one.history).collect();
    events.sort_by_key(|event| (event.time, event.sequence));
    if !events.is_empty() {
        text.push_str("history\n");
        let shown = events.len().saturating_sub(10);
        events.iter().skip(shown).for_each(|event| text.push_str(&format!("  {}\n", happening_line(event))));
    }
    if !status.output.is_empty() {
        text.push_str("output\n");
        let output = String::from_utf8_lossy(&status.output);
        let lines: Vec<_> = output.lines().collect();
        lines.iter().skip(lines.len().saturating_sub(10)).for_each(|line| text.push_str(&format!("  {line}\n")));
    }
    text
}

fn instance(one: &InstanceStatus) -> String {
    let row = &one.row;
    let mut line = format!("{} is {} for {}", name(row), state(row), show_duration(row.age));
    line.push_str(&next(row.state, one.next));
    let brief = in_brief(row);
    if !brief.is_empty() {
        line.push_str(&format!(": {brief}"));
    }
    line.push('\n');
    if row.pid != 0 {
        let others: Vec<String> = one.pids.iter().filter(|pid| **pid != row.pid).map(ToString::to_string).collect();
        let others = if others.is_empty() { String::new() } else { format!(" (with {})", others.join(", ")) };
        line.push_str(&format!(
            "  process  {}{others}, {} tasks, memory {}, processor {}\n",
            row.pid,
            row.tasks,
            show_size(row.memory),
            show_duration(row.cpu)
        ));
    }
    for (what, waited) in [("its share of the CPUs", row.cpu_throttled), ("its limit on bytes", row.io_throttled)] {
        if waited.times > 0 {
            let (times, time) = (waited.times, show_duration(waited.time));
            line.push_str(&format!("  waited   {times} times for {what}, {time} in all\n"));
        }
    }
    if let Some(span) = one.start_time.filter(|span| *span > Nanos::ZERO) {
        line.push_str(&format!("  start    took {}\n", show_duration(span)));
    }
    if !one.notice.is_empty() {
        line.push_str(&format!("  says     {}\n", one.notice));
    }
    if one.last_end != Cause::None {
        line.push_str(&format!(
            "  before   {}, started {} times, {} failures in a row\n",
            cause(one.last_end, row.about.as_ref()),
            row.generation,
            row.failures
        ));
    }
    line
}

/// Why a start came to nothing.
pub(crate) fn not_started(status: &Status) -> String {
    let mut text = format!("{} is {}\n", status.name, states(status));
    text.push_str(&explanations(&status.why));
    text
}
