//! A second space with the same memory.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64};

use hal::TlbRange;
use sync::{Rank, SpinLock};

use super::flush::LargeBatch;
use super::tables::TOP_LEVEL;
use super::{AddressSpace, Let};
use crate::{MapFlags, MemoryError};

impl AddressSpace {
    /// A copy, sharing pages and page tables until one side writes. Costs by page tables, not by pages or areas.
    ///
    /// # Errors
    ///
    /// [`MemoryError::NoMemory`].
    pub fn fork(&self) -> Result<Arc<Self>, MemoryError> {
        let inner = self.inner.lock();
        if inner.dying {
            return Err(MemoryError::NoMemory);
        }
        let root = self.ground.ops.new_root(self.ground.kernel_root)?;
        // Made where it stays: it is large.
        let mut child = Arc::new(Self {
            root,
            ground: self.ground.clone(),
            active: AtomicU64::new(0),
            generation: AtomicU64::new(0),
            locks: AtomicBool::new(false),
            barriers: AtomicU8::new(self.barriers()),
            inner: SpinLock::new(Rank::ADDRESS_SPACE, inner.clone()),
        });
        if inner.share.is_some()
            && let Some(child) = Arc::get_mut(&mut child)
        {
            child.inner.get_mut().share_copied()?;
        }
        let mut lost = false;
        let result = self.ground.ops.fork(self.root, child.root, TOP_LEVEL, &mut lost);
        if lost {
            self.target().flush(TlbRange::All);
        }
        let special = inner.special_fork;
        drop(inner);
        result?;
        if special {
            child.after_special_fork()?;
        }
        Ok(child)
    }

    /// In the child: drops and wipes what is not to be passed on.
    fn after_special_fork(&self) -> Result<(), MemoryError> {
        let special = MapFlags::DONT_FORK | MapFlags::WIPE_ON_FORK;
        let mut let_go = Let::new();
        let mut inner = self.inner.lock();
        inner.forget_locks();
        let ranges: Vec<_> = inner
            .areas
            .iter_from(0)
            .filter(|area| area.flags.intersects(special))
            .map(|area| (area.start, area.end, area.flags))
            .collect();
        for (start, end, flags) in ranges {
            if flags.contains(MapFlags::DONT_FORK) {
                self.remove_range(&mut inner, start, end, &mut let_go)?;
            } else {
                let mut batch = LargeBatch::new(self.ground.ops, self.target());
                self.prepare_zap(start, end, &mut batch)?;
                self.zap(&mut inner, start, end, &mut batch);
            }
        }
        Ok(())
    }
}
