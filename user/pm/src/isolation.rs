//! Levels of isolation: what a process sees and may do at each, that they only rise, and that children and programs keep them.

use std::fs;
use std::hint::black_box;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};

use abi::native as number;

use crate::examples::PROGRAM;
use crate::gate::{self, Errno, linux, linux6};

const PROCESS: u64 = 0;
const NAMESPACE: u64 = 1;
const CONTAINER: u64 = 2;
const VIRTUAL_MACHINE: u64 = 3;

const MEMORY: u64 = 0;
const SIGBUS: i32 = 7;

// Of Linux.
const KILL: u64 = 62;
const SEMGET: u64 = 64;
const SETUID: u64 = 105;
const MKNOD: u64 = 133;
const PRCTL: u64 = 157;
const CHROOT: u64 = 161;
const REBOOT: u64 = 169;
const SETHOSTNAME: u64 = 170;
const SETNS: u64 = 308;
const GET_SECCOMP: u64 = 21;
const GET_NO_NEW_PRIVS: u64 = 39;

const EPERM: i64 = -1;
const ENOENT: i64 = -2;
const ESRCH: i64 = -3;
/// Any key: what matters is that it is the same in all places.
const KEY: u64 = 0x6d6f_7301;

static FAILED: AtomicU32 = AtomicU32::new(0);

fn expect(what: &str, good: bool) {
    println!("{} {what}", if good { "ok" } else { "FAILED" });
    FAILED.fetch_add(u32::from(!good), Ordering::Relaxed);
}

/// This process's level.
pub(crate) fn level() -> i32 {
    gate::raw(number::GET_ISOLATION, [0; 4]) as i32
}

fn raise(level: u64) -> gate::Result<()> {
    gate::ask(number::SET_ISOLATION, 0, level)
}

fn error(errno: abi::Errno) -> gate::Result<()> {
    Err(Errno(errno.number()))
}

/// Runs `work` in a child of its own; its wait status. What the child says of itself goes through.
fn child(work: impl FnOnce()) -> i32 {
    match gate::fork() {
        Ok(0) => {
            let failed = FAILED.load(Ordering::Relaxed);
            work();
            gate::exit(i32::from(FAILED.load(Ordering::Relaxed) != failed))
        }
        Ok(pid) => gate::wait(pid).map_or(-1, |(_, status)| status),
        Err(_) => -1,
    }
}

fn in_child(what: &str, work: impl FnOnce()) {
    expect(what, child(work) == 0);
}

/// What /proc/self/ns shows.
fn views() -> [String; 3] {
    ["mnt", "uts", "ipc"].map(|kind| {
        let link = fs::read_link(format!("/proc/self/ns/{kind}")).unwrap_or_default();
        link.to_string_lossy().into_owned()
    })
}

fn host_name() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default()
}

fn call(number: u64, args: [u64; 3]) -> i64 {
    let [a, b, c] = args;
    linux6(number, [a, b, c, 0, 0, 0])
}

pub(crate) fn run() -> ExitCode {
    expect("a process begins with memory of its own only", level() == PROCESS as i32);
    expect("that is the level it has", raise(PROCESS) == Ok(()));
    refusals();
    in_child("namespaces", namespaces);
    in_child("container", container);
    quota();
    created();
    expect("all this leaves the caller as it was", level() == PROCESS as i32);
    println!("{}", if FAILED.load(Ordering::Relaxed) == 0 { "all passed" } else { "something failed" });
    ExitCode::from(u8::from(FAILED.load(Ordering::Relaxed) != 0))
}

fn refusals() {
    expect("a virtual machine: ENOSYS", raise(VIRTUAL_MACHINE) == error(abi::Errno::ENOSYS));
    expect(
        "no such level: EINVAL",
        raise(4) == error(abi::Errno::EINVAL) && raise(u64::MAX) == error(abi::Errno::EINVAL),
    );
    let nobody = gate::ask(number::SET_ISOLATION, 0x3f_ffff, NAMESPACE);
    expect("of nobody: ESRCH", nobody == error(abi::Errno::ESRCH));
    in_child("without the right", || {
        call(SETUID, [1000, 0, 0]);
        expect("namespaces: EPERM", raise(NAMESPACE) == error(abi::Errno::EPERM));
        expect("container: EPERM", raise(CONTAINER) == error(abi::Errno::EPERM));
        expect("nothing has changed", level() == PROCESS as i32 && call(PRCTL, [GET_SECCOMP, 0, 0]) == 0);
        expect("nor a privilege", call(PRCTL, [GET_NO_NEW_PRIVS, 0, 0]) == 0);
    });
    in_child("with a second thread", || {
        let (said, wait) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || wait.recv());
        expect("EBUSY", raise(NAMESPACE) == error(abi::Errno::EBUSY) && level() == PROCESS as i32);
        drop(said);
        let _ = thread.join();
    });
    let Ok(running) = gate::fork() else { return expect("fork", false) };
    if running == 0 {
        let _ = gate::exec(PROGRAM, &["pm", "sleep"]);
        gate::exit(1);
    }
    let begun = || std::fs::read(format!("/proc/{running}/cmdline")).is_ok_and(|words| words.ends_with(b"sleep\0"));
    for _ in 0..1000 {
        if begun() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    expect("it runs", begun());
    let other = gate::ask(number::SET_ISOLATION, running, CONTAINER);
    expect("of another that runs: EBUSY", other == error(abi::Errno::EBUSY));
    call(KILL, [running.into(), 9, 0]);
    let _ = gate::wait(running);
}

fn namespaces() {
    let (outside, outer) = (views(), gate::getpid());
    let semaphores = call(SEMGET, [KEY, 1, 0o1600]);
    expect("an object outside", semaphores >= 0 || semaphores == -17);
    expect("raised", raise(NAMESPACE) == Ok(()) && level() == NAMESPACE as i32);
    expect("views of its own", views().iter().zip(&outside).all(|(own, other)| own != other && !own.is_empty()));
    let inside = "inside";
    expect(
        "a host name of its own",
        call(SETHOSTNAME, [inside.as_ptr() as u64, 6, 0]) == 0 && host_name() == "inside\n",
    );
    expect("IPC of its own", call(SEMGET, [KEY, 1, 0]) == ENOENT);
    expect("mounts of its own", mount("/tmp/isolated") && fs::write("/tmp/isolated/file", "x").is_ok());
    expect("not lowered: EPERM", raise(PROCESS) == error(abi::Errno::EPERM) && level() == NAMESPACE as i32);
    expect("twice is once", raise(NAMESPACE) == Ok(()));
    let own = views();
    in_child("its child", || {
        expect("is number 1", gate::getpid() == 1 && gate::getppid() == 0);
        expect("has the level", level() == NAMESPACE as i32 && views() == own);
        let listed = gate::list_processes().unwrap_or_default();
        expect("sees itself only", listed.len() == 1 && listed.iter().all(|line| line.pid == 1));
        let info = gate::get_process_info(outer).map(|_| ());
        expect("finds nobody outside", info == error(abi::Errno::ESRCH) && call(KILL, [outer.into(), 0, 0]) == ESRCH);
        let terminated = gate::ask(number::TERMINATE_PROCESS, outer, 1);
        expect("ends nobody outside", terminated == error(abi::Errno::ESRCH));
        expect("its own info", gate::get_process_info(1).is_ok_and(|info| (info.pid, info.parent) == (1, 0)));
        let grandchild = gate::fork();
        if grandchild == Ok(0) {
            gate::exit(i32::from(gate::getpid() != 2 || gate::getppid() != 1 || level() != NAMESPACE as i32));
        }
        expect("its own child is 2", grandchild == Ok(2) && gate::wait(2) == Ok((2, 0)));
        expect("its program has it, too", program_level() == NAMESPACE as i32);
        in_child("a container in it", || expect("raised further", raise(CONTAINER) == Ok(()) && views() == own));
        let created = gate::create_process(0, "created", 2);
        let Ok(created) = created else { return expect("creates", false) };
        expect("one it creates comes next", created == 5);
        expect("with the level", gate::raw(number::GET_ISOLATION, [created.into(), 0, 0, 0]) == NAMESPACE as i64);
        let ended = gate::ask(number::EXIT_PROCESS, created, 9);
        expect("ends and is waited for", ended == Ok(()) && gate::wait(created) == Ok((created, 9 << 8)));
    });
    // As with unshare: with their number 1 the numbers are used up.
    expect("after the first has ended there are no more", gate::fork() == Err(Errno(abi::Errno::ENOMEM.number())));
}

fn container() {
    let outside = views();
    expect("from nothing to container", raise(CONTAINER) == Ok(()) && level() == CONTAINER as i32);
    expect("with views of its own", views().iter().zip(&outside).all(|(own, other)| own != other));
    expect("not lowered", [PROCESS, NAMESPACE].map(raise) == [error(abi::Errno::EPERM); 2]);
    expect("no new privileges", call(PRCTL, [GET_NO_NEW_PRIVS, 0, 0]) == 1);
    expect("a call filter", call(PRCTL, [GET_SECCOMP, 0, 0]) == 2);
    held("the container");
    let quota = gate::get_config().map_or(0, |config| config.default_memory_limit);
    let limit = gate::get_limit(gate::getpid(), MEMORY);
    expect("a memory limit", quota > 0 && limit.is_ok_and(|limit| limit.value == quota));
    let wider = gate::set_limit(gate::getpid(), MEMORY, 1 << 30, abi::native::POLICY_FAIL, 0);
    expect("that is not widened", wider == error(abi::Errno::EPERM));
    let narrower = gate::set_limit(gate::getpid(), MEMORY, quota - 4096, abi::native::POLICY_FAIL, 0);
    expect("but narrowed", narrower == Ok(()));
    in_child("its child", || {
        expect("is number 1 of a container", gate::getpid() == 1 && level() == CONTAINER as i32);
        held("its child");
        in_child("its children", || held("its grandchild"));
        expect("no new privileges in the child", call(PRCTL, [GET_NO_NEW_PRIVS, 0, 0]) == 1);
        expect("the limit in the child", gate::get_limit(1, MEMORY).is_ok_and(|limit| limit.value == quota - 4096));
        expect("its program has it, too", program_level() == CONTAINER as i32);
    });
}

/// What a container may not do.
fn held(who: &str) {
    let path = c"/tmp/made-in-a-container";
    let path = path.as_ptr() as u64;
    let refused = [
        ("mknod", call(MKNOD, [path, 0o020_666, 0x103])),
        ("chroot", call(CHROOT, [c"/".as_ptr() as u64, 0, 0])),
        ("reboot", call(REBOOT, [0xfee1_dead, 0x2812_1969, 0x4321_fedc])),
        ("setns", call(SETNS, [0, 0, 0])),
    ];
    for (name, result) in refused {
        expect(&format!("{who}: {name} is refused"), result == EPERM);
    }
}

/// The level that a program of a child finds itself at.
fn program_level() -> i32 {
    match gate::fork() {
        Ok(0) => {
            let _ = gate::exec(PROGRAM, &["pm", "isolation-level"]);
            gate::exit(99)
        }
        Ok(pid) => gate::wait(pid).map_or(-1, |(_, status)| status >> 8),
        Err(_) => -1,
    }
}

fn quota() {
    let status = child(|| {
        // SIGBUS by default: std's own handler would need memory.
        let action = [0_u64; 4];
        linux(13, [SIGBUS as u64, black_box(&action).as_ptr() as u64, 0]);
        if raise(CONTAINER).is_err() {
            gate::exit(3);
        }
        let quota = gate::get_config().map_or(0, |config| config.default_memory_limit) as usize;
        let mut block: Vec<u8> = Vec::with_capacity(quota + (16 << 20));
        block.resize(quota + (8 << 20), 1);
        black_box(&block);
    });
    expect("who takes more than the quota ends", status & 0x7f == SIGBUS);
}

fn created() {
    for level in [NAMESPACE, CONTAINER] {
        let Ok(pid) = gate::create_process(0, "isolated", 2) else { return expect("create", false) };
        expect("raised before it begins", gate::ask(number::SET_ISOLATION, pid, level) == Ok(()));
        expect("its level", gate::raw(number::GET_ISOLATION, [pid.into(), 0, 0, 0]) == level as i64);
        expect("its program", gate::exec_process(pid, PROGRAM, &["pm", "isolation-level"]) == Ok(()));
        expect("finds it", gate::wait(pid) == Ok((pid, (level as i32) << 8)));
    }
}

fn mount(at: &str) -> bool {
    let _ = fs::create_dir(at);
    let (at, kind) = (format!("{at}\0"), c"tmpfs".as_ptr() as u64);
    linux6(165, [kind, at.as_ptr() as u64, kind, 0, 0, 0]) == 0
}
