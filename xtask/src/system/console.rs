//! The console of the image, as a person at the keyboard has it.

use anyhow::{Result, ensure};

use super::{LIMIT, Run};
use crate::exec::Guest;
use crate::initramfs::Tree;
use crate::machine::Machine;
use crate::qemu::{Capture, Keys, Outcome};

/// What is to be heard, and what is typed then. No typed line has in it what is waited for next: lines are echoed.
type Steps = Vec<(&'static str, &'static str)>;

const PROMPT: &str = "~# ";
/// Runs until it is interrupted; says when it has begun, and when it goes on after a stop.
const JOB: &str = "sh -c 'trap \"echo go\"\"es on\" CONT; echo rea\"\"dy; while :; do sleep 0.05; done'\n";
const INTERRUPT: &str = "\x03";
const STOP: &str = "\x1a";
/// The process and the generation of the service, beside the shell's own number.
const WHO: &str = "svc --json status console | \
                   sed 's/.*\"failures\":.,\"generation\":\\([0-9]*\\).*\"pid\":\\([0-9]*\\),.*/life \\1 \\2/'; echo shell $$\n";

/// Job control, rights, what kills it and what replaces it, and how it ends.
pub fn a_service(machine: &Machine) -> Result<()> {
    let run = talk(
        machine,
        Tree::standard()?,
        vec![
            (PROMPT, "svc list | grep console\n"),
            (PROMPT, WHO),
            (PROMPT, JOB),
            ("ready", STOP),
            (PROMPT, "fg\n"),
            ("goes on", INTERRUPT),
            (PROMPT, "echo interrupted $?; ps -o pid,tty,comm | grep -c ttyS0\n"),
            // Root at the console may do what root may do.
            (
                PROMPT,
                "svc scale echo=2; svc set logger service.description=other; svc isolate logger; echo rights $?\n",
            ),
            (PROMPT, "env | grep -c SVC_; svc log console; stty raw -echo; kill -9 $$\n"),
            (PROMPT, WHO),
            (PROMPT, "svc restart console\n"),
            (PROMPT, WHO),
            (
                PROMPT,
                "svc why console; (trap 'echo asked to end > /dev/console; exit' TERM; while :; do sleep 0.05; done) &\n",
            ),
            (PROMPT, "exit 7\n"),
        ],
    )?;
    expect(&run, 7)?;
    let lives: Vec<&str> = run.output.lines().filter(|line| line.starts_with("life ")).collect();
    let shells: Vec<&str> = run.output.lines().filter(|line| line.starts_with("shell ")).collect();
    ensure!(lives.len() == 3 && shells.len() == 3, "{}", run.output);
    for (at, (life, shell)) in lives.iter().zip(&shells).enumerate() {
        let expected = format!("life {} {}", at + 1, shell.trim_start_matches("shell "));
        ensure!(*life == expected, "{life:?} in place of {expected:?}\n{}", run.output);
    }
    for line in ["interrupted 130", "rights 0", "/bin/sh has the console", "0", "asked to end"] {
        ensure!(run.output.lines().any(|said| said == line), "no {line:?} in\n{}", run.output);
    }
    ensure!(run.log.contains("svc: nothing is left"), "the services did not stop first:\n{}", run.log);
    Ok(())
}

/// The command is a process of the service that is stopped for it.
pub fn powers_off(machine: &Machine) -> Result<()> {
    for command in ["poweroff\n", "svc shutdown\n", "kill -USR2 1; sleep 100\n"] {
        let run = talk(machine, Tree::standard()?, vec![(PROMPT, command)])?;
        expect(&run, 0)?;
        ensure!(run.log.contains("svc: nothing is left"), "the services did not stop first:\n{}", run.log);
    }
    Ok(())
}

/// An image without the definition, or one whose shell is not there.
pub fn no_service(machine: &Machine) -> Result<()> {
    let mut tree = Tree::standard()?;
    tree.remove("etc/svc/console.svc");
    let run = talk(machine, tree, vec![(PROMPT, "svc status console; exit $?\n")])?;
    expect(&run, 4)?;
    let mut tree = Tree::standard()?;
    tree.remove("bin/sh");
    let run = talk(machine, tree, Vec::new())?;
    expect(&run, 127)
}

fn talk(machine: &Machine, tree: Tree, steps: Steps) -> Result<Run> {
    let guest = Guest::from_tree(machine, None, Some(tree), "init=/bin/init")?;
    let console = Capture::default();
    let finished = guest.talk(Keys::Dialogue(steps), Box::new(console.clone()), Box::new(std::io::sink()), LIMIT)?;
    let output = String::from_utf8_lossy(&console.bytes()).replace('\r', "");
    Ok(Run { outcome: finished.outcome, output, log: finished.log_tail.join("\n") })
}

fn expect(run: &Run, status: u8) -> Result<()> {
    ensure!(run.outcome == Outcome::Exited(status), "{:?}\n{}\nkernel log:\n{}", run.outcome, run.output, run.log);
    Ok(())
}
