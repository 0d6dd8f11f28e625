//! How sockets come to be connected: one listens, another connects, an accept ends it.

use alloc::collections::VecDeque;
use alloc::sync::Arc;

use sync::WaitQueue;

use super::super::address::Address;
use super::super::channel::{Channel, PeerCredentials};
use super::super::kind::SocketKind;
use super::super::shared_listener::{Distributor, SharedListener};
use super::{Connection, Socket, Stage, State};
use crate::{Result, VfsError};

/// Most connections that wait to be accepted (Linux: net.core.somaxconn).
const MAX_BACKLOG: usize = 4096;

impl Socket {
    /// listen(2). Peers will see `credentials`.
    ///
    /// # Errors
    /// [`VfsError::NotSupported`] for datagrams; [`VfsError::InvalidArgument`] without a name or when connected.
    pub fn listen(&self, backlog: u32, credentials: PeerCredentials) -> Result<()> {
        if self.kind == SocketKind::Datagram {
            return Err(VfsError::NotSupported);
        }
        let wanted = most_waiting(backlog);
        {
            let mut state = self.state.lock();
            if !state.address.is_named() {
                return Err(VfsError::InvalidArgument);
            }
            match &mut state.stage {
                Stage::Listening { backlog, .. } => *backlog = wanted,
                Stage::Shared(listener) | Stage::Acceptor { listener, .. } => {
                    let listener = listener.clone();
                    drop(state);
                    listener.set_backlog(wanted);
                    return Ok(());
                }
                stage @ Stage::Fresh => {
                    let pending = VecDeque::new();
                    *stage = Stage::Listening { backlog: wanted, pending, credentials, closed: false };
                }
                _ => return Err(VfsError::InvalidArgument),
            }
        }
        self.room.wake_all();
        Ok(())
    }

    /// In place of [`Socket::listen`]: several shall accept, each by a socket of its own ([`Socket::acceptor`]), and
    /// `distributor` says who gets what.
    ///
    /// # Errors
    /// As [`Socket::listen`].
    pub fn share(
        &self,
        backlog: u32,
        credentials: PeerCredentials,
        distributor: Arc<dyn Distributor>,
    ) -> Result<Arc<SharedListener>> {
        if self.kind == SocketKind::Datagram {
            return Err(VfsError::NotSupported);
        }
        let mut state = self.state.lock();
        let address = state.address.clone();
        if !address.is_named() || !matches!(state.stage, Stage::Fresh) {
            return Err(VfsError::InvalidArgument);
        }
        let room = self.room.clone();
        let listener = SharedListener::new(distributor, address, credentials, room, most_waiting(backlog));
        state.stage = Stage::Shared(listener.clone());
        Ok(listener)
    }

    /// A socket that accepts those connections to `shared` that are for `number`.
    ///
    /// # Errors
    /// [`VfsError::NoMemory`]; [`VfsError::InvalidArgument`] for one that is not shared.
    pub fn acceptor(shared: &Self, number: u64) -> Result<Arc<Self>> {
        let listener = match &shared.state.lock().stage {
            Stage::Shared(listener) => listener.clone(),
            _ => return Err(VfsError::InvalidArgument),
        };
        let socket = Self::new(shared.kind, shared.owner);
        listener.join(number, socket.readable.clone())?;
        {
            let mut state = socket.state.lock();
            state.address = listener.address.clone();
            state.stage = Stage::Acceptor { listener, number };
        }
        Ok(socket)
    }

    /// connect(2) to `target`; who connects is `credentials`.
    ///
    /// # Errors
    /// [`VfsError::WouldBlock`] while the backlog is full ([`Socket::backlog_queue`] of `target` is woken);
    /// [`VfsError::ConnectionRefused`], [`VfsError::WrongProtocol`], [`VfsError::IsConnected`],
    /// [`VfsError::AlreadyInProgress`], [`VfsError::InvalidArgument`]; [`VfsError::NotPermitted`] if the target takes
    /// datagrams of another one only.
    pub fn connect(&self, target: &Arc<Self>, credentials: PeerCredentials) -> Result<()> {
        if self.kind != target.kind {
            return Err(VfsError::WrongProtocol);
        }
        if self.kind == SocketKind::Datagram {
            if !target.takes_from(self) {
                return Err(VfsError::NotPermitted);
            }
            self.set_peer(Some(target));
            return Ok(());
        }
        {
            let mut state = self.state.lock();
            match &mut state.stage {
                stage @ Stage::Fresh => *stage = Stage::Connecting,
                Stage::Connecting => return Err(VfsError::AlreadyInProgress),
                Stage::Connected(_) => return Err(VfsError::IsConnected),
                Stage::Listening { .. } | Stage::Datagram { .. } | Stage::Shared(_) | Stage::Acceptor { .. } => {
                    return Err(VfsError::InvalidArgument);
                }
            }
        }
        let outcome = self.connect_to(target, credentials);
        let stage = match &outcome {
            Ok(connection) => Stage::Connected(connection.clone()),
            Err(_) => Stage::Fresh,
        };
        self.state.lock().stage = stage;
        if outcome.is_ok() {
            target.readable.wake_all();
            self.writable.wake_all();
        }
        outcome.map(|_| ())
    }

    fn connect_to(&self, target: &Arc<Self>, credentials: PeerCredentials) -> Result<Connection> {
        let server = Self::new(self.kind, target.owner);
        let (to_server, to_client) = Self::connect_channels(self, &server);
        let client_address = self.address();
        let mut server_state = State {
            address: Address::Unnamed,
            names: None,
            stage: Stage::Connected(Connection {
                incoming: to_server.clone(),
                outgoing: to_client.clone(),
                peer_address: client_address,
                peer_credentials: credentials,
                embryo: true,
            }),
        };
        let mut state = target.state.lock();
        let target_address = state.address.clone();
        server_state.address = target_address.clone();
        let peer_credentials = match &mut state.stage {
            Stage::Listening { closed: true, .. } => return Err(VfsError::ConnectionRefused),
            Stage::Listening { backlog, pending, credentials: listener, .. } => {
                if pending.len() > *backlog {
                    return Err(VfsError::WouldBlock);
                }
                pending.try_reserve(1).map_err(|_| VfsError::NoMemory)?;
                server.replace_state(&mut server_state);
                pending.push_back(server);
                *listener
            }
            Stage::Shared(listener) => {
                let listener = listener.clone();
                drop(state);
                server.replace_state(&mut server_state);
                listener.arrive(server, credentials)?;
                listener.credentials
            }
            _ => return Err(VfsError::ConnectionRefused),
        };
        let (incoming, outgoing) = (to_client, to_server);
        Ok(Connection { incoming, outgoing, peer_address: target_address, peer_credentials, embryo: false })
    }

    /// Channels from `one` to `other` and back.
    pub(super) fn connect_channels(one: &Self, other: &Self) -> (Arc<Channel>, Arc<Channel>) {
        let framing = one.kind.framing();
        let there = Channel::new(framing, other.readable.clone(), one.writable.clone());
        let back = Channel::new(framing, one.readable.clone(), other.writable.clone());
        (there, back)
    }

    /// Takes a datagram socket's peer away (connect(2) to AF_UNSPEC).
    pub fn disconnect(&self) {
        if self.kind == SocketKind::Datagram {
            self.set_peer(None);
        }
    }

    /// accept(2).
    ///
    /// # Errors
    /// [`VfsError::WouldBlock`]; [`VfsError::InvalidArgument`] if it does not listen, [`VfsError::NotSupported`] for
    /// datagrams.
    pub fn accept(&self) -> Result<Arc<Self>> {
        let accepted = {
            let mut state = self.state.lock();
            match &mut state.stage {
                Stage::Listening { pending, closed, .. } => match pending.pop_front() {
                    Some(socket) => socket,
                    None if *closed => return Err(VfsError::InvalidArgument),
                    None => return Err(VfsError::WouldBlock),
                },
                Stage::Acceptor { listener, number } => {
                    let (listener, number) = (listener.clone(), *number);
                    drop(state);
                    listener.accept(number)?
                }
                Stage::Datagram { .. } => return Err(VfsError::NotSupported),
                _ => return Err(VfsError::InvalidArgument),
            }
        };
        if let Stage::Connected(connection) = &mut accepted.state.lock().stage {
            connection.embryo = false;
        }
        accepted.set_passes_credentials(self.passes_credentials());
        accepted.set_passes_security(self.passes_security());
        self.room.wake_all();
        Ok(accepted)
    }

    /// Woken when a full backlog or mailbox has room again.
    pub fn backlog_queue(&self) -> Arc<WaitQueue> {
        match &self.state.lock().stage {
            Stage::Datagram { mailbox, .. } => mailbox.writable.clone(),
            _ => self.room.clone(),
        }
    }
}

fn most_waiting(backlog: u32) -> usize {
    usize::try_from(backlog).unwrap_or(MAX_BACKLOG).min(MAX_BACKLOG)
}
