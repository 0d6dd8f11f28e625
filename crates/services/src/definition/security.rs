//! Who may do what with a service, and what it may see.

use alloc::vec::Vec;

use super::Name;
use crate::error::Role;
use types::Uid;

/// How far a service's processes are kept apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isolation {
    /// Own address space.
    #[default]
    Process,
    /// Own view of processes, mounts, host name and IPC as well.
    Namespace,
    /// Call filter, quotas and no new privileges as well.
    Container,
}

/// A group of callers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Everybody.
    Any,
    /// A user.
    User(Uid),
    /// The processes of a service.
    Service(Name),
}

/// A role given to callers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allow {
    /// What they may do.
    pub role: Role,
    /// Who.
    pub who: Subject,
}

/// An endpoint that others may look up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// Its name.
    pub name: Name,
    /// Who; empty means everybody who declares that it uses it.
    pub to: Vec<Name>,
}

/// Rights and walls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Security {
    /// Level of isolation.
    pub isolation: Isolation,
    /// No set-uid and no file capabilities below it.
    pub no_new_privileges: bool,
    /// Endpoints it offers.
    pub exports: Vec<Export>,
    /// Endpoints and services it may look up besides what it requires.
    pub uses: Vec<Name>,
    /// Roles it gives.
    pub allow: Vec<Allow>,
}
