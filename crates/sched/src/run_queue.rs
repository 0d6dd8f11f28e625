//! The tasks that wait for one CPU, and what is known of the one that it runs: choice, accounts, slices.
//!
//! One object per CPU, behind that CPU's lock. Every operation touches a bounded number of tasks, however many wait.
//!
//! Its clock is that of the last switch: it counts the runs that ended, and ticks put it right. So most operations need not ask
//! the time.
//!
//! # The short way
//!
//! The *front* is the queue (a bucket of a level) that the last choice came from. While nothing comes in that is more urgent, it is
//! first come first served there; so a task whose place is the front, as its `hint` says, is put there and taken from there without a
//! look at levels, bitmaps and virtual times. The front's bits in the bitmaps stay set while it is empty; whoever goes the long
//! way calls [`RunQueue::leave_front`] first, which puts that right. There is no front during an episode of `starvation.rs`.

use alloc::sync::Arc;

use sync::{End, Lanes};
use types::{CpuId, Nanos};

use crate::SchedError;
use crate::class::{Class, slice_in_crowd};
use crate::entity::{Entity, NOTABLE, Schedulable, WOKEN, identity};
use crate::latency::CpuStats;
use crate::level::{BUCKETS, Level, REPAIRS, SHIFT};
use crate::priority::{Flavour, KEYS, Key, Place, Share, Urgency, Weight};
use crate::starvation::{TICK, patience, rescue_slice};

/// How many of the oldest tasks a thief looks at; a constant, so that a queue full of pinned tasks costs no more.
const STEAL_DEPTH: usize = 8;
/// Levels there is room for: [`KEYS`], rounded up so that an index by bits needs no check.
const ROWS: usize = KEYS.next_power_of_two();
/// A queue for each bucket of each level.
const LANES: usize = ROWS * BUCKETS as usize;
// A queue's number is the lower half of a hint.
const _: () = assert!(LANES <= 1 << 16);
/// No queue's hint, nor that of a task without one.
const NO_FRONT: u32 = u32::MAX;

/// Why a task is put into a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It was blocked.
    Woken,
    /// It is new: behind the others of its level.
    New,
    /// It gave up the CPU: behind the others of its level.
    Yielded,
    /// It lost the CPU before its slice ended: before its equals.
    Preempted,
    /// Its slice ended.
    Expired,
    /// From another queue, or from another level of this one: it waits already.
    Moved,
}

/// The task that has the CPU, as far as others have to know.
#[derive(Clone, Copy)]
struct Current {
    /// 0: none.
    identity: usize,
    place: Place,
    share: Share,
    /// The clock when it was chosen.
    since: u64,
}

pub(crate) struct RunQueue<T: Schedulable> {
    /// [`hint`] of the front; 0: there is none.
    front: u32,
    /// The same while the front is the only queue of its level with tasks in it: then a yield may go there. Else [`NO_FRONT`], which
    /// is no task's hint.
    sole_front: u32,
    waiting: u32,
    /// Wake-ups to the front that are not in the counts yet.
    front_wakes: u32,
    /// Yields by the short way: switches that are not in the counts yet.
    rotations: u64,
    /// The current task's slice has ended.
    over: bool,
    /// The current task runs for the starvation bound: not preempted.
    rescue: bool,
    /// The last choice was a rescue.
    rescued: bool,
    clock: u64,
    current: Current,
    lanes: Lanes<T, LANES>,
    pub(crate) stats: CpuStats,
    /// Weights of all tasks here, the current one included.
    load: u64,
    /// Keys with waiting tasks.
    occupied: u32,
    cpu: CpuId,
    /// Length of a rescue in this episode, in ns; 0 outside of one.
    episode: u32,
    /// The queue that the last rescue came from, plus one.
    rescued_lane: usize,
    /// The run that level time was brought up to date for, and what it was when that began.
    followed: (u64, u64),
    levels: [Level; ROWS],
    /// When tasks were last moved here though that made nothing better (see `balance.rs`).
    pub(crate) rotated: Nanos,
    /// When this CPU last looked for imbalance.
    pub(crate) balanced: Nanos,
}

impl<T: Schedulable> RunQueue<T> {
    pub(crate) fn new(cpu: CpuId) -> Result<Self, SchedError> {
        Ok(Self {
            front: 0,
            sole_front: NO_FRONT,
            waiting: 0,
            front_wakes: 0,
            rotations: 0,
            over: false,
            rescue: false,
            rescued: false,
            clock: 0,
            current: Current { identity: 0, place: Place::from_bits(0), share: Share::from_bits(0), since: 0 },
            lanes: Lanes::new().ok_or(SchedError::NoMemory)?,
            stats: CpuStats::default(),
            load: 0,
            occupied: 0,
            cpu,
            episode: 0,
            rescued_lane: 0,
            followed: (0, 0),
            levels: [Level::default(); ROWS],
            rotated: Nanos::ZERO,
            balanced: Nanos::ZERO,
        })
    }

    /// Tasks waiting, without the current one.
    #[inline]
    pub(crate) const fn waiting(&self) -> u32 {
        self.waiting
    }

    /// Weights of all tasks here, the current one included.
    pub(crate) const fn load(&self) -> u64 {
        self.load
    }

    /// Sets the clock. It never goes back.
    pub(crate) fn set_clock(&mut self, now: Nanos) {
        self.clock = self.clock.max(now.0 & !WOKEN);
    }

    pub(crate) const fn clock(&self) -> Nanos {
        Nanos(self.clock)
    }

    /// Whether that task waits here.
    pub(crate) fn contains(&self, task: &T) -> bool {
        self.lanes.contains(task)
    }

    /// Whether that task runs here.
    pub(crate) fn runs(&self, task: &T) -> bool {
        self.current.identity == identity(task)
    }

    /// Whether another task waits where the current one does, or before it.
    fn first_urgency(&mut self) -> Urgency {
        self.leave_front();
        match self.first_place() {
            Some((key, bucket)) => {
                let rank = if key < usize::from(Key::FIRST_FAIR) { bucket as u32 } else { 0 };
                Urgency((key as u32) << BUCKETS.trailing_zeros() | rank)
            }
            None => Urgency::NONE,
        }
    }

    /// The current task gives up the CPU after a run of `ran`: accounts it. Whether it may go the short way.
    #[inline]
    pub(crate) fn leave(&mut self, entity: &Entity<T>, ran: Nanos) -> bool {
        // Even, so that a wait that begins here is no wake-up's.
        self.clock += ran.0 & !WOKEN;
        if entity.ran(ran) || entity.needs_attention() {
            return self.leave_long(entity);
        }
        true
    }

    #[cold]
    fn leave_long(&mut self, entity: &Entity<T>) -> bool {
        if entity.is_unsettled() || entity.is_outdated() {
            self.settle(entity);
        }
        false
    }

    /// Puts a task behind the others of the front and takes out the first, if the front is where it belongs and
    /// others of its level wait nowhere else.
    #[inline]
    pub(crate) fn rotate(&mut self, task: Arc<T>) -> Result<Arc<T>, Arc<T>> {
        let entity = task.entity();
        let hint = entity.hint.get();
        if hint != self.sole_front {
            return Err(task);
        }
        entity.since.set(self.clock);
        entity.state.requeue();
        let next = self.lanes.rotate(task, hint as usize);
        self.rotations += 1;
        self.choose(&next);
        Ok(next)
    }

    /// Queues a task that was woken at `at` in the front, if that is where it belongs.
    #[inline]
    pub(crate) fn push_woken(&mut self, task: Arc<T>, at: Nanos) -> Result<(), Arc<T>> {
        self.push_front_queue(task, at.0 | WOKEN)?;
        self.front_wakes += 1;
        Ok(())
    }

    /// Queues a task in the front, if that is where it belongs.
    #[inline]
    fn push_front_queue(&mut self, task: Arc<T>, since: u64) -> Result<(), Arc<T>> {
        let entity = task.entity();
        let hint = entity.hint.get();
        if hint != self.front || hint == 0 {
            return Err(task);
        }
        entity.since.set(since);
        self.load += u64::from(entity.weight().get());
        self.waiting += 1;
        let _ = self.lanes.push(task, hint as usize, End::Tail);
        Ok(())
    }

    /// A new task whose maker, which runs here, is a hog begins as one: with fresh credit for each child a hog would stay above its
    /// level for as long as it makes some.
    #[inline]
    pub(crate) fn begin_as_maker(&self, entity: &Entity<T>) {
        let debt = self.current.place.debt();
        if debt != 0 && self.current.identity != 0 {
            entity.begin_with(debt);
        }
    }

    /// Queues a new task in the front, if its level is the front's and nobody of that waits elsewhere: then it is behind all.
    pub(crate) fn push_new(&mut self, task: Arc<T>, at: Nanos) -> Result<(), Arc<T>> {
        let (entity, front) = (task.entity(), self.sole_front);
        let key = front as usize % LANES / BUCKETS as usize;
        let place = entity.place();
        if front == NO_FRONT || !place.is_fair() || usize::from(place.key().number()) != key {
            return Err(task);
        }
        let Some(level) = self.levels.get(key) else { return Err(task) };
        entity.home.set(home(self.cpu, place.key()));
        entity.vruntime.set(level.time());
        entity.floor_left.set(level.floor as u32);
        entity.hint.set(front);
        self.push_front_queue(task, at.0 & !WOKEN)
    }

    /// Takes the first task out of the front, if there is one, and makes it current.
    #[inline]
    pub(crate) fn pop_front_queue(&mut self) -> Option<Arc<T>> {
        if self.front == 0 {
            return None;
        }
        let task = self.lanes.pop(self.front as usize)?;
        self.waiting -= 1;
        self.make_current(&task);
        Some(task)
    }

    /// There is no front from now on.
    fn leave_front(&mut self) {
        if self.front == 0 {
            return;
        }
        let lane = self.front as usize % LANES;
        self.count_front_wakes();
        self.front = 0;
        self.sole_front = NO_FRONT;
        self.note_taken(lane);
    }

    /// The current task has left for good or for long: it blocks or ends.
    #[inline]
    pub(crate) fn note_gone(&mut self, entity: &Entity<T>) {
        self.current.identity = 0;
        self.load -= u64::from(entity.weight().get());
    }

    /// A task that had gone is here again.
    pub(crate) fn note_back(&mut self, entity: &Entity<T>) {
        self.load += u64::from(entity.weight().get());
    }

    /// Nothing runs.
    pub(crate) fn note_idle(&mut self) {
        self.current.identity = 0;
        self.stats.idles += 1;
    }

    /// How a preempted task goes back into the queue.
    #[inline]
    pub(crate) fn arrival_of_preempted(&self, entity: &Entity<T>) -> Arrival {
        let place = entity.place();
        let keeps = if self.over { place.flavour() == Flavour::Fifo && !place.is_fair() } else { true };
        // What ran for the sake of the starvation bound goes behind its equals, so that they do not starve in turn.
        if keeps && !self.rescue { Arrival::Preempted } else { Arrival::Expired }
    }

    /// What the current task ran and was not settled, since it ends.
    pub(crate) fn note_end(&mut self, entity: &Entity<T>) {
        if let Some(time) = self.stats.class_time.get_mut(entity.place().key().class() as usize) {
            *time += entity.unsettled();
        }
    }

    /// Brings accounts and place of the current task, which leaves, up to date.
    #[cold]
    pub(crate) fn settle(&mut self, entity: &Entity<T>) {
        let (before, weight) = (entity.place().key(), entity.weight().get());
        let ran = entity.settle();
        self.load = self.load + u64::from(entity.weight().get()) - u64::from(weight);
        if let Some(time) = self.stats.class_time.get_mut(before.class() as usize) {
            *time += ran;
        }
        if entity.place().key() != before {
            self.depart(entity, before);
        }
    }

    /// Queues a task that was not here, the long way. Returns how urgent it is.
    pub(crate) fn push(&mut self, task: Arc<T>, arrival: Arrival, at: Nanos) -> Urgency {
        self.load += u64::from(task.entity().weight().get());
        self.enqueue(task, arrival, at)
    }

    /// Queues the task that was current, the long way. Returns how urgent it is.
    pub(crate) fn put_back(&mut self, task: Arc<T>, arrival: Arrival) -> Urgency {
        self.enqueue(task, arrival, Nanos(self.clock))
    }

    fn enqueue(&mut self, task: Arc<T>, arrival: Arrival, at: Nanos) -> Urgency {
        self.leave_front();
        let entity = task.entity();
        let urgency = entity.place().urgency();
        let Some((key, bucket)) = self.enter(entity, arrival) else { return urgency };
        self.waiting += 1;
        match arrival {
            Arrival::Woken => self.stats.count_wakes(entity.place().key().class(), 1),
            Arrival::Yielded => self.stats.yields += 1,
            _ => {}
        }
        entity.set_cpu(self.cpu);
        let end = if arrival == Arrival::Preempted { End::Head } else { End::Tail };
        if arrival != Arrival::Moved {
            let first = self.lanes.first(lane(key, bucket)).filter(|_| end == End::Head);
            // It hides those behind it from whoever looks for the longest wait, so it looks as old as they are.
            let since = first.map_or(at.0, |first| first.entity().since.get()) & !WOKEN;
            entity.since.set(if arrival == Arrival::Woken { since | WOKEN } else { since });
        }
        // Whoever queues a task owns it, so it is in no queue.
        let _ = self.lanes.push(task, lane(key, bucket), end);
        urgency
    }

    /// Finds the bucket for a task, which is occupied from now on.
    fn enter(&mut self, entity: &Entity<T>, arrival: Arrival) -> Option<(usize, u64)> {
        let place = entity.place();
        let key = usize::from(place.key().number()) % ROWS;
        let level = self.levels.get_mut(key)?;
        let (mut wanted, mut bucket) = (u64::from(place.rank()), u64::from(place.rank()));
        if place.is_fair() {
            let home = home(self.cpu, place.key());
            if entity.home.get() != home {
                move_in(entity, home, level);
            }
            let vruntime = entity.vruntime.get().max(level.time());
            entity.vruntime.set(vruntime);
            entity.floor_left.set(level.floor as u32);
            wanted = vruntime >> SHIFT;
            bucket = level.bucket(vruntime);
            if matches!(arrival, Arrival::Yielded | Arrival::New) {
                bucket = bucket.max(level.last());
            }
        }
        entity.hint.set(if bucket == wanted { hint(self.cpu, lane(key, bucket)) } else { 0 });
        level.note(bucket, wanted);
        self.occupied |= 1 << key;
        Some((key, bucket))
    }

    /// Chooses the next task, the long way, and makes it current; with the length of its slice if that is shorter than a tick,
    /// else 0. There is no current one.
    pub(crate) fn pick(&mut self) -> Option<(Arc<T>, u32)> {
        self.leave_front();
        self.over = false;
        if self.episode != 0 {
            return self.pick_in_episode();
        }
        let task = self.first()?;
        self.make_current(&task);
        Some((task, 0))
    }

    /// A choice while somebody is overdue: every other one is the one that waits longest.
    #[cold]
    fn pick_in_episode(&mut self) -> Option<(Arc<T>, u32)> {
        self.rescue = false;
        let waiting = self.waiting();
        let Some(lane) = self.overdue_lane(self.clock) else {
            self.episode = 0;
            self.rescued = false;
            return self.pick();
        };
        let length = u32::try_from(rescue_slice(waiting).0).unwrap_or(u32::MAX);
        self.episode = self.episode.min(length);
        self.rescued = !self.rescued;
        let task = if self.rescued {
            self.rescued_lane = lane + 1;
            self.rescue = true;
            self.stats.rescues += 1;
            self.pop(lane)
        } else {
            let task = self.first();
            // It may have become the front, and there is none in an episode.
            self.leave_front();
            task
        }?;
        self.make_current(&task);
        Some((task, self.episode))
    }

    /// A queue whose first task is overdue at `now`: that of the last rescue if it still does, or else the one with the
    /// oldest. Within a queue the first is the oldest, but for one that was preempted and goes on first. At most as many looks as there
    /// are queues, a constant.
    fn overdue_lane(&self, now: u64) -> Option<usize> {
        let overdue = now.checked_sub(patience(self.waiting).0)?;
        let since = |lane: usize| self.lanes.first(lane).map(|task| (task.entity().since.get(), lane));
        let is_overdue = |(since, _): &(u64, usize)| *since <= overdue;
        if let Some(last) = self.rescued_lane.checked_sub(1)
            && let Some((_, lane)) = since(last).filter(is_overdue)
        {
            return Some(lane);
        }
        self.occupied_lanes().filter_map(since).min().filter(is_overdue).map(|(_, lane)| lane)
    }

    /// Makes a task current that is in no queue: chosen here, or stolen.
    #[inline]
    pub(crate) fn make_current(&mut self, task: &Arc<T>) {
        self.stats.switches += 1;
        self.choose(task);
    }

    #[inline]
    fn choose(&mut self, task: &Arc<T>) {
        let entity = task.entity();
        self.current =
            Current { identity: identity(&**task), place: entity.place(), share: entity.share(), since: self.clock };
        // Less than nothing, if this clock is behind, looks like very much.
        let waited = self.clock.wrapping_sub(entity.since.get());
        if waited >= NOTABLE.0 {
            self.note_wait(entity, waited);
        } else {
            entity.waited.set(entity.waited.get().wrapping_add(waited as u32));
        }
        entity.state.start();
    }

    /// A wait that is worth a note.
    #[cold]
    fn note_wait(&mut self, entity: &Entity<T>, waited: u64) {
        let since = entity.since.get();
        if waited >> 63 != 0 {
            // The clock adds up runs, each rounded down. Nothing waits since the future.
            self.clock = since & !WOKEN;
            return;
        }
        let short = u32::try_from(waited).unwrap_or(u32::MAX);
        entity.waited.set(entity.waited.get().saturating_add(short));
        self.stats.waited += Nanos(waited);
        if since & WOKEN != 0 {
            self.stats.note_latency(entity.place().key().class(), Nanos(waited));
        }
    }

    /// What this CPU has counted.
    pub(crate) fn stats(&self) -> CpuStats {
        let CpuStats { switches, yields, .. } = self.stats;
        let (switches, yields) = (switches + self.rotations, yields + self.rotations);
        let mut stats = CpuStats { waiting: self.waiting, switches, yields, ..self.stats };
        if self.front_wakes != 0 {
            stats.count_wakes(self.front_class(), self.front_wakes.into());
        }
        stats
    }

    #[inline]
    fn count_front_wakes(&mut self) {
        if self.front_wakes != 0 {
            let class = self.front_class();
            self.stats.count_wakes(class, core::mem::take(&mut self.front_wakes).into());
        }
    }

    /// Whose queue the front is.
    fn front_class(&self) -> Class {
        Key::from_number((self.front as usize % LANES / BUCKETS as usize) as u8).class()
    }

    /// How urgent a task must be to take the CPU from the one that was just chosen.
    #[inline]
    pub(crate) fn threshold(&self) -> Urgency {
        if self.rescue { Urgency::MOST } else { self.current.place.urgency().threshold() }
    }

    /// Takes out the first task of the first level, whose queue becomes the front.
    fn first(&mut self) -> Option<Arc<T>> {
        let (key, mut bucket) = self.first_place()?;
        if key >= usize::from(Key::FIRST_FAIR) {
            bucket = self.repair(key, bucket);
            self.levels.get_mut(key)?.floor = bucket;
        }
        let lane = lane(key, bucket);
        let task = self.lanes.pop(lane)?;
        self.waiting -= 1;
        self.count_front_wakes();
        let level = self.levels.get(key)?;
        let bit = 1 << (bucket % BUCKETS);
        if level.late & bit == 0 {
            // Its bits stay set, whether it is empty now or not.
            self.front = hint(self.cpu, lane);
            self.sole_front = if level.occupied == bit { self.front } else { NO_FRONT };
        } else {
            self.note_taken(lane);
        }
        Some(task)
    }

    /// Moves on tasks whose turn came too early; returns the bucket of the one whose turn it is. One that was put back by a yield is
    /// too early as well, and right.
    fn repair(&mut self, key: usize, first: u64) -> u64 {
        let mut bucket = first;
        for _ in 0..REPAIRS {
            let Some(level) = self.levels.get_mut(key) else { break };
            if level.late & 1 << (bucket % BUCKETS) == 0 {
                break;
            }
            let from = lane(key, bucket);
            let wanted = self.lanes.first(from).map_or(0, |task| task.entity().vruntime.get() >> SHIFT);
            if wanted <= bucket {
                break;
            }
            level.floor = bucket;
            if level.occupied == 1 << (bucket % BUCKETS) && self.lanes.is_single(from) {
                // It is alone: its time is the level's.
                level.floor = wanted;
            }
            let next = wanted.min(level.floor + BUCKETS - 1);
            self.lanes.pass_on(from, lane(key, next));
            if self.lanes.is_empty_lane(from) {
                level.vacate(bucket);
            }
            level.note(next, wanted);
            bucket = level.first();
        }
        bucket
    }

    /// Level and bucket of the first waiting task. There is no front.
    fn first_place(&self) -> Option<(usize, u64)> {
        if self.occupied == 0 {
            return None;
        }
        let key = self.occupied.trailing_zeros() as usize % ROWS;
        let level = self.levels.get(key)?;
        Some((key, level.first()))
    }

    /// Takes out the first of a queue.
    fn pop(&mut self, lane: usize) -> Option<Arc<T>> {
        let task = self.lanes.pop(lane)?;
        self.waiting -= 1;
        self.note_taken(lane);
        Some(task)
    }

    /// After a task was taken out of a queue.
    fn note_taken(&mut self, lane: usize) {
        let (key, bucket) = (lane / BUCKETS as usize, lane as u64 % BUCKETS);
        if self.lanes.is_empty_lane(lane)
            && let Some(level) = self.levels.get_mut(key % ROWS)
        {
            level.vacate(bucket);
            if level.occupied == 0 {
                self.occupied &= !(1 << key);
            }
        }
    }

    /// Takes a waiting task out, wherever it is; the caller owns it then.
    pub(crate) fn take(&mut self, task: &T) -> Option<Arc<T>> {
        self.leave_front();
        let lane = self.lanes.lane_of(task)?;
        let task = self.lanes.remove(task)?;
        self.note_given(&task, lane);
        Some(task)
    }

    /// After a task was taken out that is to go elsewhere.
    fn note_given(&mut self, task: &Arc<T>, lane: usize) {
        self.waiting -= 1;
        self.load -= u64::from(task.entity().weight().get());
        self.note_taken(lane);
        self.depart(task.entity(), Key::from_number((lane / BUCKETS as usize) as u8));
    }

    /// Brings a waiting task to where its policy says now. Returns how urgent it is.
    pub(crate) fn rekey(&mut self, task: &T) -> Option<Urgency> {
        self.leave_front();
        let (entity, from) = (task.entity(), self.lanes.lane_of(task)?);
        let weight = entity.weight().get();
        self.depart(entity, Key::from_number((from / BUCKETS as usize) as u8));
        entity.apply();
        let (key, bucket) = self.enter(entity, Arrival::Moved)?;
        self.lanes.relocate(task, lane(key, bucket));
        self.load = self.load + u64::from(entity.weight().get()) - u64::from(weight);
        self.note_taken(from);
        Some(entity.place().urgency())
    }

    /// Brings the current task up to date after a change of its policy. Whether somebody who waits is to have the CPU.
    pub(crate) fn refresh_current(&mut self, task: &T) -> bool {
        let entity = task.entity();
        let (before, weight) = (entity.place().key(), entity.weight().get());
        entity.apply();
        if entity.place().key() != before {
            self.depart(entity, before);
        }
        self.load = self.load + u64::from(entity.weight().get()) - u64::from(weight);
        self.current.place = entity.place();
        self.current.share = entity.share();
        self.first_urgency() < self.threshold()
    }

    /// A waiting task that `thief` may run and that waits since `before`, taken out: the most urgent one, but a bounded number
    /// are looked at.
    pub(crate) fn give(&mut self, thief: CpuId, before: Nanos, fits: impl Fn(u32) -> bool) -> Option<Arc<T>> {
        self.leave_front();
        let suits = |task: &T| {
            let entity = task.entity();
            entity.affinity().contains(thief) && entity.since.get() <= before.0 && fits(entity.weight().get())
        };
        for lane in self.occupied_lanes().take(STEAL_DEPTH) {
            if let Some(task) = self.lanes.take_if(lane, STEAL_DEPTH, suits) {
                self.note_given(&task, lane);
                return Some(task);
            }
        }
        None
    }

    /// Whether [`RunQueue::give`] would find something for `thief`.
    pub(crate) fn could_give(&self, thief: CpuId) -> bool {
        let suits = |task: &T| task.entity().affinity().contains(thief);
        self.occupied_lanes().take(STEAL_DEPTH).any(|lane| self.lanes.iter(lane).take(STEAL_DEPTH).any(suits))
    }

    /// Queues with tasks in them, the most urgent levels first; the front among them even if it is empty.
    fn occupied_lanes(&self) -> impl Iterator<Item = usize> + use<T> {
        let levels = self.levels;
        bits(self.occupied.into()).flat_map(move |key| {
            let buckets = levels.get(key).map_or(0, |level| level.occupied);
            bits(buckets).map(move |bucket| lane(key, bucket as u64))
        })
    }

    /// How soon the clock has to tick again: in a crowd, so soon that all get their turn before they look starved.
    pub(crate) fn next_tick(&self) -> Nanos {
        if self.episode != 0 { Nanos(self.episode.into()) } else { slice_in_crowd(TICK, self.waiting) }
    }

    /// The clock ticks; the current task has run for `ran`. Whether it has to give up the CPU.
    pub(crate) fn tick(&mut self, now: Nanos, ran: Nanos) -> bool {
        self.set_clock(now.saturating_sub(ran));
        if self.current.identity == 0 {
            return false;
        }
        self.current.since = self.clock;
        self.leave_front();
        let Current { place, share, .. } = self.current;
        let weight = share.weight();
        let ran = ran.0;
        self.follow(place, weight, self.stats.switches + self.rotations, ran);
        if self.waiting == 0 {
            return false;
        }
        if self.episode == 0 && self.overdue_lane(now.0).is_some() {
            self.episode = u32::try_from(rescue_slice(self.waiting).0).unwrap_or(u32::MAX);
            self.over = true;
            return true;
        }
        self.over |= if self.episode != 0 {
            ran >= u64::from(self.episode)
        } else {
            let slice = place.key().class().rules().slice(place.flavour(), weight, self.waiting);
            // Ticks come as they come: a slice ends at the nearest one.
            let fifo = place.flavour() == Flavour::Fifo && !place.is_fair();
            // One that may fall has to stop to do so, whoever waits.
            let falls = place.is_fair() && matches!(place.flavour(), Flavour::Adaptive | Flavour::Batch);
            let ends = !fifo && ran + self.next_tick().0 / 2 >= slice.0;
            ends && (falls || self.first_urgency() <= place.urgency())
        };
        self.over
    }

    /// While nobody waits in the current task's level, what comes comes at the time that the task has got to.
    fn follow(&mut self, place: Place, weight: Weight, run: u64, ran: u64) {
        let Some(level) = self.levels.get_mut(usize::from(place.key().number())) else { return };
        if !place.is_fair() || level.occupied != 0 {
            return;
        }
        if self.followed.0 != run {
            self.followed = (run, level.floor);
        }
        level.floor = level.floor.max(self.followed.1 + (weight.virtual_time(ran) >> SHIFT));
    }

    /// Remembers where virtual time stood when the task left.
    fn depart(&self, entity: &Entity<T>, key: Key) {
        if entity.home.get() == home(self.cpu, key)
            && let Some(level) = self.levels.get(usize::from(key.number()))
        {
            entity.floor_left.set(level.floor as u32);
        }
    }
}

/// Numbers of the bits that are set.
fn bits(mut map: u64) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let bit = (map != 0).then(|| map.trailing_zeros() as usize)?;
        map &= map - 1;
        Some(bit)
    })
}

/// A queue of a CPU in one word, not 0.
#[inline]
const fn hint(cpu: CpuId, lane: usize) -> u32 {
    (cpu.0 + 1) << 16 | lane as u32
}

/// The queue of a bucket of a level.
#[inline]
const fn lane(key: usize, bucket: u64) -> usize {
    key * BUCKETS as usize + (bucket % BUCKETS) as usize
}

/// A level as [`Entity::home`] names it.
#[inline]
const fn home(cpu: CpuId, key: Key) -> u16 {
    ((cpu.0 as u16) << 8 | key.number() as u16) + 1
}

/// Brings a task's virtual time into another level: what it used beyond its share stays with it; what it did not use is lost.
#[cold]
fn move_in<T>(entity: &Entity<T>, home: u16, level: &Level) {
    let vruntime = entity.vruntime.get();
    // Both are as they were when it left: what matters is how far apart, which 32 bits hold.
    let ahead = ((vruntime >> SHIFT) as u32).wrapping_sub(entity.floor_left.get()).cast_signed();
    let debt = if ahead < 0 { 0 } else { u64::from(ahead.unsigned_abs()) << SHIFT | vruntime & ((1 << SHIFT) - 1) };
    entity.home.set(home);
    entity.vruntime.set(level.time() + debt);
}
