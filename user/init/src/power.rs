//! The end: processes are asked to leave, then the machine goes off.

use std::fs;
use std::io::Write;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::process::{WaitOptions, wait};
use rustix::system::{RebootCommand, reboot};

use crate::supervisor::{self, Running};

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
    let services = supervisor::running();
    if gently {
        end_everybody(services.as_ref().map_or(&[], Running::pids));
    }
    if fs::write(STATUS_FILE, status.to_string()).is_err() {
        // Another kernel: the line that MultiOS would print, so that the same tools understand it.
        let _ = fs::write("/dev/ttyS1", format!("MULTIOS-EXIT status={status}\n"));
    }
    rustix::fs::sync();
    if let Some(services) = services {
        // The supervisor stops them in their order, and then the machine.
        services.shut_down(power);
        rustix::fs::sync();
    }
    let command = match power {
        Power::Off => RebootCommand::PowerOff,
        Power::Restart => RebootCommand::Restart,
    };
    let result = reboot(command);
    eprintln!("init: the kernel does not power off: {result:?}");
    ExitCode::from(u8::try_from(status).unwrap_or(255))
}

/// Ends all processes, but for those that the supervisor ends.
fn end_everybody(spared: &[u32]) {
    signal_all(spared, Signal::SIGTERM);
    signal_all(spared, Signal::SIGCONT);
    let deadline = Instant::now() + GRACE;
    while Instant::now() < deadline {
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_)) => {}
            // The services are children as well.
            Ok(None) if spared.is_empty() || signal_all(spared, None) => sleep(Duration::from_millis(10)),
            // Nobody is left.
            Ok(None) | Err(_) => return,
        }
    }
    signal_all(spared, Signal::SIGKILL);
}

/// Whether there was anybody.
fn signal_all(spared: &[u32], signal: impl Into<Option<Signal>>) -> bool {
    let signal = signal.into();
    if spared.is_empty() {
        return kill(Pid::from_raw(-1), signal).is_ok();
    }
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let others = numbers.filter(|number| *number > 1 && !spared.contains(number));
    let signalled = |number| i32::try_from(number).is_ok_and(|number| kill(Pid::from_raw(number), signal).is_ok());
    others.filter(|number| signalled(*number)).count() > 0
}
