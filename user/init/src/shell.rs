//! The shell as a service: the supervisor starts it, and starts it again; process 1 waits for its end.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use services::wire::{InstanceStatus, Reply, Request};
use services::{Cause, Hold, Name, State};
use svc::client::{Device, Supervisor};

use crate::program::status_of;

/// Its name in the image.
const SERVICE: &str = "console";
/// How long to wait where no news can be relied on.
const SOON: Duration = Duration::from_secs(1);
/// A supervisor that has not noticed an end for so long will not notice it any more.
const OVERDUE: Duration = Duration::from_secs(60);

/// The service.
pub struct Shell {
    supervisor: Device,
    name: Name,
    /// Its process: while that lives nothing else about it matters.
    process: Option<OwnedFd>,
    /// When that ended, if the service does not say so yet.
    ended: Option<Instant>,
    /// The supervisor could not answer.
    unknown: bool,
    /// It was said that it was stopped.
    told: bool,
}

impl Shell {
    /// The service, if there is one.
    pub fn find() -> Option<Self> {
        let (supervisor, name) = (Device::open().ok()?, Name::new(SERVICE).ok()?);
        let mut shell = Self { supervisor, name, process: None, ended: None, unknown: false, told: false };
        shell.status().ok().flatten().map(|_| shell)
    }

    /// `None` if the service is no more.
    fn status(&mut self) -> io::Result<Option<InstanceStatus>> {
        match self.supervisor.ask(&Request::Status(self.name.clone()))? {
            Reply::Status(status) => Ok(status.instances.into_iter().next()),
            _ => Ok(None),
        }
    }

    /// Waits until something happens to it, or `other` is readable.
    pub fn wait(&self, other: BorrowedFd<'_>) {
        let own = match &self.process {
            Some(process) => PollFd::new(process, PollFlags::IN),
            None => PollFd::new(&self.supervisor, PollFlags::PRI),
        };
        let limit = if self.unknown || self.ended.is_some() { Timespec::try_from(SOON).ok() } else { None };
        // Who was interrupted looks again.
        let _ = poll(&mut [own, PollFd::from_borrowed_fd(other, PollFlags::IN)], limit.as_ref());
    }

    /// Looks how it is: its shell-style status if it has ended by itself and is not started again.
    pub fn end(&mut self) -> Option<i32> {
        if let Some(process) = &self.process {
            let mut there = [PollFd::new(process, PollFlags::IN)];
            if matches!(poll(&mut there, Some(&Timespec::default())), Ok(0)) {
                return None;
            }
            (self.process, self.ended) = (None, Some(Instant::now()));
        }
        let answer = self.status();
        self.unknown = answer.is_err();
        let Ok(status) = answer else { return None };
        let state = status.as_ref().map_or(State::Down, |status| status.row.state);
        // By somebody, and not in a shutdown.
        let stopped = state == State::Down && status.as_ref().is_none_or(|status| status.row.hold != Hold::None);
        if stopped && !self.told {
            eprintln!("init: the shell was stopped; what else runs goes on");
        }
        self.told = stopped;
        let status = status?;
        match state {
            State::Failed | State::Done => return Some(status_of_end(status.last_end)),
            State::Running => self.follow(status.row.pid),
            _ => {}
        }
        if !state.has_cell() {
            self.ended = None;
        }
        self.ended.filter(|at| at.elapsed() >= OVERDUE).map(|_| 255)
    }

    /// Waits for the end of that process from now on, if it is still the service's.
    fn follow(&mut self, pid: u32) {
        let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let process = number.and_then(|number| pidfd_open(number, PidfdFlags::empty()).ok());
        let is_it = |now: &InstanceStatus| now.row.pid == pid && now.row.state == State::Running;
        if process.is_some() && self.status().is_ok_and(|now| now.as_ref().is_some_and(is_it)) {
            (self.process, self.ended) = (process, None);
        }
    }
}

/// As a shell has it.
fn status_of_end(cause: Cause) -> i32 {
    match cause {
        Cause::Exited(status) => status.into(),
        Cause::Signalled(signal) => 128 + i32::from(signal),
        Cause::Spawn(error) => status_of(Some(error.errno.into())).into(),
        _ => 255,
    }
}
