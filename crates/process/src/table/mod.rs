//! The process table: from a number to a process or thread, and the home of every operation on more than one process.
//!
//! Look-up is O(1) and takes only the lock of one slot. Relations are in the [`Tree`], under the one lock of rank
//! `PROCESS_TREE`. The operations live beside this module, one file each: they change the tree and return [`Effects`].
//!
//! [`Effects`]: crate::Effects

mod check;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use sync::{Once, Rank, SpinGuard, SpinLock};
use types::{Pgid, Pid, Sid, Tid, Uid};

use crate::tree::{CHUNK, Claim, FIRST_CAPACITY, List, NONE, Number, Tree};
use crate::{PidNamespace, Process, ProcessError, Resources, Result, Thread, User};

pub use check::{Broken, Sound};

/// Most numbers a table can have.
pub const PID_MAX: u32 = 65_536;
/// Fewest: Linux's own floor is 301; tests want to see a full table.
const PID_MAX_FLOOR: u32 = 16;

/// How large a table may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableConfig {
    /// One past the highest number (boot option `pid_max`), at most [`PID_MAX`].
    pub pid_max: u32,
    /// Most processes at once.
    pub max_processes: u32,
    /// Most threads at once (`/proc/sys/kernel/threads-max`); a few more may slip through when CPUs create together.
    pub max_threads: u32,
}

impl Default for TableConfig {
    fn default() -> Self {
        Self { pid_max: PID_MAX, max_processes: PID_MAX, max_threads: PID_MAX }
    }
}

/// All processes and threads.
pub struct ProcessTable<R: Resources> {
    config: TableConfig,
    process_count: AtomicU32,
    thread_count: AtomicU32,
    created: AtomicU32,
    // Slots of `CHUNK` numbers each; made when a number of theirs is first used, never freed.
    slots: Box<[Once<SlotChunk<R>>]>,
    tree: SpinLock<Tree<R>>,
    users: SpinLock<BTreeMap<Uid, Arc<User>>>,
}

type SlotChunk<R> = Box<[SpinLock<Slot<R>>]>;

/// What a number means at the moment.
struct Slot<R: Resources> {
    // Counts the holders of the number, so that a stale (number, generation) is told from a fresh one.
    generation: u32,
    // Until it is reaped.
    process: Option<Arc<Process<R>>>,
    // Until it ends.
    thread: Option<Arc<Thread<R>>>,
}

impl<R: Resources> ProcessTable<R> {
    /// Bytes of table that each number takes, used or not.
    pub const BYTES_PER_NUMBER: usize = size_of::<crate::tree::Node<R>>() + size_of::<SpinLock<Slot<R>>>();

    /// An empty table.
    ///
    /// # Errors
    /// `NoMemory`; `InvalidArgument` for a size that makes no sense.
    pub fn new(config: TableConfig) -> Result<Self> {
        if !(PID_MAX_FLOOR..=PID_MAX).contains(&config.pid_max) || config.max_processes == 0 {
            return Err(ProcessError::InvalidArgument);
        }
        let chunks = (config.pid_max as usize).div_ceil(CHUNK);
        let mut slots = Vec::new();
        slots.try_reserve_exact(chunks).map_err(|_| ProcessError::NoMemory)?;
        slots.resize_with(chunks, Once::new);
        let table = Self {
            config,
            process_count: AtomicU32::new(0),
            thread_count: AtomicU32::new(0),
            created: AtomicU32::new(0),
            slots: slots.into_boxed_slice(),
            tree: SpinLock::new(Rank::PROCESS_TREE, Tree::new(config.pid_max)?),
            users: SpinLock::new(Rank::USERS, BTreeMap::new()),
        };
        // Numbers go round among these while few processes live: made here, memory stays the same from the start on.
        for chunk in 0..chunks.min(FIRST_CAPACITY as usize / CHUNK) {
            table.make_slots(chunk)?;
        }
        Ok(table)
    }

    // ---- look-up

    /// The process of that number, zombies included.
    #[inline]
    pub fn process(&self, pid: Pid) -> Option<Arc<Process<R>>> {
        self.slot(pid.0)?.lock().process.clone()
    }

    /// The thread of that number, until it ends.
    #[inline]
    pub fn thread(&self, tid: Tid) -> Option<Arc<Thread<R>>> {
        self.slot(tid.0)?.lock().thread.clone()
    }

    /// The process of that number if it is still the one of that generation.
    pub fn process_of_generation(&self, pid: Pid, generation: u32) -> Option<Arc<Process<R>>> {
        self.process(pid).filter(|process| process.generation() == generation)
    }

    /// The process with the lowest number from `from` on: for listings, without holding anything between two calls.
    pub fn next_process(&self, from: Pid) -> Option<Arc<Process<R>>> {
        let mut at = from.0;
        loop {
            let number = self.tree().next_used(at)?;
            if let Some(process) = self.process(Pid(number)) {
                return Some(process);
            }
            at = number.checked_add(1)?;
        }
    }

    /// All processes by ascending number, as a loop over [`ProcessTable::next_process`].
    pub fn processes(&self) -> impl Iterator<Item = Arc<Process<R>>> {
        let mut from = Pid(1);
        core::iter::from_fn(move || {
            let process = self.next_process(from)?;
            from = Pid(process.pid().0.saturating_add(1));
            Some(process)
        })
    }

    /// Whether a group of that number exists.
    pub fn group_exists(&self, group: Pgid) -> bool {
        self.tree().len(group.0, List::Group) != 0
    }

    /// The session a group belongs to.
    pub fn group_session(&self, group: Pgid) -> Option<Sid> {
        let tree = self.tree();
        (tree.len(group.0, List::Group) != 0).then(|| Sid(tree.node(group.0).group_session))
    }

    // ---- counts

    /// Processes, zombies included.
    pub fn process_count(&self) -> u32 {
        self.process_count.load(Ordering::Relaxed)
    }

    /// Threads that have not ended.
    pub fn thread_count(&self) -> u32 {
        self.thread_count.load(Ordering::Relaxed)
    }

    /// Processes and threads made since boot (`processes` in /proc/stat).
    pub fn created_count(&self) -> u32 {
        self.created.load(Ordering::Relaxed)
    }

    /// Numbers in use: processes, threads, and leaders gone whose group or session lives on.
    pub fn numbers_in_use(&self) -> u32 {
        self.tree().in_use()
    }

    /// One past the highest number (`/proc/sys/kernel/pid_max`).
    pub const fn pid_max(&self) -> u32 {
        self.config.pid_max
    }

    /// Most threads at once (`/proc/sys/kernel/threads-max`).
    pub const fn max_threads(&self) -> u32 {
        self.config.max_threads
    }

    // ---- for the operations

    pub(crate) fn tree(&self) -> SpinGuard<'_, Tree<R>> {
        self.tree.lock()
    }

    /// The account of a user.
    pub(crate) fn user(&self, uid: Uid) -> Arc<User> {
        let mut users = self.users.lock();
        if let Some(user) = users.get(&uid) {
            return user.clone();
        }
        // Accounts nobody refers to go when a new one comes: there is never more than one such per live process.
        users.retain(|_, user| Arc::strong_count(user) > 1);
        let user = Arc::new(User::new(uid));
        users.insert(uid, user.clone());
        user
    }

    /// Takes a number for a process or thread, with slot and node.
    pub(crate) fn claim_number(&self) -> Result<Number> {
        loop {
            let chunk = match self.tree().claim()? {
                Claim::Got(number) => {
                    // The node may have moved to a chunk of numbers that has no slots yet.
                    if let Err(error) = self.make_slots(number as usize / CHUNK) {
                        self.unclaim_number(number);
                        return Err(error);
                    }
                    return Ok(number);
                }
                Claim::NeedChunk(chunk) => chunk,
            };
            let nodes = Tree::new_chunk()?;
            let surplus = self.tree().add_chunk(chunk, nodes);
            drop(surplus);
        }
    }

    /// Gives a number back that came to nothing.
    pub(crate) fn unclaim_number(&self, number: Number) {
        self.tree().release_if_unused(number);
    }

    /// Gives a number that was just claimed one in `pids`, too; it goes with it.
    pub(crate) fn claim_inner(&self, number: Number, pids: &Arc<PidNamespace>) -> Result<()> {
        pids.claim(number, self.pid_max())?;
        self.tree().note_nested(number, pids.clone());
        Ok(())
    }

    /// The generation the next holder of `number` gets.
    pub(crate) fn next_generation(&self, number: Number) -> u32 {
        self.slot(number).map_or(0, |slot| {
            let mut slot = slot.lock();
            slot.generation = slot.generation.wrapping_add(1);
            slot.generation
        })
    }

    pub(crate) fn set_slot(
        &self,
        number: Number,
        process: Option<Arc<Process<R>>>,
        thread: Option<Arc<Thread<R>>>,
    ) -> Removed<R> {
        let Some(slot) = self.slot(number) else { return Removed { process: None, thread: None } };
        let mut slot = slot.lock();
        Removed {
            process: core::mem::replace(&mut slot.process, process),
            thread: core::mem::replace(&mut slot.thread, thread),
        }
    }

    pub(crate) fn set_slot_thread(&self, number: Number, thread: Option<Arc<Thread<R>>>) -> Option<Arc<Thread<R>>> {
        core::mem::replace(&mut self.slot(number)?.lock().thread, thread)
    }

    pub(crate) fn count_process(&self) -> Result<()> {
        let limit = self.config.max_processes;
        let take = |count| (count < limit).then_some(count + 1);
        let taken = self.process_count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.map(|_| ()).map_err(|_| ProcessError::ResourceExhausted)
    }

    pub(crate) fn uncount_process(&self) {
        self.process_count.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn count_thread(&self) {
        self.thread_count.fetch_add(1, Ordering::Relaxed);
        self.created.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn uncount_thread(&self) {
        self.thread_count.fetch_sub(1, Ordering::Relaxed);
    }

    fn slot(&self, number: Number) -> Option<&SpinLock<Slot<R>>> {
        if number == NONE {
            return None;
        }
        let number = number as usize;
        self.slots.get(number / CHUNK)?.get()?.get(number % CHUNK)
    }

    /// Makes the slots of a chunk of numbers unless they are there; they stay, since generations count on.
    fn make_slots(&self, chunk: usize) -> Result<()> {
        let slots = self.slots.get(chunk).ok_or(ProcessError::ResourceExhausted)?;
        if slots.get().is_none() {
            let made = Self::new_slots()?;
            slots.call_once(|| made);
        }
        Ok(())
    }

    fn new_slots() -> Result<SlotChunk<R>> {
        let mut slots = Vec::new();
        slots.try_reserve_exact(CHUNK).map_err(|_| ProcessError::NoMemory)?;
        slots.resize_with(CHUNK, || {
            SpinLock::new(Rank::PROCESS_TABLE, Slot { generation: 0, process: None, thread: None })
        });
        Ok(slots.into_boxed_slice())
    }
}

/// What a slot held; dropped when no lock is held.
pub(crate) struct Removed<R: Resources> {
    pub(crate) process: Option<Arc<Process<R>>>,
    pub(crate) thread: Option<Arc<Thread<R>>>,
}
