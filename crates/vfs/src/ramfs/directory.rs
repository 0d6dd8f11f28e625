//! Names coming and going in one directory.

use alloc::sync::Arc;

use super::node::RamNode;
use crate::{Inode, NewNode, Result, VfsError};

impl RamNode {
    pub(super) fn add_new(&self, name: &[u8], node: &NewNode<'_>) -> Result<Arc<dyn Inode>> {
        let entries = self.entries()?;
        let name: Arc<[u8]> = name.into();
        let made = self.make(node, name.clone())?;
        let now = self.shared.clock.now();
        {
            let mut entries = entries.lock();
            if entries.removed {
                return Err(VfsError::NotFound);
            }
            if entries.get(&name).is_some() {
                return Err(VfsError::Exists);
            }
            entries.reserve()?;
            entries.insert(name, made.clone());
            self.change(now, |state| {
                state.mtime = now;
                state.nlink += u32::from(made.is_directory());
            });
        }
        Ok(made)
    }

    pub(super) fn add_link(&self, name: &[u8], target: &Arc<Self>) -> Result<()> {
        let entries = self.entries()?;
        let name: Arc<[u8]> = name.into();
        let now = self.shared.clock.now();
        let mut old_home = None;
        {
            let mut entries = entries.lock();
            if entries.removed {
                return Err(VfsError::NotFound);
            }
            if entries.get(&name).is_some() {
                return Err(VfsError::Exists);
            }
            let (linkable, nlink) = target.with_state(|state| (state.may_be_linked(), state.nlink));
            if !linkable {
                return Err(VfsError::NotFound);
            }
            if nlink == u32::MAX {
                return Err(VfsError::TooManyLinks);
            }
            entries.reserve()?;
            entries.insert(name.clone(), target.clone());
            target.change(now, |state| {
                if !state.has_name() {
                    old_home = state.move_to(self.weak(), name);
                }
                state.nlink += 1;
            });
            self.change(now, |state| state.mtime = now);
        }
        drop(old_home);
        Ok(())
    }

    pub(super) fn remove_link(&self, name: &[u8], victim: &Arc<Self>) -> Result<()> {
        let now = self.shared.clock.now();
        let removed = {
            let mut entries = self.entries()?.lock();
            if !entries.get(name).is_some_and(|found| Arc::ptr_eq(found, victim)) {
                return Err(VfsError::Stale);
            }
            let removed = entries.remove(name);
            victim.change(now, |state| state.nlink = state.nlink.saturating_sub(1));
            self.change(now, |state| state.mtime = now);
            removed
        };
        drop(removed);
        Ok(())
    }

    pub(super) fn remove_directory(&self, name: &[u8], victim: &Arc<Self>) -> Result<()> {
        let now = self.shared.clock.now();
        let removed = {
            let _alone = self.shared.renames.lock();
            let mut entries = self.entries()?.lock();
            if !entries.get(name).is_some_and(|found| Arc::ptr_eq(found, victim)) {
                return Err(VfsError::Stale);
            }
            victim.retire(sync::Rank::DIRECTORY_CHILD)?;
            let removed = entries.remove(name);
            victim.change(now, |state| state.nlink = 0);
            self.change(now, |state| {
                state.mtime = now;
                state.nlink = state.nlink.saturating_sub(1);
            });
            removed
        };
        drop(removed);
        Ok(())
    }

    /// Closes an empty directory for ever.
    pub(super) fn retire(&self, rank: sync::Rank) -> Result<()> {
        let mut entries = self.entries()?.lock_as(rank);
        if entries.len() != 0 {
            return Err(VfsError::NotEmpty);
        }
        entries.removed = true;
        Ok(())
    }
}
