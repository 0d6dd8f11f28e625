//! The kernel as the supervisor sees it.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Write;

use abi::Signal;
use hal::PowerAction;
use process::Cell;
use services::{Ending, ProbeResult, SpawnError};
use supervisor::{Facts, Launch, Pause, World};
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

fn facts(process: &Process) -> Facts {
    let pages = process.space().map_or(0, |space| space.resident_pages());
    Facts { memory: pages * PAGE_SIZE as u64, cpu: process.usage().cpu_time() }
}

impl World for KernelWorld {
    fn now(&self) -> Nanos {
        self.0.platform.now()
    }

    fn spawn(&self, launch: &Launch) -> Result<(), SpawnError> {
        spawn::spawn(self.0, launch)
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
        let signal = if pause == Pause::Begin { Signal::STOP } else { Signal::CONT };
        self.0.run(self.0.processes.signal_cell(cell, signal));
    }

    fn kill(&self, cell: &Arc<Cell>) {
        self.0.run(self.0.processes.kill_cell(cell));
    }

    fn runnable(&self, _cell: &Arc<Cell>, since: Nanos) -> Nanos {
        self.now().saturating_sub(since)
    }

    fn probe(&self, launch: &Launch) -> ProbeResult {
        spawn::probe(self.0, launch)
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
        let mut sum = Facts { memory: 0, cpu: cell.ended_usage().cpu_time() };
        for process in self.members(cell) {
            let one = facts(&process);
            sum = Facts { memory: sum.memory + one.memory, cpu: sum.cpu + one.cpu };
        }
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
