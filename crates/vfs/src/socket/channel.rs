//! One direction of a connection, or the mailbox of a datagram socket.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use sync::{Rank, SpinLock, WaitQueue};
use types::{Gid, Pid, Uid};

use super::address::Address;
use super::in_flight::Cargo;
use crate::ring::{Block, ByteRing};
use crate::{OpenFile, Result, VfsError};

/// Bytes queued at most (Linux: net.core.wmem_default).
pub(super) const CAPACITY: usize = 212_992;
/// What a message costs beyond its bytes: many empty ones must not fill the memory.
const MESSAGE_COST: usize = 256;
/// Messages that wait at a datagram socket for strangers (Linux: net.unix.max_dgram_qlen).
const STRANGERS: usize = 10;

/// Process, user and group at the other end (SO_PEERCRED, SCM_CREDENTIALS).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerCredentials {
    /// Process.
    pub pid: Pid,
    /// Effective user.
    pub uid: Uid,
    /// Effective group.
    pub gid: Gid,
    /// The life of a service that it belongs to, as the supervisor numbers it; nobody can say another.
    pub cell: Option<u64>,
}

impl PeerCredentials {
    /// Nobody: before a connection.
    pub const NONE: Self = Self { pid: Pid(0), uid: Uid(u32::MAX), gid: Gid(u32::MAX), cell: None };
}

/// What goes along with data.
#[derive(Default)]
pub struct Ancillary {
    /// Descriptors (SCM_RIGHTS).
    pub files: Vec<Arc<OpenFile>>,
    /// The sender (SCM_CREDENTIALS).
    pub credentials: Option<PeerCredentials>,
}

/// What a receive gave.
#[derive(Default)]
pub struct Received {
    /// Bytes copied.
    pub count: usize,
    /// Bytes the message had: more than `count` if it was cut off (MSG_TRUNC).
    pub length: usize,
    /// Who sent it, for datagrams.
    pub from: Option<Address>,
    /// What came along.
    pub ancillary: Ancillary,
}

/// How much of the data stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Take {
    Remove,
    Keep,
}

/// What is queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Bytes,
    Messages,
}

pub(super) struct Channel {
    framing: Framing,
    state: SpinLock<State>,
    /// Of the socket that reads.
    pub(super) readable: Arc<WaitQueue>,
    /// Of the socket that writes; of everybody who writes to a mailbox.
    pub(super) writable: Arc<WaitQueue>,
}

struct State {
    ring: ByteRing,
    /// Bytes that went through the ring.
    passed: u64,
    /// Where something other than bytes is in the stream, ascending.
    marks: VecDeque<Mark>,
    /// Sender of the next byte.
    sender: Option<PeerCredentials>,
    /// Sender of the last byte queued.
    last_sender: Option<PeerCredentials>,
    messages: VecDeque<Message>,
    /// Bytes and costs of `messages`.
    queued: usize,
    /// Nothing more will come.
    write_closed: bool,
    /// Nothing more will be taken.
    read_closed: bool,
    /// The reader went with data unread.
    reset: bool,
}

/// Something at a place in a stream of bytes. A read ends there.
struct Mark {
    at: u64,
    cargo: Option<Cargo>,
    sender: Option<PeerCredentials>,
}

struct Message {
    data: Vec<u8>,
    from: Address,
    cargo: Option<Cargo>,
    sender: PeerCredentials,
}

impl Channel {
    pub(super) fn new(framing: Framing, readable: Arc<WaitQueue>, writable: Arc<WaitQueue>) -> Arc<Self> {
        let state = State {
            ring: ByteRing::new(CAPACITY),
            passed: 0,
            marks: VecDeque::new(),
            sender: None,
            last_sender: None,
            messages: VecDeque::new(),
            queued: 0,
            write_closed: false,
            read_closed: false,
            reset: false,
        };
        Arc::new(Self { framing, state: SpinLock::new(Rank::CHANNEL, state), readable, writable })
    }

    /// Queues data; how much.
    pub(super) fn send(
        &self,
        data: &[u8],
        cargo: Option<Cargo>,
        from: &Address,
        sender: PeerCredentials,
        stranger: bool,
    ) -> Result<usize> {
        let count = match self.framing {
            Framing::Bytes => self.send_bytes(data, cargo, sender)?,
            Framing::Messages => self.send_message(data, cargo, from, sender, stranger)?,
        };
        self.readable.wake_all();
        Ok(count)
    }

    fn send_bytes(&self, data: &[u8], cargo: Option<Cargo>, sender: PeerCredentials) -> Result<usize> {
        let mut cargo = cargo;
        let mut fresh = None;
        loop {
            let (wanted, old) = {
                let mut state = self.state.lock();
                if state.write_closed || state.read_closed {
                    return Err(VfsError::BrokenPipe);
                }
                if data.is_empty() {
                    return Ok(0);
                }
                if state.ring.room() == 0 {
                    return Err(VfsError::WouldBlock);
                }
                let old = fresh.take().map(|block| state.ring.install(block));
                let wanted = state.ring.wants(data.len());
                if wanted.is_none() {
                    let count = state.push_bytes(data, &mut cargo, sender)?;
                    drop(state);
                    drop(old);
                    return Ok(count);
                }
                (wanted, old)
            };
            drop(old);
            fresh = wanted.map(Block::new).transpose()?;
        }
    }

    fn send_message(
        &self,
        data: &[u8],
        cargo: Option<Cargo>,
        from: &Address,
        sender: PeerCredentials,
        stranger: bool,
    ) -> Result<usize> {
        let cost = data.len() + MESSAGE_COST;
        if cost > CAPACITY {
            return Err(VfsError::MessageSize);
        }
        let mut copy = Vec::new();
        copy.try_reserve_exact(data.len()).map_err(|_| VfsError::NoBuffers)?;
        copy.extend_from_slice(data);
        let message = Message { data: copy, from: from.clone(), cargo, sender };
        let mut state = self.state.lock();
        let refusal = if state.write_closed || state.read_closed {
            Some(VfsError::BrokenPipe)
        } else if state.queued + cost > CAPACITY || stranger && state.messages.len() > STRANGERS {
            Some(VfsError::WouldBlock)
        } else if state.messages.try_reserve(1).is_err() {
            Some(VfsError::NoBuffers)
        } else {
            None
        };
        if let Some(error) = refusal {
            drop(state);
            drop(message);
            return Err(error);
        }
        state.queued += cost;
        state.last_sender = Some(sender);
        state.messages.push_back(message);
        Ok(data.len())
    }

    /// Takes data out, or looks at it.
    pub(super) fn receive(&self, out: &mut [u8], take: Take) -> Result<Received> {
        let (outcome, space, gone) = {
            let mut state = self.state.lock();
            let (was_writable, queued) = (state.is_writable(), state.queued);
            let mut gone = None;
            let (outcome, space) = match self.framing {
                Framing::Bytes => {
                    let outcome = state.take_bytes(out, take, &mut gone);
                    (outcome, !was_writable && state.is_writable())
                }
                // What has to fit in whole, or waits for its turn as a stranger, waits for each that goes.
                Framing::Messages => (state.take_message(out, take, &mut gone), state.queued < queued),
            };
            (outcome, space, gone)
        };
        let mut received = outcome?;
        if let Some(cargo) = gone {
            received.ancillary.files = cargo.land();
        }
        if space {
            self.writable.wake_all();
        }
        Ok(received)
    }

    /// Bytes that a read gives next (FIONREAD): all of a stream, the first message.
    pub(super) fn available(&self) -> usize {
        let state = self.state.lock();
        match self.framing {
            Framing::Bytes => state.ring.len(),
            Framing::Messages => state.messages.front().map_or(0, |message| message.data.len()),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        let state = self.state.lock();
        state.ring.is_empty() && state.messages.is_empty()
    }

    /// Whether anything was ever sent.
    pub(super) fn was_used(&self) -> bool {
        self.state.lock().last_sender.is_some()
    }

    pub(super) fn is_writable(&self) -> bool {
        self.state.lock().is_writable()
    }

    /// Whether one who is not its peer may send a message.
    pub(super) fn takes_from_strangers(&self) -> bool {
        self.state.lock().messages.len() <= STRANGERS
    }

    pub(super) fn is_write_closed(&self) -> bool {
        self.state.lock().write_closed
    }

    pub(super) fn is_read_closed(&self) -> bool {
        self.state.lock().read_closed
    }

    /// The writer writes no more.
    pub(super) fn close_write(&self) {
        self.state.lock().write_closed = true;
        self.wake();
    }

    /// The reader reads no more.
    pub(super) fn close_read(&self) {
        self.state.lock().read_closed = true;
        self.wake();
    }

    /// Tells the reader once that the connection broke.
    pub(super) fn reset(&self) {
        self.state.lock().reset = true;
        self.wake();
    }

    pub(super) fn has_reset(&self) -> bool {
        self.state.lock().reset
    }

    pub(super) fn take_reset(&self) -> bool {
        core::mem::take(&mut self.state.lock().reset)
    }

    /// Throws away all that is queued, descriptors included.
    pub(super) fn clear(&self) {
        let (marks, messages) = {
            let mut state = self.state.lock();
            state.ring.clear();
            state.queued = 0;
            (core::mem::take(&mut state.marks), core::mem::take(&mut state.messages))
        };
        drop((marks, messages));
    }

    /// Shows `visit` every open file that is queued here.
    pub(super) fn each_file(&self, visit: &mut dyn FnMut(&Arc<OpenFile>)) {
        let state = self.state.lock();
        let in_marks = state.marks.iter().filter_map(|mark| mark.cargo.as_ref());
        let in_messages = state.messages.iter().filter_map(|message| message.cargo.as_ref());
        in_marks.chain(in_messages).flat_map(Cargo::files).for_each(visit);
    }

    fn wake(&self) {
        self.readable.wake_all();
        self.writable.wake_all();
    }
}

impl State {
    /// As Linux has it: a quarter at most is in use.
    fn is_writable(&self) -> bool {
        (self.ring.len() + self.queued) * 4 <= CAPACITY
    }

    fn push_bytes(&mut self, data: &[u8], cargo: &mut Option<Cargo>, sender: PeerCredentials) -> Result<usize> {
        let start = self.passed + self.ring.len() as u64;
        let new_sender = self.last_sender != Some(sender);
        if new_sender || cargo.is_some() {
            self.marks.try_reserve(2).map_err(|_| VfsError::NoBuffers)?;
        }
        let count = self.ring.push(data);
        if new_sender || cargo.is_some() {
            let cargo = cargo.take();
            let with_cargo = cargo.is_some();
            self.marks.push_back(Mark { at: start, cargo, sender: Some(sender) });
            if with_cargo {
                // What comes after is not read together with the descriptors.
                self.marks.push_back(Mark { at: start + count as u64, cargo: None, sender: None });
            }
            self.last_sender = Some(sender);
        }
        Ok(count)
    }

    fn take_bytes(&mut self, out: &mut [u8], take: Take, gone: &mut Option<Cargo>) -> Result<Received> {
        if self.ring.is_empty() {
            return self.nothing();
        }
        let mut received = Received::default();
        let mut looked = 0;
        while let Some(mark) = self.marks.get_mut(looked)
            && mark.at <= self.passed
            && gone.is_none()
            && received.ancillary.files.is_empty()
        {
            self.sender = mark.sender.or(self.sender);
            match (take, &mark.cargo) {
                (Take::Keep, cargo) => {
                    received.ancillary.files = cargo.as_ref().map(Cargo::copies).unwrap_or_default();
                    looked += 1;
                }
                (Take::Remove, _) => {
                    *gone = self.marks.pop_front().and_then(|mark| mark.cargo);
                }
            }
        }
        let end = self.marks.get(looked).map_or(u64::MAX, |mark| mark.at - self.passed);
        let limit = usize::try_from(end).unwrap_or(usize::MAX).min(out.len());
        let slot = out.get_mut(..limit).unwrap_or(&mut []);
        let count = if take == Take::Remove { self.ring.pop(slot) } else { self.ring.peek(slot) };
        if take == Take::Remove {
            self.passed += count as u64;
        }
        received.count = count;
        received.length = count;
        received.ancillary.credentials = self.sender;
        Ok(received)
    }

    fn take_message(&mut self, out: &mut [u8], take: Take, gone: &mut Option<Cargo>) -> Result<Received> {
        let Some(message) = self.messages.front() else { return self.nothing() };
        let length = message.data.len();
        let count = length.min(out.len());
        if let (Some(slot), Some(from)) = (out.get_mut(..count), message.data.get(..count)) {
            slot.copy_from_slice(from);
        }
        let mut received = Received { count, length, from: Some(message.from.clone()), ..Received::default() };
        received.ancillary.credentials = Some(message.sender);
        if take == Take::Keep {
            received.ancillary.files = message.cargo.as_ref().map(Cargo::copies).unwrap_or_default();
        } else if let Some(message) = self.messages.pop_front() {
            self.queued -= length + MESSAGE_COST;
            *gone = message.cargo;
        }
        Ok(received)
    }

    fn nothing(&mut self) -> Result<Received> {
        if core::mem::take(&mut self.reset) {
            Err(VfsError::ConnectionReset)
        } else if self.write_closed || self.read_closed {
            Ok(Received::default())
        } else {
            Err(VfsError::WouldBlock)
        }
    }
}
