//! A mistake in a definition file, with its place.

use std::fmt;
use std::rc::Rc;

use services::{Capacity, Field, Mistake, Name, Resource, ServiceError, Unsatisfied};

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    /// The file, as it was given.
    pub file: Rc<str>,
    /// From 1.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
}

impl At {
    /// The beginning of a file.
    pub fn start(file: &str) -> Self {
        Self { file: file.into(), line: 1, column: 1 }
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// A mistake.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where.
    pub at: At,
    /// What is wrong, and what would be right.
    pub message: String,
    /// More, one line each.
    pub notes: Vec<String>,
    /// Exit status of `svc check` for it.
    pub code: u8,
}

impl Problem {
    /// A value that makes no sense.
    pub fn new(at: At, message: String) -> Self {
        Self { at, message, notes: Vec::new(), code: ServiceError::InvalidDefinition(Field::Name).exit_code() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.message)?;
        self.notes.iter().try_for_each(|note| write!(f, "\n    {note}"))
    }
}

/// All problems, in the order of files and lines, and how many.
pub fn report(problems: &[Problem]) -> String {
    let mut sorted: Vec<_> = problems.iter().collect();
    sorted.sort();
    let mut text: String = sorted.iter().map(|problem| format!("{problem}\n")).collect();
    let mut files: Vec<_> = sorted.iter().map(|problem| &problem.at.file).collect();
    files.dedup();
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    let (count, files) = (problems.len(), files.len());
    text.push_str(&format!("{count} error{} in {files} file{}\n", plural(count), plural(files)));
    text
}

/// The error in words, without the names that go with it.
pub fn describe(error: ServiceError) -> String {
    match error {
        ServiceError::NotFound => "no such service".into(),
        ServiceError::AlreadyExists => "this name is defined twice".into(),
        ServiceError::InvalidDefinition(field) => expected(field).into(),
        ServiceError::InvalidState(state) => format!("not possible while it is {}", state.word()),
        ServiceError::PermissionDenied(role) => {
            format!("you need the role `{}`", format!("{role:?}").to_lowercase())
        }
        ServiceError::CircularDependency => "dependencies form a circle".into(),
        ServiceError::DependencyUnsatisfied(why) => match why {
            Unsatisfied::Missing => "there is no service of that name".into(),
            Unsatisfied::Failed(_) => "a dependency has failed".into(),
            Unsatisfied::Version => "no version of it will do".into(),
            Unsatisfied::Conflict(_) => "a service that conflicts with it runs".into(),
            Unsatisfied::Held(_) => "an operator holds it down".into(),
            Unsatisfied::NeededBy(_) => "others need it".into(),
        },
        ServiceError::ResourceExhausted(resource) => {
            let what = match resource {
                Resource::Memory => "memory",
                Resource::Cpu => "processor time",
                Resource::Tasks => "tasks",
                Resource::Files => "files",
                Resource::Io => "input and output",
            };
            format!("more {what} than there is")
        }
        ServiceError::CapacityExhausted(table) => match table {
            Capacity::Services => "too many services".into(),
            Capacity::Instances => "too many instances".into(),
            Capacity::Dependencies => "too many dependencies".into(),
            Capacity::Edges => "too many dependencies in the whole set".into(),
        },
        ServiceError::SpawnFailed(error) => {
            let step = format!("{:?}", error.step).to_lowercase();
            format!("could not be started: {step}: {}", std::io::Error::from_raw_os_error(error.errno.into()))
        }
        ServiceError::StartTimeout => "was not ready in time".into(),
        ServiceError::StopTimeout => "was not gone in time".into(),
        ServiceError::HealthCheckFailed(check) => format!("health check failed: {check:?}"),
        ServiceError::RestartLimitExceeded => "failed too often and was given up".into(),
        ServiceError::ShuttingDown => "the system is going down".into(),
    }
}

/// What is wrong with a set, as the supervisor judges.
pub fn mistakes(list: &[Mistake]) -> String {
    let mut text = String::new();
    for mistake in list {
        text.push_str(&format!("{}: {}", mistake.service, describe(mistake.error)));
        if let Some(on) = &mistake.dependency {
            text.push_str(&format!(": {on}"));
        }
        if let Some(near) = &mistake.nearest {
            text.push_str(&format!("; did you mean {near}?"));
        }
        if !mistake.path.is_empty() {
            let path: Vec<_> = mistake.path.iter().chain(mistake.path.first()).map(Name::as_str).collect();
            text.push_str(&format!(": {}", path.join(" -> ")));
        }
        text.push('\n');
    }
    text
}

/// What a field may hold; the checks themselves are in `services`.
fn expected(field: Field) -> &'static str {
    match field {
        Field::Name => "a name is 1 to 64 of a-z A-Z 0-9 . _ - @ # :, the first a letter or digit",
        Field::Exec => "exec needs the absolute path of a program, and only a target has none",
        Field::Env => "names in env are not empty and have no `=`",
        Field::Kind => "only a target is of kind target",
        Field::Dependencies => "a service has at most 64 dependencies, none of them itself",
        Field::StartTimeout => "start-timeout is 10ms to 1h and longer than a readiness probe's timeout, or 0 for none",
        Field::LossGrace => "loss-grace is at most 60s",
        Field::RestartBase => "base is 10ms to 1h",
        Field::RestartMaximum => "max-delay is from base to 1h",
        Field::RestartStable => "stable is 1s to 1h",
        Field::StopTimeout => "timeout is at most 600s",
        Field::StopGrace => "grace is at most 600s",
        Field::StopDrain => "drain is at most 600s",
        Field::StopSignal => "signal is 1 to 64",
        Field::Watchdog => "watchdog is 100ms to 1h",
        Field::Probe => {
            "live asks tcp, unix, exec or the first stream socket of listen; its timeout is shorter than its period, which is \
             at most 1h; ready = \"probe\" needs it"
        }
        Field::Memory => "memory is more than 0",
        Field::MemoryReserve => "memory-reserve is at most memory",
        Field::Cpu => "cpu is more than 0",
        Field::Tasks => "tasks is more than 0",
        Field::Files => "files is 3 at least",
        Field::Instances => "count is 1 to 1024, and 1 for anything but a daemon",
        Field::Exports => "each name is exported once",
        Field::Uses => "each name is used once",
        Field::Listen => {
            "listen is for daemons: at most 16 sockets, each with a name of its own, a backlog and mode up to 777"
        }
        Field::Isolate => "isolate:TARGET names another than itself",
        Field::Install => "a service is installed in another, not in itself",
        Field::Isolation => "isolation = \"container\" needs no-new-privs = true",
    }
}
