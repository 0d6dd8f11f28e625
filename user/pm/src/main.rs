//! `pm`: MultiOS's native calls (`int 0x80`) from ring 3.
//!
//! `pm guide [EXAMPLE]` runs the integration guide's examples with real processes, `pm check` calls everything, bad
//! pointers included, `pm limits` crosses every limit, `pm clock` sets the clock, `pm isolation` raises levels of isolation, `pm sizes` measures what a
//! process costs, `pm fuzz` makes random calls; `pm exit N`, `pm sleep`, `pm isolation-level` are what the examples execute.

mod check;
mod clock;
#[expect(clippy::indexing_slicing, reason = "an example that fails ends")]
#[path = "../../../crates/process/examples/guide/examples.rs"]
mod examples;
mod fuzz;
mod gate;
mod isolation;
mod limits;
mod sizes;

use std::fs::File;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::process::ExitCode;
use std::time::Duration;

use abi::native as number;
use examples::{Info, Line, Processes};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    match words[..] {
        ["exit", status] => gate::exit(status.parse().unwrap_or(255)),
        ["sleep"] => loop {
            std::thread::sleep(Duration::from_secs(3600));
        },
        ["spin"] => loop {
            std::hint::black_box(());
        },
        ["guide"] => ExitCode::from(u8::from(!examples::run(&Native, None))),
        ["guide", only] => ExitCode::from(u8::from(!examples::run(&Native, Some(only)))),
        ["check"] => check::run(),
        ["clock"] => clock::run(),
        ["limits"] => limits::run(),
        ["isolation"] => isolation::run(),
        ["isolation-level"] => gate::exit(isolation::level()),
        ["sizes"] => sizes::run(),
        ["fuzz", calls, seed, workers] => {
            let number = |text: &str| text.parse().unwrap_or(1);
            fuzz::run(number(calls), number(seed), number(workers))
        }
        _ => {
            eprintln!(
                "usage: pm guide [EXAMPLE] | check | limits | clock | isolation | sizes | fuzz CALLS SEED WORKERS | exit N | sleep | spin"
            );
            ExitCode::from(2)
        }
    }
}

/// The kernel's own processes.
struct Native;

fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).trim_end_matches('\0').to_owned()
}

impl Processes for Native {
    type Error = gate::Errno;

    fn current_pid(&self) -> u32 {
        gate::getpid()
    }

    fn create_process(&self, parent: u32, name: &str, level: usize) -> gate::Result<u32> {
        gate::create_process(parent, name, level as u64)
    }

    fn fork(&self, pid: u32) -> gate::Result<u32> {
        gate::fork_process(pid)
    }

    fn fork_self(&self, child: fn() -> i32) -> gate::Result<u32> {
        match gate::fork()? {
            0 => gate::exit(child()),
            pid => Ok(pid),
        }
    }

    fn exec(&self, pid: u32, program: &str, arguments: &'static [&'static str]) -> gate::Result<()> {
        gate::exec_process(pid, program, arguments)
    }

    fn wait(&self) -> gate::Result<(u32, i32)> {
        gate::wait(0)
    }

    fn exit(&self, pid: u32, status: i32) -> gate::Result<()> {
        gate::ask(number::EXIT_PROCESS, pid, status as u64)
    }

    fn terminate_process(&self, pid: u32, force: bool) -> gate::Result<()> {
        gate::ask(number::TERMINATE_PROCESS, pid, u64::from(force))
    }

    fn suspend_process(&self, pid: u32) -> gate::Result<()> {
        gate::ask(number::SUSPEND_PROCESS, pid, 0)
    }

    fn resume_process(&self, pid: u32) -> gate::Result<()> {
        gate::ask(number::RESUME_PROCESS, pid, 0)
    }

    fn set_process_state(&self, pid: u32, state: usize) -> gate::Result<()> {
        gate::ask(number::SET_PROCESS_STATE, pid, state as u64)
    }

    fn set_priority(&self, pid: u32, level: usize) -> gate::Result<()> {
        let class = gate::get_process_info(pid)?.class;
        gate::set_priority(pid, level as u64, u64::from(class))
    }

    fn get_process_info(&self, pid: u32) -> gate::Result<Info> {
        let info = gate::get_process_info(pid)?;
        Ok(Info {
            name: text(&info.name),
            state: info.state as usize,
            level: info.priority as usize,
            parent: info.parent,
        })
    }

    fn open_files(&self, pid: u32) -> gate::Result<usize> {
        Ok(gate::get_process_stats(pid)?.open_files as usize)
    }

    fn open_file(&self) -> u32 {
        File::open("/dev/null").map_or(u32::MAX, |file| file.into_raw_fd() as u32)
    }

    fn close_file(&self, fd: u32) {
        // SAFETY: `open_file` gave the descriptor away, and nobody else has it.
        drop(unsafe { OwnedFd::from_raw_fd(fd as i32) });
    }

    fn get_parent_pid(&self, pid: u32) -> gate::Result<u32> {
        gate::get_parent_pid(pid)
    }

    fn list_processes(&self) -> gate::Result<Vec<Line>> {
        let line = |entry: &abi::native::NativeProcessEntry| {
            (entry.pid, text(&entry.name), entry.state as usize, entry.priority as usize)
        };
        Ok(gate::list_processes()?.iter().map(line).collect())
    }

    fn process_count(&self) -> usize {
        gate::process_count() as usize
    }

    fn settle(&self, pid: u32, state: usize, is: bool) {
        for _ in 0..1000 {
            match gate::get_process_info(pid) {
                Ok(info) if (info.state as usize == state) != is => self.relax(),
                _ => return,
            }
        }
    }

    fn relax(&self) {
        std::thread::sleep(Duration::from_millis(5));
    }

    fn say(&self, line: &str) {
        println!("{line}");
    }
}
