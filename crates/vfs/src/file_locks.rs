//! Advisory locks: flock(2), and record locks of fcntl(2) owned by processes or by open files.

use alloc::sync::Arc;
use alloc::vec::Vec;

use sync::{Once, Rank, SpinLock, WaitQueue};
use types::Pid;

use crate::{Result, VfsError};

/// Most record locks and flocks on one file.
const MAX_LOCKS: usize = 4096;

/// Who holds a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LockOwner {
    /// A process (F_SETLK): any number that is unique to its descriptor table.
    Process(u64),
    /// An open file (F_OFD_SETLK, flock).
    OpenFile(u64),
}

/// Shared or exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockKind {
    /// Any number may hold it (F_RDLCK, LOCK_SH).
    Shared,
    /// One alone (F_WRLCK, LOCK_EX).
    Exclusive,
}

/// A lock on a range of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordLock {
    /// First byte.
    pub start: u64,
    /// Last byte; `u64::MAX` for all to come.
    pub end: u64,
    /// Shared or exclusive.
    pub kind: LockKind,
    /// Who holds it.
    pub owner: LockOwner,
    /// Process to name to others.
    pub pid: Pid,
}

impl RecordLock {
    fn overlaps(&self, start: u64, end: u64) -> bool {
        self.start <= end && start <= self.end
    }

    fn conflicts(&self, other: &Self) -> bool {
        self.owner != other.owner
            && self.overlaps(other.start, other.end)
            && (self.kind == LockKind::Exclusive || other.kind == LockKind::Exclusive)
    }
}

/// Advisory locks of one file; takes no memory until the first is asked for.
#[derive(Default)]
pub struct FileLocks {
    table: Once<Arc<Table>>,
}

struct Table {
    locks: SpinLock<Locks>,
    queue: Arc<WaitQueue>,
}

struct Locks {
    records: Vec<RecordLock>,
    flocks: Vec<(u64, LockKind)>,
}

impl FileLocks {
    /// No locks.
    pub const fn new() -> Self {
        Self { table: Once::new() }
    }

    /// Where to wait for a lock: woken when any is given up.
    pub fn queue(&self) -> &Arc<WaitQueue> {
        &self.table().queue
    }

    /// Takes a record lock, in place of what its owner has of that range.
    ///
    /// # Errors
    /// [`VfsError::WouldBlock`] while another holds a conflicting one, [`VfsError::NoLocks`].
    pub fn lock_record(&self, lock: RecordLock) -> Result<()> {
        let table = self.table();
        {
            let mut locks = table.locks.lock();
            if locks.records.iter().any(|held| held.conflicts(&lock)) {
                return Err(VfsError::WouldBlock);
            }
            locks.reserve()?;
            locks.carve(lock.owner, lock.start, lock.end);
            locks.insert(lock);
        }
        // A downgrade lets others in.
        table.queue.wake_all();
        Ok(())
    }

    /// Gives up what `owner` has between `start` and `end`.
    ///
    /// # Errors
    /// [`VfsError::NoLocks`] if a lock would have to be split and there is no room.
    pub fn unlock_record(&self, owner: LockOwner, start: u64, end: u64) -> Result<()> {
        let Some(table) = self.table.get() else { return Ok(()) };
        {
            let mut locks = table.locks.lock();
            // Only what leaves two parts of one takes a place.
            if locks.records.iter().any(|held| held.owner == owner && held.start < start && held.end > end) {
                locks.reserve()?;
            }
            locks.carve(owner, start, end);
        }
        table.queue.wake_all();
        Ok(())
    }

    /// The first lock in the way of `lock` (F_GETLK).
    pub fn conflict(&self, lock: &RecordLock) -> Option<RecordLock> {
        let table = self.table.get()?;
        let locks = table.locks.lock();
        locks.records.iter().filter(|held| held.conflicts(lock)).min_by_key(|held| held.start).copied()
    }

    /// Shows `visit` each record lock.
    ///
    /// # Errors
    /// Those of `visit`.
    pub fn each_record(&self, visit: &mut dyn FnMut(&RecordLock) -> core::fmt::Result) -> core::fmt::Result {
        let Some(table) = self.table.get() else { return Ok(()) };
        table.locks.lock().records.iter().try_for_each(visit)
    }

    /// What the open file `id` holds by flock(2).
    pub fn flock_of(&self, id: u64) -> Option<LockKind> {
        let table = self.table.get()?;
        let locks = table.locks.lock();
        locks.flocks.iter().find(|(holder, _)| *holder == id).map(|(_, kind)| *kind)
    }

    /// Gives up all record locks of `owner`.
    pub fn release_owner(&self, owner: LockOwner) {
        let Some(table) = self.table.get() else { return };
        let released = {
            let mut locks = table.locks.lock();
            let before = locks.records.len();
            locks.records.retain(|held| held.owner != owner);
            locks.records.len() != before
        };
        if released {
            table.queue.wake_all();
        }
    }

    /// flock(2) for the open file `id`: takes, or changes the kind.
    ///
    /// # Errors
    /// [`VfsError::WouldBlock`], after which the earlier lock is gone, as in Linux; [`VfsError::NoLocks`].
    pub fn flock(&self, id: u64, kind: LockKind) -> Result<()> {
        let table = self.table();
        let (outcome, changed) = {
            let mut locks = table.locks.lock();
            let held = locks.flocks.iter().position(|(holder, _)| *holder == id);
            if held.and_then(|at| locks.flocks.get(at)).is_some_and(|(_, old)| *old == kind) {
                return Ok(());
            }
            if let Some(at) = held {
                locks.flocks.swap_remove(at);
            }
            let free = locks.flocks.iter().all(|(_, other)| *other == LockKind::Shared && kind == LockKind::Shared);
            if !free {
                (Err(VfsError::WouldBlock), held.is_some())
            } else if locks.reserve().is_err() {
                (Err(VfsError::NoLocks), held.is_some())
            } else {
                locks.flocks.push((id, kind));
                (Ok(()), held.is_some())
            }
        };
        if changed {
            table.queue.wake_all();
        }
        outcome
    }

    /// Gives up the flock of the open file `id`.
    pub fn release_flock(&self, id: u64) {
        let Some(table) = self.table.get() else { return };
        let released = {
            let mut locks = table.locks.lock();
            let before = locks.flocks.len();
            locks.flocks.retain(|(holder, _)| *holder != id);
            locks.flocks.len() != before
        };
        if released {
            table.queue.wake_all();
        }
    }

    fn table(&self) -> &Arc<Table> {
        self.table.call_once(|| {
            Arc::new(Table {
                locks: SpinLock::new(Rank::OPEN_FILE, Locks { records: Vec::new(), flocks: Vec::new() }),
                queue: Arc::new(WaitQueue::new()),
            })
        })
    }
}

impl Locks {
    /// Room for what one change can add: a lock, and a half of one that it splits.
    fn reserve(&mut self) -> Result<()> {
        if self.records.len() + self.flocks.len() >= MAX_LOCKS {
            return Err(VfsError::NoLocks);
        }
        self.records.try_reserve(2).map_err(|_| VfsError::NoLocks)?;
        self.flocks.try_reserve(1).map_err(|_| VfsError::NoLocks)
    }

    /// Takes `start..=end` out of what `owner` holds. Needs room for one.
    fn carve(&mut self, owner: LockOwner, start: u64, end: u64) {
        let mut tail = None;
        self.records.retain_mut(|held| {
            if held.owner != owner || !held.overlaps(start, end) {
                return true;
            }
            let before = (held.start < start).then(|| start - 1);
            let after = (held.end > end).then(|| end + 1);
            match (before, after) {
                (Some(last), Some(first)) => {
                    tail = Some(RecordLock { start: first, ..*held });
                    held.end = last;
                    true
                }
                (Some(last), None) => {
                    held.end = last;
                    true
                }
                (None, Some(first)) => {
                    held.start = first;
                    true
                }
                (None, None) => false,
            }
        });
        if let Some(tail) = tail {
            self.records.push(tail);
        }
    }

    /// Adds a lock, melted with its owner's neighbours of the same kind. Needs room for one.
    fn insert(&mut self, mut lock: RecordLock) {
        self.records.retain(|held| {
            let touches = held.start <= lock.end.saturating_add(1) && lock.start <= held.end.saturating_add(1);
            if held.owner != lock.owner || held.kind != lock.kind || !touches {
                return true;
            }
            lock.start = lock.start.min(held.start);
            lock.end = lock.end.max(held.end);
            false
        });
        self.records.push(lock);
    }
}
