//! `cargo xtask bench throughput`: how much more several CPUs get done than one.
//!
//! Twice. First in instructions, by QEMU's `-icount`, where CPUs take turns: what workers on several CPUs execute together beyond what
//! one executes for as much work. That is the work that CPUs make for each other: stealing, rousing, shoot-downs and the wait for them. No host's
//! load shows in it, nor does the wait for locks, since one runs at a time.
//!
//! Then in real time, where the host's CPUs are the measure: on a host that does something else besides every figure can only
//! be too low. So one worker and several are measured in turn, in the same boot, and of many such pairs the best counts. What the
//! virtual machine itself cannot do twice at a time shows in Linux's figures.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;

use super::{Figures, MEMORY, run, there};
use crate::machine::Machine;
use crate::process;

#[derive(Args)]
pub struct ThroughputArgs {
    /// Measure this Linux kernel (vmlinuz or vmlinux) as well
    #[arg(long, value_name = "FILE")]
    linux: Option<PathBuf>,
    /// Number of CPUs and of workers; no more than the host has
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=16))]
    smp: u32,
    /// Pairs of measurements, each of some 0.6 s
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=128))]
    rounds: u32,
}

/// What a CPU more has to add of what it could.
const MARK: u64 = 900;
/// How often each worker does its work when instructions are counted.
const TIMES: u32 = 2000;

/// The command; nonzero when a kind of work, in instructions, is further from the ideal than a tenth.
pub fn bench(args: &ThroughputArgs) -> Result<u8> {
    let machine = Machine { smp: args.smp, mem: MEMORY, ..Machine::default() };
    machine.need_tools()?;
    let measure = |linux: Option<&Path>| -> Result<Figures> {
        let mut figures = Figures::new();
        for (icount, what, times) in [(true, "counted", TIMES), (false, "throughput", args.rounds)] {
            if icount && linux.is_some() {
                // Linux does not come to an end where CPUs take turns: QEMU lets those that come later starve.
                continue;
            }
            let machine = Machine { icount, ..machine.clone() };
            let argv = ["/bin/pmbench".into(), what.into(), times.to_string(), args.smp.to_string()];
            figures.extend(run(&machine, linux, Some(&argv))?);
        }
        // What one worker's work takes is there to be looked at by hand.
        figures.retain(|row, _| !row.ends_with("_ns"));
        Ok(figures)
    };
    let linux = match &args.linux {
        Some(kernel) => {
            there(kernel)?;
            process::with_progress("measuring Linux", || measure(Some(kernel)))?
        }
        None => Figures::new(),
    };
    let multios = process::with_progress("measuring MultiOS", || measure(None))?;
    let (text, missed) = table(&multios, &linux);
    print!("{text}");
    println!("of the ideal, with {} CPUs; {missed} kinds of work miss it by more than a tenth", args.smp);
    Ok(u8::from(missed > 0))
}

fn table(multios: &Figures, linux: &Figures) -> (String, usize) {
    let mut text = String::from("| share of the ideal | MultiOS | Linux lean | |\n|---|---:|---:|---|\n");
    let mut missed = 0;
    for (row, value) in multios {
        let share = |value: u64| format!("{:.3}", value as f64 / 1000.0);
        let reference = linux.get(row);
        let short = row.ends_with("_counted") && *value < MARK;
        missed += usize::from(short);
        let verdict = if short { "missed" } else { "" };
        let reference = reference.map_or("-".into(), |linux| share(*linux));
        text.push_str(&format!("| {row} | {} | {reference} | {verdict} |\n", share(*value)));
    }
    (text, missed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_is_what_the_kernel_adds() {
        let figures = |counted| Figures::from([("fork_exit_counted".into(), counted), ("fork_exit_best".into(), 500)]);
        assert_eq!(table(&figures(900), &Figures::new()).1, 0);
        assert_eq!(table(&figures(899), &figures(100)).1, 1);
        assert!(table(&figures(700), &figures(701)).0.contains("| fork_exit_counted | 0.700 | 0.701 | missed |"));
    }
}
