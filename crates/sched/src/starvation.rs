//! The bound on starvation: constants, and the argument.
//!
//! Let `n` tasks wait on a CPU. One that has waited for [`patience`]`(n)`, at most [`PATIENCE_MAX`], is *overdue*. Ticks look for
//! such; while there is one, every second choice is a *rescue*: the one that waits longest runs, whatever its class, and no
//! wake-up takes the CPU from it. All that is one *episode*. A run in an episode is as long as a rescue, and the executor is told
//! to tick at its end.
//!
//! Who waits longest is found among the first of each queue: within a queue (a bucket of a level) it is first come first served. The
//! exception is a preempted task, which goes on first there; it counts as old as those behind it, and after a rescue it goes behind them.
//!
//! Why no task waits longer than [`starvation_bound`]`(n)`:
//!
//! 1. An episode begins at the first tick after somebody has become overdue, so at most [`TICK`] late.
//! 2. Before a task X that became overdue only those `k <= n` are rescued that are older, each once: who was rescued is the youngest
//!    after that. Within an episode the length of a rescue never grows, and at its first choice with X waiting it is at most
//!    `max(RESCUE_BUDGET / n, RESCUE_MIN)`.
//! 3. Each costs one rescue and one regular run: `2 k · max(RESCUE_BUDGET / n, RESCUE_MIN)`, at most
//!    `2 · max(RESCUE_BUDGET, n · RESCUE_MIN)`.
//!
//! It holds for any mix of classes, weights, wake-ups and boosts, for a task that stays on one CPU, given that the executor
//! ticks in time. What a task runs past that (a long system call) comes on top, once per choice. A
//! task leaves a CPU only to run at once (stealing), to a shorter queue, at most once in 64 ms (balancing), or when its
//! affinity is changed.
//!
//! Shares of CPU are thus guaranteed only to the extent of one rescue per patience: enough to let go of a lock, to notice
//! a signal, to end. Tests: `tests/starvation.rs`.

use types::Nanos;

/// Longest time between two ticks of a CPU that runs something: as long as Linux's at 250 Hz; a switch costs less than a thousandth.
pub const TICK: Nanos = Nanos::from_millis(4);

/// Patience per waiting task: above the longest slice of a fair class, so that a level's ordinary round is not starvation.
const PATIENCE_EACH: Nanos = Nanos::from_millis(20);
/// Least patience: a short queue behind someone urgent waits for this long.
pub const PATIENCE_MIN: Nanos = Nanos::from_millis(50);
/// Most patience: what a person still takes for slow and not for hung.
pub const PATIENCE_MAX: Nanos = Nanos::from_millis(500);
/// What one round of rescues of all waiting tasks may cost.
pub(crate) const RESCUE_BUDGET: Nanos = Nanos::from_millis(100);
/// Shortest rescue: ten times a switch.
pub(crate) const RESCUE_MIN: Nanos = Nanos::from_micros(20);
/// Longest rescue: what it may add to the delay of an urgent wake-up.
pub(crate) const RESCUE_MAX: Nanos = Nanos::from_micros(500);

/// N for as many as 5,000 tasks waiting on one CPU: each gets the CPU within 750 ms, however loaded the machine is. For
/// more, see [`starvation_bound`].
pub const STARVATION_BOUND: Nanos = Nanos::from_millis(750);

/// How long a task may wait, with at most `waiting` tasks waiting on its CPU at any time meanwhile: 0.7 s up to 5,000,
/// 3 s for 60,000.
pub const fn starvation_bound(waiting: u32) -> Nanos {
    let each = waiting as u64 * RESCUE_MIN.0;
    let rescues = if each > RESCUE_BUDGET.0 { each } else { RESCUE_BUDGET.0 };
    // The last terms: the tick, and the runs under way.
    Nanos(PATIENCE_MAX.0 + 2 * rescues + TICK.0 + 2 * RESCUE_MAX.0)
}

/// How long the oldest of `waiting` tasks waits before it is overdue.
pub(crate) fn patience(waiting: u32) -> Nanos {
    Nanos((PATIENCE_EACH.0 * u64::from(waiting)).clamp(PATIENCE_MIN.0, PATIENCE_MAX.0))
}

/// Length of a rescue with `waiting` tasks in the list.
pub(crate) fn rescue_slice(waiting: u32) -> Nanos {
    Nanos((RESCUE_BUDGET.0 / u64::from(waiting.max(1))).clamp(RESCUE_MIN.0, RESCUE_MAX.0))
}

const _: () = assert!(starvation_bound(5_000).0 <= STARVATION_BOUND.0);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_grows_with_the_crowd_and_rescues_shrink() {
        assert_eq!([1, 2, 3, 25, 60_000].map(|waiting| patience(waiting).0 / 1_000_000), [50, 50, 60, 500, 500]);
        assert_eq!([0, 200, 1_000, 60_000].map(|waiting| rescue_slice(waiting).0 / 1_000), [500, 500, 100, 20]);
        assert_eq!(starvation_bound(60_000).0 / 1_000_000, 2_905);
    }
}
