//! Which instance gets the next piece of work.
//!
//! The kernel has exact counts of what is in flight, so the default is the true minimum, not a sample of two. One balancer
//! per service; [`crate::Action::Publish`] and [`crate::Action::Unpublish`] keep it up to date.

use alloc::vec::Vec;
use types::Nanos;

use crate::definition::Balance;
use crate::error::{Capacity, Result, ServiceError};
use crate::id::Identity;

/// Failures in a row after which an instance is passed over.
const EJECT_AFTER: u8 = 5;
/// How long, times the number of ejections so far.
const EJECT_FOR: Nanos = Nanos::from_secs(30);
/// But never longer.
const EJECT_MOST: Nanos = Nanos::from_secs(300);
/// Pieces of work that an instance makes up for when it got less than others. Equals are behind by a few when all share one CPU;
/// one that is behind by more is slow, and would be given work that others could do at once.
const ARREARS: u64 = 4;
/// A new instance begins with this share, in thousandths.
const FIRST_SHARE: u64 = 100;

/// Where a piece of work comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The same for the same caller.
    pub hash: u64,
    /// The CPU on which it asks.
    pub cpu: u16,
}

#[derive(Clone, Debug)]
struct Member {
    identity: Identity,
    /// Where it waits for work.
    cpu: Option<u16>,
    in_flight: u32,
    since: Nanos,
    failures: u8,
    ejections: u8,
    ejected_until: Nanos,
    /// The pick of the balancer that chose it last.
    chosen: u64,
    /// Pieces of work that it got, counted from what the others had when it came.
    given: u64,
}

impl Member {
    /// One more piece of work, the balancer's `pick`th; the others have got `most` at most. What it has got now.
    fn give(&mut self, pick: u64, most: u64) -> u64 {
        self.in_flight = self.in_flight.saturating_add(1);
        self.chosen = pick;
        self.given = self.given.max(most.saturating_sub(ARREARS)) + 1;
        self.given
    }
}

/// How a piece of work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// As it should.
    Done,
    /// By the instance's fault (reset before the first byte, too long in the queue).
    Failed,
    /// Not at all: another one does it, and that one gets the next for it.
    Moved,
    /// Not in time: another one does it.
    Late,
}

/// What a choice is made from.
#[derive(Clone, Copy)]
struct Pick<'a> {
    now: Nanos,
    there: &'a dyn Fn(Identity) -> bool,
    /// Faulty ones are used as well.
    panic: bool,
}

/// The published instances of one service.
#[derive(Clone, Debug, Default)]
pub struct Balancer {
    policy: Balance,
    slow_start: Nanos,
    members: Vec<Member>,
    turn: usize,
    picks: u64,
    /// What the one got that got most.
    most: u64,
    random: u64,
}

impl Balancer {
    /// No instance yet; room for `capacity`.
    pub fn new(policy: Balance, slow_start: Nanos, capacity: usize, seed: u64) -> Self {
        Self { policy, slow_start, members: Vec::with_capacity(capacity), turn: 0, picks: 0, most: 0, random: seed | 1 }
    }

    /// How it chooses.
    pub const fn policy(&self) -> Balance {
        self.policy
    }

    /// Makes room for so many instances, if memory allows.
    pub fn make_room(&mut self, count: u16) {
        let more = usize::from(count).saturating_sub(self.members.len());
        // Without room an instance gets no work, and is not lost.
        let _ = self.members.try_reserve(more);
    }

    /// Makes room for one more instance, if memory allows.
    pub fn make_room_for_one(&mut self) {
        let _ = self.members.try_reserve(1);
    }

    /// Takes in an instance.
    ///
    /// # Errors
    /// `AlreadyExists`, or `CapacityExhausted` if there is no room.
    pub fn publish(&mut self, now: Nanos, identity: Identity) -> Result<()> {
        if self.members.iter().any(|member| member.identity == identity) {
            return Err(ServiceError::AlreadyExists);
        }
        if self.members.len() == self.members.capacity() {
            return Err(ServiceError::CapacityExhausted(Capacity::Instances));
        }
        self.members.push(Member {
            identity,
            cpu: None,
            in_flight: 0,
            since: now,
            failures: 0,
            ejections: 0,
            ejected_until: Nanos::ZERO,
            chosen: 0,
            given: self.most,
        });
        Ok(())
    }

    /// Lets go of an instance; gives what is still in flight there.
    pub fn unpublish(&mut self, identity: Identity) -> u32 {
        let place = self.members.iter().position(|member| member.identity == identity);
        place.map_or(0, |place| self.members.swap_remove(place).in_flight)
    }

    /// An instance waits for work on this CPU now, or on none.
    pub fn waits_on(&mut self, identity: Identity, cpu: Option<u16>) {
        if let Some(member) = self.members.iter_mut().find(|member| member.identity == identity) {
            member.cpu = cpu;
        }
    }

    /// Whether an instance is published.
    pub fn has(&self, identity: Identity) -> bool {
        self.members.iter().any(|member| member.identity == identity)
    }

    /// What is in flight at an instance, if it is published.
    pub fn in_flight(&self, identity: Identity) -> Option<u32> {
        self.members.iter().find(|member| member.identity == identity).map(|member| member.in_flight)
    }

    /// An instance takes a piece of work for which it was not picked: counts it as in flight there.
    pub fn take(&mut self, identity: Identity) {
        self.picks += 1;
        if let Some(member) = self.members.iter_mut().find(|member| member.identity == identity) {
            self.most = self.most.max(member.give(self.picks, self.most));
        }
    }

    /// When the first of those that are passed over is so no longer.
    pub fn next_return(&self, now: Nanos) -> Option<Nanos> {
        self.members.iter().map(|member| member.ejected_until).filter(|until| *until > now).min()
    }

    /// Whether an instance is passed over.
    pub fn is_ejected(&self, now: Nanos, identity: Identity) -> bool {
        self.members.iter().any(|member| member.identity == identity && member.ejected_until > now)
    }

    /// Instances that are passed over.
    pub fn ejected(&self, now: Nanos) -> usize {
        self.members.iter().filter(|member| member.ejected_until > now).count()
    }

    /// Chooses an instance for a caller, and counts the work as in flight there. O(instances).
    ///
    /// When less than half are sound, all are used: the fault is not theirs.
    pub fn pick(&mut self, now: Nanos, caller: Caller) -> Option<Identity> {
        self.pick_among(now, caller, &|_| true)
    }

    /// As [`Balancer::pick`], of those that are `there`.
    pub fn pick_among(&mut self, now: Nanos, caller: Caller, there: &dyn Fn(Identity) -> bool) -> Option<Identity> {
        let panic = self.ejected(now) * 2 > self.members.len();
        let sound = Pick { now, there, panic };
        // If those that are left out for their faults are all that is there, they are used.
        let place = self.place(caller, sound).or_else(|| self.place(caller, Pick { panic: true, ..sound }))?;
        self.picks += 1;
        let member = self.members.get_mut(place)?;
        self.most = self.most.max(member.give(self.picks, self.most));
        Some(member.identity)
    }

    fn place(&mut self, caller: Caller, pick: Pick<'_>) -> Option<usize> {
        match self.policy {
            Balance::Least => self.least(pick, None),
            Balance::LocalCpu => self.least(pick, Some(caller.cpu)).or_else(|| self.least(pick, None)),
            Balance::TwoChoices => {
                let (a, b) = (self.sound(pick)?, self.sound(pick)?);
                Some(if self.cost(a, pick.now) <= self.cost(b, pick.now) { a } else { b })
            }
            Balance::RoundRobin => {
                let n = self.members.len();
                let place = (0..n).map(|step| (self.turn + step) % n).find(|&place| self.usable(place, pick))?;
                self.turn = place + 1;
                Some(place)
            }
            // Rendezvous hashing (Thaler and Ravishankar 1998): only the callers of a lost instance move.
            Balance::Hash => (0..self.members.len()).filter(|&place| self.usable(place, pick)).max_by_key(|&place| {
                self.members.get(place).map(|member| mix(caller.hash, member.identity.instance.0.into()))
            }),
        }
    }

    /// A piece of work has ended.
    pub fn finish(&mut self, now: Nanos, identity: Identity, work: Work) {
        let most = (self.members.len() / 10).max(1);
        let ejected = self.ejected(now);
        let all = self.members.len();
        let Some(member) = self.members.iter_mut().find(|member| member.identity == identity) else { return };
        member.in_flight = member.in_flight.saturating_sub(1);
        match work {
            Work::Done => member.failures = 0,
            Work::Moved => member.given = member.given.saturating_sub(1),
            Work::Late => {}
            Work::Failed => {
                member.failures = member.failures.saturating_add(1);
                // Never the last one, and never more than a tenth.
                if member.failures >= EJECT_AFTER && member.ejected_until <= now && ejected < most && ejected + 1 < all
                {
                    member.failures = 0;
                    member.ejections = member.ejections.saturating_add(1);
                    member.ejected_until = now + Nanos(EJECT_FOR.0 * u64::from(member.ejections)).min(EJECT_MOST);
                }
            }
        }
    }

    /// In flight, by instance.
    pub fn loads(&self) -> impl Iterator<Item = (Identity, u32)> {
        self.members.iter().map(|member| (member.identity, member.in_flight))
    }

    fn usable(&self, place: usize, pick: Pick<'_>) -> bool {
        let sound = |member: &Member| pick.panic || member.ejected_until <= pick.now;
        self.members.get(place).is_some_and(|member| sound(member) && (pick.there)(member.identity))
    }

    /// The least cost, of those that wait on `cpu` if one is given; among equals the one that got least, or whose turn was longest ago.
    fn least(&self, pick: Pick<'_>, cpu: Option<u16>) -> Option<usize> {
        let waits_there = |member: &Member| cpu.is_none() || member.cpu == cpu;
        let places = (0..self.members.len()).filter(|&place| self.usable(place, pick));
        places
            .filter_map(|place| Some((place, self.members.get(place).filter(|member| waits_there(member))?)))
            .min_by_key(|(place, member)| (self.cost(*place, pick.now), member.given, member.chosen))
            .map(|(place, _)| place)
    }

    fn sound(&mut self, pick: Pick<'_>) -> Option<usize> {
        let count = (0..self.members.len()).filter(|&place| self.usable(place, pick)).count();
        let which = self.draw().checked_rem(count as u64)? as usize;
        (0..self.members.len()).filter(|&place| self.usable(place, pick)).nth(which)
    }

    /// What one more piece of work would weigh: a starting instance counts what it has several times.
    fn cost(&self, place: usize, now: Nanos) -> u64 {
        let Some(member) = self.members.get(place) else { return u64::MAX };
        let age = now.saturating_sub(member.since).0;
        let grown = age.saturating_mul(1000).checked_div(self.slow_start.0).unwrap_or(1000).clamp(FIRST_SHARE, 1000);
        // In steps: those that started together are equals, and take turns.
        let grown = grown / FIRST_SHARE * FIRST_SHARE;
        (u64::from(member.in_flight) + 1) * 1_000_000 / grown
    }

    fn draw(&mut self) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }
}

/// splitmix64's finisher.
fn mix(a: u64, b: u64) -> u64 {
    let mut x = a ^ b.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}
