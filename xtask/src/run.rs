//! `cargo xtask run`: MultiOS in this terminal.

use std::io::{IsTerminal, Read, Write};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;

use crate::initramfs::Tree;
use crate::machine::{Machine, Payload};
use crate::{build, paths, process, tools};

#[derive(Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub machine: Machine,
    /// Put a file or directory of this machine into the initramfs (default: at / under its own name)
    #[arg(long, value_name = "HOST[:GUEST]")]
    pub add: Vec<String>,
    /// Use this initramfs (cpio, plain or gzip) and its own /init
    #[arg(long, value_name = "FILE", conflicts_with = "add")]
    pub initramfs: Option<PathBuf>,
    /// More options for QEMU
    #[arg(last = true, value_name = "QEMU ARGS")]
    pub qemu: Vec<String>,
}

/// What the kernel says when its console takes input.
const LISTENS: &[u8] = b" is process 1";
/// It says so within this many bytes.
const LOG_LIMIT: usize = 1 << 16;
/// Ctrl-D.
const END_OF_INPUT: u8 = 4;

/// The command.
pub fn run(args: &RunArgs) -> Result<u8> {
    args.machine.validate()?;
    args.machine.need_tools()?;
    let scratch = paths::scratch()?;
    let (initramfs, init) = match &args.initramfs {
        Some(foreign) => (foreign.clone(), ""),
        None => {
            if tools::busybox().is_none() {
                eprintln!("no static busybox here (Debian: busybox-static; or BUSYBOX=FILE): the shell will be msh");
            }
            let mut tree = Tree::standard()?;
            if let Some(size) = process::first_line("sh", &["-c", "stty size < /dev/tty"]) {
                tree.window(&size);
            }
            for spec in &args.add {
                tree.add(spec)?;
            }
            let path = scratch.path().join("initramfs.cpio");
            std::fs::write(&path, tree.archive())?;
            (path, " init=/bin/init")
        }
    };
    let kernel = build::kernel(args.machine.profile(), scratch.path())?;
    let cmdline = args.machine.kernel_cmdline(&format!("console=ttyS0 log=ttyS0{init}"));
    let mut qemu = args.machine.qemu(&Payload { kernel, initramfs, cmdline }, scratch.path())?;
    let status = if std::io::stdin().is_terminal() {
        // Keys go to the guest, Ctrl-C too; QEMU keeps Ctrl-A to itself (Ctrl-A X ends it, Ctrl-A C is its monitor).
        qemu.args(["-chardev", "stdio,id=console,signal=off,mux=on", "-device", "isa-serial,chardev=console,index=0"]);
        qemu.args(["-mon", "chardev=console,mode=readline"]).args(&args.qemu);
        eprintln!("booting; leave with `exit` or `poweroff`, or end QEMU with Ctrl-A X");
        qemu.status()
    } else {
        qemu.args(["-monitor", "none", "-chardev", "stdio,id=console,signal=off"]);
        qemu.args(["-device", "isa-serial,chardev=console,index=0"]).args(&args.qemu);
        typed(&mut qemu, std::io::stdin())
    };
    let status = status.context("cannot run QEMU")?;
    // The kernel leaves by QEMU's debug exit with bit 6 set, which gives 129 and more, or by ACPI with 0.
    Ok(match status.code() {
        Some(0 | 129..) => 0,
        _ => 1,
    })
}

/// Runs `qemu` with `input` typed on its console, once somebody listens there, and Ctrl-D at its end.
fn typed(qemu: &mut Command, mut input: impl Read + Send + 'static) -> std::io::Result<ExitStatus> {
    let mut child = qemu.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let (Some(mut keys), Some(mut screen)) = (child.stdin.take(), child.stdout.take()) else { return child.wait() };
    let (boots, booted) = mpsc::channel();
    // Not waited for: it may sit in a read of our input when the guest has gone.
    thread::spawn(move || {
        // A kernel that is told to say nothing has long been there by then.
        let _ = booted.recv_timeout(Duration::from_secs(30));
        let _ = std::io::copy(&mut input, &mut keys).and_then(|_| keys.flush());
        // A line that ends stays ended, so each reader hears it: programs first, at last the shell.
        while keys.write_all(&[END_OF_INPUT]).and_then(|()| keys.flush()).is_ok() {
            thread::sleep(Duration::from_secs(1));
        }
    });
    let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(count @ 1..) = screen.read(&mut buffer) {
        let mut stdout = std::io::stdout().lock();
        let _ = stdout.write_all(&buffer[..count]).and_then(|()| stdout.flush());
        if seen.len() < LOG_LIMIT {
            seen.extend_from_slice(&buffer[..count]);
            if seen.windows(LISTENS.len()).any(|text| text == LISTENS) {
                let _ = boots.send(());
                seen = vec![0; LOG_LIMIT];
            }
        }
    }
    child.wait()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_comes_when_somebody_listens_and_ends_with_control_d() {
        // As the real one does, this one loses what comes before it listens.
        let script = "sleep 0.2; while read -t 0 x; do read x; exit 1; done; echo '/init is process 1'; read line; \
                      end=$(head -c 1 | od -An -tx1); [ \"$line$end\" = 'key 04' ] && exit 7";
        let mut guest = Command::new("bash");
        let status = typed(guest.arg("-c").arg(script), &b"key\n"[..]).unwrap();
        assert_eq!(status.code(), Some(7));
    }
}
