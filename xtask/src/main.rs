//! `cargo xtask`: sets up, builds, boots, tests and measures MultiOS.
//!
//! Every command that a person, a script or CI runs lives here, so that there is one place to look and one way to do it.
//! The exit status of `exec` is the program's; every other command ends with 0 or 1.
#![forbid(unsafe_code)]

mod bench;
mod boot;
mod build;
mod check;
mod cpio;
mod differential;
mod exec;
mod initramfs;
mod iso;
mod ledger;
mod machine;
mod paths;
mod process;
mod qemu;
mod rules;
mod run;
mod suite;
mod system;
mod tools;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

const ENVIRONMENT: &str = "\
Environment:
  BUSYBOX=FILE    A static busybox in place of the system's; BUSYBOX= for none, then the shell is msh
  LIMINE_DIR=DIR  A binary release of the boot loader Limine in place of the system's or a download";

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "Builds, boots, tests and measures MultiOS",
    disable_version_flag = true,
    after_help = ENVIRONMENT
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Boot to a shell in this terminal (leave with `exit`, `poweroff` or Ctrl-A X)
    Run(run::RunArgs),
    /// Run one program on MultiOS: its output on stdout, its exit status as ours, the kernel log on stderr
    Exec(exec::ExecArgs),
    /// Make a bootable hybrid image (BIOS and UEFI, CD and USB)
    Iso(iso::IsoArgs),
    /// Run the tests: everything, or one suite
    Test(suite::TestArgs),
    /// Count instructions per operation on MultiOS, beside Linux
    Bench(bench::BenchArgs),
    /// Formatting, lints, layers, unsafe rule, documentation and its links
    Check,
    /// Install what is missing on this machine
    Setup,
    /// List each tool with its version and the package it comes from
    Doctor,
}

fn main() -> ExitCode {
    // `exec` promises 125 when the fault is not the program's; for the others any nonzero status will do.
    let exec = std::env::args_os().nth(1).is_some_and(|command| command == "exec");
    let failed = ExitCode::from(if exec { exec::STATUS_KERNEL_FAILED } else { 1 });
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { failed } else { ExitCode::SUCCESS };
        }
    };
    match dispatch(command) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("error: {error:#}");
            failed
        }
    }
}

fn dispatch(command: Command) -> Result<u8> {
    match command {
        Command::Run(args) => run::run(&args),
        Command::Exec(args) => exec::exec(&args),
        Command::Iso(args) => iso::iso(&args).map(|()| 0),
        Command::Test(args) => suite::test(&args),
        Command::Bench(args) => bench::bench(&args),
        Command::Check => check::check(),
        Command::Setup => tools::setup().map(|()| 0),
        Command::Doctor => tools::doctor(),
    }
}
