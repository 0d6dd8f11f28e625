//! Sockets that belong to a service: made before its first start, passed to every instance, kept over crashes and restarts
//! with all that waits in them.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Errno;
use services::{Definition, Endpoint, Listen, Name, SocketKind as EndpointKind};
use sync::{Rank, SpinLock};
use types::{Gid, Pid, Uid};
use vfs::socket::{PeerCredentials, Socket, SocketKind};
use vfs::{AttributeChange, VfsError};

use crate::actor::Standing;
use crate::{SysResult, System};

/// All of them.
pub(super) struct Sockets {
    // Rank::SERVICE_SOCKETS
    list: SpinLock<Vec<Held>>,
}

struct Held {
    service: Name,
    at: Endpoint,
    socket: Arc<Socket>,
}

impl Sockets {
    pub(super) const fn new() -> Self {
        Self { list: SpinLock::new(Rank::SERVICE_SOCKETS, Vec::new()) }
    }

    /// The socket of a service at one of its endpoints; made if it is not there yet.
    ///
    /// # Errors
    /// EAFNOSUPPORT for the internet; those of bind(2).
    pub(super) fn of(
        &self,
        system: &'static System,
        standing: &Standing,
        definition: &Definition,
        listen: &Listen,
    ) -> SysResult<Arc<Socket>> {
        let found = {
            let list = self.list.lock();
            let mut known = list.iter();
            known.find(|held| held.service == definition.name && held.at == listen.at).map(|held| held.socket.clone())
        };
        if let Some(socket) = found {
            return Ok(socket);
        }
        let socket = open(system, standing, definition, listen)?;
        let held = Held { service: definition.name.clone(), at: listen.at.clone(), socket: socket.clone() };
        let mut list = self.list.lock();
        if list.try_reserve(1).is_err() {
            drop(list);
            return Err(Errno::ENOMEM.into());
        }
        list.push(held);
        Ok(socket)
    }

    /// Closes those that `keep` does not want any more.
    pub(super) fn retain(&self, keep: impl Fn(&Name, &Endpoint) -> bool) {
        let gone: Vec<Held> = {
            let mut list = self.list.lock();
            let all = core::mem::take(&mut *list);
            let (stay, gone) = all.into_iter().partition(|held| keep(&held.service, &held.at));
            *list = stay;
            gone
        };
        drop(gone);
    }
}

fn open(
    system: &'static System,
    standing: &Standing,
    definition: &Definition,
    listen: &Listen,
) -> SysResult<Arc<Socket>> {
    let kind = match listen.at.kind {
        EndpointKind::Stream => SocketKind::Stream,
        EndpointKind::Datagram => SocketKind::Datagram,
        EndpointKind::Packet => SocketKind::SeqPacket,
        EndpointKind::Tcp | EndpointKind::Udp => return Err(Errno::EAFNOSUPPORT.into()),
    };
    // Whoever connects speaks with the service, whichever instance answers.
    let cell = system.services.get().and_then(|services| services.look(|all| all.service_number(&definition.name)));
    let owner = PeerCredentials { pid: Pid::INIT, uid: definition.user, gid: definition.group, cell };
    let socket = Socket::new(kind, owner);
    let address = listen.at.address.as_str();
    match address.strip_prefix('@') {
        Some(name) => socket.bind_abstract(&system.file_systems()?.sockets, Some(name.as_bytes().into()))?,
        None => bind(standing, &socket, address.as_bytes(), definition, listen)?,
    }
    if kind != SocketKind::Datagram {
        socket.listen(listen.backlog, owner)?;
    }
    Ok(socket)
}

/// Binds to a path; one that nobody has open any more gives way.
fn bind(
    standing: &Standing,
    socket: &Arc<Socket>,
    path: &[u8],
    definition: &Definition,
    listen: &Listen,
) -> SysResult<()> {
    let context = standing.context();
    let node = match context.bind_socket(path, listen.mode.into()) {
        Err(VfsError::AddressInUse) => {
            let old = context.resolve(path, vfs::Follow::No)?;
            if old.kind() != vfs::FileType::Socket || Socket::at(&old).is_ok() {
                return Err(Errno::EADDRINUSE.into());
            }
            context.unlink(path)?;
            context.bind_socket(path, listen.mode.into())?
        }
        other => other?,
    };
    let own = |id: Uid, group: Gid| AttributeChange {
        uid: Some(id),
        gid: Some(group),
        mode: Some(listen.mode.into()),
        ..AttributeChange::default()
    };
    let named = node.inode().set_attributes(&own(definition.user, definition.group));
    let bound = named.and_then(|()| socket.bind_path(path, &node));
    if let Err(error) = bound {
        let _ = context.unlink(path);
        return Err(error.into());
    }
    Ok(())
}

/// Connects to an endpoint, and lets the connection go again.
///
/// # Errors
/// Those of connect(2).
pub(super) fn connect(system: &'static System, standing: &Standing, at: &Endpoint) -> SysResult<()> {
    let target = match at.address.strip_prefix('@') {
        Some(name) => system.file_systems()?.sockets.find(name.as_bytes()).ok_or(Errno::ECONNREFUSED)?,
        None => Socket::at(&standing.context().resolve(at.address.as_bytes(), vfs::Follow::Yes)?)?,
    };
    let owner = PeerCredentials { pid: Pid::INIT, uid: Uid::ROOT, gid: Gid::ROOT, cell: None };
    Socket::new(target.kind(), owner).connect(&target, owner)?;
    Ok(())
}
