//! Many CPUs in random steps: a task is on one CPU, none is lost, none waits while a CPU it may use sleeps for good.

use std::collections::HashMap;
use std::vec::Vec;

use super::*;
use crate::{Phase, Topology};

const CPUS: u32 = 8;

fn two_nodes() -> Box<Scheduler> {
    let scheduler = Box::new(Scheduler::new());
    let mut topology = Topology::flat();
    (4..CPUS).for_each(|cpu| topology.set_node(CpuId(cpu), 1));
    (0..4).for_each(|core| topology.set_siblings(CpuSet(0b11 << (2 * core))));
    scheduler.set_topology(topology);
    (0..CPUS).for_each(|cpu| scheduler.online(CpuId(cpu)).unwrap());
    scheduler
}

/// The outside: which task each CPU was told to run, and which tasks are owed a run.
struct Machine {
    scheduler: Box<Scheduler>,
    runs: [Option<TaskId>; CPUS as usize],
    owed: HashMap<TaskId, Nanos>,
    switches: u32,
}

impl Machine {
    fn apply(&mut self, cpu: CpuId, switch: Switch, now: Nanos) {
        self.runs[cpu.index()] = None;
        if let Decision::Run(id, slice) = switch.next {
            assert!(!self.runs.contains(&Some(id)), "on two CPUs");
            assert!(slice > Nanos::ZERO);
            assert!(self.scheduler.affinity(id).unwrap().contains(cpu), "outside of its affinity");
            assert_eq!(self.scheduler.phase(id), Some(Phase::Running(cpu)));
            assert!(!self.scheduler.idle_cpus().contains(cpu));
            self.runs[cpu.index()] = Some(id);
            self.owed.remove(&id);
            self.switches += 1;
        } else {
            assert!(self.scheduler.idle_cpus().contains(cpu));
            assert_eq!(self.scheduler.waiting(cpu), 0);
        }
        if let Some(placement) = switch.moved {
            self.kick(placement, now);
        }
    }

    /// An interrupt: the CPU chooses anew.
    fn kick(&mut self, placement: Placement, now: Nanos) {
        if placement.preempt {
            let switch = self.scheduler.schedule(placement.cpu, now).unwrap();
            if let Some(ran) = self.runs[placement.cpu.index()] {
                self.owed.entry(ran).or_insert(now);
            }
            self.apply(placement.cpu, switch, now);
        }
    }

    fn wake(&mut self, id: TaskId, now: Nanos) {
        match self.scheduler.unblock(id, now).unwrap() {
            Wake::Placed(placement) => {
                self.owed.insert(id, now);
                self.kick(placement, now);
            }
            Wake::Running(cpu) => assert_eq!(self.runs[cpu.index()], Some(id)),
            Wake::Pending => assert!(self.owed.contains_key(&id)),
            Wake::Stale => panic!("stale"),
        }
    }
}

#[test]
fn a_task_is_on_one_cpu_and_no_wake_up_is_lost() {
    const TASKS: usize = 40;
    let mut random = Random::new("a_task_is_on_one_cpu_and_no_wake_up_is_lost");
    let mut machine =
        Machine { scheduler: two_nodes(), runs: [None; CPUS as usize], owed: HashMap::new(), switches: 0 };
    let affinity = |random: &mut Random| CpuSet(if random.below(3) == 0 { random.below(255) + 1 } else { u64::MAX });
    let mut now = Nanos(0);
    let mut ids: Vec<TaskId> = (0..TASKS)
        .map(|_| machine.scheduler.add_task(random.policy(), affinity(&mut random), CPU, now).unwrap())
        .collect();
    let mut notified: HashMap<TaskId, ()> = HashMap::new();
    for _ in 0..1_000_000 {
        now += Nanos(random.below(200_000));
        let cpu = CpuId(random.below(u64::from(CPUS)) as u32);
        let n = random.below(TASKS as u64) as usize;
        match random.below(16) {
            0..5 => {
                if machine.runs.contains(&Some(ids[n])) {
                    notified.insert(ids[n], ());
                }
                machine.wake(ids[n], now);
            }
            5..9 => {
                if let Some(ran) = machine.runs[cpu.index()] {
                    let switch = machine.scheduler.block(cpu, now).unwrap();
                    if notified.remove(&ran).is_some() {
                        machine.owed.insert(ran, now);
                    }
                    machine.apply(cpu, switch, now);
                }
            }
            9 => {
                if let Some(ran) = machine.runs[cpu.index()] {
                    machine.owed.insert(ran, now);
                    notified.remove(&ran);
                    let switch = machine.scheduler.yield_task(cpu, now).unwrap();
                    machine.apply(cpu, switch, now);
                }
            }
            10 if random.below(8) == 0 => {
                if let Some(ran) = machine.runs[cpu.index()] {
                    notified.remove(&ran);
                    let switch = machine.scheduler.end_task(cpu, now).unwrap();
                    machine.apply(cpu, switch, now);
                    let policy = random.policy();
                    let new = machine.scheduler.add_task(policy, affinity(&mut random), cpu, now).unwrap();
                    let place = ids.iter().position(|id| *id == ran).unwrap();
                    ids[place] = new;
                }
            }
            11 => {
                if let Some(placement) = machine.scheduler.set_priority(ids[n], random.policy(), now).unwrap() {
                    preempted(&mut machine, &mut notified, placement);
                    machine.kick(placement, now);
                }
            }
            12 => {
                let cpus = affinity(&mut random);
                if let Some(placement) = machine.scheduler.set_affinity(ids[n], cpus, now).unwrap() {
                    preempted(&mut machine, &mut notified, placement);
                    machine.kick(placement, now);
                }
                // One that runs outside is on its way out; the outside of this test is at once.
                for cpu in (0..CPUS).map(CpuId) {
                    if machine.runs[cpu.index()] == Some(ids[n]) && !cpus.contains(cpu) {
                        preempted(&mut machine, &mut notified, Placement { cpu, preempt: true });
                        machine.kick(Placement { cpu, preempt: true }, now);
                    }
                }
            }
            _ => {
                let tick = machine.scheduler.tick(cpu, now).unwrap();
                if tick.resched {
                    preempted(&mut machine, &mut notified, Placement { cpu, preempt: true });
                    machine.kick(Placement { cpu, preempt: true }, now);
                }
                if let Some(cpu) = tick.kick {
                    machine.kick(Placement { cpu, preempt: true }, now);
                }
            }
        }
        notified.retain(|id, ()| machine.runs.contains(&Some(*id)));
    }
    // Everybody who is owed a run gets one.
    for _ in 0..2000 {
        now += Nanos::from_millis(1);
        for cpu in (0..CPUS).map(CpuId) {
            let switch = match machine.runs[cpu.index()] {
                Some(_) => machine.scheduler.block(cpu, now).unwrap(),
                None => machine.scheduler.schedule(cpu, now).unwrap(),
            };
            machine.apply(cpu, switch, now);
        }
    }
    assert_eq!(machine.owed, HashMap::new());
    assert_eq!(machine.scheduler.runnable(), 0);
    assert_eq!(machine.scheduler.idle_cpus(), machine.scheduler.online_cpus());
    assert!(machine.switches > 100_000);
    let stats = (0..CPUS).map(|cpu| machine.scheduler.cpu_stats(CpuId(cpu)).unwrap());
    let (steals, pulls) = stats.fold((0, 0), |sum, stats| (sum.0 + stats.steals, sum.1 + stats.pulls));
    std::println!("switches {} steals {steals} pulls {pulls}", machine.switches);
    assert!(steals > 1000 && pulls > 100);
}

/// A preempted task that was notified is queued like any other: the notice is spent.
fn preempted(machine: &mut Machine, notified: &mut HashMap<TaskId, ()>, placement: Placement) {
    if let Some(ran) = machine.runs[placement.cpu.index()] {
        notified.remove(&ran);
    }
}

/// Hogs on two CPUs for ten seconds, in slices; how long each ran.
fn hogs(n: usize, nices: &[i8]) -> Vec<f64> {
    let scheduler = scheduler(2);
    let mut due = [Nanos(0); 2];
    let ids: Vec<TaskId> = (0..n)
        .map(|n| {
            let policy = Policy::new(Class::User).nice(nices[n % nices.len()]);
            let id = scheduler.add_task(policy, CpuSet(u64::MAX), CPU, Nanos(0)).unwrap();
            let _ = scheduler.unblock(id, Nanos(0)).unwrap();
            id
        })
        .collect();
    while due[0] < Nanos::from_secs(10) {
        let cpu = if due[0] <= due[1] { 0 } else { 1 };
        let now = due[cpu];
        let id = CpuId(cpu as u32);
        let tick = scheduler.tick(id, now).unwrap();
        due[cpu] = now + tick.slice;
        if tick.resched || scheduler.current(id).is_none() {
            due[cpu] = match scheduler.schedule(id, now).unwrap().next {
                Decision::Run(_, slice) => now + slice,
                Decision::Idle => now + Nanos::from_millis(1),
            };
        }
    }
    ids.iter().map(|id| scheduler.cpu_time(*id).unwrap().0 as f64 / 1e9).collect()
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
    let scheduler = two_nodes();
    let now = Nanos::from_millis(10);
    let pinned = |cpu: u32| {
        let id = scheduler.add_task(Policy::new(Class::User), CpuSet::single(CpuId(cpu)), CpuId(cpu), now).unwrap();
        let _ = scheduler.unblock(id, now).unwrap();
        id
    };
    let near = [0; 2].map(|_| pinned(1));
    let far = [0; 4].map(|_| pinned(5));
    for id in near.iter().chain(&far) {
        let _ = scheduler.set_affinity(*id, CpuSet(u64::MAX), now).unwrap();
    }
    assert_eq!(task(scheduler.schedule(CPU, now).unwrap()), near[0], "its own node first");
    assert_eq!(task(scheduler.schedule(CpuId(4), now).unwrap()), far[0]);
    assert_eq!(task(scheduler.schedule(CpuId(2), now).unwrap()), near[1]);
    assert_eq!(task(scheduler.schedule(CpuId(3), now).unwrap()), far[1], "then the other, where several wait");
    assert_eq!(task(scheduler.block(CpuId(3), now).unwrap()), far[2]);
    assert_eq!(scheduler.block(CpuId(3), now).unwrap().next, Decision::Idle, "not yet for one alone");
    let later = Nanos::from_millis(13);
    assert_eq!(scheduler.tick(CpuId(4), later).unwrap().kick, None, "nothing waits there");
    assert_eq!(task(scheduler.schedule(CpuId(3), later).unwrap()), far[3]);
}

/// Real threads for CPUs, which wake each other's tasks: a task is run by one thread at a time, and all come to an end.
#[test]
fn threads_run_each_task_on_one_cpu_at_a_time() {
    use core::sync::atomic::AtomicBool;

    const ROUNDS: u32 = 3000;
    const TASKS: usize = 12;
    /// What the executor would keep with a task.
    #[derive(Default)]
    struct Payload {
        running: AtomicBool,
        rounds: AtomicU32,
        ready: AtomicU32,
    }
    let scheduler: Box<Scheduler<Payload>> = Box::default();
    (0..3).for_each(|cpu| scheduler.online(CpuId(cpu)).unwrap());
    let start = std::time::Instant::now();
    let now = || Nanos(start.elapsed().as_nanos() as u64);
    let policy = |n: usize| Policy::new(Class::ALL[n % 5]);
    let ids: Vec<TaskId> =
        (0..TASKS).map(|n| scheduler.add_task(policy(n), CpuSet(u64::MAX), CPU, Nanos(0)).unwrap()).collect();
    for id in &ids {
        scheduler.payload(*id).unwrap().ready.store(1, SeqCst);
        let _ = scheduler.unblock(*id, now()).unwrap();
    }
    std::thread::scope(|threads| {
        for cpu in (0..3).map(CpuId) {
            let (scheduler, ids) = (&scheduler, &ids);
            threads.spawn(move || {
                let mut random = Random(0x9e37_79b9 + u64::from(cpu.0));
                let mut switch = scheduler.schedule(cpu, now()).unwrap();
                while scheduler.tasks() > 0 {
                    let Decision::Run(id, _) = switch.next else {
                        std::thread::yield_now();
                        switch = scheduler.schedule(cpu, now()).unwrap();
                        continue;
                    };
                    let payload = scheduler.payload(id).unwrap();
                    assert!(!payload.running.swap(true, SeqCst), "on two CPUs");
                    // Each token makes one round and is passed on to another task, so a lost wake-up ends in a hang.
                    let got = payload.ready.swap(0, SeqCst);
                    let rounds = payload.rounds.fetch_add(got, SeqCst) + got;
                    payload.running.store(false, SeqCst);
                    if rounds >= ROUNDS && got > 0 {
                        // The round is over: all end.
                        ids.iter().for_each(|id| {
                            if let Some(other) = scheduler.payload(*id) {
                                other.rounds.fetch_max(ROUNDS, SeqCst);
                                other.ready.fetch_add(1, SeqCst);
                                let _ = scheduler.unblock(*id, now()).unwrap();
                            }
                        });
                        switch = scheduler.end_task(cpu, now()).unwrap();
                        continue;
                    }
                    for _ in 0..got {
                        let other = ids[random.below(TASKS as u64) as usize];
                        if let Some(payload) = scheduler.payload(other) {
                            payload.ready.fetch_add(1, SeqCst);
                            let _ = scheduler.unblock(other, now()).unwrap();
                        }
                    }
                    switch = match random.below(4) {
                        0 => scheduler.yield_task(cpu, now()).unwrap(),
                        1 => scheduler.schedule(cpu, now()).unwrap(),
                        _ => scheduler.block(cpu, now()).unwrap(),
                    };
                }
            });
        }
    });
    assert_eq!(scheduler.tasks(), 0);
}
