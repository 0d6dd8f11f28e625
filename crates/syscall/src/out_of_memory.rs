//! The last resort: no frame is left for a page fault, so a process is ended to make room.
//!
//! Not the one that happens to fault: the one that has most, as its `oom_score_adj` weighs it (proc_pid_oom_score_adj(5)).
//! Never the first process while there is another, and none while one is still on its way out.

use alloc::sync::Arc;

use abi::Signal;
use hal::PageFault;
use memory::FaultOutcome;
use process::ProcessFlag;
use process::signal::SigInfo;
use types::Pid;

use crate::{Caller, Process, System};

/// Time between two looks whether there is room now.
const PAUSE_MS: u64 = 1;
/// Looks until the next process is ended: its pages come back when its last thread has gone and its CPU has turned away.
const LOOKS: u32 = 100;
/// `oom_score_adj` of a process that is never chosen; its range is as far upwards.
const NEVER: i32 = -1000;

/// Waits until `fault` can be settled, or the caller has to end itself.
pub(crate) async fn make_room(caller: Caller<'_>, fault: PageFault) {
    loop {
        if !end_largest(caller.system) {
            return crate::trap::force(caller, SigInfo::kernel(Signal::KILL));
        }
        for _ in 0..LOOKS {
            let signals = caller.thread.signals();
            if signals.has_deliverable() || signals.must_exit() {
                return;
            }
            if caller.space.fault(&fault) != FaultOutcome::OutOfMemory {
                // Settled, or the program meets what is wrong with the address when it tries again.
                return;
            }
            caller.system.sleep_ms(PAUSE_MS).await;
        }
    }
}

/// Ends the process that has most, unless one that was chosen before is still there; whether there was any.
fn end_largest(system: &'static System) -> bool {
    let total = system.frames.stats().total as i64;
    let mut largest: Option<(i64, Arc<Process>)> = None;
    for process in system.processes.processes() {
        if process.pid() == Pid::INIT || process.has_ended() {
            continue;
        }
        if process.has_flag(ProcessFlag::OutOfMemory) {
            return true;
        }
        let adjustment = process.oom_score_adj();
        let Some(space) = process.space().filter(|_| adjustment > NEVER) else { continue };
        let score = space.resident_pages() as i64 + total / i64::from(-NEVER) * i64::from(adjustment);
        if largest.as_ref().is_none_or(|(most, _)| score > *most) {
            largest = Some((score, process));
        }
    }
    let Some((_, process)) = largest else { return false };
    end(system, &process);
    true
}

fn end(system: &'static System, process: &Arc<Process>) {
    log::warn!("memory: no frame left; process {} is killed (out of memory)", process.pid());
    process.set_flag(ProcessFlag::OutOfMemory);
    if let Some(cell) = process.cell() {
        crate::services::out_of_memory(system, cell);
    }
    system.run(system.processes.signal_process(process, SigInfo::kernel(Signal::KILL)));
}
