//! Many CPUs in random steps: a task is on one CPU, none is lost, none waits while a CPU it may use sleeps for good.

use std::collections::HashMap;
use std::vec::Vec;

use core::sync::atomic::Ordering::SeqCst;

use super::*;
use crate::entity::Schedulable;
use crate::{Phase, Topology};

const CPUS: u32 = 8;

fn two_nodes() -> Box<Bench> {
    let mut topology = Topology::flat();
    (4..CPUS).for_each(|cpu| topology.set_node(CpuId(cpu), 1));
    (0..4).for_each(|core| topology.set_siblings(CpuSet(0b11 << (2 * core))));
    Bench::new(Some(topology), CPUS)
}

/// The outside: which tasks are owed a run.
struct Machine {
    bench: Box<Bench>,
    owed: HashMap<TaskId, Nanos>,
    switches: u32,
}

impl Machine {
    fn runs(&self, cpu: CpuId) -> Option<TaskId> {
        self.bench.current(cpu)
    }

    fn apply(&mut self, cpu: CpuId, switch: Switch, now: Nanos) {
        if let Decision::Run(id, slice) = switch.next {
            let on = (0..CPUS).filter(|cpu| self.runs(CpuId(*cpu)) == Some(id)).count();
            assert_eq!(on, 1, "on two CPUs");
            assert!(slice > Nanos::ZERO);
            assert!(self.bench.unit(id).entity().affinity().contains(cpu), "outside of its affinity");
            self.owed.remove(&id);
            self.switches += 1;
        } else if self.bench.scheduler.enter_idle(cpu) {
            assert_eq!(self.bench.scheduler.waiting(cpu), 0);
        } else {
            // Something came, or can be stolen after all.
            let switch = self.bench.schedule(cpu, now);
            assert_ne!(switch.next, Decision::Idle);
            return self.apply(cpu, switch, now);
        }
        if let Some(placement) = switch.moved {
            self.kick(placement, now);
        }
    }

    /// An interrupt: the CPU chooses anew.
    fn kick(&mut self, placement: Placement, now: Nanos) {
        if placement.preempt {
            self.reschedule(placement.cpu, now);
        }
    }

    fn reschedule(&mut self, cpu: CpuId, now: Nanos) {
        self.bench.scheduler.leave_idle(cpu);
        if let Some(ran) = self.runs(cpu) {
            self.owed.entry(ran).or_insert(now);
        }
        let switch = match self.runs(cpu) {
            Some(_) => self.bench.preempt(cpu, now),
            None => self.bench.schedule(cpu, now),
        };
        self.apply(cpu, switch, now);
    }

    fn wake(&mut self, id: TaskId, here: CpuId, now: Nanos) {
        match self.bench.unblock_from(id, here, now) {
            Wake::Placed(placement) => {
                self.owed.insert(id, now);
                self.kick(placement, now);
                // Who wakes something while it runs nothing looks for work after that.
                if self.runs(here).is_none() {
                    self.reschedule(here, now);
                }
            }
            Wake::Running(cpu) => assert_eq!(self.runs(cpu), Some(id)),
            Wake::Pending => assert!(self.owed.contains_key(&id)),
            Wake::Ended => panic!("ended"),
        }
    }
}

#[test]
fn a_task_is_on_one_cpu_and_no_wake_up_is_lost() {
    const TASKS: usize = 40;
    let mut random = Random::new("a_task_is_on_one_cpu_and_no_wake_up_is_lost");
    let mut machine = Machine { bench: two_nodes(), owed: HashMap::new(), switches: 0 };
    let affinity = |random: &mut Random| CpuSet(if random.below(3) == 0 { random.below(255) + 1 } else { u64::MAX });
    let mut now = Nanos(0);
    let mut ids: Vec<TaskId> =
        (0..TASKS).map(|_| machine.bench.add_task(random.policy(), affinity(&mut random))).collect();
    // Tasks that were woken while they ran.
    let mut notified: HashMap<TaskId, ()> = HashMap::new();
    for _ in 0..1_000_000 {
        now += Nanos(random.below(200_000));
        let cpu = CpuId(random.below(u64::from(CPUS)) as u32);
        let n = random.below(TASKS as u64) as usize;
        let running = machine.runs(cpu);
        match random.below(16) {
            0..5 => {
                // An interrupt wakes the CPU that serves it.
                machine.bench.scheduler.leave_idle(cpu);
                if (0..CPUS).any(|cpu| machine.runs(CpuId(cpu)) == Some(ids[n])) {
                    notified.insert(ids[n], ());
                }
                machine.wake(ids[n], cpu, now);
                if machine.runs(cpu).is_none() {
                    machine.reschedule(cpu, now);
                }
            }
            5..9 => {
                if let Some(ran) = running {
                    if notified.remove(&ran).is_some() {
                        machine.owed.insert(ran, now);
                    }
                    let switch = machine.bench.block(cpu, now);
                    machine.apply(cpu, switch, now);
                }
            }
            9 => {
                if let Some(ran) = running {
                    machine.owed.insert(ran, now);
                    let switch = machine.bench.yield_task(cpu, now);
                    machine.apply(cpu, switch, now);
                }
            }
            10 if random.below(8) == 0 => {
                if let Some(ran) = running {
                    let switch = machine.bench.end_task(cpu, now);
                    machine.apply(cpu, switch, now);
                    let new = machine.bench.add_task(random.policy(), affinity(&mut random));
                    let place = ids.iter().position(|id| *id == ran).unwrap();
                    ids[place] = new;
                }
            }
            11 => {
                let unit = machine.bench.unit(ids[n]);
                if let Some(placement) = machine.bench.scheduler.set_priority(&unit, random.policy(), cpu) {
                    machine.kick(placement, now);
                }
            }
            12 => {
                let (cpus, unit) = (affinity(&mut random), machine.bench.unit(ids[n]));
                if let Some(placement) = machine.bench.scheduler.set_affinity(&unit, cpus, cpu).unwrap() {
                    machine.kick(placement, now);
                }
            }
            _ => {
                let tick = machine.bench.tick(cpu, now);
                if tick.resched && machine.runs(cpu).is_some() {
                    machine.reschedule(cpu, now);
                }
                if let Some(cpu) = tick.kick {
                    machine.kick(Placement { cpu, preempt: true }, now);
                }
            }
        }
        // Whoever is preempted goes back to a queue: the notice is spent.
        notified.retain(|id, ()| {
            (0..CPUS).any(|cpu| machine.runs(CpuId(cpu)) == Some(*id)) && machine.bench.phase(*id) == Phase::Notified
        });
    }
    // Everybody who is owed a run gets one.
    for _ in 0..2000 {
        now += Nanos::from_millis(1);
        for cpu in (0..CPUS).map(CpuId) {
            machine.bench.scheduler.leave_idle(cpu);
            let switch = match machine.runs(cpu) {
                Some(_) => machine.bench.block(cpu, now),
                None => machine.bench.schedule(cpu, now),
            };
            machine.apply(cpu, switch, now);
        }
    }
    assert_eq!(machine.owed, HashMap::new());
    assert_eq!(machine.bench.scheduler.runnable(), 0);
    assert_eq!(machine.bench.scheduler.idle_cpus(), machine.bench.scheduler.online_cpus());
    assert!(machine.switches > 100_000);
    let stats = (0..CPUS).map(|cpu| machine.bench.scheduler.cpu_stats(CpuId(cpu)).unwrap());
    let (steals, pulls) = stats.fold((0, 0), |sum, stats| (sum.0 + stats.steals, sum.1 + stats.pulls));
    std::println!("switches {} steals {steals} pulls {pulls}", machine.switches);
    assert!(steals > 1000 && pulls > 100);
    assert!((0..CPUS).all(|cpu| machine.bench.scheduler.load(CpuId(cpu)) == 0), "every weight was taken back");
}

/// Hogs on two CPUs for ten seconds, in slices; how long each ran.
fn hogs(n: usize, nices: &[i8]) -> Vec<f64> {
    let bench = scheduler(2);
    let ids: Vec<TaskId> = (0..n)
        .map(|n| {
            let policy = Policy::new(Class::User).nice(nices[n % nices.len()]);
            let id = bench.add_task(policy, CpuSet(u64::MAX));
            let _ = bench.unblock(id, Nanos(0));
            id
        })
        .collect();
    let mut now = Nanos(0);
    while now < Nanos::from_secs(10) {
        for cpu in [0, 1].map(CpuId) {
            let tick = bench.tick(cpu, now);
            if bench.current(cpu).is_none() {
                let _ = bench.schedule(cpu, now);
            } else if tick.resched {
                let _ = bench.preempt(cpu, now);
            }
        }
        now += crate::TICK;
    }
    (0..2).for_each(|cpu| _ = bench.preempt(CpuId(cpu), now));
    ids.iter().map(|id| bench.cpu_time(*id).0 as f64 / 1e9).collect()
}

#[test]
fn hogs_share_two_cpus() {
    for n in [2, 3, 4, 5, 8] {
        let times = hogs(n, &[0]);
        let due = 20.0 / n as f64;
        assert!(times.iter().all(|time| (time - due).abs() < 0.15 * due), "{n}: {times:?}");
    }
}

#[test]
fn an_idle_cpu_steals_the_longest_queue_and_near_before_far() {
    let bench = two_nodes();
    let now = Nanos::from_millis(10);
    (0..CPUS).for_each(|cpu| _ = bench.schedule(CpuId(cpu), now));
    let pinned = |cpu: u32| {
        let id = bench.add_task(Policy::new(Class::User), CpuSet::single(CpuId(cpu)));
        let _ = bench.unblock_from(id, CpuId(cpu), now);
        id
    };
    let near = [0; 2].map(|_| pinned(1));
    let far = [0; 4].map(|_| pinned(5));
    for id in near.iter().chain(&far) {
        let _ = bench.scheduler.set_affinity(&bench.unit(*id), CpuSet(u64::MAX), CPU).unwrap();
    }
    assert_eq!(task(bench.schedule(CPU, now)), near[0], "its own node first");
    assert_eq!(task(bench.schedule(CpuId(4), now)), far[0]);
    assert_eq!(task(bench.schedule(CpuId(2), now)), near[1]);
    assert_eq!(task(bench.schedule(CpuId(3), now)), far[1], "then the other, where several wait");
    assert_eq!(task(bench.block(CpuId(3), now)), far[2]);
    assert_eq!(bench.block(CpuId(3), now).next, Decision::Idle, "not yet for one alone");
    let later = Nanos::from_millis(13);
    assert_eq!(bench.tick(CpuId(4), later).kick, None, "nothing waits there");
    assert_eq!(task(bench.schedule(CpuId(3), later)), far[3]);
}

/// Queues `count` tasks on a CPU that may go everywhere afterwards, and runs the first.
fn crowd(bench: &Bench, cpu: CpuId, count: usize, now: Nanos) {
    for _ in 0..count {
        let id = bench.add_task(Policy::new(Class::User).flavour(Flavour::Fixed), CpuSet::single(cpu));
        let _ = bench.unblock_from(id, cpu, now);
        if bench.current(cpu).is_none() {
            assert_eq!(task(bench.schedule(cpu, now)), id);
        }
        let _ = bench.scheduler.set_affinity(&bench.unit(id), CpuSet(u64::MAX), cpu).unwrap();
    }
    let _ = bench.tick(cpu, now);
}

fn pulls(bench: &Bench, cpu: CpuId) -> u64 {
    bench.scheduler.cpu_stats(cpu).unwrap().pulls
}

#[test]
fn a_thief_looks_behind_those_that_must_stay() {
    let (bench, now) = (Bench::new(None, 2), Nanos::from_millis(10));
    let ids = [0, 1, 2, 3, 4].map(|n| {
        let cpus = if n < 4 { CpuSet::single(CpuId(1)) } else { CpuSet(u64::MAX) };
        let id = bench.add_task(Policy::new(Class::User), CpuSet::single(CpuId(1)));
        let _ = bench.unblock_from(id, CpuId(1), now);
        let _ = bench.scheduler.set_affinity(&bench.unit(id), cpus, CpuId(1)).unwrap();
        id
    });
    assert_eq!(task(bench.schedule(CPU, now)), ids[4]);
}

#[test]
fn a_child_of_a_hog_begins_as_one() {
    for cpus in [1, 2] {
        let bench = Bench::new(None, cpus);
        let hog = bench.add_task(Policy::new(Class::User), CpuSet::single(CPU));
        let _ = bench.unblock(hog, Nanos::ZERO);
        assert_eq!(task(bench.schedule(CPU, Nanos::ZERO)), hog);
        // For 5 ms: short of credit, but not without.
        let now = Nanos::from_millis(5);
        assert_eq!(task(bench.preempt(CPU, now)), hog);
        let child = bench.add_task(Policy::new(Class::User), CpuSet::single(CPU));
        let _ = bench.unblock(child, now);
        let key = crate::Key::new(Class::User, Level::DEFAULT.lowered(1));
        assert_eq!((bench.effective_key(hog), bench.effective_key(child)), (key, key), "{cpus}");
    }
}

#[test]
fn a_far_node_gives_only_what_is_heavier_by_the_way_there() {
    let (bench, now) = (two_nodes(), Nanos::from_millis(100));
    crowd(&bench, CPU, 2, now);
    crowd(&bench, CpuId(4), 4, now);
    bench.scheduler.balance(CPU, now);
    assert_eq!(pulls(&bench, CPU), 0, "twice as much at twice the distance");
    crowd(&bench, CpuId(4), 1, now);
    bench.scheduler.balance(CPU, now);
    assert_eq!(pulls(&bench, CPU), 1);
}

#[test]
fn loads_are_compared_every_16_ms_and_one_too_many_changes_places_every_64() {
    let mut queue = crate::run_queue::RunQueue::<super::harness::Unit>::new(CPU).unwrap();
    let due = [15, 16, 31, 32].map(|at| queue.balance_due(Nanos::from_millis(at)));
    assert_eq!(due, [false, true, false, true]);
    let bench = Bench::new(None, 2);
    crowd(&bench, CPU, 1, Nanos::ZERO);
    crowd(&bench, CpuId(1), 2, Nanos::ZERO);
    for (at, pulled) in [(63, 0), (64, 1)] {
        bench.scheduler.balance(CPU, Nanos::from_millis(at));
        assert_eq!(pulls(&bench, CPU), pulled, "after {at} ms");
    }
}

/// Sleepers that are woken from anywhere, by fewer than a node has CPUs: they hardly ever leave it.
#[test]
fn tasks_stay_at_home_while_a_cpu_is_idle_there() {
    let mut random = Random::new("tasks_stay_at_home_while_a_cpu_is_idle_there");
    let mut machine = Machine { bench: two_nodes(), owed: HashMap::new(), switches: 0 };
    let mut now = Nanos(0);
    for cpu in (0..CPUS).map(CpuId) {
        let switch = machine.bench.schedule(cpu, now);
        machine.apply(cpu, switch, now);
    }
    let ids: Vec<TaskId> = (0..6)
        .map(|n| {
            let id = machine.bench.add_task(Policy::new(Class::User), CpuSet(u64::MAX));
            machine.bench.scheduler.leave_idle(CpuId(n % 2 * 4));
            machine.wake(id, CpuId(n % 2 * 4), now);
            id
        })
        .collect();
    for _ in 0..100_000 {
        now += Nanos(random.below(50_000));
        let cpu = CpuId(random.below(u64::from(CPUS)) as u32);
        let id = ids[random.below(6) as usize];
        if machine.runs(cpu).is_some() && random.below(2) == 0 {
            let switch = machine.bench.block(cpu, now);
            machine.apply(cpu, switch, now);
        } else if machine.bench.phase(id) == Phase::Blocked {
            machine.bench.scheduler.leave_idle(cpu);
            machine.wake(id, cpu, now);
            if machine.runs(cpu).is_none() {
                machine.reschedule(cpu, now);
            }
        }
    }
    let stats = (0..CPUS).map(|cpu| machine.bench.scheduler.cpu_stats(CpuId(cpu)).unwrap());
    let (woken, moves) =
        stats.fold((0, 0), |sum, stats| (sum.0 + stats.woken_of(Class::User), sum.1 + stats.node_moves));
    std::println!("woken {woken} moves {moves}");
    assert!(woken > 10_000 && moves * 20 < woken, "{moves} of {woken}");
    assert!(ids.iter().enumerate().all(|(n, id)| machine.bench.unit(*id).entity().home_node() as usize == n % 2));
}

/// Real threads for CPUs, which wake each other's tasks: a task is run by one thread at a time, and all come to an end.
#[test]
fn threads_run_each_task_on_one_cpu_at_a_time() {
    use core::sync::atomic::{AtomicBool, AtomicU32};

    use sync::{Linked, Links};

    use crate::{Blocked, Entity};

    const ROUNDS: u32 = 3000;
    const TASKS: usize = 12;
    struct Job {
        entity: Entity<Job>,
        running: AtomicBool,
        rounds: AtomicU32,
        ready: AtomicU32,
    }
    impl Linked for Job {
        fn links(&self) -> &Links<Self> {
            self.entity.links()
        }
    }
    impl Schedulable for Job {
        fn entity(&self) -> &Entity<Self> {
            &self.entity
        }
    }
    let scheduler: Box<Scheduler<Job>> = Box::default();
    (0..3).for_each(|cpu| scheduler.online(CpuId(cpu)).unwrap());
    let start = std::time::Instant::now();
    let now = || Nanos(start.elapsed().as_nanos() as u64);
    let jobs: Vec<Arc<Job>> = (0..TASKS)
        .map(|n| {
            // Some may not run everywhere.
            let cpus = CpuSet(if n % 4 == 3 { 0b110 } else { u64::MAX });
            let entity = Entity::new(Policy::new(Class::ALL[n % 5]), cpus);
            Arc::new(Job {
                entity,
                running: AtomicBool::new(false),
                rounds: AtomicU32::new(0),
                ready: AtomicU32::new(1),
            })
        })
        .collect();
    let left = AtomicU32::new(TASKS as u32);
    jobs.iter().for_each(|job| _ = scheduler.add_task(job.clone(), CPU, now()));
    std::thread::scope(|threads| {
        for cpu in (0..3).map(CpuId) {
            let (scheduler, jobs, left) = (&scheduler, &jobs, &left);
            threads.spawn(move || {
                let mut random = Random(0x9e37_79b9 + u64::from(cpu.0));
                let local = scheduler.local(cpu).unwrap();
                let mut next = local.schedule(now());
                while left.load(SeqCst) > 0 {
                    let Some(it) = next else {
                        if scheduler.enter_idle(cpu) {
                            // Asleep until somebody takes the bit away: a lost wake-up ends in a hang.
                            while scheduler.idle_cpus().contains(cpu) && left.load(SeqCst) > 0 {
                                std::thread::yield_now();
                            }
                        }
                        next = local.schedule(now());
                        continue;
                    };
                    let job = it.task;
                    let began = now();
                    assert!(!job.running.swap(true, SeqCst), "on two CPUs");
                    assert!(job.entity.affinity().contains(cpu), "outside of its affinity");
                    // Each token makes one round and is passed on to another task, so a lost wake-up ends in a hang.
                    let got = job.ready.swap(0, SeqCst);
                    let rounds = job.rounds.fetch_add(got, SeqCst) + got;
                    job.running.store(false, SeqCst);
                    if rounds >= ROUNDS && got > 0 {
                        // The round is over: all end.
                        for other in jobs {
                            other.rounds.fetch_max(ROUNDS, SeqCst);
                            other.ready.fetch_add(1, SeqCst);
                            rouse(scheduler.unblock(other, cpu, now));
                        }
                        next = local.end_task(job, now() - began);
                        left.fetch_sub(1, SeqCst);
                        continue;
                    }
                    for _ in 0..got {
                        let other = &jobs[random.below(TASKS as u64) as usize];
                        other.ready.fetch_add(1, SeqCst);
                        rouse(scheduler.unblock(other, cpu, now));
                    }
                    if random.below(16) == 0 {
                        let other = &jobs[random.below(TASKS as u64) as usize];
                        let _ = scheduler.set_priority(other, random.policy(), cpu);
                        let _ = scheduler.tick(cpu, now(), now() - began);
                    }
                    let ran = now() - began;
                    (next, _) = match random.below(4) {
                        0 => match local.rotate(job, ran) {
                            Ok(task) => (Some(crate::Next { task, slice_ns: 0 }), None),
                            Err(job) => local.yield_task(job),
                        },
                        1 => local.preempt(job, ran),
                        _ => match local.block(job, ran) {
                            Ok(task) => (Some(crate::Next { task, slice_ns: 0 }), None),
                            Err(blocked @ (Blocked::Idle | Blocked::Not(_))) => local.block_long(blocked),
                        },
                    };
                }
            });
        }
    });
    assert_eq!(left.load(SeqCst), 0);
}

/// An interrupt does nothing here: a CPU that slept looks at its bit.
fn rouse(_: Wake) {}
