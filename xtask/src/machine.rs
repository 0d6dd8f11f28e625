//! The virtual machine that a command asks for, and the QEMU command line that makes it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};

use crate::build::Profile;
use crate::iso::{self, Loader};
use crate::tools::{self, Need};

/// How the kernel gets into memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Boot {
    /// By QEMU itself (PVH), without firmware or boot loader
    Direct,
    /// From an image with Limine
    Limine,
    /// From an image with GRUB (multiboot2)
    Grub,
}

/// QEMU's machine type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Board {
    /// A PC with PCI Express
    Q35,
    /// An older PC
    Pc,
    /// The minimal machine of micro-VMs
    Microvm,
}

/// MACHINE: the options that `run`, `exec` and `test` share.
#[derive(Args, Clone, Debug)]
pub struct Machine {
    /// Number of CPUs
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=255))]
    pub smp: u32,
    /// Memory, such as 64M or 8G
    #[arg(long, value_name = "SIZE", default_value = "512M", value_parser = parse_size)]
    pub mem: u64,
    /// Number of NUMA nodes
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub numa: u32,
    /// How the kernel is loaded
    #[arg(long, value_enum, default_value = "direct")]
    pub boot: Boot,
    /// QEMU's machine type
    #[arg(long, value_enum, default_value = "q35")]
    pub machine: Board,
    /// QEMU's CPU model
    #[arg(long, value_name = "MODEL", default_value = "max")]
    pub cpu: String,
    /// Boot the image by UEFI, not BIOS
    #[arg(long)]
    pub uefi: bool,
    /// Boot the image as a USB stick, not as a CD
    #[arg(long)]
    pub usb: bool,
    /// Open a window with the screen
    #[arg(long)]
    pub display: bool,
    /// Count instructions in place of time: every run is the same
    #[arg(long)]
    pub icount: bool,
    /// Use KVM
    #[arg(long, conflicts_with = "icount")]
    pub kvm: bool,
    /// Optimised kernel (the default)
    #[arg(long, conflicts_with = "debug")]
    pub release: bool,
    /// Kernel with debug assertions
    #[arg(long)]
    pub debug: bool,
    /// Kernel with debug assertions that logs every operation on processes
    #[arg(long, conflicts_with = "release")]
    pub trace: bool,
    /// More for the kernel's command line
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub cmdline: String,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            smp: 2,
            mem: 512 << 20,
            numa: 1,
            boot: Boot::Direct,
            machine: Board::Q35,
            cpu: "max".into(),
            uefi: false,
            usb: false,
            display: false,
            icount: false,
            kvm: false,
            release: false,
            debug: false,
            trace: false,
            cmdline: String::new(),
        }
    }
}

/// What is booted.
pub struct Payload {
    /// The kernel's ELF file.
    pub kernel: PathBuf,
    /// The initial file system.
    pub initramfs: PathBuf,
    /// The whole kernel command line.
    pub cmdline: String,
}

impl Machine {
    /// The profile that the kernel is built with.
    pub fn profile(&self) -> Profile {
        match (self.trace, self.debug) {
            (true, _) => Profile::Traced,
            (false, true) => Profile::Debug,
            (false, false) => Profile::Release,
        }
    }

    /// Refuses combinations that cannot work, before anything is built.
    pub fn validate(&self) -> Result<()> {
        if self.boot == Boot::Direct {
            ensure!(!self.uefi, "--uefi needs an image: add --boot limine or --boot grub");
            ensure!(!self.usb, "--usb needs an image: add --boot limine or --boot grub");
        } else {
            ensure!(self.machine != Board::Microvm, "microvm has no disk to boot from: use --boot direct");
        }
        ensure!(self.numa >= 1 && self.numa <= self.smp, "--numa must be between 1 and the number of CPUs");
        ensure!(self.numa == 1 || self.machine != Board::Microvm, "microvm has no NUMA nodes");
        ensure!(self.mem.is_multiple_of(u64::from(self.numa) << 20), "--mem must be whole MiB for each NUMA node");
        Ok(())
    }

    /// Installs what QEMU needs for this machine.
    pub fn need_tools(&self) -> Result<()> {
        let mut needs = vec![Need::Run];
        if self.uefi {
            needs.push(Need::Uefi);
        }
        if self.boot != Boot::Direct {
            needs.push(Need::Iso);
        }
        tools::need(&needs)
    }

    /// The kernel's command line: `own` for the mode, then what this machine needs, then what the user wants.
    pub fn kernel_cmdline(&self, own: &str) -> String {
        let mut words = vec![own];
        if self.icount {
            words.push("nokaslr norandmaps");
        }
        words.push(self.cmdline.trim());
        words.retain(|word| !word.is_empty());
        words.join(" ")
    }

    /// QEMU with this machine and `payload`, without consoles; `scratch` holds the image if one is needed.
    pub fn qemu(&self, payload: &Payload, scratch: &Path) -> Result<Command> {
        let mut qemu = dies_with_us("qemu-system-x86_64");
        qemu.args(["-nodefaults", "-no-user-config", "-no-reboot"]);
        self.board(&mut qemu);
        self.processors(&mut qemu);
        self.memory(&mut qemu)?;
        qemu.args(["-device", "isa-debug-exit,iobase=0xf4,iosize=0x4"]);
        if self.display {
            qemu.args(["-vga", "std"]);
        } else {
            // Loaders ask for a frame buffer, so images get a card even if nobody looks.
            qemu.args(["-display", "none", "-vga", if self.boot == Boot::Direct { "none" } else { "std" }]);
        }
        match self.boot {
            Boot::Direct => {
                qemu.arg("-kernel").arg(&payload.kernel).arg("-initrd").arg(&payload.initramfs);
                qemu.arg("-append").arg(&payload.cmdline);
            }
            Boot::Limine => self.image(&mut qemu, payload, scratch, Loader::Limine)?,
            Boot::Grub => self.image(&mut qemu, payload, scratch, Loader::Grub)?,
        }
        Ok(qemu)
    }

    fn board(&self, qemu: &mut Command) {
        qemu.args(match self.machine {
            Board::Q35 => ["-machine", "q35"],
            Board::Pc => ["-machine", "pc"],
            // Serial ports are given one by one, as on the other boards.
            Board::Microvm => ["-machine", "microvm,isa-serial=off,rtc=on,x-option-roms=off"],
        });
    }

    fn processors(&self, qemu: &mut Command) {
        qemu.args(["-smp", &self.smp.to_string()]);
        if self.kvm {
            qemu.args(["-accel", "kvm", "-cpu", if self.cpu == "max" { "host" } else { &self.cpu }]);
        } else if self.icount {
            // Without ERMS, since TCG counts an instruction per byte of `rep movsb`; without anything random.
            qemu.args(["-accel", "tcg", "-cpu", &format!("{},-erms,-rdrand,-rdseed", self.cpu)]);
            qemu.args(["-icount", "shift=0,sleep=off", "-seed", "1", "-rtc", "base=2026-01-01T00:00:00,clock=vm"]);
        } else {
            qemu.args(["-accel", "tcg", "-cpu", &self.cpu]);
        }
    }

    fn memory(&self, qemu: &mut Command) -> Result<()> {
        qemu.args(["-m", &format!("{}M", self.mem >> 20)]);
        if self.numa > 1 {
            let share = (self.mem / u64::from(self.numa)) >> 20;
            for node in 0..self.numa {
                qemu.args(["-object", &format!("memory-backend-ram,id=mem{node},size={share}M")]);
                let (first, last) = (node * self.smp / self.numa, (node + 1) * self.smp / self.numa - 1);
                qemu.args(["-numa", &format!("node,nodeid={node},memdev=mem{node},cpus={first}-{last}")]);
            }
        }
        Ok(())
    }

    fn image(&self, qemu: &mut Command, payload: &Payload, scratch: &Path, loader: Loader) -> Result<()> {
        let image = scratch.join("boot.iso");
        iso::build(payload, Some(loader), &image, scratch)?;
        if self.uefi {
            qemu.arg("-bios").arg(tools::ovmf().context("no UEFI firmware: apt-get install ovmf")?);
        }
        let mut drive = OsString::from("if=none,id=boot,format=raw,readonly=on,file=");
        drive.push(image.to_string_lossy().replace(',', ",,"));
        qemu.arg("-drive").arg(drive);
        if self.usb {
            // Not xHCI: reading by it, UEFI firmware takes minutes under TCG.
            qemu.args(["-device", "usb-ehci", "-device", "usb-storage,drive=boot,bootindex=0"]);
        } else {
            qemu.args(["-device", "ide-cd,drive=boot,bootindex=0"]);
        }
        Ok(())
    }
}

/// `program`, ended by the system when we die, however that happens.
pub fn dies_with_us(program: &str) -> Command {
    match tools::in_path("setpriv") {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", program]);
            command
        }
        None => Command::new(program),
    }
}

/// Reads `64M`, `8G` or a number of MiB; gives bytes.
pub fn parse_size(text: &str) -> Result<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" | "M" | "MB" | "MIB" => 20,
        "K" | "KB" | "KIB" => 10,
        "G" | "GB" | "GIB" => 30,
        "T" | "TB" | "TIB" => 40,
        _ => bail!("unknown unit in {text}; try 512M or 2G"),
    };
    let number: u64 = digits.parse().with_context(|| format!("{text} is not a size; try 512M or 2G"))?;
    let bytes = number.checked_mul(1 << unit).with_context(|| format!("{text} is too large"))?;
    ensure!(bytes >= 1 << 20, "{text} is less than 1 MiB");
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_qemu_reads_them() {
        assert_eq!(parse_size("64M").unwrap(), 64 << 20);
        assert_eq!(parse_size("8g").unwrap(), 8 << 30);
        assert_eq!(parse_size("512").unwrap(), 512 << 20);
        for bad in ["", "M", "12X", "-1M", "1K", "99999999999G"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn impossible_machines_are_refused() {
        let refused = |change: fn(&mut Machine)| {
            let mut machine = Machine::default();
            change(&mut machine);
            machine.validate().is_err()
        };
        assert!(refused(|m| m.uefi = true));
        assert!(refused(|m| m.usb = true));
        assert!(refused(|m| m.numa = 3));
        assert!(refused(|m| (m.machine, m.boot) = (Board::Microvm, Boot::Grub)));
        assert!(Machine::default().validate().is_ok());
    }

    #[test]
    fn the_kernels_command_line_ends_with_the_users_words() {
        let machine = Machine { cmdline: " loglevel=7 ".into(), icount: true, ..Machine::default() };
        assert_eq!(machine.kernel_cmdline("a=b"), "a=b nokaslr norandmaps loglevel=7");
    }
}
