//! The tasks that wait for one CPU, and the one that it runs: choice, accounts, slices.
//!
//! One object per CPU, behind that CPU's lock. Invariant: a task is linked here exactly if its state is `Queued` with this CPU,
//! and is `current` exactly if its state is `Running` or `Notified` with it. Every operation touches a bounded number
//! of slots, however many tasks wait.

use alloc::boxed::Box;

use types::{CpuId, Nanos};

use crate::SchedError;
use crate::age_list::AgeList;
use crate::chunks::boxed;
use crate::class::{MIN_SLICE, Order};
use crate::latency::CpuStats;
use crate::level::{End, Level};
use crate::priority::{Flavour, KEYS, Key, Weight};
use crate::slot::{Slot, Slots};
use crate::starvation::{RESCUE_MIN, patience, rescue_slice};
use crate::state::Violation;
use crate::task_id::TaskId;

/// How many of the oldest tasks a thief looks at; a constant, so that a queue full of pinned tasks costs no more.
const STEAL_DEPTH: usize = 8;

/// Levels there is room for: [`KEYS`], rounded up so that an index by bits needs no check.
const ROWS: usize = KEYS.next_power_of_two();

/// Why a task is put into a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It was blocked.
    Woken,
    /// It lost the CPU.
    Preempted,
    /// It lost the CPU that it had for the sake of the starvation bound: behind its equals, so that they do not starve in turn.
    Rescued,
    /// It gave up the CPU: behind the others of its level.
    Yielded,
    /// From another queue, or from another level of this one.
    Moved,
}

/// The task that has the CPU.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Current {
    pub(crate) id: TaskId,
    pub(crate) key: Key,
    pub(crate) weight: Weight,
    /// Up to when it is accounted.
    accounted: Nanos,
    /// When its slice ends.
    pub(crate) ends: Nanos,
    /// Runs for the starvation bound: not preempted.
    pub(crate) rescue: bool,
    /// Somebody was told to bring this CPU back.
    pub(crate) asked: bool,
}

/// A task that gave up the CPU.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leaver {
    pub(crate) index: u32,
    /// It ran for the starvation bound.
    pub(crate) rescue: bool,
}

pub(crate) struct RunQueue {
    cpu: CpuId,
    /// Keys with waiting tasks.
    occupied: u32,
    levels: Box<[Level; ROWS]>,
    by_age: AgeList,
    /// Weights of the waiting tasks.
    load: u64,
    pub(crate) current: Option<Current>,
    /// Length of a rescue in this episode; `None` outside of one.
    episode: Option<Nanos>,
    /// The last choice was a rescue.
    rescued: bool,
    /// When tasks were last moved here though that made nothing better (see `balance.rs`).
    pub(crate) rotated: Nanos,
    /// When this CPU last looked for imbalance.
    pub(crate) balanced: Nanos,
    pub(crate) stats: CpuStats,
}

impl RunQueue {
    pub(crate) fn new(cpu: CpuId) -> Result<Self, SchedError> {
        Ok(Self {
            cpu,
            occupied: 0,
            levels: boxed(Level::new)?,
            by_age: AgeList::new(),
            load: 0,
            current: None,
            episode: None,
            rescued: false,
            rotated: Nanos::ZERO,
            balanced: Nanos::ZERO,
            stats: CpuStats::default(),
        })
    }

    /// Tasks waiting, without the current one.
    pub(crate) fn waiting(&self) -> u32 {
        self.by_age.len()
    }

    /// Weights of all tasks here, the current one included.
    pub(crate) fn load(&self) -> u64 {
        self.load + self.current.map_or(0, |current| u64::from(current.weight.get()))
    }

    /// Takes over a task in Transit. Returns the key it waits at.
    pub(crate) fn insert(&mut self, slots: &Slots, index: u32, arrival: Arrival, now: Nanos) -> Result<Key, Violation> {
        let slot = slots.get(index).ok_or(Violation)?;
        // First the state, then a look at the policy: whoever changed it before and saw Transit relies on that.
        slot.state.insert(self.cpu)?;
        self.arrive(slots, index, slot, arrival, now)
    }

    /// Puts a task into its place that is Queued here already. Returns the key it waits at.
    #[inline]
    pub(crate) fn arrive(
        &mut self,
        slots: &Slots,
        index: u32,
        slot: &Slot,
        arrival: Arrival,
        now: Nanos,
    ) -> Result<Key, Violation> {
        if arrival == Arrival::Woken {
            let stopped = Nanos(slot.stopped.get());
            slot.set_credit(slot.credit().slept(now.saturating_sub(stopped)));
            slot.woken.set(now.0.max(1));
        }
        let key = self.link(slots, index, slot, arrival, now)?;
        if arrival == Arrival::Moved {
            self.by_age.insert(slots, index, slot);
        } else {
            slot.since.set(now.0);
            self.by_age.push(slots, index, slot);
        }
        Ok(key)
    }

    /// Brings a waiting task to where its policy and loans say now. Its age stays.
    pub(crate) fn rekey(&mut self, slots: &Slots, index: u32, now: Nanos) -> Result<Key, Violation> {
        let slot = slots.get(index).ok_or(Violation)?;
        self.depart(slot, slot.key());
        self.unlink_level(slots, slot);
        self.link(slots, index, slot, Arrival::Moved, now)
    }

    /// Puts a task into its level.
    #[inline]
    fn link(&mut self, slots: &Slots, index: u32, slot: &Slot, arrival: Arrival, now: Nanos) -> Result<Key, Violation> {
        let policy = slot.policy();
        let key = slot.effective_key_of(policy);
        if self.current.is_some_and(|current| current.key == key)
            && self.level(key).is_some_and(|level| level.len() == 0)
        {
            // The level's time is that of the task that had it for itself.
            self.charge(slots, now);
        }
        let cpu = self.cpu;
        let Some(level) = self.level_mut(key) else { return Err(Violation) };
        enter(slot, cpu, key, level);
        slot.set_key(key);
        let fresh = slot.slice_left.get() == 0;
        let vruntime = slot.vruntime.get();
        match key.class().rules().order() {
            Order::Fair if arrival == Arrival::Yielded => level.push_last(slots, index, slot, vruntime),
            Order::Fair if arrival == Arrival::Preempted && !fresh => {
                level.push(slots, index, slot, vruntime, End::Head);
            }
            Order::Fair => level.push(slots, index, slot, vruntime, End::Tail),
            Order::Arrival => {
                let keeps = arrival == Arrival::Preempted && (!fresh || policy.flavour == Flavour::Fifo);
                level.push(slots, index, slot, 0, if keeps { End::Head } else { End::Tail });
            }
        }
        self.occupied |= 1 << key.number();
        let weight = policy.weight().get();
        self.load += u64::from(weight);
        // The policy may change while it waits: what was added is what will be subtracted.
        slot.queued_weight.set(weight);
        Ok(key)
    }

    /// Chooses the next task and makes it current. There is no current one.
    pub(crate) fn pick(&mut self, slots: &Slots, now: Nanos) -> Result<Option<(TaskId, Nanos)>, Violation> {
        let Some((oldest, since)) = self.by_age.oldest(slots) else { return Ok(None) };
        let overdue = now >= since + patience(self.waiting());
        let rescue = overdue && !self.rescued;
        self.episode = overdue.then(|| {
            let length = rescue_slice(self.waiting());
            self.episode.map_or(length, |before| before.min(length))
        });
        let chosen = if rescue { slots.get(oldest).map(|slot| (oldest, slot)) } else { self.regular(slots) };
        let (index, slot) = chosen.ok_or(Violation)?;
        let key = slot.key();
        self.unlink(slots, slot);
        let generation = slot.state.start(self.cpu)?;
        self.rescued = rescue;

        let slice = match self.episode {
            Some(length) if rescue => length,
            _ => self.cut(slots, now, self.full_slice(slot, key)),
        };
        if self.episode.is_some() && !rescue {
            // The short run is all of its turn: with the rest it would be first again and again.
            slot.slice_left.set(u32::try_from(slice.0).unwrap_or(u32::MAX));
        }
        self.account_wait(slot, key, now);
        slot.set_last_cpu(self.cpu);
        let id = TaskId { index, generation };
        let ends = now + slice;
        let weight = Weight(slot.queued_weight.get());
        self.current = Some(Current { id, key, weight, accounted: now, ends, rescue, asked: false });
        self.stats.switches += 1;
        self.stats.rescues += u64::from(rescue);
        Ok(Some((id, slice)))
    }

    /// Writes down what the current task ran up to now.
    #[inline]
    pub(crate) fn charge<'s>(&mut self, slots: &'s Slots, now: Nanos) -> Option<&'s Slot> {
        let current = self.current.as_mut()?;
        let slot = slots.get(current.id.index)?;
        let ran = now.saturating_sub(current.accounted);
        current.accounted = current.accounted.max(now);
        let (key, weight, rescue) = (current.key, current.weight, current.rescue);
        slot.runtime.set(slot.runtime.get() + ran.0);
        let class = key.class();
        if class.rules().order() == Order::Fair {
            let vruntime = slot.vruntime.get() + weight.virtual_time(ran.0);
            slot.vruntime.set(vruntime);
            if let Some(level) = self.level_mut(key) {
                level.follow(vruntime);
            }
        }
        slot.set_credit(slot.credit().ran(ran));
        // A rescue is a gift: it does not use up the slice that the task will have in its turn.
        if !rescue {
            slot.slice_left.set(u32::try_from(u64::from(slot.slice_left.get()).saturating_sub(ran.0)).unwrap_or(0));
        }
        if let Some(time) = self.stats.class_time.get_mut(class as usize) {
            *time += ran;
        }
        Some(slot)
    }

    /// The CPU gives up its task, which is charged; the caller moves its state on.
    #[inline]
    pub(crate) fn leave<'s>(&mut self, slots: &'s Slots, now: Nanos) -> Option<(Leaver, &'s Slot)> {
        let slot = self.charge(slots, now)?;
        let (index, key, rescue) = self.current.as_ref().map(|it| (it.id.index, it.key, it.rescue))?;
        self.current = None;
        if u64::from(slot.slice_left.get()) < MIN_SLICE.0 {
            slot.slice_left.set(0);
        }
        slot.stopped.set(now.0);
        self.depart(slot, key);
        Some((Leaver { index, rescue }, slot))
    }

    /// Whether the current task's time is over, and otherwise how much it has left. A new slice if nobody waits.
    pub(crate) fn renew(&mut self, slots: &Slots, now: Nanos) -> (bool, Nanos) {
        let waiting = self.waiting();
        let Some(current) = &mut self.current else { return (waiting > 0, Nanos::ZERO) };
        if current.asked || (now >= current.ends && waiting > 0) {
            return (true, Nanos::ZERO);
        }
        if now >= current.ends {
            let Some(slot) = slots.get(current.id.index) else { return (true, Nanos::ZERO) };
            let slice = current.key.class().rules().slice(slot.policy(), 0);
            slot.slice_left.set(u32::try_from(slice.0).unwrap_or(u32::MAX));
            current.ends = now + slice;
            current.rescue = false;
        }
        (false, current.ends - now)
    }

    /// Takes a waiting task out, which is then in Transit.
    pub(crate) fn take(&mut self, slots: &Slots, index: u32) -> Result<(), Violation> {
        let slot = slots.get(index).ok_or(Violation)?;
        slot.state.take(self.cpu)?;
        self.depart(slot, slot.key());
        self.unlink(slots, slot);
        Ok(())
    }

    /// A waiting task that `thief` may run and that waits since `before`: the most urgent, or else one of the oldest.
    pub(crate) fn candidate(
        &self,
        slots: &Slots,
        thief: CpuId,
        before: Nanos,
        fits: impl Fn(&Slot) -> bool,
    ) -> Option<u32> {
        let suits = |index: &u32| {
            slots
                .get(*index)
                .is_some_and(|slot| slot.affinity().contains(thief) && slot.since.get() <= before.0 && fits(slot))
        };
        let urgent = self.levels.get(self.occupied.trailing_zeros() as usize).and_then(|level| level.peek());
        urgent.filter(suits).or_else(|| self.by_age.iter(slots).take(STEAL_DEPTH).find(suits))
    }

    /// Whether a task that just came to wait at `key` is to have the CPU at once; says so once per run.
    pub(crate) fn ask_preemption(&mut self, key: Key) -> bool {
        let Some(current) = &mut self.current else { return false };
        let better = key.class() < current.key.class()
            || (key.class() == current.key.class() && key.class().rules().preempts(key.level(), current.key.level()));
        let ask = better && !current.rescue && !current.asked;
        current.asked |= ask;
        ask
    }

    /// Brings the current task's key up to date, after a change of its policy or of what it inherits. Returns whether
    /// somebody who waits is to have the CPU.
    pub(crate) fn refresh_current(&mut self, slots: &Slots, now: Nanos) -> bool {
        let Some(slot) = self.charge(slots, now) else { return false };
        let Some(current) = &mut self.current else { return false };
        let (left, key) = (current.key, slot.effective_key());
        if left != key {
            current.key = key;
            current.weight = slot.policy().weight();
            self.depart(slot, left);
            let cpu = self.cpu;
            if let Some(level) = self.level_mut(key) {
                enter(slot, cpu, key, level);
            }
        } else {
            current.weight = slot.policy().weight();
        }
        self.occupied != 0 && self.ask_preemption(Key::from_number(self.occupied.trailing_zeros() as u8))
    }

    /// The first task of the first level.
    #[inline]
    fn regular<'s>(&mut self, slots: &'s Slots) -> Option<(u32, &'s Slot)> {
        let key = Key::from_number(self.occupied.trailing_zeros() as u8);
        let level = self.level_mut(key)?;
        match key.class().rules().order() {
            Order::Fair => level.first(slots),
            Order::Arrival => level.first_by_arrival(slots),
        }
    }

    /// Takes a task out of its level and the list by age.
    #[inline]
    fn unlink(&mut self, slots: &Slots, slot: &Slot) {
        self.unlink_level(slots, slot);
        self.by_age.unlink(slots, slot);
    }

    #[inline]
    fn unlink_level(&mut self, slots: &Slots, slot: &Slot) {
        let key = slot.key();
        if let Some(level) = self.level_mut(key) {
            level.unlink(slots, slot);
            if level.len() == 0 {
                self.occupied &= !(1 << key.number());
            }
        }
        self.load -= u64::from(slot.queued_weight.get());
    }

    /// The level of a key.
    #[inline]
    fn level(&self, key: Key) -> Option<&Level> {
        self.levels.get(usize::from(key.number()) % ROWS)
    }

    #[inline]
    fn level_mut(&mut self, key: Key) -> Option<&mut Level> {
        self.levels.get_mut(usize::from(key.number()) % ROWS)
    }

    /// What is left of the task's slice, or a new one.
    #[inline]
    fn full_slice(&self, slot: &Slot, key: Key) -> Nanos {
        let left = slot.slice_left.get();
        if left != 0 {
            return Nanos(u64::from(left));
        }
        let waiting = self.level(key).map_or(0, Level::len);
        let slice = key.class().rules().slice(slot.policy(), waiting);
        slot.slice_left.set(u32::try_from(slice.0).unwrap_or(u32::MAX));
        slice
    }

    /// Ends a regular slice where the starvation bound wants another choice.
    fn cut(&self, slots: &Slots, now: Nanos, slice: Nanos) -> Nanos {
        let Some((_, since)) = self.by_age.oldest(slots) else { return slice };
        let due = (since + patience(self.waiting())).saturating_sub(now);
        let limit = match self.episode {
            _ if due != Nanos::ZERO => due,
            Some(length) => length,
            None => rescue_slice(self.waiting()),
        };
        slice.min(limit.max(RESCUE_MIN))
    }

    /// Remembers where virtual time stood when the task left.
    fn depart(&self, slot: &Slot, key: Key) {
        if let Some(level) = self.level(key) {
            slot.floor_left.set(level.floor());
            slot.home.set(home(self.cpu, key));
        }
    }

    fn account_wait(&mut self, slot: &Slot, key: Key, now: Nanos) {
        let waited = now.saturating_sub(Nanos(slot.since.get()));
        self.stats.waited += waited;
        let woken = Nanos(slot.woken.get());
        if woken != Nanos::ZERO {
            slot.woken.set(0);
            if let Some(histogram) = self.stats.latency.get_mut(key.class() as usize) {
                histogram.record(now.saturating_sub(woken));
            }
        }
    }
}

/// A level as [`Slot::home`] names it.
fn home(cpu: CpuId, key: Key) -> u32 {
    (cpu.0 << 8 | u32::from(key.number())) + 1
}

/// Brings a task's virtual time into a level: what it used beyond its share stays with it, less what the level's time moved on
/// meanwhile if it comes back; what it did not use is lost, so sleep earns no claim.
fn enter(slot: &Slot, cpu: CpuId, key: Key, level: &Level) {
    let debt = slot.vruntime.get().saturating_sub(slot.floor_left.get());
    let base = if slot.home.get() == home(cpu, key) { slot.floor_left.get() } else { level.floor() };
    slot.vruntime.set((base + debt).max(level.floor()));
}
