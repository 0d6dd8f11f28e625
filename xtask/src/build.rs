//! Building what is booted: the kernel, the programs of `user/`, the C programs of `tests/programs`.
//!
//! Each has its own target directory, since their flags differ. What a run uses is copied into its scratch directory, so a
//! build that runs meanwhile cannot replace it under its feet.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};

use crate::tools::{KERNEL_TARGET, KernelToolchain};
use crate::{paths, process};

/// How the kernel is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Optimised.
    Release,
    /// With debug assertions: lock ranks and the like are checked.
    Debug,
    /// The same, and every operation on processes is logged (feature `process-debug`).
    Traced,
}

impl Profile {
    /// Cargo's name of its directory.
    const fn directory(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Debug | Self::Traced => "debug",
        }
    }
}

const USER_TARGET: &str = "x86_64-unknown-linux-gnu";

/// Builds the kernel, once for this process; the ELF file is put into `into`.
pub fn kernel(profile: Profile, into: &Path) -> Result<PathBuf> {
    // All boots of one command use the same kernel, even if somebody edits its sources meanwhile.
    static BUILT: [OnceLock<Vec<u8>>; 3] = [const { OnceLock::new() }; 3];
    if let Some(elf) = std::env::var_os("MULTIOS_KERNEL") {
        return Ok(PathBuf::from(elf)); // a kernel built elsewhere, for bisecting and for tests of this tool
    }
    let slot = &BUILT[profile as usize];
    let elf = match slot.get() {
        Some(elf) => elf,
        None => {
            let elf = build_kernel(profile)?;
            slot.get_or_init(|| elf)
        }
    };
    let copy = into.join("kernel.elf");
    fs::write(&copy, elf).with_context(|| format!("cannot write {}", copy.display()))?;
    Ok(copy)
}

fn build_kernel(profile: Profile) -> Result<Vec<u8>> {
    let target = paths::target().join("kernel");
    let mut cargo = cargo(&target);
    cargo.args(["build", "--package", "kernel", "--target", KERNEL_TARGET]);
    match profile {
        Profile::Release => drop(cargo.arg("--release")),
        Profile::Debug => {}
        Profile::Traced => drop(cargo.args(["--features", "process-debug"])),
    }
    KernelToolchain::find_or_install()?.apply(&mut cargo);
    process::step("building the kernel", &mut cargo)?;
    let built = target.join(KERNEL_TARGET).join(profile.directory()).join("kernel");
    fs::read(&built).with_context(|| format!("cannot read {}", built.display()))
}

/// Removes debugging information, which a boot loader would read for nothing; without `strip` the file stays as it is.
pub fn strip(elf: &Path, into: &Path) -> Result<PathBuf> {
    let stripped = into.join("kernel-stripped.elf");
    let mut strip = Command::new("strip");
    strip.arg("--strip-debug").arg("-o").arg(&stripped).arg(elf);
    if !strip.output().is_ok_and(|output| output.status.success()) {
        fs::copy(elf, &stripped).context("cannot copy the kernel")?;
    }
    Ok(stripped)
}

/// Builds every program of `user/`, static, once for this process; gives their names and files.
pub fn user_programs() -> Result<Vec<(String, PathBuf)>> {
    static BUILT: OnceLock<Vec<(String, PathBuf)>> = OnceLock::new();
    if let Some(programs) = BUILT.get() {
        return Ok(programs.clone());
    }
    let programs = build_user_programs()?;
    Ok(BUILT.get_or_init(|| programs).clone())
}

fn build_user_programs() -> Result<Vec<(String, PathBuf)>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(paths::root().join("user")).context("user/ is missing")? {
        let entry = entry?;
        if entry.path().join("Cargo.toml").is_file() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    ensure!(!names.is_empty(), "user/ has no program");
    let target = paths::target().join("user");
    let mut cargo = cargo(&target);
    // Given by --target, so that build scripts and procedural macros are compiled without these flags.
    cargo.args(["build", "--release", "--target", USER_TARGET]);
    cargo.env("RUSTFLAGS", "-Ctarget-feature=+crt-static -Crelocation-model=static");
    cargo.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "s").env("CARGO_PROFILE_RELEASE_STRIP", "true");
    cargo.env("CARGO_PROFILE_RELEASE_DEBUG", "0");
    for name in &names {
        cargo.args(["--package", name]);
    }
    process::step("building the programs of user/", &mut cargo)?;
    let dir = target.join(USER_TARGET).join("release");
    Ok(names.into_iter().map(|name| (name.clone(), dir.join(name))).collect())
}

/// Compiles `tests/programs/*.c`, static; gives their names and files.
pub fn c_programs(into: &Path) -> Result<Vec<(String, PathBuf)>> {
    process::with_progress("compiling tests/programs", || compile_c_programs(into))
}

fn compile_c_programs(into: &Path) -> Result<Vec<(String, PathBuf)>> {
    let sources = paths::root().join("tests/programs");
    let mut programs = Vec::new();
    for source in sorted(&sources)? {
        let name = source.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        match source.extension().and_then(|extension| extension.to_str()) {
            Some("c") => {}
            _ => continue,
        }
        let program = c_program(&source, into)?;
        programs.push((name, program));
    }
    Ok(programs)
}

/// Compiles one C program, static or as it asks for by a line such as `// flags: -static-pie`.
pub fn c_program(source: &Path, into: &Path) -> Result<PathBuf> {
    let name = source.file_stem().unwrap_or_default();
    let program = into.join(name);
    let mut gcc = Command::new("gcc");
    gcc.args(["-O1", "-Wall", "-Wno-unused-result", "-Wno-infinite-recursion", "-pthread"]);
    let text = fs::read_to_string(source).with_context(|| format!("cannot read {}", source.display()))?;
    let flags = text.lines().find_map(|line| line.strip_prefix("// flags:")).unwrap_or("-static");
    gcc.args(flags.split_whitespace()).arg("-o").arg(&program).arg(source);
    process::step(&format!("compiling {}", name.display()), &mut gcc)?;
    Ok(program)
}

/// The files of a directory in a fixed order; none if there is no such directory.
pub fn sorted(dir: &Path) -> Result<Vec<PathBuf>> {
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let mut files = fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    files.sort();
    Ok(files)
}

fn cargo(target: &Path) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(paths::root()).env("CARGO_TARGET_DIR", target);
    cargo
}
