//! The tools that MultiOS is built and run with: which are there, which package brings the others, how to install them.
//!
//! Each command calls [`need`] with the groups it uses; that is a few `stat` calls when everything is in place.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;

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
    Tool { name: "gcc", need: Need::Test, package: "gcc", find: || in_path("gcc"), version: &["--version"] },
    Tool { name: "static libc", need: Need::Test, package: "libc6-dev", find: static_libc, version: &[] },
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
    let missing: Vec<_> = TOOLS
        .iter()
        .filter(|tool| needs.contains(&tool.need) && (tool.find)().is_none())
        .map(|tool| tool.package)
        .collect();
    if missing.is_empty() { Ok(()) } else { install(&missing) }
}

/// `cargo xtask setup`: everything that any command needs.
pub fn setup() -> Result<()> {
    need(&[Need::Run, Need::Uefi, Need::Iso, Need::Grub, Need::Test])?;
    let toolchain = KernelToolchain::find_or_install()?;
    eprintln!("everything is in place (kernel: {})", toolchain.describe());
    Ok(())
}

/// `cargo xtask doctor`: what is there and what is not; nonzero when something is missing.
pub fn doctor() -> Result<u8> {
    let mut missing = 0;
    let mut row = |name: &str, version: Option<String>, package: &str| {
        missing += u8::from(version.is_none());
        println!("{name:<20} {:<64} {package}", version.unwrap_or_else(|| "MISSING".into()));
    };
    row("cargo", process::first_line("cargo", &["--version"]), "rustup");
    row("rustc", process::first_line("rustc", &["--version"]), "rustup");
    row(
        "kernel target",
        KernelToolchain::find().map(|toolchain| toolchain.describe().to_owned()),
        "rustup or rustc-web",
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
            println!("{:<20} not here: `iso` tries a download, then uses GRUB          LIMINE_DIR or limine", "limine")
        }
    }
    if missing > 0 {
        println!("\n{missing} missing: `cargo xtask setup` installs them");
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
    bytes.starts_with(b"\x7fELF") && (0..count).all(|i| bytes.get(start as usize + i * size) != Some(&3))
}

fn install(packages: &[&str]) -> Result<()> {
    let list = packages.join(" ");
    if in_path("apt-get").is_none() {
        bail!("missing: {list} (Debian's names). Install them with this system's package manager");
    }
    let sudo = if is_root() {
        None
    } else {
        Some(in_path("sudo").with_context(|| {
            format!("missing: {list}. As root run: apt-get install -y --no-install-recommends {list}")
        })?)
    };
    eprintln!("installing {list}");
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
    process::step("apt-get update", &mut apt(&["update"])).or_else(|error| {
        eprintln!("warning: {error:#}"); // stale lists may still do
        Ok::<_, anyhow::Error>(std::process::Output { status: Default::default(), stdout: vec![], stderr: vec![] })
    })?;
    process::step(&format!("apt-get install {list}"), &mut apt(&wanted))
        .with_context(|| format!("install by hand: apt-get install -y --no-install-recommends {list}"))?;
    Ok(())
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

impl KernelToolchain {
    /// The toolchain to use, installing what it lacks.
    pub fn find_or_install() -> Result<Self> {
        if let Some(found) = Self::find() {
            return Ok(found);
        }
        let add = ["target", "add", KERNEL_TARGET];
        if process::step("rustup target add", Command::new("rustup").args(add)).is_err() {
            eprintln!("rustup cannot add {KERNEL_TARGET}; using Debian's compiler and sources");
            install(&["rustc-web", "rust-web-src", "lld"])?;
        }
        Self::find().with_context(|| format!("no compiler for {KERNEL_TARGET}; try: rustup target add {KERNEL_TARGET}"))
    }

    /// The toolchain to use, if it is complete.
    pub fn find() -> Option<Self> {
        let sysroot = PathBuf::from(process::first_line("rustc", &["--print", "sysroot"])?);
        if std::env::var_os("MULTIOS_DEBIAN_RUSTC").is_none()
            && sysroot.join("lib/rustlib").join(KERNEL_TARGET).is_dir()
        {
            return Some(Self::Rustup);
        }
        let own = PathBuf::from(process::first_line(DEBIAN_RUSTC, &["--print", "sysroot"])?);
        let sources = own.join("lib/rustlib/src/rust/library/core/Cargo.toml").is_file();
        let bundled = sysroot.join("lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld");
        let linker = in_path("ld.lld").or_else(|| Some(bundled).filter(|path| path.is_file()));
        linker.filter(|_| sources).map(|linker| Self::Debian { linker })
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
