//! Moving a name, in one step for all who look.

use alloc::sync::Arc;

use sync::Rank;

use super::entries::Entries;
use super::node::RamNode;
use crate::{RenameMode, Result, VfsError};

impl RamNode {
    pub(super) fn move_entry(
        &self,
        name: &[u8],
        node: &Arc<Self>,
        to: &Arc<Self>,
        to_name: &[u8],
        target: Option<&Arc<Self>>,
        mode: RenameMode,
    ) -> Result<()> {
        let new_name: Arc<[u8]> = to_name.into();
        let old_name: Arc<[u8]> = name.into();
        let now = self.shared.clock.now();
        let same = core::ptr::eq(self, Arc::as_ptr(to));
        // Dropped after the locks, which are declared later.
        let mut old = None;
        let mut homes = (None, None);

        let _alone = self.shared.renames.lock();
        if node.is_directory() && is_at_or_below(to.clone(), node) {
            return Err(VfsError::InvalidArgument);
        }
        if let Some(target) = target
            && target.is_directory()
            && self.me_is_at_or_below(target)
        {
            return Err(if mode == RenameMode::Exchange { VfsError::InvalidArgument } else { VfsError::NotEmpty });
        }
        let mut here = self.entries()?.lock();
        let mut there = if same { None } else { Some(to.entries()?.lock_as(Rank::DIRECTORY_CHILD)) };
        if !is(here.get(name), Some(node)) {
            return Err(VfsError::Stale);
        }
        let destination: &mut Entries = match &mut there {
            Some(there) => there,
            None => &mut here,
        };
        if !is(destination.get(to_name), target) {
            return Err(VfsError::Stale);
        }
        if destination.removed {
            return Err(VfsError::NotFound);
        }
        match (mode, target) {
            (RenameMode::NoReplace, Some(_)) => return Err(VfsError::Exists),
            (RenameMode::Exchange, None) => return Err(VfsError::NotFound),
            (_, Some(target)) if Arc::ptr_eq(target, node) => return Ok(()),
            (RenameMode::Exchange, Some(target)) => {
                let _ = destination.replace(to_name, node.clone());
                let _ = here.replace(name, target.clone());
                target.change(now, |state| homes.1 = state.move_to(self.weak(), old_name));
                count_subdirectories(self, to, target, node);
            }
            (_, target) => {
                destination.reserve()?;
                if let Some(target) = target {
                    match (node.is_directory(), target.is_directory()) {
                        (true, false) => return Err(VfsError::NotADirectory),
                        (false, true) => return Err(VfsError::IsADirectory),
                        (true, true) => target.retire(Rank::DIRECTORY_VICTIM)?,
                        (false, false) => {}
                    }
                    old = destination.remove(to_name);
                    let gone = target.is_directory();
                    target.change(now, |state| state.nlink = if gone { 0 } else { state.nlink.saturating_sub(1) });
                    if gone {
                        to.change(now, |state| state.nlink = state.nlink.saturating_sub(1));
                    }
                }
                destination.insert(new_name.clone(), node.clone());
                let _ = here.remove(name);
                if !same && node.is_directory() {
                    self.change(now, |state| state.nlink = state.nlink.saturating_sub(1));
                    to.change(now, |state| state.nlink += 1);
                }
            }
        }
        node.change(now, |state| homes.0 = state.move_to(to.weak(), new_name));
        self.change(now, |state| state.mtime = now);
        to.change(now, |state| state.mtime = now);
        drop((there, here, _alone));
        drop((old, homes));
        Ok(())
    }

    fn me_is_at_or_below(&self, top: &Arc<Self>) -> bool {
        self.weak().upgrade().is_some_and(|me| is_at_or_below(me, top))
    }
}

fn is(found: Option<&Arc<RamNode>>, expected: Option<&Arc<RamNode>>) -> bool {
    match (found, expected) {
        (Some(found), Some(expected)) => Arc::ptr_eq(found, expected),
        (None, None) => true,
        _ => false,
    }
}

/// Adjusts the link counts of two directories after `into_here` and `into_there` changed places.
fn count_subdirectories(here: &RamNode, there: &RamNode, into_here: &RamNode, into_there: &RamNode) {
    if into_here.is_directory() == into_there.is_directory() || core::ptr::eq(here, there) {
        return;
    }
    let now = here.shared.clock.now();
    let (gains, loses) = if into_here.is_directory() { (here, there) } else { (there, here) };
    gains.change(now, |state| state.nlink += 1);
    loses.change(now, |state| state.nlink = state.nlink.saturating_sub(1));
}

/// Whether `node` is `top` or below it. Directories move under the rename lock only, which the caller holds.
fn is_at_or_below(mut node: Arc<RamNode>, top: &Arc<RamNode>) -> bool {
    loop {
        if Arc::ptr_eq(&node, top) {
            return true;
        }
        let Some(parent) = node.home_directory() else { return false };
        node = parent;
    }
}
