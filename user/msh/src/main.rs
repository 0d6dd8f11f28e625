//! The emergency shell: pipes, redirections, background jobs and the few commands one needs when nothing else is there.
//!
//! It is not POSIX: no variables but `$NAME` and `$?`, no functions, no loops. busybox's shell is the everyday one.
#![forbid(unsafe_code)]

mod builtin;
mod job;
mod line;

use std::io::{self, BufRead, IsTerminal, Write};
use std::process::ExitCode;

use crate::job::Shell;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let mut shell = Shell::new(io::stdin().is_terminal());
    match args.next().as_deref() {
        Some("-c") => {
            // A shell runs its own commands in a pipeline this way: keys must reach them.
            job::listen_to_keys();
            let status = shell.run_line(&args.next().unwrap_or_default());
            return ExitCode::from(shell.wanted_exit().unwrap_or(status));
        }
        Some(job::BECOME) => return ExitCode::from(job::become_program(&args.collect::<Vec<_>>())),
        None | Some("-l") => {}
        Some(file) => {
            let text = match std::fs::read_to_string(file) {
                Ok(text) => text,
                Err(error) => {
                    eprintln!("msh: {file}: {error}");
                    return ExitCode::from(127);
                }
            };
            return ExitCode::from(run_all(&mut shell, text.lines().map(|line| Ok(line.to_owned()))));
        }
    }
    if !shell.is_interactive() {
        let lines = io::stdin().lock().lines();
        return ExitCode::from(run_all(&mut shell, lines));
    }
    shell.take_terminal();
    ExitCode::from(run_all(&mut shell, Prompted))
}

fn run_all(shell: &mut Shell, lines: impl Iterator<Item = io::Result<String>>) -> u8 {
    let mut status = 0;
    for line in lines {
        let Ok(line) = line else { break };
        status = shell.run_line(&line);
        if let Some(status) = shell.wanted_exit() {
            return status;
        }
    }
    status
}

/// Lines of the terminal, each asked for.
struct Prompted;

impl Iterator for Prompted {
    type Item = io::Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        let here = std::env::current_dir().map(|path| path.display().to_string()).unwrap_or_else(|_| "?".into());
        print!("msh {here}# ");
        let _ = io::stdout().flush();
        let mut line = String::new();
        match io::stdin().read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(Ok(line)),
            Err(error) => Some(Err(error)),
        }
    }
}
