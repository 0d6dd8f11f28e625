//! What one service needs of another.

use super::{Name, VersionReq};

/// How a dependency binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DependencyKind {
    /// Must be ready before the start; its loss follows `on-loss`. Pulls it in. Implies order.
    Requires,
    /// At least one of the same group must be ready; the first that has not failed is pulled in.
    RequiresAny(u8),
    /// Must have been ready once since boot. Pulls it in.
    Milestone,
    /// Waits until it is settled, at most ten seconds. Pulls it in.
    Wants,
    /// As `Wants`, but only if it is being started anyway.
    After,
    /// Must not run at the same time.
    Conflicts,
}

impl DependencyKind {
    /// Whether losing it matters to a running dependent.
    pub const fn is_hard(self) -> bool {
        matches!(self, Self::Requires | Self::RequiresAny(_))
    }

    /// Whether it only orders.
    pub const fn is_soft(self) -> bool {
        matches!(self, Self::Wants | Self::After | Self::Milestone)
    }

    /// Whether it takes part in the order of starts, and so in circles.
    pub const fn orders(self) -> bool {
        !matches!(self, Self::Conflicts)
    }
}

/// One line under `[depends]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// How it binds.
    pub kind: DependencyKind,
    /// Service or provided name.
    pub on: Name,
    /// Versions that will do.
    pub version: VersionReq,
}

impl Dependency {
    /// On any version.
    pub const fn new(kind: DependencyKind, on: Name) -> Self {
        Self { kind, on, version: VersionReq::STAR }
    }
}
