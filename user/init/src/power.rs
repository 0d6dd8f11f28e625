//! The end: processes are asked to leave, then the machine goes off.

use std::fs;
use std::io::Write;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{WaitOptions, wait};
use rustix::system::{RebootCommand, reboot};

/// MultiOS passes this on to whoever started the machine; other kernels do not have it.
const STATUS_FILE: &str = "/proc/multios/exit_status";
/// How long processes have to leave after SIGTERM; short, since only background jobs of a shell are left.
const GRACE: Duration = Duration::from_millis(500);

/// What follows.
#[derive(Clone, Copy)]
pub enum Power {
    /// Switch off.
    Off,
    /// Start again.
    Restart,
}

/// Ends everything; comes back only if the kernel refuses.
pub fn leave(power: Power, status: i32, gently: bool) -> ExitCode {
    let _ = std::io::stdout().flush();
    if gently {
        end_everybody();
    }
    if fs::write(STATUS_FILE, status.to_string()).is_err() {
        // Another kernel: the line that MultiOS would print, so that the same tools understand it.
        let _ = fs::write("/dev/ttyS1", format!("MULTIOS-EXIT status={status}\n"));
    }
    rustix::fs::sync();
    let command = match power {
        Power::Off => RebootCommand::PowerOff,
        Power::Restart => RebootCommand::Restart,
    };
    let result = reboot(command);
    eprintln!("init: the kernel does not power off: {result:?}");
    ExitCode::from(u8::try_from(status).unwrap_or(255))
}

fn end_everybody() {
    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(-1), nix::sys::signal::Signal::SIGTERM);
    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(-1), nix::sys::signal::Signal::SIGCONT);
    let deadline = Instant::now() + GRACE;
    while Instant::now() < deadline {
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_)) => {}
            Ok(None) => sleep(Duration::from_millis(10)),
            Err(_) => return, // no children are left
        }
    }
    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(-1), nix::sys::signal::Signal::SIGKILL);
}
