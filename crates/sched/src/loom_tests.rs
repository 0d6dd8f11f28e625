//! The races that `state.rs` names, in every interleaving and under the weak memory model: `RUSTFLAGS="--cfg loom"`.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use loom::thread;
use types::CpuId;

use crate::state::{Blocking, Claim, Phase, StateWord};

const HERE: CpuId = CpuId(0);
const THERE: CpuId = CpuId(1);

/// A task in the queue of `HERE`.
fn queued() -> (Arc<StateWord>, u32) {
    let word = StateWord::new();
    let generation = word.create().unwrap();
    assert_eq!(word.wake(generation), Claim::Owned);
    word.insert(HERE).unwrap();
    (Arc::new(word), generation)
}

/// One run of a task that waits for `condition`: true if it saw it.
fn run(word: &StateWord, condition: &AtomicBool) -> bool {
    word.start(HERE).unwrap();
    condition.load(Relaxed)
}

/// Whether the waker set the condition before a wake-up in any state: the task sees it, in this run or another.
#[test]
fn no_wake_up_is_lost() {
    loom::model(|| {
        let (word, generation) = queued();
        let condition = Arc::new(AtomicBool::new(false));
        let waker = {
            let (word, condition) = (word.clone(), condition.clone());
            thread::spawn(move || {
                // Relaxed on purpose: the state word alone brings the news.
                condition.store(true, Relaxed);
                if word.wake(generation) == Claim::Owned {
                    word.insert(HERE).unwrap();
                }
            })
        };
        let mut seen = run(&word, &condition);
        if !seen && word.block(HERE).unwrap() == Blocking::Woken {
            word.insert(HERE).unwrap();
            seen = run(&word, &condition);
            assert!(seen, "it was queued again because of the wake-up");
        }
        waker.join().unwrap();
        if !seen {
            assert_eq!(word.load().1, Phase::Queued(HERE), "the waker found it blocked");
            assert!(run(&word, &condition));
        }
    });
}

/// A task that gives way looks again whatever a waker does meanwhile.
#[test]
fn a_wake_up_that_races_with_a_yield_is_seen_by_the_next_run() {
    loom::model(|| {
        let (word, generation) = queued();
        let condition = Arc::new(AtomicBool::new(false));
        word.start(HERE).unwrap();
        let waker = {
            let (word, condition) = (word.clone(), condition.clone());
            thread::spawn(move || {
                condition.store(true, Relaxed);
                let claim = word.wake(generation);
                assert!(matches!(claim, Claim::Running(HERE) | Claim::Pending), "nobody else queues it");
            })
        };
        word.requeue(HERE).unwrap();
        let seen = run(&word, &condition);
        waker.join().unwrap();
        // Found waiting, or found running before the yield: the run that followed has the news. Found running after it: it will look again.
        assert!(seen || word.load().1 == Phase::Notified(HERE));
    });
}

/// Two wakers and a task that blocks: it is queued once.
#[test]
fn one_of_two_wakers_queues_the_task() {
    loom::model(|| {
        let (word, generation) = queued();
        word.start(HERE).unwrap();
        let owners = Arc::new(AtomicUsize::new(0));
        let wakers = [0, 1].map(|_| {
            let (word, owners) = (word.clone(), owners.clone());
            thread::spawn(move || {
                if word.wake(generation) == Claim::Owned {
                    owners.fetch_add(1, Relaxed);
                    word.insert(THERE).unwrap();
                }
            })
        });
        let woken = word.block(HERE).unwrap() == Blocking::Woken;
        if woken {
            owners.fetch_add(1, Relaxed);
            word.insert(HERE).unwrap();
        }
        for waker in wakers {
            waker.join().unwrap();
        }
        assert_eq!(owners.load(Relaxed), 1);
        assert!(matches!(word.load().1, Phase::Queued(_)));
    });
}

/// A thief and the CPU itself want the task: one gets it.
#[test]
fn steal_and_start_exclude_each_other() {
    loom::model(|| {
        let (word, _) = queued();
        let thief = {
            let word = word.clone();
            thread::spawn(move || {
                let stolen = word.take(HERE).is_ok();
                if stolen {
                    word.insert(THERE).unwrap();
                    word.start(THERE).unwrap();
                }
                stolen
            })
        };
        let started = word.start(HERE).is_ok();
        let stolen = thief.join().unwrap();
        assert!(started != stolen);
        assert_eq!(word.load().1, Phase::Running(if started { HERE } else { THERE }));
    });
}

/// A wake-up races with the end: it finds the task or nothing, never the slot's next task.
#[test]
fn a_late_wake_up_does_not_reach_the_next_task_of_the_slot() {
    loom::model(|| {
        let (word, generation) = queued();
        word.start(HERE).unwrap();
        let waker = {
            let word = word.clone();
            thread::spawn(move || word.wake(generation))
        };
        word.finish(HERE).unwrap();
        let next = word.create().unwrap();
        let claim = waker.join().unwrap();
        assert!(matches!(claim, Claim::Stale | Claim::Running(HERE)));
        assert_eq!(word.load(), (next, Phase::Blocked));
    });
}

/// What the blocking CPU wrote down, the one that runs the task next sees, though all of it is `Relaxed`.
#[test]
fn accounts_pass_from_owner_to_owner() {
    loom::model(|| {
        let (word, generation) = queued();
        let account = Arc::new(AtomicUsize::new(0));
        word.start(HERE).unwrap();
        let waker = {
            let (word, account) = (word.clone(), account.clone());
            thread::spawn(move || {
                if word.wake(generation) == Claim::Owned {
                    assert_eq!(account.load(Relaxed), 7);
                }
            })
        };
        account.store(7, Relaxed);
        let _ = word.block(HERE).unwrap();
        waker.join().unwrap();
    });
}

/// A change of policy races with queueing: either the queue sees it, or the changer sees the queue.
#[test]
fn a_change_of_policy_is_not_missed() {
    loom::model(|| {
        let word = StateWord::new();
        let generation = word.create().unwrap();
        assert_eq!(word.wake(generation), Claim::Owned);
        let (word, policy) = (Arc::new(word), Arc::new(AtomicUsize::new(0)));
        let changer = {
            let (word, policy) = (word.clone(), policy.clone());
            thread::spawn(move || {
                policy.store(1, Relaxed);
                word.publish(generation).unwrap()
            })
        };
        word.insert(HERE).unwrap();
        let queued_with = policy.load(Relaxed);
        let found = changer.join().unwrap();
        assert!(queued_with == 1 || found == Phase::Queued(HERE));
    });
}
