//! What an administrator says about a service: plain data, and the checks that need no other service.
//!
//! Parsing is user space's; whoever builds a [`Definition`], the supervisor validates it again here.

mod dependency;
mod endpoint;
mod name;
mod policy;
mod security;
mod validate;

use alloc::string::String;
use alloc::vec::Vec;

pub use dependency::{Dependency, DependencyKind};
pub use endpoint::{Endpoint, Listen, ProbeTarget, SocketKind};
pub use name::Name;
pub use policy::{
    Balance, Health, Limits, OnFailure, OnLoss, OnMemory, Probe, Readiness, Restart, RestartPolicy, Scaling, Stop,
};
pub use security::{Allow, Export, Isolation, Security, Subject};
pub use semver::{Version, VersionReq};
use types::{Gid, Nanos, Uid};
pub use validate::{MAX_COUNT, MAX_DEPENDENCIES, MAX_LISTEN};

/// What a service is for; it does not change how it is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Belongs to the system.
    System,
    /// Belongs to a user.
    User,
    /// Groups others; has no process.
    Target,
    /// Watches others.
    Monitoring,
    /// Spreads work over others.
    LoadBalancer,
    /// Tells where others are.
    Discovery,
}

/// How a service runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Run {
    /// Until it is told to stop.
    Daemon,
    /// Once to its end; then it counts as done and satisfies dependents.
    Oneshot,
    /// Not at all: done as soon as its dependencies are ready.
    Target,
}

/// How urgent the programs of a service are beside others: the classes of the scheduler, most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Before everything else, like real time.
    System,
    /// A person waits for it.
    Interactive,
    /// Like any program.
    User,
    /// After the programs of users.
    Service,
    /// When nothing else wants to run.
    Background,
}

impl Class {
    /// All, with the words for them.
    pub const WORDS: [(&str, Self); 5] = [
        ("system", Self::System),
        ("interactive", Self::Interactive),
        ("user", Self::User),
        ("service", Self::Service),
        ("background", Self::Background),
    ];

    /// Its word.
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, class)| *class == self).map_or("", |(word, _)| *word)
    }
}

/// One service, as written down.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// Unique in the set.
    pub name: Name,
    /// For version-constrained dependencies (Cargo's rules: `1.2` means `^1.2`).
    pub version: Version,
    /// For people.
    pub description: String,
    /// What it is for.
    pub kind: Kind,
    /// How it runs.
    pub run: Run,
    /// Program and arguments; empty for a target.
    pub exec: Vec<String>,
    /// Environment.
    pub env: Vec<(String, String)>,
    /// Working directory; empty means `/`.
    pub directory: String,
    /// User of its processes.
    pub user: Uid,
    /// Group of its processes.
    pub group: Gid,
    /// How urgent its programs are, whatever they do. Without it they are of [`Class::Service`] as long as they compute, else of
    /// [`Class::User`].
    pub class: Option<Class>,
    /// Other names under which dependents may ask for it.
    pub provides: Vec<Name>,
    /// First to be started, last to be a victim. Whether it is ever given up is for `max-failures` to say.
    pub critical: bool,
    /// People work in it: its processes act for their users, not for the service. Memory that runs out takes one of them and
    /// not all; its main process may end without the others being killed at once; isolating a target leaves it alone;
    /// nobody waits longer for it at boot than need be.
    pub session: bool,
    /// Keeps running in an emergency.
    pub keep_in_emergency: bool,
    /// Wanted from boot on; with `install`, whenever that target is.
    pub enabled: bool,
    /// The target that wants it while it is enabled.
    pub install: Option<Name>,
    /// How it tells that it is ready.
    pub ready: Readiness,
    /// Longest time from spawn to ready; zero means no limit.
    pub start_timeout: Nanos,
    /// What it needs.
    pub dependencies: Vec<Dependency>,
    /// What happens when a required one is lost.
    pub on_loss: OnLoss,
    /// How long a required one may be gone while it restarts.
    pub loss_grace: Nanos,
    /// Whether starting it stops what conflicts with it.
    pub preempt: bool,
    /// What follows a failure.
    pub restart: Restart,
    /// The target of `OnFailure::Isolate`.
    pub isolate: Option<Name>,
    /// How it is stopped.
    pub stop: Stop,
    /// Signs of life.
    pub health: Health,
    /// What its probe asks, if it has one.
    pub probe: ProbeTarget,
    /// Quotas.
    pub limits: Limits,
    /// How many, and how work is spread.
    pub scaling: Scaling,
    /// Sockets that it owns, passed from `LISTEN_FDS_START` on in this order.
    pub listen: Vec<Listen>,
    /// Who may do what.
    pub security: Security,
}

impl Definition {
    /// A daemon of that name and program with every default.
    pub fn daemon(name: Name, exec: &str) -> Self {
        Self {
            name,
            version: Version::new(0, 0, 0),
            description: String::new(),
            kind: Kind::System,
            run: Run::Daemon,
            exec: alloc::vec![String::from(exec)],
            env: Vec::new(),
            directory: String::new(),
            user: Uid::ROOT,
            group: Gid::ROOT,
            class: None,
            provides: Vec::new(),
            critical: false,
            session: false,
            keep_in_emergency: false,
            enabled: false,
            install: None,
            ready: Readiness::Execute,
            start_timeout: Nanos::from_secs(30),
            dependencies: Vec::new(),
            on_loss: OnLoss::Stop,
            loss_grace: Nanos::from_secs(1),
            preempt: false,
            restart: Restart::default(),
            isolate: None,
            stop: Stop::default(),
            health: Health::default(),
            probe: ProbeTarget::default(),
            limits: Limits::default(),
            scaling: Scaling::default(),
            listen: Vec::new(),
            security: Security::default(),
        }
    }

    /// A group of that name.
    pub fn target(name: Name) -> Self {
        Self { kind: Kind::Target, run: Run::Target, exec: Vec::new(), ..Self::daemon(name, "") }
    }

    /// A program that runs once.
    pub fn oneshot(name: Name, exec: &str) -> Self {
        Self { run: Run::Oneshot, ..Self::daemon(name, exec) }
    }

    /// Adds a dependency.
    #[must_use]
    pub fn with(mut self, kind: DependencyKind, on: Name) -> Self {
        self.dependencies.push(Dependency::new(kind, on));
        self
    }
}
