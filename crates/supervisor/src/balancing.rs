//! Which instance of a service gets the next connection, asked and told while connections come and go.
//!
//! The supervisor publishes and takes back under its own lock; sockets ask under theirs. What only the supervisor can act
//! upon (a draining instance has nothing left, instances are passed over) is noted here, and it looks when its task is woken.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

use services::{Balancer, Caller, Identity, Scaling, Work};
use sync::{Rank, SpinLock};
use types::Nanos;

/// The instances of one service, as those see them who hand out connections.
pub struct Balancing {
    state: SpinLock<State>,
    /// Something has happened in any of them that the supervisor must look at.
    news: Arc<AtomicBool>,
}

struct State {
    scaling: Scaling,
    balancer: Balancer,
    /// Those that get nothing new, with what they still have; those with nothing left stay until that is told.
    draining: Vec<(Identity, u32)>,
    /// How many were said to be passed over.
    ejected: usize,
}

impl fmt::Debug for Balancing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("Balancing").field("balancer", &state.balancer).field("draining", &state.draining).finish()
    }
}

/// What the supervisor is told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct BalanceNews {
    /// Draining instances with nothing left.
    pub(crate) drained: Vec<Identity>,
    /// How many are passed over, if that has changed.
    pub(crate) ejected: Option<u16>,
}

impl Balancing {
    pub(crate) fn new(scaling: Scaling, seed: u64, news: Arc<AtomicBool>) -> Self {
        let balancer = Balancer::new(scaling.balance, scaling.slow_start, scaling.count.into(), seed);
        let state = State { scaling, balancer, draining: Vec::new(), ejected: 0 };
        Self { state: SpinLock::new(Rank::BALANCER, state), news }
    }

    /// The definition may have changed; with another policy counting begins anew for those that are published.
    pub(crate) fn adapt(&self, now: Nanos, scaling: Scaling, seed: u64) {
        let old = {
            let mut state = self.state.lock();
            let same = |a: &Scaling, b: &Scaling| a.balance == b.balance && a.slow_start == b.slow_start;
            if same(&state.scaling, &scaling) {
                None
            } else {
                let mut balancer = Balancer::new(scaling.balance, scaling.slow_start, scaling.count.into(), seed);
                for (identity, load) in state.balancer.loads() {
                    balancer.make_room_for_one();
                    let _ = balancer.publish(now, identity);
                    (0..load).for_each(|_| balancer.take(identity));
                }
                state.scaling = scaling;
                Some(core::mem::replace(&mut state.balancer, balancer))
            }
        };
        drop(old);
    }

    pub(crate) fn publish(&self, now: Nanos, identity: Identity) {
        let mut state = self.state.lock();
        state.draining.retain(|(known, _)| *known != identity);
        state.balancer.make_room_for_one();
        // Without room it gets no work, and is not lost.
        let _ = state.balancer.publish(now, identity);
    }

    /// From now on it gets nothing new.
    pub(crate) fn unpublish(&self, identity: Identity) {
        let mut state = self.state.lock();
        if state.balancer.has(identity) {
            let left = state.balancer.unpublish(identity);
            // Without room for it the drain lasts its full time.
            if state.draining.try_reserve(1).is_ok() {
                state.draining.push((identity, left));
            }
            if left == 0 {
                self.news.store(true, Ordering::Release);
            }
        }
    }

    /// It is gone: nothing of it is counted any more.
    pub(crate) fn forget(&self, identity: Identity) {
        let mut state = self.state.lock();
        state.balancer.unpublish(identity);
        state.draining.retain(|(known, _)| *known != identity);
    }

    /// Connections that an instance has, accepted or on their way there, and whether it is passed over.
    pub(crate) fn look(&self, now: Nanos, identity: Identity) -> (u32, bool) {
        let state = self.state.lock();
        let drains = || state.draining.iter().find(|(known, _)| *known == identity).map(|(_, left)| *left);
        let has = state.balancer.in_flight(identity).or_else(drains).unwrap_or(0);
        (has, state.balancer.is_ejected(now, identity))
    }

    /// What the supervisor has not been told yet. Drained instances are told until they are forgotten.
    pub(crate) fn take_news(&self, now: Nanos) -> BalanceNews {
        let mut state = self.state.lock();
        let mut drained = Vec::new();
        if drained.try_reserve_exact(state.draining.len()).is_ok() {
            drained.extend(state.draining.iter().filter(|(_, left)| *left == 0).map(|(identity, _)| *identity));
        }
        let ejected = state.balancer.ejected(now);
        let changed = core::mem::replace(&mut state.ejected, ejected) != ejected;
        BalanceNews { drained, ejected: changed.then(|| u16::try_from(ejected).unwrap_or(u16::MAX)) }
    }

    /// When one that is passed over is so no longer.
    pub(crate) fn next_return(&self, now: Nanos) -> Option<Nanos> {
        self.state.lock().balancer.next_return(now)
    }

    /// Chooses one of those that are `there`, and counts the work as in flight there.
    pub fn choose(&self, now: Nanos, caller: Caller, there: &dyn Fn(Identity) -> bool) -> Option<Identity> {
        self.state.lock().balancer.pick_among(now, caller, there)
    }

    /// Whether it gets work.
    pub fn takes_work(&self, identity: Identity) -> bool {
        self.state.lock().balancer.has(identity)
    }

    /// It takes work for which it was not chosen.
    pub fn took(&self, identity: Identity) {
        let mut state = self.state.lock();
        match state.draining.iter_mut().find(|(known, _)| *known == identity) {
            Some((_, left)) => *left += 1,
            None => state.balancer.take(identity),
        }
    }

    /// Whether work that is queued behind `busy`, with `waiting` others, is better done by `idle`: where callers may be
    /// moved at all, and only if that evens things out.
    pub fn prefers(&self, idle: Identity, busy: Identity, waiting: usize) -> bool {
        use services::Balance::{Hash, Least, LocalCpu, RoundRobin, TwoChoices};
        let state = self.state.lock();
        let movable = match state.scaling.balance {
            Least | TwoChoices | LocalCpu => true,
            RoundRobin | Hash => false,
        };
        let has = |identity| state.balancer.in_flight(identity);
        let waiting = u32::try_from(waiting).unwrap_or(u32::MAX);
        movable && has(idle).is_some_and(|idle| has(busy).is_none_or(|busy| idle < busy.saturating_sub(waiting)))
    }

    /// Whether the supervisor has something to do for what has happened in any service.
    pub fn has_news(&self) -> bool {
        self.news.load(Ordering::Acquire)
    }

    /// A piece of work has ended there.
    pub fn ended(&self, now: Nanos, identity: Identity, how: Work) {
        let mut state = self.state.lock();
        if let Some((_, left)) = state.draining.iter_mut().find(|(known, _)| *known == identity) {
            *left = left.saturating_sub(1);
            if *left > 0 {
                return;
            }
        } else {
            state.balancer.finish(now, identity, how);
            if state.balancer.ejected(now) == state.ejected {
                return;
            }
        }
        drop(state);
        self.news.store(true, Ordering::Release);
    }

    /// It waits for work on that CPU.
    pub fn waits_on(&self, identity: Identity, cpu: u16) {
        let mut state = self.state.lock();
        if state.scaling.balance == services::Balance::LocalCpu {
            state.balancer.waits_on(identity, Some(cpu));
        }
    }
}

#[cfg(test)]
mod tests {
    use services::{Balance, Generation, InstanceId};

    use super::*;

    fn identity(at: u16) -> Identity {
        Identity { instance: InstanceId(at), generation: Generation(1) }
    }

    fn balancing(balance: Balance) -> (Balancing, Arc<AtomicBool>) {
        let news = Arc::new(AtomicBool::new(false));
        let scaling = Scaling { count: 4, balance, slow_start: Nanos::ZERO };
        let made = Balancing::new(scaling, 7, news.clone());
        (0..4).for_each(|at| made.publish(Nanos::ZERO, identity(at)));
        (made, news)
    }

    #[test]
    fn a_draining_instance_gets_nothing_new_and_is_told_of_when_it_has_nothing_left() {
        let (all, news) = balancing(Balance::Least);
        let everybody = |_| true;
        for _ in 0..8 {
            all.choose(Nanos(1), Caller::default(), &everybody).unwrap();
        }
        assert_eq!(all.look(Nanos(1), identity(2)), (2, false));
        all.unpublish(identity(2));
        assert_eq!(all.look(Nanos(1), identity(2)), (2, false));
        assert!(!news.swap(false, Ordering::Relaxed) && !all.takes_work(identity(2)));
        for _ in 0..30 {
            assert_ne!(all.choose(Nanos(1), Caller::default(), &everybody), Some(identity(2)));
        }
        all.ended(Nanos(2), identity(2), Work::Done);
        assert!(!all.has_news());
        assert_eq!(all.take_news(Nanos(2)), BalanceNews::default());
        all.ended(Nanos(2), identity(2), Work::Done);
        assert!(all.has_news());
        assert_eq!(all.take_news(Nanos(2)).drained, [identity(2)]);
        all.forget(identity(2));
        assert_eq!(all.take_news(Nanos(2)), BalanceNews::default());
    }

    #[test]
    fn an_idle_instance_is_preferred_only_if_that_evens_things_out() {
        let (all, _) = balancing(Balance::Least);
        all.took(identity(0));
        all.took(identity(0));
        // One of both is only queued.
        assert!(all.prefers(identity(1), identity(0), 1));
        assert!(!all.prefers(identity(1), identity(0), 2), "it can take it itself");
        all.took(identity(1));
        assert!(!all.prefers(identity(1), identity(0), 1));
        let (all, _) = balancing(Balance::Hash);
        all.took(identity(0));
        assert!(!all.prefers(identity(1), identity(0), 0), "callers stay with whom they belong to");
    }

    #[test]
    fn ejection_is_told_once_each_way() {
        let (all, news) = balancing(Balance::RoundRobin);
        for _ in 0..5 {
            all.ended(Nanos(1), identity(3), Work::Failed);
        }
        assert!(news.load(Ordering::Relaxed));
        assert_eq!(all.take_news(Nanos(1)).ejected, Some(1));
        assert_eq!(all.take_news(Nanos(1)).ejected, None);
        assert_eq!((all.look(Nanos(1), identity(3)).1, all.look(Nanos(1), identity(0)).1), (true, false));
        let back = all.next_return(Nanos(1)).unwrap();
        assert_eq!(all.take_news(back).ejected, Some(0));
        all.adapt(back, Scaling { count: 4, balance: Balance::Least, ..Scaling::default() }, 1);
        assert!((0..4).all(|at| all.takes_work(identity(at))));
    }
}
