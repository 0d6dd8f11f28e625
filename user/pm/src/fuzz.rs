//! Random system calls with random arguments from several processes at once: `pm fuzz CALLS SEED WORKERS`.
//!
//! Each worker has a user of its own and lets one child after another make calls; what a call is depends on the seed and its
//! number alone. A child that waits or has ended is replaced. Afterwards `/proc/multios/check` must find table and tree
//! sound, and nothing may be left of all the processes.

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::gate::linux6;

/// __WALL: children whatever signal their end sends.
const WALL: u64 = 0x4000_0000;
const MMAP: u64 = 9;
const EXIT_GROUP: u64 = 231;
const UNSHARE: u64 = 272;
/// CLONE_NEWIPC.
const NEW_IPC: u64 = 0x0800_0000;
/// A child that makes no call for so long waits for something.
const PATIENCE: Duration = Duration::from_millis(4);
/// Numbers are drawn below this.
const NUMBERS: u64 = 470;

/// What a worker and its children share.
struct Shared {
    done: AtomicU64,
    children: AtomicU64,
    /// The call made last, with its arguments.
    last: [AtomicU64; 7],
}

/// splitmix64 of seed and index: the same whatever happened before.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

const TEXTS: [&[u8]; 10] = [
    b"a\0",
    b"b\0",
    b"d\0",
    b"d/e\0",
    b".\0",
    b"/dev/null\0",
    b"/dev/zero\0",
    b"/proc/self/stat\0",
    b"/proc/multios/counts\0",
    b"\0",
];

fn argument(random: &mut Random, scratch: &mut [u8]) -> u64 {
    let base = scratch.as_mut_ptr() as u64;
    let r = random.next();
    match r % 16 {
        0 => 0,
        1 => u64::MAX,
        2..=4 => r >> 32 & 15,
        5 => r >> 32 & 0xfff,
        6 => 1 << (r >> 32 & 63),
        7 | 8 => base + (r >> 32 & 0xfff),
        9 => {
            // A few words that look like anything.
            let at = (r >> 40 & 0xff8) as usize;
            let word = random.next() >> (random.next() & 63);
            if let Some(slot) = scratch.get_mut(at..at + 8) {
                slot.copy_from_slice(&word.to_le_bytes());
            }
            base + at as u64
        }
        10 | 11 => TEXTS.get((r >> 32) as usize % TEXTS.len()).map_or(0, |text| text.as_ptr() as u64),
        12 => base + 0x2000 - (r >> 32 & 15),
        13 => 0xffff_8000_0000_0000 | r >> 20,
        14 => r >> 32 & 0xffff_f000,
        _ => r,
    }
}

/// Calls that are left out: vfork, whose child would run on this very stack; and, but for one of sixteen, those that only end
/// the child or let it wait.
fn is_left_out(number: u64, index: u64) -> bool {
    const DULL: [u64; 8] = [15, 34, 60, 61, 130, 231, 247, 449];
    number == 58 || DULL.contains(&number) && !index.is_multiple_of(16)
}

fn make_calls(shared: &Shared, seed: u64, most: u64) -> ! {
    let mut scratch = vec![0_u8; 0x2000];
    loop {
        let index = shared.done.fetch_add(1, Ordering::Relaxed);
        if index >= most {
            linux6(EXIT_GROUP, [0; 6]);
        }
        let mut random = Random(seed ^ index.wrapping_mul(0xd134_2543_de82_ef95));
        let number = random.next() % NUMBERS;
        if is_left_out(number, index) {
            continue;
        }
        let mut args = [0; 6];
        args.iter_mut().for_each(|slot| *slot = argument(&mut random, &mut scratch));
        if matches!(number, 56 | 435) {
            // clone: no thread and no shared memory, which would run on this very stack.
            args = [args.first().copied().unwrap_or(0) & 0x3f & !0x1c, 0, 0, 0, 0, 0];
        }
        for (slot, value) in shared.last.iter().zip([number].into_iter().chain(args)) {
            slot.store(value, Ordering::Relaxed);
        }
        black_box(linux6(number, args));
    }
}

fn fork() -> i64 {
    linux6(57, [0; 6])
}

fn wait_any(options: u64) -> i64 {
    linux6(61, [u64::MAX, 0, options, 0, 0, 0])
}

/// Makes the calling process user `uid`, with little to take.
fn become_nobody(uid: u64) {
    for (resource, limit) in [(1, 1_u64 << 20), (6, 40), (7, 64), (9, 128 << 20), (11, 64)] {
        let limit = [limit, limit];
        linux6(160, [resource, black_box(&limit).as_ptr() as u64, 0, 0, 0, 0]);
    }
    linux6(116, [0; 6]); // setgroups
    linux6(106, [uid, 0, 0, 0, 0, 0]); // setgid
    linux6(105, [uid, 0, 0, 0, 0, 0]); // setuid
}

/// Ends everything that user `uid` runs.
fn end_all(shared: &Shared, uid: u64) {
    for round in 0.. {
        if fork() == 0 {
            become_nobody(uid);
            linux6(62, [u64::MAX, 9, 0, 0, 0, 0]);
            linux6(EXIT_GROUP, [0; 6]);
        }
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(3) {
            match wait_any(1 | WALL) {
                0 => std::thread::sleep(Duration::from_micros(200)),
                error if error < 0 => return,
                _ => {}
            }
        }
        let last: Vec<String> =
            shared.last.iter().map(|value| format!("{:#x}", value.load(Ordering::Relaxed))).collect();
        println!("round {round}: these do not end; the last call was {}", last.join(" "));
        for process in crate::gate::list_processes().unwrap_or_default() {
            let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid)).unwrap_or_default();
            let wanted = ["Name:", "State:", "Pid:", "PPid:", "Threads:", "SigPnd:", "ShdPnd:", "SigBlk:"];
            let lines: Vec<&str> =
                status.lines().filter(|line| wanted.iter().any(|name| line.starts_with(name))).collect();
            println!("{}", lines.join(" "));
        }
    }
}

fn worker(shared: &Shared, seed: u64, most: u64, uid: u64) {
    // PR_SET_CHILD_SUBREAPER: what the children leave behind comes here.
    linux6(157, [36, 1, 0, 0, 0, 0]);
    let dir = format!("/tmp/fuzz-{uid}");
    let _ = std::fs::create_dir(&dir);
    let _ = std::os::unix::fs::chown(&dir, Some(uid as u32), Some(uid as u32));
    let _ = std::env::set_current_dir(&dir);
    while shared.done.load(Ordering::Relaxed) < most {
        shared.children.fetch_add(1, Ordering::Relaxed);
        let child = fork();
        if child == 0 {
            linux6(112, [0; 6]); // setsid
            let null = linux6(2, [c"/dev/null".as_ptr() as u64, 2, 0, 0, 0, 0]);
            for fd in 0..3 {
                linux6(33, [null as u64, fd, 0, 0, 0, 0]);
            }
            // Objects of System V IPC go with their namespace; otherwise they would stay and look like a leak.
            linux6(UNSHARE, [NEW_IPC, 0, 0, 0, 0, 0]);
            become_nobody(uid);
            make_calls(shared, seed, most);
        }
        let (mut seen, mut since) = (shared.done.load(Ordering::Relaxed), Instant::now());
        loop {
            let ended = wait_any(1 | WALL);
            if ended == child || ended < 0 {
                break;
            }
            let now = shared.done.load(Ordering::Relaxed);
            if now != seen {
                (seen, since) = (now, Instant::now());
            } else if since.elapsed() > PATIENCE {
                break;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        end_all(shared, uid);
    }
    let _ = std::env::set_current_dir("/");
    let _ = std::fs::remove_dir_all(&dir);
}

fn counts() -> Vec<(String, u64)> {
    let text = std::fs::read_to_string("/proc/multios/counts").unwrap_or_default();
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
        .collect()
}

fn count(name: &str) -> u64 {
    counts().iter().find(|(other, _)| other == name).map_or(0, |(_, value)| *value)
}

fn round(calls: u64, seed: u64, workers: u64) -> u64 {
    let shared_memory = || {
        // Shared and anonymous, for reading and writing.
        let at = linux6(MMAP, [0, 4096, 3, 0x21, u64::MAX, 0]);
        // SAFETY: a fresh page of zeroes, which is what the counters begin with; it is never unmapped here.
        unsafe { &*(at as *const Shared) }
    };
    let all: Vec<&Shared> = (0..workers).map(|_| shared_memory()).collect();
    for (n, shared) in (0..).zip(&all) {
        if fork() == 0 {
            worker(shared, seed.wrapping_add(n), calls / workers, 2000 + n);
            linux6(EXIT_GROUP, [0; 6]);
        }
    }
    let mut last = Instant::now();
    loop {
        if wait_any(1) < 0 {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
        if last.elapsed() > Duration::from_secs(20) {
            last = Instant::now();
            let done: u64 = all.iter().map(|shared| shared.done.load(Ordering::Relaxed)).sum();
            let sound = std::fs::read_to_string("/proc/multios/check").unwrap_or_default();
            println!("{done} calls; {}", sound.trim());
        }
    }
    all.iter().map(|shared| shared.children.load(Ordering::Relaxed)).sum()
}

pub(crate) fn run(calls: u64, seed: u64, workers: u64) -> ExitCode {
    // What is made once and kept is made by a first round.
    round(calls / 50, seed ^ 0xabcd, workers);
    let names = [
        "processes",
        "threads",
        "numbers",
        "frames_user",
        "frames_tables",
        "frames_files",
        "frames_heap",
        "frames_kernel",
    ];
    let before = names.map(count);
    let children = round(calls, seed, workers);
    let after = names.map(count);
    let sound = std::fs::read_to_string("/proc/multios/check").unwrap_or_default();
    println!("{calls} calls by {children} processes, seed {seed}");
    println!("{}", sound.trim());
    let mut good = sound.starts_with("sound");
    for ((name, before), after) in names.iter().zip(before).zip(after) {
        // Caches and chunks of the kernel's heap come and go.
        let slack = if name.starts_with("frames") { 256 } else { 0 };
        let grown = after > before + slack;
        println!("{name} {before} -> {after}{}", if grown { ": LEAK" } else { "" });
        good &= !grown;
    }
    println!("{}", if good { "all passed" } else { "something failed" });
    ExitCode::from(u8::from(!good))
}
