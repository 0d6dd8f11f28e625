//! The services: loaded at boot, stopped in their order at the end. On a kernel without a supervisor there are none.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::thread::sleep;
use std::time::{Duration, Instant};

use services::wire::{LoadMode, Reply, Request, Unit};
use svc::client::{Device, Supervisor};
use svc::definitions::{DEFAULT_TARGET, Set, Source, mistakes};

use crate::power::Power;

/// The supervisor ends everything within 30 + 5 seconds; after a bit more the kernel is asked directly.
const SHUTDOWN: Duration = Duration::from_secs(40);

/// What is started once the set is loaded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Nothing: somebody else decides.
    Nothing,
    /// What belongs to a normal start, and what is enabled by itself.
    DefaultTarget,
}

/// The definitions of the image, to be loaded.
pub struct Definitions {
    supervisor: Device,
    start: Start,
    units: Vec<Unit>,
    /// Kinds of mistakes that have been reported.
    known: BTreeSet<u8>,
}

impl Definitions {
    /// Reads them. Bad ones are left out and reported: on the console if a person is there, and always in the kernel's log.
    pub fn read(start: Start) -> Option<Self> {
        let supervisor = Device::open().ok()?;
        let set = match Set::read(&Source::system()) {
            Ok(set) if set.is_empty() && set.problems().is_empty() => return None,
            Ok(set) => set,
            Err(error) => {
                report(start, &format!("services: {error}"));
                return None;
            }
        };
        for problem in set.problems() {
            report(start, problem);
        }
        let known = set.problems().iter().map(|problem| problem.code).collect();
        let target = default_target();
        let mut units = set.into_units();
        for unit in &mut units {
            let definition = &mut unit.definition;
            match start {
                // With a target it is that which pulls it in.
                Start::Nothing if definition.install.is_none() => definition.enabled = false,
                Start::DefaultTarget if definition.name.as_str() == target => definition.enabled = true,
                Start::Nothing | Start::DefaultTarget => {}
            }
        }
        if start == Start::DefaultTarget && units.iter().all(|unit| unit.definition.name.as_str() != target) {
            report(start, &format!("services: there is no target {target}"));
        }
        Some(Self { supervisor, start, units, known })
    }

    /// Gives them to the supervisor, which starts what is to be started.
    pub fn load(mut self) {
        let start = self.start;
        match self.supervisor.ask(&Request::Load { mode: LoadMode::Boot, units: self.units }) {
            Ok(Reply::Loaded { aside, .. }) => {
                // Why was said before, with the place; only what the supervisor alone could see is news.
                let is_news = |code: u8| !self.known.contains(&code);
                let news: Vec<_> = aside.into_iter().filter(|mistake| is_news(mistake.error.exit_code())).collect();
                mistakes(&news).lines().for_each(|line| report(start, &line));
            }
            Ok(Reply::Ok) => {}
            Ok(other) => report(start, &format!("services: not loaded: {other:?}")),
            Err(error) => report(start, &format!("services: not loaded: {error}")),
        }
    }
}

/// `svc.target=NAME` of the kernel's command line; the last one counts.
fn default_target() -> String {
    let line = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    let named = line.split_whitespace().filter_map(|word| word.strip_prefix("svc.target=")).next_back();
    named.unwrap_or(DEFAULT_TARGET).to_owned()
}

fn report(start: Start, text: &dyn Display) {
    // With a program to run the console is for that program alone.
    if start == Start::DefaultTarget {
        eprintln!("init: {text}");
    }
    if let Ok(mut log) = OpenOptions::new().write(true).open("/dev/kmsg") {
        let _ = log.write_all(format!("init: {text}").as_bytes());
    }
}

/// Services with processes.
pub struct Running {
    supervisor: Device,
    pids: Vec<u32>,
}

/// The services that have processes now; `None` if there are none.
pub fn running() -> Option<Running> {
    let mut supervisor = Device::open().ok()?;
    let Ok(Reply::Rows(rows)) = supervisor.ask(&Request::List) else { return None };
    let mut names: Vec<_> = rows.into_iter().filter(|row| row.state.has_cell()).map(|row| row.service).collect();
    names.dedup();
    if names.is_empty() {
        return None;
    }
    let mut pids = Vec::new();
    for name in names {
        if let Ok(Reply::Status(status)) = supervisor.ask(&Request::Status(name)) {
            pids.extend(status.instances.into_iter().flat_map(|one| one.pids));
        }
    }
    Some(Running { supervisor, pids })
}

impl Running {
    /// Their processes.
    pub fn pids(&self) -> &[u32] {
        &self.pids
    }

    /// Has the supervisor stop them and then the machine; comes back only if it does not.
    pub fn shut_down(mut self, power: Power) {
        let end = match power {
            Power::Off => services::wire::Power::Off,
            Power::Restart => services::wire::Power::Restart,
        };
        if !matches!(self.supervisor.ask(&Request::Shutdown(end)), Ok(Reply::Ok)) {
            return;
        }
        let deadline = Instant::now() + SHUTDOWN;
        while Instant::now() < deadline {
            // What they leave behind is process 1's to reap.
            while let Ok(Some(_)) = rustix::process::wait(rustix::process::WaitOptions::NOHANG) {}
            sleep(Duration::from_millis(20));
        }
    }
}
