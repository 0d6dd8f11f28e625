//! Sending and receiving on sockets: bytes, messages, and what goes along with them.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::linux::general as linux;
use abi::linux::net;
use abi::{Errno, Timespec, abi_struct};
use process::OnExec;
use types::{Capabilities, Gid, Nanos, Pid, Uid};
use vfs::PollEvents;
use vfs::socket::{Outgoing, PeerCredentials, ReceiveMode, Received, Socket, SocketKind};

use crate::calls::buffers::{Buffers, with_step};
use crate::calls::socket::interrupted;
use crate::clock::nanos;
use crate::own_limits::Way;
use crate::ready::{Waited, wait_for, would_block};
use crate::{Caller, OpenFile, SysError, SysResult};

/// Most descriptors in one message (SCM_MAX_FD).
const MAX_FILES: usize = 253;
/// Most bytes of control data (net.core.optmem_max).
const MAX_CONTROL: u64 = 20_480;
/// recvmmsg(2): only the first message is waited for.
const MSG_WAITFORONE: u32 = 0x1_0000;
/// Most messages of one sendmmsg or recvmmsg.
const MAX_MESSAGES: u32 = 1024;
/// Bytes of a control message's header: length, level, type.
const CONTROL_HEADER: usize = 16;

abi_struct! {
    /// `struct msghdr`.
    pub struct MessageHeader {
        /// Address.
        pub name: u64,
        /// Its length.
        pub name_len: u32,
        /// Padding.
        pub pad0: u32,
        /// Vector of buffers.
        pub vector: u64,
        /// Its length.
        pub vector_len: u64,
        /// Control data.
        pub control: u64,
        /// Its length.
        pub control_len: u64,
        /// Flags of a received message.
        pub flags: u32,
        /// Padding.
        pub pad1: u32,
    }
}

/// Bytes of `struct msghdr`, and of `struct mmsghdr` with its count.
const HEADER: u64 = 56;
const MULTI_HEADER: u64 = 64;
/// Offsets in `struct msghdr` of what a receive stores.
const NAME_LEN_AT: u64 = 8;
const CONTROL_LEN_AT: u64 = 40;
const FLAGS_AT: u64 = 48;

/// A send that is under way.
struct Sending {
    file: Arc<OpenFile>,
    socket: Arc<Socket>,
    to: Option<Arc<Socket>>,
    buffers: Buffers,
    files: Vec<Arc<OpenFile>>,
    credentials: PeerCredentials,
    flags: u32,
    done: u64,
}

/// A receive that is under way.
struct Receiving {
    file: Arc<OpenFile>,
    socket: Arc<Socket>,
    buffers: Buffers,
    flags: u32,
    done: u64,
    /// The first piece, without its bytes.
    first: Option<Received>,
}

/// Whether call `number` is one of these.
pub(crate) const fn is_message_call(number: u32) -> bool {
    matches!(
        number,
        linux::__NR_sendto
            | linux::__NR_sendmsg
            | linux::__NR_sendmmsg
            | linux::__NR_recvfrom
            | linux::__NR_recvmsg
            | linux::__NR_recvmmsg
    )
}

/// Serves a send or receive that need not wait; `None`: it must, or is better tried by who may.
pub(crate) fn message_now(caller: Caller<'_>, number: u32, args: [u64; 6]) -> Option<SysResult> {
    match number {
        linux::__NR_sendto | linux::__NR_sendmsg => {
            let mut sending = match Sending::decode(caller, number, args) {
                Ok(sending) => sending,
                Err(error) => return Some(Err(error)),
            };
            // What is sent in several steps may block between them.
            if !sending.is_nonblocking() && sending.socket.kind() == SocketKind::Stream {
                return None;
            }
            match sending.attempt(caller) {
                Err(error) if would_block(error) && !sending.is_nonblocking() => None,
                outcome => Some(sending.finish(caller, outcome)),
            }
        }
        linux::__NR_recvfrom | linux::__NR_recvmsg => {
            let mut receiving = match Receiving::decode(caller, number, args) {
                Ok(receiving) => receiving,
                Err(error) => return Some(Err(error)),
            };
            if receiving.waits_for_all() && !receiving.is_nonblocking() {
                return None;
            }
            match receiving.attempt(caller) {
                Err(error) if would_block(error) && !receiving.is_nonblocking() => None,
                outcome => Some(receiving.finish(caller, number, args, outcome)),
            }
        }
        _ => None,
    }
}

/// Serves a send or receive; waits where it must.
pub(crate) async fn message(caller: Caller<'_>, number: u32, args: [u64; 6]) -> SysResult {
    match number {
        linux::__NR_sendto | linux::__NR_sendmsg => send(caller, number, args).await,
        linux::__NR_recvfrom | linux::__NR_recvmsg => receive(caller, number, args, None).await,
        linux::__NR_sendmmsg => send_many(caller, args).await,
        _ => receive_many(caller, args).await,
    }
}

async fn send(caller: Caller<'_>, number: u32, args: [u64; 6]) -> SysResult {
    let mut sending = Sending::decode(caller, number, args)?;
    let outcome = match sending.attempt(caller) {
        Err(error) if would_block(error) && !sending.is_nonblocking() => {
            let file = sending.file.clone();
            let (_, timeout) = sending.socket.timeouts();
            let deadline = (timeout != Nanos::ZERO).then(|| caller.system.platform.now() + timeout);
            match sending.to.take() {
                Some(to) => {
                    let queue = to.backlog_queue();
                    // Who waits for room keeps nobody open.
                    let known = Arc::downgrade(&to);
                    drop(to);
                    let wait = queue.wait_until(|| {
                        let Some(to) = known.upgrade() else { return Some(Err(Errno::ECONNREFUSED.into())) };
                        sending.to = Some(to);
                        let outcome = not_blocked(sending.attempt(caller));
                        sending.to = None;
                        outcome
                    });
                    match crate::wait::until(caller.system, deadline, crate::wait::interruptible(caller.thread, wait))
                        .await
                    {
                        Some(Ok(outcome)) => outcome,
                        Some(Err(_)) => Err(interrupted(deadline)),
                        None => Err(Errno::EAGAIN.into()),
                    }
                }
                None => {
                    match wait_for(caller, &file, PollEvents::WRITABLE, deadline, || sending.attempt(caller)).await {
                        Waited::Done(outcome) => outcome,
                        Waited::Interrupted => Err(interrupted(deadline)),
                        Waited::TimedOut => Err(Errno::EAGAIN.into()),
                    }
                }
            }
        }
        outcome => outcome,
    };
    sending.finish(caller, outcome)
}

fn not_blocked<T>(outcome: SysResult<T>) -> Option<SysResult<T>> {
    match outcome {
        Err(error) if would_block(error) => None,
        outcome => Some(outcome),
    }
}

/// `until`: a deadline of the whole call, as recvmmsg has it.
async fn receive(caller: Caller<'_>, number: u32, args: [u64; 6], until: Option<Nanos>) -> SysResult {
    let mut receiving = Receiving::decode(caller, number, args)?;
    let outcome = match receiving.attempt(caller) {
        Err(error) if would_block(error) && !receiving.is_nonblocking() => {
            let file = receiving.file.clone();
            let (timeout, _) = receiving.socket.timeouts();
            let own = (timeout != Nanos::ZERO).then(|| caller.system.platform.now() + timeout);
            let deadline = [own, until].into_iter().flatten().min();
            match wait_for(caller, &file, PollEvents::READABLE, deadline, || receiving.attempt(caller)).await {
                Waited::Done(outcome) => outcome,
                Waited::Interrupted => Err(interrupted(deadline)),
                Waited::TimedOut => Err(Errno::EAGAIN.into()),
            }
        }
        outcome => outcome,
    };
    receiving.finish(caller, number, args, outcome)
}

async fn send_many(caller: Caller<'_>, args: [u64; 6]) -> SysResult {
    let [fd, messages, count, flags, ..] = args;
    caller.socket(fd)?;
    let mut sent = 0;
    for at in 0..u64::from((count as u32).min(MAX_MESSAGES)) {
        let header = messages.checked_add(at * MULTI_HEADER).ok_or(Errno::EFAULT)?;
        match send(caller, linux::__NR_sendmsg, [fd, header, flags, 0, 0, 0]).await {
            Ok(bytes) => caller.memory().write(header.wrapping_add(HEADER), &(bytes as u32))?,
            Err(error) if sent == 0 => return Err(error),
            Err(_) => break,
        }
        sent += 1;
    }
    Ok(sent)
}

async fn receive_many(caller: Caller<'_>, args: [u64; 6]) -> SysResult {
    let [fd, messages, count, flags, timeout, _] = args;
    let deadline = match timeout {
        0 => None,
        address => {
            let span = nanos(caller.memory().read::<Timespec>(address)?).ok_or(Errno::EINVAL)?;
            Some(caller.system.platform.now() + span)
        }
    };
    caller.socket(fd)?;
    let mut flags = flags as u32;
    let mut received = 0;
    for at in 0..u64::from((count as u32).min(MAX_MESSAGES)) {
        let header = messages.checked_add(at * MULTI_HEADER).ok_or(Errno::EFAULT)?;
        let single = [fd, header, u64::from(flags & !MSG_WAITFORONE), 0, 0, 0];
        match receive(caller, linux::__NR_recvmsg, single, deadline).await {
            Ok(bytes) => caller.memory().write(header.wrapping_add(HEADER), &(bytes as u32))?,
            Err(error) if received == 0 => return Err(error),
            Err(_) => break,
        }
        received += 1;
        if flags & MSG_WAITFORONE != 0 {
            flags |= net::MSG_DONTWAIT;
        }
    }
    Ok(received)
}

impl Sending {
    fn decode(caller: Caller<'_>, number: u32, args: [u64; 6]) -> SysResult<Self> {
        let mut files = Vec::new();
        let mut credentials = caller.peer_credentials();
        let (file, socket, flags, name, name_len);
        let mut buffers;
        if number == linux::__NR_sendto {
            let [fd, base, len, raw_flags, address, address_len] = args;
            buffers = Buffers::one(base, len)?;
            (file, socket) = caller.socket(fd)?;
            (flags, name, name_len) = (raw_flags as u32, address, address_len);
        } else {
            let [fd, header, raw_flags, ..] = args;
            (file, socket) = caller.socket(fd)?;
            let header: MessageHeader = caller.memory().read(header)?;
            if header.vector_len > u64::from(linux::UIO_MAXIOV) {
                return Err(Errno::EMSGSIZE.into());
            }
            buffers = Buffers::vector(caller, header.vector, header.vector_len)?;
            if header.control_len > 0 && header.control != 0 {
                read_control(caller, header.control, header.control_len, &mut files, &mut credentials)?;
            }
            (flags, name, name_len) = (raw_flags as u32, header.name, u64::from(header.name_len));
        }
        if flags & net::MSG_OOB != 0 {
            return Err(Errno::EOPNOTSUPP.into());
        }
        let to = match name {
            0 => None,
            _ if name_len == 0 => None,
            address => {
                let bytes = caller.read_address(address, name_len)?;
                match socket.kind() {
                    SocketKind::Datagram => Some(caller.find_socket(&bytes)?),
                    // A connection needs no address, and does not take one.
                    _ if socket.peer_address().is_ok() => return Err(Errno::EISCONN.into()),
                    SocketKind::Stream => return Err(Errno::EOPNOTSUPP.into()),
                    SocketKind::SeqPacket => return Err(Errno::ENOTCONN.into()),
                }
            }
        };
        match socket.kind() {
            SocketKind::Stream => buffers.truncate(caller.room(Way::Write, buffers.left())?),
            SocketKind::Datagram | SocketKind::SeqPacket => caller.room_for_all(Way::Write, buffers.left())?,
        }
        Ok(Self { file, socket, to, buffers, files, credentials, flags, done: 0 })
    }

    fn is_nonblocking(&self) -> bool {
        self.flags & net::MSG_DONTWAIT != 0 || self.file.is_nonblocking()
    }

    /// Sends on until everything is sent (`Ok`) or something is in the way.
    fn attempt(&mut self, caller: Caller<'_>) -> SysResult {
        let Self { socket, to, buffers, files, credentials, done, .. } = self;
        let len = buffers.left();
        if socket.kind() != SocketKind::Stream {
            if len > socket.buffer_size() as u64 {
                return Err(Errno::EMSGSIZE.into());
            }
            return with_message(len, |bounce| {
                if buffers.peek(caller.memory(), bounce) < bounce.len() {
                    return Err(Errno::EFAULT.into());
                }
                let outgoing = Outgoing { to: to.as_ref(), files: files.clone(), credentials: *credentials };
                let sent = socket.send(bounce, outgoing)? as u64;
                *done = sent;
                Ok(sent)
            });
        }
        with_step(len, |bounce| {
            loop {
                let want = usize::try_from(buffers.left()).unwrap_or(usize::MAX).min(bounce.len());
                let chunk = bounce.get_mut(..want).unwrap_or_default();
                let got = buffers.peek(caller.memory(), chunk);
                if got == 0 && want > 0 {
                    return Err(Errno::EFAULT.into());
                }
                // What goes along goes with the first byte.
                let files = if *done == 0 { files.clone() } else { Vec::new() };
                let outgoing = Outgoing { to: None, files, credentials: *credentials };
                let sent = socket.send(chunk.get(..got).unwrap_or_default(), outgoing)? as u64;
                buffers.advance(sent);
                *done += sent;
                if buffers.left() == 0 {
                    return Ok(*done);
                }
                if sent == 0 {
                    return Err(Errno::EAGAIN.into());
                }
            }
        })
    }

    fn finish(self, caller: Caller<'_>, outcome: SysResult) -> SysResult {
        caller.charge_io(Way::Write, self.done);
        if self.flags & net::MSG_NOSIGNAL == 0 {
            caller.signal_failed_write(&outcome);
        }
        if self.done > 0 { Ok(self.done) } else { outcome }
    }
}

/// Reads the control data of a message to be sent: descriptors and credentials.
fn read_control(
    caller: Caller<'_>,
    address: u64,
    len: u64,
    files: &mut Vec<Arc<OpenFile>>,
    credentials: &mut PeerCredentials,
) -> SysResult<()> {
    if len > MAX_CONTROL {
        return Err(Errno::ENOBUFS.into());
    }
    let data = caller.memory().read_vec(address, len as usize)?;
    let mut at = 0;
    while let Some(rest) = data.get(at..).filter(|rest| rest.len() >= CONTROL_HEADER) {
        let word =
            |at: usize| rest.get(at..).and_then(|bytes| bytes.first_chunk()).map_or(0, |b| u32::from_le_bytes(*b));
        let length = rest.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let length = usize::try_from(length).map_err(|_| Errno::EINVAL)?;
        let body = rest.get(CONTROL_HEADER..length).ok_or(Errno::EINVAL)?;
        let (level, kind) = (word(8), word(12));
        if level == net::SOL_SOCKET {
            match kind {
                net::SCM_RIGHTS => {
                    let numbers = body.chunks_exact(4).filter_map(|bytes| bytes.first_chunk());
                    for number in numbers.map(|bytes| u32::from_le_bytes(*bytes)) {
                        if files.len() == MAX_FILES {
                            return Err(Errno::EINVAL.into());
                        }
                        files.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
                        files.push(caller.file_or_path(number.into())?);
                    }
                }
                net::SCM_CREDENTIALS if body.len() >= 12 => {
                    let field = |at: usize| word(CONTROL_HEADER + at);
                    let claimed = PeerCredentials {
                        pid: Pid(caller.meant(field(0))),
                        uid: Uid(field(4)),
                        gid: Gid(field(8)),
                        // Which service it is, nobody claims.
                        cell: credentials.cell,
                    };
                    check_claim(caller, &claimed)?;
                    *credentials = claimed;
                }
                _ => return Err(Errno::EINVAL.into()),
            }
        }
        at += length.next_multiple_of(8);
    }
    Ok(())
}

/// Whether the caller may say that it is that (unix(7), SCM_CREDENTIALS).
fn check_claim(caller: Caller<'_>, claimed: &PeerCredentials) -> SysResult<()> {
    let own = caller.thread.credentials();
    let pid = claimed.pid == caller.process.pid() || own.capable(Capabilities::SYS_ADMIN);
    let uid = [own.ruid, own.euid, own.suid].contains(&claimed.uid) || own.capable(Capabilities::SETUID);
    let gid = [own.rgid, own.egid, own.sgid].contains(&claimed.gid) || own.capable(Capabilities::SETGID);
    if !(pid && uid && gid) {
        return Err(Errno::EPERM.into());
    }
    let there = claimed.pid == caller.process.pid() || caller.system.processes.process(claimed.pid).is_some();
    if there { Ok(()) } else { Err(Errno::ESRCH.into()) }
}

impl Receiving {
    fn decode(caller: Caller<'_>, number: u32, args: [u64; 6]) -> SysResult<Self> {
        let (file, socket, flags);
        let mut buffers;
        if number == linux::__NR_recvfrom {
            let [fd, base, len, raw_flags, ..] = args;
            buffers = Buffers::one(base, len)?;
            (file, socket) = caller.socket(fd)?;
            flags = raw_flags as u32;
        } else {
            let [fd, header, raw_flags, ..] = args;
            (file, socket) = caller.socket(fd)?;
            let header: MessageHeader = caller.memory().read(header)?;
            if header.vector_len > u64::from(linux::UIO_MAXIOV) {
                return Err(Errno::EMSGSIZE.into());
            }
            buffers = Buffers::vector(caller, header.vector, header.vector_len)?;
            flags = raw_flags as u32;
        }
        if flags & net::MSG_OOB != 0 {
            return Err(Errno::EOPNOTSUPP.into());
        }
        if flags & net::MSG_ERRQUEUE != 0 {
            return Err(Errno::EAGAIN.into());
        }
        // A message comes whole if there is room for any of it.
        let room = caller.room(Way::Read, if socket.kind() == SocketKind::Stream { buffers.left() } else { 1 })?;
        if socket.kind() == SocketKind::Stream {
            buffers.truncate(room);
        }
        Ok(Self { file, socket, buffers, flags, done: 0, first: None })
    }

    fn is_nonblocking(&self) -> bool {
        self.flags & net::MSG_DONTWAIT != 0 || self.file.is_nonblocking()
    }

    fn waits_for_all(&self) -> bool {
        let without = net::MSG_PEEK | net::MSG_DONTWAIT;
        self.socket.kind() == SocketKind::Stream && self.flags & net::MSG_WAITALL != 0 && self.flags & without == 0
    }

    /// Takes what is there; EAGAIN if that is not enough.
    fn attempt(&mut self, caller: Caller<'_>) -> SysResult {
        let all = self.waits_for_all();
        let Self { socket, buffers, flags, done, first, .. } = self;
        let memory = caller.memory();
        let peek = *flags & net::MSG_PEEK != 0;
        let mode = if peek { ReceiveMode::Peek } else { ReceiveMode::Take };
        let stream = socket.kind() == SocketKind::Stream;
        let mut piece = |bounce: &mut [u8], buffers: &mut Buffers, done: &mut u64| -> SysResult<usize> {
            buffers.probe(memory, bounce.len())?;
            let mut received = socket.receive(bounce, mode)?;
            let count = received.count;
            let copied = buffers.put(memory, bounce.get(..count).unwrap_or_default());
            *done += copied as u64;
            if copied < count {
                return Err(Errno::EFAULT.into());
            }
            match first {
                None => *first = Some(received),
                // Only the first piece of a call may bring descriptors: what comes with others is dropped here.
                Some(_) => received.ancillary.files.clear(),
            }
            Ok(count)
        };
        if !stream {
            let len = buffers.left().min(socket.buffer_size() as u64);
            return with_message(len, |bounce| piece(bounce, buffers, done).map(|_| *done));
        }
        with_step(buffers.left(), |bounce| {
            loop {
                let want = usize::try_from(buffers.left()).unwrap_or(usize::MAX).min(bounce.len());
                let chunk = bounce.get_mut(..want).unwrap_or_default();
                match piece(chunk, buffers, done) {
                    // Credentials or descriptors, the end, or no more room: the call ends there.
                    Ok(0) => return Ok(*done),
                    Ok(_) if buffers.left() == 0 || peek => return Ok(*done),
                    Ok(count) if count < want && !all => return Ok(*done),
                    Ok(_) => {}
                    Err(error) if *done > 0 && !(all && would_block(error)) => return Ok(*done),
                    Err(error) => return Err(error),
                }
            }
        })
    }

    fn finish(self, caller: Caller<'_>, number: u32, args: [u64; 6], outcome: SysResult) -> SysResult {
        let Self { socket, flags, done, first, .. } = self;
        caller.charge_io(Way::Read, done);
        if done == 0 {
            outcome?;
        }
        let received = first.unwrap_or_default();
        let messages = socket.kind() != SocketKind::Stream;
        let cut = messages && received.length > received.count;
        let value = if messages && flags & net::MSG_TRUNC != 0 { received.length as u64 } else { done };
        if number == linux::__NR_recvfrom {
            let [_, _, _, _, address, address_len] = args;
            if address != 0 {
                let from = received.from.unwrap_or_default();
                // Streams tell no sender.
                let bytes = if messages { from.to_bytes() } else { Vec::new() };
                caller.write_address(&bytes, address, address_len)?;
            }
            return Ok(value);
        }
        let [_, at, ..] = args;
        let memory = caller.memory();
        let header: MessageHeader = memory.read(at)?;
        let mut told = if cut { net::MSG_TRUNC } else { 0 };
        if header.name != 0 {
            let from = if messages { received.from.unwrap_or_default().to_bytes() } else { Vec::new() };
            let room = (header.name_len as usize).min(from.len());
            memory.write_bytes(header.name, from.get(..room).unwrap_or_default())?;
            memory.write(at + NAME_LEN_AT, &(from.len() as u32))?;
        }
        let mut control = Control { caller, address: header.control, left: header.control_len, used: 0, cut: false };
        if socket.passes_credentials() {
            let PeerCredentials { pid, uid, gid, .. } = received.ancillary.credentials.unwrap_or(PeerCredentials::NONE);
            control.put(
                net::SCM_CREDENTIALS,
                &[caller.process.shown(pid.0), uid.0, gid.0].map(u32::to_le_bytes).concat(),
            )?;
        }
        if socket.passes_security()
            && let Some(cell) = received.ancillary.credentials.and_then(|sender| sender.cell)
        {
            control.put(net::SCM_SECURITY, crate::services::label(caller.system, cell).as_bytes())?;
        }
        if !received.ancillary.files.is_empty() {
            control.put_files(received.ancillary.files, flags)?;
        }
        if control.cut {
            told |= net::MSG_CTRUNC;
        }
        told |= flags & net::MSG_CMSG_CLOEXEC;
        memory.write(at + CONTROL_LEN_AT, &control.used)?;
        memory.write(at + FLAGS_AT, &told)?;
        Ok(value)
    }
}

/// Control data being written to a received message.
struct Control<'c> {
    caller: Caller<'c>,
    address: u64,
    left: u64,
    used: u64,
    cut: bool,
}

impl Control<'_> {
    fn put(&mut self, kind: u32, body: &[u8]) -> SysResult<()> {
        let length = (CONTROL_HEADER + body.len()) as u64;
        if self.address == 0 || self.left < CONTROL_HEADER as u64 {
            self.cut = true;
            return Ok(());
        }
        if self.left < length {
            self.cut = true;
        }
        let length = length.min(self.left);
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(CONTROL_HEADER + body.len()).map_err(|_| Errno::ENOMEM)?;
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&net::SOL_SOCKET.to_le_bytes());
        bytes.extend_from_slice(&kind.to_le_bytes());
        bytes.extend_from_slice(body);
        bytes.truncate(length as usize);
        self.caller.memory().write_bytes(self.address + self.used, &bytes)?;
        let step = length.next_multiple_of(8).min(self.left);
        self.used += step;
        self.left -= step;
        Ok(())
    }

    /// Gives the caller descriptors for the files that came along, as many as there is room for.
    fn put_files(&mut self, files: Vec<Arc<OpenFile>>, flags: u32) -> SysResult<()> {
        let room = self.left.saturating_sub(CONTROL_HEADER as u64) / 4;
        let room = if self.address == 0 { 0 } else { usize::try_from(room).unwrap_or(usize::MAX) };
        if files.len() > room {
            self.cut = true;
        }
        let on_exec = if flags & net::MSG_CMSG_CLOEXEC != 0 { OnExec::Close } else { OnExec::Keep };
        let table = self.caller.files()?;
        let limit = self.caller.file_limit();
        let mut numbers = Vec::new();
        numbers.try_reserve_exact(files.len().min(room) * 4).map_err(|_| Errno::ENOMEM)?;
        for file in files.into_iter().take(room) {
            match table.insert(file, 0, limit, on_exec) {
                Ok(fd) => numbers.extend_from_slice(&fd.to_le_bytes()),
                Err(_) => {
                    self.cut = true;
                    break;
                }
            }
        }
        if numbers.is_empty() {
            return Ok(());
        }
        self.put(net::SCM_RIGHTS, &numbers)
    }
}

/// Lends a buffer that holds a whole message of `len` bytes.
pub(crate) fn with_message<T>(len: u64, work: impl FnOnce(&mut [u8]) -> SysResult<T>) -> SysResult<T> {
    if len <= crate::calls::buffers::STEP as u64 {
        return with_step(len, work);
    }
    let len = usize::try_from(len).map_err(|_| Errno::EMSGSIZE)?;
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(len).map_err(|_| SysError::Errno(Errno::ENOBUFS))?;
    buffer.resize(len, 0);
    work(&mut buffer)
}
