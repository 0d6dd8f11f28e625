//! What each command does: files are read, the supervisor is asked, the answer is shown.

mod configure;
mod control;
mod look;
mod manual;
mod offline;
mod system;
mod unloaded;

use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::ArgMatches;
use services::Name;
use services::wire::{Failure, Reply, Request};

pub(crate) use unloaded::Invalid;

use crate::client::{DEVICE, Supervisor};
use crate::definitions::{Set, Source};
use crate::{json, render};

/// There is no supervisor to be asked.
pub const NO_SUPERVISOR: u8 = 20;
/// Not all of it was done.
pub const IN_PART: u8 = 1;
/// Wrong usage.
pub const USAGE: u8 = 2;
/// It was not at its end in time.
pub const WAITED_TOO_LONG: u8 = 3;

/// Why a command ends early.
#[derive(Debug)]
enum Stop {
    /// The supervisor refuses.
    Refused(Failure),
    /// No supervisor.
    NoSupervisor(io::Error),
    /// Something else, with its exit status.
    Failed(u8, String),
    /// Output that nobody reads.
    Output(io::Error),
}

type Outcome = Result<u8, Stop>;

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// How to reach the supervisor.
pub type Connect<'a> = dyn FnMut() -> io::Result<Box<dyn Supervisor>> + 'a;

/// One call of `svc`.
pub struct App<'a> {
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    connect: &'a mut Connect<'a>,
    supervisor: Option<Box<dyn Supervisor>>,
    json: bool,
    /// Somebody reads it on a terminal.
    formatted: bool,
    /// Where the system's definitions are.
    source: Source,
}

impl fmt::Debug for App<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("json", &self.json).field("source", &self.source).finish_non_exhaustive()
    }
}

impl<'a> App<'a> {
    /// With where to write and whom to ask.
    pub fn new(out: &'a mut dyn Write, err: &'a mut dyn Write, connect: &'a mut Connect<'a>) -> Self {
        Self { out, err, connect, supervisor: None, json: false, formatted: false, source: Source::system() }
    }

    /// For a person at a terminal, or not.
    #[must_use]
    pub const fn for_terminal(mut self, terminal: bool) -> Self {
        self.formatted = terminal;
        self
    }

    /// With definitions somewhere else; for tests.
    #[must_use]
    pub fn with_definitions(mut self, directories: Vec<PathBuf>) -> Self {
        self.source = Source::Directories(directories);
        self
    }

    /// Carries out what was asked for; the exit status.
    pub fn run(&mut self, matches: &ArgMatches) -> u8 {
        self.json = matches.get_flag("json");
        match self.dispatch(matches) {
            Ok(code) => code,
            Err(stop) => self.explain(&stop),
        }
    }

    fn dispatch(&mut self, matches: &ArgMatches) -> Outcome {
        let Some((verb, matches)) = matches.subcommand() else { return self.list(None) };
        match verb {
            "list" => self.list(Some(matches)),
            "status" => self.status(matches),
            "why" => self.why(matches),
            "plan" => self.plan(matches),
            "deps" => self.deps(matches),
            "top" => self.top(matches),
            "log" => self.log(matches),
            "events" => self.events(matches),
            "audit" => self.audit(matches),
            "boot" => self.boot(),
            "cat" => self.cat(matches),
            "start" | "stop" | "restart" | "reload" | "reset" | "roll" | "hold" | "unhold" | "pause" | "resume" => {
                self.control(verb, matches)
            }
            "enable" => self.enable(matches),
            "disable" => self.disable(matches),
            "scale" => self.scale(matches),
            "set" => self.set(matches),
            "check" => self.check(matches),
            "load" => self.load(matches),
            "rollback" => self.rollback(matches),
            "shutdown" | "reboot" | "isolate" | "emergency" => self.system(verb, matches),
            "completion" => self.completion(matches),
            "man" => self.man(matches),
            _ => Err(Stop::Failed(USAGE, format!("unknown command {verb}"))),
        }
    }

    fn explain(&mut self, stop: &Stop) -> u8 {
        let (code, text) = match stop {
            Stop::Refused(failure) => {
                let code = failure.error.exit_code();
                if self.json {
                    let _ = json::print(self.out, json::failure(failure));
                    return code;
                }
                (code, render::failure(failure))
            }
            Stop::NoSupervisor(error) => {
                let without = "`check`, `cat`, `plan --files`, `deps --files`, `completion` and `man` work without";
                (NO_SUPERVISOR, format!("there is no supervisor to ask ({DEVICE}: {error}); {without}"))
            }
            Stop::Failed(code, text) => (*code, text.clone()),
            Stop::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => return 0,
            Stop::Output(error) => (IN_PART, error.to_string()),
        };
        if self.json {
            let _ = json::print(self.out, json::error(code, &text));
        } else {
            let _ = writeln!(self.err, "svc: {text}");
        }
        code
    }

    fn ask(&mut self, request: &Request) -> Result<Reply, Stop> {
        if self.supervisor.is_none() {
            self.supervisor = Some((self.connect)().map_err(Stop::NoSupervisor)?);
        }
        let Some(supervisor) = self.supervisor.as_mut() else {
            return Err(Stop::NoSupervisor(io::ErrorKind::NotFound.into()));
        };
        match supervisor.ask(request) {
            Ok(Reply::Error(failure)) => Err(Stop::Refused(failure)),
            Ok(reply) => Ok(reply),
            Err(error) => Err(Stop::Failed(IN_PART, format!("the supervisor does not answer: {error}"))),
        }
    }

    /// Waits until there is more to see than in the last answer, for so long at most.
    fn wait(&mut self, limit: Option<Duration>) -> Result<(), Stop> {
        let Some(supervisor) = self.supervisor.as_mut() else { return Ok(()) };
        supervisor.wait(limit).map_err(|error| Stop::Failed(IN_PART, format!("cannot wait for more: {error}")))
    }

    fn unexpected<T>(reply: &Reply) -> Result<T, Stop> {
        Err(Stop::Failed(IN_PART, format!("the supervisor answers something else: {reply:?}")))
    }

    /// Prints `text`, or with `--json` the object.
    fn show(&mut self, text: &str, object: impl FnOnce() -> serde_json::Value) -> Result<(), Stop> {
        if self.json {
            json::print(self.out, object())?;
        } else {
            self.out.write_all(text.as_bytes())?;
        }
        self.out.flush()?;
        Ok(())
    }

    fn read(&self, source: &Source) -> Result<Set, Stop> {
        Set::read(source).map_err(|error| Stop::Failed(IN_PART, error.to_string()))
    }

    /// The files that were named, or the system's.
    fn source_of(&self, matches: &ArgMatches, argument: &str) -> Option<Source> {
        let paths = matches.get_many::<PathBuf>(argument)?;
        Some(Source::Paths(paths.cloned().collect()))
    }
}

fn service(matches: &ArgMatches) -> Result<Name, Stop> {
    let text = matches.get_one::<String>("name").map_or("", String::as_str);
    parse_name(text)
}

fn parse_name(text: &str) -> Result<Name, Stop> {
    // `web#2` is the third instance of web: what can be done is done with the whole service.
    let text = text.split('#').next().unwrap_or_default();
    Name::new(text).map_err(|error| {
        Stop::Failed(USAGE, format!("{text:?} cannot be a service: {}", crate::definitions::describe(error)))
    })
}

fn pause(span: Duration) {
    std::thread::sleep(span);
}

#[cfg(test)]
mod tests;
