//! What the scheduler keeps of a task, as a part of the task itself.
//!
//! All fields are atomics, so that they can be shared without `unsafe`; those under "owner" are plain variables in truth:
//! only the owner of the task (see `state.rs`) touches them, and the state or a queue's lock orders one owner's writes before the
//! next one's reads. Hence `Relaxed`, which costs nothing.

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64};

use sync::{Linked, Links};
use types::{CpuId, CpuSet, Nanos};

use crate::class::Credit;
use crate::priority::{KEYS, Key, Place, Policy, Share, Weight};
use crate::state::{Phase, State};
use crate::topology::MAX_NODES;

/// Run time that is carried along before it is settled: a quarter of a bucket of `level.rs`. Settling at every switch would
/// cost more than most switches do.
const SETTLE: u32 = 250_000;

/// The policy has changed since it was last looked at.
const CHANGED: u8 = 1;
/// It may not run everywhere, or nobody has looked yet whether it may.
const CONFINED: u8 = 2;

/// Bits of a key that is lent, plus one, above those of the policy.
const LENT_MASK: u32 = (KEYS as u32 + 1).next_power_of_two() - 1;
/// Above those, the home node.
const NODE_SHIFT: u32 = Policy::BITS + LENT_MASK.count_ones();
const _: () = assert!(MAX_NODES <= 1 << (32 - NODE_SHIFT));

/// Marks a time in [`Entity::since`] as that of a wake-up.
pub(crate) const WOKEN: u64 = 1;
/// Shorter waits are not put into the histograms, nor told at once: they are the most, and nobody misses them.
pub(crate) const NOTABLE: Nanos = Nanos(1 << 14);

/// A task: what has an [`Entity`].
pub trait Schedulable: Linked + Send + Sync {
    /// What the scheduler keeps of it; a field of it.
    fn entity(&self) -> &Entity<Self>;
}

/// What the scheduler keeps of a task.
pub struct Entity<T> {
    pub(crate) state: State,
    /// The CPU that runs it, or did last, or in whose queue it is. Others may look.
    cpu: AtomicU8,
    links: Links<T>,

    // Anyone writes these; who owns the task finds out, see `Scheduler::set_priority`. The word of the policy has, from the lowest bit on: the
    // policy, the key that is lent, the home node.
    /// What keeps it from the short way: [`CHANGED`], [`CONFINED`].
    attention: AtomicU8,
    policy: AtomicU32,
    affinity: AtomicU64,

    // Owner.
    share: Byte,
    place: Word16,
    credit: Word32,
    /// Run time in ns that is not in `vruntime` and `credit` yet.
    unsettled: Word32,
    /// The queue where it belongs, as [`RunQueue`](crate::run_queue::RunQueue) names it, if it is known; else 0.
    pub(crate) hint: Word32,
    /// CPU and key of the level that `vruntime` and `floor_left` refer to, plus one.
    pub(crate) home: Word16,
    /// Time run, over weight.
    pub(crate) vruntime: Word64,
    /// The bucket that the level's virtual time had reached when the task left it; its lower half.
    pub(crate) floor_left: Word32,
    /// Time in ns that it waited for a CPU and nobody has taken note of yet.
    pub(crate) waited: Word32,
    /// Since when it waits for a CPU, or for a wake-up if it is blocked. Odd ([`WOKEN`]) if a wake-up began that.
    pub(crate) since: Word64,
}

impl<T> Entity<T> {
    /// Of a new task, which nobody has queued yet ([`Scheduler::add_task`](crate::Scheduler::add_task) does).
    pub fn new(policy: Policy, affinity: CpuSet) -> Self {
        let entity = Self {
            state: State::queued(),
            cpu: AtomicU8::new(0),
            links: Links::new(),
            policy: AtomicU32::new(policy.to_bits()),
            attention: AtomicU8::new(CONFINED),
            affinity: AtomicU64::new(affinity.0),
            share: Byte::new(0),
            place: Word16::new(0),
            credit: Word32::new(Credit::NEUTRAL.to_bits()),
            unsettled: Word32::new(0),
            hint: Word32::new(0),
            home: Word16::new(0),
            vruntime: Word64::new(0),
            floor_left: Word32::new(0),
            waited: Word32::new(0),
            since: Word64::new(0),
        };
        entity.adopt(policy, None);
        entity
    }

    /// For [`Linked`].
    #[inline]
    pub const fn links(&self) -> &Links<T> {
        &self.links
    }

    /// Where the task stands, for a look.
    pub fn phase(&self) -> Phase {
        self.state.phase()
    }

    /// The CPU that runs it, or did last, or in whose queue it is; for a look.
    #[inline]
    pub fn cpu(&self) -> CpuId {
        CpuId(self.cpu.load(Relaxed).into())
    }

    #[inline]
    pub(crate) fn set_cpu(&self, cpu: CpuId) {
        // There are 64.
        self.cpu.store(cpu.0 as u8, Relaxed);
    }

    /// Whether it has waited for so long that it is worth a note. By the CPU that runs it.
    #[inline]
    pub fn has_notable_wait(&self) -> bool {
        u64::from(self.waited.get()) >= NOTABLE.0
    }

    /// What [`Entity::take_wait`] would say; for a look.
    pub fn uncharged_wait(&self) -> Nanos {
        Nanos(self.waited.get().into())
    }

    /// Time that it waited for a CPU since this was asked last; who asks has to add it up. By the CPU that runs it.
    pub fn take_wait(&self) -> Nanos {
        let waited = self.waited.get();
        self.waited.set(0);
        Nanos(waited.into())
    }

    /// What it asked for.
    pub fn policy(&self) -> Policy {
        Policy::from_bits(self.policy.load(Relaxed))
    }

    pub(crate) fn set_policy(&self, policy: Policy) {
        self.replace((1 << Policy::BITS) - 1, policy.to_bits());
        self.attention.fetch_or(CHANGED, Release);
    }

    /// The key that somebody lends it who waits for it.
    pub fn lent(&self) -> Option<Key> {
        lent_of(self.policy.load(Relaxed))
    }

    pub(crate) fn set_lent(&self, key: Option<Key>) {
        let lent = key.map_or(0, |key| u32::from(key.number()) + 1);
        self.replace(LENT_MASK << Policy::BITS, lent << Policy::BITS);
        self.attention.fetch_or(CHANGED, Release);
    }

    /// The node where it began, and most of its memory is; for a look.
    pub fn home_node(&self) -> u8 {
        (self.policy.load(Relaxed) >> NODE_SHIFT) as u8
    }

    pub(crate) fn set_home_node(&self, node: u8) {
        self.replace(!0 << NODE_SHIFT, u32::from(node) << NODE_SHIFT);
    }

    /// Replaces the bits of `mask` in the word of the policy.
    fn replace(&self, mask: u32, value: u32) {
        let _ = self.policy.fetch_update(Relaxed, Relaxed, |bits| Some(bits & !mask | value));
    }

    /// The CPUs it may use, online or not.
    #[inline]
    pub fn affinity(&self) -> CpuSet {
        CpuSet(self.affinity.load(Relaxed))
    }

    pub(crate) fn set_affinity(&self, cpus: CpuSet) {
        self.affinity.store(cpus.0, Relaxed);
        self.attention.fetch_or(CONFINED, Release);
    }

    /// It may run on every CPU there is.
    pub(crate) fn set_free(&self) {
        self.attention.fetch_and(!CONFINED, Acquire);
    }

    /// It may not run on every CPU there is.
    pub(crate) fn set_confined(&self) {
        self.attention.fetch_or(CONFINED, Relaxed);
    }

    /// Whether it may not run everywhere.
    #[inline]
    pub(crate) fn is_confined(&self) -> bool {
        self.attention.load(Relaxed) & CONFINED != 0
    }

    /// Class and level with boost and decay, as of a moment ago.
    pub fn effective_key(&self) -> Key {
        self.place().key()
    }

    #[inline]
    pub(crate) fn place(&self) -> Place {
        Place::from_bits(self.place.get())
    }

    /// Its part of its level, as of the last time the policy was looked at.
    #[inline]
    pub(crate) fn weight(&self) -> Weight {
        self.share().weight()
    }

    #[inline]
    pub(crate) fn share(&self) -> Share {
        Share::from_bits(self.share.get())
    }

    /// Whether it has to go the long way.
    #[inline]
    pub(crate) fn needs_attention(&self) -> bool {
        self.attention.load(Relaxed) != 0
    }

    /// Whether somebody has changed the policy since it was last looked at.
    #[inline]
    pub(crate) fn is_outdated(&self) -> bool {
        self.attention.load(Relaxed) & CHANGED != 0
    }

    /// Takes over the policy as it is, and what the credit makes of it.
    pub(crate) fn apply(&self) {
        // Before the look: a change after it leaves its mark again.
        if self.is_outdated() {
            self.attention.fetch_and(!CHANGED, Acquire);
        }
        let bits = self.policy.load(Relaxed);
        self.adopt(Policy::from_bits(bits), lent_of(bits));
    }

    /// Takes over a policy and what is lent.
    fn adopt(&self, policy: Policy, lent: Option<Key>) {
        self.hint.set(0);
        self.share.set(policy.share().to_bits());
        let own = policy.place(Credit::from_bits(self.credit.get()));
        let place = match lent {
            Some(lent) if lent < own.key() => own.at_key(lent),
            _ => own,
        };
        self.place.set(place.to_bits());
    }

    /// Notes a run. Whether it is time to settle.
    #[inline]
    pub(crate) fn ran(&self, ran: Nanos) -> bool {
        // What runs for longer than four seconds without a switch has nobody beside it.
        let unsettled = self.unsettled.get().saturating_add(ran.0 as u32);
        self.unsettled.set(unsettled);
        unsettled >= SETTLE
    }

    pub(crate) fn unsettled(&self) -> Nanos {
        Nanos(self.unsettled.get().into())
    }

    pub(crate) fn is_unsettled(&self) -> bool {
        self.unsettled.get() >= SETTLE
    }

    /// Brings virtual time and credit up to date; returns what was settled. The place may be another one then.
    #[cold]
    pub(crate) fn settle(&self) -> Nanos {
        let ran = u64::from(self.unsettled.get());
        self.unsettled.set(0);
        if self.place().is_fair() {
            self.vruntime.set(self.vruntime.get() + self.weight().virtual_time(ran));
        }
        self.credit.set(Credit::from_bits(self.credit.get()).ran(Nanos(ran)).to_bits());
        self.apply();
        Nanos(ran)
    }

    /// Of a new task: begins with a [`Credit::debt`].
    pub(crate) fn begin_with(&self, debt: u16) {
        self.credit.set(Credit::of_debt(debt).to_bits());
        self.apply();
    }

    /// Credit for a sleep.
    #[cold]
    pub(crate) fn slept(&self, time: Nanos) {
        self.credit.set(Credit::from_bits(self.credit.get()).slept(time).to_bits());
        self.apply();
    }
}

/// What [`Entity::lent`] finds in the policy's word.
fn lent_of(bits: u32) -> Option<Key> {
    let lent = (bits >> Policy::BITS & LENT_MASK) as u8;
    (lent != 0).then(|| Key::from_number(lent - 1))
}

/// Identity of a task, to be compared with others.
#[inline]
pub(crate) fn identity<T>(task: &T) -> usize {
    core::ptr::from_ref(task).addr()
}

/// A variable of one owner at a time.
macro_rules! owned {
    ($name:ident, $atomic:ty, $value:ty) => {
        pub(crate) struct $name($atomic);

        impl $name {
            const fn new(value: $value) -> Self {
                Self(<$atomic>::new(value))
            }

            #[inline]
            pub(crate) fn get(&self) -> $value {
                self.0.load(Relaxed)
            }

            #[inline]
            pub(crate) fn set(&self, value: $value) {
                self.0.store(value, Relaxed);
            }
        }
    };
}

owned!(Byte, AtomicU8, u8);
owned!(Word16, AtomicU16, u16);
owned!(Word32, AtomicU32, u32);
owned!(Word64, AtomicU64, u64);
