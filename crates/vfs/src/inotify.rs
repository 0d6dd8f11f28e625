//! inotify(7): events on watched nodes, to be read from a descriptor.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::Ordering;

use abi::linux::{general as linux, ioctl};
use sync::{Rank, SpinLock, WaitQueue};
use types::Uid;

use crate::notify::{self, WATCH_LIMITS, Watch};
use crate::{File, FileType, Inode, Metadata, PollEvents, Result, VfsError, anonymous};

/// Bytes of `struct inotify_event` before the name, and what names are padded to a multiple of.
const HEAD: usize = 16;

/// What happened.
pub(crate) struct Event {
    pub(crate) watch: i32,
    pub(crate) mask: u32,
    pub(crate) cookie: u32,
    pub(crate) name: Option<Arc<[u8]>>,
}

impl Event {
    pub(crate) const fn new(watch: i32, mask: u32) -> Self {
        Self { watch, mask, cookie: 0, name: None }
    }

    fn name(&self) -> &[u8] {
        self.name.as_deref().unwrap_or_default()
    }

    /// Bytes of the name with its padding, a zero byte at least.
    fn name_len(&self) -> usize {
        if self.name().is_empty() { 0 } else { (self.name().len() + 1).next_multiple_of(HEAD) }
    }

    fn len(&self) -> usize {
        HEAD + self.name_len()
    }

    /// Writes it; `None` if it does not fit.
    fn write(&self, out: &mut [u8]) -> Option<()> {
        let (head, rest) = out.split_at_mut_checked(HEAD)?;
        let words = [self.watch as u32, self.mask, self.cookie, self.name_len() as u32];
        for (slot, word) in head.chunks_exact_mut(4).zip(words) {
            slot.copy_from_slice(&word.to_le_bytes());
        }
        let padded = rest.get_mut(..self.name_len())?;
        let (name, padding) = padded.split_at_mut_checked(self.name().len())?;
        name.copy_from_slice(self.name());
        padding.fill(0);
        Some(())
    }

    /// Whether a second one behind it would tell nothing new.
    fn says(&self, other: &Self) -> bool {
        self.mask & linux::IN_IGNORED == 0
            && self.mask == other.mask
            && self.watch == other.watch
            && self.name() == other.name()
    }
}

/// An instance: watches, and events that have not been read.
pub struct Inotify {
    owner: Uid,
    number: u64,
    state: SpinLock<State>,
    readable: Arc<WaitQueue>,
}

struct State {
    last_watch: i32,
    watches: BTreeMap<i32, Arc<Watch>>,
    events: VecDeque<Event>,
    bytes: usize,
}

impl Inotify {
    /// An instance of `owner`.
    ///
    /// # Errors
    /// [`VfsError::TooManyOpenFiles`] if the user has as many as it may.
    pub fn new(owner: Uid) -> Result<Arc<Self>> {
        notify::add_instance(owner)?;
        let state = State { last_watch: 0, watches: BTreeMap::new(), events: VecDeque::new(), bytes: 0 };
        Ok(Arc::new(Self {
            owner,
            number: anonymous::next_ino(),
            state: SpinLock::new(Rank::INOTIFY, state),
            readable: Arc::new(WaitQueue::new()),
        }))
    }

    /// Watches `node` for the events in `mask` (inotify_add_watch(2)); the watch's number.
    ///
    /// # Errors
    /// [`VfsError::Exists`] with IN_MASK_CREATE, [`VfsError::NoSpace`] if the user has as many as it may.
    pub fn add_watch(self: &Arc<Self>, node: &Arc<dyn Inode>, mask: u32) -> Result<i32> {
        notify::add(self, self.owner, node, mask)
    }

    /// Ends a watch (inotify_rm_watch(2)).
    ///
    /// # Errors
    /// [`VfsError::InvalidArgument`] if there is none of that number.
    pub fn remove_watch(self: &Arc<Self>, number: i32) -> Result<()> {
        notify::remove(self, number)
    }

    /// Takes up the watch that `make` makes of its number; `None` if there are no numbers.
    pub(crate) fn watch(&self, make: impl FnOnce(i32) -> Arc<Watch>) -> Option<Arc<Watch>> {
        let mut state = self.state.lock();
        let number = state.last_watch.checked_add(1)?;
        state.last_watch = number;
        let watch = make(number);
        state.watches.insert(number, watch.clone());
        Some(watch)
    }

    /// Gives up a watch and says so to the reader.
    pub(crate) fn forget(&self, number: i32) -> Option<Arc<Watch>> {
        let watch = self.state.lock().watches.remove(&number)?;
        self.push(Event::new(number, linux::IN_IGNORED));
        Some(watch)
    }

    /// Adds an event, unless the last one says the same. What does not fit is lost, which one last event tells.
    pub(crate) fn push(&self, event: Event) {
        let added = {
            let mut state = self.state.lock();
            let last = state.events.back();
            if last.is_some_and(|last| last.says(&event)) {
                false
            } else {
                let limit = WATCH_LIMITS.events.load(Ordering::Relaxed) as usize;
                let full = state.events.len() >= limit || state.events.try_reserve(2).is_err();
                let event = if full { Event::new(-1, linux::IN_Q_OVERFLOW) } else { event };
                let again = full && state.events.back().is_some_and(|last| last.says(&event));
                if !again && state.events.len() < state.events.capacity() {
                    state.bytes += event.len();
                    state.events.push_back(event);
                }
                !again
            }
        };
        if added {
            self.readable.wake_all();
        }
    }
}

impl File for Inotify {
    fn read(&self, _offset: u64, out: &mut [u8]) -> Result<usize> {
        let mut state = self.state.lock();
        let mut used = 0;
        while let Some(event) = state.events.front() {
            let len = event.len();
            let Some(()) = out.get_mut(used..).and_then(|rest| event.write(rest)) else { break };
            used += len;
            state.bytes -= len;
            state.events.pop_front();
        }
        match used {
            0 if state.events.is_empty() => Err(VfsError::WouldBlock),
            0 => Err(VfsError::InvalidArgument),
            used => Ok(used),
        }
    }

    fn write(&self, _offset: u64, _data: &[u8]) -> Result<usize> {
        Err(VfsError::BadDescriptor)
    }

    fn ioctl(&self, request: u32, _arg: u64, bytes: &mut [u8], _caller: &crate::Caller<'_>) -> Result<u64> {
        match (request, bytes.first_chunk_mut()) {
            (ioctl::FIONREAD, Some(slot)) => {
                *slot = (self.state.lock().bytes as u32).to_le_bytes();
                Ok(0)
            }
            _ => Err(VfsError::NotATerminal),
        }
    }

    fn poll(&self) -> PollEvents {
        if self.state.lock().events.is_empty() { PollEvents::empty() } else { PollEvents::IN }
    }

    fn wait_queues(&self, interest: PollEvents, visit: &mut dyn FnMut(&Arc<WaitQueue>)) {
        if interest.intersects(PollEvents::READABLE) {
            visit(&self.readable);
        }
    }

    fn describe(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str("anon_inode:inotify")
    }

    fn metadata(&self) -> Metadata {
        Metadata { ino: self.number, ..Metadata::new(FileType::Regular, 0o600) }
    }
}

impl Drop for Inotify {
    fn drop(&mut self) {
        let watches = core::mem::take(&mut self.state.get_mut().watches);
        notify::remove_instance(self.owner, watches.into_values());
    }
}
