//! Time: idle CPUs are left alone, CPU time is counted to the cycle, setting the clock counts at once and for all who wait.

use std::fs;
use std::hint::black_box;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::gate::{linux, linux6};

// Of Linux.
const READ: u64 = 0;
const RT_SIGPROCMASK: u64 = 14;
const NANOSLEEP: u64 = 35;
const RT_SIGTIMEDWAIT: u64 = 128;
const ADJTIMEX: u64 = 159;
const FUTEX: u64 = 202;
const SETAFFINITY: u64 = 203;
const TIMER_CREATE: u64 = 222;
const TIMER_SETTIME: u64 = 223;
const CLOCK_SETTIME: u64 = 227;
const CLOCK_GETTIME: u64 = 228;
const CLOCK_NANOSLEEP: u64 = 230;
const TIMERFD_CREATE: u64 = 283;
const TIMERFD_SETTIME: u64 = 286;
const TIMERFD_GETTIME: u64 = 287;
const CLOCK_ADJTIME: u64 = 305;

const REAL: u64 = 0;
const MONOTONIC: u64 = 1;
const PROCESS_CPU: u64 = 2;
const ABSOLUTE: u64 = 1;
/// With `ABSOLUTE`, TFD_TIMER_CANCEL_ON_SET.
const CANCEL: u64 = 2;
const FUTEX_WAIT_BITSET_REAL: u64 = 9 | 256 | 128;
const ADJ_SETOFFSET: u32 = 0x100;
const ADJ_FREQUENCY: u32 = 2;
const SIGALRM: u64 = 14;

const ENOSYS: i64 = -38;
const EINVAL: i64 = -22;
const EOPNOTSUPP: i64 = -95;
const ETIMEDOUT: i64 = -110;
const ECANCELED: i64 = -125;

const SECOND: i64 = 1_000_000_000;
/// By how much the clock is set.
const JUMP: i64 = 100_000;

static FAILED: AtomicU32 = AtomicU32::new(0);

fn expect(what: &str, good: bool, seen: impl std::fmt::Debug) {
    println!("{} {what}: {seen:?}", if good { "ok" } else { "FAILED" });
    FAILED.fetch_add(u32::from(!good), Ordering::Relaxed);
}

/// Checks everything.
pub(crate) fn run() -> ExitCode {
    idle();
    busy();
    short_runs();
    let (start, since) = (now(REAL), now(MONOTONIC));
    waiting();
    spans();
    cancelled();
    adjusted();
    set(start + now(MONOTONIC) - since);
    match FAILED.load(Ordering::Relaxed) {
        0 => {
            println!("all passed");
            ExitCode::SUCCESS
        }
        _ => ExitCode::FAILURE,
    }
}

fn address<T: ?Sized>(value: &T) -> u64 {
    black_box((&raw const *value).cast::<u8>()) as u64
}

/// Of what the kernel is to write to.
fn place<T: ?Sized>(value: &mut T) -> u64 {
    black_box((&raw mut *value).cast::<u8>()) as u64
}

const fn timespec(ns: i64) -> [i64; 2] {
    [ns / SECOND, ns % SECOND]
}

fn now(clock: u64) -> i64 {
    let mut time = [0_i64; 2];
    linux(CLOCK_GETTIME, [clock, place(&mut time), 0]);
    let [secs, nanos] = time;
    secs * SECOND + nanos
}

fn set(ns: i64) -> i64 {
    linux(CLOCK_SETTIME, [REAL, address(&timespec(ns)), 0])
}

/// Timer interrupts of each CPU so far.
fn timer_interrupts() -> Vec<u64> {
    let text = fs::read_to_string("/proc/interrupts").unwrap_or_default();
    let line = text.lines().find(|line| line.trim_start().starts_with("LOC:")).unwrap_or_default();
    line.split_whitespace().skip(1).map_while(|word| word.parse().ok()).collect()
}

fn interrupts_during(work: impl FnOnce()) -> Vec<u64> {
    let before = timer_interrupts();
    work();
    timer_interrupts().iter().zip(before).map(|(after, before)| after - before).collect()
}

fn idle() {
    // The best of some: what the system does now and then is not what is asked.
    let counts: Vec<Vec<u64>> = (0..3).map(|_| interrupts_during(|| thread::sleep(Duration::from_secs(2)))).collect();
    let quiet = |counts: &Vec<u64>| !counts.is_empty() && counts.iter().all(|count| *count <= 10);
    expect("2 s idle without ticks", counts.iter().any(quiet), counts);
}

fn busy() {
    let mask = [1_u64];
    linux(SETAFFINITY, [0, 8, address(&mask)]);
    let counts = interrupts_during(|| {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(1) {}
    });
    let all = [u64::MAX];
    linux(SETAFFINITY, [0, 8, address(&all)]);
    // One every 4 ms, and little else.
    expect("1 s of computing with the tick alone", counts.first().is_some_and(|count| *count <= 300), counts);
}

fn short_runs() {
    let (mut ran, used, since) = (0, now(PROCESS_CPU), now(MONOTONIC));
    for _ in 0..300 {
        let start = now(MONOTONIC);
        while now(MONOTONIC) - start < 300_000 {}
        ran += now(MONOTONIC) - start;
        thread::sleep(Duration::from_micros(200));
    }
    let (used, passed) = (now(PROCESS_CPU) - used, now(MONOTONIC) - since);
    // What another took meanwhile is not ours: at least half is.
    let charged = used > ran / 2 && used < passed;
    expect("who sleeps before each tick is charged", charged, [ran, used, passed].map(|ns| ns / 1000));
}

/// Runs `wait` in a thread, which tells what it gave.
fn waiter(wait: impl FnOnce() -> i64 + Send + 'static) -> Receiver<i64> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(wait()));
    receiver
}

fn answer(receiver: &Receiver<i64>) -> Option<i64> {
    receiver.recv_timeout(Duration::from_secs(5)).ok()
}

fn waiting() {
    let alarm = [1_u64 << (SIGALRM - 1)];
    linux(RT_SIGPROCMASK, [0, address(&alarm), 0]);
    let end = now(REAL) + JUMP * SECOND;
    let waiters = [
        ("a sleep", 0, waiter(move || linux6(CLOCK_NANOSLEEP, [REAL, ABSOLUTE, address(&timespec(end)), 0, 0, 0]))),
        (
            "a futex",
            ETIMEDOUT,
            waiter(move || {
                let word = [0_u32; 1];
                let operation = FUTEX_WAIT_BITSET_REAL;
                linux6(FUTEX, [address(&word), operation, 0, address(&timespec(end)), 0, u64::from(u32::MAX)])
            }),
        ),
        (
            "a timer's descriptor",
            8,
            waiter(move || {
                let timer = linux(TIMERFD_CREATE, [REAL, 0, 0]) as u64;
                let setting = [[0, 0], timespec(end)];
                linux6(TIMERFD_SETTIME, [timer, ABSOLUTE, address(&setting), 0, 0, 0]);
                let mut count = [0_u64];
                linux(READ, [timer, place(&mut count), 8])
            }),
        ),
    ];
    let mut timer = [0_i32];
    let made = linux(TIMER_CREATE, [REAL, 0, place(&mut timer)]);
    let setting = [[0, 0], timespec(end)];
    let armed = linux6(TIMER_SETTIME, [timer[0] as u64, ABSOLUTE, address(&setting), 0, 0, 0]);
    expect("a timer of signals", made == 0 && armed == 0, (made, armed));
    thread::sleep(Duration::from_millis(100));
    let early: Vec<_> =
        waiters.iter().filter_map(|(name, _, end)| end.try_recv().ok().map(|got| (*name, got))).collect();
    expect("all wait for a moment far away", early.is_empty(), early);

    expect("the clock is set", set(end + 1) == 0, ());
    let shown = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_nanos() as i64);
    expect("the library shows it at once", (0..60 * SECOND).contains(&(shown - end)), shown - end);
    for (name, expected, end) in &waiters {
        let got = answer(end);
        expect(name, got == Some(*expected), got);
    }
    let got = linux6(RT_SIGTIMEDWAIT, [address(&alarm), 0, address(&timespec(5 * SECOND)), 8, 0, 0]);
    expect("a timer's signal", got == SIGALRM as i64, got);
    expect("and back", set(end - JUMP * SECOND) == 0, ());
}

/// Spans of time last as long whatever the clock is set to.
fn spans() {
    let timer = linux(TIMERFD_CREATE, [REAL, 0, 0]) as u64;
    linux6(TIMERFD_SETTIME, [timer, 0, address(&[timespec(0), timespec(1000 * SECOND)]), 0, 0, 0]);
    let start = now(MONOTONIC);
    let sleeper = waiter(move || {
        linux6(CLOCK_NANOSLEEP, [REAL, 0, address(&timespec(SECOND / 2)), 0, 0, 0]);
        linux(NANOSLEEP, [address(&timespec(SECOND / 10)), 0, 0]);
        now(MONOTONIC) - start
    });
    thread::sleep(Duration::from_millis(100));
    set(now(REAL) + JUMP * SECOND);
    let mut left = [[0_i64; 2]; 2];
    linux(TIMERFD_GETTIME, [timer, place(&mut left), 0]);
    let left = left[1][0];
    expect("a timer keeps what is left", (900..1000).contains(&left), left);
    let took = answer(&sleeper);
    expect("a sleep lasts as long", took.is_some_and(|took| took >= SECOND * 6 / 10), took);
    set(now(REAL) - JUMP * SECOND);
}

fn cancelled() {
    let reader = waiter(|| {
        let timer = linux(TIMERFD_CREATE, [REAL, 0, 0]) as u64;
        let setting = [[0, 0], timespec(now(REAL) + 10 * JUMP * SECOND)];
        linux6(TIMERFD_SETTIME, [timer, ABSOLUTE | CANCEL, address(&setting), 0, 0, 0]);
        let mut count = [0_u64];
        linux(READ, [timer, place(&mut count), 8])
    });
    thread::sleep(Duration::from_millis(100));
    set(now(REAL) + SECOND);
    let got = answer(&reader);
    expect("a timer is cancelled", got == Some(ECANCELED), got);
    set(now(REAL) - SECOND);
}

fn adjusted() {
    // struct timex: modes first; the time by which to step is its tenth and eleventh word.
    let mut state = [0_u64; 26];
    let got = linux(ADJTIMEX, [place(&mut state), 0, 0]);
    expect("nobody keeps the clock right", got == 5 && state[5] == 0x40, got);
    state[0] = 0;
    let mut step = [0_u64; 26];
    step[0] = ADJ_SETOFFSET.into();
    step[9] = JUMP as u64;
    let before = now(REAL);
    let got = linux(CLOCK_ADJTIME, [REAL, place(&mut step), 0]);
    let by = now(REAL) - before;
    expect("it is stepped", got == 5 && (0..60 * SECOND).contains(&(by - JUMP * SECOND)), (got, by));
    set(now(REAL) - JUMP * SECOND);
    let mut rate = [0_u64; 26];
    rate[0] = ADJ_FREQUENCY.into();
    let got = [
        linux(ADJTIMEX, [place(&mut rate), 0, 0]),
        linux(CLOCK_ADJTIME, [MONOTONIC, place(&mut state), 0]),
        linux(CLOCK_ADJTIME, [99, place(&mut state), 0]),
    ];
    expect("what is refused", got == [ENOSYS, EOPNOTSUPP, EINVAL], got);
}
