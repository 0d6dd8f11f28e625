//! `cargo xtask exec`: one program on MultiOS, as if it ran here.
//!
//! `init` finds the program's arguments in the initramfs, so that nothing has to be quoted on a command line. The first
//! serial port is the program's console, the second carries the kernel log with the exit status in its last line.

use std::fs::{self, File};
use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use tempfile::TempDir;

use crate::initramfs::{Stdin, Tree};
use crate::machine::{Boot, Machine, Payload};
use crate::qemu::{self, AfterMarker, Finished, Keys, Limit, Outcome, Sink};
use crate::{build, paths};

/// The kernel or the machine failed, not the program.
pub const STATUS_KERNEL_FAILED: u8 = 125;
/// The time was up.
pub const STATUS_TIMED_OUT: u8 = 124;

const NEVER_RAN: &str = "QEMU ended before the kernel said anything; if it gave a reason, that stands in the log";

const STATUS: &str = "\
Exit status: the program's; 128 and the signal's number if a signal ended it; 124 if the time was up; 125 if the kernel failed, or this command.
Example: cargo xtask exec --add ./prog:/prog -- /prog some arguments";

#[derive(Args)]
#[command(after_help = STATUS)]
pub struct ExecArgs {
    #[command(flatten)]
    pub machine: Machine,
    /// Put a file or directory of this machine into the initramfs (default: at / under its own name)
    #[arg(long, value_name = "HOST[:GUEST]")]
    pub add: Vec<String>,
    /// Give up after this many seconds
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    pub timeout: Option<f64>,
    /// Write the kernel log to this file rather than to stderr
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// Use this initramfs (cpio, plain or gzip); without PROG its own /init runs
    #[arg(long, value_name = "FILE")]
    pub initramfs: Option<PathBuf>,
    /// The program and its arguments
    #[arg(last = true, value_name = "PROG")]
    pub program: Vec<String>,
}

/// The command.
pub fn exec(args: &ExecArgs) -> Result<u8> {
    let timeout = args.timeout.map(seconds).transpose()?;
    let log: Sink = match &args.log {
        Some(path) => Box::new(File::create(path).with_context(|| format!("cannot create {}", path.display()))?),
        None => Box::new(std::io::stderr()),
    };
    let terminal = std::io::stdin().is_terminal();
    let stdin = match (args.program.is_empty(), terminal) {
        (true, _) => Stdin::Empty, // a foreign /init has the console itself
        (false, true) => Stdin::Terminal,
        (false, false) => {
            let mut bytes = Vec::new();
            std::io::stdin().read_to_end(&mut bytes).context("cannot read standard input")?;
            if bytes.is_empty() { Stdin::Empty } else { Stdin::Bytes(bytes) }
        }
    };
    let guest = Guest::new(&args.machine, args.initramfs.as_deref(), &args.add, &args.program, stdin)?;
    let limit = Limit { total: timeout, silence: None };
    let finished = guest.run(terminal, Box::new(std::io::stdout()), log, limit)?;
    Ok(match finished.outcome {
        Outcome::Exited(status) => status,
        Outcome::TimedOut => {
            eprintln!("error: no end after {} s", args.timeout.unwrap_or_default());
            STATUS_TIMED_OUT
        }
        Outcome::Failed => {
            // The kernel's lines start with the time.
            let spoke = finished.log_tail.iter().any(|line| line.starts_with('['));
            eprintln!("error: {}", if spoke { "the kernel ended without an exit status" } else { NEVER_RAN });
            if args.log.is_some() {
                eprintln!("the end of its log:\n{}", finished.log_tail.join("\n"));
            }
            STATUS_KERNEL_FAILED
        }
    })
}

/// A machine with everything it boots, ready to run.
pub struct Guest {
    machine: Machine,
    payload: Payload,
    marker: Option<String>,
    scratch: TempDir,
}

impl Guest {
    /// Builds kernel and initramfs; `program` is what `init` runs, none for a foreign initramfs that runs its own.
    pub fn new(
        machine: &Machine,
        foreign: Option<&Path>,
        add: &[String],
        program: &[String],
        stdin: Stdin,
    ) -> Result<Self> {
        if foreign.is_none() && program.is_empty() {
            bail!("which program? Try: cargo xtask exec -- /bin/busybox uname -a");
        }
        machine.validate()?;
        machine.need_tools()?;
        let mut tree = match foreign {
            None => Some(Tree::standard()?),
            Some(_) if program.is_empty() && add.is_empty() => None,
            Some(_) if program.is_empty() => Some(Tree::default()),
            Some(_) => Some(Tree::overlay()?),
        };
        if let Some(tree) = &mut tree {
            for spec in add {
                tree.add(spec)?;
            }
            if !program.is_empty() {
                tree.execute(program, stdin)?;
            }
        }
        let init = match (foreign, program.is_empty()) {
            (Some(_), true) => "",
            (Some(_), false) => "init=/bin/multios-init",
            (None, _) => "init=/bin/init",
        };
        Self::from_tree(machine, foreign, tree, init)
    }

    /// A machine that boots `tree`, laid over `foreign` if there is one; `init` is the word of the command line for it.
    pub fn from_tree(machine: &Machine, foreign: Option<&Path>, mut tree: Option<Tree>, init: &str) -> Result<Self> {
        let scratch = paths::scratch()?;
        let marker =
            (machine.boot != Boot::Direct && !init.is_empty()).then(|| "@@multios-console-starts@@".to_owned());
        if let (Some(marker), Some(tree)) = (&marker, &mut tree) {
            tree.mark(marker);
        }
        let initramfs = scratch.path().join("initramfs.cpio");
        let mut file = File::create(&initramfs)?;
        if let Some(foreign) = foreign {
            let mut bytes = fs::read(foreign).with_context(|| format!("cannot read {}", foreign.display()))?;
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            file.write_all(&bytes)?;
        }
        if let Some(tree) = &tree {
            file.write_all(&tree.archive())?;
        }
        let kernel = build::kernel(machine.profile(), scratch.path())?;
        let cmdline = machine.kernel_cmdline(format!("console=ttyS0 log=ttyS1 {init}").trim_end());
        let payload = Payload { kernel, initramfs, cmdline };
        Ok(Self { machine: machine.clone(), payload, marker, scratch })
    }

    /// Boots another kernel with the same initramfs, for comparison.
    pub fn replace_kernel(&mut self, kernel: &Path, cmdline: &str) {
        self.payload.kernel = kernel.to_owned();
        self.payload.cmdline = cmdline.to_owned();
    }

    /// Boots it and waits for its end; whoever sits here types on its console, if it is a `terminal`.
    pub fn run(&self, terminal: bool, console: Sink, log: Sink, limit: Limit) -> Result<Finished> {
        self.talk(if terminal { Keys::Terminal } else { Keys::None }, console, log, limit)
    }

    /// The same with anybody.
    pub fn talk(&self, keys: Keys, console: Sink, log: Sink, limit: Limit) -> Result<Finished> {
        let console: Sink = match &self.marker {
            Some(marker) => Box::new(AfterMarker::new(marker, console)),
            None => console,
        };
        let mut qemu = self.machine.qemu(&self.payload, self.scratch.path())?;
        qemu::headless(&mut qemu, keys, console, log, limit)
    }
}

/// A time in seconds from the command line.
pub fn seconds(value: f64) -> Result<Duration> {
    ensure!(value > 0.0 && value <= 1e9, "--timeout needs a number of seconds above 0");
    Ok(Duration::from_secs_f64(value))
}
