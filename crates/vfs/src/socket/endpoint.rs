//! A socket: what it is connected to, what it listens for, what its calls do.
//!
//! ```text
//!            bind        listen                    accept
//!  fresh ───────────► ───────────► listening ─────────────────► (a connected one)
//!    │ connect                         ▲ connect of another one
//!    └────────────► connecting ────────┴──► connected
//! ```
//! Datagram sockets only ever are fresh, with or without a peer.

mod connect;

use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use sync::{Once, Rank, SpinLock, WaitQueue};

use super::address::Address;
use super::channel::{Channel, Framing, PeerCredentials, Received, Take};
use super::in_flight::{self, Cargo};
use super::kind::{Shutdown, SocketKind};
use super::message::{DatagramSink, Outgoing, ReceiveMode};
use super::names::AbstractNames;
use super::shared_listener::{Outcome, SharedListener, Ticket};
use crate::{Attachment, Location, OpenFile, PollEvents, Result, VfsError, anonymous};

/// A Unix socket; it is closed with its open file, and when it is dropped.
pub struct Socket {
    this: Weak<Self>,
    kind: SocketKind,
    pub(super) number: u64,
    owner: PeerCredentials,
    state: SpinLock<State>,
    pub(super) readable: Arc<WaitQueue>,
    pub(super) writable: Arc<WaitQueue>,
    /// Connects that wait for room in the backlog.
    room: Arc<WaitQueue>,
    /// SO_PASSCRED.
    pass_credentials: AtomicBool,
    /// SO_PASSSEC.
    pass_security: AtomicBool,
    /// [`Socket::keep`].
    kept: AtomicBool,
    /// SO_RCVTIMEO and SO_SNDTIMEO, nanoseconds, 0 for none.
    timeouts: [AtomicU64; 2],
    /// Who takes datagrams in place of the mailbox.
    sink: Once<Arc<dyn DatagramSink>>,
    /// Who shall hear of its end: it was accepted from one of several.
    pub(super) ticket: Once<Ticket>,
}

struct State {
    address: Address,
    names: Option<Arc<AbstractNames>>,
    stage: Stage,
}

enum Stage {
    Fresh,
    Connecting,
    Connected(Connection),
    Listening {
        backlog: usize,
        pending: VecDeque<Arc<Socket>>,
        credentials: PeerCredentials,
        closed: bool,
    },
    Datagram {
        mailbox: Arc<Channel>,
        peer: Option<Weak<Socket>>,
        write_closed: bool,
    },
    /// Has the name that several accept from.
    Shared(Arc<SharedListener>),
    /// Accepts from it.
    Acceptor {
        listener: Arc<SharedListener>,
        number: u64,
    },
}

#[derive(Clone)]
struct Connection {
    incoming: Arc<Channel>,
    outgoing: Arc<Channel>,
    peer_address: Address,
    peer_credentials: PeerCredentials,
    /// Not accepted yet: its drop resets the connection.
    embryo: bool,
}

/// What a socket's inode carries; the socket itself lives as long as it is open.
struct Bound(Weak<Socket>);

impl Socket {
    /// socket(2). `owner` is told to peers where nobody else is named.
    pub fn new(kind: SocketKind, owner: PeerCredentials) -> Arc<Self> {
        Arc::new_cyclic(|this| {
            let queue = || Arc::new(WaitQueue::new());
            let (readable, writable) = (queue(), queue());
            let stage = match kind {
                SocketKind::Datagram => Stage::Datagram {
                    mailbox: Channel::new(Framing::Messages, readable.clone(), queue()),
                    peer: None,
                    write_closed: false,
                },
                SocketKind::Stream | SocketKind::SeqPacket => Stage::Fresh,
            };
            Self {
                this: this.clone(),
                kind,
                number: anonymous::next_ino(),
                owner,
                state: SpinLock::new(Rank::SOCKET, State { address: Address::Unnamed, names: None, stage }),
                readable,
                writable,
                room: queue(),
                pass_credentials: AtomicBool::new(false),
                pass_security: AtomicBool::new(false),
                kept: AtomicBool::new(false),
                timeouts: [const { AtomicU64::new(0) }; 2],
                sink: Once::new(),
                ticket: Once::new(),
            }
        })
    }

    /// socketpair(2).
    pub fn pair(kind: SocketKind, owner: PeerCredentials) -> (Arc<Self>, Arc<Self>) {
        let (one, other) = (Self::new(kind, owner), Self::new(kind, owner));
        if kind == SocketKind::Datagram {
            one.set_peer(Some(&other));
            other.set_peer(Some(&one));
        } else {
            let (to_other, to_one) = Self::connect_channels(&one, &other);
            let connection = |incoming: &Arc<Channel>, outgoing: &Arc<Channel>| Connection {
                incoming: incoming.clone(),
                outgoing: outgoing.clone(),
                peer_address: Address::Unnamed,
                peer_credentials: owner,
                embryo: false,
            };
            one.state.lock().stage = Stage::Connected(connection(&to_one, &to_other));
            other.state.lock().stage = Stage::Connected(connection(&to_other, &to_one));
        }
        (one, other)
    }

    /// The socket bound to the node at `location`.
    ///
    /// # Errors
    /// [`VfsError::ConnectionRefused`] if nobody has it open, or it is no socket.
    pub fn at(location: &Location) -> Result<Arc<Self>> {
        let bound = location.inode().attachment().and_then(Attachment::get::<Bound>);
        bound.and_then(|bound| bound.0.upgrade()).ok_or(VfsError::ConnectionRefused)
    }

    /// Stream, datagram or seqpacket.
    pub const fn kind(&self) -> SocketKind {
        self.kind
    }

    /// Binds to the node that [`crate::FsContext::bind_socket`] made for it; `path` as it was given.
    ///
    /// # Errors
    /// [`VfsError::InvalidArgument`] if it has a name already.
    pub fn bind_path(&self, path: &[u8], node: &Location) -> Result<()> {
        self.name(|| Ok(Address::Path(path.into())), None)?;
        let slot = node.inode().attachment().ok_or(VfsError::AddressNotAvailable)?;
        if slot.set(Arc::new(Bound(self.this.clone()))) { Ok(()) } else { Err(VfsError::AddressInUse) }
    }

    /// Binds to an abstract name, or to a fresh one for [`None`].
    ///
    /// # Errors
    /// [`VfsError::AddressInUse`]; [`VfsError::InvalidArgument`] if it has a name already.
    pub fn bind_abstract(&self, names: &Arc<AbstractNames>, name: Option<Arc<[u8]>>) -> Result<()> {
        let take = || match name {
            Some(name) => names.take(&name, &self.this).map(|()| Address::Abstract(name)),
            None => names.take_any(&self.this).map(Address::Abstract),
        };
        self.name(take, Some(names.clone()))
    }

    fn name(&self, take: impl FnOnce() -> Result<Address>, names: Option<Arc<AbstractNames>>) -> Result<()> {
        if self.address().is_named() {
            return Err(VfsError::InvalidArgument);
        }
        let address = take()?;
        let mut state = self.state.lock();
        if state.address.is_named() {
            drop(state);
            if let (Address::Abstract(name), Some(names)) = (&address, &names) {
                names.release(name, &self.this);
            }
            return Err(VfsError::InvalidArgument);
        }
        state.address = address;
        state.names = names;
        Ok(())
    }

    /// getsockname(2).
    pub fn address(&self) -> Address {
        self.state.lock().address.clone()
    }

    /// getpeername(2).
    ///
    /// # Errors
    /// [`VfsError::NotConnected`].
    pub fn peer_address(&self) -> Result<Address> {
        let peer = match &self.state.lock().stage {
            Stage::Connected(connection) => return Ok(connection.peer_address.clone()),
            Stage::Datagram { peer: Some(peer), .. } => peer.clone(),
            _ => return Err(VfsError::NotConnected),
        };
        peer.upgrade().map(|peer| peer.address()).ok_or(VfsError::NotConnected)
    }

    /// SO_PEERCRED.
    pub fn peer_credentials(&self) -> PeerCredentials {
        let peer = match &self.state.lock().stage {
            Stage::Connected(connection) => return connection.peer_credentials,
            Stage::Listening { credentials, .. } => return *credentials,
            Stage::Shared(listener) | Stage::Acceptor { listener, .. } => return listener.credentials,
            Stage::Datagram { peer: Some(peer), .. } => peer.clone(),
            _ => return PeerCredentials::NONE,
        };
        peer.upgrade().map_or(PeerCredentials::NONE, |peer| peer.owner)
    }

    /// sendmsg(2).
    ///
    /// # Errors
    /// [`VfsError::WouldBlock`]; [`VfsError::BrokenPipe`], [`VfsError::NotConnected`], [`VfsError::IsConnected`] for a
    /// destination on a connection, [`VfsError::ConnectionRefused`], [`VfsError::MessageSize`],
    /// [`VfsError::TooManyReferences`], [`VfsError::NoBuffers`].
    pub fn send(&self, data: &[u8], outgoing: Outgoing<'_>) -> Result<usize> {
        let cargo = Cargo::pack(outgoing.files)?;
        if self.kind == SocketKind::Datagram {
            return self.send_datagram(data, cargo, outgoing.to, outgoing.credentials);
        }
        let channel = match &self.state.lock().stage {
            Stage::Connected(connection) => connection.outgoing.clone(),
            _ if outgoing.to.is_some() && self.kind == SocketKind::Stream => return Err(VfsError::NotSupported),
            _ => return Err(VfsError::NotConnected),
        };
        if outgoing.to.is_some() && self.kind == SocketKind::Stream {
            return Err(VfsError::IsConnected);
        }
        channel.send(data, cargo, &Address::Unnamed, outgoing.credentials, false)
    }

    fn send_datagram(
        &self,
        data: &[u8],
        cargo: Option<Cargo>,
        to: Option<&Arc<Self>>,
        sender: PeerCredentials,
    ) -> Result<usize> {
        let (peer, address) = {
            let state = self.state.lock();
            let Stage::Datagram { peer, write_closed, .. } = &state.stage else { return Err(VfsError::NotConnected) };
            if *write_closed {
                return Err(VfsError::BrokenPipe);
            }
            (peer.clone(), state.address.clone())
        };
        let target = match (to, peer) {
            (Some(target), _) => target.clone(),
            (None, None) => return Err(VfsError::NotConnected),
            (None, Some(peer)) => match peer.upgrade() {
                Some(target) => target,
                None => {
                    self.set_peer(None);
                    return Err(VfsError::ConnectionRefused);
                }
            },
        };
        if target.kind != SocketKind::Datagram {
            return Err(VfsError::WrongProtocol);
        }
        if !target.takes_from(self) {
            return Err(VfsError::NotPermitted);
        }
        if let Some(sink) = target.sink.get() {
            return sink.take(data);
        }
        let stranger = !target.is_peer(self);
        let mailbox = target.mailbox().ok_or(VfsError::ConnectionRefused)?;
        mailbox.send(data, cargo, &address, sender, stranger)
    }

    /// recvmsg(2).
    ///
    /// # Errors
    /// [`VfsError::WouldBlock`]; [`VfsError::ConnectionReset`] once; [`VfsError::InvalidArgument`] (streams) or
    /// [`VfsError::NotConnected`] without a connection.
    pub fn receive(&self, out: &mut [u8], mode: ReceiveMode) -> Result<Received> {
        let channel = match &self.state.lock().stage {
            Stage::Connected(connection) => connection.incoming.clone(),
            Stage::Datagram { mailbox, .. } => mailbox.clone(),
            _ if self.kind == SocketKind::Stream => return Err(VfsError::InvalidArgument),
            _ => return Err(VfsError::NotConnected),
        };
        if out.is_empty() && self.kind == SocketKind::Stream {
            return Ok(Received::default());
        }
        channel.receive(out, if mode == ReceiveMode::Peek { Take::Keep } else { Take::Remove })
    }

    /// shutdown(2).
    ///
    /// # Errors
    /// None here; sockets without a connection take it quietly, as on Linux.
    pub fn shutdown(&self, how: Shutdown) -> Result<()> {
        let channels = {
            let mut state = self.state.lock();
            match &mut state.stage {
                Stage::Connected(connection) => Some((connection.incoming.clone(), connection.outgoing.clone())),
                Stage::Datagram { mailbox, write_closed, .. } => {
                    *write_closed |= how.writes();
                    Some((mailbox.clone(), mailbox.clone()))
                }
                Stage::Listening { closed, .. } => {
                    *closed |= how.reads();
                    None
                }
                Stage::Acceptor { listener, number } if how.reads() => {
                    let (listener, number) = (listener.clone(), *number);
                    drop(state);
                    listener.leave(number);
                    None
                }
                Stage::Fresh | Stage::Connecting | Stage::Shared(_) | Stage::Acceptor { .. } => None,
            }
        };
        if let Some((incoming, outgoing)) = channels {
            if how.reads() {
                incoming.close_read();
            }
            if how.writes() && self.kind != SocketKind::Datagram {
                outgoing.close_write();
            }
        }
        self.readable.wake_all();
        self.writable.wake_all();
        self.room.wake_all();
        Ok(())
    }

    /// Whether it listens (SO_ACCEPTCONN).
    pub fn is_listening(&self) -> bool {
        matches!(self.state.lock().stage, Stage::Listening { .. } | Stage::Shared(_) | Stage::Acceptor { .. })
    }

    /// Takes the pending error (SO_ERROR).
    pub fn take_error(&self) -> Option<VfsError> {
        let incoming = match &self.state.lock().stage {
            Stage::Connected(connection) => connection.incoming.clone(),
            _ => return None,
        };
        incoming.take_reset().then_some(VfsError::ConnectionReset)
    }

    /// From now on datagrams go to `sink`; the first one counts.
    pub fn set_sink(&self, sink: Arc<dyn DatagramSink>) {
        self.sink.call_once(|| sink);
    }

    /// Whether receivers want the sender's credentials (SO_PASSCRED).
    pub fn passes_credentials(&self) -> bool {
        self.pass_credentials.load(Ordering::Relaxed)
    }

    /// Sets SO_PASSCRED.
    pub fn set_passes_credentials(&self, on: bool) {
        self.pass_credentials.store(on, Ordering::Relaxed);
    }

    /// Whether receivers want to know what service the sender is of (SO_PASSSEC).
    pub fn passes_security(&self) -> bool {
        self.pass_security.load(Ordering::Relaxed)
    }

    /// Sets SO_PASSSEC.
    pub fn set_passes_security(&self, on: bool) {
        self.pass_security.store(on, Ordering::Relaxed);
    }

    /// SO_RCVTIMEO and SO_SNDTIMEO, zero for none.
    pub fn timeouts(&self) -> (types::Nanos, types::Nanos) {
        let [receive, send] = &self.timeouts;
        (types::Nanos(receive.load(Ordering::Relaxed)), types::Nanos(send.load(Ordering::Relaxed)))
    }

    /// Sets SO_RCVTIMEO.
    pub fn set_receive_timeout(&self, timeout: types::Nanos) {
        let [receive, _] = &self.timeouts;
        receive.store(timeout.0, Ordering::Relaxed);
    }

    /// Sets SO_SNDTIMEO.
    pub fn set_send_timeout(&self, timeout: types::Nanos) {
        let [_, send] = &self.timeouts;
        send.store(timeout.0, Ordering::Relaxed);
    }

    /// Bytes that SO_SNDBUF and SO_RCVBUF tell.
    pub const fn buffer_size(&self) -> usize {
        super::channel::CAPACITY
    }

    pub(super) const fn owner(&self) -> PeerCredentials {
        self.owner
    }

    pub(super) fn available(&self) -> Result<usize> {
        match self.incoming() {
            Some(channel) => Ok(channel.available()),
            None if self.is_listening() => Err(VfsError::InvalidArgument),
            None => Ok(0),
        }
    }

    pub(super) fn poll_events(&self) -> PollEvents {
        let mut events = PollEvents::empty();
        let (incoming, outgoing, peer, hung_up) = match &self.state.lock().stage {
            Stage::Fresh | Stage::Connecting => {
                return PollEvents::WRITABLE | PollEvents::WRBAND | PollEvents::HUP;
            }
            Stage::Listening { pending, closed, .. } => {
                events.set(PollEvents::READABLE, !pending.is_empty() || *closed);
                events.set(PollEvents::HUP, *closed);
                return events;
            }
            Stage::Acceptor { listener, number } => {
                let (listener, number) = (listener.clone(), *number);
                events.set(PollEvents::READABLE, listener.is_ready(number));
                events.set(PollEvents::HUP, listener.is_closed());
                return events;
            }
            Stage::Shared(_) => return events,
            Stage::Datagram { mailbox, write_closed, peer } => {
                let peer = peer.as_ref().and_then(Weak::upgrade);
                (mailbox.clone(), None, peer, mailbox.is_read_closed() && *write_closed)
            }
            Stage::Connected(connection) => {
                let (incoming, outgoing) = (connection.incoming.clone(), connection.outgoing.clone());
                let no_input = incoming.is_write_closed() || incoming.is_read_closed();
                let no_output = outgoing.is_write_closed() || outgoing.is_read_closed();
                (incoming, Some(outgoing), None, no_input && no_output)
            }
        };
        let ended = incoming.is_write_closed() || incoming.is_read_closed();
        events.set(PollEvents::READABLE, ended || !incoming.is_empty());
        events.set(PollEvents::RDHUP, ended);
        events.set(PollEvents::HUP, hung_up);
        events.set(PollEvents::ERR, incoming.has_reset());
        let room = match (&outgoing, peer) {
            (Some(outgoing), _) => outgoing.is_writable(),
            (None, Some(peer)) => peer
                .mailbox()
                .is_none_or(|mailbox| mailbox.is_writable() && (peer.is_peer(self) || mailbox.takes_from_strangers())),
            (None, None) => true,
        };
        events.set(PollEvents::WRITABLE | PollEvents::WRBAND, room);
        events
    }

    /// Mailbox of the peer that a datagram socket is connected to: who waits to write waits there, too.
    pub(super) fn peer_mailbox(&self) -> Option<Arc<Channel>> {
        let peer = match &self.state.lock().stage {
            Stage::Datagram { peer: Some(peer), .. } => peer.clone(),
            _ => return None,
        };
        peer.upgrade()?.mailbox()
    }

    /// Shows every open file that can be received here, or by accepting here.
    pub(super) fn each_file(&self, visit: &mut dyn FnMut(&Arc<OpenFile>)) {
        let (incoming, pending) = match &self.state.lock().stage {
            Stage::Connected(connection) => (Some(connection.incoming.clone()), Vec::new()),
            Stage::Datagram { mailbox, .. } => (Some(mailbox.clone()), Vec::new()),
            Stage::Listening { pending, .. } => (None, pending.iter().cloned().collect()),
            // What waits there is the kernel's as long as the service is loaded: nobody's garbage.
            Stage::Fresh | Stage::Connecting | Stage::Shared(_) | Stage::Acceptor { .. } => (None, Vec::new()),
        };
        if let Some(incoming) = incoming {
            incoming.each_file(visit);
        }
        for socket in pending {
            socket.each_file(visit);
        }
    }

    /// Throws away what nobody can receive any more.
    pub(super) fn discard_queue(&self) {
        let pending = match &mut self.state.lock().stage {
            Stage::Listening { pending, .. } => core::mem::take(pending),
            _ => VecDeque::new(),
        };
        drop(pending);
        if let Some(incoming) = self.incoming() {
            incoming.clear();
        }
    }

    fn incoming(&self) -> Option<Arc<Channel>> {
        match &self.state.lock().stage {
            Stage::Connected(connection) => Some(connection.incoming.clone()),
            Stage::Datagram { mailbox, .. } => Some(mailbox.clone()),
            _ => None,
        }
    }

    fn mailbox(&self) -> Option<Arc<Channel>> {
        match &self.state.lock().stage {
            Stage::Datagram { mailbox, .. } => Some(mailbox.clone()),
            _ => None,
        }
    }

    fn set_peer(&self, new: Option<&Arc<Self>>) {
        let old = match &mut self.state.lock().stage {
            Stage::Datagram { peer, .. } => core::mem::replace(peer, new.map(Arc::downgrade)),
            _ => None,
        };
        drop(old);
        self.writable.wake_all();
    }

    fn is_peer(&self, other: &Self) -> bool {
        match &self.state.lock().stage {
            Stage::Datagram { peer: Some(peer), .. } => core::ptr::eq(peer.as_ptr(), other),
            _ => false,
        }
    }

    /// Whether it takes datagrams of anybody, or of that one.
    fn takes_from(&self, other: &Self) -> bool {
        match &self.state.lock().stage {
            Stage::Datagram { peer: Some(peer), .. } => core::ptr::eq(peer.as_ptr(), other),
            _ => true,
        }
    }

    /// It outlives the open files that have it.
    pub fn keep(&self) {
        self.kept.store(true, Ordering::Relaxed);
    }

    /// Its open file is gone. Somebody may be about to connect or send to it: that must not keep its name.
    pub(super) fn release_last(&self) {
        if !self.kept.load(Ordering::Relaxed) {
            self.end();
        }
    }

    /// Lets go of everything it has; nobody finds it any more.
    fn end(&self) {
        let (names, address, stage) = {
            let mut state = self.state.lock();
            let stage = core::mem::replace(&mut state.stage, Stage::Fresh);
            (state.names.take(), state.address.clone(), stage)
        };
        if let (Address::Abstract(name), Some(names)) = (&address, &names) {
            names.release(name, &self.this);
        }
        match stage {
            Stage::Connected(connection) => {
                let reset = connection.embryo || !connection.incoming.is_empty();
                if let Some(ticket) = self.ticket.get() {
                    let failed = reset && !connection.outgoing.was_used();
                    ticket.end(if failed { Outcome::Failed } else { Outcome::Closed });
                }
                if reset {
                    connection.outgoing.reset();
                }
                connection.outgoing.close_write();
                connection.incoming.close_read();
                connection.incoming.clear();
            }
            Stage::Datagram { mailbox, .. } => {
                mailbox.close_read();
                mailbox.clear();
            }
            Stage::Listening { pending, .. } => drop(pending),
            Stage::Shared(listener) => listener.close(),
            Stage::Acceptor { listener, number } => listener.leave(number),
            Stage::Fresh | Stage::Connecting => {}
        }
        self.room.wake_all();
    }

    fn replace_state(&self, state: &mut State) {
        // A socket nobody else knows yet: its lock is free, and of a rank that the caller holds already.
        if let Some(mut own) = self.state.try_lock() {
            core::mem::swap(&mut *own, state);
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.end();
        in_flight::collect_now_and_then();
    }
}
