//! How a process ended or changed, and how wait(2) and waitid(2) encode it.

use abi::{Signal, linux::general as linux};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// It called exit; the low eight bits of the argument.
    Exited(u8),
    /// A signal ended it.
    Signaled {
        /// Which one.
        signal: Signal,
        /// Whether its action includes a core dump.
        core: bool,
    },
}

impl ExitStatus {
    /// Ended by SIGKILL.
    pub const KILLED: Self = Self::Signaled { signal: Signal::KILL, core: false };

    /// Of exit(code).
    #[must_use]
    pub const fn from_code(code: i32) -> Self {
        Self::Exited(code as u8)
    }

    /// What a status word of wait4 says of an end.
    #[must_use]
    pub(crate) fn from_wait_status(status: i32) -> Self {
        match Signal::new(u64::from(status as u32 & 0x7f)) {
            Some(signal) => Self::Signaled { signal, core: status & 0x80 != 0 },
            None => Self::Exited((status >> 8) as u8),
        }
    }

    /// The status word of wait4: code << 8, or the signal with 0x80 for a core dump.
    #[must_use]
    pub const fn wait_status(self) -> i32 {
        match self {
            Self::Exited(code) => (code as i32) << 8,
            Self::Signaled { signal, core } => signal.number() as i32 | if core { 0x80 } else { 0 },
        }
    }
}

/// What a parent learns of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildEvent {
    /// It ended.
    Ended(ExitStatus),
    /// A signal stopped it.
    Stopped(Signal),
    /// SIGCONT continued it.
    Continued,
}

impl ChildEvent {
    /// The status word of wait4.
    #[must_use]
    pub const fn wait_status(self) -> i32 {
        match self {
            Self::Ended(status) => status.wait_status(),
            Self::Stopped(signal) => (signal.number() as i32) << 8 | 0x7f,
            Self::Continued => 0xffff,
        }
    }

    /// `si_code` of waitid and SIGCHLD.
    #[must_use]
    pub const fn code(self) -> i32 {
        let code = match self {
            Self::Ended(ExitStatus::Exited(_)) => linux::CLD_EXITED,
            Self::Ended(ExitStatus::Signaled { core: false, .. }) => linux::CLD_KILLED,
            Self::Ended(ExitStatus::Signaled { core: true, .. }) => linux::CLD_DUMPED,
            Self::Stopped(_) => linux::CLD_STOPPED,
            Self::Continued => linux::CLD_CONTINUED,
        };
        code as i32
    }

    /// `si_status`: exit code or signal.
    #[must_use]
    pub const fn si_status(self) -> i32 {
        match self {
            Self::Ended(ExitStatus::Exited(code)) => code as i32,
            Self::Ended(ExitStatus::Signaled { signal, .. }) | Self::Stopped(signal) => signal.number() as i32,
            Self::Continued => Signal::CONT.number() as i32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_words_are_those_of_wait() {
        assert_eq!(ExitStatus::from_code(7).wait_status(), 0x0700);
        assert_eq!(ExitStatus::from_code(-1).wait_status(), 0xff00);
        assert_eq!(ExitStatus::KILLED.wait_status(), 9);
        assert_eq!(ExitStatus::Signaled { signal: Signal::SEGV, core: true }.wait_status(), 0x8b);
        assert_eq!(ChildEvent::Stopped(Signal::TSTP).wait_status(), 0x147f);
        assert_eq!(ChildEvent::Continued.wait_status(), 0xffff);
    }

    #[test]
    fn siginfo_codes_are_those_of_waitid() {
        let codes = [
            (ChildEvent::Ended(ExitStatus::from_code(3)), 1, 3),
            (ChildEvent::Ended(ExitStatus::KILLED), 2, 9),
            (ChildEvent::Ended(ExitStatus::Signaled { signal: Signal::ABRT, core: true }), 3, 6),
            (ChildEvent::Stopped(Signal::STOP), 5, 19),
            (ChildEvent::Continued, 6, 18),
        ];
        for (event, code, status) in codes {
            assert_eq!((event.code(), event.si_status()), (code, status));
        }
    }
}
