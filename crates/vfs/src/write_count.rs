//! Writers and executions of a file exclude each other.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicI32, Ordering};

use crate::{Inode, Result, VfsError};

/// How many open files may write a node (above zero), or how many executions forbid that (below zero).
#[derive(Debug, Default)]
pub struct WriteCount(AtomicI32);

impl WriteCount {
    /// Nobody yet.
    pub const fn new() -> Self {
        Self(AtomicI32::new(0))
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
        self.0.fetch_sub(1, Ordering::Release);
    }

    /// Whether somebody has it open for writing.
    pub fn is_written(&self) -> bool {
        self.0.load(Ordering::Acquire) > 0
    }

    fn deny(&self) -> Result<()> {
        self.step(|count| (count <= 0).then(|| count.checked_sub(1)).flatten())
    }

    // The count is all there is to agree on, so no other memory needs ordering beyond acquire and release.
    fn step(&self, change: impl Fn(i32) -> Option<i32>) -> Result<()> {
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, change).map_or(Err(VfsError::TextBusy), |_| Ok(()))
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
            count.0.fetch_add(1, Ordering::Release);
        }
    }
}
