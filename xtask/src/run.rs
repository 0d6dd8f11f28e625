//! `cargo xtask run`: MultiOS in this terminal.

use std::path::PathBuf;

use anyhow::Result;
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
    // Keys go to the guest, Ctrl-C too; QEMU keeps Ctrl-A to itself (Ctrl-A X ends it, Ctrl-A C is its monitor).
    qemu.args(["-chardev", "stdio,id=console,signal=off,mux=on", "-device", "isa-serial,chardev=console,index=0"]);
    qemu.args(["-mon", "chardev=console,mode=readline"]).args(&args.qemu);
    eprintln!("booting; leave with `exit` or `poweroff`, or end QEMU with Ctrl-A X");
    let status = qemu.status()?;
    // The kernel leaves by QEMU's debug exit with bit 6 set, which gives 129 and more, or by ACPI with 0.
    Ok(match status.code() {
        Some(0 | 129..) => 0,
        _ => 1,
    })
}
