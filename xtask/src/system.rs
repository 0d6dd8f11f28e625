//! The commands themselves, and scenarios that only make sense inside the booted kernel.
//!
//! A scenario is `tests/system/NAME.sh` with the output it must give in `NAME.out`, on one CPU and on four; it must exit with 0. The commands are
//! tested by calling this program's own functions with what a user would type.

mod console;

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio as Pipe};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::differential::{self, on_multios};
use crate::exec::Guest;
use crate::initramfs::{Stdin, Tree};
use crate::machine::Machine;
use crate::qemu::{Capture, Limit, Outcome};
use crate::suite::{Report, Verdict, difference};
use crate::tools::{self, Need};
use crate::{build, paths, process};

const LIMIT: Limit = Limit { total: Some(Duration::from_secs(120)), silence: None };

/// The suite.
pub fn run(report: &mut Report, debug: bool) -> Result<()> {
    tools::need(&[Need::Run, Need::Test])?;
    let machine = Machine { debug, ..Machine::default() };
    commands(report, &machine)?;
    scenarios(report, &machine)
}

// ---- Scenarios ----------------------------------------------------------------------------------------------------

fn scenarios(report: &mut Report, machine: &Machine) -> Result<()> {
    let scratch = paths::scratch()?;
    let (mut tree, mut cases) = (Tree::standard()?, Vec::new());
    for (name, program) in build::c_programs(scratch.path())? {
        tree.host_file(&format!("tests/programs/{name}"), &program)?;
    }
    for script in build::sorted(&paths::root().join("tests/system"))? {
        let name = script.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(".sh") && report.wants(&name) {
            tree.host_file(&format!("tests/system/{name}"), &script)?;
            cases.push((format!("/tests/system/{name}"), script.with_extension("out"), name));
        }
    }
    if cases.is_empty() {
        return Ok(());
    }
    let paths: Vec<_> = cases.iter().map(|(path, ..)| path.clone()).collect();
    for smp in [1, 4] {
        let machine = Machine { smp, ..machine.clone() };
        let what = format!("running the scenarios with {smp} CPUs");
        let (results, crashes) = process::with_progress(&what, || on_multios(&machine, &tree, &paths))?;
        for (_, expected, name) in &cases {
            let expected = fs::read(expected).with_context(|| format!("cannot read {}", expected.display()))?;
            let result: Option<&differential::CaseResult> = results.get(name);
            let verdict = match (result, crashes.get(name)) {
                (_, Some(crash)) => Verdict::Failed(crash.clone()),
                (None, None) => Verdict::Failed("never ran".into()),
                (Some(result), None) if result.output == expected && result.status == "exit:0" => Verdict::Passed,
                (Some(result), None) => {
                    let difference = difference(("expected", &expected), ("multios", &result.output), scratch.path())?;
                    Verdict::Failed(format!("status {}\n{difference}", result.status))
                }
            };
            report.add(&format!("{name} smp={smp}"), verdict, result.map_or(Duration::ZERO, |result| result.time));
        }
    }
    Ok(())
}

// ---- Commands -----------------------------------------------------------------------------------------------------

struct Run {
    outcome: Outcome,
    output: String,
    log: String,
}

fn shell(machine: &Machine, script: &str) -> Result<Run> {
    program(machine, &["/bin/busybox", "sh", "-c", script], Stdin::Empty, &[])
}

fn program(machine: &Machine, argv: &[&str], stdin: Stdin, add: &[String]) -> Result<Run> {
    let argv: Vec<_> = argv.iter().map(|word| (*word).to_owned()).collect();
    finish(&Guest::new(machine, None, add, &argv, stdin)?, LIMIT)
}

fn finish(guest: &Guest, limit: Limit) -> Result<Run> {
    let console = Capture::default();
    let finished = guest.run(false, Box::new(console.clone()), Box::new(std::io::sink()), limit)?;
    let output = String::from_utf8_lossy(&console.bytes()).into_owned();
    Ok(Run { outcome: finished.outcome, output, log: finished.log_tail.join("\n") })
}

/// Groups of svcheck that go by the clock, where a busy host makes nothing slow: time is the count of instructions.
fn services_in_counted_time(machine: &Machine, cpus: &[u32], groups: &[&str]) -> Result<()> {
    for smp in cpus {
        let machine = Machine { smp: *smp, icount: true, ..machine.clone() };
        let argv: Vec<_> = std::iter::once("/bin/svcheck").chain(groups.iter().copied()).collect();
        let run = program(&machine, &argv, Stdin::Empty, &[])?;
        ensure!(
            run.outcome == Outcome::Exited(0) && run.output.ends_with("\n0 failed\n") && !run.output.contains("FAIL"),
            "smp={smp}: {:?}\n{}\n{}",
            run.outcome,
            run.output,
            run.log
        );
    }
    Ok(())
}

fn expect(run: &Run, outcome: Outcome, output: &str) -> Result<()> {
    let log = || run.log.lines().rev().take(20).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n");
    ensure!(
        run.outcome == outcome,
        "{:?} in place of {outcome:?}\n{}\nkernel log:\n{}",
        run.outcome,
        run.output,
        log()
    );
    ensure!(run.output == output, "output {:?}\nin place of {output:?}\nkernel log:\n{}", run.output, log());
    Ok(())
}

type Case = fn(&Machine) -> Result<()>;

/// What the commands' cases are called.
pub fn names() -> Vec<&'static str> {
    COMMANDS.iter().map(|(name, _)| *name).collect()
}

const COMMANDS: &[(&str, Case)] = &[
    ("exec prints and exits as on Linux", |machine| {
        let script = "echo hello; ls / | wc -l; echo a b c | tr a-z A-Z; (sleep 0.2; echo late) & wait; exit 7";
        expect(&shell(machine, script)?, Outcome::Exited(7), "hello\n12\nA B C\nlate\n")
    }),
    ("exec gives 128 and the signal", |machine| {
        expect(&shell(machine, "kill -KILL $$")?, Outcome::Exited(137), "")?;
        expect(&shell(machine, "kill -SEGV $$")?, Outcome::Exited(139), "")
    }),
    ("exec gives 127 for a program that is not there", |machine| {
        let run = program(machine, &["/no/such/program"], Stdin::Empty, &[])?;
        ensure!(run.outcome == Outcome::Exited(127), "{:?}", run.outcome);
        Ok(())
    }),
    ("exec passes every byte of input and output", |machine| {
        let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
        let argv = ["/bin/cat"].map(String::from);
        let guest = Guest::new(machine, None, &[], &argv, Stdin::Bytes(bytes.clone()))?;
        let console = Capture::default();
        let finished = guest.run(false, Box::new(console.clone()), Box::new(std::io::sink()), LIMIT)?;
        ensure!(finished.outcome == Outcome::Exited(0), "{:?}", finished.outcome);
        let same = console.bytes().iter().zip(&bytes).take_while(|(a, b)| a == b).count();
        ensure!(console.bytes() == bytes, "{} bytes of {}, equal up to {same}", console.bytes().len(), bytes.len());
        Ok(())
    }),
    ("exec keeps arguments as they are", |machine| {
        let argv = ["/bin/busybox", "printf", "[%s]", "a b", "", "'\"$x\\", "ü\n"];
        expect(&program(machine, &argv, Stdin::Empty, &[])?, Outcome::Exited(0), "[a b][]['\"$x\\][ü\n]")
    }),
    ("exec gives up after its time", |machine| {
        let argv = ["/bin/busybox", "sleep", "1000"].map(String::from);
        let guest = Guest::new(machine, None, &[], &argv, Stdin::Empty)?;
        let limit = Limit { total: Some(Duration::from_secs(8)), silence: None };
        ensure!(finish(&guest, limit)?.outcome == Outcome::TimedOut, "it ended");
        Ok(())
    }),
    ("added files keep their mode", |machine| {
        let scratch = paths::scratch()?;
        let file = scratch.path().join("file");
        fs::write(&file, "text")?;
        let add = [format!("{}:/opt/deep/file", file.display())];
        let script = "cat /opt/deep/file; stat -c %a /opt/deep/file; stat -c %a /tmp";
        let run = program(machine, &["/bin/busybox", "sh", "-c", script], Stdin::Empty, &add)?;
        expect(&run, Outcome::Exited(0), "text644\n1777\n")
    }),
    ("console= chooses the port", |machine| {
        // The second port carries the log; the last word of the command line is the one that counts.
        let machine =
            Machine { cmdline: "console=ttyS3 console=tty0 console=ttyS1,115200n8".into(), ..machine.clone() };
        let run = shell(&machine, "echo over there; exit 3")?;
        expect(&run, Outcome::Exited(3), "")?;
        for line in ["over there", "no ttyS3", "tty0 is none"] {
            ensure!(run.log.contains(line), "no {line:?} in the log:\n{}", run.log);
        }
        Ok(())
    }),
    ("services shut down whatever they do", |machine| {
        // Eighteen good ones, one that is deaf to SIGTERM and a fork bomb.
        let argv = ["/bin/svcheck", "shutdown"];
        let run = program(machine, &argv, Stdin::Empty, &[])?;
        expect(&run, Outcome::Exited(0), "ok all run\nok shutdown\nok nothing is taken any more\n")?;
        ensure!(run.log.contains("svc: nothing is left"), "the services did not stop first:\n{}", run.log);
        Ok(())
    }),
    // In a boot of its own: the log is as long as it is.
    ("what services were told gives the same transitions again", |machine| {
        let run = program(machine, &["/bin/svcheck", "order", "rights", "replay"], Stdin::Empty, &[])?;
        ensure!(run.outcome == Outcome::Exited(0), "{:?}\n{}\nkernel log:\n{}", run.outcome, run.output, run.log);
        ensure!(run.output.ends_with("\n0 failed\n") && !run.output.contains("FAIL"), "{}", run.output);
        Ok(())
    }),
    ("connections go where the policy says", |machine| services_in_counted_time(machine, &[1], &["balance"])),
    ("services get the bytes a second they are limited to", |machine| {
        services_in_counted_time(machine, &[1, 4], &["io"])
    }),
    ("services that hang are found in their runnable time", |machine| {
        services_in_counted_time(machine, &[1, 4], &["watchdog"])
    }),
    ("services get their share, stand still and are probed", |machine| {
        services_in_counted_time(machine, &[1, 4], &["cpu", "pause", "probes", "memory-out"])
    }),
    // Alone: who watches a scenario looks every 20 ms, which is a timer, too.
    ("clocks are right and idle CPUs are left alone", |machine| {
        for smp in [1, 4] {
            let run = program(&Machine { smp, ..machine.clone() }, &["/bin/pm", "clock"], Stdin::Empty, &[])?;
            ensure!(
                run.outcome == Outcome::Exited(0) && run.output.ends_with("all passed\n"),
                "{}\n{}",
                run.output,
                run.log
            );
        }
        Ok(())
    }),
    ("services stop in 30 s and 5 s", |machine| {
        // The default's times, one in ten deaf to SIGTERM. Time without work passes at once when instructions are counted.
        for smp in [1, 4] {
            let machine = Machine { smp, icount: true, ..machine.clone() };
            let run = program(&machine, &["/bin/svcheck", "shutdown-real"], Stdin::Empty, &[])?;
            let after = |text: &str, words: &str| {
                let at = text.find(words)? + words.len();
                text[at..].split_whitespace().next()?.trim_end_matches(']').parse::<f64>().ok()
            };
            let asked = after(&run.output, "asked to end at");
            let gone =
                run.log.lines().find(|line| line.contains("svc: nothing is left")).and_then(|line| after(line, "["));
            let took = asked.zip(gone).map(|(asked, gone)| gone - asked);
            ensure!(took.is_some_and(|took| took > 34.9 && took <= 36.0), "{took:?}\n{}\n{}", run.output, run.log);
        }
        Ok(())
    }),
    ("services stop before a poweroff", |machine| {
        let run = shell(machine, "svcheck leave && poweroff -f; sleep 100; echo after")?;
        expect(&run, Outcome::Exited(0), "ok all run\n0 failed\n")?;
        ensure!(run.log.contains("svc: nothing is left"), "the services did not stop first:\n{}", run.log);
        Ok(())
    }),
    ("poweroff ends the machine", |machine| {
        let run = shell(machine, "echo before; poweroff; sleep 100; echo after")?;
        expect(&run, Outcome::Exited(0), "before\n")
    }),
    ("the shell on the console is a service", console::a_service),
    ("poweroff from the console stops its service as well", console::powers_off),
    ("a console without its service has a child of init", console::no_service),
    ("a foreign initramfs boots with its own init", |machine| foreign(machine, Packing::Plain, false)),
    ("a foreign initramfs boots when gzipped", |machine| foreign(machine, Packing::Gzip, false)),
    ("a program runs over a foreign initramfs", |machine| foreign(machine, Packing::Gzip, true)),
    ("a thousand shells leak nothing", leaks),
    ("a million random calls do no harm", random_calls),
    ("process-debug logs every operation, and only it", traces),
    ("nice values and affinities are obeyed on 1, 2, 4 and 8 CPUs", shares),
    ("a critical reader lends to who writes", lending),
    ("without busybox there is msh", |machine| {
        let script = "echo one | cat; cd /bin && pwd; ls /nowhere || echo failed; echo $?; exit 3";
        let mut tree = Tree::standard()?;
        tree.execute(&["/bin/msh", "-c", script].map(String::from), Stdin::Empty)?;
        let run = finish(&Guest::from_tree(machine, None, Some(tree), "init=/bin/init")?, LIMIT)?;
        ensure!(run.outcome == Outcome::Exited(3), "{:?}\n{}\n{}", run.outcome, run.output, run.log);
        ensure!(run.output.starts_with("one\n/bin\n") && run.output.ends_with("failed\n0\n"), "{:?}", run.output);
        Ok(())
    }),
];

fn commands(report: &mut Report, machine: &Machine) -> Result<()> {
    for (name, case) in COMMANDS {
        if !report.wants(name) {
            continue;
        }
        let started = Instant::now();
        let verdict = match process::with_progress(name, || case(machine)) {
            Ok(()) => Verdict::Passed,
            Err(error) => Verdict::Failed(format!("{error:#}")),
        };
        report.add(name, verdict, started.elapsed());
    }
    Ok(())
}

#[derive(PartialEq)]
enum Packing {
    Plain,
    Gzip,
}

/// An initramfs as one would make for Linux: busybox and a script as /init.
fn foreign(machine: &Machine, packing: Packing, with_program: bool) -> Result<()> {
    let scratch = paths::scratch()?;
    let busybox = tools::busybox().context("no static busybox")?;
    let mut tree = Tree::default();
    tree.host_file("bin/busybox", &busybox)?;
    tree.symlink("bin/sh", "busybox");
    tree.directory("proc", 0o755);
    tree.directory("dev", 0o755);
    let init = "#!/bin/sh\n/bin/busybox mount -t proc proc /proc\necho \"init is $$\"\n/bin/busybox cat /proc/1/comm\n\
                /bin/busybox ls -1 /\n/bin/busybox poweroff -f\n";
    tree.file("init", 0o755, init);
    let archive = scratch.path().join("foreign.cpio");
    fs::write(&archive, tree.archive())?;
    let archive = if packing == Packing::Gzip { gzip(&archive)? } else { archive };
    if with_program {
        let argv = ["/bin/busybox", "sh", "-c", "echo over; exit 9"].map(String::from);
        let guest = Guest::new(machine, Some(&archive), &[], &argv, Stdin::Empty)?;
        return expect(&finish(&guest, LIMIT)?, Outcome::Exited(9), "over\n");
    }
    let run = finish(&Guest::new(machine, Some(&archive), &[], &[], Stdin::Empty)?, LIMIT)?;
    let run = Run { output: run.output.replace('\r', ""), ..run };
    expect(&run, Outcome::Exited(0), "init is 1\ninit\nbin\ndev\ninit\nproc\n")
}

fn gzip(file: &std::path::Path) -> Result<std::path::PathBuf> {
    let packed = file.with_extension("cpio.gz");
    let mut gzip = Command::new("gzip").arg("-9c").stdin(Pipe::piped()).stdout(fs::File::create(&packed)?).spawn()?;
    gzip.stdin.take().context("no pipe to gzip")?.write_all(&fs::read(file)?)?;
    ensure!(gzip.wait()?.success(), "gzip failed");
    Ok(packed)
}

/// What the kernel holds is the same before and after three thousand shells; the first two thousand may fill caches, and let the
/// shell that counts touch all pages that it needs for that. On one
/// CPU, since another may keep the tables of an ended process until it runs something else. The kernel's heap may have a frame
/// more, since timer interrupts split its slabs differently in each run: two bytes lost per shell would be more than that.
fn leaks(machine: &Machine) -> Result<()> {
    let script = "count() {\n\
        sleep 0.5; counted= heap=\n\
        while read name number; do\n\
            case $name in\n\
            frames_heap) heap=$number;;\n\
            frames_tables|frames_user|frames_files|frames_kernel|processes|threads) counted=\"$counted $name $number\";;\n\
            esac\n\
        done < /proc/multios/counts\n\
        }\n\
        run() { i=0; while [ $i -lt $1 ]; do sh -c true; i=$((i+1)); done; }\n\
        for warm in 1 2; do run 1010; count; before=$counted most=$((heap+1)); done; run 3000; count\n\
        [ \"$before\" = \"$counted\" ] && echo same || echo before $before after $counted\n\
        [ $heap -le $most ] && echo heap same || echo heap at most $most, was $heap\n\
        [ -n \"$before\" ] && [ $most -gt 1 ] && echo counted";
    expect(&shell(&Machine { smp: 1, ..machine.clone() }, script)?, Outcome::Exited(0), "same\nheap same\ncounted\n")
}

/// Random calls from several processes on four CPUs, with one seed for all time: the kernel lives, table and tree are sound
/// afterwards, and nothing is left of all the processes.
fn random_calls(machine: &Machine) -> Result<()> {
    let machine = Machine { smp: 4, mem: 1 << 30, ..machine.clone() };
    let run = program(&machine, &["/bin/pm", "fuzz", "1000000", "20260101", "4"], Stdin::Empty, &[])?;
    ensure!(run.outcome == Outcome::Exited(0), "{:?}\n{}\nkernel log:\n{}", run.outcome, run.output, run.log);
    ensure!(run.output.contains("\nsound") && run.output.ends_with("all passed\n"), "{}", run.output);
    Ok(())
}

/// Counted time, in which CPUs take turns: real time passes for virtual CPUs while a busy host does not run them.
fn shares(machine: &Machine) -> Result<()> {
    let scratch = paths::scratch()?;
    let compiled = build::c_program(&paths::root().join("tests/system/shares.c"), scratch.path())?;
    let add = [format!("{}:/bin/shares", compiled.display())];
    for smp in [1, 2, 4, 8] {
        let run = program(&Machine { smp, icount: true, ..machine.clone() }, &["/bin/shares"], Stdin::Empty, &add)?;
        ensure!(run.outcome == Outcome::Exited(0), "with {smp} CPUs: {:?}\n{}\n{}", run.outcome, run.output, run.log);
        ensure!(run.output.lines().count() == 6, "with {smp} CPUs:\n{}", run.output);
        ensure!(run.output.lines().all(|line| line.ends_with(": yes")), "with {smp} CPUs:\n{}", run.output);
    }
    Ok(())
}

/// Counted time on one CPU, where what is more urgent runs and nothing else.
fn lending(machine: &Machine) -> Result<()> {
    let scratch = paths::scratch()?;
    let compiled = build::c_program(&paths::root().join("tests/system/lending.c"), scratch.path())?;
    let add = [format!("{}:/bin/lending", compiled.display())];
    let run = program(&Machine { smp: 1, icount: true, ..machine.clone() }, &["/bin/lending"], Stdin::Empty, &add)?;
    let expected = "the only writer of a pipe, before it wrote anything: soon\n\
        the last writer of several: soon\n\
        the other end of a socket: soon\n\
        what it does after it wrote: late\n\
        one that takes too long: late\n\
        for an ordinary reader: late\n";
    expect(&run, Outcome::Exited(0), expected)
}

/// The kernel with the feature `process-debug` logs what processes do; in the one without, there is nothing of it.
fn traces(machine: &Machine) -> Result<()> {
    const OPERATIONS: &[&str] = &[
        "clone: parent=",
        "credentials: tid=",
        "exec: pid=",
        "exit: pid=",
        "limits: pid=",
        "namespaces: tid=",
        "reap: pid=",
        "scheduling: tid=",
        "setsid: pid=",
        "signal: pid=",
        "wait: parent=",
    ];
    let traced = Machine { trace: true, debug: false, smp: 4, ..machine.clone() };
    let script = "trap : USR1; (kill -USR1 $$; exit 3) & wait; setsid true; nice -n 5 true; unshare -u true; \
                  start-stop-daemon -S -c nobody -x /bin/testrun; ulimit -n 99; exit 4";
    let argv = ["/bin/busybox", "sh", "-c", script].map(String::from);
    let log = Capture::default();
    let guest = Guest::new(&traced, None, &[], &argv, Stdin::Empty)?;
    let finished = guest.run(false, Box::new(std::io::sink()), Box::new(log.clone()), LIMIT)?;
    let log = String::from_utf8_lossy(&log.bytes()).into_owned();
    ensure!(finished.outcome == Outcome::Exited(4), "{:?}\n{log}", finished.outcome);
    let lines: Vec<_> = log.lines().filter_map(|line| Some(line.split_once("[PM] ")?.1)).collect();
    for operation in OPERATIONS {
        ensure!(lines.iter().any(|line| line.starts_with(operation)), "no {operation:?} in the log:\n{log}");
    }
    let scratch = paths::scratch()?;
    for (machine, there) in [(&traced, true), (machine, false)] {
        let kernel = fs::read(build::kernel(machine.profile(), scratch.path())?)?;
        let found = kernel.windows(5).any(|bytes| bytes == b"[PM] ");
        ensure!(found == there, "the kernel of {:?} has the texts of the trace: {found}", machine.profile());
    }
    Ok(())
}
