//! Running other programs: quiet when they are quick, a line of progress when they are not, their output when they fail.

use std::io::{IsTerminal, Write};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// What takes longer than this says so.
const PATIENCE: Duration = Duration::from_secs(2);

/// Runs `command` as the step `what`; its output is shown only if it fails.
pub fn step(what: &str, command: &mut Command) -> Result<Output> {
    let output = with_progress(what, || command.stdin(Stdio::null()).output()).with_context(|| spawn_hint(command))?;
    if !output.status.success() {
        let mut stderr = std::io::stderr().lock();
        let _ = stderr.write_all(&output.stdout);
        let _ = stderr.write_all(&output.stderr);
        bail!("{what} failed ({}): {}", output.status, words(command));
    }
    Ok(output)
}

/// Runs `command` with its output on ours.
pub fn show(what: &str, command: &mut Command) -> Result<bool> {
    eprintln!("==> {what}");
    Ok(command.status().with_context(|| spawn_hint(command))?.success())
}

/// Calls `work`, printing what it is and how long it has taken once it takes long. Of calls within calls only the innermost
/// speaks.
pub fn with_progress<T: Send>(what: &str, work: impl FnOnce() -> T + Send) -> T {
    static DEPTH: AtomicUsize = AtomicUsize::new(0);
    let depth = DEPTH.fetch_add(1, Ordering::Relaxed) + 1;
    let started = Instant::now();
    let (done, watch) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            let terminal = std::io::stderr().is_terminal();
            let mut wait = PATIENCE;
            let mut said = false;
            while let Err(RecvTimeoutError::Timeout) = watch.recv_timeout(wait) {
                let seconds = started.elapsed().as_secs();
                if DEPTH.load(Ordering::Relaxed) != depth {
                    wait = PATIENCE;
                    continue;
                }
                match (terminal, said) {
                    (true, _) => eprint!("\r{what} ... {seconds} s"),
                    (false, false) => eprintln!("{what} ..."),
                    (false, true) => eprintln!("{what} ... {seconds} s"),
                }
                said = true;
                wait = if terminal { Duration::from_secs(1) } else { Duration::from_secs(15) };
            }
            if said && terminal {
                eprintln!("\r{what}: {} s      ", started.elapsed().as_secs());
            }
        });
        let result = work();
        DEPTH.fetch_sub(1, Ordering::Relaxed);
        drop(done);
        result
    })
}

/// The first line that `program args` prints if it succeeds.
pub fn answer(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    output.status.success().then(|| line.to_owned())
}

/// The first line that `program args` prints, or nothing if it cannot be run.
pub fn first_line(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output().ok()?;
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    String::from_utf8_lossy(&text).lines().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
}

/// The command as one would type it.
pub fn words(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for arg in command.get_args() {
        let arg = arg.to_string_lossy();
        let plain = !arg.is_empty() && arg.chars().all(|c| c.is_alphanumeric() || "-_=./,:+@%".contains(c));
        text.push(' ');
        text.push_str(&if plain { arg.into_owned() } else { format!("'{}'", arg.replace('\'', r"'\''")) });
    }
    text
}

fn spawn_hint(command: &Command) -> String {
    format!("cannot run {}; `cargo xtask doctor` lists what is missing", command.get_program().to_string_lossy())
}
