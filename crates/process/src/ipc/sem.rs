//! Sets of semaphores (semop(2)).

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use sync::{Rank, SpinLock, WaitQueue};
use types::{Credentials, Pid};

use super::{IpcError, NO_WAIT, Object, Permissions};

/// Most sets.
pub const SETS: u32 = 32_000;
/// Most semaphores of a set.
pub const PER_SET: u32 = 32_000;
/// Most semaphores in all, as Linux says.
pub const IN_ALL: u32 = 1_024_000_000;
/// Most operations of a call.
pub const OPERATIONS: u32 = 500;
/// Largest value.
pub const LARGEST: i32 = 32_767;
/// SEM_UNDO.
pub const UNDO: u32 = 0x1000;

/// One operation on one semaphore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Which.
    pub number: u16,
    /// Added; 0 waits for zero.
    pub change: i16,
    /// IPC_NOWAIT, SEM_UNDO.
    pub flags: u32,
}

/// A set of semaphores.
#[derive(Debug)]
pub struct Set {
    count: u32,
    state: SpinLock<State>,
    queue: Arc<WaitQueue>,
}

#[derive(Debug)]
struct State {
    permissions: Permissions,
    values: Vec<Semaphore>,
    /// What is added when a process ends.
    undo: BTreeMap<(Pid, u16), i32>,
    operated: i64,
    changed: i64,
    removed: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Semaphore {
    value: i32,
    pid: Pid,
    /// Calls that wait for a larger value, and for zero.
    waiting: [u32; 2],
}

/// What IPC_STAT tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetInfo {
    /// Owner and rights.
    pub permissions: Permissions,
    /// Time of the last operation; 0 for none.
    pub operated: i64,
    /// Time of the last change by semctl.
    pub changed: i64,
    /// Semaphores.
    pub count: u32,
}

/// A call that cannot go on: counted as waiting while this lives.
pub struct Waiting<'a> {
    set: &'a Set,
    number: u16,
    kind: usize,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.set.state.lock();
        let semaphore = state.values.get_mut(usize::from(self.number));
        if let Some(count) = semaphore.and_then(|semaphore| semaphore.waiting.get_mut(self.kind)) {
            *count = count.saturating_sub(1);
        }
    }
}

impl Object for Set {
    fn permissions(&self) -> Permissions {
        self.state.lock().permissions
    }
}

impl Set {
    /// A set of `count` semaphores at zero.
    ///
    /// # Errors
    /// [`IpcError::Invalid`] for none or too many, [`IpcError::NoMemory`].
    pub fn new(permissions: Permissions, count: u32, now: i64) -> Result<Self, IpcError> {
        if count == 0 || count > PER_SET {
            return Err(IpcError::Invalid);
        }
        let mut values = Vec::new();
        values.try_reserve_exact(count as usize).map_err(|_| IpcError::NoMemory)?;
        values.resize(count as usize, Semaphore::default());
        let state = State { permissions, values, undo: BTreeMap::new(), operated: 0, changed: now, removed: false };
        Ok(Self { count, state: SpinLock::new(Rank::IPC_OBJECT, state), queue: Arc::new(WaitQueue::new()) })
    }

    /// Semaphores in it.
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// Woken after each change.
    pub const fn queue(&self) -> &Arc<WaitQueue> {
        &self.queue
    }

    /// All of `operations`, or none.
    ///
    /// # Errors
    /// [`IpcError::WouldBlock`]; [`IpcError::Removed`], [`IpcError::OutOfRange`], [`IpcError::NoSemaphore`].
    pub fn operate(&self, operations: &[Operation], pid: Pid, now: i64) -> Result<(), IpcError> {
        let changed = {
            let mut state = self.state.lock();
            if state.removed {
                return Err(IpcError::Removed);
            }
            state.try_all(operations, pid)?;
            state.operated = now;
            operations.iter().any(|operation| operation.change != 0)
        };
        if changed {
            self.queue.wake_all();
        }
        Ok(())
    }

    /// Counts the caller as waiting for what is in the way of `operations` now. `None`: nothing is, or it does not wait.
    pub fn wait_for(&self, operations: &[Operation], pid: Pid) -> Option<Waiting<'_>> {
        let mut state = self.state.lock();
        let blocker = state.blocker(operations, pid)?;
        let kind = usize::from(blocker.change == 0);
        let semaphore = state.values.get_mut(usize::from(blocker.number))?;
        if let Some(count) = semaphore.waiting.get_mut(kind) {
            *count += 1;
        }
        Some(Waiting { set: self, number: blocker.number, kind })
    }

    /// Whether the operation that is in the way forbids waiting.
    pub fn must_not_wait(&self, operations: &[Operation], pid: Pid) -> bool {
        self.state.lock().blocker(operations, pid).is_some_and(|blocker| blocker.flags & NO_WAIT != 0)
    }

    /// IPC_STAT.
    pub fn info(&self) -> SetInfo {
        let state = self.state.lock();
        SetInfo { permissions: state.permissions, operated: state.operated, changed: state.changed, count: self.count }
    }

    /// IPC_SET.
    ///
    /// # Errors
    /// [`IpcError::NotPermitted`].
    pub fn set_permissions(&self, who: &Credentials, new: (u32, u32, u32), now: i64) -> Result<(), IpcError> {
        let mut state = self.state.lock();
        state.permissions.check_owner(who)?;
        state.permissions.set(types::Uid(new.0), types::Gid(new.1), new.2);
        state.changed = now;
        Ok(())
    }

    /// Ends it for everybody who waits.
    pub fn mark_removed(&self) {
        self.state.lock().removed = true;
        self.queue.wake_all();
    }

    /// Value, last process, and how many wait for more and for zero.
    ///
    /// # Errors
    /// [`IpcError::Invalid`].
    pub fn semaphore(&self, number: i32) -> Result<(i32, Pid, u32, u32), IpcError> {
        let state = self.state.lock();
        let index = usize::try_from(number).map_err(|_| IpcError::Invalid)?;
        let semaphore = state.values.get(index).ok_or(IpcError::Invalid)?;
        let [more, zero] = semaphore.waiting;
        Ok((semaphore.value, semaphore.pid, more, zero))
    }

    /// All values.
    ///
    /// # Errors
    /// [`IpcError::NoMemory`].
    pub fn values(&self) -> Result<Vec<u16>, IpcError> {
        let mut out = Vec::new();
        out.try_reserve_exact(self.count as usize).map_err(|_| IpcError::NoMemory)?;
        out.extend(self.state.lock().values.iter().map(|semaphore| semaphore.value as u16));
        Ok(out)
    }

    /// SETVAL: forgets what was to be undone.
    ///
    /// # Errors
    /// [`IpcError::Invalid`], [`IpcError::OutOfRange`], [`IpcError::Removed`].
    pub fn set_value(&self, number: i32, value: i32, pid: Pid, now: i64) -> Result<(), IpcError> {
        if !(0..=LARGEST).contains(&value) {
            return Err(IpcError::OutOfRange);
        }
        {
            let mut state = self.state.lock();
            let number = u16::try_from(number).map_err(|_| IpcError::Invalid)?;
            let semaphore = state.values.get_mut(usize::from(number)).ok_or(IpcError::Invalid)?;
            semaphore.value = value;
            semaphore.pid = pid;
            state.undo.retain(|(_, at), _| *at != number);
            state.changed = now;
        }
        self.queue.wake_all();
        Ok(())
    }

    /// SETALL.
    ///
    /// # Errors
    /// [`IpcError::OutOfRange`].
    pub fn set_values(&self, values: &[u16], pid: Pid, now: i64) -> Result<(), IpcError> {
        if values.iter().any(|value| i32::from(*value) > LARGEST) {
            return Err(IpcError::OutOfRange);
        }
        {
            let mut state = self.state.lock();
            for (semaphore, value) in state.values.iter_mut().zip(values) {
                semaphore.value = i32::from(*value);
                semaphore.pid = pid;
            }
            state.undo.clear();
            state.changed = now;
        }
        self.queue.wake_all();
        Ok(())
    }

    /// A process ended: undoes what it asked to.
    pub fn process_ended(&self, pid: Pid, now: i64) {
        let changed = {
            let mut state = self.state.lock();
            let mut changed = false;
            while let Some(((_, number), amount)) =
                state.undo.range((pid, 0)..=(pid, u16::MAX)).next().map(|(key, amount)| (*key, *amount))
            {
                state.undo.remove(&(pid, number));
                if let Some(semaphore) = state.values.get_mut(usize::from(number)) {
                    semaphore.value = (semaphore.value + amount).clamp(0, LARGEST);
                    semaphore.pid = pid;
                    changed = true;
                }
            }
            if changed {
                state.operated = now;
            }
            changed
        };
        if changed {
            self.queue.wake_all();
        }
    }
}

impl State {
    fn try_all(&mut self, operations: &[Operation], pid: Pid) -> Result<(), IpcError> {
        for (done, operation) in operations.iter().enumerate() {
            if let Err(error) = self.apply(*operation, pid) {
                for undone in operations.get(..done).unwrap_or_default().iter().rev() {
                    self.revert(*undone, pid);
                }
                return Err(error);
            }
        }
        for operation in operations {
            if let Some(semaphore) = self.values.get_mut(usize::from(operation.number)) {
                semaphore.pid = pid;
            }
        }
        Ok(())
    }

    fn apply(&mut self, operation: Operation, pid: Pid) -> Result<(), IpcError> {
        let semaphore = self.values.get_mut(usize::from(operation.number)).ok_or(IpcError::NoSemaphore)?;
        let change = i32::from(operation.change);
        if change == 0 {
            return if semaphore.value == 0 { Ok(()) } else { Err(IpcError::WouldBlock) };
        }
        let value = semaphore.value + change;
        if value < 0 {
            return Err(IpcError::WouldBlock);
        }
        if value > LARGEST {
            return Err(IpcError::OutOfRange);
        }
        if operation.flags & UNDO != 0 {
            let amount = self.undo.entry((pid, operation.number)).or_insert(0);
            let new = *amount - change;
            if !(-LARGEST - 1..=LARGEST).contains(&new) {
                return Err(IpcError::OutOfRange);
            }
            *amount = new;
        }
        semaphore.value = value;
        Ok(())
    }

    fn revert(&mut self, operation: Operation, pid: Pid) {
        let change = i32::from(operation.change);
        if let Some(semaphore) = self.values.get_mut(usize::from(operation.number)) {
            semaphore.value -= change;
        }
        if operation.flags & UNDO != 0 && change != 0 {
            *self.undo.entry((pid, operation.number)).or_insert(0) += change;
        }
    }

    /// The operation that has to wait, if that is what keeps `operations` from happening.
    fn blocker(&mut self, operations: &[Operation], pid: Pid) -> Option<Operation> {
        let mut found = None;
        let mut done = 0;
        for operation in operations {
            match self.apply(*operation, pid) {
                Ok(()) => done += 1,
                Err(IpcError::WouldBlock) => {
                    found = Some(*operation);
                    break;
                }
                Err(_) => break,
            }
        }
        for undone in operations.get(..done).unwrap_or_default().iter().rev() {
            self.revert(*undone, pid);
        }
        found
    }
}
