//! Images of programs: spaces that nobody runs, of which each run of the program begins as a copy.
//!
//! Starting from an image is a fork that adds the stack in the same step: tables and pages of the program are shared until the
//! run writes to them, so neither areas nor pages are made one by one.

use alloc::sync::Arc;
use core::any::Any;

use types::USER_END;

use super::area::Area;
use super::fault::{AROUND, Access};
use super::flush::SmallBatch;
use super::lock::Locking;
use super::tables::TOP_LEVEL;
use super::{AddressSpace, GapHint, Inner, Layout, PAGE, page_range};
use crate::{MapFlags, MemoryError, Prot, Sharing, SpaceLimits};

/// What a run of a program has beyond the program's image.
pub struct Launch {
    /// Its limits.
    pub limits: SpaceLimits,
    /// First address of its heap.
    pub brk_start: u64,
    /// Highest end of what the kernel places.
    pub mmap_base: u64,
    /// First address of its stack, page-aligned, above all of the image.
    pub stack_start: u64,
    /// Bytes of its stack.
    pub stack_len: u64,
    /// Rights of its stack.
    pub stack_prot: Prot,
    /// See [`AddressSpace::set_origin`].
    pub origin: Arc<dyn Any + Send + Sync>,
}

impl AddressSpace {
    /// Maps for reading what the objects behind `start .. start + len` have at hand, as a read fault does around its page.
    ///
    /// # Errors
    ///
    /// `NoMemory`, `Invalid`; some pages may have been mapped.
    pub fn map_at_hand(&self, start: u64, len: u64) -> Result<(), MemoryError> {
        let (mut page, end) = page_range(start, len)?;
        while page < end {
            let mut inner = self.inner.lock();
            let Inner { areas, counts, limits, .. } = &mut *inner;
            let private = |area: &&Area| !area.is_shared() && Access::Read.allowed(area.prot);
            if let Some(area) = areas.find(page).filter(private) {
                let mut batch = SmallBatch::new(self.ground.ops, self.target());
                let table = self.ground.ops.own_path(self.root, page, &mut batch)?;
                self.map_around(area, table, page, counts, limits.resident_pages);
            }
            page = (page / AROUND + 1) * AROUND;
        }
        Ok(())
    }

    /// A copy of this image to run in. Costs the same for any image.
    ///
    /// # Errors
    ///
    /// `NoMemory`: no frames, a limit, or the stack would not lie above the image. `Invalid` for a misplaced stack.
    pub fn launch(&self, launch: Launch) -> Result<Arc<Self>, MemoryError> {
        let (start, end) = page_range(launch.stack_start, launch.stack_len)?;
        if start == end {
            return Err(MemoryError::Invalid);
        }
        if !self.ground.ops.frames.above_reserve() {
            return Err(MemoryError::NoMemory);
        }
        let stack = Area {
            start,
            end,
            prot: launch.stack_prot,
            max_prot: Prot::all(),
            sharing: Sharing::Private,
            flags: MapFlags::GROWS_DOWN | MapFlags::STACK,
            source: None,
        };
        let layout = Layout {
            mmap_base: launch.mmap_base.min(USER_END) & !(PAGE - 1),
            brk_start: launch.brk_start,
            brk_end: launch.brk_start,
            gap: GapHint::NONE,
        };
        let limits = launch.limits;
        let image = self.inner.lock();
        let mut counts = image.counts;
        counts.add_area(&stack);
        if counts.size * PAGE > limits.address_space || counts.data * PAGE > limits.data {
            return Err(MemoryError::NoMemory);
        }
        let areas = image.areas.followed_by(stack).ok_or(MemoryError::NoMemory)?;
        let inner = Inner {
            areas,
            layout,
            limits,
            counts,
            locking: Locking::NONE,
            special_fork: false,
            dying: false,
            origin: Some(launch.origin),
            share: None,
        };
        let run = Arc::new(Self::from_parts(self.ground.clone(), inner)?);
        // An image is never active, so nobody remembers the write bits that its entries lose.
        let mut lost = false;
        let shared = self.ground.ops.fork(self.root, run.root, TOP_LEVEL, &mut lost);
        drop(image);
        shared.map(|()| run)
    }
}
