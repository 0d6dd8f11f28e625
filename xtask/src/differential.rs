//! The same scripts and programs on this machine's Linux and on MultiOS: outputs and statuses must be equal.
//!
//! Cases are `tests/differential/*.sh` and the programs of `tests/programs`. One boot with two CPUs runs them all, by `testrun`;
//! three more, with one CPU and with four, there also by a kernel with debug assertions that logs every operation, run those
//! that the rows of processes and scheduling in `VERIFICATION.md` and `docs/traps.md` name; one with eight those of scheduling. When the kernel
//! does not survive a case, the next boot goes on with the one after it. Linux runs them in a change-rooted copy of the
//! same tree, with namespaces of its own.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::exec::Guest;
use crate::initramfs::{Stdin, Tree};
use crate::machine::Machine;
use crate::qemu::{Capture, Limit, Outcome};
use crate::suite::{Report, Verdict, difference};
use crate::tools::{self, Need};
use crate::{build, ledger, paths, process};

/// The guest says something at least at the end of each case, which `testrun` ends after 60 s.
const SILENCE: Duration = Duration::from_secs(100);

/// What came of one case on one kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseResult {
    /// `exit:N`, `signal:N` or `timeout`.
    pub status: String,
    /// Standard output and error.
    pub output: Vec<u8>,
    /// How long it took.
    pub time: Duration,
}

/// Results by name.
pub type Results = BTreeMap<String, CaseResult>;

/// The suite.
pub fn run(report: &mut Report, debug: bool, twice_on_linux: bool) -> Result<()> {
    tools::need(&[Need::Run, Need::Test])?;
    let scratch = paths::scratch()?;
    let (mut tree, mut cases) = (Tree::standard()?, Vec::new());
    for (name, program) in build::c_programs(scratch.path())? {
        tree.host_file(&format!("tests/programs/{name}"), &program)?;
        if report.wants(&name) {
            cases.push(format!("/tests/programs/{name}"));
        }
    }
    for script in build::sorted(&paths::root().join("tests/differential"))? {
        let name = script.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !name.ends_with(".sh") {
            continue;
        }
        tree.host_file(&format!("tests/differential/{name}"), &script)?;
        if report.wants(&name) {
            cases.push(format!("/tests/differential/{name}"));
        }
    }
    if cases.is_empty() {
        return Ok(());
    }
    let linux = process::with_progress("running the cases on Linux", || on_linux(&tree, &cases))?;
    let runs = if twice_on_linux {
        vec![("on Linux again".to_owned(), on_linux(&tree, &cases)?, BTreeMap::new())]
    } else {
        on_machines(debug, &tree, &cases)?
    };
    for case in &cases {
        let name = case_name(case);
        let expected = linux.get(name).with_context(|| format!("{name} did not end on Linux"))?;
        let (mut wrong, mut time) = (String::new(), Duration::ZERO);
        for (machine, results, crashes) in &runs {
            let actual = results.get(name);
            let difference = match (actual, crashes.get(name)) {
                (_, Some(crash)) => crash.clone(),
                (None, None) => continue, // this machine was not to run it
                (Some(actual), None) => compare(expected, actual, scratch.path())?,
            };
            if !difference.is_empty() {
                wrong.push_str(&format!("{machine}:\n{difference}"));
            }
            time += actual.map_or(Duration::ZERO, |actual| actual.time);
        }
        let verdict = if wrong.is_empty() { Verdict::Passed } else { Verdict::Failed(wrong) };
        report.add(name, verdict, time);
    }
    Ok(())
}

/// What a machine is called, the results, and how those ended that the kernel did not survive.
type Run = (String, Results, BTreeMap<String, String>);

/// Everything on two CPUs, what the ledger names on one and on four as well, and there also by a kernel that checks itself; what it names for
/// scheduling on eight, too.
fn on_machines(debug: bool, tree: &Tree, cases: &[String]) -> Result<Vec<Run>> {
    let of = |names: Vec<String>| -> Vec<String> {
        cases.iter().filter(|case| names.iter().any(|name| name == case_name(case))).cloned().collect()
    };
    let (some, scheduling) = (of(ledger::named_tests()?), of(ledger::scheduling_tests()?));
    let mut runs = Vec::new();
    let machine = |smp, trace| Machine { debug, trace, smp, ..Machine::default() };
    let usual = machine(Machine::default().smp, false);
    for (machine, cases) in [
        (usual, cases),
        (machine(1, false), &some),
        (machine(4, false), &some),
        (machine(4, true), &some),
        (machine(8, false), &scheduling),
    ] {
        if cases.is_empty() {
            continue;
        }
        let kind = if machine.trace { ", every operation logged" } else { "" };
        let name = format!("with smp={}{kind}", machine.smp);
        let what = format!("running {} cases on MultiOS {name}", cases.len());
        let (mut results, crashes) = process::with_progress(&what, || on_multios(&machine, tree, cases))?;
        for case in cases.iter().map(|case| case_name(case)) {
            let lost = CaseResult { status: "never ran".into(), output: Vec::new(), time: Duration::ZERO };
            if !crashes.contains_key(case) {
                results.entry(case.to_owned()).or_insert(lost);
            }
        }
        runs.push((name, results, crashes));
    }
    Ok(runs)
}

/// What differs, for people; nothing if nothing does.
fn compare(expected: &CaseResult, actual: &CaseResult, scratch: &std::path::Path) -> Result<String> {
    let mut text = String::new();
    if expected.status != actual.status {
        text = format!("status: {} on Linux, {} on MultiOS\n", expected.status, actual.status);
    }
    if expected.output != actual.output {
        text.push_str(&difference(("linux", &expected.output), ("multios", &actual.output), scratch)?);
    }
    Ok(text)
}

/// Runs `cases` on MultiOS; gives the results, and for each case that the kernel did not survive how it ended.
pub fn on_multios(machine: &Machine, tree: &Tree, cases: &[String]) -> Result<(Results, BTreeMap<String, String>)> {
    let mut results = Results::new();
    let mut crashes = BTreeMap::new();
    let mut rest: &[String] = cases;
    while !rest.is_empty() {
        let mut tree = tree.clone();
        let argv: Vec<_> = std::iter::once("/bin/testrun".to_owned()).chain(rest.iter().cloned()).collect();
        tree.execute(&argv, Stdin::Empty)?;
        let guest = Guest::from_tree(machine, None, Some(tree), "init=/bin/init")?;
        let console = Capture::default();
        let limit = Limit { total: None, silence: Some(SILENCE) };
        let finished = guest.run(false, Box::new(console.clone()), Box::new(std::io::sink()), limit)?;
        let output = console.bytes();
        let (part, open) = parse(&output);
        let done = part.len();
        results.extend(part);
        if finished.outcome == Outcome::Exited(0) && done >= rest.len() {
            break;
        }
        // The case that was running, or the first that should have started, is to blame.
        let guilty = open.unwrap_or_else(|| rest.get(done).map_or_else(String::new, |case| case_name(case).to_owned()));
        let loose = String::from_utf8_lossy(&output[output.len().saturating_sub(600)..]).into_owned();
        let log = finished.log_tail.iter().rev().take(25).rev().cloned().collect::<Vec<_>>().join("\n");
        crashes.insert(
            guilty.clone(),
            format!("the kernel did not survive this ({:?})\nconsole: {loose}\nkernel log:\n{log}", finished.outcome),
        );
        match rest.iter().position(|case| case_name(case) == guilty) {
            Some(at) => rest = &rest[at + 1..],
            None => break,
        }
    }
    Ok((results, crashes))
}

/// Runs `cases` on the Linux of this machine.
fn on_linux(tree: &Tree, cases: &[String]) -> Result<Results> {
    let scratch = paths::scratch()?;
    let root = scratch.path().join("root");
    tree.unpack(&root)?;
    // Whatever the umask of whoever runs the tests.
    std::fs::set_permissions(&root, std::fs::Permissions::from_mode(0o755))?;
    // Whatever signals those who run the tests ignore, as jobs in the background do: no shell can undo that, GNU's env can.
    let mut unshare = Command::new("unshare");
    if process::first_line("env", &["--default-signal", "echo", "reset"]).as_deref() == Some("reset") {
        unshare = Command::new("env");
        unshare.args(["--default-signal", "unshare"]);
    }
    if process::first_line("id", &["-u"]).as_deref() != Some("0") {
        unshare.args(["--user", "--map-root-user"]);
    }
    unshare.args(["--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "sh", "-c", LINUX_SCRIPT, "sh"]);
    unshare.arg(&root).args(cases);
    unshare.env("DEVICES", DEVICES.join(" ")).stdin(Stdio::null());
    let before = modes_of_devices();
    let output = unshare.output().context("cannot run unshare")?;
    ensure!(modes_of_devices() == before, "a case changed the mode of one of this machine's devices: {DEVICES:?}");
    let (results, open) = parse(&output.stdout);
    ensure!(
        results.len() == cases.len(),
        "Linux ran only {} of {} cases (stopped at {open:?}): {}",
        results.len(),
        cases.len(),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(results)
}

const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty"];

fn modes_of_devices() -> Vec<Option<u32>> {
    let mode = |device: &&str| Some(std::fs::metadata(format!("/dev/{device}")).ok()?.permissions().mode());
    DEVICES.iter().map(mode).collect()
}

/// The shell inside stays process 1 of the namespace and reaps what its descendants leave behind.
const LINUX_SCRIPT: &str = r#"
root=$1; shift
mount --make-rprivate / 2>/dev/null
hostname multios 2>/dev/null
mount -t proc proc "$root/proc" || exit 1
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp" || exit 1
# Devices of its own: the cases throw any call at their descriptors, and as root fchmod would change this machine's /dev/null.
own() { mknod -m 666 "$root/dev/$1" c "$2" "$3" 2>/dev/null; }
if mount -t tmpfs -o mode=755 tmpfs "$root/dev" && own null 1 3 && : 2>/dev/null < "$root/dev/null"; then
    own zero 1 5 && own full 1 7 && own random 1 8 && own urandom 1 9 && own tty 5 0 || exit 1
else
    # In a user namespace nobody may make devices, but nobody may change this machine's either.
    for device in $DEVICES; do
        rm -f "$root/dev/$device"; : > "$root/dev/$device"
        mount --bind "/dev/$device" "$root/dev/$device" || exit 1
    done
fi
: > "$root/dev/console"
exec chroot "$root" /bin/busybox sh -c '/bin/testrun "$@"; exit $?' sh "$@" < "$root/dev/null"
"#;

fn case_name(case: &str) -> &str {
    case.rsplit('/').next().unwrap_or(case)
}

/// Reads what `testrun` printed: the finished cases, and the one that was running at the end.
pub fn parse(mut text: &[u8]) -> (Results, Option<String>) {
    let mut results = Results::new();
    let mut open = None;
    while let Some(at) = text.iter().position(|&byte| byte == b'\n') {
        let line = String::from_utf8_lossy(&text[..at]).trim_end().to_owned();
        text = &text[at + 1..];
        // The kernel's tests may leave something in front of our line.
        if let Some((_, name)) = line.split_once("@@case ") {
            open = Some(name.to_owned());
        } else if let Some((_, rest)) = line.split_once("@@end ") {
            let fields: Vec<_> = rest.split(' ').collect();
            let [name, status, bytes, millis] = fields[..] else { continue };
            let length = bytes.parse::<usize>().unwrap_or(0);
            if length > text.len() {
                break; // cut off in the middle: not finished
            }
            let time = Duration::from_millis(millis.parse().unwrap_or(0));
            results.insert(
                name.to_owned(),
                CaseResult { status: status.to_owned(), output: text[..length].to_vec(), time },
            );
            text = &text[length..];
            open = None;
        }
    }
    (results, open)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finished_cases_are_read_and_the_open_one_is_named() {
        let text = b"@@case a.sh\n@@end a.sh exit:0 6 12\nx\n@@y\n\n@@case b\n@@end b signal:9 0 1\n\n@@case c\nhalf";
        let (results, open) = parse(text);
        assert_eq!(results["a.sh"].output, b"x\n@@y\n");
        assert_eq!(results["b"].status, "signal:9");
        assert_eq!(open.as_deref(), Some("c"));
    }

    #[test]
    fn an_output_that_was_cut_off_does_not_count_as_finished() {
        let (results, open) = parse(b"@@case a\n@@end a exit:0 100 1\nshort\n");
        assert!(results.is_empty());
        assert_eq!(open.as_deref(), Some("a"));
    }
}
