//! Waiting for every process that ends, and for requests to power off.
//!
//! busybox asks process 1 by signal: SIGUSR1 halts, SIGUSR2 powers off, SIGTERM reboots.

use std::io;
use std::os::fd::AsFd;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::process::{Pid, WaitOptions, WaitStatus, wait};

use crate::power::Power;
use crate::program::Program;
use crate::shell::Shell;

fn signals() -> SigSet {
    [Signal::SIGCHLD, Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGTERM].into_iter().collect()
}

/// From now on they wait until somebody looks.
pub fn block_signals() {
    let _ = signals().thread_block();
}

/// What a signal asks for.
const fn asked(signal: Signal) -> Option<Power> {
    match signal {
        Signal::SIGUSR1 | Signal::SIGUSR2 => Some(Power::Off),
        Signal::SIGTERM => Some(Power::Restart),
        _ => None,
    }
}

/// Reaps until the shell has ended or somebody asks to power off; gives how to leave and the shell's status.
pub fn reap_until_end(mut shell: Shell) -> (Power, i32) {
    let Ok(asks) = SignalFd::with_flags(&signals(), SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC) else {
        return (Power::Off, 255);
    };
    loop {
        while let Ok(Some(info)) = asks.read_signal() {
            let signal = i32::try_from(info.ssi_signo).ok().and_then(|number| Signal::try_from(number).ok());
            if let Some(power) = signal.and_then(asked) {
                return (power, 0);
            }
        }
        while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
        if let Some(status) = shell.end() {
            return (Power::Off, status);
        }
        shell.wait(asks.as_fd());
    }
}

/// Runs `program`; gives how to leave and the program's status once it has ended or somebody asked to power off.
pub fn start_and_reap(program: &Program) -> io::Result<(Power, i32)> {
    let signals = signals();
    // A child inherits the mask. What ends before they are blocked again is found by the first look.
    let _ = signals.thread_unblock();
    let child = Pid::from_child(&program.start()?);
    let can_wait = signals.thread_block().is_ok();
    if let Some(status) = reap_until(child, WaitOptions::NOHANG)? {
        return Ok((Power::Off, status));
    }
    loop {
        // Without signals to wait for, wait for children alone: poor, but it works on a half-finished kernel.
        let signal = if can_wait { signals.wait() } else { Err(nix::errno::Errno::ENOSYS) };
        if let Some(power) = signal.ok().and_then(asked) {
            return Ok((power, 0));
        }
        let options = match signal {
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
