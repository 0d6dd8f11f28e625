//! Explanations, plans, dependencies, refusals.

use services::wire::{Direction, Explanation, Failure, Link, PlanStep};
use services::{Cause, Change, DependencyKind, Name, Root, ServiceError};
use std::collections::BTreeSet;

use super::words::{cause, next, root};
use crate::definitions::{describe, show_duration, verb};

/// Trees, each from depth 0 on, and the root causes at the end of each.
pub(crate) fn explanations(list: &[Explanation]) -> String {
    let mut text = String::new();
    let mut roots: Vec<&Explanation> = Vec::new();
    for link in list {
        if link.depth == 0 {
            root_causes(&mut text, &mut roots);
        }
        text.push_str(&explanation(link));
        if link.root.is_some() && link.depth > 0 {
            roots.push(link);
        }
    }
    root_causes(&mut text, &mut roots);
    text
}

fn root_causes(text: &mut String, roots: &mut Vec<&Explanation>) {
    for link in roots.drain(..) {
        let why = link.root.map_or("", root);
        let ended =
            if link.last_end == Cause::None { String::new() } else { format!(" ({})", cause(link.last_end, None)) };
        let name = &link.service;
        let hint = match link.root {
            Some(Root::Held) => format!("svc start {name}, or svc unhold {name}"),
            _ => format!("svc status {name}"),
        };
        text.push_str(&format!("root cause: {name}: {why}{ended}; try: {hint}\n"));
        if !link.blocks.is_empty() {
            let names: Vec<_> = link.blocks.iter().map(Name::as_str).collect();
            text.push_str(&format!("also blocked by {}: {}\n", link.service, names.join(", ")));
        }
    }
}

fn explanation(link: &Explanation) -> String {
    let mut line = match link.depth {
        0 => String::new(),
        depth => format!("{}`- ", "    ".repeat(usize::from(depth) - 1)),
    };
    line.push_str(link.service.as_str());
    if let Some(kind) = link.through {
        let version = if link.version.is_empty() { String::new() } else { format!(" {}", link.version) };
        line.push_str(&format!(" ({}{version})", verb(kind)));
    }
    line.push_str(&format!(" is {} for {}", link.state.word(), show_duration(link.age)));
    if link.failures > 0 {
        let most = if link.max_failures == 0 { String::new() } else { format!(" of {}", link.max_failures) };
        line.push_str(&format!(", failure {}{most}", link.failures));
    }
    line.push_str(&next(link.state, link.next));
    if let Some(why) = link.root {
        line.push_str(&format!(": {}", root(why)));
    }
    line.push('\n');
    let indent = "    ".repeat(usize::from(link.depth));
    if link.last_end != Cause::None {
        // A life that was not even born had no length.
        let lived = link.lived.filter(|_| !matches!(link.last_end, Cause::Spawn(_)));
        let lived = lived.map_or_else(String::new, |lived| format!(" after {}", show_duration(lived)));
        line.push_str(&format!("{indent}   last end: {}{lived}\n", cause(link.last_end, None)));
    }
    if !link.last_line.is_empty() {
        line.push_str(&format!("{indent}   last output: {:?}\n", link.last_line));
    }
    line
}

/// Who started it.
pub(crate) fn chain(name: &Name, chain: &[Name]) -> String {
    match chain {
        [] => format!("nobody wants {name}\n"),
        [only] => format!("{only} is wanted by itself\n"),
        _ => format!("{}\n", chain.iter().map(Name::as_str).collect::<Vec<_>>().join(" -> ")),
    }
}

/// Numbered waves.
pub(crate) fn plan(word: &str, name: &Name, steps: &[PlanStep]) -> String {
    if steps.is_empty() {
        return format!("{word} {name}: nothing to do\n");
    }
    let mut text = String::new();
    let mut last = None;
    for step in steps {
        let number = if last == Some(step.wave) { String::new() } else { format!("{}.", step.wave + 1) };
        last = Some(step.wave);
        let what = match step.change {
            Change::Start => "start",
            Change::Stop => "stop",
            Change::Restart => "restart",
            Change::Blocked => "blocked: held down:",
        };
        text.push_str(&format!("{number:4}{what} {}\n", step.service));
    }
    text
}

/// A tree from the one asked about; each service is opened once.
pub(crate) fn links(name: Option<&Name>, links: &[Link], direction: Direction) -> String {
    let ends = |link: &Link| match direction {
        Direction::Needs => (link.from.clone(), link.to.clone()),
        Direction::NeededBy => (link.to.clone(), link.from.clone()),
    };
    let mut starts: Vec<Name> = match name {
        Some(name) => vec![name.clone()],
        None => {
            let targets: BTreeSet<Name> = links.iter().map(|link| ends(link).1).collect();
            let tops: BTreeSet<Name> = links.iter().map(|link| ends(link).0).collect();
            tops.difference(&targets).cloned().collect()
        }
    };
    starts.reverse();
    let mut text = String::new();
    let mut opened = BTreeSet::new();
    let mut stack: Vec<(usize, Name, String)> = starts.into_iter().map(|name| (0, name, String::new())).collect();
    while let Some((depth, name, how)) = stack.pop() {
        let below: Vec<&Link> = links.iter().filter(|link| ends(link).0 == name).collect();
        let again = !opened.insert(name.clone()) && !below.is_empty();
        let branch = if depth == 0 { String::new() } else { format!("{}`- ", "   ".repeat(depth - 1)) };
        text.push_str(&format!("{branch}{name}{how}{}\n", if again { " ..." } else { "" }));
        if !again {
            for link in below.into_iter().rev() {
                stack.push((depth + 1, ends(link).1, format!(" ({})", verb(link.kind))));
            }
        }
    }
    text
}

/// A graph in Graphviz's language.
pub(crate) fn dot(links: &[Link]) -> String {
    let mut text = String::from("digraph services {\n  rankdir = LR;\n  node [shape = box];\n");
    for link in links {
        let style = match link.kind {
            DependencyKind::Requires | DependencyKind::RequiresAny(_) => "solid",
            DependencyKind::Conflicts => "bold, color = red, dir = both",
            DependencyKind::Milestone | DependencyKind::Wants => "dashed",
            DependencyKind::After => "dotted",
        };
        let label = verb(link.kind);
        text.push_str(&format!("  \"{}\" -> \"{}\" [label = \"{label}\", style = {style}];\n", link.from, link.to));
    }
    text.push_str("}\n");
    text
}

/// A refusal, and what can be done about it.
pub(crate) fn failure(failure: &Failure) -> String {
    let names = failure.names.iter().map(Name::as_str).collect::<Vec<_>>();
    let list = names.join(", ");
    let subject = failure.subject.as_ref().map_or_else(String::new, |name| format!("{name}: "));
    let mut text = format!("{subject}{}", describe(failure.error));
    match failure.error {
        ServiceError::NotFound if !names.is_empty() => text.push_str(&format!("; did you mean {list}?")),
        ServiceError::InvalidState(_) if !names.is_empty() => {
            text.push_str(&format!(": {list} needs it; use --cascade to stop that too (it comes back with it)"));
        }
        ServiceError::CircularDependency if !names.is_empty() => text.push_str(&format!(": {}", names.join(" -> "))),
        _ if !names.is_empty() => text.push_str(&format!(": {list}")),
        _ => {}
    }
    failure.notes.iter().for_each(|note| text.push_str(&format!("\n    {note}")));
    text
}
