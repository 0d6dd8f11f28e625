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
}

/// How a piece of work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// As it should.
    Done,
    /// By the instance's fault (reset before the first byte, too long in the queue).
    Failed,
}

/// The published instances of one service.
#[derive(Clone, Debug, Default)]
pub struct Balancer {
    policy: Balance,
    slow_start: Nanos,
    members: Vec<Member>,
    turn: usize,
    random: u64,
}

impl Balancer {
    /// No instance yet; room for `capacity`.
    pub fn new(policy: Balance, slow_start: Nanos, capacity: usize, seed: u64) -> Self {
        Self { policy, slow_start, members: Vec::with_capacity(capacity), turn: 0, random: seed | 1 }
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

    /// Instances that are passed over.
    pub fn ejected(&self, now: Nanos) -> usize {
        self.members.iter().filter(|member| member.ejected_until > now).count()
    }

    /// Chooses an instance for a caller, and counts the work as in flight there. O(instances).
    ///
    /// When less than half are sound, all are used: the fault is not theirs.
    pub fn pick(&mut self, now: Nanos, caller: Caller) -> Option<Identity> {
        let panic = self.ejected(now) * 2 > self.members.len();
        let place = match self.policy {
            Balance::Least => self.least(now, panic, None),
            Balance::LocalCpu => self.least(now, panic, Some(caller.cpu)).or_else(|| self.least(now, panic, None)),
            Balance::TwoChoices => {
                let (a, b) = (self.sound(now, panic)?, self.sound(now, panic)?);
                Some(if self.cost(a, now) <= self.cost(b, now) { a } else { b })
            }
            Balance::RoundRobin => {
                let n = self.members.len();
                let place = (0..n).map(|step| (self.turn + step) % n).find(|&place| self.usable(place, now, panic))?;
                self.turn = place + 1;
                Some(place)
            }
            // Rendezvous hashing (Thaler and Ravishankar 1998): only the callers of a lost instance move.
            Balance::Hash => {
                (0..self.members.len()).filter(|&place| self.usable(place, now, panic)).max_by_key(|&place| {
                    self.members.get(place).map(|member| mix(caller.hash, member.identity.instance.0.into()))
                })
            }
        }?;
        let member = self.members.get_mut(place)?;
        member.in_flight = member.in_flight.saturating_add(1);
        Some(member.identity)
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

    fn usable(&self, place: usize, now: Nanos, panic: bool) -> bool {
        self.members.get(place).is_some_and(|member| panic || member.ejected_until <= now)
    }

    /// The least cost, of those that wait on `cpu` if one is given; among equals a random one.
    fn least(&mut self, now: Nanos, panic: bool, cpu: Option<u16>) -> Option<usize> {
        let (mut best, mut equals) = (None, 0u64);
        for place in 0..self.members.len() {
            let elsewhere = cpu.is_some() && self.members.get(place).is_none_or(|member| member.cpu != cpu);
            if elsewhere || !self.usable(place, now, panic) {
                continue;
            }
            let cost = self.cost(place, now);
            match best {
                Some((least, _)) if cost > least => {}
                Some((least, _)) if cost == least => {
                    equals += 1;
                    if self.draw().is_multiple_of(equals) {
                        best = Some((cost, place));
                    }
                }
                _ => (best, equals) = (Some((cost, place)), 1),
            }
        }
        best.map(|(_, place)| place)
    }

    fn sound(&mut self, now: Nanos, panic: bool) -> Option<usize> {
        let count = (0..self.members.len()).filter(|&place| self.usable(place, now, panic)).count();
        let which = self.draw().checked_rem(count as u64)? as usize;
        (0..self.members.len()).filter(|&place| self.usable(place, now, panic)).nth(which)
    }

    /// What one more piece of work would weigh: a starting instance counts what it has several times.
    fn cost(&self, place: usize, now: Nanos) -> u64 {
        let Some(member) = self.members.get(place) else { return u64::MAX };
        let age = now.saturating_sub(member.since).0;
        let grown = age.saturating_mul(1000).checked_div(self.slow_start.0).unwrap_or(1000).clamp(FIRST_SHARE, 1000);
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
