//! One CPU that runs hogs, for properties: time passes by slices.

use super::*;

/// Runs CPU 0 until `until`, each task for the whole of its slices; calls `ran` with each run.
pub(super) fn run_hogs(scheduler: &Scheduler, from: Nanos, until: Nanos, mut ran: impl FnMut(TaskId, Nanos, Nanos)) {
    let mut now = from;
    while now < until {
        match scheduler.schedule(CPU, now).unwrap().next {
            Decision::Run(id, slice) => {
                assert!(slice > Nanos::ZERO);
                ran(id, now, slice);
                now += slice;
            }
            Decision::Idle => panic!("idle though hogs wait"),
        }
    }
    let _ = scheduler.schedule(CPU, now).unwrap();
}
