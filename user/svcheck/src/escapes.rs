//! Trees of processes that try to get out of their cell, each drawn from a seed.

use std::collections::BTreeSet;
use std::time::Duration;

use services::wire::{Row, Verb};
use services::{Definition, RestartPolicy};
use types::Nanos;

use crate::control::{Control, service};
use crate::draw::Draw;
use crate::{expect, expect_eq};

/// Services, and instances of each, that try at the same time.
const SERVICES: u16 = 8;
const INSTANCES: u16 = 2;
const ROUND: u32 = SERVICES as u32 * INSTANCES as u32;
/// Processes and threads that one tree may have.
const TASKS: u32 = 48;

/// So many trees or a few more, none of which has a living process when its service is down.
pub(crate) fn check(variants: u32) {
    let mut control = Control::open().expect("/dev/svc");
    control.clear();
    let before = processes();
    control.load((0..SERVICES).map(one).collect());
    let (mut tried, mut fled, mut most, mut left, mut late) = (0, 0, 0, 0, 0);
    let mut draw = Draw(0x5eed);
    for round in 0..variants.div_ceil(ROUND) {
        for at in 0..SERVICES {
            control.verb(Verb::Start, &name(at));
        }
        // Whoever kills its own main process is down already.
        let all_began = control.comes(60, |rows| rows.iter().all(|row| row.state.is_ready() || !row.state.has_cell()));
        // Caught at another moment each time.
        std::thread::sleep(Duration::from_micros(u64::from(draw.below(12_000))));
        let rows = control.rows();
        tried += rows.len();
        fled += rows.iter().filter(|row| row.tasks > 1 || !row.state.has_cell()).count();
        most = most.max(rows.iter().map(|row| row.tasks).max().unwrap_or(0));
        for at in 0..SERVICES {
            control.verb(Verb::Stop, &name(at));
        }
        let all_gone = control.comes(60, |rows| rows.iter().all(|row| !row.state.has_cell() && row.tasks == 0));
        if !(all_began && all_gone) {
            late += 1;
            println!(
                "  round {round}: began {all_began}, gone {all_gone}: {:?}",
                control.rows().iter().map(brief).collect::<Vec<_>>()
            );
        }
        let survivors: Vec<u32> = processes().difference(&before).copied().filter(|pid| is_alive(*pid)).collect();
        if !survivors.is_empty() {
            left += survivors.len();
            println!("  round {round}: {survivors:?} live on");
        }
    }
    expect_eq("trees of processes", tried as u32 >= variants, true);
    expect("most had spread before the stop", fled * 4 >= tried * 3 && most > TASKS / 2);
    expect_eq("rounds that did not begin or end in time", late, 0);
    expect_eq("survivors", left, 0);
    control.clear();
    let corpses = || processes().difference(&before).count();
    expect("not even a zombie is left", crate::control::wait(20, || corpses() == 0));
    eprintln!("{tried} trees, {fled} had spread before the stop, the largest to {most} tasks; {left} survivors");
}

fn name(at: u16) -> String {
    format!("escape{at}")
}

/// One of the services; their stops differ in how much time they leave.
fn one(at: u16) -> Definition {
    let mut one = service(&name(at), &["variant", &at.to_string()]);
    one.scaling.count = INSTANCES;
    one.limits.tasks = Some(TASKS);
    one.restart.policy = RestartPolicy::Never;
    let millis = |list: [u64; 4]| Nanos::from_millis(list.get(usize::from(at % 4)).copied().unwrap_or(0));
    (one.stop.timeout, one.stop.grace) = (millis([0, 1, 5, 10]), millis([0, 0, 10, 5]));
    one
}

fn brief(row: &Row) -> String {
    format!("{}#{}.{} {} {}", row.service, row.index, row.generation, row.state.word(), row.tasks)
}

/// The numbers of all processes, by /proc.
fn processes() -> BTreeSet<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return BTreeSet::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_string_lossy().parse().ok()).collect()
}

pub(crate) fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().and_then(|rest| rest.trim().chars().next()).is_some_and(|state| !"ZX".contains(state))
}

// ---- what the trees do

/// The main process of a tree: service, instance and life are the seed.
pub(crate) fn main(which: &str) -> ! {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let which = which.parse::<u64>().unwrap_or(0);
    let seed = which << 48 | number("SVC_INSTANCE") << 32 | number("SVC_GENERATION");
    let mut draw = Draw(seed);
    // SAFETY: the child goes on alone.
    if unsafe { libc::fork() } == 0 {
        flee(Draw(draw.next()), 1);
    }
    flee(draw, 0)
}

/// Goes on after an exec, with what was drawn before.
pub(crate) fn go_on(seed: &str, depth: &str) -> ! {
    flee(Draw(seed.parse().unwrap_or(1)), depth.parse().unwrap_or(1))
}

/// Some steps, then for ever what cannot be seen to end.
fn flee(mut draw: Draw, mut depth: u32) -> ! {
    for _ in 0..1 + draw.below(5) {
        step(&mut draw, &mut depth);
    }
    rest(&mut draw)
}

/// Goes on as a child as well.
fn both(pid: libc::c_long, draw: &mut Draw, depth: &mut u32) {
    let other = draw.next();
    if pid == 0 {
        (*draw, *depth) = (Draw(other), *depth + 1);
    }
}

/// clone(2) as fork: the child has a copy of this stack.
fn clone(flags: libc::c_int) -> libc::c_long {
    // SAFETY: no flag shares memory, so the child goes on with a copy of everything.
    unsafe { libc::syscall(libc::SYS_clone, libc::c_long::from(flags), 0, 0, 0, 0) }
}

fn step(draw: &mut Draw, depth: &mut u32) {
    const DEEPEST: u32 = 6;
    if *depth > DEEPEST {
        return;
    }
    // SAFETY: plain numbers and paths that end with NUL; children of fork have a copy of everything; nobody reads memory that
    // the child of vfork writes.
    unsafe {
        match draw.below(28) {
            0 | 1 => both(libc::fork().into(), draw, depth),
            2 => {
                if *depth > 0 || libc::fork() == 0 {
                    libc::setsid();
                }
            }
            3 => double_fork(draw, depth),
            4 => {
                double_fork(draw, depth);
                for descriptor in 0..16 {
                    libc::close(descriptor);
                }
                libc::chdir(c"/".as_ptr());
                libc::umask(0);
            }
            5 => both(clone(libc::CLONE_PARENT | libc::SIGCHLD), draw, depth),
            6 => both(clone(0), draw, depth),
            7 => both(clone(libc::CLONE_NEWPID | libc::SIGCHLD), draw, depth),
            8 => {
                libc::unshare(libc::CLONE_NEWPID);
                both(libc::fork().into(), draw, depth);
            }
            9 => drop(libc::unshare(libc::CLONE_NEWNS | libc::CLONE_NEWUTS | libc::CLONE_NEWIPC)),
            10 => drop(libc::setpgid(0, 0)),
            11 => {
                for signal in 1..32 {
                    libc::signal(signal, libc::SIG_IGN);
                }
            }
            12 => {
                let mut all = std::mem::zeroed();
                libc::sigfillset(&raw mut all);
                libc::sigprocmask(libc::SIG_BLOCK, &raw const all, std::ptr::null_mut());
            }
            13 => drop(libc::signal(libc::SIGTERM, fork_more as *const () as libc::sighandler_t)),
            14 => drop(libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1)),
            15 => drop(libc::prctl(libc::PR_SET_NAME, c"init".as_ptr())),
            16 if *depth > 1 => drop(libc::kill(libc::getppid(), libc::SIGKILL)),
            17 => drop(libc::kill(libc::getppid(), libc::SIGSTOP)),
            18 if *depth > 0 => again(draw, *depth, c"/proc/self/exe"),
            19 => {
                if libc::fork() == 0 {
                    again(draw, *depth + 1, c"/bin/svcheck");
                }
            }
            20 => vfork_for_ever(),
            21 => {
                let seed = draw.next();
                let depth = *depth;
                // The thread's child is a tree of its own; the thread stays.
                let _ = std::thread::Builder::new().stack_size(64 << 10).spawn(move || {
                    if libc::fork() == 0 {
                        flee(Draw(seed), depth + 1);
                    }
                    rest(&mut Draw(seed))
                });
            }
            22 => {
                let seed = draw.next();
                let depth = *depth;
                let made = std::thread::Builder::new()
                    .stack_size(64 << 10)
                    .spawn(move || again(&mut Draw(seed), depth + 1, c"/bin/svcheck"));
                // Where this is the main thread, the exec of the other ends it.
                if made.is_ok() && depth > 0 {
                    rest(draw);
                }
            }
            23 if draw.below(4) == 0 => bomb(),
            24 => respawn(draw, depth),
            25 => {
                libc::setgid(65534);
                libc::setuid(65534);
            }
            26 => shell(draw, *depth),
            _ => both(libc::fork().into(), draw, depth),
        }
    }
}

/// The grandchild goes on, in a session of its own; the child between is gone. So is, but for the main one, who began it.
unsafe fn double_fork(draw: &mut Draw, depth: &mut u32) {
    // SAFETY: children of fork have a copy of everything.
    unsafe {
        match libc::fork() {
            0 => {
                libc::setsid();
                if libc::fork() != 0 {
                    libc::_exit(0);
                }
                (*draw, *depth) = (Draw(draw.next()), *depth + 1);
            }
            -1 => {}
            child => drop(libc::waitpid(child, std::ptr::null_mut(), 0)),
        }
    }
}

/// Every signal to end makes one more.
extern "C" fn fork_more(_: libc::c_int) {
    // SAFETY: fork may be called by a handler.
    unsafe { libc::fork() };
}

/// A child that borrows this memory for ever, so that this process cannot go on.
fn vfork_for_ever() {
    // SAFETY: the child makes system calls only, and the parent never goes on.
    unsafe {
        if libc::fork() == 0
            && libc::syscall(
                libc::SYS_clone,
                libc::c_long::from(libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD),
                0,
                0,
                0,
                0,
            ) == 0
        {
            loop {
                libc::syscall(libc::SYS_pause);
            }
        }
    }
}

/// Everybody forks as long as it may.
fn bomb() -> ! {
    loop {
        // SAFETY: the child does the same.
        if unsafe { libc::fork() } < 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Makes another child whenever one is gone.
unsafe fn respawn(draw: &mut Draw, depth: &mut u32) {
    // SAFETY: children of fork have a copy of everything.
    unsafe {
        if libc::fork() == 0 {
            loop {
                match libc::fork() {
                    0 => {
                        (*draw, *depth) = (Draw(draw.next()), *depth + 2);
                        return;
                    }
                    -1 => drop(libc::usleep(1000)),
                    child => {
                        libc::waitpid(child, std::ptr::null_mut(), 0);
                        draw.next();
                    }
                }
            }
        }
    }
}

/// Goes on as a new program.
fn again(draw: &mut Draw, depth: u32, program: &std::ffi::CStr) -> ! {
    use std::os::unix::process::CommandExt;
    let program = program.to_str().unwrap_or_default();
    let seed = draw.next().to_string();
    let _ = std::process::Command::new(program).args(["be", "variant-on", &seed, &(depth + 1).to_string()]).exec();
    rest(draw)
}

/// A shell's background job goes on.
fn shell(draw: &mut Draw, depth: u32) {
    use std::os::unix::process::CommandExt;
    // SAFETY: the child goes on as another program.
    if unsafe { libc::fork() } == 0 {
        let line = format!("/bin/svcheck be variant-on {} {} & exec sleep 1000", draw.next() >> 1, depth + 2);
        let _ = std::process::Command::new("/bin/sh").args(["-c", &line]).exec();
        rest(draw)
    }
}

/// Does nothing any more, one way or another.
fn rest(draw: &mut Draw) -> ! {
    let how = draw.below(32);
    loop {
        // SAFETY: these take nothing, plain numbers or a buffer of their own.
        unsafe {
            match how {
                0 => std::hint::spin_loop(),
                1..8 => drop(libc::raise(libc::SIGSTOP)),
                8..14 => {
                    let mut ends = [0; 2];
                    let mut byte = 0_u8;
                    libc::pipe(ends.as_mut_ptr());
                    libc::read(ends.first().copied().unwrap_or(-1), (&raw mut byte).cast(), 1);
                }
                14..20 => drop(libc::pause()),
                _ => std::thread::sleep(Duration::from_secs(1000)),
            }
        }
    }
}
