//! Writers and executions of a file exclude each other.

use alloc::sync::{Arc, Weak};
use core::any::Any;
use core::sync::atomic::{AtomicI32, Ordering};

use sync::{Rank, SpinLock};

use crate::{Inode, Result, VfsError};

/// How many open files may write a node, how many executions forbid that, and what those share.
#[derive(Debug)]
pub struct WriteCount {
    /// Writers (above zero) or executions (below zero).
    count: AtomicI32,
    /// Whatever the executions have in common; it lives as long as they refer to it.
    shared: SpinLock<Option<Weak<dyn Any + Send + Sync>>>,
}

impl Default for WriteCount {
    fn default() -> Self {
        Self::new()
    }
}

impl WriteCount {
    /// Nobody yet.
    pub const fn new() -> Self {
        Self { count: AtomicI32::new(0), shared: SpinLock::new(Rank::INODE, None) }
    }

    /// What the executions of the node share, if one lives that has said so.
    pub fn shared<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        let shared = self.shared.lock().as_ref().and_then(Weak::upgrade);
        shared?.downcast().ok()
    }

    /// What later executions shall share with `shared`, which keeps an [`ExecutionGuard`].
    pub fn share<T: Any + Send + Sync>(&self, shared: &Arc<T>) {
        let shared: Arc<dyn Any + Send + Sync> = shared.clone();
        let old = self.shared.lock().replace(Arc::downgrade(&shared));
        drop(old);
    }

    /// Forgets what was shared, if nobody is left who does.
    pub fn forget_shared(&self) {
        let mut shared = self.shared.lock();
        let dead = if shared.as_ref().is_some_and(|shared| shared.strong_count() == 0) { shared.take() } else { None };
        drop(shared);
        drop(dead);
    }

    /// One more writer.
    ///
    /// # Errors
    /// [`VfsError::TextBusy`] while it is being executed.
    pub fn add_writer(&self) -> Result<()> {
        self.step(|count| (count >= 0).then(|| count.checked_add(1)).flatten())
    }

    /// One writer less.
    pub fn remove_writer(&self) {
        self.count.fetch_sub(1, Ordering::Release);
    }

    /// Whether somebody has it open for writing.
    pub fn is_written(&self) -> bool {
        self.count.load(Ordering::Acquire) > 0
    }

    fn deny(&self) -> Result<()> {
        self.step(|count| (count <= 0).then(|| count.checked_sub(1)).flatten())
    }

    // The count is all there is to agree on, so no other memory needs ordering beyond acquire and release.
    fn step(&self, change: impl Fn(i32) -> Option<i32>) -> Result<()> {
        let changed = self.count.fetch_update(Ordering::AcqRel, Ordering::Acquire, change);
        changed.map_or(Err(VfsError::TextBusy), |_| Ok(()))
    }
}

/// Keeps a file from being opened for writing, while it is being executed.
pub struct ExecutionGuard {
    inode: Arc<dyn Inode>,
}

impl ExecutionGuard {
    /// Forbids writing to `inode` until dropped.
    ///
    /// # Errors
    /// [`VfsError::TextBusy`] if somebody has it open for writing.
    pub fn new(inode: Arc<dyn Inode>) -> Result<Self> {
        if let Some(count) = inode.write_count() {
            count.deny()?;
        }
        Ok(Self { inode })
    }

    /// The node.
    pub fn inode(&self) -> &Arc<dyn Inode> {
        &self.inode
    }
}

impl Clone for ExecutionGuard {
    fn clone(&self) -> Self {
        if let Some(count) = self.inode.write_count() {
            // Below zero already, so this succeeds.
            let _ = count.deny();
        }
        Self { inode: self.inode.clone() }
    }
}

impl Drop for ExecutionGuard {
    fn drop(&mut self) {
        if let Some(count) = self.inode.write_count() {
            count.count.fetch_add(1, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_executions_share_lives_as_long_as_they_do() {
        let count = WriteCount::new();
        assert!(count.shared::<u32>().is_none());
        let first = Arc::new(1_u32);
        count.share(&first);
        assert_eq!(count.shared::<u32>().as_deref(), Some(&1));
        assert!(count.shared::<u8>().is_none(), "of another type");
        count.forget_shared();
        assert!(count.shared::<u32>().is_some(), "somebody has it");
        let second = Arc::new(2_u32);
        count.share(&second);
        drop(first);
        assert_eq!(count.shared::<u32>().as_deref(), Some(&2));
        drop(second);
        assert!(count.shared::<u32>().is_none());
        count.forget_shared();
        assert!(count.shared.lock().is_none());
    }
}
