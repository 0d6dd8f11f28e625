//! The audit ring: one record per command, allowed or refused, and per transition; each carries the hash of the one before.
//!
//! Whoever alters, removes or inserts a record breaks the chain from there on. The oldest records are overwritten; what
//! was overwritten is counted, never silent.

use alloc::vec::Vec;
use sha2::{Digest, Sha256};
use types::{Nanos, Uid};

use crate::definition::OnFailure;
use crate::id::ServiceId;
use crate::state::{Cause, State};

/// SHA-256 of a record and of the record before it.
pub type Hash = [u8; 32];

/// Who did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Actor {
    /// The supervisor itself.
    Supervisor,
    /// A caller, with the identity that the kernel stamped on it.
    Caller {
        /// Its user.
        user: Uid,
        /// The service it belongs to.
        service: Option<ServiceId>,
    },
}

impl Actor {
    /// The superuser outside any service.
    pub const ROOT: Self = Self::Caller { user: Uid::ROOT, service: None };
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Deed {
    /// An instance went from one state to another.
    Transition {
        /// Which of the service.
        index: u16,
        /// Where it was.
        from: State,
        /// Where it is.
        to: State,
        /// Why.
        cause: Cause,
    },
    /// A command was carried out.
    Allowed(u8),
    /// A command was refused.
    Denied(u8),
    /// More refusals of this caller, whatever they were, than are worth a record each.
    Flood(u32),
    /// A service was given up, and this followed.
    Escalated(OnFailure),
}

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Counts all records since boot.
    pub sequence: u64,
    /// When.
    pub time: Nanos,
    /// Who.
    pub actor: Actor,
    /// About whom.
    pub target: ServiceId,
    /// What.
    pub deed: Deed,
    /// Of this record and all before it.
    pub hash: Hash,
}

impl Record {
    fn chained(mut self, previous: &Hash) -> Self {
        let mut hash = Sha256::new();
        hash.update(previous);
        hash.update(self.sequence.to_le_bytes());
        hash.update(self.time.0.to_le_bytes());
        let (user, service) = match self.actor {
            Actor::Supervisor => (u32::MAX, u32::MAX),
            Actor::Caller { user, service } => (user.0, service.map_or(u32::MAX, |id| id.0.into())),
        };
        hash.update(user.to_le_bytes());
        hash.update(service.to_le_bytes());
        hash.update(self.target.0.to_le_bytes());
        let (kind, index, from, to, code, detail) = match self.deed {
            Deed::Transition { index, from, to, cause } => {
                (0, index, from.index() as u8, to.index() as u8, cause.code(), cause.detail())
            }
            Deed::Allowed(verb) => (1, 0, verb, 0, 0, 0),
            Deed::Denied(verb) => (2, 0, verb, 0, 0, 0),
            Deed::Flood(times) => (3, 0, 0, 0, 0, times),
            Deed::Escalated(wish) => (4, 0, wish as u8, 0, 0, 0),
        };
        hash.update(index.to_le_bytes());
        hash.update([kind, from, to, code]);
        hash.update(detail.to_le_bytes());
        self.hash = hash.finalize().into();
        self
    }

    /// Whether its hash is the one that follows from the record before it.
    pub fn follows(&self, previous: &Hash) -> bool {
        self.chained(previous).hash == self.hash
    }
}

/// Refusals of one caller within a second that have a record each.
const DENIED_EACH: u32 = 8;
/// Callers whose refusals are counted at the same time; those of more callers are counted with the longest counted.
const CALLERS: usize = 8;
const DENIED_WINDOW: Nanos = Nanos::from_secs(1);

/// Refusals of one caller in its present second.
#[derive(Clone, Copy, Debug)]
struct Refusals {
    actor: Actor,
    since: Nanos,
    recorded: u32,
    /// Without a record so far.
    more: u32,
}

/// The ring.
#[derive(Clone, Debug)]
pub struct Audit {
    records: Vec<Record>,
    capacity: usize,
    /// Records made since boot.
    made: u64,
    /// Hash of the newest record that was overwritten: the chain starts from it.
    root: Hash,
    last: Hash,
    refusals: [Option<Refusals>; CALLERS],
}

impl Audit {
    /// Room for `capacity` records; the only allocation.
    pub fn new(capacity: usize) -> Self {
        Self {
            records: Vec::with_capacity(capacity),
            capacity,
            made: 0,
            root: [0; 32],
            last: [0; 32],
            refusals: [None; CALLERS],
        }
    }

    /// Adds a record. Of a caller's refusals only some in a second have one each and the rest share one, so that a flood of
    /// them drives nothing else out.
    pub fn add(&mut self, time: Nanos, actor: Actor, target: ServiceId, deed: Deed) {
        self.close_windows(time);
        if matches!(deed, Deed::Denied(_)) && !self.is_worth_a_record(time, actor) {
            return;
        }
        self.push(time, actor, target, deed);
    }

    /// Refusals that have no record yet: they get one when their second is over and something else happens.
    pub fn unrecorded(&self) -> u32 {
        self.refusals.iter().flatten().map(|refusals| refusals.more).sum()
    }

    fn close_windows(&mut self, time: Nanos) {
        for place in 0..CALLERS {
            if let Some(slot) = self.refusals.get_mut(place)
                && let Some(refusals) = slot.take_if(|refusals| time.saturating_sub(refusals.since) >= DENIED_WINDOW)
                && refusals.more > 0
            {
                self.push(time, refusals.actor, ServiceId(u16::MAX), Deed::Flood(refusals.more));
            }
        }
    }

    fn is_worth_a_record(&mut self, time: Nanos, actor: Actor) -> bool {
        let known = self.refusals.iter_mut().flatten().find(|refusals| refusals.actor == actor);
        if let Some(refusals) = known {
            let worth = refusals.recorded < DENIED_EACH;
            refusals.recorded += u32::from(worth);
            refusals.more = refusals.more.saturating_add(u32::from(!worth));
            return worth;
        }
        let fresh = Refusals { actor, since: time, recorded: 1, more: 0 };
        if let Some(slot) = self.refusals.iter_mut().find(|slot| slot.is_none()) {
            *slot = Some(fresh);
            return true;
        }
        // So many callers at once are one flood.
        let oldest = self.refusals.iter_mut().flatten().min_by_key(|refusals| refusals.since);
        if let Some(refusals) = oldest {
            refusals.more = refusals.more.saturating_add(1);
        }
        false
    }

    fn push(&mut self, time: Nanos, actor: Actor, target: ServiceId, deed: Deed) {
        if self.capacity == 0 {
            self.made += 1;
            return;
        }
        let record = Record { sequence: self.made, time, actor, target, deed, hash: [0; 32] }.chained(&self.last);
        self.last = record.hash;
        if self.records.len() < self.capacity {
            self.records.push(record);
        } else if let Some(slot) =
            self.records.get_mut(self.made.checked_rem(self.capacity as u64).unwrap_or(0) as usize)
        {
            self.root = slot.hash;
            *slot = record;
        }
        self.made += 1;
    }

    /// Hash of the newest record that was overwritten: what the oldest one here follows from.
    pub const fn root(&self) -> Hash {
        self.root
    }

    /// Records that were made, those overwritten included.
    pub const fn made(&self) -> u64 {
        self.made
    }

    /// Records that were overwritten.
    pub fn lost(&self) -> u64 {
        self.made - self.records.len() as u64
    }

    /// Oldest first.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        let split = if self.lost() > 0 { self.oldest() } else { 0 };
        self.records.iter().cycle().skip(split).take(self.records.len())
    }

    /// Whether every record follows from the one before; the first bad one's sequence otherwise.
    ///
    /// # Errors
    /// The sequence number of the first record that does not fit.
    pub fn verify(&self) -> Result<(), u64> {
        let mut previous = self.root;
        let mut expected = self.lost();
        for record in self.records() {
            if record.sequence != expected || !record.follows(&previous) {
                return Err(expected);
            }
            previous = record.hash;
            expected += 1;
        }
        if previous == self.last { Ok(()) } else { Err(expected) }
    }

    /// The place that is overwritten next.
    fn oldest(&self) -> usize {
        self.made.checked_rem(self.capacity as u64).unwrap_or(0) as usize
    }

    /// Hash of the newest record: equal for equal histories.
    pub const fn head(&self) -> Hash {
        self.last
    }

    /// The newest records, newest first.
    pub fn newest(&self) -> impl Iterator<Item = &Record> {
        let split = if self.lost() > 0 { self.oldest() } else { self.records.len() };
        let (newer, older) = self.records.split_at_checked(split).unwrap_or((&[], &[]));
        newer.iter().rev().chain(older.iter().rev())
    }

    #[cfg(test)]
    pub(crate) fn tamper(&mut self, slot: usize, change: impl FnOnce(&mut Record)) {
        change(&mut self.records[slot]);
    }
}
