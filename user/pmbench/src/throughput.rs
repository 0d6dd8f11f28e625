//! How much more two workers get done than one.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::output::{self, line};
use crate::sys::{self, Mapping};

/// How long one measurement takes.
const SPAN_NS: u64 = 150_000_000;
/// Steps of computing between two looks at the clock: some tens of microseconds.
const STEPS: u64 = 20_000;
const MOST_WORKERS: usize = 16;
const MOST_ROUNDS: usize = 128;

/// What a worker repeats.
pub const WORK: [(&str, fn()); 3] =
    [("compute", compute), ("fork_exit", fork_exit), ("fork_touch_exit", fork_touch_exit)];

fn compute() {
    let mut x = 1_u64;
    for _ in 0..STEPS {
        x = core::hint::black_box(x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
}

fn fork_exit() {
    let child = sys::fork();
    if child == 0 {
        sys::exit(0);
    }
    sys::wait(child);
}

fn fork_touch_exit() {
    const PAGES: usize = 16;
    let child = sys::fork();
    if child == 0 {
        Mapping::new(PAGES).touch(1);
        sys::exit(0);
    }
    sys::wait(child);
}

/// Measures `rounds` times what one worker does and what `workers` do, and prints for each round the ratio per worker in thousandths
/// as `NAME_round`, and the best as `NAME`: whatever else the host does can only make it worse. Two measurements of one worker enclose each of
/// several, so that a host which gets slower or faster meanwhile is seen on both sides.
pub fn run(name: &str, work: fn(), workers: usize, rounds: usize) {
    let (workers, rounds) = (workers.clamp(1, MOST_WORKERS), rounds.clamp(1, MOST_ROUNDS));
    let shared = Mapping::shared(1);
    let mut ratios = [0; MOST_ROUNDS];
    let mut before = measure(&shared, work, 1);
    for ratio in &mut ratios[..rounds] {
        let several = measure(&shared, work, workers);
        let after = measure(&shared, work, 1);
        // The faster of the two is what one worker can do.
        *ratio = several * 1000 / (before.max(after) * workers as u64).max(1);
        before = after;
    }
    let ratios = &mut ratios[..rounds];
    ratios.sort_unstable();
    let mut text = [0; 64];
    line(output::join(&mut text, &[name, "_median"]), ratios[rounds / 2]);
    line(output::join(&mut text, &[name, "_best"]), ratios[rounds - 1]);
}

/// Time that `workers` take for `count` times the work each, with what of it one worker would take for all in thousandths. For a machine whose
/// time counts instructions and whose CPUs take turns: then the CPUs' own instructions, waiting for locks included, are what is beyond 1000.
pub fn count(name: &str, work: fn(), workers: usize, count: usize) {
    let workers = workers.clamp(1, MOST_WORKERS);
    let alone = spend(work, 1, count);
    let together = spend(work, workers, count);
    let mut text = [0; 64];
    line(output::join(&mut text, &[name, "_ns"]), alone / count.max(1) as u64);
    line(output::join(&mut text, &[name, "_counted"]), alone * workers as u64 * 1000 / together.max(1));
}

fn spend(work: fn(), workers: usize, count: usize) -> u64 {
    let start = sys::now();
    let mut children = [0; MOST_WORKERS];
    for child in children.iter_mut().take(workers) {
        *child = sys::fork();
        if *child == 0 {
            for _ in 0..count {
                work();
            }
            sys::exit(0);
        }
    }
    children.into_iter().take(workers).for_each(sys::wait);
    sys::now() - start
}

/// Operations per second of all workers together.
fn measure(shared: &Mapping, work: fn(), workers: usize) -> u64 {
    let rate = |worker: usize| -> &AtomicU64 { shared.word(8 * (worker + 1)) };
    shared.word(0).store(0, Ordering::SeqCst);
    let mut children = [0; MOST_WORKERS];
    for (worker, child) in children.iter_mut().enumerate().take(workers) {
        *child = sys::fork();
        if *child == 0 {
            let gate = shared.word(0);
            gate.fetch_add(1, Ordering::SeqCst);
            while gate.load(Ordering::SeqCst) < workers as u64 {
                sys::sched_yield();
            }
            rate(worker).store(rate_of(work), Ordering::SeqCst);
            sys::exit(0);
        }
    }
    children.into_iter().take(workers).for_each(sys::wait);
    (0..workers).map(|worker| rate(worker).load(Ordering::SeqCst)).sum()
}

fn rate_of(work: fn()) -> u64 {
    let start = sys::now();
    let mut count = 0;
    loop {
        work();
        count += 1;
        let took = sys::now() - start;
        if took >= SPAN_NS {
            return count * 1_000_000_000 / took;
        }
    }
}
