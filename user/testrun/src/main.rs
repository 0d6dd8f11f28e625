//! Runs test cases one after another and reports output and status of each; the same on MultiOS and on Linux.
//!
//! Usage: `testrun CASE…`. A case is a file: a script (`*.sh`, run by busybox's shell) or a program. Its standard output and
//! error go into one file, its input is empty, its directory is a fresh one below /tmp.
//!
//! For each case two lines and the output come out, so that a reader knows where it is even if the next one never ends:
//!
//! ```text
//! @@case NAME
//! @@end NAME STATUS BYTES MILLISECONDS
//! (BYTES of output, then a newline)
//! ```
#![forbid(unsafe_code)]

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fs::Mode;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process_group, setpriority_process, setrlimit, umask};

/// How long a case may take; the slowest host under load needs a tenth of it.
const LIMIT: Duration = Duration::from_secs(60);
/// More output than this is cut.
const OUTPUT_LIMIT: u64 = 256 << 10;

fn main() -> ExitCode {
    // What a case may see of its surroundings must not depend on who started us.
    umask(Mode::from_raw_mode(0o022));
    let _ = setpriority_process(None, 0);
    for (resource, limit) in [(Resource::Stack, 8 << 20), (Resource::Nofile, 1024), (Resource::Core, 0)] {
        let _ = setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) });
    }
    for case in std::env::args().skip(1) {
        let name = Path::new(&case).file_name().unwrap_or_default().to_string_lossy().into_owned();
        println!("@@case {name}");
        let started = Instant::now();
        let (status, output) = match run(&case, &name) {
            Ok(result) => result,
            Err(error) => ("error".to_owned(), format!("testrun: {error}\n").into_bytes()),
        };
        let mut stdout = io::stdout().lock();
        let _ = writeln!(stdout, "@@end {name} {status} {} {}", output.len(), started.elapsed().as_millis());
        let _ = stdout.write_all(&output);
        let _ = stdout.write_all(b"\n");
        let _ = stdout.flush();
    }
    ExitCode::SUCCESS
}

fn run(case: &str, name: &str) -> io::Result<(String, Vec<u8>)> {
    let dir = format!("/tmp/case-{name}");
    let log = format!("/tmp/output-{name}");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir(&dir)?;
    let output = File::create(&log)?;
    let mut command = if case.ends_with(".sh") {
        let mut command = Command::new("/bin/busybox");
        command.arg("sh").arg(case);
        command
    } else {
        Command::new(case)
    };
    command.env_clear().env("PATH", "/bin:/sbin:/usr/bin:/usr/sbin").env("HOME", "/root").env("TERM", "linux");
    // Not by `current_dir`: for a static program std would then leave posix_spawn for fork.
    std::env::set_current_dir(&dir)?;
    command.stdin(Stdio::null()).stderr(output.try_clone()?).stdout(output).process_group(0);
    let child = command.spawn();
    std::env::set_current_dir("/")?;
    let mut child = child?;
    let status = wait(&mut child)?;
    let mut bytes = Vec::new();
    File::open(&log)?.take(OUTPUT_LIMIT).read_to_end(&mut bytes)?;
    let _ = fs::remove_dir_all(&dir);
    let _ = fs::remove_file(&log);
    Ok((status, bytes))
}

fn wait(child: &mut Child) -> io::Result<String> {
    let deadline = Instant::now() + LIMIT;
    let mut nap = Duration::from_micros(500);
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break describe(status);
        }
        if Instant::now() > deadline {
            let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
            child.wait()?;
            return Ok("timeout".into());
        }
        sleep(nap);
        nap = (nap * 2).min(Duration::from_millis(20));
    };
    // What the case left running must not disturb the next one.
    let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
    Ok(status)
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit:{code}"),
        (None, Some(signal)) => format!("signal:{signal}"),
        (None, None) => "unknown".into(),
    }
}
