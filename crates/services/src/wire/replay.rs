//! The log of a running supervisor with all that it takes to tell another the same.

use alloc::vec::Vec;
use types::Nanos;

use super::codec::record;
use crate::audit::Hash;
use crate::catalog::Bounds;
use crate::definition::Definition;
use crate::reconciler::{Config, RebootGuard, Reconciler};
use crate::replay::{Entry, ReplayError, replay};

/// A set of definitions that was loaded.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplaySet {
    /// As the log calls it.
    pub number: u32,
    /// What was in it, in its order.
    pub definitions: Vec<Definition>,
}

/// What the supervisor was told since boot, and what came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplayPart {
    /// How it was made: capacities,
    pub services: u16,
    /// of instances,
    pub instances: u16,
    /// of dependencies,
    pub edges: u32,
    /// and of memory;
    pub memory: u64,
    /// the seed of its jitter,
    pub seed: u64,
    /// and the times of a shutdown.
    pub shutdown_timeout: Nanos,
    /// The time after that.
    pub shutdown_grace: Nanos,
    /// The wall clock when it began.
    pub booted_at: Nanos,
    /// Emergency reboots before.
    pub reboots: Vec<Nanos>,
    /// Sets that are still kept.
    pub sets: Vec<ReplaySet>,
    /// [`Entry`] after entry.
    pub entries: Vec<u8>,
    /// Inputs that were overwritten: with any, the log cannot be replayed.
    pub lost: u64,
    /// Records of the audit ring, and the hash of the newest: what a replay has to come to.
    pub made: u64,
    /// See `made`.
    pub head: Hash,
}

impl ReplayPart {
    /// Everything but sets and entries.
    pub fn new(engine: &Reconciler, lost: u64) -> Self {
        let config = engine.config();
        Self {
            services: config.bounds.services,
            instances: config.bounds.instances,
            edges: config.bounds.edges,
            memory: config.bounds.memory,
            seed: config.seed,
            shutdown_timeout: config.shutdown_timeout,
            shutdown_grace: config.shutdown_grace,
            booted_at: config.booted_at,
            reboots: config.reboots.times.to_vec(),
            sets: Vec::new(),
            entries: Vec::new(),
            lost,
            made: engine.audit().made(),
            head: engine.audit().head(),
        }
    }

    /// Tells a new supervisor the same; whether every transition and every other record came out the same, bit for bit.
    ///
    /// # Errors
    /// The log is not whole, or a set is no longer kept.
    pub fn check(&self) -> Result<bool, ReplayError> {
        if self.lost > 0 {
            return Err(ReplayError::Entry(0));
        }
        let mut reboots = RebootGuard::default();
        for (slot, time) in reboots.times.iter_mut().zip(&self.reboots) {
            *slot = *time;
        }
        let bounds =
            Bounds { services: self.services, instances: self.instances, edges: self.edges, memory: self.memory };
        let config = Config {
            bounds,
            seed: self.seed,
            shutdown_timeout: self.shutdown_timeout,
            shutdown_grace: self.shutdown_grace,
            booted_at: self.booted_at,
            reboots,
            ..Config::default()
        };
        let entries: Vec<Entry> = self.lines().collect();
        let set = |number| {
            let found = self.sets.iter().find(|set| set.number == number);
            found.map(|set| set.definitions.clone())
        };
        let engine = replay(config, entries.iter(), set)?;
        Ok((engine.audit().made(), engine.audit().head()) == (self.made, self.head))
    }

    /// The log, line by line.
    pub fn lines(&self) -> impl Iterator<Item = Entry> {
        self.entries.chunks_exact(Entry::SIZE).filter_map(|line| Some(Entry::from_bytes(line.try_into().ok()?)))
    }
}

record!(ReplaySet { number, definitions });
record!(ReplayPart {
    services,
    instances,
    edges,
    memory,
    seed,
    shutdown_timeout,
    shutdown_grace,
    booted_at,
    reboots,
    sets,
    entries,
    lost,
    made,
    head,
});
