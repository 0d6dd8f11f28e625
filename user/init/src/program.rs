//! What process 1 is to run: the program of `cargo xtask exec`, or a shell.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::console;

const EXEC_FILE: &str = "/etc/multios/exec";
const STDIN_FILE: &str = "/etc/multios/stdin";
const MARKER_FILE: &str = "/etc/multios/marker";
const TERMINAL_FILE: &str = "/etc/multios/terminal";
/// The first that exists is the shell.
const SHELLS: [&str; 3] = ["/bin/sh", "/bin/msh", "/bin/busybox"];

/// The status for a program that cannot be started, as a shell has it.
pub const fn status_of(error: Option<i32>) -> u8 {
    match error {
        Some(2) => 127,
        _ => 126,
    }
}

/// What process 1 starts and waits for.
pub enum Program {
    /// A shell with the console as its terminal.
    Shell(&'static str),
    /// A program with its arguments; its output is passed on unchanged, its status becomes the machine's.
    Exec { argv: Vec<OsString>, terminal: bool },
}

impl Program {
    /// Looks what the initramfs asks for.
    pub fn find() -> Self {
        let exec = fs::read(EXEC_FILE).unwrap_or_default();
        if exec.is_empty() {
            let shell = SHELLS.into_iter().find(|shell| Path::new(shell).exists());
            return Self::Shell(shell.unwrap_or(SHELLS[0]));
        }
        let list = exec.strip_suffix(&[0]).unwrap_or(&exec);
        let argv = list.split(|&byte| byte == 0).map(|arg| OsString::from_vec(arg.to_vec())).collect();
        Self::Exec { argv, terminal: Path::new(TERMINAL_FILE).exists() }
    }

    /// Whether it is a shell for a person.
    pub fn is_shell(&self) -> bool {
        matches!(self, Self::Shell(_))
    }

    /// Its name, for messages.
    pub fn name(&self) -> String {
        match self {
            Self::Shell(shell) => (*shell).to_owned(),
            Self::Exec { argv, .. } => argv.first().map(|arg| arg.to_string_lossy().into_owned()).unwrap_or_default(),
        }
    }

    /// Says on the console what is about to come.
    pub fn announce(&self) {
        match self {
            Self::Shell(_) => println!("Welcome to MultiOS. `exit` or `poweroff` ends it."),
            Self::Exec { terminal, .. } => {
                if !terminal {
                    console::make_transparent();
                }
                if let Ok(marker) = fs::read(MARKER_FILE) {
                    let _ = io::stdout().write_all(&marker);
                    let _ = io::stdout().flush();
                }
            }
        }
    }

    /// Starts it.
    pub fn start(&self) -> io::Result<Child> {
        let mut command = match self {
            Self::Shell(shell) => {
                let mut command = Command::new("/proc/self/exe");
                command.args(["--session", shell]).arg("-l");
                command
            }
            Self::Exec { argv, terminal: true } => {
                let mut command = Command::new("/proc/self/exe");
                command.arg("--session").args(argv);
                command
            }
            Self::Exec { argv, terminal: false } => {
                let Some((program, args)) = argv.split_first() else { return Err(io::ErrorKind::NotFound.into()) };
                let mut command = Command::new(program);
                command.args(args);
                command.stdin(File::open(STDIN_FILE).map_or_else(|_| Stdio::null(), Stdio::from));
                command
            }
        };
        command.env_clear();
        command.env("PATH", "/bin:/sbin:/usr/bin:/usr/sbin").env("HOME", "/root").env("TERM", "linux");
        // Not by `current_dir`: for a static program std would then leave posix_spawn for fork.
        let _ = std::env::set_current_dir(if self.is_shell() { "/root" } else { "/" });
        command.spawn()
    }
}
