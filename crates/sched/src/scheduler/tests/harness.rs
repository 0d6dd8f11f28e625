//! An executor without futures: tasks by number, time as an argument.

use core::cell::{Cell, RefCell};
use std::vec::Vec;

use sync::{Linked, Links};

use super::*;
use crate::entity::{Entity, Schedulable};
use crate::starvation::TICK;
use crate::{Next, Phase};

/// A task's number.
pub(super) type TaskId = usize;

/// A task that does nothing.
pub(super) struct Unit {
    pub(super) id: TaskId,
    entity: Entity<Unit>,
}

std::thread_local! {
    /// How often a task was touched, so that tests can tell the cost of an operation without a clock.
    pub(super) static TOUCHED: Cell<u64> = const { Cell::new(0) };
}

impl Unit {
    pub(super) fn new(id: TaskId, policy: Policy, affinity: CpuSet) -> Arc<Self> {
        Arc::new(Self { id, entity: Entity::new(policy, affinity) })
    }
}

impl Linked for Unit {
    fn links(&self) -> &Links<Self> {
        self.entity.links()
    }
}

impl Schedulable for Unit {
    fn entity(&self) -> &Entity<Self> {
        TOUCHED.set(TOUCHED.get() + 1);
        &self.entity
    }
}

/// What a CPU is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Run(TaskId, Nanos),
    Idle,
}

/// The outcome of a switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Switch {
    pub(super) next: Decision,
    pub(super) moved: Option<Placement>,
}

/// What a CPU runs, and since when.
type Run = (Arc<Unit>, Nanos);

/// The scheduler, its tasks, and what each CPU runs.
pub(super) struct Bench {
    pub(super) scheduler: Scheduler<Unit>,
    tasks: RefCell<Vec<Arc<Unit>>>,
    started: RefCell<Vec<bool>>,
    times: RefCell<Vec<Nanos>>,
    /// How soon each CPU is to tick again.
    again: RefCell<[Nanos; 8]>,
    /// What each CPU runs, and since when.
    running: RefCell<[Option<Run>; 8]>,
}

impl Bench {
    pub(super) fn new(topology: Option<Topology>, cpus: u32) -> Box<Self> {
        let scheduler = Scheduler::new();
        if let Some(topology) = topology {
            scheduler.set_topology(topology);
        }
        (0..cpus).for_each(|cpu| scheduler.online(CpuId(cpu)).unwrap());
        let (tasks, started, times) = Default::default();
        let again = RefCell::new([TICK; 8]);
        Box::new(Self { scheduler, tasks, started, times, again, running: Default::default() })
    }

    pub(super) fn unit(&self, id: TaskId) -> Arc<Unit> {
        self.tasks.borrow()[id].clone()
    }

    /// A task that waits to be started.
    pub(super) fn add_task(&self, policy: Policy, affinity: CpuSet) -> TaskId {
        let id = self.tasks.borrow().len();
        self.tasks.borrow_mut().push(Unit::new(id, policy, affinity));
        self.started.borrow_mut().push(false);
        self.times.borrow_mut().push(Nanos(0));
        id
    }

    /// Starts or wakes a task, from `here`.
    pub(super) fn unblock_from(&self, id: TaskId, here: CpuId, now: Nanos) -> Wake {
        // As if somebody's clock had ticked just now.
        self.scheduler.note_time(now);
        let task = self.unit(id);
        if !core::mem::replace(&mut self.started.borrow_mut()[id], true) {
            return Wake::Placed(self.scheduler.add_task(task, here, now));
        }
        self.scheduler.unblock(&task, here, || now)
    }

    pub(super) fn unblock(&self, id: TaskId, now: Nanos) -> Wake {
        self.unblock_from(id, CPU, now)
    }

    pub(super) fn current(&self, cpu: CpuId) -> Option<TaskId> {
        self.running.borrow()[cpu.index()].as_ref().map(|(task, _)| task.id)
    }

    pub(super) fn phase(&self, id: TaskId) -> Phase {
        self.unit(id).entity.phase()
    }

    pub(super) fn effective_key(&self, id: TaskId) -> Key {
        self.unit(id).entity.effective_key()
    }

    pub(super) fn cpu_time(&self, id: TaskId) -> Nanos {
        self.times.borrow()[id]
    }

    pub(super) fn tick(&self, cpu: CpuId, now: Nanos) -> Tick {
        let since = self.running.borrow()[cpu.index()].as_ref().map_or(now, |(_, since)| *since);
        let tick = self.scheduler.tick(cpu, now, now - since);
        self.again.borrow_mut()[cpu.index()] = tick.again;
        tick
    }

    /// A tick, or an interrupt: chooses, if what runs has to give way.
    pub(super) fn schedule(&self, cpu: CpuId, now: Nanos) -> Switch {
        let local = self.scheduler.local(cpu).unwrap();
        let Some(runs) = self.current(cpu) else { return self.start(cpu, now, (local.schedule(now), None)) };
        let tick = self.tick(cpu, now);
        if !tick.resched {
            return Switch { next: Decision::Run(runs, tick.again), moved: None };
        }
        self.preempt(cpu, now)
    }

    /// What runs gives way, whatever was the reason.
    pub(super) fn preempt(&self, cpu: CpuId, now: Nanos) -> Switch {
        let local = self.scheduler.local(cpu).unwrap();
        let (task, ran) = self.stop(cpu, now).unwrap();
        self.start(cpu, now, local.preempt(task, ran))
    }

    pub(super) fn yield_task(&self, cpu: CpuId, now: Nanos) -> Switch {
        let local = self.scheduler.local(cpu).unwrap();
        let (task, ran) = self.stop(cpu, now).unwrap();
        let next = match local.rotate(task, ran) {
            Ok(task) => (Some(Next { task, slice_ns: 0 }), None),
            Err(task) => local.yield_task(task),
        };
        self.start(cpu, now, next)
    }

    pub(super) fn block(&self, cpu: CpuId, now: Nanos) -> Switch {
        self.scheduler.note_time(now);
        let local = self.scheduler.local(cpu).unwrap();
        let (task, ran) = self.stop(cpu, now).unwrap();
        let next = match local.block(task, ran) {
            Ok(task) => (Some(Next { task, slice_ns: 0 }), None),
            Err(blocked) => local.block_long(blocked),
        };
        self.start(cpu, now, next)
    }

    pub(super) fn end_task(&self, cpu: CpuId, now: Nanos) -> Switch {
        let local = self.scheduler.local(cpu).unwrap();
        let (task, ran) = self.stop(cpu, now).unwrap();
        let next = local.end_task(task, ran);
        self.start(cpu, now, (next, None))
    }

    fn stop(&self, cpu: CpuId, now: Nanos) -> Option<(Arc<Unit>, Nanos)> {
        let (task, since) = self.running.borrow_mut()[cpu.index()].take()?;
        let ran = now.saturating_sub(since);
        self.times.borrow_mut()[task.id] += ran;
        Some((task, ran))
    }

    fn start(&self, cpu: CpuId, now: Nanos, (next, moved): (Option<Next<Unit>>, Option<Placement>)) -> Switch {
        let next = match next {
            Some(Next { task, slice_ns }) => {
                assert_eq!(task.entity.phase(), Phase::Running);
                let id = task.id;
                self.running.borrow_mut()[cpu.index()] = Some((task, now));
                let again = self.again.borrow()[cpu.index()];
                Decision::Run(id, if slice_ns == 0 { again } else { Nanos(slice_ns.into()) })
            }
            None => Decision::Idle,
        };
        Switch { next, moved }
    }
}

/// One CPU that runs hogs, for properties: time passes by slices. Calls `ran` with each run.
pub(super) fn run_hogs(bench: &Bench, from: Nanos, until: Nanos, mut ran: impl FnMut(TaskId, Nanos, Nanos)) {
    let mut now = from;
    while now < until {
        match bench.schedule(CPU, now).next {
            Decision::Run(id, slice) => {
                ran(id, now, slice);
                now += slice;
            }
            Decision::Idle => panic!("idle though hogs wait"),
        }
    }
    let _ = bench.preempt(CPU, now);
}
