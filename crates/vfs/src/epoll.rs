//! epoll(7): one queue for many files.
//!
//! ```text
//!            wake-up of the file             collect: poll says ready
//!  watching ─────────────────────► queued ───────────────────────────► reported
//!      ▲                              │ poll says not ready                │ edge-triggered
//!      ◄──────────────────────────────┘◄───────────────────────────────────┤ level-triggered: queued again
//!                                                                          │ one-shot: silent until changed
//! ```
//! An item that watches has its waker in the queues of its file; a wake-up takes it out there and puts the item into the
//! ready list, so that a busy file costs one wake-up per look. Before an item is looked at it registers again: what
//! happens after the look queues it once more. Items hold their files weakly: closing a file ends the watch.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::{Arc, Weak};
use alloc::task::Wake;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::Waker;

use abi::linux::general as linux;
use sync::{Rank, SpinLock, WaitQueue, WaitToken};

use crate::{File, FileType, Metadata, OpenFile, PollEvents, Result, VfsError, anonymous};

/// Epolls in epolls in …, the outermost included (Linux: EP_MAX_NESTS).
const MAX_DEPTH: usize = 5;

/// Removed items that may stay in a ready list, beside as many as twice the others.
const STALE: usize = 64;

/// Bits of an event that are options.
const OPTIONS: u32 = linux::EPOLLET | linux::EPOLLONESHOT | linux::EPOLLWAKEUP | linux::EPOLLEXCLUSIVE;
/// What may be combined with EPOLLEXCLUSIVE.
const EXCLUSIVE_OK: u32 = OPTIONS
    | linux::EPOLLIN
    | linux::EPOLLOUT
    | linux::EPOLLERR
    | linux::EPOLLHUP
    | linux::EPOLLRDNORM
    | linux::EPOLLWRNORM;

/// `struct epoll_event`: 12 bytes without padding on x86-64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct EpollEvent {
    /// Events and options.
    pub events: u32,
    /// Whatever the program wants back.
    pub data: u64,
}

impl EpollEvent {
    /// Bytes of one event in user memory.
    pub const SIZE: usize = 12;

    /// As in user memory.
    pub fn to_bytes(self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        if let Some((events, data)) = bytes.split_at_mut_checked(4) {
            events.copy_from_slice(&self.events.to_le_bytes());
            data.copy_from_slice(&self.data.to_le_bytes());
        }
        bytes
    }

    /// From user memory.
    pub fn from_bytes(bytes: [u8; Self::SIZE]) -> Self {
        let [e0, e1, e2, e3, data @ ..] = bytes;
        Self { events: u32::from_le_bytes([e0, e1, e2, e3]), data: u64::from_le_bytes(data) }
    }
}

/// What epoll_ctl(2) does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpollChange {
    /// Watch a file.
    Add(EpollEvent),
    /// Watch it for something else.
    Modify(EpollEvent),
    /// Watch it no more.
    Delete,
}

/// A descriptor number and the open file it stood for: one file may be watched by several numbers.
type Key = (u32, u64);

/// An epoll instance.
pub struct Epoll {
    this: Weak<Self>,
    number: u64,
    state: SpinLock<State>,
    queue: Arc<WaitQueue>,
}

#[derive(Default)]
struct State {
    items: BTreeMap<Key, Arc<Item>>,
    /// Each item at most once ([`Item::queued`]); room for all of them is kept.
    ready: VecDeque<Arc<Item>>,
    /// Epolls that watch this one.
    parents: Vec<Weak<Epoll>>,
    /// Items at which dead ones are looked for next.
    sweep_at: usize,
}

struct Item {
    epoll: Weak<Epoll>,
    file: Weak<OpenFile>,
    /// In the ready list. Set before it is put there, cleared before it is looked at.
    queued: AtomicBool,
    removed: AtomicBool,
    watch: SpinLock<Watch>,
}

struct Watch {
    event: EpollEvent,
    /// Reported once, silent until changed.
    silent: bool,
    tokens: Vec<WaitToken>,
}

/// One change of the nesting of epolls at a time, so that two cannot close a ring together.
static NESTING: SpinLock<()> = SpinLock::new(Rank::EPOLL_NESTING, ());

impl Epoll {
    /// Watches nothing.
    pub fn new() -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            number: anonymous::next_ino(),
            state: SpinLock::new(Rank::EPOLL, State { sweep_at: 64, ..State::default() }),
            queue: Arc::new(WaitQueue::new()),
        })
    }

    /// epoll_ctl(2) for the descriptor `fd` that stands for `file`.
    ///
    /// # Errors
    /// [`VfsError::Exists`], [`VfsError::NotFound`]; [`VfsError::NotPermitted`] for files that are always ready;
    /// [`VfsError::InvalidArgument`] for itself or bad options; [`VfsError::SymlinkLoop`] for rings and too deep nests;
    /// [`VfsError::NoMemory`].
    pub fn control(&self, fd: u32, file: &Arc<OpenFile>, change: EpollChange) -> Result<()> {
        let key = (fd, file.id());
        let inner = file.downcast_arc::<Self>();
        if !file.file().can_be_awaited() {
            return Err(VfsError::NotPermitted);
        }
        if inner.as_ref().is_some_and(|inner| core::ptr::eq(Arc::as_ptr(inner), self)) {
            return Err(VfsError::InvalidArgument);
        }
        match change {
            EpollChange::Add(event) => {
                if event.events & linux::EPOLLEXCLUSIVE != 0 && (event.events & !EXCLUSIVE_OK != 0 || inner.is_some()) {
                    return Err(VfsError::InvalidArgument);
                }
                self.add(key, file, event, inner.as_ref())
            }
            EpollChange::Modify(event) => self.modify(key, event),
            EpollChange::Delete => self.delete(key, inner.as_deref()),
        }
    }

    /// epoll_wait(2) without waiting: fills `out` from the front; how many.
    pub fn collect(&self, out: &mut [EpollEvent]) -> usize {
        // What becomes ready again meanwhile is for the next call: no file can keep us here.
        let mut rounds = self.state.lock().ready.len();
        let mut done = 0;
        while rounds > 0
            && let Some(slot) = out.get_mut(done)
        {
            rounds -= 1;
            let Some(item) = self.state.lock().ready.pop_front() else { break };
            item.queued.store(false, Ordering::SeqCst);
            if let Some(event) = self.look(&item, Look::Report) {
                *slot = event;
                done += 1;
            }
        }
        done
    }

    fn add(&self, key: Key, file: &Arc<OpenFile>, event: EpollEvent, inner: Option<&Arc<Self>>) -> Result<()> {
        let item = Arc::new(Item {
            epoll: self.this.clone(),
            file: Arc::downgrade(file),
            queued: AtomicBool::new(false),
            removed: AtomicBool::new(false),
            watch: SpinLock::new(Rank::EPOLL_ITEM, Watch { event, silent: false, tokens: Vec::new() }),
        });
        let dead = {
            let mut kept_alive = Alive::default();
            let nesting = inner.map(|_| NESTING.lock());
            let closes = |inner: &Arc<Self>| {
                inner.depth_below(&mut kept_alive) + self.depth_above(&mut kept_alive, 0) > MAX_DEPTH
                    || inner.contains(self, &mut kept_alive, 0)
            };
            if inner.is_some_and(closes) {
                drop(nesting);
                return Err(VfsError::SymlinkLoop);
            }
            let inserted = self.insert(key, item.clone());
            if let (Ok(_), Some(inner)) = (&inserted, inner) {
                inner.state.lock().parents.push(self.this.clone());
            }
            drop(nesting);
            inserted?
        };
        for item in dead {
            item.retire();
        }
        self.look_now(&item);
        Ok(())
    }

    /// Puts an item in; those found dead, to be retired.
    fn insert(&self, key: Key, item: Arc<Item>) -> Result<Vec<Arc<Item>>> {
        let mut state = self.state.lock();
        let mut dead = Vec::new();
        if let Some(old) = state.items.get(&key) {
            // The same number and address, but of a file that was closed.
            if old.file.strong_count() > 0 {
                return Err(VfsError::Exists);
            }
            dead.extend(state.items.remove(&key));
        }
        if state.items.len() >= state.sweep_at {
            dead.extend(state.items.extract_if(.., |_, item| item.file.strong_count() == 0).map(|(_, item)| item));
            state.sweep_at = (state.items.len() * 2).max(64);
        }
        // Those that were ready when they were removed stay in the list until somebody looks: no more of them than others.
        let room = state.items.len() + 1;
        if state.ready.len() >= room * 2 + STALE {
            let (stay, gone) = core::mem::take(&mut state.ready).into_iter().partition(|item| !item.is_removed());
            state.ready = stay;
            dead.extend::<VecDeque<_>>(gone);
        }
        state.ready.try_reserve(room).map_err(|_| VfsError::NoMemory)?;
        state.items.insert(key, item);
        Ok(dead)
    }

    fn modify(&self, key: Key, event: EpollEvent) -> Result<()> {
        if event.events & linux::EPOLLEXCLUSIVE != 0 {
            return Err(VfsError::InvalidArgument);
        }
        let item = self.state.lock().items.get(&key).cloned().ok_or(VfsError::NotFound)?;
        {
            let mut watch = item.watch.lock();
            if watch.event.events & linux::EPOLLEXCLUSIVE != 0 {
                return Err(VfsError::InvalidArgument);
            }
            watch.event = event;
            watch.silent = false;
        }
        self.look_now(&item);
        Ok(())
    }

    fn delete(&self, key: Key, inner: Option<&Self>) -> Result<()> {
        let item = self.state.lock().items.remove(&key).ok_or(VfsError::NotFound)?;
        item.retire();
        if let Some(inner) = inner {
            let mut parents = inner.state.lock();
            if let Some(at) = parents.parents.iter().position(|parent| parent.ptr_eq(&self.this)) {
                let gone = parents.parents.swap_remove(at);
                drop(parents);
                drop(gone);
            }
        }
        Ok(())
    }

    /// A new or changed item: registers it, and queues it if it is ready already.
    fn look_now(&self, item: &Arc<Item>) {
        if self.look(item, Look::Peek).is_some() {
            item.enqueue(self);
        }
    }

    /// Registers an item again and asks its file. With [`Look::Report`] the rules of triggering apply.
    fn look(&self, item: &Arc<Item>, look: Look) -> Option<EpollEvent> {
        if item.is_removed() {
            return None;
        }
        let Some(file) = item.file.upgrade() else {
            self.forget(item);
            return None;
        };
        let (event, silent) = {
            let watch = item.watch.lock();
            (watch.event, watch.silent)
        };
        if silent {
            return None;
        }
        let interest = PollEvents::from_bits_truncate(event.events & !OPTIONS);
        let waker = Waker::from(item.clone());
        let mut tokens = Vec::new();
        file.wait_queues(interest | PollEvents::ALWAYS, &mut |queue| {
            tokens.push(WaitToken::new(queue.clone(), &waker));
        });
        let old = {
            let mut watch = item.watch.lock();
            core::mem::replace(&mut watch.tokens, tokens)
        };
        drop(old);
        if item.is_removed() {
            item.retire();
            return None;
        }
        let ready = file.poll(interest);
        if ready.is_empty() {
            return None;
        }
        if look == Look::Report {
            if event.events & linux::EPOLLONESHOT != 0 {
                item.watch.lock().silent = true;
            } else if event.events & linux::EPOLLET == 0 {
                item.enqueue_quietly(self);
            }
        }
        Some(EpollEvent { events: ready.bits(), data: event.data })
    }

    fn forget(&self, item: &Arc<Item>) {
        let gone = {
            let mut state = self.state.lock();
            let key = state.items.iter().find(|(_, known)| Arc::ptr_eq(known, item)).map(|(key, _)| *key);
            key.and_then(|key| state.items.remove(&key))
        };
        item.retire();
        drop(gone);
    }

    /// Whether something in the ready list is ready.
    fn has_ready(&self) -> bool {
        let mut rounds = self.state.lock().ready.len();
        while rounds > 0 {
            rounds -= 1;
            let Some(item) = self.state.lock().ready.front().cloned() else { return false };
            if self.look(&item, Look::Peek).is_some() {
                return true;
            }
            // Not ready after all: out, unless it was queued again meanwhile.
            let popped = {
                let mut state = self.state.lock();
                let same = state.ready.front().is_some_and(|front| Arc::ptr_eq(front, &item));
                if same { state.ready.pop_front() } else { None }
            };
            if let Some(item) = popped {
                item.queued.store(false, Ordering::SeqCst);
                self.look_now(&item);
            }
        }
        false
    }

    /// Epolls that this one watches; they are kept alive in `alive`, to be dropped without locks.
    fn children(&self, alive: &mut Alive) -> Vec<Arc<Self>> {
        let files: Vec<Arc<OpenFile>> =
            self.state.lock().items.values().filter_map(|item| item.file.upgrade()).collect();
        let children = files.iter().filter_map(|file| file.downcast_arc::<Self>()).collect();
        alive.files.extend(files);
        children
    }

    /// Levels from this one down, itself included.
    fn depth_below(&self, alive: &mut Alive) -> usize {
        // The nest is never deeper than MAX_DEPTH: it was checked when it was built.
        self.children(alive).iter().map(|child| child.depth_below(alive)).max().unwrap_or(0) + 1
    }

    /// Levels from this one up, itself included.
    fn depth_above(&self, alive: &mut Alive, level: usize) -> usize {
        if level > MAX_DEPTH {
            return level;
        }
        let parents: Vec<Arc<Self>> = self.state.lock().parents.iter().filter_map(Weak::upgrade).collect();
        let depth = parents.iter().map(|parent| parent.depth_above(alive, level + 1)).max().unwrap_or(0) + 1;
        alive.epolls.extend(parents);
        depth
    }

    fn contains(&self, wanted: &Self, alive: &mut Alive, level: usize) -> bool {
        level <= MAX_DEPTH
            && (core::ptr::eq(self, wanted)
                || self.children(alive).iter().any(|child| child.contains(wanted, alive, level + 1)))
    }
}

/// What a walk through a nest looked at, to be dropped when no lock is held.
#[derive(Default)]
struct Alive {
    files: Vec<Arc<OpenFile>>,
    epolls: Vec<Arc<Epoll>>,
}

/// Why an item is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    /// Only to know.
    Peek,
    /// To tell the program.
    Report,
}

impl Item {
    /// Into the ready list, and wakes whoever waits.
    fn enqueue(self: &Arc<Self>, epoll: &Epoll) {
        self.enqueue_quietly(epoll);
        epoll.queue.wake_all();
    }

    fn enqueue_quietly(self: &Arc<Self>, epoll: &Epoll) {
        if !self.queued.swap(true, Ordering::SeqCst) {
            // Room was reserved when the item was added.
            epoll.state.lock().ready.push_back(self.clone());
        }
    }

    fn is_removed(&self) -> bool {
        self.removed.load(Ordering::SeqCst)
    }

    /// Takes its wakers out of the file's queues for good.
    fn retire(&self) {
        self.removed.store(true, Ordering::SeqCst);
        let tokens = core::mem::take(&mut self.watch.lock().tokens);
        drop(tokens);
    }
}

impl Wake for Item {
    fn wake(self: Arc<Self>) {
        if !self.is_removed()
            && let Some(epoll) = self.epoll.upgrade()
        {
            self.enqueue(&epoll);
        }
    }
}

impl Drop for Epoll {
    fn drop(&mut self) {
        // Items may be alive in wakers: they must not look for files any more.
        for item in self.state.get_mut().items.values() {
            item.retire();
        }
    }
}

impl File for Epoll {
    fn read(&self, _offset: u64, _out: &mut [u8]) -> Result<usize> {
        Err(VfsError::InvalidArgument)
    }

    fn write(&self, _offset: u64, _data: &[u8]) -> Result<usize> {
        Err(VfsError::InvalidArgument)
    }

    fn poll(&self) -> PollEvents {
        if self.has_ready() { PollEvents::READABLE } else { PollEvents::empty() }
    }

    fn wait_queues(&self, _interest: PollEvents, visit: &mut dyn FnMut(&Arc<WaitQueue>)) {
        visit(&self.queue);
    }

    fn describe(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str("anon_inode:[eventpoll]")
    }

    fn metadata(&self) -> Metadata {
        Metadata { ino: self.number, ..Metadata::new(FileType::Regular, 0o600) }
    }
}

#[cfg(test)]
mod tests;
