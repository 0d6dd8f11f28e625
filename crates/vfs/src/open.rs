//! open(2).

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::linux::general as linux;
use types::Capabilities;

use crate::notify;
use crate::open_file::counts_writers;
use crate::pipe::{FifoOpen, Pipe, PipeAccess};
use crate::walk::{Last, ParentOf};
use crate::{
    AttributeChange, DeviceKind, File, FileType, Follow, FsContext, LinkTarget, Location, MountFlags, NewContent,
    OpenFile, OpenRequest, Result, VfsError, Want, is_owner, permit,
};

/// Symbolic links followed at the end of a path that may create its target.
const MAX_FINAL_LINKS: usize = 40;

/// An opened file.
pub struct Opened {
    /// The open file.
    pub file: Arc<OpenFile>,
    /// A fifo without its other end: open(2) is not over before [`FifoOpen::ready`]. Dropping both gives up.
    pub fifo: Option<FifoOpen>,
}

impl FsContext<'_> {
    /// Opens `path` with `flags` of open(2); a new file gets `mode` less the umask.
    ///
    /// # Errors
    /// Exactly those of open(2).
    pub fn open(&self, path: &[u8], flags: u32, mode: u32) -> Result<Opened> {
        if flags & linux::O_PATH != 0 {
            return self.open_path(path, flags);
        }
        if is_temporary(flags) {
            return self.open_temporary(path, flags, mode);
        }
        if flags & linux::O_CREAT != 0 {
            if flags & linux::O_DIRECTORY != 0 {
                return Err(VfsError::InvalidArgument);
            }
            return self.open_or_create(path, flags, mode);
        }
        let location = self.resolve(path, final_link(flags))?;
        self.open_location(&location, flags)
    }

    /// Opens what is at `location`, as [`FsContext::open`] does at the end of a path.
    ///
    /// # Errors
    /// Exactly those of open(2).
    pub fn open_location(&self, location: &Location, flags: u32) -> Result<Opened> {
        let access = location.inode().access();
        if flags & linux::O_CREAT != 0 && access.kind == FileType::Directory {
            return Err(VfsError::IsADirectory);
        }
        if flags & linux::O_DIRECTORY != 0 && access.kind != FileType::Directory {
            return Err(VfsError::NotADirectory);
        }
        let want = wanted(flags);
        let mount = location.mount();
        match access.kind {
            FileType::Symlink => return Err(VfsError::SymlinkLoop),
            FileType::Directory if want.contains(Want::WRITE) => return Err(VfsError::IsADirectory),
            FileType::CharDevice | FileType::BlockDevice if mount.flags().contains(MountFlags::NO_DEVICES) => {
                return Err(VfsError::PermissionDenied);
            }
            _ => {}
        }
        if want.contains(Want::WRITE) && counts_writers(location) {
            mount.check_writable()?;
        }
        permit(&access, self.credentials(), want)?;
        if flags & linux::O_NOATIME != 0 && !is_owner(access.uid, self.credentials()) {
            return Err(VfsError::NotPermitted);
        }
        self.finish_open(location, flags, flags & linux::O_TRUNC != 0 && access.kind == FileType::Regular)
    }

    fn open_path(&self, path: &[u8], flags: u32) -> Result<Opened> {
        let location = self.resolve(path, final_link(flags))?;
        if flags & linux::O_DIRECTORY != 0 && location.kind() != FileType::Directory {
            return Err(VfsError::NotADirectory);
        }
        let kept = flags & (linux::O_PATH | linux::O_DIRECTORY | linux::O_NOFOLLOW);
        let file = OpenFile::at(Arc::new(DirectoryFile), location, kept);
        Ok(Opened { file: Arc::new(file), fifo: None })
    }

    fn open_temporary(&self, path: &[u8], flags: u32, mode: u32) -> Result<Opened> {
        if !wanted(flags).contains(Want::WRITE) {
            return Err(VfsError::InvalidArgument);
        }
        let directory = self.resolve_directory(path)?;
        directory.mount().check_writable()?;
        permit(&directory.inode().access(), self.credentials(), Want::WRITE | Want::EXECUTE)?;
        let node = self.new_node(&directory, NewContent::Regular, mode);
        let inode = directory.inode().create_unnamed(&node, flags & linux::O_EXCL == 0)?;
        self.finish_open(&Location::new(directory.mount().clone(), inode), flags, false)
    }

    fn open_or_create(&self, path: &[u8], flags: u32, mode: u32) -> Result<Opened> {
        // After a symbolic link at the end: the directory it is in, and its text.
        let mut onward: Option<(Location, Vec<u8>)> = None;
        for _ in 0..=MAX_FINAL_LINKS {
            let ParentOf { parent, last, trailing_slash } = match &onward {
                None => self.resolve_parent(path)?,
                Some((base, text)) => self.at(base).resolve_parent(text)?,
            };
            let Last::Name(name) = last else { return Err(VfsError::IsADirectory) };
            if trailing_slash {
                return Err(VfsError::IsADirectory);
            }
            let found = match self.child(&parent, &name) {
                Ok(found) => found,
                Err(VfsError::NotFound) => match self.create_regular(&parent, &name, flags, mode) {
                    // Somebody else was faster.
                    Err(VfsError::Exists) if flags & linux::O_EXCL == 0 => self.child(&parent, &name)?,
                    outcome => return outcome,
                },
                Err(error) => return Err(error),
            };
            if flags & linux::O_EXCL != 0 {
                return Err(VfsError::Exists);
            }
            if found.kind() != FileType::Symlink {
                return self.open_location(&found, flags);
            }
            if flags & linux::O_NOFOLLOW != 0 {
                return Err(VfsError::SymlinkLoop);
            }
            match self.link_target(&found)? {
                LinkTarget::Path(text) => onward = Some((parent, text)),
                LinkTarget::Location(location) => return self.open_location(&location, flags),
                LinkTarget::OpenFile(file) => return self.open_location(&self.anonymous(file), flags),
            }
        }
        Err(VfsError::SymlinkLoop)
    }

    fn create_regular(&self, parent: &Location, name: &[u8], flags: u32, mode: u32) -> Result<Opened> {
        let inode = self.create_in(parent, name, NewContent::Regular, mode)?;
        // Whatever its mode: who made it may use it this once.
        self.finish_open(&Location::new(parent.mount().clone(), inode), flags, false)
    }

    /// Opens without looking at permission bits any more.
    fn finish_open(&self, location: &Location, flags: u32, truncate: bool) -> Result<Opened> {
        let mode = flags & linux::O_ACCMODE;
        let request = OpenRequest {
            read: mode == linux::O_RDONLY || mode == linux::O_RDWR,
            write: mode == linux::O_WRONLY || mode == linux::O_RDWR,
            flags,
            caller: self.caller,
        };
        let counted = request.write && counts_writers(location);
        if counted {
            OpenFile::count_writer(location)?;
        }
        let opened = self.behaviour(location, &request).and_then(|(file, fifo)| {
            if truncate {
                self.truncate_opened(location, request.write)?;
            }
            Ok((file, fifo))
        });
        match opened {
            Ok((file, fifo)) => {
                let file = OpenFile::at(file, location.clone(), flags | linux::O_LARGEFILE);
                notify::tell(location.inode(), linux::IN_OPEN);
                if truncate {
                    notify::tell(location.inode(), linux::IN_MODIFY);
                }
                Ok(Opened { file: Arc::new(file), fifo })
            }
            Err(error) => {
                if counted {
                    OpenFile::uncount_writer(location);
                }
                Err(error)
            }
        }
    }

    fn truncate_opened(&self, location: &Location, counted: bool) -> Result<()> {
        if !counted {
            // O_RDONLY | O_TRUNC truncates, too.
            OpenFile::count_writer(location)?;
        }
        let mode = self.mode_after_write(location);
        let change = AttributeChange { size: Some(0), mode, ..AttributeChange::default() };
        let outcome = location.inode().set_attributes(&change);
        if !counted {
            OpenFile::uncount_writer(location);
        }
        outcome
    }

    /// What is behind the node.
    fn behaviour(&self, location: &Location, request: &OpenRequest<'_>) -> Result<(Arc<dyn File>, Option<FifoOpen>)> {
        let inode = location.inode();
        let device = |kind| {
            let number = inode.metadata().rdev;
            self.namespace.devices().open(kind, number, request)
        };
        let file: Arc<dyn File> = match inode.access().kind {
            FileType::Directory => Arc::new(DirectoryFile),
            FileType::CharDevice => device(DeviceKind::Char)?,
            FileType::BlockDevice => device(DeviceKind::Block)?,
            FileType::Fifo if inode.attachment().is_some() => {
                let pipe = inode.attachment().and_then(|slot| slot.get_or_insert(Pipe::new)).ok_or(VfsError::Io)?;
                let access = match (request.read, request.write) {
                    (true, false) => PipeAccess::Read,
                    (false, true) => PipeAccess::Write,
                    _ => PipeAccess::Both,
                };
                let opening = pipe.open_fifo(access, request.flags & linux::O_NONBLOCK != 0)?;
                let file = opening.end().clone();
                let waits = opening.ready().is_none();
                return Ok((file, waits.then_some(opening)));
            }
            _ => inode.clone().open(request)?,
        };
        Ok((file, None))
    }

    /// Mode without the set-id bits that a change of content takes away; `None` if there are none to take.
    pub(crate) fn mode_after_write(&self, location: &Location) -> Option<u32> {
        let access = location.inode().access();
        let kept = crate::open_file::without_set_ids(access.mode);
        let stays = access.kind != FileType::Regular || self.credentials().capable(Capabilities::FSETID);
        (!stays && kept != access.mode).then_some(kept)
    }
}

fn final_link(flags: u32) -> Follow {
    if flags & linux::O_NOFOLLOW != 0 { Follow::No } else { Follow::Yes }
}

fn is_temporary(flags: u32) -> bool {
    /// O_TMPFILE without the O_DIRECTORY that it contains.
    const TEMPORARY: u32 = linux::O_TMPFILE & !linux::O_DIRECTORY;
    flags & TEMPORARY != 0
}

/// Rights that opening with `flags` needs.
fn wanted(flags: u32) -> Want {
    let mut want = match flags & linux::O_ACCMODE {
        linux::O_RDONLY => Want::READ,
        linux::O_WRONLY => Want::WRITE,
        _ => Want::READ | Want::WRITE,
    };
    if flags & linux::O_TRUNC != 0 {
        want |= Want::WRITE;
    }
    want
}

/// Behaviour of an open directory: its entries are read through the inode.
pub(crate) struct DirectoryFile;

impl File for DirectoryFile {
    fn read(&self, _offset: u64, _out: &mut [u8]) -> Result<usize> {
        Err(VfsError::IsADirectory)
    }

    fn write(&self, _offset: u64, _data: &[u8]) -> Result<usize> {
        Err(VfsError::BadDescriptor)
    }

    fn positioning(&self) -> crate::Positioning {
        crate::Positioning::Seekable
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }
}
