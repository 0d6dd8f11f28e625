//! Sockets that belong to a service: made before its first start, kept over crashes and restarts with all that waits in them.
//!
//! To a datagram socket all instances have the same descriptor. Connections are given out: each instance has an acceptor of
//! its own, and [`Balancing`] says whose a connection is.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use abi::Errno;
use services::{Caller, Definition, Endpoint, Identity, Listen, Name, ServiceId, SocketKind as EndpointKind, Work};
use supervisor::{Balancing, CellId, Launch, World};
use sync::{Rank, SpinLock};
use types::{Gid, Nanos, Pid, Uid};
use vfs::socket::{Distributor, Outcome, PeerCredentials, SharedListener, Socket, SocketKind};
use vfs::{AttributeChange, VfsError};

use super::KernelWorld;
use crate::actor::Standing;
use crate::{SysResult, System};

/// All of them.
pub(super) struct Sockets {
    // Rank::SERVICE_SOCKETS
    list: SpinLock<Vec<Held>>,
    /// When to look for connections that wait for too long, in nanoseconds; 0 if none waits.
    look_at: AtomicU64,
    /// One was made since this was asked last.
    made: AtomicBool,
}

struct Held {
    service: Name,
    at: Endpoint,
    socket: Arc<Socket>,
    /// Where connections are given out.
    listener: Option<Arc<SharedListener>>,
}

/// A socket that a start needs.
#[derive(Clone, Copy)]
pub(super) struct Wish<'a> {
    pub(super) system: &'static System,
    /// Where paths lead, and who makes it.
    pub(super) standing: &'a Standing,
    pub(super) launch: &'a Launch,
    pub(super) listen: &'a Listen,
}

impl Sockets {
    pub(super) const fn new() -> Self {
        Self {
            list: SpinLock::new(Rank::SERVICE_SOCKETS, Vec::new()),
            look_at: AtomicU64::new(0),
            made: AtomicBool::new(false),
        }
    }

    /// What an instance gets of the socket of its service at one of its endpoints; that is made if it is not there yet.
    ///
    /// # Errors
    /// EAFNOSUPPORT for the internet; those of bind(2).
    pub(super) fn of(&self, wish: Wish<'_>) -> SysResult<Arc<Socket>> {
        let Wish { launch, listen, .. } = wish;
        let definition = &launch.unit.definition;
        let found = {
            let list = self.list.lock();
            let mut known = list.iter();
            known.find(|held| held.service == definition.name && held.at == listen.at).map(|held| held.socket.clone())
        };
        let socket = match found {
            Some(socket) => {
                if socket.kind() != SocketKind::Datagram {
                    // It may have changed since.
                    socket.listen(listen.backlog, PeerCredentials::NONE)?;
                }
                socket
            }
            None => self.make(wish)?,
        };
        if socket.kind() == SocketKind::Datagram {
            return Ok(socket);
        }
        Ok(Socket::acceptor(&socket, CellId::of(&launch.cell).to_number())?)
    }

    fn make(&self, wish: Wish<'_>) -> SysResult<Arc<Socket>> {
        let (socket, listener) = open(wish)?;
        let service = wish.launch.unit.definition.name.clone();
        let held = Held { service, at: wish.listen.at.clone(), socket: socket.clone(), listener };
        let mut list = self.list.lock();
        if list.try_reserve(1).is_err() {
            drop(list);
            return Err(Errno::ENOMEM.into());
        }
        list.push(held);
        self.made.store(true, Ordering::Relaxed);
        Ok(socket)
    }

    /// Whether one was made since this was asked last: its definition may have gone meanwhile.
    pub(super) fn take_made(&self) -> bool {
        self.made.swap(false, Ordering::Relaxed)
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
        gone.iter().filter_map(|held| held.listener.as_ref()).for_each(|listener| listener.close());
        drop(gone);
    }

    /// Who of that service takes work has changed.
    pub(super) fn arrange(&self, service: &Name) {
        self.each_listener(|held| held.service == *service, |listener| listener.arrange());
    }

    /// When [`Sockets::look`] has something to do.
    pub(super) fn deadline(&self) -> Option<Nanos> {
        Some(Nanos(self.look_at.load(Ordering::Acquire))).filter(|at| *at != Nanos::ZERO)
    }

    /// Gives connections that have waited for too long to whoever takes them.
    pub(super) fn look(&self, now: Nanos) {
        if self.deadline().is_none_or(|due| due > now) {
            return;
        }
        // What begins to wait from here on asks anew.
        self.look_at.store(0, Ordering::Release);
        let mut waiting = false;
        self.each_listener(|_| true, |listener| waiting |= listener.look(now));
        if waiting {
            self.look_again(now);
        }
    }

    /// Something waits from now on; whether nothing did.
    fn look_again(&self, now: Nanos) -> bool {
        let due = (now + SharedListener::PATIENCE).0;
        self.look_at.load(Ordering::Relaxed) == 0
            && self.look_at.compare_exchange(0, due, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Shows listeners one by one, with no lock held.
    fn each_listener(&self, which: impl Fn(&Held) -> bool, mut visit: impl FnMut(&SharedListener)) {
        let mut at = 0;
        loop {
            // Those that go meanwhile move others forward, which then are looked at a little later.
            let next = {
                let list = self.list.lock();
                let mut rest = (at..).zip(list.iter().skip(at)).filter(|(_, held)| which(held));
                rest.find_map(|(place, held)| Some((place, held.listener.clone()?)))
            };
            let Some((place, listener)) = next else { return };
            visit(&listener);
            at = place + 1;
        }
    }
}

/// Asks the balancing of a service, with the clock and the CPU of the kernel.
struct Front {
    system: &'static System,
    service: ServiceId,
    balancing: Arc<Balancing>,
}

impl Front {
    /// What acceptors of that instance are called.
    fn number(&self, identity: Identity) -> u64 {
        CellId { service: self.service, identity }.to_number()
    }

    fn wake_task(&self) {
        KernelWorld(self.system).wake_task();
    }
}

fn identity(number: u64) -> Identity {
    CellId::from_number(number).identity
}

/// The same for every connection of one instance of a service, or of one process that is in none.
fn hash(from: &PeerCredentials) -> u64 {
    match from.cell {
        // Its next life is the same caller.
        Some(cell) => cell >> 32 | 1 << 63,
        None => u64::from(from.uid.0) << 32 | u64::from(from.pid.0),
    }
}

impl Distributor for Front {
    fn choose(&self, from: &PeerCredentials, there: &dyn Fn(u64) -> bool) -> Option<u64> {
        let caller = Caller { hash: hash(from), cpu: self.system.platform.current_cpu().0 as u16 };
        let number = |identity| self.number(identity);
        self.balancing.choose(self.system.platform.now(), caller, &|identity| there(number(identity))).map(number)
    }

    fn takes_work(&self, number: u64) -> bool {
        self.balancing.takes_work(identity(number))
    }

    fn took(&self, number: u64) {
        self.balancing.took(identity(number));
    }

    fn prefers(&self, idle: u64, busy: u64, waiting: usize) -> bool {
        self.balancing.prefers(identity(idle), identity(busy), waiting)
    }

    fn ended(&self, number: u64, outcome: Outcome) {
        let how = match outcome {
            Outcome::Closed => Work::Done,
            Outcome::Failed => Work::Failed,
            Outcome::Moved => Work::Moved,
            Outcome::Late => Work::Late,
        };
        self.balancing.ended(self.system.platform.now(), identity(number), how);
    }

    fn waits(&self, number: u64) {
        self.balancing.waits_on(identity(number), self.system.platform.current_cpu().0 as u16);
    }

    fn now(&self) -> Nanos {
        self.system.platform.now()
    }

    fn pass_on(&self) {
        if self.balancing.has_news() {
            self.wake_task();
        }
    }

    fn has_waiting(&self) {
        if self.system.services.sockets.look_again(self.now()) {
            self.wake_task();
        }
    }
}

fn open(wish: Wish<'_>) -> SysResult<(Arc<Socket>, Option<Arc<SharedListener>>)> {
    let Wish { system, standing, launch, listen } = wish;
    let definition = &launch.unit.definition;
    let kind = match listen.at.kind {
        EndpointKind::Stream => SocketKind::Stream,
        EndpointKind::Datagram => SocketKind::Datagram,
        EndpointKind::Packet => SocketKind::SeqPacket,
        EndpointKind::Tcp | EndpointKind::Udp => return Err(Errno::EAFNOSUPPORT.into()),
    };
    // Whoever connects speaks with the service, whichever instance answers.
    let service = CellId { identity: Identity::default(), ..CellId::of(&launch.cell) }.to_number();
    let owner = PeerCredentials { pid: Pid::INIT, uid: definition.user, gid: definition.group, cell: Some(service) };
    let socket = Socket::new(kind, owner);
    let address = listen.at.address.as_str();
    match address.strip_prefix('@') {
        Some(name) => socket.bind_abstract(&system.file_systems()?.sockets, Some(name.as_bytes().into()))?,
        None => bind(standing, &socket, address.as_bytes(), definition, listen)?,
    }
    if kind == SocketKind::Datagram {
        // All instances have it, and those to come.
        socket.keep();
        return Ok((socket, None));
    }
    let front = Front { system, service: CellId::of(&launch.cell).service, balancing: launch.balancing.clone() };
    let listener = socket.share(listen.backlog, owner, Arc::new(front))?;
    Ok((socket, Some(listener)))
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
