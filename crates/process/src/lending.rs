//! Priority inheritance: who waits for whom, and how urgent that makes those who are waited for.
//!
//! A thread waits for one other at a time. It lends that *holder* the more urgent of its own urgency and of what it is lent itself, so a
//! chain passes on the most urgent of all who wait along it:
//!
//! ```text
//! high (5) ──► middle (9) ──► low (20)        middle runs as 5, low runs as 5
//!              other (7) ──────┘              high leaves: middle runs as 9, low as 7
//! ```
//!
//! Who waits for a lock knows its owner. Who waits for bytes only guesses who will write them: a guess lends as well, but gives way to
//! what is known, since guesses in a ring are no deadlock.
//!
//! Here is the account; that a thread's task runs as it says is for the caller to see to, after the locks ([`Lending::carry_out`]).
//! An urgency is any number: less is more urgent.

use alloc::collections::{BTreeMap, BTreeSet};

use sync::{Rank, SpinLock};
use types::Tid;

/// Longest chain that is followed, as Linux's `max_lock_depth`.
const LONGEST: usize = 1024;
/// How often what a thread is lent is told anew because it changed while it was told. Who made the last change tells it as well.
const RETELL: usize = 8;

/// The waits of a system.
#[derive(Debug)]
pub struct Lending {
    waits: SpinLock<Waits>,
}

#[derive(Debug)]
struct Waits {
    by_waiter: BTreeMap<Tid, Wait>,
    /// Holder, what it is lent, by whom.
    loans: BTreeSet<(Tid, u32, Tid)>,
}

#[derive(Clone, Copy, Debug)]
struct Wait {
    holder: Tid,
    own: u32,
    lent: u32,
    surety: Surety,
}

/// How sure it is that a waiter waits for whom it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Surety {
    /// It is likely.
    Guessed,
    /// It has just seen so.
    Seen,
    /// It is so until it leaves or waits for another.
    Settled,
}

/// The waiter would wait for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ring {
    /// All the others of it are settled.
    Settled,
    /// Some are not: they may find that they need not wait.
    Unsettled,
}

/// Those for whom something may have changed, and whoever they wait for: to be told by [`Lending::carry_out`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Changed([Option<Tid>; 3]);

impl Lending {
    /// Nobody waits.
    pub const fn new() -> Self {
        let waits = Waits { by_waiter: BTreeMap::new(), loans: BTreeSet::new() };
        Self { waits: SpinLock::new(Rank::FUTEX_WAITER, waits) }
    }

    /// `waiter`, of urgency `own`, waits for `holder` from now on, and for nobody else. Not settled yet, if that is new.
    ///
    /// # Errors
    /// [`Ring`]; then it waits for nobody.
    pub fn wait(&self, waiter: Tid, own: u32, holder: Tid) -> (Changed, Result<(), Ring>) {
        let mut waits = self.waits.lock();
        let before = waits.by_waiter.get(&waiter).map(|wait| wait.holder);
        if before == Some(holder) {
            return (Changed::default(), Ok(()));
        }
        waits.leave(waiter);
        let mut wronged = None;
        match waits.ring(holder, waiter) {
            None => {}
            Some((_, Some(guesser))) => wronged = waits.leave(guesser),
            Some((ring, None)) => return (Changed([before, None, None]), Err(ring)),
        }
        waits.enter(waiter, own, holder, Surety::Seen);
        (Changed([before, wronged, Some(holder)]), Ok(()))
    }

    /// `waiter`, of urgency `own`, probably waits for `holder` from now on, and for nobody else. Nothing, if `holder` waits for it.
    pub fn guess(&self, waiter: Tid, own: u32, holder: Tid) -> Changed {
        let mut waits = self.waits.lock();
        let before = waits.leave(waiter);
        if waits.ring(holder, waiter).is_some() {
            return Changed([before, None, None]);
        }
        waits.enter(waiter, own, holder, Surety::Guessed);
        Changed([before, Some(holder), None])
    }

    /// The urgency of `waiter` itself is another now. `None` if it waits for nobody.
    pub fn revalue(&self, waiter: Tid, own: u32) -> Option<Changed> {
        let mut waits = self.waits.lock();
        let wait = waits.by_waiter.get_mut(&waiter)?;
        wait.own = own;
        let holder = wait.holder;
        waits.pass_on(waiter);
        Some(Changed([Some(holder), None, None]))
    }

    /// It is sure that `waiter` waits for whom it said, until it leaves or waits for another; whether it waits at all.
    pub fn settle(&self, waiter: Tid) -> bool {
        let mut waits = self.waits.lock();
        waits.by_waiter.get_mut(&waiter).map(|wait| wait.surety = Surety::Settled).is_some()
    }

    /// `waiter` waits no longer.
    pub fn leave(&self, waiter: Tid) -> Changed {
        Changed([self.waits.lock().leave(waiter), None, None])
    }

    /// What `tid` is lent.
    pub fn lent(&self, tid: Tid) -> Option<u32> {
        self.waits.lock().lent(tid)
    }

    /// Whom `tid` waits for.
    pub fn holder(&self, tid: Tid) -> Option<Tid> {
        self.waits.lock().by_waiter.get(&tid).map(|wait| wait.holder)
    }

    /// Calls `lend` with each thread for which something may have changed, and what it is lent. Not under a lock.
    pub fn carry_out(&self, changed: Changed, lend: impl Fn(Tid, Option<u32>)) {
        for first in changed.0.into_iter().flatten() {
            let mut next = Some(first);
            for _ in 0..LONGEST {
                let Some(tid) = next else { break };
                let mut told = self.lent(tid);
                for _ in 0..RETELL {
                    lend(tid, told);
                    let now = self.lent(tid);
                    if core::mem::replace(&mut told, now) == now {
                        break;
                    }
                }
                next = self.holder(tid).filter(|holder| *holder != first);
            }
        }
    }
}

impl Default for Lending {
    fn default() -> Self {
        Self::new()
    }
}

impl Waits {
    fn lent(&self, tid: Tid) -> Option<u32> {
        self.loans.range((tid, 0, Tid(0))..=(tid, u32::MAX, Tid(u32::MAX))).next().map(|(_, lent, _)| *lent)
    }

    fn urgency(&self, tid: Tid, own: u32) -> u32 {
        self.lent(tid).map_or(own, |lent| lent.min(own))
    }

    /// Whether waits lead from one to the other, and who of them guesses.
    fn ring(&self, from: Tid, to: Tid) -> Option<(Ring, Option<Tid>)> {
        let (mut at, mut ring, mut guesser) = (from, Ring::Settled, None);
        for _ in 0..LONGEST {
            if at == to {
                return Some((ring, guesser));
            }
            let wait = self.by_waiter.get(&at)?;
            match wait.surety {
                Surety::Guessed => guesser = Some(at),
                Surety::Seen => ring = Ring::Unsettled,
                Surety::Settled => {}
            }
            at = wait.holder;
        }
        None
    }

    fn enter(&mut self, waiter: Tid, own: u32, holder: Tid, surety: Surety) {
        let lent = self.urgency(waiter, own);
        self.by_waiter.insert(waiter, Wait { holder, own, lent, surety });
        self.loans.insert((holder, lent, waiter));
        self.pass_on(holder);
    }

    /// Takes a waiter out; whom it waited for.
    fn leave(&mut self, waiter: Tid) -> Option<Tid> {
        let Wait { holder, lent, .. } = self.by_waiter.remove(&waiter)?;
        self.loans.remove(&(holder, lent, waiter));
        self.pass_on(holder);
        Some(holder)
    }

    /// What `tid` is lent has changed: brings what it lends itself up to date, and so on.
    fn pass_on(&mut self, mut tid: Tid) {
        for _ in 0..LONGEST {
            let Some(&wait) = self.by_waiter.get(&tid) else { return };
            let Wait { holder, own, lent, .. } = wait;
            let now = self.urgency(tid, own);
            if now == lent {
                return;
            }
            self.by_waiter.insert(tid, Wait { lent: now, ..wait });
            self.loans.remove(&(holder, lent, tid));
            self.loans.insert((holder, now, tid));
            tid = holder;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::RefCell;

    const LOW: Tid = Tid(1);
    const MIDDLE: Tid = Tid(2);
    const HIGH: Tid = Tid(3);
    const OTHER: Tid = Tid(4);

    fn waits(lending: &Lending, waiter: Tid, own: u32, holder: Tid) -> Changed {
        let (changed, result) = lending.wait(waiter, own, holder);
        assert_eq!(result, Ok(()));
        changed
    }

    #[test]
    fn the_most_urgent_of_a_chain_counts_for_all_of_it() {
        let lending = Lending::new();
        let _ = waits(&lending, MIDDLE, 9, LOW);
        assert_eq!(lending.lent(LOW), Some(9));
        let _ = waits(&lending, OTHER, 7, LOW);
        let changed = waits(&lending, HIGH, 5, MIDDLE);
        assert_eq!((lending.lent(MIDDLE), lending.lent(LOW)), (Some(5), Some(5)));
        let told = RefCell::new(BTreeMap::new());
        lending.carry_out(changed, |tid, lent| _ = told.borrow_mut().insert(tid, lent));
        assert_eq!(told.into_inner(), BTreeMap::from([(MIDDLE, Some(5)), (LOW, Some(5))]), "the whole chain is told");
        assert_eq!(lending.leave(HIGH), Changed([Some(MIDDLE), None, None]));
        assert_eq!((lending.lent(MIDDLE), lending.lent(LOW)), (None, Some(7)));
        let _ = lending.leave(OTHER);
        assert_eq!(lending.lent(LOW), Some(9));
        let _ = lending.leave(MIDDLE);
        assert_eq!(lending.lent(LOW), None);
        assert_eq!(lending.leave(MIDDLE), Changed::default());
    }

    #[test]
    fn a_lock_that_changes_hands_takes_its_waiters_along() {
        let lending = Lending::new();
        let _ = waits(&lending, HIGH, 5, LOW);
        let _ = waits(&lending, OTHER, 7, LOW);
        let _ = lending.leave(OTHER);
        assert_eq!(waits(&lending, HIGH, 5, OTHER), Changed([Some(LOW), None, Some(OTHER)]));
        assert_eq!((lending.lent(LOW), lending.lent(OTHER)), (None, Some(5)));
    }

    #[test]
    fn a_ring_is_refused_and_leaves_nothing() {
        let lending = Lending::new();
        let _ = waits(&lending, MIDDLE, 9, LOW);
        let _ = waits(&lending, HIGH, 5, MIDDLE);
        assert_eq!(lending.wait(LOW, 20, HIGH), (Changed::default(), Err(Ring::Unsettled)));
        assert_eq!(lending.wait(LOW, 20, LOW).1, Err(Ring::Settled));
        assert_eq!((lending.lent(HIGH), lending.holder(LOW), lending.lent(LOW)), (None, None, Some(5)));
    }

    #[test]
    fn a_ring_is_settled_once_all_the_others_are() {
        let lending = Lending::new();
        assert!(!lending.settle(MIDDLE), "does not wait");
        let _ = waits(&lending, MIDDLE, 9, LOW);
        let _ = waits(&lending, HIGH, 5, MIDDLE);
        assert!(lending.settle(HIGH));
        assert_eq!(lending.wait(LOW, 20, HIGH).1, Err(Ring::Unsettled));
        assert!(lending.settle(MIDDLE));
        assert_eq!(lending.wait(LOW, 20, HIGH).1, Err(Ring::Settled));
        // A wait for somebody else is another wait.
        let _ = waits(&lending, HIGH, 5, OTHER);
        let _ = waits(&lending, HIGH, 5, MIDDLE);
        assert_eq!(lending.wait(LOW, 20, HIGH).1, Err(Ring::Unsettled));
    }

    fn told(lending: &Lending, changed: Changed) -> BTreeMap<Tid, Option<u32>> {
        let told = RefCell::new(BTreeMap::new());
        lending.carry_out(changed, |tid, lent| _ = told.borrow_mut().insert(tid, lent));
        told.into_inner()
    }

    #[test]
    fn guesses_give_way_to_what_is_known() {
        let lending = Lending::new();
        let changed = lending.guess(HIGH, 5, LOW);
        assert_eq!(told(&lending, changed), BTreeMap::from([(LOW, Some(5))]));
        let changed = lending.guess(LOW, 20, HIGH);
        assert_eq!((changed, lending.holder(LOW)), (Changed::default(), None), "two that wait for each other");
        // LOW, which HIGH takes for the writer, waits for OTHER, which waits for a lock that HIGH has: no deadlock.
        let _ = waits(&lending, LOW, 20, OTHER);
        let changed = waits(&lending, OTHER, 9, HIGH);
        assert_eq!((lending.holder(HIGH), lending.lent(HIGH)), (None, Some(9)));
        assert_eq!(told(&lending, changed), BTreeMap::from([(LOW, None), (OTHER, Some(20)), (HIGH, Some(9))]));
    }

    #[test]
    fn who_becomes_more_or_less_urgent_lends_that() {
        let lending = Lending::new();
        let _ = waits(&lending, MIDDLE, 9, LOW);
        let _ = waits(&lending, HIGH, 7, MIDDLE);
        let changed = lending.revalue(HIGH, 3).unwrap();
        assert_eq!(told(&lending, changed), BTreeMap::from([(MIDDLE, Some(3)), (LOW, Some(3))]));
        let changed = lending.revalue(HIGH, 12).unwrap();
        assert_eq!(told(&lending, changed), BTreeMap::from([(MIDDLE, Some(12)), (LOW, Some(9))]));
        assert_eq!(lending.revalue(LOW, 1), None, "waits for nobody");
    }

    #[test]
    fn what_changes_while_it_is_told_is_told_again() {
        let lending = Lending::new();
        let changed = waits(&lending, HIGH, 5, LOW);
        let told = RefCell::new(alloc::vec::Vec::new());
        lending.carry_out(changed, |_, lent| {
            told.borrow_mut().push(lent);
            let _ = lending.leave(HIGH);
        });
        assert_eq!(told.into_inner(), [Some(5), None]);
    }

    /// Against the definition: the least of one's own and of all from whom a chain of waits leads here.
    #[test]
    fn random_waits_agree_with_the_definition() {
        const THREADS: u32 = 12;
        let lending = Lending::new();
        let mut model: BTreeMap<Tid, (Tid, u32, bool)> = BTreeMap::new();
        let mut seed = 7_u64;
        let mut below = |n: u32| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as u32 % n
        };
        let (mut rings, mut cuts, mut loans) = (0, 0, 0);
        for _ in 0..100_000 {
            let waiter = Tid(below(THREADS));
            let chain = |model: &BTreeMap<Tid, (Tid, u32, bool)>, from| {
                let next = |at: &Tid| model.get(at).map(|wait| wait.0);
                core::iter::successors(Some(from), next).collect::<alloc::vec::Vec<_>>()
            };
            let (action, holder, own) = (below(5), Tid(below(THREADS)), below(30));
            match action {
                0 => {
                    let _ = lending.leave(waiter);
                    model.remove(&waiter);
                }
                1 => {
                    let waits = model.get_mut(&waiter).map(|wait| wait.1 = own).is_some();
                    assert_eq!(lending.revalue(waiter, own).is_some(), waits);
                }
                2 => {
                    model.remove(&waiter);
                    let _ = lending.guess(waiter, own, holder);
                    if !chain(&model, holder).contains(&waiter) {
                        model.insert(waiter, (holder, own, true));
                    }
                }
                _ if model.get(&waiter).is_some_and(|wait| wait.0 == holder) => {
                    let _ = waits(&lending, waiter, own, holder);
                }
                _ => {
                    model.remove(&waiter);
                    let ring = chain(&model, holder);
                    let guesser = ring.iter().rfind(|at| model.get(at).is_some_and(|wait| wait.2));
                    if !ring.contains(&waiter) {
                        let _ = waits(&lending, waiter, own, holder);
                        model.insert(waiter, (holder, own, false));
                    } else if let Some(guesser) = guesser {
                        let _ = waits(&lending, waiter, own, holder);
                        model.remove(guesser);
                        model.insert(waiter, (holder, own, false));
                        cuts += 1;
                    } else {
                        assert!(lending.wait(waiter, own, holder).1.is_err());
                        rings += 1;
                    }
                }
            }
            for tid in (0..THREADS).map(Tid) {
                let reaches = |from: &Tid| {
                    core::iter::successors(model.get(from).map(|wait| wait.0), |at| model.get(at).map(|wait| wait.0))
                        .any(|at| at == tid)
                };
                let expected = model.iter().filter(|(from, _)| reaches(from)).map(|(_, wait)| wait.1).min();
                assert_eq!(lending.lent(tid), expected);
                loans += u32::from(expected.is_some());
            }
        }
        assert!(rings > 500 && cuts > 500 && loans > 100_000, "{rings} {cuts} {loans}");
    }
}
