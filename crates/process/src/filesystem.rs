//! Where a process stands in the file tree (fs_struct of CLONE_FS).

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

use sync::{Rank, SpinLock};

/// Permission bits that new files do not get, by default.
const DEFAULT_UMASK: u32 = 0o022;

/// Working directory, root and umask; shared between threads, and between processes with CLONE_FS.
#[derive(Debug)]
pub struct FsContext<P> {
    umask: AtomicU32,
    // Rank::PATHS. Forked processes share them until one goes elsewhere.
    places: SpinLock<Arc<Places<P>>>,
}

/// A process's two places.
#[derive(Clone, Copy, Debug)]
pub struct Places<P> {
    /// Where relative paths start.
    pub cwd: P,
    /// Where absolute paths start.
    pub root: P,
}

impl<P: Clone> FsContext<P> {
    /// At `root`, with the usual umask.
    pub fn new(root: P) -> Self {
        let places = Arc::new(Places { cwd: root.clone(), root });
        Self { umask: AtomicU32::new(DEFAULT_UMASK), places: SpinLock::new(Rank::PATHS, places) }
    }

    /// Both places.
    pub fn places(&self) -> Arc<Places<P>> {
        self.places.lock().clone()
    }

    /// The working directory.
    pub fn cwd(&self) -> P {
        self.places().cwd.clone()
    }

    /// The root.
    pub fn root(&self) -> P {
        self.places().root.clone()
    }

    /// Changes the working directory; the old places, to be dropped by the caller.
    pub fn set_cwd(&self, cwd: P) -> Arc<Places<P>> {
        self.change(|old| Places { cwd, root: old.root.clone() })
    }

    /// Changes the root; the old places, to be dropped by the caller.
    pub fn set_root(&self, root: P) -> Arc<Places<P>> {
        self.change(|old| Places { cwd: old.cwd.clone(), root })
    }

    fn change(&self, change: impl FnOnce(&Places<P>) -> Places<P>) -> Arc<Places<P>> {
        let mut places = self.places.lock();
        let new = Arc::new(change(&places));
        core::mem::replace(&mut *places, new)
    }

    /// The umask.
    pub fn umask(&self) -> u32 {
        self.umask.load(Ordering::Relaxed)
    }

    /// Sets the umask (permission bits only); the old one.
    pub fn set_umask(&self, umask: u32) -> u32 {
        self.umask.swap(umask & 0o777, Ordering::Relaxed)
    }

    /// A context of its own at the same places.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self { umask: AtomicU32::new(self.umask()), places: SpinLock::new(Rank::PATHS, self.places()) }
    }
}
