//! Talking to /dev/svc, and waiting for what is to come.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::thread::sleep;
use std::time::{Duration, Instant};

use services::wire::{Happening, LoadMode, Reply, Request, Row, Unit, Verb};
use services::{Definition, Dependency, DependencyKind, Name, ServiceError, State, StopMode};
use types::Nanos;

pub(crate) struct Control(File);

impl Control {
    pub(crate) fn open() -> io::Result<Self> {
        OpenOptions::new().read(true).write(true).open("/dev/svc").map(Self)
    }

    /// Sends bytes as they are; what comes back.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        self.0.write_all(bytes)?;
        let mut reply = Vec::new();
        let mut part = [0; 4096];
        loop {
            match self.0.read(&mut part)? {
                0 => return Ok(reply),
                count => reply.extend_from_slice(part.get(..count).unwrap_or_default()),
            }
        }
    }

    pub(crate) fn ask(&mut self, request: &Request) -> Reply {
        let mut bytes = Vec::new();
        request.encode(&mut bytes).expect("a request that fits");
        let reply = self.raw(&bytes).expect("/dev/svc answers");
        Reply::decode(&reply).expect("a reply that can be read")
    }

    /// The error of a request that is to be refused.
    pub(crate) fn refused(&mut self, request: &Request) -> Option<ServiceError> {
        match self.ask(request) {
            Reply::Error(failure) => Some(failure.error),
            _ => None,
        }
    }

    pub(crate) fn load(&mut self, set: Vec<Definition>) -> Reply {
        let units = set.into_iter().map(Unit::bare).collect();
        let reply = self.ask(&Request::Load { mode: LoadMode::Replace, units });
        if let Reply::Mistakes(mistakes) = &reply {
            eprintln!("not loaded: {mistakes:?}");
        }
        reply
    }

    pub(crate) fn verb(&mut self, verb: Verb, name: &str) -> Reply {
        self.ask(&control(verb, name, StopMode::Cascade))
    }

    pub(crate) fn rows(&mut self) -> Vec<Row> {
        match self.ask(&Request::List) {
            Reply::Rows(rows) => rows,
            _ => Vec::new(),
        }
    }

    /// The only instance of a service.
    pub(crate) fn row(&mut self, service: &str) -> Option<Row> {
        self.rows().into_iter().find(|row| row.service.as_str() == service)
    }

    pub(crate) fn state(&mut self, service: &str) -> Option<State> {
        self.row(service).map(|row| row.state)
    }

    /// Waits until the service is in that state; whether it came there in time.
    pub(crate) fn reaches(&mut self, service: &str, state: State) -> bool {
        self.comes(10, |rows| {
            rows.iter().find(|row| row.service.as_str() == service).is_some_and(|row| row.state == state)
        })
    }

    /// Waits until all instances of all services are in that state.
    pub(crate) fn all_reach(&mut self, seconds: u64, state: State) -> bool {
        self.comes(seconds, |rows| rows.iter().all(|row| row.state == state))
    }

    /// Waits until all instances together look so, woken by each change.
    pub(crate) fn comes(&mut self, seconds: u64, wished: impl Fn(&[Row]) -> bool) -> bool {
        let begun = Instant::now();
        let limit = Duration::from_secs(seconds);
        loop {
            if wished(&self.rows()) {
                return true;
            }
            let left = limit.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return false;
            }
            self.changed(left);
        }
    }

    /// Waits until there is more to see than in the last reply, or for so long.
    pub(crate) fn changed(&mut self, limit: Duration) -> bool {
        let mut there = libc::pollfd { fd: self.0.as_raw_fd(), events: libc::POLLPRI, revents: 0 };
        let millis = libc::c_int::try_from(limit.as_millis()).unwrap_or(libc::c_int::MAX).saturating_add(1);
        // SAFETY: one descriptor, open as long as this is.
        unsafe { libc::poll(&raw mut there, 1, millis) == 1 && there.revents & libc::POLLPRI != 0 }
    }

    pub(crate) fn happenings(&mut self, from: u64) -> (u64, Vec<Happening>) {
        match self.ask(&Request::Events(from)) {
            Reply::Happenings(part) => (part.next, part.list),
            _ => (0, Vec::new()),
        }
    }

    /// Stops and forgets everything.
    pub(crate) fn clear(&mut self) {
        self.load(Vec::new());
        self.comes(40, <[Row]>::is_empty);
    }
}

pub(crate) fn control(verb: Verb, name: &str, mode: StopMode) -> Request {
    Request::Control { verb, name: self::name(name), mode }
}

pub(crate) fn wait(seconds: u64, done: impl FnMut() -> bool) -> bool {
    wait_by(Duration::from_millis(2), seconds, done)
}

/// For what many are on their way to: looking takes time from them.
pub(crate) fn wait_slowly(seconds: u64, done: impl FnMut() -> bool) -> bool {
    wait_by(Duration::from_millis(30), seconds, done)
}

fn wait_by(step: Duration, seconds: u64, mut done: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    loop {
        if done() {
            return true;
        }
        if begun.elapsed() > Duration::from_secs(seconds) {
            return false;
        }
        sleep(step);
    }
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

/// A daemon that behaves so.
pub(crate) fn service(name: &str, behaviour: &[&str]) -> Definition {
    let mut made = Definition::daemon(self::name(name), "/bin/svcheck");
    made.exec.push("be".into());
    made.exec.extend(behaviour.iter().map(|word| String::from(*word)));
    made.stop.timeout = Nanos::from_millis(300);
    made.stop.grace = Nanos::from_millis(200);
    made
}

/// 1,024 instances that are up all the time.
pub(crate) fn many_instances() -> Vec<Definition> {
    let instances = |at: u32| {
        let mut made = service(&format!("many{at}"), &["good"]);
        made.scaling.count = 16;
        made.enabled = true;
        made
    };
    (0..64).map(instances).collect()
}

pub(crate) fn requires(mut definition: Definition, on: &[&str]) -> Definition {
    let needed = on.iter().map(|on| Dependency::new(DependencyKind::Requires, name(on)));
    definition.dependencies.extend(needed);
    definition
}

/// Processes of this program that are services, by /proc.
pub(crate) fn survivors() -> usize {
    let Ok(entries) = std::fs::read_dir("/proc") else { return usize::MAX };
    entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().parse::<u32>().is_ok())
        .filter(|entry| {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            line.starts_with(b"/bin/svcheck\0be\0")
        })
        .count()
}
