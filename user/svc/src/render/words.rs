//! Words for causes and roots.

use services::wire::Row;
use services::{Cause, Health, Hold, Name, Resource, Root, ServiceError, SpawnStep, State};
use types::Nanos;

use crate::definitions::{show_duration, show_signal, show_size, verb};

/// Why an instance is where it is; empty if there is nothing to say.
pub(crate) fn cause(cause: Cause, about: Option<&Name>) -> String {
    match cause {
        Cause::None | Cause::Goal => String::new(),
        Cause::Exited(status) => format!("exit {status}"),
        Cause::Signalled(signal) => show_signal(signal),
        Cause::StartTimeout => "not ready in time".into(),
        Cause::Health(Health::Probe) => "probe failed".into(),
        Cause::Health(Health::Watchdog) => "watchdog".into(),
        Cause::Health(Health::OutOfMemory) => "out of memory".into(),
        Cause::Quota(resource) => format!("over its limit of {}", resource_name(resource)),
        Cause::Spawn(error) => {
            let step = match error.step {
                SpawnStep::Open => "cannot open the program",
                SpawnStep::Format => "cannot run the program",
                SpawnStep::Memory => "no memory to start",
                SpawnStep::Credentials => "cannot become its user",
                SpawnStep::Execute => "cannot execute",
            };
            format!("{step}: {}", std::io::Error::from_raw_os_error(error.errno.into()))
        }
        Cause::DependencyLost(_) => format!("lost {}", about.map_or("a dependency", Name::as_str)),
        Cause::Restart => "restarted".into(),
        Cause::Shutdown => "the system goes down".into(),
        Cause::NoReserve { need, have } => format!("needs {} of memory, {} are free", show_size(need), show_size(have)),
        Cause::Governor => "its turn comes".into(),
    }
}

fn resource_name(resource: Resource) -> &'static str {
    match resource {
        Resource::Memory => "memory",
        Resource::Cpu => "processor time",
        Resource::Tasks => "tasks",
        Resource::Files => "files",
        Resource::Io => "input and output",
    }
}

/// The last column of a list.
pub(super) fn in_brief(row: &Row) -> String {
    if row.hold == Hold::Hard {
        return "held".into();
    }
    if let Some((kind, on)) = &row.gate {
        return format!("{} {on}", verb(*kind));
    }
    if row.state == State::Down && row.cause == Cause::Goal {
        return String::new();
    }
    let text = cause(row.cause, row.about.as_ref());
    if row.state.is_ready() && row.failures > 0 { format!("restarted: {text}") } else { text }
}

/// The exit status of `svc` when a service ended so.
pub(crate) fn exit_of(cause: Cause) -> u8 {
    let error = match cause {
        Cause::Spawn(error) => ServiceError::SpawnFailed(error),
        Cause::StartTimeout => ServiceError::StartTimeout,
        Cause::Health(check) => ServiceError::HealthCheckFailed(check),
        Cause::Quota(resource) => ServiceError::ResourceExhausted(resource),
        Cause::NoReserve { .. } => ServiceError::ResourceExhausted(Resource::Memory),
        _ => ServiceError::RestartLimitExceeded,
    };
    error.exit_code()
}

/// What a service is to blame for.
pub(crate) fn root(root: Root) -> &'static str {
    match root {
        Root::NotWanted => "nobody wants it",
        Root::Held => "an operator stopped it or holds it down",
        Root::ShuttingDown => "the system is going down",
        Root::Starting => "it is being started",
        Root::Stopping => "it is being stopped",
        Root::Backoff => "it failed and will be tried again",
        Root::Failed => "it was given up",
        Root::NoReserve => "the memory promised to it is not free",
        Root::Queued => "its turn comes: too many starts at once",
        Root::Conflict => "it runs, and conflicts",
    }
}

/// A state with what an operator needs to know about it.
pub(super) fn state(row: &Row) -> &'static str {
    match row.state {
        State::Running if row.paused => "paused",
        State::Running if row.degraded => "degraded",
        state => state.word(),
    }
}

/// `, next try in 2.9s`.
pub(super) fn next(state: State, next: Option<Nanos>) -> String {
    let Some(next) = next else { return String::new() };
    let what = match state {
        State::Backoff => "next try in",
        State::Starting => "may take another",
        State::Stopping(_) | State::Killing => "harder means in",
        _ => "next look in",
    };
    format!(", {what} {}", show_duration(next))
}
