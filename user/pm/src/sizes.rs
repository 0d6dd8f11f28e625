//! What a process costs: kernel memory per fresh child, as the kernel's heap has it before and after.

use std::fs;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::gate::{self, linux};

/// Children at a time.
const CHILDREN: usize = 200;
/// Most bytes of kernel objects per fresh child, vector registers and page tables apart.
const MOST: u64 = 2048;

const READ: u64 = 0;
const NANOSLEEP: u64 = 35;
const PAUSE: u64 = 34;
const KILL: u64 = 62;
const SIGKILL: u64 = 9;
const PIPE: u64 = 22;

/// A number of `/proc/multios/kernel`.
fn figure(report: &str, name: &str) -> u64 {
    report
        .lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(other, _)| *other == name)
        .map_or(0, |(_, value)| value.trim().parse().unwrap_or(0))
}

/// How many objects of each size the heap has handed out. Larger blocks, such as parts of the process table, are no objects.
fn objects(report: &str) -> Vec<(u64, i64)> {
    let lines = report.lines().filter_map(|line| line.strip_prefix("heap_objects "));
    lines
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(size, count)| Some((size.parse().ok()?, count.parse().ok()?)))
        .collect()
}

fn report() -> String {
    fs::read_to_string("/proc/multios/kernel").unwrap_or_default()
}

/// [`objects`] once they stay as they are: other CPUs may still be taking apart what has ended.
fn settled() -> Vec<(u64, i64)> {
    let mut last = objects(&report());
    for _ in 0..40 {
        std::thread::sleep(Duration::from_millis(50));
        let now = objects(&report());
        if now == last {
            break;
        }
        last = now;
    }
    last
}

fn is_blocked(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| rest.starts_with(" S"))
}

/// Makes children that wait by `wait`; the objects that each of them costs, by size, in hundredths.
fn cost(wait: &dyn Fn()) -> Option<Vec<(u64, i64)>> {
    let mut pids = Vec::with_capacity(CHILDREN);
    let before = settled();
    while pids.len() < CHILDREN {
        match gate::fork() {
            Ok(0) => loop {
                wait();
            },
            Ok(pid) => pids.push(pid),
            Err(_) => break,
        }
    }
    let begun = Instant::now();
    let mut blocked = false;
    while !blocked && begun.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(50));
        blocked = pids.iter().all(|pid| is_blocked(*pid));
    }
    let after = settled();
    for pid in &pids {
        linux(KILL, [u64::from(*pid), SIGKILL, 0]);
    }
    let reaped = pids.iter().filter(|pid| gate::wait(**pid).is_ok()).count();
    let each =
        before.iter().zip(&after).map(|((size, before), (_, after))| (*size, (after - before) * 100 / CHILDREN as i64));
    (blocked && reaped == CHILDREN).then(|| each.filter(|(_, count)| *count != 0).collect())
}

/// Prints the bytes that a child waiting by `wait` costs; whether they are known and at most `most`.
fn measure(name: &str, most: u64, wait: &dyn Fn()) -> bool {
    // What is made once and kept is made by a first round.
    let Some(cost) = cost(wait).and_then(|_| cost(wait)) else {
        println!("FAILED {name}: no {CHILDREN} children");
        return false;
    };
    let report = report();
    let vectors = figure(&report, "bytes_vectors");
    let number = figure(&report, "bytes_number");
    let objects = cost.iter().map(|(size, count)| *size as i64 * count).sum::<i64>() as u64 / 100;
    // Where they are more than an object they are not among these.
    let counted = if cost.iter().any(|(size, count)| *size == vectors && *count >= 50) { vectors } else { 0 };
    let all = objects - counted.min(objects) + number;
    let parts: Vec<String> =
        cost.iter().map(|(size, count)| format!("{size}x{}.{:02}", count / 100, count % 100)).collect();
    let good = vectors != 0 && number != 0 && objects > counted && all <= most;
    println!(
        "{} {name}: {all} bytes, {number} of them in tables; vector registers {vectors} apart",
        if good { "ok" } else { "FAILED" }
    );
    println!("   objects: {}", parts.join(" "));
    good
}

pub(crate) fn run() -> ExitCode {
    for name in ["bytes_process", "bytes_thread", "bytes_slot", "bytes_life"] {
        println!("{name} {}", figure(&report(), name));
    }
    let mut ends = [0_u32; 2];
    linux(PIPE, [ends.as_mut_ptr() as u64, 0, 0]);
    let [reader, _] = ends;
    let mut byte = 0_u8;
    let byte = &raw mut byte as u64;
    let hour = [3600_u64, 0];
    let good = [
        measure("a child in pause", MOST, &|| _ = linux(PAUSE, [0; 3])),
        measure("a child that reads an empty pipe", MOST, &|| _ = linux(READ, [u64::from(reader), byte, 1])),
        measure("a child in nanosleep", MOST + 160, &|| _ = linux(NANOSLEEP, [hour.as_ptr() as u64, 0, 0])),
    ];
    let good = good.into_iter().all(|good| good);
    println!("{}", if good { "all passed" } else { "something failed" });
    ExitCode::from(u8::from(!good))
}
