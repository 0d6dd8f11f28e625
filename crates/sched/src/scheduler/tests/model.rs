//! One CPU against a naive model: a list that is sorted at every choice by class, then level, then virtual time, then arrival.

use std::vec::Vec;

use super::*;
use crate::class::{Credit, MIN_SLICE, Order};
use crate::priority::Weight;
use crate::starvation::{RESCUE_MIN, patience, rescue_slice};

#[derive(Clone, Copy, PartialEq)]
enum Stand {
    Blocked,
    Waits,
    Runs,
}

/// A task, as the documents describe it.
struct Model {
    id: TaskId,
    policy: Policy,
    stand: Stand,
    credit: Credit,
    vruntime: u64,
    /// The level that it left last, and how far its virtual time was ahead of that level's then.
    left: Option<(Key, u64)>,
    slice_left: u64,
    since: u64,
    stopped: u64,
    // While it waits or runs.
    key: Key,
    bucket: u64,
    arrival: i64,
}

#[derive(Default)]
struct Checks {
    choices: u32,
    rescues: u32,
    repairs: u32,
    preemptions: u32,
    boosts: u32,
    decays: u32,
}

struct Naive {
    tasks: Vec<Model>,
    floors: [u64; KEYS],
    sequence: i64,
    rescued: bool,
    episode: Option<u64>,
    /// Index, end of the slice, rescue.
    current: Option<(usize, u64, bool)>,
    asked: bool,
    idle: bool,
    /// Up to when the current task is charged.
    accounted: u64,
    /// Whom the scheduler chose: asked only when several wait for equally long.
    oldest_like: Option<usize>,
    checks: Checks,
}

#[derive(Clone, Copy, PartialEq)]
enum Why {
    Woken,
    Preempted,
    Rescued,
    Yielded,
    Moved,
}

fn fair(key: Key) -> bool {
    key.class().rules().order() == Order::Fair
}

impl Naive {
    fn waiting(&self) -> u32 {
        self.tasks.iter().filter(|task| task.stand == Stand::Waits).count() as u32
    }

    fn position(&mut self, index: usize, head: bool, last: bool) {
        self.sequence += 1;
        let (key, vruntime) = (self.tasks[index].key, self.tasks[index].vruntime);
        let floor = self.floors[usize::from(key.number())];
        let others =
            self.tasks.iter().enumerate().filter(|(n, t)| *n != index && t.stand == Stand::Waits && t.key == key);
        let behind = others.map(|(_, task)| task.bucket).max().unwrap_or(floor);
        let task = &mut self.tasks[index];
        let lowest = if last { behind } else { floor };
        task.bucket = if fair(key) { (vruntime >> 20).clamp(lowest, floor + 63) } else { floor };
        task.arrival = if head { -self.sequence } else { self.sequence };
    }

    fn insert(&mut self, index: usize, now: u64, why: Why) {
        let task = &mut self.tasks[index];
        if why == Why::Woken {
            task.credit = task.credit.slept(Nanos(now - task.stopped));
        }
        if why != Why::Moved {
            task.since = now;
        }
        task.key = Key::new(task.policy.class, task.policy.class.rules().level(task.policy, task.credit));
        let key = task.key;
        let alone = !self.tasks.iter().any(|task| task.stand == Stand::Waits && task.key == key);
        if self.current.is_some_and(|(running, ..)| self.tasks[running].key == key) && alone {
            self.charge(now);
        }
        let task = &mut self.tasks[index];
        self.checks.boosts += u32::from(task.key < task.policy.key());
        self.checks.decays += u32::from(task.key > task.policy.key());
        let floor = self.floors[usize::from(task.key.number())] << 20;
        // Ahead of its level by what it used; if it comes back to that level, by less.
        let debt = task.left.map_or(0, |(_, floor_then)| task.vruntime.saturating_sub(floor_then));
        task.vruntime = match task.left {
            Some((key, floor_then)) if key == task.key => floor.max(floor_then + debt),
            _ => floor + debt,
        };
        task.stand = Stand::Waits;
        let unspent = why == Why::Preempted && task.slice_left != 0;
        let fifo = why == Why::Preempted && task.policy.flavour == Flavour::Fifo && !fair(task.key);
        let last = why == Why::Yielded && fair(task.key);
        self.position(index, unspent || fifo, last);
    }

    fn charge(&mut self, now: u64) {
        let Some((index, _, rescue)) = self.current else { return };
        let task = &mut self.tasks[index];
        let ran = now - self.accounted;
        self.accounted = now;
        if fair(task.key) {
            task.vruntime += ran * 1024 / u64::from(Weight::of_nice(task.policy.nice).get());
        }
        task.credit = task.credit.ran(Nanos(ran));
        if !rescue {
            task.slice_left = task.slice_left.saturating_sub(ran);
        }
        let (key, bucket) = (task.key, task.vruntime >> 20);
        if fair(key) && !self.tasks.iter().any(|task| task.stand == Stand::Waits && task.key == key) {
            let floor = &mut self.floors[usize::from(key.number())];
            *floor = bucket.max(*floor);
        }
    }

    fn leave(&mut self, now: u64) -> Option<usize> {
        self.charge(now);
        let (index, ..) = self.current.take()?;
        let task = &mut self.tasks[index];
        if task.slice_left < MIN_SLICE.0 {
            task.slice_left = 0;
        }
        task.stopped = now;
        task.left = Some((task.key, self.floors[usize::from(task.key.number())] << 20));
        Some(index)
    }

    /// The first by class, level, virtual time, arrival.
    fn first(&self) -> Option<usize> {
        let waiting = self.tasks.iter().enumerate().filter(|(_, task)| task.stand == Stand::Waits);
        waiting.min_by_key(|(_, task)| (task.key, task.bucket, task.arrival)).map(|(index, _)| index)
    }

    fn regular(&mut self) -> Option<usize> {
        for _ in 0..4 {
            let index = self.first()?;
            let (key, bucket, vruntime) = (self.tasks[index].key, self.tasks[index].bucket, self.tasks[index].vruntime);
            self.floors[usize::from(key.number())] = bucket;
            if !fair(key) || vruntime >> 20 <= bucket {
                return Some(index);
            }
            self.checks.repairs += 1;
            let level = self.tasks.iter().filter(|task| task.stand == Stand::Waits && task.key == key).count();
            if level == 1 {
                self.floors[usize::from(key.number())] = vruntime >> 20;
            }
            self.position(index, false, false);
        }
        let index = self.first()?;
        self.floors[usize::from(self.tasks[index].key.number())] = self.tasks[index].bucket;
        Some(index)
    }

    fn pick(&mut self, now: u64) -> Option<(TaskId, u64)> {
        let waiting = self.waiting();
        let oldest = |tasks: &[Model]| {
            let waits = tasks.iter().filter(|task| task.stand == Stand::Waits);
            waits.map(|task| task.since).min()
        };
        let since = oldest(&self.tasks)?;
        let overdue = now >= since + patience(waiting).0;
        let rescue = overdue && !self.rescued;
        let length = rescue_slice(waiting).0;
        self.episode = overdue.then(|| self.episode.map_or(length, |before| before.min(length)));
        let index = if rescue {
            // Of those that wait for equally long, the implementation's choice; see `oldest_like`.
            self.oldest_like?
        } else {
            self.regular()?
        };
        if rescue {
            assert_eq!(self.tasks[index].since, since, "a rescue is for the oldest");
            self.checks.rescues += 1;
        }
        self.checks.choices += 1;
        self.rescued = rescue;
        let key = self.tasks[index].key;
        self.tasks[index].stand = Stand::Runs;
        let mut slice = match self.episode {
            Some(length) if rescue => length,
            _ => {
                let level = self.tasks.iter().filter(|task| task.stand == Stand::Waits && task.key == key).count();
                let task = &mut self.tasks[index];
                if task.slice_left == 0 {
                    task.slice_left = key.class().rules().slice(task.policy, level as u32).0;
                }
                task.slice_left
            }
        };
        if !rescue && let Some(since) = oldest(&self.tasks) {
            let due = (since + patience(waiting - 1).0).saturating_sub(now);
            let limit = if due > 0 { due } else { self.episode.unwrap_or(rescue_slice(waiting - 1).0) };
            slice = slice.min(limit.max(RESCUE_MIN.0));
        }
        if !rescue && self.episode.is_some() {
            self.tasks[index].slice_left = slice;
        }
        self.current = Some((index, now + slice, rescue));
        self.asked = false;
        Some((self.tasks[index].id, slice))
    }

    fn preempts(&mut self, index: usize) -> bool {
        let Some((running, _, rescue)) = self.current else { return core::mem::take(&mut self.idle) };
        let (waking, running) = (self.tasks[index].key, self.tasks[running].key);
        let same = waking.class() == running.class();
        let better = waking.class() < running.class()
            || (same && waking.class().rules().preempts(waking.level(), running.level()));
        let ask = better && !rescue && !self.asked;
        self.asked |= ask;
        self.checks.preemptions += u32::from(ask);
        ask
    }
}

/// Any of the operations, at any time.
#[test]
fn random_steps_agree_with_the_naive_model() {
    const TASKS: usize = 24;
    let mut random = Random::new("random_steps_agree_with_the_naive_model");
    let scheduler = scheduler(1);
    let new = |random: &mut Random, now: u64| {
        let policy = random.policy();
        Model {
            id: scheduler.add_task(policy, CpuSet::single(CPU), CPU, Nanos(now)).unwrap(),
            policy,
            stand: Stand::Blocked,
            credit: Credit::NEUTRAL,
            vruntime: 0,
            left: None,
            slice_left: 0,
            since: 0,
            stopped: now,
            key: policy.key(),
            bucket: 0,
            arrival: 0,
        }
    };
    let mut naive = Naive {
        tasks: (0..TASKS).map(|_| new(&mut random, 0)).collect(),
        floors: [0; KEYS],
        sequence: 0,
        rescued: false,
        episode: None,
        current: None,
        asked: false,
        accounted: 0,
        idle: scheduler.schedule(CPU, Nanos(0)).unwrap().next == Decision::Idle,
        oldest_like: None,
        checks: Checks::default(),
    };
    let mut now = 0u64;
    for step in 0..1_000_000 {
        // Bursts of short steps, and now and then a long run or sleep.
        now += match random.below(8) {
            0 => random.below(30_000_000),
            1..4 => random.below(2_000_000),
            _ => random.below(50_000),
        };
        let at = Nanos(now);
        let index = random.below(TASKS as u64) as usize;
        let switch = match random.below(12) {
            0..5 => {
                let stand = naive.tasks[index].stand;
                let wake = scheduler.unblock(naive.tasks[index].id, at).unwrap();
                match stand {
                    Stand::Blocked => {
                        naive.insert(index, now, Why::Woken);
                        let preempt = naive.preempts(index);
                        assert_eq!(wake, Wake::Placed(Placement { cpu: CPU, preempt }), "step {step}");
                        None
                    }
                    Stand::Waits => {
                        assert_eq!(wake, Wake::Pending);
                        None
                    }
                    Stand::Runs => {
                        assert_eq!(wake, Wake::Running(CPU));
                        // It blocks, and is queued as one woken.
                        naive.leave(now);
                        naive.insert(index, now, Why::Woken);
                        Some(scheduler.block(CPU, at).unwrap())
                    }
                }
            }
            5..8 if naive.current.is_some() => {
                let left = naive.leave(now).unwrap();
                naive.tasks[left].stand = Stand::Blocked;
                Some(scheduler.block(CPU, at).unwrap())
            }
            8 if naive.current.is_some() => {
                let left = naive.leave(now).unwrap();
                naive.insert(left, now, Why::Yielded);
                Some(scheduler.yield_task(CPU, at).unwrap())
            }
            9 if naive.current.is_some() && random.below(4) == 0 => {
                let left = naive.leave(now).unwrap();
                naive.tasks[left].stand = Stand::Blocked;
                let switch = scheduler.end_task(CPU, at).unwrap();
                naive.tasks[left] = new(&mut random, now);
                Some(switch)
            }
            10 => {
                if naive.tasks[index].stand != Stand::Runs {
                    let policy = random.policy();
                    let kick = scheduler.set_priority(naive.tasks[index].id, policy, at).unwrap();
                    naive.tasks[index].policy = policy;
                    if naive.tasks[index].stand == Stand::Waits {
                        let key = naive.tasks[index].key;
                        naive.tasks[index].left = Some((key, naive.floors[usize::from(key.number())] << 20));
                        naive.tasks[index].stand = Stand::Blocked;
                        naive.insert(index, now, Why::Moved);
                        let preempt = naive.current.is_some() && naive.preempts(index);
                        assert_eq!(kick.is_some(), preempt, "step {step}");
                    }
                }
                None
            }
            _ => {
                let why =
                    if naive.current.is_some_and(|(_, _, rescue)| rescue) { Why::Rescued } else { Why::Preempted };
                if let Some(left) = naive.leave(now) {
                    naive.insert(left, now, why);
                }
                Some(scheduler.schedule(CPU, at).unwrap())
            }
        };
        if let Some(switch) = switch {
            let chosen = match switch.next {
                Decision::Run(id, slice) => Some((id, slice.0)),
                Decision::Idle => None,
            };
            naive.oldest_like = chosen.and_then(|(id, _)| naive.tasks.iter().position(|task| task.id == id));
            assert_eq!(chosen, naive.pick(now), "step {step}");
            naive.idle = chosen.is_none();
            naive.accounted = now;
        }
    }
    let checks = naive.checks;
    std::println!(
        "choices {} rescues {} repairs {} preemptions {} boosts {} decays {}",
        checks.choices,
        checks.rescues,
        checks.repairs,
        checks.preemptions,
        checks.boosts,
        checks.decays
    );
    assert!(checks.choices > 50_000 && checks.rescues > 100 && checks.repairs > 10, "each check fired");
    assert!(checks.preemptions > 1000 && checks.boosts > 1000 && checks.decays > 1000);
}
