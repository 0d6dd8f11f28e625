//! The nodes of /proc: which names there are, whose they are, what is behind each.
//!
//! Nodes hold no content; a node is a number (see [`What`]) that is looked up again on each use, so a node of a process
//! that has gone answers "not found".

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use abi::Statfs;
use types::{Gid, Pid, Tid, Uid};

use super::file::{Content, ProcFile, SystemFile, TaskFile};
use super::items::ProcItems;
use super::named::NamedFile;
use super::source::{LinkKind, Namespace, ProcSource, TaskBytes, TaskId};
use crate::{
    AttributeChange, Caller, Clock, DirEntry, FIRST_COOKIE, File, FileSystem, FileSystemInfo, FileType, Inode,
    LinkTarget, Metadata, NamedIn, OpenRequest, Result, VfsError,
};

/// Inode numbers of items, beyond those of processes.
const ITEMS_INO: u64 = 1 << 56;
/// `f_type` of proc.
const PROC_MAGIC: i64 = 0x9fa0;

/// The file system /proc.
pub struct ProcFs {
    this: Weak<Self>,
    source: Arc<dyn ProcSource>,
    clock: Arc<dyn Clock>,
    /// Files and directories the kernel added, by path; directories have no content.
    named: Vec<Named>,
    /// Directories that come and go, and what they are in.
    items: Option<(&'static str, Arc<dyn ProcItems>)>,
}

struct Named {
    path: String,
    /// `None`: a directory.
    file: Option<NamedFile>,
}

/// Which node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Root,
    SelfLink,
    ThreadSelfLink,
    MountsLink,
    System(SystemFile),
    /// Index into [`ProcFs::named`].
    Named(usize),
    Task(TaskId),
    Threads(Pid),
    TaskFile(TaskId, TaskFile),
    TaskLink(TaskId, LinkKind),
    Fds(TaskId),
    FdInfos(TaskId),
    FdInfo(TaskId, u32),
    Namespaces(TaskId),
    Items,
    Item(u32),
    ItemFile(u32, u8),
}

/// An entry of a fixed directory.
struct Entry<T> {
    name: &'static str,
    mode: u32,
    what: T,
}

const fn entry<T>(name: &'static str, mode: u32, what: T) -> Entry<T> {
    Entry { name, mode, what }
}

/// /proc apart from processes and named files.
const ROOT: [Entry<What>; 7] = [
    entry("loadavg", 0o444, What::System(SystemFile::LoadAvg)),
    entry("meminfo", 0o444, What::System(SystemFile::MemInfo)),
    entry("mounts", 0o777, What::MountsLink),
    entry("self", 0o777, What::SelfLink),
    entry("stat", 0o444, What::System(SystemFile::Stat)),
    entry("thread-self", 0o777, What::ThreadSelfLink),
    entry("uptime", 0o444, What::System(SystemFile::Uptime)),
];

/// What is in the directory of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TaskEntry {
    File(TaskFile),
    /// Content that only those who may look into the process get.
    Private(TaskFile),
    Link(LinkKind),
    Fds,
    FdInfos,
    Namespaces,
    /// Only in the directory of a process.
    Threads,
    /// Only in the directory of a thread.
    Children,
}

const TASK: [Entry<TaskEntry>; 28] = [
    entry("auxv", 0o400, TaskEntry::Private(TaskFile::Bytes(TaskBytes::AuxiliaryVector))),
    entry("cgroup", 0o444, TaskEntry::File(TaskFile::Cgroup)),
    entry("children", 0o444, TaskEntry::Children),
    entry("cmdline", 0o444, TaskEntry::File(TaskFile::Bytes(TaskBytes::CommandLine))),
    entry("comm", 0o644, TaskEntry::File(TaskFile::Comm)),
    entry("cwd", 0o777, TaskEntry::Link(LinkKind::Cwd)),
    entry("environ", 0o400, TaskEntry::Private(TaskFile::Bytes(TaskBytes::Environment))),
    entry("exe", 0o777, TaskEntry::Link(LinkKind::Exe)),
    entry("fd", 0o500, TaskEntry::Fds),
    entry("fdinfo", 0o555, TaskEntry::FdInfos),
    entry("io", 0o400, TaskEntry::Private(TaskFile::Io)),
    entry("limits", 0o444, TaskEntry::File(TaskFile::Limits)),
    entry("maps", 0o444, TaskEntry::Private(TaskFile::Maps)),
    entry("mountinfo", 0o444, TaskEntry::File(TaskFile::MountInfo)),
    entry("mounts", 0o444, TaskEntry::File(TaskFile::Mounts)),
    entry("ns", 0o511, TaskEntry::Namespaces),
    entry("oom_score", 0o444, TaskEntry::File(TaskFile::OomScore)),
    entry("oom_score_adj", 0o644, TaskEntry::File(TaskFile::OomScoreAdj)),
    entry("personality", 0o400, TaskEntry::Private(TaskFile::Personality)),
    entry("root", 0o777, TaskEntry::Link(LinkKind::Root)),
    entry("sched", 0o644, TaskEntry::File(TaskFile::Sched)),
    entry("schedstat", 0o444, TaskEntry::File(TaskFile::SchedStat)),
    entry("smaps", 0o444, TaskEntry::Private(TaskFile::Smaps)),
    entry("stat", 0o444, TaskEntry::File(TaskFile::Stat)),
    entry("statm", 0o444, TaskEntry::File(TaskFile::Statm)),
    entry("status", 0o444, TaskEntry::File(TaskFile::Status)),
    entry("task", 0o555, TaskEntry::Threads),
    entry("wchan", 0o444, TaskEntry::File(TaskFile::WaitChannel)),
];

const NAMESPACES: [(&str, Namespace); 7] = [
    ("cgroup", Namespace::Cgroup),
    ("ipc", Namespace::Ipc),
    ("mnt", Namespace::Mount),
    ("net", Namespace::Network),
    ("pid", Namespace::Pid),
    ("user", Namespace::User),
    ("uts", Namespace::Uts),
];

impl ProcFs {
    /// A /proc over `source` with the named files added; of two with the same path the later one counts.
    pub fn new(source: Arc<dyn ProcSource>, files: Vec<NamedFile>, clock: Arc<dyn Clock>) -> Arc<Self> {
        Self::with_items(source, files, None, clock)
    }

    /// The same, with a directory of directories that come and go.
    pub fn with_items(
        source: Arc<dyn ProcSource>,
        files: Vec<NamedFile>,
        items: Option<(&'static str, Arc<dyn ProcItems>)>,
        clock: Arc<dyn Clock>,
    ) -> Arc<Self> {
        let mut by_path = BTreeMap::new();
        for file in files {
            let mut end = 0;
            while let Some(slash) = file.path.get(end..).and_then(|rest| rest.find('/')) {
                end += slash;
                by_path.entry(file.path.get(..end).unwrap_or("")).or_insert(None);
                end += 1;
            }
            by_path.insert(file.path, Some(file));
        }
        let named = by_path.into_iter().map(|(path, file)| Named { path: String::from(path), file }).collect();
        Arc::new_cyclic(|this| Self { this: this.clone(), source, clock, named, items })
    }

    /// Direct children of the directory `parent` (empty: the root) among the named files.
    fn named_children<'a>(&'a self, parent: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
        self.named.iter().enumerate().filter_map(move |(index, named)| {
            let below = named.path.strip_prefix(parent)?;
            let name = if parent.is_empty() { below } else { below.strip_prefix('/')? };
            (!name.is_empty() && !name.contains('/')).then_some((index, name))
        })
    }

    fn named_path(&self, index: usize) -> &str {
        self.named.get(index).map_or("", |named| named.path.as_str())
    }

    fn is_named_directory(&self, index: usize) -> bool {
        self.named.get(index).is_some_and(|named| named.file.is_none())
    }

    fn kind(&self, what: What) -> FileType {
        match what {
            What::Root | What::Task(_) | What::Threads(_) => FileType::Directory,
            What::Fds(_) | What::FdInfos(_) | What::Namespaces(_) | What::Items | What::Item(_) => FileType::Directory,
            What::SelfLink | What::ThreadSelfLink | What::MountsLink | What::TaskLink(..) => FileType::Symlink,
            What::Named(index) if self.is_named_directory(index) => FileType::Directory,
            What::System(_) | What::Named(_) | What::TaskFile(..) | What::FdInfo(..) | What::ItemFile(..) => {
                FileType::Regular
            }
        }
    }

    fn mode(&self, what: What) -> u32 {
        match what {
            What::Root | What::Task(_) | What::Threads(_) | What::Items | What::Item(_) => 0o555,
            What::ItemFile(..) => 0o444,
            What::SelfLink | What::ThreadSelfLink | What::MountsLink => 0o777,
            What::System(_) => 0o444,
            What::Named(index) => self.named.get(index).and_then(|named| named.file.as_ref()).map_or(0o555, |f| f.mode),
            What::TaskLink(task, LinkKind::Fd(fd)) => {
                let info = self.source.next_fd(task, fd).filter(|info| info.fd == fd);
                let bits = |info: super::FdInfo| 0o100 | u32::from(info.readable) << 8 | u32::from(info.writable) << 7;
                info.map_or(0o700, bits)
            }
            What::TaskLink(..) => 0o777,
            What::FdInfo(..) => 0o444,
            What::TaskFile(_, file) => TASK.iter().find(|entry| entry.what.file() == Some(file)).map_or(0, |e| e.mode),
            What::Fds(_) => 0o500,
            What::FdInfos(_) => 0o555,
            What::Namespaces(_) => 0o511,
        }
    }

    fn ino(&self, what: What) -> u64 {
        let of = |task: TaskId, region: u64, index: u64| {
            let (number, thread) = task.tid.map_or((task.pid.0, 0), |tid| (tid.0, 1));
            u64::from(number) << 32 | thread << 31 | region << 24 | index & 0xff_ffff
        };
        let position = |what| ROOT.iter().position(|entry| entry.what == what).unwrap_or(0) as u64;
        match what {
            What::Root => 1,
            What::SelfLink | What::ThreadSelfLink | What::MountsLink | What::System(_) => 2 + position(what),
            What::Named(index) => 0x100 + index as u64,
            What::Task(task) => of(task, 1, 0),
            What::Threads(pid) => of(TaskId { pid, tid: None }, 2, 0),
            What::TaskFile(task, file) => {
                let index = TASK.iter().position(|entry| entry.what.file() == Some(file)).unwrap_or(0);
                of(task, 3, index as u64)
            }
            What::TaskLink(task, LinkKind::Exe) => of(task, 4, 0),
            What::TaskLink(task, LinkKind::Cwd) => of(task, 4, 1),
            What::TaskLink(task, LinkKind::Root) => of(task, 4, 2),
            What::TaskLink(task, LinkKind::Fd(fd)) => of(task, 5, u64::from(fd)),
            What::TaskLink(task, LinkKind::Namespace(kind)) => of(task, 6, kind as u64),
            What::Fds(task) => of(task, 7, 0),
            What::FdInfos(task) => of(task, 7, 1),
            What::Namespaces(task) => of(task, 7, 2),
            What::FdInfo(task, fd) => of(task, 8, u64::from(fd)),
            // Beyond the number of any process.
            What::Items => ITEMS_INO,
            What::Item(item) => ITEMS_INO + (u64::from(item) + 1) * 0x100,
            What::ItemFile(item, file) => ITEMS_INO + (u64::from(item) + 1) * 0x100 + u64::from(file) + 1,
        }
    }

    /// Whom it belongs to and whether it still exists; `None` for what belongs to the system.
    fn task_of(what: What) -> Option<TaskId> {
        match what {
            What::Task(task)
            | What::TaskFile(task, _)
            | What::TaskLink(task, _)
            | What::Fds(task)
            | What::FdInfos(task)
            | What::FdInfo(task, _)
            | What::Namespaces(task) => Some(task),
            What::Threads(pid) => Some(TaskId { pid, tid: None }),
            _ => None,
        }
    }

    /// The directory that a node is in, and its name there.
    fn place_of(&self, what: What) -> Option<(What, String)> {
        let in_task = |task: TaskId| {
            let is_it = |entry: &&Entry<TaskEntry>| entry.what.in_directory_of(task) == Some(what);
            TASK.iter().find(is_it).map(|entry| (What::Task(task), String::from(entry.name)))
        };
        match what {
            What::Root => None,
            What::SelfLink | What::ThreadSelfLink | What::MountsLink | What::System(_) => {
                let entry = ROOT.iter().find(|entry| entry.what == what)?;
                Some((What::Root, String::from(entry.name)))
            }
            What::Named(index) => match self.named_path(index).rsplit_once('/') {
                None => Some((What::Root, String::from(self.named_path(index)))),
                Some((above, name)) => {
                    let directory = self.named.iter().position(|named| named.path == above)?;
                    Some((What::Named(directory), String::from(name)))
                }
            },
            What::Task(TaskId { pid, tid: None }) => Some((What::Root, format!("{pid}"))),
            What::Task(TaskId { pid, tid: Some(tid) }) => Some((What::Threads(pid), format!("{tid}"))),
            What::Items => Some((What::Root, String::from(self.items.as_ref()?.0))),
            What::Item(item) => Some((What::Items, self.items.as_ref()?.1.name(item)?)),
            What::ItemFile(item, file) => {
                let name = self.items.as_ref()?.1.files().get(usize::from(file))?;
                Some((What::Item(item), String::from(*name)))
            }
            What::Threads(pid) => in_task(TaskId { pid, tid: None }),
            What::TaskLink(task, LinkKind::Fd(fd)) => Some((What::Fds(task), format!("{fd}"))),
            What::FdInfo(task, fd) => Some((What::FdInfos(task), format!("{fd}"))),
            What::TaskLink(task, LinkKind::Namespace(kind)) => {
                let (name, _) = NAMESPACES.iter().find(|(_, known)| *known == kind)?;
                Some((What::Namespaces(task), String::from(*name)))
            }
            What::TaskFile(task, _)
            | What::TaskLink(task, _)
            | What::Fds(task)
            | What::FdInfos(task)
            | What::Namespaces(task) => in_task(task),
        }
    }

    fn fixed_entry(&self, name: &[u8]) -> Option<What> {
        ROOT.iter().find(|entry| entry.name.as_bytes() == name).map(|entry| entry.what)
    }

    fn named_entry(&self, parent: &str, name: &[u8]) -> Option<What> {
        self.named_children(parent).find(|(_, child)| child.as_bytes() == name).map(|(index, _)| What::Named(index))
    }

    fn look_up(&self, directory: What, name: &[u8]) -> Option<What> {
        match directory {
            What::Root => {
                let process = || {
                    let pid = Pid(parse_number(name)?);
                    self.alive(What::Task(TaskId { pid, tid: None }))
                };
                let items = || self.items.as_ref().filter(|(known, _)| known.as_bytes() == name).map(|_| What::Items);
                self.fixed_entry(name).or_else(process).or_else(|| self.named_entry("", name)).or_else(items)
            }
            What::Named(index) => self.named_entry(self.named_path(index), name),
            What::Items => self.items.as_ref()?.1.find(name).map(What::Item),
            What::Item(item) => {
                let items = &self.items.as_ref()?.1;
                items.name(item)?;
                let file = items.files().iter().position(|known| known.as_bytes() == name)?;
                Some(What::ItemFile(item, file as u8))
            }
            What::Threads(pid) => {
                let tid = Tid(parse_number(name)?);
                self.alive(What::Task(TaskId { pid, tid: Some(tid) }))
            }
            What::Task(task) => {
                let entry = TASK.iter().find(|entry| entry.name.as_bytes() == name)?;
                self.alive(entry.what.in_directory_of(task)?)
            }
            What::Fds(task) => {
                let fd = parse_number(name)?;
                self.has_fd(task, fd).then_some(What::TaskLink(task, LinkKind::Fd(fd)))
            }
            What::FdInfos(task) => {
                let fd = parse_number(name)?;
                self.has_fd(task, fd).then_some(What::FdInfo(task, fd))
            }
            What::Namespaces(task) => {
                let (_, kind) = NAMESPACES.iter().find(|(known, _)| known.as_bytes() == name)?;
                self.alive(What::TaskLink(task, LinkKind::Namespace(*kind)))
            }
            _ => None,
        }
    }

    fn alive(&self, what: What) -> Option<What> {
        let task = Self::task_of(what)?;
        self.source.owner(task).map(|_| what)
    }

    fn has_fd(&self, task: TaskId, fd: u32) -> bool {
        self.source.next_fd(task, fd).is_some_and(|info| info.fd == fd)
    }

    /// The first entry of a directory at or after the cookie `from`: its cookie, name and node.
    fn next_entry(&self, directory: What, from: u64) -> Option<(u64, String, What)> {
        let at = from.saturating_sub(FIRST_COOKIE);
        let found = |index: u64, name: &str, what| Some((FIRST_COOKIE + index, String::from(name), what));
        let index = usize::try_from(at).unwrap_or(usize::MAX);
        match directory {
            What::Root => self.next_in_root(at),
            What::Named(parent) => {
                let (index, name) =
                    self.named_children(self.named_path(parent)).find(|(index, _)| *index as u64 >= at)?;
                found(index as u64, name, What::Named(index))
            }
            What::Items => {
                let (item, name) = self.items.as_ref()?.1.next(u32::try_from(at).ok()?)?;
                found(item.into(), &name, What::Item(item))
            }
            What::Item(item) => {
                let items = &self.items.as_ref()?.1;
                items.name(item)?;
                found(at, items.files().get(index)?, What::ItemFile(item, index as u8))
            }
            What::Task(task) => {
                let entries = TASK.iter().enumerate().skip(index);
                let mut present =
                    entries.filter_map(|(i, entry)| Some((i, entry.name, entry.what.in_directory_of(task)?)));
                let (index, name, what) = present.next()?;
                found(index as u64, name, what)
            }
            What::Threads(pid) => {
                let tid = self.source.next_tid(pid, Tid(u32::try_from(at).ok()?))?;
                found(u64::from(tid.0), &format!("{tid}"), What::Task(TaskId { pid, tid: Some(tid) }))
            }
            What::Fds(task) | What::FdInfos(task) => {
                let fd = self.source.next_fd(task, u32::try_from(at).ok()?)?.fd;
                let link = What::TaskLink(task, LinkKind::Fd(fd));
                let what = if directory == What::Fds(task) { link } else { What::FdInfo(task, fd) };
                found(u64::from(fd), &format!("{fd}"), what)
            }
            What::Namespaces(task) => {
                let (name, kind) = NAMESPACES.get(index)?;
                found(at, name, What::TaskLink(task, LinkKind::Namespace(*kind)))
            }
            _ => None,
        }
    }

    /// Fixed entries, named ones, processes, in ranges of cookies of their own.
    fn next_in_root(&self, at: u64) -> Option<(u64, String, What)> {
        const NAMED: u64 = 0x100;
        const ITEMS: u64 = 0xf_0000;
        const PROCESSES: u64 = 0x10_0000;
        if let Some((index, entry)) = ROOT.iter().enumerate().find(|(index, _)| *index as u64 >= at) {
            return Some((FIRST_COOKIE + index as u64, String::from(entry.name), entry.what));
        }
        if let Some((index, name)) = self.named_children("").find(|(index, _)| NAMED + *index as u64 >= at) {
            return Some((FIRST_COOKIE + NAMED + index as u64, String::from(name), What::Named(index)));
        }
        if let Some((name, _)) = self.items.as_ref().filter(|_| at <= ITEMS) {
            return Some((FIRST_COOKIE + ITEMS, String::from(*name), What::Items));
        }
        let from = u32::try_from(at.saturating_sub(PROCESSES)).ok()?;
        let pid = self.source.next_pid(Pid(from.max(1)))?;
        let what = What::Task(TaskId { pid, tid: None });
        Some((FIRST_COOKIE + PROCESSES + u64::from(pid.0), format!("{pid}"), what))
    }
}

impl TaskEntry {
    fn file(self) -> Option<TaskFile> {
        match self {
            Self::File(file) | Self::Private(file) => Some(file),
            Self::Children => Some(TaskFile::Children),
            Self::Link(_) | Self::Fds | Self::FdInfos | Self::Namespaces | Self::Threads => None,
        }
    }

    /// The node in the directory of `task`; `None` if it has none.
    fn in_directory_of(self, task: TaskId) -> Option<What> {
        Some(match self {
            Self::Threads if task.tid.is_some() => return None,
            Self::Children if task.tid.is_none() => return None,
            Self::File(file) | Self::Private(file) => What::TaskFile(task, file),
            Self::Children => What::TaskFile(task, TaskFile::Children),
            Self::Link(link) => What::TaskLink(task, link),
            Self::Fds => What::Fds(task),
            Self::FdInfos => What::FdInfos(task),
            Self::Namespaces => What::Namespaces(task),
            Self::Threads => What::Threads(task.pid),
        })
    }

    const fn is_private(self) -> bool {
        matches!(self, Self::Private(_))
    }
}

/// Decimal without sign or leading zeros.
fn parse_number(name: &[u8]) -> Option<u32> {
    if name.first() == Some(&b'0') && name.len() > 1 || !name.iter().all(u8::is_ascii_digit) {
        return None;
    }
    core::str::from_utf8(name).ok()?.parse().ok()
}

impl FileSystem for ProcFs {
    fn root(&self) -> Arc<dyn Inode> {
        Arc::new(Node { fs: self.this.clone(), what: What::Root })
    }

    fn statfs(&self) -> Statfs {
        let page = types::PAGE_SIZE as i64;
        Statfs {
            f_type: PROC_MAGIC,
            f_bsize: page,
            f_blocks: 0,
            f_bfree: 0,
            f_bavail: 0,
            f_files: 0,
            f_ffree: 0,
            f_fsid: [0; 2],
            f_namelen: 255,
            f_frsize: page,
            f_flags: 0,
            f_spare: [0; 4],
        }
    }

    fn info(&self) -> FileSystemInfo {
        FileSystemInfo { kind: "proc", options: String::new() }
    }
}

/// One node.
struct Node {
    fs: Weak<ProcFs>,
    what: What,
}

impl Node {
    fn fs(&self) -> Result<Arc<ProcFs>> {
        self.fs.upgrade().ok_or(VfsError::NotFound)
    }

    fn link(&self, caller: &Caller<'_>) -> Result<Vec<u8>> {
        let own = || self.fs()?.source.own_numbers(caller).ok_or(VfsError::NotFound);
        match self.what {
            What::MountsLink => Ok(b"self/mounts".to_vec()),
            What::SelfLink => own().map(|(pid, _)| format!("{pid}").into_bytes()),
            What::ThreadSelfLink => own().map(|(pid, tid)| format!("{pid}/task/{tid}").into_bytes()),
            What::TaskLink(task, link) => {
                let fs = self.fs()?;
                Self::check(&fs, task, caller)?;
                fs.source.link_text(task, link, caller)
            }
            _ => Err(VfsError::InvalidArgument),
        }
    }

    fn check(fs: &ProcFs, task: TaskId, caller: &Caller<'_>) -> Result<()> {
        if fs.source.may_inspect(task.pid, caller) { Ok(()) } else { Err(VfsError::PermissionDenied) }
    }
}

impl Inode for Node {
    fn metadata(&self) -> Metadata {
        let Ok(fs) = self.fs() else { return Metadata::new(FileType::Regular, 0) };
        let owner = ProcFs::task_of(self.what).and_then(|task| fs.source.owner(task));
        let (uid, gid) = owner.map_or((Uid::ROOT, Gid::ROOT), |owner| (owner.uid, owner.gid));
        let now = fs.clock.now();
        let nlink = match self.what {
            What::Task(_) => 9,
            what if fs.kind(what) == FileType::Directory => 2,
            _ => 1,
        };
        let size = if matches!(self.what, What::TaskLink(_, LinkKind::Fd(_))) { 64 } else { 0 };
        Metadata {
            ino: fs.ino(self.what),
            nlink,
            uid,
            gid,
            size,
            atime: now,
            mtime: now,
            ctime: now,
            btime: now,
            ..Metadata::new(fs.kind(self.what), fs.mode(self.what))
        }
    }

    fn ino(&self) -> u64 {
        self.fs.upgrade().map_or(1, |fs| fs.ino(self.what))
    }

    fn set_attributes(&self, change: &AttributeChange) -> Result<()> {
        // `echo 1 > file` truncates first: nothing to do. Anything else stays as it is.
        let only_size = AttributeChange { size: change.size, ..AttributeChange::default() };
        if *change == only_size { Ok(()) } else { Err(VfsError::NotPermitted) }
    }

    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        let fs = self.fs()?;
        if fs.kind(self.what) != FileType::Directory {
            return Err(VfsError::NotADirectory);
        }
        let what = fs.look_up(self.what, name).ok_or(VfsError::NotFound)?;
        Ok(Arc::new(Self { fs: self.fs.clone(), what }))
    }

    fn read_dir(&self, from: u64, sink: &mut dyn FnMut(&DirEntry<'_>) -> bool) -> Result<()> {
        let fs = self.fs()?;
        if fs.kind(self.what) != FileType::Directory {
            return Err(VfsError::NotADirectory);
        }
        let mut from = from;
        while let Some((cookie, name, what)) = fs.next_entry(self.what, from) {
            let entry = DirEntry { name: name.as_bytes(), ino: fs.ino(what), kind: fs.kind(what), next: cookie + 1 };
            if !sink(&entry) {
                break;
            }
            from = cookie + 1;
        }
        Ok(())
    }

    fn read_link(&self, caller: &Caller<'_>) -> Result<Vec<u8>> {
        self.link(caller)
    }

    fn follow(&self, caller: &Caller<'_>) -> Result<LinkTarget> {
        match self.what {
            What::TaskLink(task, link) => {
                let fs = self.fs()?;
                Self::check(&fs, task, caller)?;
                fs.source.follow(task, link, caller)
            }
            _ => self.link(caller).map(LinkTarget::Path),
        }
    }

    fn open(self: Arc<Self>, request: &OpenRequest<'_>) -> Result<Arc<dyn File>> {
        let fs = self.fs()?;
        let caller = &request.caller;
        let content = match self.what {
            What::System(file) => Content::System(file),
            What::Named(index) => {
                let file = fs.named.get(index).and_then(|named| named.file.as_ref()).ok_or(VfsError::IsADirectory)?;
                Content::Named(file.content.clone())
            }
            What::TaskFile(task, file) => {
                fs.source.owner(task).ok_or(VfsError::NoProcess)?;
                let permitted = fs.source.may_inspect(task.pid, caller);
                let private = TASK.iter().any(|entry| entry.what.is_private() && entry.what.file() == Some(file));
                if private && !permitted {
                    return Err(VfsError::PermissionDenied);
                }
                Content::Task { task, file, permitted }
            }
            What::FdInfo(task, fd) => {
                Self::check(&fs, task, caller)?;
                Content::FdInfo { task, fd }
            }
            What::ItemFile(item, file) => {
                let (_, items) = fs.items.as_ref().ok_or(VfsError::NotFound)?;
                if !items.may_read(item, caller) {
                    return Err(VfsError::PermissionDenied);
                }
                Content::Item { items: items.clone(), item, file }
            }
            _ => return Err(VfsError::IsADirectory),
        };
        Ok(ProcFile::new(fs.source.clone(), content, caller, self.metadata()))
    }

    fn parent(&self) -> Option<NamedIn> {
        let (directory, name) = self.fs().ok()?.place_of(self.what)?;
        Some((Arc::new(Self { fs: self.fs.clone(), what: directory }), name.into_bytes().into()))
    }

    fn is_removed(&self) -> bool {
        let Ok(fs) = self.fs() else { return true };
        ProcFs::task_of(self.what).is_some_and(|task| fs.source.owner(task).is_none())
    }
}
