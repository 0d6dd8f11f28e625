//! Helpers of this crate's tests: a random generator, plain-number resources, and a world to drive processes in.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Signal;
use types::{CpuSet, Nanos, Pid};

use crate::signal::{Delivery, SigInfo};
use crate::{
    CloneFlags, CloneRequest, ExitStatus, Places, Process, ProcessTable, ResourceLimits, Resources, Result,
    SpawnRequest, TableConfig, Thread, WaitRequest, WaitResult,
};

/// A small random generator with a printed seed (splitmix64).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn choose<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// Counts how often a task is woken.
#[derive(Default)]
pub(crate) struct Wakes(core::sync::atomic::AtomicUsize);

impl std::task::Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, core::sync::atomic::Ordering::SeqCst);
    }
}

impl Wakes {
    /// From now on counts the wake-ups of `thread`, which has no waker yet.
    pub(crate) fn of(thread: &PlainThread) -> Arc<Self> {
        let wakes = Arc::new(Self::default());
        thread.set_waker(wakes.clone().into());
        wakes
    }

    pub(crate) fn count(&self) -> usize {
        self.0.load(core::sync::atomic::Ordering::SeqCst)
    }
}

/// Resources of plain data.
pub(crate) struct Plain;

impl Resources for Plain {
    type Space = u64;
    type File = Arc<u32>;
    type Path = u32;
    type Terminal = u32;
    type Namespaces = u32;
    type Filter = u32;
}

pub(crate) type PlainThread = Arc<Thread<Plain>>;

/// A table with a first process.
pub(crate) struct World {
    pub(crate) table: ProcessTable<Plain>,
    pub(crate) init: PlainThread,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(TableConfig::default())
    }

    pub(crate) fn with(config: TableConfig) -> Self {
        let table = ProcessTable::new(config).unwrap();
        let init = table
            .create_init(SpawnRequest {
                space: Arc::new(1),
                places: Places { cwd: 0, root: 0 },
                namespaces: 0,
                affinity: CpuSet(0b11),
                limits: ResourceLimits::new(),
                name: b"init",
                now: Nanos(1),
            })
            .unwrap();
        Self { table, init }
    }

    pub(crate) fn clone(&self, parent: &PlainThread, flags: CloneFlags, exit: Option<Signal>) -> Result<PlainThread> {
        let space = parent.process().space().unwrap();
        let space = if flags.contains(CloneFlags::VM) { space } else { Arc::new(*space + 1) };
        let request = CloneRequest {
            flags,
            exit_signal: exit,
            space,
            namespaces: None,
            pids: None,
            clear_child_tid: 0,
            now: Nanos(5),
        };
        self.table.clone_thread(parent, request)
    }

    pub(crate) fn fork(&self, parent: &PlainThread) -> PlainThread {
        self.clone(parent, CloneFlags::FORK, Some(Signal::CHLD)).unwrap()
    }

    pub(crate) fn spawn_thread(&self, of: &PlainThread) -> PlainThread {
        self.clone(of, THREAD_FLAGS, None).unwrap()
    }

    /// One thread ends with `code`.
    pub(crate) fn exit(&self, thread: &PlainThread, code: i32) {
        self.end(thread, ExitStatus::from_code(code));
    }

    pub(crate) fn end(&self, thread: &PlainThread, status: ExitStatus) {
        let departure = self.table.begin_exit(thread, status);
        departure.effects.run();
        drop((departure.files, departure.fs, departure.space));
        self.table.finish_exit(thread).run();
    }

    /// The whole process ends.
    pub(crate) fn exit_group(&self, process: &Arc<Process<Plain>>, status: ExitStatus) {
        self.table.begin_group_exit(process, status).run();
        for thread in process.threads().unwrap() {
            self.end(&thread, status);
        }
    }

    pub(crate) fn wait4(&self, thread: &PlainThread, pid: i32, options: u32) -> Result<Option<Waited>> {
        let request = WaitRequest::wait4(thread.process(), pid, options)?;
        self.table.try_wait(thread, &request).map(|found| found.map(waited))
    }

    pub(crate) fn wait(&self, thread: &PlainThread) -> Result<Option<Waited>> {
        self.wait4(thread, -1, 0)
    }

    /// Sends as the kernel.
    pub(crate) fn send(&self, thread: &PlainThread, signal: Signal) {
        self.table.signal_process(thread.process(), SigInfo::kernel(signal)).run();
    }

    /// Lets `thread` act on its signals until it has nothing to do or is stopped; what happened, in words.
    pub(crate) fn settle(&self, thread: &PlainThread) -> Vec<&'static str> {
        let mut story = Vec::new();
        let process = thread.process();
        while !thread.signals().is_stopped() {
            let Some(delivery) = process.signals().next_deliverable(thread.signals()) else { break };
            match delivery {
                Delivery::Handler(caught) => {
                    process.signals().handler_entered(thread.signals(), &caught);
                    story.push("handler");
                }
                Delivery::Terminate { info, core } => {
                    self.exit_group(process, ExitStatus::Signaled { signal: info.signal, core });
                    story.push("terminated");
                    break;
                }
                Delivery::StopRequested(ticket) => {
                    let orphaned = self.table.group_is_orphaned(process.pgid());
                    if ticket.signal == Signal::STOP || !orphaned {
                        let _kick = process.signals().begin_stop(thread.signals(), ticket);
                    } else {
                        story.push("stop ignored");
                    }
                }
                Delivery::Stop { report } => {
                    if let Some(signal) = report {
                        self.table.report_stopped(process, signal).run();
                    }
                    story.push("stopped");
                }
                Delivery::Exit => {
                    self.end(thread, ExitStatus::from_code(0));
                    story.push("exited");
                    break;
                }
            }
        }
        story
    }

    pub(crate) fn stop(&self, thread: &PlainThread) {
        self.send(thread, Signal::STOP);
        self.settle(thread);
    }

    pub(crate) fn process(&self, pid: u32) -> Option<Arc<Process<Plain>>> {
        self.table.process(Pid(pid))
    }
}

/// pthread_create's flags.
pub(crate) const THREAD_FLAGS: CloneFlags = CloneFlags::VM
    .union(CloneFlags::FS)
    .union(CloneFlags::FILES)
    .union(CloneFlags::SIGHAND)
    .union(CloneFlags::THREAD)
    .union(CloneFlags::SYSVSEM);

/// Pid and status word of a wait.
pub(crate) type Waited = (u32, i32);

fn waited(result: WaitResult) -> Waited {
    (result.pid.0, result.event.wait_status())
}
