//! How late a task runs after what it waits for has come, beside others that want the CPU.
//!
//! A chain of three processes: the first sleeps until a time of its own choice and writes to a pipe, the second reads that and wakes a
//! futex, the third waits for the futex. Each notes how long after the deadline, the write or the wake-up it runs. So do programs
//! that a person waits for: an event comes, and a few processes in turn do a little about it.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::output::{self, line};
use crate::sys::{self, Mapping};

/// Links of the chain, by what wakes them.
const LINKS: [&str; 3] = ["timer", "pipe", "futex"];
/// Those who are in the way.
const CROWD: usize = 8;
/// Pages that each child of the storm writes to.
const TOUCHED: usize = 8;
/// How long the load runs before the chain begins, and the chain before it counts, so that the scheduler knows who they are.
const SETTLE_NS: u64 = 500_000_000;
/// Sleeps last for one to five milliseconds.
const SHORTEST_NS: u64 = 1_000_000;
const SPREAD_NS: u64 = 4_000_000;

/// What the others do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// Nothing: there are none.
    Idle,
    /// They compute.
    Hogs,
    /// They fork children that write to some memory and end.
    Forks,
}

impl Load {
    /// Each load, by its name in the rows.
    pub const ALL: [(&str, Self); 3] = [("idle", Self::Idle), ("hogs", Self::Hogs), ("forks", Self::Forks)];

    fn run(self) -> ! {
        let memory = Mapping::new(TOUCHED);
        let mut at = 0_u64;
        loop {
            match self {
                Self::Idle => sys::exit(0),
                Self::Hogs => {
                    at = core::hint::black_box(at + 1);
                }
                Self::Forks => {
                    let child = sys::fork();
                    if child == 0 {
                        memory.touch(1);
                        sys::exit(0);
                    }
                    sys::wait(child);
                }
            }
        }
    }
}

/// What the chain shares: a word for the futex, and for each round the time of the write and of the wake-up.
struct Shared {
    memory: Mapping,
    rounds: usize,
}

impl Shared {
    fn new(rounds: usize) -> Self {
        let bytes = (1 + rounds * (LINKS.len() + 2)) * size_of::<u64>();
        Self { memory: Mapping::shared(bytes.div_ceil(4096)), rounds }
    }

    fn word(&self, index: usize) -> &AtomicU64 {
        self.memory.word(index)
    }

    /// How many wake-ups the futex has seen.
    fn futex(&self) -> &AtomicU32 {
        self.memory.half_word()
    }

    /// When link `link`, one of the first two, woke the next in a round.
    fn woke(&self, link: usize, round: usize) -> &AtomicU64 {
        self.word(1 + link * self.rounds + round)
    }

    /// How late `link` was in a round.
    fn late(&self, link: usize, round: usize) -> &AtomicU64 {
        self.word(1 + (2 + link) * self.rounds + round)
    }
}

/// Measures `wakes` rounds of the chain beside `load`. The row's names begin with `name`.
pub fn run(name: &str, load: Load, interactive: bool, wakes: usize) {
    let mut crowd = [0; CROWD];
    if load != Load::Idle {
        for other in &mut crowd {
            *other = sys::fork();
            if *other == 0 {
                load.run();
            }
        }
    }
    // Linux may be 50 microseconds late else, by choice.
    sys::exact_timers();
    sys::sleep_until(sys::now() + SETTLE_NS);
    if interactive {
        sys::become_interactive();
    }
    let settling = (SETTLE_NS / (SHORTEST_NS + SPREAD_NS / 2)) as usize;
    let rounds = settling + wakes;
    let mut shared = Shared::new(rounds);
    let pipe = sys::pipe();
    let reader = sys::fork();
    if reader == 0 {
        read(&shared, pipe[0]);
    }
    let waiter = sys::fork();
    if waiter == 0 {
        wait(&shared);
    }
    sleep(&shared, pipe[1]);
    sys::wait(reader);
    sys::wait(waiter);
    if load != Load::Idle {
        crowd.into_iter().for_each(sys::kill);
    }
    for (link, kind) in LINKS.iter().enumerate() {
        report(&[name, kind], &mut shared, link, settling);
    }
}

/// The first link.
fn sleep(shared: &Shared, writer: i32) {
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..shared.rounds {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let deadline = sys::now() + SHORTEST_NS + (random >> 33) % SPREAD_NS;
        sys::sleep_until(deadline);
        let now = sys::now();
        shared.late(0, round).store(now - deadline, Ordering::Relaxed);
        shared.woke(0, round).store(now, Ordering::Release);
        sys::write_byte(writer);
    }
}

/// The second.
fn read(shared: &Shared, reader: i32) -> ! {
    for round in 0..shared.rounds {
        sys::read_byte(reader);
        let now = sys::now();
        shared.late(1, round).store(now - shared.woke(0, round).load(Ordering::Acquire), Ordering::Relaxed);
        shared.woke(1, round).store(now, Ordering::Relaxed);
        shared.futex().fetch_add(1, Ordering::Release);
        sys::futex_wake(shared.futex());
    }
    sys::exit(0)
}

/// The third.
fn wait(shared: &Shared) -> ! {
    let mut done = 0;
    while done < shared.rounds {
        let seen = shared.futex().load(Ordering::Acquire);
        if seen as usize == done {
            sys::futex_wait(shared.futex(), seen);
            continue;
        }
        let now = sys::now();
        for round in done..seen as usize {
            shared.late(2, round).store(now - shared.woke(1, round).load(Ordering::Relaxed), Ordering::Relaxed);
        }
        done = seen as usize;
    }
    sys::exit(0)
}

fn report(name: &[&str; 2], shared: &mut Shared, link: usize, from: usize) {
    let first = 1 + (2 + link) * shared.rounds + from;
    let samples = shared.memory.words(first, shared.rounds - from);
    samples.sort_unstable();
    let last = samples.len() - 1;
    for (statistic, per_mille) in [("median", 500), ("p99", 990), ("p999", 999), ("max", 1000)] {
        let value = samples[last * per_mille / 1000];
        let mut text = [0; 64];
        line(output::join(&mut text, &[name[0], "_", name[1], "_", statistic]), value);
    }
}
