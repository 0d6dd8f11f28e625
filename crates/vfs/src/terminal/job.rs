//! Job control: may this process touch its terminal now? (POSIX General Terminal Interface 11.1.4)

use abi::Signal;
use types::{Pgid, Sid};

/// What is about to be done to the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read from it.
    Read,
    /// Write to it. Checked only while TOSTOP is set.
    Write,
    /// Change its settings or its foreground group.
    Change,
}

/// How a process handles the signal that the access would raise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalHandling {
    /// Default action or a handler, not blocked.
    Delivered,
    /// Blocked or ignored.
    BlockedOrIgnored,
}

/// Who wants to touch the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobCaller {
    /// Its session.
    pub session: Sid,
    /// Its process group.
    pub group: Pgid,
    /// Whether that group is orphaned.
    pub orphaned: bool,
    /// How it handles SIGTTIN (reads) or SIGTTOU (everything else).
    pub handling: SignalHandling,
}

/// What the caller of [`super::Terminal::job_control`] must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobControl {
    /// Go on.
    Allow,
    /// Send this to the whole process group of the caller; the call is interrupted and restarts.
    Signal(Signal),
    /// Fail with EIO (TIOCSPGRP: ENOTTY).
    Eio,
}

/// The rule, given the session the terminal controls and its foreground group.
pub(super) fn job_control(
    access: Access,
    owner: Option<Sid>,
    foreground: Option<Pgid>,
    stops_writers: bool,
    caller: &JobCaller,
) -> JobControl {
    let background = owner == Some(caller.session) && foreground.is_some_and(|group| group != caller.group);
    if !background || (access == Access::Write && !stops_writers) {
        return JobControl::Allow;
    }
    let reads = access == Access::Read;
    match caller.handling {
        SignalHandling::BlockedOrIgnored if reads => JobControl::Eio,
        SignalHandling::BlockedOrIgnored => JobControl::Allow,
        SignalHandling::Delivered if caller.orphaned => JobControl::Eio,
        SignalHandling::Delivered => JobControl::Signal(if reads { Signal::TTIN } else { Signal::TTOU }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALLER: JobCaller =
        JobCaller { session: Sid(10), group: Pgid(20), orphaned: false, handling: SignalHandling::Delivered };

    fn check(access: Access, tostop: bool, caller: JobCaller) -> JobControl {
        job_control(access, Some(Sid(10)), Some(Pgid(10)), tostop, &caller)
    }

    #[test]
    fn foreground_and_strangers_may_do_anything() {
        let foreground = JobCaller { group: Pgid(10), ..CALLER };
        let stranger = JobCaller { session: Sid(11), ..CALLER };
        for access in [Access::Read, Access::Write, Access::Change] {
            assert_eq!(check(access, true, foreground), JobControl::Allow);
            assert_eq!(check(access, true, stranger), JobControl::Allow);
            assert_eq!(job_control(access, Some(Sid(10)), None, true, &CALLER), JobControl::Allow);
        }
    }

    #[test]
    fn background_is_stopped() {
        assert_eq!(check(Access::Read, false, CALLER), JobControl::Signal(Signal::TTIN));
        assert_eq!(check(Access::Write, false, CALLER), JobControl::Allow);
        assert_eq!(check(Access::Write, true, CALLER), JobControl::Signal(Signal::TTOU));
        assert_eq!(check(Access::Change, false, CALLER), JobControl::Signal(Signal::TTOU));
    }

    #[test]
    fn nobody_could_continue_an_orphaned_group() {
        let orphan = JobCaller { orphaned: true, ..CALLER };
        assert_eq!(check(Access::Read, false, orphan), JobControl::Eio);
        assert_eq!(check(Access::Change, false, orphan), JobControl::Eio);
    }

    #[test]
    fn who_does_not_take_the_signal_may_write_but_not_read() {
        let deaf = JobCaller { handling: SignalHandling::BlockedOrIgnored, ..CALLER };
        assert_eq!(check(Access::Read, false, deaf), JobControl::Eio);
        assert_eq!(check(Access::Write, true, deaf), JobControl::Allow);
        assert_eq!(check(Access::Change, false, deaf), JobControl::Allow);
        let deaf_orphan = JobCaller { orphaned: true, ..deaf };
        assert_eq!(check(Access::Change, false, deaf_orphan), JobControl::Allow);
    }
}
