//! `cargo xtask bench services`: how long services take, in instructions, and how long their restart takes other supervisors.
//!
//! The same static program (`tests/bench/lives.c`) kills itself time and again and writes down when the next one's first
//! instruction ran. On Linux, Debian's packages of the supervisors are fetched by apt for the occasion.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;

use crate::exec::Guest;
use crate::initramfs::{Stdin, Tree};
use crate::machine::Machine;
use crate::qemu::{Capture, Limit};
use crate::{paths, process};

#[derive(Args)]
pub struct ServicesArgs {
    /// Measure Debian's supervisors as well, on this Linux kernel (vmlinuz or vmlinux)
    #[arg(long, value_name = "FILE")]
    linux: Option<PathBuf>,
}

type Figures = BTreeMap<String, Vec<u64>>;

const LIMIT: Limit = Limit { total: Some(Duration::from_secs(1800)), silence: None };
/// Nanoseconds, and so instructions, that are allowed (`-icount shift=0`: one of each per instruction).
const BARS: [(&str, u64); 3] = [("restart_p50", 200_000), ("restart_p99", 1_000_000), ("kill_cell_1000", 10_000_000)];

/// A supervisor of Debian's: its package, and how it becomes process 1 of an initramfs.
struct Other {
    name: &'static str,
    package: &'static str,
    init: &'static str,
    arguments: &'static str,
    prepare: fn(&mut Tree, &Path) -> Result<()>,
}

const OTHERS: [Other; 3] = [
    Other {
        name: "runit",
        package: "runit",
        init: "/usr/bin/runsvdir",
        arguments: "/service",
        prepare: |tree, lives| tree.host_file("service/lives/run", lives),
    },
    Other {
        name: "s6",
        package: "s6",
        init: "/usr/bin/s6-svscan",
        arguments: "/service",
        prepare: |tree, lives| {
            // Else it waits for a second.
            tree.file("service/lives/notification-fd", 0o644, "3\n");
            tree.host_file("service/lives/run", lives)
        },
    },
    Other {
        name: "systemd",
        package: "systemd",
        init: "/lib/systemd/systemd",
        arguments: "",
        prepare: |tree, lives| {
            tree.file("etc/systemd/system/lives.service", 0o644, UNIT);
            tree.symlink("etc/systemd/system/default.target", "lives.target");
            tree.file(
                "etc/systemd/system/lives.target",
                0o644,
                "[Unit]\nDefaultDependencies=no\nRequires=lives.service\n",
            );
            tree.file("etc/machine-id", 0o644, "0123456789abcdef0123456789abcdef\n");
            tree.file("etc/os-release", 0o644, "ID=lives\n");
            tree.host_file("bin/lives", lives)
        },
    },
];

/// With no delay and no limit, which are 100 ms and 5 in 10 s unless something is said.
const UNIT: &str = "[Unit]\nDefaultDependencies=no\nStartLimitIntervalSec=0\n[Service]\nExecStart=/bin/lives\nRestart=always\n\
                    RestartSec=0\nStandardOutput=null\nStandardError=null\n";

/// The command; nonzero when a bar is missed.
pub fn bench(args: &ServicesArgs) -> Result<u8> {
    let machine = Machine { smp: 1, mem: 1 << 30, icount: true, ..Machine::default() };
    machine.need_tools()?;
    let scratch = paths::scratch()?;
    let lives = compile(scratch.path())?;
    let mut rows = vec![("MultiOS", restarts(&machine, &lives)?)];
    let others = process::with_progress("measuring services", || svcheck(&machine, &["many-figures", "kill-cell"]))?;
    for (kernel, other) in args.linux.iter().flat_map(|kernel| OTHERS.iter().map(move |other| (kernel, other))) {
        ensure!(kernel.is_file(), "--linux {}: there is no such file", kernel.display());
        let what = format!("measuring {}", other.name);
        let figures = process::with_progress(&what, || elsewhere(&machine, kernel, other, &lives, scratch.path()))?;
        rows.push((other.name, figures));
    }
    println!("| a service kills itself: instructions until the next one's first | 50 % | 99 % |\n|---|---:|---:|");
    for (name, figures) in &rows {
        println!("| {name} | {} | {} |", worst(figures, "restart_p50"), worst(figures, "restart_p99"));
    }
    println!("\n| nanoseconds, one for each instruction and those of waiting | |\n|---|---:|");
    for name in others.keys() {
        println!("| {name} | {} |", worst(&others, name));
    }
    let mut missed = 0;
    for (name, bar) in BARS {
        let is =
            rows.iter().take(1).map(|(_, figures)| figures).chain([&others]).map(|figures| worst(figures, name)).max();
        if is.is_none_or(|is| is > bar || is == 0) {
            println!("{name} misses its bar of {bar}: {is:?}");
            missed += 1;
        }
    }
    Ok(u8::from(missed > 0))
}

/// The largest of the figures of that name; 0 if there is none.
fn worst(figures: &Figures, name: &str) -> u64 {
    figures.get(name).and_then(|list| list.iter().max()).copied().unwrap_or(0)
}

fn compile(into: &Path) -> Result<PathBuf> {
    let program = into.join("lives");
    let mut gcc = Command::new("gcc");
    gcc.args(["-O2", "-Wall", "-Wextra", "-nostdlib", "-static", "-ffreestanding", "-fno-stack-protector", "-o"]);
    gcc.arg(&program).arg(paths::root().join("tests/bench/lives.c"));
    process::step("compiling lives.c", &mut gcc)?;
    Ok(program)
}

fn restarts(machine: &Machine, lives: &Path) -> Result<Figures> {
    let mut tree = Tree::standard()?;
    tree.host_file("bin/lives", lives)?;
    tree.execute(&["/bin/svcheck", "lives"].map(String::from), Stdin::Empty)?;
    let guest = Guest::from_tree(machine, None, Some(tree), "init=/bin/init")?;
    process::with_progress("measuring restarts on MultiOS", || run(&guest))
}

fn svcheck(machine: &Machine, groups: &[&str]) -> Result<Figures> {
    let argv: Vec<_> = std::iter::once("/bin/svcheck").chain(groups.iter().copied()).map(String::from).collect();
    run(&Guest::new(machine, None, &[], &argv, Stdin::Empty)?)
}

fn elsewhere(machine: &Machine, kernel: &Path, other: &Other, lives: &Path, scratch: &Path) -> Result<Figures> {
    let root = scratch.join(other.name);
    install(other.package, &root)?;
    let mut tree = Tree::default();
    for top in ["usr", "lib", "lib64", "bin", "sbin"] {
        let dir = root.join(top);
        if dir.is_dir() {
            tree.add(&format!("{}:/{top}", dir.display()))?;
        }
    }
    for (dir, permissions) in [("tmp", 0o1777), ("dev", 0o755), ("proc", 0o755), ("sys", 0o755), ("run", 0o755)] {
        tree.directory(dir, permissions);
    }
    (other.prepare)(&mut tree, lives)?;
    let mut guest = Guest::from_tree(machine, None, Some(tree), "init=/bin/init")?;
    guest.replace_kernel(kernel, &format!("{} rdinit={} -- {}", super::LEAN, other.init, other.arguments));
    run(&guest)
}

/// Fetches a package and what it needs, and unpacks all of it.
fn install(package: &str, root: &Path) -> Result<()> {
    let packages = root.with_extension("packages");
    fs::create_dir_all(&packages)?;
    let quiet = ["recommends", "suggests", "conflicts", "breaks", "replaces", "enhances"];
    let mut depends = Command::new("apt-cache");
    depends.args(["depends", "--recurse"]).args(quiet.map(|kind| format!("--no-{kind}"))).arg(package);
    let listed = process::step(&format!("asking what {package} needs"), &mut depends)?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let names: Vec<_> = listed.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase())).collect();
    ensure!(!names.is_empty(), "apt does not know {package}");
    let mut download = Command::new("apt-get");
    download.args(["-qq", "download"]).args(&names).current_dir(&packages);
    process::step(&format!("downloading {package}"), &mut download)?;
    for file in fs::read_dir(&packages)? {
        process::step("unpacking", Command::new("dpkg-deb").arg("-x").arg(file?.path()).arg(root))?;
    }
    // Documentation and translations.
    let _ = fs::remove_dir_all(root.join("usr/share"));
    Ok(())
}

fn run(guest: &Guest) -> Result<Figures> {
    let (console, log) = (Capture::default(), Capture::default());
    let finished = guest.run(false, Box::new(console.clone()), Box::new(log), LIMIT)?;
    let output = String::from_utf8_lossy(&console.bytes()).into_owned();
    let figures = parse(&output);
    let log = || finished.log_tail.join("\n");
    ensure!(!figures.is_empty() && !output.contains("FAIL"), "{:?}\n{output}\n{}", finished.outcome, log());
    Ok(figures)
}

/// `figure NAME VALUE` in each line that counts.
fn parse(output: &str) -> Figures {
    let mut figures = Figures::new();
    for line in output.lines() {
        let mut words = line.split_whitespace().skip_while(|word| *word != "figure").skip(1);
        if let (Some(name), Some(Ok(value))) = (words.next(), words.next().map(str::parse)) {
            figures.entry(name.to_owned()).or_default().push(value);
        }
    }
    figures
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_a_name_counts_and_noise_does_not() {
        let figures = parse("ok all run\nfigure a 5\r\n[ 1.0] x figure a 7\nfigure b x\nfigure\n");
        assert_eq!((worst(&figures, "a"), worst(&figures, "b"), figures.len()), (7, 0, 1));
    }
}
