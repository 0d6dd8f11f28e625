//! Commands about one service, and waiting for their end.

use std::time::{Duration, Instant};

use clap::ArgMatches;
use services::wire::{Reply, Request, Status, Verb};
use services::{Name, Root, ServiceError, State, StopMode, Unsatisfied};

use super::{App, Outcome, Stop, WAITED_TOO_LONG, service};
use crate::cli::waiting;
use crate::{json, render};

impl App<'_> {
    pub(super) fn control(&mut self, word: &str, matches: &ArgMatches) -> Outcome {
        let name = service(matches)?;
        let verb = match word {
            "start" => Verb::Start,
            "stop" => Verb::Stop,
            "restart" => Verb::Restart,
            "reload" => Verb::Reload,
            "reset" => Verb::Reset,
            "hold" => Verb::Hold,
            "unhold" => Verb::Unhold,
            "pause" => Verb::Pause,
            "resume" => Verb::Resume,
            _ => Verb::Roll,
        };
        let waits = matches!(verb, Verb::Start | Verb::Stop | Verb::Restart);
        let cascade = matches.try_get_one::<bool>("cascade").ok().flatten().copied().unwrap_or(false);
        let mode = if cascade { StopMode::Cascade } else { StopMode::Alone };
        let before = if verb == Verb::Restart { self.generations(&name)? } else { Vec::new() };
        self.command(verb, &name, mode)?;
        let limit = if waits { Duration::from_nanos(waiting(matches).0) } else { Duration::ZERO };
        if limit.is_zero() {
            return self.done(word, &name, None);
        }
        self.wait_for(word, &name, verb, &before, limit)
    }

    pub(super) fn command(&mut self, verb: Verb, name: &Name, mode: StopMode) -> Result<(), Stop> {
        let request = Request::Control { verb, name: name.clone(), mode };
        match self.ask(&request) {
            Ok(Reply::Ok) => Ok(()),
            Ok(other) => Self::unexpected(&other),
            // An instance of a template comes into being when somebody wants it.
            Err(Stop::Refused(failure)) if failure.error == services::ServiceError::NotFound && verb == Verb::Start => {
                if !name.as_str().contains('@') || !self.instantiate(name)? {
                    return Err(Stop::Refused(failure));
                }
                match self.ask(&request)? {
                    Reply::Ok => Ok(()),
                    other => Self::unexpected(&other),
                }
            }
            Err(stop) => Err(stop),
        }
    }

    fn status_of(&mut self, name: &Name) -> Result<Status, Stop> {
        match self.ask(&Request::Status(name.clone()))? {
            Reply::Status(status) => Ok(*status),
            other => Self::unexpected(&other),
        }
    }

    fn generations(&mut self, name: &Name) -> Result<Vec<(u16, u32)>, Stop> {
        let status = self.status_of(name)?;
        Ok(status.instances.iter().map(|one| (one.row.index, one.row.generation)).collect())
    }

    fn wait_for(&mut self, word: &str, name: &Name, verb: Verb, before: &[(u16, u32)], limit: Duration) -> Outcome {
        let deadline = Instant::now() + limit;
        loop {
            let status = self.status_of(name)?;
            let settled = |stopped: bool| {
                status.instances.iter().all(|one| {
                    let renewed = !before.contains(&(one.row.index, one.row.generation));
                    if stopped { !one.row.state.has_cell() } else { one.row.state.is_ready() && renewed }
                })
            };
            if settled(verb == Verb::Stop) {
                return self.done(word, name, Some(&status));
            }
            // Nothing more happens by itself: it failed, or it waits for what failed.
            let failed = status.instances.iter().find(|one| one.row.state == State::Failed);
            if verb != Verb::Stop
                && let Some(failed) = failed
            {
                let code = render::exit_of(failed.last_end);
                let text = render::not_started(&status);
                self.show(&text, || json::status(&status))?;
                return Ok(code);
            }
            if verb != Verb::Stop && is_stuck(&status) {
                let text = format!("{name} is {}\n{}", render::states(&status), render::explanations(&status.why));
                self.show(&text, || json::status(&status))?;
                return Ok(ServiceError::DependencyUnsatisfied(Unsatisfied::Missing).exit_code());
            }
            if Instant::now() >= deadline {
                let text =
                    format!("{name} is still {}\n{}", render::states(&status), render::explanations(&status.why));
                self.show(&text, || json::status(&status))?;
                return Ok(WAITED_TOO_LONG);
            }
            self.wait(Some(deadline.saturating_duration_since(Instant::now())))?;
        }
    }

    fn done(&mut self, word: &str, name: &Name, status: Option<&Status>) -> Outcome {
        let text = match status {
            Some(status) => format!("{name} is {}\n", render::states(status)),
            None => String::new(),
        };
        self.show(&text, || status.map_or_else(|| json::done(word, name), json::status))?;
        Ok(0)
    }
}

/// Whether it waits only for what does not come by itself.
fn is_stuck(status: &Status) -> bool {
    let mut roots = status.why.iter().filter_map(|link| link.root).peekable();
    // Down although it was just started: something below is held.
    let waiting = status.instances.iter().all(|one| matches!(one.row.state, State::Waiting | State::Down));
    waiting && roots.peek().is_some() && roots.all(|root| matches!(root, Root::Failed | Root::Held))
}
