//! What a terminal wants done to processes.

use abi::SigSet;
use types::{Pgid, Sid};

/// Signals to send and relations to cut, returned because a terminal knows no processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Effects {
    /// Each of these to every member of [`Effects::foreground`].
    pub signals: SigSet,
    /// The foreground process group.
    pub foreground: Option<Pgid>,
    /// This session has lost the terminal.
    pub disowned: Option<Sid>,
    /// Each of these to the leader of [`Effects::disowned`].
    pub leader_signals: SigSet,
    /// The group that was in the foreground at a hang-up: gets SIGHUP and SIGCONT when the session's leader exits.
    pub former_foreground: Option<Pgid>,
}

impl Effects {
    /// Nothing to do.
    pub const NONE: Self = Self {
        signals: SigSet::EMPTY,
        foreground: None,
        disowned: None,
        leader_signals: SigSet::EMPTY,
        former_foreground: None,
    };

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        (self.signals.is_empty() || self.foreground.is_none()) && self.disowned.is_none()
    }

    /// `signals` to `foreground`, if there is such a group.
    pub(super) fn to_foreground(signals: SigSet, foreground: Option<Pgid>) -> Self {
        if signals.is_empty() || foreground.is_none() {
            return Self::NONE;
        }
        Self { signals, foreground, ..Self::NONE }
    }
}

/// Takes effects of operations on files (^C written to a pseudo-terminal's master, its close, a new window size).
pub trait TerminalEvents: Send + Sync {
    /// Does what `effects` says. Called in no lock.
    fn deliver(&self, effects: Effects);
}

/// Drops every effect: for terminals nobody's jobs run on.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoEvents;

impl TerminalEvents for NoEvents {
    fn deliver(&self, _effects: Effects) {}
}
