//! From a path to a place (path_resolution(7)).
//!
//! A walk holds one snapshot of the mount table and one node at a time; no lock is held between two steps.

use alloc::sync::Arc;
use alloc::vec::Vec;

use bitflags::bitflags;
use types::Credentials;

use crate::anonymous_node::AnonymousNode;
use crate::mount::MountTable;
use crate::{
    Caller, FileType, Inode, LinkTarget, Location, Mount, MountFlags, Namespace, Result, VfsError, Want, permit,
};

/// Bytes of the longest path, its terminating zero included.
pub const PATH_MAX: usize = 4096;

/// Bytes of the longest name.
pub const NAME_MAX: usize = 255;

/// Symbolic links followed in one walk before it is taken for a loop, as in Linux.
const MAX_LINKS: u32 = 40;

bitflags! {
    /// Where a path may lead (openat2(2)'s RESOLVE_, with its values).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct Confine: u8 {
        /// Not onto another mount.
        const NO_MOUNTS = 0x01;
        /// Not through links that are more than text (/proc/PID/exe, …).
        const NO_MAGIC_LINKS = 0x02;
        /// Through no symbolic link at all.
        const NO_LINKS = 0x04;
        /// Nowhere above the place where it starts, which is the context's root then.
        const BENEATH = 0x08;
        /// The place where it starts is taken for `/`; it is the context's root then.
        const IN_ROOT = 0x10;
    }
}

/// Where a caller stands and who it is: what each operation on paths starts from.
#[derive(Clone, Copy)]
pub struct FsContext<'a> {
    /// The mounts it sees.
    pub namespace: &'a Namespace,
    /// Where `/` begins.
    pub root: &'a Location,
    /// Where relative paths begin: the working directory, or the directory of an `*at` call.
    pub base: &'a Location,
    /// Who.
    pub caller: Caller<'a>,
    /// Where paths may lead.
    pub confine: Confine,
}

/// What becomes of a symbolic link at the end of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    /// It is followed.
    Yes,
    /// The link itself is meant.
    No,
}

/// The last component of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Last {
    /// A name.
    Name(Vec<u8>),
    /// `.`.
    Dot,
    /// `..`.
    DotDot,
    /// Nothing but slashes.
    Root,
}

/// The directory that a path's last component is in.
pub(crate) struct ParentOf {
    pub(crate) parent: Location,
    pub(crate) last: Last,
    /// A slash follows it.
    pub(crate) trailing_slash: bool,
}

impl<'a> FsContext<'a> {
    /// The place that `path` names.
    ///
    /// # Errors
    /// Exactly Linux's: ENOENT, ENOTDIR, EACCES, ELOOP, ENAMETOOLONG.
    pub fn resolve(&self, path: &[u8], follow: Follow) -> Result<Location> {
        let mut walk = Walk::new(self, path)?;
        walk.run(path, Stop::AtEnd(follow))?;
        Ok(walk.into_location())
    }

    /// As [`FsContext::resolve`], and it is a directory.
    ///
    /// # Errors
    /// Also [`VfsError::NotADirectory`].
    pub fn resolve_directory(&self, path: &[u8]) -> Result<Location> {
        let location = self.resolve(path, Follow::Yes)?;
        if location.kind() == FileType::Directory { Ok(location) } else { Err(VfsError::NotADirectory) }
    }

    /// The directory for chdir(2) and chroot(2): one that may be searched.
    ///
    /// # Errors
    /// Also [`VfsError::PermissionDenied`].
    pub fn resolve_working_directory(&self, path: &[u8]) -> Result<Location> {
        let location = self.resolve_directory(path)?;
        permit(&location.inode().access(), self.credentials(), Want::EXECUTE)?;
        Ok(location)
    }

    /// The same caller starting elsewhere.
    pub fn at<'b>(&self, base: &'b Location) -> FsContext<'b>
    where
        'a: 'b,
    {
        FsContext { base, ..*self }
    }

    pub(crate) fn credentials(&self) -> &'a Credentials {
        self.caller.credentials
    }

    pub(crate) fn resolve_parent(&self, path: &[u8]) -> Result<ParentOf> {
        let mut walk = Walk::new(self, path)?;
        let end = walk.run(path, Stop::AtParent)?;
        Ok(ParentOf { parent: walk.into_location(), last: end.last, trailing_slash: end.trailing_slash })
    }

    /// The node called `name` in `directory`, with what is mounted on it.
    pub(crate) fn child(&self, directory: &Location, name: &[u8]) -> Result<Location> {
        check_name(name)?;
        let inode = directory.inode().lookup(name)?;
        let table = self.namespace.snapshot();
        let (mount, inode) = top_of(&table, directory.mount().clone(), inode);
        if self.confine.contains(Confine::NO_MOUNTS) && mount.id() != directory.mount().id() {
            return Err(VfsError::CrossDevice);
        }
        Ok(Location::new(mount, inode))
    }

    /// Where the symbolic link `link`, found in `directory`, leads.
    pub(crate) fn link_target(&self, link: &Location) -> Result<LinkTarget> {
        if link.mount().flags().contains(MountFlags::NO_FOLLOW) {
            return Err(VfsError::SymlinkLoop);
        }
        if self.confine.contains(Confine::NO_LINKS) {
            return Err(VfsError::SymlinkLoop);
        }
        let target = link.inode().follow(&self.caller)?;
        if !matches!(target, LinkTarget::Path(_)) {
            if self.confine.contains(Confine::NO_MAGIC_LINKS) {
                return Err(VfsError::SymlinkLoop);
            }
            if self.confine.intersects(Confine::BENEATH | Confine::IN_ROOT) {
                return Err(VfsError::CrossDevice);
            }
        }
        Ok(target)
    }

    pub(crate) fn anonymous(&self, file: Arc<crate::OpenFile>) -> Location {
        match file.location() {
            Some(location) => location.clone(),
            None => Location::new(self.namespace.anonymous().clone(), Arc::new(AnonymousNode(file))),
        }
    }
}

pub(crate) fn check_name(name: &[u8]) -> Result<()> {
    if name.len() > NAME_MAX { Err(VfsError::NameTooLong) } else { Ok(()) }
}

/// Where a walk ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    AtParent,
    AtEnd(Follow),
}

struct End {
    last: Last,
    trailing_slash: bool,
}

struct Walk<'c, 'a> {
    context: &'c FsContext<'a>,
    table: Arc<MountTable>,
    mount: Arc<Mount>,
    inode: Arc<dyn Inode>,
    links: u32,
}

impl<'c, 'a> Walk<'c, 'a> {
    fn new(context: &'c FsContext<'a>, path: &[u8]) -> Result<Self> {
        if path.is_empty() {
            return Err(VfsError::NotFound);
        }
        if path.len() >= PATH_MAX {
            return Err(VfsError::NameTooLong);
        }
        let absolute = path.first() == Some(&b'/');
        if absolute && context.confine.contains(Confine::BENEATH) {
            return Err(VfsError::CrossDevice);
        }
        let start = if absolute { context.root } else { context.base };
        Ok(Self {
            context,
            table: context.namespace.snapshot(),
            mount: start.mount().clone(),
            inode: start.inode().clone(),
            links: 0,
        })
    }

    fn into_location(self) -> Location {
        Location::new(self.mount, self.inode)
    }

    fn run(&mut self, path: &[u8], stop: Stop) -> Result<End> {
        // Once a symbolic link was met: its text and what came after it.
        let mut expanded: Option<Vec<u8>> = None;
        let mut position = 0;
        let mut must_be_directory = false;
        loop {
            let text = expanded.as_deref().unwrap_or(path);
            let rest = text.get(position..).unwrap_or(&[]);
            let slashes = rest.iter().take_while(|byte| **byte == b'/').count();
            let rest = rest.get(slashes..).unwrap_or(&[]);
            if rest.is_empty() {
                // Nothing but slashes in all, or after a symbolic link that led here.
                if must_be_directory {
                    self.require_directory()?;
                }
                return Ok(End { last: Last::Root, trailing_slash: false });
            }
            let length = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
            let (component, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
            let trailing_slash = !after.is_empty();
            let is_last = after.iter().all(|byte| *byte == b'/');
            let access = self.inode.access();
            if access.kind != FileType::Directory {
                return Err(VfsError::NotADirectory);
            }
            permit(&access, self.context.credentials(), Want::EXECUTE)?;
            if is_last && stop == Stop::AtParent {
                return Ok(End { last: last_of(component)?, trailing_slash });
            }
            must_be_directory = is_last && trailing_slash;
            match component {
                b"." => {}
                b".." => self.up()?,
                name => {
                    check_name(name)?;
                    let child = self.inode.lookup(name)?;
                    let (mount, child) = top_of(&self.table, self.mount.clone(), child);
                    self.check_mount(&mount)?;
                    let follow = !is_last || trailing_slash || stop == Stop::AtEnd(Follow::Yes);
                    if follow && child.access().kind == FileType::Symlink {
                        if let Some(target) = self.follow(&mount, &child)? {
                            expanded = Some(splice(target, after)?);
                            position = 0;
                            continue;
                        }
                    } else {
                        self.mount = mount;
                        self.inode = child;
                    }
                }
            }
            position = text.len() - after.len();
            if is_last {
                if must_be_directory {
                    self.require_directory()?;
                }
                return Ok(End { last: Last::Dot, trailing_slash });
            }
        }
    }

    fn require_directory(&self) -> Result<()> {
        if self.inode.access().kind == FileType::Directory { Ok(()) } else { Err(VfsError::NotADirectory) }
    }

    /// Text to go on with, or nothing if the link led straight to a place.
    fn follow(&mut self, mount: &Arc<Mount>, link: &Arc<dyn Inode>) -> Result<Option<Vec<u8>>> {
        self.links += 1;
        if self.links > MAX_LINKS {
            return Err(VfsError::SymlinkLoop);
        }
        let link = Location::new(mount.clone(), link.clone());
        match self.context.link_target(&link)? {
            LinkTarget::Path(text) => {
                match text.first() {
                    None => return Err(VfsError::NotFound),
                    Some(b'/') if self.context.confine.contains(Confine::BENEATH) => {
                        return Err(VfsError::CrossDevice);
                    }
                    Some(b'/') => {
                        self.check_mount(self.context.root.mount())?;
                        self.jump(self.context.root.clone());
                    }
                    Some(_) => {}
                }
                Ok(Some(text))
            }
            LinkTarget::Location(location) => {
                self.check_mount(location.mount())?;
                self.jump(location);
                Ok(None)
            }
            LinkTarget::OpenFile(file) => {
                self.jump(self.context.anonymous(file));
                Ok(None)
            }
        }
    }

    fn jump(&mut self, to: Location) {
        self.mount = to.mount().clone();
        self.inode = to.inode().clone();
    }

    /// Going on to `mount` must not be a change of mounts where that is forbidden.
    fn check_mount(&self, mount: &Arc<Mount>) -> Result<()> {
        let forbidden = self.context.confine.contains(Confine::NO_MOUNTS) && mount.id() != self.mount.id();
        if forbidden { Err(VfsError::CrossDevice) } else { Ok(()) }
    }

    fn up(&mut self) -> Result<()> {
        loop {
            let ino = self.inode.ino();
            if self.mount.id() == self.context.root.mount().id() && ino == self.context.root.inode().ino() {
                if self.context.confine.contains(Confine::BENEATH) {
                    return Err(VfsError::CrossDevice);
                }
                break;
            }
            if self.mount.is_root(self.inode.as_ref()) {
                let Some(point) = self.table.point_of(&self.mount).cloned() else { break };
                self.check_mount(point.mount())?;
                self.jump(point);
                continue;
            }
            if let Some((parent, _)) = self.inode.parent() {
                self.inode = parent;
            }
            break;
        }
        let (mount, inode) = top_of(&self.table, self.mount.clone(), self.inode.clone());
        self.check_mount(&mount)?;
        self.mount = mount;
        self.inode = inode;
        Ok(())
    }
}

fn last_of(component: &[u8]) -> Result<Last> {
    Ok(match component {
        b"." => Last::Dot,
        b".." => Last::DotDot,
        name => {
            check_name(name)?;
            Last::Name(name.to_vec())
        }
    })
}

/// The newest mount on a node, or the node itself.
fn top_of(table: &MountTable, mut mount: Arc<Mount>, mut inode: Arc<dyn Inode>) -> (Arc<Mount>, Arc<dyn Inode>) {
    while let Some(upper) = table.covering(&mount, inode.ino()) {
        inode = upper.root().clone();
        mount = upper.clone();
    }
    (mount, inode)
}

fn splice(mut target: Vec<u8>, after: &[u8]) -> Result<Vec<u8>> {
    if !after.is_empty() {
        target.try_reserve(after.len()).map_err(|_| VfsError::NoMemory)?;
        target.extend_from_slice(after);
    }
    Ok(target)
}
