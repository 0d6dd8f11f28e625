//! Sockets of the Unix family: making, naming, connecting, options. Sending and receiving is in [`super::message`].

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::linux::general as linux;
use abi::linux::net;
use abi::{Errno, Timeval};
use process::signal::Restart;
use types::{Gid, Nanos, Pid, Uid};
use vfs::socket::{Address, PeerCredentials, Shutdown, Socket, SocketKind};
use vfs::{Follow, PollEvents, Want, permit};

use crate::actor::on_exec;
use crate::calls::fd::install_pair;
use crate::calls::stat::CWD;
use crate::clock::{nanos_of_timeval, timeval};
use crate::ready::{Waited, unless_blocked, wait_for, would_block};
use crate::wait::interruptible;
use crate::{Caller, OpenFile, SysError, SysResult};

/// SOCK_CLOEXEC and SOCK_NONBLOCK are the flags of open(2).
const FLAGS: u32 = linux::O_CLOEXEC | linux::O_NONBLOCK;

impl Caller<'_> {
    /// The socket at `fd`, with its open file.
    ///
    /// # Errors
    /// EBADF, ENOTSOCK.
    pub(crate) fn socket(self, fd: u64) -> SysResult<(Arc<OpenFile>, Arc<Socket>)> {
        let file = self.file(fd)?;
        let socket = file.downcast_arc::<Socket>().ok_or(Errno::ENOTSOCK)?;
        Ok((file, socket))
    }

    /// How peers see the caller.
    pub(crate) fn peer_credentials(self) -> PeerCredentials {
        let credentials = self.thread.credentials();
        PeerCredentials {
            pid: self.process.pid(),
            uid: credentials.euid,
            gid: credentials.egid,
            cell: self.process.cell().filter(|cell| !cell.is_session()).map(|cell| cell.id()),
        }
    }

    /// An address in the caller's memory, as bytes.
    pub(crate) fn read_address(self, address: u64, len: u64) -> SysResult<Vec<u8>> {
        /// Bytes of `struct sockaddr_storage`.
        const LARGEST: i32 = 128;
        let len = len as u32 as i32;
        if !(0..=LARGEST).contains(&len) {
            return Err(Errno::EINVAL.into());
        }
        self.memory().read_vec(address, len as usize)
    }

    /// Stores an address as accept(2) and its kin do: cut to the room there is, its full length told.
    pub(crate) fn write_address(self, bytes: &[u8], out: u64, len: u64) -> SysResult<()> {
        let memory = self.memory();
        let room = memory.read::<i32>(len)?;
        let room = usize::try_from(room).map_err(|_| Errno::EINVAL)?;
        memory.write_bytes(out, bytes.get(..room.min(bytes.len())).unwrap_or_default())?;
        memory.write(len, &(bytes.len() as u32))
    }

    /// The socket that an address leads to.
    ///
    /// # Errors
    /// Those of the path; EACCES without write permission; ECONNREFUSED.
    pub(crate) fn find_socket(self, address: &[u8]) -> SysResult<Arc<Socket>> {
        match Address::parse(address)? {
            Address::Unnamed => Err(Errno::EINVAL.into()),
            Address::Abstract(name) => {
                Ok(self.system.file_systems()?.sockets.find(&name).ok_or(Errno::ECONNREFUSED)?)
            }
            Address::Path(path) => {
                let standing = self.standing(CWD, &path)?;
                let context = standing.context();
                let location = context.resolve(&path, Follow::Yes)?;
                permit(&location.inode().access(), context.caller.credentials, Want::WRITE)?;
                Ok(Socket::at(&location)?)
            }
        }
    }

    fn install_socket(self, socket: Arc<Socket>, flags: u32) -> SysResult {
        self.install(OpenFile::anonymous(socket, linux::O_RDWR | flags & linux::O_NONBLOCK), flags)
    }
}

fn decode_kind(family: u64, kind: u64, protocol: u64) -> SysResult<(SocketKind, u32)> {
    /// Bits of the type proper.
    const TYPE: u32 = 0xf;
    let kind = kind as u32;
    let flags = kind & !TYPE;
    if flags & !FLAGS != 0 {
        return Err(Errno::EINVAL.into());
    }
    Ok((SocketKind::from_raw(family as u32, kind & TYPE, protocol as u32)?, flags))
}

pub(crate) fn sys_socket(caller: Caller<'_>, family: u64, kind: u64, protocol: u64) -> SysResult {
    let (kind, flags) = decode_kind(family, kind, protocol)?;
    caller.install_socket(Socket::new(kind, caller.peer_credentials()), flags)
}

pub(crate) fn sys_socketpair(caller: Caller<'_>, family: u64, kind: u64, protocol: u64, out: u64) -> SysResult {
    let (kind, flags) = decode_kind(family, kind, protocol)?;
    let (one, other) = Socket::pair(kind, caller.peer_credentials());
    let open = |socket| OpenFile::anonymous(socket, linux::O_RDWR | flags & linux::O_NONBLOCK);
    let files = caller.files()?;
    install_pair(caller, &files, [open(one), open(other)], flags, out)
}

pub(crate) fn sys_bind(caller: Caller<'_>, fd: u64, address: u64, len: u64) -> SysResult {
    let (_, socket) = caller.socket(fd)?;
    let bytes = caller.read_address(address, len)?;
    match Address::parse(&bytes)? {
        Address::Path(path) => {
            if socket.address().is_named() {
                return Err(Errno::EINVAL.into());
            }
            let standing = caller.standing(CWD, &path)?;
            let context = standing.context();
            let node = context.bind_socket(&path, 0o777)?;
            if let Err(error) = socket.bind_path(&path, &node) {
                let _ = context.unlink(&path);
                return Err(error.into());
            }
        }
        Address::Abstract(name) => socket.bind_abstract(&caller.system.file_systems()?.sockets, Some(name))?,
        Address::Unnamed => socket.bind_abstract(&caller.system.file_systems()?.sockets, None)?,
    }
    Ok(0)
}

pub(crate) fn sys_listen(caller: Caller<'_>, fd: u64, backlog: u64) -> SysResult {
    let (_, socket) = caller.socket(fd)?;
    // A negative backlog is as large as can be.
    socket.listen(backlog as u32, caller.peer_credentials())?;
    crate::services::listens(caller);
    Ok(0)
}

/// connect(2) that need not wait; `None`: the other's backlog is full.
pub(crate) fn connect_now(caller: Caller<'_>, fd: u64, address: u64, len: u64) -> Option<SysResult> {
    let attempt = || -> SysResult<Option<SysResult>> {
        let (file, socket) = caller.socket(fd)?;
        let Some(target) = connect_target(caller, &socket, address, len)? else { return Ok(Some(Ok(0))) };
        let outcome = socket.connect(&target, caller.peer_credentials()).map(|()| 0).map_err(SysError::from);
        Ok(unless_blocked(&file, outcome))
    };
    attempt().unwrap_or_else(|error| Some(Err(error)))
}

pub(crate) async fn sys_connect(caller: Caller<'_>, fd: u64, address: u64, len: u64) -> SysResult {
    let (file, socket) = caller.socket(fd)?;
    let Some(target) = connect_target(caller, &socket, address, len)? else { return Ok(0) };
    let queue = target.backlog_queue();
    // Who waits for room keeps nobody open: one that is closed meanwhile refuses.
    let known = Arc::downgrade(&target);
    drop(target);
    let attempt = || {
        let Some(target) = known.upgrade() else { return Some(Err(Errno::ECONNREFUSED.into())) };
        match socket.connect(&target, caller.peer_credentials()).map_err(SysError::from) {
            Err(error) if would_block(error) && !file.is_nonblocking() => None,
            outcome => Some(outcome),
        }
    };
    match interruptible(caller.thread, queue.wait_until(attempt)).await {
        Ok(outcome) => outcome.map(|()| 0),
        Err(_) => Err(SysError::Restart(Restart::Sys)),
    }
}

/// Whom to connect to; `None` if the call only takes the present peer away.
fn connect_target(caller: Caller<'_>, socket: &Socket, address: u64, len: u64) -> SysResult<Option<Arc<Socket>>> {
    let bytes = caller.read_address(address, len)?;
    let family = bytes.first_chunk::<2>().map(|family| u32::from(u16::from_le_bytes(*family)));
    if family == Some(net::AF_UNSPEC) && socket.kind() == SocketKind::Datagram {
        socket.disconnect();
        return Ok(None);
    }
    caller.find_socket(&bytes).map(Some)
}

pub(crate) fn accept_now(caller: Caller<'_>, args: [u64; 6]) -> Option<SysResult> {
    let [fd, address, len, flags, ..] = args;
    let attempt = || -> SysResult<Option<SysResult>> {
        let (file, socket) = accept_from(caller, fd, flags)?;
        let accepted = unless_blocked(&file, socket.accept().map_err(SysError::from));
        Ok(accepted.map(|accepted| finish_accept(caller, accepted?, address, len, flags as u32)))
    };
    attempt().unwrap_or_else(|error| Some(Err(error)))
}

pub(crate) async fn sys_accept4(caller: Caller<'_>, args: [u64; 6]) -> SysResult {
    let [fd, address, len, flags, ..] = args;
    let (file, socket) = accept_from(caller, fd, flags)?;
    let (timeout, _) = socket.timeouts();
    let deadline = (timeout != Nanos::ZERO).then(|| caller.system.platform.now() + timeout);
    let accept = || socket.accept().map_err(SysError::from);
    let accepted = match wait_for(caller, &file, PollEvents::READABLE, deadline, accept).await {
        Waited::Done(accepted) => accepted?,
        Waited::TimedOut => return Err(Errno::EAGAIN.into()),
        Waited::Interrupted => return Err(interrupted(deadline)),
    };
    finish_accept(caller, accepted, address, len, flags as u32)
}

/// What a signal makes of a call on a socket: one with a timeout is not restarted.
pub(crate) fn interrupted(deadline: Option<Nanos>) -> SysError {
    if deadline.is_some() { Errno::EINTR.into() } else { SysError::Restart(Restart::Sys) }
}

fn accept_from(caller: Caller<'_>, fd: u64, flags: u64) -> SysResult<(Arc<OpenFile>, Arc<Socket>)> {
    if flags as u32 & !FLAGS != 0 {
        return Err(Errno::EINVAL.into());
    }
    caller.socket(fd)
}

fn finish_accept(caller: Caller<'_>, socket: Arc<Socket>, address: u64, len: u64, flags: u32) -> SysResult {
    let peer = socket.peer_address().unwrap_or_default();
    let files = caller.files()?;
    let file = OpenFile::anonymous(socket, linux::O_RDWR | flags & linux::O_NONBLOCK);
    let fd = files.insert(file, 0, caller.file_limit(), on_exec(flags))?;
    if address != 0
        && let Err(error) = caller.write_address(&peer.to_bytes(), address, len)
    {
        drop(files.close(fd));
        return Err(error);
    }
    Ok(fd.into())
}

pub(crate) fn sys_shutdown(caller: Caller<'_>, fd: u64, how: u64) -> SysResult {
    let (_, socket) = caller.socket(fd)?;
    socket.shutdown(Shutdown::from_raw(how as u32)?)?;
    Ok(0)
}

pub(crate) fn sys_getsockname(caller: Caller<'_>, fd: u64, address: u64, len: u64) -> SysResult {
    let (_, socket) = caller.socket(fd)?;
    caller.write_address(&socket.address().to_bytes(), address, len)?;
    Ok(0)
}

pub(crate) fn sys_getpeername(caller: Caller<'_>, fd: u64, address: u64, len: u64) -> SysResult {
    let (_, socket) = caller.socket(fd)?;
    caller.write_address(&socket.peer_address()?.to_bytes(), address, len)?;
    Ok(0)
}

pub(crate) fn sys_getsockopt(caller: Caller<'_>, args: [u64; 6]) -> SysResult {
    let [fd, level, name, out, len, _] = args;
    let (_, socket) = caller.socket(fd)?;
    let memory = caller.memory();
    let room = usize::try_from(memory.read::<i32>(len)?).map_err(|_| Errno::EINVAL)?;
    if level as u32 != net::SOL_SOCKET {
        return Err(Errno::EOPNOTSUPP.into());
    }
    let number = |value: u32| value.to_le_bytes().to_vec();
    let time = |span: Nanos| {
        let Timeval { tv_sec, tv_usec } = timeval(span);
        [tv_sec.to_le_bytes(), tv_usec.to_le_bytes()].concat()
    };
    let answer = match name as u32 {
        net::SO_TYPE => number(socket.kind().to_raw()),
        net::SO_DOMAIN => number(net::AF_UNIX),
        net::SO_ERROR => {
            let error = socket.take_error().map(SysError::from);
            number(match error {
                Some(SysError::Errno(errno)) => errno.number() as u32,
                Some(SysError::Restart(_)) | None => 0,
            })
        }
        net::SO_ACCEPTCONN => number(socket.is_listening().into()),
        net::SO_PASSCRED => number(socket.passes_credentials().into()),
        net::SO_PASSSEC => number(socket.passes_security().into()),
        net::SO_PEERCRED => {
            let PeerCredentials { pid: Pid(pid), uid: Uid(uid), gid: Gid(gid), .. } = socket.peer_credentials();
            [caller.process.shown(pid), uid, gid].map(u32::to_le_bytes).concat()
        }
        net::SO_PEERSEC => {
            let cell = socket.peer_credentials().cell.ok_or(Errno::ENOPROTOOPT)?;
            let label = crate::services::label(caller.system, cell).into_bytes();
            if label.len() > room {
                memory.write(len, &(label.len() as u32))?;
                return Err(Errno::ERANGE.into());
            }
            label
        }
        net::SO_SNDBUF | net::SO_RCVBUF => number(socket.buffer_size() as u32),
        net::SO_RCVTIMEO => time(socket.timeouts().0),
        net::SO_SNDTIMEO => time(socket.timeouts().1),
        net::SO_LINGER => number(0).repeat(2),
        net::SO_RCVLOWAT => number(1),
        net::SO_REUSEADDR | net::SO_KEEPALIVE | net::SO_BROADCAST | net::SO_PROTOCOL | net::SO_PRIORITY => number(0),
        _ => return Err(Errno::ENOPROTOOPT.into()),
    };
    let count = answer.len().min(room);
    memory.write_bytes(out, answer.get(..count).unwrap_or_default())?;
    memory.write(len, &(count as u32))?;
    Ok(0)
}

pub(crate) fn sys_setsockopt(caller: Caller<'_>, args: [u64; 6]) -> SysResult {
    let [fd, level, name, value, len, _] = args;
    let (_, socket) = caller.socket(fd)?;
    let len = len as u32 as i32;
    if len < 0 {
        return Err(Errno::EINVAL.into());
    }
    if level as u32 != net::SOL_SOCKET {
        return Err(Errno::EOPNOTSUPP.into());
    }
    if len < 4 {
        return Err(Errno::EINVAL.into());
    }
    let number = caller.memory().read::<i32>(value)?;
    let time = || -> SysResult<Nanos> {
        if len < 16 {
            return Err(Errno::EINVAL.into());
        }
        Ok(nanos_of_timeval(caller.memory().read(value)?).ok_or(Errno::EDOM)?)
    };
    match name as u32 {
        net::SO_PASSCRED => socket.set_passes_credentials(number != 0),
        net::SO_PASSSEC => socket.set_passes_security(number != 0),
        net::SO_RCVTIMEO => socket.set_receive_timeout(time()?),
        net::SO_SNDTIMEO => socket.set_send_timeout(time()?),
        // Taken, and without effect on a Unix socket here.
        net::SO_SNDBUF
        | net::SO_RCVBUF
        | net::SO_SNDBUFFORCE
        | net::SO_RCVBUFFORCE
        | net::SO_REUSEADDR
        | net::SO_KEEPALIVE
        | net::SO_BROADCAST
        | net::SO_LINGER
        | net::SO_RCVLOWAT
        | net::SO_PRIORITY => {}
        _ => return Err(Errno::ENOPROTOOPT.into()),
    }
    Ok(0)
}
