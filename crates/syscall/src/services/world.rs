//! The kernel as the supervisor sees it.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Write;

use abi::Signal;
use hal::PowerAction;
use process::{Cell, PriorityClass, ProcessState};
use services::{Class, Ending, Name, ProbeResult, SpawnError};
use supervisor::{Facts, Launch, Pause, SignOfLife, World};
use types::{Nanos, PAGE_SIZE};

use super::spawn;
use crate::{Process, System};

/// The system, as a [`World`].
pub(crate) struct KernelWorld(pub(crate) &'static System);

impl KernelWorld {
    /// The processes of a cell, held only while nothing is locked.
    fn members(&self, cell: &Arc<Cell>) -> Vec<Arc<Process>> {
        let mut members = Vec::new();
        // Beside the lock; whoever is born meanwhile is left out.
        if members.try_reserve_exact(cell.members() as usize).is_ok() {
            self.0.processes.visit_cell(cell, |process| {
                if members.len() < members.capacity() {
                    members.push(process.clone());
                }
            });
        }
        members
    }
}

impl KernelWorld {
    /// Whether some thread of a cell could run just now and none does.
    fn is_starved(&self, cell: &Arc<Cell>) -> bool {
        let (mut running, mut waiting) = (false, false);
        for process in self.members(cell) {
            for thread in process.threads().unwrap_or_default() {
                running |= thread.state() == ProcessState::Running;
                waiting |= self.0.platform.waits_for_cpu(&thread);
            }
        }
        waiting && !running
    }
}

fn facts(process: &Process) -> Facts {
    let pages = process.space().map_or(0, |space| space.resident_pages());
    let usage = process.usage();
    Facts {
        memory: pages * PAGE_SIZE as u64,
        cpu: usage.cpu_time(),
        read: usage.read_bytes.get(),
        written: usage.write_bytes.get(),
    }
}

impl World for KernelWorld {
    fn now(&self) -> Nanos {
        self.0.platform.now()
    }

    fn spawn(&self, launch: &Launch) -> Result<(), SpawnError> {
        let result = spawn::spawn(self.0, launch);
        if self.0.services.sockets.take_made() {
            // Another set may have been loaded while this start was on its way.
            self.0.close_sockets();
        }
        result
    }

    fn signal_main(&self, cell: &Arc<Cell>, signal: u8) {
        if let Some(signal) = Signal::new(signal.into()) {
            self.0.run(self.0.processes.signal_main(cell, signal));
        }
    }

    fn signal_all(&self, cell: &Arc<Cell>, signal: u8) {
        if let Some(signal) = Signal::new(signal.into()) {
            self.0.run(self.0.processes.signal_cell(cell, signal));
        }
        self.0.run(self.0.processes.signal_cell(cell, Signal::CONT));
    }

    fn pause(&self, cell: &Arc<Cell>, pause: Pause) {
        self.0.run(self.0.processes.freeze_cell(cell, pause == Pause::Begin));
    }

    fn urgency(&self, class: Option<Class>) -> u32 {
        self.0.platform.urgency_of(class.map_or(PriorityClass::Service, super::spawn::class))
    }

    fn hasten(&self, cell: &Arc<Cell>) {
        for process in self.members(cell) {
            process.threads().unwrap_or_default().iter().for_each(|thread| self.0.scheduling_changed(thread));
        }
    }

    fn kill(&self, cell: &Arc<Cell>) {
        self.0.run(self.0.processes.kill_cell(cell));
    }

    fn runnable(&self, cell: &Arc<Cell>, since: SignOfLife) -> Nanos {
        // One that waits has not told yet for how long: since the cell was last seen to run.
        let waits_since = if self.is_starved(cell) { cell.ran_at() } else { Nanos(u64::MAX) };
        let now = self.now();
        let waits = now.saturating_sub(waits_since.max(since.at));
        let waited = cell.kept_waiting().saturating_sub(since.waited);
        now.saturating_sub(since.at).saturating_sub(waited + waits)
    }

    fn probe(&self, launch: &Launch) -> Option<ProbeResult> {
        spawn::probe(self.0, launch)
    }

    fn arrange(&self, service: &Name) {
        self.0.services.sockets.arrange(service);
    }

    fn end(&self, ending: Ending) {
        let action = match ending {
            Ending::Halt => PowerAction::Halt,
            Ending::Reboot => PowerAction::Reboot,
            Ending::PowerOff => PowerAction::PowerOff,
        };
        log::info!("svc: nothing is left, {action:?}");
        let status = self.0.exit_status.load(core::sync::atomic::Ordering::Relaxed);
        self.0.platform.power(action, status);
    }

    fn pids(&self, cell: &Arc<Cell>) -> Vec<u32> {
        let main = cell.main();
        let mut pids: Vec<u32> = self.members(cell).iter().map(|process| process.pid().0).collect();
        pids.sort_unstable_by_key(|pid| (*pid != main.0, *pid));
        pids
    }

    fn facts(&self, cell: &Arc<Cell>) -> Facts {
        let ended = cell.ended_usage();
        let mut sum = Facts { memory: 0, cpu: ended.cpu_time(), read: ended.read_bytes, written: ended.write_bytes };
        self.members(cell).iter().for_each(|process| sum.add(facts(process)));
        sum
    }

    fn census(&self, visit: &mut dyn FnMut(u64, Facts)) {
        for process in self.0.processes.processes() {
            if let Some(cell) = process.cell().filter(|_| !process.has_ended()) {
                visit(cell.id(), facts(&process));
            }
        }
    }

    fn stuck(&self, cell: &Arc<Cell>) -> String {
        let mut text = String::new();
        for process in self.members(cell) {
            let name = process.name();
            let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
            // A string takes everything.
            let _ = write!(text, "{} {} {:?}; ", process.pid(), String::from_utf8_lossy(name), process.state());
        }
        text
    }

    fn wake_task(&self) {
        if let Some(services) = self.0.services.get() {
            services.board().news().wake_all();
        }
    }
}
