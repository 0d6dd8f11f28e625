//! Waiting for every process that ends, and for requests to power off.
//!
//! busybox asks process 1 by signal: SIGUSR1 halts, SIGUSR2 powers off, SIGTERM reboots.

use std::io;

use nix::sys::signal::{SigSet, Signal};
use rustix::process::{Pid, WaitOptions, WaitStatus, wait};

use crate::power::Power;
use crate::program::Program;

/// Runs `program`; gives how to leave and the program's status once it has ended or somebody asked to power off.
pub fn start_and_reap(program: &Program) -> io::Result<(Power, i32)> {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGTERM] {
        signals.add(signal);
    }
    let child = Pid::from_child(&program.start()?);
    // Blocked only now, since a child inherits the mask. What ended before this is found by the first look.
    let can_wait = signals.thread_block().is_ok();
    if let Some(status) = reap_until(child, WaitOptions::NOHANG)? {
        return Ok((Power::Off, status));
    }
    loop {
        // Without signals to wait for, wait for children alone: poor, but it works on a half-finished kernel.
        let signal = if can_wait { signals.wait() } else { Err(nix::errno::Errno::ENOSYS) };
        let options = match signal {
            Ok(Signal::SIGUSR1 | Signal::SIGUSR2) => return Ok((Power::Off, 0)),
            Ok(Signal::SIGTERM) => return Ok((Power::Restart, 0)),
            Ok(_) => WaitOptions::NOHANG,
            Err(nix::errno::Errno::EINTR) => continue,
            Err(_) => WaitOptions::empty(),
        };
        if let Some(status) = reap_until(child, options)? {
            return Ok((Power::Off, status));
        }
    }
}

/// Reaps what has ended; the shell-style status of `child` if it is among them.
fn reap_until(child: Pid, options: WaitOptions) -> io::Result<Option<i32>> {
    loop {
        match wait(options) {
            Ok(Some((pid, status))) if pid == child => return Ok(Some(shell_status(status))),
            Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
            Ok(None) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}

/// The exit code, or 128 and the signal that killed it.
fn shell_status(status: WaitStatus) -> i32 {
    status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal)).unwrap_or(255)
}
