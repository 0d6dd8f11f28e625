//! What the first process, and the first of each namespace of numbers, is spared (pid_namespaces(7)).

use abi::Signal;

/// Whether signals with default action reach a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protection {
    /// They do.
    None,
    /// They do not, not even SIGKILL.
    Full,
    /// The same, but a SIGSTOP from outside of the namespace is on its way.
    AdmitsStop,
}

impl Protection {
    /// Whether the default action of `signal` does not reach the process.
    pub(super) fn spares(self, signal: Signal) -> bool {
        match self {
            Self::None => false,
            Self::Full => true,
            Self::AdmitsStop => signal != Signal::STOP,
        }
    }

    /// The SIGSTOP has been taken, or cancelled.
    pub(super) fn forget_stop(&mut self) {
        if *self == Self::AdmitsStop {
            *self = Self::Full;
        }
    }
}
