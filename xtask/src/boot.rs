//! Every way to boot: loaders, firmware, media, boards, CPUs, memory, NUMA.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::exec::Guest;
use crate::initramfs::Stdin;
use crate::iso::{self, Medium};
use crate::machine::{Board, Boot, Machine};
use crate::process;
use crate::qemu::{Capture, Limit, Outcome};
use crate::suite::{Report, Verdict};

/// UEFI firmware alone takes 15 s on a busy machine.
const LIMIT: Limit = Limit { total: Some(Duration::from_secs(180)), silence: None };

/// Prints for each memory node how many frames of each node 8 MiB took that were written on a CPU of it.
const NEAR_MEMORY: &str = r"free() { sed 's/.*free \([0-9]*\).*/\1/' /proc/multios/nodes; }
for cpu in $(sed 's/.*cpus .\([0-9]*\).*/\1/' /proc/multios/nodes); do
    before=$(free)
    taskset $(printf %x $((1 << cpu))) dd if=/dev/zero of=/tmp/near bs=64k count=128 2>/dev/null
    set -- $(free)
    for frames in $before; do echo $((frames - $1)); shift; done
    rm /tmp/near
done";
/// Then sleepers that also compute, fewer than CPUs; of all that woke them: how many tasks were woken, and how many of their moves
/// led to another node.
const NEAR_WORK: &str = r"sum() { tr ' ' '\n' < /proc/multios/cpus | grep -A1 ^$1$ | grep -v '[a-z-]' | { s=0; while read n; do s=$((s + n)); done; echo $s; }; }
woken=$(sum woken); moves=$(sum node_moves)
for n in 1 2 3; do (i=0; while [ $i -lt 60 ]; do usleep 2000; k=0; while [ $k -lt 50 ]; do k=$((k+1)); done; i=$((i+1)); done) & done
wait
echo near $(($(sum woken) - woken)) $(($(sum node_moves) - moves))";
/// Half of those 8 MiB, in frames.
const NEAR_FRAMES: i64 = 1024;

/// The suite.
pub fn run(report: &mut Report, debug: bool) -> Result<()> {
    let mut without_limine = Vec::new();
    for (name, machine) in matrix(debug) {
        if !report.wants(&name) {
            continue;
        }
        if machine.boot == Boot::Limine {
            let medium = if machine.usb && !machine.uefi { Medium::BiosStick } else { Medium::Other };
            // Asked once for each, since the answer may be that a download failed.
            if !without_limine.iter().any(|(known, _)| *known == medium) {
                without_limine.push((medium, iso::limine_reason(medium)));
            }
            if let Some((_, Some(reason))) = without_limine.iter().find(|(known, _)| *known == medium) {
                report.add(&name, Verdict::Skipped(reason.clone()), Duration::ZERO);
                continue;
            }
        }
        let started = Instant::now();
        let verdict = match process::with_progress(&name, || boots(&machine)) {
            Ok(()) => Verdict::Passed,
            Err(error) => Verdict::Failed(format!("{error:#}")),
        };
        report.add(&name, verdict, started.elapsed());
    }
    Ok(())
}

/// What the cases are called.
pub fn names() -> Vec<String> {
    matrix(false).into_iter().map(|(name, _)| name).collect()
}

fn matrix(debug: bool) -> Vec<(String, Machine)> {
    let base = Machine { debug, ..Machine::default() };
    let mut cases = Vec::new();
    for smp in [1, 2, 4, 8] {
        cases.push((format!("direct q35 smp={smp}"), Machine { smp, ..base.clone() }));
    }
    for (text, mem) in [("64M", 64 << 20), ("128M", 128 << 20), ("2G", 2 << 30), ("5G", 5 << 30), ("8G", 8 << 30)] {
        cases.push((format!("direct q35 mem={text}"), Machine { mem, ..base.clone() }));
    }
    let small = Machine { smp: 1, mem: 64 << 20, ..base.clone() };
    cases.push(("direct q35 smp=1 mem=64M".into(), small.clone()));
    cases.push(("direct pc".into(), Machine { machine: Board::Pc, ..base.clone() }));
    cases.push(("direct q35 numa=2".into(), Machine { smp: 4, numa: 2, ..base.clone() }));
    cases.push(("direct q35 cpu=qemu64".into(), Machine { cpu: "qemu64".into(), ..base.clone() }));
    cases.push(("direct q35 icount".into(), Machine { smp: 1, icount: true, ..base.clone() }));
    for smp in [1, 4] {
        cases.push((format!("direct microvm smp={smp}"), Machine { machine: Board::Microvm, smp, ..base.clone() }));
    }
    cases.push(("direct microvm smp=1 mem=64M".into(), Machine { machine: Board::Microvm, ..small }));
    for (loader, boot) in [("limine", Boot::Limine), ("grub", Boot::Grub)] {
        for (firmware, uefi) in [("bios", false), ("uefi", true)] {
            for (medium, usb) in [("cd", false), ("usb", true)] {
                let machine = Machine { boot, uefi, usb, ..base.clone() };
                cases.push((format!("{loader} {firmware} {medium}"), machine));
            }
        }
        cases.push((format!("{loader} bios cd smp=8 mem=8G"), Machine { boot, smp: 8, mem: 8 << 30, ..base.clone() }));
        cases
            .push((format!("{loader} bios cd smp=1 mem=64M"), Machine { boot, smp: 1, mem: 64 << 20, ..base.clone() }));
    }
    cases
}

fn boots(machine: &Machine) -> Result<()> {
    let near_work = if machine.numa > 1 { NEAR_WORK } else { ":" };
    let script = format!(
        "echo booted; grep -c ^processor /proc/cpuinfo; cat /proc/cmdline; {NEAR_MEMORY}\n{near_work}; exit 42"
    );
    let program = ["/bin/busybox", "sh", "-c", &script].map(String::from);
    let machine = Machine { cmdline: "tested=yes".into(), ..machine.clone() };
    let guest = Guest::new(&machine, None, &[], &program, Stdin::Empty)?;
    let console = Capture::default();
    let finished = guest.run(false, Box::new(console.clone()), Box::new(std::io::sink()), LIMIT)?;
    let output = String::from_utf8_lossy(&console.bytes()).into_owned();
    let log = finished.log_tail.iter().rev().take(15).rev().cloned().collect::<Vec<_>>().join("\n");
    let context = || format!("{:?}\nconsole: {output}\nkernel log:\n{log}", finished.outcome);
    ensure!(finished.outcome == Outcome::Exited(42), "{}", context());
    let mut lines = output.lines();
    ensure!(lines.next() == Some("booted"), "{}", context());
    let cpus = lines.next().unwrap_or_default();
    ensure!(cpus == machine.smp.to_string(), "{cpus} CPUs in place of {}\n{}", machine.smp, context());
    ensure!(lines.next().is_some_and(|line| line.contains("tested=yes")), "no command line\n{}", context());
    let (work, lines): (Vec<&str>, Vec<&str>) = lines.partition(|line| line.starts_with("near "));
    if machine.numa > 1 {
        let figures =
            work.first().and_then(|line| line.strip_prefix("near ")?.split_once(' ')).with_context(context)?;
        let (woken, moves): (u64, u64) = (figures.0.parse()?, figures.1.parse()?);
        ensure!(woken >= 60 && moves * 2 < woken, "{moves} moves between nodes in {woken} wake-ups\n{}", context());
    }
    let taken = lines.into_iter().map(str::parse).collect::<Result<Vec<i64>, _>>().with_context(context)?;
    let expected = (0..i64::from(machine.numa)).flat_map(|user| (0..i64::from(machine.numa)).map(move |of| user == of));
    let as_expected = |(taken, expected): (&i64, bool)| (*taken > NEAR_FRAMES) == expected;
    ensure!(taken.len() as u32 == machine.numa.pow(2), "figures of {} nodes\n{}", machine.numa, context());
    ensure!(taken.iter().zip(expected).all(as_expected), "memory of the wrong node was taken\n{}", context());
    Ok(())
}
