//! The last resort: no frame is left for a page fault, so a process is ended to make room.
//!
//! Not the one that happens to fault: the one that has most, as its `oom_score_adj` weighs it (proc_pid_oom_score_adj(5)).
//! Never the first process while there is another, and none while one is still on its way out. Of services it is a whole cell.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Signal;
use hal::PageFault;
use memory::FaultOutcome;
use process::signal::SigInfo;
use process::{Cell, ProcessFlag};
use types::{PAGE_SIZE, Pid};

use crate::{Caller, Process, System};

/// Time between two looks whether there is room now.
const PAUSE_MS: u64 = 1;
/// Looks until the next process is ended: its pages come back when its last thread has gone and its CPU has turned away.
const LOOKS: u32 = 100;
/// `oom_score_adj` of a process that is never chosen; its range is as far upwards.
const NEVER: i32 = -1000;
/// Pages below which the end of a process gives nothing: 256 KiB.
const WORTHWHILE: i64 = 64;

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

/// Ends whoever has most, unless one that was chosen before is still there; whether there was any.
///
/// A process that belongs to a service, but for one that people work in, goes with all others of its cell, and is weighed with them.
/// Which service it is says the supervisor: one that is critical only where nothing else would do.
fn end_largest(system: &'static System) -> bool {
    let total = system.frames.stats().total as i64;
    let mut largest: Option<(i64, Arc<Process>)> = None;
    let mut cells: Vec<InCell> = Vec::new();
    for process in system.processes.processes() {
        if process.pid() == Pid::INIT || process.has_ended() {
            continue;
        }
        if process.has_flag(ProcessFlag::OutOfMemory) {
            return true;
        }
        let adjustment = process.oom_score_adj();
        let Some(space) = process.space() else { continue };
        let pages = space.resident_pages() as i64;
        if let Some(cell) = process.cell().filter(|cell| !cell.is_session())
            && note(&mut cells, cell, &process, pages, adjustment <= NEVER)
        {
            continue;
        }
        let score = pages + total / i64::from(-NEVER) * i64::from(adjustment);
        if adjustment > NEVER && largest.as_ref().is_none_or(|(most, _)| score > *most) {
            largest = Some((score, process));
        }
    }
    let alone = largest.as_ref().map_or(0, |(score, _)| *score);
    match service(system, &cells, alone) {
        Some(victim) => end_service(system, victim),
        None => {
            let Some((_, process)) = largest else { return false };
            end(system, &process);
        }
    }
    true
}

/// What a service's processes have together.
struct InCell {
    cell: Arc<Cell>,
    pages: i64,
    /// The one that has most of it.
    largest: (i64, Arc<Process>),
    /// One of them may never be chosen.
    never: bool,
}

/// Adds a process to its cell's sum; whether there was room for that.
fn note(cells: &mut Vec<InCell>, cell: &Arc<Cell>, process: &Arc<Process>, pages: i64, never: bool) -> bool {
    if let Some(known) = cells.iter_mut().find(|known| Arc::ptr_eq(&known.cell, cell)) {
        known.pages += pages;
        known.never |= never;
        if pages > known.largest.0 {
            known.largest = (pages, process.clone());
        }
        return true;
    }
    if cells.try_reserve(1).is_err() {
        return false;
    }
    cells.push(InCell { cell: cell.clone(), pages, largest: (pages, process.clone()), never });
    true
}

/// The service that has to go, if it is not a process of none, which would give `alone` pages.
fn service<'a>(system: &'static System, cells: &'a [InCell], alone: i64) -> Option<&'a InCell> {
    let mut asked: Vec<(u64, u64)> = Vec::new();
    asked.try_reserve_exact(cells.len()).ok()?;
    let bytes = |pages: i64| pages.unsigned_abs().saturating_mul(PAGE_SIZE as u64);
    asked.extend(cells.iter().filter(|one| !one.never).map(|one| (one.cell.id(), bytes(one.pages))));
    let (number, critical) = system.services.get()?.look(|supervisor| supervisor.victim(&asked))?;
    let victim = cells.iter().find(|one| one.cell.id() == number)?;
    // A critical one goes when nothing else has anything to give.
    let goes = if critical { alone < WORTHWHILE } else { victim.pages >= alone };
    goes.then_some(victim)
}

fn end_service(system: &'static System, victim: &InCell) {
    let InCell { cell, pages, largest: (_, process), .. } = victim;
    let name = crate::services::label(system, cell.id());
    log::warn!("memory: no frame left; {name}, which has {pages} pages, is killed as a whole (out of memory)");
    process.set_flag(ProcessFlag::OutOfMemory);
    crate::services::out_of_memory(system, cell);
    system.run(system.processes.kill_cell(cell));
}

fn end(system: &'static System, process: &Arc<Process>) {
    log::warn!("memory: no frame left; process {} is killed (out of memory)", process.pid());
    process.set_flag(ProcessFlag::OutOfMemory);
    if let Some(cell) = process.cell().filter(|cell| !cell.is_session()) {
        crate::services::out_of_memory(system, cell);
    }
    system.run(system.processes.signal_process(process, SigInfo::kernel(Signal::KILL)));
}
