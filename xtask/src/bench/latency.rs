//! `cargo xtask bench latency`: how late a task runs after what it waits for has come, beside eight that compute and beside a storm of forks.
//!
//! By QEMU's `-icount`, as the costs: a nanosecond is an instruction, so the host's load does not show. With several CPUs in real
//! time, since QEMU would run them in turn otherwise, and a wake-up of another CPU would be as late as that one's turn: then it takes
//! a host with as many CPUs that does nothing else.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;

use super::{Figures, MEMORY, record, recorded, run, there};
use crate::machine::Machine;
use crate::process;

#[derive(Args)]
pub struct LatencyArgs {
    /// Measure this Linux kernel (vmlinuz or vmlinux) rather than take the recorded figures
    #[arg(long, value_name = "FILE")]
    linux: Option<PathBuf>,
    /// Keep what was measured on Linux as the recorded figures
    #[arg(long, requires = "linux")]
    record: bool,
    /// Number of CPUs; with several, times are real ones, and no figures of Linux are recorded
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    smp: u32,
    /// Wake-ups of each kind
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    wakes: u32,
}

const RECORD: &str = "tests/bench/linux-latency.csv";
const RECORD_HEADER: &str = "\
# Linux, lateness of wake-ups in nanoseconds of virtual time, 10,000 of each kind: the machine and the kernel of linux-lean.csv
# Made by: cargo xtask bench latency --linux vmlinux --record
";
const LOADS: [(&str, &str); 3] =
    [("idle", "alone"), ("hogs", "eight that compute"), ("forks", "eight that fork all the time")];
const LINKS: [&str; 3] = ["timer", "pipe", "futex"];
const STATISTICS: [(&str, &str); 4] = [("median", "median"), ("p99", "99 %"), ("p999", "99.9 %"), ("max", "longest")];

/// The command; nonzero when a wake-up beside a load is later than on Linux.
pub fn bench(args: &LatencyArgs) -> Result<u8> {
    let machine = Machine { smp: args.smp, mem: MEMORY, icount: args.smp == 1, ..Machine::default() };
    machine.need_tools()?;
    let usual = args.smp == 1 && args.wakes == 10_000;
    ensure!(usual || !args.record, "what is recorded is 10,000 wake-ups on one CPU");
    ensure!(args.smp == 1 || args.linux.is_some(), "with several CPUs --linux is needed: nothing is recorded");
    let measure = |linux: Option<&std::path::Path>, interactive: bool| {
        let mut argv: Vec<String> = ["/bin/pmbench", "latency"].map(String::from).into();
        argv.push(args.wakes.to_string());
        argv.extend(interactive.then(|| "interactive".to_owned()));
        run(&machine, linux, Some(&argv))
    };
    let linux = match &args.linux {
        Some(kernel) => {
            there(kernel)?;
            let figures = process::with_progress("measuring Linux", || measure(Some(kernel), false))?;
            if args.record {
                record(RECORD, RECORD_HEADER, &figures)?;
            }
            figures
        }
        None => recorded(RECORD)?,
    };
    let plain = process::with_progress("measuring MultiOS", || measure(None, false))?;
    let interactive = process::with_progress("measuring MultiOS, class Interactive", || measure(None, true))?;
    let (text, missed) = table(&plain, &interactive, &linux);
    print!("{text}");
    println!("{missed} wake-ups beside a load are not ahead of Linux");
    Ok(u8::from(missed > 0))
}

/// The table, and how often Linux is not behind where it has to be: median and 99.9 % beside a load.
fn table(plain: &Figures, interactive: &Figures, linux: &Figures) -> (String, usize) {
    let mut text = String::from(
        "| lateness in ns | | | MultiOS | Interactive | Linux lean | |\n|---|---|---|---:|---:|---:|---|\n",
    );
    let mut missed = 0;
    for (load, beside) in LOADS {
        for link in LINKS {
            for (statistic, name) in STATISTICS {
                let row = format!("{load}_{link}_{statistic}");
                let of = |figures: &Figures| figures.get(&row).copied();
                let (mine, hinted, reference) = (of(plain), of(interactive), of(linux));
                let demanded = load != "idle" && matches!(statistic, "median" | "p999");
                let ahead = |value: Option<u64>| value.zip(reference).is_some_and(|(value, linux)| value < linux);
                let verdict = match demanded && !(ahead(mine) && ahead(hinted)) {
                    true => "behind",
                    false => "",
                };
                missed += usize::from(!verdict.is_empty());
                let [mine, hinted, reference] =
                    [mine, hinted, reference].map(|value| value.map_or("-".into(), |value| value.to_string()));
                text.push_str(&format!(
                    "| {beside} | {link} | {name} | {mine} | {hinted} | {reference} | {verdict} |\n"
                ));
            }
        }
    }
    (text, missed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(value: u64) -> Figures {
        let mut figures = Figures::new();
        for (load, _) in LOADS {
            for link in LINKS {
                figures.extend(STATISTICS.map(|(statistic, _)| (format!("{load}_{link}_{statistic}"), value)));
            }
        }
        figures
    }

    #[test]
    fn who_is_later_than_linux_beside_a_load_is_behind() {
        let (fast, slow) = (all(10), all(20));
        assert_eq!(table(&fast, &fast, &slow).1, 0);
        // Median and 99.9 % of three kinds beside two loads.
        assert_eq!(table(&slow, &fast, &slow).1, 12);
        assert_eq!(table(&fast, &slow, &slow).1, 12);
        let mut one = fast.clone();
        one.insert("hogs_timer_p999".into(), 20);
        one.insert("hogs_timer_max".into(), 99);
        one.insert("idle_pipe_median".into(), 99);
        let (text, missed) = table(&one, &fast, &slow);
        assert_eq!(missed, 1);
        assert!(text.contains("| eight that compute | timer | 99.9 % | 20 | 10 | 20 | behind |"), "{text}");
    }

    #[test]
    fn what_was_not_measured_is_behind() {
        assert_eq!(table(&Figures::new(), &all(1), &all(2)).1, 12);
    }
}
