//! `cargo xtask bench`: what process management costs, in instructions, beside Linux.
//!
//! `pmbench` runs on both kernels in the same virtual machine under `-icount`, where a time-stamp tick is an instruction and
//! every run gives the same figures. Linux's are recorded in `tests/bench/linux-lean.csv`; `--linux FILE` measures them anew.
//! `bench latency` and `bench throughput` measure the scheduler: how late who wakes runs, and how much more two CPUs do than one.

mod latency;
mod services;
mod throughput;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand};

use crate::exec::Guest;
use crate::initramfs::{Stdin, Tree};
use crate::machine::Machine;
use crate::qemu::{Capture, Limit, Outcome};
use crate::{paths, process};

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct BenchArgs {
    #[command(subcommand)]
    times: Option<Times>,
    /// Only rows whose name contains this
    pub filter: Option<String>,
    /// Measure this Linux kernel (vmlinuz or vmlinux) rather than take the recorded figures
    #[arg(long, value_name = "FILE")]
    pub linux: Option<PathBuf>,
    /// Keep what was measured on Linux as the recorded figures
    #[arg(long, requires = "linux")]
    pub record: bool,
}

/// What is measured in time, not in instructions per operation.
#[derive(Subcommand)]
enum Times {
    /// How late a task runs that wakes beside others, and beside Linux
    Latency(latency::LatencyArgs),
    /// How much more several CPUs get done than one, and how much more on Linux
    Throughput(throughput::ThroughputArgs),
    /// How long services take, and how long their restart takes other supervisors on Linux
    Services(services::ServicesArgs),
}

type Figures = BTreeMap<String, u64>;

const MEMORY: u64 = 1 << 30;
const LIMIT: Limit = Limit { total: Some(Duration::from_secs(1800)), silence: None };
const RECORD: &str = "tests/bench/linux-lean.csv";
/// The strongest Linux: without mitigations, clearing at allocation, memory control groups, AppArmor, audit.
const LEAN: &str = "console=ttyS0 quiet loglevel=0 nokaslr norandmaps mitigations=off init_on_alloc=0 cgroup_disable=memory \
                    apparmor=0 audit=0";

/// What a row may cost of Linux's instructions: calls and switches, processes, faults, boot.
fn mark(row: &str) -> Option<f64> {
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| row.starts_with(prefix));
    match row {
        _ if starts(&["null", "sched_yield", "pipe_pingpong", "pipe_ring", "futex"]) => Some(0.25),
        _ if starts(&["fork", "vfork"]) => Some(0.15),
        _ if starts(&["cow", "anon"]) => Some(0.4),
        "boot_to_user" => Some(0.03),
        _ => None,
    }
}

/// The command; nonzero when a row misses its mark.
pub fn bench(args: &BenchArgs) -> Result<u8> {
    match &args.times {
        Some(Times::Latency(args)) => return latency::bench(args),
        Some(Times::Throughput(args)) => return throughput::bench(args),
        Some(Times::Services(args)) => return services::bench(args),
        None => {}
    }
    let machine = Machine { smp: 1, mem: MEMORY, icount: true, ..Machine::default() };
    machine.need_tools()?;
    let linux = match &args.linux {
        Some(kernel) => {
            there(kernel)?;
            let figures =
                process::with_progress("measuring Linux", || measure(&machine, Some(kernel), args.filter.as_deref()))?;
            if args.record {
                record(RECORD, RECORD_HEADER, &figures)?;
            }
            figures
        }
        None => recorded(RECORD)?,
    };
    let multios = process::with_progress("measuring MultiOS", || measure(&machine, None, args.filter.as_deref()))?;
    ensure!(!multios.is_empty(), "no row of that name; without a name all rows are measured");
    print!("{}", table(&multios, &linux));
    let missed = multios.iter().filter(|(row, value)| missed(row, **value, &linux)).count();
    println!("{} rows, {missed} miss their mark", multios.len());
    Ok(u8::from(missed > 0))
}

fn missed(row: &str, value: u64, linux: &Figures) -> bool {
    match (mark(row), linux.get(row)) {
        (Some(mark), Some(linux)) => value as f64 > *linux as f64 * mark,
        _ => false,
    }
}

fn table(multios: &Figures, linux: &Figures) -> String {
    let mut text = String::from(
        "| instructions per operation | MultiOS | Linux lean | ratio | mark |\n|---|---:|---:|---:|---:|\n",
    );
    for (row, value) in multios {
        let reference = linux.get(row);
        let ratio = reference.map_or("-".into(), |linux| format!("{:.3}", *value as f64 / *linux as f64));
        let mark = match mark(row) {
            Some(mark) if missed(row, *value, linux) => format!("{mark} missed"),
            Some(mark) => mark.to_string(),
            None => "-".into(),
        };
        let reference = reference.map_or("-".into(), u64::to_string);
        text.push_str(&format!("| {row} | {value} | {reference} | {ratio} | {mark} |\n"));
    }
    text
}

/// Two boots: `pmbench` as process 1 for the way there, then as a program of `init` for the rest.
fn measure(machine: &Machine, linux: Option<&Path>, filter: Option<&str>) -> Result<Figures> {
    let mut figures = Figures::new();
    if filter.is_none_or(|filter| "boot_to_user idle_memory".contains(filter)) {
        figures.extend(run(machine, linux, None)?);
        if let Some(free) = figures.remove("idle_free_memory_bytes") {
            figures.insert("idle_memory_bytes".into(), MEMORY.saturating_sub(free));
        }
    }
    let argv: Vec<String> = std::iter::once("/bin/pmbench").chain(filter).map(String::from).collect();
    figures.extend(run(machine, linux, Some(&argv))?);
    Ok(figures)
}

fn run(machine: &Machine, linux: Option<&Path>, argv: Option<&[String]>) -> Result<Figures> {
    let mut tree = Tree::standard()?;
    let init = match argv {
        Some(argv) => {
            tree.execute(argv, Stdin::Empty)?;
            "init"
        }
        None => "pmbench",
    };
    let mut guest = Guest::from_tree(machine, None, Some(tree), &format!("init=/bin/{init}"))?;
    if let Some(kernel) = linux {
        guest.replace_kernel(kernel, &format!("{LEAN} rdinit=/bin/{init}"));
    }
    let console = Capture::default();
    let finished = guest.run(false, Box::new(console.clone()), Box::new(std::io::sink()), LIMIT)?;
    let output = String::from_utf8_lossy(&console.bytes()).into_owned();
    let log = finished.log_tail.join("\n");
    // As process 1, pmbench tells no status; then its line is enough.
    let good = matches!(finished.outcome, Outcome::Exited(0)) || argv.is_none() && output.contains("boot_to_user");
    ensure!(good, "pmbench: {:?}\n{output}\n{log}", finished.outcome);
    Ok(parse(&output))
}

fn parse(output: &str) -> Figures {
    let line = |line: &str| {
        let (name, value) = line.trim().split_once(' ')?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    output.lines().filter_map(line).collect()
}

/// Refuses a kernel that is not there before anything is built.
fn there(kernel: &Path) -> Result<()> {
    ensure!(kernel.is_file(), "--linux {}: there is no such file", kernel.display());
    Ok(())
}

fn recorded(record: &str) -> Result<Figures> {
    let path = paths::root().join(record);
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(parse(&text.replace(',', " ")))
}

fn record(record: &str, header: &str, figures: &Figures) -> Result<()> {
    let mut text = String::from(header);
    for (row, value) in figures {
        text.push_str(&format!("{row},{value}\n"));
    }
    std::fs::write(paths::root().join(record), text).context("cannot write the record")
}

const RECORD_HEADER: &str = "\
# Linux, instructions per operation: QEMU TCG, q35, 1 CPU, 1 GiB, -icount shift=0,sleep=off, -cpu max,-erms,-rdrand,-rdseed
# Debian's linux-image-cloud-amd64 with mitigations=off init_on_alloc=0 cgroup_disable=memory apparmor=0 audit=0 nokaslr norandmaps
# Made by: cargo xtask bench --linux vmlinux --record
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_and_comments_are_not() {
        let figures = parse("# failed: x = -5\nnull_syscall 310\r\nnoise\n");
        assert_eq!(figures.into_iter().collect::<Vec<_>>(), [("null_syscall".to_owned(), 310)]);
    }

    #[test]
    fn a_row_above_its_mark_is_missed() {
        let linux = Figures::from([("null_syscall".into(), 400), ("mmap_munmap_1p".into(), 10)]);
        assert!(!missed("null_syscall", 100, &linux) && missed("null_syscall", 101, &linux));
        assert!(!missed("mmap_munmap_1p", 1000, &linux) && !missed("unknown", 1, &linux));
        assert!(table(&linux, &linux).contains("| null_syscall | 400 | 400 | 1.000 | 0.25 missed |"));
    }
}
