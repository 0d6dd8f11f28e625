//! Commands of the shell itself, and small versions of the tools one misses most without busybox.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::job::Shell;

/// Stand-ins for programs; used only where no program of that name is found.
const TOOLS: [&str; 9] = ["cat", "echo", "false", "kill", "ls", "poweroff", "ps", "reboot", "true"];

/// Runs `words` if they name a command of the shell; gives its status.
pub fn run(shell: &mut Shell, words: &[String]) -> Option<u8> {
    let (name, args) = words.split_first()?;
    let status = match name.as_str() {
        "cd" => report(std::env::set_current_dir(args.first().map_or("/root", String::as_str))),
        "exit" => {
            shell.leave(args.first().and_then(|status| status.parse().ok()));
            0
        }
        "pwd" => report(std::env::current_dir().map(|dir| println!("{}", dir.display()))),
        "help" => {
            println!(
                "cd DIR, pwd, exit [N], jobs, fg, bg, wait, kill [-SIG] PID..., ps, ls, cat, echo, poweroff, reboot"
            );
            println!(
                "programs are run with pipes |, redirections < > >> 2> 2>&1, lists ; && ||, and in the background with &"
            );
            0
        }
        "jobs" => {
            for (number, job) in (1..).zip(&shell.jobs) {
                println!("[{number}] {} {}", job.group.as_raw_nonzero(), job.text);
            }
            0
        }
        "wait" => {
            shell.wait_all();
            0
        }
        "fg" | "bg" => resume(shell, name == "fg"),
        name if is_tool(name) && !exists(name) => tool(name, args),
        _ => return None,
    };
    let _ = io::stdout().flush();
    Some(status)
}

/// Whether `name` has a stand-in here.
pub fn is_tool(name: &str) -> bool {
    TOOLS.contains(&name)
}

/// Whether a program of that name is in PATH.
pub fn exists(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(name).is_file())
}

fn resume(shell: &mut Shell, foreground: bool) -> u8 {
    let Some(mut job) = shell.jobs.pop() else {
        eprintln!("msh: no job");
        return 1;
    };
    println!("{}", job.text);
    let _ = kill_process_group(job.group, Signal::CONT);
    if foreground {
        shell.foreground(&mut job)
    } else {
        shell.jobs.push(job);
        0
    }
}

fn tool(name: &str, args: &[String]) -> u8 {
    match name {
        "true" => 0,
        "echo" => report(writeln!(io::stdout(), "{}", args.join(" "))),
        "cat" => {
            let copy = |path: &String| fs::File::open(path).and_then(|mut file| io::copy(&mut file, &mut io::stdout()));
            match args {
                [] => report(io::copy(&mut io::stdin(), &mut io::stdout())),
                files => files.iter().map(|file| report(copy(file))).max().unwrap_or(0),
            }
        }
        "ls" => report(list(args.iter().find(|arg| !arg.starts_with('-')).map_or(".", String::as_str))),
        "ps" => report(processes()),
        "kill" => kill(args),
        // Process 1 does it, as it would for busybox.
        "poweroff" => report(kill_process(Pid::INIT, Signal::USR2)),
        "reboot" => report(kill_process(Pid::INIT, Signal::TERM)),
        _ => 1,
    }
}

fn report<T, E: std::fmt::Display>(result: Result<T, E>) -> u8 {
    match result {
        Ok(_) => 0,
        Err(error) => {
            eprintln!("msh: {error}");
            1
        }
    }
}

fn list(dir: &str) -> io::Result<()> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let mark = if entry.file_type()?.is_dir() { "/" } else { "" };
        names.push(format!("{}{mark}", entry.file_name().to_string_lossy()));
    }
    names.sort();
    names.iter().try_for_each(|name| writeln!(io::stdout(), "{name}"))
}

fn processes() -> io::Result<()> {
    let mut pids: Vec<u32> =
        fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    writeln!(io::stdout(), "  PID  PPID S COMMAND")?;
    for pid in pids {
        let dir = Path::new("/proc").join(pid.to_string());
        // A process may be gone by now.
        let Ok(stat) = fs::read_to_string(dir.join("stat")) else { continue };
        let Some((front, back)) = stat.rsplit_once(')') else { continue };
        let name = front.split_once('(').map_or("", |(_, name)| name);
        let mut fields = back.split_whitespace();
        let (state, parent) = (fields.next().unwrap_or("?"), fields.next().unwrap_or("?"));
        let command = fs::read_to_string(dir.join("cmdline")).unwrap_or_default().replace('\0', " ");
        let command = if command.trim().is_empty() { format!("[{name}]") } else { command.trim_end().to_owned() };
        writeln!(io::stdout(), "{pid:5} {parent:>5} {state} {command}")?;
    }
    Ok(())
}

fn kill(args: &[String]) -> u8 {
    let (signal, pids) = match args.split_first() {
        Some((first, rest)) if first.starts_with('-') => (signal(first.trim_start_matches('-')), rest),
        _ => (Some(Signal::TERM), args),
    };
    let (Some(signal), false) = (signal, pids.is_empty()) else {
        eprintln!("usage: kill [-SIGNAL] PID...");
        return 2;
    };
    let one = |pid: &String| match pid.parse().ok().and_then(Pid::from_raw) {
        Some(pid) => report(kill_process(pid, signal)),
        None => report::<(), _>(Err(format!("{pid} is not a process"))),
    };
    pids.iter().map(one).max().unwrap_or(0)
}

fn signal(name: &str) -> Option<Signal> {
    if let Ok(number) = name.parse() {
        return Signal::from_named_raw(number);
    }
    let name = name.trim_start_matches("SIG");
    let names = [
        ("HUP", Signal::HUP),
        ("INT", Signal::INT),
        ("QUIT", Signal::QUIT),
        ("KILL", Signal::KILL),
        ("USR1", Signal::USR1),
        ("USR2", Signal::USR2),
        ("TERM", Signal::TERM),
        ("CONT", Signal::CONT),
        ("STOP", Signal::STOP),
        ("TSTP", Signal::TSTP),
    ];
    names.into_iter().find(|(known, _)| *known == name).map(|(_, signal)| signal)
}
