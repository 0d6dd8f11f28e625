//! Limits of MultiOS's own, crossed by real processes: each with every policy that it can have, and what is recorded.

use std::fs::{self, File};
use std::hint::black_box;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use abi::native::{POLICY_FAIL, POLICY_KILL, POLICY_SIGNAL, POLICY_THROTTLE};

use crate::gate::{self, Errno, linux, linux6};

const MEMORY: u64 = 0;
const PEAK_MEMORY: u64 = 1;
const STACK: u64 = 2;
const HEAP: u64 = 3;
const CPU_TIME: u64 = 4;
const BYTES_READ: u64 = 5;
const BYTES_WRITTEN: u64 = 6;
const BANDWIDTH: u64 = 7;
const CHILDREN: u64 = 8;
const CREATION_RATE: u64 = 9;

const SIGBUS: i32 = 7;
const SIGKILL: i32 = 9;
const SIGUSR1: u32 = 10;
const SIGSEGV: i32 = 11;
const SIGXCPU: i32 = 24;
const EDQUOT: i32 = 122;
const NONE: u64 = u64::MAX;

static FAILED: AtomicU32 = AtomicU32::new(0);

fn expect(what: &str, good: bool) {
    println!("{} {what}", if good { "ok" } else { "FAILED" });
    FAILED.fetch_add(u32::from(!good), Ordering::Relaxed);
}

/// A limit as a child sets it for itself.
type Own = (u64, u64, u32, u32);

/// The wait status of a child that sets the limit for itself and does `work`, whose answer is its exit code.
fn child((resource, value, policy, signal): Own, work: impl FnOnce() -> i32) -> i32 {
    match gate::fork() {
        Ok(0) => {
            // std's handler of SIGBUS would itself need memory.
            handle(SIGBUS as u32, 0);
            if gate::set_limit(gate::getpid(), resource, value, policy, signal).is_err() {
                gate::exit(200);
            }
            gate::exit(work())
        }
        Ok(pid) => {
            let status = gate::wait(pid).map_or(-1, |(_, status)| without_core(status));
            let log = fs::read_to_string("/proc/multios/violations").unwrap_or_default();
            let recorded = log.lines().any(|line| line.split(' ').nth(1) == Some(&pid.to_string()));
            if !recorded {
                expect("the crossing is in /proc/multios/violations", false);
            }
            status
        }
        Err(_) => -1,
    }
}

/// A wait status without the bit that says that memory would have been dumped.
fn without_core(status: i32) -> i32 {
    if status & 0x7f == 0 { status } else { status & !0x80 }
}

fn expect_status(what: &str, status: i32, wanted: i32) {
    expect(what, status == wanted);
    if status != wanted {
        println!("   its wait status was {status:#x}");
    }
}

/// How often this process crossed a limit.
fn crossed(resource: u64) -> i32 {
    gate::get_limit(gate::getpid(), resource).map_or(-1, |limit| limit.violations as i32)
}

/// Ignores SIGUSR1.
fn ignore_usr1() {
    handle(SIGUSR1, 1);
}

/// Gives a signal its default (0) or none (1) at all.
fn handle(signal: u32, handler: u64) {
    // struct sigaction: handler, flags, restorer, mask.
    let action = [handler, 0, 0, 0];
    linux(13, [signal.into(), black_box(&action).as_ptr() as u64, 0]);
}

fn memory() -> u64 {
    gate::get_process_stats(gate::getpid()).map_or(0, |stats| stats.memory)
}

fn touch(bytes: usize) -> i32 {
    let mut block: Vec<u8> = Vec::with_capacity(bytes);
    block.resize(bytes, 1);
    black_box(&block);
    0
}

#[inline(never)]
fn recurse(depth: u32) -> u32 {
    let frame = [depth as u8; 4096];
    let below = if depth == 0 { 0 } else { recurse(black_box(depth - 1)) };
    below + u32::from(black_box(&frame)[7])
}

pub(crate) fn run() -> ExitCode {
    of_memory();
    of_time();
    of_bytes();
    of_processes();
    of_rights();
    println!("{}", if FAILED.load(Ordering::Relaxed) == 0 { "all passed" } else { "something failed" });
    ExitCode::from(u8::from(FAILED.load(Ordering::Relaxed) != 0))
}

fn of_memory() {
    let most = memory() + (1 << 20);
    expect_status("memory, error", child((MEMORY, most, POLICY_FAIL, 0), || touch(4 << 20)), SIGBUS);
    expect_status("memory, kill", child((MEMORY, most, POLICY_KILL, 0), || touch(4 << 20)), SIGKILL);
    expect_status("memory, signal", child((MEMORY, most, POLICY_SIGNAL, SIGUSR1), || touch(4 << 20)), SIGUSR1 as i32);
    let status = child((MEMORY, most, POLICY_SIGNAL, SIGUSR1), || {
        ignore_usr1();
        touch(4 << 20);
        // Three MiB too much: one signal per 256 KiB.
        i32::from(!(8..=16).contains(&crossed(MEMORY)))
    });
    expect_status("memory, signal ignored: goes on, told again", status, 0);
    expect_status("peak memory, kill", child((PEAK_MEMORY, most, POLICY_KILL, 0), || touch(4 << 20)), SIGKILL);
    let status = child((MEMORY, most, POLICY_FAIL, 0), || {
        // The kernel writes to memory that is not there yet.
        let mut block: Vec<u8> = Vec::with_capacity(4 << 20);
        let got = File::open("/dev/zero").map_or(0, |zero| {
            use std::os::fd::AsRawFd;
            linux(0, [zero.as_raw_fd() as u64, block.as_mut_ptr() as u64, 4 << 20])
        });
        i32::from(!(0..4 << 20).contains(&got) && got != -14 || crossed(MEMORY) == 0 || memory() > most)
    });
    expect_status("memory, error in a copy by the kernel: cut short, never above", status, 0);
    expect_status(
        "within the limit",
        {
            let limit = gate::set_limit(gate::getpid(), MEMORY, NONE, POLICY_FAIL, 0);
            i32::from(limit.is_err() || touch(512 << 10) != 0)
        },
        0,
    );

    let small = 512 << 10;
    expect_status("stack, error", child((STACK, small, POLICY_FAIL, 0), || recurse(1000) as i32), SIGSEGV);
    expect_status("stack, kill", child((STACK, small, POLICY_KILL, 0), || recurse(1000) as i32), SIGKILL);
    let status = child((STACK, small, POLICY_SIGNAL, SIGUSR1), || {
        ignore_usr1();
        black_box(recurse(1000));
        i32::from(crossed(STACK) != 1)
    });
    expect_status("stack, signal ignored: goes on", status, 0);

    let brk = |more: i64| {
        let now = linux(12, [0; 3]);
        linux(12, [(now + more) as u64, 0, 0]) - now
    };
    let status = child((HEAP, 1 << 20, POLICY_FAIL, 0), || {
        let (fits, refused) = (brk(64 << 10), brk(2 << 20));
        i32::from(fits != 64 << 10 || refused != 0 || crossed(HEAP) != 1)
    });
    expect_status("heap, error", status, 0);
    expect_status("heap, kill", child((HEAP, 1 << 20, POLICY_KILL, 0), || brk(2 << 20) as i32 & 1), SIGKILL);
}

fn of_time() {
    let spin = || loop {
        black_box(());
    };
    for (what, policy, wanted) in [("CPU time, kill", POLICY_KILL, SIGKILL), ("CPU time, error", POLICY_FAIL, SIGXCPU)]
    {
        let used = || gate::get_process_stats(gate::getpid()).map_or(0, |stats| stats.children_cpu_ns);
        let before = used();
        let limit = 50_000_000;
        expect_status(what, child((CPU_TIME, limit, policy, 0), spin), wanted);
        let used = used() - before;
        expect("not before it, and soon after", (limit..limit + 150_000_000).contains(&used));
    }
    let status = match gate::fork() {
        Ok(0) => {
            let limit = [1_u64, 2];
            // setrlimit(RLIMIT_CPU)
            linux(160, [0, limit.as_ptr() as u64, 0]);
            spin()
        }
        Ok(pid) => gate::wait(pid).map_or(-1, |(_, status)| without_core(status)),
        Err(_) => -1,
    };
    expect_status("RLIMIT_CPU, soft", status, SIGXCPU);
}

fn of_bytes() {
    let status = child((BYTES_WRITTEN, 10_000, POLICY_FAIL, 0), || {
        let Ok(mut file) = File::create("/tmp/limited") else { return 1 };
        let chunk = [1; 4096];
        let wrote: Vec<_> =
            (0..4).map(|_| file.write(&chunk).map_err(|error| error.raw_os_error().unwrap_or(0))).collect();
        let total = gate::get_process_stats(gate::getpid()).map_or(0, |stats| stats.write_bytes);
        i32::from(
            wrote != [Ok(4096), Ok(4096), Ok(1808), Err(EDQUOT)] || total != 10_000 || crossed(BYTES_WRITTEN) != 1,
        )
    });
    expect_status("bytes written, error: to the byte", status, 0);
    expect("the file has as many", fs::metadata("/tmp/limited").is_ok_and(|file| file.len() == 10_000));
    let _ = fs::remove_file("/tmp/limited");
    let read = |times: u32| {
        let Ok(mut zero) = File::open("/dev/zero") else { return 1 };
        let mut chunk = [0; 4096];
        (0..times).all(|_| zero.read(&mut chunk).is_ok_and(|count| count == 4096));
        0
    };
    expect_status("bytes read, kill", child((BYTES_READ, 10_000, POLICY_KILL, 0), || read(4)), SIGKILL);
    let status = child((BYTES_READ, 10_000, POLICY_SIGNAL, SIGUSR1), || {
        ignore_usr1();
        read(10);
        i32::from(crossed(BYTES_READ) != 1)
    });
    expect_status("bytes read, signal: once", status, 0);

    sockets();
    copies();
    let write = |policy| {
        let begun = Instant::now();
        let status = child((BANDWIDTH, 100_000, policy, 0), || {
            let Ok(mut null) = File::create("/dev/null") else { return 1 };
            (0..30).find_map(|_| null.write(&[0; 10_000]).err()).and_then(|error| error.raw_os_error()).unwrap_or(0)
        });
        (status, begun.elapsed())
    };
    let (status, took) = write(POLICY_THROTTLE);
    expect_status("bandwidth, throttle", status, 0);
    // 300 kB at 100 kB/s after a burst of one second.
    expect("at the rate", took > Duration::from_millis(1800) && took < Duration::from_secs(6));
    let (status, _) = write(POLICY_FAIL);
    expect_status("bandwidth, error", status, EDQUOT << 8);
}

/// Streams are cut to the byte, messages go whole or not at all.
fn sockets() {
    let status = child((BYTES_WRITTEN, 10_000, POLICY_FAIL, 0), || {
        let Ok((mut near, _far)) = UnixStream::pair() else { return 1 };
        let sent = [send(&near, 6000), send(&near, 6000), send(&near, 6000)];
        let more = near.write(&[0]).map_err(|error| error.raw_os_error());
        i32::from(sent != [6000, 4000, -i64::from(EDQUOT)] || more != Err(Some(EDQUOT)))
    });
    expect_status("a stream's bytes are cut", status, 0);
    let status = child((BYTES_WRITTEN, 10_000, POLICY_FAIL, 0), || {
        let Ok((near, _far)) = UnixDatagram::pair() else { return 1 };
        let sent = [send(&near, 6000), send(&near, 6000), send(&near, 4000), send(&near, 1)];
        i32::from(sent != [6000, -i64::from(EDQUOT), 4000, -i64::from(EDQUOT)] || crossed(BYTES_WRITTEN) != 2)
    });
    expect_status("messages are not", status, 0);
    let status = child((BYTES_READ, 10_000, POLICY_FAIL, 0), || {
        let Ok((near, far)) = UnixStream::pair() else { return 1 };
        let sent = send(&near, 20_000);
        let got = [receive(&far, 6000), receive(&far, 6000), receive(&far, 6000)];
        i32::from(sent != 20_000 || got != [6000, 4000, -i64::from(EDQUOT)])
    });
    expect_status("nor is more received", status, 0);
}

/// sendto(2) without an address.
fn send(socket: &impl AsRawFd, bytes: usize) -> i64 {
    let data = vec![0_u8; bytes];
    linux6(44, [socket.as_raw_fd() as u64, data.as_ptr() as u64, bytes as u64, 0, 0, 0])
}

/// recvfrom(2) without an address.
fn receive(socket: &impl AsRawFd, bytes: usize) -> i64 {
    let mut data = vec![0_u8; bytes];
    linux6(45, [socket.as_raw_fd() as u64, data.as_mut_ptr() as u64, bytes as u64, 0, 0, 0])
}

/// copy_file_range and splice: cut by an error, put off by bandwidth.
fn copies() {
    const SPLICE: u64 = 275;
    const COPY_FILE_RANGE: u64 = 326;
    let _ = fs::write("/tmp/copied-from", vec![1; 400_000]);
    let copy = |bytes: u64| match (File::open("/tmp/copied-from"), File::create("/tmp/copied-to")) {
        (Ok(from), Ok(to)) => linux6(COPY_FILE_RANGE, [from.as_raw_fd() as u64, 0, to.as_raw_fd() as u64, 0, bytes, 0]),
        _ => -1,
    };
    for resource in [BYTES_WRITTEN, BYTES_READ] {
        let status = child((resource, 10_000, POLICY_FAIL, 0), || {
            i32::from([copy(6000), copy(6000), copy(6000)] != [6000, 4000, -i64::from(EDQUOT)])
        });
        expect_status("copies of files are cut", status, 0);
    }
    let status = child((BYTES_WRITTEN, 10_000, POLICY_FAIL, 0), || {
        let (Ok(from), Ok((_read, write))) = (File::open("/tmp/copied-from"), std::io::pipe()) else { return 1 };
        let splice = || linux6(SPLICE, [from.as_raw_fd() as u64, 0, write.as_raw_fd() as u64, 0, 6000, 0]);
        i32::from([splice(), splice(), splice()] != [6000, 4000, -i64::from(EDQUOT)])
    });
    expect_status("so are splices", status, 0);
    let begun = Instant::now();
    let all = || i32::from((0..6).any(|_| copy(100_000) != 100_000));
    expect_status("bandwidth of copies", child((BANDWIDTH, 200_000, POLICY_THROTTLE, 0), all), 0);
    // 1.2 MB, read and written, at 200 kB/s after a burst of one second; the last one is not waited for.
    let took = begun.elapsed();
    expect("at the rate of copies", took > Duration::from_millis(2500) && took < Duration::from_secs(9));
    let _ = fs::remove_file("/tmp/copied-from");
    let _ = fs::remove_file("/tmp/copied-to");
}

fn of_processes() {
    let spawn = || match gate::fork() {
        Ok(0) => gate::exit(0),
        other => other,
    };
    let status = child((CHILDREN, 3, POLICY_FAIL, 0), || {
        let made: Vec<bool> = (0..5).map(|_| spawn().is_ok()).collect();
        let refused = spawn() == Err(Errno(EDQUOT));
        let reaped = gate::wait(0).is_ok();
        i32::from(made != [true, true, true, false, false] || !refused || !reaped || spawn().is_err())
    });
    expect_status("children, error, until one is reaped", status, 0);
    expect_status("children, kill", child((CHILDREN, 0, POLICY_KILL, 0), || i32::from(spawn().is_ok())), SIGKILL);
    let begun = Instant::now();
    let status = child((CREATION_RATE, 10, POLICY_THROTTLE, 0), || {
        i32::from(!(0..25).all(|_| spawn().is_ok_and(|pid| gate::wait(pid).is_ok())))
    });
    expect_status("creation rate, throttle", status, 0);
    expect("at the rate", begun.elapsed() > Duration::from_millis(1300) && begun.elapsed() < Duration::from_secs(6));
    let status =
        child((CREATION_RATE, 2, POLICY_FAIL, 0), || i32::from((0..10).all(|_| spawn() != Err(Errno(EDQUOT)))));
    expect_status("creation rate, error", status, 0);
}

fn of_rights() {
    let me = gate::getpid();
    expect("memory cannot be put off", gate::set_limit(me, MEMORY, 1 << 30, POLICY_THROTTLE, 0) == Err(Errno::EINVAL));
    expect("no such policy", gate::set_limit(me, MEMORY, 1 << 30, 4, 0) == Err(Errno::EINVAL));
    expect("no such signal", gate::set_limit(me, MEMORY, 1 << 30, POLICY_SIGNAL, 65) == Err(Errno::EINVAL));
    let status = match gate::fork() {
        Ok(0) => {
            // setuid(1000)
            linux(105, [1000, 0, 0]);
            let me = gate::getpid();
            let set = |value| gate::set_limit(me, BYTES_READ, value, POLICY_FAIL, 0);
            let others = gate::set_limit(1, BYTES_READ, 5, POLICY_FAIL, 0);
            gate::exit(i32::from(
                set(1 << 30).is_err()
                    || set(1 << 31) != Err(Errno(1))
                    || set(1 << 29).is_err()
                    || others != Err(Errno(1)),
            ))
        }
        Ok(pid) => gate::wait(pid).map_or(-1, |(_, status)| status),
        Err(_) => -1,
    };
    expect_status("without privilege limits only fall, and only one's own", status, 0);
}
