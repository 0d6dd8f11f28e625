//! Changing what stat tells.

use super::node::RamNode;
use crate::{Access, AttributeChange, Inode, Result, TimeChange, Timestamp};

impl RamNode {
    pub(super) fn apply(&self, change: &AttributeChange) -> Result<()> {
        // The one step that can fail goes first.
        if let Some(size) = change.size {
            self.content()?.truncate(size)?;
        }
        let now = self.shared.clock.now();
        let pick = |change: TimeChange, old: Timestamp| match change {
            TimeChange::Keep => old,
            TimeChange::Now => now,
            TimeChange::To(time) => time,
        };
        self.change(now, |state| {
            if let Some(mode) = change.mode {
                self.set_mode(mode);
            }
            if change.uid.is_some() || change.gid.is_some() {
                self.set_owner(change.uid, change.gid);
            }
            if change.size.is_some() {
                state.mtime = now;
            }
            state.atime = pick(change.atime, state.atime);
            state.mtime = pick(change.mtime, state.mtime);
        });
        Ok(())
    }

    /// Whether anybody may execute it.
    pub(super) fn is_executable(&self) -> bool {
        let Access { mode, .. } = self.access();
        mode & 0o111 != 0
    }
}
