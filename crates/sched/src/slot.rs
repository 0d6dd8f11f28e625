//! What the scheduler keeps of a task: links and accounts, 128 bytes.
//!
//! All fields are atomics, so that they can be shared without `unsafe`; those under "owner" are plain variables in truth:
//! only the owner of the task (see `state.rs`) touches them, and the state word orders one owner's writes before the next
//! one's reads. Hence `Relaxed`, which costs nothing.

use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};

use types::{CpuId, CpuSet, Nanos};

use crate::chunks::Chunks;
use crate::class::Credit;
use crate::priority::{Key, Policy};
use crate::state::StateWord;

/// Slots of all tasks.
pub(crate) type Slots = Chunks<Slot>;

/// No slot, as a link.
pub(crate) const NIL: u32 = u32::MAX;

impl Slots {
    /// The slot that a link leads to.
    #[inline]
    pub(crate) fn linked(&self, link: u32) -> Option<&Slot> {
        if link == NIL { None } else { self.get(link) }
    }
}

#[repr(align(64))]
pub(crate) struct Slot {
    pub(crate) state: StateWord,

    // Anyone writes these; `StateWord::publish` brings them to the task's owner.
    policy: AtomicU32,
    affinity: AtomicU64,
    /// Keys lent to this task, one bit each; written under the lock of `Inheritance`.
    inherited: AtomicU32,
    /// This task's record in `Inheritance`, whose lock guards it.
    pub(crate) record: Word32,

    // Owner.
    pub(crate) next: Word32,
    pub(crate) prev: Word32,
    pub(crate) age_next: Word32,
    pub(crate) age_prev: Word32,
    /// Level and bucket it is linked in.
    key: AtomicU8,
    bucket: AtomicU8,
    last_cpu: AtomicU8,
    home_node: AtomicU8,
    /// CPU and key of the level that `vruntime` and `floor_left` refer to, plus one.
    pub(crate) home: Word32,
    /// Time run, over weight.
    pub(crate) vruntime: Word64,
    /// The level's virtual time when the task left it.
    pub(crate) floor_left: Word64,
    /// Since when it waits for a CPU.
    pub(crate) since: Word64,
    /// When it was woken, for the latency; 0 if it was not.
    pub(crate) woken: Word64,
    /// When it blocked.
    pub(crate) stopped: Word64,
    /// Time run in all. Others may look.
    pub(crate) runtime: Word64,
    credit: Word32,
    /// What is left of its slice, in ns.
    pub(crate) slice_left: Word32,
    /// Weight with which it is counted in the load of its queue.
    pub(crate) queued_weight: Word32,
}

impl Slot {
    pub(crate) fn new() -> Self {
        Self {
            state: StateWord::new(),
            policy: AtomicU32::new(0),
            affinity: AtomicU64::new(0),
            inherited: AtomicU32::new(0),
            record: Word32::new(NIL),
            next: Word32::new(NIL),
            prev: Word32::new(NIL),
            age_next: Word32::new(NIL),
            age_prev: Word32::new(NIL),
            key: AtomicU8::new(0),
            bucket: AtomicU8::new(0),
            last_cpu: AtomicU8::new(0),
            home_node: AtomicU8::new(0),
            home: Word32::new(0),
            vruntime: Word64::new(0),
            floor_left: Word64::new(0),
            since: Word64::new(0),
            woken: Word64::new(0),
            stopped: Word64::new(0),
            runtime: Word64::new(0),
            credit: Word32::new(0),
            slice_left: Word32::new(0),
            queued_weight: Word32::new(0),
        }
    }

    /// Makes the slot that of a new task.
    pub(crate) fn reset(&self, policy: Policy, affinity: CpuSet, cpu: CpuId, node: u8, now: Nanos) {
        self.set_policy(policy);
        self.set_affinity(affinity);
        self.inherited.store(0, Relaxed);
        self.last_cpu.store(cpu.0 as u8, Relaxed);
        self.home_node.store(node, Relaxed);
        for zero in [&self.vruntime, &self.floor_left, &self.since, &self.woken, &self.runtime] {
            zero.set(0);
        }
        self.home.set(0);
        self.stopped.set(now.0);
        self.set_credit(Credit::NEUTRAL);
        self.slice_left.set(0);
    }

    pub(crate) fn policy(&self) -> Policy {
        Policy::from_bits(self.policy.load(Relaxed))
    }

    pub(crate) fn set_policy(&self, policy: Policy) {
        self.policy.store(policy.to_bits(), Relaxed);
    }

    pub(crate) fn affinity(&self) -> CpuSet {
        CpuSet(self.affinity.load(Relaxed))
    }

    pub(crate) fn set_affinity(&self, cpus: CpuSet) {
        self.affinity.store(cpus.0, Relaxed);
    }

    /// The most urgent key lent to it.
    pub(crate) fn inherited(&self) -> Option<Key> {
        let keys = self.inherited.load(Relaxed);
        (keys != 0).then(|| Key::from_number(keys.trailing_zeros() as u8))
    }

    pub(crate) fn set_inherited(&self, keys: u32) {
        self.inherited.store(keys, Relaxed);
    }

    pub(crate) fn key(&self) -> Key {
        Key::from_number(self.key.load(Relaxed))
    }

    pub(crate) fn set_key(&self, key: Key) {
        self.key.store(key.number(), Relaxed);
    }

    pub(crate) fn bucket(&self) -> u8 {
        self.bucket.load(Relaxed)
    }

    pub(crate) fn set_bucket(&self, bucket: u8) {
        self.bucket.store(bucket, Relaxed);
    }

    pub(crate) fn last_cpu(&self) -> CpuId {
        CpuId(u32::from(self.last_cpu.load(Relaxed)))
    }

    pub(crate) fn set_last_cpu(&self, cpu: CpuId) {
        self.last_cpu.store(cpu.0 as u8, Relaxed);
    }

    pub(crate) fn home_node(&self) -> u8 {
        self.home_node.load(Relaxed)
    }

    pub(crate) fn credit(&self) -> Credit {
        Credit::from_bits(self.credit.get())
    }

    pub(crate) fn set_credit(&self, credit: Credit) {
        self.credit.set(credit.to_bits());
    }

    /// Key with boost, decay and inheritance.
    pub(crate) fn effective_key(&self) -> Key {
        self.effective_key_of(self.policy())
    }

    /// As [`Slot::effective_key`], for who has read the policy already.
    #[inline]
    pub(crate) fn effective_key_of(&self, policy: Policy) -> Key {
        let own = Key::new(policy.class, policy.class.rules().level(policy, self.credit()));
        self.inherited().map_or(own, |lent| lent.min(own))
    }
}

/// A `u32` of one owner at a time.
pub(crate) struct Word32(AtomicU32);

impl Word32 {
    const fn new(value: u32) -> Self {
        Self(AtomicU32::new(value))
    }

    #[inline]
    pub(crate) fn get(&self) -> u32 {
        self.0.load(Relaxed)
    }

    #[inline]
    pub(crate) fn set(&self, value: u32) {
        self.0.store(value, Relaxed);
    }
}

/// A `u64` of one owner at a time.
pub(crate) struct Word64(AtomicU64);

impl Word64 {
    const fn new(value: u64) -> Self {
        Self(AtomicU64::new(value))
    }

    #[inline]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    #[inline]
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }
}
