//! Commands that change definitions: checked like a load, and written down unless it is only for now.

use std::fs;
use std::path::PathBuf;

use clap::ArgMatches;
use services::wire::{LoadMode, Reply, Request, Unit, Verb};
use services::{Name, ServiceError, StopMode};

use super::{App, IN_PART, Outcome, Stop, USAGE, parse_name, service};
use crate::definitions::{Overlay, Problem, Set, Source, mistakes, report};
use crate::json;

impl App<'_> {
    pub(super) fn check(&mut self, matches: &ArgMatches) -> Outcome {
        let source = self.source_of(matches, "paths").unwrap_or_else(|| self.source.clone());
        let set = self.read(&source)?;
        if set.problems().is_empty() {
            let text = format!("{} services in {} files, no mistakes\n", set.len(), set.files());
            self.show(&text, || json::problems(&[]))?;
            return Ok(0);
        }
        let code = code(set.problems());
        self.show(&report(set.problems()), || json::problems(set.problems()))?;
        Ok(code)
    }

    pub(super) fn load(&mut self, matches: &ArgMatches) -> Outcome {
        let source = self.source_of(matches, "paths").unwrap_or_else(|| self.source.clone());
        let set = self.read(&source)?;
        self.refuse_bad(&set)?;
        let request = Request::Load { mode: LoadMode::Replace, units: set.into_units() };
        self.loaded(&request)
    }

    pub(super) fn rollback(&mut self, matches: &ArgMatches) -> Outcome {
        self.loaded(&Request::Rollback(matches.get_one("number").copied()))
    }

    fn loaded(&mut self, request: &Request) -> Outcome {
        match self.ask(request)? {
            Reply::Loaded { number, aside } => {
                let text = format!("set {number} is loaded\n{}", mistakes(&aside));
                self.show(&text, || json::loaded(number, &aside))?;
                Ok(if aside.is_empty() { 0 } else { super::IN_PART })
            }
            Reply::Mistakes(list) => {
                let text = format!("refused, nothing changed\n{}", mistakes(&list));
                self.show(&text, || json::mistakes(&list))?;
                Ok(list.first().map_or(IN_PART, |mistake| mistake.error.exit_code()))
            }
            other => Self::unexpected(&other),
        }
    }

    fn refuse_bad(&mut self, set: &Set) -> Result<(), Stop> {
        if set.problems().is_empty() {
            return Ok(());
        }
        Err(Stop::Failed(
            code(set.problems()),
            format!("refused, nothing changed\n{}", report(set.problems()).trim_end()),
        ))
    }

    pub(super) fn enable(&mut self, matches: &ArgMatches) -> Outcome {
        let name = service(matches)?;
        self.command(Verb::Enable, &name, StopMode::Alone)?;
        self.write_down(matches, &name, "install.enabled", "[install]\nenabled = true\n")?;
        self.done_with("enable", &name)
    }

    pub(super) fn disable(&mut self, matches: &ArgMatches) -> Outcome {
        let name = service(matches)?;
        if matches.get_flag("now") {
            self.command(Verb::Stop, &name, StopMode::Alone)?;
        }
        self.command(Verb::Disable, &name, StopMode::Alone)?;
        self.write_down(matches, &name, "install.enabled", "[install]\nenabled = false\n")?;
        self.done_with("disable", &name)
    }

    fn done_with(&mut self, word: &str, name: &Name) -> Outcome {
        self.show("", || json::done(word, name))?;
        Ok(0)
    }

    pub(super) fn scale(&mut self, matches: &ArgMatches) -> Outcome {
        let what = matches.get_one::<String>("what").map_or("", String::as_str);
        let usage = || Stop::Failed(USAGE, format!("{what:?} is not NAME=N, as in web=4, with N up to {}", u16::MAX));
        let (name, count) = what.split_once('=').ok_or_else(usage)?;
        let (name, count) = (parse_name(name)?, count.parse().map_err(|_| usage())?);
        match self.ask(&Request::Scale { name: name.clone(), count })? {
            Reply::Ok => self.done_with("scale", &name),
            other => Self::unexpected(&other),
        }
    }

    pub(super) fn set(&mut self, matches: &ArgMatches) -> Outcome {
        let name = service(matches)?;
        let what = matches.get_one::<String>("what").map_or("", String::as_str);
        let usage = || Stop::Failed(USAGE, format!("{what:?} is not SECTION.KEY=VALUE, as in limits.memory=128M"));
        let (place, value) = what.split_once('=').ok_or_else(usage)?;
        let (section, key) = place.split_once('.').ok_or_else(usage)?;
        let text = format!("[{section}]\n{key} = {}\n", quoted(value));
        let overlay = Overlay { name: name.to_string(), file: what.to_owned(), text: text.clone() };
        let set = self.read_over(&self.source.clone(), overlay)?;
        let unit = self.good_unit(&set, &name)?;
        match self.ask(&Request::Update(Box::new(unit)))? {
            Reply::Loaded { .. } | Reply::Ok => {}
            Reply::Mistakes(list) => {
                let text = format!("refused, nothing changed\n{}", mistakes(&list));
                self.show(&text, || json::mistakes(&list))?;
                return Ok(list.first().map_or(IN_PART, |mistake| mistake.error.exit_code()));
            }
            other => return Self::unexpected(&other),
        }
        self.write_down(matches, &name, place, &text)?;
        self.done_with("set", &name)
    }

    fn good_unit(&self, set: &Set, name: &Name) -> Result<Unit, Stop> {
        if let Some(unit) = set.unit(name.as_str()) {
            return Ok(unit.clone());
        }
        if set.units().iter().all(|unit| unit.definition.name != *name) {
            return Err(Stop::Failed(ServiceError::NotFound.exit_code(), format!("there is no definition of {name}")));
        }
        Err(Stop::Failed(
            code(set.problems()),
            format!("refused, nothing changed\n{}", report(set.problems()).trim_end()),
        ))
    }

    /// Loads the instance of a template; whether there is such a template.
    pub(super) fn instantiate(&mut self, name: &Name) -> Result<bool, Stop> {
        let set = self.read_with(&self.source.clone(), name)?;
        if set.units().iter().all(|unit| unit.definition.name != *name) {
            return Ok(false);
        }
        let unit = self.good_unit(&set, name)?;
        match self.ask(&Request::Update(Box::new(unit)))? {
            Reply::Loaded { .. } | Reply::Ok => Ok(true),
            Reply::Mistakes(list) => Err(Stop::Failed(
                list.first().map_or(IN_PART, |mistake| mistake.error.exit_code()),
                mistakes(&list).trim_end().to_owned(),
            )),
            other => Self::unexpected(&other),
        }
    }

    pub(super) fn read_with(&self, source: &Source, name: &Name) -> Result<Set, Stop> {
        self.read_over(source, Overlay { name: name.to_string(), ..Overlay::default() })
    }

    fn read_over(&self, source: &Source, overlay: Overlay) -> Result<Set, Stop> {
        Set::read_over(source, overlay).map_err(|error| Stop::Failed(IN_PART, error.to_string()))
    }

    /// A drop-in with one key, in the administrator's directory.
    fn write_down(&mut self, matches: &ArgMatches, name: &Name, key: &str, text: &str) -> Result<(), Stop> {
        if matches.get_flag("temp") {
            return Ok(());
        }
        let Source::Directories(directories) = &self.source else { return Ok(()) };
        let Some(directory) = directories.last() else { return Ok(()) };
        let directory: PathBuf = directory.join(format!("{name}.svc.d"));
        let file = directory.join(format!("90-{}.svc", key.replace('/', "-")));
        let written = fs::create_dir_all(&directory).and_then(|()| fs::write(&file, text));
        written.map_err(|error| {
            Stop::Failed(
                IN_PART,
                format!("done, but only until the next boot: cannot write {}: {error}", file.display()),
            )
        })
    }
}

/// Text needs quotes, numbers, lists and tables do not.
fn quoted(value: &str) -> String {
    let plain =
        value.parse::<i64>().is_ok() || matches!(value, "true" | "false") || value.starts_with(['[', '{', '"', '\'']);
    if plain { value.to_owned() } else { format!("{value:?}") }
}

/// The exit status for a list of problems: the first one's.
fn code(problems: &[Problem]) -> u8 {
    problems.first().map_or(0, |problem| problem.code)
}
