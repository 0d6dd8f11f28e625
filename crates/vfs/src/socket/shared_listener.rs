//! A listening socket that several accept from, each its own connections.
//!
//! One socket has the name; everybody who shall answer has an *acceptor*, a listening socket of its own to look at. When a
//! connection arrives, a [`Distributor`] says whose it is, and only that acceptor becomes readable. Until it is accepted it
//! is nobody's for good: it goes to another if its acceptor goes, gets no more work, or leaves it waiting for too long.
//!
//! ```text
//!             chosen              accepted by its acceptor
//!  arrives ───────────► queued ─────────────────────────────────► in work until closed there
//!     │                   │  ▲  accepted by one with less to do ──►
//!     │ nobody takes work │  │ chosen (somebody takes work again)
//!     │                   ▼  │
//!     └────────────► for anyone ── accepted by whoever takes work ►
//!                         ▲
//!      waits too long ────┘
//! ```
//! The distributor is asked under the lock of the queues; nothing is woken or dropped there.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use sync::{Rank, SpinLock, WaitQueue};
use types::Nanos;

use super::address::Address;
use super::{PeerCredentials, Socket};
use crate::{Result, VfsError};

/// A connection that its acceptor has not taken for so long is anybody's: longer than a sound program on a busy machine needs to
/// come round, shorter than a person notices.
const PATIENCE: Nanos = Nanos::from_millis(50);

/// Who has not even looked for so long is to blame for what waited in vain: it does not merely have much to do.
const NEGLECT: Nanos = Nanos::from_secs(1);

/// How a connection went for the one who got it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Closed by it.
    Closed,
    /// It went away with data unread and nothing said, or somebody else had to take it.
    Failed,
    /// It never had it: another gets it.
    Moved,
    /// The same, since it did not take it for too long.
    Late,
}

/// Who says whose a connection is. Numbers name acceptors.
pub trait Distributor: Send + Sync {
    /// Chooses one of those that are `there`, and counts the connection as its own. `None` if nobody takes work.
    fn choose(&self, from: &PeerCredentials, there: &dyn Fn(u64) -> bool) -> Option<u64>;

    /// Whether it takes work.
    fn takes_work(&self, number: u64) -> bool;

    /// It takes a connection for which it was not chosen: counts that as its own.
    fn took(&self, number: u64);

    /// Whether a connection that waits for `busy`, behind whom `waiting` are queued, had better go to `idle`.
    fn prefers(&self, idle: u64, busy: u64, waiting: usize) -> bool;

    /// A connection is no longer its own.
    fn ended(&self, number: u64, outcome: Outcome);

    /// It waits for work here and now.
    fn waits(&self, number: u64);

    /// The time.
    fn now(&self) -> Nanos;

    /// With no lock held, after some of these: what they brought about may be passed on.
    fn pass_on(&self);

    /// Something waits: [`SharedListener::look`] is to be called again and again until nothing does.
    fn has_waiting(&self);
}

/// What the sockets around one name share.
pub struct SharedListener {
    distributor: Arc<dyn Distributor>,
    pub(super) address: Address,
    pub(super) credentials: PeerCredentials,
    /// Connects that wait for room.
    pub(super) room: Arc<WaitQueue>,
    queues: SpinLock<Queues>,
}

struct Queues {
    backlog: usize,
    /// In all queues.
    queued: usize,
    closed: bool,
    acceptors: Vec<Acceptor>,
    anyone: VecDeque<Waiting>,
}

struct Acceptor {
    number: u64,
    readable: Arc<WaitQueue>,
    waiting: VecDeque<Waiting>,
    /// When it last asked for a connection.
    asked: Nanos,
    /// To be woken as soon as the lock is free.
    wake: bool,
}

/// A connection that nobody has accepted.
struct Waiting {
    socket: Arc<Socket>,
    from: PeerCredentials,
    since: Nanos,
    /// Who left it waiting for too long.
    late: Option<u64>,
}

/// What an accepted socket carries: its end is told.
pub(super) struct Ticket {
    listener: Arc<SharedListener>,
    number: u64,
}

impl Ticket {
    pub(super) fn end(&self, outcome: Outcome) {
        self.listener.distributor.ended(self.number, outcome);
        self.listener.distributor.pass_on();
    }
}

impl SharedListener {
    pub(super) fn new(
        distributor: Arc<dyn Distributor>,
        address: Address,
        credentials: PeerCredentials,
        room: Arc<WaitQueue>,
        backlog: usize,
    ) -> Arc<Self> {
        let queues = Queues { backlog, queued: 0, closed: false, acceptors: Vec::new(), anyone: VecDeque::new() };
        let queues = SpinLock::new(Rank::SHARED_LISTENER, queues);
        Arc::new(Self { distributor, address, credentials, room, queues })
    }

    /// One more who accepts; its connections make `readable` wake.
    ///
    /// # Errors
    /// [`VfsError::NoMemory`].
    pub(super) fn join(&self, number: u64, readable: Arc<WaitQueue>) -> Result<()> {
        let asked = self.distributor.now();
        let mut queues = self.queues.lock();
        queues.acceptors.try_reserve(1).map_err(|_| VfsError::NoMemory)?;
        let place = queues.acceptors.partition_point(|acceptor| acceptor.number < number);
        queues.acceptors.insert(place, Acceptor { number, readable, waiting: VecDeque::new(), asked, wake: false });
        Ok(())
    }

    /// It accepts no more; what waited for it waits for others.
    pub(super) fn leave(&self, number: u64) {
        let gone = {
            let mut queues = self.queues.lock();
            let Some(place) = queues.place(number) else { return };
            let Acceptor { readable, mut waiting, .. } = queues.acceptors.remove(place);
            waiting.iter().for_each(|_| self.distributor.ended(number, Outcome::Moved));
            if queues.anyone.is_empty() {
                core::mem::swap(&mut queues.anyone, &mut waiting);
            } else if queues.anyone.try_reserve(waiting.len()).is_ok() {
                queues.anyone.append(&mut waiting);
            }
            // Without memory to move them some are left: their clients are told that they broke.
            queues.queued -= waiting.len();
            self.settle(&mut queues);
            (waiting, readable)
        };
        gone.1.wake_all();
        drop(gone);
        self.wake();
    }

    /// Everything that waits is dropped, and nothing comes any more.
    pub fn close(&self) {
        let mut gone = Vec::new();
        {
            let mut queues = self.queues.lock();
            queues.closed = true;
            queues.queued = 0;
            // Where there is no memory for that, they go with the acceptors.
            let _ = gone.try_reserve_exact(queues.acceptors.len() + 1);
            let Queues { acceptors, anyone, .. } = &mut *queues;
            for late in anyone.iter().filter_map(|waiting| waiting.late) {
                self.distributor.ended(late, Outcome::Moved);
            }
            for acceptor in acceptors.iter_mut() {
                acceptor.wake = true;
                acceptor.waiting.iter().for_each(|_| self.distributor.ended(acceptor.number, Outcome::Moved));
            }
            let waiting = acceptors.iter_mut().map(|acceptor| &mut acceptor.waiting);
            for queue in core::iter::once(anyone).chain(waiting) {
                if gone.len() < gone.capacity() {
                    gone.push(core::mem::take(queue));
                }
            }
        }
        drop(gone);
        self.wake();
        self.room.wake_all();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.queues.lock().closed
    }

    pub(super) fn set_backlog(&self, backlog: usize) {
        self.queues.lock().backlog = backlog;
        self.room.wake_all();
    }

    /// A connection arrives.
    ///
    /// # Errors
    /// [`VfsError::WouldBlock`] if too many wait already, [`VfsError::ConnectionRefused`] if it is closed,
    /// [`VfsError::NoMemory`].
    pub(super) fn arrive(&self, socket: Arc<Socket>, from: PeerCredentials) -> Result<()> {
        let waiting = Waiting { socket, from, since: self.distributor.now(), late: None };
        let refused = {
            let mut queues = self.queues.lock();
            let full = if queues.closed {
                Some(VfsError::ConnectionRefused)
            } else if queues.queued > queues.backlog {
                Some(VfsError::WouldBlock)
            } else if queues.anyone.try_reserve(1).is_err() {
                Some(VfsError::NoMemory)
            } else {
                None
            };
            if let Some(error) = full {
                Some((error, waiting))
            } else {
                queues.queued += 1;
                if let Err(waiting) = self.assign(&mut queues, waiting) {
                    queues.anyone.push_back(waiting);
                    // Whoever takes work and could not be given it.
                    self.offer(&mut queues);
                }
                None
            }
        };
        if let Some((error, waiting)) = refused {
            drop(waiting);
            return Err(error);
        }
        self.wake();
        self.distributor.has_waiting();
        Ok(())
    }

    /// The next connection for that acceptor.
    ///
    /// # Errors
    /// [`VfsError::WouldBlock`]; [`VfsError::InvalidArgument`] when nothing can come any more.
    pub(super) fn accept(self: &Arc<Self>, number: u64) -> Result<Arc<Socket>> {
        let accepted = {
            let now = self.distributor.now();
            let mut queues = self.queues.lock();
            let taken = self.take(&mut queues, number, now);
            match taken {
                Some(waiting) => {
                    queues.queued -= 1;
                    waiting.socket
                }
                None if queues.closed || queues.place(number).is_none() => {
                    return Err(VfsError::InvalidArgument);
                }
                None => {
                    self.distributor.waits(number);
                    return Err(VfsError::WouldBlock);
                }
            }
        };
        accepted.ticket.call_once(|| Ticket { listener: self.clone(), number });
        self.distributor.pass_on();
        self.room.wake_all();
        Ok(accepted)
    }

    /// Whether that acceptor would get one now.
    pub(super) fn is_ready(&self, number: u64) -> bool {
        let now = self.distributor.now();
        let mut queues = self.queues.lock();
        let Some(place) = queues.place(number) else { return true };
        let Queues { acceptors, anyone, closed, .. } = &mut *queues;
        let Some(acceptor) = acceptors.get_mut(place) else { return true };
        acceptor.asked = now;
        let for_anyone = !anyone.is_empty() && self.distributor.takes_work(number);
        let ready = *closed || !acceptor.waiting.is_empty() || for_anyone;
        if !ready {
            self.distributor.waits(number);
        }
        ready
    }

    /// Who takes work has changed: what waits for those that take none goes to others, what waited for anyone is given out.
    pub fn arrange(&self) {
        {
            let mut queues = self.queues.lock();
            let Queues { acceptors, anyone, .. } = &mut *queues;
            for acceptor in acceptors.iter_mut() {
                let idle = acceptor.waiting.is_empty() || self.distributor.takes_work(acceptor.number);
                // Without memory they stay where they are, until they are late.
                if !idle && anyone.try_reserve(acceptor.waiting.len()).is_ok() {
                    acceptor.waiting.iter().for_each(|_| self.distributor.ended(acceptor.number, Outcome::Moved));
                    anyone.append(&mut acceptor.waiting);
                }
            }
            self.settle(&mut queues);
        }
        self.wake();
    }

    /// What has waited for too long is anybody's now; whether something is left that may.
    pub fn look(&self, now: Nanos) -> bool {
        let left = {
            let mut queues = self.queues.lock();
            let Queues { acceptors, anyone, .. } = &mut *queues;
            let mut late = false;
            for acceptor in acceptors.iter_mut() {
                while acceptor.waiting.front().is_some_and(|waiting| now.saturating_sub(waiting.since) >= PATIENCE)
                    && anyone.try_reserve(1).is_ok()
                    && let Some(mut waiting) = acceptor.waiting.pop_front()
                {
                    // It stays counted there until somebody takes it.
                    waiting.late = Some(acceptor.number);
                    anyone.push_back(waiting);
                    late = true;
                }
            }
            if late {
                self.offer(&mut queues);
            }
            queues.acceptors.iter().any(|acceptor| !acceptor.waiting.is_empty())
        };
        self.wake();
        left
    }

    /// How long [`SharedListener::look`] may be put off.
    pub const PATIENCE: Nanos = PATIENCE;

    /// Gives a connection to the one who is chosen; back if nobody is.
    fn assign(&self, queues: &mut Queues, waiting: Waiting) -> core::result::Result<(), Waiting> {
        let there = |number: u64| queues.place(number).is_some();
        let Some(number) = self.distributor.choose(&waiting.from, &there) else { return Err(waiting) };
        let place = queues.place(number);
        let chosen = place.and_then(|place| queues.acceptors.get_mut(place));
        if let Some(chosen) = chosen
            && chosen.waiting.try_reserve(1).is_ok()
        {
            chosen.waiting.push_back(waiting);
            chosen.wake = true;
            return Ok(());
        }
        self.distributor.ended(number, Outcome::Moved);
        Err(waiting)
    }

    /// Gives out what waits for anyone and is not late, in its order.
    fn settle(&self, queues: &mut Queues) {
        let mut anybody = true;
        for _ in 0..queues.anyone.len() {
            let Some(waiting) = queues.anyone.pop_front() else { break };
            let left = if anybody && waiting.late.is_none() { self.assign(queues, waiting) } else { Err(waiting) };
            if let Err(waiting) = left {
                anybody &= waiting.late.is_some();
                // Room that it had before.
                queues.anyone.push_back(waiting);
            }
        }
        self.offer(queues);
    }

    /// Has everybody woken who may take what is for anyone.
    fn offer(&self, queues: &mut Queues) {
        if queues.anyone.is_empty() {
            return;
        }
        for acceptor in &mut queues.acceptors {
            acceptor.wake |= self.distributor.takes_work(acceptor.number);
        }
    }

    fn take(&self, queues: &mut Queues, number: u64, now: Nanos) -> Option<Waiting> {
        let place = queues.place(number)?;
        let Queues { acceptors, anyone, .. } = queues;
        let acceptor = acceptors.get_mut(place)?;
        acceptor.asked = now;
        let own = &mut acceptor.waiting;
        let takes_work = self.distributor.takes_work(number);
        if !own.is_empty() && (anyone.is_empty() || !takes_work || since(own) <= since(anyone)) {
            return own.pop_front();
        }
        if !takes_work {
            return None;
        }
        if let Some(waiting) = anyone.pop_front() {
            if waiting.late != Some(number) {
                self.distributor.took(number);
                if let Some(late) = waiting.late {
                    let asked = acceptors.iter().find(|acceptor| acceptor.number == late).map(|known| known.asked);
                    let neglected = asked.is_some_and(|asked| now.saturating_sub(asked) >= NEGLECT);
                    self.distributor.ended(late, if neglected { Outcome::Failed } else { Outcome::Late });
                }
            }
            return Some(waiting);
        }
        // The one that has waited longest, if it is behind somebody who has more to do.
        let others = acceptors.iter_mut().filter(|other| !other.waiting.is_empty());
        let other = others.min_by_key(|other| since(&other.waiting))?;
        if !self.distributor.prefers(number, other.number, other.waiting.len()) {
            return None;
        }
        let waiting = other.waiting.pop_front()?;
        self.distributor.ended(other.number, Outcome::Moved);
        self.distributor.took(number);
        Some(waiting)
    }

    /// Wakes those that are to be woken, with no lock held.
    fn wake(&self) {
        self.distributor.pass_on();
        loop {
            let next = {
                let mut queues = self.queues.lock();
                let next = queues.acceptors.iter_mut().find(|acceptor| acceptor.wake);
                let Some(next) = next else { return };
                next.wake = false;
                next.readable.clone()
            };
            next.wake_all();
        }
    }
}

fn since(queue: &VecDeque<Waiting>) -> Option<Nanos> {
    queue.front().map(|waiting| waiting.since)
}

impl Queues {
    fn place(&self, number: u64) -> Option<usize> {
        self.acceptors.binary_search_by_key(&number, |acceptor| acceptor.number).ok()
    }
}
