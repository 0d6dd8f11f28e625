//! Bootable images: one file that boots under BIOS and UEFI, from CD and from a USB stick.
//!
//! Limine is taken from `LIMINE_DIR`, else from the system, else downloaded once and checked; it is never compiled here.
//! Where it cannot be had, GRUB from the distribution's packages loads the same kernel by multiboot2.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};

use crate::build::{self, Profile};
use crate::initramfs::Tree;
use crate::machine::Payload;
use crate::tools::{self, Need};
use crate::{paths, process};

/// The boot loader of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Loader {
    /// Limine
    Limine,
    /// GRUB 2
    Grub,
}

#[derive(Args)]
pub struct IsoArgs {
    /// The image to write
    #[arg(short, long, value_name = "FILE", default_value = "multios.iso")]
    pub output: PathBuf,
    /// The boot loader (default: Limine, GRUB where there is no Limine)
    #[arg(long, value_enum)]
    pub loader: Option<Loader>,
    /// Put a file or directory of this machine into the initramfs
    #[arg(long, value_name = "HOST[:GUEST]")]
    pub add: Vec<String>,
    /// Kernel with debug assertions
    #[arg(long)]
    pub debug: bool,
    /// The kernel's command line
    #[arg(long, value_name = "TEXT", default_value = "console=ttyS0 log=ttyS0 init=/bin/init")]
    pub cmdline: String,
}

/// The command.
pub fn iso(args: &IsoArgs) -> Result<()> {
    let output = args.output.display();
    ensure!(!args.output.is_dir(), "{output} is a directory; name the file to write with -o FILE");
    let dir = args.output.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    ensure!(dir.is_dir(), "cannot write {output}: there is no directory {}", dir.display());
    let scratch = paths::scratch()?;
    tools::need(&[Need::Run, Need::Iso])?;
    let mut tree = Tree::standard()?;
    for spec in &args.add {
        tree.add(spec)?;
    }
    let initramfs = scratch.path().join("initramfs.cpio");
    fs::write(&initramfs, tree.archive())?;
    let kernel = build::kernel(if args.debug { Profile::Debug } else { Profile::Release }, scratch.path())?;
    let payload = Payload { kernel, initramfs, cmdline: args.cmdline.clone() };
    let loader = build(&payload, args.loader, &args.output, scratch.path())?;
    let size = fs::metadata(&args.output)?.len() >> 20;
    println!("{} ({size} MiB, {loader:?}, BIOS and UEFI, CD and USB)", args.output.display());
    Ok(())
}

/// Writes the image `output`; gives the loader used.
pub fn build(payload: &Payload, loader: Option<Loader>, output: &Path, scratch: &Path) -> Result<Loader> {
    let limine = match loader {
        Some(Loader::Grub) => None,
        wanted => match (find_limine(), wanted) {
            (Ok(dir), _) => Some(dir),
            (Err(error), Some(_)) => return Err(error),
            (Err(error), None) => {
                eprintln!("no Limine ({error:#}): the image gets GRUB");
                None
            }
        },
    };
    let root = scratch.join("image");
    fs::create_dir_all(root.join("boot"))?;
    fs::copy(build::strip(&payload.kernel, scratch)?, root.join("boot/kernel.elf"))?;
    fs::copy(&payload.initramfs, root.join("boot/initramfs.cpio"))?;
    match limine {
        Some(limine) => with_limine(&limine, &root, payload, output).map(|()| Loader::Limine),
        None => with_grub(&root, payload, output).map(|()| Loader::Grub),
    }
}

// ---- Limine -------------------------------------------------------------------------------------------------------

/// What a Limine release must hold for us.
const LIMINE_FILES: &[&str] = &["limine-bios.sys", "limine-bios-cd.bin", "limine-uefi-cd.bin", "BOOTX64.EFI"];
/// The pinned binary release; its archive is made by GitHub from a tag, so the files in it are checked, not the archive.
const LIMINE_VERSION: &str = "v8.2.0-binary";
const LIMINE_URL: &str = "https://github.com/limine-bootloader/limine/archive/refs/tags/v8.2.0-binary.tar.gz";
const BY_HAND: &str = "set LIMINE_DIR to a directory with a binary release of Limine 8";
const LIMINE_SHA256: &[(&str, &str)] = &[
    ("limine-bios.sys", "8382e36ff9d51e52e9160842f834a346028edf9e0319b1c728d290e3044a44a7"),
    ("limine-bios-cd.bin", "3b889bf946b1f248c93efa90fd1718aad79f867e8184f9167a0b9875a0c41191"),
    ("limine-uefi-cd.bin", "1801a9034420fb1b17bdcdedee11f29c946169abac103b161e7bfd01d98caf29"),
    ("BOOTX64.EFI", "7bf99f9ffdbce1443bd7f148f01bee47d4a587f58fb170e42dab29790e6d831a"),
];

struct Limine {
    dir: PathBuf,
    /// The tool that makes an image bootable by BIOS from a stick; without it such an image boots in the other three ways.
    tool: Option<PathBuf>,
}

/// A Limine that is here already, without asking the network.
pub fn installed_limine() -> Option<PathBuf> {
    let dirs = [
        std::env::var_os("LIMINE_DIR").map(PathBuf::from),
        Some("/usr/share/limine".into()),
        Some("/usr/local/share/limine".into()),
    ];
    dirs.into_iter().flatten().find(|dir| has_limine(dir))
}

/// Why an image with Limine cannot be made here, if so; one for a stick and BIOS takes Limine's own tool besides.
pub fn limine_reason(medium: Medium) -> Option<String> {
    match find_limine() {
        Err(error) => Some(format!("no Limine: {error:#}")),
        Ok(limine) if limine.tool.is_none() && medium == Medium::BiosStick => {
            Some("no `limine` tool in PATH or LIMINE_DIR; the downloaded release has none".into())
        }
        Ok(_) => None,
    }
}

/// What an image is to boot from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// A USB stick, by BIOS.
    BiosStick,
    /// A CD, or a USB stick by UEFI.
    Other,
}

fn has_limine(dir: &Path) -> bool {
    LIMINE_FILES.iter().all(|file| dir.join(file).is_file())
}

fn find_limine() -> Result<Limine> {
    if let Some(dir) = std::env::var_os("LIMINE_DIR") {
        let dir = PathBuf::from(dir);
        let lacking: Vec<_> = LIMINE_FILES.iter().copied().filter(|file| !dir.join(file).is_file()).collect();
        ensure!(
            lacking.is_empty(),
            "LIMINE_DIR={} lacks {}: it must be a directory with a binary release of Limine 8",
            dir.display(),
            lacking.join(", ")
        );
    }
    let dir = match installed_limine() {
        Some(dir) => dir,
        None => download_limine()?,
    };
    let tool = Some(dir.join("limine")).filter(|tool| tool.is_file()).or_else(|| tools::in_path("limine"));
    Ok(Limine { dir, tool })
}

fn download_limine() -> Result<PathBuf> {
    let _lock = paths::lock("limine")?;
    let dir = paths::target().join("xtask").join(LIMINE_VERSION);
    if has_limine(&dir) && verified(&dir) {
        return Ok(dir);
    }
    tools::need(&[Need::Fetch]).with_context(|| format!("not installed, and nothing to fetch it with; {BY_HAND}"))?;
    let scratch = paths::scratch()?;
    let archive = scratch.path().join("limine.tar.gz");
    let mut curl = Command::new("curl");
    curl.args([
        "--silent",
        "--show-error",
        "--fail",
        "--location",
        "--connect-timeout",
        "5",
        "--max-time",
        "120",
        "-o",
    ]);
    let fetched = process::with_progress("fetching Limine", || curl.arg(&archive).arg(LIMINE_URL).output())?;
    if !fetched.status.success() {
        let reason = String::from_utf8_lossy(&fetched.stderr).trim().to_owned();
        bail!("not installed, and its download failed ({reason}); {BY_HAND}");
    }
    let unpacked = scratch.path().join("limine");
    fs::create_dir_all(&unpacked)?;
    let mut tar = Command::new("tar");
    tar.args(["--strip-components=1", "-xzf"]).arg(&archive).arg("-C").arg(&unpacked);
    process::step("unpacking Limine", &mut tar).with_context(|| format!("the download is damaged; {BY_HAND}"))?;
    ensure!(has_limine(&unpacked), "what came from {LIMINE_URL} is not a Limine release; {BY_HAND}");
    ensure!(verified(&unpacked), "the Limine from {LIMINE_URL} is not the expected one: a checksum differs; {BY_HAND}");
    let _ = fs::remove_dir_all(&dir);
    fs::rename(&unpacked, &dir)?;
    Ok(dir)
}

fn verified(dir: &Path) -> bool {
    LIMINE_SHA256.iter().all(|(file, expected)| {
        let path = dir.join(file);
        process::first_line("sha256sum", &[&path.to_string_lossy()]).is_some_and(|line| line.starts_with(expected))
    })
}

fn with_limine(limine: &Limine, root: &Path, payload: &Payload, output: &Path) -> Result<()> {
    tools::need(&[Need::Iso])?;
    let boot = root.join("boot/limine");
    fs::create_dir_all(&boot)?;
    fs::create_dir_all(root.join("EFI/BOOT"))?;
    for file in LIMINE_FILES {
        let to = if *file == "BOOTX64.EFI" { root.join("EFI/BOOT").join(file) } else { boot.join(file) };
        fs::copy(limine.dir.join(file), to)?;
    }
    fs::write(boot.join("limine.conf"), limine_conf(&payload.cmdline)?)?;
    let mut xorriso = Command::new("xorriso");
    xorriso.args(["-as", "mkisofs", "-R", "-r", "-J", "-b", "boot/limine/limine-bios-cd.bin", "-no-emul-boot"]);
    xorriso.args(["-boot-load-size", "4", "-boot-info-table", "-hfsplus", "-apm-block-size", "2048"]);
    xorriso.args(["--efi-boot", "boot/limine/limine-uefi-cd.bin", "-efi-boot-part", "--efi-boot-image"]);
    xorriso.arg("--protective-msdos-label").arg(root).arg("-o").arg(output);
    process::step("writing the image", &mut xorriso)?;
    match &limine.tool {
        Some(tool) => {
            process::step("limine bios-install", Command::new(tool).arg("bios-install").arg(output)).map(drop)?
        }
        None => eprintln!(
            "note: no `limine` tool (in {} or PATH), so this image does not boot by BIOS from a USB stick; CD and UEFI work",
            limine.dir.display()
        ),
    }
    Ok(())
}

/// The menu of `limine.cfg` with another kernel command line.
fn limine_conf(cmdline: &str) -> Result<String> {
    let path = paths::root().join("limine.cfg");
    let menu = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(replace_cmdline(&menu, cmdline))
}

fn replace_cmdline(menu: &str, cmdline: &str) -> String {
    let line = |line: &str| match line.split_once("kernel_cmdline:") {
        Some((indent, _)) if !indent.contains('#') => format!("{indent}kernel_cmdline: {cmdline}\n"),
        _ => format!("{line}\n"),
    };
    menu.lines().map(line).collect()
}

// ---- GRUB ---------------------------------------------------------------------------------------------------------

fn with_grub(root: &Path, payload: &Payload, output: &Path) -> Result<()> {
    tools::need(&[Need::Iso, Need::Grub])?;
    fs::create_dir_all(root.join("boot/grub"))?;
    let menu = format!(
        "set timeout=0\ninsmod all_video\nmenuentry MultiOS {{\n  multiboot2 /boot/kernel.elf {}\n  module2 /boot/initramfs.cpio initramfs\n}}\n",
        payload.cmdline
    );
    fs::write(root.join("boot/grub/grub.cfg"), menu)?;
    let mut mkrescue = Command::new("grub-mkrescue");
    process::step("writing the image", mkrescue.arg("-o").arg(output).arg(root)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_command_line_of_the_menu_changes() {
        let menu = "# kernel_cmdline: old\n/MultiOS\n    kernel_cmdline: old\n    protocol: limine\n";
        let new = "# kernel_cmdline: old\n/MultiOS\n    kernel_cmdline: a=b c\n    protocol: limine\n";
        assert_eq!(replace_cmdline(menu, "a=b c"), new);
    }

    #[test]
    fn the_menu_of_the_repository_has_a_command_line_and_an_initramfs() {
        let menu = limine_conf("x=y").unwrap();
        assert!(menu.contains("kernel_cmdline: x=y") && menu.contains("module_path:"));
    }
}
