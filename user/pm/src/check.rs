//! Every native call from ring 3: what it answers, and that nothing an argument says can hurt the kernel.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use abi::native as number;

use crate::examples::{PROGRAM, outcome};
use crate::gate::{self, raw};

static FAILED: AtomicU32 = AtomicU32::new(0);

fn expect(what: &str, good: bool) {
    println!("{} {what}", if good { "ok" } else { "FAILED" });
    FAILED.fetch_add(u32::from(!good), Ordering::Relaxed);
}

fn expect_error(what: &str, result: i64, errno: abi::Errno) {
    expect(&format!("{what}: {}", errno.name()), result == errno.to_return_value());
    if result != errno.to_return_value() {
        println!("   it was {result}");
    }
}

pub(crate) fn run() -> ExitCode {
    guide_numbers();
    created();
    signals_and_states();
    grace();
    importance();
    figures();
    services();
    bad_arguments();
    bad_pointers();
    many();
    println!("{}", if FAILED.load(Ordering::Relaxed) == 0 { "all passed" } else { "something failed" });
    ExitCode::from(u8::from(FAILED.load(Ordering::Relaxed) != 0))
}

fn guide_numbers() {
    expect("getpid", gate::getpid() == std::process::id());
    expect("getppid", gate::getppid() == std::os::unix::process::parent_id());
    let parent = gate::getpid();
    let child = match gate::fork() {
        Ok(0) => gate::exit(if gate::getppid() == parent { 5 } else { 6 }),
        child => child.unwrap_or(0),
    };
    expect("fork, exit, wait", gate::wait(0) == Ok((child, 5 << 8)));
    let child = match gate::fork() {
        Ok(0) => gate::exit(gate::exec(PROGRAM, &["pm", "exit", "9"]).0),
        child => child.unwrap_or(0),
    };
    expect("exec", gate::wait(child) == Ok((child, 9 << 8)));
    expect_error("wait without children", raw(number::WAIT, [0; 4]), abi::Errno::ECHILD);
    expect_error("exec of nothing", raw(number::EXEC, [0; 4]), abi::Errno::EFAULT);
}

fn created() {
    let Ok(pid) = gate::create_process(0, "a_name_that_is_too_long", 1) else { return expect("create", false) };
    let Ok(info) = gate::get_process_info(pid) else { return expect("info", false) };
    expect("name is cut to 15 bytes", &info.name == b"a_name_that_is_\0");
    expect("created: state, level, class", (info.state, info.priority, info.class) == (0, 1, 2));
    expect("created: parent, threads", (info.parent, info.threads) == (gate::getpid(), 1));
    expect("created: never ran", info.started_at == 0 && info.exit_status == -1 && info.created_at > 0);
    let limit = gate::get_limit(pid, 0);
    let config = gate::get_config();
    expect(
        "memory limit is the default",
        limit.ok().map(|limit| limit.value) == config.ok().map(|config| config.default_memory_limit),
    );
    expect("exec_process", gate::exec_process(pid, PROGRAM, &["pm", "exit", "4"]) == Ok(()));
    expect("wait for it", gate::wait(pid) == Ok((pid, 4 << 8)));
    expect_error("its number means nobody", raw(number::GET_PROCESS_INFO, [pid.into(), 0, 0, 0]), abi::Errno::ESRCH);
    // A program for a running process is its own affair.
    let Ok(pid) = gate::create_process(0, "runs", 2) else { return expect("create", false) };
    expect("starts", gate::exec_process(pid, PROGRAM, &["pm", "sleep"]) == Ok(()));
    expect("no second program", gate::exec_process(pid, PROGRAM, &["pm", "exit", "0"]) == Err(gate::Errno(16)));
    expect("no fork by others", gate::fork_process(pid) == Err(gate::Errno(16)));
    expect("exit_process", gate::ask(number::EXIT_PROCESS, pid, 3) == Ok(()));
    expect("its status", gate::wait(pid) == Ok((pid, 3 << 8)));
}

fn signals_and_states() {
    let Ok(pid) = gate::create_process(0, "unborn", 2) else { return expect("create", false) };
    expect("a signal that means nothing to it", gate::ask(number::SEND_SIGNAL, pid, 17) == Ok(()));
    expect("still New", gate::get_process_info(pid).is_ok_and(|info| info.state == 0));
    expect("a deadly one", gate::ask(number::SEND_SIGNAL, pid, 10) == Ok(()));
    expect("ends it", gate::wait(pid) == Ok((pid, 10)));
    let Ok(pid) = gate::create_process(0, "stopped", 2) else { return expect("create", false) };
    expect("suspend before it runs", gate::ask(number::SUSPEND_PROCESS, pid, 0) == Ok(()));
    expect("a program", gate::exec_process(pid, PROGRAM, &["pm", "exit", "8"]) == Ok(()));
    std::thread::sleep(Duration::from_millis(50));
    expect("does not run while stopped", gate::get_process_info(pid).is_ok_and(|info| info.state < 5));
    expect("resume", gate::ask(number::RESUME_PROCESS, pid, 0) == Ok(()));
    expect("runs then", gate::wait(pid) == Ok((pid, 8 << 8)));
    for (level, wrong) in [(6, 0), (u64::MAX, 0), (2, 5)] {
        let result = raw(number::SET_PRIORITY, [gate::getpid().into(), level, wrong, 0]);
        expect_error("no such level or class", result, abi::Errno::EINVAL);
    }
    expect_error("no such state", raw(number::SET_PROCESS_STATE, [gate::getpid().into(), 8, 0, 0]), abi::Errno::EBUSY);
}

/// Waits for SIGTERM's victim, which ignores it: the grace period ends it.
fn grace() {
    let grace = gate::get_config().map_or(0, |config| config.grace_period);
    expect("grace period is configured", grace > 0);
    let Ok(pid) = gate::create_process(0, "shell", 2) else { return expect("create", false) };
    let ignore = ["sh", "-c", "trap '' TERM; : > /tmp/ready; while :; do /bin/busybox sleep 1; done"];
    expect("starts", gate::exec_process(pid, "/bin/busybox", &ignore) == Ok(()));
    while !std::path::Path::new("/tmp/ready").exists() {
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = std::fs::remove_file("/tmp/ready");
    let asked = Instant::now();
    expect("asked to end", gate::ask(number::TERMINATE_PROCESS, pid, number::TERMINATE_GRACEFUL) == Ok(()));
    expect("killed in the end", gate::wait(pid) == Ok((pid, 9)));
    expect("not before its time", asked.elapsed().as_nanos() as u64 >= grace);
}

fn importance() {
    let me = gate::getpid();
    for level in [0, 1, 3, 4, 5, 2] {
        expect(&format!("level {level}"), gate::set_priority(me, level, 2) == Ok(()));
        expect("is seen", gate::get_process_info(me).is_ok_and(|info| u64::from(info.priority) == level));
    }
    for class in [0, 1, 3, 4, 2] {
        expect(&format!("class {class}"), gate::set_priority(me, 2, class) == Ok(()));
        expect("is seen", gate::get_process_info(me).is_ok_and(|info| u64::from(info.class) == class));
    }
}

fn figures() {
    let me = gate::getpid();
    let Ok(before) = gate::get_process_stats(me) else { return expect("stats", false) };
    expect("wrote a file", std::fs::write("/tmp/figures", vec![1; 12_345]).is_ok());
    expect("read it", std::fs::read("/tmp/figures").is_ok_and(|bytes| bytes.len() == 12_345));
    let _ = std::fs::remove_file("/tmp/figures");
    let Ok(after) = gate::get_process_stats(me) else { return expect("stats", false) };
    // What is printed meanwhile are lines of the checks themselves.
    let printed = "ok wrote a file\nok read it\n".len() as u64;
    expect("bytes written", after.write_bytes - before.write_bytes == 12_345 + printed);
    expect("bytes read", after.read_bytes - before.read_bytes == 12_345);
    expect("descriptors", after.open_files == before.open_files);
    let size = 300 << 12;
    let mut block: Vec<u8> = Vec::with_capacity(size);
    let Ok(before) = gate::get_process_stats(me) else { return expect("stats", false) };
    block.resize(size, 1);
    std::hint::black_box(&block);
    let Ok(after) = gate::get_process_stats(me) else { return expect("stats", false) };
    let grown = after.memory - before.memory;
    expect("memory of 300 pages", (size as u64 - 8192..=size as u64 + 65_536).contains(&grown));
    drop(block);
    let begun = Instant::now();
    let Ok(end) = gate::get_process_stats(me) else { return expect("stats", false) };
    expect("memory given back, peak kept", end.memory < after.memory && end.peak_memory >= after.memory);
    expect("stack and heap are parts of it", end.stack > 0 && end.heap < 1 << 30);
    while begun.elapsed() < Duration::from_millis(60) {
        std::hint::black_box(0);
    }
    let Ok(spun) = gate::get_process_stats(me) else { return expect("stats", false) };
    let used = spun.user_ns + spun.system_ns - end.user_ns - end.system_ns;
    expect("CPU time passes no faster than time", used <= begun.elapsed().as_nanos() as u64);
    expect("CPU time is counted", used > 1_000_000);
}

fn services() {
    let refused = |what, call, name: &str, errno: abi::Errno| {
        expect(what, gate::service(call, name) == Err(gate::Errno(errno.number())));
    };
    // With no bytes: what a definition looks like is for `svcheck`.
    refused("no definition", number::CREATE_SERVICE, "x", abi::Errno::EINVAL);
    for call in [number::START_SERVICE, number::STOP_SERVICE] {
        refused("no such service", call, "x", abi::Errno::ENOENT);
        refused("no name", call, "", abi::Errno::EINVAL);
        refused("no such name can be", call, "/", abi::Errno::EINVAL);
        refused("a name that is too long", call, &"x".repeat(100), abi::Errno::ENAMETOOLONG);
    }
}

fn bad_arguments() {
    for call in 0x100..=0x111 {
        if [
            number::LIST_PROCESSES,
            number::PROCESS_COUNT,
            number::GET_CONFIG,
            number::CREATE_PROCESS,
            number::FORK_PROCESS,
        ]
        .contains(&call)
        {
            continue;
        }
        for pid in [0, 0x8000_0000, u64::MAX, 1 << 32] {
            let result = raw(call, [pid, 0, 0, 0]);
            expect_error(&format!("call {call:#x} of process {pid:#x}"), result, abi::Errno::EINVAL);
        }
        // A number that nobody has: a signal, state, level or policy of 0 may be refused first.
        let result = raw(call, [0x3fff_ffff, 2, 0, 0]);
        let refused = [abi::Errno::ESRCH, abi::Errno::EFAULT, abi::Errno::EINVAL].map(|errno| errno.to_return_value());
        expect(&format!("call {call:#x} of nobody"), refused.contains(&result));
    }
    for call in [0, 3, 19, 21, 0x114, 0x13f, 0x143, 0x200, u64::MAX, 1 << 63] {
        expect_error(&format!("no call {call:#x}"), raw(call, [0; 4]), abi::Errno::ENOSYS);
    }
    expect_error("the first process", raw(number::EXIT_PROCESS, [1, 0, 0, 0]), abi::Errno::EPERM);
    expect_error("the first process", raw(number::TERMINATE_PROCESS, [1, 1, 0, 0]), abi::Errno::EPERM);
    expect_error("no such way to end", raw(number::TERMINATE_PROCESS, [1, 2, 0, 0]), abi::Errno::EINVAL);
    expect_error("signal 0", raw(number::SEND_SIGNAL, [1, 0, 0, 0]), abi::Errno::EINVAL);
    expect_error("signal 65", raw(number::SEND_SIGNAL, [1, 65, 0, 0]), abi::Errno::EINVAL);
    expect_error("no such resource", raw(number::GET_LIMIT, [1, 10, 0, 0]), abi::Errno::EINVAL);
}

fn bad_pointers() {
    let me = u64::from(gate::getpid());
    let bad = [
        0,
        1,
        0x1000,
        0x7fff_ffff_f000,
        0x8000_0000_0000,
        0xffff_8000_0000_0000,
        0xffff_ffff_8000_0000,
        u64::MAX,
        u64::MAX - 7,
    ];
    for at in bad {
        let calls = [
            ("exec path", number::EXEC, [at, 0, 0, 0]),
            ("create name", number::CREATE_PROCESS, [0, at, 2, 0]),
            ("info", number::GET_PROCESS_INFO, [me, at, 0, 0]),
            ("stats", number::GET_PROCESS_STATS, [me, at, 0, 0]),
            ("list", number::LIST_PROCESSES, [at, 4, 0, 0]),
            ("list, huge", number::LIST_PROCESSES, [at, u64::MAX, 0, 0]),
            ("get_limit", number::GET_LIMIT, [me, 0, at, 0]),
            ("set_limit", number::SET_LIMIT, [me, 0, at, 0]),
            ("config", number::GET_CONFIG, [at, 0, 0, 0]),
        ];
        for (what, call, args) in calls {
            expect_error(&format!("{what} at {at:#x}"), raw(call, args), abi::Errno::EFAULT);
        }
    }
    let Ok(pid) = gate::create_process(0, "pointers", 2) else { return expect("create", false) };
    let path = c"/bin/pm".as_ptr() as u64;
    for at in bad {
        expect_error(
            &format!("exec_process path at {at:#x}"),
            raw(number::EXEC_PROCESS, [pid.into(), at, 0, 0]),
            abi::Errno::EFAULT,
        );
        if at != 0 {
            expect_error(
                &format!("exec_process argv at {at:#x}"),
                raw(number::EXEC_PROCESS, [pid.into(), path, at, 0]),
                abi::Errno::EFAULT,
            );
            let vector = [at, 0];
            let result = raw(number::EXEC_PROCESS, [pid.into(), path, vector.as_ptr() as u64, 0]);
            expect_error(&format!("exec_process argument at {at:#x}"), result, abi::Errno::EFAULT);
        }
    }
    expect("unharmed", gate::exec_process(pid, PROGRAM, &["pm", "exit", "1"]) == Ok(()));
    expect("and runs", gate::wait(pid).is_ok_and(|(_, status)| outcome(status) == "exited with 1"));
}

fn many() {
    let before = gate::process_count();
    let mut pids = Vec::new();
    for n in 0..200 {
        match gate::create_process(0, &format!("many-{n}"), n % 3) {
            Ok(pid) => pids.push(pid),
            Err(_) => break,
        }
    }
    expect("200 created", pids.len() == 200);
    expect(
        "all listed",
        gate::list_processes().is_ok_and(|list| pids.iter().all(|pid| list.iter().any(|line| line.pid == *pid))),
    );
    for (n, pid) in pids.iter().enumerate() {
        let done = match n % 3 {
            0 => gate::ask(number::EXIT_PROCESS, *pid, 0),
            1 => gate::ask(number::SEND_SIGNAL, *pid, 9),
            _ => gate::exec_process(*pid, PROGRAM, &["pm", "exit", "0"]),
        };
        if done.is_err() {
            expect("ended or begun", false);
        }
    }
    let mut reaped = 0;
    while gate::wait(0).is_ok() {
        reaped += 1;
    }
    expect("200 reaped", reaped == 200);
    expect("none left", gate::process_count() <= before);
}
