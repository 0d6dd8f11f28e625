//! A node of a file system, and the file system itself.
//!
//! Callers are the path operations of this crate, which check names, permissions and mount flags first; a file system
//! checks only what concerns its own structure (a name exists, a directory is empty, …) and does so atomically.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;

use abi::Statfs;
use types::{Credentials, Gid, Pgid, Pid, Sid, Tid, Uid};

use crate::{
    Attachment, DeviceNumber, File, FileLocks, FileType, Location, Metadata, OpenFile, Result, Timestamp, VfsError,
    WriteCount,
};

/// Who does something with files.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// Its rights.
    pub credentials: &'a Credentials,
    /// Its process.
    pub pid: Pid,
    /// Its thread.
    pub tid: Tid,
    /// Its process group.
    pub pgid: Pgid,
    /// Its session.
    pub sid: Sid,
    /// Permission bits its new files do not get.
    pub umask: u32,
}

impl<'a> Caller<'a> {
    /// The kernel itself, with these rights and no umask.
    pub const fn kernel(credentials: &'a Credentials) -> Self {
        Self { credentials, pid: Pid(0), tid: Tid(0), pgid: Pgid(0), sid: Sid(0), umask: 0 }
    }
}

/// What permission checks look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Kind of node.
    pub kind: FileType,
    /// Permission, set-id and sticky bits, 0o7777.
    pub mode: u32,
    /// Owner.
    pub uid: Uid,
    /// Group.
    pub gid: Gid,
}

/// A node to be made.
#[derive(Clone, Copy, Debug)]
pub struct NewNode<'a> {
    /// What it is.
    pub content: NewContent<'a>,
    /// Permission bits, umask applied.
    pub mode: u32,
    /// Owner.
    pub uid: Uid,
    /// Group.
    pub gid: Gid,
}

/// Kind and initial content of a new node.
#[derive(Clone, Copy, Debug)]
pub enum NewContent<'a> {
    /// An empty regular file.
    Regular,
    /// An empty directory.
    Directory,
    /// A symbolic link to that path.
    Symlink(&'a [u8]),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character device.
    CharDevice(DeviceNumber),
    /// A block device.
    BlockDevice(DeviceNumber),
}

/// A change of one time stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TimeChange {
    /// None.
    #[default]
    Keep,
    /// To the present.
    Now,
    /// To that.
    To(Timestamp),
}

/// Changes of attributes made in one step; permissions are checked by the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct AttributeChange {
    /// New permission bits, 0o7777.
    pub mode: Option<u32>,
    /// New owner.
    pub uid: Option<Uid>,
    /// New group.
    pub gid: Option<Gid>,
    /// New length.
    pub size: Option<u64>,
    /// Last access.
    pub atime: TimeChange,
    /// Last change of content.
    pub mtime: TimeChange,
}

/// How rename(2) treats the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenameMode {
    /// Replaces it.
    Replace,
    /// Fails if there is one (RENAME_NOREPLACE).
    NoReplace,
    /// Swaps the two (RENAME_EXCHANGE).
    Exchange,
}

/// Where a symbolic link leads.
#[derive(Clone)]
pub enum LinkTarget {
    /// To a path, from the link's directory if relative.
    Path(Vec<u8>),
    /// Straight to a place (/proc/PID/exe, cwd, root, fd/N).
    Location(Location),
    /// To an open file that has no place (/proc/PID/fd/N of a pipe).
    OpenFile(Arc<OpenFile>),
}

/// An entry that [`Inode::read_dir`] shows.
#[derive(Clone, Copy, Debug)]
pub struct DirEntry<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Its inode number.
    pub ino: u64,
    /// Its kind.
    pub kind: FileType,
    /// Cookie to go on after this entry.
    pub next: u64,
}

/// How a node is being opened. Access was checked already.
#[derive(Clone, Copy, Debug)]
pub struct OpenRequest<'a> {
    /// For reading.
    pub read: bool,
    /// For writing.
    pub write: bool,
    /// All of open(2)'s flags.
    pub flags: u32,
    /// By whom.
    pub caller: Caller<'a>,
}

/// A directory, and a name in it.
pub type NamedIn = (Arc<dyn Inode>, Arc<[u8]>);

/// A node of a file system. Its identity is [`Inode::ino`] within one file system.
///
/// Methods that change a directory have answers for read-only file systems by default.
pub trait Inode: Any + Send + Sync {
    /// What stat tells.
    fn metadata(&self) -> Metadata;

    /// Number, never 0, unique in its file system while the node lives.
    fn ino(&self) -> u64 {
        self.metadata().ino
    }

    /// The part of [`Inode::metadata`] that each step of a path needs: keep it cheap.
    fn access(&self) -> Access {
        let Metadata { kind, mode, uid, gid, .. } = self.metadata();
        Access { kind, mode, uid, gid }
    }

    /// Changes attributes (chmod, chown, truncate, utimens).
    ///
    /// # Errors
    /// [`VfsError::NotPermitted`] where nothing can be changed.
    fn set_attributes(&self, change: &AttributeChange) -> Result<()> {
        let _ = change;
        Err(VfsError::NotPermitted)
    }

    /// The node called `name` in this directory; never asked for `.` or `..`.
    ///
    /// # Errors
    /// [`VfsError::NotFound`], [`VfsError::NotADirectory`].
    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        let _ = name;
        Err(VfsError::NotADirectory)
    }

    /// Makes a node called `name` in this directory.
    ///
    /// # Errors
    /// [`VfsError::Exists`]; [`VfsError::NotFound`] if this directory has been removed; lack of space.
    fn create(&self, name: &[u8], node: &NewNode<'_>) -> Result<Arc<dyn Inode>> {
        let _ = (name, node);
        Err(VfsError::NotPermitted)
    }

    /// Makes a regular file with no name (O_TMPFILE); `linkable`: may get one by linkat(2).
    ///
    /// # Errors
    /// [`VfsError::NotSupported`] where that cannot be.
    fn create_unnamed(&self, node: &NewNode<'_>, linkable: bool) -> Result<Arc<dyn Inode>> {
        let _ = (node, linkable);
        Err(VfsError::NotSupported)
    }

    /// Gives `target`, a node of the same file system and no directory, the further name `name` in this directory.
    ///
    /// # Errors
    /// [`VfsError::Exists`], [`VfsError::TooManyLinks`], [`VfsError::NotFound`] if `target` has no name left.
    fn link(&self, name: &[u8], target: &Arc<dyn Inode>) -> Result<()> {
        let _ = (name, target);
        Err(VfsError::NotPermitted)
    }

    /// Removes the name of `victim`, no directory.
    ///
    /// # Errors
    /// [`VfsError::Stale`] if `name` is not (or no longer) `victim`.
    fn unlink(&self, name: &[u8], victim: &Arc<dyn Inode>) -> Result<()> {
        let _ = (name, victim);
        Err(VfsError::NotPermitted)
    }

    /// Removes the empty directory `victim`.
    ///
    /// # Errors
    /// [`VfsError::NotEmpty`]; [`VfsError::Stale`] as for [`Inode::unlink`].
    fn rmdir(&self, name: &[u8], victim: &Arc<dyn Inode>) -> Result<()> {
        let _ = (name, victim);
        Err(VfsError::NotPermitted)
    }

    /// Moves `node` from `name` here to `to_name` in `to`, a directory of the same file system. `target` is what the
    /// caller found there.
    ///
    /// # Errors
    /// [`VfsError::Stale`] if either name means something else by now; [`VfsError::InvalidArgument`] if a directory
    /// would move into itself; [`VfsError::NotEmpty`], [`VfsError::IsADirectory`], [`VfsError::NotADirectory`].
    fn rename(
        &self,
        name: &[u8],
        node: &Arc<dyn Inode>,
        to: &Arc<dyn Inode>,
        to_name: &[u8],
        target: Option<&Arc<dyn Inode>>,
        mode: RenameMode,
    ) -> Result<()> {
        let _ = (name, node, to, to_name, target, mode);
        Err(VfsError::NotPermitted)
    }

    /// Shows entries from cookie `from` on until `sink` answers `false` (it did not take that entry) or there are no
    /// more. Cookies start at [`FIRST_COOKIE`], stay below 2^63 and stay valid while entries come and go: an entry there all
    /// the time is shown exactly once. `.` and `..` are not shown. `sink` is called under the directory's lock.
    ///
    /// # Errors
    /// [`VfsError::NotADirectory`].
    fn read_dir(&self, from: u64, sink: &mut dyn FnMut(&DirEntry<'_>) -> bool) -> Result<()> {
        let _ = (from, sink);
        Err(VfsError::NotADirectory)
    }

    /// Text of a symbolic link.
    ///
    /// # Errors
    /// [`VfsError::InvalidArgument`] if it is none.
    fn read_link(&self, caller: &Caller<'_>) -> Result<Vec<u8>> {
        let _ = caller;
        Err(VfsError::InvalidArgument)
    }

    /// Where a symbolic link leads: its text, unless it is more than text.
    ///
    /// # Errors
    /// Those of [`Inode::read_link`]; what forbids the caller to go there.
    fn follow(&self, caller: &Caller<'_>) -> Result<LinkTarget> {
        self.read_link(caller).map(LinkTarget::Path)
    }

    /// Behaviour of a newly opened regular file, or of whatever else the file system serves itself. Directories,
    /// devices and fifos are not asked: the path operations know what is behind them.
    ///
    /// # Errors
    /// The file system's.
    fn open(self: Arc<Self>, request: &OpenRequest<'_>) -> Result<Arc<dyn File>> {
        let _ = request;
        Err(VfsError::NoDeviceOrAddress)
    }

    /// Directory and name this node was last reached or put by; `None` for the root of a file system. A removed node
    /// still answers.
    fn parent(&self) -> Option<NamedIn> {
        None
    }

    /// Whether it has no name any more.
    fn is_removed(&self) -> bool {
        false
    }

    /// It has been read through an open file: updates the time of last access, if the file system keeps one.
    fn accessed(&self) {}

    /// Place for a live object, in fifos and sockets.
    fn attachment(&self) -> Option<&Attachment> {
        None
    }

    /// Advisory locks, where they can be had.
    fn locks(&self) -> Option<&FileLocks> {
        None
    }

    /// Who writes and who executes, where that is to exclude each other (ETXTBSY).
    fn write_count(&self) -> Option<&WriteCount> {
        None
    }
}

/// Cookie of a directory's first entry after `.` and `..`.
pub const FIRST_COOKIE: u64 = 2;

/// Something that can be mounted.
pub trait FileSystem: Any + Send + Sync {
    /// Its top directory.
    fn root(&self) -> Arc<dyn Inode>;
    /// What statfs(2) tells, apart from mount flags.
    fn statfs(&self) -> Statfs;
    /// Name and options as /proc/mounts shows them.
    fn info(&self) -> FileSystemInfo;
}

/// How a file system is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSystemInfo {
    /// Its type, as in mount(2).
    pub kind: &'static str,
    /// Its options with a comma before each, or nothing.
    pub options: alloc::string::String,
}
