//! The races that `state.rs` names, in every interleaving and under the weak memory model: `RUSTFLAGS="--cfg loom"`.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use loom::thread;

use crate::state::{Claim, Phase, State};

/// One run of a task that waits for `condition`: true if it saw it.
fn run(state: &State, condition: &AtomicBool) -> bool {
    state.start();
    condition.load(Relaxed)
}

/// A thread that makes `condition` true and wakes; whether it got the task.
fn waker(state: &Arc<State>, condition: &Arc<AtomicBool>) -> thread::JoinHandle<Claim> {
    let (state, condition) = (state.clone(), condition.clone());
    thread::spawn(move || {
        // Relaxed on purpose: the state alone brings the news.
        condition.store(true, Relaxed);
        state.wake()
    })
}

/// Whether the waker set the condition before a wake-up in any state: the task sees it, in this run or another.
#[test]
fn no_wake_up_is_lost() {
    loom::model(|| {
        let (state, condition) = (Arc::new(State::queued()), Arc::new(AtomicBool::new(false)));
        let waker = waker(&state, &condition);
        let mut seen = run(&state, &condition);
        if !seen && !state.block() {
            seen = run(&state, &condition);
            assert!(seen, "it was queued again because of the wake-up");
        }
        let claim = waker.join().unwrap();
        if !seen {
            assert_eq!((claim, state.phase()), (Claim::Owned, Phase::Queued), "the waker found it blocked");
            assert!(run(&state, &condition));
        }
    });
}

/// A task that gives way looks again whatever a waker does meanwhile.
#[test]
fn a_wake_up_that_races_with_a_yield_is_seen_by_the_next_run() {
    loom::model(|| {
        let (state, condition) = (Arc::new(State::queued()), Arc::new(AtomicBool::new(false)));
        let waker = waker(&state, &condition);
        let first = run(&state, &condition);
        state.requeue();
        let second = run(&state, &condition);
        let claim = waker.join().unwrap();
        assert_ne!(claim, Claim::Owned, "it never was blocked");
        assert!(first || second || state.phase() == Phase::Notified, "it will look again");
    });
}

/// Of two wakers of a blocked task one queues it.
#[test]
fn one_of_two_wakers_queues_the_task() {
    loom::model(|| {
        let state = Arc::new(State::queued());
        state.start();
        assert!(state.block());
        let wakers = [0; 2].map(|_| {
            let state = state.clone();
            thread::spawn(move || state.wake())
        });
        let claims = wakers.map(|waker| waker.join().unwrap());
        assert_eq!(claims.iter().filter(|claim| **claim == Claim::Owned).count(), 1);
        assert_eq!(state.phase(), Phase::Queued);
    });
}

/// Two CPUs run a task one after the other, never both: the second gets it by waking it. So what the first wrote down the
/// second sees.
#[test]
fn accounts_pass_from_owner_to_owner() {
    loom::model(|| {
        let (state, account, busy) =
            (Arc::new(State::queued()), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        state.start();
        let other = {
            let (state, account, busy) = (state.clone(), account.clone(), busy.clone());
            thread::spawn(move || {
                if state.wake() == Claim::Owned {
                    state.start();
                    assert!(!busy.load(Relaxed), "on two CPUs");
                    assert_eq!(account.load(Relaxed), 1);
                }
            })
        };
        busy.store(true, Relaxed);
        account.store(1, Relaxed);
        busy.store(false, Relaxed);
        state.block();
        other.join().unwrap();
    });
}

/// A wake-up that comes when a task ends, or later, owns nothing.
#[test]
fn a_late_wake_up_finds_the_end() {
    loom::model(|| {
        let state = Arc::new(State::queued());
        state.start();
        let waker = {
            let state = state.clone();
            thread::spawn(move || state.wake())
        };
        state.end();
        assert_ne!(waker.join().unwrap(), Claim::Owned);
        assert_eq!((state.phase(), state.wake()), (Phase::Ended, Claim::Ended));
    });
}
