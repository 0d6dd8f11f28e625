//! `cargo xtask test`: the suites, their results as one table, one exit status.

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::{boot, check, differential, paths, process, system};

/// A part of the tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Suite {
    /// Everything, in the order of this list
    All,
    /// Formatting, lints, layers, documentation
    Check,
    /// Unit tests on this machine; needs nothing but Rust
    Host,
    /// The supervisor of services against ten million injected faults, on this machine
    Simulation,
    /// The commands themselves, and scenarios inside the booted kernel
    System,
    /// The same programs on this machine's Linux and on MultiOS
    Differential,
    /// Every way to boot: loaders, firmware, CPUs, memory
    Boot,
}

#[derive(Args)]
pub struct TestArgs {
    /// Which suite
    #[arg(value_enum, default_value = "all")]
    pub suite: Suite,
    /// Only cases whose name contains this
    pub filter: Option<String>,
    /// Boot the kernel with debug assertions
    #[arg(long)]
    pub debug: bool,
    /// Differential: run on Linux twice in place of MultiOS, to find cases whose result is a matter of luck
    #[arg(long)]
    pub twice_on_linux: bool,
}

/// The command.
pub fn test(args: &TestArgs) -> Result<u8> {
    let mut report = Report::new(args.filter.clone());
    let wanted = |suite| args.suite == Suite::All || args.suite == suite;
    if wanted(Suite::Check) && args.filter.is_none() {
        report.suite("check", |report| report.case("check", || passed(check::check()? == 0, "see above")));
    }
    if wanted(Suite::Host) {
        report.suite("host", |report| report.case("cargo test", || host(args.filter.as_deref())));
    }
    if wanted(Suite::Simulation) {
        report.suite("simulation", |report| report.case("services: 10,000,000 faults", simulation));
    }
    if wanted(Suite::System) {
        report.suite("system", |report| system::run(report, args.debug));
    }
    if wanted(Suite::Differential) {
        report.suite("differential", |report| differential::run(report, args.debug, args.twice_on_linux));
    }
    if wanted(Suite::Boot) {
        report.suite("boot", |report| boot::run(report, args.debug));
    }
    report.finish()
}

/// `Ok` if `good`, else an error with `why`.
pub fn passed(good: bool, why: &str) -> Result<()> {
    if good { Ok(()) } else { bail!("{why}") }
}

fn host(filter: Option<&str>) -> Result<()> {
    for packages in [&[][..], &["--package", "xtask", "--package", "msh", "--package", "svc"][..]] {
        let cargo = |args: &[&str]| {
            let mut cargo = Command::new("cargo");
            cargo.current_dir(paths::root()).arg("test").args(packages).args(args);
            cargo
        };
        // Apart, since what is quiet about the tests would be silent about the minutes before them.
        process::step("compiling the unit tests", &mut cargo(&["--no-run"]))?;
        let mut cargo = cargo(&["--quiet"]);
        cargo.args(filter);
        passed(process::show(&process::words(&cargo), &mut cargo)?, "a unit test failed, see above")?;
    }
    Ok(())
}

fn simulation() -> Result<()> {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(paths::root()).envs([("SERVICES_FAULTS", "10000000"), ("SERVICES_DEPTH", "2")]);
    cargo.args(["test", "--quiet", "--package", "services", "--lib", "--", "--nocapture"]);
    cargo.args(["no_invariant_breaks", "every_reachable_state"]);
    passed(process::show(&process::words(&cargo), &mut cargo)?, "an invariant broke, see above for the seed")
}

/// What came of one case.
pub enum Verdict {
    /// As it should be.
    Passed,
    /// Not as it should be, and how.
    Failed(String),
    /// Not run, and why; only for want of something that cannot be had here.
    Skipped(String),
}

/// The results so far.
pub struct Report {
    filter: Option<String>,
    suite: String,
    rows: Vec<(String, String, Verdict, Duration)>,
}

impl Report {
    fn new(filter: Option<String>) -> Self {
        Self { filter, suite: String::new(), rows: Vec::new() }
    }

    fn suite(&mut self, name: &str, run: impl FnOnce(&mut Self) -> Result<()>) {
        eprintln!("==> {name}");
        self.suite = name.to_owned();
        if let Err(error) = run(self) {
            self.add("the suite itself", Verdict::Failed(format!("{error:#}")), Duration::ZERO);
        }
    }

    /// Whether the user wants the case `name`.
    pub fn wants(&self, name: &str) -> bool {
        self.filter.as_deref().is_none_or(|filter| name.contains(filter))
    }

    /// Runs a case now and records it.
    pub fn case(&mut self, name: &str, run: impl FnOnce() -> Result<()>) -> Result<()> {
        if self.suite != "host" && !self.wants(name) {
            return Ok(());
        }
        let started = Instant::now();
        let verdict = match run() {
            Ok(()) => Verdict::Passed,
            Err(error) => Verdict::Failed(format!("{error:#}")),
        };
        self.add(name, verdict, started.elapsed());
        Ok(())
    }

    /// Records a case.
    pub fn add(&mut self, name: &str, verdict: Verdict, time: Duration) {
        let (word, detail) = match &verdict {
            Verdict::Passed => ("ok", ""),
            Verdict::Failed(detail) => ("FAILED", detail.as_str()),
            Verdict::Skipped(reason) => ("skipped", reason.as_str()),
        };
        println!("{word:<8} {} {name} ({:.1} s)", self.suite, time.as_secs_f64());
        for line in detail.lines() {
            println!("         {line}");
        }
        self.rows.push((self.suite.clone(), name.to_owned(), verdict, time));
    }

    fn finish(self) -> Result<u8> {
        let failed: Vec<_> = self.rows.iter().filter(|row| matches!(row.2, Verdict::Failed(_))).collect();
        let skipped: Vec<_> = self.rows.iter().filter(|row| matches!(row.2, Verdict::Skipped(_))).collect();
        println!();
        for (title, rows) in [("failed", &failed), ("skipped", &skipped)] {
            if !rows.is_empty() {
                println!("{title}:");
                rows.iter().for_each(|(suite, name, ..)| println!("  {suite} {name}"));
            }
        }
        let passed = self.rows.len() - failed.len() - skipped.len();
        println!("{passed} passed, {} failed, {} skipped", failed.len(), skipped.len());
        if self.rows.is_empty() {
            bail!("no case of that name");
        }
        Ok(u8::from(!failed.is_empty()))
    }
}

/// The difference between two outputs, for people.
pub fn difference(expected: (&str, &[u8]), actual: (&str, &[u8]), scratch: &Path) -> Result<String> {
    let (left, right) = (scratch.join("expected"), scratch.join("actual"));
    std::fs::write(&left, expected.1)?;
    std::fs::write(&right, actual.1)?;
    let output = Command::new("diff")
        .args(["-a", "-U2", "--label", expected.0, "--label", actual.0])
        .args([&left, &right])
        .output();
    let text = match output {
        Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Err(_) => format!("expected {:?}\nactual {:?}", expected.1.escape_ascii(), actual.1.escape_ascii()),
    };
    Ok(text.lines().take(60).map(|line| line.escape_debug().to_string() + "\n").collect())
}
