//! Commands that only look.

use std::time::{Duration, Instant};

use clap::ArgMatches;
use services::State;
use services::wire::{Direction, Reply, Request, Row, Verb};

use super::{App, IN_PART, Outcome, Stop, pause, service};
use crate::{json, render};

impl App<'_> {
    pub(super) fn list(&mut self, matches: Option<&ArgMatches>) -> Outcome {
        let Reply::Rows(mut rows) = self.ask(&Request::List)? else { return Err(nothing()) };
        let wanted = |flag| matches.is_some_and(|matches| matches.get_flag(flag));
        let invalid = if wanted("waiting") { Vec::new() } else { self.invalid(&rows) };
        if wanted("failed") {
            rows.retain(|row| matches!(row.state, State::Failed | State::Backoff));
        }
        if wanted("waiting") {
            rows.retain(|row| row.state == State::Waiting);
        }
        self.show(&render::list(&rows, &invalid), || json::list(&rows, &invalid))?;
        Ok(0)
    }

    pub(super) fn status(&mut self, matches: &ArgMatches) -> Outcome {
        let name = service(matches)?;
        let status = match self.ask(&Request::Status(name.clone())) {
            Ok(Reply::Status(status)) => status,
            Ok(_) => return Err(nothing()),
            Err(Stop::Refused(failure)) => return self.unknown(&name, failure),
            Err(other) => return Err(other),
        };
        self.show(&render::status(&status), || json::status(&status))?;
        Ok(0)
    }

    pub(super) fn why(&mut self, matches: &ArgMatches) -> Outcome {
        if matches.get_flag("started") {
            let name = service(matches)?;
            let Reply::Chain(chain) = self.ask(&Request::WhyStarted(name.clone()))? else { return Err(nothing()) };
            self.show(&render::chain(&name, &chain), || json::chain(&chain))?;
            return Ok(0);
        }
        let name = if matches.contains_id("name") { Some(service(matches)?) } else { None };
        let list = match (self.ask(&Request::Why(name.clone())), &name) {
            (Ok(Reply::Why(list)), _) => list,
            (Ok(_), _) => return Err(nothing()),
            (Err(Stop::Refused(failure)), Some(name)) => return self.unknown(name, failure),
            (Err(other), _) => return Err(other),
        };
        let text = match (&name, list.is_empty()) {
            (Some(name), true) => format!("{name} is as wished\n"),
            (None, true) => "everything is as wished\n".into(),
            _ => render::explanations(&list),
        };
        self.show(&text, || json::explanations(&list))?;
        Ok(0)
    }

    pub(super) fn plan(&mut self, matches: &ArgMatches) -> Outcome {
        let name = service(matches)?;
        let word = matches.get_one::<String>("verb").map_or("start", String::as_str);
        let verb = match word {
            "start" => Verb::Start,
            "stop" => Verb::Stop,
            _ => Verb::Restart,
        };
        let steps = match self.source_of(matches, "files") {
            Some(source) => super::offline::plan(&self.read(&source)?, verb, &name)?,
            None => match self.ask(&Request::Plan { verb, name: name.clone() })? {
                Reply::Plan(steps) => steps,
                _ => return Err(nothing()),
            },
        };
        self.show(&render::plan(word, &name, &steps), || json::plan(&steps))?;
        Ok(0)
    }

    pub(super) fn deps(&mut self, matches: &ArgMatches) -> Outcome {
        let name = if matches.contains_id("name") { Some(service(matches)?) } else { None };
        let direction = if matches.get_flag("reverse") { Direction::NeededBy } else { Direction::Needs };
        let links = match self.source_of(matches, "files") {
            Some(source) => super::offline::links(&self.read(&source)?, name.as_ref(), direction)?,
            None => match self.ask(&Request::Deps { name: name.clone(), direction })? {
                Reply::Links(links) => links,
                _ => return Err(nothing()),
            },
        };
        let text =
            if matches.get_flag("dot") { render::dot(&links) } else { render::links(name.as_ref(), &links, direction) };
        self.show(&text, || json::links(&links))?;
        Ok(0)
    }

    pub(super) fn top(&mut self, matches: &ArgMatches) -> Outcome {
        let delay = matches.get_one::<types::Nanos>("delay").map_or(1_000_000_000, |delay| delay.0);
        let mut left = matches.get_one::<u32>("rounds").copied();
        let mut before: (Instant, Vec<Row>) = (Instant::now(), Vec::new());
        loop {
            let Reply::Rows(rows) = self.ask(&Request::Top)? else { return Err(nothing()) };
            let now = Instant::now();
            let text = render::top(&rows, &before.1, now - before.0);
            self.show(&text, || json::rows("top", &rows))?;
            before = (now, rows);
            left = left.map(|left| left.saturating_sub(1));
            if left == Some(0) {
                return Ok(0);
            }
            pause(Duration::from_nanos(delay));
        }
    }

    pub(super) fn log(&mut self, matches: &ArgMatches) -> Outcome {
        let name = service(matches)?;
        let mut from = 0;
        loop {
            let Reply::Log(part) = self.ask(&Request::Log { name: name.clone(), from })? else { return Err(nothing()) };
            if self.json {
                if from == 0 || !part.bytes.is_empty() {
                    json::print(self.out, json::log(&name, &part))?;
                }
            } else {
                self.out.write_all(&part.bytes)?;
            }
            self.out.flush()?;
            // A reply may hold less than there is.
            if part.bytes.is_empty() {
                if !matches.get_flag("follow") {
                    return Ok(0);
                }
                self.wait(None)?;
            }
            from = part.next;
        }
    }

    pub(super) fn events(&mut self, matches: &ArgMatches) -> Outcome {
        let mut from = 0;
        loop {
            let Reply::Happenings(part) = self.ask(&Request::Events(from))? else { return Err(nothing()) };
            if from == 0 || !part.list.is_empty() {
                self.show(&render::happenings(&part), || json::happenings(&part))?;
            }
            if part.list.is_empty() {
                if !matches.get_flag("follow") {
                    return Ok(0);
                }
                self.wait(None)?;
            }
            from = part.next;
        }
    }

    pub(super) fn audit(&mut self, matches: &ArgMatches) -> Outcome {
        let mut from = 0;
        loop {
            let Reply::Audit(part) = self.ask(&Request::Audit(from))? else { return Err(nothing()) };
            let broken = part.broken;
            if matches.get_flag("verify") {
                let text = match broken {
                    None => format!(
                        "the chain holds: {} records, {} overwritten\n",
                        part.next - part.lost.min(part.next),
                        part.lost
                    ),
                    Some(record) => format!("record {record} does not follow from the one before it\n"),
                };
                self.show(&text, || json::audit(&part))?;
                return Ok(if broken.is_none() { 0 } else { IN_PART });
            }
            self.show(&render::audit(&part), || json::audit(&part))?;
            if part.records.is_empty() || part.next <= from || self.json {
                return Ok(0);
            }
            from = part.next;
        }
    }

    pub(super) fn boot(&mut self) -> Outcome {
        let Reply::Boot(steps) = self.ask(&Request::Boot)? else { return Err(nothing()) };
        self.show(&render::boot(&steps), || json::boot(&steps))?;
        Ok(0)
    }

    pub(super) fn cat(&mut self, matches: &ArgMatches) -> Outcome {
        let name = service(matches)?;
        let source = self.source_of(matches, "files").unwrap_or_else(|| self.source.clone());
        let set = self.read_with(&source, &name)?;
        let Some(table) = set.table(name.as_str()) else {
            let code = services::ServiceError::NotFound.exit_code();
            return Err(Stop::Failed(code, format!("there is no definition of {name}")));
        };
        self.show(&render::definition(&name, table), || json::definition(&name, table))?;
        Ok(0)
    }
}

fn nothing() -> Stop {
    Stop::Failed(IN_PART, "the supervisor answers something else".into())
}
