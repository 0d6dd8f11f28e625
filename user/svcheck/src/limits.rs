//! Checks of limits on time and bytes, of the watchdog, and of standing still.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use services::wire::{Reply, Request, Verb};
use services::{Cause, Definition, Readiness, RestartPolicy, State};
use types::Nanos;

use crate::control::{Control, service, wait};
use crate::{expect, expect_eq};

/// Runs a group; whether there is one of that name.
pub(crate) fn run(group: &str) -> bool {
    match group {
        "cpu" => cpu(),
        "io" => io(),
        "watchdog" => watchdog(),
        "pause" => pause(),
        "probes" => probes(),
        "memory-out" => memory_out(),
        _ => return false,
    }
    true
}

/// The figures of /proc/svc/NAME/usage.
fn usage(name: &str) -> BTreeMap<String, u64> {
    let text = std::fs::read_to_string(format!("/proc/svc/{name}/usage")).unwrap_or_default();
    let words: Vec<&str> = text.lines().next().unwrap_or_default().split(' ').skip(1).collect();
    words.chunks(2).filter_map(|pair| Some((pair.first()?.to_string(), pair.get(1)?.parse().ok()?))).collect()
}

fn used(name: &str, what: &str) -> u64 {
    usage(name).get(what).copied().unwrap_or(0)
}

/// How much of `what` a service uses in a second, over three seconds.
fn rate(name: &str, what: &[&str]) -> u64 {
    let sum = || what.iter().map(|what| used(name, what)).sum::<u64>();
    let (before, begun) = (sum(), Instant::now());
    std::thread::sleep(Duration::from_secs(3));
    let (after, span) = (sum(), begun.elapsed());
    ((after - before) as u128 * 1_000_000 / span.as_micros().max(1)) as u64
}

fn near(what: &str, is: u64, wished: u64, off: u64) {
    let good = is.abs_diff(wished) * 100 <= wished * off;
    expect(what, good);
    if !good {
        println!("  is {is}, not {wished} within {off} %");
    }
}

fn cpus() -> u64 {
    std::thread::available_parallelism().map_or(1, |count| count.get() as u64)
}

fn log(control: &mut Control, service: &str) -> String {
    match control.ask(&Request::Log { name: crate::control::name(service), from: 0 }) {
        Reply::Log(part) => String::from_utf8_lossy(&part.bytes).trim().to_owned(),
        _ => String::new(),
    }
}

/// Shares of the CPUs are kept to, by one busy thread as by many that run shortly.
fn cpu() {
    let mut control = Control::open().expect("/dev/svc");
    let limited = |name: &str, behaviour: &[&str], thousandths: u32| {
        let mut one = service(name, behaviour);
        one.limits.cpu = Some(thousandths);
        one
    };
    control.load(vec![
        limited("half", &["spin", "1", "1"], 500),
        limited("few", &["spin", "5", "4"], 200),
        limited("short", &["burst", "8"], 300),
        limited("more", &["spin", "1", "4"], 1500),
        limited("ample", &["good"], 500),
    ]);
    for (name, share) in [("half", 500_000), ("few", 200_000), ("short", 300_000), ("more", 1_500_000)] {
        // What more than one CPU is promised for can only be had there.
        if share > cpus() * 900_000 {
            continue;
        }
        control.verb(Verb::Start, name);
        control.reaches(name, State::Running);
        std::thread::sleep(Duration::from_millis(300));
        let has = rate(name, &["cpu_us"]);
        // Never more; what it lacks, whoever runs this machine beside others has taken while a period went by.
        expect(&format!("{name} has its share"), has <= share * 105 / 100 && has >= share * 80 / 100);
        println!("# {name}: {has} of {share} us a second");
        let (times, time) = (used(name, "cpu_throttled"), used(name, "cpu_throttled_us"));
        expect("and is throttled in the meantime", times > 10 && time > 500_000);
        let begun = Instant::now();
        control.verb(Verb::Stop, name);
        control.reaches(name, State::Down);
        expect("but ends at once", begun.elapsed() < Duration::from_secs(1));
    }
    control.verb(Verb::Start, "ample");
    control.reaches("ample", State::Running);
    expect_eq("who uses little is never throttled", used("ample", "cpu_throttled"), 0);
    let violations = std::fs::read_to_string("/proc/multios/violations").unwrap_or_default();
    expect("the crossing is recorded", violations.lines().any(|line| line.contains("CpuShare 500 Throttle")));
    control.clear();
}

/// Bytes a second are kept to, whichever call moves them.
fn io() {
    const RATE: u64 = 2 << 20;
    let mut control = Control::open().expect("/dev/svc");
    let ways = ["write", "splice", "tee", "vmsplice", "sendfile"];
    let set = ways.map(|way| {
        let mut one = service(way, &["pour", way]);
        one.limits.io = Some(RATE);
        one
    });
    control.load(set.into());
    for way in ways {
        control.verb(Verb::Start, way);
        control.reaches(way, State::Running);
        // What one second would have given may be had at once.
        std::thread::sleep(Duration::from_millis(1200));
        near(&format!("{way} moves so many bytes a second"), rate(way, &["read", "written"]), RATE, 8);
        expect("and has to wait for that", used(way, "io_throttled") > 0 && used(way, "io_throttled_us") > 500_000);
        control.verb(Verb::Stop, way);
        control.reaches(way, State::Down);
    }
    control.clear();
}

/// Which life of a service that is.
fn life(control: &mut Control, service: &str) -> u32 {
    control.row(service).map_or(0, |row| row.generation)
}

fn watched(name: &str, behaviour: &[&str]) -> Definition {
    let mut one = service(name, behaviour);
    one.ready = Readiness::Notify;
    one.health.watchdog = Some(Nanos::from_millis(300));
    one.restart.policy = RestartPolicy::Never;
    one
}

/// The watchdog bites who hangs, not who is kept from running.
fn watchdog() {
    let mut control = Control::open().expect("/dev/svc");
    let mut slow = watched("slow", &["beat", "10", "40"]);
    slow.limits.cpu = Some(50);
    control.load(vec![
        watched("beats", &["beat", "50", "0"]),
        watched("blocked", &["hang", "quiet"]),
        watched("busy", &["hang", "busy"]),
        watched("crowd", &["hang", "crowd"]),
        slow,
    ]);
    let bites = |control: &mut Control, name: &str| {
        control.verb(Verb::Start, name);
        wait(15, || control.row(name).is_some_and(|row| row.cause == Cause::Health(services::Health::Watchdog)))
    };
    expect("who waits for nothing is found", bites(&mut control, "blocked"));
    expect("and who runs in circles", bites(&mut control, "busy"));
    expect("and who does with several threads", bites(&mut control, "crowd"));
    // 40 ms of work at a twentieth of a CPU take 0.8 s.
    control.verb(Verb::Start, "slow");
    wait(5, || log(&mut control, "slow").lines().count() >= 3);
    expect("who is throttled comes late", log(&mut control, "slow").lines().count() >= 3);
    expect_eq("and is left alone", control.state("slow"), Some(State::Running));
    control.verb(Verb::Stop, "slow");
    control.verb(Verb::Start, "beats");
    expect("one that gives signs of life runs", control.reaches("beats", State::Running));
    let first = life(&mut control, "beats");
    // The scheduler lets who waits run after 20 ms for each that waits.
    let hogs = Hogs::start(24 * cpus());
    wait(15, || log(&mut control, "beats").lines().count() >= 3);
    expect("beside hogs it comes late", log(&mut control, "beats").lines().count() >= 3);
    let row = control.row("beats").map(|row| (row.state, row.generation));
    expect_eq("and is left alone", row, Some((State::Running, first)));
    expect("who waits for nothing is found there too", bites(&mut control, "blocked"));
    drop(hogs);
    control.clear();
}

/// Gives the caller that policy; the C library knows no such call.
fn schedule(policy: i32, priority: i32) -> i64 {
    // SAFETY: the parameter is there.
    unsafe { libc::syscall(libc::SYS_sched_setscheduler, 0, policy, &raw const priority) }
}

/// Processes that leave nothing to others; the caller goes before them.
struct Hogs(Vec<i32>);

impl Hogs {
    fn start(count: u64) -> Self {
        expect_eq("the check itself may run", schedule(libc::SCHED_FIFO, 60), 0);
        let mut hogs = Vec::new();
        for _ in 0..count {
            // SAFETY: there is one thread; the child only burns time.
            let child = unsafe { libc::fork() };
            if child == 0 {
                schedule(libc::SCHED_FIFO, 50);
                loop {
                    std::hint::black_box(0);
                }
            }
            hogs.push(child);
        }
        Self(hogs)
    }
}

impl Drop for Hogs {
    fn drop(&mut self) {
        for child in &self.0 {
            // SAFETY: these are children that nobody has waited for.
            unsafe {
                libc::kill(*child, libc::SIGKILL);
                libc::waitpid(*child, std::ptr::null_mut(), 0);
            }
        }
        schedule(libc::SCHED_OTHER, 0);
    }
}

/// A paused service stands still as a whole, with those born meanwhile; it goes on, or ends.
fn pause() {
    let mut control = Control::open().expect("/dev/svc");
    let _ = std::fs::remove_file("/tmp/svcheck-breed");
    let mut breeder = watched("breeder", &["breed"]);
    breeder.ready = Readiness::Execute;
    breeder.health.watchdog = None;
    breeder.restart.policy = RestartPolicy::Always;
    let beats = watched("beats", &["beat", "50", "0"]);
    let mut idle = service("idle", &["good"]);
    idle.restart.policy = RestartPolicy::Never;
    control.load(vec![breeder, beats, idle]);
    let born = || std::fs::metadata("/tmp/svcheck-breed").map_or(0, |file| file.len());
    let still = || {
        // Who is in a call may come to its end.
        std::thread::sleep(Duration::from_millis(200));
        let before = born();
        std::thread::sleep(Duration::from_millis(300));
        born() == before
    };
    control.verb(Verb::Start, "breeder");
    expect("children come and go", wait(10, || born() > 20));
    for _ in 0..5 {
        expect_eq("pause", control.verb(Verb::Pause, "breeder"), Reply::Ok);
        expect("nobody runs any more", still());
        expect_eq("resume", control.verb(Verb::Resume, "breeder"), Reply::Ok);
        let before = born();
        expect("all go on", wait(5, || born() > before + 5));
    }
    control.verb(Verb::Pause, "breeder");
    let pid = control.row("breeder").map_or(0, |row| row.pid);
    let next = life(&mut control, "breeder") + 1;
    // SAFETY: sends a signal.
    unsafe { libc::kill(pid as i32, libc::SIGKILL) };
    expect("a kill ends it all the same", wait(5, || life(&mut control, "breeder") == next));
    let before = born();
    expect("and the next one runs", wait(5, || born() > before + 5));
    control.verb(Verb::Start, "idle");
    control.reaches("idle", State::Running);
    control.verb(Verb::Pause, "idle");
    let pid = control.row("idle").map_or(0, |row| row.pid);
    // SAFETY: as above.
    unsafe { libc::kill(pid as i32, libc::SIGTERM) };
    expect("so does a signal that it does not block", control.reaches("idle", State::Failed));
    control.verb(Verb::Pause, "breeder");
    control.verb(Verb::Stop, "breeder");
    expect("a stop as well", control.reaches("breeder", State::Down));
    control.verb(Verb::Start, "beats");
    control.reaches("beats", State::Running);
    let first = life(&mut control, "beats");
    control.verb(Verb::Pause, "beats");
    std::thread::sleep(Duration::from_secs(1));
    control.verb(Verb::Resume, "beats");
    std::thread::sleep(Duration::from_millis(700));
    let row = control.row("beats").map(|row| (row.state, row.generation));
    expect_eq("standing still is not hanging", row, Some((State::Running, first)));
    control.clear();
}

/// Programs that say whether a service is well.
fn probes() {
    let mut control = Control::open().expect("/dev/svc");
    let _ = std::fs::remove_file("/tmp/svcheck-ill");
    let probed = |name: &str, how: &str| {
        let mut one = service(name, &["good"]);
        let words = ["/bin/svcheck", "be", "probe", how];
        one.probe = services::ProbeTarget::Execute(words.map(Into::into).into());
        one.health.live =
            Some(services::Probe { period: Nanos::from_millis(200), timeout: Nanos::from_millis(150), failures: 2 });
        one.restart.policy = RestartPolicy::Never;
        one.user = types::Uid(33);
        one
    };
    let mut ready = probed("ready", "file");
    ready.ready = Readiness::Probe;
    let mut missing = probed("missing", "file");
    missing.probe = services::ProbeTarget::Execute(vec!["/bin/no-such-program".into()]);
    control.load(vec![probed("well", "file"), probed("slow", "forever"), ready, missing]);
    let unwell = Cause::Health(services::Health::Probe);
    let fails = |control: &mut Control, name: &str| {
        wait(10, || control.row(name).is_some_and(|row| row.state == State::Failed && row.cause == unwell))
    };
    control.verb(Verb::Start, "well");
    control.reaches("well", State::Running);
    wait(5, || log(&mut control, "well").lines().count() >= 3);
    let said = log(&mut control, "well");
    expect_eq("the program runs as the service", said.lines().next().unwrap_or_default(), "well asked as 33");
    expect_eq("it is well", control.state("well"), Some(State::Running));
    std::fs::write("/tmp/svcheck-ill", "").expect("written");
    expect("until the program says otherwise", fails(&mut control, "well"));
    control.verb(Verb::Start, "ready");
    std::thread::sleep(Duration::from_millis(500));
    expect_eq("one that a program must find ready waits for that", control.state("ready"), Some(State::Starting));
    std::fs::remove_file("/tmp/svcheck-ill").expect("removed");
    expect("and is", control.reaches("ready", State::Running));
    control.verb(Verb::Start, "slow");
    expect("a program that takes too long says no", fails(&mut control, "slow"));
    control.verb(Verb::Start, "missing");
    expect("as does one that is not there", fails(&mut control, "missing"));
    control.verb(Verb::Stop, "ready");
    control.reaches("ready", State::Down);
    expect("none is left", wait(5, || crate::control::survivors() == 0));
    control.clear();
}

/// Memory runs out: a service goes as a whole, by its name, and no critical one while another would do.
fn memory_out() {
    let mut control = Control::open().expect("/dev/svc");
    let mut vital = service("vital", &["eat", "160"]);
    vital.critical = true;
    let mut greedy = service("greedy", &["eat", "0"]);
    greedy.restart.policy = RestartPolicy::Never;
    control.load(vec![vital, greedy]);
    control.verb(Verb::Start, "vital");
    expect("a critical service has much", wait(20, || log(&mut control, "vital") == "full"));
    let first = life(&mut control, "vital");
    control.verb(Verb::Start, "greedy");
    expect("one that takes all goes", {
        wait(60, || control.row("greedy").is_some_and(|row| row.state == State::Failed))
    });
    let out = Some(Cause::Health(services::Health::OutOfMemory));
    expect_eq("which is called by its name", control.row("greedy").map(|row| row.cause), out);
    let row = control.row("vital").map(|row| (row.state, row.generation));
    expect_eq("the critical one stays", row, Some((State::Running, first)));
    // While little memory is free, /proc refuses to be read.
    expect("and nothing is left of the other", wait(5, || crate::control::survivors() == 1));
    let why = std::fs::read_to_string("/proc/svc/greedy/why").unwrap_or_default();
    expect("why says so", why.contains("greedy is failed") && why.contains("Health(OutOfMemory)"));
    control.clear();
}
