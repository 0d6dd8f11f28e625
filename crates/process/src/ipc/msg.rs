//! Message queues (msgop(2)).

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use sync::{Rank, SpinLock, WaitQueue};
use types::{Capabilities, Credentials, Gid, Pid, Uid};

use super::{IpcError, Object, Permissions};

/// Most queues.
pub const QUEUES: u32 = 32_000;
/// Most bytes of a message.
pub const MESSAGE: usize = 8192;
/// Bytes a queue holds unless its owner says otherwise.
pub const QUEUE: u64 = 16_384;
/// MSG_NOERROR.
pub const TRUNCATE: u32 = 0o10000;
/// MSG_EXCEPT.
pub const EXCEPT: u32 = 0o20000;

/// A message queue.
#[derive(Debug)]
pub struct Queue {
    state: SpinLock<State>,
    changed: Arc<WaitQueue>,
}

#[derive(Debug)]
struct State {
    permissions: Permissions,
    messages: VecDeque<(i64, Vec<u8>)>,
    info: QueueInfo,
    removed: bool,
}

/// What IPC_STAT tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueInfo {
    /// Owner and rights.
    pub permissions: Permissions,
    /// Time of the last message in.
    pub sent: i64,
    /// Time of the last message out.
    pub received: i64,
    /// Time of the last change by msgctl.
    pub changed: i64,
    /// Bytes in it.
    pub bytes: u64,
    /// Messages in it.
    pub count: u64,
    /// Bytes it holds.
    pub limit: u64,
    /// Who sent last.
    pub sender: Pid,
    /// Who received last.
    pub receiver: Pid,
}

impl Object for Queue {
    fn permissions(&self) -> Permissions {
        self.state.lock().permissions
    }
}

impl Queue {
    /// An empty queue.
    pub fn new(permissions: Permissions, now: i64) -> Self {
        let info = QueueInfo {
            permissions,
            sent: 0,
            received: 0,
            changed: now,
            bytes: 0,
            count: 0,
            limit: QUEUE,
            sender: Pid(0),
            receiver: Pid(0),
        };
        let state = State { permissions, messages: VecDeque::new(), info, removed: false };
        Self { state: SpinLock::new(Rank::IPC_OBJECT, state), changed: Arc::new(WaitQueue::new()) }
    }

    /// Woken after each change.
    pub const fn queue(&self) -> &Arc<WaitQueue> {
        &self.changed
    }

    /// Puts a message in; takes it out of `text` if it does.
    ///
    /// # Errors
    /// [`IpcError::WouldBlock`], [`IpcError::Removed`], [`IpcError::NoMemory`].
    pub fn send(&self, kind: i64, text: &mut Vec<u8>, pid: Pid, now: i64) -> Result<(), IpcError> {
        {
            let mut state = self.state.lock();
            if state.removed {
                return Err(IpcError::Removed);
            }
            let (bytes, count) = (state.info.bytes + text.len() as u64, state.info.count + 1);
            // Empty messages are bounded, too.
            if bytes > state.info.limit || count > state.info.limit {
                return Err(IpcError::WouldBlock);
            }
            state.messages.try_reserve(1).map_err(|_| IpcError::NoMemory)?;
            state.messages.push_back((kind, core::mem::take(text)));
            state.info = QueueInfo { bytes, count, sent: now, sender: pid, ..state.info };
        }
        self.changed.wake_all();
        Ok(())
    }

    /// Takes the first message that `kind` asks for (msgrcv(2)), of at most `room` bytes unless `flags` say otherwise.
    ///
    /// # Errors
    /// [`IpcError::WouldBlock`] for none, [`IpcError::TooBig`], [`IpcError::Removed`].
    pub fn receive(&self, kind: i64, room: usize, flags: u32, pid: Pid, now: i64) -> Result<(i64, Vec<u8>), IpcError> {
        let message = {
            let mut state = self.state.lock();
            if state.removed {
                return Err(IpcError::Removed);
            }
            let at = state.position(kind, flags & EXCEPT != 0).ok_or(IpcError::WouldBlock)?;
            let len = state.messages.get(at).map_or(0, |(_, text)| text.len());
            if len > room && flags & TRUNCATE == 0 {
                return Err(IpcError::TooBig);
            }
            let message = state.messages.remove(at).ok_or(IpcError::WouldBlock)?;
            let (bytes, count) = (state.info.bytes - len as u64, state.info.count - 1);
            state.info = QueueInfo { bytes, count, received: now, receiver: pid, ..state.info };
            message
        };
        self.changed.wake_all();
        Ok(message)
    }

    /// IPC_STAT.
    pub fn info(&self) -> QueueInfo {
        let state = self.state.lock();
        QueueInfo { permissions: state.permissions, ..state.info }
    }

    /// IPC_SET.
    ///
    /// # Errors
    /// [`IpcError::NotPermitted`].
    pub fn set(&self, who: &Credentials, new: (u32, u32, u32), limit: u64, now: i64) -> Result<(), IpcError> {
        {
            let mut state = self.state.lock();
            state.permissions.check_owner(who)?;
            if limit > QUEUE && !who.capable(Capabilities::SYS_RESOURCE) {
                return Err(IpcError::NotPermitted);
            }
            state.permissions.set(Uid(new.0), Gid(new.1), new.2);
            state.info = QueueInfo { limit, changed: now, ..state.info };
        }
        self.changed.wake_all();
        Ok(())
    }

    /// Ends it for everybody who waits.
    pub fn mark_removed(&self) {
        self.state.lock().removed = true;
        self.changed.wake_all();
    }
}

impl State {
    fn position(&self, kind: i64, except: bool) -> Option<usize> {
        match kind {
            0 if self.messages.is_empty() => None,
            0 => Some(0),
            wanted if wanted > 0 => self.messages.iter().position(|(kind, _)| (*kind == wanted) != except),
            // The lowest kind up to the amount, the first of that kind.
            bound => {
                let most = bound.checked_neg().unwrap_or(i64::MAX);
                let lowest = self.messages.iter().map(|(kind, _)| *kind).filter(|kind| *kind <= most).min()?;
                self.messages.iter().position(|(kind, _)| *kind == lowest)
            }
        }
    }
}
