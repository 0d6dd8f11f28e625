//! Process 1: mounts, loads the services, the shell among them, or starts the program that `cargo xtask exec` asks for; reaps,
//! powers off.
//!
//! Built for Linux's own system calls, it works as init of a Linux kernel with the same initramfs.
//!
//! `init --session PROG ARG…` is its helper: it makes itself leader of a session that has the console as terminal, then
//! becomes PROG. That way nothing has to run between fork and exec.
#![forbid(unsafe_code)]

mod console;
mod power;
mod program;
mod reaper;
mod shell;
mod supervisor;

use std::process::ExitCode;

use rustix::fs::Mode;
use rustix::mount::{MountFlags, mount};

use crate::power::Power;
use crate::program::Program;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|arg| arg == "--session") {
        return console::become_session(args.collect());
    }
    if rustix::process::getpid().as_raw_nonzero().get() != 1 {
        eprintln!("init: not process 1, nothing to do");
        return ExitCode::FAILURE;
    }
    mount_the_usual();
    if let Ok(name) = std::fs::read("/etc/hostname") {
        let _ = rustix::system::sethostname(name.trim_ascii());
    }
    console::open_standard_streams();
    let program = Program::find();
    let start = if program.is_shell() { supervisor::Start::DefaultTarget } else { supervisor::Start::Nothing };
    let definitions = supervisor::Definitions::read(start);
    program.announce();
    // A shell that is a service may be there as soon as they are loaded.
    reaper::block_signals();
    if let Some(definitions) = definitions {
        definitions.load();
    }
    let shell = if program.is_shell() { shell::Shell::find() } else { None };
    let end = match shell {
        Some(shell) => Ok(reaper::reap_until_end(shell)),
        None => reaper::start_and_reap(&program),
    };
    let (power, status) = match end {
        Ok(end) => end,
        Err(error) => {
            eprintln!("init: cannot start {}: {error}", program.name());
            (Power::Off, program::status_of(error.raw_os_error()).into())
        }
    };
    power::leave(power, status, program.is_shell())
}

/// Mounts what is not there yet; the kernel or an earlier stage may have done it, so a failure is no error.
fn mount_the_usual() {
    let usual = [
        ("proc", "/proc", "proc", MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::NODEV, None),
        ("devtmpfs", "/dev", "devtmpfs", MountFlags::NOSUID, None),
        ("devpts", "/dev/pts", "devpts", MountFlags::NOSUID | MountFlags::NOEXEC, Some(c"gid=5,mode=620")),
        ("tmpfs", "/tmp", "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, Some(c"mode=1777")),
        ("sysfs", "/sys", "sysfs", MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::NODEV, None),
    ];
    for (source, target, kind, flags, data) in usual {
        let _ = rustix::fs::mkdir(target, Mode::from_raw_mode(0o755));
        let _ = mount(source, target, kind, flags, data);
    }
}
