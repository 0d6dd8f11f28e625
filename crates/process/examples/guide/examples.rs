//! The integration guide's eleven examples, over whatever has the guide's calls: on the host the process manager in a
//! pretended world, in the kernel the native gate with real processes. The text they print is the same, so that it can
//! be compared.

use std::fmt::Debug;

/// Levels of importance, by number.
pub(crate) const LEVELS: [&str; 6] = ["Idle", "Low", "Normal", "High", "RealTime", "Critical"];
/// States, by number.
pub(crate) const STATES: [&str; 8] =
    ["New", "Ready", "Running", "Blocked", "Suspended", "Terminated", "Zombie", "Defunct"];
const NORMAL: usize = 2;
const HIGH: usize = 3;
const LOW: usize = 1;
const SUSPENDED: usize = 4;
const ZOMBIE: usize = 6;

/// The program that examples execute: `exit N` ends with N at once, `sleep` waits to be ended.
pub(crate) const PROGRAM: &str = "/bin/pm";

/// What there is to know of a process.
pub(crate) struct Info {
    /// Name.
    pub(crate) name: String,
    /// State, by number.
    pub(crate) state: usize,
    /// Level, by number.
    pub(crate) level: usize,
    /// Parent's number.
    pub(crate) parent: u32,
}

/// A line of a listing: number, name, state, level.
pub(crate) type Line = (u32, String, usize, usize);

/// The guide's calls.
pub(crate) trait Processes {
    /// Why one failed: the errno's name.
    type Error: Debug;

    /// The process that runs the example.
    fn current_pid(&self) -> u32;
    /// Makes a process without program.
    fn create_process(&self, parent: u32, name: &str, level: usize) -> Result<u32, Self::Error>;
    /// Copies a process that has not begun to run.
    fn fork(&self, pid: u32) -> Result<u32, Self::Error>;
    /// Copies the calling process; the child does `child` and ends with what that gives.
    fn fork_self(&self, child: fn() -> i32) -> Result<u32, Self::Error>;
    /// Gives a process a program.
    fn exec(&self, pid: u32, program: &str, arguments: &'static [&'static str]) -> Result<(), Self::Error>;
    /// Waits for a child of the calling process.
    fn wait(&self) -> Result<(u32, i32), Self::Error>;
    /// Ends a process as if it had called exit.
    fn exit(&self, pid: u32, status: i32) -> Result<(), Self::Error>;
    /// Ends a process: SIGTERM, or SIGKILL by force.
    fn terminate_process(&self, pid: u32, force: bool) -> Result<(), Self::Error>;
    /// Stops a process.
    fn suspend_process(&self, pid: u32) -> Result<(), Self::Error>;
    /// Lets it go on.
    fn resume_process(&self, pid: u32) -> Result<(), Self::Error>;
    /// Asks for a state.
    fn set_process_state(&self, pid: u32, state: usize) -> Result<(), Self::Error>;
    /// Changes importance.
    fn set_priority(&self, pid: u32, level: usize) -> Result<(), Self::Error>;
    /// What there is to know of a process.
    fn get_process_info(&self, pid: u32) -> Result<Info, Self::Error>;
    /// Descriptors that a process has open.
    fn open_files(&self, pid: u32) -> Result<usize, Self::Error>;
    /// Opens one more in the calling process and gives its number.
    fn open_file(&self) -> u32;
    /// Closes it.
    fn close_file(&self, fd: u32);
    /// Parent of a process.
    fn get_parent_pid(&self, pid: u32) -> Result<u32, Self::Error>;
    /// All processes: number, name, state, level.
    fn list_processes(&self) -> Result<Vec<Line>, Self::Error>;
    /// How many there are.
    fn process_count(&self) -> usize;
    /// Lets others run until the process is in that state, or is not.
    fn settle(&self, pid: u32, state: usize, is: bool);
    /// Lets others run a moment.
    fn relax(&self);
    /// Prints a line.
    fn say(&self, line: &str);
}

/// An example: its name and itself.
pub(crate) type Example<P> = (&'static str, fn(&P) -> Result<(), <P as Processes>::Error>);

/// All eleven, in the guide's order.
pub(crate) fn all<P: Processes>() -> [Example<P>; 11] {
    [
        ("creation", creation),
        ("fork", fork),
        ("exec", exec),
        ("wait", wait),
        ("fork-exec-wait", fork_exec_wait),
        ("hierarchy", hierarchy),
        ("descriptors", descriptors),
        ("termination", termination),
        ("states", states),
        ("monitoring", monitoring),
        ("shell", shell),
    ]
}

/// Runs the examples whose name is `only`, or all; whether one of that name was there.
pub(crate) fn run<P: Processes>(processes: &P, only: Option<&str>) -> bool {
    let mut found = false;
    for (number, (name, example)) in all::<P>().into_iter().enumerate() {
        if only.is_some_and(|only| only != name) {
            continue;
        }
        found = true;
        processes.say(&format!("== {} {name}", number + 1));
        let before = processes.process_count();
        if let Err(error) = example(processes) {
            processes.say(&format!("failed: {error:?}"));
        }
        // The first process reaps what was left to it when it gets to it.
        for _ in 0..1000 {
            if processes.process_count() > before {
                processes.relax();
            }
        }
        if processes.process_count() != before {
            processes.say(&format!("left {} processes behind", processes.process_count() - before));
        }
    }
    found
}

fn describe<P: Processes>(processes: &P, pid: u32) -> Result<String, P::Error> {
    let Info { name, state, level, parent } = processes.get_process_info(pid)?;
    let parent =
        if parent == processes.current_pid() { "us".to_owned() } else { processes.get_process_info(parent)?.name };
    Ok(format!("{name}: {}, {}, child of {parent}", STATES[state], LEVELS[level]))
}

/// What a wait status says.
pub(crate) fn outcome(status: i32) -> String {
    match status & 0x7f {
        0 => format!("exited with {}", status >> 8 & 0xff),
        signal => format!("killed by signal {signal}"),
    }
}

// 1. Basic process creation.
fn creation<P: Processes>(processes: &P) -> Result<(), P::Error> {
    let us = processes.current_pid();
    let made = [("low", LOW), ("my_process", NORMAL), ("high", HIGH)];
    let mut pids = Vec::new();
    for (name, level) in made {
        let pid = processes.create_process(us, name, level)?;
        processes.say(&describe(processes, pid)?);
        pids.push(pid);
    }
    processes.say(&format!("numbers differ: {}", pids[0] != pids[1] && pids[1] != pids[2] && pids[0] != pids[2]));
    processes.say(&format!("no such parent: {:?}", processes.create_process(0x3fff_ffff, "x", NORMAL).err()));
    for pid in pids {
        processes.exit(pid, 0)?;
        processes.wait()?;
    }
    Ok(())
}

// 2. Fork: a copy of a process that is yet to run, and of ourselves.
fn fork<P: Processes>(processes: &P) -> Result<(), P::Error> {
    let us = processes.current_pid();
    let original = processes.create_process(us, "original", NORMAL)?;
    let copy = processes.fork(original)?;
    processes.say(&describe(processes, copy)?);
    processes.exit(copy, 0)?;
    processes.exit(original, 0)?;
    processes.wait()?;
    let child = processes.fork_self(|| 7)?;
    let (pid, status) = processes.wait()?;
    processes.say(&format!("our own child: {}, {}", pid == child, outcome(status)));
    Ok(())
}

// 3. Exec: a program for a process; a bad one leaves it unharmed.
fn exec<P: Processes>(processes: &P) -> Result<(), P::Error> {
    let pid = processes.create_process(processes.current_pid(), "before", NORMAL)?;
    processes.say(&format!("no such program: {:?}", processes.exec(pid, "/no/such/program", &["x"]).err()));
    processes.say(&describe(processes, pid)?);
    processes.exec(pid, PROGRAM, &["pm", "exit", "0"])?;
    let (ended, status) = processes.wait()?;
    processes.say(&format!("the same process: {}, {}", ended == pid, outcome(status)));
    Ok(())
}

// 4. Wait: children end in any order, each is reported once.
fn wait<P: Processes>(processes: &P) -> Result<(), P::Error> {
    let mut expected = Vec::new();
    for status in [1, 2, 3] {
        let arguments: &'static [&'static str] = match status {
            1 => &["pm", "exit", "1"],
            2 => &["pm", "exit", "2"],
            _ => &["pm", "exit", "3"],
        };
        let pid = processes.create_process(processes.current_pid(), "worker", NORMAL)?;
        processes.exec(pid, PROGRAM, arguments)?;
        expected.push((pid, status << 8));
    }
    let mut reaped = Vec::new();
    for _ in &expected {
        reaped.push(processes.wait()?);
    }
    reaped.sort_unstable();
    expected.sort_unstable();
    processes.say(&format!("each child once, with its status: {}", reaped == expected));
    processes.say(&format!("and then: {:?}", processes.wait().err()));
    Ok(())
}

// 5. Fork, exec, wait.
fn fork_exec_wait<P: Processes>(processes: &P) -> Result<(), P::Error> {
    let parent = processes.create_process(processes.current_pid(), "parent", NORMAL)?;
    let child = processes.fork(parent)?;
    processes.say(&format!("its parent is the one it was copied from: {}", processes.get_parent_pid(child)? == parent));
    processes.exit(parent, 0)?;
    processes.wait()?;
    processes.say(&format!("an orphan has another: {}", processes.get_parent_pid(child)? != parent));
    processes.exec(child, PROGRAM, &["pm", "exit", "0"])?;
    processes.settle(child, ZOMBIE, true);
    let mine = processes.create_process(processes.current_pid(), "mine", NORMAL)?;
    processes.exec(mine, PROGRAM, &["pm", "exit", "42"])?;
    let (pid, status) = processes.wait()?;
    processes.say(&format!("child {} {}", if pid == mine { "mine" } else { "another" }, outcome(status)));
    Ok(())
}

// 6. Hierarchy: three generations.
fn hierarchy<P: Processes>(processes: &P) -> Result<(), P::Error> {
    let us = processes.current_pid();
    let parent = processes.create_process(us, "parent", NORMAL)?;
    let child = processes.create_process(parent, "child", NORMAL)?;
    let grandchild = processes.create_process(child, "grandchild", NORMAL)?;
    for pid in [parent, child, grandchild] {
        processes.say(&describe(processes, pid)?);
    }
    // Up to the first process.
    let (mut at, mut steps) = (grandchild, 0);
    while processes.get_parent_pid(at)? != 0 && steps < 100 {
        at = processes.get_parent_pid(at)?;
        steps += 1;
    }
    processes.say(&format!("every line of ancestors ends at the first process: {}", at == 1));
    for pid in [grandchild, child, parent] {
        processes.exit(pid, 0)?;
    }
    processes.wait()?;
    Ok(())
}

// 7. Descriptors: inherited, and each process has its own.
fn descriptors<P: Processes>(processes: &P) -> Result<(), P::Error> {
    let us = processes.current_pid();
    let before = processes.open_files(us)?;
    let fd = processes.open_file();
    let child = processes.create_process(us, "reader", NORMAL)?;
    processes.say(&format!("opened {}", processes.open_files(us)? - before));
    processes.say(&format!("inherited: {}", processes.open_files(child)? == before + 1));
    processes.close_file(fd);
    processes.say(&format!("closed here, open there: {}", processes.open_files(child)? == before + 1));
    processes.say(&format!("as before here: {}", processes.open_files(us)? == before));
    processes.exit(child, 0)?;
    processes.wait()?;
    Ok(())
}

// 8. Termination: by itself, gracefully, by force; a zombie keeps its status until it is waited for.
fn termination<P: Processes>(processes: &P) -> Result<(), P::Error> {
    let us = processes.current_pid();
    let start = |name| -> Result<u32, P::Error> {
        let pid = processes.create_process(us, name, NORMAL)?;
        processes.exec(pid, PROGRAM, &["pm", "sleep"])?;
        Ok(pid)
    };
    let pid = start("graceful")?;
    processes.terminate_process(pid, false)?;
    let (_, status) = processes.wait()?;
    processes.say(&format!("asked: {}", outcome(status)));
    let pid = start("forceful")?;
    processes.terminate_process(pid, true)?;
    processes.settle(pid, ZOMBIE, true);
    processes.say(&format!(
        "a {} is no one to end: {:?}",
        STATES[processes.get_process_info(pid)?.state],
        processes.terminate_process(pid, true).err()
    ));
    let (_, status) = processes.wait()?;
    processes.say(&format!("forced: {}", outcome(status)));
    processes.say(&format!("gone: {:?}", processes.get_process_info(pid).err()));
    let pid = processes.create_process(us, "unborn", NORMAL)?;
    processes.terminate_process(pid, true)?;
    let (_, status) = processes.wait()?;
    processes.say(&format!("before it ran: {}", outcome(status)));
    processes.say(&format!("the first process: {:?}", processes.terminate_process(1, true).err()));
    Ok(())
}

// 9. States: only arrows that exist.
fn states<P: Processes>(processes: &P) -> Result<(), P::Error> {
    let pid = processes.create_process(processes.current_pid(), "stateful", NORMAL)?;
    let state = |pid| Ok::<_, P::Error>(STATES[processes.get_process_info(pid)?.state]);
    processes.say(&format!("born: {}", state(pid)?));
    for wrong in [0, 3, 4, 6, 7] {
        processes.say(&format!("New to {}: {:?}", STATES[wrong], processes.set_process_state(pid, wrong).err()));
    }
    processes.say(&format!("still: {}", state(pid)?));
    processes.exec(pid, PROGRAM, &["pm", "sleep"])?;
    processes.settle(pid, 3, true);
    processes.say(&format!("waits: {}", state(pid)?));
    processes.set_process_state(pid, SUSPENDED)?;
    processes.settle(pid, SUSPENDED, true);
    processes.say(&format!("stopped: {}", state(pid)?));
    processes.say(&format!("not from there: {:?}", processes.set_process_state(pid, 3).err()));
    processes.resume_process(pid)?;
    processes.settle(pid, SUSPENDED, false);
    processes.settle(pid, 3, true);
    processes.say(&format!("goes on: {}", state(pid)?));
    processes.suspend_process(pid)?;
    processes.settle(pid, SUSPENDED, true);
    processes.terminate_process(pid, true)?;
    let (_, status) = processes.wait()?;
    processes.say(&format!("ended while stopped: {}", outcome(status)));
    Ok(())
}

// 10. Monitoring: a listing, figures, importance changed at run time.
fn monitoring<P: Processes>(processes: &P) -> Result<(), P::Error> {
    let us = processes.current_pid();
    let before = processes.process_count();
    let mut pids = Vec::new();
    for (name, level) in [("monitored-1", LOW), ("monitored-2", NORMAL), ("monitored-3", HIGH)] {
        pids.push(processes.create_process(us, name, level)?);
    }
    processes.say(&format!("{} more", processes.process_count() - before));
    processes.set_priority(pids[0], 5)?;
    processes.say("NAME             STATE      PRIORITY");
    for (_, name, state, level) in processes.list_processes()?.iter().filter(|(pid, ..)| pids.contains(pid)) {
        processes.say(&format!("{name:<16} {:<10} {}", STATES[*state], LEVELS[*level]));
    }
    let all = processes.list_processes()?;
    processes.say(&format!("the listing has all: {}", all.len() == processes.process_count()));
    for pid in pids {
        processes.exit(pid, 0)?;
        processes.wait()?;
    }
    Ok(())
}

// 11. As a shell does it: one process per command line, its status at the end.
fn shell<P: Processes>(processes: &P) -> Result<(), P::Error> {
    let lines: [&'static [&'static str]; 3] = [&["pm", "exit", "0"], &["pm", "exit", "1"], &["nonsense"]];
    for line in lines {
        processes.say(&format!("$ {}", line.join(" ")));
        let pid = processes.create_process(processes.current_pid(), line[0], NORMAL)?;
        let program = if line[0] == "pm" { PROGRAM } else { "/bin/nonsense" };
        if let Err(error) = processes.exec(pid, program, line) {
            processes.say(&format!("{}: {error:?}", line[0]));
            processes.exit(pid, 127)?;
        }
        let (_, status) = processes.wait()?;
        processes.say(&outcome(status));
    }
    Ok(())
}
