//! One CPU against a naive model: a list that is sorted at every choice by class, then level, then rank, then arrival. Time stands
//! still in it, so that virtual times and credits are equal; what they do is in `shares.rs` and `basics.rs`. In a second run time
//! passes, and only the first part of the order is compared.

use std::vec::Vec;

use super::*;
use crate::Phase;

#[derive(Clone, Copy, PartialEq)]
enum Stand {
    New,
    Blocked,
    Waits,
    Runs,
}

struct Model {
    id: TaskId,
    policy: Policy,
    stand: Stand,
    arrival: i64,
}

impl Model {
    fn new(bench: &Bench, random: &mut Random) -> Self {
        let policy = random.policy().rank(random.below(3) as u8);
        Self { id: bench.add_task(policy, CpuSet::single(CPU)), policy, stand: Stand::New, arrival: 0 }
    }

    /// Class, level, rank: what is more urgent is less.
    fn urgency(&self) -> (Key, u8) {
        (self.policy.key(), if self.policy.class == Class::System { self.policy.rank } else { 0 })
    }
}

#[derive(Default)]
struct Naive {
    tasks: Vec<Model>,
    sequence: i64,
    choices: u32,
    preemptions: u32,
    changes: u32,
}

impl Naive {
    fn queue(&mut self, index: usize, first: bool) {
        self.sequence += 1;
        self.tasks[index].stand = Stand::Waits;
        self.tasks[index].arrival = if first { -self.sequence } else { self.sequence };
    }

    fn running(&self) -> Option<usize> {
        self.tasks.iter().position(|task| task.stand == Stand::Runs)
    }

    fn choose(&mut self) -> Option<TaskId> {
        let waiting = self.tasks.iter_mut().filter(|task| task.stand == Stand::Waits);
        let first = waiting.min_by_key(|task| (task.urgency(), task.arrival))?;
        first.stand = Stand::Runs;
        self.choices += 1;
        Some(first.id)
    }

    /// Whether a task takes the CPU from what runs.
    fn preempts(&self, index: usize) -> bool {
        let Some(running) = self.running() else { return false };
        let (waking, running) = (&self.tasks[index], &self.tasks[running]);
        let like = waking.policy.class == Class::Background && running.policy.class == Class::Background;
        waking.urgency() < running.urgency() && !like
    }
}

#[test]
fn random_steps_agree_with_the_naive_model() {
    const TASKS: usize = 24;
    let mut random = Random::new("random_steps_agree_with_the_naive_model");
    let bench = scheduler(1);
    let tasks = (0..TASKS).map(|_| Model::new(&bench, &mut random)).collect();
    let mut naive = Naive { tasks, ..Naive::default() };
    let mut asked = false;
    for step in 0..1_000_000 {
        let index = random.below(TASKS as u64) as usize;
        let running = naive.running();
        let switch = match random.below(12) {
            0..5 => {
                let (id, stand) = (naive.tasks[index].id, naive.tasks[index].stand);
                let wake = bench.unblock(id, Nanos(0));
                match stand {
                    Stand::New | Stand::Blocked => {
                        naive.queue(index, false);
                        let preempt = naive.preempts(index) && !asked;
                        asked |= preempt;
                        naive.preemptions += u32::from(preempt);
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
                        naive.queue(index, false);
                        Some(bench.block(CPU, Nanos(0)))
                    }
                }
            }
            5..8 if running.is_some() => {
                naive.tasks[running.unwrap()].stand = Stand::Blocked;
                Some(bench.block(CPU, Nanos(0)))
            }
            8 if running.is_some() => {
                naive.queue(running.unwrap(), false);
                Some(bench.yield_task(CPU, Nanos(0)))
            }
            9 if running.is_some() && random.below(4) == 0 => {
                let switch = bench.end_task(CPU, Nanos(0));
                naive.tasks[running.unwrap()] = Model::new(&bench, &mut random);
                Some(switch)
            }
            10 if naive.tasks[index].stand != Stand::Runs => {
                let policy = random.policy();
                let kick = bench.scheduler.set_priority(&bench.unit(naive.tasks[index].id), policy, CPU);
                naive.tasks[index].policy = policy;
                naive.changes += 1;
                if naive.tasks[index].stand == Stand::Waits {
                    naive.queue(index, false);
                    let preempt = naive.preempts(index) && !asked;
                    asked |= preempt;
                    assert_eq!(kick.is_some(), preempt, "step {step}");
                }
                None
            }
            10 => None,
            _ => Some(match running {
                Some(running) => {
                    naive.queue(running, true);
                    bench.preempt(CPU, Nanos(0))
                }
                None => bench.schedule(CPU, Nanos(0)),
            }),
        };
        if let Some(switch) = switch {
            asked = false;
            let chosen = match switch.next {
                Decision::Run(id, _) => Some(id),
                Decision::Idle => None,
            };
            assert_eq!(chosen, naive.choose(), "step {step}");
        }
        let waiting = naive.tasks.iter().filter(|task| task.stand == Stand::Waits).count();
        assert_eq!(bench.scheduler.waiting(CPU) as usize, waiting);
    }
    std::println!("choices {} preemptions {} changes {}", naive.choices, naive.preemptions, naive.changes);
    assert!(naive.choices > 100_000 && naive.preemptions > 1000 && naive.changes > 10_000, "each check fired");
}

#[test]
fn with_time_the_most_urgent_runs_but_for_rescues() {
    const TASKS: usize = 24;
    let mut random = Random::new("with_time_the_most_urgent_runs_but_for_rescues");
    let bench = scheduler(1);
    let ids: Vec<TaskId> = (0..TASKS).map(|_| bench.add_task(random.policy(), CpuSet::single(CPU))).collect();
    let (mut now, mut rescues, mut choices) = (Nanos(0), 0, 0);
    for _ in 0..300_000 {
        now += Nanos(match random.below(8) {
            0 => random.below(20_000_000),
            1..4 => random.below(2_000_000),
            _ => random.below(50_000),
        });
        let id = ids[random.below(TASKS as u64) as usize];
        let runs = bench.current(CPU).is_some();
        let switch = match random.below(8) {
            0..3 => {
                let _ = bench.unblock(id, now);
                continue;
            }
            3 if runs => bench.block(CPU, now),
            4 if runs => bench.yield_task(CPU, now),
            5 => {
                let _ = bench.scheduler.set_priority(&bench.unit(id), random.policy(), CPU);
                continue;
            }
            _ if runs && bench.tick(CPU, now).resched => bench.preempt(CPU, now),
            _ if runs => continue,
            _ => bench.schedule(CPU, now),
        };
        let Decision::Run(chosen, _) = switch.next else { continue };
        choices += 1;
        let waiting = ids.iter().filter(|id| bench.phase(**id) == Phase::Queued && **id != chosen);
        if waiting.clone().any(|id| bench.effective_key(*id) < bench.effective_key(chosen)) {
            rescues += 1;
        }
    }
    let counted = bench.scheduler.cpu_stats(CPU).unwrap().rescues;
    std::println!("choices {choices} rescues {rescues} of {counted}");
    assert!(rescues <= counted && counted > 100 && choices > 50_000);
}
