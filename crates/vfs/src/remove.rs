//! Taking names away: unlink, rmdir, rename.

use alloc::sync::Arc;

use abi::linux::general as linux;
use types::Capabilities;

use crate::notify;
use crate::walk::{Last, ParentOf};
use crate::{FileType, FsContext, Inode, Location, RenameMode, Result, VfsError, Want, permit};

/// Times an operation looks again when a name changes under it. Each time somebody else got on, so this never matters.
const TRIES: usize = 64;

impl FsContext<'_> {
    /// unlink(2).
    ///
    /// # Errors
    /// Exactly those of unlink(2).
    pub fn unlink(&self, path: &[u8]) -> Result<()> {
        let at = self.resolve_parent(path)?;
        let Last::Name(name) = &at.last else { return Err(VfsError::IsADirectory) };
        at.parent.mount().check_writable()?;
        let victim = again(|| {
            let victim = self.bare_child(&at.parent, name)?;
            let directory = victim.kind() == FileType::Directory;
            if at.trailing_slash {
                return Err(if directory { VfsError::IsADirectory } else { VfsError::NotADirectory });
            }
            self.may_remove(&at.parent, &victim)?;
            if directory {
                return Err(VfsError::IsADirectory);
            }
            self.not_mounted_on(&victim)?;
            at.parent.inode().unlink(name, victim.inode())?;
            Ok(victim)
        })?;
        let kind = victim.kind();
        notify::tell_self(victim.inode(), linux::IN_ATTRIB);
        // It goes with this, unless somebody has it open, and those who watch it are told first.
        drop(victim);
        notify::tell_name(at.parent.inode(), name, kind, linux::IN_DELETE, 0);
        Ok(())
    }

    /// rmdir(2).
    ///
    /// # Errors
    /// Exactly those of rmdir(2).
    pub fn rmdir(&self, path: &[u8]) -> Result<()> {
        let at = self.resolve_parent(path)?;
        let name = match &at.last {
            Last::Name(name) => name,
            Last::Dot => return Err(VfsError::InvalidArgument),
            Last::DotDot => return Err(VfsError::NotEmpty),
            Last::Root => return Err(VfsError::Busy),
        };
        at.parent.mount().check_writable()?;
        again(|| {
            let victim = self.bare_child(&at.parent, name)?;
            self.may_remove(&at.parent, &victim)?;
            if victim.kind() != FileType::Directory {
                return Err(VfsError::NotADirectory);
            }
            self.not_mounted_on(&victim)?;
            at.parent.inode().rmdir(name, victim.inode())
        })?;
        notify::tell_name(at.parent.inode(), name, FileType::Directory, linux::IN_DELETE, 0);
        Ok(())
    }

    /// renameat2(2); relative paths of `to` start at `to_base`.
    ///
    /// # Errors
    /// Exactly those of rename(2).
    pub fn rename(&self, from: &[u8], to_base: &Location, to: &[u8], mode: RenameMode) -> Result<()> {
        let source = self.resolve_parent(from)?;
        let target = self.at(to_base).resolve_parent(to)?;
        if source.parent.mount().id() != target.parent.mount().id() {
            return Err(VfsError::CrossDevice);
        }
        let Last::Name(name) = &source.last else { return Err(VfsError::Busy) };
        let Last::Name(to_name) = &target.last else {
            return Err(if mode == RenameMode::NoReplace { VfsError::Exists } else { VfsError::Busy });
        };
        source.parent.mount().check_writable()?;
        again(|| self.rename_once(&source, name, &target, to_name, mode))
    }

    fn rename_once(
        &self,
        source: &ParentOf,
        name: &[u8],
        target: &ParentOf,
        to_name: &[u8],
        mode: RenameMode,
    ) -> Result<()> {
        let node = self.bare_child(&source.parent, name)?;
        let found = match self.bare_child(&target.parent, to_name) {
            Ok(found) => Some(found),
            Err(VfsError::NotFound) => None,
            Err(error) => return Err(error),
        };
        match mode {
            RenameMode::NoReplace if found.is_some() => return Err(VfsError::Exists),
            RenameMode::Exchange if found.is_none() => return Err(VfsError::NotFound),
            _ => {}
        }
        let is_directory = node.kind() == FileType::Directory;
        if !is_directory {
            let found_directory = found.as_ref().is_some_and(|found| found.kind() == FileType::Directory);
            let target_slash = target.trailing_slash && !(mode == RenameMode::Exchange && found_directory);
            if source.trailing_slash || target_slash {
                return Err(VfsError::NotADirectory);
            }
        }
        // Above itself: the directory would leave the tree. Below: the target cannot be empty.
        if is_directory && is_at_or_below(&target.parent, &node) {
            return Err(VfsError::InvalidArgument);
        }
        if let Some(found) = &found {
            if found.kind() == FileType::Directory && is_at_or_below(&source.parent, found) {
                return Err(if mode == RenameMode::Exchange { VfsError::InvalidArgument } else { VfsError::NotEmpty });
            }
            if found == &node {
                return Ok(());
            }
        }
        self.may_remove(&source.parent, &node)?;
        match &found {
            None => {
                if target.parent.inode().is_removed() {
                    return Err(VfsError::NotFound);
                }
                permit(&target.parent.inode().access(), self.credentials(), Want::WRITE | Want::EXECUTE)?;
            }
            Some(found) => {
                self.may_remove(&target.parent, found)?;
                let found_directory = found.kind() == FileType::Directory;
                if mode != RenameMode::Exchange && is_directory != found_directory {
                    return Err(if is_directory { VfsError::NotADirectory } else { VfsError::IsADirectory });
                }
                self.not_mounted_on(found)?;
            }
        }
        let same_parent = source.parent == target.parent;
        if !same_parent {
            // A directory that moves gets another `..`, which is a change of itself.
            let moves = [Some(&node), found.as_ref().filter(|_| mode == RenameMode::Exchange)];
            for directory in moves.into_iter().flatten().filter(|moved| moved.kind() == FileType::Directory) {
                permit(&directory.inode().access(), self.credentials(), Want::WRITE)?;
            }
        }
        self.not_mounted_on(&node)?;
        source.parent.inode().rename(
            name,
            node.inode(),
            target.parent.inode(),
            to_name,
            found.as_ref().map(Location::inode),
            mode,
        )?;
        if notify::is_watched() {
            let (from, to) = ((source.parent.inode(), name), (target.parent.inode(), to_name));
            let replaced = found.as_ref().filter(|_| mode != RenameMode::Exchange);
            tell_move(from, to, node.inode(), replaced.map(Location::inode));
            if let (Some(other), RenameMode::Exchange) = (&found, mode) {
                tell_move(to, from, other.inode(), None);
            }
        }
        Ok(())
    }

    /// The node called `name`, whatever is mounted on it.
    fn bare_child(&self, parent: &Location, name: &[u8]) -> Result<Location> {
        let inode = parent.inode().lookup(name)?;
        Ok(Location::new(parent.mount().clone(), inode))
    }

    fn not_mounted_on(&self, location: &Location) -> Result<()> {
        if self.namespace.is_busy(location) { Err(VfsError::Busy) } else { Ok(()) }
    }

    /// Whether the caller may take `victim` out of `parent`: write permission, and the sticky bit's rule.
    fn may_remove(&self, parent: &Location, victim: &Location) -> Result<()> {
        let directory = parent.inode().access();
        permit(&directory, self.credentials(), Want::WRITE | Want::EXECUTE)?;
        let user = self.credentials().fsuid;
        if directory.mode & linux::S_ISVTX != 0
            && victim.inode().access().uid != user
            && directory.uid != user
            && !self.credentials().capable(Capabilities::FOWNER)
        {
            return Err(VfsError::NotPermitted);
        }
        Ok(())
    }
}

/// `node` has moved from one name to another, in place of `replaced`.
fn tell_move(
    from: (&Arc<dyn Inode>, &[u8]),
    to: (&Arc<dyn Inode>, &[u8]),
    node: &Arc<dyn Inode>,
    replaced: Option<&Arc<dyn Inode>>,
) {
    let (kind, cookie) = (node.access().kind, notify::next_cookie());
    notify::tell_name(from.0, from.1, kind, linux::IN_MOVED_FROM, cookie);
    notify::tell_name(to.0, to.1, kind, linux::IN_MOVED_TO, cookie);
    if let Some(replaced) = replaced {
        notify::tell_self(replaced, linux::IN_ATTRIB);
    }
    notify::tell_self(node, linux::IN_MOVE_SELF);
}

fn again<T>(mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    for _ in 0..TRIES {
        match attempt() {
            Err(VfsError::Stale) => {}
            outcome => return outcome,
        }
    }
    Err(VfsError::Busy)
}

/// Whether `location` is `top` or below it, in one file system.
fn is_at_or_below(location: &Location, top: &Location) -> bool {
    let mut at = location.inode().clone();
    loop {
        if at.ino() == top.inode().ino() {
            return true;
        }
        let Some((parent, _)) = at.parent() else { return false };
        at = parent;
    }
}
