//! Images of programs: spaces that nobody runs, of which each run of the program begins as a copy.
//!
//! Starting from an image is a fork that adds the stack in the same step: tables and pages of the program are shared until the
//! run writes to them, so neither areas nor pages are made one by one.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::any::Any;

use types::USER_END;

use super::area::{Area, Source};
use super::fault::{AROUND, Access};
use super::flush::SmallBatch;
use super::lock::Locking;
use super::tables::TOP_LEVEL;
use super::{AddressSpace, GapHint, Inner, Layout, PAGE, page_range};
use crate::{KernelPages, MapFlags, MemoryError, Pager, Prot, Sharing, SpaceLimits};

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
    /// Pages of the kernel's, and where they begin: above its stack.
    pub kernel_pages: Option<(u64, KernelPages)>,
    /// What the space is made from, kept as long as it or one forked from it lives.
    pub origin: Arc<dyn Any + Send + Sync>,
}

impl Launch {
    /// What lies above the program, lowest first.
    fn areas(&self) -> Result<Vec<Area>, MemoryError> {
        let (start, end) = page_range(self.stack_start, self.stack_len)?;
        let pages = self.kernel_pages.as_ref();
        if start == end || pages.is_some_and(|(from, _)| *from < end || page_range(*from, KernelPages::LEN).is_err()) {
            return Err(MemoryError::Invalid);
        }
        let stack = Area {
            start,
            end,
            prot: self.stack_prot,
            max_prot: Prot::all(),
            sharing: Sharing::Private,
            flags: MapFlags::GROWS_DOWN | MapFlags::STACK,
            source: None,
        };
        let Some((from, pages)) = pages else { return Ok(vec![stack]) };
        let page = |start: u64, prot: Prot, max_prot: Prot, pager: &Arc<dyn Pager>| Area {
            start,
            end: start + PAGE,
            prot,
            max_prot,
            sharing: Sharing::Private,
            flags: MapFlags::empty(),
            source: Some(Source { pager: pager.clone(), offset: 0 }),
        };
        let data = page(*from, Prot::READ, Prot::READ, &pages.data);
        let code = page(from + PAGE, Prot::READ | Prot::EXEC, Prot::all(), &pages.code);
        Ok(vec![stack, data, code])
    }
}

impl Inner {
    /// Adds to a program what a run of it has beyond.
    fn equip(&mut self, launch: Launch) -> Result<(), MemoryError> {
        let areas = launch.areas()?;
        let mut counts = self.counts;
        areas.iter().for_each(|area| counts.add_area(area));
        let limits = launch.limits;
        if counts.size * PAGE > limits.address_space || counts.data * PAGE > limits.data {
            return Err(MemoryError::NoMemory);
        }
        self.areas = self.areas.followed_by(areas).ok_or(MemoryError::NoMemory)?;
        self.layout = Layout {
            mmap_base: launch.mmap_base.min(USER_END) & !(PAGE - 1),
            brk_start: launch.brk_start,
            brk_end: launch.brk_start,
            gap: GapHint::NONE,
        };
        (self.counts, self.limits, self.origin) = (counts, limits, Some(launch.origin));
        Ok(())
    }
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
        if !self.ground.ops.frames.above_reserve() {
            return Err(MemoryError::NoMemory);
        }
        let image = self.inner.lock();
        let mut inner = Inner { locking: Locking::NONE, share: None, ..image.clone() };
        inner.equip(launch)?;
        let run = Arc::new(Self::from_parts(self.ground.clone(), inner)?);
        // An image is never active, so nobody remembers the write bits that its entries lose.
        let mut lost = false;
        let shared = self.ground.ops.fork(self.root, run.root, TOP_LEVEL, &mut lost);
        drop(image);
        shared.map(|()| run)
    }

    /// Makes this space, which has a program and nothing else, one to run it in.
    ///
    /// # Errors
    ///
    /// As for [`AddressSpace::launch`]; nothing has changed.
    pub fn equip(&self, launch: Launch) -> Result<(), MemoryError> {
        if !self.ground.ops.frames.above_reserve() {
            return Err(MemoryError::NoMemory);
        }
        self.inner.lock().equip(launch)
    }
}
