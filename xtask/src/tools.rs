//! The tools that MultiOS is built and run with: which are there, which package brings the others, how to install them.
//!
//! Each command calls [`need`] with the groups it uses; that is a few `stat` calls when everything is in place.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::{paths, process};

/// What a set of tools is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Booting in QEMU.
    Run,
    /// UEFI firmware for QEMU.
    Uefi,
    /// Writing images.
    Iso,
    /// Writing images with GRUB, where Limine cannot be had.
    Grub,
    /// Fetching what no package has.
    Fetch,
    /// Compiling the C test programs, comparing with Linux.
    Test,
}

struct Tool {
    name: &'static str,
    need: Need,
    package: &'static str,
    find: fn() -> Option<PathBuf>,
    version: &'static [&'static str],
}

const TOOLS: &[Tool] = &[
    Tool {
        name: "qemu-system-x86_64",
        need: Need::Run,
        package: "qemu-system-x86",
        find: || in_path("qemu-system-x86_64"),
        version: &["--version"],
    },
    Tool { name: "busybox (static)", need: Need::Run, package: "busybox-static", find: busybox_wanted, version: &[] },
    // Without it nothing was linked and this program would not run; what is built for the guest needs the archive as well.
    Tool { name: "static libc", need: Need::Run, package: "libc6-dev", find: static_libc, version: &[] },
    Tool { name: "OVMF", need: Need::Uefi, package: "ovmf", find: ovmf, version: &[] },
    Tool { name: "xorriso", need: Need::Iso, package: "xorriso", find: || in_path("xorriso"), version: &["--version"] },
    Tool {
        name: "grub-mkrescue",
        need: Need::Grub,
        package: "grub-common",
        find: || in_path("grub-mkrescue"),
        version: &["--version"],
    },
    Tool { name: "mformat", need: Need::Grub, package: "mtools", find: || in_path("mformat"), version: &["--version"] },
    Tool {
        name: "GRUB for BIOS",
        need: Need::Grub,
        package: "grub-pc-bin",
        find: || file("/usr/lib/grub/i386-pc/modinfo.sh"),
        version: &[],
    },
    Tool {
        name: "GRUB for UEFI",
        need: Need::Grub,
        package: "grub-efi-amd64-bin",
        find: || file("/usr/lib/grub/x86_64-efi/modinfo.sh"),
        version: &[],
    },
    Tool { name: "curl", need: Need::Fetch, package: "curl", find: || in_path("curl"), version: &["--version"] },
    Tool {
        name: "certificates",
        need: Need::Fetch,
        package: "ca-certificates",
        find: || {
            file("/etc/ssl/certs/ca-certificates.crt").or_else(|| std::env::var_os("SSL_CERT_FILE").map(Into::into))
        },
        version: &[],
    },
    Tool { name: "gcc", need: Need::Test, package: "gcc", find: || in_path("gcc"), version: &["--version"] },
    Tool {
        name: "unshare",
        need: Need::Test,
        package: "util-linux",
        find: || in_path("unshare"),
        version: &["--version"],
    },
];

/// Makes sure that the tools of `needs` are there, installing them if need be.
pub fn need(needs: &[Need]) -> Result<()> {
    if needs.contains(&Need::Run) {
        check_busybox()?;
    }
    let missing: Vec<_> = TOOLS
        .iter()
        .filter(|tool| needs.contains(&tool.need) && (tool.find)().is_none())
        .map(|tool| tool.package)
        .collect();
    if missing.is_empty() { Ok(()) } else { install(&missing) }
}

/// `cargo xtask setup`: everything that any command needs.
pub fn setup() -> Result<()> {
    need(&[Need::Run, Need::Uefi, Need::Iso, Need::Grub, Need::Fetch, Need::Test])?;
    let toolchain = KernelToolchain::find_or_install()?;
    eprintln!("everything is in place (kernel: {})", toolchain.describe());
    Ok(())
}

/// `cargo xtask doctor`: what is there and what is not; nonzero when something is missing.
pub fn doctor() -> Result<u8> {
    let mut missing = 0;
    let mut row = |name: &str, version: Option<String>, package: &str| {
        missing += u8::from(version.is_none());
        println!("{name:<20} {:<64.64} {package}", version.unwrap_or_else(|| "MISSING".into()));
    };
    for (name, args) in [("cargo", &["--version"][..]), ("rustc", &["--version"])] {
        row(name, process::answer(name, args), "rustup");
    }
    for (name, subcommand) in [("rustfmt", "fmt"), ("clippy", "clippy")] {
        row(name, process::answer("cargo", &[subcommand, "--version"]), &format!("rustup component add {name}"));
    }
    row(
        "kernel target",
        KernelToolchain::find().map(|toolchain| toolchain.describe().to_owned()),
        "rustup, or rustc-web rust-web-src lld",
    );
    for tool in TOOLS {
        let version = (tool.find)().map(|path| match tool.version {
            [] => path.display().to_string(),
            args => process::first_line(&path.to_string_lossy(), args).unwrap_or_else(|| path.display().to_string()),
        });
        row(tool.name, version, tool.package);
    }
    match crate::iso::installed_limine() {
        Some(dir) => row("limine", Some(dir.display().to_string()), "LIMINE_DIR or limine"),
        None => {
            let text = "not here: `iso` tries a download, then uses GRUB";
            println!("{:<20} {text:<64} LIMINE_DIR or limine", "limine");
        }
    }
    if missing > 0 {
        println!("\n{missing} missing: `cargo xtask setup` installs what Debian or rustup has");
    }
    Ok(u8::from(missing > 0))
}

/// A static busybox: `$BUSYBOX` or Debian's `busybox-static`; none if `BUSYBOX` is empty.
pub fn busybox() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("BUSYBOX") {
        return Some(PathBuf::from(path)).filter(|path| !path.as_os_str().is_empty());
    }
    ["/bin/busybox", "/usr/bin/busybox"].iter().map(PathBuf::from).find(|path| is_static(path))
}

/// Refuses a `BUSYBOX` that cannot be what it is meant to be.
fn check_busybox() -> Result<()> {
    let Some(path) = std::env::var_os("BUSYBOX").map(PathBuf::from).filter(|path| !path.as_os_str().is_empty()) else {
        return Ok(());
    };
    let text = path.display();
    ensure!(path.is_file(), "BUSYBOX={text}: there is no such file; unset it for Debian's, or BUSYBOX= for none");
    ensure!(is_static(&path), "BUSYBOX={text}: not a static x86-64 program, and MultiOS cannot link dynamically yet");
    Ok(())
}

/// Busybox, or the wish to go without.
fn busybox_wanted() -> Option<PathBuf> {
    busybox().or_else(|| std::env::var_os("BUSYBOX").map(|_| PathBuf::from("none, as BUSYBOX= says")))
}

/// The UEFI firmware image for `-bios`.
pub fn ovmf() -> Option<PathBuf> {
    ["/usr/share/ovmf/OVMF.fd", "/usr/share/OVMF/OVMF.fd", "/usr/share/edk2/ovmf/OVMF.fd"]
        .iter()
        .find_map(|path| file(path))
}

/// Looks `program` up in `PATH` and where system tools live.
pub fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(system).map(|dir| dir.join(program)).find(|file| file.is_file())
}

fn file(path: &str) -> Option<PathBuf> {
    Some(PathBuf::from(path)).filter(|path| path.is_file())
}

fn static_libc() -> Option<PathBuf> {
    file("/usr/lib/x86_64-linux-gnu/libc.a").or_else(|| file("/usr/lib64/libc.a")).or_else(|| file("/usr/lib/libc.a"))
}

/// Whether an ELF file asks for no dynamic linker (has no PT_INTERP program header).
fn is_static(path: &Path) -> bool {
    let Ok(bytes) = std::fs::read(path) else { return false };
    let word = |at: usize| bytes.get(at..at + 2).map(|b| usize::from(u16::from_le_bytes([b[0], b[1]])));
    let (Some(size), Some(count)) = (word(54), word(56)) else { return false };
    let Some(start) = bytes.get(32..40).and_then(|b| b.try_into().ok()).map(u64::from_le_bytes) else { return false };
    bytes.starts_with(b"\x7fELF\x02")
        && bytes.get(18) == Some(&62)
        && (0..count).all(|i| bytes.get(start as usize + i * size) != Some(&3))
}

/// Installs Debian's `packages`, by sudo for whoever is not root; where that cannot be, the error says what to type.
fn install(packages: &[&str]) -> Result<()> {
    let list = packages.join(" ");
    let by_hand = format!("apt-get update && apt-get install -y --no-install-recommends {list}");
    if in_path("apt-get").is_none() {
        bail!("missing: {list} (Debian's names). Install them with this system's package manager");
    }
    let sudo = if is_root() {
        None
    } else {
        Some(in_path("sudo").with_context(|| format!("missing: {list}. As root run:\n  {by_hand}"))?)
    };
    eprintln!("installing {list}");
    if let Some(sudo) = &sudo {
        // Asks for the password on the terminal; what follows runs with its output kept back.
        let allowed = Command::new(sudo).arg("-v").status().is_ok_and(|status| status.success());
        ensure!(allowed, "missing: {list}, and sudo does not let you install them. As root run:\n  {by_hand}");
    }
    let apt = |args: &[&str]| {
        let mut command = match &sudo {
            Some(sudo) => {
                let mut command = Command::new(sudo);
                command.args(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
                command
            }
            None => Command::new("apt-get"),
        };
        command.env("DEBIAN_FRONTEND", "noninteractive").args(["-q", "-y", "-o", "DPkg::Lock::Timeout=300"]).args(args);
        command
    };
    let wanted: Vec<_> = ["install", "--no-install-recommends"].into_iter().chain(packages.iter().copied()).collect();
    if let Err(error) = process::step("apt-get update", &mut apt(&["update"])) {
        eprintln!("warning: {error:#}"); // stale lists may still do
    }
    match process::step(&format!("apt-get install {list}"), &mut apt(&wanted)) {
        Ok(_) => Ok(()),
        Err(error) => bail!("{error:#}\nStill missing: {list}. With the network in reach run as root:\n  {by_hand}"),
    }
}

fn is_root() -> bool {
    process::first_line("id", &["-u"]).as_deref() == Some("0")
}

/// What compiles the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KernelToolchain {
    /// rustup's compiler with the bare-metal target.
    Rustup,
    /// Debian's compiler with `core` and `alloc` built from Debian's sources; `linker` is an LLD.
    Debian { linker: PathBuf },
}

/// The bare-metal target of the kernel.
pub const KERNEL_TARGET: &str = "x86_64-unknown-none";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
/// The oldest compiler that builds MultiOS.
const RUST_VERSION: &str = env!("CARGO_PKG_RUST_VERSION");
/// Set to anything, this chooses Debian's compiler even where rustup has the target; for trying that way out.
const FORCE_DEBIAN: &str = "MULTIOS_DEBIAN_RUSTC";

impl KernelToolchain {
    /// The toolchain to use, installing what it lacks.
    pub fn find_or_install() -> Result<Self> {
        if let Some(found) = Self::find() {
            return Ok(found);
        }
        let forced = std::env::var_os(FORCE_DEBIAN).is_some();
        if in_path("rustup").is_some() && !forced {
            let mut add = Command::new("rustup");
            add.current_dir(paths::root()).args(["target", "add", KERNEL_TARGET]);
            match process::step("rustup target add", &mut add) {
                Ok(_) => {
                    return Self::find()
                        .with_context(|| format!("rustup says it added {KERNEL_TARGET}, but it is not there"));
                }
                Err(_) => {
                    eprintln!("rustup cannot add {KERNEL_TARGET}: the kernel is built by Debian's compiler and sources")
                }
            }
        } else if !forced {
            eprintln!("no rustup here: the kernel is built by Debian's compiler and sources");
        }
        let mut packages = vec!["rustc-web", "rust-web-src"];
        if Self::linker().is_none() {
            packages.push("lld");
        }
        let nothing_left =
            || format!("no compiler for {KERNEL_TARGET}. With the network in reach: rustup target add {KERNEL_TARGET}");
        install(&packages).with_context(nothing_left)?;
        let version = process::answer(DEBIAN_RUSTC, &["--version"]).unwrap_or_default();
        ensure!(
            at_least(&version, RUST_VERSION),
            "{DEBIAN_RUSTC} is {version:?}, and MultiOS needs {RUST_VERSION}: bookworm-security has it in rustc-web and rust-web-src"
        );
        Self::find().with_context(nothing_left)
    }

    /// The toolchain to use, if it is complete.
    pub fn find() -> Option<Self> {
        let target = Self::sysroot()?.join("lib/rustlib").join(KERNEL_TARGET);
        if std::env::var_os(FORCE_DEBIAN).is_none() && target.is_dir() {
            return Some(Self::Rustup);
        }
        let own = PathBuf::from(process::answer(DEBIAN_RUSTC, &["--print", "sysroot"])?);
        let sources = own.join("lib/rustlib/src/rust/library/core/Cargo.toml").is_file();
        let recent = at_least(&process::answer(DEBIAN_RUSTC, &["--version"])?, RUST_VERSION);
        Self::linker().filter(|_| sources && recent).map(|linker| Self::Debian { linker })
    }

    fn sysroot() -> Option<PathBuf> {
        process::answer("rustc", &["--print", "sysroot"]).map(PathBuf::from)
    }

    /// An LLD: the one that came with the compiler, or the system's.
    fn linker() -> Option<PathBuf> {
        let bundled = Self::sysroot().map(|sysroot| sysroot.join("lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld"));
        bundled.filter(|path| path.is_file()).or_else(|| in_path("ld.lld"))
    }

    /// One phrase for people.
    pub fn describe(&self) -> &'static str {
        match self {
            Self::Rustup => "rustup's x86_64-unknown-none",
            Self::Debian { .. } => "Debian's rustc with build-std",
        }
    }

    /// Adds to a `cargo` command what this toolchain needs.
    pub fn apply(&self, cargo: &mut Command) {
        if let Self::Debian { linker } = self {
            cargo.env("RUSTC", DEBIAN_RUSTC).env("RUSTC_BOOTSTRAP", "1");
            cargo.env("CARGO_TARGET_X86_64_UNKNOWN_NONE_LINKER", linker).arg("-Zbuild-std=core,alloc");
        }
    }
}

/// Whether what `rustc --version` says is `wanted` or newer.
fn at_least(version: &str, wanted: &str) -> bool {
    let numbers = |text: &str| -> Vec<u32> {
        text.split('.').map_while(|part| part.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()).collect()
    };
    let found = version.split_whitespace().nth(1).map(numbers).unwrap_or_default();
    !found.is_empty() && found >= numbers(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compilers_are_compared_by_number() {
        assert!(at_least("rustc 1.95.0 (59807616e 2026-04-14)", "1.95"));
        assert!(at_least("rustc 1.100.0-nightly (x 2027-01-01)", "1.95"));
        assert!(at_least("rustc 2.0.0", "1.95.1"));
        assert!(!at_least("rustc 1.85.0 (4d91de4e4 2025-02-17) (built from a source tarball)", "1.95"));
        assert!(!at_least("", "1.95") && !at_least("rustc", "1.95"));
    }

    #[test]
    fn only_a_static_program_of_this_machine_passes_for_busybox() {
        let dir = tempfile::tempdir().unwrap();
        let mut elf = vec![0; 64 + 56];
        elf[..5].copy_from_slice(b"\x7fELF\x02");
        (elf[18], elf[32], elf[54], elf[56]) = (62, 64, 56, 1);
        let judged = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            is_static(&path)
        };
        elf[64] = 1; // PT_LOAD
        assert!(judged("static", &elf));
        assert!(!judged("other machine", &[&elf[..18], &[183][..], &elf[19..]].concat()));
        elf[64] = 3; // PT_INTERP
        assert!(!judged("dynamic", &elf) && !judged("script", b"#!/bin/sh\n") && !judged("empty", b""));
        assert!(!is_static(&dir.path().join("nowhere")));
    }
}
