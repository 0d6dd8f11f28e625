//! Commands about the whole system.

use clap::ArgMatches;
use services::wire::{Emergency, Power, Reply, Request};

use super::{App, Outcome, service};
use crate::json;

impl App<'_> {
    pub(super) fn system(&mut self, word: &str, matches: &ArgMatches) -> Outcome {
        let request = match word {
            "shutdown" if matches.get_flag("halt") => Request::Shutdown(Power::Halt),
            "shutdown" => Request::Shutdown(Power::Off),
            "reboot" => Request::Shutdown(Power::Restart),
            "isolate" => Request::Isolate(service(matches)?),
            _ => Request::Emergency(match matches.get_one::<String>("step").map(String::as_str) {
                Some("leave") => Emergency::Leave,
                Some("kill-all") => Emergency::KillAll,
                _ => Emergency::Enter,
            }),
        };
        match self.ask(&request)? {
            Reply::Ok => {
                self.show("", || json::done_system(word))?;
                Ok(0)
            }
            other => Self::unexpected(&other),
        }
    }
}
