//! Pseudo-terminals: /dev/ptmx, the masters, and /dev/pts as a file system.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::fmt;

use abi::Statfs;
use sync::{Rank, SpinLock, WaitQueue};
use types::{Gid, Uid};

use super::device::Terminal;
use super::effects::TerminalEvents;
use super::file::TerminalFile;
use super::ioctl;
use crate::{
    AttributeChange, Caller, Clock, DeviceNumber, DirEntry, FIRST_COOKIE, File, FileSystem, FileSystemInfo, FileType,
    Inode, Metadata, NamedIn, OpenRequest, PollEvents, Result, TimeChange, Timestamp, VfsError,
};

/// Device number of /dev/ptmx.
pub const PTMX: DeviceNumber = DeviceNumber::new(5, 2);
/// Major device number of /dev/pts/N; the minor is N.
pub const SLAVE_MAJOR: u32 = 136;

/// Pseudo-terminals at a time (Linux: /proc/sys/kernel/pty/max).
const MAX_PTYS: u32 = 4096;
/// Group `tty`, which may write to terminals (`mesg y`).
const TTY_GROUP: Gid = Gid(5);
/// `f_type` of devpts.
const DEVPTS_MAGIC: i64 = 0x1cd1;

/// All pseudo-terminals; mounted on /dev/pts.
pub struct Ptys {
    this: Weak<Self>,
    slots: SpinLock<BTreeMap<u32, Slot>>,
    events: Arc<dyn TerminalEvents>,
    clock: Arc<dyn Clock>,
    mounted: Timestamp,
}

struct Slot {
    terminal: Weak<Terminal>,
    node: Node,
}

/// What chown, chmod and utimens change.
#[derive(Clone, Copy)]
struct Node {
    mode: u32,
    uid: Uid,
    gid: Gid,
    atime: Timestamp,
    mtime: Timestamp,
    ctime: Timestamp,
}

impl Ptys {
    /// None yet. `events` gets what must be done to processes, `clock` dates the nodes.
    pub fn new(events: Arc<dyn TerminalEvents>, clock: Arc<dyn Clock>) -> Arc<Self> {
        let mounted = clock.now();
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            slots: SpinLock::new(Rank::DIRECTORY, BTreeMap::new()),
            events,
            clock,
            mounted,
        })
    }

    /// Opens /dev/ptmx: a new pair, its slave locked and owned by the caller.
    ///
    /// # Errors
    /// [`VfsError::NoSpace`] if there are too many; `NoMemory`.
    pub fn open_master(&self, caller: &Caller<'_>) -> Result<Arc<PtyMaster>> {
        let now = self.clock.now();
        let (uid, gid) = (caller.credentials.fsuid, TTY_GROUP);
        let node = Node { mode: 0o620, uid, gid, atime: now, mtime: now, ctime: now };
        let mut gone = Vec::new();
        let index = {
            let mut slots = self.slots.lock();
            let free = (0..MAX_PTYS)
                .find(|index| slots.get(index).is_none_or(|slot| slot.terminal.strong_count() == 0))
                .ok_or(VfsError::NoSpace)?;
            // Reserved by a node without terminal until there is one: lookups do not find it.
            gone.extend(slots.insert(free, Slot { terminal: Weak::new(), node }));
            free
        };
        drop(gone);
        let terminal = Terminal::pty(index, self.events.clone())?;
        let old = self.slots.lock().insert(index, Slot { terminal: Arc::downgrade(&terminal), node });
        drop(old);
        Ok(Arc::new(PtyMaster { terminal }))
    }

    /// Opens /dev/pts/`index`.
    ///
    /// # Errors
    /// [`VfsError::NoDeviceOrAddress`] if there is none; those of [`Terminal::open`].
    pub fn open_slave(&self, index: u32) -> Result<Arc<TerminalFile>> {
        self.terminal(index).ok_or(VfsError::NoDeviceOrAddress)?.open()
    }

    /// The terminal of /dev/pts/`index`, while its master is open.
    pub fn terminal(&self, index: u32) -> Option<Arc<Terminal>> {
        let terminal = self.slots.lock().get(&index)?.terminal.upgrade()?;
        terminal.with(|state| state.master_open).then_some(terminal)
    }

    fn live(&self) -> Vec<u32> {
        let all: Vec<(u32, Option<Arc<Terminal>>)> =
            self.slots.lock().iter().map(|(index, slot)| (*index, slot.terminal.upgrade())).collect();
        let open = |terminal: &Arc<Terminal>| terminal.with(|state| state.master_open);
        all.iter().filter(|(_, terminal)| terminal.as_ref().is_some_and(open)).map(|(index, _)| *index).collect()
    }
}

/// The open master of a pseudo-terminal. Dropping it hangs the slave up.
pub struct PtyMaster {
    terminal: Arc<Terminal>,
}

impl PtyMaster {
    /// The terminal it is the other end of.
    pub const fn terminal(&self) -> &Arc<Terminal> {
        &self.terminal
    }

    /// Opens the slave, locked or not by name, without its name (TIOCGPTPEER).
    ///
    /// # Errors
    /// Those of [`Terminal::open`].
    pub fn open_peer(&self) -> Result<Arc<TerminalFile>> {
        self.terminal.open()
    }
}

impl File for PtyMaster {
    fn read(&self, _offset: u64, out: &mut [u8]) -> Result<usize> {
        self.terminal.master_read(out)
    }

    fn write(&self, _offset: u64, data: &[u8]) -> Result<usize> {
        self.terminal.master_write(data)
    }

    fn ioctl(&self, request: u32, arg: u64, bytes: &mut [u8], caller: &Caller<'_>) -> Result<u64> {
        ioctl::master(&self.terminal, request, arg, bytes, caller)
    }

    fn poll(&self) -> PollEvents {
        self.terminal.master_poll()
    }

    fn wait_queues(&self, interest: PollEvents, visit: &mut dyn FnMut(&Arc<WaitQueue>)) {
        self.terminal.master_queues(interest, visit);
    }

    fn metadata(&self) -> Metadata {
        Metadata { rdev: PTMX, ..Metadata::new(FileType::CharDevice, 0o666) }
    }

    fn describe(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str("/dev/ptmx")
    }
}

impl Drop for PtyMaster {
    fn drop(&mut self) {
        self.terminal.with(|state| state.master_open = false);
        let effects = self.terminal.hang_up();
        self.terminal.deliver(effects);
    }
}

impl FileSystem for Ptys {
    fn root(&self) -> Arc<dyn Inode> {
        Arc::new(PtsDirectory { ptys: self.this.clone(), mounted: self.mounted })
    }

    fn statfs(&self) -> Statfs {
        Statfs {
            f_type: DEVPTS_MAGIC,
            f_bsize: types::PAGE_SIZE as i64,
            f_blocks: 0,
            f_bfree: 0,
            f_bavail: 0,
            f_files: 0,
            f_ffree: 0,
            f_fsid: [0; 2],
            f_namelen: 255,
            f_frsize: types::PAGE_SIZE as i64,
            f_flags: 0,
            f_spare: [0; 4],
        }
    }

    fn info(&self) -> FileSystemInfo {
        FileSystemInfo { kind: "devpts", options: String::from(",gid=5,mode=620,ptmxmode=666") }
    }
}

/// Inode numbers, as on Linux: 1 the directory, 2 ptmx, 3 + N the slaves.
const ROOT_INO: u64 = 1;
const PTMX_INO: u64 = 2;
const FIRST_SLAVE_INO: u64 = 3;

/// The directory /dev/pts.
#[derive(Clone)]
struct PtsDirectory {
    ptys: Weak<Ptys>,
    mounted: Timestamp,
}

impl PtsDirectory {
    fn node(&self, kind: FileType, mode: u32, ino: u64) -> Metadata {
        let time = self.mounted;
        Metadata { ino, atime: time, mtime: time, ctime: time, btime: time, ..Metadata::new(kind, mode) }
    }
}

impl Inode for PtsDirectory {
    fn metadata(&self) -> Metadata {
        Metadata { nlink: 2, ..self.node(FileType::Directory, 0o755, ROOT_INO) }
    }

    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        if name == b"ptmx" {
            let metadata = Metadata { rdev: PTMX, ..self.node(FileType::CharDevice, 0o666, PTMX_INO) };
            return Ok(Arc::new(PtmxNode { metadata, directory: self.clone() }));
        }
        let ptys = self.ptys.upgrade().ok_or(VfsError::NotFound)?;
        let index = parse_index(name).ok_or(VfsError::NotFound)?;
        ptys.terminal(index).ok_or(VfsError::NotFound)?;
        Ok(Arc::new(SlaveNode { directory: self.clone(), index }))
    }

    fn read_dir(&self, from: u64, sink: &mut dyn FnMut(&DirEntry<'_>) -> bool) -> Result<()> {
        let first_slave = FIRST_COOKIE + 1;
        let kind = FileType::CharDevice;
        if from <= FIRST_COOKIE && !sink(&DirEntry { name: b"ptmx", ino: PTMX_INO, kind, next: first_slave }) {
            return Ok(());
        }
        let Some(ptys) = self.ptys.upgrade() else { return Ok(()) };
        for index in ptys.live() {
            let cookie = first_slave + u64::from(index);
            let name = format!("{index}");
            let ino = FIRST_SLAVE_INO + u64::from(index);
            if cookie >= from && !sink(&DirEntry { name: name.as_bytes(), ino, kind, next: cookie + 1 }) {
                break;
            }
        }
        Ok(())
    }

    fn open(self: Arc<Self>, _request: &OpenRequest<'_>) -> Result<Arc<dyn File>> {
        Err(VfsError::IsADirectory)
    }
}

/// Decimal without leading zeros.
fn parse_index(name: &[u8]) -> Option<u32> {
    let text = core::str::from_utf8(name).ok()?;
    let index: u32 = text.parse().ok()?;
    (format!("{index}") == text).then_some(index)
}

/// /dev/pts/ptmx.
struct PtmxNode {
    metadata: Metadata,
    directory: PtsDirectory,
}

impl Inode for PtmxNode {
    fn metadata(&self) -> Metadata {
        self.metadata
    }

    fn open(self: Arc<Self>, _request: &OpenRequest<'_>) -> Result<Arc<dyn File>> {
        Err(VfsError::NoDeviceOrAddress)
    }

    fn parent(&self) -> Option<NamedIn> {
        Some((Arc::new(self.directory.clone()), (*b"ptmx").into()))
    }
}

/// /dev/pts/N.
struct SlaveNode {
    directory: PtsDirectory,
    index: u32,
}

impl SlaveNode {
    fn with<R>(&self, look: impl FnOnce(&mut Node) -> R) -> Option<R> {
        let ptys = self.directory.ptys.upgrade()?;
        let mut slots = ptys.slots.lock();
        slots.get_mut(&self.index).map(|slot| look(&mut slot.node))
    }
}

impl Inode for SlaveNode {
    fn metadata(&self) -> Metadata {
        let base = Metadata {
            ino: FIRST_SLAVE_INO + u64::from(self.index),
            rdev: DeviceNumber::new(SLAVE_MAJOR, self.index),
            ..Metadata::new(FileType::CharDevice, 0o620)
        };
        let fill = |node: &mut Node| Metadata {
            mode: node.mode,
            uid: node.uid,
            gid: node.gid,
            atime: node.atime,
            mtime: node.mtime,
            ctime: node.ctime,
            btime: node.ctime,
            ..base
        };
        self.with(fill).unwrap_or(base)
    }

    fn set_attributes(&self, change: &AttributeChange) -> Result<()> {
        let now = self.directory.ptys.upgrade().ok_or(VfsError::NotFound)?.clock.now();
        let time = |old: Timestamp, change: TimeChange| match change {
            TimeChange::Keep => old,
            TimeChange::Now => now,
            TimeChange::To(time) => time,
        };
        self.with(|node| {
            node.mode = change.mode.unwrap_or(node.mode);
            node.uid = change.uid.unwrap_or(node.uid);
            node.gid = change.gid.unwrap_or(node.gid);
            node.atime = time(node.atime, change.atime);
            node.mtime = time(node.mtime, change.mtime);
            node.ctime = now;
        })
        .ok_or(VfsError::NotFound)
    }

    fn open(self: Arc<Self>, _request: &OpenRequest<'_>) -> Result<Arc<dyn File>> {
        let file = self.directory.ptys.upgrade().ok_or(VfsError::NoDeviceOrAddress)?.open_slave(self.index)?;
        Ok(file)
    }

    fn parent(&self) -> Option<NamedIn> {
        Some((Arc::new(self.directory.clone()), format!("{}", self.index).into_bytes().into()))
    }

    fn is_removed(&self) -> bool {
        self.directory.ptys.upgrade().and_then(|ptys| ptys.terminal(self.index)).is_none()
    }
}
