//! POSIX message queues (mq_overview(7)): named, bounded, the most urgent message first.
//!
//! Linux keeps them in a file system of their own that need not be mounted; here there is only its one directory.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::fmt;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use abi::linux::general as linux;
use sync::{Rank, SpinLock, WaitQueue};
use types::{Capabilities, Credentials, Gid, Pid, Uid};

use crate::{Access, File, FileType, Metadata, PollEvents, Positioning, Result, VfsError, Want, anonymous, permit};

/// Priorities are below (MQ_PRIO_MAX).
pub const PRIORITIES: u32 = 32_768;
/// What nobody gets beyond: messages of a queue, and bytes of a message.
const HARD_MESSAGES: u64 = 65_536;
const HARD_BYTES: u64 = 16 << 20;
/// What Linux charges for a message beyond its bytes, and for each priority in use.
const OVERHEAD: u64 = 48;
/// Length that stat tells of a queue.
const STATUS_LEN: u64 = 80;

/// What users may have, as /proc/sys/fs/mqueue shows it.
pub struct QueueLimits {
    /// Queues altogether.
    pub queues: AtomicU32,
    /// Messages of a queue.
    pub messages: AtomicU32,
    /// Bytes of a message.
    pub bytes: AtomicU32,
}

/// The limits in force, Linux's to begin with.
pub static QUEUE_LIMITS: QueueLimits =
    QueueLimits { queues: AtomicU32::new(256), messages: AtomicU32::new(10), bytes: AtomicU32::new(8192) };

/// Size of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueSize {
    /// Most messages (`mq_maxmsg`).
    pub messages: i64,
    /// Most bytes of a message (`mq_msgsize`).
    pub bytes: i64,
}

impl QueueSize {
    /// The size of a queue for which none was asked.
    pub fn usual() -> Self {
        Self {
            messages: QUEUE_LIMITS.messages.load(Ordering::Relaxed).min(10).into(),
            bytes: QUEUE_LIMITS.bytes.load(Ordering::Relaxed).min(8192).into(),
        }
    }

    /// What it counts against RLIMIT_MSGQUEUE; checks what `credentials` may have.
    fn charge(self, credentials: &Credentials) -> Result<u64> {
        let limit = |limit: &AtomicU32, hard: u64| match credentials.capable(Capabilities::SYS_RESOURCE) {
            true => hard,
            false => u64::from(limit.load(Ordering::Relaxed)).min(hard),
        };
        let fits = |wish: i64, most: u64| u64::try_from(wish).ok().filter(|wish| *wish > 0 && *wish <= most);
        let messages = fits(self.messages, limit(&QUEUE_LIMITS.messages, HARD_MESSAGES));
        let bytes = fits(self.bytes, limit(&QUEUE_LIMITS.bytes, HARD_BYTES));
        let (messages, bytes) = messages.zip(bytes).ok_or(VfsError::InvalidArgument)?;
        Ok(messages * OVERHEAD + messages.min(PRIORITIES.into()) * OVERHEAD + messages * bytes)
    }
}

/// How mq_open(3) is to open.
#[derive(Clone, Copy)]
pub struct QueueRequest<'a> {
    /// Flags of open(2).
    pub flags: u32,
    /// Permission bits of a new queue, umask applied.
    pub mode: u32,
    /// Size of a new queue.
    pub size: Option<QueueSize>,
    /// Who.
    pub credentials: &'a Credentials,
    /// RLIMIT_MSGQUEUE.
    pub limit: u64,
}

/// All queues by name.
pub struct MessageQueues {
    named: SpinLock<BTreeMap<Vec<u8>, Arc<MessageQueue>>>,
    accounts: Arc<Accounts>,
}

/// Bytes that the queues of each user count.
struct Accounts(SpinLock<BTreeMap<Uid, u64>>);

impl Default for Accounts {
    fn default() -> Self {
        Self(SpinLock::new(Rank::IPC_OBJECT, BTreeMap::new()))
    }
}

impl Accounts {
    fn charge(&self, user: Uid, bytes: u64, limit: u64) -> Result<()> {
        let mut used = self.0.lock();
        let now = used.get(&user).copied().unwrap_or(0);
        let sum = now.checked_add(bytes).filter(|sum| *sum <= limit).ok_or(VfsError::TooManyOpenFiles)?;
        used.insert(user, sum);
        Ok(())
    }

    fn give(&self, user: Uid, bytes: u64) {
        let mut used = self.0.lock();
        if let Some(now) = used.get_mut(&user) {
            *now = now.saturating_sub(bytes);
            if *now == 0 {
                used.remove(&user);
            }
        }
    }
}

impl MessageQueues {
    /// None.
    #[expect(clippy::new_without_default, reason = "there is one, made by name")]
    pub fn new() -> Self {
        Self { named: SpinLock::new(Rank::IPC, BTreeMap::new()), accounts: Arc::default() }
    }

    /// Opens or makes the queue `name`, which has no slash in front.
    ///
    /// # Errors
    /// Those of mq_open(3).
    pub fn open(&self, name: &[u8], request: &QueueRequest<'_>) -> Result<Arc<MessageQueue>> {
        check_name(name)?;
        let creates = request.flags & linux::O_CREAT != 0;
        let found = self.named.lock().get(name).cloned();
        match found {
            Some(_) if creates && request.flags & linux::O_EXCL != 0 => Err(VfsError::Exists),
            Some(queue) => {
                let want = match request.flags & linux::O_ACCMODE {
                    linux::O_RDONLY => Want::READ,
                    linux::O_WRONLY => Want::WRITE,
                    linux::O_RDWR => Want::READ | Want::WRITE,
                    _ => return Err(VfsError::InvalidArgument),
                };
                permit(&queue.access(), request.credentials, want)?;
                Ok(queue)
            }
            None if creates => self.create(name, request),
            None => Err(VfsError::NotFound),
        }
    }

    fn create(&self, name: &[u8], request: &QueueRequest<'_>) -> Result<Arc<MessageQueue>> {
        let credentials = request.credentials;
        let most = QUEUE_LIMITS.queues.load(Ordering::Relaxed) as usize;
        if self.named.lock().len() >= most && !credentials.capable(Capabilities::SYS_RESOURCE) {
            return Err(VfsError::NoSpace);
        }
        let size = request.size.unwrap_or_else(QueueSize::usual);
        let charge = size.charge(credentials)?;
        let owner = credentials.fsuid;
        self.accounts.charge(owner, charge, request.limit)?;
        let made = Arc::new(MessageQueue {
            name: name.into(),
            size,
            mode: request.mode & 0o7777,
            owner,
            group: credentials.fsgid,
            number: anonymous::next_ino(),
            charge,
            accounts: self.accounts.clone(),
            receivers: AtomicUsize::new(0),
            state: SpinLock::new(Rank::IPC_OBJECT, State::default()),
            readable: Arc::new(WaitQueue::new()),
            writable: Arc::new(WaitQueue::new()),
        });
        let mut named = self.named.lock();
        if named.contains_key(name) {
            // Somebody else was faster; this one has not been seen by anybody.
            drop(named);
            return if request.flags & linux::O_EXCL != 0 { Err(VfsError::Exists) } else { self.open(name, request) };
        }
        named.insert(name.to_vec(), made.clone());
        Ok(made)
    }

    /// mq_unlink(3).
    ///
    /// # Errors
    /// [`VfsError::NotFound`]; [`VfsError::NotPermitted`] for somebody else's queue.
    pub fn unlink(&self, name: &[u8], credentials: &Credentials) -> Result<()> {
        check_name(name)?;
        let removed = {
            let mut named = self.named.lock();
            let queue = named.get(name).ok_or(VfsError::NotFound)?;
            // The directory is root's, writable to all and sticky.
            let may = queue.owner == credentials.fsuid
                || credentials.fsuid == Uid::ROOT
                || credentials.capable(Capabilities::FOWNER);
            if !may {
                return Err(VfsError::NotPermitted);
            }
            named.remove(name)
        };
        drop(removed);
        Ok(())
    }
}

fn check_name(name: &[u8]) -> Result<()> {
    match name {
        [] => Err(VfsError::NotFound),
        b"." | b".." => Err(VfsError::PermissionDenied),
        name if name.contains(&b'/') => Err(VfsError::PermissionDenied),
        name if name.len() > crate::NAME_MAX => Err(VfsError::NameTooLong),
        _ => Ok(()),
    }
}

/// Who is to be told of the next message in an empty queue (mq_notify(3)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The process.
    pub pid: Pid,
    /// The signal; 0 for none.
    pub signal: u32,
    /// What the signal carries.
    pub value: u64,
}

/// A queue. Open files share it; it lives as long as it has a name or is open.
pub struct MessageQueue {
    name: Vec<u8>,
    size: QueueSize,
    mode: u32,
    owner: Uid,
    group: Gid,
    number: u64,
    charge: u64,
    accounts: Arc<Accounts>,
    /// Threads that wait for a message.
    receivers: AtomicUsize,
    state: SpinLock<State>,
    readable: Arc<WaitQueue>,
    writable: Arc<WaitQueue>,
}

#[derive(Default)]
struct State {
    messages: BTreeMap<(Reverse<u32>, u64), Vec<u8>>,
    arrivals: u64,
    bytes: u64,
    // With the owner of the descriptors that asked for it.
    notice: Option<(Notice, u64)>,
}

impl MessageQueue {
    /// Its size.
    pub fn size(&self) -> QueueSize {
        self.size
    }

    /// Messages in it.
    pub fn waiting(&self) -> usize {
        self.state.lock().messages.len()
    }

    fn access(&self) -> Access {
        Access { kind: FileType::Regular, mode: self.mode, uid: self.owner, gid: self.group }
    }

    /// Puts in a message, and takes it from `message`; who is to be told.
    ///
    /// # Errors
    /// [`VfsError::WouldBlock`] if the queue is full.
    pub fn send(&self, message: &mut Vec<u8>, priority: u32) -> Result<Option<Notice>> {
        let notice = {
            let mut state = self.state.lock();
            if state.messages.len() as i64 >= self.size.messages {
                return Err(VfsError::WouldBlock);
            }
            let place = (Reverse(priority), state.arrivals);
            state.arrivals += 1;
            state.bytes += message.len() as u64;
            state.messages.insert(place, core::mem::take(message));
            // Nobody is told of what a receiver waits for already.
            let taken = self.receivers.load(Ordering::Acquire);
            if state.messages.len() == taken + 1 { state.notice.take() } else { None }
        };
        self.readable.wake_all();
        Ok(notice.map(|(notice, _)| notice))
    }

    /// Takes the oldest of the most urgent messages, with its priority.
    ///
    /// # Errors
    /// [`VfsError::WouldBlock`] if there is none.
    pub fn receive(&self) -> Result<(Vec<u8>, u32)> {
        let ((Reverse(priority), _), message) = {
            let mut state = self.state.lock();
            let first = state.messages.pop_first().ok_or(VfsError::WouldBlock)?;
            state.bytes = state.bytes.saturating_sub(first.1.len() as u64);
            first
        };
        self.writable.wake_all();
        Ok((message, priority))
    }

    /// Counts a thread that waits for a message until the guard is dropped.
    pub fn receiver(&self) -> Receiver<'_> {
        self.receivers.fetch_add(1, Ordering::AcqRel);
        Receiver(self)
    }

    /// mq_notify(3): `owner` are the descriptors whose closing ends it. `None` takes the caller's request back.
    ///
    /// # Errors
    /// [`VfsError::Busy`] if somebody has asked already.
    pub fn notify(&self, pid: Pid, wish: Option<(Notice, u64)>) -> Result<()> {
        let mut state = self.state.lock();
        match wish {
            None if state.notice.is_some_and(|(notice, _)| notice.pid == pid) => state.notice = None,
            None => {}
            Some(_) if state.notice.is_some() => return Err(VfsError::Busy),
            wish => state.notice = wish,
        }
        Ok(())
    }
}

/// A thread that waits for a message.
pub struct Receiver<'a>(&'a MessageQueue);

impl Drop for Receiver<'_> {
    fn drop(&mut self) {
        self.0.receivers.fetch_sub(1, Ordering::AcqRel);
    }
}

impl File for MessageQueue {
    fn read(&self, offset: u64, out: &mut [u8]) -> Result<usize> {
        let text = {
            let state = self.state.lock();
            let (kind, signal, pid) = match state.notice {
                Some((notice, _)) if notice.signal == 0 => (1, 0, notice.pid.0),
                Some((notice, _)) => (0, notice.signal, notice.pid.0),
                None => (0, 0, 0),
            };
            format!("QSIZE:{:<10} NOTIFY:{kind:<5} SIGNO:{signal:<5} NOTIFY_PID:{pid:<6}\n", state.bytes)
        };
        let rest = usize::try_from(offset).ok().and_then(|offset| text.as_bytes().get(offset..)).unwrap_or_default();
        let count = rest.len().min(out.len());
        for (slot, byte) in out.iter_mut().zip(rest) {
            *slot = *byte;
        }
        Ok(count)
    }

    fn write(&self, _offset: u64, _data: &[u8]) -> Result<usize> {
        Err(VfsError::InvalidArgument)
    }

    fn positioning(&self) -> Positioning {
        Positioning::Seekable
    }

    fn can_be_awaited(&self) -> bool {
        true
    }

    fn poll(&self) -> PollEvents {
        let waiting = self.waiting() as i64;
        let mut events = PollEvents::empty();
        events.set(PollEvents::IN, waiting > 0);
        events.set(PollEvents::OUT, waiting < self.size.messages);
        events
    }

    fn wait_queues(&self, interest: PollEvents, visit: &mut dyn FnMut(&Arc<WaitQueue>)) {
        if interest.intersects(PollEvents::READABLE) {
            visit(&self.readable);
        }
        if interest.intersects(PollEvents::WRITABLE) {
            visit(&self.writable);
        }
    }

    fn closed_by(&self, owner: u64) {
        let mut state = self.state.lock();
        if state.notice.is_some_and(|(_, asked)| asked == owner) {
            state.notice = None;
        }
    }

    fn describe(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        write!(out, "/{}", alloc::string::String::from_utf8_lossy(&self.name))
    }

    fn metadata(&self) -> Metadata {
        Metadata {
            ino: self.number,
            uid: self.owner,
            gid: self.group,
            size: STATUS_LEN,
            ..Metadata::new(FileType::Regular, self.mode)
        }
    }
}

impl Drop for MessageQueue {
    fn drop(&mut self) {
        self.accounts.give(self.owner, self.charge);
    }
}

#[cfg(test)]
mod tests {
    use std::vec;

    use super::*;

    fn request(credentials: &Credentials, messages: i64, bytes: i64, limit: u64) -> QueueRequest<'_> {
        let size = Some(QueueSize { messages, bytes });
        QueueRequest { flags: linux::O_CREAT | linux::O_RDWR, mode: 0o600, size, credentials, limit }
    }

    #[test]
    fn urgent_messages_come_first_and_equal_ones_in_their_order() {
        let queues = MessageQueues::new();
        let queue = queues.open(b"a", &request(&Credentials::ROOT, 4, 10, 10_000)).unwrap();
        for (text, priority) in [("low", 1), ("high", 9), ("low2", 1), ("high2", 9)] {
            assert_eq!(queue.send(&mut text.as_bytes().to_vec(), priority), Ok(None));
        }
        assert_eq!(queue.send(&mut vec![1], 0), Err(VfsError::WouldBlock));
        let order: Vec<_> = (0..4).map(|_| queue.receive().unwrap()).collect();
        let texts: Vec<_> = order.iter().map(|(text, priority)| (text.as_slice(), *priority)).collect();
        assert_eq!(texts, [(&b"high"[..], 9), (b"high2", 9), (b"low", 1), (b"low2", 1)]);
        assert_eq!(queue.receive(), Err(VfsError::WouldBlock));
    }

    #[test]
    fn bytes_of_a_user_are_limited_until_the_queue_is_gone() {
        let queues = MessageQueues::new();
        let wish = request(&Credentials::ROOT, 10, 100, 3000);
        let first = queues.open(b"a", &wish).unwrap();
        assert_eq!(queues.open(b"b", &wish).err(), Some(VfsError::TooManyOpenFiles));
        queues.unlink(b"a", &Credentials::ROOT).unwrap();
        assert_eq!(queues.open(b"b", &wish).err(), Some(VfsError::TooManyOpenFiles), "still open");
        drop(first);
        queues.open(b"b", &wish).unwrap();
        assert_eq!(queues.open(b"c", &request(&Credentials::ROOT, 0, 1, 3000)).err(), Some(VfsError::InvalidArgument));
        assert_eq!(queues.open(b"x/y", &wish).err(), Some(VfsError::PermissionDenied));
    }

    #[test]
    fn first_message_tells_once_unless_somebody_waits_for_it() {
        let queues = MessageQueues::new();
        let queue = queues.open(b"a", &request(&Credentials::ROOT, 4, 10, 10_000)).unwrap();
        let notice = Notice { pid: Pid(7), signal: 10, value: 3 };
        queue.notify(Pid(7), Some((notice, 1))).unwrap();
        assert_eq!(queue.notify(Pid(8), Some((notice, 2))), Err(VfsError::Busy));
        queue.notify(Pid(8), None).unwrap();
        let waits = queue.receiver();
        assert_eq!(queue.send(&mut vec![1], 0), Ok(None));
        queue.receive().unwrap();
        drop(waits);
        assert_eq!(queue.send(&mut vec![1], 0), Ok(Some(notice)));
        queue.receive().unwrap();
        assert_eq!(queue.send(&mut vec![1], 0), Ok(None));
        queue.notify(Pid(7), Some((notice, 1))).unwrap();
        queue.closed_by(2);
        assert_eq!(queue.notify(Pid(8), Some((notice, 2))), Err(VfsError::Busy));
        queue.closed_by(1);
        assert_eq!(queue.notify(Pid(8), Some((notice, 2))), Ok(()));
    }
}
